/*
 * Nodes: the map of a node's children holds nodes. A change copies the nodes on the way to it; all
 * else is shared with the trees that open transactions began with and work on.
 */
#include "internal.h"

#include <stdlib.h>

/* ---- paths ---- */

size_t path_parent(const char *path, size_t len)
{
    while (len > 1 && path[len - 1] != '/')
        len--;
    return len > 1 ? len - 1 : 1;
}

/* The component that begins behind @at: its length; 0: there is none. *at becomes its first byte. */
static size_t next_component(const char *path, size_t len, size_t *at)
{
    size_t end;

    if (*at < len && path[*at] == '/')
        ++*at;
    for (end = *at; end < len && path[end] != '/'; end++)
        ;
    return end - *at;
}

struct entry *node_nearest(const struct arena *a, ref_t tree, const char *path, size_t *len)
{
    struct entry *node = entry_at(a, tree), *child;
    size_t at = 0, n;

    while ((n = next_component(path, *len, &at)) != 0) {
        child = map_find(a, node->ref[NODE_CHILDREN], path + at, n);
        if (child == NULL)
            break;
        node = child;
        at += n;
    }
    if (n)
        *len = at > 1 ? at - 1 : 1;
    return node;
}

struct entry *node_find(const struct arena *a, ref_t tree, const char *path, size_t len)
{
    size_t found = len;
    struct entry *node = node_nearest(a, tree, path, &found);

    return found == len ? node : NULL;
}

/* The node at a path, to be changed. It is there. */
static struct entry *node_edit(struct arena *a, ref_t *tree, const char *path, size_t len)
{
    struct entry *node;
    size_t at = 0, n;

    *tree = arena_edit(a, *tree);
    node = entry_at(a, *tree);
    while ((n = next_component(path, len, &at)) != 0) {
        node = map_put(a, &node->ref[NODE_CHILDREN], path + at, n, 0);
        at += n;
    }
    return node;
}

/* ---- permissions ---- */

struct perms *perms_new(struct op *op, size_t nr, ref_t *ref)
{
    struct perms *p;

    *ref = arena_alloc(op->a, 0, offsetof(struct perms, perm) + nr * sizeof(struct perm));
    p = arena_at(op->a, *ref);
    p->nr = (uint32_t)nr;
    p->generation = ++op->st->generation;
    return p;
}

/* Is what p says of that domain said of one that is gone, and whose id another may have by now? */
static bool stale(const struct op *op, const struct perms *p, domid_t domain)
{
    const struct entry *gone;
    char key[2];

    gone = map_find(op->a, op->st->root[ROOT_RELEASED], key, key16(key, domain));
    return gone && gone->word[0] > p->generation;
}

static unsigned int rights_of(const struct op *op, const struct perms *p, domid_t domain)
{
    if (p->perm[0].domain == domain)
        return stale(op, p, domain) ? 0 : RIGHT_READ | RIGHT_WRITE;
    for (uint32_t i = 1; i < p->nr; i++)
        if (p->perm[i].domain == domain && !stale(op, p, domain))
            return p->perm[i].rights;
    return p->perm[0].rights;
}

unsigned int perms_rights(const struct op *op, const struct perms *p, const struct who *who)
{
    unsigned int rights;

    if (who->privileged)
        return RIGHT_READ | RIGHT_WRITE;
    rights = rights_of(op, p, who->domain);
    if (who->target >= 0)
        rights |= rights_of(op, p, (domid_t)who->target);
    return rights;
}

static struct perms *perms_of(const struct op *op, const struct entry *node)
{
    return arena_at(op->a, node->ref[NODE_PERMS]);
}

unsigned int node_rights(const struct op *op, const struct entry *node, const struct who *who)
{
    return perms_rights(op, perms_of(op, node), who);
}

static domid_t owner_of(const struct op *op, const struct entry *node)
{
    return perms_of(op, node)->perm[0].domain;
}

/* A new node has its parent's permissions, but what a domain makes is its own. */
static ref_t inherit(struct op *op, const struct entry *parent)
{
    struct perms *from = perms_of(op, parent), *p;
    ref_t ref;

    if (op->who.privileged || from->perm[0].domain == op->who.domain)
        return parent->ref[NODE_PERMS];
    p = perms_new(op, from->nr, &ref);
    p->perm[0] = (struct perm){ op->who.domain, from->perm[0].rights };
    p->nr = 1;
    for (uint32_t i = 1; i < from->nr; i++)
        if (!stale(op, from, from->perm[i].domain))
            p->perm[p->nr++] = from->perm[i];
    return ref;
}

/* ---- who owns what. Of the state's tree only. ---- */

static size_t owned_key(char *key, domid_t owner, const char *path, size_t len)
{
    key16(key, owner);
    memcpy(key + 2, path, len);
    return len + 2;
}

/* It is the owner's, and as big as it is now. */
static void owned_put(struct op *op, const char *path, size_t len, struct entry *node)
{
    char key[PATH_ROOM + 2];
    domid_t owner = owner_of(op, node);
    uint16_t bytes = node_bytes(op->a, node, len);
    const struct entry *e;

    if (owner == 0)
        return;
    e = map_find(op->a, op->st->root[ROOT_OWNED], key, owned_key(key, owner, path, len));
    if (e && e->weight == bytes)
        return;
    map_weigh(op->a, &op->st->root[ROOT_OWNED], key, owned_key(key, owner, path, len), bytes);
    memory_changed(op, owner);
}

static void owned_remove(struct op *op, const char *path, size_t len, struct entry *node)
{
    char key[PATH_ROOM + 2];
    domid_t owner = owner_of(op, node);

    if (owner && owner != op->leaving)
        map_remove(op->a, &op->st->root[ROOT_OWNED], key, owned_key(key, owner, path, len));
}

/* An object of the tree that is worked on is replaced, or removed. */
static void replaced(struct op *op, ref_t ref)
{
    if (op->tx == NULL && ref)
        op->replaced += arena_bytes(op->a, ref);
}

static void removed(struct op *op, const char *path, size_t len, struct entry *node)
{
    op->replaced += arena_bytes_of(node->o.bytes);
    replaced(op, node->ref[NODE_VALUE]);
    replaced(op, node->ref[NODE_PERMS]);
    owned_remove(op, path, len, node);
}

static uint32_t owned_count(const struct op *op, domid_t owner)
{
    char key[2];

    return map_count_prefix(op->a, op->st->root[ROOT_OWNED], key, key16(key, owner));
}

static size_t append(char *path, size_t len, const struct entry *node)
{
    if (len > 1)
        path[len++] = '/';
    memcpy(path + len, node->key, node->key_len);
    return len + node->key_len;
}

/* Call fn for a node and all below it, parents first. fn changes nothing of the tree. */
static void tree_walk(struct op *op, const char *path, size_t len, struct entry *node,
                      void (*fn)(struct op *op, const char *path, size_t len, struct entry *node))
{
    struct entry **climb = op->s->climb, *next;
    char *at = op->s->walk_path;
    size_t depth = 0;

    memmove(at, path, len);
    fn(op, at, len, node);
    for (;;) {
        next = map_above(op->a, node->ref[NODE_CHILDREN], "", 0, true);
        if (next)
            climb[depth++] = node;
        while (next == NULL && depth) { /* all below node is done */
            len = path_parent(at, len);
            next = map_above(op->a, climb[depth - 1]->ref[NODE_CHILDREN], node->key, node->key_len,
                             false);
            if (next == NULL)
                node = climb[--depth];
        }
        if (next == NULL)
            return;
        node = next;
        len = append(at, len, node);
        fn(op, at, len, node);
    }
}

/* ---- reading ---- */

int tree_get(struct op *op, unsigned int right, unsigned int accesses, struct entry **node)
{
    const struct path *p = &op->s->path;
    size_t found = p->len;
    int rc;

    *node = node_nearest(op->a, *op->tree, p->s, &found);
    /* First of all: whether there is room for what is noted depends on whether the node is there. */
    if (!(node_rights(op, *node, &op->who) & right))
        return -EACCES;
    if (found < p->len) {
        rc = tx_note(op, p->s, found, ACCESS_PERMS);
        accesses = ACCESS_VALUE;
    } else {
        rc = 0;
    }
    if (rc == 0)
        rc = tx_note(op, p->s, p->len, accesses | (op->who.privileged ? 0 : ACCESS_PERMS));
    if (rc)
        return rc;
    return found < p->len ? -ENOENT : 0;
}

/* ---- changing ---- */

static void touched(struct op *op, struct entry *node)
{
    node->word[NODE_GENERATION] = ++op->st->generation;
}

static void children_changed(struct op *op, struct entry *node)
{
    touched(op, node);
    node->word[NODE_CHILDREN_GENERATION] = node->word[NODE_GENERATION];
}

/* Events of what is changed outside of transactions. */
static void fire(struct op *op, unsigned int flags, size_t len)
{
    if (op->tx == NULL)
        watch_fire(op, op->s->path.s, len, flags);
}

/* A node that is not there, below one that is. */
static struct entry *child_make(struct op *op, struct entry *parent, const char *path, size_t len,
                                size_t name_len)
{
    ref_t perms = inherit(op, parent);
    struct entry *node = map_put(op->a, &parent->ref[NODE_CHILDREN], path + len - name_len,
                                 name_len, (uint16_t)(name_len + 1));

    node->ref[NODE_PERMS] = perms;
    children_changed(op, node);
    children_changed(op, parent);
    if (op->tx)
        op->tx->created++;
    else
        owned_put(op, path, len, node);
    return node;
}

/* Has who acts room for so many nodes more? */
static bool may_own(struct op *op, uint64_t nr)
{
    return !quota_exceeded(op, QUOTA_NODES,
                           owned_count(op, op->who.domain) + nr + (op->tx ? op->tx->created : 0));
}

/* Components behind the first @at bytes of a path. */
static unsigned int count_components(const char *path, size_t len, size_t at)
{
    unsigned int nr = 0;
    size_t n;

    while ((n = next_component(path, len, &at)) != 0) {
        at += n;
        nr++;
    }
    return nr;
}

/* op->s->path, which is not there, and what is missing on the way to it. */
static int tree_create(struct op *op, struct entry **result)
{
    const struct path *p = &op->s->path;
    size_t at = p->len, there, n;
    struct entry *node = node_nearest(op->a, *op->tree, p->s, &at);
    int rc;

    if (!(node_rights(op, node, &op->who) & RIGHT_WRITE))
        return -EACCES;
    rc = tx_note(op, p->s, at, ACCESS_PERMS);
    if (rc)
        return rc;
    if (quota_exceeded(op, QUOTA_DEPTH, count_components(p->s, p->len, 0)) ||
        !may_own(op, count_components(p->s, p->len, at)))
        return -ENOSPC;
    node = node_edit(op->a, op->tree, p->s, at);
    there = at;
    if (at == 1)
        at = 0;
    while ((n = next_component(p->s, p->len, &at)) != 0) {
        at += n;
        node = child_make(op, node, p->s, at, n);
        rc =
            tx_note(op, p->s, at,
                    ACCESS_VALUE | ACCESS_PERMS | ACCESS_WROTE | (at < p->len ? ACCESS_PARENT : 0));
        if (rc)
            return rc;
    }
    if (op->tx == NULL)
        watch_fire_parents(op, p->s, p->len, there);
    *result = node;
    return 0;
}

int tree_write(struct op *op, const void *value, size_t len)
{
    const struct path *p = &op->s->path;
    struct entry *node = node_find(op->a, *op->tree, p->s, p->len);
    int rc;

    if (quota_exceeded(op, QUOTA_NODE_SIZE, len))
        return -ENOSPC;
    if (node == NULL)
        rc = tree_create(op, &node);
    else
        rc = tree_get(op, RIGHT_WRITE, ACCESS_VALUE | ACCESS_PERMS | ACCESS_WROTE, &node);
    if (rc)
        return rc;
    node = node_edit(op->a, op->tree, p->s, p->len);
    replaced(op, node->ref[NODE_VALUE]);
    node->ref[NODE_VALUE] = blob_new(op->a, value, len);
    touched(op, node);
    if (op->tx == NULL)
        owned_put(op, p->s, p->len, node);
    fire(op, 0, p->len);
    return 0;
}

int tree_mkdir(struct op *op)
{
    const struct path *p = &op->s->path;
    struct entry *node = node_find(op->a, *op->tree, p->s, p->len);
    int rc;

    if (node)
        return tree_get(op, RIGHT_WRITE, 0, &node);
    rc = tree_create(op, &node);
    if (rc == 0)
        fire(op, 0, p->len);
    return rc;
}

/* Take a node out of the tree that is worked on: the one at that path. */
static void unlink_node(struct op *op, const char *path, size_t len, struct entry *node)
{
    size_t up = path_parent(path, len), name = up == 1 ? 1 : up + 1;
    struct entry *parent;

    if (op->tx == NULL)
        tree_walk(op, path, len, node, removed);
    parent = node_edit(op->a, op->tree, path, up);
    map_remove(op->a, &parent->ref[NODE_CHILDREN], path + name, len - name);
    children_changed(op, parent);
}

int tree_remove(struct op *op)
{
    const struct path *p = &op->s->path;
    size_t up = path_parent(p->s, p->len);
    struct entry *node;
    int rc;

    if (p->len == 1)
        return -EINVAL;
    rc = tree_get(op, RIGHT_WRITE, ACCESS_VALUE | ACCESS_PERMS, &node);
    if (rc == -ENOENT && node_find(op->a, *op->tree, p->s, up))
        return 0;
    if (rc == 0)
        rc = tx_note(op, p->s, p->len, ACCESS_WROTE | ACCESS_REMOVED);
    if (rc)
        return rc;
    unlink_node(op, p->s, p->len, node);
    fire(op, FIRE_SUBTREE, p->len);
    return 0;
}

static bool owns(const struct op *op, const struct entry *node)
{
    const struct perms *p = perms_of(op, node);
    domid_t owner = p->perm[0].domain;

    return op->who.privileged ||
           ((owner == op->who.domain || owner == op->who.target) && !stale(op, p, owner));
}

int tree_set_perms(struct op *op, const struct perm *perm, size_t nr)
{
    const struct path *p = &op->s->path;
    struct entry *node;
    struct perms *perms;
    int rc = tree_get(op, RIGHT_READ | RIGHT_WRITE, ACCESS_VALUE | ACCESS_PERMS, &node);

    if (rc)
        return rc;
    if (!owns(op, node))
        return -EACCES;
    if (!op->who.privileged && perm[0].domain != owner_of(op, node))
        return -EPERM;
    if (quota_exceeded(op, QUOTA_PERMISSIONS, nr))
        return -ENOSPC;
    rc = tx_note(op, p->s, p->len, ACCESS_WROTE);
    if (rc)
        return rc;
    node = node_edit(op->a, op->tree, p->s, p->len);
    if (op->tx == NULL)
        owned_remove(op, p->s, p->len, node);
    replaced(op, node->ref[NODE_PERMS]);
    perms = perms_new(op, nr, &node->ref[NODE_PERMS]);
    memcpy(perms->perm, perm, nr * sizeof(*perm));
    touched(op, node);
    if (op->tx == NULL)
        owned_put(op, p->s, p->len, node);
    fire(op, 0, p->len);
    return 0;
}

/* The first node that a domain owns: its path's length; 0: it owns none. */
static size_t first_owned(const struct op *op, domid_t domain, char *path)
{
    const struct entry *e;
    char key[2];

    e = map_above(op->a, op->st->root[ROOT_OWNED], key, key16(key, domain), true);
    if (e == NULL || !key_has_prefix(e, key, 2))
        return 0;
    memcpy(path, e->key + 2, e->key_len - 2u);
    return e->key_len - 2u;
}

/* Take an owner's node away, and what is below it; "/" stays: it is domain 0's now. */
static void disown(struct op *op, const char *path, size_t len, struct entry *node)
{
    if (len == 1) {
        node = node_edit(op->a, op->tree, path, len);
        owned_remove(op, path, len, node);
        perms_new(op, 1, &node->ref[NODE_PERMS]);
        return;
    }
    unlink_node(op, path, len, node);
    watch_fire(op, path, len, FIRE_SUBTREE);
}

/* What it owns is taken out of the list of all at once: looking each up there costs more than all else. */
void tree_remove_owned(struct op *op, domid_t domain)
{
    const struct entry *e;
    struct entry *node;
    ref_t owned;
    char key[2];

    owned = map_take_prefix(op->a, &op->st->root[ROOT_OWNED], key, key16(key, domain));
    op->leaving = domain;
    for (e = map_above(op->a, owned, key, 2, false); e;
         e = map_above(op->a, owned, e->key, e->key_len, false)) {
        node = node_find(op->a, *op->tree, e->key + 2, e->key_len - 2u);
        if (node) /* else it was below another one */
            disown(op, e->key + 2, e->key_len - 2u, node);
    }
    op->leaving = 0;
}

bool tree_remove_owned_some(struct op *op, domid_t domain, unsigned int *left)
{
    char path[PATH_ROOM];
    size_t len;

    while ((len = first_owned(op, domain, path)) != 0) {
        struct entry *node = node_find(op->a, *op->tree, path, len);

        if ((*left)-- == 0)
            return false;
        while (len > 1 && node->ref[NODE_CHILDREN]) {
            node = map_above(op->a, node->ref[NODE_CHILDREN], "", 0, true);
            len = append(path, len, node);
        }
        disown(op, path, len, node);
    }
    return true;
}

void tree_make(struct op *op)
{
    struct entry *node;

    op->st->root[ROOT_TREE] =
        arena_alloc(op->a, ENTRY_REFS,
                    offsetof(struct entry, key)); /* the only one without a name */
    node = entry_at(op->a, op->st->root[ROOT_TREE]);
    perms_new(op, 1, &node->ref[NODE_PERMS]); /* domain 0's, nothing for others */
    children_changed(op, node);
}

/* ---- transactions ---- */

int tx_note(struct op *op, const char *path, size_t len, unsigned int accesses)
{
    struct entry *e;

    if (op->tx == NULL)
        return 0;
    e = map_put(op->a, &op->tx->accesses, path, len, 1);
    if (e->word[0] == 0 &&
        quota_exceeded(op, QUOTA_TRANSACTION_NODES, map_sum(op->a, op->tx->accesses)))
        return -ENOSPC;
    e->word[0] |= accesses;
    if (accesses & ACCESS_WROTE) {
        e->word[1] = ++op->tx->sequence;
        if (!(accesses & ACCESS_PARENT))
            e->word[0] &= ~(uint64_t)ACCESS_PARENT;
    }
    return 0;
}

/* Is what mattered to the transaction at that path as it was when that began? */
static bool unchanged(const struct op *op, const struct tx *tx, const struct entry *access)
{
    struct entry *was = node_find(op->a, tx->base, access->key, access->key_len);
    struct entry *is = node_find(op->a, *op->tree, access->key, access->key_len);
    uint64_t what = access->word[0];

    if (was == NULL || is == NULL || was == is)
        return was == is;
    /* The objects of then are kept by its base: the same reference is the same object. */
    return (!(what & ACCESS_VALUE) || was->ref[NODE_VALUE] == is->ref[NODE_VALUE]) &&
           (!(what & ACCESS_PERMS) || was->ref[NODE_PERMS] == is->ref[NODE_PERMS]) &&
           (!(what & ACCESS_CHILDREN) ||
            was->word[NODE_CHILDREN_GENERATION] == is->word[NODE_CHILDREN_GENERATION]);
}

/* Make what is at that path what the transaction has there. Returns whether all below it is done, too. */
static bool apply_one(struct op *op, const struct tx *tx, const struct entry *access)
{
    const char *path = access->key;
    size_t len = access->key_len, up = path_parent(path, len), name = up == 1 ? 1 : up + 1;
    struct entry *from = node_find(op->a, tx->work, path, len);
    struct entry *node = node_find(op->a, *op->tree, path, len), *parent;
    bool whole = access->word[0] & ACCESS_REMOVED;

    if (whole && node) {
        unlink_node(op, path, len, node);
        node = NULL;
    }
    if (from == NULL)
        return true;
    if (node == NULL) {
        parent = node_edit(op->a, op->tree, path, up);
        node = map_put(op->a, &parent->ref[NODE_CHILDREN], path + name, len - name,
                       (uint16_t)(len - name + 1));
        children_changed(op, parent);
        children_changed(op, node);
    } else {
        if (owner_of(op, node) != owner_of(op, from))
            owned_remove(op, path, len, node);
        replaced(op, node->ref[NODE_VALUE]);
        replaced(op, node->ref[NODE_PERMS]);
        node = node_edit(op->a, op->tree, path, len);
        touched(op, node);
    }
    node->ref[NODE_VALUE] = from->ref[NODE_VALUE];
    node->ref[NODE_PERMS] = from->ref[NODE_PERMS];
    if (!whole) {
        owned_put(op, path, len, node);
        return false;
    }
    node->ref[NODE_CHILDREN] = from->ref[NODE_CHILDREN];
    tree_walk(op, path, len, node, owned_put);
    return true;
}

static bool is_below(const struct entry *e, const struct entry *above)
{
    return key_has_prefix(e, above->key, above->key_len) && e->key_len > above->key_len &&
           e->key[above->key_len] == '/';
}

static int by_sequence(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;

    return (x->word[1] > y->word[1]) - (x->word[1] < y->word[1]);
}

/* What was made on the way to something may have nothing below it at the end: that was removed again. */
static bool has_children(const struct op *op, const char *path, size_t len)
{
    const struct entry *node = node_find(op->a, *op->tree, path, len);

    return node && node->ref[NODE_CHILDREN];
}

/* Events for all that was written, in the order in which it was. */
static void fire_all(struct op *op, struct entry **wrote, size_t nr)
{
    qsort(wrote, nr, sizeof(struct entry *), by_sequence);
    for (size_t i = 0; i < nr; i++) {
        const char *path = wrote[i]->key;
        size_t len = wrote[i]->key_len;
        unsigned int flags = 0;

        if (wrote[i]->word[0] & ACCESS_REMOVED)
            flags = FIRE_SUBTREE;
        else if ((wrote[i]->word[0] & ACCESS_PARENT) && has_children(op, path, len))
            flags = FIRE_PARENT;
        watch_fire(op, path, len, flags);
    }
}

/* The accesses become the list of those that wrote. Returns how many these are. */
static size_t apply_all(struct op *op, const struct tx *tx, struct entry **accesses, size_t nr)
{
    const struct entry *whole = NULL;
    size_t wrote = 0;

    for (size_t i = 0; i < nr; i++) {
        struct entry *e = accesses[i];

        if (!(e->word[0] & ACCESS_WROTE))
            continue;
        if (!(whole && is_below(e, whole)) && apply_one(op, tx, e))
            whole = e;
        accesses[wrote++] = e;
    }
    return wrote;
}

int tx_apply(struct op *op, const struct tx *tx)
{
    size_t nr = map_count(op->a, tx->accesses);
    struct entry **accesses = malloc((nr + 1) * sizeof(struct entry *));
    int rc = 0;

    if (accesses == NULL)
        return -ENOMEM;
    /* From here to free() there is a jump out if the arena is full. */
    op->s->scratch = accesses;
    map_list(op->a, tx->accesses, accesses);
    for (size_t i = 0; i < nr && rc == 0; i++)
        rc = unchanged(op, tx, accesses[i]) ? 0 : -EAGAIN;
    if (rc == 0)
        fire_all(op, accesses, apply_all(op, tx, accesses, nr));
    free(accesses);
    op->s->scratch = NULL;
    if (rc == 0 && quota_exceeded(op, QUOTA_NODES, owned_count(op, op->who.domain)))
        return -ENOSPC;
    return rc;
}
