/* Which guests there are, by the hypervisor, and what the store says of their consoles. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore_loop.h>

#include "../lib/shell.h"
#include "internal.h"

enum { PATH_BYTES = 80 };

/* ---- the store ---- */

static void console_path(char path[PATH_BYTES], domid_t domain, const char *node)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/%s", domain, node);
}

static char *read_node(struct console *c, const char *node)
{
    char path[PATH_BYTES];

    console_path(path, c->domain, node);
    return xs_read(c->daemon->xs, XBT_NULL, path, NULL);
}

/* A number of digits only. Returns false if it is none, or too large. */
static bool read_number(struct console *c, const char *node, uint64_t max, uint64_t *value)
{
    char *text = read_node(c, node), *end = NULL;

    if (text == NULL)
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || *value > max)
        end = NULL;
    free(text);
    return end != NULL;
}

/* "ioemu" is another program's. */
static bool is_ours(struct console *c)
{
    char *type = read_node(c, "console/type");
    bool ours = type == NULL || strcmp(type, "xenconsoled") == 0;

    free(type);
    return ours;
}

/* With a name, also another one, begins the log of that name. One that is gone stays what it was. */
void domains_name(struct console *c)
{
    char *text = read_node(c, "name"), name[NAME_BYTES];

    if (text && text[0])
        snprintf(name, sizeof(name), "%s", text);
    else if (c->name[0])
        snprintf(name, sizeof(name), "%s", c->name);
    else
        snprintf(name, sizeof(name), "%u", c->domain);
    free(text);
    for (char *i = name; *i; i++) /* it goes into lines */
        if ((unsigned char)*i < ' ' || *i == 0x7f)
            *i = '_';
    if (strcmp(name, c->name) == 0)
        return;
    snprintf(c->name, sizeof(c->name), "%s", name);
    log_begin(&c->log, &c->daemon->options, c->name, c->number);
}

void domains_open_tty(struct console *c)
{
    const struct consoled_options *o = &c->daemon->options;
    struct plat_stream *tty;
    char name[64], node[40] = "console/tty", path[PATH_BYTES];

    if (c->tty || o->tty_open == NULL)
        return;
    tty = o->tty_open(name, sizeof(name));
    if (tty == NULL) {
        plat_log(PLAT_WARNING, "domain %u has no terminal: %s", c->domain, strerror(errno));
        return;
    }
    if (c->number)
        snprintf(node, sizeof(node), "device/console/%u/tty", c->number);
    console_path(path, c->domain, node);
    if (xs_write(c->daemon->xs, XBT_NULL, path, name, (unsigned int)strlen(name)))
        client_tty(c, tty);
    else
        o->tty_close(tty);
}

void domains_read(struct console *c)
{
    uint64_t gfn, port;

    c->stale = false;
    if (c->daemon->xs == NULL || !read_number(c, "console/ring-ref", UINT64_MAX >> 12, &gfn) ||
        !read_number(c, "console/port", UINT32_MAX, &port) || !is_ours(c))
        return;
    domains_name(c);
    channels_renamed(c->daemon, c->domain);
    if (!c->placed)
        domains_open_tty(c);
    console_place(c, gfn, (evtchn_port_t)port);
}

static const char *const watched[] = { "console", "name" };
enum { NR_WATCHED = sizeof(watched) / sizeof(watched[0]) };

bool domains_watch_one(struct console *c)
{
    char path[PATH_BYTES];

    for (int i = 0; i < NR_WATCHED; i++) {
        console_path(path, c->domain, watched[i]);
        if (c->daemon->xs == NULL || !xs_watch(c->daemon->xs, path, "console")) {
            int error = errno;

            domains_unwatch_one(c); /* else it is there already when it is tried again */
            errno = error;
            return false;
        }
    }
    return true;
}

void domains_unwatch_one(struct console *c)
{
    char path[PATH_BYTES];

    for (int i = 0; i < NR_WATCHED && c->daemon->xs; i++) {
        console_path(path, c->domain, watched[i]);
        xs_unwatch(c->daemon->xs, path, "console");
    }
}

bool domains_watch(struct consoled *d)
{
    bool ok = xenstore_watch_domains(d->xs, "@introduceDomain", "domains") &&
              xenstore_watch_domains(d->xs, "@releaseDomain", "domains");

    for (struct console *c = d->consoles; c; c = c->next) {
        ok = ok && domains_watch_one(c);
        c->stale = true;
    }
    return ok;
}

domid_t domains_of_path(const char *path)
{
    static const char prefix[] = "/local/domain/";
    unsigned long domain;
    char *end;

    if (strncmp(path, prefix, strlen(prefix)) != 0)
        return 0;
    domain = strtoul(path + strlen(prefix), &end, 10);
    if (strncmp(end, "/console", 8) != 0 && strcmp(end, "/name") != 0)
        return 0;
    return domain < DOMID_FIRST_RESERVED ? (domid_t)domain : 0;
}

/* ---- the hypervisor ---- */

/* At that place of the list. */
static void begin(struct consoled *d, struct console **at, const xen_domctl_getdomaininfo_t *info)
{
    struct console *c = console_new(d, info->domain, info->handle);

    if (c == NULL || !domains_watch_one(c)) {
        plat_log(PLAT_WARNING, "domain %u has no console for now: %s", info->domain,
                 strerror(errno));
        if (c)
            console_free(c);
        consoled_retry(d);
        return;
    }
    c->seen = c->stale = true;
    c->next = *at;
    c->before = *at ? (*at)->before : d->last;
    *(*at ? &(*at)->before : &d->last) = c;
    *at = c;
}

static bool logs_there(const struct console *of, const struct guest_log *log)
{
    for (; of; of = of->next)
        if (strcmp(of->log.path, log->path) == 0)
            return true;
    return false;
}

/* Unless another one of its name goes on with it, or has been the same before. */
static void drop_log(struct console *c)
{
    const struct consoled *d = c->daemon;

    if (d->options.drop_logs && !logs_there(c->number ? d->channels : d->consoles, &c->log) &&
        !logs_there(c->number ? d->dead_channels : d->dead, &c->log))
        log_drop(&c->log);
}

void domains_bury(struct console **dead, struct console *c)
{
    struct console **at = dead;

    c->next = *dead;
    *dead = c;
    for (int n = 0; *at && n < DEAD_MAX; n++)
        at = &(*at)->next;
    while (*at) {
        c = *at;
        *at = c->next;
        drop_log(c);
        console_free(c);
    }
}

/* The one at that place of the list is no more. */
static void end(struct consoled *d, struct console **at)
{
    struct console *c = *at;

    *at = c->next;
    *(c->next ? &c->next->before : &d->last) = c->before;
    domains_unwatch_one(c);
    console_end(c);
    channels_orphaned(d, c->domain);
    domains_bury(&d->dead, c);
}

/*
 * The list is in the order of numbers, as domains are told. Returns the place from which on the next one is to be
 * looked for.
 */
static struct console **note(struct consoled *d, struct console **at,
                             const xen_domctl_getdomaininfo_t *info)
{
    if (info->domain == 0 || (info->flags & XEN_DOMINF_dying) || shell_is(info->handle))
        return at;
    while (*at && (*at)->domain < info->domain)
        at = &(*at)->next;
    /* One that was started at boot has no handle until it is adopted. */
    if (*at && (*at)->domain == info->domain &&
        memcmp((*at)->handle, (xen_domain_handle_t){ 0 }, sizeof(info->handle)) == 0)
        memcpy((*at)->handle, info->handle, sizeof(info->handle));
    if (*at && (*at)->domain == info->domain &&
        memcmp((*at)->handle, info->handle, sizeof(info->handle)) != 0)
        end(d, at); /* another one has its id now */
    if (*at && (*at)->domain == info->domain)
        (*at)->seen = true;
    else
        begin(d, at, info);
    return at;
}

/* Some of the domains from an id on, into d->infos. Returns how many, or -1. */
static int list(struct consoled *d, domid_t first)
{
    struct xen_sysctl *s = d->sysctl;

    memset(s, 0, sizeof(*s));
    s->cmd = XEN_SYSCTL_getdomaininfolist;
    s->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    s->u.getdomaininfolist.first_domain = first;
    s->u.getdomaininfolist.max_domains = INFOS_MAX;
    set_xen_guest_handle(s->u.getdomaininfolist.buffer, d->infos);
    if (xencall1(d->hypervisor, __HYPERVISOR_sysctl, (uint64_t)(uintptr_t)s) < 0) {
        plat_log(PLAT_ERROR, "which domains are there? %s", strerror(errno));
        return -1;
    }
    return s->u.getdomaininfolist.num_domains <= INFOS_MAX ? (int)s->u.getdomaininfolist.num_domains
                                                           : -1;
}

/* What the hypervisor says of that one, into d->infos[0]. Returns 1; 0: there is none; -1. */
static int ask(struct consoled *d, domid_t domain)
{
    struct xen_domctl *domctl = d->domctl;

    memset(domctl, 0, sizeof(*domctl));
    domctl->cmd = XEN_DOMCTL_getdomaininfo;
    domctl->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    domctl->domain = domain;
    if (xencall1(d->hypervisor, __HYPERVISOR_domctl, (uint64_t)(uintptr_t)domctl) < 0)
        return errno == ESRCH ? 0 : -1;
    d->infos[0] = domctl->u.getdomaininfo;
    return d->infos[0].domain == domain; /* the next one that there is was told */
}

/* Where in the list that one is, or would be. Most that begin and end are the last. */
static struct console **place_of(struct consoled *d, domid_t domain)
{
    struct console *c = d->last;

    while (c && c->domain >= domain)
        c = c->before;
    return c ? &c->next : &d->consoles;
}

bool domains_look_at(struct consoled *d, domid_t domain)
{
    struct console **at = place_of(d, domain);
    int n = ask(d, domain);

    if (n < 0) { /* it may not be asked that */
        domains_look(d);
        return false;
    }
    if (*at && (*at)->domain == domain)
        (*at)->seen = false;
    if (n)
        at = note(d, at, &d->infos[0]);
    if (*at && (*at)->domain == domain && !(*at)->seen)
        end(d, at);
    return *at && (*at)->domain == domain && (*at)->stale;
}

void domains_look(struct consoled *d)
{
    struct console **at = &d->consoles;
    domid_t first = 0;
    int n;

    for (struct console *c = d->consoles; c; c = c->next)
        c->seen = false;
    do {
        n = list(d, first);
        for (int i = 0; i < n; i++) {
            at = note(d, at, &d->infos[i]);
            first = (domid_t)(d->infos[i].domain + 1);
        }
    } while (n == INFOS_MAX);
    if (n < 0) {
        consoled_retry(d);
        return;
    }
    at = &d->consoles;
    while (*at)
        if ((*at)->seen)
            at = &(*at)->next;
        else
            end(d, at);
    for (struct console *c = d->consoles; c; c = c->next)
        if (c->stale)
            domains_read(c);
}
