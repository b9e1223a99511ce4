#include "drivers/virtio_blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "drivers/disk_queue.h"
#include "drivers/virtio.h"

#define BIT(n) (1UL << (n))
#define F_SIZE_MAX BIT(1)
#define F_SEG_MAX BIT(2)
#define F_RO BIT(5)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_MQ BIT(12)
#define F_DISCARD BIT(13)
#define WANTED (F_SIZE_MAX | F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_MQ | F_DISCARD)

/* Its configuration: offsets. */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SIZE_MAX = 8,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_NR_QUEUES = 34
};
enum { CONFIG_MAX_DISCARD = 36, CONFIG_DISCARD_ALIGNMENT = 44 };

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_DISCARD = 11 };
enum { STATUS_OK = 0, STATUS_UNSUPPORTED = 2, STATUS_NONE = 0xff };

enum {
    MAX_QUEUES = 4,
    MAX_PIECES = 64, /* so that several go into a queue */
    OVERHEAD = 3, /* descriptors of a command beside its data: header, range of a DISCARD, status */
    SLOT_BYTES = 64,
    SLOTS_OF_PAGE = DISK_PAGE / SLOT_BYTES,
    MAX_COMMANDS = MAX_QUEUES * VIRTIO_QUEUE_MAX / 2,
};
#define MAX_SECTORS (1UL << 54) /* of whose bytes nobody's arithmetic wraps */

/* What a command has beside its data, in memory that the device reads and writes. */
struct slot {
    uint32_t type, reserved;
    uint64_t sector;
    struct {
        uint64_t sector;
        uint32_t nr_sectors, flags;
    } range;
    volatile uint8_t status;
};
_Static_assert(sizeof(struct slot) <= SLOT_BYTES && offsetof(struct slot, range) == 16, "layout");

struct virtio_blk;

struct blk_queue {
    struct virtio_blk *blk;
    struct virtqueue queue;
    struct plat_wake wake;
    bool kick; /* there is something new in it */
};

struct virtio_blk {
    struct disk_queue requests; /* the first member */
    struct virtio virtio;
    struct plat_loop *loop;
    struct plat_wake config_wake;
    struct plat_timer timer;
    struct disk_resets resets;
    bool told_short;
    unsigned int nr_queues, next; /* the queue that the next command goes to */
    uint8_t *slots[MAX_COMMANDS / SLOTS_OF_PAGE];
    struct blk_queue queues[MAX_QUEUES];
};

static struct slot *slot_of(const struct virtio_blk *b, const struct disk_command *c)
{
    return (struct slot *)(b->slots[c->nr / SLOTS_OF_PAGE] + c->nr % SLOTS_OF_PAGE * SLOT_BYTES);
}

/* ---- to the device ---- */

static void slot_fill(struct slot *s, const struct disk_command *c)
{
    static const uint32_t types[] = { TYPE_IN, TYPE_OUT, TYPE_FLUSH, TYPE_DISCARD };

    s->type = types[c->op];
    s->reserved = 0;
    s->sector = c->op == DISK_READ || c->op == DISK_WRITE ? c->sector : 0;
    s->range.sector = c->sector;
    s->range.nr_sectors = c->nr_sectors;
    s->range.flags = 0;
    s->status = STATUS_NONE;
}

/* To the next queue, round and round, that has room. */
static bool start(struct disk_queue *q, struct disk_command *c, const struct piece *pieces,
                  unsigned int nr_pieces)
{
    struct virtio_blk *b = (struct virtio_blk *)q;
    struct slot *s = slot_of(b, c);
    struct piece all[MAX_PIECES + OVERHEAD];
    unsigned int nr = 0, nr_in = 1;

    slot_fill(s, c);
    all[nr++] = (struct piece){ s, offsetof(struct slot, range) };
    if (c->op == DISK_DISCARD)
        all[nr++] = (struct piece){ &s->range, sizeof(s->range) };
    for (unsigned int i = 0; i < nr_pieces; i++)
        all[nr++] = pieces[i];
    all[nr++] = (struct piece){ (void *)&s->status, 1 };
    if (c->op == DISK_READ)
        nr_in += nr_pieces;
    for (unsigned int i = 0; i < b->nr_queues; i++) {
        struct blk_queue *bq = &b->queues[b->next++ % b->nr_queues];

        if (virtqueue_add(&bq->queue, all, nr - nr_in, nr_in, c)) {
            bq->kick = true;
            return true;
        }
    }
    return false;
}

/* Some were begun: look whether they end. */
static void watch(struct virtio_blk *b)
{
    if (b->timer.loop == NULL)
        plat_timer_set(b->loop, &b->timer, plat_now() + DISK_WATCH_S * DISK_NS_PER_S);
}

static void kick(struct disk_queue *q)
{
    struct virtio_blk *b = (struct virtio_blk *)q;

    for (unsigned int i = 0; i < b->nr_queues; i++)
        if (b->queues[i].kick) {
            b->queues[i].kick = false;
            virtqueue_kick(&b->queues[i].queue);
        }
    watch(b);
}

static const struct disk_hw hw = { start, kick };

/* ---- from the device ---- */

static int error_of(uint8_t status)
{
    return status == STATUS_OK ? 0 : status == STATUS_UNSUPPORTED ? EOPNOTSUPP : EIO;
}

/*
 * What the device says of a command, and how much it says it has written: of a READ that is all the data, or what
 * lies there was somebody else's.
 */
static int result_of(struct virtio_blk *b, const struct disk_command *c, uint32_t bytes)
{
    int error = error_of(slot_of(b, c)->status);

    if (error || c->op != DISK_READ || bytes >= c->nr_sectors * DISK_SECTOR)
        return error;
    if (!b->told_short)
        plat_log(PLAT_ERROR,
                 "virtio disk: of %u sectors it has read %u bytes, and says that is all",
                 c->nr_sectors, bytes);
    b->told_short = true;
    return EIO;
}

/* One that breaks the rules is stopped, and then nobody's memory is in use any more. */
static void check_broken(struct virtio_blk *b)
{
    if (!b->virtio.broken || b->requests.dead)
        return;
    virtio_stop(&b->virtio);
    disk_queue_die(&b->requests);
}

/* No more at a time than the queue holds: others of the loop have their turn. */
static void on_queue(void *arg)
{
    struct blk_queue *bq = arg;
    struct virtio_blk *b = bq->blk;
    struct disk_command *c;
    uint32_t bytes;

    virtqueue_messages(&bq->queue, false);
    for (unsigned int i = 0; i < bq->queue.size && (c = virtqueue_take(&bq->queue, &bytes)) != NULL;
         i++)
        disk_queue_done(&b->requests, c, result_of(b, c, bytes));
    disk_queue_go_on(&b->requests);
    if (virtqueue_messages(&bq->queue, true))
        plat_wake(&bq->wake);
    check_broken(b);
}

static int start_queues(struct virtio_blk *b)
{
    if (virtio_again(&b->virtio) || virtio_config_message(&b->virtio, 0))
        return -1;
    for (unsigned int i = 0; i < b->nr_queues; i++)
        if (virtqueue_again(&b->queues[i].queue))
            return -1;
    virtio_start(&b->virtio);
    return 0;
}

/* What it had begins again, as far as it may: disk_queue_lost(). What waits goes on. */
static void start_again(struct virtio_blk *b)
{
    bool again = disk_reset_again(&b->resets);

    plat_log(PLAT_ERROR, "virtio disk: a command is overdue: it is %s",
             again ? "reset" : "given up, as it was reset again and again");
    virtio_stop(&b->virtio);
    disk_queue_hold(&b->requests, true);
    disk_queue_lost(&b->requests, EIO);
    if (again && start_queues(b) == 0) {
        disk_queue_hold(&b->requests, false);
        return;
    }
    if (again)
        plat_log(PLAT_ERROR, "virtio disk: it does not come back");
    virtio_stop(&b->virtio);
    disk_queue_die(&b->requests);
}

static void on_timer(void *arg)
{
    struct virtio_blk *b = arg;
    bool any = false;

    if (b->requests.dead)
        return;
    if (disk_queue_overdue(&b->requests, &any))
        start_again(b);
    else if (any)
        watch(b);
}

/* In whole sectors of the disk's. -1: it says none that makes sense. */
static int read_capacity(const struct virtio_blk *b, uint64_t *nr)
{
    if (virtio_config(&b->virtio, CONFIG_CAPACITY, nr, sizeof(*nr)))
        return -1;
    *nr -= *nr % (b->requests.disk.sector_bytes / DISK_SECTOR);
    if (*nr <= MAX_SECTORS)
        return 0;
    errno = ENOTSUP;
    return -1;
}

/* Nothing but its size changes. */
static void on_config(void *arg)
{
    struct virtio_blk *b = arg;
    struct disk *d = &b->requests.disk;
    uint64_t nr;

    if (b->virtio.broken)
        return;
    if (read_capacity(b, &nr)) {
        plat_log(PLAT_WARNING, "virtio disk: it has changed, and does not say how: %s",
                 strerror(errno));
        return;
    }
    if (nr == d->nr_sectors)
        return;
    d->nr_sectors = nr;
    if (d->changed)
        d->changed(d->arg);
}

/* ---- life ---- */

/* A field that is there with a feature only. */
static uint32_t field(const struct virtio_blk *b, uint64_t feature, uint32_t offset, uint32_t bytes,
                      uint32_t otherwise)
{
    uint32_t value = 0;

    if (!(b->virtio.features & feature) || virtio_config(&b->virtio, offset, &value, bytes))
        return otherwise;
    return value;
}

static uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }

static int describe(struct virtio_blk *b)
{
    struct disk *d = &b->requests.disk;
    struct disk_limits *l = &b->requests.limits;
    uint32_t sectors;

    d->sector_bytes = field(b, F_BLK_SIZE, CONFIG_BLK_SIZE, 4, DISK_SECTOR);
    d->read_only = b->virtio.features & F_RO;
    d->flush = b->virtio.features & F_FLUSH;
    l->pieces = min(field(b, F_SEG_MAX, CONFIG_SEG_MAX, 4, 1), MAX_PIECES);
    l->piece_bytes = min(field(b, F_SIZE_MAX, CONFIG_SIZE_MAX, 4, DISK_PAGE), DISK_PAGE) &
                     -(uint32_t)DISK_SECTOR;
    l->bytes = MAX_PIECES * DISK_PAGE;
    sectors = d->sector_bytes / DISK_SECTOR;
    if (d->sector_bytes != 512 && d->sector_bytes != 4096) {
        errno = ENOTSUP;
        return -1;
    }
    if (read_capacity(b, &d->nr_sectors))
        return -1;
    l->discard_sectors = field(b, F_DISCARD, CONFIG_MAX_DISCARD, 4, 0);
    l->discard_sectors -= l->discard_sectors % sectors;
    d->discard = l->discard_sectors != 0;
    d->discard_bytes =
        field(b, F_DISCARD, CONFIG_DISCARD_ALIGNMENT, 4, 0) % (1u << 22) * DISK_SECTOR;
    if (d->discard_bytes < d->sector_bytes)
        d->discard_bytes = d->sector_bytes;
    return 0;
}

/* Message 0 is for the configuration where there are several; queues have one each, as far as there are. */
static int open_queues(struct virtio_blk *b)
{
    unsigned int nr = b->virtio.nr_messages, smallest = VIRTIO_QUEUE_MAX;

    b->nr_queues =
        min(min(field(b, F_MQ, CONFIG_NR_QUEUES, 2, 1), b->virtio.nr_queues), MAX_QUEUES);
    if (nr < 2) {
        errno = ENOTSUP;
        return -1;
    }
    b->nr_queues = min(b->nr_queues, nr - 1);
    if (pci_bind(b->virtio.pci, 0, &b->config_wake) || virtio_config_message(&b->virtio, 0))
        return -1;
    for (unsigned int i = 0; i < b->nr_queues; i++) {
        struct blk_queue *bq = &b->queues[i];

        if (pci_bind(b->virtio.pci, i + 1, &bq->wake) ||
            virtqueue_open(&bq->queue, &b->virtio, i, i + 1))
            return -1;
        smallest = min(smallest, bq->queue.size);
    }
    if (b->nr_queues == 0 || smallest < OVERHEAD + 1) {
        errno = EIO;
        return -1;
    }
    b->requests.limits.pieces = min(b->requests.limits.pieces, smallest - OVERHEAD + 1);
    return 0;
}

static int open_requests(struct virtio_blk *b)
{
    unsigned int nr = 0;

    for (unsigned int i = 0; i < b->nr_queues; i++)
        nr += b->queues[i].queue.size / 2; /* a command has two descriptors at least */
    for (unsigned int i = 0; i < nr; i += SLOTS_OF_PAGE)
        if ((b->slots[i / SLOTS_OF_PAGE] = pci_dma_alloc(b->virtio.pci, 1)) == NULL)
            return -1;
    return disk_queue_init(&b->requests, nr);
}

static void wakes_add(struct virtio_blk *b)
{
    b->timer.fn = on_timer;
    b->timer.arg = b;
    b->config_wake = (struct plat_wake){ .fn = on_config, .arg = b };
    plat_wake_add(b->loop, &b->config_wake);
    for (unsigned int i = 0; i < MAX_QUEUES; i++) {
        b->queues[i].blk = b;
        b->queues[i].wake = (struct plat_wake){ .fn = on_queue, .arg = &b->queues[i] };
        plat_wake_add(b->loop, &b->queues[i].wake);
    }
}

/* The device first: from then on nobody wakes. */
static void close_all(struct disk *d)
{
    struct virtio_blk *b = (struct virtio_blk *)d;

    plat_timer_cancel(&b->timer);
    virtio_close(&b->virtio);
    plat_wake_remove(&b->config_wake);
    for (unsigned int i = 0; i < MAX_QUEUES; i++)
        plat_wake_remove(&b->queues[i].wake);
    disk_queue_exit(&b->requests);
    free(b);
}

static const struct disk_ops ops = { disk_queue_submit, close_all };

struct disk *virtio_blk_open(struct plat_loop *l, uint16_t bdf)
{
    struct virtio_blk *b = calloc(1, sizeof(*b));
    int error;

    if (b == NULL)
        return NULL;
    if (virtio_open(&b->virtio, bdf, WANTED)) {
        error = errno;
        free(b);
        errno = error;
        return NULL;
    }
    b->loop = l;
    b->requests.disk.ops = &ops;
    b->requests.hw = &hw;
    wakes_add(b);
    if (describe(b) == 0 && open_queues(b) == 0 && open_requests(b) == 0) {
        virtio_start(&b->virtio);
        return &b->requests.disk;
    }
    error = errno;
    close_all(&b->requests.disk);
    errno = error;
    return NULL;
}
