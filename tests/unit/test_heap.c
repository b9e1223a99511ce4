/* memory/: references, the allocator, small objects. */
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "alloc.h"
#include "fake.h"
#include "lib/errno.h"
#include "memory/heap.h"

#define NR_FRAMES 8192u /* 32 MiB: two zones */

static struct domain *d;
static uint64_t all_free;

static void setup(void)
{
    fake_reset(2);
    d = fake_domain(3, 1);
    domain_list = d;
    all_free = heap_free_pages();
}

/* All that a test took is free again, and all lists hold together. */
static void teardown(void)
{
    while (domain_relinquish_pages(d))
        ;
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    domain_list = NULL;
    fake_domain_free(d);
}

static mfn_t domain_page(void)
{
    mfn_t m = INVALID_MFN;

    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    return m;
}

static void test_blocks_are_aligned_and_within_the_address_limit(void)
{
    setup();
    for (unsigned int order = 0; order <= 10; order++) {
        mfn_t hi = heap_alloc(order, 0), lo = heap_alloc(order, 24);

        CU_ASSERT_NOT_EQUAL_FATAL(mfn_x(hi), mfn_x(INVALID_MFN));
        CU_ASSERT_NOT_EQUAL_FATAL(mfn_x(lo), mfn_x(INVALID_MFN));
        CU_ASSERT_EQUAL(mfn_x(hi) & ((1u << order) - 1), 0);
        CU_ASSERT_EQUAL(mfn_x(lo) & ((1u << order) - 1), 0);
        CU_ASSERT_TRUE(mfn_x(hi) >= 4096); /* high memory first */
        CU_ASSERT_TRUE(mfn_x(lo) + (1u << order) <= 4096);
        CU_ASSERT_EQUAL(heap_audit(), 0);
        heap_free(hi, order);
        heap_free(lo, order);
    }
    CU_ASSERT_EQUAL(mfn_x(heap_alloc(0, 20)), mfn_x(INVALID_MFN));
    CU_ASSERT_EQUAL(mfn_x(heap_alloc(HEAP_MAX_ORDER + 1, 0)), mfn_x(INVALID_MFN));
    teardown();
}

static void test_random_blocks_never_overlap_and_merge_again(void)
{
    struct {
        mfn_t m;
        unsigned int order;
    } have[64];
    unsigned int n = 0;

    setup();
    srand(1);
    for (unsigned int step = 0; step < 4000; step++) {
        if (n < 64 && rand() % 2) {
            have[n].order = (unsigned int)rand() % 7;
            have[n].m = heap_alloc(have[n].order, rand() % 4 ? 0 : 24);
            if (mfn_x(have[n].m) == mfn_x(INVALID_MFN))
                continue;
            for (unsigned int i = 0; i < 1u << have[n].order; i++) {
                uint64_t *p = mfn_to_virt(_mfn(mfn_x(have[n].m) + i));

                *p = mfn_x(have[n].m) << 8 | n;
            }
            n++;
        } else if (n) {
            unsigned int k = (unsigned int)rand() % n;

            for (unsigned int i = 0; i < 1u << have[k].order; i++)
                CU_ASSERT_EQUAL(*(uint64_t *)mfn_to_virt(_mfn(mfn_x(have[k].m) + i)) >> 8,
                                mfn_x(have[k].m));
            heap_free(have[k].m, have[k].order);
            have[k] = have[--n];
        }
        if (step % 64 == 0)
            CU_ASSERT_EQUAL(heap_audit(), 0);
    }
    while (n--)
        heap_free(have[n].m, have[n].order);
    have[0].m = heap_alloc(12, 0); /* the whole upper zone is one block again */
    CU_ASSERT_EQUAL(mfn_x(have[0].m), 4096);
    heap_free(have[0].m, 12);
    teardown();
}

static void test_a_domain_sees_only_scrubbed_memory(void)
{
    mfn_t m;

    setup();
    m = heap_alloc(0, 0);
    memset(mfn_to_virt(m), 0x5a, PAGE_SIZE);
    heap_free(m, 0);
    for (unsigned int i = 0; i < 64; i++) {
        const uint64_t *p = mfn_to_virt(domain_page());

        for (unsigned int k = 0; k < 512; k++)
            CU_ASSERT_EQUAL_FATAL(p[k], 0);
        memset((void *)p, 0xa5, PAGE_SIZE);
    }
    teardown();
}

static void test_references_check_owner_and_count(void)
{
    struct domain *other = fake_domain(4, 1);
    struct page_info *pg;
    mfn_t m, hv;

    setup();
    m = domain_page();
    pg = mfn_to_page(m);
    hv = heap_alloc(0, 0);
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_PTR_NULL(page_get(m, other));
    CU_ASSERT_PTR_NULL(page_get(hv, d));
    CU_ASSERT_PTR_NULL(page_get(_mfn(NR_FRAMES), d));
    CU_ASSERT_PTR_NULL(page_get(INVALID_MFN, d));
    CU_ASSERT_EQUAL(PGC_COUNT(pg->count_info), 3);
    pg->count_info += PGC_COUNT_MAX - 3;
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_PTR_NULL(page_get(m, d)); /* full */
    pg->count_info -= PGC_COUNT_MAX + 1 - 3;
    page_put(pg);
    page_put(pg);
    CU_ASSERT_TRUE(page_put_allocated(pg));
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_PTR_NULL(page_get(m, d)); /* free */
    heap_free(hv, 0);
    fake_domain_free(other);
    teardown();
}

static void test_a_frame_in_use_outlives_its_allocation(void)
{
    mfn_t m;

    setup();
    m = domain_page();
    domain_page();
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_TRUE(page_put_allocated(mfn_to_page(m)));
    CU_ASSERT_FALSE(page_put_allocated(mfn_to_page(m)));
    CU_ASSERT_EQUAL(d->nr_pages, 2);
    CU_ASSERT_EQUAL(domain_relinquish_pages(d), 0);
    CU_ASSERT_EQUAL(d->nr_pages, 1);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    page_put(mfn_to_page(m));
    CU_ASSERT_EQUAL(m2p_get(m), INVALID_M2P_ENTRY);
    teardown();
}

static void test_limits(void)
{
    mfn_t m;

    setup();
    d->max_pages = 5;
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 2, 0, &m), 0);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 1, 0, &m), -E2BIG);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 63, 0, &m), -E2BIG);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), -E2BIG);
    CU_ASSERT_EQUAL(d->nr_pages, 5);
    d->max_pages = ~0ULL;
    CU_ASSERT_EQUAL(domain_alloc_pages(d, HEAP_MAX_ORDER, 0, &m), -ENOMEM);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, HEAP_MAX_ORDER + 1, 0, &m), -ENOMEM);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 63, 0, &m), -ENOMEM);
    CU_ASSERT_EQUAL(d->nr_pages, 5);
    d->is_dying = true;
    CU_ASSERT_NOT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    CU_ASSERT_EQUAL(d->nr_pages, 5);
    teardown();
}

static void test_some_of_a_block(void)
{
    unsigned int order = 99;
    mfn_t whole, part;

    setup();
    whole = heap_alloc(5, 0);
    heap_free_frames(_mfn(mfn_x(whole) + 4), 2); /* a block of order 1 among what is in use */
    part = heap_alloc_some(NULL, 0, 3, 0, &order);
    CU_ASSERT_EQUAL(mfn_x(part), mfn_x(whole) + 4); /* the smallest there is */
    CU_ASSERT_EQUAL(order, 1);
    part = heap_alloc_some(NULL, 0, 3, 0, &order);
    CU_ASSERT_EQUAL(order, 3);
    CU_ASSERT_EQUAL(mfn_x(part) & 7, 0);
    heap_free(part, 3);
    part = heap_alloc_some(NULL, 2, 2, 24, &order);
    CU_ASSERT_EQUAL(order, 2);
    CU_ASSERT_TRUE(mfn_x(part) < 4096);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    heap_free(part, 2);
    CU_ASSERT_EQUAL(mfn_x(heap_alloc_some(NULL, HEAP_MAX_ORDER + 1, HEAP_MAX_ORDER + 2, 0, &order)),
                    mfn_x(INVALID_MFN));
    heap_free(whole, 5);
    teardown();
}

static void test_populate(void)
{
    uint64_t list[16], m;

    setup();
    for (unsigned int i = 0; i < 16; i++) {
        memset(mfn_to_virt(heap_alloc(0, 0)), 0x5a, PAGE_SIZE);
        list[i] = 1000 + 7 * i;
    }
    all_free -= 16;
    d->max_pages = 1000;
    CU_ASSERT_EQUAL(domain_populate(d, 0, 0, list, 13), 13);
    CU_ASSERT_EQUAL(d->nr_pages, 13);
    CU_ASSERT_EQUAL(list[13], 1000 + 7 * 13);
    for (unsigned int i = 0; i < 13; i++) {
        CU_ASSERT_EQUAL(m2p_get(_mfn(list[i])), 1000 + 7 * i);
        CU_ASSERT_EQUAL(PGC_OWNER(mfn_to_page(_mfn(list[i]))->count_info), 3);
        CU_ASSERT_EQUAL(*(uint64_t *)mfn_to_virt(_mfn(list[i])), 0);
        for (unsigned int k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(list[i], list[k]);
    }
    list[0] = 5000, list[1] = 7000, list[2] = 9000;
    CU_ASSERT_EQUAL(domain_populate(d, 2, 24, list, 3), 3);
    for (unsigned int i = 0; i < 3; i++)
        for (unsigned int k = 0; k < 4; k++)
            CU_ASSERT_EQUAL(m2p_get(_mfn(list[i] + k)), 5000 + 2000 * i + k);
    CU_ASSERT_TRUE(list[0] < 4096);
    CU_ASSERT_EQUAL(domain_populate(d, 0, 20, list, 3), 0); /* there is no such memory */
    d->max_pages = d->nr_pages + 5;
    CU_ASSERT_EQUAL(domain_populate(d, 1, 0, list, 16), 2); /* as far as it goes */
    CU_ASSERT_EQUAL(domain_populate(d, 1, 0, list, 16), 0);
    m = list[0];
    d->max_pages = 0;
    CU_ASSERT_EQUAL(domain_populate(d, 0, 0, list, 1), 0);
    d->max_pages = 1000;
    d->is_dying = true;
    CU_ASSERT_EQUAL(domain_populate(d, 0, 0, list, 16), 0);
    while (domain_relinquish_pages(d))
        ;
    CU_ASSERT_EQUAL(m2p_get(_mfn(m)), INVALID_M2P_ENTRY);
    for (m = 1; m < NR_FRAMES; m++)
        CU_ASSERT_EQUAL_FATAL(m2p_get(_mfn(m)), INVALID_M2P_ENTRY);
    teardown();
}

static void test_populate_takes_what_is_there(void)
{
    uint64_t list[16];
    unsigned int n, all = 0;

    setup();
    d->max_pages = ~0ULL;
    while ((n = domain_populate(d, 0, 0, list, 11)) > 0)
        all += n;
    CU_ASSERT_EQUAL(all, all_free);
    CU_ASSERT_EQUAL(heap_free_pages(), 0);
    teardown();
}

/* From the moment that they are the domain's nobody here writes to their entries. */
static void test_frames_without_a_pfn_have_none_from_the_start(void)
{
    uint64_t list = INVALID_M2P_ENTRY;
    mfn_t m;

    setup();
    d->max_pages = 16;
    CU_ASSERT_EQUAL(domain_populate(d, 2, 0, &list, 1), 1);
    for (uint64_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(m2p_get(_mfn(list + i)), INVALID_M2P_ENTRY);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 1, 0, &m), 0);
    CU_ASSERT_EQUAL(m2p_get(m), INVALID_M2P_ENTRY);
    CU_ASSERT_EQUAL(m2p_get(_mfn(mfn_x(m) + 1)), INVALID_M2P_ENTRY);
    teardown();
}

static void test_steal_and_assign(void)
{
    mfn_t m;

    setup();
    m = domain_page();
    memset(mfn_to_virt(m), 7, PAGE_SIZE);
    m2p_set(m, 99);
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_FALSE(domain_steal_page(d, m)); /* somebody uses it */
    CU_ASSERT_FALSE(domain_steal_page(d, _mfn(NR_FRAMES)));
    CU_ASSERT_FALSE(domain_steal_page(d, INVALID_MFN));
    CU_ASSERT_FALSE(domain_steal_page(d, _mfn(0)));
    page_put(mfn_to_page(m));
    CU_ASSERT_TRUE(domain_steal_page(d, m));
    CU_ASSERT_FALSE(domain_steal_page(d, m));
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_PTR_NULL(page_get(m, d));
    fake_tlb_flushes = 0;
    CU_ASSERT_EQUAL(domain_assign_page(d, m), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1); /* it may still be in somebody's TLB */
    CU_ASSERT_EQUAL(*(uint8_t *)mfn_to_virt(m), 7);
    CU_ASSERT_EQUAL(m2p_get(m), 99);
    CU_ASSERT_EQUAL(d->nr_pages, 1);
    teardown();
}

static void test_a_freed_frame_is_flushed_from_tlbs_before_it_is_used_again(void)
{
    mfn_t m[4096];
    unsigned int n = 0;

    setup();
    while (n < 4096 && domain_alloc_pages(d, 0, 0, &m[n]) == 0)
        n++;
    fake_tlb_flushes = 0;
    page_put_allocated(mfn_to_page(m[0]));
    m[0] = heap_alloc(0, 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    heap_free(m[0], 0);
    m[0] = heap_alloc(0, 0); /* between, only the hypervisor had it */
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    page_put_allocated(mfn_to_page(m[1]));
    arch_flush_tlb_mask(3);
    m[1] = heap_alloc(0, 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 2); /* that was enough */
    heap_free(m[0], 0);
    heap_free(m[1], 0);
    teardown();
}

static unsigned int flushed_bytes;
static bool dies_meanwhile; /* another CPU gives the domain's frames up during a cache flush */
void arch_cache_flush(const void *p, size_t len)
{
    (void)p;
    flushed_bytes += (unsigned int)len;
    if (dies_meanwhile && !spin_is_held(&d->page_lock)) { /* else it waits for the lock */
        CU_ASSERT_EQUAL(domain_relinquish_pages(d), 0);
        CU_ASSERT_TRUE(d->nr_pages <= 1); /* what is being stolen, at most */
    }
}

static void test_an_uncached_frame_is_flushed_when_freed(void)
{
    mfn_t m;

    setup();
    m = domain_page();
    flushed_bytes = 0;
    mfn_to_page(m)->count_info |= 3ULL << PGC_CACHE_SHIFT;
    d->nr_mapped_uncached = 1;
    page_put_allocated(mfn_to_page(m));
    CU_ASSERT_EQUAL(flushed_bytes, PAGE_SIZE);
    CU_ASSERT_EQUAL(d->nr_mapped_uncached, 0);
    CU_ASSERT_EQUAL(mfn_to_page(m)->count_info & PGC_CACHE_MASK, 0);
    teardown();
}

/* A stolen frame at the head of the list must not look like the end of those that are ALLOCATED. */
static void test_a_frame_being_stolen_does_not_hide_the_others_from_death(void)
{
    mfn_t m;

    setup();
    domain_page();
    m = domain_page();
    mfn_to_page(m)->count_info |= 3ULL << PGC_CACHE_SHIFT;
    d->nr_mapped_uncached = 1;
    dies_meanwhile = true;
    CU_ASSERT_TRUE(domain_steal_page(d, m));
    if (!spin_is_held(&d->page_lock))
        arch_cache_flush(NULL, 0); /* at the latest now */
    dies_meanwhile = false;
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_EQUAL(d->page_list, 0);
    heap_free(m, 0);
    teardown();
}

static void test_a_shared_frame_is_mappable_but_not_the_domains(void)
{
    void *page;
    mfn_t m;

    setup();
    page = alloc_page();
    m = virt_to_mfn(page);
    page_share(m, d->domain_id);
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_PTR_NOT_NULL(page_get(m, d));
    CU_ASSERT_FALSE(domain_steal_page(d, m));
    CU_ASSERT_FALSE(page_put_allocated(mfn_to_page(m))); /* as decrease_reservation tries */
    m2p_set(m, 77);                                      /* as the guest may */
    page_share(m, DOMID_INVALID);
    page_put(mfn_to_page(m));
    CU_ASSERT_PTR_NULL(page_get(m, d));
    CU_ASSERT_EQUAL(heap_free_pages(), all_free - 1);
    page_put(mfn_to_page(m));
    CU_ASSERT_EQUAL(m2p_get(m), INVALID_M2P_ENTRY);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    teardown();
}

static void test_small_objects(void)
{
    struct {
        uint8_t *p;
        size_t n;
    } have[256] = { { NULL, 0 } };

    setup();
    srand(2);
    for (unsigned int step = 0; step < 20000; step++) {
        unsigned int k = (unsigned int)rand() % 256;

        if (have[k].p) {
            for (size_t i = 0; i < have[k].n; i++)
                CU_ASSERT_EQUAL_FATAL(have[k].p[i], (uint8_t)k);
            xfree(have[k].p);
            have[k].p = NULL;
            continue;
        }
        have[k].n = 1 + (size_t)rand() % (rand() % 4 ? 200 : PAGE_SIZE);
        have[k].p = xmalloc(have[k].n);
        CU_ASSERT_PTR_NOT_NULL_FATAL(have[k].p);
        CU_ASSERT_EQUAL((uintptr_t)have[k].p % (have[k].n >= 64 ? 64 : 16), 0);
        for (size_t i = 0; i < have[k].n; i++)
            CU_ASSERT_EQUAL_FATAL(have[k].p[i], 0);
        memset(have[k].p, (int)k, have[k].n);
    }
    for (unsigned int k = 0; k < 256; k++)
        xfree(have[k].p);
    CU_ASSERT_TRUE(heap_free_pages() + 9 >= all_free); /* one slab of each class is kept */
    all_free = heap_free_pages();
    CU_ASSERT_PTR_NULL(xmalloc(PAGE_SIZE + 1));
    teardown();
}

static void test_page_runs(void)
{
    setup();
    for (unsigned int n = 1; n < 20; n++) {
        uint8_t *p = xmalloc_pages(n * PAGE_SIZE - 5);

        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_EQUAL(heap_free_pages(), all_free - n);
        memset(p, 1, n * PAGE_SIZE);
        xfree_pages(p, n * PAGE_SIZE - 5);
        CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    }
    CU_ASSERT_PTR_NULL(xmalloc_pages(0));
    teardown();
}

static void test_out_of_memory_leaves_nothing_behind(void)
{
    mfn_t m;

    setup();
    while (domain_alloc_pages(d, 0, 0, &m) == 0)
        ;
    CU_ASSERT_EQUAL(heap_free_pages(), 0);
    CU_ASSERT_EQUAL(d->nr_pages, all_free);
    CU_ASSERT_PTR_NULL(xmalloc(2000));
    CU_ASSERT_PTR_NULL(xmalloc_pages(PAGE_SIZE * 2));
    fake_preempt_every = 2;
    CU_ASSERT_EQUAL(domain_relinquish_pages(d), -ERESTART);
    teardown();
}

int main(void)
{
    CU_pSuite s;

    fake_ram_create(NR_FRAMES);
    memset(fake_ram, 0xcc, NR_FRAMES * PAGE_SIZE);
    heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
    heap_free_range(0, 5000); /* not whole frames, and never frame 0 */
    heap_free_range(5000, NR_FRAMES * PAGE_SIZE - 1);
    heap_free_range((NR_FRAMES - 1) * PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
    if (heap_free_pages() != NR_FRAMES - 2)
        return 2;
    heap_free_range(PAGE_SIZE, 2 * PAGE_SIZE);

    CU_initialize_registry();
    s = CU_add_suite("heap", NULL, NULL);
    CU_ADD_TEST(s, test_blocks_are_aligned_and_within_the_address_limit);
    CU_ADD_TEST(s, test_random_blocks_never_overlap_and_merge_again);
    CU_ADD_TEST(s, test_a_domain_sees_only_scrubbed_memory);
    CU_ADD_TEST(s, test_references_check_owner_and_count);
    CU_ADD_TEST(s, test_a_frame_in_use_outlives_its_allocation);
    CU_ADD_TEST(s, test_limits);
    CU_ADD_TEST(s, test_some_of_a_block);
    CU_ADD_TEST(s, test_populate);
    CU_ADD_TEST(s, test_populate_takes_what_is_there);
    CU_ADD_TEST(s, test_frames_without_a_pfn_have_none_from_the_start);
    CU_ADD_TEST(s, test_steal_and_assign);
    CU_ADD_TEST(s, test_a_freed_frame_is_flushed_from_tlbs_before_it_is_used_again);
    CU_ADD_TEST(s, test_an_uncached_frame_is_flushed_when_freed);
    CU_ADD_TEST(s, test_a_frame_being_stolen_does_not_hide_the_others_from_death);
    CU_ADD_TEST(s, test_a_shared_frame_is_mappable_but_not_the_domains);
    CU_ADD_TEST(s, test_small_objects);
    CU_ADD_TEST(s, test_page_runs);
    CU_ADD_TEST(s, test_out_of_memory_leaves_nothing_behind);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
