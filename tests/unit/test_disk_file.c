/* Disks that are files (backends/block/disk_file.c), for the block backend as a Linux program. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"
#include "disk_file.h"

enum { SECTORS = 6000, BYTES = SECTORS * 512 };

static struct plat_loop *loop;
static char path[] = "/tmp/test_disk_file.XXXXXX";
static int fd;
static struct disk *disk;

static void make_file(off_t bytes)
{
    platform_reset();
    loop = plat_loop_new();
    strcpy(path + strlen(path) - 6, "XXXXXX");
    fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, bytes) == 0);
}

static void begin(bool read_only)
{
    make_file(BYTES);
    disk = disk_file_open(loop, path, read_only);
    CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
}

static void end(void)
{
    if (disk)
        disk->ops->close(disk);
    disk = NULL;
    plat_loop_free(loop);
    close(fd);
    unlink(path);
}

/* ---- requests, any number of them at once ---- */

struct ask {
    struct disk_request request;
    struct disk_segment segment;
    int error; /* -1: it was not answered */
};
static struct ask asks[SECTORS];
static unsigned int nr_wait;

static void on_done(struct disk_request *r, int error)
{
    struct ask *a = (struct ask *)r;

    CU_ASSERT_EQUAL(a->error, -1);
    a->error = error;
    if (--nr_wait == 0)
        plat_loop_stop(loop);
}

static void submit(struct ask *a, enum disk_op op, uint64_t sector, void *data, uint32_t bytes)
{
    *a = (struct ask){ .segment = { data, bytes }, .error = -1 };
    a->request = (struct disk_request){ .op = op,
                                        .sector = sector,
                                        .nr_sectors = bytes / 512,
                                        .segments = &a->segment,
                                        .nr_segments = 1,
                                        .done = on_done };
    nr_wait++;
    disk_submit(disk, &a->request);
}

static int wait_all(void)
{
    if (nr_wait)
        CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
    CU_ASSERT_EQUAL(nr_wait, 0);
    return asks[0].error;
}

static int do_one(enum disk_op op, uint64_t sector, void *data, uint32_t bytes)
{
    submit(&asks[0], op, sector, data, bytes);
    return wait_all();
}

static void test_data_come_and_go(void)
{
    static _Alignas(4096) uint8_t data[65536], back[65536];

    begin(false);
    CU_ASSERT_TRUE(disk->nr_sectors == SECTORS && disk->sector_bytes == 512 && disk->flush &&
                   disk->discard && !disk->read_only);
    for (unsigned int i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 512);
    CU_ASSERT_EQUAL(do_one(DISK_WRITE, 9, data, sizeof(data)), 0);
    CU_ASSERT_EQUAL(pread(fd, back, sizeof(back), 9 * 512), sizeof(back));
    CU_ASSERT_EQUAL(memcmp(data, back, sizeof(data)), 0);
    memset(back, 0, sizeof(back));
    CU_ASSERT_EQUAL(do_one(DISK_READ, 9, back, sizeof(back)), 0);
    CU_ASSERT_EQUAL(memcmp(data, back, sizeof(data)), 0);
    CU_ASSERT_EQUAL(do_one(DISK_FLUSH, 0, NULL, 0), 0);
    CU_ASSERT_EQUAL(do_one(DISK_DISCARD, 8, data, 8 * 512), 0);
    CU_ASSERT_EQUAL(do_one(DISK_READ, 8, back, 16 * 512), 0);
    for (unsigned int i = 0; i < 8 * 512; i++)
        CU_ASSERT_EQUAL_FATAL(back[i], 0);
    CU_ASSERT_EQUAL(memcmp(back + 8 * 512, data + 7 * 512, 8 * 512), 0);
    end();
}

/* As many as nobody has room for elsewhere; half the file is gone meanwhile: each is told of its own. */
static void test_each_request_has_its_own_error(void)
{
    static uint8_t data[SECTORS][512] __attribute__((aligned(512)));

    begin(false);
    CU_ASSERT_EQUAL_FATAL(ftruncate(fd, BYTES / 2), 0);
    for (unsigned int i = 0; i < SECTORS; i++)
        submit(&asks[i], DISK_READ, (i * 7919UL) % SECTORS, data[i], 512);
    wait_all();
    for (unsigned int i = 0; i < SECTORS; i++)
        CU_ASSERT_EQUAL(asks[i].error, asks[i].request.sector < SECTORS / 2 ? 0 : EIO);
    end();
}

/* Whoever is told may ask again, or close the disk with the last. */
static void close_it(struct disk_request *r, int error)
{
    CU_ASSERT_EQUAL(error, 0);
    disk->ops->close(disk);
    disk = NULL;
    plat_loop_stop(loop);
}

static void test_it_is_closed_by_its_last_request(void)
{
    begin(false);
    submit(&asks[0], DISK_FLUSH, 0, NULL, 0);
    asks[0].request.done = close_it;
    nr_wait = 0;
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
    CU_ASSERT_PTR_NULL(disk);
    end();
}

static void test_one_to_be_read_only(void)
{
    static uint8_t data[512] __attribute__((aligned(512)));

    begin(true);
    CU_ASSERT_TRUE(disk->read_only && !disk->discard);
    CU_ASSERT_EQUAL(do_one(DISK_READ, 0, data, 512), 0);
    CU_ASSERT_EQUAL(do_one(DISK_WRITE, 0, data, 512), EROFS);
    CU_ASSERT_EQUAL(do_one(DISK_DISCARD, 0, data, 512), EROFS);
    CU_ASSERT_EQUAL(do_one(DISK_READ, SECTORS, data, 512), EINVAL);
    end();
}

static void refused(const char *name, int error)
{
    errno = 0;
    CU_ASSERT_PTR_NULL(disk_file_open(loop, name, false));
    CU_ASSERT_EQUAL(errno, error);
}

static void test_what_is_no_disk(void)
{
    make_file(BYTES + 100);
    refused(path, EINVAL);
    CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
    refused(path, EINVAL);
    refused("/dev/null", EINVAL);
    refused("/tmp", EISDIR);
    refused("/tmp/test_disk_file.none", ENOENT);
    refused(path + 1, ENOENT); /* no path, but a name: not of the folder that this runs in */
    CU_ASSERT_EQUAL(ftruncate(fd, BYTES), 0);
    fake_fail_at(1); /* its thread */
    refused(path, ENOMEM);
    fake_fail_at(0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("disk_file", NULL, NULL);
    CU_add_test(s, "data come and go", test_data_come_and_go);
    CU_add_test(s, "each its own error", test_each_request_has_its_own_error);
    CU_add_test(s, "closed by its last", test_it_is_closed_by_its_last_request);
    CU_add_test(s, "read-only", test_one_to_be_read_only);
    CU_add_test(s, "no disk", test_what_is_no_disk);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
