#include "hypercall/domctl.h"

#include "domain/domain.h"
#include "sched/sched.h"

_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15, "ABI: another libxen-dev");

/* ---- from creation to death ---- */

#define CREATE_FLAGS \
    (XEN_DOMCTL_CDF_xs_domain | XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_s3_integrity)

/* What PV does not have, or we have not. oos_off and s3_integrity are about what there is none of. */
static long check_config(const struct xen_domctl_createdomain *c)
{
    if (c->flags & ~CREATE_FLAGS)
        return c->flags & ~(XEN_DOMCTL_CDF_MAX * 2 - 1) ? -EINVAL : -EOPNOTSUPP;
    if (c->iommu_opts || c->vmtrace_size || c->arch.emulation_flags ||
        (c->arch.misc_flags & ~XEN_X86_MSR_RELAXED) || c->grant_opts != XEN_DOMCTL_GRANT_version(1))
        return -EINVAL;
    if (c->arch.misc_flags)
        return -EOPNOTSUPP;
    return c->cpupool_id ? -ENOENT : 0; /* there is one pool */
}

/**
 * createdomain: domain (IN/OUT) is its id, 0 or a reserved one: any. ssidref: its roles (ROLE_*), of
 * which the caller must have all; the store's also by a flag. It is paused, without memory or vCPUs.
 * -EINVAL, -EOPNOTSUPP flags or options; -EPERM roles; -ENOENT cpupool; -EEXIST; -ENOMEM.
 */
static long domctl_createdomain(struct domain *unused, struct xen_domctl *op)
{
    struct xen_domctl_createdomain *c = &op->u.createdomain;
    domid_t id = op->domain && op->domain < DOMID_FIRST_RESERVED ? op->domain : DOMID_INVALID;
    struct domain *d;
    long rc;

    if (c->flags & XEN_DOMCTL_CDF_xs_domain)
        c->ssidref |= ROLE_STORE;
    rc = check_config(c) ?: policy_check_roles(current->domain, c->ssidref);
    rc = rc ?: domain_create(id, c, &d);
    if (rc == 0)
        op->domain = d->domain_id;
    return rc;
}

/** destroydomain: -EINVAL for oneself or the hardware domain. Preemptible. */
static long domctl_destroydomain(struct domain *d, struct xen_domctl *op) { return domain_kill(d); }

/* ---- dispatch ---- */

enum { NO_TARGET = 1, OUT = 2, OUT_ALWAYS = 4, KNOWN = 8 };

/* NONE: the ABI has it, we do not: -EOPNOTSUPP. What has no row: -ENOSYS, as assign_device, which libxl
 * takes for a machine without IOMMU. */
#define OP(name, right, flags) [XEN_DOMCTL_##name] = { domctl_##name, right, flags }
#define NONE(name) [XEN_DOMCTL_##name] = { NULL, RIGHT_CONTROL, KNOWN }

static const struct domctl_entry {
    domctl_fn *fn;
    uint8_t right, flags;
} ops[] = {
    OP(createdomain, RIGHT_CONTROL, NO_TARGET | OUT),
    OP(destroydomain, RIGHT_CONTROL, 0),
    /* domctl_vcpu.c */
    NONE(setvcpucontext),
    NONE(getvcpucontext),
    NONE(getvcpuinfo),
    NONE(set_ext_vcpucontext),
    NONE(get_ext_vcpucontext),
    NONE(setvcpuextstate),
    NONE(getvcpuextstate),
    NONE(set_vcpu_msrs),
    NONE(get_vcpu_msrs),
    NONE(set_cpu_policy),
    NONE(get_cpu_policy),
    NONE(settscinfo),
    NONE(gettscinfo),
    /* domctl_memory.c */
    NONE(getpageframeinfo3),
    NONE(shadow_op),
};

static _Atomic bool busy; /* a CPU is at a domctl */

static long dispatch(const struct domctl_entry *e, struct xen_domctl *op)
{
    const struct domain *caller = current->domain;
    struct domain *d = NULL;
    long rc;

    if (policy_check(caller, NULL, e->right))
        return -EPERM;
    if (!(e->flags & NO_TARGET)) {
        d = op->domain == DOMID_SELF ? NULL : domain_get_by_id(current->domain, op->domain);
        if (d == NULL)
            return -ESRCH;
    }
    rc = d ? policy_check(caller, d, e->right) : 0;
    rc = rc ?: e->fn ? e->fn(d, op) : -EOPNOTSUPP;
    if (d)
        domain_put(d);
    return rc;
}

/**
 * HYPERVISOR_domctl.
 * @arg  struct xen_domctl, in part OUT
 * Returns 0 or what the sub-operation says; -EFAULT; -EPERM the caller has no right to do it, at all or
 *   to that domain; -EACCES another interface version; -ESRCH no such domain; -EOPNOTSUPP, -ENOSYS.
 */
long hc_domctl(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const struct domctl_entry *e;
    struct xen_domctl op;
    long rc;

    if (policy_check(current->domain, NULL, RIGHT_INFO)) /* all others need more */
        return -EPERM;
    if (copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    e = &ops[array_index_nospec(op.cmd, ARRAY_SIZE(ops))];
    if (op.cmd >= ARRAY_SIZE(ops) || (e->fn == NULL && !(e->flags & KNOWN)))
        return -ENOSYS;
    if ((e->flags & (OUT | OUT_ALWAYS)) && copy_to_guest(_gva(arg), &op, sizeof(op)))
        return -EFAULT;
    if (atomic_exchange(&busy, true))
        return -ERESTART; /* after this CPU's softirqs */
    rc = dispatch(e, &op);
    atomic_store(&busy, false);
    if ((e->flags & OUT_ALWAYS) || ((e->flags & OUT) && rc == 0))
        rc = copy_to_guest(_gva(arg), &op, sizeof(op)) ?: rc;
    return rc;
}
