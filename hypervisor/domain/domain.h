/*
 * Lifecycle of domains and vCPUs, the initial domain's builder, and who may act for whom.
 *
 * References: the creation of a domain is one, dropped when domain_kill() has taken all it had and
 * none of its frames is held by another domain. The last domain_put() frees the structures.
 */
#pragma once
#include "memory/objects.h"

struct xen_domctl_createdomain;

/** At boot, once, before the first idle vCPU: the owner of them all, DOMID_IDLE. */
void idle_domain_create(void);
/** The idle vCPU of this CPU, known to the scheduler; panics when memory is out. */
struct vcpu *idle_vcpu_create(uint32_t cpu);

/**
 * A domain without vCPUs and memory (d->max_pages is 0), paused once, in the list; the caller's pointer
 * is the creation reference. id DOMID_INVALID: any that is free, but 0. Of *config only max_vcpus is
 * checked; ssidref is its ROLE_*. The first in the hardware role is the hardware domain.
 * 0, -EEXIST (the id is taken), -EINVAL (max_vcpus not 1..MAX_VCPUS, reserved id), -ENOMEM.
 */
int domain_create(domid_t id, const struct xen_domctl_createdomain *config, struct domain **out);
/** vCPU id of d, down and without context. 0, -EINVAL, -EEXIST, -ENOMEM. */
int vcpu_create(struct domain *d, uint32_t id);

/** The first domain with this id or a greater one, or NULL; takes a reference. */
struct domain *domain_get_from(domid_t id);

/**
 * Count pauses. domain_pause() returns when no vCPU of d runs; not for the caller's own domain. Its
 * callers, and domain_resume()'s and domain_kill()'s, are domctls, hence one at a time. No lock held.
 */
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);

/**
 * May d use what lies in [first, last] from now on, of its ranges *s? One call at a time, for any domain.
 * 0, or -ENOMEM: too many ranges, nothing has changed.
 */
int domain_ranges_change(struct domain *d, struct ranges *s, uint64_t first, uint64_t last,
                         bool allow);

/** SCHEDOP_shutdown and its kin: stop d's vCPUs and tell who must know. Any lock up to L_IRQ. */
void domain_shutdown(struct domain *d, uint32_t code);
/** Undo it, if it was: its vCPUs go on where they were. */
void domain_resume(struct domain *d);
/**
 * SCHEDOP_watchdog: in timeout_s seconds d is shut down. id 0: a new one; else set one again, or end it
 * (timeout 0). Returns the new one's number, 1 or 2, or 0; -EINVAL no such; -ENOSPC; -ENOMEM.
 */
long domain_watchdog(struct domain *d, uint32_t id, uint32_t timeout_s);
/** What the machine does when the hardware domain has shut down (noreboot: stay after a crash). */
noreturn void hwdom_shutdown(uint32_t code);

/**
 * Take all that d has. Preemptible: -ERESTART to call again. 0 when done, its id being free as soon as
 * nobody holds a frame of its nor a reference; -EINVAL for the caller's own or the hardware domain.
 */
int domain_kill(struct domain *d);
/** domain_kill() is done, others may still hold its frames. */
bool domain_is_dead(const struct domain *d);

/**
 * Do memory, page tables and event channels hold together? Says what does not, and how much of it on
 * the console. Called as cpus_park() is.
 */
void domain_audit(void);
/** Register the debug keys of this folder. */
void domain_debug_keys(void);

/**
 * Build the initial domain from the boot modules, and panic with the reason if that cannot be; then those
 * beside it: one that cannot be built is named with the reason and left out. All are paused.
 */
void domains_build(void);
