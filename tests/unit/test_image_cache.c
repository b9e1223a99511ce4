/*
 * dom0-tools/lib/image_cache.c: what is unpacked is unpacked once, as long as the file is the same and nobody but us
 * can have written what is kept; whatever else is there, the file itself is unpacked.
 */
#include <CUnit/Basic.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lzma.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <platform.h>

#include "../../dom0-tools/lib/image.h"

enum { IMAGE_BYTES = 20000, HEADER_BYTES = 8 * 9 + PATH_MAX, CRC_AT = HEADER_BYTES - 8 };

static char top[] = "/tmp/test_image_cache.XXXXXX";
static char folder[PATH_MAX], kernel[PATH_MAX], other[PATH_MAX];
static uint8_t packed[2 * IMAGE_BYTES];

static void in_top(char to[PATH_MAX], const char *name)
{
    snprintf(to, PATH_MAX, "%s/%s", top, name);
}

/* A file that is unpacked to so many of that letter. */
static void write_kernel(const char *path, char letter)
{
    static uint8_t image[IMAGE_BYTES];
    z_stream z = { .next_in = image, .avail_in = IMAGE_BYTES };

    memset(image, letter, sizeof(image));
    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_out = packed;
    z.avail_out = sizeof(packed);
    CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    CU_ASSERT_EQUAL_FATAL(plat_file_write(path, packed, z.total_out), 0);
}

/* The letter, or 0: it cannot be unpacked. */
static char unpacked(const char *path)
{
    size_t len, out_len = 0;
    uint8_t *bytes = (uint8_t *)plat_file_read(path, &len), *out = NULL;
    char letter = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    if (image_unpack_file(path, PACK_GZIP, bytes, len, &out, &out_len) == 0) {
        CU_ASSERT_EQUAL_FATAL(out_len, IMAGE_BYTES);
        letter = (char)out[IMAGE_BYTES - 1];
        for (size_t i = 0; i < out_len; i++)
            letter = out[i] == (uint8_t)letter ? letter : '?';
        free(out);
    }
    free(bytes);
    return letter;
}

/* How many are kept; path receives the last. */
static unsigned int nr_kept(char path[PATH_MAX])
{
    DIR *dir = opendir(folder);
    unsigned int nr = 0;
    struct dirent *e;

    while (dir && (e = readdir(dir)) != NULL)
        if (e->d_name[0] != '.') {
            CU_ASSERT_TRUE_FATAL(snprintf(path, PATH_MAX, "%s/%s", folder, e->d_name) < PATH_MAX);
            nr++;
        }
    if (dir)
        closedir(dir);
    return nr;
}

/* What is kept says another letter from now on: who reads that has read it, and not unpacked the file. */
static void forge(char letter)
{
    char path[PATH_MAX];
    uint64_t crc;
    size_t len;
    char *bytes;
    int fd;

    CU_ASSERT_EQUAL_FATAL(nr_kept(path), 1);
    bytes = plat_file_read(path, &len);
    CU_ASSERT_EQUAL_FATAL(len, HEADER_BYTES + IMAGE_BYTES);
    memset(bytes + HEADER_BYTES, letter, IMAGE_BYTES);
    crc = lzma_crc64((uint8_t *)bytes + HEADER_BYTES, IMAGE_BYTES, 0);
    memcpy(bytes + CRC_AT, &crc, sizeof(crc));
    fd = open(path, O_WRONLY);
    CU_ASSERT_EQUAL(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    free(bytes);
}

static void start(void)
{
    in_top(folder, "var/cache/kernels");
    in_top(kernel, "vmlinuz");
    in_top(other, "other");
    image_cache_folder = folder;
    write_kernel(kernel, 'a');
}

static void end(void)
{
    char command[PATH_MAX + 20];

    snprintf(command, sizeof(command), "rm -rf %s/*", top);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void test_unpacked_once(void)
{
    char path[PATH_MAX];
    struct stat st;

    start();
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(nr_kept(path), 1);
    CU_ASSERT_TRUE(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
    CU_ASSERT_TRUE(stat(folder, &st) == 0 && (st.st_mode & 07777) == 0700);
    forge('F');
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    CU_ASSERT_EQUAL(symlink(kernel, other), 0); /* by whatever name */
    CU_ASSERT_EQUAL(unpacked(other), 'F');
    end();
}

static void test_another_file(void)
{
    struct timespec times[2] = { { 0 } };
    char path[PATH_MAX];
    struct stat st;
    int fd;

    start();
    times[0].tv_sec = times[1].tv_sec = 1700000000;
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, kernel, times, 0), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    forge('F');
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    times[1].tv_nsec = 1; /* another time */
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, kernel, times, 0), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    forge('F');
    write_kernel(other, 'a'); /* the same of another inode */
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, other, times, 0), 0);
    CU_ASSERT_EQUAL(rename(other, kernel), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    forge('F');
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    write_kernel(other, 'b'); /* other bytes, and all else the same */
    CU_ASSERT_TRUE_FATAL(stat(other, &st) == 0 && st.st_size < (off_t)sizeof(packed));
    fd = open(kernel, O_WRONLY);
    CU_ASSERT_EQUAL(write(fd, packed, (size_t)st.st_size), st.st_size);
    close(fd);
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, kernel, times, 0), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'b');
    CU_ASSERT_EQUAL(nr_kept(path), 1);
    end();
}

/* Any byte of what is kept is another, or it is cut off, or longer. */
static void test_damaged(void)
{
    char path[PATH_MAX];
    size_t len;
    char *bytes;

    start();
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL_FATAL(nr_kept(path), 1);
    bytes = plat_file_read(path, &len);
    for (size_t i = 0; i < len;
         i += i < 72 || (i >= HEADER_BYTES - 16 && i < HEADER_BYTES) ? 5 : 1999) {
        struct plat_file *f;

        for (unsigned int how = 0; how < 2; how++) {
            bytes[i] ^= how == 0 ? 0x10 : 0;
            f = plat_file_create(path, 0);
            CU_ASSERT_EQUAL(plat_file_put(f, bytes, how ? i : len), 0);
            CU_ASSERT_EQUAL(plat_file_commit(f), 0);
            bytes[i] ^= how == 0 ? 0x10 : 0;
            CU_ASSERT_EQUAL(unpacked(kernel), 'a');
        }
    }
    CU_ASSERT_EQUAL(plat_file_append(path, "x", 1), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    forge('F'); /* it was mended */
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    free(bytes);
    end();
}

/* What others may have written is not read, and replaced. */
static void test_files_of_others(void)
{
    char path[PATH_MAX];

    start();
    for (unsigned int how = 0; how < 4; how++) {
        CU_ASSERT_EQUAL(unpacked(kernel), 'a');
        forge('F');
        CU_ASSERT_EQUAL_FATAL(nr_kept(path), 1);
        switch (how) {
        case 0: CU_ASSERT_EQUAL(chmod(path, 0660), 0); break;
        case 1: CU_ASSERT_EQUAL(link(path, other), 0); break;
        case 2:
            CU_ASSERT_EQUAL(rename(path, other), 0);
            CU_ASSERT_EQUAL(symlink(other, path), 0);
            break;
        case 3:
            if (geteuid() != 0 || chown(path, 1, 1))
                continue;
            break;
        }
        CU_ASSERT_EQUAL(unpacked(kernel), 'a');
        unlink(other);
        forge('F');
        CU_ASSERT_EQUAL(unpacked(kernel), 'F');
        CU_ASSERT_EQUAL(unlink(path), 0);
    }
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0); /* a folder of that name stays */
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(rmdir(path), 0);
    end();
}

/* A folder that others may write to, or have made, is neither read nor written to. */
static void test_a_folder_of_others(void)
{
    char path[PATH_MAX];

    start();
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    forge('F');
    CU_ASSERT_EQUAL(chmod(folder, 0770), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(chmod(folder, 0700), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    CU_ASSERT_EQUAL(rename(folder, other), 0);
    CU_ASSERT_EQUAL(symlink(other, folder), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(unlink(folder), 0);
    CU_ASSERT_EQUAL(rename(other, folder), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 'F');
    write_kernel(other, 'b');
    CU_ASSERT_EQUAL(chmod(folder, 0701), 0);
    CU_ASSERT_EQUAL(unpacked(other), 'b');
    CU_ASSERT_EQUAL(nr_kept(path), 1);
    end();
}

/* Nothing that fails in it is a failure; a file that is damaged is one, and is not kept. */
static void test_failures(void)
{
    struct rlimit limit, small;
    char path[PATH_MAX];

    start();
    image_cache_folder = "/proc/none/kernels";
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    image_cache_folder = kernel; /* no folder */
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    image_cache_folder = NULL;
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    image_cache_folder = folder;
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    for (small.rlim_cur = 0; small.rlim_cur < HEADER_BYTES + IMAGE_BYTES; small.rlim_cur += 3000) {
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
        CU_ASSERT_EQUAL(unpacked(kernel), 'a');
        CU_ASSERT_EQUAL(nr_kept(path), 0);
    }
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CU_ASSERT_EQUAL(truncate(kernel, 30), 0);
    CU_ASSERT_EQUAL(unpacked(kernel), 0);
    CU_ASSERT_EQUAL(errno, ENOEXEC);
    CU_ASSERT_EQUAL(nr_kept(path), 0);
    end();
}

static bool is_kept(const char *path)
{
    char name[PATH_MAX + 20];
    struct stat st;

    snprintf(name, sizeof(name), "%s/%016llx", folder,
             (unsigned long long)lzma_crc64((const uint8_t *)path, strlen(path), 0));
    return stat(name, &st) == 0;
}

static void test_bounded_in_number(void)
{
    char path[PATH_MAX], name[30];

    start();
    for (int i = 0; i < IMAGE_CACHE_FILES + 10; i++) {
        snprintf(name, sizeof(name), "kernel-%d", i);
        in_top(other, name);
        write_kernel(other, 'b');
        CU_ASSERT_EQUAL(unpacked(other), 'b');
        usleep(5000); /* so fine is the time of files */
        CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    }
    CU_ASSERT_EQUAL(nr_kept(path), IMAGE_CACHE_FILES);
    CU_ASSERT_TRUE(is_kept(kernel)); /* it was used all the time */
    CU_ASSERT_TRUE(is_kept(other));
    in_top(other, "kernel-0");
    CU_ASSERT_FALSE(is_kept(other));
    in_top(other, "kernel-11");
    CU_ASSERT_TRUE(is_kept(other));
    end();
}

static void test_bounded_in_bytes(void)
{
    struct timespec times[2] = { { 0 } };
    char path[PATH_MAX];
    struct stat st;

    start();
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(unlink(nr_kept(path) ? path : ""), 0);
    for (int i = 0; i < 5; i++) {
        int fd;

        snprintf(path, sizeof(path), "%.*s/%d.new-9", PATH_MAX - 20, folder, i);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        CU_ASSERT_EQUAL(ftruncate(fd, IMAGE_CACHE_BYTES / 5), 0);
        times[1].tv_sec = 1700000000 + (i + 2) % 5; /* 3 is the oldest, then 4 */
        CU_ASSERT_EQUAL(futimens(fd, times), 0);
        close(fd);
    }
    CU_ASSERT_EQUAL(unpacked(kernel), 'a');
    CU_ASSERT_EQUAL(nr_kept(path), 5);
    snprintf(path, sizeof(path), "%.*s/3.new-9", PATH_MAX - 20, folder);
    CU_ASSERT_TRUE(stat(path, &st) && errno == ENOENT);
    end();
}

int main(void)
{
    umask(0022);
    if (mkdtemp(top) == NULL)
        return 1;
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("image cache", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_unpacked_once);
    T(test_another_file);
    T(test_damaged);
    T(test_files_of_others);
    T(test_a_folder_of_others);
    T(test_failures);
    T(test_bounded_in_number);
    T(test_bounded_in_bytes);
    CU_basic_run_tests();
    rmdir(top);
    return CU_get_number_of_failures() || CU_get_error();
}
