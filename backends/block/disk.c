#include "disk.h"

#include <errno.h>
#include <stddef.h>

/* How many bytes a READ or WRITE has; 0: it is none that a disk of these sectors can do. */
static uint64_t bytes_of(const struct disk *d, const struct disk_request *r)
{
    uint64_t bytes = 0;

    for (unsigned int i = 0; i < r->nr_segments; i++) {
        const struct disk_segment *s = &r->segments[i];

        if (s->bytes == 0 || s->bytes % d->sector_bytes || (uintptr_t)s->data % DISK_SECTOR)
            return 0;
        bytes += s->bytes;
    }
    return bytes;
}

int disk_check(const struct disk *d, const struct disk_request *r)
{
    uint64_t nr = r->nr_sectors, unit = d->sector_bytes / DISK_SECTOR;

    if (r->op == DISK_FLUSH)
        return d->flush ? 0 : EOPNOTSUPP;
    if (r->op == DISK_READ || r->op == DISK_WRITE) {
        uint64_t bytes = bytes_of(d, r);

        if (bytes == 0 || (d->max_bytes && bytes > d->max_bytes))
            return EINVAL;
        nr = bytes / DISK_SECTOR;
    } else if (r->op != DISK_DISCARD) {
        return EOPNOTSUPP;
    }
    if (nr == 0 || r->sector % unit || nr % unit || nr > d->nr_sectors ||
        r->sector > d->nr_sectors - nr)
        return EINVAL;
    if (r->op != DISK_READ && d->read_only)
        return EROFS;
    if (r->op == DISK_DISCARD && !d->discard)
        return EOPNOTSUPP;
    return 0;
}

void disk_submit(struct disk *d, struct disk_request *r)
{
    int error = disk_check(d, r);

    if (error)
        r->done(r, error);
    else
        d->ops->submit(d, r);
}
