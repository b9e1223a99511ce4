/* The hostile backend of a network interface, by <xen/io/netif.h>: see back.h. When it is honest all frames come back. */
#include <string.h>
#include <unistd.h>

#include <xen/io/netif.h>

#include "back.h"

enum { ENTRIES = 256, LAST = 64 };

static const char *const nodes[] = { "feature-rx-copy",
                                     "feature-sg",
                                     "feature-gso-tcpv4",
                                     "feature-gso-tcpv6",
                                     "feature-rx-flip",
                                     "feature-rx-notify",
                                     "feature-split-event-channels",
                                     "feature-multicast-control",
                                     "feature-ctrl-ring",
                                     "feature-no-csum-offload",
                                     "multi-queue-max-queues",
                                     NULL };

static const struct enemy_entries tx_entries = { ENTRIES, sizeof(struct netif_tx_request) },
                                  rx_entries = { ENTRIES, sizeof(struct netif_rx_request) };
static volatile uint32_t *tx, *rx; /* NULL: not mapped */
static uint32_t tx_cons, rx_cons;
static struct netif_tx_request sent[LAST]; /* the last ones */
static struct netif_rx_request room[LAST];
static unsigned int nr_sent, nr_room;

static void offer(struct enemy *e)
{
    for (unsigned int i = 0; nodes[i]; i++)
        enemy_put(e, nodes[i], "%d", i == 0 || (!e->honest && enemy_once_in(e, 2)));
    tx = rx = NULL;
    tx_cons = rx_cons = nr_sent = nr_room = 0;
}

static bool connect_it(struct enemy *e)
{
    uint8_t *sending = back_map_node(e, "tx-ring-ref"),
            *room_ring = back_map_node(e, "rx-ring-ref");

    if (sending == NULL || room_ring == NULL)
        return false;
    tx = (volatile uint32_t *)(uintptr_t)sending;
    rx = (volatile uint32_t *)(uintptr_t)room_ring;
    return back_bind_node(e, "event-channel");
}

/* ---- frames ---- */

static struct netif_tx_request *take_sent(void)
{
    struct netif_tx_request *r = &sent[nr_sent % LAST];

    return enemy_ring_take(tx, &tx_cons, &tx_entries, r) ? nr_sent++, r : NULL;
}

static struct netif_rx_request *take_room(void)
{
    struct netif_rx_request *r = &room[nr_room % LAST];

    return enemy_ring_take(rx, &rx_cons, &rx_entries, r) ? nr_room++, r : NULL;
}

static void put_sent(unsigned int id, int status)
{
    struct netif_tx_response r = { .id = (uint16_t)id, .status = (int16_t)status };

    enemy_ring_put(tx, RING_RSP_PROD, &tx_entries, &r, sizeof(r));
}

static void put_frame(unsigned int id, unsigned int offset, unsigned int flags, int status)
{
    struct netif_rx_response r = { .id = (uint16_t)id,
                                   .offset = (uint16_t)offset,
                                   .flags = (uint16_t)flags,
                                   .status = (int16_t)status };

    enemy_ring_put(rx, RING_RSP_PROD, &rx_entries, &r, sizeof(r));
}

static unsigned int serve(struct enemy *e)
{
    const struct netif_tx_request *t;
    const struct netif_rx_request *r;
    uint8_t frame[ENEMY_PAGE];
    unsigned int n = 0;

    while (n < LAST && (t = take_sent()) != NULL) {
        bool there = t->size <= ENEMY_PAGE && back_read(e, t->gref, t->offset, frame, t->size);

        put_sent(t->id, NETIF_RSP_OKAY);
        n++;
        r = there ? take_room() : NULL;
        if (r == NULL)
            continue;
        back_write(e, r->gref, 0, frame, t->size);
        put_frame(r->id, 0, 0, t->size);
    }
    if (n)
        enemy_notify(e);
    return n;
}

/* ---- and what are none ---- */

/* Of frames that were sent, perhaps not for the first time, or never. */
static void lie_of_sent(struct enemy *e)
{
    unsigned int id;

    take_sent();
    id = nr_sent && !enemy_once_in(e, 4) ? sent[enemy_random(e, nr_sent < LAST ? nr_sent : LAST)].id
                                         : (unsigned int)enemy_edge(e, 16);
    for (uint64_t n = enemy_once_in(e, 3) ? 2 : 1; n; n--)
        put_sent(id, enemy_once_in(e, 2) ? (int)enemy_edge(e, 16) : NETIF_RSP_OKAY);
}

/* A frame that has a length and a place that is none, or several, or in no buffer, or in one twice. */
static void lie_of_frame(struct enemy *e)
{
    unsigned int id, offset = 0, flags = 0;
    int status = (int)enemy_random(e, 1600);

    take_room();
    id = nr_room && !enemy_once_in(e, 8) ? room[enemy_random(e, nr_room < LAST ? nr_room : LAST)].id
                                         : (unsigned int)enemy_edge(e, 16);
    if (enemy_once_in(e, 2))
        offset = (unsigned int)(enemy_once_in(e, 2) ? enemy_edge(e, 16) : enemy_random(e, 4200));
    if (enemy_once_in(e, 4))
        flags = (unsigned int)enemy_edge(e, 16);
    if (enemy_once_in(e, 3))
        status = (int)(enemy_once_in(e, 2) ? enemy_edge(e, 16) : enemy_random(e, 4200));
    put_frame(id, offset, flags, status);
}

/* Their pages have been ours, and stay so. */
static void keep(struct enemy *e)
{
    for (unsigned int i = 0; i < 8 && nr_room; i++)
        back_map(e, room[enemy_random(e, nr_room < LAST ? nr_room : LAST)].gref);
}

static void act(struct enemy *e)
{
    volatile uint32_t *ring = enemy_once_in(e, 2) ? tx : rx;

    if (tx == NULL || rx == NULL)
        return;
    switch (enemy_random(e, 16)) {
    case 0: enemy_bad_index(e, &ring[RING_RSP_PROD], ring[RING_REQ_PROD], ENTRIES); break;
    case 1: enemy_scribble(e, (volatile uint8_t *)ring); break;
    case 2: ring[enemy_random(e, 4)] = (uint32_t)enemy_edge(e, 32); break;
    case 3: lie_of_sent(e); break;
    case 4:
    case 5: lie_of_frame(e); break;
    case 6: keep(e); break;
    default:
        serve(e);
        if (enemy_once_in(e, 2))
            usleep((unsigned int)enemy_random(e, 20000));
    }
    enemy_notify(e);
}

const struct back_class back_network = {
    .type = "vif", .offer = offer, .nodes = nodes, .connect = connect_it, .act = act, .serve = serve
};
