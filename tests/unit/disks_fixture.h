/* A RAM disk in a registry of disks (backends/block/disks.h), for its tests: one program's, in one file each. */
#pragma once
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"
#include "disk_ram.h"
#include "disks.h"

enum { BYTES = 4 << 20, SECTORS = BYTES / 512 };

static struct plat_loop *loop;
static struct disks *all;
static struct disk *ram;

static inline void begin(void)
{
    platform_reset();
    loop = plat_loop_new();
    all = disks_new(loop);
    ram = disk_ram_open("ram0", BYTES, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ram);
}

static inline void end(void)
{
    disks_free(all);
    plat_loop_free(loop);
}

/* An image with a table by the system's own tool. */
static inline void sfdisk(const char *script)
{
    char path[] = "/tmp/test_disks.XXXXXX", command[1000];
    int fd = mkstemp(path);

    CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, BYTES) == 0);
    snprintf(command, sizeof(command),
             "printf '%s' | PATH=$PATH:/sbin:/usr/sbin sfdisk -q --no-reread %s", script, path);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    CU_ASSERT_EQUAL(pread(fd, ram->memory, BYTES, 0), BYTES);
    close(fd);
    unlink(path);
}

static inline struct disk *open_rw(const char *name) { return disks_open(all, name, false); }

static inline void close_disk(struct disk *d)
{
    if (d)
        d->ops->close(d);
}

static inline void check_partition(const char *name, uint64_t first, uint64_t nr)
{
    struct disk *d = open_rw(name);

    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    CU_ASSERT_EQUAL(d->nr_sectors, nr);
    CU_ASSERT_PTR_EQUAL(d->memory, ram->memory + first * 512);
    close_disk(d);
}
