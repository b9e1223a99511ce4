/* The store's requests: what xenstore.txt says of each, and everything malformed. */
#include "store_asks.h"

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
    T(test_domains_come_and_go);
    T(test_malformed_domain_requests);
    T(test_what_a_domain_owns_goes_with_it);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
