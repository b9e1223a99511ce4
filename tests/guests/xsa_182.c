/* XSA-182: from read-only to writable by a change of flags alone. advisories/xsa-182.md. */
#include "xsa.h"

static struct scratch s;

/* All ways to set RW in the leaf that maps a table read-only at SCRATCH. */
static void widen(const char *what, uint64_t *table, unsigned int index)
{
    uint64_t *entry = &s.l1[0], *seen = (uint64_t *)SCRATCH + index, maddr = virt_to_maddr(entry);
    const uint64_t ro = PTE(table, PTE_RO), rw = PTE(table, PTE_FLAGS);
    unsigned int wrong = 0, opened = 0;

    CHECK_EQ(update_va((void *)SCRATCH, ro, UVMF_INVLPG), 0);
    CHECK_EQ(*seen, table[index]);
    for (unsigned int soft = 0; soft < 8; soft++) { /* with other bits changed at once */
        uint64_t val = rw | (uint64_t)soft << 9;

        wrong += mmu_update(maddr | MMU_NORMAL_PT_UPDATE, val) != -EBUSY;
        wrong += mmu_update(maddr | MMU_PT_UPDATE_PRESERVE_AD, val & ~0x60UL) != -EBUSY;
        wrong += mmu_update(maddr | MMU_PT_UPDATE_NO_TRANSLATE, val | PTE_NX) != -EBUSY;
        wrong += update_va((void *)SCRATCH, val, UVMF_INVLPG) != -EBUSY;
        wrong += update_va((void *)SCRATCH, val & ~(uint64_t)PTE_US, UVMF_INVLPG) != -EBUSY;
        opened += !store_refused(seen);
    }
    /* the same by instructions */
    TRY("lock orq %1, (%0)", : : "r"(entry), "r"((uint64_t)PTE_RW) : "memory", "cc");
    wrong += !trapped(TRAP_PF);
    TRY("lock btsq $1, (%0)", : : "r"(entry) : "memory", "cc");
    wrong += !trapped(TRAP_PF);
    TRY("orb $2, (%0)", : : "r"(entry) : "memory", "cc");
    wrong += !trapped(TRAP_PF);
    TRY("lock cmpxchg %1, (%0)", : : "r"(entry), "r"(rw), "a"(*entry) : "memory", "cc");
    wrong += !trapped(TRAP_PF);
    TRY("xchg %1, (%0)", : : "r"(entry), "r"(rw) : "memory");
    wrong += !trapped(TRAP_PF);
    opened += !store_refused(seen) || (*entry & PTE_RW);
    attack(what, wrong, 0);
    CHECK_EQ(opened, 0);
}

/* RW in all upper entries is permitted: the leaf decides. */
static void upper_flags(uint64_t *table)
{
    uint64_t *entries[] = { &s.l2[0], &s.l3[0], &kernel_root[SCRATCH >> 39] };
    uint64_t *seen = (uint64_t *)SCRATCH;

    CHECK_EQ(update_va((void *)SCRATCH, PTE(table, PTE_RO), UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++) {
        uint64_t val = *entries[i];

        CHECK_EQ(pte_write(entries[i], val & ~(uint64_t)(PTE_RW | PTE_A)), 0);
        CHECK(store_refused(seen));
        CHECK_EQ(pte_write(entries[i], val | PTE_RW), 0);
        CHECK(store_refused(seen));
    }
}

/* What the exploit began with: the root as its own L3, read-only, then the flag. */
static void self_map(void)
{
    uint64_t *entry = &kernel_root[(SCRATCH >> 39) + 1];

    attack("self-map.read-only", pte_write(entry, PTE(kernel_root, PTE_RO)), -EINVAL);
    if (*entry & PTE_P) /* Xen may permit it */
        attack("self-map.writable", pte_write(entry, PTE(kernel_root, PTE_FLAGS)), -EINVAL);
    CHECK_EQ(pte_write(entry, 0), 0);
    CHECK_EQ(*entry, 0);
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    widen("widen.l1", s.l1, 7);
    widen("widen.l2", s.l2, 7);
    widen("widen.l3", s.l3, 7);
    widen("widen.l4", kernel_root, 300);
    upper_flags(kernel_root);
    upper_flags(s.l2);
    self_map();
    CHECK_EQ(update_va((void *)SCRATCH, 0, UVMF_INVLPG), 0);
    witness_check();
}
