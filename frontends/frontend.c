#include "frontend.h"

#include <errno.h>
#include <stddef.h>

#include <xengnttab.h>

#include "ports.h"
#include "xenbus.h"

int frontend_open(struct frontend *f, struct plat_loop *l, const struct xenbus_driver *driver,
                  void *arg)
{
    int error;

    f->shares = xengntshr_open(NULL, 0);
    f->ports = f->shares ? ports_open(l) : NULL;
    f->bus = f->ports ? xenbus_open(l, driver, arg) : NULL;
    if (f->bus)
        return 0;
    error = errno;
    frontend_close(f);
    errno = error;
    return -1;
}

void frontend_close(struct frontend *f)
{
    if (f->bus)
        xenbus_close(f->bus);
    ports_close(f->ports);
    if (f->shares)
        xengntshr_close(f->shares);
}

void frontend_unshare(const struct frontend *f, struct xenbus_device *d, void *pages, uint32_t nr)
{
    if (pages && xengntshr_unshare(f->shares, pages, nr))
        xenbus_log(d, PLAT_WARNING, "%u pages are still in use at the other end", nr);
}

int frontend_offer(const struct frontend *f, struct xenbus_device *d, struct port *port,
                   const char *port_node, struct xenbus_nodes *nodes)
{
    int rc = port_offer(f->ports, port, d->other);

    xenbus_put(nodes, port_node, "%u", port->number);
    return rc ? rc : xenbus_publish(d, nodes);
}
