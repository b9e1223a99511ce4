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
/** Something else is in one of our nodes: numbers at the edges, text, nothing. */
void enemy_put_junk(struct enemy *e, const char *node);
void enemy_remove(struct enemy *e, const char *node);
/** A number of the other end's folder; -1: there is none. */
long enemy_get(struct enemy *e, const char *node);
/** Wait until the other end is in one of these states (a bit for each). Returns which; -1: not in that time. */
int enemy_wait(struct enemy *e, unsigned int states, unsigned int ms);

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
