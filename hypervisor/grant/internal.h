/*
 * Private to grant/. A grant in use has a count in `active` for each use of it: a mapping (however
 * many addresses of its own it has) or a copy under way.
 *
 *   G1  Each use holds a general reference on the frame, and a writable one if it may write: beside
 *       those of the page-table entry, which come and go as those of any other entry do. So
 *       mmu_update on it, or the end of its table, hurts nobody, and the frame stays the granter's
 *       and writable until the mapping is undone.
 *   G2  GTF_reading is set in the entry as long as there is a use, GTF_writing as long as one may
 *       write. Both are cleared last: when no TLB has the frame any more, and no reference is held.
 *   G3  What the entry says is looked at when it comes into use, and again for the first that writes;
 *       the frame and the user are those of `active` from then on.
 *   G4  A domain of whose grants any is mapped is not freed: see grant_is_mapped().
 *
 * The granter's half is guarded by grant_table.lock, the mapper's (maptrack) by its mmu_lock, which is
 * taken first. No other domain's lock is held with one's own.
 */
#pragma once
#include "grant/grant.h"
#include "paging/paging.h"

#include <xen/grant_table.h>

#define REFS_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define MAPPINGS_PER_FRAME (PAGE_SIZE / sizeof(struct mapping))
#define NO_HANDLE (~0u)

/* A grant in use; of others both counts are 0. */
struct active {
    uint32_t mfn;
    domid_t user;
    uint32_t readers, writers;
};

struct mapping {
    struct domain *granter;
    uint32_t ref;   /* if free, the next free handle */
    uint16_t flags; /* GNTMAP_*; host_map or device_map or both, or it is free */
};

struct grant_table {
    struct spinlock lock; /* L_GRANT */
    uint32_t nr_frames;
    uint32_t nr_mapped; /* uses of grants of this table by mappings */
    struct grant_entry_v1 *shared[GRANT_FRAMES_MAX];
    struct active *active[GRANT_FRAMES_MAX];

    /* what its domain maps; the domain's mmu_lock */
    struct mapping **maptrack; /* max_maptrack_frames pointers; NULL before the first mapping */
    uint32_t free_handle;      /* first of those that were used and are free, or NO_HANDLE */
    uint32_t nr_handles;       /* those below have been used */
    uint32_t relinquish_handle;
};

/* ---- uses ---- */

static inline struct grant_entry_v1 *entry_of(const struct grant_table *t, grant_ref_t ref)
{
    return &t->shared[ref / REFS_PER_FRAME][ref % REFS_PER_FRAME];
}
static inline struct active *active_of(const struct grant_table *t, grant_ref_t ref)
{
    return &t->active[ref / REFS_PER_FRAME][ref % REFS_PER_FRAME];
}
static inline bool is_in_use(const struct active *a) { return a->readers | a->writers; }

#define CLAIM_TRIES 5u /* a granter that changes an entry in use more often does it on purpose */

/*
 * Note in the entry that it is in use, if it is a grant of that kind to that user. The granter may
 * change it at any time: what was checked and what is replaced is the same word.
 */
static hot_inline int entry_claim(struct grant_entry_v1 *e, domid_t user, bool write,
                                  uint32_t *frame)
{
    const uint64_t want = GTF_permit_access | (uint64_t)user << 16,
                   mask = GTF_type_mask | GTF_sub_page | (write ? GTF_readonly : 0) | 0xffff0000;
    _Atomic uint64_t *word = (_Atomic uint64_t *)e;
    uint64_t x = atomic_load_explicit(word, memory_order_relaxed);

    for (unsigned int i = 0; i < CLAIM_TRIES && (x & mask) == want; i++) {
        *frame = (uint32_t)(x >> 32);
        if (likely(atomic_compare_exchange_strong(word, &x,
                                                  x | (write ? GTF_reading | GTF_writing
                                                             : GTF_reading))))
            return GNTST_okay;
    }
    return GNTST_general_error;
}

/* What G2 says is over, as far as there are no such uses (any more). */
static inline void entry_release(struct grant_entry_v1 *e, const struct active *a)
{
    if (!is_in_use(a))
        atomic_fetch_and((_Atomic uint16_t *)&e->flags, (uint16_t) ~(GTF_reading | GTF_writing));
    else if (!a->writers)
        atomic_fetch_and((_Atomic uint16_t *)&e->flags, (uint16_t)~GTF_writing);
}

/**
 * Begin a use of g's grant ref by the domain user: GNTST_okay with the frame in *out, on which the use
 * holds its references; else why not. Those of mappings are counted, too. g->grant->lock is held.
 */
static hot_inline int grant_use_begin(struct domain *g, struct grant_table *t, grant_ref_t ref,
                                      domid_t user, bool write, bool mapping, mfn_t *out)
{
    uint32_t nr = t->nr_frames * (uint32_t)REFS_PER_FRAME, frame;
    struct active *a;
    int rc;

    if (unlikely(ref >= nr))
        return GNTST_bad_gntref;
    ref = (grant_ref_t)array_index_nospec(ref, nr);
    a = active_of(t, ref);
    if (unlikely(READ_ONCE(g->is_dying)))
        return GNTST_bad_domain;
    if (likely(!is_in_use(a))) {
        rc = entry_claim(entry_of(t, ref), user, write, &frame);
        if (unlikely(rc))
            return rc;
        a->mfn = frame;
        a->user = user;
    } else {
        rc = a->user != user        ? GNTST_general_error
             : write && !a->writers ? entry_claim(entry_of(t, ref), user, write, &frame)
                                    : GNTST_okay;
        if (rc)
            return rc;
    }
    *out = gfn_to_mfn(g, _gfn(a->mfn));
    if (unlikely(!page_use_begin(g, *out, write))) {
        entry_release(entry_of(t, ref), a);
        return GNTST_general_error;
    }
    ++*(write ? &a->writers : &a->readers);
    t->nr_mapped += mapping;
    return GNTST_okay;
}

/** Its end: the references go, and then what the entry says. g->grant->lock is held. */
static hot_inline void grant_use_end(struct domain *g, struct grant_table *t, grant_ref_t ref,
                                     bool write, bool mapping)
{
    struct active *a = active_of(t, ref);

    ASSERT(spin_is_held(&t->lock));
    page_use_end(g, _mfn(a->mfn), write);
    --*(write ? &a->writers : &a->readers);
    entry_release(entry_of(t, ref), a);
    t->nr_mapped -= mapping;
}

/*
 * ---- map.c and copy.c ----
 *
 * Operations on n structures that were copied in, at most GRANT_BATCH; each gets its status.
 */
#define GRANT_BATCH 32u
typedef void grant_list_fn(struct domain *d, void *ops, unsigned int n);
grant_list_fn grant_map_list, grant_unmap_list, grant_unmap_and_replace_list, grant_copy_list;

/** For paging_audit(): what mappings hold. */
void grant_audit_held(void (*fn)(mfn_t m, enum page_type type, uint64_t from));
