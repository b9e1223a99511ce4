/* See text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_room(struct text *t, size_t len)
{
    size_t size = t->size ? t->size : 256;
    char *bytes;

    if (t->failed || len >= (size_t)1 << 30)
        return false;
    while (size <= t->len_bytes + len)
        size *= 2;
    if (size == t->size)
        return true;
    bytes = realloc(t->bytes, size);
    if (bytes == NULL)
        return false;
    t->bytes = bytes;
    t->size = size;
    return true;
}

void text_put(struct text *t, const char *bytes, size_t len)
{
    size_t room = len;

    if (t->fixed) {
        room = t->len_bytes < t->size ? t->size - t->len_bytes - 1 : 0;
        room = room < len ? room : len;
    } else if (!has_room(t, len)) {
        t->failed = true;
        return;
    }
    if (room)
        memcpy(t->bytes + t->len_bytes, bytes, room);
    if (t->len_bytes < t->size)
        t->bytes[t->len_bytes + room] = '\0';
    t->len_bytes += len;
}

void text_puts(struct text *t, const char *string) { text_put(t, string, strlen(string)); }

void text_printf(struct text *t, const char *fmt, ...)
{
    char small[256], *bytes = small;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof(small)) {
        bytes = malloc((size_t)len + 1);
        if (bytes == NULL) {
            t->failed = true;
            return;
        }
        va_start(ap, fmt);
        vsnprintf(bytes, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    if (len > 0)
        text_put(t, bytes, (size_t)len);
    if (bytes != small)
        free(bytes);
}

void text_free(struct text *t)
{
    free(t->bytes);
    *t = (struct text){ 0 };
}
