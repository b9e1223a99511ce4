/* Private to xenbus.c, xenbus_class.c and xenbus_nodes.c. */
#pragma once
#include "xenbus.h"
#include "xenstore_loop.h"

#define RETRY_NS 200000000u /* the store was not there, or had no room */

struct xenbus {
    struct plat_loop *loop;
    const struct xenbus_driver *driver;
    void *arg;
    struct xs_handle *xs; /* NULL: there is no store at present */
    struct xenbus_device *devices;
    char root[40]; /* the folder of the class */
    uint32_t serial;
    bool scan;              /* the folder is to be looked through */
    struct plat_timer work; /* what is to be looked at again */
};

/**
 * Write nodes, and our state if it is not Unknown, where the device still is. 0, -ENOENT it is no more, -errno.
 */
int xenbus_write_nodes(struct xenbus_device *d, const struct xenbus_nodes *n,
                       enum xenbus_state state);

/** Devices that are dirty are looked at then, at the latest. */
void xenbus_look_at(struct xenbus *b, uint64_t after_ns);

/** Act on how a device is; it may be forgotten. */
void xenbus_look(struct xenbus_device *d);

/** It is as if it had not been looked at. False: it will be so when it is disconnected. */
bool xenbus_end(struct xenbus_device *d);
void xenbus_forget(struct xenbus_device *d);

/** Be told when the other end's state is written. False: errno. */
bool xenbus_watch_other(struct xenbus_device *d);
