/* One piece of memory for a domain, as tests want it: without M2P entries, and with the reason why not. */
#pragma once
#include "lib/errno.h"
#include "memory/heap.h"

static inline int domain_alloc_pages(struct domain *d, unsigned int order, unsigned int addr_bits,
                                     mfn_t *out)
{
    uint64_t first = INVALID_M2P_ENTRY;

    if (READ_ONCE(d->nr_pages) + (1ULL << order) > d->max_pages)
        return -E2BIG;
    if (domain_populate(d, order, addr_bits, &first, 1) == 0)
        return -ENOMEM;
    *out = _mfn(first);
    return 0;
}
