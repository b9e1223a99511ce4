/*
 * Private to xenstore.c: a connection to the store that outlives the store, and one request over it.
 *
 * When the stream breaks it is connected anew, by whoever waits for an answer or an event, by the program's loop
 * (xenstore_watch()), or else with the next request; all watches are registered again. xenstore_loop.h says
 * what a program sees of that.
 */
#pragma once
#include "xenstore_loop.h"

#define NR(a) (sizeof(a) / sizeof((a)[0]))

/* One that has come. body has a zero byte behind. */
struct message {
    struct message *next;
    unsigned int nr_breaks; /* the handle's, when it came */
    struct xsd_sockmsg head;
    char body[];
};

/* A piece of a request. */
struct piece {
    const void *data;
    size_t len;
};

enum { WATCH_BUCKETS = 128 };

/* One that is registered, as the request that does that again. */
struct watch {
    struct watch *next, *before; /* of all */
    struct watch *beside;        /* the next whose hash is as much modulo WATCH_BUCKETS */
    uint32_t hash;               /* of path and token */
    bool leaving;                /* it is being removed, and not to be registered any more */
    struct xsd_sockmsg head;     /* with id 0, which no other request has */
    char body[];
};

/* One that is open here. */
struct transaction {
    struct transaction *next;
    xs_transaction_t id;
    bool dead; /* the store does not have it any more: it will end with EAGAIN */
};

struct xs_handle {
    struct plat_mutex lock; /* guards all below */
    struct plat_cond changed;
    struct plat_stream *stream; /* NULL: broken, to be connected anew */
    struct plat_loop *loop;     /* the reader waits in it */
    struct plat_wake wake;      /* ends that */
    struct plat_timer timer;    /* as well */
    bool has_reader;
    bool filters; /* XS_UNWATCH_FILTER */
    int lost;     /* errno: what comes makes no sense; the connection is never used again */

    unsigned int nr_breaks; /* of the stream so far */
    uint64_t next_try_ns;   /* not to be connected again before */
    uint64_t give_up_ns;    /* if the store is not in order by then; 0: it is */
    int refused;       /* errno: why it does not take a watch again; 0: it does, or is not there */
    bool gave_up;      /* it was not; until the next request */
    int gave_up_error; /* errno: why, the last time */
    unsigned int nr_gave_up;

    char out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    size_t out_at, out_len;

    struct xsd_sockmsg head; /* what is coming in: first this, then the rest of message */
    size_t in_len;
    struct message *message;

    bool asked; /* there is a request whose answer has not been taken */
    uint32_t id;
    bool in_transaction, interrupted; /* so is that request; and the transaction was lost */
    struct message *answer;
    struct message *events, **events_end;
    struct watch *watches, *last_watch, *bucket[WATCH_BUCKETS];
    struct watch *registering; /* sent again up to there */
    size_t registering_at;
    unsigned int nr_registering; /* which are not answered yet */
    struct transaction *transactions;

    /* xenstore_watch() */
    struct plat_loop *program;
    struct plat_wake ready;
    struct plat_timer retry;
    void (*fn)(void *arg);
    void *arg;
};

/**
 * Send a request and wait for its answer; again over a new connection, unless it is in a transaction.
 * Returns the answer, to be freed; NULL with errno: the store's, or E2BIG, ENOMEM, EIO what came makes no sense.
 * If the store is not there, ECONNREFUSED, ENOENT or the like, after a while; if it does not take the watches
 * again, its reason.
 */
struct message *xs_ask(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                       const struct piece *pieces, size_t nr);

/** The next event, to be freed; NULL with errno: EAGAIN, or as above. */
struct message *xs_next_event(struct xs_handle *h, bool waits);
