/* Frames: one piece of memory each, the structure before its bytes. */
#include <stdlib.h>

#include "link.h"

struct frame *frame_alloc(uint32_t bytes)
{
    struct frame *f;

    if (bytes == 0 || bytes > FRAME_MAX)
        return NULL;
    f = malloc(sizeof(*f) + bytes);
    if (f)
        *f = (struct frame){ .refs = 1, .room = bytes, .data = (uint8_t *)(f + 1) };
    return f;
}

void frame_put(struct frame *f)
{
    if (--f->refs == 0)
        free(f);
}
