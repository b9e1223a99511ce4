/*
 * frontend.h: what our frontends have in common: the libraries by which they share pages, have ports and find their
 * devices.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct plat_loop;
struct port;
struct ports;
struct xenbus;
struct xenbus_device;
struct xenbus_driver;
struct xenbus_nodes;
struct xengntdev_handle;

struct frontend_kept;

/** Of all devices of a class. */
struct frontend {
    struct xengntdev_handle *shares;
    struct ports *ports;
    struct xenbus *bus;
    struct frontend_kept *kept; /* pages that were shared, and are mapped at other ends */
};

/**
 * @f    all zero
 * @arg  for the driver: xenbus_arg()
 * 0; -1: errno, and nothing is left of it.
 */
int frontend_open(struct frontend *f, struct plat_loop *l, const struct xenbus_driver *driver,
                  void *arg);

/** Without a word to the backends. */
void frontend_close(struct frontend *f);

enum { FRONTEND_KEPT_MAX = 1024 }; /* pages that a domain keeps when no more are shared with it */

/**
 * Pages for the other end of @d.
 * @refs  receives @nr references
 * NULL: errno; EBUSY: that domain keeps FRONTEND_KEPT_MAX of earlier ones.
 */
void *frontend_share(struct frontend *f, struct xenbus_device *d, uint32_t nr, uint32_t *refs,
                     bool writable);

/**
 * The end of pages that were shared with the other end of @d. Those that it has still mapped are nobody else's until
 * it lets go of them, which is looked after whenever pages are shared or come to their end.
 * @pages  NULL: nothing is done
 */
void frontend_unshare(struct frontend *f, struct xenbus_device *d, void *pages, uint32_t nr);

/**
 * The last step of a driver's connect(): a port for the other end of @d, whose number is written with these nodes.
 * @port_node  by which name
 * 0 or -errno: the caller unbinds the port (port_unbind()).
 */
int frontend_offer(const struct frontend *f, struct xenbus_device *d, struct port *port,
                   const char *port_node, struct xenbus_nodes *nodes);
