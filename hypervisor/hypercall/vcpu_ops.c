/*
 * What a guest kernel sets up for its own vCPU: traps, callbacks, segments, debug registers; and all of
 * that at once, in a context.
 */
#include "hypercall/hypercall.h"

#include <xen/callback.h>
#include <xen/nmi.h>

#include "emulate/emulate.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"

#define CR0_TS (1ULL << 3)

/**
 * HYPERVISOR_set_trap_table: handlers of exceptions and of `int n`.
 * @list  guest address of struct trap_info, ended by one with address 0; NULL forgets all handlers
 * Returns 0; -EFAULT, -EINVAL (address not canonical): entries before it are set. Preemptible.
 */
long hc_set_trap_table(uint64_t list, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct guest_trap *traps = current->arch.traps;
    struct trap_info t;

    if (list == 0) {
        memset(traps, 0, 256 * sizeof(*traps));
        return 0;
    }
    for (unsigned int n = 0; n % 16 || n == 0 || !hypercall_preempt_check(); n++) {
        if (copy_from_guest(&t, _gva(list), sizeof(t)))
            return -EFAULT;
        if (t.address == 0)
            return 0;
        if (!va_is_canonical(t.address))
            return -EINVAL;
        traps[t.vector] = (struct guest_trap){ t.address, guest_selector(t.cs), t.flags & 7 };
        list += sizeof(t);
    }
    return hypercall_continue(1, &list);
}

/**
 * HYPERVISOR_set_gdt.
 * @frames   guest address of the frame numbers, one for each 512 descriptors
 * @nr_ents  number of descriptors, below FIRST_RESERVED_GDT_ENTRY
 * Returns 0; -EFAULT; -EINVAL too many, or a frame that cannot be a descriptor table.
 */
long hc_set_gdt(uint64_t frames, uint64_t nr_ents, uint64_t a3, uint64_t a4, uint64_t a5)
{
    uint64_t list[FIRST_RESERVED_GDT_PAGE];
    unsigned int n = (uint32_t)nr_ents;

    if (n > MAX_GDT_ENTRIES)
        return -EINVAL;
    return copy_from_guest(list, _gva(frames), DIV_ROUND_UP(n, 512) * sizeof(list[0]))
               ?: or_again(vcpu_set_gdt(current, list, n));
}

/** HYPERVISOR_stack_switch: the kernel's stack for entries from user mode. Returns 0. */
long hc_stack_switch(uint64_t ss, uint64_t sp, uint64_t a3, uint64_t a4, uint64_t a5)
{
    current->arch.kernel_ss = guest_selector(ss);
    current->arch.kernel_sp = sp;
    return 0;
}

/** HYPERVISOR_fpu_taskswitch: set (1) or clear (0) the guest's CR0.TS. Returns 0. */
long hc_fpu_taskswitch(uint64_t set, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    uint64_t *cr0 = &current->arch.cr0;

    *cr0 = set ? *cr0 | CR0_TS : *cr0 & ~CR0_TS;
    arch_vcpu_crs_changed(current);
    return 0;
}

/* ---- callbacks ---- */

/** HYPERVISOR_set_callbacks: event, failsafe and syscall entry at once. 0 or -EINVAL. */
long hc_set_callbacks(uint64_t event, uint64_t failsafe, uint64_t syscall, uint64_t a4, uint64_t a5)
{
    struct arch_vcpu *a = &current->arch;

    if (!va_is_canonical(event) || !va_is_canonical(failsafe) || !va_is_canonical(syscall))
        return -EINVAL;
    a->event_cb.address = event;
    a->failsafe_cb.address = failsafe;
    a->syscall_cb.address = syscall;
    return 0;
}

static long callback_set(struct guest_callback *cb, uint64_t address, bool mask_events)
{
    if (!va_is_canonical(address))
        return -EINVAL;
    *cb = (struct guest_callback){ address, mask_events };
    return 0;
}

/**
 * HYPERVISOR_callback_op: register or unregister an entry point of the guest kernel.
 * Returns 0; -EFAULT; -EINVAL address not canonical, or a type that cannot be unregistered;
 *   -ENOSYS unknown command or type, and sysenter_deprecated, which is for 32-bit hypervisors.
 */
long hc_callback_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct arch_vcpu *a = &current->arch;
    struct guest_callback *const of_type[] = {
        [CALLBACKTYPE_event] = &a->event_cb,       [CALLBACKTYPE_failsafe] = &a->failsafe_cb,
        [CALLBACKTYPE_syscall] = &a->syscall_cb,   [CALLBACKTYPE_nmi] = &a->nmi_cb,
        [CALLBACKTYPE_sysenter] = &a->sysenter_cb, [CALLBACKTYPE_syscall32] = &a->syscall32_cb,
    };
    struct callback_register r = { 0 }; /* CALLBACKOP_unregister's is its first four bytes */
    size_t bytes = cmd == CALLBACKOP_register ? sizeof(r) : sizeof(struct callback_unregister);
    struct guest_callback *cb;

    if (cmd != CALLBACKOP_register && cmd != CALLBACKOP_unregister)
        return -ENOSYS;
    if (copy_from_guest(&r, _gva(arg), bytes))
        return -EFAULT;
    cb = of_type[array_index_nospec(r.type, ARRAY_SIZE(of_type))];
    if (r.type >= ARRAY_SIZE(of_type) || cb == NULL)
        return -ENOSYS;
    if (cmd == CALLBACKOP_unregister && r.type != CALLBACKTYPE_nmi)
        return -EINVAL;
    return callback_set(cb, r.address, r.flags & CALLBACKF_mask_events);
}

/** HYPERVISOR_nmi_op: 0; -EFAULT; -EINVAL not canonical; -ENOSYS. */
long hc_nmi_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xennmi_callback op = { 0 };

    if (cmd != XENNMI_register_callback && cmd != XENNMI_unregister_callback)
        return -ENOSYS;
    if (cmd == XENNMI_register_callback && copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    return callback_set(&current->arch.nmi_cb, op.handler_address, false);
}

/* ---- segments and descriptors ---- */

/** HYPERVISOR_set_segment_base: 0; -EINVAL not canonical or no such base. */
long hc_set_segment_base(uint64_t which, uint64_t base, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct vcpu *v = current;

    if (which == SEGBASE_GS_USER_SEL) {
        arch_vcpu_load_gs_user(v, (uint16_t)base);
        return 0;
    }
    if (!va_is_canonical(base))
        return -EINVAL;
    switch (which) {
    case SEGBASE_FS: arch_vcpu_set_base(v, &v->arch.fs_base, base); return 0;
    case SEGBASE_GS_USER: arch_vcpu_set_base(v, &v->arch.gs_base_user, base); return 0;
    case SEGBASE_GS_KERNEL: arch_vcpu_set_base(v, &v->arch.gs_base_kernel, base); return 0;
    default: return -EINVAL;
    }
}

/**
 * HYPERVISOR_update_descriptor: write one descriptor into a frame of the caller's.
 * @maddr  its machine address, 8-aligned
 * Returns 0; -EINVAL bad descriptor or address, or a frame that is neither writable nor a
 *   descriptor table of the caller's.
 */
long hc_update_descriptor(uint64_t maddr, uint64_t desc, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return or_again(desc_update(current->domain, maddr, desc));
}

/* ---- debug registers ---- */

/** HYPERVISOR_set_debugreg: see guest_set_debugreg(). */
long hc_set_debugreg(uint64_t reg, uint64_t value, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return reg > 7 ? -EINVAL : guest_set_debugreg(current, (unsigned int)reg, value);
}

/** HYPERVISOR_get_debugreg: the value; -EINVAL no such register. */
long hc_get_debugreg(uint64_t reg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    if (reg == 4 || reg == 5 || reg > 7)
        return -EINVAL;
    return (long)current->arch.dr[array_index_nospec(reg, 8)];
}

/* ---- assists and contexts ---- */

#define VM_ASSIST_VALID                                                                   \
    ((1ULL << VMASST_TYPE_4gb_segments) | (1ULL << VMASST_TYPE_4gb_segments_notify) |     \
     (1ULL << VMASST_TYPE_writable_pagetables) | (1ULL << VMASST_TYPE_pae_extended_cr3) | \
     (1ULL << VMASST_TYPE_architectural_iopl) | (1ULL << VMASST_TYPE_runstate_update_flag))

/** HYPERVISOR_vm_assist: 0; -EINVAL unknown type (m2p_strict: later); -ENOSYS unknown command. */
long hc_vm_assist(uint64_t cmd, uint64_t type, uint64_t a3, uint64_t a4, uint64_t a5)
{
    if (cmd != VMASST_CMD_enable && cmd != VMASST_CMD_disable)
        return -ENOSYS;
    if (type >= 64 || !(VM_ASSIST_VALID >> type & 1))
        return -EINVAL;
    if (cmd == VMASST_CMD_enable)
        __atomic_fetch_or(&current->domain->vm_assist, 1ULL << type, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&current->domain->vm_assist, ~(1ULL << type), __ATOMIC_SEQ_CST);
    return 0;
}

/* What v has of the frames that a context names. */
static bool same_frames(const struct vcpu *v, const struct vcpu_guest_context *c)
{
    const struct arch_vcpu *a = &v->arch;
    bool same = a->cr3_kernel == c->ctrlreg[3] && a->cr3_user == c->ctrlreg[1] &&
                a->nr_gdt_ents == c->gdt_ents && a->nr_ldt_ents == c->ldt_ents &&
                (a->nr_ldt_ents == 0 || a->ldt_base == c->ldt_base);

    for (unsigned int i = 0; i * 512 < a->nr_gdt_ents; i++)
        same &= mfn_x(a->gdt_frames[i]) == c->gdt_frames[i];
    return same;
}

/* The LDT is found through the kernel's root. */
static int take_frames(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct domain *d = v->domain;

    return vcpu_set_gdt(v, c->gdt_frames, (unsigned int)c->gdt_ents)
               ?: vcpu_set_root(v, gfn_to_mfn(d, _gfn(c->ctrlreg[1] >> PAGE_SHIFT)), true)
               ?: vcpu_set_root(v, gfn_to_mfn(d, _gfn(c->ctrlreg[3] >> PAGE_SHIFT)), false)
               ?: vcpu_set_ldt(v, c->ldt_base, (unsigned int)c->ldt_ents);
}

/* Roots stay when it is to be tried again: they may have been long in validation. */
static int drop_frames(struct vcpu *v, int rc)
{
    vcpu_drop_gdt(v);
    (void)vcpu_set_ldt(v, 0, 0);
    if (rc != -ERESTART && rc != -EAGAIN)
        vcpu_drop_roots(v);
    return rc;
}

/* v's domain's lock is held. As vcpu_context_set(), or -EAGAIN. */
static int context_set_locked(struct vcpu *v, const struct vcpu_guest_context *c)
{
    uint64_t dr[8], cr4 = guest_cr4_bits(v->domain);
    struct arch_vcpu *a = &v->arch;
    int rc = 0;

    memcpy(dr, c->debugreg, sizeof(dr));
    dr[4] = dr[5] = 0;
    for (unsigned int i = 0; rc == 0 && i < 8; i++)
        rc = i >> 1 == 2 ? 0 : guest_debugreg(i, &dr[i]);
    if (rc)
        return rc;
    if (c->gdt_ents > MAX_GDT_ENTRIES || c->ldt_ents > 8192)
        return -EINVAL;
    if (!v->is_initialised) {
        rc = take_frames(v, c) ?: arch_vcpu_set_context(v, c);
        if (rc)
            return drop_frames(v, rc);
        if (v->vcpu_id == 0) /* the domain's, and others may be running already */
            v->domain->vm_assist = c->vm_assist & VM_ASSIST_VALID;
    } else {
        rc = same_frames(v, c) ? arch_vcpu_set_context(v, c) : -EOPNOTSUPP;
        if (rc)
            return rc;
    }
    memcpy(a->dr, dr, sizeof(dr));
    a->cr4 = c->ctrlreg[4] ? (a->cr4 & ~cr4) | (c->ctrlreg[4] & cr4) : a->cr4;
    v->is_initialised = true;
    return 0;
}

long vcpu_context_set(struct vcpu *v, guest_va_t from, bool first)
{
    struct vcpu_guest_context *c = xmalloc_pages(sizeof(*c));
    long rc = c ? copy_from_guest(c, from, sizeof(*c)) : -ENOMEM;

    if (rc == 0) {
        spin_lock(&v->domain->lock);
        rc = first && v->is_initialised ? -EEXIST : context_set_locked(v, c);
        if (rc == 0 && first)
            v->info->evtchn_upcall_mask = 1;
        if (rc == 0)
            (c->flags & VGCF_online ? vcpu_pause_clear : vcpu_pause_set)(v, VPF_DOWN);
        spin_unlock(&v->domain->lock);
    }
    xfree_pages(c, sizeof(*c));
    return or_again(rc);
}

/* ---- the rest ---- */

/** HYPERVISOR_set_timer_op: VIRQ_TIMER at this system time; 0 stops it. Returns 0. */
long hc_set_timer_op(uint64_t timeout_ns, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    vcpu_set_timer(current, timeout_ns);
    return 0;
}

/** HYPERVISOR_xenpmu_op: -EOPNOTSUPP always. */
long hc_xenpmu_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return -EOPNOTSUPP;
}
