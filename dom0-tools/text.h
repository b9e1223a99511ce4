/*
 * Text that is made piece by piece: what the printing functions of the tools fill, and their caller
 * writes out, parses or compares.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/** All zero: empty, and it grows. With bytes and size of a buffer, and fixed: what has no room is lost. */
struct text {
    char *bytes;      /* with a zero behind, once something was put in */
    size_t len_bytes; /* if fixed also of what was lost */
    size_t size;
    bool fixed;
    bool failed; /* there was no memory: it is not whole */
};

void text_put(struct text *t, const char *bytes, size_t len);
void text_puts(struct text *t, const char *string);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Not of a fixed one. It is empty again. */
void text_free(struct text *t);
