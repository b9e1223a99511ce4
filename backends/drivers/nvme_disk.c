/* Namespaces as disks: commands to the I/O queues, and what comes back. See nvme.h. */
#include "drivers/nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPCODE_FLUSH = 0,
    OPCODE_WRITE = 1,
    OPCODE_READ = 2,
    OPCODE_DATASET = 9,
    DATASET_DEALLOCATE = 4
};
enum { STATUS_CODE = 0x7ff, STATUS_INVALID_OPCODE = 1 };
enum { COMMANDS_OF_DISK = NVME_MAX_QUEUES * NVME_SLOTS, PIECES = DISK_PIECES_MAX };
enum { DISCARD_SECTORS = 1 << 23 };
#define MAX_SECTORS (1UL << 54)

_Static_assert((int)PIECES <= (int)NVME_PIECES_MAX, "room for their PRPs");

/* Of Identify Namespace. */
enum {
    NS_SIZE = 0,
    NS_FEATURES = 24,
    NS_FORMAT = 26,
    NS_PROTECTION = 29,
    NS_DISCARD_GRANULARITY = 68,
    NS_FORMATS = 128
};
enum { FEATURES_OPTIMAL = 1 << 4, FORMAT_INDEX = 0xf };

struct dataset_range {
    uint32_t attributes, nr_blocks;
    uint64_t block;
};

/* ---- to the controller ---- */

static void command_fill(const struct nvme_disk *nd, struct nvme_command *h,
                         const struct disk_command *c, const struct piece *pieces,
                         unsigned int nr_pieces, void *list)
{
    uint64_t block = c->sector / nd->block_sectors;
    uint32_t nr = c->nr_sectors / nd->block_sectors;

    *h = (struct nvme_command){ .opcode = OPCODE_FLUSH, .nsid = nd->nsid };
    switch (c->op) {
    case DISK_FLUSH: break;
    case DISK_READ:
    case DISK_WRITE:
        h->opcode = c->op == DISK_READ ? OPCODE_READ : OPCODE_WRITE;
        h->dw10 = (uint32_t)block;
        h->dw11 = (uint32_t)(block >> 32);
        h->dw12 = nr - 1;
        nvme_prp(h, pieces, nr_pieces, list);
        break;
    case DISK_DISCARD:
        h->opcode = OPCODE_DATASET;
        h->dw11 = DATASET_DEALLOCATE; /* one range */
        *(struct dataset_range *)list = (struct dataset_range){ 0, nr, block };
        nvme_prp(h, &(struct piece){ list, sizeof(struct dataset_range) }, 1, NULL);
        break;
    }
}

/* To the next queue, round and round, that has room. */
static bool start(struct disk_queue *q, struct disk_command *c, const struct piece *pieces,
                  unsigned int nr_pieces)
{
    struct nvme_disk *nd = (struct nvme_disk *)q;
    struct nvme *n = nd->n;
    struct nvme_command h;

    for (unsigned int i = 0; i < n->nr_io && !n->dead; i++) {
        struct nvme_queue *hq = &n->io[n->next_io++ % n->nr_io].queue;
        int id = nvme_queue_next(hq);

        if (id < 0)
            continue;
        command_fill(nd, &h, c, pieces, nr_pieces, nvme_queue_list(hq, id));
        nvme_queue_add(hq, &h, c);
        return true;
    }
    return false;
}

static void kick(struct disk_queue *q)
{
    struct nvme *n = ((struct nvme_disk *)q)->n;

    for (unsigned int i = 0; i < n->nr_io; i++)
        nvme_queue_kick(&n->io[i].queue);
    nvme_watch(n);
}

static const struct disk_hw hw = { start, kick };

/* ---- from the controller ---- */

static int error_of(uint16_t status)
{
    status &= STATUS_CODE;
    return status == 0 ? 0 : status == STATUS_INVALID_OPCODE ? EOPNOTSUPP : EIO;
}

bool nvme_disk_completions(struct nvme_queue *q, unsigned int limit)
{
    struct disk_command *c;
    uint16_t status;
    uint32_t result;

    for (; limit && (c = nvme_queue_take(q, &status, &result)) != NULL; limit--)
        disk_queue_done(c->owner, c, error_of(status));
    return nvme_queue_taken(q);
}

/* ---- life ---- */

static void close_disk(struct disk *d)
{
    struct nvme_disk *nd = (struct nvme_disk *)d;
    struct nvme *n = nd->n;

    for (unsigned int i = 0; i < n->nr_disks; i++)
        if (n->disks[i] == nd)
            n->disks[i] = NULL;
    nvme_put(n);
    disk_queue_exit(&nd->requests);
    free(nd);
}

static const struct disk_ops ops = { disk_queue_submit, close_disk };

/* 0: a format that is not served. */
static uint32_t block_bytes(const uint8_t *ns)
{
    const uint8_t *format = ns + NS_FORMATS + 4 * (ns[NS_FORMAT] & FORMAT_INDEX);
    bool plain = format[0] == 0 && format[1] == 0 && ns[NS_PROTECTION] == 0;

    return plain && (format[2] == 9 || format[2] == 12) ? 1u << format[2] : 0;
}

static void describe(struct nvme_disk *nd, const uint8_t *ns)
{
    struct disk *d = &nd->requests.disk;
    struct disk_limits *l = &nd->requests.limits;
    const struct nvme *n = nd->n;
    uint16_t granularity = 0;

    if (ns[NS_FEATURES] & FEATURES_OPTIMAL)
        memcpy(&granularity, ns + NS_DISCARD_GRANULARITY, sizeof(granularity));
    d->ops = &ops;
    d->flush = n->has_cache;
    d->discard = n->has_discard;
    d->discard_bytes = (granularity + 1u) * d->sector_bytes;
    l->pieces = PIECES;
    l->piece_bytes = DISK_PAGE;
    l->pages = true;
    l->bytes = PIECES * DISK_PAGE;
    if (n->max_bytes && n->max_bytes < l->bytes)
        l->bytes = (uint32_t)n->max_bytes;
    l->discard_sectors = DISCARD_SECTORS;
}

struct nvme_disk *nvme_disk_new(struct nvme *n, uint32_t nsid)
{
    uint32_t bytes = block_bytes(n->page);
    struct nvme_disk *nd;
    uint64_t nr;

    memcpy(&nr, n->page + NS_SIZE, sizeof(nr));
    if (bytes == 0 || nr == 0 || nr > MAX_SECTORS / (bytes / DISK_SECTOR)) {
        errno = ENOTSUP;
        return NULL;
    }
    nd = calloc(1, sizeof(*nd));
    if (nd == NULL)
        return NULL;
    nd->n = n;
    nd->nsid = nsid;
    nd->block_sectors = bytes / DISK_SECTOR;
    nd->requests.hw = &hw;
    nd->requests.disk.sector_bytes = bytes;
    nd->requests.disk.nr_sectors = nr * nd->block_sectors;
    describe(nd, n->page);
    if (disk_queue_init(&nd->requests, COMMANDS_OF_DISK) == 0)
        return nd;
    free(nd);
    return NULL;
}
