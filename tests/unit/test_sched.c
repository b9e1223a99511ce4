/* vCPU states, run queues of several CPUs and switching, with the real policy and timers. */
#include <CUnit/Basic.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "sched/sched.c" /* its private structures are what the audit looks at */
#include "sched_audit.h"
#include "x86/upcalls.h"

#define NR_TEST_CPUS 3
#define NR_TEST_VCPUS 9
#define ALL_CPUS 7ULL

static struct domain *d, *idle_d;
static uint64_t deadline[NR_TEST_CPUS], created_ns;
static unsigned int rng = 1, nr_switches;

void arch_timer_program(uint64_t ns) { deadline[this_pcpu()->id] = ns; }
static struct vcpu *saving[NR_TEST_CPUS];   /* left by a CPU that has not saved its registers yet */
static void (*meanwhile)(unsigned int cpu); /* what other CPUs do while CPU cpu switches */
void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    unsigned int cpu = this_pcpu()->id;

    CU_ASSERT_FATAL(!fake_irqs_on && this_pcpu()->locks_held == 0);
    CU_ASSERT_PTR_EQUAL_FATAL(current, prev);
    CU_ASSERT_FATAL(next->is_idle || atomic_load(&next->processor) == cpu);
    CU_ASSERT_FATAL(next->running && prev->running);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        CU_ASSERT_PTR_NOT_EQUAL_FATAL(next, saving[i]);
    if (meanwhile) {
        saving[cpu] = prev;
        meanwhile(cpu);
        saving[cpu] = NULL;
        fake_cpu(cpu);
        fake_irqs_on = false;
        CU_ASSERT_FATAL(prev->running && next->running && this_pcpu()->locks_held == 0);
    }
    this_pcpu()->running = next;
    nr_switches++;
}

static unsigned int rnd(void) { return rng = rng * 1103515245u + 12345u, rng >> 8; }

static void setup(unsigned int nr_cpus, unsigned int nr_vcpus)
{
    fake_reset(nr_cpus);
    fake_now_ns = created_ns = 5000;
    memset(deadline, 0, sizeof(deadline));
    nr_switches = 0;
    meanwhile = NULL;
    for (unsigned int i = 0; i < nr_cpus; i++) {
        timers_init_cpu(i);
        sched_init_cpu(i);
    }
    idle_d = fake_domain(DOMID_IDLE, nr_cpus);
    for (unsigned int i = 0; i < nr_cpus; i++) {
        struct vcpu *v = idle_d->vcpu[i];

        v->is_idle = true;
        atomic_store(&v->processor, i);
        sched_vcpu_init(v);
        atomic_store(&v->running, true);
        fake_cpu(i);
        this_pcpu()->idle = this_pcpu()->running = v;
    }
    fake_cpu(0);
    d = fake_domain(1, nr_vcpus);
    for (unsigned int i = 0; i < nr_vcpus; i++) {
        atomic_store(&d->vcpu[i]->pause_flags, VPF_DOWN);
        sched_vcpu_init(d->vcpu[i]);
        vcpu_timers_init(d->vcpu[i]);
    }
}

static void cpu_run(unsigned int cpu)
{
    fake_cpu(cpu);
    if (deadline[cpu] && deadline[cpu] <= fake_now_ns)
        softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    CU_ASSERT_FATAL(!fake_irqs_on && this_pcpu()->softirqs == 0);
    fake_irqs_on = true;
}

static struct vcpu *runs_on(unsigned int cpu)
{
    fake_cpu(cpu);
    return current;
}

static bool pending(unsigned int cpu) { return arch_pcpu(cpu)->softirqs & 1u << SOFTIRQ_SCHEDULE; }

static void settle(void)
{
    bool more = true;

    for (unsigned int round = 0; more; round++) {
        CU_ASSERT_FATAL(round < 20);
        more = false;
        for (unsigned int i = 0; arch_cpus_online() >> i & 1; i++)
            cpu_run(i);
        for (unsigned int i = 0; arch_cpus_online() >> i & 1; i++)
            more |= pending(i);
    }
    fake_cpu(0);
}

static void teardown(void)
{
    meanwhile = NULL;
    fake_cpu(0);
    for (unsigned int i = 0; i < d->max_vcpus; i++)
        vcpu_pause_set(d->vcpu[i], VPF_PAUSED);
    settle();
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        vcpu_timers_kill(d->vcpu[i]);
        sched_vcpu_destroy(d->vcpu[i]);
    }
    fake_domain_free(d);
    fake_domain_free(idle_d);
}

static uint64_t sum(const struct vcpu_runstate_info *r)
{
    return r->time[0] + r->time[1] + r->time[2] + r->time[3];
}

static bool parked(const struct sched_queue *q)
{
    for (const struct entity *e = q->all; e != NULL; e = e->next)
        if (e->state == ENTITY_PARKED)
            return true;
    return false;
}

/* One of cpus idles; and one is about to look for something to run. */
static bool idles_or_looks(uint64_t cpus, bool *looks)
{
    bool idles = *looks = false;

    for (uint64_t m = cpus & arch_cpus_online(); m; m &= m - 1) {
        idles |= queues[ffs64(m) - 1].curr == NULL;
        *looks |= pending(ffs64(m) - 1);
    }
    return idles;
}

/* What must hold between any two calls, whatever is pending. */
static void audit(void)
{
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        struct entity *e = &v->entity;
        struct sched_queue *q = &queues[v->processor];
        bool looks;

        CU_ASSERT_EQUAL_FATAL(v->runstate.state_entry_time - created_ns, sum(&v->runstate));
        CU_ASSERT_FATAL(v->runstate.state_entry_time <= fake_now_ns);
        CU_ASSERT_EQUAL_FATAL(v->running, arch_pcpu(v->processor)->running == v);
        CU_ASSERT_EQUAL_FATAL(v->running, e->loaded);
        CU_ASSERT_EQUAL_FATAL(v->running, q->curr == e);
        CU_ASSERT_EQUAL_FATAL(v->running, v->runstate.state == RUNSTATE_running);
        if (!v->running) { /* no wake-up is ever lost */
            CU_ASSERT_EQUAL_FATAL(v->pause_flags == 0, e->state != ENTITY_OUT);
            CU_ASSERT_EQUAL_FATAL(v->runstate.state, runstate_not_running(v));
            CU_ASSERT_FATAL(e->cpus >> v->processor & 1);
        } else {
            CU_ASSERT_FATAL(v->pause_flags == 0 || pending(v->processor));
            CU_ASSERT_FATAL((e->cpus >> v->processor & 1) || pending(v->processor));
        }
        CU_ASSERT_FATAL(!policy_waits(q, e) || !idles_or_looks(e->cpus, &looks) || looks ||
                        (q->curr == NULL && q->nr == 1)); /* its own CPU was quicker */
    }
    for (unsigned int i = 0; arch_cpus_online() >> i & 1; i++) {
        struct sched_queue *q = &queues[i];
        bool armed = pcpus[i].again.expires_ns != 0;
        const char *wrong = policy_audit(q);

        if (wrong)
            fprintf(stderr, "CPU %u violates: %s\n", i, wrong);
        CU_ASSERT_FATAL(wrong == NULL);
        CU_ASSERT_EQUAL_FATAL(arch_pcpu(i)->locks_held, 0);
        CU_ASSERT_FATAL(q->nr == 0 || q->curr || pending(i));
        CU_ASSERT_FATAL(q->nr < 2 || armed || pending(i));
        CU_ASSERT_FATAL(!parked(q) || armed || pending(i));
        CU_ASSERT_FATAL(!several || (idle_cpus >> i & 1) == (q->nr == 0) || pending(i));
        CU_ASSERT_FATAL(!(idle_cpus >> i & 1) || q->nr == 0 || !several);
    }
}

static void test_a_new_vcpu_is_down_and_runs_when_it_comes_up(void)
{
    struct vcpu_runstate_info r;
    struct vcpu *v;

    setup(1, 1);
    v = d->vcpu[0];
    CU_ASSERT_EQUAL(v->pause_flags, VPF_DOWN);
    cpu_run(0);
    CU_ASSERT(current->is_idle);
    fake_now_ns += 100;
    vcpu_pause_clear(v, VPF_DOWN);
    audit();
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    CU_ASSERT_EQUAL(deadline[0], 0); /* alone: no timer */
    fake_now_ns += 40;
    vcpu_runstate_get(v, &r);
    CU_ASSERT_EQUAL(r.state, RUNSTATE_running);
    CU_ASSERT(r.time[RUNSTATE_offline] == 100 && r.time[RUNSTATE_running] == 40);
    teardown();
}

static void test_blocking_races_with_events(void)
{
    struct vcpu *v;

    setup(1, 1);
    v = d->vcpu[0];
    vcpu_pause_clear(v, VPF_DOWN);
    cpu_run(0);
    v->info->evtchn_upcall_pending = 1; /* came before: does not block */
    vcpu_block();
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    v->info->evtchn_upcall_mask = 1; /* masked: does not count */
    vcpu_block();
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED);
    vcpu_unblock(v); /* came after the check, before the switch */
    audit();
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    CU_ASSERT_EQUAL(nr_switches, 1);
    v->info->evtchn_upcall_pending = 0;
    vcpu_block();
    cpu_run(0);
    CU_ASSERT(current->is_idle);
    CU_ASSERT_EQUAL(v->runstate.state, RUNSTATE_blocked);
    vcpu_unblock(v); /* came when it was asleep */
    vcpu_unblock(v);
    CU_ASSERT_EQUAL(v->runstate.state, RUNSTATE_runnable);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    teardown();
}

static void test_it_runs_only_when_no_reason_against_it_is_left(void)
{
    struct vcpu *v;

    setup(1, 1);
    v = d->vcpu[0];
    vcpu_pause_clear(v, VPF_DOWN);
    cpu_run(0);
    vcpu_pause_set(v, VPF_BLOCKED | VPF_POLL);
    vcpu_pause_set(v, VPF_PAUSED);
    cpu_run(0);
    CU_ASSERT(current->is_idle);
    CU_ASSERT_EQUAL(v->runstate.state, RUNSTATE_blocked); /* dominates */
    vcpu_unblock(v);
    CU_ASSERT_EQUAL(v->runstate.state, RUNSTATE_offline);
    cpu_run(0);
    CU_ASSERT(current->is_idle);
    vcpu_pause_clear(v, VPF_PAUSED);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    vcpu_pause_set(v, VPF_PAUSED);
    CU_ASSERT_EQUAL(v->runstate.state, RUNSTATE_running); /* until it has stopped */
    vcpu_pause_clear(v, VPF_PAUSED);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    teardown();
}

static void test_waking_on_another_cpu_kicks_it(void)
{
    setup(2, 2);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], 2, 0), 0);
    fake_kicked = 0;
    vcpu_pause_clear(d->vcpu[1], VPF_DOWN);
    CU_ASSERT_EQUAL(fake_kicked, 2);
    fake_kicked = 0;
    vcpu_pause_set(d->vcpu[1], VPF_PAUSED);
    vcpu_pause_clear(d->vcpu[1], VPF_PAUSED);
    CU_ASSERT_EQUAL(fake_kicked, 0); /* is still pending there */
    cpu_run(1);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[1]);
    teardown();
}

static void test_two_share_by_slices(void)
{
    struct vcpu_runstate_info a, b;

    setup(1, 2);
    vcpu_pause_clear(d->vcpu[0], VPF_DOWN);
    vcpu_pause_clear(d->vcpu[1], VPF_DOWN);
    sched_set_params(d->vcpu[0], 768, 0);
    while (fake_now_ns < SECONDS(2)) {
        cpu_run(0);
        audit();
        CU_ASSERT_FATAL(deadline[0] > fake_now_ns &&
                        deadline[0] <= fake_now_ns + POLICY_SLICE_NS + 1);
        fake_now_ns = deadline[0] + rnd() % 20000;
    }
    vcpu_runstate_get(d->vcpu[0], &a);
    vcpu_runstate_get(d->vcpu[1], &b);
    CU_ASSERT(a.time[0] > SECONDS(1) * 147 / 100 && a.time[0] < SECONDS(1) * 153 / 100);
    CU_ASSERT_EQUAL(a.time[0], b.time[1]);
    CU_ASSERT(sum(&a) == sum(&b) && sum(&a) == fake_now_ns - created_ns);
    teardown();
}

static void test_affinity_places_again(void)
{
    struct vcpu *v;

    setup(3, 3);
    v = d->vcpu[0];
    CU_ASSERT_EQUAL(sched_set_affinity(v, 8, 0), -EINVAL);
    vcpu_pause_clear(v, VPF_DOWN);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, v);
    CU_ASSERT_EQUAL(sched_set_affinity(v, 4, 0), 0); /* while it runs here */
    audit();
    CU_ASSERT_EQUAL(v->processor, 0);
    cpu_run(0);
    CU_ASSERT(current->is_idle);
    CU_ASSERT_EQUAL(v->processor, 2);
    audit();
    cpu_run(2);
    CU_ASSERT_PTR_EQUAL(current, v);
    fake_cpu(0);
    CU_ASSERT_EQUAL(sched_set_affinity(v, 1, 0), 0); /* while it runs there */
    settle();
    audit();
    CU_ASSERT_PTR_EQUAL(runs_on(0), v);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], 4, 0), 0); /* asleep: at once */
    CU_ASSERT_EQUAL(d->vcpu[1]->processor, 2);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], ALL_CPUS, 0), 0); /* allowed: stays */
    CU_ASSERT_EQUAL(d->vcpu[1]->processor, 2);
    vcpu_pause_clear(d->vcpu[1], VPF_DOWN);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], 2, 0), 0); /* waits: takes its wish with it */
    audit();
    cpu_run(1);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[1]);
    teardown();
}

static void test_the_runstate_area_follows_the_protocol(void)
{
    struct vcpu_runstate_info area = { .state = 77 };

    setup(1, 2);
    fake_guest_map(&area, sizeof(area), FAKE_READ_WRITE);
    d->vcpu[0]->runstate_area = fake_va(&area);
    d->vm_assist = 1ULL << VMASST_TYPE_runstate_update_flag;
    fake_now_ns += 10;
    vcpu_pause_clear(d->vcpu[0], VPF_DOWN);
    cpu_run(0);
    CU_ASSERT_EQUAL(area.state, RUNSTATE_running);
    CU_ASSERT_EQUAL(area.state_entry_time, fake_now_ns);
    fake_fail_copy(2); /* the guest unmaps it in between: it stays marked */
    vcpu_runstate_update_area(d->vcpu[0]);
    CU_ASSERT_EQUAL(area.state_entry_time, fake_now_ns | XEN_RUNSTATE_UPDATE);
    fake_fail_copy(1);
    vcpu_runstate_update_area(d->vcpu[0]);
    vcpu_runstate_update_area(d->vcpu[0]);
    CU_ASSERT_EQUAL(area.state_entry_time, fake_now_ns);
    fake_now_ns += MILLISECS(20);
    vcpu_pause_clear(d->vcpu[1], VPF_DOWN); /* preempted: the siblings see it */
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[1]);
    CU_ASSERT_EQUAL(area.state, RUNSTATE_runnable);
    CU_ASSERT_EQUAL(sum(&area), fake_now_ns - created_ns);
    teardown();
}

static void test_a_time_area_that_another_vcpu_registered_is_written_at_the_switch(void)
{
    struct vcpu_time_info area = { .version = 0 };

    setup(1, 1);
    vcpu_time_update(d->vcpu[0]); /* its own copy is right already */
    fake_guest_map(&area, sizeof(area), FAKE_READ_WRITE);
    d->vcpu[0]->time_area = fake_va(&area);
    vcpu_pause_clear(d->vcpu[0], VPF_DOWN);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[0]);
    CU_ASSERT(area.version != 0 && area.tsc_to_system_mul == arch_tsc_scale.mul);
    teardown();
}

static jmp_buf left;
static bool idled;
void arch_idle(void)
{
    idled = true;
    vcpu_pause_clear(d->vcpu[0], VPF_DOWN);
    fake_irqs_on = true;
}
noreturn void exit_to_guest(void) { longjmp(left, 1); }

static void test_the_idle_loop_leaves_for_whoever_wakes(void)
{
    setup(1, 1);
    idled = false;
    if (setjmp(left) == 0)
        idle_loop();
    CU_ASSERT(idled);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[0]);
    fake_irqs_on = true;
    teardown();
}

/* ---- several CPUs ---- */

static void up(unsigned int i) { vcpu_pause_clear(d->vcpu[i], VPF_DOWN); }

static void test_who_wakes_beside_a_busy_cpu_goes_to_an_idle_one(void)
{
    setup(3, 3);
    up(0);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[0]);
    fake_kicked = 0;
    up(1);
    CU_ASSERT_EQUAL(d->vcpu[1]->processor, 1);
    CU_ASSERT_EQUAL(fake_kicked, 2); /* only that one, and not whom it left */
    CU_ASSERT(!pending(0));
    up(2); /* not to the one that is already spoken for */
    CU_ASSERT_EQUAL(d->vcpu[2]->processor, 2);
    settle();
    audit();
    for (unsigned int i = 0; i < 3; i++)
        CU_ASSERT_PTR_EQUAL(runs_on(i), d->vcpu[i]);
    fake_cpu(0);
    vcpu_pause_set(d->vcpu[1], VPF_BLOCKED); /* wakes where it was if that is free */
    settle();
    vcpu_unblock(d->vcpu[1]);
    CU_ASSERT_EQUAL(d->vcpu[1]->processor, 1);
    teardown();
}

static void test_a_cpu_that_becomes_idle_takes_over_who_waits(void)
{
    setup(2, 3);
    for (unsigned int i = 0; i < 3; i++)
        up(i);
    settle();
    CU_ASSERT_EQUAL(queues[0].nr, 2);
    CU_ASSERT_PTR_EQUAL(runs_on(1), d->vcpu[1]);
    vcpu_block();
    cpu_run(1);
    CU_ASSERT(current != d->vcpu[1] && !current->is_idle);
    CU_ASSERT(queues[0].nr == 1 && queues[1].nr == 1);
    audit();
    teardown();
}

/* Its timer lets three compete at once on CPU 0. Of the two that idle one is asked for each that waits: the one takes who may
 * be nowhere else, and then the other is asked for who still waits. */
static void test_whoever_waits_is_told_of_again_when_another_one_was_taken(void)
{
    static const uint64_t cpus[] = { 1, 3, 1, 2, 4 };

    setup(3, 5);
    for (unsigned int i = 5; i-- > 0;) {
        struct vcpu *v = d->vcpu[i];

        if (i == 0) /* this one comes from elsewhere, so it is taken after one that does not */
            CU_ASSERT_EQUAL(sched_set_affinity(v, 2, 0), 0);
        if (i < 3)
            sched_set_params(v, SCHED_WEIGHT_DEFAULT, 1);
        CU_ASSERT_EQUAL(sched_set_affinity(v, cpus[i], 0), 0);
        up(i);
        settle();
    }
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[0], ALL_CPUS, 0), 0);
    while (queues[0].nr) { /* until their caps are used up */
        fake_now_ns += POLICY_MIN_NS / 16;
        settle();
    }
    vcpu_pause_set(d->vcpu[3], VPF_PAUSED);
    vcpu_pause_set(d->vcpu[4], VPF_PAUSED);
    settle();
    fake_now_ns += 2 * POLICY_ROUND_NS;
    cpu_run(0);
    CU_ASSERT_EQUAL(queues[0].nr, 3);
    settle();
    audit();
    for (unsigned int i = 0; i < 3; i++)
        CU_ASSERT(d->vcpu[i]->running);
    teardown();
}

static void test_the_one_that_a_pinned_one_preempts_goes_elsewhere(void)
{
    setup(2, 2);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], 1, 0), 0);
    up(0);
    cpu_run(0);
    fake_now_ns += MILLISECS(20);
    up(1);
    cpu_run(0);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[1]);
    CU_ASSERT_EQUAL(d->vcpu[0]->processor, 1);
    cpu_run(1);
    CU_ASSERT_PTR_EQUAL(current, d->vcpu[0]);
    audit();
    teardown();
}

static void test_preferred_cpus_come_before_allowed_ones(void)
{
    struct vcpu *v;

    setup(3, 2);
    v = d->vcpu[1];
    CU_ASSERT_EQUAL(sched_set_affinity(v, 6, 4), 0); /* asleep on CPU 0 */
    CU_ASSERT_EQUAL(v->processor, 2);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[0], 4, 4), 0);
    up(0);
    settle();
    up(1); /* the preferred one is busy, the other idles */
    CU_ASSERT_EQUAL(v->processor, 1);
    settle();
    vcpu_pause_set(v, VPF_BLOCKED);
    vcpu_pause_set(d->vcpu[0], VPF_BLOCKED);
    settle();
    vcpu_unblock(v);
    CU_ASSERT_EQUAL(v->processor, 2);
    CU_ASSERT_EQUAL(sched_set_affinity(v, 2, 4), 0); /* none of them allowed: all alike */
    CU_ASSERT_EQUAL(v->entity.preferred, 2);
    teardown();
}

static void wake_and_take(unsigned int cpu)
{
    if (cpu != 0)
        return;
    fake_cpu(1);
    fake_irqs_on = true;
    vcpu_unblock(saving[0]);
    CU_ASSERT_EQUAL(saving[0]->processor, 0); /* not before it is saved */
    cpu_run(1);
    CU_ASSERT_PTR_NOT_EQUAL(current, saving[0]);
}

static void test_who_is_still_being_saved_stays(void)
{
    struct vcpu *v;

    setup(2, 3);
    v = d->vcpu[0];
    up(0);
    cpu_run(0);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[1], 1, 0), 0);
    up(1);
    vcpu_block();
    meanwhile = wake_and_take;
    cpu_run(0);
    meanwhile = NULL;
    CU_ASSERT_PTR_EQUAL(runs_on(0), d->vcpu[1]);
    CU_ASSERT_EQUAL(v->processor, 1); /* but then CPU 1, which idles, gets it */
    settle();
    CU_ASSERT_PTR_EQUAL(runs_on(1), v);
    audit();
    teardown();
}

static void other_cpu_runs(void)
{
    CU_ASSERT_FATAL(current->is_idle && d->vcpu[0]->running);
    cpu_run(1);
    fake_cpu(0);
}

static void test_pausing_waits_for_another_cpu(void)
{
    setup(2, 1);
    CU_ASSERT_EQUAL(sched_set_affinity(d->vcpu[0], 2, 0), 0);
    up(0);
    cpu_run(1);
    fake_cpu(0);
    fake_kicked = 0;
    fake_relax = other_cpu_runs;
    vcpu_pause_sync(d->vcpu[0], VPF_PAUSED);
    fake_relax = NULL;
    CU_ASSERT(fake_kicked == 2 && !d->vcpu[0]->running);
    CU_ASSERT(runs_on(1)->is_idle);
    vcpu_pause_sync(d->vcpu[0], VPF_BLOCKED); /* does not wait */
    teardown();
}

static void test_three_take_turns_on_two_cpus(void)
{
    struct vcpu_runstate_info r;

    setup(2, 3);
    for (unsigned int i = 0; i < 3; i++)
        up(i);
    while (fake_now_ns < SECONDS(3)) {
        settle();
        audit();
        CU_ASSERT_FATAL(deadline[0] || deadline[1]);
        fake_now_ns =
            !deadline[0] || (deadline[1] && deadline[1] < deadline[0]) ? deadline[1] : deadline[0];
    }
    for (unsigned int i = 0; i < 3; i++) {
        vcpu_runstate_get(d->vcpu[i], &r);
        CU_ASSERT(r.time[RUNSTATE_running] > MILLISECS(1940));
        CU_ASSERT(r.time[RUNSTATE_running] < MILLISECS(2060));
    }
    fake_printed[0] = 0;
    sched_print();
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "CPU 1: d1v"));
    teardown();
}

static void random_step(unsigned int cpu)
{
    struct vcpu *v = d->vcpu[rnd() % NR_TEST_VCPUS], *here = runs_on(cpu);
    uint32_t flag = 1u << rnd() % 3;

    switch (rnd() % 12) {
    case 0:
        if (!here->is_idle)
            vcpu_block();
        break;
    case 1: vcpu_unblock(v); break;
    case 2: vcpu_pause_set(v, flag); break;
    case 3:
    case 4: vcpu_pause_clear(v, flag); break;
    case 5:
        if (!here->is_idle)
            vcpu_yield();
        break;
    case 6: sched_set_affinity(v, 1 + rnd() % ALL_CPUS, rnd() % 8); break;
    case 7: sched_set_params(v, (uint16_t)(1 + rnd() % 1000), rnd() % 3 ? 0 : rnd() % 120); break;
    case 8: fake_now_ns += rnd() % MILLISECS(10); break;
    case 9: fake_now_ns += rnd() % 1000; break;
    default: cpu_run(cpu); break;
    }
}

/* While one CPU switches, others do as they please; one of them may switch too. */
static void random_steps_of_others(unsigned int cpu)
{
    for (unsigned int n = rnd() % 4; n > 0; n--) {
        unsigned int other = (cpu + 1 + rnd() % (NR_TEST_CPUS - 1)) % NR_TEST_CPUS;

        fake_irqs_on = true;
        if (saving[other] == NULL)
            random_step(other);
    }
}

static void test_random_calls_on_three_cpus(void)
{
    for (unsigned int seed = 1; seed <= 40; seed++) {
        rng = seed;
        setup(NR_TEST_CPUS, NR_TEST_VCPUS);
        meanwhile = seed & 1 ? random_steps_of_others : NULL;
        for (unsigned int i = 0; i < 4000; i++) {
            random_step(rnd() % NR_TEST_CPUS);
            audit();
            if (i % 64 == 0) { /* nothing is pending: nobody may wait beside a CPU that idles */
                settle();
                audit();
            }
        }
        for (unsigned int i = 0; i < NR_TEST_VCPUS; i++) {
            struct vcpu_runstate_info r;

            vcpu_runstate_get(d->vcpu[i], &r);
            CU_ASSERT_EQUAL(sum(&r), fake_now_ns - created_ns);
        }
        teardown();
    }
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("sched", NULL, NULL);
    CU_ADD_TEST(s, test_a_new_vcpu_is_down_and_runs_when_it_comes_up);
    CU_ADD_TEST(s, test_blocking_races_with_events);
    CU_ADD_TEST(s, test_it_runs_only_when_no_reason_against_it_is_left);
    CU_ADD_TEST(s, test_waking_on_another_cpu_kicks_it);
    CU_ADD_TEST(s, test_two_share_by_slices);
    CU_ADD_TEST(s, test_affinity_places_again);
    CU_ADD_TEST(s, test_the_runstate_area_follows_the_protocol);
    CU_ADD_TEST(s, test_a_time_area_that_another_vcpu_registered_is_written_at_the_switch);
    CU_ADD_TEST(s, test_the_idle_loop_leaves_for_whoever_wakes);
    CU_ADD_TEST(s, test_who_wakes_beside_a_busy_cpu_goes_to_an_idle_one);
    CU_ADD_TEST(s, test_a_cpu_that_becomes_idle_takes_over_who_waits);
    CU_ADD_TEST(s, test_whoever_waits_is_told_of_again_when_another_one_was_taken);
    CU_ADD_TEST(s, test_the_one_that_a_pinned_one_preempts_goes_elsewhere);
    CU_ADD_TEST(s, test_preferred_cpus_come_before_allowed_ones);
    CU_ADD_TEST(s, test_who_is_still_being_saved_stays);
    CU_ADD_TEST(s, test_pausing_waits_for_another_cpu);
    CU_ADD_TEST(s, test_three_take_turns_on_two_cpus);
    CU_ADD_TEST(s, test_random_calls_on_three_cpus);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
