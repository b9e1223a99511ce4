/*
 * Lifecycle of domains and vCPUs, the initial domain's builder, and who may act for whom.
 *
 * References: the creation of a domain is one, dropped when domain_kill() has taken all it had and
 * none of its frames is held by another domain. The last domain_put() frees the structures.
 */
#pragma once
#include "memory/objects.h"

#define DOMCREATE_PRIVILEGED (1u << 0)
#define DOMCREATE_HARDWARE (1u << 1)

/* What a domain is for: `ssidref` of its creation. What each role may do is in policy.c. */
enum { ROLE_GUEST, ROLE_CONTROL, ROLE_HARDWARE, ROLE_STORE };
/** The DOMCREATE_* that go with a role. */
uint32_t role_flags(uint32_t role);

/** At boot, once, before the first idle vCPU: the owner of them all, DOMID_IDLE. */
void idle_domain_create(void);
/** The idle vCPU of this CPU, known to the scheduler; panics when memory is out. */
struct vcpu *idle_vcpu_create(uint32_t cpu);

/**
 * A domain without vCPUs, paused once, in the list; the caller's pointer is the creation reference.
 * 0, -EEXIST (the id is taken), -EINVAL (max_vcpus not 1..MAX_VCPUS, reserved id), -ENOMEM.
 */
int domain_create(domid_t id, uint32_t flags, uint32_t max_vcpus, uint64_t max_pages,
                  struct domain **out);
/** vCPU id of d, down and without context. 0, -EINVAL, -EEXIST, -ENOMEM. */
int vcpu_create(struct domain *d, uint32_t id);

/** Count pauses. domain_pause() returns when no vCPU of d runs; not for the caller's own domain. */
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);

/** SCHEDOP_shutdown and its kin: stop d's vCPUs and tell who must know. Any lock up to L_IRQ. */
void domain_shutdown(struct domain *d, uint32_t code);
/** What the machine does when the hardware domain has shut down (noreboot: stay after a crash). */
noreturn void hwdom_shutdown(uint32_t code);

/**
 * Take all that d has. Preemptible: -ERESTART to call again (also while another CPU is at it).
 * 0 when done; -EINVAL for the caller's own or the hardware domain.
 */
int domain_kill(struct domain *d);

/** May caller act for d? 0 or -EPERM. */
int policy_target(const struct domain *caller, const struct domain *d);

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
