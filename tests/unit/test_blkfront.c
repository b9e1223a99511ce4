/* Our block frontend (frontends/block) with a backend in memory: an honest one, and the enemy. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>

#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"
#include "../../frontends/frontend.h"
#include "blkfront.h"
#include "fake_grants.h"
#include "fake_store.h"
#include "ring.h"

#define BACK "/local/domain/0/backend/vbd/5/51712"
#define FRONT "/local/domain/5/device/vbd/51712"

enum { SECTORS = 1000 };

static struct plat_loop *loop;
static struct blkfront *front;
static struct blkfront_disk *disk;
static unsigned int nr_ready, nr_gone, nr_done;
static int last_error;

static void ready(void *arg, struct blkfront_disk *d)
{
    nr_ready++;
    disk = d;
}

static void gone(void *arg, struct blkfront_disk *d) { nr_gone++; }
static const struct blkfront_user user = { .ready = ready, .gone = gone };

static void on_done(struct blkfront_request *r, int error)
{
    nr_done++;
    last_error = error;
}

/* ---- the backend ---- */

static struct ring_back back;
static uint8_t bytes[SECTORS * 512];

static uint32_t number(const char *path) { return (uint32_t)strtoul(store_get(path), NULL, 10); }

static void begin(void)
{
    platform_reset();
    store_reset(5);
    grants_reset();
    nr_ready = nr_gone = nr_done = 0;
    disk = NULL;
    loop = plat_loop_new();
    store_set(FRONT "/backend", "%s", BACK);
    store_set(FRONT "/backend-id", "0");
    store_set(FRONT "/state", "1");
    store_set(BACK "/state", "1");
    front = blkfront_start(loop, &user);
    CU_ASSERT_PTR_NOT_NULL_FATAL(front);
    run_loop(loop);
    store_set(BACK "/state", "2");
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/state"), "3");
    CU_ASSERT_EQUAL(ring_back_init(&back, grant_at(number(FRONT "/ring-ref")), 1,
                                   sizeof(struct blkif_request), sizeof(struct blkif_response)),
                    0);
    store_set(BACK "/sectors", "%d", SECTORS);
    store_set(BACK "/sector-size", "512");
    store_set(BACK "/feature-flush-cache", "1");
    store_set(BACK "/state", "4");
    run_loop(loop);
}

static void end(void)
{
    ring_back_free(&back);
    store_remove(BACK);
    run_loop(loop);
    store_remove(FRONT);
    run_loop(loop);
    CU_ASSERT_EQUAL(grants_shared(), 0);
    blkfront_stop(front);
    CU_ASSERT_EQUAL(store_nr_watches(), 0);
    plat_loop_free(loop);
}

static void answer(uint32_t slot, uint64_t id, uint8_t operation, int status)
{
    struct blkif_response rsp = { .id = id, .operation = operation, .status = (int16_t)status };

    ring_back_answer(&back, slot, &rsp);
    if (ring_back_push(&back))
        peer_notify(number(FRONT "/event-channel"));
}

static void serve(void)
{
    int n;

    while ((n = ring_back_rest(&back, 1)) > 0)
        while (n--) {
            struct blkif_request r;
            uint32_t slot = ring_back_take(&back, &r);
            uint8_t *at = bytes + r.sector_number * 512;

            for (int i = 0; i < r.nr_segments; i++) {
                size_t len = (r.seg[i].last_sect - r.seg[i].first_sect + 1u) * 512;
                uint8_t *page = grant_at(r.seg[i].gref) + r.seg[i].first_sect * 512;

                memcpy(r.operation == BLKIF_OP_READ ? page : at,
                       r.operation == BLKIF_OP_READ ? at : page, len);
                at += len;
            }
            answer(slot, r.id, r.operation, 0);
        }
    run_loop(loop);
}

static uint8_t data[100][BLKFRONT_MAX_BYTES];
static struct blkfront_request requests[100];

static struct blkfront_request *submit(int i, enum blkfront_op op, uint64_t sector, uint64_t nr)
{
    requests[i] = (struct blkfront_request){
        .op = op, .sector = sector, .nr_sectors = nr, .data = data[i], .done = on_done
    };
    last_error = -1;
    blkfront_submit(disk, &requests[i]);
    return &requests[i];
}

static void test_data_come_and_go(void)
{
    begin();
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/state"), "4");
    CU_ASSERT_TRUE_FATAL(nr_ready == 1 && disk->nr_sectors == SECTORS && disk->flush);
    for (uint64_t nr = 1; nr <= 88; nr++) {
        for (size_t i = 0; i < nr * 512; i++)
            data[0][i] = (uint8_t)(i * 3 + nr);
        submit(0, BLKFRONT_WRITE, 100, nr);
        serve();
        CU_ASSERT_EQUAL(last_error, 0);
        CU_ASSERT_EQUAL(memcmp(bytes + 51200, data[0], nr * 512), 0);
        memset(data[1], 0, sizeof(data[1]));
        submit(1, BLKFRONT_READ, 100, nr);
        serve();
        CU_ASSERT_EQUAL(memcmp(data[1], data[0], nr * 512), 0);
    }
    submit(0, BLKFRONT_FLUSH, 0, 0);
    serve();
    CU_ASSERT_EQUAL(last_error, 0);
    end();
}

static void test_more_than_the_ring_holds_waits(void)
{
    begin();
    for (int i = 0; i < 100; i++)
        submit(i, BLKFRONT_WRITE, (uint64_t)i, 1);
    CU_ASSERT_EQUAL(ring_back_look(&back), 32);
    for (int i = 0; i < 10; i++)
        serve();
    CU_ASSERT_EQUAL(nr_done, 100);
    end();
}

static void test_what_makes_no_sense_is_refused(void)
{
    begin();
    submit(0, BLKFRONT_READ, SECTORS, 1);
    CU_ASSERT_EQUAL(last_error, EINVAL);
    submit(0, BLKFRONT_READ, UINT64_MAX, 1);
    CU_ASSERT_EQUAL(last_error, EINVAL);
    submit(0, BLKFRONT_READ, 0, 0);
    CU_ASSERT_EQUAL(last_error, EINVAL);
    submit(0, BLKFRONT_READ, 0, 89);
    CU_ASSERT_EQUAL(last_error, EINVAL);
    submit(0, BLKFRONT_DISCARD, 0, 8);
    CU_ASSERT_EQUAL(last_error, EOPNOTSUPP);
    end();
}

static void test_a_disk_grows_and_errors_arrive(void)
{
    struct blkif_request r;

    begin();
    store_set(BACK "/sectors", "2000");
    store_set(BACK "/state", "4");
    run_loop(loop);
    CU_ASSERT_TRUE(nr_ready == 2 && disk->nr_sectors == 2000);
    submit(0, BLKFRONT_READ, 0, 1);
    CU_ASSERT_EQUAL(ring_back_look(&back), 1);
    uint32_t slot = ring_back_take(&back, &r);
    memset(data[0], 0x33, 512);
    memset(grant_at(r.seg[0].gref), 0x44, 512);
    answer(slot, r.id, r.operation, BLKIF_RSP_ERROR);
    run_loop(loop);
    CU_ASSERT_EQUAL(last_error, EIO);
    CU_ASSERT_EQUAL(data[0][0], 0x33); /* what is said not to have been read is not shown */
    end();
}

/* Answers that nobody may give, and indices: the disk is gone, each request ends once. */
static void test_a_hostile_backend(void)
{
    for (int what = 0; what < 7; what++) {
        struct blkif_request r = { 0 };
        uint32_t slot = 0;

        begin();
        submit(0, BLKFRONT_READ, 0, 1);
        submit(1, BLKFRONT_READ, 1, 1);
        CU_ASSERT_EQUAL(ring_back_look(&back), 2);
        slot = ring_back_take(&back, &r);
        switch (what) {
        case 0: answer(slot, 32, r.operation, 0); break;
        case 1: answer(slot, UINT64_MAX, r.operation, 0); break;
        case 2: answer(slot, 7, r.operation, 0); break; /* not running */
        case 3: answer(slot, r.id, BLKIF_OP_WRITE, 0); break;
        case 4: /* the same one twice */
            answer(slot, r.id, r.operation, 0);
            ring_back_look(&back);
            slot = ring_back_take(&back, &r);
            answer(slot, r.id - 1, r.operation, 0);
            break;
        default: /* more answers than there are questions, or fewer than before */
            ((volatile uint32_t *)grant_at(number(FRONT "/ring-ref")))[2] =
                what == 5 ? 3 : 0xffffffff;
            peer_notify(number(FRONT "/event-channel"));
        }
        run_loop(loop);
        CU_ASSERT_EQUAL(nr_gone, 1);
        CU_ASSERT_EQUAL(nr_done, 2);
        CU_ASSERT_EQUAL(grants_shared(), 0);
        submit(2, BLKFRONT_READ, 0, 1);
        CU_ASSERT_EQUAL(last_error, EIO);
        end();
    }
}

/* A user who always has the next request, and a backend that has always answered it already. */
enum { ENDLESS = 100000 };
static unsigned int done_at_wake; /* how many had ended when others had their turn */

static void others(void *arg) { done_at_wake = nr_done; }
static struct plat_wake others_wake = { .fn = others };

static void answer_all(void)
{
    for (int n = ring_back_look(&back); n > 0; n--) {
        struct blkif_request r;
        uint32_t slot = ring_back_take(&back, &r);
        struct blkif_response rsp = { .id = r.id, .operation = r.operation };

        ring_back_answer(&back, slot, &rsp);
    }
    ring_back_push(&back);
}

static void on_done_again(struct blkfront_request *r, int error)
{
    if (++nr_done == 1)
        plat_wake(&others_wake);
    if (error || nr_done >= ENDLESS)
        return;
    blkfront_submit(disk, r);
    answer_all();
}

static void test_a_fast_backend_does_not_have_the_loop_for_ever(void)
{
    begin();
    done_at_wake = 0;
    plat_wake_add(loop, &others_wake);
    requests[0] = (struct blkfront_request){
        .op = BLKFRONT_READ, .nr_sectors = 1, .data = data[0], .done = on_done_again
    };
    blkfront_submit(disk, &requests[0]);
    answer_all();
    peer_notify(number(FRONT "/event-channel"));
    run_loop(loop);
    CU_ASSERT_TRUE(nr_done == ENDLESS && done_at_wake > 0 && done_at_wake <= 1000);
    plat_wake_remove(&others_wake);
    submit(0, BLKFRONT_READ, 0, 1);
    serve();
    CU_ASSERT_EQUAL(last_error, 0);
    end();
}

static void test_a_disk_that_makes_no_sense(void)
{
    static const char *const sizes[] = { "0", "1024", "4294967296", "x", "" };

    for (int i = 0; i < 5; i++) {
        begin();
        store_set(BACK "/sector-size", "%s", sizes[i]);
        store_set(BACK "/state", "4");
        run_loop(loop);
        CU_ASSERT_EQUAL(nr_gone, 1);
        end();
    }
}

/* It ends in the middle, whatever it says: all requests end. */
static void test_a_backend_that_goes(void)
{
    for (int state = 5; state <= 9; state++) {
        begin();
        for (int i = 0; i < 40; i++)
            submit(i, BLKFRONT_WRITE, 0, 1);
        store_set(BACK "/state", "%d", state);
        run_loop(loop);
        if (state == 7 || state == 8) /* it reconfigures: nothing of ours */
            store_remove(BACK);
        run_loop(loop);
        CU_ASSERT_EQUAL(nr_done, 40);
        CU_ASSERT_EQUAL(nr_gone, 1);
        CU_ASSERT_STRING_EQUAL(store_get(FRONT "/state"), "6");
        end();
    }
}

/* Leave, and have it anew: the state of our end then, which is Closing if it was not to be had. */
static uint32_t once_more(void)
{
    store_set(BACK "/state", "6");
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/state"), "6");
    store_set(BACK "/state", "2");
    store_set(FRONT "/state", "1");
    run_loop(loop);
    return number(FRONT "/state");
}

static void test_pages_that_are_kept_are_had_when_they_are_let_go_of(void)
{
    unsigned int all;

    begin();
    all = grants_shared();
    grants_busy = true;
    CU_ASSERT_EQUAL(once_more(), 3);
    CU_ASSERT_EQUAL(grants_shared(), 2 * all);
    grants_busy = false;
    CU_ASSERT_EQUAL(once_more(), 3);
    CU_ASSERT_EQUAL(grants_shared(), all);
    end();
}

static void test_who_keeps_too_many_pages_gets_no_more(void)
{
    unsigned int all, n = 1;

    begin();
    all = grants_shared();
    grants_busy = true;
    while (n < 100 && once_more() == 3)
        n++;
    CU_ASSERT_TRUE(n * all >= FRONTEND_KEPT_MAX && (n - 1) * all < FRONTEND_KEPT_MAX);
    CU_ASSERT_EQUAL(grants_shared(), n * all);
    grants_busy = false;
    CU_ASSERT_EQUAL(once_more(), 3);
    CU_ASSERT_EQUAL(grants_shared(), all);
    end();
}

static void test_without_a_store_it_cannot_begin(void)
{
    platform_reset();
    store_reset(5);
    grants_reset();
    store_set_gone(true);
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_PTR_NULL(blkfront_start(loop, &user));
    CU_ASSERT_NOT_EQUAL(errno, 0);
    plat_loop_free(loop);
    store_set_gone(false);
    grants_reset(); /* no handle is open */
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("blkfront", NULL, NULL);
    CU_add_test(s, "data come and go", test_data_come_and_go);
    CU_add_test(s, "more than the ring holds", test_more_than_the_ring_holds_waits);
    CU_add_test(s, "no sense", test_what_makes_no_sense_is_refused);
    CU_add_test(s, "a disk grows", test_a_disk_grows_and_errors_arrive);
    CU_add_test(s, "a hostile backend", test_a_hostile_backend);
    CU_add_test(s, "a fast backend", test_a_fast_backend_does_not_have_the_loop_for_ever);
    CU_add_test(s, "a disk of no sense", test_a_disk_that_makes_no_sense);
    CU_add_test(s, "a backend goes", test_a_backend_that_goes);
    CU_add_test(s, "pages kept", test_pages_that_are_kept_are_had_when_they_are_let_go_of);
    CU_add_test(s, "too many kept", test_who_keeps_too_many_pages_gets_no_more);
    CU_add_test(s, "no store", test_without_a_store_it_cannot_begin);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
