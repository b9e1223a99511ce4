/*
 * References on frames. The count, the owner and the flags are one word, so that a reference is
 * taken and its right to be taken is checked in one compare-and-exchange.
 */
#include "memory/frame.h"

#include "memory/heap.h"

#define RUN_MAX 32u /* of a domain's frames that are freed at once: a step of a loop */

uint64_t max_mfn;
bool frame_group_valid[DIRECTMAP_BYTES >> (PAGE_SHIFT + FRAME_GROUP_SHIFT)];

struct domain *domain_by_id[DOMID_FIRST_RESERVED];

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

/* ---- a domain's list has its ALLOCATED frames first and is guarded by d->page_lock ---- */

/* Frames that nobody else knows become d's; not if it is dying: its list may have been walked. */
int domain_assign_pages(struct domain *d, mfn_t m, uint64_t n)
{
    int rc = 0;

    spin_lock(&d->page_lock);
    if (d->nr_pages > d->max_pages || n > d->max_pages - d->nr_pages)
        rc = -E2BIG;
    else if (READ_ONCE(d->is_dying))
        rc = -ENOMEM;
    for (d->nr_pages += rc ? 0 : n; rc == 0 && n--; m.v++) {
        struct page_info *pg = mfn_to_page(m);

        page_list_insert(&d->page_list, (uint32_t)mfn_x(m), true);
        atomic_store_explicit(&pg->type_info, 0, memory_order_relaxed);
        atomic_store_explicit(&pg->count_info, PGC_ALLOCATED | d->page_key, memory_order_release);
    }
    spin_unlock(&d->page_lock);
    return rc;
}

unsigned int domain_populate(struct domain *d, unsigned int order, unsigned int addr_bits,
                             uint64_t *list, unsigned int n)
{
    uint64_t have = READ_ONCE(d->nr_pages), most = d->max_pages,
             room = have < most ? most - have : 0;
    unsigned int done = 0, got;

    for (n = (unsigned int)MIN(n, room >> order); done < n;) {
        mfn_t m = heap_alloc_some(d, order, order + fls64(n - done) - 1, addr_bits, &got);

        if (mfn_x(m) == mfn_x(INVALID_MFN))
            break;
        for (uint64_t i = 0; i < 1ULL << got; i++) {
            uint64_t pfn = list[done + (i >> order)];

            memset(mfn_to_virt(_mfn(mfn_x(m) + i)), 0, PAGE_SIZE);
            if (pfn != INVALID_M2P_ENTRY)
                pfn += i & ((1ULL << order) - 1);
            /* not later: once d has the frame it may become another's at any time */
            m2p_set(_mfn(mfn_x(m) + i), pfn);
        }
        if (domain_assign_pages(d, m, 1ULL << got)) {
            m2p_forget(m, 1ULL << got);
            heap_free(m, got);
            break;
        }
        for (uint64_t i = 0; i < 1ULL << got; i += 1ULL << order)
            list[done++] = mfn_x(m) + i;
    }
    return done;
}

int domain_assign_page(struct domain *d, mfn_t m)
{
    uint64_t x = atomic_load(&mfn_to_page(m)->type_info);

    BUG_ON(!mfn_valid(m) || !(atomic_load(&mfn_to_page(m)->count_info) & PGC_HV));
    if (x) /* it was stolen from a domain */
        tlb_flush_since(arch_cpus_online(), x);
    return domain_assign_pages(d, m, 1);
}

/* Off the list; whoever walks on it goes on behind it. */
static void page_unlist_locked(struct domain *d, uint32_t i)
{
    if (unlikely(d->walk_at == i))
        d->walk_at = page_list_next(d->page_list, i);
    page_list_remove(&d->page_list, i);
}

/* What is d's no more, and may be in TLBs; x: its count_info. */
static void page_leave_locked(struct domain *d, struct page_info *pg, uint64_t x)
{
    BUG_ON(atomic_load(&pg->type_info) & PGT_IN_USE); /* each such use has a reference */
    page_stamp(pg);
    if (unlikely(x & PGC_CACHE_MASK)) { /* rule 12: others will read it through the caches */
        arch_cache_flush(mfn_to_virt(page_to_mfn(pg)), PAGE_SIZE);
        atomic_fetch_sub(&d->nr_mapped_uncached, 1);
    }
    page_unlist_locked(d, (uint32_t)mfn_x(page_to_mfn(pg)));
    d->nr_pages--;
}

/*
 * All at once, so that nobody gets a reference of the old kind after the check; and with the lock, so that
 * nobody sees it on the list any more.
 */
static bool steal_locked(struct domain *d, struct page_info *pg)
{
    uint64_t x = atomic_load_explicit(&pg->count_info, memory_order_relaxed);
    uint64_t only_ours = PGC_ALLOCATED | d->page_key;

    do
        if ((x & ~(PGC_CACHE_MASK | PGC_FOREIGN)) != only_ours)
            return false;
    while (!atomic_compare_exchange_weak(&pg->count_info, &x, PGC_NOBODYS | 1));
    page_leave_locked(d, pg, x);
    return true;
}

bool domain_steal_page(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page_checked(m);
    bool ok;

    if (pg == NULL)
        return false;
    spin_lock(&d->page_lock);
    ok = steal_locked(d, pg);
    spin_unlock(&d->page_lock);
    return ok;
}

/* The count reached 0: nobody knows the frame any more. */
noinline void page_free(struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->count_info);
    struct domain *d;

    BUG_ON(PGC_COUNT(x) != 0 || (x & PGC_ALLOCATED));
    if (x & PGC_HV) {
        BUG_ON(atomic_load(&pg->type_info) & PGT_IN_USE);
        page_stamp(pg);
    } else {
        d = domain_by_id[PGC_OWNER(x)];
        spin_lock(&d->page_lock);
        page_leave_locked(d, pg, x);
        spin_unlock(&d->page_lock); /* d may be gone from here on */
    }
    m2p_forget(page_to_mfn(pg), 1); /* of a shared one, too: a guest could set it */
    heap_free(page_to_mfn(pg), 0);
}

/* Take the owner's reference on frame i, to be put; false: it was gone. */
static noinline bool take_allocated_locked(struct domain *d, uint32_t i)
{
    if (!(atomic_fetch_and(&frame_table[i].count_info, ~PGC_ALLOCATED) & PGC_ALLOCATED))
        return false;
    page_unlist_locked(d, i); /* stays for now, behind those that are ALLOCATED */
    page_list_insert(&d->page_list, i, false);
    return true;
}

bool page_put_allocated(struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->count_info);
    struct domain *d;
    bool had;

    if (!(x & PGC_ALLOCATED)) /* then, perhaps, there is no owner either */
        return false;
    d = domain_by_id[PGC_OWNER(x)];
    spin_lock(&d->page_lock);
    had = take_allocated_locked(d, (uint32_t)mfn_x(page_to_mfn(pg)));
    spin_unlock(&d->page_lock);
    if (had)
        page_put(pg);
    return had;
}

mfn_t domain_walk_pages(struct domain *d)
{
    uint32_t i;

    spin_lock(&d->page_lock);
    if (!d->walking)
        d->walk_at = d->page_list;
    d->walking = true;
    i = d->walk_at;
    if (i)
        d->walk_at = page_list_next(d->page_list, i);
    spin_unlock(&d->page_lock);
    return i ? _mfn(i) : INVALID_MFN;
}

/*
 * What nobody has mapped goes in runs of the list's first frames: those of one allocation lie there the last
 * one first, and the heap takes a run in few steps. No list has frame 0: it is nobody's.
 */
int domain_relinquish_pages(struct domain *d)
{
    bool held;
    uint32_t i, n;

    (void)domain_claim_pages(d, 0);
    do {
        spin_lock(&d->page_lock);
        for (i = d->page_list, n = 0; n < RUN_MAX && d->page_list == i - n; n++)
            if (!steal_locked(d, &frame_table[i - n]))
                break;
        held = n == 0 && take_allocated_locked(d, i);
        spin_unlock(&d->page_lock);
        if (held)
            page_put(&frame_table[i]);
        m2p_forget(_mfn(i + 1 - n), n);
        heap_free_frames(_mfn(i + 1 - n), n);
    } while ((n || held) && !hypercall_preempt_check());
    return n || held ? -ERESTART : 0;
}

void page_share(mfn_t m, domid_t id)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x = atomic_load(&pg->count_info);

    BUG_ON(!(x & PGC_HV));
    atomic_fetch_add(&pg->count_info, ((uint64_t)id - PGC_OWNER(x)) << PGC_OWNER_SHIFT);
}

unsigned int frame_complain(const char *what, mfn_t m)
{
    print(LOG_ERR, "memory audit: %s: frame %lx count_info %016lx type_info %016lx", what, mfn_x(m),
          mfn_to_page(m)->count_info, mfn_to_page(m)->type_info);
    return 1;
}
