/*
 * Ordered maps in the arena: balanced (AVL) trees of entries, by keys of bytes. A map is the
 * reference of its topmost entry, 0 if it is empty. Those of the state are never changed:
 * map_put() and map_remove() copy the entries on the way to a key, so that the map before is still
 * there, for a transaction or if the step is given up; an entry made in this step is changed in
 * place. Every function takes O(log n) steps.
 */
#pragma once
#include "arena.h"

/**
 * ref[] and word[] are the owner's. A node of the store (tree.h) is an entry, too: in the map of its
 * parent's children.
 */
struct entry {
    struct obj o;
    ref_t left, right;
    ref_t ref[3];
    uint32_t sum; /* of the weights of this entry and those below it */
    uint64_t word[2];
    uint32_t count; /* of this entry and those below it */
    uint16_t key_len, weight;
    uint8_t height;
    char key[];
};

enum { ENTRY_REFS = 5 };
#define KEY_MAX (ARENA_OBJ_MAX - offsetof(struct entry, key))

static inline struct entry *entry_at(const struct arena *a, ref_t ref)
{
    return ref ? (struct entry *)arena_at(a, ref) : NULL;
}

/** NULL: there is none. To be read only. */
struct entry *map_find(const struct arena *a, ref_t map, const void *key, size_t len);

/** The first entry with a key above that one, or (@or_equal) that one. NULL: there is none. */
struct entry *map_above(const struct arena *a, ref_t map, const void *key, size_t len,
                        bool or_equal);

/**
 * The entry of that key, to be changed; made, with all zero, if there is none.
 * @weight  of a new one
 */
struct entry *map_put(struct arena *a, ref_t *map, const void *key, size_t len, uint16_t weight);

/** The same; it has that weight then, whether it is new or not. */
struct entry *map_weigh(struct arena *a, ref_t *map, const void *key, size_t len, uint16_t weight);

/** Returns whether there was one. */
bool map_remove(struct arena *a, ref_t *map, const void *key, size_t len);

/** How many there are; and all of them, in order, to where there is room for so many. */
uint32_t map_count(const struct arena *a, ref_t map);
void map_list(const struct arena *a, ref_t map, struct entry **list);

/** The sum of all weights, and of those of keys below that one. */
uint32_t map_sum(const struct arena *a, ref_t map);
uint32_t map_rank(const struct arena *a, ref_t map, const void *key, size_t len);

/** Below 0, 0 or above, as a key is below that of e, the same, or above it. */
int key_order(const void *key, size_t len, const struct entry *e);

/**
 * The entry in which the @at-th unit of weight lies.
 * @inside  receives how many units before it are this entry's
 * Returns NULL: there are no so many.
 */
struct entry *map_at(const struct arena *a, ref_t map, uint32_t at, uint32_t *inside);

/* Prefixes: all keys that begin with these bytes. */
bool key_has_prefix(const struct entry *e, const void *prefix, size_t len);
uint32_t map_count_prefix(const struct arena *a, ref_t map, const void *prefix, size_t len);
uint32_t map_sum_prefix(const struct arena *a, ref_t map, const void *prefix, size_t len);
void map_remove_prefix(struct arena *a, ref_t *map, const void *prefix, size_t len);

/** Remove them. They are a map of their own then, which is returned: to be read in this step. 0: there were none. */
ref_t map_take_prefix(struct arena *a, ref_t *map, const void *prefix, size_t len);
