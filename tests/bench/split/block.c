/*
 * Reads and writes of a disk without the guest's page cache, 1 to 32 requests on their way: through a ring (io_uring)
 * with buffers that the kernel has been told of before, and through the older asynchronous calls (libaio's), which look
 * each page of a buffer up for each request.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../plugin/mark.h"
#include "split.h"

enum { MAX_DEPTH = 64, DATA_BYTES = 8 * MIB };

struct block_row {
    const char *name, *unit;
    bool write, random, aio;
    unsigned int units, depth;
    uint32_t bytes; /* of one request, which is a unit */
};

static const struct block_row block_rows[] = {
    { "random read, 4 KiB", "request", false, true, false, 8192, 32, 4096 },
    { "random write, 4 KiB", "request", true, true, false, 8192, 32, 4096 },
    { "random read, 4 KiB, one at a time", "request", false, true, false, 2048, 1, 4096 },
    { "random write, 4 KiB, one at a time", "request", true, true, false, 2048, 1, 4096 },
    { "sequential read", "MiB", false, false, false, 128, 4, MIB },
    { "sequential write", "MiB", true, false, false, 128, 4, MIB },
    { "random read, 4 KiB, libaio", "request", false, true, true, 8192, 32, 4096 },
    { "random write, 4 KiB, libaio", "request", true, true, true, 8192, 32, 4096 },
    { "sequential read, libaio", "MiB", false, false, true, 128, 4, MIB },
    { "sequential write, libaio", "MiB", true, false, true, 128, 4, MIB },
};

struct request {
    uint64_t place, bytes;
    uint8_t *data;
};

struct completion {
    unsigned int slot;
    int64_t result;
};

struct disk {
    int fd;
    uint64_t bytes;
    uint8_t *data; /* of request n at n * its bytes */
    struct request requests[MAX_DEPTH];
    unsigned int nr_new, new_slots[MAX_DEPTH]; /* that are to be begun */

    aio_context_t context;

    int ring;
    uint8_t *sq, *cq;
    struct io_uring_params params;
    struct io_uring_sqe *sqes;
};

static uint64_t random_next(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/* With the number of the place in the first bytes of each page written, so that what is read can be looked at. */
static void request_new(struct disk *d, const struct block_row *row, unsigned int slot,
                        uint64_t number)
{
    uint64_t places = d->bytes / row->bytes;
    struct request *r = &d->requests[slot];

    *r = (struct request){ .place = (row->random ? random_next() : number) % places * row->bytes,
                           .bytes = row->bytes,
                           .data = d->data + (size_t)slot * row->bytes };
    for (uint32_t at = 0; row->write && at < row->bytes; at += 4096) {
        uint64_t page = (r->place + at) / 4096;

        memcpy(r->data + at, &page, sizeof(page));
    }
    d->new_slots[d->nr_new++] = slot;
}

static void request_check(const struct disk *d, const struct block_row *row,
                          const struct completion *c)
{
    const struct request *r = &d->requests[c->slot];

    must(c->result == (int64_t)r->bytes, "a request is not done");
    for (uint32_t at = 0; !row->write && at < row->bytes; at += 4096) {
        uint64_t page;

        memcpy(&page, r->data + at, sizeof(page));
        must(page == (r->place + at) / 4096, "something else was read");
    }
}

/* ---- the older calls ---- */

static unsigned int aio_go(struct disk *d, const struct block_row *row, struct completion *done)
{
    static struct iocb cbs[MAX_DEPTH];
    struct iocb *new[MAX_DEPTH];
    struct io_event events[MAX_DEPTH];
    long got;

    for (unsigned int i = 0; i < d->nr_new; i++) {
        const struct request *r = &d->requests[d->new_slots[i]];

        new[i] = &cbs[d->new_slots[i]];
        *new[i] = (struct iocb){ .aio_data = d->new_slots[i],
                                 .aio_lio_opcode = row->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                                 .aio_fildes = (uint32_t)d->fd,
                                 .aio_buf = (uintptr_t)r->data,
                                 .aio_nbytes = r->bytes,
                                 .aio_offset = (int64_t)r->place };
    }
    must(d->nr_new == 0 ||
             syscall(SYS_io_submit, d->context, (long)d->nr_new, new) == (long)d->nr_new,
         "io_submit");
    got = syscall(SYS_io_getevents, d->context, 1L, (long)MAX_DEPTH, events, NULL);
    must(got > 0, "io_getevents");
    for (long i = 0; i < got; i++)
        done[i] = (struct completion){ (unsigned int)events[i].data, events[i].res };
    return (unsigned int)got;
}

/* ---- the ring ---- */

static void ring_setup(struct disk *d)
{
    struct iovec all = { d->data, DATA_BYTES };

    d->params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    d->ring = (int)syscall(SYS_io_uring_setup, MAX_DEPTH, &d->params);
    must(d->ring >= 0, "io_uring_setup");
    d->sq = mmap(NULL, d->params.sq_off.array + d->params.sq_entries * sizeof(uint32_t),
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, d->ring, IORING_OFF_SQ_RING);
    d->cq = mmap(NULL, d->params.cq_off.cqes + d->params.cq_entries * sizeof(struct io_uring_cqe),
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, d->ring, IORING_OFF_CQ_RING);
    d->sqes = mmap(NULL, d->params.sq_entries * sizeof(*d->sqes), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, d->ring, IORING_OFF_SQES);
    must(d->sq != MAP_FAILED && d->cq != MAP_FAILED && d->sqes != MAP_FAILED, "the ring");
    must(syscall(SYS_io_uring_register, d->ring, IORING_REGISTER_BUFFERS, &all, 1) == 0 &&
             syscall(SYS_io_uring_register, d->ring, IORING_REGISTER_FILES, &d->fd, 1) == 0,
         "io_uring_register");
}

static uint32_t *sq_at(struct disk *d, uint32_t offset) { return (uint32_t *)(d->sq + offset); }
static uint32_t *cq_at(struct disk *d, uint32_t offset) { return (uint32_t *)(d->cq + offset); }

static unsigned int ring_go(struct disk *d, const struct block_row *row, struct completion *done)
{
    const struct io_uring_cqe *cqes = (const void *)(d->cq + d->params.cq_off.cqes);
    uint32_t mask = *sq_at(d, d->params.sq_off.ring_mask),
             *array = sq_at(d, d->params.sq_off.array);
    uint32_t tail = *sq_at(d, d->params.sq_off.tail), *head = cq_at(d, d->params.cq_off.head);
    unsigned int nr = 0;

    for (unsigned int i = 0; i < d->nr_new; i++, tail++) {
        const struct request *r = &d->requests[d->new_slots[i]];

        d->sqes[tail & mask] = (struct io_uring_sqe){ .opcode = row->write ? IORING_OP_WRITE_FIXED
                                                                           : IORING_OP_READ_FIXED,
                                                      .flags = IOSQE_FIXED_FILE,
                                                      .off = r->place,
                                                      .addr = (uintptr_t)r->data,
                                                      .len = (uint32_t)r->bytes,
                                                      .user_data = d->new_slots[i] };
        array[tail & mask] = tail & mask;
    }
    __atomic_store_n(sq_at(d, d->params.sq_off.tail), tail, __ATOMIC_RELEASE);
    must(syscall(SYS_io_uring_enter, d->ring, d->nr_new, 1, IORING_ENTER_GETEVENTS, NULL, 0) ==
             (long)d->nr_new,
         "io_uring_enter");
    for (uint32_t end = __atomic_load_n(cq_at(d, d->params.cq_off.tail), __ATOMIC_ACQUIRE);
         *head + nr != end; nr++) {
        const struct io_uring_cqe *c = &cqes[(*head + nr) & *cq_at(d, d->params.cq_off.ring_mask)];

        done[nr] = (struct completion){ (unsigned int)c->user_data, c->res };
    }
    __atomic_store_n(head, *head + nr, __ATOMIC_RELEASE);
    return nr;
}

/* ---- both ---- */

static void block_run(struct disk *d, const struct block_row *row, unsigned int units)
{
    struct completion done[2 * MAX_DEPTH];
    unsigned int begun = 0, ended = 0;

    d->nr_new = 0;
    while (begun < row->depth && begun < units) {
        request_new(d, row, begun, begun);
        begun++;
    }
    while (ended < units) {
        unsigned int got = row->aio ? aio_go(d, row, done) : ring_go(d, row, done);

        d->nr_new = 0;
        ended += got;
        for (unsigned int i = 0; i < got; i++) {
            request_check(d, row, &done[i]);
            if (begun < units)
                request_new(d, row, done[i].slot, begun++);
        }
    }
}

int block_all(const char *path)
{
    const struct block_row all = { .write = true, .depth = 4, .bytes = MIB };
    static struct disk d;

    d.fd = open(path, O_RDWR | O_DIRECT | O_NOATIME);
    must(d.fd >= 0 && ioctl(d.fd, BLKGETSIZE64, &d.bytes) == 0 && d.bytes >= 16 * MIB, path);
    must(posix_memalign((void **)&d.data, MIB, DATA_BYTES) == 0, "memory");
    memset(d.data, 0x5a, DATA_BYTES);
    must(syscall(SYS_io_setup, MAX_DEPTH, &d.context) == 0, "io_setup");
    ring_setup(&d);
    block_run(&d, &all,
              (unsigned int)(d.bytes / MIB)); /* a RAM disk of Linux has no memory before */
    for (size_t i = 0; i < sizeof(block_rows) / sizeof(block_rows[0]); i++) {
        const struct block_row *row = &block_rows[i];

        block_run(&d, row, row->units / WARM_UP);
        begin(row->name, row->units, row->unit);
        block_run(&d, row, row->units);
        mark_window(0);
    }
    return 0;
}
