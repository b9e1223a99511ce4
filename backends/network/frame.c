/* Frames: one piece of memory each, the structure before its bytes. */
#include <stdlib.h>

#include "link.h"

/*
 * They are kept when they are freed: of large ones whole pages are had from the system and zeroed, which costs as much as a
 * copy, and for small ones the heap's lock is taken twice, which costs as much as all else that is done with a packet here.
 * A large one's bytes begin a page: what a guest receives is copied there in pages, each by one grant copy then. (That those
 * of a page of the sender's lie in one page would cost the receiver a page more of each frame, which is dearer than the
 * copies.) Small ones have memory of one of two sizes, and their bytes end where that does, so that what reads beyond them
 * is found where that is looked for.
 */
enum { SMALL = 256, LARGE = 2048, SPARE_FRAMES = 64, PAGE = 4096 };

static struct spares {
    struct frame *frames[SPARE_FRAMES];
    unsigned int nr;
} small, medium, large;

static struct spares *spares_of(uint32_t room)
{
    return room < SMALL ? &small : room < LARGE ? &medium : &large;
}

/* Not one of far more room: what waits is counted by its bytes. */
static struct frame *large_take(uint32_t bytes)
{
    for (unsigned int i = large.nr; i-- > 0;) {
        struct frame *f = large.frames[i];

        if (f->room < bytes || f->room / 2 > bytes)
            continue;
        large.frames[i] = large.frames[--large.nr];
        return f;
    }
    return NULL;
}

static struct frame *large_alloc(uint32_t bytes)
{
    struct frame *f = large_take(bytes);
    uint8_t *data;

    if (f == NULL && (f = malloc(sizeof(*f) + bytes + PAGE)) != NULL)
        f->room = bytes;
    if (f == NULL)
        return NULL;
    data = (uint8_t *)(f + 1);
    data += -(uintptr_t)data % PAGE;
    *f = (struct frame){ .refs = 1, .room = f->room, .data = data };
    return f;
}

struct frame *frame_alloc(uint32_t bytes)
{
    struct spares *s = spares_of(bytes);
    uint32_t memory = bytes < SMALL ? SMALL : LARGE;
    struct frame *f;

    if (bytes == 0 || bytes > FRAME_MAX)
        return NULL;
    if (s == &large)
        return large_alloc(bytes);
    f = s->nr ? s->frames[--s->nr] : malloc(sizeof(*f) + memory);
    if (f)
        *f =
            (struct frame){ .refs = 1, .room = bytes, .data = (uint8_t *)(f + 1) + memory - bytes };
    return f;
}

void frame_put(struct frame *f)
{
    struct spares *s = spares_of(f->room);

    if (--f->refs > 0)
        return;
    if (s->nr < SPARE_FRAMES)
        s->frames[s->nr++] = f;
    else
        free(f);
}

void frames_forget(void) { small.nr = medium.nr = large.nr = 0; }

static void spares_free(struct spares *s)
{
    while (s->nr)
        free(s->frames[--s->nr]);
}

void frames_free(void)
{
    spares_free(&small);
    spares_free(&medium);
    spares_free(&large);
}
