/* XSA-273: what a CPU reads by an entry that is not present. The story: advisories/xsa-273.md. */
#include "xsa.h"

static struct scratch s;
static bool affected; /* Intel's, without the promise that it is not */
static unsigned int wrong;

/* An entry that is not present, by each way into a table. */
static void by_all_ways(uint64_t val, bool safe)
{
    const long want = safe || !affected ? 0 : -EINVAL;
    uint64_t *at = &s.l1[3], *t = page_alloc(), maddr = virt_to_maddr(at), rax;
    uint64_t *upper[] = { &s.l2[3], &s.l3[3], &kernel_root[(SCRATCH >> 39) + 3] };
    const int trap = want ? TRAP_PF : -1;
    long rc;

    wrong += mmu_update(maddr | MMU_NORMAL_PT_UPDATE, val) != want;
    wrong += mmu_update(maddr | MMU_PT_UPDATE_PRESERVE_AD, val) != want;
    wrong += mmu_update(maddr | MMU_PT_UPDATE_NO_TRANSLATE, val) != want;
    wrong += update_va((void *)(SCRATCH + 3 * PAGE_SIZE), val, UVMF_INVLPG) != want;
    CHECK_EQ(pte_write(at, 0), 0);
    TRY("mov %1, (%0)", : : "r"(at), "r"(val) : "memory");
    wrong += !trapped(trap);
    CHECK_EQ(pte_write(at, 0), 0);
    rax = val;
    TRY("xchg %0, (%1)", : "+r"(rax) : "r"(at) : "memory");
    wrong += !trapped(trap);
    CHECK_EQ(pte_write(at, 0), 0);
    TRY("lock cmpxchg %1, (%0)", : : "r"(at), "r"(val), "a"(0UL) : "memory", "cc");
    wrong += !trapped(trap);
    CHECK_EQ(pte_write(at, 0), 0);
    TRY("lock orq %1, (%0)", : : "r"(at), "r"(val) : "memory", "cc");
    wrong += !trapped(trap);
    wrong += *at != (want ? 0 : val);
    CHECK_EQ(pte_write(at, 0), 0);
    /* and half by half, as a kernel with 32-bit stores would */
    TRY("movl %1, (%0)", : : "r"(at), "r"((uint32_t)val) : "memory");
    TRY("movl %1, 4(%0)", : : "r"(at), "r"((uint32_t)(val >> 32)) : "memory");
    wrong += want && *at == val;
    CHECK_EQ(pte_write(at, 0), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(upper); i++) {
        wrong += pte_write(upper[i], val) != want;
        wrong += *upper[i] != (want ? 0 : val);
        CHECK_EQ(pte_write(upper[i], 0), 0);
    }
    /* in a table that becomes one */
    for (unsigned int level = 1; level <= 4; level++) {
        t[level == 4 ? 3 : 511] = val;
        page_set_ro(t);
        rc = pin(level, t);
        wrong += rc != want;
        if (rc == 0)
            CHECK_EQ(unpin(t), 0);
        page_set_rw(t);
        memset(t, 0, PAGE_SIZE);
    }
}

/* A good entry loses its present bit only: the usual way there. */
static void not_present_any_more(void)
{
    uint64_t *page = page_alloc(), val = PTE(page, PTE_FLAGS);
    const int trap = affected ? TRAP_PF : -1;

    CHECK_EQ(pte_write(&s.l1[4], val), 0);
    wrong += pte_write(&s.l1[4], val & ~(uint64_t)PTE_P) != (affected ? -EINVAL : 0);
    CHECK_EQ(pte_write(&s.l1[4], val), 0);
    TRY("lock btrq $0, (%0)", : : "r"(&s.l1[4]) : "memory", "cc");
    wrong += !trapped(trap);
    CHECK_EQ(pte_write(&s.l1[4], val), 0);
    TRY("lock andq $-2, (%0)", : : "r"(&s.l1[4]) : "memory", "cc");
    wrong += !trapped(trap);
    wrong += (s.l1[4] & PTE_P) != (affected ? PTE_P : 0);
    CHECK_EQ(pte_write(&s.l1[4], 0), 0);
}

void test_main(void)
{
    uint64_t max = (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0);
    struct cpuid_leaf l = { 0 };

    __asm__("cpuid" : "=b"(l.b), "=c"(l.c), "=d"(l.d) : "a"(0), "c"(0));
    affected = l.b == 0x756e6547;
    print("xsa_273: %saffected\n", affected ? "" : "not ");
    attacks_begin();
    s = scratch_tree();
    /* frames that there are: our own, a table, low memory, the last one; also beside high bits */
    by_all_ways(virt_to_mfn(&s) << 12, false);
    by_all_ways(virt_to_mfn(kernel_root) << 12 | 0x66, false);
    by_all_ways(0x1000, false);
    by_all_ways(max << 12 | PTE_NX, false);
    by_all_ways(1UL << 51 | 0x1000, false); /* above what the cache's tags know */
    by_all_ways(1UL << 46 | max << 12, false);
    /* and what is of no use to anybody */
    by_all_ways(0xffe, true);
    by_all_ways(0xfff0000000000ffe, true);
    by_all_ways((max + 1) << 12, true);
    by_all_ways(~(virt_to_mfn(&s) << 12) & 0xffffffffff000, true); /* inverted, as Linux does */
    not_present_any_more();
    attack("l1tf.refused", wrong, 0);
    witness_check();
}
