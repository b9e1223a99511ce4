/*
 * Messages of PCI devices. The hypervisor writes what is in the capability of MSI and the table of MSI-X, and masks
 * there; we let the function send messages at all, and have the event channel that each becomes.
 */
#include <errno.h>

#include <platform.h>
#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/lock.h>

#include <xen/physdev.h>

#include "pci.h"

enum { MSI_CONTROL = 2, MSI_ENABLE = 1 };
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_ENTRIES = 0x7ff, MSIX_ENABLE = 1 << 15 };
enum { NR_SLOTS = 128 };
#define MSIX_MASK_ALL (1u << 14)

/*
 * Whom a message wakes. These are never freed: a handler may still be running on another vCPU when its port is
 * closed, and looks here.
 */
static struct message_slot {
    struct plat_wake *wake; /* NULL: free */
} slots[NR_SLOTS];
static struct spinlock lock; /* guards them */

static void on_message(unsigned int port, void *arg)
{
    struct message_slot *slot = arg;
    bool were_off = spin_lock(&lock);

    (void)port;
    if (slot->wake)
        plat_wake(slot->wake);
    spin_unlock(&lock, were_off);
}

static struct message_slot *slot_take(struct plat_wake *w)
{
    bool were_off = spin_lock(&lock);
    struct message_slot *slot = slots;

    while (slot < slots + NR_SLOTS && slot->wake)
        slot++;
    if (slot < slots + NR_SLOTS)
        slot->wake = w;
    else
        slot = NULL;
    spin_unlock(&lock, were_off);
    return slot;
}

static void slot_free(struct message_slot *slot)
{
    bool were_off = spin_lock(&lock);

    slot->wake = NULL;
    spin_unlock(&lock, were_off);
}

bool pci_has_msix(const struct pci_device *d) { return pci_capability(d, PCI_CAP_MSIX, 0) != 0; }

unsigned int pci_nr_messages(const struct pci_device *d)
{
    uint8_t cap = pci_capability(d, PCI_CAP_MSIX, 0);
    unsigned int nr;

    if (cap == 0)
        return pci_capability(d, PCI_CAP_MSI, 0) ? 1 : 0;
    nr = (pci_read(d, cap + MSIX_CONTROL, 2) & MSIX_ENTRIES) + 1;
    return nr < PCI_MAX_MESSAGES ? nr : PCI_MAX_MESSAGES;
}

/* Masked, until it is bound. */
static long map_message(const struct pci_device *d, unsigned int nr, int *pirq)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF,
        .type = MAP_PIRQ_TYPE_MSI,
        .index = -1,
        .pirq = -1,
        .bus = d->bdf >> 8,
        .devfn = d->bdf & 0xff,
        .entry_nr = (int)nr,
    };
    uint8_t cap = pci_capability(d, PCI_CAP_MSIX, 0);
    uint64_t size;
    long rc;

    if (cap) {
        uint32_t where = pci_read(d, cap + MSIX_TABLE, 4);

        if (!pci_bar(d, where & 7, &op.table_base, &size))
            return -22; /* Xen's EINVAL */
        op.table_base += where & ~7u;
    }
    rc = hc(physdev_op, PHYSDEVOP_map_pirq, &op);
    if (rc == 0)
        *pirq = op.pirq;
    return rc;
}

static void unmap_message(int pirq)
{
    struct physdev_unmap_pirq op = { .domid = DOMID_SELF, .pirq = pirq };

    hc(physdev_op, PHYSDEVOP_unmap_pirq, &op);
}

/*
 * The function sends messages, or none. With MSI-X all are masked then, and it stays in that mode: what is on its way
 * in the device may still come, and must not become something else.
 */
static void enable(const struct pci_device *d, bool on)
{
    uint8_t msix = pci_capability(d, PCI_CAP_MSIX, 0), msi = pci_capability(d, PCI_CAP_MSI, 0);
    uint32_t control;

    if (msix) {
        control = pci_read(d, msix + MSIX_CONTROL, 2) & ~MSIX_MASK_ALL;
        pci_write(d, msix + MSIX_CONTROL, 2, control | MSIX_ENABLE | (on ? 0 : MSIX_MASK_ALL));
    } else if (msi) {
        control = pci_read(d, msi + MSI_CONTROL, 2) & ~(uint32_t)MSI_ENABLE;
        pci_write(d, msi + MSI_CONTROL, 2, control | (on ? MSI_ENABLE : 0));
    }
}

int pci_bind(struct pci_device *d, unsigned int nr, struct plat_wake *w)
{
    RUNTIME_SECTION;
    struct pci_message *m;
    long rc;

    if (nr >= pci_nr_messages(d)) {
        errno = EINVAL;
        return -1;
    }
    m = &d->messages[nr];
    if (m->pirq >= 0) {
        errno = EEXIST;
        return -1;
    }
    m->slot = slot_take(w);
    if (m->slot == NULL) {
        errno = ENOSPC;
        return -1;
    }
    rc = map_message(d, nr, &m->pirq);
    if (rc == 0) {
        enable(d, true); /* others that were bound are not disturbed by doing so again */
        rc = event_bind_pirq((unsigned int)m->pirq, false, on_message, m->slot);
    }
    if (rc > 0) {
        m->port = (int)rc;
        return 0;
    }
    if (m->pirq >= 0)
        unmap_message(m->pirq);
    m->pirq = -1;
    slot_free(m->slot);
    errno = xen_errno(rc);
    return -1;
}

void pci_messages_close(struct pci_device *d)
{
    for (unsigned int i = 0; i < PCI_MAX_MESSAGES; i++) {
        struct pci_message *m = &d->messages[i];

        if (m->pirq < 0)
            continue;
        event_close((unsigned int)m->port);
        unmap_message(m->pirq);
        slot_free(m->slot);
        m->pirq = -1;
    }
    enable(d, false);
}
