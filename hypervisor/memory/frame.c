/*
 * References on frames. The count, the owner and the flags are one word, so that a reference is
 * taken and its right to be taken is checked in one compare-and-exchange.
 */
#include "memory/frame.h"

#include "lib/errno.h"
#include "lib/lib.h"
#include "memory/heap.h"

#define OWNER(id) ((uint64_t)(id) << PGC_OWNER_SHIFT)

uint64_t max_mfn;
uint64_t frame_group_valid[DIRECTMAP_BYTES >> (PAGE_SHIFT + FRAME_GROUP_SHIFT) >> 6];

/*
 * Who has frames under this id. An entry is good as long as a frame has that owner: a domain is not
 * freed, and its id not used again, before its nr_pages is 0.
 */
static struct domain *owners[DOMID_FIRST_RESERVED];

bool page_get(mfn_t m, const struct domain *d) { return page_get_inline(m, d->domain_id); }

void page_get_more(struct page_info *pg)
{
    uint64_t x = atomic_fetch_add(&pg->count_info, 1);

    BUG_ON(PGC_COUNT(x) == 0 || PGC_COUNT(x) == UINT32_MAX);
}

void page_put(struct page_info *pg) { page_put_inline(pg); }

void tlb_flush_since(uint64_t cpus, uint64_t stamp)
{
    uint64_t need = 0;

    for (; cpus; cpus &= cpus - 1) {
        uint32_t id = ffs64(cpus) - 1;

        if (!tlb_stamp_after(READ_ONCE(arch_pcpu(id)->tlb_flush_time), stamp))
            need |= 1ULL << id;
    }
    if (need)
        arch_flush_tlb_mask(need);
}

/* ---- a domain's list: a circle, ALLOCATED frames first ---- */

static void list_insert(struct domain *d, struct page_info *pg, bool first)
{
    uint32_t i = (uint32_t)mfn_x(page_to_mfn(pg));
    struct page_info *head = &frame_table[d->page_list ?: i];

    if (d->page_list == 0) {
        pg->next = pg->prev = i;
    } else {
        pg->next = d->page_list;
        pg->prev = head->prev;
        frame_table[pg->prev].next = i;
        head->prev = i;
    }
    if (first || d->page_list == 0)
        d->page_list = i;
}

static void list_remove(struct domain *d, struct page_info *pg)
{
    uint32_t i = (uint32_t)mfn_x(page_to_mfn(pg));

    frame_table[pg->prev].next = pg->next;
    frame_table[pg->next].prev = pg->prev;
    if (d->page_list == i)
        d->page_list = pg->next == i ? 0 : pg->next;
    pg->next = pg->prev = 0;
}

struct page_info *domain_first_page(struct domain *d)
{
    ASSERT(spin_is_held(&d->page_lock));
    return d->page_list ? &frame_table[d->page_list] : NULL;
}

struct page_info *domain_next_page(struct domain *d, const struct page_info *pg)
{
    ASSERT(spin_is_held(&d->page_lock));
    return pg->next == d->page_list ? NULL : &frame_table[pg->next];
}

/* Count n more frames for d before there are any, so that nobody gets beyond the limit meanwhile. */
static int pages_reserve(struct domain *d, uint64_t n)
{
    int rc = 0;

    spin_lock(&d->page_lock);
    if (n > d->max_pages || d->nr_pages > d->max_pages - n)
        rc = -E2BIG;
    else
        d->nr_pages += n;
    spin_unlock(&d->page_lock);
    return rc;
}

static void pages_unreserve(struct domain *d, uint64_t n)
{
    spin_lock(&d->page_lock);
    d->nr_pages -= n;
    spin_unlock(&d->page_lock);
}

/* Frames that nobody else knows become d's; not if it is dying: its list may have been walked. */
static bool pages_give(struct domain *d, mfn_t m, uint64_t n)
{
    bool ok;

    spin_lock(&d->page_lock);
    ok = !READ_ONCE(d->is_dying);
    if (ok)
        owners[d->domain_id] = d;
    for (uint64_t i = 0; ok && i < n; i++) {
        struct page_info *pg = mfn_to_page(_mfn(mfn_x(m) + i));

        m2p_table[mfn_x(m) + i] = INVALID_M2P_ENTRY;
        list_insert(d, pg, true);
        atomic_store(&pg->type_info, 0);
        atomic_store(&pg->count_info, PGC_ALLOCATED | PGC_RAM | OWNER(d->domain_id) | 1);
    }
    if (!ok)
        d->nr_pages -= n;
    spin_unlock(&d->page_lock);
    return ok;
}

int domain_alloc_pages(struct domain *d, unsigned int order, unsigned int addr_bits, mfn_t *out)
{
    int rc = order > HEAP_MAX_ORDER ? -ENOMEM : pages_reserve(d, 1ULL << order);
    mfn_t m;

    if (rc)
        return rc;
    m = heap_alloc(order, addr_bits);
    if (mfn_x(m) == mfn_x(INVALID_MFN)) {
        pages_unreserve(d, 1ULL << order);
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < 1ULL << order; i++)
        if (atomic_load(&mfn_to_page(_mfn(mfn_x(m) + i))->count_info) & PGC_DIRTY)
            arch_clear_page(mfn_to_virt(_mfn(mfn_x(m) + i)));
    if (!pages_give(d, m, 1ULL << order)) {
        heap_free(m, order);
        return -ENOMEM;
    }
    *out = m;
    return 0;
}

int domain_assign_page(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x = atomic_load(&pg->type_info);
    int rc = pages_reserve(d, 1);

    BUG_ON(!mfn_valid(m) || !(atomic_load(&pg->count_info) & PGC_HV));
    if (rc == 0 && x) /* it was stolen from a domain */
        tlb_flush_since(arch_cpus_online(), x);
    if (rc == 0 && !pages_give(d, m, 1))
        rc = -ENOMEM;
    return rc;
}

bool domain_steal_page(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x = atomic_load(&pg->count_info);

    do { /* all at once, so that nobody gets a reference of the old kind after the check */
        if ((x & ~(PGC_CACHE_MASK | PGC_DIRTY)) !=
            (PGC_ALLOCATED | PGC_RAM | OWNER(d->domain_id) | 2))
            return false;
    } while (!atomic_compare_exchange_weak(&pg->count_info, &x,
                                           PGC_RAM | PGC_HV | PGC_DIRTY | OWNER(DOMID_INVALID) |
                                               1));
    atomic_store(&pg->type_info, PGT_STAMP(PGT_WRITABLE, atomic_load(&arch_tlb_clock)));
    if (x & PGC_CACHE_MASK) {
        arch_cache_flush(mfn_to_virt(m), PAGE_SIZE);
        atomic_fetch_sub(&d->nr_mapped_uncached, 1);
    }
    m2p_table[mfn_x(m)] = INVALID_M2P_ENTRY;
    spin_lock(&d->page_lock);
    list_remove(d, pg);
    d->nr_pages--;
    spin_unlock(&d->page_lock);
    return true;
}

/* The count reached 0: nobody knows the frame any more. */
noinline void page_free(struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->count_info);
    mfn_t m = page_to_mfn(pg);

    BUG_ON(PGC_COUNT(x) != 0 || (x & PGC_ALLOCATED) || (atomic_load(&pg->type_info) & PGT_IN_USE));
    if (x & PGC_CACHE_MASK) /* rule 12: others will read it through the caches */
        arch_cache_flush(mfn_to_virt(m), PAGE_SIZE);
    atomic_store(&pg->type_info, PGT_STAMP(PGT_WRITABLE, atomic_load(&arch_tlb_clock)));
    if (!(x & PGC_HV)) {
        struct domain *d = owners[PGC_OWNER(x)];

        if (x & PGC_CACHE_MASK)
            atomic_fetch_sub(&d->nr_mapped_uncached, 1);
        m2p_table[mfn_x(m)] = INVALID_M2P_ENTRY;
        spin_lock(&d->page_lock);
        list_remove(d, pg);
        d->nr_pages--;
        spin_unlock(&d->page_lock); /* d may be gone from here on */
    }
    heap_free(m, 0);
}

bool page_put_allocated(struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->count_info);
    struct domain *d;

    if (!(x & PGC_ALLOCATED)) /* nor, perhaps, is there an owner */
        return false;
    d = owners[PGC_OWNER(x)];
    spin_lock(&d->page_lock);
    x = atomic_fetch_and(&pg->count_info, ~PGC_ALLOCATED);
    if ((x & PGC_ALLOCATED) &&
        PGC_COUNT(x) > 1) { /* stays for now, behind those that are ALLOCATED */
        list_remove(d, pg);
        list_insert(d, pg, false);
    }
    spin_unlock(&d->page_lock);
    if (!(x & PGC_ALLOCATED))
        return false;
    page_put_inline(pg);
    return true;
}

int domain_relinquish_pages(struct domain *d)
{
    for (unsigned int n = 1;; n++) {
        struct page_info *pg;
        bool more, got;

        spin_lock(&d->page_lock);
        pg = domain_first_page(d);
        more = pg && (atomic_load(&pg->count_info) & PGC_ALLOCATED);
        got = more && page_get_inline(page_to_mfn(pg), d->domain_id); /* outlives the lock */
        spin_unlock(&d->page_lock);
        if (!more)
            return 0;
        if (got) {
            page_put_allocated(pg);
            page_put_inline(pg);
        }
        if (n % 32 == 0 && hypercall_preempt_check())
            return -ERESTART;
    }
}

/* ---- frames of the hypervisor's that a domain may map ---- */

static void set_owner(mfn_t m, domid_t id)
{
    _Atomic uint64_t *count = &mfn_to_page(m)->count_info;
    uint64_t x = atomic_load(count);

    while (!atomic_compare_exchange_weak(count, &x, (x & ~PGC_OWNER_MASK) | OWNER(id)))
        ;
}

void page_share_with_domain(mfn_t m, struct domain *d)
{
    BUG_ON(!(atomic_load(&mfn_to_page(m)->count_info) & PGC_HV));
    atomic_store(&mfn_to_page(m)->type_info, 0);
    set_owner(m, d->domain_id);
}

void page_unshare(mfn_t m)
{
    set_owner(m, DOMID_INVALID);
    page_put_inline(mfn_to_page(m));
}

void m2p_set(mfn_t m, uint64_t pfn) { m2p_table[mfn_x(m)] = pfn; }
uint64_t m2p_get(mfn_t m) { return m2p_table[mfn_x(m)]; }
