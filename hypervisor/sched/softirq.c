/* Softirqs: what a CPU does before it goes back to a guest, and while it is idle. */
#include "sched/sched.h"

#include "x86/arch.h"
#include "x86/upcalls.h"

static void (*handlers[NR_SOFTIRQS])(void);

void softirq_register(enum softirq s, void (*fn)(void)) { handlers[s] = fn; }

void softirq_raise_on(uint32_t cpu, enum softirq s)
{
    bool pending = atomic_fetch_or(&arch_pcpu(cpu)->softirqs, 1u << s) >> s & 1;

    if (!pending && cpu != this_pcpu()->id) /* else it was kicked for it */
        arch_cpu_kick(cpu);
}

/* SOFTIRQ_SCHEDULE comes last of a round, so that it sees whom the timers woke. */
void softirq_run(void)
{
    struct pcpu *c = this_pcpu();
    uint32_t pending;

    ASSERT(c->locks_held == 0); /* no hypercall left with one */
    for (;;) {
        arch_irq_disable();
        pending = atomic_exchange(&c->softirqs, 0);
        if (pending == 0)
            return;
        arch_irq_enable();
        for (unsigned int s = NR_SOFTIRQS; s-- > 0;)
            if ((pending >> s & 1) && handlers[s]) /* without one: it was only to come here */
                handlers[s]();
    }
}

/* ---- all other CPUs stand still ---- */

static _Atomic bool park_owned; /* by the CPU between its cpus_park() and cpus_release() */
static _Atomic bool parking;
static _Atomic uint64_t parked; /* bit per CPU that does */

static void park(void)
{
    uint64_t me = 1ULL << this_pcpu()->id;

    atomic_store(&this_pcpu()->stands_still, true);
    do {
        atomic_fetch_or(&parked, me);
        while (atomic_load(&parking)) /* with interrupts on: what other CPUs ask for is done */
            cpu_relax();
        atomic_fetch_and(&parked, ~me);
    } while (
        atomic_load(&parking)); /* the next one may have counted us before we took the bit back */
    atomic_store(&this_pcpu()->stands_still, false);
}

void cpus_park_point(void)
{
    if (unlikely(atomic_load(&parking)))
        park();
}

void cpus_park(void)
{
    uint64_t others = arch_cpus_online() & ~(1ULL << this_pcpu()->id);

    handlers[SOFTIRQ_PARK] = park;
    for (bool owned = false; !atomic_compare_exchange_strong(&park_owned, &owned, true);
         owned = false)
        if (atomic_load(&parking))
            park(); /* the other CPU waits for this one, too */
        else
            cpu_relax(); /* it waits for parked to be 0 */
    atomic_store(&this_pcpu()->stands_still, true);
    atomic_store(&parking, true);
    for (uint64_t m = others; m; m &= m - 1)
        softirq_raise_on(ffs64(m) - 1, SOFTIRQ_PARK);
    while (atomic_load(&parked) != others)
        cpu_relax();
}

void cpus_release(void)
{
    atomic_store(&this_pcpu()->stands_still, false);
    atomic_store(&parking, false);
    while (atomic_load(&parked))
        cpu_relax();
    atomic_store(&park_owned, false);
}

noreturn void idle_loop(void)
{
    for (;;) {
        softirq_run();
        if (!current->is_idle)
            exit_to_guest();
        arch_idle();
    }
}
