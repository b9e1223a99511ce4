/* Devices of the block backend: what they offer, and how they are connected. */
#include "blkback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/io/protocols.h>

#include "blkback_internal.h"

_Static_assert((int)ORDER_MAX <= (int)RING_ORDER_MAX, "pages of a ring");

/* ---- a device ---- */

/* What the guest is to know of the disk. */
static void put_disk(struct xenbus_nodes *n, const struct disk *d)
{
    xenbus_put(n, "sectors", "%llu", (unsigned long long)d->nr_sectors);
    xenbus_put(n, "sector-size", "%u", d->sector_bytes);
    xenbus_put(n, "physical-sector-size", "%u", d->sector_bytes);
    xenbus_put(n, "info", "%u", d->read_only ? VDISK_READONLY : 0u);
    xenbus_put(n, "feature-flush-cache", "%d", d->flush);
    xenbus_put(n, "feature-discard", "%d", d->discard);
    if (d->discard) {
        xenbus_put(n, "discard-granularity", "%u",
                   d->discard_bytes ? d->discard_bytes : d->sector_bytes);
        xenbus_put(n, "discard-alignment", "0");
        xenbus_put(n, "discard-secure", "0");
    }
}

/*
 * Whether libxl has a script run, which it has for files and devices: the script begins when we are in InitWait, gives
 * up if we are not when its turn has come, and says at its end in hotplug-status that the disk may be used.
 */
static bool has_script(struct xenbus_device *bus)
{
    char script[DISK_NAME];

    return xenbus_text(bus, XENBUS_OURS, "script", script, sizeof(script)) != -ENOENT;
}

static bool script_runs(struct xenbus_device *bus)
{
    char status[16];

    return has_script(bus) &&
           (xenbus_text(bus, XENBUS_OURS, "hotplug-status", status, sizeof(status)) ||
            strcmp(status, "connected") != 0);
}

static void put_features(struct xenbus_nodes *n, bool script)
{
    xenbus_put(n, "feature-barrier", "0");
    xenbus_put(n, "feature-persistent", "0");
    xenbus_put(n, "feature-max-indirect-segments", "%d", BLK_SEGMENTS);
    xenbus_put(n, "max-ring-page-order", "%d", ORDER_MAX);
    xenbus_put(n, "max-ring-pages", "%d", 1 << ORDER_MAX);
    xenbus_put(n, "multi-queue-max-queues", "%d", QUEUES_MAX);
    if (!script)
        xenbus_put(n, "hotplug-status", "connected");
}

/* The disk has another size: a guest that uses it looks again when we say that we are connected. */
static void disk_changed(void *arg)
{
    struct device *d = arg;
    struct xenbus_nodes n = { .nr = 0 };

    put_disk(&n, d->disk);
    if (d->bus->connected)
        xenbus_tell(d->bus, &n);
    else
        xenbus_publish(d->bus, &n);
}

/* As the toolstack says. QEMU's class has a format before the name, "aio" is raw: -ENOTSUP it is another one. */
static int read_params(struct xenbus_device *bus, char name[DISK_NAME])
{
    static const char raw[] = "aio:";
    size_t prefix = strcmp(bus->driver->type, "qdisk") == 0 ? strlen(raw) : 0;
    char params[DISK_NAME + sizeof(raw)];
    int rc = xenbus_text(bus, XENBUS_OURS, "params", params, sizeof(params));

    if (rc)
        return rc;
    if (strncmp(params, raw, prefix) != 0) {
        xenbus_error(bus, "%s: its format is not served", params);
        return -ENOTSUP;
    }
    return snprintf(name, DISK_NAME, "%s", params + prefix) < DISK_NAME ? 0 : -EINVAL;
}

/* Which disk it is: as it was found once, or else by that. */
static int read_name(struct xenbus_device *bus, char name[DISK_NAME])
{
    int rc = xenbus_text(bus, XENBUS_OURS, "disk-name", name, DISK_NAME);

    return rc == -ENOENT ? read_params(bus, name) : rc;
}

/* As it is found now, if that is another name. */
static void put_name(struct xenbus_device *bus, struct xenbus_nodes *n, const struct disk *d)
{
    char name[DISK_NAME], params[DISK_NAME];

    disks_name(d, name);
    if (name[0] && read_params(bus, params) == 0 && strcmp(name, params) != 0)
        xenbus_put(n, "disk-name", "%s", name);
}

static struct disk *open_disk(struct xenbus_device *bus)
{
    struct blkback *b = xenbus_arg(bus->bus);
    char name[DISK_NAME], mode[4];
    struct disk *d;
    int rc = read_name(bus, name);

    if (rc == 0)
        rc = xenbus_text(bus, XENBUS_OURS, "mode", mode, sizeof(mode));
    if (rc == -EIO) { /* the store is away */
        errno = EAGAIN;
        return NULL;
    }
    if (rc) {
        if (rc != -ENOTSUP)
            xenbus_error(bus, "its folder says no disk");
        errno = EINVAL;
        return NULL;
    }
    d = disks_open(b->disks, name, mode[0] != 'w');
    if (d == NULL && errno != EAGAIN) {
        int error = errno;

        xenbus_error(bus, "%s: %s", name, strerror(error));
        errno = error;
    }
    return d;
}

static void look_last(void *device);

static int probe(struct xenbus_device *bus)
{
    struct device *d = calloc(1, sizeof(*d));
    struct xenbus_nodes n = { .nr = 0 };
    int rc;

    if (d == NULL) {
        xenbus_error(bus, "no memory");
        return -ENOMEM;
    }
    d->bus = bus;
    d->backend = xenbus_arg(bus->bus);
    d->last_look = (struct plat_timer){ .fn = look_last, .arg = d };
    d->disk = open_disk(bus);
    if (d->disk == NULL) {
        rc = -errno;
        free(d);
        return rc;
    }
    put_disk(&n, d->disk);
    put_features(&n, has_script(bus));
    put_name(bus, &n, d->disk);
    rc = xenbus_publish(bus, &n);
    if (rc) {
        rc = -EAGAIN; /* the store is away, or full */
        d->disk->ops->close(d->disk);
        free(d);
        return rc;
    }
    d->disk->changed = disk_changed;
    d->disk->arg = d;
    bus->data = d;
    return 0;
}

static void removed(struct xenbus_device *bus)
{
    struct device *d = bus->data;

    plat_timer_cancel(&d->last_look);
    d->disk->ops->close(d->disk);
    free(d);
}

/* ---- its queues ---- */

static void queue_close(struct queue *q)
{
    queue_forget(q);
    plat_timer_cancel(&q->late);
    port_unbind(&q->port);
    ring_back_free(&q->ring);
    if (q->pages)
        xengnttab_unmap(q->device->backend->copies.grants, q->pages, q->nr_pages);
    free(q->ios);
    *q = (struct queue){ .pages = NULL };
}

static int map_ring(struct queue *q, const char *folder, unsigned int order)
{
    struct xenbus_device *bus = q->device->bus;
    uint32_t refs[1 << ORDER_MAX];

    q->nr_pages = 1u << order;
    for (unsigned int i = 0; i < q->nr_pages; i++) {
        char node[64];
        uint64_t ref;

        if (order)
            snprintf(node, sizeof(node), "%sring-ref%u", folder, i);
        else
            snprintf(node, sizeof(node), "%sring-ref", folder);
        if (xenbus_number(bus, XENBUS_THEIRS, node, 0, UINT32_MAX, &ref)) {
            xenbus_error(bus, "no %s", node);
            return -EINVAL;
        }
        refs[i] = (uint32_t)ref;
    }
    q->pages = xengnttab_map_domain_grant_refs(q->device->backend->copies.grants, q->nr_pages,
                                               bus->other, refs, PROT_READ | PROT_WRITE);
    if (q->pages)
        return 0;
    xenbus_error(bus, "its ring cannot be mapped: %s", strerror(errno));
    return -EFAULT;
}

static int queue_open(struct queue *q, const char *folder, unsigned int order)
{
    struct xenbus_device *bus = q->device->bus;
    char node[64];
    uint64_t port;
    int rc = map_ring(q, folder, order);

    if (rc)
        return rc;
    rc = ring_back_init(&q->ring, q->pages, q->nr_pages, sizeof(struct blkif_request),
                        sizeof(struct blkif_response));
    if (rc == 0) {
        q->ios = calloc(q->ring.ring.nr_entries, sizeof(*q->ios));
        rc = q->ios ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; rc == 0 && i < q->ring.ring.nr_entries; i++)
        q->ios[i].queue = q;
    q->done_end = &q->done;
    q->port.fn = queue_event;
    q->port.arg = q;
    q->late = (struct plat_timer){ .fn = queue_late, .arg = q };
    snprintf(node, sizeof(node), "%sevent-channel", folder);
    if (rc == 0)
        rc = xenbus_number(bus, XENBUS_THEIRS, node, 1, UINT32_MAX, &port);
    if (rc == 0)
        rc = port_bind(q->device->backend->ports, &q->port, bus->other, (uint32_t)port);
    if (rc)
        xenbus_error(bus, "its ring cannot be used: %s", strerror(-rc));
    return rc;
}

static void queues_close(struct device *d)
{
    for (unsigned int i = 0; i < d->nr_queues; i++)
        queue_close(&d->queues[i]);
    d->nr_queues = 0;
}

/* What the guest has chosen. 0; -EINVAL: it cannot be so. */
static int read_choice(struct device *d, unsigned int *nr_queues, unsigned int *order)
{
    struct xenbus_device *bus = d->bus;
    char protocol[32];
    uint64_t queues, pages_order;
    int rc = xenbus_text(bus, XENBUS_THEIRS, "protocol", protocol, sizeof(protocol));

    if (rc == -EINVAL || (rc == 0 && strcmp(protocol, XEN_IO_PROTO_ABI_X86_64) != 0)) {
        xenbus_error(bus, "its protocol is not " XEN_IO_PROTO_ABI_X86_64);
        return -EINVAL;
    }
    if (d->disk->sector_bytes != DISK_SECTOR &&
        xenbus_feature(bus, XENBUS_THEIRS, "feature-large-sector-size")) {
        xenbus_error(bus, "it counts in sectors of the disk, which is not supported");
        return -EINVAL;
    }
    if (xenbus_number_or(bus, XENBUS_THEIRS, "multi-queue-num-queues", 1, QUEUES_MAX, 1, &queues) ||
        xenbus_number_or(bus, XENBUS_THEIRS, "ring-page-order", 0, ORDER_MAX, 0, &pages_order)) {
        xenbus_error(bus, "its rings are too many, or too large");
        return -EINVAL;
    }
    *nr_queues = (unsigned int)queues;
    *order = (unsigned int)pages_order;
    return 0;
}

static int connect_it(struct xenbus_device *bus)
{
    struct device *d = bus->data;
    struct xenbus_nodes n = { .nr = 0 };
    unsigned int nr, order;
    int rc = script_runs(bus) ? -EAGAIN : read_choice(d, &nr, &order);

    for (unsigned int i = 0; rc == 0 && i < nr; i++) {
        char folder[24] = "";

        if (nr > 1)
            snprintf(folder, sizeof(folder), "queue-%u/", i);
        d->queues[i].device = d;
        d->nr_queues++;
        rc = queue_open(&d->queues[i], folder, order);
    }
    put_disk(&n, d->disk);
    if (rc == 0)
        rc = xenbus_publish(bus, &n);
    if (rc) {
        queues_close(d);
        return rc;
    }
    xenbus_log(bus, PLAT_INFO, "connected, %u queue%s of %u page%s%s", nr, nr > 1 ? "s" : "",
               1u << order, order ? "s" : "", bus->resumed ? ", from where they were" : "");
    for (unsigned int i = 0; i < nr; i++) {
        queue_wake(&d->queues[i]); /* there may have been events before the port was bound, */
        if (bus->resumed)          /* and answers without one */
            port_notify(&d->queues[i].port);
    }
    return 0;
}

void device_check_end(struct device *d)
{
    if (!d->leaving || d->lingers)
        return;
    for (unsigned int i = 0; i < d->nr_queues; i++)
        if (d->queues[i].nr_running || d->queues[i].nr_last)
            return;
    d->leaving = false;
    queues_close(d);
    xenbus_disconnected(d->bus);
}

/* What is in the rings now is still done. */
static void look_at_rings(struct device *d)
{
    for (unsigned int i = 0; i < d->nr_queues; i++)
        queue_leave(&d->queues[i]);
    device_check_end(d);
}

static void look_last(void *arg)
{
    struct device *d = arg;

    d->lingers = false;
    look_at_rings(d);
}

/*
 * Linux's blkfront stops its queues and says Closed, but waits for nobody who has passed them already and is about to put
 * a request into the ring: another vCPU, perhaps one that has just been interrupted for us. Such a one would wait for ever.
 * So what a guest that lives has in the ring is looked at again, when that has had its turn.
 */
static void disconnect(struct xenbus_device *bus)
{
    struct device *d = bus->data;

    d->leaving = true;
    d->lingers = bus->other_state == XenbusStateClosed;
    if (d->lingers)
        plat_timer_set(d->backend->loop, &d->last_look, plat_now() + LINGER_NS);
    look_at_rings(d);
}

/* ---- statistics, for who asks ---- */

static void changed(struct xenbus_device *bus)
{
    struct device *d = bus->data;
    const struct statistics *s = &d->statistics;
    struct xenbus_nodes n = { .nr = 0 };
    unsigned int running = 0;
    char asked[4];

    if (xenbus_text(bus, XENBUS_OURS, "statistics", asked, sizeof(asked)) ||
        strcmp(asked, "?") != 0)
        return;
    for (unsigned int i = 0; i < d->nr_queues; i++)
        running += d->queues[i].nr_running;
    xenbus_put(
        &n, "statistics",
        "reads=%llu read-sectors=%llu writes=%llu written-sectors=%llu flushes=%llu discards=%llu "
        "refused=%llu failed=%llu running=%u",
        (unsigned long long)s->done[DISK_READ], (unsigned long long)s->sectors[DISK_READ],
        (unsigned long long)s->done[DISK_WRITE], (unsigned long long)s->sectors[DISK_WRITE],
        (unsigned long long)s->done[DISK_FLUSH], (unsigned long long)s->done[DISK_DISCARD],
        (unsigned long long)s->refused, (unsigned long long)s->failed, running);
    xenbus_publish(bus, &n);
}

static const struct xenbus_driver driver = { .backend = true,
                                             .front_is_ready = XenbusStateInitialised,
                                             .probe = probe,
                                             .connect = connect_it,
                                             .disconnect = disconnect,
                                             .remove = removed,
                                             .changed = changed };

/* ---- the backend ---- */

struct blkback *blkback_start(struct plat_loop *l, struct disks *disks, const char *type)
{
    struct blkback *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return NULL;
    b->driver = driver;
    b->driver.type = type;
    b->loop = l;
    b->disks = disks;
    b->turns_end = &b->turns;
    b->wake = (struct plat_wake){ .fn = queues_run, .arg = b };
    plat_wake_add(l, &b->wake);
    b->copies.grants = data_ready(b) ? xengnttab_open(NULL, 0) : NULL;
    b->ports = b->copies.grants ? ports_open(l) : NULL;
    b->bus = b->ports ? xenbus_open(l, &b->driver, b) : NULL;
    if (b->bus)
        return b;
    plat_log(PLAT_ERROR, "no block backend: %s: %s",
             b->ports           ? "the store"
             : b->copies.grants ? "event channels"
                                : "grants",
             strerror(errno));
    blkback_stop(b);
    return NULL;
}

void blkback_stop(struct blkback *b)
{
    if (b->bus)
        xenbus_close(b->bus);
    ports_close(b->ports);
    if (b->copies.grants)
        xengnttab_close(b->copies.grants);
    plat_wake_remove(&b->wake);
    free(b->reserve);
    free(b);
}
