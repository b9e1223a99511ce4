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
    struct queue {
        struct disk_request *first, **end; /* linked by next */
    } todo, done;
};

static void queue_init(struct queue *q) { *q = (struct queue){ .end = &q->first }; }

static void queue_put(struct queue *q, struct disk_request *r)
{
    r->next = NULL;
    *q->end = r;
    q->end = &r->next;
}

/* NULL: it is empty. */
static struct disk_request *queue_take(struct queue *q)
{
    struct disk_request *r = q->first;

    if (r) {
        q->first = r->next;
        if (q->first == NULL)
            q->end = &q->first;
    }
    return r;
}

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
        struct disk_request *r = queue_take(&f->todo);

        if (r == NULL) {
            plat_cond_wait(&f->changed, &f->lock, PLAT_NEVER);
            continue;
        }
        plat_unlock(&f->lock);
        r->error = serve(f, r);
        plat_lock(&f->lock);
        queue_put(&f->done, r);
        plat_wake(&f->wake);
    }
    plat_unlock(&f->lock);
}

/* ---- the loop's side ---- */

static void on_done(void *arg)
{
    struct disk_file *f = arg;
    struct queue done;

    queue_init(&done);
    plat_lock(&f->lock);
    for (struct disk_request *r; (r = queue_take(&f->done)) != NULL;)
        queue_put(&done, r);
    plat_unlock(&f->lock);
    for (struct disk_request *r; (r = queue_take(&done)) != NULL;)
        r->done(r, r->error);
}

static void submit(struct disk *d, struct disk_request *r)
{
    struct disk_file *f = (struct disk_file *)d;

    plat_lock(&f->lock);
    queue_put(&f->todo, r);
    plat_cond_signal(&f->changed);
    plat_unlock(&f->lock);
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
    queue_init(&f->todo);
    queue_init(&f->done);
    error = measure(f);
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
