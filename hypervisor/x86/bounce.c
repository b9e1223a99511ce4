/*
 * Frames on guest stacks: how exceptions, events, system calls and failsafe callbacks reach a guest
 * kernel, and HYPERVISOR_iret, the way back. The frame (from low addresses): rcx, r11,
 * [ds es fs gs], [error code], rip, cs (bits 32..39: the saved upcall mask), rflags, rsp, ss.
 * Source: <xen/arch-x86/xen.h>, <xen/callback.h>.
 */
#include "memory/guest_copy.h"
#include "x86/cpu.h"

#define VECTORS_WITH_ERROR_CODE (1u << 8 | 0x1fu << 10 | 1u << 17 | 1u << 21)

#define TI_MASK_EVENTS 4 /* TI_GET_IF of struct trap_info */

/* What a frame has in it that most have not. */
enum { ERROR_CODE = 1, FAILSAFE = 2 };

/* A TLB flush, but none that others could rely on: it is not worth a tick of the clock. */
static inline void switch_root(uint64_t cr3)
{
    write_cr(3, cr3);
    this_pcpu()->nr_cr3_loads++;
}

/*
 * The two modes of v, which is current: each has a root and a GS base of its own, and user mode can
 * change its base without us.
 */
static inline void enter_kernel_mode(struct vcpu *v)
{
    v->arch.gs_base_user = rdmsr(MSR_KERNEL_GS_BASE);
    v->arch.kernel_mode = true;
    wrmsr(MSR_KERNEL_GS_BASE, v->arch.gs_base_kernel);
    switch_root(own_root(v, true));
}
static inline void enter_user_mode(struct vcpu *v)
{
    v->arch.gs_base_kernel = rdmsr(MSR_KERNEL_GS_BASE);
    v->arch.kernel_mode = false;
    wrmsr(MSR_KERNEL_GS_BASE, v->arch.gs_base_user);
    switch_root(own_root(v, false));
}

#define PUT(to, value) guest_put(to, (uint64_t)(value), no_access)
#define GET(from, word) guest_get(word, from, no_access)

/*
 * Build the frame and point the guest at the handler; false: it has none. A guest whose stack cannot
 * take the frame is over. Inlined with `what` (ERROR_CODE, FAILSAFE) known, so the frame's words go
 * straight from where they are to the guest's stack.
 */
static hot_inline bool bounce(struct vcpu *v, uint64_t address, uint16_t handler_cs,
                              bool mask_events, unsigned int what, uint32_t error_code)
{
    struct cpu_user_regs *regs = arch_guest_regs();
    unsigned int words = 7 + (what & ERROR_CODE ? 1 : 0) + (what & FAILSAFE ? 4 : 0);
    uint64_t rsp = regs->rsp, cs = regs->cs, rflags, *p;
    struct arch_vcpu *a = &v->arch;
    vcpu_info_t *info = v->info;
    uint8_t mask = info->evtchn_upcall_mask;

    if (address == 0)
        return false;
    if (likely(a->kernel_mode)) {
        cs &= ~3ULL; /* the kernel believes that it runs in ring 0 */
    } else {
        enter_kernel_mode(v);
        rsp = a->kernel_sp;
    }
    rsp = (rsp & ~15ULL) - words * sizeof(*p);
    if (unlikely(!guest_access_ok(rsp)))
        goto no_room;
    p = (uint64_t *)rsp;
    smap_open();
    PUT(p++, regs->rcx); /* the lowest word comes first, see guest_access_ok() */
    PUT(p++, regs->r11);
    if (what & FAILSAFE) {
        PUT(p++, a->regs.ds);
        PUT(p++, a->regs.es);
        PUT(p++, a->regs.fs);
        PUT(p++, a->regs.gs);
    }
    if (what & ERROR_CODE)
        PUT(p++, error_code);
    PUT(p++, regs->rip);
    PUT(p++, cs | (uint64_t)mask << 32);
    rflags = regs->rflags;
    if (mask)
        rflags &= ~RFLAGS_IF;
    if (v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1)
        rflags |= (uint64_t)a->iopl << 12;
    PUT(p++, rflags);
    PUT(p++, regs->rsp);
    PUT(p, regs->ss);
    smap_close();
    if (mask_events)
        info->evtchn_upcall_mask = 1;
    regs->rsp = rsp;
    regs->ss = GUEST_DS;
    regs->cs = handler_cs;
    regs->rip = address;
    regs->rflags &= ~RFLAGS_NOT_IN_HANDLERS;
    regs->entry_vector = TRAP_SYSCALL; /* rcx and r11 are on the stack: SYSRET will do */
    return true;
no_access:
    smap_close();
no_room:
    domain_crash(v->domain, "vCPU %u: no room for a frame at %lx (rip %lx)", v->vcpu_id, rsp,
                 regs->rip);
    return true;
}

/* For the ways that are seldom gone, once. */
static noinline bool bounce_rarely(struct vcpu *v, const struct guest_callback *cb,
                                   bool mask_events)
{
    return bounce(v, cb->address, GUEST_CS64, mask_events, 0, 0);
}

static bool bounce_trap(struct vcpu *v, unsigned int vector)
{
    const struct guest_trap *t = &v->arch.traps[vector];

    return bounce(v, t->address, t->cs, t->flags & TI_MASK_EVENTS, 0, 0);
}

void arch_inject_exception(struct vcpu *v, unsigned int vector, uint32_t error_code)
{
    const struct guest_trap *t = &v->arch.traps[vector];

    BUG_ON(v != current || vector >= 32);
    if (!(VECTORS_WITH_ERROR_CODE >> vector & 1
              ? bounce(v, t->address, t->cs, t->flags & TI_MASK_EVENTS, ERROR_CODE, error_code)
              : bounce_trap(v, vector)))
        domain_crash(v->domain, "vCPU %u: trap %u (error code %x) at %lx and no handler",
                     v->vcpu_id, vector, error_code, arch_guest_regs()->rip);
}

void arch_inject_soft_interrupt(struct vcpu *v, unsigned int vector)
{
    vector &= 0xff;
    if ((v->arch.traps[vector].flags & 3) < (v->arch.kernel_mode ? 1 : 3) ||
        !bounce_trap(v, vector)) {
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

/* IRETQ or a selector's load faulted: the guest is told by a frame with all selectors. */
void bounce_failsafe(struct vcpu *v)
{
    const struct guest_callback *cb = &v->arch.failsafe_cb;

    if (!bounce(v, cb->address, GUEST_CS64, cb->mask_events, FAILSAFE, 0))
        domain_crash(v->domain, "vCPU %u: failsafe and no callback (rip %lx)", v->vcpu_id,
                     arch_guest_regs()->rip);
}

/* At the exit to the guest: NMIs, and a machine check as one. */
void deliver_nmis(struct vcpu *v)
{
    struct arch_vcpu *a = &v->arch;

    if (atomic_load(&v->mce_pending)) {
        atomic_store(&v->mce_pending, false);
        mce_print();
        bounce_trap(v, 18);
    }
    if (atomic_load(&v->nmi_pending) && !a->nmi_masked) {
        atomic_store(&v->nmi_pending, false);
        a->nmi_masked = bounce_rarely(v, &a->nmi_cb, true) || bounce_trap(v, 2);
    }
}

/* At the exit to the guest, which has events pending and not masked: the upcall masks them. */
void deliver_event(struct vcpu *v)
{
    if (unlikely(!bounce(v, v->arch.event_cb.address, GUEST_CS64, true, 0, 0)))
        domain_crash(v->domain, "vCPU %u: event and no callback (rip %lx)", v->vcpu_id,
                     arch_guest_regs()->rip);
}

/* Where the kernel wants none SYSCALL and SYSENTER are exceptions, of an instruction so long. */
static void no_syscall(unsigned int vector, unsigned int bytes)
{
    arch_guest_regs()->rip -= bytes;
    arch_inject_exception(current, vector, 0);
}

void syscall_from_user(struct cpu_user_regs *regs)
{
    const struct guest_callback *cb = &current->arch.syscall_cb;

    if (unlikely(!bounce(current, cb->address, GUEST_CS64, cb->mask_events, 0, 0)))
        no_syscall(6, 2);
}

void syscall32_from_guest(struct cpu_user_regs *regs)
{
    const struct guest_callback *cb = &current->arch.syscall32_cb;

    if (!bounce_rarely(current, cb, cb->mask_events))
        no_syscall(6, 2);
}

void sysenter_from_guest(struct cpu_user_regs *regs)
{
    const struct guest_callback *cb = &current->arch.sysenter_cb;

    regs->rflags = guest_rflags(regs->rflags & ~RFLAGS_TF);
    if (!bounce_rarely(current, cb, cb->mask_events))
        no_syscall(13, 0);
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
    uint64_t frame = regs->rsp, cs, rip, rflags, rsp, flags, word;
    const struct iret_context *f = (const struct iret_context *)frame;

    if (!guest_access_ok(frame))
        goto no_frame;
    smap_open();
    GET(&f->rax, word); /* the lowest word comes first, see guest_access_ok() */
    regs->rax = word;   /* whatever that is: no result of a hypercall */
    GET(&f->r11, word);
    regs->r11 = word;
    GET(&f->rcx, word);
    regs->rcx = word;
    GET(&f->flags, flags);
    GET(&f->rip, rip);
    regs->rip = rip;
    GET(&f->cs, cs);
    regs->cs = (uint16_t)(cs | 3);
    GET(&f->rflags, rflags);
    regs->rflags = guest_rflags(rflags);
    GET(&f->rsp, rsp);
    GET(&f->ss, word);
    regs->ss = (uint16_t)(word | 3);
    smap_close();
    if (v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1)
        v->arch.iopl = (uint8_t)(rflags >> 12 & 3);
    regs->rsp = rsp;
    regs->entry_vector = 0;
    if (flags & VGCF_in_syscall) {
        regs->entry_vector = TRAP_SYSCALL;
        regs->r11 = regs->rflags; /* as SYSRET leaves them, should IRETQ be needed */
        regs->rcx = rip;
    }
    /* the frame's IF is the upcall mask's opposite */
    v->info->evtchn_upcall_mask = !(rflags & RFLAGS_IF);
    v->arch.nmi_masked = false;
    if ((cs & 3) == 3) {
        if (unlikely(vcpu_root(v, false) == 0))
            domain_crash(v->domain, "vCPU %u: iret to user mode without a user root", v->vcpu_id);
        else
            enter_user_mode(v);
    }
    exit_to_guest();

no_access:
    smap_close();
no_frame:
    domain_crash(v->domain, "vCPU %u: iret frame at %lx cannot be read", v->vcpu_id, frame);
    exit_to_guest();
}
