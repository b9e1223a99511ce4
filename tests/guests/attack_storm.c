/*
 * Rules 1, 2 and 9 under everything at once: all vCPUs do random operations on the same few frames,
 * pin and link them, map them writable in each other, write junk through whatever mapping there is,
 * load them as roots and descriptors, give them back and get others. No answer is checked. What has to
 * hold: a table of ours that none of this may reach keeps its contents, the witness goes on, the
 * frames are all usable afterwards, and the hypervisor's audit comes out even.
 * dom0_max_vcpus=3 or more: the witness has the last.
 */
#include "roads.h"

#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

enum { NR = 24, NR_WINDOWS = 8 };
static uint64_t pool[NR][512] __attribute__((aligned(4096)));
static uint64_t *canary, canary_copy[512];
static uint64_t done[32], failed[32];

/* Of the pool, with few exceptions: tables of ours, the hypervisor's image, interrupt controllers. */
static uint64_t some_mfn(void)
{
    uint32_t r = random() % 64;

    return r == 0   ? virt_to_mfn(canary)
           : r == 1 ? virt_to_mfn(kernel_root)
           : r == 2 ? 0x200 + random() % 64
           : r == 3 ? 0xfec00 + random() % 0x300
                    : virt_to_mfn(pool[random() % NR]);
}

/* Mostly what may stand somewhere. */
static uint64_t some_entry(void)
{
    static const uint64_t flags[] = {
        PTE_FLAGS,          PTE_FLAGS,           PTE_RO,           PTE_RO, PTE_P | PTE_RW, PTE_P, 0,
        PTE_FLAGS | PTE_NX, PTE_FLAGS | PTE_PCD, PTE_FLAGS | 0x100
    };
    uint32_t r = random();

    return r % 8 == 0 ? 0 : some_mfn() << 12 | flags[r / 8 % ARRAY_SIZE(flags)];
}

/* Few different ones, so that what is built meets what is used. */
static unsigned int some_index(void) { return random() % 4 ? random() % 4 : random() % 512; }

/* An address that may lead through tables of the pool, at levels 1 to 3. */
static uint64_t some_address(void)
{
    uint32_t r = random();
    uint64_t off = some_index() * 8UL;

    switch (r % 4) {
    case 0: return ROADS_VA + (ROADS_INDEX + r / 4 % NR_WINDOWS) * PAGE_SIZE + off;
    case 1: return ROADS_VA + ((1UL + r / 4 % NR_WINDOWS) << 21) + (some_index() << 12) + off;
    case 2:
        return ROADS_VA + ((1UL + r / 4 % NR_WINDOWS) << 30) + ((uint64_t)some_index() << 21) +
               ((uint64_t)some_index() << 12) + off;
    default:
        return (7UL << 39) + ((uint64_t)some_index() << 30) + ((uint64_t)some_index() << 21) +
               ((uint64_t)some_index() << 12) + off;
    }
}

/* The live entries that hold what is under some_address(). */
static uint64_t *some_live_entry(void)
{
    uint32_t r = random();

    switch (r % 4) {
    case 0: return &live[1][ROADS_INDEX + r / 4 % NR_WINDOWS];
    case 1: return &live[2][1 + r / 4 % NR_WINDOWS];
    case 2: return &live[3][1 + r / 4 % NR_WINDOWS];
    default: return &kernel_root[7];
    }
}

/* Frames given back while they were in use: they may hold others as long as they are pinned. */
static uint64_t past[1 << 16], nr_past;

/* By one vCPU at a time: else it might be a frame that another has just got for another page. */
static long turn_over(unsigned int i, bool exchange)
{
    static bool busy;
    xen_pfn_t in[1], out[1] = { virt_to_pfn(pool[i]) };
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };
    long rc;

    if (__atomic_exchange_n(&busy, true, __ATOMIC_SEQ_CST))
        return -1;
    in[0] = virt_to_mfn(pool[i]);
    if (random() & 1)
        update_va(pool[i], 0, UVMF_NONE);
    if (exchange) {
        set_xen_guest_handle(x.in.extent_start, in);
        set_xen_guest_handle(x.out.extent_start, out);
        rc = hc(memory_op, XENMEM_exchange, &x);
    } else {
        set_xen_guest_handle(r.extent_start, in);
        rc = hc(memory_op, XENMEM_decrease_reservation, &r) - 1;
        if (rc == 0)
            past[nr_past++ % ARRAY_SIZE(past)] = in[0];
        set_xen_guest_handle(r.extent_start, out);
        CHECK(rc || hc(memory_op, XENMEM_populate_physmap, &r) == 1);
    }
    if (rc == 0)
        STORE(((uint64_t *)start_info->mfn_list)[virt_to_pfn(pool[i])], out[0]);
    STORE(busy, false);
    return rc;
}

static long some_list(void)
{
    static const uint8_t cmds[] = { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
                                    MMU_PT_UPDATE_NO_TRANSLATE };
    struct mmu_update u[8];

    for (unsigned int i = 0; i < ARRAY_SIZE(u); i++) {
        u[i].ptr = virt_to_maddr(&pool[random() % NR][some_index()]) | cmds[random() % 3];
        u[i].val = some_entry();
    }
    return hc(mmu_update, u, ARRAY_SIZE(u), 0, DOMID_SELF);
}

static long one(unsigned int op, unsigned int me)
{
    unsigned int i = random() % NR;
    xen_pfn_t frames[14] = { some_mfn(), some_mfn() };
    uint64_t flags = random() % 3 | (uint64_t)(random() % 2 ? UVMF_ALL : UVMF_LOCAL), mfn;

    switch (op) {
    case 0: return pin(1 + random() % 4, pool[i]);
    case 1: return unpin(pool[i]);
    case 2: return pte_write(&pool[i][some_index()], some_entry());
    case 3: return pte_write(some_live_entry(), some_entry());
    case 4: return pte_write(some_live_entry(), 0);
    case 5: return some_list();
    case 6: return update_va((void *)some_address(), some_entry(), flags);
    case 7: return !try_write64((void *)some_address(), some_entry());
    case 8: return !try_write64((void *)(some_address() + 4), random());
    case 9: return !try_read64((void *)some_address(), &mfn);
    case 10: return !try_write64(&pool[i][some_index()], some_entry());
    case 11: return update_va(pool[i], PTE(pool[i], random() & 1 ? PTE_FLAGS : PTE_RO), flags);
    case 12: return mmuext(MMUEXT_NEW_USER_BASEPTR, random() % 4 ? some_mfn() : 0, 0);
    case 13: return hc(set_gdt, frames, random() % 1025);
    case 14: return hc(set_gdt, frames, 0);
    case 15: return mmuext(MMUEXT_SET_LDT, (uint64_t)pool[i], random() % 513);
    case 16: return hc(update_descriptor, virt_to_maddr(&pool[i][some_index()]), some_entry());
    case 17: return mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(pool[i]), 0);
    case 18: return mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(pool[i]), some_mfn());
    case 19: return turn_over(i, false);
    case 20: return turn_over(i, true);
    case 21: return mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0);
    case 22: return mmuext(MMUEXT_INVLPG_ALL, some_address(), 0);
    default: return -1;
    }
}
enum { NR_OPS = 23 };

static uint64_t nr_all;

static void storm(unsigned int me)
{
    while (phase_until(&nr_all, 2000)) {
        unsigned int op = random() % NR_OPS;
        long rc = one(op, me);

        ADD(*(rc ? &failed[op] : &done[op]), 1);
        ADD(nr_all, 1);
    }
}

/* Each vCPU lets go of what is its own. */
static void let_go(unsigned int me)
{
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    CHECK_EQ(hc(set_gdt, 0, 0), 0);
}

static void rounds(unsigned int nr)
{
    for (unsigned int n = 0; n < nr; n++) {
        unsigned int lost = 0, stuck = 0;

        phase("storm", 1500, storm);
        phase("calm", 0, let_go);
        CHECK_EQ(memcmp(canary, canary_copy, PAGE_SIZE), 0);
        /* nothing holds the frames but each other: no pins, no entries, then no types */
        for (unsigned int i = 0; i < NR_WINDOWS; i++) {
            CHECK_EQ(pte_write(&live[1][ROADS_INDEX + i], 0), 0);
            CHECK_EQ(pte_write(&live[2][1 + i], 0), 0);
            CHECK_EQ(pte_write(&live[3][1 + i], 0), 0);
        }
        CHECK_EQ(pte_write(&kernel_root[7], 0), 0);
        for (unsigned int i = 0; i < NR; i++)
            (void)unpin(pool[i]);
        for (uint64_t i = 0; i < nr_past && i < ARRAY_SIZE(past); i++)
            (void)mmuext(MMUEXT_UNPIN_TABLE, past[i], 0);
        for (unsigned int i = 0; i < NR; i++) {
            lost += update_va(pool[i], PTE(pool[i], PTE_RO), UVMF_INVLPG) != 0;
        }
        for (unsigned int i = 0; i < NR && !lost; i++) {
            stuck += update_va(pool[i], PTE(pool[i], PTE_FLAGS), UVMF_INVLPG) != 0;
            if (!stuck)
                memset(pool[i], 0, PAGE_SIZE);
        }
        attack(n ? "again.lost" : "storm.lost", lost, 0);
        attack(n ? "again.stuck" : "storm.stuck", stuck, 0);
        witness_check();
    }
}

void test_main(void)
{
    attacks_begin();
    smp_init();
    roads_init();
    canary = page_alloc();
    canary[5] = 0x230; /* a root without entries: so there is no legal way to change it */
    page_set_ro(canary);
    CHECK_EQ(pin(4, canary), 0);
    memcpy(canary_copy, canary, PAGE_SIZE);
    rounds(2);
    for (unsigned int op = 0; op < NR_OPS; op++) {
        print("%s: operation %u: %lu done, %lu refused\n", guest_name, op, done[op], failed[op]);
        CHECK(done[op] > 0 || nr_all < 5000);
    }
    phase("storm", 100, storm); /* and the end comes in the middle of it */
}
