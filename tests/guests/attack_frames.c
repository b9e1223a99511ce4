/*
 * Rules 1 and 2: no domain uses a frame that is not its own; a frame returns at zero references,
 * and whoever has it next finds zeros. Every frame of the machine's RAM that is not ours (the
 * hypervisor's image and heap among them) and numbers beyond are tried in each place where a guest
 * names a frame; the same for frames that were ours; registers of interrupt controllers; the
 * hypervisor's addresses. And memory is given back in all states. dom0_max_vcpus=3: the witness is
 * vCPU 2, vCPU 1 never runs.
 */
#include "roads.h"

#include <xen/grant_table.h>

#define NO_MFN 0xfffffffffUL
#define ENTRY(mfn, flags) ((uint64_t)(mfn) << 12 | (flags))

static uint64_t *p2m(void) { return (uint64_t *)start_info->mfn_list; }

static uint64_t shared_mfn(void) { return start_info->shared_info >> 12; }

/* The first frame of the grant table is shared as well. */
static uint64_t grant_mfn(void)
{
    static xen_pfn_t frame[1];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

    set_xen_guest_handle(setup.frame_list, frame);
    if (frame[0] == 0)
        CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    return frame[0];
}
static bool is_shared(uint64_t mfn) { return mfn == shared_mfn() || mfn == grant_mfn(); }

static uint64_t max_page, spare_pfn; /* from there on down: nothing maps these */

static uint64_t spare(void) { return --spare_pfn; }

static bool is_ours(uint64_t mfn)
{
    uint64_t pfn = machine_to_phys_mapping[mfn];

    return pfn < start_info->nr_pages && p2m()[pfn] == mfn;
}

/* ---- the machine's RAM ---- */

struct e820 {
    uint64_t start, bytes;
    uint32_t type;
} __attribute__((packed));
static struct e820 e820[64];
static unsigned int nr_e820;

static void machine_map(void)
{
    struct xen_memory_map map = { .nr_entries = ARRAY_SIZE(e820) };

    set_xen_guest_handle(map.buffer, (void *)e820);
    max_page = (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0);
    if (is_dom0()) {
        CHECK_EQ(hc(memory_op, XENMEM_machine_memory_map, &map), 0);
        nr_e820 = map.nr_entries;
    } else { /* all up to there is refused */
        e820[0] = (struct e820){ 0, (max_page + 1) << 12, 1 };
        nr_e820 = 1;
    }
    spare_pfn = start_info->nr_pages;
}

static bool is_ram(uint64_t mfn)
{
    for (unsigned int i = 0; i < nr_e820; i++)
        if (e820[i].type == 1 && mfn << 12 >= e820[i].start &&
            (mfn + 1) << 12 <= e820[i].start + e820[i].bytes)
            return true;
    return false;
}

/* ---- frames that are not ours, by any call that takes one ---- */

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

static long register_info(uint64_t mfn)
{
    struct vcpu_register_vcpu_info info = { .mfn = mfn };

    return hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info);
}

static long set_gdt(uint64_t mfn, unsigned int entries)
{
    xen_pfn_t frames[14] = { mfn };

    return hc(set_gdt, frames, entries);
}

static long exchange(uint64_t mfn)
{
    static xen_pfn_t in[1], out[1];
    struct xen_memory_exchange x = {
        .in = { .nr_extents = 1, .domid = DOMID_SELF },
        .out = { .nr_extents = 1, .domid = DOMID_SELF },
    };

    in[0] = mfn;
    out[0] = 0x123;
    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    return hc(memory_op, XENMEM_exchange, &x);
}

static long map_as(uint64_t val, domid_t domid)
{
    long rc = hc(update_va_mapping_otherdomain, ROADS_AT, val, UVMF_NONE, domid);

    if (rc == 0)
        CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
    return rc;
}

static const char *const mappings[] = { "read",     "write",      "uncached",
                                        "combined", "for-io",     "write-for-io",
                                        "for-xen",  "mmu-update", "by-mov" };

/* 0: it can be mapped so. */
static long map_way(unsigned int way, uint64_t mfn)
{
    long rc;

    switch (way) {
    case 0: return map_as(ENTRY(mfn, PTE_RO), DOMID_SELF);
    case 1: return map_as(ENTRY(mfn, PTE_FLAGS), DOMID_SELF);
    case 2: return map_as(ENTRY(mfn, PTE_FLAGS | PTE_PCD | PTE_PWT), DOMID_SELF);
    case 3: return map_as(ENTRY(mfn, PTE_RO | PTE_PS | PTE_PWT), DOMID_SELF); /* PS is PAT here */
    case 4: return map_as(ENTRY(mfn, PTE_RO), DOMID_IO);
    case 5: return map_as(ENTRY(mfn, PTE_FLAGS), DOMID_IO);
    case 6: return map_as(ENTRY(mfn, PTE_FLAGS), DOMID_XEN); /* readable there is the M2P */
    case 7: rc = pte_write(&live[1][ROADS_INDEX], ENTRY(mfn, PTE_FLAGS)); break;
    default:
        TRY("mov %1, (%0)", : : "r"(&live[1][ROADS_INDEX]), "r"(ENTRY(mfn, PTE_P)) : "memory");
        rc = trapped(-1) ? 0 : last_trap.vector;
        break;
    }
    if (rc == 0)
        CHECK_EQ(pte_write(&live[1][ROADS_INDEX], 0), 0);
    return rc;
}

static const char *const uses[] = { "pin-l1",    "pin-l2", "pin-l3",     "pin-l4",  "in-l2",
                                    "in-l3",     "in-l4",  "unpin",      "clear",   "copy-to",
                                    "copy-from", "write",  "descriptor", "gdt",     "user-baseptr",
                                    "vcpu-info", "m2p",    "give-back",  "exchange" };

/* 0: it can be used so. What takes effect and stays is last: there is no legal counterpart here. */
static long use_way(unsigned int way, uint64_t mfn, const void *page)
{
    xen_pfn_t list[1] = { mfn };
    long rc;

    switch (way) {
    case 0 ... 3:
        rc = mmuext(MMUEXT_PIN_L1_TABLE + way, mfn, 0);
        if (rc == 0)
            CHECK_EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn, 0), 0);
        return rc;
    case 4 ... 6:
        rc = pte_write(&live[way - 2][ROADS_INDEX], ENTRY(mfn, PTE_FLAGS));
        CHECK_EQ(pte_write(&live[way - 2][ROADS_INDEX], 0), 0);
        return rc;
    case 7: return mmuext(MMUEXT_UNPIN_TABLE, mfn, 0);
    case 8: return mmuext(MMUEXT_CLEAR_PAGE, mfn, 0);
    case 9: return mmuext(MMUEXT_COPY_PAGE, mfn, virt_to_mfn(page));
    case 10: return mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(page), mfn);
    case 11: return mmu_update(mfn << 12 | MMU_NORMAL_PT_UPDATE, 0);
    case 12: return hc(update_descriptor, mfn << 12, 0);
    case 13:
        rc = set_gdt(mfn, 512);
        if (rc == 0)
            CHECK_EQ(set_gdt(0, 0), 0);
        return rc;
    case 14:
        if (mfn == 0) /* none */
            return -EINVAL;
        rc = mmuext(MMUEXT_NEW_USER_BASEPTR, mfn, 0);
        if (rc == 0)
            CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
        return rc;
    case 15: return register_info(mfn);
    case 16: return mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, 0x77);
    case 17: return reservation(XENMEM_decrease_reservation, list, 1, 0) == 1 ? 0 : -1;
    default: return exchange(mfn);
    }
}

static char name[64];

static const char *named(const char *a, const char *b)
{
    char *p = name;

    while (*a)
        *p++ = *a++;
    *p++ = '.';
    while (*b)
        *p++ = *b++;
    *p = 0;
    return name;
}

enum { M2P = 16 };

static uint64_t *copy_page;

/* One frame that is not ours, everywhere. Counts what it can be used for. */
static void frame_refused(const char *what, uint64_t mfn)
{
    unsigned int n = 0;

    for (unsigned int way = 0; way < ARRAY_SIZE(mappings); way++)
        if (map_way(way, mfn) == 0 && ++n)
            print("%s: frame 0x%lx can be mapped by %s\n", what, mfn, mappings[way]);
    for (unsigned int way = 0; way < ARRAY_SIZE(uses); way++)
        if (use_way(way, mfn, copy_page) == 0 && ++n)
            print("%s: frame 0x%lx can be used by %s\n", what, mfn, uses[way]);
    attack(what, n, 0);
}

static void foreign_ram(void)
{
    unsigned int open[32] = { 0 }, nr = 0, ours = 0;
    long before = reserved();

    for (unsigned int way = 0; way < ARRAY_SIZE(mappings); way++, nr = 0) {
        for (uint64_t mfn = 0; mfn <= max_page; mfn++) {
            if (!is_ram(mfn) || is_ours(mfn) || is_shared(mfn))
                continue;
            nr++;
            open[way] += map_way(way, mfn) == 0;
        }
        attack(named("foreign", mappings[way]), open[way], 0);
        CHECK(nr > 512); /* the hypervisor's image alone has so many */
    }
    for (unsigned int way = 0; way < ARRAY_SIZE(uses); way++) {
        unsigned int n = 0;

        for (uint64_t mfn = 0; mfn <= max_page; mfn++)
            n += is_ram(mfn) && !is_ours(mfn) && !is_shared(mfn) &&
                 use_way(way, mfn, copy_page) == 0;
        attack(named("foreign", uses[way]), n, 0);
    }
    CHECK_EQ(reserved(), before);
    for (uint64_t mfn = 0; mfn <= max_page; mfn += 13) {
        ours += is_ours(mfn) && map_way(0, mfn) != 0;
        nr += is_ours(mfn);
    }
    CHECK(nr > 512);
    attack("own.read", ours, 0);
    witness_check();
}

static void numbers(void)
{
    static const struct {
        const char *what;
        uint64_t mfn;
    } bad[] = {
        { "ioapic", 0xfec00 },           { "lapic", 0xfee00 },      { "msi-first", 0xfee01 },
        { "msi-last", 0xfeeff },         { "last-number", NO_MFN }, { "bit-39", 1UL << 39 },
        { "beyond-40-bits", 1UL << 28 }, { "minus-one", ~0UL },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
        frame_refused(named("number", bad[i].what), bad[i].mfn);
    witness_check();
}

/* Device memory: mapped, but it is no RAM. The HPET's registers are read-only on each road. */
static void device_memory(void)
{
    volatile uint64_t *at = (void *)ROADS_AT;
    uint64_t val = ENTRY(0xfed00, PTE_FLAGS | PTE_PCD), base = ENTRY(0xfed00, PTE_RO | PTE_PCD);
    unsigned int n = 0, open = 0;

    CHECK_EQ(map_as(ENTRY(0xb8, PTE_FLAGS | PTE_PCD), DOMID_SELF), 0);
    attack("vga.for-io", map_as(ENTRY(0xb8, PTE_FLAGS | PTE_PCD), DOMID_IO), 0);
    for (unsigned int way = 0; way < ARRAY_SIZE(uses); way++)
        n += way != M2P && use_way(way, 0xb8, copy_page) == 0;
    attack("vga.as-memory", n, 0);
    for (unsigned int i = 0; i < nr_roads; i++) {
        road_seen = 0;
        if (road_go(&roads[i], 1, val, base) == 0)
            open += (road_seen & PTE_RW) != 0;
        road_seen = 0;
        if (road_go(&roads[i], 1, val, 0) == 0)
            open += (road_seen & PTE_RW) != 0;
    }
    attack("hpet.writable", open, 0);
    if (update_va((void *)ROADS_AT, val, UVMF_INVLPG) == 0) {
        uint64_t config = at[2], got;

        TRY("mov %1, 16(%0)", : : "r"(ROADS_AT), "r"(config ^ 3) : "memory");
        got = at[2];
        attack("hpet.mov", got == config, 1);
        TRY("lock orq %1, 16(%0)", : : "r"(ROADS_AT), "r"(3UL) : "memory");
        CHECK(trapped(TRAP_PF));
        TRY("xchg %1, 16(%0)", : : "r"(ROADS_AT), "r"(config ^ 1) : "memory");
        CHECK_EQ(at[2], config);
        CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
    }
    witness_check();
}

static void domains(void)
{
    static const uint16_t ids[] = { 0,      1,      2,      0x7fef, 0x7ff1, DOMID_XEN,
                                    0x7ff3, 0x7ff4, 0x7ff5, 0x7fff, 0xffff };
    uint64_t val = PTE(copy_page, PTE_RO);
    struct mmu_update u = { virt_to_maddr(&live[1][ROADS_INDEX]), val };
    struct mmuext_op op = { .cmd = MMUEXT_CLEAR_PAGE, .arg1.mfn = virt_to_mfn(copy_page) };
    unsigned int map = 0, update = 0, tables = 0, ext = 0;
    const domid_t own = is_dom0() ? 0 : 1;

    for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
        map += map_as(val, ids[i]) == 0;
        update += hc(mmu_update, &u, 1, 0, ids[i]) == 0;
        if (ids[i] != own && ids[i] != 0xffff) /* ourselves; and no room for 1 more */
            tables += hc(mmu_update, &u, 1, 0, DOMID_SELF | (ids[i] + 1UL) << 16) == 0;
        ext += hc(mmuext_op, &op, 1, 0, ids[i]) == 0;
    }
    attack("domid.map", map, 0);
    attack("domid.update", update, 0);
    attack("domid.tables-of", tables, 0);
    attack("domid.mmuext", ext, 0);
    attack("domid.mmuext-io", hc(mmuext_op, &op, 1, 0, DOMID_IO), -EPERM);
    attack("domid.own-frame-for-io", map_as(val, DOMID_IO), has_device() ? -EBUSY : -EPERM);
    attack("domid.own-id", map_as(val, own), -ESRCH);
    attack("domid.nobody", map_as(val, 2), -ESRCH);
    attack("domid.own-tables", hc(mmu_update, &u, 1, 0, DOMID_SELF | (own + 1UL) << 16), 0);
    attack("domid.self", hc(mmu_update, &u, 1, 0, DOMID_SELF), 0);
    CHECK_EQ(pte_write(&live[1][ROADS_INDEX], 0), 0);
    witness_check();
}

/* ---- the hypervisor's addresses ---- */

static void hypervisor_area(void)
{
    unsigned int mapped = 0, read = 0, written = 0, run = 0, slots = 0, other = 0;
    uint64_t *l3 = page_alloc(), *root = page_alloc();

    for (uint64_t slot = 256; slot < 272; slot++)
        for (unsigned int i = 0; i < 64; i++) {
            uint64_t va = 0xffff000000000000UL | slot << 39 |
                          (i < 32 ? 1UL << (12 + i * 27 / 32) : 0) |
                          (i >= 32 ? (i - 32UL) << 34 | 0x1ff000 : 0);

            mapped += update_va((void *)va, PTE(copy_page, PTE_FLAGS), UVMF_NONE) == 0;
            mapped += update_va((void *)va, 0, UVMF_TLB_FLUSH | UVMF_ALL) == 0;
            TRY("mov (%0), %%rax", : : "r"(va) : "rax", "memory");
            read += slot > 256 && trapped(-1);
            TRY("lock orq $0, (%0)", : : "r"(va) : "memory", "cc");
            written += trapped(-1);
            TRY("mov %0, %%rax\n lea 1f(%%rip), %%rcx\n push %%rcx\n jmp *%%rax\n 1: pop %%rcx",
                :
                : "r"(va)
                : "rax", "rcx", "memory");
            run += trapped(-1);
            if (last_trap.vector != TRAP_PF && last_trap.vector != TRAP_GP)
                other++;
        }
    attack("area.mapped", mapped, 0);
    attack("area.read", read, 0);
    attack("area.written", written, 0);
    attack("area.run", run, 0);
    attack("area.other-traps", other, 0);
    TRY("mov (%0), %%rax", : : "r"(&machine_to_phys_mapping[virt_to_mfn(l3)]) : "rax");
    CHECK(trapped(-1));
    TRY("mov %%rax, (%0)", : : "r"(&machine_to_phys_mapping[virt_to_mfn(l3)]) : "rax", "memory");
    attack("area.m2p-written", last_trap.vector, TRAP_PF);
    /* a root that is built with tables of ours in these slots: they are replaced, not used */
    for (unsigned int i = 256; i < 272; i++)
        root[i] = PTE(l3, PTE_FLAGS);
    root[3] = PTE(l3, PTE_FLAGS);
    page_set_ro(l3);
    page_set_ro(root);
    attack("slots.pin", pin(4, root), 0);
    for (unsigned int i = 256; i < 272; i++) {
        slots += PTE_MFN(root[i]) == virt_to_mfn(l3);
        slots += pte_write(&root[i], PTE(l3, PTE_FLAGS)) == 0;
        slots += mmu_update(virt_to_maddr(&root[i]) | MMU_PT_UPDATE_PRESERVE_AD, 0) == 0;
        TRY("movq $0, (%0)", : : "r"(&root[i]) : "memory");
        slots += trapped(-1);
        TRY("lock orq $2, (%0)", : : "r"(&root[i]) : "memory");
        slots += trapped(-1);
    }
    attack("slots.ours", slots, 0);
    CHECK_EQ(pte_write(&root[3], 0), 0);
    page_set_rw(l3); /* the other slots hold nothing of it */
    CHECK_EQ(unpin(root), 0);
    /* what the hypervisor left in the frame is no entry that a guest may have */
    attack("slots.as-l1", use_way(0, virt_to_mfn(root), root), -EBUSY);
    attack("slots.as-l2", use_way(1, virt_to_mfn(root), root), -EINVAL);
    attack("slots.as-l3", use_way(2, virt_to_mfn(root), root), -EINVAL);
    attack("slots.again", pin(4, root), 0);
    CHECK_EQ(unpin(root), 0);
    page_set_rw(root);
    memset(root, 0, PAGE_SIZE);
    witness_check();
}

/* ---- memory given back ---- */

static bool give_back(uint64_t mfn)
{
    xen_pfn_t list[1] = { mfn };

    return reservation(XENMEM_decrease_reservation, list, 1, 0) == 1;
}

/* As many frames as are missing, all zero; each becomes pfn's. */
static uint64_t get_for(uint64_t pfn)
{
    xen_pfn_t list[1] = { pfn };
    unsigned int dirty = 0;

    CHECK_EQ(reservation(XENMEM_populate_physmap, list, 1, 0), 1);
    p2m()[pfn] = list[0];
    CHECK_EQ(machine_to_phys_mapping[list[0]], pfn);
    CHECK_EQ(update_va((void *)ROADS_AT, ENTRY(list[0], PTE_FLAGS), UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < 512; i++) {
        dirty += ((volatile uint64_t *)ROADS_AT)[i] != 0;
        ((volatile uint64_t *)ROADS_AT)[i] = 0x5ec7e7;
    }
    CHECK_EQ(dirty, 0);
    CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
    return list[0];
}

static void given_back(void)
{
    uint64_t pfn = spare(), mfn = p2m()[pfn];

    CHECK_EQ(map_way(1, mfn), 0);
    CHECK(give_back(mfn));
    p2m()[pfn] = ~0UL;
    frame_refused("given-back", mfn);
    roads_refuse("given-back.roads", 1, ENTRY(mfn, PTE_FLAGS), 0);
    roads_refuse("given-back.read", 1, ENTRY(mfn, PTE_RO), 0);
    roads_refuse("given-back.in-l2", 2, ENTRY(mfn, PTE_FLAGS), 0);
    mfn = get_for(pfn);
    roads_accept("got-again.roads", 1, ENTRY(mfn, PTE_FLAGS), PTE(copy_page, PTE_RO));
    CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, mfn, 0), 0);
    roads_accept("got-again.in-l2", 2, ENTRY(mfn, PTE_FLAGS), 0);
    witness_check();
}

/* page is held by something. It is given back and stays as it is until that lets go of it. */
static void held(const char *what, void *page)
{
    uint64_t mfn = virt_to_mfn(page);
    xen_pfn_t twice[2] = { mfn, mfn };

    attack(what, reservation(XENMEM_decrease_reservation, twice, 2, 0), 1);
    CHECK(on_xen() || !give_back(mfn)); /* where it succeeds again and changes nothing */
    CHECK(exchange(mfn) < 0);
}

/* Nothing holds it any more but our own mapping. */
static void let_go(void *page)
{
    uint64_t mfn = virt_to_mfn(page), pfn = virt_to_pfn(page);
    long before = reserved();

    CHECK_EQ(update_va(page, 0, UVMF_INVLPG), 0);
    CHECK_EQ(reserved(), before - 1);
    CHECK(map_way(0, mfn) < 0);
    CHECK(map_way(1, mfn) < 0);
    mfn = get_for(pfn);
    CHECK_EQ(update_va(page, ENTRY(mfn, PTE_FLAGS), UVMF_INVLPG), 0);
    CHECK_EQ(*(uint64_t *)page, 0x5ec7e7);
}

static void in_use(void)
{
    uint64_t *data = page_alloc(), *t[5], *gdt = page_alloc(), *info = page_alloc();
    static uint64_t dead[5];

    held("in-use.mapped", data);
    *data = 1;
    CHECK_EQ(update_va((void *)ROADS_AT, PTE(data, PTE_FLAGS), UVMF_INVLPG), 0);
    CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
    let_go(data);
    for (unsigned int l = 1; l <= 4; l++) {
        static const char *const what[] = { "", "in-use.l1", "in-use.l2", "in-use.l3",
                                            "in-use.l4" };

        t[l] = page_alloc();
        if (l > 1)
            t[l][0] = PTE(t[l - 1], PTE_FLAGS);
        page_set_ro(t[l]);
        CHECK_EQ(pin(l, t[l]), 0);
        held(what[l], t[l]);
        CHECK(update_va(t[l], PTE(t[l], PTE_FLAGS), UVMF_INVLPG) < 0);
        dead[l] = virt_to_mfn(t[l]);
    }
    CHECK_EQ(pte_write(&t[1][9], PTE(data, PTE_FLAGS)), 0); /* it works on */
    for (unsigned int l = 1; l <= 4; l++) {
        CHECK_EQ(unpin(t[l]), 0);
        CHECK_EQ(update_va(t[l], 0, UVMF_INVLPG), 0); /* t[l + 1] still has it */
        CHECK(l == 4 || map_way(0, dead[l]) == 0);
    }
    for (unsigned int l = 1; l <= 4; l++)
        CHECK(map_way(0, dead[l]) < 0);
    for (unsigned int l = 1; l <= 4; l++) {
        CHECK_EQ(update_va(t[l], ENTRY(get_for(virt_to_pfn(t[l])), PTE_FLAGS), UVMF_INVLPG), 0);
    }
    page_set_ro(gdt);
    CHECK_EQ(set_gdt(virt_to_mfn(gdt), 512), 0);
    held("in-use.gdt", gdt);
    CHECK(update_va(gdt, PTE(gdt, PTE_FLAGS), UVMF_INVLPG) < 0);
    CHECK_EQ(set_gdt(0, 0), 0);
    let_go(gdt);
    CHECK_EQ(register_info(virt_to_mfn(info)), 0);
    held("in-use.vcpu-info", info);
    page_set_ro(info);
    attack("in-use.vcpu-info-as-l1", pin(1, info), -EINVAL);
    /* for good: the audit at the end has to explain it */
    attack("in-use.root", give_back(virt_to_mfn(kernel_root)), 1);
    attack("in-use.root-mapped", give_back(virt_to_mfn(live[1])), 1);
    attack("in-use.shared-info", give_back(shared_mfn()), 0);
    attack("in-use.start-info", map_as(PTE(start_info, PTE_FLAGS), DOMID_SELF), 0);
    roads_accept("in-use.roads", 1, PTE(data, PTE_FLAGS), PTE(data, PTE_RO));
    witness_check();
}

/* The hypervisor's own page that it shows us is nothing but that. */
static void shared_page(void)
{
    uint64_t mfn = shared_mfn();
    unsigned int n = 0;

    for (unsigned int way = 0; way < ARRAY_SIZE(uses); way++)
        if (way < 8 || way == 13 || way == 14 || way > M2P)
            n += use_way(way, mfn, copy_page) == 0;
    attack("shared-info.used", n, 0);
    /* nor while no mapping allows to write to it; nobody needs to, for the moment */
    n = 0;
    CHECK_EQ(update_va(shared_info, ENTRY(mfn, PTE_RO), UVMF_TLB_FLUSH | UVMF_ALL), 0);
    for (unsigned int way = 0; way < ARRAY_SIZE(uses); way++)
        if (way < 8 || way == 13 || way == 14 || way > M2P)
            n += use_way(way, mfn, copy_page) == 0;
    CHECK_EQ(update_va(shared_info, ENTRY(mfn, PTE_FLAGS), UVMF_TLB_FLUSH | UVMF_ALL), 0);
    attack("shared-info.used-unwritable", n, 0);
    attack("shared-info.uncached", map_way(2, mfn), has_device() ? -EACCES : -EINVAL);
    attack("shared-info.for-io", map_way(4, mfn), has_device() ? -EBUSY : -EPERM);
    attack("shared-info.mapped", map_way(1, mfn), 0);
    witness_check();
}

/* Much of it, in pieces of each size, full of something: whoever gets frames finds zeros. */
static void scrubbed(void)
{
    static const unsigned int orders[] = { 0, 0, 3, 0, 9, 2 };
    enum { NR = 512 };
    static xen_pfn_t list[NR];
    uint64_t first = (spare_pfn - 2 * NR) & ~(NR - 1UL);
    long all = reserved();

    for (unsigned int round = 0; round < ARRAY_SIZE(orders); round++) {
        unsigned int nr = NR >> orders[round], dirty = 0;

        for (unsigned int i = 0; i < NR; i++)
            list[i] = p2m()[first + i];
        CHECK_EQ(reservation(XENMEM_decrease_reservation, list, NR, 0), NR);
        CHECK_EQ(reserved(), all - NR);
        for (unsigned int i = 0; i < nr; i++)
            list[i] = first + (i << orders[round]);
        CHECK_EQ(reservation(XENMEM_populate_physmap, list, nr, orders[round]), nr);
        CHECK_EQ(reserved(), all);
        for (unsigned int i = 0; i < NR; i++) {
            volatile uint64_t *at = (void *)ROADS_AT;
            uint64_t mfn = list[i >> orders[round]] + (i & ((1u << orders[round]) - 1));

            p2m()[first + i] = mfn;
            CHECK_EQ(update_va((void *)at, ENTRY(mfn, PTE_FLAGS), UVMF_INVLPG), 0);
            for (unsigned int k = 0; k < 512; k++)
                dirty += at[k] != 0;
            memset((void *)ROADS_AT, 0x5a, PAGE_SIZE);
        }
        CHECK_EQ(update_va((void *)ROADS_AT, 0, UVMF_INVLPG), 0);
        CHECK_EQ(dirty, 0);
    }
    witness_check();
}

/* All that there is, in the pieces in which it is left. Nobody else needs any to go on. */
static void all_memory(void)
{
    enum { NR = 16384 };
    static xen_pfn_t list[NR], again[NR];
    long before = reserved(), nr = 0, rc;

    for (unsigned int order = 9; order <= 9; order -= 3) {
        do {
            CHECK(nr + (1 << order) <= NR);
            list[nr] = start_info->nr_pages + (uint64_t)nr;
            rc = reservation(XENMEM_populate_physmap, &list[nr], 1, order);
            for (long k = 1; rc == 1 && k < 1 << order; k++)
                list[nr + k] = list[nr] + (uint64_t)k;
            nr += rc == 1 ? 1 << order : 0;
        } while (rc == 1 && nr + (1 << order) <= NR);
    }
    print("%s: %ld pages more\n", guest_name, nr);
    CHECK_EQ(reserved(), before + nr);
    CHECK(nr > 0 || on_xen());
    if (nr == 0)
        return;
    attack("all-memory.one-more", reservation(XENMEM_populate_physmap, again, 1, 0), 0);
    /* the machine is full, or only the domain */
    attack("all-memory.exchange", exchange(p2m()[spare()]), is_dom0() ? -ENOMEM : 0);
    witness_check();
    roads_accept("all-memory.l1", 1, PTE(copy_page, PTE_FLAGS), PTE(copy_page, PTE_RO));
    CHECK(give_back(list[nr - 1]));
    list[nr - 1] = 0xabcde;
    CHECK_EQ(reservation(XENMEM_populate_physmap, &list[nr - 1], 1, 0), 1);
    roads_accept("all-memory.l2", 2, ENTRY(list[nr - 1], PTE_FLAGS), 0);
    memcpy(again, list, sizeof(list));
    CHECK_EQ(reservation(XENMEM_decrease_reservation, again, (uint64_t)nr, 0), nr);
    CHECK_EQ(reserved(), before);
    witness_check();
}

void test_main(void)
{
    attacks_begin();
    roads_init();
    copy_page = page_alloc();
    machine_map();
    foreign_ram();
    numbers();
    if (is_dom0())
        device_memory();
    domains();
    hypervisor_area();
    shared_page();
    given_back();
    scrubbed();
    all_memory();
    in_use();
}
