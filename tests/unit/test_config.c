/* dom0-tools/config.c: the language of xl.cfg, its keys, and every mistake in them. */
#include <CUnit/Basic.h>

#include "config_reader.h"

/* ---- the language ---- */

static void test_every_form_of_a_setting(void)
{
    CU_ASSERT_EQUAL(parse_with("# a comment\n"
                               "  name = \"web\" # another\r\n"
                               "\n;;kernel='/boot/k';ramdisk=\"/boot/i\";\n"
                               "memory=0x100;vcpus = 02\tcap=\n",
                               NULL, 0, NULL),
                    -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:5: the end of the line is missing near 'cap='\n");
    CU_ASSERT_EQUAL(parse_with("# a comment\n"
                               "  name = \"web\" # another\r\n"
                               "\n;;kernel='/boot/k';ramdisk=\"/boot/i\";\n"
                               "memory=0x100;vcpus = 02\t\r\n"
                               "cpus = [ # first\n '1', \"2\",\n ]\n"
                               "cap=\"50\"",
                               NULL, 0, NULL),
                    0);
    CU_ASSERT_STRING_EQUAL(reports, "");
    CU_ASSERT_STRING_EQUAL(config.name, "web");
    CU_ASSERT_STRING_EQUAL(config.kernel, "/boot/k");
    CU_ASSERT_STRING_EQUAL(config.ramdisk, "/boot/i");
    CU_ASSERT_EQUAL(config.memory_kib, 256 << 10);
    CU_ASSERT_EQUAL(config.max_memory_kib, 256 << 10);
    CU_ASSERT_EQUAL(config.nr_vcpus, 2);
    CU_ASSERT_EQUAL(config.max_vcpus, 2);
    CU_ASSERT_EQUAL(config.cap_percent, 50);
    CU_ASSERT_EQUAL(config.cpus.nr_vcpus, 2);
    CU_ASSERT_EQUAL(config.cpus.vcpu[0].word[0], 2);
    CU_ASSERT_EQUAL(config.cpus.vcpu[1].word[0], 4);
}

static void test_escapes_are_those_of_c(void)
{
    GOOD("cmdline='\\x4F\\x4f\\x7a'");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "OOz");
    GOOD("cmdline='a\\'b\\\"c\\\\d\\x41\\102\\#'");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "a'b\"c\\dAB#");
    GOOD("cmdline=\"it's \xc3\xa4\"");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "it's \xc3\xa4");
    BAD("cmdline='a\\qb'", "error f:2: unknown escape near '\\qb''\n");
    BAD("cmdline='a\\x4'", "error f:2: unknown escape near '\\x4''\n");
    BAD("cmdline='a\\000'", "error f:2: unknown escape near '\\000''\n");
    BAD("cmdline='a\\777'", "error f:2: unknown escape near '\\777''\n");
    BAD("cmdline='a\\", "error f:2: unknown escape near '\\'\n");
    BAD("cmdline='a\\n'", "error f:2: cmdline: 'a?' has a control character\n");
}

static void test_what_is_no_setting_is_named_with_its_line(void)
{
    BAD("\n\nmemory", "error f:4: '=' is missing at the end\n");
    BAD("memory 5", "error f:2: '=' is missing near '5'\n");
    BAD("=5", "error f:2: a key is missing near '=5'\n");
    BAD("5=5", "error f:2: a key is missing near '5=5'\n");
    BAD("memory=", "error f:2: a string, a number or a list is missing at the end\n");
    BAD("memory=\n5",
        "error f:2: a string, a number or a list is missing at the end of the line\n");
    BAD("memory=-5", "error f:2: a number may not be negative near '-5'\n");
    BAD("name=xen-f", "error f:2: a string, a number or a list is missing near 'xen-f'\n");
    BAD("name='a", "error f:2: a string does not end in its line at the end\n");
    BAD("name='a\n'", "error f:2: a string does not end in its line at the end of the line\n");
    BAD("cpus=['1' '2']", "error f:2: ',' or ']' is missing near ''2']'\n");
    BAD("cpus=[\n'1',\n", "error f:4: a string, a number or a list is missing at the end\n");
    BAD("cpus=[,]", "error f:2: a string, a number or a list is missing near ',]'\n");
    BAD("cpus=[[[[[1]]]]]", "error f:2: too many lists in lists near '[1]]]]]'\n");
    BAD("vcpus=1 vcpus=2", "error f:2: the end of the line is missing near 'vcpus=2'\n");
    BAD("memory=5\x7f\xff", "error f:2: the end of the line is missing near '?\?'\n");
    BAD("Z_-9", "error f:2: '=' is missing at the end\n");
    BAD("memory=5\x01", "error f:2: the end of the line is missing near '?'\n");
    BAD("a_key_which_is_longer_than_can_be_shown", "error f:2: '=' is missing at the end\n");
}

static void test_zero_bytes_and_sizes_are_refused(void)
{
    static const char zero[] = FIRST "memory='1\0' ";
    static char large[131073];
    struct config_source source = {
        .file = "f", .text = zero, .len_bytes = sizeof(zero), .report = report
    };

    reports[0] = '\0';
    CU_ASSERT_EQUAL(config_parse(&config, &source), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:2: a zero byte near ''\n");
    source.text = large;
    memset(large, '\n', sizeof(large));
    source.len_bytes = sizeof(large);
    reports[0] = '\0';
    CU_ASSERT_EQUAL(config_parse(&config, &source), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:0: the file is too large\n");
    source.len_bytes--;
    reports[0] = '\0';
    CU_ASSERT_EQUAL(config_parse(&config, &source), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:0: name: is missing\n");
    memset(large, ',', sizeof(large));
    memcpy(large, "cpus=[", 6);
    for (unsigned int i = 6; i < sizeof(large); i += 2)
        large[i] = '1';
    reports[0] = '\0';
    CU_ASSERT_EQUAL(config_parse(&config, &source), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:1: too many values near '1,1,1,1,1,1,1,1,1,1,...'\n");
}

static void test_there_are_as_many_values_as_fit(void)
{
    char text[4096];

    for (unsigned int n = 1018; n <= 1019;
         n++) { /* and name, kernel, x with what they are, and the list */
        char *at = text + sprintf(text, "x=[");

        for (unsigned int i = 0; i < n; i++)
            at += sprintf(at, "1,");
        strcpy(at, "]");
        CU_ASSERT_EQUAL(parse(text), n == 1018 ? 0 : -EINVAL);
    }
}

/* ---- keys ---- */

static void test_defaults(void)
{
    struct domain_config *wanted = calloc(1, sizeof(*wanted));

    GOOD("");
    strcpy(wanted->name, "a");
    strcpy(wanted->kernel, "k");
    wanted->memory_kib = wanted->max_memory_kib = 32 << 10;
    wanted->nr_vcpus = wanted->max_vcpus = 1;
    wanted->on_reboot = CONFIG_RESTART;
    CU_ASSERT_EQUAL(memcmp(wanted, &config, sizeof(config)), 0);
    CU_ASSERT_TRUE(repeats());
    free(wanted);
}

static void test_unknown_keys_are_warned_of(void)
{
    CU_ASSERT_EQUAL(parse("localtime=1\nmemroy=5\nMemory=3\n\nmaxmemm=[[1],2]\nvcpu=1"), 0);
    CU_ASSERT_STRING_EQUAL(reports, "warning f:2: localtime: unknown key, ignored\n"
                                    "warning f:3: memroy: unknown key, ignored; is memory meant?\n"
                                    "warning f:4: Memory: unknown key, ignored; is memory meant?\n"
                                    "warning f:6: maxmemm: unknown key, ignored; is maxmem meant?\n"
                                    "warning f:7: vcpu: unknown key, ignored; is vcpus meant?\n");
    CU_ASSERT_EQUAL(config.memory_kib, 32 << 10);
}

static void test_the_last_setting_and_the_command_line_win(void)
{
    static char *const overrides[] = { "memory=3; vcpus=2", "name='b'", "disk=['/x,,xvda']" };
    static char *const wrong[] = { "vcpus=1", "memory='x'" }, *const broken[] = { "a='" };

    GOOD("memory=1\nmemory=2\nmemory='4'");
    CU_ASSERT_EQUAL(config.memory_kib, 4 << 10);
    GOOD("memory=[]\nmemory=2"); /* what is overridden is not looked at */
    CU_ASSERT_EQUAL(parse_with(FIRST "memory=1", NULL, 3, overrides), 0);
    CU_ASSERT_EQUAL(config.memory_kib, 3 << 10);
    CU_ASSERT_EQUAL(config.nr_vcpus, 2);
    CU_ASSERT_STRING_EQUAL(config.name, "b");
    CU_ASSERT_EQUAL(config.nr_disks, 1);
    CU_ASSERT_EQUAL(parse_with(FIRST, NULL, 2, wrong), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports,
                           "error command line:2: memory: 'x' is no number from 1 to 16777216\n");
    CU_ASSERT_EQUAL(parse_with(FIRST, NULL, 1, broken), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports,
                           "error command line:1: a string does not end in its line at the end\n");
}

static void test_name_and_kernel_must_be_there(void)
{
    CU_ASSERT_EQUAL(parse_with("kernel='k'", NULL, 0, NULL), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:0: name: is missing\n");
    CU_ASSERT_EQUAL(parse_with("name='a'", NULL, 0, NULL), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:0: kernel: is missing\n");
    BAD("name=''", "error f:2: name: '' is empty\n");
    BAD("name='a/b'", "error f:2: name: 'a/b' has a '/'\n");
    BAD("name=['a']", "error f:2: name: a list is no value of this key\n");
    BAD("name='0123456789012345678901234567890123456789012345678901234567890123'",
        "error f:2: name: '0123456789012345678901234567890123456789012345678901234567890123' is too long\n");
    GOOD("name='012345678901234567890123456789012345678901234567890123456789012'");
}

static void test_numbers(void)
{
    BAD("memory=0", "error f:2: memory: '0' is no number from 1 to 16777216\n");
    BAD("memory=16777217", "error f:2: memory: '16777217' is no number from 1 to 16777216\n");
    BAD("memory=18446744073709551617",
        "error f:2: memory: '18446744073709551617' is no number from 1 to 16777216\n");
    BAD("memory=12x", "error f:2: memory: '12x' is no number from 1 to 16777216\n");
    BAD("memory='1g'", "error f:2: memory: '1g' is no number from 1 to 16777216\n");
    BAD("memory='-1'", "error f:2: memory: '-1' is no number from 1 to 16777216\n");
    BAD("memory=' 1'", "error f:2: memory: ' 1' is no number from 1 to 16777216\n");
    BAD("memory=''", "error f:2: memory: '' is no number from 1 to 16777216\n");
    BAD("memory=09", "error f:2: memory: '09' is no number from 1 to 16777216\n");
    BAD("memory=[1]", "error f:2: memory: a list is no value of this key\n");
    BAD("vcpus=65", "error f:2: vcpus: '65' is no number from 1 to 64\n");
    BAD("vcpus=0\nmaxvcpus=0", "error f:2: vcpus: '0' is no number from 1 to 64\n"
                               "error f:3: maxvcpus: '0' is no number from 1 to 64\n");
    BAD("cpu_weight=0", "error f:2: cpu_weight: '0' is no number from 1 to 65535\n");
    BAD("cpu_weight=65536", "error f:2: cpu_weight: '65536' is no number from 1 to 65535\n");
    BAD("cap=65536", "error f:2: cap: '65536' is no number from 0 to 65535\n");
    BAD("vcpus=4\nmaxvcpus=3", "error f:0: maxvcpus: is less than vcpus\n");
    BAD("memory=4\nmaxmem=3", "error f:0: maxmem: is less than memory\n");
    GOOD("memory=010; maxmem=16777216; vcpus=63; maxvcpus=64; cpu_weight=65535; cap=65535");
    CU_ASSERT_EQUAL(config.memory_kib, 8 << 10);
    CU_ASSERT_EQUAL(config.max_memory_kib, (uint64_t)16 << 30);
    CU_ASSERT_TRUE(config.nr_vcpus == 63 && config.max_vcpus == 64);
    CU_ASSERT_TRUE(config.weight == 65535 && config.cap_percent == 65535);
    CU_ASSERT_TRUE(repeats());
}

static void test_only_pv_domains_are_served(void)
{
    GOOD("type='pv'\nbuilder=\"generic\"");
    BAD("type='hvm'", "error f:2: type: 'hvm' is not served: only PV domains run here\n");
    BAD("type=\"pvh\"", "error f:2: type: 'pvh' is not served: only PV domains run here\n");
    BAD("builder='hvm'", "error f:2: builder: 'hvm' is not served: only PV domains run here\n");
    BAD("type='vm'", "error f:2: type: 'vm' is no type of a domain\n");
    BAD("type=[]", "error f:2: type: a list is no value of this key\n");
}

static void test_what_is_not_served_is_refused_by_name(void)
{
    struct config_source source = { .file = "f", .report = report };

    GOOD("bootloader=''; vfb=[]; pci=[]; driver_domain=0; disk=[]; vif=[]");
    BAD("bootloader='pygrub'\nvfb=['vnc=1']\npci=['01:00.0']\ndriver_domain=1",
        "error f:2: bootloader: 'pygrub' this key is not served yet\n"
        "error f:3: vfb: this key is not served yet\n"
        "error f:4: pci: this key is not served yet\n"
        "error f:5: driver_domain: '1' this key is not served yet\n");
    source.text = FIRST "disk=['/x,,xvda']\nvif=['']";
    source.len_bytes = strlen(source.text);
    reports[0] = '\0';
    CU_ASSERT_EQUAL(config_parse(&config, &source), -EINVAL);
    CU_ASSERT_STRING_EQUAL(reports, "error f:2: disk: devices of this kind are not served yet\n"
                                    "error f:3: vif: devices of this kind are not served yet\n");
}

static void test_uuids(void)
{
    static const uint8_t wanted[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                        0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe };

    GOOD("uuid='01234567-89ab-cdef-1032-547698badcfe'");
    CU_ASSERT_TRUE(config.has_uuid && memcmp(config.uuid, wanted, 16) == 0);
    CU_ASSERT_TRUE(repeats());
    GOOD("uuid='0123456789ABCDEF1032547698BADCFE'");
    CU_ASSERT_TRUE(config.has_uuid && memcmp(config.uuid, wanted, 16) == 0);
    BAD("uuid=''", "error f:2: uuid: '' is no UUID\n");
    BAD("uuid='01234567-89ab-cdef-1032-547698badcf'",
        "error f:2: uuid: '01234567-89ab-cdef-1032-547698badcf' is no UUID\n");
    BAD("uuid='01234567-89ab-cdef-1032-547698badcfe0'",
        "error f:2: uuid: '01234567-89ab-cdef-1032-547698badcfe0' is no UUID\n");
    BAD("uuid='0123456789ab-cdef-1032-547698badcfe'",
        "error f:2: uuid: '0123456789ab-cdef-1032-547698badcfe' is no UUID\n");
    BAD("uuid='g1234567-89ab-cdef-1032-547698badcfe'",
        "error f:2: uuid: 'g1234567-89ab-cdef-1032-547698badcfe' is no UUID\n");
}

static void test_actions(void)
{
    GOOD("on_poweroff='preserve'; on_reboot=\"rename-restart\"; on_crash='coredump-restart'; "
         "on_watchdog='coredump-destroy'");
    CU_ASSERT_EQUAL(config.on_poweroff, CONFIG_PRESERVE);
    CU_ASSERT_EQUAL(config.on_reboot, CONFIG_RENAME_RESTART);
    CU_ASSERT_EQUAL(config.on_crash, CONFIG_COREDUMP_RESTART);
    CU_ASSERT_EQUAL(config.on_watchdog, CONFIG_COREDUMP_DESTROY);
    CU_ASSERT_TRUE(repeats());
    GOOD("on_poweroff='restart'; on_reboot='destroy'");
    CU_ASSERT_TRUE(config.on_poweroff == CONFIG_RESTART && config.on_reboot == CONFIG_DESTROY);
    BAD("on_crash='soft-reset'", "error f:2: on_crash: 'soft-reset' is not for PV domains\n");
    GOOD("tsc_mode='native'");
    CU_ASSERT_EQUAL(config.tsc_mode, CONFIG_TSC_NATIVE);
    BAD("tsc_mode='fast'",
        "error f:2: tsc_mode: 'fast' is none of default, always_emulate, native\n");
    BAD("on_crash='die'", "error f:2: on_crash: 'die' is none of destroy, restart, rename-restart, "
                          "preserve, coredump-destroy, coredump-restart\n");
    BAD("on_crash=['destroy']", "error f:2: on_crash: a list is no value of this key\n");
}

static void test_command_lines(void)
{
    char line[2 * CONFIG_CMDLINE];

    GOOD("root='/dev/xvda1'");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "root=/dev/xvda1");
    GOOD("extra='ro quiet'");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "ro quiet");
    GOOD("extra='ro'\nroot='/dev/xvda1'");
    CU_ASSERT_STRING_EQUAL(config.cmdline, "root=/dev/xvda1 ro");
    CU_ASSERT_TRUE(repeats());
    CU_ASSERT_EQUAL(parse("extra='ro'\ncmdline='x'"), 0);
    CU_ASSERT_STRING_EQUAL(config.cmdline, "x");
    CU_ASSERT_STRING_EQUAL(reports,
                           "warning f:3: cmdline: root= and extra= are ignored beside it\n");
    BAD("root=[]", "error f:2: root: a list is no value of this key\n");
    for (unsigned int n = 1020; n < 1028; n++) {
        sprintf(line, "cmdline='%0*d'", (int)n, 0);
        CU_ASSERT_EQUAL(parse(line), n < CONFIG_CMDLINE ? 0 : -EINVAL);
        sprintf(line, "root='%0*d'; extra='b'", (int)n - 7, 0);
        CU_ASSERT_EQUAL(parse(line), n < CONFIG_CMDLINE ? 0 : -EINVAL);
        if (n >= CONFIG_CMDLINE)
            CU_ASSERT_STRING_EQUAL(reports,
                                   "error f:2: extra: the kernel's command line is too long\n");
    }
}

/* ---- CPUs ---- */

static void test_lists_of_cpus(void)
{
    static const struct {
        const char *text;
        uint64_t word; /* of 16 CPUs, four in each node */
    } good[] = { { "all", 0xffff },
                 { "0", 1 },
                 { "0-3,^1", 0xd },
                 { "all,^7", 0xff7f },
                 { "^1,1", 2 },
                 { "node:0", 0xf },
                 { "nodes:1-2", 0xff0 },
                 { "all,^nodes:0-2,1", 0xf002 },
                 { "1,node:1,^6", 0xb2 },
                 { " 1 , 2 ", 6 },
                 { "node:all", 0xffff },
                 { "3-60000", 0xfff8 },
                 { "none", 0 } };
    static const char *const bad[] = { "",        ",",
                                       "1,",      "-1",
                                       "1-",      "3-1",
                                       "x",       "^all",
                                       "0,^all",  "^",
                                       "node:",   "node:9",
                                       "1 2",     "0x1",
                                       "16",      "65536",
                                       "0,^0",    "all,^0-15",
                                       "1-2-3",   "nodes:1-",
                                       "^node:0", "999999999999999999999999999999999999" };
    struct config_host host = { .nr_cpus = 16 };
    struct config_cpus cpus;

    for (unsigned int i = 0; i < 16; i++)
        host.node[i] = (uint8_t)(i / 4);
    for (unsigned int i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CU_ASSERT_EQUAL(config_parse_cpus(&cpus, good[i].text, &host), 0);
        CU_ASSERT_EQUAL(cpus.word[0], good[i].word);
        CU_ASSERT_TRUE(cpus.word[1] == 0 && cpus.word[2] == 0 && cpus.word[3] == 0);
    }
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_EQUAL(config_parse_cpus(&cpus, bad[i], &host), -EINVAL);
    CU_ASSERT_EQUAL(config_parse_cpus(&cpus, "255,node:0", NULL), 0);
    CU_ASSERT_TRUE(~cpus.word[0] == 0 && ~cpus.word[3] == 0);
}

static void test_cpus_are_printed_as_xl_does(void)
{
    struct config_cpus cpus = { { 0x4f, 0, 0, (uint64_t)3 << 62 } };
    char buf[64], cut[8];

    config_print_cpus(&cpus, 16, buf, sizeof(buf));
    CU_ASSERT_STRING_EQUAL(buf, "0-3,6,254-255");
    config_print_cpus(&cpus, 16, cut, sizeof(cut));
    CU_ASSERT_STRING_EQUAL(cut, "0-3,6,2");
    cpus.word[0] = 0x1f; /* one more than there are */
    config_print_cpus(&cpus, 4, buf, sizeof(buf));
    CU_ASSERT_STRING_EQUAL(buf, "all");
    memset(&cpus, 0, sizeof(cpus));
    config_print_cpus(&cpus, 4, buf, sizeof(buf));
    CU_ASSERT_STRING_EQUAL(buf, "none");
}

static void test_affinity(void)
{
    GOOD("vcpus=2; maxvcpus=3; cpus='0-3,^1'; cpus_soft=[1, '2-3']");
    CU_ASSERT_EQUAL(config.cpus.nr_vcpus, 3);
    CU_ASSERT_TRUE(config.cpus.vcpu[0].word[0] == 13 && config.cpus.vcpu[2].word[0] == 13);
    CU_ASSERT_EQUAL(config.cpus_soft.nr_vcpus, 2);
    CU_ASSERT_TRUE(config.cpus_soft.vcpu[0].word[0] == 2 && config.cpus_soft.vcpu[1].word[0] == 12);
    CU_ASSERT_TRUE(repeats());
    GOOD("vcpus=3; cpus=['1', '2', '3']; cpus_soft=['1', '1', '2']");
    CU_ASSERT_TRUE(repeats());
    GOOD("cpus=['3'\n#\n,\n]\n");
    CU_ASSERT_EQUAL(config.cpus.vcpu[0].word[0], 8);
    GOOD("cpus=3");
    CU_ASSERT_EQUAL(config.cpus.vcpu[0].word[0], 8);
    GOOD("cpus=[]");
    CU_ASSERT_EQUAL(config.cpus.nr_vcpus, 0);
    CU_ASSERT_EQUAL(parse("vcpus=2; cpus=['1','2','3']"), 0);
    CU_ASSERT_STRING_EQUAL(reports, "warning f:2: cpus: there are more CPU lists than vCPUs\n");
    BAD("cpus='0,x'", "error f:2: cpus: '0,x' is no list of CPUs, or has none that exists\n");
    BAD("cpus_soft='none'",
        "error f:2: cpus_soft: 'none' is no list of CPUs, or has none that exists\n");
    BAD("cpus=[[1]]", "error f:2: cpus: a list is no value of this key\n");
}

static void test_the_largest_configuration_repeats(void)
{
    static char text[131072];
    char *at = text + sprintf(text, "vcpus=64; cmdline='%01023d'\n", 0);

    for (unsigned int soft = 0; soft < 2; soft++) {
        at += sprintf(at, soft ? "]\ncpus_soft=[" : "cpus=[");
        for (unsigned int vcpu = 0; vcpu < 64; vcpu++) {
            at += sprintf(at, "'%u", vcpu);
            for (unsigned int cpu = vcpu % 2; cpu < CONFIG_CPUS; cpu += 2)
                at += sprintf(at, ",%u", cpu);
            at += sprintf(at, "',");
        }
    }
    strcpy(at, "]");
    GOOD(text);
    CU_ASSERT_TRUE(repeats());
}

static void test_a_config_that_has_no_room_is_cut(void)
{
    char small[8] = "#######";

    GOOD("");
    CU_ASSERT_TRUE(config_print(&config, NULL, 0) > 100);
    config_print(&config, small, 7);
    CU_ASSERT_STRING_EQUAL(small, "name =");
}

static void test_without_memory_nothing_is_reported(void)
{
    unsigned int n = 0;
    int rc;

    do {
        allocations_left = n++;
        rc = parse("cpus=['1', '2']; vcpus=2");
        CU_ASSERT_STRING_EQUAL(reports, "");
    } while (rc == -ENOMEM);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(n, 9); /* document, copy, four settings, two values */
    allocations_left = 1u << 31;
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("config", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_every_form_of_a_setting);
    T(test_escapes_are_those_of_c);
    T(test_what_is_no_setting_is_named_with_its_line);
    T(test_zero_bytes_and_sizes_are_refused);
    T(test_there_are_as_many_values_as_fit);
    T(test_defaults);
    T(test_unknown_keys_are_warned_of);
    T(test_the_last_setting_and_the_command_line_win);
    T(test_name_and_kernel_must_be_there);
    T(test_numbers);
    T(test_only_pv_domains_are_served);
    T(test_what_is_not_served_is_refused_by_name);
    T(test_uuids);
    T(test_actions);
    T(test_command_lines);
    T(test_lists_of_cpus);
    T(test_cpus_are_printed_as_xl_does);
    T(test_affinity);
    T(test_the_largest_configuration_repeats);
    T(test_a_config_that_has_no_room_is_cut);
    T(test_without_memory_nothing_is_reported);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
