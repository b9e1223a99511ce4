#include <errno.h>

#include "internal.h"

_Static_assert((OUT_BYTES & (OUT_BYTES - 1)) == 0 && (IN_BYTES & (IN_BYTES - 1)) == 0, "masks");

void ring_begin(struct ring *r, void *page)
{
    r->page = page;
    r->out_cons = r->page->out_cons;
    r->in_prod = r->page->in_prod;
}

int ring_take(struct ring *r, char buf[OUT_BYTES])
{
    uint32_t n = __atomic_load_n(&r->page->out_prod, __ATOMIC_ACQUIRE) - r->out_cons;

    if (n > OUT_BYTES)
        return -EPROTO;
    for (uint32_t i = 0; i < n; i++)
        buf[i] = r->page->out[r->out_cons++ & (OUT_BYTES - 1)];
    __atomic_store_n(&r->page->out_cons, r->out_cons, __ATOMIC_RELEASE); /* read before it */
    return (int)n;
}

int ring_room(const struct ring *r)
{
    uint32_t used = r->in_prod - __atomic_load_n(&r->page->in_cons, __ATOMIC_ACQUIRE);

    return used > IN_BYTES ? -EPROTO : (int)(IN_BYTES - used);
}

void ring_give(struct ring *r, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        r->page->in[r->in_prod++ & (IN_BYTES - 1)] = bytes[i];
    __atomic_store_n(&r->page->in_prod, r->in_prod, __ATOMIC_RELEASE); /* written before it */
}
