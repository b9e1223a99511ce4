/* Devices as the store has them: read, listed, and written in transactions. See devices.h, device_internal.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "../config.h"
#include "device_internal.h"
#include "toolstack.h"
#include "transaction.h"
#include "vdev.h"

enum { NODE_PATH = DEVICE_PATH + 64, NODE_VALUE = CONFIG_PATH + 16 };

/* ---- transactions ---- */

struct change {
    struct toolstack *t;
    void (*fn)(struct device_writer *w, const void *arg);
    const void *arg;
};

static int change_once(xs_transaction_t tx, void *arg)
{
    const struct change *change = arg;
    struct device_writer w = { .t = change->t, .tx = tx };

    change->fn(&w, change->arg);
    return w.error;
}

int device_transaction(struct toolstack *t, void (*fn)(struct device_writer *w, const void *arg),
                       const void *arg)
{
    struct change change = { t, fn, arg };
    int error = transaction_run(t, change_once, &change);

    errno = error ? error : errno;
    return error ? -1 : 0;
}

void device_rm(struct device_writer *w, const char *path)
{
    if (w->error == 0 && !xs_rm(w->t->store, w->tx, path) && errno != ENOENT)
        w->error = errno;
}

void device_put(struct device_writer *w, const char *home, const char *leaf, const char *format,
                ...)
{
    char path[NODE_PATH], value[NODE_VALUE];
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s/%s", home, leaf);
    if (w->error == 0 && !xs_write(w->t->store, w->tx, path, value, (unsigned int)strlen(value)))
        w->error = errno ? errno : EIO;
}

/* ---- what there is ---- */

char *devices_read(struct toolstack *t, const char *end, const char *leaf)
{
    char path[2 * NODE_PATH];

    snprintf(path, sizeof(path), "%s/%s", end, leaf);
    return xs_read(t->store, XBT_NULL, path, NULL);
}

int64_t devices_read_number(struct toolstack *t, const char *end, const char *leaf)
{
    char *text = devices_read(t, end, leaf), *rest;
    unsigned long n = text ? strtoul(text, &rest, 10) : 0;
    bool is = text && *text >= '0' && *text <= '9' && *rest == '\0' && n <= UINT32_MAX;

    if (text && !is)
        errno = EINVAL;
    free(text);
    return is ? (int64_t)n : -1;
}

void device_libxl_path(domid_t id, const struct device_at *at, char path[DEVICE_PATH])
{
    snprintf(path, DEVICE_PATH, "/libxl/%u/device/%s/%u", id, at->kind, at->devid);
}

void device_print(const struct device_at *at, char *buf, size_t size)
{
    char name[VDEV_NAME];

    if (strcmp(at->kind, "vbd") == 0) {
        vdev_name(at->devid, name);
        snprintf(buf, size, "vbd %u (%s)", at->devid, name);
    } else {
        snprintf(buf, size, "%s %u", at->kind, at->devid);
    }
}

void device_pause(uint64_t *ns)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };

    plat_lock(&lock);
    plat_cond_wait(&never, &lock, plat_now() + *ns);
    plat_unlock(&lock);
    if (*ns < DEVICES_LOOK_MOST_NS)
        *ns *= 2;
}

/* ---- lists ---- */

struct list {
    struct device_at *at;
    size_t nr;
};

/* One end's directory, which the toolstack has written. Empty: there is none. -1: errno */
static int read_end(struct toolstack *t, const char *home, const char *leaf, char end[DEVICE_PATH])
{
    char *path = devices_read(t, home, leaf);

    end[0] = '\0';
    if (path == NULL)
        return errno == ENOENT ? 0 : -1;
    if (strncmp(path, "/local/domain/", 14) == 0 && strlen(path) < DEVICE_PATH)
        snprintf(end, DEVICE_PATH, "%s", path);
    free(path);
    return 0;
}

/* -1: errno. One that is not whole is left out: another toolstack may be at it. */
static int add(struct toolstack *t, domid_t id, const char *kind, const char *name, struct list *l)
{
    struct device_at at = { .devid = (uint32_t)strtoul(name, NULL, 10) }, *larger;
    char home[DEVICE_PATH];

    if (strlen(kind) >= sizeof(at.kind))
        return 0;
    snprintf(at.kind, sizeof(at.kind), "%s", kind);
    device_libxl_path(id, &at, home);
    if (read_end(t, home, "frontend", at.frontend) || read_end(t, home, "backend", at.backend))
        return -1;
    if (at.frontend[0] == '\0' || at.backend[0] == '\0')
        return 0;
    larger = realloc(l->at, (l->nr + 1) * sizeof(at));
    if (larger == NULL)
        return -1;
    l->at = larger;
    l->at[l->nr++] = at;
    return 0;
}

static int add_kind(struct toolstack *t, domid_t id, const char *kind, struct list *l)
{
    char path[DEVICE_PATH], **names;
    unsigned int nr;
    int rc = 0;

    if (strcmp(kind, "console") == 0)
        return 0;
    snprintf(path, sizeof(path), "/libxl/%u/device/%.15s", id, kind);
    names = xs_directory(t->store, XBT_NULL, path, &nr);
    if (names == NULL)
        return errno == ENOENT ? 0 : -1;
    for (unsigned int i = 0; rc == 0 && i < nr; i++)
        rc = add(t, id, kind, names[i], l);
    free(names);
    return rc;
}

static int compare(const void *a, const void *b)
{
    const struct device_at *x = a, *y = b;
    int kinds = strcmp(x->kind, y->kind);

    return kinds ? kinds : (x->devid > y->devid) - (x->devid < y->devid);
}

int devices_list(struct toolstack *t, domid_t id, struct device_at **list, size_t *nr)
{
    struct list l = { .at = NULL };
    char path[DEVICE_PATH], **kinds;
    unsigned int nr_kinds = 0;
    int rc = 0, error;

    snprintf(path, sizeof(path), "/libxl/%u/device", id);
    kinds = xs_directory(t->store, XBT_NULL, path, &nr_kinds);
    if (kinds == NULL && errno != ENOENT)
        rc = -1;
    for (unsigned int i = 0; rc == 0 && kinds && i < nr_kinds; i++)
        rc = add_kind(t, id, kinds[i], &l);
    error = errno;
    free(kinds);
    *list = l.at;
    *nr = l.nr;
    if (rc == 0) {
        if (l.nr)
            qsort(l.at, l.nr, sizeof(*l.at), compare);
        return 0;
    }
    free(l.at);
    *list = NULL;
    *nr = 0;
    return toolstack_fail(t, error, "domain %u: its devices in the store: %s", id, strerror(error));
}

/* ---- who has a disk ---- */

struct use {
    struct toolstack *t;
    const char *target, *physical;
    bool read_only;
};

static bool has_target(const struct use *u, const char *end)
{
    char *params = devices_read(u->t, end, "params");
    size_t raw = strlen(DEVICES_QDISK_RAW);
    bool same = params &&
                (strcmp(params, u->target) == 0 || (strncmp(params, DEVICES_QDISK_RAW, raw) == 0 &&
                                                    strcmp(params + raw, u->target) == 0));

    free(params);
    return same;
}

static bool is(struct toolstack *t, const char *end, const char *leaf, const char *value)
{
    char *now = devices_read(t, end, leaf);
    bool same = now && strcmp(now, value) == 0;

    free(now);
    return same;
}

/* By its number where there is one: a disk has several names. */
static bool conflicts(const struct use *u, const char *end)
{
    char *physical;
    bool same;

    if (u->read_only && is(u->t, end, "mode", "r"))
        return false;
    physical = devices_read(u->t, end, "physical-device");
    same = physical && *physical && strcmp(physical, u->physical) == 0;
    free(physical);
    same = same || has_target(u, end); /* a file has a loop device for each domain */
    return same && devices_read_number(u->t, end, "state") != XenbusStateClosed;
}

static bool domain_has(const struct use *u, const char *home)
{
    char path[2 * DEVICE_PATH], **devids;
    bool has = false;
    unsigned int nr;

    devids = xs_directory(u->t->store, XBT_NULL, home, &nr);
    for (unsigned int i = 0; devids && !has && i < nr; i++) {
        snprintf(path, sizeof(path), "%s/%.20s", home, devids[i]);
        has = conflicts(u, path);
    }
    free(devids);
    return has;
}

/* Of one class of that domain's backends. */
static int64_t shared_in(const struct use *u, domid_t id, domid_t backend, const char *class)
{
    char path[DEVICE_PATH], **ids;
    int64_t other = -1;
    unsigned int nr;

    snprintf(path, sizeof(path), "/local/domain/%u/backend/%s", backend, class);
    ids = xs_directory(u->t->store, XBT_NULL, path, &nr);
    for (unsigned int i = 0; ids && other < 0 && i < nr; i++) {
        unsigned long its = strtoul(ids[i], NULL, 10);

        snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%lu", backend, class, its);
        if (its != id && domain_has(u, path))
            other = (int64_t)its;
    }
    free(ids);
    return other;
}

int64_t device_shared(struct toolstack *t, domid_t id, domid_t backend, const char *target,
                      const char *physical, bool read_only)
{
    const struct use u = { .t = t, .target = target, .physical = physical, .read_only = read_only };
    int64_t other = shared_in(&u, id, backend, "vbd");

    return other >= 0 ? other : shared_in(&u, id, backend, "qdisk");
}
