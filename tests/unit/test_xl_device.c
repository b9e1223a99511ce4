/* xl's commands for block devices and network interfaces, on the machine of xl_machine.h, whose backends do what they are to do. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xen/sched.h>
#include <xenstore.h>

#include "toolstack_machine.h"
#include "xl_machine.h"

#define DISKS "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n"
#define NETS \
    "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n"

static void guest_says(const char *leaf, const char *value)
{
    char path[96];

    snprintf(path, sizeof(path), "/local/domain/%u/device/%s", the_one(), leaf);
    CU_ASSERT_TRUE(xs_write(x.tools.store, XBT_NULL, path, value, (unsigned int)strlen(value)));
}

static void begin(void)
{
    start(NULL);
    nr_waits = 10; /* no domain ends */
}

static void test_lists_are_xls(void)
{
    begin();
    run("create -q guest.cfg \"disk=['/dev/a,,xvda']\" \"vif=['mac=00:16:3e:00:00:01']\"", 0, "",
        "");
    while (the_one() < 10) { /* of two digits */
        run("destroy web", 0, "", "");
        run("create -q guest.cfg \"disk=['/dev/a,,xvda']\" \"vif=['mac=00:16:3e:00:00:01']\"", 0,
            "", "");
    }
    run("block-list web", 0,
        DISKS "51712 0   %     1     -1     -1       /local/domain/0/backend/vbd/%/51712\n", "");
    run("network-list web", 0,
        NETS
        "0   0  00:16:3e:00:00:01     0     1     -1    -1/-1          /local/domain/0/backend/vif/%/0\n",
        "");
    guest_says("vbd/51712/state", "4");
    guest_says("vbd/51712/event-channel", "8");
    guest_says("vbd/51712/ring-ref", "1051");
    guest_says("vif/0/state", "\033[2J");
    guest_says("vif/0/tx-ring-ref", "522");
    guest_says("vif/0/rx-ring-ref", "523");
    guest_says("vif/0/mac", "\033");
    run("block-list web", 0,
        DISKS "51712 0   %     4     8      1051     /local/domain/0/backend/vbd/%/51712\n", "");
    run("network-list web", 0,
        NETS
        "0   0                        0    -1     -1   522/523         /local/domain/0/backend/vif/%/0\n",
        "");
    run("block-list none", 0, DISKS, "xl: none is an invalid domain identifier\n");
    run("network-list none", 1, NETS, "xl: none is an invalid domain identifier\n");
    CU_ASSERT_EQUAL(xl("block-list --json web"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "        \"vdev\": \"xvda\",\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "        \"params\": \"/dev/a\",\n"));
    CU_ASSERT_EQUAL(xl("network-list --json web"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "        \"rx_ring_ref\": 523,\n"));
    end();
}

static void test_a_disk_is_attached_and_detached(void)
{
    begin();
    run("create -q guest.cfg", 0, "", "");
    run("block-attach web phy:/dev/b,xvdb,r", 0, "", "");
    expect_node("device/vbd/51728/virtual-device", "51728");
    run("block-attach web vdev=xvdb farget=/dev/b", 1, "",
        "block-attach: disk: 'farget=/dev/b' is no parameter of a disk\n");
    CU_ASSERT_EQUAL(xl("block-attach web vdev=xvdb,target=/dev/b"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, ": it has a vbd 51728 (xvdb)\n"));
    CU_ASSERT_EQUAL(xl("block-attach web vdev=xvdc,backendtype=qdisk,target=/dev/c"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, "disk xvdc: backendtype qdisk is not served\n"));
    run("block-attach web vdev=xvdc format=raw target=/dev/c", 0, "", "");
    CU_ASSERT_EQUAL(xl("list -l web"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"pdev_path\": \"/dev/c\",\n"));
    run("block-detach web xvdd", 1, "", "Error: Device xvdd not connected.\n");
    run("block-detach web nonsense", 1, "", "Error: Device nonsense not connected.\n");
    run("block-detach web xvdb", 0, "", "");
    run("block-detach -f web 51744", 0, "", "");
    run("block-list web", 0, DISKS, "");
    CU_ASSERT_EQUAL(xl("list -l web"), 0);
    CU_ASSERT_PTR_NULL(strstr(x.out.bytes, "/dev/c"));
    CU_ASSERT_EQUAL(xl("block-attach web"), 2);
    end();
}

static void test_an_interface_is_attached_and_detached(void)
{
    begin();
    run("create -q guest.cfg", 0, "", "");
    run("network-attach web", 0, "", "");
    run("network-attach web mac=00:16:3e:00:00:09 bridge=br1 rate=1Mb/s", 0, "", "");
    expect_node("device/vif/1/mac", "00:16:3e:00:00:09");
    run("network-attach web brigde=br1", 1, "",
        "network-attach: vif: 'brigde=br1' is no parameter of a vif\n");
    run("network-detach web 7", 1, "", "Unknown device 7.\n");
    run("network-detach web 00:16:3e:00:00:77", 1, "", "Unknown device 00:16:3e:00:00:77.\n");
    run("network-detach web x", 1, "", "Unknown device x.\n");
    run("network-detach web 00:16:3E:00:00:09", 0, "", "");
    run("network-detach web 0", 0, "", "");
    run("network-list web", 0, NETS, "");
    end();
}

static void test_dry_runs(void)
{
    begin();
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_EQUAL(xl("-N block-attach web /dev/b,,xvdb"), 0);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "disk: {\n    \"pdev_path\": \"/dev/b\",\n", 35), 0);
    CU_ASSERT_EQUAL(xl("-N network-attach web bridge=b"), 0);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "vif: {\n    \"bridge\": \"b\",\n", 26), 0);
    run("block-list web", 0, DISKS, "");
    end();
}

static void test_devices_of_a_restarted_guest(void)
{
    domid_t id;

    begin();
    run("create -q guest.cfg", 0, "", "");
    run("block-attach web /dev/b,,xvdb", 0, "", "");
    id = ends(SHUTDOWN_reboot, 1);
    CU_ASSERT_TRUE(id != 0);
    expect_node("device/vbd/51728/virtual-device", "51728");
    end();
}

/* Whatever fails, it is gone, or it runs on. */
static void test_what_cannot_be_destroyed_is_not_left_paused(void)
{
    bool failed = true;
    unsigned int nr_there = 0;

    for (unsigned int n = 1; failed; n++) {
        domid_t id;

        begin();
        run("create -q guest.cfg \"disk=['/dev/a,,xvda']\"", 0, "", "");
        id = the_one();
        machine_fail_at(n);
        guest_destroy(&x.tools, id);
        failed = machine_fail_at(0);
        if (machine[id].there) {
            CU_ASSERT_EQUAL(machine[id].pauses, 0);
            nr_there++;
        }
        CU_ASSERT_TRUE(guest_destroy(&x.tools, id) == 0 || errno == ESRCH);
        CU_ASSERT_FALSE(machine[id].there);
        end();
    }
    CU_ASSERT_TRUE(nr_there > 0);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl_device", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_lists_are_xls);
    T(test_a_disk_is_attached_and_detached);
    T(test_an_interface_is_attached_and_detached);
    T(test_dry_runs);
    T(test_devices_of_a_restarted_guest);
    T(test_what_cannot_be_destroyed_is_not_left_paused);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
