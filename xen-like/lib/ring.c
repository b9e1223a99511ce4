#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/ring.h>

/* The head of every ring's page is the same; these are words of it. */
DEFINE_RING_TYPES(any, uint32_t, uint32_t);
enum { DONE = 1, DONE_MORE };
enum { HEAD_BYTES = offsetof(struct any_sring, ring), ENTRY_MAX = 256 };

enum { ANSWER_MAX = HEAD_BYTES - 4 * RING_NOTE_ANSWER };
_Static_assert(RING_NOTE % 2 == 0, "written at once");
_Static_assert(offsetof(struct any_sring, __pad) <= 4 * RING_NOTE, "ABI: sring");
_Static_assert(offsetof(struct any_sring, req_event) == 4 * RING_REQ_EVENT, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_prod) == 4 * RING_RSP_PROD, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_event) == 4 * RING_RSP_EVENT, "ABI: sring");
_Static_assert(HEAD_BYTES == 64, "ABI: sring");

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

/* Those that another backend had begun to write are written, and shown. */
static void answers_finish(struct ring_back *b)
{
    const struct ring *r = &b->ring;
    uint32_t rsp_prod = load(r, RING_RSP_PROD), req_prod = load(r, RING_REQ_PROD);
    uint64_t said = *(volatile uint64_t *)&r->indices[RING_NOTE];
    uint32_t kind = (uint32_t)(said >> 32), index = (uint32_t)said;
    bool more = kind == RING_NOTE_MORE || kind == RING_NOTE_PART;
    uint8_t answer[ANSWER_MAX];

    if (kind != RING_NOTE_LAST && !more)
        return;
    b->cut = more && index + 1 == rsp_prod; /* this was done before */
    if (index - rsp_prod >= r->nr_entries || index - rsp_prod >= req_prod - rsp_prod)
        return;
    b->cut = more;
    if (kind != RING_NOTE_PART) {
        ring_get(answer, &r->indices[RING_NOTE_ANSWER], r->response_bytes);
        ring_put(ring_entry(r, index), answer, r->response_bytes);
    }
    store(r, RING_RSP_PROD, index + 1);
}

int ring_back_init(struct ring_back *b, void *pages, unsigned int nr_pages, size_t request_bytes,
                   size_t response_bytes)
{
    int rc;

    *b = (struct ring_back){ .answers = NULL };
    rc = ring_init(&b->ring, pages, nr_pages, request_bytes, response_bytes);
    if (rc)
        return rc;
    answers_finish(b);
    b->req_prod = b->req_cons = b->rsp_prod = b->written = b->told = load(&b->ring, RING_RSP_PROD);
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
    uint32_t prod = load(&b->ring, RING_REQ_PROD), inflight = b->req_cons - b->rsp_prod;

    if (prod - b->req_cons >
            b->ring.nr_entries - inflight ||            /* ran ahead, or behind what we took */
        prod - b->req_cons < b->req_prod - b->req_cons) /* behind what it had shown */
        return -EPROTO;
    b->req_prod = prod;
    return (int)(prod - b->req_cons);
}

uint32_t ring_back_inflight(const struct ring_back *b) { return b->req_cons - b->rsp_prod; }

static void answer(struct ring_back *b, uint32_t slot, const void *response, bool more)
{
    uint32_t i = slot & (b->ring.nr_entries - 1), bytes = b->ring.response_bytes;

    if (slot == b->written) {
        ring_back_answer_next(b, response, bytes, more);
        return;
    }
    memcpy(b->answers + (size_t)i * bytes, response, bytes);
    b->done[i] = more ? DONE_MORE : DONE;
}

void ring_back_answer(struct ring_back *b, uint32_t slot, const void *response)
{
    answer(b, slot, response, false);
}

void ring_back_answer_more(struct ring_back *b, uint32_t slot, const void *response)
{
    answer(b, slot, response, true);
}

bool ring_back_push(struct ring_back *b)
{
    uint32_t old = b->told;

    while (b->written != b->req_cons) {
        uint32_t i = b->written & (b->ring.nr_entries - 1), bytes = b->ring.response_bytes;

        if (!b->done[i])
            break;
        ring_back_answer_next(b, b->answers + (size_t)i * bytes, bytes, b->done[i] == DONE_MORE);
        b->done[i] = 0;
    }
    b->told = b->rsp_prod;
    return wants_event(&b->ring, RING_RSP_EVENT, old, b->told);
}

int ring_back_rest(struct ring_back *b, uint32_t nr)
{
    int there = ring_back_look(b);

    if (there < 0 || (uint32_t)there >= nr)
        return there;
    store(&b->ring, RING_REQ_EVENT, b->req_cons + nr);
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
    store(&f->ring, RING_REQ_EVENT, 1);
    store(&f->ring, RING_RSP_EVENT, 1);
    return 0;
}

uint32_t ring_front_room(const struct ring_front *f)
{
    return f->ring.nr_entries - (f->req_prod - f->rsp_cons);
}

void ring_front_put(struct ring_front *f, const void *request)
{
    ring_put(ring_entry(&f->ring, f->req_prod++), request, f->ring.request_bytes);
}

bool ring_front_push(struct ring_front *f)
{
    uint32_t old = f->pushed;

    f->pushed = f->req_prod;
    store(&f->ring, RING_REQ_PROD, f->pushed);
    return wants_event(&f->ring, RING_REQ_EVENT, old, f->pushed);
}

int ring_front_look(struct ring_front *f)
{
    uint32_t prod = load(&f->ring, RING_RSP_PROD);

    if (prod - f->rsp_cons > f->pushed - f->rsp_cons || /* more than it was asked */
        prod - f->rsp_cons < f->rsp_prod - f->rsp_cons) /* behind what it had shown */
        return -EPROTO;
    f->rsp_prod = prod;
    return (int)(prod - f->rsp_cons);
}

void ring_front_take(struct ring_front *f, void *response)
{
    ring_get(response, ring_entry(&f->ring, f->rsp_cons++), f->ring.response_bytes);
}

int ring_front_rest(struct ring_front *f)
{
    int there = ring_front_look(f);

    if (there)
        return there;
    store(&f->ring, RING_RSP_EVENT, f->rsp_cons + 1);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* written before it is looked again: see wants_event() */
    return ring_front_look(f);
}
