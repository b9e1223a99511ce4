/*
 * Frames on guest stacks: how exceptions, events, system calls and failsafe callbacks reach a guest
 * kernel, and HYPERVISOR_iret, the way back. The frame (from low addresses): rcx, r11,
 * [ds es fs gs], [error code], rip, cs (bits 32..39: the saved upcall mask), rflags, rsp, ss.
 * Source: <xen/arch-x86/xen.h>, <xen/callback.h>.
 */
#include "memory/guest_copy.h"
#include "x86/cpu.h"
#include "x86/upcalls.h"

#define RFLAGS_TF (1ULL << 8)
#define RFLAGS_IF (1ULL << 9)
#define RFLAGS_NT (1ULL << 14)
#define RFLAGS_RF (1ULL << 16)
#define RFLAGS_VM (1ULL << 17)
#define RFLAGS_AC (1ULL << 18)
#define RFLAGS_FIXED (1ULL << 1)
/* what a guest may have in the real flags, beside IF, which is always set */
#define RFLAGS_GUEST 0x254dd5ULL

#define VECTORS_WITH_ERROR_CODE (1u << 8 | 7u << 10 | 3u << 13 | 1u << 17 | 1u << 21)

struct bounce {
    uint64_t address;
    uint16_t cs;
    bool mask_events;
    bool has_error;
    bool failsafe;
    uint32_t error_code;
};

void vcpu_toggle_mode(struct vcpu *v)
{
    struct arch_vcpu *a = &v->arch;

    if (a->kernel_mode)
        a->gs_base_kernel = rdmsr(MSR_KERNEL_GS_BASE);
    else
        a->gs_base_user = rdmsr(MSR_KERNEL_GS_BASE);
    a->kernel_mode = !a->kernel_mode;
    wrmsr(MSR_KERNEL_GS_BASE, a->kernel_mode ? a->gs_base_kernel : a->gs_base_user);
    write_cr3(arch_vcpu_root(v));
    this_pcpu()->nr_cr3_loads++;
}

#define SEGMENT(seg)                               \
    ({                                             \
        uint64_t sel;                              \
        __asm__("mov %%" #seg ", %0" : "=r"(sel)); \
        sel & 0xffff;                              \
    })

/* Build the frame and point the guest at the handler. A guest whose stack cannot take it is over. */
static void bounce(struct vcpu *v, const struct bounce *b)
{
    struct cpu_user_regs *regs = arch_guest_regs();
    struct arch_vcpu *a = &v->arch;
    uint64_t frame[12], rsp = regs->rsp;
    uint64_t mask = v->info->evtchn_upcall_mask, cs = regs->cs;
    unsigned int n = 0;

    if (a->kernel_mode) {
        cs &= ~3ULL; /* the kernel believes that it runs in ring 0 */
    } else {
        vcpu_toggle_mode(v);
        rsp = a->kernel_sp;
    }
    frame[n++] = regs->rcx;
    frame[n++] = regs->r11;
    if (b->failsafe) {
        frame[n++] = SEGMENT(ds);
        frame[n++] = SEGMENT(es);
        frame[n++] = SEGMENT(fs);
        frame[n++] = SEGMENT(gs);
    }
    if (b->has_error)
        frame[n++] = b->error_code;
    frame[n++] = regs->rip;
    frame[n++] = cs | (mask & 0xff) << 32;
    frame[n++] =
        (regs->rflags & ~RFLAGS_IF) | (mask ? 0 : RFLAGS_IF) |
        (v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1 ? (uint64_t)a->iopl << 12 : 0);
    frame[n++] = regs->rsp;
    frame[n++] = regs->ss;
    rsp = (rsp & ~15ULL) - n * 8;
    if (copy_to_guest(_gva(rsp), frame, n * 8)) {
        domain_crash(v->domain, "vCPU %u: no room for a frame at %lx (rip %lx)", v->vcpu_id, rsp,
                     regs->rip);
        return;
    }
    if (b->mask_events)
        v->info->evtchn_upcall_mask = 1;
    regs->rsp = rsp;
    regs->ss = GUEST_DS;
    regs->cs = b->cs;
    regs->rip = b->address;
    regs->rflags &= ~(RFLAGS_AC | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_TF);
    regs->entry_vector = TRAP_SYSCALL; /* rcx and r11 are on the stack: SYSRET will do */
}

static void bounce_trap(struct vcpu *v, unsigned int vector, bool has_error, uint32_t error_code)
{
    const struct guest_trap *t = &v->arch.traps[vector];
    struct bounce b = {
        .address = t->address,
        .cs = t->cs,
        .mask_events = t->flags & 4, /* TI_GET_IF */
        .has_error = has_error,
        .error_code = error_code,
    };

    if (t->address == 0) {
        domain_crash(v->domain, "vCPU %u: trap %u (error code %x) at %lx and no handler",
                     v->vcpu_id, vector, error_code, arch_guest_regs()->rip);
        return;
    }
    bounce(v, &b);
}

void arch_inject_exception(struct vcpu *v, unsigned int vector, uint32_t error_code)
{
    BUG_ON(v != current || vector >= 32);
    bounce_trap(v, vector, VECTORS_WITH_ERROR_CODE >> vector & 1, error_code);
}

void arch_inject_soft_interrupt(struct vcpu *v, unsigned int vector)
{
    const struct guest_trap *t = &v->arch.traps[vector & 0xff];

    if (t->address && (v->arch.kernel_mode || (t->flags & 3) == 3)) {
        bounce_trap(v, vector & 0xff, false, 0);
    } else { /* as the CPU answers to a gate that is not for the caller */
        arch_guest_regs()->rip -= 2;
        arch_inject_exception(v, 13, (vector & 0xff) * 8 + 2);
    }
}

void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error_code)
{
    /* ring 3 is where the guest's kernel lives, too */
    error_code = (error_code & ~4u) | (v->arch.kernel_mode ? 0 : 4u);
    v->arch.cr2 = cr2;
    v->info->arch.cr2 = cr2;
    bounce_trap(v, 14, true, error_code);
}

static void bounce_callback(struct vcpu *v, const struct guest_callback *cb, bool failsafe,
                            const char *what)
{
    struct bounce b = {
        .address = cb->address,
        .cs = GUEST_CS64,
        .mask_events = cb->mask_events,
        .failsafe = failsafe,
    };

    if (cb->address == 0) {
        domain_crash(v->domain, "vCPU %u: %s and no callback (rip %lx)", v->vcpu_id, what,
                     arch_guest_regs()->rip);
        return;
    }
    bounce(v, &b);
}

void bounce_failsafe(struct vcpu *v) { bounce_callback(v, &v->arch.failsafe_cb, true, "failsafe"); }

/* Events and NMIs at the exit to the guest. An upcall always masks further ones. */
void deliver_pending(struct vcpu *v)
{
    struct guest_callback nmi = { v->arch.nmi_cb.address, true };

    if (atomic_load(&v->mce_pending)) {
        atomic_store(&v->mce_pending, false);
        mce_print();
        if (v->arch.traps[18].address)
            bounce_trap(v, 18, false, 0);
    }
    if (atomic_load(&v->nmi_pending) && !v->arch.nmi_masked) {
        atomic_store(&v->nmi_pending, false);
        if (nmi.address || v->arch.traps[2].address) {
            v->arch.nmi_masked = true;
            if (nmi.address)
                bounce_callback(v, &nmi, false, "NMI");
            else
                bounce_trap(v, 2, false, 0);
        }
    }
    if (v->info->evtchn_upcall_pending && !v->info->evtchn_upcall_mask) {
        struct guest_callback cb = { v->arch.event_cb.address, true };

        bounce_callback(v, &cb, false, "event");
    }
}

/* SYSCALL from user mode; where the kernel wants none it is an undefined instruction. */
static void user_syscall(struct vcpu *v, const struct guest_callback *cb,
                         struct cpu_user_regs *regs)
{
    if (cb->address) {
        bounce_callback(v, cb, false, "SYSCALL");
    } else {
        regs->rip -= 2;
        arch_inject_exception(v, 6, 0);
    }
}

void syscall_from_guest(struct cpu_user_regs *regs)
{
    struct vcpu *v = current;

    if (likely(v->arch.kernel_mode))
        hypercall_dispatch(regs);
    else
        user_syscall(v, &v->arch.syscall_cb, regs);
}

void syscall32_from_guest(struct cpu_user_regs *regs)
{
    user_syscall(current, &current->arch.syscall32_cb, regs);
}

void sysenter_from_guest(struct cpu_user_regs *regs)
{
    struct vcpu *v = current;

    regs->rflags = (regs->rflags & RFLAGS_GUEST & ~RFLAGS_TF) | RFLAGS_IF | RFLAGS_FIXED;
    if (v->arch.sysenter_cb.address)
        bounce_callback(v, &v->arch.sysenter_cb, false, "SYSENTER");
    else
        arch_inject_exception(v, 13, 0);
}

/* IRETQ to the guest faulted: bad selector, address or flags. It is told by the failsafe callback. */
void iret_fault(struct cpu_user_regs *regs) { bounce_failsafe(current); }

/*
 * HYPERVISOR_iret: struct iret_context on the guest's stack; VGCF_in_syscall: leave by SYSRET and
 * let rcx and r11 go. A cs with RPL 3 means user mode, any other the kernel.
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
    regs->rflags = (f.rflags & RFLAGS_GUEST) | RFLAGS_IF | RFLAGS_FIXED;
    regs->rsp = f.rsp;
    regs->ss = (uint16_t)(f.ss | 3);
    if (f.flags & VGCF_in_syscall) {
        regs->entry_vector = TRAP_SYSCALL;
        regs->r11 = regs->rflags; /* as SYSRET leaves them, should IRETQ be needed */
        regs->rcx = regs->rip;
    } else {
        regs->entry_vector = 0;
        regs->r11 = f.r11;
        regs->rcx = f.rcx;
    }
    /* the frame's IF is the upcall mask's opposite */
    v->info->evtchn_upcall_mask = !(f.rflags & RFLAGS_IF);
    v->arch.nmi_masked = false;
    return (long)f.rax;
}
