#include "fake_virtio.h"

#include <stdlib.h>
#include <string.h>

enum {
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    NO_MESSAGE = 0xffff
};

struct desc {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};

/* ---- its registers: the common ones at 0 ---- */

static void reset(struct fake_virtio *v)
{
    v->nr_resets++;
    v->config_message = NO_MESSAGE;
    for (unsigned int i = 0; i < FAKE_QUEUES; i++)
        v->queues[i] = (struct fake_queue){ .size = v->queues[i].size, .message = NO_MESSAGE };
}

static struct fake_queue *selected(struct fake_virtio *v)
{
    static struct fake_queue none;

    none = (struct fake_queue){ 0 };
    return v->select < v->nr_queues ? &v->queues[v->select] : &none;
}

static uint32_t read_config(struct fake_virtio *v, uint64_t offset)
{
    v->generation += v->changes_always;
    return v->config[offset];
}

static uint32_t read_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                              unsigned int bytes)
{
    struct fake_virtio *v = (struct fake_virtio *)p;

    (void)bytes;
    if (bar != 4)
        abort();
    if (offset >= FAKE_CONFIG && offset < FAKE_CONFIG + sizeof(v->config))
        return read_config(v, offset - FAKE_CONFIG);
    switch (offset) {
    case 4:
        return v->feature_select[0] < 2 ? (uint32_t)(v->features >> 32 * v->feature_select[0]) : 0;
    case 16: return v->config_message;
    case 18: return v->nr_queues;
    case 20: return v->status;
    case 21: return v->generation;
    case 24: return selected(v)->size;
    case 26: return selected(v)->message;
    case 30: return v->select;
    default: abort();
    }
}

static void set_status(struct fake_virtio *v, uint8_t value)
{
    if (value == 0)
        reset(v);
    v->status = value == 0 && v->never_resets ? 0x40 : value;
    if (v->refuses_features || (v->driver_features & ~v->features))
        v->status &= (uint8_t)~STATUS_FEATURES_OK;
}

static void write_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                           unsigned int bytes, uint32_t value)
{
    struct fake_virtio *v = (struct fake_virtio *)p;
    uint64_t *addresses[] = { &selected(v)->desc, &selected(v)->avail, &selected(v)->used };

    (void)bytes;
    if (bar != 4)
        abort();
    if (offset >= FAKE_NOTIFY) {
        v->queues[(offset - FAKE_NOTIFY) / 4].nr_notified++;
        return;
    }
    switch (offset) {
    case 0: v->feature_select[0] = value; break;
    case 8: v->feature_select[1] = value; break;
    case 12:
        v->driver_features &= v->feature_select[1] ? 0xffffffffUL : 0xffffffff00000000UL;
        v->driver_features |= (uint64_t)value << 32 * v->feature_select[1];
        break;
    case 16: v->config_message = (uint16_t)value; break;
    case 20: set_status(v, (uint8_t)value); break;
    case 22: v->select = (uint16_t)value; break;
    case 24: selected(v)->size = (uint16_t)value; break;
    case 26: selected(v)->message = (uint16_t)value; break;
    case 28: selected(v)->enabled = (uint16_t)value; break;
    case 32 ... 55: memcpy((uint8_t *)addresses[(offset - 32) / 8] + offset % 8, &value, 4); break;
    default: abort();
    }
}

/* ---- life ---- */

static void add_part(struct fake_virtio *v, uint8_t type, uint32_t offset, uint32_t bytes)
{
    uint8_t cap[20] = { PCI_CAP_VENDOR, 0, sizeof(cap), type, 4 };
    uint32_t multiplier = 4;

    memcpy(cap + 8, &offset, 4);
    memcpy(cap + 12, &bytes, 4);
    memcpy(cap + 16, &multiplier, 4);
    fake_pci_capability(&v->pci, cap, sizeof(cap));
}

void fake_virtio_init(struct fake_virtio *v, uint16_t kind, unsigned int nr, uint16_t size)
{
    *v = (struct fake_virtio){ .features = 1UL << 32, .nr_queues = (uint16_t)nr };
    v->pci = (struct fake_pci){ .bdf = 0x18, .nr_messages = FAKE_QUEUES + 1, .has_msix = true };
    v->pci.config[0] = 0xf4;
    v->pci.config[1] = 0x1a;
    v->pci.config[2] = (uint8_t)(0x40 + kind);
    v->pci.config[3] = 0x10;
    v->pci.bar_bytes[4] = 0x4000;
    v->pci.read = read_register;
    v->pci.write = write_register;
    add_part(v, 1, 0, 0x1000);
    add_part(v, 3, 0x1000, 0x1000);
    add_part(v, 4, FAKE_CONFIG, sizeof(v->config));
    add_part(v, 2, FAKE_NOTIFY, 0x1000);
    for (unsigned int i = 0; i < nr; i++)
        v->queues[i].size = size;
    fake_pci_insert(&v->pci);
}

/* ---- queues ---- */

static void *memory(struct fake_virtio *v, uint64_t address, uint32_t bytes)
{
    void *p = fake_pci_memory(&v->pci, address, bytes);

    if (p == NULL)
        abort(); /* over a page's edge, or not for the device at all */
    return p;
}

bool fake_virtio_pop(struct fake_virtio *v, unsigned int queue, struct fake_chain *c)
{
    struct fake_queue *q = &v->queues[queue];
    bool write = false;
    const uint16_t *avail;
    uint16_t at;

    if (!v->pci.master || !(v->status & STATUS_DRIVER_OK) || !q->enabled)
        return false;
    avail = memory(v, q->avail, 4 + 2 * q->size);
    if ((uint16_t)(avail[1] - q->seen) > q->size)
        abort();
    if (avail[1] == q->seen)
        return false;
    *c = (struct fake_chain){ .id = at = avail[2 + q->seen++ % q->size] };
    for (;;) {
        struct desc d;

        if (at >= q->size || c->nr == q->size)
            abort();
        d = ((struct desc *)memory(v, q->desc, 16 * q->size))[at];
        if (write && !(d.flags & DESC_WRITE))
            abort(); /* those that it reads are first */
        write = d.flags & DESC_WRITE;
        c->nr_out += !write;
        c->parts[c->nr].data = memory(v, d.address, d.bytes);
        c->parts[c->nr++].bytes = d.bytes;
        if (!(d.flags & DESC_NEXT))
            return true;
        at = d.next;
    }
}

void fake_virtio_push(struct fake_virtio *v, unsigned int queue, uint32_t id, uint32_t bytes)
{
    struct fake_queue *q = &v->queues[queue];
    uint8_t *used = memory(v, q->used, 4 + 8 * q->size);
    const uint16_t *avail = memory(v, q->avail, 2);
    uint32_t element[2] = { id, bytes };

    memcpy(used + 4 + 8 * (q->done % q->size), element, sizeof(element));
    q->done++;
    memcpy(used + 2, &q->done, 2);
    if (!(avail[0] & 1) && q->message != NO_MESSAGE)
        fake_pci_message(&v->pci, q->message);
}

void fake_virtio_run_ahead(struct fake_virtio *v, unsigned int queue, uint16_t by)
{
    struct fake_queue *q = &v->queues[queue];
    uint8_t *used = memory(v, q->used, 4);

    q->done += by;
    memcpy(used + 2, &q->done, 2);
    if (q->message != NO_MESSAGE)
        fake_pci_message(&v->pci, q->message);
}

void fake_virtio_changed(struct fake_virtio *v)
{
    v->generation++;
    if (v->config_message != NO_MESSAGE)
        fake_pci_message(&v->pci, v->config_message);
}
