/*
 * A guest with our block frontend: its first disk is written, all of it, and read again; what makes no sense is
 * refused; and it is the same whatever serves it. A disk that is read-only has to hold what one of these has left.
 * Kernel command line: seconds=N, so long that is repeated; stay: until the disk is taken away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/verdict.h>

#include "blkfront.h"
#include "store_ring.h"

enum { CHUNK = BLKFRONT_MAX_BYTES / 512, RUNNING = 40, WAIT_S = 60, WRITTEN = 99 };

static struct plat_loop *loop;
static struct blkfront_disk *disk;
static struct job {
    struct blkfront_request request;
    uint8_t data[BLKFRONT_MAX_BYTES];
} * jobs;
static enum blkfront_op op;
static uint64_t next_sector, errors, wrong;
static unsigned int running, seed;
static uint64_t end_ns;
static bool stays;
static enum { WRITE, READ, FLUSH, DISCARD, LAST_WRITE, LAST_READ, LAST_FLUSH } phase;

static uint8_t byte_at(uint64_t at) { return (uint8_t)(at * 13 + at / 512 + seed); }

static void fill(struct job *j)
{
    for (uint64_t i = 0; i < j->request.nr_sectors * 512; i++)
        j->data[i] = byte_at(j->request.sector * 512 + i);
}

static void verify(struct job *j)
{
    for (uint64_t i = 0; i < j->request.nr_sectors * 512; i++)
        wrong += j->data[i] != byte_at(j->request.sector * 512 + i);
}

static void next_phase(void);

/* One job goes on with the next part of the disk, of changing length. */
static void go_on(struct job *j)
{
    uint64_t left = disk->nr_sectors - next_sector, n = 1 + next_sector * 7 % CHUNK;

    if (left == 0)
        return;
    n = n < left ? n : left;
    j->request.op = op;
    j->request.sector = next_sector;
    j->request.nr_sectors = n;
    next_sector += n;
    if (op == BLKFRONT_WRITE)
        fill(j);
    else
        memset(j->data, 0, sizeof(j->data));
    running++;
    blkfront_submit(disk, &j->request);
}

static void on_done(struct blkfront_request *r, int error)
{
    struct job *j = (struct job *)r;

    running--;
    errors += error != 0;
    if (error == 0 && op == BLKFRONT_READ)
        verify(j);
    go_on(j);
    if (running == 0)
        next_phase();
}

static void all_of_it(enum blkfront_op what)
{
    op = what;
    next_sector = 0;
    running = 1; /* not the end before all have begun */
    for (int i = 0; i < RUNNING; i++) {
        jobs[i].request.data = jobs[i].data;
        jobs[i].request.done = on_done;
        go_on(&jobs[i]);
    }
    if (--running == 0)
        next_phase();
}

static int said;
static void on_refused(struct blkfront_request *r, int error)
{
    (void)r;
    said = error;
}

static int refused(enum blkfront_op what, uint64_t sector, uint64_t nr)
{
    struct blkfront_request r = {
        .op = what, .sector = sector, .nr_sectors = nr, .data = jobs[0].data, .done = on_refused
    };

    said = -1;
    blkfront_submit(disk, &r);
    return said;
}

/* A request without data, if the backend has said that it knows it. */
static void on_one(struct blkfront_request *r, int error)
{
    printf("%s: error %d\n", r->op == BLKFRONT_FLUSH ? "flush" : "discard", error);
    CHECK_EQ(error, 0);
    next_phase();
}

static void one(enum blkfront_op what, bool known)
{
    static struct blkfront_request r;

    r = (struct blkfront_request){ .op = what,
                                   .nr_sectors = what == BLKFRONT_DISCARD ? disk->nr_sectors : 0,
                                   .done = on_one };
    if (known) {
        blkfront_submit(disk, &r);
        return;
    }
    CHECK_EQ(refused(what, 0, 1), EOPNOTSUPP);
    next_phase();
}

/* As cksum(1) has it, of what the disk should hold: others read it. */
static void print_sum(void)
{
    uint64_t bytes = disk->nr_sectors * 512, left = bytes;
    uint32_t sum = 0;

    for (uint64_t at = 0; at < bytes || left; at++) {
        uint8_t byte = at < bytes ? byte_at(at) : (uint8_t)left;

        left = at < bytes ? left : left >> 8;
        sum ^= (uint32_t)byte << 24;
        for (int bit = 0; bit < 8; bit++)
            sum = sum << 1 ^ (sum >> 31 ? 0x04c11db7u : 0);
    }
    printf("cksum: %u %llu\n", ~sum, (unsigned long long)bytes);
}

static void last_phase(void)
{
    if (plat_now() < end_ns) {
        phase = LAST_WRITE;
        seed++;
        all_of_it(BLKFRONT_WRITE);
        return;
    }
    print_sum();
    CHECK_EQ(refused(BLKFRONT_READ, disk->nr_sectors, 1), EINVAL);
    CHECK_EQ(refused(BLKFRONT_READ, UINT64_MAX, 1), EINVAL);
    CHECK_EQ(refused(BLKFRONT_READ, 0, 0), EINVAL);
    CHECK_EQ(refused(BLKFRONT_READ, 0, CHUNK + 1), EINVAL);
    if (disk->read_only)
        CHECK_EQ(refused(BLKFRONT_WRITE, 0, 1), EROFS);
    printf("all is done\n");
    if (!stays)
        plat_loop_stop(loop);
}

static void next_phase(void)
{
    CHECK_EQ(errors, 0);
    CHECK_EQ(wrong, 0);
    printf("phase %d: %llu sectors\n", (int)phase, (unsigned long long)next_sector);
    switch (++phase) {
    case FLUSH:
    case LAST_FLUSH: one(BLKFRONT_FLUSH, disk->flush); break;
    case DISCARD: one(BLKFRONT_DISCARD, disk->discard); break;
    case READ:
    case LAST_READ: all_of_it(BLKFRONT_READ); break;
    case LAST_WRITE:
        seed = WRITTEN;
        all_of_it(BLKFRONT_WRITE);
        break;
    default: last_phase();
    }
}

static void ready(void *arg, struct blkfront_disk *d)
{
    (void)arg;
    if (disk)
        return;
    disk = d;
    printf("disk %u has %llu sectors of %u bytes,%s%s%s\n", d->id,
           (unsigned long long)d->nr_sectors, d->sector_bytes, d->read_only ? " read-only" : "",
           d->flush ? " flush" : "", d->discard ? " discard" : "");
    if (d->read_only) {
        phase = LAST_FLUSH;
        seed = WRITTEN;
        all_of_it(BLKFRONT_READ);
    } else {
        all_of_it(BLKFRONT_WRITE);
    }
}

static void gone(void *arg, struct blkfront_disk *d)
{
    (void)arg;
    if (d != disk)
        return;
    if (!stays || phase <= LAST_FLUSH)
        verdict_failure("the disk is gone");
    plat_loop_stop(loop);
}

static void too_late(void *arg)
{
    (void)arg;
    verdict_failure("%s", disk ? "it takes too long" : "there is no disk");
}

int main(int argc, char **argv)
{
    static const struct blkfront_user user = { .ready = ready, .gone = gone };
    struct plat_timer timer = { .fn = too_late };
    unsigned int seconds = 0;

    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "seconds=%u", &seconds) != 1)
            stays |= strcmp(argv[i], "stay") == 0;
    end_ns = plat_now() + seconds * 1000000000ull;
    if (store_ring_start())
        verdict_skip("no store: %s", strerror(errno));
    loop = plat_loop_new();
    jobs = calloc(RUNNING, sizeof(*jobs));
    if (loop == NULL || jobs == NULL || blkfront_start(loop, &user) == NULL)
        verdict_error("it does not start: %s", strerror(errno));
    plat_timer_set(loop, &timer, end_ns + WAIT_S * 1000000000ull);
    plat_loop_run(loop);
    return verdict();
}
