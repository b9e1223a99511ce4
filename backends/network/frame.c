/* Frames: one piece of memory each, the structure before its bytes. */
#include <stdlib.h>

#include "link.h"

/*
 * They are kept when they are freed: of large ones whole pages are had from the system and zeroed, which costs as much as a
 * copy, and for small ones the heap's lock is taken twice, which costs as much as all else that is done with a packet here.
 * A large one's bytes begin where those who copy it in pages want them: at a page's beginning, or where each page of
 * another's lies in one of ours. Then each is one grant copy. A small one's end where its memory does, so that what reads
 * beyond them is found where that is looked for.
 */
enum { LARGE = 2048, SPARE_FRAMES = 64, PAGE = 4096 };

static struct frame *spare[SPARE_FRAMES], *spare_small[SPARE_FRAMES];
static unsigned int nr_spare, nr_spare_small;

/* Not one of far more room: what waits is counted by its bytes. */
static struct frame *spare_take(uint32_t bytes)
{
    for (unsigned int i = nr_spare; i-- > 0;) {
        struct frame *f = spare[i];

        if (f->room < bytes || f->room / 2 > bytes)
            continue;
        spare[i] = spare[--nr_spare];
        return f;
    }
    return NULL;
}

static struct frame *large_new(uint32_t bytes)
{
    struct frame *f = spare_take(bytes);

    if (f == NULL && (f = malloc(sizeof(*f) + bytes + PAGE)) != NULL)
        f->room = bytes;
    return f;
}

static struct frame *small_new(void)
{
    return nr_spare_small ? spare_small[--nr_spare_small] : malloc(sizeof(struct frame) + LARGE);
}

struct frame *frame_alloc_at(uint32_t bytes, uint32_t offset)
{
    struct frame *f;
    uint8_t *data;

    if (bytes == 0 || bytes > FRAME_MAX)
        return NULL;
    f = bytes < LARGE ? small_new() : large_new(bytes);
    if (f == NULL)
        return NULL;
    data = (uint8_t *)(f + 1);
    data += bytes < LARGE ? LARGE - bytes : (offset - (uintptr_t)data) % PAGE;
    *f = (struct frame){ .refs = 1, .room = bytes < LARGE ? bytes : f->room, .data = data };
    return f;
}

struct frame *frame_alloc(uint32_t bytes) { return frame_alloc_at(bytes, 0); }

void frame_put(struct frame *f)
{
    if (--f->refs > 0)
        return;
    if (f->room >= LARGE && nr_spare < SPARE_FRAMES)
        spare[nr_spare++] = f;
    else if (f->room < LARGE && nr_spare_small < SPARE_FRAMES)
        spare_small[nr_spare_small++] = f;
    else
        free(f);
}

void frames_forget(void) { nr_spare = nr_spare_small = 0; }

void frames_free(void)
{
    while (nr_spare)
        free(spare[--nr_spare]);
    while (nr_spare_small)
        free(spare_small[--nr_spare_small]);
}
