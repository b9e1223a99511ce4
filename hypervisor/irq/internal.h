/*
 * GSIs (the machine's interrupt inputs) and pirqs (a domain's numbers for them); private to irq/.
 * d->event_lock guards a domain's map and what is bound; irq_lock (L_IRQ, interrupts off) guards
 * the GSIs and the I/O APICs.
 */
#pragma once
#include "irq/irq.h"

struct irq_domain {
    uint32_t cf8;      /* what the domain wrote to port cf8 last */
    uint16_t *gsi_of;  /* by pirq: GSI + 1, 0 not mapped; the hardware domain only */
};

/** Map pirq (below 0: choose) of d, the hardware domain, to gsi. The pirq, or -EINVAL, -EEXIST, -ENOSPC. */
int pirq_map(struct domain *d, uint32_t gsi, int pirq);
/** Undo; a binding loses its interrupt but stays. 0 or -EINVAL. */
int pirq_unmap(struct domain *d, uint32_t pirq);
/** A number that PHYSDEVOP_map_pirq would choose, or -ENOSPC. */
int pirq_find_free(struct domain *d);
bool pirq_is_mapped(const struct domain *d, uint32_t pirq);
/** True if the guest has to tell when it has handled this interrupt. */
bool pirq_needs_eoi(const struct domain *d, uint32_t pirq);
/** PHYSDEVOP_setup_gsi: 0, -EINVAL no such GSI, -EEXIST in use as it is. */
int gsi_setup(uint32_t gsi, bool level, bool active_low);
bool gsi_read_reg(uint64_t ioapic_maddr, uint32_t reg, uint32_t *value);

/** True if there is a function at this address of PCI segment 0. */
bool pci_exists(uint8_t bus, uint8_t devfn);
