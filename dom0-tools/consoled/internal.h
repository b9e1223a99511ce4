/*
 * What the parts of the console daemon know of each other.
 *
 * A guest is an enemy: its ring's indices are read once and checked (ring.c), its events are served by
 * turns, and each byte and event is paid for out of an allowance per period (console.c).
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/sysctl.h>
#include <xen/io/console.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "consoled.h"

enum {
    NAME_BYTES = 64, /* of a guest; cut there */
    CLIENTS_MAX = 256,
    DEAD_MAX = 8,
    INFOS_MAX = 64, /* domains asked for at a time */
    OUT_BYTES = sizeof(((struct xencons_interface *)NULL)->out),
    IN_BYTES = sizeof(((struct xencons_interface *)NULL)->in),
};

/* ---- ring.c ---- */

/* The indices that are ours are here; what stands in the page in their place is for the guest to read. */
struct ring {
    volatile struct xencons_interface *page; /* NULL: there is none */
    uint32_t out_cons, in_prod;
};

void ring_begin(struct ring *r, void *page);

/** Take all that is there: the number of bytes, or -EPROTO: the guest's indices are impossible. */
int ring_take(struct ring *r, char buf[OUT_BYTES]);

/** How many bytes can be given, or -EPROTO. */
int ring_room(const struct ring *r);

/** @len  ring_room() at most */
void ring_give(struct ring *r, const char *bytes, size_t len);

/* ---- history.c: the last bytes of a guest, each of which has a position, counted from its beginning ---- */

struct history {
    char *bytes;
    size_t size;
    uint64_t end; /* position of the next byte */
};

bool history_init(struct history *h, size_t size); /* false: no memory */
void history_free(struct history *h);
void history_add(struct history *h, const char *bytes, size_t len);
uint64_t history_begin(const struct history *h); /* position of the oldest that is kept */

/** Bytes in one piece from a position on that is kept. Returns how many, 0 at the end. */
size_t history_at(const struct history *h, uint64_t at, const char **bytes);

/* ---- log.c: a guest's file ---- */

struct guest_log {
    char path[200]; /* "": none */
    size_t bytes, max_bytes;
    bool failed;       /* which was said; */
    uint64_t retry_ns; /* not again before that time */
};

/** @number  of its console: 0 is the first, others have files of their own */
void log_begin(struct guest_log *l, const struct consoled_options *o, const char *name,
               unsigned int number);
void log_add(struct guest_log *l, const char *bytes, size_t len);
void log_drop(struct guest_log *l); /* and what was before */

/* ---- console.c: a console of a guest ---- */

struct client;
struct xenbus;
struct xenbus_device;

struct console {
    struct console *next, *before; /* of the dead none is known before */
    struct consoled *daemon;
    domid_t domain;
    unsigned int number;          /* 0: its first, which it has always had; else a channel */
    struct xenbus_device *device; /* of a channel; NULL: it is no more */
    xen_domain_handle_t handle;   /* tells it from another of the same id; of a channel zero */
    char name[NAME_BYTES];
    bool seen;  /* in this look at all domains */
    bool stale; /* what the store says of it is to be read again */
    bool gone;

    uint64_t gfn; /* where its ring is, of a channel its grant; and its port, by the store; */
    evtchn_port_t remote;
    bool placed;  /* if it has said so (a channel's not even then, but from the beginning) */
    bool granted; /* the ring is mapped by grant */
    bool broken;  /* the guest has broken the rules: not served until it is placed anew */
    bool masked;
    int port; /* 0: not bound */
    unsigned int tries;
    struct ring ring;

    struct plat_timer period; /* its end, if it is waited for */
    uint64_t period_end_ns;
    size_t spent;

    struct history history;
    uint64_t shown; /* the position up to which somebody has been shown it */
    struct guest_log log;
    struct client *clients, *tty;
    char socket[104];             /* of a channel that is one: its path; */
    struct plat_stream *listener; /* NULL: none listens there */
    struct client *peer;          /* who is at that; NULL: nobody */
};

/** NULL: no memory. */
struct console *console_new(struct consoled *d, domid_t domain, const xen_domain_handle_t handle);

/** What the store says is this: serve it from there, if that is new. */
void console_place(struct console *c, uint64_t gfn, evtchn_port_t remote);

/**
 * The same for a channel, at once or not at all: 0, -errno.
 * @patiently  who served it before may still have its port: 0, and if it is not to be had it is a channel_fail()
 */
int console_connect(struct console *c, uint32_t ref, evtchn_port_t remote, bool patiently);

/** A channel is not served any more, until it is connected again. What it said last is still taken. */
void console_disconnect(struct console *c);

/** The handle that its port was one of is closed. */
void console_unbound(struct console *c);

/** If it could not be connected, but may be. */
void console_try(struct console *c);

/** Its port is to be bound anew, as one of another handle. */
void console_rebind(struct console *c);

/** Its port has an event, which is masked now. */
void console_event(struct console *c);

/** How many bytes can be typed, 0: later, perhaps; negative: none, and not soon: it is not served. */
int console_room(struct console *c);

/** @len  console_room() at most */
void console_give(struct console *c, const char *bytes, size_t len);

/** It is no more. What it said last is still taken; clients get that, then the end. */
void console_end(struct console *c);
void console_free(struct console *c);

/* ---- clients.c ---- */

int clients_listen(struct consoled *d); /* 0, -1: the log says why not */
void clients_stop(struct consoled *d);  /* all, also those that have not said what they want */
void clients_hear(struct consoled *d);  /* if none is accepted: it may go well now */
void clients_output(struct console *c); /* there is more */
void clients_end(struct console *c);    /* it is gone: there will be no more */
void clients_input(struct console *c);  /* there may be room for what they have */
void clients_drop(struct console *c);   /* all of it */
void client_tty(struct console *c,
                struct plat_stream *tty); /* a terminal of the system as a client */

/** A socket where one client at a time is at the channel, without a request. 0; -1: errno. */
int clients_listen_for(struct console *c, const char *path);
void clients_unlisten(struct console *c); /* who is there stays */

/* ---- channels.c: consoles beside the first ---- */

bool channels_open(struct consoled *d); /* false: errno */
void channels_close(struct consoled *d);
void channels_renamed(struct consoled *d, domid_t domain);
void channels_orphaned(struct consoled *d, domid_t domain); /* it is no more */
void channel_fail(struct console *c, const char *why);      /* it cannot be served: soon Closed */

/* ---- consoled.c ---- */

struct consoled {
    struct plat_loop *loop;
    struct consoled_options options;
    struct plat_stream *listener;
    struct client *strangers; /* clients that have not said what they want */
    unsigned int nr_clients;
    bool deaf; /* new ones are not accepted */

    xenevtchn_handle *events;
    xengnttab_handle *grants;
    xenforeignmemory_handle *memory;
    xencall_handle *hypervisor;
    struct xs_handle *xs; /* NULL: there is none at present */
    union {               /* one buffer, with room for both */
        struct xen_sysctl *sysctl;
        struct xen_domctl *domctl;
    };
    xen_domctl_getdomaininfo_t *infos;

    struct console *consoles, *last; /* of guests that there are, by their numbers */
    struct console *dead;            /* the latest first */
    struct xenbus *bus;
    struct console *channels, *dead_channels; /* of all guests */
    struct plat_timer tick;
};

/** That of that number of the guest of that id or name; of the dead the latest. NULL: there is none. */
struct console *consoled_find(struct consoled *d, const char *who, unsigned int number);

/** Something failed that may go well soon. */
void consoled_retry(struct consoled *d);

/* ---- domains.c ---- */

/** Ask the hypervisor which domains there are: new ones get a console, those that are no more lose it. */
void domains_look(struct consoled *d);

/** The same of one of them, by its number. Returns whether it is to be read: it is new. */
bool domains_look_at(struct consoled *d, domid_t domain);

/** Read what the store says of a guest, and act on it. */
void domains_read(struct console *c);

/** What the store calls its guest is its name, and that of its log. */
void domains_name(struct console *c);

/** Give it a terminal of the system, whose name is written into the store, where there are any. */
void domains_open_tty(struct console *c);

/** It has ended: the first of such a list, of which the last ones are freed. */
void domains_bury(struct console **dead, struct console *c);

/** Have the store tell of all that matters, from now on. False: it has not. */
bool domains_watch(struct consoled *d);
bool domains_watch_one(struct console *c);
void domains_unwatch_one(struct console *c);

/** The domain whose console or name a path of the store belongs to; 0: none's. */
domid_t domains_of_path(const char *path);
