/*
 * See arena.h. Memory is cut into slabs of 32 KiB, each for objects of one size; what is known of a
 * slab is outside of the region. Slab 0 has the root.
 */
#include "arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 32768, GRANULE = 16, NO_CLASS = 0xff, VERSION = 4 };
enum { FREED_MAX = 4096 };  /* objects, in one step */
enum { OLD, UNSEEN, SEEN }; /* obj.fresh */

static const uint16_t class_bytes[] = { 32,   48,   64,   80,   96,   112,  128,  160, 192,  224,
                                        256,  320,  384,  448,  512,  640,  768,  896, 1024, 1280,
                                        1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120 };
/* Of up to so many granules. */
enum { SMALL_BYTES = 256 };
static const uint8_t small_class[SMALL_BYTES / GRANULE + 1] = { 0, 0, 0, 1, 2, 3, 4,  5, 6,
                                                                7, 7, 8, 8, 9, 9, 10, 10 };
#define NR_CLASSES (sizeof(class_bytes) / sizeof(class_bytes[0]))
_Static_assert(NR_CLASSES == sizeof(((struct arena *)0)->partial) / sizeof(uint32_t), "classes");

static const char magic[8] = "xlstore";

struct super {
    char magic[8];
    uint32_t version;
    uint32_t root; /* read and written at once */
    uint64_t len;
};

struct slab {
    uint8_t class;
    uint16_t used, carved; /* objects in use; objects that ever were in use */
    uint16_t free;         /* the first free one below carved, plus 1 */
    uint32_t prev, next;   /* of the partial slabs of this class; 0 is none */
};

static struct super *super(const struct arena *a) { return (struct super *)a->base; }

static ref_t *refs_of(struct obj *o) { return (ref_t *)(o + 1); }

static void probe(struct arena *a)
{
    if (a->probe)
        a->probe(a->probe_arg);
}

static uint8_t class_of(size_t bytes)
{
    uint8_t low = 0, high = NR_CLASSES - 1;

    if (bytes <= SMALL_BYTES) /* most are */
        return small_class[(bytes + GRANULE - 1) / GRANULE];
    while (low < high) {
        uint8_t mid = (low + high) / 2;

        if (class_bytes[mid] >= bytes)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static unsigned int slots(uint8_t class) { return SLAB_BYTES / class_bytes[class]; }

static struct obj *slot(const struct arena *a, uint32_t slab, unsigned int i)
{
    return (struct obj *)(a->base + (size_t)slab * SLAB_BYTES +
                          (size_t)i * class_bytes[a->slabs[slab].class]);
}

/* ---- slabs ---- */

static bool has_room(const struct slab *s) { return s->free || s->carved < slots(s->class); }

static void partial_add(struct arena *a, uint32_t i)
{
    struct slab *s = &a->slabs[i];
    uint32_t *head = &a->partial[s->class];

    s->prev = 0;
    s->next = *head;
    if (*head)
        a->slabs[*head].prev = i;
    *head = i;
}

static void partial_remove(struct arena *a, uint32_t i)
{
    struct slab *s = &a->slabs[i];

    if (s->next)
        a->slabs[s->next].prev = s->prev;
    if (s->prev)
        a->slabs[s->prev].next = s->next;
    else
        a->partial[s->class] = s->next;
}

static void slab_free(struct arena *a, uint32_t i)
{
    a->slabs[i] = (struct slab){ .class = NO_CLASS, .next = a->free_slab };
    a->free_slab = i;
    a->nr_free_slabs++;
}

static uint32_t slab_take(struct arena *a, uint8_t class)
{
    uint32_t i = a->free_slab;

    if (i == 0 || a->nr_free_slabs <= a->keep_slabs)
        return 0;
    a->free_slab = a->slabs[i].next;
    a->nr_free_slabs--;
    a->slabs[i] = (struct slab){ .class = class };
    partial_add(a, i);
    return i;
}

static void slot_free(struct arena *a, struct obj *o)
{
    size_t at = (size_t)((uint8_t *)o - a->base);
    uint32_t i = (uint32_t)(at / SLAB_BYTES);
    struct slab *s = &a->slabs[i];
    bool was_full = !has_room(s);

    o->refs = s->free;
    s->free = (uint16_t)(at % SLAB_BYTES / class_bytes[s->class] + 1);
    a->nr_objects--;
    if (--s->used == 0) {
        if (!was_full)
            partial_remove(a, i);
        slab_free(a, i);
    } else if (was_full) {
        partial_add(a, i);
    }
    probe(a);
}

/* ---- what is not referred to any more ---- */

/* Drop one reference. */
static void put(struct arena *a, ref_t ref)
{
    struct obj *o = arena_at(a, ref);

    if (--o->refs == 0) {
        o->refs = a->dead;
        a->dead = ref;
    }
}

/* Free so many at most, the last that died first: so what a step has replaced is gone with it. */
static void free_dead(struct arena *a, size_t max)
{
    while (a->dead && max--) {
        struct obj *o = arena_at(a, a->dead);
        ref_t *refs = refs_of(o);

        a->dead = o->refs;
        for (unsigned int i = 0; i < o->nr_refs; i++)
            if (refs[i])
                put(a, refs[i]);
        slot_free(a, o);
    }
}

void arena_settle(struct arena *a) { free_dead(a, SIZE_MAX); }

bool arena_has_free(struct arena *a, uint32_t slabs)
{
    while (a->nr_free_slabs <= slabs && a->dead)
        free_dead(a, FREED_MAX);
    return a->nr_free_slabs > slabs;
}

/* A slab with room for one more of that class. Returns 0 if there is none. */
static uint32_t slab_with_room(struct arena *a, uint8_t class)
{
    uint32_t i;

    while ((i = a->partial[class]) == 0 && (i = slab_take(a, class)) == 0 && a->dead)
        free_dead(a, FREED_MAX);
    return i;
}

/* ---- objects of a step ---- */

static bool fresh_room(struct arena *a)
{
    size_t max = a->fresh_max ? a->fresh_max * 2 : 1024;
    ref_t *fresh, *stack;

    if (a->nr_fresh < a->fresh_max)
        return true;
    fresh = realloc(a->fresh, max * sizeof(ref_t));
    if (fresh)
        a->fresh = fresh;
    stack = realloc(a->stack, max * sizeof(ref_t));
    if (stack)
        a->stack = stack;
    if (fresh == NULL || stack == NULL)
        return false;
    a->fresh_max = max;
    return true;
}

/* A new object, of which nothing but its head is written. */
static struct obj *take(struct arena *a, unsigned int nr_refs, size_t bytes, ref_t *ref)
{
    uint8_t class = class_of(bytes);
    struct slab *s;
    struct obj *o;
    uint32_t i;

    if ((a->fail_at && --a->fail_at == 0) || !fresh_room(a) || (i = slab_with_room(a, class)) == 0)
        longjmp(*a->no_memory, 1);
    s = &a->slabs[i];
    if (s->free) {
        o = slot(a, i, s->free - 1u);
        s->free = (uint16_t)o->refs;
    } else {
        o = slot(a, i, s->carved++);
    }
    s->used++;
    a->nr_objects++;
    if (!has_room(s))
        partial_remove(a, i);
    *o = (struct obj){ .bytes = (uint16_t)bytes, .nr_refs = (uint8_t)nr_refs, .fresh = UNSEEN };
    a->fresh_bytes += class_bytes[class];
    *ref = (ref_t)((size_t)((uint8_t *)o - a->base) / GRANULE);
    a->fresh[a->nr_fresh++] = *ref;
    return o;
}

ref_t arena_alloc(struct arena *a, unsigned int nr_refs, size_t bytes)
{
    ref_t ref;
    struct obj *o = take(a, nr_refs, bytes, &ref);

    memset(o + 1, 0, bytes - sizeof(*o));
    probe(a);
    return ref;
}

ref_t arena_edit(struct arena *a, ref_t ref)
{
    struct obj *from = arena_at(a, ref), *to;
    ref_t copy;

    if (from->fresh)
        return ref;
    to = take(a, from->nr_refs, from->bytes, &copy);
    memcpy(to + 1, from + 1, from->bytes - sizeof(*from));
    probe(a);
    return copy;
}

/* ---- the end of a step ---- */

static void count(struct arena *a, ref_t ref, size_t *depth)
{
    struct obj *o = arena_at(a, ref);

    o->refs++;
    if (o->fresh == UNSEEN) {
        o->fresh = SEEN;
        a->stack[(*depth)++] = ref;
    }
}

void arena_commit(struct arena *a, ref_t root)
{
    ref_t before = arena_root(a);
    size_t depth = 0;

    count(a, root, &depth);
    while (depth) {
        struct obj *o = arena_at(a, a->stack[--depth]);
        ref_t *refs = refs_of(o);

        for (unsigned int i = 0; i < o->nr_refs; i++)
            if (refs[i])
                count(a, refs[i], &depth);
    }
    probe(a);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* all objects are written before ... */
    __atomic_store_n(&super(a)->root, root, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* ... and none is reused before it */
    probe(a);
    for (size_t i = 0; i < a->nr_fresh; i++) {
        struct obj *o = arena_at(a, a->fresh[i]);

        if (o->fresh == UNSEEN)
            slot_free(a, o);
        else
            o->fresh = OLD;
    }
    a->nr_fresh = 0;
    a->fresh_bytes = 0;
    if (before)
        put(a, before);
    free_dead(a, FREED_MAX);
}

void arena_abort(struct arena *a)
{
    while (a->nr_fresh)
        slot_free(a, arena_at(a, a->fresh[--a->nr_fresh]));
    a->fresh_bytes = 0;
}

ref_t arena_root(const struct arena *a)
{
    return __atomic_load_n(&super(a)->root, __ATOMIC_ACQUIRE);
}

size_t arena_bytes_of(size_t bytes) { return class_bytes[class_of(bytes)]; }

size_t arena_bytes(const struct arena *a, ref_t ref)
{
    return arena_bytes_of(((struct obj *)arena_at(a, ref))->bytes);
}

size_t arena_size(const struct arena *a) { return (size_t)(a->nr_slabs - 1) * SLAB_BYTES; }

size_t arena_used(const struct arena *a)
{
    size_t used = 0;

    for (uint32_t i = 1; i < a->nr_slabs; i++)
        if (a->slabs[i].class != NO_CLASS)
            used += (size_t)a->slabs[i].used * class_bytes[a->slabs[i].class];
    return used;
}

/* ---- the walk from the root ---- */

struct walk {
    const struct arena *a;
    uint8_t *seen; /* a bit for each granule */
    ref_t *stack;
    size_t depth, stack_max;
    size_t nr_objects, nr_refs;
    bool damaged;
};

/* Is it an object that may be there? In a slab without a class it decides on that. */
static bool plausible(const struct arena *a, ref_t ref)
{
    size_t at = (size_t)ref * GRANULE;
    uint32_t i = (uint32_t)(at / SLAB_BYTES);
    const struct obj *o = arena_at(a, ref);
    uint8_t class;

    if (i == 0 || i >= a->nr_slabs || o->bytes > ARENA_OBJ_MAX ||
        o->bytes < sizeof(*o) + o->nr_refs * sizeof(ref_t))
        return false;
    class = class_of(o->bytes);
    if (a->slabs[i].class == NO_CLASS)
        a->slabs[i].class = class;
    return a->slabs[i].class == class && at % SLAB_BYTES % class_bytes[class] == 0 &&
           at % SLAB_BYTES / class_bytes[class] < slots(class);
}

static bool walk_push(struct walk *w, ref_t ref)
{
    if (w->depth == w->stack_max) {
        size_t max = w->stack_max ? w->stack_max * 2 : 1024;
        ref_t *stack = realloc(w->stack, max * sizeof(ref_t));

        if (stack == NULL)
            return false;
        w->stack = stack;
        w->stack_max = max;
    }
    w->stack[w->depth++] = ref;
    return true;
}

/* Come to an object by a reference. False: no memory, or w->damaged. */
static bool walk_visit(struct walk *w, ref_t ref, bool first_of_all)
{
    struct obj *o;

    if (!plausible(w->a, ref)) {
        w->damaged = true;
        return false;
    }
    o = arena_at(w->a, ref);
    w->nr_refs++;
    if (w->seen[ref / 8] & (1u << ref % 8)) {
        if (first_of_all)
            o->refs++;
        return true;
    }
    w->seen[ref / 8] |= (uint8_t)(1u << ref % 8);
    w->nr_objects++;
    if (first_of_all) { /* nobody has counted yet */
        o->refs = 1;
        o->fresh = OLD;
    }
    return walk_push(w, ref);
}

/* False: no memory, or w->damaged. */
static bool walk_all(struct walk *w, bool first_of_all)
{
    ref_t root = arena_root(w->a);
    bool ok;

    w->seen = calloc((size_t)w->a->nr_slabs * (SLAB_BYTES / GRANULE / 8), 1);
    ok = w->seen && (root == 0 || walk_visit(w, root, first_of_all));
    while (ok && w->depth) {
        struct obj *o = arena_at(w->a, w->stack[--w->depth]);

        for (unsigned int i = 0; ok && i < o->nr_refs; i++)
            if (refs_of(o)[i])
                ok = walk_visit(w, refs_of(o)[i], first_of_all);
    }
    free(w->stack);
    return ok;
}

bool arena_bytes_below(const struct arena *a, ref_t ref, size_t *bytes)
{
    struct walk w = { .a = a };
    bool ok = true;

    *bytes = 0;
    if (ref && ((struct obj *)arena_at(a, ref))->refs == 1)
        ok = walk_push(&w, ref);
    while (ok && w.depth) {
        ref_t at = w.stack[--w.depth];
        struct obj *o = arena_at(a, at);

        *bytes += arena_bytes(a, at);
        for (unsigned int i = 0; ok && i < o->nr_refs; i++)
            if (refs_of(o)[i] && ((struct obj *)arena_at(a, refs_of(o)[i]))->refs == 1)
                ok = walk_push(&w, refs_of(o)[i]);
    }
    free(w.stack);
    return ok;
}

static void slab_recover(struct arena *a, uint32_t i, const uint8_t *seen)
{
    struct slab *s = &a->slabs[i];

    if (s->class == NO_CLASS) {
        slab_free(a, i);
        return;
    }
    s->carved = (uint16_t)slots(s->class);
    for (unsigned int n = 0; n < s->carved; n++) {
        struct obj *o = slot(a, i, n);
        size_t granule = (size_t)((uint8_t *)o - a->base) / GRANULE;

        if (seen[granule / 8] & (1u << granule % 8)) {
            s->used++;
        } else {
            o->refs = s->free;
            s->free = (uint16_t)(n + 1);
        }
    }
    if (has_room(s))
        partial_add(a, i);
}

bool arena_check(const struct arena *a)
{
    struct walk w = { .a = a };
    bool ok = walk_all(&w, false);
    size_t refs = 0;

    for (size_t at = 0; ok && at < (size_t)a->nr_slabs * (SLAB_BYTES / GRANULE); at++)
        if (w.seen[at / 8] & (1u << at % 8))
            refs += ((struct obj *)arena_at(a, (ref_t)at))->refs;
    free(w.seen);
    return ok && w.nr_objects == a->nr_objects - a->nr_fresh && refs == w.nr_refs;
}

bool arena_open(struct arena *a, void *region, size_t len)
{
    static const struct super blank;
    struct walk w = { .a = a };
    struct super *head = region;

    *a = (struct arena){ .base = region };
    if (len < ARENA_LEN_MIN || len / SLAB_BYTES > UINT32_MAX / (SLAB_BYTES / GRANULE)) {
        errno = EINVAL;
        return false;
    }
    a->nr_slabs = (uint32_t)(len / SLAB_BYTES);
    if (memcmp(head->magic, blank.magic, sizeof(magic)) == 0) {
        *head = (struct super){ .version = VERSION, .len = len };
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        memcpy(head->magic, magic, sizeof(magic));
    }
    if (memcmp(head->magic, magic, sizeof(magic)) != 0 || head->version != VERSION ||
        head->len != len) {
        errno = EINVAL;
        return false;
    }
    a->slabs = calloc(a->nr_slabs, sizeof(*a->slabs));
    if (a->slabs == NULL)
        return false;
    for (uint32_t i = 0; i < a->nr_slabs; i++)
        a->slabs[i].class = NO_CLASS;
    if (!walk_all(&w, true)) {
        free(w.seen);
        arena_close(a);
        errno = w.damaged ? EIO : ENOMEM;
        return false;
    }
    a->nr_objects = w.nr_objects;
    for (uint32_t i = a->nr_slabs - 1; i > 0; i--)
        slab_recover(a, i, w.seen);
    free(w.seen);
    return true;
}

void arena_close(struct arena *a)
{
    free(a->slabs);
    free(a->fresh);
    free(a->stack);
    a->slabs = NULL;
    a->fresh = a->stack = NULL;
}
