/* The store's maps against a list of what is to be in them: order, balance, what entries say of those below them. */
#include <CUnit/Basic.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/map.h"

enum { OWNERS = 6, EACH = 40, LEN = 1 << 20, STEPS = 4000 };

static uint8_t *region;
static struct arena a;
static jmp_buf no_memory;
static bool there[OWNERS][EACH];
static unsigned int seed;

static unsigned int any(unsigned int n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static size_t key_of(char *key, unsigned int owner, unsigned int i)
{
    return (size_t)sprintf(key, "%c/%u", 'a' + (int)owner, i * 7919u % 1000u);
}

static void start(void)
{
    seed = 1;
    memset(there, 0, sizeof(there));
    region = calloc(1, LEN);
    CU_ASSERT_TRUE_FATAL(region != NULL && arena_open(&a, region, LEN));
    a.no_memory = &no_memory;
}

static void stop(void)
{
    arena_close(&a);
    free(region);
}

static bool is_right(ref_t map, const struct entry **before, unsigned int *high)
{
    const struct entry *e = entry_at(&a, map);
    unsigned int left, right;
    uint32_t sum, count;

    *high = 0;
    if (e == NULL)
        return true;
    sum = e->weight + map_sum(&a, e->left) + map_sum(&a, e->right);
    count = 1 + map_count(&a, e->left) + map_count(&a, e->right);
    if (!is_right(e->left, before, &left))
        return false;
    if (*before && key_order((*before)->key, (*before)->key_len, e) >= 0)
        return false;
    *before = e;
    if (!is_right(e->right, before, &right))
        return false;
    *high = 1 + (left > right ? left : right);
    return e->sum == sum && e->count == count && e->height == *high && left <= right + 1 &&
           right <= left + 1;
}

/* It has those of the owners from first to last that are to be there, and no others. */
static void check(ref_t map, unsigned int first, unsigned int last)
{
    const struct entry *before = NULL;
    unsigned int high, nr = 0;
    char key[16];

    CU_ASSERT_TRUE(is_right(map, &before, &high));
    for (unsigned int o = first; o <= last; o++)
        for (unsigned int i = 0; i < EACH; i++) {
            bool found = map_find(&a, map, key, key_of(key, o, i)) != NULL;

            CU_ASSERT_EQUAL(found, there[o][i]);
            nr += there[o][i];
        }
    CU_ASSERT_EQUAL(map_count(&a, map), nr);
}

/* One change; of a step there are several, so that entries are this step's, or are not. */
static void change(ref_t *map)
{
    unsigned int owner = any(OWNERS), i = any(EACH), what = any(16);
    char key[16], prefix[] = { (char)('a' + (int)owner), '/' };
    size_t len = key_of(key, owner, i);
    ref_t taken;

    if (what == 0) {
        taken = map_take_prefix(&a, map, prefix, sizeof(prefix));
        check(taken, owner, owner);
        memset(there[owner], 0, sizeof(there[owner]));
    } else if (what < 6) {
        CU_ASSERT_EQUAL(map_remove(&a, map, key, len), there[owner][i]);
        there[owner][i] = false;
    } else {
        CU_ASSERT_PTR_NOT_NULL(map_put(&a, map, key, len, (uint16_t)any(100)));
        there[owner][i] = true;
    }
}

static void test_a_map_has_what_was_put_and_not_removed(void)
{
    ref_t map = 0;

    if (setjmp(no_memory)) {
        CU_FAIL_FATAL("no memory");
    }
    for (unsigned int step = 0; step < STEPS; step++) {
        for (unsigned int n = any(4) + 1; n; n--)
            change(&map);
        check(map, 0, OWNERS - 1);
        if (map == 0)
            continue;
        arena_commit(&a, map);
        arena_settle(&a);
        CU_ASSERT_TRUE(arena_check(&a));
    }
}

/* Those before are still as they were, if the step is given up. */
static void test_what_is_removed_stays_in_the_map_before(void)
{
    ref_t before = 0, map;
    char key[16];

    if (setjmp(no_memory)) {
        CU_FAIL_FATAL("no memory");
    }
    for (unsigned int o = 0; o < OWNERS; o++)
        for (unsigned int i = 0; i < EACH; i++) {
            map_put(&a, &before, key, key_of(key, o, i), 3);
            there[o][i] = true;
        }
    arena_commit(&a, before);
    map = before;
    map_remove_prefix(&a, &map, "c/", 2);
    CU_ASSERT_TRUE(map_remove(&a, &map, key, key_of(key, 1, 1)));
    CU_ASSERT_FALSE(map_remove(&a, &map, key, key_of(key, 1, 1)));
    CU_ASSERT_EQUAL(map_count(&a, map), OWNERS * EACH - EACH - 1);
    CU_ASSERT_EQUAL(map_sum(&a, map), 3u * (OWNERS * EACH - EACH - 1));
    arena_abort(&a);
    check(before, 0, OWNERS - 1);
    CU_ASSERT_TRUE(arena_check(&a));
}

/* What is not there costs nothing: no entry is copied. */
static void test_removing_nothing_changes_nothing(void)
{
    ref_t before = 0, map;
    char key[16];

    if (setjmp(no_memory)) {
        CU_FAIL_FATAL("no memory");
    }
    for (unsigned int i = 0; i < EACH; i++)
        map_put(&a, &before, key, key_of(key, 1, i), 1);
    arena_commit(&a, before);
    map = before;
    CU_ASSERT_EQUAL(map_take_prefix(&a, &map, "a/", 2), 0);
    CU_ASSERT_EQUAL(map_take_prefix(&a, &map, "c/", 2), 0);
    CU_ASSERT_FALSE(map_remove(&a, &map, "b/none", 6));
    CU_ASSERT_EQUAL(map, before);
    CU_ASSERT_EQUAL(a.nr_fresh, 0);
    CU_ASSERT_EQUAL(map_take_prefix(&a, &map, "b/", 2), before);
    CU_ASSERT_EQUAL(map, 0);
    CU_ASSERT_EQUAL(a.nr_fresh, 0); /* nor what goes as a whole */
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s =
        CU_add_suite_with_setup_and_teardown("maps of the store", NULL, NULL, start, stop);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_map_has_what_was_put_and_not_removed);
    T(test_what_is_removed_stays_in_the_map_before);
    T(test_removing_nothing_changes_nothing);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
