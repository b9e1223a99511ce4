/*
 * paging/: the rules of the PV MMU one by one, and then a guest that does whatever it likes while
 * every reference is recomputed after each step and a model of the CPUs' TLBs watches for entries
 * that outlive what they were good for.
 */
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "alloc.h"
#include "fake.h"
#include "calling.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"

#define NR_FRAMES 2048u
#define NR_CPUS_USED 2u
#define P PTE_P
#define W (PTE_P | PTE_RW)
#define MMIO_MFN 0x100000u
#define RO_MFN (MMIO_MFN + 1) /* of these, where a test has a range that is read-only */
#define VA 0x40000000000ULL   /* L4 slot 8 */

static struct domain *d, *other;
static struct vcpu *v;
static uint64_t all_free;
static struct mmu_update req[64];
static struct mmuext_op op[64];
static uint32_t done;
static uint64_t vcpu_bitmap;

/* ---- the TLB model: what each CPU may have cached since its last full flush ---- */

static uint8_t tlb_writable[NR_CPUS_USED][NR_FRAMES], tlb_readable[NR_CPUS_USED][NR_FRAMES];
static uint8_t tlb_table[NR_CPUS_USED][NR_FRAMES]; /* paging-structure caches: 0 or the level */
static unsigned int cache_flushes;

static void model_flush(unsigned int cpu)
{
    memset(tlb_writable[cpu], 0, NR_FRAMES);
    memset(tlb_readable[cpu], 0, NR_FRAMES);
    memset(tlb_table[cpu], 0, NR_FRAMES);
}

void arch_flush_tlb_mask(uint64_t mask)
{
    uint64_t t = ++arch_tlb_clock;

    fake_tlb_flushes++;
    for (unsigned int i = 0; i < NR_CPUS_USED; i++)
        if (mask >> i & 1) {
            model_flush(i);
            arch_pcpu(i)->tlb_flush_time = t;
        }
}
void arch_flush_tlb_local(void) { arch_flush_tlb_mask(1ULL << fake_pcpu->id); }
void arch_vcpu_roots_changed(struct vcpu *x)
{
    if (x == current)
        arch_flush_tlb_local();
}
void arch_cache_flush(const void *p, size_t len)
{
    (void)p;
    (void)len;
    cache_flushes++;
}

/* ---- fixture ---- */

static void setup(void)
{
    fake_reset(NR_CPUS_USED);
    d = fake_domain(1, 2);
    other = fake_domain(2, 1);
    d->next = other;
    domain_list = d;
    v = d->vcpu[0];
    for (unsigned int i = 0; i < 2; i++) {
        d->vcpu[i]->processor = d->vcpu[i]->arch.last_cpu = i;
        fake_cpu(i);
        fake_current(d->vcpu[i]);
        model_flush(i);
        fake_pcpu->tlb_flush_time = arch_tlb_clock; /* 0 would be in the future: the clock wraps */
    }
    fake_cpu(0);
    d->dirty_cpus = 3;
    arch_l1tf_affected = false;
    fake_guest_map(req, sizeof(req), FAKE_READ_WRITE);
    fake_guest_map(op, sizeof(op), FAKE_READ_WRITE);
    fake_guest_map(&done, sizeof(done), FAKE_READ_WRITE);
    fake_guest_map(&vcpu_bitmap, sizeof(vcpu_bitmap), FAKE_READ_ONLY);
    all_free = heap_free_pages();
    cache_flushes = 0;
}

static void die(struct domain *x)
{
    unsigned int n = 0;

    x->is_dying = true;
    while (paging_relinquish(x) && n++ < 100000)
        ;
    while (domain_relinquish_pages(x) && n++ < 100000)
        ;
    CU_ASSERT_EQUAL(x->nr_pages, 0);
    CU_ASSERT_EQUAL(x->dead_tables, 0);
    CU_ASSERT_EQUAL(x->nr_mapped_uncached, 0);
}

static void teardown(void)
{
    CU_ASSERT_EQUAL(paging_audit(), 0);
    die(d);
    die(other);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    domain_list = NULL;
    fake_domain_free(d);
    fake_domain_free(other);
}

static mfn_t page_of(struct domain *x)
{
    mfn_t m = _mfn(0);

    CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(x, 0, 0, &m), 0);
    return m;
}
static uint64_t page(void) { return mfn_x(page_of(d)); }
static pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }
static uint64_t type_of(uint64_t mfn) { return frame_table[mfn].type_info; }
static unsigned int refs(uint64_t mfn) { return PGC_COUNT(frame_table[mfn].count_info); }
/* Not as an integer: assertions take an int. */
static bool has_flag(uint64_t mfn, uint64_t flags) { return type_of(mfn) & flags; }
static bool is_table(uint64_t mfn, enum page_type t)
{
    return PGT_TYPE(type_of(mfn)) == t && (type_of(mfn) & PGT_VALID);
}

/* Until it is not preempted any more; each time some other call of the guest's may come between. */
static long finish(long rc)
{
    for (unsigned int n = 0; rc == -ERESTART; n++) {
        const uint64_t *a = fake_continued_args;

        CU_ASSERT_TRUE_FATAL(n < 20000);
        if (fake_calling == __HYPERVISOR_mmu_update)
            rc = hc_mmu_update(a[0], a[1], a[2], a[3], 0);
        else if (fake_calling == __HYPERVISOR_mmuext_op)
            rc = hc_mmuext_op(a[0], a[1], a[2], a[3], 0);
        else
            rc = hc_update_va_mapping(a[0], a[1], a[2], 0, 0);
    }
    return rc;
}

static long ext_n(unsigned int n)
{
    return hc_mmuext_op((uintptr_t)op, n, (uintptr_t)&done, DOMID_SELF, 0);
}
static long ext(unsigned int cmd, uint64_t arg)
{
    op[0] = (struct mmuext_op){ .cmd = cmd, .arg1.mfn = arg };
    return finish(ext_n(1));
}
static long update_n(unsigned int n)
{
    return hc_mmu_update((uintptr_t)req, n, (uintptr_t)&done, DOMID_SELF, 0);
}
static long update(uint64_t mfn, unsigned int i, pte_t e)
{
    req[0] = (struct mmu_update){ .ptr = (mfn << PAGE_SHIFT) + i * 8, .val = e };
    return finish(update_n(1));
}
static long va_update_once(uint64_t va, pte_t e, uint64_t flags)
{
    const uint64_t same[] = { va, e, flags };

    hypercall_continue(ARRAY_SIZE(same), same);
    return hc_update_va_mapping(va, e, flags, 0, 0);
}
static long va_update(uint64_t va, pte_t e) { return finish(va_update_once(va, e, UVMF_NONE)); }

/* A little address space: l4 -> l3 -> l2 -> l1 for VA, running. */
static uint64_t l1, l2, l3, l4;
static void make_space(void)
{
    l1 = page(), l2 = page(), l3 = page(), l4 = page();
    table(l4)[pt_index(VA, 4)] = pte_make(l3, W);
    table(l3)[pt_index(VA, 3)] = pte_make(l2, W);
    table(l2)[pt_index(VA, 2)] = pte_make(l1, W);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, l4), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, l4), 0);
}

/* Byte `at` of frame m; old and seen as for a compare-and-exchange. */
static int emulated_write(uint64_t m, unsigned int at, pte_t old, pte_t new, bool cmpxchg,
                          pte_t *seen)
{
    int rc =
        paging_emulated_write(v, &frame_table[m], &table(m)[at / 8], new, cmpxchg ? &old : NULL);

    if (rc == 1)
        *seen = old;
    return rc;
}

/* ---- one rule each ---- */

static void test_pinning_takes_and_unpinning_drops_all_references(void)
{
    uint64_t t, data;

    setup();
    t = page(), data = page();
    table(t)[3] = pte_make(data, W);
    table(t)[511] = pte_make(data, P);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_TRUE(is_table(t, PGT_L1));
    CU_ASSERT_EQUAL(refs(t), 2);
    CU_ASSERT_EQUAL(refs(data), 3);
    CU_ASSERT_EQUAL(PGT_COUNT(type_of(data)), 1);
    CU_ASSERT_EQUAL(table(t)[3], pte_make(data, W | PTE_US)); /* ring 3 must reach it */
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L2_TABLE, t), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), -EINVAL);
    CU_ASSERT_EQUAL(refs(t), 1);
    CU_ASSERT_EQUAL(refs(data), 1);
    CU_ASSERT_EQUAL(table(t)[3], pte_make(data, W | PTE_US)); /* contents stay */
    teardown();
}

static void test_a_table_is_never_writable(void)
{
    uint64_t t;

    setup();
    make_space();
    t = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), -EINVAL);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, P)), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA + PAGE_SIZE, pte_make(t, W)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l4, W)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l1, W)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l1, P)), 0); /* readable they are */
    CU_ASSERT_FALSE(page_get_writable(d, _mfn(t)));
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, t), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), 0);
    teardown();
}

static void test_a_table_that_maps_itself_writable_is_refused(void)
{
    uint64_t t;

    setup();
    t = page();
    table(t)[0] = pte_make(t, W);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), -EBUSY);
    CU_ASSERT_FALSE(has_flag(t, PGT_IN_USE));
    CU_ASSERT_EQUAL(refs(t), 1);
    table(t)[0] = pte_make(t, P);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    teardown();
}

static void test_linear_tables_are_refused_at_each_level(void)
{
    uint64_t t[5];

    setup();
    for (unsigned int level = 2; level <= 4; level++) {
        t[level] = page();
        table(t[level])[5] = pte_make(t[level], P);
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE + level - 1, t[level]), -EINVAL);
        CU_ASSERT_FALSE(has_flag(t[level], PGT_IN_USE));
    }
    make_space();
    CU_ASSERT_EQUAL(update(l4, 9, pte_make(l4, P)), -EINVAL);
    CU_ASSERT_EQUAL(update(l3, 9, pte_make(l3, P)), -EINVAL);
    CU_ASSERT_EQUAL(update(l2, 9, pte_make(l2, P)), -EINVAL);
    CU_ASSERT_EQUAL(update(l3, 9, pte_make(l4, P)), -EINVAL);
    CU_ASSERT_EQUAL(update(l4, 9, pte_make(l2, P)), -EINVAL); /* a level is skipped */
    teardown();
}

/* XSA-148: a superpage, also by a change of flags only. */
static void test_bad_flags_are_refused_also_when_only_flags_change(void)
{
    static const pte_t bad[] = { PTE_PS, PTE_PWT, PTE_PCD, PTE_G, 1ULL << 52, 1ULL << 62 };
    static const pte_t more[] = { 0, PTE_RW, PTE_A, PTE_NX, PTE_RW | PTE_G };
    uint64_t data;

    setup();
    make_space();
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        CU_ASSERT_EQUAL(update(l2, pt_index(VA, 2), pte_make(l1, W) | bad[i]), -EINVAL);
        CU_ASSERT_EQUAL(update(l3, pt_index(VA, 3), pte_make(l2, W) | bad[i]), -EINVAL);
        CU_ASSERT_EQUAL(update(l4, pt_index(VA, 4), pte_make(l3, W) | bad[i]), -EINVAL);
        CU_ASSERT_EQUAL(update(l2, 7, pte_make(page(), W) | bad[i]), -EINVAL);
    }
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l1, P) | 1ULL << 52), -EINVAL);
    data = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(data, P)), 0);
    for (unsigned int bit = 52; bit < 63; bit++) /* of an entry that is there */
        for (unsigned int i = 0; i < ARRAY_SIZE(more); i++) {
            pte_t e = pte_make(data, P) | 1ULL << bit | more[i], seen = table(l1)[0];

            CU_ASSERT_EQUAL(va_update(VA, e), -EINVAL);
            CU_ASSERT_EQUAL(update(l1, 0, e), -EINVAL);
            CU_ASSERT_EQUAL(emulated_write(l1, 0, seen, e, true, &seen), -EINVAL);
            CU_ASSERT_EQUAL(table(l1)[0], pte_make(data, P) | PTE_US);
        }
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l1, P) | PTE_G | PTE_NX | PTE_AVAIL), 0);
    CU_ASSERT_EQUAL(table(l1)[0], pte_make(l1, P) | PTE_US | PTE_NX | PTE_AVAIL);
    CU_ASSERT_EQUAL(update(l2, pt_index(VA, 2), pte_make(l1, P) | PTE_A | PTE_NX), 0);
    CU_ASSERT_EQUAL(table(l2)[pt_index(VA, 2)], pte_make(l1, P) | PTE_US | PTE_A | PTE_NX);
    teardown();
}

/* Entries that were there before the frame became a table: checked and corrected like others. */
static void test_what_a_new_l1_table_maps_is_checked_flag_by_flag(void)
{
    static const unsigned int at[] = { 0, 31, 32, 500, 511 };
    uint64_t t, m;

    setup();
    t = page();
    m = page();
    for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
        for (unsigned int bit = 0; bit < 64; bit++) {
            pte_t flag = 1ULL << bit, e = pte_make(m, W | PTE_US) | flag, *p = &table(t)[at[i]];
            bool cache = flag & PTE_CACHE;

            if (flag & (W | PTE_ADDR_MASK))
                continue;
            for (unsigned int devices = 0; devices < 2; devices++) {
                bool good = !(bit >= 52 && bit < 63) && (!cache || devices);

                d->is_hwdom = devices;
                *p = e;
                CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), good ? 0 : -EINVAL);
                CU_ASSERT_EQUAL(*p, good ? e & ~PTE_G : e);
                CU_ASSERT_EQUAL(refs(m), good ? 2 : 1);
                CU_ASSERT_EQUAL(d->nr_mapped_uncached, cache && good);
                CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), good ? 0 : -EINVAL);
                *p = e & ~PTE_US;
                CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), good ? 0 : -EINVAL);
                CU_ASSERT_EQUAL(*p & PTE_US, good ? PTE_US : 0);
                CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), good ? 0 : -EINVAL);
                CU_ASSERT_EQUAL(paging_audit(), 0);
                *p = 0;
            }
            if (cache) { /* it stays so until it is freed */
                page_put_allocated(mfn_to_page(_mfn(m)));
                m = page();
            }
        }
    d->is_hwdom = false;
    teardown();
}

static void test_our_slots_are_ours(void)
{
    uint64_t t;

    setup();
    t = page();
    for (unsigned int i = 256; i < 272; i++)
        table(t)[i] = pte_make(t, W); /* not looked at */
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, t), 0);
    CU_ASSERT_EQUAL(table(t)[256], 0x8000000000000001ULL | 256 << 12);
    for (unsigned int i = 256; i < 272; i++) {
        CU_ASSERT_EQUAL(update(t, i, 0), -EINVAL);
        CU_ASSERT_EQUAL(update(t, i, pte_make(page(), P)), -EINVAL);
    }
    CU_ASSERT_EQUAL(update(t, 255, pte_make(page(), P)), 0);
    CU_ASSERT_EQUAL(update(t, 272, pte_make(page(), P)), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, t), 0);
    CU_ASSERT_EQUAL(va_update(HV_VIRT_START, 0), -EINVAL);
    CU_ASSERT_EQUAL(va_update(HV_VIRT_END - 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(va_update(0x800000000000ULL, 0), -EINVAL); /* not canonical */
    teardown();
}

static void test_addresses_of_ours_are_not_updated(void)
{
    setup();
    make_space();
    for (unsigned int slot = 256; slot < 272; slot++) { /* as if it led to what can be changed */
        uint64_t va = ~0ULL << 48 | (uint64_t)slot << 39 | (VA & ((1ULL << 39) - 1)),
                 was = table(l4)[slot];

        table(l4)[slot] = pte_make(l3, W | PTE_US);
        CU_ASSERT_EQUAL(va_update(va, pte_make(l1, P)), -EINVAL);
        CU_ASSERT_EQUAL(va_update(va << 16 >> 16, pte_make(l1, P)), -EINVAL); /* not canonical */
        table(l4)[slot] = was;
    }
    CU_ASSERT_EQUAL(table(l1)[pt_index(VA, 1)], 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l1, P)), 0);
    teardown();
}

/* What says that a frame is a table says whose: nothing that needs no reference mistakes it for ours. */
static void test_tables_of_others_are_not_ours(void)
{
    for (enum page_type type = PGT_L1; type <= PGT_DESC; type++) {
        uint64_t theirs, x;

        setup();
        make_space();
        theirs = mfn_x(page_of(other));
        x = TABLE_OF(other->domain_id, type) | PGT_PINNED | 1;
        frame_table[theirs].type_info = x; /* one after the other, for clang */
        frame_table[theirs].count_info++;
        table(theirs)[1] = pte_make(theirs, P | PTE_US);
        CU_ASSERT_EQUAL(update(theirs, 1, 0), -EINVAL);
        CU_ASSERT_EQUAL(update(theirs, 1, pte_make(l1, P)), -EINVAL);
        CU_ASSERT_EQUAL(update(l2, 3, pte_make(theirs, W)), -EINVAL);
        CU_ASSERT_EQUAL(update(l4, 3, pte_make(theirs, W)), -EINVAL);
        CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, theirs), -EINVAL);
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE + type - PGT_L1, theirs), -EINVAL);
        CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, theirs), -EINVAL);
        CU_ASSERT_EQUAL(vcpu_set_gdt(v, &theirs, 512), -EINVAL);
        CU_ASSERT_EQUAL(paging_emulated_write(v, &frame_table[theirs], &table(theirs)[1], 0, NULL),
                        -EAGAIN);
        CU_ASSERT_EQUAL(frame_table[theirs].type_info, x);
        CU_ASSERT_EQUAL(refs(theirs), 2);
        CU_ASSERT_EQUAL(table(theirs)[1], pte_make(theirs, P | PTE_US));
        frame_table[theirs].type_info = 0;
        frame_table[theirs].count_info--;
        teardown();
    }
}

static void test_a_table_has_one_reference_on_itself_however_often_it_is_used(void)
{
    setup();
    make_space();
    CU_ASSERT_EQUAL(refs(l1), 2);
    CU_ASSERT_EQUAL(PGC_OWNER(type_of(l1)) & 0x7fff, d->domain_id);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    CU_ASSERT_EQUAL(update(l2, 3, pte_make(l1, W)), 0);
    CU_ASSERT_EQUAL(PGT_COUNT(type_of(l1)), 3);
    CU_ASSERT_EQUAL(refs(l1), 2);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    frame_table[l1].type_info ^= 1ULL << PGC_OWNER_SHIFT; /* another domain's? */
    CU_ASSERT(paging_audit() >= 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "not the table of the frame's owner"));
    frame_table[l1].type_info ^= 1ULL << PGC_OWNER_SHIFT;
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l1), 0);
    CU_ASSERT_EQUAL(update(l2, 3, 0), 0);
    CU_ASSERT_EQUAL(refs(l1), 2);
    CU_ASSERT_EQUAL(update(l2, pt_index(VA, 2), 0), 0); /* the last use */
    CU_ASSERT_EQUAL(refs(l1), 1);
    CU_ASSERT_FALSE(has_flag(l1, PGT_IN_USE));
    teardown();
}

/* A count at its limit is as it was: it does not reach what stands above it. */
static void test_no_table_is_used_more_often_than_can_be_counted(void)
{
    const uint32_t more = PGC_COUNT_MAX - 1;
    uint64_t frame;

    setup();
    make_space();
    frame = page();
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, &frame, 1), 0);
    for (unsigned int level = 1; level <= 5; level++) {
        uint64_t t[] = { 0, l1, l2, l3, l4, frame }, m = t[level], x, n = refs(m);

        frame_table[m].type_info += more - (PGT_COUNT(type_of(m)) - 1);
        x = type_of(m);
        CU_ASSERT_EQUAL(PGT_COUNT(x), PGC_COUNT_MAX);
        if (level < 5)
            CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE + level - 1, m), -EINVAL);
        if (level < 4)
            CU_ASSERT_EQUAL(update(t[level + 1], 3, pte_make(m, W)), -EINVAL);
        if (level == 4)
            CU_ASSERT_EQUAL(ext(MMUEXT_NEW_USER_BASEPTR, m), -EINVAL);
        if (level == 5)
            CU_ASSERT_EQUAL(vcpu_set_gdt(d->vcpu[1], &frame, 1), -EINVAL);
        CU_ASSERT_EQUAL(type_of(m), x);
        CU_ASSERT_EQUAL(refs(m), n);
        frame_table[m].type_info -= more - (level == 4); /* pin and root */
    }
    teardown();
}

static void test_frames_of_others_cannot_be_mapped(void)
{
    uint64_t theirs, hv;

    setup();
    make_space();
    theirs = mfn_x(page_of(other));
    hv = mfn_x(heap_alloc(0, 0));
    CU_ASSERT_EQUAL(va_update(VA, pte_make(theirs, P)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(hv, P)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(hv, W)), -EBUSY);
    CU_ASSERT_EQUAL(update(theirs, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(update(hv, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, theirs), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, theirs), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, theirs), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, l4 + (1ULL << 52)), -EINVAL); /* the address wraps */
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, ~0ULL), -EINVAL); /* there is no such address at all */
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, ~0ULL), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, ~0ULL), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, 0), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_CLEAR_PAGE, theirs), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_COPY_PAGE, hv), -EINVAL);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(theirs, P), 0, 2, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(theirs, P), 0, 99, 0), -ESRCH);
    CU_ASSERT_EQUAL(hc_mmu_update((uintptr_t)req, 1, 0, DOMID_XEN, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_mmu_update((uintptr_t)req, 1, 0, 3u << 16 | DOMID_SELF, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_mmu_update((uintptr_t)req, 1, 0, 100u << 16 | DOMID_SELF, 0), -ESRCH);
    CU_ASSERT_EQUAL(hc_mmu_update((uintptr_t)req, 0, 0, 2u << 16 | DOMID_SELF, 0), 0);
    heap_free(_mfn(hv), 0);
    teardown();
}

static void test_mmio_by_permitted_range_only(void)
{
    uint64_t req_page;

    setup();
    make_space();
    req_page = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, W)), -EPERM);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(MMIO_MFN, W), 0, DOMID_IO, 0),
                    -EPERM);
    d->iomem.nr = 2;
    d->iomem.of[0] = (struct range){ MMIO_MFN, MMIO_MFN + 1 };
    d->iomem.of[1] = (struct range){ 1ULL << 28, ~0ULL };
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, W | PTE_PCD | PTE_PWT)), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, P)), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, W)), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN + 2, P)), -EPERM);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(1ULL << 28, P)), -EPERM); /* above the CPU's 40 bits */
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(MMIO_MFN + 1, W), 0, DOMID_IO, 0),
                    0);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(page(), P), 0, DOMID_IO, 0),
                    -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(l4, P)),
                    0); /* from readable to writable: the same rules */
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(l4, W), 0, DOMID_IO, 0), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(req_page, P)), 0);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA, pte_make(req_page, W), 0, DOMID_IO, 0),
                    -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    CU_ASSERT_EQUAL(update(l2, 9, pte_make(MMIO_MFN, P)), -EINVAL);
    teardown();
}

/* MMIO_MFN to MMIO_MFN + 2, of which the middle one is not to be written: what a PTE asks for and gets. */
static void make_read_only_mmio(void)
{
    make_space();
    d->iomem.nr = d->iomem_ro.nr = 1;
    d->iomem.of[0] = (struct range){ MMIO_MFN, MMIO_MFN + 2 };
    d->iomem_ro.of[0] = (struct range){ RO_MFN, RO_MFN };
}
#define UNCACHED (PTE_PCD | PTE_PWT | PTE_NX | PTE_AVAIL)
#define RO_ASKED pte_make(RO_MFN, W | PTE_US | UNCACHED | PTE_A | PTE_D)
#define RO_GIVEN pte_make(RO_MFN, P | PTE_US | UNCACHED | PTE_A | PTE_D)

static void test_update_va_mapping_maps_read_only_mmio_without_the_right_to_write(void)
{
    setup();
    make_read_only_mmio();
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED), 0);
    CU_ASSERT_EQUAL(table(l1)[0], RO_GIVEN);
    CU_ASSERT_EQUAL(hc_update_va_mapping_otherdomain(VA + PAGE_SIZE, RO_ASKED, 0, DOMID_IO, 0), 0);
    CU_ASSERT_EQUAL(table(l1)[1], RO_GIVEN);
    teardown();
}

static void test_mmu_update_maps_read_only_mmio_without_the_right_to_write(void)
{
    static const unsigned int how[] = { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD };

    setup();
    make_read_only_mmio();
    for (unsigned int i = 0; i < ARRAY_SIZE(how); i++) {
        req[0].ptr = ((l1 << PAGE_SHIFT) + i * 8) | how[i];
        req[0].val = RO_ASKED;
        CU_ASSERT_EQUAL(finish(update_n(1)), 0);
        CU_ASSERT_EQUAL(table(l1)[i], RO_GIVEN);
    }
    teardown();
}

static void test_a_new_table_loses_the_right_to_write_to_read_only_mmio(void)
{
    uint64_t t, data;

    setup();
    make_read_only_mmio();
    t = page(), data = page();
    table(t)[0] = pte_make(data, W);
    table(t)[1] = RO_ASKED;
    table(t)[2] = pte_make(RO_MFN, W | PTE_G); /* all that is wrong at once */
    table(t)[3] = pte_make(MMIO_MFN, W | PTE_US);
    table(t)[511] = RO_ASKED;
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_EQUAL(table(t)[0], pte_make(data, W | PTE_US));
    CU_ASSERT_EQUAL(table(t)[1], RO_GIVEN);
    CU_ASSERT_EQUAL(table(t)[2], pte_make(RO_MFN, P | PTE_US));
    CU_ASSERT_EQUAL(table(t)[3], pte_make(MMIO_MFN, W | PTE_US));
    CU_ASSERT_EQUAL(table(t)[511], RO_GIVEN);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(refs(data), 1);
    teardown();
}

static void test_a_table_refused_behind_read_only_mmio_drops_its_references(void)
{
    uint64_t t, data;

    setup();
    make_read_only_mmio();
    t = page(), data = page();
    table(t)[0] = pte_make(data, W);
    table(t)[1] = RO_ASKED;
    table(t)[2] = pte_make(MMIO_MFN + 3, P);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), -EPERM);
    CU_ASSERT_EQUAL(refs(data), 1);
    CU_ASSERT_FALSE(has_flag(t, PGT_IN_USE));
    teardown();
}

static void test_a_readable_mapping_of_read_only_mmio_stays_so(void)
{
    setup();
    make_read_only_mmio();
    CU_ASSERT_EQUAL(va_update(VA, RO_GIVEN), 0);
    CU_ASSERT_EQUAL(table(l1)[0], RO_GIVEN);
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED), 0); /* only PTE_RW differs */
    CU_ASSERT_EQUAL(table(l1)[0], RO_GIVEN);
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED & ~(pte_t)UNCACHED), 0);
    CU_ASSERT_EQUAL(table(l1)[0], RO_GIVEN & ~(pte_t)UNCACHED);
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    CU_ASSERT_EQUAL(table(l1)[0], 0);
    teardown();
}

static void test_an_emulated_write_maps_read_only_mmio_without_the_right_to_write(void)
{
    pte_t seen = 0;

    setup();
    make_read_only_mmio();
    CU_ASSERT_EQUAL(emulated_write(l1, 8, 0, RO_ASKED, false, &seen), 0);
    CU_ASSERT_EQUAL(table(l1)[1], RO_GIVEN);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, RO_GIVEN, RO_ASKED, true, &seen), 0);
    CU_ASSERT_EQUAL(table(l1)[1], RO_GIVEN);
    CU_ASSERT_EQUAL(emulated_write(l1, 16, 0, RO_ASKED, true, &seen), 0);
    CU_ASSERT_EQUAL(table(l1)[2], RO_GIVEN);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, RO_ASKED, 0, true, &seen), 1);
    CU_ASSERT_EQUAL(seen, RO_GIVEN);
    teardown();
}

static void test_frames_beside_read_only_mmio_are_writable(void)
{
    setup();
    make_read_only_mmio();
    for (unsigned int i = 0; i < 3; i += 2) {
        CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN + i, P)), 0);
        CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN + i, W)), 0);
        CU_ASSERT_EQUAL(table(l1)[0], pte_make(MMIO_MFN + i, W | PTE_US));
        CU_ASSERT_EQUAL(update(l1, 1, pte_make(MMIO_MFN + i, W)), 0);
        CU_ASSERT_EQUAL(table(l1)[1], pte_make(MMIO_MFN + i, W | PTE_US));
    }
    teardown();
}

static void test_ram_in_the_place_of_read_only_mmio_has_its_references_back(void)
{
    uint64_t data;

    setup();
    make_read_only_mmio();
    data = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(data, W)), 0);
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED), 0);
    CU_ASSERT_EQUAL(refs(data), 1);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(data, W)), 0);
    CU_ASSERT_EQUAL(refs(data), 2);
    CU_ASSERT_EQUAL(table(l1)[0], pte_make(data, W | PTE_US));
    teardown();
}

static void test_read_only_mmio_must_be_permitted_as_well(void)
{
    setup();
    make_read_only_mmio();
    d->iomem_ro.of[0] = (struct range){ MMIO_MFN, MMIO_MFN + 3 };
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN + 3, W)), -EPERM);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN + 3, P)), -EPERM);
    CU_ASSERT_EQUAL(table(l1)[0], 0);
    teardown();
}

static void test_a_range_that_becomes_read_only_holds_for_all_later_mappings(void)
{
    setup();
    make_read_only_mmio();
    d->iomem_ro.nr = 0;
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED), 0);
    CU_ASSERT_EQUAL(table(l1)[0], RO_ASKED);
    d->iomem_ro.nr = 1;
    CU_ASSERT_EQUAL(va_update(VA + PAGE_SIZE, RO_ASKED), 0);
    CU_ASSERT_EQUAL(table(l1)[1], RO_GIVEN);
    CU_ASSERT_EQUAL(va_update(VA, RO_GIVEN), 0); /* once given up it does not come back */
    CU_ASSERT_EQUAL(va_update(VA, RO_ASKED), 0);
    CU_ASSERT_EQUAL(table(l1)[0], RO_GIVEN);
    teardown();
}

static void test_a_range_that_is_taken_away_does_not_become_writable_again(void)
{
    setup();
    make_read_only_mmio();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, P | PTE_US | UNCACHED)), 0);
    d->iomem.nr = 0;
    CU_ASSERT_EQUAL(va_update(VA, pte_make(MMIO_MFN, W | PTE_US | UNCACHED)), -EPERM);
    CU_ASSERT_EQUAL(table(l1)[0], pte_make(MMIO_MFN, P | PTE_US | UNCACHED));
    teardown();
}

static void test_cache_attributes(void)
{
    uint64_t m, shared = mfn_x(INVALID_MFN);

    setup();
    make_space();
    m = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(m, W | PTE_PCD)), -EINVAL); /* no devices */
    d->is_hwdom = true;
    CU_ASSERT_EQUAL(va_update(VA, pte_make(m, W | PTE_PCD)), 0);
    CU_ASSERT_EQUAL(d->nr_mapped_uncached, 1);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(m, P)), 0);
    cache_flushes = 0;
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, m), 0);
    CU_ASSERT_EQUAL(cache_flushes, 1); /* what we check is what the CPU will walk */
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, m), 0);
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    page_put_allocated(mfn_to_page(_mfn(m)));
    CU_ASSERT_EQUAL(cache_flushes, 2);
    CU_ASSERT_EQUAL(d->nr_mapped_uncached, 0);
    shared = mfn_x(heap_alloc(0, 0));
    page_share(_mfn(shared), d->domain_id);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(shared, W | PTE_PAT)), -EACCES);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(shared, W)), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, shared), -EINVAL);
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, shared), -EINVAL); /* ours: never a table */
    CU_ASSERT_EQUAL(ext(MMUEXT_FLUSH_CACHE, 0), 0);
    d->is_hwdom = false;
    CU_ASSERT_EQUAL(ext(MMUEXT_FLUSH_CACHE, 0), -EACCES);
    page_share(_mfn(shared), DOMID_INVALID);
    page_put(mfn_to_page(_mfn(shared)));
    teardown();
}

static void test_a_frame_once_shared_is_flushed_before_its_next_use(void)
{
    mfn_t m;

    setup();
    make_space();
    m = heap_alloc(0, 0);
    page_share(m, d->domain_id);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(mfn_x(m), P)), 0);
    page_share(m, DOMID_INVALID);
    page_put(mfn_to_page(m));
    CU_ASSERT_EQUAL(va_update(VA, 0), 0); /* the last reference; the guest flushes nothing */
    fake_tlb_flushes = 0;
    CU_ASSERT_EQUAL(mfn_x(heap_alloc(0, 0)), mfn_x(m));
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    heap_free(m, 0);
    teardown();
}

static void test_l1tf_keeps_unsafe_addresses_out_of_entries_not_present(void)
{
    uint64_t t;

    setup();
    make_space();
    arch_l1tf_affected = true;
    CU_ASSERT_EQUAL(va_update(VA, pte_make(5, 0)), -EINVAL);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(5, PTE_RW | PTE_PS)), -EINVAL);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(1ULL << 32 | 5, 0)),
                    -EINVAL); /* above what the L1D looks at */
    CU_ASSERT_EQUAL(va_update(VA, pte_make(NR_FRAMES, 0)), 0);
    CU_ASSERT_EQUAL(va_update(VA, ~5ULL & PTE_ADDR_MASK), 0); /* Linux inverts */
    CU_ASSERT_EQUAL(va_update(VA, PTE_RW | PTE_AVAIL), 0);
    CU_ASSERT_EQUAL(update(l2, 3, pte_make(7, 0)), -EINVAL);
    t = page();
    table(t)[77] = pte_make(9, 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), -EINVAL);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L3_TABLE, t), -EINVAL);
    arch_l1tf_affected = false;
    teardown();
}

static void test_a_change_of_type_flushes_only_who_did_not(void)
{
    uint64_t t;

    setup();
    make_space();
    t = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), 0);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, P)), 0);
    fake_tlb_flushes = 0;
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0); /* the same type again: none */
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    arch_flush_tlb_mask(3);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 2); /* the guest's own was enough */
    CU_ASSERT_EQUAL(va_update(VA, 0), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 3);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(t, W)), 0); /* from table to writable as well */
    CU_ASSERT_EQUAL(fake_tlb_flushes, 4);
    teardown();
}

static void test_roots(void)
{
    uint64_t u;

    setup();
    make_space();
    u = page();
    CU_ASSERT_EQUAL(v->arch.cr3_kernel, l4 << PAGE_SHIFT);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_USER_BASEPTR, u), 0); /* validated without a pin */
    CU_ASSERT_EQUAL(refs(u), 2);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_USER_BASEPTR, u), 0);
    CU_ASSERT_EQUAL(refs(u), 2);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, u), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
    CU_ASSERT_EQUAL(v->arch.cr3_user, 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, l4), 0);
    CU_ASSERT_FALSE(has_flag(u, PGT_IN_USE));
    CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, l4), 0); /* the root keeps it */
    CU_ASSERT_TRUE(is_table(l4, PGT_L4));
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, l3), -EINVAL);
    CU_ASSERT_EQUAL(v->arch.cr3_kernel, l4 << PAGE_SHIFT);
    teardown();
}

static void test_updates_of_tables_in_use(void)
{
    uint64_t a, b;

    setup();
    make_space();
    a = page(), b = page();
    table(a)[0] = pte_make(b, W);
    CU_ASSERT_EQUAL(update(l2, 9, pte_make(a, W)), 0);
    CU_ASSERT_TRUE(is_table(a, PGT_L1));
    CU_ASSERT_EQUAL(update(l2, 10, pte_make(a, W)), 0);
    CU_ASSERT_EQUAL(PGT_COUNT(type_of(a)), 2);
    CU_ASSERT_EQUAL(update(l2, 9, 0), 0);
    CU_ASSERT_TRUE(is_table(a, PGT_L1));
    CU_ASSERT_EQUAL(update(l2, 10, pte_make(l1, W)), 0);
    CU_ASSERT_FALSE(has_flag(a, PGT_IN_USE)); /* free at once, for the next request too */
    req[0] = (struct mmu_update){ (l2 << 12) + 8 * 9, pte_make(a, W) };
    req[1] = (struct mmu_update){ (l2 << 12) + 8 * 9, 0 };
    req[2] = (struct mmu_update){ (l1 << 12) + 8 * 9, pte_make(a, W) };
    req[3] = (struct mmu_update){ (a << 12) + 8, 0x1234567 }; /* an ordinary write */
    req[4] = (struct mmu_update){ (a << 12) | MMU_MACHPHYS_UPDATE, 4711 };
    CU_ASSERT_EQUAL(finish(update_n(5)), 0);
    CU_ASSERT_EQUAL(done, 5);
    CU_ASSERT_EQUAL(table(a)[1], 0x1234567);
    CU_ASSERT_EQUAL(m2p_get(_mfn(a)), 4711);
    CU_ASSERT_EQUAL(update(a, 0, 1), 0);
    req[0].ptr = (l1 << 12) + 4; /* not aligned, as XSA-227: no such command */
    CU_ASSERT_EQUAL(update_n(1), -ENOSYS);
    teardown();
}

static void test_accessed_and_dirty_are_preserved_when_asked(void)
{
    uint64_t m;

    setup();
    make_space();
    m = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(m, W)), 0);
    table(l1)[0] |= PTE_A | PTE_D; /* the CPU does */
    req[0] = (struct mmu_update){ (l1 << 12) | MMU_PT_UPDATE_PRESERVE_AD, pte_make(m, P) };
    CU_ASSERT_EQUAL(update_n(1), 0);
    CU_ASSERT_EQUAL(table(l1)[0], pte_make(m, P | PTE_US | PTE_A | PTE_D));
    CU_ASSERT_EQUAL(update(l1, 0, pte_make(m, P)), 0);
    CU_ASSERT_EQUAL(table(l1)[0], pte_make(m, P | PTE_US));
    teardown();
}

static void test_done_counts_and_faults(void)
{
    uint64_t m;

    setup();
    make_space();
    m = page();
    for (unsigned int i = 0; i < 40; i++)
        req[i] = (struct mmu_update){ (l1 << 12) + 8 * i, pte_make(m, W) };
    req[20].val = pte_make(l1, W);
    CU_ASSERT_EQUAL(update_n(40), -EBUSY);
    CU_ASSERT_EQUAL(done, 20);
    CU_ASSERT_EQUAL(refs(m), 21);
    fake_fail_copy(2); /* a batch that cannot be copied is done one by one, as far as it goes */
    CU_ASSERT_EQUAL(update_n(20), 0);
    CU_ASSERT_EQUAL(done, 20);
    fake_fail_copy(1);
    CU_ASSERT_EQUAL(update_n(1), -EFAULT);
    CU_ASSERT_EQUAL(done, 0);
    for (unsigned int n = 0; n < 20; n++) { /* of 20 only n can be read: they are done */
        fake_guest_unmap_all();
        fake_guest_map(req, n * sizeof(req[0]), FAKE_READ_WRITE);
        fake_guest_map(&done, sizeof(done), FAKE_READ_WRITE);
        CU_ASSERT_EQUAL(update_n(20), -EFAULT);
        CU_ASSERT_EQUAL(done, n);
    }
    fake_fail_copy(1);
    CU_ASSERT_EQUAL(hc_mmu_update((uintptr_t)req, 1u << 31 | 1, (uintptr_t)&done, DOMID_SELF, 0),
                    -EFAULT);
    CU_ASSERT_EQUAL(hc_mmu_update(8, 1, 0, DOMID_SELF, 0), -EFAULT);
    CU_ASSERT_EQUAL(hc_mmuext_op(8, 1, 0, DOMID_SELF, 0), -EFAULT);
    CU_ASSERT_EQUAL(hc_update_va_mapping(VA, 0, UVMF_TLB_FLUSH | 64, 0, 0), -EFAULT);
    CU_ASSERT_EQUAL(table(l1)[0] & P, P);
    teardown();
}

static void test_flushes(void)
{
    setup();
    make_space();
    fake_tlb_flushes = fake_tlb_page_flushes = 0;
    CU_ASSERT_EQUAL(ext(MMUEXT_TLB_FLUSH_LOCAL, 0), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_TLB_FLUSH_ALL, 0), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 2);
    CU_ASSERT_EQUAL(ext(MMUEXT_INVLPG_LOCAL, VA), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_INVLPG_ALL, VA), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_INVLPG_LOCAL, 0x800000000000ULL), 0); /* XSA-279 */
    CU_ASSERT_EQUAL(ext(MMUEXT_INVLPG_ALL, HV_VIRT_START), 0);
    CU_ASSERT_EQUAL(fake_tlb_page_flushes, 2);
    vcpu_bitmap = 2;
    op[0] = (struct mmuext_op){ .cmd = MMUEXT_TLB_FLUSH_MULTI, .arg2.vcpumask.p = &vcpu_bitmap };
    arch_pcpu(0)->tlb_flush_time = arch_pcpu(1)->tlb_flush_time = 0;
    d->vcpu[1]->processor = 0; /* queued there, but still loaded on CPU 1 */
    CU_ASSERT_EQUAL(ext_n(1), 0);
    CU_ASSERT_EQUAL(arch_pcpu(0)->tlb_flush_time, 0);
    CU_ASSERT_NOT_EQUAL(arch_pcpu(1)->tlb_flush_time, 0);
    op[0].arg2.vcpumask.p = (void *)16;
    CU_ASSERT_EQUAL(ext_n(1), -EINVAL);
    CU_ASSERT_EQUAL(hc_update_va_mapping(VA, 0, UVMF_INVLPG | UVMF_ALL, 0, 0), 0);
    CU_ASSERT_EQUAL(hc_update_va_mapping(VA, 0, UVMF_INVLPG | (uintptr_t)&vcpu_bitmap, 0, 0), 0);
    CU_ASSERT_EQUAL(fake_tlb_page_flushes, 4);
    CU_ASSERT_EQUAL(ext(MMUEXT_MARK_SUPER, 0), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(ext(14, 0), -ENOSYS);
    CU_ASSERT_EQUAL(ext(99, 0), -ENOSYS);
    teardown();
}

static void test_descriptor_tables(void)
{
    const uint64_t code0 = 0x00af9a000000ffffULL, gate = 0x00008c0000000000ULL | 8 << 16,
                   code3 = code0 | 3ULL << 45;
    uint64_t g, bad, frames[14];

    setup();
    make_space();
    g = page(), bad = page();
    table(g)[2] = code0;
    table(g)[3] = 0x0000120000000000ULL; /* not present */
    table(bad)[511] = gate;
    frames[0] = g;
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, frames, 16), 0);
    CU_ASSERT_EQUAL(table(g)[2], code3);
    CU_ASSERT_TRUE(is_table(g, PGT_DESC));
    CU_ASSERT_EQUAL(va_update(VA, pte_make(g, W)), -EBUSY);
    CU_ASSERT_EQUAL(va_update(VA, pte_make(g, P)), 0);
    frames[1] = bad;
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, frames, 513), -EINVAL);
    frames[1] = l1;
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, frames, 513), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, frames, MAX_GDT_ENTRIES + 1), -EINVAL);
    CU_ASSERT_EQUAL(v->arch.nr_gdt_ents, 16);
    CU_ASSERT_EQUAL(refs(g), 3);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(desc_update(d, (g << 12) + 8, code0), 0);
    CU_ASSERT_EQUAL(table(g)[1], code3);
    CU_ASSERT_EQUAL(desc_update(d, (g << 12) + 8, gate), -EINVAL);
    CU_ASSERT_EQUAL(desc_update(d, (g << 12) + 4, 0), -EINVAL);
    CU_ASSERT_EQUAL(desc_update(d, l1 << 12, 0), -EINVAL);
    CU_ASSERT_EQUAL(desc_update(d, bad << 12, 0), 0); /* not in use */
    CU_ASSERT_EQUAL(update(g, 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA, 100), 0); /* the same frame, as LDT */
    CU_ASSERT_EQUAL(PGT_COUNT(type_of(g)), 2);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA + 8, 100), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, HV_VIRT_START, 100), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA, 8193), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA, 8192), 0); /* most of it is not there */
    CU_ASSERT_EQUAL(mfn_x(v->arch.ldt_frames[1]), mfn_x(INVALID_MFN));
    CU_ASSERT_EQUAL(va_update(VA + PAGE_SIZE, pte_make(bad, P)), 0);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA + PAGE_SIZE, 1), 0); /* bad contents: faults when used */
    CU_ASSERT_EQUAL(mfn_x(v->arch.ldt_frames[0]), mfn_x(INVALID_MFN));
    CU_ASSERT_EQUAL(va_update(VA + 2 * PAGE_SIZE, pte_make(bad, P)), 0);
    CU_ASSERT_EQUAL(vcpu_set_ldt(v, VA + PAGE_SIZE, 513), 0); /* twice the same: it was for ever */
    CU_ASSERT_EQUAL(ext(MMUEXT_SET_LDT, 0), 0);
    CU_ASSERT_EQUAL(vcpu_set_gdt(v, frames, 0), 0);
    CU_ASSERT_FALSE(has_flag(g, PGT_IN_USE));
    teardown();
}

/* A tree big enough that everything on it is preempted many times. */
static uint64_t make_tree(unsigned int width, uint64_t bad_leaf)
{
    uint64_t top = page(), t3 = page();

    table(top)[0] = pte_make(t3, W);
    for (unsigned int i = 0; i < width; i++) {
        uint64_t t2 = page();

        table(t3)[i] = pte_make(t2, W);
        for (unsigned int k = 0; k < width; k++) {
            uint64_t t1 = page();

            table(t2)[k] = pte_make(t1, W);
            for (unsigned int j = 0; j < 8; j++)
                table(t1)[j] = pte_make(page(), W);
        }
        if (i + 1 == width && bad_leaf)
            table(t2)[width] = pte_make(bad_leaf, W);
    }
    return top;
}

/* update_descriptor on what was half a table, or is a dead one, goes on until that is plain memory. */
static void test_a_descriptor_written_to_an_abandoned_table(void)
{
    uint64_t top;
    int rc = -ERESTART;

    setup();
    top = make_tree(3, 0);
    fake_preempt_every = 1;
    op[0] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = top };
    CU_ASSERT_EQUAL_FATAL(ext_n(1), -ERESTART);
    CU_ASSERT_NOT_EQUAL(type_of(top) & PGT_PARTIAL, 0);
    for (unsigned int n = 0; n < 1000 && rc == -ERESTART; n++)
        rc = desc_update(d, (top << 12) + 4088, 0);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_FALSE(has_flag(top, PGT_IN_USE));
    fake_preempt_every = 0;
    teardown();
}

static void test_emulated_writes(void)
{
    uint64_t m, seen = 0;
    pte_t e;

    setup();
    make_space();
    m = page();
    CU_ASSERT_EQUAL(emulated_write(l1, 8, 0, pte_make(m, W), false, &seen), 0);
    e = pte_make(m, W | PTE_US);
    CU_ASSERT_EQUAL(table(l1)[1], e);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, 0, 0, true, &seen), 1);
    CU_ASSERT_EQUAL(seen, e);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, e, pte_make(l1, W), true, &seen), -EBUSY);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, e, e & ~PTE_RW, true, &seen), 0);
    CU_ASSERT_EQUAL(emulated_write(l1, 8, e & ~PTE_RW, 0, true, &seen), 0);
    CU_ASSERT_EQUAL(refs(m), 1);
    CU_ASSERT_EQUAL(emulated_write(l2, 8, 0, 0, false, &seen), -EAGAIN);
    CU_ASSERT_EQUAL(emulated_write(mfn_x(page_of(other)), 8, 0, 0, false, &seen), -EAGAIN);
    teardown();
}

static void test_pages_copied_and_cleared(void)
{
    uint64_t a, b;

    setup();
    a = page(), b = page();
    memset(table(a), 0x77, PAGE_SIZE);
    op[0] = (struct mmuext_op){ .cmd = MMUEXT_COPY_PAGE, .arg1.mfn = b, .arg2.src_mfn = a };
    op[1] = (struct mmuext_op){ .cmd = MMUEXT_CLEAR_PAGE, .arg1.mfn = a };
    CU_ASSERT_EQUAL(ext_n(2), 0);
    CU_ASSERT_EQUAL(done, 2);
    CU_ASSERT_EQUAL(table(a)[511], 0);
    CU_ASSERT_EQUAL(table(b)[511], 0x7777777777777777ULL);
    teardown();
}

static void test_preempted_at_every_nth_chance(void)
{
    for (unsigned int n = 1; n < 40; n += 1 + n / 8) {
        uint64_t top;
        unsigned int restarts = 0;
        long rc;

        setup();
        top = make_tree(5, 0);
        fake_preempt_every = n;
        op[0] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = top };
        for (rc = ext_n(1); rc == -ERESTART; restarts++) {
            CU_ASSERT_EQUAL(paging_audit(), 0);
            rc = hc_mmuext_op(fake_continued_args[0], fake_continued_args[1],
                              fake_continued_args[2], fake_continued_args[3], 0);
        }
        CU_ASSERT_EQUAL(rc, 0);
        CU_ASSERT_EQUAL(done, 1);
        CU_ASSERT_TRUE(n > 23 || restarts > 0);
        CU_ASSERT_EQUAL(paging_audit(), 0);
        op[0].cmd = MMUEXT_UNPIN_TABLE;
        for (rc = ext_n(1); rc == -ERESTART;) {
            CU_ASSERT_EQUAL(paging_audit(), 0);
            rc = hc_mmuext_op(fake_continued_args[0], fake_continued_args[1],
                              fake_continued_args[2], fake_continued_args[3], 0);
        }
        CU_ASSERT_EQUAL(rc, 0);
        CU_ASSERT_EQUAL(d->dead_tables, 0);
        CU_ASSERT_FALSE(has_flag(top, PGT_IN_USE));
        CU_ASSERT_EQUAL(ext(MMUEXT_NEW_BASEPTR, top), 0);
        teardown();
    }
}

/* XSA-290, XSA-299: a refusal deep in a big tree, and half-done work that nobody comes back to. */
static void test_failing_and_abandoned_validation(void)
{
    for (unsigned int n = 1; n < 12; n++) {
        uint64_t top, bad, t;

        setup();
        bad = page();
        table(bad)[9] = pte_make(bad, W);
        top = make_tree(4, bad);
        fake_preempt_every = n;
        CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, top), -EBUSY);
        CU_ASSERT_EQUAL(paging_audit(), 0);
        CU_ASSERT_EQUAL(finish(hc_mmu_update(0, 0, 0, DOMID_SELF, 0)), 0); /* drains */
        CU_ASSERT_EQUAL(d->dead_tables, 0);
        CU_ASSERT_FALSE(has_flag(top, PGT_IN_USE));
        CU_ASSERT_EQUAL(refs(top), 1);
        table(bad)[9] = 0;
        op[0] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = top };
        if (ext_n(1) == -ERESTART) {
            CU_ASSERT_EQUAL(paging_audit(), 0);
            t = pte_mfn(table(top)[0]);
            CU_ASSERT_EQUAL(update(t, 100, 0), 0); /* wants it as something else: given up */
            CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L1_TABLE, top),
                            0); /* and so here; t is plain memory now */
            CU_ASSERT_EQUAL(ext(MMUEXT_UNPIN_TABLE, top), 0);
            CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, top), 0);
        }
        teardown(); /* dies with whatever is left */
    }
}

/* The random walks below and the fuzzers rely on it. */
static void test_the_audit_finds_what_is_wrong(void)
{
    uint64_t data;
    pte_t e;

    setup();
    make_space();
    data = page();
    CU_ASSERT_EQUAL(va_update(VA, pte_make(data, W)), 0);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    e = table(l1)[0];

    frame_table[data].count_info++;
    CU_ASSERT_EQUAL(paging_audit(), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "references do not add up"));
    frame_table[data].count_info--;
    frame_table[l1].type_info++;
    CU_ASSERT_EQUAL(paging_audit(), 1);
    frame_table[l1].type_info--;
    table(l1)[0] = 0; /* an entry lost: a general and a type reference too many */
    CU_ASSERT_EQUAL(paging_audit(), 2);
    table(l1)[0] = pte_make(l2, W | PTE_US); /* a table becomes writable */
    CU_ASSERT(paging_audit() >= 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "used as another type than it is"));
    table(l1)[0] = e | PTE_G;
    CU_ASSERT_EQUAL(paging_audit(), 1);
    table(l1)[0] = e;
    frame_table[data].type_info = PGT_STAMP(PGT_WRITABLE, 0) | PGT_BUSY;
    CU_ASSERT(paging_audit() >= 1);
    frame_table[data].type_info = (uint64_t)PGT_WRITABLE << PGT_TYPE_SHIFT | PGT_VALID | 1;
    CU_ASSERT_EQUAL(d->vcpu[1]->arch.cr3_user, 0);
    d->vcpu[1]->arch.cr3_user = l4 << PAGE_SHIFT;
    CU_ASSERT_EQUAL(paging_audit(), 1);
    d->vcpu[1]->arch.cr3_user = 0;
    teardown();
}

static void test_death_in_the_middle(void)
{
    uint64_t top, frames[1];

    setup();
    make_space();
    top = make_tree(4, 0);
    frames[0] = page();
    CU_ASSERT_EQUAL(vcpu_set_gdt(d->vcpu[1], frames, 1), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_PIN_L4_TABLE, top), 0);
    CU_ASSERT_EQUAL(ext(MMUEXT_NEW_USER_BASEPTR, top), 0);
    CU_ASSERT_EQUAL(vcpu_set_root(d->vcpu[1], _mfn(top), false), 0);
    fake_preempt_every = 1;
    teardown();
}

/* ---- the hostile guest ---- */

#define NR_GUEST 48u
static uint64_t own[NR_GUEST], hv_page, shared_page;
static uint64_t theirs[5]; /* a page and, pinned, a tree of the other domain's */
static const uint16_t some_index[] = { 0, 1, 2, 255, 256, 271, 272, 511 };

static uint32_t rnd_state;
static uint32_t rnd(uint32_t n)
{
    rnd_state = rnd_state * 1664525 + 1013904223;
    return (rnd_state >> 8) % n;
}
static unsigned int rnd_index(void) { return some_index[rnd(ARRAY_SIZE(some_index))]; }

/* Frames by the part they are meant to play, so that deep trees come about; but not always. */
static uint64_t rnd_page(unsigned int level)
{
    static const uint8_t first[] = { 22, 12, 7, 3, 0 }, last[] = { 48, 22, 12, 7, 3 };

    switch (rnd(60)) {
    case 0: return theirs[rnd(ARRAY_SIZE(theirs))];
    case 1 ... 5: return own[rnd(NR_GUEST)];
    default: break;
    }
    return own[first[level] + rnd(last[level] - first[level])];
}

static pte_t rnd_entry(unsigned int level)
{
    pte_t e = rnd(8) ? PTE_P : 0;

    if (rnd(2))
        e |= PTE_RW;
    if (rnd(40) == 0)
        e |= 1ULL << rnd(64);
    if (level == 1 && d->iomem.nr && rnd(10) == 0)
        return pte_make(MMIO_MFN + rnd(2), e);
    switch (rnd(60)) {
    case 0: return pte_make(hv_page, e);
    case 1: return pte_make(theirs[rnd(ARRAY_SIZE(theirs))], e);
    case 2: return pte_make(shared_page, e);
    case 3: return pte_make(MMIO_MFN + rnd(3), e);
    case 4: return pte_make(rnd(NR_FRAMES + 10), e);
    case 5: return 0;
    default: return pte_make(rnd_page(level ? level - 1 : 0), e);
    }
}

static uint64_t rnd_va(void)
{
    return (uint64_t)((int64_t)((uint64_t)rnd_index() << 55) >> 16) | (uint64_t)rnd_index() << 30 |
           (uint64_t)rnd_index() << 21 | (uint64_t)rnd_index() << 12;
}

/* A CPU of the guest's walks to va, as hardware does, from what it has loaded. */
static void touch(uint64_t root, uint64_t va, bool write)
{
    unsigned int cpu = fake_pcpu->id;
    uint64_t mfn = root >> PAGE_SHIFT;
    bool rw = true;

    if (root == 0 || (va >= HV_VIRT_START && va < HV_VIRT_END))
        return;
    for (unsigned int level = 4; level >= 1; level--) {
        pte_t *p = &table(mfn)[pt_index(va, level)];

        CU_ASSERT_TRUE_FATAL(is_table(mfn, (enum page_type)level));
        tlb_table[cpu][mfn] = (uint8_t)level;
        if (!(*p & PTE_P))
            return;
        rw = rw && (*p & PTE_RW);
        if (level == 1 && write && !rw)
            return;
        *p |= PTE_A | (level == 1 && write ? PTE_D : 0);
        mfn = pte_mfn(*p);
    }
    if (mfn >= NR_FRAMES)
        return;
    tlb_readable[cpu][mfn] = 1;
    if (rw)
        tlb_writable[cpu][mfn] = 1;
}

/* No CPU has a way left to write to a table, to walk what is none, or to see what is not the guest's. */
static bool tlbs_are_safe(void)
{
    for (unsigned int cpu = 0; cpu < NR_CPUS_USED; cpu++)
        for (uint64_t m = 1; m < NR_FRAMES; m++) {
            uint64_t x = type_of(m), c = frame_table[m].count_info;
            bool in_use_as_table = (x & (PGT_VALID | PGT_PARTIAL)) && PGT_TYPE(x) != PGT_WRITABLE;

            if (tlb_writable[cpu][m] && in_use_as_table)
                return false;
            if (tlb_table[cpu][m] && (x & PGT_VALID) && PGT_TYPE(x) != tlb_table[cpu][m])
                return false;
            if ((tlb_readable[cpu][m] || tlb_writable[cpu][m] || tlb_table[cpu][m]) &&
                PGC_COUNT(c) && PGC_OWNER(c) != d->domain_id)
                return false;
        }
    return true;
}

static bool can_write_read_only_mmio(void)
{
    for (unsigned int n = 0; d->iomem_ro.nr && n < NR_GUEST; n++)
        for (unsigned int i = 0; is_table(own[n], PGT_L1) && i < PTES_PER_TABLE; i++)
            if ((table(own[n])[i] & W) == W && pte_mfn(table(own[n])[i]) == RO_MFN)
                return true;
    return false;
}

/* Memory of its own that the guest can write to: not tables. It would need a mapping; assume one. */
static void scribble(void)
{
    unsigned int level = rnd(5);
    uint64_t m = rnd_page(level), x = type_of(m);

    if (PGC_OWNER(frame_table[m].count_info) != d->domain_id)
        return;
    if ((x & PGT_IN_USE) && !is_table(m, PGT_WRITABLE))
        return;
    for (unsigned int n = rnd(4); n--;)
        table(m)[rnd_index()] = rnd_entry(level);
}

static long one_op(void)
{
    unsigned int level = rnd(5), n = 1 + rnd(4);
    uint64_t frames[2], seen;

    switch (rnd(16)) {
    case 0:
    case 1:
    case 2:
        for (unsigned int i = 0; i < n; i++) {
            level = rnd(5);
            req[i].ptr = (rnd_page(level) << PAGE_SHIFT) + rnd_index() * 8 + (rnd(8) ? 0 : rnd(8));
            req[i].val = rnd_entry(level);
        }
        return update_n(n);
    case 3:
    case 4:
    case 5:
        for (unsigned int i = 0; i < n; i++) {
            level = 1 + rnd(4);
            op[i] = (struct mmuext_op){ .cmd = MMUEXT_PIN_L1_TABLE + level - 1,
                                        .arg1.mfn = rnd_page(level) };
            if (rnd(3) == 0)
                op[i].cmd = MMUEXT_UNPIN_TABLE;
        }
        return ext_n(n);
    case 6:
        op[0] = (struct mmuext_op){ .cmd = rnd(2) ? MMUEXT_NEW_BASEPTR : MMUEXT_NEW_USER_BASEPTR,
                                    .arg1.mfn = rnd(6) ? rnd_page(4) : 0 };
        return ext_n(1);
    case 7:
    case 8:
    case 9: return va_update_once(rnd_va(), rnd_entry(1), rnd(3));
    case 10:
        frames[0] = rnd_page(0);
        frames[1] = rnd_page(0);
        vcpu_set_gdt(current, frames, rnd(1025));
        return 0;
    case 11:
        op[0] = (struct mmuext_op){ .cmd = MMUEXT_SET_LDT,
                                    .arg1.linear_addr = rnd_va(),
                                    .arg2.nr_ents = rnd(1025) };
        return ext_n(1);
    case 12:
        op[0] = (struct mmuext_op){ .cmd = rnd(2) ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE,
                                    .arg1.mfn = rnd_page(rnd(5)),
                                    .arg2.src_mfn = rnd_page(rnd(5)) };
        return ext_n(1);
    case 13:
        n = rnd_page(1);
        if (mfn_valid(_mfn(n)))
            emulated_write(n, rnd_index() * 8, rnd_entry(1), rnd_entry(1), rnd(2), &seen);
        return 0;
    case 14: /* balloon out and in */
        n = rnd(NR_GUEST);
        if (rnd(2) && domain_steal_page(d, _mfn(own[n]))) {
            heap_free(_mfn(own[n]), 0);
        } else if (page_get(_mfn(own[n]), d)) {
            page_put_allocated(mfn_to_page(_mfn(own[n])));
            page_put(mfn_to_page(_mfn(own[n])));
        }
        if (rnd(4) == 0) { /* the hypervisor takes a page in between */
            uint64_t old = hv_page;

            hv_page = mfn_x(heap_alloc(0, 0));
            heap_free(_mfn(old), 0);
        }
        own[n] = page();
        return 0;
    default:
        desc_update(d, (rnd_page(0) << PAGE_SHIFT) + rnd_index() * 8,
                    rnd(2) ? 0 : (uint64_t)rnd(1 << 24) << 40);
        return 0;
    }
}

static void other_has_tables(void)
{
    theirs[0] = mfn_x(page_of(other));
    for (unsigned int level = 1; level <= 4; level++) {
        theirs[level] = mfn_x(page_of(other));
        table(theirs[level])[511] = pte_make(theirs[level - 1], W | PTE_US);
    }
    CU_ASSERT_EQUAL_FATAL(paging_pin(other, _mfn(theirs[4]), PGT_L4), 0);
}

static bool other_lost_something(void)
{
    for (unsigned int level = 1; level <= 4; level++)
        if (type_of(theirs[level]) !=
                ((level == 4 ? PGT_PINNED : 0) | TABLE_OF(other->domain_id, level) | 1) ||
            table(theirs[level])[511] != pte_make(theirs[level - 1], W | PTE_US))
            return true;
    return false;
}

static void hostile(uint32_t seed, unsigned int steps)
{
    setup();
    rnd_state = seed;
    for (unsigned int i = 0; i < NR_GUEST; i++)
        own[i] = page();
    hv_page = mfn_x(heap_alloc(0, 0));
    shared_page = mfn_x(heap_alloc(0, 0));
    page_share(_mfn(shared_page), d->domain_id);
    other_has_tables();
    if (seed & 1) {
        d->iomem.nr = 1;
        d->iomem.of[0] = (struct range){ MMIO_MFN, MMIO_MFN + 1 };
        d->iomem_ro.nr = 1;
        d->iomem_ro.of[0] = (struct range){ RO_MFN, RO_MFN };
    }
    arch_l1tf_affected = seed & 2;
    for (unsigned int step = 0; step < steps; step++) {
        long rc;

        fake_cpu(rnd(NR_CPUS_USED));
        fake_preempt_every = rnd(4) ? rnd(6) : 0;
        fake_fail_copy(rnd(16) ? 0 : 1 + rnd(3));
        for (unsigned int n = rnd(4); n--;)
            scribble();
        rc = one_op();
        if (rnd(2)) { /* goes on where it was, on any CPU; or never */
            fake_preempt_every = rnd(3) ? fake_preempt_every : 0;
            fake_fail_copy(0);
            if (rc == -ERESTART)
                rc = finish(rc);
        }
        fake_fail_copy(0);
        for (unsigned int n = rnd(6); n--;)
            touch(rnd(2) ? current->arch.cr3_kernel : current->arch.cr3_user, rnd_va(), rnd(2));
        if (paging_audit() || !tlbs_are_safe() || can_write_read_only_mmio() ||
            other_lost_something() || fake_locks_held()) {
            CU_FAIL("an invariant broke");
            fprintf(stderr, "seed %u step %u: %s\n", seed, step, fake_printed);
            exit(1);
        }
        if (step % 32 == 0)
            CU_ASSERT_EQUAL_FATAL(heap_audit(), 0);
    }
    arch_l1tf_affected = false;
    fake_preempt_every = seed % 3;
    die(d);
    page_share(_mfn(shared_page), DOMID_INVALID);
    page_put(mfn_to_page(_mfn(shared_page)));
    heap_free(_mfn(hv_page), 0);
    teardown();
}

static void test_hostile_guest(void)
{
    const char *s = getenv("HOSTILE_SEED"), *n = getenv("HOSTILE_SEEDS");
    uint32_t first = s ? (uint32_t)atoi(s) : 1, count = n ? (uint32_t)atoi(n) : 24;

    for (uint32_t seed = first; seed < first + count; seed++)
        hostile(seed, 400);
}

int main(void)
{
    CU_pSuite s;

    fake_ram_create(NR_FRAMES);
    heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
    heap_free_range(PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
    arch_tlb_clock = (1ULL << PGT_STAMP_BITS) - 1000; /* wraps */

    CU_initialize_registry();
    s = CU_add_suite("paging", NULL, NULL);
    CU_ADD_TEST(s, test_pinning_takes_and_unpinning_drops_all_references);
    CU_ADD_TEST(s, test_a_table_is_never_writable);
    CU_ADD_TEST(s, test_a_table_that_maps_itself_writable_is_refused);
    CU_ADD_TEST(s, test_linear_tables_are_refused_at_each_level);
    CU_ADD_TEST(s, test_bad_flags_are_refused_also_when_only_flags_change);
    CU_ADD_TEST(s, test_what_a_new_l1_table_maps_is_checked_flag_by_flag);
    CU_ADD_TEST(s, test_our_slots_are_ours);
    CU_ADD_TEST(s, test_addresses_of_ours_are_not_updated);
    CU_ADD_TEST(s, test_tables_of_others_are_not_ours);
    CU_ADD_TEST(s, test_a_table_has_one_reference_on_itself_however_often_it_is_used);
    CU_ADD_TEST(s, test_no_table_is_used_more_often_than_can_be_counted);
    CU_ADD_TEST(s, test_frames_of_others_cannot_be_mapped);
    CU_ADD_TEST(s, test_mmio_by_permitted_range_only);
    CU_ADD_TEST(s, test_update_va_mapping_maps_read_only_mmio_without_the_right_to_write);
    CU_ADD_TEST(s, test_mmu_update_maps_read_only_mmio_without_the_right_to_write);
    CU_ADD_TEST(s, test_a_new_table_loses_the_right_to_write_to_read_only_mmio);
    CU_ADD_TEST(s, test_a_table_refused_behind_read_only_mmio_drops_its_references);
    CU_ADD_TEST(s, test_a_readable_mapping_of_read_only_mmio_stays_so);
    CU_ADD_TEST(s, test_an_emulated_write_maps_read_only_mmio_without_the_right_to_write);
    CU_ADD_TEST(s, test_frames_beside_read_only_mmio_are_writable);
    CU_ADD_TEST(s, test_ram_in_the_place_of_read_only_mmio_has_its_references_back);
    CU_ADD_TEST(s, test_read_only_mmio_must_be_permitted_as_well);
    CU_ADD_TEST(s, test_a_range_that_becomes_read_only_holds_for_all_later_mappings);
    CU_ADD_TEST(s, test_a_range_that_is_taken_away_does_not_become_writable_again);
    CU_ADD_TEST(s, test_cache_attributes);
    CU_ADD_TEST(s, test_a_frame_once_shared_is_flushed_before_its_next_use);
    CU_ADD_TEST(s, test_l1tf_keeps_unsafe_addresses_out_of_entries_not_present);
    CU_ADD_TEST(s, test_a_change_of_type_flushes_only_who_did_not);
    CU_ADD_TEST(s, test_roots);
    CU_ADD_TEST(s, test_updates_of_tables_in_use);
    CU_ADD_TEST(s, test_accessed_and_dirty_are_preserved_when_asked);
    CU_ADD_TEST(s, test_done_counts_and_faults);
    CU_ADD_TEST(s, test_flushes);
    CU_ADD_TEST(s, test_descriptor_tables);
    CU_ADD_TEST(s, test_a_descriptor_written_to_an_abandoned_table);
    CU_ADD_TEST(s, test_emulated_writes);
    CU_ADD_TEST(s, test_pages_copied_and_cleared);
    CU_ADD_TEST(s, test_preempted_at_every_nth_chance);
    CU_ADD_TEST(s, test_failing_and_abandoned_validation);
    CU_ADD_TEST(s, test_the_audit_finds_what_is_wrong);
    CU_ADD_TEST(s, test_death_in_the_middle);
    CU_ADD_TEST(s, test_hostile_guest);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
