/* See channels.h. */
#include "channels.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>
#include <xen/io/xenbus.h>

#include "../config.h"
#include "toolstack.h"
#include "transaction.h"

enum { PATH_BYTES = 160, VALUE_BYTES = 160, CONSOLE_LIMIT = 1 << 20 };

/* ---- writing ---- */

/* Who may do what with a node. */
enum whose { PRIVATE, GUESTS, GUEST_READS };

/* One transaction, and whether all in it went well. */
struct writer {
    struct toolstack *t;
    domid_t id;
    xs_transaction_t tx;
    int error; /* the first errno; 0: none */
    char home[80];
};

static void permit(struct writer *w, const char *path, enum whose whose)
{
    /* The first is the owner, who may do all; what it says counts for everybody else. */
    struct xs_permissions guests[] = { { w->id, XS_PERM_NONE }, { w->t->self, XS_PERM_READ } };
    struct xs_permissions ours[] = { { w->t->self, XS_PERM_NONE }, { w->id, XS_PERM_READ } };

    if (w->error == 0 &&
        !xs_set_permissions(w->t->store, w->tx, path, whose == GUESTS ? guests : ours,
                            whose == PRIVATE ? 1 : 2))
        w->error = errno ? errno : EIO;
}

/* What follows is below that directory, which is made anew. */
static void __attribute__((format(printf, 3, 4)))
enter(struct writer *w, enum whose whose, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->home, sizeof(w->home), format, args);
    va_end(args);
    if (w->error == 0 && ((!xs_rm(w->t->store, w->tx, w->home) && errno != ENOENT) ||
                          !xs_mkdir(w->t->store, w->tx, w->home)))
        w->error = errno ? errno : EIO;
    permit(w, w->home, whose);
}

static void __attribute__((format(printf, 4, 5)))
put(struct writer *w, enum whose whose, const char *leaf, const char *format, ...)
{
    char path[PATH_BYTES], value[VALUE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s/%s", w->home, leaf);
    if (w->error == 0 && !xs_write(w->t->store, w->tx, path, value, (unsigned int)strlen(value)))
        w->error = errno ? errno : EIO;
    permit(w, path, whose);
}

static void put_backend(struct writer *w, enum whose whose, unsigned int number,
                        const struct config_channel *c)
{
    put(w, whose, "frontend", "/local/domain/%u/device/console/%u", w->id, number);
    put(w, whose, "frontend-id", "%u", w->id);
    put(w, whose, "online", "1");
    put(w, whose, "state", "%d", XenbusStateInitialising);
    put(w, whose, "protocol", "vt100");
    put(w, whose, "name", "%s", c->name);
    put(w, whose, "connection", "%s", c->connection == CONFIG_SOCKET ? "socket" : "pty");
    if (c->connection == CONFIG_SOCKET)
        put(w, whose, "path", "%s", c->path);
}

/*
 * The frontend reads all and writes what is its own. As the folder is its own, too, it may remove what is not: the
 * backend goes by its own folder, in which all stands that it trusts.
 */
static void put_channel(struct writer *w, unsigned int number, const struct config_channel *c)
{
    enter(w, GUESTS, "/local/domain/%u/device/console/%u", w->id, number);
    put(w, GUESTS, "backend", "/local/domain/%u/backend/console/%u/%u", w->t->self, w->id, number);
    put(w, GUESTS, "backend-id", "%u", w->t->self);
    put(w, GUESTS, "state", "%d", XenbusStateInitialising);
    put(w, GUESTS, "protocol", "vt100");
    put(w, GUEST_READS, "name", "%s", c->name);
    put(w, GUEST_READS, "limit", "%d", CONSOLE_LIMIT);
    put(w, GUEST_READS, "type", "xenconsoled");
    if (c->connection == CONFIG_SOCKET)
        put(w, GUEST_READS, "output", "chardev:libxl-channel%u", number - 1);
    else
        put(w, GUEST_READS, "output", "pty");
    put(w, GUEST_READS, "tty", "%s", "");
    enter(w, GUEST_READS, "/local/domain/%u/backend/console/%u/%u", w->t->self, w->id, number);
    put_backend(w, GUEST_READS, number, c);
    put(w, GUEST_READS, "type", "xenconsoled");
    enter(w, PRIVATE, "/libxl/%u/device/console/%u", w->id, number); /* Debian's xl goes by that */
    put_backend(w, PRIVATE, number, c);
    put(w, PRIVATE, "backend", "/local/domain/%u/backend/console/%u/%u", w->t->self, w->id, number);
}

int channels_check(struct toolstack *t, const struct domain_config *c)
{
    char self[8];

    snprintf(self, sizeof(self), "%u", t->self);
    for (unsigned int i = 0; i < c->nr_channels; i++) {
        const char *backend = c->channel[i].backend;

        if (backend[0] && strcmp(backend, self) != 0 && strcmp(backend, "Domain-0") != 0)
            return toolstack_fail(t, ENOTSUP, "channel: no backend in %s, only in this domain",
                                  backend);
    }
    if (c->nr_channels && t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "channel: there is no store");
    return 0;
}

struct creation {
    struct toolstack *t;
    domid_t id;
    const struct domain_config *c;
};

static int put_all(xs_transaction_t tx, void *arg)
{
    const struct creation *creation = arg;
    struct writer w = { .t = creation->t, .id = creation->id, .tx = tx };

    for (unsigned int i = 0; i < creation->c->nr_channels; i++)
        put_channel(&w, i + 1, &creation->c->channel[i]);
    return w.error;
}

int channels_create(struct toolstack *t, domid_t id, const struct domain_config *c)
{
    struct creation creation = { t, id, c };
    int error;

    if (channels_check(t, c))
        return -1;
    if (c->nr_channels == 0)
        return 0;
    error = transaction_run(t, put_all, &creation);
    if (error == 0)
        return 0;
    return toolstack_fail(t, error, "domain %u: its channels in the store: %s", id,
                          strerror(error));
}

/* ---- reading ---- */

static char *read_at(struct toolstack *t, const char *format, unsigned int id, unsigned int number,
                     const char *leaf)
{
    char path[PATH_BYTES];
    int len = snprintf(path, sizeof(path), format, id, number);

    snprintf(path + len, sizeof(path) - (size_t)len, "/%s", leaf);
    return xs_read(t->store, XBT_NULL, path, NULL);
}

#define FRONT "/local/domain/%u/device/console/%u"

/* What is no number is none: it is the guest's. */
static int64_t front_number(struct toolstack *t, unsigned int id, unsigned int number,
                            const char *leaf, int64_t none)
{
    char *text = read_at(t, FRONT, id, number, leaf);
    uint64_t value = 0;
    size_t n = text ? strspn(text, "0123456789") : 0;

    if (n && n <= 10 && text[n] == '\0')
        value = strtoull(text, NULL, 10);
    else
        n = 0;
    free(text);
    return n && value <= UINT32_MAX ? (int64_t)value : none;
}

/* Printable, cut. */
static void take_text(char *to, size_t size, char *text)
{
    snprintf(to, size, "%s", text ? text : "");
    for (char *s = to; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            *s = '?';
    free(text);
}

static void describe(struct toolstack *t, domid_t id, unsigned int number, struct channel_info *c)
{
    char back[80];
    bool socket;

    *c = (struct channel_info){ .number = number, .backend_id = t->self };
    snprintf(back, sizeof(back), "/local/domain/%u/backend/console/%%u/%%u", t->self);
    take_text(c->name, sizeof(c->name), read_at(t, back, id, number, "name"));
    take_text(c->connection, sizeof(c->connection), read_at(t, back, id, number, "connection"));
    socket = strcmp(c->connection, "socket") == 0;
    take_text(c->path, sizeof(c->path),
              socket ? read_at(t, back, id, number, "path") : read_at(t, FRONT, id, number, "tty"));
    c->state = (unsigned int)front_number(t, id, number, "state", XenbusStateUnknown);
    c->port = front_number(t, id, number, "port", -1);
    c->ring_ref = front_number(t, id, number, "ring-ref", -1);
}

static int by_number(const void *a, const void *b)
{
    const struct channel_info *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

int channels_list(struct toolstack *t, domid_t id, struct channel_info **list, size_t *nr)
{
    char path[PATH_BYTES], **names;
    unsigned int n = 0;

    *nr = 0;
    *list = NULL;
    if (t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "there is no store");
    snprintf(path, sizeof(path), "/local/domain/%u/backend/console/%u", t->self, id);
    names = xs_directory(t->store, XBT_NULL, path, &n);
    if (names == NULL)
        return errno == ENOENT
                   ? 0
                   : toolstack_fail(t, errno, "domain %u: its channels: %s", id, strerror(errno));
    *list = calloc(n ? n : 1, sizeof(**list));
    for (unsigned int i = 0; *list && i < n; i++) {
        unsigned long number = strtoul(names[i], NULL, 10);

        if (number && number <= UINT32_MAX) /* 0 is the first console */
            describe(t, id, (unsigned int)number, &(*list)[(*nr)++]);
    }
    free(names);
    if (*list == NULL)
        return toolstack_fail(t, ENOMEM, "domain %u: its channels: no memory", id);
    qsort(*list, *nr, sizeof(**list), by_number);
    return 0;
}
