/* PCI devices that are open: see rt/pci.h. */
#include <errno.h>
#include <stdlib.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include <xen/physdev.h>

#include "internal.h"
#include "pci.h"

enum { COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_NO_LINE = 1 << 10 };
enum { WINDOW_MAX_BYTES = 16 << 20, HEADER_TYPE = 0x7f };

static struct mutex open_lock; /* guards the list */
static struct pci_device *devices;

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- open and close ---- */

/* False: somebody has it. */
static bool list_add(struct pci_device *d)
{
    struct pci_device *other;

    runtime_lock(&open_lock);
    for (other = devices; other && other->bdf != d->bdf; other = other->next)
        ;
    if (other == NULL) {
        d->next = devices;
        devices = d;
    }
    runtime_unlock(&open_lock);
    return other == NULL;
}

static void list_remove(struct pci_device *d)
{
    struct pci_device **at = &devices;

    runtime_lock(&open_lock);
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    runtime_unlock(&open_lock);
}

static void command_change(const struct pci_device *d, uint32_t clear, uint32_t set)
{
    pci_write(d, PCI_COMMAND, 2, (pci_read(d, PCI_COMMAND, 2) & ~clear) | set);
}

/* That read waits for what the device has sent before. */
void pci_master(struct pci_device *d, bool on)
{
    command_change(d, on ? 0 : COMMAND_MASTER, on ? COMMAND_MASTER : 0);
    pci_read(d, PCI_COMMAND, 2);
}

static void do_stop(const struct pci_device *d)
{
    switch (d->stop.bytes) {
    case 1: pci_out8(&d->stop.window, d->stop.offset, (uint8_t)d->stop.value); break;
    case 2: pci_out16(&d->stop.window, d->stop.offset, (uint16_t)d->stop.value); break;
    case 4: pci_out32(&d->stop.window, d->stop.offset, d->stop.value); break;
    }
}

/*
 * First of all it is kept from memory, then stopped, as it may begin with more of what it was told while it stops (QEMU's
 * NVMe does, and dies of it); only then its memory is free.
 */
static void release(struct owned *o)
{
    struct pci_device *d = (struct pci_device *)o;

    pci_master(d, false);
    do_stop(d);
    pci_messages_close(d);
    pci_reset(d);
    for (unsigned int i = 0; i < d->nr_windows; i++)
        frames_unmap(d->windows[i].va, d->windows[i].nr);
    while (d->memory) {
        struct pci_memory *m = d->memory;

        d->memory = m->next;
        page_free(m->va, m->nr);
        free(m);
    }
    list_remove(d);
    free(d);
}

struct pci_device *pci_open(uint16_t bdf)
{
    RUNTIME_SECTION;
    struct physdev_pci_device_add add = { .bus = (uint8_t)(bdf >> 8), .devfn = (uint8_t)bdf };
    struct pci_device *d;

    if (pci_config_read(bdf, PCI_ID, 2) == 0xffff ||
        (pci_config_read(bdf, PCI_HEADER, 1) & HEADER_TYPE) != 0) {
        errno = ENODEV;
        return NULL;
    }
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->bdf = bdf;
    for (unsigned int i = 0; i < PCI_MAX_MESSAGES; i++)
        d->messages[i].pirq = -1;
    if (!list_add(d)) {
        free(d);
        errno = EBUSY;
        return NULL;
    }
    owned_add_first(&d->owner, release);
    hc(physdev_op, PHYSDEVOP_pci_device_add,
       &add); /* it protects the table of MSI-X: no matter if not */
    command_change(d, COMMAND_MASTER, COMMAND_MEMORY | COMMAND_NO_LINE);
    return d;
}

void pci_close(struct pci_device *d)
{
    RUNTIME_SECTION;

    owned_remove(&d->owner);
    release(&d->owner);
}

/* ---- registers ---- */

int pci_map(struct pci_device *d, unsigned int bar, uint64_t offset, uint64_t bytes,
            struct pci_window *w)
{
    RUNTIME_SECTION;
    uint64_t base, size, *mfns;
    size_t nr;
    char *va;

    if (bar >= PCI_NR_BARS)
        return failed(EINVAL);
    if (!pci_bar(d, bar, &base, &size))
        return failed(ENOTSUP);
    if (bytes == 0 || bytes > WINDOW_MAX_BYTES || bytes > size || offset > size - bytes)
        return failed(EINVAL);
    if (d->nr_windows == PCI_MAX_WINDOWS)
        return failed(ENOSPC);
    base += offset;
    nr = (base % PAGE_BYTES + bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    mfns = malloc(nr * sizeof(*mfns));
    if (mfns == NULL)
        return -1;
    for (size_t i = 0; i < nr; i++)
        mfns[i] = base / PAGE_BYTES + i;
    va = frames_map(DOMID_IO, mfns, nr, PROT_KERNEL_RW | PTE_UNCACHED | PTE_NX);
    free(mfns);
    if (va == NULL)
        return -1;
    d->windows[d->nr_windows].va = va;
    d->windows[d->nr_windows++].nr = nr;
    *w = (struct pci_window){ (volatile uint8_t *)va + base % PAGE_BYTES, bytes };
    return 0;
}

uint8_t pci_in8(const struct pci_window *w, uint64_t offset) { return w->at[offset]; }

uint16_t pci_in16(const struct pci_window *w, uint64_t offset)
{
    return *(volatile uint16_t *)(w->at + offset);
}

uint32_t pci_in32(const struct pci_window *w, uint64_t offset)
{
    return *(volatile uint32_t *)(w->at + offset);
}

/* What was written to memory before is there when the device is told: uncached writes wait for the others. */
void pci_out8(const struct pci_window *w, uint64_t offset, uint8_t value)
{
    __asm__ volatile("" ::: "memory");
    w->at[offset] = value;
}

void pci_out16(const struct pci_window *w, uint64_t offset, uint16_t value)
{
    __asm__ volatile("" ::: "memory");
    *(volatile uint16_t *)(w->at + offset) = value;
}

void pci_out32(const struct pci_window *w, uint64_t offset, uint32_t value)
{
    __asm__ volatile("" ::: "memory");
    *(volatile uint32_t *)(w->at + offset) = value;
}

/* A group may be killed in the middle: what it was before counts until all of it is there. */
void pci_stop_by(struct pci_device *d, const struct pci_window *w, uint64_t offset,
                 unsigned int bytes, uint32_t value)
{
    RUNTIME_SECTION;

    d->stop.window = *w;
    d->stop.offset = offset;
    d->stop.value = value;
    d->stop.bytes = bytes;
}

/* ---- memory ---- */

void *pci_dma_alloc(struct pci_device *d, size_t nr)
{
    RUNTIME_SECTION;
    struct pci_memory *m = malloc(sizeof(*m));

    if (m == NULL)
        return NULL;
    m->va = page_alloc(nr);
    if (m->va == NULL) {
        free(m);
        errno = ENOMEM;
        return NULL;
    }
    m->nr = nr;
    m->next = d->memory;
    d->memory = m;
    return m->va;
}

uint64_t pci_dma_address(const void *va)
{
    return virt_to_mfn(va) * PAGE_BYTES + (uint64_t)va % PAGE_BYTES;
}
