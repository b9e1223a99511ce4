/*
 * xenstore.h on the runtime, with threads on several vCPUs and in an event loop. The store is a few lines of
 * our own here: what the real one answers is tested on the host, by the same client (tests/store/).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include <xenstore_loop.h>

enum { CLIENTS = 4, LARGE = 3000 };

/* ---- the store: reading gives back the path, every write is an event of the watch ---- */

static struct client {
    struct plat_stream *s;
    struct xsd_sockmsg head;
    char body[XENSTORE_PAYLOAD_MAX];
    size_t got;
} clients[CLIENTS];
static struct plat_loop *store_loop;
static struct plat_stream *listener;
static unsigned int nr_gone;

static void send(struct client *c, uint32_t type, const char *body, size_t len)
{
    struct xsd_sockmsg head = { .type = type, .req_id = c->head.req_id, .len = (uint32_t)len };

    CHECK_EQ(plat_write(c->s, &head, sizeof(head)), sizeof(head));
    CHECK_EQ(plat_write(c->s, body, len), len);
}

static void hang_up(struct client *c)
{
    plat_close(c->s);
    c->s = NULL;
    __atomic_fetch_add(&nr_gone, 1, __ATOMIC_SEQ_CST);
}

static void on_request(struct client *c)
{
    size_t path_len = strlen(c->body) + 1;
    char event[100];

    switch (c->head.type) {
    case XS_READ:
        if (strcmp(c->body, "/none") == 0)
            send(c, XS_ERROR, "ENOENT", 7);
        else if (strcmp(c->body, "/wrong") == 0)
            send(c, XS_WRITE, "OK", 3);
        else if (strcmp(c->body, "/of another") == 0 && c->head.req_id++)
            send(c, XS_READ, "x", 1);
        else
            send(c, XS_READ, c->body, path_len - 1);
        break;
    case XS_WATCH:
        send(c, XS_WATCH, "OK", 3);
        send(c, XS_WATCH_EVENT, c->body, c->head.len);
        break;
    case XS_WRITE:
        snprintf(event, sizeof(event), "%.80s%cwritten", c->body, '\0');
        send(c, XS_WATCH_EVENT, event, path_len + 8);
        send(c, XS_WRITE, "OK", 3);
        break;
    default: /* that is the end of the store */
        plat_close(listener);
        listener = NULL;
        hang_up(c);
    }
}

static void on_bytes(void *arg, unsigned int ready)
{
    struct client *c = arg;
    ssize_t n = 1;

    (void)ready;
    while (c->s && n > 0) {
        size_t whole = sizeof(c->head);
        bool in_head = c->got < whole;

        if (!in_head)
            whole += c->head.len;
        n = plat_read(c->s,
                      in_head ? (char *)&c->head + c->got : c->body + (c->got - sizeof(c->head)),
                      whole - c->got);
        if (n == 0) {
            hang_up(c);
        } else if (n > 0) {
            c->got += (size_t)n;
            if (c->got == whole && !in_head) {
                c->got = 0;
                on_request(c);
            }
        }
    }
}

static void on_client(void *arg, unsigned int ready)
{
    (void)arg;
    (void)ready;
    for (struct client *c = clients; c < clients + CLIENTS; c++) {
        if (c->s || (c->s = plat_accept(listener)) == NULL)
            continue;
        c->got = 0;
        plat_watch(store_loop, c->s, PLAT_READABLE, on_bytes, c);
    }
}

static void store(void *arg)
{
    (void)arg;
    plat_watch(store_loop, listener, PLAT_READABLE, on_client, NULL);
    CHECK_EQ(plat_loop_run(store_loop), 0);
    CHECK(listener == NULL);
    for (struct client *c = clients; c < clients + CLIENTS; c++)
        CHECK(c->s == NULL); /* all have hung up */
}

/* ---- its clients ---- */

static struct xs_handle *open_new(void)
{
    struct xs_handle *h = xs_open(0);

    if (h == NULL)
        verdict_error("no connection: %d", errno);
    return h;
}

static void reads(struct xs_handle *h)
{
    static char path[LARGE + 1];
    unsigned int len = 0;
    char *value;

    memset(path, 'x', LARGE);
    for (int i = 0; i < 20; i++) { /* more than a stream takes at once */
        value = xs_read(h, 0, path, &len);
        CHECK(value && len == LARGE && strcmp(value, path) == 0);
        free(value);
    }
    errno = 0;
    CHECK(xs_read(h, 0, "/none", &len) == NULL);
    CHECK_EQ(errno, ENOENT);
    errno = 0;
    CHECK(xs_read(h, 0, "/wrong", &len) == NULL);
    CHECK_EQ(errno, EIO);
    errno = 0;
    CHECK_EQ(xs_fileno(h), -1);
    CHECK_EQ(errno, ENOTSUP);
    errno = 0;
    CHECK(xs_check_watch(h) == NULL);
    CHECK_EQ(errno, EAGAIN);
}

/* An answer to what was not asked ends the connection: who knows what else it would take for an answer. */
static void wrong_answer(struct xs_handle *h)
{
    for (int i = 0; i < 2; i++) {
        errno = 0;
        CHECK(xs_read(h, 0, "/of another", NULL) == NULL);
        CHECK_EQ(errno, EIO);
    }
    xs_close(h);
}

enum { WRITES = 60, WRITERS = 3 };
static unsigned int nr_events;

static void take_events(void *arg)
{
    unsigned int nr;

    while (nr_events < WRITES * WRITERS) {
        char **got = xs_read_watch(arg, &nr);

        if (!CHECK(got != NULL))
            return;
        CHECK(nr == 2 && strcmp(got[XS_WATCH_TOKEN], "written") == 0);
        free(got);
        nr_events++;
    }
}

static void write_nodes(void *arg)
{
    char path[40];

    for (int i = 0; i < WRITES; i++) {
        char *value;

        snprintf(path, sizeof(path), "/%lx/%d", (unsigned long)(uintptr_t)path, i);
        CHECK(xs_write(arg, 0, path, "v", 1));
        value = xs_read(arg, 0, path, NULL);
        CHECK(value && strcmp(value, path) == 0);
        free(value);
    }
}

static void in_threads(struct xs_handle *h)
{
    struct plat_thread *threads[WRITERS + 1];

    nr_events = 0;
    threads[0] = plat_thread_start("events", take_events, h);
    for (int i = 1; i <= WRITERS; i++)
        threads[i] = plat_thread_start("writer", write_nodes, h);
    for (int i = 0; i <= WRITERS; i++) {
        if (threads[i] == NULL)
            verdict_error("no memory for a thread");
        plat_thread_join(threads[i]);
    }
    CHECK_EQ(nr_events, WRITES * WRITERS);
}

static struct plat_loop *loop;
static int error; /* of the end */

static void too_late(void *arg)
{
    (void)arg;
    verdict_failure("the loop is not woken");
}

/* The watch's own event, then that of a request made here; then there is no store any more. */
static void on_events(void *arg)
{
    char **got = xs_check_watch(arg);

    if (got == NULL) {
        error = errno;
        if (error != EAGAIN)
            plat_loop_stop(loop);
        return;
    }
    if (++nr_events == 1)
        CHECK(xs_write(arg, 0, "/in/a/loop", "", 0));
    else
        CHECK(!xs_mkdir(arg, 0, "/which it does not know"));
    free(got);
}

static void in_a_loop(struct xs_handle *h)
{
    struct plat_timer timer = { .fn = too_late };

    loop = plat_loop_new();
    if (loop == NULL)
        verdict_error("no memory");
    nr_events = 0;
    plat_timer_set(loop, &timer, plat_now() + 20 * NS_PER_S);
    CHECK_EQ(xenstore_watch(loop, h, on_events, h), 0);
    CHECK(xs_watch(h, "/in", "t"));
    CHECK_EQ(plat_loop_run(loop), 0);
    CHECK_EQ(nr_events, 2);
    CHECK_EQ(error, ENOENT);
    plat_timer_cancel(&timer);
    xs_close(h);
    plat_loop_free(loop);
}

int main(void)
{
    struct plat_thread *t;
    size_t free_before = 0;

    printf("%u vCPUs\n", cpus_start());
    CHECK(xs_open(0) == NULL); /* nobody listens */
    for (int round = 0; round < 2; round++) {
        struct xs_handle *h;

        nr_gone = 0;
        store_loop = plat_loop_new();
        listener = plat_listen(xs_daemon_socket());
        t = listener ? plat_thread_start("store", store, NULL) : NULL;
        if (t == NULL)
            verdict_error("no store");
        h = open_new();
        reads(h);
        in_threads(h);
        xs_close(h);
        wrong_answer(open_new());
        in_a_loop(open_new());
        while (__atomic_load_n(&nr_gone, __ATOMIC_SEQ_CST) < 3)
            thread_yield();
        plat_loop_stop(store_loop);
        plat_thread_join(t);
        plat_loop_free(store_loop);
        if (round == 0)
            free_before = page_nr_free();
    }
    CHECK_EQ(page_nr_free(), free_before);
    return verdict();
}
