#include "drivers/virtio_net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "drivers/net_frames.h"
#include "drivers/virtio.h"

#define BIT(n) (1UL << (n))
#define F_CSUM BIT(0)
#define F_GUEST_CSUM BIT(1)
#define F_MTU BIT(3)
#define F_MAC BIT(5)
#define F_GUEST_TSO4 BIT(7)
#define F_GUEST_TSO6 BIT(8)
#define F_HOST_TSO4 BIT(11)
#define F_HOST_TSO6 BIT(12)
#define F_MRG_RXBUF BIT(15)
#define F_STATUS BIT(16)
#define F_GUEST_TSO (F_GUEST_TSO4 | F_GUEST_TSO6)
#define F_HOST_TSO (F_HOST_TSO4 | F_HOST_TSO6)
#define WANTED \
    (F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_GUEST_TSO | F_HOST_TSO | F_MRG_RXBUF | F_STATUS)

enum {
    CONFIG_MAC = 0,
    CONFIG_STATUS = 6,
    CONFIG_MTU = 10,
    STATUS_UP = 1,
    MTU_MIN = 68,
    MTU_ETHERNET = 1500
};
enum { QUEUE_IN, QUEUE_OUT, NR_QUEUES };

/* In front of each frame. */
struct header {
    uint8_t flags, gso_type;
    uint16_t header_bytes, gso_bytes, csum_start, csum_offset, nr_buffers;
};
enum { NEEDS_CSUM = 1, DATA_VALID = 2, GSO_NONE = 0, GSO_TCP4 = 1, GSO_TCP6 = 4 };
_Static_assert(sizeof(struct header) == 12, "by the specification");

enum {
    PAGE = NET_PAGE,
    HEADER_ROOM = 16, /* of one in the page of those that go out */
    MAX_PIECES = 1 + NET_PIECES_MAX,
    MAX_BUFFERS = FRAME_MAX / PAGE + 2, /* of one frame that comes in */
};
_Static_assert(VIRTIO_QUEUE_MAX *HEADER_ROOM <= PAGE, "room");

struct virtio_net;

struct net_queue {
    struct virtio_net *net;
    struct virtqueue queue;
    struct plat_wake wake;
};

/* A frame on its way out, and its header's place. */
struct outgoing {
    struct outgoing *next; /* free */
    struct frame *frame;
    struct header *header;
};

struct virtio_net {
    struct link link; /* the first member */
    struct virtio virtio;
    struct plat_loop *loop;
    struct plat_wake config_wake;
    struct net_queue queues[NR_QUEUES];
    struct outgoing out[VIRTIO_QUEUE_MAX], *free;
    bool kick;
    /* What comes in: a frame that is being put together, and how many buffers are still to come. */
    struct frame *frame, *spare;
    unsigned int nr_to_come;
    bool spoilt; /* it is dropped when they have come */
    bool dead;
};

/* A card that breaks the rules is stopped. Its link stays, down; what is sent there is dropped. */
static void check_broken(struct virtio_net *n)
{
    if (!n->virtio.broken || n->dead)
        return;
    virtio_stop(&n->virtio);
    n->dead = true;
    n->link.up = false;
}

/* ---- out ---- */

static void reclaim(struct virtio_net *n)
{
    struct outgoing *o;
    uint32_t bytes;

    for (unsigned int i = 0;
         i < VIRTIO_QUEUE_MAX && (o = virtqueue_take(&n->queues[QUEUE_OUT].queue, &bytes)) != NULL;
         i++) {
        frame_put(o->frame);
        o->frame = NULL;
        o->next = n->free;
        n->free = o;
    }
}

/* How much of the frame is to stand before each segment. */
static uint16_t headers_of(const struct frame *f)
{
    uint32_t doff = f->csum_start + 12u;

    return doff < f->bytes ? (uint16_t)(f->csum_start + (f->data[doff] >> 4) * 4u) : f->csum_start;
}

static void header_fill(struct header *h, const struct frame *f)
{
    *h = (struct header){ .gso_type = GSO_NONE };
    if (f->csum != FRAME_CSUM_PARTIAL)
        return;
    h->flags = NEEDS_CSUM;
    h->csum_start = f->csum_start;
    h->csum_offset = f->csum_offset;
    if (f->gso == FRAME_GSO_NONE)
        return;
    h->gso_type = f->gso == FRAME_GSO_TCP4 ? GSO_TCP4 : GSO_TCP6;
    h->gso_bytes = f->gso_bytes;
    h->header_bytes = headers_of(f);
}

static bool add_out(struct virtio_net *n, struct outgoing *o, const struct frame *f)
{
    struct piece pieces[MAX_PIECES];

    header_fill(o->header, f);
    pieces[0] = (struct piece){ o->header, sizeof(*o->header) };
    return virtqueue_add(&n->queues[QUEUE_OUT].queue, pieces, 1 + net_cut(f, pieces + 1), 0, o);
}

static void send(struct link *l, struct frame *f)
{
    struct virtio_net *n = (struct virtio_net *)l;
    struct outgoing *o;

    if (f->bytes < FRAME_MIN || f->bytes > FRAME_MAX || n->dead)
        return;
    if (n->free == NULL || n->queues[QUEUE_OUT].queue.nr_free < MAX_PIECES)
        reclaim(n);
    o = n->free;
    if (o == NULL || !add_out(n, o, f))
        return;
    n->free = o->next;
    o->frame = frame_get(f);
    n->kick = true;
}

static void flush(struct link *l)
{
    struct virtio_net *n = (struct virtio_net *)l;

    if (n->kick)
        virtqueue_kick(&n->queues[QUEUE_OUT].queue);
    n->kick = false;
}

static void on_out(void *arg)
{
    struct net_queue *nq = arg;

    virtqueue_messages(&nq->queue, false);
    reclaim(nq->net);
    if (virtqueue_messages(&nq->queue, true))
        plat_wake(&nq->wake);
    check_broken(nq->net);
}

/* ---- in ---- */

/* What the card says of a frame makes sense for it, and is what was agreed. */
static bool describe_frame(const struct virtio_net *n, struct frame *f, const struct header *h)
{
    f->csum = h->flags & NEEDS_CSUM   ? FRAME_CSUM_PARTIAL
              : h->flags & DATA_VALID ? FRAME_CSUM_GOOD
                                      : FRAME_CSUM_NONE;
    f->csum_start = h->csum_start;
    f->csum_offset = h->csum_offset;
    f->gso = FRAME_GSO_NONE;
    f->gso_bytes = h->gso_bytes;
    if (f->csum != FRAME_CSUM_NONE && !(n->virtio.features & F_GUEST_CSUM))
        return false;
    switch (h->gso_type) {
    case GSO_NONE: return true;
    case GSO_TCP4: f->gso = FRAME_GSO_TCP4; break;
    case GSO_TCP6: f->gso = FRAME_GSO_TCP6; break;
    default: return false;
    }
    return f->csum == FRAME_CSUM_PARTIAL && f->gso_bytes != 0 &&
           (n->virtio.features & (f->gso == FRAME_GSO_TCP4 ? F_GUEST_TSO4 : F_GUEST_TSO6));
}

static bool csum_fits(const struct frame *f)
{
    return f->csum != FRAME_CSUM_PARTIAL ||
           f->csum_start + (uint32_t)f->csum_offset + 2 <= f->bytes;
}

/* The first buffer of a frame has the header. False: it is dropped. */
static bool frame_begin(struct virtio_net *n, const uint8_t *buffer, uint32_t bytes)
{
    struct header h;
    uint32_t room;

    n->nr_to_come = 0;
    if (bytes < sizeof(h))
        return false;
    memcpy(&h, buffer, sizeof(h));
    if (!(n->virtio.features & F_MRG_RXBUF))
        h.nr_buffers = 1;
    if (h.nr_buffers == 0)
        return false;
    n->nr_to_come = h.nr_buffers - 1u;
    if (h.nr_buffers > MAX_BUFFERS)
        return false;
    room = n->nr_to_come * PAGE + bytes;
    n->frame = net_frame_get(&n->spare, room < FRAME_MAX ? room : FRAME_MAX);
    return n->frame && describe_frame(n, n->frame, &h);
}

static bool frame_add(struct frame *f, const uint8_t *data, uint32_t bytes)
{
    if (bytes > f->room - f->bytes)
        return false;
    memcpy(f->data + f->bytes, data, bytes);
    f->bytes += bytes;
    return true;
}

static void frame_end(struct virtio_net *n)
{
    struct frame *f = n->frame;

    n->frame = NULL;
    if (f == NULL)
        return;
    if (!n->spoilt && f->bytes >= FRAME_MIN && csum_fits(f) && n->link.received)
        n->link.received(n->link.arg, f);
    net_frame_put(&n->spare, f);
}

/* A buffer has come: what it has is copied, so that the card can have it again at once. */
static void buffer_in(struct virtio_net *n, const uint8_t *buffer, uint32_t bytes)
{
    uint32_t skip = 0;

    if (n->frame == NULL && n->nr_to_come == 0) {
        n->spoilt = !frame_begin(n, buffer, bytes);
        skip = sizeof(struct header);
    } else {
        n->nr_to_come--;
    }
    if (!n->spoilt)
        n->spoilt = n->frame == NULL || !frame_add(n->frame, buffer + skip, bytes - skip);
    if (n->nr_to_come == 0)
        frame_end(n);
}

static bool buffer_give(struct virtio_net *n, void *buffer)
{
    struct piece p = { buffer, PAGE };

    return virtqueue_add(&n->queues[QUEUE_IN].queue, &p, 0, 1, buffer);
}

static void on_in(void *arg)
{
    struct net_queue *nq = arg;
    struct virtio_net *n = nq->net;
    uint8_t *buffer;
    uint32_t bytes;
    bool any = false;

    virtqueue_messages(&nq->queue, false);
    for (unsigned int i = 0;
         i < nq->queue.size && (buffer = virtqueue_take(&nq->queue, &bytes)) != NULL; i++) {
        buffer_in(n, buffer, bytes);
        buffer_give(n, buffer);
        any = true;
    }
    if (any)
        virtqueue_kick(&nq->queue);
    if (any && n->link.received_all)
        n->link.received_all(n->link.arg);
    if (virtqueue_messages(&nq->queue, true))
        plat_wake(&nq->wake);
    check_broken(n);
}

/* ---- life ---- */

static void look_at_status(struct virtio_net *n)
{
    uint16_t status = STATUS_UP;

    if (n->dead || ((n->virtio.features & F_STATUS) &&
                    virtio_config(&n->virtio, CONFIG_STATUS, &status, sizeof(status))))
        return;
    n->link.up = status & STATUS_UP;
}

static void on_config(void *arg) { look_at_status(arg); }

/* What makes no sense without something else that the card does not have. */
static uint64_t without_lone(uint64_t features)
{
    if (!(features & F_CSUM))
        features &= ~F_HOST_TSO;
    if (!(features & F_GUEST_CSUM) || !(features & F_MRG_RXBUF))
        features &= ~F_GUEST_TSO;
    return features;
}

static int open_virtio(struct virtio_net *n, uint16_t bdf)
{
    uint64_t wanted;

    if (virtio_open(&n->virtio, bdf, WANTED))
        return -1;
    wanted = without_lone(n->virtio.features);
    if (wanted == n->virtio.features)
        return 0;
    virtio_close(&n->virtio);
    return virtio_open(&n->virtio, bdf, wanted & WANTED);
}

static int describe(struct virtio_net *n)
{
    struct link *l = &n->link;

    l->csum4 = l->csum6 = n->virtio.features & F_CSUM;
    l->tso4 = n->virtio.features & F_HOST_TSO4;
    l->tso6 = n->virtio.features & F_HOST_TSO6;
    l->mtu = MTU_ETHERNET;
    if ((n->virtio.features & F_MTU) &&
        virtio_config(&n->virtio, CONFIG_MTU, &l->mtu, sizeof(l->mtu)))
        return -1;
    if (l->mtu < MTU_MIN || l->mtu > PAGE - sizeof(struct header) - 18)
        l->mtu = MTU_ETHERNET;
    if (!(n->virtio.features & F_MAC)) {
        errno = EIO;
        return -1;
    }
    return virtio_config(&n->virtio, CONFIG_MAC, l->mac, sizeof(l->mac));
}

/* Message 0 is for the configuration, where there are enough. */
static int open_queues(struct virtio_net *n)
{
    if (n->virtio.nr_messages < NR_QUEUES + 1 || n->virtio.nr_queues < NR_QUEUES) {
        errno = ENOTSUP;
        return -1;
    }
    if (pci_bind(n->virtio.pci, 0, &n->config_wake) || virtio_config_message(&n->virtio, 0))
        return -1;
    for (unsigned int i = 0; i < NR_QUEUES; i++)
        if (pci_bind(n->virtio.pci, i + 1, &n->queues[i].wake) ||
            virtqueue_open(&n->queues[i].queue, &n->virtio, i, i + 1))
            return -1;
    if (n->queues[QUEUE_OUT].queue.size < MAX_PIECES) {
        errno = EIO;
        return -1;
    }
    return 0;
}

static int fill_queues(struct virtio_net *n)
{
    uint8_t *headers = pci_dma_alloc(n->virtio.pci, 1);

    if (headers == NULL)
        return -1;
    for (unsigned int i = 0; i < VIRTIO_QUEUE_MAX; i++) {
        n->out[i].header = (struct header *)(headers + i * HEADER_ROOM);
        n->out[i].next = n->free;
        n->free = &n->out[i];
    }
    for (unsigned int i = 0; i < n->queues[QUEUE_IN].queue.size; i++) {
        void *buffer = pci_dma_alloc(n->virtio.pci, 1);

        if (buffer == NULL)
            return -1;
        buffer_give(n, buffer);
    }
    return 0;
}

static void wakes_add(struct virtio_net *n)
{
    n->config_wake = (struct plat_wake){ .fn = on_config, .arg = n };
    plat_wake_add(n->loop, &n->config_wake);
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        n->queues[i].net = n;
        n->queues[i].wake =
            (struct plat_wake){ .fn = i == QUEUE_IN ? on_in : on_out, .arg = &n->queues[i] };
        plat_wake_add(n->loop, &n->queues[i].wake);
    }
}

static void close_all(struct link *l)
{
    struct virtio_net *n = (struct virtio_net *)l;

    virtio_close(&n->virtio);
    plat_wake_remove(&n->config_wake);
    for (unsigned int i = 0; i < NR_QUEUES; i++)
        plat_wake_remove(&n->queues[i].wake);
    for (unsigned int i = 0; i < VIRTIO_QUEUE_MAX; i++)
        if (n->out[i].frame)
            frame_put(n->out[i].frame);
    if (n->frame)
        frame_put(n->frame);
    if (n->spare)
        frame_put(n->spare);
    free(n);
}

static const struct link_ops ops = { send, flush, close_all };

struct link *virtio_net_open(struct plat_loop *l, uint16_t bdf)
{
    struct virtio_net *n = calloc(1, sizeof(*n));
    int error;

    if (n == NULL)
        return NULL;
    if (open_virtio(n, bdf)) {
        error = errno;
        free(n);
        errno = error;
        return NULL;
    }
    n->loop = l;
    n->link.ops = &ops;
    wakes_add(n);
    if (describe(n) == 0 && open_queues(n) == 0 && fill_queues(n) == 0) {
        virtio_start(&n->virtio);
        virtqueue_kick(&n->queues[QUEUE_IN].queue);
        look_at_status(n);
        return &n->link;
    }
    error = errno;
    close_all(&n->link);
    errno = error;
    return NULL;
}
