/*
 * Rules 1, 11 and 12: each of the 64 bits of an entry, at each level, on each road (roads.h): what is
 * taken, what the entry reads as then, and what it grants. Superpages, cache attributes on memory
 * and on a device's, and what an entry may hold that is not present (L1TF: Haswell-noTSX).
 * dom0_max_vcpus=2: the witness is vCPU 1.
 */
#include "roads.h"

#define BIT(n) (1UL << (n))
#define BITS(first, last) ((BIT(last) << 1) - BIT(first))
#define ADDRESS 0x000ffffffffff000UL
/* What Xen keeps for itself in entries: software bits on top, and the global bit. */
#define THEIRS (0x7ffUL << 52 | BIT(8))

static uint64_t *data, *other, *below[5]; /* below[l]: what a good entry at level l names */
static bool l1tf;
static uint64_t phys_bits, max_page;

static uint64_t good(unsigned int level) { return PTE(below[level], PTE_FLAGS); }

/* ---- bit by bit ---- */

struct outcome {
    uint64_t taken, differing, misread; /* bit masks of bits tried */
};

/* Bit n of a good entry is flipped; bits of the address only where no memory can be. */
static void try_bit(struct outcome *o, unsigned int level, unsigned int n)
{
    uint64_t val = good(level) ^ BIT(n), want = val, base = level == 1 ? PTE(other, PTE_RO) : 0;
    unsigned int taken = 0, tried = 0;

    if (want & PTE_P)
        want |= PTE_US;
    if (level == 1 && (want & PTE_P))
        want &= ~BIT(8);
    for (unsigned int i = 0; i < nr_roads; i++)
        for (unsigned int k = 0; k < 3; k++) {
            /* before it stands nothing, another entry, the good one */
            bool in_pieces = !strcmp(roads[i].name, "halves") || !strcmp(roads[i].name, "quarters");
            long rc = road_go(&roads[i], level, val, k == 0 ? 0 : k == 1 ? base : good(level));

            /* an address without PTE_P on the way to what is good may be refused */
            if (rc == NO_ROAD || (l1tf && in_pieces && k == 0))
                continue;
            tried++;
            taken += rc == 0;
            if (rc == 0 && ((road_seen ^ want) & ~(uint64_t)(PTE_A | PTE_D)) != 0)
                o->misread |= BIT(n);
        }
    if (taken)
        o->taken |= BIT(n);
    if (taken && taken != tried)
        o->differing |= BIT(n);
}

static void each_bit(void)
{
    static const char *const what[][4] = {
        { "" },
        { "", "l1.taken", "l1.roads-differ", "l1.misread" },
        { "", "l2.taken", "l2.roads-differ", "l2.misread" },
        { "", "l3.taken", "l3.roads-differ", "l3.misread" },
        { "", "l4.taken", "l4.roads-differ", "l4.misread" },
    };
    /* RW US A D, software's three, NX; an L1's cache attributes and G (which is dropped) */
    const uint64_t of_l1 = (has_device() ? BITS(3, 4) | BIT(7) : 0) | BIT(8);
    const uint64_t common = BITS(1, 2) | BITS(5, 6) | BITS(9, 11) | BIT(63) | (l1tf ? 0 : BIT(0));

    for (unsigned int level = 1; level <= 4; level++) {
        struct outcome o = { 0 };

        for (unsigned int n = 0; n < 64; n++)
            if (n < 12 || n >= phys_bits)
                try_bit(&o, level, n);
        attack(what[level][1], (long)o.taken, (long)(common | (level == 1 ? of_l1 : 0)));
        attack(what[level][2], (long)o.differing, 0);
        attack(what[level][3], (long)(o.misread & ~(on_xen() ? THEIRS : 0)), 0);
    }
    witness_check();
}

/* Two at a time, one of them bad: the good one makes no difference. */
static void pairs(void)
{
    static const uint64_t bad[] = { BIT(52), BIT(58), BIT(59), BIT(62), BITS(52, 62) };
    static const char *const what[] = { "", "pairs.l1", "pairs.l2", "pairs.l3", "pairs.l4" };

    for (unsigned int level = 1; level <= 4; level++) {
        unsigned int taken = 0;

        for (unsigned int b = 0; b < ARRAY_SIZE(bad); b++)
            for (unsigned int n = 1; n < 12; n++)
                for (unsigned int i = 0; i < nr_roads; i++)
                    taken += road_go(&roads[i], level, (good(level) ^ BIT(n)) | bad[b],
                                     level == 1 ? good(level) : 0) == 0;
        attack(what[level], taken, 0);
    }
    roads_accept("pairs.good", 1, good(1), PTE(other, PTE_RO));
    witness_check();
}

/* ---- superpages ---- */

static void superpages(void)
{
    /* the first MiB, the hypervisor's image, ours, nothing, a table of the right level */
    const uint64_t at[] = { 0, 0x200000, virt_to_maddr(data) & ~0x1fffffUL, 0x40000000,
                            0x100000000 };
    static const uint64_t flags[] = { PTE_FLAGS,
                                      PTE_P,
                                      PTE_P | PTE_US,
                                      PTE_FLAGS | BIT(8),
                                      PTE_FLAGS | BIT(12),
                                      PTE_FLAGS | BIT(63),
                                      PTE_FLAGS | PTE_PCD | PTE_PWT };
    static const char *const what[] = { "", "", "superpage.l2", "superpage.l3", "superpage.l4" };

    for (unsigned int level = 2; level <= 4; level++) {
        unsigned int taken = 0;

        for (unsigned int i = 0; i < nr_roads; i++)
            for (unsigned int f = 0; f < ARRAY_SIZE(flags); f++) {
                for (unsigned int a = 0; a < ARRAY_SIZE(at); a++)
                    taken += road_go(&roads[i], level, at[a] | flags[f] | PTE_PS, 0) == 0;
                taken += road_go(&roads[i], level, good(level) | flags[f] | PTE_PS, 0) == 0;
            }
        attack(what[level], taken, 0);
    }
    roads_accept("superpage.l2-without", 2, good(2), 0);
    roads_accept("superpage.l3-without", 3, good(3), 0);
    roads_accept("superpage.l4-without", 4, good(4), 0);
    witness_check();
}

/* ---- not present ---- */

/* The address as the L1 data cache would take it: does it name memory? */
static bool names_memory(uint64_t e)
{
    uint64_t a = e & ADDRESS & (BIT(phys_bits < 44 ? phys_bits : 44) - 1);

    return a != 0 && a >> 12 <= max_page;
}

static void not_present(void)
{
    static const char *const what[][2] = { { "" },
                                           { "absent.l1-unsafe", "absent.l1-misread" },
                                           { "absent.l2-unsafe", "absent.l2-misread" },
                                           { "absent.l3-unsafe", "absent.l3-misread" },
                                           { "absent.l4-unsafe", "absent.l4-misread" } };
    uint64_t vals[200];
    unsigned int nr = 0;

    for (unsigned int n = 1; n < 64; n++) {
        vals[nr++] = BIT(n);
        vals[nr++] = ~BIT(n) & ~1UL;
    }
    for (unsigned int n = 40; n < 52; n++)
        vals[nr++] = BIT(n) | virt_to_maddr(data); /* beyond what a cache looks at */
    vals[nr++] = PTE(data, PTE_FLAGS & ~PTE_P);
    vals[nr++] = PTE(kernel_root, PTE_RW);
    vals[nr++] = 0x200000 | PTE_PS;
    vals[nr++] = max_page << 12;
    vals[nr++] = (max_page + 1) << 12;
    vals[nr++] = ~1UL;
    for (unsigned int level = 1; level <= 4; level++) {
        unsigned int wrong = 0, misread = 0;

        for (unsigned int k = 0; k < nr; k++)
            for (unsigned int i = 0; i < nr_roads; i++) {
                long rc = road_go(&roads[i], level, vals[k], 0);

                if (rc == NO_ROAD)
                    continue;
                if (rc == 0)
                    misread += road_seen != vals[k];
                /* in pieces, one may be refused on the way to what is good */
                if (rc == 0 || strcmp(roads[i].name, "halves") == 0 ||
                    strcmp(roads[i].name, "quarters") == 0)
                    wrong += rc == 0 && l1tf && names_memory(vals[k]);
                else
                    wrong += !(l1tf && names_memory(vals[k]));
            }
        attack(what[level][0], wrong, 0);
        attack(what[level][1], misread, 0);
    }
    witness_check();
}

/* ---- cache attributes ---- */

/* For those without devices there is but one, and no device. */
static void one_cache_attribute(void)
{
    unsigned int taken = 0;

    for (unsigned int n = 1; n < 16; n++) {
        uint64_t attr = (n & 1 ? PTE_PWT : 0) | (n & 2 ? PTE_PCD : 0) | (n & 4 ? PTE_PS : 0);
        uint64_t val = (n & 8 ? 0xb8000 : virt_to_maddr(data)) | attr;

        for (unsigned int i = 0; i < nr_roads; i++) {
            taken += road_go(&roads[i], 1, val | PTE_FLAGS, PTE(other, PTE_RO)) == 0;
            taken += road_go(&roads[i], 1, val | PTE_RO, PTE(other, PTE_RO)) == 0;
        }
    }
    attack("cache.taken", taken, 0);
    witness_check();
}

static void cache_attributes(void)
{
    const uint64_t device_maddr = (is_dom0() ? 0xb8UL : DRIVER_MFN) << 12;
    unsigned int refused = 0, misread = 0;

    for (unsigned int n = 0; n < 8; n++) {
        uint64_t attr = (n & 1 ? PTE_PWT : 0) | (n & 2 ? PTE_PCD : 0) | (n & 4 ? PTE_PS : 0);

        for (unsigned int device = 0; device < 2; device++)
            for (unsigned int rw = 0; rw < 2; rw++)
                for (unsigned int i = 0; i < nr_roads; i++) {
                    uint64_t val = (device ? device_maddr : virt_to_maddr(data)) | attr |
                                   (rw ? PTE_FLAGS : PTE_RO);
                    long rc = road_go(&roads[i], 1, val, PTE(other, PTE_RO));

                    if (rc == NO_ROAD)
                        continue;
                    refused += rc != 0;
                    misread += rc == 0 && ((road_seen ^ val) & ~(PTE_A | PTE_D | THEIRS)) != 0;
                }
    }
    attack("cache.refused", refused, 0);
    attack("cache.misread", misread, 0);
    /* such a frame becomes a table, while the mapping is there, and plain memory again */
    for (unsigned int n = 1; n < 8; n++) {
        uint64_t attr = (n & 1 ? PTE_PWT : 0) | (n & 2 ? PTE_PCD : 0) | (n & 4 ? PTE_PS : 0);
        uint64_t *page = page_alloc(), seen;
        volatile uint64_t *at = (void *)ROADS_AT;

        CHECK_EQ(update_va((void *)ROADS_AT, PTE(page, PTE_FLAGS) | attr, UVMF_INVLPG), 0);
        at[3] = PTE(data, PTE_FLAGS);
        CHECK(pin(1, page) < 0);
        page_set_ro(page);
        CHECK(pin(1, page) < 0);
        CHECK_EQ(update_va((void *)ROADS_AT, PTE(page, PTE_RO) | attr, UVMF_INVLPG), 0);
        CHECK_EQ(pin(1, page), 0);
        CHECK_EQ(at[3] & ADDRESS, virt_to_maddr(data));
        CHECK(update_va((void *)ROADS_AT, PTE(page, PTE_FLAGS) | attr, UVMF_INVLPG) < 0);
        CHECK_EQ(pte_write(&page[4], PTE(data, PTE_RO)), 0);
        CHECK_EQ(at[4] & ADDRESS, virt_to_maddr(data));
        TRY("movq $0, (%0)", : : "r"(ROADS_AT + 24) : "memory"); /* emulated there, too */
        CHECK(trapped(-1));
        seen = page[3];
        CHECK_EQ(seen, 0);
        CHECK_EQ(unpin(page), 0);
        CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
        page_set_rw(page);
        page[5] = 1;
    }
    witness_check();
}

/* ---- what they grant ---- */

static bool can_read(void)
{
    TRY("mov (%0), %%rax", : : "r"(ROADS_AT) : "rax");
    return trapped(-1);
}

static bool can_write(void)
{
    TRY("movl %k1, (%0)", : : "r"(ROADS_AT), "r"(0xc3c3c3c3UL) : "memory"); /* ret */
    return trapped(-1);
}

static bool can_run(void)
{
    TRY("lea 1f(%%rip), %%rcx\n push %%rcx\n jmp *%0\n 1:", : : "r"(ROADS_AT) : "rcx", "memory");
    if (trapped(-1))
        return true;
    __asm__ volatile("add $8, %%rsp" : : : "memory");
    return false;
}

/* The rights of four levels are those that all have; US, that we lack, and G make no difference. */
static void rights(void)
{
    uint64_t *t[5] = { NULL, &live[1][ROADS_INDEX], &live[2][0], &live[3][0],
                       &kernel_root[ROADS_VA >> 39] };
    unsigned int wrong = 0;

    CHECK_EQ(pte_write(t[1], PTE(data, PTE_FLAGS)), 0);
    CHECK_EQ(update_va((void *)ROADS_AT, PTE(data, PTE_FLAGS), UVMF_INVLPG), 0);
    CHECK(can_write() && can_read());
    for (unsigned int bits = 0; bits < 256; bits++) {
        bool rw = true, nx = false;

        for (unsigned int l = 1; l <= 4; l++) {
            bool no_rw = bits >> (l - 1) & 1, no_x = bits >> (l + 3) & 1;
            uint64_t e = (*t[l] & ADDRESS) | (l & 1 ? PTE_P : PTE_P | PTE_US);

            CHECK_EQ(pte_write(t[l], e | (no_rw ? 0 : PTE_RW) | (no_x ? PTE_NX : 0)), 0);
            rw &= !no_rw;
            nx |= no_x;
        }
        CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
        wrong += !can_read();
        wrong += can_write() != rw;
        wrong += can_run() != !nx;
    }
    attack("rights.wrong", wrong, 0);
    for (unsigned int l = 2; l <= 4; l++)
        CHECK_EQ(pte_write(t[l], (*t[l] & ADDRESS) | PTE_FLAGS), 0);
    CHECK_EQ(pte_write(t[1], 0), 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
    witness_check();
}

void test_main(void)
{
    attacks_begin();
    roads_init();
    data = page_alloc();
    other = page_alloc();
    below[1] = data;
    for (unsigned int l = 2; l <= 4; l++) {
        below[l] = page_alloc();
        page_set_ro(below[l]);
        CHECK_EQ(pin(l - 1, below[l]), 0);
    }
    phys_bits = xen_cpuid(0x80000008, 0).a & 0xff;
    max_page = (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0);
    l1tf = xen_cpuid(0, 0).b == 0x756e6547; /* "Genu": TCG's are all of before the cure */
    each_bit();
    pairs();
    superpages();
    not_present();
    if (has_device())
        cache_attributes();
    else
        one_cache_attribute();
    rights();
}
