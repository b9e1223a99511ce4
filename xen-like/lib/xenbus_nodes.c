/* What the ends of a device read and write in the store: see xenbus.h. */
#include "xenbus.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenbus_internal.h"

enum { PATH_BYTES = 256, TRIES = 20 };

/* ---- reading ---- */

/* What is there, to be freed, and its length; else NULL and *rc. */
static char *read_node(struct xenbus_device *d, enum xenbus_end end, const char *node,
                       unsigned int *len, int *rc)
{
    char path[PATH_BYTES], *text;

    *rc = -EIO;
    if (snprintf(path, sizeof(path), "%s/%s", end == XENBUS_OURS ? d->path : d->other_path, node) >=
        (int)sizeof(path))
        return NULL;
    text = d->bus->xs ? xs_read(d->bus->xs, XBT_NULL, path, len) : NULL;
    if (text)
        return text;
    if (d->bus->xs && (errno == ENOENT || errno == EACCES)) /* who may not see it has none */
        *rc = -ENOENT;
    else
        d->unheard = true;
    return NULL;
}

/* Digits and nothing else. */
static int parse_number(const char *text, unsigned int len, uint64_t min, uint64_t max,
                        uint64_t *value)
{
    uint64_t n = 0;

    if (len == 0 || len > 20)
        return -EINVAL;
    for (unsigned int i = 0; i < len; i++) {
        unsigned int digit = (unsigned int)(text[i] - '0');

        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        n = n * 10 + digit;
    }
    if (n < min || n > max)
        return -EINVAL;
    *value = n;
    return 0;
}

int xenbus_number(struct xenbus_device *d, enum xenbus_end end, const char *node, uint64_t min,
                  uint64_t max, uint64_t *value)
{
    unsigned int len;
    int rc;
    char *text = read_node(d, end, node, &len, &rc);

    if (text)
        rc = parse_number(text, len, min, max, value);
    free(text);
    return rc;
}

int xenbus_number_or(struct xenbus_device *d, enum xenbus_end end, const char *node, uint64_t min,
                     uint64_t max, uint64_t if_none, uint64_t *value)
{
    int rc = xenbus_number(d, end, node, min, max, value);

    if (rc != -ENOENT)
        return rc;
    *value = if_none;
    return 0;
}

bool xenbus_feature(struct xenbus_device *d, enum xenbus_end end, const char *node)
{
    uint64_t value;

    return xenbus_number(d, end, node, 0, UINT64_MAX, &value) == 0 && value != 0;
}

int xenbus_text(struct xenbus_device *d, enum xenbus_end end, const char *node, char *buf,
                size_t size)
{
    unsigned int len;
    int rc;
    char *text = read_node(d, end, node, &len, &rc);

    buf[0] = '\0';
    if (text == NULL)
        return rc;
    rc = len < size ? 0 : -EINVAL;
    for (unsigned int i = 0; i < len && rc == 0; i++)
        if (text[i] < ' ' || text[i] == 0x7f) /* what is not ASCII is less than that, too */
            rc = -EINVAL;
    if (rc == 0)
        memcpy(buf, text, len + 1ul);
    free(text);
    return rc;
}

/* ---- writing ---- */

void xenbus_put(struct xenbus_nodes *n, const char *name, const char *fmt, ...)
{
    va_list args;
    int len;

    if (n->nr == XENBUS_NODES) {
        n->too_much = true;
        return;
    }
    if (snprintf(n->nodes[n->nr].name, sizeof(n->nodes[0].name), "%s", name) >=
        (int)sizeof(n->nodes[0].name))
        n->too_much = true;
    va_start(args, fmt);
    len = vsnprintf(n->nodes[n->nr].value, sizeof(n->nodes[0].value), fmt, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof(n->nodes[0].value))
        n->too_much = true;
    n->nr++;
}

static bool write_one(struct xenbus_device *d, xs_transaction_t t, const char *name,
                      const char *value)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", d->path, name);
    return xs_write(d->bus->xs, t, path, value, (unsigned int)strlen(value));
}

/* Going on with a device that the toolstack has told to close meanwhile, which is not taken back. */
static bool is_late(const struct xenbus_device *d, const char *there, enum xenbus_state state)
{
    return d->driver->backend && state <= XenbusStateConnected &&
           strtol(there, NULL, 10) == XenbusStateClosing;
}

/* Within a transaction. What is no more must not be made by writing into it. */
static bool write_all(struct xenbus_device *d, xs_transaction_t t, const struct xenbus_nodes *n,
                      enum xenbus_state state)
{
    char path[PATH_BYTES], *there, text[4];
    bool ok;

    snprintf(path, sizeof(path), "%s/state", d->path);
    there = xs_read(d->bus->xs, t, path, NULL);
    ok = there != NULL;
    if (ok && is_late(d, there, state))
        state = XenbusStateUnknown; /* the event of that is on its way */
    free(there);
    for (unsigned int i = 0; ok && n && i < n->nr; i++)
        ok = write_one(d, t, n->nodes[i].name, n->nodes[i].value);
    snprintf(text, sizeof(text), "%d", (int)state);
    return ok && (state == XenbusStateUnknown || write_one(d, t, "state", text));
}

static int try_to_write(struct xenbus_device *d, const struct xenbus_nodes *n,
                        enum xenbus_state state)
{
    struct xs_handle *xs = d->bus->xs;

    for (int i = 0; xs && i < TRIES; i++) {
        xs_transaction_t t = xs_transaction_start(xs);
        int error = 0;

        if (t == XBT_NULL)
            return -errno;
        if (!write_all(d, t, n, state))
            error = errno;
        if (xs_transaction_end(xs, t, error != 0) && error == 0)
            return 0;
        if (error == 0)
            error = errno;
        if (error != EAGAIN)
            return -error;
    }
    return -EIO;
}

int xenbus_write_nodes(struct xenbus_device *d, const struct xenbus_nodes *n,
                       enum xenbus_state state)
{
    int rc;

    if (n && n->too_much)
        return -E2BIG;
    rc = try_to_write(d, n, state);
    d->unheard |= rc && rc != -ENOENT;
    return rc;
}

int xenbus_publish(struct xenbus_device *d, const struct xenbus_nodes *n)
{
    return xenbus_write_nodes(d, n, XenbusStateUnknown);
}

int xenbus_tell(struct xenbus_device *d, const struct xenbus_nodes *n)
{
    return xenbus_write_nodes(d, n, d->state);
}

#define LINES_NS 60000000000u
enum { LINES = 20, TEXT_BYTES = 200 };

static void log_text(struct xenbus_device *d, enum plat_level level, const char *text)
{
    uint64_t now = plat_now();

    if (d->nr_lines == 0 || now - d->lines_since_ns >= LINES_NS) {
        d->lines_since_ns = now;
        d->nr_lines = 0;
    }
    if (d->nr_lines++ < LINES)
        plat_log(level, "%s: %s", d->path, text);
}

void xenbus_log(struct xenbus_device *d, enum plat_level level, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_text(d, level, text);
}

void xenbus_error(struct xenbus_device *d, const char *fmt, ...)
{
    struct xenbus_nodes n = { .nr = 0 };
    char text[TEXT_BYTES];
    va_list args;

    if (d->unheard)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_text(d, PLAT_ERROR, text);
    if (!d->driver->backend || d->probed)
        return;
    xenbus_put(&n, "hotplug-error", "%s", text);
    xenbus_put(&n, "hotplug-status", "error");
    xenbus_publish(d, &n);
}

void xenbus_fail(struct xenbus_device *d, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    xenbus_log(d, PLAT_WARNING, "domain %u: %s", d->other, text);
    d->doomed = d->dirty = true;
    xenbus_look_at(d->bus, 0);
}
