/*
 * Who makes the store keep how much. A domain has its nodes (with their values, permissions and the line
 * in ROOT_OWNED), and of its connection the watches, what its transactions have made and noted, and what
 * waits: messages, a request that is not whole. A request that makes it more than the quota "memory" is
 * refused, whoever's nodes grow by it; what waits is bounded by the quota "outstanding" and the transport.
 *
 * Old nodes that an open transaction still sees are nobody's. Where memory is short a domain's
 * transaction may last until a part of all memory has been replaced in the tree since it began: so all of
 * them together keep no more than that part.
 *
 * Half of the memory is for shares: who has more than his (quota "memory-share") gets no more, and no
 * events, while less than that, that part and domain 0's is free. So 64 domains have their shares, whatever the
 * others do; a domain with a share of its own, by CONTROL, has that. What is free only between objects of
 * another size is counted as used there, and can be taken by many who have little.
 *
 * No sum is kept: they are weights of maps, but for what a transaction has. Of that a bound is kept, all
 * that its requests have allocated; what is left of that is counted when the quota seems to be hit, and kept
 * even if the request is refused.
 */
#include "internal.h"

#include <stdlib.h>

enum {
    MESSAGE_BYTES = 112,   /* of a message's entry, and what rounding adds, but for a quarter */
    TX_BYTES = 256,        /* of a transaction, with its entries */
    PLENTY_PART = 4,       /* a domain need not look at its share until that part is taken */
    SHORT_PART = 4,        /* old trees are given up if less than this part of it is free */
    SPARE_PART = 32,       /* of the quota is spare when a transaction is counted */
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
    tx->counted = true;
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

/* Memory is looked at last: that frees what is dead, which is nothing for who has no more than his share. */
static bool above_share(struct op *op, domid_t domain, uint64_t bytes)
{
    uint64_t share = quota_of(op, domain, QUOTA_MEMORY_SHARE);

    return share && bytes > share &&
           !arena_has_free(op->a, op->a->nr_slabs - op->a->nr_slabs / PLENTY_PART);
}

/* Is so much too much for a domain? Then the quota that says so is noted. */
static bool too_much(struct op *op, domid_t domain, uint64_t bytes)
{
    uint64_t max = quota_of(op, domain, QUOTA_MEMORY);

    if (max && bytes > max)
        op->hit = QUOTA_MEMORY;
    else if (above_share(op, domain, bytes))
        op->hit = QUOTA_MEMORY_SHARE;
    else
        return false;
    op->hit_domain = domain;
    return true;
}

/*
 * What else is kept for it changes little in a step: it is summed once for many events in a row. Of open
 * transactions that is their bound, so where memory is scarce who has one of some 40 requests may lose
 * events before he has all of his share.
 */
bool memory_has_room_for_event(struct op *op, domid_t domain, uint32_t conn, size_t bytes)
{
    if (!arena_has_free(op->a, op->a->nr_slabs / KEEP_FROM_DOMAINS))
        return false;
    if (op->kept == 0 || op->kept_conn != conn) {
        op->kept = kept(op, op->st, domain, conn);
        op->kept_conn = conn;
    }
    return !above_share(op, domain, op->kept + waiting(op, op->st, conn) + bytes);
}

void memory_changed(struct op *op, domid_t owner)
{
    uint64_t before, after;

    if (op->who.privileged || owner == op->who.domain || op->denied)
        return;
    before = kept(op, op->old, owner, owner);
    after = kept(op, op->st, owner, owner);
    if (after > before)
        op->denied = too_much(op, owner, after + waiting(op, op->old, owner));
}

static bool all_counted(const struct op *op)
{
    const struct entry *e;

    for (e = tx_above(op->a, op->old, op->conn, 0); e;
         e = tx_above(op->a, op->old, op->conn, key32_read(e->key + 4)))
        if (!tx_at(op->a, e)->counted)
            return false;
    return true;
}

void memory_count(struct op *op, size_t fresh)
{
    const struct entry *e;

    if (all_counted(op))
        return;
    arena_settle(op->a); /* what is dead does not refer to anything then */
    for (e = tx_above(op->a, op->old, op->conn, 0); e;
         e = tx_above(op->a, op->old, op->conn, key32_read(e->key + 4))) {
        uint32_t id = key32_read(e->key + 4);
        struct tx *tx;
        uint64_t bytes;

        if (tx_at(op->a, e)->counted || tx_find(op, op->conn, id) == NULL ||
            !tx_bytes(op->a, tx_at(op->a, e), &bytes))
            continue;
        op->s->count_work += bytes;
        tx = tx_edit(op, op->conn, id); /* it was found: NOLINTNEXTLINE(clang-analyzer-core.*) */
        tx->bytes = bytes + (tx == op->tx ? fresh : 0);
        tx->counted = tx != op->tx || fresh == 0;
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

/*
 * A transaction that was counted may not come closer to the quota than by a part of it: as much must be
 * allocated, then, before it is to be counted again, and who is at his quota is refused without that.
 */
static uint64_t with_spare(const struct op *op, uint64_t bytes)
{
    return bytes + (op->tx ? bytes / SPARE_PART : 0);
}

int memory_check(struct op *op)
{
    uint64_t before, after, waits, soft;
    domid_t domain = op->who.domain;
    bool warn, counted;

    if (op->denied)
        return -ENOSPC;
    if (op->who.privileged || !is_changed(op))
        return 0;
    if (op->tx) {
        op->tx->bytes += op->a->fresh_bytes;
        op->tx->counted = false;
    }
    before = kept(op, op->old, domain, op->conn);
    after = kept(op, op->st, domain, op->conn);
    if (after <= before)
        return 0;
    waits = waiting(op, op->old, op->conn);
    soft = quota_of(op, domain, QUOTA_MEMORY_SOFT);
    warn = soft && before + waits <= with_spare(op, soft) && after + waits > with_spare(op, soft);
    counted = all_counted(op);
    if (!counted && (warn || too_much(op, domain, after + waits))) {
        op->hit = NO_QUOTA;
        memory_count(op, op->a->fresh_bytes);
        counted = true;
        after = kept(op, op->st, domain, op->conn);
    }
    after += waits;
    if (too_much(op, domain, counted ? with_spare(op, after) : after))
        return -ENOSPC;
    if (warn && after > soft)
        quota_hit(op, domain, QUOTA_MEMORY_SOFT);
    return 0;
}

/* ---- old trees ---- */

static void outdate(struct op *op, uint32_t conn, uint32_t id)
{
    struct tx *tx = tx_edit(op, conn, id);
    char key[16];

    tx->base = tx->work = tx->accesses = 0;
    tx->bytes = TX_BYTES;
    tx->counted = true;
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
    if (st->root[ROOT_AGES] == 0 || op->a->nr_free_slabs > op->a->nr_slabs / SHORT_PART ||
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
