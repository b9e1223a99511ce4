/*
 * vCPU states and run queues: a proportional-share scheduler with weights, caps and affinity.
 * The policy is pure logic (sched/policy.h has the model), tested in a host-side simulation.
 *
 * Shares: over any time in which the set of runnable vCPUs of a CPU stays the same, each gets
 * weight / sum of weights of it, to within one request: 10 ms in proportion to the share, at least
 * 1 ms, at most 5 ms.
 *
 * Wake-up latency: a vCPU that has not had more than its share runs at the latest
 *     0.25 ms * W / w + 5 ms
 * after it wakes (w its weight, W the sum of all weights that compete, its own included); as a rule
 * it preempts at once. One that did have more than its share waits until that is evened out: the
 * excess * W / w longer, the excess at most a request.
 * Who has used up its cap is not waking: it waits for 10 ms, and longer only after an overrun.
 *
 * Several CPUs: none idles while a vCPU waits that may run there, but for the time of a kick. On busy
 * CPUs shares are right to some percent over seconds, as far as one CPU can give and pins allow; the
 * bound on waking is that of the vCPU's CPU.
 *
 * Locks: L_SCHED per run queue, with interrupts off; two for a move. v->processor names the queue and
 * changes only under its lock. A vCPU that leaves a CPU stays on its queue, and v->running true, until
 * arch_context_switch() has saved its registers; then place() may move it. An idle CPU and one whose
 * only vCPU has no cap have no timer.
 */
#pragma once
#include "memory/objects.h"

#define SCHED_WEIGHT_DEFAULT 256u /* 1..65535 */
#define SCHED_CAP_MAX 100u        /* percent; of one CPU, since a vCPU cannot use more */

/**
 * At boot, per CPU, CPU 0 first, after timers_init_cpu() and before the first vCPU. Before the CPU is
 * in arch_cpus_online() its idle vCPU must be in pcpu->idle and pcpu->running: from then on vCPUs may
 * be put on it and SOFTIRQ_SCHEDULE be raised there.
 */
void sched_init_cpu(uint32_t cpu);
/**
 * Make v, which is new and down unless it is idle, known to the scheduler. An idle vCPU has its
 * CPU in v->processor; others begin on CPU 0 and are placed when they wake.
 */
void sched_vcpu_init(struct vcpu *v);
/** v does not run and is paused or down for good. */
void sched_vcpu_destroy(struct vcpu *v);

/** Set or clear bits of v->pause_flags; clearing the last one makes v runnable, setting the first stops it. */
void vcpu_pause_set(struct vcpu *v, uint32_t flags);
void vcpu_pause_clear(struct vcpu *v, uint32_t flags);
/**
 * vcpu_pause_set(), and return when v runs nowhere (never for the current vCPU). Interrupts on, no
 * lock held, all fit to be audited: meanwhile this CPU may stand still for cpus_park(). Two CPUs must
 * not do this to each other's current vCPUs: domctl, of which there is one at a time, does it.
 */
void vcpu_pause_sync(struct vcpu *v, uint32_t flags);
/** End SCHEDOP_block or SCHEDOP_poll of v: an event or its timer came. Any context, L_SCHED not held. */
void vcpu_unblock(struct vcpu *v);

/** The current vCPU waits for an event; returns at once if one is pending and not masked. */
void vcpu_block(void);
/** The current vCPU lets others run first. */
void vcpu_yield(void);

/** SOFTIRQ_SCHEDULE: pick the next vCPU and switch to it. */
void schedule(void);

/**
 * Weight (1..65535) and cap in percent of one CPU (0 or 100 and more: none; a domain's cap is the
 * caller's to divide).
 */
void sched_set_params(struct vcpu *v, uint16_t weight, uint32_t cap);
/**
 * Masks of CPUs: those that v may run on, and of these the ones that it prefers (none: all alike);
 * on another it runs only when that would idle. -EINVAL if it may run on none that is online. If v's
 * CPU is not one of the first it moves to another; when it runs, as soon as it has left its CPU.
 */
int sched_set_affinity(struct vcpu *v, uint64_t cpus, uint64_t preferred);

/** v's runstate, its times accounted up to now. */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/** Write the current vCPU's registered runstate area. No lock held. schedule() does it at each switch. */
void vcpu_runstate_update_area(struct vcpu *v);

void sched_print(void); /* debug key: run queues */

/* ---- softirqs ---- */

/** At boot. schedule() and timers_run() are registered by their own inits. */
void softirq_register(enum softirq s, void (*fn)(void));
/** Raise s on CPU cpu and kick it if it is another one. Any context, NMI too. */
void softirq_raise_on(uint32_t cpu, enum softirq s);
/**
 * From a softirq or a hypercall, with no lock held: have all other CPUs stand still where they hold
 * no lock and are in no hypercall (but in one that calls this, too, or vcpu_pause_sync(), and waits),
 * until cpus_release().
 */
void cpus_park(void);
void cpus_release(void);
/** Stand still here if another CPU has asked for it: in loops that wait for a CPU, with no lock held. */
void cpus_park_point(void);
