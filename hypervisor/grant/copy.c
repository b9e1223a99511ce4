/* GNTTABOP_copy: the hypervisor copies, so that nobody has to map anything. */
#include "grant/internal.h"

/*
 * Where from or to. Pieces of one list often lie in one frame, or in frames of one granter: both are
 * kept with their references until another one is named, or the list ends.
 */
struct side {
    struct domain *granter; /* of the last reference, or NULL */
    uint64_t name;          /* the caller's: ref and domid, or ~gmfn; or NOTHING */
    mfn_t m;
};
#define NOTHING (~0ULL)
#define IS_REF(name) ((int64_t)(name) >= 0) /* when it is held: no frame has a number of 64 bits */

static hot_inline void side_put(struct domain *d, const struct side *s, bool write)
{
    if (s->name == NOTHING)
        return;
    if (IS_REF(s->name)) {
        /* then it has its granter: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        spin_lock(&s->granter->grant->lock);
        grant_use_end(s->granter, s->granter->grant, (grant_ref_t)s->name, write, false);
        spin_unlock(&s->granter->grant->lock);
    } else {
        page_use_end(d, s->m, write);
    }
}

/* next: what s holds is a reference of the same granter, which goes under the same lock. */
static hot_inline int ref_get(struct domain *d, const struct gnttab_copy_ptr *p, bool write,
                              struct side *s, bool next)
{
    struct grant_table *t;
    int rc;

    if (!next && (s->granter == NULL || s->granter->domain_id != p->domid)) {
        if (s->granter)
            domain_put(s->granter);
        s->granter = domain_get_by_id(d, p->domid);
        if (s->granter == NULL)
            return GNTST_bad_domain;
    }
    t = s->granter->grant;
    spin_lock(&t->lock);
    if (next)
        grant_use_end(s->granter, t, (grant_ref_t)s->name, write, false);
    rc = grant_use_begin(s->granter, t, p->u.ref, d->domain_id, write, false, &s->m);
    spin_unlock(&t->lock);
    return rc;
}

static hot_inline int frame_get(struct domain *d, const struct gnttab_copy_ptr *p, bool write,
                                struct side *s)
{
    if (p->domid != DOMID_SELF) /* only what is one's own is named by its frame number */
        return GNTST_permission_denied;
    s->m = gfn_to_mfn(d, _gfn(p->u.gmfn));
    if (likely(page_use_begin(d, s->m, write)))
        return GNTST_okay;
    if (!write || !page_get(s->m, d))
        return GNTST_bad_page;
    page_put(mfn_to_page(s->m)); /* a table */
    return GNTST_general_error;
}

/* 0, or GNTST_*. */
static hot_inline int side_get(struct domain *d, const struct gnttab_copy_ptr *p, bool is_ref,
                               bool write, struct side *s)
{
    uint64_t name = is_ref ? (uint64_t)p->domid << 32 | p->u.ref : ~p->u.gmfn;
    bool next;
    int rc;

    if (s->name == name && name != NOTHING && is_ref == IS_REF(name) &&
        (is_ref || p->domid == DOMID_SELF))
        return GNTST_okay;
    /* the same: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    next = is_ref && IS_REF(s->name) && s->granter->domain_id == p->domid;
    if (!next)
        side_put(d, s, write);
    rc = is_ref ? ref_get(d, p, write, s, next) : frame_get(d, p, write, s);
    s->name = rc == GNTST_okay ? name : NOTHING;
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
    int rc = side_get(d, &op->source, op->flags & GNTCOPY_source_gref, false, from);

    if (likely(rc == GNTST_okay))
        rc = side_get(d, &op->dest, op->flags & GNTCOPY_dest_gref, true, to);
    if (unlikely(rc))
        return rc;
    if (op->len == PAGE_SIZE && (op->source.offset | op->dest.offset) == 0) {
        memcpy(mfn_to_virt(to->m), mfn_to_virt(from->m), PAGE_SIZE);
        return GNTST_okay;
    }
    if (op->len > PAGE_SIZE || op->source.offset > PAGE_SIZE - op->len ||
        op->dest.offset > PAGE_SIZE - op->len)
        return GNTST_bad_copy_arg;
    (memcpy)((char *)mfn_to_virt(to->m) + op->dest.offset,
             (char *)mfn_to_virt(from->m) + op->source.offset, op->len);
    return GNTST_okay;
}

void grant_copy_list(struct domain *d, void *ops, unsigned int n)
{
    struct side from = { .name = NOTHING }, to = { .name = NOTHING };
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
