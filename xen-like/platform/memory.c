/*
 * Streams in memory, and the waiting for them: for the homes that have no files of a kernel to wait
 * for. One lock guards all streams; it is held for a copy of some bytes at most.
 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNEL_BYTES = 4096, BACKLOG = 16, PATH_MAX_BYTES = 100 };

static struct plat_mutex lock;

/* Whoever has it, or has made what it guards, is not killed before that is whole. */
static void enter(void)
{
    home_enter();
    plat_lock(&lock);
}

static void leave(void)
{
    plat_unlock(&lock);
    home_leave();
}

static struct end *end_of(struct plat_stream *s) { return (struct end *)s; }

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* Something of it has changed; whoever watches it is to look. */
static void changed(struct end *e)
{
    if (e->notify)
        home_notify(e->notify);
}

/* ---- waiting ---- */

struct waiting {
    struct home_sem *sem;  /* its count is notified's, but for moments */
    unsigned int notified; /* 1: home_wait() is told already */
};

int home_loop_init(struct plat_loop *l)
{
    struct waiting *w = home_alloc(sizeof(*w));

    if (w && (w->sem = home_sem_new()) == NULL) {
        free(w);
        w = NULL;
    }
    l->home = w;
    return w ? 0 : -1;
}

void home_loop_exit(struct plat_loop *l)
{
    struct waiting *w = l->home;

    home_sem_free(w->sem);
    free(w);
}

void home_notify(struct plat_loop *l)
{
    struct waiting *w = l->home;

    if (__atomic_exchange_n(&w->notified, 1, __ATOMIC_SEQ_CST) == 0)
        home_sem_up(w->sem);
}

static bool scan(struct plat_loop *l)
{
    bool any = false;

    enter();
    for (struct plat_stream *s = l->streams; s; s = s->next) {
        s->ready = end_of(s)->ops->ready(end_of(s));
        any |= (s->ready & s->events) != 0;
    }
    leave();
    return any;
}

/* What happens after a scan notifies, so it is not slept through. */
int home_wait(struct plat_loop *l, uint64_t deadline_ns)
{
    struct waiting *w = l->home;
    bool any = scan(l);
    int rc;

    if (any && !__atomic_load_n(&w->notified, __ATOMIC_SEQ_CST))
        return 0;
    rc = home_sem_down(w->sem, any ? 0 : deadline_ns);
    if (rc > 0) {
        __atomic_store_n(&w->notified, 0, __ATOMIC_SEQ_CST);
        scan(l);
    }
    return rc < 0 ? -1 : 0;
}

void home_watched(struct plat_stream *s, struct plat_loop *l)
{
    struct end *e = end_of(s);

    enter();
    e->notify = l;
    if (e->ops->watched)
        e->ops->watched(e, l);
    leave();
}

/* ---- what all streams have ---- */

ssize_t plat_read(struct plat_stream *s, void *buf, size_t len)
{
    struct end *e = end_of(s);
    ssize_t n;

    enter();
    n = e->ops->read ? e->ops->read(e, buf, len) : fail(EAGAIN);
    leave();
    return n;
}

ssize_t plat_write(struct plat_stream *s, const void *buf, size_t len)
{
    struct end *e = end_of(s);
    ssize_t n;

    enter();
    n = e->ops->write ? e->ops->write(e, buf, len) : fail(EAGAIN);
    leave();
    return n;
}

void plat_close(struct plat_stream *s)
{
    plat_watch(s->loop, s, 0, NULL, NULL);
    enter();
    home_disown(end_of(s));
    end_of(s)->ops->close(end_of(s));
    leave();
}

void end_abandon(struct end *e)
{
    enter();
    e->notify = NULL;
    if (e->ops->watched)
        e->ops->watched(e, NULL);
    e->ops->close(e);
    leave();
}

/* ---- pairs: two ends, and the bytes on their way to each ---- */

struct pair;

struct pair_end {
    struct end end; /* the first member */
    struct pair *pair;
    struct pair_end *other; /* NULL: closed */
    struct pair_end *next;  /* of those that wait to be accepted */
    size_t at, used;        /* of what is to be read here */
    char bytes[CHANNEL_BYTES];
};

struct pair {
    struct pair_end ends[2];
    unsigned int nr_open;
};

static unsigned int pair_ready(struct end *e)
{
    struct pair_end *p = (struct pair_end *)e;

    return (p->used || p->other == NULL ? PLAT_READABLE : 0u) |
           (p->other == NULL || p->other->used < CHANNEL_BYTES ? PLAT_WRITABLE : 0u);
}

static ssize_t pair_read(struct end *e, void *buf, size_t len)
{
    struct pair_end *p = (struct pair_end *)e;
    size_t n = len < p->used ? len : p->used, first = CHANNEL_BYTES - p->at;

    if (n == 0)
        return p->other ? fail(EAGAIN) : 0;
    if (first > n)
        first = n;
    memcpy(buf, p->bytes + p->at, first);
    memcpy((char *)buf + first, p->bytes, n - first);
    p->at = (p->at + n) % CHANNEL_BYTES;
    p->used -= n;
    if (p->other)
        changed(&p->other->end);
    return (ssize_t)n;
}

static ssize_t pair_write(struct end *e, const void *buf, size_t len)
{
    struct pair_end *to = ((struct pair_end *)e)->other;
    size_t n, at, first;

    if (to == NULL)
        return fail(EPIPE);
    n = CHANNEL_BYTES - to->used;
    if (n > len)
        n = len;
    if (n == 0)
        return fail(EAGAIN);
    at = (to->at + to->used) % CHANNEL_BYTES;
    first = CHANNEL_BYTES - at < n ? CHANNEL_BYTES - at : n;
    memcpy(to->bytes + at, buf, first);
    memcpy(to->bytes, (const char *)buf + first, n - first);
    to->used += n;
    changed(&to->end);
    return (ssize_t)n;
}

static void pair_close(struct end *e)
{
    struct pair_end *p = (struct pair_end *)e;

    if (p->other) {
        p->other->other = NULL;
        changed(&p->other->end);
    }
    if (--p->pair->nr_open == 0)
        free(p->pair);
}

static const struct end_ops pair_ops = {
    .ready = pair_ready, .read = pair_read, .write = pair_write, .close = pair_close
};

static struct pair *pair_new(void)
{
    struct pair *p = home_alloc(sizeof(*p));

    if (p == NULL)
        return NULL;
    p->nr_open = 2;
    for (int i = 0; i < 2; i++) {
        p->ends[i].end.ops = &pair_ops;
        p->ends[i].pair = p;
        p->ends[i].other = &p->ends[1 - i];
    }
    return p;
}

int plat_pair(struct plat_stream *ends[2])
{
    struct pair *p;

    home_enter();
    p = pair_new();
    for (int i = 0; p && i < 2; i++) {
        home_own(&p->ends[i].end);
        ends[i] = &p->ends[i].end.stream;
    }
    home_leave();
    return p ? 0 : -1;
}

/* ---- names where one listens ---- */

struct listener {
    struct end end; /* the first member */
    struct listener *next;
    struct pair_end *first, **last; /* those that wait to be accepted */
    unsigned int nr_waiting;
    char path[PATH_MAX_BYTES + 1];
};

static struct listener *listeners;

static struct listener *listener_find(const char *path)
{
    struct listener *l = listeners;

    while (l && strcmp(l->path, path) != 0)
        l = l->next;
    return l;
}

static unsigned int listener_ready(struct end *e)
{
    return ((struct listener *)e)->first ? PLAT_READABLE : 0;
}

static struct pair_end *listener_take(struct listener *l)
{
    struct pair_end *p = l->first;

    if (p) {
        l->first = p->next;
        if (l->first == NULL)
            l->last = &l->first;
        l->nr_waiting--;
    }
    return p;
}

static void listener_close(struct end *e)
{
    struct listener *l = (struct listener *)e, **at = &listeners;
    struct pair_end *p;

    while ((p = listener_take(l)) != NULL)
        pair_close(&p->end);
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l);
}

static const struct end_ops listener_ops = { .ready = listener_ready, .close = listener_close };

struct plat_stream *plat_listen(const char *path)
{
    struct listener *l;

    if (strlen(path) > PATH_MAX_BYTES) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    enter();
    l = listener_find(path) ? NULL : home_alloc(sizeof(*l));
    if (l) {
        l->end.ops = &listener_ops;
        l->last = &l->first;
        strcpy(l->path, path);
        l->next = listeners;
        listeners = l;
        home_own(&l->end);
    } else if (listener_find(path)) {
        errno = EADDRINUSE;
    }
    leave();
    return l ? &l->end.stream : NULL;
}

struct plat_stream *plat_accept(struct plat_stream *listener)
{
    struct pair_end *p;

    enter();
    p = listener_take((struct listener *)end_of(listener));
    if (p)
        home_own(&p->end);
    leave();
    if (p)
        return &p->end.stream;
    errno = EAGAIN;
    return NULL;
}

struct plat_stream *plat_connect(const char *path)
{
    struct listener *l;
    struct pair *p = NULL;

    enter();
    l = listener_find(path);
    if (l == NULL) {
        errno = ENOENT;
    } else if (l->nr_waiting == BACKLOG) {
        errno = EAGAIN;
    } else if ((p = pair_new()) != NULL) {
        home_own(&p->ends[0].end);
        *l->last = &p->ends[1];
        l->last = &p->ends[1].next;
        l->nr_waiting++;
        changed(&l->end);
    }
    leave();
    return p ? &p->ends[0].end.stream : NULL;
}
