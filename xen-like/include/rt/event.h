/*
 * rt/event.h: event channels, a PV domain's interrupts.
 *
 * An event is one bit, "pending", per port. When it becomes set and neither the port nor the vCPU
 * is masked, the hypervisor calls the kernel (an upcall), which clears the bit and calls the
 * port's handler. Handlers run on the vCPU that the port is bound to, with its events off, on the
 * stack of whatever they interrupt. They may use kprint(), spinlocks, timers, events, and wake
 * threads (semaphore_up(), cond_signal()), but not malloc(), stdio or anything that waits.
 *
 * Every bind function returns the port (1..4095), ready and unmasked, or Xen's -errno.
 * All functions here may be called by threads and handlers, on all vCPUs.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/event_channel.h>

typedef void (*event_fn)(unsigned int port, void *arg);

/**
 * A source inside the hypervisor.
 * @virq  VIRQ_TIMER, VIRQ_DEBUG, VIRQ_CONSOLE... @cpu  vCPU for those of each vCPU, else 0
 */
int event_bind_virq(unsigned int virq, unsigned int cpu, event_fn fn, void *arg);

/** A port by which vCPUs of this domain notify vCPU @cpu. */
int event_bind_ipi(unsigned int cpu, event_fn fn, void *arg);

/**
 * A physical interrupt, on vCPU 0. The interrupt is acknowledged after the handler.
 * @pirq  its number @share  may be shared with another driver's
 */
int event_bind_pirq(unsigned int pirq, bool share, event_fn fn, void *arg);

/** A port that domain @remote may bind to; the handler is called once it has and notifies. */
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg);

/** The other end of a port that domain @remote has offered to us. */
int event_bind_interdomain(domid_t remote, unsigned int remote_port, event_fn fn, void *arg);

/** A port that is there already: the domain's builder made it (those of start_info). On vCPU 0. */
int event_attach(unsigned int port, event_fn fn, void *arg);

/** Notify the other end of a port. Returns 0 or Xen's -errno. */
long event_send(unsigned int port);

/** Hold back a port's events, and deliver what came meanwhile. */
void event_mask(unsigned int port);
void event_unmask(unsigned int port);

/** Give up a port. Its handler may still be running on another vCPU. Returns 0 or Xen's -errno. */
long event_close(unsigned int port);
