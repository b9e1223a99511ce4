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

/* Entries begin at a multiple of 4; where their copies do is their owners' matter. */
typedef uint64_t __attribute__((aligned(1), may_alias)) ring_word64;
typedef uint32_t __attribute__((aligned(1), may_alias)) ring_word32;

/**
 * Words from the page. Volatile there: each is read exactly once, whoever uses the copy. They are few: a loop here takes
 * less than a call.
 * @bytes  a multiple of 4
 */
static inline __attribute__((always_inline)) void ring_get(void *to, const volatile void *from,
                                                           uint32_t bytes)
{
    const volatile ring_word64 *s = from;
    ring_word64 *d = to;

    for (; bytes >= 16; bytes -= 16, s += 2, d += 2) {
        d[0] = s[0];
        d[1] = s[1];
    }
    if (bytes & 8)
        *d++ = *s++;
    if (bytes & 4)
        *(ring_word32 *)d = *(const volatile ring_word32 *)s;
}

/** Words to the page. Volatile there: they are written before what the program writes to it behind them. */
static inline __attribute__((always_inline)) void ring_put(volatile void *to, const void *from,
                                                           uint32_t bytes)
{
    const ring_word64 *s = from;
    volatile ring_word64 *d = to;

    for (; bytes >= 16; bytes -= 16, s += 2, d += 2) {
        d[0] = s[0];
        d[1] = s[1];
    }
    if (bytes & 8)
        *d++ = *s++;
    if (bytes & 4)
        *(volatile ring_word32 *)d = *(const ring_word32 *)s;
}

/* Words of the head of its first page, which is the same for every ring. */
enum { RING_REQ_PROD, RING_REQ_EVENT, RING_RSP_PROD, RING_RSP_EVENT };

static inline uint8_t *ring_entry(const struct ring *r, uint32_t index)
{
    return r->entries + (size_t)(index & (r->nr_entries - 1)) * r->entry_bytes;
}

/* ---- the backend's end ---- */

struct ring_back {
    struct ring ring;
    uint32_t req_prod;           /* as it was at the last look */
    uint32_t req_cons, rsp_prod; /* taken up to there; and answered, for the other end to see */
    uint32_t written; /* answered up to there; those beyond rsp_prod are shown with the next one */
    uint32_t told;    /* what is answered up to there has been pushed */
    bool
        cut; /* another backend was killed within answers that belong together: the first ones are shown, the others
                 are still requests */
    uint8_t *answers; /* of those taken and not answered, what is done already */
    uint8_t *done;
};

/**
 * Begin with a ring that the other end has made; or go on where another backend has ended, at any instruction, whose
 * answers were in the order of the ring: what it had not answered is taken again. (Answers that it was writing are
 * shown: see ring.c, and `cut`.)
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
static inline uint32_t ring_back_take(struct ring_back *b, void *request)
{
    ring_get(request, ring_entry(&b->ring, b->req_cons), b->ring.request_bytes);
    return b->req_cons++;
}

/**
 * The same for those who know how much of it there is when they have seen its beginning: where it lies, to be copied from
 * there by ring_get(), each byte once.
 */
static inline const volatile uint8_t *ring_back_take_at(struct ring_back *b, uint32_t *slot)
{
    *slot = b->req_cons++;
    return ring_entry(&b->ring, *slot);
}

/** What was taken and has not been answered. */
uint32_t ring_back_inflight(const struct ring_back *b);

/*
 * An answer lies where its request was, so a backend that is killed between writing it and showing it would leave
 * neither. Therefore it is written down before, in words of the head that nobody uses (a frontend clears them): first
 * the answer, then, at once, whose it is, and whether more belong with it, which are shown together. So what lies between
 * those shown and that one is written, too. Where more belong with it, the next one is written down while this one is
 * not shown yet: so it is said first that this one's slot is written, and nobody takes the next one's words for its. What
 * is found there is the frontend's word: a false one is its own loss, as nothing but its own ring is written by it.
 */
enum {
    RING_NOTE = 6,
    RING_NOTE_ANSWER = 8,
    RING_NOTE_LAST = 0x616e7377,
    RING_NOTE_MORE = 0x616e736d,
    RING_NOTE_PART = 0x616e7370 /* more belong with it, and its slot is written */
};

/**
 * The next one in the order of the ring (slot b->written) is done: ring_back_answer() for those who know its size when
 * they are compiled. Whatever of this is done, all of it can be done again.
 */
static inline __attribute__((always_inline)) void
ring_back_answer_next(struct ring_back *b, const void *response, uint32_t bytes, bool more)
{
    volatile uint32_t *head = b->ring.indices;
    uint32_t index = b->written++;
    uint8_t *at = ring_entry(&b->ring, index);

    ring_put(&head[RING_NOTE_ANSWER], response, bytes);
    *(volatile uint64_t *)&head[RING_NOTE] =
        (uint64_t)(more ? RING_NOTE_MORE : RING_NOTE_LAST) << 32 | index;
    ring_put(at, response, bytes);
    if (more) {
        head[RING_NOTE + 1] = RING_NOTE_PART;
    } else {
        b->rsp_prod = index + 1;
        __atomic_store_n(&head[RING_RSP_PROD], index + 1, __ATOMIC_RELEASE);
    }
}

/** It is done. The other end sees it when all before it are done, too, at the latest when they are pushed. Once for each slot. */
void ring_back_answer(struct ring_back *b, uint32_t slot, const void *response);
/** The same, but the other end sees it no sooner than the one behind it, in the order of the ring: they belong together. */
void ring_back_answer_more(struct ring_back *b, uint32_t slot, const void *response);

/**
 * Show the other end all answers that are next in the order of the ring.
 * Returns whether it wants an event for what it has been shown since the last time.
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
