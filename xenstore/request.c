/*
 * Requests. Each is a step that ends with an answer in the sender's queue; if it fails, it is
 * forgotten, and a second step has the error in it.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Memory that steps leave alone but those that free some, and errors. */
enum { KEEP_SLABS = 4 };

/* ---- arguments, answers ---- */

const char *arg_string(struct op *op)
{
    const char *s = op->in, *end = op->in_len ? memchr(s, '\0', op->in_len) : NULL;

    if (end == NULL)
        return NULL;
    op->in_len -= (size_t)(end + 1 - s);
    op->in = end + 1;
    return s;
}

bool parse_number(const char *s, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;

    if (*s == '\0')
        return false;
    for (; *s; s++) {
        unsigned int digit = (unsigned int)(*s - '0');

        if (digit > 9 || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return true;
}

static bool path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-/_@", c));
}

int arg_path(struct op *op, bool special)
{
    struct path *p = &op->s->path;
    const char *arg = arg_string(op);
    size_t len = arg ? strlen(arg) : 0, head = 0;

    p->len = 0;
    p->special = len && *arg == '@' && special;
    p->relative = len && *arg != '/' && !p->special;
    if (len == 0 || (*arg == '@' && !special) ||
        len > (p->relative ? XENSTORE_REL_PATH_MAX : XENSTORE_ABS_PATH_MAX))
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (!path_char(arg[i]) || (arg[i] == '/' && arg[i + 1] == '/'))
            return -EINVAL;
    if (len > 1 && arg[len - 1] == '/')
        return -EINVAL;
    if (p->relative)
        head = (size_t)snprintf(p->s, sizeof(p->s), "/local/domain/%u/", op->who.domain);
    memcpy(p->s + head, arg, len + 1);
    p->len = head + len;
    return 0;
}

/* The only argument. */
static int arg_path_only(struct op *op)
{
    int rc = arg_path(op, false);

    return rc == 0 && op->in_len ? -EINVAL : rc;
}

int out_add(struct op *op, const void *bytes, size_t len)
{
    if (len > sizeof(op->s->out) - op->out_len)
        return -E2BIG;
    memcpy(op->s->out + op->out_len, bytes, len);
    op->out_len += len;
    return 0;
}

int out_printf(struct op *op, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return out_add(op, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void reply(struct op *op)
{
    if (op->out_len == 0)
        out_add(op, "OK", 3);
    message(op, op->conn, op->h.type, op->h.req_id, op->h.tx_id, op->s->out, op->out_len, NULL, 0);
    op->replied = true;
}

/* An answer that may be empty. */
static int answer(struct op *op, const void *bytes, size_t len)
{
    message(op, op->conn, op->h.type, op->h.req_id, op->h.tx_id, bytes, len, NULL, 0);
    op->replied = true;
    return 0;
}

/* ---- nodes ---- */

static int op_read(struct op *op)
{
    struct entry *node;
    struct blob *value;
    int rc = arg_path_only(op);

    if (rc == 0)
        rc = tree_get(op, RIGHT_READ, ACCESS_VALUE, &node);
    if (rc)
        return rc;
    if (node->ref[NODE_VALUE] == 0)
        return answer(op, NULL, 0);
    value = arena_at(op->a, node->ref[NODE_VALUE]);
    return answer(op, value->bytes, value->len);
}

static int op_write(struct op *op)
{
    int rc = arg_path(op, false);

    return rc ? rc : tree_write(op, op->in, op->in_len);
}

static int op_mkdir(struct op *op)
{
    int rc = arg_path_only(op);

    return rc ? rc : tree_mkdir(op);
}

static int op_rm(struct op *op)
{
    int rc = arg_path_only(op);

    return rc ? rc : tree_remove(op);
}

static int add_name(struct op *op, const struct entry *child)
{
    int rc = out_add(op, child->key, child->key_len);

    return rc ? rc : out_add(op, "", 1);
}

static int op_directory(struct op *op)
{
    struct entry *node, *child;
    ref_t children;
    int rc = arg_path_only(op);

    if (rc == 0)
        rc = tree_get(op, RIGHT_READ, ACCESS_CHILDREN, &node);
    if (rc)
        return rc;
    children = node->ref[NODE_CHILDREN];
    if (map_sum(op->a, children) > XENSTORE_PAYLOAD_MAX)
        return -E2BIG;
    for (child = map_above(op->a, children, "", 0, true); child && rc == 0;
         child = map_above(op->a, children, child->key, child->key_len, false))
        rc = add_name(op, child);
    return rc ? rc : answer(op, op->s->out, op->out_len);
}

/* Names from the offset on, as many as fit; behind the last of all, or there is none, an empty one. */
static int op_directory_part(struct op *op)
{
    struct entry *node, *child;
    const char *text;
    uint64_t offset;
    uint32_t inside = 0;
    ref_t children;
    int rc = arg_path(op, false);

    if (rc)
        return rc;
    text = arg_string(op);
    if (text == NULL || op->in_len || !parse_number(text, UINT32_MAX, &offset))
        return -EINVAL;
    rc = tree_get(op, RIGHT_READ, ACCESS_CHILDREN | ACCESS_VALUE, &node);
    if (rc)
        return rc;
    children = node->ref[NODE_CHILDREN];
    if (offset > map_sum(op->a, children))
        offset = map_sum(op->a, children); /* it has become shorter: the generation says so */
    out_printf(op, "%llu", (unsigned long long)node->word[NODE_GENERATION]);
    out_add(op, "", 1);
    child = map_at(op->a, children, (uint32_t)offset, &inside);
    if (child) {
        size_t left = child->weight - inside;

        if (inside && left > sizeof(op->s->out) - op->out_len)
            return -E2BIG;
        if (inside) { /* the rest of a name */
            out_add(op, child->key + inside, child->key_len - inside);
            out_add(op, "", 1);
            child = map_above(op->a, children, child->key, child->key_len, false);
        }
    }
    while (child && child->weight + 1u <= sizeof(op->s->out) - op->out_len) {
        add_name(op, child);
        child = map_above(op->a, children, child->key, child->key_len, false);
    }
    if (child == NULL)
        out_add(op, "", 1);
    return answer(op, op->s->out, op->out_len);
}

/* ---- permissions ---- */

static const char right_letters[] = { 'n', 'r', 'w', 'b' };

static bool known_special(const char *path)
{
    return strcmp(path, "@introduceDomain") == 0 || strcmp(path, "@releaseDomain") == 0;
}

static int show_perms(struct op *op, const struct perms *p)
{
    int rc = 0;

    for (uint32_t i = 0; i < p->nr && rc == 0; i++) {
        rc = out_printf(op, "%c%u", right_letters[p->perm[i].rights], p->perm[i].domain);
        if (rc == 0)
            rc = out_add(op, "", 1);
    }
    return rc;
}

static int op_get_perms(struct op *op)
{
    const struct path *p = &op->s->path;
    struct entry *node;
    int rc = arg_path(op, true);

    if (rc || op->in_len)
        return -EINVAL;
    if (!p->special) {
        rc = tree_get(op, RIGHT_READ, ACCESS_PERMS, &node);
        return rc ? rc : show_perms(op, arena_at(op->a, node->ref[NODE_PERMS]));
    }
    if (!known_special(p->s))
        return -EINVAL;
    if (!op->who.privileged)
        return -EACCES;
    node = map_find(op->a, op->st->root[ROOT_SPECIALS], p->s, p->len);
    if (node == NULL)
        return out_add(op, "n0", 3);
    return show_perms(op, arena_at(op->a, node->ref[NODE_PERMS]));
}

static bool parse_perm(const char *text, struct perm *perm)
{
    const char *letter = *text ? memchr(right_letters, *text, sizeof(right_letters)) : NULL;
    uint64_t domain;

    if (letter == NULL || !parse_number(text + 1, 65535, &domain))
        return false;
    *perm = (struct perm){ (uint16_t)domain, (uint16_t)(letter - right_letters) };
    return true;
}

static int op_set_perms(struct op *op)
{
    const struct path *p = &op->s->path;
    struct perm perm[PERMS_MAX];
    struct entry *special;
    struct perms *perms;
    const char *text;
    size_t nr = 0;

    if (arg_path(op, true))
        return -EINVAL;
    while (op->in_len) {
        text = arg_string(op);
        if (text == NULL || nr == PERMS_MAX || !parse_perm(text, &perm[nr++]))
            return -EINVAL;
    }
    if (nr == 0)
        return -EINVAL;
    if (!p->special)
        return tree_set_perms(op, perm, nr);
    if (!known_special(p->s))
        return -EINVAL;
    if (!op->who.privileged)
        return -EACCES;
    special = map_put(op->a, &op->st->root[ROOT_SPECIALS], p->s, p->len, 1);
    perms = perms_new(op, nr, &special->ref[NODE_PERMS]);
    memcpy(perms->perm, perm, nr * sizeof(*perm));
    return 0;
}

/* ---- transactions ---- */

static int op_transaction_start(struct op *op)
{
    struct tx *tx;
    uint32_t id;
    char key[4];

    if (op->h.tx_id)
        return -EBUSY;
    do
        id = (uint32_t)++op->st->next_tx;
    while (id == 0 || tx_find(op, op->conn, id));
    tx = tx_new(op, op->conn, id);
    tx->base = tx->work = op->st->root[ROOT_TREE];
    if (quota_exceeded(op, QUOTA_TRANSACTIONS,
                       map_count_prefix(op->a, op->st->root[ROOT_TX], key, key32(key, op->conn))))
        return -ENOSPC;
    out_printf(op, "%u", id);
    return out_add(op, "", 1);
}

static int op_transaction_end(struct op *op)
{
    const char *what = arg_string(op);
    struct tx *tx;
    int rc;

    if (what == NULL || op->in_len || (strcmp(what, "T") != 0 && strcmp(what, "F") != 0))
        return -EINVAL;
    tx = tx_find(op, op->conn, op->h.tx_id);
    if (tx == NULL)
        return -ENOENT;
    if (*what == 'T') {
        rc = tx->outdated ? -EAGAIN : tx_apply(op, tx);
        if (rc)
            return rc;
    }
    tx_remove(op, op->conn, op->h.tx_id);
    return 0;
}

static int op_reset_watches(struct op *op)
{
    watch_remove_all(op, op->conn);
    tx_remove_all(op, op->conn);
    return 0;
}

/* ---- all of them ---- */

enum {
    IN_TX = 1,
    PRIVILEGED = 2,
    FREES = 4,
    TEXT = 8,     /* the answer gets its final zero */
    CHANGES = 16, /* the tree */
};

static const struct request {
    const char *name;
    int (*fn)(struct op *op);
    unsigned int flags;
} requests[XS_TYPE_COUNT] = {
    [XS_CONTROL] = { "control", op_control, PRIVILEGED },
    [XS_DIRECTORY] = { "directory", op_directory, IN_TX },
    [XS_READ] = { "read", op_read, IN_TX },
    [XS_GET_PERMS] = { "get_perms", op_get_perms, IN_TX },
    [XS_WATCH] = { "watch", op_watch, 0 },
    [XS_UNWATCH] = { "unwatch", op_unwatch, FREES },
    [XS_TRANSACTION_START] = { "transaction_start", op_transaction_start, 0 },
    [XS_TRANSACTION_END] = { "transaction_end", op_transaction_end, FREES },
    [XS_INTRODUCE] = { "introduce", op_introduce, PRIVILEGED },
    [XS_RELEASE] = { "release", op_release, PRIVILEGED | FREES },
    [XS_GET_DOMAIN_PATH] = { "get_domain_path", op_get_domain_path, TEXT },
    [XS_WRITE] = { "write", op_write, IN_TX | CHANGES },
    [XS_MKDIR] = { "mkdir", op_mkdir, IN_TX | CHANGES },
    [XS_RM] = { "rm", op_rm, IN_TX | FREES | CHANGES },
    [XS_SET_PERMS] = { "set_perms", op_set_perms, IN_TX | CHANGES },
    [XS_IS_DOMAIN_INTRODUCED] = { "is_domain_introduced", op_is_domain_introduced,
                                  PRIVILEGED | TEXT },
    [XS_RESUME] = { "resume", op_resume, PRIVILEGED },
    [XS_SET_TARGET] = { "set_target", op_set_target, PRIVILEGED },
    [XS_RESET_WATCHES] = { "reset_watches", op_reset_watches, FREES },
    [XS_DIRECTORY_PART] = { "directory_part", op_directory_part, IN_TX },
};

static const struct request *request_of(const struct xsd_sockmsg *h)
{
    return h->type < XS_TYPE_COUNT && requests[h->type].fn ? &requests[h->type] : NULL;
}

struct asked {
    uint32_t conn;
    const struct xsd_sockmsg *h;
    const void *payload;
    uint32_t taken; /* of its ring */
    int error;      /* of the first step, and the quota that was hit in it */
    int hit;
    domid_t hit_domain;
    int released; /* by XS_RELEASE; -1: nobody */
};

/* Who asks, and in which transaction. 0, -ENOENT there is no such one. */
static int enter(struct op *op, const struct asked *asked)
{
    const struct request *r = request_of(asked->h);
    struct entry *c;
    struct tx *tx;
    char key[4];

    op->conn = asked->conn;
    op->h = *asked->h;
    op->in = asked->payload;
    op->in_len = op->h.len;
    if (asked->taken)
        ring_taken(op, op->conn, asked->taken);
    c = map_find(op->a, op->st->root[ROOT_CONNS], key, key32(key, op->conn));
    op->who = who_is(op, conn_domain(op->conn, c));
    if (r == NULL || !(r->flags & IN_TX) || op->h.tx_id == 0)
        return 0;
    tx = tx_find(op, op->conn, op->h.tx_id);
    if (tx == NULL)
        return -ENOENT;
    op->outdated = tx->outdated;
    if (op->outdated)
        return 0;
    op->tx = tx_edit(op, op->conn, op->h.tx_id);
    op->tree = &op->tx->work;
    return 0;
}

static uint32_t keep_slabs(const struct store *s, const struct op *op)
{
    const struct request *r = request_of(&op->h);

    if (!op->who.privileged)
        return s->a.nr_slabs / KEEP_FROM_DOMAINS;
    return r && (r->flags & FREES) ? KEEP_SLABS / 2 : KEEP_SLABS;
}

static int do_request(struct op *op)
{
    const struct request *r = request_of(&op->h);
    int rc;

    if (r == NULL)
        return -ENOSYS;
    if ((r->flags & PRIVILEGED) && !op->who.privileged)
        return -EACCES;
    op->s->path.len = 0;
    /* An outdated transaction sees the tree as it is, and whatever it does is as if done: it ends with EAGAIN. */
    rc = op->outdated && (r->flags & CHANGES) ? 0 : r->fn(op);
    if (rc == 0)
        rc = memory_check(op);
    if (rc == 0 && !op->replied) {
        if (r->flags & TEXT)
            out_add(op, "", 1);
        reply(op);
    }
    return rc;
}

static const char *error_name(int error)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (xsd_errors[i].errnum == error)
            return xsd_errors[i].errstring;
    return "EINVAL";
}

static int perform(struct op *op, void *arg)
{
    struct asked *asked = arg;
    int rc = enter(op, asked);

    op->a->keep_slabs = keep_slabs(op->s, op);
    if (rc == 0)
        rc = do_request(op);
    asked->hit = op->hit;
    asked->hit_domain = op->hit_domain;
    return rc;
}

/*
 * The transaction knows now that this is not there: from what is closest above it on. A refusal tells it
 * nothing, so that it neither costs memory nor shows, as a conflict, that what it may not see has changed.
 */
static int note_absence(struct op *op)
{
    const struct path *p = &op->s->path;
    size_t above = p->len;
    int rc;

    node_nearest(op->a, *op->tree, p->s, &above);
    rc = tx_note(op, p->s, above, ACCESS_PERMS);
    if (rc == 0)
        rc = tx_note(op, p->s, p->len, ACCESS_VALUE | ACCESS_PERMS);
    if (rc == 0 && op->h.type == XS_RM)
        rc = tx_note(op, p->s, path_parent(p->s, p->len), ACCESS_PERMS);
    return rc;
}

/*
 * What a failed request leaves behind: its error; a hit quota; what the transaction knows by it. Fails
 * if that cannot be noted: asked's error must become another then.
 */
static int fail(struct op *op, void *arg)
{
    struct asked *asked = arg;
    const struct path *p = &op->s->path;
    const char *name = error_name(asked->error);
    int rc;

    enter(op, asked);
    if (op->tx && p->len && !p->special && asked->error == ENOENT) {
        op->a->keep_slabs = keep_slabs(op->s, op);
        rc = note_absence(op);
        if (rc == 0)
            rc = memory_check(op);
        op->a->keep_slabs = 0;
        if (rc) {
            asked->hit = op->hit;
            asked->hit_domain = op->hit_domain;
            return rc;
        }
    }
    if (asked->hit == QUOTA_MEMORY || asked->hit == QUOTA_MEMORY_SHARE)
        memory_count(op, 0); /* as the refused step did: the next one need not */
    if (asked->hit != NO_QUOTA)
        quota_hit(op, asked->hit_domain, asked->hit);
    if (op->h.type == XS_TRANSACTION_END && asked->error != EINVAL)
        tx_remove(op, op->conn, op->h.tx_id);
    message(op, op->conn, XS_ERROR, op->h.req_id, op->h.tx_id, name, strlen(name) + 1, NULL, 0);
    return 0;
}

static void log_request(struct store *s, const struct asked *asked)
{
    const struct request *r = request_of(asked->h);
    const struct path *p = &s->path;

    if (s->log_requests)
        say(s, "connection %x tx %x: %s %.*s: %s", asked->conn, asked->h->tx_id, r ? r->name : "?",
            p->len > 200 ? 200 : (int)p->len, p->s, asked->error ? error_name(asked->error) : "OK");
}

/* Whom a RELEASE is to release that only lacks memory. Always -ECANCELED: that changes nothing. */
static int look_whom(struct op *op, void *arg)
{
    struct asked *asked = arg;
    domid_t domain;

    enter(op, asked);
    if (op->who.privileged && arg_domain(op, &domain) == 0 && domain &&
        store_introduced(op->s, domain))
        asked->released = domain;
    return -ECANCELED;
}

/* Returns whether the request may do better now. */
static bool release_by_pieces(struct store *s, struct asked *asked)
{
    return asked->h->type == XS_RELEASE && step(s, 0, look_whom, asked) == -ECANCELED &&
           asked->released > 0 && remove_by_pieces(s, (uint32_t)asked->released, true) == 0;
}

int request(struct store *s, uint32_t conn, const struct xsd_sockmsg *h, const void *payload,
            uint32_t taken)
{
    struct asked asked = { conn, h, payload, taken, 0, NO_QUOTA, 0, -1 };
    int rc;

    if (h->len > XENSTORE_PAYLOAD_MAX)
        return -E2BIG;
    s->path.len = 0;
    asked.error = -step(s, 0, perform, &asked);
    if (asked.error == ENOMEM && release_by_pieces(s, &asked))
        asked.error = -step(s, 0, perform, &asked);
    rc = asked.error ? step(s, 0, fail, &asked) : 0;
    if (rc && asked.error == ENOENT) {
        asked.error = -rc;
        rc = step(s, 0, fail, &asked);
    }
    log_request(s, &asked);
    return rc;
}

int store_request(struct store *s, uint32_t conn, const struct xsd_sockmsg *h, const void *payload)
{
    return request(s, conn, h, payload, 0);
}

/* ---- output ---- */

static struct entry *first_message(struct store *s, uint32_t conn)
{
    struct state *st = arena_at(&s->a, arena_root(&s->a));
    struct entry *e;
    char key[4];

    e = map_above(&s->a, st->root[ROOT_QUEUE], key, key32(key, conn), true);
    return e && key_has_prefix(e, key, 4) ? e : NULL;
}

size_t store_output(struct store *s, uint32_t conn, const void **bytes)
{
    const struct entry *e = first_message(s, conn);
    const struct blob *b;

    if (e == NULL)
        return 0;
    b = arena_at(&s->a, e->ref[0]);
    *bytes = b->bytes + e->word[0];
    return b->len - e->word[0];
}

uint32_t store_output_waiting(struct store *s, uint32_t conn)
{
    struct state *st = arena_at(&s->a, arena_root(&s->a));
    char key[4];

    return map_sum_prefix(&s->a, st->root[ROOT_QUEUE], key, key32(key, conn));
}

struct sent {
    uint32_t conn;
    size_t bytes;
};

void output_sent(struct op *op, uint32_t conn, size_t bytes)
{
    const struct entry *e = first_message(op->s, conn);
    const struct blob *b = arena_at(op->a, e->ref[0]);

    if (bytes < b->len - e->word[0])
        map_put(op->a, &op->st->root[ROOT_QUEUE], e->key, e->key_len, 1)->word[0] += bytes;
    else
        map_remove(op->a, &op->st->root[ROOT_QUEUE], e->key, e->key_len);
}

static int sent(struct op *op, void *arg)
{
    const struct sent *sent = arg;

    output_sent(op, sent->conn, sent->bytes);
    return 0;
}

int store_output_done(struct store *s, uint32_t conn, size_t bytes)
{
    struct sent what = { conn, bytes };

    return step(s, 0, sent, &what);
}

/* ---- connections, beginning, end ---- */

struct connecting {
    uint32_t conn;
    domid_t domain;
};

static int connect_conn(struct op *op, void *arg)
{
    const struct connecting *c = arg;
    char key[4];

    key32(key, c->conn);
    map_put(op->a, &op->st->root[ROOT_CONNS], key, 4, 1)->word[0] = c->domain;
    return 0;
}

int store_connect(struct store *s, uint32_t conn, domid_t domain)
{
    struct connecting c = { conn, domain };

    return step(s, KEEP_SLABS, connect_conn, &c);
}

static int disconnect(struct op *op, void *arg)
{
    conn_remove(op, *(uint32_t *)arg);
    return 0;
}

int store_disconnect(struct store *s, uint32_t conn)
{
    int rc = step(s, 0, disconnect, &conn);

    if (rc == -ENOMEM && remove_by_pieces(s, conn, false) == 0)
        rc = step(s, 0, disconnect, &conn);
    return rc;
}

/* The first step: there is a tree. */
static int begin(struct op *op, void *unused)
{
    (void)unused;
    if (op->old == NULL)
        tree_make(op);
    return 0;
}

/* What did not outlive the program is forgotten. */
static int disconnect_others(struct store *s)
{
    int rc = step(s, 0, begin, NULL);
    const struct entry *e;
    char key[4];

    key32(key, STORE_CONN_OTHER);
    while (rc == 0) {
        const struct state *st = arena_at(&s->a, arena_root(&s->a));

        e = map_above(&s->a, st->root[ROOT_CONNS], key, 4, true);
        if (e == NULL)
            break;
        rc = store_disconnect(s, key32_read(e->key));
    }
    return rc;
}

struct store *store_open(void *region, size_t len, const struct store_hooks *hooks)
{
    struct store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    if (!arena_open(&s->a, region, len)) {
        free(s);
        return NULL;
    }
    s->hooks = *hooks;
    s->a.no_memory = &s->no_memory;
    if (disconnect_others(s)) {
        store_close(s);
        errno = ENOMEM;
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    arena_close(&s->a);
    free(s->scratch);
    free(s->woken);
    free(s);
}

bool store_check(struct store *s)
{
    arena_settle(&s->a);
    return arena_check(&s->a) && memory_audit(&s->a);
}
