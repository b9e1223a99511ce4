/* The store's transactions: what each sees, what conflicts, and what nobody learns by them. */
#include "store_asks.h"

/* ---- transactions ---- */

static void test_a_transaction_is_seen_when_it_ends(void)
{
    uint32_t tx;

    start();
    ask(D0, XS_WATCH, "/a|t|");
    events[0] = '\0';
    tx = begin_tx(D0);
    IS_IN(D0, XS_WRITE, tx, "/a/z|1", "OK");
    IS_IN(D0, XS_WRITE, tx, "/a/b|2", "OK");
    IS_IN(D0, XS_READ, tx, "/a/z|", "1");
    IS(D0, XS_READ, "/a/z|", "ENOENT");
    EVENTS("");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "OK");
    EVENTS("10000 /a/z t;10000 /a/b t;"); /* in the order of writing */
    IS(D0, XS_READ, "/a/z|", "1");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "ENOENT");
    tx = begin_tx(D0);
    IS_IN(D0, XS_RM, tx, "/a|", "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "F|"), "OK");
    EVENTS("");
    IS(D0, XS_READ, "/a/z|", "1");
    stop();
}

/* A parent of what was made and removed again is told of itself: nothing else is. */
static void test_a_parent_that_is_left_over_is_told(void)
{
    uint32_t tx;

    start();
    ask(D0, XS_MKDIR, "/a|");
    ask(D0, XS_WATCH, "/a|t|");
    events[0] = '\0';
    tx = begin_tx(D0);
    ask_in(D0, XS_WRITE, tx, "/a/b/c/d|v");
    ask_in(D0, XS_RM, tx, "/a/b/c/d|");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "OK");
    CU_ASSERT_STRING_EQUAL(events, "10000 /a/b/c t;");
    events[0] = '\0';
    tx = begin_tx(D0);
    ask_in(D0, XS_WRITE, tx, "/a/x/y|v");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "OK");
    CU_ASSERT_STRING_EQUAL(events, "10000 /a/x/y t;");
    stop();
}

static void test_malformed_transaction_requests(void)
{
    uint32_t tx;

    start();
    introduce(1);
    tx = begin_tx(D0);
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "X|"), "EINVAL");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T"), "EINVAL");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|T|"), "EINVAL");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, ""), "EINVAL");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, 0, "T|"), "ENOENT");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx + 1, "T|"), "ENOENT");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "ENOENT"); /* somebody else's */
    IS_IN(D0, XS_READ, tx + 1, "/|", "ENOENT");
    IS_IN(D0, XS_TRANSACTION_START, tx, "|", "EBUSY");
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "OK");
    stop();
}

/* First the one, then the other; the second is to have that result. */
struct clash {
    const char *name, *want;
    uint32_t type;
    const char *mine;
    uint32_t other_type;
    const char *other;
};

static const struct clash clashes[] = {
    { "read, written", "EAGAIN", XS_READ, "/a/b|", XS_WRITE, "/a/b|x" },
    { "read, others written", "OK", XS_READ, "/a/b|", XS_WRITE, "/a/c|x" },
    { "read, child made", "OK", XS_READ, "/a|", XS_WRITE, "/a/new|x" },
    { "listed, child made", "EAGAIN", XS_DIRECTORY, "/a|", XS_WRITE, "/a/new|x" },
    { "listed, child removed", "EAGAIN", XS_DIRECTORY, "/a|", XS_RM, "/a/c|" },
    { "listed, child written", "OK", XS_DIRECTORY, "/a|", XS_WRITE, "/a/c|x" },
    { "listed, grandchild made", "OK", XS_DIRECTORY, "/a|", XS_WRITE, "/a/c/d|x" },
    { "in parts, child made", "EAGAIN", XS_DIRECTORY_PART, "/a|0|", XS_WRITE, "/a/new|x" },
    { "written, written", "EAGAIN", XS_WRITE, "/a/b|m", XS_WRITE, "/a/b|x" },
    { "written, removed", "EAGAIN", XS_WRITE, "/a/b|m", XS_RM, "/a/b|" },
    { "written, parent removed", "EAGAIN", XS_WRITE, "/a/b|m", XS_RM, "/a|" },
    { "made, sibling made", "OK", XS_WRITE, "/a/n1|m", XS_WRITE, "/a/n2|x" },
    { "made, made", "EAGAIN", XS_WRITE, "/a/n|m", XS_WRITE, "/a/n|x" },
    { "made, parent removed", "EAGAIN", XS_WRITE, "/a/n|m", XS_RM, "/a|" },
    { "made with parents, parent made", "EAGAIN", XS_WRITE, "/n/m|m", XS_WRITE, "/n|x" },
    { "made, parent's permissions", "EAGAIN", XS_WRITE, "/a/n|m", XS_SET_PERMS, "/a|r0|" },
    { "not there, made", "EAGAIN", XS_READ, "/a/n|", XS_WRITE, "/a/n|x" },
    { "not there, parent made", "OK", XS_READ, "/p/n|", XS_WRITE, "/p|x" },
    { "removed, written", "EAGAIN", XS_RM, "/a/b|", XS_WRITE, "/a/b|x" },
    { "removed, below written", "OK", XS_RM, "/a|", XS_WRITE, "/a/b|x" },
    { "permissions read, set", "EAGAIN", XS_GET_PERMS, "/a/b|", XS_SET_PERMS, "/a/b|r0|" },
    { "permissions read, written", "OK", XS_GET_PERMS, "/a/b|", XS_WRITE, "/a/b|x" },
    { "permissions set, set", "EAGAIN", XS_SET_PERMS, "/a/b|r0|", XS_SET_PERMS, "/a/b|n0|" },
    { "mkdir of what is there, removed", "EAGAIN", XS_MKDIR, "/a/b|", XS_RM, "/a/b|" },
    { "nothing, written", "OK", XS_GET_DOMAIN_PATH, "0|", XS_WRITE, "/a/b|x" },
};

static void test_only_what_was_used_conflicts(void)
{
    for (size_t i = 0; i < sizeof(clashes) / sizeof(clashes[0]); i++)
        for (int in_tx = 0; in_tx < 2; in_tx++) {
            const struct clash *c = &clashes[i];
            uint32_t tx, other;

            start();
            ask(D0, XS_WRITE, "/a/b|1");
            ask(D0, XS_WRITE, "/a/c|1");
            store_connect(store, D0 + 1, 0);
            tx = begin_tx(D0);
            ask_in(D0, c->type, tx, c->mine);
            other = in_tx ? begin_tx(D0 + 1) : 0;
            CU_ASSERT_STRING_EQUAL(ask_in(D0 + 1, c->other_type, other, c->other), "OK");
            if (in_tx)
                CU_ASSERT_STRING_EQUAL(end_tx(D0 + 1, other, "T|"), "OK");
            if (strcmp(end_tx(D0, tx, "T|"), c->want)) {
                printf("\n%s: %s\n", c->name, answer);
                CU_FAIL("conflict");
            }
            CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "ENOENT"); /* it is over, so or so */
            stop();
        }
}

/* What a transaction is refused it does not remember: neither does it cost memory ... */
static void test_refused_requests_in_a_transaction_cost_nothing(void)
{
    uint32_t tx;
    size_t used;

    start();
    introduce(5);
    tx = begin_tx(5);
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_WRITE, tx, "/local/domain/x0|v"), "EACCES");
    used = arena_used(&store->a);
    for (int i = 0; i < 1000; i++) {
        char text[100];

        snprintf(text, sizeof(text), "/local/domain/x%d|v", i);
        CU_ASSERT_STRING_EQUAL(ask_in(5, i % 2 ? XS_WRITE : XS_READ, tx, i % 2 ? text : "/local|"),
                               "EACCES");
    }
    CU_ASSERT_EQUAL(arena_used(&store->a), used);
    stop();
}

/* ... nor does it tell, by a conflict, that what it may not read has changed. */
static void test_conflicts_tell_nothing_of_what_was_refused(void)
{
    uint32_t tx;

    start();
    introduce(5);
    introduce(7);
    ask(D0, XS_WRITE, "/local/domain/7/secret|1");
    tx = begin_tx(5);
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_READ, tx, "/local/domain/7/secret|"), "EACCES");
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_READ, tx, "/local/domain/7/new|"), "EACCES");
    ask(D0, XS_WRITE, "/local/domain/7/secret|2");
    ask(7, XS_WRITE, "/local/domain/7/new|2");
    CU_ASSERT_STRING_EQUAL(end_tx(5, tx, "T|"), "OK");
    stop();
}

/* Nor is it told by the room that is left for notes: what is there needs one, what is not needs two. */
static void test_room_tells_nothing_of_what_was_refused(void)
{
    static const char *const hidden[] = { "/local/domain/7/secret", "/local/domain/7/none",
                                          "/local/domain/7/none/of/it" };
    char text[100];
    uint32_t tx;

    start();
    introduce(5);
    introduce(7);
    ask(D0, XS_WRITE, "/local/domain/7/secret|1");
    ask(D0, XS_CONTROL, "quota|set|transaction-nodes|10|");
    for (int left = 3; left >= 0; left--) {
        tx = begin_tx(5);
        for (int i = 0; i < 9 - left; i++) { /* each is one path, but for its parent's */
            snprintf(text, sizeof(text), "%d|", i);
            IS_IN(5, XS_READ, tx, text, "ENOENT");
        }
        for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
            snprintf(text, sizeof(text), "%s|", hidden[i]);
            IS_IN(5, XS_READ, tx, text, "EACCES");
            IS_IN(5, XS_DIRECTORY, tx, text, "EACCES");
            IS_IN(5, XS_MKDIR, tx, text, "EACCES");
            IS_IN(5, XS_RM, tx, text, "EACCES");
            snprintf(text, sizeof(text), "%s|x", hidden[i]);
            IS_IN(5, XS_WRITE, tx, text, "EACCES");
            snprintf(text, sizeof(text), "%s|n5|", hidden[i]);
            IS_IN(5, XS_SET_PERMS, tx, text, "EACCES");
        }
        end_tx(5, tx, "F|");
    }
    stop();
}

/* What is not there is noted within the quota and the memory of domains, or that is the answer. */
static void test_what_is_not_found_is_noted_within_bounds(void)
{
    char text[100];
    uint32_t tx;
    size_t used;

    start();
    introduce(5);
    ask(D0, XS_CONTROL, "quota|set|transaction-nodes|20|");
    tx = begin_tx(5);
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "/local/domain/5/%d|", i);
        if (i == 18) /* two paths more, and there is room for one */
            CU_ASSERT_STRING_EQUAL(ask_in(5, XS_RM, tx, "/local/domain/5/p/q|"), "ENOSPC");
        CU_ASSERT_STRING_EQUAL(ask_in(5, XS_READ, tx, text), i < 19 ? "ENOENT" : "ENOSPC");
        if (i == 20)
            used = arena_used(&store->a);
    }
    CU_ASSERT_EQUAL(arena_used(&store->a), used);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "quota|5|"),
                                  "transaction-nodes: 0 of 20, hit 282 times"));
    end_tx(5, tx, "F|");
    ask(D0, XS_CONTROL, "quota|set|transaction-nodes|0|");
    ask(D0, XS_CONTROL, "quota|set|memory-share|0|");
    tx = begin_tx(5);
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "/local/domain/5/%040d|", i);
        if (strcmp(ask_in(5, XS_READ, tx, text), "ENOENT") != 0)
            break;
    }
    CU_ASSERT_STRING_EQUAL(answer, "ENOMEM");
    CU_ASSERT_TRUE(store->a.nr_free_slabs >= store->a.nr_slabs / KEEP_FROM_DOMAINS - 1);
    stop();
}

static void test_removed_and_made_again_in_a_transaction(void)
{
    uint32_t tx;

    start();
    introduce(1);
    ask(D0, XS_WRITE, "/a/b/old|1");
    ask(D0, XS_WRITE, "/a-b|1");
    ask(D0, XS_SET_PERMS, "/a/b|n1|");
    ask(D0, XS_WATCH, "/a/b/old|t|");
    store_connect(store, D0 + 1, 0);
    tx = begin_tx(D0);
    IS_IN(D0, XS_RM, tx, "/a-b|", "OK");
    IS_IN(D0, XS_RM, tx, "/a|", "OK");
    IS_IN(D0, XS_WRITE, tx, "/a/b/new|2", "OK");
    IS_IN(D0, XS_SET_PERMS, tx, "/a/b/new|n1|", "OK");
    IS_IN(D0, XS_WRITE, tx, "/a-b/x|2", "OK");
    IS_IN(D0, XS_WRITE, tx, "/gone|2", "OK");
    IS_IN(D0, XS_RM, tx, "/gone|", "OK");
    ask(D0 + 1, XS_WRITE, "/a/b/late|1"); /* below what is removed: it goes, too */
    events[0] = '\0';
    CU_ASSERT_STRING_EQUAL(end_tx(D0, tx, "T|"), "OK");
    EVENTS("10000 /a/b/old t;");
    IS(D0, XS_DIRECTORY, "/a/b|", "new");
    IS(D0, XS_GET_PERMS, "/a/b|", "n0");
    IS(D0, XS_DIRECTORY, "/a-b|", "x");
    IS(D0, XS_READ, "/gone|", "ENOENT");
    audit();
    IS(D0, XS_RELEASE, "1|", "OK");
    IS(D0, XS_DIRECTORY, "/a/b|", "");
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store transactions", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_transaction_is_seen_when_it_ends);
    T(test_a_parent_that_is_left_over_is_told);
    T(test_malformed_transaction_requests);
    T(test_only_what_was_used_conflicts);
    T(test_refused_requests_in_a_transaction_cost_nothing);
    T(test_conflicts_tell_nothing_of_what_was_refused);
    T(test_room_tells_nothing_of_what_was_refused);
    T(test_what_is_not_found_is_noted_within_bounds);
    T(test_removed_and_made_again_in_a_transaction);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
