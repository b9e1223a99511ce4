/* Frames: one piece of memory each, the structure before its bytes. */
#include <stdlib.h>

#include "link.h"

/*
 * Large ones are kept when they are freed: whole pages are had from the system and zeroed, which costs as much as a copy.
 * Their bytes begin a page: what a guest receives is copied there in pages, each by one grant copy then.
 */
enum { LARGE = 2048, SPARE_FRAMES = 64, PAGE = 4096 };

static struct frame *spare[SPARE_FRAMES];
static unsigned int nr_spare;

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

struct frame *frame_alloc(uint32_t bytes)
{
    struct frame *f = NULL;

    if (bytes == 0 || bytes > FRAME_MAX)
        return NULL;
    if (bytes >= LARGE)
        f = spare_take(bytes);
    if (f) {
        *f = (struct frame){ .refs = 1, .room = f->room, .data = f->data };
        return f;
    }
    f = malloc(sizeof(*f) + bytes + (bytes >= LARGE ? PAGE : 0));
    if (f)
        *f = (struct frame){ .refs = 1, .room = bytes, .data = (uint8_t *)(f + 1) };
    if (f && bytes >= LARGE)
        f->data += -(uintptr_t)f->data % PAGE;
    return f;
}

void frame_put(struct frame *f)
{
    if (--f->refs > 0)
        return;
    if (f->room >= LARGE && nr_spare < SPARE_FRAMES)
        spare[nr_spare++] = f;
    else
        free(f);
}

void frames_forget(void) { nr_spare = 0; }

void frames_free(void)
{
    while (nr_spare)
        free(spare[--nr_spare]);
}
