/* Entries from the hypervisor: trap table, callbacks, and where they go. */
#include "guest.h"

#define REGS_BYTES offsetof(struct cpu_user_regs, es) /* what lies on the stack */

trap_fn trap_hooks[NR_ENTRIES];
struct trap_record last_trap = { .vector = -1 };
volatile uint64_t try_fixup;
extern struct cpu_user_regs *user_regs;
void trap_entry(struct cpu_user_regs *regs);

long set_trap(uint8_t vector, uint8_t flags, uint64_t address)
{
    struct trap_info t[2] = { { vector, flags, FLAT_KERNEL_CS, address }, { 0 } };

    return hc(set_trap_table, t);
}

long register_callback(uint16_t type, void *entry, uint16_t flags)
{
    struct callback_register reg = { .type = type, .flags = flags, .address = (uint64_t)entry };

    return hc(callback_op, CALLBACKOP_register, &reg);
}

/* Every exception has a handler; #BP and #OF may be raised by int n from user mode. */
void traps_init(void)
{
    struct trap_info t[33] = { 0 };
    unsigned int n = 0;

    for (unsigned int v = 0; v < 32; v++)
        if (v != TRAP_NMI)
            t[n++] = (struct trap_info){ v, v == TRAP_BP || v == TRAP_OF ? 3 : 0, FLAT_KERNEL_CS,
                                         (uint64_t)trap_stubs + v * 32 };
    if (hc(set_trap_table, t))
        error("set_trap_table");
    if (register_callback(CALLBACKTYPE_event, event_entry, 0) ||
        register_callback(CALLBACKTYPE_failsafe, failsafe_entry, 0) ||
        register_callback(CALLBACKTYPE_syscall, syscall_entry, 0))
        error("callback_op register");
    hc(stack_switch, FLAT_KERNEL_SS, trap_stack_top);
}

static void record(const struct cpu_user_regs *regs)
{
    memcpy(&last_trap.regs, regs, REGS_BYTES);
    last_trap.cr2 = vcpu_info(0)->arch.cr2;
    last_trap.mask_inside = vcpu_info(0)->evtchn_upcall_mask;
    last_trap.vector = (int)regs->entry_vector;
}

void trap_entry(struct cpu_user_regs *regs)
{
    unsigned int vector = regs->entry_vector;

    if (in_witness((uint64_t)regs))
        failure("the witness got entry %u, error 0x%x, at %x:0x%lx", vector, regs->error_code,
                regs->cs, regs->rip);
    if (vector < NR_ENTRIES && trap_hooks[vector]) {
        trap_hooks[vector](regs);
        return;
    }
    if (user_regs) { /* inside user_run() */
        record(regs);
        memcpy(user_regs, regs, REGS_BYTES);
        user_regs = NULL;
        user_leave();
    }
    if (try_fixup) {
        record(regs);
        regs->rip = try_fixup;
        regs->rflags &= ~(uint64_t)EFLAGS_TF;
        return;
    }
    failure("unexpected entry %u, error 0x%x, at %x:0x%lx, rsp 0x%lx, cr2 0x%lx", vector,
            regs->error_code, regs->cs, regs->rip, regs->rsp, vcpu_info(this_vcpu())->arch.cr2);
}

int user_run(struct cpu_user_regs *regs)
{
    last_trap.vector = -1;
    user_enter(regs);
    return last_trap.vector;
}

bool xsave_on(uint32_t features)
{
    uint64_t cr4;

    if (!(xen_cpuid(1, 0).c & 1 << 26) || (xen_cpuid(13, 0).a & features) != features)
        return false;
    TRY("mov %%cr4, %0\n or $0x40000, %0\n mov %0, %%cr4", : "=&r"(cr4) : : "memory");
    if (!trapped(-1))
        return false;
    TRY("xsetbv", : : "a"(features), "d"(0), "c"(0) : "memory");
    return trapped(-1);
}
