/*
 * grant/: what is granted and what is not, and what each use holds. Deaths are test_grant_death.c's.
 */
#include "grant_machine.h"

/* ---- one rule each ---- */

static void test_a_mapping_shows_in_entry_pte_and_references(void)
{
    uint64_t p;

    setup();
    p = page(g);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA_OF(3), GNTMAP_host_map | 2u << _GNTMAP_guest_avail0), 0);
    CU_ASSERT_EQUAL(args.map[0].dev_bus_addr, p << PAGE_SHIFT);
    CU_ASSERT_EQUAL(*pte(m, 3), pte_make(p, W | PTE_A | PTE_D | PTE_NX | 2u << 9));
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(refs(p), 3); /* the owner's, the entry's, the mapping's */
    CU_ASSERT_EQUAL(writers(p), 2);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA_OF(4), GNTMAP_host_map | GNTMAP_readonly), 0);
    CU_ASSERT_EQUAL(args.map[0].handle, 1);
    CU_ASSERT_EQUAL(*pte(m, 4), pte_make(p, R | PTE_A | PTE_D | PTE_NX));
    CU_ASSERT_EQUAL(refs(p), 5);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 0);
    CU_ASSERT_EQUAL(unmap(m, 0, VA_OF(3), 0), 0);
    CU_ASSERT_EQUAL(*pte(m, 3), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), GTF_reading);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    CU_ASSERT_EQUAL(unmap(m, 1, VA_OF(4), 0), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), 0);
    CU_ASSERT_EQUAL(refs(p), 1);
    CU_ASSERT_EQUAL(writers(p), 0);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 2);
    CU_ASSERT_EQUAL(unmap(m, 1, VA_OF(4), 0), GNTST_bad_handle);
    teardown();
}

static void test_one_may_map_what_one_grants_oneself(void)
{
    uint64_t p;

    setup();
    p = page(g);
    grant(g, 9, g, p, 0);
    CU_ASSERT_EQUAL(map(g, g, 9, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(unmap(g, 0, VA, 0), 0);
    CU_ASSERT_EQUAL(map(g, g, 9, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(args.map[0].handle, 0);
    teardown(); /* also by one's death */
}

static void test_what_is_not_granted_is_not_mapped(void)
{
    uint64_t p, theirs, mine;
    struct grant_entry_v1 before;
    const struct {
        uint16_t flags;
        int to; /* domain */
        uint64_t frame;
        uint32_t map_flags;
    } cases[] = {
        { GTF_invalid, 2, 0, GNTMAP_host_map },
        { GTF_accept_transfer, 2, 0, GNTMAP_host_map },
        { GTF_transitive, 2, 0, GNTMAP_host_map },
        { GTF_permit_access | GTF_sub_page, 2, 0, GNTMAP_host_map },
        { GTF_permit_access, 0, 0, GNTMAP_host_map },
        { GTF_permit_access, 1, 0, GNTMAP_host_map },
        { GTF_permit_access, DOMID_SELF, 0, GNTMAP_host_map },
        { GTF_permit_access | GTF_readonly, 2, 0, GNTMAP_host_map },
        { GTF_permit_access, 2, 1, GNTMAP_host_map },
        { GTF_permit_access, 2, 2, GNTMAP_host_map | GNTMAP_readonly },
        { GTF_permit_access, 2, NR_FRAMES, GNTMAP_host_map },
        { GTF_permit_access, 2, ~0u, GNTMAP_host_map | GNTMAP_readonly },
        { GTF_permit_access, 2, 3, GNTMAP_host_map }, /* a page table, for writing */
    };

    setup();
    p = page(g), theirs = page(c), mine = page(m);
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t f = cases[i].frame, frame = f == 0 ? p : f == 1 ? theirs : f == 2 ? mine : f;

        frame = f == 3 ? g->l2 : frame;
        before = (struct grant_entry_v1){ cases[i].flags, (domid_t)cases[i].to, (uint32_t)frame };
        g->shared[8] = before;
        CU_ASSERT_EQUAL(map(m, g, 8, VA, cases[i].map_flags), GNTST_general_error);
        CU_ASSERT_EQUAL(memcmp(&g->shared[8], &before, sizeof(before)), 0);
        CU_ASSERT_EQUAL(*pte(m, 0), 0);
        CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    }
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map | GNTMAP_readonly),
                    0); /* a table may be read */
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 512, VA, GNTMAP_host_map), GNTST_bad_gntref);
    CU_ASSERT_EQUAL(map(m, g, ~0u, VA, GNTMAP_host_map), GNTST_bad_gntref);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_readonly), GNTST_bad_gntref);
    map_arg(0, g, 8, VA, GNTMAP_host_map);
    args.map[0].dom = 55;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_map_grant_ref, 1), 0);
    CU_ASSERT_EQUAL(args.map[0].status, GNTST_bad_domain);
    grant(m, 8, m, mine, 0);
    map_arg(0, m, 8, VA, GNTMAP_host_map);
    args.map[0].dom = DOMID_SELF;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_map_grant_ref, 1), 0);
    CU_ASSERT_EQUAL(args.map[0].status, GNTST_bad_domain);
    teardown();
}

static void test_a_map_that_was_refused_leaves_nothing_behind(void)
{
    setup();
    CU_ASSERT_EQUAL(map(m, g, 9, VA, GNTMAP_host_map), GNTST_general_error);
    teardown(); /* counts */
}

static void test_without_a_page_table_entry_nothing_is_mapped(void)
{
    uint64_t p, hv = HV_VIRT_START, l1;
    uint32_t by_pte = GNTMAP_host_map | GNTMAP_contains_pte;

    setup();
    p = page(g);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, NO_VA, GNTMAP_host_map), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, hv, GNTMAP_host_map), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, 1ULL << 63, GNTMAP_host_map), GNTST_general_error);
    l1 = m->l1 << PAGE_SHIFT;
    CU_ASSERT_EQUAL(map(m, g, 8, l1 + 4, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, m->l2 << PAGE_SHIFT, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, g->l1 << PAGE_SHIFT, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, mfn_x(page_of(m)) << PAGE_SHIFT, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, ~7ULL, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(map(m, g, 8, (uint64_t)NR_FRAMES << PAGE_SHIFT, by_pte), GNTST_general_error);
    CU_ASSERT_EQUAL(in_use(g, 8), 0);
    CU_ASSERT_EQUAL(refs(p), 1);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    CU_ASSERT_EQUAL(map(m, g, 8, l1 + 511 * 8, by_pte), 0);
    CU_ASSERT_EQUAL(pte_mfn(*pte(m, 511)), p);
    CU_ASSERT_EQUAL(unmap(m, 0, VA_OF(511), 0), GNTST_general_error); /* by its entry, only */
    CU_ASSERT_EQUAL(replace(m, 0, VA_OF(511), VA), GNTST_general_error);
    CU_ASSERT_EQUAL(replace(m, 0, l1 + 511 * 8, VA), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 0, l1 + 511 * 8, 0), 0);
    CU_ASSERT_EQUAL(*pte(m, 511), 0);
    teardown();
}

static void test_what_was_mapped_there_is_let_go(void)
{
    uint64_t p, own;

    setup();
    p = page(g), own = page(m);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(update(m, m->l1, 0, pte_make(own, W)), 0);
    CU_ASSERT_EQUAL(refs(own), 2);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(refs(own), 1);
    CU_ASSERT_EQUAL(writers(own), 0);
    /* the same again over itself: two uses, one entry */
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(refs(p), 4);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(unmap(m, 1, VA, 0), GNTST_general_error);
    teardown();
}

/* XSA-234: who may write must not keep doing so because another's entry was removed. */
static void test_only_an_entry_like_its_own_is_removed(void)
{
    uint64_t p, other;

    setup();
    p = page(g), other = page(g);
    grant(g, 8, m, p, 0);
    grant(g, 9, m, p, GTF_readonly);
    grant(g, 10, m, other, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA_OF(0), GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(map(m, g, 9, VA_OF(1), GNTMAP_host_map | GNTMAP_readonly), 0);
    CU_ASSERT_EQUAL(map(m, g, 10, VA_OF(2), GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(unmap(m, 0, VA_OF(1), 0), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 1, VA_OF(0), 0), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 0, VA_OF(2), 0), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 0, VA_OF(3), 0), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 0, NO_VA, 0), GNTST_general_error);
    CU_ASSERT_EQUAL(unmap(m, 3, VA_OF(0), 0), GNTST_bad_handle);
    CU_ASSERT_EQUAL(unmap(m, ~0u, VA_OF(0), 0), GNTST_bad_handle);
    CU_ASSERT_EQUAL(unmap(m, 0, 0, 0), 0); /* nothing to do */
    CU_ASSERT_EQUAL(fake_tlb_flushes, 0);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(in_use(g, 9), GTF_reading);
    CU_ASSERT_EQUAL(unmap(g, 0, VA_OF(0), 0), GNTST_bad_handle); /* another domain's handle */
    teardown();
}

static void test_for_devices_the_machine_address_is_all(void)
{
    uint64_t p;

    setup();
    p = page(g);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map | GNTMAP_device_map), 0);
    CU_ASSERT_EQUAL(args.map[0].dev_bus_addr, p << PAGE_SHIFT);
    CU_ASSERT_EQUAL(unmap(m, 0, 0, (p + 1) << PAGE_SHIFT), GNTST_bad_dev_addr);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(refs(p), 2);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0); /* no such mapping any more: nothing to do */
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, p << PAGE_SHIFT), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, NO_VA, GNTMAP_device_map), 0);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(unmap(m, 0, 0, p << PAGE_SHIFT), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map | GNTMAP_device_map), 0);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, p << PAGE_SHIFT), 0); /* both at once: one use only (XSA-224) */
    CU_ASSERT_EQUAL(refs(p), 1);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map | GNTMAP_device_map), 0);
    teardown();
}

static void test_a_mapping_is_replaced_by_another_entry(void)
{
    uint64_t p, own;

    setup();
    p = page(g), own = page(m);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(update(m, m->l1, 1, pte_make(own, W | PTE_A)), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(replace(m, 0, VA, NO_VA), GNTST_general_error);
    CU_ASSERT_EQUAL(replace(m, 0, VA, VA), GNTST_general_error);
    CU_ASSERT_EQUAL(replace(m, 0, VA_OF(1), VA), GNTST_general_error);
    CU_ASSERT_EQUAL(replace(m, 5, VA, VA_OF(1)), GNTST_bad_handle);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 0);
    CU_ASSERT_EQUAL(replace(m, 0, VA, VA_OF(1)), 0);
    CU_ASSERT_EQUAL(*pte(m, 0), pte_make(own, W | PTE_A));
    CU_ASSERT_EQUAL(*pte(m, 1), 0);
    CU_ASSERT_EQUAL(refs(own), 2);
    CU_ASSERT_EQUAL(refs(p), 1);
    CU_ASSERT_EQUAL(in_use(g, 8), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(replace(m, 0, VA, VA_OF(7)), 0); /* by nothing */
    CU_ASSERT_EQUAL(*pte(m, 0), 0);
    CU_ASSERT_EQUAL(refs(own), 1);
    teardown();
}

/* ---- rule 13 ---- */

static unsigned int flushed_in_use;

static void count_in_use(void)
{
    for (grant_ref_t ref = 8; ref < 48; ref++)
        flushed_in_use += in_use(g, ref) != 0;
}

static void test_one_flush_for_a_list_before_the_entries_are_released(void)
{
    setup();
    for (unsigned int i = 0; i < 40; i++) {
        grant(g, 8 + i, m, page(g), i & 1 ? GTF_readonly : 0);
        map_arg(i, g, 8 + i, VA_OF(i), GNTMAP_host_map | (i & 1 ? GNTMAP_readonly : 0));
    }
    CU_ASSERT_EQUAL(op(m, GNTTABOP_map_grant_ref, 40), 0);
    for (unsigned int i = 0; i < 40; i++) {
        CU_ASSERT_EQUAL(args.map[i].status, 0);
        CU_ASSERT_EQUAL(args.map[i].handle, i);
    }
    touch(m);
    for (unsigned int i = 0; i < 16; i++)
        args.unmap[i] = (struct gnttab_unmap_grant_ref){ VA_OF(i), 0, i, 77 };
    fake_tlb_flushes = flushed_in_use = 0;
    on_flush = count_in_use;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_unmap_grant_ref, 16), 0);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 1);
    CU_ASSERT_EQUAL(flushed_in_use, 40);
    flushed_in_use = 0;
    count_in_use();
    CU_ASSERT_EQUAL(flushed_in_use, 24);
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        CU_ASSERT_FALSE(tlb_read[2][i]);
    teardown();
}

static void test_a_cpu_that_cannot_have_it_is_not_flushed(void)
{
    setup();
    grant(g, 8, m, page(g), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    tlb_read[1][1] = true;
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    CU_ASSERT(tlb_read[1][1]);
    teardown();
}

/* ---- entries that go otherwise ---- */

static void test_overwriting_an_entry_does_not_end_the_mapping(void)
{
    uint64_t p;

    setup();
    p = page(g);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(update(m, m->l1, 1, *pte(m, 0)), -EBUSY); /* no copies of it */
    CU_ASSERT_EQUAL(update(m, m->l1, 0, *pte(m, 0) & ~PTE_A), 0);
    CU_ASSERT_EQUAL(update(m, m->l1, 0, *pte(m, 0) & ~PTE_RW), 0);
    CU_ASSERT_EQUAL(writers(p), 1); /* the mapping's */
    CU_ASSERT_EQUAL(update(m, m->l1, 0, *pte(m, 0) | PTE_RW), -EBUSY);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(update(m, m->l1, 0, 0), 0);
    CU_ASSERT_EQUAL(refs(p), 2);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    CU_ASSERT_EQUAL(audit(), 0);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), GNTST_general_error);
    CU_ASSERT_EQUAL(ext(g, MMUEXT_PIN_L1_TABLE, p), -EINVAL); /* still somebody's to write */
    teardown();
}

static void test_the_end_of_a_table_ends_its_entries(void)
{
    uint64_t p, t;

    setup();
    p = page(g), t = page(m);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(ext(m, MMUEXT_PIN_L1_TABLE, t), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, (t << PAGE_SHIFT) + 16, GNTMAP_host_map | GNTMAP_contains_pte), 0);
    CU_ASSERT_EQUAL(refs(p), 3);
    CU_ASSERT_EQUAL(ext(m, MMUEXT_UNPIN_TABLE, t), 0);
    CU_ASSERT_EQUAL(refs(p), 2);
    CU_ASSERT_EQUAL(pte_mfn(table(t)[2]), p);      /* only data now */
    CU_ASSERT(ext(m, MMUEXT_PIN_L1_TABLE, t) < 0); /* and nothing of ours */
    CU_ASSERT_EQUAL(unmap(m, 0, (t << PAGE_SHIFT) + 16, 0), GNTST_general_error);
    CU_ASSERT_EQUAL(in_use(g, 8), RW_USE);
    teardown();
}

/* ---- copies ---- */

static void test_copies_go_where_they_are_granted(void)
{
    uint64_t a, b, own;
    char *pa, *pb, *po;

    setup();
    a = page(g), b = page(c), own = page(m);
    pa = (char *)table(a), pb = (char *)table(b), po = (char *)table(own);
    grant(g, 8, m, a, GTF_readonly);
    grant(g, 9, m, a, 0);
    grant(c, 8, m, b, 0);
    strcpy(pa + 4090, "abcde");
    CU_ASSERT_EQUAL(copy(m, (struct gnttab_copy){ FROM_REF(1, 8, 4090), TO_OWN(own, 1), 6,
                                                  GNTCOPY_source_gref, 0 }),
                    0);
    CU_ASSERT_STRING_EQUAL(po + 1, "abcde");
    /* between two others */
    CU_ASSERT_EQUAL(copy(m, (struct gnttab_copy){ FROM_REF(1, 8, 4091), TO_REF(0, 8, 100), 5,
                                                  GNTCOPY_source_gref | GNTCOPY_dest_gref, 0 }),
                    0);
    CU_ASSERT_STRING_EQUAL(pb + 100, "bcde");
    CU_ASSERT_EQUAL(pb[99] + pb[105], 0);
    strcpy(po, "whole page");
    CU_ASSERT_EQUAL(copy(m, (struct gnttab_copy){ FROM_OWN(own, 0), TO_REF(1, 9, 0), PAGE_SIZE,
                                                  GNTCOPY_dest_gref, 0 }),
                    0);
    CU_ASSERT_EQUAL(memcmp(pa, po, PAGE_SIZE), 0);
    CU_ASSERT_EQUAL(copy(m, (struct gnttab_copy){ FROM_OWN(own, 3), TO_OWN(own, 100), 0, 0, 0 }),
                    0);
    CU_ASSERT_EQUAL(in_use(g, 8) | in_use(g, 9) | in_use(c, 8), 0);
    CU_ASSERT_EQUAL(refs(a) + refs(b) + refs(own), 3);
    CU_ASSERT_EQUAL(writers(a) + writers(b) + writers(own), 0);
    CU_ASSERT_EQUAL(fake_refs(g->d) + fake_refs(c->d) + fake_refs(m->d), 3);
    CU_ASSERT_EQUAL(fake_tlb_flushes, 0);
    teardown();
}

static void test_copies_that_are_refused(void)
{
    uint64_t a, own, theirs;
    const uint16_t both = GNTCOPY_source_gref | GNTCOPY_dest_gref, from = GNTCOPY_source_gref;

    setup();
    a = page(g), own = page(m), theirs = page(c);
    grant(g, 8, m, a, GTF_readonly);
    grant(g, 9, c, a, 0);
    *table(own) = 5;
    const struct {
        int want;
        struct gnttab_copy op;
    } cases[] = {
        { GNTST_general_error, { FROM_OWN(own, 0), TO_REF(1, 8, 0), 8, GNTCOPY_dest_gref, 0 } },
        { GNTST_general_error, { FROM_REF(1, 9, 0), TO_OWN(own, 0), 8, from, 0 } },
        { GNTST_bad_gntref, { FROM_REF(1, 512, 0), TO_OWN(own, 0), 8, from, 0 } },
        { GNTST_bad_domain, { FROM_REF(77, 8, 0), TO_OWN(own, 0), 8, from, 0 } },
        { GNTST_bad_domain, { FROM_REF(1, 8, 0), TO_REF(78, 8, 0), 8, both, 0 } },
        { GNTST_bad_page, { FROM_REF(1, 8, 0), TO_OWN(theirs, 0), 8, from, 0 } },
        { GNTST_bad_page, { FROM_REF(1, 8, 0), TO_OWN(~0ULL, 0), 8, from, 0 } },
        { GNTST_bad_page, { FROM_OWN(a, 0), TO_OWN(own, 0), 8, 0, 0 } },
        { GNTST_general_error, { FROM_REF(1, 8, 0), TO_OWN(m->l1, 0), 8, from, 0 } },
        { GNTST_bad_copy_arg, { FROM_REF(1, 8, 4090), TO_OWN(own, 0), 8, from, 0 } },
        { GNTST_bad_copy_arg, { FROM_REF(1, 8, 0), TO_OWN(own, 4089), 8, from, 0 } },
        { GNTST_bad_copy_arg, { FROM_REF(1, 8, 0), TO_OWN(own, 65535), 8, from, 0 } },
        { GNTST_bad_copy_arg, { FROM_REF(1, 8, 0), TO_OWN(own, 0), 4097, from, 0 } },
        { GNTST_bad_copy_arg, { FROM_REF(1, 8, 65535), TO_OWN(own, 0), 65535, from, 0 } },
        { GNTST_permission_denied,
          { .source = { .u.gmfn = own, .domid = 2 }, TO_OWN(own, 0), 8, 0, 0 } },
        { GNTST_permission_denied,
          { FROM_OWN(own, 0), .dest = { .u.gmfn = a, .domid = 1 }, 8, 0, 0 } },
    };
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
        CU_ASSERT_EQUAL(copy(m, cases[i].op), cases[i].want);
        CU_ASSERT_EQUAL(*table(own), 5);
        CU_ASSERT_EQUAL(in_use(g, 8) | in_use(g, 9), 0);
        CU_ASSERT_EQUAL(refs(a) + refs(own) + refs(theirs), 3);
        CU_ASSERT_EQUAL(fake_refs(g->d) + fake_refs(c->d) + fake_refs(m->d), 3);
        CU_ASSERT_EQUAL(audit(), 0);
    }
    teardown();
}

static void test_a_list_of_copies_between_many(void)
{
    uint64_t own;

    setup();
    own = page(m);
    grant(g, 8, m, page(g), 0);
    grant(c, 8, m, page(c), 0);
    grant(m, 8, m, page(m), 0);
    for (unsigned int i = 0; i < 60; i++)
        args.copy[i] = (struct gnttab_copy){ FROM_REF((domid_t)(i / 2 % 3), 8, 0),
                                             TO_REF((domid_t)(i / 7 % 3), 8, 0), 16,
                                             GNTCOPY_source_gref | GNTCOPY_dest_gref, 0 };
    args.copy[30].source.domid = 99;
    args.copy[40].flags = GNTCOPY_source_gref;
    args.copy[40].dest = (struct gnttab_copy_ptr){ .u.gmfn = own, .domid = DOMID_SELF };
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_copy, 60), 0);
    for (unsigned int i = 0; i < 60; i++)
        CU_ASSERT_EQUAL(args.copy[i].status, i == 30 ? GNTST_bad_domain : 0);
    CU_ASSERT_EQUAL(fake_refs(g->d) + fake_refs(c->d) + fake_refs(m->d), 3);
    teardown();
}

/* Frames are kept from one piece to the next: only if it is the same one that is named. */
static void test_pieces_in_a_list_are_of_what_each_names(void)
{
    uint64_t a, b, own[3];

    setup();
    a = page(g), b = page(g);
    for (unsigned int i = 0; i < 3; i++)
        own[i] = page(m);
    grant(g, 8, m, a, 0);
    grant(g, 9, m, b, 0);
    grant(m, 8, m, own[2], 0);
    *table(a) = 0xa, *table(b) = 0xb, *table(own[2]) = 0xc;
#define PIECE(from, to) ((struct gnttab_copy){ from, to, 8, GNTCOPY_source_gref, 77 })
    args.copy[0] = PIECE(FROM_REF(1, 8, 0), TO_OWN(own[0], 0));
    args.copy[1] = PIECE(FROM_REF(1, 8, 0), TO_OWN(own[0], 8));
    args.copy[2] = PIECE(FROM_REF(1, 9, 0), TO_OWN(own[0], 16));
    args.copy[3] = PIECE(FROM_REF(1, 9, 0), TO_OWN(own[1], 0));
    args.copy[4] = PIECE(FROM_REF(2, 8, 0), TO_OWN(own[1], 8));
    args.copy[5] = PIECE(FROM_REF(DOMID_SELF, 8, 0), TO_OWN(own[1], 16));
    args.copy[6] = PIECE(FROM_OWN(8, 0), TO_OWN(own[1], 24)); /* a frame, and not its own */
    args.copy[6].flags = 0;
    args.copy[7] = PIECE(FROM_REF(DOMID_SELF, 8, 0), TO_OWN(own[1], 32));
    CU_ASSERT_EQUAL(op(m, GNTTABOP_copy, 8), 0);
    for (unsigned int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(args.copy[i].status, i == 6 ? GNTST_bad_page : 0);
    CU_ASSERT_EQUAL(table(own[0])[0], 0xa);
    CU_ASSERT_EQUAL(table(own[0])[1], 0xa);
    CU_ASSERT_EQUAL(table(own[0])[2], 0xb);
    CU_ASSERT_EQUAL(table(own[1])[0], 0xb);
    CU_ASSERT_EQUAL(table(own[1])[1], 0xc);
    CU_ASSERT_EQUAL(table(own[1])[2], 0xc);
    CU_ASSERT_EQUAL(table(own[1])[3], 0);
    CU_ASSERT_EQUAL(table(own[1])[4], 0xc);
    CU_ASSERT_EQUAL(in_use(g, 8) | in_use(g, 9) | in_use(m, 8), 0);
    CU_ASSERT_EQUAL(refs(a) + refs(b) + refs(own[0]) + refs(own[1]) + refs(own[2]), 5);
    teardown();
}

/* ---- tables ---- */

static int setup_table(const struct dom *x, domid_t id, uint32_t n)
{
    args.setup = (struct gnttab_setup_table){ .dom = id, .nr_frames = n, .status = 77 };
    set_xen_guest_handle(args.setup.frame_list, frames);
    CU_ASSERT_EQUAL(op(x, GNTTABOP_setup_table, 1), 0);
    return args.setup.status;
}
static int query_size(const struct dom *x, domid_t id)
{
    args.size = (struct gnttab_query_size){ .dom = id, .status = 77 };
    CU_ASSERT_EQUAL(op(x, GNTTABOP_query_size, 1), 0);
    return args.size.status;
}

static void test_the_table_grows_to_its_limit(void)
{
    guest_va_t list = _gva((uint64_t)(uintptr_t)&frames[100]);

    setup();
    CU_ASSERT_EQUAL(query_size(g, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(args.size.nr_frames, 1);
    CU_ASSERT_EQUAL(args.size.max_nr_frames, 64);
    fake_preempt_every = 2;
    CU_ASSERT_EQUAL(setup_table(g, DOMID_SELF, 64), 0);
    fake_preempt_every = 0;
    for (unsigned int i = 0; i < 64; i++)
        CU_ASSERT_EQUAL(PGC_OWNER(frame_table[frames[i]].count_info), 1);
    CU_ASSERT_EQUAL(setup_table(g, DOMID_SELF, 65), GNTST_general_error);
    CU_ASSERT_EQUAL(setup_table(g, DOMID_SELF, ~0u), GNTST_general_error);
    CU_ASSERT_EQUAL(setup_table(g, DOMID_SELF, 0), 0);
    CU_ASSERT_EQUAL(query_size(g, 1), 0);
    CU_ASSERT_EQUAL(args.size.nr_frames, 64);
    CU_ASSERT_EQUAL(grant_list_frames(g->d, 62, 2, list), 0);
    CU_ASSERT_EQUAL(frames[101], frames[63]);
    CU_ASSERT_EQUAL(grant_list_frames(g->d, 63, 2, list), -EINVAL);
    CU_ASSERT_EQUAL(grant_list_frames(g->d, ~0u, 2, list), -EINVAL);
    CU_ASSERT_EQUAL(grant_list_frames(m->d, 1, 2, list), 0); /* grows as well */
    CU_ASSERT_EQUAL(query_size(m, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(args.size.nr_frames, 3);
    grant(g, 8, m, page(g), 0);
    ((struct grant_entry_v1 *)mfn_to_virt(_mfn(frames[63])))[511] = g->shared[8];
    CU_ASSERT_EQUAL(map(m, g, 64 * 512 - 1, VA, GNTMAP_host_map), 0);
    teardown();
}

static void test_tables_of_others_are_for_the_privileged(void)
{
    setup();
    CU_ASSERT_EQUAL(setup_table(m, 1, 1), GNTST_permission_denied);
    CU_ASSERT_EQUAL(query_size(m, 1), GNTST_permission_denied);
    CU_ASSERT_EQUAL(query_size(m, 55), GNTST_bad_domain);
    CU_ASSERT_EQUAL(setup_table(c, 1, 1), 0);
    CU_ASSERT_EQUAL(frames[0], mfn_x(virt_to_mfn(g->shared)));
    CU_ASSERT_EQUAL(query_size(c, 1), 0);
    args.get_version = (struct gnttab_get_version){ .dom = 1 };
    CU_ASSERT_EQUAL(op(m, GNTTABOP_get_version, 1), -EPERM);
    args.get_version.dom = 55;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_get_version, 1), -ESRCH);
    args.get_version.dom = 1;
    CU_ASSERT_EQUAL(op(c, GNTTABOP_get_version, 1), 0);
    CU_ASSERT_EQUAL(args.get_version.version, 1);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    g->d->roles = ROLE_HARDWARE; /* which c has not */
    CU_ASSERT_EQUAL(setup_table(c, 1, 2), GNTST_permission_denied);
    CU_ASSERT_EQUAL(query_size(c, 1), GNTST_permission_denied);
    CU_ASSERT_EQUAL(op(c, GNTTABOP_get_version, 1), -EPERM);
    g->d->roles = 0;
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    args.setup = (struct gnttab_setup_table){ .dom = DOMID_SELF, .nr_frames = 1 };
    args.setup.frame_list.p = NULL;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_setup_table, 1), 0);
    CU_ASSERT_EQUAL(args.setup.status, GNTST_bad_virt_addr);
    teardown();
}

static void test_version_1_is_all_there_is(void)
{
    setup();
    for (unsigned int v = 0; v < 4; v++) {
        args.set_version.version = v;
        CU_ASSERT_EQUAL(op(m, GNTTABOP_set_version, 1), v == 1 ? 0 : v == 2 ? -ENOSYS : -EINVAL);
        CU_ASSERT_EQUAL(args.set_version.version, 1);
    }
    CU_ASSERT_EQUAL(op(m, GNTTABOP_get_status_frames, 1), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_transfer, 1), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_dump_table, 1), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_cache_flush, 1), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(op(m, 13, 1), -ENOSYS);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_query_size, 0), -EINVAL);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_query_size, 2), -EINVAL);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_copy, 1u << 31), -EINVAL);
    CU_ASSERT_EQUAL(op(m, GNTTABOP_copy, 0), 0);
    teardown();
}

static void test_limits_are_kept(void)
{
    static const int32_t wrong[][2] = { { 0, 1 },
                                        { GRANT_FRAMES_MAX + 1, 1 },
                                        { 1, MAPTRACK_FRAMES_MAX + 1 } };
    struct domain *x;

    setup();
    fake_current(idle);
    for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
        memcpy(limits, wrong[i], sizeof(limits));
        CU_ASSERT_EQUAL(create(7, 0, 100, &x), -EINVAL);
    }
    limits[0] = 3, limits[1] = 0;
    CU_ASSERT_EQUAL(create(7, 0, 100, &x), 0);
    limits[0] = limits[1] = -1;
    CU_ASSERT_EQUAL(x->max_grant_frames, 3);
    CU_ASSERT_EQUAL(x->max_maptrack_frames, 0);
    CU_ASSERT_EQUAL(domain_kill(x), 0);
    m->d->max_maptrack_frames = 1; /* it has mapped nothing yet */
    grant(g, 8, m, page(g), 0);
    for (unsigned int i = 0; i < 256; i++)
        CU_ASSERT_EQUAL(map(m, g, 8, 0, GNTMAP_device_map), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), GNTST_no_space);
    CU_ASSERT_EQUAL(*pte(m, 0), 0);
    CU_ASSERT_EQUAL(unmap(m, 77, 0, (uint64_t)g->shared[8].frame << PAGE_SHIFT), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(args.map[0].handle, 77);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), GNTST_no_space);
    teardown();
}

static void test_swapping(void)
{
    struct grant_entry_v1 a, b;

    setup();
    grant(g, 8, m, page(g), 0);
    grant(g, 9, c, page(g), GTF_readonly);
    a = g->shared[8], b = g->shared[9];
    args.swap[0] = (struct gnttab_swap_grant_ref){ 8, 9, 77 };
    args.swap[1] = (struct gnttab_swap_grant_ref){ 8, 512, 77 };
    args.swap[2] = (struct gnttab_swap_grant_ref){ 9, 9, 77 };
    CU_ASSERT_EQUAL(op(g, GNTTABOP_swap_grant_ref, 3), 0);
    CU_ASSERT_EQUAL(args.swap[0].status, 0);
    CU_ASSERT_EQUAL(args.swap[1].status, GNTST_bad_gntref);
    CU_ASSERT_EQUAL(args.swap[2].status, 0);
    CU_ASSERT_EQUAL(memcmp(&g->shared[9], &a, sizeof(a)), 0);
    CU_ASSERT_EQUAL(memcmp(&g->shared[8], &b, sizeof(b)), 0);
    CU_ASSERT_EQUAL(map(m, g, 9, VA, GNTMAP_host_map), 0);
    args.swap[0] = (struct gnttab_swap_grant_ref){ 8, 9, 77 };
    args.swap[1] = (struct gnttab_swap_grant_ref){ 9, 8, 77 };
    CU_ASSERT_EQUAL(op(g, GNTTABOP_swap_grant_ref, 2), 0);
    CU_ASSERT_EQUAL(args.swap[0].status, GNTST_eagain);
    CU_ASSERT_EQUAL(args.swap[1].status, GNTST_eagain);
    teardown();
}

/* ---- the call itself ---- */

static void test_lists_that_cannot_be_read_or_written(void)
{
    struct gnttab_map_grant_ref *last = &args.map[63];

    setup();
    grant(g, 8, m, page(g), 0);
    for (unsigned int i = 0; i < 64; i++)
        map_arg(i, g, 8, VA_OF(i), GNTMAP_host_map);
    /* two of them are before the end of what can be read */
    play(m);
    fake_guest_unmap_all();
    fake_guest_map(&args.map[0], sizeof(args.map), FAKE_READ_WRITE);
    CU_ASSERT_EQUAL(hc_grant_table_op(GNTTABOP_map_grant_ref, (uintptr_t)(last - 1), 3, 0, 0),
                    -EFAULT);
    CU_ASSERT_EQUAL(args.map[62].status + last->status, 0);
    CU_ASSERT_EQUAL(hc_grant_table_op(GNTTABOP_map_grant_ref, ~0ULL - 5, 3, 0, 0), -EFAULT);
    fake_guest_unmap_all();
    fake_guest_map(&args.map[0], sizeof(args.map), FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(hc_grant_table_op(GNTTABOP_map_grant_ref, (uintptr_t)args.map, 1, 0, 0),
                    -EFAULT);
    CU_ASSERT_EQUAL(hc_grant_table_op(GNTTABOP_query_size, (uintptr_t)args.map, 1, 0, 0), -EFAULT);
    CU_ASSERT_EQUAL(hc_grant_table_op(GNTTABOP_query_size, 16, 1, 0, 0), -EFAULT);
    teardown();
}

static void test_other_lists_go_on_after_a_preemption(void)
{
    setup();
    fake_preempt_every = 1;
    grant(g, 8, m, page(g), 0);
    for (unsigned int i = 0; i < 50; i++)
        map_arg(i, g, 8, VA_OF(i), GNTMAP_host_map);
    args.map[20].dom = 77;
    args.map[21].dom = 0;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_map_grant_ref, 50), 0);
    for (unsigned int i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(args.map[i].status, i == 20   ? GNTST_bad_domain
                                            : i == 21 ? GNTST_general_error
                                                      : 0);
    CU_ASSERT_EQUAL(fake_refs(g->d), 1);
    teardown();
}

static void test_when_memory_is_out(void)
{
    static mfn_t taken[NR_FRAMES];
    unsigned int n = 0;

    setup();
    grant(g, 8, m, page(g), 0);
    while (mfn_x(taken[n] = heap_alloc(0, 0)) != mfn_x(INVALID_MFN))
        n++;
    for (unsigned int i = 0; i < 3; i++) { /* for the table of handles; for some; for both */
        CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), i < 2 ? GNTST_no_space : GNTST_okay);
        CU_ASSERT_EQUAL(setup_table(g, DOMID_SELF, 2), GNTST_general_error);
        CU_ASSERT_EQUAL(grant_list_frames(g->d, 1, 1, _gva(0)), -ENOMEM);
        CU_ASSERT_EQUAL(in_use(g, 8), i < 2 ? 0 : RW_USE);
        CU_ASSERT_EQUAL(fake_refs(g->d), 1);
        if (i == 0) /* 1024 pointers */
            heap_free(taken[--n], 0), heap_free(taken[--n], 0);
        else if (i == 1)
            heap_free(taken[--n], 0);
    }
    while (n)
        heap_free(taken[--n], 0);
    teardown();
}

int main(void)
{
    CU_pSuite s;
    unsigned int failures;

    CU_initialize_registry();
    s = CU_add_suite("grant", NULL, NULL);
    TEST(a_mapping_shows_in_entry_pte_and_references);
    TEST(one_may_map_what_one_grants_oneself);
    TEST(what_is_not_granted_is_not_mapped);
    TEST(a_map_that_was_refused_leaves_nothing_behind);
    TEST(without_a_page_table_entry_nothing_is_mapped);
    TEST(what_was_mapped_there_is_let_go);
    TEST(only_an_entry_like_its_own_is_removed);
    TEST(for_devices_the_machine_address_is_all);
    TEST(a_mapping_is_replaced_by_another_entry);
    TEST(one_flush_for_a_list_before_the_entries_are_released);
    TEST(a_cpu_that_cannot_have_it_is_not_flushed);
    TEST(overwriting_an_entry_does_not_end_the_mapping);
    TEST(the_end_of_a_table_ends_its_entries);
    TEST(copies_go_where_they_are_granted);
    TEST(copies_that_are_refused);
    TEST(a_list_of_copies_between_many);
    TEST(pieces_in_a_list_are_of_what_each_names);
    TEST(the_table_grows_to_its_limit);
    TEST(tables_of_others_are_for_the_privileged);
    TEST(version_1_is_all_there_is);
    TEST(limits_are_kept);
    TEST(swapping);
    TEST(lists_that_cannot_be_read_or_written);
    TEST(other_lists_go_on_after_a_preemption);
    TEST(when_memory_is_out);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
