/* xl vcpu-pin, vcpu-set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "lib/hyp.h"
#include "lib/nodes.h"
#include "xl.h"

/* The vCPUs [*first, *end) of the domain that text means. */
static bool vcpus_of(struct xl *x, const char *text, const guest_info_t *info, uint32_t *first,
                     uint32_t *end)
{
    uint32_t nr = info->max_vcpu_id + 1; /* 0: it has none yet */
    unsigned long n;
    char *rest;

    *first = 0;
    *end = nr;
    if (strcmp(text, "all") == 0)
        return true;
    n = strtoul(text, &rest, 10);
    if (*text < '0' || *text > '9' || *rest || n >= nr) {
        xl_fail(x, "Error: Invalid argument %s as VCPU.", text);
        return false;
    }
    *first = (uint32_t)n;
    *end = *first + 1;
    return true;
}

/* "-": as it is. */
static bool cpus_of(struct xl *x, const char *text, struct config_cpus *cpus, bool *given)
{
    *given = text && strcmp(text, "-") != 0;
    if (!*given)
        return true;
    if (config_parse_cpus(cpus, text, NULL) == 0)
        return true;
    xl_fail(x, "xl: vcpu-pin: %s is no list of CPUs", text);
    return false;
}

int xl_vcpu_pin(struct xl *x, const struct options *o)
{
    struct config_cpus cpus[2]; /* hard, soft */
    uint32_t first, end;
    guest_info_t info;
    bool given[2];
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (guest_info(&x->tools, id, &info))
        return xl_fail(x, "xl: %s", x->tools.error);
    if (!vcpus_of(x, o->args[1], &info, &first, &end) ||
        !cpus_of(x, o->args[2], &cpus[0], &given[0]) ||
        !cpus_of(x, o->nr_args > 3 ? o->args[3] : NULL, &cpus[1], &given[1]))
        return EXIT_FAILED;
    if (o->dry)
        return EXIT_OK;
    for (uint32_t v = first; v < end; v++)
        for (int soft = 0; soft < 2; soft++)
            if (given[soft] && hyp_set_affinity(x->tools.hyp, id, v, !soft, cpus[soft].word))
                return xl_fail(x, "Could not set affinity for vcpu `%u': %s", v, strerror(errno));
    return EXIT_OK;
}

/* The domain's kernel does it, when it sees the nodes. */
int xl_vcpu_set(struct xl *x, const struct options *o)
{
    struct xen_sysctl_physinfo machine;
    guest_info_t info;
    unsigned long nr;
    char leaf[32], *rest;
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    nr = strtoul(o->args[1], &rest, 10);
    if (o->args[1][0] < '0' || o->args[1][0] > '9' || *rest || nr == 0)
        return xl_fail(x, "Error: Invalid argument %s for the number of VCPUs.", o->args[1]);
    if (guest_info(&x->tools, id, &info))
        return xl_fail(x, "xl: %s", x->tools.error);
    if (nr > info.max_vcpu_id + 1u)
        return xl_fail(x, "xl: domain %u has at most %u VCPUs", id, info.max_vcpu_id + 1u);
    if (option_value(o, "i") == NULL && hyp_machine(x->tools.hyp, &machine) == 0 &&
        nr > machine.nr_cpus)
        return xl_fail(x, "xl: the machine has %u CPUs; with -i %lu VCPUs can be set all the same",
                       machine.nr_cpus, nr);
    if (x->tools.store == NULL)
        return xl_fail(x, "xl: there is no store");
    for (uint32_t v = 0; v <= info.max_vcpu_id; v++) {
        snprintf(leaf, sizeof(leaf), "cpu/%u/availability", v);
        if (nodes_write(&x->tools, id, leaf, v < nr ? "online" : "offline"))
            return xl_fail(x, "xl: %s", x->tools.error);
    }
    return EXIT_OK;
}
