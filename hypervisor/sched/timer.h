/*
 * Per-CPU timers in system time. Callbacks run from SOFTIRQ_TIMER with interrupts on, no lock held.
 * A timer never fires early. Arming and stopping take O(log n) steps and never fail. A callback that
 * arms its own timer again does so for a time to come.
 */
#pragma once
#include "lib/spinlock.h"
#include "sched/pq.h"

struct timer {
    struct pq_node node;       /* its key is the system time at which the timer fires */
    void (*fn)(void *data);
    void *data;
    _Atomic uint32_t cpu;      /* whose queue it is on; changes under that queue's lock */
    bool dead;                 /* killed: cannot be armed again */
};

/** Before the first timer_set() on that CPU. Registers SOFTIRQ_TIMER. */
void timers_init_cpu(uint32_t cpu);
void timer_init(struct timer *t, void (*fn)(void *), void *data, uint32_t cpu);
/** (Re)arm. A time in the past fires at once (from the softirq). Takes L_TIMER. */
void timer_set(struct timer *t, uint64_t expires_ns);
/** The same, on CPU cpu's queue from now on. */
void timer_set_on(struct timer *t, uint32_t cpu, uint64_t expires_ns);
/** Disarm; its callback may still be running on its own CPU when this returns. */
void timer_stop(struct timer *t);
/**
 * Disarm for good: when this returns the callback does not run and will not. Not from the callback
 * itself; interrupts are on and no lock is held that the callback takes.
 */
void timer_kill(struct timer *t);
static inline bool timer_armed(const struct timer *t) { return t->node.rank != 0; }
/** SOFTIRQ_TIMER: run what has expired and program the next deadline. */
void timers_run(void);
