/*
 * The store with connections that are asked by strings: for tests/unit/test_store*.c and
 * tests/fuzz/fuzz_store.c.
 */
#pragma once
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../xenstore/internal.h"

#ifndef REGION_BYTES
#define REGION_BYTES (2u << 20)
#endif
enum { D0 = STORE_CONN_OTHER };

static size_t region_bytes = REGION_BYTES; /* of the next machine */
static uint8_t *region;
static struct store *store;
static char events[16384]; /* "CONN path token;" of all that were read, in order */
static char answer[8192];  /* the last, without the final zero; inner zeros are '|' */
static size_t answer_len;  /* with all its zeros */
static uint32_t answer_type;
static char log_last[400];
static unsigned int log_lines, closed, introduce_calls, release_calls;
static int introduce_error;
static bool takes_answers; /* they are not to wait in the region */
static unsigned int answers_taken;

static void on_log(void *arg, const char *line)
{
    snprintf(log_last, sizeof(log_last), "%s", line);
    log_lines++;
}
static void on_close(void *arg, uint32_t conn) { closed++; }
static int on_introduce(void *arg, domid_t domain, uint64_t gfn, evtchn_port_t port)
{
    introduce_calls++;
    return introduce_error;
}
static void on_release(void *arg, domid_t domain) { release_calls++; }

/* A message, to where its kind goes. */
static void arrived(uint32_t conn, const void *bytes)
{
    struct xsd_sockmsg h;
    const char *payload;
    size_t at;

    memcpy(&h, bytes, sizeof(h));
    payload = (const char *)bytes + sizeof(h);
    if (h.type == XS_WATCH_EVENT) {
        at = strlen(events);
        snprintf(events + at, sizeof(events) - at, "%x %s %s;", conn, payload,
                 payload + strlen(payload) + 1);
    } else {
        answer_type = h.type;
        answer_len = h.len;
        memcpy(answer, payload, h.len);
        for (at = 0; at < h.len; at++)
            if (answer[at] == '\0')
                answer[at] = '|';
        answer[h.len] = '\0';
        if (h.len && answer[h.len - 1] == '|')
            answer[h.len - 1] = '\0';
    }
}

static bool on_may_answer(void *arg, uint32_t conn) { return takes_answers; }
static void on_answer(void *arg, uint32_t conn, const void *bytes, size_t len)
{
    answers_taken++;
    arrived(conn, bytes);
}

static const struct store_hooks hooks = { .log = on_log,
                                          .close = on_close,
                                          .may_answer = on_may_answer,
                                          .answer = on_answer,
                                          .introduce = on_introduce,
                                          .release = on_release };

/* One message of those that wait for a connection. False: there is none. */
static bool take(uint32_t conn)
{
    const void *bytes;
    size_t len = store_output(store, conn, &bytes);

    if (len == 0)
        return false;
    arrived(conn, bytes);
    store_output_done(store, conn, len);
    return true;
}

static void take_all(uint32_t conn)
{
    while (take(conn))
        ;
}

/* Returns the answer to a request of exactly these bytes. */
static const char *ask_bytes(uint32_t conn, uint32_t type, uint32_t tx, const void *payload,
                             size_t len)
{
    struct xsd_sockmsg h = { type, 77, tx, (uint32_t)len };
    char *exact = malloc(len); /* so that ASan sees its end */

    memcpy(exact, payload, len);
    answer_type = XS_INVALID;
    snprintf(answer, sizeof(answer), "no answer");
    if (store_request(store, conn, &h, exact))
        snprintf(answer, sizeof(answer), "refused");
    free(exact);
    take_all(conn);
    return answer;
}

/* In text each '|' is a zero byte. */
static const char *ask_in(uint32_t conn, uint32_t type, uint32_t tx, const char *text)
{
    char payload[8192];
    size_t len = strlen(text);

    memcpy(payload, text, len);
    for (size_t i = 0; i < len; i++)
        if (payload[i] == '|')
            payload[i] = '\0';
    return ask_bytes(conn, type, tx, payload, len);
}

static const char *ask(uint32_t conn, uint32_t type, const char *text)
{
    return ask_in(conn, type, 0, text);
}

static inline uint32_t begin_tx(uint32_t conn)
{
    return (uint32_t)strtoul(ask(conn, XS_TRANSACTION_START, "|"), NULL, 10);
}

static inline const char *end_tx(uint32_t conn, uint32_t tx, const char *how)
{
    return ask_in(conn, XS_TRANSACTION_END, tx, how);
}

static void machine_start(void)
{
    region = aligned_alloc(4096, region_bytes);
    memset(region, 0, region_bytes);
    store = store_open(region, region_bytes, &hooks);
    introduce_error = 0;
    takes_answers = false;
    answers_taken = 0;
    events[0] = log_last[0] = '\0';
    log_lines = closed = introduce_calls = release_calls = 0;
    store_connect(store, D0, 0);
}

static void machine_stop(void)
{
    store_close(store);
    free(region);
}

/* A domain with a ring and a home that is its own. */
static inline void introduce(domid_t domain)
{
    char text[100];

    snprintf(text, sizeof(text), "%u|%u|%u|", domain, 1000 + domain, 7);
    ask(D0, XS_INTRODUCE, text);
    snprintf(text, sizeof(text), "/local/domain/%u|", domain);
    ask(D0, XS_MKDIR, text);
    snprintf(text, sizeof(text), "/local/domain/%u|n%u|", domain, domain);
    ask(D0, XS_SET_PERMS, text);
}

/* ---- what must hold of the state, between steps ---- */

#define MUST(condition) ((condition) ? (void)0 : broken(__LINE__, #condition))
static void broken(int line, const char *what)
{
    fprintf(stderr, "store_machine.h:%d: broken: %s\n", line, what);
    abort();
}

/* A map is sorted, balanced and adds up. Returns its height. */
static unsigned int audit_map(const struct arena *a, ref_t map)
{
    const struct entry *e = entry_at(a, map), *l, *r;
    unsigned int left, right;

    if (e == NULL)
        return 0;
    l = entry_at(a, e->left);
    r = entry_at(a, e->right);
    left = audit_map(a, e->left);
    right = audit_map(a, e->right);
    MUST(e->height == (left > right ? left : right) + 1);
    MUST(left <= right + 1 && right <= left + 1);
    MUST(e->sum == map_sum(a, e->left) + map_sum(a, e->right) + e->weight);
    MUST(e->count == (l ? l->count : 0) + (r ? r->count : 0) + 1);
    MUST(l == NULL || map_above(a, e->left, e->key, e->key_len, true) == NULL);
    MUST(r == NULL || map_rank(a, e->right, e->key, e->key_len) == 0);
    return e->height;
}

static uint32_t owned_seen;

static void audit_nodes(const struct arena *a, const struct state *st, const struct entry *node,
                        char *path, size_t len)
{
    const struct perms *p = arena_at(a, node->ref[NODE_PERMS]);
    const struct entry *child;
    char key[PATH_ROOM + 2];

    MUST(node->ref[NODE_PERMS] != 0 && p->nr > 0);
    key16(key, p->perm[0].domain);
    memcpy(key + 2, path, len);
    if (p->perm[0].domain) {
        MUST(map_find(a, st->root[ROOT_OWNED], key, len + 2) != NULL);
        owned_seen++;
    }
    audit_map(a, node->ref[NODE_CHILDREN]);
    for (child = map_above(a, node->ref[NODE_CHILDREN], "", 0, true); child;
         child = map_above(a, node->ref[NODE_CHILDREN], child->key, child->key_len, false)) {
        size_t at = len > 1 ? len + 1 : 1;

        MUST(child->weight == child->key_len + 1);
        MUST(child->word[NODE_GENERATION] <= st->generation);
        path[at - 1] = '/';
        memcpy(path + at, child->key, child->key_len);
        audit_nodes(a, st, child, path, at + child->key_len);
    }
}

/* Of paths: no change of a node is looked for at a special one. */
static uint64_t count_depths(const struct arena *a, ref_t watches)
{
    const struct entry *e = entry_at(a, watches);

    if (e == NULL)
        return 0;
    return (e->word[1] != 0 && e->key[0] != '@') + count_depths(a, e->left) +
           count_depths(a, e->right);
}

static void audit(void)
{
    const struct arena *a = &store->a;
    const struct state *st = arena_at(a, arena_root(a));
    char path[PATH_ROOM] = "/";

    MUST(st->nr_depths == count_depths(a, st->root[ROOT_WATCHES]));

    MUST(store_check(store));
    for (int r = ROOT_TREE + 1; r < NR_ROOTS; r++)
        audit_map(a, st->root[r]);
    owned_seen = 0;
    audit_nodes(a, st, entry_at(a, st->root[ROOT_TREE]), path, 1);
    MUST(owned_seen == map_count_prefix(a, st->root[ROOT_OWNED], "", 0));
    MUST(map_count_prefix(a, st->root[ROOT_WATCHES], "", 0) ==
         map_count_prefix(a, st->root[ROOT_WATCHERS], "", 0));
    for (const struct entry *e = map_above(a, st->root[ROOT_TX], "", 0, true); e;
         e = map_above(a, st->root[ROOT_TX], e->key, e->key_len, false)) {
        audit_map(a, ((struct tx *)arena_at(a, e->ref[0]))->accesses);
        MUST(map_find(a, st->root[ROOT_CONNS], e->key, 4) != NULL);
    }
}

/* ---- a number for the whole state ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    for (const uint8_t *b = bytes; len--; b++)
        hash = (hash ^ *b) * 0x100000001b3;
    return hash;
}

/* What an object holds but references, then what they refer to. */
static uint64_t digest_of(const struct arena *a, ref_t ref, uint64_t hash)
{
    const struct obj *o = arena_at(a, ref);
    const ref_t *refs = (const ref_t *)(o + 1);
    size_t head = sizeof(*o) + o->nr_refs * sizeof(ref_t);

    if (ref == 0)
        return mix(hash, "", 1);
    hash = mix(hash, (const uint8_t *)o + head, o->bytes - head);
    for (unsigned int i = 0; i < o->nr_refs; i++)
        hash = digest_of(a, refs[i], hash);
    return hash;
}

static inline uint64_t digest(const struct arena *a)
{
    return digest_of(a, arena_root(a), 0xcbf29ce484222325);
}
