/*
 * Frames on guest stacks: how exceptions, events, system calls and failsafe callbacks reach a guest
 * kernel, and HYPERVISOR_iret, the way back. The frame (from low addresses): rcx, r11,
 * [ds es fs gs], [error code], rip, cs (bits 32..39: the saved upcall mask), rflags, rsp, ss.
 * Source: <xen/arch-x86/xen.h>, <xen/callback.h>.
 */
#include "memory/guest_copy.h"
#include "x86/cpu.h"
#include "x86/upcalls.h"

#define VECTORS_WITH_ERROR_CODE (1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21)

/* How a handler wants to be called. The first is TI_GET_IF of struct trap_info. */
enum { MASK_EVENTS = 4, ERROR_CODE = 8, FAILSAFE = 16 };

/*
 * Build the frame and point the guest at the handler; false: it has none. A guest whose stack cannot
 * take the frame is over.
 */
static bool bounce(struct vcpu *v, uint64_t address, uint16_t handler_cs, unsigned int how,
                   uint32_t error_code)
{
    struct cpu_user_regs *regs = arch_guest_regs();
    struct arch_vcpu *a = &v->arch;
    uint64_t frame[12], *p = frame + ARRAY_SIZE(frame), rsp = regs->rsp, bytes;
    uint64_t mask = v->info->evtchn_upcall_mask, cs = regs->cs, rflags = regs->rflags;

    if (address == 0)
        return false;
    *--p = regs->ss;
    *--p = rsp;
    if (a->kernel_mode) {
        cs &= ~3ULL; /* the kernel believes that it runs in ring 0 */
    } else {
        vcpu_toggle_mode(v);
        rsp = a->kernel_sp;
    }
    if (mask)
        rflags &= ~RFLAGS_IF;
    if (v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1)
        rflags |= (uint64_t)a->iopl << 12;
    *--p = rflags;
    *--p = cs | mask << 32;
    *--p = regs->rip;
    if (how & ERROR_CODE)
        *--p = error_code;
    if (how & FAILSAFE) {
        *--p = a->regs.gs;
        *--p = a->regs.fs;
        *--p = a->regs.es;
        *--p = a->regs.ds;
    }
    *--p = regs->r11;
    *--p = regs->rcx;
    bytes = (uint64_t)((char *)(frame + ARRAY_SIZE(frame)) - (char *)p);
    rsp = (rsp & ~15ULL) - bytes;
    if (arch_copy_small_to_guest(rsp, p, bytes)) {
        domain_crash(v->domain, "vCPU %u: no room for a frame at %lx (rip %lx)", v->vcpu_id, rsp,
                     regs->rip);
        return true;
    }
    if (how & MASK_EVENTS)
        v->info->evtchn_upcall_mask = 1;
    regs->rsp = rsp;
    regs->ss = GUEST_DS;
    regs->cs = handler_cs;
    regs->rip = address;
    regs->rflags &= ~RFLAGS_NOT_IN_HANDLERS;
    regs->entry_vector = TRAP_SYSCALL; /* rcx and r11 are on the stack: SYSRET will do */
    return true;
}

static inline bool bounce_trap(struct vcpu *v, unsigned int vector, unsigned int how,
                               uint32_t error_code)
{
    const struct guest_trap *t = &v->arch.traps[vector];

    return bounce(v, t->address, t->cs, how | (t->flags & MASK_EVENTS), error_code);
}

static inline bool bounce_callback(struct vcpu *v, const struct guest_callback *cb,
                                   unsigned int how)
{
    return bounce(v, cb->address, GUEST_CS64, how | (cb->mask_events ? MASK_EVENTS : 0), 0);
}

void arch_inject_exception(struct vcpu *v, unsigned int vector, uint32_t error_code)
{
    BUG_ON(v != current || vector >= 32);
    if (!bounce_trap(v, vector, VECTORS_WITH_ERROR_CODE >> vector & 1 ? ERROR_CODE : 0, error_code))
        domain_crash(v->domain, "vCPU %u: trap %u (error code %x) at %lx and no handler",
                     v->vcpu_id, vector, error_code, arch_guest_regs()->rip);
}

void arch_inject_soft_interrupt(struct vcpu *v, unsigned int vector)
{
    vector &= 0xff;
    if ((v->arch.traps[vector].flags & 3) < (v->arch.kernel_mode ? 1 : 3) ||
        !bounce_trap(v, vector, 0, 0)) {
        /* as the CPU answers to a gate that is not for the caller */
        arch_guest_regs()->rip -= 2;
        arch_inject_exception(v, 13, vector * 8 + 2);
    }
}

void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error_code)
{
    /* ring 3 is where the guest's kernel lives, too */
    error_code = (error_code & ~4u) | (v->arch.kernel_mode ? 0 : 4u);
    v->arch.cr2 = cr2;
    v->info->arch.cr2 = cr2;
    arch_inject_exception(v, 14, error_code);
}

/* Of the event and failsafe callbacks: a guest without the one that it needs is over. */
static void bounce_needed(struct vcpu *v, const struct guest_callback *cb, unsigned int how)
{
    if (!bounce_callback(v, cb, how))
        domain_crash(v->domain, "vCPU %u: %s and no callback (rip %lx)", v->vcpu_id,
                     how & FAILSAFE ? "failsafe" : "event", arch_guest_regs()->rip);
}

void bounce_failsafe(struct vcpu *v) { bounce_needed(v, &v->arch.failsafe_cb, FAILSAFE); }

/* Events and NMIs at the exit to the guest. An upcall always masks further ones. */
void deliver_pending(struct vcpu *v)
{
    struct arch_vcpu *a = &v->arch;

    if (atomic_load(&v->mce_pending)) {
        atomic_store(&v->mce_pending, false);
        mce_print();
        bounce_trap(v, 18, 0, 0);
    }
    if (atomic_load(&v->nmi_pending) && !a->nmi_masked) {
        atomic_store(&v->nmi_pending, false);
        a->nmi_masked = bounce_callback(v, &a->nmi_cb, MASK_EVENTS) || bounce_trap(v, 2, 0, 0);
    }
    if (v->info->evtchn_upcall_pending && !v->info->evtchn_upcall_mask)
        bounce_needed(v, &a->event_cb, MASK_EVENTS);
}

/* SYSCALL or SYSENTER; where the kernel wants none an exception, of an instruction so long. */
static void fast_syscall(const struct guest_callback *cb, unsigned int vector, unsigned int bytes)
{
    if (!bounce_callback(current, cb, 0)) {
        arch_guest_regs()->rip -= bytes;
        arch_inject_exception(current, vector, 0);
    }
}

void syscall_from_user(struct cpu_user_regs *regs)
{
    fast_syscall(&current->arch.syscall_cb, 6, 2);
}

void syscall32_from_guest(struct cpu_user_regs *regs)
{
    fast_syscall(&current->arch.syscall32_cb, 6, 2);
}

void sysenter_from_guest(struct cpu_user_regs *regs)
{
    regs->rflags = guest_rflags(regs->rflags & ~RFLAGS_TF);
    fast_syscall(&current->arch.sysenter_cb, 13, 0);
}

/* IRETQ to the guest faulted: bad selector, address or flags. It is told by the failsafe callback. */
void iret_fault(struct cpu_user_regs *regs)
{
    regs->entry_vector = 13;
    regs->error_code = 0;
    save_selectors(current);
    bounce_failsafe(current);
}

/*
 * HYPERVISOR_iret: struct iret_context on the guest's stack; VGCF_in_syscall: leave by SYSRET and
 * let rcx and r11 go. A cs with RPL 3 means user mode, any other the kernel. All registers of the
 * frame count from here on, so it does not return to the exit of hypercalls.
 */
long hc_iret(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct cpu_user_regs *regs = arch_guest_regs();
    struct vcpu *v = current;
    struct iret_context f;

    if (copy_from_guest(&f, _gva(regs->rsp), sizeof(f))) {
        domain_crash(v->domain, "vCPU %u: iret frame at %lx cannot be read", v->vcpu_id, regs->rsp);
        return 0;
    }
    if ((f.cs & 3) == 3) {
        if (v->arch.cr3_user == 0) {
            domain_crash(v->domain, "vCPU %u: iret to user mode without a user root", v->vcpu_id);
            return 0;
        }
        vcpu_toggle_mode(v);
    }
    if (v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1)
        v->arch.iopl = (uint8_t)(f.rflags >> 12 & 3);
    regs->rip = f.rip;
    regs->cs = (uint16_t)(f.cs | 3);
    regs->rflags = guest_rflags(f.rflags);
    regs->rsp = f.rsp;
    regs->ss = (uint16_t)(f.ss | 3);
    regs->entry_vector = f.flags & VGCF_in_syscall ? TRAP_SYSCALL : 0;
    /* as SYSRET leaves them, should IRETQ be needed */
    regs->r11 = f.flags & VGCF_in_syscall ? regs->rflags : f.r11;
    regs->rcx = f.flags & VGCF_in_syscall ? regs->rip : f.rcx;
    /* the frame's IF is the upcall mask's opposite */
    v->info->evtchn_upcall_mask = !(f.rflags & RFLAGS_IF);
    v->arch.nmi_masked = false;
    regs->rax = f.rax; /* whatever that is: no result of a hypercall */
    exit_to_guest();
}
