/*
 * The store of the embedded control domain, killed at random instructions and started again, while it is used: by
 * domain 0's ring, by the ring of a domain whose page it maps, and by clients of its socket. Each client has a
 * model of what it was told. Arguments: how often; a seed.
 */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/event.h>
#include <rt/group.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include <xen/domctl.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

#include "../../../xenstore/daemon.h"
#include "counters.h"

enum {
    STORE_BYTES = 4 << 20,
    NR_LOCAL = 2,
    NR_CLIENTS = NR_LOCAL + 2,
    NR_KEYS = 5,
    NR_FRAMES = 4,      /* of the other domain */
    EARLY_IN_A_ROW = 4, /* clients give up after five seconds */
};
#define PATIENCE (20 * NS_PER_S)

static unsigned int killer_seed = 1;

static unsigned int any(unsigned int *seed, unsigned int n)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 8) % n;
}

/* ---- clients take a break when nothing is to change ---- */

static struct mutex lock; /* guards these */
static struct cond changed;
static bool pausing, over;
static unsigned int nr_paused;

/* Between two operations. Returns whether there is a next one. */
static bool go_on(void)
{
    bool on;

    mutex_lock(&lock);
    nr_paused++;
    cond_broadcast(&changed);
    while (pausing && !over)
        cond_wait(&changed, &lock, NO_DEADLINE);
    nr_paused--;
    on = !over;
    mutex_unlock(&lock);
    return on;
}

static void pause_all(void)
{
    mutex_lock(&lock);
    pausing = true;
    while (nr_paused < NR_CLIENTS)
        cond_wait(&changed, &lock, NO_DEADLINE);
    mutex_unlock(&lock);
}

static void resume(bool to_the_end)
{
    mutex_lock(&lock);
    pausing = false;
    over = to_the_end;
    cond_broadcast(&changed);
    mutex_unlock(&lock);
}

/* ---- what a client was told: of its keys, in its part of the tree ---- */

struct model {
    unsigned int seed;
    unsigned int value[NR_KEYS]; /* 0: there is none */
    unsigned int last;           /* value */
    unsigned long nr_done;
};

/* ---- clients by ring ---- */

struct ring {
    struct model m;
    const char *prefix; /* of its keys */
    struct xenstore_domain_interface *page;
    unsigned int port; /* 0: it has no events, see nudge */
    struct semaphore event;
    struct xs_handle *nudge; /* it makes the store look */
    uint32_t id, tx;
    unsigned long nr_events, nr_wanted; /* of its watch */
    struct xsd_sockmsg head;
    char body[XENSTORE_PAYLOAD_MAX + 1];
};

static void on_ring_event(unsigned int port, void *arg)
{
    struct ring *r = arg;

    (void)port;
    semaphore_up(&r->event);
}

static void ring_tell(struct ring *r)
{
    if (r->port)
        event_send(r->port);
}

static void print_ring(const struct ring *r)
{
    printf("%s: requests %u-%u, answers %u-%u, connection %u, error %u; request %u\n", r->prefix,
           r->page->req_cons, r->page->req_prod, r->page->rsp_cons, r->page->rsp_prod,
           r->page->connection, r->page->error, r->id);
}

static void ring_wait(struct ring *r, uint64_t until)
{
    bool in_time = clock_now() < until;

    if (r->port)
        in_time = semaphore_down(&r->event, until);
    else
        thread_sleep_until(clock_now() + 100000);
    if (!in_time) {
        print_ring(r);
        verdict_failure("%s: the store is silent", r->prefix);
    }
}

static void ring_put(struct ring *r, const void *bytes, size_t len)
{
    uint64_t until = clock_now() + PATIENCE;
    uint32_t prod = r->page->req_prod;

    for (size_t i = 0; i < len; i++) {
        while (prod - __atomic_load_n(&r->page->req_cons, __ATOMIC_ACQUIRE) == XENSTORE_RING_SIZE) {
            __atomic_store_n(&r->page->req_prod, prod, __ATOMIC_RELEASE);
            ring_tell(r);
            ring_wait(r, until);
        }
        r->page->req[MASK_XENSTORE_IDX(prod++)] = ((const char *)bytes)[i];
    }
    __atomic_store_n(&r->page->req_prod, prod, __ATOMIC_RELEASE);
}

static void ring_get(struct ring *r, void *bytes, size_t len)
{
    uint64_t until = clock_now() + PATIENCE;
    uint32_t cons = r->page->rsp_cons;

    for (size_t i = 0; i < len; i++) {
        while (__atomic_load_n(&r->page->rsp_prod, __ATOMIC_ACQUIRE) == cons) {
            __atomic_store_n(&r->page->rsp_cons, cons, __ATOMIC_RELEASE);
            ring_tell(r);
            ring_wait(r, until);
        }
        ((char *)bytes)[i] = r->page->rsp[MASK_XENSTORE_IDX(cons++)];
    }
    __atomic_store_n(&r->page->rsp_cons, cons, __ATOMIC_RELEASE);
}

/* The next message that is not an event of the watch "mine". */
static void ring_message(struct ring *r)
{
    for (;;) {
        ring_get(r, &r->head, sizeof(r->head));
        if (r->head.len > XENSTORE_PAYLOAD_MAX)
            verdict_failure("%s: a message of %u bytes", r->prefix, r->head.len);
        ring_get(r, r->body, r->head.len);
        r->body[r->head.len] = '\0';
        ring_tell(r);
        if (r->head.type != XS_WATCH_EVENT)
            return;
        if (strcmp(r->body + strlen(r->body) + 1, "mine") == 0)
            r->nr_events++;
    }
}

/* text's '|' are zero bytes. */
static void ring_send(struct ring *r, uint32_t type, const char *text)
{
    struct xsd_sockmsg h = { type, ++r->id, r->tx, (uint32_t)strlen(text) };
    char bytes[200];

    for (uint32_t i = 0; i < h.len; i++)
        bytes[i] = (char)(text[i] == '|' ? '\0' : text[i]);
    ring_put(r, &h, sizeof(h));
    ring_put(r, bytes, h.len);
    ring_tell(r);
}

/* The answer is in head and body. */
static void ring_ask(struct ring *r, uint32_t type, const char *text)
{
    ring_send(r, type, text);
    if (r->nudge)
        xs_write(r->nudge, XBT_NULL, "/nudge", "", 0);
    ring_message(r);
    if (r->head.req_id != r->id || (r->head.type != type && r->head.type != XS_ERROR))
        verdict_failure("%s: request %u of type %u is answered by %u of type %u", r->prefix, r->id,
                        type, r->head.req_id, r->head.type);
}

static bool ring_did(struct ring *r) { return r->head.type != XS_ERROR; }

static void ring_write(struct ring *r, unsigned int key, unsigned int value)
{
    char text[100];

    snprintf(text, sizeof(text), "%s%u|%u", r->prefix, key, value);
    ring_ask(r, XS_WRITE, text);
    if (!CHECK(ring_did(r)))
        printf("%s: write: %s\n", r->prefix, r->body);
}

static void ring_check(struct ring *r, unsigned int key)
{
    char text[100];

    snprintf(text, sizeof(text), "%s%u|", r->prefix, key);
    ring_ask(r, XS_READ, text);
    if (r->m.value[key])
        CHECK_EQ(ring_did(r) ? atoi(r->body) : -1, r->m.value[key]);
    else
        CHECK_EQ(strcmp(r->body, "ENOENT"), 0);
}

/* Nobody else is there: it does what it says, once. */
static void ring_transaction(struct ring *r, unsigned int a, unsigned int b)
{
    bool commit = any(&r->m.seed, 4) != 0;

    ring_ask(r, XS_TRANSACTION_START, "|");
    r->tx = (uint32_t)atoi(r->body);
    CHECK(ring_did(r) && r->tx);
    ring_write(r, a, r->m.last);
    ring_write(r, b, r->m.last);
    ring_ask(r, XS_TRANSACTION_END, commit ? "T|" : "F|");
    if (!CHECK(ring_did(r)))
        printf("%s: end: %s\n", r->prefix, r->body);
    r->tx = 0;
    if (commit) {
        r->m.value[a] = r->m.value[b] = r->m.last;
        r->nr_wanted += 1 + (a != b);
    }
}

static void ring_remove(struct ring *r, unsigned int key)
{
    char text[100];

    snprintf(text, sizeof(text), "%s%u|", r->prefix, key);
    ring_ask(r, XS_RM, text);
    CHECK(ring_did(r));
    r->nr_wanted += r->m.value[key] != 0;
    r->m.value[key] = 0;
}

static void ring_start(struct ring *r)
{
    char text[100];

    snprintf(text, sizeof(text), "%.*s|mine|", (int)strlen(r->prefix) - 2, r->prefix);
    ring_ask(r, XS_WATCH, text);
    if (!CHECK(ring_did(r)))
        printf("%s: watch: %s\n", r->prefix, r->body);
    r->nr_wanted = 1;
}

/* What was asked has come, and its events before it: each once. */
static void ring_client(void *arg)
{
    struct ring *r = arg;

    ring_start(r);
    while (go_on()) {
        unsigned int key = any(&r->m.seed, NR_KEYS);

        r->m.last++;
        switch (any(&r->m.seed, 6)) {
        case 0:
        case 1:
            ring_write(r, key, r->m.last);
            r->m.value[key] = r->m.last;
            r->nr_wanted++;
            break;
        case 2: ring_transaction(r, key, any(&r->m.seed, NR_KEYS)); break;
        case 3: ring_remove(r, key); break;
        default: ring_check(r, key);
        }
        r->m.nr_done++;
    }
    for (unsigned int key = 0; key < NR_KEYS; key++)
        ring_check(r, key);
    CHECK_EQ(r->nr_events, r->nr_wanted);
}

/* ---- clients of the socket ---- */

struct local {
    struct model m;
    struct xs_handle *xs;
    unsigned int number;
    unsigned long nr_commits, nr_again;
};

static void local_path(const struct local *l, unsigned int key, char path[40])
{
    snprintf(path, 40, "/local%u/key%u", l->number, key);
}

static void local_write(struct local *l, xs_transaction_t t, unsigned int key)
{
    char path[40], value[20];

    local_path(l, key, path);
    snprintf(value, sizeof(value), "%u", l->m.last);
    if (!CHECK(xs_write(l->xs, t, path, value, (unsigned int)strlen(value))))
        printf("%s: %s\n", path, strerror(errno));
}

static void local_check(struct local *l, unsigned int key)
{
    char path[40], *value;

    local_path(l, key, path);
    value = xs_read(l->xs, XBT_NULL, path, NULL);
    if (l->m.value[key])
        CHECK_EQ(value ? atoi(value) : -errno, l->m.value[key]);
    else
        CHECK(value == NULL && errno == ENOENT);
    free(value);
}

/* Whatever becomes of the store, each write is an event, or the watch was registered again since. */
static void local_event(struct local *l)
{
    uint64_t until = clock_now() + PATIENCE;
    char **event;

    while ((event = xs_check_watch(l->xs)) == NULL) {
        if (errno != EAGAIN || clock_now() > until)
            verdict_failure("local %u: no event: %s", l->number, strerror(errno));
        thread_sleep_until(clock_now() + 100000);
    }
    do
        free(event);
    while ((event = xs_check_watch(l->xs)) != NULL);
}

static void local_transaction(struct local *l, unsigned int a, unsigned int b)
{
    xs_transaction_t t;
    bool done;

    do {
        char *value, text[20];

        t = xs_transaction_start(l->xs);
        if (!CHECK(t != XBT_NULL))
            return;
        local_write(l, t, a);
        local_write(l, t, b);
        value = xs_read(l->xs, t, "/shared", NULL); /* which all change */
        snprintf(text, sizeof(text), "%d", value ? atoi(value) + 1 : -1);
        free(value);
        CHECK(xs_write(l->xs, t, "/shared", text, (unsigned int)strlen(text)));
        done = xs_transaction_end(l->xs, t, false);
        if (!done && errno != EAGAIN)
            verdict_failure("local %u: a transaction: %s", l->number, strerror(errno));
        l->nr_again += !done;
    } while (!done);
    l->nr_commits++;
    l->m.value[a] = l->m.value[b] = l->m.last;
}

static void local_client(void *arg)
{
    struct local *l = arg;
    char path[40];

    snprintf(path, sizeof(path), "/local%u", l->number);
    CHECK(xs_watch(l->xs, path, "mine"));
    local_event(l);
    while (go_on()) {
        unsigned int key = any(&l->m.seed, NR_KEYS);

        l->m.last++;
        switch (any(&l->m.seed, 6)) {
        case 0:
        case 1:
            local_write(l, XBT_NULL, key);
            l->m.value[key] = l->m.last;
            local_event(l);
            break;
        case 2:
            local_transaction(l, key, any(&l->m.seed, NR_KEYS));
            local_event(l);
            break;
        case 3:
            local_path(l, key, path);
            CHECK(xs_rm(l->xs, XBT_NULL, path));
            l->m.value[key] = 0;
            break;
        default: local_check(l, key);
        }
        l->m.nr_done++;
    }
    for (unsigned int key = 0; key < NR_KEYS; key++)
        local_check(l, key);
}

/* ---- a domain that never runs: what is done here by its ring and its port, it does ---- */

static struct xen_domctl op;

static long domctl(uint32_t cmd, domid_t id)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

static domid_t create_child(xen_pfn_t *frame, evtchn_port_t *port)
{
    struct xen_memory_reservation r = { .nr_extents = NR_FRAMES };
    struct evtchn_alloc_unbound unbound = { .remote_dom = 0 };
    static xen_pfn_t frames[NR_FRAMES];

    memset(&op, 0, sizeof(op));
    op.u.createdomain = (struct xen_domctl_createdomain){
        .max_vcpus = 1,
        .max_evtchn_port = 1023,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    if (domctl(XEN_DOMCTL_createdomain, 0))
        verdict_error("createdomain");
    r.domid = unbound.dom = op.domain;
    op.u.max_vcpus.max = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus, r.domid), 0);
    op.u.max_mem.max_memkb = NR_FRAMES * 4;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem, r.domid), 0);
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        frames[i] = i;
    set_xen_guest_handle(r.extent_start, frames);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR_FRAMES);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &unbound), 0);
    *frame = frames[0]; /* a PV domain's are the machine's */
    *port = unbound.port;
    return r.domid;
}

/* All that was mapped of it is not any more, or it would not go. */
static void destroy_child(domid_t id)
{
    uint64_t until = clock_now() + PATIENCE;

    while (domctl(XEN_DOMCTL_destroydomain, id) == -11) /* Xen's EAGAIN */
        ;
    while (domctl(XEN_DOMCTL_getdomaininfo, id) == 0 && op.domain == id)
        if (clock_now() > until)
            verdict_failure("domain %u does not go: something of it is mapped", id);
        else
            thread_sleep_until(clock_now() + NS_PER_MS);
}

/* ---- the store ---- */

static struct local locals[NR_LOCAL];
static struct ring mine = { .prefix = "/own/k" }, child = { .prefix = "data/k" };
static struct group *store;
static unsigned int killed;
static unsigned long nr_served; /* lives in which it came to serve */
static uint64_t started, serving;

static void serve(void *unused)
{
    struct plat_loop *loop = plat_loop_new();
    struct stored_options o = { .socket = xs_daemon_socket(),
                                .region = "store",
                                .size_bytes = STORE_BYTES,
                                .rings = true,
                                .own = mine.page,
                                .own_port = mine.port };

    (void)unused;
    if (loop == NULL || stored_start(loop, &o))
        verdict_failure("the store does not start");
    nr_served++;
    serving = clock_now();
    plat_loop_run(loop);
    verdict_failure("the store ends by itself");
}

static void store_start(void)
{
    killed = 0;
    started = clock_now();
    store = group_start("store", serve, NULL);
    if (store == NULL)
        verdict_failure("no memory for the store");
}

/* An event's handler, which interrupts the store or whoever. */
static void on_kill(void *unused)
{
    (void)unused;
    group_kill(store);
    __atomic_store_n(&killed, 1, __ATOMIC_SEQ_CST);
}

static void store_end(void)
{
    while (!__atomic_load_n(&killed, __ATOMIC_SEQ_CST))
        thread_sleep_until(clock_now() + 100000);
    group_wait(store);
    group_free(store);
}

/* It is connected, and has no events. */
static void settle(struct xs_handle *xs)
{
    char **event;

    free(xs_read(xs, XBT_NULL, "/", NULL));
    while ((event = xs_check_watch(xs)) != NULL)
        free(event);
}

/* Everything stands still, and the store is no more: what is there is the clients'. */
static void compare(struct counters *before)
{
    struct counters now;

    pause_all();
    for (unsigned int i = 0; i < NR_LOCAL; i++)
        settle(locals[i].xs);
    settle(child.nudge);
    on_kill(NULL);
    store_end();
    now = count();
    if (before->pages)
        check_counters(before);
    *before = now;
    store_start();
    resume(false);
}

/* ---- all of it ---- */

static struct thread *threads[NR_CLIENTS];

static unsigned long done_by(unsigned int client)
{
    const struct model *m = client < NR_LOCAL    ? &locals[client].m
                            : client == NR_LOCAL ? &mine.m
                                                 : &child.m;

    return __atomic_load_n(&m->nr_done, __ATOMIC_RELAXED);
}

/* Until each has done something. */
static void wait_for_clients(void)
{
    uint64_t until = clock_now() + PATIENCE;
    unsigned long before[NR_CLIENTS];

    for (unsigned int i = 0; i < NR_CLIENTS; i++)
        before[i] = done_by(i);
    for (unsigned int i = 0; i < NR_CLIENTS; i++)
        while (done_by(i) == before[i]) {
            if (clock_now() > until) {
                print_ring(&mine);
                print_ring(&child);
                verdict_failure("client %u does nothing", i);
            }
            thread_sleep_until(clock_now() + 100000);
        }
}

static unsigned int measure_start(void)
{
    on_kill(NULL);
    store_end();
    store_start();
    wait_for_clients();
    return (unsigned int)(serving - started);
}

/* While it starts, and soon after; or when it has served all clients. How long that takes is the machine's matter. */
static void kills(unsigned int nr)
{
    struct counters before = { 0 };
    unsigned int start_ns, early = 0;
    struct timer timer;

    timer_init(&timer, on_kill, NULL);
    start_ns = measure_start();
    printf("it starts in %u us\n", start_ns / 1000);
    for (unsigned int i = 1; i <= nr; i++) {
        early = any(&killer_seed, 2) && early < EARLY_IN_A_ROW ? early + 1 : 0;
        if (early == 0)
            wait_for_clients();
        timer_set(&timer, clock_now() + any(&killer_seed, early ? 2 * start_ns : start_ns / 2));
        store_end();
        store_start();
        if (i == nr / 2 || i == nr * 3 / 4 || i == nr)
            compare(&before);
    }
}

static struct xs_handle *open_store(void)
{
    struct xs_handle *xs = NULL;

    for (int i = 0; xs == NULL && i < 1000; i++) {
        xs = xs_open(0);
        if (xs == NULL)
            thread_sleep_until(clock_now() + NS_PER_MS);
    }
    if (xs == NULL)
        verdict_failure("the store does not listen: %s", strerror(errno));
    return xs;
}

static struct thread *begin(const char *name, void (*fn)(void *arg), void *arg)
{
    struct thread *t = thread_create(name, fn, arg);

    if (t == NULL)
        verdict_error("no memory for a thread");
    return t;
}

/* Its connection, its folder, and a watch by which a client of the socket makes the store look at its ring. */
static domid_t introduce(struct xs_handle *xs)
{
    evtchn_port_t port;
    xen_pfn_t frame;
    domid_t id = create_child(&frame, &port);
    struct xs_permissions perms = { .id = id }, all = { .perms = XS_PERM_READ };
    char path[40];

    child.page = xenforeignmemory_map(xenforeignmemory_open(NULL, 0), id, PROT_READ | PROT_WRITE, 1,
                                      &frame, NULL);
    if (child.page == NULL)
        verdict_error("the other domain's page cannot be mapped");
    child.nudge = xs;
    CHECK(xs_write(xs, XBT_NULL, "/nudge", "", 0));
    CHECK(xs_set_permissions(xs, XBT_NULL, "/nudge", &all, 1)); /* events are for who may read */
    snprintf(path, sizeof(path), "/local/domain/%u/data", id);
    CHECK(xs_write(xs, XBT_NULL, path, "", 0));
    CHECK(xs_set_permissions(xs, XBT_NULL, path, &perms, 1));
    ring_send(&child, XS_WATCH, "/nudge|nudge|"); /* the first event is the connection itself */
    CHECK(xs_introduce_domain(xs, id, frame, port));
    ring_message(&child);
    CHECK(ring_did(&child));
    return id;
}

static void start_clients(void)
{
    mine.m.seed = 10;
    child.m.seed = 11;
    threads[0] = begin("own ring", ring_client, &mine);
    threads[1] = begin("other ring", ring_client, &child);
    for (unsigned int i = 0; i < NR_LOCAL; i++) {
        locals[i] = (struct local){ .number = i, .m.seed = 20 + i, .xs = open_store() };
        threads[2 + i] = begin("local", local_client, &locals[i]);
    }
}

static void check_shared(struct xs_handle *xs)
{
    char *value = xs_read(xs, XBT_NULL, "/shared", NULL);
    unsigned long n = value ? strtoul(value, NULL, 10) : 0, commits = 0, again = 0;

    free(value);
    for (unsigned int i = 0; i < NR_LOCAL; i++) {
        commits += locals[i].nr_commits;
        again += locals[i].nr_again;
    }
    printf("%lu transactions, %lu to be repeated; they have counted to %lu\n", commits, again, n);
    CHECK(n >= commits && n <= commits + again); /* one whose answer was lost may have been done */
}

static void print_all(unsigned int nr)
{
    printf("%u kills, %lu of a store that had begun to serve; operations:", nr, nr_served);
    printf(" own ring %lu, other ring %lu, local", mine.m.nr_done, child.m.nr_done);
    for (unsigned int i = 0; i < NR_LOCAL; i++) {
        printf(" %lu", locals[i].m.nr_done);
    }
    printf("\n");
    CHECK(nr_served > nr / 3);
}

int main(int argc, char **argv)
{
    unsigned int nr = argc > 2 ? (unsigned int)atoi(argv[2]) : 50;
    struct xs_handle *xs;
    char *answer_text;
    domid_t id;
    int port;

    killer_seed = argc > 3 ? (unsigned int)atoi(argv[3]) : 1;
    printf("%u vCPUs, %u kills, seed %u\n", cpus_start(), nr, killer_seed);
    mine.page = page_alloc(1);
    port = event_alloc_unbound(0, on_ring_event, &mine);
    if (mine.page == NULL || port < 0)
        verdict_error("no ring of our own");
    mine.port = (unsigned int)port;
    store_start();
    xs = open_store();
    CHECK(xs_write(xs, XBT_NULL, "/own", "", 0) && xs_write(xs, XBT_NULL, "/shared", "0", 1));
    id = introduce(open_store());
    start_clients();
    kills(nr);
    resume(true);
    for (unsigned int i = 0; i < NR_CLIENTS; i++)
        thread_join(threads[i]);
    check_shared(xs);
    answer_text = xs_control_command(xs, "check", NULL, 0);
    if (!CHECK(answer_text && strncmp(answer_text, "OK", 2) == 0))
        printf("check: %s\n", answer_text ? answer_text : strerror(errno));
    CHECK_EQ(xenforeignmemory_unmap(NULL, child.page, 1), 0);
    CHECK(xs_release_domain(xs, id));
    destroy_child(id);
    print_all(nr);
    return verdict();
}
