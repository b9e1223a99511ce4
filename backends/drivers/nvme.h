/*
 * backends/drivers/nvme.h: disks by NVM Express (base specification 1.4): each namespace of a controller is one.
 *
 * A command that is not done within 30 seconds has the controller reset: all that it had is done with EIO, and what
 * waits goes on. A controller that does not come back is dead, and its disks are: so is one that was reset five times,
 * each within ten minutes of the time before, and is overdue again. While it is reset, or at first
 * set up, the loop stands still: for as long as the controller says that it may need, at most.
 * Not provided: what a controller tells by itself (asynchronous events: a namespace that grows, that comes or goes).
 */
#pragma once
#include <stdint.h>

struct disk;
struct plat_loop;

/**
 * Take a controller, and make disks of its namespaces. It is given back when all of these are closed.
 * @name   of the controller: disks are NAMEn1, NAMEn2... by the namespaces' numbers
 * @found  called for each
 * Returns how many there are: of 512 or 4096 bytes per block, without metadata; 0: nothing is taken. -1: EIO it does
 * not work, ENOTSUP it does not work with pages of 4096 bytes, or has no messages; as pci_open(), ENOMEM.
 */
int nvme_open(struct plat_loop *l, uint16_t bdf, const char *name,
              void (*found)(void *arg, const char *name, struct disk *d), void *arg);
