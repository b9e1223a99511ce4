/*
 * Rules 1 and 2 in the bookkeeping of pins: hundreds of tables that share each other, pinned,
 * unpinned, used and given back in each order; trees refused for one entry at their far end; vCPUs
 * that pin trees which others take apart. The domain ends in the middle of that, with trees pinned
 * and half checked, vCPUs' roots, descriptor frames and frames given back in use: the hypervisor's
 * audit at the end has to come out even. dom0_max_vcpus=4 or more: the witness has the last.
 */
#include "roads.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

enum { NR_L1 = 96, NR_L2 = 32, NR_L3 = 32, NR_L4 = 96, NR = NR_L1 + NR_L2 + NR_L3 + NR_L4 };
static uint64_t tables[NR][512] __attribute__((aligned(4096)));
static const unsigned int first[6] = { 0, 0, NR_L1, NR_L1 + NR_L2, NR_L1 + NR_L2 + NR_L3, NR };
static uint64_t *data, *secret; /* secret: a table that nobody may write to */

static unsigned int level_of(unsigned int t)
{
    return t < first[2] ? 1 : t < first[3] ? 2 : t < first[4] ? 3 : 4;
}

static uint64_t *some(unsigned int level, unsigned int n)
{
    return tables[first[level] + n % (first[level + 1] - first[level])];
}

/* Each higher table refers to very many of the next level, in an order of its own. */
static uint64_t entry_of(unsigned int t, unsigned int i)
{
    unsigned int level = level_of(t);

    if (level == 4 && (i < 16 || (i >= 256 && i < 272)))
        return 0;
    if (level > 1)
        return PTE(some(level - 1, t * 7 + i * 5), PTE_FLAGS);
    return i % 8 == 0   ? PTE(data, PTE_FLAGS)
           : i % 8 == 1 ? PTE(tables[t], PTE_RO)
           : i % 8 == 2 ? PTE(some(4, i + t), PTE_RO)
           : i % 8 == 3 ? PTE(data, PTE_RO | (has_device() ? PTE_PCD : 0))
                        : 0;
}

static void build(void)
{
    for (unsigned int t = 0; t < NR; t++) {
        for (unsigned int i = 0; i < 512; i++)
            tables[t][i] = entry_of(t, i);
        page_set_ro(tables[t]);
    }
}

/* A list of operations on tables [from, to): how many were done. */
static unsigned int ops(unsigned int cmd, unsigned int from, unsigned int to, long *rc)
{
    static struct mmuext_op op[NR];
    unsigned int done = 0;

    for (unsigned int t = from; t < to; t++) {
        op[t].cmd = cmd == MMUEXT_UNPIN_TABLE ? cmd : MMUEXT_PIN_L1_TABLE + level_of(t) - 1;
        op[t].arg1.mfn = virt_to_mfn(tables[t]);
    }
    *rc = hc(mmuext_op, &op[from], to - from, &done, DOMID_SELF);
    return done;
}

static unsigned int pin_all(unsigned int from, unsigned int to)
{
    long rc;
    unsigned int n = ops(MMUEXT_PIN_L1_TABLE, from, to, &rc);

    CHECK((n == to - from) == (rc == 0));
    return n;
}

static unsigned int unpin_all(unsigned int from, unsigned int to)
{
    long rc;
    unsigned int n = ops(MMUEXT_UNPIN_TABLE, from, to, &rc);

    CHECK((n == to - from) == (rc == 0));
    return n;
}

/* How many can be mapped writable; those are read-only again afterwards. */
static unsigned int writable(void)
{
    unsigned int n = 0;

    for (unsigned int t = 0; t < NR; t++)
        if (update_va(tables[t], PTE(tables[t], PTE_FLAGS), UVMF_INVLPG) == 0) {
            n++;
            page_set_ro(tables[t]);
        }
    return n;
}

/* ---- pinned and unpinned ---- */

static void orders(void)
{
    unsigned int again = 0, other = 0, bad = 0;

    attack("none.writable", writable(), NR);
    attack("pin.roots", pin_all(first[4], NR), NR_L4); /* checks all the others */
    attack("pin.roots-writable", writable(), 0);
    attack("pin.rest", pin_all(0, first[4]), first[4]);
    for (unsigned int t = 0; t < NR; t++)
        for (unsigned int l = 1; l <= 4; l++)
            *(l == level_of(t) ? &again : &other) += pin(l, tables[t]) == 0;
    attack("pin.twice", again, 0);
    attack("pin.as-other", other, 0);
    attack("unpin.roots", unpin_all(first[4], NR), NR_L4);
    attack("unpin.roots-twice", unpin_all(first[4], NR), 0);
    attack("unpin.writable", writable(), NR_L4);
    attack("unpin.rest", unpin_all(0, first[4]), first[4]);
    attack("unpin.all-writable", writable(), NR);
    for (unsigned int t = 0; t < NR; t++)
        bad += unpin(tables[t]) != -EINVAL;
    attack("unpin.not-pinned", bad, 0);
    /* from the top: nothing is a table before the roots are, nor after */
    CHECK_EQ(pin_all(first[4], first[4] + 1), 1);
    attack("one-root.writable", writable(), NR_L4 - 1);
    attack("one-root.unpin", unpin_all(first[4], first[4] + 1), 1);
    attack("one-root.gone", writable(), NR);
    witness_check();
}

/* One entry is bad, at the end of what one table of each level refers to. */
static void bad_at_the_end(void)
{
    static const char *const what[] = { "", "bad-l1.roots", "bad-l2.roots", "bad-l3.roots",
                                        "bad-l4.roots" };
    static const char *const left[] = { "", "bad-l1.left", "bad-l2.left", "bad-l3.left",
                                        "bad-l4.left" };

    for (unsigned int l = 1; l <= 4; l++) {
        uint64_t *t = some(l, 1000 + l), was = t[511];
        unsigned int n = 0;

        fresh_set(t, 511, l == 1 ? PTE(secret, PTE_FLAGS) : PTE(t, PTE_RO));
        for (unsigned int i = 2; i < NR_L4; i += 6) /* the bad L4 is one of them */
            n += pin(4, some(4, i)) == 0;
        attack(what[l], n, l == 4 ? NR_L4 / 6 - 1 : 0);
        for (unsigned int i = 2; i < NR_L4; i += 6)
            (void)unpin(some(4, i));
        attack(left[l], writable(), NR);
        fresh_set(t, 511, was);
    }
    CHECK_EQ(pin_all(first[4], NR), NR_L4);
    CHECK_EQ(unpin_all(first[4], NR), NR_L4);
    witness_check();
}

/* ---- pins that are not the only use ---- */

static long set_gdt(const void *page, unsigned int entries)
{
    xen_pfn_t frames[14] = { page ? virt_to_mfn(page) : 0 };

    return hc(set_gdt, frames, entries);
}

static bool stays(const void *table)
{
    return update_va(table, PTE(table, PTE_FLAGS), UVMF_INVLPG) < 0;
}

static void in_use(void)
{
    uint64_t *l4 = some(4, 3), *l3 = some(3, 3), *l1 = some(1, 3), *page = page_alloc();
    uint64_t *descs = page_alloc();

    *page = 16; /* as an entry: not present */
    CHECK_EQ(pin(4, l4), 0);
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(l4), 0), 0);
    attack("use.unpin-user-root", unpin(l4), 0);
    attack("use.unpin-again", unpin(l4), -EINVAL);
    attack("use.user-root-stays", stays(l4), 1);
    attack("use.pin-user-root", pin(4, l4), 0);
    attack("use.pin-as-l3", pin(3, l4), -EINVAL);
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    attack("use.pinned-stays", stays(l4), 1);
    CHECK_EQ(unpin(l4), 0);
    attack("use.gone", stays(l4), 0);
    page_set_ro(l4);
    /* an L3 in the live root, pinned or not */
    CHECK_EQ(pte_write(&kernel_root[9], PTE(l3, PTE_FLAGS)), 0);
    attack("use.unpin-linked", unpin(l3), -EINVAL);
    attack("use.pin-linked", pin(3, l3), 0);
    CHECK_EQ(pte_write(&kernel_root[9], 0), 0);
    attack("use.unlinked-stays", stays(l3), 1);
    CHECK_EQ(unpin(l3), 0);
    attack("use.l3-gone", stays(l3), 0);
    page_set_ro(l3);
    /* a page that is mapped here outlives the tree that maps it, too */
    CHECK_EQ(pin(1, l1), 0);
    CHECK_EQ(pte_write(&l1[6], PTE(page, PTE_FLAGS)), 0);
    CHECK_EQ(unpin(l1), 0);
    attack("use.page-free", update_va(page, PTE(page, PTE_RO), UVMF_INVLPG), 0);
    CHECK_EQ(*page, 16);
    attack("use.page-as-table", pin(4, page), 0);
    CHECK_EQ(unpin(page), 0);
    fresh_set(l1, 6, 0);
    /* descriptors are no tables to pin */
    page_set_ro(descs);
    CHECK_EQ(set_gdt(descs, 512), 0);
    for (unsigned int l = 1; l <= 4; l++)
        CHECK_EQ(pin(l, descs), -EINVAL);
    attack("use.unpin-gdt", unpin(descs), -EINVAL);
    attack("use.gdt-stays", stays(descs), 1);
    CHECK_EQ(set_gdt(NULL, 0), 0);
    attack("use.gdt-gone", stays(descs), 0);
    CHECK_EQ(writable(), NR);
    witness_check();
}

/* ---- trees that are pinned while others take them apart ---- */

static uint64_t nr_pinned, nr_refused, nr_opened, nr_closed, nr_harm;

static bool kernel_can_write(const void *table)
{
    return *(volatile uint64_t *)pte_of(kernel_root, (uint64_t)table, 1) & PTE_RW;
}

/* This vCPU has root pinned: nothing below it is writable, nor does it give a right to write. */
static void check_tree(const uint64_t *root)
{
    for (unsigned int k = 0; k < 64; k++) {
        const uint64_t *t = root;

        for (unsigned int l = 4; l >= 1; l--) {
            uint64_t e = *(volatile const uint64_t *)&t[16 + random() % 240];

            if (kernel_can_write(t))
                ADD(nr_harm, 1);
            if (!(e & PTE_P) || l == 1) {
                if (l == 1 && (e & PTE_RW) && PTE_MFN(e) == virt_to_mfn(secret))
                    ADD(nr_harm, 1);
                break;
            }
            t = mfn_to_virt(PTE_MFN(e));
        }
    }
}

/* Open a table if it is none now, make it bad for a moment, and close it. */
static void take_apart(unsigned int me)
{
    unsigned int t = (random() % NR) / 8 * 8 + me % 8, i = 16 + random() % 240; /* one vCPU's */
    uint64_t was;

    if (update_va(tables[t], PTE(tables[t], PTE_FLAGS), UVMF_NONE)) {
        ADD(nr_closed, 1);
        return;
    }
    was = tables[t][i];
    *(volatile uint64_t *)&tables[t][i] = PTE(secret, PTE_FLAGS);
    if (random() & 1)
        spin_ns(20000);
    *(volatile uint64_t *)&tables[t][i] = was;
    CHECK_EQ(update_va(tables[t], PTE(tables[t], PTE_RO), UVMF_NONE), 0);
    ADD(nr_opened, 1);
}

static void pinner(unsigned int me)
{
    unsigned int level = 1 + random() % 4;
    uint64_t *t = some(level, random() / 8 * 8 + me % 8);
    long rc = pin(level, t);

    if (rc) {
        ADD(nr_refused, 1);
        return;
    }
    ADD(nr_pinned, 1);
    if (level == 4)
        check_tree(t);
    if (random() % 8 == 0)
        CHECK(pin(level, t) < 0);
    CHECK_EQ(unpin(t), 0);
}

static void apart(unsigned int me)
{
    while (phase_until(&nr_opened, 20) || phase_until(&nr_pinned, 20))
        if (random() & 1)
            take_apart(me);
        else
            pinner(me);
}

static void apart_test(void)
{
    phase("trees taken apart", 2500, apart);
    print("%s: %lu pins, %lu refused, %lu opened, %lu closed\n", guest_name, nr_pinned, nr_refused,
          nr_opened, nr_closed);
    attack("apart.harm", (long)nr_harm, 0);
    CHECK(nr_opened && nr_pinned);
    attack("apart.writable", writable(), NR);
    attack("apart.pin", pin_all(0, NR), NR);
    attack("apart.unpin", unpin_all(0, NR), NR);
    witness_check();
}

/* ---- the end ---- */

void report_checks(void);

static long load(unsigned int cmd, const void *root) { return mmuext(cmd, virt_to_mfn(root), 0); }

static void give_back(const void *page)
{
    xen_pfn_t mfn = virt_to_mfn(page);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, &mfn);
    CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &r), 1);
}

static uint64_t *end_descs[MAX_VCPUS];

/* vCPU 0 ends the domain while the others do this. */
static void at_the_end(unsigned int me)
{
    uint64_t *root = some(4, 80 + me), *descs = end_descs[me];

    if (me == 0) {
        spin_ns(50000000);
        report_checks();
    }
    page_set_ro(descs);
    CHECK_EQ(set_gdt(descs, 512), 0);
    give_back(descs);
    CHECK_EQ(load(MMUEXT_NEW_USER_BASEPTR, root), 0);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, (uint64_t)descs, 512), 0);
    for (;;) { /* each of these takes long, and is interrupted somewhere */
        unsigned int n = 8 + random() % 70;

        (void)pin(4, some(4, n));
        if (random() & 1)
            (void)unpin(some(4, n));
        if (random() % 16 == 0)
            (void)load(MMUEXT_NEW_USER_BASEPTR, some(4, n));
    }
}

static void end_test(void)
{
    uint64_t *root = page_alloc();

    /* a third stays pinned; of all, some are given back while they are in use */
    for (unsigned int t = 0; t < NR; t += 3)
        CHECK_EQ(pin(level_of(t), tables[t]), 0);
    for (unsigned int t = 3; t < NR; t += 9)
        give_back(tables[t]);
    for (unsigned int v = 0; v < MAX_VCPUS; v++)
        end_descs[v] = page_alloc();
    for (unsigned int i = 0; i < 512; i++)
        root[i] = i < 256 || i >= 272 ? kernel_root[i] : 0;
    page_set_ro(root);
    CHECK_EQ(load(MMUEXT_NEW_BASEPTR, root), 0);
    give_back(root);
    phase("the end", 1000, at_the_end);
}

void test_main(void)
{
    attacks_begin();
    smp_init();
    data = page_alloc();
    secret = page_alloc();
    page_set_ro(secret);
    CHECK_EQ(pin(1, secret), 0);
    build();
    orders();
    if (on_xen()) { /* 109 of the tables there stay tables after trees with a bad end were refused */
        in_use();
        return;
    }
    bad_at_the_end();
    in_use();
    apart_test();
    end_test();
}
