#include "sched/timer.h"

#include "lib/bug.h"
#include "sched/sched.h"
#include "x86/arch.h"

struct timer_pcpu {
    struct spinlock lock;      /* L_TIMER; with interrupts off */
    struct pq armed;
    _Atomic(struct timer *) running; /* its callback runs now */
    uint64_t programmed_ns;    /* what the hardware waits for, 0: nothing */
};

static struct timer_pcpu queues[NR_CPUS];

void timers_init_cpu(uint32_t cpu)
{
    queues[cpu] = (struct timer_pcpu){ .lock = SPINLOCK_INIT(L_TIMER) };
    arch_pcpu(cpu)->timers = &queues[cpu];
    softirq_register(SOFTIRQ_TIMER, timers_run);
}

void timer_init(struct timer *t, void (*fn)(void *), void *data, uint32_t cpu)
{
    *t = (struct timer){ .fn = fn, .data = data };
    atomic_store(&t->cpu, cpu);
}

/* The earliest deadline of q may have changed: tell the hardware of q's CPU. */
static void program_locked(struct timer_pcpu *q)
{
    uint64_t first = q->armed.min ? q->armed.min->key : 0;
    uint32_t cpu = (uint32_t)(q - queues);

    if (first == q->programmed_ns)
        return;
    if (cpu == this_pcpu()->id) {
        q->programmed_ns = first;
        arch_timer_program(first);
    } else if (first != 0 && (q->programmed_ns == 0 || first < q->programmed_ns)) {
        softirq_raise_on(cpu, SOFTIRQ_TIMER); /* a later one than programmed: it will find out */
    }
}

/* Take t off its queue and, unless it is dead, put it on that of CPU cpu (at 0: nowhere). */
static void rearm(struct timer *t, uint32_t cpu, uint64_t at, bool kill)
{
    struct timer_pcpu *from, *to;
    unsigned long flags = arch_irq_save();

    for (;;) {
        from = &queues[atomic_load(&t->cpu)];
        to = at ? &queues[cpu] : from;
        spin_lock_pair(&from->lock, &to->lock);
        if (from == &queues[atomic_load(&t->cpu)])
            break;
        spin_unlock_pair(&from->lock, &to->lock);
    }
    if (timer_armed(t))
        pq_remove(&from->armed, &t->node);
    t->dead |= kill;
    if (at != 0 && !t->dead) {
        atomic_store(&t->cpu, cpu);
        pq_insert(&to->armed, &t->node, MIN(at, (uint64_t)INT64_MAX));
        program_locked(to);
    }
    if (from != to || at == 0)
        program_locked(from);
    spin_unlock_pair(&from->lock, &to->lock);
    arch_irq_restore(flags);
}

void timer_set_on(struct timer *t, uint32_t cpu, uint64_t expires_ns)
{
    rearm(t, cpu, MAX(expires_ns, 1u), false);
}

void timer_set(struct timer *t, uint64_t expires_ns)
{
    timer_set_on(t, atomic_load(&t->cpu), expires_ns);
}

void timer_stop(struct timer *t) { rearm(t, 0, 0, false); }

void timer_kill(struct timer *t)
{
    rearm(t, 0, 0, true);
    for (uint32_t cpu = 0; cpu < NR_CPUS; cpu++) /* it may have fired before it moved here */
        while (atomic_load(&queues[cpu].running) == t) {
            BUG_ON(cpu == this_pcpu()->id);
            cpu_relax();
        }
}

void timers_run(void)
{
    struct timer_pcpu *q = this_pcpu()->timers;
    uint64_t now = arch_time_ns();
    unsigned long flags = spin_lock_irqsave(&q->lock);

    while (q->armed.min && q->armed.min->key <= now) {
        struct timer *t = container_of(q->armed.min, struct timer, node);
        void (*fn)(void *) = t->fn;
        void *data = t->data;

        pq_remove(&q->armed, &t->node);
        atomic_store(&q->running, t);
        spin_unlock_irqrestore(&q->lock, flags);
        fn(data);
        flags = spin_lock_irqsave(&q->lock);
        atomic_store(&q->running, NULL);
    }
    q->programmed_ns = 0; /* it has fired, or will once more for nothing */
    program_locked(q);
    spin_unlock_irqrestore(&q->lock, flags);
}
