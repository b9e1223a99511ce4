/*
 * Ways for a domain to end itself, a kernel each (CRASH, see guests.mk). The host then says that
 * domain 0 crashed, and stops or reboots. To survive is the failure.
 */
#include "guest.h"

#define WAY(name) static __attribute__((unused)) void name(void)

extern char u_fault[];
__asm__(".pushsection .user, \"ax\"\n.globl u_fault\nu_fault: movl $1, 0x10\n ud2\n.popsection");

static struct cpu_user_regs r;

WAY(no_handler)
{
    struct trap_info none[1] = { { 0 } };

    hc(set_trap_table, 0); /* a null table takes every handler away */
    hc(set_trap_table, none);
    __asm__ volatile("ud2");
}

WAY(handler_unmapped_stack) { __asm__ volatile("mov $0x10000, %%rsp\n ud2" ::: "memory"); }

WAY(handler_stack_in_hypervisor)
{
    __asm__ volatile("mov %0, %%rsp\n ud2"
                     :
                     : "r"(HYPERVISOR_VIRT_START + 0x30000001000)
                     : "memory");
}

WAY(kernel_stack_in_hypervisor)
{
    user_init();
    hc(stack_switch, FLAT_KERNEL_SS, HYPERVISOR_VIRT_START + 0x30000001000);
    user_regs_init(&r, u_fault);
    user_run(&r);
}

WAY(kernel_stack_noncanonical)
{
    user_init();
    hc(stack_switch, FLAT_KERNEL_SS, NONCANONICAL + 64);
    user_regs_init(&r, u_fault);
    user_run(&r);
}

WAY(kernel_stack_read_only)
{
    user_init();
    hc(stack_switch, FLAT_KERNEL_SS, (char *)kernel_root + 4096);
    user_regs_init(&r, u_fault);
    user_run(&r);
}

WAY(iret_unmapped_stack)
{
    __asm__ volatile("mov $0x10000, %%rsp\n syscall"
                     :
                     : "a"(__HYPERVISOR_iret)
                     : "memory", "rcx", "r11");
}

WAY(iret_stack_in_hypervisor)
{
    __asm__ volatile("mov %1, %%rsp\n syscall"
                     :
                     : "a"(__HYPERVISOR_iret), "r"(HYPERVISOR_VIRT_START + 0x30000001000)
                     : "memory", "rcx", "r11");
}

WAY(iret_no_user_root)
{
    user_regs_init(&r, (void *)user_code_start);
    user_run(&r);
}

WAY(no_event_callback)
{
    struct callback_register none = { .type = CALLBACKTYPE_event, .address = 0 };
    unsigned int ipi = (unsigned int)bind_ipi(0);

    hc(callback_op, CALLBACKOP_register, &none);
    events_on();
    port_send(ipi);
    hc(xen_version, XENVER_version, 0);
}

WAY(shutdown_crash)
{
    struct sched_shutdown s = { .reason = SHUTDOWN_crash };

    hc(sched_op, SCHEDOP_shutdown, &s);
}

/* The handler faults at its first instruction, for ever: the stack runs out, and that ends it. */
WAY(endless_faults)
{
    char *bottom = page_alloc(), *stack = page_alloc();

    update_va(bottom, 0, UVMF_INVLPG);
    set_trap(TRAP_PF, 0, 0x20000);
    __asm__ volatile("mov %0, %%rsp\n jmp *%1"
                     :
                     : "r"(stack + PAGE_SIZE), "r"(0x20000UL)
                     : "memory");
}

void test_main(void)
{
    expect_crash();
    CRASH();
    failure("the domain lives on");
}
