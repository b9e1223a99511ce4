/*
 * ISO C memory and string functions for the target (the host has its own). The copies use
 * `rep movsq`/`rep stosq`: few instructions, and fast on every CPU of the last ten years.
 */
#include "lib/lib.h"

#if __STDC_HOSTED__ == 0
#undef memcpy
#undef memset
#endif

typedef uint64_t unaligned_u64 __attribute__((aligned(1), may_alias));

static inline uint64_t load64(const void *p) { return *(const unaligned_u64 *)p; }
static inline void store64(void *p, uint64_t v) { *(unaligned_u64 *)p = v; }

/* Lowest address first; the last word is read before anything is written: dst < src may overlap. */
static inline void copy_up(void *dst, const void *src, size_t len)
{
    if (len >= 8) {
        uint64_t last = load64((const char *)src + len - 8);
        char *end = (char *)dst + len;
        size_t words = len / 8;

        __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
        store64(end - 8, last);
    } else {
        __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
    }
}

void *memcpy(void *restrict dst, const void *restrict src, size_t len)
{
    copy_up(dst, src, len);
    return dst;
}

void *memmove(void *dst, const void *src, size_t len)
{
    char *d = dst;
    const char *s = src;

    if ((uintptr_t)dst - (uintptr_t)src >= len) {
        copy_up(dst, src, len);
        return dst;
    }
    for (; len >= 8; len -= 8)
        store64(d + len - 8, load64(s + len - 8));
    while (len--)
        ((volatile char *)d)[len] = s[len]; /* volatile: must not become a call of memmove */
    return dst;
}

void *memset(void *dst, int byte, size_t len)
{
    uint64_t word = (uint8_t)byte * 0x0101010101010101ULL;
    void *p = dst;

    if (len >= 8) {
        size_t words = len / 8;

        store64((char *)dst + len - 8, word);
        __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(word) : "memory");
    } else {
        __asm__ volatile("rep stosb" : "+D"(p), "+c"(len) : "a"(word) : "memory");
    }
    return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;

    for (; len >= 8 && load64(x) == load64(y); len -= 8) {
        x += 8;
        y += 8;
    }
    for (; len; len--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s) { return strnlen(s, SIZE_MAX); }

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t len)
{
    for (; len; len--, a++, b++)
        if (*a != *b || *a == '\0')
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (*s == '\0')
            return NULL;
    return (char *)(uintptr_t)s;
}
