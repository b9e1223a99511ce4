/*
 * The scheduling policy in a simulation of one CPU and several: shares against weights, caps, and what sleepers,
 * yielders and players of games get.
 */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "sched_audit.h"

#define MAX_TASKS 300

struct task {
    struct entity e;
    uint64_t run_ns, sleep_ns; /* runs so much, sleeps so long; run_ns 0: never sleeps */
    bool jitter;               /* both vary between half and one and a half */
    uint64_t yields_every_ns;  /* 0: never */
    /* now */
    bool asleep;
    uint64_t left_ns, yield_left_ns, wake_at, woke_at;
    bool waiting; /* for the first time on the CPU since it woke */
    uint64_t used, latency_max, nr_wakes, latency_sum, bound_ns, nr_late;
    unsigned int cpu;
    uint64_t unserved_since; /* waits while a CPU idles that could run it; 0: no */
};

#define MAX_SIM_CPUS 4
static struct sched_queue queues[MAX_SIM_CPUS];
#define q (queues[0])                      /* the only one in most tests */
static struct task *last_on[MAX_SIM_CPUS]; /* whose registers are loaded */
static uint64_t again[MAX_SIM_CPUS];       /* the timer */
static uint64_t due[MAX_SIM_CPUS];         /* somebody asked for a choice, by then; 0: nobody */
static struct task *tasks;
static unsigned int nr_tasks, nr_cpus;
static uint64_t now, idle_ns, nr_switches, nr_moves;
static uint64_t timer_late_ns; /* the hardware is that late at most */
static uint64_t kick_ns;       /* so long takes asking another CPU for a choice */
static unsigned int rng = 1;
static bool audit = true;

static unsigned int rnd(void) { return rng = rng * 1103515245u + 12345u, rng >> 8; }
static uint64_t online(void) { return (1ULL << nr_cpus) - 1; }

static uint64_t idle_mask(void)
{
    uint64_t mask = 0;

    for (unsigned int c = 0; c < nr_cpus; c++)
        mask |= (uint64_t)(queues[c].nr == 0) << c;
    return mask;
}

/* Nobody waits while a CPU idles that it may run on, but for the time that two kicks take. */
static void check_conservation(void)
{
    for (unsigned int i = 0; i < nr_tasks; i++) {
        struct task *t = &tasks[i];

        if (!policy_waits(&queues[t->cpu], &t->e) || !(t->e.cpus & idle_mask()))
            t->unserved_since = 0;
        else if (t->unserved_since == 0)
            t->unserved_since = now;
        else if (now > t->unserved_since + 2 * kick_ns + timer_late_ns)
            CU_FAIL_FATAL("one waits while a CPU idles");
    }
}

static void check(void)
{
    for (unsigned int c = 0; audit && c < nr_cpus; c++) {
        const char *wrong = policy_audit(&queues[c]);
        const struct task *t = (struct task *)queues[c].curr;

        if (wrong)
            fprintf(stderr, "at %llu ns violated: %s\n", (unsigned long long)now, wrong);
        CU_ASSERT_FATAL(wrong == NULL);
        CU_ASSERT_FATAL(t == NULL || (t->cpu == c && (t->e.cpus >> c & 1)));
    }
    if (audit && nr_cpus > 1)
        check_conservation();
}

static void sim_reset_cpus(unsigned int cpus)
{
    free(tasks);
    tasks = calloc(MAX_TASKS, sizeof(*tasks));
    nr_tasks = 0;
    nr_cpus = cpus;
    now = 1000;
    idle_ns = nr_switches = nr_moves = timer_late_ns = 0;
    kick_ns = 5000;
    audit = true;
    memset(queues, 0, sizeof(queues));
    memset(last_on, 0, sizeof(last_on));
    memset(again, 0, sizeof(again));
    memset(due, 0, sizeof(due));
}

static void sim_reset(void) { sim_reset_cpus(1); }

static uint64_t vary(const struct task *t, uint64_t ns)
{
    return t->jitter ? ns / 2 + rnd() % (ns + 1) : ns;
}

static struct task *add(uint32_t weight, uint64_t run_ns, uint64_t sleep_ns)
{
    struct task *t = &tasks[nr_tasks++];

    t->e = (struct entity){ .weight = weight, .cpus = ~0ULL, .preferred = ~0ULL };
    t->run_ns = run_ns;
    t->sleep_ns = sleep_ns;
    t->asleep = true;
    t->wake_at = now + rnd() % 1000;
    return t;
}

static void charge(uint64_t until)
{
    for (unsigned int c = 0; c < nr_cpus; c++) {
        struct task *t = (struct task *)queues[c].curr;

        if (t == NULL) {
            idle_ns += until - now;
        } else {
            t->used += until - now;
            t->left_ns -= t->run_ns ? until - now : 0;
            t->yield_left_ns -= t->yields_every_ns ? until - now : 0;
        }
    }
    now = until;
}

/* ---- what sched.c does, without its locks ---- */

static void choose_at(unsigned int cpu, uint64_t when)
{
    if (due[cpu] == 0 || when < due[cpu])
        due[cpu] = when;
}

static void offer(unsigned int cpu)
{
    uint64_t idle = queues[cpu].nr < 2 ? 0 : idle_mask();

    for (struct entity *e = queues[cpu].all; e != NULL && idle; e = e->next) {
        uint64_t takers = policy_waits(&queues[cpu], e) ? idle & e->cpus : 0;

        if (takers)
            choose_at((unsigned int)ffs64(takers) - 1, now + kick_ns);
        idle &= ~(takers & -takers);
    }
}

static void start(struct task *t)
{
    if (policy_wake(&queues[t->cpu], &t->e, now))
        choose_at(t->cpu, now + (nr_cpus > 1 ? kick_ns : 0));
    offer(t->cpu);
}

static void move(struct task *t, unsigned int to)
{
    policy_sleep(&queues[t->cpu], &t->e, now);
    policy_move(&queues[t->cpu], &queues[to], &t->e, now);
    t->cpu = to;
    nr_moves++;
}

static void place(struct task *t)
{
    unsigned int to = policy_place(queues, &t->e, t->cpu, online(), idle_mask());

    if (to != t->cpu && !t->e.loaded) {
        move(t, to);
        start(t);
    } else if (t->e.state == ENTITY_OUT) {
        start(t);
    } else {
        offer(t->cpu);
    }
}

static void take(unsigned int from, unsigned int to, bool idles)
{
    struct task *t = (struct task *)policy_take(queues, from, to, idles);

    if (t && policy_waits(&queues[from], &t->e)) {
        move(t, to);
        start(t);
    }
}

static void balance(unsigned int cpu)
{
    uint32_t to;

    for (unsigned int c = 0; c < nr_cpus && queues[cpu].nr == 0; c++)
        if (queues[c].nr > 1)
            take(c, cpu, true);
    if (queues[cpu].contended_ns >= POLICY_ROUND_NS && policy_turn(queues, cpu, online(), &to))
        take(cpu, to, false);
}

static void pick(unsigned int cpu)
{
    struct task *before = (struct task *)queues[cpu].curr, *t, *left = last_on[cpu];

    due[cpu] = 0;
    t = (struct task *)policy_pick(&queues[cpu], now, &again[cpu]);
    nr_switches += t != before;
    if (t && t->waiting) {
        uint64_t latency = now - t->woke_at;

        t->waiting = false;
        t->latency_max = latency > t->latency_max ? latency : t->latency_max;
        t->latency_sum += latency;
        if (latency > t->bound_ns)
            t->nr_late++;
    }
    if (again[cpu])
        again[cpu] += timer_late_ns ? rnd() % timer_late_ns : 0;
    offer(cpu);
    last_on[cpu] = t;
    if (left && left != t) {
        left->e.loaded = false;
        if (left->e.state == ENTITY_READY)
            place(left);
    }
    if (nr_cpus > 1)
        balance(cpu);
}

static void wake_due(void)
{
    for (unsigned int i = 0; i < nr_tasks; i++) {
        struct task *t = &tasks[i];

        if (!t->asleep || t->wake_at > now)
            continue;
        t->asleep = false;
        t->waiting = true;
        t->woke_at = now;
        t->nr_wakes++;
        t->left_ns = t->run_ns ? vary(t, t->run_ns) : 0;
        t->yield_left_ns = t->yields_every_ns;
        place(t);
        t->bound_ns = POLICY_WAKE_NS * queues[t->cpu].weights / t->e.weight + POLICY_SLICE_NS +
                      timer_late_ns + 2 * kick_ns;
        check();
    }
}

static void yield(void)
{
    if (q.curr)
        q.curr->yields = true;
}

/* The running task is at its end, or yields. */
static void run_ends(unsigned int cpu)
{
    struct task *t = (struct task *)queues[cpu].curr;

    if (t && t->run_ns && t->left_ns == 0) {
        policy_sleep(&queues[cpu], &t->e, now);
        t->asleep = true;
        t->wake_at = now + vary(t, t->sleep_ns);
        due[cpu] = now;
    }
    if (t && t->yields_every_ns && t->yield_left_ns == 0) {
        t->e.yields = true;
        t->yield_left_ns = t->yields_every_ns;
        due[cpu] = now;
    }
}

static uint64_t min64(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t next_event(uint64_t end)
{
    uint64_t next = end;

    for (unsigned int c = 0; c < nr_cpus; c++) {
        struct task *t = (struct task *)queues[c].curr;

        if (again[c])
            next = min64(next, again[c]);
        if (due[c])
            next = min64(next, due[c]);
        if (t && t->run_ns)
            next = min64(next, now + t->left_ns);
        if (t && t->yields_every_ns)
            next = min64(next, now + t->yield_left_ns);
    }
    for (unsigned int i = 0; i < nr_tasks; i++)
        if (tasks[i].asleep)
            next = min64(next, tasks[i].wake_at);
    return next > now ? next : now;
}

static void sim_run(uint64_t ns)
{
    uint64_t end = now + ns;

    for (unsigned int c = 0; c < nr_cpus; c++)
        pick(c);
    while (now < end) {
        charge(next_event(end));
        for (unsigned int c = 0; c < nr_cpus; c++)
            run_ends(c);
        wake_due();
        for (unsigned int c = 0; c < nr_cpus; c++)
            if ((again[c] && now >= again[c]) || (due[c] && now >= due[c]))
                pick(c);
        check();
    }
    for (unsigned int c = 0; c < nr_cpus; c++)
        policy_account(&queues[c], now);
}

static void forget(void)
{
    for (unsigned int i = 0; i < nr_tasks; i++)
        tasks[i].used = tasks[i].latency_max = tasks[i].nr_wakes = tasks[i].latency_sum =
            tasks[i].nr_late = 0;
    idle_ns = nr_switches = nr_moves = 0;
}

/* Every task has its share of ns, to within part of it and slack_ns, whichever is more. */
static void expect_shares(uint64_t ns, double part, uint64_t slack_ns)
{
    double weights = 0;

    for (unsigned int i = 0; i < nr_tasks; i++)
        weights += tasks[i].e.weight;
    for (unsigned int i = 0; i < nr_tasks; i++) {
        double want = ns * (tasks[i].e.weight / weights), off = fabs(tasks[i].used - want);

        if (off > want * part && off > slack_ns) {
            fprintf(stderr, "task %u, weight %u: %.3f ms, not %.3f ms\n", i, tasks[i].e.weight,
                    tasks[i].used / 1e6, want / 1e6);
            CU_FAIL("share");
        }
    }
}

static void test_a_hundred_hogs_share_one_cpu(void)
{
    sim_reset();
    for (unsigned int i = 0; i < 100; i++)
        add(256, 0, 0);
    sim_run(SECONDS(10));
    expect_shares(SECONDS(10), 0.02, POLICY_SLICE_NS);
    CU_ASSERT_EQUAL(idle_ns < 2000, true);
    CU_ASSERT(nr_switches < 11000);
}

static void test_a_hundred_hogs_of_many_weights_share_one_cpu(void)
{
    sim_reset();
    timer_late_ns = MICROSECS(30);
    for (unsigned int i = 0; i < 100; i++)
        add(1 + rnd() % (i % 3 ? 1000 : 65535), 0, 0);
    sim_run(SECONDS(10));
    expect_shares(SECONDS(10), 0.02, POLICY_SLICE_NS);
}

static void test_up_to_four_hogs_are_right_within_a_second(void)
{
    static const uint32_t weights[][4] = {
        { 256 },
        { 256, 256 },
        { 256, 512 },
        { 256, 256, 256 },
        { 100, 200, 300 },
        { 256, 256, 256, 256 },
        { 100, 200, 300, 400 },
        { 256, 512, 1024, 2048 },
        { 64, 64, 256, 512 },
    };

    for (unsigned int w = 0; w < ARRAY_SIZE(weights); w++) {
        sim_reset();
        timer_late_ns = MICROSECS(20);
        for (unsigned int i = 0; i < 4 && weights[w][i]; i++)
            add(weights[w][i], 0, 0);
        sim_run(MILLISECS(100 + rnd() % 100));
        for (unsigned int second = 0; second < 5; second++) { /* any second, not only the first */
            forget();
            sim_run(SECONDS(1));
            expect_shares(SECONDS(1), 0.02, 0);
        }
    }
}

static void test_extreme_weights_neither_overflow_nor_starve(void)
{
    struct task *low;

    sim_reset();
    low = add(1, 0, 0);
    add(65535, 0, 0);
    sim_run(SECONDS(120));
    CU_ASSERT(low->used > 0 && low->used < MILLISECS(5));
    /* alone for a year, without a timer: virtual time wraps */
    sim_reset();
    low = add(1, 0, 0);
    sim_run(SECONDS(1));
    for (unsigned int i = 0; i < 365; i++)
        sim_run(SECONDS(86400));
    add(1, 0, 0);
    add(2, 0, 0);
    sim_run(MILLISECS(1));
    forget();
    sim_run(SECONDS(4));
    expect_shares(SECONDS(4), 0.02, 0);
}

static void test_one_alone_has_no_timer(void)
{
    uint64_t again = 1;

    sim_reset();
    add(256, 0, 0);
    sim_run(SECONDS(1));
    policy_pick(&q, now, &again);
    CU_ASSERT_EQUAL(again, 0);
    CU_ASSERT_EQUAL(nr_switches, 1);
    policy_sleep(&q, q.curr, now);
    CU_ASSERT_PTR_NULL(policy_pick(&q, now, &again));
    CU_ASSERT_EQUAL(again, 0);
}

/* The bound of sched.h, for who has had no more than its share. */
static uint64_t latency_bound(const struct task *t)
{
    uint64_t weights = 0;

    for (unsigned int i = 0; i < nr_tasks; i++)
        weights += tasks[i].e.weight;
    return POLICY_WAKE_NS * weights / t->e.weight + POLICY_SLICE_NS + timer_late_ns;
}

static void test_an_interactive_one_runs_at_once_beside_hogs(void)
{
    static const unsigned int hogs[] = { 1, 3, 10, 99 };

    for (unsigned int k = 0; k < ARRAY_SIZE(hogs); k++) {
        struct task *t;

        sim_reset();
        for (unsigned int i = 0; i < hogs[k]; i++)
            add(256, 0, 0);
        t = add(256, MICROSECS(30), MILLISECS(10)); /* 0.3 %: always less than its share */
        t->jitter = true;
        sim_run(SECONDS(5));
        CU_ASSERT(t->nr_wakes > 150);
        CU_ASSERT(t->latency_max <= latency_bound(t));
        CU_ASSERT(t->latency_sum / t->nr_wakes <= POLICY_LEAST_NS + POLICY_WAKE_NS * hogs[k] / 4);
        if (k < 2) /* few: it preempts whoever runs */
            CU_ASSERT(t->latency_max <= POLICY_LEAST_NS + POLICY_MIN_NS);
    }
}

static void test_many_that_wake_at_once_keep_the_latency_bound(void)
{
    sim_reset();
    for (unsigned int i = 0; i < 20; i++)
        add(256 * (1 + i % 4), 0, 0);
    for (unsigned int i = 0; i < 40; i++)
        add(256 * (1 + i % 3), MICROSECS(40), MILLISECS(20) - MICROSECS(40));
    for (unsigned int round = 0; round < 100; round++) {
        for (unsigned int i = 20; i < nr_tasks; i++)
            if (tasks[i].asleep)
                tasks[i].wake_at = now;
        sim_run(MILLISECS(20));
    }
    for (unsigned int i = 20; i < nr_tasks; i++)
        CU_ASSERT(tasks[i].latency_max <= latency_bound(&tasks[i]));
}

/* Beside a hog of equal weight nobody gets more than half, whatever pattern it sleeps in. */
static void test_no_pattern_of_sleep_gains_share(void)
{
    static const uint64_t lengths[] = { 1000,    20000,   99000,   101000,  249000,
                                        260000,  490000,  1000000, 2400000, 4900000,
                                        5000000, 9900000, 20000000 };

    for (unsigned int r = 0; r < ARRAY_SIZE(lengths); r++)
        for (unsigned int s = 0; s < ARRAY_SIZE(lengths); s += 2) {
            struct task *hog, *player;

            sim_reset();
            audit = false;
            hog = add(256, 0, 0);
            player = add(256, lengths[r], lengths[s]);
            player->jitter = r & 1;
            sim_run(SECONDS(2));
            if (hog->used < SECONDS(2) / 2 - MILLISECS(10)) {
                fprintf(stderr, "run %llu sleep %llu: the hog had only %.1f ms\n",
                        (unsigned long long)lengths[r], (unsigned long long)lengths[s],
                        hog->used / 1e6);
                CU_FAIL("a sleeper gained");
            }
        }
}

/* And it loses nothing: who asks for less than its share gets what it asks for. */
static void test_who_needs_less_than_its_share_gets_it(void)
{
    for (unsigned int hogs = 1; hogs <= 9; hogs += 4) {
        struct task *t;
        double duty = 0.8 / (hogs + 1);

        sim_reset();
        for (unsigned int i = 0; i < hogs; i++)
            add(256, 0, 0);
        t = add(256, MILLISECS(1), (uint64_t)(MILLISECS(1) / duty - MILLISECS(1)));
        sim_run(SECONDS(10));
        /* waiting stretches its cycle; in a cycle of c it waits one request of each other at most */
        CU_ASSERT(t->used > SECONDS(10) * duty * 0.55);
        CU_ASSERT(t->used < SECONDS(10) / (hogs + 1) + MILLISECS(10));
    }
}

static void test_one_that_slept_long_comes_back_as_an_equal(void)
{
    struct task *t;

    sim_reset();
    add(256, 0, 0);
    t = add(256, MILLISECS(1), SECONDS(60));
    sim_run(SECONDS(61));
    t->run_ns = 0; /* a hog from now on */
    sim_run(MILLISECS(1));
    while (t->asleep)
        sim_run(MILLISECS(1));
    forget();
    sim_run(SECONDS(1));
    expect_shares(SECONDS(1), 0.02, 0);
}

static void test_yielding_gains_nothing_and_starves_nobody(void)
{
    static const uint64_t every[] = { 1000, 50000, 400000, 3000000 };

    for (unsigned int k = 0; k < ARRAY_SIZE(every); k++) {
        struct task *hog, *yielder;

        sim_reset();
        hog = add(256, 0, 0);
        yielder = add(256, 0, 0);
        yielder->yields_every_ns = every[k];
        sim_run(SECONDS(2));
        CU_ASSERT(hog->used >= SECONDS(1) - MILLISECS(10));
        CU_ASSERT(yielder->used > 0);
        yielder->yields_every_ns = 0; /* all that it gave away does not come back at once */
        sim_run(MILLISECS(20));
        forget();
        sim_run(SECONDS(1));
        expect_shares(SECONDS(1), 0.02, 0);
    }
}

static void test_a_yield_lets_the_other_run(void)
{
    struct task *t[3];
    uint64_t again;

    sim_reset();
    for (unsigned int i = 0; i < 3; i++)
        t[i] = add(256, 0, 0);
    sim_run(MILLISECS(50));
    for (unsigned int i = 0; i < 100; i++) {
        struct entity *was = q.curr;

        now += rnd() % 50000;
        yield();
        CU_ASSERT(policy_pick(&q, now, &again) != was);
        check();
    }
    CU_ASSERT_PTR_NOT_NULL(t[0]);
    policy_sleep(&q, &t[0]->e, now); /* alone in the end: goes on */
    policy_sleep(&q, &t[1]->e, now);
    policy_pick(&q, now, &again);
    yield();
    CU_ASSERT_PTR_EQUAL(policy_pick(&q, now, &again), &t[2]->e);
}

static void set_cap(struct task *t, uint32_t cap) { policy_set(&q, &t->e, t->e.weight, cap, now); }

static void test_caps_hold_in_any_second(void)
{
    static const uint32_t caps[] = { 1, 5, 10, 33, 50, 80, 99 };

    for (unsigned int busy = 0; busy < 2; busy++)
        for (unsigned int k = 0; k < ARRAY_SIZE(caps); k++) {
            double most = SECONDS(1) * caps[k] / 100.0, least = most;
            struct task *t;

            sim_reset();
            timer_late_ns = MICROSECS(20);
            t = add(256, 0, 0);
            set_cap(t, caps[k]);
            if (busy) {
                add(256, 0, 0);
                add(512, 0, 0);
                least = min64((uint64_t)most, SECONDS(1) / 4);
            }
            sim_run(MILLISECS(500 + rnd() % 20));
            for (unsigned int i = 0; i < 4; i++) {
                forget();
                sim_run(SECONDS(1) + MILLISECS(0));
                CU_ASSERT(t->used <= most * 1.02);
                CU_ASSERT(t->used >= least * (least == most || !busy ? 0.98 : 0.96));
                sim_run(rnd() % MILLISECS(20));
            }
        }
}

static void test_a_cap_cannot_be_saved_up_by_sleeping(void)
{
    struct task *t;

    sim_reset();
    t = add(256, MILLISECS(3), MILLISECS(70));
    set_cap(t, 20); /* 2 ms in 10 ms */
    sim_run(SECONDS(3));
    set_cap(t, 20);
    t->run_ns = 0;
    while (t->asleep)
        sim_run(MILLISECS(1));
    forget();
    sim_run(SECONDS(1));
    CU_ASSERT(t->used <= MILLISECS(204));
}

static void test_the_uncapped_get_what_a_capped_one_may_not_use(void)
{
    struct task *capped, *hog;

    sim_reset();
    capped = add(4096, 0, 0);
    hog = add(256, 0, 0);
    set_cap(capped, 30);
    sim_run(SECONDS(2));
    CU_ASSERT(capped->used >= MILLISECS(588) && capped->used <= MILLISECS(612));
    CU_ASSERT(hog->used >= MILLISECS(1380));
    CU_ASSERT(idle_ns < MICROSECS(10));
}

static void test_a_new_weight_counts_from_now_on(void)
{
    sim_reset();
    add(256, 0, 0);
    add(256, 0, 0);
    sim_run(SECONDS(1));
    for (unsigned int i = 0; i < 6; i++) {
        policy_set(&q, &tasks[0].e, i & 1 ? 65535 : 1, 0, now);
        check();
        sim_run(MILLISECS(100));
    }
    policy_set(&q, &tasks[0].e, 768, 0, now);
    sim_run(MILLISECS(20));
    forget();
    sim_run(SECONDS(1));
    expect_shares(SECONDS(1), 0.02, 0);
}

/* Random calls in any order; after each the queue is audited, and whoever is runnable gets to run. */
static void test_random_sequences_keep_the_invariants(void)
{
    for (unsigned int seed = 1; seed <= 40; seed++) {
        struct sched_queue other = { .curr = NULL };
        uint64_t again, longest = 0;

        rng = seed;
        sim_reset();
        for (unsigned int i = 0; i < 12; i++) {
            struct task *t = add(rnd() % 3 ? 256 : 1 + rnd() % 65535, 0, 0);

            if (rnd() % 3 == 0)
                set_cap(t, 1 + rnd() % 99);
        }
        for (unsigned int step = 0; step < 4000; step++) {
            struct task *t = &tasks[rnd() % nr_tasks];

            now += rnd() % 8 ? rnd() % 300000 : rnd() % 20000000;
            switch (rnd() % 8) {
            case 0:
            case 1:
                if (t->e.state == ENTITY_OUT) {
                    policy_wake(&q, &t->e, now);
                    t->woke_at = now;
                }
                break;
            case 2: policy_sleep(&q, &t->e, now); break;
            case 3: yield(); break;
            case 4:
                policy_set(&q, &t->e, 1 + rnd() % (rnd() % 2 ? 300 : 65535),
                           rnd() % 4 ? t->e.cap : rnd() % 100, now);
                break;
            case 5:
                if (t->e.state == ENTITY_OUT) {
                    policy_move(&q, &other, &t->e, now);
                    policy_move(&other, &q, &t->e, now);
                }
                break;
            default: break;
            }
            check();
            policy_pick(&q, now, &again);
            check();
            CU_ASSERT_FATAL((q.curr != NULL) == (q.nr != 0));
            CU_ASSERT_FATAL(q.nr < 2 || again > now);
            CU_ASSERT_FATAL(again == 0 || again > now);
            if (q.curr)
                ((struct task *)q.curr)->woke_at = now;
            longest = longest > now ? longest : now;
        }
        for (unsigned int i = 0; i < nr_tasks; i++) /* and all can be taken out again */
            policy_sleep(&q, &tasks[i].e, now);
        CU_ASSERT(q.nr == 0 && q.weights == 0 && q.sum == 0 && q.curr == NULL);
        CU_ASSERT_PTR_NULL(q.all);
    }
}

/* ---- several CPUs ---- */

/* The share of a CPU that each task should have: by weight, but none more than one CPU. */
static void ideal_shares(double share[])
{
    double left = nr_cpus, weights = 0;
    bool full[MAX_TASKS] = { false }, changed = true;

    for (unsigned int i = 0; i < nr_tasks; i++)
        weights += tasks[i].e.weight;
    while (changed) {
        changed = false;
        for (unsigned int i = 0; i < nr_tasks; i++)
            if (!full[i] && tasks[i].e.weight * left >= weights) {
                full[i] = changed = true;
                left -= 1;
                weights -= tasks[i].e.weight;
            }
    }
    for (unsigned int i = 0; i < nr_tasks; i++)
        share[i] = full[i] ? 1 : tasks[i].e.weight * left / weights;
}

static void expect_ideal(uint64_t ns, double part, const char *what)
{
    double share[MAX_TASKS];

    ideal_shares(share);
    for (unsigned int i = 0; i < nr_tasks; i++) {
        double want = ns * share[i];

        if (getenv("SHOW"))
            fprintf(stderr, "%s%u:%+.1f%%", i ? " " : "", tasks[i].e.weight,
                    (tasks[i].used / want - 1) * 100);
        if (fabs(tasks[i].used - want) > want * part) {
            fprintf(stderr, "%s: task %u, weight %u: %.1f ms, not %.1f ms\n", what, i,
                    tasks[i].e.weight, tasks[i].used / 1e6, want / 1e6);
            CU_FAIL("share");
        }
    }
    if (getenv("SHOW"))
        fprintf(stderr, "   %u CPUs, %.1f moves/s\n", nr_cpus, nr_moves * 1e9 / ns);
}

static void test_equal_hogs_share_several_cpus(void)
{
    for (unsigned int cpus = 2; cpus <= 4; cpus++)
        for (unsigned int n = 1; n <= 14; n++) {
            sim_reset_cpus(cpus);
            timer_late_ns = MICROSECS(20);
            for (unsigned int i = 0; i < n; i++)
                add(256, 0, 0);
            sim_run(SECONDS(3)); /* spread: they all came up on CPU 0 */
            forget();
            sim_run(SECONDS(4));
            expect_ideal(SECONDS(4), 0.05, "equal");
            CU_ASSERT_EQUAL(idle_ns, n < cpus ? (cpus - n) * SECONDS(4) : 0);
            if (n % cpus == 0 || n < cpus)
                CU_ASSERT_EQUAL(nr_moves, 0);
        }
}

static void test_weights_count_over_several_cpus(void)
{
    static const struct {
        unsigned int cpus;
        uint32_t weights[8];
    } sets[] = {
        { 2, { 512, 256, 256 } },
        { 2, { 512, 256, 256, 256 } },
        { 2, { 512, 256, 256, 256, 256 } },
        { 2, { 512, 512, 256 } },
        { 2, { 400, 300, 300 } },
        { 2, { 300, 256, 256, 256 } },
        { 2, { 1024, 256, 256 } },
        { 2, { 1024, 256, 256, 256, 256 } },
        { 2, { 2048, 256, 256, 256, 256, 256 } },
        { 2, { 100, 200, 300, 400 } },
        { 2, { 64, 256, 256 } },
        { 3, { 512, 256, 256, 256, 256 } },
        { 4, { 512, 512, 256, 256, 256, 256 } },
        { 4, { 512, 256, 256, 256, 256, 256, 256, 256 } },
        { 4, { 1024, 512, 256, 256, 256, 256, 128 } },
    };

    for (unsigned int k = 0; k < ARRAY_SIZE(sets); k++) {
        sim_reset_cpus(sets[k].cpus);
        timer_late_ns = MICROSECS(20);
        for (unsigned int i = 0; i < 8 && sets[k].weights[i]; i++)
            add(sets[k].weights[i], 0, 0);
        sim_run(SECONDS(1));
        forget();
        sim_run(SECONDS(8));
        expect_ideal(SECONDS(8), 0.12, "weights");
        CU_ASSERT(nr_moves < 8 * 25 * nr_cpus);
    }
}

static void pin(struct task *t, uint64_t cpus, uint64_t preferred)
{
    t->e.cpus = cpus;
    t->e.preferred = preferred;
    t->cpu = (unsigned int)ffs64(cpus) - 1;
}

/* Who sleeps, who hogs and who is capped or pinned at random; check() looks for who waits in vain. */
static void test_no_cpu_idles_while_one_waits(void)
{
    for (unsigned int seed = 1; seed <= 60; seed++) {
        rng = seed;
        sim_reset_cpus(2 + rnd() % 3);
        timer_late_ns = seed & 1 ? MICROSECS(20) : 0;
        for (unsigned int i = 0; i < 3 + seed % 12; i++) {
            uint64_t run = 1000 + rnd() % (rnd() % 2 ? 5000000 : 50000);
            struct task *t = add(256 * (1 + rnd() % 4), rnd() % 4 ? run : 0, 1 + rnd() % 8000000);
            uint64_t cpus = 1 + rnd() % online();

            t->jitter = true;
            if (rnd() % 3 == 0)
                pin(t, cpus, cpus & rnd() ?: cpus);
            if (rnd() % 5 == 0)
                policy_set(&queues[t->cpu], &t->e, t->e.weight, 1 + rnd() % 99, now);
            if (rnd() % 8 == 0)
                t->yields_every_ns = 100000 + rnd() % 1000000;
        }
        sim_run(MILLISECS(500));
    }
}

static void test_one_hog_more_than_cpus_pinned_or_not(void)
{
    sim_reset_cpus(2); /* two on CPU 0, one on CPU 1, one anywhere: it belongs to CPU 1 */
    pin(add(256, 0, 0), 1, 1);
    pin(add(256, 0, 0), 1, 1);
    pin(add(256, 0, 0), 2, 2);
    add(256, 0, 0);
    sim_run(SECONDS(1));
    forget();
    sim_run(SECONDS(4));
    expect_ideal(SECONDS(4), 0.02, "pinned");
    CU_ASSERT_EQUAL(nr_moves, 0);
    /* the pins let CPU 1 run ahead for long; when they go, all are equal at once */
    sim_reset_cpus(2);
    for (unsigned int i = 0; i < 3; i++)
        pin(add(256, 0, 0), 1, 1);
    pin(add(256, 0, 0), 2, 2);
    sim_run(SECONDS(600));
    for (unsigned int i = 0; i < 4; i++)
        tasks[i].e.cpus = tasks[i].e.preferred = 3;
    sim_run(MILLISECS(500));
    forget();
    sim_run(SECONDS(1));
    expect_ideal(SECONDS(1), 0.02, "no longer pinned");
    CU_ASSERT_EQUAL(nr_moves, 0);
}

static void test_preferred_cpus_come_first(void)
{
    struct task *a, *b, *c;

    sim_reset_cpus(2);
    a = add(256, 0, 0);
    b = add(256, 0, 0);
    c = add(256, MILLISECS(1), MILLISECS(1));
    pin(a, 3, 1);
    pin(b, 3, 1);
    pin(c, 2, 2);
    sim_run(SECONDS(1));
    forget();
    sim_run(SECONDS(4));
    /* a and b prefer CPU 0, take CPU 1 when it idles and do not take turns there */
    CU_ASSERT(a->used + b->used > SECONDS(6) * 9 / 10);
    CU_ASSERT(c->used > SECONDS(2) * 9 / 10);
    sim_reset_cpus(2); /* where there is room, all are where they prefer */
    a = add(256, MILLISECS(3), MILLISECS(2));
    b = add(256, MILLISECS(2), MILLISECS(5));
    pin(a, 3, 2);
    pin(b, 3, 1);
    sim_run(MILLISECS(100));
    forget();
    sim_run(SECONDS(1));
    CU_ASSERT(a->cpu == 1 && b->cpu == 0 && nr_moves == 0);
}

static void test_caps_hold_over_several_cpus(void)
{
    struct task *capped;

    sim_reset_cpus(2);
    timer_late_ns = MICROSECS(20);
    capped = add(256, 0, 0);
    for (unsigned int i = 0; i < 3; i++)
        add(256, 0, 0);
    policy_set(&q, &capped->e, 256, 30, now);
    sim_run(SECONDS(1));
    for (unsigned int i = 0; i < 4; i++) {
        forget();
        sim_run(SECONDS(1));
        CU_ASSERT(capped->used <= MILLISECS(306) && capped->used >= MILLISECS(270));
        for (unsigned int k = 1; k < 4; k++)
            CU_ASSERT(tasks[k].used > SECONDS(17) / 30 * 9 / 10);
        CU_ASSERT_EQUAL(idle_ns, 0);
    }
}

static void test_waking_keeps_its_bound_on_several_cpus(void)
{
    for (unsigned int cpus = 2; cpus <= 4; cpus++) {
        unsigned int hogs = 2 * cpus + 1;

        sim_reset_cpus(cpus);
        for (unsigned int i = 0; i < hogs; i++)
            add(256 * (1 + i % 3), 0, 0);
        for (unsigned int i = 0; i < 6; i++) {
            add(256, MICROSECS(40), MILLISECS(7))->jitter = true;
            add(256, MICROSECS(400), MILLISECS(11))->jitter = true;
        }
        sim_run(SECONDS(5));
        for (unsigned int i = hogs; i < nr_tasks; i++) {
            CU_ASSERT(tasks[i].nr_wakes > 200);
            CU_ASSERT_EQUAL(tasks[i].nr_late, 0);
        }
        sim_reset_cpus(cpus); /* a CPU idles: at once */
        for (unsigned int i = 0; i < cpus - 1; i++)
            add(256, 0, 0);
        add(256, MICROSECS(40), MILLISECS(3))->jitter = true;
        sim_run(SECONDS(2));
        CU_ASSERT(tasks[cpus - 1].latency_max <= kick_ns);
        CU_ASSERT(nr_moves < 2 * cpus); /* and the hogs stay where they are */
    }
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("sched_sim", NULL, NULL);
    CU_ADD_TEST(s, test_a_hundred_hogs_share_one_cpu);
    CU_ADD_TEST(s, test_a_hundred_hogs_of_many_weights_share_one_cpu);
    CU_ADD_TEST(s, test_up_to_four_hogs_are_right_within_a_second);
    CU_ADD_TEST(s, test_extreme_weights_neither_overflow_nor_starve);
    CU_ADD_TEST(s, test_one_alone_has_no_timer);
    CU_ADD_TEST(s, test_an_interactive_one_runs_at_once_beside_hogs);
    CU_ADD_TEST(s, test_many_that_wake_at_once_keep_the_latency_bound);
    CU_ADD_TEST(s, test_no_pattern_of_sleep_gains_share);
    CU_ADD_TEST(s, test_who_needs_less_than_its_share_gets_it);
    CU_ADD_TEST(s, test_one_that_slept_long_comes_back_as_an_equal);
    CU_ADD_TEST(s, test_yielding_gains_nothing_and_starves_nobody);
    CU_ADD_TEST(s, test_a_yield_lets_the_other_run);
    CU_ADD_TEST(s, test_caps_hold_in_any_second);
    CU_ADD_TEST(s, test_a_cap_cannot_be_saved_up_by_sleeping);
    CU_ADD_TEST(s, test_the_uncapped_get_what_a_capped_one_may_not_use);
    CU_ADD_TEST(s, test_a_new_weight_counts_from_now_on);
    CU_ADD_TEST(s, test_random_sequences_keep_the_invariants);
    CU_ADD_TEST(s, test_equal_hogs_share_several_cpus);
    CU_ADD_TEST(s, test_weights_count_over_several_cpus);
    CU_ADD_TEST(s, test_no_cpu_idles_while_one_waits);
    CU_ADD_TEST(s, test_one_hog_more_than_cpus_pinned_or_not);
    CU_ADD_TEST(s, test_preferred_cpus_come_first);
    CU_ADD_TEST(s, test_caps_hold_over_several_cpus);
    CU_ADD_TEST(s, test_waking_keeps_its_bound_on_several_cpus);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
