/* See attend.h. */
#include "attend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>
#include <xenstore_loop.h>

#include "../lib/shell.h"
#include "../lib/toolstack.h"

#define TICK_NS 5000000000u  /* so often it asks whether the store is still there */
#define RETRY_NS 1000000000u /* and so soon again if it is not */

static struct attendant {
    struct plat_loop *loop;
    struct xs_handle *xs; /* the toolstack's is another: a watched one is not for requests */
    struct toolstack tools;
    struct plat_timer tick;
    struct shells_tender shells;
    struct plat_timer
        more; /* shells, one in a turn of the loop: who ends meanwhile does not wait for all */
} attendant;

#define SHELLS "shells" /* the token of a watch */

static void on_event(void *arg);

static void attend(struct attendant *a)
{
    if (guest_attend(&a->tools) < 0)
        plat_log(PLAT_ERROR, "attend: %s", a->tools.error);
}

static void close_store(struct attendant *a)
{
    if (a->xs) {
        xenstore_watch(a->loop, a->xs, NULL, NULL);
        xs_close(a->xs);
    }
    if (a->tools.store)
        xs_close(a->tools.store);
    a->xs = a->tools.store = NULL;
}

static void tend(void *arg)
{
    struct attendant *a = arg;
    int rc = a->tools.store ? shells_tend(&a->tools, &a->shells) : 0;

    if (rc < 0)
        plat_log(PLAT_WARNING, "attend: shells: %s", a->tools.error);
    if (rc > 0)
        plat_timer_set(a->loop, &a->more, plat_now());
}

/* The first event of a watch comes at once: who has ended meanwhile is seen, and what shells are wanted. */
static bool open_store(struct attendant *a)
{
    int error;

    a->xs = xs_open(0);
    a->tools.store = a->xs ? xs_open(0) : NULL;
    if (a->tools.store && xenstore_watch_domains(a->xs, "@releaseDomain", "") &&
        xs_watch(a->xs, SHELLS_WANTED, SHELLS) && xenstore_watch(a->loop, a->xs, on_event, a) == 0)
        return true;
    error = errno;
    close_store(a);
    errno = error;
    return false;
}

static void attend_to(struct attendant *a, domid_t id)
{
    if (guest_attend_to(&a->tools, id) < 0)
        plat_log(PLAT_ERROR, "attend: domain %u: %s", id, a->tools.error);
}

/* Any number of events that do not say whose they are is one look at all domains. */
static void on_event(void *arg)
{
    struct attendant *a = arg;
    bool released = false, wish = false;
    char **event;

    while ((event = xs_check_watch(a->xs)) != NULL) {
        domid_t id = (domid_t)xenstore_event_domain(event[XS_WATCH_PATH]);
        bool shells = strcmp(event[XS_WATCH_TOKEN], SHELLS) == 0;

        wish |= shells;
        released |= !shells && id == 0;
        free(event);
        if (id)
            attend_to(a, id);
    }
    if (errno != EAGAIN) {
        plat_log(PLAT_WARNING, "attend: the store is gone: %s", strerror(errno));
        close_store(a);
        plat_timer_set(a->loop, &a->tick, plat_now() + RETRY_NS);
        return;
    }
    if (released)
        attend(a);
    a->shells.fast |= wish;
    if (wish)
        tend(a);
}

static bool answers(struct xs_handle *xs)
{
    char *path = xs ? xs_get_domain_path(xs, 0) : NULL;

    free(path);
    return path != NULL;
}

/* With Debian's library no event says that the store is gone. And what failed, with the store or without, is tried again. */
static void on_tick(void *arg)
{
    struct attendant *a = arg;
    bool there = answers(a->xs) && answers(a->tools.store);

    if (!there) {
        close_store(a);
        there = open_store(a);
        if (there)
            plat_log(PLAT_INFO, "attend: the store is there again");
    } else {
        if (a->tools.restarts)
            attend(a);
        if (!a->shells.idle)
            tend(a);
    }
    plat_timer_set(a->loop, &a->tick, plat_now() + (there ? TICK_NS : RETRY_NS));
}

bool attend_start(struct plat_loop *loop, bool sole)
{
    struct attendant *a = &attendant;

    *a = (struct attendant){ .loop = loop,
                             .tick = { .fn = on_tick, .arg = a },
                             .more = { .fn = tend, .arg = a } };
    if (toolstack_open(&a->tools, NULL, 0)) {
        plat_log(PLAT_ERROR, "attend: %s", a->tools.error);
        return false;
    }
    a->tools.sole = sole;
    if (!open_store(a)) {
        plat_log(PLAT_ERROR, "attend: the store: %s", strerror(errno));
        toolstack_close(&a->tools);
        return false;
    }
    plat_timer_set(loop, &a->tick, plat_now() + TICK_NS);
    return true;
}
