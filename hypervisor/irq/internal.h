/*
 * Private to irq/: one struct irq for each pirq number. The first nr_gsis are the machine's interrupt
 * inputs (GSIs), a domain's number for one is its own; those behind are message-signalled, given out
 * as they are mapped.
 */
#pragma once
#include "irq/irq.h"

/* Which message of which PCI function; cap 0: none, it is a GSI. */
struct msi {
    uint16_t bdf;             /* bus, device, function: as in configuration addresses */
    uint8_t cap;              /* offset of the capability */
    volatile uint32_t *entry; /* MSI-X: of the table, else NULL */
    uint16_t entry_nr;
};

struct irq {
    struct spinlock lock;  /* L_IRQ, interrupts off */
    struct domain *mapper; /* who has made a pirq of it, or NULL */
    evtchn_port_t port;    /* bound to this port of the mapper, or 0 */
    uint32_t flags;        /* of who holds it by irq_lock() */
    void (*hv)(void);      /* or the hypervisor handles it */
    uint8_t vector;        /* 0: none yet */
    uint8_t cpu;           /* that it interrupts */
    bool level, active_low;
    bool in_flight; /* level, delivered and masked, the guest's EOI is awaited */
    uint32_t nr_unhandled;
    struct msi msi;
};

/* ---- irq.c ---- */
extern struct irq *irqs;
extern uint32_t nr_gsis, nr_irqs;

/** The struct of that pirq if d has mapped it (NULL: anybody or nobody), locked; else NULL. */
struct irq *irq_lock(const struct domain *d, uint32_t pirq);
/** What that returned, NULL too. */
void irq_unlock(struct irq *irq);
/** Mask or unmask at the source: locked. */
void irq_set_mask_locked(struct irq *irq, bool masked);

/** ioapic_read_reg(), kept apart from our own accesses: an I/O APIC shows one register at a time. */
bool irq_ioapic_read(uint64_t maddr, uint32_t reg, uint32_t *value);

/* Who maps and unmaps holds pirq_map_lock: mapper and msi change under it and the irq's lock. */
/** A pirq of d's for the message. 0; -EEXIST it has one; -ENOSPC. */
int pirq_map_msi(struct domain *d, const struct msi *m, int *pirq);
/** 0; -EINVAL not d's; -EBUSY bound. */
int pirq_unmap(struct domain *d, uint32_t pirq);
/** The function was reset: program its messages again. */
void pirq_restore_msi(const struct domain *d, uint16_t bdf);

/* ---- pci.c ---- */
/**
 * Find message entry_nr of function bdf: of its MSI capability (is_x false, entry_nr 0) or its MSI-X
 * table, which from now on is read-only for d. 0; -ENODEV no such function or capability; -EINVAL no
 * such entry, or the table has no address; -ENOSPC too many tables, or it is not in memory of d's.
 */
int msi_find(struct domain *d, struct msi *m, uint16_t bdf, bool is_x, uint32_t entry_nr);
/** Keep d from writing to the MSI-X table of a new function, as far as that has an address yet. */
void msix_protect(struct domain *d, uint16_t bdf);
/** Have the message raise this vector at the CPU with that APIC id. */
void msi_program(const struct msi *m, uint8_t vector, uint32_t apic_id);
void msi_set_mask(const struct msi *m, bool masked);
/** It is nobody's any more: one that has no mask bit is kept from coming all the same. */
void msi_disable(const struct msi *m);
