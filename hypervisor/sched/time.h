/*
 * The time ABI: vcpu_time_info, the wall clock, singleshot and periodic timers of vCPUs.
 *
 * A guest with the native TSC computes with the very numbers that arch_time_ns() uses, so its system
 * time and ours are one, for ever; nothing needs to be refreshed. With an emulated TSC (vtsc) the
 * guest's TSC is system time scaled to arch_tsc_khz(), refreshed at each switch to the vCPU.
 */
#pragma once
#include "memory/objects.h"

/** At boot: what sends VIRQ_TIMER (event/'s virq_send_vcpu(), which is above this folder). */
void time_register_virq(void (*send)(struct vcpu *v, uint32_t virq));

/** Timers of a new vCPU, whose info is set: writes its time info too. 0 or -ENOMEM. */
int vcpu_timers_create(struct vcpu *v);
void vcpu_timers_destroy(struct vcpu *v);

/** Write v's time info (in vcpu_info and in its registered area); v is current or not running. */
void vcpu_time_update(struct vcpu *v);
/** The same if it needs to be, after a switch to v. */
void vcpu_time_switched_in(struct vcpu *v);
/** Write d's wall clock into its shared_info. */
void domain_wallclock_update(struct domain *d);
/** XENPF_settime64 by the hardware domain: the machine's wall clock. Takes L_DOMLIST. */
void wallclock_set(uint64_t secs, uint32_t nsecs, uint64_t system_time_ns);
/** What a guest's emulated rdtsc returns. */
uint64_t guest_tsc(const struct vcpu *v);

/* As in domctl's settscinfo and CPUID leaf 0x40000x03. */
#define TSC_MODE_DEFAULT 0u /* native where the TSC is reliable and in the hardware domain, else emulated */
#define TSC_MODE_ALWAYS_EMULATE 1u
#define TSC_MODE_NATIVE 2u
/** Set d->tsc_mode and d->vtsc; before d's vCPUs run. -EINVAL: no such mode. */
int domain_set_tsc_mode(struct domain *d, uint32_t mode);

/** Absolute timeout_abs_ns; flags VCPU_SSHOTTMR_future. 0, or -ETIME if in the past with that flag. */
int vcpu_set_singleshot(struct vcpu *v, uint64_t timeout_abs_ns, uint32_t flags);
void vcpu_stop_singleshot(struct vcpu *v);
/** period_ns >= 1 ms, else -EINVAL. */
int vcpu_set_periodic(struct vcpu *v, uint64_t period_ns);
void vcpu_stop_periodic(struct vcpu *v);
/** SCHEDOP_set_timer_op / set_timer_op: the singleshot timer; 0 stops. Late deadlines fire at once. */
void vcpu_set_timer(struct vcpu *v, uint64_t timeout_abs_ns);
/** Wake v from SCHEDOP_poll at this time. */
void vcpu_set_poll_timer(struct vcpu *v, uint64_t timeout_abs_ns);
void vcpu_stop_poll_timer(struct vcpu *v);
