/* Devices that are made. See devices.h. */
#include "devices.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "../config.h"
#include "device_internal.h"
#include "nodes.h"
#include "toolstack.h"
#include "vdev.h"

/* One that is to be. */
struct device {
    struct device_at at;
    domid_t id, backend;
    const struct config_disk *disk; /* NULL: it is an interface, */
    const struct config_vif *vif;
    struct device_host host;
};

struct plan {
    struct device *device;
    size_t nr;
};

/* ---- addresses ---- */

void devices_make_mac(struct config_vif *v)
{
    uint8_t chance[16];

    if (v->has_mac)
        return;
    guest_make_uuid(chance);
    v->mac[0] = 0x00; /* Xen's range */
    v->mac[1] = 0x16;
    v->mac[2] = 0x3e;
    v->mac[3] = chance[0] & 0x7f;
    v->mac[4] = chance[1];
    v->mac[5] = chance[2];
    v->has_mac = true;
}

void devices_make_macs(struct domain_config *c)
{
    for (unsigned int i = 0; i < c->nr_vifs; i++)
        devices_make_mac(&c->vif[i]);
}

bool devices_read_mac(struct toolstack *t, const char *end, uint8_t mac[6])
{
    char *text = devices_read(t, end, "mac");
    bool is = text && config_parse_mac(text, mac);

    free(text);
    return is;
}

void devices_keep_macs(struct toolstack *t, domid_t id, struct domain_config *c)
{
    char home[DEVICE_PATH];

    for (unsigned int i = 0; i < c->nr_vifs; i++) {
        struct config_vif *v = &c->vif[i];
        const struct device_at at = { .kind = "vif", .devid = v->devid };

        device_libxl_path(id, &at, home);
        if (!v->has_mac && devices_read_mac(t, home, v->mac))
            v->has_mac = true;
    }
    devices_make_macs(c);
}

/* ---- what is asked for ---- */

int devices_check_disk(struct toolstack *t, const struct config_disk *d)
{
    static const char *const formats[] = { "raw", "qcow", "qcow2", "vhd", "qed" };
    uint32_t number;

    if (!vdev_number(d->vdev, &number))
        return toolstack_fail(t, EINVAL, "disk %s: there is no such device", d->vdev);
    if (d->format != CONFIG_RAW)
        return toolstack_fail(t, ENOTSUP, "disk %s: format %s is not served yet", d->vdev,
                              formats[d->format]);
    if (d->target[0] == '\0')
        return toolstack_fail(t, ENOTSUP, "disk %s: a drive without a disk is not served", d->vdev);
    return 0;
}

int devices_check_vif(struct toolstack *t, const struct config_vif *v)
{
    if (v->gateway[0])
        return toolstack_fail(t, ENOTSUP, "vif %u: gatewaydev is not served", v->devid);
    return 0;
}

/* A device has several names: "xvda", "d0", "51712". */
static int check_once(struct toolstack *t, const struct domain_config *c, unsigned int nr)
{
    uint32_t number, other;

    for (unsigned int i = 0; i < nr; i++)
        if (vdev_number(c->disk[nr].vdev, &number) && vdev_number(c->disk[i].vdev, &other) &&
            number == other)
            return toolstack_fail(t, EINVAL, "disk %s: that is the same device as %s",
                                  c->disk[nr].vdev, c->disk[i].vdev);
    return 0;
}

int devices_check(struct toolstack *t, const struct domain_config *c)
{
    if ((c->nr_disks || c->nr_vifs) && t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "disk, vif: there is no store");
    for (unsigned int i = 0; i < c->nr_disks; i++)
        if (devices_check_disk(t, &c->disk[i]) || check_once(t, c, i))
            return -1;
    for (unsigned int i = 0; i < c->nr_vifs; i++)
        if (devices_check_vif(t, &c->vif[i]))
            return -1;
    return 0;
}

/* ---- plans ---- */

static int find_backend(struct toolstack *t, const char *name, domid_t *id)
{
    *id = t->self;
    return *name && guest_find(t, name, id) ? -1 : 0;
}

/* @backend  the class at that end: "vbd", for example */
static void find_paths(struct device *d, const char *kind, const char *backend)
{
    struct device_at *at = &d->at;

    snprintf(at->kind, sizeof(at->kind), "%s", kind);
    snprintf(at->frontend, sizeof(at->frontend), "/local/domain/%u/device/%s/%u", d->id, kind,
             at->devid);
    snprintf(at->backend, sizeof(at->backend), "/local/domain/%u/backend/%s/%u/%u", d->backend,
             backend, d->id, at->devid);
}

static bool is_qdisk(const struct config_disk *d)
{
    return d->backend_type == CONFIG_BACKEND_QDISK;
}

static int plan_disk(struct toolstack *t, domid_t id, const struct config_disk *disk,
                     struct device *d)
{
    *d = (struct device){ .id = id, .disk = disk, .host = { .script = "" } };
    if (!vdev_number(disk->vdev, &d->at.devid))
        return toolstack_fail(t, EINVAL, "disk %s: there is no such device", disk->vdev);
    if (find_backend(t, disk->backend, &d->backend))
        return -1;
    find_paths(d, "vbd", is_qdisk(disk) ? "qdisk" : "vbd");
    return d->backend == t->self ? device_host_disk(t, disk, &d->host) : 0;
}

static int plan_vif(struct toolstack *t, domid_t id, const struct config_vif *vif, struct device *d)
{
    *d = (struct device){ .id = id, .vif = vif, .at.devid = vif->devid, .host = { .script = "" } };
    if (find_backend(t, vif->backend, &d->backend))
        return -1;
    find_paths(d, "vif", "vif");
    return d->backend == t->self ? device_host_vif(t, vif, &d->host) : 0;
}

static void end_hosts(struct plan *p)
{
    int error = errno;

    for (size_t i = 0; i < p->nr; i++)
        device_host_end(p->device[i].host.node);
    p->nr = 0;
    errno = error;
}

/* On failure there is none. */
static int plan_all(struct toolstack *t, domid_t id, const struct domain_config *c, struct plan *p)
{
    int rc = 0;

    p->nr = 0;
    for (unsigned int i = 0; rc == 0 && i < c->nr_disks; i++, p->nr += rc == 0)
        rc = plan_disk(t, id, &c->disk[i], &p->device[p->nr]);
    for (unsigned int i = 0; rc == 0 && i < c->nr_vifs; i++, p->nr += rc == 0)
        rc = plan_vif(t, id, &c->vif[i], &p->device[p->nr]);
    if (rc)
        end_hosts(p);
    return rc;
}

/* ---- nodes ---- */

/* A directory of that owner, which another one reads; made anew. */
static void make_home(struct device_writer *w, const char *home, domid_t owner, domid_t reader)
{
    struct xs_permissions perms[] = { { owner, XS_PERM_NONE }, { reader, XS_PERM_READ } };

    device_rm(w, home);
    if (w->error == 0 &&
        (!xs_mkdir(w->t->store, w->tx, home) ||
         !xs_set_permissions(w->t->store, w->tx, home, perms, owner == reader ? 1 : 2)))
        w->error = errno ? errno : EIO;
}

static void put_frontend(struct device_writer *w, const struct device *d)
{
    const char *home = d->at.frontend;

    make_home(w, home, d->id, d->backend);
    device_put(w, home, "backend", "%s", d->at.backend);
    device_put(w, home, "backend-id", "%u", d->backend);
    device_put(w, home, "state", "%d", XenbusStateInitialising);
    if (d->disk) {
        device_put(w, home, "virtual-device", "%u", d->at.devid);
        device_put(w, home, "device-type", d->disk->cdrom ? "cdrom" : "disk");
        device_put(w, home, "trusted", "%d", d->disk->trusted);
        return;
    }
    device_put(w, home, "handle", "%u", d->at.devid);
    device_put(w, home, "mac", "%02x:%02x:%02x:%02x:%02x:%02x", d->vif->mac[0], d->vif->mac[1],
               d->vif->mac[2], d->vif->mac[3], d->vif->mac[4], d->vif->mac[5]);
    device_put(w, home, "trusted", "%d", d->vif->trusted);
    if (d->vif->mtu)
        device_put(w, home, "mtu", "%u", d->vif->mtu);
}

static void put_if(struct device_writer *w, const char *home, const char *leaf, const char *value)
{
    if (*value)
        device_put(w, home, leaf, "%s", value);
}

static void put_disk(struct device_writer *w, const char *home, const struct device *d)
{
    const struct config_disk *disk = d->disk;

    device_put(w, home, "params", "%s%s", is_qdisk(disk) ? DEVICES_QDISK_RAW : "", disk->target);
    device_put(w, home, "removable", "%d", disk->cdrom);
    device_put(w, home, "bootable", "1");
    device_put(w, home, "dev", "%s", disk->vdev);
    device_put(w, home, "type", is_qdisk(disk) ? "qdisk" : "phy");
    device_put(w, home, "mode", disk->read_only ? "r" : "w");
    device_put(w, home, "device-type", disk->cdrom ? "cdrom" : "disk");
    device_put(w, home, "discard-enable", "%d", disk->discard && !disk->read_only);
    device_put(w, home, "specification", "xen");
    if (disk->direct_io_safe)
        device_put(w, home, "direct-io-safe", "1");
    put_if(w, home, "node", d->host.node);
    put_if(w, home, "physical-device", d->host.physical);
    put_if(w, home, "physical-device-path", d->host.path);
    if (d->host.physical[0])
        device_put(w, home, "hotplug-status", "connected");
}

static void put_vif(struct device_writer *w, const char *home, const struct device *d)
{
    const struct config_vif *v = d->vif;

    device_put(w, home, "mac", "%02x:%02x:%02x:%02x:%02x:%02x", v->mac[0], v->mac[1], v->mac[2],
               v->mac[3], v->mac[4], v->mac[5]);
    put_if(w, home, "ip", v->ip);
    if (v->rate_bytes)
        device_put(w, home, "rate", "%llu,%u", (unsigned long long)config_rate_per_interval(v),
                   v->rate_interval_us);
    put_if(w, home, "vifname", v->vifname);
    if (v->mtu)
        device_put(w, home, "mtu", "%u", v->mtu);
    device_put(w, home, "bridge", "%s", v->bridge[0] ? v->bridge : DEVICES_BRIDGE);
    device_put(w, home, "handle", "%u", d->at.devid);
    device_put(w, home, "type", "vif");
    device_put(w, home, "hotplug-status", "%s", "");
}

static void put_backend(struct device_writer *w, const char *home, const struct device *d)
{
    device_put(w, home, "frontend", "%s", d->at.frontend);
    device_put(w, home, "frontend-id", "%u", d->id);
    device_put(w, home, "online", "1");
    put_if(w, home, "script", d->host.script);
    if (d->disk)
        put_disk(w, home, d);
    else
        put_vif(w, home, d);
    device_put(w, home, "state", "%d", XenbusStateInitialising);
}

/* Of a domain that has been destroyed meanwhile nothing comes up again: nobody would remove it. */
static void want_domain(struct device_writer *w, domid_t id)
{
    char path[DEVICE_PATH], *value;

    snprintf(path, sizeof(path), "/local/domain/%u", id);
    value = xs_read(w->t->store, w->tx, path, NULL);
    if (value == NULL)
        w->error = errno == ENOENT ? ESRCH : errno;
    free(value);
}

/* Also once more for the toolstacks, which do not trust the backend. */
static void put_all(struct device_writer *w, const void *arg)
{
    const struct plan *p = arg;

    if (p->nr)
        want_domain(w, p->device[0].id);

    for (size_t i = 0; i < p->nr && w->error == 0; i++) {
        const struct device *d = &p->device[i];
        char home[DEVICE_PATH];

        put_frontend(w, d);
        make_home(w, d->at.backend, d->backend, d->id);
        put_backend(w, d->at.backend, d);
        device_libxl_path(d->id, &d->at, home);
        make_home(w, home, w->t->self, w->t->self);
        put_backend(w, home, d);
        device_put(w, home, "backend", "%s", d->at.backend);
    }
}

/* ---- until the backends serve them ---- */

static int fail(struct toolstack *t, const struct device *d, int error, const char *why)
{
    char text[120], which[64];

    device_print(&d->at, which, sizeof(which));
    snprintf(text, sizeof(text), "%s", why);
    for (char *c = text; *c; c++) /* the backend may have said it */
        if (*c < ' ' || *c > '~')
            *c = '?';
    return toolstack_fail(t, error, "domain %u: %s: %s", d->id, which, text);
}

/* Linux's drivers say there what has ended them. */
static int fail_closed(struct toolstack *t, const struct device *d)
{
    char home[2 * DEVICE_PATH], *why;
    size_t up = strlen("/local/domain/");
    int rc;

    up += strspn(d->at.backend + up, "0123456789");
    snprintf(home, sizeof(home), "%.*s/error%s", (int)up, d->at.backend, d->at.backend + up);
    why = devices_read(t, home, "error");
    rc = fail(t, d, EIO, why && *why ? why : "its backend has closed it");
    free(why);
    return rc;
}

/* 1: it has begun; 0: not yet; -1. */
static int has_begun(struct toolstack *t, const struct device *d)
{
    int64_t state = devices_read_number(t, d->at.backend, "state");
    char *why;
    int rc = 0;

    if (state < 0)
        return fail(t, d, errno == ENOENT ? ENODEV : errno, "its backend's nodes have gone");
    if (state >= XenbusStateInitWait && state <= XenbusStateConnected)
        return 1;
    why = devices_read(t, d->at.backend, "hotplug-error");
    if (why && *why)
        rc = fail(t, d, EIO, why);
    free(why);
    return rc == 0 && state > XenbusStateConnected ? fail_closed(t, d) : rc;
}

static int wait_for_backend(struct toolstack *t, const struct device *d, uint64_t deadline_ns)
{
    uint64_t ns = DEVICES_LOOK_NS;
    char none[64];

    for (;;) {
        int rc = has_begun(t, d);

        if (rc)
            return rc < 0 ? -1 : 0;
        if (plat_now() >= deadline_ns) {
            snprintf(none, sizeof(none), "nobody in domain %u serves it", d->backend);
            return fail(t, d, ETIMEDOUT, none);
        }
        if (toolstack_go_on(t))
            return -1;
        device_pause(&ns);
    }
}

static void say_connected(struct device_writer *w, const void *arg)
{
    device_put(w, arg, "hotplug-status", "connected");
}

static int connect(struct toolstack *t, const struct device *d)
{
    int rc = d->vif && d->backend == t->self ? device_host_connect(t, d->id, d->vif) : 0;

    if (rc > 0 && device_transaction(t, say_connected, d->at.backend))
        return fail(t, d, errno, strerror(errno));
    return rc < 0 ? -1 : 0;
}

/* ---- all together ---- */

/* Not two that write to one disk, nor one that reads what another one writes. */
static int check_sharing(struct toolstack *t, const struct device *d)
{
    int64_t other;

    if (d->disk == NULL)
        return 0;
    other =
        device_shared(t, d->id, d->backend, d->disk->target, d->host.physical, d->disk->read_only);
    if (other < 0)
        return 0;
    return toolstack_fail(t, EBUSY, "disk %s: %s is in use by domain %u", d->disk->vdev,
                          d->disk->target, (domid_t)other);
}

static int check_all(struct toolstack *t, const struct plan *p)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->nr; i++)
        rc = check_sharing(t, &p->device[i]);
    return rc;
}

static int begin(struct toolstack *t, struct plan *p)
{
    uint64_t deadline_ns;
    int rc = check_all(t, p);

    if (rc == 0 && device_transaction(t, put_all, p))
        rc = toolstack_fail(t, errno, "its devices in the store: %s", strerror(errno));
    if (rc) {
        end_hosts(p);
        return -1;
    }
    rc = check_all(t, p); /* of two that are made at once, one or both see the other */
    deadline_ns = plat_now() + DEVICES_WAIT_S * 1000000000ull;
    for (size_t i = 0; rc == 0 && i < p->nr; i++)
        rc = wait_for_backend(t, &p->device[i], deadline_ns);
    for (size_t i = 0; rc == 0 && i < p->nr; i++)
        rc = connect(t, &p->device[i]);
    for (size_t i = 0; rc && i < p->nr; i++)
        device_take_back(t, p->device[i].id, &p->device[i].at);
    return rc;
}

int devices_create(struct toolstack *t, domid_t id, const struct domain_config *c)
{
    struct plan p;
    int rc, error;

    if (c->nr_disks + c->nr_vifs == 0)
        return 0;
    p.device = calloc(c->nr_disks + c->nr_vifs, sizeof(*p.device));
    if (p.device == NULL)
        return toolstack_fail(t, ENOMEM, "its devices: no memory");
    rc = plan_all(t, id, c, &p);
    rc = rc ? rc : begin(t, &p);
    error = errno;
    free(p.device);
    errno = error;
    return rc;
}

int device_make(struct toolstack *t, domid_t id, const struct config_disk *disk,
                const struct config_vif *vif, struct device_at *at)
{
    struct device *d = malloc(sizeof(*d));
    struct plan p = { .device = d, .nr = 1 };
    int rc, error;

    if (d == NULL)
        return toolstack_fail(t, ENOMEM, "a device: no memory");
    rc = disk ? plan_disk(t, id, disk, d) : plan_vif(t, id, vif, d);
    rc = rc ? rc : begin(t, &p);
    error = errno;
    *at = d->at;
    free(d);
    errno = error;
    return rc;
}
