/* See console_ring.h. Each of the other end's indices is read once. */
#include "console_ring.h"

_Static_assert(sizeof(struct xencons_interface) <= 4096, "ABI: a page");

void console_ring_init(struct console_ring *r, void *page)
{
    r->page = page;
    r->out_prod = r->page->out_prod;
    r->in_cons = r->page->in_cons;
}

size_t console_ring_put(struct console_ring *r, const char *buf, size_t len)
{
    const uint32_t size = sizeof(r->page->out);
    uint32_t cons = __atomic_load_n(&r->page->out_cons, __ATOMIC_ACQUIRE), room;
    size_t n;

    if (r->out_prod - cons > size)
        return 0;
    room = size - (r->out_prod - cons);
    for (n = 0; n < len && n < room; n++)
        r->page->out[MASK_XENCONS_IDX(r->out_prod++, r->page->out)] = buf[n];
    __atomic_store_n(&r->page->out_prod, r->out_prod, __ATOMIC_RELEASE);
    return n;
}

size_t console_ring_get(struct console_ring *r, char *buf, size_t len)
{
    const uint32_t size = sizeof(r->page->in);
    uint32_t prod = __atomic_load_n(&r->page->in_prod, __ATOMIC_ACQUIRE), there;
    size_t n;

    there = prod - r->in_cons;
    if (there > size) {
        r->in_cons = prod;
        there = 0;
    }
    for (n = 0; n < len && n < there; n++)
        buf[n] = r->page->in[MASK_XENCONS_IDX(r->in_cons++, r->page->in)];
    __atomic_store_n(&r->page->in_cons, r->in_cons, __ATOMIC_RELEASE);
    return n;
}
