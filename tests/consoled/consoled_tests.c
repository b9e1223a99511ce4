/* The console daemon with guests, of which some mean harm, clients, of which some are slow, and deaths. */
#include "machine.h"

enum { HISTORY = 4096, LOG = 8192 };
#define SOCKET "/run/console"
#define MS 1000000ull

static struct plat_loop *loop;
static struct consoled *daemon_;

static void stop_loop(void *unused)
{
    (void)unused;
    plat_loop_stop(loop);
}

static void run_for(uint64_t ns)
{
    static struct plat_timer timer = { .fn = stop_loop };

    plat_timer_set(loop, &timer, plat_now() + ns);
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
}

static struct plat_stream *tty_end;

static struct plat_stream *tty_open(char *path, size_t size)
{
    struct plat_stream *ends[2];

    if (plat_pair(ends))
        return NULL;
    tty_end = ends[1];
    snprintf(path, size, "/dev/pts/7");
    return ends[0];
}

static void begin(bool with_tty)
{
    struct consoled_options o = {
        .socket = SOCKET, .log_folder = "/log", .log_bytes = LOG, .history_bytes = HISTORY
    };

    fake_reset();
    memset(machine, 0, sizeof(machine));
    memset(nodes, 0, sizeof(nodes));
    store_is_gone = false;
    if (with_tty) {
        o.tty_open = tty_open;
        o.tty_close = plat_close;
    }
    loop = plat_loop_new();
    daemon_ = consoled_start(loop, &o);
    CU_ASSERT_PTR_NOT_NULL_FATAL(daemon_);
}

static void end(void)
{
    consoled_stop(daemon_);
    plat_loop_free(loop);
    for (int d = 0; d < DOMAINS; d++)
        CU_ASSERT_TRUE(machine[d].mapped == 0 && machine[d].port == 0);
}

/* ---- clients ---- */

static struct plat_stream *attach(const char *who)
{
    struct plat_stream *s = plat_connect(SOCKET);
    char line[200];
    int len = snprintf(line, sizeof(line), "attach %s\n", who);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(plat_write(s, line, (size_t)len), len);
    run_for(MS);
    return s;
}

static char got[100000];

/* All that there is, and at the end of the stream "<end>". */
static const char *all_of(struct plat_stream *s)
{
    size_t len = 0;
    ssize_t n;

    for (;;) {
        n = plat_read(s, got + len, sizeof(got) - len - 10);
        if (n <= 0) {
            size_t before = len;

            run_for(MS);
            n = n == 0 ? 0 : plat_read(s, got + len, sizeof(got) - len - 10);
            if (n < 0 && before == len)
                break;
        }
        if (n == 0) {
            strcpy(got + len, "<end>");
            return got;
        }
        len += (size_t)n;
    }
    got[len] = '\0';
    return got;
}

static const char *file(const char *path)
{
    size_t len = 0;
    char *data = plat_file_read(path, &len);

    snprintf(got, sizeof(got), "%s", data ? data : "<none>");
    free(data);
    return got;
}

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
    CU_ASSERT_STRING_EQUAL(all_of(s), "error what is understood is: attach WHO\n<end>");
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
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], SOCKET, "one", on_attached, &attached), 0);
    CU_ASSERT_STRING_EQUAL(all_of(ends[1]), "login: ");
    CU_ASSERT_EQUAL(guest_gets(1, typed, sizeof(typed)), 4);
    CU_ASSERT_STRING_EQUAL(typed, "root");
    CU_ASSERT_EQUAL(plat_read(ends[0], typed, sizeof(typed)), 5); /* what came behind Ctrl-] */
    plat_write(ends[1], "mine", 4);
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], SOCKET, "none", on_attached, &attached), -1);
    CU_ASSERT_STRING_EQUAL(all_of(ends[1]), "error there is no such domain with a console\n");
    CU_ASSERT_EQUAL(plat_read(ends[0], typed, 20), 4); /* it has left what was not for it */
    CU_ASSERT_EQUAL(console_attach(loop, ends[0], "/nowhere", "none", NULL, NULL), -1);
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
    CU_ASSERT_STRING_EQUAL(node("/local/domain/1/console/tty"), "/dev/pts/7");
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

/* ---- guests that mean harm ---- */

static void test_impossible_indices_end_the_service_of_that_guest(void)
{
    static const uint32_t wrong[] = { OUT_BYTES + 1, 0x80000000u, 0xffffffffu, 0x7fffffffu };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct plat_stream *s;
        unsigned int lines;

        begin(false);
        guest_new(1, "bad");
        guest_new(2, "good");
        s = attach("bad");
        all_of(s);
        lines = fake_log_lines();
        machine[1].page.out_prod = machine[1].page.out_cons + wrong[i];
        for (int n = 0; n < 10; n++) {
            send_event(1);
            run_for(10 * MS);
        }
        CU_ASSERT_EQUAL(fake_log_lines(), lines + 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(), "domain 1 (bad) has impossible indices"));
        CU_ASSERT_TRUE(machine[1].mapped == 0 && machine[1].port == 0 && machine[2].port != 0);
        plat_write(s, "typed into nothing", 18);
        CU_ASSERT_STRING_EQUAL(all_of(s), "");
        set_number(1, "console/port", GUEST_PORT); /* the same again changes nothing */
        run_for(10 * MS);
        CU_ASSERT_EQUAL(machine[1].mapped, 0);
        plat_close(s);
        end();
    }
}

static void test_impossible_indices_of_input(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "bad");
    s = attach("bad");
    machine[1].page.in_cons = machine[1].page.in_prod + 1;
    plat_write(s, "x", 1);
    run_for(10 * MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(), "impossible indices"));
    CU_ASSERT_TRUE(machine[1].mapped == 0 && machine[1].port == 0);
    plat_close(s);
    end();
}

/* A guest writes anything anywhere into its page, and is placed anew whenever that has ended its service. */
static void test_a_guest_that_scribbles(void)
{
    struct plat_stream *good, *bad;
    unsigned int breaks = 0;

    begin(false);
    guest_new(1, "bad");
    guest_new(2, "good");
    good = attach("good");
    bad = attach("bad");
    all_of(good);
    srand(7);
    for (int i = 0; i < 3000; i++) {
        struct xencons_interface *p = &machine[1].page;
        uint32_t *indices[] = { &p->in_cons, &p->in_prod, &p->out_cons, &p->out_prod };

        *indices[rand() % 4] += rand() % 3 ? (uint32_t)rand() % 1500 : (uint32_t)rand() * 7;
        ((char *)p)[(size_t)rand() % sizeof(*p)] ^= (char)rand();
        plat_write(bad, "typed", 5);
        send_event(1);
        run_for(MS);
        all_of(bad);
        if (machine[1].port == 0) {
            breaks++;
            memset(p, 0, sizeof(*p));
            set_node(1, "console/port", "8");
            run_for(MS);
            set_number(1, "console/port", GUEST_PORT);
            run_for(MS);
            CU_ASSERT_TRUE(machine[1].port != 0 && machine[1].mapped == 1);
        }
        if (i % 100 == 0) {
            guest_says(2, "well\n");
            CU_ASSERT_STRING_EQUAL(all_of(good), "well\n");
        }
    }
    CU_ASSERT_TRUE(breaks > 100 && breaks < 2900);
    plat_close(good);
    plat_close(bad);
    end();
}

static void test_names_that_are_paths(void)
{
    begin(false);
    guest_new(1, "../../etc/passwd\n\x1b[2J");
    run_for(MS);
    guest_says(1, "x");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-.._.._etc_passwd__[2J.log"), "x");
    end();
}

static void test_a_guest_that_is_renamed(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "old");
    run_for(MS);
    guest_says(1, "before,");
    run_for(MS);
    set_node(1, "name", "new");
    run_for(MS);
    guest_says(1, "after,");
    run_for(MS);
    set_node(1, "name", "");                   /* no other */
    set_number(1, "console/port", GUEST_PORT); /* of the same name: the same log */
    run_for(MS);
    guest_says(1, "later");
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-old.log"), "before,");
    CU_ASSERT_STRING_EQUAL(file("/log/guest-new.log"), "after,later");
    s = attach("old");
    CU_ASSERT_STRING_EQUAL(all_of(s), "error there is no such domain with a console\n<end>");
    plat_close(s);
    s = attach("new");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 new\nbefore,after,later");
    plat_close(s);
    CU_ASSERT_EQUAL(nr_watches, 2 + 2);
    guest_dies(1);
    run_for(MS);
    CU_ASSERT_EQUAL(nr_watches, 2);
    end();
}

/* It is tried again until both of a guest's are there, and none twice. */
static void test_a_watch_that_fails(void)
{
    begin(false);
    run_for(MS);
    watches_fail = 2; /* the second of two, once */
    guest_new(1, "one");
    run_for(MS);
    CU_ASSERT_EQUAL(nr_watches, 2);
    run_for(1000 * MS);
    CU_ASSERT_EQUAL(nr_watches, 2 + 2);
    CU_ASSERT_NOT_EQUAL(machine[1].port, 0);
    end();
}

static void test_nodes_that_are_no_numbers(void)
{
    static const char *const wrong[] = { "", "x", "-1", " 7", "7x", "99999999999", "0x7" };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        begin(false);
        guest_exists(1);
        set_number(1, "console/ring-ref", GFN + 1);
        set_node(1, "console/port", wrong[i]);
        run_for(10 * MS);
        CU_ASSERT_TRUE(machine[1].mapped == 0 && machine[1].port == 0);
        set_node(1, "console/port", "7");
        run_for(10 * MS);
        CU_ASSERT_TRUE(machine[1].mapped == 1 && machine[1].port != 0);
        end();
    }
    begin(false);
    guest_exists(1);
    set_node(1, "console/type", "ioemu");
    set_number(1, "console/ring-ref", GFN + 1);
    set_node(1, "console/port", "7");
    run_for(10 * MS);
    CU_ASSERT_EQUAL(machine[1].port, 0);
    end();
}

/* ---- deaths ---- */

static void test_death_at_each_moment(void)
{
    static const char *const at[] = {
        "exists", "ring-ref", "port", "output", "attached", "broken"
    };

    for (size_t moment = 0; moment < sizeof(at) / sizeof(at[0]); moment++)
        for (int pass = 0; pass < 2; pass++) { /* 1: the daemon has its turn before the death */
            struct plat_stream *s = NULL;

            begin(false);
            guest_exists(1);
            set_node(1, "name", "one");
            if (moment >= 1)
                set_number(1, "console/ring-ref", GFN + 1);
            if (moment >= 2)
                set_number(1, "console/port", GUEST_PORT);
            if (moment >= 4)
                s = attach("one");
            if (moment >= 3)
                run_for(MS);
            if (moment >= 3)
                guest_says(1, "last words");
            if (moment >= 5)
                machine[1].page.out_prod += 3 * OUT_BYTES;
            if (pass)
                run_for(MS);
            guest_dies(1);
            run_for(10 * MS);
            guest_gone(1);
            if (s) {
                CU_ASSERT_STRING_EQUAL(all_of(s), moment == 5 ? "ok 1 one\n<end>"
                                                              : "ok 1 one\nlast words<end>");
                plat_close(s);
            }
            if (moment == 3) {
                s = attach("one"); /* as long as it is kept */
                CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nlast words<end>");
                plat_close(s);
            }
            end();
        }
}

static void test_the_last_dead_are_kept(void)
{
    struct plat_stream *s;
    char name[20];

    begin(false);
    for (unsigned int d = 1; d <= DEAD_MAX + 2; d++) {
        snprintf(name, sizeof(name), "guest%u", d);
        guest_new(d, name);
        run_for(MS);
        guest_says(d, "bye");
        guest_dies(d);
        run_for(MS);
        guest_gone(d);
    }
    s = attach("guest3");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 3 guest3\nbye<end>");
    plat_close(s);
    s = attach("guest2");
    CU_ASSERT_STRING_EQUAL(all_of(s), "error there is no such domain with a console\n<end>");
    plat_close(s);
    CU_ASSERT_STRING_EQUAL(file("/log/guest-guest2.log"), "bye");
    end();
}

static void test_another_domain_of_the_same_id(void)
{
    struct plat_stream *s, *t;

    begin(false);
    guest_new(1, "old");
    run_for(MS);
    guest_says(1, "old words");
    s = attach("old");
    /* It dies and another is there before the daemon looks. */
    nodes[0].path[0] = '\0';
    machine[1].incarnation++;
    set_node(1, "name", "new");
    fire_of("@releaseDomain", 1);
    run_for(MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 old\nold words<end>");
    CU_ASSERT_EQUAL(machine[1].mapped, 1);
    t = attach("1");
    CU_ASSERT_STRING_EQUAL(all_of(t), "ok 1 new\n");
    plat_close(s);
    plat_close(t);
    end();
}

/* When it is adopted it gets a handle, and remains who it is. */
static void test_a_domain_that_was_started_at_boot(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    machine[1].incarnation = 0;
    run_for(MS);
    guest_says(1, "early words");
    run_for(MS);
    machine[1].incarnation = 5;
    fire_of("@introduceDomain", 1);
    run_for(MS);
    s = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nearly words");
    plat_close(s);
    end();
}

/* Nothing of it is anybody's business until it is a guest. */
static void test_a_shell_has_no_console(void)
{
    begin(false);
    machine[2].shell = true;
    guest_exists_silently(2);
    machine[2].shell = true;
    guest_nodes(2, "xen-like-shell-2");
    guest_new(3, "three");
    run_for(20000 * MS); /* all domains are looked at meanwhile */
    CU_ASSERT_EQUAL(machine[2].mapped, 0);
    CU_ASSERT_EQUAL(machine[3].mapped, 1);
    machine[2].shell = false;
    set_node(2, "name", "two");
    fire_of("@introduceDomain", 2);
    run_for(MS);
    CU_ASSERT_EQUAL(machine[2].mapped, 1);
    end();
}

/* However many others there are. */
static void test_whom_the_store_names_is_looked_at_alone(void)
{
    unsigned int before;

    begin(false);
    guest_new(1, "one");
    guest_new(3, "three");
    run_for(MS);
    before = nr_lists;
    guest_new(2, "two");
    run_for(MS);
    CU_ASSERT_EQUAL(machine[2].mapped, 1);
    guest_dies(1);
    run_for(MS);
    CU_ASSERT_EQUAL(machine[1].mapped, 0);
    CU_ASSERT_EQUAL(machine[3].mapped, 1);
    CU_ASSERT_TRUE(tells_which ? nr_lists == before : nr_lists > before);
    end();
}

/* ---- what fails, and comes again ---- */

static void test_the_daemon_begins_anew(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    run_for(MS);
    consoled_stop(daemon_);
    guest_puts(1, "said meanwhile", 14);
    machine[1].busy = 3; /* its port is free some moments later */
    daemon_ = consoled_start(loop, &(struct consoled_options){ .socket = SOCKET,
                                                               .history_bytes = HISTORY });
    run_for(1000 * MS);
    s = attach("one");
    CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nsaid meanwhile");
    plat_close(s);
    end();
}

static void test_a_port_that_cannot_be_bound_is_given_up_with_a_line(void)
{
    begin(false);
    guest_exists(1);
    machine[1].busy = 10000;
    set_number(1, "console/ring-ref", GFN + 1);
    set_number(1, "console/port", GUEST_PORT);
    run_for(20000 * MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(), "domain 1 (1): its console"));
    CU_ASSERT_TRUE(machine[1].busy > 9900);
    end();
}

static void test_events_that_are_lost(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    s = attach("one");
    all_of(s);
    events_lost = 1;
    guest_says(1, "hello");
    run_for(500 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "hello");
    CU_ASSERT_EQUAL(machine[1].mapped, 1);
    plat_close(s);
    end();
}

/* Until they are there again nothing is sent, unmasked or unbound. */
static void test_all_else_goes_on_while_events_are_lost(void)
{
    struct plat_stream *s;
    char typed[20] = "";

    begin(false);
    guest_new(1, "one");
    guest_new(2, "flood");
    guest_new(3, "dies");
    guest_new(4, "moves");
    s = attach("one");
    all_of(s);
    machine[2].endless = 1 << 20;
    send_event(2);
    run_for(MS); /* it waits for its period's end */
    events_lost = 1;
    guest_says(1, "hello");
    plat_write(s, "lost", 4);
    guest_dies(3);
    set_number(4, "console/ring-ref", GFN);
    set_number(4, "console/ring-ref", GFN + 4);
    run_for(MS);
    CU_ASSERT_PTR_NULL(daemon_->events);
    plat_write(s, "lost", 4);
    run_for(50 * MS);
    CU_ASSERT_PTR_NULL(daemon_->events);
    run_for(500 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "hello");
    plat_write(s, "typed", 5);
    run_for(MS);
    CU_ASSERT_TRUE(guest_gets(1, typed, sizeof(typed)) >= 5);
    CU_ASSERT_TRUE(machine[2].port && machine[4].port && !machine[3].port);
    run_for(10000 * MS);
    CU_ASSERT_EQUAL(machine[2].endless, 0);
    plat_close(s);
    end();
}

static void test_a_store_that_dies(void)
{
    struct plat_stream *s;

    begin(false);
    guest_new(1, "one");
    s = attach("one");
    all_of(s);
    store_is_gone = true;
    guest_says(1, "goes on\n");
    run_for(6000 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "goes on\n");
    store_is_gone = false;
    guest_new(2, "two"); /* which nobody is told of */
    run_for(1000 * MS);
    CU_ASSERT_TRUE(machine[1].port && machine[2].port);
    CU_ASSERT_EQUAL(machine[1].mapped, 1);
    guest_dies(1);
    CU_ASSERT_STRING_EQUAL(all_of(s), "<end>");
    plat_close(s);
    end();
}

/* Whatever lacks memory or room: nothing breaks, and the guest is served in the end. */
static void test_no_memory(void)
{
    bool failed = true;

    for (unsigned int n = 1; failed && n < 100; n++) {
        struct plat_stream *s;

        begin(true);
        fake_fail_at(n);
        guest_new(1, "one");
        run_for(MS);
        guest_says(1, "hello");
        run_for(200 * MS);
        failed = fake_failed();
        fake_fail_at(0);
        if (machine[1].port == 0)
            run_for(6000 * MS);
        s = attach("one");
        CU_ASSERT_STRING_EQUAL(all_of(s), "ok 1 one\nhello");
        plat_close(s);
        if (node("/local/domain/1/console/tty"))
            plat_close(tty_end);
        end();
    }
}

static void tell(void) { tells_which = true; }

#define TEST(name)  \
    {               \
#name, name \
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
        TEST(test_impossible_indices_end_the_service_of_that_guest),
        TEST(test_impossible_indices_of_input),
        TEST(test_a_guest_that_scribbles),
        TEST(test_names_that_are_paths),
        TEST(test_a_guest_that_is_renamed),
        TEST(test_a_watch_that_fails),
        TEST(test_nodes_that_are_no_numbers),
        TEST(test_death_at_each_moment),
        TEST(test_the_last_dead_are_kept),
        TEST(test_another_domain_of_the_same_id),
        TEST(test_a_domain_that_was_started_at_boot),
        TEST(test_a_shell_has_no_console),
        TEST(test_whom_the_store_names_is_looked_at_alone),
        TEST(test_the_daemon_begins_anew),
        TEST(test_a_port_that_cannot_be_bound_is_given_up_with_a_line),
        TEST(test_events_that_are_lost),
        TEST(test_all_else_goes_on_while_events_are_lost),
        TEST(test_a_store_that_dies),
        TEST(test_no_memory),
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { "console daemon", NULL, NULL, NULL, NULL, tests },
                              { "the same, told of which domain events are", NULL, NULL, tell, NULL,
                                tests },
                              CU_SUITE_INFO_NULL };
    unsigned int failures;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
