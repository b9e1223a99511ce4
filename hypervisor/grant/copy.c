/* GNTTABOP_copy: the hypervisor copies, so that nobody has to map anything. */
#include "grant/internal.h"

#include "paging/paging.h"

/* Where from or to: a frame with the references that it takes to use it. */
struct side {
    struct domain *granter; /* NULL: a frame of the caller's own */
    grant_ref_t ref;
    bool write;
    mfn_t m;
};

/* The granter of the last reference is most likely that of the next one: kept with a reference. */
static struct domain *granter_find(struct domain *d, domid_t id, struct domain **last)
{
    id = id == DOMID_SELF ? d->domain_id : id;
    if (*last && (*last)->domain_id == id)
        return *last;
    if (*last)
        domain_put(*last);
    *last = domain_get_by_id(d, id);
    return *last;
}

/* 0, or GNTST_*. Only what is one's own is named by its frame number. */
static int side_get(struct domain *d, const struct gnttab_copy_ptr *p, bool is_ref,
                    struct domain **last, struct side *s)
{
    s->granter = NULL;
    if (is_ref) {
        s->ref = p->u.ref;
        s->granter = granter_find(d, p->domid, last);
        return s->granter ? grant_use_begin(s->granter, s->ref, d->domain_id, s->write, &s->m)
                          : GNTST_bad_domain;
    }
    if (p->domid != DOMID_SELF)
        return GNTST_permission_denied;
    s->m = gfn_to_mfn(d, _gfn(p->u.gmfn));
    if (s->write ? page_get_writable(d, s->m) : page_get(s->m, d))
        return GNTST_okay;
    if (!s->write || !page_get(s->m, d))
        return GNTST_bad_page;
    page_put(mfn_to_page(s->m)); /* a table */
    return GNTST_general_error;
}

static void side_put(struct domain *d, const struct side *s)
{
    if (s->granter) {
        grant_use_end(s->granter, s->ref, s->write);
    } else if (s->write) {
        page_mark_dirty(d, s->m);
        page_put_writable(s->m);
    } else {
        page_put(mfn_to_page(s->m));
    }
}

static char *address(const struct side *s, uint16_t offset)
{
    return (char *)mfn_to_virt(s->m) + offset;
}

/**
 * len bytes from source to dest (IN): each a grant reference of domid's, by GNTCOPY_source_gref or
 * _dest_gref, or a frame of the caller's (domid DOMID_SELF), and an offset.
 * GNTST_bad_domain; GNTST_permission_denied a frame of others; GNTST_bad_gntref; GNTST_bad_page not the
 * caller's frame; GNTST_general_error not granted in that way, or a table; GNTST_bad_copy_arg a piece
 * leaves its page.
 */
static int copy_one(struct domain *d, const struct gnttab_copy *op, struct domain **last)
{
    /* the domain that granter_find() keeps for one must be there when the other one is found */
    struct domain *last_dest = NULL;
    struct side from = { .write = false }, to = { .write = true };
    int rc = side_get(d, &op->source, op->flags & GNTCOPY_source_gref, last, &from);

    if (rc)
        return rc;
    if ((op->flags & GNTCOPY_source_gref) && (op->flags & GNTCOPY_dest_gref) &&
        op->dest.domid != op->source.domid)
        last = &last_dest;
    rc = side_get(d, &op->dest, op->flags & GNTCOPY_dest_gref, last, &to);
    if (rc == 0) {
        if (op->len > PAGE_SIZE || op->source.offset > PAGE_SIZE - op->len ||
            op->dest.offset > PAGE_SIZE - op->len)
            rc = GNTST_bad_copy_arg;
        else
            memcpy(address(&to, op->dest.offset), address(&from, op->source.offset), op->len);
        side_put(d, &to);
    }
    side_put(d, &from);
    if (last_dest)
        domain_put(last_dest);
    return rc;
}

void grant_copy_list(struct domain *d, void *ops, unsigned int n)
{
    struct domain *last = NULL;
    struct gnttab_copy *op = ops;

    for (; n--; op++)
        op->status = (int16_t)copy_one(d, op, &last);
    if (last)
        domain_put(last);
}
