/*
 * The console ring, as a domain that is not the initial one has it: for a while start_info says so,
 * and a thread of this kernel serves the other end, over an event channel from us to us.
 */
#include <stdio.h>
#include <string.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/event.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include <xen/io/console.h>

#include "../../../xen-like/kernel/internal.h" /* console_init() */

/* ---- the backend ---- */

static volatile struct xencons_interface *page;
static struct semaphore notified;
static unsigned int port; /* its end */
static volatile bool asleep, over;
static char shown[100000];
static volatile size_t nr_shown;

static void on_notify(unsigned int p, void *arg)
{
    (void)p;
    semaphore_up(arg);
}

static void drain(void)
{
    uint32_t cons = page->out_cons;

    while (cons != page->out_prod && nr_shown < sizeof(shown) - 1)
        shown[nr_shown++] = page->out[MASK_XENCONS_IDX(cons++, page->out)];
    page->out_cons = cons;
}

static void serve(void *arg)
{
    (void)arg;
    while (!over) {
        semaphore_down(&notified, clock_now() + 5 * NS_PER_MS);
        if (!asleep)
            drain();
    }
}

static void type(const char *text)
{
    uint32_t prod = page->in_prod;

    while (*text)
        page->in[MASK_XENCONS_IDX(prod++, page->in)] = *text++;
    __atomic_store_n(&page->in_prod, prod, __ATOMIC_RELEASE);
    event_send(port);
}

/* What was shown since the last call, as soon as it ends with that. */
static bool shows(const char *end)
{
    static size_t from;
    uint64_t deadline = clock_now() + 10 * NS_PER_S;
    size_t len = strlen(end);
    bool is_so;

    do {
        thread_sleep_until(clock_now() + NS_PER_MS);
        is_so = nr_shown >= from + len && memcmp(shown + nr_shown - len, end, len) == 0;
    } while (!is_so && clock_now() < deadline);
    from = nr_shown;
    return is_so;
}

/* ---- the checks; what they print themselves goes into the ring ---- */

static void output(void)
{
    size_t before;

    printf("one line\nand another\n");
    CHECK(shows("one line\r\nand another\r\n"));
    before = nr_shown;
    for (int i = 0; i < 400; i++) /* several times what the ring holds */
        printf("line %03d: 0123456789\n", i);
    CHECK(shows("line 399: 0123456789\r\n"));
    CHECK_EQ(nr_shown - before, 400 * 22);
    for (int i = 0; i < 400; i++) {
        char want[24];

        snprintf(want, sizeof(want), "line %03d: 0123456789\r\n", i);
        if (!CHECK(memcmp(shown + before + i * 22, want, 22) == 0))
            break;
    }
    kprint("from %s\n", "kprint");
    CHECK(shows("from kprint\r\n"));
}

static void input(void)
{
    char line[40] = "";

    type("hello\r");
    CHECK(fgets(line, sizeof(line), stdin) != NULL);
    CHECK(strcmp(line, "hello\n") == 0);
    CHECK(shows("hello\r\n")); /* the echo */
    CHECK_EQ(page->in_cons, page->in_prod);
}

/* More than fits, and nobody takes it. Returns how long that took. */
static uint64_t print_much(void)
{
    char buf[301];
    uint64_t start = clock_now();

    memset(buf, 'x', 300);
    buf[300] = '\0';
    for (int i = 0; i < 20; i++)
        kprint("%s", buf);
    return clock_now() - start;
}

static void dead_backend(void)
{
    uint64_t ns;

    asleep = true;
    ns = print_much();
    CHECK(ns >= NS_PER_S && ns < 10 * NS_PER_S); /* it was waited for, once */
    CHECK(print_much() < NS_PER_S / 2);
    asleep = false;
    CHECK(shows("xxx"));
    thread_sleep_until(clock_now() + 20 * NS_PER_MS);
    kprint("\nback again\n");
    CHECK(shows("back again\r\n"));
}

static void hostile_backend(void)
{
    char line[40] = "";
    uint32_t real;

    asleep = true;
    thread_sleep_until(clock_now() + 20 * NS_PER_MS);
    real = page->out_cons;
    page->out_cons = real + 5000;
    CHECK(print_much() < 10 * NS_PER_S);
    page->out_cons = 0x80000000;
    CHECK(print_much() < NS_PER_S / 2);
    page->out_prod = 77; /* not its to write */
    page->out_cons = real;
    asleep = false;
    kprint("right again\n");
    CHECK(shows("right again\r\n"));

    page->in_prod += 5000;
    page->in_cons = 0xdeadbeef; /* nor this */
    CHECK_EQ(console_read(line, sizeof(line), false),
             0); /* an impossible index: all of it is skipped */
    type("y\r");
    CHECK(fgets(line, sizeof(line), stdin) != NULL);
    CHECK(strcmp(line, "y\n") == 0);
}

int main(void)
{
    uint32_t flags = start_info->flags;
    struct thread *backend;
    char *p = page_alloc(1);
    int ours, theirs;

    ours = event_alloc_unbound(DOMID_SELF, on_notify, &notified);
    theirs = event_bind_interdomain(DOMID_SELF, (unsigned int)ours, on_notify, &notified);
    if (p == NULL || ours < 0 || theirs < 0)
        verdict_error("no page, or no event channel: %d, %d", ours, theirs);
    page = (volatile struct xencons_interface *)p;
    page->out_cons = page->out_prod = page->in_cons = page->in_prod = 0xfffffc00;
    port = (unsigned int)theirs;
    if (cpus_start() < 2) /* who prints keeps its vCPU: the backend wants another one */
        verdict_error("there is one vCPU");
    backend = thread_create("backend", serve, NULL);
    if (backend == NULL)
        verdict_error("no memory for a thread");

    start_info->flags = flags & ~(uint32_t)SIF_INITDOMAIN;
    start_info->console.domU.mfn = virt_to_mfn(p);
    start_info->console.domU.evtchn = (uint32_t)ours;
    console_init();
    output();
    input();
    dead_backend();
    hostile_backend();
    start_info->flags = flags;
    console_init();

    over = true;
    thread_join(backend);
    printf("%zu bytes went over the ring\n", nr_shown);
    return verdict();
}
