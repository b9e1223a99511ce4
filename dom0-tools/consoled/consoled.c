/* The daemon's beginning and end, and what wakes it: events, the store, and a timer for what failed. */
#include "consoled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "evtchn_loop.h"
#include "internal.h"
#include "xenstore_loop.h"

#define TICK_NS 5000000000u /* is the store still there? */
#define RETRY_NS 100000000u
enum { EVENTS_MAX = 64 }; /* taken at once, before others have their turn */

/* ---- whose event ---- */

static struct console *of_port(struct consoled *d, int port)
{
    struct console *lists[] = { d->consoles, d->channels };

    for (int i = 0; i < 2; i++)
        for (struct console *c = lists[i]; c; c = c->next)
            if (c->port == port)
                return c;
    return NULL;
}

static void take_events(void *arg);

static void close_events(struct consoled *d)
{
    if (d->events == NULL)
        return;
    evtchn_watch(d->loop, d->events, NULL, NULL);
    xenevtchn_close(d->events);
    d->events = NULL;
    for (struct console *c = d->consoles; c; c = c->next)
        console_unbound(c);
    for (struct console *c = d->channels; c; c = c->next)
        console_unbound(c);
}

static bool open_events(struct consoled *d)
{
    d->events = xenevtchn_open(NULL, 0);
    if (d->events && evtchn_watch(d->loop, d->events, take_events, d)) {
        int error = errno;

        xenevtchn_close(d->events);
        d->events = NULL;
        errno = error;
    }
    return d->events != NULL;
}

static void take_events(void *arg)
{
    struct consoled *d = arg;

    for (int i = 0; i < EVENTS_MAX; i++) {
        int port = xenevtchn_pending(d->events);
        struct console *c = port > 0 ? of_port(d, port) : NULL;

        if (port < 0 && errno == EAGAIN)
            return;
        if (port < 0) {
            plat_log(PLAT_ERROR, "events are lost: %s. All ports are bound anew", strerror(errno));
            close_events(d);
            consoled_retry(d);
            return;
        }
        if (c) /* else it was bound when the event came */
            console_event(c);
    }
}

/* ---- the store ---- */

static void on_store(void *arg);

static void close_store(struct consoled *d)
{
    if (d->xs == NULL)
        return;
    xenstore_watch(d->loop, d->xs, NULL, NULL);
    xs_close(d->xs);
    d->xs = NULL;
}

static bool open_store(struct consoled *d)
{
    d->xs = xs_open(0);
    if (d->xs && domains_watch(d) && xenstore_watch(d->loop, d->xs, on_store, d) == 0)
        return true;
    close_store(d);
    return false;
}

static void on_store(void *arg)
{
    struct consoled *d = arg;
    bool look = false, read = false;
    char **event;

    while ((event = xs_check_watch(d->xs)) != NULL) {
        domid_t domain = domains_of_path(event[XS_WATCH_PATH]);
        domid_t about = (domid_t)xenstore_event_domain(event[XS_WATCH_PATH]);

        read |= domain || (about && domains_look_at(d, about));
        look |= domain == 0 && about == 0;
        for (struct console *c = d->consoles; c && domain; c = c->next)
            c->stale |= c->domain == domain;
        free(event);
    }
    if (errno != EAGAIN) {
        plat_log(PLAT_WARNING, "the store is gone: %s", strerror(errno));
        close_store(d);
        consoled_retry(d);
        return;
    }
    if (look)
        domains_look(d);
    for (struct console *c = d->consoles; c && read; c = c->next)
        if (c->stale)
            domains_read(c);
}

/* ---- again ---- */

void consoled_retry(struct consoled *d)
{
    uint64_t when = plat_now() + RETRY_NS;

    if (d->tick.loop == NULL || d->tick.deadline_ns > when)
        plat_timer_set(d->loop, &d->tick, when);
}

static void rebind_all(struct consoled *d)
{
    for (struct console *c = d->consoles; c; c = c->next)
        console_rebind(c);
    for (struct console *c = d->channels; c; c = c->next)
        console_rebind(c);
}

static void try_again(struct consoled *d)
{
    for (struct console *c = d->consoles; c; c = c->next)
        console_try(c);
    for (struct console *c = d->channels; c; c = c->next)
        console_try(c);
}

static bool store_answers(struct consoled *d)
{
    char *path = d->xs ? xs_get_domain_path(d->xs, 0) : NULL;

    free(path);
    return path != NULL;
}

static void on_tick(void *arg)
{
    struct consoled *d = arg;

    plat_timer_set(d->loop, &d->tick, plat_now() + TICK_NS);
    clients_hear(d);
    if (d->events == NULL && open_events(d))
        rebind_all(d);
    if (d->events == NULL)
        consoled_retry(d);
    if (!store_answers(d)) {
        close_store(d);
        if (!open_store(d)) {
            consoled_retry(d);
            return;
        }
        plat_log(PLAT_INFO, "the store is there again");
    }
    domains_look(d);
    try_again(d);
}

struct console *consoled_find(struct consoled *d, const char *who, unsigned int number)
{
    struct console *lists[] = { number ? d->channels : d->consoles,
                                number ? d->dead_channels : d->dead };
    char *end;
    unsigned long id = strtoul(who, &end, 10);
    bool is_id = *who && *end == '\0';

    for (int i = 0; i < 2; i++)
        for (struct console *c = lists[i]; c; c = c->next)
            if ((c->placed || number) && c->number == number &&
                (is_id ? c->domain == id : strcmp(c->name, who) == 0))
                return c;
    return NULL;
}

/* ---- beginning and end ---- */

static bool open_hypervisor(struct consoled *d)
{
    d->grants = xengnttab_open(NULL, 0); /* it does without */
    d->memory = xenforeignmemory_open(NULL, 0);
    d->hypervisor = xencall_open(NULL, 0);
    if (d->hypervisor) {
        d->sysctl = xencall_alloc_buffer(d->hypervisor, sizeof(*d->sysctl) + sizeof(*d->domctl));
        d->infos = xencall_alloc_buffer(d->hypervisor, INFOS_MAX * sizeof(*d->infos));
    }
    return d->memory && d->sysctl && d->infos && open_events(d);
}

static void close_hypervisor(struct consoled *d)
{
    close_events(d);
    if (d->sysctl)
        xencall_free_buffer(d->hypervisor, d->sysctl);
    if (d->infos)
        xencall_free_buffer(d->hypervisor, d->infos);
    if (d->hypervisor)
        xencall_close(d->hypervisor);
    if (d->memory)
        xenforeignmemory_close(d->memory);
    if (d->grants)
        xengnttab_close(d->grants);
}

struct consoled *consoled_start(struct plat_loop *loop, const struct consoled_options *o)
{
    struct consoled *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->loop = loop;
    d->options = *o;
    d->tick = (struct plat_timer){ .fn = on_tick, .arg = d };
    if (!open_hypervisor(d))
        plat_log(PLAT_ERROR, "no console daemon without a hypervisor: %s", strerror(errno));
    else if (!open_store(d))
        plat_log(PLAT_ERROR, "no console daemon without a store: %s", strerror(errno));
    else if (clients_listen(d) == 0) {
        plat_timer_set(loop, &d->tick, plat_now() + TICK_NS);
        domains_look(d);
        if (channels_open(d)) {
            plat_log(PLAT_INFO, "consoles are served at %s", o->socket);
            return d;
        }
        plat_log(PLAT_ERROR, "no console daemon without devices: %s", strerror(errno));
    }
    consoled_stop(d);
    return NULL;
}

static void free_all(struct console *c)
{
    while (c) {
        struct console *next = c->next;

        console_free(c);
        c = next;
    }
}

void consoled_stop(struct consoled *d)
{
    plat_timer_cancel(&d->tick);
    clients_stop(d);
    channels_close(d);
    free_all(d->consoles);
    free_all(d->dead);
    free_all(d->dead_channels);
    d->consoles = d->last = d->dead = d->dead_channels = NULL;
    close_store(d);
    close_hypervisor(d);
    free(d);
}
