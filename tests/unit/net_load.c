#include "net_load.h"

#include <stdlib.h>

long net_nr_frames;
bool net_no_frames;

struct frame *frame_alloc(uint32_t bytes)
{
    static unsigned int n;
    struct frame *f = net_no_frames ? NULL : malloc(sizeof(*f));

    if (f == NULL)
        return NULL;
    *f = (struct frame){ .refs = 1, .room = bytes };
    f->data = (uint8_t *)malloc(bytes + 16) + n++ % 7; /* which gives multiples of 16 */
    net_nr_frames++;
    return f;
}

void frame_put(struct frame *f)
{
    if (--f->refs)
        return;
    net_nr_frames--;
    free(f->data - (uintptr_t)f->data % 16);
    free(f);
}

uint8_t net_byte(uint32_t at) { return (uint8_t)(at * 7 + at / 256); }

struct frame *net_frame(uint32_t bytes)
{
    struct frame *f = frame_alloc(bytes);

    f->bytes = bytes;
    for (uint32_t i = 0; i < bytes; i++)
        f->data[i] = net_byte(i);
    return f;
}
