/* Per-CPU timers in system time. Callbacks run from SOFTIRQ_TIMER with interrupts on, no lock held. */
#pragma once
#include "lib/spinlock.h"

struct timer {
    uint64_t expires_ns;       /* system time */
    void (*fn)(void *data);
    void *data;
    uint32_t cpu;              /* whose queue it is on */
    uint32_t slot;             /* place in the queue, 0: not armed */
};

void timers_init_cpu(uint32_t cpu);
void timer_init(struct timer *t, void (*fn)(void *), void *data, uint32_t cpu);
/** (Re)arm. A time in the past fires at once (from the softirq). Takes L_TIMER. */
void timer_set(struct timer *t, uint64_t expires_ns);
/** Disarm; its callback may still be running on its own CPU when this returns. */
void timer_stop(struct timer *t);
/** Disarm for good: when this returns the callback does not run and will not. */
void timer_kill(struct timer *t);
static inline bool timer_armed(const struct timer *t) { return t->slot != 0; }
/** SOFTIRQ_TIMER: run what has expired and program the next deadline. */
void timers_run(void);
