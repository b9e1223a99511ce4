/*
 * Whose frames and tables a domain may name that are not its own, and what DOMID_XEN shares: the M2P,
 * read-only, for what saves and restores guests. Its frames do not lie as the ABI's 2 MiB extents have
 * it (there is no M2P where there is no RAM), and nobody needs their real numbers; so it is known by
 * numbers of its own.
 */
#include "memory/heap.h"
#include "paging/internal.h"

/* The stand-ins of foreign_get(). */
static struct domain io_owner = { .domain_id = DOMID_IO, .page_key = page_key(DOMID_IO) },
                     xen_owner = { .domain_id = DOMID_XEN, .page_key = page_key(DOMID_XEN) };

int foreign_get(domid_t id, struct domain **out)
{
    struct domain *caller = current->domain;

    *out = id == DOMID_IO ? &io_owner : id == DOMID_XEN ? &xen_owner : caller;
    if (id == DOMID_IO)
        return may_map_uncached(caller) ? 0 : -EPERM;
    if (id == DOMID_XEN)
        return policy_check(caller, NULL, RIGHT_MACHINE);
    if (id == DOMID_SELF)
        return 0;
    return id == caller->domain_id ? -ESRCH : domain_get_for(caller, id, RIGHT_MEMORY, out);
}

void foreign_put(struct domain *owner)
{
    if (owner != current->domain && foreign_is_real(owner))
        domain_put(owner);
}

/* ---- the M2P ---- */

/* The i-th page of it, from where guests see it; INVALID_MFN: there is none. */
static mfn_t m2p_page(uint64_t i)
{
    uint64_t va = M2P_RO_VIRT + (i << PAGE_SHIFT), e = current->arch.cr3_kernel, below = 0;

    for (unsigned int level = 4; level > 0 && !below; level--) {
        const pte_t *t = mfn_to_virt(_mfn(pte_mfn(e)));

        e = t[pt_index(va, level)];
        if (!(e & PTE_P))
            return INVALID_MFN;
        if (level > 1 && (e & PTE_PS)) /* bit 12 of which is PAT */
            below = (1ULL << 9 * (level - 1)) - 1;
    }
    return _mfn((pte_mfn(e) & ~below) | (va >> PAGE_SHIFT & below));
}

/* DOMID_XEN's from now on. It was nobody's, with or without the hypervisor's reference. */
static void share_read_only(mfn_t m)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x = atomic_load(&pg->count_info);

    while (PGC_OWNER(x) != DOMID_XEN) {
        atomic_store(&pg->type_info, TYPE_READ_ONLY); /* others may just do the same */
        if (atomic_compare_exchange_weak(&pg->count_info, &x, (PGC_HV | page_key(DOMID_XEN))))
            break;
    }
}

/* What is shown where the M2P has no page: no RAM. */
static mfn_t no_m2p_page(void)
{
    static _Atomic uint64_t no_m2p;
    uint64_t none = 0;
    mfn_t m;

    if (atomic_load(&no_m2p) == 0) {
        m = heap_alloc(0, 0);
        if (mfn_x(m) == mfn_x(INVALID_MFN))
            return m;
        memset(mfn_to_virt(m), 0xff, PAGE_SIZE); /* INVALID_M2P_ENTRY */
        if (!atomic_compare_exchange_strong(&no_m2p, &none, mfn_x(m)))
            heap_free(m, 0);
    }
    return _mfn(atomic_load(&no_m2p));
}

int foreign_pte(const struct domain *owner, pte_t *e)
{
    uint64_t i = pte_mfn(*e) - M2P_GFN;
    mfn_t m;

    if (owner != &xen_owner || !(*e & PTE_P))
        return 0;
    if (i >= m2p_gfns())
        return -EINVAL;
    m = m2p_page(array_index_nospec(i, m2p_gfns()));
    if (mfn_x(m) == mfn_x(INVALID_MFN))
        m = no_m2p_page();
    if (mfn_x(m) == mfn_x(INVALID_MFN))
        return -ENOMEM;
    share_read_only(m);
    *e = (*e & ~PTE_ADDR_MASK) | mfn_x(m) << PAGE_SHIFT;
    return 0;
}
