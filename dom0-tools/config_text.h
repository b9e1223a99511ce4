/*
 * The language of xl.cfg(5): KEY=VALUE, one a line or with ';' between them; a value is a string, a number
 * or a list of values. What keys and values mean is not known here (config.c).
 */
#pragma once
#include <stddef.h>

enum {
    DOCUMENT_VALUES = 1024, /* of all settings */
    DOCUMENT_DEPTH = 4,     /* of lists in lists */
    DOCUMENT_BYTES = 131072,
};

/** A string or a number as it was written (text is not NULL), or a list. */
struct value {
    const char *text;    /* without quotes and escapes, with a zero behind */
    struct value *first; /* of a list; NULL: it is empty */
    struct value *next;  /* in the same list */
    unsigned int line;
};

struct setting {
    const char *key;
    const char *file;
    unsigned int line;
    struct value value;
    struct setting *next; /* in the order in which they were written */
};

struct document;

/** What is wrong and where; text is printable. */
typedef void document_report(void *arg, const char *file, unsigned int line, const char *text);

/** NULL: ENOMEM. */
struct document *document_new(void);
void document_free(struct document *d);

/**
 * Add the settings of a text to it.
 * @file  its name, kept
 * @line  0: report the lines of the text; else this one for all of them
 * Returns 0; -EINVAL: reported; -ENOMEM.
 */
int document_add(struct document *d, const char *file, unsigned int line, const char *text,
                 size_t len, document_report *report, void *arg);

/** The first setting; NULL: there is none. Valid until document_free(). */
const struct setting *document_settings(const struct document *d);

/** Copy at most what has room, with '?' for what is not printable, and "..." if it was cut. */
void printable(char *to, size_t size, const char *from, size_t len);
