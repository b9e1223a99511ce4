/* Domains: what the store knows of them, and what goes with them. */
#include "internal.h"

/* The record of an introduced domain; NULL: it is not. */
static struct entry *introduced(const struct op *op, domid_t domain)
{
    struct entry *d;
    char key[2];

    d = map_find(op->a, op->st->root[ROOT_DOMAINS], key, key16(key, domain));
    return d && (d->word[0] & DOMAIN_INTRODUCED) ? d : NULL;
}

static struct entry *edit(struct op *op, domid_t domain)
{
    char key[2];

    return map_put(op->a, &op->st->root[ROOT_DOMAINS], key, key16(key, domain), 0);
}

void conn_reset(struct op *op, uint32_t conn)
{
    char key[4];

    key32(key, conn);
    watch_remove_all(op, conn);
    tx_remove_all(op, conn);
    map_remove_prefix(op->a, &op->st->root[ROOT_QUEUE], key, 4);
}

void conn_remove(struct op *op, uint32_t conn)
{
    char key[4];

    conn_reset(op, conn);
    map_remove(op->a, &op->st->root[ROOT_CONNS], key, key32(key, conn));
}

static void set_target(struct op *op, domid_t domain, uint64_t plus_1)
{
    char key[2];

    map_weigh(op->a, &op->st->root[ROOT_DOMAINS], key, key16(key, domain), plus_1 != 0)->word[1] =
        plus_1;
}

/* Nobody acts for it any more: its id may be another's soon. Those that act for somebody are known by their weight. */
static void untarget(struct op *op, domid_t target)
{
    uint32_t at = 0, inside;

    while (at < map_sum(op->a, op->st->root[ROOT_DOMAINS])) {
        const struct entry *d = map_at(op->a, op->st->root[ROOT_DOMAINS], at, &inside);

        if (d->word[1] == target + 1u)
            set_target(op, (domid_t)((uint8_t)d->key[0] << 8 | (uint8_t)d->key[1]), 0);
        else
            at++;
    }
}

void domain_remove(struct op *op, domid_t domain)
{
    char key[2];

    key16(key, domain);
    conn_remove(op, domain);
    untarget(op, domain);
    tree_remove_owned(op, domain);
    map_put(op->a, &op->st->root[ROOT_RELEASED], key, 2, 1)->word[0] = ++op->st->generation;
    map_remove(op->a, &op->st->root[ROOT_DOMAINS], key, 2);
    map_remove_prefix(op->a, &op->st->root[ROOT_QUOTAS], key, 2);
    map_remove_prefix(op->a, &op->st->root[ROOT_HITS], key, 2);
    watch_fire_special(op, "@releaseDomain", domain);
}

/* ---- in pieces ---- */

enum { PIECE = 8 };

struct removal {
    uint32_t conn;
    bool domain;
    bool all; /* nothing is left of it */
};

static bool remove_some(struct arena *a, ref_t *map, const char *prefix, unsigned int *left)
{
    struct entry *e;

    while ((e = map_above(a, *map, prefix, 4, true)) != NULL && key_has_prefix(e, prefix, 4)) {
        if ((*left)-- == 0)
            return false;
        map_remove(a, map, e->key, e->key_len);
    }
    return true;
}

/* What holds the most memory first. */
static int remove_piece(struct op *op, void *arg)
{
    struct removal *r = arg;
    unsigned int left = PIECE;
    char key[4];

    key32(key, r->conn);
    r->all = tx_remove_some(op, r->conn, &left) &&
             remove_some(op->a, &op->st->root[ROOT_QUEUE], key, &left) &&
             watch_remove_some(op, r->conn, &left) &&
             (!r->domain || tree_remove_owned_some(op, (domid_t)r->conn, &left));
    return 0;
}

int remove_by_pieces(struct store *s, uint32_t conn, bool domain)
{
    struct removal r = { conn, domain, false };
    int rc = 0;

    while (rc == 0 && !r.all)
        rc = step(s, 0, remove_piece, &r);
    return rc;
}

/* ---- requests ---- */

int arg_domain(struct op *op, domid_t *domain)
{
    const char *text = arg_string(op);
    uint64_t value;

    if (text == NULL || !parse_number(text, 65535, &value))
        return -EINVAL;
    *domain = (domid_t)value;
    return 0;
}

/* Signed decimal: "in signed decimal (!)", says the specification. */
static bool arg_gfn(struct op *op, uint64_t *gfn)
{
    const char *text = arg_string(op);

    if (text == NULL)
        return false;
    if (text[0] != '-')
        return parse_number(text, UINT64_MAX, gfn);
    if (!parse_number(text + 1, INT64_MAX, gfn))
        return false;
    *gfn = -*gfn;
    return true;
}

int op_introduce(struct op *op)
{
    struct store_hooks *hooks = &op->s->hooks;
    struct store_place place;
    const char *port;
    struct entry *d, *c;
    char key[4];
    domid_t domain;
    int rc;

    if (arg_domain(op, &domain) || !arg_gfn(op, &place.gfn) || (port = arg_string(op)) == NULL ||
        !parse_number(port, UINT32_MAX, &place.port))
        return -EINVAL;
    if (domain == 0 || domain >= DOMID_FIRST_RESERVED)
        return -EINVAL;
    d = introduced(op, domain);
    /* Again: who has missed it is told. If its ring is elsewhere now, nothing is left of the old one. */
    if (d == NULL ||
        memcmp(((struct blob *)arena_at(op->a, d->ref[0]))->bytes, &place, sizeof(place)) != 0) {
        d = edit(op, domain);
        d->word[0] |= DOMAIN_INTRODUCED;
        d->ref[0] = blob_new(op->a, &place, sizeof(place));
        conn_remove(op, domain);
        c = map_put(op->a, &op->st->root[ROOT_CONNS], key, key32(key, domain), 1);
        c->word[0] = domain;
    }
    watch_fire_special(op, "@introduceDomain", domain);
    reply(op); /* what is left cannot fail, but for the hook */
    if (hooks->introduce) {
        rc = hooks->introduce(hooks->arg, domain, place.gfn, (evtchn_port_t)place.port);
        if (rc)
            return rc;
    }
    return 0;
}

int op_release(struct op *op)
{
    struct store_hooks *hooks = &op->s->hooks;
    domid_t domain;

    if (arg_domain(op, &domain) || domain == 0)
        return -EINVAL;
    if (!introduced(op, domain))
        return -ENOENT;
    domain_remove(op, domain);
    reply(op);
    if (hooks->release)
        hooks->release(hooks->arg, domain);
    return 0;
}

int op_resume(struct op *op)
{
    domid_t domain;

    if (arg_domain(op, &domain))
        return -EINVAL;
    if (!introduced(op, domain))
        return -ENOENT;
    edit(op, domain)->word[0] &= ~(uint64_t)DOMAIN_SHUTDOWN;
    return 0;
}

int op_set_target(struct op *op)
{
    domid_t domain, target;

    if (arg_domain(op, &domain) || arg_domain(op, &target))
        return -EINVAL;
    if (!introduced(op, domain) || !introduced(op, target))
        return -ENOENT;
    set_target(op, domain, target + 1u);
    return 0;
}

int op_get_domain_path(struct op *op)
{
    domid_t domain;
    int rc = arg_domain(op, &domain);

    return rc ? rc : out_printf(op, "/local/domain/%u", domain);
}

int op_is_domain_introduced(struct op *op)
{
    domid_t domain;
    int rc = arg_domain(op, &domain);

    return rc ? rc : out_printf(op, "%s", domain == 0 || introduced(op, domain) ? "T" : "F");
}

/* ---- what the hypervisor says ---- */

bool store_introduced(struct store *s, domid_t domain)
{
    struct state *st = arena_at(&s->a, arena_root(&s->a));
    struct entry *d;
    char key[2];

    d = map_find(&s->a, st->root[ROOT_DOMAINS], key, key16(key, domain));
    return d && (d->word[0] & DOMAIN_INTRODUCED);
}

int store_introduced_above(struct store *s, int domain, struct store_place *place)
{
    struct state *st = arena_at(&s->a, arena_root(&s->a));
    const struct entry *d;
    char key[2];

    d = map_above(&s->a, st->root[ROOT_DOMAINS], key, key16(key, (domid_t)domain), false);
    while (d && !(d->word[0] & DOMAIN_INTRODUCED))
        d = map_above(&s->a, st->root[ROOT_DOMAINS], d->key, d->key_len, false);
    if (d == NULL)
        return 0;
    memcpy(place, ((struct blob *)arena_at(&s->a, d->ref[0]))->bytes, sizeof(*place));
    return (unsigned char)d->key[0] << 8 | (unsigned char)d->key[1];
}

static int shut_down(struct op *op, void *arg)
{
    domid_t domain = *(domid_t *)arg;
    struct entry *d = introduced(op, domain);

    if (d && !(d->word[0] & DOMAIN_SHUTDOWN)) {
        edit(op, domain)->word[0] |= DOMAIN_SHUTDOWN;
        watch_fire_special(op, "@releaseDomain", domain);
    }
    return 0;
}

static int gone(struct op *op, void *arg)
{
    domid_t domain = *(domid_t *)arg;

    if (introduced(op, domain))
        domain_remove(op, domain);
    return 0;
}

int store_domain_shutdown(struct store *s, domid_t domain)
{
    return step(s, 0, shut_down, &domain);
}
int store_domain_gone(struct store *s, domid_t domain)
{
    int rc = step(s, 0, gone, &domain);

    if (rc == -ENOMEM && remove_by_pieces(s, domain, true) == 0)
        rc = step(s, 0, gone, &domain);
    return rc;
}
