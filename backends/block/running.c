/* Requests that a disk is asked for: memory for their data, the parts in which it takes them, how much there may be. */
#include <errno.h>
#include <stdlib.h>

#include "blkback_internal.h"

/* ---- memory of their data ---- */

enum { DATA_MAX = (BLK_SEGMENTS + 1) * BLK_PAGE }; /* its data begin at a page */

bool data_ready(struct blkback *b)
{
    if (b->reserve == NULL)
        b->reserve = malloc(DATA_MAX);
    return b->reserve != NULL;
}

void data_provide(struct io *io)
{
    struct blkback *b = io->queue->device->backend;

    io->memory = malloc((io->request.nr_segments + 1) * (size_t)BLK_PAGE);
    io->reserved = io->memory == NULL;
    if (io->reserved) {
        io->memory = b->reserve;
        b->reserve = NULL;
    }
    io->data = (uint8_t *)(((uintptr_t)io->memory + BLK_PAGE - 1) & ~(uintptr_t)(BLK_PAGE - 1));
}

void data_free(struct io *io)
{
    struct blkback *b = io->queue->device->backend;

    if (io->reserved && b->reserve == NULL)
        b->reserve = io->memory;
    else
        free(io->memory);
    io->memory = NULL;
    io->reserved = false;
}

/* ---- at the disk ---- */

/* What has no data is work for the disk, too, which others may share: as much as the largest that has. */
static uint64_t cost(const struct io *io)
{
    return has_data(io) ? io->request.nr_sectors * DISK_SECTOR : BLK_SEGMENTS * BLK_PAGE;
}

void running_begin(struct io *io)
{
    io->queue->nr_running++;
    io->queue->device->running_bytes += cost(io);
}

/* All queues of the device that had to wait for that. */
void running_end(struct io *io)
{
    struct device *d = io->queue->device;

    data_free(io);
    io->queue->nr_running--;
    d->running_bytes -= cost(io);
    for (unsigned int i = 0; i < d->nr_queues; i++)
        if (d->queues[i].stalled) {
            d->queues[i].stalled = false;
            queue_wake(&d->queues[i]);
        }
}

/* Sectors of one part: as many as the disk takes; of a DISCARD, so that others have their turn in between. */
static uint64_t part_sectors(const struct io *io)
{
    uint64_t left = io->request.nr_sectors - io->sectors_begun, most = left;

    if (!has_data(io))
        most = DISCARD_PART_SECTORS;
    else if (io->queue->device->disk->max_bytes)
        most = io->queue->device->disk->max_bytes / DISK_SECTOR;
    return left < most ? left : most;
}

/* The next part of it. A FLUSH has one. */
static void submit_part(struct io *io)
{
    uint64_t nr = part_sectors(io);

    if (has_data(io))
        io->segment = (struct disk_segment){ .data = io->data + io->sectors_begun * DISK_SECTOR,
                                             .bytes = (uint32_t)(nr * DISK_SECTOR) };
    io->disk.sector = io->request.sector + io->sectors_begun;
    io->disk.nr_sectors = nr;
    io->sectors_begun += nr;
    disk_submit(io->queue->device->disk, &io->disk);
}

static void on_done(struct disk_request *r, int error)
{
    struct io *io = (struct io *)((char *)r - offsetof(struct io, disk));
    struct queue *q = io->queue;

    if (error)
        io->status = error == EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
    if (!error && io->sectors_begun < io->request.nr_sectors) {
        submit_part(io);
        return;
    }
    io->next = NULL;
    *q->done_end = io;
    q->done_end = &io->next;
    queue_wake(q);
}

void submit(struct io *io)
{
    io->disk = (struct disk_request){
        .op = io->request.op, .segments = &io->segment, .nr_segments = has_data(io), .done = on_done
    };
    io->sectors_begun = 0;
    submit_part(io);
}
