/*
 * The system tests: each boots a machine in QEMU through GRUB and watches its console.
 *   usage: system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] [-d FILES-DIR] [-k KERNEL] ISO GROUP...
 *          system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] [-x PEER.tsv] [-q] [-s] [-a] [-b BESIDE.tsv] ISO guests
 *              TABLE.tsv KERNEL.elf...   -x: on Xen, but for what PEER.tsv skips; -q: the quick ones; -s: QEMU has one
 *              thread; -a: also lines that begin with +; -b: a table of those that run in a domain beside domain 0
 * CUnit asks for the results in order while a pool of processes runs the machines ahead of it.
 */
#define _GNU_SOURCE
#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "block_tests.h"
#include "boot_tests.h"
#include "control_tests.h"
#include "device_tests.h"
#include "disk_tests.h"
#include "enemy_tests.h"
#include "network_tests.h"
#include "pool.h"
#include "scenario.h"

enum { MAX_TESTS = 512, LOG_TAIL_LINES = 300, XEN_BOOT_S = 60 };

/*
 * The whole machine (issue 3): any two properties' values meet in one of these rows.
 */
struct combination {
    const char *group;
    unsigned int smp;
    enum firmware firmware;
    const char *machine, *disk, *nic;
    enum scenario_end end;
};

/* clang-format off */
static const struct combination combinations[] = {
    { "test",  4, FIRMWARE_UEFI, "q35", "virtio-blk", "virtio-net", END_POWEROFF },
    { "soak",  4, FIRMWARE_UEFI, "pc",  "nvme",       "e1000e",     END_POWEROFF },
    { "test",  4, FIRMWARE_BIOS, "q35", "ahci",       "virtio-net", END_RESET },
    { "soak",  2, FIRMWARE_UEFI, "q35", "virtio-blk", "e1000e",     END_RESET },
    { "test",  2, FIRMWARE_BIOS, "pc",  "ahci",       "e1000e",     END_RESET },
    { "soak",  2, FIRMWARE_BIOS, "q35", "nvme",       "virtio-net", END_POWEROFF },
    { "soak",  1, FIRMWARE_UEFI, "q35", "ahci",       "e1000e",     END_POWEROFF },
    { "test",  1, FIRMWARE_UEFI, "q35", "nvme",       "virtio-net", END_RESET },
    { "test",  1, FIRMWARE_BIOS, "pc",  "virtio-blk", "virtio-net", END_POWEROFF },
};
/* clang-format on */

struct test {
    struct scenario scenario;
    char name[128], kernel[80], cpu[64], ramdisk[64], hypervisor_cmdline[320], kernel_cmdline[400],
        module[900], second[900], qemu[512];
    void (*run)(const struct scenario *s, const struct scenario_options *o, struct result *result);
};

static struct test tests[MAX_TESTS];
static size_t nr_tests;
static struct scenario_options options = { .log_dir = "build/logs", .files_dir = "." };
static const char *peer; /* PEER.tsv: the image has Debian's Xen, not ours */
static bool quick;       /* only what PEER.tsv calls so */
static bool all_lines;   /* of the table of kernels, also those of make soak */
static struct pool *pool;
static unsigned int nr_outcomes[3];

static struct test *add_test(const struct scenario *s, const char *name)
{
    struct test *t = &tests[nr_tests];

    if (nr_tests == MAX_TESTS) {
        fprintf(stderr, "system_tests: more than %d tests\n", MAX_TESTS);
        exit(2);
    }
    nr_tests++;
    t->run = scenario_run;
    t->scenario = *s;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->scenario.name = t->name;
    return t;
}

/* One boot: disk and network, CPUs that come and go, clocks, and the end. */
static void add_combination(const struct combination *c, const char *prefix, const char *name_part)
{
    struct scenario s = {
        .smp = c->smp,
        .firmware = c->firmware,
        .machine = c->machine,
        .disk = c->disk,
        .nic = c->nic,
        .ramdisk = "devices.gz",
        .steps = { "XL-JOB-RC 0" },
        .end = c->end,
        .timeout_s = 600, /* four CPUs on a busy machine take their time */
    };
    char name[128];
    struct test *t;

    snprintf(name, sizeof(name), "%s-%u-%s-%s-%s-%s-%s", prefix, c->smp,
             c->firmware == FIRMWARE_UEFI ? "uefi" : "bios", c->machine, c->disk, c->nic,
             c->end == END_RESET ? "reboot" : "poweroff");
    if (strstr(name, name_part) == NULL)
        return;
    t = add_test(&s, name);
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline),
             "xl_job=disk,net,%sclock xl_cpus=%u xl_irq=msi xl_clock=4 xl_rounds=1%s",
             c->smp > 1 ? "hotplug," : "", c->smp, c->end == END_RESET ? " xl_end=reboot" : "");
    t->scenario.kernel_cmdline = t->kernel_cmdline;
}

static void add_combinations(const char *group, const char *name_part)
{
    for (size_t i = 0; i < sizeof(combinations) / sizeof(combinations[0]); i++) {
        if (strcmp(combinations[i].group, group) == 0)
            add_combination(&combinations[i], "machine", name_part);
    }
}

/* Every combination of CPUs, firmware and chipset, with all the disks and cards in each. */
static void add_matrix(const char *name_part)
{
    static const unsigned int smps[] = { 4, 2, 1 };
    static const char *const machines[] = { "pc", "q35" };

    for (unsigned int i = 0; i < 3 * 2 * 2; i++) {
        struct combination c = {
            .smp = smps[i / 4],
            .firmware = i / 2 % 2 != 0 ? FIRMWARE_UEFI : FIRMWARE_BIOS,
            .machine = machines[i % 2],
            .disk = "ahci+virtio-blk+nvme",
            .nic = "e1000e+virtio-net",
            .end = (i / 2 + i) % 2 != 0 ? END_RESET : END_POWEROFF,
        };

        add_combination(&c, "matrix", name_part);
    }
}

static void add_scenarios(const struct scenario *all, size_t nr, const char *group,
                          const char *name_part)
{
    for (size_t i = 0; i < nr; i++) {
        if (strcmp(all[i].group, group) == 0 && strstr(all[i].name, name_part) != NULL)
            add_test(&all[i], all[i].name);
    }
}

static void add_group(const char *group, const char *name_part)
{
    size_t before = nr_tests;

    add_combinations(group, name_part);
    if (strcmp(group, "soak") == 0)
        add_matrix(name_part);
    add_scenarios(boot_scenarios, nr_boot_scenarios, group, name_part);
    add_scenarios(control_scenarios, nr_control_scenarios, group, name_part);
    add_scenarios(block_scenarios, nr_block_scenarios, group, name_part);
    add_scenarios(enemy_scenarios, nr_enemy_scenarios, group, name_part);
    add_scenarios(device_scenarios, nr_device_scenarios, group, name_part);
    add_scenarios(disk_scenarios, nr_disk_scenarios, group, name_part);
    add_scenarios(network_scenarios, nr_network_scenarios, group, name_part);
    if (before == nr_tests)
        fprintf(stderr, "system_tests: no test in group %s with '%s'\n", group, name_part);
}

/* One line of the table of PV test kernels: name, hypervisor's arguments, seconds, MiB, CPU, and
 * perhaps the number of those, a ramdisk, the kernel's arguments, and a word for the test's name with further
 * arguments of QEMU. */
struct guest_line {
    char name[64], arguments[256], cpu[64], ramdisk[64], kernel_arguments[400], word[32], qemu[512];
    unsigned int timeout_s, memory_mib, smp;
};

/* False: the line is empty or a comment. A wrong one ends the program. */
static bool parse_guest_line(const char *line, struct guest_line *g)
{
    if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
        return false;
    if (line[0] == '+' && !all_lines)
        return false;
    line += line[0] == '+';
    g->smp = 0;
    strcpy(g->ramdisk, "none");
    g->kernel_arguments[0] = g->word[0] = g->qemu[0] = '\0';
    if (sscanf(line, "%63[^\t]\t%255[^\t]\t%u\t%u\t%63s\t%u\t%63s\t%399[^\t\n]\t%31s %511[^\n]",
               g->name, g->arguments, &g->timeout_s, &g->memory_mib, g->cpu, &g->smp, g->ramdisk,
               g->kernel_arguments, g->word, g->qemu) < 5) {
        fprintf(stderr, "system_tests: not five to nine columns: %s", line);
        exit(2);
    }
    return true;
}

/* What PEER.tsv says of a kernel that is to run on Xen: name, "skip" or "quick", reason. */
static bool peer_says(const char *name, const char *word)
{
    char line[512], file_name[64], file_word[16];
    bool found = false;
    FILE *f = fopen(peer, "re");

    if (f == NULL) {
        perror(peer);
        exit(2);
    }
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        found = line[0] != '#' && sscanf(line, "%63s %15s", file_name, file_word) == 2 &&
                strcmp(file_name, name) == 0 && strcmp(file_word, word) == 0;
    }
    fclose(f);
    return found;
}

/* The test's name is the kernel's, its line's word, if it has one, and the CPU's, and their number if there are several. */
static void add_guest(const struct guest_line *g, const char *name_part)
{
    struct scenario s = { .memory_mib = g->memory_mib,
                          .timeout_s = g->timeout_s + (peer != NULL ? XEN_BOOT_S : 0),
                          .smp = g->smp };
    char name[128], count[16] = "";
    struct test *t;

    if (g->smp > 1)
        snprintf(count, sizeof(count), "-x%u", g->smp);
    snprintf(name, sizeof(name), "%s%s%s-%.*s%s", g->name, g->word[0] != '\0' ? "-" : "", g->word,
             (int)strcspn(g->cpu, ","), g->cpu, count);
    if (strstr(name, name_part) == NULL)
        return;
    if (peer != NULL && (peer_says(g->name, "skip") || (quick && !peer_says(g->name, "quick"))))
        return;
    t = add_test(&s, name);
    t->run = scenario_run_guest;
    snprintf(t->kernel, sizeof(t->kernel), "%s.elf", g->name);
    snprintf(t->cpu, sizeof(t->cpu), "%s", g->cpu);
    /* Xen drops what its buffer for the serial line has no room for: answers, too. Its warnings of
     * each refusal would be most of the time. */
    snprintf(t->hypervisor_cmdline, sizeof(t->hypervisor_cmdline), "noreboot %s%s",
             peer != NULL ? "serial_tx_buffer=1m guest_loglvl=error " : "",
             strcmp(g->arguments, "-") != 0 ? g->arguments : "");
    t->scenario.kernel = t->kernel;
    t->scenario.cpu = t->cpu;
    t->scenario.hypervisor_cmdline = t->hypervisor_cmdline;
    snprintf(t->ramdisk, sizeof(t->ramdisk), "%s", g->ramdisk);
    t->scenario.ramdisk = t->ramdisk;
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline), "%s", g->kernel_arguments);
    t->scenario.kernel_cmdline = t->kernel_cmdline;
    snprintf(t->qemu, sizeof(t->qemu), "%s", g->qemu);
    t->scenario.qemu = t->qemu;
    t->scenario.kernel_crash = true; /* see EXPECT name CRASH */
    t->scenario.forbidden = "audit: [1-9]";
}

/* A word that is ours, not the hypervisor's, goes. */
static bool take_word(char *text, const char *word)
{
    char *p = strstr(text, word);

    if (p != NULL)
        memset(p, ' ', strlen(word));
    return p != NULL;
}

/*
 * The same table for a domain beside domain 0: in place of the hypervisor's arguments are the words of the
 * domain's module, and perhaps words for us. twice: two such domains; icount: an instruction is a nanosecond, so
 * that what the witness sees of time is the hypervisor's doing. Domain 0 is the witness, with two vCPUs; to a
 * domain with role=driver it gives a device.
 */
static void add_beside(const struct guest_line *g, const char *name_part)
{
    struct guest_line here = *g;
    size_t before = nr_tests;
    struct test *t;

    bool driver = strstr(g->arguments, "role=driver") != NULL;

    snprintf(here.name, sizeof(here.name), "beside-%.30s%s%s", g->name,
             strstr(g->arguments, "icount") != NULL ? "-icount" : "", driver ? "-driver" : "");
    strcpy(here.arguments, "dom0_max_vcpus=2 dom0_mem=64M");
    add_guest(&here, name_part);
    if (nr_tests == before)
        return;
    t = &tests[before];
    t->run = scenario_run_beside;
    strcpy(t->kernel, "witness.elf");
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline), "beside=%s", g->name);
    snprintf(t->module, sizeof(t->module), "%s.elf domain=%s console %s -- %s", g->name, g->name,
             g->arguments, g->kernel_arguments);
    t->scenario.modules[0] = t->module;
    if (driver) {
        strcat(t->kernel_cmdline, " driver");
        strcat(t->module, " driver");
    }
    if (take_word(t->module, "icount")) {
        t->scenario.qemu = "-icount shift=0,sleep=off";
        strcat(t->kernel_cmdline, " icount");
    }
    if (strstr(g->kernel_arguments, "grants=1") != NULL)
        strcat(t->kernel_cmdline, " granted");
    if (!take_word(t->module, "twice"))
        return;
    snprintf(t->second, sizeof(t->second), "%s.elf domain=second%s", g->name,
             strchr(strstr(t->module, "domain="), ' '));
    t->scenario.modules[1] = t->second;
    strcat(t->kernel_cmdline, " twice");
}

static void add_guests(const char *table, const char *name_part,
                       void (*add)(const struct guest_line *g, const char *name_part))
{
    FILE *f = fopen(table, "re");
    struct guest_line g;
    char line[1024];

    if (f == NULL) {
        perror(table);
        exit(2);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        if (parse_guest_line(line, &g))
            add(&g, name_part);
    }
    fclose(f);
}

/* A kernel without a line in the table would never run. */
static void check_listed(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < nr_tests; i++) {
        if (strcmp(tests[i].kernel, file) == 0 ||
            strncmp(tests[i].module, file, strlen(file)) == 0) /* beside domain 0 */
            return;
    }
    fprintf(stderr, "system_tests: %s has no line in the table\n", file);
    exit(2);
}

static void run_job(size_t index, struct result *result)
{
    const struct test *t = &tests[index];

    t->run(&t->scenario, &options, result);
}

static void print_log_tail(const char *name)
{
    char path[512], line[1000];
    long lines = 0, skip;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.log", options.log_dir, name);
    f = fopen(path, "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof(line), f) != NULL)
        lines++;
    rewind(f);
    skip = lines - LOG_TAIL_LINES;
    printf("---- the end of %s\n", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (--skip < 0)
            printf("%s", line);
    }
    printf("\n----\n");
    fclose(f);
}

/* The body of every test: which one it is, CUnit knows. */
static void test_machine(void)
{
    static const char *const words[] = { "ok  ", "skip", "FAIL" };
    const char *name = CU_get_current_test()->pName;
    const struct result *r;
    size_t index = 0;

    while (strcmp(tests[index].name, name) != 0)
        index++;
    r = pool_wait(pool, index);
    nr_outcomes[r->outcome]++;
    printf("%s %-28s %5.1f s  %s\n", words[r->outcome], name, r->seconds, r->message);
    if (r->outcome == OUTCOME_FAIL)
        print_log_tail(name);
    CU_assertImplementation(r->outcome != OUTCOME_FAIL, __LINE__, r->message, name, "", CU_FALSE);
}

static int run_tests(unsigned int nr_parallel)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (suite = CU_add_suite("system", NULL, NULL)) == NULL) {
        fprintf(stderr, "system_tests: CUnit: %s\n", CU_get_error_msg());
        return 2;
    }
    for (size_t i = 0; i < nr_tests; i++)
        CU_add_test(suite, tests[i].name, test_machine);
    pool = pool_start(run_job, nr_tests, nr_parallel);
    CU_basic_set_mode(CU_BRM_SILENT);
    CU_basic_run_tests();
    pool_destroy(pool);
    CU_cleanup_registry();
    if (nr_outcomes[OUTCOME_SKIP] != 0)
        printf("%u skipped\n", nr_outcomes[OUTCOME_SKIP]);
    printf("%u passed, %u failed\n", nr_outcomes[OUTCOME_PASS], nr_outcomes[OUTCOME_FAIL]);
    return nr_outcomes[OUTCOME_FAIL] != 0 || nr_outcomes[OUTCOME_PASS] == 0;
}

int main(int argc, char *argv[])
{
    const char *name_part = "", *beside = NULL;
    unsigned int nr_parallel = 2;
    int option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt(argc, argv, "aj:l:n:d:k:x:b:qs")) != -1) {
        switch (option) {
        case 'a': all_lines = true; break;
        case 'j': nr_parallel = (unsigned int)strtoul(optarg, NULL, 10); break;
        case 'l': options.log_dir = optarg; break;
        case 'n': name_part = optarg; break;
        case 'd': options.files_dir = optarg; break;
        case 'k': options.kernel = optarg; break;
        case 'x': peer = optarg; break;
        case 'b': beside = optarg; break;
        case 'q': quick = true; break;
        case 's': options.one_thread = true; break;
        default: return 2;
        }
    }
    if (argc - optind < 2 || nr_parallel == 0) {
        fprintf(stderr, "usage: system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] ISO GROUP...\n");
        return 2;
    }
    options.iso = argv[optind++];
    mkdir(options.log_dir, 0777);
    if (strcmp(argv[optind], "guests") == 0) {
        if (optind + 1 < argc)
            add_guests(argv[optind + 1], name_part, add_guest);
        if (beside != NULL)
            add_guests(beside, name_part, add_beside);
        for (int i = optind + 2; i < argc && name_part[0] == '\0' && peer == NULL; i++)
            check_listed(argv[i]);
    } else {
        for (int i = optind; i < argc; i++)
            add_group(argv[i], name_part);
    }
    return run_tests(nr_parallel);
}
