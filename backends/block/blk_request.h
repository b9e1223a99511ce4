/* blk_request.h: what a guest's request says, checked: pure, so that it can be tested with anything. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
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

#define BLK_HEAD \
    ((uint32_t)offsetof(struct blkif_request, seg)) /* bytes of a slot; segments behind them */

static inline bool blk_has_segments(const struct blkif_request *head)
{
    return head->operation == BLKIF_OP_READ || head->operation == BLKIF_OP_WRITE;
}

/** What blk_request_parse() does with others than reads and writes. */
int blk_request_parse_other(const struct blkif_request *from, struct blk_request *r);

/**
 * @from  the copy of a slot of the ring: its head, and if it has no segments there the rest, too
 * Returns a BLKIF_RSP_*: BLKIF_RSP_OKAY it makes sense so far; id and operation are there in any case. Its segments,
 * nr_segments of them, are to be put into r->segments: from the slot, or if it is indirect from the page.
 */
static inline int blk_request_parse(const struct blkif_request *from, struct blk_request *r)
{
    r->id = from->id;
    r->operation = from->operation;
    r->sector = from->sector_number;
    r->nr_segments = from->nr_segments;
    r->indirect = false;
    if (!blk_has_segments(from))
        return blk_request_parse_other(from, r);
    r->op = from->operation == BLKIF_OP_READ ? DISK_READ : DISK_WRITE;
    return r->nr_segments >= 1 && r->nr_segments <= BLKIF_MAX_SEGMENTS_PER_REQUEST
               ? BLKIF_RSP_OKAY
               : BLKIF_RSP_ERROR;
}

/* What the segments add up to; 0: one of them is wrong. @part  a sector of the disk less one, in sectors: 0 or 7 */
static inline uint64_t blk_segments_sectors(const struct blk_request *r, unsigned int part)
{
    const struct blkif_request_segment *end = r->segments + r->nr_segments;
    uint64_t sum = 0;

    for (const struct blkif_request_segment *s = r->segments; s < end; s++) {
        unsigned int first = s->first_sect, last = s->last_sect, nr = last - first + 1;

        if (first > last || last >= BLK_PAGE_SECTORS || (nr & part))
            return 0;
        sum += nr;
    }
    return sum;
}

/**
 * All segments are there: nr_sectors is what they add up to, and it fits the disk.
 * Returns a BLKIF_RSP_*.
 */
static inline int blk_request_check(struct blk_request *r, const struct disk *d)
{
    unsigned int part = d->sector_bytes / DISK_SECTOR - 1;

    if (r->op <= DISK_WRITE)
        r->nr_sectors = blk_segments_sectors(r, part);
    else if (r->op == DISK_FLUSH)
        return d->flush ? BLKIF_RSP_OKAY : BLKIF_RSP_EOPNOTSUPP;
    else if (!d->discard)
        return BLKIF_RSP_EOPNOTSUPP;
    if (r->nr_sectors == 0 || ((r->sector | r->nr_sectors) & part) ||
        r->nr_sectors > d->nr_sectors || r->sector > d->nr_sectors - r->nr_sectors ||
        (r->op != DISK_READ && d->read_only))
        return BLKIF_RSP_ERROR;
    return BLKIF_RSP_OKAY;
}

/** Where a segment begins in its page, and how long it is. It was checked. */
static inline uint32_t blk_segment_offset(const struct blkif_request_segment *s)
{
    return s->first_sect * (uint32_t)DISK_SECTOR;
}
static inline uint32_t blk_segment_bytes(const struct blkif_request_segment *s)
{
    return (uint32_t)(s->last_sect - s->first_sect + 1) * DISK_SECTOR;
}
