/* The devices of a class, as the store has them: see xenbus.h. */
#include "xenbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenbus_internal.h"

enum { AT_ONCE = 64, PATH_BYTES = 160 }; /* events taken before others have their turn */

void xenbus_look_at(struct xenbus *b, uint64_t after_ns)
{
    uint64_t when = plat_now() + after_ns;

    if (b->work.loop == NULL || b->work.deadline_ns > when)
        plat_timer_set(b->loop, &b->work, when);
}

static struct xenbus_device *find(struct xenbus *b, domid_t other, uint32_t id)
{
    struct xenbus_device *d = b->devices;

    while (d && (d->id != id || (b->driver->backend && d->other != other)))
        d = d->next;
    return d;
}

/* NULL: no memory. */
static struct xenbus_device *find_or_add(struct xenbus *b, domid_t other, uint32_t id)
{
    struct xenbus_device *d = find(b, other, id);

    if (d)
        return d;
    d = calloc(1, sizeof(*d));
    if (d == NULL) {
        plat_log(PLAT_ERROR, "%s: no memory for a device", b->root);
        return NULL;
    }
    *d = (struct xenbus_device){
        .bus = b, .driver = b->driver, .other = other, .id = id, .serial = ++b->serial
    };
    if (b->driver->backend)
        snprintf(d->path, sizeof(d->path), "%s/%u/%u", b->root, other, id);
    else
        snprintf(d->path, sizeof(d->path), "%s/%u", b->root, id);
    d->next = b->devices;
    b->devices = d;
    return d;
}

/* A number as it is written, once: "01" would be another folder. */
static bool parse_id(const char **at, uint64_t max, uint64_t *id)
{
    const char *s = *at;
    uint64_t n = 0;

    if (s[0] < '0' || s[0] > '9' || (s[0] == '0' && s[1] >= '0' && s[1] <= '9'))
        return false;
    while (*s >= '0' && *s <= '9' && n <= max)
        n = n * 10 + (uint64_t)(*s++ - '0');
    if (n > max || (*s != '/' && *s != '\0'))
        return false;
    *at = s + (*s == '/');
    *id = n;
    return true;
}

/* All devices in a folder of the class. False: the store has said no. */
static bool scan_folder(struct xenbus *b, const char *path, domid_t other)
{
    unsigned int nr = 0;
    char **names = xs_directory(b->xs, XBT_NULL, path, &nr);
    bool ok = names || errno == ENOENT;

    for (unsigned int i = 0; names && i < nr; i++) {
        const char *at = names[i];
        struct xenbus_device *d = NULL;
        uint64_t id;

        if (parse_id(&at, UINT32_MAX, &id) && id >= b->driver->first)
            d = find_or_add(b, other, (uint32_t)id);
        if (d)
            d->dirty = d->seen = true;
    }
    free(names);
    return ok;
}

static bool scan_folder_of(struct xenbus *b, domid_t domain)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%u", b->root, domain);
    return scan_folder(b, path, domain);
}

/* Those of one domain alone: others need not be asked for when it comes or goes. */
static void scan_domain(struct xenbus *b, domid_t domain)
{
    for (struct xenbus_device *d = b->devices; d; d = d->next)
        d->seen = d->other != domain;
    b->scan |= !scan_folder_of(b, domain);
    for (struct xenbus_device *d = b->devices; d; d = d->next)
        d->dirty |= !d->seen;
}

static bool scan_domains(struct xenbus *b)
{
    unsigned int nr = 0;
    char **names = xs_directory(b->xs, XBT_NULL, b->root, &nr);
    bool ok = names || errno == ENOENT;

    for (unsigned int i = 0; names && ok && i < nr; i++) {
        const char *at = names[i];
        uint64_t domain;

        if (parse_id(&at, DOMID_FIRST_RESERVED - 1, &domain))
            ok = scan_folder_of(b, (domid_t)domain);
    }
    free(names);
    return ok;
}

static void scan(struct xenbus *b)
{
    for (struct xenbus_device *d = b->devices; d; d = d->next)
        d->seen = false;
    b->scan = b->driver->backend ? !scan_domains(b) : !scan_folder(b, b->root, 0);
    if (b->scan)
        xenbus_look_at(b, RETRY_NS);
    for (struct xenbus_device *d = b->devices; d; d = d->next)
        d->dirty |= !d->seen; /* it is no more */
}

/* A node of the class's folder was written, or all below it may have been. */
static void class_event(struct xenbus *b, const char *path)
{
    const char *at = strstr(path, b->root); /* behind our home, if that is said, too */
    struct xenbus_device *d;
    uint64_t other = 0, id;

    if (at == NULL)
        return;
    at += strlen(b->root);
    at += *at == '/';
    if (b->driver->backend && !parse_id(&at, DOMID_FIRST_RESERVED - 1, &other)) {
        b->scan = true;
        return;
    }
    if (!parse_id(&at, UINT32_MAX, &id)) {
        if (b->driver->backend && *at == '\0')
            scan_domain(b, (domid_t)other);
        else
            b->scan = true;
        return;
    }
    if (id < b->driver->first)
        return;
    d = find_or_add(b, (domid_t)other, (uint32_t)id);
    if (d) {
        d->dirty = true;
        d->touched |= *at && strcmp(at, "state") != 0;
    }
}

static bool open_store(struct xenbus *b);
static void close_store(struct xenbus *b);

static void device_event(struct xenbus *b, uint32_t serial)
{
    for (struct xenbus_device *d = b->devices; d; d = d->next)
        if (d->serial == serial)
            d->dirty = d->said = true;
}

/* What has happened, as marks. 0: that was all; EAGAIN: there may be more; else the store is gone. */
static int take_events(struct xenbus *b)
{
    for (int i = 0; i < AT_ONCE; i++) {
        char **event = xs_check_watch(b->xs);
        const char *token;

        if (event == NULL)
            return errno == EAGAIN ? 0 : errno;
        token = event[XS_WATCH_TOKEN];
        if (token[0] == 'd')
            device_event(b, (uint32_t)strtoul(token + 1, NULL, 10));
        else
            class_event(b, event[XS_WATCH_PATH]);
        free(event);
    }
    return EAGAIN;
}

/* Those that were there, then those that are new: what one that has gone had, a disk, an address, a new one may want. */
static void look_at_those(struct xenbus *b, bool were_there)
{
    for (struct xenbus_device *d = b->devices, *next; d; d = next) {
        next = d->next;
        if (d->dirty && d->probed == were_there) {
            d->dirty = false;
            xenbus_look(d);
        }
    }
}

/*
 * First all that has happened, then the store is asked how things are: while it answers more is heard of, and a guest
 * that writes without end would have more of our memory each time if less were taken than comes meanwhile.
 */
static void work(void *arg)
{
    struct xenbus *b = arg;
    int rc;

    if (b->xs == NULL && !open_store(b)) {
        xenbus_look_at(b, RETRY_NS);
        return;
    }
    rc = take_events(b);
    if (rc == EAGAIN) {
        xenbus_look_at(b, 0); /* others have their turn */
        return;
    }
    if (rc) {
        plat_log(PLAT_WARNING, "%s: the store is gone: %s", b->root, strerror(rc));
        close_store(b);
        xenbus_look_at(b, RETRY_NS);
        return;
    }
    if (b->scan)
        scan(b);
    look_at_those(b, true);
    look_at_those(b, false);
}

/* ---- the store ---- */

static void close_store(struct xenbus *b)
{
    if (b->xs == NULL)
        return;
    xenstore_watch(b->loop, b->xs, NULL, NULL);
    xs_close(b->xs);
    b->xs = NULL;
}

static bool open_store(struct xenbus *b)
{
    bool ok;

    b->xs = xs_open(0);
    ok = b->xs && xs_watch(b->xs, b->root, "c");
    for (struct xenbus_device *d = b->devices; d && ok; d = d->next) {
        ok = d->other_path[0] == '\0' || xenbus_watch_other(d);
        d->dirty = true;
    }
    b->scan = true;
    if (ok && xenstore_watch(b->loop, b->xs, work, b) == 0)
        return true;
    if (b->xs)
        xs_close(b->xs);
    b->xs = NULL;
    return false;
}

struct xenbus *xenbus_open(struct plat_loop *l, const struct xenbus_driver *driver, void *arg)
{
    struct xenbus *b = calloc(1, sizeof(*b));
    int error;

    if (b == NULL)
        return NULL;
    *b = (struct xenbus){ .loop = l, .driver = driver, .arg = arg };
    b->work = (struct plat_timer){ .fn = work, .arg = b };
    snprintf(b->root, sizeof(b->root), "%s/%s", driver->backend ? "backend" : "device",
             driver->type);
    if (open_store(b)) {
        xenbus_look_at(b, 0);
        return b;
    }
    error = errno;
    free(b);
    errno = error;
    return NULL;
}

void xenbus_close(struct xenbus *b)
{
    while (b->devices) {
        xenbus_end(b->devices);
        xenbus_forget(b->devices);
    }
    plat_timer_cancel(&b->work);
    close_store(b);
    free(b);
}

void *xenbus_arg(const struct xenbus *b) { return b->arg; }

struct xenbus_device *xenbus_nth(struct xenbus *b, unsigned int n)
{
    struct xenbus_device *d = b->devices;

    while (d && n--)
        d = d->next;
    return d;
}
