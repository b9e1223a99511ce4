/* The machine's network cards: see drivers.h. */
#include "drivers/internal.h"

#include <stdio.h>

#include "drivers/e1000e.h"
#include "drivers/virtio.h"
#include "drivers/virtio_net.h"

unsigned int drivers_links(struct plat_loop *l,
                           void (*found)(void *arg, const char *name, struct link *link), void *arg)
{
    struct pci_function functions[DRIVERS_MAX_FUNCTIONS];
    unsigned int nr = pci_scan(functions, DRIVERS_MAX_FUNCTIONS), nr_eth = 0, nr_found = 0;
    char name[16];

    for (unsigned int i = 0; i < nr && i < DRIVERS_MAX_FUNCTIONS; i++) {
        struct link *link;

        if (driver_is_virtio(&functions[i], VIRTIO_NET))
            link = virtio_net_open(l, functions[i].bdf);
        else if (e1000e_is(&functions[i]))
            link = e1000e_open(l, functions[i].bdf);
        else
            continue;
        snprintf(name, sizeof(name), "eth%u", nr_eth++);
        if (link == NULL) {
            driver_not_taken(name, &functions[i]);
            continue;
        }
        found(arg, name, link);
        nr_found++;
    }
    return nr_found;
}
