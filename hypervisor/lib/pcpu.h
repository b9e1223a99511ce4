/*
 * Per-CPU data that is not the machine's. this_pcpu(), cpu_relax() and the interrupt flag come
 * from <arch_inline.h>, which is x86/ on the target and tests/unit/fake/ on the host.
 */
#pragma once
#include "lib/types.h"

#define NR_CPUS 64

struct vcpu;
struct continuation;

/* Work that a CPU does before it returns to a guest, or when it is idle. */
enum softirq {
    SOFTIRQ_SCHEDULE,
    SOFTIRQ_TIMER,
    SOFTIRQ_SERIAL,
    SOFTIRQ_PARK,
    SOFTIRQ_ALIVE,
    NR_SOFTIRQS
};

struct pcpu {
    struct vcpu *running;           /* the vCPU whose registers are loaded; never NULL after boot */
    _Atomic uint32_t softirqs;      /* bit per enum softirq; another CPU may set bits */
    uint32_t locks_held;            /* bit per L_* of lib/spinlock.h */
    uint32_t id;                    /* index, 0..NR_CPUS-1 */
    _Atomic bool stands_still;      /* on purpose: see cpus_park() */
    struct vcpu *idle;              /* this CPU's idle vCPU */
    struct continuation *multicall; /* of the entry that is being carried out, or NULL */
    uint64_t tlb_flush_time;        /* tlb clock at this CPU's last full flush */
    /* Of the TLB's flushes all are counted: the full ones are loads of the same root and count as such,
     * too. Of IPIs those sent. */
    uint64_t nr_cr3_loads, nr_tlb_flushes, nr_tlb_page_flushes, nr_irqs, nr_ipis, nr_hypercalls,
        nr_exceptions;
} __attribute__((aligned(128))); /* no line of one CPU's is another's */

#include <arch_inline.h>

#define current (this_pcpu()->running)

static inline void softirq_raise(enum softirq s)
{
    atomic_fetch_or(&this_pcpu()->softirqs, 1u << s);
}
