#include <stdlib.h>
#include <string.h>

#include "internal.h"

bool history_init(struct history *h, size_t size)
{
    *h = (struct history){ .bytes = malloc(size), .size = size };
    return h->bytes != NULL;
}

void history_free(struct history *h) { free(h->bytes); }

void history_add(struct history *h, const char *bytes, size_t len)
{
    while (len) {
        size_t at = h->end % h->size, n = h->size - at < len ? h->size - at : len;

        memcpy(h->bytes + at, bytes, n);
        h->end += n;
        bytes += n;
        len -= n;
    }
}

uint64_t history_begin(const struct history *h) { return h->end > h->size ? h->end - h->size : 0; }

size_t history_at(const struct history *h, uint64_t at, const char **bytes)
{
    size_t n = h->end - at, to_edge = h->size - at % h->size;

    *bytes = h->bytes + at % h->size;
    return n < to_edge ? n : to_edge;
}
