/*
 * Domctl: the state of a vCPU, for save, restore, dump and those who look. A toolstack may be wrong
 * or in wrong hands: what it sets is checked as if the domain itself had set it.
 */
#include "hypercall/domctl.h"

#include "emulate/emulate.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"

bool domain_has_run(struct domain *d)
{
    struct xen_domctl_getdomaininfo info;

    domain_info(d, &info);
    return info.cpu_time != 0;
}

/* ---- context ---- */

/**
 * setvcpucontext: registers and all that a guest kernel sets up; up or down as VGCF_online says. No
 * context: v becomes one that is not initialised. What a vCPU that has one may change are
 * registers, callbacks, traps and debug registers. As vcpu_context_set().
 */
long domctl_setvcpucontext(struct vcpu *v, struct xen_domctl *op)
{
    guest_va_t from = GVA_OF(op->u.vcpucontext.ctxt);
    struct domain *d = v->domain;

    if (gva_x(from))
        return vcpu_context_set(v, from, false);
    spin_lock(&d->lock);
    vcpu_pause_set(v, VPF_DOWN);
    v->is_initialised = false;
    vcpu_drop_gdt(v);
    (void)vcpu_set_ldt(v, 0, 0);
    vcpu_drop_roots(v);
    spin_unlock(&d->lock);
    return 0;
}

/** getvcpucontext: -ENODATA it has none; -EFAULT; -ENOMEM. */
long domctl_getvcpucontext(struct vcpu *v, struct xen_domctl *op)
{
    struct vcpu_guest_context *c = xmalloc_pages(sizeof(*c));
    long rc;

    if (c == NULL)
        return -ENOMEM;
    rc = v->is_initialised ? 0 : -ENODATA;
    if (rc == 0)
        arch_vcpu_get_context(v, c);
    if (!(atomic_load(&v->pause_flags) & VPF_DOWN))
        c->flags |= VGCF_online;
    rc = rc ?: copy_to_guest(GVA_OF(op->u.vcpucontext.ctxt), c, sizeof(*c));
    xfree_pages(c, sizeof(*c));
    return rc;
}

/** getvcpuinfo: of any domain, the caller's too. */
long domctl_getvcpuinfo(struct vcpu *v, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    struct vcpu_runstate_info r;
    uint32_t flags;

    vcpu_runstate_get(v, &r);
    flags = atomic_load(&v->pause_flags);
    info->online = !(flags & VPF_DOWN);
    info->blocked = (flags & VPF_BLOCKED) != 0;
    info->running = r.state == RUNSTATE_running;
    info->cpu_time = r.time[RUNSTATE_running];
    info->cpu = atomic_load(&v->processor);
    return 0;
}

/**
 * set_ext_vcpucontext: the callbacks that a context has no room for. Their selectors are the ABI's; of
 * machine checks a guest has no banks.
 * -EINVAL size too small, an address not canonical, banks.
 */
long domctl_set_ext_vcpucontext(struct vcpu *v, struct xen_domctl *op)
{
    const struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;

    if (e->size < offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) ||
        !va_is_canonical(e->syscall32_callback_eip) || !va_is_canonical(e->sysenter_callback_eip) ||
        (e->size >= offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) + 8 && e->mcg_cap))
        return -EINVAL;
    v->arch.syscall32_cb =
        (struct guest_callback){ e->syscall32_callback_eip, e->syscall32_disables_events };
    v->arch.sysenter_cb =
        (struct guest_callback){ e->sysenter_callback_eip, e->sysenter_disables_events };
    return 0;
}

/** get_ext_vcpucontext: 0. */
long domctl_get_ext_vcpucontext(struct vcpu *v, struct xen_domctl *op)
{
    struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;

    *e = (struct xen_domctl_ext_vcpucontext){
        .vcpu = e->vcpu,
        .size = sizeof(*e),
        .syscall32_callback_eip = v->arch.syscall32_cb.address,
        .sysenter_callback_eip = v->arch.sysenter_cb.address,
        .syscall32_callback_cs = FLAT_KERNEL_CS,
        .sysenter_callback_cs = FLAT_KERNEL_CS,
        .syscall32_disables_events = v->arch.syscall32_cb.mask_events,
        .sysenter_disables_events = v->arch.sysenter_cb.mask_events,
    };
    return 0;
}

/* ---- FPU state beyond FXSAVE's ---- */

/* Tools keep it as it is, so its form is Xen's: XCR0, what was ever enabled, an XSAVE area. */
struct extstate {
    uint64_t xcr0, accum;
    uint8_t fxsave[512];
    uint64_t xstate_bv, xcomp_bv, reserved[6];
};
#define AREA_OFFSET offsetof(struct extstate, fxsave)
_Static_assert(AREA_OFFSET == 2 * sizeof(uint64_t), "xcr0, accum");

static bool extstate_ok(const struct domain *d, const struct extstate *x, uint64_t size)
{
    uint64_t must_be_zero = x->xcomp_bv; /* the standard form */

    for (unsigned int i = 0; i < ARRAY_SIZE(x->reserved); i++)
        must_be_zero |= x->reserved[i];
    return guest_xcr0_ok(d, x->xcr0) && guest_xcr0_ok(d, x->accum) &&
           size == AREA_OFFSET + xstate_bytes(x->accum) && !(x->xcr0 & ~x->accum) &&
           !(x->xstate_bv & ~x->accum) && !must_be_zero;
}

/**
 * setvcpuextstate. -EINVAL size, features that the domain has not, a header that the CPU would refuse;
 * -EFAULT; -ENOMEM.
 */
long domctl_setvcpuextstate(struct vcpu *v, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
    uint64_t size = e->size;
    struct extstate *x;
    long rc;

    if (size < sizeof(*x) || size > AREA_OFFSET + xstate_bytes(arch_xcr0_mask))
        return -EINVAL;
    x = xmalloc_pages(size);
    if (x == NULL)
        return -ENOMEM;
    rc = copy_from_guest(x, GVA_OF(e->buffer), size);
    if (rc == 0 && !extstate_ok(v->domain, x, size))
        rc = -EINVAL;
    if (rc == 0) {
        v->arch.xcr0 = x->xcr0;
        arch_vcpu_set_fpu(v, x->fxsave, size - AREA_OFFSET);
    }
    xfree_pages(x, size);
    return rc;
}

/**
 * getvcpuextstate: without size and mask, or without buffer: these two; else both must be so. A CPU without
 * XSAVE has 0 and 0. -EINVAL; -EFAULT.
 */
long domctl_getvcpuextstate(struct vcpu *v, struct xen_domctl *op)
{
    struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
    const struct extstate *now = (const void *)((const char *)v->arch.fpu - AREA_OFFSET);
    uint64_t size = 0, head[2] = { v->arch.xcr0 }; /* and accum */
    guest_va_t to = GVA_OF(e->buffer);

    if (arch_xcr0_mask) {
        head[1] = v->arch.xcr0 | now->xstate_bv;
        size = AREA_OFFSET + xstate_bytes(head[1]);
    }
    if ((e->size == 0 && e->xfeature_mask == 0) || gva_x(to) == 0) {
        e->size = size;
        e->xfeature_mask = arch_xcr0_mask;
        return 0;
    }
    if (e->size != size || e->xfeature_mask != arch_xcr0_mask)
        return -EINVAL;
    return copy_to_guest(to, head, sizeof(head))
               ?: copy_to_guest(gva_index(to, 1, AREA_OFFSET), v->arch.fpu, size - AREA_OFFSET);
}

/* ---- MSRs that are a vCPU's ---- */

/** get_vcpu_msrs: those that are not zero. Without a buffer: how many there may be. -ENOBUFS; -EFAULT. */
long domctl_get_vcpu_msrs(struct vcpu *v, struct xen_domctl *op)
{
    struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
    struct xen_domctl_vcpu_msr aux = { .index = MSR_TSC_AUX };
    uint32_t room = m->msr_count;

    m->msr_count = 1;
    if (GVA_OF(m->msrs).v == 0)
        return 0;
    aux.value = READ_ONCE(v->arch.tsc_aux);
    m->msr_count = aux.value != 0;
    if (room < m->msr_count)
        return -ENOBUFS;
    return m->msr_count ? copy_to_guest(GVA_OF(m->msrs), &aux, sizeof(aux)) : 0;
}

/**
 * set_vcpu_msrs. -EINVAL an MSR or value that it cannot have (then msr_count is its index), or too many;
 * -EFAULT.
 */
long domctl_set_vcpu_msrs(struct vcpu *v, struct xen_domctl *op)
{
    struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
    uint32_t nr = m->msr_count, leaf[4];
    struct xen_domctl_vcpu_msr msr;

    m->msr_count = GVA_OF(m->msrs).v == 0;
    if (m->msr_count || nr == 0)
        return 0;
    if (copy_from_guest(&msr, GVA_OF(m->msrs), sizeof(msr)))
        return -EFAULT;
    guest_cpuid(v, 0x80000001, 0, leaf);
    if (nr > 1 || msr.index != MSR_TSC_AUX || msr.reserved || msr.value >> 32 ||
        (msr.value && !(leaf[3] >> 27 & 1))) /* RDTSCP */
        return -EINVAL;
    v->arch.tsc_aux = msr.value;
    m->msr_count = 1;
    return 0;
}

/* ---- time ---- */

/** settscinfo: -EINVAL; -EEXIST the domain has run. */
long domctl_settscinfo(struct domain *d, struct xen_domctl *op)
{
    op->u.tsc_info.incarnation++;
    return domain_has_run(d) ? -EEXIST : domain_set_tsc(d, &op->u.tsc_info);
}

/** gettscinfo: 0. */
long domctl_gettscinfo(struct domain *d, struct xen_domctl *op)
{
    domain_get_tsc(d, &op->u.tsc_info);
    return 0;
}
