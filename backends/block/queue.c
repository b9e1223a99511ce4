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

static void copy_failed(void *io) { ((struct io *)io)->status = BLKIF_RSP_ERROR; }

static inline __attribute__((always_inline)) void
copy_segments(const struct device *d, struct io *io, bool to_grant, uint8_t *memory)
{
    const struct blkif_request_segment *s = io->request.segments,
                                       *end = s + io->request.nr_segments;
    struct copies *c = &d->backend->copies;
    domid_t domain = d->bus->other;

    for (; s < end; s++) {
        uint32_t bytes = blk_segment_bytes(s);

        if (copies_full(c))
            copies_do(c, copy_failed);
        copies_add(c, to_grant, domain, s->gref, blk_segment_offset(s), memory, bytes, io);
        memory += bytes;
    }
}

/* All of a request's data, from or to one piece of memory. Each direction has a loop of its own. */
static inline __attribute__((always_inline)) void copy_data(const struct device *d, struct io *io,
                                                            uint8_t *memory)
{
    if (io->request.op == DISK_READ)
        copy_segments(d, io, true, memory);
    else
        copy_segments(d, io, false, memory);
}

/* ---- answers ---- */

static inline void count(struct statistics *s, const struct io *io)
{
    const struct blk_request *r = &io->request;

    if (io->status == BLKIF_RSP_OKAY) {
        s->done[r->op]++;
        s->sectors[r->op] += r->nr_sectors;
    } else {
        s->failed++;
    }
}

static inline void answer(struct queue *q, struct io *io)
{
    struct blkif_response response;

    memset(&response, 0, sizeof(response)); /* nothing of ours between the fields */
    response.id = io->request.id;
    response.operation = io->request.operation;
    response.status = (int16_t)io->status;
    if (io->slot == q->ring.written)
        ring_back_answer_next(&q->ring, &response, sizeof(response), false);
    else
        ring_back_answer(&q->ring, io->slot, &response);
}

static void refuse(struct io *io)
{
    data_free(io);
    io->queue->device->statistics.refused++;
    answer(io->queue, io);
}

/* What the disk has done: data of reads go to the guest. */
static void finish(struct queue *q)
{
    struct device *d = q->device;
    struct io *list = q->done;

    q->done = NULL;
    q->done_end = &q->done;
    for (struct io *io = list; io; io = io->next)
        if (io->request.op == DISK_READ && io->status == BLKIF_RSP_OKAY)
            copy_data(d, io, io->data);
    copies_do(&d->backend->copies, copy_failed);
    for (struct io *io = list, *next; io; io = next) {
        next = io->next;
        running_end(io);
        count(&d->statistics, io);
        answer(q, io);
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
static void copy_indirect(const struct device *d, struct io *io)
{
    struct blk_request *r = &io->request;
    struct copies *c = &d->backend->copies;

    if (copies_full(c))
        copies_do(c, copy_failed);
    copies_add(c, false, d->bus->other, r->page, 0, r->segments,
               r->nr_segments * (uint32_t)sizeof(r->segments[0]), io);
}

/* The next slot's io. */
static inline struct io *take(struct queue *q)
{
    uint32_t slot;
    const volatile uint8_t *at = ring_back_take_at(&q->ring, &slot);
    struct io *io = &q->ios[slot & (q->ring.ring.nr_entries - 1)];
    struct blk_request *r = &io->request;
    struct blkif_request copy;

    ring_get(&copy, at, BLK_HEAD);
    if (!blk_has_segments(&copy))
        ring_get(copy.seg, at + BLK_HEAD, sizeof(copy) - BLK_HEAD);
    io->slot = slot;
    io->status = blk_request_parse(&copy, r);
    if (io->status == BLKIF_RSP_OKAY && blk_has_segments(&copy))
        ring_get(r->segments, at + BLK_HEAD, r->nr_segments * (uint32_t)sizeof(r->segments[0]));
    return io;
}

/* What is to be copied now. False: it is not to be gone on with. */
static inline __attribute__((always_inline)) bool
prepare(const struct device *d, const struct disk *disk, uint8_t *memory, struct io *io)
{
    struct blk_request *r = &io->request;

    if (io->status == BLKIF_RSP_OKAY)
        io->status = blk_request_check(r, disk);
    if (io->status != BLKIF_RSP_OKAY) {
        refuse(io);
        return false;
    }
    if (!has_data(io))
        return true;
    if (memory) {
        copy_data(d, io, memory + r->sector * DISK_SECTOR);
        return true;
    }
    if (r->op == DISK_WRITE)
        copy_data(d, io, io->data);
    return true;
}

/* Those whose segments have come, and the others that were before. Returns the end of them. */
static __attribute__((noinline)) struct io **prepare_indirect(const struct device *d,
                                                              struct io **list, struct io **end)
{
    struct io **good = list;

    for (struct io **io = list; io < end; io++)
        if (!(*io)->request.indirect || prepare(d, d->disk, d->disk->memory, *io))
            *good++ = *io;
    copies_do(&d->backend->copies, copy_failed);
    return good;
}

static inline void go_on(struct queue *q, struct device *d, const uint8_t *memory, struct io *io)
{
    if (memory && has_data(io)) {
        count(&d->statistics, io);
        answer(q, io);
        return;
    }
    if (io->status != BLKIF_RSP_OKAY) { /* the data of a write were not to be had */
        refuse(io);
        return;
    }
    running_begin(io);
    submit(io);
}

/* How they came. Disks that are memory have answered all before, others answer one by one, as they can. */
static void found(struct queue *q, unsigned int nr)
{
    if (q->asked <= 1)
        port_found(&q->port, nr);
    if (q->asked && q->device->disk->memory)
        pace_found(&q->pace, nr, plat_now());
    q->asked = 0;
}

/* There is no memory, and the reserve is in use: until it is free, or somebody else has freed some. */
static void starve(struct queue *q)
{
    q->stalled = true;
    plat_timer_set(q->device->backend->loop, &q->late, plat_now() + STARVED_NS);
}

/* Returns how many were taken; -EPROTO. */
static int begin(struct queue *q)
{
    struct device *d = q->device;
    struct copies *c = &d->backend->copies;
    uint8_t *memory = d->disk->memory;
    struct io *list[BUDGET], **end = list;
    int there = ring_back_look(&q->ring), most = budget(d), n = there < most ? there : most;
    bool indirect = false;

    if (n > 0)
        found(q, (unsigned int)n);
    for (int i = 0; i < n; i++) {
        struct io *io;

        if (memory == NULL && !data_ready(d->backend)) {
            starve(q);
            n = i;
            break;
        }
        io = take(q);
        if (memory == NULL && io->status == BLKIF_RSP_OKAY && has_data(io))
            data_provide(io);
        *end = io;
        if (io->status == BLKIF_RSP_OKAY && io->request.indirect) {
            copy_indirect(d, io);
            indirect = true;
            end++;
        } else if (prepare(d, d->disk, memory, io)) {
            end++;
        }
    }
    copies_do(c, copy_failed);
    if (indirect)
        end = prepare_indirect(d, list, end);
    for (struct io **io = list; io < end; io++)
        go_on(q, d, memory, *io);
    return n;
}

static void broken(struct queue *q)
{
    q->broken = true;
    xenbus_fail(q->device->bus, "the indices of its ring are impossible");
}

/* Another turn, or an event when there are so many more. */
static void rest_for(struct queue *q, unsigned int nr)
{
    int there = ring_back_rest(&q->ring, nr);

    if (there < 0) {
        broken(q);
        return;
    }
    if ((unsigned int)there >= nr) {
        queue_wake(q);
        return;
    }
    q->asked = nr;
    if (nr > 1)
        plat_timer_set(q->device->backend->loop, &q->late, pace_until(&q->pace));
    port_ready(&q->port);
}

static void rest(struct queue *q)
{
    rest_for(q, port_takes_turns(&q->port) ? pace_wants(&q->pace) : 1);
}

void queue_late(void *arg)
{
    struct queue *q = arg;
    int there;

    if (q->stalled) {
        q->stalled = false;
        queue_wake(q);
        return;
    }
    if (q->asked <= 1 || q->device->leaving)
        return;
    q->asked = 1;
    there = ring_back_look(&q->ring);
    if (there > 0) {
        pace_late(&q->pace);
        queue_wake(q);
        return;
    }
    port_found(&q->port,
               q->pace.nr); /* it has nothing to ask for: later there may be as many again */
    rest_for(q, 1);
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
