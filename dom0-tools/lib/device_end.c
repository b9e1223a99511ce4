/* Devices that end. See devices.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "device_internal.h"
#include "toolstack.h"

/* ---- asking a backend to close ---- */

struct closing {
    const struct device_at *at;
    bool force; /* the domain is not asked: its end is taken away, which backends understand */
};

static void ask(struct device_writer *w, const void *arg)
{
    const struct closing *c = arg;
    const char *home = c->at->backend;
    char path[DEVICE_PATH + 8], *state;

    snprintf(path, sizeof(path), "%s/state", home);
    state = xs_read(w->t->store, w->tx, path, NULL);
    if (state == NULL && errno != ENOENT)
        w->error = errno;
    if (state && strtol(state, NULL, 10) != XenbusStateClosed) {
        device_put(w, home, "online", "0");
        device_put(w, home, "state", "%d", XenbusStateClosing);
    }
    free(state);
    if (c->force)
        device_rm(w, c->at->frontend);
}

/* Whether it has; errors of the store are no answer. */
static bool has_closed(struct toolstack *t, const struct device_at *at)
{
    int64_t state = devices_read_number(t, at->backend, "state");

    return state == XenbusStateClosed || (state < 0 && errno == ENOENT);
}

/* 0; -1: ETIMEDOUT, EINTR: errno and t's error. @heed  whether t's user may want an end */
static int wait_until_closed(struct toolstack *t, domid_t id, const struct device_at *at,
                             uint64_t deadline_ns, bool heed)
{
    uint64_t ns = DEVICES_LOOK_NS;
    char which[64];

    while (!has_closed(t, at)) {
        if (plat_now() >= deadline_ns) {
            device_print(at, which, sizeof(which));
            return toolstack_fail(t, ETIMEDOUT, "domain %u: %s does not close", id, which);
        }
        if (heed && toolstack_go_on(t))
            return -1;
        device_pause(&ns);
    }
    return 0;
}

/* ---- nodes ---- */

struct forgetting {
    domid_t id;
    const struct device_at *at;
};

/* The directory above it goes, too, if nothing is left in it. */
static void rm_with_parent(struct device_writer *w, const char *path)
{
    char up[DEVICE_PATH], **left;
    unsigned int nr = 0;

    device_rm(w, path);
    snprintf(up, sizeof(up), "%s", path);
    *strrchr(up, '/') = '\0';
    if (w->error)
        return;
    left = xs_directory(w->t->store, w->tx, up, &nr);
    if (left && nr == 0)
        device_rm(w, up);
    else if (left == NULL && errno != ENOENT)
        w->error = errno;
    free(left);
}

static void forget(struct device_writer *w, const void *arg)
{
    const struct forgetting *f = arg;
    char path[DEVICE_PATH];

    rm_with_parent(w, f->at->frontend);
    rm_with_parent(w, f->at->backend);
    device_libxl_path(f->id, f->at, path);
    rm_with_parent(w, path);
}

/* The loop device of one that is served here; what another domain's backend says is not heeded. */
static char *node_of(struct toolstack *t, const struct device_at *at)
{
    char here[32];

    snprintf(here, sizeof(here), "/local/domain/%u/", t->self);
    return strncmp(at->backend, here, strlen(here)) == 0 ? devices_read(t, at->backend, "node")
                                                         : NULL;
}

static int forget_one(struct toolstack *t, domid_t id, const struct device_at *at)
{
    const struct forgetting f = { .id = id, .at = at };
    char *node = node_of(t, at);
    int rc = 0;

    if (device_transaction(t, forget, &f))
        rc = toolstack_fail(t, errno, "domain %u: its %s in the store: %s", id, at->kind,
                            strerror(errno));
    else if (node)
        device_host_end(node);
    free(node);
    return rc;
}

/* ---- whole devices ---- */

static int close_one(struct toolstack *t, domid_t id, const struct device_at *at, bool force)
{
    const struct closing c = { .at = at, .force = force };

    if (device_transaction(t, ask, &c) == 0)
        return 0;
    return toolstack_fail(t, errno, "domain %u: its %s in the store: %s", id, at->kind,
                          strerror(errno));
}

/* One that nobody has begun to serve does not close, either. */
static bool is_served(struct toolstack *t, const struct device_at *at)
{
    return devices_read_number(t, at->backend, "state") != XenbusStateInitialising;
}

int device_end(struct toolstack *t, domid_t id, const struct device_at *at, bool force)
{
    uint64_t deadline_ns = plat_now() + DEVICES_WAIT_S * 1000000000ull;
    bool served = is_served(t, at);

    if (close_one(t, id, at, force))
        return -1;
    if (served && wait_until_closed(t, id, at, deadline_ns, !force)) {
        if (!force)
            return -1;
        plat_log(PLAT_WARNING, "%s; it is removed all the same", t->error);
    }
    return forget_one(t, id, at);
}

void device_take_back(struct toolstack *t, domid_t id, const struct device_at *at)
{
    char why[sizeof(t->error)];
    int error = errno;

    memcpy(why, t->error, sizeof(why));
    if (device_end(t, id, at, true))
        plat_log(PLAT_ERROR, "%s", t->error);
    memcpy(t->error, why, sizeof(why));
    errno = error;
}

/* A backend of Linux whose frontend has gone before it was told to close has left, and said nothing. */
static bool has_frontend(struct toolstack *t, const struct device_at *at)
{
    return devices_read_number(t, at->frontend, "state") >= 0 || errno != ENOENT;
}

/* All at once: they have one deadline. */
static int remove_all(struct toolstack *t, domid_t id, struct device_at *list, size_t nr)
{
    uint64_t wait_ns = 1000000000, deadline_ns;
    int rc = 0, error = 0;

    for (size_t i = 0; i < nr; i++) {
        bool served = is_served(t, &list[i]);

        if (has_frontend(t, &list[i]))
            wait_ns = DEVICES_WAIT_S * 1000000000ull;
        if (close_one(t, id, &list[i], true))
            return -1;
        if (!served && forget_one(t, id, &list[i]))
            return -1;
        if (!served)
            list[i].kind[0] = '\0';
    }
    deadline_ns = plat_now() + wait_ns;
    for (size_t i = 0; i < nr; i++) {
        if (list[i].kind[0] == '\0')
            continue;
        if (wait_until_closed(t, id, &list[i], deadline_ns, false))
            plat_log(PLAT_WARNING, "%s; it is removed all the same", t->error);
        if (forget_one(t, id, &list[i])) {
            error = errno;
            rc = -1;
        }
    }
    errno = error;
    return rc;
}

int devices_remove(struct toolstack *t, domid_t id)
{
    struct device_at *list;
    size_t nr;
    int rc, error;

    if (devices_list(t, id, &list, &nr))
        return -1;
    rc = remove_all(t, id, list, nr);
    error = errno;
    free(list);
    errno = error;
    return rc;
}
