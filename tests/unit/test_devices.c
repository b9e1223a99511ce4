/*
 * dom0-tools/lib/devices.h: both ends of block devices and network interfaces in the store of a machine in memory, with
 * backends that do what the test wants while the toolstack waits.
 */
#include "devices_fixture.h"

/* ---- numbers ---- */

static void test_numbers_of_devices(void)
{
    static const struct {
        const char *name;
        uint32_t number;
    } known[] = { { "xvda", 51712 },       { "xvda1", 51713 },      { "xvda15", 51727 },
                  { "xvda16", 268435472 }, { "xvdb3", 51731 },      { "xvdp", 51952 },
                  { "xvdq", 268439552 },   { "xvdz", 268441856 },   { "xvdaa", 268442112 },
                  { "xvdzz7", 268614919 }, { "hda", 768 },          { "hdb1", 833 },
                  { "hdc", 5632 },         { "hdd", 5696 },         { "sda", 2048 },
                  { "sdb2", 2066 },        { "sdp15", 2048 + 255 }, { "4097", 4097 } };
    static const char *const none[] = { "",      "xvd",       "sdq",    "sda16",      "hde",
                                        "hda64", "xvda256",   "xvdA",   "xvda1x",     "d",
                                        "d1p",   "d1p256",    "d0p1p1", "4294967296", "-1",
                                        "0x10",  "xvdaaaaaaa" };
    static const struct {
        const char *name, *plain;
    } same[] = { { "xvdc", "d2" }, { "xvdc5", "d2p5" }, { "xvdq", "d16" }, { "xvda16", "d0p16" } };
    char name[VDEV_NAME];
    uint32_t n, other;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        CU_ASSERT_TRUE(vdev_number(known[i].name, &n));
        CU_ASSERT_EQUAL(n, known[i].number);
        vdev_name(n, name);
        CU_ASSERT_STRING_EQUAL(name, known[i].name);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CU_ASSERT_FALSE(vdev_number(none[i], &n));
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        CU_ASSERT_TRUE(vdev_number(same[i].name, &n) && vdev_number(same[i].plain, &other));
        CU_ASSERT_EQUAL(n, other);
    }
    vdev_name(UINT32_MAX, name);
    CU_ASSERT_STRING_EQUAL(name, "4294967295");
    vdev_name(0x1fffffff, name);
    CU_ASSERT_TRUE(vdev_number(name, &n) && n == 0x1fffffff);
}

/* ---- creation ---- */

static void test_a_disk_is_laid_out_as_libxl_has_it(void)
{
    start();
    create();
    expect(FRONT "vbd/51712", "", id, 0);
    expect(FRONT "vbd/51712/backend", BACK "vbd/%/51712", id, 0);
    expect(FRONT "vbd/51712/backend-id", "0", id, 0);
    expect(FRONT "vbd/51712/state", "1", id, 0);
    expect(FRONT "vbd/51712/virtual-device", "51712", id, 0);
    expect(FRONT "vbd/51712/device-type", "disk", id, 0);
    expect(FRONT "vbd/51712/trusted", "1", id, 0);
    expect(BACK "vbd/%/51712", "", 0, id);
    expect(BACK "vbd/%/51712/frontend", FRONT "vbd/51712", 0, id);
    expect(BACK "vbd/%/51712/frontend-id", "1", 0, id);
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    expect(BACK "vbd/%/51712/online", "1", 0, id);
    expect(BACK "vbd/%/51712/removable", "0", 0, id);
    expect(BACK "vbd/%/51712/bootable", "1", 0, id);
    expect(BACK "vbd/%/51712/dev", "xvda", 0, id);
    expect(BACK "vbd/%/51712/type", "phy", 0, id);
    expect(BACK "vbd/%/51712/mode", "w", 0, id);
    expect(BACK "vbd/%/51712/device-type", "disk", 0, id);
    expect(BACK "vbd/%/51712/discard-enable", "1", 0, id);
    expect(BACK "vbd/%/51712/state", "2", 0, id);
    expect(BACK "vbd/%/51712/physical-device", NULL, 0, 0);
    expect("/libxl/%/device/vbd/51712", "", 0, -1);
    expect("/libxl/%/device/vbd/51712/backend", BACK "vbd/%/51712", 0, -1);
    expect("/libxl/%/device/vbd/51712/frontend", FRONT "vbd/51712", 0, -1);
    expect("/libxl/%/device/vbd/51712/params", "/dev/vg/root", 0, -1);
    end();
    CU_ASSERT_PTR_NULL(node(BACK "vbd/%"));
}

static void test_an_interface_is_laid_out_as_libxl_has_it(void)
{
    const struct machine_node *mac;
    struct config_vif *v;

    start();
    v = &config.vif[0];
    v->rate_bytes = 125000;
    v->rate_interval_us = 50000;
    strcpy(v->ip, "10.0.0.2");
    strcpy(v->vifname, "web0");
    v->mtu = 1400;
    wants_connection = true;
    create();
    mac = node(FRONT "vif/0/mac");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mac);
    CU_ASSERT_TRUE(strncmp(mac->value, "00:16:3e:", 9) == 0 && strlen(mac->value) == 17);
    CU_ASSERT_TRUE(v->has_mac);
    expect(FRONT "vif/0/handle", "0", id, 0);
    expect(FRONT "vif/0/mtu", "1400", id, 0);
    expect(BACK "vif/%/0/mac", mac->value, 0, id);
    expect(BACK "vif/%/0/rate", "6250,50000", 0, id);
    expect(BACK "vif/%/0/ip", "10.0.0.2", 0, id);
    expect(BACK "vif/%/0/vifname", "web0", 0, id);
    expect(BACK "vif/%/0/bridge", "xenbr0", 0, id);
    expect(BACK "vif/%/0/handle", "0", 0, id);
    expect(BACK "vif/%/0/type", "vif", 0, id);
    expect(BACK "vif/%/0/script", "/etc/xen/scripts/vif-bridge", 0, id);
    expect(BACK "vif/%/0/hotplug-status", "connected", 0, id);
    expect("/libxl/%/device/vif/0/hotplug-status", "", 0, -1);
    end();
}

static void test_an_address_that_was_made_up_is_kept(void)
{
    uint8_t mac[6];

    start();
    create();
    memcpy(mac, config.vif[0].mac, 6);
    expect_config(1, 1);
    CU_ASSERT_TRUE(config.vif[0].has_mac && memcmp(config.vif[0].mac, mac, 6) == 0);
    config.vif[0].has_mac = false; /* as in a file */
    memset(config.vif[0].mac, 0, 6);
    CU_ASSERT_EQUAL(guest_set_config(&t, id, &config), 0);
    expect_config(1, 1);
    CU_ASSERT_TRUE(memcmp(config.vif[0].mac, mac, 6) == 0);
    end();
}

static void test_a_file_has_a_loop_device_while_it_is_served(void)
{
    start();
    with_loop = true;
    create();
    expect(BACK "vbd/%/51712/node", "/dev/loop3", 0, id);
    expect(BACK "vbd/%/51712/physical-device", "7:3", 0, id);
    expect(BACK "vbd/%/51712/physical-device-path", "/dev/loop3", 0, id);
    expect(BACK "vbd/%/51712/hotplug-status", "connected", 0, id);
    CU_ASSERT_EQUAL(nr_loops_ended, 0);
    end();
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
}

static void test_what_is_not_served_is_refused_by_name(void)
{
    start();
    config.disk[0].format = CONFIG_QCOW2;
    refused(ENOTSUP, "disk xvda: format qcow2 is not served yet");
    config.disk[0].format = CONFIG_RAW;
    config.disk[0] = disk("sdq", "/dev/sdb");
    refused(EINVAL, "disk sdq: there is no such device");
    config.disk[0] = disk("hdc", "");
    refused(ENOTSUP, "disk hdc: a drive without a disk is not served");
    config.disk[0] = disk("xvda", "/dev/sdb");
    config.disk[config.nr_disks++] = disk("51712", "/dev/sdc");
    refused(EINVAL, "disk 51712: that is the same device as xvda");
    config.nr_disks--;
    config.disk[0] = disk("xvda", "/none");
    refused(ENOENT, "/none: not there");
    config.disk[0] = disk("xvda", "/dev/sdb");
    strcpy(config.disk[0].backend, "storage");
    refused(ESRCH, "storage");
    config.disk[0].backend[0] = '\0';
    strcpy(config.vif[0].gateway, "eth0");
    refused(ENOTSUP, "vif 0: gatewaydev is not served");
    end();
}

static void test_a_backend_that_does_not_begin_leaves_nothing(void)
{
    start();
    with_loop = true;
    backends = SLEEP;
    refused(ETIMEDOUT, "vbd 51712 (xvda): nobody in domain 0 serves it");
    CU_ASSERT_TRUE(now_ns >= DEVICES_WAIT_S * 1000000000ull);
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
    end();
}

static bool yes(void) { return true; }

static void test_a_user_who_wants_an_end_leaves_nothing(void)
{
    start();
    t.interrupted = yes;
    refused(EINTR, "interrupted");
    end();
}

static void test_a_backend_says_why_it_does_not_begin(void)
{
    start();
    backends = FAIL;
    refused(EIO, "vbd 51712 (xvda): 2 reading script");
    end();
    start();
    backends = FAIL_BY_SCRIPT;
    refused(EIO, "vbd 51712 (xvda): no?luck");
    end();
    start();
    backends = VANISH;
    refused(ENODEV, "vbd 51712 (xvda): its backend's nodes have gone");
    end();
    start();
    strcpy(config.vif[0].bridge, "none");
    refused(ENODEV, "there is no bridge none");
    end();
}

static void test_a_disk_has_one_writer(void)
{
    domid_t other;

    start();
    create();
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    failed(guest_create(&t, &config, &other), EBUSY,
           "disk xvda: /dev/vg/root is in use by domain ");
    config.disk[0].read_only = true;
    failed(guest_create(&t, &config, &other), EBUSY, "in use by domain");
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_EQUAL(guest_create(&t, &config, &id), 0);
    strcpy(config.name, "third");
    CU_ASSERT_EQUAL(guest_create(&t, &config, &other), 0); /* both only read it */
    end();
}

/* The class is the backend's alone: for the domain it is a disk as others. */
static void test_a_disk_of_a_program(void)
{
    domid_t other;

    start();
    config.disk[0].backend_type = CONFIG_BACKEND_QDISK;
    create();
    expect(FRONT "vbd/51712/backend", BACK "qdisk/%/51712", id, 0);
    expect(BACK "qdisk/%/51712/frontend", FRONT "vbd/51712", 0, id);
    expect(BACK "qdisk/%/51712/params", "aio:/dev/vg/root", 0, id);
    expect(BACK "qdisk/%/51712/type", "qdisk", 0, id);
    expect(BACK "vbd/%/51712", NULL, 0, id);
    CU_ASSERT_STRING_EQUAL(find("vbd", 51712).backend, fill(BACK "qdisk/%/51712"));
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    config.disk[0].backend_type = CONFIG_BACKEND_ANY;
    failed(guest_create(&t, &config, &other), EBUSY, "/dev/vg/root is in use by domain ");
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    no_nodes();
    CU_ASSERT_EQUAL(guest_create(&t, &config, &id), 0);
    config.disk[0].backend_type = CONFIG_BACKEND_QDISK;
    strcpy(config.name, "third");
    failed(guest_create(&t, &config, &other), EBUSY, "/dev/vg/root is in use by domain ");
    end();
}

/* Each domain has a loop device of its own for it. */
static void test_a_file_has_one_writer(void)
{
    domid_t other;

    start();
    with_loop = true;
    create();
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    failed(guest_create(&t, &config, &other), EBUSY,
           "disk xvda: /dev/vg/root is in use by domain ");
    CU_ASSERT_EQUAL(next_loop, 5);
    strcpy(config.disk[0].target, "/dev/vg/other");
    CU_ASSERT_EQUAL(guest_create(&t, &config, &other), 0);
    end();
}

/* Somebody has it between the look and the nodes. */
static void other_takes_the_disk(void)
{
    static const char home[] = "/local/domain/0/backend/vbd/399/51712";

    if (machine_nr_nodes() == 0)
        return; /* the domain's come first */
    write_node(home, "params", "/dev/vg/root");
    write_node(home, "mode", "w");
    write_node(home, "state", "1");
}

static void test_two_creations_at_once(void)
{
    start();
    with_loop = true;
    config.nr_vifs = 0;
    machine_at_transaction = other_takes_the_disk;
    failed(guest_create(&t, &config, &id), EBUSY, "/dev/vg/root is in use by domain 399");
    machine_at_transaction = NULL;
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
    xs_rm(t.store, XBT_NULL, "/local/domain/0/backend/vbd/399");
    no_nodes();
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("devices", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_numbers_of_devices);
    T(test_a_disk_is_laid_out_as_libxl_has_it);
    T(test_an_interface_is_laid_out_as_libxl_has_it);
    T(test_an_address_that_was_made_up_is_kept);
    T(test_a_file_has_a_loop_device_while_it_is_served);
    T(test_what_is_not_served_is_refused_by_name);
    T(test_a_disk_of_a_program);
    T(test_a_backend_that_does_not_begin_leaves_nothing);
    T(test_a_user_who_wants_an_end_leaves_nothing);
    T(test_a_backend_says_why_it_does_not_begin);
    T(test_a_disk_has_one_writer);
    T(test_a_file_has_one_writer);
    T(test_two_creations_at_once);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
