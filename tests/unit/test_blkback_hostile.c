/*
 * The block backend (backends/block) and the enemy: impossible indices, grants that are bad, foreign or revoked,
 * segments over every edge, states that change in the middle, and rings full of noise.
 */
#include "blkback_guest.h"
#include "blkback_internal.h"

/* Not inlined: gcc would follow each field of all these requests, for minutes. */
static __attribute__((noinline)) void good_request(struct guest *g, struct blkif_request *r)
{
    *r = request(g, BLKIF_OP_READ, 8, 1);
}

static __attribute__((noinline)) void check_answer(struct guest *g, const char *what, int wanted,
                                                   const struct blkif_request *r)
{
    int status = ask(g, r);

    if (status != wanted)
        fprintf(stderr, "%s: %d\n", what, status);
    CU_ASSERT_EQUAL(status, wanted);
}

static void test_requests_that_make_no_sense(void)
{
    begin();
    struct blkif_request r;
    struct guest *other = guest_of(6, "/dev/ram1"), *g = guest_of(5, "/dev/ram0");
    uint32_t read_only = grant_page(5, g->data, false), foreign = other->refs[0];
    uint32_t revoked = grant_page(5, g->data, true);

    grant_revoke(revoked);
#define CASE(text, wanted, change)         \
    do {                                   \
        good_request(g, &r);               \
        change;                            \
        check_answer(g, text, wanted, &r); \
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

/* ---- a queue that always has another request ---- */

static struct guest *endless;
static struct plat_wake others;
static unsigned int nr_endless, nr_before_others;

static void put_another(void)
{
    struct blkif_request r = request(endless, BLKIF_OP_READ, 0, 1);

    if (++nr_endless == 1)
        plat_wake(&others);
    answered(endless, NULL);
    if (nr_endless < 1000)
        put(endless, &r);
}

static void others_turn(void *arg) { nr_before_others = nr_endless; }

static struct queue *queue_of(const struct guest *g, unsigned int i)
{
    for (unsigned int n = 0;; n++) {
        struct xenbus_device *d = xenbus_nth(backend->bus, n);

        if (d->other == g->domain)
            return &((struct device *)d->data)->queues[i];
    }
}

/* The last of those that wait goes with its device, by the turn of another one's: it is not waited for. */
static void test_the_last_is_taken_out(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/slow", "r");
    struct blkif_request r;

    endless = guest_new(6, "/dev/slow", "r");
    nr_endless = nr_before_others = 0;
    guest_connect(g, 2, 0);
    guest_connect(endless, 1, 0);
    others = (struct plat_wake){ .fn = others_turn };
    plat_wake_add(loop, &others);
    r = request(g, BLKIF_OP_READ, 0, 1);
    put(g, &r);
    run_loop(loop);
    number(g, g->front, "state", 6);
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 1); /* what it has to wait for */
    slow.nr = 0;
    slow_do(slow.list[0]);
    slow.at_once = true;
    r = request(endless, BLKIF_OP_READ, 0, 1);
    put(endless, &r);
    queue_wake(queue_of(endless, 0));
    queue_wake(queue_of(g, 1));
    slow.also = put_another;
    run_loop(loop);
    slow.also = NULL;
    CU_ASSERT_EQUAL(state_of(g->back), 6);
    CU_ASSERT_EQUAL(nr_endless, 1000);
    CU_ASSERT_TRUE(nr_before_others && nr_before_others < 10);
    plat_wake_remove(&others);
    guest_end(g);
    guest_end(endless);
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

/* A disk may be others', too: what has no data is not begun without end. */
static void test_flushes_at_the_disk_are_bounded(void)
{
    begin();
    struct guest *g = guest_new(5, "/dev/slow", "w");
    struct blkif_request r = request(g, BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
    unsigned int nr = 0;

    guest_connect(g, 1, 3);
    for (int k = 0; k < 200; k++)
        put(g, &r);
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 16);
    while (slow.nr) {
        CU_ASSERT_TRUE(slow.nr <= 16);
        slow_end(0);
    }
    while (answered(g, NULL) == 0)
        nr++;
    CU_ASSERT_EQUAL(nr, 200);
    guest_end(g);
    end();
}

/* It goes to the disk in parts, one after the other, and nothing else waits for it. */
static void test_a_discard_of_all(void)
{
    enum { GIB = 1 << 21, ALL = 4 * GIB + 8 };

    begin();
    slow.disk.nr_sectors = ALL;
    struct guest *g = guest_of(5, "/dev/slow");
    struct blkif_request_discard d = { .operation = BLKIF_OP_DISCARD, .nr_sectors = ALL };
    struct blkif_request r = { 0 }, read = request(g, BLKIF_OP_READ, 8, 1);
    struct disk_request *part;

    memcpy(&r, &d, sizeof(d));
    put(g, &r);
    run_loop(loop);
    put(g, &read);
    run_loop(loop);
    CU_ASSERT_EQUAL_FATAL(slow.nr, 2);
    part = slow.list[0];
    slow_end(1);
    for (uint64_t at = 0; at < ALL; at += GIB) {
        CU_ASSERT_EQUAL_FATAL(slow.nr, 1);
        CU_ASSERT_EQUAL(part->sector, at);
        CU_ASSERT_EQUAL(part->nr_sectors, at + GIB < ALL ? GIB : 8);
        CU_ASSERT_EQUAL(answered(g, NULL), 99);
        slow.nr = 0;
        part->done(part, 0);
        run_loop(loop);
    }
    CU_ASSERT_EQUAL(slow.nr, 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    CU_ASSERT_EQUAL(answered(g, NULL), 0);
    put(g, &r); /* one that fails in the middle goes no further */
    run_loop(loop);
    part = slow.list[0];
    slow.nr = 0;
    part->done(part, EIO);
    run_loop(loop);
    CU_ASSERT_EQUAL(slow.nr, 0);
    CU_ASSERT_EQUAL(answered(g, NULL), BLKIF_RSP_ERROR);
    slow.disk.nr_sectors = SECTORS;
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
    CU_pSuite s = CU_add_suite("blkback_hostile", NULL, NULL);
    CU_add_test(s, "senseless requests", test_requests_that_make_no_sense);
    CU_add_test(s, "ids twice", test_ids_twice_are_the_guests_own);
    CU_add_test(s, "impossible indices", test_indices_that_are_impossible);
    CU_add_test(s, "grants revoked", test_grants_revoked_while_the_disk_works);
    CU_add_test(s, "states in the middle", test_states_that_change_in_the_middle);
    CU_add_test(s, "choices", test_choices_that_cannot_be);
    CU_add_test(s, "a flood", test_a_flood_is_served_by_turns);
    CU_add_test(s, "the last is taken out", test_the_last_is_taken_out);
    CU_add_test(s, "bounded", test_data_at_the_disk_are_bounded);
    CU_add_test(s, "flushes are bounded", test_flushes_at_the_disk_are_bounded);
    CU_add_test(s, "a discard of all", test_a_discard_of_all);
    CU_add_test(s, "noise", test_noise);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
