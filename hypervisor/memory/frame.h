/*
 * The frame table: one struct page_info for each frame of RAM, 24 bytes.
 *
 * count_info  general references, owner and flags:
 *   [63] ALLOCATED   the owner's own reference is held (the frame is in the owner's list)
 *   [62] RAM         the entry describes RAM at all (constant after boot)
 *   [61] HV          belongs to the hypervisor, or is shared by it with guests (never on a list)
 *   [60] DIRTY       free or newly allocated, and must be scrubbed before a domain sees it
 *   [59:57] cache attribute: PAT index of the guest's mappings, 0 write-back (rule 12)
 *   [56] FREE        head of a free block; the order is in type_info
 *   [47:32] owner    domain id; DOMID_INVALID when nobody's
 *   [31:0] count     0: nobody may use it; a frame is freed when this reaches 0
 * type_info   what the frame may be used as (rule 1; paging/types.c has the invariants):
 *   [63:61] type  [60] VALID  [59] PINNED  [58] PARTIAL  [57:48] entries done (PARTIAL)  [31:0] count
 *   With count 0 the low word of [47:32]+... is 0, but a frame that was writable keeps type WRITABLE
 *   and its TLB stamp in [31:0] until it is used as another type: see page_type_get().
 * next, prev  indices: the owner's list, or the free list.
 */
#pragma once
#include "memory/objects.h"
#include "x86/arch.h"

struct page_info {
    _Atomic uint64_t count_info;
    _Atomic uint64_t type_info;
    uint32_t next, prev;
};
_Static_assert(sizeof(struct page_info) == 24, "24 bytes a frame");

#define PGC_ALLOCATED (1ULL << 63)
#define PGC_RAM (1ULL << 62)
#define PGC_HV (1ULL << 61)
#define PGC_DIRTY (1ULL << 60)
#define PGC_CACHE_SHIFT 57
#define PGC_CACHE_MASK (7ULL << PGC_CACHE_SHIFT)
#define PGC_FREE (1ULL << 56)
#define PGC_OWNER_SHIFT 32
#define PGC_OWNER_MASK (0xffffULL << PGC_OWNER_SHIFT)
#define PGC_COUNT_MASK 0xffffffffULL
#define PGC_OWNER(x) ((domid_t)((x) >> PGC_OWNER_SHIFT))
#define PGC_COUNT(x) ((uint32_t)(x))

extern uint64_t max_mfn;            /* frames are 0..max_mfn - 1 */
extern uint64_t frame_group_valid[]; /* bit per group of frames with a frame table */
#define FRAME_GROUP_SHIFT 15        /* 32,768 frames, 128 MiB */

static inline struct page_info *mfn_to_page(mfn_t m) { return &frame_table[mfn_x(m)]; }
static inline mfn_t page_to_mfn(const struct page_info *pg) { return _mfn((uint64_t)(pg - frame_table)); }

/** True if m is a frame of RAM, so that mfn_to_page() and mfn_to_virt() may be used. Any value. */
static inline bool mfn_valid(mfn_t m)
{
    uint64_t g = mfn_x(m) >> FRAME_GROUP_SHIFT;

    return mfn_x(m) < max_mfn && (frame_group_valid[g / 64] >> (g % 64) & 1) &&
           (atomic_load_explicit(&mfn_to_page(m)->count_info, memory_order_relaxed) & PGC_RAM);
}

/** The one way from a guest's frame number to ours (rule 14). Not checked: see page_get(). */
static inline mfn_t gfn_to_mfn(const struct domain *d, gfn_t g)
{
    (void)d;
    return _mfn(gfn_x(g));
}

/**
 * Take a general reference if m is RAM that d owns (page_get) or anybody but the hypervisor owns
 * (page_get_any). False: not so, or the count is at its limit; nothing changed.
 */
bool page_get(mfn_t m, const struct domain *d);
bool page_get_any(mfn_t m);
/** Another reference on a frame on which the caller holds one. Never fails below 2^32 - 1: BUG. */
void page_get_more(struct page_info *pg);
/** Drop one; the last one frees the frame (marked DIRTY). Takes L_HEAP. */
void page_put(struct page_info *pg);
/** Drop the owner's own reference exactly once (it clears ALLOCATED); false if it was gone. */
bool page_put_allocated(struct page_info *pg);

/** Note a write by ring 0 into a guest's frame (rule 14); log-dirty hooks in here. */
static inline void page_mark_dirty(struct domain *d, mfn_t m)
{
    (void)d;
    (void)m;
}

/** M2P: what pfn the guest gave to its frame; INVALID_M2P_ENTRY for none. m is RAM. */
void m2p_set(mfn_t m, uint64_t pfn);
uint64_t m2p_get(mfn_t m);
