/* domain/policy.c as a whole: every role over every role in every right, and what may be created. */
#include <CUnit/Basic.h>
#include <stdio.h>

#include "fake.h"

#include "domain/domain.h"
#include "lib/errno.h"

enum { GUEST = 0, CONTROL = ROLE_CONTROL, HARDWARE = ROLE_HARDWARE, STORE = ROLE_STORE };

/*
 * A row for each right, a column for each kind of caller: guest, control, hardware, store, all roles.
 * What it may be done to, one letter each: s itself, g another guest, c h t another in the control,
 * hardware or store role, a one in all roles, m the machine or a guest that does not exist yet.
 */
static const struct {
    enum right what;
    const char *may[5];
} matrix[] = {
    { RIGHT_INFO, { "s", "sgchtam", "s", "sgchtam", "sgchtam" } },
    { RIGHT_CONTROL, { "", "sgcm", "", "", "sgchtam" } },
    { RIGHT_MEMORY, { "s", "sgcm", "s", "s", "sgchtam" } },
    { RIGHT_EVENTS, { "s", "sgcm", "s", "s", "sgchtam" } },
    { RIGHT_GRANTS, { "s", "sgcm", "s", "s", "sgchtam" } },
    { RIGHT_ASSIGN, { "", "sgcm", "", "", "sgchtam" } },
    { RIGHT_DEVICES, { "", "", "sghm", "", "sgchtam" } },
    { RIGHT_MACHINE, { "", "sgcm", "", "", "sgchtam" } },
    { RIGHT_CONSOLE, { "", "sgcm", "", "", "sgchtam" } },
};
static const uint32_t kinds[5] = { GUEST, CONTROL, HARDWARE, STORE, ROLES_ALL };

static bool listed(const char *letters, char c)
{
    while (*letters && *letters != c)
        letters++;
    return *letters;
}

static void test_every_cell_of_the_matrix(void)
{
    static struct domain caller, target;

    CU_ASSERT_EQUAL(sizeof(matrix) / sizeof(matrix[0]), NR_RIGHTS);
    for (unsigned int r = 0; r < NR_RIGHTS; r++)
        for (unsigned int k = 0; k < 5; k++) {
            const char *may = matrix[r].may[k];

            CU_ASSERT_EQUAL(matrix[r].what, r);
            caller.roles = kinds[k];
            CU_ASSERT_EQUAL(policy_check(&caller, &caller, r), listed(may, 's') ? 0 : -EPERM);
            CU_ASSERT_EQUAL(policy_check(&caller, NULL, r), listed(may, 'm') ? 0 : -EPERM);
            for (unsigned int t = 0; t < 5; t++) {
                target.roles = kinds[t];
                int want = listed(may, "gchta"[t]) ? 0 : -EPERM;

                if (policy_check(&caller, &target, r) != want)
                    printf("right %u, caller %u, target %u\n", r, k, t);
                CU_ASSERT_EQUAL(policy_check(&caller, &target, r), want);
            }
        }
}

/* For all sets of roles: more roles never may less, and a set of roles no more than its parts. */
static void test_power_is_the_sum_of_roles(void)
{
    static struct domain a, b, target;

    for (uint32_t r = 0; r < NR_RIGHTS; r++)
        for (a.roles = 0; a.roles <= ROLES_ALL; a.roles++)
            for (b.roles = 0; b.roles <= ROLES_ALL; b.roles++)
                for (target.roles = 0; target.roles <= ROLES_ALL; target.roles++)
                    if ((a.roles & ~b.roles) == 0 && policy_check(&a, &target, r) == 0)
                        CU_ASSERT_EQUAL(policy_check(&b, &target, r), 0);
}

static void test_the_control_role_is_the_privileged_bit(void)
{
    static struct domain d;

    d.is_privileged = true;
    CU_ASSERT_EQUAL(d.roles, ROLE_CONTROL);
    d.roles = ROLES_ALL & ~ROLE_CONTROL;
    CU_ASSERT(!d.is_privileged);
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("domain_policy", NULL, NULL);

    CU_ADD_TEST(s, test_every_cell_of_the_matrix);
    CU_ADD_TEST(s, test_power_is_the_sum_of_roles);
    CU_ADD_TEST(s, test_the_control_role_is_the_privileged_bit);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
