/*
 * Rings: pages of 1,024 bytes in each direction, shared with a domain. What is true is in the store's
 * region: how much was taken and sent. A step that takes a request says so with the request's effects,
 * one that sends bytes has put them where the domain does not look yet. Only then does the page say it.
 * A store that is killed anywhere repeats nothing and loses nothing: it makes the page say what is true.
 */
#include "internal.h"

enum {
    WAITING_MAX = 8192, /* bytes that wait for it, above which the next request waits, too */
    REQUESTS_MAX = 32,  /* of one domain, before others have their turn */
    FEATURES = XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR,
};

typedef volatile struct xenstore_domain_interface *page_t;

/* Each is read once. */
static uint32_t load(volatile uint32_t *from) { return __atomic_load_n(from, __ATOMIC_ACQUIRE); }
static void store(volatile uint32_t *to, uint32_t v) { __atomic_store_n(to, v, __ATOMIC_RELEASE); }

static void copy_in(char *to, const volatile char *ring, uint32_t at, uint32_t len)
{
    while (len--)
        *to++ = ring[MASK_XENSTORE_IDX(at++)];
}
static void copy_out(volatile char *ring, uint32_t at, const char *from, uint32_t len)
{
    while (len--)
        ring[MASK_XENSTORE_IDX(at++)] = *from++;
}

static struct entry *conn_of(struct store *s, domid_t domain)
{
    struct state *st = arena_at(&s->a, arena_root(&s->a));
    char key[4];

    return map_find(&s->a, st->root[ROOT_CONNS], key, key32(key, domain));
}

/* NULL: there is no such connection. None is made here: INTRODUCE does that. */
static struct entry *conn_edit(struct op *op, uint32_t conn)
{
    char key[4];

    key32(key, conn);
    if (map_find(op->a, op->st->root[ROOT_CONNS], key, 4) == NULL)
        return NULL;
    return map_put(op->a, &op->st->root[ROOT_CONNS], key, 4, 1);
}

static struct ring *ring_edit(struct op *op, struct entry *c)
{
    if (c->ref[CONN_RING])
        c->ref[CONN_RING] = arena_edit(op->a, c->ref[CONN_RING]);
    else
        c->ref[CONN_RING] = arena_alloc(op->a, 0, sizeof(struct ring));
    return arena_at(op->a, c->ref[CONN_RING]);
}

/* NULL: nothing was ever attached. */
static const struct ring *ring_of(struct store *s, domid_t domain)
{
    const struct entry *c = conn_of(s, domain);

    return c && c->ref[CONN_RING] ? arena_at(&s->a, c->ref[CONN_RING]) : NULL;
}

void ring_taken(struct op *op, uint32_t conn, uint32_t bytes)
{
    struct entry *c = conn_edit(op, conn);

    ring_edit(op, c)->req_cons += bytes;
    c->ref[CONN_PARTIAL] = 0;
}

/* ---- steps ---- */

struct change {
    domid_t domain;
    uint32_t req_cons, rsp_prod, error; /* of a new or reset ring */
    const char *bytes;                  /* of a request's piece; or that were sent */
    uint32_t len;
};

/* What was said over it is forgotten; it is at these positions. */
static int set(struct op *op, void *arg)
{
    const struct change *change = arg;
    struct entry *c;
    struct ring *r;
    char key[4];

    if (change->domain == 0) /* nobody introduces it */
        map_put(op->a, &op->st->root[ROOT_CONNS], key, key32(key, 0), 1);
    if (conn_edit(op, change->domain) == NULL)
        return -ENOENT;
    conn_reset(op, change->domain);
    c = conn_edit(op, change->domain);
    c->ref[CONN_PARTIAL] = 0;
    r = ring_edit(op, c);
    r->req_cons = change->req_cons;
    r->rsp_prod = change->rsp_prod;
    r->error = change->error;
    r->ended += change->error != 0;
    return 0;
}

/* A piece of a request that is not whole. */
static int take(struct op *op, void *arg)
{
    const struct change *change = arg;
    struct entry *c = conn_edit(op, change->domain);
    char whole[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    uint32_t have = 0;

    if (c->ref[CONN_PARTIAL]) {
        struct blob *b = arena_at(op->a, c->ref[CONN_PARTIAL]);

        have = b->len;
        memcpy(whole, b->bytes, have);
    }
    memcpy(whole + have, change->bytes, change->len);
    ring_edit(op, c)->req_cons += change->len;
    c->ref[CONN_PARTIAL] = blob_new(op->a, whole, have + change->len);
    return 0;
}

static int send(struct op *op, void *arg)
{
    const struct change *change = arg;

    output_sent(op, change->domain, change->len);
    ring_edit(op, conn_edit(op, change->domain))->rsp_prod += change->len;
    return 0;
}

/* ---- the page ---- */

static void publish(struct store *s, domid_t domain, page_t page)
{
    const struct ring *r = ring_of(s, domain);

    store(&page->req_cons, r->req_cons);
    store(&page->rsp_prod, r->rsp_prod);
    page->error = r->error;
}

int store_ring_attach(struct store *s, domid_t domain, struct xenstore_domain_interface *page)
{
    page_t p = page;
    struct change change = { .domain = domain,
                             .req_cons = load(&p->req_cons),
                             .rsp_prod = load(&p->rsp_prod) };
    int rc = ring_of(s, domain) ? 0 : step(s, 0, set, &change);

    if (rc == 0) {
        publish(s, domain, p);
        p->server_features = FEATURES;
    }
    return rc;
}

/* No more of it, until the domain asks for a reconnection. */
static int end(struct store *s, domid_t domain, page_t page, uint32_t error)
{
    const struct ring *r = ring_of(s, domain);
    struct change change = { domain, r->req_cons, r->rsp_prod, error, NULL, 0 };
    int rc = step(s, 0, set, &change);

    if (rc)
        return rc;
    r = ring_of(s, domain);
    if ((r->ended & (r->ended - 1)) == 0) /* the 1st, 2nd, 4th, 8th... time */
        say(s, "domain %u has broken the rules of its ring (error %u), %u times so far", domain,
            error, r->ended);
    page->error = error;
    return -EPROTO;
}

static int reconnect(struct store *s, domid_t domain, page_t page)
{
    struct change change = { .domain = domain,
                             .req_cons = load(&page->req_prod),
                             .rsp_prod = load(&page->rsp_cons) };
    int rc = step(s, 0, set, &change);

    if (rc)
        return rc;
    publish(s, domain, page);
    store(&page->connection, XENSTORE_CONNECTED);
    return 0;
}

/* One request, if it is there whole, or what there is of it. Returns how many bytes, or -errno. */
static int receive(struct store *s, domid_t domain, page_t page)
{
    const struct entry *c = conn_of(s, domain);
    const struct ring *r = arena_at(&s->a, c->ref[CONN_RING]);
    const struct blob *partial = arena_at(&s->a, c->ref[CONN_PARTIAL]);
    uint32_t have = c->ref[CONN_PARTIAL] ? partial->len : 0, whole = sizeof(struct xsd_sockmsg), n;
    uint32_t waiting = load(&page->req_prod) - r->req_cons;
    struct xsd_sockmsg h;
    char in[sizeof(h) + XENSTORE_PAYLOAD_MAX];
    struct change change = { .domain = domain };
    int rc;

    if (waiting > XENSTORE_RING_SIZE)
        return end(s, domain, page, XENSTORE_ERROR_RINGIDX);
    if (waiting == 0)
        return 0;
    if (have)
        memcpy(in, partial->bytes, have);
    n = have < whole ? whole - have : 0;
    n = n < waiting ? n : waiting;
    copy_in(in + have, page->req, r->req_cons, n);
    if (have + n >= sizeof(h)) {
        memcpy(&h, in, sizeof(h));
        if (h.len > XENSTORE_PAYLOAD_MAX)
            return end(s, domain, page, XENSTORE_ERROR_PROTO);
        whole += h.len;
        waiting = waiting < whole - have ? waiting : whole - have;
        copy_in(in + have + n, page->req, r->req_cons + n, waiting - n);
        n = waiting;
    }
    if (have + n >= sizeof(h) && have + n == whole) {
        rc = request(s, domain, &h, in + sizeof(h), n);
    } else {
        change.bytes = in + have;
        change.len = n;
        rc = step(s, 0, take, &change);
    }
    return rc ? rc : (int)n;
}

/* As much of the first message as there is room for. Returns how many bytes, or -errno. */
static int transmit(struct store *s, domid_t domain, page_t page)
{
    const struct ring *r = ring_of(s, domain);
    uint32_t unread = r->rsp_prod - load(&page->rsp_cons);
    struct change change = { .domain = domain };
    const void *bytes;
    size_t len = store_output(s, domain, &bytes);
    int rc;

    if (unread > XENSTORE_RING_SIZE)
        return end(s, domain, page, XENSTORE_ERROR_RINGIDX);
    change.len = XENSTORE_RING_SIZE - unread;
    if (len < change.len)
        change.len = (uint32_t)len;
    if (change.len == 0)
        return 0;
    copy_out(page->rsp, r->rsp_prod, bytes, change.len);
    rc = step(s, 0, send, &change);
    return rc ? rc : (int)change.len;
}

int store_ring_service(struct store *s, domid_t domain, struct xenstore_domain_interface *shared,
                       bool *notify)
{
    page_t page = shared;
    int rc;

    if (ring_of(s, domain) == NULL)
        return -EPROTO;
    if (load(&page->connection) == XENSTORE_RECONNECT) {
        rc = reconnect(s, domain, page);
        if (rc)
            return rc;
        *notify = true;
    }
    if (ring_of(s, domain)->error)
        return -EPROTO;
    publish(s, domain, page); /* if a store before this one could not */
    for (int i = 0; i < REQUESTS_MAX; i++) {
        int taken = 0, sent = transmit(s, domain, page);

        if (sent >= 0 && store_output_waiting(s, domain) <= WAITING_MAX)
            taken = receive(s, domain, page);
        if (sent < 0 || taken < 0) {
            *notify = true;
            return sent < 0 ? sent : taken;
        }
        if (sent == 0 && taken == 0)
            return 0;
        publish(s, domain, page);
        *notify = true;
    }
    return -EAGAIN;
}
