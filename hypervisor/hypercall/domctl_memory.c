/* Domctls about a domain's frames: what its saver has to know of them. See domctl.h. */
#include "hypercall/domctl.h"

#include "memory/frame.h"

#define MAX_FRAMES 1024u /* of one call, as Xen and its tools have it */
#define FRAMES_AT_ONCE 32u

_Static_assert(XEN_DOMCTL_PFINFO_L1TAB == PGT_L1 << XEN_DOMCTL_PFINFO_LTAB_SHIFT &&
                   XEN_DOMCTL_PFINFO_L4TAB == PGT_L4 << XEN_DOMCTL_PFINFO_LTAB_SHIFT,
               "ABI: types of tables");

/* A hint if the domain runs, else the truth: tables are what they are until somebody unpins them. */
static xen_pfn_t frame_info(struct domain *d, gfn_t g)
{
    mfn_t m = gfn_to_mfn(d, g);
    struct page_info *pg = mfn_to_page(m);
    uint64_t c, x;

    if (!page_get(m, d))
        return XEN_DOMCTL_PFINFO_XTAB;
    c = atomic_load(&pg->count_info);
    x = atomic_load(&pg->type_info);
    page_put(pg);
    if (c & PGC_HV) /* is not saved */
        return XEN_DOMCTL_PFINFO_XTAB;
    if (!(x & PGT_VALID) || PGT_TYPE(x) > PGT_L4)
        return XEN_DOMCTL_PFINFO_NOTAB;
    return (xen_pfn_t)PGT_TYPE(x) << XEN_DOMCTL_PFINFO_LTAB_SHIFT |
           (x & PGT_PINNED ? XEN_DOMCTL_PFINFO_LPINTAB : 0);
}

/**
 * getpageframeinfo3: each number in the array, a frame's, becomes XEN_DOMCTL_PFINFO_* of it; XTAB: none
 * of d's. num and array then tell of what is left. -E2BIG more than 1024; -EFAULT. Preemptible.
 */
long domctl_getpageframeinfo3(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getpageframeinfo3 *info = &op->u.getpageframeinfo3;
    xen_pfn_t list[FRAMES_AT_ONCE];

    if (info->num > MAX_FRAMES)
        return -E2BIG;
    while (info->num) {
        guest_va_t at = GVA_OF(info->array);
        uint64_t n = MIN(info->num, FRAMES_AT_ONCE);

        if (copy_from_guest(list, at, n * sizeof(list[0])))
            return -EFAULT;
        for (uint64_t i = 0; i < n; i++)
            list[i] = frame_info(d, _gfn(list[i]));
        if (copy_to_guest(at, list, n * sizeof(list[0])))
            return -EFAULT;
        info->num -= n;
        info->array.p = (xen_pfn_t *)gva_x(gva_index(at, n, sizeof(list[0])));
        if (info->num && hypercall_preempt_check())
            return -ERESTART;
    }
    return 0;
}

/** shadow_op: no domain's writes are logged. -EINVAL for what needs that they are; -EOPNOTSUPP. */
long domctl_shadow_op(struct domain *d, struct xen_domctl *op)
{
    switch (op->u.shadow_op.op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK: return -EINVAL;
    default: return -EOPNOTSUPP;
    }
}
