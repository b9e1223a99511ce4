/*
 * The store's memory: one region that outlives the program, full of objects that are never changed
 * once they can be reached from its root.
 *
 * A step makes new objects, which may share any number of old ones, and ends with
 * arena_commit(root): one store of 32 bits that makes all of it the state, or with arena_abort():
 * nothing has happened. A program killed at any instruction, therefore, leaves the state before or
 * after a step. What else is in the region (counts of references, free memory) is made anew by
 * arena_open(), by a walk from the root.
 *
 * During a step no references are counted: the step's own garbage is found by walking from the new
 * root through new objects only, and old objects that are not reached any more are freed at its end, or
 * soon after it.
 */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** An object: its offset in the region in units of 16 bytes. 0: none. */
typedef uint32_t ref_t;

/** The head of each. Behind it are its nr_refs references, then whatever it holds. */
struct obj {
    uint32_t refs;
    uint16_t bytes;
    uint8_t nr_refs;
    uint8_t fresh; /* made in this step */
};

enum { ARENA_OBJ_MAX = 5120, ARENA_LEN_MIN = 1 << 20 };

struct slab;

struct arena {
    uint8_t *base;
    struct slab *slabs;
    uint32_t nr_slabs, nr_free_slabs;
    uint32_t free_slab;
    uint32_t partial[28];
    ref_t *fresh, *stack; /* nr_fresh of fresh_max; as much room in each */
    size_t nr_fresh, fresh_max;
    size_t fresh_bytes;  /* of all objects that this step has made */
    ref_t dead;          /* what nothing refers to any more, to be freed: a list by their counts */
    size_t nr_objects;   /* with the dead ones */
    jmp_buf *no_memory;  /* where a step goes that lacks memory */
    uint32_t keep_slabs; /* a step may take no more memory when so many are free */
    void (*probe)(void *arg); /* tests: called wherever the region may have changed */
    void *probe_arg;
    unsigned int fail_at; /* tests: the n-th arena_alloc() from now lacks memory */
};

/**
 * @region @len  all zero: it is made an empty arena; else it must be one, of that length
 * Returns false: errno is ENOMEM, EINVAL (length; not an arena, of another length or version) or EIO
 *   (its objects contradict each other: the region is damaged).
 */
bool arena_open(struct arena *a, void *region, size_t len);

/** The region stays as it is. */
void arena_close(struct arena *a);

/** The state; 0 if there never was one. */
ref_t arena_root(const struct arena *a);

/**
 * A new object, all zero behind its head. Jumps to a->no_memory if there is no room.
 * @bytes  all of it, up to ARENA_OBJ_MAX
 */
ref_t arena_alloc(struct arena *a, unsigned int nr_refs, size_t bytes);

/** A copy that may be changed; the object itself if it is new. */
ref_t arena_edit(struct arena *a, ref_t ref);

static inline void *arena_at(const struct arena *a, ref_t ref)
{
    return a->base + (size_t)ref * 16;
}

/**
 * The state is now what can be reached from there. Never fails. Of what cannot any more some thousands of
 * objects are freed, the rest by later steps, or when memory lacks: no step takes long because of them.
 */
void arena_commit(struct arena *a, ref_t root);

/** Free all that is to be freed; or until more than so many slabs are free: returns whether they are. */
void arena_settle(struct arena *a);
bool arena_has_free(struct arena *a, uint32_t slabs);

/** The objects made since the last commit are no more. */
void arena_abort(struct arena *a);

/** What an object takes, and what one of so many bytes would. */
size_t arena_bytes(const struct arena *a, ref_t ref);
size_t arena_bytes_of(size_t bytes);

/**
 * What would be freed if this one reference, of an object of the state, were none: it must be the only one
 * to be more than 0. Returns false: no memory to find that out.
 */
bool arena_bytes_below(const struct arena *a, ref_t ref, size_t *bytes);

/** What is used, and all that there is, in bytes. */
size_t arena_used(const struct arena *a);
size_t arena_size(const struct arena *a);

/**
 * Whether the objects in use, but those of this step, are those that the root reaches, counted rightly.
 * Nothing waits to be freed.
 */
bool arena_check(const struct arena *a);
