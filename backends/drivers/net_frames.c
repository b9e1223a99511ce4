#include "drivers/net_frames.h"

enum { SMALL_ROOM = 2048 };

unsigned int net_cut(const struct frame *f, struct piece *pieces)
{
    uint8_t *data = f->data;
    unsigned int nr = 0;

    for (uint32_t left = f->bytes; left;) {
        uint32_t n = NET_PAGE - (uint32_t)((uintptr_t)data % NET_PAGE);

        if (n > left)
            n = left;
        pieces[nr++] = (struct piece){ data, n };
        data += n;
        left -= n;
    }
    return nr;
}

struct frame *net_frame_get(struct frame **spare, uint32_t room)
{
    struct frame *f = *spare;

    if (f == NULL || f->room < room)
        return frame_alloc(room < SMALL_ROOM ? SMALL_ROOM : room);
    *spare = NULL;
    f->bytes = 0;
    return f;
}

void net_frame_put(struct frame **spare, struct frame *f)
{
    if (*spare == NULL && f->refs == 1 && f->room <= NET_PAGE)
        *spare = f;
    else
        frame_put(f);
}
