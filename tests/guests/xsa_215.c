/*
 * The frame of a failsafe callback is the longest there is: four selectors more. On Xen the check of
 * the stack was for a shorter one, and the rest went over the hypervisor's memory below (XSA-215). The
 * kernel's stack is the first page above the hypervisor's part of the address space. At first the
 * frame just fits, then it is cut by the boundary at each word: the domain ends, and nothing else.
 */
#include "guest.h"

#define HV_END 0xffff880000000000UL
#define FRAME_WORDS 11

static struct cpu_user_regs came;
extern char u_nowhere[];
__asm__(".pushsection .user, \"ax\"\n.globl u_nowhere\nu_nowhere: ud2\n.popsection");

/* User mode by a code selector that is not there: the iret faults in ring 0. */
static int fail(uint64_t kernel_sp)
{
    CHECK_EQ(hc(stack_switch, FLAT_KERNEL_SS, kernel_sp), 0);
    user_regs_init(&came, u_nowhere);
    came.cs = 0x1003;
    return user_run(&came);
}

void test_main(void)
{
    uint64_t *tables[3], *stack = page_alloc();

    user_init();
    register_callback(CALLBACKTYPE_failsafe, failsafe_entry, CALLBACKF_mask_events);
    for (unsigned int i = 0; i < 3; i++)
        tables[i] = page_alloc();
    tables[2][0] = virt_to_maddr(tables[1]) | PTE_FLAGS;
    tables[1][0] = virt_to_maddr(tables[0]) | PTE_FLAGS;
    tables[0][0] = virt_to_maddr(stack) | PTE_FLAGS;
    for (unsigned int i = 0; i < 3; i++)
        page_set_ro(tables[i]);
    CHECK_EQ(pte_write(&kernel_root[(HV_END >> 39) & 511], virt_to_maddr(tables[2]) | PTE_FLAGS),
             0);
    attack("failsafe.page", fail(HV_END + PAGE_SIZE), ENTRY_FAILSAFE);
    attack("failsafe.half-page", fail(HV_END + 2048), ENTRY_FAILSAFE);
    if (came.cs != 0x1003)
        failure("the frame has cs 0x%x", came.cs);
    expect_crash();
    fail(HV_END + FRAME_WORDS * 8 - 8);
    failure("the domain lives on");
}
