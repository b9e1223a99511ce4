/*
 * vCPU states and run queues: a proportional-share scheduler with weights, caps and affinity.
 * The policy is pure logic (sched/policy.c), tested in a host-side simulation.
 */
#pragma once
#include "memory/objects.h"

#define SCHED_WEIGHT_DEFAULT 256u /* 1..65535 */
#define SCHED_SLICE_NS MILLISECS(5)

/** At boot, before the first vCPU; per CPU. */
void sched_init_cpu(uint32_t cpu);
/** Make v known to the scheduler (VPF_DOWN unless it is idle). 0 or -ENOMEM. */
int sched_vcpu_create(struct vcpu *v);
void sched_vcpu_destroy(struct vcpu *v);

/** Set or clear bits of v->pause_flags; clearing the last one makes v runnable, setting the first stops it. */
void vcpu_pause_set(struct vcpu *v, uint32_t flags);
void vcpu_pause_clear(struct vcpu *v, uint32_t flags);
/** vcpu_pause_set(), and return when v runs nowhere (never for the current vCPU). */
void vcpu_pause_sync(struct vcpu *v, uint32_t flags);
/** End SCHEDOP_block or SCHEDOP_poll of v: an event or its timer came. Any context, L_SCHED not held. */
void vcpu_unblock(struct vcpu *v);

/** The current vCPU waits for an event; returns at once if one is pending and not masked. */
void vcpu_block(void);
/** The current vCPU lets others run first. */
void vcpu_yield(void);

/** SOFTIRQ_SCHEDULE: pick the next vCPU and switch to it. */
void schedule(void);

/** Weight (1..65535) and cap in percent of one CPU (0: none). 0 or -EINVAL. */
int sched_set_params(struct vcpu *v, uint32_t weight, uint32_t cap);
/** Hard and soft affinity, masks of CPUs; -EINVAL if hard & online is empty. */
int sched_set_affinity(struct vcpu *v, uint64_t hard, uint64_t soft);

/** Account v's present runstate up to now; copies it out to the guest's area if v is current. */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/** Write the current vCPU's registered runstate area (after a switch to it). */
void vcpu_runstate_update_area(struct vcpu *v);

void sched_print(void); /* debug key: run queues */
