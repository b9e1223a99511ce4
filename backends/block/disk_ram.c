#include "disk_ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

enum { PAGE = 4096 };

static void submit(struct disk *d, struct disk_request *r)
{
    uint8_t *at = d->memory + r->sector * DISK_SECTOR;

    for (unsigned int i = 0; i < r->nr_segments; i++) {
        const struct disk_segment *s = &r->segments[i];

        if (r->op == DISK_READ)
            memcpy(s->data, at, s->bytes);
        else
            memcpy(at, s->data, s->bytes);
        at += s->bytes;
    }
    r->done(r, 0);
}

static void close_ram(struct disk *d)
{
    plat_region_close(d->memory, d->nr_sectors * DISK_SECTOR);
    free(d);
}

/* All in memory is on the disk already, and what is not needed is memory all the same. */
static const struct disk_ops ops = { .submit = submit, .close = close_ram };

struct disk *disk_ram_open(const char *name, uint64_t bytes, bool *fresh)
{
    struct disk *d;
    void *memory;

    if (bytes == 0 || bytes % PAGE || bytes > SIZE_MAX / 2) {
        errno = EINVAL;
        return NULL;
    }
    memory = plat_region_open(name, bytes, fresh);
    if (memory == NULL)
        return NULL;
    d = calloc(1, sizeof(*d));
    if (d == NULL) {
        plat_region_close(memory, bytes);
        errno = ENOMEM;
        return NULL;
    }
    *d = (struct disk){ .ops = &ops,
                        .nr_sectors = bytes / DISK_SECTOR,
                        .sector_bytes = DISK_SECTOR,
                        .memory = memory };
    return d;
}
