/* dom0-tools/lib/devices.h: devices that end, that come and go, and what is left where a call fails. See devices_fixture.h. */
#include "devices_fixture.h"

/* ---- ends ---- */

static void test_backends_close_before_the_domain_goes(void)
{
    start();
    create();
    told_late = false;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_FALSE(told_late);
    end();
}

/* Linux's block backend, where another toolstack destroys a domain without asking. */
static void test_a_backend_has_left_without_a_word(void)
{
    start();
    create();
    backends = SLEEP;
    xs_rm(t.store, XBT_NULL, fill("/local/domain/%/device"));
    now_ns = 0;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(now_ns < 2000000000);
    no_nodes();
    end();
}

static void test_a_backend_that_does_not_close_keeps_nothing(void)
{
    start();
    create();
    backends = SLEEP;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, ": vif 0 does not close; it is removed"));
    CU_ASSERT_PTR_NULL(node(BACK "vbd/%"));
    CU_ASSERT_PTR_NULL(node("/local/domain/%"));
    end();
}

static void test_devices_come_again_with_a_restart(void)
{
    char mac[NODE_VALUE];

    start();
    create();
    strcpy(mac, node(FRONT "vif/0/mac")->value);
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_FALSE(machine[id].there);
    expect(BACK "vbd/%/51712/state", NULL, 0, 0);
    id++;
    CU_ASSERT_TRUE(machine[id].there);
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    expect(FRONT "vif/0/mac", mac, id, 0);
    end();
}

static void test_who_is_renamed_gives_its_devices_up(void)
{
    start();
    config.on_reboot = CONFIG_RENAME_RESTART;
    create();
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    machine[id].cpu_time = 1;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_TRUE(machine[id].there && machine[id + 1].there);
    expect(BACK "vbd/%/51712/state", NULL, 0, 0);
    id++;
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    end();
}

/* ---- attach, detach ---- */

static void test_a_disk_comes_and_goes(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    struct device_at at;

    start();
    create();
    d.read_only = true;
    CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), 0);
    expect(BACK "vbd/%/51728/mode", "r", 0, id);
    expect(BACK "vbd/%/51728/discard-enable", "0", 0, id);
    expect_config(2, 1);
    CU_ASSERT_STRING_EQUAL(config.disk[1].target, "/dev/vg/data");
    failed(devices_attach_disk(&t, id, &d), EEXIST, ": it has a vbd 51728 (xvdb)");
    at = find("vbd", 51728);
    backends = SLEEP; /* the guest holds it */
    failed(devices_detach(&t, id, &at, false), ETIMEDOUT, "vbd 51728 (xvdb) does not close");
    expect(BACK "vbd/%/51728/online", "0", 0, id);
    expect(BACK "vbd/%/51728/state", "5", 0, id);
    expect(FRONT "vbd/51728/state", "1", id, 0);
    expect_config(2, 1);
    backends = SERVE;
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    expect(BACK "vbd/%/51728/state", NULL, 0, 0);
    expect(FRONT "vbd/51728/state", NULL, 0, 0);
    expect("/libxl/%/device/vbd/51728/frontend", NULL, 0, 0);
    expect(BACK "vbd/%/51712/state", "2", 0, id);
    expect_config(1, 1);
    end();
}

static void test_a_device_is_detached_by_force(void)
{
    struct device_at at;

    start();
    create();
    at = find("vbd", 51712);
    backends = SLEEP;
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, true), 0);
    expect(FRONT "vbd/51712/state", NULL, 0, 0);
    expect_config(0, 1);
    end();
}

static void test_an_interface_gets_the_next_number(void)
{
    struct config_vif v = { .devid = UINT32_MAX, .has_mac = true, .mac = { 2, 0, 0, 0, 0, 9 } };
    struct device_at at;
    uint8_t mac[6];

    start();
    create();
    CU_ASSERT_EQUAL(devices_attach_vif(&t, id, &v), 0);
    expect(FRONT "vif/1/mac", "02:00:00:00:00:09", id, 0);
    expect_config(1, 2);
    CU_ASSERT_EQUAL(config.vif[1].devid, 1);
    at = find("vif", 1);
    CU_ASSERT_TRUE(devices_read_mac(&t, at.frontend, mac) && memcmp(mac, v.mac, 6) == 0);
    write_node(at.frontend, "mac", "02:00:00:00:00:0g");
    CU_ASSERT_FALSE(devices_read_mac(&t, at.frontend, mac));
    CU_ASSERT_EQUAL(devices_attach_vif(&t, id, &v), 0);
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    expect_config(1, 2);
    CU_ASSERT_EQUAL(config.vif[1].devid, 2);
    end();
}

static void test_an_attachment_that_fails_leaves_nothing(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    unsigned int nr;

    start();
    create();
    nr = machine_nr_nodes();
    backends = SLEEP;
    failed(devices_attach_disk(&t, id, &d), ETIMEDOUT, "nobody in domain 0 serves it");
    CU_ASSERT_EQUAL(machine_nr_nodes(), nr);
    expect_config(1, 1);
    end();
}

static void (*meanwhile)(void);
static unsigned int which_transaction;

/* At that one of an attachment. */
static void others_act(void)
{
    if (--which_transaction == 0) {
        machine_at_transaction = NULL;
        meanwhile();
    }
}

static void it_is_destroyed(void)
{
    struct toolstack other = t;

    CU_ASSERT_EQUAL(guest_destroy(&other, id), 0);
}

/* Somebody who has removed its devices, and is about to remove its nodes. */
static void it_is_dying(void) { machine[id].flags |= XEN_DOMINF_dying; }

/* The nodes of the device are the first transaction, its configuration is the second. */
static void test_a_domain_ends_while_one_is_attached(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");

    for (unsigned int n = 1; n <= 2; n++) {
        start();
        create();
        meanwhile = it_is_destroyed;
        which_transaction = n;
        machine_at_transaction = others_act;
        CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), -1);
        CU_ASSERT_PTR_NULL(machine_at_transaction);
        no_nodes();
        end();
        start();
        create();
        meanwhile = it_is_dying;
        which_transaction = n;
        machine_at_transaction = others_act;
        failed(devices_attach_disk(&t, id, &d), ESRCH, "it is being destroyed");
        expect(BACK "vbd/%/51728", NULL, 0, 0);
        end();
    }
}

static void test_a_configuration_is_full(void)
{
    struct config_disk d = disk("xvdb", "/");
    unsigned int nr;
    int rc;

    start();
    memset(config.cmdline, 'c', sizeof(config.cmdline) - 1);
    create();
    memset(d.target + 1, 'x', 250);
    do {
        nr = machine_nr_nodes();
        d.target[1] = ++d.vdev[3];
        rc = devices_attach_disk(&t, id, &d);
    } while (rc == 0 && d.vdev[3] < 'p');
    failed(rc, E2BIG, "too long to be kept");
    CU_ASSERT_EQUAL(machine_nr_nodes(), nr);
    expect_config((unsigned int)(d.vdev[3] - 'b'), 1);
    end();
}

/* Of one that is just short enough there is room for what it is given later: it is started again. */
static void test_a_configuration_that_just_fits(void)
{
    char name[CONFIG_NAME];
    size_t len = sizeof(config.cmdline);
    domid_t found;
    int rc;

    start();
    config.nr_disks = config.nr_vifs = 0;
    config.nr_vcpus = 1;
    config.max_vcpus = config.cpus.nr_vcpus = config.cpus_soft.nr_vcpus = 3;
    for (unsigned int v = 0; v < 3; v++)
        for (unsigned int i = 0; i < 4; i++)
            config.cpus.vcpu[v].word[i] = config.cpus_soft.vcpu[v].word[i] = 0x5555555555555555u
                                                                             << (v & 1);
    memset(config.cmdline, 'c', sizeof(config.cmdline) - 1);
    do {
        config.cmdline[--len] = '\0';
        rc = guest_create(&t, &config, &id);
    } while (rc && errno == E2BIG && len);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    CU_ASSERT_TRUE(len > 100 && len < sizeof(config.cmdline) - 1);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CU_ASSERT_EQUAL(guest_rename(&t, id, name), 0);
    machine[id].weight = 65535;
    machine[id].cap = 300;
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_TRUE(guest_find(&t, name, &found) == 0 && found != id && machine[found].flags == 0);
    end();
}

/* Of a domain that another toolstack made nothing is kept. */
static void test_a_domain_of_another_toolstack(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    struct device_at at;

    start();
    create();
    xs_rm(t.store, XBT_NULL, fill("/libxl/%/config"));
    CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), 0);
    at = find("vbd", 51728);
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    CU_ASSERT_PTR_NULL(node("/libxl/%/config"));
    end();
}

/* ---- each call fails ---- */

static void test_creation_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool had;

    do {
        int rc;

        start();
        with_loop = wants_connection = true;
        machine_fail_at(++n);
        rc = guest_create(&t, &config, &id);
        had = machine_fail_at(0);
        if (rc) {
            no_nodes();
            CU_ASSERT_EQUAL(machine_free(), nr_free);
        }
        end();
    } while (had);
    CU_ASSERT_TRUE(n > 100);
}

static void test_destruction_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool had;

    do {
        int rc;

        start();
        with_loop = true;
        create();
        machine_fail_at(++n);
        rc = guest_destroy(&t, id);
        had = machine_fail_at(0);
        if (rc)
            CU_ASSERT_EQUAL(guest_destroy(&t, id), 0); /* it can be done again */
        no_nodes();
        end();
    } while (had);
    CU_ASSERT_TRUE(n > 20);
}

static void test_transactions_are_repeated(void)
{
    start();
    machine_conflicts = 3;
    create();
    machine_conflicts = 2;
    end();
    CU_ASSERT_EQUAL(machine_conflicts, 0);
}

static void test_transactions_are_not_repeated_for_ever(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");

    start();
    create();
    machine_conflicts = 1001;
    failed(devices_attach_disk(&t, id, &d), EAGAIN, "its devices in the store");
    CU_ASSERT_EQUAL(machine_conflicts, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, "was changed 1000 times"));
    machine_conflicts = 0;
    expect_config(1, 1);
    expect(FRONT "vbd/51728", NULL, 0, 0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("devices_change", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_backends_close_before_the_domain_goes);
    T(test_a_backend_has_left_without_a_word);
    T(test_a_backend_that_does_not_close_keeps_nothing);
    T(test_devices_come_again_with_a_restart);
    T(test_who_is_renamed_gives_its_devices_up);
    T(test_a_disk_comes_and_goes);
    T(test_a_device_is_detached_by_force);
    T(test_an_interface_gets_the_next_number);
    T(test_an_attachment_that_fails_leaves_nothing);
    T(test_a_domain_ends_while_one_is_attached);
    T(test_a_configuration_is_full);
    T(test_a_configuration_that_just_fits);
    T(test_a_domain_of_another_toolstack);
    T(test_creation_fails_at_each_call);
    T(test_destruction_fails_at_each_call);
    T(test_transactions_are_repeated);
    T(test_transactions_are_not_repeated_for_ever);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
