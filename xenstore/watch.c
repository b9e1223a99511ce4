/*
 * Watches. They are sorted by path, so that those of a path, and those below it, are side by side: an
 * event looks at the watches of the path and of each path above it, and at no others.
 */
#include "internal.h"

#include <limits.h>
#include <stdio.h>

enum {
    KEY_ROOM = XENSTORE_PAYLOAD_MAX + 8,
    /* The longest that fits into an event beside the longest path. */
    TOKEN_MAX = XENSTORE_PAYLOAD_MAX - XENSTORE_ABS_PATH_MAX - 2,
};
_Static_assert(KEY_ROOM <= KEY_MAX, "a watch is an entry");

static size_t home_len(domid_t domain)
{
    char home[32];

    return (size_t)snprintf(home, sizeof(home), "/local/domain/%u/", domain);
}

/* The event that a watch wants to see for a path below, or that is, its own. False: there is no room. */
static bool send(struct op *op, const struct entry *watch, size_t watch_len, const char *path,
                 size_t len)
{
    const char *behind = watch->key + watch_len + 1; /* connection, token */
    char text[PATH_ROOM];
    size_t skip = 0;

    if (watch->word[0] & WATCH_RELATIVE)
        skip = home_len((domid_t)(watch->word[0] & WATCH_DOMAIN));
    memcpy(text, path + skip, len - skip);
    text[len - skip] = '\0';
    op->s->watch_work++;
    /* The token has its final zero. */
    return message(op, key32_read(behind), XS_WATCH_EVENT, 0, 0, text, len - skip + 1, behind + 4,
                   watch->key_len - watch_len - 5);
}

static bool may_read(const struct op *op, const struct entry *watch, const struct entry *node)
{
    struct who who = who_is(op, (domid_t)(watch->word[0] & WATCH_DOMAIN));

    return node && (node_rights(op, node, &who) & RIGHT_READ);
}

/* What is being told. The node is looked up once, if anybody may want to know. */
struct event {
    const char *path;
    size_t len;
    unsigned int flags;
    bool looked;
    struct entry *is, *was;
};

/* Before or after: who could read it is to know that it is gone. */
static bool may_know(const struct op *op, const struct entry *watch, struct event *event)
{
    if (!event->looked) {
        event->is = node_find(op->a, op->st->root[ROOT_TREE], event->path, event->len);
        event->was =
            op->old ? node_find(op->a, op->old->root[ROOT_TREE], event->path, event->len) : NULL;
        event->looked = true;
    }
    return may_read(op, watch, event->is) || may_read(op, watch, event->was);
}

/* The first of the watches behind those of a key, or with it, of which each lookup and each look is counted. */
static const struct entry *next_watch(struct op *op, const void *key, size_t len, bool or_equal)
{
    op->s->watch_work++;
    return map_above(op->a, op->st->root[ROOT_WATCHES], key, len, or_equal);
}

/* The first of the same path that another connection has. */
static const struct entry *other_conn(struct op *op, const char *path, size_t len,
                                      const struct entry *watch)
{
    char key[PATH_ROOM + 4];

    memcpy(key, path, len);
    key[len] = '\0';
    key32(key + len + 1, key32_read(watch->key + len + 1) + 1);
    return next_watch(op, key, len + 5, true);
}

/* Does a watch want to know of what is so many levels below its path? */
static bool reaches(const struct entry *watch, unsigned int levels)
{
    return watch->word[1] == 0 || levels < watch->word[1];
}

/*
 * The first watch of a path's first @len bytes or below; NULL: there is none, nor further down.
 * @behind  the first one that is known to be behind those above, or NULL
 */
static const struct entry *first_at(struct op *op, char *path, size_t len,
                                    const struct entry *behind)
{
    const struct entry *w = behind;
    char cut = path[len];

    path[len] = '\0';
    if (w == NULL || key_order(path, len + 1, w) > 0)
        w = next_watch(op, path, len + 1, true);
    path[len] = cut;
    return w && key_has_prefix(w, path, len) ? w : NULL;
}

/*
 * The watches of exactly that path, levels above the event's: @w and those behind it. Who may not know it,
 * or has no room for it, is asked once, however many watches he has there. Returns the first behind them.
 */
static const struct entry *fire_at(struct op *op, struct event *event, size_t watch_len,
                                   unsigned int levels, const struct entry *w)
{
    const char *path = event->path;
    uint64_t known = UINT64_MAX; /* the connection that may know it */

    while (w && key_has_prefix(w, path, watch_len) && w->key[watch_len] == '\0') {
        uint32_t conn = key32_read(w->key + watch_len + 1);
        bool wanted =
            reaches(w, levels) && !((event->flags & FIRE_PARENT) && reaches(w, levels + 1));

        if (wanted && conn != known && !may_know(op, w, event)) {
            w = other_conn(op, path, watch_len, w);
            continue;
        }
        known = wanted ? conn : known;
        if (wanted && !send(op, w, watch_len, path, event->len))
            w = other_conn(op, path, watch_len, w);
        else
            w = next_watch(op, w->key, w->key_len, false);
    }
    return w;
}

/* The watches below a path at which, or above which, something was removed: those whose node was there. */
static void fire_below(struct op *op, const char *path, size_t len)
{
    ref_t watches = op->st->root[ROOT_WATCHES];
    char key[PATH_ROOM + 1];
    struct entry *w, *was;

    memcpy(key, path, len);
    key[len] = '/';
    for (w = map_above(op->a, watches, key, len + 1, true); w && key_has_prefix(w, key, len + 1);
         w = map_above(op->a, watches, w->key, w->key_len, false)) {
        size_t watch_len = strlen(w->key); /* the key has a zero behind the path */

        was = node_find(op->a, op->old->root[ROOT_TREE], w->key, watch_len);
        if (may_read(op, w, was))
            send(op, w, watch_len, w->key, watch_len);
    }
}

void watch_fire(struct op *op, const char *path, size_t len, unsigned int flags)
{
    struct event event = { .path = path, .len = len, .flags = flags };
    const struct entry *w = NULL;
    unsigned int levels = len > 1;
    char key[PATH_ROOM];

    /* Who sees a parent and not its child has a depth. */
    if (op->st->root[ROOT_WATCHES] == 0 || ((flags & FIRE_PARENT) && op->st->nr_depths == 0))
        return;
    memcpy(key, path, len);
    key[len] = '\0';
    for (size_t i = 1; i < len; i++)
        levels += path[i] == '/';
    for (size_t i = 1; i <= len; i++) {
        if (i > 1 && i < len && path[i] != '/')
            continue;
        w = first_at(op, key, i, w);
        if (w == NULL)
            break;
        w = fire_at(op, &event, i, levels--, w);
    }
    if (flags & FIRE_SUBTREE)
        fire_below(op, path, len);
}

/* ---- what was made on the way ---- */

static void levels_find(struct op *op, struct levels *l, const char *path, size_t len)
{
    struct entry *node = entry_at(op->a, op->st->root[ROOT_TREE]);
    size_t from = 1;

    l->nr = 1;
    l->end[0] = 1;
    l->node[0] = node;
    for (size_t at = 2; node && at <= len; at++) {
        if (at < len && path[at] != '/')
            continue;
        node = map_find(op->a, node->ref[NODE_CHILDREN], path + from, at - from);
        l->end[l->nr] = (uint16_t)at;
        l->node[l->nr++] = node;
        from = at + 1;
    }
}

/*
 * One look at each level for the watches there: each with a depth sees one node at most that way, which is
 * so many levels below. So the cost is that of one event.
 */
void watch_fire_parents(struct op *op, const char *path, size_t len, size_t there)
{
    struct levels *l = &op->s->levels;
    char key[PATH_ROOM];
    const struct entry *w = NULL;

    if (op->st->nr_depths == 0)
        return;
    levels_find(op, l, path, len);
    memcpy(key, path, len);
    key[len] = '\0';
    for (size_t i = 0; i < l->nr; i++) {
        size_t watch_len = l->end[i];

        w = first_at(op, key, watch_len, w);
        if (w == NULL)
            return;
        for (; w && key_has_prefix(w, path, watch_len) && w->key[watch_len] == '\0';
             w = next_watch(op, w->key, w->key_len, false)) {
            uint64_t at = i + w->word[1] - 1;

            if (w->word[1] && at < l->nr && l->end[at] > there && l->end[at] < len &&
                may_read(op, w, l->node[at]))
                send(op, w, watch_len, path, l->end[at]);
        }
    }
}

/* ---- @introduceDomain, @releaseDomain ---- */

static bool may_know_special(const struct op *op, const struct entry *watch, const char *name)
{
    struct who who = who_is(op, (domid_t)(watch->word[0] & WATCH_DOMAIN));
    struct entry *e = map_find(op->a, op->st->root[ROOT_SPECIALS], name, strlen(name));

    return who.privileged ||
           (e && (perms_rights(op, arena_at(op->a, e->ref[NODE_PERMS]), &who) & RIGHT_READ));
}

/* @with_id  of whom the watch's path has the domain's id behind it */
static void fire_special(struct op *op, const char *name, const char *with_id, bool exact)
{
    ref_t watches = op->st->root[ROOT_WATCHES];
    const char *path = exact ? with_id : name;
    size_t len = strlen(path);
    struct entry *w;

    for (w = map_above(op->a, watches, path, len + 1, true); w && key_has_prefix(w, path, len + 1);
         w = map_above(op->a, watches, w->key, w->key_len, false)) {
        bool show_id = exact || w->word[1] == 2; /* depth 1 */

        if (may_know_special(op, w, name))
            send(op, w, len, show_id ? with_id : name, strlen(show_id ? with_id : name));
    }
}

void watch_fire_special(struct op *op, const char *name, domid_t domain)
{
    char with_id[40];

    snprintf(with_id, sizeof(with_id), "%s/%u", name, domain);
    fire_special(op, name, with_id, false);
    fire_special(op, name, with_id, true);
}

/* ---- requests ---- */

/* Its two keys: by path, and by connection. Each has the token, with its final zero. */
static size_t watch_keys(const struct op *op, const char *token, char *by_path, char *by_conn)
{
    const struct path *p = &op->s->path;
    size_t token_len = strlen(token) + 1;

    memcpy(by_path, p->s, p->len);
    by_path[p->len] = '\0';
    key32(by_path + p->len + 1, op->conn);
    memcpy(by_path + p->len + 5, token, token_len);
    key32(by_conn, op->conn);
    memcpy(by_conn + 4, p->s, p->len);
    by_conn[p->len + 4] = '\0';
    memcpy(by_conn + p->len + 5, token, token_len);
    return p->len + 5 + token_len;
}

/* The depth + 1; 0: none. Of a special path only 1, and not with an id. */
static int arg_depth(struct op *op, uint64_t *depth)
{
    const char *text;

    *depth = 0;
    if (op->in_len == 0)
        return 0;
    text = arg_string(op);
    if (text == NULL || op->in_len)
        return -EINVAL;
    if (*text == '\0')
        return 0;
    if (!parse_number(text, UINT32_MAX, depth) || (op->s->path.special && *depth != 1))
        return -EINVAL;
    ++*depth;
    return 0;
}

int op_watch(struct op *op)
{
    char by_path[KEY_ROOM], by_conn[KEY_ROOM];
    const struct path *p = &op->s->path;
    const char *token;
    struct entry *w;
    uint64_t depth;
    size_t len;

    if (arg_path(op, true) || (token = arg_string(op)) == NULL || strlen(token) > TOKEN_MAX ||
        arg_depth(op, &depth))
        return -EINVAL;
    len = watch_keys(op, token, by_path, by_conn);
    if (map_find(op->a, op->st->root[ROOT_WATCHES], by_path, len))
        return -EEXIST;
    map_put(op->a, &op->st->root[ROOT_WATCHERS], by_conn, len, watch_bytes(len));
    if (quota_exceeded(op, QUOTA_WATCHES,
                       map_count_prefix(op->a, op->st->root[ROOT_WATCHERS], by_conn, 4)))
        return -E2BIG;
    w = map_put(op->a, &op->st->root[ROOT_WATCHES], by_path, len, 1);
    w->word[0] = op->who.domain | (p->relative ? WATCH_RELATIVE : 0);
    w->word[1] = depth;
    op->st->nr_depths += depth != 0 && !p->special;
    reply(op);
    send(op, w, p->len, p->s, p->len);
    return 0;
}

/* Out of the map by path, and out of what is counted. False: it is not there. */
static bool forget(struct op *op, const char *by_path, size_t len)
{
    const struct entry *w = map_find(op->a, op->st->root[ROOT_WATCHES], by_path, len);

    if (w == NULL)
        return false;
    op->st->nr_depths -= w->word[1] != 0 && by_path[0] != '@';
    return map_remove(op->a, &op->st->root[ROOT_WATCHES], by_path, len);
}

int op_unwatch(struct op *op)
{
    char by_path[KEY_ROOM], by_conn[KEY_ROOM];
    const char *token;
    size_t len;

    if (arg_path(op, true) || (token = arg_string(op)) == NULL || strlen(token) > TOKEN_MAX)
        return -EINVAL;
    len = watch_keys(op, token, by_path, by_conn);
    if (!forget(op, by_path, len))
        return -ENOENT;
    map_remove(op->a, &op->st->root[ROOT_WATCHERS], by_conn, len);
    return 0;
}

bool watch_remove_some(struct op *op, uint32_t conn, unsigned int *left)
{
    char prefix[4], by_path[KEY_ROOM];
    struct entry *e;

    key32(prefix, conn);
    while ((e = map_above(op->a, op->st->root[ROOT_WATCHERS], prefix, 4, true)) != NULL &&
           key_has_prefix(e, prefix, 4)) {
        size_t path_len = strlen(e->key + 4) + 1;

        if ((*left)-- == 0)
            return false;
        memcpy(by_path, e->key + 4, path_len);
        memcpy(by_path + path_len, prefix, 4);
        memcpy(by_path + path_len + 4, e->key + 4 + path_len, e->key_len - 4 - path_len);
        forget(op, by_path, e->key_len);
        map_remove(op->a, &op->st->root[ROOT_WATCHERS], e->key, e->key_len);
    }
    return true;
}

void watch_remove_all(struct op *op, uint32_t conn)
{
    unsigned int all = UINT_MAX;

    watch_remove_some(op, conn, &all);
}
