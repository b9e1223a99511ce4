/*
 * An intrusive priority queue (leftist tree with links upwards): nothing is allocated, insertion and
 * removal of any node take O(log n) steps. Keys compare by signed difference, so that virtual time
 * may wrap; all keys of one queue must lie within 2^63 of each other.
 */
#pragma once
#include "lib/types.h"

struct pq_node {
    uint64_t key;
    struct pq_node *up, *left, *right;
    uint32_t rank;             /* nodes on the shortest way down to a missing child */
};

struct pq {
    struct pq_node *min;       /* the node with the least key, or NULL */
};

void pq_insert(struct pq *q, struct pq_node *n, uint64_t key);
/** n must be in q. */
void pq_remove(struct pq *q, struct pq_node *n);

static inline bool key_before(uint64_t a, uint64_t b) { return (int64_t)(a - b) < 0; }
