/* See nodes.h. */
#include "nodes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xenstore.h>

#include "../config.h"
#include "devices.h"
#include "names.h"
#include "toolstack.h"
#include "transaction.h"

enum { PATH_BYTES = 160, VALUE_BYTES = 256, CONSOLE_LIMIT = 1 << 20 };

/* Who else has a node of the toolstack's. */
enum whose {
    PRIVATE,     /* nobody */
    GUEST_READS, /* the domain reads it */
    GUEST_OWNS,  /* it is the domain's, which may write it */
};

/*
 * One transaction, and whether all in it went well. A node that is made has its directory's permissions, by the
 * store's rules: they are set where they are others.
 */
struct writer {
    struct toolstack *t;
    const struct nodes *n;
    xs_transaction_t tx;
    int error;        /* the first errno; 0: none */
    char home[80];    /* the directory that is written */
    enum whose whose; /* is that */
};

static int fail(struct toolstack *t, domid_t id, const char *what)
{
    return toolstack_fail(t, errno, "domain %u: %s in the store: %s", id, what, strerror(errno));
}

/* ---- writing ---- */

static bool permit(struct writer *w, const char *path, enum whose whose)
{
    /* The first is the owner, who may do all; what it says counts for everybody else. */
    struct xs_permissions guests[] = { { w->n->id, XS_PERM_NONE } };
    struct xs_permissions ours[] = { { w->t->self, XS_PERM_NONE }, { w->n->id, XS_PERM_READ } };

    if (whose == GUEST_OWNS)
        return xs_set_permissions(w->t->store, w->tx, path, guests, 1);
    return xs_set_permissions(w->t->store, w->tx, path, ours, whose == GUEST_READS ? 2 : 1);
}

/* What follows is put below that directory, which is made anew: of one before nothing stays, nor its permissions. */
static void __attribute__((format(printf, 3, 4)))
enter(struct writer *w, enum whose whose, const char *format, ...)
{
    struct xs_handle *store = w->t->store;
    va_list args;

    va_start(args, format);
    vsnprintf(w->home, sizeof(w->home), format, args);
    va_end(args);
    w->whose = whose;
    if (w->error == 0 && ((!xs_rm(store, w->tx, w->home) && errno != ENOENT) ||
                          !xs_mkdir(store, w->tx, w->home) || !permit(w, w->home, whose)))
        w->error = errno ? errno : EIO;
}

/* A node with that value. After an error nothing is written. */
static void put_text(struct writer *w, enum whose whose, const char *leaf, const char *value)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", w->home, leaf);
    if (w->error == 0 && (!xs_write(w->t->store, w->tx, path, value, (unsigned int)strlen(value)) ||
                          (whose != w->whose && !permit(w, path, whose))))
        w->error = errno ? errno : EIO;
}

/* The same; format NULL: without a value. */
static void __attribute__((format(printf, 4, 5)))
put(struct writer *w, enum whose whose, const char *leaf, const char *format, ...)
{
    char value[VALUE_BYTES] = "";
    va_list args;

    if (format) {
        va_start(args, format);
        vsnprintf(value, sizeof(value), format, args);
        va_end(args);
    }
    put_text(w, whose, leaf, value);
}

/* What the domain itself writes, and the directories on the way there. */
static void put_owned(struct writer *w)
{
    static const char *const owned[] = { "control/shutdown",
                                         "control/feature-poweroff",
                                         "control/feature-reboot",
                                         "control/feature-suspend",
                                         "control/sysrq",
                                         "device/suspend/event-channel",
                                         "data",
                                         "drivers",
                                         "feature",
                                         "attr",
                                         "error" };

    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        put(w, GUEST_OWNS, owned[i], NULL);
}

static void put_console(struct writer *w)
{
    const struct nodes *n = w->n;

    put(w, GUEST_READS, "console/backend", "/local/domain/%u/backend/console/%u/0", w->t->self,
        n->id);
    put(w, GUEST_READS, "console/backend-id", "%u", w->t->self);
    put(w, GUEST_READS, "console/limit", "%d", CONSOLE_LIMIT);
    put(w, GUEST_READS, "console/type", "xenconsoled");
    put(w, GUEST_READS, "console/output", "pty");
    put(w, GUEST_READS, "console/tty", NULL);
    put(w, GUEST_READS, "console/port", "%u", n->console_port);
}

static void put_vcpus(struct writer *w, unsigned int first, const char *state)
{
    char leaf[32];

    for (unsigned int v = first; v < w->n->max_vcpus; v++) {
        snprintf(leaf, sizeof(leaf), "cpu/%u/availability", v);
        put(w, GUEST_READS, leaf, "%s", v < w->n->nr_vcpus ? "online" : state);
    }
}

/* What a domain has as soon as it is there, and that of the toolstack which is below other directories. */
static void put_skeleton(struct writer *w, const char *uuid)
{
    const struct nodes *n = w->n;

    enter(w, GUEST_READS, "/local/domain/%u/backend/console/%u/0", w->t->self, n->id);
    put(w, GUEST_READS, "frontend", "/local/domain/%u/console", n->id);
    put(w, GUEST_READS, "frontend-id", "%u", n->id);
    put(w, GUEST_READS, "online", "1");
    put(w, GUEST_READS, "state", "1"); /* XenbusStateInitialising */
    put(w, GUEST_READS, "protocol", "vt100");
    enter(w, PRIVATE, "/libxl/%u", n->id);
    put(w, PRIVATE, "type", "pv"); /* xl takes others for HVM guests */
    enter(w, GUEST_READS, "/local/domain/%u", n->id);
    put_owned(w);
    put(w, GUEST_READS, "vm", "/vm/%s", uuid);
    put(w, GUEST_READS, "domid", "%u", n->id);
    put_vcpus(w, 0, "offline");
    put(w, GUEST_READS, "memory/static-max", "%llu", (unsigned long long)n->max_memory_kib);
    put(w, GUEST_READS, "memory/target", "%llu", (unsigned long long)n->memory_kib);
    put(w, GUEST_READS, "memory/videoram", "0");
    put(w, GUEST_READS, "store/port", "%u", n->store_port);
    put_console(w);
}

static void put_vm(struct writer *w, const char *uuid)
{
    enter(w, GUEST_READS, "/vm/%s", uuid);
    put(w, GUEST_READS, "uuid", "%s", uuid);
    put(w, GUEST_READS, "image/ostype", "linux");
}

/* Nodes are put below that directory, which is there. */
static void __attribute__((format(printf, 3, 4)))
go_to(struct writer *w, enum whose whose, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->home, sizeof(w->home), format, args);
    va_end(args);
    w->whose = whose;
}

#define AT(...) (snprintf(path, sizeof(path), __VA_ARGS__), path)

/* What is another one's with each domain: name, rings, configuration. The rest is there. */
static void put_own(struct writer *w, const char *uuid)
{
    const struct nodes *n = w->n;

    go_to(w, GUEST_READS, "/vm/%s", uuid);
    put(w, GUEST_READS, "name", "%s", n->name);
    put(w, GUEST_READS, "start_time", "%llu", (unsigned long long)(plat_wall() / 1000000000u));
    go_to(w, PRIVATE, "/libxl/%u", n->id);
    if (n->config)
        put_text(w, PRIVATE, "config", n->config);
    if (n->unattended)
        put(w, PRIVATE, "unattended", NULL);
    if (n->nr_short_lives)
        put(w, PRIVATE, "short-lives", "%u", n->nr_short_lives);
    go_to(w, GUEST_READS, "/local/domain/%u", n->id);
    put(w, GUEST_READS, "name", "%s", n->name);
    put(w, GUEST_READS, "store/ring-ref", "%llu", (unsigned long long)n->store_mfn);
    put(w, GUEST_READS, "console/ring-ref", "%llu", (unsigned long long)n->console_mfn);
}

/* What is not as it was prepared. */
static void adapt(struct writer *w, const char *uuid)
{
    const struct nodes *n = w->n;
    char path[PATH_BYTES], old[37];

    if (memcmp(n->prepared, n->uuid, sizeof(n->uuid)) != 0) {
        config_print_uuid(n->prepared, old);
        if (w->error == 0 && !xs_rm(w->t->store, w->tx, AT("/vm/%s", old)) && errno != ENOENT)
            w->error = errno;
        put_vm(w, uuid);
        go_to(w, GUEST_READS, "/local/domain/%u", n->id);
        put(w, GUEST_READS, "vm", "/vm/%s", uuid);
    }
    go_to(w, GUEST_READS, "/local/domain/%u", n->id);
    if (n->max_memory_kib != n->memory_kib)
        put(w, GUEST_READS, "memory/static-max", "%llu", (unsigned long long)n->max_memory_kib);
    put_vcpus(w, n->nr_vcpus, "offline");
}

/* ---- names ---- */

static char *read_in(struct toolstack *t, xs_transaction_t tx, domid_t id, const char *leaf)
{
    char path[PATH_BYTES];

    return xs_read(t->store, tx, AT("/local/domain/%u/%s", id, leaf), NULL);
}

int nodes_find(struct toolstack *t, const char *name, domid_t *id)
{
    return names_find(t, XBT_NULL, name, true, id);
}

/* It is w's domain's from now on. Into w->error: EEXIST, if another one has it. */
static void take_name(struct writer *w, const char *name)
{
    domid_t other;

    if (names_find(w->t, w->tx, name, !w->t->sole, &other) == 0)
        w->error = other == w->n->id ? 0 : EEXIST;
    else if (errno != ESRCH)
        w->error = errno;
    if (w->error == 0 && !names_put(w->t, w->tx, name, w->n->id))
        w->error = errno;
}

/* ---- whole changes ---- */

struct change {
    struct toolstack *t;
    const struct nodes *n;
    void (*fn)(struct writer *w);
};

static int change_once(xs_transaction_t tx, void *arg)
{
    const struct change *change = arg;
    struct writer w = { .t = change->t, .n = change->n, .tx = tx };

    change->fn(&w);
    return w.error;
}

/* All that fn writes, or nothing. -1: errno */
static int in_transaction(struct toolstack *t, const struct nodes *n, void (*fn)(struct writer *w))
{
    struct change change = { t, n, fn };
    int error = transaction_run(t, change_once, &change);

    errno = error ? error : errno;
    return error ? -1 : 0;
}

static void create(struct writer *w)
{
    char uuid[37];

    config_print_uuid(w->n->uuid, uuid);
    take_name(w, w->n->name);
    if (w->n->prepared) {
        adapt(w, uuid);
    } else {
        put_vm(w, uuid);
        put_skeleton(w, uuid);
    }
    put_own(w, uuid);
}

static void prepare(struct writer *w)
{
    char uuid[37];

    config_print_uuid(w->n->uuid, uuid);
    put_vm(w, uuid);
    put_skeleton(w, uuid);
    put(w, GUEST_READS, "name", "xen-like-shell-%u", w->n->id);
}

int nodes_prepare(struct toolstack *t, const struct nodes *n)
{
    return in_transaction(t, n, prepare) ? fail(t, n->id, "its nodes") : 0;
}

int nodes_create(struct toolstack *t, const struct nodes *n)
{
    int error;

    if (in_transaction(t, n, create)) {
        if (errno == EEXIST)
            return toolstack_fail(t, EEXIST, "there is already a domain of the name %s", n->name);
        return fail(t, n->id, "its nodes");
    }
    if (xs_introduce_domain(t->store, n->id, n->store_mfn, n->store_port))
        return 0;
    error = errno;
    fail(t, n->id, "its ring");
    nodes_remove(t, n->id);
    errno = error;
    return -1;
}

static void rename_both(struct writer *w)
{
    char *name = read_in(w->t, w->tx, w->n->id, "name"), *vm;

    if (name == NULL) { /* the store does not know it: none is made */
        w->error = errno;
        return;
    }
    vm = read_in(w->t, w->tx, w->n->id, "vm");
    if (!names_forget(w->t, w->tx, name, w->n->id))
        w->error = errno;
    free(name);
    if (w->error == 0)
        take_name(w, w->n->name);
    snprintf(w->home, sizeof(w->home), "/local/domain/%u", w->n->id);
    put(w, GUEST_READS, "name", "%s", w->n->name);
    if (vm) {
        snprintf(w->home, sizeof(w->home), "%s", vm);
        put(w, GUEST_READS, "name", "%s", w->n->name);
    }
    free(vm);
}

int nodes_rename(struct toolstack *t, domid_t id, const char *name)
{
    const struct nodes n = { .id = id, .name = name };

    if (in_transaction(t, &n, rename_both) == 0)
        return 0;
    if (errno == EEXIST)
        return toolstack_fail(t, EEXIST, "there is already a domain of the name %s", name);
    return fail(t, id, "its name");
}

/* Also if it is not there; what else goes wrong is remembered. */
static void rm(struct toolstack *t, const char *path, int *error)
{
    if (!xs_rm(t->store, XBT_NULL, path) && errno != ENOENT)
        *error = errno;
}

int nodes_remove(struct toolstack *t, domid_t id)
{
    char path[PATH_BYTES], *vm, *name;
    int error = 0;

    if (devices_remove(t, id)) /* which needs the rest to be done again */
        return -1;
    vm = nodes_read(t, id, "vm");
    if (vm && strncmp(vm, "/vm/", 4) == 0 && strlen(vm) == 4 + 36)
        rm(t, vm, &error);
    else if (vm == NULL && errno != ENOENT)
        error = errno;
    free(vm);
    name = nodes_read(t, id, "name");
    if (name ? !names_forget(t, XBT_NULL, name, id) : errno != ENOENT)
        error = errno;
    free(name);
    rm(t, AT("/local/domain/%u/backend/console/%u", t->self, id), &error);
    rm(t, AT("/libxl/%u", id), &error);
    if (error == 0) /* last: as long as it is there, this can be done again */
        rm(t, AT("/local/domain/%u", id), &error);
    xs_release_domain(t->store, id); /* the store may have heard of its end by itself */
    errno = error;
    return error ? fail(t, id, "its nodes") : 0;
}

/* ---- single nodes ---- */

char *nodes_read(struct toolstack *t, domid_t id, const char *leaf)
{
    return read_in(t, XBT_NULL, id, leaf);
}

int nodes_write(struct toolstack *t, domid_t id, const char *leaf, const char *value)
{
    char path[PATH_BYTES], *old = nodes_read(t, id, leaf);

    free(old);
    if (old && xs_write(t->store, XBT_NULL, AT("/local/domain/%u/%s", id, leaf), value,
                        (unsigned int)strlen(value)))
        return 0;
    return fail(t, id, leaf);
}

/* Its name is the leaf, its configuration the value. A domain that is no more has no "vm", and nodes of it are not made. */
static void ask(struct writer *w)
{
    char *vm = read_in(w->t, w->tx, w->n->id, "vm");

    if (vm == NULL)
        w->error = errno;
    free(vm);
    go_to(w, GUEST_READS, "/local/domain/%u", w->n->id);
    put_text(w, GUEST_OWNS, w->n->name, w->n->config);
}

int nodes_ask(struct toolstack *t, domid_t id, const char *leaf, const char *value)
{
    const struct nodes n = { .id = id, .name = leaf, .config = value };

    return in_transaction(t, &n, ask) ? fail(t, id, leaf) : 0;
}

/* A domain that has removed it has taken it. */
static void unrequest(struct writer *w)
{
    char *now = read_in(w->t, w->tx, w->n->id, "control/shutdown");

    if (now == NULL)
        w->error = errno == ENOENT ? EALREADY : errno;
    else if (strcmp(now, w->n->name) != 0)
        w->error = EALREADY;
    free(now);
    snprintf(w->home, sizeof(w->home), "/local/domain/%u", w->n->id);
    w->whose = GUEST_OWNS;
    put(w, GUEST_OWNS, "control/shutdown", NULL);
}

int nodes_unrequest(struct toolstack *t, domid_t id, const char *what)
{
    const struct nodes n = { .id = id, .name = what };

    return in_transaction(t, &n, unrequest) ? fail(t, id, "control/shutdown") : 0;
}

uint64_t nodes_start_time(struct toolstack *t, const uint8_t uuid[16])
{
    char path[PATH_BYTES], text[37], *value;
    uint64_t start;

    config_print_uuid(uuid, text);
    value = xs_read(t->store, XBT_NULL, AT("/vm/%s/start_time", text), NULL);
    start = value ? strtoull(value, NULL, 10) : 0;
    free(value);
    return start;
}

char *nodes_config(struct toolstack *t, domid_t id)
{
    char path[PATH_BYTES];

    return xs_read(t->store, XBT_NULL, AT("/libxl/%u/config", id), NULL);
}

static void set_config(struct writer *w)
{
    snprintf(w->home, sizeof(w->home), "/libxl/%u", w->n->id);
    put_text(w, PRIVATE, "config", w->n->config);
    put(w, PRIVATE, "config-updated", NULL);
}

int nodes_set_config(struct toolstack *t, domid_t id, const char *config)
{
    const struct nodes n = { .id = id, .config = config };
    char *old = nodes_config(t, id);
    bool ok = old && in_transaction(t, &n, set_config) == 0;

    free(old);
    return ok ? 0 : fail(t, id, "its configuration");
}

/* In place of one, of a domain that is there. */
static void replace_config(struct writer *w)
{
    char path[PATH_BYTES],
        *old = xs_read(w->t->store, w->tx, AT("/libxl/%u/config", w->n->id), NULL);

    if (old == NULL) {
        w->error = errno;
        return;
    }
    free(old);
    snprintf(w->home, sizeof(w->home), "/libxl/%u", w->n->id);
    w->whose = PRIVATE;
    put_text(w, PRIVATE, "config", w->n->config);
}

int nodes_keep_config(struct toolstack *t, domid_t id, const char *config)
{
    const struct nodes n = { .id = id, .config = config };

    return in_transaction(t, &n, replace_config) ? fail(t, id, "its configuration") : 0;
}

static void leave(struct writer *w)
{
    snprintf(w->home, sizeof(w->home), "/libxl/%u", w->n->id);
    put(w, PRIVATE, "unattended", NULL);
}

static void set_aside(struct writer *w)
{
    rename_both(w);
    leave(w);
}

int nodes_set_aside(struct toolstack *t, domid_t id, const char *name)
{
    const struct nodes n = { .id = id, .name = name };

    return in_transaction(t, &n, set_aside) ? fail(t, id, "that it is set aside") : 0;
}

unsigned int nodes_short_lives(struct toolstack *t, domid_t id)
{
    char path[PATH_BYTES];
    char *text = xs_read(t->store, XBT_NULL, AT("/libxl/%u/short-lives", id), NULL);
    unsigned int n = text ? (unsigned int)strtoul(text, NULL, 10) : 0;

    free(text);
    return n;
}

int nodes_leave(struct toolstack *t, domid_t id)
{
    const struct nodes n = { .id = id };

    return in_transaction(t, &n, leave) ? fail(t, id, "that it is left alone") : 0;
}

/* Whether there is that mark; errno: ENOENT if not. */
static bool is_marked(struct toolstack *t, domid_t id, const char *leaf)
{
    char path[PATH_BYTES];
    char *mark = xs_read(t->store, XBT_NULL, AT("/libxl/%u/%s", id, leaf), NULL);

    free(mark);
    return mark != NULL;
}

int nodes_attended(struct toolstack *t, domid_t id)
{
    if (is_marked(t, id, "unattended"))
        return 0;
    return errno == ENOENT ? 1 : fail(t, id, "whether it is attended to");
}

bool nodes_config_updated(struct toolstack *t, domid_t id)
{
    return is_marked(t, id, "config-updated");
}
