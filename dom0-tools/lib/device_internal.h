/* What the files of devices.h share. */
#pragma once
#include <stdint.h>

#include <xen/io/xenbus.h>
#include <xenstore.h>

#include "device_host.h"
#include "devices.h"

enum { DEVICES_LOOK_NS = 1000000, DEVICES_LOOK_MOST_NS = 50000000 };

#define DEVICES_QDISK_RAW \
    "aio:" /* before a raw disk's name in params, where QEMU, or a program in its place, serves it */

/** A transaction, and whether all in it went well. */
struct device_writer {
    struct toolstack *t;
    xs_transaction_t tx;
    int error; /* the first errno; 0: none */
};

/** All that fn writes, or nothing; again, if somebody else has changed what was read. -1: errno. */
int device_transaction(struct toolstack *t, void (*fn)(struct device_writer *w, const void *arg),
                       const void *arg);

/** Also if it is not there. */
void device_rm(struct device_writer *w, const char *path);

/** A node's value; format as printf's. */
void device_put(struct device_writer *w, const char *home, const char *leaf, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/** "vbd 51712 (xvda)" */
void device_print(const struct device_at *at, char *buf, size_t size);

/** Wait a moment, each time a longer one. @ns  DEVICES_LOOK_NS at first */
void device_pause(uint64_t *ns);

/** "/libxl/ID/device/KIND/DEVID" */
void device_libxl_path(domid_t id, const struct device_at *at, char path[DEVICE_PATH]);

/** Closed, and removed; @force, errors: as devices_detach(), but the configuration stays. */
int device_end(struct toolstack *t, domid_t id, const struct device_at *at, bool force);

/** Closed without asking the domain, and removed; also if the backend does not close in time. errno is kept, and t's error. */
void device_take_back(struct toolstack *t, domid_t id, const struct device_at *at);

/** Make one, and wait for its backend; of disk and vif one is NULL. As devices_create(). @at  receives where it is */
int device_make(struct toolstack *t, domid_t id, const struct config_disk *disk,
                const struct config_vif *vif, struct device_at *at);

/**
 * Which domain has that disk of the backend's domain, and one of the two may write to it; -1: none.
 * @id        who is to have it
 * @physical  as of struct device_host
 */
int64_t device_shared(struct toolstack *t, domid_t id, domid_t backend, const char *target,
                      const char *physical, bool read_only);
