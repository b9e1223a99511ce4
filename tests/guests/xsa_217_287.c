/*
 * XSA-217, XSA-287: frames that leave a domain while it has them in a TLB, or takes references on them.
 * The story: advisories/xsa-217-287.md.
 */
#include "xsa.h"

#define ROUNDS_WANTED 20u

static struct scratch s;
static uint64_t victim; /* mfn: the frame that comes and goes */
static unsigned int wrong;
static uint64_t rounds, exchanged, refused, mapped, came_back, hits;

/* mfn for another frame under pfn: 0, or what the hypercall said. */
static long give_away(uint64_t pfn, uint64_t mfn)
{
    xen_pfn_t in = mfn, out = pfn;
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };
    long rc;

    set_xen_guest_handle(x.in.extent_start, &in);
    set_xen_guest_handle(x.out.extent_start, &out);
    rc = hc(memory_op, XENMEM_exchange, &x);
    if (rc == 0)
        p2m()[pfn] = out;
    return rc;
}

/* ---- XSA-287: the page is taken while others take references ---- */

static void map_or_steal(unsigned int me)
{
    while (phase_until(&exchanged, ROUNDS_WANTED) || phase_until(&mapped, ROUNDS_WANTED)) {
        uint64_t mfn = LOAD(victim), *at = &s.l1[me];
        long rc;

        if (me) { /* read-only or writable, or a table, or just named */
            unsigned int r = random() % 4;

            rc = r < 2    ? pte_write(at, mfn << 12 | (r ? PTE_FLAGS : PTE_RO))
                 : r == 2 ? mmuext(MMUEXT_PIN_L1_TABLE, mfn, 0)
                          : mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, spare_pfn(0));
            if (rc == 0 && r < 3)
                ADD(mapped, 1);
            if (r < 2)
                pte_write(at, 0);
            else if (r == 2 && rc == 0)
                mmuext(MMUEXT_UNPIN_TABLE, mfn, 0);
            continue;
        }
        rc = give_away(spare_pfn(0), mfn);
        if (rc == 0) { /* then no entry names it: this is the state right after */
            for (unsigned int v = 1; v < nr_vcpus; v++) {
                uint64_t e = LOAD(s.l1[v]);

                wrong += (e & PTE_P) && PTE_MFN(e) == mfn;
            }
            wrong += pte_write(&s.l1[0], mfn << 12 | PTE_RO) == 0;
            pte_write(&s.l1[0], 0);
            STORE(victim, p2m()[spare_pfn(0)]);
            exchanged++;
        } else {
            wrong += rc != -EINVAL;
            refused++;
        }
    }
}

/* ---- XSA-217: it is given away and comes back as something else, and a TLB still has it ---- */

enum { IDLE, TOUCH, WRITE_ON, END };
static uint64_t state, touched, tries[MAX_VCPUS];

static void write_through(unsigned int me)
{
    volatile uint64_t *at = (void *)(SCRATCH + 8 * PAGE_SIZE + 8 * me);

    while (LOAD(state) != END) {
        uint64_t now = LOAD(state);

        ADD(tries[me], 1);
        if (now == IDLE)
            yield();
        else if (try_write64(at, 0xbad0UL))
            ADD(*(now == TOUCH ? &touched : &hits), 1);
    }
}

/* What they wrote before the flush has been counted. */
static void await_hits(void)
{
    for (unsigned int v = 1; v < nr_vcpus; v++)
        CHECK(wait_until(&tries[v], LOAD(tries[v]) + 2));
}

/* The victim is written through SCRATCH by others, loses its entry without a flush, goes and comes. */
static void one_round(void)
{
    static uint64_t window[512] __attribute__((aligned(4096)));
    const void *seen = window;
    static xen_pfn_t list[64];
    uint64_t pfn = spare_pfn(0), mfn = p2m()[pfn], own = virt_to_mfn(window), before, n;
    long rc;

    CHECK_EQ(pte_write(&s.l1[8], mfn << 12 | PTE_FLAGS), 0);
    STORE(touched, 0);
    STORE(state, TOUCH);
    if (!wait_until(&touched, 4))
        failure("nobody writes");
    CHECK_EQ(pte_write(&s.l1[8], 0), 0); /* no flush: the others have it in their TLBs */
    if (rounds & 1) {
        CHECK_EQ(give_away(pfn, mfn), 0);
    } else {
        CHECK_EQ(reservation(XENMEM_decrease_reservation, &mfn, 1), 1);
        p2m()[pfn] = ~0UL;
    }
    STORE(state, WRITE_ON);
    /* get it back */
    for (n = 0; n < 64; n++) {
        list[n] = pfn;
        if (reservation(XENMEM_populate_physmap, &list[n], 1) != 1 || list[n] == mfn)
            break;
    }
    if (n < 64 && list[n] == mfn) {
        await_hits();
        before = LOAD(hits);
        came_back++;
        if (on_xen()) /* it does not clear what a domain gave back itself */
            CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, mfn, 0), 0);
        rc = update_va(seen, mfn << 12 | PTE_RO, UVMF_INVLPG);
        CHECK_EQ(rc, 0);
        for (unsigned int i = 0; i < 512; i++) /* cleared, and nobody writes to it */
            wrong += window[i] != 0;
        rc = mmuext(MMUEXT_PIN_L1_TABLE, mfn, 0);
        CHECK_EQ(rc, 0);
        for (unsigned int k = 0; k < 200; k++)
            for (unsigned int i = 0; i < 8; i++)
                wrong += LOAD(window[i]) != 0;
        wrong += LOAD(hits) != before; /* not even one that hit something else */
        CHECK_EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn, 0), 0);
        CHECK_EQ(update_va(seen, own << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    }
    STORE(state, IDLE);
    for (uint64_t i = 0; i < 64 && i <= n; i++) /* keep one */
        if (list[i] != mfn || p2m()[pfn] != ~0UL) {
            if (reservation(XENMEM_decrease_reservation, &list[i], 1) != 1)
                wrong++;
        }
    if (p2m()[pfn] == ~0UL && n < 64 && list[n] == mfn)
        p2m()[pfn] = mfn;
    if (p2m()[pfn] == ~0UL) {
        list[0] = pfn;
        CHECK_EQ(reservation(XENMEM_populate_physmap, &list[0], 1), 1);
        p2m()[pfn] = list[0];
    }
    rounds++;
}

static void stale(unsigned int me)
{
    if (me) {
        write_through(me);
        return;
    }
    while (phase_until(&came_back, 4))
        one_round();
    STORE(state, END);
}

void test_main(void)
{
    long pages = current_pages();

    attacks_begin();
    s = scratch_tree();
    smp_init();
    victim = p2m()[spare_pfn(0)];
    phase("steal", 1200, map_or_steal);
    print("xsa_217_287: %lu exchanged, %lu refused, %lu references taken\n", exchanged, refused,
          mapped);
    attack("steal.wrong", wrong, 0);
    CHECK(exchanged && mapped);
    CHECK_EQ(mmu_update(victim << 12 | MMU_MACHPHYS_UPDATE, spare_pfn(0)), 0);
    wrong = 0;
    phase("stale", 1200, stale);
    print("xsa_217_287: %lu rounds, it came back in %lu\n", rounds, came_back);
    print("xsa_217_287: stale: %u wrong\n", wrong); /* on Xen another number each time */
    CHECK(wrong == 0 || on_xen());
    CHECK(came_back);
    CHECK_EQ(current_pages(), pages);
    witness_check();
}
