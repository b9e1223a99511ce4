/*
 * backends/block/disk.h: a disk, as the block backend sees it, whatever is behind it: a virtio or NVMe disk, a
 * partition of one, memory, a file.
 *
 * All of it belongs to the thread of one loop (platform.h). Data lie in this program's memory; a driver finds the
 * frames of the pages itself. Sectors have 512 bytes everywhere here, whatever the disk's own are.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { DISK_SECTOR = 512 };

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD };

/** Memory in one piece of virtual addresses: it may go over any number of pages. */
struct disk_segment {
    void *data;     /* a multiple of DISK_SECTOR */
    uint32_t bytes; /* a multiple of the disk's sector_bytes, not 0 */
};

/** Its owner keeps it, the segments and the data until done() was called. */
struct disk_request {
    enum disk_op op;
    uint64_t
        sector; /* where it begins; READ, WRITE, DISCARD. A partition adds its own beginning to it */
    uint64_t nr_sectors;                 /* DISCARD */
    const struct disk_segment *segments; /* READ, WRITE: one after the other on the disk */
    unsigned int nr_segments;
    void (*done)(struct disk_request *r,
                 int error);   /* error: 0, or an errno; then the owner may free it */
    struct disk_request *next; /* the disk's, */
    int error;                 /* this, too, */
    bool again;                /* and this */
};

struct disk;

struct disk_ops {
    /**
     * Begin with a request. done() is called once, perhaps before this returns. Requests may be done in any order; a
     * FLUSH says that all writes that were done before it was begun are on the disk for good.
     */
    void (*submit)(struct disk *d, struct disk_request *r);
    /** Nobody has a request of it any more: give back all that it has. */
    void (*close)(struct disk *d);
};

struct disk {
    const struct disk_ops *ops;
    uint64_t nr_sectors;
    uint32_t sector_bytes; /* 512 or 4096: the unit of all requests */
    uint32_t max_bytes;    /* of a READ or WRITE; 0: any number */
    bool read_only, flush,
        discard; /* the last two: it has that; without flush a write that is done is on the disk */
    uint32_t discard_bytes; /* granularity of DISCARD */
    uint8_t
        *memory; /* not NULL: all of it lies there, and may be read and written without a request */
    void (*changed)(
        void *arg); /* its user's, called when nr_sectors has become another one; NULL: nobody's */
    void *arg;
};

/** A request that makes sense for that disk: 0, or EINVAL, EROFS, EOPNOTSUPP. No arithmetic of it wraps. */
int disk_check(const struct disk *d, const struct disk_request *r);

/** The one way to begin with a request: checked, then given to the disk; done() gets what is wrong. */
void disk_submit(struct disk *d, struct disk_request *r);
