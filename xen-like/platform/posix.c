/*
 * platform.h on Linux. Regions are files in the folder that the environment names in
 * XEN_LIKE_STATE, or /run/xen-like, which is made: in memory, so gone with the machine; mapped by all who
 * open them, so kept when a program is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "posix.h"

#define NS_PER_S 1000000000UL
enum { PAGE_BYTES = 4096, PATH_MAX_BYTES = 100 };

void *home_alloc(size_t bytes) { return calloc(1, bytes); }

void home_log(enum plat_level level, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    fprintf(stderr, "%s: %s\n", names[level], line);
}

/* ---- clock ---- */

static uint64_t now_of(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void plat_yield(void) { sched_yield(); }
uint64_t plat_now(void) { return now_of(CLOCK_MONOTONIC); }
uint64_t plat_wall(void) { return now_of(CLOCK_REALTIME); }

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
}

/* ---- threads ---- */

/* All zero is what the initializers of glibc are on x86-64. */
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct plat_mutex), "room");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct plat_cond), "room");

static pthread_mutex_t *mutex_of(struct plat_mutex *m) { return (pthread_mutex_t *)m; }
static pthread_cond_t *cond_of(struct plat_cond *c) { return (pthread_cond_t *)c; }

struct plat_thread {
    pthread_t id;
    void (*fn)(void *arg);
    void *arg;
};

static void *begin(void *arg)
{
    struct plat_thread *t = arg;

    t->fn(t->arg);
    return NULL;
}

struct plat_thread *plat_thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    struct plat_thread *t = home_alloc(sizeof(*t));
    char short_name[16] = "";
    int error;

    if (t == NULL)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    error = pthread_create(&t->id, NULL, begin, t);
    if (error) {
        free(t);
        errno = error;
        return NULL;
    }
    strncpy(short_name, name, sizeof(short_name) - 1);
    pthread_setname_np(t->id, short_name);
    return t;
}

void plat_thread_join(struct plat_thread *t)
{
    pthread_join(t->id, NULL);
    free(t);
}

/* What is a group there is a process here, and whoever starts it another. */
struct plat_group *plat_group_start(const char *name, void (*fn)(void *arg), void *arg)
{
    (void)name;
    (void)fn;
    (void)arg;
    errno = ENOTSUP;
    return NULL;
}
void plat_group_kill(struct plat_group *g) { (void)g; }
void plat_group_wait(struct plat_group *g) { (void)g; }
void plat_group_free(struct plat_group *g) { (void)g; }

void plat_lock(struct plat_mutex *m) { pthread_mutex_lock(mutex_of(m)); }
void plat_unlock(struct plat_mutex *m) { pthread_mutex_unlock(mutex_of(m)); }
void plat_cond_signal(struct plat_cond *c) { pthread_cond_signal(cond_of(c)); }
void plat_cond_broadcast(struct plat_cond *c) { pthread_cond_broadcast(cond_of(c)); }

bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    struct timespec until = timespec_of(deadline_ns);

    if (deadline_ns == PLAT_NEVER)
        return pthread_cond_wait(cond_of(c), mutex_of(m)) == 0;
    return pthread_cond_clockwait(cond_of(c), mutex_of(m), CLOCK_MONOTONIC, &until) != ETIMEDOUT;
}

/* ---- streams: one file descriptor for both directions, or one for each ---- */

struct fds {
    struct plat_stream stream; /* the first member */
    int in, out;
    bool is_socket;
    char *path; /* of a listener: the name to be removed */
};

static struct fds *fds_of(struct plat_stream *s) { return (struct fds *)s; }

/* fd is closed if there is no memory. */
static struct plat_stream *stream_of(int fd)
{
    struct fds *f = home_alloc(sizeof(*f));

    if (f == NULL) {
        close(fd);
        return NULL;
    }
    f->in = f->out = fd;
    f->is_socket = true;
    return &f->stream;
}

static bool ready_now(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, 0) > 0;
}

/* What standard input is may be shared with other programs: it is not made non-blocking. */
static ssize_t console_read(int fd, void *buf, size_t len)
{
    if (ready_now(fd, POLLIN))
        return read(fd, buf, len);
    errno = EAGAIN;
    return -1;
}

/* A pipe or terminal that is ready takes that much without waiting. */
static ssize_t console_write(int fd, const void *buf, size_t len)
{
    if (ready_now(fd, POLLOUT))
        return write(fd, buf, len < PIPE_BUF ? len : PIPE_BUF);
    errno = EAGAIN;
    return -1;
}

ssize_t plat_read(struct plat_stream *s, void *buf, size_t len)
{
    struct fds *f = fds_of(s);
    ssize_t n;

    do
        n = f->is_socket ? recv(f->in, buf, len, MSG_DONTWAIT) : console_read(f->in, buf, len);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t plat_write(struct plat_stream *s, const void *buf, size_t len)
{
    struct fds *f = fds_of(s);
    ssize_t n;

    do
        n = f->is_socket ? send(f->out, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                         : console_write(f->out, buf, len);
    while (n < 0 && errno == EINTR);
    return n;
}

void plat_close(struct plat_stream *s)
{
    struct fds *f = fds_of(s);

    plat_watch(s->loop, s, 0, NULL, NULL);
    if (f->path)
        unlink(f->path);
    if (f->is_socket)
        close(f->in);
    free(f->path);
    free(f);
}

struct plat_stream *plat_of_fd(int fd)
{
    struct fds *f = home_alloc(sizeof(*f));

    if (f == NULL)
        return NULL;
    f->in = f->out = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return &f->stream;
}

int plat_pair(struct plat_stream *ends[2])
{
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
        return -1;
    ends[0] = stream_of(fd[0]);
    ends[1] = stream_of(fd[1]);
    if (ends[0] && ends[1])
        return 0;
    for (int i = 0; i < 2; i++)
        if (ends[i])
            plat_close(ends[i]);
    errno = ENOMEM;
    return -1;
}

/* Who reads our output may go away: an error then, not the end of the program. */
struct plat_stream *plat_console(void)
{
    static bool taken;
    struct plat_stream *s;

    if (taken) {
        errno = EBUSY;
        return NULL;
    }
    s = stream_of(STDIN_FILENO);
    if (s == NULL)
        return NULL;
    fds_of(s)->out = STDOUT_FILENO;
    fds_of(s)->is_socket = false;
    signal(SIGPIPE, SIG_IGN);
    taken = true;
    return s;
}

bool plat_console_interrupted(void) { return false; }

/* A socket, and the address for it. Returns -1 with errno. */
static int socket_for(const char *path, struct sockaddr_un *address, int flags)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) > PATH_MAX_BYTES) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

/*
 * A name that is left over from a program that was killed is nobody's. A socket of the wrong type
 * finds out without being a client: where somebody listens, it is told EPROTOTYPE.
 */
static bool is_left_over(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool nobody;

    if (fd < 0)
        return false;
    nobody = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
             errno == ECONNREFUSED;
    close(fd);
    return nobody;
}

/* Nobody but the same user may connect, from the first moment on. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(0077);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)), error = errno;

    umask(before);
    errno = error;
    return rc;
}

struct plat_stream *plat_listen(const char *path)
{
    struct sockaddr_un address;
    int fd = socket_for(path, &address, SOCK_NONBLOCK), rc, error;
    struct plat_stream *s;

    if (fd < 0)
        return NULL;
    rc = bind_private(fd, &address);
    error = errno;
    if (rc && error == EADDRINUSE && is_left_over(&address) && unlink(path) == 0) {
        rc = bind_private(fd, &address);
        error = errno;
    }
    if (rc == 0 && (rc = listen(fd, 16)) != 0)
        error = errno;
    if (rc) {
        close(fd);
        errno = error;
        return NULL;
    }
    s = stream_of(fd);
    if (s && (fds_of(s)->path = strdup(path)) == NULL) {
        plat_close(s);
        s = NULL;
    }
    if (s == NULL)
        unlink(path);
    return s;
}

struct plat_stream *plat_accept(struct plat_stream *listener)
{
    int fd = accept4(fds_of(listener)->in, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        return stream_of(fd);
    if (errno == ECONNABORTED || errno == EINTR)
        errno = EAGAIN;
    return NULL;
}

struct plat_stream *plat_connect(const char *path)
{
    struct sockaddr_un address;
    int fd = socket_for(path, &address, SOCK_NONBLOCK), error;

    if (fd < 0)
        return NULL;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return stream_of(fd);
    error = errno;
    close(fd);
    errno = error;
    return NULL;
}

/* ---- the loop's waiting: poll() ---- */

struct waiting {
    int wake; /* an eventfd */
    struct pollfd *fds;
    size_t nr, max;
};

int home_loop_init(struct plat_loop *l)
{
    struct waiting *w = home_alloc(sizeof(*w));

    if (w == NULL)
        return -1;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake < 0) {
        free(w);
        return -1;
    }
    l->home = w;
    return 0;
}

void home_loop_exit(struct plat_loop *l)
{
    struct waiting *w = l->home;

    close(w->wake);
    free(w->fds);
    free(w);
}

void home_notify(struct plat_loop *l)
{
    struct waiting *w = l->home;

    eventfd_write(w->wake, 1);
}

void home_watched(struct plat_stream *s, struct plat_loop *l)
{
    (void)s; /* the list says it */
    (void)l;
}

static void add(struct waiting *w, int fd, short events)
{
    w->fds[w->nr++] = (struct pollfd){ .fd = fd, .events = events };
}

/* Does it take one entry for reading and one for writing? Else it takes one. */
static bool takes_two(const struct plat_stream *s, const struct fds *f)
{
    return s->events == (PLAT_READABLE | PLAT_WRITABLE) && f->in != f->out;
}

/* There are no more entries than files are open: poll() takes not more than may be. */
static int collect(struct plat_loop *l, struct waiting *w)
{
    size_t nr = 1;

    for (struct plat_stream *s = l->streams; s; s = s->next)
        nr += 2;
    if (nr > w->max) {
        struct pollfd *fds = realloc(w->fds, 2 * nr * sizeof(*fds));

        if (fds == NULL)
            return -1;
        w->fds = fds;
        w->max = 2 * nr;
    }
    w->nr = 0;
    add(w, w->wake, POLLIN);
    for (struct plat_stream *s = l->streams; s; s = s->next) {
        const struct fds *f = fds_of(s);
        short out = s->events & PLAT_WRITABLE ? POLLOUT : 0;

        if (takes_two(s, f)) {
            add(w, f->in, POLLIN);
            add(w, f->out, POLLOUT);
        } else if (s->events & PLAT_READABLE) {
            add(w, f->in, (short)(POLLIN | out));
        } else { /* one that waits for nothing is ignored: its end would wake us again and again */
            add(w, out ? f->out : -1, out);
        }
    }
    return 0;
}

/* Of the events that are waited for, those that are so; an error or an end is each of them. */
static unsigned int ready_of(const struct plat_stream *s, short revents)
{
    unsigned int ready = 0;

    if (revents & ~POLLOUT)
        ready |= PLAT_READABLE;
    if (revents & ~POLLIN)
        ready |= PLAT_WRITABLE;
    return ready & s->events;
}

int home_wait(struct plat_loop *l, uint64_t deadline_ns)
{
    struct waiting *w = l->home;
    uint64_t now = plat_now();
    struct timespec left = timespec_of(deadline_ns > now ? deadline_ns - now : 0);
    const struct pollfd *p;
    eventfd_t count;

    if (collect(l, w))
        return -1;
    if (ppoll(w->fds, w->nr, deadline_ns == PLAT_NEVER ? NULL : &left, NULL) < 0) {
        for (size_t i = 0; i < w->nr; i++)
            w->fds[i].revents = 0;
        if (errno != EINTR)
            return -1;
    }
    if (w->fds[0].revents)
        eventfd_read(w->wake, &count);
    p = &w->fds[1];
    for (struct plat_stream *s = l->streams; s; s = s->next, p++) {
        s->ready = ready_of(s, p->revents);
        if (takes_two(s, fds_of(s))) {
            p++;
            s->ready |= p->revents ? PLAT_WRITABLE : 0u;
        }
    }
    return 0;
}

/* ---- files ---- */

static int close_keeping_errno(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
    return -1;
}

/* For reading, and never waiting: a device or a pipe has no end to be read to. */
static int open_regular(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode))
            return fd;
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    }
    return close_keeping_errno(fd);
}

char *plat_file_read(const char *path, size_t *len)
{
    int fd = open_regular(path);
    size_t used = 0, size = 0;
    char *data = NULL;
    ssize_t n;

    if (fd < 0)
        return NULL;
    do {
        if (size - used < 2) { /* what says its size is 0 may have more */
            char *more = realloc(data, size = size ? 2 * size : 4096);

            if (more == NULL) {
                n = -1;
                break;
            }
            data = more;
        }
        n = read(fd, data + used, size - used - 1);
        used += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    close_keeping_errno(fd);
    if (n < 0) {
        free(data);
        return NULL;
    }
    data[used] = '\0';
    if (len)
        *len = used;
    return data;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* So that the new name outlives a power failure. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    char *slash;
    int fd;

    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

enum { NEW_NAMES = 100 };

struct plat_file {
    int fd;
    char path[PATH_MAX];
    char name[PATH_MAX]; /* what it is called until it is made; "": it is read */
};

static struct plat_file *file_start(const char *path)
{
    struct plat_file *f = home_alloc(sizeof(*f));

    if (f && snprintf(f->path, sizeof(f->path), "%s", path) >= (int)sizeof(f->path)) {
        free(f);
        errno = ENAMETOOLONG;
        return NULL;
    }
    return f;
}

struct plat_file *plat_file_open(const char *path)
{
    struct plat_file *f = file_start(path);

    if (f && (f->fd = open_regular(path)) < 0) {
        free(f);
        return NULL;
    }
    return f;
}

/* A file system that cannot keep room says so when it is needed. */
static int keep_room(int fd, uint64_t bytes)
{
    if (bytes == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) == 0)
        return 0;
    return errno == ENOSPC || errno == EFBIG ? -1 : 0;
}

/* By a name of its own: what else has that, of an earlier process or laid out by somebody, is not opened. */
static int open_new(struct plat_file *f, mode_t mode)
{
    static unsigned int serial;
    int fd = -1;

    for (unsigned int i = 0; i < NEW_NAMES && fd < 0; i++) {
        if (snprintf(f->name, sizeof(f->name), "%s.new-%d-%u", f->path, getpid(),
                     __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED)) >= (int)sizeof(f->name)) {
            f->name[0] = '\0';
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        f->name[0] = '\0'; /* nothing of ours to remove */
    return fd;
}

static struct plat_file *file_create(const char *path, uint64_t expected, mode_t mode)
{
    struct plat_file *f = file_start(path);

    if (f == NULL)
        return NULL;
    f->fd = open_new(f, mode);
    if (f->fd >= 0 && keep_room(f->fd, expected) == 0)
        return f;
    plat_file_close(f);
    return NULL;
}

struct plat_file *plat_file_create(const char *path, uint64_t expected)
{
    return file_create(path, expected, 0600);
}

ssize_t plat_file_get(struct plat_file *f, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(f->fd, (char *)buf + done, len - done);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)done;
}

int plat_file_put(struct plat_file *f, const void *data, size_t len)
{
    return write_all(f->fd, data, len);
}

int plat_file_commit(struct plat_file *f)
{
    int rc = ftruncate(f->fd, lseek(f->fd, 0, SEEK_CUR)); /* what room was kept and not needed */

    if (rc == 0 && (rc = fsync(f->fd)) == 0) {
        rc = close(f->fd);
        f->fd = -1;
    }
    if (rc == 0 && (rc = rename(f->name, f->path)) == 0) {
        f->name[0] = '\0';
        sync_folder(f->path);
    }
    plat_file_close(f);
    return rc;
}

void plat_file_close(struct plat_file *f)
{
    int error = errno;

    if (f == NULL)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->name[0])
        unlink(f->name);
    free(f);
    errno = error;
}

int plat_file_write(const char *path, const void *data, size_t len)
{
    struct plat_file *f = file_create(path, 0, 0666);

    if (f == NULL)
        return -1;
    if (plat_file_put(f, data, len) == 0)
        return plat_file_commit(f);
    plat_file_close(f);
    return -1;
}

int plat_file_append(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0)
        return -1;
    return write_all(fd, data, len) ? close_keeping_errno(fd) : close(fd);
}

int plat_file_remove(const char *path) { return unlink(path); }
int plat_file_rename(const char *path, const char *to) { return rename(path, to); }

int plat_file_size(const char *path, size_t *len)
{
    struct stat st;

    if (stat(path, &st))
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    *len = (size_t)st.st_size;
    return 0;
}

/* ---- regions ---- */

static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static struct region {
    struct region *next;
    void *at;
    int fd; /* locked as long as it is open: by that a program that is killed gives it up, too */
} * regions;

static const char *region_folder(void)
{
    const char *named = getenv("XEN_LIKE_STATE");

    if (named == NULL)
        mkdir("/run/xen-like", 0700); /* if it fails, what follows does */
    return named ? named : "/run/xen-like";
}

/* It may have been removed before it was locked. */
static bool is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

static int region_file(const char *name, int flags)
{
    const char *folder = region_folder();
    char path[PATH_MAX];
    int fd;

    if (!region_name_ok(name)) {
        errno = EINVAL;
        return -1;
    }
    snprintf(path, sizeof(path), "%s/%s.region", folder, name);
    fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            errno = EBUSY;
        return close_keeping_errno(fd);
    }
    if (fd >= 0 && is_removed(fd)) {
        close(fd);
        return region_file(name, flags);
    }
    return fd;
}

/* Room is taken at once: later there would be a signal in place of an error. Returns 0 or an errno. */
static int region_size(int fd, size_t len, bool *fresh)
{
    struct stat st;

    if (fstat(fd, &st))
        return errno;
    *fresh = st.st_size == 0;
    if (*fresh)
        return posix_fallocate(fd, 0, (off_t)len);
    return (size_t)st.st_size == len ? 0 : EINVAL;
}

void *plat_region_open(const char *name, size_t len, bool *fresh)
{
    size_t bytes = (len + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
    struct region *r = home_alloc(sizeof(*r));
    bool is_fresh = false;
    int fd, error;

    if (r == NULL)
        return NULL;
    fd = region_file(name, O_CREAT);
    if (fd < 0) {
        free(r);
        return NULL;
    }
    error = bytes ? region_size(fd, bytes, &is_fresh) : EINVAL;
    if (error == 0) {
        r->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = r->at == MAP_FAILED ? errno : 0;
    }
    if (error) {
        close(fd);
        free(r);
        errno = error;
        return NULL;
    }
    r->fd = fd;
    pthread_mutex_lock(&regions_lock);
    r->next = regions;
    regions = r;
    pthread_mutex_unlock(&regions_lock);
    if (fresh)
        *fresh = is_fresh;
    return r->at;
}

void plat_region_close(void *region, size_t len)
{
    struct region **at = &regions, *r;

    pthread_mutex_lock(&regions_lock);
    while ((*at)->at != region)
        at = &(*at)->next;
    r = *at;
    *at = r->next;
    pthread_mutex_unlock(&regions_lock);
    munmap(region, len);
    close(r->fd);
    free(r);
}

int plat_region_remove(const char *name)
{
    char path[PATH_MAX];
    int fd = region_file(name, 0), rc;

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/%s.region", region_folder(), name);
    rc = unlink(path);
    close_keeping_errno(fd);
    return rc;
}
