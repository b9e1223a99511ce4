#include "drivers/internal.h"

#include <errno.h>
#include <string.h>

#include <platform.h>

#include "drivers/virtio.h"

bool driver_is_virtio(const struct pci_function *f, unsigned int kind)
{
    /* also those that speak the old transport as well; they are told by the first of their numbers */
    return f->vendor == VIRTIO_VENDOR &&
           (f->device == VIRTIO_DEVICE_0 + kind || (kind == VIRTIO_BLK && f->device == 0x1001) ||
            (kind == VIRTIO_NET && f->device == 0x1000));
}

void driver_not_taken(const char *name, const struct pci_function *f)
{
    plat_log(PLAT_WARNING, "%s, PCI %02x:%02x.%x, cannot be used: %s", name, f->bdf >> 8,
             f->bdf >> 3 & 31, f->bdf & 7, strerror(errno));
}
