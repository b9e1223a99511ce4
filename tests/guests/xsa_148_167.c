/* XSA-148, XSA-167: superpages by a PV guest's hand. The story: advisories/xsa-148-167.md. */
#include "xsa.h"

static struct scratch s;

/* A 2 MiB frame that has one of our tables in it, and a 1 GiB one that has everything. */
static uint64_t around(const void *table, uint64_t align)
{
    return (virt_to_mfn(table) & ~(align - 1)) << 12;
}

static unsigned int wrong; /* answers other than -EINVAL */

static void try_entry(uint64_t *entry, uint64_t val)
{
    uint64_t before = *entry, maddr = virt_to_maddr(entry);

    for (uint64_t cmd = MMU_NORMAL_PT_UPDATE; cmd <= MMU_PT_UPDATE_NO_TRANSLATE; cmd++)
        if (cmd != MMU_MACHPHYS_UPDATE)
            wrong += mmu_update(maddr | cmd, val) != -EINVAL;
    CHECK_EQ(*entry, before);
    CHECK(store_refused(entry));
    TRY("mov %1, (%0)", : : "r"(entry), "r"(val) : "memory");
    CHECK(trapped(TRAP_PF)); /* upper tables are not emulated at all */
    CHECK_EQ(*entry, before);
}

static void by_update(void)
{
    uint64_t *l4_entry = &kernel_root[SCRATCH >> 39];

    /* where nothing was */
    try_entry(&s.l2[1], around(s.l2, 512) | PTE_FLAGS | PTE_PS);
    try_entry(&s.l2[1], PTE_FLAGS | PTE_PS);
    try_entry(&s.l3[1], around(s.l2, 1UL << 18) | PTE_FLAGS | PTE_PS);
    try_entry(&kernel_root[(SCRATCH >> 39) + 1], PTE_FLAGS | PTE_PS);
    /* over a good entry: XSA-148 is that only such a change of flags went through a short cut */
    try_entry(&s.l2[0], s.l2[0] | PTE_PS);
    try_entry(&s.l2[0], (s.l2[0] | PTE_PS) & ~(uint64_t)PTE_RW);
    try_entry(&s.l2[0], around(s.l2, 512) | PTE_FLAGS | PTE_PS);
    try_entry(&s.l3[0], s.l3[0] | PTE_PS);
    try_entry(l4_entry, *l4_entry | PTE_PS);
    try_entry(&s.l2[0], PTE(s.l1, PTE_FLAGS | PTE_PS | 0x1000)); /* PAT bit of a superpage */
    attack("superpage.update", wrong, 0);
    CHECK(load_faults((void *)(SCRATCH + (2UL << 20))));
    CHECK(load_faults((void *)(SCRATCH + (1UL << 30))));
}

/* Not present it is a number like any other, and stays one when its table is checked again. */
static void not_present_first(void)
{
    uint64_t val = PTE_PS | PTE_RW | PTE_US;
    long rc = pte_write(&s.l2[1], val);

    CHECK_EQ(rc, 0);
    CHECK_EQ(s.l2[1], val);
    CHECK(load_faults((void *)(SCRATCH + (2UL << 20))));
    attack("superpage.made-present", pte_write(&s.l2[1], val | PTE_P), -EINVAL);
    CHECK_EQ(pte_write(&s.l2[1], 0), 0);
}

static void by_validation(void)
{
    wrong = 0;
    for (unsigned int level = 2; level <= 4; level++) {
        uint64_t *t = page_alloc();

        t[level == 4 ? 100 : 511] = around(t, level == 2 ? 512 : 1UL << 18) | PTE_FLAGS | PTE_PS;
        page_set_ro(t);
        wrong += pin(level, t) != -EINVAL;
        CHECK_EQ(unpin(t), -EINVAL);
        page_set_rw(t); /* nothing of a table is left */
        t[0] = 1;
    }
    attack("superpage.pin", wrong, 0);
}

/* XSA-167: operations that nobody had checked the arguments of. */
static void mark_super(void)
{
    const uint64_t mfns[] = {
        0,    1,          511, 512, virt_to_mfn(s.l1), virt_to_mfn(s.l1) & ~511UL, 0xfffffffffUL,
        ~0UL, ~0UL << 9UL
    };

    wrong = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(mfns); i++) {
        wrong += mmuext(MMUEXT_MARK_SUPER, mfns[i], 0) != -EOPNOTSUPP;
        wrong += mmuext(MMUEXT_UNMARK_SUPER, mfns[i], 0) != -EOPNOTSUPP;
    }
    attack("superpage.mark", wrong, 0);
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    by_update();
    not_present_first();
    by_validation();
    mark_super();
    witness_check();
}
