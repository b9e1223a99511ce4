/*
 * Every hypercall that Debian's kernel issues as domain 0 has a handler, or is refused on purpose.
 * abi-census-dom0.tsv is the part of the census that is about domain 0.
 */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypercall_stubs.h"

#define NAME(nr) [__HYPERVISOR_##nr] = { #nr, true }
#define NONE(nr) [__HYPERVISOR_##nr] = { #nr, false }
static const struct {
    const char *name;
    bool is_here;
} hypercalls[NR_HYPERCALLS] = {
    HYPERCALLS(NAME),
    NONE(sched_op_compat),
    NONE(event_channel_op_compat),
    NONE(physdev_op_compat),
    NONE(xsm_op),
    NONE(xenoprof_op),
    NONE(hvm_op),
    NONE(kexec_op),
    NONE(tmem_op),
    NONE(argo_op),
    NONE(dm_op),
    NONE(arch_0),
};

static void test_census_rows_have_a_handler_or_a_known_refusal(void)
{
    FILE *f = fopen("tests/unit/abi-census-dom0.tsv", "r");
    unsigned int rows = 0, refused = 0;
    char line[1024];

    CU_ASSERT_FATAL(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        unsigned int nr;
        char name[64];

        if (sscanf(line, "%u\t%63[^\t]", &nr, name) != 2)
            continue;
        CU_ASSERT_FATAL(nr < NR_HYPERCALLS);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hypercalls[nr].name);
        CU_ASSERT(strncmp(hypercalls[nr].name, "arch_", 5) == 0 ||
                  strcmp(hypercalls[nr].name, name) == 0);
        CU_ASSERT((hypercall_table[nr] != hc_none) == hypercalls[nr].is_here);
        rows++;
        refused += hypercall_table[nr] == hc_none;
    }
    fclose(f);
    CU_ASSERT(rows > 100);
    CU_ASSERT(refused <= 4); /* mca's one; shrinks as these come */
}

/*
 * A sub-operation that domain 0 issues is known: called with no argument structure it fails by that,
 * or succeeds, but not with -ENOSYS.
 */
static void test_census_sub_operations_are_known(void)
{
    static const char *const ours[] = { "memory_op", "xen_version",      "vm_assist",   "vcpu_op",
                                        "sched_op",  "set_segment_base", "set_debugreg" };
    struct domain *d = fake_domain(0, 1);
    FILE *f = fopen("tests/unit/abi-census-dom0.tsv", "r");
    char line[1024], name[64], sub[64];
    unsigned int nr, checked = 0;

    fake_reset(1);
    CU_ASSERT_FATAL(f != NULL);
    d->is_privileged = d->is_hwdom = true;
    fake_current(d->vcpu[0]);
    while (fgets(line, sizeof(line), f)) {
        bool mine = false;

        if (sscanf(line, "%u\t%63[^\t]\t%63[^\t]", &nr, name, sub) != 3)
            continue;
        for (unsigned int i = 0; i < ARRAY_SIZE(ours); i++)
            mine |= strcmp(name, ours[i]) == 0;
        if (!mine)
            continue;
        CU_ASSERT(hypercall_table[nr](strtoul(sub[0] == 'd' ? sub + 2 : sub, NULL, 0), 0, 0, 0,
                                      0) != -ENOSYS);
        checked++;
    }
    CU_ASSERT(checked > 50);
    fclose(f);
    fake_domain_free(d);
}

static void test_every_number_of_the_abi_is_in_the_table(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < NR_HYPERCALLS; i++) {
        if (i <= __HYPERVISOR_hypfs_op && i != 11) /* 11 was never used on 64 bits */
            CU_ASSERT_PTR_NOT_NULL(hypercalls[i].name);
        CU_ASSERT((hypercall_table[i] != hc_none) == hypercalls[i].is_here);
        n += hypercalls[i].name != NULL;
    }
    CU_ASSERT(n >= 43);
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("census", NULL, NULL);

    CU_ADD_TEST(s, test_census_rows_have_a_handler_or_a_known_refusal);
    CU_ADD_TEST(s, test_census_sub_operations_are_known);
    CU_ADD_TEST(s, test_every_number_of_the_abi_is_in_the_table);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
