/*
 * Event channels, two-level ABI: ports of a domain, their bindings, and the delivery of an event as
 * pending bits in shared_info and vcpu_info.
 */
#pragma once
#include "memory/guest_copy.h"
#include "memory/objects.h"

/** 0 or -ENOMEM. Port 0 is reserved for ever. */
int evtchn_domain_create(struct domain *d);
/** Close all ports (preemptible: -ERESTART to call again). */
int evtchn_domain_relinquish(struct domain *d);
void evtchn_domain_destroy(struct domain *d);

/** HYPERVISOR_event_channel_op (and the _compat form): cmd EVTCHNOP_*, arg its structure. */
long hc_event_channel_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5);

/** Raise a per-vCPU VIRQ (timer, debug, xenoprof); no-op if not bound. */
void virq_send_vcpu(struct vcpu *v, uint32_t virq);
/** Raise a global VIRQ of d (console, dom_exc, ...). */
void virq_send_global(struct domain *d, uint32_t virq);

/** A physical interrupt that d bound to a pirq arrived; any context. */
void evtchn_send_pirq(struct domain *d, uint32_t pirq);

/** True if v has an event pending that is not masked at the vCPU. */
bool vcpu_has_events(const struct vcpu *v);
/** Mark v for an upcall and wake it (used after vcpu_info moved). */
void vcpu_mark_events_pending(struct vcpu *v);

/** VCPUOP_register_vcpu_info: 0, -EINVAL (bad frame, offset or already registered). */
int vcpu_info_register(struct vcpu *v, uint64_t gfn, uint32_t offset);
void vcpu_info_release(struct vcpu *v);

/** SCHEDOP_poll of the current vCPU; copies arg. */
long evtchn_poll(guest_va_t arg);

void evtchn_print(void);          /* debug key */
unsigned int evtchn_audit(void);  /* prints and counts what does not hold together */
