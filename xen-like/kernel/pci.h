/* Private to pci.c, pci_config.c and pci_irq.c. */
#pragma once
#include <rt/group.h>
#include <rt/pci.h>

enum { PCI_NR_BARS = 6 };

struct pci_message {
    int pirq, port; /* pirq -1: not mapped; port 0: not bound */
    struct message_slot *slot;
};

struct pci_memory {
    struct pci_memory *next;
    void *va;
    size_t nr;
};

struct pci_device {
    struct owned owner;      /* the first member */
    struct pci_device *next; /* of those that are open */
    uint16_t bdf;
    struct {
        void *va;
        size_t nr;
    } windows[PCI_MAX_WINDOWS];
    unsigned int nr_windows;
    struct pci_memory *memory;
    struct pci_message messages[PCI_MAX_MESSAGES];
    struct {
        struct pci_window window;
        uint64_t offset;
        uint32_t value;
        unsigned int bytes; /* 0: nothing to do */
    } stop;
};

/* pci_config.c: @reg as pci_read() */
uint32_t pci_config_read(uint16_t bdf, unsigned int reg, unsigned int bytes);
void pci_config_write(uint16_t bdf, unsigned int reg, unsigned int bytes, uint32_t value);

/* Where a BAR begins and ends. False: it is in no memory, or it is the upper half of another one. */
bool pci_bar(const struct pci_device *d, unsigned int bar, uint64_t *base, uint64_t *bytes);
/* A reset of the function, if it has one; its registers are as before. */
void pci_reset(const struct pci_device *d);

/* pci_irq.c: no message comes any more, and none wakes anybody. */
void pci_messages_close(struct pci_device *d);
