/* blk_request.h: what a guest's request says, checked: pure, so that it can be tested with anything. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>

#include "disk.h"

enum {
    BLK_PAGE = 4096,
    BLK_SEGMENTS = 64, /* of a request at most: its indirect ones lie in one page */
    BLK_PAGE_SECTORS = BLK_PAGE / DISK_SECTOR,
};

/** A request, as far as itself says. */
struct blk_request {
    uint64_t id;
    uint8_t operation; /* to be told in the response */
    enum disk_op op;
    uint64_t sector, nr_sectors;
    unsigned int nr_segments;
    bool indirect; /* its segments lie in a page, granted by: */
    grant_ref_t page;
    struct blkif_request_segment segments[BLK_SEGMENTS]; /* else they are here */
};

/**
 * @from  the copy of a slot of the ring
 * Returns a BLKIF_RSP_*: BLKIF_RSP_OKAY it makes sense so far; id and operation are there in any case.
 */
int blk_request_parse(const struct blkif_request *from, struct blk_request *r);

/**
 * All segments are there: nr_sectors is what they add up to, and it fits the disk.
 * Returns a BLKIF_RSP_*.
 */
int blk_request_check(struct blk_request *r, const struct disk *d);

/** Where a segment begins in its page, and how long it is. It was checked. */
static inline uint16_t blk_segment_offset(const struct blkif_request_segment *s)
{
    return (uint16_t)(s->first_sect * DISK_SECTOR);
}
static inline uint16_t blk_segment_bytes(const struct blkif_request_segment *s)
{
    return (uint16_t)((s->last_sect - s->first_sect + 1) * DISK_SECTOR);
}
