/* xl's commands on a machine in memory: what they do, what they print, what they exit with. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/sched.h>
#include <xenstore.h>

#include "toolstack_machine.h"
#include "xl_machine.h"

/* A terminal of which the user leaves at once; "none" has no console. */
static char at_console[16], shown[64];
static unsigned int console_number;
static unsigned int pauses_before, pauses_then;

static void fake_show(struct xl *of)
{
    snprintf(shown, sizeof(shown), "%s%s", of->out.bytes ? of->out.bytes : "",
             of->err.bytes ? of->err.bytes : "");
    text_free(&of->out);
    text_free(&of->err);
}

static int fake_console(struct xl *of, const char *who, unsigned int number,
                        void (*attached)(void *arg), void *arg)
{
    domid_t id;

    snprintf(at_console, sizeof(at_console), "%s", who);
    console_number = number;
    if (guest_find(&of->tools, who, &id))
        return xl_fail(of, "no such console");
    fake_show(of);
    pauses_before = machine[id].pauses;
    if (attached)
        attached(arg);
    pauses_then = machine[id].pauses;
    return EXIT_OK;
}

static const struct xl_home home = { .show = fake_show, .console = fake_console };

static void test_create(void)
{
    start(&home);
    run("create -n guest.cfg memory=x", 1, "",
        "Parsing config from guest.cfg\ncommand line:1: a string, a number or a list is missing near 'x'\nFailed to parse config: Invalid argument\n");
    CU_ASSERT_EQUAL(the_one(), 0);
    run("create -p guest.cfg", 0, "", "Parsing config from guest.cfg\n");
    CU_ASSERT_NOT_EQUAL(the_one(), 0);
    CU_ASSERT_EQUAL(machine[the_one()].pauses, 1);
    CU_ASSERT_EQUAL(machine[the_one()].nr_vcpus, 2);
    run("create guest.cfg", 3, "",
        "Parsing config from guest.cfg\nxl: there is already a domain of the name web\n");
    run("destroy web", 0, "", "");
    CU_ASSERT_EQUAL(the_one(), 0);
    run("create -q \"name='other'\" guest.cfg", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].pauses, 0);
    expect_node("name", "other");
    end();
}

/* As Debian's xen-init-name reads it. */
static void test_dry_run(void)
{
    char *words[] = { "create", "--quiet", "--dryrun", "--defconfig", "guest.cfg" };

    start(&home);
    CU_ASSERT_EQUAL(xl_run(&x, 5, words), 0);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "{\n    \"c_info\": {\n", 18), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "        \"name\": \"web\",\n"));
    CU_ASSERT_EQUAL(the_one(), 0);
    text_free(&x.out);
    end();
}

static void test_what_create_refuses(void)
{
    start(&home);
    run("create", 1, "", "xl: no configuration file\n");
    run("create guest.cfg other.cfg", 1, "", "xl: two configuration files: guest.cfg, other.cfg\n");
    run("create none.cfg", 3, "",
        "Failed to read config file: none.cfg: No such file or directory\n");
    run("create -Fq guest.cfg", 1, "", "xl: -F is not served here\n"); /* as at a prompt */
    run("create -q guest.cfg \"kernel='/none'\"", 3, "", "xl: /none: No such file or directory\n");
    run("create -q guest.cfg memory=1", 3, "",
        "xl: 1 MiB for it, but kernel, ramdisk and tables need 4 MiB\n");
    run("create -q guest.cfg memory=1000000", 3, "",
        "xl: no memory for it: of 1000000 MiB 64 are free\n");
    config_text = "name = 'web'\nkernel = '/kernel'\nmemroy = 8\n";
    CU_ASSERT_EQUAL(the_one(), 0);
    end();
}

static void test_console(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("console web", 0, "", "");
    CU_ASSERT_STRING_EQUAL(at_console, "web");
    run("console -t pv -n 0 %", 0, "", "");
    run("console none", 1, "", "no such console\n");
    run("console -t virtual web", 1, "", "console type supported are: pv, serial, vuart\n");
    run("console -t serial web", 1, "", "xl: console: there are only pv's\n");
    CU_ASSERT_EQUAL(console_number, 0);
    run("console -n 12 web", 0, "", "");
    CU_ASSERT_EQUAL(console_number, 12);
    run("console -n x web", 1, "", "xl: console: x is no number of a console\n");
    run("console -n -1 web", 1, "", "xl: console: -1 is no number of a console\n");
    run("console -n 4294967296 web", 1, "", "xl: console: 4294967296 is no number of a console\n");
    x.home = NULL;
    run("console web", 1, "", "xl: there is no terminal here\n");
    end();
}

#define CHANNELS_HEAD "Idx BE state evt-ch ring-ref connection                               \n"

static void set_front(const char *leaf, const char *value)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/device/console/1/%s", the_one(), leaf);
    xs_write(x.tools.store, XBT_NULL, path, value, (unsigned int)strlen(value));
}

static void test_channel_list(void)
{
    start(&home);
    run("create -q guest.cfg \"channel=['connection=pty,name=org.a','connection=socket,path=/b,name=b']\"",
        0, "", "");
    run("channel-list web", 0,
        CHANNELS_HEAD "0   0  1     -1     -1       pty                                       \n"
                      "1   0  1     -1     -1       socket     \n",
        "");
    set_front("port", "12");
    set_front("ring-ref", "8");
    set_front("state", "4");
    set_front("tty", "/dev/pts/3");
    run("channel-list none web", 1,
        CHANNELS_HEAD "0   0  4     12     8        pty        /dev/pts/3                     \n"
                      "1   0  1     -1     -1       socket     \n",
        "none is an invalid domain identifier\n");
    run("channel-list --json %", 0,
        "[\n    {\n        \"domain\": %,\n        \"index\": 0,\n        \"console\": 1,\n"
        "        \"name\": \"org.a\",\n        \"connection\": \"pty\",\n"
        "        \"path\": \"/dev/pts/3\",\n        \"backend_domain\": 0,\n        \"state\": 4,\n"
        "        \"port\": 12,\n        \"ring_ref\": 8\n    },\n    {\n        \"domain\": %,\n"
        "        \"index\": 1,\n        \"console\": 2,\n        \"name\": \"b\",\n"
        "        \"connection\": \"socket\",\n        \"path\": \"/b\",\n        \"backend_domain\": 0,\n"
        "        \"state\": 1,\n        \"port\": null,\n        \"ring_ref\": null\n    }\n]\n",
        "");
    run("channel-list 0", 0, CHANNELS_HEAD, "");
    run("channel-list --json 0", 0, "[]\n", "");
    end();
}

/* Nothing that it says is missed: it runs when the user is there. */
static void test_create_with_a_console(void)
{
    start(&home);
    run("create -c guest.cfg", 0, "", "");
    CU_ASSERT_STRING_EQUAL(shown, "Parsing config from guest.cfg\n");
    CU_ASSERT_TRUE(pauses_before == 1 && pauses_then == 0);
    CU_ASSERT_EQUAL(machine[the_one()].pauses, 0);
    run("destroy web", 0, "", "");
    run("create -cqp guest.cfg", 0, "", "");
    CU_ASSERT_TRUE(pauses_before == 1 && pauses_then == 1);
    run("destroy web", 0, "", "");
    at_console[0] = '\0';
    run("create -cqn guest.cfg memory=x", 1, "",
        "command line:1: a string, a number or a list is missing near 'x'\nFailed to parse config: Invalid argument\n");
    CU_ASSERT_STRING_EQUAL(at_console, "");
    x.home = NULL; /* the domain is there all the same */
    run("create -cq guest.cfg", 0, "",
        "xl: there is no terminal here\nxl: domain % has been created, but its console is not to be had\n");
    CU_ASSERT_EQUAL(machine[the_one()].pauses, 0);
    end();
}

static void test_lists(void)
{
    static const char head[] =
        "Name                                        ID   Mem VCPUs\tState\tTime(s)\n";
    char want[512];

    start(&home);
    run("create -q -p guest.cfg", 0, "", "");
    machine[the_one()].flags = XEN_DOMINF_blocked;
    snprintf(want, sizeof(want), "%s%-40s %5u %5u %5u     -bp---  %8s\n", head, "web", the_one(), 8,
             0, "0.0");
    run("list web", 0, want, "");
    run("list %", 0, want, "");
    snprintf(
        want, sizeof(want),
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
        "%-32s %5u     0    1   -b- %9s  all / all\n"
        "%-32s %5u     1    -   --p %9s  all / all\n",
        "web", the_one(), "2.5", "web", the_one(), "2.5");
    run("vcpu-list web", 0, want, "");
    run("list none", 1, "", "xl: none is an invalid domain identifier\n");
    run("sched-credit2 -d none", 1, "", "xl: none is an invalid domain identifier\n");
    wall += 3661;
    snprintf(want, sizeof(want), "%-33s %4s %s\n%-33s %4u  %s\n", "Name", "ID", "Uptime", "web",
             the_one(), "1:01:01");
    run("uptime web", 0, want, "");
    wall -= 3661;
    end();
}

static void test_shares(void)
{
    char want[256];

    start(&home);
    run("create -q guest.cfg cpu_weight=300 cap=50", 0, "", "");
    snprintf(want, sizeof(want), "%-33s %4s %6s %4s\n%-33s %4u %6u %4u\n", "Name", "ID", "Weight",
             "Cap", "web", the_one(), 300, 50);
    run("sched-credit2 -d web", 0, want, "");
    run("sched-credit2 -d web -w 512", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].weight == 512 && machine[the_one()].cap == 50);
    run("sched-credit2 -d web -c 0", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].weight == 512 && machine[the_one()].cap == 0);
    run("sched-credit2 -w 1", 1, "", "Must specify a domain.\n");
    run("sched-credit2 -d web -w 0", 1, "", "xl: sched-credit2: weights are from 1 on\n");
    run("sched-credit2 -d web -w 70000", 1, "", "xl: sched-credit2: 70000 is no weight or cap\n");
    run("sched-credit2 -d web -c 1x", 1, "", "xl: sched-credit2: 1x is no weight or cap\n");
    end();
}

static void test_vcpus(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("vcpu-pin web 1 0-2", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].nr_hard == 1 && machine[the_one()].nr_soft == 0);
    run("vcpu-pin web all - 1", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].nr_hard == 1 && machine[the_one()].nr_soft == 2);
    run("vcpu-pin web all all all", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].nr_hard == 3 && machine[the_one()].nr_soft == 4);
    run("-N vcpu-pin web 0 1", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].nr_hard, 3);
    run("vcpu-pin web 2 1", 1, "", "Error: Invalid argument 2 as VCPU.\n");
    run("vcpu-pin web x 1", 1, "", "Error: Invalid argument x as VCPU.\n");
    run("vcpu-pin web 0 a", 1, "", "xl: vcpu-pin: a is no list of CPUs\n");
    expect_node("cpu/1/availability", "online");
    run("vcpu-set web 1", 0, "", "");
    expect_node("cpu/0/availability", "online");
    expect_node("cpu/1/availability", "offline");
    run("vcpu-set web 3", 1, "", "xl: domain % has at most 2 VCPUs\n");
    run("vcpu-set web 0", 1, "", "Error: Invalid argument 0 for the number of VCPUs.\n");
    run("destroy web", 0, "", "");
    run("create -q guest.cfg maxvcpus=8", 0, "", "");
    run("vcpu-set web 5", 1, "",
        "xl: the machine has 4 CPUs; with -i 5 VCPUs can be set all the same\n");
    run("vcpu-set -i web 5", 0, "", "");
    expect_node("cpu/4/availability", "online");
    end();
}

static void test_names_and_numbers(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("domid web", 0, "%\n", "");
    run("domname %", 0, "web\n", "");
    run("domid none", 1, "",
        "Can't get domid of domain name 'none', maybe this domain does not exist.\n");
    run("domname 399", 1, "",
        "Can't get domain name of domain id '399', maybe this domain does not exist.\n");
    run("domname x", 1, "", "Invalid domain id: x\n");
    run("rename web shop", 0, "", "");
    run("domname %", 0, "shop\n", "");
    run("rename shop a/b", 1, "", "xl: \"a/b\" is no name of a domain\n");
    end();
}

static void test_pause_and_destroy(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("trigger web nmi one", 1, "", "Invalid vcpu: one\n");
    run("trigger web nap", 1, "", "Invalid trigger: nap\n");
    run("trigger web nmi 2", 1, "", "xl: domain % has no vCPU 2\n");
    run("pause web", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].pauses, 1);
    run("unpause web", 0, "", "");
    run("unpause web", 1, "", "xl: domain %: cannot be unpaused: Invalid argument\n");
    run("destroy 0", 1, "", "Cannot destroy privileged domain 0.\n");
    run("destroy none", 1, "", "xl: none is an invalid domain identifier\n");
    run("destroy %", 0, "", "");
    CU_ASSERT_EQUAL(the_one(), 0);
    end();
}

/* Where there is too little memory it is said. */
static void test_shells(void)
{
    start(&home);
    run("shells 2 16", 0, "", "");
    run("shells", 0, "2 wanted of 16 MiB with 1 vCPUs\n   ID   Mem VCPUs\n", "");
    run("shells -w", 1, "", "xl: shells: there are 0, and do not become more\n");
    run("shells 2 61", 0, "", ""); /* 64, of which 4 are to stay free */
    run("shells", 0,
        "2 wanted of 61 MiB with 1 vCPUs\n   ID   Mem VCPUs\n"
        "too little memory for one more: 64 MiB are free\n",
        "");
    run("shells -w", 1, "",
        "xl: shells: there are 0, and do not become more: too little memory for one more: 64 MiB are free\n");
    end();
}

static void test_requests(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("reboot web", 0, "", "Rebooting domain %\n");
    expect_node("control/shutdown", "reboot");
    nr_waits = 0;
    run("shutdown -w web", 0, "", "");
    CU_ASSERT_EQUAL(strncmp(shown, "Shutting down domain ", 21), 0); /* before the waiting */
    expect_node("control/shutdown", "poweroff");
    CU_ASSERT_EQUAL(nr_waits, 3);
    x.home = NULL;
    run("shutdown -a -w", 0, "", "Shutting down domain %\n");
    run("shutdown", 2, "", "xl: either a domain, or -a\n");
    run("sysrq web h", 0, "", "");
    expect_node("control/sysrq", "h");
    run("sysrq web hh", 1, "", "Invalid sysrq: hh\n");
    end();
}

static void test_memory(void)
{
    start(&home);
    run("create -q guest.cfg maxmem=16", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages,
                    (8 + 1) * 256); /* until it is told to have more */
    expect_node("memory/static-max", "16384");
    run("mem-set web 12", 0, "", "");
    expect_node("memory/target", "12288");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, (12 + 1) * 256);
    run("mem-set web 16", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, 16 * 256);
    run("mem-set web 4", 0, "", "");
    CU_ASSERT_TRUE(machine[the_one()].max_pages == 5 * 256 && machine[the_one()].nr_pages == 2048);
    run("mem-set web 17", 1, "", "cannot set domid % memory to 17: it may have 16 MiB\n");
    run("mem-max web 32m", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, 5 * 256); /* still what mem-set gave it */
    expect_node("memory/static-max", "32768");
    run("mem-set web 32", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, 8192);
    run("mem-max web 16", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, 4096); /* less than that */
    run("mem-set web 0", 1, "", "cannot set domid % memory to 0: 1 MiB is the least\n");
    run("mem-max web 7", 1, "", "cannot set domid % static max memory to 7: it has more now\n");
    run("mem-max web x", 1, "", "invalid memory size: x\n");
    end();
}

/* Of a domain that nobody has made these nodes for, as domain 0; and where the store fails between them. */
static void test_memory_that_cannot_be_set(void)
{
    domid_t id;
    bool done = false;

    start(&home);
    machine[0].max_pages = 256 * 256;
    run("mem-set 0 100", 1, "",
        "xl: domain 0: memory/target in the store: No such file or directory\n");
    run("mem-max 0 100", 1, "",
        "xl: domain 0: memory/static-max in the store: No such file or directory\n");
    CU_ASSERT_EQUAL(machine[0].max_pages, 256 * 256);
    run("create -q guest.cfg maxmem=16", 0, "", "");
    id = the_one();
    for (unsigned int n = 1; !done && n < 100; n++) {
        machine_fail_at(n);
        done = xl("mem-set web 12") == 0;
        if (machine_fail_at(0) && !done) {
            expect_node("memory/target", "8192");
            CU_ASSERT_EQUAL(machine[id].max_pages, 9 * 256);
        }
        text_free(&x.err);
    }
    CU_ASSERT_TRUE(done && machine[id].max_pages == 13 * 256);
    end();
}

/* ---- domains that have ended ---- */

static void test_ends_by_configuration(void)
{
    xen_domain_handle_t uuid;
    domid_t first, second;

    start(&home);
    run("create -q guest.cfg", 0, "", "");
    first = the_one();
    memcpy(uuid, machine[first].handle, sizeof(uuid));
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    CU_ASSERT_EQUAL(ends(SHUTDOWN_suspend, 0), first);
    second = ends(SHUTDOWN_reboot, 1);
    CU_ASSERT_EQUAL(while_reading, first); /* so that there is none only for a moment */
    CU_ASSERT_TRUE_FATAL(second != 0 && second != first);
    CU_ASSERT_EQUAL(memcmp(uuid, machine[second].handle, sizeof(uuid)), 0);
    CU_ASSERT_EQUAL(machine[second].pauses, 0);
    CU_ASSERT_EQUAL(machine[second].nr_pages, 2048);
    run("rename web shop", 0, "", "");
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    expect_node("name", "shop");
    CU_ASSERT_EQUAL(ends(SHUTDOWN_poweroff, 1), 0);
    end();
}

/* What was changed since is so in the next one, too. */
static void test_restarts_as_it_is(void)
{
    domid_t next;

    start(&home);
    run("create -q guest.cfg maxmem=16", 0, "", "");
    run("mem-set web 12", 0, "", "");
    run("mem-max web 32", 0, "", "");
    run("vcpu-set web 1", 0, "", "");
    run("sched-credit2 -d web -w 512 -c 50", 0, "", "");
    next = ends(SHUTDOWN_reboot, 1);
    CU_ASSERT_TRUE(machine[next].nr_pages == 3072 && machine[next].max_pages == 13 * 256);
    CU_ASSERT_TRUE(machine[next].weight == 512 && machine[next].cap == 50);
    CU_ASSERT_EQUAL(machine[next].max_vcpus, 2);
    expect_node("memory/target", "12288");
    expect_node("memory/static-max", "32768");
    expect_node("cpu/0/availability", "online");
    expect_node("cpu/1/availability", "offline");
    end();
}

static void test_what_is_preserved(void)
{
    domid_t first;

    start(&home);
    config_text = "name = 'web'\nkernel = '/kernel'\nmemory = 8\non_crash = 'preserve'\n"
                  "on_poweroff = 'rename-restart'\non_watchdog = 'coredump-restart'\n";
    run("create -q guest.cfg", 0, "", "");
    first = ends(SHUTDOWN_watchdog, 1);
    CU_ASSERT_NOT_EQUAL(first, 0);
    CU_ASSERT_EQUAL(ends(SHUTDOWN_crash, 1), first);
    CU_ASSERT_EQUAL(ends(SHUTDOWN_crash, 0), first); /* once */
    run("destroy web", 0, "", "");
    run("create -q guest.cfg", 0, "", "");
    first = the_one();
    CU_ASSERT_EQUAL(ends(SHUTDOWN_poweroff, 1), 0); /* there are two */
    CU_ASSERT_TRUE(machine[first].there);
    run("destroy web", 0, "", "");
    CU_ASSERT_EQUAL(the_one(), first);
    CU_ASSERT_EQUAL(guest_attend(&x.tools), 0);
    expect_node("name", "web-%");
    end();
}

/* As on Linux: somebody is asked for, each time that one is needed; or cannot be had. */
static int asked, there_is_one;
static int want_attendant(struct xl *xl)
{
    asked++;
    return there_is_one ? EXIT_OK : xl_fail(xl, "nobody attends");
}

static const struct xl_home linux_home = { .show = fake_show,
                                           .console = fake_console,
                                           .want_attendant = want_attendant };

static void test_who_attends(void)
{
    domid_t first;

    start(&linux_home);
    asked = there_is_one = 0;
    run("create -q guest.cfg", 1, "", "nobody attends\n");
    CU_ASSERT_TRUE(asked == 1 && the_one() == 0);
    run("create -q -e guest.cfg \"on_poweroff='restart'\"", 0, "", "");
    first = ends(SHUTDOWN_poweroff, 0); /* left alone, and so it stays */
    CU_ASSERT_TRUE(asked == 1 && first != 0);
    run("destroy web", 0, "", "");
    there_is_one = 1;
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_TRUE(asked == 2 && ends(SHUTDOWN_poweroff, 1) == 0);
    end();
}

static void test_foreground(void)
{
    domid_t first, next = 0;

    start(&linux_home);
    asked = there_is_one = nr_waits = 0;
    run("create -q -F guest.cfg", 0, "", ""); /* plat_cond_wait() lets it end */
    CU_ASSERT_TRUE(asked == 0 && nr_waits == 3 && the_one() == 0);
    nr_waits = 0;
    run("create -q -F guest.cfg \"on_poweroff='preserve'\"", 0, "", "");
    CU_ASSERT_NOT_EQUAL(the_one(), 0);
    run("destroy web", 0, "", "");
    run("create -q -e guest.cfg", 0, "", "");
    first = the_one();
    CU_ASSERT_EQUAL(guest_attend_one(&x.tools, first, &next), 0);
    machine[first].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    x.tools.unattended = true; /* as xl create -F has it */
    CU_ASSERT_EQUAL(guest_attend_one(&x.tools, first, &next), 1);
    CU_ASSERT_TRUE(next != 0 && next == the_one());
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 0), next); /* who follows in the foreground has it, too */
    CU_ASSERT_EQUAL(guest_attend_one(&x.tools, first, &next), -1);
    x.tools.unattended = false;
    end();
}

static void test_a_restart_that_fails(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    kernel_bytes[0] = 0;
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.tools.error, "no ELF file"));
    end();
}

/* Whoever starts it again is in another folder; what was given is shown. */
static int in_root, too_long;
static int fake_folder(char *path, size_t size)
{
    errno = ERANGE;
    snprintf(path, size, "%s", in_root ? "/" : "/images");
    return too_long ? -1 : 0;
}

static const struct xl_home in_a_folder = { .show = fake_show, .folder = fake_folder };

static void test_relative_paths(void)
{
    domid_t first;

    start(&in_a_folder);
    in_root = too_long = 0;
    config_text = "name = 'web'\nkernel = 'kernel'\nramdisk = 'kernel'\nmemory = 8\n";
    CU_ASSERT_EQUAL(xl("create -nq guest.cfg"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"kernel\": \"kernel\""));
    run("create -q guest.cfg", 3, "", "xl: /images/kernel: No such file or directory\n");
    too_long = 1;
    run("create -q guest.cfg", 1, "",
        "xl: kernel: in which folder: Numerical result out of range\n");
    too_long = 0;
    in_root = 1;
    run("create -q guest.cfg", 0, "", "");
    first = the_one();
    x.home = NULL;
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), first);
    CU_ASSERT_NOT_EQUAL(the_one(), 0);
    x.home = &in_a_folder;
    run("config-update web guest.cfg", 0, "", "setting dom% configuration\n");
    x.home = NULL;
    CU_ASSERT_NOT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    end();
}

static void test_long_list(void)
{
    char *words[] = { "list", "-l" };

    start(&home);
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_EQUAL(xl("create -nq guest.cfg"), 0);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "{\n    \"c_info\": {\n", 18), 0);
    text_free(&x.out);
    CU_ASSERT_EQUAL(xl_run(&x, 2, words), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"web\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"domid\""));
    text_free(&x.out);
    /* scripts tell domains by what it says now */
    run("rename web shop", 0, "", "");
    CU_ASSERT_EQUAL(xl_run(&x, 2, words), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"name\": \"shop\""));
    CU_ASSERT_PTR_NULL(strstr(x.out.bytes, "\"web\""));
    CU_ASSERT_PTR_NULL(strstr(x.out.bytes, "00000000-0000"));
    text_free(&x.out);
    end();
}

static unsigned int patience;

static bool has_enough(void) { return patience == 0 || patience-- == 0; }

/* A guest need not do what it is asked for. */
static void test_waiting_is_interrupted(void)
{
    start(&home);
    run("create -q guest.cfg", 0, "", "");
    x.tools.interrupted = has_enough;
    patience = 3;
    CU_ASSERT_EQUAL(xl("shutdown -w web"), 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x.err.bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.err.bytes, "interrupted"));
    CU_ASSERT_EQUAL(patience, 0);
    text_free(&x.err);
    x.tools.interrupted = NULL;
    end();
}

static void test_config_update(void)
{
    domid_t first;

    start(&home);
    run("create -q guest.cfg", 0, "", "");
    run("config-update web", 1, "", "Config file not specified\n");
    run("config-update web none.cfg", 1, "",
        "Failed to read config file: none.cfg: No such file or directory\n");
    run("config-update none guest.cfg", 1, "", "xl: none is an invalid domain identifier\n");
    run("config-update web guest.cfg memory=x", 1, "",
        "command line:1: a string, a number or a list is missing near 'x'\nFailed to parse config: Invalid argument\n");
    run("config-update web guest.cfg \"pool='other'\"", 1, "",
        "setting dom% configuration\nxl: pool: there is only Pool-0, not other\n"
        "failed to update configuration\n");
    run("config-update 0 guest.cfg", 1, "",
        "setting dom0 configuration\nxl: domain 0: its configuration in the store: No such file or directory\n"
        "failed to update configuration\n");
    CU_ASSERT_EQUAL(xl("-N config-update web guest.cfg memory=12"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"target_memkb\": 12288"));
    first = ends(SHUTDOWN_reboot, 1);
    CU_ASSERT_EQUAL(machine[first].nr_pages, 2048); /* of all that nothing was kept */
    run("config-update web -f guest.cfg memory=12", 0, "", "setting dom% configuration\n");
    CU_ASSERT_EQUAL(machine[first].nr_pages, 2048);
    CU_ASSERT_EQUAL(machine[ends(SHUTDOWN_reboot, 1)].nr_pages, 3072);
    expect_node("name", "web");
    end();
}

static void test_what_is_not_served(void)
{
    start(&home);
    run("migrate web host", 1, "", "command not implemented\n");
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_create);
    T(test_dry_run);
    T(test_what_create_refuses);
    T(test_console);
    T(test_channel_list);
    T(test_create_with_a_console);
    T(test_lists);
    T(test_shares);
    T(test_vcpus);
    T(test_names_and_numbers);
    T(test_pause_and_destroy);
    T(test_shells);
    T(test_requests);
    T(test_memory);
    T(test_memory_that_cannot_be_set);
    T(test_ends_by_configuration);
    T(test_restarts_as_it_is);
    T(test_what_is_preserved);
    T(test_who_attends);
    T(test_foreground);
    T(test_a_restart_that_fails);
    T(test_relative_paths);
    T(test_long_list);
    T(test_waiting_is_interrupted);
    T(test_config_update);
    T(test_what_is_not_served);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
