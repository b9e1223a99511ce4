/* See json_read.h. */
#include "json_read.h"

#include <stdio.h>
#include <string.h>

struct reader {
    const char *text;
    size_t at, len;
    const char *wrong; /* NULL: nothing yet */
    struct json_place place[JSON_READ_DEPTH];
    unsigned int depth;
    char string[JSON_STRING];
    bool whole; /* the string has all of it */
    void (*fn)(void *arg, const struct json_value *v);
    void *arg;
};

static bool fail(struct reader *r, const char *what)
{
    if (r->wrong == NULL)
        r->wrong = what;
    return false;
}

/* '\0': the end. */
static char next(const struct reader *r) { return r->at < r->len ? r->text[r->at] : '\0'; }

static void skip_space(struct reader *r)
{
    while (r->at < r->len && strchr(" \t\r\n", r->text[r->at]) && r->text[r->at])
        r->at++;
}

static bool take(struct reader *r, const char *word)
{
    size_t n = strlen(word);

    if (r->len - r->at < n || memcmp(r->text + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* ---- strings ---- */

static void put(struct reader *r, size_t *n, char c)
{
    if (*n + 1 < sizeof(r->string))
        r->string[(*n)++] = c;
    else
        r->whole = false;
}

/* Of a surrogate each half becomes a question mark. */
static void put_utf8(struct reader *r, size_t *n, unsigned int c)
{
    if (c >= 0xd800 && c < 0xe000)
        c = '?';
    if (c < 0x80) {
        put(r, n, (char)c);
    } else if (c < 0x800) {
        put(r, n, (char)(0xc0 | c >> 6));
        put(r, n, (char)(0x80 | (c & 0x3f)));
    } else {
        put(r, n, (char)(0xe0 | c >> 12));
        put(r, n, (char)(0x80 | (c >> 6 & 0x3f)));
        put(r, n, (char)(0x80 | (c & 0x3f)));
    }
}

static bool hex4(struct reader *r, unsigned int *c)
{
    *c = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        char d = next(r), lower = d >= 'A' && d <= 'F' ? (char)(d + 'a' - 'A') : d;
        const char *found = d ? strchr(digits, lower) : NULL;

        if (found == NULL)
            return fail(r, "\\u wants four digits");
        *c = *c * 16 + (unsigned int)(found - digits);
        r->at++;
    }
    return *c ? true : fail(r, "a zero character");
}

static bool escape(struct reader *r, size_t *n)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    char c = next(r);
    unsigned int code;

    r->at++;
    if (c == 'u') {
        if (!hex4(r, &code))
            return false;
        put_utf8(r, n, code);
        return true;
    }
    for (const char *e = escapes; *e; e += 2)
        if (*e == c) {
            put(r, n, e[1]);
            return true;
        }
    return fail(r, "no such escape");
}

/* Behind its first quote, to behind its last. */
static bool string(struct reader *r)
{
    size_t n = 0;

    r->whole = true;
    while (r->at < r->len) {
        char c = r->text[r->at++];

        if (c == '"') {
            r->string[n] = '\0';
            return true;
        }
        if ((unsigned char)c < 0x20)
            return fail(r, "a control character in a string");
        if (c != '\\')
            put(r, &n, c);
        else if (!escape(r, &n))
            return false;
    }
    return fail(r, "a string does not end");
}

/* ---- values ---- */

static void tell(struct reader *r, struct json_value v)
{
    v.place = r->place;
    v.depth = r->depth;
    r->fn(r->arg, &v);
}

static bool number(struct reader *r)
{
    struct json_value v = { .type = JSON_NUMBER, .whole = true };
    size_t start = r->at;

    for (; r->at < r->len && next(r) && strchr("+-.0123456789eE", next(r)); r->at++) {
        char c = next(r);
        uint64_t digit = (uint64_t)(c - '0');

        if (c < '0' || c > '9' || v.number > (UINT64_MAX - digit) / 10)
            v.whole = false;
        else
            v.number = v.number * 10 + digit;
    }
    if (r->at == start)
        return fail(r, "no value");
    tell(r, v);
    return true;
}

static bool value(struct reader *r);

/* The members of an object, or elements of an array, behind its first bracket. */
static bool members(struct reader *r, bool object)
{
    char close = object ? '}' : ']';
    struct json_place *p = &r->place[r->depth];

    if (r->depth == JSON_READ_DEPTH)
        return fail(r, "too deep");
    *p = (struct json_place){ .index = 0 };
    r->depth++;
    skip_space(r);
    for (; next(r) != close; p->index++) {
        if (p->index && !take(r, ","))
            return fail(r, "a comma is missing");
        skip_space(r);
        if (object) {
            if (!take(r, "\"") || !string(r))
                return fail(r, "a name is missing");
            snprintf(p->key, sizeof(p->key), "%.*s", (int)sizeof(p->key) - 1, r->string);
            skip_space(r);
            if (!take(r, ":"))
                return fail(r, "a colon is missing");
        }
        if (!value(r))
            return false;
        skip_space(r);
    }
    r->at++;
    r->depth--;
    return true;
}

static bool value(struct reader *r)
{
    skip_space(r);
    if (take(r, "{"))
        return members(r, true);
    if (take(r, "["))
        return members(r, false);
    if (take(r, "\"")) {
        if (!string(r))
            return false;
        tell(r, (struct json_value){ .type = JSON_TEXT, .text = r->string, .whole = r->whole });
        return true;
    }
    if (take(r, "true"))
        return tell(r, (struct json_value){ .type = JSON_TRUE }), true;
    if (take(r, "false"))
        return tell(r, (struct json_value){ .type = JSON_FALSE }), true;
    if (take(r, "null"))
        return tell(r, (struct json_value){ .type = JSON_NULL }), true;
    return number(r);
}

const char *json_read(const char *text, size_t len,
                      void (*fn)(void *arg, const struct json_value *v), void *arg, size_t *at)
{
    struct reader r = { .text = text, .len = len, .fn = fn, .arg = arg };

    if (value(&r)) {
        skip_space(&r);
        if (r.at < r.len)
            fail(&r, "something stands behind it");
    }
    *at = r.at;
    return r.wrong;
}

bool json_is_at(const struct json_value *v, const char *path)
{
    for (unsigned int i = 0; i < v->depth; i++) {
        const char *key = v->place[i].key[0] ? v->place[i].key : "*";
        size_t n = strlen(key);

        if (strncmp(path, key, n) != 0 || path[n] != (i + 1 < v->depth ? '/' : '\0'))
            return false;
        path += n + 1;
    }
    return v->depth > 0;
}
