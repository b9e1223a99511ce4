/*
 * vCPUs that race on tables: each pins, links, loads, writes to by hypercall and by instruction, unpins,
 * gives back and exchanges whatever frame of a few it happens on, no matter who uses it as what just
 * then, and walks through what came of it with TLBs that nobody flushes. No answer is wrong, as long as
 * the machine goes on, and the hypervisor's audit at shutdown finds its books in order.
 * dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define POOL_VA 0x10000000000UL /* a top-level slot: tables and pages of the pool, as they come */
#define SLOTS_VA 0x18000000000UL
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SWAP(x, v) __atomic_exchange_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

enum { NR_POOL = 48, SLOTS = 8, REQUESTS = 6 };
static uint64_t pool[NR_POOL]; /* frame numbers, stale ones among them */
static uint64_t nr_pins, nr_unpins, nr_updates, nr_roots, nr_writes, nr_walks, nr_given, nr_descs;

/* As in hostile(): those for higher levels are fewer, so that trees come about. */
static uint64_t frame(unsigned int level)
{
    static const uint8_t first[] = { 20, 10, 5, 2, 0 }, last[] = { 48, 20, 10, 5, 2 };

    if (random() % 16 == 0)
        level = random() % 5;
    return LOAD(pool[first[level] + random() % (last[level] - first[level])]);
}

static uint64_t entry(unsigned int level)
{
    uint64_t flags = random() & 1 ? PTE_FLAGS : PTE_FLAGS & ~PTE_RW;

    return random() % 4 ? frame(level - 1) << 12 | flags : 0;
}

static uint64_t *slot(unsigned int me)
{
    return (uint64_t *)(SLOTS_VA + (me * SLOTS + random() % SLOTS) * PAGE_SIZE);
}

/* Somewhere in what the tables of the pool map. */
static uint64_t *somewhere(void)
{
    return (uint64_t *)(POOL_VA | (random() & 1) << 30 | (random() & 1) << 21 |
                        (random() & 1) << 12 | (random() & 1) << 3);
}

static void updates(void)
{
    struct mmu_update req[REQUESTS];
    unsigned int n = 1 + random() % REQUESTS, level = 1 + random() % 4, done = 0;
    uint64_t m = frame(level);

    for (unsigned int i = 0; i < n; i++) {
        if (random() % 4 == 0)
            m = frame(level = 1 + random() % 4);
        req[i].ptr = m << 12 | (random() & 1) << 3 |
                     (random() & 3 ? MMU_NORMAL_PT_UPDATE : MMU_PT_UPDATE_PRESERVE_AD);
        req[i].val = entry(level);
    }
    hc(mmu_update, req, n, &done, DOMID_SELF);
    ADD(nr_updates, done);
}

static void give_back(void)
{
    unsigned int at = random() % NR_POOL;
    uint64_t mfn = LOAD(pool[at]);
    xen_pfn_t list[1] = { mfn };
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    struct xen_memory_exchange x = {
        .in = { .nr_extents = 1, .domid = DOMID_SELF },
        .out = { .nr_extents = 1, .domid = DOMID_SELF },
    };
    xen_pfn_t out[1] = { 0x5a0000000UL };

    set_xen_guest_handle(r.extent_start, list);
    set_xen_guest_handle(x.in.extent_start, list);
    set_xen_guest_handle(x.out.extent_start, out);
    if (random() & 1) {
        if (hc(memory_op, XENMEM_exchange, &x) == 0)
            SWAP(pool[at], out[0]);
        return;
    }
    if (hc(memory_op, XENMEM_decrease_reservation, &r) == 1)
        ADD(nr_given, 1);
    if (mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, 1) == 0)
        return; /* something refers to it: it is ours yet */
    if (hc(memory_op, XENMEM_populate_physmap, &r) == 1)
        SWAP(pool[at], list[0]);
}

static void race(unsigned int me)
{
    uint64_t got, val, *at = slot(me);
    unsigned int level;

    while (phase_until(&nr_roots, 4)) {
        level = 1 + random() % 4;
        switch (random() % 16) {
        case 0:
        case 1: ADD(nr_pins, mmuext(MMUEXT_PIN_L1_TABLE + level - 1, frame(level), 0) == 0); break;
        case 2: ADD(nr_unpins, mmuext(MMUEXT_UNPIN_TABLE, frame(level), 0) == 0); break;
        case 3:
        case 4:
        case 5: updates(); break;
        case 6: /* into the trees that all walk through */
            pte_write(&kernel_root[POOL_VA >> 39], entry(4));
            break;
        case 7:
            ADD(nr_roots, mmuext(MMUEXT_NEW_USER_BASEPTR, random() % 3 ? frame(4) : 0, 0) == 0);
            break;
        case 8:
            at = slot(me);
            update_va(at, entry(1), UVMF_NONE);
            break;
        case 9:
            val = entry(level);
            ADD(nr_writes, try_write64(at + (random() & 1), val));
            break;
        case 10:
        case 11:
            val = entry(level);
            ADD(nr_walks,
                random() & 1 ? try_read64(somewhere(), &got) : try_write64(somewhere(), val));
            break;
        case 12: give_back(); break;
        case 13: update_va(somewhere(), entry(1), UVMF_NONE); break;
        case 14: ADD(nr_descs, mmuext(MMUEXT_SET_LDT, (uint64_t)slot(me), 512) == 0); break;
        default:
            hc(update_descriptor, frame(0) << 12, 0);
            if (random() % 8 == 0)
                mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
        }
    }
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    for (unsigned int i = 0; i < SLOTS; i++)
        CHECK_EQ(update_va((void *)(SLOTS_VA + (me * SLOTS + i) * PAGE_SIZE), 0, UVMF_NONE), 0);
}

void test_main(void)
{
    uint64_t *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();
    uint64_t spare = start_info->nr_pages, *p2m = (uint64_t *)start_info->mfn_list;

    smp_init();
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    page_set_ro(l1);
    page_set_ro(l2);
    page_set_ro(l3);
    CHECK_EQ(pte_write(&kernel_root[SLOTS_VA >> 39], virt_to_maddr(l3) | PTE_FLAGS), 0);
    for (unsigned int i = 0; i < NR_POOL; i++) /* nothing maps the last ones */
        pool[i] = p2m[--spare];
    phase("tables of everybody's", 6000, race);
    print(
        "race_tables: %lu pins, %lu unpins, %lu updates, %lu roots, %lu writes, %lu walks, %lu given "
        "back, %lu LDTs\n",
        nr_pins, nr_unpins, nr_updates, nr_roots, nr_writes, nr_walks, nr_given, nr_descs);
    CHECK(nr_pins && nr_updates && nr_roots); /* a busy host lets through few of all else */
    CHECK_EQ(pte_write(&kernel_root[POOL_VA >> 39], 0), 0);
    for (unsigned int i = 0; i < NR_POOL; i++) /* what is left of them is plain memory */
        mmuext(MMUEXT_UNPIN_TABLE, pool[i], 0);
    for (unsigned int i = 0; i < NR_POOL; i++) {
        CHECK(mmuext(MMUEXT_UNPIN_TABLE, pool[i], 0) < 0);
        if (mmuext(MMUEXT_CLEAR_PAGE, pool[i], 0))
            print("race_tables: frame 0x%lx is not ours any more\n", pool[i]);
        else
            CHECK_EQ(update_va((void *)SLOTS_VA, pool[i] << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    }
    CHECK_EQ(update_va((void *)SLOTS_VA, 0, UVMF_INVLPG), 0);
}
