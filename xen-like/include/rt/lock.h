/*
 * rt/lock.h: events off and on for this vCPU, and spinlocks.
 *
 * An event may interrupt a thread between any two instructions, and its handler runs on the same
 * stack. What both touch is guarded by events_off(), or by a spinlock if several vCPUs do.
 */
#pragma once
#include <stdbool.h>

#include <rt/cpu.h>

/**
 * No event is delivered to this vCPU until events_restore().
 * Returns what events_restore() wants: whether they were off before. Nests. Any context.
 */
static inline bool events_off(void)
{
    volatile struct vcpu_info *vi = this_cpu()->vcpu_info;
    bool were_off = vi->evtchn_upcall_mask;

    vi->evtchn_upcall_mask = 1;
    __asm__ volatile("" ::: "memory");
    return were_off;
}

/** @were_off  what events_off() returned. What came in between is delivered now. */
void events_restore(bool were_off);

/** Initially all zero: free. */
struct spinlock {
    unsigned int taken;
};

/**
 * Wait, spinning, for the lock; this vCPU's events are off while it is held.
 * Returns what spin_unlock() wants. Any context. Nobody waits or calls main()'s library under it.
 */
bool spin_lock(struct spinlock *l);

/** @were_off  what spin_lock() returned */
void spin_unlock(struct spinlock *l, bool were_off);
