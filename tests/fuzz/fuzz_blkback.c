/*
 * backends/block: the input is what two guests do, one of a disk that is done when the input says so, each time a byte
 * for what and who, and its operands: requests and words of their rings' pages, what is in the store of them, grants that
 * go. Most of it is nearly right, so that it gets far. A third guest is honest: it is served meanwhile and afterwards.
 */
#include "fuzz.h"
#include "fuzz_machine.h"

#define GUEST_PAGES 24
#define GUEST_DISK (64 << 10)
#include "../unit/blkback_guest.h"

enum { OPS_MAX = 128, ENEMIES = 2, IDS = 1024 };

static struct enemy {
    struct guest *g;
    bool odd;     /* its rings may be anywhere */
    bool touched; /* or have other indices than they should */
    uint64_t next_id;
    uint8_t asked[IDS]; /* which are not answered */
} enemies[ENEMIES];

/* Responses stay behind requests, which nobody but the guest shows. */
static void check_rings(bool after)
{
    static uint32_t before[ENEMIES][QUEUES];

    for (unsigned int i = 0; i < ENEMIES; i++)
        for (unsigned int q = 0; q < enemies[i].g->nr_queues; q++) {
            struct ring *r = &enemies[i].g->queues[q].ring.ring;
            uint32_t rsp = r->indices[RING_RSP_PROD];

            BUG_ON(after && !enemies[i].odd && rsp != before[i][q] &&
                   r->indices[RING_REQ_PROD] - rsp > r->nr_entries);
            before[i][q] = rsp;
        }
}

static void run(void)
{
    check_rings(false);
    run_loop(loop);
    check_rings(true);
}

static void end_slow(unsigned int i, int error)
{
    slow.error = error;
    slow_end(i);
    slow.error = 0;
}

static void end_all_slow(void)
{
    while (slow.nr)
        end_slow(0, 0);
    run();
}

/* Each answer is one of what was asked, once. */
static void take_all(struct enemy *e, unsigned int q)
{
    struct ring_front *r = &e->g->queues[q].ring;
    int n = ring_front_look(r);

    BUG_ON(n < 0 && !e->touched && !e->odd);
    while (n-- > 0) {
        struct blkif_response a;

        ring_front_take(r, &a);
        if (e->touched || e->odd)
            continue;
        BUG_ON(!e->asked[a.id % IDS] || a.id >= e->next_id);
        BUG_ON(a.status != BLKIF_RSP_OKAY && a.status != BLKIF_RSP_ERROR &&
               a.status != BLKIF_RSP_EOPNOTSUPP);
        e->asked[a.id % IDS] = 0;
    }
    ring_front_rest(r);
}

/* ---- what a guest does ---- */

/* @request  of any kind: all have their id at one place */
static void put_one(struct enemy *e, unsigned int q, struct blkif_request *request)
{
    struct ring_front *r = &e->g->queues[q].ring;

    request->id = e->next_id++;
    e->asked[request->id % IDS] = 1;
    e->touched |= ring_front_room(r) == 0 || e->next_id > IDS;
    ring_front_put(r, request);
}

static void take_segment(const struct guest *g, struct blkif_request_segment *s, bool near,
                         struct fuzz_input *in)
{
    uint32_t ref = (uint32_t)fuzz_take(in, near ? 1 : 2), sectors = (uint32_t)fuzz_take(in, 1);

    s->gref = near ? g->refs[ref % DATA_PAGES] : ref;
    s->first_sect = near ? sectors & 3 : (uint8_t)fuzz_take(in, 1);
    s->last_sect = near ? 3 + sectors / 4 % 5 : (uint8_t)sectors;
}

static void put_request(struct enemy *e, unsigned int q, bool near, struct fuzz_input *in)
{
    struct blkif_request r = { 0 };

    r.operation = (uint8_t)fuzz_take(in, 1);
    r.nr_segments = (uint8_t)fuzz_take(in, 1);
    r.sector_number = fuzz_take(in, near ? 2 : 8);
    if (near) {
        r.operation %= 6;
        r.sector_number %= SECTORS + 8;
        r.nr_segments %= 12;
    }
    for (unsigned int i = 0; i < r.nr_segments && i < 11 && r.operation != BLKIF_OP_DISCARD; i++)
        take_segment(e->g, &r.seg[i], near, in);
    if (r.operation == BLKIF_OP_DISCARD)
        ((struct blkif_request_discard *)&r)->nr_sectors = fuzz_take(in, near ? 2 : 8);
    put_one(e, q, &r);
}

static void put_noise(struct enemy *e, unsigned int q, struct fuzz_input *in)
{
    struct blkif_request r = { 0 };
    size_t n = MIN(sizeof(r), in->left);

    memcpy(&r, in->at, n);
    in->at += n;
    in->left -= n;
    put_one(e, q, &r);
}

/* Its table has some segments of the input, again and again. */
static void put_indirect(struct enemy *e, unsigned int q, bool near, struct fuzz_input *in)
{
    struct blkif_request_segment *table = (struct blkif_request_segment *)e->g->table;
    struct blkif_request_indirect i = { .operation = BLKIF_OP_INDIRECT,
                                        .indirect_op = (uint8_t)fuzz_take(in, 1),
                                        .nr_segments = (uint16_t)fuzz_take(in, 2),
                                        .sector_number = fuzz_take(in, 2) };
    unsigned int some = 1 + (unsigned int)fuzz_take(in, 1) % 16;
    struct blkif_request r = { 0 };

    if (near) {
        i.indirect_op &= 1;
        i.nr_segments %= 66;
        i.sector_number %= SECTORS + 8;
    }
    for (unsigned int k = 0; k < PAGE / sizeof(*table); k++)
        if (k < some)
            take_segment(e->g, &table[k], near, in);
        else
            table[k] = table[k % some];
    i.indirect_grefs[0] = near ? e->g->table_ref : (grant_ref_t)fuzz_take(in, 2);
    memcpy(&r, &i, sizeof(i));
    put_one(e, q, &r);
}

static void push(struct enemy *e, unsigned int q)
{
    ring_front_push(&e->g->queues[q].ring);
    peer_notify(e->g->queues[q].port);
    run();
}

/* A word of a ring's page: an index is moved, or is what it is said to be. */
static void write_word(struct enemy *e, unsigned int q, bool near, struct fuzz_input *in)
{
    volatile uint32_t *head = e->g->queues[q].ring.ring.indices;
    unsigned int at = (unsigned int)fuzz_take(in, 2);

    e->touched = true;
    if (near) {
        head[at % 4] += (uint32_t)(int8_t)fuzz_take(in, 1);
        return;
    }
    at %= PAGE / 4;
    e->odd |= at >= RING_NOTE && at < 16;
    head[at] = (uint32_t)fuzz_take(in, 4);
}

/* ---- the store ---- */

static const char *const front_nodes[] = {
    "state",
    "ring-ref",
    "ring-ref0",
    "ring-ref1",
    "event-channel",
    "multi-queue-num-queues",
    "queue-0/ring-ref",
    "queue-1/event-channel",
};
static const char *const back_nodes[] = { "state",     "online",     "params", "mode",
                                          "disk-name", "statistics", "script", "hotplug-status" };

static void write_node(struct enemy *e, bool near, struct fuzz_input *in)
{
    unsigned int which = (unsigned int)fuzz_take(in, 1), nr = 0;
    const char *folder = which & 1 ? e->g->back : e->g->front;
    const char *name = (which & 1 ? back_nodes : front_nodes)[which / 2 % 8];
    char value[24];

    e->touched = true;
    e->odd = true;
    if (which & 64) {
        char path[120];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        store_remove(path);
    } else if (near) {
        number(e->g, folder, name, (uint32_t)fuzz_take(in, which & 128 ? 2 : 1));
    } else {
        for (unsigned int len = (unsigned int)fuzz_take(in, 1) % sizeof(value); nr < len; nr++)
            value[nr] = (char)fuzz_take(in, 1);
        value[nr] = '\0';
        node(e->g, folder, name, value);
    }
    run();
}

static void make_again(struct guest *g, unsigned int i)
{
    struct guest_queue *q = &g->queues[i];
    char folder[100], name[20];

    ring_front_init(&q->ring, q->pages, 1u << g->order, sizeof(struct blkif_request),
                    sizeof(struct blkif_response));
    snprintf(folder, sizeof(folder), g->nr_queues > 1 ? "%s/queue-%u" : "%s", g->front, i);
    for (unsigned int p = 0; p < 1u << g->order; p++) {
        snprintf(name, sizeof(name), "ring-ref%u", p);
        number(g, folder, g->order ? name : "ring-ref",
               grant_page(g->domain, q->pages + p * PAGE, true));
    }
    number(g, folder, "event-channel", q->port);
}

/* It is as it was at its beginning: with rings of new grants, or what they have become. */
static void begin_again(struct enemy *e, bool anew)
{
    struct guest *g = e->g;

    e->touched = true;
    number(g, g->front, "state", 6);
    run();
    if (anew)
        end_all_slow();
    number(g, g->front, "state", 1);
    run();
    if (anew) {
        number(g, g->front, "multi-queue-num-queues", g->nr_queues);
        for (unsigned int q = 0; q < g->nr_queues; q++)
            make_again(g, q);
        e->touched = e->odd = false;
        memset(e->asked, 0, sizeof(e->asked));
        e->next_id = 0;
    }
    number(g, g->front, "state", 3);
    run();
}

static void do_one(struct fuzz_input *in)
{
    unsigned int op = (unsigned int)fuzz_take(in, 1), q = op / 2 % 2, i;
    struct enemy *e = &enemies[op & 1];
    bool near = !(op & 4);

    q = q < e->g->nr_queues ? q : 0;
    switch (op / 8 % 16) {
    case 0: put_noise(e, q, in); break;
    case 1:
    case 2: put_request(e, q, near, in); break;
    case 3: put_indirect(e, q, near, in); break;
    case 4: push(e, q); break;
    case 5: put_request(e, q, near, in), push(e, q); break;
    case 6: put_indirect(e, q, near, in), push(e, q); break;
    case 7: write_word(e, q, near, in); break;
    case 8: write_node(e, near, in); break;
    case 9: begin_again(e, near); break;
    case 10:
        i = (unsigned int)fuzz_take(in, 1) % (DATA_PAGES + 1);
        grant_revoke(i == DATA_PAGES ? e->g->table_ref : e->g->refs[i]);
        break;
    case 11: fake_advance(fuzz_take(in, 1) << fuzz_take(in, 1) % 32), run(); break;
    case 12: take_all(e, q); break;
    case 13:
        i = (unsigned int)fuzz_take(in, 1);
        if (slow.nr)
            end_slow(i % slow.nr, near ? 0 : -EIO);
        break;
    case 14: slow.at_once = near; break;
    case 15: end_all_slow(); break;
    }
}

static struct guest *enemy_of(unsigned int domain, const char *params, unsigned int queues,
                              unsigned int order)
{
    struct guest *g = guest_new(domain, params, "w");

    guest_connect(g, queues, order);
    BUG_ON(state_of(g->back) != 4);
    return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    struct guest *other;

    begin();
    memset(enemies, 0, sizeof(enemies));
    slow.at_once = true; /* its partitions are read */
    other = guest_of(6, "/dev/ram1");
    enemies[0].g = enemy_of(5, "/dev/slow", 2, 0);
    enemies[1].g = enemy_of(7, "/dev/ram0", 1, 1);
    slow.at_once = false;
    for (int i = 0; i < OPS_MAX && in.left; i++)
        do_one(&in);
    check_other(other);
    slow.at_once = true;
    end_all_slow();
    for (unsigned int i = 0; i < ENEMIES; i++) {
        store_remove(enemies[i].g->front);
        run_loop(loop);
        store_remove(enemies[i].g->back);
        run_loop(loop);
    }
    BUG_ON(grants_mapped() != 1 || ports_bound() != 1);
    check_other(other);
    for (unsigned int i = 0; i < ENEMIES; i++)
        guest_free(enemies[i].g);
    guest_end(other);
    end();
    platform_reset(); /* the files */
    return 0;
}
