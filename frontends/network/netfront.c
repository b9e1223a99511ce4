#include "netfront.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/netif.h>

#include "../frontend.h"
#include "ports.h"
#include "ring.h"
#include "xenbus.h"

enum { TX = 64, RX = 128, MAC = 6, AT_ONCE = 64 };
_Static_assert((int)RX < (int)__CONST_RING_SIZE(netif_rx, 4096), "buffers fit the ring");

struct netfront {
    struct plat_loop *loop;
    struct netfront_user user;
    struct frontend common;
    struct xenbus_device *device; /* the one that is served; NULL: none */
    struct plat_wake more;        /* there was more than is taken at once */
    uint8_t mac[MAC];

    /* While connected. */
    bool connected, ready;
    struct port port;
    uint8_t *rings, *sent, *room; /* two pages, TX read-only ones, RX */
    uint32_t ring_refs[2], sent_refs[TX], room_refs[RX];
    struct ring_front tx, rx;
    bool sending[TX], offered[RX]; /* what the backend has */
    uint8_t frame[NETFRONT_FRAME];
};

static void broken(struct netfront *n, const char *why)
{
    n->connected = false;
    xenbus_fail(n->device, "%s", why);
}

/* ---- sending ---- */

static int free_page(const struct netfront *n)
{
    for (int i = 0; i < TX; i++)
        if (!n->sending[i])
            return i;
    return -1;
}

int netfront_send(struct netfront *n, const void *frame, uint32_t bytes)
{
    struct netif_tx_request r = { .size = (uint16_t)bytes };
    int i;

    if (bytes < 14 || bytes > NETFRONT_FRAME) {
        errno = EINVAL;
        return -1;
    }
    i = n->connected ? free_page(n) : -1;
    if (i < 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(n->sent + (size_t)i * RING_PAGE, frame, bytes);
    n->sending[i] = true;
    r.gref = n->sent_refs[i];
    r.id = (uint16_t)i;
    ring_front_put(&n->tx, &r);
    if (ring_front_push(&n->tx))
        port_notify(&n->port);
    return 0;
}

/* What was sent. False: the backend says what cannot be. */
static bool take_sent(struct netfront *n)
{
    int left = ring_front_look(&n->tx);

    while (left > 0) {
        struct netif_tx_response r;

        for (; left > 0; left--) {
            ring_front_take(&n->tx, &r);
            if (r.id >= TX || !n->sending[r.id])
                return false;
            n->sending[r.id] = false;
        }
        left = ring_front_rest(&n->tx);
    }
    return left == 0;
}

/* ---- receiving ---- */

static void offer(struct netfront *n, uint32_t i)
{
    struct netif_rx_request r = { .id = (uint16_t)i, .gref = n->room_refs[i] };

    n->offered[i] = true;
    ring_front_put(&n->rx, &r);
}

static void push_offers(struct netfront *n)
{
    if (ring_front_push(&n->rx))
        port_notify(&n->port);
}

/* One of them. It is a whole frame: longer ones, and those to be cut, were not asked for. */
static bool take_frame(struct netfront *n)
{
    struct netif_rx_response r;

    ring_front_take(&n->rx, &r);
    if (r.id >= RX || !n->offered[r.id] || (r.flags & (NETRXF_more_data | NETRXF_extra_info)) ||
        r.status > RING_PAGE || r.offset > RING_PAGE ||
        (r.status > 0 && r.status > RING_PAGE - r.offset))
        return false;
    n->offered[r.id] = false;
    if (r.status > 0)
        memcpy(n->frame, n->room + (size_t)r.id * RING_PAGE + r.offset, (size_t)r.status);
    offer(n, r.id);
    if (r.status >= 14)
        n->user.received(n->user.arg, n->frame, (uint32_t)r.status);
    return true;
}

/* Some frames. Returns how many more there are; negative: the backend says what cannot be. */
static int take_frames(struct netfront *n)
{
    int left = ring_front_look(&n->rx);

    for (int i = 0; i < AT_ONCE && left > 0; i++, left--)
        if (!take_frame(n))
            return -EPROTO;
    push_offers(n);
    return left ? left : ring_front_rest(&n->rx);
}

/* A backend that answers as fast as it is given room would have the loop for ever: all else has its turn between. */
static void on_event(void *arg)
{
    struct netfront *n = arg;
    int left;

    if (!n->connected)
        return;
    left = take_sent(n) ? take_frames(n) : -EPROTO;
    if (left < 0)
        broken(n, "the backend answers what was not asked");
    else if (left > 0)
        plat_wake(&n->more);
    else
        port_ready(&n->port);
}

/* ---- the device ---- */

static int probe(struct xenbus_device *d)
{
    struct netfront *n = xenbus_arg(d->bus);
    char text[32];
    unsigned int m[MAC];

    if (n->device) {
        xenbus_error(d, "one interface is served");
        return -EBUSY;
    }
    if (xenbus_text(d, XENBUS_OURS, "mac", text, sizeof(text)) ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != MAC) {
        xenbus_error(d, "it has no mac");
        return -EINVAL;
    }
    for (int i = 0; i < MAC; i++)
        n->mac[i] = (uint8_t)m[i];
    n->device = d;
    return 0;
}

static void unshare(struct netfront *n)
{
    port_unbind(&n->port);
    frontend_unshare(&n->common, n->device, n->rings, 2);
    frontend_unshare(&n->common, n->device, n->sent, TX);
    frontend_unshare(&n->common, n->device, n->room, RX);
    n->rings = n->sent = n->room = NULL;
}

static bool share(struct netfront *n)
{
    n->rings = frontend_share(&n->common, n->device, 2, n->ring_refs, true);
    n->sent = frontend_share(&n->common, n->device, TX, n->sent_refs, false);
    n->room = frontend_share(&n->common, n->device, RX, n->room_refs, true);
    n->port = (struct port){ .fn = on_event, .arg = n };
    return n->rings && n->sent && n->room;
}

static int publish(struct netfront *n)
{
    struct xenbus_nodes nodes = { .nr = 0 };

    xenbus_put(&nodes, "tx-ring-ref", "%u", n->ring_refs[0]);
    xenbus_put(&nodes, "rx-ring-ref", "%u", n->ring_refs[1]);
    xenbus_put(&nodes, "request-rx-copy", "1");
    xenbus_put(&nodes, "feature-rx-notify", "1");
    xenbus_put(&nodes, "feature-no-csum-offload", "1");
    return frontend_offer(&n->common, n->device, &n->port, "event-channel", &nodes);
}

static int connect_it(struct xenbus_device *d)
{
    struct netfront *n = xenbus_arg(d->bus);
    int rc;

    if (!share(n)) {
        unshare(n);
        xenbus_error(d, "no pages to share");
        return -ENOMEM;
    }
    ring_front_init(&n->tx, n->rings, 1, sizeof(struct netif_tx_request),
                    sizeof(struct netif_tx_response));
    ring_front_init(&n->rx, n->rings + RING_PAGE, 1, sizeof(struct netif_rx_request),
                    sizeof(struct netif_rx_response));
    memset(n->sending, 0, sizeof(n->sending));
    for (uint32_t i = 0; i < RX; i++)
        offer(n, i);
    ring_front_push(&n->rx);
    rc = publish(n);
    if (rc) {
        xenbus_error(d, "no connection: %s", strerror(-rc));
        unshare(n);
    }
    n->connected = rc == 0;
    n->ready = false;
    return rc;
}

static void connected(struct xenbus_device *d)
{
    struct netfront *n = xenbus_arg(d->bus);

    if (n->ready || !n->connected)
        return;
    n->ready = true;
    n->user.ready(n->user.arg, n->mac);
}

static void disconnect(struct xenbus_device *d)
{
    struct netfront *n = xenbus_arg(d->bus);

    n->connected = false;
    unshare(n);
    xenbus_disconnected(d);
}

static void removed(struct xenbus_device *d)
{
    struct netfront *n = xenbus_arg(d->bus);

    if (n->device == d)
        n->device = NULL;
}

static const struct xenbus_driver driver = {
    .type = "vif",
    .front_is_ready = XenbusStateConnected,
    .probe = probe,
    .connect = connect_it,
    .connected = connected,
    .disconnect = disconnect,
    .remove = removed,
};

struct netfront *netfront_start(struct plat_loop *loop, const struct netfront_user *user)
{
    struct netfront *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return NULL;
    n->loop = loop;
    n->user = *user;
    n->more = (struct plat_wake){ .fn = on_event, .arg = n };
    plat_wake_add(loop, &n->more);
    if (frontend_open(&n->common, loop, &driver, n) == 0)
        return n;
    plat_log(PLAT_ERROR, "no network interface: %s", strerror(errno));
    plat_wake_remove(&n->more);
    free(n);
    return NULL;
}

void netfront_stop(struct netfront *n)
{
    frontend_close(&n->common);
    plat_wake_remove(&n->more);
    free(n);
}
