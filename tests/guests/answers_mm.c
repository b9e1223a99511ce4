/*
 * Questions about memory: each bit of an entry at each level, what the MMU's hypercalls refuse and
 * take, and the reservation.
 */
#include "answers.h"

#define SCRATCH 0x10000000000UL /* a top-level slot of its own */
#define PTE(page, flags) (virt_to_mfn(page) << 12 | (flags))
#define PTE_RO (PTE_FLAGS & ~PTE_RW)

enum { OTHER_DOMAIN = 7 };
enum { SHARING_FREED_PAGES = 18, SHARING_SHARED_PAGES }; /* the header has them for tools only */

static char *page; /* plain, with the usual mapping */
static uint64_t *l1, *l2, *l3;

static const struct {
    domid_t id;
    const char *name;
} domains[] = {
    { DOMID_SELF, "self" },       { 0, "own-id" },        { OTHER_DOMAIN, "other" },
    { DOMID_IO, "io" },           { DOMID_XEN, "xen" },   { DOMID_COW, "cow" },
    { DOMID_INVALID, "invalid" }, { DOMID_IDLE, "idle" },
};

/* Four levels of our own into the live root. */
static void scratch_tree(void)
{
    l1 = page_alloc();
    l2 = page_alloc();
    l3 = page_alloc();
    l1[0] = PTE(page, PTE_FLAGS);
    l2[0] = PTE(l1, PTE_FLAGS);
    l3[0] = PTE(l2, PTE_FLAGS);
    page_set_ro(l1);
    page_set_ro(l2);
    ANSWER(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)), "mmu.l3-still-writable");
    page_set_ro(l3);
    CHECK_EQ(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)), 0);
}

/* One bit other than in a good entry. Frame numbers: only such as no machine of ours has. */
static void entry_bits(void)
{
    uint64_t *const entries[] = { l1, l2, l3, &kernel_root[SCRATCH >> 39] };

    for (unsigned int level = 1; level <= 4; level++) {
        uint64_t *p = entries[level - 1], good = *p;

        for (unsigned int bit = 0; bit < 64; bit++) {
            long rc;

            if (bit >= 12 && bit < 40)
                continue;
            rc = pte_write(p, good ^ 1UL << bit);
            ANSWER(rc, "mmu.l%u.bit-%u", level, bit);
            if (rc == 0)
                ANSWER((*p ^ good) & ~(1UL << bit), "mmu.l%u.bit-%u.others", level, bit);
            if (rc == 0)
                ANSWER((*p ^ good) >> bit & 1, "mmu.l%u.bit-%u.kept", level, bit);
            if (pte_write(p, good))
                failure("level %u, bit %u: the good entry is refused", level, bit);
        }
        ANSWER(pte_write(p, 0), "mmu.l%u.zero", level);
        ANSWER(pte_write(p, 0x1230), "mmu.l%u.not-present", level);
        ANSWER(pte_write(p, PTE(page, PTE_FLAGS)), "mmu.l%u.plain-page", level);
        ANSWER(pte_write(p, PTE(page, PTE_RO)), "mmu.l%u.plain-page-read-only", level);
        ANSWER(pte_write(p, PTE(l1, PTE_FLAGS)), "mmu.l%u.l1", level);
        ANSWER(pte_write(p, PTE(l1, PTE_RO)), "mmu.l%u.l1-read-only", level);
        ANSWER(pte_write(p, PTE(l2, PTE_RO)), "mmu.l%u.l2-read-only", level);
        ANSWER(pte_write(p, PTE(l3, PTE_RO)), "mmu.l%u.l3-read-only", level);
        ANSWER(pte_write(p, start_info->shared_info | PTE_FLAGS), "mmu.l%u.shared_info", level);
        ANSWER(pte_write(p, PTE_MFN(kernel_root[256]) << 12 | PTE_RO), "mmu.l%u.hypervisor", level);
        ANSWER(pte_write(p, good), "mmu.l%u.back", level);
    }
    ANSWER(pte_write(&kernel_root[SCRATCH >> 39], PTE(kernel_root, PTE_RO)), "mmu.l4.itself");
    CHECK_EQ(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)), 0);
    for (unsigned int i = 255; i < 274; i++) {
        uint64_t old = kernel_root[i];

        if (old == 0 || (i >= 256 && i < 272))
            ANSWER(pte_write(&kernel_root[i], 0), "mmu.l4.slot-%u.zero", i);
        if (i >= 256 && i < 272)
            ANSWER(pte_write(&kernel_root[i], PTE(l3, PTE_FLAGS)), "mmu.l4.slot-%u", i);
    }
}

static void commands(void)
{
    struct mmu_update u;
    uint64_t maddr = virt_to_maddr(l1);
    unsigned int done;

    for (unsigned int cmd = 0; cmd < 8; cmd++) {
        ANSWER(mmu_update(maddr | cmd, PTE(page, PTE_FLAGS)), "mmu_update.command-%u", cmd);
        ANSWER(mmu_update((virt_to_maddr(page) & ~7UL) | cmd,
                          cmd == MMU_MACHPHYS_UPDATE ? virt_to_pfn(page) : 0),
               "mmu_update.command-%u.plain-page", cmd);
        ANSWER(mmu_update(0xffffffffff000 | cmd, 0), "mmu_update.command-%u.no-frame", cmd);
        ANSWER(mmu_update(PTE_MFN(kernel_root[256]) << 12 | cmd, 0),
               "mmu_update.command-%u.hypervisor", cmd);
    }
    /* a command may have left another pfn for the table's frame */
    mmu_update(maddr | MMU_MACHPHYS_UPDATE, virt_to_pfn(l1));
    for (unsigned int i = 0; i < ARRAY_SIZE(domains); i++) {
        u = (struct mmu_update){ maddr, PTE(page, PTE_FLAGS) };
        ANSWER(hc(mmu_update, &u, 1, 0, domains[i].id), "mmu_update.domain-%s", domains[i].name);
        ANSWER(hc(mmu_update, &u, 0, 0, domains[i].id), "mmu_update.domain-%s.nothing",
               domains[i].name);
        ANSWER(hc(mmu_update, &u, 1, 0, DOMID_SELF | (domains[i].id + 1U) << 16),
               "mmu_update.tables-of-%s", domains[i].name);
        ANSWER(hc(update_va_mapping_otherdomain, SCRATCH, PTE(page, PTE_FLAGS), 0, domains[i].id),
               "update_va.domain-%s", domains[i].name);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
        ANSWER(hc(mmu_update, places[i].va, 1, 0, DOMID_SELF), "mmu_update.%s", places[i].name);
        ANSWER(hc(mmu_update, places[i].va, 0, 0, DOMID_SELF), "mmu_update.%s.nothing",
               places[i].name);
        ANSWER(hc(mmuext_op, places[i].va, 1, 0, DOMID_SELF), "mmuext.%s", places[i].name);
        u = (struct mmu_update){ maddr, PTE(page, PTE_FLAGS) };
        ANSWER(hc(mmu_update, &u, 1, places[i].va, DOMID_SELF), "mmu_update.done-%s",
               places[i].name);
    }
    done = 99;
    ANSWER(hc(mmu_update, &u, 0, &done, DOMID_SELF), "mmu_update.nothing");
    ANSWER(done, "mmu_update.nothing.done");
    u.val = 0xffffffffff000 | PTE_FLAGS;
    ANSWER(hc(mmu_update, &u, 1, &done, DOMID_SELF), "mmu_update.no-frame");
    ANSWER(done, "mmu_update.no-frame.done");
}

static void va_mappings(void)
{
    static const struct place vas[] = {
        { "no-table", 0x70000000 },
        { "null", 0 },
        { "not-canonical", NONCANONICAL },
        { "hypervisor", HYPERVISOR_VIRT_START },
        { "hypervisor-last", HYPERVISOR_VIRT_END - PAGE_SIZE },
        { "odd", SCRATCH + 0x123 },
        { "last", ~0xfffUL },
    };
    uint64_t cpus[2] = { ~0UL, ~0UL };

    for (unsigned int i = 0; i < ARRAY_SIZE(vas); i++) {
        ANSWER(hc(update_va_mapping, vas[i].va, PTE(page, PTE_FLAGS), 0), "update_va.%s",
               vas[i].name);
        ANSWER(hc(update_va_mapping, vas[i].va, 0, 0), "update_va.%s.zero", vas[i].name);
    }
    for (unsigned long flush = 0; flush < 4; flush++) {
        ANSWER(hc(update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), flush), "update_va.flush-%u",
               (unsigned int)flush);
        ANSWER(hc(update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), flush | UVMF_ALL),
               "update_va.flush-%u.all", (unsigned int)flush);
        ANSWER(hc(update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), flush | (uint64_t)cpus),
               "update_va.flush-%u.some", (unsigned int)flush);
        for (unsigned int p = 1; p < 3; p++)
            ANSWER(hc(update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), flush | places[p].va),
                   "update_va.flush-%u.bitmap-%s", (unsigned int)flush, places[p].name);
    }
}

static void mmuext_ops(void)
{
    const struct {
        const char *name;
        uint64_t mfn;
    } frames[] = {
        { "zero", 0 },
        { "no-frame", ~0UL },
        { "no-frame-40", 0xffffffffff },
        { "plain-page", virt_to_mfn(page) },
        { "l1", virt_to_mfn(l1) },
        { "l2", virt_to_mfn(l2) },
        { "l3", virt_to_mfn(l3) },
        { "root", virt_to_mfn(kernel_root) },
        { "shared_info", start_info->shared_info >> 12 },
        { "hypervisor", PTE_MFN(kernel_root[256]) },
    };
    struct mmuext_op op;

    for (unsigned int cmd = 0; cmd < 24; cmd++) {
        for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++) {
            long rc;

            if (cmd == MMUEXT_UNPIN_TABLE && frames[i].mfn == virt_to_mfn(kernel_root))
                continue;
            op = (struct mmuext_op){ .cmd = cmd };
            op.arg1.mfn = frames[i].mfn;
            /* of COPY_PAGE the source; a count of LDT entries, an address of a bitmap */
            op.arg2.src_mfn = cmd == MMUEXT_COPY_PAGE ? virt_to_mfn(page) : 0;
            rc = hc(mmuext_op, &op, 1, 0, DOMID_SELF);
            ANSWER(rc, "mmuext.%u.%s", cmd, frames[i].name);
            if (rc == 0 && cmd <= MMUEXT_PIN_L4_TABLE)
                ANSWER(mmuext(MMUEXT_UNPIN_TABLE, frames[i].mfn, 0), "mmuext.%u.%s.unpin", cmd,
                       frames[i].name);
        }
        op = (struct mmuext_op){ .cmd = cmd };
        for (unsigned int i = 1; i < ARRAY_SIZE(domains); i++)
            if (cmd != MMUEXT_UNPIN_TABLE)
                ANSWER(hc(mmuext_op, &op, 1, 0, domains[i].id), "mmuext.%u.domain-%s", cmd,
                       domains[i].name);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++)
        ANSWER(mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(page), frames[i].mfn), "mmuext.copy-from-%s",
               frames[i].name);
    ANSWER(mmuext(MMUEXT_SET_LDT, (uint64_t)page + 8, 1), "mmuext.ldt.misaligned");
    ANSWER(mmuext(MMUEXT_SET_LDT, (uint64_t)page, 8193), "mmuext.ldt.too-long");
    ANSWER(mmuext(MMUEXT_SET_LDT, NONCANONICAL, 1), "mmuext.ldt.not-canonical");
    ANSWER(mmuext(MMUEXT_SET_LDT, HYPERVISOR_VIRT_START, 1), "mmuext.ldt.hypervisor");
    ANSWER(mmuext(MMUEXT_SET_LDT, 0x70000000, 1), "mmuext.ldt.unmapped");
    ANSWER(mmuext(MMUEXT_SET_LDT, 0, 0), "mmuext.ldt.none");
    for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
        ANSWER(mmuext(MMUEXT_INVLPG_LOCAL, places[i].va, 0), "mmuext.invlpg.%s", places[i].name);
        ANSWER(mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, places[i].va), "mmuext.flush-multi.%s",
               places[i].name);
        ANSWER(mmuext(MMUEXT_INVLPG_MULTI, SCRATCH, places[i].va), "mmuext.invlpg-multi.%s",
               places[i].name);
    }
    for (unsigned int cmd = 24; cmd < 28; cmd++)
        ANSWER(mmuext(cmd, 0, 0), "mmuext.unknown-%u", cmd);
    ANSWER(mmuext(~0u, 0, 0), "mmuext.unknown-max");
}

/* What the hypervisor does for a write to a table that is mapped read-only. */
static void emulated_writes(void)
{
    uint64_t good = PTE(page, PTE_FLAGS), old = good;

#define WRITE(name, insns, ...)                           \
    do {                                                  \
        TRY(insns, __VA_ARGS__);                          \
        ANSWER(last_trap.vector, "ptwr." name);           \
        ANSWER(l1[0] == good, "ptwr." name ".unchanged"); \
        pte_write(l1, good);                              \
    } while (0)
    good = l1[0];
    old = good;
    WRITE("same", "mov %0, (%1)", : : "r"(good), "r"(l1) : "memory");
    WRITE("zero", "movq $0, (%0)", : : "r"(l1) : "memory");
    WRITE("table-writable", "mov %0, (%1)", : : "r"(PTE(l1, PTE_FLAGS)), "r"(l1) : "memory");
    WRITE("no-frame", "mov %0, (%1)", : : "r"(0xffffffffff000 | PTE_FLAGS), "r"(l1) : "memory");
    WRITE("byte", "movb %b0, (%1)", : : "r"(good), "r"(l1) : "memory");
    WRITE("word", "movw %w0, (%1)", : : "r"(good), "r"(l1) : "memory");
    WRITE("dword", "movl %k0, (%1)", : : "r"(good), "r"(l1) : "memory");
    WRITE("misaligned", "movl %k0, 2(%1)", : : "r"(good), "r"(l1) : "memory");
    WRITE("xchg", "xchg %0, (%1)", : "+r"(old) : "r"(l1) : "memory");
    WRITE("btr-accessed", "lock btrq $5, (%0)", : : "r"(l1) : "memory", "cc");
    WRITE("and-dirty", "lock andb $0xbf, (%0)", : : "r"(l1) : "memory", "cc");
    WRITE("cmpxchg", "lock cmpxchg %0, (%1)", : : "r"(0UL), "r"(l1), "a"(good) : "memory", "cc");
    WRITE("cmpxchg-other", "lock cmpxchg %0, (%1)",
          :
          : "r"(0UL), "r"(l1), "a"(5UL)
          : "memory", "cc");
    WRITE("l2", "movq $0, (%0)", : : "r"(l2) : "memory");
    ANSWER(l2[0] == 0, "ptwr.l2.changed");
}

/* ---- the reservation ---- */

static void memory(void)
{
    struct xen_memory_reservation r = { .domid = DOMID_SELF };
    struct xen_machphys_mapping m2p = { 0 };
    domid_t id = DOMID_SELF;
    xen_pfn_t list[2] = { ~0UL >> 12, ~0UL >> 12 };

    for (unsigned int op = XENMEM_current_reservation; op <= XENMEM_maximum_reservation; op++) {
        id = DOMID_SELF;
        ANSWER(hc(memory_op, op, &id) > 0, "memory.op-%u.self", op);
        id = 0;
        ANSWER(hc(memory_op, op, &id) > 0, "memory.op-%u.own-id", op);
        id = OTHER_DOMAIN;
        ANSWER(hc(memory_op, op, &id), "memory.op-%u.other", op);
        id = DOMID_IO;
        ANSWER(hc(memory_op, op, &id), "memory.op-%u.io", op);
        id = DOMID_INVALID;
        ANSWER(hc(memory_op, op, &id), "memory.op-%u.invalid", op);
    }
    ANSWER(hc(memory_op, XENMEM_maximum_ram_page, NONCANONICAL) > 0, "memory.maximum_ram_page");
    ANSWER(hc(memory_op, XENMEM_machphys_mapping, &m2p), "memory.machphys_mapping");
    ANSWER(m2p.v_start, "memory.machphys_mapping.start");
    ANSWER(m2p.v_end > m2p.v_start && m2p.v_end <= MACH2PHYS_VIRT_END,
           "memory.machphys_mapping.end");
    set_xen_guest_handle(r.extent_start, list);
    for (unsigned int op = 0; op <= 6; op += op ? 5 : 1) { /* increase, decrease, populate */
        r.nr_extents = 0;
        r.extent_order = 0;
        r.domid = DOMID_SELF;
        ANSWER(hc(memory_op, op, &r), "memory.op-%u.nothing", op);
        ANSWER(hc(memory_op, op | 5 << 6, &r), "memory.op-%u.start-beyond", op);
        r.nr_extents = 1;
        r.extent_order = 30;
        ANSWER(hc(memory_op, op, &r), "memory.op-%u.order-30", op);
        r.extent_order = 0;
        r.nr_extents = ~0UL;
        ANSWER(hc(memory_op, op, &r), "memory.op-%u.max-extents", op);
        r.nr_extents = 1;
        r.domid = OTHER_DOMAIN;
        ANSWER(hc(memory_op, op, &r), "memory.op-%u.other", op);
        r.domid = DOMID_SELF;
        set_xen_guest_handle(r.extent_start, (xen_pfn_t *)NONCANONICAL);
        ANSWER(hc(memory_op, op, &r), "memory.op-%u.list-not-canonical", op);
        set_xen_guest_handle(r.extent_start, list);
    }
    ANSWER(hc(memory_op, XENMEM_decrease_reservation, &r), "memory.decrease.no-frame");
    list[0] = virt_to_mfn(kernel_root);
    ANSWER(hc(memory_op, XENMEM_decrease_reservation, &r), "memory.decrease.table");
    ANSWER(update_va(kernel_root, virt_to_mfn(kernel_root) << 12 | (PTE_FLAGS & ~PTE_RW), 0),
           "memory.decrease.table.still-mine");
    for (unsigned int op = 0; op < 30; op++)
        for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
            if (op != XENMEM_maximum_ram_page && op != SHARING_FREED_PAGES &&
                op != SHARING_SHARED_PAGES)
                ANSWER(hc(memory_op, op, places[p].va), "memory.op-%u.%s", op, places[p].name);
    for (unsigned int op = 29; op < 64; op++)
        ANSWER(hc(memory_op, op, page), "memory.unknown-%u", op);
    ANSWER(hc(memory_op, SHARING_FREED_PAGES, 0), "memory.sharing-freed");
    ANSWER(hc(memory_op, SHARING_SHARED_PAGES, 0), "memory.sharing-shared");
}

static void exchange_edges(void)
{
    xen_pfn_t in[2], out[2];
    struct xen_memory_exchange x;
    void *a = page_alloc();

#define EXCHANGE(name, change)                                                               \
    do {                                                                                     \
        in[0] = virt_to_mfn(a);                                                              \
        out[0] = virt_to_pfn(a);                                                             \
        x = (struct xen_memory_exchange){ .in = { .nr_extents = 1, .domid = DOMID_SELF },    \
                                          .out = { .nr_extents = 1, .domid = DOMID_SELF } }; \
        set_xen_guest_handle(x.in.extent_start, in);                                         \
        set_xen_guest_handle(x.out.extent_start, out);                                       \
        change;                                                                              \
        ANSWER(hc(memory_op, XENMEM_exchange, &x), "memory.exchange." name);                 \
        ANSWER(x.nr_exchanged, "memory.exchange." name ".done");                             \
    } while (0)
    EXCHANGE("mapped", (void)0); /* mapped: it cannot go */
    EXCHANGE("nothing", x.in.nr_extents = x.out.nr_extents = 0);
    EXCHANGE("no-frame", in[0] = ~0UL >> 12);
    EXCHANGE("table", in[0] = virt_to_mfn(kernel_root));
    EXCHANGE("other", x.in.domid = x.out.domid = OTHER_DOMAIN);
    EXCHANGE("two-domains", x.out.domid = OTHER_DOMAIN);
    EXCHANGE("counts-differ", x.out.nr_extents = 2);
    EXCHANGE("order-30", x.in.extent_order = x.out.extent_order = 30);
    EXCHANGE("order-uneven", x.out.extent_order = 1);
    EXCHANGE("too-many-done", x.nr_exchanged = 2);
    EXCHANGE("all-done", x.nr_exchanged = 1);
    EXCHANGE("extents-wrap", (x.in.nr_extents = x.out.nr_extents = ~0UL));
    EXCHANGE("address-bits-1", x.out.mem_flags = XENMEMF_address_bits(1));
}

void test_main(void)
{
    page = page_alloc();
    scratch_tree();
    entry_bits();
    commands();
    va_mappings();
    mmuext_ops();
    emulated_writes();
    memory();
    exchange_edges();
}
