/* Softirqs, and CPUs that stand still for another: each CPU is a thread that serves its softirqs. */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "fake.h"
#include "sched/sched.h"
#include "x86/arch.h"
#include "x86/upcalls.h"

#define NR_TEST_CPUS 4u

static pthread_t threads[NR_TEST_CPUS];
static uint64_t running; /* CPUs with a thread */
static _Atomic bool stop;
static _Atomic uint64_t in_hypercall; /* CPUs that come to no softirq */
static _Atomic unsigned int rounds[NR_TEST_CPUS], served[NR_TEST_CPUS];
static _Atomic uint64_t held_up;    /* CPUs that stop where they relax */
static bool *irqs_of[NR_TEST_CPUS]; /* the CPUs' interrupt flags */
static _Atomic bool all_park;       /* each CPU has the others stand still, in turns */
static _Atomic unsigned int alone;  /* CPUs that believe to be the only one that moves */
static _Atomic unsigned int turns, not_alone;

static void relax(void)
{
    do
        sched_yield();
    while (held_up >> fake_pcpu->id & 1);
}

static void count(void) { served[this_pcpu()->id]++; }

static void park_others(void)
{
    cpus_park();
    if (++alone != 1)
        not_alone++;
    cpu_relax();
    alone--;
    turns++;
    cpus_release();
}

static void *cpu_main(void *arg)
{
    unsigned int id = (unsigned int)(uintptr_t)arg;

    fake_cpu(id);
    irqs_of[id] = &fake_irqs_on;
    while (!stop) {
        if (!(in_hypercall >> id & 1))
            softirq_run();
        fake_irqs_on = true;
        if (all_park)
            park_others();
        rounds[id]++;
        cpu_relax();
    }
    return NULL;
}

/* This thread plays CPU me of nr, others the rest. */
static void setup(unsigned int me, unsigned int nr)
{
    fake_reset(nr);
    fake_relax = relax;
    stop = false;
    in_hypercall = held_up = running = 0;
    for (unsigned int i = 0; i < nr; i++) {
        rounds[i] = served[i] = 0;
        if (i != me) {
            pthread_create(&threads[i], NULL, cpu_main, (void *)(uintptr_t)i);
            running |= 1ULL << i;
        }
    }
    fake_cpu(me);
    fake_irqs_on = true;
    softirq_register(SOFTIRQ_TIMER, count);
}

static void teardown(void)
{
    stop = true;
    for (; running; running &= running - 1)
        pthread_join(threads[ffs64(running) - 1], NULL);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

static void wait_for_rounds(unsigned int cpu, unsigned int more)
{
    for (unsigned int from = rounds[cpu]; rounds[cpu] - from < more;)
        cpu_relax();
}

static bool stands_still(uint64_t cpus, unsigned int us)
{
    unsigned int before[NR_TEST_CPUS];

    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        before[i] = rounds[i];
    usleep(us);
    for (; cpus; cpus &= cpus - 1)
        if (rounds[ffs64(cpus) - 1] != before[ffs64(cpus) - 1])
            return false;
    return true;
}

/* ---- softirqs ---- */

static void test_a_softirq_without_a_handler_only_brings_the_cpu_here(void)
{
    setup(0, 1);
    softirq_raise(SOFTIRQ_ALIVE);
    softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    CU_ASSERT_EQUAL(this_pcpu()->softirqs, 0);
    CU_ASSERT_EQUAL(served[0], 1);
    CU_ASSERT_FALSE(fake_irqs_on);
    teardown();
}

static void test_another_cpu_is_kicked_once_for_each_softirq(void)
{
    setup(0, 1); /* nobody serves CPU 2's */
    softirq_raise_on(2, SOFTIRQ_ALIVE);
    CU_ASSERT_EQUAL(fake_kicked, 1u << 2);
    fake_kicked = 0;
    softirq_raise_on(2, SOFTIRQ_ALIVE);
    CU_ASSERT_EQUAL(fake_kicked, 0);
    softirq_raise_on(2, SOFTIRQ_PARK);
    CU_ASSERT_EQUAL(fake_kicked, 1u << 2);
    CU_ASSERT_EQUAL(arch_pcpu(2)->softirqs, 1u << SOFTIRQ_ALIVE | 1u << SOFTIRQ_PARK);
    teardown();
}

static void test_a_cpu_does_not_kick_itself(void)
{
    setup(1, 1);
    softirq_raise_on(1, SOFTIRQ_TIMER);
    CU_ASSERT_EQUAL(fake_kicked, 0);
    CU_ASSERT_EQUAL(this_pcpu()->softirqs, 1u << SOFTIRQ_TIMER);
    teardown();
}

/* ---- parking ---- */

static void test_all_other_cpus_stand_still_until_they_are_released(void)
{
    setup(0, NR_TEST_CPUS);
    cpus_park();
    CU_ASSERT_TRUE(stands_still(0xe, 20000));
    cpus_release();
    for (unsigned int i = 1; i < NR_TEST_CPUS; i++)
        wait_for_rounds(i, 2);
    teardown();
}

static void test_the_others_are_kicked_to_park(void)
{
    setup(0, NR_TEST_CPUS);
    cpus_park();
    CU_ASSERT_EQUAL(fake_kicked, 0xe);
    CU_ASSERT_EQUAL(this_pcpu()->softirqs, 0);
    cpus_release();
    teardown();
}

static void test_with_one_cpu_nobody_is_waited_for(void)
{
    setup(0, 1);
    cpus_park();
    cpus_release();
    CU_ASSERT_EQUAL(fake_kicked, 0);
    CU_ASSERT_EQUAL(this_pcpu()->softirqs, 0);
    teardown();
}

static void test_any_cpu_may_have_the_others_stand_still(void)
{
    setup(2, NR_TEST_CPUS);
    cpus_park();
    CU_ASSERT_EQUAL(fake_kicked, 0xb);
    CU_ASSERT_TRUE(stands_still(0xb, 5000));
    cpus_release();
    wait_for_rounds(0, 2);
    teardown();
}

static void test_parked_cpus_take_interrupts(void)
{
    setup(0, NR_TEST_CPUS);
    cpus_park();
    for (unsigned int i = 1; i < NR_TEST_CPUS; i++)
        CU_ASSERT_TRUE(*irqs_of[i]);
    cpus_release();
    teardown();
}

static _Atomic bool is_parked, go_on, is_over;
static void *cpu_0_parks(void *arg)
{
    (void)arg;
    fake_cpu(0);
    fake_irqs_on = true;
    cpus_park();
    is_parked = true;
    while (!go_on)
        cpu_relax();
    cpus_release();
    is_over = true;
    return NULL;
}

static void test_a_cpu_in_a_hypercall_is_waited_for(void)
{
    pthread_t t;

    setup(0, 3);
    is_parked = go_on = false;
    in_hypercall = 1u << 2;
    wait_for_rounds(2, 2);
    pthread_create(&t, NULL, cpu_0_parks, NULL);
    usleep(20000);
    CU_ASSERT_FALSE(is_parked);
    in_hypercall = 0;
    while (!is_parked)
        cpu_relax();
    CU_ASSERT_TRUE(stands_still(6, 5000));
    go_on = true;
    pthread_join(t, NULL);
    teardown();
}

static void test_who_leaves_late_is_waited_for(void)
{
    pthread_t t;

    setup(0, 3);
    is_parked = go_on = is_over = false;
    pthread_create(&t, NULL, cpu_0_parks, NULL);
    while (!is_parked)
        cpu_relax();
    held_up = 1u << 2;
    usleep(1000);
    go_on = true;
    wait_for_rounds(1, 2);
    usleep(20000);
    CU_ASSERT_FALSE(is_over); /* else the next time it would seem to be parked already */
    held_up = 0;
    pthread_join(t, NULL);
    CU_ASSERT_TRUE(is_over);
    teardown();
}

static void test_softirqs_raised_meanwhile_are_served_afterwards(void)
{
    setup(0, 2);
    cpus_park();
    softirq_raise_on(1, SOFTIRQ_TIMER);
    usleep(5000);
    CU_ASSERT_EQUAL(served[1], 0);
    cpus_release();
    wait_for_rounds(1, 2);
    CU_ASSERT_EQUAL(served[1], 1);
    teardown();
}

static void test_cpus_park_again_and_again(void)
{
    setup(0, NR_TEST_CPUS);
    for (unsigned int n = 0; n < 2000; n++) {
        cpus_park();
        CU_ASSERT_TRUE_FATAL(stands_still(0xe, n % 100 == 0 ? 100 : 0));
        cpus_release();
    }
    wait_for_rounds(1, 2);
    teardown();
}

static void test_cpus_that_park_at_the_same_time_take_turns(void)
{
    setup(0, NR_TEST_CPUS);
    turns = not_alone = 0;
    all_park = true;
    while (turns < 200) {
        park_others();
        softirq_run();
        fake_irqs_on = true;
    }
    all_park = false;
    for (uint64_t still = running; still;) { /* the last of them wait for this CPU */
        softirq_run();
        fake_irqs_on = true;
        for (uint64_t m = still; m; m &= m - 1) {
            unsigned int i = ffs64(m) - 1, from = rounds[i];

            for (unsigned int n = 0; n < 100 && rounds[i] - from < 3; n++)
                cpu_relax();
            if (rounds[i] - from >= 3)
                still &= ~(1ULL << i);
        }
    }
    CU_ASSERT_EQUAL(not_alone, 0);
    teardown();
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("softirq", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_softirq_without_a_handler_only_brings_the_cpu_here);
    T(test_another_cpu_is_kicked_once_for_each_softirq);
    T(test_a_cpu_does_not_kick_itself);
    T(test_all_other_cpus_stand_still_until_they_are_released);
    T(test_the_others_are_kicked_to_park);
    T(test_with_one_cpu_nobody_is_waited_for);
    T(test_any_cpu_may_have_the_others_stand_still);
    T(test_parked_cpus_take_interrupts);
    T(test_a_cpu_in_a_hypercall_is_waited_for);
    T(test_who_leaves_late_is_waited_for);
    T(test_softirqs_raised_meanwhile_are_served_afterwards);
    T(test_cpus_park_again_and_again);
    T(test_cpus_that_park_at_the_same_time_take_turns);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
