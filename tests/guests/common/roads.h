/*
 * Every road on which a guest can bring an entry of a page table into force, for kernels that try
 * what may not stand there (or may) on each of them.
 */
#pragma once
#include "guest.h"

#define ROADS_VA 0x10000000000UL /* a top-level slot of its own, once roads_init() ran */
#define ROADS_INDEX 5u           /* the entry that is tried, in each table */
#define ROADS_AT (ROADS_VA + ROADS_INDEX * PAGE_SIZE) /* what it maps, if it is an L1's */
#define PTE(page, flags) (virt_to_mfn(page) << 12 | (flags))
#define PTE_RO (PTE_FLAGS & ~PTE_RW)

struct road {
    const char *name;
    unsigned int levels; /* bit n: leads to tables of level n */
    long (*go)(const struct road *road, unsigned int level, uint64_t val, uint64_t base);
    unsigned long a, b;
};
#define NR_BUILDING 7u /* the last ones build tables, the others change an entry in a live one */
extern const struct road roads[];
extern const unsigned int nr_roads;

/*
 * live[l]: a table of level l in the root that we run on. fresh[l]: one that hangs nowhere, in
 * which roads build theirs. All are read-only where we see them, and empty between two roads.
 */
extern uint64_t *live[5], *fresh[5];
extern uint64_t road_seen; /* what the entry read as before it was taken away again */
void roads_init(void);
/* The multicall's result for its last call, or that of the first that failed. */
long multicall_of(unsigned int nr, struct multicall_entry *calls);
/* A word in a table that is none (yet), by a writable mapping. */
void fresh_set(uint64_t *table, unsigned int i, uint64_t val);

/*
 * On this road, val as an entry at the level: 0 or the error; or the vector of the trap that a plain
 * instruction got. base: what stands there before, 0 or an entry that is good. Afterwards all is as
 * it was. A road that does not lead there: NO_ROAD.
 */
#define NO_ROAD 1000L
static inline long road_go(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    return r->levels >> level & 1 ? r->go(r, level, val, base) : NO_ROAD;
}
/* Over all roads: how many take it; names those that disagree with `want` (true: all have to). */
unsigned int roads_open(const char *what, unsigned int level, uint64_t val, uint64_t base,
                        bool want);
/* attack(): the number of roads that take it is to be 0, or that of all. */
void roads_refuse(const char *what, unsigned int level, uint64_t val, uint64_t base);
void roads_accept(const char *what, unsigned int level, uint64_t val, uint64_t base);
