/* The hypercall table: one array indexed by number. */
#pragma once
#include "memory/guest_copy.h"
#include "memory/objects.h"

typedef long hypercall_fn(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

struct hypercall {
    const char *name;
    hypercall_fn *fn;       /* NULL: -ENOSYS, as the note says */
    uint8_t nr_args;
    const char *note;       /* why it is not there, or what its row in the census says */
};
#define NR_HYPERCALLS 64
extern const struct hypercall hypercall_table[NR_HYPERCALLS];
