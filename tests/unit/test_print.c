/*
 * dom0-tools/print.c, json.c, text.c by exact text. The tables were made by Debian's xl 4.17 of the same
 * domains: a library in the place of libxl gave it these.
 */
#include <CUnit/Basic.h>

#include "config_reader.h"
#include "../../dom0-tools/print.h"

static struct text text;
static struct json json;

static const char *const long_name = "a-name-that-is-much-longer-than-forty-characters-wide";

static struct xl_domain domain(unsigned int i)
{
    static const unsigned int ids[] = { 0, 1, 12345, 7 };
    static const unsigned int states_of[] = { XL_RUNNING, XL_BLOCKED, XL_PAUSED | XL_DYING,
                                              XL_SHUTDOWN | XL_CRASHED };
    const char *const names[] = { "Domain-0", "web", long_name, "crashed" };
    struct xl_domain d = { .id = ids[i],
                           .name = names[i],
                           .pool = "Pool-0",
                           .memory_kib = 262144 + i * 1000,
                           .max_memory_kib = 524288,
                           .nr_vcpus = i + 1,
                           .max_vcpus = i + 1,
                           .state = states_of[i],
                           .shutdown_reason = 3,
                           .cpu_time_ns = 1234567890123u * (i + 1) / 7,
                           .uptime_s = ids[i] * 90061u + 59,
                           .weight = 256 * (ids[i] + 1),
                           .cap_percent = 50 * ids[i] };

    for (unsigned int k = 0; k < 16; k++)
        d.uuid[k] = (uint8_t)(k * 16 + i);
    return d;
}

static void start(void)
{
    text_free(&text);
    json = (struct json){ .out = &text };
}

/* ---- tables ---- */

static void print_all(unsigned int options)
{
    start();
    print_list_head(&text, options);
    for (unsigned int i = 0; i < 4; i++) {
        struct xl_domain d = domain(i);

        print_list(&text, options, &d);
    }
}

static void test_list(void)
{
    print_all(0);
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
        "Domain-0                                     0   256     1     r-----     176.4\n"
        "web                                          1   256     2     -b----     352.7\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345   257     3     --p--d     529.1\n"
        "crashed                                      7   258     4     ---sc-     705.5\n");
}

static void test_list_with_options(void)
{
    print_all(LIST_VERBOSE);
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n"
        "Domain-0                                     0   256     1     r-----     176.4 00102030-4050-6070-8090-a0b0c0d0e0f0        -                -\n"
        "web                                          1   256     2     -b----     352.7 01112131-4151-6171-8191-a1b1c1d1e1f1        -                -\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345   257     3     --p--d     529.1 02122232-4252-6272-8292-a2b2c2d2e2f2        -                -\n"
        "crashed                                      7   258     4     ---sc-     705.5 03132333-4353-6373-8393-a3b3c3d3e3f3        3                -\n");
    print_all(LIST_POOL | LIST_NODES);
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "Name                                        ID   Mem VCPUs\tState\tTime(s)         Cpupool NODE Affinity\n"
        "Domain-0                                     0   256     1     r-----     176.4          Pool-0 all\n"
        "web                                          1   256     2     -b----     352.7          Pool-0 all\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345   257     3     --p--d     529.1          Pool-0 all\n"
        "crashed                                      7   258     4     ---sc-     705.5          Pool-0 all\n");
    start();
    print_list_head(&text, LIST_CONTEXT);
    print_list(&text, LIST_CONTEXT, &(struct xl_domain){ .name = "" });
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "Name                                        ID   Mem VCPUs\tState\tTime(s)   Security Label\n"
        "(null)                                       0     0     0     ------       0.0                -\n");
}

static void test_times_are_rounded(void)
{
    static const uint64_t ns[] = { 0,         49999999,       50000000,  949999999,
                                   950000000, 99999950000000, UINT64_MAX };
    static const char *const shown[] = { "     0.0", "     0.0", "     0.1",     "     0.9",
                                         "     1.0", "100000.0", "18446744073.7" };

    for (unsigned int i = 0; i < 7; i++) {
        start();
        print_list(&text, 0, &(struct xl_domain){ .name = "a", .cpu_time_ns = ns[i] });
        CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, shown[i]));
        CU_ASSERT_TRUE(strlen(strrchr(text.bytes, '-') + 3) == strlen(shown[i]) + 1);
    }
}

static struct xl_vcpu vcpu(unsigned int i)
{
    struct xl_vcpu v = { .id = i,
                         .cpu = i,
                         .online = i != 2,
                         .blocked = i == 1,
                         .running = i == 0,
                         .cpu_time_ns = 1234567890123u * (i + 1) };

    v.soft.word[0] = 15;
    v.hard.word[0] = 15 & ~((1u << i) - 1);
    return v;
}

static void test_vcpu_list(void)
{
    start();
    print_vcpus_head(&text);
    for (unsigned int i = 0; i < 6; i++) {
        struct xl_domain d = domain(1 + i / 3);
        struct xl_vcpu v = vcpu(i % 3);

        print_vcpu(&text, &d, &v, 4);
    }
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
        "web                                  1     0    0   r--    1234.6  all / all\n"
        "web                                  1     1    1   -b-    2469.1  1-3 / all\n"
        "web                                  1     2    -   --p    3703.7  2-3 / all\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345     0    0   r--    1234.6  all / all\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345     1    1   -b-    2469.1  1-3 / all\n"
        "a-name-that-is-much-longer-than-forty-characters-wide 12345     2    -   --p    3703.7  2-3 / all\n");
}

static void test_credit2(void)
{
    start();
    print_credit2_pool(&text, "Pool-0", 1000);
    print_credit2_head(&text);
    for (unsigned int i = 0; i < 4; i++) {
        struct xl_domain d = domain(i);

        print_credit2(&text, &d);
    }
    CU_ASSERT_STRING_EQUAL(
        text.bytes, "Cpupool Pool-0: ratelimit=1000us\n"
                    "Name                                ID Weight  Cap\n"
                    "Domain-0                             0    256    0\n"
                    "web                                  1    512   50\n"
                    "a-name-that-is-much-longer-than-forty-characters-wide 12345 3160576 617250\n"
                    "crashed                              7   2048  350\n");
}

static void test_uptime(void)
{
    struct xl_domain d = domain(0);

    start();
    print_uptime_head(&text);
    d.uptime_s = 2524;
    print_uptime(&text, &d);
    d = domain(1);
    d.uptime_s = 86400 + 3720;
    print_uptime(&text, &d);
    d = domain(3);
    d.uptime_s = 7 * 86400 + 7 * 3600 + 8 * 60 + 6;
    print_uptime(&text, &d);
    CU_ASSERT_STRING_EQUAL(text.bytes, "Name                                ID Uptime\n"
                                       "Domain-0                             0  0:42:04\n"
                                       "web                                  1 1 day,  1:02:00\n"
                                       "crashed                              7 7 days,  7:08:06\n");
    start();
    print_uptime_short(&text, &d, 10 * 3600 + 57 * 60 + 15);
    d = domain(0);
    d.uptime_s = 2520;
    print_uptime_short(&text, &d, 5);
    CU_ASSERT_STRING_EQUAL(text.bytes, " 10:57:15 up 7 days,  7:08, crashed (7)\n"
                                       " 00:00:05 up  0:42, Domain-0 (0)\n");
}

static const struct xl_info info = {
    .host = "vm",
    .release = "6.18.44",
    .version = "#1 SMP",
    .machine = "x86_64",
    .nr_cpus = 4,
    .max_cpu_id = 3,
    .nr_nodes = 1,
    .cores_per_socket = 4,
    .threads_per_core = 1,
    .cpu_khz = 2399987,
    .hw_caps = { 0, 0x1234567, 0x2468ace, 0x369d035, 0x48d159c, 0x5b05b03, 0x6d3a06a, 0x7f6e5d1 },
    .virt_caps = "pv",
    .total_mib = 2048,
    .free_mib = 3,
    .xen_major = 4,
    .xen_minor = 17,
    .xen_extra = ".5",
    .xen_caps = "xen-3.0-x86_64 ",
    .scheduler = "credit2",
    .page_bytes = 4096,
    .virt_start = 0xffff800000000000,
    .changeset = "changeset",
    .command_line = "com1=115200",
    .compiler = "gcc (Debian 12)",
    .compile_by = "me",
    .compile_domain = "there",
    .compile_date = "today",
    .build_id = "abcdef",
};

static void test_info(void)
{
    start();
    print_info(&text, &info);
    CU_ASSERT_STRING_EQUAL(
        text.bytes,
        "host                   : vm\n"
        "release                : 6.18.44\n"
        "version                : #1 SMP\n"
        "machine                : x86_64\n"
        "nr_cpus                : 4\n"
        "max_cpu_id             : 3\n"
        "nr_nodes               : 1\n"
        "cores_per_socket       : 4\n"
        "threads_per_core       : 1\n"
        "cpu_mhz                : 2399.987\n"
        "hw_caps                : 00000000:01234567:02468ace:0369d035:048d159c:05b05b03:06d3a06a:07f6e5d1\n"
        "virt_caps              : pv\n"
        "total_memory           : 2048\n"
        "free_memory            : 3\n"
        "sharing_freed_memory   : 0\n"
        "sharing_used_memory    : 0\n"
        "outstanding_claims     : 0\n"
        "free_cpus              : 0\n"
        "xen_major              : 4\n"
        "xen_minor              : 17\n"
        "xen_extra              : .5\n"
        "xen_version            : 4.17.5\n"
        "xen_caps               : xen-3.0-x86_64 \n"
        "xen_scheduler          : credit2\n"
        "xen_pagesize           : 4096\n"
        "platform_params        : virt_start=0xffff800000000000\n"
        "xen_changeset          : changeset\n"
        "xen_commandline        : com1=115200\n"
        "cc_compiler            : gcc (Debian 12)\n"
        "cc_compile_by          : me\n"
        "cc_compile_domain      : there\n"
        "cc_compile_date        : today\n"
        "build_id               : abcdef\n"
        "xend_config_format     : 4\n");
    start();
    json_info(&json, &info);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, "{\n    \"host\": \"vm\",\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, "    \"cpu_mhz\": 2399.987,\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, "    \"xend_config_format\": 4\n}\n"));
}

/* ---- JSON ---- */

static void test_json_of_domains(void)
{
    struct xl_domain d = domain(3);

    start();
    json_array(&json, NULL);
    json_list(&json, &d);
    json_end(&json);
    CU_ASSERT_STRING_EQUAL(text.bytes,
                           "[\n"
                           "    {\n"
                           "        \"name\": \"crashed\",\n"
                           "        \"id\": 7,\n"
                           "        \"uuid\": \"03132333-4353-6373-8393-a3b3c3d3e3f3\",\n"
                           "        \"pool\": \"Pool-0\",\n"
                           "        \"memory_kib\": 265144,\n"
                           "        \"max_memory_kib\": 524288,\n"
                           "        \"vcpus\": 4,\n"
                           "        \"max_vcpus\": 4,\n"
                           "        \"state\": [\n"
                           "            \"shutdown\",\n"
                           "            \"crashed\"\n"
                           "        ],\n"
                           "        \"shutdown_reason\": \"crash\",\n"
                           "        \"cpu_seconds\": 705.467,\n"
                           "        \"uptime_seconds\": 630486,\n"
                           "        \"weight\": 2048,\n"
                           "        \"cap_percent\": 350\n"
                           "    }\n"
                           "]\n");
    d.shutdown_reason = 77;
    d.state = XL_SHUTDOWN;
    start();
    json_list(&json, &d);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, "    \"shutdown_reason\": 77,\n"));
    d.state = 0;
    start();
    json_list(&json, &d);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes,
                                  "    \"state\": [],\n    \"shutdown_reason\": null,\n"));
}

static void test_json_of_vcpus(void)
{
    static const char *const states_of[] = { "\"running\"", "\"blocked\"", "\"offline\"",
                                             "\"runnable\"" };
    struct xl_domain d = domain(1);

    for (unsigned int i = 0; i < 4; i++) {
        struct xl_vcpu v = vcpu(i);

        start();
        json_vcpu(&json, &d, &v, 4);
        CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, states_of[i]));
        CU_ASSERT_EQUAL(strstr(text.bytes, "\"cpu\": null") != NULL, i == 2);
        CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes,
                                      i ? i == 3 ? "\"hard\": \"3\",\n    \"soft\": \"all\"\n"
                                                 : "-3\",\n"
                                        : "\"hard\": \"all\""));
    }
}

static void test_json_long_is_what_xendomains_reads(void)
{
    start();
    GOOD("");
    json_array(&json, NULL);
    json_long(&json, 3, &config);
    json_long(&json, 4, &config);
    json_end(&json);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes,
                                  "\n    {\n        \"domid\": 3,\n        \"config\": {\n"
                                  "            \"c_info\": {\n                \"type\": \"pv\",\n"
                                  "                \"name\": \"a\",\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.bytes, "\n    },\n    {\n        \"domid\": 4,\n"));
}

static void test_json_strings(void)
{
    static const struct {
        const char *bytes, *shown;
    } strings[] = { { "", "" },
                    { "\xc2\x80", "\xc2\x80" },
                    { "a\"b\\c/", "a\\\"b\\\\c/" },
                    { "\b\f\n\r\t\x01\x1f\x7f", "\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f" },
                    { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                      "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
                    { "\xc3", "\\ufffd" },
                    { "\xe2\x82", "\\ufffd\\ufffd" },
                    { "\xff\x80x", "\\ufffd\\ufffdx" },
                    { "\xc0\x80", "\\ufffd\\ufffd" }, /* longer than it need be */
                    { "\xe0\x80\x80", "\\ufffd\\ufffd\\ufffd" },
                    { "\xf0\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
                    { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },            /* a surrogate */
                    { "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" }, /* too large */
                    { "\xf8\x88\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd" } };

    for (unsigned int i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        char wanted[64];

        start();
        json_string(&json, NULL, strings[i].bytes);
        sprintf(wanted, "\"%s\"", strings[i].shown);
        CU_ASSERT_STRING_EQUAL(text.bytes, wanted);
    }
}

static void test_json_numbers_and_nesting(void)
{
    start();
    json_object(&json, NULL);
    json_uint(&json, "u", UINT64_MAX);
    json_int(&json, "i", INT64_MIN);
    json_decimal(&json, "d", 1002);
    json_bool(&json, "b", true);
    json_array(&json, "a\"");
    json_object(&json, NULL);
    json_end(&json);
    json_null(&json, NULL);
    json_bool(&json, NULL, false);
    json_end(&json);
    json_end(&json);
    CU_ASSERT_STRING_EQUAL(text.bytes, "{\n"
                                       "    \"u\": 18446744073709551615,\n"
                                       "    \"i\": -9223372036854775808,\n"
                                       "    \"d\": 1.002,\n"
                                       "    \"b\": true,\n"
                                       "    \"a\\\"\": [\n"
                                       "        {},\n"
                                       "        null,\n"
                                       "        false\n"
                                       "    ]\n"
                                       "}\n");
}

/* ---- text ---- */

static void test_text_grows_and_is_cut(void)
{
    char buf[8] = "xxxxxxx";
    struct text fixed = { .bytes = buf, .size = 4, .fixed = true };

    start();
    for (unsigned int i = 0; i < 1000; i++)
        text_printf(&text, "%u,%0300u\n", i, i);
    CU_ASSERT_EQUAL(text.len_bytes, 1000 * 302 + 10 + 2 * 90 + 3 * 900);
    CU_ASSERT_EQUAL(strlen(text.bytes), text.len_bytes);
    CU_ASSERT_STRING_EQUAL(text.bytes + text.len_bytes - 5, "0999\n");
    for (unsigned int width = 250; width < 260;
         width++) { /* around what is printed without allocation */
        start();
        text_printf(&text, "%0*u", (int)width, 7);
        CU_ASSERT_TRUE(text.len_bytes == width && strlen(text.bytes) == width &&
                       text.bytes[width - 1] == '7');
    }
    text_puts(&fixed, "");
    CU_ASSERT_STRING_EQUAL(buf, "");
    text_puts(&fixed, "ab");
    text_puts(&fixed, "cd");
    text_puts(&fixed, "ef");
    CU_ASSERT_STRING_EQUAL(buf, "abc");
    CU_ASSERT_EQUAL(fixed.len_bytes, 6);
    CU_ASSERT_EQUAL(buf[4], 'x');
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("print", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_list);
    T(test_list_with_options);
    T(test_times_are_rounded);
    T(test_vcpu_list);
    T(test_credit2);
    T(test_uptime);
    T(test_info);
    T(test_json_of_domains);
    T(test_json_of_vcpus);
    T(test_json_long_is_what_xendomains_reads);
    T(test_json_strings);
    T(test_json_numbers_and_nesting);
    T(test_text_grows_and_is_cut);
    CU_basic_run_tests();
    text_free(&text);
    return CU_get_number_of_failures() || CU_get_error();
}
