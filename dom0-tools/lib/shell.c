/* See shell.h: which shells there are, and who takes one. */
#include "shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <platform.h>
#include <xenstore.h>

#include "../config.h"
#include "build.h"
#include "hyp.h"
#include "nodes.h"
#include "shell_internal.h"
#include "toolstack.h"
#include "transaction.h"

#define READY "/xen-like/shells/ready"

enum { LINE = 120 };

/* ---- as text ---- */

static bool parse_shell(const char *line, struct shell *s)
{
    unsigned long long nr_pages, list_mfn;
    unsigned int id;
    char uuid[37];

    if (sscanf(line, "%u %36s %llu %u %u %u %llu", &id, uuid, &nr_pages, &s->nr_vcpus,
               &s->store_port, &s->console_port, &list_mfn) != 7)
        return false;
    s->id = (domid_t)id;
    s->nr_pages = nr_pages;
    s->list_mfn = list_mfn;
    return id && id < DOMID_FIRST_RESERVED && config_parse_uuid(s->uuid, uuid) == 0;
}

/* What cannot be read is nobody's: its domain will be found by its handle. */
static void parse_all(struct shells *all, const char *text)
{
    all->nr = 0;
    while (text && *text && all->nr < SHELLS_MAX) {
        all->nr += parse_shell(text, &all->shell[all->nr]);
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
}

static int print_all(const struct shells *all, char text[SHELLS_MAX * LINE])
{
    int len = 0;

    text[0] = '\0';
    for (unsigned int i = 0; i < all->nr; i++) {
        const struct shell *s = &all->shell[i];
        char uuid[37];

        config_print_uuid(s->uuid, uuid);
        len += snprintf(text + len, LINE, "%u %s %llu %u %u %u %llu\n", s->id, uuid,
                        (unsigned long long)s->nr_pages, s->nr_vcpus, s->store_port,
                        s->console_port, (unsigned long long)s->list_mfn);
    }
    return len;
}

/* ---- in the store ---- */

static int fail(struct toolstack *t, const char *what)
{
    return toolstack_fail(t, errno, "%s: %s", what, strerror(errno));
}

static int want_store(struct toolstack *t)
{
    return t->store ? 0 : toolstack_fail(t, ENOTSUP, "there is no store");
}

static int read_all(struct toolstack *t, xs_transaction_t tx, struct shells *all)
{
    char *text = xs_read(t->store, tx, READY, NULL);

    if (text == NULL && errno != ENOENT)
        return fail(t, "shells");
    parse_all(all, text);
    free(text);
    return 0;
}

int shells_read(struct toolstack *t, struct shells *all) { return read_all(t, XBT_NULL, all); }

static bool write_all(struct toolstack *t, xs_transaction_t tx, const struct shells *all)
{
    char text[SHELLS_MAX * LINE];
    int len = print_all(all, text);

    return xs_write(t->store, tx, READY, text, (unsigned int)len);
}

struct change {
    struct toolstack *t;
    bool (*fn)(struct shells *all, void *arg);
    void *arg;
};

static int change_once(xs_transaction_t tx, void *arg)
{
    const struct change *change = arg;
    struct shells all;

    if (read_all(change->t, tx, &all))
        return errno ? errno : EIO;
    if (!change->fn(&all, change->arg))
        return TRANSACTION_NOTHING;
    return write_all(change->t, tx, &all) ? 0 : errno ? errno : EIO;
}

int shells_change(struct toolstack *t, bool (*fn)(struct shells *all, void *arg), void *arg)
{
    struct change change = { t, fn, arg };
    int error = transaction_run(t, change_once, &change);

    if (error == 0 || error == TRANSACTION_NOTHING)
        return error == 0;
    errno = error;
    return fail(t, "shells");
}

int shells_want(struct toolstack *t, const struct shells_wish *wish)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%u %llu %u", wish->nr,
                       (unsigned long long)wish->memory_kib, wish->nr_vcpus);

    if (want_store(t))
        return -1;
    if (wish->nr > SHELLS_MAX)
        return toolstack_fail(t, EINVAL, "there can be %d shells at most", SHELLS_MAX);
    if (wish->nr && (wish->memory_kib < 1024 || wish->memory_kib > SHELL_MAX_KIB))
        return toolstack_fail(t, EINVAL, "a shell has 1 to %d MiB", SHELL_MAX_KIB >> 10);
    if (wish->nr && (wish->nr_vcpus == 0 || wish->nr_vcpus > CONFIG_VCPUS))
        return toolstack_fail(t, EINVAL, "a shell has 1 to %d vCPUs", CONFIG_VCPUS);
    if (!xs_write(t->store, XBT_NULL, SHELLS_WANTED, text, (unsigned int)len))
        return fail(t, SHELLS_WANTED);
    return 0;
}

int shells_wanted(struct toolstack *t, struct shells_wish *wish)
{
    struct shells_wish got = { .nr = 0 };
    unsigned long long kib;
    char *text = NULL;

    *wish = got;
    if (t->store == NULL || (text = xs_read(t->store, XBT_NULL, SHELLS_WANTED, NULL)) == NULL)
        return t->store == NULL || errno == ENOENT ? 0 : fail(t, SHELLS_WANTED);
    if (sscanf(text, "%u %llu %u", &got.nr, &kib, &got.nr_vcpus) == 3 && got.nr <= SHELLS_MAX &&
        kib <= SHELL_MAX_KIB) {
        got.memory_kib = kib;
        *wish = got;
    }
    free(text);
    return 0;
}

int shells_ready(struct toolstack *t, struct shell shells[SHELLS_MAX])
{
    struct shells all;

    if (want_store(t) || shells_read(t, &all))
        return -1;
    memcpy(shells, all.shell, all.nr * sizeof(*shells));
    return (int)all.nr;
}

/* ---- who takes one ---- */

void shell_handle(const struct shell *s, xen_domain_handle_t handle)
{
    memcpy(handle, s->uuid, sizeof(xen_domain_handle_t));
    memcpy(handle, SHELL_MARK, SHELL_MARK_BYTES);
}

/* It is the domain that was made, whatever has been done to it. */
static bool is_it(const struct shell *s, const guest_info_t *info)
{
    xen_domain_handle_t handle;

    shell_handle(s, handle);
    return memcmp(handle, info->handle, sizeof(handle)) == 0;
}

/* And nothing has. */
static bool is_fresh(const struct shell *s, const guest_info_t *info)
{
    return (info->flags & XEN_DOMINF_paused) &&
           !(info->flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown)) && info->cpu_time == 0 &&
           info->tot_pages == s->nr_pages && info->max_vcpu_id + 1 == s->nr_vcpus;
}

bool shell_is_there(struct toolstack *t, const struct shell *s, bool fresh)
{
    guest_info_t info;

    return hyp_info(t->hyp, s->id, &info) == 0 && is_it(s, &info) && (!fresh || is_fresh(s, &info));
}

struct claim {
    bool any;
    uint64_t nr_pages;
    unsigned int nr_vcpus;
    struct shell got;
};

static void take_out(struct shells *all, unsigned int i)
{
    all->nr--;
    memmove(&all->shell[i], &all->shell[i + 1], (all->nr - i) * sizeof(all->shell[0]));
}

static bool find(const struct shells *all, const struct claim *c, unsigned int *i)
{
    for (*i = 0; *i < all->nr; ++*i)
        if (c->any ||
            (all->shell[*i].nr_pages == c->nr_pages && all->shell[*i].nr_vcpus == c->nr_vcpus))
            return true;
    return false;
}

static bool take(struct shells *all, void *arg)
{
    struct claim *c = arg;
    unsigned int i;

    if (!find(all, c, &i))
        return false;
    c->got = all->shell[i];
    take_out(all, i);
    return true;
}

/* A look first: mostly there are none, and a transaction is dear. */
static bool claim(struct toolstack *t, struct claim *c)
{
    struct shells all;
    unsigned int i;

    return shells_read(t, &all) == 0 && find(&all, c, &i) && shells_change(t, take, c) > 0;
}

static bool drop_one(struct shells *all, void *arg)
{
    for (unsigned int i = 0; i < all->nr; i++) {
        if (all->shell[i].id != *(const domid_t *)arg)
            continue;
        take_out(all, i);
        return true;
    }
    return false;
}

int shells_forget(struct toolstack *t, domid_t id) { return shells_change(t, drop_one, &id); }

void shell_drop(struct toolstack *t, const struct shell *shell)
{
    char why[sizeof(t->error)];
    int error = errno;

    memcpy(why, t->error, sizeof(why));
    if (guest_destroy(t, shell->id))
        plat_log(PLAT_WARNING, "shell %u: %s", shell->id, t->error);
    memcpy(t->error, why, sizeof(why));
    errno = error;
}

/* Out of the list, it is nobody's: as it was made, or it goes, unless its number is another domain's by now. */
static bool use(struct toolstack *t, const struct shell *s, const uint8_t uuid[16])
{
    if (shell_is_there(t, s, true) && hyp_set_uuid(t->hyp, s->id, uuid) == 0)
        return true;
    if (!shell_is_there(t, s, false))
        return false;
    plat_log(PLAT_WARNING, "shell %u is not as it was made", s->id);
    shell_drop(t, s);
    return false;
}

bool shell_take(struct toolstack *t, struct build_plan *plan, bool has_uuid, struct shell *shell)
{
    struct claim c = { .nr_pages = plan->nr_pages, .nr_vcpus = plan->nr_vcpus };

    if (t->store == NULL || plan->ssidref)
        return false;
    while (claim(t, &c)) {
        *shell = c.got;
        if (!use(t, shell, has_uuid ? plan->uuid : shell->uuid))
            continue;
        if (!has_uuid)
            memcpy(plan->uuid, shell->uuid, sizeof(plan->uuid));
        return true;
    }
    return false;
}

uint64_t shells_give_up(struct toolstack *t, uint64_t nr_pages)
{
    struct claim c = { .any = true };
    uint64_t freed = 0;

    while (t->store && freed < nr_pages && claim(t, &c)) {
        if (!shell_is_there(t, &c.got, false))
            continue; /* its number may be another domain's */
        plat_log(PLAT_INFO, "shell %u is given up, as memory is wanted", c.got.id);
        shell_drop(t, &c.got);
        freed += c.got.nr_pages;
    }
    return freed;
}
