/*
 * Another domain's memory, as a toolstack has to do with it: it is populated, written through mappings,
 * its tables are pinned and updated, it is asked what is what, and it ends while some of it is still
 * mapped. And the M2P, which DOMID_XEN shares.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/grant_table.h>

#define AT 0x20000000000UL /* where its frames are mapped: a top-level slot of its own */
#define NR 40u             /* frames: L4, L3, L2, L1, then data */
#define DATA 4u
#define PTE_RO (PTE_FLAGS & ~PTE_RW)

static struct xen_domctl op;
static uint64_t *l1; /* of AT */
static xen_pfn_t mfns[NR];
static domid_t id;

static long domctl(uint32_t cmd)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

static long update_as(uint64_t ptr, uint64_t val, uint32_t foreign)
{
    struct mmu_update u = { .ptr = ptr, .val = val };

    return hc(mmu_update, &u, 1, 0, foreign);
}
/* Page i at AT. */
static long map(unsigned int i, uint64_t mfn, uint64_t flags, uint32_t foreign)
{
    return update_as(virt_to_maddr(&l1[i]) | MMU_PT_UPDATE_NO_TRANSLATE, mfn << 12 | flags,
                     foreign);
}
static void unmap(unsigned int i)
{
    CHECK_EQ(update_va((void *)(AT + i * PAGE_SIZE), 0, UVMF_INVLPG | UVMF_ALL), 0);
}
static volatile uint64_t *page(unsigned int i) { return (void *)(AT + i * PAGE_SIZE); }

static long ext(unsigned int cmd, uint64_t mfn)
{
    struct mmuext_op e = { .cmd = cmd };

    e.arg1.mfn = mfn;
    return hc(mmuext_op, &e, 1, 0, id);
}

static void scratch_tree(void)
{
    uint64_t *l2 = page_alloc(), *l3 = page_alloc();

    l1 = page_alloc();
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    page_set_ro(l3);
    page_set_ro(l2);
    page_set_ro(l1);
    CHECK_EQ(pte_write(&kernel_root[AT >> 39], virt_to_maddr(l3) | PTE_FLAGS), 0);
}

static void create(void)
{
    struct xen_memory_reservation r = { .nr_extents = NR };

    op.u.createdomain.handle[0] = 1;
    op.u.createdomain.max_vcpus = 1;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 8;
    op.u.createdomain.max_maptrack_frames = 8;
    op.u.createdomain.grant_opts = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain), 0);
    id = op.domain;
    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus), 0);
    memset(&op, 0, sizeof(op));
    op.u.max_mem.max_memkb = 4 * (NR + 10);
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem), 0);
    for (unsigned int i = 0; i < NR; i++)
        mfns[i] = 1000 + i;
    r.domid = id;
    set_xen_guest_handle(r.extent_start, mfns);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR);
    for (unsigned int i = 0; i < NR; i++)
        CHECK_EQ(machine_to_phys_mapping[mfns[i]], 1000 + i);
}

static void build(void)
{
    CHECK(map(0, mfns[0], PTE_FLAGS, DOMID_SELF) < 0);
    CHECK(map(0, virt_to_mfn(l1), PTE_RO, id) < 0); /* one's own is not that domain's */
    CHECK_EQ(map(0, mfns[0], PTE_FLAGS, 77), -ESRCH);
    for (unsigned int i = 0; i < NR; i++)
        CHECK_EQ(map(i, mfns[i], PTE_FLAGS, id), 0);
    for (unsigned int i = 0; i < NR; i++)
        CHECK_EQ(page(i)[0] | page(i)[511], 0); /* scrubbed */
    for (unsigned int i = 0; i < 3; i++)
        page(i)[0] = mfns[i + 1] << 12 | PTE_FLAGS;
    for (unsigned int i = DATA; i < NR; i++) {
        page(3)[i] = mfns[i] << 12 | PTE_FLAGS;
        page(i)[0] = i;
    }
    page(3)[0] = mfns[0] << 12 | PTE_RO;
    CHECK(ext(MMUEXT_PIN_L4_TABLE, mfns[0]) < 0); /* they can be written to */
    for (unsigned int i = 0; i < NR; i++)
        unmap(i);
    CHECK_EQ(ext(MMUEXT_PIN_L4_TABLE, mfns[0]), 0);
    CHECK_EQ(ext(MMUEXT_PIN_L4_TABLE, mfns[0]), -EINVAL);
    CHECK_EQ(ext(MMUEXT_PIN_L1_TABLE, mfns[3]), 0);
    CHECK(mmuext(MMUEXT_UNPIN_TABLE, mfns[0], 0) < 0); /* not one's own */
    CHECK(ext(MMUEXT_PIN_L1_TABLE, virt_to_mfn(l1)) < 0);
    CHECK_EQ(ext(MMUEXT_NEW_BASEPTR, mfns[0]), -EPERM);
    CHECK_EQ(ext(MMUEXT_TLB_FLUSH_LOCAL, 0), -EPERM);
    for (unsigned int i = 0; i < 4; i++) {
        CHECK(map(i, mfns[i], PTE_FLAGS, id) < 0);
        CHECK_EQ(map(i, mfns[i], PTE_RO, id), 0);
        CHECK(map(i, mfns[i], PTE_FLAGS, DOMID_SELF) < 0);
        CHECK_EQ(PTE_MFN(page(i)[0]), mfns[i < 3 ? i + 1 : 0]);
        unmap(i);
    }
}

/* Entries of its tables, its M2P, its pages. */
static void update(void)
{
    const uint32_t theirs = (id + 1u) << 16 | id;
    uint64_t entry = mfns[3] << 12 | 511 * 8;

    CHECK_EQ(update_as(entry, mfns[DATA] << 12 | PTE_RO, theirs), 0);
    CHECK(update_as(entry, mfns[2] << 12 | PTE_FLAGS, theirs) < 0);
    CHECK(update_as(entry, mfns[2] << 12 | PTE_FLAGS, DOMID_SELF) < 0);
    CHECK_EQ(map(0, mfns[3], PTE_RO, id), 0);
    CHECK_EQ(page(0)[511] & ~(0x100UL | 0x7ffUL << 52), mfns[DATA] << 12 | PTE_RO);
    unmap(0);
    CHECK_EQ(update_as(mfns[DATA] << 12 | MMU_MACHPHYS_UPDATE, 4711, id), 0);
    CHECK_EQ(machine_to_phys_mapping[mfns[DATA]], 4711);
    CHECK(update_as(mfns[DATA] << 12 | MMU_MACHPHYS_UPDATE, 4712, DOMID_SELF) < 0);
    CHECK_EQ(hc(update_va_mapping_otherdomain, AT, mfns[DATA] << 12 | PTE_FLAGS, UVMF_INVLPG, id),
             0);
    CHECK_EQ(page(0)[0], DATA);
    CHECK_EQ(ext(MMUEXT_CLEAR_PAGE, mfns[DATA]), 0);
    CHECK_EQ(page(0)[0], 0);
    CHECK(ext(MMUEXT_CLEAR_PAGE, mfns[3]) < 0);
    unmap(0);
}

/*
 * What its CPUs still have in their TLBs does not let the mapper write to what is a table by now. On Xen
 * it does: there flushing is the mapper's affair, and Xen ends with a panic if it did not.
 */
static void stale_tlb(void)
{
    for (unsigned int rw = 0; rw < 2; rw++) {
        CHECK_EQ(map(0, mfns[DATA + 2], rw ? PTE_RO : PTE_FLAGS, id), 0);
        CHECK_EQ(map(0, mfns[DATA + 2], PTE_FLAGS, id), 0);
        if (rw)
            CHECK_EQ(mmuext(MMUEXT_INVLPG_LOCAL, AT, 0), 0);
        page(0)[0] = 0;
        CHECK_EQ(update_as(virt_to_maddr(&l1[0]), 0, DOMID_SELF), 0); /* flushes nothing */
        CHECK_EQ(update_as(mfns[3] << 12 | (DATA + 2) * 8, 0, (id + 1u) << 16 | id), 0);
        CHECK_EQ(ext(MMUEXT_PIN_L1_TABLE, mfns[DATA + 2]), 0);
        TRY("mov %1, (%0)", : : "r"(AT + 8), "r"(mfns[3] << 12 | PTE_FLAGS) : "memory");
        CHECK(trapped(TRAP_PF));
        CHECK_EQ(map(1, mfns[DATA + 2], PTE_RO, id), 0);
        CHECK_EQ(page(1)[1], 0);
        unmap(1);
        CHECK_EQ(mmuext(MMUEXT_INVLPG_LOCAL, AT, 0), 0);
        CHECK_EQ(ext(MMUEXT_UNPIN_TABLE, mfns[DATA + 2]), 0);
    }
}

static void ask(void)
{
    static xen_pfn_t list[8];
    static const uint32_t want[8] = { 0xc0000000, 0x30000000, 0x20000000, 0x90000000,
                                      0,          0xf0000000, 0xf0000000, 0 };
    struct xen_memory_reservation claim = { .nr_extents = NR, .domid = id };
    struct xen_foreign_memory_map set = { .domid = id, .map.nr_entries = 1 };
    uint64_t e820[3] = { 0, NR << 12, 1 };

    for (unsigned int i = 0; i < 8; i++)
        list[i] = i < 5 ? mfns[i] : i == 5 ? virt_to_mfn(l1) : i == 6 ? ~0UL >> 12 : mfns[NR - 1];
    memset(&op, 0, sizeof(op));
    op.u.getpageframeinfo3.num = 8;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, list);
    CHECK_EQ(domctl(XEN_DOMCTL_getpageframeinfo3), 0);
    for (unsigned int i = 0; i < 8; i++)
        CHECK_EQ(list[i], want[i]);
    op.u.getpageframeinfo3.num = 1025;
    CHECK_EQ(domctl(XEN_DOMCTL_getpageframeinfo3), -E2BIG);
    CHECK_EQ(hc(memory_op, XENMEM_current_reservation, &id), NR);
    CHECK_EQ(hc(memory_op, XENMEM_maximum_reservation, &id), NR + 10);
    CHECK_EQ(hc(memory_op, XENMEM_maximum_gpfn, &id), 0);
    CHECK_EQ(hc(memory_op, XENMEM_claim_pages, &claim), -EINVAL); /* it has them */
    claim.nr_extents = NR + 5;
    CHECK_EQ(hc(memory_op, XENMEM_claim_pages, &claim), 0);
    CHECK_EQ(hc(memory_op, XENMEM_claim_pages, &claim), -EINVAL); /* twice */
    claim.nr_extents = 0;
    CHECK_EQ(hc(memory_op, XENMEM_claim_pages, &claim), 0);
    set_xen_guest_handle(set.map.buffer, (void *)e820);
    CHECK_EQ(hc(memory_op, XENMEM_set_memory_map, &set), 0);
}

/* Its grant table, by number. */
static void grant_table(void)
{
    static xen_pfn_t frame[1];
    struct xen_mem_acquire_resource r = { .domid = id, .type = XENMEM_resource_grant_table };
    volatile struct grant_entry_v1 *e = (void *)AT;

    CHECK_EQ(hc(memory_op, XENMEM_acquire_resource, &r), 0);
    CHECK_EQ(r.nr_frames, 8);
    r.nr_frames = 1;
    set_xen_guest_handle(r.frame_list, frame);
    CHECK_EQ(hc(memory_op, XENMEM_acquire_resource, &r), 0);
    CHECK_EQ(map(0, frame[0], PTE_FLAGS, id), 0);
    e[8].frame = 5;
    CHECK_EQ(e[8].frame, 5);
    e[8].frame = 0;
    unmap(0);
    r.frame = 8;
    CHECK_EQ(hc(memory_op, XENMEM_acquire_resource, &r), -EINVAL);
}

static bool is_gone(void)
{
    memset(&op, 0, sizeof(op));
    return domctl(XEN_DOMCTL_getdomaininfo) == -ESRCH || op.domain != id;
}

/* What is mapped stays what it is, and its domain's. */
static void destroy(void)
{
    domid_t was = id;

    CHECK_EQ(map(0, mfns[DATA + 1], PTE_FLAGS, id), 0);
    CHECK_EQ(map(1, mfns[3], PTE_RO, id), 0);
    memset(&op, 0, sizeof(op));
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain), 0);
    CHECK(!is_gone());
    CHECK(op.u.getdomaininfo.flags & XEN_DOMINF_dying);
    id = was;
    CHECK(ext(MMUEXT_PIN_L1_TABLE, mfns[DATA + 1]) < 0);
    CHECK_EQ(page(0)[0], DATA + 1);
    page(0)[1] = 0x1234;
    CHECK_EQ(PTE_MFN(page(1)[0]), mfns[0]);
    unmap(1);
    CHECK(!is_gone());
    id = was;
    CHECK_EQ(page(0)[1], 0x1234);
    unmap(0);
    for (uint64_t end = now_ns(0) + 2000000000; now_ns(0) < end && !is_gone(); id = was)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(is_gone());
    id = was;
    CHECK(map(0, mfns[DATA + 1], PTE_RO, id) < 0);
}

static void m2p(void)
{
    static xen_pfn_t first[1];
    struct xen_machphys_mfn_list list = { .max_extents = 1 };

    set_xen_guest_handle(list.extent_start, first);
    CHECK_EQ(hc(memory_op, XENMEM_machphys_mfn_list, &list), 0);
    CHECK_EQ(list.nr_extents, 1);
    for (unsigned int i = 0; i < 512; i++) {
        unsigned int n = 0;

        CHECK(map(0, first[0] + i, PTE_FLAGS, DOMID_XEN) < 0);
        CHECK_EQ(map(0, first[0] + i, PTE_RO, DOMID_XEN), 0);
        /* no memory there, no M2P in the guest's space */
        for (unsigned int k = 0; k < 512 && i < 128; k++)
            n += page(0)[k] != machine_to_phys_mapping[i * 512 + k];
        CHECK_EQ(n, 0);
        unmap(0);
    }
    CHECK(map(0, first[0], PTE_RO, DOMID_SELF) < 0);
}

void test_main(void)
{
    scratch_tree();
    m2p();
    create();
    build();
    update();
    if (!on_xen())
        stale_tlb();
    ask();
    grant_table();
    destroy();
}
