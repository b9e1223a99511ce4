#include "frontend.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

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

/* Pages that another domain has not let go of. */
struct frontend_kept {
    struct frontend_kept *next;
    void *pages;
    uint32_t nr;
    domid_t by;
};

void frontend_close(struct frontend *f)
{
    if (f->bus)
        xenbus_close(f->bus);
    ports_close(f->ports);
    for (struct frontend_kept *k = f->kept, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    f->kept = NULL;
    if (f->shares)
        xengntshr_close(f->shares); /* what is kept then is lost */
}

/* Whatever the others have let go of meanwhile. */
static void take_back(struct frontend *f)
{
    struct frontend_kept **at = &f->kept, *k;

    while ((k = *at) != NULL) {
        if (xengntshr_unshare(f->shares, k->pages, k->nr)) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        free(k);
    }
}

static uint32_t nr_kept_by(const struct frontend *f, domid_t domain)
{
    uint32_t nr = 0;

    for (const struct frontend_kept *k = f->kept; k; k = k->next)
        if (k->by == domain)
            nr += k->nr;
    return nr;
}

void *frontend_share(struct frontend *f, struct xenbus_device *d, uint32_t nr, uint32_t *refs,
                     bool writable)
{
    take_back(f);
    if (nr_kept_by(f, d->other) < FRONTEND_KEPT_MAX)
        return xengntshr_share_pages(f->shares, d->other, (int)nr, refs, writable);
    errno = EBUSY;
    return NULL;
}

void frontend_unshare(struct frontend *f, struct xenbus_device *d, void *pages, uint32_t nr)
{
    struct frontend_kept *k;

    take_back(f);
    if (pages == NULL || xengntshr_unshare(f->shares, pages, nr) == 0)
        return;
    k = malloc(sizeof(*k));
    if (k == NULL) {
        xenbus_log(d, PLAT_WARNING, "%u pages are lost: they are in use at the other end", nr);
        return;
    }
    if (nr_kept_by(f, d->other) == 0) /* said once, not of each piece */
        xenbus_log(d, PLAT_WARNING, "%u pages are still in use at the other end", nr);
    *k = (struct frontend_kept){ .next = f->kept, .pages = pages, .nr = nr, .by = d->other };
    f->kept = k;
}

int frontend_offer(const struct frontend *f, struct xenbus_device *d, struct port *port,
                   const char *port_node, struct xenbus_nodes *nodes)
{
    int rc = port_offer(f->ports, port, d->other);

    xenbus_put(nodes, port_node, "%u", port->number);
    return rc ? rc : xenbus_publish(d, nodes);
}
