/* See map.h. Recursion is as deep as a tree is high: 1.44 log2(n). */
#include "map.h"

#include <string.h>

/* Eight bytes as a number, the first one the most significant. */
static uint64_t word(const char *at)
{
    uint64_t x;

    memcpy(&x, at, sizeof(x));
    return __builtin_bswap64(x);
}

/* memcmp(), which not every C library has by words: keys are paths, which begin alike. */
static inline __attribute__((always_inline)) int compare_bytes(const char *a, const char *b,
                                                               size_t len)
{
    size_t i = 0;

    if (len >= sizeof(uint64_t)) {
        while (i < len - sizeof(uint64_t) && word(a + i) == word(b + i))
            i += sizeof(uint64_t);
        if (i > len - sizeof(uint64_t)) /* the last ones once more */
            i = len - sizeof(uint64_t);
        return (word(a + i) > word(b + i)) - (word(a + i) < word(b + i));
    }
    for (; i < len; i++)
        if (a[i] != b[i])
            return (uint8_t)a[i] < (uint8_t)b[i] ? -1 : 1;
    return 0;
}

/* At each level of each map: as a function of its own it would cost a third more. */
static inline __attribute__((always_inline)) int compare(const void *key, size_t len,
                                                         const struct entry *e)
{
    size_t common = len < e->key_len ? len : e->key_len;
    int order = compare_bytes(key, e->key, common);

    return order ? order : (len > e->key_len) - (len < e->key_len);
}

struct entry *map_find(const struct arena *a, ref_t map, const void *key, size_t len)
{
    struct entry *e = entry_at(a, map);

    while (e) {
        int order = compare(key, len, e);

        if (order == 0)
            break;
        e = entry_at(a, order < 0 ? e->left : e->right);
    }
    return e;
}

struct entry *map_above(const struct arena *a, ref_t map, const void *key, size_t len,
                        bool or_equal)
{
    struct entry *e = entry_at(a, map), *best = NULL;

    while (e) {
        int order = compare(key, len, e);

        if (order < 0 || (order == 0 && or_equal)) {
            best = e;
            e = entry_at(a, e->left);
        } else {
            e = entry_at(a, e->right);
        }
    }
    return best;
}

uint32_t map_sum(const struct arena *a, ref_t map) { return map ? entry_at(a, map)->sum : 0; }

uint32_t map_count(const struct arena *a, ref_t map) { return map ? entry_at(a, map)->count : 0; }

void map_list(const struct arena *a, ref_t map, struct entry **list)
{
    struct entry *e = entry_at(a, map);

    if (e == NULL)
        return;
    map_list(a, e->left, list);
    list += map_count(a, e->left);
    *list = e;
    map_list(a, e->right, list + 1);
}

struct totals {
    uint32_t sum, count;
};

/* Of all keys below that one, or (@prefix) below it or beginning with it. */
static struct totals below(const struct arena *a, ref_t map, const void *key, size_t len,
                           bool prefix)
{
    struct entry *e = entry_at(a, map);
    struct totals t = { 0, 0 };

    while (e) {
        if (compare(key, len, e) > 0 || (prefix && key_has_prefix(e, key, len))) {
            t.sum += map_sum(a, e->left) + e->weight;
            t.count += map_count(a, e->left) + 1;
            e = entry_at(a, e->right);
        } else {
            e = entry_at(a, e->left);
        }
    }
    return t;
}

uint32_t map_rank(const struct arena *a, ref_t map, const void *key, size_t len)
{
    return below(a, map, key, len, false).sum;
}

struct entry *map_at(const struct arena *a, ref_t map, uint32_t at, uint32_t *inside)
{
    struct entry *e = entry_at(a, map);

    while (e) {
        uint32_t before = map_sum(a, e->left);

        if (at < before) {
            e = entry_at(a, e->left);
        } else if (at - before < e->weight) {
            *inside = at - before;
            break;
        } else {
            at -= before + e->weight;
            e = entry_at(a, e->right);
        }
    }
    return e;
}

/* ---- changes ---- */

static struct entry *own(struct arena *a, ref_t *r)
{
    *r = arena_edit(a, *r);
    return entry_at(a, *r);
}

static unsigned int height(const struct arena *a, ref_t r)
{
    return r ? entry_at(a, r)->height : 0;
}

/* What e says of itself and those below it, which are l and r; NULL: none. */
static inline __attribute__((always_inline)) void sum_up(struct entry *e, const struct entry *l,
                                                         const struct entry *r)
{
    unsigned int l_height = l ? l->height : 0u, r_height = r ? r->height : 0u;

    e->height = (uint8_t)((l_height > r_height ? l_height : r_height) + 1);
    e->sum = (l ? l->sum : 0) + (r ? r->sum : 0) + e->weight;
    e->count = (l ? l->count : 0) + (r ? r->count : 0) + 1;
}

static void refresh(const struct arena *a, struct entry *e)
{
    sum_up(e, entry_at(a, e->left), entry_at(a, e->right));
}

static void rotate_left(struct arena *a, ref_t *r)
{
    struct entry *e = own(a, r), *up = own(a, &e->right);
    ref_t top = e->right;

    e->right = up->left;
    refresh(a, e);
    up->left = *r;
    refresh(a, up);
    *r = top;
}

static void rotate_right(struct arena *a, ref_t *r)
{
    struct entry *e = own(a, r), *up = own(a, &e->left);
    ref_t top = e->left;

    e->left = up->right;
    refresh(a, e);
    up->right = *r;
    refresh(a, up);
    *r = top;
}

/* *r, which is this step's, after one of its subtrees has changed by one level at most. */
static void balance(struct arena *a, ref_t *r)
{
    struct entry *e = entry_at(a, *r);
    const struct entry *left = entry_at(a, e->left), *right = entry_at(a, e->right);
    unsigned int l_height = left ? left->height : 0u, r_height = right ? right->height : 0u;

    if (l_height > r_height + 1) {
        if (height(a, left->left) < height(a, left->right))
            rotate_left(a, &e->left);
        rotate_right(a, r);
    } else if (r_height > l_height + 1) {
        if (height(a, right->right) < height(a, right->left))
            rotate_right(a, &e->right);
        rotate_left(a, r);
    } else {
        sum_up(e, left, right);
    }
}

static struct entry *put(struct arena *a, ref_t *r, const void *key, size_t len, uint16_t weight,
                         bool weigh)
{
    struct entry *e, *found;
    int order;

    if (*r == 0) {
        *r = arena_alloc(a, ENTRY_REFS, offsetof(struct entry, key) + len);
        e = entry_at(a, *r);
        e->key_len = (uint16_t)len;
        e->weight = weight;
        memcpy(e->key, key, len);
        refresh(a, e);
        return e;
    }
    e = own(a, r);
    order = compare(key, len, e);
    if (order == 0) {
        e->weight = weigh ? weight : e->weight;
        refresh(a, e);
        return e;
    }
    found = put(a, order < 0 ? &e->left : &e->right, key, len, weight, weigh);
    balance(a, r);
    return found;
}

struct entry *map_put(struct arena *a, ref_t *map, const void *key, size_t len, uint16_t weight)
{
    return put(a, map, key, len, weight, false);
}

struct entry *map_weigh(struct arena *a, ref_t *map, const void *key, size_t len, uint16_t weight)
{
    return put(a, map, key, len, weight, true);
}

/* Take the first entry out of *r; it is this step's. */
static ref_t take_first(struct arena *a, ref_t *r)
{
    struct entry *e = own(a, r);
    ref_t first = *r;

    if (e->left) {
        first = take_first(a, &e->left);
        balance(a, r);
    } else {
        *r = e->right;
    }
    return first;
}

/* One map of left, an entry and right, each balanced, of any height. What is in right is above the rest. */
static ref_t join(struct arena *a, ref_t left, ref_t middle, ref_t right)
{
    unsigned int l_height = height(a, left), r_height = height(a, right);
    struct entry *e;

    if (l_height > r_height + 1) {
        e = own(a, &left);
        e->right = join(a, e->right, middle, right);
        balance(a, &left);
        return left;
    }
    if (r_height > l_height + 1) {
        e = own(a, &right);
        e->left = join(a, left, middle, e->left);
        balance(a, &right);
        return right;
    }
    e = own(a, &middle);
    e->left = left;
    e->right = right;
    refresh(a, e);
    return middle;
}

static ref_t join_two(struct arena *a, ref_t left, ref_t right)
{
    ref_t first;

    if (left == 0 || right == 0)
        return left ? left : right;
    first = take_first(a, &right);
    return join(a, left, first, right);
}

/* Entries on the way are copied on the way back, when it is known that there is one. */
bool map_remove(struct arena *a, ref_t *map, const void *key, size_t len)
{
    struct entry *e = entry_at(a, *map);
    ref_t rest;
    int order;

    if (e == NULL)
        return false;
    order = compare(key, len, e);
    if (order == 0) {
        *map = join_two(a, e->left, e->right);
        return true;
    }
    rest = order < 0 ? e->left : e->right;
    if (!map_remove(a, &rest, key, len))
        return false;
    e = own(a, map);
    *(order < 0 ? &e->left : &e->right) = rest;
    balance(a, map);
    return true;
}

/* ---- prefixes ---- */

int key_order(const void *key, size_t len, const struct entry *e) { return compare(key, len, e); }

bool key_has_prefix(const struct entry *e, const void *prefix, size_t len)
{
    return e->key_len >= len && compare_bytes(e->key, prefix, len) == 0;
}

uint32_t map_count_prefix(const struct arena *a, ref_t map, const void *prefix, size_t len)
{
    return below(a, map, prefix, len, true).count - below(a, map, prefix, len, false).count;
}

uint32_t map_sum_prefix(const struct arena *a, ref_t map, const void *prefix, size_t len)
{
    return below(a, map, prefix, len, true).sum - below(a, map, prefix, len, false).sum;
}

/*
 * A map without those of the prefix, which become *taken. What has none of them is not copied, nor is what has no
 * others; where it is this step's, it has the same reference after.
 */
static ref_t cut(struct arena *a, ref_t map, const void *prefix, size_t len, ref_t *taken)
{
    const struct entry *e = entry_at(a, map);
    ref_t left, right, taken_left, taken_right;

    *taken = 0;
    if (e == NULL)
        return 0;
    if (key_has_prefix(e, prefix, len)) {
        left = cut(a, e->left, prefix, len, &taken_left);
        right = cut(a, e->right, prefix, len, &taken_right);
        *taken = left || right ? join(a, taken_left, map, taken_right) : map;
        return join_two(a, left, right);
    }
    if (compare(prefix, len, e) > 0) {
        right = cut(a, e->right, prefix, len, taken);
        return *taken ? join(a, e->left, map, right) : map;
    }
    left = cut(a, e->left, prefix, len, taken);
    return *taken ? join(a, left, map, e->right) : map;
}

ref_t map_take_prefix(struct arena *a, ref_t *map, const void *prefix, size_t len)
{
    ref_t taken;

    *map = cut(a, *map, prefix, len, &taken);
    return taken;
}

void map_remove_prefix(struct arena *a, ref_t *map, const void *prefix, size_t len)
{
    map_take_prefix(a, map, prefix, len);
}
