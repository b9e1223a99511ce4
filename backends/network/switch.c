#include "switch.h"

#include <errno.h>
#include <platform.h>
#include <string.h>

#include "offload.h"
#include "switch_port.h"

enum { TAGS_BYTES = 8 }; /* VLAN tags do not count for an MTU */

/* ---- out ---- */

static void capture(struct switch_port *p, const struct frame *f)
{
    if (p->capture && !capture_frame(p->capture, f)) {
        plat_log(PLAT_INFO, "%s: the capture is full", p->options.name);
        switch_capture(p, NULL);
    }
}

/* Of the longest frame that the wire sees: of what is still to be cut, a segment with its headers. */
static uint32_t wire_bytes(const struct frame *f)
{
    struct packet own;
    const struct packet *p;

    if (f->gso == FRAME_GSO_NONE)
        return f->bytes;
    p = frame_packet(f, &own);
    return p->payload ? p->payload + f->gso_bytes : f->bytes;
}

static void send_now(void *arg, struct frame *f)
{
    struct switch_port *p = arg;
    uint32_t most = p->link->mtu + ETH_HEADER + TAGS_BYTES;

    if (wire_bytes(f) > most) {
        p->stats.too_long++;
        return;
    }
    p->stats.out_frames++;
    p->stats.out_bytes += f->bytes;
    capture(p, f);
    p->link->ops->send(p->link, f);
    if (!p->dirty) {
        p->dirty = true;
        p->next_dirty = p->owner->dirty;
        p->owner->dirty = p;
    }
}

static void send_to(struct switch_port *p, struct frame *f)
{
    if (p->link->up && !offload_do(p->link, f, send_now, p))
        p->stats.no_memory++;
}

static bool may_reach(const struct switch_port *from, const struct switch_port *to)
{
    return from != to && !(from->options.isolated && to->options.isolated);
}

/* @group  to several; else to one that nobody knows, who is not where all addresses are known. */
static void flood(struct switch_port *from, struct frame *f, bool group)
{
    for (struct switch_port *to = from->owner->ports; to; to = to->next)
        if (may_reach(from, to) && (group || !to->own.fixed))
            send_to(to, f);
}

/* What bridges and switches tell each other. */
static bool stays(const uint8_t *mac)
{
    static const uint8_t reserved[] = { 0x01, 0x80, 0xc2, 0, 0 };

    return memcmp(mac, reserved, sizeof(reserved)) == 0 && mac[5] < 16;
}

static void forward(struct switch_port *from, struct frame *f)
{
    const struct table_entry *e;

    if (stays(f->data))
        return;
    if (f->data[0] & 1) {
        if (f->gso != FRAME_GSO_NONE) /* TCP is not for groups: each port would cut it anew */
            from->stats.nowhere++;
        else
            flood(from, f, true);
        return;
    }
    e = table_find(&from->owner->table, f->data);
    if (e == NULL)
        flood(from, f, false);
    else if (may_reach(from, e->port))
        send_to(e->port, f);
    else
        from->stats.nowhere++;
}

/* ---- in ---- */

/* Is its sender who he may be? Other ports' own addresses nobody else has. @e  what is known of that address */
static bool passes(struct switch_port *p, const struct frame *f, const struct table_entry *e)
{
    struct packet own;

    if ((f->data[ETH_ADDRESS] & 1) || (e && e->fixed && e->port != p))
        return false;
    if (!p->options.guard.mac_set && p->options.guard.nr_ranges == 0)
        return true;
    return guard_passes(&p->options.guard, f->data, f->bytes, frame_packet(f, &own));
}

static void received(void *arg, struct frame *f)
{
    struct switch_port *p = arg;
    struct table *t = &p->owner->table;
    struct table_entry *e;
    uint64_t now = plat_now();

    p->stats.in_frames++;
    p->stats.in_bytes += f->bytes;
    if (!offload_valid(f)) {
        p->stats.invalid++;
        return;
    }
    capture(p, f);
    if (rate_ready_ns(&p->options.rate, now)) {
        p->stats.over_rate++;
        return;
    }
    rate_take(&p->options.rate, now, f->bytes);
    table_sweep(t, now);
    e = table_find(t, f->data + ETH_ADDRESS);
    if (!passes(p, f, e)) {
        p->stats.refused++;
        return;
    }
    table_learn(t, e, f->data + ETH_ADDRESS, p, now);
    forward(p, f);
}

static void received_all(void *arg)
{
    struct vswitch *s = ((struct switch_port *)arg)->owner;
    struct switch_port *p;

    while ((p = s->dirty) != NULL) {
        s->dirty = p->next_dirty;
        p->dirty = false;
        p->link->ops->flush(p->link);
    }
}

/* ---- ports ---- */

struct vswitch *switch_new(void)
{
    struct vswitch *s = calloc(1, sizeof(*s));

    if (s)
        table_init(&s->table, plat_wall() * 0x9e3779b97f4a7c15u ^ plat_now());
    return s;
}

void switch_free(struct vswitch *s) { free(s); }

struct switch_port *switch_add(struct vswitch *s, struct link *l, const struct switch_options *o)
{
    struct switch_port *p;

    if (s->nr_ports == SWITCH_PORTS) {
        errno = ENOSPC;
        return NULL;
    }
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->owner = s;
    p->link = l;
    p->options = *o;
    if (o->guard.mac_set) {
        p->own = (struct table_entry){ .port = p, .fixed = true };
        memcpy(p->own.mac, o->guard.mac, ETH_ADDRESS);
        if (!table_add_fixed(&s->table, &p->own)) {
            free(p);
            errno = EEXIST;
            return NULL;
        }
    }
    p->next = s->ports;
    s->ports = p;
    s->nr_ports++;
    l->received = received;
    l->received_all = received_all;
    l->arg = p;
    return p;
}

static void unlink_port(struct switch_port *p)
{
    struct switch_port **at = &p->owner->ports;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    for (at = &p->owner->dirty; *at && *at != p;)
        at = &(*at)->next_dirty;
    if (*at)
        *at = p->next_dirty;
    p->owner->nr_ports--;
}

void switch_remove(struct switch_port *p)
{
    unlink_port(p);
    table_forget(&p->owner->table, p);
    switch_capture(p, NULL);
    p->link->received = NULL;
    p->link->received_all = NULL;
    free(p);
}

const struct switch_stats *switch_stats(const struct switch_port *p) { return &p->stats; }

uint64_t switch_ready_ns(const struct switch_port *p, uint32_t bytes)
{
    struct rate rate;
    uint64_t now;

    if (p->options.rate.bytes == 0)
        return 0;
    rate = p->options.rate;
    now = plat_now();
    rate_take(&rate, now, bytes);
    return rate_ready_ns(&rate, now);
}

void switch_set_rate(struct switch_port *p, const struct rate *rate)
{
    struct rate *r = &p->options.rate;

    if (rate->bytes != r->bytes || rate->interval_ns != r->interval_ns)
        *r = *rate; /* else what was taken stays so */
}

void switch_set_isolated(struct switch_port *p, bool isolated) { p->options.isolated = isolated; }

int switch_capture(struct switch_port *p, const char *path)
{
    struct capture *c = p->capture;

    if (path == NULL) {
        p->capture = NULL;
        return c ? capture_end(c) : 0;
    }
    if (c) {
        errno = EBUSY;
        return -1;
    }
    p->capture = capture_start(path);
    return p->capture ? 0 : -1;
}
