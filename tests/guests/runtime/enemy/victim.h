/* What the guests have in common that a hostile backend serves a device; each is a class of devices. */
#pragma once
#include <blkfront.h>
#include <platform.h>

struct victim_class {
    const char *type;
    unsigned int device; /* its number, as the machine's configuration has it */
    /** Begin with its frontend. NULL: it is the disks'. False: errno. */
    bool (*start)(struct plat_loop *loop);
    /** From time to time: use the device, if it is there. */
    void (*use)(void);
    /** The device is gone: whether nothing of it goes on. */
    bool (*is_idle)(void);
    /** How much has come as an honest backend answers. */
    unsigned int (*nr_good)(void);
};
extern const struct victim_class victim_block, victim_network, victim_console;

/* ---- of a disk that the enemy serves ---- */

void victim_block_ready(struct blkfront_disk *d);
void victim_block_gone(void);
