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
_Static_assert(offsetof(struct any_sring, req_event) == 4 * REQ_EVENT, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_prod) == 4 * RSP_PROD, "ABI: sring");
_Static_assert(offsetof(struct any_sring, rsp_event) == 4 * RSP_EVENT, "ABI: sring");
_Static_assert(HEAD_BYTES == 64, "ABI: sring");

/* Entries begin at a multiple of 4; where their copies do is their owners' matter. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word64;
typedef uint32_t __attribute__((aligned(1), may_alias)) word32;

/*
 * A request or a response, in words. Volatile: each word of the page is read exactly once, whoever uses the copy. They are
 * few: a loop here takes less than a call.
 */
static inline void copy_words(void *to, const void *from, uint32_t bytes)
{
    const volatile word64 *s = from;
    word64 *d = to;

    for (; bytes >= 16; bytes -= 16, s += 2, d += 2) {
        d[0] = s[0];
        d[1] = s[1];
    }
    if (bytes & 8)
        *d++ = *s++;
    if (bytes & 4)
        *(word32 *)d = *(const volatile word32 *)s;
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
 * Entries up to now are there. The other end asks for an event with an index, once it has seen all there were:
 * so it is read after ours was written, and the other end does it the other way round.
 */
static bool show(const struct ring *r, int prod, int event, uint32_t old, uint32_t now)
{
    if (old == now)
        return false;
    store(r, prod, now);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return now - load(r, event) < now - old;
}

static bool size_ok(size_t bytes) { return bytes >= 4 && bytes <= ENTRY_MAX && bytes % 4 == 0; }

uint32_t ring_entries(unsigned int nr_pages, size_t request_bytes, size_t response_bytes)
{
    size_t bytes = request_bytes > response_bytes ? request_bytes : response_bytes, fit;
    uint32_t nr = 1;

    if (nr_pages == 0 || nr_pages > 1u << RING_ORDER_MAX || (nr_pages & (nr_pages - 1)) ||
        !size_ok(request_bytes) || !size_ok(response_bytes))
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

int ring_back_init(struct ring_back *b, void *pages, unsigned int nr_pages, size_t request_bytes,
                   size_t response_bytes)
{
    int rc;

    *b = (struct ring_back){ .answers = NULL };
    rc = ring_init(&b->ring, pages, nr_pages, request_bytes, response_bytes);
    if (rc)
        return rc;
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
    uint32_t old = b->rsp_prod, bytes = b->ring.response_bytes;

    while (b->rsp_prod != b->req_cons) {
        uint32_t i = b->rsp_prod & (b->ring.nr_entries - 1);

        if (!b->done[i])
            break;
        copy_words(entry(&b->ring, b->rsp_prod++), b->answers + (size_t)i * bytes, bytes);
        b->done[i] = false;
    }
    return show(&b->ring, RSP_PROD, RSP_EVENT, old, b->rsp_prod);
}

int ring_back_rest(struct ring_back *b, uint32_t nr)
{
    int there = ring_back_look(b);

    if (there < 0 || (uint32_t)there >= nr)
        return there;
    store(&b->ring, REQ_EVENT, b->req_cons + nr);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* written before it is looked again: see show() */
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
    return show(&f->ring, REQ_PROD, REQ_EVENT, old, f->pushed);
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
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* written before it is looked again: see show() */
    return ring_front_look(f);
}
