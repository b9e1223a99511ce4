/*
 * XSA-185, XSA-240, XSA-309: tables that refer to tables of their own level, or to themselves.
 * The story: advisories/xsa-185-240-309.md.
 */
#include "xsa.h"

#define DEPTH 24

static uint64_t *t[DEPTH];
static unsigned int wrong;

static void all_ro(void)
{
    for (unsigned int i = 0; i < DEPTH; i++)
        page_set_ro(t[i]);
}

/* If a reference were left anywhere this would be refused: error() */
static void all_rw_and_clear(void)
{
    for (unsigned int i = 0; i < DEPTH; i++) {
        page_set_rw(t[i]);
        memset(t[i], 0, PAGE_SIZE);
    }
}

/* Xen permits some of all this, for reading; there it is undone at once. */
static void pin_refused(unsigned int level, uint64_t *table)
{
    long rc = pin(level, table);

    wrong += rc != -EINVAL;
    if (rc == 0)
        CHECK_EQ(unpin(table), 0);
}

static void write_refused(uint64_t *entry, uint64_t val, long want)
{
    long rc = pte_write(entry, val);

    wrong += rc != want;
    if (rc == 0)
        CHECK_EQ(pte_write(entry, 0), 0);
    CHECK_EQ(*entry, 0);
}

/* Itself in one of its entries; read-only, as Xen would have it for levels 2 to 4. */
static void loops(unsigned int level)
{
    t[0][5] = PTE(t[0], PTE_RO);
    all_ro();
    pin_refused(level, t[0]);
    all_rw_and_clear();
    /* Two that refer to each other. As L2 and L1 that is a table which shows another, to be read. */
    if (level > 2) {
        t[0][5] = PTE(t[1], PTE_RO);
        t[1][6] = PTE(t[0], PTE_RO);
        all_ro();
        pin_refused(level, t[0]);
        pin_refused(level, t[1]);
        all_rw_and_clear();
    }
    /* pinned first, and then the entry */
    all_ro();
    CHECK_EQ(pin(level, t[0]), 0);
    CHECK_EQ(pin(level, t[1]), 0);
    for (uint64_t flags = PTE_RO; flags <= PTE_FLAGS; flags += PTE_RW) {
        write_refused(&t[0][5], PTE(t[0], flags), -EINVAL);
        write_refused(&t[0][5], PTE(t[1], flags), -EINVAL);
    }
    CHECK_EQ(unpin(t[0]), 0);
    CHECK_EQ(unpin(t[1]), 0);
    all_rw_and_clear();
}

/* XSA-240: the chain whose teardown went as deep as the guest had made it long. */
static void chain(unsigned int level)
{
    all_ro();
    for (unsigned int i = 0; i < DEPTH; i++)
        CHECK_EQ(pin(level, t[i]), 0);
    for (unsigned int i = DEPTH - 1; i-- > 0;)
        write_refused(&t[i][1], PTE(t[i + 1], PTE_RO), -EINVAL);
    for (unsigned int i = DEPTH; i-- > 0;)
        CHECK_EQ(unpin(t[i]), 0);
    all_rw_and_clear();
}

/* A table in the place of one of any other level than the next below; t[0] is a good one. */
static void confusion(unsigned int level, unsigned int child_level)
{
    all_ro();
    CHECK_EQ(pin(child_level, t[0]), 0);
    page_set_rw(t[1]);
    t[1][9] = PTE(t[0], PTE_RO);
    page_set_ro(t[1]);
    pin_refused(level, t[1]);
    CHECK_EQ(unpin(t[0]), 0);
    all_rw_and_clear();
}

/* XSA-309: a good part, then the bad entry: what was counted for the good part is given back. */
static void half_good(unsigned int level)
{
    for (unsigned int i = 2; i < DEPTH; i++)
        t[0][i] = PTE(t[i], PTE_FLAGS);
    t[0][400] = PTE(t[0], PTE_RO);
    all_ro();
    for (unsigned int round = 0; round < 3; round++) {
        pin_refused(level, t[0]);
        CHECK_EQ(unpin(t[0]), -EINVAL);
    }
    all_rw_and_clear();
}

/* XSA-185: through several levels of the same table, the live root included. */
static void live_root(void)
{
    struct scratch s = scratch_tree();
    uint64_t *slot = &kernel_root[(SCRATCH >> 39) + 1];

    write_refused(slot, PTE(kernel_root, PTE_RO), -EINVAL);
    write_refused(&s.l3[1], PTE(s.l3, PTE_RO), -EINVAL);
    write_refused(&s.l3[1], PTE(kernel_root, PTE_RO), -EINVAL);
    write_refused(&s.l2[1], PTE(s.l2, PTE_RO), -EINVAL);
    write_refused(&s.l2[1], PTE(s.l3, PTE_RO), -EINVAL);
    write_refused(&s.l2[1], PTE(kernel_root, PTE_RO), -EINVAL);
    /* the L1 may show each of them, but for reading */
    write_refused(&s.l1[1], PTE(s.l1, PTE_FLAGS), -EBUSY);
    CHECK_EQ(pte_write(&s.l1[1], PTE(s.l1, PTE_RO)), 0);
    CHECK(store_refused((uint64_t *)(SCRATCH + PAGE_SIZE)));
    CHECK_EQ(pte_write(&s.l1[1], 0), 0);
}

void test_main(void)
{
    attacks_begin();
    for (unsigned int i = 0; i < DEPTH; i++)
        t[i] = page_alloc();
    for (unsigned int level = 2; level <= 4; level++)
        loops(level);
    attack("linear.loops", wrong, 0);
    wrong = 0;
    for (unsigned int level = 2; level <= 4; level++)
        chain(level);
    attack("linear.chains", wrong, 0);
    wrong = 0;
    for (unsigned int level = 2; level <= 4; level++)
        for (unsigned int child = 1; child <= 4; child++)
            if (child != level - 1 && child != level)
                confusion(level, child);
    attack("linear.levels", wrong, 0);
    wrong = 0;
    for (unsigned int level = 2; level <= 4; level++)
        half_good(level);
    attack("linear.half-good", wrong, 0);
    wrong = 0;
    live_root();
    attack("linear.live-root", wrong, 0);
    witness_check();
}
