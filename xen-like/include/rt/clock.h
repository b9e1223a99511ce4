/*
 * rt/clock.h: what time it is, and a call when it is time.
 *
 * The hypervisor tells each vCPU how its TSC relates to system time (struct vcpu_time_info); the
 * clock is read without a hypercall. A timer is a one-shot callback in an event handler.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define NS_PER_MS 1000000UL
#define NS_PER_S 1000000000UL

/** Nanoseconds since the hypervisor's start. Never goes back on a vCPU. Any context. */
uint64_t clock_now(void);

/** Nanoseconds since 1970-01-01 00:00 UTC. Any context. */
uint64_t clock_wall(void);

/** The owner keeps it until the timer has fired or timer_cancel() said so. */
struct timer {
    struct timer *next;
    struct cpu *cpu; /* where it is set; NULL: nowhere */
    uint64_t deadline_ns;
    void (*fn)(void *arg);
    void *arg;
};

/** Prepare a timer. @fn  called with @arg as an event handler, on the vCPU that set it */
void timer_init(struct timer *t, void (*fn)(void *arg), void *arg);

/**
 * Let it fire at a time, once; if it is set already, then instead.
 * @deadline_ns  by clock_now(); one in the past: at once
 * Threads and handlers, all vCPUs.
 */
void timer_set(struct timer *t, uint64_t deadline_ns);

/**
 * It shall not fire.
 * Returns true if it was set; false if not, or if its callback has begun, perhaps is running on
 * another vCPU. Threads and handlers, all vCPUs.
 */
bool timer_cancel(struct timer *t);
