/*
 * image_unpack_file() on Linux: what a file was unpacked to is kept in a folder of root's, a file for each path. Nobody
 * needs it: whatever is wrong with it, the file itself is unpacked.
 *
 * It is used when path, device, inode, size, time of modification and what the packed file holds are as they were when
 * it was made, and what it holds itself has the checksum that it had.
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *image_cache_folder = "/var/cache/xen-like/kernels";

/* What a file of the cache begins with; behind it lies the image. */
struct header {
    char magic[8];
    uint64_t device, inode, bytes, seconds, nanoseconds; /* of the packed file, as what follows */
    uint64_t crc;
    char path[PATH_MAX]; /* without links */
    uint64_t image_bytes, image_crc;
};

static const char magic[8] = "xlimage1";

/* ---- the folder ---- */

/* Nobody else may read or write it. */
static bool is_private(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

/* With all folders on the way; if one fails, what follows does. */
static void make_folder(void)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s", image_cache_folder);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0755);
        *at = '/';
    }
    mkdir(path, 0700);
}

/* -1: there is none, or not one to be trusted. */
static int open_folder(void)
{
    int fd;
    struct stat st;

    if (image_cache_folder == NULL)
        return -1;
    fd = open(image_cache_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) || !is_private(&st))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- what is there ---- */

/* Before the file is read: if another one takes its place meanwhile the checksum says so. */
static bool describe(const char *path, struct header *h)
{
    struct stat st;

    memset(h, 0, sizeof(*h));
    if (realpath(path, h->path) == NULL || stat(h->path, &st))
        return false;
    memset(h->path + strlen(h->path), 0, sizeof(h->path) - strlen(h->path));
    memcpy(h->magic, magic, sizeof(h->magic));
    h->device = st.st_dev;
    h->inode = st.st_ino;
    h->bytes = (uint64_t)st.st_size;
    h->seconds = (uint64_t)st.st_mtim.tv_sec;
    h->nanoseconds = (uint64_t)st.st_mtim.tv_nsec;
    return true;
}

/* Two paths of one name take turns in it. */
static const char *name_of(const struct header *want, char name[20])
{
    snprintf(name, 20, "%016" PRIx64,
             lzma_crc64((const uint8_t *)want->path, strlen(want->path), 0));
    return name;
}

static bool read_all(int fd, void *to, size_t len)
{
    while (len) {
        ssize_t n = read(fd, to, len);

        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        to = (uint8_t *)to + (n > 0 ? n : 0);
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The image of an open file of the cache; NULL: it is another one's, or damaged. */
static uint8_t *read_image(int fd, const struct header *want, size_t *len)
{
    struct header h;
    struct stat st;
    uint8_t *image;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_private(&st) || st.st_nlink != 1 ||
        !read_all(fd, &h, sizeof(h)) ||
        memcmp(&h, want, offsetof(struct header, image_bytes)) != 0 ||
        h.image_bytes > IMAGE_MAX_BYTES || (uint64_t)st.st_size != sizeof(h) + h.image_bytes)
        return NULL;
    image = malloc(h.image_bytes ? h.image_bytes : 1);
    if (image && (!read_all(fd, image, h.image_bytes) ||
                  lzma_crc64(image, h.image_bytes, 0) != h.image_crc)) {
        free(image);
        return NULL;
    }
    *len = h.image_bytes;
    return image;
}

/* It is the last that was used from now on. */
static uint8_t *find(const struct header *want, size_t *len)
{
    int folder = open_folder(), fd;
    uint8_t *image = NULL;
    char name[20];

    if (folder < 0)
        return NULL;
    fd = openat(folder, name_of(want, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(folder);
    if (fd < 0)
        return NULL;
    image = read_image(fd, want, len);
    if (image)
        futimens(fd, NULL);
    close(fd);
    return image;
}

/* ---- what is added ---- */

static bool is_older(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec < b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

/* Returns how many files there are, and the oldest of them; also those that somebody makes, or has left half-made. */
static unsigned int look(DIR *dir, uint64_t *bytes, char oldest[NAME_MAX + 1])
{
    struct stat st, old = { .st_size = 0 };
    unsigned int nr = 0;
    struct dirent *e;

    *bytes = 0;
    rewinddir(dir);
    while ((e = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode))
            continue;
        *bytes += (uint64_t)st.st_size;
        if (nr++ == 0 || is_older(&st, &old)) {
            old = st;
            snprintf(oldest, NAME_MAX + 1, "%s", e->d_name);
        }
    }
    return nr;
}

/* What has that name goes, of another file or damaged, then the oldest until there is room for one more of that size. */
static bool make_room(const char *name, uint64_t more)
{
    int folder = open_folder();
    DIR *dir = folder < 0 ? NULL : fdopendir(folder);
    char oldest[NAME_MAX + 1];
    bool room = false, gone = true;
    uint64_t bytes;

    if (dir == NULL) {
        if (folder >= 0)
            close(folder);
        return false;
    }
    unlinkat(folder, name, 0);
    while (!room && gone) {
        unsigned int nr = look(dir, &bytes, oldest);

        room = nr < IMAGE_CACHE_FILES && bytes + more <= IMAGE_CACHE_BYTES;
        gone = room || (nr && unlinkat(folder, oldest, 0) == 0);
    }
    closedir(dir);
    return room;
}

static void keep(struct header *h, const uint8_t *image, size_t len)
{
    char path[PATH_MAX + 20], name[20];
    struct plat_file *f;

    make_folder();
    snprintf(path, sizeof(path), "%s/%s", image_cache_folder, name_of(h, name));
    if (sizeof(*h) + len > IMAGE_CACHE_BYTES || !make_room(name, sizeof(*h) + len))
        return;
    h->image_bytes = len;
    h->image_crc = lzma_crc64(image, len, 0);
    f = plat_file_create(path, sizeof(*h) + len);
    if (f && plat_file_put(f, h, sizeof(*h)) == 0 && plat_file_put(f, image, len) == 0)
        plat_file_commit(f);
    else
        plat_file_close(f);
}

int image_unpack_file(const char *path, enum pack_format format, const uint8_t *bytes, size_t len,
                      uint8_t **out, size_t *out_len)
{
    struct header *h = malloc(sizeof(*h));
    bool known = h && image_cache_folder && describe(path, h);
    int rc, error;

    if (known)
        h->crc = lzma_crc64(bytes, len, 0);
    *out = known ? find(h, out_len) : NULL;
    if (*out) {
        free(h);
        return 0;
    }
    rc = image_unpack(format, bytes, len, out, out_len);
    error = errno;
    if (known && rc == 0)
        keep(h, *out, *out_len);
    free(h);
    errno = error;
    return rc;
}
