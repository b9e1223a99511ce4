/*
 * What the parts of the store know of each other.
 *
 * The state is a struct state, whose references are maps (map.h). A step (struct op) begins with a
 * copy of it, which functions change; all else they reach by `old` is as it was before. An error
 * needs no cleaning up: the copy is forgotten.
 */
#pragma once
#include <errno.h>
#include <string.h>

#include "map.h"
#include "store.h"

/* What bounds a domain, by its name in CONTROL's quota; 0 is no bound. Domain 0 has none. */
enum quota {
    QUOTA_NODES,             /* nodes it owns */
    QUOTA_WATCHES,           /* on its connection */
    QUOTA_TRANSACTIONS,      /* open ones of its connection */
    QUOTA_NODE_SIZE,         /* bytes of a value */
    QUOTA_PERMISSIONS,       /* entries of a node's permissions */
    QUOTA_OUTSTANDING,       /* bytes of messages for it that it has not read */
    QUOTA_TRANSACTION_NODES, /* paths that a transaction reads or writes */
    QUOTA_DEPTH,             /* levels of a path that it makes */
    QUOTA_MEMORY,            /* bytes that the store keeps for it: memory.c */
    QUOTA_MEMORY_SOFT,       /* of these, above which there is a line in the log */
    QUOTA_MEMORY_SHARE,      /* of these, where memory is scarce; by default a part of all */
    NR_QUOTAS
};
enum { NO_QUOTA = -1 };

/* The part of all memory that domains leave to domain 0: an eighth. */
enum { KEEP_FROM_DOMAINS = 8 };

/* Keys. Numbers in them are big-endian. Paths are absolute. */
enum root {
    ROOT_TREE,  /* no map: the node "/" */
    ROOT_OWNED, /* owner (2 bytes; not 0), path: the nodes of others than domain 0; weight: bytes */
    ROOT_WATCHES,  /* path, 0, connection (4), token: word[0] flags, word[1] depth + 1, or 0 */
    ROOT_WATCHERS, /* connection (4), path, 0, token: the same watches; weight: bytes of both */
    ROOT_TX,       /* connection (4), id (4): ref[0] a struct tx */
    ROOT_AGES, /* struct tx's replaced (8), connection (4), id (4): domains' transactions with a snapshot */
    ROOT_CONNS, /* connection (4): word[0] domain, word[1] number of its next message */
    ROOT_QUEUE, /* connection (4), number (8): ref[0] a blob, word[0] bytes sent; weight: its length */
    ROOT_DOMAINS, /* domain (2): word[0] DOMAIN_* flags, word[1] target + 1, or 0; ref[0] its ring; weight: 1 with a target */
    ROOT_SPECIALS, /* "@...": ref[NODE_PERMS] */
    ROOT_RELEASED, /* domain (2): word[0] generation when it last went away */
    ROOT_QUOTAS,   /* domain (2), 0xffff for all: word[0], quota (1): word[0] value */
    ROOT_HITS,     /* domain (2), quota (1): word[0] how often it was hit */
    NR_ROOTS
};

struct state {
    struct obj o;
    ref_t root[NR_ROOTS];
    uint64_t generation; /* the last that was given */
    uint64_t next_tx;
    uint64_t nr_depths; /* of watches of paths that have one */
    uint64_t replaced;  /* bytes of the tree that were, since there is one */
};

/* A node: an entry with these. Its weight as a child is the length of its name, plus 1. */
enum { NODE_CHILDREN, NODE_VALUE, NODE_PERMS };     /* ref[] */
enum { NODE_GENERATION, NODE_CHILDREN_GENERATION }; /* word[]: of any change; of the list */
enum { CONN_PARTIAL, CONN_RING };                   /* ref[]: what is read of a request; its ring */
enum { DOMAIN_INTRODUCED = 1, DOMAIN_SHUTDOWN = 2 };
enum { WATCH_RELATIVE = 1 << 16, WATCH_DOMAIN = 0xffff }; /* flags, with the domain */

struct tx {
    struct obj o;
    ref_t base, work; /* its snapshot, and what it has made of that: two trees */
    ref_t accesses;
    uint32_t created;  /* nodes */
    uint64_t sequence; /* of what it wrote */
    uint64_t replaced; /* the state's when it began */
    uint64_t bytes;    /* that only it keeps but for its snapshot, at most: see memory.c */
    bool counted;      /* bytes are what it does keep */
    bool outdated;     /* it lasted too long: it has no trees any more, and ends with EAGAIN */
};
enum { TX_REFS = 3 };

/* Its accesses by path: what it did there. word[0] is these, word[1] when it last wrote. */
enum {
    ACCESS_VALUE = 1, /* its value (or that it is not there) matters */
    ACCESS_PERMS = 2,
    ACCESS_CHILDREN = 4, /* the list of its children does */
    ACCESS_WROTE = 8,
    ACCESS_REMOVED = 16, /* and all below it */
    ACCESS_PARENT = 32,  /* made on the way to what was written */
};

struct blob {
    struct obj o;
    uint32_t len;
    char bytes[];
};

/* What is true of a ring; what its page says of these is made so. */
struct ring {
    struct obj o;
    uint32_t req_cons, rsp_prod;
    uint32_t error; /* XENSTORE_ERROR_* that ended it, or 0 */
    uint32_t ended; /* how often one did */
};

struct perm {
    uint16_t domain;
    uint16_t rights;
};
enum { RIGHT_READ = 1, RIGHT_WRITE = 2 };

struct perms {
    struct obj o;
    uint32_t nr;
    uint32_t unused;
    uint64_t generation; /* when they were set: what is said of a domain that went since is void */
    struct perm perm[];  /* the first is the owner, and what all others may do */
};
enum { PERMS_MAX = 1024 };

struct who {
    domid_t domain;
    int target; /* -1: none */
    bool privileged;
};

enum { PATH_ROOM = XENSTORE_ABS_PATH_MAX + 1, DEPTH_MAX = XENSTORE_ABS_PATH_MAX / 2 + 1 };

struct path {
    size_t len;
    bool relative;
    bool special; /* "@..." */
    char s[PATH_ROOM];
};

/* A path's levels: where each ends, and what is there. */
struct levels {
    size_t nr;
    uint16_t end[DEPTH_MAX];
    struct entry *node[DEPTH_MAX];
};

/* What is large is here, and not on the stack: some threads have 32 KiB. */
struct store {
    struct arena a;
    struct store_hooks hooks;
    bool log_requests;
    jmp_buf no_memory;
    void *scratch;   /* to be freed if a step jumps out */
    uint32_t *woken; /* connections with new output in this step */
    size_t nr_woken, woken_max;
    struct entry *climb[DEPTH_MAX]; /* tree_walk()'s */
    char walk_path[PATH_ROOM];
    struct levels levels; /* watch_fire_parents()'s */
    uint64_t watch_work;  /* lookups of watches, and events, so far */
    uint64_t count_work;  /* bytes of transactions that were walked through, so far */
    struct path path;
    char out[XENSTORE_PAYLOAD_MAX];
    size_t answer_len; /* of what this step answers by hooks.answer(); 0: nothing */
    uint32_t answer_conn;
    char answer[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
};

struct op {
    struct store *s;
    struct arena *a;
    const struct state *old;
    struct state *st;
    uint32_t conn;
    struct who who;
    struct xsd_sockmsg h;
    const char *in; /* what is left of the payload */
    size_t in_len;
    size_t out_len; /* of s->out */
    bool replied;
    struct tx *tx; /* the transaction that it is in; NULL: none */
    bool outdated; /* it is in one that is: what it changes is not to be done */
    ref_t *tree;   /* what it works on: the transaction's, or the state's */
    uint64_t
        replaced; /* bytes of the state's tree that are not in it any more, but for what was copied */
    bool denied; /* for the memory of who owns what was changed */
    int hit;     /* a quota that was hit, or NO_QUOTA */
    domid_t hit_domain;
    uint32_t kept_conn; /* memory_has_room_for_event(): whom it last looked at, if kept is not 0 */
    uint64_t kept;      /* and what was kept for it then */
    domid_t
        leaving; /* whose nodes are not in ROOT_OWNED any more, but are being removed; 0: nobody's */
};

/* ---- step.c: steps, quotas, messages ---- */

/**
 * Call fn, as domain 0 without a connection, and make what it has changed the state if it returns 0.
 * @keep  slabs that it may not take
 * Returns what fn does, or -ENOMEM.
 */
int step(struct store *s, uint32_t keep, int (*fn)(struct op *op, void *arg), void *arg);

static inline size_t key16(char *key, uint16_t v)
{
    key[0] = (char)(v >> 8);
    key[1] = (char)v;
    return 2;
}
static inline size_t key32(char *key, uint32_t v)
{
    key16(key, (uint16_t)(v >> 16));
    key16(key + 2, (uint16_t)v);
    return 4;
}
static inline uint32_t key32_read(const char *key)
{
    const unsigned char *b = (const unsigned char *)key;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

ref_t blob_new(struct arena *a, const void *bytes, size_t len);
struct who who_is(const struct op *op, domid_t domain);

/**
 * As whom a connection acts. One by ring has its domain's id: whatever its record says, it is not domain 0
 * by that.
 */
static inline domid_t conn_domain(uint32_t conn, const struct entry *record)
{
    return (domid_t)(conn < STORE_CONN_OTHER ? conn : record->word[0]);
}

/**
 * Queue a message of two pieces, or keep it for hooks.answer(). Returns false if it is an event and there is no
 * room for it.
 */
bool message(struct op *op, uint32_t conn, uint32_t type, uint32_t req_id, uint32_t tx_id,
             const void *first, size_t first_len, const void *second, size_t second_len);

extern const char *const quota_names[NR_QUOTAS];

/** What is valid for a domain; STORE_ALL: for those that have none of their own. 0: no bound. */
#define STORE_ALL 0xffffu
uint64_t quota_of(const struct op *op, domid_t domain, enum quota quota);

/** Whether having so many is too much for who acts; then that is noted. */
bool quota_exceeded(struct op *op, enum quota quota, uint64_t amount);

/** Note that a domain has hit it, with a line in the log (the 1st, 2nd, 4th, 8th... time). */
void quota_hit(struct op *op, domid_t domain, enum quota quota);

void say(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- tree.c ---- */

/** What lies at a path of a tree; NULL: nothing. */
struct entry *node_find(const struct arena *a, ref_t tree, const char *path, size_t len);

/** The one at that path or the closest above it that exists; *len becomes its path's length. */
struct entry *node_nearest(const struct arena *a, ref_t tree, const char *path, size_t *len);

size_t path_parent(const char *path, size_t len); /* its length; of "/" 1 */

unsigned int perms_rights(const struct op *op, const struct perms *p, const struct who *who);
unsigned int node_rights(const struct op *op, const struct entry *node, const struct who *who);
struct perms *perms_new(struct op *op, size_t nr, ref_t *ref);

/** The first tree. */
void tree_make(struct op *op);

/**
 * The node at op->s->path, if who acts has that right to it.
 * @accesses  what is made use of, for the transaction
 * Returns 0, -ENOENT, -EACCES (also where nothing is and who acts may not know), -ENOSPC.
 */
int tree_get(struct op *op, unsigned int right, unsigned int accesses, struct entry **node);

/* Each changes op->s->path, and outside of a transaction sends events. 0 or -errno. */
int tree_write(struct op *op, const void *value, size_t len);
int tree_mkdir(struct op *op);
int tree_remove(struct op *op);
int tree_set_perms(struct op *op, const struct perm *perms, size_t nr);

/** Remove every node that a domain owns, and what is below it. */
void tree_remove_owned(struct op *op, domid_t domain);

/** As many of them as *left says, one by one, what is below first. Returns whether that was all. */
bool tree_remove_owned_some(struct op *op, domid_t domain, unsigned int *left);

/** Note what a transaction did at a path. Returns 0, -ENOSPC. */
int tx_note(struct op *op, const char *path, size_t len, unsigned int accesses);

/** Make the state's tree what the transaction's is where that wrote. Returns 0, -EAGAIN, -ENOSPC. */
int tx_apply(struct op *op, const struct tx *tx);

/* ---- memory.c: transactions as they are kept, and who keeps how much ---- */

struct tx *tx_find(const struct op *op, uint32_t conn, uint32_t id);
struct tx *tx_edit(struct op *op, uint32_t conn, uint32_t id); /* it is there */
struct tx *tx_new(struct op *op, uint32_t conn, uint32_t id);
bool tx_remove(struct op *op, uint32_t conn, uint32_t id);
void tx_remove_all(struct op *op, uint32_t conn);

/** As many of them as *left says, which is what is left of that then. Returns whether that was all. */
bool tx_remove_some(struct op *op, uint32_t conn, unsigned int *left);

/** What a node takes, with what ROOT_OWNED has of it. */
uint16_t node_bytes(const struct arena *a, const struct entry *node, size_t path_len);
uint16_t watch_bytes(size_t key_len);

/** What is kept for a domain, and its connection, at this moment of a step. */
uint64_t memory_of(const struct op *op, domid_t domain, uint32_t conn);

/** The step has changed what that owner has, who need not be who acts. It may be op->denied. */
void memory_changed(struct op *op, domid_t owner);

/**
 * May an event of so many bytes wait for a domain's connection? False: memory is scarce, and then it has
 * more than its share, or nobody has any.
 */
bool memory_has_room_for_event(struct op *op, domid_t domain, uint32_t conn, size_t bytes);

/**
 * What the connection's transactions had before this step is walked through where it is not known, and noted.
 * @fresh  what the one that this step is in, if any, has got more, at most
 */
void memory_count(struct op *op, size_t fresh);

/** At the end of a request's work: may it be? Returns 0, -ENOSPC: it takes more memory than it may. */
int memory_check(struct op *op);

/** At the end of a step: the transactions that keep what may not be kept any more are outdated. */
void memory_expire(struct op *op);

/** Whether what is counted is what there is, in the state as it was before this step. */
bool memory_audit(const struct arena *a);

/* ---- watch.c ---- */

/* FIRE_PARENT: there is an event for a child, too; who gets that does not get this. FIRE_SUBTREE: what
 * was below it was removed. */
enum { FIRE_PARENT = 1, FIRE_SUBTREE = 2 };

/** Send events for a path. */
void watch_fire(struct op *op, const char *path, size_t len, unsigned int flags);

/**
 * Send what FIRE_PARENT says for each node that was made on the way to a path.
 * @there  length of the path of what was there before
 */
void watch_fire_parents(struct op *op, const char *path, size_t len, size_t there);

/** Send events for "@introduceDomain" or "@releaseDomain". */
void watch_fire_special(struct op *op, const char *name, domid_t domain);

/* The request's. */
int op_watch(struct op *op);
int op_unwatch(struct op *op);

void watch_remove_all(struct op *op, uint32_t conn);

/** As many of them as *left says, which is what is left of that then. Returns whether that was all. */
bool watch_remove_some(struct op *op, uint32_t conn, unsigned int *left);

/* ---- domain.c ---- */

int op_introduce(struct op *op);
int op_release(struct op *op);
int op_resume(struct op *op);
int op_set_target(struct op *op);
int op_get_domain_path(struct op *op);
int op_is_domain_introduced(struct op *op);

/** It is no more: connection, nodes, rights. */
void domain_remove(struct op *op, domid_t domain);
void conn_remove(struct op *op, uint32_t conn);

/**
 * Do that, or conn_remove() alone, in many steps of which each needs little memory and frees some: for
 * when one step has failed. What is left needs little.
 * @domain  what the domain of this id has, too
 * Returns 0, -ENOMEM.
 */
int remove_by_pieces(struct store *s, uint32_t conn, bool domain);

/** Its watches, transactions and messages are gone. */
void conn_reset(struct op *op, uint32_t conn);

/* ---- control.c ---- */

int op_control(struct op *op);

/* ---- request.c: arguments and answers ---- */

/** The next string of the payload; NULL: there is none that ends. */
const char *arg_string(struct op *op);

/** A number of digits only, up to max. */
bool parse_number(const char *s, uint64_t max, uint64_t *value);
int arg_domain(struct op *op, domid_t *domain);

/** The next string as a path, into op->s->path. "@..." only if @special. 0, -EINVAL. */
int arg_path(struct op *op, bool special);

/** Append to the answer. Returns 0, -E2BIG. */
int out_add(struct op *op, const void *bytes, size_t len);
int out_printf(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Queue the answer now: what follows is behind it. */
void reply(struct op *op);

/** store_request(), which takes that many bytes more from the connection's ring, whether it fails or not. */
int request(struct store *s, uint32_t conn, const struct xsd_sockmsg *h, const void *payload,
            uint32_t taken);

/** That many bytes of the first message are sent. There is one. */
void output_sent(struct op *op, uint32_t conn, size_t bytes);

/* ---- ring.c ---- */

/** A request that ended so many bytes later in the ring is taken. */
void ring_taken(struct op *op, uint32_t conn, uint32_t bytes);
