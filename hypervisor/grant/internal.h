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
 *   G4  A domain of whose grants any is mapped is not freed: nr_mapped is a reference on it.
 *
 * The granter's half is guarded by grant_table.lock, the mapper's (maptrack) by its mmu_lock, which is
 * taken first. No other domain's lock is held with one's own.
 */
#pragma once
#include "grant/grant.h"

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

/* ---- table.c ---- */

/**
 * Begin a use of g's grant `ref` by the domain `user`, and what ends it. GNTST_okay with the frame in
 * *out, on which it holds its references; else why not.
 */
int grant_use_begin(struct domain *g, grant_ref_t ref, domid_t user, bool write, mfn_t *out);
void grant_use_end(struct domain *g, grant_ref_t ref, bool write);
/** The same for mappings: they keep g alive. True: it was the last one, the caller puts g (domain_put()). */
int grant_map_begin(struct domain *g, grant_ref_t ref, domid_t user, bool write, mfn_t *out);
bool grant_map_end(struct domain *g, grant_ref_t ref, bool write);
/** The entry's state; ref is one that is in use or was checked. */
static inline struct active *active_of(const struct grant_table *t, grant_ref_t ref)
{
    return &t->active[ref / REFS_PER_FRAME][ref % REFS_PER_FRAME];
}

/*
 * ---- map.c and copy.c ----
 *
 * Operations on n structures that were copied in, at most GRANT_BATCH; each gets its status.
 */
#define GRANT_BATCH 16u
typedef void grant_list_fn(struct domain *d, void *ops, unsigned int n);
grant_list_fn grant_map_list, grant_unmap_list, grant_unmap_and_replace_list, grant_copy_list;

/** For paging_audit(): what mappings hold. */
void grant_audit_held(void (*fn)(mfn_t m, bool writable));
