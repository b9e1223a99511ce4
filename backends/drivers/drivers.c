#include "drivers/drivers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <platform.h>
#include <rt/pci.h>

#include "drivers/virtio.h"
#include "drivers/virtio_blk.h"

enum { MAX_FUNCTIONS = 256 };

static bool is_virtio(const struct pci_function *f, unsigned int kind)
{
    /* also those that speak the old transport as well; they are told by the first of their numbers */
    return f->vendor == VIRTIO_VENDOR &&
           (f->device == VIRTIO_DEVICE_0 + kind || (kind == VIRTIO_BLK && f->device == 0x1001) ||
            (kind == VIRTIO_NET && f->device == 0x1000));
}

static void not_taken(const char *name, const struct pci_function *f)
{
    plat_log(PLAT_WARNING, "%s, PCI %02x:%02x.%x, cannot be used: %s", name, f->bdf >> 8,
             f->bdf >> 3 & 31, f->bdf & 7, strerror(errno));
}

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
    struct pci_function functions[MAX_FUNCTIONS];
    unsigned int nr = pci_scan(functions, MAX_FUNCTIONS), nr_vd = 0, nr_found = 0;
    char name[16];

    for (unsigned int i = 0; i < nr && i < MAX_FUNCTIONS; i++) {
        struct disk *d;

        if (!is_virtio(&functions[i], VIRTIO_BLK))
            continue;
        letters(name, sizeof(name), "vd", nr_vd++);
        d = virtio_blk_open(l, functions[i].bdf);
        if (d == NULL) {
            not_taken(name, &functions[i]);
            continue;
        }
        found(arg, name, d);
        nr_found++;
    }
    return nr_found;
}
