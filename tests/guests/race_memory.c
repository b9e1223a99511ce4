/*
 * vCPUs that race on frames: populated, exchanged and given back in batches while others map, pin, name
 * and give back the same ones; new frames must be empty, have the M2P entry that was asked for and not
 * be reached by who had them before, though no TLB is flushed here. At the end all are back, and the
 * hypervisor's audit at shutdown finds its books in order. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define SCRATCH 0x10000000000UL /* a top-level slot of its own */
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define SWAP(x, v) __atomic_exchange_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)
#define PFN_TAG 0x5a0000000UL /* pfns that nobody else gives */

enum { BATCH = 24, NR_SHARED = 128, SLOTS = 4 };
static uint64_t *l1;
/*
 * Frames that anybody may take, or 0. First they are taken out, so that a new frame is known to one vCPU
 * only. Then (all_at_once) they stay in and anybody may do anything with them, whoever has them by now.
 */
static uint64_t shared[NR_SHARED];
static bool all_at_once;
static uint64_t nr_new, nr_given, nr_exchanged, nr_writes, nr_late, nr_pins;

static uint64_t *slot(unsigned int me, unsigned int k)
{
    return (uint64_t *)(SCRATCH + (me * SLOTS + k) * PAGE_SIZE);
}

static long map_slot(unsigned int me, unsigned int k, uint64_t pte)
{
    return update_va(slot(me, k), pte, UVMF_NONE); /* no flush, ever */
}

static long reservation(unsigned int cmd, xen_pfn_t *list, uint64_t nr, unsigned int order)
{
    struct xen_memory_reservation r = { .nr_extents = nr,
                                        .extent_order = order,
                                        .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, list);
    return hc(memory_op, cmd, &r);
}

static long reserved(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

static uint64_t take(unsigned int i)
{
    return all_at_once ? LOAD(shared[i % NR_SHARED]) : SWAP(shared[i % NR_SHARED], 0);
}

static void publish(uint64_t mfn)
{
    uint64_t old = SWAP(shared[random() % NR_SHARED], mfn);
    xen_pfn_t list[1] = { old };

    if (old)
        ADD(nr_given, reservation(XENMEM_decrease_reservation, list, 1, 0) == 1);
}

/* A frame that only we know of: nobody's traces, and what others still write does not get there. */
static void check_new(unsigned int me, uint64_t mfn, uint64_t pfn)
{
    volatile uint64_t *at = slot(me, 0);

    ADD(nr_new, 1);
    if (all_at_once)
        return;
    CHECK_EQ(machine_to_phys_mapping[mfn], pfn);
    CHECK_EQ(map_slot(me, 0, mfn << 12 | PTE_FLAGS), 0);
    /* what we had there before may be in our own TLB */
    CHECK_EQ(update_va((void *)at, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    for (unsigned int round = 0; round < 2; round++)
        for (unsigned int i = 0; i < 512; i++)
            if (at[i])
                failure("new frame %lx is not empty: word %u is %lx", mfn, i, at[i]);
    CHECK_EQ(update_va((void *)at, 0, UVMF_INVLPG), 0);
}

static void populate(unsigned int me)
{
    xen_pfn_t list[BATCH];
    uint64_t pfn = PFN_TAG + me * 0x10000;
    unsigned int order = random() % 4 ? 0 : random() % 3, nr = 1 + random() % BATCH;
    long got;

    if (order)
        nr = 1 + nr / 8;
    for (unsigned int i = 0; i < nr; i++)
        list[i] = pfn + i * 16;
    got = reservation(XENMEM_populate_physmap, list, nr, order);
    CHECK(got >= 0 && got <= nr);
    for (unsigned int i = 0; i < got; i++)
        for (unsigned int k = 0; k < 1u << order; k++) {
            check_new(me, list[i] + k, pfn + i * 16 + k);
            publish(list[i] + k);
        }
}

static void decrease(void)
{
    xen_pfn_t list[BATCH];
    unsigned int nr = 1 + random() % BATCH, at = random() % NR_SHARED;

    for (unsigned int i = 0; i < nr; i++) /* some twice, some of others' */
        list[i] = take(random() % 4 ? at + i : random());
    for (unsigned int i = 0; i < nr; i++) /* behind what is not there */
        while (i < nr && list[i] == 0)
            list[i] = list[--nr];
    if (nr)
        ADD(nr_given, reservation(XENMEM_decrease_reservation, list, nr, 0));
}

static void exchange(unsigned int me)
{
    /* an extent's other frames need not be ours */
    unsigned int io = all_at_once ? random() % 3 : 0, oo = random() % 2 ? 0 : random() % 3,
                 top = io > oo ? io : oo, n = 1u << (top - io), m = 1u << (top - oo);
    xen_pfn_t in[4], out[4];
    uint64_t pfn = PFN_TAG + me * 0x10000 + 0x8000;
    struct xen_memory_exchange x = {
        .in = { .nr_extents = n, .extent_order = io, .domid = DOMID_SELF },
        .out = { .nr_extents = m, .extent_order = oo, .domid = DOMID_SELF },
    };

    for (unsigned int i = 0; i < n; i++)
        in[i] = take(random());
    for (unsigned int i = 0; i < m; i++)
        out[i] = pfn + i * 16;
    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    if (hc(memory_op, XENMEM_exchange, &x)) {
        for (unsigned int i = 0; i < n; i++)
            if (!all_at_once && in[i])
                publish(in[i]);
        return;
    }
    for (unsigned int i = 0; i < m; i++)
        for (unsigned int k = 0; k < 1u << oo; k++) {
            check_new(me, out[i] + k, pfn + i * 16 + k);
            publish(out[i] + k);
        }
    ADD(nr_exchanged, 1);
}

/* Write by a mapping; unmap it, give the frame away and go on writing as long as the TLB lets us. */
static void use(unsigned int me)
{
    unsigned int k = 1 + random() % (SLOTS - 1);
    uint64_t mfn = take(random()), n = random() % 64;
    xen_pfn_t list[1] = { mfn };

    if (mfn == 0 || map_slot(me, k, mfn << 12 | PTE_FLAGS))
        return; /* gone, or a table by now */
    ADD(nr_writes, try_write64(slot(me, k) + me, me + 1));
    if (random() & 1)
        mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, random());
    CHECK_EQ(map_slot(me, k, 0), 0);
    if (random() & 1) {
        ADD(nr_given, reservation(XENMEM_decrease_reservation, list, 1, 0) == 1);
    } else if (!all_at_once) {
        publish(mfn);
        return;
    }
    while (n-- && try_write64(slot(me, k) + random() % 512, 0xdead0000 + me))
        ADD(nr_late, 1);
}

static void pin_one(void)
{
    uint64_t mfn = take(random());

    if (mfn == 0)
        return;
    if (mmuext(MMUEXT_PIN_L1_TABLE + random() % 4, mfn, 0) == 0)
        ADD(nr_pins, 1);
    mmuext(MMUEXT_UNPIN_TABLE, all_at_once ? take(random()) : mfn, 0);
    if (!all_at_once)
        publish(mfn);
}

static void race(unsigned int me)
{
    while (phase_until(&nr_new, 200)) {
        switch (random() % 8) {
        case 0:
        case 1: populate(me); break;
        case 2: decrease(); break;
        case 3: exchange(me); break;
        case 4: pin_one(); break;
        default: use(me); break;
        }
    }
    for (unsigned int k = 0; k < SLOTS; k++)
        map_slot(me, k, 0);
}

void test_main(void)
{
    uint64_t *l3 = page_alloc(), *l2 = page_alloc(), spare = start_info->nr_pages;
    long before = reserved(), after;
    uint64_t *p2m = (uint64_t *)start_info->mfn_list;

    smp_init();
    l1 = page_alloc();
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    page_set_ro(l1);
    page_set_ro(l2);
    page_set_ro(l3);
    CHECK_EQ(pte_write(&kernel_root[SCRATCH >> 39], virt_to_maddr(l3) | PTE_FLAGS), 0);
    for (unsigned int i = 0; i < NR_SHARED; i++) /* nothing maps the last ones */
        shared[i] = p2m[--spare];
    phase("frames of one's own", 3000, race);
    all_at_once = true;
    nr_new = 0;
    phase("frames of everybody's", 3000, race);
    print(
        "race_memory: %lu new frames, %lu given back, %lu exchanges, %lu pins, %lu writes, %lu late\n",
        nr_new, nr_given, nr_exchanged, nr_pins, nr_writes, nr_late);
    CHECK(nr_new && nr_given && nr_exchanged && nr_pins && nr_writes);
    for (unsigned int i = 0; i < NR_SHARED; i++) {
        xen_pfn_t list[1] = { shared[i] };

        mmuext(MMUEXT_UNPIN_TABLE, shared[i], 0);
        for (unsigned int k = 0; k < i; k++) /* there may be doubles: of a frame that came back */
            if (shared[k] == shared[i])
                list[0] = 0;
        if (list[0])
            reservation(XENMEM_decrease_reservation, list, 1, 0);
        CHECK(!list[0] || map_slot(0, 0, list[0] << 12 | PTE_FLAGS));
    }
    after = reserved();
    print("race_memory: %ld pages before, %ld after\n", before, after);
}
