/*
 * The store's memory: killed anywhere it resumes, without memory it fails whole, and nothing is lost
 * over time.
 */
#include <CUnit/Basic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store_machine.h"

static void stop(void)
{
    audit();
    machine_stop();
}

/* ---- random requests of domain 0 and two domains ---- */

static unsigned int seed;
static unsigned int any(unsigned int n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

static uint32_t open_tx[4][3];

static void random_request(unsigned int who)
{
    static const char *const paths[] = { "/a",   "/a/b",   "/a/b/c", "/a/b-c", "/d",
                                         "/d/e", "/d/e/f", "mine",   "mine/x", "mine/y/z" };
    static const char *const perms[] = { "n0", "r0|b1|", "b2", "n1|b2", "n2|r1|w0", "b1" };
    uint32_t conn = who == 0 ? D0 : who, *txs = open_tx[who], tx = txs[any(3)];
    const char *path = paths[any(10)];
    char text[200];

    if (any(3) == 0)
        tx = 0;
    switch (any(16)) {
    case 0 ... 4:
        snprintf(text, sizeof(text), "%s|%0*u", path, 1 + (int)any(40), any(1000));
        ask_in(conn, XS_WRITE, tx, text);
        return;
    case 5:
        snprintf(text, sizeof(text), "%s|", path);
        ask_in(conn, XS_MKDIR, tx, text);
        return;
    case 6 ... 7:
        snprintf(text, sizeof(text), "%s|", path);
        ask_in(conn, any(3) ? XS_RM : XS_READ, tx, text);
        return;
    case 8:
        snprintf(text, sizeof(text), "%s|", path);
        ask_in(conn, any(2) ? XS_DIRECTORY : XS_READ, tx, text);
        return;
    case 9 ... 10:
        snprintf(text, sizeof(text), "%s|%s|", path, perms[any(6)]);
        ask_in(conn, XS_SET_PERMS, tx, text);
        return;
    case 11:
        snprintf(text, sizeof(text), "%s|token%u|", path, any(3));
        ask(conn, any(3) ? XS_WATCH : XS_UNWATCH, text);
        return;
    case 12: txs[any(3)] = begin_tx(conn); return;
    case 13 ... 14: end_tx(conn, tx, any(4) ? "T|" : "F|"); return;
    default:
        snprintf(text, sizeof(text), "%u|", 1 + any(2));
        if (any(8) == 0 && ask(D0, XS_RELEASE, text))
            introduce((domid_t)strtoul(text, NULL, 10));
        return;
    }
}

static void random_start(unsigned int with_seed)
{
    seed = with_seed;
    memset(open_tx, 0, sizeof(open_tx));
    introduce(1);
    introduce(2);
}

static void test_random_requests_break_no_invariant(void)
{
    for (unsigned int run = 0; run < 20; run++) {
        machine_start();
        random_start(run);
        if (run % 2) /* they are at it most of the time */
            ask(D0, XS_CONTROL, "quota|set|memory|3000|");
        for (int i = 0; i < 400; i++) {
            random_request(any(3));
            events[0] = '\0';
            if (i % 8 == 0)
                audit();
        }
        stop();
    }
}

static void test_what_is_made_and_removed_leaves_nothing(void)
{
    size_t objects;

    machine_start();
    random_start(1);
    ask(D0, XS_RELEASE, "1|");
    ask(D0, XS_RELEASE, "2|");
    objects = store->a.nr_objects;
    for (int run = 0; run < 5; run++) {
        random_start(7);
        for (int i = 0; i < 1000; i++) {
            random_request(any(3));
            events[0] = '\0';
        }
        ask(D0, XS_RELEASE, "1|");
        ask(D0, XS_RELEASE, "2|");
        ask(D0, XS_RM, "/a|");
        ask(D0, XS_RM, "/d|");
        ask(D0, XS_RM, "/local/domain/0|");
        ask(D0, XS_RESET_WATCHES, "|");
        take_all(D0);
        CU_ASSERT_EQUAL(store->a.nr_objects, objects);
    }
    stop();
}

/* ---- killed between any two changes of the region ---- */

static uint8_t *copy;
static uint64_t before, after;
static unsigned int probes, switched, wrong;

/* What a store would be that was started on the region as it is now. */
static uint64_t resumed(void)
{
    struct arena a;
    uint64_t d = 0;

    memcpy(copy, region, REGION_BYTES);
    if (arena_open(&a, copy, REGION_BYTES)) {
        d = arena_check(&a) ? digest(&a) : 0;
        arena_close(&a);
    }
    return d;
}

static void look(void *arg)
{
    uint64_t now = resumed();

    probes++;
    if (now != before) { /* the one switch; a request that fails has no other either */
        switched++;
        before = now;
        after = now;
    }
    wrong += now == 0;
}

static void test_killed_in_a_step_it_is_before_or_behind_it(void)
{
    struct xsd_sockmsg h = { .type = XS_WRITE };
    static const struct {
        uint32_t type;
        const char *text;
    } steps[] = {
        { XS_WRITE, "/a/b/new/path|value" },
        { XS_RM, "/a|" },
        { XS_SET_PERMS, "/d|n1|" },
        { XS_WATCH, "/d|one|" },
        { XS_MKDIR, "/d/q/r|" },
        { XS_TRANSACTION_START, "|" },
        { XS_READ, "/none|" }, /* fails: two steps, of which the first is forgotten */
        { XS_RELEASE, "1|" },
        { XS_RESET_WATCHES, "|" },
    };

    copy = aligned_alloc(4096, REGION_BYTES);
    machine_start();
    random_start(3);
    for (int i = 0; i < 60; i++)
        random_request(any(3));
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char payload[100];

        h.type = steps[i].type;
        h.len = (uint32_t)strlen(steps[i].text);
        strcpy(payload, steps[i].text);
        for (char *c = payload; (c = strchr(c, '|')) != NULL;)
            *c = '\0';
        before = resumed();
        probes = switched = wrong = 0;
        store->a.probe = look;
        CU_ASSERT_EQUAL(store_request(store, D0, &h, payload), 0);
        store->a.probe = NULL;
        CU_ASSERT_EQUAL(switched, 1);
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_TRUE(probes > 5);
        CU_ASSERT_EQUAL(after, digest(&store->a));
        take_all(D0);
    }
    stop();
    free(copy);
}

/* The step that makes memory scarce ends a transaction, too. */
static void test_killed_when_a_transaction_is_outdated(void)
{
    char text[3600];
    uint32_t tx;

    copy = aligned_alloc(4096, REGION_BYTES);
    machine_start();
    introduce(1);
    tx = begin_tx(1);
    ask_in(1, XS_WRITE, tx, "mine|1");
    memset(text, 'v', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    probes = switched = wrong = 0;
    for (int i = 0; i < 1000 && strcmp(ask_in(1, XS_READ, tx, "mine|"), "1") == 0; i++) {
        memcpy(text, "/fill/0000|", 11);
        text[9] += (char)(i % 10);
        text[8] += (char)(i / 10 % 10);
        text[7] += (char)(i / 100 % 10);
        before = resumed();
        if (store->a.nr_free_slabs < store->a.nr_slabs / 4 + 3) {
            struct xsd_sockmsg h = { .type = XS_WRITE, .len = sizeof(text) - 1 };

            text[10] = '\0';
            switched = 0;
            store->a.probe = look;
            CU_ASSERT_EQUAL(store_request(store, D0, &h, text), 0);
            store->a.probe = NULL;
            CU_ASSERT_EQUAL(switched, 1);
            take_all(D0);
        } else {
            CU_ASSERT_STRING_EQUAL(ask(D0, XS_WRITE, text), "OK");
        }
    }
    CU_ASSERT_TRUE(probes > 20);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_STRING_EQUAL(answer, "ENOENT"); /* it was, in one of these */
    store_close(store);
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    store_connect(store, D0, 0);
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "EAGAIN");
    stop();
    free(copy);
}

/* ---- killed at any instruction ---- */

/* What the child has done, in memory that outlives it. */
struct progress {
    volatile uint32_t asked, answered;
};

/* Each request, one after the other, makes /n/K = K in a transaction, with a second node for it, and counts. */
static void child(struct progress *p)
{
    char text[100];

    store = store_open(region, REGION_BYTES, &hooks);
    if (store == NULL)
        _exit(1);
    store_connect(store, D0, 0);
    for (;;) {
        uint32_t n = p->answered + 1, tx;

        p->asked = n;
        tx = begin_tx(D0);
        snprintf(text, sizeof(text), "/n/%u|%u", n % 50, n);
        ask_in(D0, XS_WRITE, tx, text);
        snprintf(text, sizeof(text), "/m/%u/x/y|%u", n % 50, n);
        ask_in(D0, XS_WRITE, tx, text);
        snprintf(text, sizeof(text), "/m/%u|", (n + 25) % 50);
        ask_in(D0, XS_RM, tx, text);
        if (strcmp(end_tx(D0, tx, "T|"), "OK"))
            _exit(1);
        snprintf(text, sizeof(text), "/n|%u", n);
        ask(D0, XS_WRITE, text);
        p->answered = n;
        events[0] = '\0';
    }
}

static unsigned int value_of(const char *text)
{
    return (unsigned int)strtoul(ask(D0, XS_READ, text), NULL, 10);
}

/* All that was answered is there, the transaction that was not is there whole or not at all. */
static void examine(uint32_t answered)
{
    uint32_t n = answered, next = n + 1;
    char text[100];

    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    audit();
    store_connect(store, D0, 0);
    if (n) {
        unsigned int counted = value_of("/n|");

        CU_ASSERT_TRUE(counted == n || counted == next);
        snprintf(text, sizeof(text), "/n/%u|", n % 50);
        CU_ASSERT_EQUAL(value_of(text), n);
        snprintf(text, sizeof(text), "/m/%u/x/y|", n % 50);
        CU_ASSERT_EQUAL(value_of(text), n);
    }
    snprintf(text, sizeof(text), "/n/%u|", next % 50);
    if (value_of(text) == next) {
        snprintf(text, sizeof(text), "/m/%u/x/y|", next % 50);
        CU_ASSERT_EQUAL(value_of(text), next);
        snprintf(text, sizeof(text), "/m/%u|", (next + 25) % 50);
        CU_ASSERT_STRING_EQUAL(ask(D0, XS_READ, text), "ENOENT");
    }
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_CONTROL, "check|"), "OK");
    store_close(store);
}

static void test_killed_at_any_instruction_it_goes_on(void)
{
    struct progress *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned int kills = getenv("STORE_KILLS") ? (unsigned int)atoi(getenv("STORE_KILLS")) : 50;

    region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    seed = (unsigned int)time(NULL);
    for (unsigned int i = 0; i < kills; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
            child(p);
        usleep(500 + any(8000));
        kill(pid, SIGKILL);
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_TRUE(WIFSIGNALED(status)); /* it did not end by itself */
        examine(p->answered);
    }
    CU_ASSERT_TRUE(p->answered > 0);
    munmap(region, REGION_BYTES);
    munmap(p, 4096);
}

/* ---- without memory ---- */

static void test_a_request_without_memory_changes_nothing(void)
{
    static const struct {
        uint32_t type;
        const char *text;
    } steps[] = {
        { XS_WRITE, "/x/y/z|value" }, { XS_MKDIR, "/q/r|" }, { XS_SET_PERMS, "/x|n1|" },
        { XS_WATCH, "/x|t|" },        { XS_RM, "/x|" },      { XS_UNWATCH, "/x|t|" },
        { XS_INTRODUCE, "9|9|9|" },   { XS_RELEASE, "9|" },  { XS_CONTROL, "quota|set|nodes|5|" },
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        unsigned int n = 0;

        machine_start();
        for (size_t j = 0; j < i; j++)
            ask(D0, steps[j].type, steps[j].text);
        do {
            struct state *st = arena_at(&store->a, arena_root(&store->a));
            uint64_t tree = digest_of(&store->a, st->root[ROOT_TREE], 0),
                     watches = digest_of(&store->a, st->root[ROOT_WATCHES], 0);

            store->a.fail_at = ++n;
            ask(D0, steps[i].type, steps[i].text);
            if (strcmp(answer, "OK") == 0)
                break;
            CU_ASSERT_STRING_EQUAL(answer, "ENOMEM");
            st = arena_at(&store->a, arena_root(&store->a));
            CU_ASSERT_EQUAL(digest_of(&store->a, st->root[ROOT_TREE], 0), tree);
            CU_ASSERT_EQUAL(digest_of(&store->a, st->root[ROOT_WATCHES], 0), watches);
            audit();
        } while (n < 200);
        /* One allocation that fails does not stop a RELEASE: it is done in pieces. */
        CU_ASSERT_TRUE((n > 3 || steps[i].type == XS_RELEASE) && n < 200);
        store->a.fail_at = 0;
        stop();
    }
}

/* Nodes of 2,000 bytes until there is no room. Returns how many. */
static unsigned int fill(uint32_t conn, const char *folder)
{
    char text[2100];
    unsigned int n = 0;
    int head;

    do {
        head = snprintf(text, sizeof(text), "%s/%u|", folder, n++);
        memset(text + head, 'v', 2000);
        text[head + 2000] = '\0';
    } while (strcmp(ask(conn, XS_WRITE, text), "OK") == 0 && n < 5000);
    CU_ASSERT_STRING_EQUAL(answer, "ENOMEM");
    return n;
}

static void test_a_full_store_leaves_room_to_remove(void)
{
    machine_start();
    introduce(1);
    ask(D0, XS_CONTROL, "quota|set|nodes|0|");
    ask(D0, XS_CONTROL, "quota|set|memory-share|0|");
    CU_ASSERT_TRUE(fill(1, "fill") > 500); /* what is left is for domain 0 */
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_WRITE, "/other|1"), "OK");
    CU_ASSERT_TRUE(fill(D0, "/all") > 50);
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_RM, "/all|"), "OK");
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_WRITE, "/all/again|1"), "OK");
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_RELEASE, "1|"), "OK");
    stop();
}

static void test_events_for_domains_leave_memory_for_others(void)
{
    char text[1200];

    machine_start();
    introduce(1);
    ask(D0, XS_CONTROL, "quota|set|outstanding|0|"); /* as if there were very many domains */
    ask(D0, XS_CONTROL, "quota|set|memory-share|0|");
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "data|%0*d|", 1000, i);
        ask(1, XS_WATCH, text);
    }
    for (int i = 0; i < 100; i++)
        CU_ASSERT_STRING_EQUAL(ask(D0, XS_WRITE, "/local/domain/1/data|x"), "OK");
    CU_ASSERT_TRUE(store_output_waiting(store, 1) > 512 << 10);
    CU_ASSERT_TRUE(fill(D0, "/all") > 50);
    stop();
}

/* ---- regions that are no store's ---- */

/* A domain with many long nodes and watches, a client with many long watches, and no memory. */
static void start_without_memory(void)
{
    static const size_t sizes[] = { 4000, 2000, 900, 400, 200, 100, 30, 1 };
    char text[5000], name[600];

    machine_start();
    introduce(5);
    store_connect(store, D0 + 1, 0);
    ask(D0, XS_CONTROL, "quota|set|memory-share|0|");
    memset(name, 'n', sizeof(name));
    name[500] = '\0';
    for (int i = 0; i < 400; i++) {
        snprintf(text, sizeof(text), "/local/domain/5/%s%d|v", name, i);
        CU_ASSERT_STRING_EQUAL(ask(5, XS_WRITE, text), "OK");
    }
    for (int i = 0; i < 400; i++) {
        snprintf(text, sizeof(text), "/w|%s%d|", name, i);
        CU_ASSERT_STRING_EQUAL(ask(D0 + 1, XS_WATCH, text), "OK");
    }
    for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++)
        for (int i = 0; i < 20000; i++) {
            size_t at = (size_t)snprintf(text, sizeof(text), "/f%zu/%d|", size, i);

            memset(text + at, 'v', sizes[size]);
            text[at + sizes[size]] = '\0';
            if (strcmp(ask(D0, XS_WRITE, text), "OK") != 0)
                break;
        }
    CU_ASSERT_STRING_EQUAL(answer, "ENOMEM");
}

/* What takes more memory than there is, if it is done at once, is done in pieces. */
static void test_what_is_full_can_be_removed(void)
{
    start_without_memory();
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_RELEASE, "5|"), "OK");
    CU_ASSERT_FALSE(store_introduced(store, 5));
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_READ, "/local/domain/5|"), "ENOENT");
    stop();
    start_without_memory();
    CU_ASSERT_EQUAL(store_domain_gone(store, 5), 0);
    CU_ASSERT_FALSE(store_introduced(store, 5));
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_READ, "/local/domain/5|"), "ENOENT");
    stop();
    start_without_memory();
    CU_ASSERT_EQUAL(store_disconnect(store, D0 + 1), 0);
    audit();
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_WRITE, "/w/x|v"), "OK");
    stop();
    start_without_memory();
    store_close(store);
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    stop();
}

static void test_damaged_regions_are_refused(void)
{
    struct obj *o;

    machine_start();
    ask(D0, XS_WRITE, "/a|1");
    store_close(store);
    CU_ASSERT_PTR_NULL(store_open(region, REGION_BYTES / 2, &hooks));
    CU_ASSERT_EQUAL(errno, EINVAL);
    CU_ASSERT_PTR_NULL(store_open(region, 4096, &hooks));
    region[0] ^= 1;
    CU_ASSERT_PTR_NULL(store_open(region, REGION_BYTES, &hooks));
    CU_ASSERT_EQUAL(errno, EINVAL);
    region[0] ^= 1;
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    o = arena_at(&store->a, arena_root(&store->a));
    ((ref_t *)(o + 1))[ROOT_TREE] ^= 1; /* into the middle of something */
    CU_ASSERT_FALSE(store_check(store));
    store_close(store);
    CU_ASSERT_PTR_NULL(store_open(region, REGION_BYTES, &hooks));
    CU_ASSERT_EQUAL(errno, EIO);
    ((ref_t *)(o + 1))[ROOT_TREE] = 0x7fffffff;
    CU_ASSERT_PTR_NULL(store_open(region, REGION_BYTES, &hooks));
    CU_ASSERT_EQUAL(errno, EIO);
    free(region);
}

static void test_who_was_connected_by_ring_still_is(void)
{
    uint32_t tx;

    machine_start();
    introduce(1);
    ask(1, XS_WATCH, "data|t|");
    tx = begin_tx(1);
    ask_in(1, XS_WRITE, tx, "data|1");
    ask(D0, XS_WATCH, "/a|gone|");
    ask(D0, XS_WRITE, "/local/domain/1/data2|1");
    events[0] = '\0';
    store_close(store);
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    CU_ASSERT_TRUE(store_introduced(store, 1));
    store_connect(store, D0, 0);
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "OK");
    CU_ASSERT_STRING_EQUAL(events, "1 data t;");
    events[0] = '\0';
    ask(D0, XS_WRITE, "/a|1");
    CU_ASSERT_STRING_EQUAL(events, "");
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store_crash", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_random_requests_break_no_invariant);
    T(test_what_is_made_and_removed_leaves_nothing);
    T(test_killed_in_a_step_it_is_before_or_behind_it);
    T(test_killed_when_a_transaction_is_outdated);
    T(test_killed_at_any_instruction_it_goes_on);
    T(test_a_request_without_memory_changes_nothing);
    T(test_a_full_store_leaves_room_to_remove);
    T(test_events_for_domains_leave_memory_for_others);
    T(test_what_is_full_can_be_removed);
    T(test_damaged_regions_are_refused);
    T(test_who_was_connected_by_ring_still_is);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
