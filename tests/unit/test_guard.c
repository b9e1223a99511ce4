/* Who may send what (backends/network/guard.c). */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../backends/network/guard.h"
#include "frames.h"

static const uint8_t mac_a[] = { 0, 0x16, 0x3e, 0, 0, 1 }, mac_b[] = { 0, 0x16, 0x3e, 0, 0, 2 };

static bool passes(const struct guard *g, const struct made *m)
{
    struct packet p;

    packet_parse(&p, m->f->data, m->f->bytes);
    return guard_passes(g, m->f->data, m->f->bytes, &p);
}

static void test_addresses_are_read(void)
{
    static const char *const wrong[] = { "10.0.0",
                                         "10.0.0.256",
                                         "1.2.3.4/33",
                                         "::/129",
                                         "1:2",
                                         "1::2::3",
                                         ":1::",
                                         "1:",
                                         "::g",
                                         "10.0.0.1;",
                                         "1:2:3:4:5:6:7:8:9",
                                         "::1:2:3:4:5:6:7:8",
                                         "12345::" };
    struct guard g = { .nr_ranges = 1 };

    for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_FALSE(guard_parse(&g, wrong[i]));
        CU_ASSERT_EQUAL(g.nr_ranges, 1);
    }
    CU_ASSERT_TRUE(guard_parse(&g, " 10.1.2.3, 192.168.0.0/16 fd00::1:2/64 ::ffff:1.2.3.4 ::"));
    CU_ASSERT_EQUAL(g.nr_ranges, 5);
    CU_ASSERT_TRUE(g.ranges[0].version == 4 && g.ranges[0].bits == 32 &&
                   g.ranges[0].address[3] == 3);
    CU_ASSERT_TRUE(g.ranges[1].bits == 16);
    CU_ASSERT_TRUE(g.ranges[2].version == 6 && g.ranges[2].bits == 64 &&
                   g.ranges[2].address[0] == 0xfd && g.ranges[2].address[13] == 1 &&
                   g.ranges[2].address[15] == 2);
    CU_ASSERT_TRUE(g.ranges[3].address[10] == 0xff && g.ranges[3].address[15] == 4);
    CU_ASSERT_TRUE(guard_parse(&g, "1:2:3:4:5:6:7:8"));
    CU_ASSERT_TRUE(g.nr_ranges == 1 && g.ranges[0].address[15] == 8);
    CU_ASSERT_TRUE(guard_parse(&g, ""));
    CU_ASSERT_EQUAL(g.nr_ranges, 0);
}

static struct guard guard_of(const char *ips)
{
    struct guard g = { .mac_set = true };

    memcpy(g.mac, mac_a, ETH_ADDRESS);
    CU_ASSERT_TRUE(guard_parse(&g, ips));
    return g;
}

static void test_only_its_own_addresses_pass(void)
{
    struct guard any = guard_of(""), four = guard_of("10.0.0.1"), six = guard_of("fd00::1");
    struct made own = make_ip4(mac_b, mac_a, IP_UDP, 0, 0, 0),
                tagged = make_ip4(mac_b, mac_a, IP_UDP, 0, 0, 5),
                other = make_ip4(mac_a, mac_b, IP_UDP, 0, 0, 0),
                own6 = make_ip6(mac_b, mac_a, IP_UDP, 0, 0);

    CU_ASSERT_TRUE(passes(&any, &own) && passes(&any, &own6) && !passes(&any, &other));
    CU_ASSERT_TRUE(passes(&four, &own) && !passes(&four, &own6));
    CU_ASSERT_TRUE(passes(&any, &tagged) && !passes(&four, &tagged)); /* of another network */
    CU_ASSERT_TRUE(!passes(&six, &own) && passes(&six, &own6));
    own.f->data[own.l3 + 15] = 9;
    own6.f->data[own6.l3 + 23] = 9;
    CU_ASSERT_TRUE(passes(&any, &own) && passes(&any, &own6));
    CU_ASSERT_TRUE(!passes(&four, &own) && !passes(&six, &own6));
    /* DHCP's question, and nothing else, has no address yet. */
    memset(own.f->data + own.l3 + 12, 0, 4);
    CU_ASSERT_FALSE(passes(&four, &own));
    put16(own.f->data + own.l4, 68);
    put16(own.f->data + own.l4 + 2, 67);
    CU_ASSERT_TRUE(passes(&four, &own));
    put16(own.f->data + 12, 0x88cc); /* some other protocol */
    CU_ASSERT_TRUE(!passes(&four, &own) && passes(&any, &own));
    frame_put(own.f);
    frame_put(tagged.f);
    frame_put(other.f);
    frame_put(own6.f);
}

static void set_ports(struct made *m, uint16_t from, uint16_t to)
{
    put16(m->f->data + m->l4, from);
    put16(m->f->data + m->l4 + 2, to);
}

static void test_who_has_addresses_gives_others_none(void)
{
    struct guard any = guard_of(""), both = guard_of("10.0.0.1 fd00::1");
    struct made four = make_ip4(mac_b, mac_a, IP_UDP, 0, 16, 0),
                six = make_ip6(mac_b, mac_a, IP_UDP, 0, 16),
                tcp = make_ip4(mac_b, mac_a, IP_TCP, 0, 16, 0);

    set_ports(&tcp, 67, 68);
    CU_ASSERT_TRUE(passes(&both, &tcp));
    set_ports(&four, 68, 67); /* a client with an address, who wants to keep it */
    set_ports(&six, 546, 547);
    CU_ASSERT_TRUE(passes(&both, &four) && passes(&both, &six));
    set_ports(&four, 67, 68);
    set_ports(&six, 547, 546);
    CU_ASSERT_TRUE(passes(&any, &four) && passes(&any, &six));
    CU_ASSERT_TRUE(!passes(&both, &four) && !passes(&both, &six));
    set_ports(&four, 9999, 68); /* clients do not look from where */
    set_ports(&six, 9999, 546);
    CU_ASSERT_TRUE(!passes(&both, &four) && !passes(&both, &six));
    put16(four.f->data + four.l3 + 6, 0x2000); /* the first fragment */
    CU_ASSERT_FALSE(passes(&both, &four));
    put16(four.f->data + four.l3 + 6, 1); /* a later one has no ports */
    CU_ASSERT_TRUE(passes(&both, &four));
    frame_put(four.f);
    frame_put(six.f);
    frame_put(tcp.f);
}

static void test_arp_tells_only_what_is_its_own(void)
{
    static const uint8_t all[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct guard any = guard_of(""), four = guard_of("10.0.0.1");
    struct made m = make_ethernet(all, mac_a, ETH_ARP, 0, 60);
    uint8_t *arp = m.f->data + m.l3;
    static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 2 };

    m.f->bytes = 42;
    memcpy(arp, head, 8);
    memcpy(arp + 8, mac_a, 6);
    put32(arp + 14, 0x0a000001);
    CU_ASSERT_TRUE(passes(&any, &m) && passes(&four, &m));
    put32(arp + 14, 0);
    CU_ASSERT_TRUE(passes(&four, &m));
    put32(arp + 14, 0x0a000002);
    CU_ASSERT_TRUE(passes(&any, &m) && !passes(&four, &m));
    memcpy(arp + 8, mac_b, 6);
    CU_ASSERT_FALSE(passes(&any, &m));
    memcpy(arp + 8, mac_a, 6);
    m.f->bytes = 41;
    CU_ASSERT_FALSE(passes(&any, &m));
    frame_put(m.f);
}

static struct made make_discovery(uint8_t kind, uint8_t option)
{
    struct made m = make_ip6(mac_b, mac_a, IP_ICMP6, 0, 32);
    uint8_t *icmp = m.f->data + m.l4;

    memset(icmp, 0, 32);
    icmp[0] = kind;
    icmp[8] = 0xfd;
    icmp[23] = 1;
    icmp[24] = option;
    icmp[25] = 1;
    memcpy(icmp + 26, mac_a, 6);
    return m;
}

static void test_neighbour_discovery_tells_only_what_is_its_own(void)
{
    struct guard any = guard_of(""), six = guard_of("fd00::1");

    for (uint8_t kind = 135; kind <= 136; kind++) {
        struct made m = make_discovery(kind, (uint8_t)(kind - 134));

        CU_ASSERT_TRUE(passes(&any, &m) && passes(&six, &m));
        m.f->data[m.l4 + 23] = 2; /* what is asked for, or told of */
        CU_ASSERT_EQUAL(passes(&six, &m), kind == 135);
        m.f->data[m.l4 + 23] = 1;
        m.f->data[m.l4 + 31] = 9;
        CU_ASSERT_FALSE(passes(&any, &m));
        m.f->data[m.l4 + 25] = 0; /* options without an end */
        CU_ASSERT_FALSE(passes(&any, &m));
        m.f->data[m.l4 + 25] = 2; /* beyond it */
        CU_ASSERT_FALSE(passes(&any, &m));
        frame_put(m.f);
    }
    struct made m = make_discovery(134, 1);

    CU_ASSERT_TRUE(!passes(&six, &m)); /* it is no router */
    frame_put(m.f);
}

static void test_fragments_hide_nothing(void)
{
    struct guard six = guard_of("fd00::1");
    struct made m = make_ip6(mac_b, mac_a, IP_ICMP6, 8, 32);
    uint8_t *extension = m.f->data + m.l3 + 40;

    m.f->data[m.l3 + 6] = 44;
    extension[1] = 0;
    put16(extension + 2, 1);
    m.f->data[m.l4] = 128; /* an echo */
    CU_ASSERT_TRUE(passes(&six, &m));
    m.f->data[m.l4] = 136;
    CU_ASSERT_FALSE(passes(&six, &m));
    extension[0] = 60; /* options behind, perhaps in the next one */
    put16(extension + 2, 9);
    CU_ASSERT_FALSE(passes(&six, &m));
    frame_put(m.f);
}

/* What the fragment's header carries is a header of that kind, and there the first fragment ends, or is cut off. */
static struct made make_first_fragment(uint8_t kind)
{
    struct made m = make_ip6(mac_b, mac_a, IP_ICMP6, 16, 0);
    uint8_t *fragment = m.f->data + m.l3 + 40;

    memset(fragment, 0, 16);
    m.f->data[m.l3 + 6] = 44;
    fragment[0] = kind;
    put16(fragment + 2, 1);
    fragment[8] = IP_ICMP6;
    return m;
}

static void test_headers_of_first_fragments_hide_nothing(void)
{
    static const uint8_t kinds[] = { 0, 43, 44, 51, 60 };
    struct guard six = guard_of("fd00::1");

    for (unsigned int i = 0; i < sizeof(kinds); i++) {
        struct made m = make_first_fragment(kinds[i]);
        uint8_t *fragment = m.f->data + m.l3 + 40;

        CU_ASSERT_FALSE(passes(&six, &m)); /* it ends behind that header */
        put16(fragment + 10, 8);           /* where that is a fragment's, too: it is a later one */
        fragment[9] = 1;                   /* and else longer than the packet */
        CU_ASSERT_FALSE(passes(&six, &m));
        frame_put(m.f);
    }
}

static void test_later_fragments_pass(void)
{
    static const uint8_t kinds[] = { IP_TCP, IP_UDP, IP_ICMP6, 51 };
    struct guard six = guard_of("fd00::1");

    for (unsigned int i = 0; i < sizeof(kinds); i++) {
        struct made m = make_first_fragment(kinds[i]);

        put16(m.f->data + m.l3 + 42, 9);
        CU_ASSERT_TRUE(passes(&six, &m));
        m.f->data[m.l3 + 23] = 2; /* another's address */
        CU_ASSERT_FALSE(passes(&six, &m));
        frame_put(m.f);
    }
}

static void test_its_link_local_address_is_its_own(void)
{
    static const uint8_t own[] = {
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0x16, 0x3e, 0xff, 0xfe, 0, 0, 1
    };
    struct guard four = guard_of("10.0.0.1"), six = guard_of("fd00::1");
    struct made m = make_ip6(mac_b, mac_a, IP_UDP, 0, 8);

    memcpy(m.f->data + m.l3 + 8, own, 16);
    CU_ASSERT_TRUE(passes(&six, &m) && !passes(&four, &m));
    m.f->data[m.l3 + 23] = 2;
    CU_ASSERT_FALSE(passes(&six, &m));
    memset(m.f->data + m.l3 + 8, 0, 16);
    CU_ASSERT_FALSE(passes(&six, &m));
    m.f->data[m.l3 + 6] = IP_ICMP6; /* who has none yet asks whether it is another's */
    CU_ASSERT_TRUE(passes(&six, &m));
    frame_put(m.f);
}

static const CU_TestInfo tests[] = {
    { "addresses are read", test_addresses_are_read },
    { "only its own addresses pass", test_only_its_own_addresses_pass },
    { "who has addresses gives others none", test_who_has_addresses_gives_others_none },
    { "ARP tells only what is its own", test_arp_tells_only_what_is_its_own },
    { "neighbour discovery, too", test_neighbour_discovery_tells_only_what_is_its_own },
    { "fragments hide nothing", test_fragments_hide_nothing },
    { "headers of first fragments hide nothing", test_headers_of_first_fragments_hide_nothing },
    { "later fragments pass", test_later_fragments_pass },
    { "its link-local address is its own", test_its_link_local_address_is_its_own },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("guard", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
