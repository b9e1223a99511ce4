/* The virtual switch (backends/network/switch.c) with links that note what they get. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <platform.h>

#include "../../backends/network/capture.h"
#include "../../backends/network/switch.h"
#include "../../backends/network/table.h"
#include "../../xen-like/platform/fake.h"
#include "frames.h"

enum { PORTS = 6, UPLINK = 0 };

struct seen {
    struct link link; /* the first member */
    struct switch_port *port;
    unsigned int got, flushed;
    struct frame *last;
};
static struct seen ports[PORTS];
static struct vswitch *s;

static void seen_send(struct link *l, struct frame *f)
{
    struct seen *n = (struct seen *)l;

    n->got++;
    if (n->last)
        frame_put(n->last);
    n->last = frame_get(f);
}
static void seen_flush(struct link *l) { ((struct seen *)l)->flushed++; }
static void seen_close(struct link *l) { (void)l; }
static const struct link_ops ops = { .send = seen_send, .flush = seen_flush, .close = seen_close };

static const uint8_t everybody[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static uint8_t macs[PORTS][ETH_ADDRESS];

/* Port 0 is an uplink: anything may come from it. The others have an address each. */
static void add(unsigned int i, struct switch_options *o)
{
    ports[i] = (struct seen){ .link = { .ops = &ops, .mtu = 1500, .up = true } };
    snprintf(o->name, sizeof(o->name), "port%u", i);
    if (i != UPLINK) {
        o->guard.mac_set = true;
        memcpy(o->guard.mac, macs[i], ETH_ADDRESS);
    }
    ports[i].port = switch_add(s, &ports[i].link, o);
}

static void begin(void)
{
    fake_reset();
    s = switch_new();
    for (unsigned int i = 0; i < PORTS; i++)
        memcpy(macs[i], (uint8_t[]){ 0, 0x16, 0x3e, 0, 0, (uint8_t)i }, ETH_ADDRESS);
}

static void begin_all(bool isolated)
{
    begin();
    for (unsigned int i = 0; i < PORTS; i++)
        add(i, &(struct switch_options){ .isolated = isolated && i != UPLINK });
}

static void end(void)
{
    for (unsigned int i = 0; i < PORTS; i++) {
        if (ports[i].port)
            switch_remove(ports[i].port);
        if (ports[i].last)
            frame_put(ports[i].last);
        ports[i] = (struct seen){ 0 };
    }
    switch_free(s);
}

/* The bits of the ports that got one. */
static unsigned int all_got(void)
{
    unsigned int bits = 0;

    for (unsigned int i = 0; i < PORTS; i++) {
        bits |= ports[i].got ? 1u << i : 0;
        CU_ASSERT_TRUE(ports[i].got <= 1);
        CU_ASSERT_EQUAL(ports[i].flushed, ports[i].got);
        ports[i].got = ports[i].flushed = 0;
    }
    return bits;
}

static unsigned int send_frame(unsigned int from, struct frame *f)
{
    ports[from].link.received(ports[from].link.arg, f);
    ports[from].link.received_all(ports[from].link.arg);
    frame_put(f);
    return all_got();
}

static unsigned int send_from(unsigned int port, const uint8_t *from, const uint8_t *to)
{
    return send_frame(port, make_ip4(to, from, IP_UDP, 0, 20, 0).f);
}

static unsigned int send(unsigned int from, const uint8_t *to)
{
    return send_from(from, macs[from], to);
}

/* ---- where frames go ---- */

static void test_known_addresses_get_theirs_alone(void)
{
    begin_all(false);
    CU_ASSERT_EQUAL(send(1, macs[2]), 1 << 2);
    CU_ASSERT_EQUAL(send(2, macs[1]), 1 << 1);
    CU_ASSERT_EQUAL(switch_stats(ports[2].port)->out_frames, 1);
    CU_ASSERT_EQUAL(switch_stats(ports[2].port)->in_bytes, 14 + 20 + 8 + 20);
    end();
}

static void test_groups_reach_all_others(void)
{
    static const uint8_t group[] = { 1, 0, 0x5e, 0, 0, 1 },
                         bridges[] = { 1, 0x80, 0xc2, 0, 0, 0xe };

    begin_all(false);
    CU_ASSERT_EQUAL(send(1, everybody), 0x3d);
    CU_ASSERT_EQUAL(send(0, group), 0x3e);
    CU_ASSERT_EQUAL(send(0, bridges), 0);
    end();
}

static void test_strangers_are_looked_for_where_they_can_be(void)
{
    static const uint8_t stranger[] = { 2, 0, 0, 0, 0, 9 };

    begin_all(false);
    CU_ASSERT_EQUAL(send(1, stranger), 1 << UPLINK);
    CU_ASSERT_EQUAL(send(0, stranger), 0);
    end();
}

static void test_addresses_are_learned_and_forgotten(void)
{
    static const uint8_t far[] = { 2, 0, 0, 0, 0, 9 };

    begin();
    for (unsigned int i = 0; i < 3; i++)
        ports[i] = (struct seen){ .link = { .ops = &ops, .mtu = 1500, .up = true } };
    for (unsigned int i = 0; i < 3; i++)
        ports[i].port = switch_add(s, &ports[i].link, &(struct switch_options){ .name = "open" });
    CU_ASSERT_EQUAL(send_from(1, macs[1], far), 5);
    CU_ASSERT_EQUAL(send_from(2, far, macs[1]), 2);
    CU_ASSERT_EQUAL(send_from(1, macs[1], far), 4);
    CU_ASSERT_EQUAL(send_from(0, far, macs[1]), 2); /* it has moved */
    CU_ASSERT_EQUAL(send_from(1, macs[1], far), 1);
    fake_advance(TABLE_AGE_NS * 3 / 2);
    CU_ASSERT_EQUAL(send_from(1, macs[1], far), 5);
    CU_ASSERT_EQUAL(send_from(2, far, macs[1]), 2);
    switch_remove(ports[2].port);
    ports[2].port = NULL;
    CU_ASSERT_EQUAL(send_from(1, macs[1], far), 1);
    end();
}

/* Who has all addresses there are does not make others forgotten, and pays with its own. */
static void test_the_table_has_a_bound_for_each(void)
{
    uint8_t some[] = { 2, 0, 0, 0, 0, 0 };

    begin();
    add(0, &(struct switch_options){ 0 });
    add(1, &(struct switch_options){ 0 });
    ports[2] = (struct seen){ .link = { .ops = &ops, .mtu = 1500, .up = true } };
    ports[2].port = switch_add(s, &ports[2].link, &(struct switch_options){ .name = "open" });
    for (unsigned int i = 0; i < 2 * TABLE_OF_PORT; i++) {
        put16(some + 4, (uint16_t)i);
        CU_ASSERT_EQUAL(send_from(2, some, macs[1]), 2);
    }
    put16(some + 4, TABLE_OF_PORT - 1);
    CU_ASSERT_EQUAL(send(1, some), 4);
    put16(some + 4, TABLE_OF_PORT); /* not learned: it is looked for */
    CU_ASSERT_EQUAL(send(1, some), 5);
    CU_ASSERT_EQUAL(send_from(0, some, macs[1]), 2);
    CU_ASSERT_EQUAL(send(1, some), 1);
    end();
}

/* ---- who may ---- */

static void test_isolated_ports_reach_the_uplink_only(void)
{
    begin_all(true);
    CU_ASSERT_EQUAL(send(1, macs[2]), 0);
    CU_ASSERT_EQUAL(switch_stats(ports[1].port)->nowhere, 1);
    CU_ASSERT_EQUAL(send(1, everybody), 1 << UPLINK);
    CU_ASSERT_EQUAL(send(0, macs[2]), 4);
    CU_ASSERT_EQUAL(send(0, everybody), 0x3e);
    end();
}

static void test_nobody_has_anothers_address(void)
{
    begin_all(false);
    CU_ASSERT_EQUAL(send_from(1, macs[2], macs[3]), 0);
    CU_ASSERT_EQUAL(send_from(0, macs[2], macs[3]), 0); /* nor from outside */
    CU_ASSERT_EQUAL(send_from(1, everybody, macs[3]), 0);
    CU_ASSERT_EQUAL(switch_stats(ports[1].port)->refused, 2);
    CU_ASSERT_EQUAL(send(3, macs[2]), 4);
    CU_ASSERT_PTR_NULL(switch_add(s, &ports[1].link,
                                  &(struct switch_options){
                                      .guard = { .mac_set = true,
                                                 .mac = { 0, 0x16, 0x3e, 0, 0, 2 } } }));
    CU_ASSERT_EQUAL(errno, EEXIST);
    end();
}

static void test_an_own_address_is_not_where_it_was_learned(void)
{
    static const uint8_t late[] = { 2, 0, 0, 0, 0, 9 };
    struct switch_options o = { .guard = { .mac_set = true, .mac = { 2, 0, 0, 0, 0, 9 } } };

    begin();
    add(0, &(struct switch_options){ 0 });
    add(1, &(struct switch_options){ 0 });
    CU_ASSERT_EQUAL(send_from(0, late, macs[1]), 2);
    ports[2] = (struct seen){ .link = { .ops = &ops, .mtu = 1500, .up = true } };
    ports[2].port = switch_add(s, &ports[2].link, &o);
    CU_ASSERT_EQUAL(send(1, late), 4);
    end();
}

static void test_impossible_and_long_frames_are_dropped(void)
{
    struct made m;

    begin_all(false);
    m = make_ip4(macs[2], macs[1], IP_UDP, 0, 20, 0);
    m.f->csum = FRAME_CSUM_PARTIAL;
    m.f->csum_start = 60;
    m.f->csum_offset = 2;
    CU_ASSERT_EQUAL(send_frame(1, m.f), 0);
    CU_ASSERT_EQUAL(switch_stats(ports[1].port)->invalid, 1);
    m = make_ip4(macs[2], macs[1], IP_UDP, 0, 1472, 5);
    CU_ASSERT_EQUAL(send_frame(1, m.f), 4);
    m = make_ip4(macs[2], macs[1], IP_UDP, 0, 1481, 0);
    CU_ASSERT_EQUAL(send_frame(1, m.f), 0);
    CU_ASSERT_EQUAL(switch_stats(ports[2].port)->too_long, 1);
    ports[2].link.up = false;
    CU_ASSERT_EQUAL(send(1, macs[2]), 0);
    end();
}

static struct made send_large(const uint8_t *to)
{
    struct made m = make_ip4(to, macs[1], IP_TCP, 0, 3000, 0);

    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_TCP4, 1448));
    ports[1].link.received(ports[1].link.arg, m.f);
    ports[1].link.received_all(ports[1].link.arg);
    return m;
}

static void test_segments_are_made_for_those_that_need_them(void)
{
    struct made m;

    begin_all(false);
    ports[3].link.csum4 = ports[3].link.tso4 = true;
    m = send_large(everybody); /* TCP is not for groups */
    frame_put(m.f);
    CU_ASSERT_TRUE(ports[2].got == 0 && ports[3].got == 0 && ports[4].got == 0);
    m = send_large(macs[2]);
    CU_ASSERT_TRUE_FATAL(ports[2].got == 3);
    CU_ASSERT_TRUE(csum_right(ports[2].last) && ports[2].last->csum == FRAME_CSUM_GOOD);
    frame_put(m.f);
    m = send_large(macs[3]);
    CU_ASSERT_TRUE(ports[3].got == 1 && ports[2].got == 3 && ports[4].got == 0);
    CU_ASSERT_PTR_EQUAL(ports[3].last, m.f);
    frame_put(m.f);
    end();
}

/* A link that cuts by itself cuts as its sender says: what would be too long for it then is so before. */
static void test_segments_are_no_longer_than_the_link_takes(void)
{
    const uint32_t most = 1500 + ETH_HEADER + 8, headers = ETH_HEADER + 20 + 12 + TCP_HEADER;

    begin_all(false);
    ports[2].link.csum4 = ports[2].link.tso4 = true;
    for (uint32_t more = 0; more <= 1; more++) {
        struct made m = make_ip4(macs[2], macs[1], IP_TCP, 12, 9000, 0);

        CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_TCP4, (uint16_t)(most - headers + more)));
        CU_ASSERT_EQUAL(send_frame(1, m.f), more ? 0 : 4);
        CU_ASSERT_EQUAL(switch_stats(ports[2].port)->too_long, more);
    }
    end();
}

/* ---- rates ---- */

static void test_a_rate_is_held_exactly(void)
{
    /* 62 bytes each; 6,200 in 50 ms */
    const struct rate rate = { .bytes = 6200, .interval_ns = 50000000 };
    unsigned int sent = 0, dropped = 0;
    uint64_t begun = plat_now();

    begin_all(false);
    switch_set_rate(ports[1].port, &rate);
    while (plat_now() - begun < 2000000000) {
        uint64_t when = switch_ready_ns(ports[1].port, 0);

        if (when) {
            CU_ASSERT_EQUAL(send(1, macs[2]), 0); /* who does not wait */
            dropped++;
            fake_advance(when - plat_now());
        }
        CU_ASSERT_EQUAL(send(1, macs[2]), 4);
        sent++;
    }
    /* 40 intervals, and what one may have at the start. */
    CU_ASSERT_TRUE(sent >= 4000 + 99 && sent <= 4000 + 102);
    CU_ASSERT_EQUAL(switch_stats(ports[1].port)->over_rate, dropped);
    switch_set_rate(ports[1].port, &(struct rate){ 0 });
    CU_ASSERT_EQUAL(switch_ready_ns(ports[1].port, 0), 0);
    end();
}

static void test_a_large_frame_is_paid_for_later(void)
{
    const struct rate rate = { .bytes = 1000, .interval_ns = 1000000 };
    struct made m;

    begin_all(false);
    ports[2].link.mtu = 65535;
    switch_set_rate(ports[1].port, &rate);
    CU_ASSERT_EQUAL(switch_ready_ns(ports[1].port, 999), 0);
    CU_ASSERT_EQUAL(switch_ready_ns(ports[1].port, 10000), plat_now() + 9000001);
    m = make_ip4(macs[2], macs[1], IP_UDP, 0, 10000 - 42, 0);
    CU_ASSERT_EQUAL(send_frame(1, m.f), 4);
    CU_ASSERT_EQUAL(switch_ready_ns(ports[1].port, 0), plat_now() + 9000001);
    end();
}

/* ---- capture ---- */

static void test_a_capture_has_both_directions(void)
{
    size_t len;
    uint32_t word;
    char *file;

    begin_all(false);
    CU_ASSERT_EQUAL(switch_capture(ports[1].port, "/capture"), 0);
    CU_ASSERT_TRUE(switch_capture(ports[1].port, "/other") == -1 && errno == EBUSY);
    send(1, macs[2]);
    send(2, macs[1]);
    send(2, macs[3]);
    CU_ASSERT_EQUAL(switch_capture(ports[1].port, NULL), 0);
    send(1, macs[2]);
    file = plat_file_read("/capture", &len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(len, 24 + 2 * (16 + 62));
    memcpy(&word, file, 4);
    CU_ASSERT_EQUAL(word, 0xa1b23c4d);
    memcpy(&word, file + 24 + 8, 4);
    CU_ASSERT_EQUAL(word, 62);
    CU_ASSERT_EQUAL(memcmp(file + 24 + 16, macs[2], 6), 0);
    CU_ASSERT_EQUAL(memcmp(file + 24 + 78 + 16, macs[1], 6), 0);
    free(file);
    end();
}

static void test_a_capture_has_a_bound(void)
{
    size_t len;

    begin_all(false);
    CU_ASSERT_EQUAL(switch_capture(ports[1].port, "/capture"), 0);
    for (unsigned int i = 0; i < 2 * CAPTURE_BYTES / 1516; i++)
        CU_ASSERT_EQUAL(send_frame(1, make_ip4(macs[2], macs[1], IP_UDP, 0, 1458, 0).f), 4);
    CU_ASSERT_EQUAL(plat_file_size("/capture", &len), 0);
    CU_ASSERT_TRUE(len <= CAPTURE_BYTES && len > CAPTURE_BYTES - 1516);
    CU_ASSERT_EQUAL(switch_capture(ports[1].port, "/capture"), 0); /* another one */
    end();
}

static const CU_TestInfo tests[] = {
    { "known addresses get theirs alone", test_known_addresses_get_theirs_alone },
    { "groups reach all others", test_groups_reach_all_others },
    { "strangers are looked for where they can be",
      test_strangers_are_looked_for_where_they_can_be },
    { "addresses are learned and forgotten", test_addresses_are_learned_and_forgotten },
    { "the table has a bound for each", test_the_table_has_a_bound_for_each },
    { "isolated ports reach the uplink only", test_isolated_ports_reach_the_uplink_only },
    { "nobody has another's address", test_nobody_has_anothers_address },
    { "an own address is not where it was learned",
      test_an_own_address_is_not_where_it_was_learned },
    { "impossible and long frames are dropped", test_impossible_and_long_frames_are_dropped },
    { "segments are made for those that need them",
      test_segments_are_made_for_those_that_need_them },
    { "segments are no longer than the link takes",
      test_segments_are_no_longer_than_the_link_takes },
    { "a rate is held exactly", test_a_rate_is_held_exactly },
    { "a large frame is paid for later", test_a_large_frame_is_paid_for_later },
    { "a capture has both directions", test_a_capture_has_both_directions },
    { "a capture has a bound", test_a_capture_has_a_bound },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite suite;

    CU_initialize_registry();
    suite = CU_add_suite("switch", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(suite, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
