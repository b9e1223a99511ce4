/*
 * What a client of xenstore.h meets, with Debian's libxenstore and with ours (xen-like/lib): one source,
 * two programs, the same daemon.
 *   usage: client_tests DAEMON
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#include "daemon.h"

static char folder[] = "/tmp/xen-like-client.XXXXXX";

static struct xs_handle *open_new(unsigned long flags)
{
    struct xs_handle *h = xs_open(flags);

    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    return h;
}

static void daemon_start(void)
{
    struct xs_handle *h = NULL;

    daemon_pid = fork();
    if (daemon_pid == 0) {
        execl(daemon_path, daemon_path, "--socket", getenv("XENSTORED_PATH"), "--size", "64",
              (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && (h = xs_open(0)) == NULL; i++)
        usleep(10000);
    if (h == NULL) {
        fprintf(stderr, "the daemon does not listen\n");
        exit(1);
    }
    xs_close(h);
}

/* It fails as it says. */
#define FAILS(call, error)               \
    do {                                 \
        errno = 0;                       \
        CU_ASSERT_FALSE(call);           \
        CU_ASSERT_EQUAL(errno, (error)); \
    } while (0)

/* ---- nodes ---- */

static void test_nodes(void)
{
    struct xs_handle *h = open_new(0);
    static char large[5000];
    unsigned int len = 77, nr;
    char *value, **names;

    CU_ASSERT_TRUE(xs_write(h, 0, "/c/value", "a\0b", 3));
    value = xs_read(h, 0, "/c/value", &len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    CU_ASSERT_EQUAL(len, 3);
    CU_ASSERT_EQUAL(memcmp(value, "a\0b", 4), 0); /* and a zero behind */
    free(value);
    CU_ASSERT_TRUE(xs_write(h, 0, "/c/empty", "", 0));
    value = xs_read(h, 0, "/c/empty", &len);
    CU_ASSERT_TRUE(value && len == 0 && value[0] == '\0');
    free(value);
    CU_ASSERT_TRUE(xs_mkdir(h, 0, "/c/folder/below"));
    CU_ASSERT_TRUE(xs_mkdir(h, 0, "/c/value")); /* it is there, and keeps its value */
    value = xs_read(h, 0, "/c/value", NULL);
    CU_ASSERT_TRUE(value && value[0] == 'a');
    free(value);
    names = xs_directory(h, 0, "/c", &nr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(names);
    CU_ASSERT_EQUAL(nr, 3);
    CU_ASSERT_STRING_EQUAL(names[0], "empty");
    CU_ASSERT_STRING_EQUAL(names[2], "value");
    free(names);
    names = xs_directory(h, 0, "/c/empty", &nr);
    CU_ASSERT_TRUE(names && nr == 0);
    free(names);
    FAILS(xs_read(h, 0, "/c/none", &len), ENOENT);
    FAILS(xs_directory(h, 0, "/c/none", &nr), ENOENT);
    FAILS(xs_rm(h, 0, "/c/folder/none/none"), ENOENT);
    FAILS(xs_write(h, 0, "/c//bad", "x", 1), EINVAL);
    FAILS(xs_read(h, 99, "/c/value", &len), ENOENT); /* no such transaction */
    FAILS(xs_write(h, 0, "/c/large", large, sizeof(large)), E2BIG);
    value = xs_read(h, 0, "/c/value", NULL); /* the connection is as it was */
    CU_ASSERT_PTR_NOT_NULL(value);
    free(value);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/c"));
    FAILS(xs_read(h, 0, "/c/folder/below", NULL), ENOENT);
    xs_close(h);
    xs_close(NULL);
}

static void test_a_directory_in_parts(void)
{
    struct xs_handle *h = open_new(0);
    unsigned int nr;
    char name[300], **names;

    for (unsigned int width = 1; width <= 200;
         width += 199) { /* short names, and few in one answer */
        for (int i = 0; i < 1500; i++) {
            snprintf(name, sizeof(name), "/big/%0*d", (int)(width + 4), i);
            if (!xs_write(h, 0, name, "", 0))
                CU_FAIL("write");
            if (width > 1 && i == 60)
                break;
        }
        names = xs_directory(h, 0, "/big", &nr);
        CU_ASSERT_PTR_NOT_NULL_FATAL(names);
        CU_ASSERT_EQUAL(nr, width == 1 ? 1500 : 61);
        for (unsigned int i = 0; i < nr; i++) {
            snprintf(name, sizeof(name), "%0*d", (int)(width + 4), (int)i);
            if (strcmp(names[i], name) != 0)
                CU_FAIL("name");
        }
        free(names);
        CU_ASSERT_TRUE(xs_rm(h, 0, "/big"));
    }
    xs_close(h);
}

static bool listed;

static void *come_and_go(void *arg)
{
    while (!__atomic_load_n(&listed, __ATOMIC_SEQ_CST)) {
        xs_write(arg, 0, "/big/zz", "", 0);
        usleep(300);
        xs_rm(arg, 0, "/big/zz");
        usleep(300);
    }
    return NULL;
}

/* It is read as it was at one moment. */
static void test_a_directory_that_changes(void)
{
    struct xs_handle *h = open_new(0), *other = open_new(0);
    pthread_t thread;
    unsigned int nr;
    char name[20], **names;

    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "/big/%d", i);
        if (!xs_write(h, 0, name, "", 0))
            CU_FAIL("write");
    }
    listed = false;
    pthread_create(&thread, NULL, come_and_go, other);
    for (int i = 0; i < 100; i++) {
        names = xs_directory(h, 0, "/big", &nr);
        CU_ASSERT_PTR_NOT_NULL_FATAL(names);
        CU_ASSERT_TRUE(nr == 1500 || (nr == 1501 && strcmp(names[1500], "zz") == 0));
        CU_ASSERT_STRING_EQUAL(names[0], "0");
        CU_ASSERT_STRING_EQUAL(names[1499], "999");
        free(names);
    }
    __atomic_store_n(&listed, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/big"));
    xs_close(h);
    xs_close(other);
}

static void test_permissions(void)
{
    struct xs_permissions want[] = { { 3, XS_PERM_NONE },
                                     { 4, XS_PERM_READ },
                                     { 5, XS_PERM_WRITE },
                                     { 4000, XS_PERM_READ | XS_PERM_WRITE } };
    struct xs_handle *h = open_new(0);
    struct xs_permissions *got;
    unsigned int nr = 0;

    CU_ASSERT_TRUE(xs_write(h, 0, "/p", "", 0));
    got = xs_get_permissions(h, 0, "/p", &nr);
    CU_ASSERT_TRUE(got && nr == 1 && got[0].id == 0 && got[0].perms == XS_PERM_NONE);
    free(got);
    CU_ASSERT_TRUE(xs_set_permissions(h, 0, "/p", want, 4));
    got = xs_get_permissions(h, 0, "/p", &nr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    CU_ASSERT_EQUAL(nr, 4);
    for (unsigned int i = 0; i < nr; i++)
        CU_ASSERT_TRUE(got[i].id == want[i].id && got[i].perms == want[i].perms);
    free(got);
    FAILS(xs_get_permissions(h, 0, "/none", &nr), ENOENT);
    FAILS(xs_set_permissions(h, 0, "/none", want, 4), ENOENT);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/p"));
    CU_ASSERT_TRUE(xs_strings_to_perms(want, 2, "b7\0n0"));
    CU_ASSERT_TRUE(want[0].id == 7 && want[0].perms == (XS_PERM_READ | XS_PERM_WRITE));
    CU_ASSERT_TRUE(want[1].id == 0 && want[1].perms == XS_PERM_NONE);
    CU_ASSERT_TRUE(xs_strings_to_perms(want, 2, "r1\0w65535"));
    CU_ASSERT_TRUE(want[0].id == 1 && want[0].perms == XS_PERM_READ);
    CU_ASSERT_TRUE(want[1].id == 65535 && want[1].perms == XS_PERM_WRITE);
    FAILS(xs_strings_to_perms(want, 1, "x7"), EINVAL);
    FAILS(xs_strings_to_perms(want, 1, "r"), EINVAL);
    FAILS(xs_strings_to_perms(want, 1, "r7x"), EINVAL);
    xs_close(h);
}

static void test_transactions(void)
{
    struct xs_handle *h = open_new(0), *other = open_new(0);
    xs_transaction_t t = xs_transaction_start(h), u;
    char *value;

    CU_ASSERT_NOT_EQUAL_FATAL(t, XBT_NULL);
    CU_ASSERT_TRUE(xs_write(h, t, "/t/a", "1", 1));
    FAILS(xs_read(other, 0, "/t/a", NULL), ENOENT);
    FAILS(xs_read(other, t, "/t/a", NULL), ENOENT); /* it is not the other's */
    CU_ASSERT_TRUE(xs_transaction_end(h, t, false));
    FAILS(xs_transaction_end(h, t, false), ENOENT);
    t = xs_transaction_start(h);
    CU_ASSERT_TRUE(xs_rm(h, t, "/t"));
    CU_ASSERT_TRUE(xs_transaction_end(h, t, true));
    t = xs_transaction_start(h);
    u = xs_transaction_start(other);
    for (int i = 0; i < 2; i++) {
        value = xs_read(i ? other : h, i ? u : t, "/t/a", NULL);
        CU_ASSERT_TRUE(value && strcmp(value, "1") == 0);
        free(value);
        CU_ASSERT_TRUE(xs_write(i ? other : h, i ? u : t, "/t/a", "2", 1));
    }
    CU_ASSERT_TRUE(xs_transaction_end(other, u, false));
    FAILS(xs_transaction_end(h, t, false), EAGAIN);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/t"));
    xs_close(h);
    xs_close(other);
}

static void test_domains(void)
{
    struct xs_handle *h = open_new(0);
    char *text;

    text = xs_get_domain_path(h, 9);
    CU_ASSERT_TRUE(text && strcmp(text, "/local/domain/9") == 0);
    free(text);
    CU_ASSERT_FALSE(xs_is_domain_introduced(h, 9));
    FAILS(xs_resume_domain(h, 9), ENOENT);
    FAILS(xs_release_domain(h, 9), ENOENT);
    CU_ASSERT_TRUE(xs_is_domain_introduced(h, 0));
    text = xs_control_command(h, "help", NULL, 0);
    CU_ASSERT_TRUE(text && strstr(text, "quota"));
    free(text);
    text = xs_control_command(h, "quota", "9", 2);
    CU_ASSERT_PTR_NOT_NULL(text);
    free(text);
    xs_close(h);
}

/* ---- watches ---- */

/* The next event, if there comes one. */
static bool comes(struct xs_handle *h, const char *path, const char *token)
{
    char **got = NULL;
    bool same;

    for (int i = 0; i < 500 && (got = xs_check_watch(h)) == NULL && errno == EAGAIN; i++)
        usleep(10000);
    same = got && strcmp(got[XS_WATCH_PATH], path) == 0 && strcmp(got[XS_WATCH_TOKEN], token) == 0;
    free(got);
    return same;
}

static void test_watches(void)
{
    struct xs_handle *h = open_new(XS_UNWATCH_FILTER);
    unsigned int nr = 0;
    char **got;

    FAILS(xs_check_watch(h), EAGAIN);
    CU_ASSERT_TRUE(xs_watch(h, "/w", "one"));
    CU_ASSERT_TRUE(xs_watch(h, "/w", "two"));
    FAILS(xs_watch(h, "/w", "two"), EEXIST);
    got = xs_read_watch(h, &nr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    CU_ASSERT_EQUAL(nr, 2);
    CU_ASSERT_STRING_EQUAL(got[XS_WATCH_TOKEN], "one");
    free(got);
    CU_ASSERT_TRUE(comes(h, "/w", "two"));
    CU_ASSERT_TRUE(xs_write(h, 0, "/w/x", "",
                            0)); /* two events of each, that wait behind answers */
    CU_ASSERT_TRUE(xs_write(h, 0, "/w", "", 0));
    CU_ASSERT_TRUE(xs_unwatch(h, "/w", "two")); /* and its are dropped */
    FAILS(xs_unwatch(h, "/w", "two"), ENOENT);
    CU_ASSERT_TRUE(xs_write(h, 0, "/w/y", "", 0)); /* behind those that were dropped */
    CU_ASSERT_TRUE(comes(h, "/w/x", "one"));
    CU_ASSERT_TRUE(comes(h, "/w", "one"));
    CU_ASSERT_TRUE(comes(h, "/w/y", "one"));
    FAILS(xs_check_watch(h), EAGAIN);
    CU_ASSERT_TRUE(xs_write(h, 0, "/w", "", 0));
    CU_ASSERT_TRUE(comes(h, "/w", "one"));
    CU_ASSERT_TRUE(xs_unwatch(h, "/w", "one"));
    CU_ASSERT_TRUE(xs_rm(h, 0, "/w"));
    xs_close(h);
}

static void test_subpaths(void)
{
    CU_ASSERT_TRUE(xs_path_is_subpath("/a", "/a"));
    CU_ASSERT_TRUE(xs_path_is_subpath("/a", "/a/b"));
    CU_ASSERT_FALSE(xs_path_is_subpath("/a", "/ab"));
    CU_ASSERT_FALSE(xs_path_is_subpath("/a/b", "/a"));
    CU_ASSERT_FALSE(xs_path_is_subpath("a", "/a"));
}

/* ---- threads ---- */

enum { EVENTS = 300, THREADS = 3 };

static void *wait_for_events(void *arg)
{
    unsigned int nr;
    long n = 0;

    for (char **got; n < EVENTS * THREADS && (got = xs_read_watch(arg, &nr)) != NULL; n++)
        free(got);
    return (void *)n;
}

static void *write_nodes(void *arg)
{
    char path[40];
    long bad = 0;

    for (int i = 0; i < EVENTS; i++) {
        char *value;

        snprintf(path, sizeof(path), "/threads/%lx-%d", (unsigned long)pthread_self(), i);
        bad += !xs_write(arg, 0, path, path, (unsigned int)strlen(path));
        value = xs_read(arg, 0, path, NULL);
        bad += value == NULL || strcmp(value, path) != 0; /* not another thread's answer */
        free(value);
    }
    return (void *)bad;
}

static void test_threads_share_a_connection(void)
{
    struct xs_handle *h = open_new(0);
    pthread_t reader, writers[THREADS];
    void *result;

    CU_ASSERT_TRUE(xs_watch(h, "/threads", "t"));
    CU_ASSERT_TRUE(comes(h, "/threads", "t"));
    pthread_create(&reader, NULL, wait_for_events, h);
    usleep(50000); /* it waits, and reads for the others */
    for (int i = 0; i < THREADS; i++)
        pthread_create(&writers[i], NULL, write_nodes, h);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(writers[i], &result);
        CU_ASSERT_EQUAL((long)result, 0);
    }
    pthread_join(reader, &result);
    CU_ASSERT_EQUAL((long)result, EVENTS * THREADS);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/threads"));
    xs_close(h);
}

static void daemon_die(void)
{
    int status;

    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, &status, 0);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void *read_in_vain(void *arg)
{
    errno = 0;
    CU_ASSERT_PTR_NULL(xs_read(arg, 0, "/", NULL));
    CU_ASSERT_TRUE(errno != 0 && errno != EAGAIN);
    return NULL;
}

static void test_the_daemon_goes_away(void)
{
    struct xs_handle *h = open_new(0);
    pthread_t thread;

    CU_ASSERT_TRUE(xs_watch(h, "/gone", "t"));
    CU_ASSERT_TRUE(comes(h, "/gone", "t"));
#ifdef OURS
    struct xs_handle *idle = open_new(0);
    time_t begin = time(NULL);
#endif
    daemon_die();
#ifdef OURS
    FAILS(xs_check_watch(idle), EAGAIN);
#endif
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_in_vain, h), 0);
    read_in_vain(h); /* one of them waits for its turn */
    pthread_join(thread, NULL);
#ifndef OURS /* which waits for a while each time */
    unsigned int nr;

    CU_ASSERT_PTR_NULL(xs_read_watch(h, &nr));
    CU_ASSERT_FALSE(xs_write(h, 0, "/gone", "", 0));
#else
    CU_ASSERT_TRUE(time(NULL) - begin < 9); /* for both at once */
#endif
    xs_close(h);
    CU_ASSERT_PTR_NULL(xs_open(0));
    daemon_start();
#ifdef OURS
    CU_ASSERT_TRUE(xs_write(idle, 0, "/gone", "", 0)); /* it has not waited meanwhile */
    xs_close(idle);
#endif
}

/* ---- when the daemon comes back, which is our library's ---- */

#ifdef OURS
static bool has(struct xs_handle *h, xs_transaction_t t, const char *path, const char *want)
{
    char *value = xs_read(h, t, path, NULL);
    bool ok = value && strcmp(value, want) == 0;

    free(value);
    return ok;
}

static void *start_later(void *unused)
{
    (void)unused;
    usleep(200000);
    daemon_start();
    return NULL;
}

static void test_the_daemon_comes_back(void)
{
    struct xs_handle *h = open_new(0);
    xs_transaction_t t, other;
    pthread_t starter;

    CU_ASSERT_TRUE(xs_write(h, 0, "/back/a", "1", 1));
    CU_ASSERT_TRUE(xs_watch(h, "/back", "t1"));
    CU_ASSERT_TRUE(xs_watch(h, "/back/a", "t2"));
    CU_ASSERT_TRUE(xs_watch(h, "/back", "t3"));
    CU_ASSERT_TRUE(xs_unwatch(h, "/back", "t3"));
    FAILS(xs_watch(h, "/back", "t1"), EEXIST);
    FAILS(xs_watch(h, "//back", "t1"), EINVAL);
    CU_ASSERT_TRUE(comes(h, "/back", "t1") && comes(h, "/back/a", "t2") && comes(h, "/back", "t3"));
    t = xs_transaction_start(h);
    CU_ASSERT_TRUE(xs_write(h, t, "/back/a", "lost", 4));
    daemon_die();
    CU_ASSERT_EQUAL(pthread_create(&starter, NULL, start_later, NULL), 0);
    CU_ASSERT_TRUE(has(h, 0, "/back/a", "1")); /* it waits, and is answered */
    pthread_join(starter, NULL);
    CU_ASSERT_TRUE(comes(h, "/back", "t1") && comes(h, "/back/a", "t2"));
    FAILS(xs_check_watch(h), EAGAIN);
    /* the transaction is one that others have overtaken */
    CU_ASSERT_TRUE(has(h, t, "/back/a", "1"));
    CU_ASSERT_TRUE(xs_write(h, t, "/back/a", "lost", 4));
    CU_ASSERT_TRUE(xs_mkdir(h, t, "/back/b") && xs_rm(h, t, "/back"));
    other = xs_transaction_start(h);
    CU_ASSERT_TRUE(other != XBT_NULL && other != t);
    CU_ASSERT_TRUE(xs_write(h, other, "/back/a", "2", 1));
    FAILS(xs_transaction_end(h, t, false), EAGAIN);
    CU_ASSERT_TRUE(xs_transaction_end(h, other, false));
    CU_ASSERT_TRUE(has(h, 0, "/back/a", "2"));
    CU_ASSERT_TRUE(comes(h, "/back/a", "t1") && comes(h, "/back/a", "t2"));
    FAILS(xs_transaction_end(h, t, false), ENOENT); /* it has ended */
    /* what it registered again goes once; one that is aborted may be */
    t = xs_transaction_start(h);
    daemon_die();
    daemon_start();
    CU_ASSERT_TRUE(xs_transaction_end(h, t, true));
    CU_ASSERT_TRUE(xs_unwatch(h, "/back", "t1"));
    FAILS(xs_unwatch(h, "/back", "t1"), ENOENT);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/back"));
    xs_close(h);
}

/* Killed again and again, while a thread writes and another one reads events. */
static void *write_on(void *arg)
{
    char value[20];

    for (int i = 1; i <= 3000; i++) {
        snprintf(value, sizeof(value), "%d", i);
        if (!xs_write(arg, 0, "/on/a", value, (unsigned int)strlen(value)) ||
            !has(arg, 0, "/on/a", value))
            CU_FAIL("a write is lost");
    }
    xs_write(arg, 0, "/on/end", "", 0);
    return NULL;
}

static void *read_on(void *arg)
{
    for (bool over = false; !over;) {
        unsigned int nr;
        char **event = xs_read_watch(arg, &nr);

        if (event == NULL)
            CU_FAIL_FATAL("no event");
        free(event);
        over = has(arg, 0, "/on/end", "");
    }
    return NULL;
}

static void test_the_daemon_is_killed_often(void)
{
    struct xs_handle *h = open_new(0);
    pthread_t threads[2];

    CU_ASSERT_TRUE(xs_watch(h, "/on", "t"));
    CU_ASSERT_EQUAL(pthread_create(&threads[0], NULL, read_on, h), 0);
    CU_ASSERT_EQUAL(pthread_create(&threads[1], NULL, write_on, h), 0);
    for (int i = 0; i < 20; i++) {
        usleep(20000 + 777 * (unsigned int)i);
        daemon_die();
        daemon_start();
    }
    pthread_join(threads[1], NULL);
    pthread_join(threads[0], NULL);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/on"));
    xs_close(h);
}
#endif

/* ---- in an event loop, which Debian's library has not ---- */

#ifdef OURS
#include <xenstore_loop.h>

static struct plat_loop *loop;
static struct xs_handle *other;
static unsigned int nr_seen;
static bool answered;

static void too_late(void *arg)
{
    (void)arg;
    CU_FAIL("the loop is not woken");
    plat_loop_stop(loop);
}

/* One event each time, and a request in between. */
static void on_events(void *arg)
{
    char **got = xs_check_watch(arg), *value;

    if (got && ++nr_seen == 1) {
        CU_ASSERT_TRUE(xs_write(arg, 0, "/l/b", "", 0));
        value = xs_read(arg, 0, "/l/b", NULL);
        answered = value != NULL;
        free(value);
    }
    if (got && nr_seen == 3) /* by the stream it comes, and no request of ours meets it */
        CU_ASSERT_TRUE(xs_write(other, 0, "/l/c", "", 0));
    if ((got && nr_seen == 4) || (got == NULL && errno != EAGAIN))
        plat_loop_stop(loop);
    free(got);
}

static void test_in_a_loop(void)
{
    struct plat_timer timer = { .fn = too_late };
    struct xs_handle *h = open_new(0);

    other = open_new(0);
    FAILS(xs_fileno(h) != -1, ENOTSUP);
    loop = plat_loop_new();
    plat_timer_set(loop, &timer, plat_now() + 20000000000u);
    CU_ASSERT_TRUE(xs_watch(h, "/l", "t"));
    CU_ASSERT_EQUAL(xenstore_watch(loop, h, on_events, h), 0);
    FAILS(xenstore_watch(loop, h, on_events, h) != -1, EBUSY);
    CU_ASSERT_TRUE(xs_write(other, 0, "/l/a", "", 0));
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
    CU_ASSERT_EQUAL(nr_seen, 4); /* that of the watch itself, /l/a, /l/b and /l/c */
    CU_ASSERT_TRUE(answered);
    CU_ASSERT_EQUAL(xenstore_watch(loop, h, NULL, NULL), 0);
    CU_ASSERT_EQUAL(xenstore_watch(loop, h, on_events, h), 0);
    nr_seen = 3;
    daemon_die();
    daemon_start();
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0); /* the watch is registered again, which is an event */
    CU_ASSERT_EQUAL(nr_seen, 4);
    daemon_die();
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0); /* it hears of that, too, after a while */
    CU_ASSERT_EQUAL(nr_seen, 4);
    plat_timer_cancel(&timer);
    xs_close(h);
    xs_close(other);
    plat_loop_free(loop);
    daemon_start();
}
#endif

int main(int argc, char **argv)
{
    char text[300];
    bool failed;

    if (argc != 2) {
        fprintf(stderr, "usage: client_tests DAEMON\n");
        return 2;
    }
    daemon_setup(argv[1], folder, text, sizeof(text));
    daemon_start();
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("client", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_nodes);
    T(test_a_directory_in_parts);
    T(test_a_directory_that_changes);
    T(test_permissions);
    T(test_transactions);
    T(test_domains);
    T(test_watches);
    T(test_subpaths);
    T(test_threads_share_a_connection);
    T(test_the_daemon_goes_away);
#ifdef OURS
    T(test_the_daemon_comes_back);
    T(test_the_daemon_is_killed_often);
    T(test_in_a_loop);
#endif
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() || CU_get_error();
    failed |= !daemon_end();
    snprintf(text, sizeof(text), "rm -r %s", folder);
    return system(text) || failed;
}
