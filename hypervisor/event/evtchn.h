/*
 * Event channels: ports of a domain, their bindings, and the delivery of an event, by the two-level
 * ABI as pending bits in shared_info and vcpu_info, or by the FIFO ABI in memory that the guest names.
 */
#pragma once
#include "memory/guest_copy.h"

/**
 * 0, or -ENOMEM (destroy it if d->evtchn is set). Port 0 is never given out. d->max_evtchn_port is set
 * to "as many as the ABI has"; the creator may lower it before ports are made. Storage grows with use.
 */
int evtchn_domain_create(struct domain *d);
/** Close all ports (preemptible: -ERESTART to call again); nobody binds new ones if d is dying. */
int evtchn_domain_relinquish(struct domain *d);
void evtchn_domain_destroy(struct domain *d);

/** A new port of d that remote may bind to: its number, or what EVTCHNOP_alloc_unbound says. */
long evtchn_alloc_unbound(struct domain *d, domid_t remote);

/** HYPERVISOR_event_channel_op: cmd EVTCHNOP_*, arg its structure. */
long hc_event_channel_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5);

/**
 * Raise a per-vCPU VIRQ (timer, debug, xenoprof); no-op if not bound. This and the next: any
 * context, interrupts too, with no lock from L_EVENT on held.
 */
void virq_send_vcpu(struct vcpu *v, uint32_t virq);
/** Raise a global VIRQ of d (console, dom_exc, ...). */
void virq_send_global(struct domain *d, uint32_t virq);

/**
 * An event came for d's port, whose binding is pinned: by d's event_lock or its peer's, or, of a
 * physical interrupt, by L_IRQ. Interrupts off.
 */
void evtchn_set_pending(struct domain *d, evtchn_port_t port);

/** True if v has an event pending that is not masked at the vCPU. */
bool vcpu_has_events(const struct vcpu *v);

/**
 * VCPUOP_register_vcpu_info: from now on v's vcpu_info is at offset in frame mfn, on which the
 * caller took a writable reference (page_get_writable()); kept on success. The caller holds the
 * domain's lock: one at a time, and a vCPU that is down stays so. Senders need not be kept out.
 * 0, or -EINVAL: bad offset, registered already, or v is neither current nor down.
 */
int vcpu_info_register(struct vcpu *v, mfn_t mfn, uint32_t offset);
/**
 * Its end, when v runs no more: nobody sees the events of v from now on. Returns the frame whose
 * reference the caller drops (page_put_writable()), or INVALID_MFN.
 */
mfn_t vcpu_info_release(struct vcpu *v);

/** SCHEDOP_poll of the current vCPU; copies arg. */
long evtchn_poll(guest_va_t arg);

/** How many ports of d are not free. */
uint32_t evtchn_nr_ports(const struct domain *d);

void evtchn_print(void);         /* debug key */
unsigned int evtchn_audit(void); /* prints and counts what does not hold together */
