/*
 * blkfront.h: disks that another domain serves, by <xen/io/blkif.h>, for guests on our runtime.
 *
 * The backend is distrusted: it sees the pages of data that are ours for that alone, granted once for each
 * connection and copied from and to, and an answer counts only for a request that is running. All of it belongs to the
 * thread of one loop.
 */
#pragma once
#include <platform.h>

enum { BLKFRONT_MAX_BYTES = 11 * 4096 }; /* of a READ or WRITE */

enum blkfront_op { BLKFRONT_READ, BLKFRONT_WRITE, BLKFRONT_FLUSH, BLKFRONT_DISCARD };

/** Its owner keeps it and the data until done() was called. */
struct blkfront_request {
    enum blkfront_op op;
    uint64_t sector;                                     /* of 512 bytes, as everywhere here */
    uint64_t nr_sectors;                                 /* READ, WRITE, DISCARD */
    void *data;                                          /* READ, WRITE */
    void (*done)(struct blkfront_request *r, int error); /* 0 or an errno */
    struct blkfront_request *next;                       /* blkfront's */
};

struct blkfront_disk {
    uint32_t id;         /* 51712 is xvda */
    uint64_t nr_sectors; /* it may become another one: changed */
    uint32_t sector_bytes;
    bool read_only, flush, discard;
};

struct blkfront;

/** What a user is told. */
struct blkfront_user {
    /** A disk can be used from now on, or, the same one again, has another size. */
    void (*ready)(void *arg, struct blkfront_disk *d);
    /** It cannot be used any more; all its requests have ended. */
    void (*gone)(void *arg, struct blkfront_disk *d);
    void *arg;
};

/** All disks that this domain has, now and later. NULL: errno. The user is kept. */
struct blkfront *blkfront_start(struct plat_loop *l, const struct blkfront_user *user);

/** All disks are gone for us, without a word to their backends. */
void blkfront_stop(struct blkfront *all);

/** Begin with a request, or wait until there is room. done(): EINVAL it makes no sense, EROFS, EOPNOTSUPP, EIO. */
void blkfront_submit(struct blkfront_disk *d, struct blkfront_request *r);
