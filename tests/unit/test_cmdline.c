/* lib/cmdline.c: Xen's words, and that nothing malformed leaves a trace but its message. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "lib/cmdline.h"
#include "lib/print.h"

static struct options defaults;

static void parse(const char *line)
{
    options = defaults;
    fake_printed[0] = 0;
    cmdline_parse(line);
}

static void test_usual_line_is_taken_silently(void)
{
    parse(
        "placeholder com1=115200,8n1 console=com1 dom0_mem=1024M,max:1g dom0_max_vcpus=2 loglvl=all "
        "guest_loglvl=all noreboot no-real-mode edd=off");
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
    CU_ASSERT_EQUAL(options.com1_baud, 115200);
    CU_ASSERT_TRUE(options.console_com1);
    CU_ASSERT_EQUAL(options.dom0_mem_bytes[0], MIB(1024));
    CU_ASSERT_EQUAL(options.dom0_mem_bytes[1], GIB(1));
    CU_ASSERT_EQUAL(options.dom0_max_vcpus, 2);
    CU_ASSERT_TRUE(options.loglvl > LOG_DEBUG);
    CU_ASSERT_TRUE(options.guest_loglvl > LOG_DEBUG);
    CU_ASSERT_TRUE(options.noreboot);
}

static void test_every_form_of_a_value(void)
{
    parse("  com1=9600\tconsole=vga,com1 vga=keep loglvl=info guest_loglvl=warning smap=off smep=0 "
          "clocksource=acpi sync_console=yes dom0_mem=512k,max:1T ");
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
    CU_ASSERT_EQUAL(options.com1_baud, 9600);
    CU_ASSERT_TRUE(options.console_com1);
    CU_ASSERT_EQUAL(options.loglvl, LOG_INFO + 1);
    CU_ASSERT_EQUAL(options.guest_loglvl, LOG_WARN + 1);
    CU_ASSERT_TRUE(!options.smap && !options.smep && options.sync_console == 1);
    CU_ASSERT_EQUAL(options.clocksource, CLOCKSOURCE_ACPI);
    CU_ASSERT_EQUAL(options.dom0_mem_bytes[0], KIB(512));
    CU_ASSERT_EQUAL(options.dom0_mem_bytes[1], GIB(1024));
    parse("dom0_mem=65536 console=none loglvl=none");
    CU_ASSERT_EQUAL(options.dom0_mem_bytes[0], MIB(64)); /* KiB without a unit, as in Xen */
    CU_ASSERT_FALSE(options.console_com1);
    CU_ASSERT_EQUAL(options.loglvl, 0);
    for (unsigned int i = 0; i < 10; i++) {
        static const char *const words[] = { "no",   "yes",     "off",    "on", "false",
                                             "true", "disable", "enable", "0",  "1" };
        char line[32] = "noreboot=";

        parse(strcat(line, words[i]));
        CU_ASSERT_EQUAL(options.noreboot, i % 2);
    }
    parse("loglvl=all");
    CU_ASSERT_FALSE(options.watchdog);
    parse("watchdog");
    CU_ASSERT_TRUE(options.watchdog);
    parse("dom0_mem=max:3M");
    CU_ASSERT_TRUE(options.dom0_mem_bytes[0] == 0 && options.dom0_mem_bytes[1] == MIB(3));
    parse("clocksource=pit");
    CU_ASSERT_EQUAL(options.clocksource, CLOCKSOURCE_PIT);
    parse(
        "dom0_max_vcpus=1 dom0_max_vcpus=3 /boot/xen-like.gz"); /* the last wins; a path is no option */
    CU_ASSERT_EQUAL(options.dom0_max_vcpus, 3);
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
}

static void test_malformed_options_are_named_and_change_nothing(void)
{
    static const char *const bad[] = {
        "com1",
        "com1=",
        "com1=0",
        "com1=115201",
        "com1=115200,",
        "com1=115200,9n1",
        "com1=115200,8x1",
        "com1=115200,8n3",
        "com1=115200,8",
        "com1=115200,8n",
        "com1=115200,8n1x",
        "com1=115200,8n1,",
        "com1=115200,8n1,0x3f8,4",
        "com1=115200x8n1",
        "com1=99999999999999999999",
        "com1=auto",
        "com1=49",
        "com1=115200,7e1",
        "com2=9600",
        "console",
        "console=",
        "console=com3",
        "console=com1,",
        "conswitch=b",
        "watchdog=maybe",
        "loglvl",
        "loglvl=",
        "loglvl=loud",
        "loglvl=all/all",
        "no-smep",
        "loglvl=/all",
        "guest_loglvl=al",
        "noreboot=maybe",
        "noreboot=",
        "noreboot=no|off",
        "console=com1|com2",
        "loglvl=al",
        "dom0_mem",
        "dom0_mem=",
        "dom0_mem=-",
        "dom0_mem=-1M",
        "dom0_mem=0",
        "dom0_mem=0,max:1M",
        "dom0_mem=min:1M",
        "dom0_mem=1Q",
        "dom0_mem=1M,",
        "dom0_mem=1M,max:",
        "dom0_mem=min:1M,,",
        "dom0_mem=99999999999999999999",
        "dom0_mem=16777216T",
        "dom0_max_vcpus",
        "dom0_max_vcpus=",
        "dom0_max_vcpus=0",
        "dom0_max_vcpus=65",
        "dom0_max_vcpus=4294967297",
        "dom0_max_vcpus=2x",
        "dom0_max_vcpus=-1",
        "clocksource=",
        "clocksource=tsc",
        "xpti=maybe",
        "spec-ctrl",
        "spec-ctrl=",
        "spec-ctrl=all",
        "spec-ctrl=rsb,",
        "spec-ctrl=no,rsb",
        "spec-ctrl=verw,no-",
        "com1=18446744073709551716",
        "no-com1",
        "no-dom0_mem",
        "flask=enforcing",
        "no-",
        "=",
        "==",
        "no-noreboot=1",
        "x=y",
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *value = strchr(bad[i], '=');

        parse(bad[i]);
        CU_ASSERT_EQUAL(memcmp(&options, &defaults, sizeof(options)), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "ignored"));
        CU_ASSERT_PTR_NOT_NULL(value ? strstr(fake_printed, value + 1) : fake_printed);
    }
    parse("xpti=no spec-ctrl=verw,no-rsb spec-ctrl=bhb-entry,no-verw");
    CU_ASSERT_EQUAL(options.xpti, 0);
    CU_ASSERT_EQUAL(options.spec_on, SPEC_BHB);
    CU_ASSERT_EQUAL(options.spec_off, SPEC_RSB | SPEC_VERW);
    parse("spec-ctrl=rsb spec-ctrl=no xpti");
    CU_ASSERT_EQUAL(options.xpti, 1);
    CU_ASSERT_EQUAL(options.spec_on, 0);
    CU_ASSERT_EQUAL(options.spec_off, SPEC_ALL);
    parse("unknown=thing");
    CU_ASSERT_STRING_EQUAL(fake_printed, "Command line: unknown option unknown=thing ignored");
    parse("dom0_max_vcpus=65");
    CU_ASSERT_STRING_EQUAL(fake_printed,
                           "Command line: bad value in \"dom0_max_vcpus=65\" ignored");
}

static void test_long_words_are_left_out_whole(void)
{
    char line[400];

    memset(line, 'x', sizeof(line));
    memcpy(line + 200, " noreboot", 10);
    parse(line);
    CU_ASSERT_TRUE(options.noreboot);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "unknown option xxx"));
    memset(line, ' ', sizeof(line));
    line[399] = 0;
    parse(line);
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
}

static void test_random_lines_never_break_an_invariant(void)
{
    static const char *const bits[] = { "com1=",     "com2=",
                                        "dom0_mem=", "max:",
                                        "min:",      ",",
                                        "loglvl=",   "/",
                                        "all",       "115200",
                                        "8n1",       "0x",
                                        "-",         " ",
                                        "no-",       "smap",
                                        "=",         "999999999999",
                                        "G",         "dom0_max_vcpus=",
                                        "auto",      "\xff" };

    for (unsigned int n = 0; n < 30000; n++) {
        char line[256] = "", *exact;

        for (int i = rand() % 12; i >= 0; i--)
            strcat(line, bits[(size_t)rand() % ARRAY_SIZE(bits)]);
        exact = strdup(line); /* so that ASan sees the end */
        parse(exact);
        free(exact);
        CU_ASSERT_TRUE(options.loglvl <= 5 && options.dom0_max_vcpus <= 64 &&
                       options.console_com1 <= 1 && options.smap <= 1 &&
                       options.com1_baud <= 115200);
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("cmdline", NULL, NULL);
    fake_reset(1);
    defaults = options;
#define T(f) CU_add_test(s, #f, f)
    T(test_usual_line_is_taken_silently);
    T(test_every_form_of_a_value);
    T(test_malformed_options_are_named_and_change_nothing);
    T(test_long_words_are_left_out_whole);
    T(test_random_lines_never_break_an_invariant);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
