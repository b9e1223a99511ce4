/* JSON of others, read value by value. Nothing of it is trusted. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_READ_DEPTH = 16, JSON_KEY = 40, JSON_STRING = 1100 };

enum json_type { JSON_TEXT, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

/** Where a value stands: the members of objects, and elements of arrays, from the outermost on. */
struct json_place {
    char key[JSON_KEY]; /* cut; "": an element */
    unsigned int index; /* of the element, or how many members are before */
};

struct json_value {
    enum json_type type;
    const struct json_place *place; /* depth of them */
    unsigned int depth;
    const char *text; /* of JSON_TEXT: UTF-8 */
    bool whole;       /* all of the text; of JSON_NUMBER: it is 0..UINT64_MAX and has no fraction */
    uint64_t number;
};

/**
 * Call fn for each value that is no object or array.
 * Returns NULL; else what is wrong, and *at is the byte where.
 */
const char *json_read(const char *text, size_t len,
                      void (*fn)(void *arg, const struct json_value *v), void *arg, size_t *at);

/** Whether a value stands there: "b_info/kernel"; for an element of an array there is a *. */
bool json_is_at(const struct json_value *v, const char *path);
