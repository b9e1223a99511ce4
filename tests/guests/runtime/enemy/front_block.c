/* The hostile frontend of a disk, by <xen/io/blkif.h>: see front.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/blkif.h>

#include "front.h"

/* Which pages are for what. */
enum { RING, RINGS = 8, TABLE = RINGS, TABLES = 2, DATA = TABLE + TABLES, NR_DATA = 16 };
enum { ENTRIES = 32, QUEUES = 2 };

static unsigned int nr_queues, order;
static grant_ref_t data[NR_DATA], tables[TABLES], read_only, strangers;
static uint64_t sectors;

static const char *const nodes[] = { "ring-ref",
                                     "event-channel",
                                     "ring-page-order",
                                     "multi-queue-num-queues",
                                     "protocol",
                                     "ring-ref0",
                                     "ring-ref1",
                                     "queue-0/ring-ref",
                                     "queue-0/event-channel",
                                     "queue-1/ring-ref",
                                     "queue-1/event-channel",
                                     "queue-1/ring-ref0",
                                     NULL };

static volatile uint32_t *ring_of(unsigned int queue)
{
    return (volatile uint32_t *)front_page(RING + queue * (RINGS / QUEUES));
}

static void offer_queue(struct enemy *e, unsigned int queue)
{
    char folder[20] = "", node[48];

    if (nr_queues > 1)
        snprintf(folder, sizeof(folder), "queue-%u/", queue);
    for (unsigned int i = 0; i < 1u << order; i++) {
        unsigned int page = RING + queue * (RINGS / QUEUES) + i;

        memset(front_page(page), 0, ENEMY_PAGE);
        if (order)
            snprintf(node, sizeof(node), "%sring-ref%u", folder, i);
        else
            snprintf(node, sizeof(node), "%sring-ref", folder);
        enemy_put(e, node, "%u", front_grant(e, e->other, page, false));
    }
    ring_of(queue)[RING_REQ_EVENT] = ring_of(queue)[RING_RSP_EVENT] = 1;
    snprintf(node, sizeof(node), "%sevent-channel", folder);
    enemy_put(e, node, "%u", front_port(e));
}

static void offer(struct enemy *e)
{
    nr_queues = !e->honest && enemy_once_in(e, 3) ? 2 : 1;
    order = !e->honest && enemy_once_in(e, 3) ? (unsigned int)(1 + enemy_random(e, 2)) : 0;
    sectors = (uint64_t)enemy_get(e, "sectors");
    for (unsigned int i = 0; i < NR_DATA; i++)
        data[i] = front_grant(e, e->other, DATA + i, false);
    for (unsigned int i = 0; i < TABLES; i++)
        tables[i] = front_grant(e, e->other, TABLE + i, true);
    read_only = front_grant(e, e->other, DATA, true);
    strangers = front_grant(e, e->other + 100u, DATA + 1, false);
    if (order)
        enemy_put(e, "ring-page-order", "%u", order);
    if (nr_queues > 1)
        enemy_put(e, "multi-queue-num-queues", "%u", nr_queues);
    for (unsigned int i = 0; i < nr_queues; i++)
        offer_queue(e, i);
}

/* ---- requests ---- */

static void put(unsigned int queue, const struct blkif_request *r)
{
    static const struct enemy_entries entries = { ENTRIES, sizeof(*r) };

    enemy_ring_put(ring_of(queue), RING_REQ_PROD, &entries, r, sizeof(*r));
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

/* A segment, right or not quite. */
static struct blkif_request_segment segment(struct enemy *e)
{
    struct blkif_request_segment s = { .gref = any_ref(e), .last_sect = 7 };

    if (enemy_once_in(e, 8))
        s.first_sect = (uint8_t)enemy_edge(e, 8);
    if (enemy_once_in(e, 8))
        s.last_sect = (uint8_t)enemy_edge(e, 8);
    return s;
}

static uint64_t any_sector(struct enemy *e)
{
    switch (enemy_random(e, 4)) {
    case 0: return enemy_edge(e, 64);
    case 1: return sectors - enemy_random(e, 20);
    default: return enemy_random(e, sectors);
    }
}

static struct blkif_request plain(struct enemy *e)
{
    struct blkif_request r = { .operation = (uint8_t)enemy_random(e, 2),
                               .nr_segments = (uint8_t)enemy_random(e, 12),
                               .id = enemy_once_in(e, 3) ? 7 : enemy_edge(e, 64),
                               .sector_number = any_sector(e) };

    if (enemy_once_in(e, 6))
        r.operation = (uint8_t)enemy_edge(e, 8);
    if (enemy_once_in(e, 8))
        r.nr_segments = (uint8_t)enemy_edge(e, 8);
    for (unsigned int i = 0; i < 11; i++)
        r.seg[i] = segment(e);
    return r;
}

static struct blkif_request indirect(struct enemy *e)
{
    struct blkif_request_indirect i = { .operation = BLKIF_OP_INDIRECT,
                                        .indirect_op = (uint8_t)enemy_random(e, 2),
                                        .nr_segments = (uint16_t)(1 + enemy_random(e, 64)),
                                        .id = enemy_edge(e, 64),
                                        .sector_number = any_sector(e) };
    struct blkif_request r = { 0 };

    if (enemy_once_in(e, 8))
        i.indirect_op = (uint8_t)enemy_edge(e, 8);
    if (enemy_once_in(e, 6))
        i.nr_segments = (uint16_t)enemy_edge(e, 16);
    for (unsigned int t = 0; t < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; t++)
        i.indirect_grefs[t] = enemy_once_in(e, 6) ? front_any_ref(e) : tables[t % TABLES];
    for (unsigned int s = 0; s < ENEMY_PAGE / sizeof(struct blkif_request_segment); s++)
        ((struct blkif_request_segment *)front_page(TABLE))[s] = segment(e);
    memcpy(&r, &i, sizeof(i));
    return r;
}

static struct blkif_request discard(struct enemy *e)
{
    struct blkif_request_discard d = { .operation = BLKIF_OP_DISCARD,
                                       .flag = (uint8_t)enemy_random(e, 3),
                                       .id = enemy_edge(e, 64),
                                       .sector_number = any_sector(e),
                                       .nr_sectors = enemy_edge(e, 64) };
    struct blkif_request r = { 0 };

    memcpy(&r, &d, sizeof(d));
    return r;
}

static void ask(struct enemy *e, unsigned int queue)
{
    for (uint64_t n = 1 + enemy_random(e, ENTRIES); n; n--) {
        struct blkif_request r;

        switch (enemy_random(e, 4)) {
        case 0: r = indirect(e); break;
        case 1: r = discard(e); break;
        default: r = plain(e);
        }
        if (enemy_once_in(e, 10))
            for (size_t b = 0; b < sizeof(r); b++)
                ((uint8_t *)&r)[b] = (uint8_t)enemy_random(e, 256);
        put(queue, &r);
    }
    enemy_notify(e);
}

static void act(struct enemy *e)
{
    unsigned int queue = (unsigned int)enemy_random(e, nr_queues);

    switch (enemy_random(e, 10)) {
    case 0:
        enemy_bad_index(e, &ring_of(queue)[RING_REQ_PROD], ring_of(queue)[RING_RSP_PROD],
                        ENTRIES << order);
        break;
    case 1: enemy_scribble(e, (volatile uint8_t *)ring_of(queue)); break;
    case 2: enemy_scribble(e, front_page(TABLE)); break;
    case 3: ring_of(queue)[1 + enemy_random(e, 3)] = (uint32_t)enemy_edge(e, 32); break;
    default:
        ask(e, queue);
        if (enemy_once_in(e, 2))
            usleep((unsigned int)enemy_random(e, 20000));
    }
    enemy_notify(e);
}

/* ---- and once as it should be ---- */

/* Asked and answered: the status; 99: not in five seconds. */
static int status_of(struct enemy *e, const struct blkif_request *r)
{
    volatile uint32_t *ring = ring_of(0);
    uint32_t before = ring[RING_RSP_PROD];
    const volatile struct blkif_response *answer;

    put(0, r);
    for (unsigned int i = 0; nr_queues && i < 500; i++) {
        if (ring[RING_RSP_PROD] != before) {
            answer =
                (const volatile struct blkif_response *)((const volatile uint8_t *)ring +
                                                         RING_HEAD + before % ENTRIES * sizeof(*r));
            return answer->id == r->id ? answer->status : 98;
        }
        enemy_notify(e);
        usleep(10000);
    }
    return 99;
}

static bool honest(struct enemy *e)
{
    struct blkif_request r = { .operation = BLKIF_OP_WRITE, .nr_segments = 11, .id = 5 };
    bool good;

    for (unsigned int i = 0; i < 11; i++) {
        r.seg[i] = (struct blkif_request_segment){ .gref = data[i], .last_sect = 7 };
        memset(front_page(DATA + i), (int)i + 1, ENEMY_PAGE);
    }
    good = status_of(e, &r) == BLKIF_RSP_OKAY;
    for (unsigned int i = 0; i < 11; i++)
        memset(front_page(DATA + i), 0, ENEMY_PAGE);
    r.operation = BLKIF_OP_READ;
    good = good && status_of(e, &r) == BLKIF_RSP_OKAY;
    for (unsigned int i = 0; i < 11; i++)
        for (unsigned int b = 0; b < ENEMY_PAGE; b++)
            good = good && front_page(DATA + i)[b] == i + 1;
    return good;
}

const struct enemy_class enemy_block = { .type = "vbd",
                                         .ready = XenbusStateInitialised,
                                         .offer = offer,
                                         .nodes = nodes,
                                         .act = act,
                                         .honest = honest };
