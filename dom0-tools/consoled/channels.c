/*
 * Consoles of a guest beside its first: devices of the class console, by xenbus (xenbus.h). The guest makes a page
 * and a port, and says where they are: all of that is an enemy's. What stands in our own folder is the toolstack's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "xenbus.h"

static struct console *of(struct xenbus_device *d) { return d->data; }

/* Other programs serve consoles, too: Debian's toolstack has QEMU do it, and says so elsewhere. */
static int check_ours(struct xenbus_device *d)
{
    char type[16];
    int rc = xenbus_text(d, XENBUS_OURS, "type", type, sizeof(type));

    if (rc == -EIO)
        return -EAGAIN;
    return rc == 0 && strcmp(type, "xenconsoled") == 0 ? 0 : -ENODEV;
}

/* Of a guest that goes, say, in whose place this one comes. */
static bool is_anothers(const struct console *c)
{
    for (const struct console *i = c->daemon->channels; i; i = i->next)
        if (strcmp(i->socket, c->socket) == 0)
            return true;
    return false;
}

/* What the other end is for programs here: a socket, or a terminal. */
static int open_other_end(struct xenbus_device *d, struct console *c)
{
    char connection[16];
    int error;

    if (xenbus_text(d, XENBUS_OURS, "connection", connection, sizeof(connection)) ||
        strcmp(connection, "socket") != 0) {
        domains_open_tty(c);
        return 0;
    }
    if (xenbus_text(d, XENBUS_OURS, "path", c->socket, sizeof(c->socket)) || c->socket[0] != '/') {
        xenbus_error(d, "its socket has no path");
        return -EINVAL;
    }
    if (clients_listen_for(c, c->socket) == 0)
        return 0;
    error = errno;
    if (error == EADDRINUSE && is_anothers(c))
        return -EAGAIN;
    xenbus_error(d, "its socket %s: %s", c->socket, strerror(error));
    return -error;
}

static int probe(struct xenbus_device *d)
{
    struct consoled *daemon = xenbus_arg(d->bus);
    int rc = check_ours(d);
    struct console *c;

    if (rc)
        return rc;
    if (daemon->xs == NULL)
        return -EAGAIN;
    c = console_new(daemon, d->other, (xen_domain_handle_t){ 0 });
    if (c == NULL)
        return -EAGAIN;
    c->number = d->id;
    c->device = d;
    domains_name(c);
    rc = open_other_end(d, c);
    if (rc) {
        console_free(c);
        return rc;
    }
    c->next = daemon->channels;
    daemon->channels = c;
    d->data = c;
    return 0;
}

static int connect_it(struct xenbus_device *d)
{
    struct console *c = of(d);
    uint64_t ref, port;
    int rc = xenbus_number(d, XENBUS_THEIRS, "ring-ref", 0, UINT32_MAX, &ref);

    rc = rc ? rc : xenbus_number(d, XENBUS_THEIRS, "port", 1, UINT32_MAX, &port);
    if (rc) {
        xenbus_error(d, "the guest does not say where its ring and its port are");
        return rc;
    }
    if (c->broken || c->gone) /* one that has broken the rules is not served any more */
        return -EPROTO;
    rc = console_connect(c, (uint32_t)ref, (evtchn_port_t)port, d->resumed);
    if (rc)
        xenbus_error(d, "grant %llu, port %llu: %s", (unsigned long long)ref,
                     (unsigned long long)port, strerror(-rc));
    return rc;
}

static void disconnect(struct xenbus_device *d)
{
    console_disconnect(of(d));
    xenbus_disconnected(d);
}

static void removed(struct xenbus_device *d)
{
    struct console *c = of(d), **at = &c->daemon->channels;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->device = NULL;
    console_end(c);
    domains_bury(&c->daemon->dead_channels, c);
}

bool channels_open(struct consoled *d)
{
    static const struct xenbus_driver driver = { .type = "console",
                                                 .backend = true,
                                                 .first = 1,
                                                 .front_is_ready = XenbusStateInitialised,
                                                 .probe = probe,
                                                 .connect = connect_it,
                                                 .disconnect = disconnect,
                                                 .remove = removed };

    d->bus = xenbus_open(d->loop, &driver, d);
    return d->bus != NULL;
}

void channels_close(struct consoled *d)
{
    if (d->bus)
        xenbus_close(d->bus);
    d->bus = NULL;
}

void channels_renamed(struct consoled *d, domid_t domain)
{
    for (struct console *c = d->channels; c; c = c->next)
        if (c->domain == domain)
            domains_name(c);
}

void channels_orphaned(struct consoled *d, domid_t domain)
{
    for (struct console *c = d->channels; c; c = c->next)
        if (c->domain == domain)
            console_end(c);
}

void channel_fail(struct console *c, const char *why)
{
    if (c->device)
        xenbus_fail(c->device, "%s", why);
}
