/*
 * The block backend (backends/block) with guests in memory: honest ones, and the enemy: impossible indices, grants that
 * are bad, foreign or revoked, segments over every edge, states that change in the middle, and rings full of noise.
 */
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

enum { PAGE = 4096, DISK_BYTES = 1 << 20, SECTORS = DISK_BYTES / 512, QUEUES = 4, DATA_PAGES = 70 };

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
    uint8_t bytes[DISK_BYTES];
    char order[400]; /* of the first bytes of what is written */
} slow;

static void slow_do(struct disk_request *r)
{
    uint8_t *at = slow.bytes + r->sector * 512;

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

static void slow_submit(struct disk *d, struct disk_request *r)
{
    if (r->op == DISK_WRITE && strlen(slow.order) < sizeof(slow.order) - 1)
        slow.order[strlen(slow.order)] = ((char *)r->segments[0].data)[0];
    if (slow.at_once) {
        slow_do(r);
        return;
    }
    CU_ASSERT_TRUE_FATAL(slow.nr < 300);
    slow.list[slow.nr++] = r;
    if (slow.nr > slow.most)
        slow.most = slow.nr;
}

static void slow_end(unsigned int i)
{
    struct disk_request *r = slow.list[i];

    slow.list[i] = slow.list[--slow.nr];
    slow_do(r);
    run_loop(loop);
}

static void slow_close(struct disk *d) {}
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

static void node(const struct guest *g, const char *folder, const char *name, const char *value)
{
    char path[120];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    store_set(path, "%s", value);
}

static void number(const struct guest *g, const char *folder, const char *name, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    node(g, folder, name, text);
}

static int state_of(const char *folder)
{
    char path[120];
    const char *text;

    snprintf(path, sizeof(path), "%s/state", folder);
    text = store_get(path);
    return text ? atoi(text) : -1;
}

static const char *back_node(const struct guest *g, const char *name)
{
    char path[120];

    snprintf(path, sizeof(path), "%s/%s", g->back, name);
    return store_get(path);
}

/* As a toolstack does it. */
static struct guest *guest_new(unsigned int domain, const char *params, const char *mode)
{
    struct guest *g = calloc(1, sizeof(*g));

    g->domain = domain;
    snprintf(g->front, sizeof(g->front), "/local/domain/%u/device/vbd/51712", domain);
    snprintf(g->back, sizeof(g->back), "/local/domain/0/backend/vbd/%u/51712", domain);
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

static void make_queue(struct guest *g, unsigned int i)
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

static void guest_connect(struct guest *g, unsigned int nr_queues, unsigned int order)
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

static void guest_free(struct guest *g)
{
    grants_revoke_all(g->domain);
    for (int i = 0; i < QUEUES; i++)
        free(g->queues[i].pages);
    free(g->data);
    free(g->table);
    free(g);
}

/* The toolstack takes all of it away. */
static void guest_end(struct guest *g)
{
    slow.at_once = true; /* its partitions are read again */
    store_remove(g->front);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    store_remove(g->back);
    run_loop(loop);
    guest_free(g);
}

static struct guest *guest_of(unsigned int domain, const char *params)
{
    struct guest *g = guest_new(domain, params, "w");

    CU_ASSERT_EQUAL(state_of(g->back), 2);
    guest_connect(g, 1, 0);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    return g;
}

static struct blkif_request request(struct guest *g, int op, uint64_t sector, unsigned int nr)
{
    struct blkif_request r = { .operation = (uint8_t)op,
                               .nr_segments = (uint8_t)nr,
                               .id = sector * 10,
                               .sector_number = sector };

    for (unsigned int i = 0; i < nr && i < 11; i++)
        r.seg[i] = (struct blkif_request_segment){ .gref = g->refs[i], .last_sect = 7 };
    return r;
}

static void put(struct guest *g, const struct blkif_request *r)
{
    ring_front_put(&g->queues[0].ring, r);
    if (ring_front_push(&g->queues[0].ring))
        peer_notify(g->queues[0].port);
}

/* The next response's status; 99: there is none. */
static int answered(struct guest *g, struct blkif_response *rsp)
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
static int ask(struct guest *g, const struct blkif_request *r)
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

static int ask_op(struct guest *g, int op, uint64_t sector, unsigned int nr)
{
    struct blkif_request r = request(g, op, sector, nr);

    return ask(g, &r);
}

static int ask_indirect(struct guest *g, int op, uint64_t sector, unsigned int nr)
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

static void begin(void)
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
    disks = disks_new(loop);
    ram = disk_ram_open("ram0", DISK_BYTES, NULL);
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/ram0", ram), 0);
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/ram1", disk_ram_open("ram1", DISK_BYTES, NULL)), 0);
    slow.at_once = true; /* while its partitions are read */
    CU_ASSERT_EQUAL(disks_add(disks, "/dev/slow", &slow.disk), 0);
    slow.at_once = false;
    backend = blkback_start(loop, disks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(backend);
    run_loop(loop);
}

static void end(void)
{
    CU_ASSERT_EQUAL(slow.nr, 0);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    CU_ASSERT_EQUAL(ports_bound(), 0);
    blkback_stop(backend);
    disks_free(disks);
    CU_ASSERT_EQUAL(store_nr_watches(), 0);
    plat_loop_free(loop);
}

/* ---- honest guests ---- */

static void fill(struct guest *g, unsigned int nr_pages, unsigned int seed)
{
    for (unsigned int i = 0; i < nr_pages * PAGE; i++)
        g->data[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

static bool is_filled(const uint8_t *at, unsigned int nr_bytes, unsigned int seed)
{
    for (unsigned int i = 0; i < nr_bytes; i++)
        if (at[i] != (uint8_t)(i * 7 + i / 256 + seed))
            return false;
    return true;
}

static void test_data_come_and_go(void)
{
    const char *const names[] = { "/dev/ram0", "/dev/slow" };

    for (int n = 0; n < 2; n++) {
        begin();
        struct guest *g = guest_of(5, names[n]);

        slow.at_once = true;
        fill(g, 11, 1);
        CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 16, 11), 0);
        CU_ASSERT_TRUE(is_filled((n ? slow.bytes : ram->memory) + 16 * 512, 11 * PAGE, 1));
        memset(g->data, 0, DATA_PAGES * PAGE);
        CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 16, 11), 0);
        CU_ASSERT_TRUE(is_filled(g->data, 11 * PAGE, 1));
        fill(g, 64, 2);
        CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_WRITE, SECTORS - 512, 64), 0);
        memset(g->data, 0, DATA_PAGES * PAGE);
        CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, SECTORS - 512, 64), 0);
        CU_ASSERT_TRUE(is_filled(g->data, 64 * PAGE, 2));
        CU_ASSERT_TRUE(peer_events(g->queues[0].port) > 0);
        node(g, g->back, "statistics", "?");
        run_loop(loop);
        CU_ASSERT_STRING_EQUAL(back_node(g, "statistics"),
                               "reads=2 read-sectors=600 writes=2 written-sectors=600 flushes=0 "
                               "discards=0 refused=0 failed=0 running=0");
        guest_end(g);
        end();
    }
}

/* Each first and last sector of a page. */
static void test_parts_of_pages(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/ram0");

    for (uint8_t first = 0; first < 8; first++)
        for (uint8_t last = first; last < 8; last++) {
            struct blkif_request r = request(g, BLKIF_OP_WRITE, 100, 2);
            unsigned int bytes = (last - first + 1u) * 512;

            memset(ram->memory, 0, DISK_BYTES);
            fill(g, 2, first);
            r.seg[0].first_sect = first;
            r.seg[0].last_sect = last;
            r.seg[1] = r.seg[0];
            CU_ASSERT_EQUAL(ask(g, &r), 0);
            CU_ASSERT_EQUAL(memcmp(ram->memory + 51200, g->data + first * 512, bytes), 0);
            CU_ASSERT_EQUAL(memcmp(ram->memory + 51200 + bytes, g->data + first * 512, bytes), 0);
            CU_ASSERT_EQUAL(ram->memory[51200 + 2 * bytes], 0);
            CU_ASSERT_EQUAL(ram->memory[51199], 0);
        }
    guest_end(g);
    end();
}

static void test_several_queues_of_several_pages(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/ram0", "w");

    guest_connect(g, 4, 3);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    CU_ASSERT_EQUAL(grants_mapped(), 32);
    CU_ASSERT_EQUAL(ports_bound(), 4);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) { /* each ring is full */
            struct guest_queue *q = &g->queues[i];

            CU_ASSERT_EQUAL(ring_front_room(&q->ring), 256);
            for (unsigned int k = 0; k < 256; k++) {
                struct blkif_request r = request(g, BLKIF_OP_WRITE, k, 1);

                ring_front_put(&q->ring, &r);
            }
            if (ring_front_push(&q->ring))
                peer_notify(q->port);
        }
        run_loop(loop);
        for (int i = 0; i < 4; i++) {
            struct guest_queue *q = &g->queues[i];
            struct blkif_response rsp;

            CU_ASSERT_EQUAL(ring_front_look(&q->ring), 256);
            for (uint64_t k = 0; k < 256; k++) {
                ring_front_take(&q->ring, &rsp);
                CU_ASSERT_TRUE(rsp.id == k * 10 && rsp.status == 0 &&
                               rsp.operation == BLKIF_OP_WRITE);
            }
            CU_ASSERT_EQUAL(ring_front_rest(&q->ring), 0);
        }
    }
    guest_end(g);
    end();
}

/* The disk ends them backwards: the guest sees them forwards, and nothing before the first. */
static void test_answers_are_in_ring_order(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_response rsp;

    for (unsigned int i = 0; i < 8; i++) {
        struct blkif_request r = request(g, BLKIF_OP_READ, i, 1);

        put(g, &r);
    }
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 8);
    while (slow.nr > 1) {
        slow_end(slow.nr - 1);
        CU_ASSERT_EQUAL(answered(g, NULL), 99);
    }
    slow_end(0);
    for (uint64_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(answered(g, &rsp), 0);
        CU_ASSERT_EQUAL(rsp.id, i * 10);
    }
    guest_end(g);
    end();
}

static void test_a_disk_that_takes_little_at_a_time(void)
{
    begin();
    slow.disk.max_bytes = 3 * 512;
    struct guest *g = guest_of(5, "/dev/slow");

    slow.at_once = true;
    fill(g, 11, 3);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 8, 11), 0);
    CU_ASSERT_TRUE(is_filled(slow.bytes + 8 * 512, 11 * PAGE, 3));
    guest_end(g);
    end();
}

static void test_flush_discard_and_errors_of_the_disk(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request_discard d = {
        .operation = BLKIF_OP_DISCARD, .id = 80, .sector_number = 8, .nr_sectors = 8
    };
    struct blkif_request r = { 0 };

    slow.at_once = true;
    CU_ASSERT_STRING_EQUAL(back_node(g, "feature-flush-cache"), "1");
    CU_ASSERT_STRING_EQUAL(back_node(g, "feature-discard"), "1");
    CU_ASSERT_STRING_EQUAL(back_node(g, "discard-granularity"), "4096");
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_FLUSH_DISKCACHE, 0, 0), 0);
    memcpy(&r, &d, sizeof(d));
    CU_ASSERT_EQUAL(ask(g, &r), 0);
    CU_ASSERT_TRUE(slow.bytes[4096] == 0xdd && slow.bytes[8191] == 0xdd && slow.bytes[8192] == 0);
    d.nr_sectors = UINT64_MAX;
    memcpy(&r, &d, sizeof(d));
    CU_ASSERT_EQUAL(ask(g, &r), BLKIF_RSP_ERROR);
    d.flag = BLKIF_DISCARD_SECURE;
    memcpy(&r, &d, sizeof(d));
    CU_ASSERT_EQUAL(ask(g, &r), BLKIF_RSP_EOPNOTSUPP);
    slow.error = EIO;
    memset(g->data, 0x55, PAGE);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 8, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(g->data[0], 0x55); /* what was not read is not shown */
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 8, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_FLUSH_DISKCACHE, 0, 0), BLKIF_RSP_ERROR);
    guest_end(g);
    end();
    begin(); /* memory has neither */
    g = guest_of(5, "/dev/ram0");
    CU_ASSERT_STRING_EQUAL(back_node(g, "feature-flush-cache"), "0");
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_FLUSH_DISKCACHE, 0, 0), BLKIF_RSP_EOPNOTSUPP);
    guest_end(g);
    end();
}

static void test_4k_sectors(void)
{
    begin();
    slow.disk.sector_bytes = 4096;
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request r = request(g, BLKIF_OP_WRITE, 8, 1);

    slow.at_once = true;
    CU_ASSERT_STRING_EQUAL(back_node(g, "sector-size"), "4096");
    CU_ASSERT_STRING_EQUAL(back_node(g, "sectors"), "2048"); /* of 512 bytes, as Linux has it */
    CU_ASSERT_EQUAL(ask(g, &r), 0);
    r.sector_number = 9;
    CU_ASSERT_EQUAL(ask(g, &r), BLKIF_RSP_ERROR);
    r.sector_number = 8;
    r.seg[0].last_sect = 3;
    CU_ASSERT_EQUAL(ask(g, &r), BLKIF_RSP_ERROR);
    guest_end(g);
    end();
}

static void test_a_disk_grows_under_a_guest(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");

    slow.at_once = true;
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 8, 1), 0);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS, 1), BLKIF_RSP_ERROR);
    slow.disk.nr_sectors = SECTORS - 8;
    slow.disk.changed(slow.disk.arg);
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(back_node(g, "sectors"), "2040");
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 8, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 16, 1), 0);
    guest_end(g);
    end();
}

static void test_disks_that_cannot_be_had(void)
{
    begin();
    struct guest *first = guest_of(5, "/dev/ram0");
    struct guest *g = guest_new(6, "/dev/ram0", "w");

    CU_ASSERT_STRING_EQUAL(back_node(g, "hotplug-status"), "error"); /* somebody writes to it */
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    guest_end(g);
    g = guest_new(6, "/dev/none", "w");
    CU_ASSERT_STRING_EQUAL(back_node(g, "hotplug-error"), "/dev/none: No such file or directory");
    guest_end(g);
    guest_end(first);
    first = guest_new(5, "/dev/ram0", "r");
    g = guest_new(6, "/dev/ram0", "r"); /* two that read */
    guest_connect(g, 1, 0);
    CU_ASSERT_STRING_EQUAL(back_node(g, "hotplug-status"), "connected");
    CU_ASSERT_STRING_EQUAL(back_node(g, "info"), "4");
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 0, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 0, 1), 0);
    guest_end(g);
    guest_end(first);
    end();
}

/* What is asked of it while another life of the backend comes to its end is done by the next. */
static void test_the_backend_is_started_again(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/ram0");
    struct blkif_request r = request(g, BLKIF_OP_WRITE, 0, 1);

    for (int i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(ask(g, &r), 0);
    blkback_stop(backend);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    fill(g, 1, 9);
    put(g, &r);
    put(g, &r);
    backend = blkback_start(loop, disks);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    CU_ASSERT_EQUAL(state_of(g->front), 4);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 99);
    CU_ASSERT_TRUE(is_filled(ram->memory, PAGE, 9));
    guest_end(g);
    end();
}

/* ---- the enemy ---- */

/* An honest guest is served as ever. */
static void check_other(struct guest *other)
{
    CU_ASSERT_EQUAL(state_of(other->back), 4);
    fill(other, 2, 77);
    CU_ASSERT_EQUAL(ask_op(other, BLKIF_OP_WRITE, 40, 2), 0);
    memset(other->data, 0, 2 * PAGE);
    CU_ASSERT_EQUAL(ask_op(other, BLKIF_OP_READ, 40, 2), 0);
    CU_ASSERT_TRUE(is_filled(other->data, 2 * PAGE, 77));
}

static void test_requests_that_make_no_sense(void)
{
    struct {
        const char *what;
        int status;
        struct blkif_request r;
    } cases[40];
    int n = 0;

    begin();
    struct guest *other = guest_of(6, "/dev/ram1"), *g = guest_of(5, "/dev/ram0");
    uint32_t read_only = grant_page(5, g->data, false), foreign = other->refs[0];
    uint32_t revoked = grant_page(5, g->data, true);

    grant_revoke(revoked);
#define CASE(text, wanted, change)                                \
    do {                                                          \
        struct blkif_request r = request(g, BLKIF_OP_READ, 8, 1); \
        change;                                                   \
        cases[n].what = text;                                     \
        cases[n].status = wanted;                                 \
        cases[n++].r = r;                                         \
    } while (0)
    CASE("as it should be", 0, (void)0);
    CASE("no segments", -1, r.nr_segments = 0);
    CASE("too many segments", -1, r.nr_segments = 12);
    CASE("255 segments", -1, r.nr_segments = 255);
    CASE("first behind last", -1, r.seg[0].first_sect = 1; r.seg[0].last_sect = 0);
    CASE("last behind the page", -1, r.seg[0].last_sect = 8);
    CASE("last 255", -1, r.seg[0].last_sect = 255);
    CASE("both behind the page", -1, r.seg[0].first_sect = 250; r.seg[0].last_sect = 251);
    CASE("at the end", 0, r.sector_number = SECTORS - 8);
    CASE("over the end", -1, r.sector_number = SECTORS - 7);
    CASE("behind the end", -1, r.sector_number = SECTORS);
    CASE("wraps", -1, r.sector_number = UINT64_MAX - 7);
    CASE("wraps in bytes", -1, r.sector_number = UINT64_C(1) << 55);
    CASE("largest sector", -1, r.sector_number = UINT64_MAX);
    CASE("no such grant", -1, r.seg[0].gref = 4000);
    CASE("largest grant", -1, r.seg[0].gref = UINT32_MAX);
    CASE("reserved grant", -1, r.seg[0].gref = 0);
    CASE("another's grant", -1, r.seg[0].gref = foreign);
    CASE("a revoked grant", -1, r.seg[0].gref = revoked);
    CASE("a read into what may only be read", -1, r.seg[0].gref = read_only);
    CASE("a write from there", 0, r.operation = BLKIF_OP_WRITE; r.seg[0].gref = read_only);
    CASE("one bad of two", -1, r.nr_segments = 2; r.seg[1].gref = 4000; r.seg[1].last_sect = 7);
    CASE("no operation", -2, r.operation = 7);
    CASE("no operation either", -2, r.operation = 255);
    CASE("a barrier", -2, r.operation = BLKIF_OP_WRITE_BARRIER);
    CASE("a packet", -2, r.operation = BLKIF_OP_RESERVED_1);
    CASE("discard", -2, r.operation = BLKIF_OP_DISCARD; r.nr_segments = 0);
    CASE("indirect of noise", -2, r.operation = BLKIF_OP_INDIRECT; r.nr_segments = 9);
    for (int i = 0; i < n; i++) {
        int status = ask(g, &cases[i].r);

        if (status != cases[i].status)
            fprintf(stderr, "%s: %d\n", cases[i].what, status);
        CU_ASSERT_EQUAL(status, cases[i].status);
    }
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, 0, 0), -1);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, 0, 65), -1);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, 0, 65535), -1);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_INDIRECT, 0, 1), -2);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_DISCARD, 0, 1), -2);
    grant_revoke(g->table_ref);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, 0, 12), -1);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 0, 1),
                    0); /* it harms itself alone, and not for long */
    check_other(other);
    guest_end(g);
    guest_end(other);
    end();
}

static void test_ids_twice_are_the_guests_own(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request r = request(g, BLKIF_OP_WRITE, 0, 1);
    struct blkif_response rsp;

    for (int i = 0; i < 4; i++)
        put(g, &r);
    run_loop(loop);
    while (slow.nr)
        slow_end(0);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_TRUE(answered(g, &rsp) == 0 && rsp.id == r.id);
    guest_end(g);
    end();
}

/* Memory that changes between the check and the use: what was checked counts. */
static void test_indices_that_are_impossible(void)
{
    static const uint32_t prods[] = { 33, 1000, 0x80000000, 0xffffffff, 2 };

    for (size_t i = 0; i < sizeof(prods) / sizeof(prods[0]); i++) {
        begin();
        struct guest *other = guest_of(6, "/dev/ram1"), *g = guest_of(5, "/dev/slow");
        struct blkif_request r = request(g, BLKIF_OP_WRITE, 0, 1);

        for (int k = 0; k < 3; k++)
            put(g, &r);
        run_loop(loop);
        CU_ASSERT_EQUAL(slow.nr, 3);
        *(volatile uint32_t *)g->queues[0].pages = prods[i];
        peer_notify(g->queues[0].port);
        run_loop(loop);
        CU_ASSERT_EQUAL(state_of(g->back), 4); /* not before what the disk does has ended */
        check_other(other);
        while (slow.nr)
            slow_end(0);
        CU_ASSERT_EQUAL(state_of(g->back), 5);
        CU_ASSERT_EQUAL(grants_mapped(), 1); /* the other's */
        check_other(other);
        number(g, g->front, "state", 6);
        run_loop(loop);
        CU_ASSERT_EQUAL(state_of(g->back), 6);
        number(g, g->front, "state", 1); /* it may try again */
        run_loop(loop);
        free(g->queues[0].pages);
        guest_connect(g, 1, 0);
        slow.at_once = true;
        CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 0, 1), 0);
        guest_end(g);
        guest_end(other);
        end();
    }
}

static void test_grants_revoked_while_the_disk_works(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request r = request(g, BLKIF_OP_READ, 0, 2);

    put(g, &r);
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 1);
    grant_revoke(g->refs[1]);
    slow_end(0);
    CU_ASSERT_EQUAL(answered(g, NULL), BLKIF_RSP_ERROR);
    guest_end(g);
    end();
}

/* Closed, gone, begun anew, or killed, while the disk has its requests. */
static void test_states_that_change_in_the_middle(void)
{
    static const int states[] = { 0, 1, 2, 3, 5, 6, 7, 8, 9 };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        begin();
        struct guest *other = guest_of(6, "/dev/ram1"), *g = guest_of(5, "/dev/slow");
        struct blkif_request r = request(g, BLKIF_OP_READ, 0, 1);

        for (int k = 0; k < 5; k++)
            put(g, &r);
        run_loop(loop);
        CU_ASSERT_EQUAL(slow.nr, 5);
        number(g, g->front, "state", (uint32_t)states[i]);
        run_loop(loop);
        check_other(other);
        slow_end(2);
        store_remove(g->front);
        run_loop(loop);
        CU_ASSERT_EQUAL(grants_mapped(), 2);
        while (slow.nr)
            slow_end(0);
        CU_ASSERT_EQUAL(grants_mapped(), 1);
        check_other(other);
        slow.at_once = true;
        store_remove(g->back);
        run_loop(loop);
        guest_free(g);
        guest_end(other);
        end();
    }
}

static void test_choices_that_cannot_be(void)
{
    static const struct {
        const char *name, *value;
    } cases[] = { { "ring-ref", "0" },
                  { "ring-ref", "4000" },
                  { "ring-ref", "-1" },
                  { "ring-ref", "" },
                  { "ring-ref", "4294967296" },
                  { "event-channel", "0" },
                  { "event-channel", "250" },
                  { "event-channel", "4294967295" },
                  { "event-channel", "x" },
                  { "ring-page-order", "4" },
                  { "ring-page-order", "1" }, /* without its nodes */
                  { "ring-page-order", "99999999999" },
                  { "multi-queue-num-queues", "0" },
                  { "multi-queue-num-queues", "5" },
                  { "multi-queue-num-queues", "2" },
                  { "multi-queue-num-queues", "4294967297" },
                  { "protocol", "x86_32-abi" },
                  { "protocol", "arm-abi" } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        struct guest *other = guest_of(6, "/dev/ram1"), *g = guest_new(5, "/dev/ram0", "w");

        g->nr_queues = 1;
        make_queue(g, 0);
        node(g, g->front, cases[i].name, cases[i].value);
        number(g, g->front, "state", 3);
        run_loop(loop);
        CU_ASSERT_EQUAL(state_of(g->back), 5);
        CU_ASSERT_EQUAL(grants_mapped(), 1);
        CU_ASSERT_EQUAL(ports_bound(), 1);
        check_other(other);
        guest_end(g);
        guest_end(other);
        end();
    }
}

/* A guest whose ring is always full: another that asks for little has its turn in between. */
static void test_a_flood_is_served_by_turns(void)
{
    begin();
    struct guest *flood = guest_new(5, "/dev/slow", "r"), *g = guest_new(6, "/dev/slow", "r");
    unsigned int k;

    CU_ASSERT_EQUAL(state_of(flood->back), 2);
    guest_connect(flood, 1, 3);
    guest_connect(g, 1, 0);
    for (k = 0; k < 256; k++) {
        struct blkif_request r = request(flood, BLKIF_OP_READ, 0, 1);

        ring_front_put(&flood->queues[0].ring, &r);
    }
    if (ring_front_push(&flood->queues[0].ring))
        peer_notify(flood->queues[0].port);
    struct blkif_request r = request(g, BLKIF_OP_READ, 800, 1);
    ring_front_put(&g->queues[0].ring, &r);
    ring_front_push(&g->queues[0].ring);
    peer_notify(g->queues[0].port);
    run_loop(loop);
    for (k = 0; k < slow.nr && slow.list[k]->sector != 800; k++)
        continue;
    CU_ASSERT_TRUE(k <= 2 * 32);
    CU_ASSERT_TRUE(slow.most <= 256 + 1);
    while (slow.nr)
        slow_end(0);
    guest_end(flood);
    guest_end(g);
    end();
}

/* What is running has bounded memory, and what had to wait is done. */
static void test_data_at_the_disk_are_bounded(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/slow", "w");
    struct blkif_request_indirect i = { .operation = BLKIF_OP_INDIRECT,
                                        .indirect_op = BLKIF_OP_READ,
                                        .nr_segments = 64 };
    struct blkif_request r = { 0 };
    unsigned int nr = 0;

    guest_connect(g, 1, 3);
    i.indirect_grefs[0] = g->table_ref;
    for (unsigned int s = 0; s < 64; s++)
        ((struct blkif_request_segment *)g->table)[s] =
            (struct blkif_request_segment){ .gref = g->refs[s], .last_sect = 7 };
    memcpy(&r, &i, sizeof(i));
    for (int k = 0; k < 100; k++)
        put(g, &r);
    run_loop(loop);
    while (slow.nr) {
        CU_ASSERT_TRUE(slow.nr <= 17); /* of 256 KiB */
        slow_end(0);
    }
    while (answered(g, NULL) == 0)
        nr++;
    CU_ASSERT_EQUAL(nr, 100);
    guest_end(g);
    end();
}

/* Rings full of noise, by which nothing may be hurt but who makes it. */
static void test_noise(void)
{
    begin();
    struct guest *other = guest_of(6, "/dev/ram1");

    srand(1);
    for (int round = 0; round < 400; round++) {
        struct guest *g = guest_of(5, round & 1 ? "/dev/ram0" : "/dev/slow");

        slow.at_once = round & 2;
        for (int k = 0; k < 32; k++) {
            struct blkif_request r;

            for (size_t b = 0; b < sizeof(r); b++)
                ((uint8_t *)&r)[b] = (uint8_t)rand();
            if (k & 1) { /* not all of it: it gets further */
                r.operation %= 7;
                r.nr_segments %= 13;
                r.sector_number %= SECTORS + 20;
                for (int s = 0; s < 11; s++) {
                    r.seg[s].gref %= DATA_PAGES + 100;
                    r.seg[s].last_sect %= 10;
                    r.seg[s].first_sect %= 4;
                }
            }
            ring_front_put(&g->queues[0].ring, &r);
        }
        for (int b = 0; b < PAGE; b++)
            g->table[b] = (uint8_t)rand();
        ring_front_push(&g->queues[0].ring);
        if (round % 5 == 0)
            *(volatile uint32_t *)g->queues[0].pages = (uint32_t)rand();
        peer_notify(g->queues[0].port);
        run_loop(loop);
        while (slow.nr)
            slow_end((unsigned int)rand() % slow.nr);
        if (round % 100 == 0)
            check_other(other);
        guest_end(g);
        if (round % 20 == 19) { /* refs are counted up */
            guest_end(other);
            end();
            begin();
            other = guest_of(6, "/dev/ram1");
        }
    }
    guest_end(other);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("blkback", NULL, NULL);
    CU_add_test(s, "data come and go", test_data_come_and_go);
    CU_add_test(s, "parts of pages", test_parts_of_pages);
    CU_add_test(s, "several queues", test_several_queues_of_several_pages);
    CU_add_test(s, "ring order", test_answers_are_in_ring_order);
    CU_add_test(s, "little at a time", test_a_disk_that_takes_little_at_a_time);
    CU_add_test(s, "flush, discard, errors", test_flush_discard_and_errors_of_the_disk);
    CU_add_test(s, "4k sectors", test_4k_sectors);
    CU_add_test(s, "a disk grows", test_a_disk_grows_under_a_guest);
    CU_add_test(s, "disks that cannot be had", test_disks_that_cannot_be_had);
    CU_add_test(s, "started again", test_the_backend_is_started_again);
    CU_add_test(s, "senseless requests", test_requests_that_make_no_sense);
    CU_add_test(s, "ids twice", test_ids_twice_are_the_guests_own);
    CU_add_test(s, "impossible indices", test_indices_that_are_impossible);
    CU_add_test(s, "grants revoked", test_grants_revoked_while_the_disk_works);
    CU_add_test(s, "states in the middle", test_states_that_change_in_the_middle);
    CU_add_test(s, "choices", test_choices_that_cannot_be);
    CU_add_test(s, "a flood", test_a_flood_is_served_by_turns);
    CU_add_test(s, "bounded", test_data_at_the_disk_are_bounded);
    CU_add_test(s, "noise", test_noise);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
