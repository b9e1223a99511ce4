/* The runtime's end of a console ring, against a backend that is honest, slow, or hostile. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "console_ring.h"

enum {
    IN = sizeof(((struct xencons_interface *)0)->in),
    OUT = sizeof(((struct xencons_interface *)0)->out)
};

static struct {
    char before[64];
    struct xencons_interface page;
    char behind[64]; /* neither is ever written */
} mem;
static struct console_ring ring;

/* All indices begin here: also shortly before they wrap. */
static void begin(uint32_t index)
{
    memset(&mem, 0xa5, sizeof(mem));
    mem.page.in_cons = mem.page.in_prod = mem.page.out_cons = mem.page.out_prod = index;
    console_ring_init(&ring, &mem.page);
}

static void surroundings_are_whole(void)
{
    for (size_t i = 0; i < sizeof(mem.before); i++)
        CU_ASSERT_TRUE_FATAL(mem.before[i] == (char)0xa5 && mem.behind[i] == (char)0xa5);
}

/* ---- the honest backend ---- */

static size_t backend_take(char *buf, size_t len)
{
    size_t n = 0;

    while (n < len && mem.page.out_cons != mem.page.out_prod)
        buf[n++] = mem.page.out[mem.page.out_cons++ % OUT];
    return n;
}

static size_t backend_send(const char *buf, size_t len)
{
    size_t n = 0;

    while (n < len && mem.page.in_prod - mem.page.in_cons < IN)
        mem.page.in[mem.page.in_prod++ % IN] = buf[n++];
    return n;
}

static const uint32_t starts[] = { 0, 1, 1000, 0x7fffff00, 0xfffffff0 };

static char nth(size_t i) { return (char)(i * 31 + i / 256); }

static void test_output_arrives_in_order(void)
{
    for (size_t s = 0; s < 5; s++) {
        size_t sent = 0, got = 0;

        begin(starts[s]);
        srand(1);
        while (got < 100000) {
            char buf[3000];
            size_t len = (size_t)rand() % sizeof(buf), n;

            for (size_t i = 0; i < len; i++)
                buf[i] = nth(sent + i);
            n = console_ring_put(&ring, buf, len);
            CU_ASSERT_FATAL(n <= len);
            CU_ASSERT_FATAL(n == len || sent + n - got == OUT); /* less only if it is full */
            sent += n;
            n = backend_take(buf, (size_t)rand() % sizeof(buf));
            for (size_t i = 0; i < n; i++)
                CU_ASSERT_FATAL(buf[i] == nth(got + i));
            got += n;
        }
        surroundings_are_whole();
    }
}

static void test_input_arrives_in_order(void)
{
    for (size_t s = 0; s < 5; s++) {
        size_t sent = 0, got = 0;

        begin(starts[s]);
        srand(2);
        while (got < 50000) {
            char buf[1500];
            size_t len = (size_t)rand() % sizeof(buf), n;

            for (size_t i = 0; i < len; i++)
                buf[i] = nth(sent + i);
            sent += backend_send(buf, len);
            len = (size_t)rand() % sizeof(buf);
            n = console_ring_get(&ring, buf, len);
            CU_ASSERT_FATAL(n == (sent - got < len ? sent - got : len));
            for (size_t i = 0; i < n; i++)
                CU_ASSERT_FATAL(buf[i] == nth(got + i));
            got += n;
        }
        CU_ASSERT_EQUAL(mem.page.in_cons, starts[s] + (uint32_t)got);
        surroundings_are_whole();
    }
}

static void test_a_full_ring_takes_nothing(void)
{
    static char buf[OUT + 10];

    begin(0xfffffff0);
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf, sizeof(buf)), OUT);
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 1), 0);
    CU_ASSERT_EQUAL(backend_take(buf, 1), 1);
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 5), 1);
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 0), 0);
    begin(5);
    CU_ASSERT_EQUAL(console_ring_get(&ring, buf, 10), 0);
}

/* ---- the hostile backend ---- */

static void test_an_impossible_out_cons_stops_output_until_it_is_right(void)
{
    static const uint32_t off[] = { 1, 2, OUT, 0x7fffffff, 0x80000000, 0xffffff00 - OUT };
    char buf[OUT];

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        begin(0xfffffffe);
        memset(buf, 'x', sizeof(buf));
        CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 100), 100);
        mem.page.out_cons = 0xfffffffe + 100 + off[i]; /* ahead of us, or too far behind */
        memset(mem.page.out, 0, OUT);
        CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 10), 0);
        for (size_t k = 0; k < OUT; k++)
            CU_ASSERT_FATAL(mem.page.out[k] == 0);
        mem.page.out_cons = 0xfffffffe + 100;
        CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 10), 10);
        surroundings_are_whole();
    }
}

static void test_an_impossible_in_prod_is_skipped(void)
{
    static const uint32_t off[] = { IN + 1, 0x7fffffff, 0x80000000, 0xffffffff };
    char buf[IN];

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        begin(0xfffffffe);
        mem.page.in_prod += off[i];
        CU_ASSERT_EQUAL(console_ring_get(&ring, buf, sizeof(buf)), 0);
        CU_ASSERT_EQUAL(mem.page.in_cons, mem.page.in_prod);
        CU_ASSERT_EQUAL(backend_send("again", 5), 5);
        CU_ASSERT_EQUAL(console_ring_get(&ring, buf, sizeof(buf)), 5);
        CU_ASSERT_TRUE(memcmp(buf, "again", 5) == 0);
    }
}

/* It may write to our indices in the page; we do not read them. */
static void test_our_indices_in_the_page_are_not_believed(void)
{
    char buf[8] = "abcdefgh";

    begin(0);
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf, 3), 3);
    mem.page.out_prod = 0xdeadbeef;
    mem.page.in_cons = 0x12345678;
    CU_ASSERT_EQUAL(console_ring_put(&ring, buf + 3, 5), 5);
    CU_ASSERT_EQUAL(mem.page.out_prod, 8);
    CU_ASSERT_TRUE(memcmp(mem.page.out, "abcdefgh", 8) == 0);
    CU_ASSERT_EQUAL(console_ring_get(&ring, buf, 8), 0);
    CU_ASSERT_EQUAL(mem.page.in_cons, 0);
}

/* Any values at any time: no byte outside the two rings and our indices is written, nothing hangs. */
static void test_random_indices(void)
{
    char buf[IN + OUT];
    uint32_t in_prod, out_cons;

    begin(0);
    srand(3);
    for (int i = 0; i < 20000; i++) {
        size_t n;

        mem.page.in_prod = in_prod = (uint32_t)rand() << (rand() % 16);
        mem.page.out_cons = out_cons = (uint32_t)rand() << (rand() % 16);
        if (rand() % 2)
            mem.page.out_cons = out_cons = ring.out_prod - (uint32_t)rand() % (OUT + 2);
        n = console_ring_put(&ring, buf, (size_t)rand() % sizeof(buf));
        CU_ASSERT_FATAL(n <= OUT);
        n = console_ring_get(&ring, buf, (size_t)rand() % sizeof(buf));
        CU_ASSERT_FATAL(n <= IN);
        CU_ASSERT_FATAL(mem.page.in_prod == in_prod && mem.page.out_cons == out_cons);
    }
    surroundings_are_whole();
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "output arrives in order", test_output_arrives_in_order },
        { "input arrives in order", test_input_arrives_in_order },
        { "a full ring takes nothing", test_a_full_ring_takes_nothing },
        { "an impossible out_cons", test_an_impossible_out_cons_stops_output_until_it_is_right },
        { "an impossible in_prod", test_an_impossible_in_prod_is_skipped },
        { "our indices in the page", test_our_indices_in_the_page_are_not_believed },
        { "random indices", test_random_indices },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "console ring", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
