/*
 * The network backend (backends/network/netback*.c) and the enemy: chains without an end, pieces over every edge,
 * grants that are bad or another's, impossible indices, rings full of noise.
 */
#include "netback_guest.h"

static void begin_three(void)
{
    begin();
    for (unsigned int i = 0; i < GUESTS; i++)
        make_guest(i, ALL);
}

/* One request that cannot be served, or several: an error, and nobody gets anything of it. */
static void refused(struct netif_tx_request a, struct netif_tx_request b)
{
    struct answers n;

    a.id = b.id = 5;
    put_tx(&guests[0], a);
    if (a.flags & NETTXF_more_data)
        put_tx(&guests[0], b);
    offer(&guests[1], 0, 2);
    push_tx(&guests[0]);
    n = take_answers(&guests[0]);
    CU_ASSERT_TRUE(n.all && n.error == n.all);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_EQUAL(state_of(&guests[0]), 4);
}

static void test_what_cannot_be_is_answered_with_an_error(void)
{
    struct netif_tx_request good, r, piece;

    begin_three();
    for (unsigned int i = 0; i < 2; i++)
        memcpy(guests[0].tx_data + i * PAGE, macs[1], 6),
            memcpy(guests[0].tx_data + i * PAGE + 6, macs[0], 6);
    good = (struct netif_tx_request){ .gref = guests[0].tx_refs[0], .size = 60 };
    piece = (struct netif_tx_request){ .gref = guests[0].tx_refs[1], .size = 20 };
#define BAD(...) (r = good, __VA_ARGS__, refused(r, piece))
    BAD(r.size = 13);
    BAD(r.size = 0);
    BAD(r.offset = 4037);
    BAD(r.offset = 0xffff);
    BAD(r.size = 0xffff);
    BAD(r.gref = 0);
    BAD(r.gref = UINT32_MAX);
    BAD(r.gref = guests[1].tx_refs[0]); /* another's */
    BAD(r.flags = NETTXF_csum_blank);   /* that is no TCP */
    BAD(r.flags = NETTXF_more_data, piece.size = 61);
    BAD(r.flags = NETTXF_more_data, piece.size = 60, piece.offset = 4037);
    BAD(r.flags = NETTXF_more_data, piece.offset = 0, piece.gref = 3);
    CU_ASSERT_TRUE(reaches(0, 1) && reaches(1, 2));
    end();
}

static void test_a_revoked_page_is_an_error(void)
{
    struct made m = from_to(1, 0, IP_UDP, 30);

    begin_three();
    grant_revoke(guests[0].tx_refs[0]);
    put_frame(&guests[0], m.f, 4000, 0, 0);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).error, 1);
    grant_revoke(guests[0].rx_refs[0]);
    offer(&guests[0], 0, 1);
    put_frame(&guests[1], m.f, 4000, 0, 0);
    push_tx(&guests[1]);
    CU_ASSERT_EQUAL(take_answers(&guests[1]).okay, 1);
    CU_ASSERT_TRUE(take_frame(&guests[0], 0, &got) && got.error);
    CU_ASSERT_TRUE(reaches(1, 0) && reaches(1, 2));
    frame_put(m.f);
    end();
}

/* Each breaks the rules, so that nobody knows what it means; the others do not notice. */
static const struct netif_tx_request a_frame = { .size = 60 },
                                     more = { .size = 60, .flags = NETTXF_more_data },
                                     extra = { .size = 60, .flags = NETTXF_extra_info };
static void endless(struct guest *g) { put_tx(g, more); }
static void too_long(struct guest *g)
{
    for (int i = 0; i < 30; i++)
        put_tx(g, more);
    put_tx(g, a_frame);
}
static void no_extra(struct guest *g) { put_tx(g, extra); }
static void extra_type(struct guest *g, struct netif_extra_info e)
{
    put_tx(g, extra);
    put_extra(g, e);
    put_extra(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_HASH });
}
static void type_none(struct guest *g) { extra_type(g, (struct netif_extra_info){ .type = 0 }); }
static void type_max(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_MAX });
}
static void gso_of_nothing(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_GSO,
                                             .u.gso = { .type = 1 } });
}
static void gso_of_what(struct guest *g)
{
    extra_type(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_GSO,
                                             .u.gso = { .size = 999, .type = 3 } });
}
static void extras_without_end(struct guest *g)
{
    put_tx(g, extra);
    for (int i = 0; i < 50; i++)
        put_extra(g, (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_HASH,
                                                .flags = XEN_NETIF_EXTRA_FLAG_MORE });
}
static void set_prod(struct guest *g, uint8_t *page, uint32_t value)
{
    memcpy(page, &value, 4);
    (void)g;
}
static void ahead(struct guest *g) { set_prod(g, g->queues[0].tx_page, SLOTS + 1); }
static void behind(struct guest *g) { set_prod(g, g->queues[0].tx_page, UINT32_MAX); }
static void rx_ahead(struct guest *g) { set_prod(g, g->queues[0].rx_page, SLOTS + 1); }

static void test_who_breaks_the_rules_is_disconnected(void)
{
    static void (*const all[])(struct guest * g) = {
        endless,     too_long,           no_extra, type_none, type_max, gso_of_nothing,
        gso_of_what, extras_without_end, ahead,    behind,    rx_ahead,
    };

    for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct made m = from_to(1, 0, IP_UDP, 30);

        begin_three();
        all[i](&guests[0]);
        if (all[i] == ahead || all[i] == behind || all[i] == rx_ahead) {
            peer_notify(guests[0].queues[0].tx_port);
            run_loop(loop);
        } else {
            push_tx(&guests[0]);
        }
        if (all[i] == rx_ahead) { /* it is seen when there is something for it */
            put_frame(&guests[1], m.f, 4000, 0, 0);
            push_tx(&guests[1]);
            take_answers(&guests[1]);
        }
        CU_ASSERT_TRUE(state_of(&guests[0]) == 5 || state_of(&guests[0]) == 6);
        CU_ASSERT_TRUE(grants_mapped() == 4 && ports_bound() == 2);
        CU_ASSERT_TRUE(reaches(1, 2) && reaches(2, 1));
        frame_put(m.f);
        end();
    }
}

/* A frame holds all that its chain had, also where its packet is much less. */
static void test_what_waits_is_counted_by_what_it_holds(void)
{
    struct made m = from_to(0, 1, IP_UDP, 65535 - 42);
    unsigned int nr = 0;

    put16(m.f->data + m.l3 + 2, 28);
    put16(m.f->data + m.l4 + 4, 8);
    begin_three();
    for (unsigned int i = 0; i < 40; i++) {
        put_frame(&guests[0], m.f, 4096, NETTXF_csum_blank, 0);
        push_tx(&guests[0]);
        CU_ASSERT_EQUAL(take_answers(&guests[0]).error, 0);
    }
    offer(&guests[1], 0, 40);
    for (; take_frame(&guests[1], 0, &got); nr++)
        CU_ASSERT_EQUAL(got.bytes, 42);
    CU_ASSERT_EQUAL(nr, (1 << 20) / 65535);
    frame_put(m.f);
    end();
}

static void test_who_comes_and_goes_does_not_fill_the_log(void)
{
    unsigned int before;

    begin();
    make_guest(0, ALL);
    before = fake_log_lines();
    for (unsigned int i = 0; i < 100; i++) {
        for (uint32_t state = 6; state; state = state == 6 ? 1 : state == 1 ? 4 : 0) {
            number(guests[0].front, "state", state);
            run_loop(loop);
        }
        CU_ASSERT_EQUAL_FATAL(state_of(&guests[0]), 4);
    }
    CU_ASSERT_TRUE(fake_log_lines() > before && fake_log_lines() <= before + 21);
    end();
}

/* Whoever has not said all that belongs to it is told what is missing, or is nonsense. */
static void test_what_is_missing_is_told(void)
{
    static const struct {
        const char *node, *value, *said;
        bool split;
    } bad[] = {
        { "tx-ring-ref", NULL, "tx-ring-ref is missing", false },
        { "rx-ring-ref", NULL, "rx-ring-ref is missing", false },
        { "event-channel", NULL, "event-channel is missing", false },
        { "event-channel-rx", NULL, "event-channel-rx is missing", true },
        { "event-channel-tx", NULL, "event-channel is missing", true },
        { "event-channel-tx", "x", "event-channel-tx: Invalid argument", true },
        { "event-channel-rx", "1x", "event-channel-rx: Invalid argument", true },
    };

    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct guest *g = &guests[0];
        char path[96];

        begin();
        *g = (struct guest){ .domain = 1, .nr_queues = 1 };
        make_device(g, "00:16:3e:00:00:01");
        make_queue(g, 0, bad[i].split);
        number(g->front, "request-rx-copy", 1);
        snprintf(path, sizeof(path), "%s/%s", g->front, bad[i].node);
        if (bad[i].value)
            store_set(path, "%s", bad[i].value);
        else
            store_remove(path);
        number(g->front, "state", 4);
        run_loop(loop);
        CU_ASSERT_NOT_EQUAL(state_of(g), 4);
        CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(), bad[i].said));
        CU_ASSERT_TRUE(grants_mapped() == 0 && ports_bound() == 0);
        end();
    }
}

static uint32_t random_state = 1;
static uint32_t rnd(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

static struct netif_tx_request noise(void)
{
    struct netif_tx_request r = { .gref = rnd(8) ? guests[0].tx_refs[rnd(PAGES)] : rnd(1000),
                                  .offset = (uint16_t)(rnd(4) ? rnd(64) : rnd(65536)),
                                  .flags = (uint16_t)(rnd(3) ? 0 : rnd(16)),
                                  .id = (uint16_t)rnd(65536),
                                  .size = (uint16_t)(rnd(3) ? 60 + rnd(1500) : rnd(65536)) };
    struct netif_extra_info e = { .type = (uint8_t)(1 + rnd(4)),
                                  .u.gso = { .size = 500, .type = (uint8_t)rnd(4) } };

    if (rnd(4) == 0)
        memcpy(&r, &e, sizeof(e));
    return r;
}

static void test_noise_is_survived(void)
{
    for (unsigned int seed = 1; seed <= 300; seed++) {
        random_state = seed * 7919;
        begin_three();
        for (unsigned int i = 0; i < PAGES * PAGE; i++)
            guests[0].tx_data[i] = (uint8_t)rnd(256);
        for (unsigned int i = 0; i < PAGES; i++) {
            struct made m = rnd(2) ? from_to(0, 1 + rnd(2), rnd(2) ? IP_TCP : IP_UDP, 1200)
                                   : make_ip6(macs[1], macs[0], IP_TCP, 0, 1200);

            memcpy(guests[0].tx_data + i * PAGE + rnd(2) * rnd(64), m.f->data, m.f->bytes);
            frame_put(m.f);
        }
        for (unsigned int i = 0; i < 20; i++) {
            for (unsigned int n = rnd(6) + 1; n && ring_front_room(&guests[0].queues[0].tx); n--) {
                put_tx(&guests[0], noise());
            }
            offer(&guests[1], 0, rnd(3));
            push_tx(&guests[0]);
            take_answers(&guests[0]);
            while (take_frame(&guests[1], 0, &got))
                ;
        }
        CU_ASSERT_TRUE(reaches(2, 1));
        end();
    }
}

static const CU_TestInfo tests[] = {
    { "what cannot be is answered with an error", test_what_cannot_be_is_answered_with_an_error },
    { "a revoked page is an error", test_a_revoked_page_is_an_error },
    { "who breaks the rules is disconnected", test_who_breaks_the_rules_is_disconnected },
    { "what waits is counted by what it holds", test_what_waits_is_counted_by_what_it_holds },
    { "who comes and goes does not fill the log", test_who_comes_and_goes_does_not_fill_the_log },
    { "what is missing is told", test_what_is_missing_is_told },
    { "noise is survived", test_noise_is_survived },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("netback, hostile", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
