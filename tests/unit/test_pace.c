/* How many requests of a ring are waited for (backends/block/pace.c). */
#include <CUnit/Basic.h>

#include "pace.h"

static struct pace p;
static uint64_t now;

static void round_of(unsigned int nr)
{
    now += 50000;
    pace_found(&p, nr, now);
}

static void begin(void)
{
    p = (struct pace){ .nr = 0 };
    now = 1000000000;
}

static void test_only_what_is_steady_is_waited_for(void)
{
    begin();
    CU_ASSERT_EQUAL(pace_wants(&p), 1);
    for (unsigned int i = 0; i < 100; i++) {
        round_of(5 + i % 2);
        CU_ASSERT_EQUAL(pace_wants(&p), 1);
    }
    for (unsigned int i = 1; i < 10; i++) {
        round_of(32);
        CU_ASSERT_EQUAL(pace_wants(&p), i < PACE_STEADY ? 1 : 32);
    }
    round_of(31);
    CU_ASSERT_EQUAL(pace_wants(&p), 1);
}

static void test_one_at_a_time_is_never_waited_for(void)
{
    begin();
    for (unsigned int i = 0; i < 100; i++) {
        round_of(1);
        CU_ASSERT_EQUAL(pace_wants(&p), 1);
    }
}

/* As long as the last ones took, twice; within limits. */
static void test_how_long(void)
{
    begin();
    round_of(4);
    round_of(4);
    CU_ASSERT_EQUAL(pace_until(&p), now + 100000);
    now += 10;
    pace_found(&p, 4, now);
    CU_ASSERT_EQUAL(pace_until(&p), now + PACE_WAIT_MIN_NS);
    now += 1000000000;
    pace_found(&p, 4, now);
    CU_ASSERT_EQUAL(pace_until(&p), now + PACE_WAIT_MAX_NS);
}

/* How many rounds it is until they are waited for again. */
static unsigned int rounds_without(void)
{
    unsigned int n = 0;

    while (pace_wants(&p) == 1) {
        round_of(8);
        n++;
    }
    return n;
}

static void test_what_was_in_vain_is_not_tried_soon(void)
{
    unsigned int pause = PACE_PAUSE;

    begin();
    CU_ASSERT_EQUAL(rounds_without(), PACE_STEADY);
    for (int i = 0; i < 20; i++) {
        pace_late(&p);
        CU_ASSERT_EQUAL(rounds_without(), pause + PACE_STEADY);
        pause = 2 * pause < PACE_PAUSE_MAX ? 2 * pause : PACE_PAUSE_MAX;
    }
    for (int i = 0; i < 5 * PACE_PAUSE; i++) /* it has been right for long */
        round_of(8);
    pace_late(&p);
    CU_ASSERT_EQUAL(rounds_without(), PACE_PAUSE + PACE_STEADY);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("pace", NULL, NULL);
    CU_add_test(s, "steady", test_only_what_is_steady_is_waited_for);
    CU_add_test(s, "one at a time", test_one_at_a_time_is_never_waited_for);
    CU_add_test(s, "how long", test_how_long);
    CU_add_test(s, "in vain", test_what_was_in_vain_is_not_tried_soon);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
