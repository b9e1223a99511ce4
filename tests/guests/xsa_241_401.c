/*
 * XSA-241, XSA-401: when the last user of a frame's type and the next one come together, and TLBs know
 * it as what it was. The story: advisories/xsa-241-401.md.
 */
#include "xsa.h"

#define ENOUGH 10u
#define MARK(v) (0xe00UL | (v) << 4) /* an entry that is not present, of vCPU v */

static struct scratch s;
static uint64_t *frame; /* a table or writable; our usual mapping of it is read-only */
static uint64_t pins, refused, maps, writes, stale_writes, tampered, present;

/* Its own address, so that entries stay in TLBs; and its own word. */
static volatile uint64_t *own_va(unsigned int me)
{
    return (uint64_t *)(SCRATCH + (16 + me) * PAGE_SIZE) + me;
}

/* Map, write, unmap without a flush, and go on writing through what the TLB has. */
static void writer(unsigned int me)
{
    uint64_t *entry = &s.l1[16 + me];
    unsigned int n = 1 + random() % (random() & 1 ? 30 : 20000); /* up to the next flush, mostly */

    if (pte_write(entry, PTE(frame, PTE_FLAGS)) != 0) {
        ADD(refused, 1);
        return;
    }
    ADD(maps, 1);
    if (try_write64(own_va(me), MARK(me)))
        ADD(writes, 1);
    CHECK_EQ(pte_write(entry, 0), 0); /* perhaps the last one at this moment */
    while (n--) {
        if (try_write64(own_va(me), MARK(me)))
            ADD(stale_writes, 1); /* all right as long as it is no table */
        else
            break;
    }
}

/* Make it a table. As long as it is one, nobody writes. */
static void promoter(void)
{
    uint64_t seen[MAX_VCPUS];

    if (pin(1, frame) != 0)
        return;
    for (unsigned int v = 0; v < MAX_VCPUS; v++) {
        seen[v] = LOAD(frame[v]);
        if (seen[v] & PTE_P)
            ADD(present, 1);
    }
    /* entries change by hypercall only: cleared, so that any further write shows */
    for (unsigned int v = 0; v < MAX_VCPUS; v++)
        pte_write(&frame[v], 0);
    for (unsigned int i = 0; i < 300; i++)
        for (unsigned int v = 0; v < MAX_VCPUS; v++)
            if (LOAD(frame[v]) != 0) {
                ADD(tampered, 1);
                pte_write(&frame[v], 0);
            }
    ADD(pins, 1);
    CHECK_EQ(unpin(frame), 0);
}

static void race(unsigned int me)
{
    while (phase_until(&pins, ENOUGH) || phase_until(&maps, ENOUGH) ||
           phase_until(&stale_writes, 1)) {
        if (me == 0 || random() % 64 == 0) {
            static uint64_t turn; /* one promoter at a time */

            if (!__atomic_exchange_n(&turn, 1, __ATOMIC_SEQ_CST)) {
                promoter();
                STORE(turn, 0);
            }
        } else {
            writer(me);
        }
    }
}

/* XSA-401: two come for the writable type at once, and the table's CPU has it as a table still. */
static void flip(unsigned int me)
{
    uint64_t *entry = &s.l1[16 + me];

    while (phase_until(&pins, ENOUGH / 2)) {
        if (me == 0) {
            promoter();
            continue;
        }
        for (unsigned int i = 0; i < 20; i++) /* keep knocking, all at once */
            if (pte_write(entry, PTE(frame, PTE_FLAGS)) == 0) {
                ADD(maps, 1);
                if (!try_write64(own_va(me), MARK(me)))
                    ADD(tampered, 1); /* a fresh mapping that is good must work */
                CHECK_EQ(pte_write(entry, 0), 0);
            }
    }
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    frame = page_alloc();
    page_set_ro(frame);
    smp_init();
    phase("release", 1500, race);
    print("xsa_241_401: %lu pins, %lu maps, %lu refused, %lu writes, %lu by stale entries\n", pins,
          maps, refused, writes, stale_writes);
    attack("release.tampered", (long)tampered, 0);
    attack("release.present", (long)present, 0);
    CHECK(pins && maps && stale_writes);
    tampered = pins = maps = 0;
    phase("acquire", 1500, flip);
    print("xsa_241_401: %lu pins, %lu maps\n", pins, maps);
    attack("acquire.tampered", (long)tampered, 0);
    CHECK(pins && maps);
    page_set_rw(frame); /* no reference is left */
    witness_check();
}
