/*
 * What a frame is used as. type_info (memory/frame.h) goes through these states; T is the type:
 *
 *   free of use  [T] clock             nothing may be left of it but TLB entries of before `clock`
 *   in use       [T] VALID count       count > 0; of tables and descriptors also the owner
 *   under way    [T] BUSY              one CPU flushes TLBs or checks contents; all others stay out
 *   half a table [T] PARTIAL done      checking was preempted after `done` entries
 *   dead table   [T] DEAD done, link   entries below `done` must be let go; on d->dead_tables
 *
 * Invariants. I1: the type changes only out of `free of use`. I2: a CPU that may have used the frame
 * as T flushes its TLB, paging-structure caches included, before the frame is VALID as another type;
 * and the frame is BUSY before that flush, so that nobody uses it as T again meanwhile (XSA-401). CPUs
 * that may have: those that ran its owner; and all of them, if another domain mapped it for writing
 * (FOREIGN, which is set while that has its reference, and goes when all are flushed). As a table only
 * the owner uses it.
 * I3: exactly the entries of a VALID table, and those below `done` of a PARTIAL or DEAD one, hold
 * references. I4: beside each writable reference there is a general one; but a table holds a single
 * general reference on itself from BUSY to the end of DEAD, whatever its count, so that it stays its
 * owner's. A PARTIAL or DEAD one belongs to nobody else: whoever was preempted owns nothing and simply
 * tries again, and whoever wants the frame as something else makes it DEAD (so there are no references
 * "in flight", XSA-299). Whoever it is that takes part in another domain's tables, holds that domain's
 * mmu_lock alone and finds under it that the domain is not dying: paging_relinquish() comes by each
 * frame once. I5: BUSY tables are only those on the stack of the CPU that holds mmu_lock.
 * I6: all that a table's type_info says changes under its owner's mmu_lock only.
 * Nothing recurses on release: a table whose last reference goes is put on the list of dead tables,
 * which each operation drains as far as time allows (XSA-290).
 */
#include "paging/internal.h"

#define WRITABLE_BUSY ((uint64_t)PGT_WRITABLE << PGT_TYPE_SHIFT | PGT_BUSY)

/* For what is not in use as writable already. Without mmu_lock, perhaps. */
noinline bool type_get_writable_slow(struct domain *owner, struct page_info *pg)
{
    const uint64_t busy = WRITABLE_BUSY;

    for (;;) {
        uint64_t x = atomic_load(&pg->type_info), nx = TYPE_VALID(PGT_WRITABLE) | 1;

        if (x == busy) { /* for the time of a flush */
            cpu_relax();
            continue;
        }
        if (IS_VALID_AS(x, PGT_WRITABLE) && PGT_COUNT(x) < PGC_COUNT_MAX)
            nx = x + 1;
        else if (x & PGT_IN_USE)
            return false;
        else if (PGT_TYPE(x) != PGT_NONE && PGT_TYPE(x) != PGT_WRITABLE)
            nx = busy;
        if (!atomic_compare_exchange_strong(&pg->type_info, &x, nx))
            continue;
        if (nx == busy) { /* see I2; frames that others map by grant are flushed there */
            tlb_flush_since(atomic_load(&owner->dirty_cpus), x);
            atomic_store(&pg->type_info, TYPE_VALID(PGT_WRITABLE) | 1);
        }
        return true;
    }
}

noinline void type_put_writable_slow(struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->type_info), nx;

    do {
        BUG_ON(!IS_VALID_AS(x, PGT_WRITABLE) || PGT_COUNT(x) == 0);
        nx = PGT_COUNT(x) > 1 ? x - 1 : WRITABLE_BUSY;
    } while (!atomic_compare_exchange_weak(&pg->type_info, &x, nx));
    if (nx == WRITABLE_BUSY) /* only now: others could have mapped, used and unmapped it before */
        atomic_store(&pg->type_info, PGT_STAMP(PGT_WRITABLE, atomic_load(&arch_tlb_clock)));
}

/* ---- tables and descriptors; d->mmu_lock is held ---- */

static void table_die(struct domain *d, struct page_info *pg, enum page_type type,
                      unsigned int done)
{
    atomic_store(&pg->type_info, TYPE_DONE(type, done) | PGT_DEAD | d->dead_tables);
    d->dead_tables = (uint32_t)mfn_x(page_to_mfn(pg));
}

int table_abandon(struct domain *d, struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->type_info);

    ASSERT(spin_is_held(&d->mmu_lock));
    if (!(x & (PGT_PARTIAL | PGT_DEAD)) ||
        PGC_OWNER(atomic_load(&pg->count_info)) != d->domain_id) /* then it is not under our lock */
        return -EBUSY;
    if (x & PGT_PARTIAL)
        table_die(d, pg, PGT_TYPE(x), PGT_DONE(x));
    return -ERESTART;
}

/* From free of use, or PARTIAL, to BUSY: then the caller's general reference on pg is that of I4. */
static int table_begin(struct domain *d, struct page_info *pg, enum page_type type,
                       unsigned int *done)
{
    const uint64_t busy = (uint64_t)type << PGT_TYPE_SHIFT | PGT_BUSY;
    uint64_t x = atomic_load(&pg->type_info);

    *done = 0;
    if ((x & PGT_PARTIAL) && PGT_TYPE(x) == type) {
        *done = PGT_DONE(x);
        atomic_store(&pg->type_info, busy);
        page_put(pg); /* it has one */
        return 0;
    }
    do {
        if (x & (PGT_PARTIAL | PGT_DEAD))
            return table_abandon(d, pg);
        if ((x & PGT_IN_USE) || (atomic_load(&pg->count_info) & PGC_HV))
            return -EINVAL;
    } while (!atomic_compare_exchange_strong(&pg->type_info, &x, busy));
    if (PGT_TYPE(x) != PGT_NONE && PGT_TYPE(x) != type) { /* I2 */
        bool all = atomic_load(&pg->count_info) & PGC_FOREIGN;

        tlb_flush_since(all ? arch_cpus_online() : atomic_load(&d->dirty_cpus), x);
        if (unlikely(all))
            atomic_fetch_and(&pg->count_info, ~PGC_FOREIGN);
    }
    if (atomic_load(&pg->count_info) & PGC_CACHE_MASK) /* what we check is what is there */
        arch_cache_flush(mfn_to_virt(page_to_mfn(pg)), PAGE_SIZE);
    return 0;
}

/* What is no valid table of that type yet. */
noinline int table_get_slow(struct domain *d, mfn_t m, enum page_type type)
{
    struct page_info *pg = mfn_to_page(m);
    unsigned int done;
    int rc;

    if (!page_get(m, d))
        return -EINVAL;
    rc = table_begin(d, pg, type, &done);
    if (rc) {
        page_put(pg);
        return rc;
    }
    rc = table_get_entries(d, pg, type, &done);
    if (rc == -ERESTART) {
        atomic_store(&pg->type_info, TYPE_DONE(type, done) | PGT_PARTIAL);
    } else if (rc) {
        table_die(d, pg, type, done);
    } else {
        if (type == PGT_L4)
            arch_l4_init_hv_slots(mfn_to_virt(page_to_mfn(pg)));
        atomic_store(&pg->type_info, TABLE_OF(d->domain_id, type) | 1);
    }
    return rc;
}

noinline void table_put_last(struct domain *d, struct page_info *pg)
{
    uint64_t x = atomic_load(&pg->type_info);

    BUG_ON(x != (TABLE_OF(d->domain_id, PGT_TYPE(x)) | 1) || PGT_TYPE(x) == PGT_WRITABLE);
    table_die(d, pg, PGT_TYPE(x), PGT_TYPE(x) == PGT_DESC ? 0 : PTES_PER_TABLE);
}

static int drain_locked(struct domain *d)
{
    while (d->dead_tables) {
        uint32_t head = d->dead_tables;
        struct page_info *pg = &frame_table[head];
        uint64_t x = atomic_load(&pg->type_info);
        unsigned int done = PGT_DONE(x);
        bool go_on = table_put_entries(d, pg, PGT_TYPE(x), &done);

        atomic_store(&pg->type_info, (x & ~PGT_DONE_MASK) | (uint64_t)done << PGT_DONE_SHIFT);
        if (done == 0 && d->dead_tables == head) {
            d->dead_tables = PGT_COUNT(x);
            atomic_store(&pg->type_info, PGT_STAMP(PGT_TYPE(x), atomic_load(&arch_tlb_clock)));
            page_put(pg);
            go_on = !hypercall_preempt_check() && !spin_has_waiters(&d->mmu_lock);
        }
        if (!go_on && d->dead_tables)
            return -ERESTART;
    }
    return 0;
}

noinline int tables_drain_slow(struct domain *d, bool locked)
{
    int rc;

    if (!locked)
        spin_lock(&d->mmu_lock);
    rc = drain_locked(d);
    if (!locked)
        spin_unlock(&d->mmu_lock);
    return rc;
}

/* ---- for other folders ---- */

bool page_get_writable(struct domain *d, mfn_t m) { return page_use_begin(d, m, true); }
void page_put_writable(mfn_t m)
{
    type_put_writable(mfn_to_page(m));
    page_put(mfn_to_page(m));
}
