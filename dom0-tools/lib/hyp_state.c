/* The state of domains that do not run; see hyp.h. */
#include "hyp_internal.h"

#include <errno.h>
#include <string.h>

enum { MAX_TYPES = 1024 }; /* of one call */

static int fails(int error)
{
    errno = error;
    return -1;
}

int hyp_resume(struct hyp *h, domid_t id)
{
    hyp_fresh(h);
    return hyp_domctl(h, XEN_DOMCTL_resumedomain, id);
}

int hyp_page_types(struct hyp *h, domid_t id, xen_pfn_t *mfns, size_t nr)
{
    struct xen_domctl *op = hyp_fresh(h);

    if (nr > MAX_TYPES)
        return fails(E2BIG);
    memcpy(h->buffer->extents, mfns, nr * sizeof(*mfns));
    op->u.getpageframeinfo3.num = nr;
    set_xen_guest_handle(op->u.getpageframeinfo3.array, h->buffer->extents);
    if (hyp_domctl(h, XEN_DOMCTL_getpageframeinfo3, id))
        return -1;
    memcpy(mfns, h->buffer->extents, nr * sizeof(*mfns));
    return 0;
}

/* ---- vCPUs: what is got or set is in buffer->text ---- */

static int basic(struct hyp *h, domid_t id, uint32_t vcpu, uint32_t cmd)
{
    struct xen_domctl *op = hyp_fresh(h);

    op->u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle(op->u.vcpucontext.ctxt, (vcpu_guest_context_t *)&h->buffer->context);
    return hyp_domctl(h, cmd, id);
}

static int get_extended(struct hyp *h, domid_t id, uint32_t vcpu, size_t *len)
{
    hyp_fresh(h)->u.ext_vcpucontext.vcpu = vcpu;
    *len = sizeof(h->buffer->domctl.u.ext_vcpucontext);
    if (hyp_domctl(h, XEN_DOMCTL_get_ext_vcpucontext, id))
        return -1;
    memcpy(h->buffer->text, &h->buffer->domctl.u.ext_vcpucontext, *len);
    return 0;
}

static int set_extended(struct hyp *h, domid_t id, uint32_t vcpu, size_t len)
{
    struct xen_domctl_ext_vcpucontext *e = &hyp_fresh(h)->u.ext_vcpucontext;

    if (len > sizeof(*e))
        return fails(EINVAL);
    memcpy(e, h->buffer->text, len);
    e->vcpu = vcpu;
    return hyp_domctl(h, XEN_DOMCTL_set_ext_vcpucontext, id);
}

/* First without a buffer: how much there is. */
static int get_xsave(struct hyp *h, domid_t id, uint32_t vcpu, size_t max, size_t *len)
{
    struct xen_domctl_vcpuextstate *e = &hyp_fresh(h)->u.vcpuextstate;

    e->vcpu = vcpu;
    if (hyp_domctl(h, XEN_DOMCTL_getvcpuextstate, id))
        return -1;
    *len = e->size;
    if (e->size == 0)
        return 0;
    if (e->size > max)
        return fails(ENOBUFS);
    set_xen_guest_handle(e->buffer, (uint64_t *)h->buffer->text);
    return hyp_domctl(h, XEN_DOMCTL_getvcpuextstate, id);
}

static int set_xsave(struct hyp *h, domid_t id, uint32_t vcpu, size_t len)
{
    struct xen_domctl_vcpuextstate *e = &hyp_fresh(h)->u.vcpuextstate;

    e->vcpu = vcpu;
    e->size = len;
    set_xen_guest_handle(e->buffer, (uint64_t *)h->buffer->text);
    return hyp_domctl(h, XEN_DOMCTL_setvcpuextstate, id);
}

static int msrs(struct hyp *h, domid_t id, uint32_t vcpu, uint32_t cmd, size_t max, size_t *len)
{
    struct xen_domctl_vcpu_msrs *m = &hyp_fresh(h)->u.vcpu_msrs;

    m->vcpu = vcpu;
    m->msr_count = (uint32_t)(max / sizeof(xen_domctl_vcpu_msr_t));
    set_xen_guest_handle(m->msrs, (xen_domctl_vcpu_msr_t *)h->buffer->text);
    if (hyp_domctl(h, cmd, id))
        return -1;
    *len = m->msr_count * sizeof(xen_domctl_vcpu_msr_t);
    return 0;
}

int hyp_get_state(struct hyp *h, domid_t id, uint32_t vcpu, enum hyp_state what, void *buf,
                  size_t *len)
{
    size_t max = *len < HYP_STATE_MAX ? *len : HYP_STATE_MAX;
    int rc = -1;

    switch (what) {
    case HYP_BASIC:
        *len = sizeof(h->buffer->context);
        rc = basic(h, id, vcpu, XEN_DOMCTL_getvcpucontext);
        break;
    case HYP_EXTENDED: rc = get_extended(h, id, vcpu, len); break;
    case HYP_XSAVE: rc = get_xsave(h, id, vcpu, max, len); break;
    case HYP_MSR_VALUES: rc = msrs(h, id, vcpu, XEN_DOMCTL_get_vcpu_msrs, max, len); break;
    }
    if (rc == 0 && *len > max)
        return fails(ENOBUFS);
    if (rc == 0)
        memcpy(buf, h->buffer->text, *len);
    return rc;
}

int hyp_set_state(struct hyp *h, domid_t id, uint32_t vcpu, enum hyp_state what, const void *buf,
                  size_t len)
{
    if (len > HYP_STATE_MAX || (what == HYP_BASIC && len != sizeof(h->buffer->context)) ||
        (what == HYP_MSR_VALUES && len % sizeof(xen_domctl_vcpu_msr_t)))
        return fails(EINVAL);
    memcpy(h->buffer->text, buf, len);
    switch (what) {
    case HYP_BASIC: return basic(h, id, vcpu, XEN_DOMCTL_setvcpucontext);
    case HYP_EXTENDED: return set_extended(h, id, vcpu, len);
    case HYP_XSAVE: return set_xsave(h, id, vcpu, len);
    case HYP_MSR_VALUES: return msrs(h, id, vcpu, XEN_DOMCTL_set_vcpu_msrs, len, &len);
    }
    return fails(EINVAL);
}

/* ---- time, CPUID ---- */

int hyp_get_tsc(struct hyp *h, domid_t id, struct xen_domctl_tsc_info *tsc)
{
    hyp_fresh(h);
    if (hyp_domctl(h, XEN_DOMCTL_gettscinfo, id))
        return -1;
    *tsc = h->buffer->domctl.u.tsc_info;
    return 0;
}

int hyp_set_tsc(struct hyp *h, domid_t id, const struct xen_domctl_tsc_info *tsc)
{
    hyp_fresh(h)->u.tsc_info = *tsc;
    return hyp_domctl(h, XEN_DOMCTL_settscinfo, id);
}

static int policy(struct hyp *h, domid_t id, uint32_t cmd, uint32_t nr_leaves, uint32_t nr_msrs)
{
    struct xen_domctl_cpu_policy *c = &hyp_fresh(h)->u.cpu_policy;

    c->nr_leaves = nr_leaves;
    c->nr_msrs = nr_msrs;
    c->err_leaf = ~0u;
    set_xen_guest_handle(c->leaves, h->buffer->policy.leaves);
    set_xen_guest_handle(c->msrs, h->buffer->policy.msrs);
    return hyp_domctl(h, cmd, id);
}

int hyp_get_policy(struct hyp *h, domid_t id, struct hyp_policy *p)
{
    if (policy(h, id, XEN_DOMCTL_get_cpu_policy, HYP_LEAVES, HYP_MSRS))
        return -1;
    p->nr_leaves = h->buffer->domctl.u.cpu_policy.nr_leaves;
    p->nr_msrs = h->buffer->domctl.u.cpu_policy.nr_msrs;
    memcpy(p->leaves, h->buffer->policy.leaves, sizeof(p->leaves));
    memcpy(p->msrs, h->buffer->policy.msrs, sizeof(p->msrs));
    return 0;
}

int hyp_set_policy(struct hyp *h, domid_t id, const struct hyp_policy *p, uint32_t *leaf)
{
    memcpy(h->buffer->policy.leaves, p->leaves, sizeof(p->leaves));
    memcpy(h->buffer->policy.msrs, p->msrs, sizeof(p->msrs));
    if (policy(h, id, XEN_DOMCTL_set_cpu_policy, p->nr_leaves, p->nr_msrs) == 0)
        return 0;
    *leaf = h->buffer->domctl.u.cpu_policy.err_leaf;
    return -1;
}
