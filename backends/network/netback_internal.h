/*
 * What the parts of netback know of each other.
 *
 * A guest is an enemy. Its rings are read by ring.h, each request once; its chains are bounded, and what contradicts
 * itself ends the interface (xenbus_fail()), what merely cannot be done is answered with an error. Guests have turns
 * (netback.c), in each of which only so much is taken; for a guest only so much waits (netback_rx.c).
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>
#include <xengnttab.h>

#include "link.h"
#include "netback.h"
#include "ports.h"
#include "ring.h"
#include "switch.h"
#include "xenbus.h"

enum {
    QUEUES_MAX = 8,
    RING_SLOTS = 256,      /* of a ring of one page */
    SEGMENTS = RING_SLOTS, /* copied at once */
    BRIDGES = 64,
    GROUPS = 64,          /* that a guest listens to */
    WAITING_FRAMES = 256, /* for a queue of a guest that gives no room */
    WAITING_BYTES = 1 << 20,
};
_Static_assert(__CONST_RING_SIZE(netif_tx, 4096) == RING_SLOTS &&
                   __CONST_RING_SIZE(netif_rx, 4096) == RING_SLOTS,
               "rings of one page");

struct vif;

struct vif_queue {
    struct vif *vif;
    bool due; /* then its interface is */
    struct ring_back tx, rx;
    void *tx_page, *rx_page;
    struct port tx_port, rx_port; /* the latter not bound: one is for both */
    struct frame *waiting[WAITING_FRAMES];
    unsigned int first, nr_waiting;
    uint32_t waiting_bytes;
};

struct vif {
    struct link link; /* the first member: as the switch sees it */
    struct netback *owner;
    struct vif *next; /* that has a turn */
    bool due;
    unsigned int next_queue; /* whose turn it is then */
    struct xenbus_device *device;
    struct bridge *bridge;
    struct switch_port *port; /* its link is up when a frontend is connected */
    unsigned int nr_queues;
    struct vif_queue *queues;
    bool
        broken; /* the guest has broken the rules: nothing is taken or given, until it is disconnected */
    bool sg;      /* it takes frames of several pieces */
    bool filters; /* it wants no other groups than these */
    unsigned int nr_groups;
    uint8_t groups[GROUPS][ETH_ADDRESS];
    struct plat_timer rate; /* when it may send again */
    bool capturing;
    uint64_t errors,
        no_room; /* requests of the guest that failed; frames for it that were dropped */
};

struct bridge {
    struct bridge *next;
    char name[SWITCH_NAME];
    unsigned int users;
    struct vswitch *vswitch;
    struct switch_port *uplink; /* NULL: there is none */
};

struct netback {
    struct plat_loop *loop;
    struct netback_options options;
    struct ports *ports;
    xengnttab_handle *grants;
    struct xenbus *bus;
    struct bridge *bridges;
    struct vif *first, *last; /* that have a turn */
    struct plat_wake wake;
    xengnttab_grant_copy_segment_t segments[SEGMENTS];
};

/** netback.c: it has something to do: at one of its interface's turns it is served. */
void vif_due(struct vif_queue *q);

/** None of its queues has anything to do any more. */
void vif_forget(struct vif *v);

/** NULL: errno. Put when it is not used any more. */
struct bridge *bridge_get(struct netback *n, const char *name);
void bridge_put(struct netback *n, struct bridge *b);

/** netback_vif.c */
extern const struct xenbus_driver vif_driver;

/** The guest has broken the rules: it is disconnected when the caller has returned. */
void vif_break(struct vif *v, const char *why);

/** Whether it listens to a group, and where in its list. -1: it does not. */
int vif_find_group(const struct vif *v, const uint8_t *mac);

/** netback_tx.c: take what the guest sends, so much that others do not wait. True: there is more. */
bool vif_take(struct vif_queue *q);

/** netback_rx.c: as link_ops. */
void vif_send(struct link *l, struct frame *f);
void vif_flush(struct link *l);

/** Give the guest what waits, as much as it has room for. */
void vif_give(struct vif_queue *q);

/** What waits is dropped. */
void vif_drop(struct vif_queue *q);
