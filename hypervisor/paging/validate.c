/*
 * What may stand in tables and descriptors, and the references that their entries hold: an L1 entry
 * a general one on its frame and, if it allows writing, a writable one; a higher entry a general one
 * and one as a table of the next level. Entries for MMIO hold none. Guests run in ring 3, so all
 * present entries get US. Global entries would survive the switch between a guest's kernel and user
 * roots, so PTE_G is dropped from L1 entries. A table never refers to its own level or above, which
 * also means that no table maps itself (linear page tables).
 */
#include "paging/internal.h"

#define SKIP 32u

#define DESC_P (1ULL << 47)
#define DESC_S (1ULL << 44) /* code or data; else a gate, TSS or LDT */
#define DESC_DPL3 (3ULL << 45)

/* ---- L1 ---- */

/* 0; L1E_READ_ONLY: d may not write there, unlike what e says; -EPERM. */
static int mmio_check(const struct domain *d, pte_t e)
{
    uint64_t m = pte_mfn(e);

    if (m >> (arch_paddr_bits - PAGE_SHIFT) || !ranges_have(&d->iomem, m))
        return -EPERM;
    if ((e & PTE_RW) && ranges_have(&d->iomem_ro, m))
        return L1E_READ_ONLY;
    return 0;
}

/*
 * Rule 12. Sticky until the frame is freed: of several mappings one may be uncached even when the
 * last one made is not (XSA-402).
 */
static void page_set_uncached(struct domain *owner, struct page_info *pg, pte_t e)
{
    uint64_t attr = (e & PTE_PAT ? 4 : 0) | (e & PTE_PCD ? 2 : 0) | (e & PTE_PWT ? 1 : 0);
    uint64_t x = atomic_load(&pg->count_info);

    do {
        if (x & PGC_CACHE_MASK)
            return;
    } while (!atomic_compare_exchange_weak(&pg->count_info, &x, x | attr << PGC_CACHE_SHIFT));
    atomic_fetch_add(&owner->nr_mapped_uncached, 1);
}

/* The caller has a writable reference on owner's frame, which keeps it from becoming a table: see I2. */
static inline void note_foreign(const struct domain *d, const struct domain *owner,
                                struct page_info *pg)
{
    if (unlikely(owner != d) && !(atomic_load(&pg->count_info) & PGC_FOREIGN))
        atomic_fetch_or(&pg->count_info, PGC_FOREIGN);
}

/* All but own RAM, mapped write-back. */
noinline int l1e_get_slow(struct domain *d, struct domain *owner, pte_t e)
{
    struct page_info *pg = mfn_to_page_checked(_mfn(pte_mfn(e)));
    int rc = 0;

    if (e & L1E_BAD)
        return -EINVAL;
    /* others' devices are not mapped */
    if (pg == NULL || !(atomic_load(&pg->count_info) & PGC_RAM))
        return owner != d && owner->domain_id != DOMID_IO ? -EPERM : mmio_check(d, e);
    if ((e & PTE_CACHE) && !may_map_uncached(d))
        return -EINVAL;
    if (!page_get_owned(pg, owner->page_key))
        return -EBUSY;
    if ((e & PTE_CACHE) && (atomic_load(&pg->count_info) & PGC_HV))
        rc = -EACCES;
    else if ((e & PTE_RW) && !type_get_writable(owner, pg))
        rc = table_abandon(d, pg);
    if (rc) {
        page_put(pg);
        return rc;
    }
    if (e & PTE_CACHE)
        page_set_uncached(owner, pg, e);
    if (e & PTE_RW)
        note_foreign(d, owner, pg);
    return 0;
}

/*
 * The two entries map the same thing but for who may write: move only the writable reference. The
 * old entry's general one keeps the owner what it is.
 */
int l1_update_rw(struct domain *d, struct domain *owner, pte_t *p, pte_t old, pte_t new,
                 enum pte_how how, pte_t *expect)
{
    mfn_t m = _mfn(pte_mfn(new));
    struct page_info *pg = mfn_to_page(m);
    bool ram = mfn_valid(m), stored;
    int rc = !ram && (new &PTE_RW) ? mmio_check(d, new) : 0;

    if (rc < 0)
        return rc;
    if (rc == L1E_READ_ONLY)
        new &= ~PTE_RW;
    if (ram && (new &PTE_RW)) {
        if (PGC_OWNER(atomic_load(&pg->count_info)) != owner->domain_id)
            return -EBUSY;
        if (!type_get_writable(owner, pg))
            return table_abandon(d, pg);
        note_foreign(d, owner, pg);
    }
    stored = pte_store(p, &old, new, how);
    if (ram && stored == !(new &PTE_RW))
        type_put_writable(pg);
    if (!stored)
        *expect = old;
    return !stored;
}

/* True if none of SKIP entries from t on has any of bits; most tables are nearly empty. */
static hot_inline bool none_has(const pte_t *t, pte_t bits)
{
    pte_t any = 0;

#pragma GCC unroll 32
    for (unsigned int i = 0; i < SKIP; i++)
        any |= t[i];
    return !(any & bits);
}

/* What has to be looked at: entries that are present, where L1TF is all that are not zero. */
static inline pte_t matters(void) { return arch_l1tf_affected ? ~0ULL : PTE_P; }

/* In one that is present and has nothing to refuse, to correct or to note but perhaps the frame: PTE_P | PTE_US. */
#define L1E_PLAIN (PTE_P | PTE_US | PTE_G | PTE_CACHE | L1E_BAD)

/* Any other: if it is present references, and what it has to be then. */
static noinline int l1e_get_fixed(struct domain *d, pte_t *p)
{
    pte_t e = *p, fixed = (e | PTE_US) & ~PTE_G;
    int rc;

    if (!(e & PTE_P))
        return l1tf_safe(e) ? 0 : -EINVAL;
    rc = l1e_get(d, d, d->page_key, fixed);
    if (rc == L1E_READ_ONLY)
        fixed &= ~PTE_RW;
    else if (rc)
        return rc;
    if (fixed != e)
        WRITE_ONCE(*p, fixed);
    return 0;
}

static noinline int l1_get_entries(struct domain *d, pte_t *t, unsigned int *done)
{
    const uint64_t key = d->page_key;

    for (unsigned int i = *done & ~(SKIP - 1); i < PTES_PER_TABLE; i += SKIP) {
        if (none_has(t + i, matters()))
            continue;
        for (pte_t *p = t + MAX(i, *done), *end = t + i + SKIP; p < end; p++) {
            pte_t e = *p;
            int rc = 0;

            if (likely((e & L1E_PLAIN) == (PTE_P | PTE_US)))
                rc = l1e_get_plain(d, d, key, e);
            else if ((e & PTE_P) || arch_l1tf_affected)
                rc = l1e_get_fixed(d, p);
            if (unlikely(rc == L1E_READ_ONLY)) {
                WRITE_ONCE(*p, e & ~PTE_RW);
                rc = 0;
            }
            if (unlikely(rc)) {
                *done = (unsigned int)(p - t);
                return rc;
            }
        }
    }
    return 0;
}

/* Stops at multiples of 2 * SKIP only. */
static noinline bool l1_put_entries(const pte_t *t, unsigned int *done)
{
    const pte_t *end = t + *done, *p = end;

    while (end > t) {
        end = t + ((end - t - 1) & ~(SKIP - 1)); /* all before it are left */
        if (none_has(end, PTE_P)) {
            p = end;
            continue;
        }
        while (p > end) {
            pte_t e = *--p;

            if (e & PTE_P)
                l1e_put(e);
        }
        if ((end - t) % (2 * SKIP) == 0 && hypercall_preempt_check())
            break;
    }
    *done = (unsigned int)(end - t);
    return end == t;
}

/* ---- L2 to L4 ---- */

static noinline int upper_get_entries(struct domain *d, pte_t *t, enum page_type type,
                                      unsigned int *done)
{
    const unsigned int first = *done;

    for (; *done < PTES_PER_TABLE; ++*done) {
        pte_t *p = &t[*done], e = *p;
        int rc;

        if (*done % SKIP == 0 && none_has(p, matters())) {
            *done += SKIP - 1;
            continue;
        }
        if (is_hv_slot(type, *done) || (!(e & PTE_P) && l1tf_safe(e)))
            continue;
        if (*done > first && hypercall_preempt_check())
            return -ERESTART;
        rc = (e & UPPER_BAD) || !(e & PTE_P) ? -EINVAL : table_get(d, _mfn(pte_mfn(e)), type - 1);
        if (rc)
            return rc;
        if (!(e & PTE_US))
            WRITE_ONCE(*p, e | PTE_US);
    }
    return 0;
}

int upper_update(struct domain *d, struct page_info *pg, pte_t *p, pte_t new, bool keep_ad)
{
    enum page_type type = PGT_TYPE(atomic_load(&pg->type_info));
    uint64_t maddr = mfn_x(page_to_mfn(pg)) << PAGE_SHIFT;
    pte_t old = READ_ONCE(*p);
    int rc;

    if (is_hv_slot(type, (uintptr_t)p % PAGE_SIZE / sizeof(*p)) ||
        (new &PTE_P ? new &UPPER_BAD : !l1tf_safe(new)))
        return -EINVAL;
    if (new &PTE_P) {
        new |= PTE_US;
        rc = table_get(d, _mfn(pte_mfn(new)), type - 1);
        if (rc)
            return rc;
    }
    pte_store(p, &old, new, keep_ad ? PTE_KEEP_AD : PTE_SET);
    if (old & PTE_P)
        table_put(d, mfn_to_page(_mfn(pte_mfn(old))));
    if (maddr == current->arch.cr3_kernel || maddr == current->arch.cr3_user)
        arch_vcpu_roots_changed(current); /* a CPU that runs on a copy of it has to see that */
    return 1;
}

/* ---- descriptors ---- */

/*
 * Code and data of ring 3 may have any base and limit: paging keeps the guest in its place. No gates
 * (they would change the privilege level), no system segments. What is not present faults when used.
 */
bool desc_fix(uint64_t *desc)
{
    if (!(*desc & DESC_P))
        return true;
    *desc |= DESC_DPL3;
    return *desc & DESC_S;
}

/* ---- whole tables ---- */

int table_get_entries(struct domain *d, struct page_info *pg, enum page_type type,
                      unsigned int *done)
{
    uint64_t *t = mfn_to_virt(page_to_mfn(pg));

    if (type == PGT_L1)
        return l1_get_entries(d, t, done);
    if (type != PGT_DESC)
        return upper_get_entries(d, t, type, done);
    for (unsigned int i = 0; i < PTES_PER_TABLE; i++)
        if (!desc_fix(&t[i]))
            return -EINVAL;
    return 0;
}

bool table_put_entries(struct domain *d, struct page_info *pg, enum page_type type,
                       unsigned int *done)
{
    const pte_t *t = mfn_to_virt(page_to_mfn(pg));

    if (type == PGT_L1)
        return l1_put_entries(t, done);
    while (*done > 0) {
        unsigned int i;
        pte_t e;

        if (*done % SKIP == 0 && none_has(t + *done - SKIP, PTE_P)) {
            *done -= SKIP;
            continue;
        }
        i = --*done;
        e = t[i];
        if (!(e & PTE_P) || is_hv_slot(type, i))
            continue;
        table_put(d, mfn_to_page(_mfn(pte_mfn(e))));
        if (hypercall_preempt_check())
            return *done == 0;
    }
    return true;
}
