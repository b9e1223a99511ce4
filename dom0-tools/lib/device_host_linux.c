/*
 * device_host.h for Linux. Its block backend wants the number of a block device, which of a file a loop device has;
 * its network backend makes an interface vifDOMID.DEVID, which is a port of a bridge then. Where these drivers are not
 * there, the backends are programs of ours, which do it all.
 */
#include "device_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <platform.h>

#include "device_internal.h"
#include "toolstack.h"

#define SCRIPTS "/etc/xen/scripts/"
#define DRIVERS "/sys/bus/xen-backend/drivers/"

static bool is_kernels(const char *driver)
{
    char path[64];

    snprintf(path, sizeof(path), DRIVERS "%s", driver);
    return access(path, F_OK) == 0;
}

/* The one that we do the work of. */
static bool is_script(const char *script, const char *ours)
{
    size_t folder = strncmp(script, SCRIPTS, strlen(SCRIPTS)) == 0 ? strlen(SCRIPTS) : 0;

    return script[0] == '\0' || strcmp(script + folder, ours) == 0;
}

/* ---- disks ---- */

/* Another process may take the one that is free: then the next. Returns its number; -1: errno. */
static int configure_loop(int control, const struct loop_config *config)
{
    for (unsigned int tries = 0; tries < 16; tries++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE), rc, loop, error;
        char path[32];

        if (n < 0)
            return -1;
        snprintf(path, sizeof(path), "/dev/loop%d", n);
        loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop < 0)
            return -1;
        rc = ioctl(loop, LOOP_CONFIGURE, config);
        error = errno;
        close(loop);
        errno = error;
        if (rc == 0)
            return n;
        if (error != EBUSY)
            return -1;
    }
    errno = EBUSY;
    return -1;
}

static int make_loop(const struct config_disk *d, struct device_host *h)
{
    struct loop_config config = { .info = { .lo_flags =
                                                (d->read_only ? LO_FLAGS_READ_ONLY : 0) |
                                                (d->direct_io_safe ? LO_FLAGS_DIRECT_IO : 0) } };
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n = -1, error;

    if (control < 0)
        return -1;
    config.fd = (uint32_t)open(d->target, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%.63s", d->target);
    if ((int)config.fd >= 0)
        n = configure_loop(control, &config);
    error = errno;
    if ((int)config.fd >= 0)
        close((int)config.fd);
    close(control);
    if (n < 0) {
        errno = error;
        return -1;
    }
    snprintf(h->node, sizeof(h->node), "/dev/loop%d", n);
    snprintf(h->path, sizeof(h->path), "%s", h->node);
    return 0;
}

static int fail(struct toolstack *t, const struct config_disk *d, const char *why)
{
    return toolstack_fail(t, errno, "disk %s: %s: %s", d->vdev, d->target, why);
}

int device_host_disk(struct toolstack *t, const struct config_disk *d, struct device_host *h)
{
    struct stat st;

    *h = (struct device_host){ .script = SCRIPTS "block" };
    if (!is_script(d->script, "block"))
        return toolstack_fail(t, ENOTSUP, "disk %s: script %s is not served", d->vdev, d->script);
    if (d->backend_type == CONFIG_BACKEND_QDISK)
        h->script = ""; /* a program opens it, beside Linux's backend or without */
    else if (!is_kernels("vbd"))
        return 0;
    if (stat(d->target, &st))
        return fail(t, d, strerror(errno));
    if (d->backend_type == CONFIG_BACKEND_QDISK && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
        return 0;
    if (S_ISREG(st.st_mode) && (make_loop(d, h) || stat(h->node, &st))) {
        device_host_end(h->node);
        return fail(t, d, "no loop device for it");
    }
    if (!S_ISBLK(st.st_mode)) {
        errno = ENOTBLK;
        return fail(t, d, "neither a block device nor a file");
    }
    if (h->path[0] == '\0')
        snprintf(h->path, sizeof(h->path), "%s", d->target);
    snprintf(h->physical, sizeof(h->physical), "%x:%x", major(st.st_rdev), minor(st.st_rdev));
    return 0;
}

void device_host_end(const char *node)
{
    int error = errno, loop;

    if (strncmp(node, "/dev/loop", 9) != 0)
        return;
    loop = open(node, O_RDONLY | O_CLOEXEC);
    if (loop >= 0) {
        /* while it is open elsewhere, too, the kernel remembers it */
        if (ioctl(loop, LOOP_CLR_FD) && errno != ENXIO)
            plat_log(PLAT_WARNING, "%s stays: %s", node, strerror(errno));
        close(loop);
    }
    errno = error;
}

/* ---- interfaces ---- */

int device_host_vif(struct toolstack *t, const struct config_vif *v, struct device_host *h)
{
    *h = (struct device_host){ .script = SCRIPTS "vif-bridge" };
    if (!is_script(v->script, "vif-bridge"))
        return toolstack_fail(t, ENOTSUP, "vif %u: script %s is not served", v->devid, v->script);
    if (v->ip[0] && is_kernels("vif"))
        plat_log(PLAT_WARNING, "vif %u: ip: Linux's bridge lets other addresses pass, too",
                 v->devid);
    return 0;
}

static int fail_vif(struct toolstack *t, const char *name, const char *what)
{
    return toolstack_fail(t, errno, "%s: %s: %s", name, what, strerror(errno));
}

/* The driver makes it a moment after its state says that it has begun. */
static int wait_for_interface(struct toolstack *t, const char *name)
{
    uint64_t deadline_ns = plat_now() + DEVICES_WAIT_S * 1000000000ull, ns = DEVICES_LOOK_NS;

    while (if_nametoindex(name) == 0) {
        if (plat_now() >= deadline_ns) {
            errno = ENODEV;
            return fail_vif(t, name, "Linux does not make it");
        }
        if (toolstack_go_on(t))
            return -1;
        device_pause(&ns);
    }
    return 0;
}

/* ioctl() of the interface or bridge of that name. */
static int change(int s, unsigned long what, struct ifreq *r, const char *name)
{
    snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
    return ioctl(s, what, r);
}

/* vifname=: it is down, so it may have another one. */
static int name_interface(struct toolstack *t, int s, const struct config_vif *v,
                          char name[IFNAMSIZ])
{
    struct ifreq r = { .ifr_flags = 0 };

    if (v->vifname[0] == '\0' || strcmp(v->vifname, name) == 0)
        return 0;
    if (strlen(v->vifname) >= IFNAMSIZ)
        return toolstack_fail(t, EINVAL, "vifname %s: too long a name for Linux", v->vifname);
    snprintf(r.ifr_newname, sizeof(r.ifr_newname), "%.15s", v->vifname);
    if (change(s, SIOCSIFNAME, &r, name))
        return fail_vif(t, name, "vifname");
    snprintf(name, IFNAMSIZ, "%.15s", v->vifname);
    return 0;
}

/* The bridge's, unless another one is wanted. */
static int set_mtu(struct toolstack *t, int s, const struct config_vif *v, const char *bridge,
                   const char *name)
{
    struct ifreq r = { .ifr_mtu = v->mtu };

    if (v->mtu == 0 && change(s, SIOCGIFMTU, &r, bridge))
        return fail_vif(t, bridge, "its MTU");
    return change(s, SIOCSIFMTU, &r, name) ? fail_vif(t, name, "its MTU") : 0;
}

static int join_bridge(struct toolstack *t, int s, const struct config_vif *v, char name[IFNAMSIZ])
{
    const char *bridge = v->bridge[0] ? v->bridge : DEVICES_BRIDGE;
    struct ifreq r = { .ifr_flags = 0 };

    if (strlen(bridge) >= IFNAMSIZ || if_nametoindex(bridge) == 0)
        return toolstack_fail(t, ENODEV, "%s: there is no bridge %s", name, bridge);
    if (name_interface(t, s, v, name) || set_mtu(t, s, v, bridge, name))
        return -1;
    r.ifr_ifindex = (int)if_nametoindex(name);
    if (change(s, SIOCBRADDIF, &r, bridge) && errno != EBUSY)
        return fail_vif(t, name, bridge);
    if (change(s, SIOCGIFFLAGS, &r, name))
        return fail_vif(t, name, "its flags");
    r.ifr_flags = (short)((r.ifr_flags & ~(IFF_MULTICAST)) | IFF_NOARP | IFF_UP);
    return change(s, SIOCSIFFLAGS, &r, name) ? fail_vif(t, name, "it does not come up") : 0;
}

int device_host_connect(struct toolstack *t, domid_t id, const struct config_vif *v)
{
    char name[IFNAMSIZ];
    int s, rc, error;

    if (!is_kernels("vif"))
        return 0;
    snprintf(name, sizeof(name), "vif%u.%u", id, v->devid);
    if (wait_for_interface(t, name))
        return -1;
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return fail_vif(t, name, "a socket");
    rc = join_bridge(t, s, v, name);
    error = errno;
    close(s);
    errno = error;
    return rc ? -1 : 1;
}
