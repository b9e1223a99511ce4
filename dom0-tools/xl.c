/* See xl.h. Commands that do something to a domain, and what all commands share. */
#include "xl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/domctl.h>

#include "lib/hyp.h"
#include "lib/nodes.h"

int xl_fail(struct xl *x, const char *fmt, ...)
{
    char line[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    text_printf(&x->err, "%s\n", line);
    return EXIT_FAILED;
}

/* What the toolstack says of its last error. */
static int failed(struct xl *x) { return xl_fail(x, "xl: %s", x->tools.error); }

bool xl_domain_of(struct xl *x, const char *name, domid_t *id)
{
    if (guest_find(&x->tools, name, id) == 0)
        return true;
    failed(x);
    return false;
}

/* ---- one domain ---- */

/* fn of the domain that is the first argument. */
static int on_domain(struct xl *x, const struct options *o,
                     int (*fn)(struct toolstack *t, domid_t id))
{
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    return fn(&x->tools, id) ? failed(x) : EXIT_OK;
}

static int xl_pause(struct xl *x, const struct options *o) { return on_domain(x, o, guest_pause); }

static int xl_unpause(struct xl *x, const struct options *o)
{
    return on_domain(x, o, guest_unpause);
}

static int xl_destroy(struct xl *x, const struct options *o)
{
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (id == x->tools.self)
        return xl_fail(x, "Cannot destroy privileged domain %u.", id);
    return guest_destroy(&x->tools, id) ? failed(x) : EXIT_OK;
}

static int xl_rename(struct xl *x, const struct options *o)
{
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    return guest_rename(&x->tools, id, o->args[1]) ? failed(x) : EXIT_OK;
}

static int xl_domid(struct xl *x, const struct options *o)
{
    domid_t id;

    if (guest_find(&x->tools, o->args[0], &id))
        return xl_fail(x, "Can't get domid of domain name '%s', maybe this domain does not exist.",
                       o->args[0]);
    text_printf(&x->out, "%u\n", id);
    return EXIT_OK;
}

static int xl_domname(struct xl *x, const struct options *o)
{
    char *end, *name = NULL;
    unsigned long id = strtoul(o->args[0], &end, 10);

    if (o->args[0][0] < '0' || o->args[0][0] > '9' || *end)
        return xl_fail(x, "Invalid domain id: %s", o->args[0]);
    if (id < DOMID_FIRST_RESERVED)
        name = guest_name(&x->tools, (domid_t)id);
    if (name == NULL)
        return xl_fail(x,
                       "Can't get domain name of domain id '%s', maybe this domain does not exist.",
                       o->args[0]);
    text_printf(&x->out, "%s\n", name);
    free(name);
    return EXIT_OK;
}

static int xl_sysrq(struct xl *x, const struct options *o)
{
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (o->args[1][0] == '\0' || o->args[1][1])
        return xl_fail(x, "Invalid sysrq: %s", o->args[1]);
    if (x->tools.store == NULL)
        return xl_fail(x, "xl: there is no store");
    return nodes_ask(&x->tools, id, "control/sysrq", o->args[1]) ? failed(x) : EXIT_OK;
}

static int xl_trigger(struct xl *x, const struct options *o)
{
    static const char *const names[] = { "nmi", "reset", "init", "power", "sleep" };
    static const uint32_t triggers[] = { XEN_DOMCTL_SENDTRIGGER_NMI, XEN_DOMCTL_SENDTRIGGER_RESET,
                                         XEN_DOMCTL_SENDTRIGGER_INIT, XEN_DOMCTL_SENDTRIGGER_POWER,
                                         XEN_DOMCTL_SENDTRIGGER_SLEEP };
    const char *number = o->nr_args > 2 ? o->args[2] : "0";
    unsigned long vcpu;
    guest_info_t info;
    domid_t id;
    size_t i = 0;
    char *end;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    while (i < sizeof(names) / sizeof(names[0]) && strcmp(names[i], o->args[1]) != 0)
        i++;
    if (i == sizeof(names) / sizeof(names[0]))
        return xl_fail(x, "Invalid trigger: %s", o->args[1]);
    vcpu = strtoul(number, &end, 10);
    if (*number < '0' || *number > '9' || *end || vcpu > UINT32_MAX)
        return xl_fail(x, "Invalid vcpu: %s", number);
    if (guest_info(&x->tools, id, &info))
        return failed(x);
    if (vcpu > info.max_vcpu_id)
        return xl_fail(x, "xl: domain %u has no vCPU %lu", id, vcpu);
    if (hyp_trigger(x->tools.hyp, id, (uint32_t)vcpu, triggers[i]))
        return xl_fail(x, "xl: domain %u: %s: %s", id, names[i], strerror(errno));
    return EXIT_OK;
}

/* ---- its console ---- */

int xl_attach(struct xl *x, const char *who, unsigned int number, void (*attached)(void *arg),
              void *arg)
{
    if (x->home == NULL || x->home->console == NULL)
        return xl_fail(x, "xl: there is no terminal here");
    return x->home->console(x, who, number, attached, arg);
}

int xl_console(struct xl *x, const struct options *o)
{
    const char *type = option_value(o, "t"), *number = option_value(o, "n");
    uint64_t n = 0;

    if (type && strcmp(type, "pv") != 0 && strcmp(type, "serial") != 0 &&
        strcmp(type, "vuart") != 0)
        return xl_fail(x, "console type supported are: pv, serial, vuart");
    if (type && strcmp(type, "pv") != 0)
        return xl_fail(x, "xl: console: there are only pv's");
    if (number && !config_parse_number(number, UINT32_MAX, &n))
        return xl_fail(x, "xl: console: %s is no number of a console", number);
    return xl_attach(x, o->args[0], (unsigned int)n, NULL, NULL);
}

/* ---- memory ---- */

/*
 * A node, and the limit that is to be with it (guest_allow()): both or, on failure, neither. A domain without the node,
 * as the embedded control domain is, keeps its limit. The limit first: what sees the node is to find it.
 */
static int set_memory(struct xl *x, const guest_info_t *info, const char *leaf, uint64_t kib,
                      uint64_t allowed_kib, uint64_t most_kib)
{
    struct toolstack *t = &x->tools;
    char text[24], *old = t->store ? nodes_read(t, info->domain, leaf) : NULL;

    if (t->store && old == NULL)
        return xl_fail(x, "xl: domain %u: %s in the store: %s", info->domain, leaf,
                       strerror(errno));
    free(old);
    if (guest_allow(t, info->domain, allowed_kib, most_kib))
        return failed(x);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)kib);
    if (t->store == NULL || nodes_write(t, info->domain, leaf, text) == 0)
        return EXIT_OK;
    hyp_max_memory(t->hyp, info->domain, info->max_pages * (HYP_PAGE / 1024));
    return failed(x);
}

/* What mem-set took stays taken: the limit is the target's, where there is one below. */
static int xl_mem_max(struct xl *x, const struct options *o)
{
    unsigned long long kib;
    uint64_t target;
    guest_info_t info;
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (parse_size(o->args[1], &kib))
        return xl_fail(x, "invalid memory size: %s", o->args[1]);
    if (guest_info(&x->tools, id, &info))
        return failed(x);
    if (kib < info.tot_pages * 4)
        return xl_fail(x, "cannot set domid %u static max memory to %s: it has more now", id,
                       o->args[1]);
    target = guest_target_kib(&x->tools, id);
    return set_memory(x, &info, "memory/static-max", kib, target && target < kib ? target : kib,
                      kib);
}

/* The domain's balloon does it, when it likes; but what it has given it does not take back by itself. */
static int xl_mem_set(struct xl *x, const struct options *o)
{
    unsigned long long kib;
    uint64_t most;
    guest_info_t info;
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (parse_size(o->args[1], &kib))
        return xl_fail(x, "invalid memory size: %s", o->args[1]);
    if (kib < 1024)
        return xl_fail(x, "cannot set domid %u memory to %s: 1 MiB is the least", id, o->args[1]);
    if (guest_info(&x->tools, id, &info))
        return failed(x);
    most = guest_most_kib(&x->tools, &info);
    if (kib > most)
        return xl_fail(x, "cannot set domid %u memory to %s: it may have %llu MiB", id, o->args[1],
                       (unsigned long long)most >> 10);
    if (x->tools.store == NULL)
        return xl_fail(x, "xl: there is no store");
    return set_memory(x, &info, "memory/target", kib, kib, most);
}

/* ---- shutdown, reboot ---- */

/* Until none of the domains that were there runs any more, or the user has waited enough: guests need not obey. */
static int wait_for_ends(struct xl *x, const guest_info_t *infos, size_t nr)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };
    bool enough = false;

    xl_heed_interrupts(x, true);
    plat_lock(&lock);
    for (size_t i = 0; i < nr && !enough; i++) {
        guest_info_t now;

        while (guest_info(&x->tools, infos[i].domain, &now) == 0 &&
               !(now.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying)) &&
               memcmp(now.handle, infos[i].handle, sizeof(now.handle)) == 0 &&
               (enough = toolstack_go_on(&x->tools) != 0) == false)
            plat_cond_wait(&never, &lock, plat_now() + 100000000u);
    }
    plat_unlock(&lock);
    xl_heed_interrupts(x, false);
    return enough ? failed(x) : EXIT_OK;
}

static int request(struct xl *x, const struct options *o, const char *what)
{
    bool all = option_value(o, "a") != NULL, wait = option_value(o, "w") != NULL;
    guest_info_t *infos = NULL;
    size_t nr = 0, asked = 0;
    int rc = EXIT_OK;
    domid_t id = 0;

    if (all == (o->nr_args == 1))
        return xl_fail(x, "xl: either a domain, or -a"), EXIT_USAGE;
    if (!all && !xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (guest_list(&x->tools, &infos, &nr))
        return failed(x);
    for (size_t i = 0; i < nr; i++) {
        if (all ? infos[i].domain == x->tools.self : infos[i].domain != id)
            continue;
        text_printf(&x->err, "%s domain %u\n",
                    strcmp(what, "reboot") == 0 ? "Rebooting" : "Shutting down", infos[i].domain);
        if (guest_request(&x->tools, infos[i].domain, what))
            rc = failed(x);
        else
            infos[asked++] = infos[i];
    }
    if (wait && x->home && x->home->show) /* it may take its time */
        x->home->show(x);
    if (wait && wait_for_ends(x, infos, asked) != EXIT_OK)
        rc = EXIT_FAILED;
    free(infos);
    return rc;
}

static int xl_shutdown(struct xl *x, const struct options *o) { return request(x, o, "poweroff"); }
static int xl_reboot(struct xl *x, const struct options *o) { return request(x, o, "reboot"); }

/* ---- the hypervisor ---- */

static int xl_debug_keys(struct xl *x, const struct options *o)
{
    if (hyp_debug_keys(x->tools.hyp, o->args[0]))
        return xl_fail(x, "cannot send debug keys: %s", strerror(errno));
    return EXIT_OK;
}

static int xl_dmesg(struct xl *x, const struct options *o)
{
    bool clear = option_value(o, "c") != NULL;
    uint32_t index = 0;
    char buf[4096];
    int n;

    while ((n = hyp_messages(x->tools.hyp, buf, sizeof(buf), &index, clear)) > 0)
        text_put(&x->out, buf, (size_t)n);
    return n < 0 ? xl_fail(x, "xl: the messages cannot be read: %s", strerror(errno)) : EXIT_OK;
}

/* ---- all of them ---- */

static xl_command_fn *const served[NR_COMMANDS] = {
    [COMMAND_CREATE] = xl_create,
    [COMMAND_LIST] = xl_list,
    [COMMAND_DESTROY] = xl_destroy,
    [COMMAND_SHUTDOWN] = xl_shutdown,
    [COMMAND_REBOOT] = xl_reboot,
    [COMMAND_PAUSE] = xl_pause,
    [COMMAND_UNPAUSE] = xl_unpause,
    [COMMAND_MEM_MAX] = xl_mem_max,
    [COMMAND_MEM_SET] = xl_mem_set,
    [COMMAND_VCPU_LIST] = xl_vcpu_list,
    [COMMAND_SCHED_CREDIT2] = xl_credit2,
    [COMMAND_DOMID] = xl_domid,
    [COMMAND_DOMNAME] = xl_domname,
    [COMMAND_RENAME] = xl_rename,
    [COMMAND_TRIGGER] = xl_trigger,
    [COMMAND_SYSRQ] = xl_sysrq,
    [COMMAND_DEBUG_KEYS] = xl_debug_keys,
    [COMMAND_DMESG] = xl_dmesg,
    [COMMAND_UPTIME] = xl_uptime,
    [COMMAND_VCPU_PIN] = xl_vcpu_pin,
    [COMMAND_VCPU_SET] = xl_vcpu_set,
    [COMMAND_CONSOLE] = xl_console,
    [COMMAND_CHANNEL_LIST] = xl_channel_list,
    [COMMAND_INFO] = xl_info,
    [COMMAND_WHY] = xl_why,
    [COMMAND_CONFIG_UPDATE] = xl_config_update,
    [COMMAND_TOP] = xl_top,
    [COMMAND_SAVE] = xl_save,
    [COMMAND_RESTORE] = xl_restore,
    [COMMAND_DUMP_CORE] = xl_dump_core,
    [COMMAND_SHELLS] = xl_shells,
    [COMMAND_BLOCK_ATTACH] = xl_block_attach,
    [COMMAND_BLOCK_DETACH] = xl_block_detach,
    [COMMAND_BLOCK_LIST] = xl_block_list,
    [COMMAND_NETWORK_ATTACH] = xl_network_attach,
    [COMMAND_NETWORK_DETACH] = xl_network_detach,
    [COMMAND_NETWORK_LIST] = xl_network_list,
};

int xl_run(struct xl *x, int argc, char *const argv[])
{
    struct options o;
    int rc = options_parse(&o, argc, argv, &x->out, &x->err);

    if (rc >= 0)
        return rc;
    if (served[o.id] == NULL)
        return xl_fail(x, "xl: %s: not served yet", commands[o.id].name);
    return served[o.id](x, &o);
}
