/* Spinlocks. A vCPU that holds one may have no physical CPU right now: who spins long yields. */
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/lock.h>

void cpu_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
    hc(sched_op, SCHEDOP_yield, 0);
}

static __attribute__((noinline)) void spin(struct spinlock *l)
{
    do
        for (unsigned int n = 0; __atomic_load_n(&l->taken, __ATOMIC_RELAXED); n++)
            if (n < 200)
                __asm__ volatile("pause" ::: "memory");
            else
                cpu_relax();
    while (__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE));
}

bool spin_lock(struct spinlock *l)
{
    bool were_off = events_off();

    if (__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE))
        spin(l);
    return were_off;
}

void spin_unlock(struct spinlock *l, bool were_off)
{
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
    events_restore(were_off);
}
