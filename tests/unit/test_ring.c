/* Both ends of a shared ring (xen-like/lib/ring.c), against each other and against an enemy. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>
#include <xen/io/netif.h>

#include "ring.h"
#include "steps.h"

struct request {
    uint32_t id, words[2];
};
struct response {
    uint32_t id;
};
enum { NR = 256 }; /* of 12 bytes in a page */

static _Alignas(4096) uint8_t pages[16 * RING_PAGE];
static struct ring_back back;
static struct ring_front front;

static uint32_t *word(int which) { return (uint32_t *)pages + which; }
enum { REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT };

/* All indices begin here, also shortly before they wrap. */
static void begin(uint32_t index)
{
    CU_ASSERT_EQUAL(ring_front_init(&front, pages, 1, 12, 4), 0);
    front.req_prod = front.pushed = front.rsp_prod = front.rsp_cons = index;
    *word(REQ_PROD) = *word(RSP_PROD) = index;
    *word(REQ_EVENT) = *word(RSP_EVENT) = index + 1;
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, 12, 4), 0);
}

static void end(void) { ring_back_free(&back); }

static void put(uint32_t id)
{
    struct request r = { id, { id ^ 1, id ^ 2 } };

    ring_front_put(&front, &r);
}

static uint32_t take(uint32_t id)
{
    struct request r;
    uint32_t slot = ring_back_take(&back, &r);

    CU_ASSERT_TRUE(r.id == id && r.words[0] == (id ^ 1) && r.words[1] == (id ^ 2));
    return slot;
}

static void answer(uint32_t slot, uint32_t id)
{
    struct response r = { id };

    ring_back_answer(&back, slot, &r);
}

static const uint32_t starts[] = { 0, 1, 0x7fffff80, 0xffffff80, 0xffffffff };
enum { NR_STARTS = sizeof(starts) / sizeof(starts[0]) };

static void test_sizes_are_those_of_the_abi(void)
{
    struct blkif_sring *s = (struct blkif_sring *)pages;
    struct netif_tx_sring *t = (struct netif_tx_sring *)pages;
    struct netif_rx_sring *r = (struct netif_rx_sring *)pages;

    CU_ASSERT_EQUAL(ring_entries(1, sizeof(struct blkif_request), sizeof(struct blkif_response)),
                    __RING_SIZE(s, 4096));
    CU_ASSERT_EQUAL(ring_entries(16, sizeof(struct blkif_request), sizeof(struct blkif_response)),
                    __RING_SIZE(s, 65536));
    CU_ASSERT_EQUAL(ring_entries(1, sizeof(struct netif_tx_request),
                                 sizeof(struct netif_tx_response)),
                    __RING_SIZE(t, 4096));
    CU_ASSERT_EQUAL(ring_entries(1, sizeof(struct netif_rx_request),
                                 sizeof(struct netif_rx_response)),
                    __RING_SIZE(r, 4096));
}

static void test_sizes_that_no_ring_has(void)
{
    CU_ASSERT_EQUAL(ring_entries(0, 12, 4), 0);
    CU_ASSERT_EQUAL(ring_entries(3, 12, 4), 0);
    CU_ASSERT_EQUAL(ring_entries(32, 12, 4), 0);
    CU_ASSERT_EQUAL(ring_entries(1, 10, 4), 0);
    CU_ASSERT_EQUAL(ring_entries(1, 12, 0), 0);
    CU_ASSERT_EQUAL(ring_entries(1, 260, 4), 0);
    CU_ASSERT_EQUAL(ring_entries(1, 260, 256), 0);
    CU_ASSERT_EQUAL(ring_entries(1, 256, 36), 0);
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 3, 12, 4), -EINVAL);
    CU_ASSERT_EQUAL(ring_front_init(&front, pages, 0, 12, 4), -EINVAL);
}

static void test_requests_and_responses_arrive(void)
{
    for (int s = 0; s < NR_STARTS; s++) {
        begin(starts[s]);
        for (uint32_t id = 0; id < 3 * NR; id++) {
            struct response r;

            put(id);
            CU_ASSERT_TRUE(ring_front_push(&front));
            CU_ASSERT_EQUAL(ring_back_look(&back), 1);
            answer(take(id), id);
            CU_ASSERT_EQUAL(ring_back_rest(&back, 1), 0);
            CU_ASSERT_TRUE(ring_back_push(&back));
            CU_ASSERT_EQUAL(ring_front_look(&front), 1);
            ring_front_take(&front, &r);
            CU_ASSERT_EQUAL(r.id, id);
            CU_ASSERT_EQUAL(ring_front_rest(&front), 0);
        }
        end();
    }
}

static void test_the_ring_can_be_full_and_no_fuller(void)
{
    for (int s = 0; s < NR_STARTS; s++) {
        begin(starts[s]);
        for (uint32_t id = 0; id < NR; id++) {
            CU_ASSERT_EQUAL(ring_front_room(&front), NR - id);
            put(id);
        }
        CU_ASSERT_EQUAL(ring_front_room(&front), 0);
        ring_front_push(&front);
        CU_ASSERT_EQUAL(ring_back_look(&back), NR);
        for (uint32_t id = 0; id < NR; id++)
            take(id);
        CU_ASSERT_EQUAL(ring_back_inflight(&back), NR);
        CU_ASSERT_EQUAL(ring_back_look(&back), 0);
        *word(REQ_PROD) += 1; /* there is no room until something is answered */
        CU_ASSERT_EQUAL(ring_back_look(&back), -EPROTO);
        end();
    }
}

/* Answered 3, 1, 2, 0: nothing is shown before the first is, then all is. */
static void test_answers_are_in_the_order_of_the_ring(void)
{
    static const uint32_t order[] = { 3, 1, 2, 0 };
    struct response r;
    uint32_t slots[4];

    for (int s = 0; s < NR_STARTS; s++) {
        begin(starts[s]);
        for (uint32_t id = 0; id < 4; id++)
            put(id);
        ring_front_push(&front);
        CU_ASSERT_EQUAL(ring_back_look(&back), 4);
        for (uint32_t id = 0; id < 4; id++)
            slots[id] = take(id);
        for (int i = 0; i < 4; i++) {
            CU_ASSERT_FALSE(ring_back_push(&back));
            CU_ASSERT_EQUAL(ring_front_look(&front), 0);
            answer(slots[order[i]], order[i]);
        }
        CU_ASSERT_TRUE(ring_back_push(&back));
        CU_ASSERT_EQUAL(ring_back_inflight(&back), 0);
        CU_ASSERT_EQUAL(ring_front_look(&front), 4);
        for (uint32_t id = 0; id < 4; id++) {
            ring_front_take(&front, &r);
            CU_ASSERT_EQUAL(r.id, id);
        }
        end();
    }
}

/* Of 6, two were answered and two more are done but wait for the third: four are done again. */
static void test_a_backend_that_died_leaves_what_was_not_answered(void)
{
    for (int s = 0; s < NR_STARTS; s++) {
        uint32_t slots[6];

        begin(starts[s]);
        for (uint32_t id = 0; id < 6; id++)
            put(id);
        ring_front_push(&front);
        ring_back_look(&back);
        for (uint32_t id = 0; id < 6; id++)
            slots[id] = take(id);
        answer(slots[0], 0);
        answer(slots[1], 1);
        answer(slots[3], 3);
        answer(slots[4], 4);
        ring_back_push(&back);
        ring_back_free(&back);
        CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, 12, 4), 0);
        CU_ASSERT_EQUAL(ring_back_look(&back), 4);
        for (uint32_t id = 2; id < 6; id++)
            answer(take(id), id);
        ring_back_push(&back);
        CU_ASSERT_EQUAL(ring_front_look(&front), 6);
        end();
    }
}

static void test_events_are_sent_when_they_are_wanted(void)
{
    begin(0xfffffffe);
    put(1);
    CU_ASSERT_TRUE(ring_front_push(&front)); /* the other end has asked for the first */
    put(2);
    CU_ASSERT_FALSE(ring_front_push(&front)); /* it has not rested since */
    CU_ASSERT_FALSE(ring_front_push(&front)); /* nothing is new */
    CU_ASSERT_EQUAL(ring_back_rest(&back, 1), 2);
    answer(take(1), 1);
    answer(take(2), 2);
    CU_ASSERT_EQUAL(ring_back_rest(&back, 3), 0);
    put(3);
    put(4);
    CU_ASSERT_FALSE(ring_front_push(&front)); /* it wants three */
    put(5);
    CU_ASSERT_TRUE(ring_front_push(&front));
    CU_ASSERT_TRUE(ring_back_push(&back));
    CU_ASSERT_EQUAL(ring_back_look(&back), 3);
    answer(take(3), 3);
    CU_ASSERT_FALSE(ring_back_push(&back));
    CU_ASSERT_EQUAL(ring_front_rest(&front), 3);
    end();
}

/* What a hostile frontend may say, and at once what an honest one would not. */
static void test_indices_of_a_frontend_ahead_and_backwards(void)
{
    static const struct {
        uint32_t prod;
        int rc;
    } cases[] = { { NR, NR },
                  { NR + 1, -EPROTO },
                  { 0x7fffffff, -EPROTO },
                  { 0x80000000, -EPROTO },
                  { 0xffffffff, -EPROTO },
                  { 0, 0 } };

    for (int s = 0; s < NR_STARTS; s++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            begin(starts[s]);
            *word(REQ_PROD) = starts[s] + cases[i].prod;
            CU_ASSERT_EQUAL(ring_back_look(&back), cases[i].rc);
            end();
        }
    begin(0);
    for (uint32_t id = 0; id < 8; id++)
        put(id);
    ring_front_push(&front);
    CU_ASSERT_EQUAL(ring_back_look(&back), 8);
    for (uint32_t id = 0; id < 4; id++)
        take(id);
    *word(REQ_PROD) = 7; /* what was shown is withdrawn */
    CU_ASSERT_EQUAL(ring_back_look(&back), -EPROTO);
    *word(REQ_PROD) = 3; /* even what was taken */
    CU_ASSERT_EQUAL(ring_back_rest(&back, 1), -EPROTO);
    *word(REQ_PROD) = 8;
    *word(RSP_PROD) = 100; /* ours: nobody looks at it */
    CU_ASSERT_EQUAL(ring_back_look(&back), 4);
    end();
    *word(REQ_PROD) = 5 + NR + 1;
    *word(RSP_PROD) = 5;
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, 12, 4), -EPROTO);
}

static void test_indices_of_a_backend_ahead_and_backwards(void)
{
    struct response r;

    for (int s = 0; s < NR_STARTS; s++) {
        begin(starts[s]);
        for (uint32_t id = 0; id < 4; id++)
            put(id);
        ring_front_push(&front);
        put(4); /* not pushed: nobody can have answered it */
        *word(RSP_PROD) = starts[s] + 5;
        CU_ASSERT_EQUAL(ring_front_look(&front), -EPROTO);
        *word(RSP_PROD) = starts[s] - 1;
        CU_ASSERT_EQUAL(ring_front_look(&front), -EPROTO);
        *word(RSP_PROD) = starts[s] + 4;
        CU_ASSERT_EQUAL(ring_front_look(&front), 4);
        ring_front_take(&front, &r);
        *word(RSP_PROD) = starts[s] + 3;
        CU_ASSERT_EQUAL(ring_front_rest(&front), -EPROTO);
        *word(RSP_PROD) = starts[s];
        CU_ASSERT_EQUAL(ring_front_look(&front), -EPROTO);
        end();
    }
}

/* Whatever the events that the other end asks for: answers arrive, and nothing else is touched. */
static void test_any_event_index_does_no_harm(void)
{
    for (uint32_t event = 0; event < 32; event++) {
        begin(0);
        *word(RSP_EVENT) = *word(REQ_EVENT) = 1u << event;
        put(1);
        ring_front_push(&front);
        CU_ASSERT_EQUAL(ring_back_look(&back), 1);
        answer(take(1), 1);
        ring_back_push(&back);
        CU_ASSERT_EQUAL(ring_front_look(&front), 1);
        end();
    }
}

/* The ABI's own macros at the other end. */
static void test_a_frontend_of_the_abi_is_served(void)
{
    struct blkif_sring *s = (struct blkif_sring *)pages;
    struct blkif_front_ring f;
    struct blkif_request r;
    struct blkif_response rsp = { .operation = 1 };
    int notify, more;

    XEN_FRONT_RING_INIT(&f, s, 4 * RING_PAGE);
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 4, sizeof(r), sizeof(rsp)), 0);
    CU_ASSERT_EQUAL(f.nr_ents, 128);
    for (uint64_t id = 0; id < 1000; id++) {
        RING_GET_REQUEST(&f, f.req_prod_pvt)->id = id;
        RING_GET_REQUEST(&f, f.req_prod_pvt)->seg[10].last_sect = (uint8_t)id;
        f.req_prod_pvt++;
#define xen_wmb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
        RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&f, notify);
        CU_ASSERT_TRUE(notify);
        CU_ASSERT_EQUAL(ring_back_look(&back), 1);
        uint32_t slot = ring_back_take(&back, &r);
        CU_ASSERT_TRUE(r.id == id && r.seg[10].last_sect == (uint8_t)id);
        CU_ASSERT_EQUAL(ring_back_rest(&back, 1), 0);
        rsp.id = id;
        ring_back_answer(&back, slot, &rsp);
        CU_ASSERT_TRUE(ring_back_push(&back));
        CU_ASSERT_EQUAL(RING_GET_RESPONSE(&f, f.rsp_cons)->id, id);
        f.rsp_cons++;
        RING_FINAL_CHECK_FOR_RESPONSES(&f, more);
        CU_ASSERT_FALSE(more);
    }
    end();
}

/* ---- a backend that is killed in the middle of showing its answers ---- */

enum { STATES = 400, KILLED = 3 };
static uint8_t states[STATES][RING_PAGE];

/* Each, if it is taken for the head of a request, is another one that makes sense. */
static uint64_t treacherous(unsigned int i) { return BLKIF_OP_WRITE | 1u << 8 | (uint64_t)i << 48; }

static uint32_t slots[5];

/* 3 of them are done; the second one before the first, in the second way. */
static void show(bool second_first)
{
    for (unsigned int i = 0; i < KILLED; i++) {
        unsigned int which = second_first && i < 2 ? 1 - i : i;
        struct blkif_response rsp = { .id = treacherous(which),
                                      .operation = BLKIF_OP_READ,
                                      .status = (int16_t)(100 + which) };

        ring_back_answer(&back, slots[which], &rsp);
    }
    ring_back_push(&back);
}

static void show_in_order(void) { show(false); }
static void show_out_of_order(void) { show(true); }

/* 5 requests are taken. */
static void begin_killed(uint32_t index)
{
    struct blkif_response rsp = { .operation = BLKIF_OP_READ };
    struct blkif_request r = { .operation = BLKIF_OP_READ, .nr_segments = 1 };

    CU_ASSERT_EQUAL(ring_front_init(&front, pages, 1, sizeof(r), sizeof(rsp)), 0);
    front.req_prod = front.pushed = front.rsp_prod = front.rsp_cons = index;
    *word(REQ_PROD) = *word(RSP_PROD) = index;
    *word(RSP_EVENT) = index + 1;
    for (unsigned int i = 0; i < 5; i++) {
        r.id = treacherous(i);
        ring_front_put(&front, &r);
    }
    ring_front_push(&front);
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, sizeof(r), sizeof(rsp)), 0);
    CU_ASSERT_EQUAL(ring_back_look(&back), 5);
    for (unsigned int i = 0; i < 5; i++)
        slots[i] = ring_back_take(&back, &r);
}

/* The next backend: what it takes is what the guest has asked, and each is answered once, in order. */
static void go_on_from(const uint8_t *state)
{
    struct ring_front f = front;
    struct blkif_request r;
    struct blkif_response rsp = { .operation = BLKIF_OP_READ };
    int left;

    memcpy(pages, state, RING_PAGE);
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, sizeof(r), sizeof(rsp)), 0);
    left = ring_back_look(&back);
    CU_ASSERT_TRUE(left >= 5 - KILLED && left <= 5);
    for (unsigned int i = 5 - (unsigned int)left; i < 5; i++) {
        uint32_t slot = ring_back_take(&back, &r);

        CU_ASSERT_TRUE(r.operation == BLKIF_OP_READ && r.id == treacherous(i));
        rsp.id = r.id;
        rsp.status = (int16_t)(100 + i);
        ring_back_answer(&back, slot, &rsp);
    }
    ring_back_push(&back);
    CU_ASSERT_EQUAL(ring_front_look(&f), 5);
    for (unsigned int i = 0; i < 5; i++) {
        ring_front_take(&f, &rsp);
        CU_ASSERT_TRUE(rsp.id == treacherous(i) && rsp.status == (int16_t)(100 + i) &&
                       rsp.operation == BLKIF_OP_READ);
    }
    ring_back_free(&back);
}

static void test_a_backend_that_is_killed_while_it_answers(void)
{
    for (int s = 0; s < 2 * NR_STARTS; s++) {
        unsigned int nr;

        begin_killed(starts[s / 2]);
        nr = steps_run(s % 2 ? show_out_of_order : show_in_order, pages, RING_PAGE, states[0],
                       STATES);
        ring_back_free(&back);
        CU_ASSERT_TRUE(nr > 4 * KILLED && nr < STATES); /* an answer alone is four words */
        for (unsigned int i = 0; i < nr; i++)
            go_on_from(states[i]);
    }
}

/* So is the next one, while it finishes what that has begun. */
static void init(void)
{
    CU_ASSERT_EQUAL(ring_back_init(&back, pages, 1, sizeof(struct blkif_request),
                                   sizeof(struct blkif_response)),
                    0);
}

static void test_backends_that_are_killed_one_after_the_other(void)
{
    static uint8_t again[STATES][RING_PAGE];
    unsigned int nr, nr_begun = 0;

    begin_killed(0xfffffffe);
    nr = steps_run(show_in_order, pages, RING_PAGE, states[0], STATES);
    ring_back_free(&back);
    for (unsigned int i = 0; i < nr; i++) {
        unsigned int nr_again;

        memcpy(pages, states[i], RING_PAGE);
        nr_again = steps_run(init, pages, RING_PAGE, again[0], STATES);
        ring_back_free(&back);
        nr_begun += nr_again > 1;
        CU_ASSERT_TRUE(nr_again < STATES);
        for (unsigned int k = 0; k < nr_again; k++)
            go_on_from(again[k]);
    }
    CU_ASSERT_TRUE(nr_begun >= KILLED);
}

/* ---- answers that belong together ---- */

/* The first one alone, then three together, all in their order or backwards; the fifth is still a request. */
static void show_groups(bool backwards)
{
    for (unsigned int i = 0; i < 4; i++) {
        unsigned int which = backwards ? 3 - i : i;
        struct blkif_response rsp = { .id = treacherous(which), .status = (int16_t)(100 + which) };

        if (which == 1 || which == 2)
            ring_back_answer_more(&back, slots[which], &rsp);
        else
            ring_back_answer(&back, slots[which], &rsp);
    }
    ring_back_push(&back);
}

static void show_groups_in_order(void) { show_groups(false); }
static void show_groups_backwards(void) { show_groups(true); }

/* Of a group all are seen, or none; where a backend was killed within one, the next knows, and the rest are requests. */
static void test_answers_that_belong_together(void)
{
    for (int s = 0; s < 2 * NR_STARTS; s++) {
        unsigned int nr, nr_cut = 0;

        begin_killed(starts[s / 2]);
        nr = steps_run(s % 2 ? show_groups_backwards : show_groups_in_order, pages, RING_PAGE,
                       states[0], STATES);
        ring_back_free(&back);
        CU_ASSERT_TRUE(nr > 16 && nr < STATES);
        for (unsigned int i = 0; i < nr; i++) {
            struct ring_front f = front;
            struct blkif_response rsp;
            struct blkif_request r;
            uint32_t shown;

            memcpy(pages, states[i], RING_PAGE);
            shown = *word(RSP_PROD) - starts[s / 2];
            CU_ASSERT_TRUE(shown == 0 || shown == 1 || shown == 4);
            for (int life = 0; life < 2; life++) { /* the next is killed at once */
                init();
                shown = *word(RSP_PROD) - starts[s / 2];
                CU_ASSERT_EQUAL(back.cut, shown == 2 || shown == 3);
                CU_ASSERT_EQUAL(ring_back_look(&back), 5 - (int)shown);
                if (life == 0)
                    ring_back_free(&back);
            }
            nr_cut += back.cut;
            CU_ASSERT_EQUAL(ring_front_look(&f), (int)shown);
            for (unsigned int k = 0; k < shown; k++) { /* what is shown is what was answered */
                ring_front_take(&f, &rsp);
                CU_ASSERT_TRUE(rsp.id == treacherous(k) && rsp.status == (int16_t)(100 + k));
            }
            ring_back_take(&back, &r);
            CU_ASSERT_EQUAL(r.id, treacherous(shown));
            ring_back_free(&back);
        }
        CU_ASSERT_TRUE(nr_cut >= 4);
    }
}

/* What a guest writes there itself: its own ring, and no more of it than it has asked. */
static void test_a_forged_answer_is_the_forgers_loss(void)
{
    struct blkif_response rsp;
    static const uint32_t kinds[] = { RING_NOTE_LAST, RING_NOTE_MORE, RING_NOTE_PART };
    uint64_t *note = (uint64_t *)pages + 3;

    for (int s = 0; s < NR_STARTS; s++) {
        begin_killed(starts[s]);
        *note = UINT64_C(0x616e7377) << 32 | starts[s];
        memset(pages + 32, 0x5a, 32);
        ring_back_free(&back);
        init();
        CU_ASSERT_EQUAL(ring_back_look(&back), 4);
        CU_ASSERT_EQUAL(ring_front_look(&front), 1);
        ring_front_take(&front, &rsp);
        CU_ASSERT_EQUAL(rsp.status, 0x5a5a);
        ring_back_free(&back);
        *word(RSP_PROD) = *word(REQ_PROD);
        for (uint32_t i = 0; i < 9; i++) { /* of what it has not asked */
            *note = (uint64_t)kinds[i % 3] << 32 | (*word(REQ_PROD) + i / 3);
            init();
            CU_ASSERT_EQUAL(*word(RSP_PROD), *word(REQ_PROD));
            CU_ASSERT_TRUE(ring_back_look(&back) == 0 && !back.cut);
            ring_back_free(&back);
        }
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("ring", NULL, NULL);
    CU_add_test(s, "sizes are those of the ABI", test_sizes_are_those_of_the_abi);
    CU_add_test(s, "sizes that no ring has", test_sizes_that_no_ring_has);
    CU_add_test(s, "requests and responses arrive", test_requests_and_responses_arrive);
    CU_add_test(s, "full and no fuller", test_the_ring_can_be_full_and_no_fuller);
    CU_add_test(s, "answers in ring order", test_answers_are_in_the_order_of_the_ring);
    CU_add_test(s, "a backend that died", test_a_backend_that_died_leaves_what_was_not_answered);
    CU_add_test(s, "killed while it answers", test_a_backend_that_is_killed_while_it_answers);
    CU_add_test(s, "killed again", test_backends_that_are_killed_one_after_the_other);
    CU_add_test(s, "answers that belong together", test_answers_that_belong_together);
    CU_add_test(s, "a forged answer", test_a_forged_answer_is_the_forgers_loss);
    CU_add_test(s, "events", test_events_are_sent_when_they_are_wanted);
    CU_add_test(s, "a hostile frontend", test_indices_of_a_frontend_ahead_and_backwards);
    CU_add_test(s, "a hostile backend", test_indices_of_a_backend_ahead_and_backwards);
    CU_add_test(s, "any event index", test_any_event_index_does_no_harm);
    CU_add_test(s, "a frontend of the ABI", test_a_frontend_of_the_abi_is_served);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
