/* The network frontend (frontends/network/netfront.c) with a backend in memory, honest and hostile. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xengnttab.h>
#include <xen/io/netif.h>

#define fake_reset platform_reset
#include "../../frontends/network/netfront.h"
#include "../../xen-like/platform/fake.h"
#include "fake_grants.h"
#include "fake_store.h"
#include "ring.h"

enum { PAGE = 4096, SHARED = 8 };
#define FRONT "/local/domain/5/device/vif/0"
#define BACK "/local/domain/0/backend/vif/5/0"

/* ---- what the frontend shares: the references are grants of domain 5 ---- */

static struct {
    uint8_t *at;
    int count;
    uint32_t first;
} shared[SHARED];
static unsigned int nr_shared;

xengntshr_handle *xengntshr_open(struct xentoollog_logger *l, unsigned flags)
{
    return calloc(1, 8);
}
int xengntshr_close(xengntshr_handle *h)
{
    free(h);
    return 0;
}
void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domain, int count, uint32_t *refs,
                            int writable)
{
    uint8_t *at = aligned_alloc(PAGE, (size_t)count * PAGE);

    memset(at, 0, (size_t)count * PAGE);
    CU_ASSERT_TRUE_FATAL(nr_shared < SHARED);
    for (int i = 0; i < count; i++)
        refs[i] = grant_page(5, at + (size_t)i * PAGE, writable);
    shared[nr_shared].at = at;
    shared[nr_shared].count = count;
    shared[nr_shared++].first = refs[0];
    return at;
}
int xengntshr_unshare(xengntshr_handle *h, void *at, uint32_t count)
{
    for (unsigned int i = 0; i < nr_shared; i++)
        if (shared[i].at == at) {
            free(at);
            shared[i] = shared[--nr_shared];
            return 0;
        }
    CU_FAIL("what is not shared");
    return -1;
}

static uint8_t *page_of(uint32_t ref)
{
    for (unsigned int i = 0; i < nr_shared; i++)
        if (ref >= shared[i].first && ref < shared[i].first + (uint32_t)shared[i].count)
            return shared[i].at + (size_t)(ref - shared[i].first) * PAGE;
    return NULL;
}

/* ---- the two ends ---- */

static struct plat_loop *loop;
static struct netfront *front;
static struct ring_back tx, rx;
static unsigned int nr_ready, nr_got, got_bytes;
static uint8_t got[PAGE];

/* A backend that answers as fast as it is given room, until it has done so often enough. */
enum { ENDLESS = 100000 };
static bool endless;
static unsigned int got_at_wake; /* how many had come when others had their turn */

static void answer_all(void)
{
    struct netif_rx_response r = { .status = 60 };

    for (int n = ring_back_look(&rx); n > 0; n--) {
        struct netif_rx_request request;
        uint32_t slot = ring_back_take(&rx, &request);

        r.id = request.id;
        ring_back_answer(&rx, slot, &r);
    }
    ring_back_push(&rx);
}

static void others(void *arg) { got_at_wake = nr_got; }
static struct plat_wake others_wake = { .fn = others };

static void ready(void *arg, const uint8_t mac[6]) { nr_ready += mac[5] == 0x30; }
static void received(void *arg, uint8_t *frame, uint32_t bytes)
{
    nr_got++;
    got_bytes = bytes;
    memcpy(got, frame, bytes);
    if (endless && nr_got == 1)
        plat_wake(&others_wake);
    if (endless && nr_got < ENDLESS)
        answer_all();
}
static const struct netfront_user user = { .ready = ready, .received = received };

static uint32_t number(const char *node)
{
    const char *text = store_get(node);

    return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void attach(void)
{
    store_set(BACK "/state", "4");
    run_loop(loop);
    CU_ASSERT_EQUAL_FATAL(number(FRONT "/state"), 4);
    CU_ASSERT_EQUAL(ring_back_init(&tx, page_of(number(FRONT "/tx-ring-ref")), 1, 12, 4), 0);
    CU_ASSERT_EQUAL(ring_back_init(&rx, page_of(number(FRONT "/rx-ring-ref")), 1, 8, 8), 0);
}

static void begin(void)
{
    platform_reset();
    store_reset(5);
    grants_reset();
    nr_ready = nr_got = nr_shared = 0;
    store_set(FRONT "/backend", BACK);
    store_set(FRONT "/backend-id", "0");
    store_set(FRONT "/mac", "00:16:3e:00:00:30");
    store_set(FRONT "/state", "1");
    store_set(BACK "/frontend-id", "5");
    store_set(BACK "/frontend", FRONT);
    store_set(BACK "/state", "2");
    loop = plat_loop_new();
    front = netfront_start(loop, &user);
    CU_ASSERT_PTR_NOT_NULL_FATAL(front);
    run_loop(loop);
    attach();
}

static void end(void)
{
    ring_back_free(&tx);
    ring_back_free(&rx);
    netfront_stop(front);
    plat_loop_free(loop);
    CU_ASSERT_EQUAL(nr_shared, 0);
    CU_ASSERT_EQUAL(ports_bound(), 0);
}

static void wake(void)
{
    peer_notify(number(FRONT "/event-channel"));
    run_loop(loop);
}

/* The backend answers with these, whatever they say. */
static void give(struct netif_rx_response r)
{
    struct netif_rx_request request;
    uint32_t slot;

    CU_ASSERT_TRUE_FATAL(ring_back_look(&rx) > 0);
    slot = ring_back_take(&rx, &request);
    if (r.id == 0xffff)
        r.id = request.id;
    if (r.status > 0 && r.status <= PAGE)
        memset(page_of(request.gref), 0x5a, (size_t)r.status);
    ring_back_answer(&rx, slot, &r);
    ring_back_push(&rx);
    wake();
}

static bool is_served(void)
{
    unsigned int before = nr_got;

    give((struct netif_rx_response){ .id = 0xffff, .status = 60 });
    return nr_got == before + 1 && got_bytes == 60 && got[59] == 0x5a;
}

/* ---- tests ---- */

static void test_frames_go_both_ways(void)
{
    uint8_t frame[PAGE];
    struct netif_tx_request r;

    begin();
    CU_ASSERT_TRUE(nr_ready > 0);
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/request-rx-copy"), "1");
    for (unsigned int i = 0; i < 1000; i++)
        CU_ASSERT_TRUE_FATAL(is_served());
    memset(frame, 7, sizeof(frame));
    for (unsigned int i = 0; i < 1000; i++) {
        struct netif_tx_response a = { .status = NETIF_RSP_OKAY };
        uint32_t slot;

        CU_ASSERT_EQUAL_FATAL(netfront_send(front, frame, 14 + i * 4), 0);
        CU_ASSERT_EQUAL_FATAL(ring_back_look(&tx), 1);
        slot = ring_back_take(&tx, &r);
        CU_ASSERT_EQUAL(r.size, 14 + i * 4);
        CU_ASSERT_EQUAL(memcmp(page_of(r.gref) + r.offset, frame, r.size), 0);
        a.id = r.id;
        ring_back_answer(&tx, slot, &a);
        ring_back_push(&tx);
        wake();
    }
    end();
}

static void test_a_backend_that_never_answers(void)
{
    uint8_t frame[60] = { 0 };
    unsigned int sent = 0;

    begin();
    while (netfront_send(front, frame, sizeof(frame)) == 0)
        sent++;
    CU_ASSERT_TRUE(sent == 64 && errno == EAGAIN);
    CU_ASSERT_TRUE(netfront_send(front, frame, 13) == -1 && errno == EINVAL);
    CU_ASSERT_TRUE(netfront_send(front, frame, PAGE + 1) == -1 && errno == EINVAL);
    CU_ASSERT_TRUE(is_served());
    end();
}

static void test_a_backend_that_starts_again(void)
{
    begin();
    ring_back_free(&tx);
    ring_back_free(&rx);
    store_set(BACK "/state", "6");
    run_loop(loop);
    CU_ASSERT_EQUAL(number(FRONT "/state"), 6);
    CU_ASSERT_EQUAL(nr_shared, 0);
    store_set(FRONT "/state", "1");
    store_set(BACK "/state", "2");
    run_loop(loop);
    attach();
    CU_ASSERT_EQUAL(nr_ready, 2);
    CU_ASSERT_TRUE(is_served());
    end();
}

/* Each is what the backend cannot have meant. */
static void bad(struct netif_rx_response r)
{
    begin();
    CU_ASSERT_TRUE(is_served());
    give(r);
    CU_ASSERT_EQUAL(nr_got, 1);
    CU_ASSERT_NOT_EQUAL(number(FRONT "/state"), 4);
    CU_ASSERT_EQUAL(nr_shared, 0);
    end();
}

static void test_impossible_answers_end_the_connection(void)
{
    bad((struct netif_rx_response){ .id = 128, .status = 60 });
    bad((struct netif_rx_response){ .id = 0xfffe, .status = 60 });
    bad((struct netif_rx_response){ .id = 0xffff, .status = PAGE + 1 });
    bad((struct netif_rx_response){ .id = 0xffff, .status = 60, .offset = PAGE - 59 });
    bad((struct netif_rx_response){ .id = 0xffff, .status = 60, .offset = 0xffff });
    bad((struct netif_rx_response){ .id = 0xffff, .status = 60, .flags = NETRXF_more_data });
    bad((struct netif_rx_response){ .id = 0xffff, .status = 60, .flags = NETRXF_extra_info });
}

static void test_an_answer_that_was_not_asked_for_ends_it(void)
{
    struct netif_tx_response a = { .id = 3 };
    struct netif_tx_request r;
    uint8_t frame[60] = { 0 };
    uint32_t slot;

    begin();
    netfront_send(front, frame, sizeof(frame));
    ring_back_look(&tx);
    slot = ring_back_take(&tx, &r);
    ring_back_answer(&tx, slot, &a);
    ring_back_push(&tx);
    wake();
    CU_ASSERT_NOT_EQUAL(number(FRONT "/state"), 4);
    end();
}

static void test_impossible_indices_end_it(void)
{
    static const uint32_t all[] = { 1, 257, UINT32_MAX };

    for (unsigned int i = 0; i < 3; i++) {
        begin();
        memcpy(page_of(number(FRONT "/tx-ring-ref")) + 8, &all[i], 4);
        wake();
        CU_ASSERT_NOT_EQUAL(number(FRONT "/state"), 4);
        end();
    }
}

static void test_errors_and_short_frames_are_nothing(void)
{
    begin();
    give((struct netif_rx_response){ .id = 0xffff, .status = NETIF_RSP_ERROR });
    give((struct netif_rx_response){ .id = 0xffff, .status = 13 });
    give((struct netif_rx_response){ .id = 0xffff, .status = INT16_MIN });
    CU_ASSERT_EQUAL(nr_got, 0);
    CU_ASSERT_TRUE(is_served());
    end();
}

static void test_a_fast_backend_does_not_have_the_loop_for_ever(void)
{
    begin();
    got_at_wake = 0;
    endless = true;
    plat_wake_add(loop, &others_wake);
    is_served();
    CU_ASSERT_TRUE(nr_got >= ENDLESS && got_at_wake > 0 && got_at_wake <= 1000);
    endless = false;
    CU_ASSERT_TRUE(is_served());
    plat_wake_remove(&others_wake);
    end();
}

static void test_it_is_ready_once(void)
{
    begin();
    CU_ASSERT_EQUAL(nr_ready, 1);
    store_set(BACK "/state", "4"); /* once more */
    run_loop(loop);
    CU_ASSERT_EQUAL(nr_ready, 1);
    end();
}

static const CU_TestInfo tests[] = {
    { "frames go both ways", test_frames_go_both_ways },
    { "a backend that never answers", test_a_backend_that_never_answers },
    { "a backend that starts again", test_a_backend_that_starts_again },
    { "impossible answers end the connection", test_impossible_answers_end_the_connection },
    { "an answer that was not asked for ends it", test_an_answer_that_was_not_asked_for_ends_it },
    { "impossible indices end it", test_impossible_indices_end_it },
    { "errors and short frames are nothing", test_errors_and_short_frames_are_nothing },
    { "a fast backend does not have the loop for ever",
      test_a_fast_backend_does_not_have_the_loop_for_ever },
    { "it is ready once", test_it_is_ready_once },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("netfront", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
