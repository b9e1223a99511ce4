/*
 * Private to paging/. All that changes what a frame is a table of, or an entry of a table, holds the
 * mmu_lock of the domain that owns the table. Only writable references come and go without it.
 */
#pragma once
#include "paging/paging.h"

#define TYPE_DONE(t, done) ((uint64_t)(t) << PGT_TYPE_SHIFT | (uint64_t)(done) << PGT_DONE_SHIFT)
#define IS_VALID_AS(x, t) (((x) & (PGT_TYPE_MASK | PGT_VALID)) == TYPE_VALID(t))

/* Refused in a present entry. Bits 52..62 are ignored by the CPU; we may want them, as Xen does. */
#define L1E_BAD PTE_AVAIL_HIGH
#define UPPER_BAD (PTE_PWT | PTE_PCD | PTE_PS | PTE_G | PTE_AVAIL_HIGH)

enum pte_how { PTE_SET, PTE_KEEP_AD, PTE_CMPXCHG };

/* ---- foreign.c ---- */
/**
 * FOREIGNDOM of a hypercall: the domain whose frames or tables it is about, with a reference unless it
 * is the caller's (DOMID_SELF), or a stand-in that owns no tables: for DOMID_IO, of which no frame is
 * so that only MMIO can be mapped, and for DOMID_XEN. 0; -EPERM; -ESRCH no such, or the caller's id.
 */
int foreign_get(domid_t id, struct domain **out);
void foreign_put(struct domain *owner);
static inline bool foreign_is_real(const struct domain *owner)
{
    return owner->domain_id < DOMID_FIRST_RESERVED;
}
/**
 * Under DOMID_XEN frame numbers have a meaning of their own: M2P_GFN + i is the i-th page of the M2P.
 * *e becomes an entry for what there is in its place. 0, -EINVAL.
 */
int foreign_pte(const struct domain *owner, pte_t *e);
/** Nobody may write there, nor use it as anything else, for ever. */
#define TYPE_READ_ONLY (TYPE_VALID(PGT_NONE) | 1)

/* ---- types.c ---- */
int table_get_slow(struct domain *d, mfn_t m, enum page_type type);
void table_put_last(struct domain *d, struct page_info *pg);
int tables_drain_slow(struct domain *d, bool locked);
/**
 * Frame pg is wanted as something else: -EBUSY if it is in use or not d's; -ERESTART if it was half a
 * table (given up now) or a dead one, so that it will be free when the dead tables are gone.
 */
int table_abandon(struct domain *d, struct page_info *pg);

/* ---- validate.c ---- */
/** Take the references of a table's entries from *done on, or check descriptors; *done as reached. */
int table_get_entries(struct domain *d, struct page_info *pg, enum page_type type,
                      unsigned int *done);
/** Drop those of entries *done - 1 downwards; child tables may die. False: time is up. */
bool table_put_entries(struct domain *d, struct page_info *pg, enum page_type type,
                       unsigned int *done);
/** 0, L1E_READ_ONLY (MMIO, which holds no references: only without PTE_RW) or an error. */
enum { L1E_READ_ONLY = 1 };
int l1e_get_slow(struct domain *d, struct domain *owner, pte_t e);
/** Of l1_update(): old and new differ in PTE_RW only. */
int l1_update_rw(struct domain *d, struct domain *owner, pte_t *p, pte_t old, pte_t new,
                 enum pte_how how, pte_t *expect);
/** Replace entry p of d's valid L2..L4 table pg; 1, or an error that changed nothing. */
int upper_update(struct domain *d, struct page_info *pg, pte_t *p, pte_t new, bool keep_ad);
/** Make a descriptor harmless (DPL 3); false: it cannot be. */
bool desc_fix(uint64_t *desc);
/** Slots 256..271 of every L4 are ours: what the guest left there is not looked at. */
static inline bool is_hv_slot(enum page_type type, unsigned int i)
{
    return type == PGT_L4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT;
}

/* ---- hypercalls.c ---- */
/** Write to d's frame that is no table, on the guest's behalf: 0, -EINVAL, -ERESTART. */
int plain_write(struct domain *d, struct page_info *pg, uint64_t *p, uint64_t val);
/** Give up m if it was half validated, or drop its pin: 0, or -EINVAL when it has none. */
int paging_unpin(struct domain *d, mfn_t m);

/* ---- inline ---- */

/* A type reference on a frame on which the caller holds a general one. */
static inline bool type_get_writable(struct domain *owner, struct page_info *pg)
{
    return likely(type_more_writable(pg)) || type_get_writable_slow(owner, pg);
}

/** A type reference on d's table or descriptor frame; d->mmu_lock is held. */
static inline int table_get(struct domain *d, mfn_t m, enum page_type type)
{
    struct page_info *pg = mfn_to_page_checked(m);
    uint64_t x;

    ASSERT(spin_is_held(&d->mmu_lock));
    if (unlikely(pg == NULL))
        return -EINVAL;
    x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);
    if (unlikely(!is_type_of_table(x, d, type) || PGT_COUNT(x) >= PGC_COUNT_MAX))
        return table_get_slow(d, m, type);
    atomic_store_explicit(&pg->type_info, x + 1, memory_order_relaxed); /* ours by mmu_lock */
    return 0;
}
static inline void table_put(struct domain *d, struct page_info *pg)
{
    uint64_t x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);

    if (unlikely(PGT_COUNT(x) <= 1))
        table_put_last(d, pg);
    else
        atomic_store_explicit(&pg->type_info, x - 1, memory_order_relaxed);
}

/** Let go of all dead tables of d. 0, or -ERESTART: progress was made. */
static inline int tables_drain_locked(struct domain *d)
{
    return likely(!d->dead_tables) ? 0 : tables_drain_slow(d, true);
}
static inline int tables_drain(struct domain *d)
{
    return likely(!READ_ONCE(d->dead_tables)) ? 0 : tables_drain_slow(d, false);
}

/*
 * For l1_update() and what it calls. Frames of others than d take the slow way: they have not that key.
 */
static inline uint64_t owner_key(const struct domain *d, const struct domain *owner)
{
    return owner == d ? d->page_key : page_key(DOMID_IO);
}

/* References for a present entry that is mapped write-back and not bad; key is owner_key(). */
static hot_inline int l1e_get_plain(struct domain *d, struct domain *owner, uint64_t key, pte_t e)
{
    struct page_info *pg = mfn_to_page_checked(_mfn(pte_mfn(e)));
    int rc;

    if (unlikely(pg == NULL || !page_get_owned(pg, key)))
        return l1e_get_slow(d, owner, e);
    if (likely(!(e & PTE_RW) || type_get_writable(owner, pg)))
        return 0;
    rc = table_abandon(d, pg);
    page_put(pg);
    return rc;
}

/* For any present entry. */
static hot_inline int l1e_get(struct domain *d, struct domain *owner, uint64_t key, pte_t e)
{
    if (unlikely(e & (PTE_CACHE | L1E_BAD)))
        return l1e_get_slow(d, owner, e);
    return l1e_get_plain(d, owner, key, e);
}

/*
 * What e of a table maps may be another domain's; what is not RAM is MMIO that the domain may map. No
 * address is made of what is read here: so the CPU may speculate.
 */
static hot_inline void l1e_put(pte_t e)
{
    uint64_t m = pte_mfn(e);
    struct page_info *pg = mfn_to_page(_mfn(m));

    if (unlikely(m >= max_mfn || !frame_group_valid[m >> FRAME_GROUP_SHIFT] ||
                 !(atomic_load_explicit(&pg->count_info, memory_order_relaxed) & PGC_RAM)))
        return; /* MMIO, which has no references */
    if (e & PTE_RW)
        type_put_writable(pg);
    page_put(pg);
}

/* What a non-present entry may hold on a CPU that speculates with its address (L1TF). */
static inline bool l1tf_safe(pte_t e)
{
    uint64_t a = e & PTE_ADDR_MASK & ((1ULL << MIN(arch_paddr_bits, 44)) - 1); /* the L1D's view */

    return likely(!arch_l1tf_affected) || a == 0 || a >= max_mfn << PAGE_SHIFT;
}

/*
 * The store is a locked instruction: whoever reads the TLB clock after it can rely on it that a
 * flush that is counted later has seen the new entry. False: PTE_CMPXCHG found another value.
 */
static inline bool pte_store(pte_t *p, pte_t *old, pte_t new, enum pte_how how)
{
    _Atomic pte_t *a = (_Atomic pte_t *)p;

    if (how == PTE_SET) {
        atomic_exchange(a, new);
        return true;
    }
    if (how == PTE_CMPXCHG)
        return atomic_compare_exchange_strong(a, old, new);
    while (!atomic_compare_exchange_weak(a, old, new | (*old & (PTE_A | PTE_D))))
        ;
    return true;
}

/*
 * Replace an L1 entry of d's by one that may map owner's frame; key is owner_key(). 0, or an error that changed nothing. PTE_CMPXCHG: 1
 * if the entry is not *expect, which then has its value.
 */
static hot_inline int l1_update(struct domain *d, struct domain *owner, uint64_t key, pte_t *p,
                                pte_t new, enum pte_how how, pte_t *expect)
{
    pte_t old = READ_ONCE(*p), diff = PTE_P; /* NOLINT(clang-analyzer-core.NullDereference) */
    int rc;

    ASSERT(spin_is_held(&d->mmu_lock));
    if (how == PTE_CMPXCHG && old != *expect) {
        *expect = old;
        return 1;
    }
    if (new &PTE_P) {
        new = (new | PTE_US) & ~PTE_G;
        if (old & PTE_P) /* it has nothing of L1E_BAD */
            diff = (old ^ new) & (PTE_ADDR_MASK | PTE_CACHE | PTE_RW | L1E_BAD);
        if (unlikely(diff == PTE_RW))
            return l1_update_rw(d, owner, p, old, new, how, expect);
        if (diff && (rc = l1e_get(d, owner, key, new)) != 0) {
            if (rc != L1E_READ_ONLY)
                return rc;
            new &= ~PTE_RW;
        }
    } else if (unlikely(!l1tf_safe(new))) {
        return -EINVAL;
    }
    if (unlikely(!pte_store(p, &old, new, how))) { /* the CPU set A or D meanwhile */
        *expect = old;                             /* NOLINT(clang-analyzer-core.NullDereference) */
        if (diff && (new &PTE_P))
            l1e_put(new);
        return 1;
    }
    if (diff && (old & PTE_P))
        l1e_put(old);
    return 0;
}

/* The L1 entry for va, or NULL; d->mmu_lock is held, so that what hangs on a root is valid. */
static hot_inline pte_t *walk_l1(uint64_t root, uint64_t va)
{
    pte_t *t = maddr_to_virt(root);

    if (unlikely(root == 0 || va - (1ULL << 47) < HV_VIRT_END - (1ULL << 47))) /* not the guest's */
        return NULL;
#pragma GCC unroll 3
    for (unsigned int level = 4; level > 1; level--) {
        pte_t e = t[pt_index(va, level)];

        if (unlikely(!(e & PTE_P)))
            return NULL;
        t = maddr_to_virt(e & PTE_ADDR_MASK);
    }
    return &t[pt_index(va, 1)];
}
