/* xl save, restore and dump-core on a machine in memory: what they ask the library for. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/sched.h>
#include <xenstore.h>

#include "toolstack_machine.h"
#include "xl_machine.h"

static void test_save_and_restore(void)
{
    domid_t id;

    start(NULL);
    run("save web /file", 1, "", "xl: web is an invalid domain identifier\n");
    run("restore /file", 1, "", "xl: /file: it ends too early\n");
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_EQUAL_FATAL(guest_find(&x.tools, "web", &id), 0);
    run("save web /file", 0, "", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "to /file then 0: {"));
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "\"name\": \"web\",\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "\"kernel\": \"/kernel\""));
    run("save -c web /file", 0, "", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "then 1"));
    run("save -p web /file guest.cfg", 0, "", "Parsing config from guest.cfg\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "then 2"));
    run("save web /full", 1, "", "xl: /full: no room\n");
    run("save -D web /file", 1, "", "xl: save: -D is not served\n");
    run("save web /file no.cfg", 1, "",
        "Failed to read config file: no.cfg: No such file or directory\n");
    run("pause web", 0, "", "");
    run("restore -p /file", 0, "", "");
    CU_ASSERT_STRING_EQUAL(wanted, "restore /file with nothing");
    CU_ASSERT_EQUAL(machine[id].pauses, 1);
    run("restore -e guest.cfg /file", 0, "", "Parsing config from guest.cfg\n");
    CU_ASSERT_STRING_EQUAL(wanted, "restore /file with web");
    CU_ASSERT_EQUAL(machine[id].pauses, 0);
    run("restore -F /file", 1, "", "xl: -F is not served here\n");
    CU_ASSERT_STRING_EQUAL(wanted, "restore /file with web"); /* it was not tried */
    end();
}

/* A file says nothing of an address that was made up. */
static void test_a_given_configuration_keeps_addresses(void)
{
    const struct machine_node *mac;
    char path[80], want[40];

    start(NULL);
    config_text = "name='web'\nkernel='/kernel'\nmemory=8\nvif=['']\n";
    run("create -q guest.cfg", 0, "", "");
    snprintf(path, sizeof(path), "/local/domain/%u/device/vif/0/mac", the_one());
    mac = machine_node(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mac);
    snprintf(want, sizeof(want), "\"mac\": \"%.17s\"", mac->value);
    run("save web /file guest.cfg", 0, "", "Parsing config from guest.cfg\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, want));
    end();
}

/* What Debian's xl keeps with its domains is read, and followed: who has devices that are not served is not saved. */
static void test_a_domain_of_others(void)
{
    char path[40];
    domid_t id;

    start(NULL);
    run("create -q guest.cfg", 0, "", "");
    id = the_one();
    snprintf(path, sizeof(path), "/libxl/%u/config", id);
    CU_ASSERT_TRUE(xs_rm(x.tools.store, XBT_NULL, path));
    CU_ASSERT_EQUAL(xl("save web /file"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, "its configuration: No such file"));
    others_text = "{\"c_info\": {\"type\": \"pv\", \"name\": \"old\"}, "
                  "\"b_info\": {\"kernel\": \"/its\", \"max_memkb\": 4096}, \"unknown\": 1}";
    run("save web /file", 0, "", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "\"kernel\": \"/its\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "\"name\": \"web\",\n")); /* as it is now */
    CU_ASSERT_PTR_NULL(strstr(wanted, "unknown"));
    wanted[0] = '\0';
    others_text =
        "{\"c_info\": {\"type\": \"pv\", \"name\": \"old\"}, \"b_info\": {\"kernel\": \"/its\", "
        "\"max_memkb\": 4096}, \"vtpms\": [{\"devid\": 0}]}";
    CU_ASSERT_EQUAL(xl("save web /file"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, "it has devices that are not served"));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, "userdata-d."));
    CU_ASSERT_EQUAL(xl("save web /file guest.cfg"), 1); /* nor as something else */
    CU_ASSERT_STRING_EQUAL(wanted, "");
    others_text = NULL;
    run("save web /file guest.cfg", 0, "", "Parsing config from guest.cfg\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(wanted, "\"kernel\": \"/kernel\""));
    end();
}

static char heeded[64];
static void heed(bool on) { strcat(heeded, on ? "+" : "-"); }

/* Only while something is done that can be half-done. */
static void test_interrupts(void)
{
    static const struct xl_home home = { .heed_interrupts = heed };

    start(&home);
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_STRING_EQUAL(heeded, "+-");
    heeded[0] = '\0';
    run("save web /full", 1, "", "xl: /full: no room\n");
    CU_ASSERT_STRING_EQUAL(heeded, "+-");
    run("dump-core web /file", 0, "", "");
    CU_ASSERT_STRING_EQUAL(heeded, "+-+-");
    run("restore -p /file", 0, "", "");
    CU_ASSERT_STRING_EQUAL(heeded, "+-+-+-");
    end();
}

/* Without a core it goes on as well. */
static void test_cores(void)
{
    char expected[80];
    domid_t first, second;

    start(NULL);
    config_text = "name = 'web'\nkernel = '/kernel'\nmemory = 8\non_crash = 'coredump-restart'\n"
                  "on_watchdog = 'coredump-destroy'";
    run("create -q guest.cfg", 0, "", "");
    first = the_one();
    run("dump-core web /file", 0, "", "");
    snprintf(expected, sizeof(expected), "core of %u to /file", first);
    CU_ASSERT_STRING_EQUAL(wanted, expected);
    second = ends(SHUTDOWN_crash, 1);
    CU_ASSERT_NOT_EQUAL(first, second);
    snprintf(expected, sizeof(expected), "core of %u to /var/lib/xen/dump/web", first);
    CU_ASSERT_STRING_EQUAL(wanted, expected);
    machine[second].flags = XEN_DOMINF_shutdown | SHUTDOWN_watchdog << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 1);
    CU_ASSERT_FALSE(machine[second].there);
    snprintf(expected, sizeof(expected), "core of %u to /var/lib/xen/dump/web", second);
    CU_ASSERT_STRING_EQUAL(wanted, expected);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl_save", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_save_and_restore);
    T(test_a_given_configuration_keeps_addresses);
    T(test_a_domain_of_others);
    T(test_interrupts);
    T(test_cores);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
