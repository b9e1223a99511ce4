/* The states of a device's two ends (xen-like/lib/xenbus*.c), on a store in memory, with an enemy at the other end. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_store.h"
#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"
#include "xenbus.h"

#define BACK "/local/domain/0/backend/vbd/5/51712"
#define FRONT "/local/domain/5/device/vbd/51712"

/* ---- a driver that notes what it is asked ---- */

static struct {
    unsigned int probes, connects, connecteds, disconnects, removes, changes;
    int probe_rc, connect_rc;
    bool late; /* disconnect() is done later */
    bool resumed;
    void (*meanwhile)(void); /* in probe() and connect() */
    struct xenbus_device *device;
} drv;
static struct plat_loop *loop;
static struct xenbus *bus;

static int probe(struct xenbus_device *d)
{
    struct xenbus_nodes n = { .nr = 0 };

    drv.probes++;
    drv.device = d;
    d->data = malloc(1); /* a leak is found */
    if (drv.probe_rc == -EAGAIN && drv.probes < 4) {
        free(d->data);
        return -EAGAIN;
    }
    if (drv.probe_rc == -EAGAIN)
        drv.probe_rc = 0;
    if (drv.meanwhile)
        drv.meanwhile();
    xenbus_put(&n, "feature-some", "%d", 1);
    xenbus_publish(d, &n);
    if (drv.probe_rc) {
        xenbus_error(d, "cannot be");
        free(d->data);
    }
    return drv.probe_rc;
}

static int connect_it(struct xenbus_device *d)
{
    drv.connects++;
    drv.resumed = d->resumed;
    CU_ASSERT_FALSE(d->connected);
    if (drv.meanwhile)
        drv.meanwhile();
    return drv.connect_rc;
}

static void connected(struct xenbus_device *d)
{
    CU_ASSERT_TRUE(d->connected);
    drv.connecteds++;
}

static void disconnect(struct xenbus_device *d)
{
    drv.disconnects++;
    if (!drv.late)
        xenbus_disconnected(d);
}

static void removed(struct xenbus_device *d)
{
    CU_ASSERT_FALSE(d->connected);
    CU_ASSERT_EQUAL(drv.connects - (drv.connect_rc != 0), drv.disconnects);
    free(d->data);
    drv.device = NULL;
    drv.removes++;
}

static void changed(struct xenbus_device *d) { drv.changes++; }

static const struct xenbus_driver backend = { .type = "vbd",
                                              .backend = true,
                                              .front_is_ready = XenbusStateInitialised,
                                              .probe = probe,
                                              .connect = connect_it,
                                              .connected = connected,
                                              .disconnect = disconnect,
                                              .remove = removed,
                                              .changed = changed };
static const struct xenbus_driver frontend = { .type = "vbd",
                                               .front_is_ready = XenbusStateInitialised,
                                               .probe = probe,
                                               .connect = connect_it,
                                               .connected = connected,
                                               .disconnect = disconnect,
                                               .remove = removed };

static void begin(const struct xenbus_driver *driver, unsigned int home)
{
    platform_reset();
    store_reset(home);
    memset(&drv, 0, sizeof(drv));
    loop = plat_loop_new();
    bus = xenbus_open(loop, driver, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
    run_loop(loop);
}

static void end(void)
{
    xenbus_close(bus);
    CU_ASSERT_EQUAL(drv.probes - (drv.probe_rc != 0), drv.removes);
    CU_ASSERT_EQUAL(store_nr_watches(), 0);
    plat_loop_free(loop);
}

/* As a toolstack makes a device. */
static void make_device(void)
{
    store_set(FRONT "/backend", "%s", BACK);
    store_set(FRONT "/backend-id", "0");
    store_set(FRONT "/state", "1");
    store_set(BACK "/frontend", "%s", FRONT);
    store_set(BACK "/frontend-id", "5");
    store_set(BACK "/online", "1");
    store_set(BACK "/state", "1");
    run_loop(loop);
}

static bool state_is(const char *folder, int state)
{
    char path[100];
    const char *text;

    snprintf(path, sizeof(path), "%s/state", folder);
    text = store_get(path);
    return text && atoi(text) == state;
}

static void front(int state)
{
    store_set(FRONT "/state", "%d", state);
    run_loop(loop);
}

static void back(int state)
{
    store_set(BACK "/state", "%d", state);
    run_loop(loop);
}

/* ---- a backend ---- */

static void test_a_device_from_its_beginning_to_its_end(void)
{
    begin(&backend, 0);
    make_device();
    CU_ASSERT_EQUAL(drv.probes, 1);
    CU_ASSERT_TRUE(state_is(BACK, 2));
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/feature-some"), "1");
    front(3);
    CU_ASSERT_EQUAL(drv.connects, 1);
    CU_ASSERT_FALSE(drv.resumed);
    CU_ASSERT_TRUE(state_is(BACK, 4));
    CU_ASSERT_EQUAL(drv.connecteds, 0);
    front(4);
    CU_ASSERT_EQUAL(drv.connects, 1);
    CU_ASSERT_EQUAL(drv.connecteds, 1);
    front(5);
    CU_ASSERT_TRUE(state_is(BACK, 5));
    CU_ASSERT_EQUAL(drv.disconnects, 0);
    front(6);
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    front(1); /* the guest's driver was loaded again */
    CU_ASSERT_TRUE(state_is(BACK, 2));
    front(3);
    front(4);
    CU_ASSERT_EQUAL(drv.connects, 2);
    /* the toolstack detaches it */
    store_set(BACK "/online", "0");
    back(5);
    CU_ASSERT_EQUAL(drv.disconnects, 1); /* the guest has to write what it has */
    front(6);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    CU_ASSERT_EQUAL(drv.disconnects, 2);
    store_remove(FRONT);
    store_remove(BACK);
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.removes, 1);
    CU_ASSERT_PTR_NULL(store_get(BACK)); /* nobody has written into it any more */
    CU_ASSERT_EQUAL(store_nr_watches(), 1);
    end();
}

static void test_a_device_is_forgotten_wherever_it_vanishes(void)
{
    static const int states[][4] = { { 1 }, { 1, 3 }, { 1, 3, 4 }, { 1, 3, 4, 5 }, { 1, 3, 4, 6 } };

    for (size_t i = 0; i < 5; i++)
        for (int late = 0; late < 2; late++) {
            begin(&backend, 0);
            drv.late = late;
            make_device();
            for (int k = 0; k < 4 && states[i][k]; k++)
                front(states[i][k]);
            store_remove("/local/domain/0/backend/vbd/5"); /* also a folder above it */
            store_remove(FRONT);
            run_loop(loop);
            if (late && drv.device) {
                xenbus_disconnected(drv.device);
                run_loop(loop);
            }
            CU_ASSERT_EQUAL(drv.removes, 1);
            CU_ASSERT_PTR_NULL(store_get(BACK));
            end();
        }
}

/* All pairs of states that a hostile guest can write one after the other, and what is no state at all. */
static void test_any_sequence_of_states_is_survived(void)
{
    static const char *const words[] = { "0", "1",  "2",  "3",
                                         "4", "5",  "6",  "7",
                                         "8", "9",  "",   "-1",
                                         "x", " 4", "4 ", "99999999999999999999999" };
    enum { NR = sizeof(words) / sizeof(words[0]) };

    for (int a = 0; a < NR; a++)
        for (int b = 0; b < NR; b++)
            for (int c = 0; c < NR; c++) {
                begin(&backend, 0);
                make_device();
                store_set(FRONT "/state", "%s", words[a]);
                run_loop(loop);
                store_set(FRONT "/state", "%s", words[b]);
                if (c & 1) /* or both at once */
                    run_loop(loop);
                store_set(FRONT "/state", "%s", words[c]);
                run_loop(loop);
                CU_ASSERT_EQUAL(drv.device->connected, drv.connects != drv.disconnects);
                store_remove(FRONT); /* whatever it is in: it can be ended */
                run_loop(loop);
                CU_ASSERT_FALSE(drv.device->connected);
                end();
            }
}

static void test_a_guest_without_a_driver_can_be_detached(void)
{
    begin(&backend, 0);
    make_device();
    store_set(BACK "/online", "0");
    back(5);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    end();
}

static void detach(void)
{
    store_set(BACK "/online", "0");
    store_set(BACK "/state", "5");
}

/* The toolstack has it close while it is being connected, or found. */
static void test_a_detach_meanwhile_is_heeded(void)
{
    begin(&backend, 0);
    make_device();
    drv.meanwhile = detach;
    front(3);
    CU_ASSERT_EQUAL(drv.connects, 1);
    CU_ASSERT_TRUE(state_is(BACK, 5));
    front(6); /* as Linux's frontends do */
    CU_ASSERT_TRUE(state_is(BACK, 6));
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    end();

    begin(&backend, 0);
    drv.meanwhile = detach;
    make_device();
    CU_ASSERT_EQUAL(drv.probes, 1);
    CU_ASSERT_TRUE(state_is(BACK, 6)); /* nobody is at the other end */
    end();
}

static void test_a_guest_that_never_answers_is_left(void)
{
    begin(&backend, 0);
    make_device();
    front(3);
    front(4);
    store_set(BACK "/online", "0");
    back(5);
    CU_ASSERT_TRUE(drv.device->connected);
    store_remove(FRONT); /* the toolstack does not wait any longer */
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    end();
}

static void test_a_connection_that_fails(void)
{
    begin(&backend, 0);
    drv.connect_rc = -EPROTO;
    make_device();
    front(3);
    CU_ASSERT_TRUE(state_is(BACK, 5));
    front(4); /* as if it had gone well */
    CU_ASSERT_EQUAL(drv.connects, 1);
    front(6);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    CU_ASSERT_EQUAL(drv.disconnects, 0);
    end();
}

static void test_a_peer_that_breaks_the_rules_is_disconnected(void)
{
    begin(&backend, 0);
    drv.late = true;
    make_device();
    front(3);
    front(4);
    xenbus_fail(drv.device, "its ring makes no sense");
    CU_ASSERT_EQUAL(drv.disconnects, 0); /* not under the feet of who says so */
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    CU_ASSERT_TRUE(state_is(BACK, 4));
    front(1);
    CU_ASSERT_EQUAL(drv.connects, 1); /* not before the old one has ended */
    xenbus_disconnected(drv.device);
    run_loop(loop);
    front(3);
    drv.late = false;
    CU_ASSERT_TRUE(drv.connects <= 2);
    end();
}

static void test_a_probe_that_fails_is_told(void)
{
    begin(&backend, 0);
    drv.probe_rc = -ENOENT;
    make_device();
    CU_ASSERT_TRUE(state_is(BACK, 6));
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/hotplug-error"), "cannot be");
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/hotplug-status"), "error");
    front(3);
    front(1);
    CU_ASSERT_EQUAL(drv.probes, 1);
    CU_ASSERT_EQUAL(drv.connects, 0);
    end();
}

/* Not at once, and again: it is asked after a while, not without end. */
static void test_a_probe_that_is_not_ready_yet(void)
{
    uint64_t before;

    begin(&backend, 0);
    drv.probe_rc = -EAGAIN;
    before = plat_now();
    make_device();
    CU_ASSERT_EQUAL(drv.probes, 4);
    CU_ASSERT_TRUE(plat_now() - before >= 3 * 100000000u);
    CU_ASSERT_TRUE(state_is(BACK, 2));
    front(3);
    CU_ASSERT_TRUE(state_is(BACK, 4));
    drv.probes = 1; /* that began something */
    end();
}

static void test_a_device_made_anew_under_the_same_name(void)
{
    begin(&backend, 0);
    make_device();
    front(3);
    front(4);
    store_remove(BACK);
    store_set(FRONT "/state", "1");
    store_set(BACK "/frontend", "%s", FRONT);
    store_set(BACK "/frontend-id", "5");
    store_set(BACK "/online", "1");
    store_set(BACK "/state", "1"); /* all before anybody has looked */
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.removes, 1);
    CU_ASSERT_EQUAL(drv.probes, 2);
    CU_ASSERT_TRUE(state_is(BACK, 2));
    end();
}

static void test_a_program_that_is_started_again_goes_on(void)
{
    begin(&backend, 0);
    make_device();
    front(3);
    front(4);
    xenbus_close(bus); /* without a word */
    CU_ASSERT_TRUE(state_is(BACK, 4));
    memset(&drv, 0, sizeof(drv));
    bus = xenbus_open(loop, &backend, NULL);
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.connects, 1);
    CU_ASSERT_TRUE(drv.resumed);
    CU_ASSERT_TRUE(state_is(BACK, 4));
    CU_ASSERT_TRUE(state_is(FRONT, 4));
    end();
}

/* The same when its guest has gone meanwhile, or begins anew. */
static void test_a_program_that_is_started_again_without_its_peer(void)
{
    for (int state = 0; state <= 6; state++) {
        if (state == 3 || state == 4)
            continue;
        begin(&backend, 0);
        make_device();
        front(3);
        front(4);
        xenbus_close(bus);
        memset(&drv, 0, sizeof(drv));
        store_set(FRONT "/state", "%d", state);
        bus = xenbus_open(loop, &backend, NULL);
        run_loop(loop);
        CU_ASSERT_EQUAL(drv.connects, 0);
        front(6);
        CU_ASSERT_TRUE(state_is(BACK, 6));
        front(1);
        front(3);
        CU_ASSERT_EQUAL(drv.connects, 1);
        end();
    }
}

/* Closed is what it has been told: not connected before it was asked to wait again. */
static void test_a_resumed_device_that_was_closed(void)
{
    begin(&backend, 0);
    make_device();
    front(3);
    front(4);
    xenbus_close(bus);
    memset(&drv, 0, sizeof(drv));
    store_set(FRONT "/state", "6");
    bus = xenbus_open(loop, &backend, NULL);
    run_loop(loop);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    front(3);
    CU_ASSERT_EQUAL(drv.connects, 0);
    front(4);
    CU_ASSERT_EQUAL(drv.connects, 0);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    end();
}

/* While the store is asked anything the guest writes, and below what is watched, too. */
static unsigned int nr_asked, most_events;
static void flood(void)
{
    for (unsigned int i = 0; i < 30 && nr_asked < 2000; i++)
        store_set(i % 2 ? FRONT "/state" : FRONT "/state/below", "3");
    nr_asked++;
    if (store_nr_events() > most_events)
        most_events = store_nr_events();
}

static void test_a_flood_of_events_costs_no_memory(void)
{
    begin(&backend, 0);
    make_device();
    nr_asked = most_events = 0;
    store_hook = flood;
    store_set(FRONT "/state", "3");
    run_loop(loop);
    CU_ASSERT_TRUE(nr_asked >= 2000);
    CU_ASSERT_TRUE(most_events <= 30 * 20); /* what comes while it is looked at once */
    store_hook = NULL;
    CU_ASSERT_TRUE(state_is(BACK, 4));
    end();
}

static void test_the_store_dies_and_comes_back(void)
{
    begin(&backend, 0);
    make_device();
    front(3);
    store_set_gone(true);
    for (int i = 0; i < 5; i++)
        fake_advance(1000000000);
    store_set(FRONT "/state", "6"); /* nobody is told */
    store_set_gone(false);
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    end();
}

/* Any one request of the store fails, at every place: the end is the same. */
static void test_any_request_may_fail(void)
{
    unsigned int n = 1;

    for (bool failed = true; failed; n++) {
        begin(&backend, 0);
        store_fail_at(n);
        make_device();
        front(3);
        front(4);
        CU_ASSERT_TRUE(state_is(BACK, 4));
        CU_ASSERT_TRUE(drv.connects == 1 && drv.disconnects == 0);
        front(6);
        CU_ASSERT_TRUE(state_is(BACK, 6));
        store_remove(BACK);
        run_loop(loop);
        CU_ASSERT_EQUAL(drv.removes, drv.probes);
        CU_ASSERT_PTR_NULL(store_get(BACK));
        failed = store_failed();
        store_fail_at(0);
        end();
    }
    CU_ASSERT_TRUE(n > 20);
}

/* The device vanishes before any one request: nothing is written into where it was, nothing leaks. */
static unsigned int hook_at;
static void vanish(void)
{
    if (--hook_at)
        return;
    store_remove(BACK);
}

static void test_it_vanishes_at_any_moment(void)
{
    for (unsigned int n = 1; n < 60; n++) {
        begin(&backend, 0);
        hook_at = n;
        store_hook = vanish;
        make_device();
        store_hook = NULL;
        if (store_get(BACK "/state"))
            store_remove(BACK);
        run_loop(loop);
        CU_ASSERT_EQUAL(drv.probes - drv.removes, 0);
        end();
    }
}

static void test_names_that_are_no_devices(void)
{
    begin(&backend, 0);
    store_set("/local/domain/0/backend/vbd/05/1/state", "1");
    store_set("/local/domain/0/backend/vbd/5/x/state", "1");
    store_set("/local/domain/0/backend/vbd/5/4294967296/state", "1");
    store_set("/local/domain/0/backend/vbd/99999/1/state", "1");
    store_set("/local/domain/0/backend/vbd/5/-1/state", "1");
    run_loop(loop);
    CU_ASSERT_PTR_NULL(xenbus_nth(bus, 0));
    end();
}

static void test_folders_that_name_another_domain(void)
{
    begin(&backend, 0);
    store_set(BACK "/frontend", "/local/domain/55/device/vbd/51712");
    store_set(BACK "/frontend-id", "5");
    store_set(BACK "/state", "1");
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.probes, 0);
    CU_ASSERT_TRUE(state_is(BACK, 6));
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/hotplug-status"), "error");
    end();
}

static void test_numbers_of_the_other_end(void)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t value;
    } cases[] = { { "0", -EINVAL, 0 },
                  { "1", 0, 1 },
                  { "8", 0, 8 },
                  { "08", 0, 8 },
                  { "9", -EINVAL, 0 },
                  { "", -EINVAL, 0 },
                  { "-1", -EINVAL, 0 },
                  { "+1", -EINVAL, 0 },
                  { " 1", -EINVAL, 0 },
                  { "1\n", -EINVAL, 0 },
                  { "0x1", -EINVAL, 0 },
                  { "18446744073709551617", -EINVAL, 0 },
                  { "99999999999999999999999999", -EINVAL, 0 } };
    struct xenbus_device *d;
    char text[4];
    uint64_t value;

    begin(&backend, 0);
    make_device();
    d = xenbus_nth(bus, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        value = 77;
        store_set(FRONT "/n", "%s", cases[i].text);
        CU_ASSERT_EQUAL(xenbus_number(d, XENBUS_THEIRS, "n", 1, 8, &value), cases[i].rc);
        CU_ASSERT_EQUAL(value, cases[i].rc ? 77 : cases[i].value);
        CU_ASSERT_EQUAL(xenbus_number_or(d, XENBUS_THEIRS, "n", 1, 8, 3, &value), cases[i].rc);
    }
    store_set(FRONT "/n", "18446744073709551615");
    CU_ASSERT_EQUAL(xenbus_number(d, XENBUS_THEIRS, "n", 0, UINT64_MAX, &value), 0);
    CU_ASSERT_EQUAL(value, UINT64_MAX);
    CU_ASSERT_EQUAL(xenbus_number(d, XENBUS_THEIRS, "none", 1, 8, &value), -ENOENT);
    CU_ASSERT_EQUAL(xenbus_number_or(d, XENBUS_THEIRS, "none", 1, 8, 3, &value), 0);
    CU_ASSERT_EQUAL(value, 3);
    store_set(FRONT "/t", "abc");
    CU_ASSERT_EQUAL(xenbus_text(d, XENBUS_THEIRS, "t", text, sizeof(text)), 0);
    CU_ASSERT_STRING_EQUAL(text, "abc");
    store_set(FRONT "/t", "abcd");
    CU_ASSERT_EQUAL(xenbus_text(d, XENBUS_THEIRS, "t", text, sizeof(text)), -EINVAL);
    CU_ASSERT_STRING_EQUAL(text, "");
    store_set(FRONT "/t", "a\033b");
    CU_ASSERT_EQUAL(xenbus_text(d, XENBUS_THEIRS, "t", text, sizeof(text)), -EINVAL);
    end();
}

static void test_too_many_or_too_long_nodes_are_refused(void)
{
    struct xenbus_nodes n = { .nr = 0 };
    struct xenbus_device *d;

    begin(&backend, 0);
    make_device();
    d = xenbus_nth(bus, 0);
    for (int i = 0; i < XENBUS_NODES + 1; i++)
        xenbus_put(&n, "node", "%d", i);
    CU_ASSERT_EQUAL(xenbus_publish(d, &n), -E2BIG);
    CU_ASSERT_PTR_NULL(store_get(BACK "/node"));
    n = (struct xenbus_nodes){ .nr = 0 };
    xenbus_put(&n, "node", "%0300d", 1);
    CU_ASSERT_EQUAL(xenbus_publish(d, &n), -E2BIG);
    end();
}

/* ---- a frontend ---- */

static void test_a_frontend_from_its_beginning_to_its_end(void)
{
    begin(&frontend, 5);
    make_device();
    CU_ASSERT_EQUAL(drv.probes, 1);
    CU_ASSERT_EQUAL(drv.connects, 0);
    back(2);
    CU_ASSERT_EQUAL(drv.connects, 1);
    CU_ASSERT_TRUE(state_is(FRONT, 3));
    CU_ASSERT_EQUAL(drv.connecteds, 0);
    back(4);
    CU_ASSERT_EQUAL(drv.connecteds, 1);
    CU_ASSERT_TRUE(state_is(FRONT, 4));
    back(4); /* there is something new */
    CU_ASSERT_EQUAL(drv.connecteds, 2);
    back(5);
    CU_ASSERT_EQUAL(drv.disconnects, 1);
    CU_ASSERT_TRUE(state_is(FRONT, 6));
    store_remove(FRONT);
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.removes, 1);
    end();
}

static void test_a_frontend_survives_any_backend(void)
{
    static const char *const words[] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "", "x"
    };
    enum { NR = sizeof(words) / sizeof(words[0]) };

    for (int a = 0; a < NR; a++)
        for (int b = 0; b < NR; b++)
            for (int c = 0; c < NR; c++) {
                begin(&frontend, 5);
                make_device();
                store_set(BACK "/state", "%s", words[a]);
                run_loop(loop);
                store_set(BACK "/state", "%s", words[b]);
                if (c & 1)
                    run_loop(loop);
                store_set(BACK "/state", "%s", words[c]);
                run_loop(loop);
                CU_ASSERT_EQUAL(drv.device->connected, drv.connects != drv.disconnects);
                store_remove(BACK);
                run_loop(loop);
                CU_ASSERT_FALSE(drv.device->connected);
                end();
            }
}

static unsigned int asked;
static void count(void) { asked++; }

/* Of a class whose devices begin with a number; and of another program's, as it says of itself. */
static void test_devices_that_are_none_of_ours(void)
{
    struct xenbus_driver driver = backend;

    driver.first = 51713;
    begin(&driver, 0);
    make_device();
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.probes, 0);
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/state"), "1");
    xenbus_close(bus);
    bus = xenbus_open(loop, &driver, NULL); /* found by looking, too */
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.probes, 0);
    xenbus_close(bus);
    drv.probe_rc = -ENODEV;
    bus = xenbus_open(loop, &backend, NULL);
    run_loop(loop);
    CU_ASSERT_EQUAL(drv.probes, 1);
    store_set(BACK "/state", "2");
    store_set(FRONT "/state", "3");
    store_set(BACK "/state", "4");
    store_set(FRONT "/state", "5");
    run_loop(loop);
    CU_ASSERT_STRING_EQUAL(store_get(BACK "/state"), "4");
    CU_ASSERT_EQUAL(drv.probes, 1);
    end();
}

/* However many other domains there are. */
static void test_a_domain_that_goes_costs_nothing_of_others(void)
{
    begin(&backend, 0);
    for (unsigned int d = 100; d < 200; d++) {
        char path[80];

        snprintf(path, sizeof(path), "/local/domain/0/backend/vbd/%u/1/x", d);
        store_set(path, "x");
    }
    make_device();
    run_loop(loop);
    asked = 0;
    store_hook = count;
    store_remove("/local/domain/0/backend/vbd/5");
    run_loop(loop);
    store_hook = NULL;
    CU_ASSERT_TRUE(drv.removes == 1 && asked < 8);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xenbus", NULL, NULL);
    CU_add_test(s, "from beginning to end", test_a_device_from_its_beginning_to_its_end);
    CU_add_test(s, "it vanishes", test_a_device_is_forgotten_wherever_it_vanishes);
    CU_add_test(s, "any sequence of states", test_any_sequence_of_states_is_survived);
    CU_add_test(s, "a guest without a driver", test_a_guest_without_a_driver_can_be_detached);
    CU_add_test(s, "a guest that never answers", test_a_guest_that_never_answers_is_left);
    CU_add_test(s, "a detach meanwhile is heeded", test_a_detach_meanwhile_is_heeded);
    CU_add_test(s, "a connection fails", test_a_connection_that_fails);
    CU_add_test(s, "a peer breaks the rules", test_a_peer_that_breaks_the_rules_is_disconnected);
    CU_add_test(s, "a probe fails", test_a_probe_that_fails_is_told);
    CU_add_test(s, "a probe is not ready", test_a_probe_that_is_not_ready_yet);
    CU_add_test(s, "made anew", test_a_device_made_anew_under_the_same_name);
    CU_add_test(s, "started again", test_a_program_that_is_started_again_goes_on);
    CU_add_test(s, "started again alone", test_a_program_that_is_started_again_without_its_peer);
    CU_add_test(s, "resumed, then closed", test_a_resumed_device_that_was_closed);
    CU_add_test(s, "a flood of events", test_a_flood_of_events_costs_no_memory);
    CU_add_test(s, "the store dies", test_the_store_dies_and_comes_back);
    CU_add_test(s, "any request fails", test_any_request_may_fail);
    CU_add_test(s, "vanishes at any moment", test_it_vanishes_at_any_moment);
    CU_add_test(s, "no devices", test_names_that_are_no_devices);
    CU_add_test(s, "another domain", test_folders_that_name_another_domain);
    CU_add_test(s, "numbers", test_numbers_of_the_other_end);
    CU_add_test(s, "too many nodes", test_too_many_or_too_long_nodes_are_refused);
    CU_add_test(s, "none of ours", test_devices_that_are_none_of_ours);
    CU_add_test(s, "a domain goes", test_a_domain_that_goes_costs_nothing_of_others);
    CU_add_test(s, "a frontend", test_a_frontend_from_its_beginning_to_its_end);
    CU_add_test(s, "a frontend, any backend", test_a_frontend_survives_any_backend);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
