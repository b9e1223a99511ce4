/*
 * The scheduler on CPUs that really run at once, a thread each: rounds of random calls, then all
 * come to rest and the queues are looked at.
 */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fake.h"
#include "sched/sched.c" /* its private structures are what is looked at */
#include "sched_audit.h"
#include "x86/upcalls.h"

#define NR_TEST_CPUS 3
#define NR_TEST_VCPUS 7
#define NR_ROUNDS 1500
#define ALL_CPUS 7ULL
#define NOWHERE (-1)

static struct domain *d, *idle_d;
static pthread_barrier_t barrier;
static _Thread_local uint64_t deadline;
static _Thread_local unsigned int rng;
static _Atomic int loaded_on[NR_TEST_VCPUS]; /* the CPU that has a vCPU's registers */
static _Atomic unsigned int nr_wrong, nr_switches, nr_done, nr_parks;

static unsigned int rnd(void) { return rng = rng * 1103515245u + 12345u, rng >> 8; }

static void expect(bool ok, const char *what)
{
    if (!ok && atomic_fetch_add(&nr_wrong, 1) < 10)
        fprintf(stderr, "CPU %u: not so: %s\n", this_pcpu()->id, what);
}

/* Let others run now: in windows between locks, and while they want one that we hold. */
static void linger(void)
{
    if (rnd() % 16 == 0)
        sched_yield();
}
uint64_t arch_cpus_online(void)
{
    linger();
    return ALL_CPUS;
}

/* Time passes ten times as fast: more slices end in a round. */
uint64_t arch_time_ns(void)
{
    struct timespec t;

    linger();
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) * 10;
}
void arch_timer_program(uint64_t ns) { deadline = ns; }
void arch_cpu_kick(uint32_t id) {} /* they look all the time */
static void relax(void) { sched_yield(); }

void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    int cpu = (int)this_pcpu()->id, nowhere = NOWHERE;

    expect(current == prev && this_pcpu()->locks_held == 0, "prev is current, no lock is held");
    if (!prev->is_idle) {
        linger();
        expect(atomic_load(&prev->running), "prev runs until its registers are saved");
        expect(atomic_exchange(&loaded_on[prev->vcpu_id], NOWHERE) == cpu, "prev was loaded here");
    }
    if (!next->is_idle) {
        expect(atomic_load(&next->processor) == (uint32_t)cpu, "next is on this CPU's queue");
        expect(atomic_compare_exchange_strong(&loaded_on[next->vcpu_id], &nowhere, cpu),
               "next is loaded nowhere");
    }
    this_pcpu()->running = next;
    atomic_fetch_add(&nr_switches, 1);
}

static void random_step(void)
{
    struct vcpu *v = d->vcpu[rnd() % NR_TEST_VCPUS];

    switch (rnd() % 16) {
    case 0:
    case 1:
        if (!current->is_idle)
            vcpu_block();
        break;
    case 2:
    case 3:
    case 4: vcpu_unblock(v); break;
    case 5: vcpu_pause_set(v, VPF_DOWN); break;
    case 6: vcpu_pause_clear(v, VPF_DOWN); break;
    case 7:
        if (!current->is_idle)
            vcpu_yield();
        break;
    case 8: sched_set_affinity(v, 1 + rnd() % ALL_CPUS, rnd() % 8); break;
    case 9: sched_set_params(v, (uint16_t)(1 + rnd() % 1000), rnd() % 3 ? 0 : rnd() % 120); break;
    case 10:
        if (this_pcpu()->id == 0 && v != current) { /* only one CPU may wait for others */
            vcpu_pause_sync(v, VPF_PAUSED);
            expect(loaded_on[v->vcpu_id] == NOWHERE, "a paused one is loaded nowhere");
            if (rnd() % 4 == 0)
                sched_yield();
            expect(loaded_on[v->vcpu_id] == NOWHERE, "and stays so");
            vcpu_pause_clear(v, VPF_PAUSED);
        }
        break;
    case 11:
        if (rnd() % 16 == 0) { /* the CPU that waits for this one's vCPU stands still, too */
            cpus_park();
            nr_parks++;
            cpus_release();
        }
        break;
    default: break;
    }
}

static void cpu_run(void)
{
    fake_irqs_on = true;
    if (deadline && deadline <= arch_time_ns())
        softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    fake_irqs_on = true;
}

static bool anything_pending(void)
{
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        if (arch_pcpu(i)->softirqs)
            return true;
    return false;
}

/* Nobody runs, wakes or moves now. */
static void look(void)
{
    uint64_t idle = 0;

    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) {
        const char *wrong = policy_audit(&queues[i]);

        expect(wrong == NULL, wrong);
        expect((queues[i].curr == NULL) == (queues[i].nr == 0), "who competes gets the CPU");
        expect((idle_cpus >> i & 1) == (queues[i].nr == 0), "idle_cpus is right");
        expect(queues[i].nr < 2 || pcpus[i].again.expires_ns, "who waits has a timer");
        expect(!spin_is_held(&pcpus[i].lock), "no lock is held");
        idle |= (uint64_t)(queues[i].nr == 0) << i;
    }
    for (unsigned int i = 0; i < NR_TEST_VCPUS; i++) {
        struct vcpu *v = d->vcpu[i];
        struct entity *e = &v->entity;

        expect((v->pause_flags == 0) == (e->state != ENTITY_OUT), "no wake-up is lost");
        expect(v->running == (queues[v->processor].curr == e), "who runs is current");
        expect(v->running == e->loaded && v->running == (loaded_on[i] != NOWHERE), "and loaded");
        expect(v->pause_flags || (e->cpus >> v->processor & 1), "and where it may be");
        expect(!policy_waits(&queues[v->processor], e) || !(e->cpus & idle),
               "nobody waits while a CPU idles");
        expect(v->runstate.state == (v->running ? RUNSTATE_running : runstate_not_running(v)),
               "its runstate is right");
    }
}

static void *cpu_thread(void *arg)
{
    unsigned int cpu = (unsigned int)(uintptr_t)arg;

    fake_cpu(cpu);
    fake_irqs_on = true;
    rng = cpu * 77 + 5;
    for (unsigned int round = 0; round < NR_ROUNDS; round++) {
        bool more = true;

        pthread_barrier_wait(&barrier);
        for (unsigned int i = 0; i < 150; i++) {
            random_step();
            if (rnd() % 2)
                cpu_run();
        }
        atomic_fetch_add(&nr_done, 1);
        while (atomic_load(&nr_done) < NR_TEST_CPUS * (round + 1)) { /* CPU 0 may wait for us */
            cpu_run();
            sched_yield();
        }
        while (more) {
            cpu_run();
            pthread_barrier_wait(&barrier);
            more = anything_pending();
            pthread_barrier_wait(&barrier);
        }
        if (cpu == 0)
            look();
    }
    return NULL;
}

static void test_cpus_that_run_at_once(void)
{
    pthread_t threads[NR_TEST_CPUS];

    fake_reset(NR_TEST_CPUS);
    fake_relax = relax;
    idle_d = fake_domain(DOMID_IDLE, NR_TEST_CPUS);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) {
        struct vcpu *v = idle_d->vcpu[i];

        timers_init_cpu(i);
        sched_init_cpu(i);
        v->is_idle = true;
        atomic_store(&v->processor, i);
        atomic_store(&v->running, true);
        sched_vcpu_init(v);
        fake_cpu(i);
        this_pcpu()->idle = this_pcpu()->running = v;
    }
    fake_cpu(0);
    d = fake_domain(1, NR_TEST_VCPUS);
    for (unsigned int i = 0; i < NR_TEST_VCPUS; i++) {
        loaded_on[i] = NOWHERE;
        sched_vcpu_init(d->vcpu[i]);
    }
    pthread_barrier_init(&barrier, NULL, NR_TEST_CPUS);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        pthread_create(&threads[i], NULL, cpu_thread, (void *)(uintptr_t)i);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(nr_wrong, 0);
    CU_ASSERT(nr_switches > NR_ROUNDS);
    CU_ASSERT(nr_parks > NR_ROUNDS);
    fake_domain_free(d);
    fake_domain_free(idle_d);
    pthread_barrier_destroy(&barrier);
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("sched_threads", NULL, NULL);
    CU_ADD_TEST(s, test_cpus_that_run_at_once);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
