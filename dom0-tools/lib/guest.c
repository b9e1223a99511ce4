/* Domains as a whole; see toolstack.h. */
#include "toolstack.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/sched.h>

#include "../config.h"
#include "build.h"
#include "channels.h"
#include "devices.h"
#include "guest_internal.h"
#include "hyp.h"
#include "image.h"
#include "names.h"
#include "nodes.h"
#include "restarts.h"
#include "shell.h"

enum { PAGE_KIB = HYP_PAGE / 1024, LIST_BATCH = 128 };

int toolstack_open(struct toolstack *t, struct xs_handle *store, domid_t self)
{
    *t = (struct toolstack){ .hyp = hyp_open(), .store = store, .self = self };
    if (t->hyp)
        return 0;
    return toolstack_fail(t, errno, "the hypervisor cannot be used: %s", strerror(errno));
}

void toolstack_close(struct toolstack *t)
{
    hyp_close(t->hyp);
    t->hyp = NULL;
}

int toolstack_fail(struct toolstack *t, int error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(t->error, sizeof(t->error), fmt, args);
    va_end(args);
    errno = error;
    return -1;
}

int toolstack_go_on(struct toolstack *t)
{
    return t->interrupted && t->interrupted() ? toolstack_fail(t, EINTR, "interrupted") : 0;
}

static int fail(struct toolstack *t, domid_t id, const char *what)
{
    return toolstack_fail(t, errno, "domain %u: %s: %s", id, what, strerror(errno));
}

/* ---- creation ---- */

/* Nobody's secret: it is to be another one each time, and on each machine. */
void guest_make_uuid(uint8_t uuid[16])
{
    static uint64_t last;
    uint64_t x = plat_wall() ^ (plat_now() << 20);

    for (unsigned int i = 0; i < 2; i++) {
        x += last + 0x9e3779b97f4a7c15u; /* splitmix64 */
        last = x;
        last = (last ^ (last >> 30)) * 0xbf58476d1ce4e5b9u;
        last = (last ^ (last >> 27)) * 0x94d049bb133111ebu;
        last ^= last >> 31;
        memcpy(uuid + 8 * i, &last, 8);
    }
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

/*
 * Two with one UUID would share what the store has below /vm. One that is dying is no other one.
 * @below  only domains with a number below it: of two that are made at once each sees the other, and one is to stay
 */
static int check_uuid(struct toolstack *t, const uint8_t uuid[16], domid_t below)
{
    guest_info_t *infos;
    size_t nr;
    int rc;

    rc = guest_list(t, &infos, &nr);
    if (rc)
        return rc;
    for (size_t i = 0; rc == 0 && i < nr; i++)
        if (infos[i].domain < below && !(infos[i].flags & XEN_DOMINF_dying) &&
            memcmp(infos[i].handle, uuid, 16) == 0)
            rc = toolstack_fail(t, EEXIST, "domain %u has the same uuid", infos[i].domain);
    free(infos);
    return rc;
}

/* What the configuration asks for, and nobody serves. */
static int check_served(struct toolstack *t, const struct domain_config *c)
{
    if (c->pool[0] && strcmp(c->pool, "Pool-0") != 0 && strcmp(c->pool, "0") != 0)
        return toolstack_fail(t, ENOTSUP, "pool: there is only Pool-0, not %s", c->pool);
    return channels_check(t, c) ? -1 : devices_check(t, c);
}

int guest_check(struct toolstack *t, const struct domain_config *c)
{
    domid_t other;

    if (check_served(t, c))
        return -1;
    /* Before anything large is done; nodes_create() has the last word. */
    if (t->store && names_find(t, XBT_NULL, c->name, false, &other) == 0)
        return toolstack_fail(t, EEXIST, "there is already a domain of the name %s", c->name);
    return c->has_uuid ? check_uuid(t, c->uuid, DOMID_FIRST_RESERVED) : 0;
}

static int set_limits(struct toolstack *t, const struct domain_config *c,
                      const struct build_plan *plan, domid_t id)
{
    const struct xen_domctl_tsc_info tsc = { .tsc_mode = c->tsc_mode };

    if (c->tsc_mode && plan->image &&
        hyp_set_tsc(t->hyp, id, &tsc)) /* restored, it goes on with its own */
        return fail(t, id, "tsc_mode");
    if ((c->weight || c->cap_percent) &&
        hyp_set_shares(t->hyp, id, (uint16_t)c->weight, (uint16_t)c->cap_percent))
        return fail(t, id, "cpu_weight, cap");
    for (unsigned int v = 0; v < c->cpus.nr_vcpus && v < c->max_vcpus; v++)
        if (hyp_set_affinity(t->hyp, id, v, true, c->cpus.vcpu[v].word))
            return fail(t, id, "cpus");
    for (unsigned int v = 0; v < c->cpus_soft.nr_vcpus && v < c->max_vcpus; v++)
        if (hyp_set_affinity(t->hyp, id, v, false, c->cpus_soft.vcpu[v].word))
            return fail(t, id, "cpus_soft");
    return c->memory_kib < c->max_memory_kib ? guest_allow(t, id, c->memory_kib, c->max_memory_kib)
                                             : 0;
}

/* As long as it can get by what guest_config_now() finds: it must still be kept when the domain is started again. */
static void lengthen(struct domain_config *c)
{
    c->has_uuid = true;
    memset(c->name, '"', sizeof(c->name) - 1);
    c->name[sizeof(c->name) - 1] = '\0';
    c->memory_kib = c->max_memory_kib = UINT64_MAX;
    c->nr_vcpus = c->max_vcpus;
    c->weight = c->cap_percent = UINT16_MAX;
}

char *guest_config_text(struct toolstack *t, const struct domain_config *c)
{
    char *text = malloc(NODES_CONFIG_MAX + 1);
    struct domain_config *longest = malloc(sizeof(*longest));
    bool fits = false;

    if (text && longest) {
        *longest = *c;
        lengthen(longest);
        fits = config_print(longest, text, NODES_CONFIG_MAX + 1) <= NODES_CONFIG_MAX;
        if (fits)
            config_print(c, text, NODES_CONFIG_MAX + 1);
        else
            toolstack_fail(t, E2BIG, "its configuration is too long to be kept");
    } else {
        toolstack_fail(t, ENOMEM, "its configuration: no memory");
    }
    free(longest);
    if (fits)
        return text;
    free(text);
    return NULL;
}

static int tell_store(struct toolstack *t, const struct domain_config *c,
                      const struct build_plan *plan, const struct built *b)
{
    struct nodes n = { .id = b->id,
                       .name = c->name,
                       .nr_vcpus = c->nr_vcpus,
                       .max_vcpus = c->max_vcpus,
                       .memory_kib = c->memory_kib,
                       .max_memory_kib = c->max_memory_kib,
                       .unattended = t->unattended,
                       .nr_short_lives = t->nr_short_lives,
                       .store_port = b->store_port,
                       .console_port = b->console_port,
                       .store_mfn = b->store_mfn,
                       .console_mfn = b->console_mfn };

    char *text;
    int rc;

    if (t->store == NULL)
        return 0;
    text = guest_config_text(t, c);
    if (text == NULL)
        return -1;
    memcpy(n.uuid, plan->uuid, sizeof(n.uuid));
    n.prepared = plan->shell ? plan->shell->uuid : NULL;
    n.config = text;
    rc = nodes_create(t, &n);
    free(text);
    return rc;
}

void guest_plan(const struct domain_config *c, struct build_plan *plan)
{
    *plan = (struct build_plan){ .cmdline = c->cmdline,
                                 .nr_pages = c->memory_kib / PAGE_KIB,
                                 .max_pages = c->max_memory_kib / PAGE_KIB,
                                 .nr_vcpus = c->max_vcpus };
    if (c->has_uuid)
        memcpy(plan->uuid, c->uuid, sizeof(plan->uuid));
    else
        guest_make_uuid(plan->uuid);
}

int guest_register(struct toolstack *t, const struct domain_config *c,
                   const struct build_plan *plan, const struct built *built)
{
    bool told = (!c->has_uuid || check_uuid(t, c->uuid, built->id) == 0) &&
                set_limits(t, c, plan, built->id) == 0 && tell_store(t, c, plan, built) == 0;
    char why[sizeof(t->error)];
    int error;

    if (told && toolstack_go_on(t) == 0 && channels_create(t, built->id, c) == 0 &&
        devices_create(t, built->id, c) == 0)
        return 0;
    if (plan->shell)
        return -1;
    error = errno;
    memcpy(why, t->error, sizeof(why));
    if (told)
        guest_destroy(t, built->id);
    else
        hyp_destroy(t->hyp, built->id);
    memcpy(t->error, why, sizeof(why));
    errno = error;
    return -1;
}

/* What a domain begins with. */
struct files {
    struct image image;
    struct plat_view ramdisk;
};

static void plan_with(const struct domain_config *c, const struct files *f, struct build_plan *plan)
{
    guest_plan(c, plan);
    plan->image = &f->image;
    plan->ramdisk = f->ramdisk.bytes;
    plan->ramdisk_bytes = f->ramdisk.len;
}

static int create_from(struct toolstack *t, const struct domain_config *c, const struct files *f,
                       domid_t *id)
{
    struct build_plan plan;
    struct built built;
    struct shell shell;

    plan_with(c, f, &plan);
    if (shell_take(t, &plan, c->has_uuid, &shell))
        plan.shell = &shell;
    if (build_domain(t, &plan, &built) || guest_register(t, c, &plan, &built)) {
        if (plan.shell)
            shell_drop(t, &shell);
        return -1;
    }
    *id = built.id;
    return 0;
}

/* To be closed, also on failure. */
static int files_open(struct toolstack *t, const struct domain_config *c, struct files *f)
{
    f->ramdisk = (struct plat_view){ .copy = NULL };
    if (image_load(t, c->kernel, &f->image))
        return -1;
    if (c->ramdisk[0] && plat_file_view(c->ramdisk, &f->ramdisk))
        return toolstack_fail(t, errno, "%s: %s", c->ramdisk, strerror(errno));
    return 0;
}

static void files_close(struct files *f)
{
    int error = errno;

    plat_file_view_end(&f->ramdisk);
    image_free(&f->image);
    errno = error;
}

/*
 * What is to begin in the place of one that has ended, by the same UUID, is this one; if it cannot be made, that is still
 * to begin. Forgotten is it before: who attends ends what is half-made of a UUID that is still to begin.
 */
static int create_in_its_place(struct toolstack *t, const struct domain_config *c,
                               const struct files *f, domid_t *id)
{
    char *kept = c->has_uuid && t->store ? restarts_take(t, c->uuid) : NULL;
    int rc = create_from(t, c, f, id), error = errno;

    if (rc && kept)
        restarts_give_back(t, c->uuid, kept);
    free(kept);
    errno = error;
    return rc;
}

int guest_create(struct toolstack *t, struct domain_config *c, domid_t *id)
{
    struct files f;
    int rc = guest_check(t, c);

    if (rc)
        return rc;
    devices_make_macs(c);
    rc = files_open(t, c, &f);
    rc = rc ? rc : create_in_its_place(t, c, &f, id);
    files_close(&f);
    return rc;
}

/* It has c's memory, or, where that will not do, what it was configured with. */
static int find_room(struct toolstack *t, struct domain_config *c, uint64_t configured_kib,
                     const struct files *f, uint64_t more_pages)
{
    struct build_plan plan;

    plan_with(c, f, &plan);
    if (build_check(t, &plan, more_pages) == 0)
        return 0;
    if (c->memory_kib == configured_kib)
        return -1;
    plat_log(PLAT_WARNING, "domain %s: %s; tried with %llu MiB, as it was configured", c->name,
             t->error, (unsigned long long)configured_kib >> 10);
    c->memory_kib = configured_kib;
    if (c->max_memory_kib < configured_kib)
        c->max_memory_kib = configured_kib;
    plan_with(c, f, &plan);
    return build_check(t, &plan, more_pages);
}

/* Without it a domain that has been destroyed could not be forgotten, nor another one begin. */
static bool store_answers(struct toolstack *t, domid_t id)
{
    char *vm = nodes_read(t, id, "vm");

    free(vm);
    return vm || errno == ENOENT || fail(t, id, "the store does not answer") == 0;
}

/* @rc  of what has been found out before, which is what there is to be said when the old one is gone */
static int end_old(struct toolstack *t, int rc, domid_t old)
{
    char why[sizeof(t->error)];
    int error = errno;

    memcpy(why, t->error, sizeof(why));
    if (!store_answers(t, old) || guest_destroy(t, old))
        return -1;
    memcpy(t->error, why, sizeof(why));
    errno = error;
    return rc;
}

int guest_replace(struct toolstack *t, struct domain_config *c, uint64_t configured_kib,
                  const guest_info_t *old, domid_t *id)
{
    struct files f;
    int rc = files_open(t, c, &f);

    rc = rc ? rc : find_room(t, c, configured_kib, &f, old ? old->tot_pages : 0);
    if (old)
        rc = end_old(t, rc, old->domain);
    rc = rc ? rc : guest_check(t, c);
    devices_make_macs(c);
    rc = rc ? rc : create_from(t, c, &f, id);
    files_close(&f);
    return rc;
}

/* ---- life and end ---- */

/*
 * While it is there, paused: the store removes what a domain owns when it has gone, and backends of Linux that see their
 * frontend go without having been told to close leave without a word. Returns whether this has paused it.
 */
static bool end_devices(struct toolstack *t, domid_t id)
{
    struct device_at *list;
    bool paused;
    size_t nr;

    paused = devices_list(t, id, &list, &nr) == 0 && nr && hyp_pause(t->hyp, id) == 0;
    if (paused && devices_remove(t, id))
        plat_log(PLAT_WARNING, "%s", t->error); /* nodes_remove() tries again, and fails */
    free(list);
    return paused;
}

int guest_destroy(struct toolstack *t, domid_t id)
{
    bool paused = false;
    int error;

    if (id == t->self)
        return toolstack_fail(t, EINVAL, "domain %u: not this domain itself", id);
    if (t->store)
        paused = end_devices(t, id);
    if (hyp_destroy(t->hyp, id) == 0)
        return t->store ? nodes_remove(t, id) : 0;
    error = errno;
    if (paused)
        hyp_unpause(t->hyp, id);
    errno = error;
    if (errno == ESRCH && t->store) { /* one of which only nodes are left */
        char *vm = nodes_read(t, id, "vm");

        free(vm);
        if (vm)
            return nodes_remove(t, id);
        errno = ESRCH;
    }
    return fail(t, id, "cannot be destroyed");
}

int guest_pause(struct toolstack *t, domid_t id)
{
    return hyp_pause(t->hyp, id) ? fail(t, id, "cannot be paused") : 0;
}

int guest_unpause(struct toolstack *t, domid_t id)
{
    return hyp_unpause(t->hyp, id) ? fail(t, id, "cannot be unpaused") : 0;
}

static int want_store(struct toolstack *t)
{
    return t->store ? 0 : toolstack_fail(t, ENOTSUP, "there is no store");
}

int guest_request(struct toolstack *t, domid_t id, const char *what)
{
    guest_info_t info;

    if (want_store(t) || guest_info(t, id, &info))
        return -1;
    return nodes_ask(t, id, "control/shutdown", what);
}

int guest_rename(struct toolstack *t, domid_t id, const char *name)
{
    guest_info_t info;

    if (want_store(t) || guest_info(t, id, &info))
        return -1;
    if (name[0] == '\0' || strlen(name) >= CONFIG_NAME || strchr(name, '/'))
        return toolstack_fail(t, EINVAL, "\"%.64s\" is no name of a domain", name);
    return nodes_rename(t, id, name);
}

int guest_set_config(struct toolstack *t, domid_t id, struct domain_config *c)
{
    char *text;
    int rc;

    if (want_store(t) || check_served(t, c))
        return -1;
    devices_keep_macs(t, id, c);
    text = guest_config_text(t, c);
    rc = text ? nodes_set_config(t, id, text) : -1;
    free(text);
    return rc;
}

/* ---- questions ---- */

int guest_shutdown_code(const guest_info_t *info)
{
    if (!(info->flags & XEN_DOMINF_shutdown))
        return -1;
    return (int)(info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask);
}

int guest_info(struct toolstack *t, domid_t id, guest_info_t *info)
{
    return hyp_info(t->hyp, id, info) ? fail(t, id, "nothing is known of it") : 0;
}

int guest_list_all(struct toolstack *t, guest_info_t **infos, size_t *nr)
{
    guest_info_t *list = NULL, *larger;
    size_t n = 0;
    domid_t first = 0;
    int got;

    do {
        larger = realloc(list, (n + LIST_BATCH) * sizeof(*list));
        got = larger ? hyp_list(t->hyp, first, larger + n, LIST_BATCH) : -1;
        list = larger ? larger : list;
        if (got > 0) {
            n += (size_t)got;
            first = (domid_t)(list[n - 1].domain + 1);
        }
    } while (got == LIST_BATCH);
    if (got < 0) {
        toolstack_fail(t, errno, "the domains cannot be listed: %s", strerror(errno));
        free(list);
        return -1;
    }
    *infos = list;
    *nr = n;
    return 0;
}

int guest_list(struct toolstack *t, guest_info_t **infos, size_t *nr)
{
    size_t all, n = 0;

    if (guest_list_all(t, infos, &all))
        return -1;
    for (size_t i = 0; i < all; i++)
        if (!shell_is((*infos)[i].handle))
            (*infos)[n++] = (*infos)[i];
    *nr = n;
    return 0;
}

char *guest_name(struct toolstack *t, domid_t id)
{
    return t->store ? nodes_read(t, id, "name") : NULL;
}

int guest_find(struct toolstack *t, const char *name, domid_t *id)
{
    guest_info_t info;
    char *end;
    unsigned long n = strtoul(name, &end, 10);

    if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && n < DOMID_FIRST_RESERVED) {
        *id = (domid_t)n;
        if (hyp_info(t->hyp, *id, &info) == 0)
            return 0;
    }
    if (t->store && nodes_find(t, name, id) == 0)
        return 0;
    return toolstack_fail(t, ESRCH, "%s is an invalid domain identifier", name);
}
