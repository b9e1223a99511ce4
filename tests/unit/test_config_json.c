/* A domain's configuration as JSON, ours and that of Debian's xl, read again: the same, or what is wrong with it. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/json.h"

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

static struct domain_config config;

static const char *wrong_with(const char *text)
{
    static char wrong[80];

    wrong[0] = '\0';
    CU_ASSERT_EQUAL(config_from_json(&config, text, strlen(text), wrong, sizeof(wrong)),
                    wrong[0] ? -EINVAL : 0);
    return wrong;
}

#define HEAD "{\"c_info\": {\"type\": \"pv\", \"name\": \"x\"}, \"b_info\": {\"kernel\": \"k\", "

#define DISK HEAD "\"max_memkb\": 4096}, \"disks\": ["
#define VIF HEAD "\"max_memkb\": 4096}, \"nics\": ["

/* As Debian's xl has it in its file. */
static void test_devices_of_libxl(void)
{
    static const struct config_disk disk = {
        .target = "/dev/vg/web", .vdev = "xvda", .discard = true, .trusted = true
    };
    static const struct config_vif vif = { .has_mac = true,
                                           .mac = { 0, 0x16, 0x3e, 0, 0, 9 },
                                           .trusted = true,
                                           .devid = 2,
                                           .bridge = "xenbr0",
                                           .rate_bytes = 125000,
                                           .rate_interval_us = 50000 };

    CU_ASSERT_STRING_EQUAL(
        wrong_with(HEAD
                   "\"max_memkb\": 4096}, \"disks\": [{\"pdev_path\": \"/dev/vg/web\", \"vdev\": "
                   "\"xvda\", \"format\": \"raw\", \"readwrite\": 1, \"colo_restore_enable\": "
                   "\"False\"}], \"nics\": [{\"devid\": 2, \"mac\": \"00:16:3e:00:00:09\", "
                   "\"bridge\": \"xenbr0\", \"nictype\": \"vif\", \"rate_bytes_per_interval\": "
                   "6250, \"rate_interval_usecs\": 50000}]}"),
        "");
    CU_ASSERT_TRUE(config.nr_disks == 1 && memcmp(&config.disk[0], &disk, sizeof(disk)) == 0);
    CU_ASSERT_TRUE(config.nr_vifs == 1 && memcmp(&config.vif[0], &vif, sizeof(vif)) == 0);
}

static void test_read_again(void)
{
    static struct domain_config again;
    struct text json = { 0 };
    char wrong[80];

    CU_ASSERT_STRING_EQUAL_FATAL(wrong_with(HEAD "\"max_memkb\": 4096, \"max_vcpus\": 2}}"), "");
    config.weight = 300;
    config.on_crash = CONFIG_COREDUMP_DESTROY;
    config.cpus.nr_vcpus = 2;
    config.cpus.vcpu[0].word[0] = 5;
    config.cpus.vcpu[1].word[1] = 1;
    strcpy(config.cmdline, "a \"b\" \\ c");
    config.nr_channels = 2;
    strcpy(config.channel[0].name, "org.a");
    config.channel[1].connection = CONFIG_SOCKET;
    strcpy(config.channel[1].name, "b");
    strcpy(config.channel[1].path, "/b");
    strcpy(config.channel[1].backend, "drv");
    config.nr_disks = 2;
    config.disk[0] = (struct config_disk){
        .target = "/a", .vdev = "xvda", .script = "block", .direct_io_safe = true, .trusted = true
    };
    config.disk[1] = (struct config_disk){ .vdev = "hdc",
                                           .backend = "storage",
                                           .format = CONFIG_QCOW2,
                                           .backend_type = CONFIG_BACKEND_QDISK,
                                           .read_only = true,
                                           .cdrom = true,
                                           .discard = true };
    config.nr_vifs = 2;
    config.vif[0] = (struct config_vif){ .has_mac = true,
                                         .mac = { 2, 1, 2, 3, 4, 5 },
                                         .mtu = 1400,
                                         .devid = 7,
                                         .bridge = "b",
                                         .vifname = "n",
                                         .ip = "10.0.0.1",
                                         .gateway = "g",
                                         .script = "s",
                                         .backend = "d",
                                         .rate_bytes = 125000000,
                                         .rate_interval_us = 20000 };
    config.vif[1] = (struct config_vif){ .trusted = true, .devid = 1 };
    config_json(&(struct json){ .out = &json }, NULL, &config);
    CU_ASSERT_EQUAL(config_from_json(&again, json.bytes, json.len_bytes, wrong, sizeof(wrong)), 0);
    CU_ASSERT_EQUAL(memcmp(&again, &config, sizeof(config)), 0);
    text_free(&json);
}

static void test_what_is_wrong(void)
{
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096}}"), "");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096}, \"pcidevs\": [{\"a\": 1}]}"),
                           "it has devices that are not served");
    CU_ASSERT_STRING_EQUAL(wrong_with(DISK "{\"pdev_path\": \"/x\"}]}"), "a disk has no vdev");
    CU_ASSERT_STRING_EQUAL(wrong_with(DISK "{\"vdev\": \"xvda,\"}]}"), "vdev");
    CU_ASSERT_STRING_EQUAL(wrong_with(DISK "{\"vdev\": \"xvda\", \"format\": \"x\"}]}"), "format");
    CU_ASSERT_STRING_EQUAL(wrong_with(DISK "{\"vdev\": \"xvda\", \"trusted\": \"x\"}]}"),
                           "trusted");
    CU_ASSERT_STRING_EQUAL(wrong_with(DISK "{\"backend_domid\": 3}]}"),
                           "backend_domid: by name only");
    CU_ASSERT_STRING_EQUAL(wrong_with(VIF "{\"mac\": \"1\"}]}"), "mac");
    CU_ASSERT_STRING_EQUAL(wrong_with(VIF "{\"rate_bytes_per_interval\": 5}]}"),
                           "rate_interval_usecs");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": -1}}"), "max_memkb");
#define CHANNEL(element) HEAD "\"max_memkb\": 4096}, \"channels\": [" element "]}"
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("{\"devid\": 0, \"name\": \"x\"}")), "");
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("{\"devid\": 1, \"name\": \"x\"}")), "channels");
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("{\"devid\": 0}")), "channels");
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("{\"name\": \"a,b\"}")), "channels");
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("{\"name\": \"a\\u0007\"}")), "channels");
    CU_ASSERT_STRING_EQUAL(
        wrong_with(CHANNEL("{\"name\": \"x\", \"connection.socket\": {\"path\": null}}")),
        "channels");
    CU_ASSERT_STRING_EQUAL(wrong_with(CHANNEL("1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1")),
                           "channels");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"tsc_mode\": \"fast\"}}"), "tsc_mode");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096, \"max_vcpus\": 65}}"),
                           "max_vcpus");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096, \"avail_vcpus\": [1]}}"),
                           "avail_vcpus");
    CU_ASSERT_STRING_EQUAL(wrong_with("{\"c_info\": {\"type\": \"hvm\"}}"),
                           "type: only pv is served");
    CU_ASSERT_STRING_EQUAL(wrong_with("{\"c_info\": {\"name\": \"a\\u000ab\"}}"), "name");
    CU_ASSERT_STRING_EQUAL(wrong_with("{\"a\": [1, 2"), "byte 11: a comma is missing");
    CU_ASSERT_STRING_EQUAL(wrong_with("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"), "byte 17: too deep");
    CU_ASSERT_STRING_EQUAL(wrong_with("\"a"), "byte 2: a string does not end");
    CU_ASSERT_STRING_EQUAL(wrong_with("1 2"), "byte 2: something stands behind it");
    CU_ASSERT_STRING_EQUAL(wrong_with(""), "byte 0: no value");
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("config_json", NULL, NULL);
    CU_add_test(s, "test_read_again", test_read_again);
    CU_add_test(s, "test_devices_of_libxl", test_devices_of_libxl);
    CU_add_test(s, "test_what_is_wrong", test_what_is_wrong);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
