/* The mapper's half: handles, and the operations that map and unmap. */
#include "grant/internal.h"

#include "memory/heap.h"

#define MAP_KINDS (GNTMAP_host_map | GNTMAP_device_map)
#define PTE_AVAIL_SHIFT 9
/* NOLINTNEXTLINE(misc-redundant-expression) */
_Static_assert(PTE_AVAIL == 7ULL << PTE_AVAIL_SHIFT, "the guest's bits");
#define PTE_OF_GRANT (PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX)

/* ---- handles; d->mmu_lock ---- */

static struct mapping *mapping_at(const struct grant_table *t, grant_handle_t h)
{
    return &t->maptrack[h / MAPPINGS_PER_FRAME][h % MAPPINGS_PER_FRAME];
}

static struct mapping *mapping_find(const struct domain *d, grant_handle_t handle)
{
    const struct grant_table *t = d->grant;
    struct mapping *m;

    if (handle >= t->nr_handles)
        return NULL;
    m = mapping_at(t, (grant_handle_t)array_index_nospec(handle, t->nr_handles));
    return m->flags ? m : NULL;
}

/* A handle that is free and has a place: it is still free if it is not taken. NO_HANDLE. */
static grant_handle_t handle_find(struct domain *d)
{
    struct grant_table *t = d->grant;
    uint32_t frame = t->nr_handles / MAPPINGS_PER_FRAME;

    if (t->free_handle != NO_HANDLE)
        return t->free_handle;
    if (frame >= d->max_maptrack_frames)
        return NO_HANDLE;
    if (t->maptrack == NULL)
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is a table of pointers */
        t->maptrack = xmalloc_pages(d->max_maptrack_frames * sizeof(*t->maptrack));
    if (t->maptrack == NULL)
        return NO_HANDLE;
    if (t->maptrack[frame] == NULL)
        t->maptrack[frame] = alloc_page();
    return t->maptrack[frame] ? t->nr_handles : NO_HANDLE;
}

static struct mapping *handle_take(struct grant_table *t, grant_handle_t h)
{
    struct mapping *m = mapping_at(t, h);

    if (h == t->nr_handles)
        t->nr_handles++;
    else
        t->free_handle = m->ref;
    return m;
}

/* ---- map ---- */

/**
 * GNTTABOP_map_grant_ref: flags GNTMAP_*, host_addr, dom's grant ref (IN); status, handle,
 * dev_bus_addr (OUT; without IOMMU the machine address).
 * GNTST_bad_gntref no such reference, or neither host_map nor device_map; GNTST_bad_domain;
 * GNTST_no_space no handle; GNTST_general_error the entry does not grant that, or there is no
 * page-table entry.
 */
static int map_one(struct domain *d, struct domain *g, struct gnttab_map_grant_ref *op)
{
    bool write = !(op->flags & GNTMAP_readonly);
    pte_t e = PTE_OF_GRANT | (write ? PTE_RW : 0) |
              ((pte_t)(op->flags >> _GNTMAP_guest_avail0) << PTE_AVAIL_SHIFT & PTE_AVAIL);
    grant_handle_t h;
    mfn_t m;
    int rc;

    if (!(op->flags & MAP_KINDS))
        return GNTST_bad_gntref;
    h = handle_find(d);
    if (h == NO_HANDLE)
        return GNTST_no_space;
    rc = write ? grant_use_begin(g, g->grant, op->ref, d->domain_id, true, true, &m)
               : grant_use_begin(g, g->grant, op->ref, d->domain_id, false, true, &m);
    if (rc)
        return rc;
    if ((op->flags & GNTMAP_host_map) &&
        grant_pte_set(d, op->host_addr, op->flags & GNTMAP_contains_pte, pte_make(mfn_x(m), e))) {
        grant_use_end(g, g->grant, op->ref, write, true);
        return GNTST_general_error;
    }
    *handle_take(d->grant, h) = (struct mapping){ g, op->ref, (uint16_t)op->flags };
    op->handle = h;
    op->dev_bus_addr = mfn_x(m) << PAGE_SHIFT;
    return GNTST_okay;
}

/* From op on, as long as it is the same granter's: how many. */
static unsigned int map_run(struct domain *d, struct gnttab_map_grant_ref *op, unsigned int n)
{
    struct domain *g = op->dom == DOMID_SELF ? NULL : domain_get_by_id(d, op->dom);
    unsigned int i = 0;

    if (g == NULL) { /* who grants to itself says so by its number, as to Xen */
        op->status = GNTST_bad_domain;
        return 1;
    }
    spin_lock(&d->mmu_lock);
    spin_lock(&g->grant->lock);
    for (; i < n && op[i].dom == g->domain_id && !(i && spin_has_waiters(&g->grant->lock)); i++)
        op[i].status = (int16_t)map_one(d, g, &op[i]);
    spin_unlock(&g->grant->lock);
    spin_unlock(&d->mmu_lock);
    domain_put(g);
    return i;
}

void grant_map_list(struct domain *d, void *ops, unsigned int n)
{
    for (unsigned int i = 0; i < n;)
        i += map_run(d, (struct gnttab_map_grant_ref *)ops + i, n - i);
}

/* ---- unmap ---- */

/* A list being done. Rule 13: mappings that are gone end their use of the grant after one flush for all. */
struct unmapping {
    bool flush; /* a page-table entry was removed */
    unsigned int n;
    struct mapping gone[GRANT_BATCH];
};

/* What there may be at host and dev (0: leave that); if new_va, the entry there moves to host. */
static int unmap_one(struct domain *d, struct unmapping *u, grant_handle_t handle, uint64_t host,
                     uint64_t dev, const uint64_t *new_va)
{
    struct mapping *m = mapping_find(d, handle);
    uint64_t mfn;

    if (m == NULL)
        return GNTST_bad_handle;
    mfn = active_of(m->granter->grant, m->ref)->mfn; /* constant as long as we use it */
    if (dev && (m->flags & GNTMAP_device_map) && dev != mfn << PAGE_SHIFT)
        return GNTST_bad_dev_addr;
    if (new_va && (m->flags & GNTMAP_contains_pte))
        return GNTST_general_error;
    if (host && (m->flags & GNTMAP_host_map)) {
        if (grant_pte_clear(d, host, m->flags & GNTMAP_contains_pte, _mfn(mfn),
                            !(m->flags & GNTMAP_readonly), new_va))
            return GNTST_general_error;
        u->flush = true;
        m->flags &= ~GNTMAP_host_map;
    }
    if (dev)
        m->flags &= ~GNTMAP_device_map;
    if (!(m->flags & MAP_KINDS)) {
        u->gone[u->n++] = *m;
        *m = (struct mapping){ .ref = d->grant->free_handle };
        d->grant->free_handle = handle;
    }
    return GNTST_okay;
}

static void use_over(const struct mapping *m)
{
    struct grant_table *t = m->granter->grant;

    spin_lock(&t->lock);
    grant_use_end(m->granter, t, m->ref, !(m->flags & GNTMAP_readonly), true);
    spin_unlock(&t->lock);
}

/* The entries are gone by locked instructions: a flush that is counted from now on has seen it. */
static void flush_mapper(struct domain *d)
{
    tlb_flush_since(atomic_load(&d->dirty_cpus), atomic_load(&arch_tlb_clock));
}

/* Both structures look alike but for what the second address is: of the device, or of the new entry. */
#define UNMAP(f) offsetof(struct gnttab_unmap_grant_ref, f)
#define REPLACE(f) offsetof(struct gnttab_unmap_and_replace, f)
_Static_assert(UNMAP(dev_bus_addr) == REPLACE(new_addr) && UNMAP(status) == REPLACE(status), "ABI");
static hot_inline void unmap_list(struct domain *d, void *ops, unsigned int n, bool replace)
{
    struct gnttab_unmap_grant_ref *op = ops;
    struct unmapping u;

    u.flush = false;
    u.n = 0;
    spin_lock(&d->mmu_lock);
    for (; n--; op++)
        op->status =
            (int16_t)unmap_one(d, &u, op->handle, op->host_addr, replace ? 0 : op->dev_bus_addr,
                               replace ? &op->dev_bus_addr : NULL);
    spin_unlock(&d->mmu_lock);
    if (u.flush)
        flush_mapper(d);
    for (unsigned int i = 0; i < u.n; i++)
        use_over(&u.gone[i]);
}

/**
 * GNTTABOP_unmap_grant_ref: what handle has mapped at host_addr, dev_bus_addr or both (IN, 0: leave it).
 * GNTST_bad_handle; GNTST_bad_dev_addr; GNTST_general_error it is not at host_addr in that way.
 */
void grant_unmap_list(struct domain *d, void *ops, unsigned int n) { unmap_list(d, ops, n, false); }

/**
 * GNTTABOP_unmap_and_replace: the same, and the entry at host_addr becomes that of new_addr (IN, both
 * linear addresses), which is cleared. GNTST_general_error also if there is no such entry.
 */
void grant_unmap_and_replace_list(struct domain *d, void *ops, unsigned int n)
{
    unmap_list(d, ops, n, true);
}

/* ---- death and audit ---- */

int grant_domain_relinquish(struct domain *d)
{
    struct grant_table *t = d->grant;

    spin_lock(&t->lock); /* whoever has not seen yet that d dies has counted his use now */
    spin_unlock(&t->lock);
    if (t->relinquish_handle == 0 && t->nr_handles)
        flush_mapper(d); /* of what went with the tables; nobody runs on them any more */
    while (t->relinquish_handle < t->nr_handles) {
        struct mapping *m = mapping_at(t, t->relinquish_handle++);

        if (m->flags) {
            struct mapping was = *m;

            m->flags = 0;
            use_over(&was);
        }
        if (t->relinquish_handle % 32 == 0 && hypercall_preempt_check())
            return -ERESTART;
    }
    return 0;
}

/* fn for each mapping there is. */
static void for_all_mappings(void (*fn)(struct active *a, const struct mapping *m, void *data),
                             void *data)
{
    for (struct domain *d = domain_list; d; d = d->next)
        for (grant_handle_t h = 0; h < d->grant->nr_handles; h++) {
            const struct mapping *m = mapping_at(d->grant, h);

            if (m->flags)
                fn(active_of(m->granter->grant, m->ref), m, data);
        }
}

static void add_use(struct active *a, const struct mapping *m, void *data)
{
    int by = *(int *)data;

    *(m->flags & GNTMAP_readonly ? &a->readers : &a->writers) += (uint32_t)by;
    m->granter->grant->nr_mapped += (uint32_t)by;
}

/* Without the uses by mappings nothing is left of all counts. */
unsigned int grant_audit(void)
{
    int minus = -1, plus = 1;
    unsigned int bad = 0;

    for_all_mappings(add_use, &minus);
    for (struct domain *d = domain_list; d; d = d->next) {
        bad += d->grant->nr_mapped != 0;
        for (grant_ref_t ref = 0; ref < d->grant->nr_frames * REFS_PER_FRAME; ref++) {
            const struct active *a = active_of(d->grant, ref);

            if (a->readers || a->writers) {
                print(LOG_ERR, "grant audit: d%u grant %u: %d and %d uses too many", d->domain_id,
                      ref, (int)a->readers, (int)a->writers);
                bad++;
            }
        }
    }
    for_all_mappings(add_use, &plus);
    return bad;
}

static void hold(struct active *a, const struct mapping *m, void *data)
{
    (*(paging_held_fn **)data)(_mfn(a->mfn), m->flags & GNTMAP_readonly ? PGT_NONE : PGT_WRITABLE,
                               0);
}

void grant_audit_held(paging_held_fn *fn) { for_all_mappings(hold, &fn); }

#define PRINT_MAX 64u /* of a domain; nobody may have it take longer */

void grant_print(struct domain *d)
{
    print(LOG_INFO, "d%u: %u grant frames of %u, %u mapped by others; maps or has mapped %u",
          d->domain_id, d->grant->nr_frames, d->max_grant_frames, d->grant->nr_mapped,
          d->grant->nr_handles);
    for (grant_handle_t h = 0, n = 0; h < READ_ONCE(d->grant->nr_handles) && n < PRINT_MAX; h++) {
        struct mapping m = *mapping_at(d->grant, h); /* maybe in change */

        if (m.flags && m.granter && n++ < PRINT_MAX)
            print(LOG_INFO, "  handle %u: grant %u of d%u, flags 0x%x", h, m.ref,
                  m.granter->domain_id, m.flags);
    }
}
