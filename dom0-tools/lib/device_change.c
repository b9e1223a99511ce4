/* Devices that come and go while a domain runs. See devices.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "device_internal.h"
#include "guest_internal.h"
#include "nodes.h"
#include "toolstack.h"
#include "vdev.h"

/* ---- the configuration that the domain is started again with ---- */

/* To be freed. NULL, and *rc: 0 it has none, being another toolstack's; -1. */
static struct domain_config *config_of(struct toolstack *t, domid_t id, int *rc)
{
    struct domain_config *c = malloc(sizeof(*c));

    *rc = c ? guest_config(t, id, c) : toolstack_fail(t, ENOMEM, "its configuration: no memory");
    if (*rc == 0)
        return c;
    if (c && errno == ENOENT)
        *rc = 0;
    free(c);
    return NULL;
}

static int keep(struct toolstack *t, domid_t id, const struct domain_config *c)
{
    char *text = guest_config_text(t, c);
    int rc = text ? nodes_keep_config(t, id, text) : -1;

    free(text);
    return rc;
}

/* The last of one that would be too many is refused before anything is done. */
static int add_to(struct toolstack *t, struct domain_config *c, const struct config_disk *disk,
                  const struct config_vif *vif)
{
    char *text;

    if ((disk ? c->nr_disks : c->nr_vifs) == CONFIG_DEVICES)
        return toolstack_fail(t, E2BIG, "more than %d devices of a kind", CONFIG_DEVICES);
    if (disk)
        c->disk[c->nr_disks++] = *disk;
    if (vif)
        c->vif[c->nr_vifs++] = *vif;
    text = guest_config_text(t, c);
    free(text);
    return text ? 0 : -1;
}

static void take_disk_from(struct domain_config *c, uint32_t devid)
{
    unsigned int nr = 0;
    uint32_t its;

    for (unsigned int i = 0; i < c->nr_disks; i++)
        if (!vdev_number(c->disk[i].vdev, &its) || its != devid)
            c->disk[nr++] = c->disk[i];
    c->nr_disks = nr;
}

static void take_vif_from(struct domain_config *c, uint32_t devid)
{
    unsigned int nr = 0;

    for (unsigned int i = 0; i < c->nr_vifs; i++)
        if (c->vif[i].devid != devid)
            c->vif[nr++] = c->vif[i];
    c->nr_vifs = nr;
}

/* ---- one more ---- */

static int check_free(struct toolstack *t, domid_t id, const struct device_at *at)
{
    char home[DEVICE_PATH], which[64], *frontend;
    int rc;

    device_libxl_path(id, at, home);
    frontend = devices_read(t, home, "frontend");
    if (frontend == NULL && errno == ENOENT)
        return 0;
    device_print(at, which, sizeof(which));
    rc = frontend ? toolstack_fail(t, EEXIST, "domain %u: it has a %s", id, which)
                  : toolstack_fail(t, errno, "domain %u: %s: %s", id, which, strerror(errno));
    free(frontend);
    return rc;
}

/* What was written after its devices were removed nobody else removes. */
static int still_there(struct toolstack *t, domid_t id)
{
    guest_info_t info;

    if (guest_info(t, id, &info))
        return -1;
    return info.flags & XEN_DOMINF_dying
               ? toolstack_fail(t, ESRCH, "domain %u: it is being destroyed", id)
               : 0;
}

/* @c  NULL: none is kept */
static int attach(struct toolstack *t, domid_t id, struct device_at *at, struct domain_config *c,
                  const struct config_disk *disk, const struct config_vif *vif)
{
    if (check_free(t, id, at) || (c && add_to(t, c, disk, vif)) ||
        device_make(t, id, disk, vif, at))
        return -1;
    if ((c == NULL || keep(t, id, c) == 0) && still_there(t, id) == 0)
        return 0;
    device_take_back(t, id, at);
    return -1;
}

static int attach_to(struct toolstack *t, domid_t id, struct device_at *at,
                     const struct config_disk *disk, const struct config_vif *vif)
{
    struct domain_config *c;
    int rc, error;

    c = config_of(t, id, &rc);
    rc = rc ? rc : attach(t, id, at, c, disk, vif);
    error = errno;
    free(c);
    errno = error;
    return rc;
}

int devices_attach_disk(struct toolstack *t, domid_t id, const struct config_disk *disk)
{
    struct device_at at = { .kind = "vbd" };

    if (devices_check_disk(t, disk))
        return -1;
    vdev_number(disk->vdev, &at.devid);
    return attach_to(t, id, &at, disk, NULL);
}

/* Behind the last one. */
static int find_devid(struct toolstack *t, domid_t id, uint32_t *devid)
{
    struct device_at *list;
    size_t nr;

    if (devices_list(t, id, &list, &nr))
        return -1;
    *devid = 0;
    for (size_t i = 0; i < nr; i++)
        if (strcmp(list[i].kind, "vif") == 0 && list[i].devid >= *devid)
            *devid = list[i].devid + 1;
    free(list);
    return 0;
}

int devices_attach_vif(struct toolstack *t, domid_t id, const struct config_vif *vif)
{
    struct config_vif v = *vif;
    struct device_at at = { .kind = "vif" };

    if (devices_check_vif(t, &v) || (v.devid == UINT32_MAX && find_devid(t, id, &v.devid)))
        return -1;
    at.devid = v.devid;
    return attach_to(t, id, &at, NULL, &v);
}

/* ---- one less ---- */

static int forget_config(struct toolstack *t, domid_t id, const struct device_at *at)
{
    struct domain_config *c;
    int rc, error;

    c = config_of(t, id, &rc);
    if (c && strcmp(at->kind, "vbd") == 0)
        take_disk_from(c, at->devid);
    else if (c)
        take_vif_from(c, at->devid);
    if (c)
        rc = keep(t, id, c);
    error = errno;
    free(c);
    errno = error;
    return rc;
}

int devices_detach(struct toolstack *t, domid_t id, const struct device_at *at, bool force)
{
    return device_end(t, id, at, force) ? -1 : forget_config(t, id, at);
}
