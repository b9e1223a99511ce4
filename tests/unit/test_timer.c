/* Per-CPU timers against a model that keeps them in an array. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"
#include "sched/sched.h"
#include "sched/timer.h"
#include "x86/upcalls.h"

#define NR_TEST_CPUS 3
#define NR_TIMERS 60

static struct timer timers[NR_TIMERS];
static struct {
    uint64_t at;
    unsigned int cpu;
    bool dead;
    unsigned int fired;
} model[NR_TIMERS];
static uint64_t deadline[NR_TEST_CPUS];
static unsigned int rng = 1, order[NR_TIMERS], nr_order, nr_programmed;

void arch_timer_program(uint64_t ns)
{
    nr_programmed++;
    deadline[this_pcpu()->id] = ns;
    if (ns && ns <= fake_now_ns)
        softirq_raise(SOFTIRQ_TIMER);
}

static unsigned int rnd(void) { return rng = rng * 1103515245u + 12345u, rng >> 8; }

static void fired(void *data)
{
    unsigned int i = (unsigned int)((struct timer *)data - timers);

    CU_ASSERT_FATAL(fake_irqs_on && this_pcpu()->locks_held == 0);
    CU_ASSERT_FATAL(!timers[i].expires_ns);
    model[i].fired++;
    if (nr_order < NR_TIMERS)
        order[nr_order++] = i;
}

static void setup(void)
{
    fake_reset(NR_TEST_CPUS);
    memset(model, 0, sizeof(model));
    memset(deadline, 0, sizeof(deadline));
    nr_order = nr_programmed = 0;
    fake_now_ns = 1000;
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        timers_init_cpu(i);
    for (unsigned int i = 0; i < NR_TIMERS; i++)
        timers[i] = (struct timer){ .fn = fired, .data = &timers[i] };
}

static void cpu_run(unsigned int cpu)
{
    fake_cpu(cpu);
    if (deadline[cpu] && deadline[cpu] <= fake_now_ns)
        softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    fake_irqs_on = true;
}

static void test_they_fire_in_order_and_never_early(void)
{
    setup();
    for (unsigned int i = 0; i < 10; i++)
        timer_set(&timers[i], 5000 + i * 7 % 10 * 100);
    CU_ASSERT_EQUAL(deadline[0], 5000);
    fake_now_ns = 4999;
    softirq_raise(SOFTIRQ_TIMER);
    cpu_run(0);
    CU_ASSERT_EQUAL(nr_order, 0);
    fake_now_ns = 5450;
    cpu_run(0);
    CU_ASSERT_EQUAL(nr_order, 5);
    for (unsigned int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(order[i] * 7 % 10, i);
    CU_ASSERT_EQUAL(deadline[0], 5500);
}

static void test_the_past_fires_at_once(void)
{
    setup();
    timer_set(&timers[0], 1);
    timer_set(&timers[1], 999);
    CU_ASSERT_EQUAL(nr_order, 0); /* but not from within */
    cpu_run(0);
    CU_ASSERT_EQUAL(nr_order, 2);
    timer_set(&timers[2], ~0ULL);
    CU_ASSERT(timers[2].expires_ns);
    fake_now_ns += 1ULL << 62;
    cpu_run(0);
    CU_ASSERT_EQUAL(model[2].fired, 0);
}

static void test_the_hardware_is_set_only_when_the_first_changes(void)
{
    setup();
    timer_set(&timers[0], 5000);
    CU_ASSERT_EQUAL(nr_programmed, 1);
    timer_set(&timers[1], 6000);
    timer_set(&timers[1], 7000);
    timer_set(&timers[1], 0);
    timer_set(&timers[0], 5000);
    CU_ASSERT_EQUAL(nr_programmed, 1);
    timer_set(&timers[0], 0);
    CU_ASSERT_EQUAL(deadline[0], 0); /* nothing armed: no tick */
}

static void test_it_fires_on_the_cpu_that_armed_it_last(void)
{
    setup();
    fake_cpu(1);
    timer_set(&timers[0], 5000);
    timer_set(&timers[1], 4000);
    CU_ASSERT_EQUAL(deadline[1], 4000);
    fake_cpu(2);
    timer_set(&timers[1], 4500); /* moves */
    timer_set(&timers[0], 0);    /* stopped from afar */
    CU_ASSERT(deadline[1] == 4000 && deadline[2] == 4500 && deadline[0] == 0);
    CU_ASSERT_EQUAL(fake_kicked, 0);
    fake_now_ns = 4499;
    cpu_run(1); /* for nothing */
    CU_ASSERT_EQUAL(nr_order, 0);
    CU_ASSERT_EQUAL(deadline[1], 0);
    fake_now_ns = 6000;
    cpu_run(0);
    CU_ASSERT_EQUAL(nr_order, 0);
    cpu_run(2);
    CU_ASSERT_EQUAL(nr_order, 1);
}

static void again(void *data)
{
    model[0].fired++;
    timer_set(data, fake_now_ns + 10);
}

static void test_a_callback_may_arm_its_own_timer(void)
{
    setup();
    timers[0] = (struct timer){ .fn = again, .data = &timers[0] };
    timer_set(&timers[0], fake_now_ns);
    for (unsigned int i = 0; i < 5; i++) {
        cpu_run(0);
        CU_ASSERT_EQUAL(model[0].fired, i + 1);
        fake_now_ns += 10;
    }
    timer_kill(&timers[0]);
    timer_set(&timers[0], fake_now_ns); /* killed: stays so */
    CU_ASSERT(!timers[0].expires_ns);
    cpu_run(0);
    CU_ASSERT_EQUAL(model[0].fired, 5);
}

static void model_fire(unsigned int cpu)
{
    for (unsigned int i = 0; i < NR_TIMERS; i++)
        if (model[i].at && model[i].cpu == cpu && model[i].at <= fake_now_ns) {
            model[i].at = 0;
            CU_ASSERT_EQUAL_FATAL(model[i].fired, 1);
            model[i].fired = 0;
        }
}

static void model_check(void)
{
    uint64_t first[NR_TEST_CPUS] = { 0 };

    for (unsigned int i = 0; i < NR_TIMERS; i++) {
        CU_ASSERT_EQUAL_FATAL(timers[i].expires_ns, model[i].at);
        CU_ASSERT_EQUAL_FATAL(model[i].fired, 0);
        if (model[i].at && (!first[model[i].cpu] || model[i].at < first[model[i].cpu]))
            first[model[i].cpu] = model[i].at;
    }
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) /* the hardware will not be late */
        if (first[i])
            CU_ASSERT_FATAL((deadline[i] && deadline[i] <= first[i]) ||
                            arch_pcpu(i)->softirqs & 1u << SOFTIRQ_TIMER);
}

static void test_random_calls_agree_with_the_model(void)
{
    setup();
    for (unsigned int step = 0; step < 40000; step++) {
        unsigned int i = rnd() % NR_TIMERS, cpu = rnd() % NR_TEST_CPUS;
        uint64_t at = fake_now_ns + rnd() % 100000;

        fake_cpu(cpu);
        switch (rnd() % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            timer_set(&timers[i], at);
            model[i].at = model[i].dead ? 0 : at;
            model[i].cpu = cpu;
            break;
        case 4:
            timer_set(&timers[i], 0);
            model[i].at = 0;
            break;
        case 5:
            if (rnd() % 8 == 0) {
                timer_kill(&timers[i]);
                model[i].at = 0;
                model[i].dead = true;
            } else if (model[i].dead) {
                timers[i] = (struct timer){ .fn = fired, .data = &timers[i] };
                model[i].dead = false;
            }
            break;
        default:
            fake_now_ns += rnd() % 20000;
            cpu_run(cpu);
            model_fire(cpu);
            break;
        }
        model_check();
    }
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("timer", NULL, NULL);
    CU_ADD_TEST(s, test_they_fire_in_order_and_never_early);
    CU_ADD_TEST(s, test_the_past_fires_at_once);
    CU_ADD_TEST(s, test_the_hardware_is_set_only_when_the_first_changes);
    CU_ADD_TEST(s, test_it_fires_on_the_cpu_that_armed_it_last);
    CU_ADD_TEST(s, test_a_callback_may_arm_its_own_timer);
    CU_ADD_TEST(s, test_random_calls_agree_with_the_model);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
