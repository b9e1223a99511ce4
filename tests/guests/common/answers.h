/*
 * For kernels that only ask. What is right is not judged here: compare.sh puts the answers of two
 * hypervisors next to each other. Names of answers are as attack()'s.
 */
#pragma once
#include "guest.h"

#define ANSWER(got, name, ...)                               \
    do {                                                     \
        long got_ = (long)(got);                             \
        print("ANSWER " name " %ld\n", ##__VA_ARGS__, got_); \
    } while (0)
#define ANSWER_TEXT(got, name, ...) print("ANSWER " name " \"%s\"\n", ##__VA_ARGS__, got)

/* Places that no structure can be at: all of them fail before anything is done. */
struct place {
    const char *name;
    uint64_t va;
};
static const struct place places[] = {
    { "null", 0 },
    { "not-canonical", NONCANONICAL },
    { "hypervisor", HYPERVISOR_VIRT_START + 0x30000000000 },
    { "wrapping", ~0UL - 1 },
};
