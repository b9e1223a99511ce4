/* The store's requests: what xenstore.txt says of each, and everything malformed. */
#include <CUnit/Basic.h>

#include "store_machine.h"

#define IS(conn, type, text, want) CU_ASSERT_STRING_EQUAL(ask(conn, type, text), want)
#define IS_IN(conn, type, tx, text, want) CU_ASSERT_STRING_EQUAL(ask_in(conn, type, tx, text), want)
#define EVENTS(want)                          \
    do {                                      \
        CU_ASSERT_STRING_EQUAL(events, want); \
        events[0] = '\0';                     \
    } while (0)

static void start(void) { machine_start(); }
static void stop(void)
{
    audit();
    machine_stop();
}

/* ---- nodes ---- */

static void test_values_are_kept_with_parents(void)
{
    start();
    IS(D0, XS_WRITE, "/a/b/c|value", "OK");
    IS(D0, XS_READ, "/a/b/c|", "value");
    IS(D0, XS_READ, "/a|", "");
    CU_ASSERT_EQUAL(answer_type, XS_READ);
    IS(D0, XS_WRITE, "/a/b/c|x|y|", "OK"); /* zeros are bytes of a value */
    IS(D0, XS_READ, "/a/b/c|", "x|y");
    CU_ASSERT_EQUAL(answer_len, 4);
    IS(D0, XS_WRITE, "/a/b/c|", "OK");
    IS(D0, XS_READ, "/a/b/c|", "");
    IS(D0, XS_READ, "/a/x|", "ENOENT");
    CU_ASSERT_EQUAL(answer_type, XS_ERROR);
    IS(D0, XS_WRITE, "/|top", "OK");
    IS(D0, XS_READ, "/|", "top");
    stop();
}

static void test_relative_paths_begin_at_home(void)
{
    start();
    introduce(7);
    IS(7, XS_WRITE, "data/x|1", "OK");
    IS(D0, XS_READ, "/local/domain/7/data/x|", "1");
    IS(D0, XS_WRITE, "tool|2", "OK");
    IS(D0, XS_READ, "/local/domain/0/tool|", "2");
    stop();
}

static void test_mkdir_keeps_what_is_there(void)
{
    start();
    IS(D0, XS_WRITE, "/a|v", "OK");
    IS(D0, XS_MKDIR, "/a|", "OK");
    IS(D0, XS_READ, "/a|", "v");
    IS(D0, XS_MKDIR, "/x/y|", "OK");
    IS(D0, XS_DIRECTORY, "/x|", "y");
    stop();
}

static void test_rm_takes_all_below(void)
{
    start();
    ask(D0, XS_WRITE, "/a/b/c|1");
    ask(D0, XS_WRITE, "/a/bb|2");
    IS(D0, XS_RM, "/a/b|", "OK");
    IS(D0, XS_DIRECTORY, "/a|", "bb");
    IS(D0, XS_READ, "/a/b/c|", "ENOENT");
    IS(D0, XS_RM, "/a/b|", "OK");       /* it is not there, its parent is */
    IS(D0, XS_RM, "/a/b/c|", "ENOENT"); /* its parent is not, either */
    IS(D0, XS_RM, "/|", "EINVAL");
    stop();
}

static void test_directories_are_sorted_and_end_with_zeros(void)
{
    start();
    ask(D0, XS_MKDIR, "/d/c|");
    ask(D0, XS_MKDIR, "/d/a|");
    ask(D0, XS_MKDIR, "/d/b|");
    IS(D0, XS_DIRECTORY, "/d|", "a|b|c");
    CU_ASSERT_EQUAL(answer_len, 6);
    IS(D0, XS_DIRECTORY, "/d/a|", "");
    CU_ASSERT_EQUAL(answer_len, 0);
    IS(D0, XS_DIRECTORY, "/|", "d");
    stop();
}

/* As libxenstore does it. Returns how many names there are; each is in its place. */
static unsigned int list_in_parts(unsigned int *parts)
{
    unsigned int offset = 0, nr = 0;
    char text[64], want[64];

    for (*parts = 0; *parts < 100; ++*parts) {
        const char *name;
        size_t at;

        snprintf(text, sizeof(text), "/d|%u|", offset);
        ask(D0, XS_DIRECTORY_PART, text);
        if (answer_type != XS_DIRECTORY_PART)
            return 0;
        for (size_t i = 0; i < answer_len; i++)
            if (answer[i] == '|' || i + 1 == answer_len)
                answer[i] = '\0';
        at = strlen(answer) + 1;
        for (name = answer + at; at < answer_len; name = answer + at) {
            if (*name == '\0')
                return nr;
            snprintf(want, sizeof(want), "child-with-a-name-%04u", nr++);
            CU_ASSERT_STRING_EQUAL(name, want);
            at += strlen(name) + 1;
            offset += (unsigned int)strlen(name) + 1;
        }
    }
    return 0;
}

static void test_a_big_directory_comes_in_parts(void)
{
    unsigned int parts;
    char text[64], gen[32];

    start();
    for (unsigned int i = 0; i < 900; i++) {
        snprintf(text, sizeof(text), "/d/child-with-a-name-%04u|", (i * 7) % 900);
        ask(D0, XS_MKDIR, text);
    }
    IS(D0, XS_DIRECTORY, "/d|", "E2BIG");
    CU_ASSERT_EQUAL(list_in_parts(&parts), 900);
    CU_ASSERT_EQUAL(parts, 900 * 23 / 4075);
    strtok(strcpy(gen, (ask(D0, XS_DIRECTORY_PART, "/d|20600|"), strndupa(answer, 20))), "|");
    ask(D0, XS_WRITE, "/other|x");
    CU_ASSERT_EQUAL(strncmp(ask(D0, XS_DIRECTORY_PART, "/d|20600|"), gen, strlen(gen)), 0);
    ask(D0, XS_RM, "/d/child-with-a-name-0000|");
    CU_ASSERT_NOT_EQUAL(strtoul(ask(D0, XS_DIRECTORY_PART, "/d|20600|"), NULL, 10),
                        strtoul(gen, NULL, 10));
    ask(D0, XS_DIRECTORY_PART, "/d|99999|"); /* behind the end */
    CU_ASSERT_STRING_EQUAL(strchr(answer, '|'), "|");
    IS(D0, XS_DIRECTORY_PART, "/d|", "EINVAL");
    IS(D0, XS_DIRECTORY_PART, "/d|x|", "EINVAL");
    IS(D0, XS_DIRECTORY_PART, "/nothing|0|", "ENOENT");
    ask(D0, XS_DIRECTORY_PART, "/other|0|");
    CU_ASSERT_EQUAL(answer[answer_len - 2], '|'); /* nothing in it: the end at once */
    ask(D0, XS_DIRECTORY_PART,
        "/d|20672|"); /* of 899 names of 23 bytes: the rest of one, and the end */
    CU_ASSERT_STRING_EQUAL(strchr(answer, '|'), "|0899|");
    stop();
}

static void test_bad_paths_are_refused(void)
{
    static const char *const bad[] = { "|",     "",          "//|",  "/a/|",    "/a//b|",
                                       "/a b|", "/a\xff|",   "/a",   "/a.b|",   "/a|b|",
                                       "a/|",   "@special|", "/\n|", "/a/../b|" };

    start();
    ask(D0, XS_WRITE, "/a|v");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        IS(D0, XS_READ, bad[i], "EINVAL");
        IS(D0, XS_DIRECTORY, bad[i], "EINVAL");
        IS(D0, XS_GET_PERMS, bad[i], "EINVAL");
        IS(D0, XS_MKDIR, bad[i], "EINVAL");
        IS(D0, XS_RM, bad[i], "EINVAL");
    }
    IS(D0, XS_DIRECTORY, "/|", "a");
    stop();
}

static void test_paths_have_a_longest_length(void)
{
    char path[4000];

    start();
    introduce(3);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[XENSTORE_ABS_PATH_MAX] = '\0';
    CU_ASSERT_STRING_EQUAL(ask_bytes(D0, XS_WRITE, 0, path, XENSTORE_ABS_PATH_MAX + 1), "OK");
    CU_ASSERT_STRING_EQUAL(ask_bytes(D0, XS_READ, 0, path, XENSTORE_ABS_PATH_MAX + 1), "");
    ask(D0, XS_DIRECTORY, "/|");
    CU_ASSERT_EQUAL(answer_len, XENSTORE_ABS_PATH_MAX + sizeof("local"));
    path[XENSTORE_ABS_PATH_MAX] = 'x';
    path[XENSTORE_ABS_PATH_MAX + 1] = '\0';
    CU_ASSERT_STRING_EQUAL(ask_bytes(D0, XS_READ, 0, path, XENSTORE_ABS_PATH_MAX + 2), "EINVAL");
    path[0] = 'x';
    path[XENSTORE_REL_PATH_MAX] = '\0';
    CU_ASSERT_STRING_EQUAL(ask_bytes(3, XS_WRITE, 0, path, XENSTORE_REL_PATH_MAX + 1), "OK");
    path[XENSTORE_REL_PATH_MAX] = 'x';
    path[XENSTORE_REL_PATH_MAX + 1] = '\0';
    CU_ASSERT_STRING_EQUAL(ask_bytes(3, XS_WRITE, 0, path, XENSTORE_REL_PATH_MAX + 2), "EINVAL");
    for (size_t i = 0; i < XENSTORE_ABS_PATH_MAX; i++) /* as deep as can be */
        path[i] = i % 2 ? 'y' : '/';
    path[XENSTORE_ABS_PATH_MAX] = '\0';
    CU_ASSERT_STRING_EQUAL(ask_bytes(D0, XS_MKDIR, 0, path, XENSTORE_ABS_PATH_MAX + 1), "OK");
    audit();
    IS(D0, XS_RM, "/y|", "OK");
    stop();
}

static void test_nobody_knows_other_requests(void)
{
    start();
    IS(D0, XS_WATCH_EVENT, "/a|t|", "ENOSYS");
    IS(D0, XS_ERROR, "EINVAL|", "ENOSYS");
    IS(D0, XS_SET_TARGET + 1, "1|", "ENOSYS");
    IS(D0, XS_TYPE_COUNT, "1|", "ENOSYS");
    IS(D0, 0xffffffff, "", "ENOSYS");
    stop();
}

static void test_a_message_that_is_too_long_ends_the_connection(void)
{
    struct xsd_sockmsg h = { .type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1 };
    char payload[XENSTORE_PAYLOAD_MAX] = "/a";

    start();
    CU_ASSERT_EQUAL(store_request(store, D0, &h, ""), -E2BIG);
    CU_ASSERT_STRING_EQUAL(ask_bytes(D0, XS_WRITE, 0, payload, sizeof(payload)), "OK");
    ask(D0, XS_READ, "/a|");
    CU_ASSERT_EQUAL(answer_len, XENSTORE_PAYLOAD_MAX - 3);
    stop();
}

static void test_answers_carry_the_numbers_of_requests(void)
{
    struct xsd_sockmsg h = { XS_READ, 0xdeadbeef, 0xffffffff, 3 }, got;
    const void *bytes;

    start();
    CU_ASSERT_EQUAL(store_request(store, D0, &h, "/a"), 0);
    CU_ASSERT_EQUAL(store_output(store, D0, &bytes), sizeof(got) + sizeof("ENOENT"));
    memcpy(&got, bytes, sizeof(got));
    CU_ASSERT_EQUAL(got.type, XS_ERROR);
    CU_ASSERT_EQUAL(got.req_id, 0xdeadbeef);
    CU_ASSERT_EQUAL(got.tx_id, 0xffffffff);
    CU_ASSERT_EQUAL(store_output_done(store, D0, 5), 0); /* sent in pieces */
    CU_ASSERT_EQUAL(store_output(store, D0, &bytes), sizeof(got) + sizeof("ENOENT") - 5);
    CU_ASSERT_TRUE(store_output_waiting(store, D0) > 0);
    CU_ASSERT_EQUAL(store_output_done(store, D0, sizeof(got) + sizeof("ENOENT") - 5), 0);
    CU_ASSERT_EQUAL(store_output_waiting(store, D0), 0);
    stop();
}

/* ---- permissions ---- */

static void test_permissions_decide(void)
{
    start();
    introduce(1);
    introduce(2);
    ask(D0, XS_WRITE, "/x|secret");
    IS(D0, XS_GET_PERMS, "/x|", "n0");
    IS(1, XS_READ, "/x|", "EACCES");
    IS(D0, XS_SET_PERMS, "/x|n0|r1|w2|", "OK");
    IS(1, XS_READ, "/x|", "secret");
    IS(1, XS_WRITE, "/x|mine", "EACCES");
    IS(2, XS_READ, "/x|", "EACCES");
    IS(2, XS_WRITE, "/x|two", "OK");
    IS(D0, XS_SET_PERMS, "/x|r0|", "OK"); /* all others */
    IS(2, XS_READ, "/x|", "two");
    IS(1, XS_SET_PERMS, "/x|r0|b1|", "EACCES");
    IS(1, XS_GET_PERMS, "/x|", "r0");
    IS(1, XS_RM, "/x|", "EACCES");
    IS(1, XS_MKDIR, "/x/y|", "EACCES");
    IS(1, XS_MKDIR, "/x|", "EACCES");
    IS(1, XS_READ, "/nothing|", "EACCES"); /* nor whether it is there */
    IS(1, XS_READ, "/x/nothing|", "ENOENT");
    stop();
}

static void test_owners_set_permissions_but_not_owners(void)
{
    start();
    introduce(1);
    introduce(2);
    IS(1, XS_WRITE, "data|x", "OK");
    IS(1, XS_GET_PERMS, "data|", "n1");
    IS(1, XS_SET_PERMS, "data|n1|b2|", "OK");
    IS(2, XS_WRITE, "/local/domain/1/data|y", "OK");
    IS(2, XS_WRITE, "/local/domain/1/data/sub|z", "OK"); /* its own, with the rights of above */
    IS(2, XS_GET_PERMS, "/local/domain/1/data/sub|", "n2|b2");
    IS(1, XS_SET_PERMS, "data|n2|", "EPERM");
    IS(1, XS_SET_PERMS, "data|n0|", "EPERM");
    IS(2, XS_SET_PERMS, "/local/domain/1/data|n1|", "EACCES");
    IS(D0, XS_SET_PERMS, "/local/domain/1/data|n2|", "OK");
    IS(1, XS_READ, "data|", "EACCES");
    stop();
}

static void test_bad_permissions_are_refused(void)
{
    static const char *const bad[] = {
        "/x|",     "/x",         "/x|q1|", "/x|r|",  "/x|r-1|", "/x|r1", "/x|r1|b",
        "/x|r1x|", "/x|r65536|", "/x||",   "/x|R1|", "/x|r 1|", "|r1|",  "/x|r99999999999999999999|"
    };
    char many[6000] = "/x|";

    start();
    ask(D0, XS_WRITE, "/x|v");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        IS(D0, XS_SET_PERMS, bad[i], "EINVAL");
    IS(D0, XS_SET_PERMS, "/y|r1|", "ENOENT");
    IS(D0, XS_GET_PERMS, "/x|", "n0");
    for (int i = 0; i < 1024; i++)
        strcat(many, "b1|");
    IS(D0, XS_SET_PERMS, many, "OK");
    ask(D0, XS_GET_PERMS, "/x|");
    CU_ASSERT_EQUAL(answer_len, 1024 * 3);
    strcat(many, "b1|");
    IS(D0, XS_SET_PERMS, many, "EINVAL");
    stop();
}

static void test_a_target_lends_its_rights(void)
{
    start();
    introduce(1);
    introduce(2);
    ask(2, XS_WRITE, "data|v");
    ask(D0, XS_WRITE, "/for2|w");
    ask(D0, XS_SET_PERMS, "/for2|n0|r2|");
    IS(1, XS_READ, "/local/domain/2/data|", "EACCES");
    IS(1, XS_SET_TARGET, "1|2|", "EACCES");
    IS(D0, XS_SET_TARGET, "1|3|", "ENOENT");
    IS(D0, XS_SET_TARGET, "1|2|", "OK");
    IS(1, XS_READ, "/local/domain/2/data|", "v");
    IS(1, XS_WRITE, "/local/domain/2/data|new", "OK");
    IS(1, XS_SET_PERMS, "/local/domain/2/data|n2|r5|", "OK");
    IS(1, XS_READ, "/for2|", "w");
    IS(1, XS_WRITE, "/for2|w", "EACCES");
    IS(2, XS_READ, "/local/domain/1|", "EACCES");
    stop();
}

static void test_a_target_that_is_gone_lends_nothing(void)
{
    for (int how = 0; how < 2; how++) {
        start();
        introduce(6);
        introduce(8);
        introduce(9);
        ask(D0, XS_SET_TARGET, "6|8|");
        ask(D0, XS_SET_TARGET, "9|6|");
        introduce(10);
        ask(D0, XS_SET_TARGET, "10|8|"); /* 8 has two */
        CU_ASSERT_STRING_EQUAL(ask(6, XS_WRITE, "/local/domain/8/s|1"), "OK");
        if (how) {
            CU_ASSERT_EQUAL(store_domain_gone(store, 8), 0);
        } else {
            CU_ASSERT_STRING_EQUAL(ask(D0, XS_RELEASE, "8|"), "OK");
        }
        introduce(8); /* another, of the same id */
        ask(8, XS_WRITE, "/local/domain/8/s|secret");
        CU_ASSERT_STRING_EQUAL(ask(6, XS_READ, "/local/domain/8/s|"), "EACCES");
        CU_ASSERT_STRING_EQUAL(ask(6, XS_WRITE, "/local/domain/8/s|x"), "EACCES");
        CU_ASSERT_STRING_EQUAL(ask(10, XS_READ, "/local/domain/8/s|"), "EACCES");
        CU_ASSERT_STRING_EQUAL(ask(9, XS_WRITE, "/local/domain/6/s|x"), "OK");
        stop();
    }
}

static void test_what_was_said_of_a_dead_domain_is_void(void)
{
    start();
    introduce(1);
    introduce(2);
    ask(2, XS_WRITE, "data|v");
    ask(2, XS_SET_PERMS, "data|n2|r1|");
    IS(1, XS_READ, "/local/domain/2/data|", "v");
    IS(D0, XS_RELEASE, "1|", "OK");
    IS(D0, XS_READ, "/local/domain/1|", "ENOENT"); /* its nodes went with it */
    introduce(1);
    IS(1, XS_READ, "/local/domain/2/data|", "EACCES");
    ask(2, XS_SET_PERMS, "data|n2|r1|");
    IS(1, XS_READ, "/local/domain/2/data|", "v");
    stop();
}

/* ---- watches ---- */

static void test_watches_see_what_is_at_and_below(void)
{
    start();
    IS(D0, XS_WATCH, "/a|tok|", "OK");
    EVENTS("10000 /a tok;");
    ask(D0, XS_WRITE, "/a/b/c|1");
    EVENTS("10000 /a/b/c tok;");
    ask(D0, XS_WRITE, "/ab|1");
    ask(D0, XS_WRITE, "/b/a|1");
    EVENTS("");
    ask(D0, XS_SET_PERMS, "/a/b|r0|");
    EVENTS("10000 /a/b tok;");
    ask(D0, XS_MKDIR, "/a/b|"); /* nothing changes */
    EVENTS("");
    ask(D0, XS_RM, "/a/b|");
    EVENTS("10000 /a/b tok;");
    ask(D0, XS_RM, "/a|");
    EVENTS("10000 /a tok;");
    ask(D0, XS_RM, "/a|");
    EVENTS("");
    IS(D0, XS_UNWATCH, "/a|tok|", "OK");
    ask(D0, XS_WRITE, "/a|1");
    EVENTS("");
    IS(D0, XS_WATCH, "/|all|", "OK");
    EVENTS("10000 / all;");
    ask(D0, XS_WRITE, "/q|1");
    EVENTS("10000 /q all;");
    ask(D0, XS_WRITE, "/|1");
    EVENTS("10000 / all;");
    stop();
}

static void test_watches_below_what_is_removed_see_themselves(void)
{
    start();
    ask(D0, XS_WRITE, "/a/b/c|1");
    ask(D0, XS_WATCH, "/a/b/c|deep|");
    ask(D0, XS_WATCH, "/a/b/none|none|");
    ask(D0, XS_WATCH, "/a/b-c|side|");
    events[0] = '\0';
    ask(D0, XS_RM, "/a|");
    EVENTS("10000 /a/b/c deep;");
    stop();
}

static void test_depth_limits_what_is_seen(void)
{
    start();
    IS(D0, XS_WATCH, "/a|zero|0|", "OK");
    IS(D0, XS_WATCH, "/a|one|1|", "OK");
    IS(D0, XS_WATCH, "/a|any||", "OK");
    events[0] = '\0';
    ask(D0, XS_WRITE, "/a|1");
    EVENTS("10000 /a any;10000 /a one;10000 /a zero;");
    ask(D0, XS_WRITE, "/a/b|1");
    EVENTS("10000 /a/b any;10000 /a/b one;");
    ask(D0, XS_WRITE, "/a/c/d|1"); /* who does not see /a/c/d sees that /a/c came */
    EVENTS("10000 /a/c one;10000 /a/c/d any;");
    IS(D0, XS_WATCH, "/a|bad|x|", "EINVAL");
    IS(D0, XS_WATCH, "/a|bad|-1|", "EINVAL");
    IS(D0, XS_WATCH, "/a|bad|1", "EINVAL");
    IS(D0, XS_WATCH, "/a|bad|1|2|", "EINVAL");
    stop();
}

static void test_watches_are_named_by_path_and_token(void)
{
    char text[3000];

    start();
    IS(D0, XS_WATCH, "/a|t|", "OK");
    IS(D0, XS_WATCH, "/a|t|", "EEXIST");
    IS(D0, XS_WATCH, "/a|u|", "OK");
    IS(D0, XS_UNWATCH, "/a|v|", "ENOENT");
    IS(D0, XS_UNWATCH, "/b|t|", "ENOENT");
    IS(D0, XS_UNWATCH, "/a|t|", "OK");
    IS(D0, XS_UNWATCH, "/a|t|", "ENOENT");
    IS(D0, XS_WATCH, "/a|", "EINVAL");
    IS(D0, XS_WATCH, "/a|t", "EINVAL");
    IS(D0, XS_WATCH, "/a//b|t|", "EINVAL");
    IS(D0, XS_UNWATCH, "/a|", "EINVAL");
    memset(text, 'x', sizeof(text));
    memcpy(text, "/a|", 3);
    text[3 + 1023] = '|'; /* an event with the longest path could not have it */
    text[3 + 1024] = '\0';
    IS(D0, XS_WATCH, text, "EINVAL");
    text[3 + 1022] = '|';
    text[3 + 1023] = '\0';
    IS(D0, XS_WATCH, text, "OK");
    stop();
}

static void test_relative_watches_have_relative_events(void)
{
    start();
    introduce(5);
    events[0] = '\0';
    IS(5, XS_WATCH, "dev|t|", "OK");
    EVENTS("5 dev t;");
    ask(5, XS_WRITE, "/local/domain/5/dev/x|1");
    EVENTS("5 dev/x t;");
    IS(5, XS_UNWATCH, "dev|t|", "OK");
    stop();
}

static void test_nobody_hears_of_what_he_may_not_read(void)
{
    start();
    introduce(1);
    ask(1, XS_WATCH, "/x|t|");
    events[0] = '\0';
    ask(D0, XS_WRITE, "/x/secret|1");
    take_all(1);
    EVENTS("");
    ask(D0, XS_SET_PERMS, "/x/secret|n0|r1|");
    take_all(1);
    EVENTS("1 /x/secret t;");
    ask(D0, XS_RM, "/x/secret|"); /* he could read it */
    take_all(1);
    EVENTS("1 /x/secret t;");
    stop();
}

static void test_special_watches(void)
{
    start();
    introduce(1);
    IS(D0, XS_WATCH, "@introduceDomain|i|", "OK");
    IS(D0, XS_WATCH, "@releaseDomain|r|", "OK");
    IS(D0, XS_WATCH, "@releaseDomain|id|1|", "OK");
    IS(D0, XS_WATCH, "@releaseDomain/2|two|", "OK");
    IS(D0, XS_WATCH, "@releaseDomain|bad|2|", "EINVAL");
    IS(1, XS_WATCH, "@releaseDomain|mine|", "OK");
    events[0] = '\0';
    introduce(2);
    introduce(3);
    EVENTS("10000 @introduceDomain i;10000 @introduceDomain i;");
    IS(D0, XS_RELEASE, "3|", "OK");
    EVENTS("10000 @releaseDomain/3 id;10000 @releaseDomain r;");
    IS(1, XS_SET_PERMS, "@releaseDomain|n0|r1|", "EACCES");
    IS(1, XS_GET_PERMS, "@releaseDomain|", "EACCES");
    IS(D0, XS_GET_PERMS, "@releaseDomain|", "n0");
    IS(D0, XS_SET_PERMS, "@releaseDomain|n0|r1|", "OK");
    IS(D0, XS_GET_PERMS, "@releaseDomain|", "n0|r1");
    IS(D0, XS_SET_PERMS, "@other|n0|", "EINVAL");
    take_all(1);
    events[0] = '\0';
    CU_ASSERT_EQUAL(store_domain_shutdown(store, 2), 0);
    CU_ASSERT_EQUAL(store_domain_shutdown(store, 2), 0); /* once */
    take_all(D0);
    take_all(1);
    EVENTS("10000 @releaseDomain/2 id;10000 @releaseDomain r;10000 @releaseDomain/2 two;"
           "1 @releaseDomain mine;");
    IS(D0, XS_RESUME, "2|", "OK");
    CU_ASSERT_EQUAL(store_domain_shutdown(store, 2), 0);
    take_all(D0);
    CU_ASSERT_NOT_EQUAL(events[0], '\0');
    CU_ASSERT_EQUAL(store_domain_gone(store, 2), 0);
    CU_ASSERT_FALSE(store_introduced(store, 2));
    CU_ASSERT_EQUAL(store_domain_gone(store, 2), 0);
    stop();
}

static void test_reset_and_disconnection_forget_watches_and_transactions(void)
{
    uint32_t tx;

    start();
    introduce(1);
    ask(1, XS_WATCH, "data|a|");
    ask(1, XS_WATCH, "data|b|");
    tx = begin_tx(1);
    IS(1, XS_RESET_WATCHES, "|", "OK");
    events[0] = '\0';
    ask(1, XS_WRITE, "data|1");
    EVENTS("");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "ENOENT");
    store_connect(store, D0 + 1, 0);
    ask(D0 + 1, XS_WATCH, "/a|t|");
    begin_tx(D0 + 1);
    ask(D0, XS_WATCH, "/a|t|");
    events[0] = '\0';
    CU_ASSERT_EQUAL(store_disconnect(store, D0 + 1), 0);
    ask(D0, XS_WRITE, "/a|1");
    EVENTS("10000 /a t;");
    stop();
}

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

/* ---- domains ---- */

static void test_domains_come_and_go(void)
{
    start();
    IS(D0, XS_IS_DOMAIN_INTRODUCED, "4|", "F");
    IS(D0, XS_INTRODUCE, "4|-5|9|", "OK");
    CU_ASSERT_EQUAL(introduce_calls, 1);
    IS(D0, XS_IS_DOMAIN_INTRODUCED, "4|", "T");
    IS(D0, XS_IS_DOMAIN_INTRODUCED, "0|", "T");
    IS(D0, XS_INTRODUCE, "4|-5|9|", "OK");
    IS(4, XS_WATCH, "/x|t|", "OK");
    IS(D0, XS_INTRODUCE, "4|-5|9|", "OK"); /* the same: it goes on */
    IS(4, XS_UNWATCH, "/x|t|", "OK");
    IS(4, XS_WATCH, "/x|t|", "OK");
    IS(D0, XS_INTRODUCE, "4|-5|10|", "OK"); /* another ring: it begins anew */
    IS(4, XS_UNWATCH, "/x|t|", "ENOENT");
    introduce_error = -EINVAL;
    IS(D0, XS_INTRODUCE, "5|6|7|", "EINVAL");
    IS(D0, XS_IS_DOMAIN_INTRODUCED, "5|", "F");
    IS(4, XS_INTRODUCE, "6|6|7|", "EACCES");
    IS(4, XS_RELEASE, "4|", "EACCES");
    IS(4, XS_RESUME, "4|", "EACCES");
    IS(4, XS_CONTROL, "check|", "EACCES");
    IS(4, XS_IS_DOMAIN_INTRODUCED, "4|", "EACCES");
    IS(4, XS_GET_DOMAIN_PATH, "17|", "/local/domain/17");
    CU_ASSERT_EQUAL(answer_len, strlen("/local/domain/17") + 1);
    IS(D0, XS_RESUME, "9|", "ENOENT");
    IS(D0, XS_RELEASE, "9|", "ENOENT");
    IS(D0, XS_RELEASE, "0|", "EINVAL");
    IS(D0, XS_RELEASE, "4|", "OK");
    CU_ASSERT_EQUAL(release_calls, 1);
    IS(D0, XS_IS_DOMAIN_INTRODUCED, "4|", "F");
    stop();
}

static void test_malformed_domain_requests(void)
{
    static const char *const bad[] = { "",         "|",          "4",
                                       "x|6|7|",   "4|6|",       "4|6|7",
                                       "4|x|7|",   "65536|6|7|", "32752|6|7|",
                                       "0|6|7|",   "-1|6|7|",    "4|6|4294967296|",
                                       "4|--6|7|", "4||7|",      "4|99999999999999999999|7|" };

    start();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        IS(D0, XS_INTRODUCE, bad[i], "EINVAL");
    for (uint32_t type = XS_RELEASE; type <= XS_GET_DOMAIN_PATH; type++) {
        IS(D0, type, "", "EINVAL");
        IS(D0, type, "1", "EINVAL");
        IS(D0, type, "1x|", "EINVAL");
    }
    IS(D0, XS_SET_TARGET, "1|", "EINVAL");
    IS(D0, XS_RESUME, "x|", "EINVAL");
    CU_ASSERT_EQUAL(introduce_calls, 0);
    stop();
}

static void test_what_a_domain_owns_goes_with_it(void)
{
    start();
    introduce(1);
    introduce(256); /* a key that begins alike */
    ask(1, XS_WRITE, "data/x|1");
    ask(256, XS_WRITE, "data/x|1");
    ask(D0, XS_WRITE, "/backend/1/x|1");
    ask(D0, XS_SET_PERMS, "/backend/1/x|n1|");
    ask(D0, XS_WRITE, "/backend/1/x/below|1");
    ask(D0, XS_SET_PERMS, "/backend/1/x/below|n256|");
    ask(D0, XS_WATCH, "/backend|t|");
    events[0] = '\0';
    IS(D0, XS_RELEASE, "1|", "OK");
    EVENTS("10000 /backend/1/x t;");
    IS(D0, XS_DIRECTORY, "/backend/1|", "");
    IS(D0, XS_DIRECTORY, "/local/domain|", "256");
    IS(256, XS_READ, "data/x|", "1");
    ask(D0, XS_SET_PERMS, "/|n256|");
    IS(D0, XS_RELEASE, "256|", "OK");
    IS(D0, XS_GET_PERMS, "/|", "n0");
    IS(D0, XS_DIRECTORY, "/|", "backend|local");
    stop();
}

/* ---- quotas, control ---- */

static void test_each_quota_holds(void)
{
    uint32_t tx;
    char text[64];

    start();
    introduce(1);
    IS(D0, XS_CONTROL, "quota|set|nodes|4|", "OK");
    IS(1, XS_WRITE, "a/b/c|", "OK"); /* with its home that is 4 */
    IS(1, XS_WRITE, "d|", "ENOSPC");
    CU_ASSERT_STRING_EQUAL(log_last, "domain 1 has hit its quota \"nodes\" (4), 1 times so far");
    IS(1, XS_WRITE, "a/b/c|again", "OK");
    tx = begin_tx(1);
    IS_IN(1, XS_WRITE, tx, "d|", "ENOSPC");
    IS_IN(1, XS_RM, tx, "a/b|", "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(1, tx, "T|"), "OK");
    IS(1, XS_WRITE, "d|", "OK");
    IS(D0, XS_WRITE, "/local/domain/1/by0|", "OK"); /* domain 0 may; it counts, though */
    IS(1, XS_WRITE, "e|", "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|nodes|100|1|", "OK");
    IS(1, XS_WRITE, "e|", "OK");

    IS(D0, XS_CONTROL, "quota|set|watches|2|", "OK");
    IS(1, XS_WATCH, "a|1|", "OK");
    IS(1, XS_WATCH, "a|2|", "OK");
    IS(1, XS_WATCH, "a|3|", "E2BIG");
    IS(1, XS_UNWATCH, "a|2|", "OK");
    IS(1, XS_WATCH, "a|3|", "OK");

    IS(D0, XS_CONTROL, "quota|set|transactions|1|", "OK");
    tx = begin_tx(1);
    IS(1, XS_TRANSACTION_START, "|", "ENOSPC");
    end_tx(1, tx, "F|");
    CU_ASSERT_NOT_EQUAL(tx = begin_tx(1), 0);
    IS(D0, XS_CONTROL, "quota|set|transaction-nodes|6|", "OK");
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "no%d|", i);
        ask_in(1, XS_READ, tx, text);
        CU_ASSERT_STRING_EQUAL(answer, i < 5 ? "ENOENT" : "ENOSPC");
    }
    end_tx(1, tx, "F|");

    IS(D0, XS_CONTROL, "quota|set|node-size|3|", "OK");
    IS(1, XS_WRITE, "a|123", "OK");
    IS(1, XS_WRITE, "a|1234", "ENOSPC");
    IS(D0, XS_CONTROL, "quota|set|permissions|2|", "OK");
    IS(1, XS_SET_PERMS, "a|n1|r2|", "OK");
    IS(1, XS_SET_PERMS, "a|n1|r2|r3|", "ENOSPC");
    IS(D0, XS_SET_PERMS, "/local/domain/1/a|n1|r2|r3|", "OK");
    IS(D0, XS_CONTROL, "quota|set|permissions|0|", "OK"); /* no bound */
    IS(1, XS_SET_PERMS, "a|n1|r2|r3|r4|r5|r6|r7|r8|", "OK");
    stop();
}

static void test_who_does_not_read_loses_events_not_answers(void)
{
    start();
    introduce(1);
    IS(D0, XS_CONTROL, "quota|set|outstanding|100|", "OK");
    ask(1, XS_WATCH, "a|t|");
    events[0] = '\0';
    for (int i = 0; i < 20; i++)
        ask(D0, XS_WRITE, "/local/domain/1/a|x");
    CU_ASSERT_EQUAL(store_output_waiting(store, 1), 100); /* five events */
    CU_ASSERT_STRING_EQUAL(log_last,
                           "domain 1 has hit its quota \"outstanding\" (100), 8 times so far");
    IS(1, XS_READ, "a|", "x");
    EVENTS("1 a t;1 a t;1 a t;1 a t;1 a t;");
    CU_ASSERT_NOT_EQUAL(strstr(ask(D0, XS_CONTROL, "quota|1|"),
                               "outstanding: 0 of 100, hit 15 times"),
                        NULL);
    stop();
}

static void test_control_commands(void)
{
    start();
    IS(D0, XS_CONTROL, "check|", "OK");
    IS(D0, XS_CONTROL, "print|hello|", "OK");
    CU_ASSERT_STRING_EQUAL(log_last, "hello");
    IS(D0, XS_CONTROL, "log|on|", "OK");
    ask(D0, XS_READ, "/a|");
    CU_ASSERT_STRING_EQUAL(log_last, "connection 10000 tx 0: read /a: ENOENT");
    IS(D0, XS_CONTROL, "log|off|", "OK");
    log_last[0] = '\0';
    ask(D0, XS_READ, "/a|");
    CU_ASSERT_STRING_EQUAL(log_last, "");
    ask(D0, XS_CONTROL, "quota|");
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "nodes: 1000\nwatches: 128\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "quota|3|"),
                                  "nodes: 0 of 1000, hit 0 times"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "memreport|"), "objects"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(D0, XS_CONTROL, "help|"), "check\n"));
    IS(D0, XS_CONTROL, "nonsense|", "EINVAL");
    IS(D0, XS_CONTROL, "", "EINVAL");
    IS(D0, XS_CONTROL, "check", "EINVAL");
    IS(D0, XS_CONTROL, "log|", "EINVAL");
    IS(D0, XS_CONTROL, "log|maybe|", "EINVAL");
    IS(D0, XS_CONTROL, "print|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|none|1|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|set|nodes|1|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|x|", "EINVAL");
    IS(D0, XS_CONTROL, "quota|x", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|", "memory: 2097152");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|5|", "OK");
    IS(D0, XS_CONTROL, "quota-soft|", "memory: 5");
    IS(D0, XS_CONTROL, "quota-soft|set|nodes|5|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|set|memory|5|6|", "EINVAL");
    IS(D0, XS_CONTROL, "quota-soft|memory|", "EINVAL");
    stop();
}

static void test_events_wait_until_their_client_is_gone(void)
{
    start();
    ask(D0, XS_WATCH, "/a|t|");
    store_connect(store, D0 + 1, 0);
    for (int i = 0; i < 3000;
         i++) /* the arena is too small for as many as it takes to be cut off */
        ask(D0 + 1, XS_WRITE, "/a|x");
    CU_ASSERT_EQUAL(closed, 0);
    CU_ASSERT_EQUAL(store_output_waiting(store, D0), 3000 * (sizeof(struct xsd_sockmsg) + 5));
    CU_ASSERT_EQUAL(store_disconnect(store, D0), 0);
    CU_ASSERT_EQUAL(store_output_waiting(store, D0), 0);
    stop();
}

static void test_answers_need_not_wait_in_the_region(void)
{
    start();
    introduce(7);
    takes_answers = true;
    IS(D0, XS_WRITE, "/a|v", "OK");
    IS(D0, XS_READ, "/none|", "ENOENT");
    CU_ASSERT_EQUAL(answers_taken, 2);
    IS(D0, XS_WATCH, "/a|t|", "OK"); /* its event is behind it */
    CU_ASSERT_EQUAL(answers_taken, 3);
    EVENTS("10000 /a t;");
    IS(D0, XS_WRITE, "/a|w", "OK"); /* an event is before it */
    CU_ASSERT_EQUAL(answers_taken, 3);
    EVENTS("10000 /a t;");
    store_connect(store, D0 + 1, 0);
    ask(D0 + 1, XS_WRITE, "/a|x"); /* and now one waits */
    CU_ASSERT_EQUAL(answers_taken, 4);
    IS(D0, XS_READ, "/a|", "x");
    CU_ASSERT_EQUAL(answers_taken, 4);
    IS(7, XS_WRITE, "data|1", "OK"); /* a ring's outlive the program */
    CU_ASSERT_EQUAL(answers_taken, 4);
    stop();
}

/* ---- what it costs ---- */

static unsigned int changes; /* of the region, in a step: objects made and freed */
static void count_change(void *arg) { changes++; }

static unsigned int cost_of(uint32_t conn, uint32_t type, const char *text)
{
    changes = 0;
    store->a.probe = count_change;
    ask(conn, type, text);
    store->a.probe = NULL;
    return changes;
}

/* A path of so many levels below domain 5's home, to be written. */
static char *deep_path(char *text, int levels)
{
    size_t at = (size_t)sprintf(text, "/local/domain/5");

    while (levels--)
        at += (size_t)sprintf(text + at, "/a");
    strcpy(text + at, "|v");
    return text;
}

/* The nodes that a request would make are counted before the first is made. */
static void test_a_path_beyond_the_quota_is_not_begun(void)
{
    char text[4096];
    uint32_t tx;

    start();
    introduce(5);
    ask(D0, XS_CONTROL, "quota|set|depth|0|");
    ask(5, XS_WATCH, "/|t|");
    CU_ASSERT_TRUE(cost_of(5, XS_WRITE, deep_path(text, 1500)) < 100);
    CU_ASSERT_STRING_EQUAL(answer, "ENOSPC");
    ask(D0, XS_CONTROL, "quota|set|nodes|10|");
    IS(5, XS_WRITE, deep_path(text, 10), "ENOSPC");
    IS(5, XS_WRITE, deep_path(text, 9), "OK");
    ask(5, XS_RM, "/local/domain/5/a|");
    tx = begin_tx(5);
    ask_in(5, XS_WRITE, tx, deep_path(text, 5));
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_WRITE, tx, deep_path(text, 10)), "ENOSPC");
    CU_ASSERT_STRING_EQUAL(ask_in(5, XS_WRITE, tx, deep_path(text, 9)), "OK");
    CU_ASSERT_STRING_EQUAL(end_tx(5, tx, "T|"), "OK");
    stop();
}

/* How many lookups of watches, and events, a request takes. */
static uint64_t work_of(uint32_t conn, uint32_t type, uint32_t tx, const char *text)
{
    uint64_t before = store->watch_work;

    ask_in(conn, type, tx, text);
    return store->watch_work - before;
}

/* Domains from 100 on with 128 watches each, so many in all: at the home of domain 5, or at each of its levels. */
static void watch_all(unsigned int nr, unsigned int levels, const char *depth)
{
    char text[4096];

    for (unsigned int i = 0; i < nr; i++) {
        domid_t domain = (domid_t)(100 + i / 128);

        if (i % 128 == 0)
            introduce(domain);
        deep_path(text, levels ? (int)(i % levels) : 0);
        sprintf(strrchr(text, '|'), "|%u|%s", i, depth);
        IS(domain, XS_WATCH, text, "OK");
    }
}

/* One request that makes 990 levels looks at each of them once, and at each watch, wherever they are. */
static void test_deep_paths_cost_what_they_and_the_watches_are_many(void)
{
    static const unsigned int levels[] = { 0, 10, 990 };
    static const char *const depths[] = { "", "0|", "1|", "500|" };
    char text[4096];

    region_bytes = 32 << 20;
    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++)
        for (size_t d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
            start();
            introduce(5);
            ask(D0, XS_CONTROL, "quota|set|depth|0|");
            watch_all(1500, levels[l], depths[d]);
            CU_ASSERT_TRUE(work_of(5, XS_WRITE, 0, deep_path(text, 990)) < 2 * 990 + 4 * 1500);
            CU_ASSERT_STRING_EQUAL(answer, "OK");
            stop();
        }
    region_bytes = REGION_BYTES;
}

/* Who has a depth hears of the level that his depth reaches, if that was made, and of no other. */
static void test_each_depth_hears_of_one_level(void)
{
    char text[200], want[200];

    start();
    introduce(5);
    ask(D0, XS_MKDIR, "/a/b|");
    for (int depth = 0; depth < 8; depth++) {
        snprintf(text, sizeof(text), "/a|%d|%d|", depth, depth);
        ask(D0, XS_WATCH, text);
    }
    ask(D0, XS_WATCH, "/a/b/c|own|0|");
    ask(D0, XS_WATCH, "/a/b/c/d/e|all|");
    ask(D0, XS_WATCH, "/a/b-c|side|1|");
    events[0] = '\0';
    ask(D0, XS_MKDIR, "/a/b/c/d/e|");
    snprintf(want, sizeof(want),
             "10000 /a/b/c 2;10000 /a/b/c/d 3;10000 /a/b/c own;"
             "10000 /a/b/c/d/e 4;10000 /a/b/c/d/e 5;10000 /a/b/c/d/e 6;10000 /a/b/c/d/e 7;"
             "10000 /a/b/c/d/e all;");
    EVENTS(want);
    stop();
}

/*
 * What a domain can have done at once at most: a transaction of as many nodes as it may write, as deep as
 * they may be, ends while it watches all of them, itself, as often as it may, and does not read. A unit
 * of work is some 0.1 us.
 */
static void test_the_end_of_a_transaction_is_bounded(void)
{
    char path[200] = "/local/domain/5", text[300];
    unsigned int nr = 0, written = 0;
    uint32_t tx;

    start();
    introduce(5);
    ask(D0, XS_CONTROL, "quota|set|memory|0|");
    for (unsigned int i = 3; i < 16; i++)
        strcat(path, "/a");
    snprintf(text, sizeof(text), "%s|x", path);
    IS(5, XS_WRITE, text, "OK");
    snprintf(text, sizeof(text), "%s/a|x", path);
    IS(5, XS_WRITE, text, "ENOSPC");
    for (; nr < 128; nr++) {
        snprintf(text, sizeof(text), "%.*s|%u|%s", (int)(15 + nr % 14 * 2), path, nr,
                 nr % 3 ? "" : "40|");
        IS(5, XS_WATCH, text, "OK");
    }
    path[strlen(path) - 2] = '\0';
    tx = begin_tx(5);
    do
        snprintf(text, sizeof(text), "%s/%u|", path, written++);
    while (strcmp(ask_in(5, XS_WRITE, tx, text), "OK") == 0);
    CU_ASSERT_TRUE(written > 900);
    for (int i = 0; i < 2; i++) { /* with room for events, and without */
        struct xsd_sockmsg h = { XS_TRANSACTION_END, 0, tx, 2 };
        uint64_t before = store->watch_work;

        CU_ASSERT_EQUAL(store_request(store, 5, &h, "T"), 0);
        CU_ASSERT_TRUE(store->watch_work - before > 900 * 14);
        CU_ASSERT_TRUE(store->watch_work - before < 45000);
        tx = begin_tx(5);
        for (unsigned int k = 0; k < 900; k++) {
            snprintf(text, sizeof(text), "%s/%u|x", path, k);
            ask_in(5, XS_WRITE, tx, text);
        }
        for (int k = 0; i == 0 && k < 4000; k++)
            ask(D0, XS_WRITE, "/local/domain/5/a|");
    }
    events[0] = '\0';
    stop();
}

/* A step makes and frees as many objects as trees are high. */
static void test_costs_grow_with_the_logarithm_of_nodes_and_watches(void)
{
    unsigned int write = 0, watch = 0, list = 0;
    char text[64];

    start();
    introduce(1);
    ask(D0, XS_CONTROL, "quota|set|watches|0|");
    for (unsigned int n = 1; n <= 4096; n++) {
        unsigned int w, x;

        snprintf(text, sizeof(text), "/many/%u|v", n * 7919 % 4096);
        w = cost_of(D0, XS_WRITE, text);
        write = n < 64 && w > write ? w : write;
        if (n >= 64)
            CU_ASSERT_TRUE(w <= write * 2); /* 64 times as many: twice as high */
        if (n > 1024)
            continue;
        snprintf(text, sizeof(text), "/some/%u|t|", n * 7919 % 1024);
        x = cost_of(1, XS_WATCH, text);
        watch = n < 32 && x > watch ? x : watch;
        if (n >= 32)
            CU_ASSERT_TRUE(x <= watch * 2);
    }
    list = cost_of(D0, XS_DIRECTORY_PART, "/many|0|");
    CU_ASSERT_TRUE(list < 60);
    events[0] = '\0';
    cost_of(D0, XS_TRANSACTION_START, "|");
    CU_ASSERT_TRUE(changes < 60); /* nothing is copied */
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_values_are_kept_with_parents);
    T(test_relative_paths_begin_at_home);
    T(test_mkdir_keeps_what_is_there);
    T(test_rm_takes_all_below);
    T(test_directories_are_sorted_and_end_with_zeros);
    T(test_a_big_directory_comes_in_parts);
    T(test_bad_paths_are_refused);
    T(test_paths_have_a_longest_length);
    T(test_nobody_knows_other_requests);
    T(test_a_message_that_is_too_long_ends_the_connection);
    T(test_answers_carry_the_numbers_of_requests);
    T(test_permissions_decide);
    T(test_owners_set_permissions_but_not_owners);
    T(test_bad_permissions_are_refused);
    T(test_a_target_lends_its_rights);
    T(test_a_target_that_is_gone_lends_nothing);
    T(test_what_was_said_of_a_dead_domain_is_void);
    T(test_watches_see_what_is_at_and_below);
    T(test_watches_below_what_is_removed_see_themselves);
    T(test_depth_limits_what_is_seen);
    T(test_watches_are_named_by_path_and_token);
    T(test_relative_watches_have_relative_events);
    T(test_nobody_hears_of_what_he_may_not_read);
    T(test_special_watches);
    T(test_reset_and_disconnection_forget_watches_and_transactions);
    T(test_a_transaction_is_seen_when_it_ends);
    T(test_a_parent_that_is_left_over_is_told);
    T(test_malformed_transaction_requests);
    T(test_only_what_was_used_conflicts);
    T(test_refused_requests_in_a_transaction_cost_nothing);
    T(test_conflicts_tell_nothing_of_what_was_refused);
    T(test_room_tells_nothing_of_what_was_refused);
    T(test_what_is_not_found_is_noted_within_bounds);
    T(test_removed_and_made_again_in_a_transaction);
    T(test_domains_come_and_go);
    T(test_malformed_domain_requests);
    T(test_what_a_domain_owns_goes_with_it);
    T(test_each_quota_holds);
    T(test_who_does_not_read_loses_events_not_answers);
    T(test_control_commands);
    T(test_events_wait_until_their_client_is_gone);
    T(test_answers_need_not_wait_in_the_region);
    T(test_a_path_beyond_the_quota_is_not_begun);
    T(test_deep_paths_cost_what_they_and_the_watches_are_many);
    T(test_each_depth_hears_of_one_level);
    T(test_the_end_of_a_transaction_is_bounded);
    T(test_costs_grow_with_the_logarithm_of_nodes_and_watches);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
