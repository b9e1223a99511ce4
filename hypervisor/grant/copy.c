/* GNTTABOP_copy: the hypervisor copies, so that nobody has to map anything. */
#include "grant/internal.h"

/*
 * Where from or to. Pieces of one list often lie in one frame, or in frames of one granter: both are
 * kept with their references until another one is named, or the list ends.
 */
struct side {
    struct domain *granter; /* of the last reference, or NULL */
    bool held, is_ref;
    domid_t domid; /* as it was named */
    uint64_t name; /* ref or gmfn */
    mfn_t m;
};

static struct domain *granter_find(struct domain *d, domid_t id, struct side *s)
{
    id = id == DOMID_SELF ? d->domain_id : id;
    if (likely(s->granter && s->granter->domain_id == id))
        return s->granter;
    if (s->granter)
        domain_put(s->granter);
    s->granter = domain_get_by_id(d, id);
    return s->granter;
}

static hot_inline void side_put(struct domain *d, const struct side *s, bool write)
{
    if (!s->held)
        return;
    if (s->is_ref) {
        grant_use_end(s->granter, (grant_ref_t)s->name, write, false);
    } else if (write) {
        page_mark_dirty(d, s->m);
        page_put_writable(s->m);
    } else {
        page_put(mfn_to_page(s->m));
    }
}

/* 0, or GNTST_*. Only what is one's own is named by its frame number. */
static hot_inline int side_get(struct domain *d, const struct gnttab_copy_ptr *p, bool is_ref,
                               bool write, struct side *s)
{
    uint64_t name = is_ref ? p->u.ref : p->u.gmfn;
    int rc = GNTST_okay;

    if (s->held && s->name == name && s->is_ref == is_ref && s->domid == p->domid)
        return rc;
    side_put(d, s, write);
    s->is_ref = is_ref;
    s->domid = p->domid;
    s->name = name;
    if (is_ref) {
        struct domain *g = granter_find(d, p->domid, s);

        rc = g ? grant_use_begin(g, (grant_ref_t)name, d->domain_id, write, false, &s->m)
               : GNTST_bad_domain;
    } else if (p->domid != DOMID_SELF) {
        rc = GNTST_permission_denied;
    } else {
        s->m = gfn_to_mfn(d, _gfn(name));
        if (unlikely(!(write ? page_get_writable(d, s->m) : page_get(s->m, d)))) {
            rc = GNTST_bad_page;
            if (write && page_get(s->m, d)) { /* a table */
                page_put(mfn_to_page(s->m));
                rc = GNTST_general_error;
            }
        }
    }
    s->held = rc == GNTST_okay;
    return rc;
}

/**
 * len bytes from source to dest (IN): each a grant reference of domid's, by GNTCOPY_source_gref or
 * _dest_gref, or a frame of the caller's (domid DOMID_SELF), and an offset.
 * GNTST_bad_domain; GNTST_permission_denied a frame of others; GNTST_bad_gntref; GNTST_bad_page not the
 * caller's frame; GNTST_general_error not granted in that way, or a table; GNTST_bad_copy_arg a piece
 * leaves its page.
 */
static hot_inline int copy_one(struct domain *d, const struct gnttab_copy *op, struct side *from,
                               struct side *to)
{
    char *dst, *src;
    int rc = side_get(d, &op->source, op->flags & GNTCOPY_source_gref, false, from);

    if (likely(rc == GNTST_okay))
        rc = side_get(d, &op->dest, op->flags & GNTCOPY_dest_gref, true, to);
    if (unlikely(rc))
        return rc;
    if (op->len > PAGE_SIZE || op->source.offset > PAGE_SIZE - op->len ||
        op->dest.offset > PAGE_SIZE - op->len)
        return GNTST_bad_copy_arg;
    dst = mfn_to_virt(to->m);
    src = mfn_to_virt(from->m);
    (memcpy)(dst + op->dest.offset, src + op->source.offset, op->len);
    return GNTST_okay;
}

void grant_copy_list(struct domain *d, void *ops, unsigned int n)
{
    struct side from = { .granter = NULL }, to = { .granter = NULL };
    struct gnttab_copy *op = ops;

    for (; n--; op++)
        op->status = (int16_t)copy_one(d, op, &from, &to);
    side_put(d, &to, true);
    side_put(d, &from, false);
    if (from.granter)
        domain_put(from.granter);
    if (to.granter)
        domain_put(to.granter);
}
