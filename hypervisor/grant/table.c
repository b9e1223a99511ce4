/* The granter's half: its table, which grows up to the domain's limit, and the grants in use. */
#include "grant/internal.h"

#include "hypercall/hypercall.h" /* the handler's prototype */
#include "memory/heap.h"

_Static_assert(sizeof(struct grant_entry_v1) == 8 && offsetof(struct grant_entry_v1, frame) == 4 &&
                   offsetof(struct grant_entry_v1, domid) == 2,
               "ABI: an entry is read and changed as one word");
_Static_assert(sizeof(struct active) == 16 && sizeof(struct mapping) == 16, "whole ones in a page");

#define ACTIVE_BYTES (REFS_PER_FRAME * sizeof(struct active))

/* ---- the table ---- */

/* One frame more: 0 or -ENOMEM. */
static int table_grow_locked(struct domain *d)
{
    struct grant_table *t = d->grant;
    struct grant_entry_v1 *shared = alloc_page();
    struct active *active = xmalloc_pages(ACTIVE_BYTES);

    if (shared == NULL || active == NULL) {
        free_page(shared);
        xfree_pages(active, ACTIVE_BYTES);
        return -ENOMEM;
    }
    page_share(virt_to_mfn(shared), d->domain_id);
    t->shared[t->nr_frames] = shared;
    t->active[t->nr_frames++] = active;
    return 0;
}

int grant_list_frames(struct domain *d, uint32_t first, uint32_t nr, guest_va_t to)
{
    struct grant_table *t = d->grant;
    int rc = 0;

    if (nr == 0)
        return 0;
    if (nr > d->max_grant_frames || first > d->max_grant_frames - nr || READ_ONCE(d->is_dying))
        return -EINVAL;
    spin_lock(&t->lock);
    while (rc == 0 && t->nr_frames < first + nr) {
        rc = table_grow_locked(d);
        if (rc == 0 && t->nr_frames < first + nr && hypercall_preempt_check())
            rc = -ERESTART;
    }
    spin_unlock(&t->lock);
    for (uint32_t i = 0; rc == 0 && i < nr; i++) {
        xen_pfn_t frame = mfn_x(virt_to_mfn(t->shared[first + i])); /* they stay */

        rc = copy_to_guest(gva_index(to, i, sizeof(frame)), &frame, sizeof(frame));
    }
    return rc;
}

int grant_domain_create(struct domain *d, int32_t grant_frames, int32_t maptrack_frames)
{
    d->max_grant_frames = grant_frames < 0 ? GRANT_FRAMES_DEFAULT : (uint32_t)grant_frames;
    d->max_maptrack_frames =
        maptrack_frames < 0 ? MAPTRACK_FRAMES_DEFAULT : (uint32_t)maptrack_frames;
    if (d->max_grant_frames == 0 || d->max_grant_frames > GRANT_FRAMES_MAX ||
        d->max_maptrack_frames > MAPTRACK_FRAMES_MAX)
        return -EINVAL;
    d->grant = xmalloc_pages(sizeof(*d->grant));
    if (d->grant == NULL)
        return -ENOMEM;
    paging_audit_others = grant_audit_held;
    d->grant->lock = SPINLOCK_INIT(L_GRANT);
    d->grant->free_handle = NO_HANDLE;
    return table_grow_locked(d); /* nobody else knows of it yet */
}

bool grant_is_mapped(const struct domain *d) { return READ_ONCE(d->grant->nr_mapped) != 0; }

void grant_domain_destroy(struct domain *d)
{
    struct grant_table *t = d->grant;

    if (t == NULL)
        return;
    spin_lock(&t->lock); /* let him finish who ended the last use: G4 */
    spin_unlock(&t->lock);
    for (uint32_t i = 0; i < t->nr_frames; i++) {
        page_share(virt_to_mfn(t->shared[i]), DOMID_INVALID);
        page_put(mfn_to_page(virt_to_mfn(t->shared[i])));
        xfree_pages(t->active[i], ACTIVE_BYTES);
    }
    for (uint32_t f = 0; t->maptrack && f < d->max_maptrack_frames && t->maptrack[f]; f++)
        free_page(t->maptrack[f]); /* the last one may be there for a map that was refused */
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is a table of pointers */
    xfree_pages(t->maptrack, d->max_maptrack_frames * sizeof(*t->maptrack));
    xfree_pages(t, sizeof(*t));
}

/* ---- the table's operations ---- */

/* The domain that a structure names, if the caller may act for it, with a reference; or GNTST_*. */
static struct domain *table_of(struct domain *caller, domid_t id, int16_t *status)
{
    struct domain *d;
    int rc = domain_get_for(caller, id, RIGHT_GRANTS, &d);

    *status = rc == 0 ? GNTST_okay : rc == -ESRCH ? GNTST_bad_domain : GNTST_permission_denied;
    return d;
}

/**
 * GNTTABOP_setup_table: dom's table shall have nr_frames at least (IN); the first nr_frames machine
 * frames go to frame_list (OUT). GNTST_bad_domain; GNTST_permission_denied; GNTST_general_error more
 * than the limit, no memory; GNTST_bad_virt_addr frame_list cannot be written. -ERESTART.
 */
static long op_setup_table(struct domain *caller, struct gnttab_setup_table *op)
{
    struct domain *d = table_of(caller, op->dom, &op->status);
    int rc;

    if (d == NULL)
        return 0;
    rc = grant_list_frames(d, 0, op->nr_frames, GVA_OF(op->frame_list));
    domain_put(d);
    if (rc && rc != -ERESTART)
        op->status = rc == -EFAULT ? GNTST_bad_virt_addr : GNTST_general_error;
    return rc == -ERESTART ? rc : 0;
}

/** GNTTABOP_query_size: nr_frames and max_nr_frames (OUT) of dom (IN). As setup_table. */
static long op_query_size(struct domain *caller, struct gnttab_query_size *op)
{
    struct domain *d = table_of(caller, op->dom, &op->status);

    if (d) {
        op->nr_frames = READ_ONCE(d->grant->nr_frames);
        op->max_nr_frames = d->max_grant_frames;
        domain_put(d);
    }
    return 0;
}

/** GNTTABOP_get_version of dom (IN): always 1. -ESRCH, -EPERM. */
static long op_get_version(struct domain *caller, struct gnttab_get_version *op)
{
    struct domain *d;
    int rc = domain_get_for(caller, op->dom, RIGHT_GRANTS, &d);

    if (rc)
        return rc;
    op->version = 1;
    domain_put(d);
    return 0;
}

/** GNTTABOP_set_version: 1 is all there is. -ENOSYS 2, -EINVAL others; version (OUT) is what it is. */
static long op_set_version(struct domain *caller, struct gnttab_set_version *op)
{
    long rc = op->version == 1 ? 0 : op->version == 2 ? -ENOSYS : -EINVAL;

    op->version = 1;
    return rc;
}

/** GNTTABOP_swap_grant_ref: GNTST_bad_gntref; GNTST_eagain one of the two is in use. */
static void swap_grant_ref(struct domain *d, struct gnttab_swap_grant_ref *op)
{
    struct grant_table *t = d->grant;
    grant_ref_t nr, a, b;

    spin_lock(&t->lock);
    nr = t->nr_frames * (grant_ref_t)REFS_PER_FRAME;
    a = (grant_ref_t)array_index_nospec(op->ref_a, nr);
    b = (grant_ref_t)array_index_nospec(op->ref_b, nr);
    op->status = GNTST_okay;
    if (op->ref_a >= nr || op->ref_b >= nr) {
        op->status = GNTST_bad_gntref;
    } else if (is_in_use(active_of(t, a)) || is_in_use(active_of(t, b))) {
        op->status = GNTST_eagain;
    } else if (a != b) {
        struct grant_entry_v1 was = *entry_of(t, a);

        *entry_of(t, a) = *entry_of(t, b);
        *entry_of(t, b) = was;
    }
    spin_unlock(&t->lock);
}

static void grant_swap_list(struct domain *d, void *ops, unsigned int n)
{
    struct gnttab_swap_grant_ref *op = ops;

    for (; n--; op++)
        swap_grant_ref(d, op);
}

/* ---- dispatch ---- */

/*
 * A list of `count` structures of size bytes: as far as it can be read, so many at a time; and back with
 * the results, which are in the last `out` bytes. Goes on later behind those that are done.
 */
static hot_inline long list_do(uint32_t cmd, uint64_t list, uint32_t count, uint32_t size,
                               uint32_t out, grant_list_fn *fn)
{
    uint64_t buf[GRANT_BATCH * sizeof(struct gnttab_copy) / sizeof(uint64_t)];
    struct domain *d = current->domain;

    while (count) {
        uint32_t n = MIN(count, GRANT_BATCH);
        guest_va_t at = _gva(list);

        if (unlikely(n > 1 && copy_from_guest(buf, at, n * size)))
            n = 1; /* those before the page that cannot be read are done */
        if (n == 1 && copy_from_guest(buf, at, size))
            return -EFAULT;
        fn(d, buf, n);
        if (n == 1 ? copy_to_guest(gva_index(at, 1, size - out), (char *)buf + size - out, out)
                   : copy_to_guest(at, buf, n * size))
            return -EFAULT;
        list += n * size;
        count -= n;
        if (count && hypercall_preempt_check())
            return hypercall_continue(3, (const uint64_t[]){ cmd, list, count });
    }
    return 0;
}

/* One structure, never a list; copied back unless the call is made again. */
#define ONE(name)                                                                      \
    ({                                                                                 \
        struct gnttab_##name op;                                                       \
        long rc_ = (uint32_t)count != 1                           ? -EINVAL            \
                   : copy_from_guest(&op, _gva(list), sizeof(op)) ? -EFAULT            \
                                                                  : op_##name(d, &op); \
        if ((uint32_t)count == 1 && rc_ != -EFAULT && rc_ != -ERESTART &&              \
            copy_to_guest(_gva(list), &op, sizeof(op)))                                \
            rc_ = -EFAULT;                                                             \
        rc_;                                                                           \
    })
#define LIST(name, out, fn) \
    list_do(GNTTABOP_##name, list, (uint32_t)count, sizeof(struct gnttab_##name), out, fn)

/**
 * HYPERVISOR_grant_table_op: a list of `count` structures of one operation. Each has its own status
 * (GNTST_*); those behind one that failed are done all the same.
 * Returns 0 or: -EFAULT a structure cannot be read or written (those before it are done); -EINVAL
 *   more than 2^31 - 1, or not one of what is no list; -EOPNOTSUPP transfer (nobody uses it), dump_table,
 *   cache_flush, and the status frames of version 2; -ENOSYS unknown; set_version and get_version: see
 *   there. Preemptible.
 */
long hc_grant_table_op(uint64_t cmd, uint64_t list, uint64_t count, uint64_t a4, uint64_t a5)
{
    struct domain *d = current->domain;

    if ((int32_t)count < 0)
        return -EINVAL;
    switch ((uint32_t)cmd) {
    case GNTTABOP_map_grant_ref: return LIST(map_grant_ref, 16, grant_map_list);
    case GNTTABOP_unmap_grant_ref: return LIST(unmap_grant_ref, 8, grant_unmap_list);
    case GNTTABOP_unmap_and_replace:
        return LIST(unmap_and_replace, 8, grant_unmap_and_replace_list);
    case GNTTABOP_copy: return LIST(copy, 8, grant_copy_list);
    case GNTTABOP_swap_grant_ref: return LIST(swap_grant_ref, 4, grant_swap_list);
    case GNTTABOP_setup_table: return ONE(setup_table);
    case GNTTABOP_query_size: return ONE(query_size);
    case GNTTABOP_get_version: return ONE(get_version);
    case GNTTABOP_set_version: return ONE(set_version);
    case GNTTABOP_transfer:
    case GNTTABOP_dump_table:
    case GNTTABOP_cache_flush:
    case GNTTABOP_get_status_frames: return -EOPNOTSUPP;
    default: return -ENOSYS;
    }
}
