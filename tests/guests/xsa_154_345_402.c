/*
 * XSA-154, XSA-345, XSA-402: one frame mapped with several cache attributes.
 * The story: advisories/xsa-154-345-402.md.
 */
#include "xsa.h"

#define PTE_PAT 0x80UL
#define NR_FRAMES 6u

static struct scratch s;
static uint64_t *frames[NR_FRAMES];
static uint64_t rounds, tables, lost, wrong;

/* n: 0 write-back, 1 write-through, 2 and 3 uncached, 4 write-combining, ... (the ABI's PAT) */
static uint64_t cache(unsigned int n)
{
    return (n & 1 ? PTE_PWT : 0) | (n & 2 ? PTE_PCD : 0) | (n & 4 ? PTE_PAT : 0);
}

/* All attributes side by side; what is written through one is seen through all. */
static void side_by_side(void)
{
    uint64_t *page = page_alloc(), bad = 0;

    for (unsigned int n = 0; n < 8; n++)
        bad += pte_write(&s.l1[n], PTE(page, PTE_FLAGS) | cache(n)) != 0;
    for (unsigned int n = 0; n < 8; n++) {
        ((volatile uint64_t *)(SCRATCH + n * PAGE_SIZE))[n] = 0x700 + n;
        for (unsigned int k = 0; k < 8; k++)
            bad += ((volatile uint64_t *)(SCRATCH + k * PAGE_SIZE))[n] != 0x700 + n;
    }
    for (unsigned int n = 0; n < 64; n++) /* from one to the other, RW along with it */
        bad += pte_write(&s.l1[0], PTE(page, n & 8 ? PTE_RO : PTE_FLAGS) | cache(n & 7)) != 0;
    for (unsigned int n = 0; n < 8; n++)
        bad += pte_write(&s.l1[n], 0) != 0;
    attack("cache.side-by-side", (long)bad, 0);
    /* it was mapped uncached: to become a table it is written back and looked at as memory has it */
    memset(page, 0, PAGE_SIZE);
    page[3] = PTE(kernel_root, PTE_FLAGS);
    page_set_ro(page);
    attack("cache.then-bad-table", pin(1, page) < 0, 1);
    page_set_rw(page);
    page[3] = PTE(kernel_root, PTE_RO);
    page_set_ro(page);
    CHECK_EQ(pin(1, page), 0);
    /* a table is seen uncached, too, but for reading */
    bad = 0;
    for (unsigned int n = 0; n < 8; n++) {
        bad += pte_write(&s.l1[n], PTE(page, PTE_FLAGS) | cache(n)) != -EBUSY;
        bad += pte_write(&s.l1[n], PTE(page, PTE_RO) | cache(n)) != 0;
        bad += !store_refused((uint64_t *)(SCRATCH + n * PAGE_SIZE) + 5);
        bad += pte_write(&s.l1[n], 0) != 0;
    }
    attack("cache.of-a-table", (long)bad, 0);
    CHECK_EQ(unpin(page), 0);
    page_set_rw(page);
}

/* What the hypervisor and the domain share the hypervisor uses cached: no other way for the guest. */
static void shared_with_the_hypervisor(void)
{
    uint64_t maddr = start_info->shared_info, m2p, bad = 0;
    const uint64_t *l = pte_of(kernel_root, HYPERVISOR_VIRT_START, 4);

    for (unsigned int n = 1; n < 8; n++) {
        bad += pte_write(&s.l1[0], maddr | PTE_FLAGS | cache(n)) != -EACCES;
        bad += pte_write(&s.l1[0], maddr | PTE_RO | cache(n)) != -EACCES;
    }
    attack("cache.shared-info", (long)bad, 0);
    CHECK_EQ(pte_write(&s.l1[0], maddr | PTE_FLAGS), 0);
    for (unsigned int n = 1; n < 8; n++) /* nor afterwards, nor by a change of flags */
        CHECK(pte_write(&s.l1[0], maddr | PTE_FLAGS | cache(n)) != 0 || on_xen());
    CHECK_EQ(pte_write(&s.l1[0], 0), 0);
    m2p = PTE_MFN(*l);
    for (unsigned int n = 0; n < 8; n++)
        CHECK(pte_write(&s.l1[0], m2p << 12 | PTE_RO | cache(n)) != 0);
    CHECK_EQ(s.l1[0], 0);
}

/* XSA-154: memory of devices, where two attributes for one thing can stop the machine. */
static void devices(void)
{
    uint64_t bad = 0;

    for (unsigned int n = 0; n < 8; n++) /* the VGA's */
        bad += pte_write(&s.l1[0], 0xb8000 | PTE_FLAGS | cache(n)) != 0;
    CHECK_EQ(pte_write(&s.l1[0], 0), 0);
    attack("cache.device", (long)bad, 0);
    bad = 0;
    for (unsigned int n = 0; n < 8; n++) /* local APIC: the hypervisor's */
        bad += pte_write(&s.l1[0], 0xfee00000 | PTE_FLAGS | cache(n)) == 0;
    attack("cache.apic", (long)bad, 0);
    if (s.l1[0])
        pte_write(&s.l1[0], 0);
}

/* XSA-345 and 402 together: attributes change on all sides, frames become tables meanwhile. */
static void race(unsigned int me)
{
    while (phase_until(&tables, 20)) {
        unsigned int f = random() % NR_FRAMES, n = random() & 7;
        volatile uint64_t *at = (uint64_t *)(SCRATCH + (32 + me) * PAGE_SIZE) + 2 * me;
        uint64_t *frame = frames[f], got;

        if (random() % 8 == 0) { /* a table, for a moment */
            if (pin(1, frame) == 0) {
                for (unsigned int i = 0; i < 512; i++)
                    if (frame[i] & PTE_P)
                        ADD(wrong, 1);
                ADD(tables, 1);
                if (unpin(frame) != 0)
                    ADD(wrong, 1);
            }
            continue;
        }
        if (update_va((void *)at, PTE(frame, PTE_FLAGS) | cache(n), UVMF_INVLPG) != 0)
            continue;
        if (try_write64(at, 0x40 + 2 * n)) {
            /* through another attribute the same; my word in my frame is nobody else's */
            if (update_va((void *)at, PTE(frame, PTE_RO) | cache(random() & 7), UVMF_INVLPG) != 0)
                ADD(wrong, 1);
            else if (!try_read64(at, &got) || got != 0x40 + 2 * n)
                ADD(lost, 1);
            ADD(rounds, 1);
        } else {
            ADD(wrong, 1);
        }
        update_va((void *)at, 0, UVMF_INVLPG);
    }
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    side_by_side();
    shared_with_the_hypervisor();
    devices();
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        frames[i] = table_alloc();
    smp_init();
    phase("attributes", 2000, race);
    print("xsa_154_345_402: %lu rounds, %lu tables\n", rounds, tables);
    attack("race.wrong", (long)wrong, 0);
    attack("race.lost", (long)lost, 0);
    CHECK(rounds && tables);
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        page_set_rw(frames[i]);
    witness_check();
}
