/* See conformance.h. */
#include "conformance.h"

#include <errno.h>
#include <platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000UL
#define LONG \
    (20000 * MS) /* long enough on the slowest machine; nothing waits that long if all is well */

unsigned int nr_unexpected;

int expect(int ok, const char *what, int line)
{
    if (!ok && __atomic_fetch_add(&nr_unexpected, 1, __ATOMIC_SEQ_CST) < 20)
        printf("line %d: not so: %s\n", line, what);
    return ok;
}

static const char *folder;

static const char *path_of(const char *name)
{
    static char path[100];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static struct plat_loop *loop_new(void)
{
    struct plat_loop *l = plat_loop_new();

    if (!EXPECT(l != NULL))
        abort();
    return l;
}

static void stop(void *arg) { plat_loop_stop(arg); }

/* A loop that does not end by itself fails instead of hanging. */
static void run(struct plat_loop *l)
{
    struct plat_timer guard = { .fn = stop, .arg = l };

    plat_timer_set(l, &guard, plat_now() + LONG);
    EXPECT(plat_loop_run(l) == 0);
    EXPECT(plat_timer_cancel(&guard));
}

/* ---- clock and log ---- */

static void test_clock_and_log(void)
{
    uint64_t before = plat_now();

    EXPECT(plat_now() >= before);
    EXPECT(plat_wall() / (1000 * MS) > 1577836800); /* 2020 */
    errno = EXDEV;
    plat_log(PLAT_INFO, "a line of the log: %d", 42);
    plat_log(PLAT_DEBUG, "this is not shown");
    EXPECT(errno == EXDEV);
}

/* ---- timers ---- */

static struct {
    struct plat_loop *loop;
    unsigned int order[8], nr;
    struct plat_timer t[6];
    unsigned int beats;
} timers;

static void note(void *arg)
{
    size_t i = (size_t)((struct plat_timer *)arg - timers.t);

    EXPECT(timers.t[i].loop == NULL);
    EXPECT(plat_now() >= timers.t[i].deadline_ns);
    if (timers.nr < 8)
        timers.order[timers.nr++] = (unsigned int)i;
}

static void note_and_cancel(void *arg)
{
    note(arg);
    EXPECT(plat_timer_cancel(&timers.t[4])); /* is due at the same time */
}

/* Sets itself for a time that has passed: the others must come all the same. */
static void beat(void *arg)
{
    timers.beats++;
    plat_timer_set(timers.loop, arg, timers.t[1].deadline_ns);
}

static void test_timers(void)
{
    uint64_t now = plat_now();
    struct plat_loop *l = timers.loop = loop_new();

    for (int i = 0; i < 6; i++)
        timers.t[i] =
            (struct plat_timer){ .fn = i == 3 ? note_and_cancel : note, .arg = &timers.t[i] };
    plat_timer_set(l, &timers.t[0], now + 30 * MS);
    plat_timer_set(l, &timers.t[1], now + 10 * MS);
    plat_timer_set(l, &timers.t[2], now + 20 * MS);
    plat_timer_set(l, &timers.t[3], now + 15 * MS);
    plat_timer_set(l, &timers.t[4], now + 15 * MS);
    plat_timer_set(l, &timers.t[5], now + 1 * MS);
    EXPECT(plat_timer_cancel(&timers.t[5]));
    EXPECT(!plat_timer_cancel(&timers.t[5]));
    plat_timer_set(l, &timers.t[2], now + 40 * MS); /* instead */
    timers.t[0].fn = note;
    {
        struct plat_timer end = { .fn = stop, .arg = l };

        plat_timer_set(l, &end, now + 50 * MS);
        run(l);
    }
    EXPECT(timers.nr == 4);
    EXPECT(timers.order[0] == 1 && timers.order[1] == 3 && timers.order[2] == 0 &&
           timers.order[3] == 2);
    EXPECT(plat_now() >= now + 50 * MS);

    {
        struct plat_timer quick = { .fn = beat, .arg = &quick }, end = { .fn = stop, .arg = l };

        plat_timer_set(l, &quick, now);
        plat_timer_set(l, &end, plat_now() + 5 * MS);
        for (int i = 0; i < 3 && timers.beats < 3; i++) {
            plat_loop_stop(l); /* before it runs: it does not begin, or ends at once */
            EXPECT(plat_loop_run(l) == 0);
        }
        EXPECT(timers.beats == 0);
        /* time passes by itself but in the fake: there a timer of the future is what makes it pass */
        timers.beats = 0;
        for (int i = 0; i < 100; i++) {
            struct plat_timer once = { .fn = stop, .arg = l };

            plat_timer_set(l, &once, plat_now());
            EXPECT(plat_loop_run(l) == 0);
            plat_timer_cancel(&once);
        }
        EXPECT(timers.beats >= 99);
        plat_timer_cancel(&quick);
        plat_timer_cancel(&end);
    }
    plat_loop_free(l);
}

/* ---- wakes from another thread ---- */

enum { WAKES = 50 };

static struct {
    struct plat_loop *loop;
    struct plat_wake a, b;
    struct plat_mutex lock;
    struct plat_cond seen;
    unsigned int sent, got, other;
} wakes;

static void on_a(void *arg)
{
    (void)arg;
    plat_lock(&wakes.lock);
    wakes.got = wakes.sent;
    plat_cond_signal(&wakes.seen);
    if (wakes.got == WAKES)
        plat_loop_stop(wakes.loop);
    plat_unlock(&wakes.lock);
}

static void on_b(void *arg)
{
    (void)arg;
    wakes.other++;
}

static void waker(void *arg)
{
    (void)arg;
    for (unsigned int i = 1; i <= WAKES; i++) {
        plat_lock(&wakes.lock);
        wakes.sent = i;
        plat_unlock(&wakes.lock);
        plat_wake(&wakes.a);
        plat_wake(&wakes.a);
        plat_lock(&wakes.lock); /* half of the time it waits until it was seen */
        while (i % 2 && wakes.got < i)
            plat_cond_wait(&wakes.seen, &wakes.lock, PLAT_NEVER);
        plat_unlock(&wakes.lock);
    }
}

static void test_wakes(void)
{
    struct plat_thread *t;

    wakes.loop = loop_new();
    wakes.a = (struct plat_wake){ .fn = on_a };
    wakes.b = (struct plat_wake){ .fn = on_b };
    plat_wake_add(wakes.loop, &wakes.a);
    plat_wake_add(wakes.loop, &wakes.b);
    plat_wake(&wakes.b); /* before it runs */
    plat_wake(&wakes.b);
    t = plat_thread_start("waker", waker, NULL);
    if (!EXPECT(t != NULL))
        return;
    run(wakes.loop);
    plat_thread_join(t);
    EXPECT(wakes.got == WAKES);
    EXPECT(wakes.other == 1); /* two at once are one */
    plat_wake_remove(&wakes.b);
    plat_wake_remove(&wakes.a);
    plat_loop_free(wakes.loop);
}

/* ---- threads ---- */

static struct {
    struct plat_mutex lock;
    struct plat_cond turn;
    unsigned int whose, counter;
} ring;

enum { NR_THREADS = 4, TURNS = 30 };

static void take_turns(void *arg)
{
    unsigned int me = (unsigned int)(size_t)arg;

    for (int i = 0; i < TURNS; i++) {
        plat_lock(&ring.lock);
        while (ring.whose != me)
            plat_cond_wait(&ring.turn, &ring.lock, PLAT_NEVER);
        ring.counter++;
        ring.whose = (me + 1) % NR_THREADS;
        plat_cond_broadcast(&ring.turn);
        plat_unlock(&ring.lock);
    }
}

static void test_threads(void)
{
    struct plat_thread *t[NR_THREADS];
    struct plat_cond never = { { 0 } };
    uint64_t before;

    for (size_t i = 0; i < NR_THREADS; i++)
        if (!EXPECT((t[i] = plat_thread_start("turns", take_turns, (void *)i)) != NULL))
            abort();
    for (size_t i = 0; i < NR_THREADS; i++)
        plat_thread_join(t[i]);
    EXPECT(ring.counter == NR_THREADS * TURNS);

    before = plat_now();
    plat_lock(&ring.lock);
    while (plat_cond_wait(&never, &ring.lock, before + 3 * MS))
        ;
    EXPECT(plat_now() >= before + 3 * MS);
    EXPECT(!plat_cond_wait(&never, &ring.lock, before)); /* in the past */
    plat_unlock(&ring.lock);
}

/* ---- streams ---- */

enum { TOTAL = 300000 };

static char nth(size_t i) { return (char)(i * 7 + i / 251); }

/* Each end sends TOTAL bytes, the other checks them; then one closes. */
struct talker {
    struct plat_loop *loop;
    struct plat_stream *s;
    size_t sent, got;
    bool closes, saw_end;
    unsigned int *nr_done;
};

static void talk(void *arg, unsigned int ready);

static void done(struct talker *t)
{
    plat_close(t->s);
    t->s = NULL;
    if (++*t->nr_done == 2)
        plat_loop_stop(t->loop);
}

static void talk_write(struct talker *t)
{
    char buf[5000] = { 0 };
    size_t n = 1 + (t->sent * 31) % sizeof(buf);
    ssize_t rc;

    if (n > TOTAL - t->sent)
        n = TOTAL - t->sent;
    for (size_t i = 0; i < n; i++)
        buf[i] = nth(t->sent + i);
    rc = plat_write(t->s, buf, n);
    EXPECT(rc > 0 ? (size_t)rc <= n : errno == EAGAIN);
    t->sent += rc > 0 ? (size_t)rc : 0;
    if (t->sent == TOTAL)
        plat_watch(t->loop, t->s, PLAT_READABLE, talk, t);
}

static bool talk_read(struct talker *t)
{
    char buf[3000];
    ssize_t rc = plat_read(t->s, buf, 1 + t->got % sizeof(buf));

    EXPECT(rc >= 0 || errno == EAGAIN);
    for (ssize_t i = 0; i < rc; i++)
        if (!EXPECT(buf[i] == nth(t->got + (size_t)i)))
            break;
    t->got += rc > 0 ? (size_t)rc : 0;
    t->saw_end |= rc == 0;
    return rc != 0;
}

static void talk(void *arg, unsigned int ready)
{
    struct talker *t = arg;

    EXPECT(ready != 0);
    if ((ready & PLAT_WRITABLE) && t->sent < TOTAL)
        talk_write(t);
    if (((ready & PLAT_READABLE) && !talk_read(t)) ||
        (t->closes && t->got == TOTAL && t->sent == TOTAL))
        done(t);
}

static void test_pair(void)
{
    struct plat_loop *l = loop_new();
    struct plat_stream *ends[2];
    unsigned int nr_done = 0;
    struct talker t[2];
    char c = 'x';

    if (!EXPECT(plat_pair(ends) == 0))
        return;
    EXPECT(plat_read(ends[0], &c, 1) == -1 && errno == EAGAIN);
    for (int i = 0; i < 2; i++) {
        t[i] = (struct talker){ .loop = l, .s = ends[i], .closes = i, .nr_done = &nr_done };
        plat_watch(l, ends[i], PLAT_READABLE | PLAT_WRITABLE, talk, &t[i]);
    }
    run(l);
    for (int i = 0; i < 2; i++) {
        EXPECT(t[i].sent == TOTAL && t[i].got == TOTAL);
        EXPECT(t[i].saw_end == !i);
    }
    EXPECT(nr_done == 2);
    plat_loop_free(l);
}

static void test_full_and_closed(void)
{
    static char buf[4096];
    struct plat_stream *ends[2];
    size_t sent = 0, got = 0;
    ssize_t n;

    if (!EXPECT(plat_pair(ends) == 0))
        return;
    while ((n = plat_write(ends[0], buf, sizeof(buf))) > 0 && sent < 1 << 24)
        sent += (size_t)n;
    EXPECT(n == -1 && errno == EAGAIN);
    EXPECT(sent >= 4096);
    plat_close(ends[0]);
    while ((n = plat_read(ends[1], buf, sizeof(buf))) > 0)
        got += (size_t)n;
    EXPECT(n == 0); /* all that was written, then the end, each time */
    EXPECT(got == sent);
    EXPECT(plat_read(ends[1], buf, 1) == 0);
    EXPECT(plat_write(ends[1], buf, 1) == -1 && errno == EPIPE);
    plat_close(ends[1]);
}

/* Two threads, a loop each. */
struct side {
    struct talker t;
    unsigned int nr_done;
};

static void run_side(void *arg)
{
    struct side *s = arg;

    s->t.loop = loop_new();
    s->t.nr_done = &s->nr_done;
    s->nr_done = 1; /* so that one is enough */
    plat_watch(s->t.loop, s->t.s, PLAT_READABLE | PLAT_WRITABLE, talk, &s->t);
    run(s->t.loop);
    EXPECT(s->t.sent == TOTAL && s->t.got == TOTAL);
    plat_loop_free(s->t.loop);
}

static void test_pair_of_threads(void)
{
    struct plat_stream *ends[2];
    struct side s[2] = { { { 0 }, 0 } };
    struct plat_thread *t;

    if (!EXPECT(plat_pair(ends) == 0))
        return;
    for (int i = 0; i < 2; i++)
        s[i].t = (struct talker){ .s = ends[i], .closes = i };
    t = plat_thread_start("side", run_side, &s[1]);
    if (!EXPECT(t != NULL))
        return;
    run_side(&s[0]);
    plat_thread_join(t);
}

/* ---- callbacks that close what is about to be called ---- */

enum { NR_PAIRS = 6 };

static struct {
    struct plat_loop *loop;
    struct plat_stream *ends[NR_PAIRS][2];
    unsigned int calls;
} closing;

static void close_all(void *arg, unsigned int ready)
{
    (void)arg;
    (void)ready;
    closing.calls++;
    for (int i = 0; i < NR_PAIRS; i++)
        plat_close(closing.ends[i][1]);
    plat_loop_stop(closing.loop);
}

static void test_closing(void)
{
    closing.loop = loop_new();
    for (int i = 0; i < NR_PAIRS; i++) {
        if (!EXPECT(plat_pair(closing.ends[i]) == 0))
            return;
        plat_watch(closing.loop, closing.ends[i][1], PLAT_READABLE, close_all, NULL);
        EXPECT(plat_write(closing.ends[i][0], "x", 1) == 1);
    }
    run(closing.loop);
    EXPECT(closing.calls == 1); /* all were ready, but closed by the first */
    for (int i = 0; i < NR_PAIRS; i++)
        plat_close(closing.ends[i][0]);
    plat_loop_free(closing.loop);
}

/* ---- names ---- */

enum { NR_CLIENTS = 5 };

static struct {
    struct plat_loop *loop;
    struct plat_stream *listener, *served[NR_CLIENTS];
    unsigned int nr_served;
} server;

static void serve(void *arg, unsigned int ready)
{
    struct plat_stream *s;

    (void)arg;
    EXPECT(ready == PLAT_READABLE);
    while ((s = plat_accept(server.listener)) != NULL && server.nr_served < NR_CLIENTS) {
        char name = (char)('a' + server.nr_served);

        EXPECT(plat_write(s, &name, 1) == 1);
        server.served[server.nr_served++] = s;
    }
    EXPECT(s == NULL && errno == EAGAIN);
    if (server.nr_served == NR_CLIENTS)
        plat_loop_stop(server.loop);
}

static void test_names(void)
{
    const char *path = path_of("socket");
    struct plat_stream *clients[NR_CLIENTS], *many[64];
    char too_long[120], c = 0;
    int n;

    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    EXPECT(plat_connect(path) == NULL && errno == ENOENT);
    EXPECT(plat_listen(too_long) == NULL && errno == ENAMETOOLONG);
    server.loop = loop_new();
    server.listener = plat_listen(path);
    if (!EXPECT(server.listener != NULL))
        return;
    EXPECT(plat_listen(path) == NULL && errno == EADDRINUSE);
    EXPECT(plat_accept(server.listener) == NULL && errno == EAGAIN);
    plat_watch(server.loop, server.listener, PLAT_READABLE, serve, NULL);
    for (int i = 0; i < NR_CLIENTS; i++)
        EXPECT((clients[i] = plat_connect(path)) != NULL);
    run(server.loop);
    EXPECT(server.nr_served == NR_CLIENTS);
    for (int i = 0; i < NR_CLIENTS; i++) {
        EXPECT(plat_read(clients[i], &c, 1) == 1 && c == 'a' + i);
        EXPECT(plat_write(clients[i], &"0123456789"[i], 1) == 1);
        EXPECT(plat_read(server.served[i], &c, 1) == 1 && c == '0' + i);
        plat_close(clients[i]);
        EXPECT(plat_read(server.served[i], &c, 1) == 0);
        plat_close(server.served[i]);
    }
    for (n = 0; n < 64; n++)
        if ((many[n] = plat_connect(path)) == NULL)
            break;
    EXPECT(n >= 8 && n < 64 && errno == EAGAIN);
    plat_close(server.listener); /* those that wait see the end */
    EXPECT(plat_connect(path) == NULL && (errno == ENOENT || errno == ECONNREFUSED));
    while (n--) {
        ssize_t rc = plat_read(many[n], &c, 1);

        EXPECT(rc == 0 || (rc == -1 && errno == ECONNRESET));
        plat_close(many[n]);
    }
    plat_loop_free(server.loop);
    server.listener = plat_listen(path); /* the name is free again */
    if (EXPECT(server.listener != NULL))
        plat_close(server.listener);
}

/* ---- files ---- */

static void expect_file(const char *path, const char *want, size_t want_len)
{
    size_t len = 0;
    char *data = plat_file_read(path, &len);
    struct plat_view view;

    if (EXPECT(data != NULL)) {
        EXPECT(len == want_len && memcmp(data, want, want_len) == 0);
        EXPECT(data[len] == '\0');
    }
    free(data);
    if (EXPECT(plat_file_view(path, &view) == 0)) {
        EXPECT(view.len == want_len && memcmp(view.bytes, want, want_len) == 0);
        plat_file_view_end(&view);
    }
}

static void test_files(void)
{
    const char *path = path_of("file");
    enum { BIG = 100000 };
    char *big = malloc(BIG);
    struct plat_view none;

    if (!EXPECT(big != NULL))
        return;
    for (size_t i = 0; i < BIG; i++)
        big[i] = nth(i);
    errno = 0;
    EXPECT(plat_file_read(path, NULL) == NULL && errno == ENOENT);
    EXPECT(plat_file_view(path, &none) == -1 && errno == ENOENT);
    EXPECT(plat_file_remove(path) == -1 && errno == ENOENT);
    EXPECT(plat_file_write(path, "one", 3) == 0);
    expect_file(path, "one", 3);
    EXPECT(plat_file_write(path, big, BIG) == 0);
    expect_file(path, big, BIG);
    EXPECT(plat_file_write(path, "", 0) == 0);
    expect_file(path, "", 0);
    EXPECT(plat_file_append(path, "a\0b", 3) == 0);
    EXPECT(plat_file_append(path, "cd", 2) == 0);
    expect_file(path, "a\0bcd", 5);
    EXPECT(plat_file_remove(path) == 0);
    EXPECT(plat_file_read(path, NULL) == NULL && errno == ENOENT);
    EXPECT(plat_file_append(path, "new", 3) == 0);
    expect_file(path, "new", 3);
    EXPECT(plat_file_remove(path) == 0);
    free(big);
}

/* Piece by piece; nobody sees it before it is made, and never what was given up. */
static void test_large_files(void)
{
    const char *path = path_of("large");
    struct plat_file *f;
    char piece[300], got[700];

    memset(piece, 'x', sizeof(piece));
    EXPECT(plat_file_open(path) == NULL && errno == ENOENT);
    f = plat_file_create(path, 600);
    if (!EXPECT(f != NULL))
        return;
    EXPECT(plat_file_put(f, piece, sizeof(piece)) == 0 && plat_file_put(f, "", 0) == 0);
    EXPECT(plat_file_open(path) == NULL && errno == ENOENT);
    EXPECT(plat_file_put(f, piece, sizeof(piece)) == 0 && plat_file_put(f, "end", 3) == 0);
    EXPECT(plat_file_commit(f) == 0);
    f = plat_file_create(path, 1); /* more than was expected, and then given up */
    if (!EXPECT(f != NULL))
        return;
    EXPECT(plat_file_put(f, "other", 5) == 0);
    errno = EBUSY;
    plat_file_close(f);
    EXPECT(errno == EBUSY);
    f = plat_file_open(path);
    if (!EXPECT(f != NULL))
        return;
    EXPECT(plat_file_get(f, got, 1) == 1 && plat_file_get(f, got + 1, 599) == 599);
    EXPECT(memcmp(got, piece, 300) == 0 && memcmp(got + 300, piece, 300) == 0);
    EXPECT(plat_file_get(f, got, sizeof(got)) == 3 && memcmp(got, "end", 3) == 0);
    EXPECT(plat_file_get(f, got, sizeof(got)) == 0);
    plat_file_close(f);
    plat_file_close(NULL);
    EXPECT(plat_file_remove(path_of("large")) == 0);
}

static void test_renaming(void)
{
    char from[100], to[100];
    size_t len = 7;

    strcpy(from, path_of("from"));
    strcpy(to, path_of("to"));
    EXPECT(plat_file_rename(from, to) == -1 && errno == ENOENT);
    EXPECT(plat_file_size(from, &len) == -1 && errno == ENOENT && len == 7);
    EXPECT(plat_file_write(from, "first", 5) == 0);
    EXPECT(plat_file_size(from, &len) == 0 && len == 5);
    EXPECT(plat_file_rename(from, from) == 0);
    expect_file(from, "first", 5);
    EXPECT(plat_file_rename(from, to) == 0);
    EXPECT(plat_file_read(from, NULL) == NULL && errno == ENOENT);
    expect_file(to, "first", 5);
    EXPECT(plat_file_append(from, "next", 4) == 0); /* another one */
    expect_file(to, "first", 5);
    EXPECT(plat_file_rename(from, to) == 0); /* in place of that */
    expect_file(to, "next", 4);
    EXPECT(plat_file_rename(from, to) == -1 && errno == ENOENT);
    expect_file(to, "next", 4);
    EXPECT(plat_file_append(to, "s", 1) == 0);
    EXPECT(plat_file_size(to, &len) == 0 && len == 5);
    EXPECT(plat_file_remove(to) == 0);
    EXPECT(plat_file_remove(to) == -1 && errno == ENOENT);
}

/* One replaces it again and again, others read: what they find is never a mixture. */
static struct {
    char path[100];
    unsigned int over;
} replaced;

static void replacer(void *arg)
{
    char buf[6000];

    (void)arg;
    for (int i = 0; i < 100; i++) {
        memset(buf, 'a' + i % 26, sizeof(buf));
        EXPECT(plat_file_write(replaced.path, buf, (size_t)(1 + i * 59)) == 0);
    }
    __atomic_store_n(&replaced.over, 1, __ATOMIC_SEQ_CST);
}

static void test_replacing(void)
{
    struct plat_thread *t;
    unsigned int reads = 0;

    strcpy(replaced.path, path_of("replaced"));
    EXPECT(plat_file_write(replaced.path, "a", 1) == 0);
    t = plat_thread_start("replacer", replacer, NULL);
    if (!EXPECT(t != NULL))
        return;
    while (!__atomic_load_n(&replaced.over, __ATOMIC_SEQ_CST) || reads == 0) {
        struct plat_cond none = { { 0 } };
        struct plat_mutex own = { { 0 } };
        size_t len = 0;
        char *data = plat_file_read(replaced.path, &len);

        if (!EXPECT(data != NULL))
            break;
        EXPECT(len >= 1 && (len - 1) % 59 == 0 && data[0] == 'a' + (int)(len - 1) / 59 % 26);
        for (size_t i = 1; i < len; i++)
            if (!EXPECT(data[i] == data[0]))
                break;
        free(data);
        reads++;
        plat_lock(&own); /* let the other one run */
        plat_cond_wait(&none, &own, plat_now() + MS / 10);
        plat_unlock(&own);
    }
    plat_thread_join(t);
    EXPECT(plat_file_remove(replaced.path) == 0);
}

/* ---- regions ---- */

static void test_regions(void)
{
    const size_t len = 3 * 4096 - 100;
    bool fresh = false;
    char *r = plat_region_open("conformance-1", len, &fresh), *other;
    bool zero = true;

    if (!EXPECT(r != NULL))
        return;
    EXPECT(fresh);
    EXPECT((size_t)r % 4096 == 0);
    for (size_t i = 0; i < len; i++)
        zero &= r[i] == 0;
    EXPECT(zero);
    for (size_t i = 0; i < len; i++)
        r[i] = nth(i);
    EXPECT(plat_region_open("conformance-1", len, NULL) == NULL && errno == EBUSY);
    EXPECT(plat_region_remove("conformance-1") == -1 && errno == EBUSY);
    other = plat_region_open("conformance_2", 1, &fresh);
    EXPECT(other != NULL && fresh && other != r);
    plat_region_close(r, len);
    EXPECT(plat_region_open("conformance-1", 4096, NULL) == NULL && errno == EINVAL);
    r = plat_region_open("conformance-1", len, &fresh);
    if (EXPECT(r != NULL)) {
        bool same = true;

        EXPECT(!fresh);
        for (size_t i = 0; i < len; i++)
            same &= r[i] == nth(i);
        EXPECT(same);
        plat_region_close(r, len);
    }
    plat_region_close(other, 1);
    EXPECT(plat_region_open("../x", 1, NULL) == NULL && errno == EINVAL);
    EXPECT(plat_region_open("", 1, NULL) == NULL && errno == EINVAL);
    EXPECT(plat_region_open("a-name-of-more-than-31-characters", 1, NULL) == NULL &&
           errno == EINVAL);
    EXPECT(plat_region_remove("conformance-1") == 0);
    EXPECT(plat_region_remove("conformance-1") == -1 && errno == ENOENT);
    EXPECT(plat_region_remove("conformance_2") == 0);
    r = plat_region_open("conformance-1", len, &fresh);
    EXPECT(r != NULL && fresh && r[5] == 0);
    if (r)
        plat_region_close(r, len);
    EXPECT(plat_region_remove("conformance-1") == 0);
}

/* ---- groups ---- */

static struct plat_stream *group_listener;

static void group_program(void *arg)
{
    struct plat_loop *l = plat_loop_new();
    char *r = plat_region_open("conformance-1", 4096, NULL);

    EXPECT(l && r && malloc(100000));
    r[0]++;
    group_listener = plat_listen(arg);
    EXPECT(group_listener != NULL);
    if (r[0] < 3)
        plat_loop_run(l); /* until it is killed */
}

/* Killed twice, ended by itself once: what it had is free, what it wrote is there. */
static void test_groups(void)
{
    char path[100], *r;

    strcpy(path, path_of("group"));
    for (int i = 0; i < 3; i++) {
        struct plat_group *g = plat_group_start("group", group_program, path);
        struct plat_stream *s = NULL;
        char c;

        if (g == NULL) {
            EXPECT(errno == ENOTSUP && i == 0);
            return;
        }
        while (i < 2 && (s = plat_connect(path)) == NULL) {
            struct plat_cond none = { { 0 } };
            struct plat_mutex own = { { 0 } };

            plat_lock(&own);
            plat_cond_wait(&none, &own, plat_now() + MS);
            plat_unlock(&own);
        }
        if (i < 2)
            plat_group_kill(g);
        plat_group_wait(g);
        plat_group_free(g);
        EXPECT(plat_connect(path) == NULL && errno == ENOENT);
        if (s) {
            EXPECT(plat_read(s, &c, 1) == 0);
            plat_close(s);
        }
    }
    r = plat_region_open("conformance-1", 4096, NULL);
    EXPECT(r && r[0] == 3);
    plat_region_close(r, 4096);
    EXPECT(plat_region_remove("conformance-1") == 0);
}

unsigned int conformance(const char *where)
{
    folder = where;
    test_clock_and_log();
    test_timers();
    test_wakes();
    test_threads();
    test_pair();
    test_full_and_closed();
    test_pair_of_threads();
    test_closing();
    test_names();
    test_files();
    test_large_files();
    test_renaming();
    test_replacing();
    test_regions();
    test_groups();
    return nr_unexpected;
}
