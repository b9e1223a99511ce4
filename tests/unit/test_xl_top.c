/* xl top on the machine in memory. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xenstore.h>

#include "toolstack_machine.h"
#include "xl_machine.h"

static char tables[4][2048]; /* what was shown, one look each */
static unsigned int nr_shown, seconds_waited, patience;
static bool took_keys;

static void show(struct xl *of)
{
    CU_ASSERT_TRUE_FATAL(nr_shown < 4);
    snprintf(tables[nr_shown++], sizeof(tables[0]), "%s", of->out.bytes ? of->out.bytes : "");
    text_free(&of->out);
}

/* Meanwhile the domain computes for 1.26 s. */
static bool wait(struct xl *of, unsigned int seconds, bool keys)
{
    seconds_waited += seconds;
    took_keys = keys;
    now_ns += seconds * 1000000000ull;
    machine[the_one()].cpu_time += 1260000000;
    return --patience > 0;
}

static const struct xl_home home = { .show = show, .wait = wait };

static const char head[] =
    "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   "
    "VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n";

static void begin(void)
{
    start(&home);
    nr_shown = seconds_waited = 0;
    patience = 100;
    CU_ASSERT_EQUAL(xl("create -q guest.cfg maxmem=16"), 0);
}

static void test_batch(void)
{
    begin();
    CU_ASSERT_EQUAL(xl("top -b -i 2 -d 2"), 0);
    CU_ASSERT_TRUE(nr_shown == 1 && seconds_waited == 2 && !took_keys);
    CU_ASSERT_EQUAL(strncmp(tables[0], head, strlen(head)), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        tables[0],
        "\n       web ------          0    0.0       8192   12.5       9216      14.1"
        "     2    0        0        0    0        0        0        0          0          0    0\n"));
    /* the second look is what is left to be shown */
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes,
                                  "\n       web ------          1   63.0       8192   12.5 "));
    patience = 1;
    nr_shown = 0;
    CU_ASSERT_EQUAL(xl("top -b"), 0);
    CU_ASSERT_TRUE(nr_shown == 1 && took_keys);
    end();
}

static void test_names_and_devices(void)
{
    begin();
    CU_ASSERT_EQUAL(xl("rename web a-long-name-of-a-domain"), 0);
    machine[the_one()].flags = XEN_DOMINF_blocked | XEN_DOMINF_dying;
    machine[the_one()].max_pages = UINT32_MAX;
    CU_ASSERT_EQUAL(xl("top -b -i 1"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\na-long-nam d-b--- "));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "   no limit       n/a     2 "));
    CU_ASSERT_EQUAL(xl("top -bfi 1"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\na-long-name-of-a-domain d-b--- "));
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "                   NAME  STATE ", 31), 0);
    machine[the_one()].flags = 0;
    for (unsigned int i = 0; i < 2; i++) {
        char path[64];

        snprintf(path, sizeof(path), "/local/domain/%u/device/vif/%u", the_one(), i);
        CU_ASSERT_TRUE(xs_write(x.tools.store, XBT_NULL, path, "", 0));
    }
    CU_ASSERT_EQUAL(xl("top -b -i 1"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, " 2    2      n/a      n/a    0        0 "));
    end();
}

/* At a terminal, in one place, until the user has had enough. */
static void test_interactive(void)
{
    begin();
    patience = 2;
    wall = 1700000000;
    CU_ASSERT_EQUAL(xl("top"), 0);
    CU_ASSERT_TRUE(nr_shown == 2 && seconds_waited == 6 && took_keys);
    CU_ASSERT_EQUAL(
        strncmp(tables[1],
                "\033[H\033[2Jxl top - 22:13:20   Xen 4.17.5-fake\n"
                "2 domains: 0 running, 0 blocked, 0 paused, 0 crashed, 0 dying, 0 shutdown \n"
                "Mem: 65536k total, 8200k used, 57336k free    CPUs: 4 @ 2400MHz\n      NAME",
                strlen("\033[H\033[2Jxl top - 22:13:20   Xen 4.17.5-fake\n")),
        0);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        tables[1], "Mem: 65536k total, 8200k used, 57336k free    CPUs: 4 @ 2400MHz\n      NAME"));
    CU_ASSERT_PTR_NOT_NULL(strstr(tables[1], "  42.0 "));
    end();
}

static void test_refused(void)
{
    begin();
    run("top -d 0", 1, "", "xl: top: 0 is no number from 1 on\n");
    run("top -i 2x", 1, "", "xl: top: 2x is no number from 1 on\n");
    run("top -v", 2, "", "option `v' not supported.\n");
    x.home = NULL;
    run("top -b", 1, "", "xl: there is no terminal here\n");
    end();
}

/* Each call of the libraries fails once. */
static void test_failures(void)
{
    unsigned int n = 1;

    begin();
    for (bool failed = true; failed && n < 100; n++) {
        machine_fail_at(n);
        CU_ASSERT_TRUE((xl("top -b -i 1") == 0) == (x.err.len_bytes == 0));
        failed = machine_fail_at(0);
    }
    CU_ASSERT_TRUE(n > 10 && n < 100);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl top", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_batch);
    T(test_names_and_devices);
    T(test_interactive);
    T(test_refused);
    T(test_failures);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
