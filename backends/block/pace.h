/*
 * pace.h: how many requests of a ring are worth waiting for.
 *
 * Linux's blkfront shows each request as it makes it, and sends an event with the first. On the same CPU the backend
 * would interrupt it there, for one of many: a switch there and back for nothing. The ring's req_event can ask for the
 * event with a later one. So where requests come in the same number again and again, each time after all of those before
 * were answered, the next ones are waited for together; but not longer than twice what they took the last time, and where
 * that was in vain not again for a while, which grows.
 *
 * Pure: who uses it has the clock and the ring.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_STEADY = 4, /* so often in the same number, before they are waited for */
    PACE_PAUSE = 16, /* rounds without, when it was in vain; each time twice as many, up to */
    PACE_PAUSE_MAX = 1 << 14,
    PACE_WAIT_MIN_NS = 20000,
    PACE_WAIT_MAX_NS = 1000000
};

/** All zero at the beginning. */
struct pace {
    unsigned int nr, times; /* so many came, so often one after the other */
    unsigned int pause;     /* rounds that are left without waiting */
    unsigned int next_pause;
    uint64_t found, took; /* when they came, and how long after those before */
};

/** A round: so many were found, at the time now. */
void pace_found(struct pace *p, unsigned int nr, uint64_t now);

/** How many to ask for; 1: nothing is to be waited for. */
unsigned int pace_wants(const struct pace *p);

/** Until when they are waited for, if it is more than one. */
uint64_t pace_until(const struct pace *p);

/** By then there were fewer, but some. */
void pace_late(struct pace *p);
