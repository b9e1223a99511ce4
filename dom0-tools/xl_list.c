/* xl list, vcpu-list, sched-credit2, uptime: what the hypervisor and the store say, as xl prints it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/sched.h>

#include "json.h"
#include "lib/hyp.h"
#include "lib/nodes.h"
#include "print.h"
#include "xl.h"

#define POOL "Pool-0" /* there is no other */

static unsigned int state_of(const guest_info_t *info)
{
    unsigned int s = 0;

    s |= info->flags & XEN_DOMINF_running ? XL_RUNNING : 0u;
    s |= info->flags & XEN_DOMINF_blocked ? XL_BLOCKED : 0u;
    s |= info->flags & XEN_DOMINF_paused ? XL_PAUSED : 0u;
    s |= info->flags & XEN_DOMINF_shutdown ? XL_SHUTDOWN : 0u;
    s |= guest_shutdown_code(info) == SHUTDOWN_crash ? XL_CRASHED : 0u;
    s |= info->flags & XEN_DOMINF_dying ? XL_DYING : 0u;
    return s;
}

/* Since when it is there; 0: nobody knows. */
static uint64_t uptime_of(struct xl *x, const guest_info_t *info)
{
    uint64_t now = plat_wall() / 1000000000u,
             start = x->tools.store ? nodes_start_time(&x->tools, info->handle) : 0;

    return start && start < now ? now - start : 0;
}

/* What costs a question of the store or of the hypervisor for each domain is not asked for in vain. */
enum detail { BRIEF, WHOLE };

/* @detail  BRIEF: without uptime, weight and cap */
static void describe(struct xl *x, const guest_info_t *info, enum detail detail,
                     struct xl_domain *d, char **name)
{
    uint16_t weight = 0, cap = 0;

    *name = guest_name(&x->tools, info->domain);
    if (detail == WHOLE) /* of a dying one: none */
        (void)hyp_get_shares(x->tools.hyp, info->domain, &weight, &cap);
    *d = (struct xl_domain){ .id = info->domain,
                             .name = *name                           ? *name
                                     : info->domain == x->tools.self ? "Domain-0"
                                                                     : "",
                             .pool = POOL,
                             .memory_kib = (info->tot_pages + info->outstanding_pages) * 4,
                             .max_memory_kib = info->max_pages * 4,
                             .nr_vcpus = info->nr_online_vcpus,
                             .max_vcpus = info->max_vcpu_id + 1,
                             .state = state_of(info),
                             .shutdown_reason = guest_shutdown_code(info) < 0
                                                    ? 0u
                                                    : (unsigned int)guest_shutdown_code(info),
                             .cpu_time_ns = info->cpu_time,
                             .uptime_s = detail == WHOLE ? uptime_of(x, info) : 0,
                             .weight = weight,
                             .cap_percent = cap };
    memcpy(d->uuid, info->handle, sizeof(d->uuid));
}

void xl_describe(struct xl *x, const guest_info_t *info, struct xl_domain *d, char **name)
{
    describe(x, info, WHOLE, d, name);
}

/*
 * For each domain that was asked for, or all, in the order of their numbers: fn(). Those that are not there are
 * named on err.
 */
static int each(struct xl *x, const char *const *names, unsigned int nr_names, enum detail detail,
                void (*fn)(struct xl *x, const guest_info_t *info, const struct xl_domain *d,
                           void *arg),
                void *arg)
{
    guest_info_t *infos = NULL;
    struct xl_domain d;
    size_t nr = 0;
    int rc = EXIT_OK;
    char *name;

    if (nr_names == 0 && guest_list(&x->tools, &infos, &nr))
        return xl_fail(x, "xl: %s", x->tools.error);
    for (size_t i = 0; i < (nr_names ? nr_names : nr); i++) {
        guest_info_t one;
        domid_t id;

        if (nr_names) {
            if (guest_find(&x->tools, names[i], &id) || guest_info(&x->tools, id, &one)) {
                rc = xl_fail(x, "Error: Domain '%s' does not exist.", names[i]);
                continue;
            }
        } else {
            one = infos[i];
        }
        describe(x, &one, detail, &d, &name);
        fn(x, &one, &d, arg);
        free(name);
    }
    free(infos);
    return rc;
}

/* ---- list ---- */

static void list_row(struct xl *x, const guest_info_t *info, const struct xl_domain *d, void *arg)
{
    (void)info;
    print_list(&x->out, *(const unsigned int *)arg, d);
}

static void list_json(struct xl *x, const guest_info_t *info, const struct xl_domain *d, void *arg)
{
    (void)x;
    (void)info;
    json_list(arg, d);
}

/* As it is by now: scripts tell domains by the names here. Of a domain that was not created by us nothing is known. */
static void list_long(struct xl *x, const guest_info_t *info, const struct xl_domain *d, void *arg)
{
    struct domain_config *c = malloc(sizeof(*c));

    (void)d;
    if (c && guest_config(&x->tools, info->domain, c) == 0) {
        guest_config_now(&x->tools, info, c);
        json_long(arg, info->domain, c);
    }
    free(c);
}

int xl_list(struct xl *x, const struct options *o)
{
    static const struct {
        const char *name;
        unsigned int option;
    } known[] = {
        { "v", LIST_VERBOSE }, { "Z", LIST_CONTEXT }, { "c", LIST_POOL }, { "n", LIST_NODES }
    };
    struct json j = { .out = &x->out };
    unsigned int options = 0;
    domid_t id;
    int rc;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        options |= option_value(o, known[i].name) ? known[i].option : 0u;
    if (option_value(o, "l") || option_value(o, "json")) {
        json_array(&j, NULL);
        rc = each(x, o->args, o->nr_args, option_value(o, "l") ? BRIEF : WHOLE,
                  option_value(o, "l") ? list_long : list_json, &j);
        json_end(&j);
        return rc;
    }
    if (o->nr_args && !xl_domain_of(x, o->args[0], &id)) /* no table of nobody */
        return EXIT_FAILED;
    print_list_head(&x->out, options);
    return each(x, o->args, o->nr_args, BRIEF, list_row, &options);
}

/* ---- vcpu-list ---- */

struct vcpus {
    struct json *json; /* NULL: a table */
    unsigned int nr_cpus;
};

static void vcpus_of(struct xl *x, const guest_info_t *info, const struct xl_domain *d, void *arg)
{
    const struct vcpus *how = arg;

    for (uint32_t i = 0; i <= info->max_vcpu_id && info->max_vcpu_id != XEN_INVALID_MAX_VCPU_ID;
         i++) {
        struct xen_domctl_getvcpuinfo got;
        struct xl_vcpu v = { .id = i };

        if (hyp_vcpu(x->tools.hyp, info->domain, i, &got, v.hard.word, v.soft.word))
            continue;
        v.cpu = got.cpu;
        v.online = got.online;
        v.running = got.running;
        v.blocked = got.blocked;
        v.cpu_time_ns = got.cpu_time;
        if (how->json)
            json_vcpu(how->json, d, &v, how->nr_cpus);
        else
            print_vcpu(&x->out, d, &v, how->nr_cpus);
    }
}

int xl_vcpu_list(struct xl *x, const struct options *o)
{
    struct json j = { .out = &x->out };
    struct vcpus how = { .json = option_value(o, "json") ? &j : NULL };
    struct xen_sysctl_physinfo machine;
    int rc;

    if (hyp_machine(x->tools.hyp, &machine))
        return xl_fail(x, "xl: the machine: %s", strerror(errno));
    how.nr_cpus = machine.nr_cpus;
    if (how.json)
        json_array(&j, NULL);
    else
        print_vcpus_head(&x->out);
    rc = each(x, o->args, o->nr_args, BRIEF, vcpus_of, &how);
    if (how.json)
        json_end(&j);
    return rc;
}

/* ---- sched-credit2 ---- */

static void credit2_row(struct xl *x, const guest_info_t *info, const struct xl_domain *d,
                        void *arg)
{
    (void)info;
    (void)arg;
    print_credit2(&x->out, d);
}

/* A number of up to 16 bits, or the value that leaves things as they are. */
static bool share(struct xl *x, const char *text, uint16_t unchanged, uint16_t *value)
{
    char *end;
    unsigned long n = text ? strtoul(text, &end, 10) : unchanged;

    *value = (uint16_t)n;
    if (text && (*text < '0' || *text > '9' || *end || n > UINT16_MAX - 1u)) {
        xl_fail(x, "xl: sched-credit2: %s is no weight or cap", text);
        return false;
    }
    return true;
}

int xl_credit2(struct xl *x, const struct options *o)
{
    const char *domain = option_value(o, "d"), *w = option_value(o, "w"), *c = option_value(o, "c");
    struct json j = { .out = &x->out };
    uint16_t weight, cap;
    domid_t id;
    int rc;

    if (option_value(o, "s") || option_value(o, "r") || option_value(o, "p"))
        return xl_fail(x, "xl: sched-credit2: -p, -s and -r are not served yet");
    if ((w || c) && domain == NULL)
        return xl_fail(x, "Must specify a domain.");
    if (w || c) {
        if (!share(x, w, 0, &weight) || !share(x, c, UINT16_MAX, &cap) ||
            !xl_domain_of(x, domain, &id))
            return EXIT_FAILED;
        if (w && weight == 0)
            return xl_fail(x, "xl: sched-credit2: weights are from 1 on");
        if (hyp_set_shares(x->tools.hyp, id, weight, cap))
            return xl_fail(x, "xl: domain %u: %s", id, strerror(errno));
        return EXIT_OK;
    }
    if (option_value(o, "json")) {
        json_array(&j, NULL);
        rc = each(x, &domain, domain != NULL, WHOLE, list_json, &j);
        json_end(&j);
        return rc;
    }
    if (domain == NULL)
        print_credit2_pool(&x->out, POOL, 0);
    else if (!xl_domain_of(x, domain, &id))
        return EXIT_FAILED;
    print_credit2_head(&x->out);
    return each(x, &domain, domain != NULL, WHOLE, credit2_row, NULL);
}

/* ---- uptime ---- */

static void uptime_row(struct xl *x, const guest_info_t *info, const struct xl_domain *d, void *arg)
{
    (void)info;
    if (*(const bool *)arg)
        print_uptime_short(&x->out, d, (unsigned int)(plat_wall() / 1000000000u % 86400u));
    else
        print_uptime(&x->out, d);
}

int xl_uptime(struct xl *x, const struct options *o)
{
    bool is_short = option_value(o, "s") != NULL;
    struct json j = { .out = &x->out };
    int rc;

    if (option_value(o, "json")) {
        json_array(&j, NULL);
        rc = each(x, o->args, o->nr_args, WHOLE, list_json, &j);
        json_end(&j);
        return rc;
    }
    if (!is_short)
        print_uptime_head(&x->out);
    return each(x, o->args, o->nr_args, WHOLE, uptime_row, &is_short);
}
