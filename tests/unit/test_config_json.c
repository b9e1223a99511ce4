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
    config_json(&(struct json){ .out = &json }, NULL, &config);
    CU_ASSERT_EQUAL(config_from_json(&again, json.bytes, json.len_bytes, wrong, sizeof(wrong)), 0);
    CU_ASSERT_EQUAL(memcmp(&again, &config, sizeof(config)), 0);
    text_free(&json);
}

static void test_what_is_wrong(void)
{
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096}}"), "");
    CU_ASSERT_STRING_EQUAL(wrong_with(HEAD "\"max_memkb\": 4096}, \"disks\": [{\"a\": 1}]}"),
                           "it has devices, which are not served yet");
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
    CU_add_test(s, "test_what_is_wrong", test_what_is_wrong);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
