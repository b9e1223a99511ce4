/* See fake.h. Streams are those of memory.c, threads POSIX's; what these wait for is kept here. */
#include "fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

enum { PAGE_BYTES = 4096 };
#define START_NS 1000000000UL
#define WALL_NS 1800000000000000000UL /* at time 0: in 2027 */

static struct plat_mutex lock; /* guards what follows, but for the clock */
static unsigned int fail_at;
static bool failed;

/* ---- failures ---- */

void fake_fail_at(unsigned int n)
{
    plat_lock(&lock);
    fail_at = n;
    failed = false;
    plat_unlock(&lock);
}

bool fake_failed(void) { return failed; }

static bool fails(void)
{
    bool now;

    plat_lock(&lock);
    now = fail_at && --fail_at == 0;
    failed |= now;
    plat_unlock(&lock);
    if (now)
        errno = ENOMEM;
    return now;
}

void *home_alloc(size_t bytes) { return fails() ? NULL : calloc(1, bytes); }

/* ---- log ---- */

static char last_line[300];
static unsigned int nr_lines;

void home_log(enum plat_level level, const char *line)
{
    (void)level;
    plat_lock(&lock);
    nr_lines++;
    snprintf(last_line, sizeof(last_line), "%s", line);
    plat_unlock(&lock);
}

const char *fake_log_last(void) { return last_line; }
unsigned int fake_log_lines(void) { return nr_lines; }

/* ---- time ---- */

static uint64_t now_ns = START_NS;

static void (*others)(void);
void fake_yields_to(void (*fn)(void)) { others = fn; }
void plat_yield(void)
{
    if (others)
        others();
}
uint64_t plat_now(void) { return __atomic_load_n(&now_ns, __ATOMIC_SEQ_CST); }
uint64_t plat_wall(void) { return WALL_NS + plat_now(); }
void fake_advance(uint64_t ns) { __atomic_fetch_add(&now_ns, ns, __ATOMIC_SEQ_CST); }

/* ---- waiting: one list of all who wait, in the order in which they began ---- */

static pthread_mutex_t sim = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and semaphores */
static unsigned int nr_threads = 1, nr_blocked;         /* that live; of these, that wait */

enum outcome { WAITS, WOKEN, LATE, DEAD };

static struct waiter {
    struct waiter *next;
    const void *what; /* a condition variable, a semaphore, a thread that is to end */
    bool is_loop;
    uint64_t deadline_ns;
    enum outcome outcome;
    pthread_cond_t changed;
} * waiters;

static void waiter_end(struct waiter *w, enum outcome outcome)
{
    w->outcome = outcome;
    nr_blocked--;
    pthread_cond_signal(&w->changed);
}

/* Returns whether there was one. */
static bool wake_one(const void *what)
{
    for (struct waiter *w = waiters; w; w = w->next)
        if (w->what == what && w->outcome == WAITS) {
            waiter_end(w, WOKEN);
            return true;
        }
    return false;
}

/* When all wait, time passes, until one has waited long enough. */
static void pass_time(void)
{
    struct waiter *first = NULL, *loop = NULL;

    if (nr_blocked < nr_threads)
        return;
    for (struct waiter *w = waiters; w; w = w->next)
        if (w->outcome == WAITS) {
            loop = w->is_loop ? w : loop;
            if (first == NULL || w->deadline_ns < first->deadline_ns)
                first = w;
        }
    if (first && first->deadline_ns != PLAT_NEVER) {
        if (plat_now() < first->deadline_ns)
            __atomic_store_n(&now_ns, first->deadline_ns, __ATOMIC_SEQ_CST);
        waiter_end(first, LATE);
    } else if (loop) {
        waiter_end(loop, DEAD);
    } else if (nr_threads) {
        fprintf(stderr, "fake: all threads wait for ever\n");
        abort();
    }
}

/* m, if not NULL, is released without a gap. */
static enum outcome block(const void *what, bool is_loop, uint64_t deadline_ns,
                          struct plat_mutex *m)
{
    struct waiter w = { .what = what, .is_loop = is_loop, .deadline_ns = deadline_ns }, **at;

    pthread_cond_init(&w.changed, NULL);
    for (at = &waiters; *at; at = &(*at)->next)
        ;
    *at = &w;
    nr_blocked++;
    if (m)
        plat_unlock(m);
    pass_time();
    while (w.outcome == WAITS)
        pthread_cond_wait(&w.changed, &sim);
    for (at = &waiters; *at != &w; at = &(*at)->next)
        ;
    *at = w.next;
    pthread_cond_destroy(&w.changed);
    return w.outcome;
}

/* ---- threads ---- */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct plat_mutex), "room");

void plat_lock(struct plat_mutex *m) { pthread_mutex_lock((pthread_mutex_t *)m); }
void plat_unlock(struct plat_mutex *m) { pthread_mutex_unlock((pthread_mutex_t *)m); }

struct plat_thread {
    pthread_t id;
    void (*fn)(void *arg);
    void *arg;
    bool ended;
};

static void *begin(void *arg)
{
    struct plat_thread *t = arg;

    t->fn(t->arg);
    pthread_mutex_lock(&sim);
    t->ended = true;
    nr_threads--;
    wake_one(t);
    pass_time();
    pthread_mutex_unlock(&sim);
    return NULL;
}

struct plat_thread *plat_thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    struct plat_thread *t = home_alloc(sizeof(*t));

    (void)name;
    if (t == NULL)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    pthread_mutex_lock(&sim);
    nr_threads++;
    pthread_mutex_unlock(&sim);
    if (pthread_create(&t->id, NULL, begin, t))
        abort();
    return t;
}

void plat_thread_join(struct plat_thread *t)
{
    pthread_mutex_lock(&sim);
    if (!t->ended)
        block(t, false, PLAT_NEVER, NULL);
    pthread_mutex_unlock(&sim);
    pthread_join(t->id, NULL);
    free(t);
}

bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    enum outcome o;

    if (plat_now() >= deadline_ns)
        return false;
    pthread_mutex_lock(&sim);
    o = block(c, false, deadline_ns, m);
    pthread_mutex_unlock(&sim);
    plat_lock(m);
    return o == WOKEN;
}

void plat_cond_signal(struct plat_cond *c)
{
    pthread_mutex_lock(&sim);
    wake_one(c);
    pthread_mutex_unlock(&sim);
}

void plat_cond_broadcast(struct plat_cond *c)
{
    pthread_mutex_lock(&sim);
    while (wake_one(c))
        ;
    pthread_mutex_unlock(&sim);
}

struct home_sem {
    unsigned int count;
};

/* There are no groups here. */
void home_enter(void) {}
void home_leave(void) {}
void home_own(struct end *e) { (void)e; }
void home_disown(struct end *e) { (void)e; }

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

struct home_sem *home_sem_new(void) { return home_alloc(sizeof(struct home_sem)); }
void home_sem_free(struct home_sem *s) { free(s); }

void home_sem_up(struct home_sem *s)
{
    pthread_mutex_lock(&sim);
    if (!wake_one(s))
        s->count++;
    pthread_mutex_unlock(&sim);
}

int home_sem_down(struct home_sem *s, uint64_t deadline_ns)
{
    enum outcome o = LATE;

    pthread_mutex_lock(&sim);
    if (s->count) {
        s->count--;
        o = WOKEN;
    } else if (plat_now() < deadline_ns) {
        o = block(s, true, deadline_ns, NULL);
    }
    pthread_mutex_unlock(&sim);
    if (o == DEAD)
        errno = EDEADLK;
    return o == WOKEN ? 1 : o == LATE ? 0 : -1;
}

/* ---- the console ---- */

static struct plat_stream *console[2]; /* the program's end, the terminal's */
static bool console_taken;

static bool console_make(void) { return console[0] || plat_pair(console) == 0; }

struct plat_stream *plat_console(void)
{
    if (console_taken) {
        errno = EBUSY;
        return NULL;
    }
    console_taken = console_make();
    return console_taken ? console[0] : NULL;
}

bool plat_console_interrupted(void) { return false; }

struct plat_stream *fake_terminal(void) { return console_make() ? console[1] : NULL; }

/* ---- files and regions: names, and bytes ---- */

struct file {
    struct file *next;
    char *path, *data;
    size_t len;
    bool open; /* of a region */
};

static struct file *files, *regions;

static struct file **file_find(struct file **list, const char *path)
{
    while (*list && strcmp((*list)->path, path) != 0)
        list = &(*list)->next;
    return list;
}

static void file_free(struct file *f)
{
    free(f->path);
    free(f->data);
    free(f);
}

/* NULL: none there. */
static int file_unlink(struct file **list, const char *path)
{
    struct file **at = file_find(list, path), *f = *at;

    if (f == NULL)
        errno = ENOENT;
    else if (f->open)
        errno = EBUSY;
    if (f == NULL || f->open)
        return -1;
    *at = f->next;
    file_free(f);
    return 0;
}

static void forget(struct file **list)
{
    while (*list) {
        struct file *f = *list;

        *list = f->next;
        file_free(f);
    }
}

/* A new one, with room for len bytes (and one), all zero; not in a list. */
static struct file *file_new(const char *path, size_t len)
{
    struct file *f;

    if (fails())
        return NULL;
    f = calloc(1, sizeof(*f));
    f->path = strdup(path);
    f->data = calloc(1, len + 1);
    f->len = len;
    return f;
}

char *plat_file_read(const char *path, size_t *len)
{
    struct file *f;
    char *copy = NULL;

    if (fails())
        return NULL;
    plat_lock(&lock);
    f = *file_find(&files, path);
    if (f) {
        copy = malloc(f->len + 1);
        memcpy(copy, f->data, f->len + 1);
        if (len)
            *len = f->len;
    } else {
        errno = ENOENT;
    }
    plat_unlock(&lock);
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

/* What it held, from the start on or from its end on, and then data. */
static int file_put(const char *path, const void *data, size_t len, bool append)
{
    struct file *f = file_new(path, 0), **at;
    size_t before;

    if (f == NULL)
        return -1;
    plat_lock(&lock);
    at = file_find(&files, path);
    before = *at && append ? (*at)->len : 0;
    f->data = realloc(f->data, before + len + 1);
    f->len = before + len;
    if (before)
        memcpy(f->data, (*at)->data, before);
    if (len)
        memcpy(f->data + before, data, len);
    f->data[f->len] = '\0';
    if (*at) {
        f->next = (*at)->next;
        file_free(*at);
    }
    *at = f;
    plat_unlock(&lock);
    return 0;
}

int plat_file_write(const char *path, const void *data, size_t len)
{
    return file_put(path, data, len, false);
}

int plat_file_append(const char *path, const void *data, size_t len)
{
    return file_put(path, data, len, true);
}

int plat_file_remove(const char *path)
{
    int rc;

    plat_lock(&lock);
    rc = file_unlink(&files, path);
    plat_unlock(&lock);
    return rc;
}

int plat_file_rename(const char *path, const char *to)
{
    struct file *f;
    char *name;

    if (fails())
        return -1;
    name = strdup(to);
    plat_lock(&lock);
    f = *file_find(&files, path);
    if (f && strcmp(path, to) != 0) {
        if (*file_find(&files, to))
            file_unlink(&files, to);
        free(f->path);
        f->path = name;
        name = NULL;
    }
    plat_unlock(&lock);
    free(name);
    if (f == NULL)
        errno = ENOENT;
    return f ? 0 : -1;
}

int plat_file_size(const char *path, size_t *len)
{
    struct file *f;

    plat_lock(&lock);
    f = *file_find(&files, path);
    if (f)
        *len = f->len;
    else
        errno = ENOENT;
    plat_unlock(&lock);
    return f ? 0 : -1;
}

/* A copy of what is read, or what is to be written. */
struct plat_file {
    char *path, *data; /* path NULL: it is read */
    size_t len, at;
};

struct plat_file *plat_file_open(const char *path)
{
    struct plat_file *f = home_alloc(sizeof(*f));

    if (f && (f->data = plat_file_read(path, &f->len)) == NULL) {
        free(f);
        return NULL;
    }
    return f;
}

struct plat_file *plat_file_create(const char *path, uint64_t expected)
{
    struct plat_file *f = home_alloc(sizeof(*f));

    (void)expected;
    if (f)
        f->path = strdup(path);
    return f;
}

ssize_t plat_file_get(struct plat_file *f, void *buf, size_t len)
{
    size_t n = len < f->len - f->at ? len : f->len - f->at;

    if (fails())
        return -1;
    if (n)
        memcpy(buf, f->data + f->at, n);
    f->at += n;
    return (ssize_t)n;
}

int plat_file_put(struct plat_file *f, const void *data, size_t len)
{
    if (fails())
        return -1;
    f->data = realloc(f->data, f->len + len + 1);
    if (len)
        memcpy(f->data + f->len, data, len);
    f->len += len;
    return 0;
}

int plat_file_commit(struct plat_file *f)
{
    int rc = plat_file_write(f->path, f->data, f->len);

    plat_file_close(f);
    return rc;
}

void plat_file_close(struct plat_file *f)
{
    if (f) {
        free(f->path);
        free(f->data);
        free(f);
    }
}

/* Of whole pages, so that nothing but its own bytes is where a page of it is expected. */
static struct file *region_new(const char *name, size_t bytes)
{
    struct file *f = file_new(name, 0);

    if (f) {
        free(f->data);
        f->data = aligned_alloc(PAGE_BYTES, bytes);
        f->len = bytes;
        memset(f->data, 0, bytes);
    }
    return f;
}

void *plat_region_open(const char *name, size_t len, bool *fresh)
{
    size_t bytes = (len + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
    struct file *f = NULL, *made = NULL;
    int error = region_name_ok(name) && bytes ? 0 : EINVAL;

    if (error == 0) {
        plat_lock(&lock);
        f = *file_find(&regions, name);
        plat_unlock(&lock);
        if (f == NULL && (f = made = region_new(name, bytes)) == NULL)
            return NULL;
        error = f->len != bytes ? EINVAL : f->open ? EBUSY : 0;
    }
    if (error) {
        errno = error;
        return NULL;
    }
    plat_lock(&lock);
    if (made) {
        made->next = regions;
        regions = made;
    }
    f->open = true;
    plat_unlock(&lock);
    if (fresh)
        *fresh = made != NULL;
    return f->data;
}

void plat_region_close(void *region, size_t len)
{
    (void)len;
    plat_lock(&lock);
    for (struct file *f = regions; f; f = f->next)
        if (f->data == region)
            f->open = false;
    plat_unlock(&lock);
}

int plat_region_remove(const char *name)
{
    int rc;

    plat_lock(&lock);
    rc = file_unlink(&regions, name);
    plat_unlock(&lock);
    return rc;
}

/* ---- ends ---- */

void fake_restart(void)
{
    for (struct file *f = regions; f; f = f->next)
        f->open = false;
    for (int i = 0; i < 2; i++)
        if (console[i])
            plat_close(console[i]);
    console[0] = console[1] = NULL;
    console_taken = false;
}

void fake_reset(void)
{
    fake_restart();
    forget(&files);
    forget(&regions);
    fake_fail_at(0);
    now_ns = START_NS;
    last_line[0] = '\0';
    nr_lines = 0;
}
