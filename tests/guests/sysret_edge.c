/*
 * SYSCALL as the last instruction below the canonical hole: the return address is not canonical,
 * and on Intel a SYSRET to it faults in ring 0 on the guest's stack (XSA-7). From user and kernel.
 */
#include "guest.h"

#define LAST_PAGE 0x7ffffffff000UL
#define EDGE 0x800000000000UL
extern struct cpu_user_regs *user_regs;

static uint8_t *code;

static void code_page(void)
{
    code = page_alloc();
    memset(code, 0x90, PAGE_SIZE);
    code[4094] = 0x0f; /* syscall */
    code[4095] = 0x05;
}

static void from_user(void)
{
    static struct cpu_user_regs r;
    struct iret_context c;

    user_regs_init(&r, user_code_start);
    r.rip = LAST_PAGE + 4090;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rip, EDGE);
    CHECK_EQ(r.rcx, EDGE);
    /* back to where it came from, by both kinds of iret */
    for (unsigned int i = 0; i < 2; i++) {
        c = (struct iret_context){ .rcx = EDGE,
                                   .flags = i ? VGCF_in_syscall : 0,
                                   .rip = EDGE,
                                   .cs = USER_CS,
                                   .rflags = 0x202,
                                   .rsp = USER_STACK_TOP,
                                   .ss = USER_SS };
        last_trap.vector = -1;
        user_regs = &r;
        iret_raw(&c);
        print("sysret_edge: user, flags 0x%lx: entry %d at %x:0x%lx\n", c.flags, last_trap.vector,
              r.cs, r.rip);
        CHECK(trapped(TRAP_GP) || trapped(ENTRY_FAILSAFE));
    }
    /* running off the end without a SYSCALL */
    code[4094] = code[4095] = 0x90;
    user_regs_init(&r, user_code_start);
    r.rip = LAST_PAGE + 4090;
    CHECK_EQ(user_run(&r), TRAP_GP);
    CHECK_EQ(r.rip, EDGE);
    code[4094] = 0x0f;
    code[4095] = 0x05;
    /* single-stepped over the edge */
    user_regs_init(&r, user_code_start);
    r.rip = LAST_PAGE + 4094;
    r.rflags |= EFLAGS_TF;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rip, EDGE);
}

/* A hypercall there: the hypervisor must not return by SYSRET. The fault is the kernel's. */
static void from_kernel(void)
{
    uint64_t *l1 = page_alloc(), *l2 = page_alloc(), *l3 = page_alloc();
    long rc = __HYPERVISOR_xen_version;

    l3[511] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[511] = virt_to_maddr(l1) | PTE_FLAGS;
    l1[511] = virt_to_maddr(code) | PTE_FLAGS;
    page_set_ro(l1);
    page_set_ro(l2);
    page_set_ro(l3);
    CHECK_EQ(pte_write(&kernel_root[255], virt_to_maddr(l3) | PTE_FLAGS), 0);
    TRY("xor %%edi, %%edi\n mov %1, %%rcx\n jmp *%%rcx",
        : "+a"(rc)
        : "r"(LAST_PAGE + 4094)
        : "rcx", "r11", "rdi", "memory");
    print("sysret_edge: kernel: entry %d at %x:0x%lx\n", last_trap.vector, last_trap.regs.cs,
          last_trap.regs.rip);
    CHECK(trapped(TRAP_GP) || trapped(ENTRY_FAILSAFE));
    CHECK_EQ(last_trap.regs.rip, EDGE);
    CHECK_EQ(rc, 4 << 16 | 17); /* the call was done */
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
}

void test_main(void)
{
    code_page();
    user_init_with(LAST_PAGE, virt_to_mfn(code));
    from_user();
    from_kernel();
}
