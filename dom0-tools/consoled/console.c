/* One console: its ring and port, what it may use, and its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/*
 * A guest has the daemon take so many bytes in a period, of which an event costs some, too. If that is
 * spent its port stays masked until the period's end: it has a full ring then, and no other waits for it.
 */
#define PERIOD_NS 100000000u
enum { ALLOWANCE = 64 << 10, EVENT_COST = 64, BIND_TRIES = 50 };

static void on_period(void *arg);

struct console *console_new(struct consoled *d, domid_t domain, const xen_domain_handle_t handle)
{
    struct console *c = calloc(1, sizeof(*c));

    if (c == NULL || !history_init(&c->history, d->options.history_bytes)) {
        free(c);
        return NULL;
    }
    c->daemon = d;
    c->domain = domain;
    memcpy(c->handle, handle, sizeof(c->handle));
    c->period = (struct plat_timer){ .fn = on_period, .arg = c };
    return c;
}

/* ---- where it is ---- */

static void unbind(struct console *c)
{
    if (c->port)
        xenevtchn_unbind(c->daemon->events, (evtchn_port_t)c->port);
    c->port = 0;
    c->masked = false;
}

static void unmap(struct console *c)
{
    void *page = (void *)c->ring.page;

    if (page && c->granted)
        xengnttab_unmap(c->daemon->grants, page, 1);
    else if (page)
        xenforeignmemory_unmap(c->daemon->memory, page, 1);
    c->ring.page = NULL;
}

static void disconnect(struct console *c)
{
    plat_timer_cancel(&c->period);
    unbind(c);
    unmap(c);
    c->tries = 0;
}

/*
 * By the grant that the builder makes for it; where there is none, as only the privileged may. A channel's is the
 * guest's, and there is no other way.
 */
static bool map(struct console *c)
{
    uint32_t ref = c->number ? (uint32_t)c->gfn : GNTTAB_RESERVED_CONSOLE;
    xen_pfn_t gfn = c->gfn;
    void *page = c->daemon->grants ? xengnttab_map_grant_ref(c->daemon->grants, c->domain, ref,
                                                             PROT_READ | PROT_WRITE)
                                   : NULL;

    c->granted = page != NULL;
    if (page == NULL && c->number == 0)
        page = xenforeignmemory_map(c->daemon->memory, c->domain, PROT_READ | PROT_WRITE, 1, &gfn,
                                    NULL);
    if (page)
        ring_begin(&c->ring, page);
    return page != NULL;
}

/* The first event comes at once: what it has said before is heard. */
static bool bind_port(struct console *c)
{
    if (c->daemon->events == NULL)
        return false;
    c->port = xenevtchn_bind_interdomain(c->daemon->events, c->domain, c->remote);
    if (c->port > 0)
        return true;
    c->port = 0;
    return false;
}

static bool attempt(struct console *c)
{
    if ((c->ring.page == NULL && !map(c)) || (c->port == 0 && !bind_port(c)))
        return false;
    c->tries = 0;
    xenevtchn_notify(c->daemon->events, (evtchn_port_t)c->port); /* it may have waited */
    return true;
}

/* Who served it before may have its port for some moments more. */
static void connect(struct console *c)
{
    if (attempt(c))
        return;
    c->tries--;
    if (c->tries)
        consoled_retry(c->daemon);
    else if (c->number)
        channel_fail(c, strerror(errno));
    else
        plat_log(PLAT_WARNING, "domain %u (%s): its console, frame %#llx and port %u: %s",
                 c->domain, c->name, (unsigned long long)c->gfn, c->remote, strerror(errno));
}

void console_place(struct console *c, uint64_t gfn, evtchn_port_t remote)
{
    if (c->placed && c->gfn == gfn && c->remote == remote) {
        if (c->tries)
            connect(c);
        return;
    }
    disconnect(c);
    c->placed = true;
    c->broken = false;
    c->gfn = gfn;
    c->remote = remote;
    c->tries = BIND_TRIES;
    connect(c);
}

int console_connect(struct console *c, uint32_t ref, evtchn_port_t remote, bool patiently)
{
    int error;

    disconnect(c);
    c->gfn = ref;
    c->remote = remote;
    if (patiently || c->daemon->events == NULL) {
        c->tries = BIND_TRIES;
        connect(c);
        return 0;
    }
    errno = 0;
    if (attempt(c))
        return 0;
    error = errno ? errno : EIO;
    disconnect(c);
    return -error;
}

void console_try(struct console *c)
{
    if (c->tries)
        connect(c);
}

void console_unbound(struct console *c)
{
    plat_timer_cancel(&c->period);
    c->port = 0;
    c->masked = false;
}

void console_rebind(struct console *c)
{
    if (c->ring.page) {
        c->tries = BIND_TRIES;
        connect(c);
    }
}

/* ---- what it says ---- */

static void break_off(struct console *c)
{
    if (c->number)
        channel_fail(c, "impossible indices in its ring: it is not served any more");
    else
        plat_log(PLAT_WARNING,
                 "domain %u (%s) has impossible indices in its console's ring: "
                 "it is not served any more",
                 c->domain, c->name);
    c->broken = true;
    disconnect(c);
    clients_input(c); /* what they type is for nobody, but read */
}

/* How many bytes; negative: the guest has broken the rules. */
static int take(struct console *c)
{
    char buf[OUT_BYTES];
    int n = ring_take(&c->ring, buf);

    if (n <= 0)
        return n;
    history_add(&c->history, buf, (size_t)n);
    log_add(&c->log, buf, (size_t)n);
    clients_output(c);
    return n;
}

/* Whether it may be served in this period; else that is made up for at the period's end. */
static bool may_be_served(struct console *c)
{
    uint64_t now = plat_now();

    if (now >= c->period_end_ns) {
        c->period_end_ns = now + PERIOD_NS;
        c->spent = 0;
    }
    if (c->spent < ALLOWANCE)
        return true;
    plat_timer_set(c->daemon->loop, &c->period, c->period_end_ns);
    return false;
}

static void serve(struct console *c)
{
    int n;

    if (c->port == 0 || !may_be_served(c))
        return;
    n = take(c);
    if (n < 0) {
        break_off(c);
        return;
    }
    c->spent += (size_t)n + EVENT_COST;
    if (n)
        xenevtchn_notify(c->daemon->events, (evtchn_port_t)c->port); /* there is room again */
    clients_input(c);
    if (c->masked && c->port) {
        c->masked = false;
        xenevtchn_unmask(c->daemon->events, (evtchn_port_t)c->port);
    }
}

static void on_period(void *arg) { serve(arg); }

void console_event(struct console *c)
{
    c->masked = true;
    serve(c);
}

/* ---- what it is told ---- */

int console_room(struct console *c)
{
    int room = c->port ? ring_room(&c->ring) : c->number && !c->broken && !c->gone ? 0 : -ENOTCONN;

    if (room == -EPROTO)
        break_off(c);
    return room;
}

void console_give(struct console *c, const char *bytes, size_t len)
{
    ring_give(&c->ring, bytes, len);
    xenevtchn_notify(c->daemon->events, (evtchn_port_t)c->port);
}

/* ---- the end ---- */

void console_disconnect(struct console *c)
{
    if (c->ring.page)
        take(c);
    disconnect(c);
}

void console_end(struct console *c)
{
    console_disconnect(c);
    c->gone = true;
    clients_end(c);
}

void console_free(struct console *c)
{
    disconnect(c);
    clients_unlisten(c);
    clients_drop(c);
    history_free(&c->history);
    free(c);
}
