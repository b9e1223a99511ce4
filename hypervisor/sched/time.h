/* The time ABI: vcpu_time_info, the wall clock, singleshot and periodic timers of vCPUs. */
#pragma once
#include "memory/objects.h"

/** Timers of a new vCPU. 0 or -ENOMEM. */
int vcpu_timers_create(struct vcpu *v);
void vcpu_timers_destroy(struct vcpu *v);

/** Write v's time info (in vcpu_info and in its registered area); v is current or not running. */
void vcpu_time_update(struct vcpu *v);
/** Write d's wall clock into its shared_info. */
void domain_wallclock_update(struct domain *d);
/** XENPF_settime64 by the hardware domain: the machine's wall clock. */
void wallclock_set(uint64_t secs, uint32_t nsecs, uint64_t system_time_ns);
/** What a guest's emulated rdtsc returns. */
uint64_t guest_tsc(const struct vcpu *v);

/** Absolute timeout_abs_ns; flags VCPU_SSHOTTMR_future. 0, or -ETIME if in the past with that flag. */
int vcpu_set_singleshot(struct vcpu *v, uint64_t timeout_abs_ns, uint32_t flags);
void vcpu_stop_singleshot(struct vcpu *v);
/** period_ns >= 1 ms, else -EINVAL. */
int vcpu_set_periodic(struct vcpu *v, uint64_t period_ns);
void vcpu_stop_periodic(struct vcpu *v);
/** SCHEDOP_set_timer_op / set_timer_op: 0 stops. Late deadlines fire at once. */
void vcpu_set_timer(struct vcpu *v, uint64_t timeout_abs_ns);
/** Wake v from SCHEDOP_poll at this time. */
void vcpu_set_poll_timer(struct vcpu *v, uint64_t timeout_abs_ns);
void vcpu_stop_poll_timer(struct vcpu *v);
