/* What file systems are called (backends/block), as the system's own tools make them, and as nobody should. */
#include "disks_fixture.h"

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

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("fs_names", NULL, NULL);
    CU_add_test(s, "file systems", test_file_systems_by_label_and_uuid);
    CU_add_test(s, "called the same", test_two_that_are_called_the_same);
    CU_add_test(s, "no file system", test_what_is_no_file_system);
    CU_add_test(s, "renamed by a guest", test_a_guest_renames_its_file_system);
    CU_add_test(s, "a disk without partitions", test_a_disk_that_is_one_file_system);
    CU_add_test(s, "names that stay", test_names_that_stay);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
