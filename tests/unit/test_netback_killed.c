/* The network backend (backends/network/netback*.c) is killed at any instruction while it gives a guest a frame of several slots. */
#include "netback_guest.h"
#include "steps.h"

enum { STATES = 200, OFFERED = 40, SLOTS_OF_ONE = 3 };
static uint8_t states[STATES][PAGE], again[STATES][PAGE];

static void serve(void)
{
    peer_notify(guests[0].queues[0].tx_port);
    peer_notify(guests[1].queues[0].rx_port);
    run_loop(loop);
}

static void start(void)
{
    backend = netback_start(loop, &(struct netback_options){ .queues = QUEUES });
    run_loop(loop);
}

/* Two pieces and an extra info between them, or three pieces. */
static struct made put_large(bool gso)
{
    struct made m = from_to(0, 1, gso ? IP_TCP : IP_UDP, gso ? 5000 : 9000);

    put_frame(&guests[0], m.f, PAGE, gso ? NETTXF_csum_blank : NETTXF_data_validated,
              gso ? 1448 : 0);
    ring_front_push(&guests[0].queues[0].tx);
    return m;
}

static uint32_t shown_in(const uint8_t *state)
{
    uint32_t rsp_prod;

    memcpy(&rsp_prod, state + 4 * RING_RSP_PROD, sizeof(rsp_prod));
    return rsp_prod;
}

static void set_offered(uint8_t *page, uint32_t req_prod)
{
    memcpy(page + 4 * RING_REQ_PROD, &req_prod, sizeof(req_prod));
}

/* Every state that the page has had since it gave the frame, which arrives. */
static unsigned int record(bool gso)
{
    struct made m;
    unsigned int nr;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    offer(&guests[1], 0, OFFERED);
    m = put_large(gso);
    nr = steps_run(serve, guests[1].queues[0].rx_page, PAGE, states[0], STATES);
    CU_ASSERT_TRUE_FATAL(nr > 3 * SLOTS_OF_ONE && nr < STATES);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).error, 0);
    CU_ASSERT_EQUAL(shown_in(states[nr - 1]), SLOTS_OF_ONE);
    frame_put(m.f);
    netback_stop(backend);
    return nr;
}

static void test_all_slots_of_a_frame_are_shown_together(void)
{
    for (int gso = 0; gso < 2; gso++) {
        unsigned int nr = record(gso), nr_shown = 0;

        for (unsigned int i = 0; i < nr; i++) {
            uint32_t shown = shown_in(states[i]);

            CU_ASSERT_TRUE(shown == 0 || shown == SLOTS_OF_ONE);
            nr_shown += shown != 0;
        }
        CU_ASSERT_TRUE(nr_shown > 0 && nr_shown < nr);
        start();
        end();
    }
}

/* What there is of the frame is as it was; what ends it; and the next frame is whole. Returns how many slots ended it. */
static unsigned int go_on(const struct ring_front *front, const uint8_t *whole, bool gso)
{
    struct guest *g = &guests[1];
    struct ring_front *rx = &g->queues[0].rx;
    const uint8_t *at = whole + (rx->ring.entries - g->queues[0].rx_page);
    struct netif_rx_response r;
    unsigned int errors = 0, part = 0;
    struct made m;

    *rx = *front;
    for (int left = ring_front_look(rx); left > 0; left--) {
        ring_front_take(rx, &r);
        if (part < SLOTS_OF_ONE && !errors && memcmp(&r, at + part * sizeof(r), sizeof(r)) == 0) {
            part++;
            continue;
        }
        CU_ASSERT_TRUE(r.id == part + errors && r.status == NETIF_RSP_ERROR && r.flags == 0);
        errors++;
    }
    CU_ASSERT_EQUAL(errors != 0, part != 0 && part != SLOTS_OF_ONE);
    m = put_large(gso);
    serve();
    CU_ASSERT_EQUAL(take_answers(&guests[0]).error, 0);
    CU_ASSERT_TRUE(take_frame(g, 0, &got) && !got.error && got.slots == SLOTS_OF_ONE);
    if (gso) /* a sum that the guest makes */
        put16(got.data + m.l4 + 16, 0);
    CU_ASSERT_TRUE(got.bytes == m.f->bytes && memcmp(got.data, m.f->data, got.bytes) == 0);
    CU_ASSERT_FALSE(take_frame(g, 0, &got));
    frame_put(m.f);
    return errors;
}

static void test_a_frame_that_was_begun_is_ended_by_errors(void)
{
    for (int gso = 0; gso < 2; gso++) {
        unsigned int nr = record(gso), nr_cut = 0;
        struct ring_front front = guests[1].queues[0].rx;

        for (unsigned int i = 0; i < nr; i++) {
            unsigned int errors;

            memcpy(guests[1].queues[0].rx_page, states[i], PAGE);
            start();
            errors = go_on(&front, states[nr - 1], gso);
            CU_ASSERT_TRUE(errors == 0 || errors == 2);
            nr_cut += errors != 0;
            netback_stop(backend);
        }
        CU_ASSERT_TRUE(nr_cut >= 3 * (SLOTS_OF_ONE - 1));
        start();
        end();
    }
}

/* So it is when the next one is killed while it does that: the first of two errors may be taken for an extra info. */
static void test_the_next_is_killed_as_well(void)
{
    unsigned int nr = record(true), nr_again, nr_more = 0, cut = 0;
    uint8_t *page = guests[1].queues[0].rx_page;
    struct ring_front front = guests[1].queues[0].rx;
    struct ring_back b;

    for (uint32_t shown = 0; shown != 1 && cut < nr; cut++) { /* its first slot alone is written */
        memcpy(page, states[cut], PAGE);
        CU_ASSERT_EQUAL(ring_back_init(&b, page, 1, 8, 8), 0);
        ring_back_free(&b);
        shown = shown_in(page);
    }
    set_offered(page, 2); /* there is no room for two */
    start();
    CU_ASSERT_EQUAL(shown_in(page), 1);
    set_offered(page, OFFERED);
    nr_again = steps_run(serve, page, PAGE, again[0], STATES);
    CU_ASSERT_TRUE(nr_again > 6 && nr_again < STATES);
    netback_stop(backend);
    for (unsigned int i = 0; i < nr_again; i++) {
        unsigned int errors;

        memcpy(page, again[i], PAGE);
        start();
        errors = go_on(&front, states[nr - 1], true);
        CU_ASSERT_TRUE(errors == 2 || errors == 3);
        nr_more += errors == 3;
        netback_stop(backend);
    }
    CU_ASSERT_TRUE(nr_more > 0);
    start();
    end();
}

static const CU_TestInfo tests[] = {
    { "all slots of a frame are shown together", test_all_slots_of_a_frame_are_shown_together },
    { "a frame that was begun is ended by errors", test_a_frame_that_was_begun_is_ended_by_errors },
    { "the next is killed as well", test_the_next_is_killed_as_well },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("netback, killed", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
