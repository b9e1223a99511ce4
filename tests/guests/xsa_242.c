/*
 * XSA-242: the last reference on a table goes while one of its entries is being changed.
 * The story: advisories/xsa-242.md.
 */
#include "xsa.h"

#define NR_DATA 4u

static struct scratch s;
static uint64_t *table, *data[NR_DATA];
static uint64_t rounds, done_in_time, too_late, round_nr;

/* ---- one vCPU: the table loses its last reference in the list that changes it ---- */

static void in_one_list(void)
{
    uint64_t *t = page_alloc(), *page = page_alloc();
    struct mmu_update u[6];
    unsigned int done, wrong = 0;

    for (unsigned int round = 0; round < 200; round++) { /* every other time it is pinned as well */
        t[0] = 0;
        page_set_ro(t);
        CHECK_EQ(pte_write(&s.l2[1], PTE(t, PTE_FLAGS)), 0);
        u[0] = (struct mmu_update){ virt_to_maddr(&t[0]), PTE(page, PTE_FLAGS) };
        u[1] = (struct mmu_update){ virt_to_maddr(&t[1]), PTE(page, PTE_RO) };
        u[2] = (struct mmu_update){ virt_to_maddr(&s.l2[1]), 0 };   /* nobody refers to it */
        u[3] = (struct mmu_update){ virt_to_maddr(&t[0]), 0x1234 }; /* so it is plain memory */
        u[4] = (struct mmu_update){ virt_to_maddr(&t[1]), 0x5678 };
        if (round & 1) {
            CHECK_EQ(pin(1, t), 0);
            wrong += hc(mmu_update, u, 3, &done, DOMID_SELF) != 0 || done != 3;
            wrong += update_va(t, PTE(t, PTE_FLAGS), UVMF_INVLPG) != -EBUSY;
            CHECK_EQ(unpin(t), 0);
            u[2] = u[3];
        }
        wrong += hc(mmu_update, u, 5, &done, DOMID_SELF) != 0 || done != 5;
        wrong += t[0] != 0x1234 || t[1] != 0x5678;
        page_set_rw(t); /* error() if a type reference leaked */
        page_set_ro(page);
        page_set_rw(page);
        memset(t, 0, 64);
    }
    attack("list.last-reference", wrong, 0);
}

/* ---- several: one unpins while the others write ---- */

static void race(unsigned int me)
{
    uint64_t seen = 0, nr;

    while (phase_until(&rounds, 10)) {
        if (me == 0) {
            unsigned int tries = 0;
            long rc;

            page_set_ro(table);
            do /* on Xen a word that is just written into plain memory makes it busy */
                rc = pin(1, table);
            while (rc && on_xen() && tries++ < 1000000);
            if (rc)
                failure("pin: %ld", rc);
            ADD(round_nr, 1);
            for (unsigned int i = random() % 3000; i > 0; i--)
                barrier();
            CHECK_EQ(unpin(table), 0);
            /* gone: it can be written, or else a reference was left behind */
            do
                rc = update_va(table, PTE(table, PTE_FLAGS), UVMF_INVLPG);
            while (rc && on_xen() && tries++ < 1000000);
            if (rc)
                failure("a type reference is left on the table: %ld", rc);
            for (unsigned int i = 0; i < 512; i++) /* what is plain now may be anything */
                STORE(table[i], 0);
            ADD(rounds, 1);
            continue;
        }
        nr = LOAD(round_nr);
        if (nr == seen && (random() & 7))
            continue;
        seen = nr;
        for (unsigned int i = 0; i < 24; i++) {
            uint64_t *entry = &table[me * 32 + i];
            bool rw = random() & 1;
            long rc;

            if (i % 3 == 2) { /* by an instruction: emulated, a plain store, or a fault */
                ADD(*(try_write64(entry, 0xffe) ? &done_in_time : &too_late), 1);
                continue;
            }
            rc = pte_write(entry, PTE(data[random() % NR_DATA], rw ? PTE_FLAGS : PTE_RO));
            ADD(*(rc == 0 ? &done_in_time : &too_late), 1);
        }
    }
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    in_one_list();
    table = page_alloc();
    for (unsigned int i = 0; i < NR_DATA; i++)
        data[i] = page_alloc();
    smp_init();
    phase("unpin", 2000, race);
    print("xsa_242: %lu rounds, %lu entries written, %lu not\n", rounds, done_in_time, too_late);
    CHECK(rounds && done_in_time);
    /* the frames that the entries named are free of them, too: each becomes a table once */
    for (unsigned int i = 0; i < NR_DATA; i++) {
        memset(data[i], 0, PAGE_SIZE);
        page_set_ro(data[i]);
        CHECK_EQ(pin(1, data[i]), 0);
        CHECK_EQ(unpin(data[i]), 0);
        page_set_rw(data[i]);
    }
    attack("race.references-left", unpin(table), -EINVAL);
    witness_check();
}
