/*
 * Who makes the store keep how much. A domain has its nodes (with their values, permissions and the line
 * in ROOT_OWNED), and of its connection the watches, what its transactions have made and noted, and what
 * waits: messages, a request that is not whole. A request that makes it more than the quota "memory" is
 * refused, whoever's nodes grow by it; what waits is bounded by the quota "outstanding" and the transport.
 *
 * Old nodes that an open transaction still sees are nobody's. Where memory is scarce a domain's
 * transaction may last until a part of all memory has been replaced in the tree since it began: so all of
 * them together keep no more than that part. N domains have their quotas, whatever the others do, if N
 * quotas and that part are within what is for domains.
 *
 * No sum is kept: they are weights of maps, but for what a transaction has. Of that a bound is kept, all
 * that its requests have allocated; what is left of that is counted when the quota seems to be hit.
 */
#include "internal.h"

#include <stdlib.h>

enum {
    MESSAGE_BYTES = 112,   /* of a message's entry, and what rounding adds, but for a quarter */
    TX_BYTES = 256,        /* of a transaction, with its entries */
    SCARCE_PART = 4,       /* memory is scarce if less than this part of it is free */
    SNAPSHOTS_PART = 8,    /* what transactions may keep of old trees then */
    OUTDATED_AT_ONCE = 64, /* transactions, in one step */
};

/* ---- transactions ---- */

static size_t tx_key(char *key, uint32_t conn, uint32_t id)
{
    key32(key, conn);
    return 4 + key32(key + 4, id);
}

static size_t age_key(char *key, uint64_t replaced, uint32_t conn, uint32_t id)
{
    key32(key, (uint32_t)(replaced >> 32));
    key32(key + 4, (uint32_t)replaced);
    return 8 + tx_key(key + 8, conn, id);
}

static struct tx *tx_at(const struct arena *a, const struct entry *e)
{
    return e ? arena_at(a, e->ref[0]) : NULL;
}

static struct tx *find(const struct arena *a, const struct state *st, uint32_t conn, uint32_t id)
{
    char key[8];

    return tx_at(a, map_find(a, st->root[ROOT_TX], key, tx_key(key, conn, id)));
}

struct tx *tx_find(const struct op *op, uint32_t conn, uint32_t id)
{
    return find(op->a, op->st, conn, id);
}

struct tx *tx_edit(struct op *op, uint32_t conn, uint32_t id)
{
    char key[8];
    struct entry *e = map_put(op->a, &op->st->root[ROOT_TX], key, tx_key(key, conn, id), 1);

    e->ref[0] = arena_edit(op->a, e->ref[0]);
    return tx_at(op->a, e);
}

struct tx *tx_new(struct op *op, uint32_t conn, uint32_t id)
{
    char key[16];
    struct entry *e = map_put(op->a, &op->st->root[ROOT_TX], key, tx_key(key, conn, id), 1);
    struct tx *tx;

    e->ref[0] = arena_alloc(op->a, TX_REFS, sizeof(struct tx));
    tx = tx_at(op->a, e);
    tx->replaced = op->st->replaced;
    tx->bytes = TX_BYTES;
    if (!op->who.privileged)
        map_put(op->a, &op->st->root[ROOT_AGES], key, age_key(key, tx->replaced, conn, id), 1);
    return tx;
}

bool tx_remove(struct op *op, uint32_t conn, uint32_t id)
{
    const struct tx *tx = tx_find(op, conn, id);
    char key[16];

    if (tx == NULL)
        return false;
    map_remove(op->a, &op->st->root[ROOT_AGES], key, age_key(key, tx->replaced, conn, id));
    return map_remove(op->a, &op->st->root[ROOT_TX], key, tx_key(key, conn, id));
}

/* The first of a connection behind that id. NULL: there is none. */
static const struct entry *tx_above(const struct arena *a, const struct state *st, uint32_t conn,
                                    uint32_t id)
{
    const struct entry *e;
    char key[8];

    e = map_above(a, st->root[ROOT_TX], key, tx_key(key, conn, id), false);
    return e && key_has_prefix(e, key, 4) ? e : NULL;
}

bool tx_remove_some(struct op *op, uint32_t conn, unsigned int *left)
{
    const struct entry *e;

    while ((e = tx_above(op->a, op->st, conn, 0)) != NULL) {
        if ((*left)-- == 0)
            return false;
        tx_remove(op, conn, key32_read(e->key + 4));
    }
    return true;
}

void tx_remove_all(struct op *op, uint32_t conn)
{
    unsigned int all = UINT32_MAX;

    tx_remove_some(op, conn, &all);
}

/* ---- what things take ---- */

uint16_t node_bytes(const struct arena *a, const struct entry *node, size_t path_len)
{
    size_t bytes = arena_bytes_of(node->o.bytes) + arena_bytes(a, node->ref[NODE_PERMS]) +
                   arena_bytes_of(offsetof(struct entry, key) + 2 + path_len);

    if (node->ref[NODE_VALUE])
        bytes += arena_bytes(a, node->ref[NODE_VALUE]);
    return (uint16_t)bytes;
}
_Static_assert(4 * ARENA_OBJ_MAX <= UINT16_MAX, "node_bytes() is a weight");

uint16_t watch_bytes(size_t key_len)
{
    return (uint16_t)(2 * arena_bytes_of(offsetof(struct entry, key) + key_len));
}

/* What a transaction that is open keeps alone. False: there is no memory to find out. */
static bool tx_bytes(const struct arena *a, const struct tx *tx, uint64_t *bytes)
{
    size_t work, accesses;

    if (!arena_bytes_below(a, tx->work, &work) || !arena_bytes_below(a, tx->accesses, &accesses))
        return false;
    *bytes = TX_BYTES + work + accesses;
    return true;
}

/* What was asked for. */
static uint64_t kept(const struct op *op, const struct state *st, domid_t domain, uint32_t conn)
{
    const struct entry *e;
    char key[4];
    uint64_t bytes = map_sum_prefix(op->a, st->root[ROOT_OWNED], key, key16(key, domain));

    bytes += map_sum_prefix(op->a, st->root[ROOT_WATCHERS], key, key32(key, conn));
    for (e = tx_above(op->a, st, conn, 0); e; e = tx_above(op->a, st, conn, key32_read(e->key + 4)))
        bytes += tx_at(op->a, e)->bytes;
    return bytes;
}

static uint64_t waiting(const struct op *op, const struct state *st, uint32_t conn)
{
    const struct entry *c;
    char key[4];
    uint64_t bytes, nr;

    key32(key, conn);
    bytes = map_sum_prefix(op->a, st->root[ROOT_QUEUE], key, 4);
    nr = map_count_prefix(op->a, st->root[ROOT_QUEUE], key, 4);
    bytes += bytes / 4 + nr * MESSAGE_BYTES;
    c = map_find(op->a, st->root[ROOT_CONNS], key, 4);
    if (c && c->ref[CONN_PARTIAL])
        bytes += arena_bytes(op->a, c->ref[CONN_PARTIAL]);
    return bytes;
}

uint64_t memory_of(const struct op *op, domid_t domain, uint32_t conn)
{
    return kept(op, op->st, domain, conn) + waiting(op, op->st, conn);
}

/* ---- the quota ---- */

void memory_changed(struct op *op, domid_t owner)
{
    uint64_t before, after, max;

    if (op->who.privileged || owner == op->who.domain || op->denied)
        return;
    before = kept(op, op->old, owner, owner);
    after = kept(op, op->st, owner, owner);
    max = quota_of(op, owner, QUOTA_MEMORY);
    if (max == 0 || after <= before || after + waiting(op, op->old, owner) <= max)
        return;
    op->denied = true;
    op->hit = QUOTA_MEMORY;
    op->hit_domain = owner;
}

/* Count what the connection's transactions had before this step, in which one may have got more. */
static void count_transactions(struct op *op)
{
    const struct entry *e;

    arena_settle(op->a); /* what is dead does not refer to anything then */
    for (e = tx_above(op->a, op->old, op->conn, 0); e;
         e = tx_above(op->a, op->old, op->conn, key32_read(e->key + 4))) {
        uint32_t id = key32_read(e->key + 4);
        struct tx *tx;
        uint64_t bytes;

        if (tx_find(op, op->conn, id) == NULL || !tx_bytes(op->a, tx_at(op->a, e), &bytes))
            continue;
        tx = tx_edit(op, op->conn, id); /* it was found: NOLINTNEXTLINE(clang-analyzer-core.*) */
        tx->bytes = bytes + (tx == op->tx ? op->a->fresh_bytes : 0);
    }
}

/* Can what is kept for who acts have changed at all? */
static bool is_changed(const struct op *op)
{
    static const enum root roots[] = { ROOT_OWNED, ROOT_WATCHERS, ROOT_TX };

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
        if (op->st->root[roots[i]] != op->old->root[roots[i]])
            return true;
    return false;
}

int memory_check(struct op *op)
{
    uint64_t before, after, waits, soft;
    bool warn;

    if (op->denied)
        return -ENOSPC;
    if (op->who.privileged || !is_changed(op))
        return 0;
    if (op->tx)
        op->tx->bytes += op->a->fresh_bytes;
    before = kept(op, op->old, op->who.domain, op->conn);
    after = kept(op, op->st, op->who.domain, op->conn);
    if (after <= before)
        return 0;
    waits = waiting(op, op->old, op->conn);
    soft = quota_of(op, op->who.domain, QUOTA_MEMORY_SOFT);
    warn = soft && before + waits <= soft && after + waits > soft;
    if (warn || quota_exceeded(op, QUOTA_MEMORY, after + waits)) {
        op->hit = NO_QUOTA;
        count_transactions(op);
        after = kept(op, op->st, op->who.domain, op->conn);
    }
    if (quota_exceeded(op, QUOTA_MEMORY, after + waits))
        return -ENOSPC;
    if (warn && after + waits > soft)
        quota_hit(op, op->who.domain, QUOTA_MEMORY_SOFT);
    return 0;
}

/* ---- old trees ---- */

static void outdate(struct op *op, uint32_t conn, uint32_t id)
{
    struct tx *tx = tx_edit(op, conn, id);
    char key[16];

    tx->base = tx->work = tx->accesses = 0;
    tx->bytes = TX_BYTES;
    tx->outdated = true;
    map_remove(op->a, &op->st->root[ROOT_AGES], key, age_key(key, tx->replaced, conn, id));
}

/* All that a step has allocated is not less than what it has copied, and so replaced, of the tree. */
void memory_expire(struct op *op)
{
    struct state *st = op->st;
    const struct entry *e;

    if (op->old == NULL || st->root[ROOT_TREE] == op->old->root[ROOT_TREE])
        return;
    st->replaced += op->a->fresh_bytes + op->replaced;
    if (st->root[ROOT_AGES] == 0 || op->a->nr_free_slabs > op->a->nr_slabs / SCARCE_PART ||
        op->a->dead) /* there is about to be more */
        return;
    op->a->keep_slabs = 0; /* it gives back more than it takes */
    for (int i = 0; i < OUTDATED_AT_ONCE; i++) {
        uint64_t began;

        e = map_above(op->a, st->root[ROOT_AGES], "", 0, true);
        if (e == NULL)
            return;
        began = (uint64_t)key32_read(e->key) << 32 | key32_read(e->key + 4);
        if (st->replaced - began <= arena_size(op->a) / SNAPSHOTS_PART)
            return;
        outdate(op, key32_read(e->key + 8), key32_read(e->key + 12));
    }
}

/* ---- is all that true? ---- */

static bool audit_owned(const struct arena *a, const struct state *st, const struct entry *e)
{
    const struct entry *node =
        node_find(a, st->root[ROOT_TREE], e->key + 2, (size_t)e->key_len - 2);
    const struct perms *p;
    char key[2];

    if (node == NULL || e->weight != node_bytes(a, node, (size_t)e->key_len - 2))
        return false;
    p = arena_at(a, node->ref[NODE_PERMS]);
    key16(key, p->perm[0].domain);
    return memcmp(key, e->key, 2) == 0;
}

static bool audit_watcher(const struct arena *a, const struct state *st, const struct entry *e)
{
    (void)a;
    (void)st;
    return e->weight == watch_bytes(e->key_len);
}

static bool audit_message(const struct arena *a, const struct state *st, const struct entry *e)
{
    (void)st;
    return arena_bytes_of(e->o.bytes) + arena_bytes(a, e->ref[0]) <=
           e->weight + e->weight / 4u + MESSAGE_BYTES;
}

/* Of those with an age: domain 0's, which have none, are not counted. */
static bool audit_tx(const struct arena *a, const struct state *st, const struct entry *e)
{
    const struct tx *tx = find(a, st, key32_read(e->key + 8), key32_read(e->key + 12));
    uint64_t bytes;

    return tx && !tx->outdated && tx->base && (!tx_bytes(a, tx, &bytes) || tx->bytes >= bytes);
}

static bool audit_all(const struct arena *a, enum root root,
                      bool (*right)(const struct arena *a, const struct state *st,
                                    const struct entry *e))
{
    const struct state *st = arena_at(a, arena_root(a));
    const struct entry *e;

    for (e = map_above(a, st->root[root], "", 0, true); e;
         e = map_above(a, st->root[root], e->key, e->key_len, false))
        if (!right(a, st, e))
            return false;
    return true;
}

bool memory_audit(const struct arena *a)
{
    return audit_all(a, ROOT_OWNED, audit_owned) && audit_all(a, ROOT_WATCHERS, audit_watcher) &&
           audit_all(a, ROOT_QUEUE, audit_message) && audit_all(a, ROOT_AGES, audit_tx);
}
