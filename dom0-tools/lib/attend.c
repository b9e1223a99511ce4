/* guest_config(), guest_config_now() and guest_attend(); see toolstack.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/sched.h>

#include "../config.h"
#include "devices.h"
#include "guest_internal.h"
#include "hyp.h"
#include "nodes.h"
#include "toolstack.h"

/* It was checked when the domain was created. */
static void ignore(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    (void)arg;
    (void)level;
    (void)file;
    (void)line;
    (void)text;
}

int guest_config(struct toolstack *t, domid_t id, struct domain_config *c)
{
    struct config_source source = { .file = "",
                                    .served = CONFIG_SERVE_DISK | CONFIG_SERVE_VIF,
                                    .report = ignore };
    char *text;
    int rc;

    if (t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "there is no store");
    text = nodes_config(t, id);
    if (text == NULL)
        return toolstack_fail(t, errno, "domain %u: its configuration: %s", id, strerror(errno));
    source.text = text;
    source.len_bytes = strlen(text);
    rc = config_parse(c, &source);
    free(text);
    return rc ? toolstack_fail(t, -rc, "domain %u: its configuration: %s", id, strerror(-rc)) : 0;
}

static uint64_t number(struct toolstack *t, domid_t id, const char *leaf)
{
    char *text = nodes_read(t, id, leaf);
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;

    free(text);
    return n;
}

static void name_now(struct toolstack *t, domid_t id, struct domain_config *c)
{
    char *name = guest_name(t, id);

    if (name)
        snprintf(c->name, sizeof(c->name), "%.63s", name);
    free(name);
}

/* As many as it was told to have: a domain that ends, or is saved, has taken them out of use by itself. */
static void vcpus_now(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    unsigned int online = 0;

    c->max_vcpus = info->max_vcpu_id + 1;
    for (unsigned int v = 0; v < c->max_vcpus; v++) {
        char leaf[32], *state;

        snprintf(leaf, sizeof(leaf), "cpu/%u/availability", v);
        state = nodes_read(t, info->domain, leaf);
        online += state && strcmp(state, "online") == 0;
        free(state);
    }
    c->nr_vcpus = online ? online : c->max_vcpus;
}

void guest_config_now(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    uint64_t kib = number(t, info->domain, "memory/target");
    uint16_t weight, cap;

    name_now(t, info->domain, c);
    c->has_uuid = true;
    memcpy(c->uuid, info->handle, sizeof(c->uuid));
    c->max_memory_kib = info->max_pages * (HYP_PAGE / 1024);
    if (kib >= 1024)
        c->memory_kib = kib;
    if (c->memory_kib > c->max_memory_kib)
        c->memory_kib = c->max_memory_kib;
    vcpus_now(t, info, c);
    if (hyp_get_shares(t->hyp, info->domain, &weight, &cap) == 0) {
        c->weight = weight;
        c->cap_percent = cap;
    }
}

/* ---- who has ended ---- */

static void log_error(struct toolstack *t, const char *name)
{
    plat_log(PLAT_ERROR, "domain %s: %s", name, t->error);
}

static enum config_action action_for(const struct domain_config *c, int code)
{
    switch (code) {
    case SHUTDOWN_poweroff: return c->on_poweroff;
    case SHUTDOWN_reboot: return c->on_reboot;
    case SHUTDOWN_watchdog: return c->on_watchdog;
    default: return c->on_crash;
    }
}

/* ---- another one in its place ---- */

enum { RENAMED_SHORT_LIVES = 2, MAX_TRIES = 12, NONE = DOMID_INVALID };

/* Who has ended, and what it was configured with before it became as it is now. */
struct ended {
    const guest_info_t *info;
    uint64_t configured_kib;
};

/* One that is to begin. */
struct guest_restart {
    struct guest_restart *next;
    struct domain_config c;
    uint64_t configured_kib;
    domid_t old; /* of its UUID, whose nodes may still be there; NONE */
    unsigned int nr_short_lives, nr_tries;
};

/* Not what stays wrong however often it is tried. */
static bool may_pass(int error)
{
    switch (error) {
    case ENOENT:
    case EACCES:
    case ENOEXEC:
    case EINVAL:
    case EEXIST:
    case E2BIG:
    case ENOTSUP: return false;
    default: return true;
    }
}

static void try_again(struct toolstack *t, const struct domain_config *c, uint64_t configured_kib,
                      domid_t old)
{
    struct guest_restart *r = malloc(sizeof(*r));

    if (r == NULL) {
        plat_log(PLAT_ERROR, "domain %s: no memory to try it again", c->name);
        return;
    }
    *r = (struct guest_restart){ .next = t->restarts,
                                 .configured_kib = configured_kib,
                                 .old = old,
                                 .nr_short_lives = t->nr_short_lives };
    memcpy(&r->c, c, sizeof(r->c));
    t->restarts = r;
}

void guest_forget_restarts(struct toolstack *t)
{
    while (t->restarts) {
        struct guest_restart *r = t->restarts;

        t->restarts = r->next;
        free(r);
    }
}

/* Of the domain that was created, or not. Returns its number, 0: it is not. */
static domid_t begin(struct toolstack *t, const struct domain_config *c, int created, domid_t id)
{
    if (created || guest_unpause(t, id)) {
        log_error(t, c->name);
        return 0;
    }
    plat_log(PLAT_INFO, "domain %s: started again as %u", c->name, id);
    return id;
}

/* The same domain once more, by its UUID. */
static domid_t restart(struct toolstack *t, struct domain_config *c, const struct ended *e)
{
    domid_t id = 0;
    int rc, error;

    c->has_uuid = true;
    memcpy(c->uuid, e->info->handle, sizeof(c->uuid));
    rc = guest_replace(t, c, e->configured_kib, e->info, &id);
    error = errno;
    if (rc && may_pass(error))
        try_again(t, c, e->configured_kib, e->info->domain);
    return begin(t, c, rc, id);
}

/* What has ended stays, by another name, and has the UUID; another one begins. If it cannot, it has its name again. */
static domid_t rename_restart(struct toolstack *t, struct domain_config *c, const struct ended *e)
{
    domid_t id = 0, old = e->info->domain;
    char name[CONFIG_NAME];
    int rc, error;

    snprintf(name, sizeof(name), "%.50s-%u", c->name, old);
    c->has_uuid = false;
    if (nodes_set_aside(t, old, name)) {
        log_error(t, c->name);
        return 0;
    }
    if (devices_remove(t, old)) /* the new one wants them */
        log_error(t, c->name);
    rc = guest_replace(t, c, e->configured_kib, NULL, &id);
    error = errno;
    if (rc && error == ENOMEM) {
        plat_log(PLAT_WARNING, "domain %s: %s; what has ended is not kept", c->name, t->error);
        return restart(t, c, e);
    }
    id = begin(t, c, rc, id);
    if (rc && may_pass(error))
        try_again(t, c, e->configured_kib, NONE);
    else if (rc && nodes_rename(t, old, c->name))
        log_error(t, c->name);
    return id;
}

/* Of a domain that has been destroyed all nodes go. 1: it is there, and attended to as others; -1: it is not known. */
static int end_old(struct toolstack *t, const struct guest_restart *r)
{
    char want[4 + 37] = "/vm/", *vm;
    guest_info_t info;
    bool same;

    if (r->old == NONE)
        return 0;
    if (guest_info(t, r->old, &info) == 0) {
        if (memcmp(info.handle, r->c.uuid, sizeof(r->c.uuid)) == 0 &&
            !(info.flags & XEN_DOMINF_dying))
            return 1;
    } else if (errno != ESRCH) {
        return -1;
    }
    config_print_uuid(r->c.uuid, want + 4);
    vm = nodes_read(t, r->old, "vm");
    if (vm == NULL)
        return errno == ENOENT ? 0 : toolstack_fail(t, errno, "the store: %s", strerror(errno));
    same = strcmp(vm, want) == 0; /* else its number is another's by now */
    free(vm);
    return same ? nodes_remove(t, r->old) : 0;
}

/* Returns whether it is not to be tried any more. */
static bool try_once(struct toolstack *t, struct guest_restart *r, int *done)
{
    int rc = end_old(t, r);
    domid_t id = 0;
    bool passes;

    if (rc > 0)
        return true;
    t->nr_short_lives = r->nr_short_lives;
    rc = rc ? rc : guest_replace(t, &r->c, r->configured_kib, NULL, &id);
    passes = rc && may_pass(errno) && ++r->nr_tries < MAX_TRIES;
    t->nr_short_lives = 0;
    *done += begin(t, &r->c, rc, id) != 0;
    return !passes;
}

/* Returns how many have begun. */
static int try_restarts(struct toolstack *t)
{
    struct guest_restart **at = &t->restarts;
    int done = 0;

    while (*at) {
        struct guest_restart *r = *at;

        if (!try_once(t, r, &done)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        free(r);
    }
    return done;
}

/* ---- what is done ---- */

static bool is_restart(enum config_action action)
{
    return action == CONFIG_RESTART || action == CONFIG_RENAME_RESTART ||
           action == CONFIG_COREDUMP_RESTART;
}

/* A domain that ends as soon as it has begun would be started for ever. Into t: how many such lives there were. */
static enum config_action braked(struct toolstack *t, const struct domain_config *c,
                                 const guest_info_t *info, enum config_action action)
{
    unsigned int most =
        action == CONFIG_RENAME_RESTART ? (unsigned int)RENAMED_SHORT_LIVES : GUEST_SHORT_LIVES;
    uint64_t start, now = plat_wall() / 1000000000u;

    if (!is_restart(action))
        return action;
    start = nodes_start_time(t, info->handle);
    if (start == 0 || now < start || now - start >= GUEST_SHORT_S)
        return action;
    t->nr_short_lives = nodes_short_lives(t, info->domain) + 1;
    if (t->nr_short_lives < most)
        return action;
    plat_log(
        PLAT_WARNING,
        "domain %s: %u times in a row it has ended within %u s; it is kept, and not started again",
        c->name, t->nr_short_lives, (unsigned int)GUEST_SHORT_S);
    return CONFIG_PRESERVE;
}

static void dump_core(struct toolstack *t, const struct domain_config *c, domid_t id)
{
    char path[sizeof(GUEST_DUMP_FOLDER) + CONFIG_NAME];

    snprintf(path, sizeof(path), GUEST_DUMP_FOLDER "/%s", c->name);
    if (guest_dump_core(t, id, path))
        plat_log(PLAT_ERROR, "domain %s: no core is dumped: %s", c->name, t->error);
    else
        plat_log(PLAT_INFO, "domain %s: its core is %s", c->name, path);
}

/* Returns the domain that begins in its place, 0: none. */
static domid_t act(struct toolstack *t, struct domain_config *c, const struct ended *e, int code)
{
    enum config_action action = action_for(c, code);
    const guest_info_t *info = e->info;

    plat_log(PLAT_INFO, "domain %u (%s) has ended by %d: %s", info->domain, c->name, code,
             config_action_name(action));
    switch (braked(t, c, info, action)) {
    case CONFIG_COREDUMP_RESTART: dump_core(t, c, info->domain); return restart(t, c, e);
    case CONFIG_RESTART: return restart(t, c, e);
    case CONFIG_RENAME_RESTART: return rename_restart(t, c, e);
    case CONFIG_PRESERVE:
        if (nodes_leave(t, info->domain))
            log_error(t, c->name);
        return 0;
    case CONFIG_COREDUMP_DESTROY:
        dump_core(t, c, info->domain);
        /* fall through */
    default:
        if (guest_destroy(t, info->domain))
            log_error(t, c->name);
        else
            plat_log(PLAT_INFO, "domain %u (%s) is destroyed", info->domain, c->name);
        return 0;
    }
}

/* Who begins in its place is as this one is now. A configuration that it was given since has the last word. */
static void take_over(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    if (nodes_config_updated(t, info->domain))
        name_now(t, info->domain, c);
    else
        guest_config_now(t, info, c);
}

/* As guest_attend_one(). */
static int attend(struct toolstack *t, struct domain_config *c, const guest_info_t *info,
                  domid_t *next)
{
    struct ended e = { .info = info };
    int code = guest_shutdown_code(info);

    if (code < 0 || code == SHUTDOWN_suspend || info->flags & XEN_DOMINF_dying)
        return 0;
    if (guest_config(t, info->domain, c))
        return -1;
    e.configured_kib = c->memory_kib;
    take_over(t, info, c);
    *next = act(t, c, &e, code);
    t->nr_short_lives = 0;
    return 1;
}

int guest_attend_one(struct toolstack *t, domid_t id, domid_t *next)
{
    struct domain_config *c = malloc(sizeof(*c));
    guest_info_t info;
    int rc = -1;

    if (c == NULL)
        toolstack_fail(t, ENOMEM, "no memory");
    else if (guest_info(t, id, &info) == 0)
        rc = attend(t, c, &info, next);
    free(c);
    return rc;
}

int guest_attend(struct toolstack *t)
{
    struct domain_config *c = malloc(sizeof(*c));
    guest_info_t *infos;
    int done = t->store ? try_restarts(t) : 0;
    size_t nr;

    if (c == NULL || t->store == NULL || guest_list(t, &infos, &nr)) {
        if (c == NULL || t->store == NULL)
            toolstack_fail(t, c ? ENOTSUP : ENOMEM, c ? "there is no store" : "no memory");
        free(c);
        return -1;
    }
    for (size_t i = 0; i < nr; i++) {
        domid_t next;

        if (infos[i].domain != t->self && guest_shutdown_code(&infos[i]) >= 0 &&
            nodes_attended(t, infos[i].domain))
            done += attend(t, c, &infos[i], &next) > 0;
    }
    free(infos);
    free(c);
    return done;
}
