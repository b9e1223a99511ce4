#include "consfront.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/console.h>

#include "../frontend.h"
#include "ports.h"
#include "xenbus.h"

enum {
    OUT_BYTES = sizeof(((struct xencons_interface *)NULL)->out),
    IN_BYTES = sizeof(((struct xencons_interface *)NULL)->in),
};
_Static_assert((OUT_BYTES & (OUT_BYTES - 1)) == 0 && (IN_BYTES & (IN_BYTES - 1)) == 0, "masks");

/* Its indices that are ours are here; what stands in the page in their place is for the other end. */
struct front {
    struct consfront_channel channel; /* first: its user has its address */
    struct consfront *all;
    struct xenbus_device *bus;
    struct port port;
    volatile struct xencons_interface *page; /* NULL: not connected */
    uint32_t ref, out_prod, in_cons;
    bool ready, broken;
};

struct consfront {
    const struct consfront_user *user;
    struct frontend common;
};

/* ---- bytes ---- */

static ssize_t fails(int error)
{
    errno = error;
    return -1;
}

static ssize_t break_off(struct front *f)
{
    f->broken = true;
    xenbus_fail(f->bus, "impossible indices in the console's ring");
    return fails(EPIPE);
}

ssize_t consfront_read(struct consfront_channel *c, void *buf, size_t len)
{
    struct front *f = (struct front *)c;
    char *to = buf;
    uint32_t n;

    if (!f->ready || f->broken)
        return fails(EPIPE);
    n = __atomic_load_n(&f->page->in_prod, __ATOMIC_ACQUIRE) - f->in_cons;
    if (n > IN_BYTES)
        return break_off(f);
    if (n > len)
        n = (uint32_t)len;
    if (n == 0)
        return fails(EAGAIN);
    for (uint32_t i = 0; i < n; i++)
        to[i] = f->page->in[f->in_cons++ & (IN_BYTES - 1)];
    __atomic_store_n(&f->page->in_cons, f->in_cons, __ATOMIC_RELEASE); /* read before it */
    port_notify(&f->port);
    return n;
}

ssize_t consfront_write(struct consfront_channel *c, const void *buf, size_t len)
{
    struct front *f = (struct front *)c;
    const char *from = buf;
    uint32_t used, n;

    if (!f->ready || f->broken)
        return fails(EPIPE);
    used = f->out_prod - __atomic_load_n(&f->page->out_cons, __ATOMIC_ACQUIRE);
    if (used > OUT_BYTES)
        return break_off(f);
    n = OUT_BYTES - used;
    if (n > len)
        n = (uint32_t)len;
    if (n == 0)
        return fails(EAGAIN);
    for (uint32_t i = 0; i < n; i++)
        f->page->out[f->out_prod++ & (OUT_BYTES - 1)] = from[i];
    __atomic_store_n(&f->page->out_prod, f->out_prod, __ATOMIC_RELEASE); /* written before it */
    port_notify(&f->port);
    return n;
}

static void on_event(void *arg)
{
    struct front *f = arg;

    if (f->ready && !f->broken)
        f->all->user->changed(f->all->user->arg, &f->channel);
    if (f->port.ports)
        port_ready(&f->port);
}

/* ---- the connection ---- */

static void release(struct front *f)
{
    port_unbind(&f->port);
    frontend_unshare(&f->all->common, f->bus, (void *)f->page, 1);
    f->page = NULL;
}

static int connect_it(struct xenbus_device *bus)
{
    struct front *f = bus->data;
    struct xenbus_nodes n = { .nr = 0 };
    int rc;

    f->page = frontend_share(&f->all->common, bus, 1, &f->ref, true);
    rc = f->page ? 0 : -errno;
    if (f->page)
        memset((void *)f->page, 0, sizeof(*f->page));
    f->out_prod = f->in_cons = 0;
    f->broken = false;
    xenbus_put(&n, "ring-ref", "%u", f->ref);
    if (rc == 0)
        rc = frontend_offer(&f->all->common, bus, &f->port, "port", &n);
    if (rc) {
        xenbus_error(bus, "no ring: %s", strerror(-rc));
        release(f);
    }
    return rc;
}

static void connected(struct xenbus_device *bus)
{
    struct front *f = bus->data;

    if (f->ready || f->broken)
        return;
    f->ready = true;
    f->all->user->ready(f->all->user->arg, &f->channel);
}

static void disconnect(struct xenbus_device *bus)
{
    struct front *f = bus->data;
    bool was = f->ready;

    f->ready = false;
    release(f);
    if (was)
        f->all->user->gone(f->all->user->arg, &f->channel);
    xenbus_disconnected(bus);
}

static int probe(struct xenbus_device *bus)
{
    struct front *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -EAGAIN;
    f->all = xenbus_arg(bus->bus);
    f->bus = bus;
    f->channel.number = bus->id;
    f->port.fn = on_event;
    f->port.arg = f;
    (void)xenbus_text(bus, XENBUS_OURS, "name", f->channel.name, sizeof(f->channel.name));
    bus->data = f;
    return 0;
}

static void removed(struct xenbus_device *bus) { free(bus->data); }

struct consfront *consfront_start(struct plat_loop *l, const struct consfront_user *user)
{
    static const struct xenbus_driver driver = { .type = "console",
                                                 .first = 1,
                                                 .front_is_ready = XenbusStateInitialised,
                                                 .probe = probe,
                                                 .connect = connect_it,
                                                 .connected = connected,
                                                 .disconnect = disconnect,
                                                 .remove = removed };
    struct consfront *all = calloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->user = user;
    if (frontend_open(&all->common, l, &driver, all) == 0)
        return all;
    free(all);
    return NULL;
}

void consfront_stop(struct consfront *all)
{
    frontend_close(&all->common);
    free(all);
}
