/* See shell.h: who makes shells, and ends those that are not wanted. */
#include <errno.h>
#include <stdlib.h>

#include <platform.h>

#include "build.h"
#include "guest_internal.h"
#include "hyp.h"
#include "nodes.h"
#include "shell_internal.h"

enum { PAGE_KIB = HYP_PAGE / 1024, KEEP_FREE = 16 };

static bool fits(const struct shell *s, const struct shells_wish *wish)
{
    return s->nr_pages == wish->memory_kib / PAGE_KIB && s->nr_vcpus == wish->nr_vcpus;
}

/* ---- one more ---- */

static bool add(struct shells *all, void *arg)
{
    if (all->nr == SHELLS_MAX)
        return false;
    all->shell[all->nr++] = *(const struct shell *)arg;
    return true;
}

static int prepare(struct toolstack *t, const struct shells_wish *wish, const struct shell *s)
{
    struct nodes n = { .id = s->id,
                       .nr_vcpus = s->nr_vcpus,
                       .max_vcpus = s->nr_vcpus,
                       .memory_kib = wish->memory_kib,
                       .max_memory_kib = wish->memory_kib,
                       .store_port = s->store_port,
                       .console_port = s->console_port };

    memcpy(n.uuid, s->uuid, sizeof(n.uuid));
    return nodes_prepare(t, &n);
}

int shells_room(struct toolstack *t, const struct shells_wish *wish, uint64_t *nr_free)
{
    struct xen_sysctl_physinfo machine;

    if (hyp_machine(t->hyp, &machine))
        return toolstack_fail(t, errno, "how much memory is free: %s", strerror(errno));
    *nr_free = machine.free_pages + machine.scrub_pages;
    return *nr_free >= wish->memory_kib / PAGE_KIB + machine.total_pages / KEEP_FREE;
}

/* Who is killed meanwhile leaves a stray. 1: there is one more; 0: there is no memory for it; -1. */
static int make(struct toolstack *t, const struct shells_wish *wish)
{
    struct build_plan plan = { .nr_pages = wish->memory_kib / PAGE_KIB,
                               .max_pages = wish->memory_kib / PAGE_KIB,
                               .nr_vcpus = wish->nr_vcpus };
    struct shell s = { .id = 0 };
    uint64_t nr_free;
    int rc = shells_room(t, wish, &nr_free);

    if (rc <= 0)
        return rc;
    guest_make_uuid(s.uuid);
    shell_handle(&s, plan.uuid);
    if (build_shell(t, &plan, &s))
        return errno == ENOMEM ? 0 : -1;
    if (prepare(t, wish, &s) == 0 && shells_change(t, add, &s) > 0)
        return 1;
    shell_drop(t, &s);
    return -1;
}

/* ---- those that are not to be ---- */

/* Out of the list; its domain ends, if it still is there. */
static int end(struct toolstack *t, const struct shell *s)
{
    int taken = shells_forget(t, s->id);

    if (taken > 0 && shell_is_there(t, s, false))
        return guest_destroy(t, s->id);
    return taken < 0 ? -1 : 0;
}

/* Returns whether there was one; -1. */
static int end_unwanted(struct toolstack *t, const struct shells_wish *wish,
                        const struct shells *all)
{
    unsigned int nr = 0;

    for (unsigned int i = 0; i < all->nr; i++) {
        const struct shell *s = &all->shell[i];

        if (fits(s, wish) && nr < wish->nr && shell_is_there(t, s, true))
            nr++;
        else
            return end(t, s) ? -1 : 1;
    }
    return 0;
}

static bool is_listed(const struct shells *all, domid_t id)
{
    for (unsigned int i = 0; i < all->nr; i++)
        if (all->shell[i].id == id)
            return true;
    return false;
}

/* Since when it is known to be one; 0: it was not. */
static uint64_t stray_since(const struct shells_tender *s, domid_t id)
{
    for (unsigned int i = 0; i < s->nr_strays; i++)
        if (s->stray[i].id == id)
            return s->stray[i].since_ns;
    return 0;
}

/* What was left by who was killed. */
static int end_strays(struct toolstack *t, struct shells_tender *s, const struct shells *all)
{
    struct shells_tender now = { .nr_strays = 0 };
    guest_info_t *infos;
    size_t nr;

    if (guest_list_all(t, &infos, &nr))
        return -1;
    for (size_t i = 0; i < nr && now.nr_strays < SHELL_STRAYS; i++) {
        domid_t id = infos[i].domain;
        uint64_t since = stray_since(s, id);

        if (!shell_is(infos[i].handle) || is_listed(all, id) || (infos[i].flags & XEN_DOMINF_dying))
            continue;
        if (since && plat_now() - since >= SHELL_STRAY_NS) {
            plat_log(PLAT_INFO, "shell %u was left half-made: it is ended", id);
            if (guest_destroy(t, id))
                plat_log(PLAT_WARNING, "shell %u: %s", id, t->error);
            continue;
        }
        now.stray[now.nr_strays].id = id;
        now.stray[now.nr_strays++].since_ns = since ? since : plat_now();
    }
    free(infos);
    s->nr_strays = now.nr_strays;
    memcpy(s->stray, now.stray, sizeof(s->stray));
    return 0;
}

/* ---- all together ---- */

int shells_tend(struct toolstack *t, struct shells_tender *s)
{
    struct shells_wish wish;
    struct shells all;
    bool fewer;
    int rc;

    if (shells_wanted(t, &wish) || shells_read(t, &all))
        return -1;
    fewer = all.nr < s->nr_last;
    if ((!s->looked || fewer || s->nr_strays) && end_strays(t, s, &all))
        return -1;
    s->looked = true;
    rc = end_unwanted(t, &wish, &all);
    if (rc)
        return rc;
    s->nr_last = all.nr;
    s->idle = wish.nr == 0 && s->nr_strays == 0;
    rc = all.nr < wish.nr && (s->fast || !fewer) ? make(t, &wish) : 0;
    if (rc == 0)
        s->fast = false;
    s->nr_last += rc > 0;
    return rc;
}
