/* The roads: see roads.h. */
#include "roads.h"

#define L1_ONLY 2u
#define ALL_LEVELS 30u

uint64_t *live[5], *fresh[5], road_seen;

void fresh_set(uint64_t *table, unsigned int i, uint64_t val)
{
    page_set_rw(table);
    table[i] = val;
    page_set_ro(table);
}

void roads_init(void)
{
    for (unsigned int l = 1; l < 4; l++)
        live[l] = page_alloc();
    live[4] = kernel_root;
    live[2][0] = PTE(live[1], PTE_FLAGS);
    live[3][0] = PTE(live[2], PTE_FLAGS);
    for (unsigned int l = 1; l < 4; l++)
        page_set_ro(live[l]);
    CHECK_EQ(pte_write(&kernel_root[ROADS_VA >> 39], PTE(live[3], PTE_FLAGS)), 0);
    for (unsigned int l = 1; l <= 4; l++) {
        fresh[l] = page_alloc();
        page_set_ro(fresh[l]);
    }
}

/* ---- the entry of a live table ---- */

static void set_base(unsigned int level, uint64_t base)
{
    if (base)
        CHECK_EQ(pte_write(&live[level][ROADS_INDEX], base), 0);
}

static long live_done(unsigned int level, long rc)
{
    road_seen = live[level][ROADS_INDEX];
    CHECK_EQ(pte_write(&live[level][ROADS_INDEX], 0), 0);
    CHECK_EQ(live[level][ROADS_INDEX], 0);
    CHECK_EQ(mmuext(MMUEXT_INVLPG_ALL, ROADS_AT, 0), 0);
    return rc;
}

static uint64_t entry_maddr(unsigned int level) { return virt_to_maddr(&live[level][ROADS_INDEX]); }

/* a: the command. b: who is said to own the tables, plus 1. */
static long by_mmu_update(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    struct mmu_update u = { entry_maddr(level) | r->a, val };

    set_base(level, base);
    return live_done(level, hc(mmu_update, &u, 1, 0, DOMID_SELF | r->b << 16));
}

long multicall_of(unsigned int nr, struct multicall_entry *calls)
{
    long rc = hc(multicall, calls, nr);

    for (unsigned int i = 0; i < nr && rc == 0; i++)
        rc = (long)calls[i].result;
    return rc;
}

static long by_multicall(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    struct mmu_update u[2] = { { entry_maddr(level), 0 }, { entry_maddr(level), val } };
    struct multicall_entry calls[2] = {
        { .op = __HYPERVISOR_mmu_update, .args = { (uint64_t)u, 1, 0, DOMID_SELF } },
        { .op = __HYPERVISOR_mmu_update, .args = { (uint64_t)u, 2, 0, DOMID_SELF } },
    };

    set_base(level, base);
    return live_done(level, multicall_of(2, calls));
}

/* a: flags. b: 0, or for whom the frame is said to be. */
static long by_update_va(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    static uint64_t all = ~0UL;
    uint64_t flags = r->a == 99 ? UVMF_TLB_FLUSH | (uint64_t)&all : r->a;

    set_base(level, base);
    return live_done(level, r->b ? hc(update_va_mapping_otherdomain, ROADS_AT, val, flags, r->b)
                                 : update_va((void *)ROADS_AT, val, flags));
}

static long by_multicall_va(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    struct multicall_entry call = { .op = __HYPERVISOR_update_va_mapping,
                                    .args = { ROADS_AT, val, UVMF_INVLPG } };

    set_base(level, base);
    return live_done(level, multicall_of(1, &call));
}

/* ---- plain instructions, which the hypervisor emulates for L1 tables ---- */

static long trap_of(unsigned int level)
{
    return live_done(level, trapped(-1) ? 0 : last_trap.vector);
}

static long by_mov(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    set_base(level, base);
    TRY("mov %1, (%0)", : : "r"(&live[level][ROADS_INDEX]), "r"(val) : "memory");
    return trap_of(level);
}

static long by_xchg(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    set_base(level, base);
    TRY("xchg %0, (%1)", : "+r"(val) : "r"(&live[level][ROADS_INDEX]) : "memory");
    return trap_of(level);
}

static long by_cmpxchg(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    uint64_t *at = &live[level][ROADS_INDEX], rax;
    uint8_t same = 0;

    set_base(level, base);
    rax = *(volatile uint64_t *)at;
    TRY("lock cmpxchg %3, (%2)\n sete %1",
        : "+a"(rax), "+r"(same)
        : "r"(at), "r"(val)
        : "memory", "cc");
    CHECK(same || !trapped(-1));
    return trap_of(level);
}

/* By and, or, xor with lock; a: by btc, if it is one bit only. */
static long by_logic(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    uint64_t *at = &live[level][ROADS_INDEX], was, diff;

    set_base(level, base);
    was = *(volatile uint64_t *)at;
    diff = was ^ val;
    if (r->a && diff && (diff & (diff - 1)) == 0)
        TRY("lock btcq %1, (%0)", : : "r"(at), "r"((uint64_t)__builtin_ctzl(diff)) : "memory");
    else if ((val & ~was) == 0)
        TRY("lock andq %1, (%0)", : : "r"(at), "r"(val) : "memory", "cc");
    else if ((was & ~val) == 0)
        TRY("lock orq %1, (%0)", : : "r"(at), "r"(diff) : "memory", "cc");
    else
        TRY("lock xorq %1, (%0)", : : "r"(at), "r"(diff) : "memory", "cc");
    return trap_of(level);
}

static bool is_own(uint64_t mfn)
{
    uint64_t pfn = 0;

    while (pfn < start_info->nr_pages && pfn_to_mfn(pfn) != mfn)
        pfn++;
    return pfn < start_info->nr_pages;
}

/*
 * In pieces of a bytes, the highest first; those that do not change anything are left out. If an
 * entry on the way would name a frame that is not ours, it begins one flag away from the end.
 */
static long by_pieces(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    char *at = (char *)&live[level][ROADS_INDEX];
    uint64_t was, mask = (1UL << 8 * r->a) - 1;

    for (unsigned int bits = 64 - 8 * (unsigned int)r->a; (base & PTE_P) && bits > 0;
         bits -= 8 * (unsigned int)r->a)
        if (!is_own(PTE_MFN((val >> bits << bits) | (base & ((1UL << bits) - 1))))) {
            if (pte_write(&live[level][ROADS_INDEX], val ^ PTE_A) == 0)
                base = 0; /* it stands there already; if not, nothing may come of val either */
            break;
        }
    set_base(level, base);
    was = *(volatile uint64_t *)at;
    last_trap.vector = -1;
    for (unsigned int i = 8; i > 0 && trapped(-1);) {
        uint64_t piece;

        i -= r->a;
        piece = val >> 8 * i & mask;
        if (piece == (was >> 8 * i & mask))
            continue;
        if (r->a == 2)
            TRY("movw %w1, (%0)", : : "r"(at + i), "r"(piece) : "memory");
        else
            TRY("movl %k1, (%0)", : : "r"(at + i), "r"(piece) : "memory");
    }
    return trap_of(level);
}

/* ---- a tree of tables that are built as plain memory ---- */

enum { PIN_IT, PIN_ROOT, LINK, NEW_BASEPTR, NEW_USER_BASEPTR };

/* Undo build(); all tables are plain memory again. */
static long fresh_done(unsigned int level, long rc)
{
    road_seen = fresh[level][ROADS_INDEX];
    for (unsigned int l = 1; l <= 4; l++) {
        page_set_rw(fresh[l]);
        memset(fresh[l], 0, PAGE_SIZE);
        page_set_ro(fresh[l]);
    }
    return rc;
}

/* val in fresh[level], and above that tables up to `top`. A root has our own mappings as well. */
static void build(unsigned int level, unsigned int top, uint64_t val)
{
    if (top == 4) {
        page_set_rw(fresh[4]);
        for (unsigned int i = 0; i < 512; i++)
            if ((i < 256 || i >= 272) && i != ROADS_VA >> 39)
                fresh[4][i] = kernel_root[i];
        page_set_ro(fresh[4]);
    }
    fresh_set(fresh[level], ROADS_INDEX, val);
    for (unsigned int l = level + 1; l <= top; l++)
        fresh_set(fresh[l], 0, PTE(fresh[l - 1], PTE_FLAGS));
}

static long by_pin(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    unsigned int top = r->a == PIN_IT ? level : 4;
    long rc;

    build(level, top, val);
    rc = pin(top, fresh[top]);
    if (rc == 0)
        CHECK_EQ(unpin(fresh[top]), 0);
    return fresh_done(level, rc);
}

/* Into the live table of level b, if that is above. */
static long by_link(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    uint64_t *at = &live[r->b][ROADS_INDEX];
    long rc;

    build(level, r->b - 1, val);
    rc = pte_write(at, PTE(fresh[r->b - 1], PTE_FLAGS));
    CHECK_EQ(pte_write(at, 0), 0);
    return fresh_done(level, rc);
}

static long by_baseptr(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    long rc;

    build(level, 4, val);
    rc = mmuext(r->a, virt_to_mfn(fresh[4]), 0);
    if (rc == 0 && r->a == MMUEXT_NEW_BASEPTR)
        CHECK_EQ(mmuext(r->a, virt_to_mfn(kernel_root), 0), 0);
    else if (rc == 0)
        CHECK_EQ(mmuext(r->a, 0, 0), 0);
    return fresh_done(level, rc);
}

/* mov cr3, which is emulated as the same */
static long by_cr3(const struct road *r, unsigned int level, uint64_t val, uint64_t base)
{
    long rc;

    build(level, 4, val);
    TRY("mov %0, %%cr3", : : "r"(virt_to_maddr(fresh[4])) : "memory");
    rc = trapped(-1) ? 0 : last_trap.vector;
    if (rc == 0)
        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(kernel_root), 0), 0);
    else /* any such hypercall: Xen holds what it could not validate until the next one */
        CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
    return fresh_done(level, rc);
}

const struct road roads[] = {
    { "mmu-normal", ALL_LEVELS, by_mmu_update, MMU_NORMAL_PT_UPDATE, 0 },
    { "mmu-preserve-ad", ALL_LEVELS, by_mmu_update, MMU_PT_UPDATE_PRESERVE_AD, 0 },
    { "mmu-no-translate", ALL_LEVELS, by_mmu_update, MMU_PT_UPDATE_NO_TRANSLATE, 0 },
    { "mmu-own-tables", ALL_LEVELS, by_mmu_update, MMU_NORMAL_PT_UPDATE, DOMID_SELF + 1 },
    { "multicall", ALL_LEVELS, by_multicall, 0, 0 },
    { "va-none", L1_ONLY, by_update_va, UVMF_NONE, 0 },
    { "va-invlpg", L1_ONLY, by_update_va, UVMF_INVLPG | UVMF_LOCAL, 0 },
    { "va-flush-all", L1_ONLY, by_update_va, UVMF_TLB_FLUSH | UVMF_ALL, 0 },
    { "va-flush-bitmap", L1_ONLY, by_update_va, 99, 0 },
    { "va-self", L1_ONLY, by_update_va, UVMF_INVLPG | UVMF_ALL, DOMID_SELF },
    { "va-multicall", L1_ONLY, by_multicall_va, 0, 0 },
    { "mov", L1_ONLY, by_mov, 0, 0 },
    { "xchg", L1_ONLY, by_xchg, 0, 0 },
    { "cmpxchg", L1_ONLY, by_cmpxchg, 0, 0 },
    { "and-or-xor", L1_ONLY, by_logic, 0, 0 },
    { "btc", L1_ONLY, by_logic, 1, 0 },
    { "halves", L1_ONLY, by_pieces, 4, 0 },
    { "quarters", L1_ONLY, by_pieces, 2, 0 },
    { "pin", ALL_LEVELS, by_pin, PIN_IT, 0 },
    { "pin-root", ALL_LEVELS, by_pin, PIN_ROOT, 0 },
    { "link-l1", L1_ONLY, by_link, LINK, 2 },
    { "link-l2", 6, by_link, LINK, 3 },
    { "link-l3", 14, by_link, LINK, 4 },
    { "baseptr", ALL_LEVELS, by_baseptr, MMUEXT_NEW_BASEPTR, 0 },
    { "user-baseptr", ALL_LEVELS, by_baseptr, MMUEXT_NEW_USER_BASEPTR, 0 },
    { "mov-cr3", ALL_LEVELS, by_cr3, 0, 0 },
};
const unsigned int nr_roads = ARRAY_SIZE(roads);

unsigned int roads_open(const char *what, unsigned int level, uint64_t val, uint64_t base,
                        bool want)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < nr_roads; i++) {
        long rc = road_go(&roads[i], level, val, base);

        if (rc != NO_ROAD && (rc == 0) != want)
            print("%s: L%u entry 0x%lx by %s: %ld\n", what, level, val, roads[i].name, rc);
        n += rc == 0;
    }
    return n;
}

void roads_refuse(const char *what, unsigned int level, uint64_t val, uint64_t base)
{
    attack(what, roads_open(what, level, val, base, false), 0);
}

void roads_accept(const char *what, unsigned int level, uint64_t val, uint64_t base)
{
    unsigned int all = 0;

    for (unsigned int i = 0; i < nr_roads; i++)
        all += roads[i].levels >> level & 1;
    attack(what, roads_open(what, level, val, base, true), all);
}
