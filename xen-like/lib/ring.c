#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/ring.h>

/* The head of every ring's page is the same; these are words of it. */
DEFINE_RING_TYPES(any, uint32_t, uint32_t);
enum { REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT };
enum { HEAD_BYTES = offsetof(struct any_sring, ring), ENTRY_MAX = 256 };

/*
 * An answer lies where its request was, so a backend that is killed between writing it and showing it would leave
 * neither. Therefore it is written down before, in words of the head that nobody uses (a frontend clears them): first
 * the answer, then, at once, whose it is; and each is shown before the next one is written. What is found there is the
 * frontend's word: a false one is its own loss, as nothing but its own ring is written by it.
 */
enum { NOTE = 6, NOTE_ANSWER = 8, ANSWER_MAX = HEAD_BYTES - 4 * NOTE_ANSWER };
#define NOTE_OF(index) (UINT64_C(0x616e7377) << 32 | (index))
_Static_assert(NOTE % 2 == 0, "written at once");
_Static_assert(offsetof(struct any_sring, __pad) <= 4 * NOTE, "ABI: sring");
_Static_assert(offsetof(struct any_sring, req_event) == 4 * REQ_EVENT, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_prod) == 4 * RSP_PROD, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_event) == 4 * RSP_EVENT, "ABI: sring");
_Static_assert(HEAD_BYTES == 64, "ABI: sring");

/* Entries begin at a multiple of 4; where their copies do is their owners' matter. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word64;
typedef uint32_t __attribute__((aligned(1), may_alias)) word32;

/*
 * A request or a response, in words. Volatile: each word of the page is read exactly once, whoever uses the copy, and
 * written before what the program writes behind it. They are few: a loop here takes less than a call.
 */
static inline void copy_words(volatile void *to, const volatile void *from, uint32_t bytes)
{
    const volatile word64 *s = from;
    volatile word64 *d = to;

    for (; bytes >= 16; bytes -= 16, s += 2, d += 2) {
        d[0] = s[0];
        d[1] = s[1];
    }
    if (bytes & 8)
        *d++ = *s++;
    if (bytes & 4)
        *(volatile word32 *)d = *(const volatile word32 *)s;
}

static inline uint8_t *entry(const struct ring *r, uint32_t index)
{
    return r->entries + (size_t)(index & (r->nr_entries - 1)) * r->entry_bytes;
}

static inline uint32_t load(const struct ring *r, int which)
{
    return __atomic_load_n(&r->indices[which], __ATOMIC_ACQUIRE);
}

static inline void store(const struct ring *r, int which, uint32_t value)
{
    __atomic_store_n(&r->indices[which], value, __ATOMIC_RELEASE);
}

/*
 * Entries up to now are shown. The other end asks for an event with an index, once it has seen all there were:
 * so it is read after ours was written, and the other end does it the other way round.
 */
static bool wants_event(const struct ring *r, int event, uint32_t old, uint32_t now)
{
    if (old == now)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return now - load(r, event) < now - old;
}

static bool size_ok(size_t bytes, size_t most)
{
    return bytes >= 4 && bytes <= most && bytes % 4 == 0;
}

uint32_t ring_entries(unsigned int nr_pages, size_t request_bytes, size_t response_bytes)
{
    size_t bytes = request_bytes > response_bytes ? request_bytes : response_bytes, fit;
    uint32_t nr = 1;

    if (nr_pages == 0 || nr_pages > 1u << RING_ORDER_MAX || (nr_pages & (nr_pages - 1)) ||
        !size_ok(request_bytes, ENTRY_MAX) || !size_ok(response_bytes, ANSWER_MAX))
        return 0;
    fit = ((size_t)nr_pages * RING_PAGE - HEAD_BYTES) / bytes;
    while (nr * 2 <= fit)
        nr *= 2;
    return nr;
}

static int ring_init(struct ring *r, void *pages, unsigned int nr_pages, size_t request_bytes,
                     size_t response_bytes)
{
    r->nr_entries = ring_entries(nr_pages, request_bytes, response_bytes);
    r->indices = pages;
    r->entries = (uint8_t *)pages + HEAD_BYTES;
    r->request_bytes = (uint32_t)request_bytes;
    r->response_bytes = (uint32_t)response_bytes;
    r->entry_bytes = (uint32_t)(request_bytes > response_bytes ? request_bytes : response_bytes);
    return r->nr_entries ? 0 : -EINVAL;
}

/* ---- the backend's end ---- */

static inline volatile uint64_t *note(const struct ring *r)
{
    return (volatile uint64_t *)&r->indices[NOTE];
}

/* The next answer, shown. Whatever of this is done, all of it can be done again. */
static void answer_show(const struct ring *r, uint32_t index, const uint8_t *answer)
{
    copy_words(entry(r, index), answer, r->response_bytes);
    store(r, RSP_PROD, index + 1);
}

/* One that another backend had begun to write is written. */
static void answer_finish(const struct ring *r)
{
    uint32_t index = load(r, RSP_PROD);
    uint8_t answer[ANSWER_MAX];

    if (*note(r) != NOTE_OF(index))
        return;
    copy_words(answer, &r->indices[NOTE_ANSWER], r->response_bytes);
    answer_show(r, index, answer);
}

int ring_back_init(struct ring_back *b, void *pages, unsigned int nr_pages, size_t request_bytes,
                   size_t response_bytes)
{
    int rc;

    *b = (struct ring_back){ .answers = NULL };
    rc = ring_init(&b->ring, pages, nr_pages, request_bytes, response_bytes);
    if (rc)
        return rc;
    answer_finish(&b->ring);
    b->req_prod = b->req_cons = b->rsp_prod = load(&b->ring, RSP_PROD);
    rc = ring_back_look(b);
    if (rc < 0)
        return rc;
    b->answers = calloc(b->ring.nr_entries, response_bytes);
    b->done = calloc(b->ring.nr_entries, sizeof(*b->done));
    if (b->answers && b->done)
        return 0;
    ring_back_free(b);
    return -ENOMEM;
}

void ring_back_free(struct ring_back *b)
{
    free(b->answers);
    free(b->done);
    *b = (struct ring_back){ .answers = NULL };
}

int ring_back_look(struct ring_back *b)
{
    uint32_t prod = load(&b->ring, REQ_PROD), inflight = b->req_cons - b->rsp_prod;

    if (prod - b->req_cons >
            b->ring.nr_entries - inflight ||            /* ran ahead, or behind what we took */
        prod - b->req_cons < b->req_prod - b->req_cons) /* behind what it had shown */
        return -EPROTO;
    b->req_prod = prod;
    return (int)(prod - b->req_cons);
}

uint32_t ring_back_take(struct ring_back *b, void *request)
{
    uint32_t slot = b->req_cons++;

    copy_words(request, entry(&b->ring, slot), b->ring.request_bytes);
    return slot;
}

uint32_t ring_back_inflight(const struct ring_back *b) { return b->req_cons - b->rsp_prod; }

void ring_back_answer(struct ring_back *b, uint32_t slot, const void *response)
{
    uint32_t i = slot & (b->ring.nr_entries - 1);

    copy_words(b->answers + (size_t)i * b->ring.response_bytes, response, b->ring.response_bytes);
    b->done[i] = true;
}

bool ring_back_push(struct ring_back *b)
{
    const struct ring *r = &b->ring;
    uint32_t old = b->rsp_prod;

    while (b->rsp_prod != b->req_cons) {
        uint32_t i = b->rsp_prod & (r->nr_entries - 1);
        const uint8_t *answer = b->answers + (size_t)i * r->response_bytes;

        if (!b->done[i])
            break;
        copy_words(&r->indices[NOTE_ANSWER], answer, r->response_bytes);
        *note(r) = NOTE_OF(b->rsp_prod);
        answer_show(r, b->rsp_prod++, answer);
        b->done[i] = false;
    }
    return wants_event(r, RSP_EVENT, old, b->rsp_prod);
}

int ring_back_rest(struct ring_back *b, uint32_t nr)
{
    int there = ring_back_look(b);

    if (there < 0 || (uint32_t)there >= nr)
        return there;
    store(&b->ring, REQ_EVENT, b->req_cons + nr);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* written before it is looked again: see wants_event() */
    return ring_back_look(b);
}

/* ---- the frontend's end ---- */

int ring_front_init(struct ring_front *f, void *pages, unsigned int nr_pages, size_t request_bytes,
                    size_t response_bytes)
{
    int rc;

    *f = (struct ring_front){ .req_prod = 0 };
    rc = ring_init(&f->ring, pages, nr_pages, request_bytes, response_bytes);
    if (rc)
        return rc;
    memset(pages, 0, (size_t)nr_pages * RING_PAGE);
    store(&f->ring, REQ_EVENT, 1);
    store(&f->ring, RSP_EVENT, 1);
    return 0;
}

uint32_t ring_front_room(const struct ring_front *f)
{
    return f->ring.nr_entries - (f->req_prod - f->rsp_cons);
}

void ring_front_put(struct ring_front *f, const void *request)
{
    copy_words(entry(&f->ring, f->req_prod++), request, f->ring.request_bytes);
}

bool ring_front_push(struct ring_front *f)
{
    uint32_t old = f->pushed;

    f->pushed = f->req_prod;
    store(&f->ring, REQ_PROD, f->pushed);
    return wants_event(&f->ring, REQ_EVENT, old, f->pushed);
}

int ring_front_look(struct ring_front *f)
{
    uint32_t prod = load(&f->ring, RSP_PROD);

    if (prod - f->rsp_cons > f->pushed - f->rsp_cons || /* more than it was asked */
        prod - f->rsp_cons < f->rsp_prod - f->rsp_cons) /* behind what it had shown */
        return -EPROTO;
    f->rsp_prod = prod;
    return (int)(prod - f->rsp_cons);
}

void ring_front_take(struct ring_front *f, void *response)
{
    copy_words(response, entry(&f->ring, f->rsp_cons++), f->ring.response_bytes);
}

int ring_front_rest(struct ring_front *f)
{
    int there = ring_front_look(f);

    if (there)
        return there;
    store(&f->ring, RSP_EVENT, f->rsp_cons + 1);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* written before it is looked again: see wants_event() */
    return ring_front_look(f);
}
