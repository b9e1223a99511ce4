/*
 * Groups of threads: they end in every way there is, are killed at random instructions (argument: how often)
 * while they use all that a group may, and nothing is left of them.
 */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/grant.h>
#include <rt/group.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include <platform.h>

#include "counters.h"

enum { EARLY_NS = 4000000, LATE_NS = 40000000 };

static unsigned int seed = 1;

static unsigned int any(unsigned int n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

/* ---- what there is, and is to be as before (counters.h) ---- */

static grant_ref_t granted; /* a page of ours, to ourselves */
static xen_pfn_t own_frame;

/* A kill leaves them there or not. */
static void remove_files(void)
{
    plat_file_remove("/file");
    plat_file_remove("/other");
}

static void check_all(const struct counters *want)
{
    remove_files();
    check_counters(want);
    CHECK(!grant_in_use(granted));
}

/* ---- ends, one by one ---- */

static void *kept;

static void leave_things(void *unused)
{
    struct plat_stream *ends[2], *client;
    xen_pfn_t frame = own_frame;

    (void)unused;
    CHECK(plat_listen("/left") != NULL);
    client = plat_connect("/left");
    CHECK(client && plat_write(client, "x", 1) == 1);
    CHECK_EQ(plat_pair(ends), 0);
    CHECK(plat_region_open("left", 5000, NULL) != NULL);
    CHECK(xenforeignmemory_map(xenforeignmemory_open(NULL, 0), DOMID_SELF, PROT_READ, 1, &frame,
                               NULL) != NULL);
    CHECK(xengnttab_map_grant_ref(xengnttab_open(NULL, 0), 0, granted, PROT_READ) != NULL);
    CHECK(xenevtchn_bind_unbound_port(xenevtchn_open(NULL, 0), 0) > 0);
    CHECK(xencall_alloc_buffer_pages(xencall_open(NULL, 0), 3) != NULL);
    kept = malloc(100000);
    CHECK(kept != NULL && malloc(10) != NULL && calloc(1000, 10) != NULL);
    CHECK(plat_group_start("inner", leave_things, NULL) == NULL && errno == EPERM);
}

static void wait_semaphore(void *unused)
{
    struct semaphore s = { 0 };

    (void)unused;
    semaphore_down(&s, NO_DEADLINE);
    CHECK(false);
}

static void wait_condition(void *unused)
{
    static struct mutex m;
    static struct cond c;

    (void)unused;
    mutex_lock(&m);
    cond_wait(&c, &m, clock_now() + 1000 * NS_PER_S);
    CHECK(false);
}

static void wait_loop(void *unused)
{
    struct plat_loop *l = plat_loop_new();

    (void)unused;
    CHECK(l != NULL);
    plat_loop_run(l);
    CHECK(false);
}

static void wait_sleep(void *unused)
{
    (void)unused;
    CHECK(plat_thread_start("semaphore", wait_semaphore, NULL) != NULL);
    CHECK(plat_thread_start("loop", wait_loop, NULL) != NULL);
    thread_join(thread_create("condition", wait_condition, NULL));
    CHECK(false);
}

static void spin(void *unused)
{
    (void)unused;
    for (;;)
        __asm__ volatile("");
}

static void fault(void *unused)
{
    (void)unused;
    *(volatile int *)0x1000 = 1;
}

static void die(void *unused)
{
    (void)unused;
    CHECK(plat_thread_start("spin", spin, NULL) != NULL);
    abort();
}

static void kill_self(void *unused)
{
    (void)unused;
    group_kill(kept);
    CHECK(false);
}

static void on_kill(void *arg) { group_kill(*(struct group **)arg); }

/* Start it, let it run, and kill it (unless it ends): by an event's handler. */
static void run(void (*fn)(void *arg), bool kill)
{
    struct timer timer;
    struct group *g;

    timer_init(&timer, on_kill, &g);
    g = group_start("test", fn, NULL);
    if (g == NULL)
        verdict_error("no group");
    kept = g;
    if (kill)
        timer_set(&timer, clock_now() + 20 * NS_PER_MS);
    group_wait(g);
    group_free(g);
    CHECK_EQ(timer_cancel(&timer), false);
}

static void ends(void)
{
    struct counters before;

    run(leave_things, false); /* so that tables are there */
    before = count();
    run(leave_things, false);
    CHECK(plat_connect("/left") == NULL && errno == ENOENT);
    check_all(&before);
    run(wait_semaphore, true);
    run(wait_condition, true);
    run(wait_loop, true);
    run(wait_sleep, true);
    run(spin, true);
    run(fault, false);
    run(die, false);
    run(kill_self, false);
    check_all(&before);
    CHECK_EQ(plat_region_remove("left"), 0);
}

/* ---- a program that uses everything, without an end ---- */

static struct plat_mutex *turn_lock;
static struct plat_cond *turn;
static unsigned long nr_turns, nr_rounds;

static void use_memory(void)
{
    void *p[16];

    for (int i = 0; i < 16; i++) {
        p[i] = malloc(any(i % 4 ? 600 : 20000));
        p[i] = realloc(p[i], 1 + any(3000));
        CHECK(p[i] && (uint64_t)p[i] >= VIRT_BASE);
        memset(p[i], i, 1);
    }
    for (int i = 0; i < 16; i++) {
        CHECK_EQ(*(char *)p[i], i);
        free(p[i]);
    }
}

static void use_files(void)
{
    char text[40];
    size_t len;
    char *data;

    snprintf(text, sizeof(text), "%-30.3f", any(1000) / 7.0);
    CHECK_EQ(plat_file_write("/file", text, 30), 0);
    CHECK_EQ(plat_file_rename("/file", "/other"), 0);
    data = plat_file_read("/other", &len);
    CHECK(data && len == 30);
    free(data);
}

static void use_libraries(void)
{
    xengnttab_handle *xgt = xengnttab_open(NULL, 0);
    xengntshr_handle *xgs = xengntshr_open(NULL, 0);
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    void *p = xengnttab_map_grant_ref(xgt, 0, granted, PROT_READ), *pages;
    xen_pfn_t frame = own_frame;
    uint32_t refs[2];

    CHECK(p != NULL && *(int *)p == 4711);
    CHECK_EQ(xengnttab_unmap(xgt, p, 1), 0);
    p = xengntshr_share_pages(xgs, 0, 2, refs, 1);
    CHECK(p != NULL);
    xengnttab_close(xgt);
    CHECK_EQ(xengntshr_close(xgs), 0);
    p = xenforeignmemory_map(fmem, DOMID_SELF, PROT_READ, 1, &frame, NULL);
    CHECK(p != NULL && *(int *)p == 4711);
    pages = xencall_alloc_buffer_pages(NULL, 2);
    CHECK_EQ(xenforeignmemory_unmap(fmem, p, 1), 0);
    xencall_free_buffer_pages(NULL, pages, 2);
}

static void use_events(void)
{
    xenevtchn_handle *h = xenevtchn_open(NULL, 0);
    int a = xenevtchn_bind_unbound_port(h, 0), b;

    CHECK(a > 0);
    b = xenevtchn_bind_interdomain(h, 0, (evtchn_port_t)a);
    CHECK(b > 0);
    CHECK_EQ(xenevtchn_pending(h), b); /* as the ABI has it */
    CHECK_EQ(xenevtchn_unmask(h, (evtchn_port_t)b), 0);
    CHECK_EQ(xenevtchn_notify(h, (evtchn_port_t)b), 0);
    CHECK_EQ(xenevtchn_pending(h), a);
    xenevtchn_close(h);
}

static void take_turns(void *unused)
{
    (void)unused;
    for (;;) {
        plat_lock(turn_lock);
        nr_turns++;
        plat_cond_signal(turn);
        plat_cond_wait(turn, turn_lock, plat_now() + 100000);
        plat_unlock(turn_lock);
    }
}

static void nothing(void *unused) { (void)unused; }

static void on_client(void *arg, unsigned int ready)
{
    struct plat_stream *s = arg;
    char c;

    (void)ready;
    if (plat_read(s, &c, 1) == 1)
        plat_write(s, &c, 1);
    else if (errno != EAGAIN)
        plat_close(s);
}

static struct toy {
    struct plat_loop *loop;
    struct plat_timer timer;
    struct plat_stream *listener;
} * toy;

static void on_listener(void *arg, unsigned int ready)
{
    struct plat_stream *s = plat_accept(toy->listener);

    (void)arg;
    (void)ready;
    if (s)
        plat_watch(toy->loop, s, PLAT_READABLE, on_client, s);
}

static void on_timer(void *arg)
{
    struct plat_stream *ends[2];

    (void)arg;
    use_memory();
    use_files();
    use_libraries();
    use_events();
    CHECK_EQ(plat_pair(ends), 0);
    CHECK_EQ(plat_write(ends[0], "abc", 3), 3);
    plat_close(ends[0]);
    plat_close(ends[1]);
    plat_thread_join(plat_thread_start("short", nothing, NULL));
    nr_rounds++;
    if (any(4) == 0)
        printf(".");
    plat_timer_set(toy->loop, &toy->timer, plat_now() + any(100000));
}

static void program(void *unused)
{
    bool fresh;
    unsigned long *counter = plat_region_open("toy", 4096, &fresh);

    (void)unused;
    CHECK(counter != NULL && !fresh);
    (*counter)++;
    turn_lock = calloc(1, sizeof(*turn_lock));
    turn = calloc(1, sizeof(*turn));
    toy = calloc(1, sizeof(*toy));
    toy->loop = plat_loop_new();
    toy->timer.fn = on_timer;
    toy->listener = plat_listen("/toy");
    CHECK(toy->listener != NULL);
    plat_watch(toy->loop, toy->listener, PLAT_READABLE, on_listener, NULL);
    CHECK(plat_thread_start("turn 1", take_turns, NULL) != NULL);
    CHECK(plat_thread_start("turn 2", take_turns, NULL) != NULL);
    plat_timer_set(toy->loop, &toy->timer, 0);
    plat_loop_run(toy->loop);
    CHECK(false);
}

static struct victim {
    struct group *group;
    unsigned int killed;
} victim;

static void on_kill_victim(void *unused)
{
    (void)unused;
    group_kill(victim.group);
    __atomic_store_n(&victim.killed, 1, __ATOMIC_SEQ_CST);
}

/* Somebody outside talks to it until it is killed; what it sees then is the end. Returns how many answers. */
static unsigned int talk(void)
{
    struct plat_stream *s = NULL;
    unsigned int answers = 0;
    char c = 'a';
    ssize_t n;

    while (!__atomic_load_n(&victim.killed, __ATOMIC_SEQ_CST)) {
        if (s == NULL && (s = plat_connect("/toy")) != NULL)
            plat_write(s, &c, 1);
        if (s && plat_read(s, &c, 1) == 1) {
            answers++;
            plat_write(s, &c, 1);
        }
        thread_yield();
        thread_sleep_until(clock_now() + 20000);
    }
    group_wait(victim.group);
    group_free(victim.group);
    if (s) {
        do
            n = plat_read(s, &c, 1);
        while (n == 1);
        CHECK_EQ(n, 0);
        CHECK(plat_write(s, &c, 1) == -1 && errno == EPIPE);
        plat_close(s);
    }
    return answers;
}

static void kills(unsigned int nr)
{
    struct counters before = { 0 };
    unsigned int answers = 0;
    struct timer timer;
    bool fresh;
    unsigned long *counter = plat_region_open("toy", 4096, &fresh);

    CHECK(counter && fresh);
    plat_region_close(counter, 4096);
    timer_init(&timer, on_kill_victim, NULL);
    for (unsigned int i = 0; i < nr; i++) {
        victim.killed = 0;
        victim.group = group_start("toy", program, NULL);
        if (victim.group == NULL)
            verdict_failure("kill %u: it does not start", i);
        timer_set(&timer, clock_now() + any(any(4) ? EARLY_NS : LATE_NS));
        answers += talk();
        if (i == nr / 2) {
            remove_files();
            before = count();
        } else if (i > nr / 2 && (i % 64 == 0 || i + 1 == nr)) {
            check_all(&before);
        }
    }
    counter = plat_region_open("toy", 4096, &fresh);
    CHECK(counter && !fresh);
    printf("\n%u kills, %lu starts that came so far, %lu rounds, %lu turns, %u answers\n", nr,
           *counter, nr_rounds, nr_turns, answers);
    CHECK(*counter > nr / 2 && nr_rounds > nr / 10 && nr_turns > nr && answers > 0);
}

int main(int argc, char **argv)
{
    int *page = page_alloc(1), rc;

    *page = 4711;
    own_frame = virt_to_mfn(page);
    rc = grant_access(0, own_frame, true);
    if (rc < 0)
        verdict_error("no grant: %d", rc);
    granted = (grant_ref_t)rc;
    seed = argc > 3 ? (unsigned int)atoi(argv[3]) : 1;
    printf("%u vCPUs, seed %u\n", cpus_start(), seed);
    ends();
    kills(argc > 2 ? (unsigned int)atoi(argv[2]) : 50);
    return verdict();
}
