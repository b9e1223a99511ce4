/* dom0-tools/lib/layout.c: what is where in a domain built from outside, and the page tables of it. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "../../dom0-tools/lib/layout.h"
#include "domain/elf.h"
#include "x86/pte.h"

#define BASE 0xffffffff80000000ULL
#define LINUX_P2M 0x8000000000ULL
#define PAGES(mib) ((uint64_t)(mib) << 8)

static struct elf_kernel k;
static struct layout l;

/* A kernel whose segments end there, like ours: the list follows the kernel, the ramdisk is mapped. */
static void kernel(uint64_t phys_end)
{
    memset(&k, 0, sizeof(k));
    k.virt_base = BASE;
    k.phys_end = phys_end;
    k.init_p2m = k.hypercall_page = ELF_NONE;
}

static void linux_kernel(uint64_t phys_end)
{
    kernel(phys_end);
    k.init_p2m = LINUX_P2M;
    k.mod_start_pfn = 1;
}

/* ---- the order of things ---- */

static void test_what_follows_what(void)
{
    kernel(0x123456);
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(16), 5));
    CU_ASSERT_EQUAL(l.ramdisk_pfn, 0x124);
    CU_ASSERT_EQUAL(l.p2m_pfn, 0x129);
    CU_ASSERT_EQUAL(l.nr_p2m, 8);
    CU_ASSERT_EQUAL(l.p2m_va, BASE + 0x129000);
    CU_ASSERT_EQUAL(l.nr_p2m_tables, 0);
    CU_ASSERT_EQUAL(l.info_pfn, 0x131);
    CU_ASSERT_EQUAL(l.store_pfn, 0x132);
    CU_ASSERT_EQUAL(l.console_pfn, 0x133);
    CU_ASSERT_EQUAL(l.tables_pfn, 0x134);
    CU_ASSERT_EQUAL(l.nr_tables, 5); /* one of each level above, two of 2 MiB each */
    CU_ASSERT_EQUAL(l.stack_pfn, 0x139);
    CU_ASSERT_EQUAL(l.region_end, 0x400);
    CU_ASSERT_EQUAL(l.used_end, 0x400);
}

/* abi-facts: Debian's kernel, 128 MiB, as libxenguest lays it out. */
static void test_debians_kernel(void)
{
    linux_kernel(0x4a00000);
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(128), 1000));
    CU_ASSERT_EQUAL(l.info_pfn, 0x4a00);
    CU_ASSERT_EQUAL(l.tables_pfn, 0x4a03);
    CU_ASSERT_EQUAL(l.nr_tables, 41);
    CU_ASSERT_EQUAL(l.region_end, 0x4c00);
    CU_ASSERT_EQUAL(l.ramdisk_pfn, 0x4c00);
    CU_ASSERT_EQUAL(l.p2m_va, LINUX_P2M);
    CU_ASSERT_EQUAL(l.p2m_pfn, 0x4c00 + 1000);
    CU_ASSERT_EQUAL(l.nr_p2m, 64);
    CU_ASSERT_EQUAL(l.nr_p2m_tables, 3);
    CU_ASSERT_EQUAL(l.used_end, 0x4c00 + 1000 + 64 + 3);
}

static void test_there_is_room_behind_the_stack(void)
{
    for (uint64_t end = 0x100000; end < 0x900000; end += 0x1000) {
        kernel(end);
        CU_ASSERT_TRUE_FATAL(layout_compute(&l, &k, PAGES(16), 0));
        CU_ASSERT_TRUE_FATAL(l.region_end - (l.stack_pfn + 1) >= 128);
        CU_ASSERT_EQUAL_FATAL(l.region_end % 1024, 0);
        CU_ASSERT_TRUE_FATAL(l.region_end - (l.stack_pfn + 1) < 128 + 1024);
    }
}

/* ---- what does not fit ---- */

static void refused(uint64_t nr_pages, uint64_t nr_ramdisk, const char *why)
{
    CU_ASSERT_FALSE(layout_compute(&l, &k, nr_pages, nr_ramdisk));
    if (strstr(k.error, why) == NULL)
        printf("%s\n", k.error);
    CU_ASSERT_PTR_NOT_NULL(strstr(k.error, why));
}

static void test_too_little_memory(void)
{
    kernel(0x123456);
    refused(0, 0, "0 MiB for it");
    refused(PAGES(4) - 1, 0, "kernel, ramdisk and tables need 4 MiB");
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(4), 0));
    refused(PAGES(8), PAGES(8) + 1, "its ramdisk has 8 MiB");
    refused(PAGES(8), PAGES(8), "need 12 MiB");
    linux_kernel(0x4a00000);
    refused(0x4c00, 0, "need");
    CU_ASSERT_TRUE(layout_compute(&l, &k, 0x4c00 + 39 + 3, 0));
    refused(0x4c00 + 39 + 2, 0, "need");
}

static void test_no_numbers_wrap(void)
{
    kernel(0x123456);
    refused(UINT64_MAX, 0, "MiB for it");
    refused(PAGES(64), UINT64_MAX, "MiB for it");
    refused(1ULL << 32, 1ULL << 32, "do not fit behind");
    refused(1ULL << 32, 0, "do not fit behind"); /* 32 GiB of list in the last 2 GiB */
    k.phys_end = GIB(2) - 1;
    refused(PAGES(4096), 0, "do not fit behind");
    linux_kernel(1ULL << 46);
    refused(PAGES(4096), 0, "do not fit behind");
    k.virt_base = 0x1000;
    refused(PAGES(4096), 0, "p2m list");
    k.init_p2m = ELF_NONE;
    refused(PAGES(4096), 0, "need");
}

static void test_the_list_where_the_kernel_wants_it(void)
{
    linux_kernel(0x200000);
    k.init_p2m = BASE; /* in the kernel */
    refused(PAGES(64), 0, "p2m list of 32 pages does not fit");
    k.init_p2m = BASE + MIB(4) - PAGE_SIZE;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = BASE - PAGE_SIZE;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = HV_VIRT_START;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = HV_VIRT_START - PAGE_SIZE;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = LINUX_P2M + 8;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = UINT64_MAX - PAGE_SIZE + 1;
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = 0x7ffffffff000; /* half of it is not canonical */
    refused(PAGES(64), 0, "p2m list");
    k.init_p2m = BASE + MIB(4);
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(64), 0));
    k.init_p2m = BASE - 32 * PAGE_SIZE;
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(64), 0));
}

/* ---- page tables ---- */

static uint64_t *p2m, (*tables)[512];
static uint64_t nr_all_tables;

/* Frames in no order at all: each pfn has its own. */
static void fill(void)
{
    nr_all_tables = l.nr_tables + l.nr_p2m_tables;
    p2m = calloc(l.nr_pages, sizeof(*p2m));
    tables = calloc(nr_all_tables, sizeof(*tables));
    for (uint64_t i = 0; i < l.nr_pages; i++)
        p2m[i] = 0x100000 + (i ^ 0x155);
    layout_fill_tables(&l, p2m, tables);
}

static void end_fill(void)
{
    free(p2m);
    free(tables);
}

/* The table with that frame, at that level. */
static unsigned int table_at(uint64_t mfn)
{
    for (unsigned int n = 0; n < nr_all_tables; n++)
        if (p2m[n < l.nr_tables ? l.tables_pfn + n : l.p2m_pfn + l.nr_p2m + n - l.nr_tables] == mfn)
            return n;
    CU_FAIL_FATAL("an entry names no table");
    return 0;
}

/* The entry that maps va, 0: none does. */
static uint64_t entry_of(uint64_t va)
{
    uint64_t e = tables[0][pt_index(va, 4)];

    for (unsigned int level = 3; e && level > 0; level--)
        e = tables[table_at(pte_mfn(e))][pt_index(va, level)];
    return e;
}

/* Every entry, of all tables; each table is named once but the root. */
static void count_entries(uint64_t *entries, uint64_t *named)
{
    *entries = 0;
    for (uint64_t n = 0; n < nr_all_tables; n++)
        for (unsigned int i = 0; i < 512; i++)
            *entries += tables[n][i] != 0;
    *named = nr_all_tables - 1;
}

static void check_tables(void)
{
    uint64_t in_region = l.region_end, in_list = l.nr_p2m_tables ? l.nr_p2m : 0, entries, named;

    fill();
    for (uint64_t pfn = 0; pfn < l.region_end; pfn++) {
        uint64_t e = entry_of(layout_va(&l, pfn));
        bool is_table = pfn >= l.tables_pfn && pfn < l.tables_pfn + l.nr_tables;

        CU_ASSERT_EQUAL_FATAL(pte_mfn(e), p2m[pfn]);
        CU_ASSERT_EQUAL_FATAL(e & ~PTE_ADDR_MASK,
                              PTE_P | PTE_US | PTE_A | PTE_D | (is_table ? 0 : PTE_RW));
    }
    for (uint64_t i = 0; i < l.nr_p2m; i++)
        CU_ASSERT_EQUAL_FATAL(pte_mfn(entry_of(l.p2m_va + i * PAGE_SIZE)), p2m[l.p2m_pfn + i]);
    count_entries(&entries, &named);
    /* the list's root, and what it shares with the region, is no table of its own */
    CU_ASSERT_TRUE(entries <= in_region + in_list + named);
    CU_ASSERT_TRUE(entries + l.nr_p2m_tables >= in_region + in_list + named);
    end_fill();
}

static void test_tables_map_the_region_and_no_more(void)
{
    kernel(0x123456);
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(16), 5));
    check_tables();
    fill();
    CU_ASSERT_EQUAL(entry_of(layout_va(&l, l.region_end)), 0);
    CU_ASSERT_EQUAL(entry_of(BASE - PAGE_SIZE), 0);
    CU_ASSERT_EQUAL(entry_of(0), 0);
    end_fill();
}

static void test_tables_of_a_list_elsewhere(void)
{
    linux_kernel(0x4a00000);
    CU_ASSERT_TRUE(layout_compute(&l, &k, PAGES(128), 1000));
    check_tables();
    fill();
    CU_ASSERT_EQUAL(entry_of(LINUX_P2M + l.nr_p2m * PAGE_SIZE), 0);
    CU_ASSERT_EQUAL(entry_of(layout_va(&l, l.ramdisk_pfn)), 0);
    end_fill();
}

/* Lists that begin in one table and end in another, beside the region and far from it. */
static void test_lists_that_share_tables(void)
{
    static const uint64_t at[] = { BASE + MIB(4),         BASE - 32 * PAGE_SIZE,
                                   BASE + MIB(1022),      BASE - MIB(1) - GIB(1),
                                   LINUX_P2M - MIB(1),    0x3ffffff0000,
                                   0xffff880000000000ULL, PAGE_SIZE };

    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        linux_kernel(0x200000);
        k.init_p2m = at[i];
        CU_ASSERT_TRUE_FATAL(layout_compute(&l, &k, PAGES(64), 3));
        check_tables();
    }
}

static void test_random_kernels(void)
{
    srandom(7);
    for (int i = 0; i < 200; i++) {
        linux_kernel((uint64_t)random() % MIB(24) + 1);
        k.virt_base = (uint64_t)random() % 0x8000 << 12 << (random() % 20);
        if (random() % 2)
            k.init_p2m = ELF_NONE;
        k.mod_start_pfn = (uint64_t)random() % 2;
        if (layout_compute(&l, &k, PAGES(32 + random() % 64), (uint64_t)random() % 512))
            check_tables();
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("layout", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_what_follows_what);
    T(test_debians_kernel);
    T(test_there_is_room_behind_the_stack);
    T(test_too_little_memory);
    T(test_no_numbers_wrap);
    T(test_the_list_where_the_kernel_wants_it);
    T(test_tables_map_the_region_and_no_more);
    T(test_tables_of_a_list_elsewhere);
    T(test_lists_that_share_tables);
    T(test_random_kernels);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
