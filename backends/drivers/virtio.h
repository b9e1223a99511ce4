/*
 * backends/drivers/virtio.h: what all virtio devices have in common, by the specification 1.2: its transport by PCI (4.1,
 * not the one before 1.0) and split virtqueues (2.7).
 *
 * The device is not trusted more than a guest would be: what it writes is read once and checked, the chains of
 * descriptors are kept here as well, and nothing that it says reaches memory that it was not given. A device that breaks the rules is
 * "broken": nothing is taken from it any more, and its driver stops it.
 */
#pragma once
#include <rt/pci.h>

#include "drivers/piece.h"

enum { VIRTIO_VENDOR = 0x1af4, VIRTIO_DEVICE_0 = 0x1040 }; /* the latter: and its kind's number */
enum { VIRTIO_NET = 1, VIRTIO_BLK = 2 };
#define VIRTIO_F_VERSION_1 (1UL << 32)
enum { VIRTIO_QUEUE_MAX = 256 }; /* descriptors: their table is one page */

struct virtio {
    struct pci_device *pci;
    struct pci_window common, notify, config;
    uint32_t notify_multiplier;
    uint64_t features; /* that both sides have */
    unsigned int nr_queues, nr_messages;
    bool broken;
};

/* What of a chain is known here, by its first descriptor's number. */
struct virtio_chain {
    void *cookie;
    uint32_t writable; /* bytes that the device may write */
    uint16_t nr;       /* of descriptors; 0: it is none */
};

struct virtqueue {
    struct virtio *v;
    unsigned int index, message, size;
    volatile struct virtq_desc *desc; /* a page each, which the device has as well */
    volatile uint16_t *avail;
    volatile uint8_t *used;
    uint64_t notify_offset;
    uint16_t avail_index, used_index; /* free-running */
    uint16_t free, nr_free;           /* descriptors: a list by next */
    uint16_t nr_chains;
    uint16_t next[VIRTIO_QUEUE_MAX];
    struct virtio_chain chains[VIRTIO_QUEUE_MAX];
};

/**
 * Take a device, reset it, and agree about features.
 * @wanted  those that the driver knows; VERSION_1 is always asked for
 * Returns 0; -1: ENODEV it is no modern virtio device, ENOTSUP it lacks VERSION_1 or MSI-X, or refuses; EIO it does not
 * come out of its reset; EBUSY, ENOMEM...: nothing is taken then.
 */
int virtio_open(struct virtio *v, uint16_t bdf, uint64_t wanted);

/** It is stopped, and all that it had is given back. */
void virtio_close(struct virtio *v);

/** Stop the device for good: it is reset, and touches no memory any more. */
void virtio_stop(struct virtio *v);

/**
 * After virtio_stop(): begin again with the same features; then with its queues and messages, and virtio_start().
 * Returns 0; -1: EIO it does not come out of its reset, or is another one now. Then, and if a queue is refused, stop it.
 */
int virtio_again(struct virtio *v);

/** Let it begin. Its queues are set up. */
void virtio_start(struct virtio *v);

/** A piece of the device's own configuration, as one state of it. Returns 0; -1: EIO it has not so much, or never holds still. */
int virtio_config(const struct virtio *v, uint32_t offset, void *to, uint32_t bytes);

/** Have its changes told by message @nr. 0 or -1 with errno. */
int virtio_config_message(struct virtio *v, unsigned int nr);

/**
 * Set up a queue.
 * @index    below v->nr_queues
 * @message  by which the device tells of what it has done, bound or to be bound
 * Returns 0; -1: EIO the device does not want it so, ENOMEM.
 */
int virtqueue_open(struct virtqueue *q, struct virtio *v, unsigned int index, unsigned int message);

/** Set it up as it was, empty, after virtio_again(): what was in it is lost. 0; -1: EIO the device does not want it so. */
int virtqueue_again(struct virtqueue *q);

/**
 * Hand pieces to the device as one chain.
 * @nr_out  of @pieces, those that it reads, then @nr_in that it writes; together 1 or more
 * @cookie  what virtqueue_take() gives back for it; not NULL
 * Returns false: there is no room now.
 */
bool virtqueue_add(struct virtqueue *q, const struct piece *pieces, unsigned int nr_out,
                   unsigned int nr_in, void *cookie);

/** Let the device know of those that were added since. */
void virtqueue_kick(struct virtqueue *q);

/**
 * The next chain that the device is done with, which is no more then.
 * @bytes  receives how much it says it has written: no more than there was room for
 * Returns its cookie, or NULL: there is none, or the device is broken.
 */
void *virtqueue_take(struct virtqueue *q, uint32_t *bytes);

/** Whether messages come. Returns whether there is something to take: it may have come before they were on. */
bool virtqueue_messages(struct virtqueue *q, bool on);
