/*
 * XSA-100, XSA-385: what is in memory that a domain gets, and how much it can get.
 * The story: advisories/xsa-100-385.md.
 */
#include "xsa.h"

#define LIST 512u
#define NR_MAX 60000u

static xen_pfn_t taken[NR_MAX], lists[MAX_VCPUS][LIST];
static uint64_t nr_taken;
static char window[PAGE_SIZE] __attribute__((aligned(4096)));

/* Words that are not zero. */
static uint64_t content(uint64_t mfn, bool fill)
{
    uint64_t *p = (uint64_t *)window, n = 0;

    CHECK_EQ(update_va(window, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < 512; i++)
        n += p[i] != 0;
    if (fill)
        memset(p, 0xa5, PAGE_SIZE);
    return n;
}

/* As much as there is, by all vCPUs at once. */
static void take(unsigned int me)
{
    long rc = 1;

    while (rc > 0 && phase_on()) {
        uint64_t nr = 1 + random() % LIST, first;

        for (uint64_t i = 0; i < nr; i++)
            lists[me][i] = start_info->nr_pages + i;
        rc = reservation(XENMEM_populate_physmap, lists[me], nr);
        if (rc > 0) {
            first = ADD(nr_taken, (uint64_t)rc);
            if (first + (uint64_t)rc > NR_MAX)
                error("more memory than was thought of");
            memcpy(&taken[first], lists[me], (uint64_t)rc * sizeof(xen_pfn_t));
        }
    }
}

static void all_at_once(long max, long pages)
{
    xen_pfn_t list[1] = { 1 };
    unsigned int wrong = 0;

    nr_taken = 0;
    phase("take", 2500, take);
    while (reservation_flags(XENMEM_populate_physmap, list, 1, 0, 0) == 1)
        taken[nr_taken++] = list[0];
    print("xsa_100_385: %lu pages on top of %ld, limit %ld\n", nr_taken, pages, max);
    CHECK_EQ(current_pages(), pages + (long)nr_taken);
    CHECK(current_pages() <= max);
    /* XSA-385: numbers and orders whose sum with what there is may have overflowed */
    for (unsigned int order = 0; order < 64; order++)
        for (uint64_t nr = 1; nr; nr <<= 7) {
            list[0] = 1;
            wrong += reservation_flags(XENMEM_populate_physmap, list, nr, order, 0) != 0;
        }
    attack("limit.beyond", wrong, 0);
    CHECK(nr_taken > 1000);
}

static void give_back(void)
{
    for (uint64_t i = 0; i < nr_taken; i += LIST) {
        uint64_t nr = nr_taken - i < LIST ? nr_taken - i : LIST;

        CHECK_EQ(reservation(XENMEM_decrease_reservation, &taken[i], nr), nr);
    }
}

void test_main(void)
{
    domid_t self = DOMID_SELF;
    long max = hc(memory_op, XENMEM_maximum_reservation, &self), pages = current_pages();
    uint64_t own = virt_to_mfn(window), dirty = 0;

    attacks_begin();
    smp_init();
    /* what the hypervisor itself, the boot loader and others have left */
    all_at_once(max, pages);
    for (uint64_t i = 0; i < nr_taken; i++)
        dirty += content(taken[i], true);
    attack("scrub.first", (long)dirty, 0);
    CHECK_EQ(update_va(window, own << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    give_back();
    CHECK_EQ(current_pages(), pages);
    /* what we have left ourselves */
    nr_taken = 0;
    phase("take again", 2500, take);
    dirty = 0;
    for (uint64_t i = 0; i < nr_taken; i++)
        dirty += content(taken[i], false);
    attack("scrub.again", (long)dirty, 0);
    CHECK_EQ(update_va(window, own << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    give_back();
    CHECK_EQ(current_pages(), pages);
    witness_check();
}
