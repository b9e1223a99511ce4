/*
 * backends/drivers/virtio_net.h: network cards by virtio (specification 1.2, 5.1): checksums and TSO both ways, received
 * frames over several buffers, one queue for each direction.
 */
#pragma once
#include <stdint.h>

struct link;
struct plat_loop;

/**
 * Take a card and make a link of it. Frames that come before its "received" is set are dropped.
 * NULL: as virtio_open(), or EIO, ENOMEM.
 */
struct link *virtio_net_open(struct plat_loop *l, uint16_t bdf);
