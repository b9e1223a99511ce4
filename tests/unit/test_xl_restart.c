/* Guests that are started again (guest_attend()): those that must not be for ever, and what fails in the middle. */
#include <CUnit/Basic.h>
#include <sanitizer/lsan_interface.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/sched.h>
#include <xenstore.h>

#include "toolstack_machine.h"
#include "xl_machine.h"

/* A guest that ends as soon as it has begun is not started for ever. */
static void test_brake(void)
{
    domid_t first;

    start(NULL);
    run("create -q guest.cfg", 0, "", "");
    for (int i = 0; i < 4; i++) {
        first = the_one();
        CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    }
    wall += 10; /* a life that is long enough */
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    for (int i = 0; i < 4; i++) {
        wall += 9;
        first = the_one();
        CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    }
    first = the_one();
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 0), first); /* it is kept */
    expect_node("name", "web");
    end();
}

static void test_renamed_twice(void)
{
    domid_t first, second, found;

    start(NULL);
    run("create -q guest.cfg \"on_crash='rename-restart'\"", 0, "", "");
    first = the_one();
    ends(SHUTDOWN_crash, 1);
    CU_ASSERT_TRUE(guest_find(&x.tools, "web", &second) == 0 && second != first);
    machine[second].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 1);
    CU_ASSERT_TRUE(guest_find(&x.tools, "web", &found) == 0 && found == second);
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    end();
}

/* With memory that its kernel, or the machine, has no room in it has what it was configured with. */
static void test_memory_that_will_not_do(void)
{
    domid_t first;

    start(NULL);
    run("create -q guest.cfg", 0, "", "");
    run("mem-set web 1", 0, "", "");
    first = the_one();
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    CU_ASSERT_TRUE(the_one() && machine[the_one()].nr_pages == 2048);
    expect_node("memory/target", "8192");
    run("mem-max web 100", 0, "", "");
    run("mem-set web 100", 0, "", ""); /* of 64 */
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    CU_ASSERT_TRUE(the_one() && machine[the_one()].nr_pages == 2048);
    run("mem-set web 60", 0, "", ""); /* of which it has 8 */
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    CU_ASSERT_TRUE(the_one() && machine[the_one()].nr_pages == 60 * 256);
    end();
}

static bool runs(const char *name)
{
    domid_t id;

    return guest_find(&x.tools, name, &id) == 0 && machine[id].there && machine[id].flags == 0 &&
           machine[id].pauses == 0;
}

/* The UUID of a domain that is still to begin, as the store has it; NULL: there is none. */
static const char *kept_restart(void)
{
    static char uuid[40];
    unsigned int nr = 0;
    char **list = xs_directory(x.tools.store, XBT_NULL, "/xen-like/restarts", &nr);

    snprintf(uuid, sizeof(uuid), "%s", nr ? list[0] : "");
    free(list);
    CU_ASSERT_TRUE(nr <= 1);
    return nr ? uuid : NULL;
}

/* Whatever fails once, there is one when it is tried again. Returns how many calls there are. */
static unsigned int restart_fails_at_each_call(const char *create)
{
    bool failed = true;
    unsigned int n;

    for (n = 1; failed; n++) {
        domid_t id;

        start(NULL);
        run(create, 0, "", "");
        id = the_one();
        machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
        machine_fail_at(n);
        guest_attend(&x.tools);
        failed = machine_fail_at(0);
        guest_attend(&x.tools);
        CU_ASSERT_TRUE(runs("web"));
        CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
        CU_ASSERT_EQUAL(x.tools.restarts, 0);
        end();
    }
    return n;
}

static void test_restart_fails_at_each_call(void)
{
    CU_ASSERT_TRUE(restart_fails_at_each_call("create -q guest.cfg \"on_crash='restart'\"") > 60);
    CU_ASSERT_TRUE(restart_fails_at_each_call("create -q guest.cfg \"on_crash='rename-restart'\"") >
                   60);
}

static void crashes(domid_t id)
{
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
}

/* There is no second event: whatever fails, those that are to be looked at again are known of, also when others end. */
static void an_event_is_lost_at_no_call(const char *create)
{
    bool failed = true;
    unsigned int n;

    for (n = 1; failed; n++) {
        domid_t id;

        start(NULL);
        run(create, 0, "", "");
        id = the_one();
        crashes(id);
        machine_fail_at(n);
        guest_attend_to(&x.tools, id);
        failed = machine_fail_at(0);
        if (x.tools.restarts) {
            CU_ASSERT_TRUE(failed);
            guest_attend_to(&x.tools, n % 2 ? NR_DOMAINS - 1 : 0); /* another one */
        }
        CU_ASSERT_TRUE(runs("web"));
        CU_ASSERT_EQUAL(x.tools.restarts, 0);
        end();
    }
    CU_ASSERT_TRUE(n > 60);
}

static void test_an_event_is_lost_at_no_call(void)
{
    an_event_is_lost_at_no_call("create -q guest.cfg \"on_crash='restart'\"");
    an_event_is_lost_at_no_call("create -q guest.cfg \"on_crash='rename-restart'\"");
}

/* What was to be looked at again is so if that fails, too: at each call. */
static void test_another_look_fails_at_each_call(void)
{
    bool failed = true;
    unsigned int n;

    for (n = 1; failed; n++) {
        start(NULL);
        run("create -q guest.cfg \"on_crash='restart'\"", 0, "", "");
        crashes(the_one());
        machine_fail_at(1);
        CU_ASSERT_EQUAL(guest_attend_to(&x.tools, the_one()), -1);
        CU_ASSERT_NOT_EQUAL(x.tools.restarts, 0);
        machine_fail_at(n);
        guest_attend_to(&x.tools, NR_DOMAINS - 1);
        failed = machine_fail_at(0);
        if (x.tools.restarts)
            guest_attend(&x.tools);
        CU_ASSERT_TRUE(runs("web"));
        CU_ASSERT_EQUAL(x.tools.restarts, 0);
        end();
    }
    CU_ASSERT_TRUE(n > 60);
}

/* Another process attends from now on, which knows nothing. */
static void another_attendant(void)
{
    struct xs_handle *store = x.tools.store;

    toolstack_close(&x.tools);
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&x.tools, store, 0), 0);
}

/* The same, and the next call is another process's. */
static void next_attendant_after_each_call(const char *create)
{
    bool failed = true;

    for (unsigned int n = 1; failed; n++) {
        domid_t id;

        start(NULL);
        run(create, 0, "", "");
        id = the_one();
        machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
        machine_fail_at(n);
        guest_attend(&x.tools);
        failed = machine_fail_at(0);
        another_attendant();
        guest_attend(&x.tools);
        CU_ASSERT_TRUE(runs("web"));
        CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
        CU_ASSERT_PTR_NULL(kept_restart());
        end();
    }
}

static void test_the_next_attendant_tries_again(void)
{
    next_attendant_after_each_call("create -q guest.cfg \"on_crash='restart'\"");
    next_attendant_after_each_call("create -q guest.cfg \"on_crash='rename-restart'\"");
}

#pragma weak __lsan_disable /* of the sanitizer, where that is linked */
#pragma weak __lsan_enable
#pragma weak __lsan_ignore_object

static void leaks_are_meant(bool meant)
{
    if (__lsan_disable && __lsan_enable)
        (meant ? __lsan_disable : __lsan_enable)();
}

/* Killed at any call; what it had is not ours to free. Returns whether it was. */
static bool is_killed_at(unsigned int n)
{
    static jmp_buf death;
    bool killed = setjmp(death) != 0;

    if (!killed) {
        leaks_are_meant(true);
        machine_die_at(n, &death);
        guest_attend(&x.tools);
    }
    leaks_are_meant(false);
    machine_die_at(0, NULL);
    if (killed && __lsan_ignore_object)
        __lsan_ignore_object(x.tools.hyp);
    return killed;
}

/* How many domains there are, and how many of them have ended. */
static unsigned int count_domains(unsigned int *ended)
{
    unsigned int nr = 0;

    *ended = 0;
    for (unsigned int d = 1; d < NR_DOMAINS; d++) {
        nr += machine[d].there;
        *ended += machine[d].there && machine[d].flags;
    }
    return nr;
}

/* There is then one that runs, and beside it nothing but what was to be kept. */
static unsigned int killed_at_each_call(const char *create, unsigned int kept)
{
    unsigned int n, nr, ended, nodes = 0;
    bool killed = true;

    for (n = 1; killed; n++) {
        struct xs_handle *store;
        domid_t id;

        start(NULL);
        store = x.tools.store;
        run(create, 0, "", "");
        id = the_one();
        machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
        killed = is_killed_at(n);
        if (killed)
            CU_ASSERT_EQUAL_FATAL(toolstack_open(&x.tools, store, 0), 0);
        guest_attend(&x.tools);
        CU_ASSERT_TRUE(runs("web"));
        CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
        CU_ASSERT_PTR_NULL(kept_restart());
        nr = count_domains(&ended);
        CU_ASSERT_TRUE(nr == 1 + kept && ended == kept);
        nodes = nodes ? nodes : machine_nr_nodes();
        CU_ASSERT_EQUAL(machine_nr_nodes(), nodes);
        end();
    }
    return n;
}

static void test_attendants_are_killed_at_each_call(void)
{
    CU_ASSERT_TRUE(killed_at_each_call("create -q guest.cfg \"on_crash='restart'\"", 0) > 60);
    CU_ASSERT_TRUE(killed_at_each_call("create -q guest.cfg \"on_crash='rename-restart'\"", 1) >
                   60);
}

static void nothing(void) {}

/* Another one wants the disk that the one has which has ended. */
static void test_renamed_with_a_disk(void)
{
    static const char create[] =
        "create -q guest.cfg \"on_crash='rename-restart'\" \"disk=['/dev/a,,xvda']\"";

    at_wait = nothing;
    CU_ASSERT_TRUE(restart_fails_at_each_call(create) > 100);
    CU_ASSERT_TRUE(killed_at_each_call(create, 1) > 100);
    at_wait = NULL;
}

static int want_attendant(struct xl *xl) { return EXIT_OK; }

static unsigned int fail_at, nr_begun;
static domid_t last;

/* The guest reboots, which fails at that call, and powers off when it runs again. */
static void reboot_and_power_off(void)
{
    domid_t id = the_one();

    if (nr_begun == 0) {
        machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
        machine_fail_at(fail_at);
        nr_begun = 1;
        last = id;
    } else if (id != last && runs("web")) {
        nr_begun++;
        last = id;
        machine[id].flags = XEN_DOMINF_shutdown;
    }
}

/* With create -F that xl tries it again. */
static void test_in_the_foreground(void)
{
    static const struct xl_home home = { .want_attendant = want_attendant };
    bool failed = true;
    unsigned int n;

    at_wait = reboot_and_power_off;
    for (n = 1; failed; n++) {
        start(&home);
        nr_begun = 0;
        fail_at = n;
        run("create -q -F guest.cfg", 0, "", "");
        failed = machine_fail_at(0);
        CU_ASSERT_EQUAL(nr_begun, 2); /* there was another one, and then none */
        CU_ASSERT_EQUAL(the_one(), 0);
        CU_ASSERT_PTR_NULL(kept_restart());
        end();
    }
    CU_ASSERT_TRUE(n > 60);
    at_wait = NULL;
}

/* Of an xl that lives others leave it alone, as long as it tries. */
static void test_of_another_foreground(void)
{
    unsigned int n = 1;

    for (bool again = true; again; n++) {
        start(NULL);
        run("create -q guest.cfg", 0, "", "");
        x.tools.unattended = true; /* as xl create -F has it */
        machine[the_one()].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot
                                                             << XEN_DOMINF_shutdownshift;
        machine_fail_at(n);
        guest_attend(&x.tools);
        CU_ASSERT_TRUE_FATAL(machine_fail_at(0));
        again = kept_restart() == NULL || the_one();
        if (again)
            end();
    }
    another_attendant();
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    CU_ASSERT_EQUAL(the_one(), 0);
    CU_ASSERT_EQUAL(x.tools.restarts, 1); /* it looks again */
    wall += 301;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 1);
    CU_ASSERT_TRUE(runs("web"));
    CU_ASSERT_PTR_NULL(kept_restart());
    end();
}

static const char with_uuid[] =
    "create -q %s guest.cfg \"uuid='00112233-4455-6677-8899-aabbccddeeff'\"";

/* One of that UUID has ended, and what is to begin in its place is kept, but does not begin. */
static void keep_restart(void)
{
    char text[200];

    snprintf(text, sizeof(text), with_uuid, "");
    for (unsigned int n = 1; kept_restart() == NULL || the_one(); n++) {
        for (unsigned int d = 1; d < NR_DOMAINS; d++)
            if (machine[d].there)
                guest_destroy(&x.tools, (domid_t)d);
        run(text, 0, "", "");
        machine[the_one()].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot
                                                             << XEN_DOMINF_shutdownshift;
        machine_fail_at(n);
        guest_attend(&x.tools);
        CU_ASSERT_TRUE_FATAL(machine_fail_at(0));
    }
}

/* A domain of the same UUID that somebody makes is what was to begin: also when it is paused, it is not half-made. */
static void test_made_by_others(void)
{
    char text[200];
    domid_t id;

    start(NULL);
    keep_restart();
    snprintf(text, sizeof(text), with_uuid, "-p");
    run(text, 0, "", "");
    id = the_one();
    CU_ASSERT_NOT_EQUAL(id, 0);
    CU_ASSERT_PTR_NULL(kept_restart());
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    CU_ASSERT_EQUAL(the_one(), id);
    CU_ASSERT_EQUAL(x.tools.restarts, 0);
    end();
}

/* If that cannot be made, whatever fails, it is still to begin as before. */
static void test_made_by_others_in_vain(void)
{
    static const char path[] = "/xen-like/restarts/00112233-4455-6677-8899-aabbccddeeff";
    unsigned int nr_failed = 0;
    char text[200], *kept;
    bool failed = true;

    start(NULL);
    keep_restart();
    kept = xs_read(x.tools.store, XBT_NULL, path, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    snprintf(text, sizeof(text), with_uuid, "-p");
    for (unsigned int n = 1; failed; n++) {
        machine_fail_at(n);
        if (xl(text)) {
            const struct machine_node *node = machine_node(path);

            CU_ASSERT_TRUE(node && strcmp(node->value, kept) == 0);
            nr_failed++;
        }
        failed = machine_fail_at(0);
        if (the_one())
            guest_destroy(&x.tools, the_one());
        CU_ASSERT_TRUE_FATAL(xs_write(x.tools.store, XBT_NULL, path, kept,
                                      (unsigned int)strlen(kept)));
    }
    CU_ASSERT_TRUE(nr_failed > 50);
    free(kept);
    end();
}

/* What another version has kept is not ours to start. */
static void test_a_restart_that_is_not_understood(void)
{
    static const char path[] = "/xen-like/restarts/00112233-4455-6677-8899-aabbccddeeff";
    static const char *const kept[] = { "", "1 2 3\nname='a'\n",
                                        "1 99999 0 0 0 5\nname='web'\nkernel='/kernel'\n",
                                        "1 2 0 0 0 5\nname='web'\n",
                                        "1 2 0 0 0 5\nname='web'\nkernel='/kernel'\nmemory=8\n" };

    start(NULL);
    for (unsigned int i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        xs_write(x.tools.store, XBT_NULL, path, kept[i], (unsigned int)strlen(kept[i]));
        CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
        CU_ASSERT_EQUAL(the_one(), 0);
        CU_ASSERT_EQUAL(x.tools.restarts, 0);
        CU_ASSERT_PTR_NULL(kept_restart());
    }
    end();
}

/* Without a store the old one is not destroyed. */
static void test_restart_without_a_store(void)
{
    domid_t first;

    start(NULL);
    run("create -q guest.cfg", 0, "", "");
    first = the_one();
    gone_while_reading = true;
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    CU_ASSERT_TRUE(machine_store_gone);
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    CU_ASSERT_EQUAL(the_one(), first);
    gone_while_reading = machine_store_gone = false;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 1);
    CU_ASSERT_TRUE(the_one() != first && runs("web"));
    CU_ASSERT_EQUAL(x.tools.restarts, 0);
    end();
}

/* Another domain has nearly all of it. */
static void fill_memory(void) { run("create -q guest.cfg name=\"'big'\" memory=60", 0, "", ""); }

/* The old one is gone, and there is no room for another one: it is not tried for ever. */
static void test_a_restart_is_given_up(void)
{
    unsigned int n;

    start(NULL);
    for (n = 1; x.tools.restarts == 0 || the_one(); n++) {
        for (unsigned int d = 1; d < NR_DOMAINS; d++)
            if (machine[d].there)
                guest_destroy(&x.tools, (domid_t)d);
        run("create -q guest.cfg", 0, "", "");
        machine[the_one()].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot
                                                             << XEN_DOMINF_shutdownshift;
        machine_fail_at(n);
        guest_attend(&x.tools);
        CU_ASSERT_TRUE_FATAL(machine_fail_at(0));
    }
    fill_memory();
    for (n = 0; x.tools.restarts && n < 100; n++) {
        if (n == 5)
            another_attendant(); /* which goes on counting */
        for (int events = 0; events < 20; events++, wall += events == 1 ? 3 : 0)
            CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
        wall++;
    }
    CU_ASSERT_EQUAL(n, 12);
    CU_ASSERT_PTR_NULL(kept_restart());
    machine[the_one()].flags = XEN_DOMINF_shutdown; /* the one that has the memory */
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 1);
    CU_ASSERT_EQUAL(the_one(), 0);
    end();
}

/* What has ended is kept only where another one can begin beside it. */
static void test_renamed_without_memory(void)
{
    domid_t first;

    start(NULL);
    run("create -q guest.cfg memory=40 \"on_crash='rename-restart'\"", 0, "", "");
    first = the_one();
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_crash, 1), first);
    CU_ASSERT_TRUE(the_one() && runs("web"));
    end();
}

/* There is no other one: it has its name again. */
static void test_renamed_in_vain(void)
{
    domid_t first;

    start(NULL);
    run("create -q guest.cfg \"on_crash='rename-restart'\"", 0, "", "");
    first = the_one();
    kernel_bytes[0] = 0;
    CU_ASSERT_EQUAL(ends(SHUTDOWN_crash, 1), first);
    expect_node("name", "web");
    CU_ASSERT_EQUAL(ends(SHUTDOWN_crash, 0), first);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl_restart", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_brake);
    T(test_renamed_twice);
    T(test_memory_that_will_not_do);
    T(test_restart_fails_at_each_call);
    T(test_an_event_is_lost_at_no_call);
    T(test_another_look_fails_at_each_call);
    T(test_the_next_attendant_tries_again);
    T(test_attendants_are_killed_at_each_call);
    T(test_renamed_with_a_disk);
    T(test_in_the_foreground);
    T(test_of_another_foreground);
    T(test_made_by_others);
    T(test_made_by_others_in_vain);
    T(test_a_restart_that_is_not_understood);
    T(test_restart_without_a_store);
    T(test_a_restart_is_given_up);
    T(test_renamed_without_memory);
    T(test_renamed_in_vain);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
