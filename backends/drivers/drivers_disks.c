/* The machine's disks: see drivers.h. */
#include "drivers/internal.h"

#include <stdio.h>

#include "drivers/virtio.h"
#include "drivers/virtio_blk.h"

/* a..z, then aa... as Linux counts. */
static void letters(char *name, size_t size, const char *prefix, unsigned int nr)
{
    char text[8];
    size_t at = sizeof(text) - 1;

    text[at] = '\0';
    for (nr++; nr; nr = (nr - 1) / 26)
        text[--at] = (char)('a' + (nr - 1) % 26);
    snprintf(name, size, "%s%s", prefix, text + at);
}

unsigned int drivers_disks(struct plat_loop *l,
                           void (*found)(void *arg, const char *name, struct disk *d), void *arg)
{
    struct pci_function functions[DRIVERS_MAX_FUNCTIONS];
    unsigned int nr = pci_scan(functions, DRIVERS_MAX_FUNCTIONS), nr_vd = 0, nr_found = 0;
    char name[16];

    for (unsigned int i = 0; i < nr && i < DRIVERS_MAX_FUNCTIONS; i++) {
        struct disk *d;

        if (!driver_is_virtio(&functions[i], VIRTIO_BLK))
            continue;
        letters(name, sizeof(name), "vd", nr_vd++);
        d = virtio_blk_open(l, functions[i].bdf);
        if (d == NULL) {
            driver_not_taken(name, &functions[i]);
            continue;
        }
        found(arg, name, d);
        nr_found++;
    }
    return nr_found;
}
