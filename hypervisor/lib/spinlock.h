/*
 * Ticket spinlocks with one lock order for the whole hypervisor, checked at run time in debug
 * builds (style: a lock whose order is written once, and checked).
 */
#pragma once
#include "lib/lib.h"
#include "lib/pcpu.h"

/* THE lock order: a CPU takes locks left to right. Two of one level: spin_lock_pair(). */
enum {
    L_DOMLIST,
    L_DOMAIN,
    L_PIRQ,
    L_PAGE,
    L_GRANT,
    L_EVENT,
    L_IRQ,
    L_FIFO,
    L_SCHED,
    L_TIMER,
    L_IO,
    L_HEAP,
    L_CONSOLE
};

/* Not taken in interrupts, so they may be taken with interrupts on; all others may not. */
#define LOCKS_WITH_INTERRUPTS \
    (1u << L_DOMLIST | 1u << L_DOMAIN | 1u << L_PAGE | 1u << L_GRANT | 1u << L_PIRQ | 1u << L_HEAP)

struct spinlock {
    atomic_uint next, owner;
    uint32_t level; /* L_* */
};

#define SPINLOCK_INIT(lvl) ((struct spinlock){ .level = (lvl) })

static inline void spin_lock(struct spinlock *l)
{
    ASSERT(!(this_pcpu()->locks_held >> l->level)); /* holds this level, or one to its right */
    ASSERT((LOCKS_WITH_INTERRUPTS >> l->level & 1) || !arch_irq_enabled());
    unsigned int ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
    while (unlikely(atomic_load_explicit(&l->owner, memory_order_acquire) != ticket))
        cpu_relax();
    if (IS_DEBUG_BUILD)
        this_pcpu()->locks_held |= 1u << l->level;
}

static inline void spin_unlock(struct spinlock *l)
{
    if (IS_DEBUG_BUILD)
        this_pcpu()->locks_held &= ~(1u << l->level);
    atomic_store_explicit(&l->owner, l->owner + 1, memory_order_release);
}

/* Two different locks of one level, low address first; spin_unlock_pair() releases both. */
static inline void spin_lock_pair(struct spinlock *a, struct spinlock *b)
{
    struct spinlock *lo = a < b ? a : b, *hi = a < b ? b : a;

    spin_lock(lo);
    if (lo != hi) {
        this_pcpu()->locks_held &= ~(1u << lo->level); /* the exception from the order */
        spin_lock(hi);
    }
}
static inline void spin_unlock_pair(struct spinlock *a, struct spinlock *b)
{
    spin_unlock(a);
    if (a != b)
        spin_unlock(b);
}

/* For locks also taken in interrupt context: with interrupts off, everywhere. */
static inline unsigned long spin_lock_irqsave(struct spinlock *l)
{
    unsigned long flags = arch_irq_save();

    spin_lock(l);
    return flags;
}
static inline void spin_unlock_irqrestore(struct spinlock *l, unsigned long flags)
{
    spin_unlock(l);
    arch_irq_restore(flags);
}

/* True when others wait for a lock that the caller holds: they serve no softirqs meanwhile. */
static inline bool spin_has_waiters(const struct spinlock *l) { return l->next - l->owner > 1; }
/* True when somebody holds the lock (a self-check for functions named _locked). */
static inline bool spin_is_held(const struct spinlock *l) { return l->owner != l->next; }
