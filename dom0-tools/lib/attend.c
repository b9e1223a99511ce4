/* guest_config() and guest_attend(); see toolstack.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/sched.h>

#include "../config.h"
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

static void start_again(struct toolstack *t, const struct domain_config *c)
{
    domid_t id;

    if (guest_create(t, c, &id) || guest_unpause(t, id))
        log_error(t, c->name);
    else
        plat_log(PLAT_INFO, "domain %s: started again as %u", c->name, id);
}

/* The same domain once more, by its UUID. */
static void restart(struct toolstack *t, struct domain_config *c, const guest_info_t *info)
{
    c->has_uuid = true;
    memcpy(c->uuid, info->handle, sizeof(c->uuid));
    if (guest_destroy(t, info->domain))
        log_error(t, c->name);
    else
        start_again(t, c);
}

/* What has ended stays, by another name, and has the UUID; another one begins. */
static void rename_restart(struct toolstack *t, struct domain_config *c, const guest_info_t *info)
{
    char name[CONFIG_NAME];

    snprintf(name, sizeof(name), "%.50s-%u", c->name, info->domain);
    c->has_uuid = false;
    if (guest_rename(t, info->domain, name) || nodes_forget_config(t, info->domain))
        log_error(t, c->name);
    else
        start_again(t, c);
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

static void attend(struct toolstack *t, struct domain_config *c, const guest_info_t *info, int code)
{
    enum config_action action = action_for(c, code);

    plat_log(PLAT_INFO, "domain %u (%s) has ended by %d: %s", info->domain, c->name, code,
             config_action_name(action));
    switch (action) {
    case CONFIG_COREDUMP_RESTART:
        dump_core(t, c, info->domain);
        restart(t, c, info);
        break;
    case CONFIG_RESTART: restart(t, c, info); break;
    case CONFIG_RENAME_RESTART: rename_restart(t, c, info); break;
    case CONFIG_PRESERVE:
        if (nodes_forget_config(t, info->domain))
            log_error(t, c->name);
        break;
    case CONFIG_COREDUMP_DESTROY:
        dump_core(t, c, info->domain);
        /* fall through */
    default:
        if (guest_destroy(t, info->domain))
            log_error(t, c->name);
    }
}

int guest_attend(struct toolstack *t)
{
    struct domain_config *c = malloc(sizeof(*c));
    guest_info_t *infos;
    int done = 0;
    size_t nr;

    if (c == NULL || t->store == NULL || guest_list(t, &infos, &nr)) {
        if (c == NULL || t->store == NULL)
            toolstack_fail(t, c ? ENOTSUP : ENOMEM, c ? "there is no store" : "no memory");
        free(c);
        return -1;
    }
    for (size_t i = 0; i < nr; i++) {
        int code = guest_shutdown_code(&infos[i]);
        char *name;

        if (code < 0 || code == SHUTDOWN_suspend || infos[i].flags & XEN_DOMINF_dying ||
            infos[i].domain == t->self || guest_config(t, infos[i].domain, c))
            continue;
        name = guest_name(t, infos[i].domain); /* it may have been renamed */
        if (name)
            snprintf(c->name, sizeof(c->name), "%.63s", name);
        free(name);
        attend(t, c, &infos[i], code);
        done++;
    }
    free(infos);
    free(c);
    return done;
}
