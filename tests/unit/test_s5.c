/* How a machine's firmware says that it is switched off: found in a table's code, which may be anything. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/control/power.h"

static bool find(const void *aml, size_t len, struct s5 *s5)
{
    uint8_t *exact = malloc(len ? len : 1); /* so that a byte too far is seen */
    bool found;

    memcpy(exact, aml, len);
    found = s5_find(exact, len, s5);
    free(exact);
    return found;
}

#define FOUND(text) find(text, sizeof(text) - 1, &s5)

static void test_each_form_of_a_package_is_found(void)
{
    struct s5 s5;

    CU_ASSERT_TRUE(FOUND("xx\x08_S5_\x12\x06\x04\x00\x00\x00\x00"));
    CU_ASSERT_TRUE(s5.a == 0x2000 && s5.b == 0x2000);
    CU_ASSERT_TRUE(FOUND("\x08\\_S5_\x12\x0a\x04\x0a\x05\x0a\x07\x00\x00"));
    CU_ASSERT_TRUE(s5.a == 0x3400 && s5.b == 0x3c00);
    CU_ASSERT_TRUE(FOUND("\x08_S5_\x12\x4a\x00\x02\x01\x0b\x02\x00"));
    CU_ASSERT_TRUE(s5.a == 0x2400 && s5.b == 0x2800);
    CU_ASSERT_TRUE(
        FOUND("_S5_\x08_S5_\x08_S5_\x12\x06\x02\x01\x01")); /* others of that name before */
}

static void test_what_is_no_package_is_not(void)
{
    struct s5 s5;

    CU_ASSERT_FALSE(FOUND(""));
    CU_ASSERT_FALSE(FOUND("_S5_"));
    CU_ASSERT_FALSE(FOUND("_S5_\x12\x06\x04\x00\x00\x00\x00"));
    CU_ASSERT_FALSE(FOUND("\x08_S5_\x0a\x05"));
    CU_ASSERT_FALSE(FOUND("\x08_S5_\x12\x06\x01\x00\x00"));
    CU_ASSERT_FALSE(FOUND("\x08_S5_\x12\x06\x04\x0a\x08\x00")); /* no type is as large */
    CU_ASSERT_FALSE(FOUND("\x08_S5_\x12\x06\x04\x0b\x01\x01\x00"));
    CU_ASSERT_FALSE(FOUND("\x08_S5_\x12\x06\x04"
                          "abcd"));
}

static void test_code_that_ends_anywhere(void)
{
    static const char whole[] = "\x08\\_S5_\x12\xca\x00\x00\x00\x04\x0b\x05\x00\x0a\x07";
    struct s5 s5;

    CU_ASSERT_TRUE(find(whole, sizeof(whole) - 1, &s5));
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        CU_ASSERT_FALSE(find(whole, len, &s5));
}

int main(void)
{
    CU_pSuite suite;
    unsigned int failures;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (suite = CU_add_suite("s5", NULL, NULL)) == NULL ||
        !CU_add_test(suite, "forms", test_each_form_of_a_package_is_found) ||
        !CU_add_test(suite, "no package", test_what_is_no_package_is_not) ||
        !CU_add_test(suite, "truncated", test_code_that_ends_anywhere))
        return 2;
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
