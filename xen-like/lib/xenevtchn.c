/*
 * xenevtchn.h on the runtime. An event masks its port and puts it at the end of its handle's queue, where
 * it is once, however often it comes; xenevtchn_unmask() lets the next one in.
 * Not provided: xenevtchn_fdopen() and xenevtchn_restrict(); xenevtchn_fd() is -1, ENOTSUP, see
 * evtchn_loop.h. What Linux keeps silent about is an error here: xenevtchn_unmask() of a port that is not
 * the handle's (ENOTCONN), and a notification that the hypervisor refuses.
 */
#include "evtchn_loop.h"

#include <errno.h>
#include <stdlib.h>

#include <rt/event.h>
#include <rt/group.h>
#include <rt/hypercall.h>
#include <rt/lock.h>
#include <rt/thread.h>

struct port {
    struct port *next; /* in the queue */
    xenevtchn_handle *owner;
    evtchn_port_t number;
    bool masked, queued;
};

struct xenevtchn_handle {
    struct owned owner;        /* the first member */
    struct port *first, *last; /* the queue */
    unsigned int nr_waiting;   /* threads, each of which wants one up */
    struct semaphore ready;
    struct plat_wake wake;
    bool watched, does_not_wait;
};

/*
 * Guards all of the above, and the table. It is held while a port is bound: the port's first event may be
 * on another vCPU before its number is known here.
 */
static struct spinlock lock;
static struct port *ports[EVTCHN_2L_NR_CHANNELS];

/* NULL: not one of the handle's. */
static struct port *port_of(const xenevtchn_handle *xce, evtchn_port_t number)
{
    struct port *p = number < EVTCHN_2L_NR_CHANNELS ? ports[number] : NULL;

    return p && p->owner == xce ? p : NULL;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- the queue ---- */

static void queue_add(xenevtchn_handle *xce, struct port *p)
{
    if (xce->first)
        xce->last->next = p;
    else
        xce->first = p;
    xce->last = p;
    p->next = NULL;
    p->queued = true;
}

static void queue_remove(xenevtchn_handle *xce, struct port *p)
{
    struct port *before = NULL, **at = &xce->first;

    while (*at != p) {
        before = *at;
        at = &before->next;
    }
    *at = p->next;
    if (xce->last == p)
        xce->last = before;
    p->queued = false;
}

/* The handler of all ports. One that has been unbound meanwhile is not in the table any more. */
static void on_event(unsigned int number, void *arg)
{
    bool were_off = spin_lock(&lock);
    struct port *p = ports[number];

    (void)arg;
    if (p) {
        xenevtchn_handle *xce = p->owner;

        event_mask(number);
        p->masked = true;
        if (!p->queued)
            queue_add(xce, p);
        if (xce->nr_waiting) {
            xce->nr_waiting--;
            semaphore_up(&xce->ready);
        }
        if (xce->watched)
            plat_wake(&xce->wake);
    }
    spin_unlock(&lock, were_off);
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    for (;;) {
        bool were_off = spin_lock(&lock);
        struct port *p = xce->first;
        int number = p ? (int)p->number : -1;
        bool waits = p == NULL && !xce->does_not_wait;

        if (p)
            queue_remove(xce, p);
        if (xce->first && xce->watched) /* whoever takes one only is called again */
            plat_wake(&xce->wake);
        xce->nr_waiting += waits;
        spin_unlock(&lock, were_off);
        if (number < 0 && !waits)
            errno = EAGAIN;
        if (!waits)
            return number;
        semaphore_down(&xce->ready, NO_DEADLINE);
    }
}

/* ---- handles ---- */

static void handle_free(xenevtchn_handle *xce)
{
    for (evtchn_port_t number = 0; number < EVTCHN_2L_NR_CHANNELS; number++)
        if (port_of(xce, number))
            xenevtchn_unbind(xce, number);
    free(xce);
}

/* Its group has ended, and the loop that it may be watched in is no more. */
static void handle_release(struct owned *o)
{
    xenevtchn_handle *xce = (xenevtchn_handle *)o;
    bool were_off = spin_lock(&lock);

    xce->watched = false;
    spin_unlock(&lock, were_off);
    handle_free(xce);
}

static xenevtchn_handle *handle_new(void)
{
    RUNTIME_SECTION;
    xenevtchn_handle *xce = calloc(1, sizeof(*xce));

    if (xce)
        owned_add(&xce->owner, handle_release);
    return xce;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    if (flags & ~XENEVTCHN_NO_CLOEXEC) {
        errno = EINVAL;
        return NULL;
    }
    return handle_new();
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    if (xce == NULL)
        return 0;
    evtchn_watch(NULL, xce, NULL, NULL);
    runtime_enter();
    owned_remove(&xce->owner);
    handle_free(xce);
    runtime_leave();
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    (void)xce;
    return failed(ENOTSUP);
}

int evtchn_watch(struct plat_loop *l, xenevtchn_handle *xce, void (*fn)(void *arg), void *arg)
{
    bool was = xce->watched, were_off;

    if (fn && was)
        return failed(EBUSY);
    if (fn) {
        xce->wake = (struct plat_wake){ .fn = fn, .arg = arg };
        plat_wake_add(l, &xce->wake);
    }
    were_off = spin_lock(&lock);
    xce->watched = fn != NULL;
    xce->does_not_wait |= xce->watched;
    if (xce->first && xce->watched)
        plat_wake(&xce->wake);
    spin_unlock(&lock, were_off);
    if (was)
        plat_wake_remove(&xce->wake);
    return 0;
}

/* ---- ports ---- */

enum how { UNBOUND, INTERDOMAIN, VIRQ };

static int bind_port(xenevtchn_handle *xce, enum how how, domid_t remote, unsigned int number)
{
    RUNTIME_SECTION;
    struct port *p = malloc(sizeof(*p));
    bool were_off;
    int port;

    if (p == NULL)
        return -1;
    were_off = spin_lock(&lock);
    if (how == UNBOUND)
        port = event_alloc_unbound(remote, on_event, NULL);
    else if (how == INTERDOMAIN)
        port = event_bind_interdomain(remote, number, on_event, NULL);
    else
        port = event_bind_virq(number, 0, on_event, NULL);
    if (port > 0) {
        *p = (struct port){ .owner = xce, .number = (evtchn_port_t)port };
        ports[port] = p;
    }
    spin_unlock(&lock, were_off);
    if (port > 0)
        return port;
    free(p);
    return failed(xen_errno(port));
}

/* Numbers of domains are 16 bits wide; a larger one is not to be taken for another. */
xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
    return domid > UINT16_MAX ? failed(ESRCH) : bind_port(xce, UNBOUND, (domid_t)domid, 0);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    return domid > UINT16_MAX ? failed(ESRCH)
                              : bind_port(xce, INTERDOMAIN, (domid_t)domid, remote_port);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    return bind_port(xce, VIRQ, 0, virq);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    RUNTIME_SECTION;
    bool were_off = spin_lock(&lock);
    struct port *p = port_of(xce, port);
    long rc = 0;

    if (p) {
        if (p->queued)
            queue_remove(xce, p);
        ports[port] = NULL;
        rc = event_close(port);
    }
    spin_unlock(&lock, were_off);
    free(p);
    if (p == NULL)
        return failed(ENOTCONN);
    return rc ? failed(xen_errno(rc)) : 0;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    bool were_off = spin_lock(&lock);
    struct port *p = port_of(xce, port);

    if (p && p->masked) {
        p->masked = false;
        event_unmask(port);
    }
    spin_unlock(&lock, were_off);
    return p ? 0 : failed(ENOTCONN);
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    bool were_off = spin_lock(&lock);
    bool is_there = port_of(xce, port) != NULL;
    long rc;

    spin_unlock(&lock, were_off);
    if (!is_there)
        return failed(ENOTCONN);
    rc = event_send(port);
    return rc ? failed(xen_errno(rc)) : 0;
}
