/*
 * The store's daemon: for clients of streams and, in domain 0, for the rings of domains (rings.c). Each
 * client is read when it has few answers waiting, and written when it takes bytes: a slow or hostile
 * one keeps nobody waiting.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rings.h"

enum {
    NR_CLIENTS = 4096,
    WAITING_MAX = 8192, /* bytes that wait for it, above which a client's next request waits, too */
    REQUESTS_MAX = 32,  /* of one client, before others have their turn */
    RETRY_NS = 100000000,
};

struct client {
    uint32_t conn;
    struct plat_stream *stream;
    bool drop; /* when the store has returned */
    size_t have;
    union {
        struct xsd_sockmsg h;
        char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    };
    size_t out_at, out_len; /* an answer the store has given away: before all that waits there */
    char out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
};

struct listener {
    struct plat_stream *stream;
    domid_t domain;
    struct listener *next;
};

/* All that there is of it: a program that is started again begins with a new one. */
static struct daemon {
    struct plat_loop *loop;
    struct store *store;
    struct client *clients[NR_CLIENTS];
    struct listener *listeners;
    bool deaf; /* new clients are not accepted */
    struct plat_timer dropping;
} * d;

static void ready(void *arg, unsigned int events);
static void listen_all(unsigned int events);
static void drop_marked(void *unused);

static struct client *client_of(uint32_t conn)
{
    return conn - STORE_CONN_OTHER < NR_CLIENTS ? d->clients[conn - STORE_CONN_OTHER] : NULL;
}

static void mark(struct client *c, uint64_t when_ns)
{
    c->drop = true;
    plat_timer_set(d->loop, &d->dropping, when_ns);
}

static void drop(struct client *c)
{
    if (c->stream)
        plat_close(c->stream);
    c->stream = NULL;
    if (d->deaf)
        listen_all(PLAT_READABLE);
    d->deaf = false;
    if (store_disconnect(d->store, c->conn)) { /* its number must not be another's before */
        mark(c, plat_now() + RETRY_NS);
        return;
    }
    d->clients[c->conn - STORE_CONN_OTHER] = NULL;
    free(c);
}

static void drop_marked(void *unused)
{
    (void)unused;
    for (unsigned int i = 0; i < NR_CLIENTS; i++)
        if (d->clients[i] && d->clients[i]->drop)
            drop(d->clients[i]);
}

/* False: the client is gone. */
static bool flush_answer(struct client *c)
{
    ssize_t n;

    while (c->out_len) {
        n = plat_write(c->stream, c->out + c->out_at, c->out_len);
        if (n < 0)
            return errno == EAGAIN;
        c->out_at += (size_t)n;
        c->out_len -= (size_t)n;
    }
    return true;
}

static size_t waiting(const struct client *c)
{
    return c->out_len + store_output_waiting(d->store, c->conn);
}

/* ---- what the store calls ---- */

static void hook_log(void *arg, const char *line)
{
    (void)arg;
    plat_log(PLAT_INFO, "%s", line);
}

static void hook_output(void *arg, uint32_t conn)
{
    struct client *c = client_of(conn);

    (void)arg;
    if (conn < STORE_CONN_OTHER)
        rings_output((domid_t)conn);
    else if (c && c->stream)
        plat_watch(d->loop, c->stream, PLAT_READABLE | PLAT_WRITABLE, ready, c);
}

static bool hook_may_answer(void *arg, uint32_t conn)
{
    const struct client *c = client_of(conn);

    (void)arg;
    return c && c->stream && c->out_len == 0;
}

static void hook_answer(void *arg, uint32_t conn, const void *bytes, size_t len)
{
    struct client *c = client_of(conn);

    (void)arg;
    if (c == NULL) /* hook_may_answer() has said no */
        return;
    memcpy(c->out, bytes, len);
    c->out_at = 0;
    c->out_len = len;
    flush_answer(c);
}

static void hook_close(void *arg, uint32_t conn)
{
    struct client *c = client_of(conn);

    (void)arg;
    if (c && !c->drop) {
        plat_log(PLAT_WARNING, "client %u does not read its events: disconnected",
                 conn - STORE_CONN_OTHER);
        mark(c, plat_now());
    }
}

static int hook_introduce(void *arg, domid_t domain, uint64_t gfn, evtchn_port_t port)
{
    (void)arg;
    return rings_introduce(domain, gfn, port);
}

static void hook_release(void *arg, domid_t domain)
{
    (void)arg;
    rings_release(domain);
}

/* ---- clients ---- */

/* Send what there is room for. False: the client is gone. */
static bool flush(struct client *c)
{
    const void *bytes;
    size_t len;
    ssize_t n;

    if (!flush_answer(c))
        return false;
    while (c->out_len == 0 && (len = store_output(d->store, c->conn, &bytes)) != 0) {
        n = plat_write(c->stream, bytes, len);
        if (n < 0)
            return errno == EAGAIN;
        if (store_output_done(d->store, c->conn, (size_t)n))
            return false; /* it would get the bytes twice */
    }
    return true;
}

/* Read once, up to the end of the message that has begun. False: the client is gone. */
static bool receive(struct client *c, bool *idle)
{
    size_t whole = sizeof(c->h) + (c->have >= sizeof(c->h) ? c->h.len : 0);
    ssize_t n = plat_read(c->stream, c->in + c->have, whole - c->have);

    if (n <= 0) {
        *idle = true;
        return n < 0 && errno == EAGAIN;
    }
    c->have += (size_t)n;
    if (c->have < sizeof(c->h))
        return true;
    if (c->h.len > XENSTORE_PAYLOAD_MAX) {
        plat_log(PLAT_WARNING, "client %u sent %u bytes in one message: disconnected",
                 c->conn - STORE_CONN_OTHER, c->h.len);
        return false;
    }
    if (c->have < sizeof(c->h) + c->h.len)
        return true;
    c->have = 0;
    return store_request(d->store, c->conn, &c->h, c->in + sizeof(c->h)) == 0;
}

static void ready(void *arg, unsigned int events)
{
    struct client *c = arg;
    bool idle = false, full = waiting(c) > WAITING_MAX;

    if (c->drop)
        return;
    for (int i = 0; (events & PLAT_READABLE) && i < REQUESTS_MAX && !idle && !full; i++) {
        if (!receive(c, &idle)) {
            drop(c);
            return;
        }
        full = waiting(c) > WAITING_MAX;
    }
    if (c->drop)
        return;
    if (!flush(c)) {
        drop(c);
        return;
    }
    full = waiting(c) > WAITING_MAX;
    plat_watch(d->loop, c->stream, (full ? 0 : PLAT_READABLE) | (waiting(c) ? PLAT_WRITABLE : 0),
               ready, c);
}

static void accept_client(void *arg, unsigned int events);

static void listen_all(unsigned int events)
{
    for (struct listener *l = d->listeners; l; l = l->next)
        plat_watch(d->loop, l->stream, events, accept_client, l);
}

static void accept_client(void *arg, unsigned int events)
{
    struct listener *l = arg;
    struct plat_stream *stream = plat_accept(l->stream);
    struct client *c;
    unsigned int slot = 0;

    (void)events;
    if (stream == NULL) {
        if (errno !=
            EAGAIN) { /* no more files: whoever waits goes on waiting until a client leaves */
            plat_log(PLAT_WARNING, "no client accepted for now: %s", strerror(errno));
            listen_all(0);
            d->deaf = true;
        }
        return;
    }
    while (slot < NR_CLIENTS && d->clients[slot])
        slot++;
    c = slot < NR_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL || store_connect(d->store, STORE_CONN_OTHER + slot, l->domain)) {
        plat_log(PLAT_WARNING, "no room for one more client");
        plat_close(stream);
        free(c);
        return;
    }
    c->conn = STORE_CONN_OTHER + slot;
    c->stream = stream;
    d->clients[slot] = c;
    plat_watch(d->loop, stream, PLAT_READABLE, ready, c);
}

/* ---- beginning ---- */

static int listen_at(const char *path, domid_t domain)
{
    struct listener *l = calloc(1, sizeof(*l));

    if (l == NULL || (l->stream = plat_listen(path)) == NULL) {
        plat_log(PLAT_ERROR, "cannot listen at %s: %s", path, strerror(errno));
        free(l);
        return -1;
    }
    l->domain = domain;
    l->next = d->listeners;
    d->listeners = l;
    plat_watch(d->loop, l->stream, PLAT_READABLE, accept_client, l);
    return 0;
}

/* DOMID:PATH */
static int listen_as(const char *argument)
{
    char *end;
    unsigned long domain = strtoul(argument, &end, 10);

    if (end == argument || *end != ':' || domain >= DOMID_FIRST_RESERVED) {
        plat_log(PLAT_ERROR, "--domain-socket: %s is not DOMID:PATH", argument);
        return -1;
    }
    return listen_at(end + 1, (domid_t)domain);
}

static int open_store(const char *region_name, size_t len, bool rings)
{
    struct store_hooks hooks = { .log = hook_log,
                                 .output = hook_output,
                                 .close = hook_close,
                                 .may_answer = hook_may_answer,
                                 .answer = hook_answer };
    void *region = plat_region_open(region_name, len, NULL);

    if (region == NULL) {
        plat_log(PLAT_ERROR, "region %s of %zu MiB: %s", region_name, len >> 20, strerror(errno));
        return -1;
    }
    if (rings) {
        hooks.introduce = hook_introduce;
        hooks.release = hook_release;
    }
    d->store = store_open(region, len, &hooks);
    if (d->store == NULL) {
        plat_log(PLAT_ERROR, "what is in region %s cannot be used: %s. --fresh forgets it",
                 region_name, strerror(errno));
        return -1;
    }
    if (rings && rings_begin(d->store)) {
        plat_log(PLAT_ERROR, "no memory for rings");
        return -1;
    }
    return 0;
}

int stored_start(struct plat_loop *l, const struct stored_options *o)
{
    d = calloc(1, sizeof(*d));
    if (d == NULL) {
        plat_log(PLAT_ERROR, "no memory");
        return -1;
    }
    d->dropping.fn = drop_marked;
    d->loop = l;
    if (o->rings && rings_open(d->loop, o->own, o->own_port))
        return -1;
    if (open_store(o->region, o->size_bytes, o->rings) || listen_at(o->socket, 0))
        return -1;
    for (const char *const *as = o->domain_sockets; as && *as; as++)
        if (listen_as(*as))
            return -1;
    plat_log(PLAT_INFO, "the store listens at %s", o->socket);
    return 0;
}
