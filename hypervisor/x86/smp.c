/*
 * What CPUs do to one another. Each has a box: other CPUs put what they want into it and send
 * VECTOR_IPI_KICK. A request is served in the interrupt, and by CPUs that wait for others themselves,
 * with interrupts on or off: so two that wait for each other both go on.
 */
#include "x86/cpu.h"
#include "x86/acpi.h"
#include "x86/arch.h"
#include "x86/lapic.h"
#include "x86/vectors.h"

/* In place of the page to be flushed: where none begins. */
#define FLUSH_ALL 1u
#define FLUSH_CACHES 2u

struct pcpu pcpus[NR_CPUS];
_Atomic uint64_t cpus_online = 1;

static struct box {
    /* asked of this CPU: */
    _Atomic uint64_t flush_for; /* bit per CPU whose flush_va is to be flushed */
    _Atomic bool unload;
    /* asked by this CPU, one flush at a time: */
    uint64_t flush_va;
    _Atomic uint64_t flush_waits; /* for these CPUs */
} __attribute__((aligned(128))) boxes[NR_CPUS];

static _Atomic uint32_t stopped_by; /* id of the CPU that alone goes on, plus 1 */
static _Atomic uint64_t stopped;    /* CPUs that do not any more */
#define STOP_WAIT_SPINS 1000000u

uint64_t arch_cpus_online(void) { return atomic_load_explicit(&cpus_online, memory_order_relaxed); }
struct pcpu *arch_pcpu(uint32_t id) { return &pcpus[id]; }

uint32_t arch_cpu_apic_id(uint32_t id) { return acpi_info.cpus[id].apic_id; }

void arch_cpu_kick(uint32_t id)
{
    if (id == this_pcpu()->id)
        return;
    lapic_send(arch_cpu_apic_id(id), VECTOR_IPI_KICK);
}

/* ---- TLB ---- */

static void flush_here(uint64_t va)
{
    if (va == FLUSH_ALL)
        arch_flush_tlb_local();
    else if (va == FLUSH_CACHES)
        __asm__ volatile("wbinvd" ::: "memory");
    else
        arch_flush_tlb_page_local(va);
}

void smp_serve(void)
{
    struct box *b = &boxes[this_pcpu()->id];
    uint64_t who;

    who = atomic_exchange(&b->flush_for, 0);
    if (who && current->is_idle) /* is not asked again before it runs a guest */
        vcpu_unload_here();
    for (; who; who &= who - 1) {
        struct box *from = &boxes[ffs64(who) - 1];

        flush_here(from->flush_va);
        atomic_fetch_and(&from->flush_waits, ~(1ULL << this_pcpu()->id));
    }
    if (atomic_load(&b->unload) && atomic_exchange(&b->unload, false))
        vcpu_unload_here();
}

/* The caller changed the tables by locked instructions: who gets the request after that sees it. */
static void flush(uint64_t mask, uint64_t va)
{
    uint64_t me = 1ULL << this_pcpu()->id;
    struct box *b = &boxes[this_pcpu()->id];

    if (mask & me)
        flush_here(va);
    mask &= arch_cpus_online() & ~me;
    if (likely(mask == 0))
        return;
    b->flush_va = va;
    atomic_store(&b->flush_waits, mask);
    for (; mask; mask &= mask - 1) {
        atomic_fetch_or(&boxes[ffs64(mask) - 1].flush_for, me);
        arch_cpu_kick(ffs64(mask) - 1);
    }
    while (atomic_load(&b->flush_waits)) {
        smp_serve();
        cpu_relax();
    }
}

void arch_cache_writeback(uint64_t cpus) { flush(cpus, FLUSH_CACHES); }
void arch_flush_tlb_mask(uint64_t mask) { flush(mask, FLUSH_ALL); }
void arch_flush_tlb_page_mask(uint64_t mask, uint64_t va) { flush(mask, va & PAGE_MASK); }

/* ---- the state of a vCPU that another CPU has ---- */

void smp_unload(uint32_t cpu)
{
    atomic_store(&boxes[cpu].unload, true);
    arch_cpu_kick(cpu);
}

/* ---- the end ---- */

void arch_stop_other_cpus(void)
{
    uint64_t others = arch_cpus_online() & ~(1ULL << this_pcpu()->id);

    atomic_store(&stopped_by, this_pcpu()->id + 1);
    for (uint64_t m = others; m; m &= m - 1)
        lapic_send(arch_cpu_apic_id(ffs64(m) - 1), ICR_NMI);
    /* the caller takes over locks: nobody may release one after that */
    for (unsigned int i = 0; i < STOP_WAIT_SPINS && (others & ~atomic_load(&stopped)); i++)
        cpu_relax();
}

bool smp_stopped(void) { return atomic_load(&stopped_by); }

void smp_nmi(void)
{
    uint32_t by = atomic_load(&stopped_by);

    if (by && by != this_pcpu()->id + 1) {
        atomic_fetch_or(&stopped, 1ULL << this_pcpu()->id);
        arch_halt_forever();
    }
}
