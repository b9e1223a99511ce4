/*
 * frontend.h: what our frontends have in common: the libraries by which they share pages, have ports and find their
 * devices.
 */
#pragma once
#include <stdint.h>

struct plat_loop;
struct port;
struct ports;
struct xenbus;
struct xenbus_device;
struct xenbus_driver;
struct xenbus_nodes;
struct xengntdev_handle;

/** Of all devices of a class. */
struct frontend {
    struct xengntdev_handle *shares;
    struct ports *ports;
    struct xenbus *bus;
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

/**
 * The end of pages that were shared with the other end of @d. What it has still mapped stays as it is, with a line in
 * the log: nobody else gets that memory.
 * @pages  NULL: nothing is done
 */
void frontend_unshare(const struct frontend *f, struct xenbus_device *d, void *pages, uint32_t nr);

/**
 * The last step of a driver's connect(): a port for the other end of @d, whose number is written with these nodes.
 * @port_node  by which name
 * 0 or -errno: the caller unbinds the port (port_unbind()).
 */
int frontend_offer(const struct frontend *f, struct xenbus_device *d, struct port *port,
                   const char *port_node, struct xenbus_nodes *nodes);
