/*
 * Per-CPU timers in system time; a new one is { .fn = fn, .data = data }. Callbacks run from SOFTIRQ_TIMER on the CPU that armed them, with
 * interrupts on, no lock held. A timer never fires early. Arming and stopping never fail; they walk
 * the CPU's armed timers, of which each vCPU has at most two.
 */
#pragma once
#include "lib/spinlock.h"

struct timer {
    struct timer *next;  /* on its CPU's queue, by expires_ns */
    uint64_t expires_ns; /* 0: not armed; else it is on that queue */
    void (*fn)(void *data);
    void *data;
    _Atomic uint32_t cpu; /* whose it is, and that CPU's queue's lock guards it */
    _Atomic bool dead;    /* killed: cannot be armed again */
};

/** Before the first timer_set() on that CPU. Registers SOFTIRQ_TIMER. */
void timers_init_cpu(uint32_t cpu);
/**
 * (Re)arm on this CPU. A time in the past fires at once (from the softirq). 0 disarms; its callback
 * may then still be running on its own CPU. Takes L_TIMER.
 */
void timer_set(struct timer *t, uint64_t expires_ns);
/**
 * Disarm for good: when this returns the callback does not run and will not. Not from the callback
 * itself; interrupts are on and no lock is held that the callback takes.
 */
void timer_kill(struct timer *t);
