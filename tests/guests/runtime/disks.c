/*
 * The machine's disks, by their drivers. As many as the last word of the command line says are to be found. Of each, the first half
 * is read, which the host has filled, and the second written and read back, with many requests at a time, of pieces of
 * all shapes; the host looks at what there is in the end (tests/drivers/).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include "block/disk.h"
#include "drivers/drivers.h"
#include "tests/drivers/pattern.h"

enum { MAX_DISKS = 8, NR_IOS = 48, IO_SECTORS = 512, MAX_SEGMENTS = 5, LIMIT_S = 100 };

static struct {
    char name[16];
    struct disk *disk;
} disks[MAX_DISKS];
static unsigned int nr_disks;
static struct plat_loop *loop;

static void on_found(void *arg, const char *name, struct disk *d)
{
    (void)arg;
    snprintf(disks[nr_disks].name, sizeof(disks[0].name), "%s", name);
    disks[nr_disks++].disk = d;
}

static void on_limit(void *arg)
{
    (void)arg;
    verdict_failure("not done in time");
}

/* ---- many requests over a range of sectors ---- */

struct io {
    struct disk_request request; /* the first member */
    struct disk_segment segments[MAX_SEGMENTS];
    uint8_t *memory, *data;
};

static struct run {
    struct disk *disk;
    enum disk_op op;
    uint64_t at, end, seed;
    unsigned int nr_busy, nr_errors, nr_wrong, nr_requests;
} run;
static struct io ios[NR_IOS];

static unsigned int random_below(unsigned int n)
{
    static uint64_t x = 88172645463325252;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned int)(x >> 20) % n;
}

/* Pieces one behind the other in memory, cut where chance has it, at whole sectors of the disk. */
static void shape(struct io *io, uint32_t bytes)
{
    uint32_t unit = run.disk->sector_bytes, at = 0;
    unsigned int nr = 0;

    io->data = io->memory + random_below(8) * DISK_SECTOR;
    while (at < bytes) {
        uint32_t left = (bytes - at) / unit, n = left;

        if (nr + 1 < MAX_SEGMENTS && left > 1)
            n = 1 + random_below(left);
        io->segments[nr++] = (struct disk_segment){ io->data + at, n * unit };
        at += n * unit;
    }
    io->request.nr_segments = nr;
}

/* Each with memory that begins with a page. */
static void ios_alloc(void)
{
    for (unsigned int i = 0; i < NR_IOS; i++) {
        uintptr_t at = (uintptr_t)malloc((IO_SECTORS + 16) * DISK_SECTOR);

        CHECK(at != 0);
        ios[i].memory = (uint8_t *)((at + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    }
}

static void io_next(struct io *io);

static void io_done(struct disk_request *r, int error)
{
    struct io *io = (struct io *)r;
    uint8_t want[DISK_SECTOR];

    run.nr_busy--;
    run.nr_errors += error != 0;
    for (uint64_t i = 0; run.op == DISK_READ && error == 0 && i < r->nr_sectors; i++) {
        pattern_fill(want, r->sector + i, run.seed);
        run.nr_wrong += memcmp(want, io->data + i * DISK_SECTOR, DISK_SECTOR) != 0;
    }
    io_next(io);
    if (run.nr_busy == 0)
        plat_loop_stop(loop);
}

static void io_next(struct io *io)
{
    uint32_t unit = run.disk->sector_bytes / DISK_SECTOR;
    uint64_t nr = unit + random_below((IO_SECTORS - unit) / unit) * unit;

    if (nr > run.end - run.at)
        nr = run.end - run.at;
    if (nr == 0)
        return;
    io->request = (struct disk_request){
        .op = run.op, .sector = run.at, .nr_sectors = nr, .segments = io->segments, .done = io_done
    };
    run.at += nr;
    run.nr_busy++;
    run.nr_requests++;
    shape(io, (uint32_t)nr * DISK_SECTOR);
    for (uint64_t i = 0; i < nr; i++)
        if (run.op == DISK_WRITE)
            pattern_fill(io->data + i * DISK_SECTOR, io->request.sector + i, run.seed);
        else
            memset(io->data + i * DISK_SECTOR, 0, DISK_SECTOR);
    run.disk->ops->submit(run.disk, &io->request);
}

static void run_range(struct disk *d, enum disk_op op, uint64_t first, uint64_t end, uint64_t seed)
{
    uint64_t before = plat_now();

    run = (struct run){ .disk = d, .op = op, .at = first, .end = end, .seed = seed };
    for (unsigned int i = 0; i < NR_IOS; i++)
        io_next(&ios[i]);
    if (run.nr_busy)
        CHECK_EQ(plat_loop_run(loop), 0);
    CHECK_EQ(run.nr_errors, 0);
    CHECK_EQ(run.nr_wrong, 0);
    printf("%s of %lu sectors: %u requests, %lu ms\n", op == DISK_READ ? "read" : "write",
           (unsigned long)(end - first), run.nr_requests,
           (unsigned long)((plat_now() - before) / NS_PER_MS));
}

/* ---- one request ---- */

static int single_error;

static void single_done(struct disk_request *r, int error)
{
    (void)r;
    single_error = error;
    plat_loop_stop(loop);
}

static int single(struct disk *d, enum disk_op op, uint64_t sector, uint64_t nr)
{
    struct disk_segment s = { ios[0].memory, (uint32_t)nr * DISK_SECTOR };
    struct disk_request r = { .op = op,
                              .sector = sector,
                              .nr_sectors = nr,
                              .segments = &s,
                              .nr_segments = 1,
                              .done = single_done };

    single_error = -1;
    d->ops->submit(d, &r);
    CHECK_EQ(plat_loop_run(loop), 0);
    return single_error;
}

static void test_disk(const char *name, struct disk *d)
{
    uint64_t half = d->nr_sectors / 2, end = d->nr_sectors - PATTERN_SPARE_SECTORS;

    printf("%s: %lu sectors, in units of %u bytes,%s%s\n", name, (unsigned long)d->nr_sectors,
           d->sector_bytes, d->flush ? " flush" : "", d->discard ? " discard" : "");
    run_range(d, DISK_READ, 0, half, PATTERN_HOST);
    run_range(d, DISK_WRITE, half, end, PATTERN_KERNEL);
    if (d->flush)
        CHECK_EQ(single(d, DISK_FLUSH, 0, 0), 0);
    run_range(d, DISK_READ, half, end, PATTERN_KERNEL);
    if (d->discard)
        CHECK_EQ(single(d, DISK_DISCARD, end, PATTERN_SPARE_SECTORS), 0);
    CHECK_EQ(single(d, DISK_READ, d->nr_sectors, 8),
             EIO); /* nobody has checked it: the device refuses */
    CHECK_EQ(single(d, DISK_WRITE, end, 8), 0);
}

/* ---- life and death ---- */

static void open_all(void)
{
    nr_disks = 0;
    loop = plat_loop_new();
    drivers_disks(loop, on_found, NULL);
}

static void close_all(void)
{
    for (unsigned int i = 0; i < nr_disks; i++)
        disks[i].disk->ops->close(disks[i].disk);
    plat_loop_free(loop);
}

static void reads_for_ever(void *arg)
{
    struct semaphore *busy = arg;

    open_all();
    ios_alloc();
    semaphore_up(busy);
    for (;;)
        for (unsigned int i = 0; i < nr_disks; i++)
            run_range(disks[i].disk, DISK_READ, 0, disks[i].disk->nr_sectors / 2, PATTERN_HOST);
}

/* Killed with requests in flight, at some moment. Then the disks can be had again, and no page is lost. */
static void killed(unsigned int wanted)
{
    size_t free_pages = 0;

    for (unsigned int i = 0; i < 6; i++) {
        struct semaphore busy = { 0 };
        struct plat_group *g = plat_group_start("disks", reads_for_ever, &busy);

        CHECK(g != NULL);
        semaphore_down(&busy, NO_DEADLINE);
        thread_sleep_until(clock_now() + (i * 7 + random_below(20)) * NS_PER_MS);
        plat_group_kill(g);
        plat_group_wait(g);
        plat_group_free(g);
        CHECK_EQ(nr_disks, wanted);
        if (i == 1)
            free_pages = page_nr_free();
    }
    CHECK_EQ(page_nr_free(), free_pages);
}

int main(int argc, char **argv)
{
    unsigned int wanted = (unsigned int)strtoul(argv[argc - 1], NULL, 10);
    struct plat_timer limit = { .fn = on_limit };

    printf("%u vCPUs\n", cpus_start());
    killed(wanted);
    open_all();
    CHECK_EQ(nr_disks, wanted);
    plat_timer_set(loop, &limit, plat_now() + LIMIT_S * NS_PER_S);
    ios_alloc();
    for (unsigned int i = 0; i < nr_disks; i++)
        test_disk(disks[i].name, disks[i].disk);
    plat_timer_cancel(&limit);
    close_all();
    return verdict();
}
