/*
 * Page-table entries of grants. They are L1 entries like all others: what is here takes references
 * for them on the granter's frame, and from then on they are replaced, or end with their table, as
 * any entry does (l1e_put() knows no owners). What is special is only that none can be made in any
 * other way. The use of the grant has references of its own (grant/internal.h).
 */
#include "paging/internal.h"

/* By address in the current address space, or by where the entry is in d's memory. */
static hot_inline pte_t *grant_pte(struct domain *d, uint64_t addr, bool by_maddr)
{
    struct page_info *pg;

    ASSERT(spin_is_held(&d->mmu_lock));
    if (!by_maddr)
        return walk_l1(current->arch.cr3_kernel, addr);
    pg = mfn_to_page_checked(gfn_to_mfn(d, _gfn(addr >> PAGE_SHIFT)));
    if (pg == NULL || addr % sizeof(pte_t) || !is_table_of(pg, d, PGT_L1))
        return NULL;
    return (pte_t *)mfn_to_virt(page_to_mfn(pg)) + addr / sizeof(pte_t) % PTES_PER_TABLE;
}

int grant_pte_set(struct domain *d, uint64_t addr, bool by_maddr, pte_t e)
{
    pte_t *p = grant_pte(d, addr, by_maddr), old;
    struct page_info *pg = mfn_to_page(_mfn(pte_mfn(e)));

    if (unlikely(p == NULL))
        return -EINVAL;
    atomic_fetch_add(&pg->count_info, 1); /* one that is checked against the limit goes with it */
    if (e & PTE_RW)
        atomic_fetch_add(&pg->type_info, 1);
    old = READ_ONCE(*p);
    pte_store(p, &old, e, PTE_SET);
    if (old & PTE_P)
        l1e_put(old);
    return 0;
}

int grant_pte_clear(struct domain *d, uint64_t addr, bool by_maddr, mfn_t m, bool writable,
                    const uint64_t *from_va)
{
    pte_t *p = grant_pte(d, addr, by_maddr), *from, old, new = 0;
    struct page_info *pg;

    if (p == NULL)
        return -EINVAL;
    old = READ_ONCE(*p);
    /* Which one it is tells nobody: but who may write with another's entry would go on doing so. */
    if (!(old & PTE_P) || pte_mfn(old) != mfn_x(m) || !(old & PTE_RW) != !writable)
        return -EINVAL;
    if (from_va) {
        from = grant_pte(d, *from_va, false);
        if (from == NULL || from == p)
            return -EINVAL;
        new = atomic_exchange((_Atomic pte_t *)from, 0); /* its references move with it */
    }
    pte_store(p, &old, new, PTE_SET);
    pg = mfn_to_page(m);
    /* none of them is the last one: the caller has its own */
    if (writable)
        atomic_fetch_sub(&pg->type_info, 1);
    atomic_fetch_sub(&pg->count_info, 1);
    return 0;
}
