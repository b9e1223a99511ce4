/*
 * Small objects of the hypervisor: frames cut into objects of one size. The head of a frame is its
 * bookkeeping, so that an object at a frame's start is a whole frame.
 */
#include "lib/lib.h"
#include "memory/heap.h"

struct slab {
    struct slab *next, *prev; /* slabs of this class with a free object */
    void *free;               /* first free object; each holds the next one's address */
    uint32_t class, nr_used;
};
#define SLAB_HEAD 64u
_Static_assert(sizeof(struct slab) <= SLAB_HEAD, "objects stay aligned to 64 bytes");

static const uint32_t class_size[] = { 32, 64, 128, 256, 448, 640, 960, 1344, 1984 };
static struct slab *slabs[ARRAY_SIZE(class_size)];
static struct spinlock slab_lock = SPINLOCK_INIT(L_HEAP);

static void slab_link(struct slab *s)
{
    s->prev = NULL;
    s->next = slabs[s->class];
    if (s->next)
        s->next->prev = s;
    slabs[s->class] = s;
}

static void slab_unlink(struct slab *s)
{
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        slabs[s->class] = s->next;
}

static struct slab *slab_create(unsigned int class)
{
    struct slab *s = alloc_page();
    char *end = (char *)s + PAGE_SIZE - class_size[class];

    if (s == NULL)
        return NULL;
    s->class = class;
    for (char *o = (char *)s + SLAB_HEAD; o <= end; o += class_size[class]) {
        *(void **)o = s->free;
        s->free = o;
    }
    return s;
}

void *xmalloc(size_t bytes)
{
    unsigned int class = 0;
    struct slab *s;
    void *o;

    while (class < ARRAY_SIZE(class_size) && class_size[class] < bytes)
        class ++;
    if (class == ARRAY_SIZE(class_size))
        return bytes <= PAGE_SIZE ? alloc_page() : NULL;
    spin_lock(&slab_lock);
    if (slabs[class] == NULL) {
        spin_unlock(&slab_lock); /* the allocator's lock is of the same level */
        s = slab_create(class);
        if (s == NULL)
            return NULL;
        spin_lock(&slab_lock);
        slab_link(s);
    }
    s = slabs[class];
    o = s->free;
    s->free = *(void **)o;
    s->nr_used++;
    if (s->free == NULL)
        slab_unlink(s);
    spin_unlock(&slab_lock);
    memset(o, 0, class_size[class]);
    return o;
}

void xfree(void *p)
{
    struct slab *s = (struct slab *)((uintptr_t)p & PAGE_MASK);
    bool empty;

    if (p == s) { /* a whole frame, or NULL */
        free_page(p);
        return;
    }
    spin_lock(&slab_lock);
    BUG_ON(s->class >= ARRAY_SIZE(class_size) || s->nr_used == 0);
    if (s->free == NULL)
        slab_link(s);
    *(void **)p = s->free;
    s->free = p;
    empty = --s->nr_used == 0 && (s->next || s->prev); /* keep one */
    if (empty)
        slab_unlink(s);
    spin_unlock(&slab_lock);
    if (empty)
        free_page(s);
}
