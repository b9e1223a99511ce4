/* Consoles beside the first: devices by xenbus, what they are for. */
#include "channels.h"

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
        CU_TEST_INFO_NULL,
    };

    return run_tests("console daemon, channels", tests, false);
}
