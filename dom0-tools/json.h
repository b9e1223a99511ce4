/*
 * JSON as every --json prints it: objects and arrays with four spaces of indentation for each level, one
 * member a line, as xl has it (scripts look for '    "domid": 1,').
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "text.h"

enum { JSON_DEPTH = 16 };

/** Initially all zero, but for out. */
struct json {
    struct text *out;
    unsigned int depth;
    bool has_members[JSON_DEPTH];
    char close[JSON_DEPTH];
};

/**
 * @key  of the member of an object; NULL: an element of an array, or the whole
 * More than JSON_DEPTH levels are our own mistake: abort().
 */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j); /* of the innermost object or array; the last ends the line */

/** Bytes that are no UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *key, const char *value);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/** @thousandths  as 12.345, so that there is no rounding */
void json_decimal(struct json *j, const char *key, uint64_t thousandths);
