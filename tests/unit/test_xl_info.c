/* xl info on the machine in memory. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include <platform.h>

#include "../../dom0-tools/print.h"
#include "../../dom0-tools/xl.h"
#include "toolstack_machine.h"
#include "xl_machine.h"

static void kernel(struct xl_info *info)
{
    static struct xl_pci devices[] = { { .device = 31, .function = 1 },
                                       { .bus = 2 },
                                       { .segment = 16, .bus = 255, .device = 1 } };

    info->devices = devices;
    info->nr_devices = 3;
    info->host = "box";
    info->release = "6.1";
    info->version = "#1";
    info->machine = "x86_64";
}

static const struct xl_home home = { .kernel = kernel };

static const char machine_part[] =
    "host                   : box\n"
    "release                : 6.1\n"
    "version                : #1\n"
    "machine                : x86_64\n"
    "nr_cpus                : 4\n"
    "max_cpu_id             : 7\n"
    "nr_nodes               : 2\n"
    "cores_per_socket       : 2\n"
    "threads_per_core       : 1\n"
    "cpu_mhz                : 2400.123\n"
    "hw_caps                : "
    "00000001:00000002:00000003:00000004:00000005:00000006:00000007:ffffffff\n"
    "virt_caps              : pv gnttab-v1\n"
    "total_memory           : 64\n"
    "free_memory            : 64\n"
    "sharing_freed_memory   : 0\n"
    "sharing_used_memory    : 0\n"
    "outstanding_claims     : 0\n"
    "free_cpus              : 0\n";
static const char topology_part[] = "cpu_topology           :\n"
                                    "cpu:    core    socket     node\n"
                                    "  0:       0        0        0\n"
                                    "  1:       1        0        0\n"
                                    "  2:       0        1        1\n"
                                    "  3:       1        1        1\n"
                                    "device topology        :\n"
                                    "device           node\n"
                                    "0000:00:1f.1      1\n"
                                    "0010:ff:01.0      0\n"
                                    "numa_info              :\n"
                                    "node:    memsize    memfree    distances\n"
                                    "   0:        40         30      10,20\n"
                                    "   1:        24          9      21,11\n";
static const char xen_part[] = "xen_major              : 4\n"
                               "xen_minor              : 17\n"
                               "xen_extra              : .5-fake\n"
                               "xen_version            : 4.17.5-fake\n"
                               "xen_caps               : xen-3.0-x86_64\n"
                               "xen_scheduler          : credit2\n"
                               "xen_pagesize           : 4096\n"
                               "platform_params        : virt_start=0xffff800000000000\n"
                               "xen_changeset          : \n"
                               "xen_commandline        : xxxxxxxx";
static const char last_part[] = "x\n"
                                "cc_compiler            : cc 1\n"
                                "cc_compile_by          : me\n"
                                "cc_compile_domain      : here\n"
                                "cc_compile_date        : today\n"
                                "build_id               : ab01\n"
                                "xend_config_format     : 4\n";

static bool said(const char *text) { return x.out.bytes && strstr(x.out.bytes, text) != NULL; }

static void test_info(void)
{
    char want[4096];

    start(&home);
    CU_ASSERT_EQUAL(xl("info"), 0);
    snprintf(want, sizeof(want), "%s%s", machine_part, xen_part);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, want, strlen(want)), 0);
    CU_ASSERT_TRUE(said(last_part) && !said("cpu_topology"));
    CU_ASSERT_EQUAL(xl("info -n"), 0);
    snprintf(want, sizeof(want), "%s%s%s", machine_part, topology_part, xen_part);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, want, strlen(want)), 0);
    if (strncmp(x.out.bytes, want, strlen(want)) != 0)
        printf("%s", x.out.bytes);
    end();
}

static void test_json(void)
{
    start(&home);
    CU_ASSERT_EQUAL(xl("info -n --json"), 0);
    CU_ASSERT_TRUE(said("    \"nr_cpus\": 4,\n") && said("    \"virt_caps\": \"pv gnttab-v1\",\n"));
    CU_ASSERT_TRUE(said("            \"cpu\": 3,\n") && !said("\"cpu\": 4"));
    CU_ASSERT_TRUE(
        said("            \"memfree\": 9,\n            \"distances\": [\n                21,\n"));
    CU_ASSERT_TRUE(said("            \"device\": \"0010:ff:01.0\",\n            \"node\": 0\n"));
    CU_ASSERT_EQUAL(xl("info --json"), 0);
    CU_ASSERT_FALSE(said("numa_info"));
    end();
}

static void test_without_a_kernel(void)
{
    start(NULL);
    CU_ASSERT_EQUAL(xl("info -n"), 0);
    CU_ASSERT_TRUE(said("host                   : \n"));
    CU_ASSERT_TRUE(said("device           node\nNo device topology data available\nnuma_info"));
    end();
}

/* Each call of the libraries fails once: it is said, and nothing is shown. */
static void test_failures(void)
{
    unsigned int n = 1;

    start(&home);
    for (; machine_fail_at(n), xl("info -n") != 0; n++) {
        CU_ASSERT_TRUE(x.out.len_bytes == 0 && x.err.bytes &&
                       strcmp(x.err.bytes, "xl: the machine: Input/output error\n") == 0);
        CU_ASSERT_TRUE(n < 20);
        if (n == 20)
            break;
    }
    CU_ASSERT_TRUE(n > 8);
    machine_fail_at(0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl info", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_info);
    T(test_json);
    T(test_without_a_kernel);
    T(test_failures);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
