/* A block backend (backends/block) with guests in memory, for its tests: one program's, in one file each. */
#pragma once
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"
#include "blk_request.h"
#include "blkback.h"
#include "disk_ram.h"
#include "disks.h"
#include "fake_grants.h"
#include "fake_store.h"
#include "ring.h"

#ifndef GUEST_PAGES
#define GUEST_PAGES 70 /* that a guest has for data */
#define GUEST_DISK (1 << 20)
#endif

enum {
    PAGE = 4096,
    DISK_BYTES = GUEST_DISK,
    SECTORS = DISK_BYTES / 512,
    QUEUES = 4,
    DATA_PAGES = GUEST_PAGES
};

static struct plat_loop *loop;
static struct disks *disks;
static struct blkback *backend;
static struct disk *ram;

/* ---- a disk that does its requests when the test says so ---- */

static struct {
    struct disk disk;
    struct disk_request *list[300];
    unsigned int nr, most;
    bool at_once;
    int error;
    void (*also)(void); /* called for each request that is submitted, or NULL */
    uint8_t bytes[DISK_BYTES];
    char order[400]; /* of the first bytes of what is written */
} slow;

static inline void slow_do(struct disk_request *r)
{
    uint8_t *at = slow.bytes + (r->op == DISK_FLUSH ? 0 : r->sector * 512); /* it has none */

    for (unsigned int i = 0; i < r->nr_segments && !slow.error; i++) {
        if (r->op == DISK_READ)
            memcpy(r->segments[i].data, at, r->segments[i].bytes);
        else
            memcpy(at, r->segments[i].data, r->segments[i].bytes);
        at += r->segments[i].bytes;
    }
    if (r->op == DISK_DISCARD)
        memset(at, 0xdd, r->nr_sectors * 512);
    r->done(r, slow.error);
}

static inline void slow_submit(struct disk *d, struct disk_request *r)
{
    if (r->op == DISK_WRITE && strlen(slow.order) < sizeof(slow.order) - 1)
        slow.order[strlen(slow.order)] = ((char *)r->segments[0].data)[0];
    if (slow.also)
        slow.also();
    if (slow.at_once) {
        slow_do(r);
        return;
    }
    CU_ASSERT_TRUE_FATAL(slow.nr < 300);
    slow.list[slow.nr++] = r;
    if (slow.nr > slow.most)
        slow.most = slow.nr;
}

static inline void slow_end(unsigned int i)
{
    struct disk_request *r = slow.list[i];

    slow.list[i] = slow.list[--slow.nr];
    slow_do(r);
    run_loop(loop);
}

static inline void slow_close(struct disk *d) {}
static const struct disk_ops slow_ops = { .submit = slow_submit, .close = slow_close };

/* ---- guests ---- */

struct guest {
    unsigned int domain;
    char front[60], back[60];
    unsigned int nr_queues, order;
    struct guest_queue {
        uint8_t *pages;
        uint32_t port;
        struct ring_front ring;
    } queues[QUEUES];
    uint8_t *data; /* DATA_PAGES of it, */
    uint32_t refs[DATA_PAGES];
    uint8_t *table; /* for indirect segments */
    uint32_t table_ref;
};

static inline void node(const struct guest *g, const char *folder, const char *name,
                        const char *value)
{
    char path[120];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    store_set(path, "%s", value);
}

static inline void number(const struct guest *g, const char *folder, const char *name,
                          uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    node(g, folder, name, text);
}

static inline int state_of(const char *folder)
{
    char path[120];
    const char *text;

    snprintf(path, sizeof(path), "%s/state", folder);
    text = store_get(path);
    return text ? atoi(text) : -1;
}

static inline const char *back_node(const struct guest *g, const char *name)
{
    char path[120];

    snprintf(path, sizeof(path), "%s/%s", g->back, name);
    return store_get(path);
}

/* The class that is served by the backend. */
static const char *backend_class = "vbd";

/* As a toolstack does it. */
static inline struct guest *guest_new(unsigned int domain, const char *params, const char *mode)
{
    struct guest *g = calloc(1, sizeof(*g));

    g->domain = domain;
    snprintf(g->front, sizeof(g->front), "/local/domain/%u/device/vbd/51712", domain);
    snprintf(g->back, sizeof(g->back), "/local/domain/0/backend/%s/%u/51712", backend_class,
             domain);
    g->data = aligned_alloc(PAGE, DATA_PAGES * PAGE);
    memset(g->data, 0, DATA_PAGES * PAGE);
    for (int i = 0; i < DATA_PAGES; i++)
        g->refs[i] = grant_page(domain, g->data + i * PAGE, true);
    g->table = aligned_alloc(PAGE, PAGE);
    g->table_ref = grant_page(domain, g->table, false);
    node(g, g->front, "backend", g->back);
    number(g, g->front, "backend-id", 0);
    number(g, g->front, "state", 1);
    node(g, g->back, "frontend", g->front);
    number(g, g->back, "frontend-id", domain);
    node(g, g->back, "params", params);
    node(g, g->back, "mode", mode);
    number(g, g->back, "online", 1);
    number(g, g->back, "state", 1);
    run_loop(loop);
    return g;
}

static inline void make_queue(struct guest *g, unsigned int i)
{
    struct guest_queue *q = &g->queues[i];
    unsigned int nr = 1u << g->order;
    char folder[100], name[20];

    q->pages = aligned_alloc(PAGE, nr * PAGE);
    CU_ASSERT_EQUAL(ring_front_init(&q->ring, q->pages, nr, sizeof(struct blkif_request),
                                    sizeof(struct blkif_response)),
                    0);
    q->port = peer_port(g->domain);
    snprintf(folder, sizeof(folder), "%s", g->front);
    if (g->nr_queues > 1)
        snprintf(folder, sizeof(folder), "%s/queue-%u", g->front, i);
    for (unsigned int p = 0; p < nr; p++) {
        snprintf(name, sizeof(name), "ring-ref%u", p);
        number(g, folder, g->order ? name : "ring-ref",
               grant_page(g->domain, q->pages + p * PAGE, true));
    }
    number(g, folder, "event-channel", q->port);
}

static inline void guest_connect(struct guest *g, unsigned int nr_queues, unsigned int order)
{
    g->nr_queues = nr_queues;
    g->order = order;
    if (nr_queues > 1)
        number(g, g->front, "multi-queue-num-queues", nr_queues);
    if (order)
        number(g, g->front, "ring-page-order", order);
    for (unsigned int i = 0; i < nr_queues; i++)
        make_queue(g, i);
    number(g, g->front, "state", 3);
    run_loop(loop);
    if (state_of(g->back) == 4) {
        number(g, g->front, "state", 4);
        run_loop(loop);
    }
}

static inline void guest_free(struct guest *g)
{
    grants_revoke_all(g->domain);
    for (int i = 0; i < QUEUES; i++)
        free(g->queues[i].pages);
    free(g->data);
    free(g->table);
    free(g);
}

/* The toolstack takes all of it away. */
static inline void guest_end(struct guest *g)
{
    slow.at_once = true; /* its partitions are read again */
    store_remove(g->front);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    store_remove(g->back);
    run_loop(loop);
    guest_free(g);
}

static inline struct guest *guest_of(unsigned int domain, const char *params)
{
    struct guest *g = guest_new(domain, params, "w");

    CU_ASSERT_EQUAL(state_of(g->back), 2);
    guest_connect(g, 1, 0);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    return g;
}

static inline struct blkif_request request(struct guest *g, int op, uint64_t sector,
                                           unsigned int nr)
{
    struct blkif_request r = { .operation = (uint8_t)op,
                               .nr_segments = (uint8_t)nr,
                               .id = sector * 10,
                               .sector_number = sector };

    for (unsigned int i = 0; i < nr && i < 11; i++)
        r.seg[i] = (struct blkif_request_segment){ .gref = g->refs[i], .last_sect = 7 };
    return r;
}

static inline void put(struct guest *g, const struct blkif_request *r)
{
    ring_front_put(&g->queues[0].ring, r);
    if (ring_front_push(&g->queues[0].ring))
        peer_notify(g->queues[0].port);
}

/* The next response's status; 99: there is none. */
static inline int answered(struct guest *g, struct blkif_response *rsp)
{
    struct blkif_response mine;

    if (ring_front_look(&g->queues[0].ring) <= 0)
        return 99;
    ring_front_take(&g->queues[0].ring, &mine);
    if (rsp)
        *rsp = mine;
    return mine.status;
}

/* Asked and answered. */
static inline int ask(struct guest *g, const struct blkif_request *r)
{
    struct blkif_response rsp = { 0 };
    int status;

    put(g, r);
    run_loop(loop);
    status = answered(g, &rsp);
    if (status != 99)
        CU_ASSERT_EQUAL(rsp.id, r->id);
    return status;
}

static inline int ask_op(struct guest *g, int op, uint64_t sector, unsigned int nr)
{
    struct blkif_request r = request(g, op, sector, nr);

    return ask(g, &r);
}

static inline int ask_indirect(struct guest *g, int op, uint64_t sector, unsigned int nr)
{
    struct blkif_request_indirect i = { .operation = BLKIF_OP_INDIRECT,
                                        .indirect_op = (uint8_t)op,
                                        .nr_segments = (uint16_t)nr,
                                        .id = sector * 10,
                                        .sector_number = sector };
    struct blkif_request r = { 0 };

    i.indirect_grefs[0] = g->table_ref;
    for (unsigned int s = 0; s < nr && s < DATA_PAGES; s++)
        ((struct blkif_request_segment *)g->table)[s] =
            (struct blkif_request_segment){ .gref = g->refs[s], .last_sect = 7 };
    memcpy(&r, &i, sizeof(i));
    put(g, &r);
    run_loop(loop);
    return answered(g, NULL);
}

/* ---- the machine ---- */

/* A life of the program begins. */
static inline void backend_start(void)
{
    disks = disks_new(loop);
    ram = disk_ram_open("ram0", DISK_BYTES, NULL);
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/ram0", ram), 0);
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/ram1", disk_ram_open("ram1", DISK_BYTES, NULL)), 0);
    slow.at_once = true; /* while its partitions are read */
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/slow", &slow.disk), 0);
    slow.at_once = false;
    backend = blkback_start(loop, disks, backend_class);
    CU_ASSERT_PTR_NOT_NULL_FATAL(backend);
    run_loop(loop);
}

static inline void begin(void)
{
    platform_reset();
    store_reset(0);
    grants_reset();
    memset(&slow, 0, sizeof(slow));
    slow.disk = (struct disk){ .ops = &slow_ops,
                               .nr_sectors = SECTORS,
                               .sector_bytes = 512,
                               .flush = true,
                               .discard = true,
                               .discard_bytes = 4096 };
    loop = plat_loop_new();
    backend_start();
}

static inline void end(void)
{
    CU_ASSERT_EQUAL(slow.nr, 0);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    CU_ASSERT_EQUAL(ports_bound(), 0);
    blkback_stop(backend);
    disks_free(disks);
    CU_ASSERT_EQUAL(store_nr_watches(), 0);
    plat_loop_free(loop);
}

static inline void fill(struct guest *g, unsigned int nr_pages, unsigned int seed)
{
    for (unsigned int i = 0; i < nr_pages * PAGE; i++)
        g->data[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

static inline bool is_filled(const uint8_t *at, unsigned int nr_bytes, unsigned int seed)
{
    for (unsigned int i = 0; i < nr_bytes; i++)
        if (at[i] != (uint8_t)(i * 7 + i / 256 + seed))
            return false;
    return true;
}

/* An honest guest is served as ever. */
static inline void check_other(struct guest *other)
{
    CU_ASSERT_EQUAL(state_of(other->back), 4);
    fill(other, 2, 77);
    CU_ASSERT_EQUAL(ask_op(other, BLKIF_OP_WRITE, 40, 2), 0);
    memset(other->data, 0, 2 * PAGE);
    CU_ASSERT_EQUAL(ask_op(other, BLKIF_OP_READ, 40, 2), 0);
    CU_ASSERT_TRUE(is_filled(other->data, 2 * PAGE, 77));
}
