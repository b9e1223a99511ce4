/*
 * The PV MMU: which frames are page tables, and what may stand in them. Rule 1 of the design is
 * kept here and nowhere else.
 */
#pragma once
#include "memory/frame.h"
#include "memory/guest_copy.h"

#define TYPE_VALID(t) ((uint64_t)(t) << PGT_TYPE_SHIFT | PGT_VALID)
/* Not in use as writable yet, and the last such use: for these two alone. */
bool type_get_writable_slow(struct domain *owner, struct page_info *pg);
void type_put_writable_slow(struct page_info *pg);

/* One more type reference, if there is one already. */
static inline bool type_more_writable(struct page_info *pg)
{
    uint64_t x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);

    do {
        if (unlikely(x - (TYPE_VALID(PGT_WRITABLE) + 1) >= PGC_COUNT_MAX - 1)) /* or too many */
            return false;
    } while (unlikely(!atomic_compare_exchange_weak(&pg->type_info, &x, x + 1)));
    return true;
}

/* The entry that gave the right to write is gone by now, by a locked instruction: see pte_store(). */
static inline void type_put_writable(struct page_info *pg)
{
    uint64_t x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);

    do {
        if (unlikely(x - (TYPE_VALID(PGT_WRITABLE) + 2) >= PGC_COUNT_MAX)) { /* the last one */
            type_put_writable_slow(pg);
            return;
        }
    } while (unlikely(!atomic_compare_exchange_weak(&pg->type_info, &x, x - 1)));
}

/**
 * A reference on d's frame for ring 0 to read it or to write into it, and its end; false: not d's, or to
 * be written and a table.
 */
static hot_inline bool page_use_begin(struct domain *d, mfn_t m, bool write)
{
    struct page_info *pg = page_get(m, d);

    if (unlikely(pg && write && !type_more_writable(pg) && !type_get_writable_slow(d, pg))) {
        page_put(pg);
        return false;
    }
    return pg != NULL;
}
static hot_inline void page_use_end(struct domain *d, mfn_t m, bool write)
{
    if (write) {
        page_mark_dirty(d, m);
        type_put_writable(mfn_to_page(m));
    }
    page_put(mfn_to_page(m));
}
/** The same for writing, where it need not be inline; whoever has written marks it. */
bool page_get_writable(struct domain *d, mfn_t m);
void page_put_writable(mfn_t m);

/** A table or descriptor frame of domain id in type_info, without references. */
#define TABLE_OF(id, t) \
    ((uint64_t)(t) << PGT_TYPE_SHIFT | PGT_VALID | (uint64_t)(id) << PGC_OWNER_SHIFT)

/** Is x the type_info of a valid table of d's of that type? */
static inline bool is_type_of_table(uint64_t x, const struct domain *d, enum page_type type)
{
    return ((uint32_t)(x >> 32) & ~(uint32_t)(PGT_PINNED >> 32)) ==
           (uint32_t)(TABLE_OF(d->domain_id, type) >> 32); /* all but references and pin */
}
_Static_assert(DOMID_MASK == 0x7fff, "an owner has 15 bits in type_info");

/**
 * Is pg d's valid table of that type? If so, it is as long as d->mmu_lock is held, for only who holds
 * that lets go of d's tables; and so long the frame stays d's. Without the lock it is a hint.
 */
static inline bool is_table_of(const struct page_info *pg, const struct domain *d,
                               enum page_type type)
{
    return is_type_of_table(atomic_load_explicit(&pg->type_info, memory_order_relaxed), d, type);
}

/**
 * A guest kernel wrote to frame pg, most likely an L1 table of its domain: p, an entry in it, becomes
 * new. Unless expect is NULL only if it is *expect; else *expect gets its value and 1 returns.
 * 0 done; -ERESTART or -EAGAIN: let the guest execute the instruction again; else the new value is
 * refused (the caller bounces the fault).
 */
int paging_emulated_write(struct vcpu *v, const struct page_info *pg, pte_t *p, pte_t new,
                          pte_t *expect);

/** update_descriptor: write desc at maddr (8-aligned), DPL made 3. 0, -EINVAL, -EAGAIN, -ERESTART. */
int desc_update(struct domain *d, uint64_t maddr, uint64_t desc);

/** MMUEXT_PIN_Ln_TABLE: keep m a valid table until it is unpinned. 0, -EINVAL, -EAGAIN, -ERESTART. */
int paging_pin(struct domain *d, mfn_t m, enum page_type type);

/**
 * What a privileged domain names as DOMID_XEN's frames: page i of the M2P, in whole extents of 2 MiB, is
 * M2P_GFN + i.
 */
#define M2P_GFN 512u /* an extent's number is not 0, which the ABI has for none */
static inline uint64_t m2p_gfns(void) { return DIV_ROUND_UP(max_mfn * 8, MIB(2)) * 512; }

/** set_gdt / SET_LDT and a vCPU's roots: take and drop their references. */
int vcpu_set_gdt(struct vcpu *v, const uint64_t *frames, unsigned int nr_ents);
static inline void vcpu_drop_gdt(struct vcpu *v) { (void)vcpu_set_gdt(v, NULL, 0); }
int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int nr_ents);
/** Set the kernel (user = false) or user root; m 0 for no user root. As MMUEXT_NEW_BASEPTR. */
int vcpu_set_root(struct vcpu *v, mfn_t m, bool user);
/** Of a vCPU that does not run: both. */
void vcpu_drop_roots(struct vcpu *v);

/**
 * Death: drop all pins and all that the vCPUs hold. 0, or -ERESTART to call again. The vCPUs do not
 * run and no CPU has one of their roots loaded. domain_relinquish_pages() comes next.
 */
int paging_relinquish(struct domain *d);

/* ---- for grant/: entries that map a granted frame; d, the current domain, is locked: d->mmu_lock ---- */

/**
 * Let the L1 entry for the address addr, or if by_maddr, the one at that machine address, be e, which is
 * present, write-back and maps RAM, on which the caller has such references as the entry gets. 0, or
 * -EINVAL: no such entry in a valid table of d's.
 */
int grant_pte_set(struct domain *d, uint64_t addr, bool by_maddr, pte_t e);
/**
 * Clear such an entry, if it maps m in this way, on which the caller has references; or move into it what the entry for *from_va holds, which
 * is cleared. The TLBs are the caller's business. 0, or -EINVAL: it does not, or there is none.
 */
int grant_pte_clear(struct domain *d, uint64_t addr, bool by_maddr, mfn_t m, bool writable,
                    const uint64_t *from_va);

/** Rule 12: d has devices, or maps what it had of some. For others all is write-back. */
static inline bool may_map_uncached(struct domain *d)
{
    return d->is_hwdom || d->iomem.nr || atomic_load(&d->nr_mapped_uncached);
}

/**
 * Recompute every reference that tables, roots, descriptors and pins explain and compare it with
 * the frame table. Prints each difference and returns how many. All vCPUs paused or one CPU.
 */
unsigned int paging_audit(void);
/** What others hold, for it: calls fn for each reference on a frame, PGT_WRITABLE or PGT_NONE; from 0. */
typedef void paging_held_fn(mfn_t m, enum page_type type, uint64_t from);
extern void (*paging_audit_others)(paging_held_fn *fn);
/** At boot: have the memory for audits ready, 8 bytes for each frame. Without it, it is looked for then. */
void paging_audit_reserve(void);
