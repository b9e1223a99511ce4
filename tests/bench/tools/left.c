/* Commands of the embedded control domain for tests: what devices and domains could leave behind, and waiting for the store. */
#define __XEN_TOOLS__ 1
#include "left.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../dom0-tools/lib/hyp.h"
#include "../../guests/runtime/leftovers.h"

enum {
    PORTS = 4096,
    STEP_US = 10000,
    SETTLED = 6000,
    SLOWLY = 50, /* steps: debug key g has much to say */
    PATIENCE = 6000,
};

struct figures {
    long frames, own, domains, ports, grants, nodes;
};

static long nr_ports(struct hyp *hyp, domid_t id)
{
    struct evtchn_status status;
    long n = 0;

    for (uint32_t port = 1; port < PORTS; port++)
        n += hyp_port(hyp, id, port, &status) == 0 && status.status != EVTCHNSTAT_closed;
    return n;
}

/* Domains, what they have of memory, their ports. */
static bool take_ports(struct prompt *p, struct figures *f)
{
    struct toolstack *t = &p->xl.tools;
    guest_info_t *infos;
    size_t nr;

    if (guest_list(t, &infos, &nr))
        return false;
    *f = (struct figures){ .own = (long)infos[0].tot_pages, .domains = (long)nr };
    for (size_t i = 0; i < nr; i++) {
        f->frames += (long)infos[i].tot_pages;
        f->ports += nr_ports(t->hyp, infos[i].domain);
    }
    free(infos);
    return true;
}

/* The rest; frames are those that are free, too. */
static bool take_figures(struct prompt *p, struct figures *f)
{
    struct toolstack *t = &p->xl.tools;
    struct xen_sysctl_physinfo machine;

    if (!take_ports(p, f) || hyp_machine(t->hyp, &machine))
        return false;
    f->frames += (long)(machine.free_pages + machine.scrub_pages);
    f->grants = nr_mapped(t->hyp);
    f->nodes = nr_nodes(p->xs, "/");
    return f->grants >= 0;
}

static void show(const char *what, const struct figures *f)
{
    printf(
        "left %s: %ld frames, %ld of domain 0, %ld domains, %ld ports, %ld mapped grants, %ld nodes\n",
        what, f->frames, f->own, f->domains, f->ports, f->grants, f->nodes);
}

static struct figures before;

/* What is freed behind the call, and by daemons and guests, has some time. */
static int wait_for_ports(struct prompt *p)
{
    struct figures now;

    for (int n = 0; n < SETTLED; n++) {
        if (!take_ports(p, &now))
            return 1;
        if (now.ports == before.ports)
            return 0;
        usleep(STEP_US);
    }
    printf("left: SOMETHING: %ld ports\n", now.ports - before.ports);
    return 1;
}

int run_left(struct prompt *p, int argc, char **argv)
{
    struct figures now;
    bool ok;

    if (argc > 1 && strcmp(argv[1], "ports") == 0)
        return wait_for_ports(p);
    ok = take_figures(p, &now);
    if (ok && argc > 1) {
        before = now;
        show("before", &before);
        return 0;
    }
    for (int n = 0; ok && memcmp(&now, &before, sizeof(now)) && n < SETTLED; n += SLOWLY) {
        usleep(SLOWLY * STEP_US);
        ok = take_figures(p, &now);
    }
    if (!ok) {
        printf("left: no figures\n");
        return 1;
    }
    show("after", &now);
    ok = memcmp(&now, &before, sizeof(now)) == 0;
    printf(ok ? "left: nothing\n" : "left: SOMETHING\n");
    return ok ? 0 : 1;
}

int run_await(struct prompt *p, int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (int n = 0; n < PATIENCE; n++) {
        char *value = xs_read(p->xs, XBT_NULL, argv[1], NULL);
        bool there = value && strcmp(value, argv[2]) == 0;

        free(value);
        if (there)
            return 0;
        usleep(STEP_US);
    }
    printf("await: %s is not %s\n", argv[1], argv[2]);
    return 1;
}
