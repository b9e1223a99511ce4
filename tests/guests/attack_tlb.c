/*
 * Rules 1 and 2 against TLB entries that outlive their right: other vCPUs write to a frame all the
 * time; vCPU 0 takes their mapping away in one of many ways, with a flush that does not reach them
 * or with none, and gives the frame to something else: tables of each level, pinned, linked or
 * loaded, descriptors, or back to the hypervisor, which hands it out again. From then on no write may
 * land in it. And tables that become data under vCPUs that walk them; roots that change while they
 * are not loaded. dom0_max_vcpus=3 or more: the witness has the last.
 */
#include "roads.h"

#define VICTIM (ROADS_VA + (1UL << 21)) /* in an L1 of its own */
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

static uint64_t *frame, *second, *watched, *decoy, *l1b, *l1c, snapshot[512];
static uint64_t written[MAX_VCPUS], nr_rounds;
static bool over;

/* Legal as entries of each table and as descriptors: not present, no address. Never aligned. */
static void write_junk(unsigned int me)
{
    uint64_t n = 1 + (random() & 0x3ff), at = VICTIM + 4 + random() % 511 * 8;

    if (try_write64((void *)at, n << 20 | n << 33))
        ADD(written[me], 1);
}

static bool all_wrote(void)
{
    uint64_t goal[MAX_VCPUS];
    bool ok = true;

    for (unsigned int v = 1; v < nr_vcpus; v++)
        goal[v] = LOAD(written[v]) + 1;
    for (unsigned int v = 1; v < nr_vcpus; v++)
        ok &= wait_until(&written[v], goal[v]);
    return ok;
}

/* ---- the mapping goes ---- */

static long flush_op(unsigned int cmd, uint64_t va, const uint64_t *vcpus)
{
    struct mmuext_op op = { .cmd = cmd };

    op.arg1.linear_addr = va;
    op.arg2.vcpumask.p = (void *)vcpus;
    return hc(mmuext_op, &op, 1, 0, DOMID_SELF);
}

enum { NR_REVOKES = 12 };

static void revoke(unsigned int way)
{
    static const uint64_t me = 1, none = 0;
    uint64_t ro = PTE(frame, PTE_RO), elsewhere = PTE(decoy, PTE_FLAGS);
    void *va = (void *)VICTIM;

    switch (way) {
    case 0: CHECK_EQ(update_va(va, 0, UVMF_NONE), 0); break;
    case 1: CHECK_EQ(update_va(va, ro, UVMF_INVLPG | UVMF_LOCAL), 0); break;
    case 2: CHECK_EQ(update_va(va, elsewhere, UVMF_TLB_FLUSH | UVMF_LOCAL), 0); break;
    case 3: CHECK_EQ(update_va(va, 0, UVMF_INVLPG | (uint64_t)&me), 0); break;
    case 4: CHECK_EQ(update_va(va, ro, UVMF_TLB_FLUSH | (uint64_t)&none), 0); break;
    case 5: CHECK_EQ(pte_write(l1b, elsewhere), 0); break;
    case 6: *(volatile uint64_t *)l1b = 0; break;
    case 7: __asm__ volatile("lock andq %1, %0" : "+m"(*l1b) : "r"(~(uint64_t)PTE_RW)); break;
    case 8: CHECK_EQ(pte_write(&live[2][1], 0), 0); break;
    case 9: CHECK_EQ(pte_write(&live[2][1], PTE(live[1], PTE_FLAGS)), 0); break;
    case 10: /* flushed everywhere, but not this address */
        CHECK_EQ(pte_write(l1b, 0), 0);
        CHECK_EQ(mmuext(MMUEXT_INVLPG_ALL, VICTIM + PAGE_SIZE, 0), 0);
        break;
    case 11: /* flushed while it is still there */
        CHECK_EQ(flush_op(MMUEXT_TLB_FLUSH_ALL, 0, NULL), 0);
        CHECK(all_wrote());
        CHECK_EQ(mmu_update(virt_to_maddr(l1b) | MMU_PT_UPDATE_PRESERVE_AD, ro), 0);
        break;
    }
}

static void restore(void)
{
    if (PTE_MFN(live[2][1]) != virt_to_mfn(l1b))
        CHECK_EQ(pte_write(&live[2][1], PTE(l1b, PTE_FLAGS)), 0);
    CHECK_EQ(update_va((void *)VICTIM, PTE(frame, PTE_FLAGS), UVMF_NONE), 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
}

/* ---- what the frame is then ---- */

enum { AS_PINNED, AS_LINKED = 4, AS_USER_ROOT = 7, AS_GDT, AS_LDT, BACK, EXCHANGED, NR_FATES };
static const char *const fates[NR_FATES] = { "pinned-l1", "pinned-l2", "pinned-l3",  "pinned-l4",
                                             "linked-l1", "linked-l2", "linked-l3",  "user-root",
                                             "gdt",       "ldt",       "given-back", "exchanged" };
static uint64_t tried[NR_FATES], landed[NR_FATES], same_frame[2];

static long set_gdt(const void *page, unsigned int entries)
{
    xen_pfn_t frames[14] = { page ? virt_to_mfn(page) : 0 };

    return hc(set_gdt, frames, entries);
}

/* page's frame goes back to the hypervisor, and it gets one. */
static void turn_over(uint64_t *page, bool exchange)
{
    enum { NR = 64 };
    static xen_pfn_t in[1], out[NR];
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };
    uint64_t pfn = virt_to_pfn(page);

    CHECK_EQ(update_va(page, 0, UVMF_NONE), 0);
    in[0] = virt_to_mfn(page);
    out[0] = pfn;
    if (exchange) {
        set_xen_guest_handle(x.in.extent_start, in);
        set_xen_guest_handle(x.out.extent_start, out);
        CHECK_EQ(hc(memory_op, XENMEM_exchange, &x), 0);
    } else {
        set_xen_guest_handle(r.extent_start, in);
        CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &r), 1);
        /* among many new ones is probably the same; the others go again */
        for (unsigned int i = 0; i < NR; i++)
            out[i] = pfn;
        set_xen_guest_handle(r.extent_start, out);
        r.nr_extents = NR;
        CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR);
        for (unsigned int i = 1; i < NR; i++)
            if (out[i] == in[0]) {
                out[i] = out[0];
                out[0] = in[0];
            }
        set_xen_guest_handle(r.extent_start, out + 1);
        r.nr_extents = NR - 1;
        CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &r), NR - 1);
    }
    ((uint64_t *)start_info->mfn_list)[pfn] = out[0];
    CHECK_EQ(update_va(page, PTE(page, PTE_RO), UVMF_INVLPG), 0);
}

static void give_away(bool exchange)
{
    uint64_t mfn = virt_to_mfn(frame);

    if (PTE_MFN(*l1b) == mfn) /* else it would not be free */
        CHECK_EQ(pte_write(l1b, 0), 0);
    turn_over(frame, exchange);
    watched = frame;
    if (exchange) { /* a new one came before the old one went */
        turn_over(second, true);
        watched = second;
    }
    same_frame[exchange] += virt_to_mfn(watched) == mfn;
}

static void become(unsigned int fate)
{
    switch (fate) {
    case AS_PINNED ... AS_PINNED + 3: CHECK_EQ(pin(fate - AS_PINNED + 1, frame), 0); break;
    case AS_LINKED ... AS_LINKED + 2:
        CHECK_EQ(pte_write(&live[fate - AS_LINKED + 2][ROADS_INDEX], PTE(frame, PTE_FLAGS)), 0);
        break;
    case AS_USER_ROOT: CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(frame), 0), 0); break;
    case AS_GDT: CHECK_EQ(set_gdt(frame, 512), 0); break;
    case AS_LDT:
        CHECK_EQ(mmuext(MMUEXT_SET_LDT, (uint64_t)frame, 512), 0);
        TRY("lar %0, %%rax", : : "r"(7UL) : "rax", "cc"); /* it is looked at */
        break;
    case BACK: give_away(false); break;
    case EXCHANGED: give_away(true); break;
    }
}

static void unbecome(unsigned int fate)
{
    switch (fate) {
    case AS_PINNED ... AS_PINNED + 3: CHECK_EQ(unpin(frame), 0); break;
    case AS_LINKED ... AS_LINKED + 2:
        CHECK_EQ(pte_write(&live[fate - AS_LINKED + 2][ROADS_INDEX], 0), 0);
        break;
    case AS_USER_ROOT: CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0); break;
    case AS_GDT: CHECK_EQ(set_gdt(NULL, 0), 0); break;
    case AS_LDT: CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0); break;
    }
    CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(frame), 0), 0);
}

static void watch(unsigned int fate, unsigned int way, unsigned int ms)
{
    uint64_t end;
    unsigned int bad = 0;

    memcpy(snapshot, watched, PAGE_SIZE);
    for (unsigned int i = 0; fate >= BACK && i < 512; i++)
        bad += snapshot[i] != 0; /* new frames are clean */
    end = now() + ms * 1000000ULL;
    do
        for (unsigned int i = 0; i < 512; i++)
            bad += *(volatile uint64_t *)&watched[i] != snapshot[i];
    while (bad == 0 && now() < end);
    if (bad)
        print("%s: written to after the change to %s, revoked by way %u, round %lu\n", guest_name,
              fates[fate], way, nr_rounds);
    landed[fate] += bad != 0;
    tried[fate]++;
}

static void victims(unsigned int me)
{
    while (me && !LOAD(over))
        write_junk(me);
    while (me == 0 && (phase_until(&nr_rounds, 2 * NR_FATES) || phase_until(&same_frame[0], 1) ||
                       phase_until(&same_frame[1], 1))) {
        unsigned int fate = nr_rounds % NR_FATES, way = random() % NR_REVOKES;

        if (!all_wrote())
            failure("a vCPU cannot write to a page that is mapped writable");
        watched = frame;
        revoke(way);
        become(fate);
        watch(fate, way, 2);
        unbecome(fate);
        restore();
        nr_rounds++;
    }
    if (me == 0)
        STORE(over, true);
}

static void victims_test(void)
{
    frame = page_alloc();
    decoy = page_alloc();
    l1b = page_alloc();
    page_set_ro(l1b);
    page_set_ro(frame);
    second = page_alloc();
    restore();
    phase("writers", 3000, victims);
    for (unsigned int f = 0; f < NR_FATES; f++) {
        attack(fates[f], (long)landed[f], 0);
        CHECK(tried[f] > 0);
    }
    print("%s: %lu rounds, the same frame again %lu and %lu times, %lu writes by vCPU 1\n",
          guest_name, nr_rounds, same_frame[0], same_frame[1], written[1]);
    CHECK(on_xen() || (same_frame[0] && same_frame[1]));
    CHECK_EQ(update_va((void *)VICTIM, 0, UVMF_TLB_FLUSH | UVMF_ALL), 0);
    witness_check();
}

/* ---- a table that becomes data ---- */

/*
 * The others go through an L1 at VICTIM and an L2 at VICTIM2 all the time. It is unlinked without a
 * flush, made plain memory, and filled with entries that give write access to a table. Whoever still
 * walks it would write there.
 */
#define VICTIM2 (ROADS_VA + (7UL << 30))
static uint64_t *target, *walked[3], nr_conversions, nr_hits;

static void convert(unsigned int level, uint64_t was, uint64_t is)
{
    uint64_t *in = level == 1 ? &live[2][1] : &live[3][7], *t = walked[level];
    uint64_t entry = *in, end = now() + 2000000;

    if (!all_wrote())
        failure("a vCPU cannot write to a page that is mapped writable");
    CHECK_EQ(pte_write(in, 0), 0);
    page_set_rw(t);
    for (unsigned int i = 0; i < 512; i++)
        t[i] = is;
    do
        for (unsigned int i = 0; i < 512; i++)
            nr_hits += *(volatile uint64_t *)&target[i] != 0;
    while (now() < end && nr_hits == 0);
    memset(t, 0, PAGE_SIZE);
    t[0] = was;
    page_set_ro(t);
    CHECK_EQ(pte_write(in, entry), 0);
    nr_conversions++;
}

static void walkers(unsigned int me)
{
    while (me && !LOAD(over)) {
        bool ok = try_write64((void *)(VICTIM + 8 * me), random() & 0x7fe);

        if (try_write64((void *)(VICTIM2 + 8 * me), random() & 0x7fe) && ok)
            ADD(written[me], 1);
    }
    while (me == 0 && phase_until(&nr_conversions, 6)) {
        convert(1, PTE(decoy, PTE_FLAGS), PTE(target, PTE_FLAGS));
        convert(2, PTE(l1c, PTE_FLAGS), PTE(fresh[1], PTE_FLAGS));
    }
    if (me == 0)
        STORE(over, true);
}

static void walkers_test(void)
{
    target = page_alloc();
    page_set_ro(target);
    CHECK_EQ(pin(2, target), 0);
    fresh_set(fresh[1], 0, PTE(target, PTE_FLAGS)); /* never a table: it shows what one would do */
    walked[1] = l1b;
    walked[2] = page_alloc();
    l1c = page_alloc();
    l1c[0] = PTE(decoy, PTE_FLAGS);
    walked[2][0] = PTE(l1c, PTE_FLAGS);
    page_set_ro(l1c);
    page_set_ro(walked[2]);
    CHECK_EQ(pte_write(&live[3][7], PTE(walked[2], PTE_FLAGS)), 0);
    CHECK_EQ(update_va((void *)VICTIM, PTE(decoy, PTE_FLAGS), UVMF_INVLPG), 0);
    STORE(over, false);
    phase("walkers", 1000, walkers);
    attack("walkers.hits", (long)nr_hits, 0);
    CHECK_EQ(unpin(target), 0);
    page_set_rw(target);
    witness_check();
}

/* ---- roots ---- */

/*
 * The others go back and forth between two roots. Entries in both change without a flush, while they
 * are loaded or not: who loads a root after the change has to see it.
 */
static uint64_t *root2, *l1_of_root2, *numbered[4];
static uint64_t intent, done, nr_stale, nr_switches;

static void change(uint64_t n)
{
    uint64_t *page = numbered[n % 4], *in = &live[1][ROADS_INDEX];

    STORE(page[0], n);
    STORE(intent, n);
    switch (n % 3) {
    case 0: CHECK_EQ(update_va((void *)ROADS_AT, PTE(page, PTE_FLAGS), UVMF_NONE), 0); break;
    case 1: CHECK_EQ(pte_write(in, PTE(page, PTE_FLAGS)), 0); break;
    case 2: *(volatile uint64_t *)in = PTE(page, PTE_FLAGS); break;
    }
    CHECK_EQ(pte_write(&l1_of_root2[ROADS_INDEX], PTE(page, PTE_FLAGS)), 0);
    STORE(done, n);
}

static void switchers(unsigned int me)
{
    for (uint64_t n = 1; me == 0 && phase_until(&nr_switches, 100); n++)
        change(n);
    if (me == 0)
        STORE(over, true);
    for (unsigned int k = 0; me && !LOAD(over); k++) {
        uint64_t from = LOAD(done), v = 0, to;
        bool ok;

        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(k % 2 ? kernel_root : root2), 0), 0);
        ok = try_read64((void *)ROADS_AT, &v);
        to = LOAD(intent);
        if (!ok || v < from || v > to)
            ADD(nr_stale, 1);
        ADD(nr_switches, 1);
        if (k % 64 == 0)
            yield();
    }
    if (me)
        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(kernel_root), 0), 0);
}

static void roots_test(void)
{
    uint64_t *l3 = page_alloc(), *l2 = page_alloc();

    root2 = page_alloc();
    l1_of_root2 = page_alloc();
    for (unsigned int i = 0; i < 4; i++)
        numbered[i] = page_alloc();
    for (unsigned int i = 0; i < 512; i++)
        if (i < 256 || i >= 272)
            root2[i] = kernel_root[i];
    root2[ROADS_VA >> 39] = PTE(l3, PTE_FLAGS);
    l3[0] = PTE(l2, PTE_FLAGS);
    l2[0] = PTE(l1_of_root2, PTE_FLAGS);
    page_set_ro(root2);
    page_set_ro(l3);
    page_set_ro(l2);
    page_set_ro(l1_of_root2);
    CHECK_EQ(pin(4, root2), 0);
    change(0);
    STORE(over, false);
    phase("roots", 1000, switchers);
    print("%s: %lu changes, %lu switches\n", guest_name, done, nr_switches);
    attack("roots.stale", (long)nr_stale, 0);
    CHECK(done > 10);
    CHECK_EQ(unpin(root2), 0);
    page_set_rw(root2); /* no vCPU has it any more */
    witness_check();
}

void test_main(void)
{
    attacks_begin();
    smp_init();
    roads_init();
    victims_test();
    walkers_test();
    roots_test();
}
