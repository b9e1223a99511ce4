/* What the sectors of a test's disk hold: the same on the host (pattern.c) and in the kernel (rt_disks). */
#pragma once
#include <stdint.h>

enum { PATTERN_SECTOR = 512 };

/* The first half of the disk is the host's, the second is the kernel's, but for the last megabyte. */
enum { PATTERN_HOST = 1, PATTERN_KERNEL = 2, PATTERN_SPARE_SECTORS = 2048 };

static inline void pattern_fill(void *to, uint64_t sector, uint64_t seed)
{
    uint64_t *words = to, x = (sector + 1) * 0x9e3779b97f4a7c15 ^ seed << 56;

    for (unsigned int i = 0; i < PATTERN_SECTOR / sizeof(*words); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
}
