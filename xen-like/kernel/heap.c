/*
 * malloc() in the threads of a group: blocks out of pages that are the group's, so that all can be given
 * back without a look at what is in them. Small blocks are of a few sizes and are kept for the next of that
 * size; what is larger has pages of its own.
 *
 * newlib's functions come here first (ld's --wrap). Whose a block is tells its address: newlib's heap does
 * not lie in the linear mapping, pages do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rt/kernel.h>
#include <rt/memory.h>

#include "internal.h"

enum {
    SMALLEST = 32,
    LARGEST_SMALL = SMALLEST << (HEAP_CLASSES - 1),
    SMALL_RUN_PAGES = 4,
    LARGE = HEAP_CLASSES, /* as a class */
    MAGIC = 0x68656170,
};

/* Pages in one piece, and in front of a block what it is: multiples of 16 bytes. */
struct heap_run {
    struct heap_run *next, **at;
    size_t nr_pages, unused;
};
struct heap_block {
    uint32_t magic, class;
    struct heap *heap;
    struct heap_block *next[]; /* while it is free */
};
_Static_assert(sizeof(struct heap_run) % 16 == 0 && sizeof(struct heap_block) == 16, "alignment");

/* ---- blocks; the heap's lock is held ---- */

static struct heap_run *run_new(struct heap *h, size_t nr_pages)
{
    struct heap_run *r = page_alloc(nr_pages);

    if (r == NULL)
        return NULL;
    r->nr_pages = nr_pages;
    r->next = h->runs;
    r->at = &h->runs;
    if (r->next)
        r->next->at = &r->next;
    h->runs = r;
    h->nr_pages += nr_pages;
    return r;
}

static void run_free(struct heap *h, struct heap_run *r)
{
    *r->at = r->next;
    if (r->next)
        r->next->at = r->at;
    h->nr_pages -= r->nr_pages;
    page_free(r, r->nr_pages);
}

static void block_free(struct heap *h, struct heap_block *b)
{
    b->magic = 0;
    if (b->class == LARGE) {
        run_free(h, (struct heap_run *)b - 1);
        return;
    }
    b->next[0] = h->free[b->class];
    h->free[b->class] = b;
}

static bool refill(struct heap *h, uint32_t class)
{
    size_t size = (size_t)SMALLEST << class;
    char *r = (char *)run_new(h, SMALL_RUN_PAGES);

    for (size_t at = sizeof(struct heap_run); r && at + size <= SMALL_RUN_PAGES * PAGE_BYTES;
         at += size) {
        struct heap_block *b = (struct heap_block *)(r + at);

        b->class = class;
        b->heap = h;
        block_free(h, b);
    }
    return r != NULL;
}

static struct heap_block *small_new(struct heap *h, size_t bytes)
{
    struct heap_block *b;
    uint32_t class = 0;

    while (((size_t)SMALLEST << class) < bytes)
        class ++;
    if (h->free[class] == NULL && !refill(h, class))
        return NULL;
    b = h->free[class];
    h->free[class] = b->next[0];
    return b;
}

static struct heap_block *large_new(struct heap *h, size_t bytes)
{
    struct heap_run *r = run_new(h, (sizeof(*r) + bytes + PAGE_BYTES - 1) / PAGE_BYTES);
    struct heap_block *b;

    if (r == NULL)
        return NULL;
    b = (struct heap_block *)(r + 1);
    b->class = LARGE;
    b->heap = h;
    return b;
}

/* ---- malloc() and its kin ---- */

/* NULL: newlib's. */
static struct heap *heap_of_caller(void)
{
    struct thread *t = this_cpu()->current;

    return t->group && t->inside == 0 ? &t->group->heap : NULL;
}

static bool is_block(const void *p) { return (uint64_t)p >= VIRT_BASE; }

static struct heap_block *block_of(void *p)
{
    struct heap_block *b = (struct heap_block *)p - 1;

    if (b->magic != MAGIC)
        panic("%p is not allocated", p);
    return b;
}

static size_t room_of(const struct heap_block *b)
{
    const struct heap_run *r = (const struct heap_run *)b - 1;
    size_t all =
        b->class == LARGE ? r->nr_pages * PAGE_BYTES - sizeof(*r) : (size_t)SMALLEST << b->class;

    return all - sizeof(*b);
}

static void *heap_alloc(struct heap *h, struct _reent *reent, size_t len)
{
    size_t bytes = len + sizeof(struct heap_block);
    struct heap_block *b = NULL;

    runtime_lock(&h->lock);
    if (len <= HEAP_MAX_BYTES)
        b = bytes <= LARGEST_SMALL ? small_new(h, bytes) : large_new(h, bytes);
    if (b)
        b->magic = MAGIC;
    runtime_unlock(&h->lock);
    if (b == NULL)
        reent->_errno = ENOMEM;
    return b ? b + 1 : NULL;
}

static void heap_free(void *p)
{
    struct heap_block *b = block_of(p);
    struct heap *h = b->heap;

    runtime_lock(&h->lock);
    block_free(h, b);
    runtime_unlock(&h->lock);
}

void heap_release(struct heap *h)
{
    while (h->runs)
        run_free(h, h->runs);
}

void *__real__malloc_r(struct _reent *reent, size_t len);
void __real__free_r(struct _reent *reent, void *p);
void *__real__calloc_r(struct _reent *reent, size_t nr, size_t len);
void *__real__realloc_r(struct _reent *reent, void *p, size_t len);
void *__real__memalign_r(struct _reent *reent, size_t align, size_t len);
void *__wrap__malloc_r(struct _reent *reent, size_t len);
void __wrap__free_r(struct _reent *reent, void *p);
void *__wrap__calloc_r(struct _reent *reent, size_t nr, size_t len);
void *__wrap__realloc_r(struct _reent *reent, void *p, size_t len);
void *__wrap__memalign_r(struct _reent *reent, size_t align, size_t len);

void *__wrap__malloc_r(struct _reent *reent, size_t len)
{
    struct heap *h = heap_of_caller();

    return h ? heap_alloc(h, reent, len) : __real__malloc_r(reent, len);
}

void __wrap__free_r(struct _reent *reent, void *p)
{
    if (is_block(p))
        heap_free(p);
    else
        __real__free_r(reent, p);
}

void *__wrap__calloc_r(struct _reent *reent, size_t nr, size_t len)
{
    struct heap *h = heap_of_caller();
    size_t bytes;
    void *p;

    if (h == NULL)
        return __real__calloc_r(reent, nr, len);
    if (__builtin_mul_overflow(nr, len, &bytes))
        bytes = SIZE_MAX;
    p = heap_alloc(h, reent, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

/* A block stays in the heap that it is of. */
void *__wrap__realloc_r(struct _reent *reent, void *p, size_t len)
{
    void *larger;

    if (p == NULL)
        return __wrap__malloc_r(reent, len);
    if (!is_block(p)) {
        RUNTIME_SECTION;

        return __real__realloc_r(reent, p, len);
    }
    if (len <= room_of(block_of(p)))
        return p;
    larger = heap_alloc(block_of(p)->heap, reent, len);
    if (larger) {
        memcpy(larger, p, room_of(block_of(p)));
        heap_free(p);
    }
    return larger;
}

/* Not in a group. */
void *__wrap__memalign_r(struct _reent *reent, size_t align, size_t len)
{
    if (heap_of_caller() == NULL)
        return __real__memalign_r(reent, align, len);
    reent->_errno = ENOTSUP;
    return NULL;
}
