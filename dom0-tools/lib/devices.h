/*
 * Block devices and network interfaces of domains: what the store says of both ends, as libxl lays it out, so that
 * Debian's xl, kernels and backends find what they look for.
 *
 * The backend is a driver of Linux's kernel, or a program of ours, in the domain that the configuration names, or in
 * this one. No script is run: what Linux's drivers need beside nodes device_host.h does.
 *
 * Functions return 0, or -1 with errno and t's error.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

struct config_disk;
struct config_vif;
struct domain_config;
struct toolstack;

enum {
    DEVICES_WAIT_S = 10, /* for a backend that is to begin, or to close, as libxl has it */
    DEVICE_PATH = 96,    /* of its directory, with the zero */
    DEVICE_KIND = 16
};

#define DEVICES_BRIDGE "xenbr0" /* of an interface whose configuration names none */

/** An interface without an address is given one, 00:16:3e:..., by chance. */
void devices_make_mac(struct config_vif *vif);
void devices_make_macs(struct domain_config *c);

/** Interfaces without an address are given the one that the domain's of that number has; else as devices_make_macs(). */
void devices_keep_macs(struct toolstack *t, domid_t id, struct domain_config *c);

/** Nothing is asked for that is not served. ENOTSUP by name; EINVAL */
int devices_check(struct toolstack *t, const struct domain_config *c);
int devices_check_disk(struct toolstack *t, const struct config_disk *disk);
int devices_check_vif(struct toolstack *t, const struct config_vif *vif);

/**
 * All devices of a new domain, before it runs: when this returns their backends have begun. On failure none is left.
 * errno: ENOENT no such disk, or domain; ENOTBLK; EBUSY another domain has the disk; ETIMEDOUT nobody serves it; EIO the
 * backend says why; EINTR t's user wants an end; ENOMEM; else the store's.
 */
int devices_create(struct toolstack *t, domid_t id, const struct domain_config *c);

/**
 * One more, of a domain that may run, and in the configuration that it is started again with.
 * EEXIST: it has one of that number; E2BIG its configuration cannot be kept; else as devices_create().
 * @vif  devid UINT32_MAX: the next that is free. It has an address.
 */
int devices_attach_disk(struct toolstack *t, domid_t id, const struct config_disk *disk);
int devices_attach_vif(struct toolstack *t, domid_t id, const struct config_vif *vif);

/** A device that the store knows. */
struct device_at {
    char kind[DEVICE_KIND]; /* "vbd", "vif" */
    uint32_t devid;
    char frontend[DEVICE_PATH], backend[DEVICE_PATH]; /* their directories */
};

/**
 * All of a domain but its console, also those that were not made here, in the order of kinds, then numbers.
 * @list  receives an array, to be freed; NULL: none
 */
int devices_list(struct toolstack *t, domid_t id, struct device_at **list, size_t *nr);

/** A node of a device's end, to be freed; NULL: errno. Of the frontend's and the backend's own: it may be anything. */
char *devices_read(struct toolstack *t, const char *end, const char *leaf);

/** The node mac of an end. False: it is none. */
bool devices_read_mac(struct toolstack *t, const char *end, uint8_t mac[6]);

/** A number that stands there; -1: none does, errno. */
int64_t devices_read_number(struct toolstack *t, const char *end, const char *leaf);

/**
 * Take one away from a domain that may run, which has to agree, and out of the configuration that it is started again with.
 * ETIMEDOUT: it does not let it go; it has been asked to, and this can be tried again.
 * @force  it is not asked
 */
int devices_detach(struct toolstack *t, domid_t id, const struct device_at *at, bool force);

/**
 * Let the backends of a domain that does not run any more close, and remove all its devices' nodes, also if a backend
 * does not close in time, which is logged. -1: the store fails.
 */
int devices_remove(struct toolstack *t, domid_t id);
