/* A turn of a queue: what the disk has done, then new requests of the ring, then answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blkback_internal.h"

/* ---- turns ---- */

void queue_wake(struct queue *q)
{
    struct blkback *b = q->device->backend;

    if (q->waits_turn)
        return;
    q->waits_turn = true;
    q->next_turn = NULL;
    *b->turns_end = q;
    b->turns_end = &q->next_turn;
    plat_wake(&b->wake);
}

void queue_forget(struct queue *q)
{
    struct blkback *b = q->device->backend;

    for (struct queue **at = &b->turns; *at; at = &(*at)->next_turn)
        if (*at == q) {
            *at = q->next_turn;
            if (b->turns_end == &q->next_turn)
                b->turns_end = at;
            break;
        }
    q->waits_turn = false;
}

void queue_event(void *arg) { queue_wake(arg); }

/* ---- copies between grants and memory, many at a time ---- */

static void copies_do(struct blkback *b)
{
    int rc = b->nr_copies ? xengnttab_grant_copy(b->grants, b->nr_copies, b->copies) : 0;

    for (unsigned int i = 0; i < b->nr_copies; i++)
        if (rc || b->copies[i].status != GNTST_okay)
            b->copy_of[i]->status = BLKIF_RSP_ERROR; /* a bad grant is the guest's own loss */
    b->nr_copies = 0;
}

/* @theirs  where in which grant; @ours  from there, or to there */
static inline void copy_add(struct blkback *b, struct io *io, bool to_grant,
                            union xengnttab_copy_ptr theirs, void *ours, uint16_t bytes)
{
    const union xengnttab_copy_ptr memory = { .virt = ours };
    xengnttab_grant_copy_segment_t *c;

    if (b->nr_copies == COPIES_MAX)
        copies_do(b);
    b->copy_of[b->nr_copies] = io;
    c = &b->copies[b->nr_copies++];
    c->source = to_grant ? memory : theirs;
    c->dest = to_grant ? theirs : memory;
    c->len = bytes;
    c->flags = to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    c->status = GNTST_general_error;
}

static inline void copy_segments(struct io *io, bool to_grant, uint8_t *memory)
{
    const struct device *d = io->queue->device;
    const struct blk_request *r = &io->request;
    struct blkback *b = d->backend;
    domid_t domain = d->bus->other;

    for (unsigned int i = 0; i < r->nr_segments; i++) {
        const struct blkif_request_segment *s = &r->segments[i];
        uint16_t bytes = blk_segment_bytes(s);
        union xengnttab_copy_ptr theirs = {
            .foreign = { .ref = s->gref, .offset = blk_segment_offset(s), .domid = domain }
        };

        copy_add(b, io, to_grant, theirs, memory, bytes);
        memory += bytes;
    }
}

/* All of a request's data, from or to one piece of memory. Each direction has a loop of its own. */
static void copy_data(struct io *io, uint8_t *memory)
{
    if (io->request.op == DISK_READ)
        copy_segments(io, true, memory);
    else
        copy_segments(io, false, memory);
}

/* ---- answers ---- */

static void count(struct statistics *s, const struct io *io)
{
    const struct blk_request *r = &io->request;

    if (io->status != BLKIF_RSP_OKAY) {
        s->failed++;
        return;
    }
    switch (r->op) {
    case DISK_READ:
        s->reads++;
        s->read_sectors += r->nr_sectors;
        break;
    case DISK_WRITE:
        s->writes++;
        s->written_sectors += r->nr_sectors;
        break;
    case DISK_FLUSH: s->flushes++; break;
    case DISK_DISCARD: s->discards++; break;
    }
}

static void answer(struct io *io)
{
    struct blkif_response response;

    memset(&response, 0, sizeof(response)); /* nothing of ours between the fields */
    response.id = io->request.id;
    response.operation = io->request.operation;
    response.status = (int16_t)io->status;
    ring_back_answer(&io->queue->ring, io->slot, &response);
}

static void refuse(struct io *io)
{
    io->queue->device->statistics.refused++;
    answer(io);
}

/* ---- requests that a disk is asked for ---- */

static bool has_data(const struct io *io) { return io->request.op <= DISK_WRITE; }

/* What has no data is work for the disk, too, which others may share: as much as the largest that has. */
static uint64_t cost(const struct io *io)
{
    return has_data(io) ? io->request.nr_sectors * DISK_SECTOR : BLK_SEGMENTS * BLK_PAGE;
}

static void running_begin(struct io *io)
{
    io->queue->nr_running++;
    io->queue->device->running_bytes += cost(io);
}

/* All queues of the device that had to wait for that. */
static void running_end(struct io *io)
{
    struct device *d = io->queue->device;

    free(io->memory);
    io->memory = NULL;
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

static void submit(struct io *io)
{
    io->disk = (struct disk_request){
        .op = io->request.op, .segments = &io->segment, .nr_segments = has_data(io), .done = on_done
    };
    io->sectors_begun = 0;
    submit_part(io);
}

/* What the disk has done: data of reads go to the guest. */
static void finish(struct queue *q)
{
    struct io *list = q->done;

    q->done = NULL;
    q->done_end = &q->done;
    for (struct io *io = list; io; io = io->next)
        if (io->request.op == DISK_READ && io->status == BLKIF_RSP_OKAY)
            copy_data(io, io->data);
    copies_do(q->device->backend);
    for (struct io *io = list, *next; io; io = next) {
        next = io->next;
        running_end(io);
        count(&q->device->statistics, io);
        answer(io);
    }
}

/* ---- new requests ---- */

/* How many can be begun with: each may be the largest. */
static int budget(const struct device *d)
{
    uint64_t most = BUDGET;

    if (!d->disk->memory)
        most = (RUNNING_MAX_BYTES - d->running_bytes - 1) / (BLK_SEGMENTS * BLK_PAGE) + 1;
    return most < BUDGET ? (int)most : BUDGET;
}

/* The page with its segments. */
static void copy_indirect(struct io *io)
{
    const struct device *d = io->queue->device;
    struct blk_request *r = &io->request;
    union xengnttab_copy_ptr page = { .foreign = { .ref = r->page, .domid = d->bus->other } };

    copy_add(d->backend, io, false, page, r->segments,
             (uint16_t)(r->nr_segments * sizeof(r->segments[0])));
}

/* Their slots' ios into a list. Returns how many; -EPROTO. */
static int take(struct queue *q, struct io *taken[BUDGET])
{
    int there = ring_back_look(&q->ring), most = budget(q->device), n;

    for (n = 0; n < there && n < most; n++) {
        struct blkif_request copy;
        uint32_t slot = ring_back_take(&q->ring, &copy);
        struct io *io = &q->ios[slot & (q->ring.ring.nr_entries - 1)];

        io->slot = slot;
        io->status = blk_request_parse(&copy, &io->request);
        if (io->status == BLKIF_RSP_OKAY && io->request.indirect)
            copy_indirect(io);
        taken[n] = io;
    }
    return there < 0 ? there : n;
}

/* Its memory, and what is to be copied now. False: it is not to be gone on with. */
static bool prepare(struct io *io)
{
    struct disk *d = io->queue->device->disk;
    struct blk_request *r = &io->request;

    if (io->status == BLKIF_RSP_OKAY)
        io->status = blk_request_check(r, d);
    if (io->status != BLKIF_RSP_OKAY) {
        refuse(io);
        return false;
    }
    if (!has_data(io))
        return true;
    if (d->memory) {
        copy_data(io, d->memory + r->sector * DISK_SECTOR);
        return true;
    }
    io->memory = malloc(r->nr_sectors * DISK_SECTOR + BLK_PAGE);
    if (io->memory == NULL) {
        io->status = BLKIF_RSP_ERROR;
        refuse(io);
        return false;
    }
    io->data = (uint8_t *)(((uintptr_t)io->memory + BLK_PAGE - 1) & ~(uintptr_t)(BLK_PAGE - 1));
    if (r->op == DISK_WRITE)
        copy_data(io, io->data);
    return true;
}

static void go_on(struct io *io)
{
    struct device *d = io->queue->device;

    if (has_data(io) && d->disk->memory) {
        count(&d->statistics, io);
        answer(io);
        return;
    }
    if (io->status != BLKIF_RSP_OKAY) { /* the data of a write were not to be had */
        free(io->memory);
        io->memory = NULL;
        refuse(io);
        return;
    }
    running_begin(io);
    submit(io);
}

/* Returns how many there were; -EPROTO. */
static int begin(struct queue *q)
{
    struct blkback *b = q->device->backend;
    struct io *taken[BUDGET];
    int n = take(q, taken), nr_good = 0;

    if (n > 0)
        port_found(&q->port, (unsigned int)n);
    copies_do(b);
    for (int i = 0; i < n; i++)
        if (prepare(taken[i]))
            taken[nr_good++] = taken[i];
    copies_do(b);
    for (int i = 0; i < nr_good; i++)
        go_on(taken[i]);
    return n;
}

static void broken(struct queue *q)
{
    q->broken = true;
    xenbus_fail(q->device->bus, "the indices of its ring are impossible");
}

/* Another turn, or an event when there is more. */
static void rest(struct queue *q)
{
    int there = ring_back_rest(&q->ring, 1);

    if (there < 0)
        broken(q);
    else if (there > 0)
        queue_wake(q);
    else
        port_ready(&q->port);
}

void queue_leave(struct queue *q)
{
    int there = q->broken ? 0 : ring_back_look(&q->ring);

    q->nr_last = there > 0 ? (uint32_t)there : 0;
    if (q->nr_last)
        queue_wake(q);
}

static void turn(struct queue *q)
{
    struct device *d = q->device;
    int n = 0;

    finish(q);
    if (!q->broken && (!d->leaving || q->nr_last)) {
        q->stalled = d->running_bytes >= RUNNING_MAX_BYTES;
        n = q->stalled ? 0 : begin(q);
        if (n < 0)
            broken(q);
    }
    if (ring_back_push(&q->ring))
        port_notify(&q->port);
    if (d->leaving)
        q->nr_last = n < 0 || (uint32_t)n > q->nr_last ? 0 : q->nr_last - (uint32_t)n;
    if (q->nr_last && !q->stalled)
        queue_wake(q);
    else if (!d->leaving && !q->broken && !q->stalled)
        rest(q);
    device_check_end(d); /* last: it may be no more */
}

void queues_run(void *arg)
{
    struct blkback *b = arg;
    unsigned int nr = 0;
    struct queue *q;

    /* As many turns as wait now: a turn may take others out of the list, and those that come again are behind. */
    for (q = b->turns; q; q = q->next_turn)
        nr++;
    while (nr-- && (q = b->turns) != NULL) {
        queue_forget(q);
        turn(q);
    }
    if (b->turns)
        plat_wake(&b->wake);
}
