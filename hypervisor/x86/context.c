/*
 * A vCPU's state as struct vcpu_guest_context has it, from guests and toolstacks, and for those. The
 * vCPU runs nowhere and is loaded nowhere: see arch_vcpu_unload(). Frames are the callers' business.
 */
#include "x86/arch.h"
#include "x86/cpu.h"

int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct arch_vcpu *a = &v->arch;

    if (!((c->flags & VGCF_in_kernel) || a->cr3_user) || !va_is_canonical(c->fs_base) ||
        !va_is_canonical(c->gs_base_kernel) || !va_is_canonical(c->gs_base_user) ||
        !va_is_canonical(c->event_callback_eip) || !va_is_canonical(c->failsafe_callback_eip) ||
        !va_is_canonical(c->syscall_callback_eip))
        return -EINVAL;
    for (unsigned int i = 0; i < 256; i++)
        if (!va_is_canonical(c->trap_ctxt[i].address))
            return -EINVAL;
    for (unsigned int i = 0; i < 256; i++) {
        const struct trap_info *t = &c->trap_ctxt[i];

        a->traps[i] = (struct guest_trap){ t->address, guest_selector(t->cs), t->flags & 7 };
    }
    a->regs = c->user_regs;
    a->regs.cs = guest_selector(a->regs.cs);
    a->regs.ss = guest_selector(a->regs.ss);
    a->iopl = a->regs.rflags >> 12 & 3;
    a->regs.rflags = guest_rflags(a->regs.rflags);
    a->regs.entry_vector = 0;
    a->kernel_mode = c->flags & VGCF_in_kernel;
    a->kernel_ss = guest_selector(c->kernel_ss);
    a->kernel_sp = c->kernel_sp;
    a->fs_base = c->fs_base;
    a->gs_base_kernel = c->gs_base_kernel;
    a->gs_base_user = c->gs_base_user;
    a->event_cb.address = c->event_callback_eip;
    a->failsafe_cb = (struct guest_callback){ c->failsafe_callback_eip,
                                              c->flags & VGCF_failsafe_disables_events };
    a->syscall_cb =
        (struct guest_callback){ c->syscall_callback_eip, c->flags & VGCF_syscall_disables_events };
    a->cr0 = (a->cr0 & ~CR0_TS) | (c->ctrlreg[0] & CR0_TS);
    a->cr2 = c->ctrlreg[2];
    arch_vcpu_set_fpu(v, &c->fpu_ctxt, c->flags & VGCF_I387_VALID ? sizeof(c->fpu_ctxt) : 0);
    return 0;
}

void arch_vcpu_get_context(const struct vcpu *v, struct vcpu_guest_context *c)
{
    const struct arch_vcpu *a = &v->arch;

    memset(c, 0, sizeof(*c)); /* padding, too */
    c->flags = VGCF_I387_VALID | (a->kernel_mode ? VGCF_in_kernel : 0) |
               (a->failsafe_cb.mask_events ? VGCF_failsafe_disables_events : 0) |
               (a->syscall_cb.mask_events ? VGCF_syscall_disables_events : 0);
    memcpy(&c->fpu_ctxt, a->fpu, sizeof(c->fpu_ctxt));
    c->user_regs = a->regs;
    c->user_regs.error_code = c->user_regs.entry_vector = 0; /* ours */
    c->user_regs.rflags |= (uint64_t)a->iopl << 12;
    for (unsigned int i = 0; i < 256; i++)
        c->trap_ctxt[i] = (struct trap_info){ (uint8_t)i, a->traps[i].flags, a->traps[i].cs,
                                              a->traps[i].address };
    c->ldt_base = a->nr_ldt_ents ? a->ldt_base : 0;
    c->ldt_ents = a->nr_ldt_ents;
    c->gdt_ents = a->nr_gdt_ents;
    for (unsigned int i = 0; i * 512 < a->nr_gdt_ents; i++)
        c->gdt_frames[i] = mfn_x(a->gdt_frames[i]);
    c->kernel_ss = a->kernel_ss;
    c->kernel_sp = a->kernel_sp;
    c->ctrlreg[0] = a->cr0;
    c->ctrlreg[1] = xen_pfn_to_cr3(a->cr3_user >> PAGE_SHIFT);
    c->ctrlreg[2] = a->cr2;
    c->ctrlreg[3] = xen_pfn_to_cr3(a->cr3_kernel >> PAGE_SHIFT);
    c->ctrlreg[4] = a->cr4;
    memcpy(c->debugreg, a->dr, sizeof(c->debugreg));
    c->event_callback_eip = a->event_cb.address;
    c->failsafe_callback_eip = a->failsafe_cb.address;
    c->syscall_callback_eip = a->syscall_cb.address;
    c->vm_assist = v->domain->vm_assist;
    c->fs_base = a->fs_base;
    c->gs_base_kernel = a->gs_base_kernel;
    c->gs_base_user = a->gs_base_user;
}
