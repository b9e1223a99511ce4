/*
 * What a kernel on the runtime looks like, and a bit of everything that the runtime offers: stdio,
 * memory, time, files, threads with a mutex and a condition variable, a timer, an event channel.
 * As a test it checks what it sees.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/event.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

/* ---- memory ---- */

static void use_memory(void)
{
    char *blocks[64];
    size_t before = page_nr_free();

    for (size_t i = 0; i < 64; i++) {
        size_t bytes = 1 + i * i * 40;

        blocks[i] = malloc(bytes);
        if (!CHECK(blocks[i] != NULL))
            return;
        memset(blocks[i], (int)i, bytes);
    }
    for (size_t i = 0; i < 64; i++) {
        CHECK_EQ(blocks[i][0], i);
        CHECK_EQ(blocks[i][i * i * 40], i);
        free(blocks[i]);
    }
    printf("memory: %zu of %zu pages free, before malloc() %zu; page 0x%" PRIx64
           " of the kernel is frame 0x%" PRIx64 "\n",
           page_nr_free(), (size_t)start_info->nr_pages, before, virt_to_pfn(blocks),
           virt_to_mfn(blocks));
    errno = 0;
    CHECK(malloc(HEAP_MAX_BYTES * 2) == NULL);
    CHECK_EQ(errno, ENOMEM);
}

/* ---- time ---- */

static void tell_time(void)
{
    time_t now = time(NULL);
    struct timespec before, after;
    struct tm tm;
    char text[40];

    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    printf("time: %s, %.3f s after the hypervisor's start\n", text,
           (double)clock_now() / (double)NS_PER_S);
    CHECK(tm.tm_year + 1900 >= 2020 && tm.tm_year + 1900 < 2100);

    clock_gettime(CLOCK_MONOTONIC, &before);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >=
          20000000);
}

/* ---- files: hello.files/ is linked into the kernel; the ramdisk's would be found the same way ---- */

static void read_files(void)
{
    char line[80] = "";
    FILE *f = fopen("/etc/greeting", "r");

    if (CHECK(f != NULL)) {
        CHECK(fgets(line, sizeof(line), f) != NULL);
        printf("file: %s", line);
        CHECK(strcmp(line, "Hello from a file of the kernel.\n") == 0);
        CHECK(fgets(line, sizeof(line), f) == NULL);
        fclose(f);
    }
    CHECK(fopen("/etc/none", "r") == NULL);
    CHECK_EQ(errno, ENOENT);

    f = fopen("/tmp/numbers", "w+");
    if (CHECK(f != NULL)) {
        long sum = 0, n;

        for (int i = 1; i <= 1000; i++)
            fprintf(f, "%d\n", i);
        rewind(f);
        while (fscanf(f, "%ld", &n) == 1)
            sum += n;
        CHECK_EQ(sum, 500500);
        fclose(f);
        CHECK_EQ(unlink("/tmp/numbers"), 0);
    }
}

/* ---- threads: one makes numbers, two add them up ---- */

enum { NR_ITEMS = 1000, NR_SLOTS = 8 };

static struct {
    struct mutex lock; /* guards all of this */
    struct cond changed;
    int slots[NR_SLOTS];
    unsigned int put, taken;
    long sum;
} box;

static void produce(void *arg)
{
    (void)arg;
    for (int i = 1; i <= NR_ITEMS; i++) {
        mutex_lock(&box.lock);
        while (box.put - box.taken == NR_SLOTS)
            cond_wait(&box.changed, &box.lock, NO_DEADLINE);
        box.slots[box.put++ % NR_SLOTS] = i;
        cond_broadcast(&box.changed);
        mutex_unlock(&box.lock);
    }
}

static void consume(void *arg)
{
    unsigned int *got = arg;

    errno = (int)(long)arg; /* a thread's own */
    mutex_lock(&box.lock);
    for (;;) {
        while (box.put == box.taken && box.taken < NR_ITEMS)
            cond_wait(&box.changed, &box.lock, NO_DEADLINE);
        if (box.taken == NR_ITEMS)
            break;
        box.sum += box.slots[box.taken++ % NR_SLOTS];
        ++*got;
        cond_broadcast(&box.changed);
        mutex_unlock(&box.lock);
        thread_yield();
        mutex_lock(&box.lock);
    }
    mutex_unlock(&box.lock);
    CHECK_EQ(errno, (int)(long)arg);
}

static void run_threads(void)
{
    unsigned int got[2] = { 0 };
    struct thread *threads[] = { thread_create("producer", produce, NULL),
                                 thread_create("consumer 1", consume, &got[0]),
                                 thread_create("consumer 2", consume, &got[1]) };

    for (size_t i = 0; i < 3; i++)
        if (CHECK(threads[i] != NULL))
            thread_join(threads[i]);
    printf("threads: %u and %u items, sum %ld\n", got[0], got[1], box.sum);
    CHECK_EQ(box.sum, NR_ITEMS * (NR_ITEMS + 1L) / 2);
    CHECK_EQ(got[0] + got[1], NR_ITEMS);
}

/* ---- a timer, and an event channel to ourselves: both wake this thread from a handler ---- */

static struct semaphore woken;

static void on_timer(void *arg)
{
    *(uint64_t *)arg = clock_now();
    semaphore_up(&woken);
}

static void on_event(unsigned int port, void *arg)
{
    *(unsigned int *)arg = port;
    semaphore_up(&woken);
}

static void wait_for_events(void)
{
    uint64_t start = clock_now(), fired = 0;
    unsigned int from = 0;
    struct timer timer;
    int port;

    timer_init(&timer, on_timer, &fired);
    timer_set(&timer, start + 10 * NS_PER_MS);
    CHECK(semaphore_down(&woken, start + 10 * NS_PER_S));
    CHECK(fired >= start + 10 * NS_PER_MS);
    CHECK(!timer_cancel(&timer));
    printf("timer: fired %" PRIu64 " us after it was due\n",
           (fired - start - 10 * NS_PER_MS) / 1000);

    timer_set(&timer, clock_now() + NS_PER_S);
    CHECK(timer_cancel(&timer));
    CHECK(!semaphore_down(&woken, clock_now() + 5 * NS_PER_MS));

    port = event_bind_ipi(0, on_event, &from);
    if (CHECK(port > 0)) {
        CHECK_EQ(event_send((unsigned int)port), 0);
        CHECK(semaphore_down(&woken, clock_now() + NS_PER_S));
        CHECK_EQ(from, port);
        CHECK_EQ(event_close((unsigned int)port), 0);
    }
}

/* With the argument "echo": the other end of whoever sits at the console. */
static int echo(void)
{
    char line[100];

    while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0)
        printf("heard: %s", line);
    printf("bye\n");
    return 0;
}

int main(int argc, char **argv)
{
    printf("hello: a %s domain, %d arguments", is_initial_domain() ? "control" : "guest", argc - 1);
    for (int i = 1; i < argc; i++)
        printf(" [%s]", argv[i]);
    printf("\n");
    if (argc > 1 && strcmp(argv[1], "echo") == 0)
        return echo();
    use_memory();
    tell_time();
    read_files();
    run_threads();
    wait_for_events();
    return verdict();
}
