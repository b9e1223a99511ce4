#include "hypercall/domctl.h"

#include "domain/domain.h"
#include "emulate/emulate.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "sched/time.h"

_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15, "ABI: another libxen-dev");

#define MAX_PAUSES 255u /* by the toolstack, as on Xen */

static void apply_shares(struct domain *d);

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
 * -EINVAL, -EOPNOTSUPP flags or options; -EPERM roles, also such as there are not; -ENOENT cpupool; -EEXIST; -ENOMEM.
 */
static long domctl_createdomain(struct domain *unused, struct xen_domctl *op)
{
    struct xen_domctl_createdomain *c = &op->u.createdomain;
    domid_t id = op->domain && op->domain < DOMID_FIRST_RESERVED ? op->domain : DOMID_INVALID;
    struct domain *d;
    long rc;

    if (c->flags & XEN_DOMCTL_CDF_xs_domain)
        c->ssidref |= SSIDREF_OF(ROLE_STORE);
    rc = check_config(c) ?: ROLES_OF(c->ssidref) & ~current->domain->roles ? -EPERM : 0;
    rc = rc ?: domain_create(id, c, &d);
    if (rc == 0)
        op->domain = d->domain_id;
    return rc;
}

/** destroydomain: -EINVAL for oneself or the hardware domain. Preemptible. */
static long domctl_destroydomain(struct domain *d, struct xen_domctl *op) { return domain_kill(d); }

/**
 * pausedomain, unpausedomain: counted. -EINVAL not paused; -EOVERFLOW too often. The builder
 * has cleared shared_info, so the wall clock is written when it is done.
 */
static long domctl_pausedomain(struct domain *d, struct xen_domctl *op)
{
    if (d->pause_count >= MAX_PAUSES)
        return -EOVERFLOW;
    domain_pause(d);
    return 0;
}

static long domctl_unpausedomain(struct domain *d, struct xen_domctl *op)
{
    if (d->pause_count == 0)
        return -EINVAL;
    domain_wallclock_update(d);
    domain_unpause(d);
    return 0;
}

/** resumedomain: go on after a shutdown, as to suspend; without one nothing happens. */
static long domctl_resumedomain(struct domain *d, struct xen_domctl *op)
{
    domain_resume(d);
    return 0;
}

/** max_vcpus: create them all. -EINVAL not as many as createdomain said; -ENOMEM. Preemptible. */
static long domctl_max_vcpus(struct domain *d, struct xen_domctl *op)
{
    long rc = 0;

    if (op->u.max_vcpus.max != d->max_vcpus || d->is_dying)
        return -EINVAL;
    for (uint32_t i = 0; rc == 0 && i < d->max_vcpus; i++)
        if (d->vcpu[i] == NULL)
            rc = vcpu_create(d, i) ?: hypercall_preempt_check() ? -ERESTART : 0;
    apply_shares(d);
    return rc;
}

/* ---- what a domain is and has ---- */

void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    struct vcpu_runstate_info r;
    uint32_t blocked = XEN_DOMINF_blocked;
    struct vcpu *v;

    memset(info, 0, sizeof(*info));
    info->domain = d->domain_id;
    info->max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    for_each_vcpu (d, v) {
        uint32_t why = atomic_load(&v->pause_flags);

        vcpu_runstate_get(v, &r);
        info->cpu_time += r.time[RUNSTATE_running];
        info->max_vcpu_id = v->vcpu_id;
        if (why & VPF_DOWN)
            continue;
        info->nr_online_vcpus++;
        info->flags |= atomic_load(&v->running) ? XEN_DOMINF_running : 0;
        blocked = why & VPF_BLOCKED ? blocked : 0;
    }
    info->flags |= blocked;
    info->flags |= domain_is_dead(d) ? XEN_DOMINF_dying : 0;
    info->flags |= READ_ONCE(d->pause_count) ? XEN_DOMINF_paused : 0;
    info->flags |= d->roles == ROLE_STORE ? XEN_DOMINF_xs_domain : 0;
    if (READ_ONCE(d->shutdown_told))
        info->flags |= XEN_DOMINF_shutdown | (d->shutdown_code & XEN_DOMINF_shutdownmask)
                                                 << XEN_DOMINF_shutdownshift;
    info->tot_pages = READ_ONCE(d->nr_pages);
    info->max_pages = READ_ONCE(d->max_pages);
    info->outstanding_pages = READ_ONCE(d->nr_claimed);
    info->shared_info_frame = mfn_x(d->shared_info_mfn);
    info->ssidref = SSIDREF_OF(d->roles);
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->gpaddr_bits = (uint8_t)arch_paddr_bits;
}

/** getdomaininfo: of the first domain with this id or a greater one, which domain then is. -ESRCH. */
static long domctl_getdomaininfo(struct domain *unused, struct xen_domctl *op)
{
    struct domain *d = domain_get_from(op->domain);

    if (d == NULL)
        return -ESRCH;
    domain_info(d, &op->u.getdomaininfo);
    op->domain = d->domain_id;
    domain_put(d);
    return 0;
}

/** max_mem: what it has beyond that it keeps. */
static long domctl_max_mem(struct domain *d, struct xen_domctl *op)
{
    spin_lock(&d->page_lock);
    d->max_pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);
    spin_unlock(&d->page_lock);
    return 0;
}

static long domctl_setdomainhandle(struct domain *d, struct xen_domctl *op)
{
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}

static long domctl_settimeoffset(struct domain *d, struct xen_domctl *op)
{
    WRITE_ONCE(d->time_offset_s, op->u.settimeoffset.time_offset_seconds);
    domain_wallclock_update(d);
    return 0;
}

/** set_address_size: 64 is what all have. -EOPNOTSUPP 32; -EINVAL. */
static long domctl_set_address_size(struct domain *d, struct xen_domctl *op)
{
    uint32_t size = op->u.address_size.size;

    return size == 64 ? 0 : size == 32 ? -EOPNOTSUPP : -EINVAL;
}

static long domctl_get_address_size(struct domain *d, struct xen_domctl *op)
{
    op->u.address_size.size = 64;
    return 0;
}

/** hypercall_init: gmfn, the domain's frame, becomes a hypercall page. -EINVAL: it cannot. */
static long domctl_hypercall_init(struct domain *d, struct xen_domctl *op)
{
    return hypercall_page_put(d, _gfn(op->u.hypercall_init.gmfn));
}

/** sendtrigger: an NMI. -ESRCH no such vCPU; -EINVAL power or sleep button, which PV has not; -ENOSYS. */
static long domctl_sendtrigger(struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = domain_vcpu(d, op->u.sendtrigger.vcpu);

    if (v == NULL)
        return -ESRCH;
    switch (op->u.sendtrigger.trigger) {
    case XEN_DOMCTL_SENDTRIGGER_NMI: return vcpu_send_nmi(v);
    case XEN_DOMCTL_SENDTRIGGER_POWER:
    case XEN_DOMCTL_SENDTRIGGER_SLEEP: return -EINVAL;
    default: return -ENOSYS;
    }
}

/* ---- scheduling ---- */

#define MAX_BITMAP_BYTES 512u

/* What we have none of is cut off. -EINVAL: too long, -EFAULT. */
static long bitmap_in(const struct xenctl_bitmap *map, uint64_t *bits)
{
    *bits = 0;
    if (map->nr_bits > MAX_BITMAP_BYTES * 8)
        return -EINVAL;
    if (copy_from_guest(bits, GVA_OF(map->bitmap),
                        MIN(DIV_ROUND_UP(map->nr_bits, 8u), sizeof(*bits))))
        return -EFAULT;
    if (map->nr_bits < 64)
        *bits &= (1ULL << map->nr_bits) - 1;
    return 0;
}

long bitmap_out(const struct xenctl_bitmap *map, uint64_t bits)
{
    uint8_t bytes[MAX_BITMAP_BYTES] = { 0 };

    if (map->nr_bits > sizeof(bytes) * 8)
        return -EINVAL;
    if (map->nr_bits < 64)
        bits &= (1ULL << map->nr_bits) - 1;
    memcpy(bytes, &bits, sizeof(bits));
    return copy_to_guest(GVA_OF(map->bitmap), bytes, DIV_ROUND_UP(map->nr_bits, 8u));
}

/* Those of the two maps that a asks for. */
static long affinity_out(const struct xen_domctl_vcpuaffinity *a, uint64_t hard, uint64_t soft)
{
    long rc = a->flags & XEN_VCPUAFFINITY_HARD ? bitmap_out(&a->cpumap_hard, hard) : 0;

    if (rc == 0 && (a->flags & XEN_VCPUAFFINITY_SOFT))
        rc = bitmap_out(&a->cpumap_soft, soft);
    return rc;
}

/**
 * setvcpuaffinity: the CPUs that vcpu may run on (hard), and those that it prefers (soft). The maps come
 * back as what is in effect, without CPUs that are not there. -EINVAL no map, no such vcpu, no CPU is
 * left in hard; -EFAULT (it may be done).
 */
static long domctl_setvcpuaffinity(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = domain_vcpu(d, a->vcpu);
    uint64_t hard, soft;
    long rc = 0;

    if (v == NULL || !(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    hard = v->hard_affinity;
    soft = v->soft_affinity;
    if (a->flags & XEN_VCPUAFFINITY_HARD)
        rc = bitmap_in(&a->cpumap_hard, &hard);
    if (rc == 0 && (a->flags & XEN_VCPUAFFINITY_SOFT))
        rc = bitmap_in(&a->cpumap_soft, &soft);
    rc = rc ?: sched_set_affinity(v, hard, soft);
    if (rc)
        return rc;
    v->hard_affinity = hard;
    v->soft_affinity = soft;
    hard &= arch_cpus_online();
    return affinity_out(a, hard, hard & soft);
}

/** getvcpuaffinity: as it was set. -EINVAL no map, or too long; -EFAULT. */
static long domctl_getvcpuaffinity(struct vcpu *v, struct xen_domctl *op)
{
    if (!(op->u.vcpuaffinity.flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    return affinity_out(&op->u.vcpuaffinity, v->hard_affinity, v->soft_affinity);
}

/** setnodeaffinity, getnodeaffinity: there is node 0. -EINVAL: it is not among them; -EFAULT. */
static long domctl_setnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    uint64_t nodes;

    return bitmap_in(&op->u.nodeaffinity.nodemap, &nodes) ?: nodes & 1 ? 0 : -EINVAL;
}

static long domctl_getnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    return bitmap_out(&op->u.nodeaffinity.nodemap, 1);
}

/*
 * A cap is of the whole domain, in percent of a CPU, and each of its vCPUs may use an equal part of it.
 * (On Xen one may use what the others leave.)
 */
static void apply_shares(struct domain *d)
{
    uint32_t n = 0;
    struct vcpu *v;

    for_each_vcpu (d, v)
        n++;
    for_each_vcpu (d, v)
        sched_set_params(v, d->weight, DIV_ROUND_UP(d->cap, n));
}

/**
 * scheduler_op: getinfo, putinfo of credit2's weight (0: stays) and cap (percent of a CPU, 0: none,
 * 65535: stays). -EINVAL: another scheduler or command; there are no parameters of single vCPUs.
 */
static long domctl_scheduler_op(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_sched_credit2 *c = &op->u.scheduler_op.u.credit2;

    if (op->u.scheduler_op.sched_id != XEN_SCHEDULER_CREDIT2)
        return -EINVAL;
    switch (op->u.scheduler_op.cmd) {
    case XEN_DOMCTL_SCHEDOP_getinfo: *c = (typeof(*c)){ d->weight, d->cap }; return 0;
    case XEN_DOMCTL_SCHEDOP_putinfo:
        d->weight = c->weight ?: d->weight;
        d->cap = c->cap == UINT16_MAX ? d->cap : c->cap;
        apply_shares(d);
        return 0;
    default: return -EINVAL;
    }
}

/* ---- devices: what the caller has itself, for a domain in the hardware role; and from any ---- */

static bool have_all(const struct ranges *s, uint64_t first, uint64_t last)
{
    for (uint32_t i = 0; i < s->nr && first <= last; i++)
        if (first >= s->of[i].first && first <= s->of[i].last) {
            first = s->of[i].last + 1;
            i = ~0u; /* the next piece may be in any */
        }
    return first > last;
}

/* Of its ranges n from first on, below end: -EINVAL; -EPERM a role, or the caller has not mine; -ENOMEM. */
static long permit(struct domain *d, struct ranges *its, const struct ranges *mine, uint64_t first,
                   uint64_t n, uint64_t end, bool allow)
{
    long rc = allow ? policy_check(d, d, RIGHT_DEVICES) : 0;

    if (rc)
        return rc;
    if (n == 0 || n > end || first > end - n)
        return -EINVAL;
    if (!have_all(mine, first, first + n - 1))
        return -EPERM;
    if (allow && have_all(its, first, first + n - 1))
        return 0;
    return domain_ranges_change(d, its, first, first + n - 1, allow);
}

/** ioport_permission: -EINVAL no such ports; -EPERM a role, or ports that the caller has not; -ENOMEM. */
static long domctl_ioport_permission(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_ioport_permission *p = &op->u.ioport_permission;

    return permit(d, &d->ioports, &current->domain->ioports, p->first_port, p->nr_ports, NR_IOPORTS,
                  p->allow_access);
}

/**
 * iomem_permission: what it has mapped stays so. -EINVAL no such frames; -EPERM a role, or frames that
 * the caller has not, or not to write; -ENOMEM too many ranges.
 */
static long domctl_iomem_permission(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_iomem_permission *p = &op->u.iomem_permission;
    const struct domain *mine = current->domain;

    if (ranges_meet(&mine->iomem_ro, p->first_mfn, p->first_mfn + p->nr_mfns - 1))
        return -EPERM;
    return permit(d, &d->iomem, &mine->iomem, p->first_mfn, p->nr_mfns,
                  1ULL << (arch_paddr_bits - PAGE_SHIFT), p->allow_access);
}

/* ---- dispatch ---- */

enum { NO_TARGET = 1, OUT = 2, OUT_ALWAYS = 4, NOT_SELF = 8, STOPPED = 16 };

#define OP(name, right, flags) [XEN_DOMCTL_##name] = { domctl_##name, NULL, right, flags, 0 }
#define VCPU_AT(of) offsetof(struct xen_domctl, u.of.vcpu) /* its number */
#define VCPU_OP(name, of, right, flags) \
    [XEN_DOMCTL_##name] = { NULL, domctl_##name, right, flags, VCPU_AT(of) }

/*
 * What has no row: -ENOSYS. Only the hardware domain has interrupts; no debugger, HVM guest or paging of
 * theirs; one node; no IOMMU, which libxl learns by that.
 */
static const struct domctl_entry {
    domctl_fn *fn;
    domctl_vcpu_fn *vcpu_fn;
    uint8_t right, flags, vcpu_at;
} ops[] = {
    OP(createdomain, RIGHT_CONTROL, NO_TARGET | OUT),
    OP(destroydomain, RIGHT_CONTROL, 0),
    OP(pausedomain, RIGHT_CONTROL, NOT_SELF),
    OP(unpausedomain, RIGHT_CONTROL, NOT_SELF),
    OP(resumedomain, RIGHT_CONTROL, NOT_SELF),
    OP(max_vcpus, RIGHT_CONTROL, NOT_SELF),
    OP(getdomaininfo, RIGHT_INFO, NO_TARGET | OUT),
    OP(max_mem, RIGHT_CONTROL, 0),
    OP(setdomainhandle, RIGHT_CONTROL, 0),
    OP(settimeoffset, RIGHT_CONTROL, 0),
    OP(set_address_size, RIGHT_CONTROL, 0),
    OP(get_address_size, RIGHT_INFO, OUT),
    OP(hypercall_init, RIGHT_CONTROL, 0),
    OP(sendtrigger, RIGHT_CONTROL, 0),
    OP(setvcpuaffinity, RIGHT_CONTROL, 0),
    VCPU_OP(getvcpuaffinity, vcpuaffinity, RIGHT_INFO, 0),
    OP(setnodeaffinity, RIGHT_CONTROL, 0),
    OP(getnodeaffinity, RIGHT_INFO, 0),
    OP(scheduler_op, RIGHT_CONTROL, OUT),
    OP(ioport_permission, RIGHT_ASSIGN, STOPPED),
    OP(iomem_permission, RIGHT_ASSIGN, 0),
    /* domctl_vcpu.c, cpu_policy.c */
    VCPU_OP(setvcpucontext, vcpucontext, RIGHT_CONTROL, STOPPED),
    VCPU_OP(getvcpucontext, vcpucontext, RIGHT_CONTROL, STOPPED),
    VCPU_OP(getvcpuinfo, getvcpuinfo, RIGHT_INFO, OUT),
    VCPU_OP(set_ext_vcpucontext, ext_vcpucontext, RIGHT_CONTROL, STOPPED),
    VCPU_OP(get_ext_vcpucontext, ext_vcpucontext, RIGHT_CONTROL, NOT_SELF | OUT),
    VCPU_OP(setvcpuextstate, vcpuextstate, RIGHT_CONTROL, STOPPED),
    VCPU_OP(getvcpuextstate, vcpuextstate, RIGHT_CONTROL, STOPPED | OUT),
    VCPU_OP(set_vcpu_msrs, vcpu_msrs, RIGHT_CONTROL, STOPPED | OUT_ALWAYS),
    VCPU_OP(get_vcpu_msrs, vcpu_msrs, RIGHT_CONTROL, NOT_SELF | OUT_ALWAYS),
    OP(set_cpu_policy, RIGHT_CONTROL, OUT_ALWAYS),
    OP(get_cpu_policy, RIGHT_CONTROL, OUT),
    OP(settscinfo, RIGHT_CONTROL, STOPPED),
    OP(gettscinfo, RIGHT_CONTROL, OUT),
    /* domctl_memory.c */
    OP(getpageframeinfo3, RIGHT_MEMORY, OUT_ALWAYS),
    OP(shadow_op, RIGHT_CONTROL, 0),
};

static long run(const struct domctl_entry *e, struct domain *d, struct xen_domctl *op)
{
    const uint32_t *id = (const uint32_t *)((const char *)op + e->vcpu_at);
    struct vcpu *v = e->vcpu_fn ? domain_vcpu(d, *id) : NULL;
    long rc;

    if (e->vcpu_fn && v == NULL)
        return -ESRCH;
    if (e->flags & STOPPED)
        domain_pause(d);
    if (v && (e->flags & STOPPED))
        arch_vcpu_unload(v);
    rc = v ? e->vcpu_fn(v, op) : e->fn(d, op);
    if (e->flags & STOPPED)
        domain_unpause(d);
    return rc;
}

static _Atomic bool busy; /* a CPU is at a domctl */

static long dispatch(const struct domctl_entry *e, struct xen_domctl *op)
{
    const struct domain *caller = current->domain;
    struct domain *d = NULL;
    long rc = policy_check(caller, NULL, e->right);

    if (rc == 0 && !(e->flags & NO_TARGET))
        rc = op->domain == DOMID_SELF ? -ESRCH
                                      : domain_get_for(current->domain, op->domain, e->right, &d);
    if (rc == 0)
        rc = d == caller && (e->flags & (NOT_SELF | STOPPED)) ? -EINVAL : run(e, d, op);
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
    if (op.cmd >= ARRAY_SIZE(ops) || (!e->fn && !e->vcpu_fn))
        return -ENOSYS;
    if ((e->flags & (OUT | OUT_ALWAYS)) && copy_to_guest(_gva(arg), &op, sizeof(op)))
        return -EFAULT;
    if (atomic_exchange(&busy, true))
        return -ERESTART; /* after this CPU's softirqs */
    rc = dispatch(e, &op);
    atomic_store(&busy, false);
    if (((e->flags & OUT_ALWAYS) || ((e->flags & OUT) && rc == 0)) &&
        copy_to_guest(_gva(arg), &op, sizeof(op)))
        return -EFAULT;
    return rc;
}
