#include "drivers/virtio.h"

#include <errno.h>
#include <string.h>

#include <platform.h>

/* The vendor's capabilities (4.1.4): what a piece of a BAR is for. */
enum {
    CAP_LENGTH = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_BYTES = 12,
    CAP_MULTIPLIER = 16
};
enum { VIRTIO_PAGE = 4096 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_DEVICE = 4, CAP_MIN = 16, CAPS_MAX = 48 };

/* The common configuration (4.1.4.3). */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    CONFIG_MESSAGE = 16,
    NR_QUEUES = 18,
    STATUS = 20,
    GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_MESSAGE = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFFSET = 30,
    QUEUE_DESC = 32,
    QUEUE_AVAIL = 40,
    QUEUE_USED = 48,
    COMMON_BYTES = 56,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, FAILED = 128 };
enum { RESET_TRIES = 1000, RESET_US = 1000, CONFIG_TRIES = 100, NO_MESSAGE = 0xffff };

/*
 * Where the device is behind an IOMMU, or in need of real barriers: machine addresses are right for the former, as
 * nobody here sets one up, and the processor's barriers are used anyway.
 */
#define F_ACCESS_PLATFORM (1UL << 33)
#define F_ORDER_PLATFORM (1UL << 36)

struct virtq_desc {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

/* avail: flags, idx, then ring; used: the same, each 16 bits, then elements of two words. */
enum { RING_FLAGS = 0, RING_INDEX = 1, RING = 2, USED_RING_BYTES = 4, USED_BYTES = 8 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* Ours before theirs: a store, and a load behind it. */
#define full_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- the transport ---- */

/*
 * The first of that type which can be mapped; the device puts them in the order in which it likes them. A list that goes
 * round in a circle ends, too: there is no room for more of them.
 */
static int map_part(struct virtio *v, unsigned int type, uint32_t min, struct pci_window *w,
                    uint8_t *at)
{
    int error = ENODEV;
    uint8_t cap = 0;

    for (int i = 0; i < CAPS_MAX && (cap = pci_capability(v->pci, PCI_CAP_VENDOR, cap)) != 0; i++) {
        uint32_t bytes = pci_read(v->pci, cap + CAP_BYTES, 4);

        if (pci_read(v->pci, cap + CAP_TYPE, 1) != type || bytes < min ||
            pci_read(v->pci, cap + CAP_LENGTH, 1) < CAP_MIN)
            continue;
        if (pci_map(v->pci, pci_read(v->pci, cap + CAP_BAR, 1),
                    pci_read(v->pci, cap + CAP_OFFSET, 4), bytes, w) == 0) {
            *at = cap;
            return 0;
        }
        error = errno;
    }
    return failed(error);
}

static int map_parts(struct virtio *v)
{
    uint8_t cap;

    if (map_part(v, TYPE_COMMON, COMMON_BYTES, &v->common, &cap) ||
        map_part(v, TYPE_DEVICE, 1, &v->config, &cap) ||
        map_part(v, TYPE_NOTIFY, 2, &v->notify, &cap))
        return -1;
    v->notify_multiplier = pci_read(v->pci, cap + CAP_MULTIPLIER, 4);
    pci_stop_by(v->pci, &v->common, STATUS, 1, 0);
    return 0;
}

static void add_status(const struct virtio *v, uint8_t bit)
{
    pci_out8(&v->common, STATUS, pci_in8(&v->common, STATUS) | bit);
}

static int reset(const struct virtio *v)
{
    pci_out8(&v->common, STATUS, 0);
    for (unsigned int i = 0; pci_in8(&v->common, STATUS) != 0; i++) {
        if (i == RESET_TRIES)
            return failed(EIO);
        pci_sleep_us(RESET_US);
    }
    return 0;
}

static int negotiate(struct virtio *v, uint64_t wanted)
{
    uint64_t offered = 0;

    for (uint32_t i = 0; i < 2; i++) {
        pci_out32(&v->common, DEVICE_FEATURE_SELECT, i);
        offered |= (uint64_t)pci_in32(&v->common, DEVICE_FEATURE) << 32 * i;
    }
    if (!(offered & VIRTIO_F_VERSION_1))
        return failed(ENOTSUP);
    v->features = offered & (wanted | VIRTIO_F_VERSION_1 | F_ACCESS_PLATFORM | F_ORDER_PLATFORM);
    for (uint32_t i = 0; i < 2; i++) {
        pci_out32(&v->common, DRIVER_FEATURE_SELECT, i);
        pci_out32(&v->common, DRIVER_FEATURE, (uint32_t)(v->features >> 32 * i));
    }
    add_status(v, FEATURES_OK);
    return pci_in8(&v->common, STATUS) & FEATURES_OK ? 0 : failed(ENOTSUP);
}

/* From its reset on. */
static int agree(struct virtio *v, uint64_t wanted)
{
    if (reset(v))
        return -1;
    add_status(v, ACKNOWLEDGE);
    add_status(v, DRIVER);
    return negotiate(v, wanted);
}

static int begin(struct virtio *v, uint64_t wanted)
{
    if (map_parts(v))
        return -1;
    v->nr_messages = pci_nr_messages(v->pci);
    if (!pci_has_msix(v->pci) || v->nr_messages == 0)
        return failed(ENOTSUP);
    if (agree(v, wanted))
        return -1;
    v->nr_queues = pci_in16(&v->common, NR_QUEUES);
    pci_master(v->pci, true);
    return 0;
}

int virtio_open(struct virtio *v, uint16_t bdf, uint64_t wanted)
{
    int error;

    *v = (struct virtio){ .pci = pci_open(bdf) };
    if (v->pci == NULL)
        return -1;
    if (begin(v, wanted) == 0)
        return 0;
    error = errno;
    if (v->common.bytes)
        add_status(v, FAILED);
    pci_close(v->pci);
    return failed(error);
}

void virtio_stop(struct virtio *v)
{
    v->broken = true;
    reset(v); /* and if it does not: it has no way to memory */
    pci_master(v->pci, false);
}

int virtio_again(struct virtio *v)
{
    uint64_t features = v->features;
    bool same = agree(v, features) == 0 && v->features == features &&
                pci_in16(&v->common, NR_QUEUES) == v->nr_queues;

    v->features = features;
    if (!same)
        return failed(EIO);
    v->broken = false;
    pci_master(v->pci, true);
    return 0;
}

void virtio_close(struct virtio *v) { pci_close(v->pci); }

void virtio_start(struct virtio *v) { add_status(v, DRIVER_OK); }

int virtio_config(const struct virtio *v, uint32_t offset, void *to, uint32_t bytes)
{
    uint8_t *at = to, generation;

    if (offset > v->config.bytes || bytes > v->config.bytes - offset)
        return failed(EIO);
    for (unsigned int i = 0; i < CONFIG_TRIES; i++) {
        generation = pci_in8(&v->common, GENERATION);
        for (uint32_t n = 0; n < bytes; n++)
            at[n] = pci_in8(&v->config, offset + n);
        if (generation == pci_in8(&v->common, GENERATION))
            return 0;
    }
    return failed(EIO);
}

int virtio_config_message(struct virtio *v, unsigned int nr)
{
    pci_out16(&v->common, CONFIG_MESSAGE, (uint16_t)nr);
    return pci_in16(&v->common, CONFIG_MESSAGE) == nr ? 0 : failed(EIO);
}

/* ---- queues ---- */

static void out64(const struct virtio *v, uint64_t offset, uint64_t value)
{
    pci_out32(&v->common, offset, (uint32_t)value);
    pci_out32(&v->common, offset + 4, (uint32_t)(value >> 32));
}

/* Powers of two, as the indices of a split queue want it. */
static unsigned int size_of(unsigned int offered)
{
    unsigned int size = VIRTIO_QUEUE_MAX;

    while (size > offered)
        size /= 2;
    return size;
}

static int queue_memory(struct virtqueue *q)
{
    q->desc = pci_dma_alloc(q->v->pci, 1);
    q->avail = pci_dma_alloc(q->v->pci, 1);
    q->used = pci_dma_alloc(q->v->pci, 1);
    return q->desc && q->avail && q->used ? 0 : -1;
}

/* As at first. */
static void queue_clear(struct virtqueue *q)
{
    memset((void *)q->avail, 0, VIRTIO_PAGE);
    memset((void *)q->used, 0, VIRTIO_PAGE);
    memset(q->chains, 0, sizeof(q->chains));
    for (unsigned int i = 0; i < q->size; i++)
        q->next[i] = (uint16_t)(i + 1);
    q->free = 0;
    q->nr_free = (uint16_t)q->size;
    q->nr_chains = q->avail_index = q->used_index = 0;
}

/* The device is told of it. */
static int queue_enable(const struct virtqueue *q)
{
    const struct virtio *v = q->v;
    const struct pci_window *c = &v->common;

    pci_out16(c, QUEUE_SIZE, (uint16_t)q->size);
    pci_out16(c, QUEUE_MESSAGE, (uint16_t)q->message);
    if (pci_in16(c, QUEUE_MESSAGE) != q->message)
        return failed(EIO);
    out64(v, QUEUE_DESC, pci_dma_address((void *)q->desc));
    out64(v, QUEUE_AVAIL, pci_dma_address((void *)q->avail));
    out64(v, QUEUE_USED, pci_dma_address((void *)q->used));
    pci_out16(c, QUEUE_ENABLE, 1);
    return 0;
}

int virtqueue_open(struct virtqueue *q, struct virtio *v, unsigned int index, unsigned int message)
{
    const struct pci_window *c = &v->common;

    *q = (struct virtqueue){ .v = v, .index = index, .message = message };
    pci_out16(c, QUEUE_SELECT, (uint16_t)index);
    q->size = size_of(pci_in16(c, QUEUE_SIZE));
    q->notify_offset = (uint64_t)pci_in16(c, QUEUE_NOTIFY_OFFSET) * v->notify_multiplier;
    if (q->size == 0 || index >= v->nr_queues || q->notify_offset > v->notify.bytes - 2 ||
        q->notify_offset % 2)
        return failed(EIO);
    if (queue_memory(q))
        return -1;
    queue_clear(q);
    return queue_enable(q);
}

int virtqueue_again(struct virtqueue *q)
{
    const struct pci_window *c = &q->v->common;

    queue_clear(q);
    pci_out16(c, QUEUE_SELECT, (uint16_t)q->index);
    if (pci_in16(c, QUEUE_SIZE) < q->size ||
        (uint64_t)pci_in16(c, QUEUE_NOTIFY_OFFSET) * q->v->notify_multiplier != q->notify_offset)
        return failed(EIO);
    return queue_enable(q);
}

bool virtqueue_add(struct virtqueue *q, const struct piece *pieces, unsigned int nr_out,
                   unsigned int nr_in, void *cookie)
{
    unsigned int nr = nr_out + nr_in;
    uint16_t first = q->free;
    uint32_t writable = 0;

    if (nr > q->nr_free || q->v->broken)
        return false;
    for (unsigned int i = 0; i < nr; i++) {
        volatile struct virtq_desc *d = &q->desc[q->free];

        d->address = pci_dma_address(pieces[i].data);
        d->bytes = pieces[i].bytes;
        d->flags = (uint16_t)((i >= nr_out ? DESC_WRITE : 0) | (i + 1 < nr ? DESC_NEXT : 0));
        d->next = q->next[q->free];
        writable += i >= nr_out ? pieces[i].bytes : 0;
        q->free = q->next[q->free];
    }
    q->nr_free -= (uint16_t)nr;
    q->nr_chains++;
    q->chains[first] = (struct virtio_chain){ cookie, writable, (uint16_t)nr };
    q->avail[RING + q->avail_index++ % q->size] = first;
    return true;
}

/* First the chains, then the index; and it before what the device says about notifications. */
void virtqueue_kick(struct virtqueue *q)
{
    __atomic_store_n(&q->avail[RING_INDEX], q->avail_index, __ATOMIC_RELEASE);
    full_barrier();
    if (!(((volatile uint16_t *)q->used)[RING_FLAGS] & USED_NO_NOTIFY) && !q->v->broken)
        pci_out16(&q->v->notify, q->notify_offset, (uint16_t)q->index);
}

/* How many chains the device says it is done with, and have not been taken. */
static uint16_t nr_done(const struct virtqueue *q)
{
    return (uint16_t)(__atomic_load_n(&((volatile uint16_t *)q->used)[RING_INDEX],
                                      __ATOMIC_ACQUIRE) -
                      q->used_index);
}

static void *broken(struct virtqueue *q, const char *what)
{
    plat_log(PLAT_ERROR, "virtio: queue %u: the device %s", q->index, what);
    q->v->broken = true;
    return NULL;
}

static void chain_free(struct virtqueue *q, uint16_t first)
{
    uint16_t last = first, nr = q->chains[first].nr;

    for (uint16_t i = 1; i < nr; i++)
        last = q->next[last];
    q->next[last] = q->free;
    q->free = first;
    q->nr_free += nr;
    q->nr_chains--;
    q->chains[first].nr = 0;
}

void *virtqueue_take(struct virtqueue *q, uint32_t *bytes)
{
    const volatile uint32_t *element =
        (volatile uint32_t *)(q->used + USED_RING_BYTES + USED_BYTES * (q->used_index % q->size));
    uint16_t nr = nr_done(q);
    uint32_t id;

    if (nr == 0 || q->v->broken)
        return NULL;
    if (nr > q->nr_chains)
        return broken(q, "has done more than it was given");
    id = element[0];
    *bytes = element[1];
    if (id >= q->size || q->chains[id].nr == 0)
        return broken(q, "has done what it was not given");
    if (*bytes > q->chains[id].writable)
        return broken(q, "has written more than there was room for");
    q->used_index++;
    chain_free(q, (uint16_t)id);
    return q->chains[id].cookie;
}

bool virtqueue_messages(struct virtqueue *q, bool on)
{
    q->avail[RING_FLAGS] = on ? 0 : AVAIL_NO_INTERRUPT;
    full_barrier();
    return nr_done(q) != 0 && !q->v->broken;
}
