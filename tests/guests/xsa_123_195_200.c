/*
 * XSA-123, XSA-195, XSA-200: instructions whose emulation computed an address, or a width, of its own.
 * The story: advisories/xsa-123-195-200.md.
 */
#include "xsa.h"

static struct scratch s;
static unsigned int wrong;

#define ENTRY 64u    /* the one that is to be hit */
#define BIT_OF_IT 5u /* harmless in an entry that is not present */

static void expect(const char *what, long index, uint64_t value)
{
    unsigned int others = 0;

    for (long i = 0; i < 512; i++)
        others += i != index && s.l1[i] != 0;
    if (!trapped(-1) || others || (index >= 0 && s.l1[index] != value)) {
        print("%s: trap %d, entry 0x%lx, %u others\n", what, last_trap.vector,
              index >= 0 ? s.l1[index] : 0, others);
        wrong++;
    }
    for (unsigned int i = 0; i < 512; i++)
        if (s.l1[i])
            pte_write(&s.l1[i], 0);
}

/* XSA-195: the bit's number reaches beyond the operand, up or down, and far. */
static void bit_offsets(void)
{
    const int64_t words[] = { 0,           1,           -1,         17,          -63,
                              64,          -(1L << 20), 1L << 30,   -(1L << 40), 1L << 44,
                              -(1L << 46), 1L << 57,    -(1L << 57) };

    for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
        char *base = (char *)&s.l1[ENTRY] - 8 * words[i];
        int64_t bit = 64 * words[i] + BIT_OF_IT;
        uint64_t flags;

        if (bit / 64 != words[i])
            continue;
        TRY("lock btsq %2, (%1)\n pushfq\n pop %0",
            : "=&r"(flags)
            : "r"(base), "r"(bit)
            : "memory");
        wrong += flags & 1;
        expect("btsq", ENTRY, 1UL << BIT_OF_IT);
        CHECK_EQ(pte_write(&s.l1[ENTRY], 0xffe), 0); /* all but the present bit */
        TRY("lock btrq %2, (%1)\n pushfq\n pop %0",
            : "=&r"(flags)
            : "r"(base), "r"(bit)
            : "memory");
        wrong += !(flags & 1);
        expect("btrq", ENTRY, 0xffe & ~(1UL << BIT_OF_IT));
        TRY("btcq %1, (%0)", : : "r"(base), "r"(bit) : "memory", "cc");
        expect("btcq", ENTRY, 1UL << BIT_OF_IT);
    }
    for (int n = -40; n < 40; n++) { /* 32-bit operands: half an entry */
        char *base = (char *)&s.l1[ENTRY] - 4 * n;
        int bit = 32 * n + (int)BIT_OF_IT;

        TRY("lock btsl %1, (%0)", : : "r"(base), "r"(bit) : "memory", "cc");
        expect("btsl", ENTRY, 1UL << BIT_OF_IT);
        TRY("lock btsl %1, 4(%0)", : : "r"(base), "r"(bit + 17) : "memory", "cc");
        expect("btsl, upper half", ENTRY, 1UL << (32 + BIT_OF_IT + 17));
    }
    for (short n = -40; n < 40; n++) {
        char *base = (char *)&s.l1[ENTRY] - 2 * n;
        short bit = 16 * n + (short)BIT_OF_IT;

        TRY("lock btsw %1, (%0)", : : "r"(base), "r"(bit) : "memory", "cc");
        expect("btsw", ENTRY, 1UL << BIT_OF_IT);
    }
    attack("bits.offsets", wrong, 0);
}

/* The same from a table's own address into the hypervisor: the guest's page fault. */
static void bits_of_the_hypervisor(void)
{
    const uint64_t targets[] = { HYPERVISOR_VIRT_START, HYPERVISOR_VIRT_START + (1UL << 39),
                                 HYPERVISOR_VIRT_START + (6UL << 39), HYPERVISOR_VIRT_END - 8 };

    wrong = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(targets); i++) {
        int64_t words = (int64_t)(targets[i] - (uint64_t)&s.l1[ENTRY]) / 8;

        TRY("lock btsq %1, (%0)", : : "r"(&s.l1[ENTRY]), "r"(words * 64) : "memory", "cc");
        wrong += !trapped(TRAP_PF) || last_trap.cr2 != targets[i];
        TRY("btsq %1, (%0)", : : "r"(targets[i]), "r"(-words * 64 + BIT_OF_IT) : "memory", "cc");
        expect("from there to us", ENTRY, 1UL << BIT_OF_IT);
    }
    attack("bits.hypervisor", wrong, 0);
}

/* XSA-123: a segment prefix where there is nothing for it to apply to, or where there is. */
static void segment_prefixes(void)
{
    static const uint64_t val = 0x5a << 1;
    uint64_t base = (uint64_t)s.l1 - 0x100, got;

    wrong = 0;
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, base), 0);
    TRY("mov %0, %%fs:(%1)", : : "r"(val), "r"(0x100 + 8UL * ENTRY) : "memory");
    expect("fs", ENTRY, val);
    TRY(".byte 0x65, 0x64\n mov %0, (%1)", : : "r"(val), "r"(0x100 + 8UL * ENTRY) : "memory");
    expect("gs fs", ENTRY, val); /* the last one counts */
    TRY(".byte 0x26, 0x36, 0x3e, 0x2e\n mov %0, (%1)", : : "r"(val), "r"(&s.l1[ENTRY]) : "memory");
    expect("es ss ds cs", ENTRY, val); /* all without effect in 64-bit mode */
    TRY("lock orq %0, %%fs:(%1)", : : "r"(val), "r"(0x100 + 8UL * ENTRY) : "memory", "cc");
    expect("fs or", ENTRY, val);
    TRY("lock btsq %0, %%fs:(%1)",
        :
        : "r"(64L + BIT_OF_IT), "r"(0x100 + 8UL * (ENTRY - 1))
        : "memory", "cc");
    expect("fs bts", ENTRY, 1UL << BIT_OF_IT);
    /* register operands of privileged instructions: there is no segment in them */
#define CR3_WITH(prefix)                                                         \
    TRY(".byte " prefix ", 0x0f, 0x20, 0xd8" /* mov %cr3, %rax */, : "=a"(got)); \
    wrong += !trapped(-1) || got != virt_to_maddr(kernel_root);
    CR3_WITH("0x64")
    CR3_WITH("0x65")
    CR3_WITH("0x2e")
    CR3_WITH("0x36, 0x26, 0x64")
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, HYPERVISOR_VIRT_END + 0x1000), 0);
    CR3_WITH("0x64")
    TRY(".byte 0x64, 0x0f, 0x22, 0xd8" /* mov %rax, %cr3 */, : : "a"(virt_to_maddr(kernel_root)));
    wrong += !trapped(-1);
    expect("nothing", -1, 0);
    hc(set_segment_base, SEGBASE_FS, 0);
    attack("segments.prefixes", wrong, 0);
}

/* XSA-200: CMPXCHG8B and a prefix that should not matter; a comparison that fails shows what was read. */
static void wide_compares(void)
{
    uint64_t before = 0xe30, a, d;

    wrong = 0;
    CHECK_EQ(pte_write(&s.l1[ENTRY], before), 0);
#define WIDE(insns)                                                                             \
    a = d = 0x1111111111111111;                                                                 \
    TRY(insns, : "+a"(a), "+d"(d) : "D"(&s.l1[ENTRY]), "b"(0x40UL), "c"(0UL) : "memory", "cc"); \
    if (trapped(TRAP_PF)) /* not emulated */                                                    \
        wrong += a != 0x1111111111111111 || d != 0x1111111111111111;                            \
    else /* or what was there, and nothing else of anybody's */                                 \
        wrong += a != before || d != 0 || !trapped(-1);                                         \
    wrong += s.l1[ENTRY] != before;
    WIDE("lock cmpxchg8b (%%rdi)")
    WIDE("cmpxchg8b (%%rdi)")
    WIDE(".byte 0x66\n cmpxchg8b (%%rdi)")
    WIDE(".byte 0x66\n lock cmpxchg8b (%%rdi)")
    WIDE(".byte 0xf2\n cmpxchg8b (%%rdi)")
    WIDE("lock cmpxchg16b (%%rdi)")
    WIDE(".byte 0x66\n lock cmpxchg16b (%%rdi)")
    attack("compares.wide", wrong, 0);
    /* narrow ones are done; the rest of the register is its own, the rest of the entry too */
    a = 0xaaaaaaaaaaaa0000 | 0xe31;
    TRY("lock cmpxchgw %w2, (%1)", : "+a"(a) : "r"(&s.l1[ENTRY]), "r"(0UL) : "memory", "cc");
    CHECK(trapped(-1));
    CHECK_EQ(a, 0xaaaaaaaaaaaa0000 | before);
    CHECK_EQ(s.l1[ENTRY], before);
    CHECK_EQ(pte_write(&s.l1[ENTRY], 0), 0);
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    bit_offsets();
    bits_of_the_hypervisor();
    segment_prefixes();
    wide_compares();
    witness_check();
}
