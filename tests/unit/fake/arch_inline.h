/* The host's stand-in for x86/arch_inline.h. */
#pragma once
#include "lib/types.h"
#include "x86/pte.h"

struct page_info;
extern _Thread_local struct pcpu *fake_pcpu; /* the CPU that the test, or its thread, plays now */
extern _Thread_local bool fake_irqs_on;
extern void (*fake_relax)(void); /* what the other CPUs do while this one spins, or NULL */
extern uint8_t *fake_ram;        /* machine address 0 */
extern struct page_info *fake_frame_table;
extern uint64_t *fake_m2p;

static inline struct pcpu *this_pcpu(void) { return fake_pcpu; }
int sched_yield(void); /* of the C library */
static inline void cpu_relax(void)
{
    if (fake_relax)
        fake_relax();
    else
        sched_yield();
}
static inline void arch_irq_disable(void) { fake_irqs_on = false; }
static inline void arch_irq_enable(void) { fake_irqs_on = true; }
static inline unsigned long arch_irq_save(void)
{
    unsigned long flags = fake_irqs_on ? 0x200 : 0;

    fake_irqs_on = false;
    return flags;
}
static inline void arch_irq_restore(unsigned long flags) { fake_irqs_on = flags & 0x200; }
static inline bool arch_irq_enabled(void) { return fake_irqs_on; }

static inline bool arch_copy_is_small(size_t len) { return false; }
#define arch_copy_words_from_guest(dst, va, n) arch_copy_from_guest(dst, va, 8 * (n))
#define arch_copy_small_from_guest arch_copy_from_guest
#define arch_copy_small_to_guest arch_copy_to_guest

#define DIRECTMAP_BASE ((uint64_t)(uintptr_t)fake_ram)
#define frame_table fake_frame_table
#define m2p_table fake_m2p
