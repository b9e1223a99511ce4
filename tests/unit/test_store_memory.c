/* What the store keeps for each domain, and that nobody lacks memory because of others. */
#include <CUnit/Basic.h>

#include "store_machine.h"

#define IS(conn, type, text, want) CU_ASSERT_STRING_EQUAL(ask(conn, type, text), want)
#define IS_IN(conn, type, tx, text, want) CU_ASSERT_STRING_EQUAL(ask_in(conn, type, tx, text), want)

static void stop(void)
{
    audit();
    machine_stop();
}

static const struct state *state(void) { return arena_at(&store->a, arena_root(&store->a)); }

/* What CONTROL says of a domain's quota. */
static void quota_line(domid_t domain, const char *name, unsigned long *has, unsigned long *hits)
{
    char text[32];
    const char *at;

    snprintf(text, sizeof(text), "quota|%u|", domain);
    at = strstr(ask(D0, XS_CONTROL, text), name);
    if (at == NULL || sscanf(at + strlen(name), ": %lu of %*u, hit %lu", has, hits) != 2)
        CU_FAIL("quota");
}

static unsigned long memory_now(domid_t domain)
{
    unsigned long has = 0, hits;

    quota_line(domain, "memory", &has, &hits);
    return has;
}

static unsigned long hits_now(domid_t domain, const char *name)
{
    unsigned long has, hits = 0;

    quota_line(domain, name, &has, &hits);
    return hits;
}

static void quota_set(const char *name, unsigned long value)
{
    char text[80];

    snprintf(text, sizeof(text), "quota|set|%s|%lu|", name, value);
    IS(D0, XS_CONTROL, text, "OK");
}

/* Nodes with values of so many bytes until one is refused, with ENOSPC. Returns how many. */
static unsigned int fill(uint32_t conn, uint32_t tx, const char *folder, int bytes)
{
    char text[4200];
    unsigned int n = 0;

    do
        snprintf(text, sizeof(text), "%s/%u|%0*u", folder, n, bytes, n);
    while (strcmp(ask_in(conn, XS_WRITE, tx, text), "OK") == 0 && ++n < 3000);
    CU_ASSERT_STRING_EQUAL(answer, "ENOSPC");
    return n;
}

/* ---- the quota ---- */

static void test_what_is_kept_is_counted_and_given_back(void)
{
    static const struct {
        uint32_t type;
        const char *text;
        uint32_t undo_type;
        const char *undo;
    } things[] = {
        { XS_WRITE, "a|v", XS_RM, "a|" },
        { XS_WRITE, "a/long-name/another|v", XS_RM, "a|" },
        { XS_WATCH, "/x|token|", XS_UNWATCH, "/x|token|" },
        { XS_WATCH, "/x|token|", XS_RESET_WATCHES, "|" },
        { XS_TRANSACTION_START, "|", XS_RESET_WATCHES, "|" },
    };
    unsigned long before;
    char text[200];

    machine_start();
    introduce(1);
    before = memory_now(1); /* its home */
    CU_ASSERT_TRUE(before > 100 && before < 1000);
    for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++) {
        ask(1, things[i].type, things[i].text);
        CU_ASSERT_TRUE(memory_now(1) > before + 100);
        audit();
        IS(1, things[i].undo_type, things[i].undo, "OK");
        CU_ASSERT_EQUAL(memory_now(1), before);
    }
    ask(1, XS_WRITE, "a|v");
    before = memory_now(1);
    snprintf(text, sizeof(text), "/local/domain/1/a|%0100u", 0);
    IS(D0, XS_WRITE, text, "OK"); /* whoever makes it bigger */
    CU_ASSERT_EQUAL(memory_now(1), before + 112 - 32);
    IS(1, XS_WRITE, "a|w", "OK");
    CU_ASSERT_EQUAL(memory_now(1), before);
    ask(1, XS_WATCH, "a|t|");
    before = memory_now(1);
    IS(D0, XS_WRITE, "/local/domain/1/a|u", "OK");
    CU_ASSERT_TRUE(memory_now(1) > before + 112); /* an event waits */
    take_all(1);
    CU_ASSERT_EQUAL(memory_now(1), before);
    IS(D0, XS_RELEASE, "1|", "OK");
    CU_ASSERT_EQUAL(memory_now(1), 0);
    stop();
}

/* What is refused changes nothing; what makes it less, or no more, never is. */
static void test_the_request_that_exceeds_the_quota_is_refused(void)
{
    static const struct {
        uint32_t type;
        const char *text;
    } more[] = { { XS_WRITE, "fill/x|v" },
                 { XS_MKDIR, "fill/x/y|" },
                 { XS_WATCH, "/x|t|" },
                 { XS_SET_PERMS, "fill/0|n1|r2|r3|r4|r5|" },
                 { XS_WRITE, "fill/0|12345678901234567890123456789012345678901234567890123456789" },
                 { XS_TRANSACTION_START, "|" } };
    uint64_t tree, watches;
    unsigned long hits;
    char text[100];
    uint32_t tx;

    machine_start();
    introduce(1);
    introduce(2);
    quota_set("memory", 100000);
    tx = begin_tx(1);
    CU_ASSERT_TRUE(fill(1, 0, "fill", 50) > 100);
    CU_ASSERT_TRUE(memory_now(1) > 99000 && memory_now(1) <= 100000);
    CU_ASSERT_STRING_EQUAL(log_last,
                           "domain 1 has hit its quota \"memory\" (100000), 1 times so far");
    snprintf(text, sizeof(text), "quota|set|memory|%lu|1|", memory_now(1));
    IS(D0, XS_CONTROL, text, "OK");
    hits = hits_now(1, "memory");
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        tree = digest_of(&store->a, state()->root[ROOT_TREE], 0);
        watches = digest_of(&store->a, state()->root[ROOT_WATCHES], 0);
        IS(1, more[i].type, more[i].text, "ENOSPC");
        CU_ASSERT_EQUAL(hits_now(1, "memory"), ++hits);
        CU_ASSERT_EQUAL(digest_of(&store->a, state()->root[ROOT_TREE], 0), tree);
        CU_ASSERT_EQUAL(digest_of(&store->a, state()->root[ROOT_WATCHES], 0), watches);
    }
    IS_IN(1, XS_WRITE, tx, "fill/0|v", "ENOSPC");
    IS_IN(1, XS_READ, tx, "none|", "ENOSPC"); /* it would be noted */
    IS(1, XS_READ, "none|", "ENOENT");
    IS(1, XS_WRITE, "fill/0|v", "OK"); /* less */
    IS(1, XS_WRITE, "fill/0|w", "OK"); /* as much */
    IS(2, XS_WRITE, "data|v", "OK");
    IS(D0, XS_WRITE, "/local/domain/1/fill/new|v", "OK");
    CU_ASSERT_TRUE(memory_now(1) > 100000 - 100); /* domain 0 may; it counts, though */
    IS(1, XS_WRITE, "fill/x|v", "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|memory|0|1|", "OK");
    IS(1, XS_WRITE, "fill/x|v", "OK");
    IS(D0, XS_CONTROL, "quota|set|memory|1000|1|", "OK");
    IS(1, XS_RM, "fill|", "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "F|"), "OK");
    IS(1, XS_WRITE, "x|v", "OK");
    stop();
}

static void test_whose_nodes_grow_is_charged(void)
{
    char text[2100];
    uint32_t tx;

    machine_start();
    introduce(1);
    introduce(2);
    ask(1, XS_WRITE, "for2|v");
    ask(1, XS_SET_PERMS, "for2|n1|b2|");
    ask(D0, XS_CONTROL, "quota|set|memory|2000|1|");
    snprintf(text, sizeof(text), "/local/domain/1/for2|%02000u", 0);
    IS(2, XS_WRITE, text, "ENOSPC");
    CU_ASSERT_EQUAL(hits_now(1, "memory"), 1);
    CU_ASSERT_EQUAL(hits_now(2, "memory"), 0);
    tx = begin_tx(2);
    IS_IN(2, XS_WRITE, tx, text, "OK"); /* it is domain 2's until the end */
    CU_ASSERT_TRUE(memory_now(2) > 2000);
    CU_ASSERT_STRING_EQUAL(end_tx(2, tx, "T|"), "ENOSPC");
    IS(D0, XS_READ, "/local/domain/1/for2|", "v");
    IS(2, XS_WRITE, "/local/domain/1/for2|small", "OK");
    IS(2, XS_WRITE, "/local/domain/1/for2/own|v", "OK");
    IS(D0, XS_WRITE, text, "OK");
    IS(2, XS_WRITE, "/local/domain/1/for2|small", "OK"); /* less than there is */
    stop();
}

static void test_a_soft_quota_is_a_line_in_the_log(void)
{
    machine_start();
    introduce(1);
    IS(D0, XS_CONTROL, "quota-soft|set|memory|5000|", "OK");
    quota_set("memory", 20000);
    log_last[0] = '\0';
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(fill(1, 0, "fill", 50) > 20);
        CU_ASSERT_EQUAL(hits_now(1, "memory-soft"), i + 1);
        IS(1, XS_RM, "fill|", "OK");
    }
    CU_ASSERT_EQUAL(log_lines, 6); /* of each quota the 1st, 2nd and 4th time */
    stop();
}

/* ---- transactions ---- */

/* What its requests allocate is a bound only: to write the same again and again takes no more. */
static void test_a_transaction_has_what_it_keeps(void)
{
    char text[600];
    unsigned int nr;
    uint32_t tx;

    machine_start();
    introduce(1);
    quota_set("memory", 50000);
    tx = begin_tx(1);
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof(text), "a/%d|%0500d", i % 5, i);
        if (strcmp(ask_in(1, i % 3 ? XS_WRITE : XS_READ, tx, i % 3 ? text : "a|"), "ENOSPC") == 0)
            CU_FAIL("refused");
        if (i % 100 == 0)
            audit();
    }
    nr = fill(1, tx, "b", 500);
    CU_ASSERT_TRUE(nr > 25 && nr < 80);
    audit();
    CU_ASSERT_TRUE(memory_now(1) <= 50000);
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "OK");
    audit();
    CU_ASSERT_TRUE(memory_now(1) > 20000 && memory_now(1) <= 50000);
    stop();
}

static void test_ten_transactions_together_have_the_quota(void)
{
    uint32_t tx[10];
    unsigned int nr = 0;

    machine_start();
    introduce(1);
    quota_set("memory", 200000);
    for (int i = 0; i < 10; i++) {
        tx[i] = begin_tx(1);
        for (int k = 0; k < 20; k++) {
            char text[1100];

            snprintf(text, sizeof(text), "t/%d|%01000d", k, i);
            nr += strcmp(ask_in(1, XS_WRITE, tx[i], text), "OK") == 0;
        }
    }
    CU_ASSERT_TRUE(nr > 80 && nr < 180);
    CU_ASSERT_TRUE(memory_now(1) <= 200000);
    for (int i = 0; i < 10; i++)
        end_tx(1, tx[i], "F|");
    CU_ASSERT_TRUE(memory_now(1) < 1000);
    stop();
}

/* ---- old trees ---- */

static void rewrite(uint32_t conn, const char *folder, int times)
{
    char text[2100];

    for (int i = 0; i < times; i++) {
        snprintf(text, sizeof(text), "%s/%d|%01500d", folder, i % 100, i);
        IS(conn, XS_WRITE, text, "OK");
    }
}

/* Domain 0 writes until no more than so many slabs are free but for a quarter. */
static void make_scarce(uint32_t but)
{
    char text[4000];

    for (int i = 0; store->a.nr_free_slabs > store->a.nr_slabs / 4 + but; i++) {
        snprintf(text, sizeof(text), "/more/%u-%d|%03500d", but, i, 0);
        IS(D0, XS_WRITE, text, "OK");
    }
}

static void test_a_transaction_that_lasts_ends_with_eagain_if_memory_is_scarce(void)
{
    uint32_t tx, of0, late;

    machine_start();
    introduce(1);
    introduce(2);
    rewrite(2, "data", 100);
    ask(1, XS_WRITE, "mine|old");
    tx = begin_tx(1);
    of0 = begin_tx(D0);
    IS_IN(1, XS_WRITE, tx, "mine|new", "OK");
    rewrite(2, "data", 300); /* more than an eighth of all, but there is enough */
    IS_IN(1, XS_READ, tx, "mine|", "new");
    make_scarce(4);
    late = begin_tx(1);
    IS_IN(1, XS_WRITE, late, "late|1", "OK");
    IS_IN(1, XS_READ, tx, "mine|", "new");
    make_scarce(0);
    audit();
    IS_IN(1, XS_READ, tx, "mine|", "old"); /* as it is: the transaction has nothing any more */
    IS_IN(1, XS_WRITE, tx, "mine|newer", "OK");
    IS_IN(1, XS_MKDIR, tx, "folder|", "OK");
    IS_IN(1, XS_SET_PERMS, tx, "folder|n1|", "OK");
    IS_IN(1, XS_RM, tx, "mine|", "OK");
    IS(D0, XS_READ, "/local/domain/1/mine|", "old");
    IS(D0, XS_READ, "/local/domain/1/folder|", "ENOENT");
    IS_IN(1, XS_READ, tx, "none|", "ENOENT");
    IS_IN(1, XS_READ, tx, "/local/domain/2/data/1|", "EACCES");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "EAGAIN");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "ENOENT");
    CU_ASSERT_STRING_EQUAL(end_tx(1, late, "T|"), "OK");
    IS_IN(D0, XS_WRITE, of0, "/of0|1", "OK"); /* domain 0 has no quotas */
    CU_ASSERT_STRING_EQUAL(end_tx(D0, of0, "T|"), "OK");
    stop();
}

static unsigned int changes;
static void count_change(void *arg) { changes++; }

/* One step frees some thousands of objects, so that it takes no longer; but what waits is there for all. */
static void test_much_is_freed_in_many_steps(void)
{
    struct xsd_sockmsg h = { .type = XS_RM, .len = sizeof("/many") };
    size_t used;
    char text[100];

    region_bytes = 16 << 20;
    machine_start();
    used = arena_used(&store->a);
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "/many/%d|v", i);
        ask(D0, XS_WRITE, text);
    }
    changes = 0;
    store->a.probe = count_change;
    CU_ASSERT_EQUAL(store_request(store, D0, &h, "/many"), 0);
    store->a.probe = NULL;
    CU_ASSERT_TRUE(changes > 4096 && changes < 4096 + 100);
    CU_ASSERT_TRUE(arena_used(&store->a) > used + 1000000);
    for (int i = 0; i < 15; i++)
        ask(D0, XS_READ, "/|");
    CU_ASSERT_TRUE(arena_used(&store->a) < used + 10000);
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "/many/%d|v", i);
        ask(D0, XS_WRITE, text);
    }
    ask(D0, XS_RM, "/many|");
    for (int i = 0;; i++) { /* in other slabs, all that there are */
        char big[4000];

        snprintf(big, sizeof(big), "/big/%d|%03500d", i, i);
        if (strcmp(ask(D0, XS_WRITE, big), "OK") != 0)
            break;
    }
    CU_ASSERT_TRUE(arena_used(&store->a) > (region_bytes - (region_bytes >> 3)));
    stop();
    region_bytes = REGION_BYTES;
}

/* ---- all together ---- */

static unsigned int seed;
static unsigned int any(unsigned int n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

enum { HOSTILE = 7, QUOTA = 1 << 20, OUTSTANDING = 16384 };

static uint32_t txs[HOSTILE + 1][10];
static unsigned int no_memory, refused;

/* One that does not read, but what it must to be served. */
static void hostile_ask(domid_t domain, uint32_t type, uint32_t tx, const char *text, size_t len)
{
    struct xsd_sockmsg h = { type, 0, tx, (uint32_t)len };
    char exact[4096];

    if (store_output_waiting(store, domain) > 8192)
        do {
            no_memory += strcmp(answer, "ENOMEM") == 0;
            refused += strcmp(answer, "ENOSPC") == 0;
            answer[0] = '\0';
        } while (take(domain));
    memcpy(exact, text, len);
    for (size_t i = 0; i < len; i++)
        exact[i] = exact[i] == '|' ? '\0' : exact[i];
    if (store_request(store, domain, &h, exact))
        CU_FAIL("request");
    events[0] = '\0';
}

static const char *hostile_path(char *text)
{
    static const int lengths[] = { 1, 10, 100, 1000 };
    int at = sprintf(text, "p%u/%0*u", any(10), lengths[any(4)], any(100));

    if (any(3) == 0)
        sprintf(text + at, "/q/r/%0*u", lengths[any(3)], any(10));
    return text;
}

static void hostile_step(domid_t domain)
{
    static const int sizes[] = { 0, 20, 200, 1000, 2000 };
    char path[2100], text[4200];
    uint32_t *tx = &txs[domain][any(10)];
    uint32_t in = any(2) ? *tx : 0;
    int len;

    hostile_path(path);
    switch (any(20)) {
    case 0: {
        struct xsd_sockmsg h = { .type = XS_TRANSACTION_START, .len = 1 };

        if (*tx)
            break;
        take_all(domain);
        store_request(store, domain, &h, "");
        take_all(domain);
        *tx = (uint32_t)strtoul(answer, NULL, 10);
        return;
    }
    case 1:
        if (any(5) == 0) {
            hostile_ask(domain, XS_TRANSACTION_END, *tx, any(2) ? "T|" : "F|", 2);
            *tx = 0;
        }
        return;
    case 2:
        len = snprintf(text, sizeof(text), "%s|%0*u|", path, any(2) ? 900 : 5, any(100));
        hostile_ask(domain, any(3) ? XS_WATCH : XS_UNWATCH, 0, text, (size_t)len);
        return;
    case 3:
        if (any(4))
            break;
        len = snprintf(text, sizeof(text), "p%u|", any(10));
        hostile_ask(domain, XS_RM, in, text, (size_t)len);
        return;
    case 4:
        len = snprintf(text, sizeof(text), "%s|", path);
        hostile_ask(domain, XS_READ, in, text, (size_t)len);
        return;
    default:
        len = snprintf(text, sizeof(text), "%s|%0*u", path, sizes[any(5)], any(100));
        hostile_ask(domain, XS_WRITE, in, text, (size_t)len);
    }
}

/* One that only ever has little, and reads. */
static void honest_step(domid_t domain, int n)
{
    uint32_t tx = begin_tx(domain);
    char text[300], want[100];

    snprintf(text, sizeof(text), "data/%d|%d", n % 20, n);
    IS_IN(domain, XS_WRITE, tx, text, "OK");
    snprintf(text, sizeof(text), "other/%d|%d", n % 20, n);
    IS_IN(domain, XS_WRITE, tx, text, "OK");
    snprintf(text, sizeof(text), "data/%d|", (n + 10) % 20);
    IS_IN(domain, XS_RM, tx, text, "OK");
    events[0] = '\0';
    CU_ASSERT_STRING_EQUAL(end_tx(domain, tx, "T|"), "OK");
    take_all(domain);
    snprintf(want, sizeof(want), "%u data/%d t;", domain, n % 20);
    CU_ASSERT_PTR_NOT_NULL(strstr(events, want));
    snprintf(text, sizeof(text), "one/%d|%0200d", n % 20, n);
    IS(domain, XS_WRITE, text, "OK");
}

/*
 * Without shares: seven domains take all that they may, in every way, and one is honest: 8 quotas, with what waits, and
 * what old trees may have, are within what is for domains, so nobody lacks memory.
 */
static void test_nobody_lacks_memory_because_of_others(void)
{
    region_bytes = 16 << 20;
    for (unsigned int run = 0; run < 3; run++) {
        size_t most = 0;

        machine_start();
        seed = run;
        memset(txs, 0, sizeof(txs));
        no_memory = refused = 0;
        for (domid_t d = 1; d <= HOSTILE + 1; d++)
            introduce(d);
        quota_set("memory", QUOTA);
        quota_set("memory-share", 0);
        quota_set("outstanding", OUTSTANDING);
        IS(HOSTILE + 1, XS_WATCH, "data|t|", "OK");
        for (int i = 0; i < 20000; i++) {
            hostile_step((domid_t)(1 + any(HOSTILE)));
            if (i % 50 == 0)
                honest_step(HOSTILE + 1, i / 50);
            if (i % 5000 == 0)
                audit();
            most = arena_used(&store->a) > most ? arena_used(&store->a) : most;
        }
        CU_ASSERT_EQUAL(no_memory, 0);
        CU_ASSERT_TRUE(refused > 10); /* they are at their bounds */
        CU_ASSERT_TRUE(most > region_bytes * 2 / 3);
        for (domid_t d = 1; d <= HOSTILE + 1; d++)
            CU_ASSERT_TRUE(memory_now(d) <= QUOTA + OUTSTANDING * 8);
        stop();
    }
    region_bytes = REGION_BYTES;
}

/* ---- is it checked? ---- */

static void test_wrong_sums_are_found(void)
{
    struct entry *e;

    machine_start();
    introduce(1);
    ask(1, XS_WATCH, "/x|t|");
    begin_tx(1);
    CU_ASSERT_TRUE(store_check(store));
    e = entry_at(&store->a, state()->root[ROOT_OWNED]);
    e->weight++;
    CU_ASSERT_FALSE(store_check(store));
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_CONTROL, "check|"), "the store is inconsistent");
    e->weight--;
    e = entry_at(&store->a, state()->root[ROOT_WATCHERS]);
    e->weight++;
    CU_ASSERT_FALSE(store_check(store));
    e->weight--;
    e = entry_at(&store->a, state()->root[ROOT_TX]);
    ((struct tx *)arena_at(&store->a, e->ref[0]))->bytes -= 1;
    CU_ASSERT_FALSE(store_check(store));
    ((struct tx *)arena_at(&store->a, e->ref[0]))->bytes += 1;
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store_memory", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_what_is_kept_is_counted_and_given_back);
    T(test_the_request_that_exceeds_the_quota_is_refused);
    T(test_whose_nodes_grow_is_charged);
    T(test_a_soft_quota_is_a_line_in_the_log);
    T(test_a_transaction_has_what_it_keeps);
    T(test_ten_transactions_together_have_the_quota);
    T(test_a_transaction_that_lasts_ends_with_eagain_if_memory_is_scarce);
    T(test_much_is_freed_in_many_steps);
    T(test_nobody_lacks_memory_because_of_others);
    T(test_wrong_sums_are_found);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
