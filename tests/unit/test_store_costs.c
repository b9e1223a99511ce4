/* The store's quotas and control commands, and what requests cost. */
#include "store_asks.h"

/* ---- quotas, control ---- */

static void test_each_quota_holds(void)
{
    uint32_t tx;
    char text[64];

    start();
    introduce(1);
    IS(D0, XS_CONTROL, "quota|set|nodes|4|", "OK");
    IS(1, XS_WRITE, "a/b/c|", "OK"); /* with its home that is 4 */
    IS(1, XS_WRITE, "d|", "ENOSPC");
    CU_ASSERT_STRING_EQUAL(log_last, "domain 1 has hit its quota \"nodes\" (4), 1 times so far");
    IS(1, XS_WRITE, "a/b/c|again", "OK");
    tx = begin_tx(1);
    IS_IN(1, XS_WRITE, tx, "d|", "ENOSPC");
    IS_IN(1, XS_RM, tx, "a/b|", "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "OK");
    IS(1, XS_WRITE, "d|", "OK");
    IS(D0, XS_WRITE, "/local/domain/1/by0|", "OK"); /* domain 0 may; it counts, though */
    IS(1, XS_WRITE, "e|", "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|nodes|100|1|", "OK");
    IS(1, XS_WRITE, "e|", "OK");

    IS(D0, XS_CONTROL, "quota|set|watches|2|", "OK");
    IS(1, XS_WATCH, "a|1|", "OK");
    IS(1, XS_WATCH, "a|2|", "OK");
    IS(1, XS_WATCH, "a|3|", "E2BIG");
    IS(1, XS_UNWATCH, "a|2|", "OK");
    IS(1, XS_WATCH, "a|3|", "OK");

    IS(D0, XS_CONTROL, "quota|set|transactions|1|", "OK");
    tx = begin_tx(1);
    IS(1, XS_TRANSACTION_START, "|", "ENOSPC");
    end_tx(1, tx, "F|");
    CU_ASSERT_NOT_EQUAL(tx = begin_tx(1), 0);
    IS(D0, XS_CONTROL, "quota|set|transaction-nodes|6|", "OK");
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "no%d|", i);
        ask_in(1, XS_READ, tx, text);
        CU_ASSERT_STRING_EQUAL(answer, i < 5 ? "ENOENT" : "ENOSPC");
    }
    end_tx(1, tx, "F|");

    IS(D0, XS_CONTROL, "quota|set|node-size|3|", "OK");
    IS(1, XS_WRITE, "a|123", "OK");
    IS(1, XS_WRITE, "a|1234", "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|permissions|2|", "OK");
    IS(1, XS_SET_PERMS, "a|n1|r2|", "OK");
    IS(1, XS_SET_PERMS, "a|n1|r2|r3|", "ENOSPC");
    IS(D0, XS_SET_PERMS, "/local/domain/1/a|n1|r2|r3|", "OK");
    IS(D0, XS_CONTROL, "quota|set|permissions|0|", "OK"); /* no bound */
    IS(1, XS_SET_PERMS, "a|n1|r2|r3|r4|r5|r6|r7|r8|", "OK");
    stop();
}

static void test_who_does_not_read_loses_events_not_answers(void)
{
    start();
    introduce(1);
    IS(D0, XS_CONTROL, "quota|set|outstanding|100|", "OK");
    ask(1, XS_WATCH, "a|t|");
    events[0] = '\0';
    for (int i = 0; i < 20; i++)
        ask(D0, XS_WRITE, "/local/domain/1/a|x");
    CU_ASSERT_EQUAL(store_output_waiting(store, 1), 100); /* five events */
    CU_ASSERT_STRING_EQUAL(log_last,
                           "domain 1 has hit its quota \"outstanding\" (100), 8 times so far");
    IS(1, XS_READ, "a|", "x");
    EVENTS("1 a t;1 a t;1 a t;1 a t;1 a t;");
    CU_ASSERT_NOT_EQUAL(strstr(ask(D0, XS_CONTROL, "quota|1|"),
                               "outstanding: 0 of 100, hit 15 times"),
                        NULL);
    stop();
}

static void test_control_commands(void)
{
    start();
    IS(D0, XS_CONTROL, "check|", "OK");
    IS(D0, XS_CONTROL, "print|hello|", "OK");
    CU_ASSERT_STRING_EQUAL(log_last, "hello");
    IS(D0, XS_CONTROL, "log|on|", "OK");
    ask(D0, XS_READ, "/a|");
    CU_ASSERT_STRING_EQUAL(log_last, "connection 10000 tx 0: read /a: ENOENT");
    IS(D0, XS_CONTROL, "log|off|", "OK");
    log_last[0] = '\0';
    ask(D0, XS_READ, "/a|");
    CU_ASSERT_STRING_EQUAL(log_last, "");
    ask(D0, XS_CONTROL, "quota|");
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "nodes: 1000\nwatches: 128\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "quota|3|"),
                                  "nodes: 0 of 1000, hit 0 times"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "memreport|"), "objects"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "help|"), "check\n"));
    IS(D0, XS_CONTROL, "nonsense|", "EINVAL");
    IS(D0, XS_CONTROL, "", "EINVAL");
    IS(D0, XS_CONTROL, "check", "EINVAL");
    IS(D0, XS_CONTROL, "log|", "EINVAL");
    IS(D0, XS_CONTROL, "log|maybe|", "EINVAL");
    IS(D0, XS_CONTROL, "print|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|none|1|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|1|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|x", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|", "memory: 2097152");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|5|", "OK");
    IS(D0, XS_CONTROL, "quota-soft|", "memory: 5");
    IS(D0, XS_CONTROL, "quota-soft|set|nodes|5|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|5|6|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|memory|", "EINVAL");
    stop();
}

static void test_events_wait_until_their_client_is_gone(void)
{
    start();
    ask(D0, XS_WATCH, "/a|t|");
    store_connect(store, D0 + 1, 0);
    for (int i = 0; i < 3000;
         i++) /* the arena is too small for as many as it takes to be cut off */
        ask(D0 + 1, XS_WRITE, "/a|x");
    CU_ASSERT_EQUAL(closed, 0);
    CU_ASSERT_EQUAL(store_output_waiting(store, D0), 3000 * (sizeof(struct xsd_sockmsg) + 5));
    CU_ASSERT_EQUAL(store_disconnect(store, D0), 0);
    CU_ASSERT_EQUAL(store_output_waiting(store, D0), 0);
    stop();
}

static void test_answers_need_not_wait_in_the_region(void)
{
    start();
    introduce(7);
    takes_answers = true;
    IS(D0, XS_WRITE, "/a|v", "OK");
    IS(D0, XS_READ, "/none|", "ENOENT");
    CU_ASSERT_EQUAL(answers_taken, 2);
    IS(D0, XS_WATCH, "/a|t|", "OK"); /* its event is behind it */
    CU_ASSERT_EQUAL(answers_taken, 3);
    EVENTS("10000 /a t;");
    IS(D0, XS_WRITE, "/a|w", "OK"); /* an event is before it */
    CU_ASSERT_EQUAL(answers_taken, 3);
    EVENTS("10000 /a t;");
    store_connect(store, D0 + 1, 0);
    ask(D0 + 1, XS_WRITE, "/a|x"); /* and now one waits */
    CU_ASSERT_EQUAL(answers_taken, 4);
    IS(D0, XS_READ, "/a|", "x");
    CU_ASSERT_EQUAL(answers_taken, 4);
    IS(7, XS_WRITE, "data|1", "OK"); /* a ring's outlive the program */
    CU_ASSERT_EQUAL(answers_taken, 4);
    stop();
}

/* ---- what it costs ---- */

static unsigned int changes; /* of the region, in a step: objects made and freed */
static void count_change(void *arg) { changes++; }

static unsigned int cost_of(uint32_t conn, uint32_t type, const char *text)
{
    changes = 0;
    store->a.probe = count_change;
    ask(conn, type, text);
    store->a.probe = NULL;
    return changes;
}

/* A path of so many levels below domain 5's home, to be written. */
static char *deep_path(char *text, int levels)
{
    size_t at = (size_t)sprintf(text, "/local/domain/5");

    while (levels--)
        at += (size_t)sprintf(text + at, "/a");
    strcpy(text + at, "|v");
    return text;
}

/* The nodes that a request would make are counted before the first is made. */
static void test_a_path_beyond_the_quota_is_not_begun(void)
{
    char text[4096];
    uint32_t tx;

    start();
    introduce(5);
    ask(D0, XS_CONTROL, "quota|set|depth|0|");
    ask(5, XS_WATCH, "/|t|");
    CU_ASSERT_TRUE(cost_of(5, XS_WRITE, deep_path(text, 1500)) < 100);
    CU_ASSERT_STRING_EQUAL(answer, "ENOSPC");
    ask(D0, XS_CONTROL, "quota|set|nodes|10|");
    IS(5, XS_WRITE, deep_path(text, 10), "ENOSPC");
    IS(5, XS_WRITE, deep_path(text, 9), "OK");
    ask(5, XS_RM, "/local/domain/5/a|");
    tx = begin_tx(5);
    ask_in(5, XS_WRITE, tx, deep_path(text, 5));
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_WRITE, tx, deep_path(text, 10)), "ENOSPC");
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_WRITE, tx, deep_path(text, 9)), "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(5, tx, "T|"), "OK");
    stop();
}

/* How many lookups of watches, and events, a request takes. */
static uint64_t work_of(uint32_t conn, uint32_t type, uint32_t tx, const char *text)
{
    uint64_t before = store->watch_work;

    ask_in(conn, type, tx, text);
    return store->watch_work - before;
}

/* Domains from 100 on with 128 watches each, so many in all: at the home of domain 5, or at each of its levels. */
static void watch_all(unsigned int nr, unsigned int levels, const char *depth)
{
    char text[4096];

    for (unsigned int i = 0; i < nr; i++) {
        domid_t domain = (domid_t)(100 + i / 128);

        if (i % 128 == 0)
            introduce(domain);
        deep_path(text, levels ? (int)(i % levels) : 0);
        sprintf(strrchr(text, '|'), "|%u|%s", i, depth);
        IS(domain, XS_WATCH, text, "OK");
    }
}

/* One request that makes 990 levels looks at each of them once, and at each watch, wherever they are. */
static void test_deep_paths_cost_what_they_and_the_watches_are_many(void)
{
    static const unsigned int levels[] = { 0, 10, 990 };
    static const char *const depths[] = { "", "0|", "1|", "500|" };
    char text[4096];

    region_bytes = 32 << 20;
    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++)
        for (size_t d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
            start();
            introduce(5);
            ask(D0, XS_CONTROL, "quota|set|depth|0|");
            watch_all(1500, levels[l], depths[d]);
            CU_ASSERT_TRUE(work_of(5, XS_WRITE, 0, deep_path(text, 990)) < 2 * 990 + 4 * 1500);
            CU_ASSERT_STRING_EQUAL(answer, "OK");
            stop();
        }
    region_bytes = REGION_BYTES;
}

/* Who has a depth hears of the level that his depth reaches, if that was made, and of no other. */
static void test_each_depth_hears_of_one_level(void)
{
    char text[200], want[200];

    start();
    introduce(5);
    ask(D0, XS_MKDIR, "/a/b|");
    for (int depth = 0; depth < 8; depth++) {
        snprintf(text, sizeof(text), "/a|%d|%d|", depth, depth);
        ask(D0, XS_WATCH, text);
    }
    ask(D0, XS_WATCH, "/a/b/c|own|0|");
    ask(D0, XS_WATCH, "/a/b/c/d/e|all|");
    ask(D0, XS_WATCH, "/a/b-c|side|1|");
    events[0] = '\0';
    ask(D0, XS_MKDIR, "/a/b/c/d/e|");
    snprintf(want, sizeof(want),
             "10000 /a/b/c 2;10000 /a/b/c/d 3;10000 /a/b/c own;"
             "10000 /a/b/c/d/e 4;10000 /a/b/c/d/e 5;10000 /a/b/c/d/e 6;10000 /a/b/c/d/e 7;"
             "10000 /a/b/c/d/e all;");
    EVENTS(want);
    stop();
}

/*
 * What a domain can have done at once at most: a transaction of as many nodes as it may write, as deep as
 * they may be, ends while it watches all of them, itself, as often as it may, and does not read. A unit
 * of work is some 0.1 us.
 */
static void test_the_end_of_a_transaction_is_bounded(void)
{
    char path[200] = "/local/domain/5", text[300];
    unsigned int nr = 0, written = 0;
    uint32_t tx;

    start();
    introduce(5);
    ask(D0, XS_CONTROL, "quota|set|memory|0|");
    ask(D0, XS_CONTROL, "quota|set|memory-share|0|");
    for (unsigned int i = 3; i < 16; i++)
        strcat(path, "/a");
    snprintf(text, sizeof(text), "%s|x", path);
    IS(5, XS_WRITE, text, "OK");
    snprintf(text, sizeof(text), "%s/a|x", path);
    IS(5, XS_WRITE, text, "ENOSPC");
    for (; nr < 128; nr++) {
        snprintf(text, sizeof(text), "%.*s|%u|%s", (int)(15 + nr % 14 * 2), path, nr,
                 nr % 3 ? "" : "40|");
        IS(5, XS_WATCH, text, "OK");
    }
    path[strlen(path) - 2] = '\0';
    tx = begin_tx(5);
    do
        snprintf(text, sizeof(text), "%s/%u|", path, written++);
    while (strcmp(ask_in(5, XS_WRITE, tx, text), "OK") == 0);
    CU_ASSERT_TRUE(written > 900);
    for (int i = 0; i < 2; i++) { /* with room for events, and without */
        struct xsd_sockmsg h = { XS_TRANSACTION_END, 0, tx, 2 };
        uint64_t before = store->watch_work;

        CU_ASSERT_EQUAL(store_request(store, 5, &h, "T"), 0);
        CU_ASSERT_TRUE(store->watch_work - before > 900 * 14);
        CU_ASSERT_TRUE(store->watch_work - before < 45000);
        tx = begin_tx(5);
        for (unsigned int k = 0; k < 900; k++) {
            snprintf(text, sizeof(text), "%s/%u|x", path, k);
            ask_in(5, XS_WRITE, tx, text);
        }
        for (int k = 0; i == 0 && k < 4000; k++)
            ask(D0, XS_WRITE, "/local/domain/5/a|");
    }
    events[0] = '\0';
    stop();
}

/* A step makes and frees as many objects as trees are high. */
static void test_costs_grow_with_the_logarithm_of_nodes_and_watches(void)
{
    unsigned int write = 0, watch = 0, list = 0;
    char text[64];

    start();
    introduce(1);
    ask(D0, XS_CONTROL, "quota|set|watches|0|");
    for (unsigned int n = 1; n <= 4096; n++) {
        unsigned int w, x;

        snprintf(text, sizeof(text), "/many/%u|v", n * 7919 % 4096);
        w = cost_of(D0, XS_WRITE, text);
        write = n < 64 && w > write ? w : write;
        if (n >= 64)
            CU_ASSERT_TRUE(w <= write * 2); /* 64 times as many: twice as high */
        if (n > 1024)
            continue;
        snprintf(text, sizeof(text), "/some/%u|t|", n * 7919 % 1024);
        x = cost_of(1, XS_WATCH, text);
        watch = n < 32 && x > watch ? x : watch;
        if (n >= 32)
            CU_ASSERT_TRUE(x <= watch * 2);
    }
    list = cost_of(D0, XS_DIRECTORY_PART, "/many|0|");
    CU_ASSERT_TRUE(list < 60);
    events[0] = '\0';
    cost_of(D0, XS_TRANSACTION_START, "|");
    CU_ASSERT_TRUE(changes < 60); /* nothing is copied */
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store costs", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_each_quota_holds);
    T(test_who_does_not_read_loses_events_not_answers);
    T(test_control_commands);
    T(test_events_wait_until_their_client_is_gone);
    T(test_answers_need_not_wait_in_the_region);
    T(test_a_path_beyond_the_quota_is_not_begun);
    T(test_deep_paths_cost_what_they_and_the_watches_are_many);
    T(test_each_depth_hears_of_one_level);
    T(test_the_end_of_a_transaction_is_bounded);
    T(test_costs_grow_with_the_logarithm_of_nodes_and_watches);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
