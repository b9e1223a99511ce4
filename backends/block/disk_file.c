#include "disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platform.h>

struct disk_file {
    struct disk disk;
    struct plat_loop *loop;
    int fd;
    bool is_device;
    struct plat_thread *thread;
    struct plat_wake wake; /* something is done */

    struct plat_mutex lock; /* guards the rest */
    struct plat_cond changed;
    bool ends;
    struct disk_request *todo, **todo_end;
    struct done {
        struct disk_request *first, **end;
    } done;       /* linked by next; their errors are in results */
    int *results; /* in the order of done */
    unsigned int nr_results, room;
};

/* ---- the thread ---- */

/* All of a segment. 0 or errno. */
static int transfer(int fd, bool writes, uint8_t *data, size_t bytes, uint64_t at)
{
    while (bytes) {
        ssize_t n = writes ? pwrite(fd, data, bytes, (off_t)at) : pread(fd, data, bytes, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO; /* it has become shorter */
        data += n;
        bytes -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int discard(const struct disk_file *f, const struct disk_request *r)
{
    uint64_t range[2] = { r->sector * DISK_SECTOR, r->nr_sectors * DISK_SECTOR };

    if (f->is_device)
        return ioctl(f->fd, BLKDISCARD, range) ? errno : 0;
    return fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
                     (off_t)range[1])
               ? errno
               : 0;
}

static int serve(const struct disk_file *f, const struct disk_request *r)
{
    uint64_t at = r->sector * DISK_SECTOR;
    int error = 0;

    if (r->op == DISK_FLUSH)
        return fdatasync(f->fd) ? errno : 0;
    if (r->op == DISK_DISCARD)
        return discard(f, r);
    for (unsigned int i = 0; i < r->nr_segments && error == 0; i++) {
        error = transfer(f->fd, r->op == DISK_WRITE, r->segments[i].data, r->segments[i].bytes, at);
        at += r->segments[i].bytes;
    }
    return error;
}

static void work(void *arg)
{
    struct disk_file *f = arg;

    plat_lock(&f->lock);
    while (!f->ends) {
        struct disk_request *r = f->todo;
        int error;

        if (r == NULL) {
            plat_cond_wait(&f->changed, &f->lock, PLAT_NEVER);
            continue;
        }
        f->todo = r->next;
        if (f->todo == NULL)
            f->todo_end = &f->todo;
        plat_unlock(&f->lock);
        error = serve(f, r);
        plat_lock(&f->lock);
        r->next = NULL;
        *f->done.end = r;
        f->done.end = &r->next;
        f->results[f->nr_results++] = error; /* there is room: see submit() */
        plat_wake(&f->wake);
    }
    plat_unlock(&f->lock);
}

/* ---- the loop's side ---- */

static void on_done(void *arg)
{
    struct disk_file *f = arg;

    for (;;) {
        struct disk_request *r;
        int error;

        plat_lock(&f->lock);
        r = f->done.first;
        if (r) {
            f->done.first = r->next;
            if (f->done.first == NULL)
                f->done.end = &f->done.first;
            error = f->results[0];
            memmove(f->results, f->results + 1, --f->nr_results * sizeof(*f->results));
            f->room++;
        }
        plat_unlock(&f->lock);
        if (r == NULL)
            return;
        r->done(r, error);
    }
}

enum { RUNNING = 4096 }; /* at most: QUEUES_MAX rings of the largest size are half of it */

static void submit(struct disk *d, struct disk_request *r)
{
    struct disk_file *f = (struct disk_file *)d;
    bool ok;

    r->next = NULL;
    plat_lock(&f->lock);
    ok = f->room > 0;
    if (ok) {
        f->room--;
        *f->todo_end = r;
        f->todo_end = &r->next;
        plat_cond_signal(&f->changed);
    }
    plat_unlock(&f->lock);
    if (!ok)
        r->done(r, EAGAIN);
}

static void close_file(struct disk *d)
{
    struct disk_file *f = (struct disk_file *)d;

    if (f->thread) {
        plat_lock(&f->lock);
        f->ends = true;
        plat_cond_signal(&f->changed);
        plat_unlock(&f->lock);
        plat_thread_join(f->thread);
        plat_wake_remove(&f->wake);
    }
    close(f->fd);
    free(f->results);
    free(f);
}

static const struct disk_ops ops = { .submit = submit, .close = close_file };

/* Its size and sectors. 0 or errno. */
static int measure(struct disk_file *f)
{
    uint64_t bytes;
    struct stat s;
    int sector = DISK_SECTOR;

    if (fstat(f->fd, &s))
        return errno;
    f->is_device = S_ISBLK(s.st_mode);
    if (!f->is_device && !S_ISREG(s.st_mode))
        return EINVAL;
    bytes = (uint64_t)s.st_size;
    if (f->is_device && (ioctl(f->fd, BLKGETSIZE64, &bytes) || ioctl(f->fd, BLKSSZGET, &sector)))
        return errno;
    if ((sector != 512 && sector != 4096) || bytes == 0 || bytes % (unsigned int)sector)
        return EINVAL;
    f->disk.nr_sectors = bytes / DISK_SECTOR;
    f->disk.sector_bytes = (uint32_t)sector;
    f->disk.flush = true;
    f->disk.discard = !f->disk.read_only;
    f->disk.discard_bytes = (uint32_t)(f->is_device ? sector : s.st_blksize);
    return 0;
}

/* errno is why. */
static struct disk *give_up(struct disk_file *f, int error)
{
    close_file(&f->disk);
    errno = error;
    return NULL;
}

struct disk *disk_file_open(struct plat_loop *l, const char *name, bool read_only)
{
    struct disk_file *f;
    int error;

    if (name[0] != '/') {
        errno = ENOENT;
        return NULL;
    }
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->fd = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0) {
        error = errno;
        free(f);
        errno = error;
        return NULL;
    }
    f->disk.ops = &ops;
    f->disk.read_only = read_only;
    f->loop = l;
    f->todo_end = &f->todo;
    f->done.end = &f->done.first;
    f->room = RUNNING;
    f->results = calloc(RUNNING, sizeof(*f->results));
    error = f->results ? measure(f) : ENOMEM;
    if (error)
        return give_up(f, error);
    f->wake = (struct plat_wake){ .fn = on_done, .arg = f };
    plat_wake_add(l, &f->wake);
    f->thread = plat_thread_start("disk", work, f);
    if (f->thread == NULL) {
        error = errno;
        plat_wake_remove(&f->wake);
        return give_up(f, error);
    }
    return &f->disk;
}
