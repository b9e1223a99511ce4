#include "disk_load.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, GUARD = 0xa5, ROOM = (LOAD_SECTORS + 16) * DISK_SECTOR };

static unsigned int below(struct load *l, unsigned int n)
{
    l->seed = l->seed * 1103515245 + 12345;
    return (l->seed >> 8) % n;
}

void load_init(struct load *l, struct disk *d, const uint8_t *model)
{
    *l = (struct load){ .disk = d, .model = model, .nr_sectors = d->nr_sectors, .seed = 1 };
    for (unsigned int i = 0; i < LOAD_SLOTS; i++) {
        l->slots[i].load = l;
        if (posix_memalign((void **)&l->slots[i].memory, PAGE, ROOM))
            abort();
    }
}

void load_exit(struct load *l)
{
    for (unsigned int i = 0; i < LOAD_SLOTS; i++)
        free(l->slots[i].memory);
}

static bool is_guarded(const struct load_slot *s, size_t bytes)
{
    for (const uint8_t *p = s->memory; p < s->memory + ROOM; p++)
        if ((p < s->data || p >= s->data + bytes) && *p != GUARD)
            return false;
    return true;
}

static void done(struct disk_request *r, int error)
{
    struct load_slot *s = (struct load_slot *)r;
    struct load *l = s->load;
    size_t bytes = r->nr_sectors * DISK_SECTOR;

    if (!s->busy)
        abort(); /* twice */
    s->busy = false;
    l->nr_busy--;
    l->nr_done++;
    l->nr_errors += error != 0;
    l->last_error = error;
    if (r->op == DISK_READ && error == 0 && l->read_back)
        l->nr_wrong += memcmp(s->data, l->model + r->sector * DISK_SECTOR, bytes) != 0;
    if (r->op == DISK_READ || r->op == DISK_WRITE)
        l->nr_wrong += !is_guarded(s, bytes);
}

/* Memory that begins somewhere in a page, in pieces of whole sectors of the disk. */
static void shape(struct load *l, struct load_slot *s, uint32_t bytes)
{
    uint32_t unit = l->disk->sector_bytes, at = 0;
    unsigned int nr = 0;

    memset(s->memory, GUARD, ROOM);
    s->data = s->memory + below(l, 8) * DISK_SECTOR;
    for (uint32_t i = 0; i < bytes && s->request.op == DISK_WRITE; i++)
        s->data[i] = (uint8_t)below(l, 256);
    while (at < bytes) {
        uint32_t n = (bytes - at) / unit;

        if (nr + 1 < LOAD_SEGMENTS && n > 1 && below(l, 4))
            n = 1 + below(l, n);
        s->segments[nr++] = (struct disk_segment){ s->data + at, n * unit };
        at += n * unit;
    }
    s->request.segments = s->segments;
    s->request.nr_segments = nr;
}

static bool is_free(const struct load *l, uint64_t sector, uint64_t nr)
{
    for (unsigned int i = 0; i < LOAD_SLOTS; i++) {
        const struct disk_request *r = &l->slots[i].request;

        if (l->slots[i].busy && sector < r->sector + r->nr_sectors && r->sector < sector + nr)
            return false;
    }
    return true;
}

bool load_begin_at(struct load *l, enum disk_op op, uint64_t sector, uint64_t nr)
{
    struct load_slot *s = l->slots;

    while (s < l->slots + LOAD_SLOTS && s->busy)
        s++;
    if (s == l->slots + LOAD_SLOTS)
        return false;
    s->request =
        (struct disk_request){ .op = op, .sector = sector, .nr_sectors = nr, .done = done };
    if (op == DISK_READ || op == DISK_WRITE)
        shape(l, s, (uint32_t)nr * DISK_SECTOR);
    s->busy = true;
    l->nr_busy++;
    l->disk->ops->submit(l->disk, &s->request);
    return true;
}

bool load_begin(struct load *l, enum disk_op op)
{
    uint32_t unit = l->disk->sector_bytes / DISK_SECTOR;

    for (unsigned int tries = 0; tries < 20; tries++) {
        uint64_t nr = (1 + below(l, LOAD_SECTORS / unit)) * unit;
        uint64_t at = below(l, (unsigned int)(l->nr_sectors - nr) / unit) * unit;

        if (is_free(l, at, nr))
            return load_begin_at(l, op, at, nr);
    }
    return false;
}
