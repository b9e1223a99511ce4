/* The console daemon with guests that mean harm, deaths, and what fails and comes again. */
#include "daemon.h"

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
    CU_ASSERT_EQUAL(store_nr_watches(), WATCHES + 2);
    guest_dies(1);
    run_for(MS);
    CU_ASSERT_EQUAL(store_nr_watches(), WATCHES);
    end();
}

/* It is tried again until both of a guest's are there, and none twice. */
static void test_a_watch_that_fails(void)
{
    begin(false);
    run_for(MS);
    store_fail_at(2); /* the second of two, once */
    guest_new(1, "one");
    run_for(MS);
    CU_ASSERT_EQUAL(store_nr_watches(), WATCHES);
    run_for(1000 * MS);
    CU_ASSERT_EQUAL(store_nr_watches(), WATCHES + 2);
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

static void live_and_die(unsigned int d, const char *name)
{
    guest_new(d, name);
    run_for(MS);
    guest_says(d, "bye");
    guest_dies(d);
    run_for(MS);
    guest_gone(d);
}

static void test_the_last_dead_are_kept(void)
{
    struct plat_stream *s;
    char name[20];

    begin(false);
    for (unsigned int d = 1; d <= DEAD_MAX + 2; d++) {
        snprintf(name, sizeof(name), "guest%u", d);
        live_and_die(d, name);
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

/* Where files are in memory, guests of ever other names do not fill it. */
static void test_logs_of_the_dead_are_dropped(void)
{
    char name[20], path[40];

    for (int again = 0; again < 2; again++) {
        drop_logs = true;
        begin(false);
        live_and_die(1, "guest1");
        live_and_die(2, "guest2");
        live_and_die(3, "guest1");
        for (unsigned int d = 4; d <= DEAD_MAX + 1; d++) {
            snprintf(name, sizeof(name), "guest%u", d);
            live_and_die(d, name);
        }
        /* That of guest2 is the next to go; that of guest1 is also one of later. */
        CU_ASSERT_STRING_EQUAL(file("/log/guest-guest1.log"), "byebye");
        CU_ASSERT_STRING_EQUAL(file("/log/guest-guest2.log"), "bye");
        if (again) {
            guest_new(DEAD_MAX + 2, "guest2"); /* lives on */
            run_for(MS);
            live_and_die(DEAD_MAX + 3, "other");
        } else {
            live_and_die(DEAD_MAX + 2, "other");
        }
        CU_ASSERT_STRING_EQUAL(file("/log/guest-guest2.log"), again ? "bye" : "<none>");
        CU_ASSERT_STRING_EQUAL(file("/log/guest-guest1.log"), "byebye");
        for (unsigned int d = 4; d <= DEAD_MAX + 1; d++) {
            snprintf(path, sizeof(path), "/log/guest-guest%u.log", d);
            CU_ASSERT_STRING_EQUAL(file(path), "bye");
        }
        end();
    }
    drop_logs = false;
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
    store_remove("/local/domain/1/name");
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
    set_store_gone(true);
    guest_says(1, "goes on\n");
    run_for(6000 * MS);
    CU_ASSERT_STRING_EQUAL(all_of(s), "goes on\n");
    set_store_gone(false);
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
        if (store_get("/local/domain/1/console/tty"))
            plat_close(tty_end);
        end();
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        TEST(test_impossible_indices_end_the_service_of_that_guest),
        TEST(test_impossible_indices_of_input),
        TEST(test_a_guest_that_scribbles),
        TEST(test_names_that_are_paths),
        TEST(test_a_guest_that_is_renamed),
        TEST(test_a_watch_that_fails),
        TEST(test_nodes_that_are_no_numbers),
        TEST(test_death_at_each_moment),
        TEST(test_the_last_dead_are_kept),
        TEST(test_logs_of_the_dead_are_dropped),
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

    return run_tests("console daemon, harm", tests, true);
}
