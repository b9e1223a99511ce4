/* See store_ring.h. Requests go through one at a time; the store answers them in their order. */
#include "store_ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <rt/event.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

enum { RING = XENSTORE_RING_SIZE, PREFIX = 12, ASKED_MAX = 256 };

struct bytes {
    char *at;
    size_t len, size;
};

/* A watch, to be removed when its client goes: the body of its request, with our token. */
struct watched {
    struct watched *next;
    size_t len;
    char body[];
};

struct client {
    struct client *next;
    unsigned int number; /* never used again */
    struct plat_stream *stream;
    struct xsd_sockmsg head; /* what it is saying: this, then its body */
    char body[XENSTORE_PAYLOAD_MAX];
    size_t got;
    struct bytes out; /* what it has not taken */
    struct watched *watched;
    bool ended;
};

static struct {
    struct plat_loop *loop;
    struct plat_stream *listener;
    struct plat_wake wake;
    volatile struct xenstore_domain_interface *page;
    unsigned int port;
    struct client *clients;
    unsigned int nr_clients;
    struct bytes out; /* to the store */
    struct {
        unsigned int client;
        uint32_t id;
    } asked[ASKED_MAX]; /* what is not answered, in its order */
    uint32_t asked_first, nr_asked;
    struct xsd_sockmsg head; /* what comes from it */
    char body[XENSTORE_PAYLOAD_MAX + 1];
    size_t got;
    bool broken;
} ring;

static bool add(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->size) {
        size_t size = (b->len + len) * 2;
        char *larger = realloc(b->at, size);

        if (larger == NULL)
            return false;
        b->at = larger;
        b->size = size;
    }
    memcpy(b->at + b->len, data, len);
    b->len += len;
    return true;
}

static void drop(struct bytes *b, size_t len)
{
    b->len -= len;
    memmove(b->at, b->at + len, b->len);
}

/* ---- to the store ---- */

/* A request for a client, or for nobody (0). There is room in the list of what is asked. */
static void ask(unsigned int client, struct xsd_sockmsg head, const char *body)
{
    uint32_t i = (ring.asked_first + ring.nr_asked++) % ASKED_MAX;

    ring.asked[i].client = client;
    ring.asked[i].id = head.req_id;
    if (!add(&ring.out, &head, sizeof(head)) || !add(&ring.out, body, head.len))
        panic("no memory for what is said to the store");
}

/* "path\0token\0" with our number before the token. False: it is not that, or too long. */
static bool with_number(const struct client *c, struct xsd_sockmsg *head, char *body)
{
    size_t path = strnlen(c->body, head->len) + 1, prefix;
    char number[PREFIX];

    if (path >= head->len || head->len + PREFIX > XENSTORE_PAYLOAD_MAX)
        return false;
    prefix = (size_t)snprintf(number, sizeof(number), "%u:", c->number);
    memcpy(body, c->body, path);
    memcpy(body + path, number, prefix);
    memcpy(body + path + prefix, c->body + path, head->len - path);
    head->len += (uint32_t)prefix;
    return true;
}

static void note_watch(struct client *c, const struct xsd_sockmsg *head, const char *body)
{
    struct watched *w, **at = &c->watched;

    while (*at && ((*at)->len != head->len || memcmp((*at)->body, body, head->len) != 0))
        at = &(*at)->next;
    w = *at;
    if (head->type == XS_UNWATCH && w) {
        *at = w->next;
        free(w);
    } else if (head->type == XS_WATCH && w == NULL) {
        w = calloc(1, sizeof(*w) + head->len);
        if (w == NULL)
            panic("no memory for a watch");
        w->len = head->len;
        memcpy(w->body, body, head->len);
        *at = w;
    }
}

static void pass_on(struct client *c)
{
    static char body[XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg head = c->head;

    c->got = 0;
    if (head.type != XS_WATCH && head.type != XS_UNWATCH) {
        ask(c->number, head, c->body);
    } else if (with_number(c, &head, body)) {
        note_watch(c, &head, body);
        ask(c->number, head, body);
    } else {
        c->ended = true;
    }
}

static void unwatch_all(struct client *c)
{
    while (c->watched && ring.nr_asked < ASKED_MAX) {
        struct watched *w = c->watched;
        struct xsd_sockmsg head = { .type = XS_UNWATCH, .len = (uint32_t)w->len };

        ask(0, head, w->body);
        c->watched = w->next;
        free(w);
    }
}

/* ---- from the store ---- */

static struct client *find(unsigned int number)
{
    struct client *c = ring.clients;

    while (c && c->number != number)
        c = c->next;
    return c;
}

static void deliver(struct client *c, const struct xsd_sockmsg *head, const char *body)
{
    if (!add(&c->out, head, sizeof(*head)) || !add(&c->out, body, head->len))
        panic("no memory for what the store says");
}

/* "path\0number:token\0" */
static void on_event(void)
{
    struct xsd_sockmsg head = ring.head;
    size_t path = strnlen(ring.body, head.len) + 1;
    char *token = ring.body + path, *end;
    struct client *c;
    unsigned long number;

    if (path >= head.len)
        return;
    number = strtoul(token, &end, 10);
    c = *end == ':' ? find((unsigned int)number) : NULL;
    if (c == NULL) /* it has gone */
        return;
    end++;
    memmove(token, end, head.len - (size_t)(end - ring.body));
    head.len -= (uint32_t)(end - token);
    deliver(c, &head, ring.body);
}

static void on_message(void)
{
    struct xsd_sockmsg head = ring.head;
    struct client *c;

    ring.body[head.len] = '\0';
    ring.got = 0;
    if (head.type == XS_WATCH_EVENT) {
        on_event();
        return;
    }
    if (ring.nr_asked == 0) {
        ring.broken = true;
        return;
    }
    c = find(ring.asked[ring.asked_first].client);
    ring.asked_first = (ring.asked_first + 1) % ASKED_MAX;
    ring.nr_asked--;
    if (c)
        deliver(c, &head, ring.body);
}

/* ---- the page: the store's indices are read once, and checked ---- */

static bool write_page(void)
{
    uint32_t prod = ring.page->req_prod;
    uint32_t used = prod - __atomic_load_n(&ring.page->req_cons, __ATOMIC_ACQUIRE);
    size_t n = RING - used;

    if (used > RING) {
        ring.broken = true;
        return false;
    }
    n = n < ring.out.len ? n : ring.out.len;
    for (size_t i = 0; i < n; i++)
        ring.page->req[prod++ & (RING - 1)] = ring.out.at[i];
    __atomic_store_n(&ring.page->req_prod, prod, __ATOMIC_RELEASE);
    if (n)
        drop(&ring.out, n);
    return n != 0;
}

/* The next bytes go there, so many. */
static char *wanted(size_t *len)
{
    if (ring.got < sizeof(ring.head)) {
        *len = sizeof(ring.head) - ring.got;
        return (char *)&ring.head + ring.got;
    }
    *len = sizeof(ring.head) + ring.head.len - ring.got;
    return ring.body + (ring.got - sizeof(ring.head));
}

static bool read_page(void)
{
    uint32_t cons = ring.page->rsp_cons;
    uint32_t there = __atomic_load_n(&ring.page->rsp_prod, __ATOMIC_ACQUIRE) - cons;
    bool any = there != 0;

    if (there > RING)
        ring.broken = true;
    while (there && !ring.broken) {
        size_t len;
        char *to = wanted(&len);

        len = len < there ? len : there;
        for (size_t i = 0; i < len; i++)
            to[i] = ring.page->rsp[cons++ & (RING - 1)];
        there -= (uint32_t)len;
        ring.got += len;
        if (ring.got >= sizeof(ring.head) && ring.head.len > XENSTORE_PAYLOAD_MAX)
            ring.broken = true;
        else if (ring.got >= sizeof(ring.head) && ring.got == sizeof(ring.head) + ring.head.len)
            on_message();
    }
    __atomic_store_n(&ring.page->rsp_cons, cons, __ATOMIC_RELEASE);
    return any;
}

/* ---- clients ---- */

static void on_client(void *arg, unsigned int ready);

static void watch_client(struct client *c)
{
    bool listens = c->got < sizeof(c->head) || c->got < sizeof(c->head) + c->head.len;

    plat_watch(ring.loop, c->stream,
               (listens ? PLAT_READABLE : 0u) | (c->out.len ? PLAT_WRITABLE : 0u), on_client, c);
}

/* More of what it says. False: not now. */
static bool hear(struct client *c)
{
    size_t len = c->got < sizeof(c->head) ? sizeof(c->head) - c->got
                                          : sizeof(c->head) + c->head.len - c->got;
    char *to =
        c->got < sizeof(c->head) ? (char *)&c->head + c->got : c->body + (c->got - sizeof(c->head));
    ssize_t n = len ? plat_read(c->stream, to, len) : -1;

    if (len && (n == 0 || (n < 0 && errno != EAGAIN)))
        c->ended = true;
    if (n <= 0)
        return false;
    c->got += (size_t)n;
    if (c->got >= sizeof(c->head) && c->head.len > XENSTORE_PAYLOAD_MAX)
        c->ended = true;
    return !c->ended;
}

static bool is_whole(const struct client *c)
{
    return c->got >= sizeof(c->head) && c->got == sizeof(c->head) + c->head.len;
}

static void tell(struct client *c)
{
    while (c->out.len) {
        ssize_t n = plat_write(c->stream, c->out.at, c->out.len);

        if (n < 0) {
            c->ended |= errno != EAGAIN;
            return;
        }
        drop(&c->out, (size_t)n);
    }
}

/* Returns whether it is gone. */
static bool bury(struct client **at)
{
    struct client *c = *at;

    unwatch_all(c);
    if (c->watched) /* later */
        return false;
    *at = c->next;
    plat_close(c->stream);
    free(c->out.at);
    free(c);
    return true;
}

/* All that can be done now. */
static void go_on(void)
{
    bool any = false;

    do {
        any = read_page();
        for (struct client *c = ring.clients; c; c = c->next) {
            while (!c->ended && !is_whole(c) && hear(c))
                continue;
            if (!c->ended && is_whole(c) && ring.nr_asked < ASKED_MAX) {
                pass_on(c);
                any = true;
            }
            tell(c);
        }
        if (write_page() || any)
            event_send(ring.port);
    } while (any && !ring.broken);
    for (struct client **at = &ring.clients; *at;)
        if (!(*at)->ended || !bury(at)) {
            watch_client(*at);
            at = &(*at)->next;
        }
    if (ring.broken)
        panic("the store's ring makes no sense");
}

static void on_client(void *arg, unsigned int ready)
{
    (void)arg;
    (void)ready;
    go_on();
}

static void on_listener(void *arg, unsigned int ready)
{
    struct plat_stream *s = plat_accept(ring.listener);
    struct client *c = s ? calloc(1, sizeof(*c)) : NULL;

    (void)arg;
    (void)ready;
    if (c == NULL) {
        if (s)
            plat_close(s);
        return;
    }
    c->stream = s;
    c->number = ++ring.nr_clients;
    c->next = ring.clients;
    ring.clients = c;
    go_on();
}

static void on_wake(void *arg)
{
    (void)arg;
    go_on();
}

static void on_port(unsigned int port, void *arg)
{
    (void)port;
    (void)arg;
    plat_wake(&ring.wake);
}

static void serve(void *arg)
{
    (void)arg;
    plat_loop_run(ring.loop);
    panic("store_ring: the loop has ended");
}

int store_ring_start(void)
{
    if (is_initial_domain() || start_info->store_evtchn == 0) {
        errno = ENODEV;
        return -1;
    }
    ring.loop = plat_loop_new();
    ring.listener = ring.loop ? plat_listen(xs_daemon_socket()) : NULL;
    if (ring.listener == NULL)
        return -1;
    ring.page = mfn_to_virt(start_info->store_mfn);
    ring.port = start_info->store_evtchn;
    ring.wake = (struct plat_wake){ .fn = on_wake };
    plat_wake_add(ring.loop, &ring.wake);
    plat_watch(ring.loop, ring.listener, PLAT_READABLE, on_listener, NULL);
    event_attach(ring.port, on_port, NULL);
    return plat_thread_start("store-ring", serve, NULL) ? 0 : -1;
}
