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

/* ---- frames at the edges of what a guest may write ---- */

/* Frames lie below rsp: their upper end is the guest's, their lower end the hypervisor's. */
WAY(handler_stack_above_hypervisor)
{
    __asm__ volatile("mov %0, %%rsp\n ud2" : : "r"(HYPERVISOR_VIRT_END + 32) : "memory");
}

WAY(handler_stack_wraps) { __asm__ volatile("mov $16, %%esp\n ud2" ::: "memory"); }

WAY(kernel_stack_above_hypervisor)
{
    user_init();
    hc(stack_switch, 0xe010, HYPERVISOR_VIRT_END + 16);
    user_regs_init(&r, u_fault);
    user_run(&r);
}

WAY(kernel_stack_over_edge)
{
    user_init();
    hc(stack_switch, FLAT_KERNEL_SS, (1UL << 47) + 16);
    user_regs_init(&r, u_fault);
    user_run(&r);
}

static void iret_with_stack(uint64_t rsp)
{
    __asm__ volatile("mov %1, %%rsp\n syscall"
                     :
                     : "a"(__HYPERVISOR_iret), "r"(rsp)
                     : "memory", "rcx", "r11");
}

WAY(iret_stack_into_hypervisor) { iret_with_stack(HYPERVISOR_VIRT_START - 24); }
WAY(iret_stack_out_of_hypervisor) { iret_with_stack(HYPERVISOR_VIRT_END - 24); }
WAY(iret_stack_wraps) { iret_with_stack(-24UL); }

WAY(iret_half_a_frame)
{
    char *page = page_alloc(), *hole = page_alloc();

    update_va(hole, 0, UVMF_INVLPG);
    if (hole == page + PAGE_SIZE)
        iret_with_stack((uint64_t)hole - 64);
}

/* ---- nobody to tell ---- */

WAY(no_failsafe_callback)
{
    struct callback_register none = { .type = CALLBACKTYPE_failsafe, .address = 0 };
    struct iret_context c = { .rip = 0x1000, .cs = 0x1003, .rsp = 0x1000, .ss = USER_SS };

    user_init();
    hc(callback_op, CALLBACKOP_register, &none);
    iret_raw(&c);
}

/* The failsafe's frame goes on the stack of the context that cannot be, if it is the kernel's. */
WAY(failsafe_stack_in_hypervisor)
{
    struct iret_context c = {
        .rip = 0x1000, .cs = 0x1000, .rsp = HYPERVISOR_VIRT_START + 0x30000001000, .ss = USER_SS
    };

    iret_raw(&c);
}

WAY(nmi_stack_in_hypervisor)
{
    struct xennmi_callback nmi = { .handler_address = (uint64_t)nmi_entry };

    hc(nmi_op, XENNMI_register_callback, &nmi);
    __asm__ volatile("mov %0, %%rsp\n syscall\n jmp ."
                     :
                     : "r"(HYPERVISOR_VIRT_START + 0x30000001000), "a"((long)__HYPERVISOR_vcpu_op),
                       "D"((long)VCPUOP_send_nmi), "S"(0L), "d"(0L)
                     : "memory", "rcx", "r11");
}

/* SYSENTER tells no stack, which to a kernel that executes it is one at 0. */
WAY(sysenter_in_kernel)
{
    register_callback(CALLBACKTYPE_sysenter, sysenter_entry, 0);
    __asm__ volatile("sysenter" ::: "memory");
}

/* Not even the handlers are there. */
WAY(root_gone)
{
    char *empty = page_alloc();

    page_set_ro(empty);
    mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(empty), 0);
}

/* ---- a second vCPU is as good as the first ---- */

static struct vcpu_guest_context second;

static void second_goes(void)
{
    hc(vcpu_op, VCPUOP_initialise, 1, &second);
    hc(vcpu_op, VCPUOP_up, 1, 0);
    for (uint64_t end = now_ns(0) + PATIENCE_NS; now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
}

WAY(second_of_zeroes)
{
    memset(&second, 0, sizeof(second));
    second.flags = VGCF_in_kernel;
    second.ctrlreg[3] = virt_to_maddr(kernel_root);
    second_goes();
}

WAY(second_not_canonical)
{
    secondary_context(&second, NULL, page_alloc());
    second.user_regs.rip = NONCANONICAL;
    second.user_regs.rsp = NONCANONICAL;
    second_goes();
}

WAY(second_without_failsafe)
{
    secondary_context(&second, NULL, page_alloc());
    second.user_regs.cs = 0xe040;
    second.failsafe_callback_eip = 0;
    second_goes();
}

void test_main(void)
{
    expect_crash();
    CRASH();
    failure("the domain lives on");
}
