/*
 * The frame table: one struct page_info for each frame of RAM, 24 bytes.
 *
 * count_info  general references, owner and flags:
 *   [63] ALLOCATED   the owner's own reference is held (the frame is in the owner's list)
 *   [62] RAM         the entry describes RAM at all (constant after boot)
 *   [61] HV          belongs to the hypervisor, or is shared by it with guests (never on a list)
 *   [60] FOREIGN     a domain that is not the owner may have mapped it for writing (paging/types.c)
 *   [59:57] cache attribute: PAT index of the guest's mappings, 0 write-back (rule 12)
 *   [56] FREE        head of a free block of 2^order frames; [52:48] order
 *   [47:32] owner    domain id; DOMID_INVALID when nobody's
 *   [31:0] count     0: nobody may use it; a frame is freed when this reaches 0
 * type_info   what the frame may be used as (rule 1; paging/types.c has the invariants):
 *   [63:61] type  [60] VALID  [59] PINNED  [58] PARTIAL  [57] BUSY  [56] DEAD  [55:46] entries done
 *   (PARTIAL, DEAD)  [46:32] owner of a VALID table or descriptor frame  [31:0] type references if
 *   VALID, link if DEAD
 *   With no flag set the frame is used as nothing: [45:0] is the TLB clock at its last use as `type`
 *   (or, for a free frame, at its freeing); 0 as a whole if there was no such use.
 * next, prev  indices: the owner's list (ALLOCATED frames first), or the free list.
 */
#pragma once
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
#define PGC_FOREIGN (1ULL << 60)
#define PGC_CACHE_SHIFT 57
#define PGC_CACHE_MASK (7ULL << PGC_CACHE_SHIFT)
#define PGC_FREE (1ULL << 56)
#define PGC_ORDER_SHIFT 48
#define PGC_OWNER_SHIFT 32
#define PGC_OWNER_MASK (0xffffULL << PGC_OWNER_SHIFT)
#define PGC_COUNT_MASK 0xffffffffULL
#define PGC_NOBODYS (PGC_RAM | PGC_HV | (uint64_t)DOMID_INVALID << PGC_OWNER_SHIFT)
#define PGC_COUNT_MAX 0x7fffffffu /* of what guests can take; the other half is head room */
#define PGC_OWNER(x) ((domid_t)((x) >> PGC_OWNER_SHIFT))
#define PGC_COUNT(x) ((uint32_t)(x))

enum page_type { PGT_NONE, PGT_L1, PGT_L2, PGT_L3, PGT_L4, PGT_DESC, PGT_WRITABLE };

#define PGT_TYPE_SHIFT 61
#define PGT_TYPE_MASK (7ULL << PGT_TYPE_SHIFT)
#define PGT_VALID (1ULL << 60)
#define PGT_PINNED (1ULL << 59)
#define PGT_PARTIAL (1ULL << 58)
#define PGT_BUSY (1ULL << 57)
#define PGT_DEAD (1ULL << 56)
#define PGT_DONE_SHIFT 46
#define PGT_DONE_MASK (0x3ffULL << PGT_DONE_SHIFT)
#define PGT_IN_USE (PGT_VALID | PGT_PARTIAL | PGT_BUSY | PGT_DEAD)
#define PGT_TYPE(x) ((enum page_type)((x) >> PGT_TYPE_SHIFT))
#define PGT_COUNT(x) ((uint32_t)(x))
#define PGT_STAMP_BITS 46 /* no CPU goes without a flush for half of 2^46 flushes of others */
#define PGT_STAMP(type, clock) \
    ((uint64_t)(type) << PGT_TYPE_SHIFT | ((clock) & ((1ULL << PGT_STAMP_BITS) - 1)))
#define PGT_DONE(x) ((unsigned int)((x) >> PGT_DONE_SHIFT) & 0x3ff)

extern uint64_t max_mfn;         /* frames are 0..max_mfn - 1 */
extern bool frame_group_valid[]; /* per group of frames: it has a frame table */
#define FRAME_GROUP_SHIFT 15     /* 32,768 frames, 128 MiB */

/** Any number makes an address, as yet unchecked: as an integer, where it may wrap. */
static inline struct page_info *mfn_to_page(mfn_t m)
{
    return (struct page_info *)((uintptr_t)frame_table + mfn_x(m) * sizeof(struct page_info));
}
static inline mfn_t page_to_mfn(const struct page_info *pg)
{
    return _mfn((uint64_t)(pg - frame_table));
}

/** The frame table's entry for any number, or NULL. It need not be RAM. */
static inline struct page_info *mfn_to_page_checked(mfn_t m)
{
    uint64_t i = array_index_nospec(mfn_x(m), max_mfn), g = i >> FRAME_GROUP_SHIFT;

    if (unlikely(i != mfn_x(m) || !frame_group_valid[g]))
        return NULL;
    return &frame_table[i];
}

/**
 * True if m is a frame of RAM, so that mfn_to_page() and mfn_to_virt() may be used. Any value; but they
 * do not clamp it against speculation: what a guest chose freely is for page_get() or
 * mfn_to_page_checked().
 */
static inline bool mfn_valid(mfn_t m)
{
    const struct page_info *pg = mfn_to_page_checked(m);

    return pg && (atomic_load_explicit(&pg->count_info, memory_order_relaxed) & PGC_RAM);
}

/* page_get() for inner loops. page_key(): count_info of id's frames with count 1. */
#define page_key(id) ((PGC_RAM | (uint64_t)(id) << PGC_OWNER_SHIFT) + 1)
static inline bool page_get_owned(struct page_info *pg, uint64_t key)
{
    uint64_t x = atomic_load_explicit(&pg->count_info, memory_order_relaxed);

    do { /* one comparison for all: RAM, that owner, and a count neither 0 nor at its limit */
        if (unlikely((x & (PGC_RAM | PGC_OWNER_MASK | PGC_COUNT_MASK)) - key >= PGC_COUNT_MAX))
            return false;
    } while (unlikely(!atomic_compare_exchange_weak(&pg->count_info, &x, x + 1)));
    return true;
}

/** The one way from a guest's frame number to ours (rule 14). Not checked: see page_get(). */
static inline mfn_t gfn_to_mfn(const struct domain *d, gfn_t g) { return _mfn(gfn_x(g)); }

/**
 * Take a general reference if m is RAM that d owns, or that is shared with it; its entry of the frame
 * table. NULL, false: not so, or the count is at its limit; nothing changed.
 */
static inline struct page_info *page_get(mfn_t m, const struct domain *d)
{
    uint64_t i = array_index_nospec(mfn_x(m), max_mfn); /* else 0: that frame is nobody's */
    struct page_info *pg = &frame_table[i];

    return likely(frame_group_valid[i >> FRAME_GROUP_SHIFT] && page_get_owned(pg, d->page_key))
               ? pg
               : NULL;
}
/** Drop one; the last one frees the frame. Takes L_HEAP. */
void page_free(struct page_info *pg);
static inline void page_put(struct page_info *pg)
{
    if (unlikely(PGC_COUNT(atomic_fetch_sub(&pg->count_info, 1)) <= 1))
        page_free(pg);
}
/** Drop the owner's own reference exactly once (it clears ALLOCATED); false if it was gone. */
bool page_put_allocated(struct page_info *pg);

/**
 * Let domain id use a new frame of heap_alloc() or alloc_page() (its shared_info, say) like one of its
 * own, but never as a table or descriptors. It stays HV and is not counted. DOMID_INVALID ends that;
 * when the hypervisor has put its reference, it is free as soon as the domain's mappings are gone.
 */
void page_share(mfn_t m, domid_t id);

static inline bool tlb_stamp_after(uint64_t a, uint64_t b)
{
    return (int64_t)((a - b) << (64 - PGT_STAMP_BITS)) > 0;
}
/**
 * Make sure that each of these CPUs has flushed its TLB since the TLB clock read `stamp` (a
 * type_info will do). May wait for other CPUs: interrupts are on, or only one CPU is online.
 */
void tlb_flush_since(uint64_t cpus, uint64_t stamp);

/** Nobody can use the frame any more, but who did may have it in a TLB. */
static inline void page_stamp(struct page_info *pg)
{
    atomic_store_explicit(&pg->type_info, PGT_STAMP(PGT_WRITABLE, atomic_load(&arch_tlb_clock)),
                          memory_order_relaxed);
}

/** Note a write by ring 0 into a guest's frame (rule 14); log-dirty hooks in here. */
static inline void page_mark_dirty(struct domain *d, mfn_t m) {}

#define INVALID_M2P_ENTRY (~0ULL) /* what guests compare with */
/** M2P: what pfn the guest gave to its frame; INVALID_M2P_ENTRY for none. m is RAM. */
static inline void m2p_set(mfn_t m, uint64_t pfn) { m2p_table[mfn_x(m)] = pfn; }
static inline uint64_t m2p_get(mfn_t m) { return m2p_table[mfn_x(m)]; }
static inline void m2p_forget(mfn_t m, uint64_t n)
{
    for (; n--; m.v++)
        m2p_set(m, INVALID_M2P_ENTRY);
}

/** Lists of frames, circles through next and prev: *head is the first one, 0 if there is none. */
static inline void page_list_insert(uint32_t *head, uint32_t i, bool first)
{
    uint32_t next = *head, prev = next ? frame_table[next].prev : i;

    next = next ?: i;
    frame_table[i].next = next;
    frame_table[i].prev = prev;
    frame_table[prev].next = frame_table[next].prev = i;
    if (first || next == i)
        *head = i;
}
static inline void page_list_remove(uint32_t *head, uint32_t i)
{
    uint32_t next = frame_table[i].next, prev = frame_table[i].prev;

    frame_table[prev].next = next;
    frame_table[next].prev = prev;
    if (*head == i)
        *head = next == i ? 0 : next;
}
/** The one behind frame i, 0 behind the last. */
static inline uint32_t page_list_next(uint32_t head, uint32_t i)
{
    return frame_table[i].next == head ? 0 : frame_table[i].next;
}

/** An audit's finding about m, with its words of the frame table, on the console. Returns 1. */
unsigned int frame_complain(const char *what, mfn_t m);
