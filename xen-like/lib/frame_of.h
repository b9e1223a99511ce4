/* frame_of.h: of the runtime: which frames a buffer of ours is in, for those who ask for many. */
#pragma once
#include <stdbool.h>

#include <rt/memory.h>

/* A table that maps memory elsewhere than in the linear mapping, where pages of one buffer lie together. */
struct table {
    uintptr_t va;            /* what it maps begins there */
    const uint64_t *entries; /* NULL: none is known */
};

/* P2M_NONE: nothing is there. */
uint64_t frame_elsewhere(struct table *t, const char *virt);

/* virt_to_mfn(), without going through the tables for each page. @t  initially all zero */
static inline uint64_t frame_of(struct table *t, const char *virt)
{
    uint64_t pfn = virt_to_pfn(virt);
    const uint64_t *mfns;

    if (pfn >= LINEAR_PAGES)
        return frame_elsewhere(t, virt);
    mfns = p2m[pfn / P2M_PAGE];
    return mfns ? mfns[pfn % P2M_PAGE] : P2M_NONE;
}
