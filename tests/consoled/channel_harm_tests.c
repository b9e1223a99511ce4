/* Consoles beside the first: guests that mean harm, ends, and beginnings anew. */
#include "channels.h"

/* ---- guests that mean harm ---- */

/* Back to where a frontend begins. */
static void begin_anew(unsigned int domain)
{
    set(FRONT, domain, 1, "state", "6");
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 6);
    set(FRONT, domain, 1, "state", "1");
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 2);
}

static void test_what_a_guest_says_is_no_ring(void)
{
    static const struct {
        const char *ref, *port;
    } of[] = { { "", "8" },    { "-1", "8" },   { "4294967296", "8" }, { "9x", "8" },
               { "9", "" },    { "9", "0" },    { "9", "-8" },         { "9", "4294967304" },
               { "777", "8" }, { "9", "4000" }, { "0x9", "8" } };
    struct plat_stream *good;
    unsigned int lines;

    begin(false);
    connected(2, "good", NULL);
    good = attach_to("channel 1 good\n");
    all_of(good);
    guest_new(1, "bad");
    channel_new(1, 1, NULL);
    run_for(MS);
    lines = fake_log_lines();
    for (unsigned int n = 0; n < 10; n++)
        for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
            set(FRONT, 1, 1, "ring-ref", of[i].ref);
            set(FRONT, 1, 1, "port", of[i].port);
            set(FRONT, 1, 1, "state", "3");
            run_for(MS);
            CU_ASSERT_EQUAL(state(1, 1), 5);
            CU_ASSERT_TRUE(machine[1].channel[1].mapped == 0 && machine[1].channel[1].port == 0);
            begin_anew(1);
        }
    CU_ASSERT_TRUE(fake_log_lines() - lines <= 25); /* of 110 */
    channel_ready(1, 1);                            /* all is well again when it is right */
    run_for(MS);
    CU_ASSERT_EQUAL(state(1, 1), 4);
    says(2, 1, "goes on");
    CU_ASSERT_STRING_EQUAL(all_of(good), "goes on");
    plat_close(good);
    end();
}

static void test_impossible_indices_end_the_service_of_the_channel(void)
{
    struct plat_stream *s;

    for (unsigned int out = 0; out < 2; out++) {
        begin(false);
        connected(1, "bad", NULL);
        s = attach_to("channel 1 bad\n");
        all_of(s);
        if (out) {
            machine[1].channel[1].page.out_prod += OUT_BYTES + 1;
            raise_event(machine[1].channel[1].port);
        } else {
            machine[1].channel[1].page.in_cons = 1;
            plat_write(s, "x", 1);
        }
        run_for(10 * MS);
        CU_ASSERT_TRUE(machine[1].channel[1].mapped == 0 && machine[1].channel[1].port == 0);
        CU_ASSERT_EQUAL(state(1, 1), 5);
        begin_anew(1);
        channel_ready(1, 1);
        run_for(MS);
        CU_ASSERT_EQUAL(state(1, 1), 5); /* it is not trusted once more */
        CU_ASSERT_EQUAL(machine[1].channel[1].mapped, 0);
        CU_ASSERT_TRUE(machine[1].mapped == 1 && machine[1].port); /* its first console goes on */
        plat_close(s);
        end();
    }
}

/* Each state of the frontend after each other, and the device is removed in the middle. */
static void test_any_states(void)
{
    begin(false);
    guest_new(1, "one");
    for (unsigned int sequence = 0; sequence < 9 * 9 * 9; sequence++) {
        unsigned int rest = sequence;
        char text[8];

        channel_new(1, 1, sequence % 2 ? "/run/one" : NULL);
        run_for(MS);
        set_front_number(1, 1, "ring-ref", CHANNEL_REF + 1);
        set_front_number(1, 1, "port", GUEST_PORT + 1);
        for (unsigned int i = 0; i < 3; i++, rest /= 9) {
            snprintf(text, sizeof(text), "%u", rest % 9);
            set(FRONT, 1, 1, "state", text);
            if (sequence % 5)
                run_for(MS);
            CU_ASSERT_TRUE(machine[1].channel[1].mapped <= 1);
        }
        channel_gone(1, 1);
        run_for(MS);
        CU_ASSERT_TRUE(machine[1].channel[1].mapped == 0 && machine[1].channel[1].port == 0);
    }
    CU_ASSERT_EQUAL(store_nr_watches(), WATCHES + 2);
    end();
}

/* Who floods has what its allowance is, and others are served as soon as before. */
static void test_a_flood_is_its_senders_alone(void)
{
    struct xencons_interface *p = &machine[1].channel[1].page;
    uint64_t taken = 0, begun;
    struct plat_stream *good;

    begin(false);
    connected(1, "bad", NULL);
    connected(2, "good", NULL);
    good = attach_to("channel 1 good\n");
    all_of(good);
    begun = plat_now();
    for (unsigned int i = 0; i < 3000; i++) {
        uint32_t before = p->out_cons;

        p->out_prod = p->out_cons + OUT_BYTES; /* full at once */
        raise_event(machine[1].channel[1].port);
        run_for(MS / 10);
        taken += p->out_cons - before;
    }
    says(2, 1, "hello");
    run_for(MS / 10);
    CU_ASSERT_EQUAL(plat_read(good, got, sizeof(got)), 5);
    CU_ASSERT_TRUE(taken <= (72 << 10) * ((plat_now() - begun) / (100 * MS) + 1) && taken > 65536);
    plat_close(good);
    end();
}

/* ---- ends, and beginnings anew ---- */

static void test_a_guest_dies_before_its_nodes_go(void)
{
    struct plat_stream *s;

    begin(false);
    connected(1, "one", "/run/one");
    s = plat_connect("/run/one");
    run_for(MS);
    says(1, 1, "last words");
    guest_dies(1);
    CU_ASSERT_STRING_EQUAL(all_of(s), "last words<end>");
    guest_gone(1);
    run_for(MS);
    CU_ASSERT_TRUE(machine[1].channel[1].mapped == 0 && machine[1].channel[1].port == 0);
    plat_close(s);
    connected(1, "next", "/run/one"); /* another one of its number */
    s = plat_connect("/run/one");
    says(1, 1, "of the next");
    CU_ASSERT_STRING_EQUAL(all_of(s), "of the next");
    plat_close(s);
    end();
}

static void test_the_daemon_begins_anew(void)
{
    struct plat_stream *s;

    begin(false);
    connected(1, "one", NULL);
    consoled_stop(daemon_);
    CU_ASSERT_EQUAL(state(1, 1), 4); /* the guest does not notice */
    says(1, 1, "said meanwhile");
    machine[1].busy = 3; /* its port is free some moments later */
    daemon_ = consoled_start(loop, &(struct consoled_options){ .socket = SOCKET,
                                                               .history_bytes = HISTORY });
    run_for(1000 * MS);
    s = attach_to("channel 1 one\n");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nsaid meanwhile");
    plat_close(s);
    end();
}

/* A port that does not come back is said to the other end. */
static void test_the_daemon_begins_anew_in_vain(void)
{
    begin(false);
    connected(1, "one", NULL);
    consoled_stop(daemon_);
    machine[1].busy = 100000;
    daemon_ = consoled_start(loop, &(struct consoled_options){ .socket = SOCKET,
                                                               .history_bytes = HISTORY });
    run_for(20000 * MS);
    CU_ASSERT_EQUAL(state(1, 1), 5);
    CU_ASSERT_EQUAL(machine[1].channel[1].mapped, 0);
    end();
}

static void test_events_and_the_store_are_lost(void)
{
    struct plat_stream *s;

    begin(false);
    connected(1, "one", NULL);
    s = attach_to("channel 1 one\n");
    all_of(s);
    events_lost = 1;
    says(1, 1, "goes on ");
    run_for(500 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "goes on ");
    set_store_gone(true);
    says(1, 1, "and on");
    run_for(6000 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "and on");
    set_store_gone(false);
    channel_new(1, 2, NULL);
    run_for(6000 * MS);
    CU_ASSERT_TRUE(state(1, 2) == 2 && state(1, 1) == 4);
    CU_ASSERT_EQUAL(machine[1].channel[1].mapped, 1);
    plat_close(s);
    end();
}

/* Whatever lacks memory: nothing breaks, and the channel is served in the end. */
static void test_no_memory(void)
{
    bool failed = true;

    for (unsigned int n = 1; failed && n < 100; n++) {
        begin(false);
        guest_new(1, "one");
        run_for(MS);
        fake_fail_at(n);
        channel_new(1, 1, NULL);
        run_for(MS);
        channel_ready(1, 1);
        run_for(200 * MS);
        failed = fake_failed();
        fake_fail_at(0);
        run_for(6000 * MS);
        CU_ASSERT_EQUAL(state(1, 1), 4);
        end();
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        TEST(test_what_a_guest_says_is_no_ring),
        TEST(test_impossible_indices_end_the_service_of_the_channel),
        TEST(test_any_states),
        TEST(test_a_flood_is_its_senders_alone),
        TEST(test_a_guest_dies_before_its_nodes_go),
        TEST(test_the_daemon_begins_anew),
        TEST(test_the_daemon_begins_anew_in_vain),
        TEST(test_events_and_the_store_are_lost),
        TEST(test_no_memory),
        CU_TEST_INFO_NULL,
    };

    return run_tests("console daemon, channels that end or mean harm", tests, false);
}
