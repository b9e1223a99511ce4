/* A network backend (backends/network/netback*.c) with guests in memory, for its tests: one program's, in one file each. */
#pragma once
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/netif.h>

#define fake_reset platform_reset
#include "../../backends/network/netback.h"
#include "../../xen-like/platform/fake.h"
#include "fake_grants.h"
#include "fake_store.h"
#include "frames.h"
#include "ring.h"

#ifndef GUEST_PAGES
#define GUEST_PAGES 64 /* that a guest has for data, each way */
#endif

enum { PAGE = 4096, PAGES = GUEST_PAGES, QUEUES = 2, GUESTS = 3, SLOTS = 256 };

static struct plat_loop *loop;
static struct netback *backend;

struct guest {
    unsigned int domain;
    char front[64], back[64];
    unsigned int nr_queues;
    struct {
        uint8_t *tx_page, *rx_page;
        struct ring_front tx, rx;
        uint32_t tx_port, rx_port; /* the same if they are not split */
    } queues[QUEUES];
    uint8_t *tx_data, *rx_data; /* PAGES each */
    uint32_t tx_refs[PAGES], rx_refs[PAGES];
    unsigned int next_rx; /* of its pages to be offered */
};
static struct guest guests[GUESTS];

/* ---- as toolstack and guest do it ---- */

static inline void node(const char *folder, const char *name, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    store_set(path, "%s", value);
}
static inline void number(const char *folder, const char *name, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    node(folder, name, text);
}
static inline const char *back_node(const struct guest *g, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", g->back, name);
    return store_get(path);
}
static inline int state_of(const struct guest *g) { return atoi(back_node(g, "state")); }

static inline void make_device(struct guest *g, const char *mac)
{
    snprintf(g->front, sizeof(g->front), "/local/domain/%u/device/vif/0", g->domain);
    snprintf(g->back, sizeof(g->back), "/local/domain/0/backend/vif/%u/0", g->domain);
    number(g->front, "backend-id", 0);
    node(g->front, "backend", g->back);
    number(g->front, "state", 1);
    number(g->back, "frontend-id", g->domain);
    node(g->back, "frontend", g->front);
    node(g->back, "mac", mac);
    number(g->back, "online", 1);
    number(g->back, "state", 1);
    run_loop(loop);
}

static inline void make_queue(struct guest *g, unsigned int i, bool split)
{
    char folder[96];

    snprintf(folder, sizeof(folder), g->nr_queues > 1 ? "%s/queue-%u" : "%s", g->front, i);
    g->queues[i].tx_page = aligned_alloc(PAGE, PAGE);
    g->queues[i].rx_page = aligned_alloc(PAGE, PAGE);
    ring_front_init(&g->queues[i].tx, g->queues[i].tx_page, 1, sizeof(struct netif_tx_request),
                    sizeof(struct netif_tx_response));
    ring_front_init(&g->queues[i].rx, g->queues[i].rx_page, 1, sizeof(struct netif_rx_request),
                    sizeof(struct netif_rx_response));
    number(folder, "tx-ring-ref", grant_page(g->domain, g->queues[i].tx_page, true));
    number(folder, "rx-ring-ref", grant_page(g->domain, g->queues[i].rx_page, true));
    g->queues[i].tx_port = peer_port(g->domain);
    g->queues[i].rx_port = split ? peer_port(g->domain) : g->queues[i].tx_port;
    number(folder, split ? "event-channel-tx" : "event-channel", g->queues[i].tx_port);
    if (split)
        number(folder, "event-channel-rx", g->queues[i].rx_port);
}

/* @features  words of its folder that are 1 */
static inline void connect_front(struct guest *g, const char *features, unsigned int queues,
                                 bool split)
{
    char words[200], *save, *word;

    g->nr_queues = queues;
    if (queues > 1)
        number(g->front, "multi-queue-num-queues", queues);
    for (unsigned int i = 0; i < queues; i++)
        make_queue(g, i, split);
    g->tx_data = aligned_alloc(PAGE, PAGES * PAGE);
    g->rx_data = aligned_alloc(PAGE, PAGES * PAGE);
    for (unsigned int i = 0; i < PAGES; i++) {
        g->tx_refs[i] = grant_page(g->domain, g->tx_data + i * PAGE, false);
        g->rx_refs[i] = grant_page(g->domain, g->rx_data + i * PAGE, true);
    }
    number(g->front, "request-rx-copy", 1);
    snprintf(words, sizeof(words), "%s", features);
    for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        number(g->front, word, 1);
    number(g->front, "state", 4);
    run_loop(loop);
}

#define ALL "feature-sg feature-gso-tcpv4 feature-gso-tcpv6 feature-ipv6-csum-offload"

static const uint8_t macs[GUESTS][6] = { { 0, 0x16, 0x3e, 0, 0, 1 },
                                         { 0, 0x16, 0x3e, 0, 0, 2 },
                                         { 0, 0x16, 0x3e, 0, 0, 3 } };

static inline void make_guest(unsigned int i, const char *features)
{
    char mac[20];

    guests[i] = (struct guest){ .domain = i + 1 };
    snprintf(mac, sizeof(mac), "00:16:3e:00:00:%02x", i + 1);
    make_device(&guests[i], mac);
    connect_front(&guests[i], features, 1, false);
}

static inline void begin(void)
{
    platform_reset();
    store_reset(0);
    grants_reset();
    loop = plat_loop_new();
    backend = netback_start(loop, &(struct netback_options){ .queues = QUEUES });
    CU_ASSERT_PTR_NOT_NULL_FATAL(backend);
}

static inline void free_guest(struct guest *g)
{
    for (unsigned int i = 0; i < g->nr_queues; i++) {
        free(g->queues[i].tx_page);
        free(g->queues[i].rx_page);
    }
    free(g->tx_data);
    free(g->rx_data);
    *g = (struct guest){ 0 };
}

static inline void end(void)
{
    netback_stop(backend);
    plat_loop_free(loop);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    CU_ASSERT_EQUAL(ports_bound(), 0);
    for (unsigned int i = 0; i < GUESTS; i++)
        free_guest(&guests[i]);
}

/* ---- sending ---- */

static inline void put_tx(struct guest *g, struct netif_tx_request r)
{
    ring_front_put(&g->queues[0].tx, &r);
}
static inline void put_extra(struct guest *g, struct netif_extra_info e)
{
    struct netif_tx_request slot = { 0 };

    memcpy(&slot, &e, sizeof(e));
    put_tx(g, slot);
}
static inline void push_tx(struct guest *g)
{
    ring_front_push(&g->queues[0].tx);
    peer_notify(g->queues[0].tx_port);
    run_loop(loop);
}

/* In pieces of so many bytes, each on a page of its own; the first one a little into it. */
static inline void put_frame(struct guest *g, const struct frame *f, uint32_t piece, uint16_t flags,
                             uint16_t gso)
{
    unsigned int page = 0;

    for (uint32_t at = 0; at < f->bytes; at += piece, page++) {
        uint32_t left = f->bytes - at, n = left < piece ? left : piece;
        uint16_t offset = page ? 0 : (uint16_t)(PAGE - piece < 2 ? 0 : 2);

        memcpy(g->tx_data + page * PAGE + offset, f->data + at, n);
        put_tx(g,
               (struct netif_tx_request){
                   .gref = g->tx_refs[page],
                   .offset = offset,
                   .flags = (uint16_t)((page ? 0 : flags) | (gso && !page ? NETTXF_extra_info : 0) |
                                       (left > piece ? NETTXF_more_data : 0)),
                   .id = (uint16_t)(100 + page),
                   .size = (uint16_t)(page ? n : f->bytes) });
        if (page == 0 && gso)
            put_extra(g, (struct netif_extra_info){
                             .type = XEN_NETIF_EXTRA_TYPE_GSO,
                             .u.gso = { .size = gso, .type = XEN_NETIF_GSO_TYPE_TCPV4 } });
    }
}

/* All answers so far: how many, and of these how many of each kind. */
struct answers {
    unsigned int all, okay, error, null;
};
static inline struct answers take_answers(struct guest *g)
{
    struct answers a = { 0 };
    struct netif_tx_response r;

    a.all = (unsigned int)ring_front_look(&g->queues[0].tx);
    for (unsigned int i = 0; i < a.all; i++) {
        ring_front_take(&g->queues[0].tx, &r);
        a.okay += r.status == NETIF_RSP_OKAY;
        a.error += r.status == NETIF_RSP_ERROR;
        a.null += r.status == NETIF_RSP_NULL;
    }
    ring_front_rest(&g->queues[0].tx);
    return a;
}

/* ---- receiving ---- */

static inline void offer(struct guest *g, unsigned int queue, unsigned int nr)
{
    for (unsigned int i = 0; i < nr; i++, g->next_rx++) {
        struct netif_rx_request r = { .id = (uint16_t)(g->next_rx % PAGES),
                                      .gref = g->rx_refs[g->next_rx % PAGES] };

        ring_front_put(&g->queues[queue].rx, &r);
    }
    ring_front_push(&g->queues[queue].rx);
    peer_notify(g->queues[queue].rx_port);
    run_loop(loop);
}

struct got {
    uint32_t bytes;
    unsigned int slots;
    uint16_t flags, gso;
    bool error;
    uint8_t data[70000];
};

/* The next frame. False: there is none. */
static inline bool take_frame(struct guest *g, unsigned int queue, struct got *f)
{
    struct ring_front *ring = &g->queues[queue].rx;
    int n = ring_front_look(ring);
    bool more = n > 0;
    struct netif_rx_response r;

    f->bytes = f->slots = f->gso = 0;
    f->error = false;
    for (; more; f->slots++) {
        CU_ASSERT_TRUE_FATAL(n-- > 0);
        ring_front_take(ring, &r);
        more = r.flags & NETRXF_more_data;
        f->error |= r.status < 0;
        if (f->slots == 0)
            f->flags = r.flags;
        if (r.status > 0) {
            CU_ASSERT_TRUE_FATAL(r.id < PAGES && r.offset == 0 && r.status <= PAGE);
            memcpy(f->data + f->bytes, g->rx_data + r.id * PAGE, (size_t)r.status);
            f->bytes += (uint32_t)r.status;
        }
        if (f->slots == 0 && (r.flags & NETRXF_extra_info)) {
            struct netif_extra_info e;

            CU_ASSERT_TRUE_FATAL(n-- > 0);
            ring_front_take(ring, &e);
            CU_ASSERT_TRUE(e.type == XEN_NETIF_EXTRA_TYPE_GSO && e.flags == 0);
            f->gso = e.u.gso.size;
            f->slots++;
        }
    }
    ring_front_rest(ring);
    return f->slots != 0;
}
static struct got got;

static inline struct made from_to(unsigned int from, unsigned int to, uint8_t protocol,
                                  uint32_t data)
{
    return make_ip4(macs[to], macs[from], protocol, 0, data, 0);
}

/* That one can still send to another. */
static inline bool reaches(unsigned int from, unsigned int to)
{
    struct made m = from_to(from, to, IP_UDP, 77);
    bool good;

    while (take_frame(&guests[to], 0, &got))
        ;
    offer(&guests[to], 0, 1);
    put_frame(&guests[from], m.f, 4000, 0, 0);
    push_tx(&guests[from]);
    good = take_answers(&guests[from]).okay == 1 && take_frame(&guests[to], 0, &got) &&
           got.bytes == m.f->bytes && memcmp(got.data, m.f->data, got.bytes) == 0;
    frame_put(m.f);
    return good;
}
