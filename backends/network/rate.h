/*
 * rate.h: so many bytes per interval. What is sent may be late to be counted: a frame passes when anything is left, and
 * what it takes beyond that is owed. On average the rate is exact.
 */
#pragma once
#include <stdint.h>

/** All zero: no limit. */
struct rate {
    uint64_t bytes;       /* up to 2^60 */
    uint64_t interval_ns; /* up to 2^32 us */
    uint64_t full_ns;     /* when all would be there again */
    uint64_t rest;        /* of a nanosecond, in bytes-th */
};

/** When something may be sent; 0: now. */
static inline uint64_t rate_ready_ns(const struct rate *r, uint64_t now_ns)
{
    if (r->bytes == 0 || r->full_ns < now_ns + r->interval_ns)
        return 0;
    return r->full_ns - r->interval_ns + 1;
}

/** @bytes  1 MiB at most */
static inline void rate_take(struct rate *r, uint64_t now_ns, uint32_t bytes)
{
    uint64_t cost;

    if (r->bytes == 0)
        return;
    if (r->full_ns < now_ns)
        r->full_ns = now_ns;
    cost = bytes * r->interval_ns + r->rest;
    r->full_ns += cost / r->bytes;
    r->rest = cost % r->bytes;
}
