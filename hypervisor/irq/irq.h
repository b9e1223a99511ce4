/*
 * Physical interrupts as event channels: I/O APICs, message-signalled interrupts, PCI configuration
 * space by the legacy ports, and physdev_op. Only the hardware domain has pirqs.
 */
#pragma once
#include "memory/guest_copy.h"

#define NR_PIRQS 1024u /* a guest's numbers of physical interrupts: 0..1023 */

/** At boot, after ACPI: find and mask every I/O APIC input. */
void irq_init(void);

/** Route a GSI to the hypervisor itself (the serial port): handler runs with interrupts off. */
int irq_request_hv(uint32_t gsi, void (*handler)(void));

/** HYPERVISOR_physdev_op: cmd PHYSDEVOP_*. */
long hc_physdev_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5);

/**
 * For EVTCHNOP_bind_pirq and close; d->event_lock held. evtchn_set_pending() is called for each
 * interrupt in between. With port 0, only ask: when that gave 0, binding does so too. 0; -EINVAL not
 * mapped by d, -EEXIST bound, -EBUSY the hypervisor's, -ENOSPC no vector is left.
 */
int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port);
/** No-op if pirq is not bound to this port. */
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port);
/** EVTCHNOP_bind_vcpu: interrupt CPU cpu from now on. The same. */
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu);

/** Emulated port cf8/cfc access by a domain; true if it was one. */
bool pci_conf_port(struct domain *d, uint16_t port, unsigned int bytes, bool write,
                   uint32_t *value);

/** There is a PCI function with this address. */
bool pci_is_present(uint32_t segment, uint8_t bus, uint8_t devfn);

void irq_print(void); /* debug key */
