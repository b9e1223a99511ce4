/* What a C library would give. Same names and contracts as ISO C where the name is ISO C's. */
#pragma once
#include <stdarg.h>

#include "lib/bug.h"
#include "lib/errno.h"
#include "lib/print.h"

/* Who we are, in the boot log. */
#define XL_VERSION "0.1"

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
#if __STDC_HOSTED__ == 0 /* small constant lengths become moves */
#define memcpy(dst, src, len) __builtin_memcpy(dst, src, len)
#define memset(dst, byte, len) __builtin_memset(dst, byte, len)
#endif
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strncmp(const char *a, const char *b, size_t len);

/**
 * The function that the code at addr lies in and the offset from its start; NULL: none known. Slow
 * (it decodes the table from its start), touches constant data only: callable from a panic.
 */
const char *symbol_lookup(uint64_t addr, uint64_t *offset);

/**
 * Formatted output into buf (size > 0 bytes, always NUL-ended). Knows %c %s %%, %d, %u and %x with
 * the flag 0 and a width of up to 31, the sizes l ll z, and %pS, which prints a code address as
 * symbol+offset; nothing else.
 */
void xl_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
void xl_snprintf(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);
/** Copy at most size - 1 bytes of src and always end dst with a NUL (size > 0). */
#define xl_strlcpy(dst, src, size) xl_snprintf(dst, size, "%s", src)

/**
 * Place, from 0, in the list of words a|b|c of what is at *s up to the separator or the end; -1: it
 * is not in it. *s moves behind the separator, or to NULL if that was the last.
 */
int xl_next_word(const char *words, const char **s, char separator);

static inline unsigned int fls64(uint64_t x) { return x ? 64u - __builtin_clzll(x) : 0; }
static inline unsigned int ffs64(uint64_t x) { return (unsigned int)__builtin_ffsll((long long)x); }

/* index if index < limit, else 0, without a branch that could be speculated past */
static inline uint64_t array_index_nospec(uint64_t index, uint64_t limit)
{
    uint64_t mask;

    __asm__ volatile("cmp %1, %2; sbb %0, %0" : "=r"(mask) : "er"(limit), "r"(index) : "cc");
    return index & mask;
}

/* a * b / c with a 128-bit product; the caller knows that the quotient fits */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t rdx;

    __asm__("mulq %2; divq %3" : "+&a"(a), "=&d"(rdx) : "rm"(b), "rm"(c) : "cc");
    return a;
}
