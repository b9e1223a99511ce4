/*
 * The store: Xen's tree of small values that the domains of a machine share, by the protocol of
 * xenstore.txt (Debian's package xen-doc) and <xen/io/xs_wire.h>. No input and no output are in here:
 * a transport hands requests in and fetches bytes (daemon.c for Unix sockets).
 *
 * All of its state is in one region (arena.h), changed by steps of which each is whole or has not
 * happened: a request with its answer and the events it causes; a piece of output sent. (Only what removes
 * a connection or a domain does that in several, if there is too little memory for one.) A program that
 * is killed at any instruction goes on from there when it calls store_open() again.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/io/xs_wire.h>

/** Connections of domains, by ring, have the domain's id; others have ids from here on. */
#define STORE_CONN_OTHER 0x10000u

/** What the store wants of its surroundings. None of these may call the store. */
struct store_hooks {
    void *arg;
    void (*log)(void *arg, const char *line);
    void (*output)(void *arg, uint32_t conn); /* there is something for store_output() */
    /*
     * Answers to connections from STORE_CONN_OTHER on, for whom nothing waits: they end with the program, so their answers
     * need not be in the region. Can one be taken now? Then, when the step is whole, it is. NULL: both.
     */
    bool (*may_answer)(void *arg, uint32_t conn);
    void (*answer)(void *arg, uint32_t conn, const void *bytes, size_t len);
    void (*close)(void *arg, uint32_t conn); /* to be disconnected: it does not read */
    /* Map a domain's ring, bind its port: 0 or -errno. NULL: none has one, INTRODUCE only notes it. */
    int (*introduce)(void *arg, domid_t domain, uint64_t gfn, evtchn_port_t port);
    void (*release)(void *arg, domid_t domain);
};

struct store;

/**
 * @region @len  of plat_region_open() or the like: all zero or a store's, of the same length
 * @hooks        copied
 * Returns NULL: errno is ENOMEM (or the region is too small), EINVAL (it is not a store's, or of another
 *   length or version) or EIO (it is damaged). Connections from STORE_CONN_OTHER on, which do not survive
 *   the program, are gone, with their watches and transactions.
 */
struct store *store_open(void *region, size_t len, const struct store_hooks *hooks);

/** The region stays as it is. */
void store_close(struct store *s);

/**
 * A new connection from STORE_CONN_OTHER on, of an id that is not in use.
 * @domain  as whom it acts: 0 may do everything
 * Returns 0 or -ENOMEM.
 */
int store_connect(struct store *s, uint32_t conn, domid_t domain);

/**
 * Its watches and transactions are gone, too.
 * Returns 0; -ENOMEM: call it again, until then its id is in use and some of what it had may be left.
 */
int store_disconnect(struct store *s, uint32_t conn);

/**
 * One request. What it answers waits for store_output(), or is hooks.answer()'s.
 * @conn     is connected
 * @payload  h->len bytes, of which XENSTORE_PAYLOAD_MAX may be; need not be aligned
 * Returns 0; -E2BIG too long, -ENOMEM there is no room even for an error: disconnect it.
 */
int store_request(struct store *s, uint32_t conn, const struct xsd_sockmsg *h, const void *payload);

/**
 * What is to be sent next.
 * @bytes  receives where it is, up to the next call of any function here
 * Returns how many bytes; 0: nothing.
 */
size_t store_output(struct store *s, uint32_t conn, const void **bytes);

/** So many of them are sent (or will be, come what may). Returns 0, -ENOMEM: they will be sent again. */
int store_output_done(struct store *s, uint32_t conn, size_t bytes);

/** How many bytes wait, about: a transport takes no request from whom many wait for. */
uint32_t store_output_waiting(struct store *s, uint32_t conn);

/* ---- rings (ring.c): pages shared with a domain, xenstore-ring.txt. The domain is an enemy. ---- */

/**
 * After INTRODUCE, and after store_open() for each domain that is introduced: the ring is this page.
 * Domain 0, which nobody introduces, may have one, too.
 * Returns 0, -ENOENT it is not introduced, -ENOMEM.
 */
int store_ring_attach(struct store *s, domid_t domain, struct xenstore_domain_interface *page);

/**
 * After an event, or hooks.output: take requests, answer them, send what waits.
 * @page    of store_ring_attach()
 * @notify  set if the domain is to get an event; else left alone
 * Returns 0: it waits for the domain's next event; -EAGAIN call it again, others first; -ENOMEM call it again
 *   later; -EPROTO the domain has broken the rules: its connection is dead until it asks for another;
 *   or no ring is attached, also not any more: then it has none until store_ring_attach().
 */
int store_ring_service(struct store *s, domid_t domain, struct xenstore_domain_interface *page,
                       bool *notify);

/** Whether the domain is introduced. */
bool store_introduced(struct store *s, domid_t domain);

/** Where a domain's ring is, as INTRODUCE said. */
struct store_place {
    uint64_t gfn;
    uint64_t port;
};

/** The next introduced domain with a higher id than this, and where its ring is. Returns 0: none. */
int store_introduced_above(struct store *s, int domain, struct store_place *place);

/**
 * The hypervisor says that it has shut down or crashed; or that it is no more. An unknown one is
 * nobody. Returns 0 or -ENOMEM: call it again.
 */
int store_domain_shutdown(struct store *s, domid_t domain);
int store_domain_gone(struct store *s, domid_t domain);

/** Whether all is consistent: what CONTROL's check does. Takes a walk through everything. */
bool store_check(struct store *s);
