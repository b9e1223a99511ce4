/*
 * Rules 1 and 9: a frame is at most one of writable, L1 to L4 and descriptor table, its type changes
 * only when nobody uses it as what it was, and no table refers to its own level or above. Tried on
 * every road (roads.h): writable mappings of all that is a table; tables made of frames that have a
 * writable mapping somewhere; tables of a wrong level, and of themselves. dom0_max_vcpus=3: the
 * witness is vCPU 2, vCPU 1 gets contexts.
 */
#include "roads.h"

#define AT_DATA (ROADS_VA + 9 * PAGE_SIZE)
/* A descriptor that is, as an entry of a page table, not present (and harmless with L1TF). */
#define DATA 0x00cff30000000ffeUL

static uint64_t *table[5]; /* pinned, of that level, empty */
static uint64_t *gdt, *ldt;

static long set_gdt(const void *page, unsigned int entries)
{
    xen_pfn_t frames[14] = { virt_to_mfn(page) };

    return hc(set_gdt, frames, entries);
}

/* The LDT's pages are looked at by the hypervisor when it likes: what counts is the selector. */
static bool ldt_works(const void *page)
{
    if (mmuext(MMUEXT_SET_LDT, (uint64_t)page, 512))
        return false;
    TRY("mov %0, %%es", : : "r"(2UL << 3 | 7) : "memory");
    return trapped(-1);
}

static void ldt_off(void)
{
    TRY("mov %0, %%es", : : "r"(0UL));
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

static void tables(void)
{
    for (unsigned int l = 1; l <= 4; l++) {
        table[l] = page_alloc();
        page_set_ro(table[l]);
        CHECK_EQ(pin(l, table[l]), 0);
    }
    gdt = page_alloc();
    ldt = page_alloc();
    ldt[2] = DATA;
    page_set_ro(gdt);
    page_set_ro(ldt);
    CHECK_EQ(set_gdt(gdt, 512), 0);
    CHECK(ldt_works(ldt));
    user_init();
}

/* ---- writable mappings of tables ---- */

static void never_writable(const char *what, const void *page)
{
    roads_refuse(what, 1, PTE(page, PTE_FLAGS), PTE(page, PTE_RO));
}

static void writable_mappings(void)
{
    uint64_t *data = page_alloc();

    roads_accept("writable.plain-page", 1, PTE(data, PTE_FLAGS), PTE(data, PTE_RO));
    never_writable("writable.pinned-l1", table[1]);
    never_writable("writable.pinned-l2", table[2]);
    never_writable("writable.pinned-l3", table[3]);
    never_writable("writable.pinned-l4", table[4]);
    never_writable("writable.live-l1", live[1]);
    never_writable("writable.live-l2", live[2]);
    never_writable("writable.live-l3", live[3]);
    never_writable("writable.root", kernel_root);
    never_writable("writable.user-root", user_root);
    never_writable("writable.user-l1", pte_of(user_root, USER_STACK_TOP - PAGE_SIZE, 1));
    never_writable("writable.gdt", gdt);
    never_writable("writable.ldt", ldt);
    roads_accept("readable.root", 1, PTE(kernel_root, PTE_RO), PTE(data, PTE_RO));
    roads_accept("readable.gdt", 1, PTE(gdt, PTE_RO), PTE(data, PTE_RO));
    for (unsigned int l = 1; l <= 4; l++)
        CHECK(update_va(table[l], PTE(table[l], PTE_FLAGS), UVMF_INVLPG) < 0);
    witness_check();
}

/* How high the road builds, for an entry at this level: what is below is a table when it is tried. */
static unsigned int top_of(const struct road *r, unsigned int level)
{
    unsigned int top = !strcmp(r->name, "pin")       ? level
                       : !strcmp(r->name, "link-l1") ? 1
                       : !strcmp(r->name, "link-l2") ? 2
                       : !strcmp(r->name, "link-l3") ? 3
                                                     : 4;

    return r < &roads[nr_roads - NR_BUILDING] || !(r->levels >> level & 1) ? 0 : top;
}

/* A tree that maps one of its own tables writable: refused when it is to become a tree. */
static void own_tables_writable(void)
{
    static const char *const what[] = { "", "in-own-tree.l1", "in-own-tree.l2", "in-own-tree.l3",
                                        "in-own-tree.l4" };

    for (unsigned int l = 1; l <= 4; l++) {
        unsigned int open = 0, tried = 0, readable = 0;

        for (unsigned int i = 0; i < nr_roads; i++) {
            if (top_of(&roads[i], 1) < l)
                continue;
            tried++;
            open += road_go(&roads[i], 1, PTE(fresh[l], PTE_FLAGS), 0) == 0;
            readable += road_go(&roads[i], 1, PTE(fresh[l], PTE_RO), 0) == 0;
        }
        attack(what[l], open, 0);
        CHECK_EQ(readable, tried);
        CHECK(tried >= 4);
    }
    witness_check();
}

/* ---- tables out of frames with writable mappings ---- */

static bool vcpu1_takes(const void *root, const void *user, const void *gdt_page)
{
    static char stack[PAGE_SIZE] __attribute__((aligned(4096)));
    static struct vcpu_guest_context ctx;

    secondary_context(&ctx, test_main, stack);
    if (root)
        ctx.ctrlreg[3] = virt_to_maddr(root);
    if (user)
        ctx.ctrlreg[1] = virt_to_maddr(user);
    if (gdt_page) {
        ctx.gdt_frames[0] = virt_to_mfn(gdt_page);
        ctx.gdt_ents = 512;
    }
    return hc(vcpu_op, VCPUOP_initialise, 1, &ctx) == 0;
}

enum { NR_WANTED = 15 };

static void fill(uint64_t *page, bool as_root)
{
    memset(page, 0, PAGE_SIZE);
    for (unsigned int i = 0; as_root && i < 512; i++)
        if (i < 256 || i >= 272)
            page[i] = kernel_root[i];
    if (!as_root)
        page[2] = DATA;
}

static bool linked(uint64_t *in, const void *page)
{
    bool ok = pte_write(in, PTE(page, PTE_FLAGS)) == 0;

    CHECK_EQ(pte_write(in, 0), 0);
    return ok;
}

/* page, which is as wanted, is to become a table in this way. Undone. */
static bool becomes(unsigned int way, uint64_t *page)
{
    bool ok = false;

    switch (way) {
    case 0 ... 3:
        ok = pin(way + 1, page) == 0;
        if (ok)
            CHECK_EQ(unpin(page), 0);
        break;
    case 4 ... 6: ok = linked(&live[way - 2][ROADS_INDEX], page); break;
    case 7: ok = linked(&fresh[4][0], page); break; /* which is pinned by then */
    case 8:
        ok = mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(page), 0) == 0;
        CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(user_root), 0), 0);
        break;
    case 9:
        ok = set_gdt(page, 512) == 0;
        CHECK_EQ(set_gdt(gdt, 512), 0);
        break;
    case 10:
        ok = ldt_works(page);
        ldt_off();
        CHECK(ldt_works(ldt));
        break;
    case 11:
        ok = mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(page), 0) == 0;
        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(kernel_root), 0), 0);
        break;
    case 12: ok = vcpu1_takes(page, NULL, NULL); break;
    case 13: ok = vcpu1_takes(NULL, page, NULL); break;
    case 14: ok = vcpu1_takes(NULL, NULL, page); break;
    }
    return ok;
}

/* A vCPU keeps a context that it took, so there is no good one among those before the last. */
static unsigned int ways_open(uint64_t *page, unsigned int nr)
{
    unsigned int n = 0;

    for (unsigned int way = 0; way < nr; way++) {
        bool ro = !(*pte_of(kernel_root, (uint64_t)page, 1) & PTE_RW);

        if (ro) /* written elsewhere by the caller: as plain memory */
            CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(page), 0), 0);
        for (unsigned int i = 0; ro && i < 512; i++)
            if (way == 11 && (i < 256 || i >= 272) && kernel_root[i])
                CHECK_EQ(mmu_update(virt_to_maddr(page + i), kernel_root[i]), 0);
        if (ro && way != 11)
            CHECK_EQ(mmu_update(virt_to_maddr(page + 2), DATA), 0);
        if (!ro)
            fill(page, way == 11);
        n += becomes(way, page);
    }
    return n;
}

static void writable_frames_as_tables(void)
{
    uint64_t *page = page_alloc(), *l1 = page_alloc(), w = PTE(page, PTE_FLAGS);

    CHECK_EQ(pin(4, fresh[4]), 0);
    attack("table.mapped-where-we-see-it", ways_open(page, NR_WANTED), 0);
    page_set_ro(page);
    attack("table.only-readable", ways_open(page, 12), 12);
    CHECK_EQ(update_va((void *)AT_DATA, w, UVMF_INVLPG), 0);
    attack("table.mapped-elsewhere", ways_open(page, NR_WANTED), 0);
    CHECK_EQ(update_va((void *)(AT_DATA + PAGE_SIZE), w, UVMF_INVLPG), 0);
    CHECK_EQ(update_va((void *)AT_DATA, 0, UVMF_INVLPG), 0);
    attack("table.one-of-two-mappings-dropped", ways_open(page, NR_WANTED), 0);
    CHECK_EQ(update_va((void *)(AT_DATA + PAGE_SIZE), PTE(page, PTE_RO), UVMF_INVLPG), 0);
    attack("table.both-mappings-dropped", ways_open(page, 12), 12);
    CHECK_EQ(update_va((void *)(AT_DATA + PAGE_SIZE), 0, UVMF_INVLPG), 0);
    /* by a table that hangs nowhere: nothing as long as it is none, and then all */
    fresh_set(l1, 7, w);
    attack("table.mapped-in-no-table", ways_open(page, 12), 12);
    CHECK_EQ(pin(1, l1), 0);
    attack("table.mapped-in-a-pinned-l1", ways_open(page, NR_WANTED), 0);
    CHECK_EQ(unpin(l1), 0);
    attack("table.its-l1-is-gone", ways_open(page, 12), 12);
    CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(page), 0), 0);
    CHECK_EQ(pin(1, page), 0);
    CHECK(pin(1, l1) < 0);
    CHECK_EQ(unpin(page), 0);
    /* in the user root's tree */
    CHECK_EQ(pte_write(pte_of(user_root, USER_STACK_TOP - PAGE_SIZE, 1) + 9, w), 0);
    attack("table.mapped-for-user-mode", ways_open(page, NR_WANTED), 0);
    CHECK_EQ(pte_write(pte_of(user_root, USER_STACK_TOP - PAGE_SIZE, 1) + 9, 0), 0);
    attack("table.not-mapped-for-user-mode", ways_open(page, 12), 12);
    CHECK_EQ(unpin(fresh[4]), 0);
    witness_check();
}

/* ---- tables of a wrong level ---- */

static void wrong_levels(void)
{
    static const char *const what[5][6] = {
        [2] = { "l2.is-data", "l2.has-l1", "l2.has-l2", "l2.has-l3", "l2.has-l4", "l2.has-gdt" },
        [3] = { "l3.is-data", "l3.has-l1", "l3.has-l2", "l3.has-l3", "l3.has-l4", "l3.has-gdt" },
        [4] = { "l4.is-data", "l4.has-l1", "l4.has-l2", "l4.has-l3", "l4.has-l4", "l4.has-gdt" },
    };
    static const char *const live_what[5][5] = {
        [2] = { "", "", "l2.has-live-l2", "l2.has-live-l3", "l2.has-root" },
        [3] = { "", "l3.has-live-l1", "", "l3.has-live-l3", "l3.has-root" },
        [4] = { "", "l4.has-live-l1", "l4.has-live-l2", "", "l4.has-root" },
    };
    uint64_t *data = page_alloc();

    for (unsigned int l = 2; l <= 4; l++) {
        roads_refuse(what[l][0], l, PTE(data, PTE_FLAGS), 0);
        for (unsigned int t = 1; t <= 5; t++) {
            uint64_t val = PTE(t == 5 ? gdt : table[t], PTE_FLAGS);

            if (t == l - 1)
                roads_accept(what[l][t], l, val, 0);
            else
                roads_refuse(what[l][t], l, val, 0);
            if (t == l - 1 || t == 5)
                continue;
            /* a linear or a recursive one, also if it is not to be written to */
            roads_refuse(live_what[l][t], l, PTE(live[t], PTE_RO), 0);
        }
    }
    for (unsigned int l = 1; l <= 4; l++) {
        for (unsigned int as = 1; as <= 4; as++)
            CHECK(pin(as, table[l]) < 0);
        for (unsigned int as = 1; as <= 4; as++)
            if (as != l)
                CHECK(pin(as, live[l]) < 0);
        CHECK(set_gdt(table[l], 512) < 0);
        CHECK(l == 4 || mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(table[l]), 0) < 0);
        CHECK(l == 4 || mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(table[l]), 0) < 0);
        CHECK(pin(l, gdt) < 0);
        if (pin(l, ldt) == 0) { /* Xen takes a reference when a descriptor is used */
            CHECK(on_xen());
            CHECK_EQ(unpin(ldt), 0);
        }
    }
    witness_check();
}

/* A table in itself: on the roads that build it. With each right, and behind other entries. */
static void in_itself(void)
{
    uint64_t *l2 = page_alloc(), *l3 = page_alloc();
    unsigned int n = 0;

    for (unsigned int l = 2; l <= 4; l++)
        for (unsigned int up = l; up <= 4; up++)
            for (unsigned int i = 0; i < nr_roads; i++) {
                if (top_of(&roads[i], l) < up)
                    continue;
                n += road_go(&roads[i], l, PTE(fresh[up], PTE_FLAGS), 0) == 0;
                n += road_go(&roads[i], l, PTE(fresh[up], PTE_P), 0) == 0;
                n += road_go(&roads[i], l, PTE(fresh[up], PTE_P | PTE_US), 0) == 0;
            }
    attack("loop.built", n, 0);
    /* one table in many places is fine: in two trees, twice in one */
    page_set_ro(l2);
    page_set_ro(l3);
    fresh_set(l2, 1, PTE(table[1], PTE_FLAGS));
    fresh_set(l2, 2, PTE(table[1], PTE_RO));
    fresh_set(l3, 1, PTE(l2, PTE_FLAGS));
    fresh_set(l3, 511, PTE(l2, PTE_FLAGS));
    attack("shared.pin", pin(3, l3), 0);
    attack("shared.link", pte_write(&kernel_root[7], PTE(l3, PTE_FLAGS)), 0);
    attack("shared.l1", pte_write(&live[2][7], PTE(table[1], PTE_FLAGS)), 0);
    attack("shared.unpin-l1", unpin(table[1]), 0);
    never_writable("shared.writable", table[1]);
    attack("shared.as-l2", pin(2, table[1]), -EINVAL);
    CHECK_EQ(pte_write(&live[2][7], 0), 0);
    CHECK_EQ(unpin(l3), 0);
    never_writable("shared.writable-still", table[1]);
    CHECK_EQ(pte_write(&kernel_root[7], 0), 0);
    attack("shared.free-again", update_va(table[1], PTE(table[1], PTE_FLAGS), UVMF_INVLPG), 0);
    witness_check();
}

/* The roots of a vCPU that never ran are as good as those of one that does. */
static void context(void)
{
    uint64_t *root = page_alloc(), *user = page_alloc(), *descs = page_alloc();
    static uint64_t *const *const none[] = { &live[1], &live[2], &live[3], &gdt };
    unsigned int n = 0;

    fill(root, true);
    for (unsigned int i = 0; i < ARRAY_SIZE(none); i++) {
        n += vcpu1_takes(*none[i], NULL, NULL);
        n += vcpu1_takes(NULL, *none[i], NULL);
        n += i < 3 && vcpu1_takes(NULL, NULL, *none[i]);
    }
    attack("context.wrong-types", n, 0);
    page_set_ro(root);
    page_set_ro(user);
    page_set_ro(descs);
    attack("context.good", vcpu1_takes(root, user, descs), 1);
    never_writable("context.root-writable", root);
    never_writable("context.user-root-writable", user);
    never_writable("context.gdt-writable", descs);
    attack("context.root-as-l1", pin(1, root), -EINVAL);
    attack("context.unpin", unpin(root), -EINVAL);
    witness_check();
}

void test_main(void)
{
    attacks_begin();
    roads_init();
    tables();
    writable_mappings();
    own_tables_writable();
    writable_frames_as_tables();
    wrong_levels();
    in_itself();
    context();
}
