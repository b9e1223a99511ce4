/* The network backend (backends/network/netback*.c) with honest guests. */
#include "netback_guest.h"

static void test_an_interface_from_its_beginning_to_its_end(void)
{
    begin();
    guests[0] = (struct guest){ .domain = 1 };
    make_device(&guests[0], "00:16:3e:00:00:01");
    CU_ASSERT_EQUAL(state_of(&guests[0]), 2);
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "hotplug-status"), "connected");
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "feature-sg"), "1");
    CU_ASSERT_STRING_EQUAL(back_node(&guests[0], "multi-queue-max-queues"), "2");
    connect_front(&guests[0], ALL, 1, false);
    CU_ASSERT_EQUAL(state_of(&guests[0]), 4);
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    make_guest(1, ALL);
    CU_ASSERT_TRUE(reaches(0, 1) && reaches(1, 0));
    number(guests[0].back, "online", 0);
    number(guests[0].back, "state", 5);
    number(guests[0].front, "state", 6);
    run_loop(loop);
    CU_ASSERT_EQUAL(state_of(&guests[0]), 6);
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    end();
}

static void test_pieces_become_a_frame_and_pieces(void)
{
    static const uint32_t pieces[] = { 4096, 4000, 1000, 700 };
    struct made m = from_to(0, 1, IP_UDP, 9000);

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    for (unsigned int i = 0; i < 4; i++) {
        unsigned int nr = (m.f->bytes + pieces[i] - 1) / pieces[i];

        offer(&guests[1], 0, 3);
        put_frame(&guests[0], m.f, pieces[i], NETTXF_data_validated, 0);
        push_tx(&guests[0]);
        CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, nr);
        CU_ASSERT_TRUE(peer_events(guests[0].queues[0].tx_port) > 0);
        CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
        CU_ASSERT_TRUE(got.bytes == m.f->bytes && got.slots == 3 && !got.error);
        CU_ASSERT_EQUAL(memcmp(got.data, m.f->data, got.bytes), 0);
        CU_ASSERT_EQUAL(got.flags, NETRXF_more_data | NETRXF_data_validated);
    }
    frame_put(m.f);
    end();
}

static bool got_is_right(void)
{
    struct frame f = { .refs = 1, .bytes = got.bytes, .room = got.bytes, .data = got.data };

    return csum_right(&f);
}

static void test_sums_are_left_to_who_can(void)
{
    struct made m = from_to(0, 1, IP_TCP, 500);

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    make_guest(2, "feature-no-csum-offload");
    offer(&guests[1], 0, 1);
    offer(&guests[2], 0, 1);
    put_frame(&guests[0], m.f, 4000, NETTXF_csum_blank | NETTXF_data_validated, 0);
    memcpy(m.f->data, macs[2], 6);
    put_tx(&guests[0], (struct netif_tx_request){ .gref = guests[0].tx_refs[9],
                                                  .flags = NETTXF_csum_blank,
                                                  .size = (uint16_t)m.f->bytes });
    memcpy(guests[0].tx_data + 9 * PAGE, m.f->data, m.f->bytes);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 2);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_EQUAL(got.flags, NETRXF_csum_blank | NETRXF_data_validated);
    CU_ASSERT_FALSE(got_is_right());
    CU_ASSERT_TRUE(take_frame(&guests[2], 0, &got));
    CU_ASSERT_TRUE(got.flags == NETRXF_data_validated && got_is_right());
    frame_put(m.f);
    end();
}

static void test_large_tcp_is_passed_on_or_cut(void)
{
    struct made m = from_to(0, 1, IP_TCP, 20000);
    unsigned int segments = 0;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    make_guest(2, "feature-sg feature-no-csum-offload");
    offer(&guests[1], 0, 6);
    offer(&guests[2], 0, 20);
    put_frame(&guests[0], m.f, 4096, NETTXF_csum_blank, 1448);
    push_tx(&guests[0]);
    CU_ASSERT_EQUAL(take_answers(&guests[0]).null, 1);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    CU_ASSERT_TRUE(got.bytes == m.f->bytes && got.gso == 1448 && got.slots == 6);
    memcpy(m.f->data, macs[2], 6);
    put_frame(&guests[0], m.f, 4096, NETTXF_csum_blank, 1448);
    push_tx(&guests[0]);
    for (; take_frame(&guests[2], 0, &got); segments++)
        CU_ASSERT_TRUE(got_is_right() && got.gso == 0);
    CU_ASSERT_EQUAL(segments, (20000 + 1447) / 1448);
    frame_put(m.f);
    end();
}

static void test_queues_and_ports_of_their_own(void)
{
    unsigned int seen = 0;

    begin();
    make_guest(0, ALL);
    guests[1] = (struct guest){ .domain = 2 };
    make_device(&guests[1], "00:16:3e:00:00:02");
    connect_front(&guests[1], ALL, 2, true);
    CU_ASSERT_EQUAL(state_of(&guests[1]), 4);
    CU_ASSERT_TRUE(ports_bound() == 5 && grants_mapped() == 6);
    offer(&guests[1], 0, 30);
    offer(&guests[1], 1, 30);
    for (unsigned int i = 0; i < 30; i++) { /* flows by their ports */
        struct made m = from_to(0, 1, IP_UDP, 30);

        put16(m.f->data + m.l4, (uint16_t)(1000 + i * 37));
        put_frame(&guests[0], m.f, 4000, 0, 0);
        push_tx(&guests[0]);
        frame_put(m.f);
    }
    for (unsigned int q = 0; q < 2; q++) {
        unsigned int nr = 0;

        while (take_frame(&guests[1], q, &got))
            nr++;
        CU_ASSERT_TRUE(nr > 3);
        CU_ASSERT_TRUE(peer_events(guests[1].queues[q].rx_port) > 0);
        seen += nr;
    }
    CU_ASSERT_EQUAL(seen, 30);
    end();
}

static void set_group(struct guest *g, uint8_t type, const uint8_t *mac)
{
    struct netif_extra_info e = { .type = type };

    memcpy(e.u.mcast.addr, mac, 6);
    put_tx(g, (struct netif_tx_request){ .flags = NETTXF_extra_info, .id = 7 });
    put_extra(g, e);
    push_tx(g);
}

static void send_group(const uint8_t *group)
{
    struct made m = make_ip4(group, macs[0], IP_UDP, 0, 30, 0);

    put_frame(&guests[0], m.f, 4000, 0, 0);
    push_tx(&guests[0]);
    frame_put(m.f);
}

static void test_groups_are_those_it_listens_to(void)
{
    static const uint8_t one[] = { 1, 0, 0x5e, 0, 0, 1 }, two[] = { 1, 0, 0x5e, 0, 0, 2 },
                         all[] = { 255, 255, 255, 255, 255, 255 };
    struct answers a;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL " request-multicast-control");
    offer(&guests[1], 0, 10);
    set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_ADD, one);
    a = take_answers(&guests[1]);
    CU_ASSERT_TRUE(a.okay == 1 && a.null == 1);
    send_group(one);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    send_group(two);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    send_group(all);
    CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
    set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_DEL, one);
    send_group(one);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    take_answers(&guests[1]);
    for (unsigned int i = 0; i < 70; i++) /* there is a bound */
        set_group(&guests[1], XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
                  (uint8_t[]){ 1, 0, 0, 0, 1, (uint8_t)i });
    a = take_answers(&guests[1]);
    CU_ASSERT_TRUE(a.okay == 64 && a.error == 6);
    end();
}

static void test_a_rate_is_kept_by_waiting(void)
{
    uint64_t begun;

    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    node(guests[0].back, "rate", "6200,50000");
    run_loop(loop);
    begun = plat_now();
    for (unsigned int i = 0; i < 200; i++) {
        struct made m = from_to(0, 1, IP_UDP, 20); /* 62 bytes */

        put_frame(&guests[0], m.f, 4000, 0, 0);
        frame_put(m.f);
    }
    push_tx(&guests[0]); /* and time flies while all wait */
    CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 200);
    CU_ASSERT_TRUE(plat_now() - begun >= 49000000 && plat_now() - begun <= 51000000);
    end();
}

static void test_isolated_takes_effect_whenever_it_changes(void)
{
    struct made m;

    begin();
    for (unsigned int i = 0; i < GUESTS; i++)
        make_guest(i, ALL);
    CU_ASSERT_TRUE(reaches(0, 1));
    node(guests[0].back, "rate", "what?"); /* of that nothing else depends */
    node(guests[0].back, "isolated", "1");
    node(guests[1].back, "isolated", "1");
    run_loop(loop);
    CU_ASSERT_TRUE(!reaches(0, 1) && !reaches(1, 0) && reaches(0, 2) && reaches(2, 1));
    node(guests[1].back, "isolated", "2");
    run_loop(loop);
    CU_ASSERT_FALSE(reaches(0, 1));
    store_remove("/local/domain/0/backend/vif/2/0/isolated");
    run_loop(loop);
    CU_ASSERT_TRUE(reaches(0, 1) && reaches(1, 0));
    for (uint32_t state = 6; state; state = state == 6 ? 1 : 0) {
        number(guests[1].front, "state", state);
        run_loop(loop);
    }
    node(guests[1].back, "isolated", "1"); /* before it is connected, and has something to send */
    run_loop(loop);
    m = from_to(1, 0, IP_UDP, 30);
    put_frame(&guests[1], m.f, 4000, 0, 0);
    ring_front_push(&guests[1].queues[0].tx);
    number(guests[1].front, "state", 4);
    run_loop(loop);
    CU_ASSERT_EQUAL(take_answers(&guests[1]).okay, 1);
    CU_ASSERT_FALSE(take_frame(&guests[0], 0, &got));
    CU_ASSERT_TRUE(reaches(1, 2) && !reaches(1, 0));
    frame_put(m.f);
    end();
}

static void test_frames_wait_for_room_but_not_all(void)
{
    begin();
    make_guest(0, ALL);
    make_guest(1, ALL);
    for (unsigned int i = 0; i < 300; i++) {
        struct made m = from_to(0, 1, IP_UDP, 20 + i);

        put_frame(&guests[0], m.f, 4000, 0, 0);
        push_tx(&guests[0]);
        CU_ASSERT_EQUAL(take_answers(&guests[0]).okay, 1);
        frame_put(m.f);
    }
    for (unsigned int i = 0; i < 256; i++) { /* the first of them, in order */
        offer(&guests[1], 0, 1);
        CU_ASSERT_TRUE(take_frame(&guests[1], 0, &got));
        CU_ASSERT_EQUAL(got.bytes, 42 + 20 + i);
    }
    offer(&guests[1], 0, 1);
    CU_ASSERT_FALSE(take_frame(&guests[1], 0, &got));
    end();
}

static void test_two_with_one_address(void)
{
    begin();
    make_guest(0, ALL);
    guests[1] = (struct guest){ .domain = 2 };
    make_device(&guests[1], "00:16:3e:00:00:01");
    CU_ASSERT_EQUAL(state_of(&guests[1]), 6);
    CU_ASSERT_PTR_NOT_NULL(back_node(&guests[1], "hotplug-error"));
    CU_ASSERT_TRUE(grants_mapped() == 2 && ports_bound() == 1);
    end();
}

/* ---- turns ---- */

enum { EACH = 250 };
static unsigned int nr_came[2],
    came_before; /* of the guests; of the first when the other's were all there */

static void note(struct link *l, struct frame *f)
{
    (void)l;
    nr_came[f->data[11] - 1]++;
    if (nr_came[1] == EACH && came_before == 0)
        came_before = nr_came[0];
}
static void nothing(struct link *l) { (void)l; }
static const struct link_ops note_ops = { .send = note, .flush = nothing, .close = nothing };

static void fill_queue(struct guest *g, unsigned int queue)
{
    for (unsigned int i = 0; i < EACH; i++)
        ring_front_put(&g->queues[queue].tx,
                       &(struct netif_tx_request){ .gref = g->tx_refs[0], .size = 60 });
    ring_front_push(&g->queues[queue].tx);
    peer_notify(g->queues[queue].tx_port);
}

static void test_who_has_several_queues_has_no_more_turns(void)
{
    struct link l = { .ops = &note_ops, .mtu = 1500, .up = true };
    static const uint8_t far[] = { 2, 0, 0, 0, 0, 9 };

    begin();
    nr_came[0] = nr_came[1] = came_before = 0;
    CU_ASSERT_EQUAL(netback_uplink(backend, "xenbr0", &l), 0);
    guests[0] = (struct guest){ .domain = 1 };
    make_device(&guests[0], "00:16:3e:00:00:01");
    connect_front(&guests[0], ALL, 2, false);
    make_guest(1, ALL);
    for (unsigned int i = 0; i < 2; i++) {
        memcpy(guests[i].tx_data, far, 6);
        memcpy(guests[i].tx_data + 6, macs[i], 6);
    }
    fill_queue(&guests[0], 0);
    fill_queue(&guests[0], 1);
    fill_queue(&guests[1], 0);
    run_loop(loop);
    CU_ASSERT_TRUE(nr_came[0] == 2 * EACH && nr_came[1] == EACH);
    CU_ASSERT_TRUE(came_before >= EACH && came_before <= EACH + 64); /* a turn more */
    end();
}

/* Where the toolstack says what cannot be read nobody guesses: a wrong switch is another network. */
static void test_what_cannot_be_read_is_refused(void)
{
    static const char *const bad[][2] = {
        { "isolated", "2" },
        { "isolated", "yes" },
        { "bridge", "a-name-that-is-longer-than-any-bridge-has" },
        { "bridge", "xen\tbr0" },
        { "ip", "10.0.2.400" },
        { "rate", "10Mb/s" },
    };
    static const char *const said[] = { "ip: '10.0.2.400' is", "rate: '10Mb/s' is" };
    enum { NR = sizeof(bad) / sizeof(bad[0]), NR_SAID = sizeof(said) / sizeof(said[0]) };

    for (unsigned int i = 0; i < NR; i++) {
        begin();
        node("/local/domain/0/backend/vif/1/0", bad[i][0], bad[i][1]);
        guests[0] = (struct guest){ .domain = 1 };
        make_device(&guests[0], "00:16:3e:00:00:01");
        CU_ASSERT_EQUAL(state_of(&guests[0]), 6);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back_node(&guests[0], "hotplug-error"));
        CU_ASSERT_PTR_NOT_NULL(strstr(back_node(&guests[0], "hotplug-error"),
                                      i < NR - NR_SAID ? bad[i][0] : said[i - (NR - NR_SAID)]));
        end();
    }
}

/* A name that is mistyped is a network of its own: nobody else is there, and no way out. */
static void test_a_new_switch_is_told(void)
{
    struct link l = { .ops = &note_ops, .mtu = 1500, .up = true };
    static const char *const bridges[] = { "xenbr1", "xenbr1", "xenbr0" };

    begin();
    CU_ASSERT_EQUAL(netback_uplink(backend, "xenbr0", &l), 0);
    for (unsigned int i = 0; i < GUESTS; i++) {
        char path[64];
        unsigned int before = fake_log_lines();

        snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%u/0/bridge", i + 1);
        store_set(path, "%s", bridges[i]);
        make_guest(i, ALL);
        CU_ASSERT_EQUAL(fake_log_lines(), before + (i == 0));
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(),
                                  "begins the switch xenbr1, which has no uplink"));
    end();
}

/* The store is killed, and started again: what could not be read then is not what the toolstack or the guest has said. */
static void test_any_request_of_the_store_may_fail(void)
{
    unsigned int n = 0;

    for (bool failed = true; failed;) {
        begin();
        node("/local/domain/0/backend/vif/1/0", "ip", "10.0.2.1");
        node("/local/domain/0/backend/vif/1/0", "rate", "1000000,1000");
        store_fail_at(++n);
        make_guest(0, ALL);
        failed = store_failed();
        store_fail_at(0);
        CU_ASSERT_EQUAL(state_of(&guests[0]), 4);
        CU_ASSERT_PTR_NULL(back_node(&guests[0], "hotplug-error"));
        end();
    }
    CU_ASSERT_TRUE(n > 30);
}

static const CU_TestInfo tests[] = {
    { "an interface from its beginning to its end",
      test_an_interface_from_its_beginning_to_its_end },
    { "pieces become a frame, and pieces", test_pieces_become_a_frame_and_pieces },
    { "sums are left to who can", test_sums_are_left_to_who_can },
    { "large TCP is passed on or cut", test_large_tcp_is_passed_on_or_cut },
    { "queues, and ports of their own", test_queues_and_ports_of_their_own },
    { "groups are those it listens to", test_groups_are_those_it_listens_to },
    { "a rate is kept by waiting", test_a_rate_is_kept_by_waiting },
    { "isolated takes effect whenever it changes", test_isolated_takes_effect_whenever_it_changes },
    { "frames wait for room, but not all", test_frames_wait_for_room_but_not_all },
    { "two with one address", test_two_with_one_address },
    { "what cannot be read is refused", test_what_cannot_be_read_is_refused },
    { "who has several queues has no more turns", test_who_has_several_queues_has_no_more_turns },
    { "a new switch is told", test_a_new_switch_is_told },
    { "any request of the store may fail", test_any_request_of_the_store_may_fail },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("netback", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(s, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
