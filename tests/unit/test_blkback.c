/* The block backend (backends/block) with honest guests, and disks of all kinds. */
#include "blkback_guest.h"
#include "steps.h"

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

/* The guest that runs is told: it looks again when the state is written, the same one. */
static void resize(struct guest *g, uint64_t nr_sectors, const char *says)
{
    slow.disk.nr_sectors = nr_sectors;
    slow.disk.changed(slow.disk.arg);
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(back_node(g, "sectors"), says);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
}

static void test_a_disk_grows_under_a_guest(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");

    slow.at_once = true;
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 8, 1), 0);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS, 1), BLKIF_RSP_ERROR);
    resize(g, SECTORS - 8, "2040");
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 8, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, SECTORS - 16, 1), 0);
    resize(g, SECTORS, "2048");
    fill(g, 1, 6);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, SECTORS - 8, 1), 0);
    CU_ASSERT_TRUE(is_filled(slow.bytes + (SECTORS - 8) * 512, PAGE, 6));
    guest_end(g);
    end();
}

/* Before a guest is there, and after: it finds the size that the disk has then. */
static void test_a_disk_changes_without_a_guest(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/slow", "w");

    slow.disk.nr_sectors = SECTORS - 16;
    slow.disk.changed(slow.disk.arg);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 2);
    CU_ASSERT_STRING_EQUAL(back_node(g, "sectors"), "2032");
    guest_end(g);
    slow.disk.nr_sectors = SECTORS;
    slow.disk.changed(slow.disk.arg); /* nobody has it */
    g = guest_of(5, "/dev/slow");
    CU_ASSERT_STRING_EQUAL(back_node(g, "sectors"), "2048");
    guest_end(g);
    end();
}

/* A guest may say that it has gone before what it has put into the ring was seen: it waits for that. */
static void test_what_was_there_when_the_guest_left(void)
{
    enum { NR = 40 }; /* more than a turn takes */

    for (int on_slow = 0; on_slow < 2; on_slow++) {
        begin();
        struct guest *g = guest_new(5, on_slow ? "/dev/slow" : "/dev/ram0", "w");

        guest_connect(g, 1, 1);
        for (unsigned int i = 0; i < NR; i++) {
            struct blkif_request r = request(g, BLKIF_OP_WRITE, 8 * i, 1);

            ring_front_put(&g->queues[0].ring, &r);
        }
        ring_front_push(&g->queues[0].ring);
        number(g, g->front, "state", 6); /* and its event is not there yet */
        run_loop(loop);
        while (slow.nr) {
            CU_ASSERT_NOT_EQUAL(state_of(g->back), 6);
            slow_end(0);
        }
        for (unsigned int i = 0; i < NR; i++)
            CU_ASSERT_EQUAL(answered(g, NULL), 0);
        CU_ASSERT_EQUAL(answered(g, NULL), 99);
        CU_ASSERT_EQUAL(state_of(g->back), 6);
        guest_end(g);
        end();
    }
}

static void stop(void *arg) { plat_loop_stop(loop); }

/* run_loop() goes on as long as time brings anything; this one is over soon. */
static void run_shortly(void)
{
    static struct plat_timer timer = { .fn = stop };

    plat_timer_set(loop, &timer, plat_now() + 5000);
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
}

/* A vCPU of its was interrupted when it was about to ask. */
static void test_who_asks_when_the_guest_has_left(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request r = request(g, BLKIF_OP_WRITE, 0, 1);

    number(g, g->front, "state", 6);
    run_shortly();
    put(g, &r);
    run_loop(loop);
    CU_ASSERT_NOT_EQUAL(state_of(g->back), 6);
    CU_ASSERT_EQUAL_FATAL(slow.nr, 1);
    slow_end(0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    guest_end(g);
    end();
}

static struct guest *more_of;

/* One that never ends to put more in has only what was there. */
static void put_more(void)
{
    struct blkif_request r = request(more_of, BLKIF_OP_WRITE, 0, 1);

    ring_front_put(&more_of->queues[0].ring, &r);
    ring_front_push(&more_of->queues[0].ring);
}

static void test_more_than_was_there(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");

    more_of = g;
    put_more();
    slow.also = put_more;
    number(g, g->front, "state", 6);
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 2); /* one more was there at the last look */
    slow_end(0);
    slow_end(0);
    CU_ASSERT_EQUAL(slow.nr, 0);
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    slow.also = NULL;
    guest_end(g);
    end();
}

/* What is refused is told from what the disk could not do; what runs is told as well. */
static void test_statistics(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request_discard d = { .operation = BLKIF_OP_DISCARD,
                                       .sector_number = 8,
                                       .nr_sectors = 8 };
    struct blkif_request r = { 0 };

    slow.at_once = true;
    memcpy(&r, &d, sizeof(d));
    ask(g, &r);
    ask_op(g, BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
    ask_op(g, BLKIF_OP_READ, SECTORS, 1);
    ask_op(g, BLKIF_OP_WRITE_BARRIER, 0, 1);
    slow.error = EIO;
    ask_op(g, BLKIF_OP_READ, 0, 1);
    slow.error = 0;
    slow.at_once = false;
    for (unsigned int i = 0; i < 3; i++) {
        r = request(g, BLKIF_OP_WRITE, 8 * i, 1);
        put(g, &r);
    }
    run_loop(loop);
    slow_end(0);
    node(g, g->back, "statistics", "?");
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(back_node(g, "statistics"),
                           "reads=0 read-sectors=0 writes=1 written-sectors=8 flushes=1 "
                           "discards=1 refused=2 failed=1 running=2");
    node(g, g->back, "statistics", "reset"); /* nothing that is known: it stays */
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(back_node(g, "statistics"), "reset");
    slow_end(0);
    slow_end(0);
    guest_end(g);
    end();
}

static void test_what_is_read_only(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/slow", "r");
    struct blkif_request_discard d = { .operation = BLKIF_OP_DISCARD,
                                       .sector_number = 8,
                                       .nr_sectors = 8 };
    struct blkif_request r = { 0 };

    CU_ASSERT_STRING_EQUAL(back_node(g, "info"), "4");
    guest_connect(g, 1, 0);
    slow.at_once = true;
    memset(slow.bytes, 0x11, DISK_BYTES);
    memcpy(&r, &d, sizeof(d));
    CU_ASSERT_EQUAL(ask(g, &r), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 0, 1), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_WRITE, 0, 20), BLKIF_RSP_ERROR);
    CU_ASSERT_EQUAL(ask_indirect(g, BLKIF_OP_READ, 0, 20), 0);
    for (unsigned int i = 0; i < DISK_BYTES; i++)
        CU_ASSERT_EQUAL_FATAL(slow.bytes[i], 0x11);
    guest_end(g);
    slow.disk.read_only = true; /* and the disk itself */
    g = guest_new(5, "/dev/slow", "w");
    CU_ASSERT_STRING_EQUAL(back_node(g, "hotplug-error"), "/dev/slow: Read-only file system");
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
/* The store is killed, and started again: what could not be read then is not what the toolstack or the guest has said. */
static void test_any_request_of_the_store_may_fail(void)
{
    unsigned int n = 0;

    for (bool failed = true; failed;) {
        begin();
        store_fail_at(++n);
        struct guest *g = guest_of(5, "/dev/ram0");
        struct blkif_request r = request(g, BLKIF_OP_WRITE, 0, 1);

        failed = store_failed();
        store_fail_at(0);
        CU_ASSERT_EQUAL(state_of(g->back), 4);
        CU_ASSERT_PTR_NULL(back_node(g, "hotplug-error"));
        if (state_of(g->back) == 4)
            CU_ASSERT_EQUAL(ask(g, &r), 0);
        guest_end(g);
        end();
    }
    CU_ASSERT_TRUE(n > 30);
}

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
    backend = blkback_start(loop, disks, "vbd");
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

/* A life of the backend with other disks' contents ends, and the next begins. */
static void start_again(void)
{
    blkback_stop(backend);
    disks_free(disks);
    backend_start();
}

/* An ext4, as far as anybody looks. */
static void put_label(const char *label)
{
    memcpy(ram->memory + 1024 + 56, "\x53\xef", 2);
    snprintf((char *)ram->memory + 1024 + 120, 16, "%s", label);
}

/* A toolstack may be faster than the backend, which hears of both at once: what one has had the next one can have. */
static void test_a_disk_goes_from_one_to_the_next(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/ram0"), *next;

    number(g, g->front, "state", 6);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    store_remove(g->back);
    next = guest_new(6, "/dev/ram0", "w");
    CU_ASSERT_EQUAL(state_of(next->back), 2);
    CU_ASSERT_PTR_NULL(back_node(next, "hotplug-error"));
    guest_free(g);
    guest_end(next);
    end();
}

/* A guest's disk by its label: the guest gives it another one, which is no reason to lose it. */
static void test_a_disk_by_a_label_that_changes(void)
{
    begin();
    put_label("root");
    start_again();
    struct guest *g = guest_of(5, "/dev/disk/by-label/root"), *other;

    CU_ASSERT_STRING_EQUAL(back_node(g, "disk-name"), "/dev/ram0");
    put_label("other");
    start_again();
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    fill(g, 1, 4);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 80, 1), 0);
    CU_ASSERT_TRUE(is_filled(ram->memory + 80 * 512, PAGE, 4));
    other = guest_new(6, "/dev/disk/by-label/root", "w");
    CU_ASSERT_STRING_EQUAL(back_node(other, "hotplug-error"),
                           "/dev/disk/by-label/root: No such file or directory");
    guest_end(other);
    guest_end(g);
    g = guest_of(5, "/dev/ram0");
    CU_ASSERT_PTR_NULL(back_node(g, "disk-name"));
    guest_end(g);
    end();
}

static struct guest *killed;

static void serve_killed(void)
{
    if (killed->queues[0].port)
        peer_notify(killed->queues[0].port);
    run_loop(loop);
}

/*
 * It is killed at any instruction while it serves three reads, whose ids would be a write each if the answer were
 * taken for a request: each is answered once, and nothing is written.
 */
static void test_the_backend_is_killed_while_it_answers(void)
{
    enum { STATES = 200, NR = 3 };
    static uint8_t states[STATES][PAGE], before[DISK_BYTES];
    unsigned int nr;

    begin();
    struct guest *g = killed = guest_of(5, "/dev/ram0");
    struct ring_front front;

    for (unsigned int i = 0; i < DISK_BYTES; i++)
        ram->memory[i] = (uint8_t)(i / 512);
    memcpy(before, ram->memory, DISK_BYTES);
    for (unsigned int i = 0; i < NR; i++) {
        struct blkif_request r = request(g, BLKIF_OP_READ, 80 + i, 1);

        r.id = BLKIF_OP_WRITE | 1u << 8 | (uint64_t)i << 48;
        ring_front_put(&g->queues[0].ring, &r);
    }
    ring_front_push(&g->queues[0].ring);
    front = g->queues[0].ring;
    nr = steps_run(serve_killed, g->queues[0].pages, PAGE, states[0], STATES);
    CU_ASSERT_TRUE(nr > 4 * NR && nr < STATES);
    blkback_stop(backend);
    for (unsigned int i = 0; i < nr; i++) {
        memcpy(g->queues[0].pages, states[i], PAGE);
        g->queues[0].ring = front;
        backend = blkback_start(loop, disks, backend_class);
        run_loop(loop);
        for (unsigned int k = 0; k < NR; k++) {
            struct blkif_response rsp = { .id = 0 };

            CU_ASSERT_EQUAL(answered(g, &rsp), BLKIF_RSP_OKAY);
            CU_ASSERT_TRUE(rsp.operation == BLKIF_OP_READ && rsp.id >> 48 == k);
        }
        CU_ASSERT_EQUAL(answered(g, NULL), 99);
        CU_ASSERT_EQUAL(memcmp(before, ram->memory, DISK_BYTES), 0);
        blkback_stop(backend);
    }
    backend = blkback_start(loop, disks, backend_class);
    run_loop(loop);
    guest_end(g);
    end();
}

/* backendtype=qdisk: QEMU's folder, beside Linux's backend, which has the other one. */
static void test_the_class_of_programs(void)
{
    backend_class = "qdisk";
    begin();
    struct guest *g = guest_of(5, "aio:/dev/ram0"), *other;

    fill(g, 1, 3);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_WRITE, 0, 1), 0);
    CU_ASSERT_TRUE(is_filled(ram->memory, PAGE, 3));
    guest_end(g);
    other = guest_new(6, "qcow2:/dev/ram0", "w");
    CU_ASSERT_EQUAL(state_of(other->back), 6);
    guest_end(other);
    backend_class = "vbd"; /* not this backend's */
    other = guest_new(7, "/dev/ram0", "w");
    CU_ASSERT_EQUAL(state_of(other->back), 1);
    number(other, other->back, "state", 6);
    guest_end(other);
    end();
}

/* libxl has a script run, which wants that nobody is connected before it is done; the guest may be faster. */
static void test_a_script_is_waited_for(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/ram0", "w");

    store_remove(g->back);
    run_loop(loop);
    node(g, g->back, "frontend", g->front);
    number(g, g->back, "frontend-id", 5);
    node(g, g->back, "params", "/dev/ram0");
    node(g, g->back, "mode", "w");
    node(g, g->back, "script", "/etc/xen/scripts/block");
    number(g, g->back, "online", 1);
    number(g, g->back, "state", 1);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 2);
    CU_ASSERT_PTR_NULL(back_node(g, "hotplug-status"));
    guest_connect(g, 1, 0);
    node(g, g->back, "physical-device", "7:0");
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 2);
    CU_ASSERT_EQUAL(grants_mapped(), 0);
    start_again(); /* it is waited for by the backend's next life, too */
    CU_ASSERT_EQUAL(state_of(g->back), 2);
    node(g, g->back, "hotplug-status", "connected");
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 0, 1), 0);
    start_again();
    CU_ASSERT_EQUAL(state_of(g->back), 4);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 0, 1), 0);
    guest_end(g);
    end();
}

/* ---- requests that come together: as Linux's blkfront, which sends an event with the first ---- */

static struct guest *talker;
static unsigned int still, events;

/* Whether with an event. */
static bool say(void)
{
    struct blkif_request r = request(talker, BLKIF_OP_READ, still, 1);
    struct guest_queue *q = &talker->queues[0];

    still--;
    ring_front_put(&q->ring, &r);
    if (!ring_front_push(&q->ring))
        return false;
    events++;
    peer_notify(q->port);
    return true;
}

static void say_the_rest(void)
{
    while (still)
        say();
    fake_advance(20000);
}

/* It is interrupted by the backend as soon as that has an event. Returns how many events there were. */
static unsigned int say_all(unsigned int nr)
{
    events = 0;
    for (still = nr; still;) {
        bool event = say();

        fake_advance(1000);
        if (event)
            run_shortly();
    }
    for (unsigned int i = 0; i < nr; i++)
        CU_ASSERT_EQUAL(answered(talker, NULL), 0);
    CU_ASSERT_EQUAL(answered(talker, NULL), 99);
    CU_ASSERT_EQUAL(ring_front_rest(&talker->queues[0].ring), 0);
    return events;
}

/* The event that the backend asks for comes with so many requests. */
static uint32_t asked(void)
{
    const uint32_t *words = (const uint32_t *)talker->queues[0].pages;

    return words[1] - words[0];
}

static void test_requests_that_come_together(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/ram0");
    unsigned int rounds = 0;
    uint64_t before;

    talker = g;
    fake_yields_to(say_the_rest);
    while (asked() != 8 && rounds++ < 100)
        say_all(8);
    CU_ASSERT_TRUE(rounds < 100);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(say_all(8), 1);
        CU_ASSERT_EQUAL(asked(), 8);
    }
    for (still = 3; still;) /* fewer: served when it is late */
        say();
    before = plat_now();
    run_loop(loop);
    CU_ASSERT_TRUE(plat_now() > before && plat_now() - before <= 1000000);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(asked(), 1);
    for (int i = 0; i < 10; i++) { /* and not waited for again for a while */
        say_all(8);
        CU_ASSERT_EQUAL(asked(), 1);
    }
    for (rounds = 0; asked() != 8 && rounds < 100; rounds++)
        say_all(8);
    CU_ASSERT_EQUAL(asked(), 8);
    run_loop(loop); /* it has nothing more to say: the next one is not kept waiting */
    CU_ASSERT_EQUAL(asked(), 1);
    CU_ASSERT_EQUAL(ask_op(g, BLKIF_OP_READ, 0, 1), 0);
    fake_yields_to(NULL);
    guest_end(g);
    end();
}

/* On another CPU nothing happens while the backend lets others run: it is never waited for. */
static void test_requests_from_another_cpu(void)
{
    begin();
    talker = guest_of(5, "/dev/ram0");
    for (int i = 0; i < 100; i++) {
        say_all(8);
        CU_ASSERT_EQUAL(asked(), 1);
    }
    guest_end(talker);
    end();
}

/* ---- no memory ---- */

static bool no_memory;
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
    return no_memory && bytes >= PAGE ? NULL : __real_malloc(bytes);
}

/* One request at a time has the reserve, and nothing is refused. */
static void test_without_memory_it_is_slow(void)
{
    begin();
    struct guest *g = guest_of(5, "/dev/slow");
    unsigned int answers = 0, most = 0;

    no_memory = true;
    for (unsigned int i = 0; i < 8; i++) {
        struct blkif_request r = request(g, i % 2 ? BLKIF_OP_WRITE : BLKIF_OP_READ, i * 8, 1 + i);

        put(g, &r);
    }
    for (int i = 0; i < 1000 && answers < 8; i++) {
        run_shortly();
        fake_advance(5000000);
        most = slow.nr > most ? slow.nr : most;
        if (slow.nr)
            slow_do(slow.list[--slow.nr]);
        for (int status; (status = answered(g, NULL)) != 99; answers++)
            CU_ASSERT_EQUAL(status, 0);
    }
    CU_ASSERT_EQUAL(answers, 8);
    CU_ASSERT_EQUAL(most, 1);
    no_memory = false;
    guest_end(g);
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
    CU_add_test(s, "a disk changes", test_a_disk_changes_without_a_guest);
    CU_add_test(s, "a guest that left", test_what_was_there_when_the_guest_left);
    CU_add_test(s, "who asks late", test_who_asks_when_the_guest_has_left);
    CU_add_test(s, "more than was there", test_more_than_was_there);
    CU_add_test(s, "statistics", test_statistics);
    CU_add_test(s, "read-only", test_what_is_read_only);
    CU_add_test(s, "disks that cannot be had", test_disks_that_cannot_be_had);
    CU_add_test(s, "qdisk", test_the_class_of_programs);
    CU_add_test(s, "a script", test_a_script_is_waited_for);
    CU_add_test(s, "started again", test_the_backend_is_started_again);
    CU_add_test(s, "from one to the next", test_a_disk_goes_from_one_to_the_next);
    CU_add_test(s, "any request of the store may fail", test_any_request_of_the_store_may_fail);
    CU_add_test(s, "a label that changes", test_a_disk_by_a_label_that_changes);
    CU_add_test(s, "come together", test_requests_that_come_together);
    CU_add_test(s, "another CPU", test_requests_from_another_cpu);
    CU_add_test(s, "no memory", test_without_memory_it_is_slow);
    CU_add_test(s, "killed while it answers", test_the_backend_is_killed_while_it_answers);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
