/* An interface: what its two ends agree on by the store (xenbus.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "netback_internal.h"

enum { TEXT_MAX = 256 };

void vif_break(struct vif *v, const char *why)
{
    if (!v->broken)
        xenbus_fail(v->device, "%s", why);
    v->broken = true;
}

int vif_find_group(const struct vif *v, const uint8_t *mac)
{
    for (unsigned int i = 0; i < v->nr_groups; i++)
        if (memcmp(v->groups[i], mac, ETH_ADDRESS) == 0)
            return (int)i;
    return -1;
}

/* ---- what the toolstack says ---- */

static bool read_mac(struct xenbus_device *d, struct guard *g)
{
    char text[TEXT_MAX], more;
    unsigned int m[ETH_ADDRESS];

    if (xenbus_text(d, XENBUS_OURS, "mac", text, sizeof(text)) == -ENOENT)
        return true;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5],
               &more) != ETH_ADDRESS) {
        xenbus_error(d, "mac: '%s' is no MAC address", text);
        return false;
    }
    for (int i = 0; i < ETH_ADDRESS; i++)
        g->mac[i] = (uint8_t)m[i];
    g->mac_set = true;
    return true;
}

static bool read_guard(struct xenbus_device *d, struct guard *g)
{
    char text[TEXT_MAX];
    int rc = xenbus_text(d, XENBUS_OURS, "ip", text, sizeof(text));

    if (rc == -ENOENT || guard_parse(g, text))
        return (rc == 0 || rc == -ENOENT) && read_mac(d, g);
    xenbus_error(d, "ip: '%s' is no list of addresses", text);
    return false;
}

/* BYTES,MICROSECONDS. */
static bool read_rate(struct xenbus_device *d, struct rate *r)
{
    unsigned long long bytes, us;
    char text[TEXT_MAX], more;

    *r = (struct rate){ 0 };
    if (xenbus_text(d, XENBUS_OURS, "rate", text, sizeof(text)) == -ENOENT)
        return true;
    if (sscanf(text, "%llu,%llu%c", &bytes, &us, &more) != 2 || bytes == 0 || us == 0 ||
        bytes > 1ull << 60 || us > UINT32_MAX) {
        xenbus_error(d, "rate: '%s' is not BYTES,MICROSECONDS", text);
        return false;
    }
    r->bytes = bytes;
    r->interval_ns = us * 1000;
    return true;
}

static bool read_isolated(struct xenbus_device *d, bool *isolated)
{
    uint64_t value;

    if (xenbus_number_or(d, XENBUS_OURS, "isolated", 0, 1, 0, &value)) {
        xenbus_error(d, "isolated is not 0 or 1");
        return false;
    }
    *isolated = value != 0;
    return true;
}

static bool read_options(struct vif *v, struct switch_options *o)
{
    struct xenbus_device *d = v->device;

    if (xenbus_text(d, XENBUS_OURS, "vifname", o->name, sizeof(o->name)))
        snprintf(o->name, sizeof(o->name), "vif%u.%u", d->other, d->id);
    return read_isolated(d, &o->isolated) && read_guard(d, &o->guard) && read_rate(d, &o->rate);
}

static void say_unplugged(struct vif *v, const char *bridge, const uint8_t *mac, int error)
{
    if (error == EEXIST)
        xenbus_error(v->device,
                     "bridge %s: another interface has the mac %02x:%02x:%02x:%02x:%02x:%02x",
                     bridge, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    else
        xenbus_error(v->device, "bridge %s: %s", bridge, strerror(error));
}

/* A port of its bridge. */
static int plug(struct vif *v)
{
    struct switch_options o = { .isolated = false };
    char bridge[SWITCH_NAME];
    int error;

    if (!read_options(v, &o))
        return -EINVAL;
    error = -xenbus_text(v->device, XENBUS_OURS, "bridge", bridge, sizeof(bridge));
    if (error && error != ENOENT) {
        xenbus_error(v->device, "bridge: %s", strerror(error));
        return -error;
    }
    if (error)
        strcpy(bridge, "xenbr0");
    v->bridge = bridge_get(v->owner, bridge);
    if (v->bridge)
        v->port = switch_add(v->bridge->vswitch, &v->link, &o);
    if (v->port) {
        if (v->bridge->users == 1) /* an uplink is a user, too */
            xenbus_log(v->device, PLAT_INFO, "begins the switch %s, which has no uplink", bridge);
        return 0;
    }
    error = errno;
    say_unplugged(v, bridge, o.guard.mac, error);
    return -error;
}

static void unplug(struct vif *v)
{
    if (v->port)
        switch_remove(v->port);
    if (v->bridge)
        bridge_put(v->owner, v->bridge);
    v->port = NULL;
    v->bridge = NULL;
    v->capturing = false;
}

/* It may change at any time. */
static void look_at_capture(struct vif *v)
{
    char path[TEXT_MAX];
    bool wanted = xenbus_text(v->device, XENBUS_OURS, "capture", path, sizeof(path)) == 0;

    if (wanted == v->capturing)
        return;
    v->capturing = wanted;
    if (switch_capture(v->port, wanted ? path : NULL))
        xenbus_error(v->device, "capture: %s", strerror(errno));
}

/* It may, too. What is neither 0 nor 1 changes nothing. */
static void look_at_isolated(struct vif *v)
{
    bool isolated;

    if (read_isolated(v->device, &isolated))
        switch_set_isolated(v->port, isolated);
}

/* ---- a device ---- */

static void rate_over(void *arg)
{
    struct vif *v = arg;

    for (unsigned int i = 0; i < v->nr_queues; i++)
        vif_due(&v->queues[i]);
}

static void vif_close(struct link *l) { (void)l; } /* its end is the device's */

static const struct link_ops vif_ops = { .send = vif_send, .flush = vif_flush, .close = vif_close };

static int vif_probe(struct xenbus_device *d)
{
    static const char *const features[] = {
        "feature-sg",
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
        "feature-rx-copy",
        "feature-ipv6-csum-offload",
        "feature-multicast-control",
        "feature-split-event-channels",
    };
    struct netback *n = xenbus_arg(d->bus);
    struct xenbus_nodes nodes = { .nr = 0 };
    struct vif *v = calloc(1, sizeof(*v));
    int rc;

    if (v == NULL) {
        xenbus_error(d, "no memory");
        return -ENOMEM;
    }
    for (unsigned int i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        xenbus_put(&nodes, features[i], "1");
    xenbus_put(&nodes, "feature-rx-flip", "0");
    xenbus_put(&nodes, "multi-queue-max-queues", "%u", n->options.queues);
    xenbus_put(&nodes, "hotplug-status", "connected"); /* what a script would say elsewhere */
    v->owner = n;
    v->device = d;
    v->link = (struct link){ .ops = &vif_ops, .mtu = 65535 };
    v->rate = (struct plat_timer){ .fn = rate_over, .arg = v };
    rc = plug(v);
    if (rc == 0)
        rc = xenbus_publish(d, &nodes);
    if (rc) {
        unplug(v);
        free(v);
        return rc;
    }
    d->data = v;
    look_at_capture(v);
    return 0;
}

static void vif_remove(struct xenbus_device *d)
{
    unplug(d->data);
    free(d->data);
    d->data = NULL;
}

/* ---- connecting ---- */

static void on_event(void *arg) { vif_due(arg); }

static void queue_end(struct vif_queue *q)
{
    struct netback *n = q->vif->owner;

    vif_drop(q);
    port_unbind(&q->tx_port);
    port_unbind(&q->rx_port);
    ring_back_free(&q->tx);
    ring_back_free(&q->rx);
    if (q->tx_page)
        xengnttab_unmap(n->grants, q->tx_page, 1);
    if (q->rx_page)
        xengnttab_unmap(n->grants, q->rx_page, 1);
    q->tx_page = q->rx_page = NULL;
}

/* A number of a queue's. @folder  "" or "queue-N/" */
static int read_queue(struct xenbus_device *d, const char *folder, const char *node,
                      uint32_t *value)
{
    char path[64];
    uint64_t number = 0;
    int rc;

    snprintf(path, sizeof(path), "%s%s", folder, node);
    rc = xenbus_number(d, XENBUS_THEIRS, path, 0, UINT32_MAX, &number);
    *value = (uint32_t)number;
    return rc;
}

/* Says what is wrong with that node, if anything is. */
static int tell(struct xenbus_device *d, const char *folder, const char *node, int rc)
{
    if (rc == -ENOENT)
        xenbus_error(d, "%s%s is missing", folder, node);
    else if (rc)
        xenbus_error(d, "%s%s: %s", folder, node, strerror(-rc));
    return rc;
}

static int map_ring(struct vif_queue *q, const char *folder, const char *node, void **page,
                    struct ring_back *ring, size_t request, size_t response)
{
    struct xenbus_device *d = q->vif->device;
    uint32_t ref;
    int rc = read_queue(d, folder, node, &ref);

    if (rc == 0) {
        *page = xengnttab_map_domain_grant_refs(q->vif->owner->grants, 1, d->other, &ref,
                                                PROT_READ | PROT_WRITE);
        rc = *page ? ring_back_init(ring, *page, 1, request, response) : -errno;
    }
    return tell(d, folder, node, rc);
}

static int bind(struct vif_queue *q, const char *folder, const char *node, struct port *port)
{
    struct xenbus_device *d = q->vif->device;
    uint32_t remote;
    int rc = read_queue(d, folder, node, &remote);

    if (rc == 0)
        rc = port_bind(q->vif->owner->ports, port, d->other, remote);
    return tell(d, folder, node, rc);
}

/* One for both directions, or one for each. */
static int bind_ports(struct vif_queue *q, const char *folder)
{
    uint32_t tx;
    int rc;

    q->tx_port = q->rx_port = (struct port){ .fn = on_event, .arg = q };
    if (read_queue(q->vif->device, folder, "event-channel-tx", &tx) == -ENOENT)
        return bind(q, folder, "event-channel", &q->tx_port);
    rc = bind(q, folder, "event-channel-tx", &q->tx_port);
    return rc ? rc : bind(q, folder, "event-channel-rx", &q->rx_port);
}

static int queue_begin(struct vif_queue *q, const char *folder)
{
    int rc = map_ring(q, folder, "tx-ring-ref", &q->tx_page, &q->tx,
                      sizeof(struct netif_tx_request), sizeof(struct netif_tx_response));

    if (rc == 0)
        rc = map_ring(q, folder, "rx-ring-ref", &q->rx_page, &q->rx,
                      sizeof(struct netif_rx_request), sizeof(struct netif_rx_response));
    return rc ? rc : bind_ports(q, folder);
}

static void end_queues(struct vif *v)
{
    plat_timer_cancel(&v->rate);
    vif_forget(v);
    for (unsigned int i = 0; i < v->nr_queues; i++)
        queue_end(&v->queues[i]);
    free(v->queues);
    v->queues = NULL;
    v->nr_queues = 0;
}

static int begin_queues(struct vif *v)
{
    struct xenbus_device *d = v->device;
    uint64_t nr;
    int rc = xenbus_number_or(d, XENBUS_THEIRS, "multi-queue-num-queues", 1,
                              v->owner->options.queues, 1, &nr);

    if (rc) {
        xenbus_error(d, "multi-queue-num-queues is not 1 to %u", v->owner->options.queues);
        return rc;
    }
    v->queues = calloc(nr, sizeof(*v->queues));
    if (v->queues == NULL) {
        xenbus_error(d, "no memory for %u queues", (unsigned int)nr);
        return -ENOMEM;
    }
    v->nr_queues = (unsigned int)nr;
    for (unsigned int i = 0; i < nr; i++)
        v->queues[i].vif = v;
    for (unsigned int i = 0; i < nr && rc == 0; i++) {
        char folder[16] = "";

        if (nr > 1)
            snprintf(folder, sizeof(folder), "queue-%u/", i);
        rc = queue_begin(&v->queues[i], folder);
    }
    return rc;
}

static void read_features(struct vif *v)
{
    struct xenbus_device *d = v->device;

    v->broken = false;
    v->nr_groups = 0;
    v->sg = xenbus_feature(d, XENBUS_THEIRS, "feature-sg");
    v->filters = xenbus_feature(d, XENBUS_THEIRS, "request-multicast-control");
    v->link.csum4 = !xenbus_feature(d, XENBUS_THEIRS, "feature-no-csum-offload");
    v->link.csum6 = xenbus_feature(d, XENBUS_THEIRS, "feature-ipv6-csum-offload");
    v->link.tso4 = v->sg && xenbus_feature(d, XENBUS_THEIRS, "feature-gso-tcpv4");
    v->link.tso6 = v->sg && xenbus_feature(d, XENBUS_THEIRS, "feature-gso-tcpv6");
}

static int vif_connect(struct xenbus_device *d)
{
    struct vif *v = d->data;
    int rc;

    if (!xenbus_feature(d, XENBUS_THEIRS, "request-rx-copy")) {
        xenbus_error(d, "request-rx-copy: pages are not exchanged");
        return -EOPNOTSUPP;
    }
    read_features(v);
    look_at_isolated(v); /* before its first frame */
    rc = begin_queues(v);
    if (rc)
        end_queues(v);
    v->link.up = rc == 0;
    return rc;
}

static void vif_disconnect(struct xenbus_device *d)
{
    struct vif *v = d->data;
    const struct switch_stats *s = switch_stats(v->port);

    xenbus_log(d, PLAT_INFO,
               "%llu frames from it, %llu to it; refused %llu, failed %llu, no room for %llu",
               (unsigned long long)s->in_frames, (unsigned long long)s->out_frames,
               (unsigned long long)s->refused, (unsigned long long)v->errors,
               (unsigned long long)v->no_room);
    v->link.up = false;
    end_queues(v);
    xenbus_disconnected(d);
}

/* ---- what may change while it is connected ---- */

static void vif_changed(struct xenbus_device *d)
{
    struct vif *v = d->data;
    struct rate rate;

    if (v == NULL)
        return;
    look_at_capture(v);
    look_at_isolated(v);
    if (!read_rate(d, &rate))
        return;
    switch_set_rate(v->port, &rate);
    rate_over(v);
}

const struct xenbus_driver vif_driver = {
    .type = "vif",
    .backend = true,
    .front_is_ready = XenbusStateConnected,
    .probe = vif_probe,
    .connect = vif_connect,
    .disconnect = vif_disconnect,
    .remove = vif_remove,
    .changed = vif_changed,
};
