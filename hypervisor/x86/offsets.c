/* What assembly knows of C: compiled to .s, from which the build makes offsets.h. */
#include "hypercall/hypercall.h"
#include "x86/cpu.h"

#ifdef OFFSETS_CHECK
#define VALUE(sym, v) _Static_assert(sym == (v), "stale offsets.h: " #sym);
#else
#define VALUE(sym, v) __asm__ volatile("\n.ascii \"->" #sym " %c0\"" ::"i"(v));
#endif
#define OFFSET(sym, type, f) VALUE(sym, offsetof(type, f))

#define REG(r) OFFSET(REGS_##r, struct cpu_user_regs, r)

/* clang-format off */
static __attribute__((used)) void offsets(void)
{
    REG(r15) REG(r14) REG(r13) REG(r12) REG(rbp) REG(rbx) REG(r11) REG(r10) REG(r9) REG(r8)
    REG(rax) REG(rcx) REG(rdx) REG(rsi) REG(rdi)
    REG(error_code) REG(entry_vector) REG(rip) REG(cs) REG(rflags) REG(rsp) REG(ss) REG(es)
    OFFSET(ENTRY_pcpu, struct cpu_entry, pcpu)
    OFFSET(ENTRY_regs, struct cpu_entry, regs)
    OFFSET(ENTRY_stack_top, struct cpu_entry, stack_top)
    OFFSET(ENTRY_scratch, struct cpu_entry, scratch)
    OFFSET(ENTRY_own_root, struct cpu_entry, own_root)
    OFFSET(ENTRY_guest_root, struct cpu_entry, guest_root)
    OFFSET(ENTRY_small_rip, struct cpu_entry, small_rip)
    OFFSET(ENTRY_guards, struct cpu_entry, guards)
    OFFSET(ENTRY_verw, struct cpu_entry, verw)
    OFFSET(ENTRY_small, struct cpu_entry, small[0])
    OFFSET(SMALL_entry, struct small_stack, entry)
    VALUE(GUARD_ROOT, GUARD_ROOT) VALUE(GUARD_RSB, SPEC_RSB)
    VALUE(GUARD_BHB, SPEC_BHB) VALUE(GUARD_VERW, SPEC_VERW)
    OFFSET(CPU_guards, struct cpu_features, guards)
    OFFSET(PCPU_running, struct pcpu, running)
    OFFSET(PCPU_softirqs, struct pcpu, softirqs)
    OFFSET(PCPU_nr_hypercalls, struct pcpu, nr_hypercalls)
    OFFSET(VCPU_info, struct vcpu, info)
    OFFSET(VCPU_kernel_mode, struct vcpu, arch.kernel_mode)
    OFFSET(VCPU_cr3_kernel, struct vcpu, arch.cr3_kernel)
    OFFSET(VCPU_cr3_user, struct vcpu, arch.cr3_user)
    OFFSET(VCPU_is_idle, struct vcpu, is_idle)
    OFFSET(VCPU_nmi_pending, struct vcpu, nmi_pending)
    OFFSET(INFO_pending, struct vcpu_info, evtchn_upcall_pending)
    OFFSET(INFO_mask, struct vcpu_info, evtchn_upcall_mask)
    VALUE(HYPERVISOR_get_debugreg, __HYPERVISOR_get_debugreg)
    VALUE(NR_HYPERCALLS, NR_HYPERCALLS)
    VALUE(RESTART, ERESTART)
    VALUE(STACK_FRAME_ROOM, STACK_TOP(0) * -1)
    VALUE(STACK_SIZE_CHECK, CPU_STACK_SIZE)
}
/* clang-format on */
_Static_assert(offsetof(struct cpu_entry, pcpu) == ENTRY_OFFSET_PCPU, "this_pcpu()");
_Static_assert(offsetof(struct cpu_entry, regs) == ENTRY_OFFSET_REGS, "arch_guest_regs()");
_Static_assert(offsetof(struct vcpu, mce_pending) == offsetof(struct vcpu, nmi_pending) + 1,
               "asm tests both");
