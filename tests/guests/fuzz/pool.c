/* The sandbox, and what arguments are drawn from. */
#include "fuzz.h"

#define SLACK 512u /* frames given away at the start: those that linger in tables are not missed */
#define SHARED_SPARE 3400u /* in the page of shared_info, behind all that it holds */
#define MAX_OUT (PAGE_SIZE - SHARED_SPARE - 256)
_Static_assert(sizeof(struct shared_info) < SHARED_SPARE, "spare room there");
#define M2P ((const volatile uint64_t *)machine_to_phys_mapping)

char sandbox[NR_SLOTS + 32][PAGE_SIZE] __attribute__((aligned(4096)));
uint64_t slots[NR_SLOTS], *alt_roots[MAX_FUZZERS];
static uint64_t nr_mfns, kernel_tables[3], kernel_l1, hv_mfns[3];
static char probe[PAGE_SIZE] __attribute__((aligned(4096)));

/* By role: the first slot of each. What a slot is used for mostly, not always. */
static const uint8_t first_of[NR_ROLES + 1] = { 0, 20, 30, 35, 39, 43, 47, NR_SLOTS };

/* ---- the generator ---- */

uint64_t rnd(struct fuzzer *f)
{
    uint64_t z = f->rng += 0x9e3779b97f4a7c15UL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
    return z ^ z >> 31;
}

/* ---- frames ---- */

uint64_t slot_pfn(unsigned int s) { return virt_to_pfn(WINDOW(s)); }

unsigned int slot_of_role(struct fuzzer *f, enum role role)
{
    if (chance(f, 10))
        return (unsigned int)below(f, NR_SLOTS);
    return first_of[role] + (unsigned int)below(f, first_of[role + 1] - first_of[role]);
}

uint64_t mfn_of_role(struct fuzzer *f, enum role role)
{
    return __atomic_load_n(&slots[slot_of_role(f, role)], __ATOMIC_RELAXED);
}

static uint64_t odd_mfn(struct fuzzer *f)
{
    return ONE_OF(f, 0, 1, nr_mfns - 1, nr_mfns, nr_mfns + 1, ~0UL, 1UL << 40, 0xa0, 0xfee00,
                  0xfec00, hv_mfns[0], hv_mfns[1], hv_mfns[2], 1UL << 51, ~0UL >> 12,
                  kernel_tables[0], kernel_tables[1], kernel_tables[2], kernel_l1);
}

uint64_t mfn_to_write(struct fuzzer *f)
{
    if (chance(f, 12))
        return odd_mfn(f);
    return slots[below(f, NR_SLOTS)];
}

uint64_t mfn_to_read(struct fuzzer *f)
{
    if (chance(f, 16))
        return ONE_OF(f, start_info->shared_info >> 12, virt_to_mfn(hypercall_page));
    return mfn_to_write(f);
}

uint64_t mfn_to_update(struct fuzzer *f)
{
    uint64_t m = mfn_to_write(f);

    for (unsigned int k = 0; k < ARRAY_SIZE(kernel_tables); k++)
        if (m == kernel_tables[k])
            return 1UL << 41;
    return m == kernel_l1 ? ~1UL : m;
}

void slot_give(uint64_t mfn, uint64_t count)
{
    for (unsigned int s = 0; s < NR_SLOTS; s++) {
        uint64_t m = slots[s];

        if (m && m - mfn < count)
            __atomic_compare_exchange_n(&slots[s], &m, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST);
    }
}

static long reservation(unsigned int cmd, uint64_t *frame)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, frame);
    return hc(memory_op, cmd, &r);
}

void slot_take(uint64_t mfn)
{
    for (unsigned int s = 0; s < NR_SLOTS; s++) {
        uint64_t none = 0;

        if (__atomic_compare_exchange_n(&slots[s], &none, mfn, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return;
    }
    reservation(XENMEM_decrease_reservation, &mfn);
}

void slot_renew(uint64_t mfn)
{
    for (unsigned int s = first_of[ROLE_L1]; s < NR_SLOTS; s++)
        if (mfn && slots[s] == mfn && reservation(XENMEM_decrease_reservation, &mfn) == 1)
            slot_give(mfn, 1);
}

static bool is_slot(uint64_t mfn)
{
    for (unsigned int s = 0; s < NR_SLOTS; s++)
        if (slots[s] == mfn)
            return true;
    return false;
}

/* Frames that a race took out of the books. */
static void find_lost(void)
{
    for (uint64_t m = 1; m < nr_mfns; m++) {
        uint64_t pfn = M2P[m];

        if (pfn - slot_pfn(0) < NR_SLOTS && !is_slot(m))
            reservation(XENMEM_decrease_reservation, &m);
    }
}

void pool_refill(void)
{
    for (unsigned int s = 0; s < NR_SLOTS; s++) {
        uint64_t m = slots[s], frame = slot_pfn(s);

        /* somebody else's by now? */
        if (m && update_va(probe, m << 12 | (PTE_FLAGS & ~PTE_RW), UVMF_INVLPG))
            __atomic_compare_exchange_n(&slots[s], &m, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST);
        if (slots[s])
            continue;
        if (reservation(XENMEM_populate_physmap, &frame) == 1)
            slot_take(frame);
        else
            find_lost();
    }
    update_va(probe, 0, UVMF_INVLPG);
}

void pool_init(void)
{
    nr_mfns = (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0) + 1;
    for (unsigned int s = 0; s < NR_SLOTS; s++) {
        slots[s] = virt_to_mfn(WINDOW(s));
        if (s >= first_of[ROLE_L1]) /* tables, and what is exchanged */
            update_va(WINDOW(s), 0, UVMF_INVLPG);
    }
    update_va(probe, 0, UVMF_INVLPG);
    for (unsigned int l = 2; l <= 4; l++)
        kernel_tables[l - 2] = virt_to_mfn((char *)pte_of(kernel_root, (uint64_t)sandbox, l));
    kernel_l1 = virt_to_mfn((char *)pte_of(kernel_root, (uint64_t)sandbox, 1));
    for (uint64_t m = 1, n = 0; m < nr_mfns && n < ARRAY_SIZE(hv_mfns); m += 61)
        if (M2P[m] >= start_info->nr_pages)
            hv_mfns[n++] = m;
    for (unsigned int k = 0; k < SLACK; k++) {
        uint64_t m = pfn_to_mfn(start_info->nr_pages - 1 - k);

        reservation(XENMEM_decrease_reservation, &m);
    }
    for (unsigned int r = 0; r < MAX_FUZZERS; r++) {
        alt_roots[r] = page_alloc();
        for (unsigned int i = 0; i < 512; i++)
            if (i < 256 || i > 271) /* between: the hypervisor's */
                alt_roots[r][i] = kernel_root[i];
        page_set_ro(alt_roots[r]);
        CHECK_EQ(pin(4, alt_roots[r]), 0);
    }
}

/* All references gone: each page can be anything again. */
void pool_teardown(void)
{
    uint64_t *roots[MAX_FUZZERS + 1] = { kernel_root };
    unsigned int stuck = 0;

    memcpy(roots + 1, alt_roots, sizeof(alt_roots));
    for (unsigned int r = 0; r < ARRAY_SIZE(roots); r++)
        for (unsigned int i = 0; i < 4; i++)
            CHECK_EQ(pte_write(&roots[r][FUZZ_SLOT + i], 0), 0);
    for (unsigned int w = 0; w < NR_SLOTS; w++)
        CHECK_EQ(update_va(WINDOW(w), 0, UVMF_INVLPG), 0);
    pool_refill();
    for (uint64_t m = 1; m < nr_mfns;
         m++) /* also those that were given away, pinned as they were */
        mmuext(MMUEXT_UNPIN_TABLE, m, 0);
    pool_refill();
    for (unsigned int s = 0; s < NR_SLOTS; s++) {
        long rc = update_va(WINDOW(s), slots[s] << 12 | PTE_FLAGS, UVMF_INVLPG);

        if (rc) {
            print("FUZZ frame 0x%lx of slot %u is still something else: %ld\n", slots[s], s, rc);
            stuck++;
        }
    }
    CHECK_EQ(stuck, 0);
}

/* ---- entries of tables ---- */

static const uint64_t odd_bits[] = { PTE_P,     PTE_RW,    PTE_US,    PTE_PWT,   PTE_PCD, PTE_A,
                                     PTE_D,     PTE_PS,    1 << 8,    1 << 9,    1 << 10, 1 << 11,
                                     1UL << 51, 1UL << 52, 1UL << 58, 1UL << 62, PTE_NX };

static uint64_t mutate(struct fuzzer *f, uint64_t e)
{
    while (chance(f, 20))
        e ^= odd_bits[below(f, ARRAY_SIZE(odd_bits))];
    return e;
}

uint64_t entry(struct fuzzer *f, unsigned int level)
{
    static const enum role tables[] = { ROLE_L1, ROLE_L2, ROLE_L3, ROLE_L4, ROLE_DESC };
    uint64_t ro = PTE_FLAGS & ~PTE_RW, what = below(f, 100);

    if (what < 4)
        return rnd(f) & ~1UL;
    if (what < 14)
        return 0;
    if (what < 16)
        return rnd(f);
    if (level > 1)
        return mutate(f, mfn_of_role(f, what < 90 ? ROLE_L1 + level - 2 : below(f, NR_ROLES))
                                 << 12 |
                             PTE_FLAGS);
    if (what < 60)
        return mutate(f, mfn_of_role(f, chance(f, 4) ? ROLE_FREE : ROLE_DATA) << 12 | PTE_FLAGS);
    if (what < 88)
        return mutate(f, mfn_of_role(f, tables[below(f, ARRAY_SIZE(tables))]) << 12 | ro);
    if (what < 92)
        return mutate(f, slots[below(f, NR_SLOTS)] << 12 | PTE_FLAGS);
    /* not the table that maps the kernel itself: through such a page it would write to it */
    return mutate(f, mfn_to_update(f) << 12 | ro) & ~(uint64_t)PTE_RW;
}

uint64_t table_index(struct fuzzer *f, unsigned int level)
{
    if (chance(f, 20))
        return below(f, 512);
    if (level == 4)
        return ONE_OF(f, FUZZ_SLOT, FUZZ_SLOT + 1, FUZZ_SLOT + 2, FUZZ_SLOT + 3, 0, 1, 255, 511);
    return ONE_OF(f, 0, 1, 2, 3, 511);
}

/* ---- addresses, values, pointers ---- */

uint64_t fuzz_va(struct fuzzer *f)
{
    return 0xffff000000000000UL | (FUZZ_SLOT + below(f, 4)) << 39 | table_index(f, 3) << 30 |
           table_index(f, 2) << 21 | table_index(f, 1) << 12 | (below(f, 512) << 3);
}

uint64_t any_va(struct fuzzer *f)
{
    uint64_t w = (uint64_t)WINDOW(below(f, NR_SLOTS));

    switch (below(f, 8)) {
    case 0: return w + below(f, PAGE_SIZE);
    case 1: return fuzz_va(f);
    case 2: return w + PAGE_SIZE - 1 - below(f, 16);
    case 3:
        return ONE_OF(f, 0, 1, 0x1000, ~0UL, ~0UL - 7, ~7UL, NONCANONICAL, 1UL << 47,
                      (1UL << 47) - 8, HYPERVISOR_VIRT_START, HYPERVISOR_VIRT_START - 8,
                      HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_END - 8, MACH2PHYS_VIRT_START,
                      MACH2PHYS_VIRT_START + 0x1000, HYPERVISOR_VIRT_START + 0x30000000000);
    case 4: return (uint64_t)kernel_root + below(f, PAGE_SIZE);
    case 5: return (uint64_t)shared_info + SHARED_SPARE + below(f, 256);
    case 6: return w;
    default: return HYPERVISOR_VIRT_START + (rnd(f) & 0x7fffffffff8UL);
    }
}

uint64_t value(struct fuzzer *f)
{
    switch (below(f, 6)) {
    case 0: return below(f, 16);
    case 1: return mfn_to_read(f);
    case 2: return any_va(f);
    case 3: return 1UL << below(f, 64);
    case 4: return ONE_OF(f, ~0UL, ~0U, 1UL << 31, ~0UL >> 1, 1UL << 63, DOMID_SELF, 0xffff);
    default: return rnd(f);
    }
}

uint64_t count_of(struct fuzzer *f, uint64_t n)
{
    if (!chance(f, 16))
        return n;
    return ONE_OF(f, 0, 1, n + 1, 1UL << 31, ~0U, (1UL << 31) | n, 1UL << 32, ~0UL, 4096);
}

void *arena(struct fuzzer *f, size_t bytes)
{
    uint8_t *p = f->arena + f->used;

    f->used = (f->used + bytes + 15) & ~15UL;
    if (f->used > (ARENA_PAGES - 1) * PAGE_SIZE)
        error("arguments of call %lu take %lu bytes", f->i, f->used);
    return memset(p, 0, bytes);
}

void *arena_end(struct fuzzer *f, size_t bytes)
{
    if (f->nested) /* several calls at once want it */
        return arena(f, bytes);
    return memset(f->arena + ARENA_PAGES * PAGE_SIZE - bytes, 0, bytes);
}

/* A copy of which the second half is not there. */
static uint64_t half(struct fuzzer *f, const void *good, size_t bytes)
{
    uint8_t *end = f->arena + (ARENA_PAGES + 2) * PAGE_SIZE;

    return f->nested ? (uint64_t)end : (uint64_t)memcpy(end - bytes / 2, good, bytes / 2);
}

uint64_t pointer(struct fuzzer *f, const void *good, size_t bytes)
{
    unsigned int w;

    if (bytes == 0 || bytes > PAGE_SIZE || !chance(f, 12))
        return (uint64_t)good;
    switch (below(f, 4)) {
    case 0: return half(f, good, bytes);
    case 1:
    case 2: /* where others change it meanwhile, or take the page away */
        w = (unsigned int)below(f, NR_SLOTS);
        w = chance(f, 2) ? w : (unsigned int)below(f, first_of[ROLE_L1]);
        for (size_t k = 0; k + 8 <= bytes; k += 8)
            *(volatile uint64_t *)(WINDOW(w) + k) = ((const uint64_t *)good)[k / 8];
        return (uint64_t)WINDOW(w);
    default: return bytes <= MAX_OUT ? any_va(f) : HYPERVISOR_VIRT_START;
    }
}

uint64_t pointer_private(struct fuzzer *f, const void *good, size_t bytes)
{
    if (!chance(f, 12))
        return (uint64_t)good;
    if (chance(f, 2) && bytes < PAGE_SIZE)
        return half(f, good, bytes);
    return ONE_OF(f, 0, 0x1000, ~0UL, ~7UL, NONCANONICAL, 1UL << 47, (1UL << 47) - 8,
                  HYPERVISOR_VIRT_START - 8, HYPERVISOR_VIRT_END - 8,
                  HYPERVISOR_VIRT_START + 0x30000000000);
}

uint64_t domid(struct fuzzer *f)
{
    if (!chance(f, 10))
        return DOMID_SELF;
    return ONE_OF(f, 0, 1, 2, 5, DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE, 0x7ff4,
                  0xffff);
}

uint64_t port(struct fuzzer *f)
{
    uint64_t p;

    do
        p = chance(f, 10) ? ONE_OF(f, 0, 4094, 4095, 4096, 4097, ~0U, 1U << 31, 131071)
                          : below(f, 48);
    while (port_protected(p));
    return p;
}

uint64_t vcpu_id(struct fuzzer *f)
{
    return chance(f, 10) ? ONE_OF(f, nr_all_vcpus, 63, 64, 255, 256, 8191, ~0U, ~0UL)
                         : below(f, nr_all_vcpus);
}
