/*
 * What the system that a backend is part of has to do beside the nodes in the store: for Linux's drivers what
 * Debian's hotplug scripts do; where the backends are ours nothing. In a file of each home.
 */
#pragma once
#include <stdint.h>

#include <xen/xen.h>

#include "../config.h"

struct toolstack;

/** What the backend's directory is to say of it. "": nothing. */
struct device_host {
    const char
        *script; /* Linux's netback does not begin without, and Debian's xl runs it at the end */
    char physical[24];      /* physical-device: "ca:10", hexadecimal */
    char path[CONFIG_PATH]; /* physical-device-path */
    char node
        [CONFIG_PATH]; /* of a file: the loop device, which is given back by device_host_end() */
};

/**
 * Before the nodes are written.
 * errno: ENOENT, EACCES, ...; ENOTBLK it is nothing that has blocks; ENOTSUP a script is wanted; EBUSY no loop device
 */
int device_host_disk(struct toolstack *t, const struct config_disk *d, struct device_host *h);
int device_host_vif(struct toolstack *t, const struct config_vif *v, struct device_host *h);

/**
 * The backend of a network interface has begun: connect it to its bridge.
 * Returns 1: the backend's directory is to say that it is connected; 0: the backend does it all; -1: ENODEV no such
 * bridge, or no interface; else the system's.
 */
int device_host_connect(struct toolstack *t, domid_t id, const struct config_vif *v);

/** The backend has closed. @node  as of struct device_host; of the store, so it may be anything */
void device_host_end(const char *node);
