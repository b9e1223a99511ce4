/* The inline part of arch.h on the real machine; tests/unit/fake/ has the host's. */
#pragma once
#include "x86/pte.h"

struct cpu_user_regs;

#define ENTRY_OFFSET_PCPU 0 /* struct cpu_entry.pcpu, checked in x86/offsets.c */

/* GS points at this CPU's struct cpu_entry whenever ring 0 runs C. */
static inline struct pcpu *this_pcpu(void)
{
    struct pcpu *p;

    __asm__("mov %%gs:%c1, %0" : "=r"(p) : "i"(ENTRY_OFFSET_PCPU));
    return p;
}

/* Its second word: where the guest's registers are. */
#define ENTRY_OFFSET_REGS 8
static inline struct cpu_user_regs *arch_guest_regs(void)
{
    struct cpu_user_regs *r;

    __asm__("mov %%gs:%c1, %0" : "=r"(r) : "i"(ENTRY_OFFSET_REGS));
    return r;
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

/* In inline assembly: where an exception at label `from` goes on; see trap_from_hv(). */
#define EX_TABLE(from, to) \
    "\n.pushsection .ex_table, \"a\"; .balign 8; .quad " from ", " to "; .popsection"

/* ---- access to a guest's memory ---- */

extern bool arch_smap; /* SMAP is on */

static inline void smap_open(void)
{
    if (arch_smap)
        __asm__ volatile("stac" ::: "memory", "cc");
}
/** No access to guests' memory any more; an interrupted copy gets its AC back from its own flags. */
static inline void smap_close(void)
{
    if (arch_smap)
        __asm__ volatile("clac" ::: "memory", "cc");
}

/*
 * Guests own all but [HV_VIRT_START, HV_VIRT_END). It is enough to look at the first byte: what lies
 * just below the hypervisor's part is not canonical, so the copy faults there and is fixed up.
 */
static inline bool guest_access_ok(uint64_t va)
{
    return likely(va - HV_VIRT_START >= HV_VIRT_END - HV_VIRT_START);
}

/*
 * arch_copy_from_guest() and arch_copy_to_guest() where the length is a small constant: word by word,
 * each through a register, so that what is used of a structure need not be in memory. The lowest word
 * comes first, see guest_access_ok(). 0: all is done; else something, in no unit.
 */
#define guest_get(word, from, fault)                                                \
    do {                                                                            \
        __asm__ volatile goto("1: mov %1, %0" EX_TABLE("1b", "%l[" #fault "]")      \
                              : "=r"(word)                                          \
                              : "m"(*(from))                                        \
                              : "memory"                                            \
                              : fault);                                             \
        __asm__(""); /* GCC before 12.4 (PR 113921) may place the output wrongly */ \
    } while (0)
#define guest_put(to, word, fault)                                         \
    __asm__ volatile goto("1: mov %1, %0" EX_TABLE("1b", "%l[" #fault "]") \
                          :                                                \
                          : "m"(*(to)), "r"(word)                          \
                          : "memory"                                       \
                          : fault)
#ifdef __clang__
#define UNROLL /* it does what it can */
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
static inline bool arch_copy_is_small(size_t len)
{
#ifdef __OPTIMIZE_SIZE__
    return false;
#endif
    return len == 4 || (len % 8 == 0 && len <= 128);
}
static hot_inline size_t arch_copy_small_from_guest(void *dst, uint64_t va, size_t len)
{
    uint64_t word;
    uint32_t half;

    if (!guest_access_ok(va))
        return len;
    smap_open();
    if (len == 4) {
        guest_get(half, (const uint32_t *)va, fault);
        __builtin_memcpy(dst, &half, 4);
    }
    UNROLL
    for (size_t i = 0; i < len / 8; i++) {
        guest_get(word, (const uint64_t *)va + i, fault);
        __builtin_memcpy((char *)dst + i * 8, &word, 8);
    }
    smap_close();
    return 0;
fault:
    smap_close();
    return len;
}
static hot_inline size_t arch_copy_small_to_guest(uint64_t va, const void *src, size_t len)
{
    uint64_t word;
    uint32_t half;

    if (!guest_access_ok(va))
        return len;
    smap_open();
    if (len == 4) {
        __builtin_memcpy(&half, src, 4);
        guest_put((uint32_t *)va, half, fault);
    }
    UNROLL
    for (size_t i = 0; i < len / 8; i++) {
        __builtin_memcpy(&word, (const char *)src + i * 8, 8);
        guest_put((uint64_t *)va + i, word, fault);
    }
    smap_close();
    return 0;
fault:
    smap_close();
    return len;
}
/* left words, which may be none; returns how many are left. */
static inline size_t arch_copy_words_from_guest(uint64_t *dst, uint64_t va, size_t left)
{
    const void *src = (const void *)va;

    if (!guest_access_ok(va))
        return left;
    smap_open();
    __asm__ volatile("1: rep movsq; 2:" EX_TABLE("1b", "2b")
                     : "+D"(dst), "+S"(src), "+c"(left)::"memory");
    smap_close();
    return left;
}

#define DIRECTMAP_BASE DIRECTMAP_VIRT
#define frame_table ((struct page_info *)FRAMETABLE_VIRT)
#define m2p_table ((uint64_t *)M2P_RW_VIRT)
