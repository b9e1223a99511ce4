/* guest_attend(); see toolstack.h. */
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
#include "restarts.h"
#include "toolstack.h"

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

enum { RENAMED_SHORT_LIVES = 2, MAX_TRIES = 12, BETWEEN_TRIES_S = 4, FOREGROUND_S = 300 };

/* Who has ended, and what it was configured with before it became as it is now. */
struct ended {
    const guest_info_t *info;
    uint64_t configured_kib;
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

/* It begins, or not, which is final or to be tried again. Returns its number, 0: it has not. */
static domid_t settle(struct toolstack *t, const struct domain_config *c, int created, domid_t id,
                      bool last)
{
    bool failed = created || guest_unpause(t, id), again = failed && may_pass(errno) && !last;

    if (failed)
        log_error(t, c->name);
    else
        plat_log(PLAT_INFO, "domain %s: started again as %u", c->name, id);
    if (again || !restarts_forget(t, c->uuid)) {
        t->restarts++;
        memcpy(t->restart, c->uuid, sizeof(t->restart));
    }
    return failed ? 0 : id;
}

/* All are. Returns -1. */
static int look_again(struct toolstack *t)
{
    t->restarts += may_pass(errno);
    return -1;
}

/* What has ended stays as it is until it is looked at again. */
static void not_yet(struct toolstack *t, const struct domain_config *c)
{
    look_again(t);
    memset(t->restart, 0, sizeof(t->restart));
    log_error(t, c->name);
}

/*
 * Before anything is done that could not be done again: whoever attends next knows of it. False: what has ended stays as it
 * is, until the store has room for that. (A configuration that is too long for it is refused later, too.)
 */
static bool keep_restart(struct toolstack *t, const struct domain_config *c, const struct ended *e,
                         domid_t old)
{
    const struct restart r = { .configured_kib = e->configured_kib,
                               .old = old,
                               .nr_short_lives = t->nr_short_lives,
                               .foreground = t->unattended,
                               .tried = plat_wall() / 1000000000u };

    if (restarts_put(t, c, &r) == 0 || !may_pass(errno))
        return true;
    not_yet(t, c);
    return false;
}

/* The same domain once more, by its UUID. */
static domid_t restart(struct toolstack *t, struct domain_config *c, const struct ended *e)
{
    domid_t id = 0;
    int rc;

    c->has_uuid = true;
    memcpy(c->uuid, e->info->handle, sizeof(c->uuid));
    if (!keep_restart(t, c, e, e->info->domain))
        return 0;
    rc = guest_replace(t, c, e->configured_kib, e->info, &id);
    return settle(t, c, rc, id, false);
}

/*
 * What has ended stays, by another name, and has the UUID; another one begins. If it cannot, it has its name again. Its
 * devices, which the new one wants, go while it is still attended to: else nobody would remove them later.
 */
static domid_t rename_restart(struct toolstack *t, struct domain_config *c, const struct ended *e)
{
    domid_t id = 0, old = e->info->domain;
    char name[CONFIG_NAME];
    int rc, error;

    snprintf(name, sizeof(name), "%.50s-%u", c->name, old);
    c->has_uuid = true;
    guest_make_uuid(c->uuid);
    if (!keep_restart(t, c, e, DOMID_INVALID))
        return 0;
    if (devices_remove(t, old) || nodes_set_aside(t, old, name)) {
        not_yet(t, c);
        restarts_forget(t, c->uuid);
        return 0;
    }
    rc = guest_replace(t, c, e->configured_kib, NULL, &id);
    error = errno;
    if (rc && error == ENOMEM) {
        plat_log(PLAT_WARNING, "domain %s: %s; what has ended is not kept", c->name, t->error);
        restarts_forget(t, c->uuid);
        return restart(t, c, e);
    }
    id = settle(t, c, rc, id, false);
    if (rc && !may_pass(error) && nodes_rename(t, old, c->name))
        log_error(t, c->name);
    return id;
}

/* ---- once more ---- */

/* Of a domain that has been destroyed all nodes go. */
static int remove_old(struct toolstack *t, const uint8_t uuid[16], domid_t old)
{
    char want[4 + 37] = "/vm/", *vm;
    guest_info_t info;
    bool same;

    if (old == DOMID_INVALID)
        return 0;
    if (guest_info(t, old, &info) && errno != ESRCH)
        return -1;
    config_print_uuid(uuid, want + 4);
    vm = nodes_read(t, old, "vm");
    if (vm == NULL)
        return errno == ENOENT ? 0 : toolstack_fail(t, errno, "the store: %s", strerror(errno));
    same = strcmp(vm, want) == 0; /* else its number is another's by now */
    free(vm);
    return same ? nodes_remove(t, old) : 0;
}

/* It was made by somebody who has been killed before it could begin. */
static bool is_half_made(const guest_info_t *info)
{
    return info->flags & XEN_DOMINF_paused && info->cpu_time == 0 && guest_shutdown_code(info) < 0;
}

/* What there is of it by now. 1: all, it need not begin: *id; 0: nothing, not any more; -1: that is not known. */
static int clear_up(struct toolstack *t, const uint8_t uuid[16], domid_t old, domid_t *id)
{
    guest_info_t *infos;
    size_t nr;
    int rc = guest_list(t, &infos, &nr);

    if (rc)
        return -1;
    for (size_t i = 0; rc == 0 && i < nr; i++) {
        if (infos[i].flags & XEN_DOMINF_dying || memcmp(infos[i].handle, uuid, 16) != 0)
            continue;
        *id = infos[i].domain;
        rc = is_half_made(&infos[i]) ? guest_destroy(t, *id) : 1;
    }
    free(infos);
    return rc ? rc : remove_old(t, uuid, old);
}

/* A living xl does it in the foreground; or it has just been tried: events, which may be many at once, are no reason to. */
static bool is_too_soon(const struct toolstack *t, const struct restart *r, uint64_t now)
{
    bool others = r->foreground && !t->unattended;
    unsigned int wait_s = others ? FOREGROUND_S : r->nr_tries ? BETWEEN_TRIES_S : 0;

    return now >= r->tried && now - r->tried < wait_s;
}

/* That it is tried is kept before, so that it is not for ever if that kills who does it. Returns what settle() does. */
static domid_t try_kept(struct toolstack *t, struct domain_config *c, struct restart *r,
                        domid_t *there)
{
    domid_t id = 0;
    int rc;

    r->nr_tries++;
    r->foreground = t->unattended;
    r->tried = plat_wall() / 1000000000u;
    if (restarts_put(t, c, r)) {
        t->restarts++;
        return 0;
    }
    rc = clear_up(t, c->uuid, r->old, there);
    if (rc > 0) {
        restarts_forget(t, c->uuid);
        return 0;
    }
    *there = 0;
    t->nr_short_lives = r->nr_short_lives;
    rc = rc ? rc : guest_replace(t, c, r->configured_kib, NULL, &id);
    id = settle(t, c, rc, id, r->nr_tries >= MAX_TRIES);
    t->nr_short_lives = 0;
    return id;
}

/*
 * One more try of what is kept by that UUID. Returns who has begun, 0: none; t's restarts counts what is still to begin.
 * @there  receives who is there already, 0: none
 */
static domid_t try_once(struct toolstack *t, const char *uuid, domid_t *there)
{
    struct domain_config *c = malloc(sizeof(*c));
    struct restart r;
    domid_t id = 0;

    *there = 0;
    if (c == NULL) {
        t->restarts++;
    } else if (restarts_get(t, uuid, c, &r)) {
        t->restarts += errno != ENOENT && errno != EINVAL;
        if (errno == EINVAL)
            log_error(t, uuid);
    } else if (is_too_soon(t, &r, plat_wall() / 1000000000u)) {
        t->restarts++;
    } else {
        id = try_kept(t, c, &r, there);
    }
    free(c);
    return id;
}

/* Returns how many have begun. */
static int try_restarts(struct toolstack *t)
{
    unsigned int nr = 0;
    char **uuids = restarts_list(t, &nr);
    domid_t there;
    int done = 0;

    if (uuids || errno == ENOENT)
        t->restarts = 0;
    for (unsigned int i = 0; uuids && i < nr; i++)
        done += try_once(t, uuids[i], &there) != 0;
    free(uuids);
    return done;
}

int guest_attend_again(struct toolstack *t, domid_t id, domid_t *next)
{
    static const uint8_t none[16];
    char uuid[37];
    domid_t there;

    t->restarts = 0;
    *next = id;
    if (memcmp(t->restart, none, sizeof(none)) == 0)
        return 1;
    config_print_uuid(t->restart, uuid);
    *next = try_once(t, uuid, &there);
    if (t->restarts)
        return 0;
    if (*next == 0)
        *next = there;
    return 1;
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
            not_yet(t, c);
        else
            plat_log(PLAT_INFO, "domain %u (%s) is destroyed", info->domain, c->name);
        return 0;
    }
}

/* Who begins in its place is as this one is now. A configuration that it was given since has the last word. */
static void take_over(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    if (nodes_config_updated(t, info->domain))
        guest_name_now(t, info->domain, c);
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

/* One that has ended, and is attended to. */
static int attend_if_ended(struct toolstack *t, struct domain_config *c, const guest_info_t *info)
{
    domid_t next;
    int rc;

    if (info->domain == t->self || guest_shutdown_code(info) < 0)
        return 0;
    rc = nodes_attended(t, info->domain);
    rc = rc > 0 ? attend(t, c, info, &next) : rc;
    if (rc < 0)
        look_again(t);
    return rc > 0;
}

/* What both begin with; NULL: it cannot be. *done: how many began anew */
static struct domain_config *begin_attending(struct toolstack *t, int *done)
{
    struct domain_config *c = malloc(sizeof(*c));

    *done = t->store ? try_restarts(t) : 0;
    if (c && t->store)
        return c;
    toolstack_fail(t, c ? ENOTSUP : ENOMEM, c ? "there is no store" : "no memory");
    free(c);
    return NULL;
}

int guest_attend_to(struct toolstack *t, domid_t id)
{
    guest_info_t info;
    int done, found = guest_info(t, id, &info);
    struct domain_config *c;

    if (t->restarts)
        return guest_attend(t); /* it may be any that is to be looked at again */
    if (found ? errno == ESRCH : guest_shutdown_code(&info) < 0)
        return 0;
    c = found ? NULL : begin_attending(t, &done);
    if (c == NULL)
        return look_again(t);
    done += attend_if_ended(t, c, &info);
    free(c);
    return done;
}

int guest_attend(struct toolstack *t)
{
    int done;
    struct domain_config *c = begin_attending(t, &done);
    guest_info_t *infos;
    size_t nr;

    if (c == NULL || guest_list(t, &infos, &nr)) {
        free(c);
        return look_again(t);
    }
    for (size_t i = 0; i < nr; i++)
        done += attend_if_ended(t, c, &infos[i]);
    free(infos);
    free(c);
    return done;
}
