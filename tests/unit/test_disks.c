/* Disks by name, and their partitions (backends/block), as sfdisk makes them, and as nobody should. */
#include "disks_fixture.h"
#include "ram_disks.h"

#define TABLE                                                                    \
    "label: gpt\\nfirst-lba: 40\\n"                                              \
    "start=64, size=100, name=one, uuid=11223344-5566-7788-99AA-BBCCDDEEFF00\\n" \
    "start=200, size=1000, name=\"two words\"\\n"                                \
    "start=2000, size=8, name=one\\n"

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
    CU_add_test(s, "still read", test_a_disk_that_is_still_read);
    CU_add_test(s, "words", test_words_of_ram_disks);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
