/*
 * Do the clocks run backwards?
 *   usage: clock SECONDS
 * One thread on each CPU reads each clock again and again, by the C library (which may read it
 * without a system call) and by system call. What any thread has seen, no later reading of any
 * other may be before: the greatest reading is shared.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CPUS = 256, MAX_REPORTS = 20 };

static uint64_t timespec_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t read_library(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return timespec_ns(t);
}

static uint64_t read_system_call(clockid_t id)
{
    struct timespec t;

    syscall(SYS_clock_gettime, id, &t);
    return timespec_ns(t);
}

static uint64_t read_time_of_day(clockid_t id)
{
    struct timeval t;

    (void)id;
    gettimeofday(&t, NULL);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_usec * 1000;
}

static struct clock {
    const char *name;
    uint64_t (*read)(clockid_t id);
    clockid_t id;
    _Atomic uint64_t greatest_ns, nr_readings, nr_backwards, worst_ns;
} clocks[] = {
    { .name = "monotonic", .read = read_library, .id = CLOCK_MONOTONIC },
    { .name = "monotonic-syscall", .read = read_system_call, .id = CLOCK_MONOTONIC },
    { .name = "monotonic-raw", .read = read_library, .id = CLOCK_MONOTONIC_RAW },
    { .name = "boottime", .read = read_library, .id = CLOCK_BOOTTIME },
    { .name = "realtime", .read = read_library, .id = CLOCK_REALTIME },
    { .name = "realtime-syscall", .read = read_system_call, .id = CLOCK_REALTIME },
    { .name = "gettimeofday", .read = read_time_of_day, .id = CLOCK_REALTIME },
};
enum { NR_CLOCKS = sizeof(clocks) / sizeof(clocks[0]) };

static atomic_bool stop;
static atomic_uint nr_reports;

static void raise_to(_Atomic uint64_t *a, uint64_t value)
{
    uint64_t old = atomic_load(a);

    while (old < value && !atomic_compare_exchange_weak(a, &old, value))
        ;
}

static void check_once(struct clock *c, unsigned int cpu)
{
    uint64_t seen = atomic_load(&c->greatest_ns);
    uint64_t now;

    atomic_thread_fence(memory_order_seq_cst);
    now = c->read(c->id);
    atomic_fetch_add_explicit(&c->nr_readings, 1, memory_order_relaxed);
    if (now < seen) {
        atomic_fetch_add(&c->nr_backwards, 1);
        raise_to(&c->worst_ns, seen - now);
        if (atomic_fetch_add(&nr_reports, 1) < MAX_REPORTS)
            printf("clock %s: CPU %u read %llu after %llu was seen: %llu ns backwards\n", c->name,
                   cpu, (unsigned long long)now, (unsigned long long)seen,
                   (unsigned long long)(seen - now));
        return;
    }
    raise_to(&c->greatest_ns, now);
}

static void *run(void *arg)
{
    unsigned int cpu = (unsigned int)(uintptr_t)arg;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        perror("sched_setaffinity");
        exit(2);
    }
    while (!atomic_load(&stop)) {
        for (unsigned int i = 0; i < NR_CLOCKS; i++) {
            for (unsigned int n = 0; n < 100; n++)
                check_once(&clocks[i], cpu);
        }
    }
    return NULL;
}

static unsigned int start_threads(pthread_t *threads)
{
    unsigned int nr = 0;
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        perror("sched_getaffinity");
        exit(2);
    }
    for (unsigned int cpu = 0; cpu < MAX_CPUS; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        if (pthread_create(&threads[nr++], NULL, run, (void *)(uintptr_t)cpu) != 0) {
            perror("pthread_create");
            exit(2);
        }
    }
    return nr;
}

/* True: none ran backwards, and all were read. */
static bool report(uint64_t duration_ns)
{
    bool good = true;

    for (unsigned int i = 0; i < NR_CLOCKS; i++) {
        struct clock *c = &clocks[i];

        printf("clock %s: %llu readings, %llu backwards, at worst %llu ns\n", c->name,
               (unsigned long long)c->nr_readings, (unsigned long long)c->nr_backwards,
               (unsigned long long)c->worst_ns);
        good = good && c->nr_readings != 0 && c->nr_backwards == 0;
    }
    printf("clock: %llu ms\n", (unsigned long long)(duration_ns / 1000000));
    return good;
}

int main(int argc, char *argv[])
{
    static pthread_t threads[MAX_CPUS];
    unsigned int seconds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 10, nr;
    uint64_t start_ns = read_library(CLOCK_MONOTONIC);

    setvbuf(stdout, NULL, _IOLBF, 0);
    nr = start_threads(threads);
    printf("clock: %u threads, %u seconds\n", nr, seconds);
    sleep(seconds);
    atomic_store(&stop, true);
    for (unsigned int i = 0; i < nr; i++)
        pthread_join(threads[i], NULL);
    return report(read_library(CLOCK_MONOTONIC) - start_ns) ? 0 : 1;
}
