/*
 * Every hypercall that Debian's kernel issues as domain 0 has a handler, or a refusal with a note.
 * abi-census-dom0.tsv is the part of the census that is about domain 0.
 */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypercall_stubs.h"

static void test_census_rows_have_a_handler_or_a_noted_refusal(void)
{
    FILE *f = fopen("tests/unit/abi-census-dom0.tsv", "r");
    unsigned int rows = 0, refused = 0;
    char line[1024];

    CU_ASSERT_FATAL(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        unsigned int nr;
        char name[64];
        const struct hypercall *h;

        if (sscanf(line, "%u\t%63[^\t]", &nr, name) != 2)
            continue;
        CU_ASSERT_FATAL(nr < NR_HYPERCALLS);
        h = &hypercall_table[nr];
        CU_ASSERT_PTR_NOT_NULL_FATAL(h->name);
        CU_ASSERT(strncmp(h->name, "arch_", 5) == 0 || strcmp(h->name, name) == 0);
        CU_ASSERT(h->fn != NULL || h->note != NULL);
        rows++;
        refused += h->fn == NULL;
    }
    fclose(f);
    CU_ASSERT(rows > 100);
    CU_ASSERT(refused <= 10); /* grant_table_op's six and mca's one; shrinks as these come */
}

static void test_every_number_of_the_abi_is_in_the_table(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < NR_HYPERCALLS; i++) {
        const struct hypercall *h = &hypercall_table[i];

        if (i <= __HYPERVISOR_hypfs_op && i != 11) /* 11 was never used on 64 bits */
            CU_ASSERT_PTR_NOT_NULL(h->name);
        if (h->name) {
            CU_ASSERT(h->fn != NULL || h->note != NULL);
            CU_ASSERT(h->nr_args <= 5);
            n++;
        }
    }
    CU_ASSERT(n >= 43);
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("census", NULL, NULL);

    CU_ADD_TEST(s, test_census_rows_have_a_handler_or_a_noted_refusal);
    CU_ADD_TEST(s, test_every_number_of_the_abi_is_in_the_table);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
