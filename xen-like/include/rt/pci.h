/*
 * rt/pci.h: PCI devices, for the domain that has them: the initial one.
 *
 * A device that is open belongs to the thread group of its opener. When the group ends it is stopped from mastering
 * the bus before anything else of the group is given back, so that it writes to no memory that is another's by then.
 *
 * A device reads and writes memory by machine addresses, which pci_dma_address() tells of any page that is mapped.
 * Pages that lie side by side here do not in the machine: no piece for a device goes over a page's edge.
 *
 * Errors are errno's. Everything here is for threads, on any vCPU; one device is used by one thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plat_wake;
struct pci_device;

/** A function of a device, as it was found. */
struct pci_function {
    uint16_t bdf; /* bus << 8 | device << 3 | function */
    uint16_t vendor, device;
    uint32_t class; /* base class << 16 | subclass << 8 | programming interface */
};

/* Registers of configuration space, and capabilities. */
enum { PCI_ID = 0, PCI_COMMAND = 4, PCI_STATUS = 6, PCI_CLASS = 8, PCI_HEADER = 14, PCI_BAR0 = 16 };
enum {
    PCI_CAP_MSI = 5,
    PCI_CAP_VENDOR = 9,
    PCI_CAP_EXPRESS = 16,
    PCI_CAP_MSIX = 17,
    PCI_CAP_AF = 19
};

enum { PCI_MAX_WINDOWS = 8, PCI_MAX_MESSAGES = 32 }; /* of a device */

/**
 * Look at all buses of segment 0, those behind bridges, too, as far as the firmware has set these up.
 * @found  receives those found, in the order of their bdf, up to @max
 * Returns how many there are; 0, too, if this domain has none.
 */
unsigned int pci_scan(struct pci_function *found, unsigned int max);

/**
 * Take a function. It does not master the bus, whatever the firmware did with it, and decodes its memory.
 * NULL: ENODEV it is not there, or is a bridge, EBUSY somebody has it, ENOMEM.
 */
struct pci_device *pci_open(uint16_t bdf);

/**
 * The device is stopped (pci_stop_by(), bus mastering, a reset where it has one), and all that it had goes back:
 * windows, messages, memory of pci_dma_alloc(). Takes 0.1 s if it has a reset.
 */
void pci_close(struct pci_device *d);

/** Configuration space. @reg  a multiple of @bytes, 0..255 @bytes  1, 2 or 4 */
uint32_t pci_read(const struct pci_device *d, unsigned int reg, unsigned int bytes);
void pci_write(const struct pci_device *d, unsigned int reg, unsigned int bytes, uint32_t value);

/**
 * Where a capability is. @after  0: the first of these; else the one behind that, which this function returned
 * Returns 0: there is none (any more).
 */
uint8_t pci_capability(const struct pci_device *d, uint8_t id, uint8_t after);

/** It may read and write memory, and send messages, from now on, or no longer. */
void pci_master(struct pci_device *d, bool on);

/* ---- registers in memory ---- */

/** A piece of a BAR. */
struct pci_window {
    volatile uint8_t *at;
    uint64_t bytes;
};

/**
 * Map a piece of a BAR, uncached, until the device is closed.
 * @bar  0..5 @offset @bytes  any; bytes is not 0
 * Returns 0; -1: ENOTSUP it is in no memory, EINVAL that is not all in the BAR, or over 16 MiB, ENOSPC too many
 * windows, ENOMEM, EPERM the hypervisor does not allow it (the page has the table of MSI-X).
 */
int pci_map(struct pci_device *d, unsigned int bar, uint64_t offset, uint64_t bytes,
            struct pci_window *w);

/** Registers. @offset  a multiple of their size; it lies within the window */
uint8_t pci_in8(const struct pci_window *w, uint64_t offset);
uint16_t pci_in16(const struct pci_window *w, uint64_t offset);
uint32_t pci_in32(const struct pci_window *w, uint64_t offset);
void pci_out8(const struct pci_window *w, uint64_t offset, uint8_t value);
void pci_out16(const struct pci_window *w, uint64_t offset, uint16_t value);
void pci_out32(const struct pci_window *w, uint64_t offset, uint32_t value);

/**
 * What is to be written to stop the device's own work, as its driver would: done when it is closed, or its group
 * ends, as soon as it does not master the bus any more. @bytes  1, 2 or 4
 */
void pci_stop_by(struct pci_device *d, const struct pci_window *w, uint64_t offset,
                 unsigned int bytes, uint32_t value);

/** Do nothing for a time, at least. The device may need it. */
void pci_sleep_us(uint32_t us);

/* ---- interrupts: messages ---- */

/** How many messages it has: of MSI-X, at most PCI_MAX_MESSAGES, else one of MSI, else none: lines are not served. */
unsigned int pci_nr_messages(const struct pci_device *d);
/** They are MSI-X's: each is masked by itself, and the device is told which is for what. */
bool pci_has_msix(const struct pci_device *d);

/**
 * Let a message come, which from now on wakes a loop.
 * @nr  below pci_nr_messages(), not bound yet @w  added to the loop, until the device is closed
 * Returns 0; -1: EINVAL, EEXIST, ENOSPC the hypervisor has none left, or 128 are in use here.
 */
int pci_bind(struct pci_device *d, unsigned int nr, struct plat_wake *w);

/* ---- memory for the device ---- */

/**
 * Pages, zeroed, in one piece here, not in the machine, until the device is closed. @nr  1 or more. NULL: ENOMEM.
 */
void *pci_dma_alloc(struct pci_device *d, size_t nr);

/** What the device calls the byte at va, of any page that is mapped. To the page's end the others follow. */
uint64_t pci_dma_address(const void *va);
