/*
 * Domains that take all they can leave each other one its share: with the region of the embedded control domain
 * (dom0-tools/control/control.c) and the quotas that are there if nobody sets others.
 */
#include "store_asks.h"

enum { REGION = 16 << 20, SHARES = 64 };

/* Nodes from the number n on, of descending sizes, until none fits any more. Returns the next number. */
static unsigned int take_nodes(domid_t domain, unsigned int n)
{
    static const int bytes[] = { 2000, 1000, 500, 250, 120, 60, 30, 1 };
    char text[2100];

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        for (;; n++) {
            snprintf(text, sizeof(text), "data/n%u|%0*u", n, bytes[i], n);
            if (strcmp(ask(domain, XS_WRITE, text), "OK") != 0)
                break;
        }
    return n;
}

static void take_watches(domid_t domain)
{
    char text[1000];

    for (unsigned int i = 0; i < 128; i++) {
        snprintf(text, sizeof(text), "data/n0|%0900u|", i);
        ask(domain, XS_WATCH, text);
    }
    events[0] = '\0';
}

static void take_transactions(domid_t domain)
{
    char text[2100];
    uint32_t tx;

    while ((tx = begin_tx(domain)) != 0)
        for (unsigned int i = 0; i < 900; i++) {
            snprintf(text, sizeof(text), "data/t%u|%02000u", i, i);
            if (strcmp(ask_in(domain, XS_WRITE, tx, text), "OK") != 0)
                break;
        }
}

/* Events of its own watches that it does not read; and old trees, which its transactions still see. */
static void make_events(domid_t domain)
{
    char text[2100];

    for (unsigned int i = 0; i < 30; i++) {
        struct xsd_sockmsg h = { .type = XS_WRITE };

        h.len = (uint32_t)snprintf(text, sizeof(text), "data/n0|%02000u", i);
        *strchr(text, '|') = '\0';
        store_request(store, domain, &h, text);
    }
}

static void attack(unsigned int attackers)
{
    for (domid_t d = 1; d <= attackers; d++) {
        unsigned int n;

        introduce(d);
        n = d % 2 ? take_nodes(d, 0) : 0;
        take_watches(d);
        if (d % 3 == 0)
            take_transactions(d);
        take_nodes(d, n);
    }
    for (int i = 0; i < 3; i++)
        for (domid_t d = 1; d <= attackers; d++)
            make_events(d);
}

/* What a guest does when it starts, and what is done for it. */
static void live(domid_t domain)
{
    char text[200];
    uint32_t tx;

    for (unsigned int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "device/vbd/%u/ring-ref|%u", i, i);
        IS(domain, XS_WRITE, text, "OK");
    }
    tx = begin_tx(domain);
    IS_IN(domain, XS_WRITE, tx, "device/vif/0/ring-ref|8", "OK");
    IS_IN(domain, XS_WRITE, tx, "device/vif/0/event-channel|9", "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(domain, tx, "T|"), "OK");
    IS(domain, XS_WATCH, "control/shutdown|t|", "OK");
    take_all(domain);
    for (unsigned int i = 0; i < 20; i++) {
        events[0] = '\0';
        snprintf(text, sizeof(text), "/local/domain/%u/control/shutdown|poweroff", domain);
        IS(D0, XS_WRITE, text, "OK");
        take_all(domain);
        snprintf(text, sizeof(text), "%x control/shutdown t;", domain);
        EVENTS(text);
        snprintf(text, sizeof(text), "/local/domain/0/backend/vbd/%u/%u/state|2", domain, i);
        IS(D0, XS_WRITE, text, "OK");
    }
}

static void test_who_takes_all_leaves_the_others_their_shares(void)
{
    static const unsigned int attackers[] = { 1, 8, 10, 60 };

    region_bytes = REGION;
    for (size_t i = 0; i < sizeof(attackers) / sizeof(attackers[0]); i++) {
        domid_t early = SHARES + 1, late = SHARES + 2;
        size_t used;

        start();
        introduce(early);
        IS(early, XS_WRITE, "data/x|1", "OK");
        attack(attackers[i]);
        used = arena_used(&store->a);
        CU_ASSERT_TRUE(used > (attackers[i] == 1 ? 2 : 4) << 20); /* they are where it matters */
        live(early);
        for (unsigned int d = 0; d < SHARES - 1 - attackers[i]; d++) {
            introduce((domid_t)(late + d));
            live((domid_t)(late + d));
        }
        stop();
    }
    region_bytes = REGION_BYTES;
}

/* Memory that is not scarce is anybody's, up to the quota; who was above its share then may only have less. */
static void test_the_share_is_a_quota_where_memory_is_scarce(void)
{
    char text[100];

    region_bytes = REGION;
    start();
    IS(D0, XS_CONTROL, "quota|set|nodes|0|", "OK");
    introduce(1);
    introduce(2);
    CU_ASSERT_TRUE(take_nodes(1, 0) > 1000);
    CU_ASSERT_STRING_EQUAL(log_last,
                           "domain 1 has hit its quota \"memory\" (2621440), 8 times so far");
    introduce(3);
    take_nodes(3, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(log_last, "domain 3 has hit its quota \"memory-share\" (104"));
    for (unsigned int i = 0; i < 200; i++) { /* it is scarce, whatever a step needs for its time */
        char big[2100];

        snprintf(big, sizeof(big), "/more/%u|%02000u", i, i);
        IS(D0, XS_WRITE, big, "OK");
    }
    IS(3, XS_WRITE, "more|1", "ENOSPC");
    IS(3, XS_WRITE, "data/n0|1", "OK"); /* less */
    IS(3, XS_WRITE, "more|1", "ENOSPC");
    IS(2, XS_WRITE, "more|1", "OK");
    IS(D0, XS_CONTROL, "quota|set|memory-share|0|3|", "OK");
    IS(3, XS_WRITE, "more|1", "OK");
    IS(D0, XS_CONTROL, "quota|set|memory-share|100|2|", "OK");
    snprintf(text, sizeof(text), "more|%080u", 0);
    IS(2, XS_WRITE, text, "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|memory-share|0|2|", "OK");
    IS(2, XS_WRITE, text, "OK");
    IS(1, XS_RM, "data|", "OK"); /* it is not scarce any more */
    IS(D0, XS_CONTROL, "quota|set|memory-share|1000|3|", "OK");
    IS(3, XS_WRITE, "even|1", "OK");
    stop();
    region_bytes = REGION_BYTES;
}

/* ---- what it costs to be refused ---- */

/* What was walked through by requests of a domain that is at its quota with all that its transactions have. */
static void test_who_is_refused_is_counted_once(void)
{
    unsigned int nr = 0, ok = 0;
    uint32_t tx[10];
    uint64_t before;
    char text[2100];

    region_bytes = REGION;
    start();
    introduce(1);
    for (int t = 0; t < 10; t++) {
        tx[t] = begin_tx(1);
        for (unsigned int i = 0; i < 900; i++, nr++) {
            snprintf(text, sizeof(text), "d%u|%02000u", i, i);
            if (strcmp(ask_in(1, XS_WRITE, tx[t], text), "OK") != 0)
                break;
        }
    }
    CU_ASSERT_TRUE(nr > 800);
    before = store->count_work;
    for (unsigned int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "z%u|%0500u", i, i);
        IS_IN(1, XS_WRITE, tx[i % 10], text, "ENOSPC");
    }
    CU_ASSERT_EQUAL(store->count_work, before);
    for (unsigned int i = 0; i < 200;
         i++) { /* of these some are outside, and fit: nothing is to be counted */
        snprintf(text, sizeof(text), "y%u|%02000u", i, i);
        ok += strcmp(ask(1, XS_WRITE, text), "OK") == 0;
    }
    CU_ASSERT_TRUE(ok > 5 && ok < 100);
    CU_ASSERT_EQUAL(store->count_work, before);
    IS(1, XS_RM, "y0|", "OK");
    for (unsigned int i = 0; i < 100; i++) { /* this takes no more, in the end */
        IS_IN(1, XS_WRITE, tx[9], "d0|1", "ENOSPC");
        ask(1, XS_WRITE, "y0|");
    }
    CU_ASSERT_EQUAL(store->count_work, before);
    end_tx(1, tx[1], "F|");
    for (unsigned int i = 0; i < 1000; i++) /* a walk for many of those that are granted */
        IS_IN(1, XS_WRITE, tx[0], "d0|1", "OK");
    CU_ASSERT_TRUE(store->count_work > before);
    CU_ASSERT_TRUE(store->count_work < before + (40 << 20));
    stop();
    region_bytes = REGION_BYTES;
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store_share", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_who_takes_all_leaves_the_others_their_shares);
    T(test_the_share_is_a_quota_where_memory_is_scarce);
    T(test_who_is_refused_is_counted_once);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
