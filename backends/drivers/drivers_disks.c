/* The machine's disks: see drivers.h. */
#include "drivers/internal.h"

#include <stdio.h>

#include "drivers/nvme.h"
#include "drivers/virtio.h"
#include "drivers/virtio_blk.h"

enum { CLASS_NVME = 0x010802 };

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

struct finding {
    struct plat_loop *loop;
    void (*found)(void *arg, const char *name, struct disk *d);
    void *arg;
    unsigned int nr_vd, nr_nvme; /* names that are used */
};

/* How many disks there are. */
static unsigned int take(struct finding *f, const struct pci_function *function)
{
    char name[16];
    int nr = 0;

    if (driver_is_virtio(function, VIRTIO_BLK)) {
        struct disk *d = virtio_blk_open(f->loop, function->bdf);

        letters(name, sizeof(name), "vd", f->nr_vd++);
        nr = d ? 1 : -1;
        if (d)
            f->found(f->arg, name, d);
    } else if (function->class == CLASS_NVME) {
        snprintf(name, sizeof(name), "nvme%u", f->nr_nvme++);
        nr = nvme_open(f->loop, function->bdf, name, f->found, f->arg);
    }
    if (nr < 0)
        driver_not_taken(name, function);
    return nr > 0 ? (unsigned int)nr : 0;
}

unsigned int drivers_disks(struct plat_loop *l,
                           void (*found)(void *arg, const char *name, struct disk *d), void *arg)
{
    struct pci_function functions[DRIVERS_MAX_FUNCTIONS];
    struct finding f = { .loop = l, .found = found, .arg = arg };
    unsigned int nr = pci_scan(functions, DRIVERS_MAX_FUNCTIONS), nr_found = 0;

    for (unsigned int i = 0; i < nr && i < DRIVERS_MAX_FUNCTIONS; i++)
        nr_found += take(&f, &functions[i]);
    return nr_found;
}
