/*
 * vCPUs of a control domain that race on another domain's memory: one creates it, populates it, builds
 * and pins its tables and destroys it, time and again; the others map its frames, write to them, pin and
 * unpin them, and update its tables, whatever state it is in. What one has mapped for writing is no
 * table meanwhile; what was a dead domain's is gone with the last mapping. dom0_max_vcpus=2 or more.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include "guest.h"

#include <xen/domctl.h>

#define AT 0x20000000000UL
#define NR 16u /* frames */
#define PTE_RO (PTE_FLAGS & ~PTE_RW)
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

static uint64_t *l1; /* of AT; page i is vCPU i's, those from MAX_VCPUS on are the builder's */
static xen_pfn_t mfns[NR];
static uint32_t target; /* the domain's id, 0: none */
static uint64_t nr_cycles, nr_mapped, nr_pinned, nr_trees, nr_wrong;

static long domctl(struct xen_domctl *op, uint32_t cmd, domid_t id)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = id;
    return hc(domctl, op);
}

static long update_as(uint64_t ptr, uint64_t val, uint32_t foreign)
{
    struct mmu_update u = { .ptr = ptr, .val = val };

    return hc(mmu_update, &u, 1, 0, foreign);
}
static long map(unsigned int i, uint64_t mfn, uint64_t flags, domid_t id)
{
    return update_as(virt_to_maddr(&l1[i]), mfn << 12 | flags, id);
}
static void unmap(unsigned int i)
{
    CHECK_EQ(update_va((void *)(AT + i * PAGE_SIZE), 0, UVMF_INVLPG),
             0); /* only this vCPU uses it */
}
static long ext(unsigned int cmd, uint64_t mfn, domid_t id)
{
    struct mmuext_op e = { .cmd = cmd };

    e.arg1.mfn = mfn;
    return hc(mmuext_op, &e, 1, 0, id);
}

/* ---- the others ---- */

static void disturb(unsigned int me)
{
    domid_t id = (domid_t)LOAD(target);
    uint64_t mfn = LOAD(mfns[random() % NR]), *at = (void *)(AT + me * PAGE_SIZE);
    unsigned int level = random() % 4;

    if (id == 0)
        return;
    switch (random() % 4) {
    case 0:
        if (map(me, mfn, PTE_FLAGS, id))
            break;
        ADD(nr_mapped, 1);
        STORE(at[random() % 4], LOAD(mfns[random() % NR]) << 12 | PTE_RO);
        /* this very mapping is in the way */
        ADD(nr_wrong, ext(MMUEXT_PIN_L1_TABLE + level, mfn, id) == 0);
        STORE(at[random() % 4], 0);
        unmap(me);
        break;
    case 1:
        if (map(me, mfn, PTE_RO, id) == 0) {
            (void)LOAD(at[0]);
            unmap(me);
        }
        break;
    case 2:
        if (ext(MMUEXT_PIN_L1_TABLE + level, mfn, id) == 0) {
            ADD(nr_pinned, 1);
            ext(MMUEXT_UNPIN_TABLE, mfn, id);
        }
        break;
    default:
        update_as(mfn << 12 | random() % 4 * 8,
                  random() % 2 ? LOAD(mfns[random() % NR]) << 12 | PTE_FLAGS : 0,
                  (id + 1u) << 16 | id);
    }
}

/* ---- the builder ---- */

static domid_t create(void)
{
    struct xen_memory_reservation r = { .nr_extents = NR };
    static struct xen_domctl op;
    static xen_pfn_t list[NR];
    domid_t id;

    memset(&op, 0, sizeof(op));
    op.u.createdomain.max_vcpus = 1;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 1;
    op.u.createdomain.max_maptrack_frames = 1;
    op.u.createdomain.grant_opts = 1;
    CHECK_EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), 0);
    id = op.domain;
    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = 1;
    CHECK_EQ(domctl(&op, XEN_DOMCTL_max_vcpus, id), 0);
    op.u.max_mem.max_memkb = 4 * NR;
    CHECK_EQ(domctl(&op, XEN_DOMCTL_max_mem, id), 0);
    for (unsigned int i = 0; i < NR; i++)
        list[i] = i;
    r.domid = id;
    set_xen_guest_handle(r.extent_start, list);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR);
    for (unsigned int i = 0; i < NR; i++)
        STORE(mfns[i], list[i]);
    STORE(target, id);
    return id;
}

/* Frames 0 to 3 as L4 to L1, if the others let us. */
static void build(domid_t id)
{
    for (unsigned int n = 0; n < 10; n++) {
        for (unsigned int i = 0; i < 4; i++) {
            volatile uint64_t *t = (void *)(AT + (MAX_VCPUS + i) * PAGE_SIZE);

            if (map(MAX_VCPUS + i, mfns[i], PTE_FLAGS, id))
                continue;
            for (unsigned int k = 0; k < 4; k++)
                t[k] = 0;
            t[0] = mfns[i + 1] << 12 | (i == 3 ? PTE_RO : PTE_FLAGS);
            unmap(MAX_VCPUS + i);
        }
        if (ext(MMUEXT_PIN_L4_TABLE, mfns[0], id) == 0)
            nr_trees++;
        for (unsigned int k = random() % 2000; k; k--)
            barrier();
        if (random() % 2)
            ext(MMUEXT_UNPIN_TABLE, mfns[0], id);
    }
}

static void destroy(domid_t id)
{
    static struct xen_domctl op;
    uint64_t end = now() + PATIENCE_NS;
    bool gone = false;

    if (random() % 2)
        STORE(target, 0);
    memset(&op, 0, sizeof(op));
    CHECK_EQ(domctl(&op, XEN_DOMCTL_destroydomain, id), 0);
    STORE(target, 0);
    while (!gone && now() < end) { /* the others let go, by and by */
        memset(&op, 0, sizeof(op));
        gone = domctl(&op, XEN_DOMCTL_getdomaininfo, id) == -ESRCH || op.domain != id;
    }
    CHECK(gone);
}

static void race(unsigned int me)
{
    while (phase_until(&nr_cycles, 3) || phase_until(&nr_mapped, 1))
        if (me) {
            disturb(me);
        } else {
            domid_t id = create();

            build(id);
            destroy(id);
            ADD(nr_cycles, 1);
        }
}

void test_main(void)
{
    uint64_t *l2 = page_alloc(), *l3 = page_alloc();

    smp_init();
    CHECK(nr_vcpus > 1);
    l1 = page_alloc();
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    page_set_ro(l3);
    page_set_ro(l2);
    page_set_ro(l1);
    CHECK_EQ(pte_write(&kernel_root[AT >> 39], virt_to_maddr(l3) | PTE_FLAGS), 0);
    phase("another domain's memory", 4000, race);
    print("race_foreign: %lu domains, %lu of their frames mapped, %lu pinned, %lu trees\n",
          nr_cycles, nr_mapped, nr_pinned, nr_trees);
    CHECK(nr_mapped > 0 && nr_trees > 0);
    CHECK_EQ(nr_wrong, 0);
}
