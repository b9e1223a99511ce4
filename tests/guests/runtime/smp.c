/* The runtime on several vCPUs: threads on all of them, and functions that run beside them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/lock.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include <xen/version.h>

enum { NR_THREADS = 6, ROUNDS = 300, NR_EVENT_PORTS = 4096 };

static struct mutex lock;
static struct cond turn;
static unsigned int counter, whose; /* guarded by lock */
static unsigned int seen_cpus;      /* bit per vCPU */
static struct spinlock spin;
static unsigned int spun; /* guarded by spin */

static void note_cpu(void)
{
    __atomic_fetch_or(&seen_cpus, 1u << this_cpu()->id, __ATOMIC_RELAXED);
}

/* malloc(), the mutex, the spinlock and errno, from all vCPUs at once. */
static void work(void *arg)
{
    int me = (int)(long)arg;

    errno = me;
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = 16 + (size_t)(me * 977 + i * 131) % 3000;
        char *p = malloc(bytes);
        unsigned int before;
        bool were_off;

        if (!CHECK(p != NULL))
            return;
        memset(p, me, bytes);
        mutex_lock(&lock);
        before = counter;
        if (i % 16 == 0)
            thread_yield(); /* with the mutex held: the others are to wait */
        counter = before + 1;
        mutex_unlock(&lock);
        were_off = spin_lock(&spin);
        spun++;
        spin_unlock(&spin, were_off);
        CHECK(p[0] == me && p[bytes - 1] == me);
        free(p);
        note_cpu();
    }
    CHECK_EQ(errno, me);
}

/* Around the circle: each waits for its turn, and gives it to the next. */
static void take_turns(void *arg)
{
    unsigned int me = (unsigned int)(long)arg;

    for (int i = 0; i < 50; i++) {
        mutex_lock(&lock);
        while (whose != me)
            if (!CHECK(cond_wait(&turn, &lock, clock_now() + 20 * NS_PER_S)))
                break;
        whose = (me + 1) % NR_THREADS;
        cond_broadcast(&turn);
        mutex_unlock(&lock);
        note_cpu();
    }
}

/*
 * By so much may the times of two vCPUs differ. Ours keeps them together; Xen's do so if it says that
 * the TSCs do, else they wander apart when the machine is busy.
 */
static uint64_t skew_ns(void)
{
    xen_extraversion_t extra = "";

    if (shared_info->vcpu_info[0].time.flags & XEN_PVCLOCK_TSC_STABLE_BIT)
        return 1000;
    hc(xen_version, XENVER_extraversion, extra);
    return strstr(extra, "xen-like") ? 1000 : 200 * NS_PER_MS;
}

/* Sleeps of different lengths, on whatever vCPU; none may end early. */
static void doze(void *arg)
{
    uint64_t skew = skew_ns();

    for (int i = 0; i < 10; i++) {
        uint64_t until = clock_now() + ((uint64_t)(long)arg + 1) * NS_PER_MS;

        thread_sleep_until(until);
        CHECK(clock_now() + skew >= until); /* by the clock of another vCPU, perhaps */
    }
}

/* Until another vCPU than the first has taken one of these. */
static void meet(void *arg)
{
    uint64_t end = clock_now() + 20 * NS_PER_S;

    (void)arg;
    do {
        note_cpu();
        thread_yield();
    } while (!(__atomic_load_n(&seen_cpus, __ATOMIC_RELAXED) & ~1u) && clock_now() < end);
}

static void run_all(const char *what, void (*fn)(void *arg))
{
    struct thread *threads[NR_THREADS];
    uint64_t start = clock_now();

    for (long i = 0; i < NR_THREADS; i++) {
        threads[i] = thread_create(what, fn, (void *)i);
        if (threads[i] == NULL)
            verdict_error("no memory for a thread");
    }
    for (int i = 0; i < NR_THREADS; i++)
        thread_join(threads[i]);
    printf("%s: %lu us\n", what, (unsigned long)((clock_now() - start) / 1000));
}

/* ---- a vCPU of its own ---- */

static volatile unsigned int runs, stop;
static unsigned int got_event;

static void beside(void *arg)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    CHECK_EQ(mxcsr & ~0x3fu, 0x1f80); /* but for what printf() left behind */
    CHECK_EQ(this_cpu()->id, (long)arg);
    printf("vCPU %u runs beside: 1/3 is %.4f\n", this_cpu()->id, 1 / 3.0);
    runs++;
    while (!stop)
        cpu_relax();
}

static void on_event(unsigned int port, void *arg)
{
    (void)port;
    (void)arg;
    __atomic_fetch_add(&got_event, 1u << 8 * this_cpu()->id, __ATOMIC_SEQ_CST);
}

static bool wait_for(const volatile unsigned int *what, unsigned int value)
{
    uint64_t end = clock_now() + 10 * NS_PER_S;

    while (*what != value && clock_now() < end)
        thread_sleep_until(clock_now() + NS_PER_MS / 10);
    return *what == value;
}

static void run_beside(void)
{
    int port;

    for (unsigned int n = 1; n <= 3; n++) { /* the second and third time it comes up again */
        stop = 0;
        CHECK_EQ(cpu_run(1, beside, (void *)1), 0);
        CHECK(wait_for(&runs, n));
        CHECK_EQ(cpu_run(1, beside, (void *)1), -17);
        port = event_bind_ipi(1, on_event, NULL);
        if (CHECK(port > 0)) {
            event_send((unsigned int)port);
            CHECK(wait_for(&got_event, n << 8));
            event_close((unsigned int)port);
        }
        stop = 1;
        for (uint64_t end = clock_now() + 10 * NS_PER_S;
             __atomic_load_n(&cpus[1].online, __ATOMIC_SEQ_CST) && clock_now() < end;)
            thread_yield();
        CHECK(!cpus[1].online);
    }
    answer("smp.ipi-of-no-vcpu", event_bind_ipi(77, on_event, NULL));
    answer("smp.timer-of-other-vcpu", event_bind_virq(VIRQ_TIMER, 77, on_event, NULL));
    answer("smp.virq-25", event_bind_virq(25, 0, on_event, NULL));
    answer("smp.close-closed", event_close(1000));
    answer("smp.send-closed", event_send(1000));
    answer("smp.send-out-of-range", event_send(NR_EVENT_PORTS));
    answer("smp.interdomain-no-domain", event_bind_interdomain(7, 1, on_event, NULL));
    CHECK_EQ(cpu_run(0, beside, NULL), -2);
    CHECK_EQ(cpu_run(MAX_CPUS - 1, beside, NULL), -2);
}

int main(void)
{
    unsigned int nr_cpus;

    run_beside();
    nr_cpus = cpus_start();
    printf("%u vCPUs take threads\n", nr_cpus);
    run_all("work", work);
    CHECK_EQ(counter, NR_THREADS * ROUNDS);
    CHECK_EQ(spun, NR_THREADS * ROUNDS);
    run_all("take_turns", take_turns);
    run_all("doze", doze);
    run_all("meet", meet);
    printf("threads ran on vCPUs 0x%x\n", seen_cpus);
    CHECK(nr_cpus > 1);
    CHECK(seen_cpus & ~1u);
    return verdict();
}
