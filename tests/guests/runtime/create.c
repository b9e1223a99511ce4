/*
 * The toolstack's library as the initial domain: a kernel from the ramdisk becomes a domain, runs, says on its
 * console that all is well, and ends; and nothing of it stays behind, nor of one that cannot be built.
 * The last argument: how often it runs; four times as many odd kernels are tried.
 */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/verdict.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/io/console.h>
#include <xen/sched.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "../../../dom0-tools/config.h"
#include "../../../dom0-tools/lib/hyp.h"
#include "../../../dom0-tools/lib/toolstack.h"
#include "../../../dom0-tools/lib/why.h"
#include "../../../dom0-tools/xl.h"
#include "counters.h"

#define KERNEL "/kernel" /* rt_hello */

enum {
    CONSOLE_PORT = 2, /* the second that a builder makes */
    MAX_GUESTS = 64,
    PATIENCE = 200, /* tenths of a second */
};

static struct toolstack t;
static xenevtchn_handle *events;
static xengnttab_handle *grants;
static struct domain_config config; /* of a guest that works */

/* ---- what the machine has ---- */

struct figures {
    uint64_t nr_frames, nr_domains, nr_ports;
};

static struct figures take_figures(void)
{
    struct xen_sysctl_physinfo machine;
    guest_info_t *infos;
    struct figures f;
    size_t nr;

    if (hyp_machine(t.hyp, &machine) || guest_list(&t, &infos, &nr))
        verdict_error("no figures: %s", t.error);
    f.nr_frames = machine.free_pages + machine.scrub_pages;
    f.nr_domains = nr;
    f.nr_ports = ports_open();
    free(infos);
    return f;
}

/* As they were; what is freed behind the call has some time. */
static void expect_figures(const struct figures *want)
{
    struct figures now = take_figures();

    for (int n = 0; memcmp(&now, want, sizeof(now)) && n < PATIENCE; n++) {
        usleep(100000);
        now = take_figures();
    }
    CHECK_EQ(now.nr_frames, want->nr_frames);
    CHECK_EQ(now.nr_domains, want->nr_domains);
    CHECK_EQ(now.nr_ports, want->nr_ports);
}

/* ---- a guest's console, by its grant and its port ---- */

struct console {
    struct xencons_interface *ring;
    evtchn_port_t port;
    char text[16384];
    size_t len;
};

static void console_open(struct console *c, domid_t id)
{
    int port = xenevtchn_bind_interdomain(events, id, CONSOLE_PORT);

    c->len = 0;
    c->ring = xengnttab_map_grant_ref(grants, id, GNTTAB_RESERVED_CONSOLE, PROT_READ | PROT_WRITE);
    if (port < 0 || c->ring == NULL)
        verdict_failure("console of domain %u: %s", id, strerror(errno));
    c->port = (evtchn_port_t)port;
}

static void console_drain(struct console *c)
{
    uint32_t prod = __atomic_load_n(&c->ring->out_prod, __ATOMIC_ACQUIRE);
    uint32_t cons = c->ring->out_cons;

    if (prod == cons)
        return;
    for (; cons != prod; cons++)
        if (c->len < sizeof(c->text) - 1)
            c->text[c->len++] = c->ring->out[MASK_XENCONS_IDX(cons, c->ring->out)];
    __atomic_store_n(&c->ring->out_cons, cons, __ATOMIC_RELEASE);
    xenevtchn_notify(events, c->port);
}

static void console_close(struct console *c)
{
    c->text[c->len] = '\0';
    CHECK_EQ(xengnttab_unmap(grants, c->ring, 1), 0);
    CHECK_EQ(xenevtchn_unbind(events, c->port), 0);
}

/* ---- life ---- */

static domid_t must_create(struct domain_config *c)
{
    domid_t id = 0;

    if (guest_create(&t, c, &id))
        verdict_failure("%s: %s", c->name, t.error);
    CHECK(id != 0);
    return id;
}

static void must_destroy(domid_t id)
{
    if (!CHECK_EQ(guest_destroy(&t, id), 0))
        printf("%s\n", t.error);
}

/* Until it has shut down. Returns how. */
static int wait_for_end(domid_t id, struct console *c)
{
    uint64_t end = clock_now() + 60 * NS_PER_S;
    guest_info_t info;
    int code = -1;

    while (code < 0 && clock_now() < end) {
        usleep(1000);
        console_drain(c);
        if (guest_info(&t, id, &info))
            verdict_failure("%s", t.error);
        code = guest_shutdown_code(&info);
    }
    console_drain(c);
    return code;
}

static void run_one(struct domain_config *config_of_it)
{
    static struct console console;
    domid_t id = must_create(config_of_it);
    uint64_t limit_kib = config_of_it->memory_kib + 1024; /* until it is told to have more */
    guest_info_t info;

    if (limit_kib > config_of_it->max_memory_kib)
        limit_kib = config_of_it->max_memory_kib;
    CHECK_EQ(guest_info(&t, id, &info), 0);
    CHECK(info.flags & XEN_DOMINF_paused);
    CHECK_EQ(info.cpu_time, 0);
    CHECK_EQ(info.tot_pages, config_of_it->memory_kib / 4);
    CHECK_EQ(info.max_pages, limit_kib / 4);
    CHECK_EQ(info.max_vcpu_id, config_of_it->max_vcpus - 1);
    CHECK_EQ(info.nr_online_vcpus, 1);
    console_open(&console, id);
    CHECK_EQ(guest_unpause(&t, id), 0);
    CHECK_EQ(wait_for_end(id, &console), SHUTDOWN_poweroff);
    console_close(&console);
    if (!CHECK(strstr(console.text, "VERDICT rt_hello SUCCESS") != NULL))
        printf("its console:\n%s\n", console.text);
    CHECK(strstr(console.text, "a guest domain, 2 arguments [one] [two=2]") != NULL);
    must_destroy(id);
    errno = 0;
    CHECK_EQ(guest_destroy(&t, id), -1);
    CHECK_EQ(errno, ESRCH);
}

/* While it lives a grant that is used tells who holds it, when it dies the page tables do. */
static void what_holds_it(void)
{
    static struct console console;
    static struct why w;
    domid_t id = must_create(&config);

    console_open(&console, id);
    CHECK_EQ(why_ask(&t, id, &w), 0);
    CHECK(w.info.flags & XEN_DOMINF_paused);
    CHECK_EQ(w.nr_vcpus, config.max_vcpus);
    CHECK(w.grants_known && w.grant_frames > 0);
    CHECK(w.nr_peers == 1 && w.peers[0].domain == 0 && w.peers[0].nr_grants == 1);
    CHECK(w.nr_ports == 2 && w.ports[0].status == EVTCHNSTAT_unbound);
    CHECK(w.ports[1].status == EVTCHNSTAT_interdomain && w.ports[1].number == console.port);
    CHECK(!w.held_known);
    must_destroy(id);
    CHECK_EQ(why_ask(&t, id, &w), 0);
    CHECK(w.info.flags & XEN_DOMINF_dying);
    CHECK(w.held_known && w.held_frames == 1);
    if (!CHECK(strcmp(w.mapped_by, "d0: 1") == 0))
        printf("mapped by %s\n", w.mapped_by);
    console_close(&console);
    CHECK_EQ(why_ask(&t, id, &w), -1);
}

/* All that there is room for, at once; they are found, and then none is. */
static void fill_machine(void)
{
    domid_t ids[MAX_GUESTS];
    guest_info_t *infos;
    unsigned int n = 0;
    size_t nr;

    while (n < MAX_GUESTS && guest_create(&t, &config, &ids[n]) == 0)
        n++;
    printf("%u guests at once; then: %s\n", n, n < MAX_GUESTS ? t.error : "enough");
    CHECK(n > 1);
    CHECK(n == MAX_GUESTS || errno == ENOMEM);
    CHECK_EQ(guest_list(&t, &infos, &nr), 0);
    CHECK_EQ(nr, n + 1);
    for (unsigned int i = 0; i < n; i++)
        CHECK_EQ(infos[i + 1].domain, ids[i]);
    free(infos);
    while (n)
        must_destroy(ids[--n]);
}

/* ---- what cannot be ---- */

static void refused(struct domain_config *c, int error, const char *says)
{
    domid_t id;
    int rc;

    errno = 0;
    t.error[0] = '\0';
    rc = guest_create(&t, c, &id);
    if (rc == 0)
        must_destroy(id);
    CHECK_EQ(rc, -1);
    CHECK_EQ(errno, error);
    if (!CHECK(strstr(t.error, says) != NULL))
        printf("it says: %s\n", t.error);
}

static void bad_configurations(void)
{
    static struct domain_config c;

    c = config;
    strcpy(c.kernel, "/none");
    refused(&c, ENOENT, "/none");
    c = config;
    strcpy(c.ramdisk, "/none");
    refused(&c, ENOENT, "/none");
    c = config;
    c.memory_kib = c.max_memory_kib = 1024;
    refused(&c, EINVAL, "1 MiB for it, but");
    c.memory_kib = c.max_memory_kib = 1ul << 20; /* a GiB */
    refused(&c, ENOMEM, "no memory");
    c.memory_kib = c.max_memory_kib = 1ul << 60;
    refused(&c, EINVAL, "MiB for it");
    c = config;
    c.memory_kib *= 2;
    refused(&c, EINVAL, "more memory than it may have");
    c = config;
    c.max_vcpus = 1000;
    refused(&c, EINVAL, "cannot be created");
    c = config;
    c.nr_disks = 1;
    refused(&c, ENOTSUP, "disk");
    c = config;
    c.nr_vifs = 1;
    refused(&c, ENOTSUP, "vif");
    c = config;
    strcpy(c.pool, "other");
    refused(&c, ENOTSUP, "pool");
    c = config;
    c.cpus.nr_vcpus = 1; /* on no CPU at all: what is refused after the domain has been built */
    refused(&c, EINVAL, "cpus");
}

static void bad_kernel(const char *kernel, size_t len, const char *says)
{
    static struct domain_config c;

    c = config;
    strcpy(c.kernel, "/tmp/bad");
    if (plat_file_write(c.kernel, kernel, len))
        verdict_error("a file: %s", strerror(errno));
    refused(&c, ENOEXEC, says);
}

/* Whatever is done to the head of the file: it is refused, or there is a domain. */
static void odd_kernels(char *kernel, size_t len, unsigned int nr)
{
    static struct domain_config c;
    unsigned int built = 0, seed = 1;
    domid_t id;

    c = config;
    strcpy(c.kernel, "/tmp/bad");
    for (unsigned int i = 0; i < nr; i++) {
        size_t at = (seed = seed * 1103515245u + 12345u) / 65536u % 512u;
        char was = kernel[at];

        kernel[at] = (char)((seed = seed * 1103515245u + 12345u) / 65536u);
        if (plat_file_write(c.kernel, kernel, len))
            verdict_error("a file: %s", strerror(errno));
        if (guest_create(&t, &c, &id) == 0) {
            must_destroy(id);
            built++;
        }
        kernel[at] = was;
    }
    printf("%u odd kernels, %u of them could be built\n", nr, built);
    CHECK(built > 0 && built < nr);
}

static void bad_kernels(unsigned int nr_odd)
{
    size_t len;
    char *kernel = plat_file_read(KERNEL, &len);

    if (kernel == NULL)
        verdict_error("the ramdisk has no kernel");
    bad_kernel(kernel, 0, "truncated");
    bad_kernel(kernel, 1, "truncated");
    bad_kernel(kernel, 63, "truncated");
    bad_kernel(kernel, 64, "truncated");
    bad_kernel(kernel, 4096, "truncated");
    bad_kernel("#!/bin/sh\nthis is long enough to be looked at, and it is no kernel at all\n", 72,
               "no ELF file");
    if (nr_odd)
        odd_kernels(kernel, len, nr_odd);
    bad_kernel("\x7f", 1, "truncated"); /* and the file is small again */
    free(kernel);
}

static void packed_kernel(void)
{
    static struct domain_config c;

    c = config;
    strcpy(c.kernel, "/tmp/bad");
    CHECK_EQ(plat_file_write(c.kernel, "\x1f\x8b\x08 and so on", 12), 0);
    refused(&c, ENOTSUP, "packed with gzip");
    CHECK_EQ(plat_file_remove(c.kernel), 0);
}

/* ---- xl ---- */

static struct xl xl;

/* A line of xl's: its exit code is that, and this stands in what it says. */
static void says(const char *line, int code, const char *text)
{
    char copy[200], *words[16];
    int nr, rc;

    strcpy(copy, line);
    nr = words_split(copy, words, 16);
    rc = xl_run(&xl, nr, words);
    if (rc != code || !strstr(rc ? xl.err.bytes ?: "" : xl.out.bytes ?: "", text)) {
        CHECK_EQ(rc, code);
        printf("xl %s says: %s%s\n", line, xl.out.bytes ?: "", xl.err.bytes ?: "");
        CHECK(text == NULL);
    }
    text_free(&xl.out);
    text_free(&xl.err);
}

static void commands_of_xl(void)
{
    static const char file[] = "name = 'box'\nkernel = '" KERNEL "'\nextra = 'one two=2'\n"
                               "memory = 8\nvcpus = 2\ncpu_weight = 300\ncap = 50\n";
    char line[80];
    guest_info_t *infos;
    size_t nr;
    unsigned int id;

    xl.tools = t;
    if (plat_file_write("/tmp/box.cfg", file, sizeof(file) - 1))
        verdict_error("a file: %s", strerror(errno));
    says("list", 0, "Domain-0                                     0    64");
    says("create -p /tmp/box.cfg maxmem=16", 0, "");
    CHECK(guest_list(&t, &infos, &nr) == 0 && nr == 2);
    id = infos[1].domain;
    CHECK_EQ(infos[1].max_pages, 2048 + 256); /* until mem-set says more */
    CHECK(infos[1].flags & XEN_DOMINF_paused);
    free(infos);
#define SAYS(fmt, code, text) says((snprintf(line, sizeof(line), fmt, id), line), code, text)
    SAYS("list %u", 0, "--p---");
    SAYS("vcpu-list %u", 0, "all / all");
    SAYS("sched-credit2 -d %u", 0, "300   50");
    SAYS("sched-credit2 -d %u -w 512", 0, "");
    SAYS("sched-credit2 -d %u", 0, "512   50");
    SAYS("mem-max %u 32", 0, "");
    SAYS("mem-max %u 4", 1, "it has more now");
    SAYS("unpause %u", 0, "");
    SAYS("pause %u", 0, "");
    SAYS("list --json %u", 0, "\"paused\"");
    SAYS("trigger %u power", 1, "Invalid argument");
    SAYS("sysrq %u h", 1, "no store");
    SAYS("why %u", 0, "It is paused: xl unpause lets it run.");
    SAYS("config-update %u /tmp/box.cfg", 1, "no store");
    SAYS("console %u", 1, "no terminal");
    SAYS("destroy %u", 0, "");
    SAYS("destroy %u", 1, "is an invalid domain identifier");
    says("destroy 0", 1, "Cannot destroy privileged domain 0");
    says("create -q /tmp/box.cfg memory=1000000", 3, "no memory for it");
    says("create -q /tmp/box.cfg memory=x", 1, "command line:1");
    says("create /tmp/none", 3, "Failed to read config file");
    says("info", 0, "xen_scheduler          : credit2");
    says("why 0", 0, "(0): running");
    says("debug-keys q", 0, "");
    says("dmesg", 0, "domains and their vCPUs");
    says("save a b", 1, "a is an invalid domain identifier");
    CHECK_EQ(plat_file_remove("/tmp/box.cfg"), 0);
}

static void open_all(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    events = xenevtchn_open(NULL, 0);
    grants = xengnttab_open(NULL, 0);
    if (events == NULL || grants == NULL || toolstack_open(&t, NULL, 0))
        verdict_error("open: %s", t.error);
    strcpy(config.name, "guest");
    strcpy(config.kernel, KERNEL);
    strcpy(config.cmdline, "one two=2");
    config.memory_kib = config.max_memory_kib = 8192;
    config.nr_vcpus = config.max_vcpus = 1;
}

int main(int argc, char **argv)
{
    unsigned int count = (unsigned int)strtoul(argv[argc - 1], NULL, 10);
    static struct domain_config two;
    struct figures before;

    if (count == 0)
        verdict_error("the number of domains is missing");
    open_all();
    two = config;
    two.nr_vcpus = two.max_vcpus = 2;
    two.max_memory_kib *= 2;
    run_one(&config); /* what the runtime keeps for good does not count */
    run_one(&two);
    bad_kernels(0);
    before = take_figures();
    run_one(&two);
    expect_figures(&before);
    bad_configurations();
    bad_kernels(4 * count);
    packed_kernel();
    expect_figures(&before);
    commands_of_xl();
    expect_figures(&before);
    what_holds_it();
    expect_figures(&before);
    fill_machine();
    expect_figures(&before);
    for (unsigned int i = 0; i < count; i++)
        run_one(&config);
    expect_figures(&before);
    printf("%u domains, one after the other\n", count);
    toolstack_close(&t);
    return verdict();
}
