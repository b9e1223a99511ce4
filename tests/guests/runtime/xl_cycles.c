/*
 * The embedded control domain (dom0-tools/control/control.c), in place of whose prompt domains come and go through xl:
 * `create`, and then `destroy` at once, or the guest ends by itself and is attended to. Nothing of them stays: no
 * frame, port, grant, domain or id in the hypervisor, no node in the store. The last argument: how many.
 *
 * What is free and what domain 0 has is together the same to the frame. In domain 0 newlib's heap lies, which may end
 * no further than for the console daemon's log of the guest, a file in memory with a limit (control.c).
 */
#define __XEN_TOOLS__ 1
int control_main(int argc, char **argv); /* the control domain's own, which is nobody's here */
#define main control_main
#include "../../../dom0-tools/control/control.c"
#undef main

#include <unistd.h>

#include <rt/memory.h>
#include <rt/verdict.h>
#include <xen/event_channel.h>
#include <xencall.h>

#include "../../../dom0-tools/lib/hyp.h"
#include "counters.h"
#include "leftovers.h"

#define CONFIG "/cycles.cfg"

enum {
    WARM_UP = 12, /* cycles that are not counted */
    LOG_BYTES =
        512 << 10,  /* two files of 64 KiB, each with room for as much again while it grows */
    PATIENCE = 200, /* tenths of a second */
};

static struct prompt p;
static xencall_handle *call;

/* ---- what there is ---- */

struct figures {
    long frames, own, heap, domains, ports, grants, nodes;
};

static struct figures take_figures(void)
{
    struct xen_sysctl_physinfo machine;
    guest_info_t *infos;
    struct figures f;
    size_t nr;

    if (hyp_machine(p.xl.tools.hyp, &machine) || guest_list(&p.xl.tools, &infos, &nr))
        verdict_error("no figures: %s", p.xl.tools.error);
    f.own = (long)infos[0].tot_pages;
    f.frames = (long)(machine.free_pages + machine.scrub_pages) + f.own;
    f.domains = (long)nr;
    free(infos);
    f.heap = (long)(uintptr_t)sbrk(0);
    f.ports = ports_open();
    f.grants = nr_mapped(p.xl.tools.hyp);
    if (f.grants < 0)
        verdict_error("debug key g does not show domain 0");
    f.nodes = nr_nodes(p.xs, "/");
    return f;
}

static void show(const char *when, const struct figures *f)
{
    printf("%s: frames %ld (of domain 0 %ld), domains %ld, ports %ld, grants %ld, nodes %ld\n",
           when, f->frames, f->own, f->domains, f->ports, f->grants, f->nodes);
}

static bool same(const struct figures *a, const struct figures *b)
{
    return a->frames == b->frames && a->domains == b->domains && a->ports == b->ports &&
           a->grants == b->grants && a->nodes == b->nodes;
}

/* What is freed behind the call, and the daemons, have some time. */
static struct figures figures_when(const struct figures *expected)
{
    struct figures now = take_figures();

    for (int n = 0; !same(&now, expected) && n < PATIENCE; n++) {
        usleep(100000);
        now = take_figures();
    }
    return now;
}

/* ---- cycles ---- */

static int xl(const char *line)
{
    char copy[128], *argv[8];
    int rc;

    snprintf(copy, sizeof(copy), "%s", line);
    rc = xl_run(&p.xl, words_split(copy, argv, 8), argv);
    if (p.xl.err.len_bytes && rc)
        printf("xl %s: %s", line, p.xl.err.bytes);
    text_free(&p.xl.out);
    text_free(&p.xl.err);
    return rc;
}

static bool is_there(void)
{
    domid_t id;

    return guest_find(&p.xl.tools, "guest", &id) == 0;
}

/* Returns its number. */
static domid_t cycle(bool by_itself)
{
    domid_t id = 0;

    if (!CHECK_EQ(xl(by_itself ? "create -q " CONFIG : "create -q -p " CONFIG), 0))
        verdict_failure("no domain");
    guest_find(&p.xl.tools, "guest", &id);
    if (!by_itself)
        CHECK_EQ(xl("destroy guest"), 0);
    for (int n = 0; is_there(); n++) {
        if (n == 10 * PATIENCE)
            verdict_failure("domain %u is still there", id);
        usleep(10000);
    }
    return id;
}

/* The hypervisor has it for another domain. */
static bool is_free(domid_t id)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                             .domain = id };

    op.u.createdomain =
        (struct xen_domctl_createdomain){ .max_vcpus = 1,
                                          .max_evtchn_port = 1023,
                                          .max_grant_frames = 4,
                                          .max_maptrack_frames = 4,
                                          .grant_opts = XEN_DOMCTL_GRANT_version(1) };
    return xencall1(call, __HYPERVISOR_domctl, (uintptr_t)&op) == 0 && op.domain == id &&
           hyp_destroy(p.xl.tools.hyp, id) == 0;
}

int main(int argc, char **argv)
{
    static const char config[] = "name = 'guest'\nkernel = '/kernel'\nmemory = 8\n";
    unsigned int count = (unsigned int)strtoul(argv[argc - 1], NULL, 10);
    domid_t *ids = calloc(count, sizeof(*ids));
    struct figures before, after;

    words = argv + argc; /* none for disks */
    call = xencall_open(NULL, 0);
    if (count == 0 || ids == NULL || call == NULL || !services_start(services) || !open_all(&p) ||
        plat_file_write(CONFIG, config, sizeof(config) - 1))
        verdict_error("no beginning: %s", strerror(errno));
    for (unsigned int i = 0; i < WARM_UP; i++)
        cycle(i % 2);
    usleep(500000);
    before = take_figures();
    show("before", &before);
    for (unsigned int i = 0; i < count; i++)
        ids[i] = cycle(i % 2);
    for (unsigned int i = 0; i < count; i++)
        CHECK(is_free(ids[i]));
    after = figures_when(&before);
    show("after", &after);
    CHECK_EQ(after.frames, before.frames);
    CHECK_EQ(after.domains, before.domains);
    CHECK_EQ(after.ports, before.ports);
    CHECK_EQ(after.grants, before.grants);
    CHECK_EQ(after.nodes, before.nodes);
    CHECK_EQ(after.own, before.own);
    printf("the heap ends %ld bytes further\n", after.heap - before.heap);
    CHECK(after.heap - before.heap <= LOG_BYTES);
    return verdict();
}
