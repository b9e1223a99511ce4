/* Headers of frames, checksums, TCP cut into segments (backends/network). */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>

#include "frames.h"

static const uint8_t mac_a[] = { 0, 0x16, 0x3e, 0, 0, 1 }, mac_b[] = { 0, 0x16, 0x3e, 0, 0, 2 };

static struct packet parsed(const struct made *m)
{
    struct packet p;

    packet_parse(&p, m->f->data, m->f->bytes);
    return p;
}

/* ---- headers ---- */

static void test_headers_are_found(void)
{
    const struct made all[] = {
        make_ip4(mac_a, mac_b, IP_TCP, 0, 10, 0),  make_ip4(mac_a, mac_b, IP_UDP, 0, 0, 0),
        make_ip4(mac_a, mac_b, IP_TCP, 40, 10, 0), make_ip4(mac_a, mac_b, IP_UDP, 8, 1, 7),
        make_ip6(mac_a, mac_b, IP_TCP, 0, 10),     make_ip6(mac_a, mac_b, IP_UDP, 24, 3),
    };

    for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct packet p = parsed(&all[i]);

        CU_ASSERT_EQUAL(p.version, i < 4 ? 4 : 6);
        CU_ASSERT_EQUAL(p.l3, all[i].l3);
        CU_ASSERT_EQUAL(p.l4, all[i].l4);
        CU_ASSERT_EQUAL(p.payload, all[i].payload);
        CU_ASSERT_EQUAL(p.end, all[i].f->bytes);
        CU_ASSERT_FALSE(p.fragment);
        frame_put(all[i].f);
    }
}

/* Cut off anywhere: nothing beyond its end is named, or read (the sanitizer sees to that). */
static void cut_anywhere(struct made m)
{
    for (uint32_t bytes = 0; bytes < m.f->bytes; bytes++) {
        uint8_t *part = malloc(bytes + !bytes);
        struct packet p;

        memcpy(part, m.f->data, bytes);
        packet_parse(&p, part, bytes);
        CU_ASSERT_EQUAL(p.version, 0); /* its length says more */
        CU_ASSERT_EQUAL(p.payload, 0);
        CU_ASSERT_TRUE(p.l3 <= bytes);
        free(part);
    }
    frame_put(m.f);
}

static void test_a_cut_frame_has_no_more_than_it_has(void)
{
    cut_anywhere(make_ip6(mac_a, mac_b, IP_TCP, 16, 5));
    cut_anywhere(make_ip4(mac_a, mac_b, IP_UDP, 4, 5, 7)); /* with a VLAN's tag */
}

static void test_wrong_lengths_hide_what_is_behind(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 0, 10, 0);
    uint8_t *ip = m.f->data + m.l3;

    ip[0] = 0x44; /* less than a header */
    CU_ASSERT_EQUAL(parsed(&m).version, 0);
    ip[0] = 0x4f; /* more than the packet */
    CU_ASSERT_EQUAL(parsed(&m).version, 0);
    ip[0] = 0x45;
    put16(ip + 2, 51);
    CU_ASSERT_EQUAL(parsed(&m).version, 0);
    put16(ip + 2, 50);
    CU_ASSERT_EQUAL(parsed(&m).version, 4);
    m.f->data[m.l4 + 12] = 4 << 4;
    CU_ASSERT_EQUAL(parsed(&m).payload, 0);
    m.f->data[m.l4 + 12] = 8 << 4; /* 32 of 30 bytes */
    CU_ASSERT_EQUAL(parsed(&m).payload, 0);
    frame_put(m.f);
    m = make_ip4(mac_a, mac_b, IP_UDP, 0, 10, 0);
    put16(m.f->data + m.l4 + 4, 17);
    CU_ASSERT_EQUAL(parsed(&m).payload, 0);
    frame_put(m.f);
}

static void test_fragments_are_known(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_UDP, 0, 10, 0);
    struct packet p;

    put16(m.f->data + m.l3 + 6, 0x2000);
    p = parsed(&m);
    CU_ASSERT_TRUE(p.fragment && p.l4 && p.payload == 0);
    put16(m.f->data + m.l3 + 6, 1);
    p = parsed(&m);
    CU_ASSERT_TRUE(p.fragment && p.l4 == 0);
    put16(m.f->data + m.l3 + 6, 0x4000); /* only: do not */
    CU_ASSERT_FALSE(parsed(&m).fragment);
    frame_put(m.f);

    m = make_ip6(mac_a, mac_b, IP_UDP, 8, 10);
    m.f->data[m.l3 + 6] = 44;
    m.f->data[m.l3 + 41] = 0;
    put16(m.f->data + m.l3 + 42, 1); /* the first */
    p = parsed(&m);
    CU_ASSERT_TRUE(p.fragment && p.l4 == m.l4 && p.protocol == IP_UDP);
    put16(m.f->data + m.l3 + 42, 8);
    p = parsed(&m);
    CU_ASSERT_TRUE(p.fragment && p.l4 == 0 && p.protocol == IP_UDP);
    put16(m.f->data + m.l3 + 42, 0); /* all of it */
    CU_ASSERT_FALSE(parsed(&m).fragment);
    frame_put(m.f);
}

static void test_endless_extensions_end(void)
{
    struct made m = make_ip6(mac_a, mac_b, 60, 8, 80); /* ten of eight bytes */

    memset(m.f->data + m.l4, 0, 80);
    for (uint32_t at = m.l3 + 40; at < m.f->bytes; at += 8)
        m.f->data[at] = 60;
    CU_ASSERT_EQUAL(parsed(&m).l4, 0);
    CU_ASSERT_EQUAL(parsed(&m).version, 6);
    frame_put(m.f);
}

/* ---- checksums ---- */

/* By 16 bits, as the book has it. */
static uint16_t plain_sum(const uint8_t *data, uint32_t bytes)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < bytes; i++)
        sum += i % 2 ? data[i] : data[i] * 256u;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void test_sums_of_all_lengths(void)
{
    uint8_t data[300];

    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 131 + 255 * (i % 3 == 0));
    for (uint32_t n = 0; n <= sizeof(data); n++)
        CU_ASSERT_EQUAL(csum_end(csum_add(0, data, n)), plain_sum(data, n));
    memset(data, 0xff, sizeof(data));
    CU_ASSERT_EQUAL(csum_end(csum_add(0, data, 298)), 0);
}

static struct frame *emitted[64];
static unsigned int nr_emitted;
static void keep(void *arg, struct frame *f)
{
    (void)arg;
    emitted[nr_emitted++] = frame_get(f);
}

static void put_emitted(void)
{
    while (nr_emitted)
        frame_put(emitted[--nr_emitted]);
}

static const struct link plain = { .mtu = 1500 };

static void test_a_sum_is_filled_in(void)
{
    const struct made all[] = {
        make_ip4(mac_a, mac_b, IP_TCP, 0, 11, 0),
        make_ip4(mac_a, mac_b, IP_UDP, 4, 0, 9),
        make_ip6(mac_a, mac_b, IP_TCP, 0, 1400),
        make_ip6(mac_a, mac_b, IP_UDP, 16, 7),
    };

    for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct frame *f = all[i].f;

        CU_ASSERT_FALSE(csum_right(f));
        CU_ASSERT_TRUE(offload_ask(f, FRAME_GSO_NONE, 0));
        CU_ASSERT_TRUE(offload_valid(f));
        CU_ASSERT_FALSE(offload_fits(&plain, f));
        CU_ASSERT_TRUE(offload_do(&plain, f, keep, NULL));
        CU_ASSERT_PTR_EQUAL(emitted[0], f);
        CU_ASSERT_EQUAL(f->csum, FRAME_CSUM_GOOD);
        CU_ASSERT_TRUE(csum_right(f));
        put_emitted();
        frame_put(f);
    }
}

static void test_a_shared_frame_is_not_written_to(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 0, 11, 0);
    struct frame *other = frame_get(m.f);

    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    CU_ASSERT_TRUE(offload_do(&plain, m.f, keep, NULL));
    CU_ASSERT_PTR_NOT_EQUAL(emitted[0], m.f);
    CU_ASSERT_TRUE(csum_right(emitted[0]));
    CU_ASSERT_FALSE(csum_right(other));
    CU_ASSERT_EQUAL(other->csum, FRAME_CSUM_PARTIAL);
    put_emitted();
    frame_put(m.f);
    frame_put(other);
}

static void test_a_sum_of_udp_is_never_zero(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_UDP, 0, 2, 0);
    uint16_t sum;

    /* What is missing to make it zero goes into the data. */
    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    put16(m.f->data + m.payload, 0);
    sum = csum_end(csum_add(0, m.f->data + m.l4, 10));
    put16(m.f->data + m.payload, sum);
    CU_ASSERT_EQUAL(csum_end(csum_add(0, m.f->data + m.l4, 10)), 0);
    CU_ASSERT_TRUE(offload_do(&plain, m.f, keep, NULL));
    CU_ASSERT_EQUAL(get16(m.f->data + m.l4 + 6), 0xffff);
    put_emitted();
    frame_put(m.f);
}

static void test_what_has_no_sum_is_refused(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 0, 11, 0);

    put16(m.f->data + m.l3 + 6, 0x2000); /* a fragment */
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    put16(m.f->data + m.l3 + 6, 0);
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_TCP6, 1000));
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_TCP4, GSO_BYTES_MIN - 1));
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_TCP4, 0));
    m.f->data[m.l3 + 9] = 1;
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    m.f->data[m.l3 + 9] = IP_TCP;
    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_TCP4, 1000));
    CU_ASSERT_EQUAL(m.f->gso, FRAME_GSO_NONE); /* it is no longer than one */
    frame_put(m.f);

    m = make_ip6(mac_a, mac_b, IP_TCP, 8, 0);
    m.f->data[m.l3 + 6] = 43;
    m.f->data[m.l3 + 43] = 1; /* there is another destination */
    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    frame_put(m.f);
}

static void test_padding_is_no_data(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 0, 11, 0);

    put16(m.f->data + m.l3 + 2, 45); /* six bytes less */
    put16(m.f->data + m.l3 + 10, 0);
    put16(m.f->data + m.l3 + 10, csum_end(csum_add(0, m.f->data + m.l3, 20)));
    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_NONE, 0));
    CU_ASSERT_EQUAL(m.f->bytes, m.payload + 5);
    CU_ASSERT_TRUE(offload_do(&plain, m.f, keep, NULL));
    CU_ASSERT_TRUE(csum_right(m.f));
    put_emitted();
    frame_put(m.f);
}

/* ---- segments ---- */

static void test_headers_are_no_more_than_a_segments_data(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 40, 3000, 0); /* 94 bytes of headers */

    CU_ASSERT_FALSE(offload_ask(m.f, FRAME_GSO_TCP4, 93));
    CU_ASSERT_TRUE(offload_ask(m.f, FRAME_GSO_TCP4, 94));
    frame_put(m.f);
}

static void check_segments(const struct made *m, uint32_t data, uint32_t each, bool whole_sums)
{
    uint32_t done = 0;

    CU_ASSERT_EQUAL(nr_emitted, (data + each - 1) / each);
    for (unsigned int i = 0; i < nr_emitted; i++) {
        const struct frame *s = emitted[i];
        uint32_t n = data - done < each ? data - done : each;
        bool last = i + 1 == nr_emitted;

        CU_ASSERT_EQUAL(s->bytes, m->payload + n);
        CU_ASSERT_EQUAL(memcmp(s->data + m->payload, m->f->data + m->payload + done, n), 0);
        CU_ASSERT_EQUAL(get32(s->data + m->l4 + 4), 0xfffffff0u + done);
        CU_ASSERT_EQUAL(s->data[m->l4 + 13],
                        0x10 | (last ? 9 : 0) | (i ? 0 : 0x80)); /* ACK; FIN, PSH; CWR */
        CU_ASSERT_EQUAL(csum_right(s), whole_sums);
        CU_ASSERT_EQUAL(s->csum, whole_sums ? FRAME_CSUM_GOOD : FRAME_CSUM_PARTIAL);
        done += n;
    }
}

static void cut_one(struct made m, enum frame_gso gso, uint32_t data, uint16_t each)
{
    struct link sums = { .csum4 = true, .csum6 = true };
    struct link all = { .csum4 = true, .csum6 = true, .tso4 = true, .tso6 = true };

    put32(m.f->data + m.l4 + 4, 0xfffffff0);
    m.f->data[m.l4 + 13] = 0x99;
    CU_ASSERT_TRUE(offload_ask(m.f, gso, each));
    CU_ASSERT_TRUE(offload_valid(m.f));
    CU_ASSERT_TRUE(offload_do(&all, m.f, keep, NULL));
    CU_ASSERT_TRUE(nr_emitted == 1 && emitted[0] == m.f);
    put_emitted();
    CU_ASSERT_TRUE(offload_do(&sums, m.f, keep, NULL));
    check_segments(&m, data, each, false);
    put_emitted();
    CU_ASSERT_TRUE(offload_do(&plain, m.f, keep, NULL));
    check_segments(&m, data, each, true);
    if (gso == FRAME_GSO_TCP4) /* each has a number of its own */
        for (unsigned int i = 0; i < nr_emitted; i++)
            CU_ASSERT_EQUAL(get16(emitted[i]->data + m.l3 + 4), (uint16_t)(0xfffe + i));
    put_emitted();
    frame_put(m.f);
}

static void test_tcp_is_cut(void)
{
    cut_one(make_ip4(mac_a, mac_b, IP_TCP, 0, 10000, 0), FRAME_GSO_TCP4, 10000, 1448);
    cut_one(make_ip4(mac_a, mac_b, IP_TCP, 12, 65000, 5), FRAME_GSO_TCP4, 65000, 1448);
    cut_one(make_ip4(mac_a, mac_b, IP_TCP, 0, 2896, 0), FRAME_GSO_TCP4, 2896, 1448);
    cut_one(make_ip6(mac_a, mac_b, IP_TCP, 0, 1449), FRAME_GSO_TCP6, 1449, 1448);
    cut_one(make_ip6(mac_a, mac_b, IP_TCP, 16, 60000), FRAME_GSO_TCP6, 60000, 1400);
}

static void test_impossible_frames_are_found(void)
{
    struct made m = make_ip4(mac_a, mac_b, IP_TCP, 0, 100, 0);
    struct frame *f = m.f;

    CU_ASSERT_TRUE(offload_valid(f));
    f->gso = FRAME_GSO_TCP4;
    CU_ASSERT_FALSE(offload_valid(f)); /* without a sum */
    f->csum = FRAME_CSUM_PARTIAL;
    f->gso_bytes = 1;
    CU_ASSERT_FALSE(offload_valid(f));
    f->gso = FRAME_GSO_NONE;
    f->csum_start = (uint16_t)f->bytes - 2;
    CU_ASSERT_TRUE(offload_valid(f));
    f->csum_offset = 1;
    CU_ASSERT_FALSE(offload_valid(f));
    f->csum_offset = 0;
    f->csum_start++;
    CU_ASSERT_FALSE(offload_valid(f));
    f->bytes = 13;
    f->csum = FRAME_CSUM_NONE;
    CU_ASSERT_FALSE(offload_valid(f));
    frame_put(f);
}

static const CU_TestInfo tests[] = {
    { "headers are found", test_headers_are_found },
    { "a cut frame has no more than it has", test_a_cut_frame_has_no_more_than_it_has },
    { "wrong lengths hide what is behind", test_wrong_lengths_hide_what_is_behind },
    { "fragments are known", test_fragments_are_known },
    { "endless extensions end", test_endless_extensions_end },
    { "sums of all lengths", test_sums_of_all_lengths },
    { "a sum is filled in", test_a_sum_is_filled_in },
    { "a shared frame is not written to", test_a_shared_frame_is_not_written_to },
    { "a sum of UDP is never zero", test_a_sum_of_udp_is_never_zero },
    { "what has no sum is refused", test_what_has_no_sum_is_refused },
    { "padding is no data", test_padding_is_no_data },
    { "headers are no more than a segment's data", test_headers_are_no_more_than_a_segments_data },
    { "TCP is cut", test_tcp_is_cut },
    { "impossible frames are found", test_impossible_frames_are_found },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("offload", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
