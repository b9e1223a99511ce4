/* Guests that are started again (guest_attend()): those that must not be for ever, and what fails in the middle. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <string.h>

#include <xen/sched.h>

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

    return guest_find(&x.tools, name, &id) == 0 && machine[id].there && machine[id].flags == 0;
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
        CU_ASSERT_PTR_NULL(x.tools.restarts);
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
    CU_ASSERT_PTR_NULL(x.tools.restarts);
    end();
}

/* The old one is gone, and nothing is as it should be: it is not tried for ever. */
static void test_a_restart_is_given_up(void)
{
    unsigned int n;

    start(NULL);
    for (n = 1; x.tools.restarts == NULL || the_one(); n++) {
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
    for (n = 0; x.tools.restarts && n < 100; n++) {
        machine_fail_at(1);
        CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    }
    machine_fail_at(0);
    CU_ASSERT_TRUE(n > 5 && n < 20);
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
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
    T(test_restart_without_a_store);
    T(test_a_restart_is_given_up);
    T(test_renamed_without_memory);
    T(test_renamed_in_vain);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
