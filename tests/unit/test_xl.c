/* xl's commands on a machine in memory: what they do, what they print, what they exit with. */
#include <CUnit/Basic.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/elfnote.h>
#include <xen/sched.h>

#include "../../dom0-tools/xl.h"
#include "toolstack_machine.h"

#define BASE 0xffffffff80000000ul

/* ---- files ---- */

static uint8_t kernel[0x1100];
static const char *config_text;
static domid_t while_reading; /* the domain that there was when the kernel was read */
static domid_t the_one(void);

char *plat_file_read(const char *path, size_t *len)
{
    bool is_kernel = strcmp(path, "/kernel") == 0;
    char *copy;

    while_reading = is_kernel ? the_one() : while_reading;

    if (!is_kernel && (strcmp(path, "guest.cfg") != 0 || config_text == NULL)) {
        errno = ENOENT;
        return NULL;
    }
    *len = is_kernel ? sizeof(kernel) : strlen(config_text);
    copy = malloc(*len + 1);
    memcpy(copy, is_kernel ? (const char *)kernel : config_text, *len);
    copy[*len] = '\0';
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

uint64_t plat_now(void) { return 5; }
static uint64_t wall = 1700000000;
uint64_t plat_wall(void) { return wall * 1000000000; }
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
void plat_log(enum plat_level level, const char *fmt, ...) {}

/* While xl waits the domains end. */
static unsigned int waits;
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    if (++waits == 3)
        for (unsigned int d = 1; d < NR_DOMAINS; d++)
            machine[d].flags |= machine[d].there ? XEN_DOMINF_shutdown : 0;
    return false;
}

static void make_kernel(void)
{
    Elf64_Ehdr *eh = (Elf64_Ehdr *)kernel;
    Elf64_Phdr *ph = (Elf64_Phdr *)(eh + 1);
    Elf64_Nhdr *n = (Elf64_Nhdr *)(kernel + 0x400);

    *eh = (Elf64_Ehdr){ .e_ident = "\177ELF\2\1\1",
                        .e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_phoff = sizeof(*eh),
                        .e_phentsize = sizeof(*ph),
                        .e_phnum = 2,
                        .e_entry = BASE + 0x100000 };
    ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                          .p_offset = 0x1000,
                          .p_paddr = 0x100000,
                          .p_filesz = 0x100,
                          .p_memsz = 0x100 };
    ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = 24, .p_memsz = 24 };
    *n = (Elf64_Nhdr){ 4, 8, XEN_ELFNOTE_VIRT_BASE };
    memcpy(n + 1, "Xen", 4);
    memcpy((char *)(n + 1) + 4, &(uint64_t){ BASE }, 8);
}

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

/* ---- xl ---- */

static struct xl x;
static char some_store;

static void start(void)
{
    machine_reset();
    make_kernel();
    config_text = "name = 'web'\nkernel = '/kernel'\nmemory = 8\nvcpus = 2\n";
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&x.tools, (struct xs_handle *)&some_store, 0), 0);
}

static void end(void)
{
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there)
            guest_destroy(&x.tools, (domid_t)d);
    CU_ASSERT_EQUAL(machine_free(), NR_FRAMES);
    toolstack_close(&x.tools);
    CU_ASSERT_EQUAL(machine_held(), 0);
}

/* The domain that there is beside domain 0; 0: none, or several. */
static domid_t the_one(void)
{
    unsigned int found = 0, nr = 0;

    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there) {
            found = d;
            nr++;
        }
    return nr == 1 ? (domid_t)found : 0;
}

/* "%" in a line or text is the number of the_one(). */
static void fill_in(char *to, const char *from)
{
    for (; *from; from++)
        if (*from == '%')
            to += sprintf(to, "%u", the_one());
        else
            *to++ = *from;
    *to = '\0';
}

static void run(const char *line, int code, const char *out, const char *err)
{
    char copy[256], want[1024], *words[16];
    int rc;

    fill_in(copy, line);
    rc = words_split(copy, words, 16);
    rc = xl_run(&x, rc, words);
    CU_ASSERT_EQUAL(rc, code);
    fill_in(want, out);
    CU_ASSERT_STRING_EQUAL(x.out.bytes ? x.out.bytes : "", want);
    if (strcmp(x.out.bytes ? x.out.bytes : "", want) != 0 || rc != code)
        printf("xl %s: %d\n%s%s", line, rc, x.out.bytes, x.err.bytes);
    fill_in(want, err);
    CU_ASSERT_STRING_EQUAL(x.err.bytes ? x.err.bytes : "", want);
    if (strcmp(x.err.bytes ? x.err.bytes : "", want) != 0)
        printf("xl %s: %d\n%s%s", line, rc, x.out.bytes, x.err.bytes);
    text_free(&x.out);
    text_free(&x.err);
}

static void expect_node(const char *leaf, const char *value)
{
    char path[96], want[64];
    const struct machine_node *n;

    snprintf(path, sizeof(path), "/local/domain/%u/%s", the_one(), leaf);
    n = machine_node(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    fill_in(want, value);
    CU_ASSERT_STRING_EQUAL(n->value, want);
}

static void test_create(void)
{
    start();
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

    start();
    CU_ASSERT_EQUAL(xl_run(&x, 5, words), 0);
    CU_ASSERT_EQUAL(strncmp(x.out.bytes, "{\n    \"c_info\": {\n", 18), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "        \"name\": \"web\",\n"));
    CU_ASSERT_EQUAL(the_one(), 0);
    text_free(&x.out);
    end();
}

static void test_what_create_refuses(void)
{
    start();
    run("create", 1, "", "xl: no configuration file\n");
    run("create guest.cfg other.cfg", 1, "", "xl: two configuration files: guest.cfg, other.cfg\n");
    run("create none.cfg", 3, "",
        "Failed to read config file: none.cfg: No such file or directory\n");
    run("create -c guest.cfg", 1, "", "xl: create: -c is not served yet\n");
    run("create -q guest.cfg \"kernel='/none'\"", 3, "", "xl: /none: No such file or directory\n");
    run("create -q guest.cfg memory=1", 3, "",
        "xl: 1 MiB for it, but kernel, ramdisk and tables need 4 MiB\n");
    run("create -q guest.cfg memory=1000000", 3, "",
        "xl: no memory for it: of 1000000 MiB 64 are free\n");
    config_text = "name = 'web'\nkernel = '/kernel'\nmemroy = 8\n";
    CU_ASSERT_EQUAL(the_one(), 0);
    end();
}

static void test_lists(void)
{
    static const char head[] =
        "Name                                        ID   Mem VCPUs\tState\tTime(s)\n";
    char want[512];

    start();
    run("create -q -p guest.cfg", 0, "", "");
    machine[the_one()].flags = XEN_DOMINF_blocked;
    snprintf(want, sizeof(want), "%s%-40s %5u %5u %5u     -bp---  %8s\n", head, "web", the_one(), 8,
             0, "0.0");
    run("list web", 0, want, "");
    run("list %", 0, want, "");
    snprintf(
        want, sizeof(want),
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
        "%-32s %5u     0    1   --- %9s  all / all\n"
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

    start();
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
    start();
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
    start();
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
    start();
    run("create -q guest.cfg", 0, "", "");
    run("trigger web nmi one", 1, "", "Invalid vcpu: one\n");
    run("trigger web nap", 1, "", "Invalid trigger: nap\n");
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

static void test_requests(void)
{
    start();
    run("create -q guest.cfg", 0, "", "");
    run("reboot web", 0, "", "Rebooting domain %\n");
    expect_node("control/shutdown", "reboot");
    waits = 0;
    run("shutdown -w web", 0, "", "Shutting down domain %\n");
    expect_node("control/shutdown", "poweroff");
    CU_ASSERT_EQUAL(waits, 3);
    run("shutdown -a -w", 0, "", "Shutting down domain %\n");
    run("shutdown", 2, "", "xl: either a domain, or -a\n");
    run("sysrq web h", 0, "", "");
    expect_node("control/sysrq", "h");
    run("sysrq web hh", 1, "", "Invalid sysrq: hh\n");
    end();
}

static void test_memory(void)
{
    start();
    run("create -q guest.cfg maxmem=16", 0, "", "");
    run("mem-set web 12", 0, "", "");
    expect_node("memory/target", "12288");
    run("mem-set web 17", 1, "", "cannot set domid % memory to 17: it may have 16 MiB\n");
    run("mem-max web 32m", 0, "", "");
    CU_ASSERT_EQUAL(machine[the_one()].max_pages, 8192);
    expect_node("memory/static-max", "32768");
    run("mem-max web 7", 1, "", "cannot set domid % static max memory to 7: it has more now\n");
    run("mem-max web x", 1, "", "invalid memory size: x\n");
    end();
}

/* ---- domains that have ended ---- */

/* It ends, and is attended to: then its number is that, or it is another one, or none. */
static domid_t ends(unsigned int code, int attended)
{
    machine[the_one()].flags = XEN_DOMINF_shutdown | code << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), attended);
    return the_one();
}

static void test_ends_by_configuration(void)
{
    xen_domain_handle_t uuid;
    domid_t first, second;

    start();
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

    start();
    run("create -q guest.cfg maxmem=16", 0, "", "");
    run("mem-set web 12", 0, "", "");
    run("mem-max web 32", 0, "", "");
    run("vcpu-set web 1", 0, "", "");
    run("sched-credit2 -d web -w 512 -c 50", 0, "", "");
    next = ends(SHUTDOWN_reboot, 1);
    CU_ASSERT_TRUE(machine[next].nr_pages == 3072 && machine[next].max_pages == 8192);
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

    start();
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

static void test_who_attends(void)
{
    domid_t first;

    start();
    run("create -F guest.cfg", 1, "", "xl: create: -F is not served yet\n"); /* at a prompt */
    x.want_attendant = want_attendant;
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
    x.want_attendant = NULL;
    end();
}

static void test_foreground(void)
{
    domid_t first, next = 0;

    start();
    x.want_attendant = want_attendant;
    asked = there_is_one = waits = 0;
    run("create -q -F guest.cfg", 0, "", ""); /* plat_cond_wait() lets it end */
    CU_ASSERT_TRUE(asked == 0 && waits == 3 && the_one() == 0);
    waits = 0;
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
    x.want_attendant = NULL;
    end();
}

static void test_a_restart_that_fails(void)
{
    start();
    run("create -q guest.cfg", 0, "", "");
    kernel[0] = 0;
    CU_ASSERT_EQUAL(ends(SHUTDOWN_reboot, 1), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.tools.error, "no ELF file"));
    end();
}

static void test_long_list(void)
{
    char *words[] = { "list", "-l" };

    start();
    run("create -q guest.cfg", 0, "", "");
    CU_ASSERT_EQUAL(xl_run(&x, 2, words), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"web\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, "\"domid\""));
    text_free(&x.out);
    end();
}

static void test_what_is_not_served(void)
{
    start();
    run("console web", 1, "", "xl: console: not served yet\n");
    run("save web file", 1, "", "xl: save: not served yet\n");
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
    T(test_lists);
    T(test_shares);
    T(test_vcpus);
    T(test_names_and_numbers);
    T(test_pause_and_destroy);
    T(test_requests);
    T(test_memory);
    T(test_ends_by_configuration);
    T(test_restarts_as_it_is);
    T(test_what_is_preserved);
    T(test_who_attends);
    T(test_foreground);
    T(test_a_restart_that_fails);
    T(test_long_list);
    T(test_what_is_not_served);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
