/*
 * backends/drivers/drivers.h: the machine's own disks and network cards, by the names that Linux would give them.
 */
#pragma once
#include <stdint.h>

struct disk;
struct link;
struct plat_loop;

/**
 * Take all disks that there is a driver for: vda, vdb... (virtio), nvme0n1... (NVMe: controller and
 * namespace), in the order of their PCI addresses. One
 * that cannot be taken is told in the log, and its name stays unused.
 * @found  called for each, whose it is from then on (its ops->close() gives it back); without "/dev/"
 * Returns how many there are. The thread of the loop.
 */
unsigned int drivers_disks(struct plat_loop *l,
                           void (*found)(void *arg, const char *name, struct disk *d), void *arg);

/** The same for network cards: eth0, eth1... of all kinds together. */
unsigned int drivers_links(struct plat_loop *l,
                           void (*found)(void *arg, const char *name, struct link *link),
                           void *arg);
