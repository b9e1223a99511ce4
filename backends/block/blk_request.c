#include "blk_request.h"

#include <string.h>

_Static_assert(sizeof(struct blkif_request) == 112, "ABI: blkif_request");
_Static_assert(sizeof(struct blkif_request_segment) == 8, "ABI: blkif_request_segment");
_Static_assert(sizeof(struct blkif_response) == 16, "ABI: blkif_response");
_Static_assert(sizeof(struct blkif_request_indirect) <= sizeof(struct blkif_request),
               "ABI: indirect");
_Static_assert(BLK_SEGMENTS * sizeof(struct blkif_request_segment) <= BLK_PAGE, "one page");

static int parse_indirect(const struct blkif_request *from, struct blk_request *r)
{
    struct blkif_request_indirect i;

    memcpy(&i, from, sizeof(i));
    r->id = i.id;
    r->operation = i.indirect_op;
    r->sector = i.sector_number;
    r->nr_segments = i.nr_segments;
    r->indirect = true;
    r->page = i.indirect_grefs[0];
    r->op = i.indirect_op == BLKIF_OP_WRITE ? DISK_WRITE : DISK_READ;
    if (i.indirect_op != BLKIF_OP_READ && i.indirect_op != BLKIF_OP_WRITE)
        return BLKIF_RSP_EOPNOTSUPP;
    return i.nr_segments >= 1 && i.nr_segments <= BLK_SEGMENTS ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
}

static int parse_discard(const struct blkif_request *from, struct blk_request *r)
{
    struct blkif_request_discard d;

    memcpy(&d, from, sizeof(d));
    r->op = DISK_DISCARD;
    r->id = d.id;
    r->sector = d.sector_number;
    r->nr_sectors = d.nr_sectors;
    r->nr_segments = 0;
    return d.flag & BLKIF_DISCARD_SECURE ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_OKAY;
}

int blk_request_parse_other(const struct blkif_request *from, struct blk_request *r)
{
    switch (from->operation) {
    case BLKIF_OP_FLUSH_DISKCACHE: /* one with data is a write besides, which nobody is known to send */
        r->op = DISK_FLUSH;
        r->nr_sectors = 0;
        return from->nr_segments ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_OKAY;
    case BLKIF_OP_DISCARD: return parse_discard(from, r);
    case BLKIF_OP_INDIRECT: return parse_indirect(from, r);
    default: return BLKIF_RSP_EOPNOTSUPP;
    }
}
