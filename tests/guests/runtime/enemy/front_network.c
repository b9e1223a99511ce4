/*
 * The hostile frontend of a network interface, by <xen/io/netif.h>: see front.h. At its end it asks by ARP for
 * 10.0.2.30, where a guest of the same switch answers (frontends/network/answers.c).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/netif.h>

#include "front.h"

/* Which pages are for what. */
enum { TX, RX = 2, DATA = 4, NR_DATA = 12, ROOM = DATA + NR_DATA, NR_ROOM = 16 };
enum { ENTRIES = 256, QUEUES = 2, ARP_BYTES = 42 };

static const uint8_t mine[] = { 0, 0x16, 0x3e, 0, 0, 0x66 }; /* as its configuration has to say */
static unsigned int nr_queues;
static bool split;
static grant_ref_t data[NR_DATA], room[NR_ROOM], read_only, strangers;

static const char *const nodes[] = { "tx-ring-ref",
                                     "rx-ring-ref",
                                     "event-channel",
                                     "event-channel-tx",
                                     "event-channel-rx",
                                     "multi-queue-num-queues",
                                     "request-rx-copy",
                                     "feature-sg",
                                     "feature-gso-tcpv4",
                                     "feature-no-csum-offload",
                                     "request-multicast-control",
                                     "queue-0/tx-ring-ref",
                                     "queue-0/rx-ring-ref",
                                     "queue-0/event-channel",
                                     "queue-1/tx-ring-ref",
                                     "queue-1/rx-ring-ref",
                                     "queue-1/event-channel",
                                     NULL };

static volatile uint32_t *tx_of(unsigned int queue) { return (uint32_t *)front_page(TX + queue); }
static volatile uint32_t *rx_of(unsigned int queue) { return (uint32_t *)front_page(RX + queue); }

static void offer_ring(struct enemy *e, const char *folder, const char *name, unsigned int page)
{
    volatile uint32_t *ring = (uint32_t *)front_page(page);
    char node[48];

    memset(front_page(page), 0, ENEMY_PAGE);
    ring[RING_REQ_EVENT] = ring[RING_RSP_EVENT] = 1;
    snprintf(node, sizeof(node), "%s%s", folder, name);
    enemy_put(e, node, "%u", front_grant(e, e->other, page, false));
}

static void offer_queue(struct enemy *e, unsigned int queue)
{
    char folder[20] = "", node[48];

    if (nr_queues > 1)
        snprintf(folder, sizeof(folder), "queue-%u/", queue);
    offer_ring(e, folder, "tx-ring-ref", TX + queue);
    offer_ring(e, folder, "rx-ring-ref", RX + queue);
    snprintf(node, sizeof(node), "%sevent-channel%s", folder, split ? "-tx" : "");
    enemy_put(e, node, "%u", front_port(e));
    if (split) {
        snprintf(node, sizeof(node), "%sevent-channel-rx", folder);
        enemy_put(e, node, "%u", front_port(e));
    }
}

static void offer(struct enemy *e)
{
    static const char *const features[] = { "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6",
                                            "feature-rx-notify", "request-multicast-control" };

    nr_queues = !e->honest && enemy_once_in(e, 3) ? QUEUES : 1;
    split = !e->honest && enemy_once_in(e, 2);
    for (unsigned int i = 0; i < NR_DATA; i++)
        data[i] = front_grant(e, e->other, DATA + i, true);
    for (unsigned int i = 0; i < NR_ROOM; i++)
        room[i] = front_grant(e, e->other, ROOM + i, false);
    read_only = front_grant(e, e->other, ROOM, true);
    strangers = front_grant(e, e->other + 100u, ROOM, false);
    enemy_put(e, "request-rx-copy", "1");
    for (unsigned int i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        enemy_put(e, features[i], "%d", !e->honest && enemy_once_in(e, 2));
    if (nr_queues > 1)
        enemy_put(e, "multi-queue-num-queues", "%u", nr_queues);
    for (unsigned int i = 0; i < nr_queues; i++)
        offer_queue(e, i);
}

/* ---- what it sends and what it has room for ---- */

static void put(volatile uint32_t *ring, const void *request, uint32_t bytes)
{
    enemy_ring_put(ring, RING_REQ_PROD, &(struct enemy_entries){ ENTRIES, bytes }, request, bytes);
}

static grant_ref_t any_ref(struct enemy *e)
{
    switch (enemy_random(e, 8)) {
    case 0: return read_only;
    case 1: return strangers;
    case 2: return front_any_ref(e);
    default: return data[enemy_random(e, NR_DATA)];
    }
}

static void send_one(struct enemy *e, unsigned int queue)
{
    struct netif_tx_request r = { .gref = any_ref(e),
                                  .id = (uint16_t)enemy_random(e, ENTRIES),
                                  .size = (uint16_t)enemy_random(e, 1600) };

    if (enemy_once_in(e, 5))
        r.offset = (uint16_t)enemy_edge(e, 16);
    if (enemy_once_in(e, 5))
        r.size = (uint16_t)enemy_edge(e, 16);
    if (enemy_once_in(e, 2))
        r.flags = (uint16_t)(1u << enemy_random(e, 4)); /* checksums, more data, extra */
    if (enemy_once_in(e, 12))
        r.flags = (uint16_t)enemy_edge(e, 16);
    put(tx_of(queue), &r, sizeof(r));
}

static void send_extra(struct enemy *e, unsigned int queue)
{
    struct netif_extra_info x = { .type = (uint8_t)enemy_random(e, 6),
                                  .flags = (uint8_t)enemy_once_in(e, 3) };
    uint8_t slot[sizeof(struct netif_tx_request)] = { 0 };

    x.u.gso.size = (uint16_t)enemy_edge(e, 16);
    x.u.gso.type = (uint8_t)enemy_edge(e, 3);
    memcpy(slot, &x, sizeof(x));
    put(tx_of(queue), slot, sizeof(slot));
}

static void make_room(struct enemy *e, unsigned int queue)
{
    struct netif_rx_request r = { .id = (uint16_t)enemy_edge(e, 16),
                                  .gref = enemy_once_in(e, 3) ? any_ref(e)
                                                              : room[enemy_random(e, NR_ROOM)] };

    put(rx_of(queue), &r, sizeof(r));
}

/* Addresses for all, one's own, another's; types that are looked into, with what does not fit them. */
static void fill(struct enemy *e, uint8_t *frame)
{
    static const uint16_t types[] = { 0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x0001 };
    uint16_t type = types[enemy_random(e, sizeof(types) / sizeof(types[0]))];

    for (unsigned int i = 0; i < 200; i++)
        frame[i] = (uint8_t)enemy_edge(e, 8);
    if (enemy_once_in(e, 2))
        memset(frame, 0xff, 6);
    if (!enemy_once_in(e, 4))
        memcpy(frame + 6, mine, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    frame[14] = type == 0x0800 ? 0x45 : frame[14];
    frame[23] = enemy_once_in(e, 2) ? 6 : frame[23];
}

static void many(struct enemy *e, unsigned int queue)
{
    for (unsigned int i = 0; i < NR_DATA; i++)
        fill(e, front_page(DATA + i));
    for (uint64_t n = 1 + enemy_random(e, 100); n; n--) {
        switch (enemy_random(e, 6)) {
        case 0: make_room(e, queue); break;
        case 1: send_extra(e, queue); break;
        default: send_one(e, queue);
        }
    }
    enemy_notify(e);
}

static void act(struct enemy *e)
{
    unsigned int queue = (unsigned int)enemy_random(e, nr_queues);
    volatile uint32_t *ring = enemy_once_in(e, 2) ? tx_of(queue) : rx_of(queue);

    switch (enemy_random(e, 10)) {
    case 0: enemy_bad_index(e, &ring[RING_REQ_PROD], ring[RING_RSP_PROD], ENTRIES); break;
    case 1: enemy_scribble(e, (volatile uint8_t *)ring); break;
    case 2: ring[1 + enemy_random(e, 3)] = (uint32_t)enemy_edge(e, 32); break;
    default:
        many(e, queue);
        if (enemy_once_in(e, 2))
            usleep((unsigned int)enemy_random(e, 20000));
    }
    enemy_notify(e);
}

/* ---- and once as it should be ---- */

static void ask_by_arp(struct enemy *e)
{
    static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 1 }, asked[] = { 10, 0, 2, 30 };
    struct netif_tx_request r = { .gref = data[0], .size = ARP_BYTES };
    uint8_t *f = front_page(DATA);

    memset(f, 0, ENEMY_PAGE);
    memset(f, 0xff, 6);
    memcpy(f + 6, mine, 6);
    f[12] = 8;
    f[13] = 6;
    memcpy(f + 14, head, sizeof(head));
    memcpy(f + 22, mine, 6);
    memcpy(f + 38, asked, 4);
    put(tx_of(0), &r, sizeof(r));
    enemy_notify(e);
}

static bool honest(struct enemy *e)
{
    for (unsigned int i = 0; i < NR_ROOM; i++) {
        struct netif_rx_request r = { .id = (uint16_t)i, .gref = room[i] };

        memset(front_page(ROOM + i), 0, ENEMY_PAGE);
        put(rx_of(0), &r, sizeof(r));
    }
    for (unsigned int n = 0; n < 10; n++) {
        ask_by_arp(e);
        for (unsigned int k = 0; k < 50; k++, usleep(10000))
            for (unsigned int i = 0; i < NR_ROOM; i++) {
                const volatile uint8_t *f = front_page(ROOM + i);

                if (f[12] == 8 && f[13] == 6 && f[21] == 2 && f[31] == 30)
                    return true;
            }
    }
    return false;
}

const struct enemy_class enemy_network = { .type = "vif",
                                           .ready = XenbusStateConnected,
                                           .offer = offer,
                                           .nodes = nodes,
                                           .act = act,
                                           .honest = honest };
