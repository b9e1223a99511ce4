/*
 * paging/ between domains: a control domain maps, updates and pins what is another's, and each of the
 * two may die at any time. Every reference is recomputed after each step; a model of the CPUs' TLBs
 * watches that nobody can write to a table through what another domain had mapped.
 */
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "alloc.h"
#include "fake.h"
#include "calling.h"
#include "hypercall/domctl.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/internal.h" /* paging_unpin() alone */

#define NR_FRAMES 1024u
#define P PTE_P
#define W (PTE_P | PTE_RW)
#define VA 0x40000000000ULL /* L4 slot 8 */
#define GUEST 5
#define THIRD 6
#define CONTROL_CPU 0 /* each domain keeps to its CPU */
#define GUEST_CPU 1

static struct domain *control, *guest, *third;
static struct mmu_update req[64];
static struct mmuext_op op[64];
static uint32_t done;
static uint64_t all_free;
static uint64_t l1, l2, l3, l4; /* of the control domain's space, for VA */

/* ---- TLBs ---- */

static bool tlb_writable[2][NR_FRAMES];

void arch_flush_tlb_mask(uint64_t mask)
{
    uint64_t t = ++arch_tlb_clock;

    fake_tlb_flushes++;
    for (unsigned int i = 0; i < 2; i++)
        if (mask >> i & 1) {
            memset(tlb_writable[i], 0, sizeof(tlb_writable[i]));
            arch_pcpu(i)->tlb_flush_time = t;
        }
}
void arch_flush_tlb_local(void) { arch_flush_tlb_mask(1ULL << fake_pcpu->id); }
void arch_vcpu_roots_changed(struct vcpu *x)
{
    if (x == current)
        arch_flush_tlb_local();
}

/* ---- the M2P, where the hypervisor's slots show it: two pages of it, then a gap ---- */

static mfn_t m2p_l3, m2p_page[2];

void arch_l4_init_hv_slots(pte_t *t) { t[256] = pte_make(mfn_x(m2p_l3), P | PTE_US); }

static pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }

static void show_m2p(void)
{
    mfn_t low = heap_alloc(0, 0), lowest = heap_alloc(0, 0);

    m2p_l3 = heap_alloc(0, 0);
    memset(table(mfn_x(m2p_l3)), 0, PAGE_SIZE);
    memset(table(mfn_x(low)), 0, PAGE_SIZE);
    memset(table(mfn_x(lowest)), 0, PAGE_SIZE);
    table(mfn_x(m2p_l3))[0] = pte_make(mfn_x(low), P);
    table(mfn_x(low))[0] = pte_make(mfn_x(lowest), P);
    for (unsigned int i = 0; i < 2; i++) {
        m2p_page[i] = heap_alloc(0, 0);
        table(mfn_x(lowest))[i] = pte_make(mfn_x(m2p_page[i]), P);
    }
    frame_table[mfn_x(m2p_page[1])].count_info = PGC_NOBODYS; /* as boot leaves it */
}

/* ---- fixture ---- */

static void play(struct domain *d)
{
    fake_cpu(d == control ? CONTROL_CPU : GUEST_CPU);
    fake_current(d->vcpu[0]);
}

static mfn_t page_of(struct domain *d)
{
    mfn_t m = _mfn(0);

    CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(d, 0, 0, &m), 0);
    return m;
}
static uint64_t page(struct domain *d) { return mfn_x(page_of(d)); }
static uint64_t type_of(uint64_t mfn) { return frame_table[mfn].type_info; }
static unsigned int refs(uint64_t mfn) { return PGC_COUNT(frame_table[mfn].count_info); }
static unsigned int writers(uint64_t mfn)
{
    uint64_t x = type_of(mfn);

    return PGT_TYPE(x) == PGT_WRITABLE && (x & PGT_VALID) ? PGT_COUNT(x) : 0;
}
/* Not as an integer: assertions take an int. */
static bool has_flag(uint64_t mfn, uint64_t flags) { return type_of(mfn) & flags; }
static bool is_table(uint64_t mfn, enum page_type t)
{
    return PGT_TYPE(type_of(mfn)) == t && (type_of(mfn) & PGT_VALID);
}

static long finish(long rc)
{
    for (unsigned int n = 0; rc == -ERESTART; n++) {
        const uint64_t *a = fake_continued_args;

        CU_ASSERT_TRUE_FATAL(n < 20000);
        rc = fake_calling == __HYPERVISOR_mmu_update ? hc_mmu_update(a[0], a[1], a[2], a[3], 0)
                                                     : hc_mmuext_op(a[0], a[1], a[2], a[3], 0);
    }
    return rc;
}
static long ext(unsigned int cmd, uint64_t arg, uint32_t foreign)
{
    op[0] = (struct mmuext_op){ .cmd = cmd, .arg1.mfn = arg };
    return finish(hc_mmuext_op((uintptr_t)op, 1, (uintptr_t)&done, foreign, 0));
}
static long update(uint64_t maddr, uint64_t val, uint32_t foreign)
{
    req[0] = (struct mmu_update){ .ptr = maddr, .val = val };
    return finish(hc_mmu_update((uintptr_t)req, 1, (uintptr_t)&done, foreign, 0));
}
/* Entry i of the control domain's L1. */
static long map(unsigned int i, pte_t e, uint32_t foreign)
{
    return update((l1 << PAGE_SHIFT) + i * 8, e, foreign);
}

static uint64_t tree(struct domain *d, uint64_t *t3, uint64_t *t2, uint64_t *t1)
{
    uint64_t top = page(d);

    *t3 = page(d), *t2 = page(d), *t1 = page(d);
    table(top)[pt_index(VA, 4)] = pte_make(*t3, W);
    table(*t3)[pt_index(VA, 3)] = pte_make(*t2, W);
    table(*t2)[pt_index(VA, 2)] = pte_make(*t1, W);
    return top;
}

static struct domain *new_domain(domid_t id, uint32_t roles)
{
    struct domain *d = fake_domain(id, 1);

    d->roles = roles;
    d->next = domain_list;
    domain_list = d;
    return d;
}

static void setup(void)
{
    fake_reset(2);
    domain_list = NULL;
    control = new_domain(1, ROLES_ALL);
    guest = new_domain(GUEST, 0);
    third = new_domain(THIRD, 0);
    for (unsigned int i = 0; i < 2; i++)
        arch_pcpu(i)->tlb_flush_time = arch_tlb_clock;
    memset(tlb_writable, 0, sizeof(tlb_writable));
    control->dirty_cpus = 1u << CONTROL_CPU;
    guest->dirty_cpus = 1u << GUEST_CPU;
    fake_guest_map(req, sizeof(req), FAKE_READ_WRITE);
    fake_guest_map(op, sizeof(op), FAKE_READ_WRITE);
    fake_guest_map(&done, sizeof(done), FAKE_READ_WRITE);
    all_free = heap_free_pages();
    play(guest);
    play(control);
    l4 = tree(control, &l3, &l2, &l1);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, l4, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, l4, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, l1, DOMID_SELF), 0);
}

/* True if nothing of it is left. */
static bool die(struct domain *d)
{
    unsigned int n = 0;

    play(d == control ? guest : control);
    d->is_dying = true;
    while (paging_relinquish(d) && n++ < 100000)
        ;
    while (domain_relinquish_pages(d) && n++ < 100000)
        ;
    CU_ASSERT_EQUAL(d->dead_tables, 0);
    CU_ASSERT_EQUAL(d->nr_claimed, 0);
    return d->nr_pages == 0;
}

static void teardown(void)
{
    CU_ASSERT_EQUAL(paging_audit(), 0);
    die(guest);
    die(third);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_TRUE(die(control));
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(guest->nr_pages + third->nr_pages, 0);
    CU_ASSERT_EQUAL(control->refs + guest->refs + third->refs, 3);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    domain_list = NULL;
    fake_domain_free(control);
    fake_domain_free(guest);
    fake_domain_free(third);
}

/* ---- mapping ---- */

static void test_a_mapping_holds_references_on_its_owners_frame(void)
{
    static const unsigned int how[] = { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
                                        MMU_PT_UPDATE_NO_TRANSLATE };
    uint64_t m;

    setup();
    m = page(guest);
    for (unsigned int i = 0; i < ARRAY_SIZE(how); i++) {
        CU_ASSERT_EQUAL(update((l1 << PAGE_SHIFT) | how[i], pte_make(m, W), GUEST), 0);
        CU_ASSERT_EQUAL(table(l1)[0], pte_make(m, W | PTE_US));
        CU_ASSERT_EQUAL(refs(m), 2);
        CU_ASSERT_EQUAL(writers(m), 1);
        CU_ASSERT_EQUAL(map(1, pte_make(m, P), GUEST), 0);
        CU_ASSERT_EQUAL(refs(m), 3);
        CU_ASSERT_EQUAL(writers(m), 1);
        CU_ASSERT_EQUAL(paging_audit(), 0);
        CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0); /* as Linux unmaps it */
        CU_ASSERT_EQUAL(map(1, 0, GUEST), 0);
        CU_ASSERT_EQUAL(refs(m), 1);
        CU_ASSERT_EQUAL(writers(m), 0);
    }
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(m, W), 0, GUEST, 0), 0);
    CU_ASSERT_EQUAL(writers(m), 1);
    CU_ASSERT_EQUAL(hc_update_va_mapping(VA, 0, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(refs(m), 1);
    teardown();
}

static void test_a_batch_stops_at_the_first_frame_that_cannot_be_had(void)
{
    setup();
    for (unsigned int i = 0; i < 40; i++)
        req[i] = (struct mmu_update){ .ptr = (l1 << PAGE_SHIFT) + i * 8,
                                      .val = pte_make(page(i == 30 ? third : guest), W) };
    fake_preempt_every = 3;
    CU_ASSERT_EQUAL(finish(hc_mmu_update((uintptr_t)req, 40, (uintptr_t)&done, GUEST, 0)), -EBUSY);
    CU_ASSERT_EQUAL(done, 30);
    CU_ASSERT_EQUAL(table(l1)[30], 0);
    CU_ASSERT_EQUAL(finish(hc_mmu_update((uintptr_t)&req[31], 9, (uintptr_t)&done, GUEST, 0)), 0);
    CU_ASSERT_EQUAL(done, 9);
    teardown();
}

static void test_only_the_named_domains_ram_is_mapped(void)
{
    uint64_t hv;

    setup();
    hv = mfn_x(heap_alloc(0, 0));
    control->iomem.nr = 1;
    control->iomem.of[0] = (struct range){ 0x100000, 0x100000 };
    for (unsigned int rw = 0; rw < 2; rw++) {
        pte_t flags = rw ? W : P;

        CU_ASSERT_EQUAL(map(0, pte_make(page(third), flags), GUEST), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(page(control), flags), GUEST), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(hv, flags), GUEST), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), DOMID_SELF), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), DOMID_IO), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), THIRD), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), DOMID_XEN), -EINVAL);
        CU_ASSERT_EQUAL(map(0, pte_make(0x100000, flags), GUEST), -EPERM); /* not its device */
        CU_ASSERT_EQUAL(map(0, pte_make(0x100000, flags), DOMID_IO), 0);
        CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags) | 1ULL << 52, GUEST), -EINVAL);
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), 99), -ESRCH);
        CU_ASSERT_EQUAL(map(0, pte_make(page(control), flags), 1), -ESRCH); /* one's own id */
        CU_ASSERT_EQUAL(map(0, pte_make(page(guest), flags), DOMID_INVALID), -ESRCH);
    }
    CU_ASSERT_EQUAL(update((l2 << PAGE_SHIFT) + 8, pte_make(page(guest), P), GUEST), -EINVAL);
    CU_ASSERT_EQUAL(table(l1)[0], 0);
    heap_free(_mfn(hv), 0);
    teardown();
}

static void test_who_has_no_right_maps_and_pins_nothing(void)
{
    uint64_t t4, t3, t2, t1, m;

    setup();
    m = page(third);
    t4 = tree(guest, &t3, &t2, &t1);
    play(guest);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, DOMID_SELF), 0);
    for (unsigned int i = 0; i < 2; i++) {
        domid_t id = i ? THIRD : 1;

        CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(m, P), id), -EPERM);
        CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, 0, (id + 1u) << 16 | id), -EPERM);
        CU_ASSERT_EQUAL(update(m << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 1, id), -EPERM);
        CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(m, P), 0, id, 0), -EPERM);
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m, id), -EPERM);
        CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, m, id), -EPERM);
    }
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(M2P_GFN, P), DOMID_XEN), -EPERM);
    /* a second control domain, without the first one's other roles */
    third->roles = ROLE_CONTROL;
    play(third);
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, l1, 1), -EPERM);
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, page(guest), GUEST), 0);
    teardown();
}

static void test_a_frames_type_holds_across_domains(void)
{
    uint64_t t, desc, frames[1];

    setup();
    t = page(guest), desc = page(guest);
    frames[0] = desc;
    CU_ASSERT_EQUAL(paging_pin(guest, _mfn(t), PGT_L1), 0);
    CU_ASSERT_EQUAL(vcpu_set_gdt(guest->vcpu[0], frames, 1), 0);
    for (unsigned int i = 0; i < 2; i++) {
        uint64_t m = i ? t : desc;

        CU_ASSERT_EQUAL(map(0, pte_make(m, W), GUEST), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(m, P), GUEST), 0); /* one may look */
        CU_ASSERT_EQUAL(map(0, pte_make(m, W), GUEST), -EBUSY);
        CU_ASSERT_EQUAL(map(0, pte_make(m, W), DOMID_SELF), -EBUSY);
        CU_ASSERT_EQUAL(map(0, 0, GUEST), 0);
    }
    CU_ASSERT_EQUAL(paging_unpin(guest, _mfn(t)), 0);
    CU_ASSERT_EQUAL(map(0, pte_make(t, W), GUEST), -EBUSY); /* its entries are not let go yet */
    play(guest);
    CU_ASSERT_EQUAL(ext(MMUEXT_TLB_FLUSH_LOCAL, 0, DOMID_SELF), 0);
    play(control);
    CU_ASSERT_EQUAL(map(0, pte_make(t, P), GUEST), 0);
    CU_ASSERT_EQUAL(map(0, pte_make(t, W), DOMID_SELF), -EBUSY); /* no way round the owner */
    CU_ASSERT_EQUAL(map(0, pte_make(t, W), GUEST), 0);
    CU_ASSERT_EQUAL(paging_pin(guest, _mfn(t), PGT_L1), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t, GUEST), -EINVAL);
    CU_ASSERT_EQUAL(map(0, pte_make(t, P), DOMID_SELF), 0); /* rights may be given up by oneself */
    CU_ASSERT_EQUAL(writers(t), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t, GUEST), 0);
    teardown();
}

static void test_a_foreign_frame_is_no_part_of_the_mappers_tables(void)
{
    uint64_t m, t;

    setup();
    m = page(guest), t = page(control);
    table(t)[0] = pte_make(m, P);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t, DOMID_SELF), -EBUSY); /* contents name own frames */
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m, DOMID_SELF), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, m, DOMID_SELF), -EINVAL);
    CU_ASSERT_EQUAL(map(0, pte_make(m, P), GUEST), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l4, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, page(control), DOMID_SELF), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l1, DOMID_SELF),
                    0); /* with its table ends the mapping */
    CU_ASSERT_EQUAL(refs(m), 1);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, l1, DOMID_SELF), -EBUSY);
    teardown();
}

static void test_a_cache_attribute_belongs_to_the_owners_frame(void)
{
    uint64_t m;

    setup();
    m = page(guest);
    control->iomem.nr = 1; /* has devices */
    CU_ASSERT_EQUAL(map(0, pte_make(m, W) | PTE_PCD, GUEST), 0);
    CU_ASSERT_EQUAL(guest->nr_mapped_uncached, 1);
    CU_ASSERT_EQUAL(control->nr_mapped_uncached, 0);
    CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
    CU_ASSERT_TRUE(domain_steal_page(guest, _mfn(m)));
    CU_ASSERT_EQUAL(guest->nr_mapped_uncached, 0);
    heap_free(_mfn(m), 0);
    teardown();
}

/* ---- tables ---- */

static void test_the_control_domain_pins_what_it_built(void)
{
    uint64_t t4, t3, t2, t1, m;

    setup();
    t4 = tree(guest, &t3, &t2, &t1);
    m = page(guest);
    for (unsigned int i = 0; i < 4; i++) { /* written through mappings */
        uint64_t t[] = { t1, t2, t3, t4 };

        CU_ASSERT_EQUAL(map(i, pte_make(t[i], W), GUEST), 0);
    }
    table(t1)[pt_index(VA, 1)] = pte_make(m, W);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), -EINVAL);
    for (unsigned int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(map(i, 0, DOMID_SELF), 0);
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), 0);
    fake_preempt_every = 0;
    CU_ASSERT_TRUE(is_table(t4, PGT_L4) && is_table(t3, PGT_L3) && is_table(t1, PGT_L1));
    CU_ASSERT_EQUAL(writers(m), 1);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, THIRD), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t4, THIRD), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t4, DOMID_SELF), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t4, GUEST), 0);
    CU_ASSERT_FALSE(has_flag(t1, PGT_IN_USE)); /* all let go when it returns */
    CU_ASSERT_EQUAL(map(0, pte_make(t1, W), GUEST), 0);
    /* each level for itself, as a restored guest's are */
    CU_ASSERT_EQUAL(map(0, 0, GUEST), 0);
    op[0] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = t1 };
    op[1] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L3_TABLE, .arg1.mfn = t3 };
    op[2] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = t4 };
    CU_ASSERT_EQUAL(finish(hc_mmuext_op((uintptr_t)op, 3, (uintptr_t)&done, GUEST, 0)), 0);
    CU_ASSERT_EQUAL(done, 3);
    CU_ASSERT_TRUE(has_flag(t1, PGT_PINNED));
    teardown();
}

static void test_what_is_a_vcpus_own_is_refused_for_another_domain(void)
{
    static const unsigned int own[] = { MMUEXT_NEW_BASEPTR,     MMUEXT_NEW_USER_BASEPTR,
                                        MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL,
                                        MMUEXT_TLB_FLUSH_MULTI, MMUEXT_INVLPG_MULTI,
                                        MMUEXT_TLB_FLUSH_ALL,   MMUEXT_INVLPG_ALL,
                                        MMUEXT_FLUSH_CACHE,     MMUEXT_FLUSH_CACHE_GLOBAL,
                                        MMUEXT_SET_LDT };
    uint64_t a, b;

    setup();
    a = page(guest), b = page(guest);
    for (unsigned int i = 0; i < ARRAY_SIZE(own); i++) {
        CU_ASSERT_EQUAL(ext(own[i], l4, GUEST), -EPERM);
        CU_ASSERT_EQUAL(ext(own[i], l4, DOMID_IO), -EPERM);
        CU_ASSERT_EQUAL(ext(own[i], l4, DOMID_XEN), -EPERM);
    }
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, page(control), DOMID_XEN), -EPERM);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNMARK_SUPER + 1, l4, GUEST), -ENOSYS);
    table(a)[0] = table(b)[0] = 7;
    table(b)[1] = 9;
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, a, GUEST), 0);
    CU_ASSERT_EQUAL(table(a)[0], 0);
    op[0] = (struct mmuext_op){ .cmd = MMUEXT_COPY_PAGE, .arg1.mfn = a, .arg2.src_mfn = b };
    CU_ASSERT_EQUAL(hc_mmuext_op((uintptr_t)op, 1, 0, GUEST, 0), 0);
    CU_ASSERT_EQUAL(table(a)[1], 9);
    op[0].arg2.src_mfn = l1;
    CU_ASSERT_EQUAL(hc_mmuext_op((uintptr_t)op, 1, 0, GUEST, 0), -EINVAL);
    teardown();
}

static void test_entries_of_another_domains_tables(void)
{
    const uint32_t theirs = (GUEST + 1u) << 16 | GUEST;
    uint64_t t4, t3, t2, t1, m, fresh;

    setup();
    t4 = tree(guest, &t3, &t2, &t1);
    m = page(guest), fresh = page(guest);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), 0);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(m, W), theirs), 0);
    CU_ASSERT_EQUAL(writers(m), 1);
    CU_ASSERT_EQUAL(update((t2 << PAGE_SHIFT) + 8, pte_make(fresh, W), theirs), 0);
    CU_ASSERT_TRUE(is_table(fresh, PGT_L1));
    CU_ASSERT_EQUAL(update((m << PAGE_SHIFT) + 8, 0x1234, theirs), 0); /* plain memory */
    CU_ASSERT_EQUAL(table(m)[1], 0x1234);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(t1, W), theirs), -EBUSY);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(page(control), P), theirs), -EBUSY);
    CU_ASSERT_EQUAL(update(l1 << PAGE_SHIFT, 0, theirs), -EINVAL); /* not that domain's table */
    /* nobody's frames but its own become part of its space */
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(page(control), P),
                           (GUEST + 1u) << 16 | DOMID_SELF),
                    -EPERM);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, pte_make(page(third), P), (GUEST + 1u) << 16 | THIRD),
                    -EPERM);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, 0, (DOMID_IO + 1u) << 16 | GUEST), -ESRCH);
    CU_ASSERT_EQUAL(update(t1 << PAGE_SHIFT, 0, 100u << 16 | GUEST), -ESRCH);
    CU_ASSERT_EQUAL(update(l1 << PAGE_SHIFT, pte_make(m, P), 2u << 16 | GUEST),
                    0); /* one's own id */
    CU_ASSERT_EQUAL(update((t2 << PAGE_SHIFT) + 8, 0, theirs), 0);
    CU_ASSERT_FALSE(has_flag(fresh, PGT_IN_USE));
    teardown();
}

static void test_the_m2p_of_another_domains_frames(void)
{
    uint64_t m;

    setup();
    m = page(guest);
    CU_ASSERT_EQUAL(update(m << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 77, GUEST), 0);
    CU_ASSERT_EQUAL(m2p_get(_mfn(m)), 77);
    CU_ASSERT_EQUAL(update(m << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 78, DOMID_SELF), -EINVAL);
    CU_ASSERT_EQUAL(update(m << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 78, THIRD), -EINVAL);
    CU_ASSERT_EQUAL(update(l1 << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 78, GUEST), -EINVAL);
    CU_ASSERT_EQUAL(m2p_get(_mfn(m)), 77);
    teardown();
}

/* ---- TLBs ---- */

/* The control domain's CPU still has the mapping, through which it wrote the table. */
static void test_a_mappers_tlb_is_flushed_before_the_frame_is_a_table(void)
{
    uint64_t m;

    setup();
    m = page(guest);
    for (unsigned int way = 0; way < 3; way++) {
        uint64_t seen;

        if (way < 2) {
            CU_ASSERT_EQUAL(map(0, pte_make(m, way ? P : W), GUEST), 0);
        } else {
            CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(m, W), 0, GUEST, 0), 0);
        }
        if (way == 1) /* from readable to writable */
            CU_ASSERT_EQUAL(map(0, pte_make(m, W), GUEST), 0);
        tlb_writable[CONTROL_CPU][m] = true;
        CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
        play(guest);
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m, DOMID_SELF), 0);
        CU_ASSERT_FALSE(tlb_writable[CONTROL_CPU][m]);
        CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, m, DOMID_SELF), 0);
        /* from then on it is the guest's affair alone again */
        CU_ASSERT_TRUE(page_get_writable(guest, _mfn(m)));
        page_put_writable(_mfn(m));
        seen = arch_pcpu(CONTROL_CPU)->tlb_flush_time;
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m, DOMID_SELF), 0);
        CU_ASSERT_EQUAL(arch_pcpu(CONTROL_CPU)->tlb_flush_time, seen);
        CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, m, DOMID_SELF), 0);
        play(control);
    }
    teardown();
}

static void test_a_frame_once_mapped_is_stolen_and_given_as_others_are(void)
{
    uint64_t m;

    setup();
    m = page(guest);
    CU_ASSERT_EQUAL(map(0, pte_make(m, W), GUEST), 0);
    tlb_writable[CONTROL_CPU][m] = true;
    CU_ASSERT_FALSE(domain_steal_page(guest, _mfn(m))); /* still mapped */
    CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
    CU_ASSERT_TRUE(domain_steal_page(guest, _mfn(m)));
    CU_ASSERT_EQUAL(domain_assign_page(third, _mfn(m)), 0);
    CU_ASSERT_FALSE(tlb_writable[CONTROL_CPU][m]);
    CU_ASSERT_EQUAL(frame_table[m].count_info & PGC_FOREIGN, 0);
    teardown();
}

/* ---- death ---- */

/*
 * The order of: the mapping's end (0 unmapped, 1 by its table's death, 2 by the mapper's), and the
 * owner's death before or after it. What is mapped keeps its owner, and no longer.
 */
static void test_every_order_of_death(void)
{
    for (unsigned int kind = 0; kind < 3 * 2 * 2 * 2; kind++) {
        unsigned int end = kind % 3;
        bool owner_first = kind / 3 & 1, writable = kind / 6 & 1, is_pinned = kind / 12 & 1;
        uint64_t m, mapped;

        setup();
        m = page(guest);
        page(guest);
        if (is_pinned)
            CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m, GUEST), 0);
        mapped = is_pinned && writable ? page(guest) : m;
        CU_ASSERT_EQUAL(map(3, pte_make(mapped, writable ? W : P), GUEST), 0);
        if (owner_first) {
            CU_ASSERT_FALSE(die(guest));
            CU_ASSERT_EQUAL(guest->nr_pages, 1);
            CU_ASSERT_EQUAL(paging_audit(), 0);
            CU_ASSERT_EQUAL(heap_audit(), 0);
            CU_ASSERT_EQUAL(refs(mapped), 1);
            CU_ASSERT_EQUAL(writers(mapped), writable);
            play(control);
        }
        if (end == 0) {
            CU_ASSERT_EQUAL(map(3, 0, DOMID_SELF), 0);
        } else if (end == 1) {
            CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, page(control), DOMID_SELF), 0);
            CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l1, DOMID_SELF), 0);
            CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l4, DOMID_SELF), 0);
        } else {
            CU_ASSERT_TRUE(die(control));
        }
        CU_ASSERT_EQUAL(paging_audit(), 0);
        if (owner_first) {
            CU_ASSERT_EQUAL(guest->nr_pages, 0);
            CU_ASSERT_EQUAL(PGC_COUNT(frame_table[mapped].count_info), 0);
        } else {
            CU_ASSERT_EQUAL(refs(mapped), 1 + (is_pinned && mapped == m));
            CU_ASSERT_TRUE(die(guest));
        }
        teardown();
    }
}

static void test_nobody_begins_with_a_dying_domains_tables(void)
{
    const uint32_t theirs = (GUEST + 1u) << 16 | GUEST;
    uint64_t t, m, frames[1];

    setup();
    t = page(guest), m = page(guest);
    CU_ASSERT_EQUAL(map(0, pte_make(t, P), GUEST), 0); /* keep both */
    CU_ASSERT_EQUAL(map(1, pte_make(m, W), GUEST), 0);
    guest->is_dying = true;
    frames[0] = t;
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t, GUEST), -EINVAL);
    CU_ASSERT_EQUAL(update(t << PAGE_SHIFT, 1, theirs), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_root(guest->vcpu[0], _mfn(t), false), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_gdt(guest->vcpu[0], frames, 1), -EINVAL);
    CU_ASSERT_FALSE(has_flag(t, PGT_IN_USE));
    CU_ASSERT_FALSE(die(guest));
    play(control);
    CU_ASSERT_EQUAL(map(2, pte_make(m, P), GUEST), 0); /* what is still there can be looked at */
    CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(map(1, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(guest->nr_pages, 1);
    CU_ASSERT_EQUAL(map(2, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(map(2, pte_make(m, P), GUEST), -EBUSY);
    teardown();
}

/* Frames that their domain gave back while they were pinned, or half a table, are found as well. */
static void test_death_finds_what_was_given_back_but_is_in_use(void)
{
    uint64_t t4, t3, t2, t1, half;
    unsigned int steps = 0;

    setup();
    for (unsigned int i = 0; i < 100; i++)
        page(guest);
    t4 = tree(guest, &t3, &t2, &t1);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t1, GUEST), 0);
    half = page(guest);
    for (unsigned int i = 0; i < PTES_PER_TABLE; i += 256)
        table(half)[i] = pte_make(page(guest), W);
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(paging_pin(guest, _mfn(half), PGT_L2), -ERESTART);
    CU_ASSERT_TRUE(has_flag(half, PGT_PARTIAL));
    CU_ASSERT_TRUE(page_put_allocated(&frame_table[t4]));
    CU_ASSERT_TRUE(page_put_allocated(&frame_table[t1]));
    CU_ASSERT_TRUE(page_put_allocated(&frame_table[half]));
    guest->is_dying = true;
    while (paging_relinquish(guest) == -ERESTART && steps++ < 1000)
        if (steps == 2) /* meanwhile somebody gives back more of it */
            for (uint32_t i = guest->walk_at, n = 0; n < 5; n++, i = guest->walk_at)
                page_put_allocated(&frame_table[i]);
    CU_ASSERT_TRUE(steps > 2);
    CU_ASSERT_FALSE(has_flag(t4, PGT_IN_USE));
    CU_ASSERT_FALSE(has_flag(half, PGT_IN_USE));
    CU_ASSERT_TRUE(die(guest));
    teardown();
}

static void test_a_shared_frame_of_the_hypervisors_outlives_its_domain(void)
{
    mfn_t m;

    setup();
    control->iomem.nr = 1;
    m = heap_alloc(0, 0); /* as its shared_info */
    page_share(m, GUEST);
    CU_ASSERT_EQUAL(map(0, pte_make(mfn_x(m), W), GUEST), 0);
    CU_ASSERT_EQUAL(map(1, pte_make(mfn_x(m), W) | PTE_PCD, GUEST), -EACCES);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, mfn_x(m), GUEST), -EINVAL);
    CU_ASSERT_TRUE(die(guest));
    page_share(m, DOMID_INVALID);
    CU_ASSERT_TRUE(paging_audit() > 0); /* still the hypervisor's own: that must not be mapped */
    page_put(mfn_to_page(m));
    CU_ASSERT_EQUAL(paging_audit(), 0);
    play(control);
    CU_ASSERT_EQUAL(map(1, pte_make(mfn_x(m), P), GUEST), -EBUSY);
    CU_ASSERT_EQUAL(map(0, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(PGC_COUNT(frame_table[mfn_x(m)].count_info), 0);
    teardown();
}

/* ---- DOMID_XEN ---- */

static void test_the_m2p_is_shared_read_only(void)
{
    uint64_t gap;

    setup();
    control->iomem.nr = 1;
    for (unsigned int n = 0; n < 2; n++) /* again, when it is shared already */
        for (unsigned int i = 0; i < 2; i++) {
            uint64_t m = mfn_x(m2p_page[i]);

            CU_ASSERT_EQUAL(map(i, pte_make(M2P_GFN + i, P), DOMID_XEN), 0);
            CU_ASSERT_EQUAL(table(l1)[i], pte_make(m, P | PTE_US));
            CU_ASSERT_EQUAL(map(i, pte_make(M2P_GFN + i, W), DOMID_XEN), -EBUSY);
            CU_ASSERT_EQUAL(map(i + 2, pte_make(M2P_GFN + i, W), DOMID_XEN), -EBUSY);
            CU_ASSERT_EQUAL(map(i + 2, pte_make(M2P_GFN + i, P) | PTE_PCD, DOMID_XEN), -EACCES);
            CU_ASSERT_EQUAL(map(i, pte_make(m, W), DOMID_SELF), -EBUSY);
            CU_ASSERT_EQUAL(map(i + 2, pte_make(m, P), DOMID_SELF), -EBUSY);
            CU_ASSERT_EQUAL(map(i + 2, pte_make(m, P), GUEST), -EBUSY);
            CU_ASSERT_EQUAL(refs(m), 2);
            CU_ASSERT_EQUAL(paging_audit(), 0);
            CU_ASSERT_EQUAL(map(i, 0, DOMID_SELF), 0);
            CU_ASSERT_EQUAL(refs(m), 1);
        }
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(M2P_GFN + 2, P), 0, DOMID_XEN, 0),
                    0);
    gap = pte_mfn(table(l1)[0]); /* where there is no RAM, no pfn */
    all_free--;                  /* that page stays */
    CU_ASSERT_EQUAL(table(gap)[0], INVALID_M2P_ENTRY);
    CU_ASSERT_EQUAL(table(gap)[511], INVALID_M2P_ENTRY);
    CU_ASSERT_EQUAL(map(1, pte_make(M2P_GFN + m2p_gfns() - 1, P), DOMID_XEN), 0);
    CU_ASSERT_EQUAL(pte_mfn(table(l1)[1]), gap);
    CU_ASSERT_EQUAL(map(2, pte_make(M2P_GFN + m2p_gfns(), P), DOMID_XEN), -EINVAL);
    CU_ASSERT_EQUAL(map(2, pte_make(M2P_GFN - 1, P), DOMID_XEN), -EINVAL);
    CU_ASSERT_EQUAL(map(2, pte_make(0, P), DOMID_XEN), -EINVAL);
    CU_ASSERT_EQUAL(map(2, pte_make(mfn_x(m2p_page[0]), P), DOMID_XEN), -EINVAL);
    CU_ASSERT_EQUAL(map(0, 0, DOMID_XEN), 0);
    teardown();
}

/* ---- what a saver asks ---- */

static xen_pfn_t list[1024];
static struct xen_domctl ctl;

static long frame_infos(uint64_t n)
{
    ctl = (struct xen_domctl){ .u.getpageframeinfo3 = { .num = n } };
    set_xen_guest_handle(ctl.u.getpageframeinfo3.array, list);
    return domctl_getpageframeinfo3(guest, &ctl);
}

static void test_types_and_pins_of_a_guests_frames(void)
{
    uint64_t t4, t3, t2, t1, m, half;
    mfn_t info = heap_alloc(0, 0);
    unsigned int steps = 0;
    long rc;

    setup();
    all_free++;
    page_share(info, GUEST);
    fake_guest_map(list, sizeof(list), FAKE_READ_WRITE);
    t4 = tree(guest, &t3, &t2, &t1);
    m = page(guest), half = page(guest);
    table(half)[0] = pte_make(page(guest), W);
    table(half)[256] = pte_make(page(guest), W);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t4, GUEST), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t1, GUEST), 0);
    CU_ASSERT_TRUE(page_get_writable(guest, _mfn(m)));
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(paging_pin(guest, _mfn(half), PGT_L2), -ERESTART);
    for (unsigned int i = 0; i < 1024; i += 16) {
        const xen_pfn_t ask[16] = { t4,          t3, t2,          t1,         m,     half,      l1,
                                    page(third), 0,  mfn_x(info), 1ULL << 40, ~0ULL, NR_FRAMES, t1,
                                    page(guest), t4 };

        memcpy(&list[i], ask, sizeof(ask));
    }
    while ((rc = domctl_getpageframeinfo3(guest, &ctl), steps++) < 100) {
        if (steps == 1) { /* the first one was for nothing */
            ctl.u.getpageframeinfo3.num = 1024;
            set_xen_guest_handle(ctl.u.getpageframeinfo3.array, list);
        } else if (rc != -ERESTART)
            break;
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_TRUE(steps > 10);
    for (unsigned int i = 0; i < 1024; i++) {
        static const uint32_t want[16] = { 0xc0000000, 0x30000000, 0x20000000, 0x90000000,
                                           0,          0,          0xf0000000, 0xf0000000,
                                           0xf0000000, 0xf0000000, 0xf0000000, 0xf0000000,
                                           0xf0000000, 0x90000000, 0,          0xc0000000 };

        CU_ASSERT_EQUAL(list[i], want[i % 16]);
    }
    fake_preempt_every = 0;
    page_put_writable(_mfn(m));
    CU_ASSERT_EQUAL(frame_infos(1025), -E2BIG);
    CU_ASSERT_EQUAL(frame_infos(1ULL << 32), -E2BIG);
    CU_ASSERT_EQUAL(frame_infos(0), 0);
    fake_fail_copy(4); /* the second part of the list cannot be written */
    CU_ASSERT_EQUAL(frame_infos(64), -EFAULT);
    CU_ASSERT_EQUAL(ctl.u.getpageframeinfo3.num, 32);
    page_share(info, DOMID_INVALID);
    page_put(mfn_to_page(info));
    teardown();
}

static void test_writes_are_not_logged(void)
{
    ctl.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_OFF;
    CU_ASSERT_EQUAL(domctl_shadow_op(guest, &ctl), -EINVAL);
    ctl.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
    CU_ASSERT_EQUAL(domctl_shadow_op(guest, &ctl), -EOPNOTSUPP);
    ctl.u.shadow_op.op = 99;
    CU_ASSERT_EQUAL(domctl_shadow_op(guest, &ctl), -EOPNOTSUPP);
}

/* ---- two domains at random ---- */

#define NR_OWN 16u
static uint64_t own[NR_OWN]; /* of the guest */
static uint32_t rnd_state;

static uint32_t rnd(uint32_t n)
{
    rnd_state = rnd_state * 1664525 + 1013904223;
    return (rnd_state >> 8) % n;
}
static pte_t rnd_entry(void) { return rnd(6) ? pte_make(own[rnd(NR_OWN)], rnd(2) ? W : P) : 0; }

static bool is_guests(uint64_t m) { return PGC_OWNER(frame_table[m].count_info) == GUEST; }

/* What the control domain's CPU can write to, and what the guest writes as memory of its own. */
static void write_something(void)
{
    unsigned int i = rnd(8);
    pte_t e = table(l1)[i];
    uint64_t m = own[rnd(NR_OWN)];

    if ((e & W) == W)
        tlb_writable[CONTROL_CPU][pte_mfn(e)] = true;
    for (uint64_t n = 0; n < NR_FRAMES; n++)
        if (tlb_writable[CONTROL_CPU][n] && is_guests(n))
            table(n)[rnd(4)] = rnd_entry();
    if (is_guests(m) && (!(type_of(m) & PGT_IN_USE) || writers(m)))
        table(m)[rnd(4)] = rnd_entry();
}

static void step(void)
{
    unsigned int level = rnd(4), i = rnd(NR_OWN);
    uint64_t m = own[i];
    uint32_t self = DOMID_SELF, theirs = (GUEST + 1u) << 16 | GUEST;
    bool as_guest = rnd(3) == 0;

    play(as_guest ? guest : control);
    switch (rnd(8)) {
    case 0:
    case 1:
    case 2:
        play(control);
        map(rnd(8), rnd_entry(), rnd(4) ? GUEST : self);
        break;
    case 3:
        if (rnd(2))
            hc_update_va_mapping_otherdomain(VA, rnd_entry(), 0, GUEST, 0);
        else
            hc_update_va_mapping(VA, 0, 0, 0, 0);
        break;
    case 4:
    case 5: ext(rnd(3) ? level : MMUEXT_UNPIN_TABLE, m, as_guest ? self : GUEST); break;
    case 6: update((m << PAGE_SHIFT) + rnd(4) * 8, rnd_entry(), as_guest ? self : theirs); break;
    default: /* given back, and another one had */
        if (page_get(_mfn(m), guest)) {
            page_put_allocated(&frame_table[m]);
            page_put(&frame_table[m]);
        }
        own[i] = page(guest);
    }
}

static void test_two_domains_at_random(void)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        setup();
        rnd_state = seed;
        for (unsigned int i = 0; i < NR_OWN; i++)
            own[i] = page(guest);
        for (unsigned int n = 0; n < 1500; n++) {
            fake_preempt_every = rnd(3);
            step();
            write_something();
            for (uint64_t m = 0; m < NR_FRAMES; m++)
                if (tlb_writable[CONTROL_CPU][m] && (type_of(m) & (PGT_VALID | PGT_PARTIAL)) &&
                    PGT_TYPE(type_of(m)) != PGT_WRITABLE)
                    CU_FAIL_FATAL("a CPU can write to a table");
            if (paging_audit() || fake_locks_held()) {
                fprintf(stderr, "seed %u step %u: %s\n", seed, n, fake_printed);
                CU_FAIL_FATAL("an invariant broke");
            }
        }
        fake_preempt_every = seed % 3;
        if (seed & 1)
            CU_ASSERT_TRUE(die(control));
        teardown();
    }
}

int main(void)
{
    CU_pSuite s;

    fake_ram_create(NR_FRAMES);
    heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
    heap_free_range(PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
    arch_tlb_clock = 1;
    show_m2p();

    CU_initialize_registry();
    s = CU_add_suite("foreign", NULL, NULL);
    CU_ADD_TEST(s, test_a_mapping_holds_references_on_its_owners_frame);
    CU_ADD_TEST(s, test_a_batch_stops_at_the_first_frame_that_cannot_be_had);
    CU_ADD_TEST(s, test_only_the_named_domains_ram_is_mapped);
    CU_ADD_TEST(s, test_who_has_no_right_maps_and_pins_nothing);
    CU_ADD_TEST(s, test_a_frames_type_holds_across_domains);
    CU_ADD_TEST(s, test_a_foreign_frame_is_no_part_of_the_mappers_tables);
    CU_ADD_TEST(s, test_a_cache_attribute_belongs_to_the_owners_frame);
    CU_ADD_TEST(s, test_the_control_domain_pins_what_it_built);
    CU_ADD_TEST(s, test_what_is_a_vcpus_own_is_refused_for_another_domain);
    CU_ADD_TEST(s, test_entries_of_another_domains_tables);
    CU_ADD_TEST(s, test_the_m2p_of_another_domains_frames);
    CU_ADD_TEST(s, test_a_mappers_tlb_is_flushed_before_the_frame_is_a_table);
    CU_ADD_TEST(s, test_a_frame_once_mapped_is_stolen_and_given_as_others_are);
    CU_ADD_TEST(s, test_every_order_of_death);
    CU_ADD_TEST(s, test_nobody_begins_with_a_dying_domains_tables);
    CU_ADD_TEST(s, test_death_finds_what_was_given_back_but_is_in_use);
    CU_ADD_TEST(s, test_a_shared_frame_of_the_hypervisors_outlives_its_domain);
    CU_ADD_TEST(s, test_the_m2p_is_shared_read_only);
    CU_ADD_TEST(s, test_types_and_pins_of_a_guests_frames);
    CU_ADD_TEST(s, test_writes_are_not_logged);
    CU_ADD_TEST(s, test_two_domains_at_random);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
