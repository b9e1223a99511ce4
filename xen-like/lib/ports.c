#include "ports.h"

#include <errno.h>
#include <stdlib.h>

#include "evtchn_loop.h"

enum {
    AT_ONCE = 64,
    PORTS_MAX = 1 << 17,
    TRY_YIELD = 16,
}; /* events taken before others have their turn; numbers of the ABI; times served */

struct ports {
    struct plat_loop *loop;
    xenevtchn_handle *events;
    struct port **table; /* by number */
    uint32_t nr;
    uint32_t nr_bound;
    struct plat_timer again; /* to open the handle anew */
    unsigned int found;      /* most requests of a port, since events were looked at */
    unsigned int served;     /* times without a yield */
    bool takes_turns;        /* the last yield lasted */
};

#define AGAIN_NS 100000000u
#define LASTED_NS 2000u /* a yield to nobody is over by then */

/* One at that number is known. False: no memory. */
static bool note(struct ports *p, struct port *port, uint32_t number)
{
    if (number >= p->nr) {
        uint32_t nr = number + 64;
        struct port **table;

        if (number >= PORTS_MAX)
            return false;
        table = realloc(p->table, nr * sizeof(struct port *));
        if (table == NULL)
            return false;
        for (uint32_t i = p->nr; i < nr; i++)
            table[i] = NULL;
        p->table = table;
        p->nr = nr;
    }
    p->table[number] = port;
    port->number = number;
    port->ports = p;
    return true;
}

/* It has a number of this handle, or was not to be had. */
static int take(struct ports *p, struct port *port, int number)
{
    if (number < 0)
        return -errno;
    if (!note(p, port, (uint32_t)number)) {
        xenevtchn_unbind(p->events, (evtchn_port_t)number);
        return -ENOMEM;
    }
    p->nr_bound++;
    return 0;
}

int port_bind(struct ports *p, struct port *port, uint32_t domain, uint32_t remote)
{
    port->domain = domain;
    port->remote = remote;
    if (p->events == NULL)
        return -EAGAIN;
    return take(p, port, xenevtchn_bind_interdomain(p->events, domain, remote));
}

int port_offer(struct ports *p, struct port *port, uint32_t domain)
{
    port->domain = domain;
    port->remote = 0;
    if (p->events == NULL)
        return -EAGAIN;
    return take(p, port, xenevtchn_bind_unbound_port(p->events, domain));
}

void port_unbind(struct port *port)
{
    struct ports *p = port->ports;

    if (p == NULL)
        return;
    p->table[port->number] = NULL;
    p->nr_bound--;
    if (p->events)
        xenevtchn_unbind(p->events, port->number);
    port->ports = NULL;
}

void port_ready(struct port *port)
{
    if (port->ports && port->ports->events)
        xenevtchn_unmask(port->ports->events, port->number);
}

void port_found(struct port *port, unsigned int requests)
{
    if (port->ports && requests > port->ports->found)
        port->ports->found = requests;
}

bool port_takes_turns(const struct port *port) { return port->ports && port->ports->takes_turns; }

void port_notify(struct port *port)
{
    if (port->ports && port->ports->events)
        xenevtchn_notify(port->ports->events, port->number);
}

/* ---- the handle ---- */

static void serve(void *arg);

static void close_handle(struct ports *p)
{
    if (p->events == NULL)
        return;
    evtchn_watch(p->loop, p->events, NULL, NULL);
    xenevtchn_close(p->events);
    p->events = NULL;
}

static bool open_handle(struct ports *p)
{
    p->events = xenevtchn_open(NULL, 0);
    if (p->events && evtchn_watch(p->loop, p->events, serve, p)) {
        int error = errno;

        xenevtchn_close(p->events);
        p->events = NULL;
        errno = error;
    }
    return p->events != NULL;
}

/* Events were lost (Linux's buffer was too small): all ports are had anew, and any may have had one. */
static void open_again(void *arg)
{
    struct ports *p = arg;
    struct port **old = p->table;
    uint32_t nr = p->nr;

    if (!open_handle(p)) {
        plat_timer_set(p->loop, &p->again, plat_now() + AGAIN_NS);
        return;
    }
    p->table = NULL;
    p->nr = 0;
    for (uint32_t i = 0; i < nr; i++) {
        struct port *port = old[i];

        if (port == NULL)
            continue;
        port->ports = NULL;
        p->nr_bound--;
        /* One that was offered had a number that the other end was told: it cannot be had again. */
        if (port->remote == 0 || port_bind(p, port, port->domain, port->remote))
            plat_log(PLAT_ERROR, "an event channel of domain %u is lost", port->domain);
    }
    free(old);
    for (uint32_t i = 0; i < p->nr; i++)
        if (p->table[i])
            p->table[i]->fn(p->table[i]->arg);
}

static void serve(void *arg)
{
    struct ports *p = arg;

    if (p->found > 1 || ++p->served == TRY_YIELD) {
        uint64_t before = plat_now();

        p->served = 0;
        plat_yield();
        p->takes_turns = plat_now() - before > LASTED_NS;
    }
    p->found = 0;
    for (int i = 0; i < AT_ONCE; i++) {
        int number = xenevtchn_pending(p->events);

        if (number < 0 && errno == EAGAIN)
            return;
        if (number < 0) {
            plat_log(PLAT_ERROR, "events are lost: all ports are bound anew");
            close_handle(p);
            plat_timer_set(p->loop, &p->again, plat_now());
            return;
        }
        if ((uint32_t)number < p->nr &&
            p->table[number]) /* else it was bound when the event came */
            p->table[number]->fn(p->table[number]->arg);
    }
}

struct ports *ports_open(struct plat_loop *l)
{
    struct ports *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->loop = l;
    p->again = (struct plat_timer){ .fn = open_again, .arg = p };
    if (open_handle(p))
        return p;
    free(p);
    return NULL;
}

void ports_close(struct ports *p)
{
    if (p == NULL)
        return;
    plat_timer_cancel(&p->again);
    for (uint32_t i = 0; i < p->nr; i++)
        if (p->table[i])
            port_unbind(p->table[i]);
    close_handle(p);
    free(p->table);
    free(p);
}
