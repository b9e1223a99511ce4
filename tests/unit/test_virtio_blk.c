/* backends/drivers: virtio-blk on a device that is honest, and on one that is not. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "disk_load.h"
#include "drivers/virtio_blk.h"
#include "fake_virtio.h"

enum { NR_SECTORS = 20000, QUEUES = 3, HELD_MAX = 512 };
enum {
    F_SIZE_MAX = 1,
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_MQ = 12,
    F_DISCARD = 13
};

static struct fake_virtio v;
static struct plat_loop *loop;
static struct load load;
static uint8_t *model;

/* ---- the device: it takes what it is given, and does it in any order ---- */

static struct held {
    struct fake_chain chain;
    unsigned int queue;
} held[HELD_MAX];
static unsigned int nr_held, most_held, nr_flushes, nr_discarded;
static uint8_t next_status; /* of the next command that is done */
static uint32_t seg_max = 20, size_max = 4096;

static void set32(uint32_t at, uint32_t value) { memcpy(v.config + at, &value, 4); }

static void device_new(uint64_t features)
{
    uint64_t nr = NR_SECTORS;
    uint16_t queues = QUEUES;

    fake_virtio_init(&v, 2, QUEUES, 64);
    v.features |= features | 1UL << F_SEG_MAX | 1UL << F_FLUSH | 1UL << F_MQ | 1UL << F_DISCARD;
    memcpy(v.config, &nr, 8);
    set32(8, size_max);
    set32(12, seg_max);
    set32(20, 4096);
    memcpy(v.config + 34, &queues, 2);
    set32(36, 1000);
    set32(44, 16);
    nr_held = most_held = nr_flushes = nr_discarded = next_status = 0;
}

static void take_all(void)
{
    for (unsigned int q = 0; q < QUEUES; q++)
        while (nr_held < HELD_MAX && fake_virtio_pop(&v, q, &held[nr_held].chain))
            held[nr_held++].queue = q;
    if (nr_held > most_held)
        most_held = nr_held;
}

/* Of the data that the device reads, or writes, behind the header. */
static uint32_t transfer(const struct fake_chain *c, uint64_t sector, bool in)
{
    unsigned int first = in ? c->nr_out : 1, end = in ? c->nr - 1 : c->nr_out;
    uint64_t at = sector * DISK_SECTOR;

    CU_ASSERT_FATAL(end - first <= seg_max);
    for (unsigned int i = first; i < end; i++) {
        CU_ASSERT_FATAL(c->parts[i].bytes <= size_max &&
                        at + c->parts[i].bytes <= NR_SECTORS * DISK_SECTOR);
        if (in)
            memcpy(c->parts[i].data, model + at, c->parts[i].bytes);
        else
            memcpy(model + at, c->parts[i].data, c->parts[i].bytes);
        at += c->parts[i].bytes;
    }
    return (uint32_t)(at - sector * DISK_SECTOR);
}

/* Returns how much was written. */
static uint32_t serve(const struct fake_chain *c)
{
    uint32_t type, nr, bytes = 1;
    uint64_t sector;

    CU_ASSERT_FATAL(c->nr_out >= 1 && c->nr > c->nr_out && c->parts[0].bytes == 16 &&
                    c->parts[c->nr - 1].bytes == 1);
    memcpy(&type, c->parts[0].data, 4);
    memcpy(&sector, c->parts[0].data + 8, 8);
    *c->parts[c->nr - 1].data = next_status;
    if (next_status) {
        next_status = 0;
        return 1;
    }
    switch (type) {
    case 0: return bytes + transfer(c, sector, true);
    case 1: transfer(c, sector, false); break;
    case 4: nr_flushes++; break;
    case 11:
        CU_ASSERT_FATAL(c->nr_out == 2 && c->parts[1].bytes == 16);
        memcpy(&sector, c->parts[1].data, 8);
        memcpy(&nr, c->parts[1].data + 8, 4);
        CU_ASSERT(nr <= 1000);
        memset(model + sector * DISK_SECTOR, 0, nr * DISK_SECTOR);
        nr_discarded += nr;
        break;
    default: CU_FAIL("no such type");
    }
    return bytes;
}

static void stop_loop(void *arg) { plat_loop_stop(arg); }

/* What is to be done now, and in that time. */
static void settle_for(uint64_t ns)
{
    struct plat_timer t = { .fn = stop_loop, .arg = loop };

    plat_timer_set(loop, &t, plat_now() + ns);
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
}

static void settle(void) { settle_for(1); }

static void serve_one(unsigned int i)
{
    struct held h = held[i];

    held[i] = held[--nr_held];
    fake_virtio_push(&v, h.queue, h.chain.id, serve(&h.chain));
}

/* Until nothing is left to be done. */
static void serve_all(void)
{
    for (take_all(); nr_held; take_all()) {
        for (unsigned int n = nr_held / 2 + 1; n; n--)
            serve_one((unsigned int)rand() % nr_held);
        settle();
    }
}

/* ---- each test has a disk ---- */

static struct disk *disk;

static void open_disk(uint64_t features)
{
    device_new(features);
    loop = plat_loop_new();
    disk = virtio_blk_open(loop, v.pci.bdf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
    model = malloc(NR_SECTORS * DISK_SECTOR);
    for (uint32_t i = 0; i < NR_SECTORS * DISK_SECTOR; i++)
        model[i] = (uint8_t)rand();
    load_init(&load, disk, model);
}

static void close_disk(void)
{
    disk->ops->close(disk);
    CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
    CU_ASSERT_EQUAL(v.status, 0);
    load_exit(&load);
    plat_loop_free(loop);
    free(model);
}

static void all_well(unsigned int nr)
{
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_done, nr);
    CU_ASSERT_EQUAL(load.nr_errors, 0);
    CU_ASSERT_EQUAL(load.nr_wrong, 0);
}

static void mixed(unsigned int nr)
{
    unsigned int begun = 0;

    load.read_back = true;
    while (begun < nr) {
        while (load_begin(&load, rand() % 2 ? DISK_READ : DISK_WRITE))
            begun++;
        take_all();
        for (unsigned int n = 1 + (unsigned int)rand() % 20; n && nr_held; n--)
            serve_one((unsigned int)rand() % nr_held);
        settle();
    }
    serve_all();
    all_well(begun);
}

/* What was written is there: each slot's last request, if it was a write, and nobody has written there since. */
static void test_requests_of_all_shapes(void)
{
    open_disk(0);
    mixed(1200);
    CU_ASSERT(most_held > 8);
    close_disk();
}

static void test_requests_of_large_sectors(void)
{
    open_disk(1UL << F_BLK_SIZE);
    CU_ASSERT_EQUAL(disk->sector_bytes, 4096);
    mixed(500);
    close_disk();
}

static void test_segments_may_be_small(void)
{
    size_max = 1300; /* 1024, that is */
    open_disk(1UL << F_SIZE_MAX);
    mixed(250);
    close_disk();
    size_max = 4096;
}

static void test_one_segment_at_a_time(void)
{
    seg_max = 1;
    open_disk(0);
    mixed(250);
    close_disk();
    seg_max = 20;
}

static void test_what_is_written_is_read(void)
{
    open_disk(0);
    for (unsigned int i = 0; i < 40; i++)
        load_begin_at(&load, DISK_WRITE, i * 400, 400);
    serve_all();
    all_well(40);
    for (unsigned int i = 0; i < 40; i++) /* the slot's memory still has it */
        CU_ASSERT_EQUAL(memcmp(load.slots[i].data,
                               model + load.slots[i].request.sector * DISK_SECTOR,
                               400 * DISK_SECTOR),
                        0);
    close_disk();
}

static void test_flush_and_discard(void)
{
    open_disk(0);
    CU_ASSERT(disk->flush && disk->discard && !disk->read_only);
    CU_ASSERT_EQUAL(disk->discard_bytes, 16 * DISK_SECTOR);
    CU_ASSERT(load_begin_at(&load, DISK_FLUSH, 0, 0));
    CU_ASSERT(load_begin_at(&load, DISK_DISCARD, 16, 4500)); /* five commands */
    serve_all();
    all_well(2);
    CU_ASSERT_EQUAL(nr_flushes, 1);
    CU_ASSERT_EQUAL(nr_discarded, 4500);
    close_disk();
}

static void test_errors_are_told(void)
{
    static const struct {
        uint8_t status;
        int error;
    } all[] = { { 1, EIO }, { 2, EOPNOTSUPP }, { 3, EIO }, { 0xff, EIO } };

    open_disk(0);
    for (unsigned int i = 0; i < 4; i++) {
        load_begin_at(&load, DISK_READ, 0, 8);
        next_status = all[i].status;
        serve_all();
        CU_ASSERT_EQUAL(load.last_error, all[i].error);
        CU_ASSERT_EQUAL(load.nr_errors, i + 1);
    }
    load_begin_at(&load, DISK_WRITE, 0, 400); /* of its parts one fails */
    next_status = 1;
    serve_all();
    CU_ASSERT_EQUAL(load.nr_errors, 5);
    CU_ASSERT_EQUAL(load.nr_done, 5);
    load_begin_at(&load, DISK_READ, 0, 8);
    serve_all();
    CU_ASSERT_EQUAL(load.last_error, 0);
    close_disk();
}

static unsigned int nr_changed;
static void on_changed(void *arg)
{
    (void)arg;
    nr_changed++;
}

static void test_the_size_changes(void)
{
    uint64_t nr = 2 * NR_SECTORS;

    open_disk(0);
    disk->changed = on_changed;
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT_EQUAL(nr_changed, 0);
    memcpy(v.config, &nr, 8);
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT_EQUAL(nr_changed, 1);
    CU_ASSERT_EQUAL(disk->nr_sectors, nr);
    memset(v.config, 0xff, 8); /* more than there can be */
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT_EQUAL(disk->nr_sectors, nr);
    close_disk();
}

/* Sizes that make no sense change nothing, and of large sectors there are whole ones. */
static void test_it_says_nonsense_about_its_size(void)
{
    static const struct {
        uint64_t says, is;
    } sizes[] = { { NR_SECTORS + 7, NR_SECTORS },
                  { NR_SECTORS + 9, NR_SECTORS + 8 },
                  { UINT64_MAX, NR_SECTORS + 8 },
                  { (1UL << 54) + 8, NR_SECTORS + 8 },
                  { 1UL << 54, 1UL << 54 },
                  { 7, 0 },
                  { 800, 800 } };
    uint64_t before;

    open_disk(1UL << F_BLK_SIZE);
    disk->changed = on_changed;
    for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        before = disk->nr_sectors;
        nr_changed = 0;
        memcpy(v.config, &sizes[i].says, 8);
        fake_virtio_changed(&v);
        settle();
        CU_ASSERT_EQUAL(disk->nr_sectors, sizes[i].is);
        CU_ASSERT_EQUAL(nr_changed, before != sizes[i].is);
    }
    v.changes_always = true; /* it never holds still */
    memset(v.config, 0, 8);
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT_EQUAL(disk->nr_sectors, 800);
    v.changes_always = false;
    load_begin_at(&load, DISK_READ, 0, 8);
    serve_all();
    CU_ASSERT_EQUAL(load.last_error, 0);
    close_disk();
}

/* It says that all is well, and has written less: what lay there before is nobody's to see. */
static void test_a_read_that_is_short(void)
{
    static const uint32_t less[] = { 0, 1, 512, 8 * DISK_SECTOR - 1 };

    open_disk(0);
    for (unsigned int i = 0; i < 4; i++) {
        load_begin_at(&load, DISK_READ, 0, 8);
        take_all();
        *held[0].chain.parts[held[0].chain.nr - 1].data = 0;
        fake_virtio_push(&v, held[0].queue, held[0].chain.id, less[i]);
        nr_held = 0;
        settle();
        CU_ASSERT_EQUAL(load.nr_errors, i + 1);
        CU_ASSERT_EQUAL(load.last_error, EIO);
    }
    load_begin_at(&load, DISK_READ, 0, 8); /* the others go on */
    serve_all();
    CU_ASSERT_EQUAL(load.last_error, 0);
    close_disk();
}

/* ---- a device that does not end its commands ---- */

#define S 1000000000UL

static void test_overdue_commands_reset_the_device(void)
{
    unsigned int nr_resets;

    open_disk(0);
    nr_resets = v.nr_resets;
    mixed(60);
    load.nr_done = 0;
    while (load_begin_at(&load, DISK_READ, 0, 400)) /* more than it takes at once */
        ;
    settle_for(29 * S);
    CU_ASSERT_EQUAL(load.nr_busy, LOAD_SLOTS);
    settle_for(7 * S);
    CU_ASSERT_TRUE(v.nr_resets > nr_resets);
    nr_held = 0;
    serve_all(); /* those that it had have begun again */
    all_well(LOAD_SLOTS);
    load_begin_at(&load, DISK_READ, 0, 400); /* once */
    settle_for(72 * S);
    nr_held = 0;
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_errors, 1);
    CU_ASSERT_EQUAL(load.last_error, EIO);
    serve_all();
    load.nr_errors = 0;
    load.nr_done = 0;
    mixed(60);
    fake_virtio_changed(&v); /* this is told as ever */
    settle();
    close_disk();
}

/* One is too slow, others were begun, some of them done in part: nobody but the one sees anything of a reset. */
static void test_a_slow_discard_fails_alone(void)
{
    unsigned int nr;

    open_disk(0);
    load.read_back = true;
    load_begin_at(&load, DISK_DISCARD, 0, 8);
    take_all(); /* held[0], which nobody serves */
    load_begin_at(&load, DISK_FLUSH, 0, 0);
    for (nr = 2; load_begin_at(&load, nr % 2 ? DISK_WRITE : DISK_READ, nr * 400, 400); nr++)
        ;
    take_all();
    for (unsigned int i = 0; i < 20; i++) {
        serve_one(nr_held - 1 - (unsigned int)rand() % 4);
        settle();
        take_all();
    }
    CU_ASSERT(load.nr_busy > 0);
    settle_for(36 * S);
    CU_ASSERT_EQUAL(load.nr_errors, 1);
    CU_ASSERT_EQUAL(load.last_error, EIO);
    CU_ASSERT(!load.slots[0].busy);
    load.nr_errors = nr_held = 0; /* what it had before it has no more */
    serve_all();
    all_well(nr);
    CU_ASSERT_EQUAL(nr_discarded, 0);
    for (unsigned int i = 2; i < nr; i++)
        CU_ASSERT_EQUAL(memcmp(load.slots[i].data, model + i * 400 * DISK_SECTOR,
                               400 * DISK_SECTOR),
                        0);
    close_disk();
}

static void dead(void)
{
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.last_error, EIO);
    CU_ASSERT(!v.pci.master);
    load_begin_at(&load, DISK_WRITE, 0, 8);
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    v.never_resets = v.refuses_features = false;
    v.status = 0;
    close_disk();
}

static void test_a_device_that_is_overdue_again_and_again(void)
{
    open_disk(0);
    for (unsigned int i = 1; i <= 5; i++) {
        load_begin_at(&load, DISK_DISCARD, 0, 8); /* which does not begin again */
        settle_for(36 * S);
        CU_ASSERT_EQUAL(load.nr_errors, i);
        CU_ASSERT(v.pci.master);
    }
    while (load_begin_at(&load, DISK_READ, 0, 400))
        ;
    settle_for(36 * S);
    CU_ASSERT_EQUAL(load.nr_errors, 5 + LOAD_SLOTS);
    dead();
}

static void test_a_device_that_does_not_come_back(void)
{
    for (unsigned int how = 0; how < 4; how++) {
        open_disk(0);
        while (load_begin_at(&load, DISK_READ, 0, 400))
            ;
        switch (how) {
        case 0: v.never_resets = true; break;
        case 1: v.refuses_features = true; break;
        case 2: v.features &= ~(1UL << F_FLUSH); break; /* it is another one */
        case 3: v.queues[1].size = 16; break;           /* than it was */
        }
        settle_for(36 * S);
        CU_ASSERT_EQUAL(load.nr_errors, LOAD_SLOTS);
        dead();
    }
}

/* ---- a device that lies: it is stopped, and all are told ---- */

enum lie { RUNS_AHEAD, BEYOND_THE_RING, NOT_GIVEN, NOT_THE_FIRST, TWICE, TOO_MUCH, NR_LIES };

static void tell(enum lie lie)
{
    const struct held *h = &held[0];

    switch (lie) {
    case RUNS_AHEAD: fake_virtio_run_ahead(&v, h->queue, 40); break;
    case BEYOND_THE_RING: fake_virtio_push(&v, h->queue, 0x7ffffff0, 0); break;
    case NOT_GIVEN: fake_virtio_push(&v, h->queue, 63, 0); break;
    case NOT_THE_FIRST: fake_virtio_push(&v, h->queue, h->chain.id + 1u, 0); break;
    case TWICE:
        fake_virtio_push(&v, h->queue, h->chain.id, serve(&h->chain));
        fake_virtio_push(&v, h->queue, h->chain.id, 1);
        break;
    case TOO_MUCH: fake_virtio_push(&v, h->queue, h->chain.id, 9 * DISK_SECTOR + 2); break;
    case NR_LIES: break;
    }
}

static void test_a_lie_ends_it(void)
{
    for (enum lie lie = 0; lie < NR_LIES; lie++) {
        open_disk(0);
        for (unsigned int i = 0; i < 6; i++)
            load_begin_at(&load, DISK_READ, i * 9, 9);
        take_all();
        tell(lie);
        settle();
        CU_ASSERT_EQUAL(load.nr_busy, 0);
        CU_ASSERT_EQUAL(load.nr_errors, lie == TWICE ? 5 : 6);
        CU_ASSERT_EQUAL(load.last_error, EIO);
        CU_ASSERT_EQUAL(v.status, 0);
        CU_ASSERT(!v.pci.master);
        load_begin_at(&load, DISK_READ, 0, 8); /* from now on at once */
        CU_ASSERT_EQUAL(load.nr_busy, 0);
        CU_ASSERT_EQUAL(load.last_error, EIO);
        close_disk();
    }
}

static void test_requests_that_wait_end_as_well(void)
{
    open_disk(0);
    while (load_begin_at(&load, DISK_WRITE, 0, 400))
        ;
    take_all();
    fake_virtio_push(&v, 0, 1000, 0);
    settle();
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_errors, LOAD_SLOTS);
    close_disk();
}

/* ---- devices that are not taken ---- */

static void refused(int error)
{
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_PTR_NULL(virtio_blk_open(loop, v.pci.bdf));
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
    plat_loop_free(loop);
}

#define REFUSED(error, ...) \
    do {                    \
        device_new(0);      \
        __VA_ARGS__;        \
        refused(error);     \
    } while (0)

static void test_devices_that_are_not_taken(void)
{
    REFUSED(ENOTSUP, v.features &= 0xffffffff);
    REFUSED(ENOTSUP, v.refuses_features = true);
    REFUSED(EIO, v.never_resets = true);
    REFUSED(EIO, v.changes_always = true);
    REFUSED(ENOTSUP, v.pci.has_msix = false);
    REFUSED(ENOTSUP, v.pci.nr_messages = 1);
    REFUSED(EIO, v.queues[1].size = 0);
    REFUSED(EIO, v.queues[1].size = 2);
    REFUSED(EIO, v.nr_queues = 0);
    REFUSED(ENODEV, v.pci.config[0x34] = 0);
    REFUSED(ENODEV, v.pci.config[0x41] = 0x40;
            v.pci.config[0x43] = 9); /* one that none knows, round and round */
    REFUSED(EINVAL, set32(12, 0));
    REFUSED(ENOTSUP, memset(v.config, 0xff, 8));
    REFUSED(ENOTSUP, v.features |= 1UL << F_BLK_SIZE; set32(20, 1024));
    REFUSED(EINVAL, v.features |= 1UL << F_SIZE_MAX; set32(8, 511));
    REFUSED(ENOTSUP, v.pci.bar_bytes[4] = 0);
    REFUSED(EINVAL, v.pci.bar_bytes[4] = 0x3800); /* the part for notifications ends behind it */
}

static void test_a_lack_of_memory(void)
{
    unsigned int n = 0;
    bool failed = true;

    while (failed) {
        device_new(0);
        loop = plat_loop_new();
        fake_pci_fail_at(++n);
        disk = virtio_blk_open(loop, v.pci.bdf);
        failed = fake_pci_fail_at(0);
        CU_ASSERT_EQUAL(disk == NULL, failed);
        if (disk)
            disk->ops->close(disk);
        CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
        plat_loop_free(loop);
    }
    CU_ASSERT(n > 15);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "requests of all shapes", test_requests_of_all_shapes },
        { "sectors of 4096 bytes", test_requests_of_large_sectors },
        { "segments may be small", test_segments_may_be_small },
        { "one segment at a time", test_one_segment_at_a_time },
        { "what is written is read", test_what_is_written_is_read },
        { "flush and discard", test_flush_and_discard },
        { "errors are told", test_errors_are_told },
        { "the size changes", test_the_size_changes },
        { "nonsense about its size", test_it_says_nonsense_about_its_size },
        { "a read that is short", test_a_read_that_is_short },
        { "overdue commands reset the device", test_overdue_commands_reset_the_device },
        { "a slow discard fails alone", test_a_slow_discard_fails_alone },
        { "overdue again and again", test_a_device_that_is_overdue_again_and_again },
        { "a device that does not come back", test_a_device_that_does_not_come_back },
        { "a lie ends it", test_a_lie_ends_it },
        { "requests that wait end as well", test_requests_that_wait_end_as_well },
        { "devices that are not taken", test_devices_that_are_not_taken },
        { "a lack of memory", test_a_lack_of_memory },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "virtio-blk", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
