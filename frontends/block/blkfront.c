#include "blkfront.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/blkif.h>
#include <xen/io/protocols.h>

#include "../frontend.h"
#include "ports.h"
#include "ring.h"
#include "xenbus.h"

enum { PAGE = 4096, SECTOR = 512, SLOTS = 32, PAGES = BLKIF_MAX_SEGMENTS_PER_REQUEST };
_Static_assert(BLKFRONT_MAX_BYTES == PAGES * PAGE, "segments of a request");

/* A request that is running; its number is the id. */
struct slot {
    struct blkfront_request *request; /* NULL: free */
    uint8_t *pages;
    uint32_t refs[PAGES];
};

struct front {
    struct blkfront_disk disk;
    struct blkfront *all;
    struct xenbus_device *bus;
    struct port port;
    struct plat_wake more; /* there were more answers than are taken at once */
    struct ring_front ring;
    void *ring_page;
    uint32_t ring_ref;
    struct slot slots[SLOTS];
    bool usable, broken;
    struct blkfront_request *waiting, **waiting_end;
};

struct blkfront {
    struct plat_loop *loop;
    const struct blkfront_user *user;
    struct frontend common;
};

/* ---- requests ---- */

static int check(const struct front *f, const struct blkfront_request *r)
{
    const struct blkfront_disk *d = &f->disk;
    uint64_t unit = d->sector_bytes / SECTOR;

    if (!f->usable || f->broken)
        return EIO;
    if (r->op == BLKFRONT_FLUSH)
        return d->flush ? 0 : EOPNOTSUPP;
    if (r->op == BLKFRONT_DISCARD && !d->discard)
        return EOPNOTSUPP;
    if (r->nr_sectors == 0 || r->sector % unit || r->nr_sectors % unit ||
        r->nr_sectors > d->nr_sectors || r->sector > d->nr_sectors - r->nr_sectors ||
        (r->op <= BLKFRONT_WRITE && r->nr_sectors > BLKFRONT_MAX_BYTES / SECTOR))
        return EINVAL;
    return r->op != BLKFRONT_READ && d->read_only ? EROFS : 0;
}

static void put_data(struct slot *s, struct blkif_request *to)
{
    const struct blkfront_request *r = s->request;
    uint64_t left = r->nr_sectors;

    to->operation = r->op == BLKFRONT_READ ? BLKIF_OP_READ : BLKIF_OP_WRITE;
    if (r->op == BLKFRONT_WRITE)
        memcpy(s->pages, r->data, r->nr_sectors * SECTOR);
    for (int i = 0; left; i++) {
        uint64_t n = left < PAGE / SECTOR ? left : PAGE / SECTOR;

        to->seg[i] =
            (struct blkif_request_segment){ .gref = s->refs[i], .last_sect = (uint8_t)(n - 1) };
        to->nr_segments++;
        left -= n;
    }
}

static void put(struct front *f, unsigned int slot, struct blkfront_request *r)
{
    struct blkif_request to = { .id = slot,
                                .sector_number = r->sector,
                                .handle = (blkif_vdev_t)f->disk.id };

    f->slots[slot].request = r;
    if (r->op <= BLKFRONT_WRITE) {
        put_data(&f->slots[slot], &to);
    } else if (r->op == BLKFRONT_FLUSH) {
        to.operation = BLKIF_OP_FLUSH_DISKCACHE;
    } else {
        struct blkif_request_discard d = { .operation = BLKIF_OP_DISCARD,
                                           .id = slot,
                                           .sector_number = r->sector,
                                           .nr_sectors = r->nr_sectors };

        memcpy(&to, &d, sizeof(d));
    }
    ring_front_put(&f->ring, &to);
}

/* As many of those that wait as there is room for. */
static void begin(struct front *f)
{
    while (f->waiting && f->usable && !f->broken && ring_front_room(&f->ring)) {
        struct blkfront_request *r = f->waiting;
        unsigned int slot = 0;

        while (slot < SLOTS && f->slots[slot].request)
            slot++;
        if (slot == SLOTS)
            break;
        f->waiting = r->next;
        if (f->waiting == NULL)
            f->waiting_end = &f->waiting;
        put(f, slot, r);
    }
    if (ring_front_push(&f->ring))
        port_notify(&f->port);
}

void blkfront_submit(struct blkfront_disk *d, struct blkfront_request *r)
{
    struct front *f = (struct front *)d;
    int error = check(f, r);

    if (error) {
        r->done(r, error);
        return;
    }
    r->next = NULL;
    *f->waiting_end = r;
    f->waiting_end = &r->next;
    begin(f);
}

/* ---- answers ---- */

static void broken(struct front *f, const char *why)
{
    f->broken = true;
    xenbus_fail(f->bus, "%s", why);
}

static uint8_t operation_of(const struct blkfront_request *r)
{
    static const uint8_t operations[] = { BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_FLUSH_DISKCACHE,
                                          BLKIF_OP_DISCARD };

    return operations[r->op];
}

static void answered(struct front *f, const struct blkif_response *response)
{
    struct slot *s = response->id < SLOTS ? &f->slots[response->id] : NULL;
    struct blkfront_request *r = s ? s->request : NULL;
    int error = 0;

    if (r == NULL || response->operation != operation_of(r)) {
        broken(f, "an answer to what was not asked");
        return;
    }
    if (response->status != BLKIF_RSP_OKAY)
        error = response->status == BLKIF_RSP_EOPNOTSUPP ? EOPNOTSUPP : EIO;
    if (error == 0 && r->op == BLKFRONT_READ)
        memcpy(r->data, s->pages, r->nr_sectors * SECTOR);
    s->request = NULL;
    r->done(r, error);
}

/*
 * Who is told that his request is done may have the next one: with a backend that is fast enough that would have the
 * loop for ever, so all else has its turn after as many answers as there are slots.
 */
static void on_event(void *arg)
{
    struct front *f = arg;
    int n;

    if (f->ring_page == NULL || f->broken)
        return;
    n = ring_front_look(&f->ring);
    for (int i = 0; i < SLOTS && i < n && !f->broken; i++) {
        struct blkif_response response;

        ring_front_take(&f->ring, &response);
        answered(f, &response);
    }
    if (n >= 0 && !f->broken)
        n = ring_front_rest(&f->ring);
    if (n < 0 && !f->broken)
        broken(f, "the indices of its ring are impossible");
    if (f->broken)
        return;
    begin(f);
    if (n > 0)
        plat_wake(&f->more);
    else
        port_ready(&f->port);
}

/* ---- the connection ---- */

static void end_all(struct front *f, int error)
{
    struct blkfront_request *waiting = f->waiting;

    f->usable = false;
    f->waiting = NULL;
    f->waiting_end = &f->waiting;
    for (int i = 0; i < SLOTS; i++) {
        struct blkfront_request *r = f->slots[i].request;

        f->slots[i].request = NULL;
        if (r)
            r->done(r, error);
    }
    while (waiting) {
        struct blkfront_request *r = waiting;

        waiting = r->next;
        r->done(r, error);
    }
}

static void release(struct front *f)
{
    port_unbind(&f->port);
    frontend_unshare(&f->all->common, f->bus, f->ring_page, 1);
    f->ring_page = NULL;
    for (int i = 0; i < SLOTS; i++) {
        frontend_unshare(&f->all->common, f->bus, f->slots[i].pages, PAGES);
        f->slots[i].pages = NULL;
    }
}

static int share(struct front *f)
{
    bool ok;

    f->ring_page = frontend_share(&f->all->common, f->bus, 1, &f->ring_ref, true);
    ok = f->ring_page != NULL;
    for (int i = 0; ok && i < SLOTS; i++) {
        f->slots[i].pages = frontend_share(&f->all->common, f->bus, PAGES, f->slots[i].refs, true);
        ok = f->slots[i].pages != NULL;
    }
    return ok ? 0 : -errno;
}

static int connect_it(struct xenbus_device *bus)
{
    struct front *f = bus->data;
    struct xenbus_nodes n = { .nr = 0 };
    int rc = share(f);

    f->broken = false;
    if (rc == 0)
        rc = ring_front_init(&f->ring, f->ring_page, 1, sizeof(struct blkif_request),
                             sizeof(struct blkif_response));
    xenbus_put(&n, "ring-ref", "%u", f->ring_ref);
    xenbus_put(&n, "protocol", "%s", XEN_IO_PROTO_ABI_X86_64);
    if (rc == 0)
        rc = frontend_offer(&f->all->common, bus, &f->port, "event-channel", &n);
    if (rc) {
        xenbus_error(bus, "no ring: %s", strerror(-rc));
        release(f);
    }
    return rc;
}

/* What the backend says of the disk. */
static bool read_disk(struct front *f)
{
    struct blkfront_disk *d = &f->disk;
    uint64_t sectors, sector_bytes, info;

    if (xenbus_number(f->bus, XENBUS_THEIRS, "sectors", 1, UINT64_MAX / SECTOR, &sectors) ||
        xenbus_number(f->bus, XENBUS_THEIRS, "sector-size", 512, 4096, &sector_bytes) ||
        xenbus_number_or(f->bus, XENBUS_THEIRS, "info", 0, UINT32_MAX, 0, &info) ||
        (sector_bytes != 512 && sector_bytes != 4096))
        return false;
    d->nr_sectors = sectors;
    d->sector_bytes = (uint32_t)sector_bytes;
    d->read_only = info & VDISK_READONLY;
    d->flush = xenbus_feature(f->bus, XENBUS_THEIRS, "feature-flush-cache");
    d->discard = xenbus_feature(f->bus, XENBUS_THEIRS, "feature-discard");
    return true;
}

static void connected(struct xenbus_device *bus)
{
    struct front *f = bus->data;

    if (!read_disk(f)) {
        broken(f, "what the disk is makes no sense");
        return;
    }
    f->usable = true;
    f->all->user->ready(f->all->user->arg, &f->disk);
}

static void disconnect(struct xenbus_device *bus)
{
    struct front *f = bus->data;
    bool was = f->usable;

    end_all(f, EIO);
    release(f);
    if (was)
        f->all->user->gone(f->all->user->arg, &f->disk);
    xenbus_disconnected(bus);
}

static int probe(struct xenbus_device *bus)
{
    struct front *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -ENOMEM;
    f->all = xenbus_arg(bus->bus);
    f->bus = bus;
    f->disk.id = bus->id;
    f->port.fn = on_event;
    f->port.arg = f;
    f->more = (struct plat_wake){ .fn = on_event, .arg = f };
    plat_wake_add(f->all->loop, &f->more);
    f->waiting_end = &f->waiting;
    bus->data = f;
    return 0;
}

static void removed(struct xenbus_device *bus)
{
    struct front *f = bus->data;

    plat_wake_remove(&f->more);
    free(f);
}

static const struct xenbus_driver driver = { .type = "vbd",
                                             .front_is_ready = XenbusStateInitialised,
                                             .probe = probe,
                                             .connect = connect_it,
                                             .connected = connected,
                                             .disconnect = disconnect,
                                             .remove = removed };

void blkfront_stop(struct blkfront *all)
{
    frontend_close(&all->common);
    free(all);
}

struct blkfront *blkfront_start(struct plat_loop *l, const struct blkfront_user *user)
{
    struct blkfront *all = calloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->loop = l;
    all->user = user;
    if (frontend_open(&all->common, l, &driver, all) == 0)
        return all;
    free(all);
    return NULL;
}
