/* The hostile backend of a disk, by <xen/io/blkif.h>: see back.h. When it is honest each byte of sector N is N * 7 + 1. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/blkif.h>

#include "back.h"

enum { ENTRIES = 32, SECTOR = 512, SECTORS = 2000 };

static const char *const nodes[] = { "sectors",
                                     "sector-size",
                                     "info",
                                     "physical-sector-size",
                                     "feature-flush-cache",
                                     "feature-barrier",
                                     "feature-discard",
                                     "discard-granularity",
                                     "feature-persistent",
                                     "max-ring-page-order",
                                     "multi-queue-max-queues",
                                     "feature-max-indirect-segments",
                                     NULL };

static volatile uint32_t *ring; /* NULL: none is mapped */
static const struct enemy_entries entries = { ENTRIES, sizeof(struct blkif_request) };
static uint32_t req_cons;
static struct blkif_request asked[ENTRIES]; /* the last ones */
static unsigned int nr_asked;

static void offer(struct enemy *e)
{
    enemy_put(e, "sectors", "%d", SECTORS);
    enemy_put(e, "sector-size", "%d", !e->honest && enemy_once_in(e, 4) ? 4096 : SECTOR);
    enemy_put(e, "info", "%d", !e->honest && enemy_once_in(e, 4) ? VDISK_READONLY : 0);
    for (unsigned int i = 4; nodes[i]; i++)
        enemy_put(e, nodes[i], "%d", !e->honest && enemy_once_in(e, 2));
    nr_asked = 0;
    ring = NULL;
}

static bool connect_it(struct enemy *e)
{
    volatile uint32_t *page = (volatile uint32_t *)(uintptr_t)back_map_node(e, "ring-ref");

    if (page == NULL)
        return false;
    ring = page;
    req_cons = 0;
    return back_bind_node(e, "event-channel");
}

/* ---- requests ---- */

/* The next one, which is among the last ones then. NULL: there is none. */
static const struct blkif_request *take(void)
{
    struct blkif_request *r = &asked[nr_asked % ENTRIES];

    if (!enemy_ring_take(ring, &req_cons, &entries, r))
        return NULL;
    nr_asked++;
    return r;
}

static void answer(uint64_t id, unsigned int operation, int status)
{
    struct blkif_response r = { .id = id,
                                .operation = (uint8_t)operation,
                                .status = (int16_t)status };

    enemy_ring_put(ring, RING_RSP_PROD, &entries, &r, sizeof(r));
}

static void read_for(struct enemy *e, const struct blkif_request *r)
{
    uint64_t sector = r->sector_number;

    for (unsigned int i = 0; i < r->nr_segments && i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        for (unsigned int s = r->seg[i].first_sect; s <= r->seg[i].last_sect && s < 8; s++) {
            uint8_t bytes[SECTOR];

            memset(bytes, (int)(sector++ * 7 + 1) & 0xff, SECTOR);
            back_write(e, r->seg[i].gref, (uint16_t)(s * SECTOR), bytes, SECTOR);
        }
}

static unsigned int serve(struct enemy *e)
{
    const struct blkif_request *r;
    unsigned int n = 0;

    while (n < ENTRIES && (r = take()) != NULL) {
        if (r->operation == BLKIF_OP_READ)
            read_for(e, r);
        answer(r->id, r->operation, BLKIF_RSP_OKAY);
        n++;
    }
    if (n)
        enemy_notify(e);
    return n;
}

/* ---- and answers ---- */

static const struct blkif_request *any(struct enemy *e)
{
    static const struct blkif_request none = { .id = 3 };
    unsigned int nr = nr_asked < ENTRIES ? nr_asked : ENTRIES;

    return nr ? &asked[enemy_random(e, nr)] : &none;
}

/* One of the last, perhaps not for the first time, or of what was never asked. */
static void lie(struct enemy *e)
{
    const struct blkif_request *r;
    uint64_t id;

    take();
    r = any(e);
    id = enemy_once_in(e, 4) ? enemy_edge(e, 64) : enemy_once_in(e, 4) ? r->id + 1 : r->id;
    for (uint64_t n = enemy_once_in(e, 3) ? 2 : 1; n; n--)
        answer(id, enemy_once_in(e, 4) ? (unsigned int)enemy_edge(e, 8) : r->operation,
               enemy_once_in(e, 2) ? (int)enemy_edge(e, 16) : BLKIF_RSP_OKAY);
    enemy_notify(e);
}

/* Their page has been ours, and stays so, whatever is answered. */
static void keep(struct enemy *e)
{
    const struct blkif_request *r = any(e);

    for (unsigned int i = 0; i < r->nr_segments && i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        if (r->operation <= BLKIF_OP_WRITE)
            back_map(e, r->seg[i].gref);
}

static void resize(struct enemy *e)
{
    if (enemy_once_in(e, 2))
        enemy_put_junk(e, nodes[enemy_random(e, 3)]);
    else
        enemy_put(e, "sectors", "%lu", (unsigned long)enemy_edge(e, 64));
    enemy_put(e, "state", "%d", XenbusStateConnected);
}

static void act(struct enemy *e)
{
    if (ring == NULL)
        return;
    switch (enemy_random(e, 16)) {
    case 0: enemy_bad_index(e, &ring[RING_RSP_PROD], ring[RING_REQ_PROD], ENTRIES); break;
    case 1: enemy_scribble(e, (volatile uint8_t *)ring); break;
    case 2: ring[enemy_random(e, 4)] = (uint32_t)enemy_edge(e, 32); break;
    case 3:
    case 4: lie(e); break;
    case 5: keep(e); break;
    case 6: resize(e); break;
    default:
        serve(e);
        if (enemy_once_in(e, 2))
            usleep((unsigned int)enemy_random(e, 20000));
    }
    enemy_notify(e);
}

const struct back_class back_block = {
    .type = "vbd", .offer = offer, .nodes = nodes, .connect = connect_it, .act = act, .serve = serve
};
