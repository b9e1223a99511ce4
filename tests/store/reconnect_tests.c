/*
 * Our client library (xen-like/lib/xenstore_conn.c) and a store that dies at the worst moments and is back at
 * once: it is in this program, and does what each test needs.
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>
#include <xenstore_loop.h>

#define MS UINT64_C(1000000)

/* ---- the store ---- */

static struct {
    struct sockaddr_un address;
    int listener;
    pthread_t thread;
    unsigned int nr_lives;        /* how often somebody has connected, each time to a new one */
    unsigned int nr_unknown;      /* requests in a transaction of another life */
    uint64_t refuses_watches_for; /* ns, from the second life on */
    uint64_t refuses_until;
} store;

static bool send_answer(int fd, struct xsd_sockmsg head, uint32_t type, const char *body,
                        uint32_t len)
{
    head.type = type;
    head.len = len;
    return write(fd, &head, sizeof(head)) == sizeof(head) && write(fd, body, len) == (ssize_t)len;
}

static bool answer_watch(int fd, struct xsd_sockmsg head, const char *path_and_token)
{
    const struct xsd_sockmsg event = { 0 };

    if (plat_now() < store.refuses_until)
        return send_answer(fd, head, XS_ERROR, "ENOSPC", 7);
    return send_answer(fd, head, XS_WATCH, "OK", 3) &&
           send_answer(fd, event, XS_WATCH_EVENT, path_and_token, head.len);
}

/* Some events of /w, and then what is none. */
static void talk_nonsense(int fd)
{
    static const char event[] = "/w\0t";
    const struct xsd_sockmsg head = { 0 };

    usleep(50000);
    for (int i = 0; i < 10; i++) {
        send_answer(fd, head, XS_WATCH_EVENT, event, sizeof(event));
        usleep(5000);
    }
    send_answer(fd, head, XS_WATCH_EVENT, "no end", 6);
    usleep(50000);
}

/* False: it dies. */
static bool answer(int fd, struct xsd_sockmsg head, const char *body)
{
    bool is_first_life = __atomic_load_n(&store.nr_lives, __ATOMIC_SEQ_CST) == 1;

    if (head.type == XS_WATCH)
        return answer_watch(fd, head, body);
    if (head.type == XS_TRANSACTION_START)
        return send_answer(fd, head, head.type, "7", 2);
    if (head.tx_id && is_first_life)
        return false;
    if (head.tx_id) {
        __atomic_fetch_add(&store.nr_unknown, 1, __ATOMIC_SEQ_CST);
        return send_answer(fd, head, XS_ERROR, "ENOENT", 7);
    }
    if (head.type == XS_READ && strcmp(body, "/nonsense") == 0) {
        talk_nonsense(fd);
        return false;
    }
    if (head.type == XS_READ && strcmp(body, "/dies") == 0 && is_first_life) {
        usleep(150000);
        return false;
    }
    return send_answer(fd, head, head.type, head.type == XS_READ ? "value" : "OK",
                       head.type == XS_READ ? 5 : 3) &&
           strcmp(body, "/last") != 0;
}

static bool get(int fd, void *to, size_t len)
{
    return len == 0 || recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void *serve(void *unused)
{
    int fd;

    (void)unused;
    while ((fd = accept(store.listener, NULL, NULL)) >= 0) {
        char body[XENSTORE_PAYLOAD_MAX + 1];
        struct xsd_sockmsg head;

        if (__atomic_add_fetch(&store.nr_lives, 1, __ATOMIC_SEQ_CST) == 2)
            store.refuses_until = plat_now() + store.refuses_watches_for;
        while (get(fd, &head, sizeof(head)) && head.len < sizeof(body) && get(fd, body, head.len)) {
            body[head.len] = '\0';
            if (!answer(fd, head, body))
                break;
        }
        close(fd);
    }
    return NULL;
}

static struct xs_handle *store_new(uint64_t refuses_watches_for)
{
    struct xs_handle *h;

    store.nr_lives = store.nr_unknown = 0;
    store.refuses_until = 0;
    store.refuses_watches_for = refuses_watches_for;
    store.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(store.listener, (struct sockaddr *)&store.address, sizeof(store.address)) ||
        listen(store.listener, 5) || pthread_create(&store.thread, NULL, serve, NULL)) {
        perror("store");
        exit(1);
    }
    h = xs_open(0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    return h;
}

static void store_end(struct xs_handle *h)
{
    xs_close(h);
    shutdown(store.listener, SHUT_RDWR);
    pthread_join(store.thread, NULL);
    close(store.listener);
    unlink(store.address.sun_path);
}

/* ---- its client ---- */

/* It fails as it says. */
#define FAILS(call, error)               \
    do {                                 \
        errno = 0;                       \
        CU_ASSERT_FALSE(call);           \
        CU_ASSERT_EQUAL(errno, (error)); \
    } while (0)

static bool has(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    char *value = xs_read(h, t, path, NULL);
    bool ok = value && strcmp(value, "value") == 0;

    free(value);
    return ok;
}

static bool comes(struct xs_handle *h, const char *path)
{
    unsigned int nr;
    char **event = xs_read_watch(h, &nr);
    bool ok = event && strcmp(event[XS_WATCH_PATH], path) == 0;

    free(event);
    return ok;
}

static void *wait_for_w(void *h)
{
    CU_ASSERT_TRUE(comes(h, "/w"));
    return NULL;
}

static void *read_dies(void *h)
{
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/dies"));
    return NULL;
}

/* A thread that does that by now. */
static pthread_t begin(void *(*fn)(void *h), struct xs_handle *h)
{
    pthread_t thread;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, fn, h), 0);
    usleep(50000);
    return thread;
}

/* A thread that waits for an event connects anew, before the one that has asked has heard of anything. */
static void test_a_request_in_a_lost_transaction(void)
{
    struct xs_handle *h = store_new(0);
    xs_transaction_t t;
    pthread_t reader;

    CU_ASSERT_TRUE(xs_watch(h, "/w", "t"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    t = xs_transaction_start(h);
    reader = begin(wait_for_w, h);
    CU_ASSERT_TRUE(xs_write(h, t, "/a", "1", 1)); /* the store dies of it */
    pthread_join(reader, NULL);
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/a"));
    CU_ASSERT_TRUE(has(h, t, "/a"));
    FAILS(xs_transaction_end(h, t, false), EAGAIN);
    CU_ASSERT_EQUAL(store.nr_lives, 2);
    CU_ASSERT_EQUAL(store.nr_unknown, 0);
    store_end(h);
}

static void test_a_commit_that_waits_for_its_turn(void)
{
    struct xs_handle *h = store_new(0);
    xs_transaction_t t = xs_transaction_start(h);
    pthread_t before = begin(read_dies, h);

    FAILS(xs_transaction_end(h, t, false), EAGAIN);
    pthread_join(before, NULL);
    CU_ASSERT_EQUAL(store.nr_lives, 2);
    CU_ASSERT_EQUAL(store.nr_unknown, 0);
    store_end(h);
}

static void *read_nonsense(void *h)
{
    FAILS(xs_read(h, XBT_NULL, "/nonsense", NULL), EIO);
    return NULL;
}

static void *read_events(void *h)
{
    while (comes(h, "/w"))
        ;
    return NULL;
}

/* Who waits for a turn may be the one that reads, and hears first that the handle is of no use. */
static void test_many_wait_and_it_is_lost(void)
{
    struct xs_handle *h = store_new(0);
    pthread_t threads[8], reader;

    CU_ASSERT_TRUE(xs_watch(h, "/w", "t"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    reader = begin(read_events, h);
    for (size_t i = 0; i < 8; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, read_nonsense, h), 0);
    pthread_join(reader, NULL);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    store_end(h);
}

/* It is tried again until it has room, and not as fast as it goes. */
static void test_a_watch_is_refused_for_a_while(void)
{
    struct xs_handle *h = store_new(100 * MS);

    CU_ASSERT_TRUE(xs_watch(h, "/w", "t"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/dies"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    FAILS(xs_check_watch(h), EAGAIN);
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/a"));
    CU_ASSERT_TRUE(store.nr_lives > 2 && store.nr_lives <= 14);
    store_end(h);
}

/* For longer than anybody waits: the reason is the store's, and the handle can be used later. */
static void test_a_watch_is_refused_for_long(void)
{
    struct xs_handle *h = store_new(5500 * MS);

    CU_ASSERT_TRUE(xs_watch(h, "/w", "t"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    FAILS(xs_read(h, XBT_NULL, "/dies", NULL), ENOSPC);
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/a"));
    CU_ASSERT_TRUE(comes(h, "/w"));
    store_end(h);
}

/* ---- the same in a loop ---- */

static struct plat_loop *loop;
static unsigned int nr_events;

static void too_late(void *unused)
{
    (void)unused;
    CU_FAIL("the loop hears of nothing");
    plat_loop_stop(loop);
}

static void on_event(void *h)
{
    char **event = xs_check_watch(h);

    nr_events += event != NULL;
    free(event);
    if (nr_events == 2)
        plat_loop_stop(loop);
}

static void test_a_watch_is_refused_in_a_loop(void)
{
    struct xs_handle *h = store_new(100 * MS);
    struct plat_timer timer = { .fn = too_late };

    loop = plat_loop_new();
    plat_timer_set(loop, &timer, plat_now() + 4000 * MS);
    CU_ASSERT_EQUAL_FATAL(xenstore_watch(loop, h, on_event, h), 0);
    CU_ASSERT_TRUE(xs_watch(h, "/w", "t"));
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/last"));
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
    CU_ASSERT_EQUAL(nr_events, 2);
    CU_ASSERT_TRUE(store.nr_lives > 2 && store.nr_lives <= 14);
    CU_ASSERT_TRUE(has(h, XBT_NULL, "/a"));
    plat_timer_cancel(&timer);
    store_end(h);
    plat_loop_free(loop);
}

int main(void)
{
    char folder[] = "/tmp/xen-like-reconnect.XXXXXX";
    bool failed;

    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    alarm(60); /* what hangs ends so */
    store.address.sun_family = AF_UNIX;
    snprintf(store.address.sun_path, sizeof(store.address.sun_path), "%s/socket", folder);
    setenv("XENSTORED_PATH", store.address.sun_path, 1);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("reconnect", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_request_in_a_lost_transaction);
    T(test_a_commit_that_waits_for_its_turn);
    T(test_many_wait_and_it_is_lost);
    T(test_a_watch_is_refused_for_a_while);
    T(test_a_watch_is_refused_in_a_loop);
    T(test_a_watch_is_refused_for_long);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() || CU_get_error();
    rmdir(folder);
    return failed;
}
