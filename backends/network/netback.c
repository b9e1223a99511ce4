/* Beginning and end, switches by name, and turns. */
#include "netback.h"

#include <errno.h>
#include <string.h>

#include "netback_internal.h"

/* ---- turns ---- */

void vif_due(struct vif_queue *q)
{
    struct vif *v = q->vif;
    struct netback *n = v->owner;

    q->due = true;
    if (v->due)
        return;
    v->due = true;
    v->next = NULL;
    if (n->first)
        n->last->next = v;
    else
        n->first = v;
    n->last = v;
    plat_wake(&n->wake);
}

void vif_forget(struct vif *v)
{
    struct netback *n = v->owner;
    struct vif **at = &n->first, *last = NULL;

    v->next_queue = 0;
    if (!v->due)
        return;
    while (*at != v) {
        last = *at;
        at = &last->next;
    }
    *at = v->next;
    if (n->last == v)
        n->last = last;
    v->due = false;
}

/* One of its queues that are due, after the one that was served before. */
static struct vif_queue *next_queue(struct vif *v)
{
    struct vif_queue *q;

    do {
        q = &v->queues[v->next_queue];
        v->next_queue = (v->next_queue + 1) % v->nr_queues;
    } while (!q->due);
    q->due = false;
    return q;
}

/* One queue of it has a turn: who has several queues has no more of them than others. */
static void turn(struct vif *v)
{
    struct vif_queue *q = next_queue(v);

    vif_give(q);
    if (vif_take(q)) {
        vif_due(q);
    } else {
        port_ready(&q->tx_port);
        port_ready(&q->rx_port);
    }
    for (unsigned int i = 0; i < v->nr_queues; i++)
        if (v->queues[i].due)
            vif_due(&v->queues[i]);
}

/* Each that is due now has a turn; who has more to do has the next one when the loop has looked at all else. */
static void run(void *arg)
{
    struct netback *n = arg;
    unsigned int nr = 0;
    struct vif *v;

    for (v = n->first; v; v = v->next)
        nr++;
    while (nr-- && (v = n->first) != NULL) {
        n->first = v->next;
        v->due = false;
        turn(v);
    }
}

/* ---- switches ---- */

struct bridge *bridge_get(struct netback *n, const char *name)
{
    unsigned int nr = 0;
    struct bridge *b;

    for (b = n->bridges; b; b = b->next, nr++)
        if (strcmp(b->name, name) == 0) {
            b->users++;
            return b;
        }
    if (nr == BRIDGES || strlen(name) >= sizeof(b->name)) {
        errno = nr == BRIDGES ? ENOSPC : EINVAL;
        return NULL;
    }
    b = calloc(1, sizeof(*b));
    if (b == NULL)
        return NULL;
    strcpy(b->name, name);
    b->vswitch = switch_new();
    if (b->vswitch == NULL) {
        free(b);
        errno = ENOMEM;
        return NULL;
    }
    b->users = 1;
    b->next = n->bridges;
    n->bridges = b;
    return b;
}

void bridge_put(struct netback *n, struct bridge *b)
{
    struct bridge **at = &n->bridges;

    if (--b->users)
        return;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    switch_free(b->vswitch);
    free(b);
}

int netback_uplink(struct netback *n, const char *bridge, struct link *l)
{
    struct switch_options o = { .name = "uplink" };
    struct bridge *b = bridge_get(n, bridge);

    if (b == NULL)
        return -1;
    if (b->uplink)
        errno = EBUSY;
    else if ((b->uplink = switch_add(b->vswitch, l, &o)) != NULL)
        return 0;
    bridge_put(n, b);
    return -1;
}

/* ---- beginning and end ---- */

struct netback *netback_start(struct plat_loop *loop, const struct netback_options *o)
{
    struct netback *n = calloc(1, sizeof(*n));

    frames_forget();
    if (n == NULL)
        return NULL;
    n->loop = loop;
    n->options = *o;
    n->wake = (struct plat_wake){ .fn = run, .arg = n };
    plat_wake_add(loop, &n->wake);
    n->grants = xengnttab_open(NULL, 0);
    if (n->grants)
        n->ports = ports_open(loop);
    if (n->ports)
        n->bus = xenbus_open(loop, &vif_driver, n);
    if (n->bus)
        return n;
    plat_log(PLAT_ERROR, "no network interfaces are served: %s", strerror(errno));
    netback_stop(n);
    return NULL;
}

void netback_stop(struct netback *n)
{
    if (n->bus)
        xenbus_close(n->bus);
    ports_close(n->ports);
    if (n->grants)
        xengnttab_close(n->grants);
    plat_wake_remove(&n->wake);
    while (n->bridges) { /* those that have an uplink */
        switch_remove(n->bridges->uplink);
        bridge_put(n, n->bridges);
    }
    frames_free();
    free(n);
}
