#include "sched/timer.h"

#include "sched/sched.h"
#include "x86/arch.h"

struct timer_pcpu {
    struct spinlock lock; /* L_TIMER; with interrupts off */
    struct timer *first;
    _Atomic(struct timer *) running; /* its callback runs now */
    uint64_t programmed_ns;          /* what the hardware waits for, 0: nothing */
} __attribute__((aligned(64)));      /* a cache line of its own */

static struct timer_pcpu queues[NR_CPUS];

/* Run what has expired and program the next deadline. */
static void timers_run(void)
{
    struct timer_pcpu *q = &queues[this_pcpu()->id];
    uint64_t now = arch_time_ns();
    unsigned long flags = spin_lock_irqsave(&q->lock);
    struct timer *t;

    while ((t = q->first) != NULL && t->expires_ns <= now) {
        q->first = t->next;
        t->expires_ns = 0;
        atomic_store(&q->running, t);
        spin_unlock_irqrestore(&q->lock, flags);
        t->fn(t->data);
        flags = spin_lock_irqsave(&q->lock);
        atomic_store(&q->running, NULL);
    }
    q->programmed_ns = t ? t->expires_ns : 0; /* it has fired, or will once more for nothing */
    arch_timer_program(q->programmed_ns);
    spin_unlock_irqrestore(&q->lock, flags);
}

void timers_init_cpu(uint32_t cpu)
{
    queues[cpu] = (struct timer_pcpu){ .lock = SPINLOCK_INIT(L_TIMER) };
    softirq_register(SOFTIRQ_TIMER, timers_run);
}

static void unlink_locked(struct timer_pcpu *q, struct timer *t)
{
    struct timer **link = &q->first;

    if (t->expires_ns == 0)
        return;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    t->expires_ns = 0;
}

/*
 * t becomes cpu's: off the queue that it may be on. That CPU's hardware is left alone: it fires for
 * nothing at worst.
 */
static noinline void move_here(struct timer *t, uint32_t cpu)
{
    uint32_t from = atomic_load(&t->cpu);
    struct timer_pcpu *q = &queues[from];

    spin_lock(&q->lock);
    if (atomic_load(&t->cpu) == from) {
        unlink_locked(q, t);
        atomic_store(&t->cpu, cpu);
    }
    spin_unlock(&q->lock);
}

void timer_set(struct timer *t, uint64_t expires_ns)
{
    unsigned long flags = arch_irq_save();
    uint32_t cpu = this_pcpu()->id;
    struct timer_pcpu *here = &queues[cpu];
    struct timer **link = &here->first;

    spin_lock(&here->lock);
    while (unlikely(atomic_load(&t->cpu) != cpu)) {
        spin_unlock(&here->lock);
        move_here(t, cpu);
        spin_lock(&here->lock);
    }
    unlink_locked(here, t);
    if (expires_ns && !t->dead) {
        while (*link && (*link)->expires_ns <= expires_ns)
            link = &(*link)->next;
        t->expires_ns = expires_ns;
        t->next = *link;
        *link = t;
    }
    expires_ns = here->first ? here->first->expires_ns : 0;
    if (expires_ns != here->programmed_ns) {
        here->programmed_ns = expires_ns;
        arch_timer_program(expires_ns);
    }
    spin_unlock(&here->lock);
    arch_irq_restore(flags);
}

void timer_kill(struct timer *t)
{
    t->dead = true;
    timer_set(t, 0);
    for (uint32_t cpu = 0; cpu < NR_CPUS; cpu++) /* it may have fired before it moved here */
        while (atomic_load(&queues[cpu].running) == t) {
            BUG_ON(cpu == this_pcpu()->id);
            cpu_relax();
        }
}
