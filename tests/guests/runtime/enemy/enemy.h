/*
 * What the hostile kernels have in common: a device's two folders in the store, pages with grants of every kind, and
 * numbers by a seed. Everything is done by hand, as our libraries would not do it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/xenbus.h>
#include <xenstore.h>

enum { ENEMY_PAGE = 4096 };

struct enemy {
    struct xs_handle *xs;
    domid_t other;
    char ours[96], theirs[96]; /* folders; ours is device/TYPE/N or backend/TYPE/DOMAIN/N */
    uint64_t random;           /* the state of its numbers */
    unsigned int round;
    bool honest; /* for once */
};

/** 0..below-1, by the seed. */
uint64_t enemy_random(struct enemy *e, uint64_t below);
/** True once in @of times. */
bool enemy_once_in(struct enemy *e, uint64_t of);
/** One of the numbers at which mistakes are made, of that many bits. */
uint64_t enemy_edge(struct enemy *e, unsigned int bits);

/* ---- the store ---- */

/** Write a node of our folder. */
void enemy_put(struct enemy *e, const char *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/**
 * Another number for references 0 and 1: they are of our own console and of our ring to the store, which whoever is told of
 * them as of pages for data may write to.
 */
static inline uint32_t enemy_spare_own(uint32_t ref) { return ref < 2 ? ref + 8 : ref; }
/** Something else is in one of our nodes: numbers at the edges, text, nothing; no reference 0 or 1. */
void enemy_put_junk(struct enemy *e, const char *node);
void enemy_remove(struct enemy *e, const char *node);
/** Whether a node of our folder is there. */
bool enemy_is_there(struct enemy *e, const char *node);
/** A number of the other end's folder; -1: there is none. */
long enemy_get(struct enemy *e, const char *node);
/** Wait until the other end is in one of these states (a bit for each). Returns which; -1: not in that time. */
int enemy_wait(struct enemy *e, unsigned int states, unsigned int ms);

/** Some of these nodes are not what they should be, or not there; or all are right. @nodes  the last one is NULL */
void enemy_spoil(struct enemy *e, const char *const *nodes);

/* ---- the beginning ---- */

/* Of the kernel's command line. */
struct enemy_arguments {
    char type[16];               /* enemy=vbd|vif|console */
    unsigned int rounds, device; /* rounds=N connections, device=N */
    unsigned int devices;        /* devices=N, from that one on */
};

/** They, with what there is by default, and seed=N (printed; else by the clock) for @e. */
void enemy_arguments(struct enemy *e, int argc, char **argv, struct enemy_arguments *a);
/** Our folder is known: find theirs, and who it is of, by these nodes. */
void enemy_find_other(struct enemy *e, const char *their_folder, const char *their_id);
/** It ends with a failure: the round, and the other end's state. */
void enemy_stop(struct enemy *e, const char *what) __attribute__((noreturn));

/* ---- ports ---- */

enum { ENEMY_PORTS = 8 };

/** One of rt/event.h becomes ours; negative: the kernel ends with an error. */
unsigned int enemy_add_port(int port);
void enemy_on_event(unsigned int port, void *arg);
/** An event through one of our ports. */
void enemy_notify(struct enemy *e);
/** Very many. */
void enemy_storm(struct enemy *e);
void enemy_close_ports(void);

/**
 * By some way, if it is honest by the right one, to Closed, until the other end is Closed, too, which takes at most @ms; or
 * it ends with a failure.
 * Our ports are closed. @begins  the state in which an end like ours begins
 */
void enemy_leave(struct enemy *e, enum xenbus_state begins, unsigned int ms);

/* ---- rings, by hand ---- */

enum {
    RING_REQ_PROD,
    RING_REQ_EVENT,
    RING_RSP_PROD,
    RING_RSP_EVENT
}; /* the words before the entries */
enum { RING_HEAD = 64 };

/** What a ring has of entries, and how far apart they are. */
struct enemy_entries {
    uint32_t nr, bytes;
};

/** Put an entry at the producer's index, RING_REQ_PROD or RING_RSP_PROD, which goes on. */
void enemy_ring_put(volatile uint32_t *ring, unsigned int index, const struct enemy_entries *n,
                    const void *entry, size_t bytes);
/** Take the next request. False: there is none, or no ring. @ring  NULL or a ring */
bool enemy_ring_take(const volatile uint32_t *ring, uint32_t *cons, const struct enemy_entries *n,
                     void *request);

/** The producer's index of a ring goes where it must not. @other  the other end's; @nr_entries of the ring */
void enemy_bad_index(struct enemy *e, volatile uint32_t *index, uint32_t other,
                     uint32_t nr_entries);
/** Noise on a page, behind a ring's indices, while the other end is at work with it. */
void enemy_scribble(struct enemy *e, volatile uint8_t *page);

/* ---- pages ---- */

/* A page and who may use it. */
struct enemy_grant {
    uint8_t *page;
    grant_ref_t ref;
};

/** Of the page, which is allocated if it is NULL; the domain is out of memory: the kernel ends with an error. */
struct enemy_grant enemy_grant(domid_t to, uint8_t *page, bool read_only);

/**
 * The entry itself, whatever the hypervisor notes in it: a mapping of ours beside the runtime's. What is changed there
 * has to be as it was before the runtime ends that grant.
 */
struct grant_entry_v1 *enemy_entry(grant_ref_t ref);
