/*
 * Writes to page tables that are emulated although their operand is odd. A bit instruction with the
 * bit's number in a register reaches beyond its operand, and Xen's emulator reached with it into its
 * own memory (XSA-195); CMPXCHG8B with an operand-size prefix compared half of what it had read
 * (XSA-200). Here exactly the entry at which the CPU faulted may change, and by that bit.
 */
#include "guest.h"

#define BIT_AVAILABLE 9 /* of an entry that is not present: ours to set */

static volatile uint64_t *table;

/* Entries that are not what they should be: value at nr, 0 elsewhere. */
static unsigned int wrong_entries(long nr, uint64_t value)
{
    unsigned int n = 0;

    for (long i = 0; i < 512; i++)
        n += table[i] != (i == nr ? value : 0);
    return n;
}

#define BIT_INSN(name, insn, type)                                       \
    static void name(const void *base, type bit)                         \
    {                                                                    \
        TRY(insn " %1, (%0)", : : "r"(base), "r"(bit) : "memory", "cc"); \
    }
BIT_INSN(bts64, "btsq", int64_t)
BIT_INSN(btr64, "lock btrq", int64_t)
BIT_INSN(btc32, "lock btcl", int32_t)
BIT_INSN(btr32, "btrl", int32_t)

static void bits(void)
{
    /* in bytes, from the operand that the instruction names to the entry that it reaches */
    static const int64_t far[] = { 0,          8,           -8,       4088,        -4088,
                                   1L << 20,   -(1L << 20), 1L << 40, -(1L << 40), (1L << 59) + 64,
                                   -(1L << 59) };
    unsigned int wrong = 0, refused = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(far); i++)
        for (long nr = 0; nr < 512; nr += 73) {
            const char *base = (const char *)&table[nr] - far[i];
            int64_t bit = far[i] * 8 + BIT_AVAILABLE;

            bts64(base, bit);
            refused += !trapped(-1);
            wrong += wrong_entries(nr, trapped(-1) ? 1UL << BIT_AVAILABLE : 0);
            btr64(base, bit);
            refused += !trapped(-1);
            if (far[i] != (int32_t)(far[i] * 8) / 8)
                continue;
            wrong += wrong_entries(-1, 0);
            btc32(base, (int32_t)bit);
            wrong += wrong_entries(nr, trapped(-1) ? 1UL << BIT_AVAILABLE : 0);
            btr32(base, (int32_t)bit);
            wrong += wrong_entries(-1, 0);
        }
    attack("bits.wrong-entries", wrong, 0);
    attack("bits.refused", refused, 0);
}

/* Of what is refused nothing may have happened, and nothing come back in rax and rdx. */
static void exchanges(void)
{
    static const char *const names[] = { "cmpxchg8b", "cmpxchg8b.16-bit", "lock-cmpxchg8b.16-bit",
                                         "cmpxchg16b.16-bit" };
    uint64_t rax, rdx;

    for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
        rax = 0xa5a5a5a500000000; /* its lower half is compared, and matches */
        rdx = 0x5a5a5a5a00000000;
#define ON_ENTRY(insn)                                       \
    TRY(insn,                                                \
        : "+a"(rax), "+d"(rdx)                               \
        : "D"(&table[16]), "b"(1L << BIT_AVAILABLE), "c"(0L) \
        : "memory", "cc")
        if (i == 0)
            ON_ENTRY("cmpxchg8b (%%rdi)");
        else if (i == 1)
            ON_ENTRY(".byte 0x66\n cmpxchg8b (%%rdi)");
        else if (i == 2)
            ON_ENTRY("lock\n .byte 0x66\n cmpxchg8b (%%rdi)");
        else
            ON_ENTRY(".byte 0x66\n cmpxchg16b (%%rdi)");
        attack(names[i], last_trap.vector, TRAP_PF);
        if (trapped(-1)) { /* then as the CPU does it */
            CHECK_EQ(wrong_entries(16, 1UL << BIT_AVAILABLE), i == 3 ? 1 : 0);
            CHECK_EQ(pte_write((uint64_t *)&table[16], 0), 0);
        } else {
            CHECK_EQ(last_trap.regs.rax, 0xa5a5a5a500000000);
            CHECK_EQ(last_trap.regs.rdx, 0x5a5a5a5a00000000);
        }
        CHECK_EQ(wrong_entries(-1, 0), 0);
    }
}

void test_main(void)
{
    attacks_begin();
    table = page_alloc();
    page_set_ro((void *)table);
    CHECK_EQ(pin(1, (void *)table), 0);
    bits();
    exchanges();
    CHECK_EQ(unpin((void *)table), 0);
    witness_check();
}
