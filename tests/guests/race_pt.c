/*
 * vCPUs that race on page tables: entries of one L1 changed, used and flushed from all sides; frames
 * that become tables while others still write to them through their TLBs; tables pinned while entries
 * are installed in them; entries written by plain instructions. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define SCRATCH 0x10000000000UL /* a top-level slot of its own */
#define SCRATCH2 (SCRATCH + (1UL << 21))
#define PTE(page, flags) (virt_to_mfn(page) << 12 | (flags))
#define PTE_RO (PTE_FLAGS & ~PTE_RW)
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

static uint64_t *l1, *l1b, *l2; /* of SCRATCH and SCRATCH2, of both */

static void scratch_tree(void)
{
    uint64_t *l3 = page_alloc();

    l1 = page_alloc();
    l1b = page_alloc();
    l2 = page_alloc();
    l3[0] = PTE(l2, PTE_FLAGS);
    l2[0] = PTE(l1, PTE_FLAGS);
    l2[1] = PTE(l1b, PTE_FLAGS);
    page_set_ro(l1);
    page_set_ro(l1b);
    page_set_ro(l2);
    page_set_ro(l3);
    CHECK_EQ(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)), 0);
}

static long flush_op(unsigned int cmd, uint64_t va)
{
    static uint64_t all = ~0UL;
    struct mmuext_op op = { .cmd = cmd };

    op.arg1.linear_addr = va;
    op.arg2.vcpumask.p = (void *)&all;
    return hc(mmuext_op, &op, 1, 0, DOMID_SELF);
}

/* Entry for va becomes pte, and no TLB has the old one when this returns: by any of the calls. */
static void change_and_flush(uint64_t *pte, uint64_t va, uint64_t val)
{
    static const unsigned int cmds[] = { MMUEXT_INVLPG_ALL, MMUEXT_INVLPG_MULTI,
                                         MMUEXT_TLB_FLUSH_ALL, MMUEXT_TLB_FLUSH_MULTI };
    static const uint64_t all = ~0UL;
    unsigned int how = random() % 8;

    switch (how) {
    case 0: CHECK_EQ(update_va((void *)va, val, UVMF_INVLPG | UVMF_ALL), 0); return;
    case 1: CHECK_EQ(update_va((void *)va, val, UVMF_INVLPG | (uint64_t)&all), 0); return;
    case 2: CHECK_EQ(update_va((void *)va, val, UVMF_TLB_FLUSH | UVMF_ALL), 0); return;
    case 3: CHECK_EQ(update_va((void *)va, val, UVMF_TLB_FLUSH | (uint64_t)&all), 0); return;
    case 4: *(volatile uint64_t *)pte = val; break; /* emulated */
    case 5: CHECK_EQ(update_va((void *)va, val, UVMF_NONE), 0); break;
    default: CHECK_EQ(pte_write(pte, val), 0); break;
    }
    CHECK_EQ(flush_op(cmds[random() % ARRAY_SIZE(cmds)], va), 0);
}

/* ---- mappings that come and go ---- */

/*
 * Each vCPU owns a few entries. Its n-th change begins with `intent` = n and is over, flushes
 * included, with `done` = n; n % 3 says what the entry is then. So whoever used the entry after it
 * read `done` and before it read `intent` has to have found one of the states in between.
 */
enum { SLOTS_EACH = 4, NR_SLOTS = SLOTS_EACH * MAX_VCPUS, PAGES_PER_SLOT = 3 };
enum { WRITABLE, READ_ONLY, ABSENT };
static struct slot {
    uint64_t intent, done;
    uint64_t *page[PAGES_PER_SLOT]; /* word 0: n / 3 of the last changes that mapped it */
} slots[NR_SLOTS] __attribute__((aligned(64)));
static uint64_t nr_changes, nr_stale, nr_reads, nr_read_faults, nr_writes, nr_write_faults;

static void slot_change(unsigned int i)
{
    struct slot *s = &slots[i];
    uint64_t n = s->intent + 1, va = SCRATCH + i * PAGE_SIZE, val = 0;
    uint64_t *page = s->page[n / 3 % PAGES_PER_SLOT];

    if (n % 3 != ABSENT) {
        STORE(page[0], n / 3);
        val = PTE(page, n % 3 == WRITABLE ? PTE_FLAGS : PTE_RO);
    }
    STORE(s->intent, n);
    change_and_flush(&l1[i], va, val);
    STORE(s->done, n);
    ADD(nr_changes, 1);
}

static bool state_between(unsigned int state, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to && n < from + 3; n++)
        if (n % 3 == state)
            return true;
    return false;
}

static void slot_use(unsigned int i, unsigned int me)
{
    uint64_t va = SCRATCH + i * PAGE_SIZE, from = LOAD(slots[i].done), to, v = 0;
    bool writes = random() & 1, ok;

    ok = writes ? try_write64((uint64_t *)va + 8 + me, from) : try_read64((void *)va, &v);
    to = LOAD(slots[i].intent);
    ADD(*(writes ? &nr_writes : &nr_reads), ok);
    ADD(*(writes ? &nr_write_faults : &nr_read_faults), !ok);
    if (writes && ok)
        ok = state_between(WRITABLE, from, to);
    else if (writes)
        ok = state_between(READ_ONLY, from, to) || state_between(ABSENT, from, to);
    else if (ok)
        ok = v <= to / 3 && v >= (from % 3 == ABSENT ? from + 1 : from) / 3;
    else
        ok = state_between(ABSENT, from, to);
    if (!ok && ADD(nr_stale, 1) < 5)
        print("race_pt: vCPU %u, entry %u: %s between changes %lu and %lu, found %lu\n", me, i,
              writes ? "write" : "read", from, to, v);
}

static void mappings(unsigned int me)
{
    while (phase_until(&nr_changes, 100)) {
        for (unsigned int k = 0; k < 8; k++)
            slot_use(random() % (SLOTS_EACH * nr_vcpus), me);
        slot_change(me * SLOTS_EACH + random() % SLOTS_EACH);
    }
}

static void mappings_test(void)
{
    for (unsigned int i = 0; i < SLOTS_EACH * nr_vcpus; i++) {
        for (unsigned int k = 0; k < PAGES_PER_SLOT; k++)
            slots[i].page[k] = page_alloc();
        slots[i].intent = slots[i].done = ABSENT;
    }
    phase("mappings", 2000, mappings);
    print("race_pt: %lu changes; reads: %lu, %lu faulted; writes: %lu, %lu faulted\n", nr_changes,
          nr_reads, nr_read_faults, nr_writes, nr_write_faults);
    CHECK_EQ(nr_stale, 0);
    CHECK(nr_reads && nr_read_faults && nr_writes && nr_write_faults);
}

/* ---- frames that become tables ---- */

/*
 * One frame is mapped writable at SCRATCH2, where all other vCPUs write to it all the time. vCPU 0
 * takes that mapping away without a flush, so that it stays in their TLBs, and pins the frame: from
 * then on nothing may change it. What they write is legal in a table of any level (entries that
 * are not present) and never aligned, so that it is not emulated where the mapping is read-only.
 */
static uint64_t *promoted, *decoy, snapshot[512];
static uint64_t written[MAX_VCPUS], nr_promotions;

static void write_junk(unsigned int me)
{
    uint64_t n = random() & 0x7ff, at = SCRATCH2 + 4 + random() % 511 * 8;

    if (try_write64((void *)at, n << 20 | n << 33)) /* address bits clear, not present */
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

static const char *const ways[] = { "unmapped",        "read-only",     "mapped elsewhere",
                                    "emulated unmap",  "by mmu_update", "without its L1",
                                    "its L1 elsewhere" };

static void revoke(unsigned int way)
{
    switch (way) {
    case 0: CHECK_EQ(update_va((void *)SCRATCH2, 0, UVMF_NONE), 0); break;
    case 1: CHECK_EQ(update_va((void *)SCRATCH2, PTE(promoted, PTE_RO), UVMF_NONE), 0); break;
    case 2: CHECK_EQ(update_va((void *)SCRATCH2, PTE(decoy, PTE_FLAGS), UVMF_NONE), 0); break;
    case 3: *(volatile uint64_t *)l1b = 0; break;
    case 4: CHECK_EQ(pte_write(l1b, PTE(promoted, PTE_RO)), 0); break;
    case 5: CHECK_EQ(pte_write(&l2[1], 0), 0); break;
    case 6: CHECK_EQ(pte_write(&l2[1], PTE(l1, PTE_FLAGS)), 0); break;
    }
}

static void restore(void)
{
    if (l2[1] == 0 || PTE_MFN(l2[1]) != virt_to_mfn(l1b))
        CHECK_EQ(pte_write(&l2[1], PTE(l1b, PTE_FLAGS)), 0);
    CHECK_EQ(flush_op(MMUEXT_TLB_FLUSH_ALL, 0), 0);
    CHECK_EQ(update_va((void *)SCRATCH2, PTE(promoted, PTE_FLAGS), UVMF_NONE), 0);
}

static void promote_once(unsigned int watch_ms)
{
    unsigned int way = random() % ARRAY_SIZE(ways), level = 1 + random() % 4, bad = 0;
    uint64_t end;
    long rc;

    if (!all_wrote())
        failure("a vCPU cannot write to a page that is mapped writable");
    revoke(way);
    rc = pin(level, promoted);
    if (rc)
        failure("a frame without writable mappings (%s) is refused as L%u: %ld", ways[way], level,
                rc);
    memcpy(snapshot, promoted, PAGE_SIZE);
    end = now() + watch_ms * 1000000ULL;
    do
        for (unsigned int i = 0; i < 512; i++)
            bad += *(volatile uint64_t *)&promoted[i] != snapshot[i];
    while (bad == 0 && now() < end);
    if (bad)
        failure("an L%u was written to after it was pinned (%s), promotion %lu", level, ways[way],
                nr_promotions);
    CHECK_EQ(unpin(promoted), 0);
    CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(promoted), 0), 0);
    restore();
    nr_promotions++;
}

/* The others write for as long as vCPU 0 may want them to. */
static bool promotion_over;

static void promotion(unsigned int me)
{
    while (me && !LOAD(promotion_over))
        write_junk(me);
    while (me == 0 && phase_until(&nr_promotions, 10))
        promote_once(2);
    if (me == 0)
        promote_once(1000);
    STORE(promotion_over, true);
}

static void promotion_test(void)
{
    promoted = page_alloc();
    decoy = page_alloc();
    page_set_ro(promoted);
    restore();
    phase("promotion", 1500, promotion);
    print("race_pt: %lu promotions, %lu writes by vCPU 1\n", nr_promotions, written[1]);
    CHECK(nr_promotions > 1);
    CHECK_EQ(update_va((void *)SCRATCH2, 0, UVMF_INVLPG | UVMF_ALL), 0);
}

/* ---- pins against entries ---- */

enum { NR_ENTRIES_USED = 16, NR_DATA = 4 };
static uint64_t *pinned, *data[NR_DATA];
static int pins, data_pins[NR_DATA];
static uint64_t nr_pins, nr_pin_failures, nr_entries, nr_refused;

static bool maps_writable(uint64_t pte, const void *page)
{
    return (pte & (PTE_P | PTE_RW)) == (PTE_P | PTE_RW) && PTE_MFN(pte) == virt_to_mfn(page);
}

/* This vCPU has pinned it: whatever the others try, it allows no writing to tables. */
static void check_pinned(unsigned int d)
{
    bool also = pin(1, data[d]) == 0;

    if (also)
        CHECK_EQ(ADD(data_pins[d], 1), 0);
    for (unsigned int i = 0; i < 8 * NR_ENTRIES_USED; i++) {
        uint64_t pte = *(volatile uint64_t *)&pinned[i % NR_ENTRIES_USED];

        CHECK(!maps_writable(pte, pinned));
        CHECK(!maps_writable(pte, kernel_root));
        CHECK(!also || !maps_writable(pte, data[d]));
    }
    if (also) {
        CHECK_EQ(ADD(data_pins[d], -1), 1);
        CHECK_EQ(unpin(data[d]), 0);
    }
}

static void try_pin(void)
{
    if (pin(1, pinned)) {
        ADD(nr_pin_failures, 1);
        for (unsigned int i = 0; i < NR_ENTRIES_USED; i++)
            pte_write(&pinned[i], 0);
        return;
    }
    CHECK_EQ(ADD(pins, 1), 0); /* the only one who has it */
    check_pinned(random() % NR_DATA);
    ADD(nr_pins, 1);
    CHECK_EQ(ADD(pins, -1), 1);
    CHECK_EQ(unpin(pinned), 0);
}

static void pin_race(unsigned int me)
{
    while (phase_until(&nr_pins, 4) || phase_until(&nr_refused, 1)) {
        void *page = data[random() % NR_DATA];
        unsigned int r = random() % 16;
        uint64_t val = PTE(page, random() & 1 ? PTE_FLAGS : PTE_RO);
        long rc;

        if (r < 4) {
            try_pin();
            continue;
        }
        val = r < 6 ? PTE(pinned, PTE_FLAGS) : r < 8 ? PTE(kernel_root, PTE_FLAGS) : val;
        rc = pte_write(&pinned[random() % NR_ENTRIES_USED], r == 8 ? 0 : val);
        ADD(*(rc ? &nr_refused : &nr_entries), 1);
    }
}

static void pin_test(void)
{
    pinned = page_alloc();
    page_set_ro(pinned);
    for (unsigned int i = 0; i < NR_DATA; i++) {
        data[i] = page_alloc();
        page_set_ro(data[i]);
    }
    phase("pins", 1500, pin_race);
    print("race_pt: %lu pins, %lu refused; %lu entries, %lu refused\n", nr_pins, nr_pin_failures,
          nr_entries, nr_refused);
    CHECK(nr_pins && nr_entries && nr_refused);
    /* no reference was lost or left over: all can become what they like */
    for (unsigned int i = 0; i < NR_ENTRIES_USED; i++)
        CHECK_EQ(pte_write(&pinned[i], 0), 0);
    page_set_rw(pinned);
    for (unsigned int i = 0; i < NR_DATA; i++)
        page_set_rw(data[i]);
    CHECK_EQ(unpin(pinned), -EINVAL);
}

/* ---- entries written by plain instructions ---- */

/* Numbers of 22 bits as entries that are not present. */
static uint64_t as_pte(uint64_t n) { return (n & 0x7ff) << 1 | (n >> 11 & 0x7ff) << 52; }
static uint64_t as_number(uint64_t pte) { return (pte >> 1 & 0x7ff) | (pte >> 52 & 0x7ff) << 11; }

enum { COUNTER = 64, TOKEN, BITS, SHARED, DIRTY, OWN };
static uint64_t added[MAX_VCPUS], held[MAX_VCPUS], rounds[MAX_VCPUS];

static uint64_t xchg(volatile uint64_t *p, uint64_t v)
{
    __asm__ volatile("xchg %0, %1" : "+r"(v), "+m"(*p) : : "memory");
    return v;
}

static void add_to_counter(unsigned int me)
{
    volatile uint64_t *p = &l1[COUNTER];
    uint64_t old = *p, was = old;

    __asm__ volatile("lock cmpxchg %2, %1"
                     : "+a"(was), "+m"(*p)
                     : "r"(as_pte(as_number(old) + 1))
                     : "memory", "cc");
    added[me] += was == old;
}

/* Each has a bit of its own in the same entry. */
static void own_bits(unsigned int me)
{
    volatile uint64_t *entry = &l1[BITS];
    uint64_t n = 1 + me % 8; /* bits 1 to 8 */

    __asm__ volatile("lock btsq %1, %0" : "+m"(*entry) : "r"(n) : "memory", "cc");
    CHECK(*entry >> n & 1);
    __asm__ volatile("lock btrq %1, %0" : "+m"(*entry) : "r"(n) : "memory", "cc");
    CHECK(!(*entry >> n & 1));
}

static void plain_race(unsigned int me)
{
    volatile uint64_t *own = &l1[OWN + me], *shared = &l1[SHARED];
    uint64_t n = 0, v;

    held[me] = me + 1;
    while (phase_on()) {
        add_to_counter(me);
        held[me] = as_number(xchg(&l1[TOKEN], as_pte(held[me])));
        own_bits(me);
        n = (n + 1) & 0x7ff;
        *own = as_pte(n);
        CHECK_EQ(*own, as_pte(n));
        *shared = as_pte(n | n << 11); /* both halves or none */
        v = as_number(*shared);
        CHECK_EQ(v & 0x7ff, v >> 11);
        rounds[me]++;
    }
}

/* A mapping is taken away by xchg while another vCPU writes through it: the D bit tells of each write. */
static uint64_t *dirty_page, nr_dirty, nr_clean;

static void dirty_race(unsigned int me)
{
    volatile void *at = (void *)(SCRATCH + DIRTY * PAGE_SIZE + me * 8);

    while (me && phase_until(&nr_dirty, 1))
        try_write64(at, random());
    while (me == 0 && phase_until(&nr_dirty, 1)) {
        bool changed = false;
        uint64_t pte;

        memset(dirty_page, 0x5a, 64);
        *(volatile uint64_t *)&l1[DIRTY] = PTE(dirty_page, PTE_P | PTE_RW | PTE_US);
        /* on a busy host the other vCPU may stand still for long: the first time wait for it */
        for (uint64_t i = random() % (nr_dirty ? 20000 : 20000000); i > 0; i--)
            barrier();
        pte = xchg(&l1[DIRTY], 0);
        CHECK_EQ(flush_op(MMUEXT_INVLPG_ALL, SCRATCH + DIRTY * PAGE_SIZE), 0);
        for (unsigned int v = 1; v < 8; v++)
            changed |= dirty_page[v] != 0x5a5a5a5a5a5a5a5aUL;
        CHECK_EQ(PTE_MFN(pte), virt_to_mfn(dirty_page));
        CHECK(!changed || (pte & PTE_D));
        nr_dirty += changed;
        nr_clean += !changed;
    }
}

static void plain_test(void)
{
    uint64_t sum = 0, tokens = 0;

    for (unsigned int i = COUNTER; i < OWN + MAX_VCPUS; i++)
        CHECK_EQ(pte_write(&l1[i], 0), 0);
    phase("emulated writes", 1500, plain_race);
    for (unsigned int v = 0; v < nr_vcpus; v++) {
        sum += added[v];
        tokens += held[v];
    }
    print("race_pt: counted to %lu in %lu rounds of vCPU 0\n", sum, rounds[0]);
    CHECK_EQ(as_number(l1[COUNTER]), sum & 0x3fffff);
    CHECK_EQ(as_number(l1[TOKEN]) + tokens, nr_vcpus * (nr_vcpus + 1) / 2);
    CHECK_EQ(l1[BITS], 0);
    dirty_page = page_alloc();
    phase("dirty bits", 1000, dirty_race);
    print("race_pt: %lu mappings written through, %lu not\n", nr_dirty, nr_clean);
    CHECK(nr_dirty);
}

void test_main(void)
{
    smp_init();
    scratch_tree();
    mappings_test();
    promotion_test();
    pin_test();
    plain_test();
}
