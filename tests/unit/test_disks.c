/* Disks by name, and their partitions (backends/block), as sfdisk makes them, and as nobody should. */
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
#include "gpt.h"
#include "ram_disks.h"

enum { BYTES = 4 << 20, SECTORS = BYTES / 512 };

static struct plat_loop *loop;
static struct disks *all;
static struct disk *ram;

static void begin(void)
{
    platform_reset();
    loop = plat_loop_new();
    all = disks_new(loop);
    ram = disk_ram_open("ram0", BYTES, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ram);
}

static void end(void)
{
    disks_free(all);
    plat_loop_free(loop);
}

/* An image with a table by the system's own tool. */
static void sfdisk(const char *script)
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

#define TABLE                                                                    \
    "label: gpt\\nfirst-lba: 40\\n"                                              \
    "start=64, size=100, name=one, uuid=11223344-5566-7788-99AA-BBCCDDEEFF00\\n" \
    "start=200, size=1000, name=\"two words\"\\n"                                \
    "start=2000, size=8, name=one\\n"

static struct disk *open_rw(const char *name) { return disks_open(all, name, false); }

static void close_disk(struct disk *d)
{
    if (d)
        d->ops->close(d);
}

static void check_partition(const char *name, uint64_t first, uint64_t nr)
{
    struct disk *d = open_rw(name);

    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    CU_ASSERT_EQUAL(d->nr_sectors, nr);
    CU_ASSERT_PTR_EQUAL(d->memory, ram->memory + first * 512);
    close_disk(d);
}

static void test_partitions_by_number_label_and_uuid(void)
{
    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/ram0p1", 64, 100);
    check_partition("/dev/ram0p2", 200, 1000);
    check_partition("/dev/ram0p3", 2000, 8);
    check_partition("/dev/disk/by-partlabel/two words", 200, 1000);
    check_partition("/dev/disk/by-partuuid/11223344-5566-7788-99aa-bbccddeeff00", 64, 100);
    CU_ASSERT_PTR_NULL(open_rw("/dev/disk/by-partlabel/one"));
    CU_ASSERT_EQUAL(errno, EMLINK); /* which one? */
    CU_ASSERT_PTR_NULL(open_rw("/dev/disk/by-partlabel/"));
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p4"));
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p01"));
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram01"));
    CU_ASSERT_EQUAL(errno, ENOENT);
    check_partition("/dev/ram0", 0, SECTORS);
    end();
    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/vda", ram), 0);
    check_partition("/dev/vda2", 200, 1000);
    CU_ASSERT_PTR_NULL(open_rw("/dev/vdap2"));
    end();
}

static void test_the_copy_at_the_end_is_used(void)
{
    begin();
    sfdisk(TABLE);
    ram->memory[512 + 60]++;
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/ram0p2", 200, 1000);
    end();
    begin();
    sfdisk(TABLE);
    ram->memory[1024 + 7]++; /* an entry */
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/ram0p2", 200, 1000);
    end();
    begin();
    sfdisk(TABLE);
    ram->memory[1024 + 7]++;
    ram->memory[BYTES - 512 + 20]++;
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p2"));
    end();
}

/* Each byte of the header is another one: the copy serves. */
static void test_any_byte_of_the_header_may_be_wrong(void)
{
    static uint8_t image[BYTES];

    begin();
    sfdisk(TABLE);
    memcpy(image, ram->memory, BYTES);
    ram->ops->close(ram);
    end();
    for (int at = 0; at < 92; at++) {
        begin();
        memcpy(ram->memory, image, BYTES);
        ram->memory[512 + at] ^= 0xff;
        CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
        check_partition("/dev/ram0p2", 200, 1000);
        end();
    }
}

static void test_who_writes_has_it_alone(void)
{
    struct disk *a, *b;

    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    a = open_rw("/dev/ram0p1");
    b = open_rw("/dev/ram0p2"); /* another part of it */
    CU_ASSERT_PTR_NOT_NULL(b);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p1"));
    CU_ASSERT_EQUAL(errno, EBUSY);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0"));
    CU_ASSERT_PTR_NULL(disks_open(all, "/dev/ram0", true));
    close_disk(a);
    close_disk(b);
    a = disks_open(all, "/dev/ram0", true);
    b = disks_open(all, "/dev/ram0p1", true);
    CU_ASSERT_TRUE(a && b && a->read_only);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p1"));
    close_disk(a);
    close_disk(b);
    end();
}

static int last_error;
static void on_done(struct disk_request *r, int error) { last_error = error; }

static int ask(struct disk *d, enum disk_op op, uint64_t sector, void *data, uint32_t bytes)
{
    struct disk_segment s = { data, bytes };
    struct disk_request r = { .op = op,
                              .sector = sector,
                              .nr_sectors = bytes / 512,
                              .segments = &s,
                              .nr_segments = 1,
                              .done = on_done };

    last_error = -1;
    disk_submit(d, &r);
    return last_error;
}

static void test_a_partition_ends_where_it_ends(void)
{
    static _Alignas(4096) uint8_t data[8192];
    struct disk *d;

    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    d = open_rw("/dev/ram0p1");
    memset(data, 0x77, sizeof(data));
    CU_ASSERT_EQUAL(ask(d, DISK_WRITE, 99, data, 512), 0);
    CU_ASSERT_TRUE(ram->memory[163 * 512] == 0x77 && ram->memory[164 * 512] != 0x77);
    CU_ASSERT_EQUAL(ask(d, DISK_WRITE, 99, data, 1024), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_WRITE, 100, data, 512), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_READ, UINT64_MAX, data, 512), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_READ, 0, data, 0), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_READ, 0, data, 100), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_READ, 0, data + 1, 512), EINVAL);
    CU_ASSERT_EQUAL(ask(d, DISK_FLUSH, 0, NULL, 0), EOPNOTSUPP);
    CU_ASSERT_EQUAL(ask(d, DISK_DISCARD, 0, data, 512), EOPNOTSUPP);
    CU_ASSERT_EQUAL(ask(d, (enum disk_op)9, 0, data, 512), EOPNOTSUPP);
    close_disk(d);
    d = disks_open(all, "/dev/ram0p1", true);
    CU_ASSERT_EQUAL(ask(d, DISK_WRITE, 0, data, 512), EROFS);
    close_disk(d);
    end();
}

static unsigned int nr_changed;
static void on_changed(void *arg) { nr_changed++; }

/* The whole is told; a partition is where the table says, and what of it is not there any more cannot be read. */
static void test_the_disk_below_changes_its_size(void)
{
    static _Alignas(4096) uint8_t data[512];
    struct disk *whole, *part;

    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    whole = disks_open(all, "/dev/ram0", true);
    part = disks_open(all, "/dev/ram0p2", true);
    CU_ASSERT_TRUE_FATAL(whole && part);
    nr_changed = 0;
    whole->changed = part->changed = on_changed;
    ram->nr_sectors = 300;
    ram->changed(ram->arg);
    CU_ASSERT_EQUAL(nr_changed, 1);
    CU_ASSERT_EQUAL(whole->nr_sectors, 300);
    CU_ASSERT_EQUAL(part->nr_sectors, 1000);
    CU_ASSERT_EQUAL(ask(part, DISK_READ, 99, data, 512), 0);
    CU_ASSERT_EQUAL(ask(part, DISK_READ, 100, data, 512), EINVAL);
    CU_ASSERT_EQUAL(ask(whole, DISK_READ, 300, data, 512), EINVAL);
    ram->nr_sectors = SECTORS;
    ram->changed(ram->arg);
    CU_ASSERT_EQUAL(ask(part, DISK_READ, 100, data, 512), 0);
    CU_ASSERT_EQUAL(ask(whole, DISK_READ, SECTORS - 1, data, 512), 0);
    close_disk(whole);
    close_disk(part);
    end();
}

/* Somebody who has all of it may make other partitions. */
static void test_partitions_are_read_again(void)
{
    struct disk *d;

    begin();
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p2"));
    d = open_rw("/dev/ram0");
    sfdisk(TABLE);
    close_disk(d);
    check_partition("/dev/ram0p2", 200, 1000);
    end();
}

/* Whoever has had all of it says what its labels are: not what other names of the machine mean. */
static void test_names_of_a_disk_that_was_given_away(void)
{
    static const char uuid[] = "/dev/disk/by-partuuid/11223344-5566-7788-99aa-bbccddeeff00";

    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    close_disk(disks_open(all, "/dev/ram0",
                          true)); /* to be read, or a part of it: that is no matter */
    close_disk(open_rw("/dev/ram0p1"));
    check_partition("/dev/disk/by-partlabel/two words", 200, 1000);
    close_disk(open_rw("/dev/ram0"));
    CU_ASSERT_PTR_NULL(open_rw("/dev/disk/by-partlabel/two words"));
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_PTR_NULL(open_rw(uuid));
    check_partition("/dev/ram0p2", 200, 1000);
    end();
}

/* ---- file systems, as the system's own tools make them ---- */

#define FS_TABLE                                       \
    "label: gpt\\nfirst-lba: 40\\n"                    \
    "start=64, size=1000\\nstart=1064, size=1000\\n"   \
    "start=2064, size=1000\\nstart=3064, size=1000\\n" \
    "start=4064, size=1000\\nstart=5064, size=4, name=tiny\\n"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"
#define UUID_2 "11234567-89ab-cdef-0123-456789abcdef"

/* @format  of a shell's command, with where its path is to be */
static void put_fs(uint64_t first, const char *format)
{
    char path[] = "/tmp/test_disks.XXXXXX", command[300];
    int fd = mkstemp(path);

    CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, 1000 * 512) == 0);
    snprintf(command, sizeof(command), "PATH=$PATH:/sbin:/usr/sbin; %s '%s' > /dev/null 2>&1",
             format, path);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    CU_ASSERT_EQUAL(pread(fd, ram->memory + first * 512, 1000 * 512, 0), 1000 * 512);
    close(fd);
    unlink(path);
}

static void put_text(uint64_t at, const char *text)
{
    memcpy(ram->memory + at, text, strlen(text));
}

static void no_name(const char *name, int error)
{
    errno = 0;
    CU_ASSERT_PTR_NULL(open_rw(name));
    CU_ASSERT_EQUAL(errno, error);
}

static void test_file_systems_by_label_and_uuid(void)
{
    begin();
    sfdisk(FS_TABLE);
    put_fs(64, "mke2fs -q -t ext4 -L 'the root' -U " UUID);
    put_fs(1064, "mkswap -L swap0 -U " UUID_2);
    put_text(2064 * 512, "XFSB"); /* as mkfs.xfs has it, which is not in each Debian */
    put_text(2064 * 512 + 108, "twelve bytes");
    memset(ram->memory + 2064 * 512 + 32, 0x5a, 16);
    put_text(3064 * 512 + 82, "FAT32   ");
    put_text(3064 * 512 + 67, "\x78\x56\x34\xa2"
                              "ESP/\n      ");
    put_text(3064 * 512 + 510, "\x55\xaa");
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/disk/by-label/the root", 64, 1000);
    check_partition("/dev/disk/by-uuid/" UUID, 64, 1000);
    check_partition("/dev/disk/by-label/swap0", 1064, 1000);
    check_partition("/dev/disk/by-uuid/11234567-89AB-CDEF-0123-456789ABCDEF", 1064, 1000);
    check_partition("/dev/disk/by-label/twelve bytes", 2064, 1000);
    check_partition("/dev/disk/by-uuid/5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a", 2064, 1000);
    check_partition("/dev/disk/by-label/ESP??", 3064, 1000);
    check_partition("/dev/disk/by-uuid/A234-5678", 3064, 1000);
    no_name("/dev/disk/by-label/", ENOENT); /* some have none */
    no_name("/dev/disk/by-uuid/", ENOENT);
    no_name("/dev/disk/by-label/the", ENOENT);
    no_name("/dev/disk/by-partlabel/the root", ENOENT);
    check_partition("/dev/disk/by-partlabel/tiny", 5064, 4);
    end();
}

static void test_two_that_are_called_the_same(void)
{
    begin();
    sfdisk(FS_TABLE);
    put_fs(64, "mke2fs -q -t ext2 -L root -U " UUID);
    put_fs(1064, "mke2fs -q -t ext3 -L root -U " UUID_2);
    put_fs(2064, "mke2fs -q -t ext4 -L home -U " UUID);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    no_name("/dev/disk/by-label/root", EMLINK);
    no_name("/dev/disk/by-uuid/" UUID, EMLINK);
    check_partition("/dev/disk/by-label/home", 2064, 1000);
    check_partition("/dev/disk/by-uuid/" UUID_2, 1064, 1000);
    end();
}

/* One that is two kinds at once is none; nor is a journal of another one. */
static void test_what_is_no_file_system(void)
{
    begin();
    sfdisk(FS_TABLE);
    put_fs(64, "mke2fs -q -t ext4 -L both -U " UUID);
    put_text(64 * 512, "XFSB");
    put_fs(1064, "mke2fs -q -t ext4 -L journal -U " UUID_2);
    ram->memory[1064 * 512 + 1024 + 96] |= 8; /* "journal device" */
    put_text(2064 * 512 + 82, "FAT32   ");    /* the rest of its magic lacks */
    put_text(2064 * 512 + 71, "FATLABEL");
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    no_name("/dev/disk/by-label/both", ENOENT);
    no_name("/dev/disk/by-uuid/" UUID, ENOENT);
    no_name("/dev/disk/by-label/journal", ENOENT);
    no_name("/dev/disk/by-label/FATLABEL", ENOENT);
    end();
}

/* A guest that writes there calls it what it likes: its names stay those that it had before. */
static void test_a_guest_renames_its_file_system(void)
{
    struct disk *d;

    begin();
    sfdisk(FS_TABLE);
    put_fs(64, "mke2fs -q -t ext4 -L mine -U " UUID);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    d = open_rw("/dev/disk/by-label/mine");
    put_fs(64, "mke2fs -q -t ext4 -L theirs -U " UUID_2);
    close_disk(d);
    no_name("/dev/disk/by-label/theirs", ENOENT);
    no_name("/dev/disk/by-uuid/" UUID_2, ENOENT);
    check_partition("/dev/disk/by-label/mine", 64, 1000); /* as it is started again */
    close_disk(open_rw("/dev/ram0")); /* and who has all of it, has the table, too */
    no_name("/dev/disk/by-label/mine", ENOENT);
    no_name("/dev/disk/by-label/theirs", ENOENT);
    check_partition("/dev/ram0p1", 64, 1000);
    end();
}

/* A disk without partitions has a name of its own, which it keeps, and gets no other one. */
static void test_a_disk_that_is_one_file_system(void)
{
    struct disk *d;

    begin();
    put_fs(0, "mke2fs -q -t ext4 -L data -U " UUID);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/disk/by-label/data", 0, SECTORS);
    d = open_rw("/dev/disk/by-uuid/" UUID);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    put_fs(0, "mke2fs -q -t ext4 -L root -U " UUID_2);
    close_disk(d);
    no_name("/dev/disk/by-label/root", ENOENT);
    check_partition("/dev/disk/by-label/data", 0, SECTORS);
    end();
}

/* What is found by any name has one that stays. */
static void test_names_that_stay(void)
{
    static const char *const cases[][2] = {
        { "/dev/disk/by-label/mine", "/dev/ram0p1" },
        { "/dev/disk/by-partlabel/tiny", "/dev/ram0p6" },
        { "/dev/ram0p2", "/dev/ram0p2" },
        { "/dev/ram0", "/dev/ram0" },
    };
    char name[DISK_NAME];

    begin();
    sfdisk(FS_TABLE);
    put_fs(64, "mke2fs -q -t ext4 -L mine -U " UUID);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct disk *d = open_rw(cases[i][0]);

        CU_ASSERT_PTR_NOT_NULL_FATAL(d);
        disks_name(d, name);
        CU_ASSERT_STRING_EQUAL(name, cases[i][1]);
        close_disk(d);
    }
    end();
}

/* A disk that does not answer yet: only names that may be its partitions' are not known. */
static struct disk_request *unanswered;

static void hold(struct disk *d, struct disk_request *r) { unanswered = r; }
static void close_nothing(struct disk *d) {}

static void test_a_disk_that_is_still_read(void)
{
    static const struct disk_ops ops = { .submit = hold, .close = close_nothing };
    struct disk silent = { .ops = &ops, .nr_sectors = SECTORS, .sector_bytes = 512 };

    begin();
    sfdisk(TABLE);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/vda", &silent), 0);
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    check_partition("/dev/ram0p2", 200, 1000);
    CU_ASSERT_PTR_NULL(open_rw("/dev/ram0p9"));
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_PTR_NULL(open_rw("/dev/vda1"));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT_PTR_NULL(open_rw("/dev/disk/by-partlabel/two words"));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    for (int i = 0; i < 3; i++) /* the table, its copy, a file system */
        unanswered->done(unanswered, EIO);
    check_partition("/dev/disk/by-partlabel/two words", 200, 1000);
    end();
}

static void test_words_of_ram_disks(void)
{
    static const struct {
        const char *word;
        int error;
        uint64_t sectors;
    } cases[] = { { "ram1=64", 0, 128 },
                  { "ram2=1M", 0, 2048 },
                  { "ram3=8k", 0, 16 },
                  { "ram4=4096B", 0, 8 },
                  { "ram5=4097B", EINVAL, 0 },
                  { "ram5=", EINVAL, 0 },
                  { "ram5=-1", EINVAL, 0 },
                  { "ram5=1X", EINVAL, 0 },
                  { "ram5=1MM", EINVAL, 0 },
                  { "ram5=0", EINVAL, 0 },
                  { "ram5=99999999999999999999G", EINVAL, 0 },
                  { "ram1=64", EBUSY, 0 } };

    begin();
    CU_ASSERT_EQUAL(disks_add(all, "/dev/ram0", ram), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CU_ASSERT_TRUE(ram_disks_word(cases[i].word));
        CU_ASSERT_EQUAL(ram_disks_add(all, cases[i].word), cases[i].error);
    }
    for (unsigned int i = 0; i < 4; i++) {
        const struct disk *d = NULL;

        CU_ASSERT_PTR_NOT_NULL(disks_nth(all, i + 1, &d));
        CU_ASSERT_EQUAL(d->nr_sectors, cases[i].sectors);
    }
    CU_ASSERT_PTR_NULL(disks_nth(all, 5, NULL));
    CU_ASSERT_FALSE(ram_disks_word("ramdisk=1"));
    CU_ASSERT_FALSE(ram_disks_word("ram=1"));
    CU_ASSERT_FALSE(ram_disks_word("ram64=1M"));
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("disks", NULL, NULL);
    CU_add_test(s, "number, label, UUID", test_partitions_by_number_label_and_uuid);
    CU_add_test(s, "the copy at the end", test_the_copy_at_the_end_is_used);
    CU_add_test(s, "any byte of the header", test_any_byte_of_the_header_may_be_wrong);
    CU_add_test(s, "writers", test_who_writes_has_it_alone);
    CU_add_test(s, "the end of a partition", test_a_partition_ends_where_it_ends);
    CU_add_test(s, "another size", test_the_disk_below_changes_its_size);
    CU_add_test(s, "read again", test_partitions_are_read_again);
    CU_add_test(s, "given away", test_names_of_a_disk_that_was_given_away);
    CU_add_test(s, "file systems", test_file_systems_by_label_and_uuid);
    CU_add_test(s, "called the same", test_two_that_are_called_the_same);
    CU_add_test(s, "no file system", test_what_is_no_file_system);
    CU_add_test(s, "renamed by a guest", test_a_guest_renames_its_file_system);
    CU_add_test(s, "a disk without partitions", test_a_disk_that_is_one_file_system);
    CU_add_test(s, "names that stay", test_names_that_stay);
    CU_add_test(s, "still read", test_a_disk_that_is_still_read);
    CU_add_test(s, "words", test_words_of_ram_disks);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
