/* lib/string.c, whose functions have the prefix xl_ here, against the C library. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *xl_memcpy(void *restrict dst, const void *restrict src, size_t len);
void *xl_memset(void *dst, int byte, size_t len);
int xl_memcmp(const void *a, const void *b, size_t len);
size_t xl_strlen(const char *s);
size_t xl_strnlen(const char *s, size_t max);
int xl_strncmp(const char *a, const char *b, size_t len);

#define LEN_MAX 70u
#define OFFSET_MAX 9u
static uint8_t from[LEN_MAX + OFFSET_MAX], to[LEN_MAX + 2 * OFFSET_MAX], want[sizeof(to)];

static int sign(int n) { return (n > 0) - (n < 0); }

static void fill(void)
{
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 37 + 1);
    memset(to, 0xee, sizeof(to));
    memset(want, 0xee, sizeof(want));
}

static void test_copies_of_any_length_and_alignment(void)
{
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t a = 0; a < OFFSET_MAX; a++)
            for (size_t b = 0; b < OFFSET_MAX; b++) {
                fill();
                memcpy(want + a, from + b, len);
                CU_ASSERT_PTR_EQUAL(xl_memcpy(to + a, from + b, len), to + a);
                CU_ASSERT_EQUAL(memcmp(to, want, sizeof(to)), 0); /* and nothing beside it */
            }
}

static void test_fills_of_any_length_and_alignment(void)
{
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t a = 0; a < OFFSET_MAX; a++) {
            fill();
            memset(want + a, 0xa5, len);
            CU_ASSERT_PTR_EQUAL(xl_memset(to + a, 0x7fa5, len), to + a); /* only the low byte */
            CU_ASSERT_EQUAL(memcmp(to, want, sizeof(to)), 0);
        }
}

static void test_comparisons_are_of_unsigned_bytes_and_end_in_time(void)
{
    static const char *const s[] = { "", "a", "ab", "abc", "abd", "b", "\x7f", "\x80", "\xff" };

    for (size_t i = 0; i < sizeof(s) / sizeof(*s); i++)
        for (size_t k = 0; k < sizeof(s) / sizeof(*s); k++)
            for (size_t len = 0; len < 5; len++) {
                size_t both = strlen(s[i]) < strlen(s[k]) ? strlen(s[i]) : strlen(s[k]);

                CU_ASSERT_EQUAL(sign(xl_strncmp(s[i], s[k], len)), sign(strncmp(s[i], s[k], len)));
                CU_ASSERT_EQUAL(sign(xl_memcmp(s[i], s[k], both)), sign(memcmp(s[i], s[k], both)));
            }
}

static void test_lengths(void)
{
    char *exact = malloc(4); /* for ASan: nothing behind it is read */

    memcpy(exact, "abcd", 4);
    CU_ASSERT_EQUAL(xl_strlen(""), 0);
    CU_ASSERT_EQUAL(xl_strlen("abc"), 3);
    CU_ASSERT_EQUAL(xl_strnlen(exact, 4), 4);
    CU_ASSERT_EQUAL(xl_strnlen("abc", 2), 2);
    CU_ASSERT_EQUAL(xl_strnlen("abc", 9), 3);
    free(exact);
}

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("string", NULL, NULL);
    CU_ADD_TEST(s, test_copies_of_any_length_and_alignment);
    CU_ADD_TEST(s, test_fills_of_any_length_and_alignment);
    CU_ADD_TEST(s, test_comparisons_are_of_unsigned_bytes_and_end_in_time);
    CU_ADD_TEST(s, test_lengths);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
