/* The inline part of arch.h on the real machine; tests/unit/fake/ has the host's. */
#pragma once
#include "x86/pte.h"

#define ENTRY_OFFSET_PCPU 0 /* struct cpu_entry.pcpu, checked in x86/offsets.c */

/* GS points at this CPU's struct cpu_entry whenever ring 0 runs C. */
static inline struct pcpu *this_pcpu(void)
{
    struct pcpu *p;

    __asm__("mov %%gs:%c1, %0" : "=r"(p) : "i"(ENTRY_OFFSET_PCPU));
    return p;
}

static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }
static inline void arch_irq_disable(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void arch_irq_enable(void) { __asm__ volatile("sti" ::: "memory"); }
static inline unsigned long arch_irq_save(void)
{
    unsigned long flags;

    __asm__ volatile("pushfq; pop %0; cli" : "=r"(flags)::"memory");
    return flags;
}
static inline void arch_irq_restore(unsigned long flags)
{
    if (flags & 0x200)
        arch_irq_enable();
}
static inline bool arch_irq_enabled(void)
{
    unsigned long flags;

    __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
    return flags & 0x200;
}

#define DIRECTMAP_BASE DIRECTMAP_VIRT
#define frame_table ((struct page_info *)FRAMETABLE_VIRT)
#define m2p_table ((uint64_t *)M2P_RW_VIRT)
