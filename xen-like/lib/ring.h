/*
 * ring.h: one end of a shared ring of <xen/io/ring.h>, the backend's or the frontend's, whatever its requests are.
 *
 * The page is shared with an enemy. Our indices are here, not in the page; one of its is read once a pass, and
 * checked; of a request or a response only the copy is looked at, and each word is read once. What is wrong is
 * -EPROTO, and the ring is not to be used any more: the other end cannot have meant it.
 *
 * A pass of a backend: ring_back_look(), ring_back_take() for each, ring_back_answer() for those that are done, in
 * any order, ring_back_push(); at the end ring_back_rest(), and another pass if that says that there is more. The
 * frontend's is the same with responses. Whatever was taken from a page must have its slot written by no one else:
 * a ring belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_PAGE = 4096, RING_ORDER_MAX = 4 }; /* of a ring: 16 pages at most */

/* What both ends know of it. */
struct ring {
    volatile uint32_t *indices; /* of the page: see ring.c */
    uint8_t *entries;
    uint32_t nr_entries; /* a power of two */
    uint32_t entry_bytes, request_bytes, response_bytes;
};

/** How many requests a ring of that many pages has room for: 0 if that is not 1 to 16 and a power of two, or no ring has such sizes. */
uint32_t ring_entries(unsigned int nr_pages, size_t request_bytes, size_t response_bytes);

/* ---- the backend's end ---- */

struct ring_back {
    struct ring ring;
    uint32_t req_prod;           /* as it was at the last look */
    uint32_t req_cons, rsp_prod; /* taken up to there; and answered, for the other end to see */
    uint8_t *answers;            /* of those in between, what is done already */
    bool *done;
};

/**
 * Begin with a ring that the other end has made; or go on where another backend has ended, at any instruction, whose
 * answers were in the order of the ring: what it had not answered is taken again. (An answer that it was writing is
 * shown: see ring.c.)
 * @pages  side by side, which stay there until ring_back_free()
 * @request_bytes @response_bytes  multiples of 4, 4..256 and 4..32
 * Returns 0, or -EINVAL no such size, -ENOMEM, -EPROTO its indices are impossible.
 */
int ring_back_init(struct ring_back *b, void *pages, unsigned int nr_pages, size_t request_bytes,
                   size_t response_bytes);
/** One that is all zero, too. */
void ring_back_free(struct ring_back *b);

/** How many requests can be taken now, or -EPROTO. */
int ring_back_look(struct ring_back *b);

/**
 * Take the next request; one of those that ring_back_look() or ring_back_rest() has counted.
 * @request  receives the copy
 * Returns its slot, for ring_back_answer().
 */
uint32_t ring_back_take(struct ring_back *b, void *request);

/** What was taken and has not been answered. */
uint32_t ring_back_inflight(const struct ring_back *b);

/** It is done. The other end is told when all before it are done, too. Once for each slot. */
void ring_back_answer(struct ring_back *b, uint32_t slot, const void *response);

/**
 * Show the other end the answers that are next in the order of the ring.
 * Returns whether it wants an event for that.
 */
bool ring_back_push(struct ring_back *b);

/**
 * Ask for an event as soon as so many requests can be taken.
 * @nr  1, or more if fewer are of no use
 * Returns how many can be taken already: if that is enough there will be no event. Or -EPROTO.
 */
int ring_back_rest(struct ring_back *b, uint32_t nr);

/* ---- the frontend's end ---- */

struct ring_front {
    struct ring ring;
    uint32_t req_prod, pushed; /* written up to there; and shown to the other end */
    uint32_t rsp_prod, rsp_cons;
};

/** An empty ring in these pages, which are written over. 0, or -EINVAL as above. */
int ring_front_init(struct ring_front *f, void *pages, unsigned int nr_pages, size_t request_bytes,
                    size_t response_bytes);

/** How many requests there is room for. */
uint32_t ring_front_room(const struct ring_front *f);

/** The next request. There is room for it. */
void ring_front_put(struct ring_front *f, const void *request);

/** Show the other end what was put. Returns whether it wants an event for that. */
bool ring_front_push(struct ring_front *f);

/**
 * How many responses can be taken now, or -EPROTO. Their ids are the other end's word: each is to be looked up in
 * a table of what it was asked.
 */
int ring_front_look(struct ring_front *f);
void ring_front_take(struct ring_front *f, void *response);

/** Ask for an event with the next response. Returns as ring_front_look(): if that is not 0 there will be none. */
int ring_front_rest(struct ring_front *f);
