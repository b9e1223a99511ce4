/*
 * rt/pci.h in memory, for tests of drivers: a function of a device whose registers are two callbacks of the test's.
 * Machine addresses are not what they are here: pages that lie side by side do not there, and a device that does not
 * master the bus reaches none.
 */
#pragma once
#include <rt/pci.h>

enum { FAKE_PAGE = 4096 };

struct fake_pci {
    uint16_t bdf;
    uint8_t config[256];
    uint64_t bar_bytes[6]; /* 0: there is none */
    unsigned int nr_messages;
    bool has_msix;
    uint32_t (*read)(struct fake_pci *p, unsigned int bar, uint64_t offset, unsigned int bytes);
    void (*write)(struct fake_pci *p, unsigned int bar, uint64_t offset, unsigned int bytes,
                  uint32_t value);
    /* What the driver does with it. */
    bool master;
    unsigned int nr_opened, nr_closed;
    struct pci_device *open;
    uint64_t slept_us;
};

/** It is there, in place of all others; NULL: nothing is. */
void fake_pci_insert(struct fake_pci *p);

/** A capability of these bytes behind those that are there; bytes[1] is filled in. */
void fake_pci_capability(struct fake_pci *p, const uint8_t *bytes, unsigned int nr);

/** A message is sent. One that nobody has bound is lost. */
void fake_pci_message(struct fake_pci *p, unsigned int nr);

/** Memory as the device sees it, within one page. NULL: it may not. */
void *fake_pci_memory(struct fake_pci *p, uint64_t address, uint32_t bytes);

/** The n-th from now on of pci_map(), pci_bind() and pci_dma_alloc() fails: ENOMEM. 0: none. Returns whether one has. */
bool fake_pci_fail_at(unsigned int n);
