/*
 * platform.h on the runtime. Streams are those of memory.c; the console is one more kind of them.
 * Files are the runtime's, in memory. Regions are pages that stay when the threads that used them
 * are gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/group.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/lock.h>
#include <rt/memory.h>
#include <rt/thread.h>

#include "../kernel/internal.h"
#include "memory.h"

_Static_assert(sizeof(struct mutex) <= sizeof(struct plat_mutex), "room");
_Static_assert(sizeof(struct cond) <= sizeof(struct plat_cond), "room");
_Static_assert(NO_DEADLINE == PLAT_NEVER && THREAD_STACK_BYTES >= 32768, "as promised");

void *home_alloc(size_t bytes) { return calloc(1, bytes); }

void home_log(enum plat_level level, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    kprint("%s: %s\n", names[level], line);
}

/* ---- clock, threads, locks: by other names ---- */

void plat_yield(void)
{
    thread_yield();
    hc(sched_op, SCHEDOP_yield, 0);
}
uint64_t plat_now(void) { return clock_now(); }
uint64_t plat_wall(void) { return clock_wall(); }

struct plat_thread *plat_thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    return (struct plat_thread *)thread_create(name, fn, arg);
}

void plat_thread_join(struct plat_thread *t) { thread_join((struct thread *)t); }

struct plat_group *plat_group_start(const char *name, void (*fn)(void *arg), void *arg)
{
    return (struct plat_group *)group_start(name, fn, arg);
}

void plat_group_kill(struct plat_group *g) { group_kill((struct group *)g); }
void plat_group_wait(struct plat_group *g) { group_wait((struct group *)g); }
void plat_group_free(struct plat_group *g) { group_free((struct group *)g); }

static struct mutex *mutex_of(struct plat_mutex *m) { return (struct mutex *)m; }
static struct cond *cond_of(struct plat_cond *c) { return (struct cond *)c; }

void plat_lock(struct plat_mutex *m) { mutex_lock(mutex_of(m)); }
void plat_unlock(struct plat_mutex *m) { mutex_unlock(mutex_of(m)); }
void plat_cond_signal(struct plat_cond *c) { cond_signal(cond_of(c)); }
void plat_cond_broadcast(struct plat_cond *c) { cond_broadcast(cond_of(c)); }

bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    return cond_wait(cond_of(c), mutex_of(m), deadline_ns);
}

/* ---- one who waits: a semaphore ---- */

struct home_sem {
    struct semaphore s;
};

struct home_sem *home_sem_new(void) { return home_alloc(sizeof(struct home_sem)); }
void home_sem_free(struct home_sem *s) { free(s); }
void home_sem_up(struct home_sem *s) { semaphore_up(&s->s); }

int home_sem_down(struct home_sem *s, uint64_t deadline_ns)
{
    return semaphore_down(&s->s, deadline_ns);
}

/* ---- what groups have of memory.c ---- */

_Static_assert(sizeof(struct owned) <= sizeof(((struct end *)0)->owner), "room");

void home_enter(void) { runtime_enter(); }
void home_leave(void) { runtime_leave(); }

static void end_release(struct owned *o)
{
    end_abandon((struct end *)((char *)o - offsetof(struct end, owner)));
}

void home_own(struct end *e) { owned_add((struct owned *)e->owner, end_release); }
void home_disown(struct end *e) { owned_remove((struct owned *)e->owner); }

/* ---- the console ---- */

static struct console {
    struct end end; /* the first member */
    struct spinlock lock;
    struct plat_loop *loop; /* guarded by lock: the handler below looks there */
    char buf[256];          /* read, and not yet given to anybody */
    size_t at, used;
} console;

static void console_fill(struct console *c)
{
    if (c->at == c->used) {
        long n = console_read(c->buf, sizeof(c->buf), false);

        c->at = 0;
        c->used = n > 0 ? (size_t)n : 0;
    }
}

static unsigned int console_ready(struct end *e)
{
    struct console *c = (struct console *)e;

    console_fill(c);
    return PLAT_WRITABLE | (c->at < c->used ? PLAT_READABLE : 0u);
}

static ssize_t console_give(struct end *e, void *buf, size_t len)
{
    struct console *c = (struct console *)e;
    size_t n;

    console_fill(c);
    n = c->used - c->at < len ? c->used - c->at : len;
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(buf, c->buf + c->at, n);
    c->at += n;
    return (ssize_t)n;
}

static ssize_t console_take(struct end *e, const void *buf, size_t len)
{
    (void)e;
    console_write(buf, len);
    return (ssize_t)len;
}

static unsigned int console_taken;

static void console_close(struct end *e)
{
    (void)e;
    __atomic_store_n(&console_taken, 0, __ATOMIC_SEQ_CST);
}

static void console_watched(struct end *e, struct plat_loop *l)
{
    struct console *c = (struct console *)e;
    bool were_off = spin_lock(&c->lock);

    c->loop = l;
    spin_unlock(&c->lock, were_off);
}

/* An event handler. */
static void on_input(void *arg)
{
    struct console *c = arg;
    bool were_off = spin_lock(&c->lock);

    if (c->loop)
        home_notify(c->loop);
    spin_unlock(&c->lock, were_off);
}

static const struct end_ops console_ops = { .ready = console_ready,
                                            .read = console_give,
                                            .write = console_take,
                                            .close = console_close,
                                            .watched = console_watched };

struct plat_stream *plat_console(void)
{
    RUNTIME_SECTION;

    if (__atomic_exchange_n(&console_taken, 1, __ATOMIC_SEQ_CST)) {
        errno = EBUSY;
        return NULL;
    }
    console.end.ops = &console_ops;
    home_own(&console.end);
    console_input_hook(on_input, &console);
    return &console.end.stream;
}

/* What does not fit is looked at when there is room. */
bool plat_console_interrupted(void)
{
    enum { CTRL_C = 3 };
    struct console *c = &console;
    const char *found;
    long n;

    RUNTIME_SECTION;

    memmove(c->buf, c->buf + c->at, c->used - c->at);
    c->used -= c->at;
    c->at = 0;
    n = console_read(c->buf + c->used, sizeof(c->buf) - c->used, false);
    c->used += n > 0 ? (size_t)n : 0;
    found = memchr(c->buf, CTRL_C, c->used);
    if (found)
        c->at = (size_t)(found - c->buf) + 1;
    return found != NULL;
}

/* ---- files ---- */

/* Up to so many bytes of it. */
static ssize_t file_read(const char *path, void *data, size_t len)
{
    RUNTIME_SECTION;
    int fd = open(path, O_RDONLY);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, data, len);
    close(fd);
    return n;
}

/*
 * Memory is allocated where it is the caller's, outside of a section. Between the look at its size and the reading
 * it may have become another file: a longer one shows by a byte more.
 */
char *plat_file_read(const char *path, size_t *len)
{
    struct stat st;
    char *data;
    ssize_t n;

    do {
        if (stat(path, &st))
            return NULL;
        data = malloc((size_t)st.st_size + 1);
        n = data ? file_read(path, data, (size_t)st.st_size + 1) : -1;
        if (n < 0 || n > st.st_size)
            free(data);
    } while (n > st.st_size);
    if (n < 0)
        return NULL;
    data[n] = '\0';
    if (len)
        *len = (size_t)n;
    return data;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->copy = NULL;
    v->bytes = files_archived(path, &v->len);
    if (v->bytes == NULL)
        v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->bytes ? 0 : -1;
}

int plat_file_write(const char *path, const void *data, size_t len)
{
    return file_replace(path, data, len);
}

int plat_file_append(const char *path, const void *data, size_t len)
{
    RUNTIME_SECTION;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, data, len);
    close(fd);
    return n < 0 ? -1 : 0;
}

int plat_file_remove(const char *path) { return unlink(path); }
int plat_file_rename(const char *path, const char *to) { return rename(path, to); }

int plat_file_size(const char *path, size_t *len)
{
    struct stat st;

    if (stat(path, &st))
        return -1;
    *len = (size_t)st.st_size;
    return 0;
}

struct plat_file {
    int fd;
    char *path, *name; /* name: what it is called until it is made; NULL: it is read */
};

/* path and name are the file's from now on. */
static struct plat_file *file_of(char *path, char *name, int flags)
{
    struct plat_file *f = path ? calloc(1, sizeof(*f)) : NULL;

    if (f)
        f->fd = open(name ? name : path, flags, 0666);
    if (f && f->fd >= 0) {
        f->path = path;
        f->name = name;
        return f;
    }
    free(f);
    free(path);
    free(name);
    return NULL;
}

struct plat_file *plat_file_open(const char *path) { return file_of(strdup(path), NULL, O_RDONLY); }

struct plat_file *plat_file_create(const char *path, uint64_t expected)
{
    static unsigned int serial;
    struct plat_file *f;
    char *name = NULL;

    if (asprintf(&name, "%s.new-%u", path, __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED)) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    f = file_of(strdup(path), name, O_WRONLY | O_CREAT | O_TRUNC);
    if (f && file_reserve(f->fd, expected)) {
        plat_file_close(f);
        return NULL;
    }
    return f;
}

ssize_t plat_file_get(struct plat_file *f, void *buf, size_t len) { return read(f->fd, buf, len); }

int plat_file_put(struct plat_file *f, const void *data, size_t len)
{
    return write(f->fd, data, len) < 0 ? -1 : 0;
}

int plat_file_commit(struct plat_file *f)
{
    int rc = rename(f->name, f->path);

    if (rc == 0) {
        free(f->name);
        f->name = NULL;
    }
    plat_file_close(f);
    return rc;
}

void plat_file_close(struct plat_file *f)
{
    int error = errno;

    if (f == NULL)
        return;
    close(f->fd);
    if (f->name)
        unlink(f->name);
    free(f->name);
    free(f->path);
    free(f);
    errno = error;
}

/* ---- regions ---- */

static struct mutex regions_lock; /* guards the list */
static struct region {
    struct owned owner; /* the first member */
    struct region *next;
    char name[32];
    void *at;
    size_t nr_pages;
    bool open;
} * regions;

static struct region **region_find(const char *name)
{
    struct region **r = &regions;

    while (*r && strcmp((*r)->name, name) != 0)
        r = &(*r)->next;
    return r;
}

static struct region *region_new(const char *name, size_t nr_pages)
{
    struct region *r = calloc(1, sizeof(*r));

    if (r)
        r->at = page_alloc(nr_pages);
    if (r == NULL || r->at == NULL) {
        free(r);
        errno = ENOMEM;
        return NULL;
    }
    strcpy(r->name, name);
    r->nr_pages = nr_pages;
    r->next = regions;
    regions = r;
    return r;
}

static void region_release(struct owned *o) { ((struct region *)o)->open = false; }

void *plat_region_open(const char *name, size_t len, bool *fresh)
{
    RUNTIME_SECTION;
    size_t nr_pages = (len + PAGE_BYTES - 1) / PAGE_BYTES;
    struct region *r = NULL;
    bool made = false;

    if (!region_name_ok(name) || nr_pages == 0) {
        errno = EINVAL;
        return NULL;
    }
    runtime_lock(&regions_lock);
    r = *region_find(name);
    if (r == NULL) {
        r = region_new(name, nr_pages);
        made = r != NULL;
    } else if (r->nr_pages != nr_pages || r->open) {
        errno = r->open ? EBUSY : EINVAL;
        r = NULL;
    }
    if (r) {
        r->open = true;
        owned_add(&r->owner, region_release);
    }
    runtime_unlock(&regions_lock);
    if (r && fresh)
        *fresh = made;
    return r ? r->at : NULL;
}

void plat_region_close(void *region, size_t len)
{
    (void)len;
    runtime_lock(&regions_lock);
    for (struct region *r = regions; r; r = r->next)
        if (r->at == region && r->open) {
            owned_remove(&r->owner);
            r->open = false;
        }
    runtime_unlock(&regions_lock);
}

int plat_region_remove(const char *name)
{
    RUNTIME_SECTION;
    struct region **at, *r;

    runtime_lock(&regions_lock);
    at = region_find(name);
    r = *at;
    if (r && !r->open)
        *at = r->next;
    runtime_unlock(&regions_lock);
    if (r && !r->open) {
        page_free(r->at, r->nr_pages);
        free(r);
        return 0;
    }
    errno = r ? EBUSY : ENOENT;
    return -1;
}
