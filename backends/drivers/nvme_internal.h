/* Private to nvme.c (the controller) and nvme_disk.c (its namespaces). */
#pragma once
#include <platform.h>

#include "drivers/disk_queue.h"
#include "drivers/nvme_queue.h"

enum { NVME_MAX_QUEUES = 4, NVME_MAX_NAMESPACES = 16 };

struct nvme_io {
    struct nvme *n;
    struct nvme_queue queue;
    struct plat_wake wake;
};

struct nvme {
    struct pci_device *pci;
    struct pci_window registers;
    struct plat_loop *loop;
    uint64_t cap;
    uint32_t limit_ms; /* that it may take to start or stop */
    uint32_t stride;
    struct nvme_queue admin;
    unsigned int nr_io, next_io; /* the latter: that the next command goes to */
    struct nvme_io io[NVME_MAX_QUEUES];
    uint8_t *page; /* for data of admin commands */
    /* Of Identify: */
    uint64_t max_bytes; /* of a command's data; 0: any */
    bool has_cache, has_discard;
    struct nvme_disk *disks[NVME_MAX_NAMESPACES]; /* NULL behind the last, or closed */
    unsigned int nr_disks, nr_open;
    unsigned int first_disk; /* that has the room that there is, the next time */
    struct plat_timer timer;
    struct disk_resets resets;
    bool dead;
};

/* A namespace. The cookies of the I/O queues are its commands. */
struct nvme_disk {
    struct disk_queue requests; /* the first member */
    struct nvme *n;
    uint32_t nsid, block_sectors;
};

enum { NVME_IDENTIFY_NAMESPACE = 0, NVME_IDENTIFY_CONTROLLER = 1, NVME_IDENTIFY_ACTIVE = 2 };

/* nvme.c */
/** Fill n->page. 0; -1: EIO. Only while nothing else is done: it waits. */
int nvme_identify(struct nvme *n, uint32_t what, uint32_t nsid);
/** Some commands were begun: watch that they end. */
void nvme_watch(struct nvme *n);
/** One disk less; the last one closes the controller. */
void nvme_put(struct nvme *n);

/* nvme_disk.c */
/** The disk of a namespace, after nvme_identify(). NULL: ENOTSUP, ENOMEM. */
struct nvme_disk *nvme_disk_new(struct nvme *n, uint32_t nsid);
/** Take what a queue has done. @limit  how many at most. Returns whether there is more. */
bool nvme_disk_completions(struct nvme_queue *q, unsigned int limit);
