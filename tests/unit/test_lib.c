/* lib/: string.c under other names beside the host's own, format.c against printf, symbols.c. */
#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define memcpy our_memcpy
#define memset our_memset
#define memcmp our_memcmp
#define strlen our_strlen
#define strnlen our_strnlen
#define strncmp our_strncmp
#include "../../hypervisor/lib/string.c"
#undef memcpy
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strncmp

static int sign(int x) { return (x > 0) - (x < 0); }

static void test_copies_and_fills_touch_exactly_their_bytes(void)
{
    uint8_t a[96], want[96];

    for (size_t len = 0; len <= 40; len++)
        for (size_t to = 0; to <= 40; to += 1 + (len > 20))
            for (size_t from = 0; from <= 40; from++) {
                for (size_t i = 0; i < sizeof(a); i++)
                    a[i] = want[i] = (uint8_t)(i * 7 + 1);
                memmove(want + to, want + from, len);
                if (to + len <= from || from + len <= to) {
                    CU_ASSERT_PTR_EQUAL(our_memcpy(a + to, a + from, len), a + to);
                    CU_ASSERT_EQUAL_FATAL(memcmp(a, want, sizeof(a)), 0);
                }
            }
    for (size_t len = 0; len <= 64; len++)
        for (size_t at = 0; at < 16; at++) {
            memset(a, 1, sizeof(a));
            memset(want, 1, sizeof(want));
            memset(want + at, 0xa5, len);
            our_memset(a + at, 0x1a5, len);
            CU_ASSERT_EQUAL_FATAL(memcmp(a, want, sizeof(a)), 0);
        }
}

static void test_comparisons_agree_with_the_hosts(void)
{
    for (unsigned int i = 0; i < 20000; i++) {
        size_t len = (size_t)rand() % 24;
        char *a = malloc(len + 1), *b = malloc(len + 1);

        for (size_t j = 0; j < len; j++)
            a[j] = b[j] = (char)(rand() % 3 + 'a');
        a[len] = b[len] = 0;
        if (len && rand() % 2)
            b[(size_t)rand() % len] = (char)rand();
        CU_ASSERT_EQUAL(sign(our_memcmp(a, b, len)), sign(memcmp(a, b, len)));
        CU_ASSERT_EQUAL(sign(our_strncmp(a, b, len / 2)), sign(strncmp(a, b, len / 2)));
        CU_ASSERT_EQUAL(our_strlen(b), strlen(b));
        CU_ASSERT_EQUAL(our_strnlen(b, len / 2), strnlen(b, len / 2));
        free(a);
        free(b);
    }
}

static void same(const char *fmt, ...)
{
    char ours[128], theirs[128];
    va_list ap, ap2;

    va_start(ap, fmt);
    va_copy(ap2, ap);
    vsnprintf(theirs, sizeof(theirs), fmt, ap);
    xl_vsnprintf(ours, sizeof(ours), fmt, ap2);
    if (strcmp(ours, theirs) != 0) {
        printf("\n%s: \"%s\" should be \"%s\"\n", fmt, ours, theirs);
        CU_FAIL("format");
    }
    va_end(ap2);
    va_end(ap);
}

static void test_formats_agree_with_the_hosts(void)
{
    static const char *const flags[] = { "", "0", "8", "08", "20", "020", "31" };
    static const int64_t values[] = { 0,         1,         -1,        42,       -12345,
                                      INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
    char fmt[32];

    for (unsigned int f = 0; f < ARRAY_SIZE(flags); f++)
        for (unsigned int v = 0; v < ARRAY_SIZE(values); v++)
            for (const char *c = f ? "ux" : "dux"; *c; c++) {
                static const char *const sizes[] = { "", "l", "ll", "z" };

                for (unsigned int s = 0; s < 4; s++) {
                    snprintf(fmt, sizeof(fmt), "<%%%s%s%c>", flags[f], sizes[s], *c);
                    if (s < 1)
                        same(fmt, (int)values[v]);
                    else
                        same(fmt, values[v]);
                }
            }
    same("%s|%c%c|%%|%s|0x%x 0x%lx", "abc", 'a', 'b', "", 0x1f, 0xfeedbeefcafeUL);
    same("no conversion");
}

static void test_output_is_bounded_and_always_ended(void)
{
    char b[8];

    for (size_t size = 1; size <= sizeof(b); size++) {
        char *p = malloc(size);

        xl_snprintf(p, size, "%s-%d", "abcdef", 1234);
        CU_ASSERT_EQUAL(strlen(p), size - 1);
        free(p);
    }
    xl_strlcpy(b, "0123456789", sizeof(b));
    CU_ASSERT_STRING_EQUAL(b, "0123456");
    xl_strlcpy(b, "", 1);
    CU_ASSERT_EQUAL(b[0], 0);
}

/* As hypervisor/symbols.sh makes it: 0xffff810000001000 first, 0xffff810000001080 second, third at +5. */
__asm__(".pushsection .rodata\n.globl symbol_table, symbol_table_end\nsymbol_table:\n"
        ".uleb128 0xffff810000001000 - 0x0\n.asciz \"first\"\n"
        ".uleb128 0xffff810000001080 - 0xffff810000001000\n.asciz \"second\"\n"
        ".uleb128 0xffff810000001085 - 0xffff810000001080\n.asciz \"third\"\n"
        "symbol_table_end:\n.popsection\n");

static void test_addresses_become_symbols(void)
{
    uint64_t off = 0;
    char b[64];

    CU_ASSERT_PTR_NULL(symbol_lookup(0xffff810000000fff, &off));
    CU_ASSERT_STRING_EQUAL(symbol_lookup(0xffff810000001000, &off), "first");
    CU_ASSERT_EQUAL(off, 0);
    CU_ASSERT_STRING_EQUAL(symbol_lookup(0xffff81000000107f, &off), "first");
    CU_ASSERT_EQUAL(off, 0x7f);
    CU_ASSERT_STRING_EQUAL(symbol_lookup(0xffff810000001084, &off), "second");
    CU_ASSERT_STRING_EQUAL(symbol_lookup(0xffff810000001090, &off), "third");
    CU_ASSERT_PTR_NULL(symbol_lookup(UINT64_MAX, &off));
    CU_ASSERT_PTR_NULL(symbol_lookup(0, &off));
    xl_snprintf(b, sizeof(b), "[%pS] %pS", (void *)0xffff810000001083, (void *)0x1234);
    CU_ASSERT_STRING_EQUAL(b, "[second+0x3] 0x1234");
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("lib", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_copies_and_fills_touch_exactly_their_bytes);
    T(test_comparisons_agree_with_the_hosts);
    T(test_formats_agree_with_the_hosts);
    T(test_output_is_bounded_and_always_ended);
    T(test_addresses_become_symbols);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
