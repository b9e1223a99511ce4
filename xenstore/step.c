/* Steps, messages, quotas. See internal.h. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { OTHER_OUTSTANDING_MAX = 16 << 20 }; /* bytes for who has no quota */

/* Half of all memory has 64 domains' shares, and a fifth of it for what is free between objects. */
enum { SHARE_PART = 160 };

void say(struct store *s, const char *fmt, ...)
{
    char line[300];
    va_list ap;

    if (s->hooks.log == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    s->hooks.log(s->hooks.arg, line);
}

static void op_begin(struct op *op, struct store *s)
{
    ref_t root = arena_root(&s->a);

    *op = (struct op){ .s = s, .a = &s->a, .hit = NO_QUOTA };
    op->who = (struct who){ .target = -1, .privileged = true };
    s->nr_woken = 0;
    s->answer_len = 0;
    if (root) {
        op->old = arena_at(op->a, root);
        op->st = arena_at(op->a, arena_edit(op->a, root));
    } else {
        op->st = arena_at(op->a, arena_alloc(op->a, NR_ROOTS, sizeof(struct state)));
    }
    op->tree = &op->st->root[ROOT_TREE];
}

static void op_commit(struct op *op)
{
    struct store *s = op->s;

    arena_commit(op->a, (ref_t)(((uint8_t *)op->st - op->a->base) / 16));
    if (s->answer_len)
        s->hooks.answer(s->hooks.arg, s->answer_conn, s->answer, s->answer_len);
    for (size_t i = 0; i < s->nr_woken; i++)
        if (s->hooks.output)
            s->hooks.output(s->hooks.arg, s->woken[i]);
    s->nr_woken = 0;
}

int step(struct store *s, uint32_t keep, int (*fn)(struct op *op, void *arg), void *arg)
{
    struct op op;
    int rc;

    if (setjmp(s->no_memory)) {
        arena_abort(&s->a);
        free(s->scratch);
        s->scratch = NULL;
        return -ENOMEM;
    }
    s->a.keep_slabs = keep;
    op_begin(&op, s);
    rc = fn(&op, arg);
    if (rc == 0)
        memory_expire(&op);
    if (rc)
        arena_abort(&s->a);
    else
        op_commit(&op);
    return rc;
}

ref_t blob_new(struct arena *a, const void *bytes, size_t len)
{
    ref_t ref = arena_alloc(a, 0, offsetof(struct blob, bytes) + len);
    struct blob *b = arena_at(a, ref);

    b->len = (uint32_t)len;
    if (len)
        memcpy(b->bytes, bytes, len);
    return ref;
}

struct who who_is(const struct op *op, domid_t domain)
{
    struct who who = { .domain = domain, .target = -1, .privileged = domain == 0 };
    const struct entry *d;
    char key[2];

    d = map_find(op->a, op->st->root[ROOT_DOMAINS], key, key16(key, domain));
    if (d && d->word[1])
        who.target = (int)d->word[1] - 1;
    return who;
}

/* ---- messages ---- */

static void wake(struct op *op, uint32_t conn)
{
    struct store *s = op->s;

    if (s->nr_woken && s->woken[s->nr_woken - 1] == conn)
        return;
    if (s->nr_woken == s->woken_max) {
        size_t max = s->woken_max ? s->woken_max * 2 : 64;
        uint32_t *woken = realloc(s->woken, max * sizeof(*woken));

        if (woken == NULL)
            longjmp(s->no_memory, 1);
        s->woken = woken;
        s->woken_max = max;
    }
    s->woken[s->nr_woken++] = conn;
}

/*
 * Is there room for one more event? Answers always have it: who sends no request gets none. And
 * whatever causes them, events for domains leave alone what domains may not take.
 */
static bool room_for_event(struct op *op, uint32_t conn, domid_t domain, size_t bytes)
{
    uint64_t max = domain ? quota_of(op, domain, QUOTA_OUTSTANDING) : OTHER_OUTSTANDING_MAX;
    bool memory = domain == 0 || memory_has_room_for_event(op, domain, conn, bytes);
    char key[4];

    key32(key, conn);
    if (memory &&
        (max == 0 || map_sum_prefix(op->a, op->st->root[ROOT_QUEUE], key, 4) + bytes <= max))
        return true;
    if (domain)
        quota_hit(op, domain, memory ? QUOTA_OUTSTANDING : QUOTA_MEMORY_SHARE);
    else if (op->s->hooks.close)
        op->s->hooks.close(op->s->hooks.arg, conn);
    return false;
}

/* Whether an answer need not wait in the region: nothing that is to be sent before it does. */
static bool answers_at_once(const struct op *op, uint32_t conn)
{
    const struct store *s = op->s;
    char key[4];

    return s->hooks.may_answer && conn >= STORE_CONN_OTHER && s->answer_len == 0 &&
           map_count_prefix(op->a, op->st->root[ROOT_QUEUE], key, key32(key, conn)) == 0 &&
           s->hooks.may_answer(s->hooks.arg, conn);
}

static void lay_out(char *to, const struct xsd_sockmsg *h, const void *first, size_t first_len,
                    const void *second, size_t second_len)
{
    memcpy(to, h, sizeof(*h));
    if (first_len)
        memcpy(to + sizeof(*h), first, first_len);
    if (second_len)
        memcpy(to + sizeof(*h) + first_len, second, second_len);
}

bool message(struct op *op, uint32_t conn, uint32_t type, uint32_t req_id, uint32_t tx_id,
             const void *first, size_t first_len, const void *second, size_t second_len)
{
    struct xsd_sockmsg h = { type, req_id, tx_id, (uint32_t)(first_len + second_len) };
    char key[12];
    struct entry *c, *e;
    struct blob *b;
    ref_t ref;

    key32(key, conn);
    c = map_find(op->a, op->st->root[ROOT_CONNS], key, 4);
    if (c == NULL || (type == XS_WATCH_EVENT &&
                      !room_for_event(op, conn, conn_domain(conn, c), sizeof(h) + h.len)))
        return false;
    if (type != XS_WATCH_EVENT && answers_at_once(op, conn)) {
        lay_out(op->s->answer, &h, first, first_len, second, second_len);
        op->s->answer_len = sizeof(h) + h.len;
        op->s->answer_conn = conn;
        return true;
    }
    ref = arena_alloc(op->a, 0, offsetof(struct blob, bytes) + sizeof(h) + h.len);
    b = arena_at(op->a, ref);
    b->len = (uint32_t)sizeof(h) + h.len;
    lay_out(b->bytes, &h, first, first_len, second, second_len);
    c = map_put(op->a, &op->st->root[ROOT_CONNS], key, 4, 1);
    key32(key + 4, (uint32_t)(c->word[1] >> 32));
    key32(key + 8, (uint32_t)c->word[1]);
    c->word[1]++;
    e = map_put(op->a, &op->st->root[ROOT_QUEUE], key, sizeof(key), (uint16_t)b->len);
    e->ref[0] = ref;
    wake(op, conn);
    return true;
}

/* ---- quotas ---- */

const char *const quota_names[NR_QUOTAS] = {
    [QUOTA_NODES] = "nodes",
    [QUOTA_WATCHES] = "watches",
    [QUOTA_TRANSACTIONS] = "transactions",
    [QUOTA_NODE_SIZE] = "node-size",
    [QUOTA_PERMISSIONS] = "permissions",
    [QUOTA_OUTSTANDING] = "outstanding",
    [QUOTA_TRANSACTION_NODES] = "transaction-nodes",
    [QUOTA_DEPTH] = "depth",
    [QUOTA_MEMORY] = "memory",
    [QUOTA_MEMORY_SOFT] = "memory-soft",
    [QUOTA_MEMORY_SHARE] = "memory-share",
};

static const uint32_t quota_defaults[NR_QUOTAS] = {
    [QUOTA_NODES] = 1000,
    [QUOTA_WATCHES] = 128,
    [QUOTA_TRANSACTIONS] = 10,
    [QUOTA_NODE_SIZE] = 2048,
    [QUOTA_PERMISSIONS] = 5,
    [QUOTA_OUTSTANDING] = 65536,
    [QUOTA_TRANSACTION_NODES] = 1024,
    [QUOTA_DEPTH] = 16,
    [QUOTA_MEMORY] = 2560 << 10,
    [QUOTA_MEMORY_SOFT] = 2048 << 10,
};

uint64_t quota_of(const struct op *op, domid_t domain, enum quota quota)
{
    const struct entry *e;
    char key[3];

    key16(key, domain);
    key[2] = (char)quota;
    e = map_find(op->a, op->st->root[ROOT_QUOTAS], key, sizeof(key));
    if (e == NULL) {
        key16(key, STORE_ALL);
        e = map_find(op->a, op->st->root[ROOT_QUOTAS], key, sizeof(key));
    }
    if (e)
        return e->word[0];
    return quota == QUOTA_MEMORY_SHARE ? arena_size(op->a) / SHARE_PART : quota_defaults[quota];
}

bool quota_exceeded(struct op *op, enum quota quota, uint64_t amount)
{
    uint64_t max;

    if (op->who.privileged)
        return false;
    max = quota_of(op, op->who.domain, quota);
    if (max == 0 || amount <= max)
        return false;
    op->hit = quota; /* the step fails: noted in the one that says so */
    op->hit_domain = op->who.domain;
    return true;
}

void quota_hit(struct op *op, domid_t domain, enum quota quota)
{
    struct entry *e;
    char key[3];

    key16(key, domain);
    key[2] = (char)quota;
    e = map_put(op->a, &op->st->root[ROOT_HITS], key, sizeof(key), 1);
    e->word[0]++;
    if ((e->word[0] & (e->word[0] - 1)) == 0)
        say(op->s, "domain %u has hit its quota \"%s\" (%llu), %llu times so far", domain,
            quota_names[quota], (unsigned long long)quota_of(op, domain, quota),
            (unsigned long long)e->word[0]);
}
