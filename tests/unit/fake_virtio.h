/* A modern virtio device, for tests of drivers: honest by itself, and made to lie by the test. */
#pragma once
#include "fake_pci.h"

enum { FAKE_QUEUES = 5, FAKE_QUEUE_MAX = 256, FAKE_NOTIFY = 0x3000, FAKE_CONFIG = 0x2000 };

struct fake_queue {
    uint16_t size, message, enabled; /* size: as offered, then as set */
    uint64_t desc, avail, used;
    uint16_t seen; /* of avail */
    uint16_t done; /* used's index */
    unsigned int nr_notified;
};

struct fake_virtio {
    struct fake_pci pci; /* the first member */
    uint64_t features, driver_features;
    uint8_t status, generation;
    bool refuses_features, never_resets, changes_always;
    uint16_t config_message, nr_queues, select;
    uint32_t feature_select[2];
    uint8_t config[64];
    unsigned int nr_resets;
    struct fake_queue queues[FAKE_QUEUES];
};

/* A chain that the driver handed over. */
struct fake_chain {
    uint16_t id;
    unsigned int nr, nr_out;
    struct {
        uint8_t *data;
        uint32_t bytes;
    } parts[FAKE_QUEUE_MAX];
};

/** @kind  1: network, 2: disk. @nr  of queues, each of @size. It is inserted. */
void fake_virtio_init(struct fake_virtio *v, uint16_t kind, unsigned int nr, uint16_t size);

/** The next chain of a queue. False: there is none, or the device may not look. What is wrong with it aborts the test. */
bool fake_virtio_pop(struct fake_virtio *v, unsigned int queue, struct fake_chain *c);

/** It is done: an element for the driver, and a message if it wants one. */
void fake_virtio_push(struct fake_virtio *v, unsigned int queue, uint32_t id, uint32_t bytes);

/** Put that many behind used's index; without messages. */
void fake_virtio_run_ahead(struct fake_virtio *v, unsigned int queue, uint16_t by);

/** The configuration has changed: a message. */
void fake_virtio_changed(struct fake_virtio *v);
