/*
 * The network backend (backends/network/netback*.c) with guests in memory: honest ones, and the enemy: chains without
 * an end, pieces over every edge, grants that are bad or another's, impossible indices, rings full of noise.
 */
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

enum { PAGE = 4096, PAGES = 64, QUEUES = 2, GUESTS = 3, SLOTS = 256 };

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

static void node(const char *folder, const char *name, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    store_set(path, "%s", value);
}
static void number(const char *folder, const char *name, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    node(folder, name, text);
}
static const char *back_node(const struct guest *g, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", g->back, name);
    return store_get(path);
}
static int state_of(const struct guest *g) { return atoi(back_node(g, "state")); }

static void make_device(struct guest *g, const char *mac)
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

static void make_queue(struct guest *g, unsigned int i, bool split)
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
static void connect_front(struct guest *g, const char *features, unsigned int queues, bool split)
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

static void make_guest(unsigned int i, const char *features)
{
    char mac[20];

    guests[i] = (struct guest){ .domain = i + 1 };
    snprintf(mac, sizeof(mac), "00:16:3e:00:00:%02x", i + 1);
    make_device(&guests[i], mac);
    connect_front(&guests[i], features, 1, false);
}

static void begin(void)
{
    platform_reset();
    store_reset(0);
    grants_reset();
    loop = plat_loop_new();
    backend = netback_start(loop, &(struct netback_options){ .queues = QUEUES });
    CU_ASSERT_PTR_NOT_NULL_FATAL(backend);
}

static void free_guest(struct guest *g)
{
    for (unsigned int i = 0; i < g->nr_queues; i++) {
        free(g->queues[i].tx_page);
        free(g->queues[i].rx_page);
    }
    free(g->tx_data);
    free(g->rx_data);
    *g = (struct guest){ 0 };
}

static void end(void)
{
    netback_stop(backend);
    plat_loop_free(loop);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    CU_ASSERT_EQUAL(ports_bound(), 0);
    for (unsigned int i = 0; i < GUESTS; i++)
        free_guest(&guests[i]);
}

/* ---- sending ---- */

static void put_tx(struct guest *g, struct netif_tx_request r)
{
    ring_front_put(&g->queues[0].tx, &r);
}
static void put_extra(struct guest *g, struct netif_extra_info e)
{
    struct netif_tx_request slot = { 0 };

    memcpy(&slot, &e, sizeof(e));
    put_tx(g, slot);
}
static void push_tx(struct guest *g)
{
    ring_front_push(&g->queues[0].tx);
    peer_notify(g->queues[0].tx_port);
    run_loop(loop);
}

/* In pieces of so many bytes, each on a page of its own; the first one a little into it. */
static void put_frame(struct guest *g, const struct frame *f, uint32_t piece, uint16_t flags,
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
static struct answers take_answers(struct guest *g)
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

static void offer(struct guest *g, unsigned int queue, unsigned int nr)
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
static bool take_frame(struct guest *g, unsigned int queue, struct got *f)
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

static struct made from_to(unsigned int from, unsigned int to, uint8_t protocol, uint32_t data)
{
    return make_ip4(macs[to], macs[from], protocol, 0, data, 0);
}

/* That one can still send to another. */
static bool reaches(unsigned int from, unsigned int to)
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

/* ---- honest guests ---- */

static void test_an_interface_from_its_beginning_to_its_end(void)
{
    begin();
    guests[0] = (struct guest){ .domain = 1 };
    make_device(&guests[0], "00:16:3e:00:00:01");
    CU_ASSERT_EQUAL(state_of(&guests[0]), 2);
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "hotplug-status"), "connected");
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "feature-sg"), "1");
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "multi-queue-max-queues"), "2");
    connect_front(&guests[0], ALL, 1, false);
    CU_ASSERT_EQUAL(state_of(&guests[0]), 4);
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    make_guest(1, ALL);
    CU_ASSERT_TRUE(reaches(0, 1) && reaches(1, 0));
    number(guests[0].back, "online", 0);
    number(guests[0].back, "state", 5);
    number(guests[0].front, "state", 6);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(&guests[0]), 6);
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    end();
}

static void test_pieces_become_a_frame_and_pieces(void)
{
    static const uint32_t pieces[] = { 4096, 4000, 1000, 700 };
    struct made m = from_to(0, 1, IP_UDP, 9000);

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    for (unsigned int i = 0; i < 4; i++) {
        unsigned int nr = (m.f->bytes + pieces[i] - 1) / pieces[i];

        offer(&guests[1], 0, 3);
        put_frame(&guests[0], m.f, pieces[i], NETTXF_data_validated, 0);
        push_tx(&guests[0]);
        CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, nr);
        CU_ASSERT_TRUE(peer_events(guests[0].queues[0].tx_port) > 0);
        CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
        CU_ASSERT_TRUE(got.bytes == m.f->bytes && got.slots == 3 && !got.error);
        CU_ASSERT_EQUAL(memcmp(got.data, m.f->data, got.bytes), 0);
        CU_ASSERT_EQUAL(got.flags, NETRXF_more_data | NETRXF_data_validated);
    }
    frame_put(m.f);
    end();
}

static bool got_is_right(void)
{
    struct frame f = { .refs = 1, .bytes = got.bytes, .room = got.bytes, .data = got.data };

    return csum_right(&f);
}

static void test_sums_are_left_to_who_can(void)
{
    struct made m = from_to(0, 1, IP_TCP, 500);

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    make_guest(2, "feature-no-csum-offload");
    offer(&guests[1], 0, 1);
    offer(&guests[2], 0, 1);
    put_frame(&guests[0], m.f, 4000, NETTXF_csum_blank | NETTXF_data_validated, 0);
    memcpy(m.f->data, macs[2], 6);
    put_tx(&guests[0], (struct netif_tx_request){ .gref = guests[0].tx_refs[9],
                                                  .flags = NETTXF_csum_blank,
                                                  .size = (uint16_t)m.f->bytes });
    memcpy(guests[0].tx_data + 9 * PAGE, m.f->data, m.f->bytes);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 2);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_EQUAL(got.flags, NETRXF_csum_blank | NETRXF_data_validated);
    CU_ASSERT_FALSE(got_is_right());
    CU_ASSERT_TRUE(take_frame(&guests[2], 0, &got));
    CU_ASSERT_TRUE(got.flags == NETRXF_data_validated && got_is_right());
    frame_put(m.f);
    end();
}

static void test_large_tcp_is_passed_on_or_cut(void)
{
    struct made m = from_to(0, 1, IP_TCP, 20000);
    unsigned int segments = 0;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    make_guest(2, "feature-sg feature-no-csum-offload");
    offer(&guests[1], 0, 6);
    offer(&guests[2], 0, 20);
    put_frame(&guests[0], m.f, 4096, NETTXF_csum_blank, 1448);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).null, 1);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_TRUE(got.bytes == m.f->bytes && got.gso == 1448 && got.slots == 6);
    memcpy(m.f->data, macs[2], 6);
    put_frame(&guests[0], m.f, 4096, NETTXF_csum_blank, 1448);
    push_tx(&guests[0]);
    for (; take_frame(&guests[2], 0, &got); segments++)
        CU_ASSERT_TRUE(got_is_right() && got.gso == 0);
    CU_ASSERT_EQUAL(segments, (20000 + 1447) / 1448);
    frame_put(m.f);
    end();
}

static void test_queues_and_ports_of_their_own(void)
{
    unsigned int seen = 0;

    begin();
    make_guest(0, ALL);
    guests[1] = (struct guest){ .domain = 2 };
    make_device(&guests[1], "00:16:3e:00:00:02");
    connect_front(&guests[1], ALL, 2, true);
    CU_ASSERT_EQUAL(state_of(&guests[1]), 4);
    CU_ASSERT_TRUE(ports_bound() == 5 && grants_mapped() == 6);
    offer(&guests[1], 0, 30);
    offer(&guests[1], 1, 30);
    for (unsigned int i = 0; i < 30; i++) { /* flows by their ports */
        struct made m = from_to(0, 1, IP_UDP, 30);

        put16(m.f->data + m.l4, (uint16_t)(1000 + i * 37));
        put_frame(&guests[0], m.f, 4000, 0, 0);
        push_tx(&guests[0]);
        frame_put(m.f);
    }
    for (unsigned int q = 0; q < 2; q++) {
        unsigned int nr = 0;

        while (take_frame(&guests[1], q, &got))
            nr++;
        CU_ASSERT_TRUE(nr > 3);
        CU_ASSERT_TRUE(peer_events(guests[1].queues[q].rx_port) > 0);
        seen += nr;
    }
    CU_ASSERT_EQUAL(seen, 30);
    end();
}

static void set_group(struct guest *g, uint8_t type, const uint8_t *mac)
{
    struct netif_extra_info e = { .type = type };

    memcpy(e.u.mcast.addr, mac, 6);
    put_tx(g, (struct netif_tx_request){ .flags = NETTXF_extra_info, .id = 7 });
    put_extra(g, e);
    push_tx(g);
}

static void send_group(const uint8_t *group)
{
    struct made m = make_ip4(group, macs[0], IP_UDP, 0, 30, 0);

    put_frame(&guests[0], m.f, 4000, 0, 0);
    push_tx(&guests[0]);
    frame_put(m.f);
}

static void test_groups_are_those_it_listens_to(void)
{
    static const uint8_t one[] = { 1, 0, 0x5e, 0, 0, 1 }, two[] = { 1, 0, 0x5e, 0, 0, 2 },
                         all[] = { 255, 255, 255, 255, 255, 255 };
    struct answers a;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL " request-multicast-control");
    offer(&guests[1], 0, 10);
    set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_ADD, one);
    a = take_answers(&guests[1]);
    CU_ASSERT_TRUE(a.okay == 1 && a.null == 1);
    send_group(one);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    send_group(two);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    send_group(all);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_DEL, one);
    send_group(one);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    take_answers(&guests[1]);
    for (unsigned int i = 0; i < 70; i++) /* there is a bound */
        set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
                  (uint8_t[]){ 1, 0, 0, 0, 1, (uint8_t)i });
    a = take_answers(&guests[1]);
    CU_ASSERT_TRUE(a.okay == 64 && a.error == 6);
    end();
}

static void test_a_rate_is_kept_by_waiting(void)
{
    uint64_t begun;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    node(guests[0].back, "rate", "6200,50000");
    run_loop(loop);
    begun = plat_now();
    for (unsigned int i = 0; i < 200; i++) {
        struct made m = from_to(0, 1, IP_UDP, 20); /* 62 bytes */

        put_frame(&guests[0], m.f, 4000, 0, 0);
        frame_put(m.f);
    }
    push_tx(&guests[0]); /* and time flies while all wait */
    CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 200);
    CU_ASSERT_TRUE(plat_now() - begun >= 49000000 && plat_now() - begun <= 51000000);
    end();
}

static void test_frames_wait_for_room_but_not_all(void)
{
    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    for (unsigned int i = 0; i < 300; i++) {
        struct made m = from_to(0, 1, IP_UDP, 20 + i);

        put_frame(&guests[0], m.f, 4000, 0, 0);
        push_tx(&guests[0]);
        CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 1);
        frame_put(m.f);
    }
    for (unsigned int i = 0; i < 256; i++) { /* the first of them, in order */
        offer(&guests[1], 0, 1);
        CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
        CU_ASSERT_EQUAL(got.bytes, 42 + 20 + i);
    }
    offer(&guests[1], 0, 1);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    end();
}

static void test_two_with_one_address(void)
{
    begin();
    make_guest(0, ALL);
    guests[1] = (struct guest){ .domain = 2 };
    make_device(&guests[1], "00:16:3e:00:00:01");
    CU_ASSERT_EQUAL(state_of(&guests[1]), 6);
    CU_ASSERT_PTR_NOT_NULL(back_node(&guests[1], "hotplug-error"));
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    end();
}

/* ---- the enemy ---- */

static void begin_three(void)
{
    begin();
    for (unsigned int i = 0; i < GUESTS; i++)
        make_guest(i, ALL);
}

/* One request that cannot be served, or several: an error, and nobody gets anything of it. */
static void refused(struct netif_tx_request a, struct netif_tx_request b)
{
    struct answers n;

    a.id = b.id = 5;
    put_tx(&guests[0], a);
    if (a.flags & NETTXF_more_data)
        put_tx(&guests[0], b);
    offer(&guests[1], 0, 2);
    push_tx(&guests[0]);
    n = take_answers(&guests[0]);
    CU_ASSERT_TRUE(n.all && n.error == n.all);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_EQUAL(state_of(&guests[0]), 4);
}

static void test_what_cannot_be_is_answered_with_an_error(void)
{
    struct netif_tx_request good, r, piece;

    begin_three();
    for (unsigned int i = 0; i < 2; i++)
        memcpy(guests[0].tx_data + i * PAGE, macs[1], 6),
            memcpy(guests[0].tx_data + i * PAGE + 6, macs[0], 6);
    good = (struct netif_tx_request){ .gref = guests[0].tx_refs[0], .size = 60 };
    piece = (struct netif_tx_request){ .gref = guests[0].tx_refs[1], .size = 20 };
#define BAD(...) (r = good, __VA_ARGS__, refused(r, piece))
    BAD(r.size = 13);
    BAD(r.size = 0);
    BAD(r.offset = 4037);
    BAD(r.offset = 0xffff);
    BAD(r.size = 0xffff);
    BAD(r.gref = 0);
    BAD(r.gref = UINT32_MAX);
    BAD(r.gref = guests[1].tx_refs[0]); /* another's */
    BAD(r.flags = NETTXF_csum_blank);   /* that is no TCP */
    BAD(r.flags = NETTXF_more_data, piece.size = 61);
    BAD(r.flags = NETTXF_more_data, piece.size = 60, piece.offset = 4037);
    BAD(r.flags = NETTXF_more_data, piece.offset = 0, piece.gref = 3);
    CU_ASSERT_TRUE(reaches(0, 1) && reaches(1, 2));
    end();
}

static void test_a_revoked_page_is_an_error(void)
{
    struct made m = from_to(1, 0, IP_UDP, 30);

    begin_three();
    grant_revoke(guests[0].tx_refs[0]);
    put_frame(&guests[0], m.f, 4000, 0, 0);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).error, 1);
    grant_revoke(guests[0].rx_refs[0]);
    offer(&guests[0], 0, 1);
    put_frame(&guests[1], m.f, 4000, 0, 0);
    push_tx(&guests[1]);
    CU_ASSERT_EQUAL(take_answers(&guests[1]).okay, 1);
    CU_ASSERT_TRUE(take_frame(&guests[0], 0, &got) && got.error);
    CU_ASSERT_TRUE(reaches(1, 0) && reaches(1, 2));
    frame_put(m.f);
    end();
}

/* Each breaks the rules, so that nobody knows what it means; the others do not notice. */
static const struct netif_tx_request a_frame = { .size = 60 },
                                     more = { .size = 60, .flags = NETTXF_more_data },
                                     extra = { .size = 60, .flags = NETTXF_extra_info };
static void endless(struct guest *g) { put_tx(g, more); }
static void too_long(struct guest *g)
{
    for (int i = 0; i < 30; i++)
        put_tx(g, more);
    put_tx(g, a_frame);
}
static void no_extra(struct guest *g) { put_tx(g, extra); }
static void extra_type(struct guest *g, struct netif_extra_info e)
{
    put_tx(g, extra);
    put_extra(g, e);
    put_extra(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_HASH });
}
static void type_none(struct guest *g) { extra_type(g, (struct netif_extra_info){ .type = 0 }); }
static void type_max(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_MAX });
}
static void gso_of_nothing(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_GSO,
                                             .u.gso = { .type = 1 } });
}
static void gso_of_what(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_GSO,
                                             .u.gso = { .size = 999, .type = 3 } });
}
static void extras_without_end(struct guest *g)
{
    put_tx(g, extra);
    for (int i = 0; i < 50; i++)
        put_extra(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_HASH,
                                                .flags = XEN_NETIF_EXTRA_FLAG_MORE });
}
static void set_prod(struct guest *g, uint8_t *page, uint32_t value)
{
    memcpy(page, &value, 4);
    (void)g;
}
static void ahead(struct guest *g) { set_prod(g, g->queues[0].tx_page, SLOTS + 1); }
static void behind(struct guest *g) { set_prod(g, g->queues[0].tx_page, UINT32_MAX); }
static void rx_ahead(struct guest *g) { set_prod(g, g->queues[0].rx_page, SLOTS + 1); }

static void test_who_breaks_the_rules_is_disconnected(void)
{
    static void (*const all[])(struct guest * g) = {
        endless,     too_long,           no_extra, type_none, type_max, gso_of_nothing,
        gso_of_what, extras_without_end, ahead,    behind,    rx_ahead,
    };

    for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct made m = from_to(1, 0, IP_UDP, 30);

        begin_three();
        all[i](&guests[0]);
        if (all[i] == ahead || all[i] == behind || all[i] == rx_ahead) {
            peer_notify(guests[0].queues[0].tx_port);
            run_loop(loop);
        } else {
            push_tx(&guests[0]);
        }
        if (all[i] == rx_ahead) { /* it is seen when there is something for it */
            put_frame(&guests[1], m.f, 4000, 0, 0);
            push_tx(&guests[1]);
            take_answers(&guests[1]);
        }
        CU_ASSERT_TRUE(state_of(&guests[0]) == 5 || state_of(&guests[0]) == 6);
        CU_ASSERT_TRUE(grants_mapped() == 4 && ports_bound() == 2);
        CU_ASSERT_TRUE(reaches(1, 2) && reaches(2, 1));
        frame_put(m.f);
        end();
    }
}

static uint32_t random_state = 1;
static uint32_t rnd(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

static struct netif_tx_request noise(void)
{
    struct netif_tx_request r = { .gref = rnd(8) ? guests[0].tx_refs[rnd(PAGES)] : rnd(1000),
                                  .offset = (uint16_t)(rnd(4) ? rnd(64) : rnd(65536)),
                                  .flags = (uint16_t)(rnd(3) ? 0 : rnd(16)),
                                  .id = (uint16_t)rnd(65536),
                                  .size = (uint16_t)(rnd(3) ? 60 + rnd(1500) : rnd(65536)) };
    struct netif_extra_info e = { .type = (uint8_t)(1 + rnd(4)),
                                  .u.gso = { .size = 500, .type = (uint8_t)rnd(4) } };

    if (rnd(4) == 0)
        memcpy(&r, &e, sizeof(e));
    return r;
}

static void test_noise_is_survived(void)
{
    for (unsigned int seed = 1; seed <= 300; seed++) {
        random_state = seed * 7919;
        begin_three();
        for (unsigned int i = 0; i < PAGES * PAGE; i++)
            guests[0].tx_data[i] = (uint8_t)rnd(256);
        for (unsigned int i = 0; i < PAGES; i++) {
            struct made m = rnd(2) ? from_to(0, 1 + rnd(2), rnd(2) ? IP_TCP : IP_UDP, 1200)
                                   : make_ip6(macs[1], macs[0], IP_TCP, 0, 1200);

            memcpy(guests[0].tx_data + i * PAGE + rnd(2) * rnd(64), m.f->data, m.f->bytes);
            frame_put(m.f);
        }
        for (unsigned int i = 0; i < 20; i++) {
            for (unsigned int n = rnd(6) + 1; n && ring_front_room(&guests[0].queues[0].tx); n--) {
                put_tx(&guests[0], noise());
            }
            offer(&guests[1], 0, rnd(3));
            push_tx(&guests[0]);
            take_answers(&guests[0]);
            while (take_frame(&guests[1], 0, &got))
                ;
        }
        CU_ASSERT_TRUE(reaches(2, 1));
        end();
    }
}

static const CU_TestInfo tests[] = {
    { "an interface from its beginning to its end",
      test_an_interface_from_its_beginning_to_its_end },
    { "pieces become a frame, and pieces", test_pieces_become_a_frame_and_pieces },
    { "sums are left to who can", test_sums_are_left_to_who_can },
    { "large TCP is passed on or cut", test_large_tcp_is_passed_on_or_cut },
    { "queues, and ports of their own", test_queues_and_ports_of_their_own },
    { "groups are those it listens to", test_groups_are_those_it_listens_to },
    { "a rate is kept by waiting", test_a_rate_is_kept_by_waiting },
    { "frames wait for room, but not all", test_frames_wait_for_room_but_not_all },
    { "two with one address", test_two_with_one_address },
    { "what cannot be is answered with an error", test_what_cannot_be_is_answered_with_an_error },
    { "a revoked page is an error", test_a_revoked_page_is_an_error },
    { "who breaks the rules is disconnected", test_who_breaks_the_rules_is_disconnected },
    { "noise is survived", test_noise_is_survived },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("netback", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
