/*
 * backends/network/netback*.c and the switch: the input is a byte of flags, and what two guests do, each time a byte for
 * what and who, and its operands: slots and words of their rings' pages, what is in the store of them, grants that go.
 * Most of it is nearly right, so that it gets far. A third guest and the uplink are honest: they are served meanwhile and
 * afterwards.
 */
#include "fuzz.h"
#include "fuzz_machine.h"

#include "../../backends/network/link.h"
#define GUEST_PAGES 24
#include "../unit/netback_guest.h"

enum { OPS_MAX = 128, ENEMIES = 2, HONEST = 2, TX = 0, RX = 1 };

static struct enemy {
    bool odd;     /* its rings may be anywhere */
    bool touched; /* or have other indices than they should */
    uint16_t ids[QUEUES][2][SLOTS];
} enemies[ENEMIES];

static struct ring_front *ring_of(struct guest *g, unsigned int q, unsigned int way)
{
    return way == TX ? &g->queues[q].tx : &g->queues[q].rx;
}

/* ---- the uplink ---- */

static const uint8_t far[ETH_ADDRESS] = { 2, 0, 0, 0, 0, 9 };
static const struct frame *awaited;
static bool came;

/* Whoever sends it has its own address. */
static void uplink_send(struct link *l, struct frame *f)
{
    bool own = false;

    for (unsigned int i = 0; i < GUESTS; i++)
        own |= memcmp(f->data + ETH_ADDRESS, macs[i], ETH_ADDRESS) == 0;
    BUG_ON(!own || f->gso != FRAME_GSO_NONE || f->csum == FRAME_CSUM_PARTIAL);
    came |= awaited && f->bytes == awaited->bytes && memcmp(f->data, awaited->data, f->bytes) == 0;
}
static void uplink_flush(struct link *l) {}
static const struct link_ops uplink_ops = { .send = uplink_send, .flush = uplink_flush };
static struct link uplink;

/* ---- what must hold ---- */

/* Responses stay behind requests, which nobody but the guest shows. */
static void run(void)
{
    uint32_t before[ENEMIES][QUEUES][2] = { { { 0 } } };

    for (int pass = 0; pass < 2; pass++) {
        for (unsigned int i = 0; i < ENEMIES; i++)
            for (unsigned int k = 0; k < 2 * guests[i].nr_queues; k++) {
                volatile uint32_t *head = ring_of(&guests[i], k / 2, k % 2)->ring.indices;
                uint32_t rsp = head[RING_RSP_PROD];

                BUG_ON(pass && !enemies[i].odd && rsp != before[i][k / 2][k % 2] &&
                       head[RING_REQ_PROD] - rsp > SLOTS);
                before[i][k / 2][k % 2] = rsp;
            }
        if (pass == 0)
            run_loop(loop);
    }
    BUG_ON(grants_mapped() > 2 * (1 + ENEMIES * QUEUES) ||
           ports_bound() > 1 + 2 * ENEMIES * QUEUES);
}

/* Each answer has the id of what is answered, in order. */
static void take_all(unsigned int who, unsigned int q, unsigned int way)
{
    struct ring_front *r = ring_of(&guests[who], q, way);
    struct enemy *e = &enemies[who];
    bool info = false;
    int n = ring_front_look(r);

    BUG_ON(n < 0 && !e->touched && !e->odd);
    while (n-- > 0) {
        uint16_t id = e->ids[q][way][r->rsp_cons % SLOTS];
        struct netif_tx_response t = { 0 };
        struct netif_rx_response a = { 0 };

        ring_front_take(r, way == TX ? (void *)&t : (void *)&a);
        if (e->touched || e->odd)
            continue;
        BUG_ON(way == TX && t.id != id && (t.status != NETIF_RSP_NULL || t.id != 0));
        BUG_ON(way == RX && !info && (a.id != id || a.offset || a.status > PAGE));
        info = way == RX && !info && (a.flags & NETRXF_extra_info);
    }
    ring_front_rest(r);
}

static void drain_honest(void)
{
    struct guest *g = &guests[HONEST];
    bool any;

    do {
        offer(g, 0, PAGES - (g->queues[0].rx.req_prod - g->queues[0].rx.rsp_cons));
        for (any = false; take_frame(g, 0, &got); any = true)
            BUG_ON(got.error || memcmp(got.data + ETH_ADDRESS, macs[HONEST], ETH_ADDRESS) == 0);
    } while (any);
}

static void honest_works(void)
{
    struct guest *g = &guests[HONEST];
    struct made out = make_ip4(far, macs[HONEST], IP_UDP, 0, 77, 0),
                in = make_ip4(macs[HONEST], far, IP_TCP, 0, 99, 0);

    drain_honest();
    awaited = out.f;
    came = false;
    put_frame(g, out.f, 4000, 0, 0);
    push_tx(g);
    BUG_ON(take_answers(g).okay != 1 || !came);
    awaited = NULL;
    uplink.received(uplink.arg, in.f);
    uplink.received_all(uplink.arg);
    run();
    BUG_ON(!take_frame(g, 0, &got) || got.bytes != in.f->bytes ||
           memcmp(got.data, in.f->data, got.bytes));
    frame_put(out.f);
    frame_put(in.f);
}

/* ---- what a guest does ---- */

static void put(unsigned int who, unsigned int q, unsigned int way, const void *request)
{
    struct ring_front *r = ring_of(&guests[who], q, way);

    enemies[who].touched |= ring_front_room(r) == 0;
    ring_front_put(r, request);
}

static void push(unsigned int who, unsigned int q, unsigned int way)
{
    struct ring_front *r = ring_of(&guests[who], q, way);

    for (uint32_t i = r->pushed; i != r->req_prod; i++)
        memcpy(&enemies[who].ids[q][way][i % SLOTS],
               ring_entry(&r->ring, i) + (way == TX ? offsetof(struct netif_tx_request, id)
                                                    : offsetof(struct netif_rx_request, id)),
               sizeof(uint16_t));
    ring_front_push(r);
    peer_notify(way == TX ? guests[who].queues[q].tx_port : guests[who].queues[q].rx_port);
    run();
}

/* A frame that is right, in pieces of any size. */
static void put_whole(unsigned int who, struct fuzz_input *in)
{
    unsigned int kind = (unsigned int)fuzz_take(in, 1), to = kind % 4;
    uint32_t data = (uint32_t)fuzz_take(in, 2) % 20000, piece = (uint32_t)fuzz_take(in, 2) % PAGE;
    uint16_t flags = kind & 8 ? NETTXF_csum_blank : kind & 16 ? NETTXF_data_validated : 0;
    uint8_t protocol = kind & 32 ? IP_TCP : IP_UDP;
    const uint8_t *mac = to < GUESTS ? macs[to] : far;
    struct made m = kind & 64 ? make_ip6(mac, macs[who], protocol, kind & 4 ? 8 : 0, data)
                              : make_ip4(mac, macs[who], protocol, kind & 4 ? 8 : 0, data, 0);
    uint32_t nr;

    if (kind & 128 && piece > m.f->bytes) /* to a group */
        m.f->data[0] = 1;
    piece = piece < m.f->bytes / (PAGES / 2) + 1 ? 4000 : piece;
    nr = (m.f->bytes + piece - 1) / piece + 1;
    if (nr <= ring_front_room(&guests[who].queues[0].tx))
        put_frame(&guests[who], m.f, piece, flags, kind & 128 ? (uint16_t)(data / 8) : 0);
    frame_put(m.f);
}

static void put_slot(unsigned int who, unsigned int q, bool near, struct fuzz_input *in)
{
    struct guest *g = &guests[who];
    struct netif_tx_request r = { .gref = (grant_ref_t)fuzz_take(in, 4),
                                  .offset = (uint16_t)fuzz_take(in, 2),
                                  .flags = (uint16_t)fuzz_take(in, 2),
                                  .id = (uint16_t)fuzz_take(in, 2),
                                  .size = (uint16_t)fuzz_take(in, 2) };

    if (near) {
        r.gref = g->tx_refs[r.gref % PAGES];
        r.offset %= 64;
        r.size %= PAGE;
    }
    put(who, q, TX, &r);
}

static void put_info(unsigned int who, unsigned int q, bool near, struct fuzz_input *in)
{
    struct netif_tx_request slot = { 0 };
    struct netif_extra_info e;
    uint64_t bytes = fuzz_take(in, 8);

    memcpy(&e, &bytes, sizeof(e));
    if (near) {
        e.type = e.type % (XEN_NETIF_EXTRA_TYPE_MAX + 1);
        e.flags &= XEN_NETIF_EXTRA_FLAG_MORE;
        if (e.type == XEN_NETIF_EXTRA_TYPE_GSO)
            e.u.gso.type %= 4;
        else
            e.u.mcast.addr[0] |= 1;
    }
    memcpy(&slot, &e, sizeof(e));
    put(who, q, TX, &slot);
}

static void put_room(unsigned int who, unsigned int q, bool near, struct fuzz_input *in)
{
    unsigned int nr = near ? (unsigned int)fuzz_take(in, 1) % PAGES : 1;

    for (unsigned int i = 0; i < nr && ring_front_room(&guests[who].queues[q].rx); i++) {
        struct netif_rx_request r = { .id = (uint16_t)(near ? i : fuzz_take(in, 2)) };

        r.gref = near ? guests[who].rx_refs[i] : (grant_ref_t)fuzz_take(in, 2);
        put(who, q, RX, &r);
    }
    push(who, q, RX);
}

/* A word of a ring's page: an index is moved, or is what it is said to be. */
static void write_word(unsigned int who, unsigned int q, unsigned int way, bool near,
                       struct fuzz_input *in)
{
    volatile uint32_t *head = ring_of(&guests[who], q, way)->ring.indices;
    unsigned int at = (unsigned int)fuzz_take(in, 2);

    enemies[who].touched = true;
    if (near) {
        head[at % 4] += (uint32_t)(int8_t)fuzz_take(in, 1);
        return;
    }
    at %= PAGE / 4;
    enemies[who].odd |= at >= RING_NOTE && at < 16;
    head[at] = at == RING_NOTE + 1 ? RING_NOTE_LAST + 6 * (uint32_t)fuzz_take(in, 1) % 12
                                   : (uint32_t)fuzz_take(in, 4);
}

static void write_data(unsigned int who, struct fuzz_input *in)
{
    unsigned int page = (unsigned int)fuzz_take(in, 1) % PAGES, at = (unsigned int)fuzz_take(in, 1),
                 nr = (unsigned int)fuzz_take(in, 1) % 64;

    for (unsigned int i = 0; i < nr && in->left; i++)
        guests[who].tx_data[page * PAGE + at + i] = (uint8_t)fuzz_take(in, 1);
}

/* ---- the store ---- */

static const char *const front_nodes[] = {
    "state",
    "request-rx-copy",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-no-csum-offload",
    "feature-ipv6-csum-offload",
    "request-multicast-control",
    "multi-queue-num-queues",
    "tx-ring-ref",
    "rx-ring-ref",
    "event-channel",
    "event-channel-tx",
    "event-channel-rx",
    "queue-1/tx-ring-ref",
    "queue-0/event-channel-rx",
};
static const char *const back_nodes[] = { "state",   "online",   "rate",   "rate",
                                          "capture", "isolated", "bridge", "ip" };

/* A number, most times a small one; or text, such as a rate is. */
static void write_node(unsigned int who, bool text, struct fuzz_input *in)
{
    unsigned int which = (unsigned int)fuzz_take(in, 1), nr = 0;
    const struct guest *g = &guests[who];
    const char *folder = which & 1 ? g->back : g->front,
               *name = which & 1 ? back_nodes[which / 2 % 8] : front_nodes[which / 2 % 16];
    char path[128], value[24];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    enemies[who].odd |= strstr(name, "ring-ref") != NULL;
    if (which & 64)
        store_remove(path);
    else if (!text)
        number(folder, name, (uint32_t)fuzz_take(in, which & 128 ? 2 : 1));
    else if (which & 128) {
        uint32_t bytes = (uint32_t)fuzz_take(in, 2);

        snprintf(value, sizeof(value), "%u,%u", bytes, (uint32_t)fuzz_take(in, 3));
        node(folder, name, value);
    } else {
        for (unsigned int len = (unsigned int)fuzz_take(in, 1) % sizeof(value); nr < len; nr++)
            value[nr] = (char)fuzz_take(in, 1);
        value[nr] = '\0';
        node(folder, name, value);
    }
    run();
}

/* It is as it was at its beginning: with rings of new grants, or what they have become. */
static void begin_again(unsigned int who, bool anew)
{
    struct guest *g = &guests[who];

    number(g->front, "state", 6);
    run();
    number(g->front, "state", 1);
    run();
    for (unsigned int q = 0; q < g->nr_queues && anew; q++) {
        char folder[96];

        snprintf(folder, sizeof(folder), g->nr_queues > 1 ? "%s/queue-%u" : "%s", g->front, q);
        for (unsigned int way = 0; way < 2; way++) {
            uint8_t *page = way == TX ? g->queues[q].tx_page : g->queues[q].rx_page;
            size_t bytes =
                way == TX ? sizeof(struct netif_tx_request) : sizeof(struct netif_rx_request);

            ring_front_init(ring_of(g, q, way), page, 1, bytes, way == TX ? 4 : bytes);
            number(folder, way == TX ? "tx-ring-ref" : "rx-ring-ref",
                   grant_page(g->domain, page, true));
        }
        enemies[who].touched = enemies[who].odd = false;
    }
    number(g->front, "state", 4);
    run();
}

static void do_one(struct fuzz_input *in)
{
    unsigned int op = (unsigned int)fuzz_take(in, 1), who = op & 1, q = op / 2 % 2;
    bool near = !(op & 4);
    struct guest *g = &guests[who];

    q = q < g->nr_queues ? q : 0;
    switch (op / 8 % 16) {
    case 0:
    case 1: put_slot(who, q, near, in); break;
    case 2: put_info(who, q, near, in); break;
    case 3: put_whole(who, in); break;
    case 4: put_room(who, q, near, in); break;
    case 5: push(who, q, TX); break;
    case 6: put_whole(who, in), push(who, 0, TX); break;
    case 7: write_word(who, q, TX, near, in); break;
    case 8: write_word(who, q, RX, near, in); break;
    case 9: write_data(who, in); break;
    case 10: write_node(who, near, in); break;
    case 11: write_node(who, near, in); break;
    case 12: begin_again(who, near); break;
    case 13: grant_revoke((near ? g->tx_refs : g->rx_refs)[fuzz_take(in, 1) % PAGES]); break;
    case 14: fake_advance(fuzz_take(in, 1) << fuzz_take(in, 1) % 32), run(); break;
    case 15: take_all(who, q, near ? TX : RX); break;
    }
}

/* ---- a machine ---- */

/* @guarded  the first may use addresses only that are its own */
static void begin_all(bool guarded)
{
    begin();
    memset(enemies, 0, sizeof(enemies));
    uplink = (struct link){ .ops = &uplink_ops, .mtu = 1500, .up = true };
    BUG_ON(netback_uplink(backend, "xenbr0", &uplink));
    make_guest(HONEST, ALL);
    if (guarded)
        node("/local/domain/0/backend/vif/1/0", "ip", "10.0.0.1 fd00::1/120");
    make_guest(0, ALL);
    guests[1] = (struct guest){ .domain = 2 };
    make_device(&guests[1], "00:16:3e:00:00:02");
    connect_front(&guests[1], ALL " request-multicast-control", 2, true);
    for (unsigned int i = 0; i < ENEMIES; i++) {
        memset(guests[i].tx_data, 0, PAGES * PAGE);
        for (unsigned int p = 0; p < PAGES; p++) {
            memcpy(guests[i].tx_data + p * PAGE, p % 4 < GUESTS ? macs[p % 4] : far, ETH_ADDRESS);
            memcpy(guests[i].tx_data + p * PAGE + ETH_ADDRESS, macs[i], ETH_ADDRESS);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };

    begin_all(fuzz_take(&in, 1) & 1);
    for (int i = 0; i < OPS_MAX && in.left; i++)
        do_one(&in);
    honest_works();
    for (unsigned int i = 0; i < ENEMIES; i++) {
        store_remove(guests[i].front);
        run_loop(loop);
        store_remove(guests[i].back);
        run_loop(loop);
    }
    BUG_ON(grants_mapped() != 2 || ports_bound() != 1);
    honest_works();
    end();
    platform_reset(); /* the files */
    return 0;
}
