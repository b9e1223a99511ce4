/* Consoles beside the first: devices by xenbus, of guests that mean well and of some that do not. */
#include "daemon.h"

#define FRONT "/local/domain/%u/device/console/%u/%s"
#define BACK "/local/domain/0/backend/console/%u/%u/%s"

static void set(const char *format, unsigned int domain, unsigned int channel, const char *leaf,
                const char *value)
{
    char path[100];

    snprintf(path, sizeof(path), format, domain, channel, leaf);
    store_set(path, "%s", value);
}

static void set_front_number(unsigned int domain, unsigned int channel, const char *leaf,
                             unsigned int value)
{
    char text[20];

    snprintf(text, sizeof(text), "%u", value);
    set(FRONT, domain, channel, leaf, text);
}

/* The backend's state. 0: there is no such device. */
static int state(unsigned int domain, unsigned int channel)
{
    char path[100];
    const char *text;

    snprintf(path, sizeof(path), BACK, domain, channel, "state");
    text = store_get(path);
    return text ? atoi(text) : 0;
}

/* As the toolstack does. @path  of a socket; NULL: a pty */
static void channel_new(unsigned int domain, unsigned int channel, const char *path)
{
    char text[100];

    set(FRONT, domain, channel, "state", "1");
    set(FRONT, domain, channel, "tty", "");
    snprintf(text, sizeof(text), "/local/domain/%u/device/console/%u", domain, channel);
    set(BACK, domain, channel, "frontend", text);
    snprintf(text, sizeof(text), "%u", domain);
    set(BACK, domain, channel, "frontend-id", text);
    set(BACK, domain, channel, "online", "1");
    set(BACK, domain, channel, "connection", path ? "socket" : "pty");
    if (path)
        set(BACK, domain, channel, "path", path);
    set(BACK, domain, channel, "type", "xenconsoled");
    set(BACK, domain, channel, "state", "1");
}

static void channel_gone(unsigned int domain, unsigned int channel)
{
    char path[100];

    snprintf(path, sizeof(path), "/local/domain/0/backend/console/%u/%u", domain, channel);
    store_remove(path);
    snprintf(path, sizeof(path), "/local/domain/%u/device/console/%u", domain, channel);
    store_remove(path);
}

/* As Linux's frontend does. */
static void channel_ready(unsigned int domain, unsigned int channel)
{
    set_front_number(domain, channel, "ring-ref", CHANNEL_REF + channel);
    set_front_number(domain, channel, "port", GUEST_PORT + channel);
    set(FRONT, domain, channel, "state", "3");
}

/* A guest with a channel that is connected. */
static void connected(unsigned int domain, const char *name, const char *path)
{
    guest_new(domain, name);
    channel_new(domain, 1, path);
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 2);
    channel_ready(domain, 1);
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 4);
    set(FRONT, domain, 1, "state", "4");
    run_for(MS);
    CU_ASSERT_TRUE(machine[domain].channel[1].mapped == 1 && machine[domain].channel[1].port);
}

static void says(unsigned int domain, unsigned int channel, const char *text)
{
    struct xencons_interface *p = &machine[domain].channel[channel].page;

    for (; *text && p->out_prod - p->out_cons < OUT_BYTES; text++)
        p->out[p->out_prod++ % OUT_BYTES] = *text;
    CU_ASSERT_EQUAL(*text, '\0');
    if (machine[domain].channel[channel].port)
        raise_event(machine[domain].channel[channel].port);
}

static const char *hears(unsigned int domain, unsigned int channel)
{
    struct xencons_interface *p = &machine[domain].channel[channel].page;
    size_t n = 0;

    while (p->in_prod != p->in_cons)
        got[n++] = p->in[p->in_cons++ % IN_BYTES];
    got[n] = '\0';
    if (n && machine[domain].channel[channel].port)
        raise_event(machine[domain].channel[channel].port);
    return got;
}

static struct plat_stream *attach_to(const char *request)
{
    struct plat_stream *s = plat_connect(SOCKET);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    plat_write(s, request, strlen(request));
    run_for(MS);
    return s;
}

/* ---- what it is for ---- */

static void test_a_channel_from_its_beginning_to_its_end(void)
{
    struct plat_stream *s;

    begin(false);
    connected(1, "one", NULL);
    says(1, 1, "hello ");
    run_for(MS);
    s = attach_to("channel 1 one\n");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nhello ");
    says(1, 1, "again");
    CU_ASSERT_STRING_EQUAL(all_of(s), "again");
    plat_write(s, "typed", 5);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), "typed");
    CU_ASSERT_STRING_EQUAL(file("/log/channel-1-one.log"), "hello again");
    CU_ASSERT_STRING_EQUAL(file("/log/guest-one.log"), "<none>");
    says(1, 1, ", last words");
    channel_gone(1, 1);
    CU_ASSERT_STRING_EQUAL(all_of(s), ", last words<end>");
    CU_ASSERT_TRUE(machine[1].channel[1].mapped == 0 && machine[1].channel[1].port == 0);
    CU_ASSERT_TRUE(machine[1].mapped == 1 && machine[1].port);
    plat_close(s);
    s = attach_to("channel 1 1\n"); /* as of a guest that is dead */
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\n<end>");
    plat_close(s);
    end();
}

static void test_what_is_typed_before_the_guest_is_ready_waits_for_it(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    channel_new(1, 1, NULL);
    run_for(MS);
    s = attach_to("channel 1 one\nearly");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\n");
    channel_ready(1, 1);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), "early");
    plat_close(s);
    end();
}

static void test_a_terminal_of_the_system(void)
{
    char typed[] = "typed", path[100];
    ssize_t n;

    begin(true);
    guest_new(1, "one");
    run_for(MS);
    plat_close(tty_end); /* the first console's */
    channel_new(1, 1, NULL);
    run_for(MS);
    snprintf(path, sizeof(path), FRONT, 1u, 1u, "tty");
    CU_ASSERT_STRING_EQUAL(store_get(path), "/dev/pts/7");
    channel_ready(1, 1);
    run_for(MS);
    says(1, 1, "hello");
    run_for(MS);
    n = plat_read(tty_end, got, sizeof(got));
    CU_ASSERT_TRUE(n == 5 && memcmp(got, "hello", 5) == 0);
    plat_write(tty_end, typed, 5);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), typed);
    plat_close(tty_end);
    end();
}

static void test_a_socket_is_for_one_at_a_time(void)
{
    struct plat_stream *a, *b;

    begin(false);
    connected(1, "one", "/run/one");
    says(1, 1, "before ");
    a = plat_connect("/run/one");
    b = plat_connect("/run/one");
    CU_ASSERT_TRUE_FATAL(a && b);
    CU_ASSERT_STRING_EQUAL(all_of(a), "before ");
    plat_write(b, "b", 1);
    plat_write(a, "a", 1);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), "a");
    says(1, 1, "now");
    CU_ASSERT_STRING_EQUAL(all_of(a), "now");
    plat_close(a);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), "b");
    says(1, 1, "later");
    CU_ASSERT_STRING_EQUAL(all_of(b), "later");
    channel_gone(1, 1);
    CU_ASSERT_STRING_EQUAL(all_of(b), "<end>");
    CU_ASSERT_PTR_NULL(plat_connect("/run/one"));
    plat_close(b);
    end();
}

static void test_a_socket_that_cannot_be_is_said(void)
{
    char path[100];

    begin(false);
    guest_new(1, "one");
    channel_new(1, 1, SOCKET); /* where the daemon itself listens */
    channel_new(1, 2, "relative");
    run_for(MS);
    for (unsigned int channel = 1; channel <= 2; channel++) {
        CU_ASSERT_EQUAL(state(1, channel), 6);
        snprintf(path, sizeof(path), BACK, 1u, channel, "hotplug-status");
        CU_ASSERT_STRING_EQUAL(store_get(path), "error");
    }
    CU_ASSERT_PTR_NULL(daemon_->channels);
    end();
}

/* As when a guest is restarted: which of the two is looked at first does not matter. */
static void test_a_socket_goes_to_the_next_guest(void)
{
    struct plat_stream *s;

    begin(false);
    connected(1, "one", "/run/one");
    guest_new(2, "two");
    channel_new(2, 1, "/run/one");
    run_for(MS);
    CU_ASSERT_EQUAL(state(2, 1), 1);
    channel_gone(1, 1);
    run_for(500 * MS);
    CU_ASSERT_EQUAL(state(2, 1), 2);
    channel_ready(2, 1);
    run_for(MS);
    says(2, 1, "hello");
    s = plat_connect("/run/one");
    CU_ASSERT_STRING_EQUAL(all_of(s), "hello");
    plat_close(s);
    end();
}

/* QEMU's, by Debian's toolstack; the first console is no such device either. */
static void test_devices_that_are_not_ours(void)
{
    begin(false);
    guest_new(1, "one");
    channel_new(1, 1, NULL);
    set(BACK, 1, 1, "type", "ioemu");
    channel_new(1, 0, NULL);
    run_for(MS);
    channel_ready(1, 1);
    run_for(MS);
    CU_ASSERT_TRUE(state(1, 1) == 1 && state(1, 0) == 1);
    CU_ASSERT_PTR_NULL(daemon_->channels);
    end();
}

static void test_requests_for_channels(void)
{
    static const struct {
        const char *request, *answer;
    } of[] = {
        { "channel 2 one\n", "error there is no such domain with a console\n<end>" },
        { "channel 1 two\n", "error there is no such domain with a console\n<end>" },
        { "channel 4294967297 one\n",
          "error what is understood is: attach WHO, channel NUMBER WHO\n<end>" },
        { "channel -1 one\n",
          "error what is understood is: attach WHO, channel NUMBER WHO\n<end>" },
        { "channel one\n", "error what is understood is: attach WHO, channel NUMBER WHO\n<end>" },
        { "channel 1\n", "error what is understood is: attach WHO, channel NUMBER WHO\n<end>" },
        { "channel 0 one\n", "ok 1 one\nfirst" },
        { "channel 1 one\n", "ok 1 one\nsecond" },
    };

    begin(false);
    connected(1, "one", NULL);
    guest_says(1, "first");
    says(1, 1, "second");
    run_for(MS);
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        struct plat_stream *s = attach_to(of[i].request);

        CU_ASSERT_STRING_EQUAL(all_of(s), of[i].answer);
        plat_close(s);
    }
    end();
}

static void test_console_attach_of_a_channel(void)
{
    struct plat_stream *ends[2];

    begin(false);
    connected(1, "one", NULL);
    says(1, 1, "hello");
    CU_ASSERT_EQUAL_FATAL(plat_pair(ends), 0);
    plat_write(ends[1], "x\035", 2);
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], SOCKET, "one", 1, NULL, NULL), 0);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(hears(1, 1), "x");
    plat_close(ends[0]);
    plat_close(ends[1]);
    end();
}

static void test_the_log_goes_with_the_name(void)
{
    begin(false);
    connected(1, "old", NULL);
    says(1, 1, "before");
    run_for(MS);
    set_node(1, "name", "new/..");
    run_for(MS);
    says(1, 1, "after");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(file("/log/channel-1-old.log"), "before");
    CU_ASSERT_STRING_EQUAL(file("/log/channel-1-new_...log"), "after");
    end();
}

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
        TEST(test_a_channel_from_its_beginning_to_its_end),
        TEST(test_what_is_typed_before_the_guest_is_ready_waits_for_it),
        TEST(test_a_terminal_of_the_system),
        TEST(test_a_socket_is_for_one_at_a_time),
        TEST(test_a_socket_that_cannot_be_is_said),
        TEST(test_a_socket_goes_to_the_next_guest),
        TEST(test_devices_that_are_not_ours),
        TEST(test_requests_for_channels),
        TEST(test_console_attach_of_a_channel),
        TEST(test_the_log_goes_with_the_name),
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

    return run_tests("console daemon, channels", tests, false);
}
