/* backends/drivers/virtio_blk.h: disks by virtio (specification 1.2, 5.2), several queues of up to 256 descriptors.
 * What it has not done within 30 seconds has it reset, or given up, as disk_queue.h says: all that it had is done with
 * EIO, and what waits goes on. */
#pragma once
#include <stdint.h>

struct disk;
struct plat_loop;

/**
 * Take a device and make a disk of it.
 * NULL: as virtio_open(), or ENOTSUP the disk is of a kind that is not served (its sectors have neither 512 nor
 * 4096 bytes, or it takes less than a sector at a time), EIO, ENOMEM.
 */
struct disk *virtio_blk_open(struct plat_loop *l, uint16_t bdf);
