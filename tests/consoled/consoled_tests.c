/* The console daemon with guests and clients: what it is for, and its bounds. */
#include "daemon.h"

/* ---- what it is for ---- */

static void test_what_nobody_was_shown_is_shown_at_attach(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    guest_says(1, "first\n");
    run_for(MS);
    guest_says(1, "second\n");
    s = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nfirst\nsecond\n");
    guest_says(1, "third\n");
    CU_ASSERT_STRING_EQUAL(all_of(s), "third\n");
    plat_close(s);
    run_for(MS);
    guest_says(1, "fourth\n");
    s = attach("1");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nfourth\n");
    plat_close(s);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-one.log"), "first\nsecond\nthird\nfourth\n");
    end();
}

static void test_all_clients_see_all_and_each_may_type(void)
{
    struct plat_stream *a, *b;
    char typed[20] = "";

    begin(false);
    guest_new(1, "one");
    guest_new(2, "two");
    run_for(MS);
    a = attach("2");
    b = attach("two");
    all_of(a);
    all_of(b);
    guest_says(2, "hello\n");
    CU_ASSERT_STRING_EQUAL(all_of(a), "hello\n");
    CU_ASSERT_STRING_EQUAL(all_of(b), "hello\n");
    plat_write(a, "ab", 2);
    run_for(MS);
    plat_write(b, "cd", 2);
    run_for(MS);
    CU_ASSERT_EQUAL(guest_gets(2, typed, sizeof(typed)), 4);
    CU_ASSERT_STRING_EQUAL(typed, "abcd");
    CU_ASSERT_EQUAL(guest_gets(1, typed, sizeof(typed)), 0);
    plat_close(a);
    plat_close(b);
    end();
}

static void test_a_guest_that_does_not_read_is_typed_no_more_than_it_has_room_for(void)
{
    struct plat_stream *s;
    char text[3000], typed[3001];
    size_t n = 0;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    begin(false);
    guest_new(1, "one");
    s = attach("one");
    CU_ASSERT_EQUAL(plat_write(s, text, sizeof(text)), sizeof(text));
    run_for(10 * MS);
    CU_ASSERT_EQUAL(machine[1].page.in_prod, IN_BYTES);
    for (int i = 0; i < 10; i++) {
        n += guest_gets(1, typed + n, sizeof(typed) - n);
        run_for(MS);
    }
    CU_ASSERT_TRUE(n == sizeof(text) && memcmp(text, typed, n) == 0);
    plat_close(s);
    end();
}

static void test_requests_that_are_none(void)
{
    struct plat_stream *s, *silent;
    char line[400];

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    silent = plat_connect(SOCKET); /* stays to the end */
    s = attach("three");
    CU_ASSERT_STRING_EQUAL(all_of(s), "error there is no such domain with a console\n<end>");
    plat_close(s);
    s = attach("");
    CU_ASSERT_STRING_EQUAL(all_of(s), "error there is no such domain with a console\n<end>");
    plat_close(s);
    s = plat_connect(SOCKET);
    plat_write(s, "list\n", 5);
    CU_ASSERT_STRING_EQUAL(all_of(s),
                           "error what is understood is: attach WHO, channel NUMBER WHO\n<end>");
    plat_close(s);
    s = plat_connect(SOCKET);
    memset(line, 'x', sizeof(line));
    plat_write(s, line, sizeof(line));
    CU_ASSERT_STRING_EQUAL(all_of(s), "error that line is too long\n<end>");
    plat_close(s);
    s = plat_connect(SOCKET);
    plat_write(s, "atta", 4);
    run_for(MS);
    plat_close(s);
    run_for(MS);
    end();
    plat_close(silent);
}

static void test_too_many_clients_wait(void)
{
    struct plat_stream *s[CLIENTS_MAX + 1];

    begin(false);
    guest_new(1, "one");
    for (int i = 0; i < CLIENTS_MAX; i++) {
        s[i] = plat_connect(SOCKET);
        CU_ASSERT_PTR_NOT_NULL_FATAL(s[i]);
        run_for(MS);
    }
    s[CLIENTS_MAX] = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s[CLIENTS_MAX]), "");
    plat_close(s[0]);
    CU_ASSERT_STRING_EQUAL(all_of(s[CLIENTS_MAX]), "ok 1 one\n");
    s[0] = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s[0]), "");
    end(); /* with that one waiting */
    for (int i = 0; i <= CLIENTS_MAX; i++)
        plat_close(s[i]);
}

/* Of a guest that never reads. Its client has typed more than it has room for, by that many bytes. */
static void leave_at_a_deaf_guest(size_t more)
{
    struct plat_stream *s = attach("deaf");
    char text[IN_BYTES + 100];

    all_of(s);
    memset(text, 'x', sizeof(text));
    plat_write(s, text, IN_BYTES - (machine[1].page.in_prod - machine[1].page.in_cons) + more);
    run_for(MS);
    plat_close(s);
    run_for(MS);
}

static void test_clients_of_a_guest_that_does_not_read_may_leave(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "deaf");
    guest_new(2, "two");
    leave_at_a_deaf_guest(0); /* all that it typed has a place: it is seen to leave */
    CU_ASSERT_EQUAL(machine[1].page.in_prod, IN_BYTES);
    CU_ASSERT_EQUAL(daemon_->nr_clients, 0);
    for (int i = 0; i < 3; i++)
        leave_at_a_deaf_guest(0);
    CU_ASSERT_EQUAL(daemon_->nr_clients, 0);
    for (int i = 0; i < CLIENTS_MAX + 50; i++) /* these have typed more, which waits */
        leave_at_a_deaf_guest(100);
    s = attach("two");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 2 two\n");
    CU_ASSERT_EQUAL(daemon_->nr_clients, CLIENTS_MAX);
    machine[1].page.out_prod += 3 * OUT_BYTES; /* it is broken: nobody waits for it any more */
    send_event(1);
    run_for(100 * MS);
    CU_ASSERT_EQUAL(daemon_->nr_clients, 1);
    plat_close(s);
    end();
}

static void test_what_waits_for_a_guest_is_typed_when_it_reads(void)
{
    char typed[2 * IN_BYTES];
    size_t n = 0;

    begin(false);
    guest_new(1, "deaf");
    leave_at_a_deaf_guest(100);
    CU_ASSERT_EQUAL(daemon_->nr_clients, 1);
    for (int i = 0; i < 3; i++) {
        n += guest_gets(1, typed + n, sizeof(typed) - n);
        run_for(MS);
    }
    CU_ASSERT_EQUAL(n, IN_BYTES + 100);
    CU_ASSERT_EQUAL(daemon_->nr_clients, 0);
    end();
}

/* No memory for the first there is: nobody's leaving makes it try again. */
static void test_who_could_not_be_accepted_is_later(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    plat_watch(loop, daemon_->listener, 0, NULL, NULL); /* as when plat_accept() has failed */
    daemon_->deaf = true;
    s = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s), "");
    run_for(6000 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\n");
    plat_close(s);
    end();
}

static void on_attached(void *arg) { ++*(unsigned int *)arg; }

/* A daemon whose answer comes in pieces, and then the user leaves. */
static struct {
    struct plat_timer timer;
    struct plat_stream *listener, *client, *terminal;
    const char *const *piece;
    unsigned int attached, attached_before; /* before: when the line was not whole yet */
} in_pieces;

static void say_more(void *unused)
{
    (void)unused;
    if (in_pieces.client == NULL)
        in_pieces.client = plat_accept(in_pieces.listener);
    if (*in_pieces.piece) {
        in_pieces.attached_before = in_pieces.attached;
        plat_write(in_pieces.client, *in_pieces.piece, strlen(*in_pieces.piece));
        in_pieces.piece++;
        plat_timer_set(loop, &in_pieces.timer, plat_now() + MS);
    } else {
        plat_write(in_pieces.terminal, "\x1d", 1);
    }
}

static int attach_slowly(const char *const *pieces, const char *shown)
{
    struct plat_stream *ends[2];
    int rc;

    memset(&in_pieces, 0, sizeof(in_pieces));
    in_pieces.timer.fn = say_more;
    in_pieces.piece = pieces;
    CU_ASSERT_EQUAL_FATAL(plat_pair(ends), 0);
    in_pieces.terminal = ends[1];
    in_pieces.listener = plat_listen("/run/slow");
    CU_ASSERT_PTR_NOT_NULL_FATAL(in_pieces.listener);
    plat_timer_set(loop, &in_pieces.timer, plat_now() + MS);
    rc = console_attach(loop, ends[0], "/run/slow", "one", 0, on_attached, &in_pieces.attached);
    plat_timer_cancel(&in_pieces.timer);
    CU_ASSERT_STRING_EQUAL(all_of(ends[1]), shown);
    plat_close(in_pieces.client);
    plat_close(in_pieces.listener);
    plat_close(ends[0]);
    plat_close(ends[1]);
    return rc;
}

static void test_an_answer_in_pieces(void)
{
    static const char *const good[] = { "o", "k 1 on", "e\nlogin: ", NULL };
    static const char *const bad[] = { "err", "or no", "\n", NULL };

    begin(false);
    CU_ASSERT_EQUAL(attach_slowly(good, "login: "), 0);
    CU_ASSERT_TRUE(in_pieces.attached == 1 && in_pieces.attached_before == 0);
    CU_ASSERT_EQUAL(attach_slowly(bad, "xl: no\n"), -1);
    CU_ASSERT_EQUAL(in_pieces.attached, 0);
    end();
}

static void test_console_attach_is_a_client(void)
{
    struct plat_stream *ends[2];
    unsigned int attached = 0;
    char typed[20] = "";

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    guest_says(1, "login: ");
    run_for(MS);
    CU_ASSERT_EQUAL_FATAL(plat_pair(ends), 0);
    plat_write(ends[1],
               "root\x1d"
               "later",
               10);
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], SOCKET, "one", 0, on_attached, &attached), 0);
    CU_ASSERT_STRING_EQUAL(all_of(ends[1]), "login: ");
    CU_ASSERT_EQUAL(guest_gets(1, typed, sizeof(typed)), 4);
    CU_ASSERT_STRING_EQUAL(typed, "root");
    CU_ASSERT_EQUAL(plat_read(ends[0], typed, sizeof(typed)), 5); /* what came behind Ctrl-] */
    plat_write(ends[1], "mine", 4);
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], SOCKET, "none", 0, on_attached, &attached), -1);
    CU_ASSERT_STRING_EQUAL(all_of(ends[1]), "xl: there is no such domain with a console\n");
    CU_ASSERT_EQUAL(plat_read(ends[0], typed, 20), 4); /* it has left what was not for it */
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], "/nowhere", "none", 0, NULL, NULL), -1);
    CU_ASSERT_EQUAL(attached, 1);
    plat_close(ends[0]);
    plat_close(ends[1]);
    end();
}

/* Who has just made a domain need not wait until the store has told the daemon. */
static void test_a_domain_nobody_has_told_of(void)
{
    struct plat_stream *s;

    begin(false);
    run_for(MS);
    guest_exists_silently(1);
    guest_nodes(1, "new");
    s = attach("1");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 new\n");
    plat_close(s);
    end();
}

/* Of a script all is typed, and of who ends all is shown. */
static void test_console_talk_loses_nothing(void)
{
    struct plat_stream *terminal[2], *peer[2];

    begin(false);
    CU_ASSERT_EQUAL_FATAL(plat_pair(terminal), 0);
    CU_ASSERT_EQUAL_FATAL(plat_pair(peer), 0);
    plat_write(terminal[1], "whole script", 12);
    plat_close(terminal[1]);
    CU_ASSERT_FALSE(console_talk(loop, terminal[0], peer[0]));
    CU_ASSERT_STRING_EQUAL(all_of(peer[1]), "whole script");
    plat_close(terminal[0]);
    CU_ASSERT_EQUAL_FATAL(plat_pair(terminal), 0);
    plat_write(peer[1], "last words", 10);
    plat_close(peer[1]);
    CU_ASSERT_TRUE(console_talk(loop, terminal[0], peer[0]));
    CU_ASSERT_STRING_EQUAL(all_of(terminal[1]), "last words");
    plat_close(peer[0]);
    plat_close(terminal[0]);
    plat_close(terminal[1]);
    end();
}

static void test_a_terminal_of_the_system(void)
{
    char typed[20] = "";

    begin(true);
    guest_new(1, "one");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(store_get("/local/domain/1/console/tty"), "/dev/pts/7");
    guest_says(1, "hello");
    CU_ASSERT_STRING_EQUAL(all_of(tty_end), "hello");
    plat_write(tty_end, "x", 1);
    run_for(MS);
    CU_ASSERT_EQUAL(guest_gets(1, typed, sizeof(typed)), 1);
    struct plat_stream *s = attach("one"); /* nobody may have looked there */
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nhello");
    guest_says(1, "last");
    guest_dies(1);
    CU_ASSERT_STRING_EQUAL(all_of(tty_end), "last<end>");
    CU_ASSERT_STRING_EQUAL(all_of(s), "last<end>");
    plat_close(s);
    plat_close(tty_end);
    end();
}

/* ---- bounds ---- */

static void test_old_output_makes_room_and_that_is_said(void)
{
    struct plat_stream *s;
    const char *text;

    begin(false);
    guest_new(1, "one");
    machine[1].endless = 3 * HISTORY;
    run_for(1000 * MS);
    CU_ASSERT_EQUAL(machine[1].sent, 3 * HISTORY);
    s = attach("one");
    text = all_of(s);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "ok 1 one\n\r\n[8192 bytes of this console are not kept any more]\r\n01"));
    CU_ASSERT_EQUAL(strlen(strchr(text, ']')), 3 + HISTORY);
    plat_close(s);
    end();
}

static void test_logs_are_bounded(void)
{
    begin(false);
    guest_new(1, "one");
    machine[1].endless = 10 * LOG;
    run_for(1000 * MS);
    CU_ASSERT_EQUAL(machine[1].sent, 10 * LOG);
    CU_ASSERT_TRUE(strlen(file("/log/guest-one.log")) <= LOG);
    CU_ASSERT_TRUE(strlen(file("/log/guest-one.log.1")) <= LOG && strlen(got) > LOG / 2);
    end();
    fake_reset();
    begin(false); /* what is there goes on */
    plat_file_write("/log/guest-one.log", "before\n", 7);
    guest_new(1, "one");
    run_for(MS);
    guest_says(1, "after\n");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-one.log"), "before\nafter\n");
    end();
}

/* One step, whatever the file's size, and none that could leave half of it. */
static void test_a_full_log_is_renamed(void)
{
    char *large = malloc(LOG);

    memset(large, 'x', LOG);
    begin(false);
    plat_file_write("/log/guest-one.log", large, LOG);
    plat_file_write("/log/guest-one.log.1", "oldest", 6);
    guest_new(1, "one");
    run_for(MS);
    fake_fail_at(2);
    guest_says(1, "there is no memory for this, ");
    run_for(MS);
    CU_ASSERT_TRUE(fake_failed());
    CU_ASSERT_STRING_EQUAL(file("/log/guest-one.log"), "<none>");
    CU_ASSERT_EQUAL(strlen(file("/log/guest-one.log.1")), LOG);
    end();
    free(large);
}

static void test_a_log_that_fails_is_left_alone_for_a_while(void)
{
    unsigned int lines;

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    guest_says(1, "first,");
    run_for(MS);
    lines = fake_log_lines();
    fake_fail_at(1);
    guest_says(1, "fails,");
    run_for(4000 * MS);
    CU_ASSERT_TRUE(fake_failed());
    guest_says(1, "not tried,");
    run_for(2000 * MS);
    guest_says(1, "last");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-one.log"), "first,last");
    CU_ASSERT_EQUAL(fake_log_lines(), lines + 1);
    end();
}

static void test_a_flood_harms_only_who_makes_it(void)
{
    struct plat_stream *s;
    uint64_t before;

    begin(false);
    guest_new(1, "flood");
    guest_new(2, "calm");
    s = attach("calm");
    all_of(s);
    machine[1].endless = 16 << 20;
    send_event(1);
    guest_says(1, "x");
    run_for(MS);
    before = machine[1].sent;
    nr_unmasked = 0;
    run_for(50 * MS);
    CU_ASSERT_TRUE(before <= 80 << 10 &&
                   machine[1].sent == before); /* it waits for the period's end */
    CU_ASSERT_EQUAL(nr_unmasked, 0);
    guest_says(2, "still there\n");
    CU_ASSERT_STRING_EQUAL(all_of(s), "still there\n");
    run_for(1000 * MS);
    CU_ASSERT_TRUE(machine[1].sent > before && machine[1].sent - before < 11 * (80 << 10));
    machine[1].endless = 0;
    plat_close(s);
    end();
}

/* Events with nothing in them are paid for, too. */
static void test_a_flood_of_events(void)
{
    begin(false);
    guest_new(1, "flood");
    run_for(MS);
    nr_unmasked = 0;
    for (int i = 0; i < 5000; i++) {
        send_event(1);
        run_for(1000);
    }
    CU_ASSERT_TRUE(nr_unmasked > 100 && nr_unmasked <= 1100); /* in one period of 100 ms */
    end();
}

static void test_a_slow_client_keeps_nobody_waiting(void)
{
    struct plat_stream *slow, *fast;
    size_t n = 0;

    begin(false);
    guest_new(1, "one");
    slow = attach("one");
    fast = attach("one");
    all_of(fast);
    for (int i = 0; i < 1000; i++) {
        guest_says(1, "0123456789abcdefghi\n");
        n += strlen(all_of(fast));
    }
    CU_ASSERT_EQUAL(n, 20000);
    CU_ASSERT_PTR_NOT_NULL(strstr(all_of(slow), "are not kept any more]\r\n"));
    plat_close(slow);
    plat_close(fast);
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
        TEST(test_what_nobody_was_shown_is_shown_at_attach),
        TEST(test_all_clients_see_all_and_each_may_type),
        TEST(test_a_guest_that_does_not_read_is_typed_no_more_than_it_has_room_for),
        TEST(test_requests_that_are_none),
        TEST(test_too_many_clients_wait),
        TEST(test_clients_of_a_guest_that_does_not_read_may_leave),
        TEST(test_what_waits_for_a_guest_is_typed_when_it_reads),
        TEST(test_who_could_not_be_accepted_is_later),
        TEST(test_console_attach_is_a_client),
        TEST(test_an_answer_in_pieces),
        TEST(test_a_domain_nobody_has_told_of),
        TEST(test_console_talk_loses_nothing),
        TEST(test_a_terminal_of_the_system),
        TEST(test_old_output_makes_room_and_that_is_said),
        TEST(test_logs_are_bounded),
        TEST(test_a_full_log_is_renamed),
        TEST(test_a_log_that_fails_is_left_alone_for_a_while),
        TEST(test_a_flood_harms_only_who_makes_it),
        TEST(test_a_flood_of_events),
        TEST(test_a_slow_client_keeps_nobody_waiting),
        CU_TEST_INFO_NULL,
    };

    return run_tests("console daemon", tests, true);
}
