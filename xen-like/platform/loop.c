/*
 * The event loop, the same in all homes. A callback may change any of the lists: who takes
 * something out of one moves the loop's next_... on if it points there.
 */
#include "loop.h"

#include <stdlib.h>

struct plat_loop *plat_loop_new(void)
{
    struct plat_loop *l = home_alloc(sizeof(*l));

    if (l && home_loop_init(l)) {
        free(l);
        l = NULL;
    }
    return l;
}

void plat_loop_free(struct plat_loop *l)
{
    home_loop_exit(l);
    free(l);
}

void plat_loop_stop(struct plat_loop *l)
{
    __atomic_store_n(&l->stop, 1, __ATOMIC_SEQ_CST);
    home_notify(l);
}

/* ---- timers ---- */

static bool timer_unlink(struct plat_timer **list, struct plat_timer *t)
{
    while (*list && *list != t)
        list = &(*list)->next;
    if (*list == NULL)
        return false;
    *list = t->next;
    t->loop = NULL;
    return true;
}

bool plat_timer_cancel(struct plat_timer *t)
{
    return t->loop && (timer_unlink(&t->loop->timers, t) || timer_unlink(&t->loop->due, t));
}

void plat_timer_set(struct plat_loop *l, struct plat_timer *t, uint64_t deadline_ns)
{
    struct plat_timer **p = &l->timers;

    plat_timer_cancel(t);
    while (*p && (*p)->deadline_ns <= deadline_ns)
        p = &(*p)->next;
    t->deadline_ns = deadline_ns;
    t->loop = l;
    t->next = *p;
    *p = t;
}

/* Those that are due now, not those that they set: the rest of the loop has its turn first. */
static void run_timers(struct plat_loop *l)
{
    struct plat_timer **p = &l->timers, *later;
    uint64_t now = plat_now();

    while (*p && (*p)->deadline_ns <= now)
        p = &(*p)->next;
    later = *p;
    *p = NULL;
    l->due = l->timers;
    l->timers = later;
    while (l->due) {
        struct plat_timer *t = l->due;

        timer_unlink(&l->due, t);
        t->fn(t->arg);
    }
}

/* ---- wakes ---- */

void plat_wake_add(struct plat_loop *l, struct plat_wake *w)
{
    w->loop = l;
    w->pending = 0;
    w->next = l->wakes;
    l->wakes = w;
}

void plat_wake_remove(struct plat_wake *w)
{
    struct plat_wake **p = &w->loop->wakes;

    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
    if (w->loop->next_wake == w)
        w->loop->next_wake = w->next;
    w->loop = NULL;
}

void plat_wake(struct plat_wake *w)
{
    if (__atomic_exchange_n(&w->pending, 1, __ATOMIC_SEQ_CST) == 0)
        home_notify(w->loop);
}

static void run_wakes(struct plat_loop *l)
{
    l->next_wake = l->wakes;
    while (l->next_wake) {
        struct plat_wake *w = l->next_wake;

        l->next_wake = w->next;
        if (__atomic_exchange_n(&w->pending, 0, __ATOMIC_SEQ_CST))
            w->fn(w->arg);
    }
}

/* ---- streams ---- */

static void unwatch(struct plat_stream *s)
{
    struct plat_stream **p = &s->loop->streams;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    if (s->loop->next_stream == s)
        s->loop->next_stream = s->next;
    s->loop = NULL;
}

void plat_watch(struct plat_loop *l, struct plat_stream *s, unsigned int events,
                void (*fn)(void *arg, unsigned int ready), void *arg)
{
    s->events = events;
    s->fn = fn;
    s->arg = arg;
    if (events == 0 && s->loop) {
        unwatch(s);
        home_watched(s, NULL);
    } else if (events && s->loop == NULL) {
        s->ready = 0;
        s->loop = l;
        s->next = l->streams;
        l->streams = s;
        home_watched(s, l);
    }
}

static void run_streams(struct plat_loop *l)
{
    l->next_stream = l->streams;
    while (l->next_stream) {
        struct plat_stream *s = l->next_stream;
        unsigned int ready = s->ready & s->events;

        l->next_stream = s->next;
        s->ready = 0;
        if (ready)
            s->fn(s->arg, ready);
    }
}

int plat_loop_run(struct plat_loop *l)
{
    int rc = 0;

    while (rc == 0 && !__atomic_load_n(&l->stop, __ATOMIC_SEQ_CST)) {
        rc = home_wait(l, l->timers ? l->timers->deadline_ns : PLAT_NEVER);
        if (rc == 0) {
            run_timers(l);
            run_wakes(l);
            run_streams(l);
        }
    }
    __atomic_store_n(&l->stop, 0, __ATOMIC_SEQ_CST);
    return rc;
}
