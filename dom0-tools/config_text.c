/* See config_text.h. A recursive descent over a copy of the text; behind it tokens are put together. */
#include "config_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct copy {
    struct copy *next;
    char text[];
};

struct document {
    struct setting *first, **last;
    struct copy *copies;
    unsigned int nr_values; /* keys included */
};

struct parser {
    struct document *d;
    const char *file;
    unsigned int line, given_line;
    const char *at, *end; /* at the end there is a zero */
    char *token;          /* where the next goes */
    document_report *report;
    void *arg;
    int error;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '-'; }

static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 16;
}

void printable(char *to, size_t size, const char *from, size_t len)
{
    size_t n = len < size ? len : size - 1;

    for (size_t i = 0; i < n; i++)
        to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
    to[n] = '\0';
    if (n < len && n > 3)
        memcpy(to + n - 3, "...", 3);
}

/* The first is said, and parsing ends. */
static void fail(struct parser *p, const char *what)
{
    char text[100];
    char near[24];

    if (p->error)
        return;
    p->error = -EINVAL;
    printable(near, sizeof(near), p->at, strcspn(p->at, "\n"));
    if (p->at == p->end || *p->at == '\n')
        snprintf(text, sizeof(text), "%s at the end%s", what,
                 p->at == p->end ? "" : " of the line");
    else
        snprintf(text, sizeof(text), "%s near '%s'", what, near);
    p->report(p->arg, p->file, p->given_line ? p->given_line : p->line, text);
}

/* Spaces and comments; @lines also ends of lines. A '\r' is one, if the line ends with it. */
static void skip(struct parser *p, bool lines)
{
    for (;; p->at++) {
        if (*p->at == '#')
            p->at += strcspn(p->at, "\n");
        if (*p->at == '\n' && lines)
            p->line++;
        else if (*p->at != ' ' && *p->at != '\t' && !(p->at[0] == '\r' && p->at[1] == '\n'))
            return;
    }
}

/* Of digits in that base, at least and at most so many. -1: there are none. */
static int numeric_escape(struct parser *p, int base, unsigned int min, unsigned int max)
{
    unsigned int n = 0;
    int c = 0;

    while (n < max && hex_digit(*p->at) < base) {
        c = c * base + hex_digit(*p->at++);
        n++;
    }
    return n < min || c == 0 || c > 255 ? -1 : c;
}

/* What stands behind a backslash, as in C: letters for control characters, \x41, \101, punctuation. */
static int escape(struct parser *p)
{
    static const char letters[] = "a\ab\bf\fn\nr\rt\tv\v";
    char c = *p->at;

    if (is_digit(c))
        return numeric_escape(p, 8, 1, 3);
    p->at++;
    if (c == 'x')
        return numeric_escape(p, 16, 2, 2);
    for (const char *l = letters; *l; l += 2) {
        if (*l == c)
            return l[1];
    }
    return c > ' ' && c < 0x7f && !is_letter(c) ? c : -1;
}

/*
 * The token's zero: all tokens fit, since each has a character behind it in the text, or quotes. Returns the
 * token, of that length.
 */
static const char *end_token(struct parser *p, size_t len)
{
    const char *token = p->token;

    p->token[len] = '\0';
    p->token += len + 1;
    return token;
}

static const char *parse_word(struct parser *p)
{
    size_t len = 0;

    while (is_word(p->at[len]))
        len++;
    memcpy(p->token, p->at, len);
    p->at += len;
    return end_token(p, len);
}

/* Never longer than it was written. */
static const char *parse_string(struct parser *p)
{
    char quote = *p->at++;
    size_t len = 0;

    while (*p->at != quote) {
        const char *start = p->at;
        int c = (unsigned char)*p->at;

        if (c == '\n' || c == '\0') {
            fail(p, c || p->at == p->end ? "a string does not end in its line" : "a zero byte");
            return NULL;
        }
        p->at++;
        if (c == '\\' && (c = escape(p)) < 0) {
            p->at = start;
            fail(p, "unknown escape");
            return NULL;
        }
        p->token[len++] = (char)c;
    }
    p->at++;
    return end_token(p, len);
}

static bool one_more(struct parser *p)
{
    if (++p->d->nr_values > DOCUMENT_VALUES)
        fail(p, "too many values");
    return p->error == 0;
}

static void parse_list(struct parser *p, struct value *list, unsigned int depth);

static void parse_value(struct parser *p, struct value *v, unsigned int depth)
{
    v->line = p->given_line ? p->given_line : p->line;
    if (!one_more(p))
        return;
    if (*p->at == '[')
        parse_list(p, v, depth);
    else if (*p->at == '"' || *p->at == '\'')
        v->text = parse_string(p);
    else if (is_digit(*p->at))
        v->text = parse_word(p);
    else if (*p->at == '-' && is_digit(p->at[1]))
        fail(p, "a number may not be negative");
    else
        fail(p, "a string, a number or a list is missing");
}

/* A comma may stand behind the last value, too. */
static void parse_list(struct parser *p, struct value *list, unsigned int depth)
{
    struct value **next = &list->first;

    if (depth == DOCUMENT_DEPTH) {
        fail(p, "too many lists in lists");
        return;
    }
    p->at++;
    for (;;) {
        skip(p, true);
        if (*p->at == ']')
            break;
        *next = calloc(1, sizeof(**next));
        if (*next == NULL) {
            p->error = p->error ? p->error : -ENOMEM;
            return;
        }
        parse_value(p, *next, depth + 1);
        next = &(*next)->next;
        skip(p, true);
        if (*p->at == ',')
            p->at++;
        else if (*p->at != ']')
            fail(p, "',' or ']' is missing");
        if (p->error)
            return;
    }
    p->at++;
}

static void parse_setting(struct parser *p)
{
    struct setting *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        p->error = -ENOMEM;
        return;
    }
    *p->d->last = s;
    p->d->last = &s->next;
    s->file = p->file;
    s->line = p->given_line ? p->given_line : p->line;
    s->key = parse_word(p);
    one_more(p);
    skip(p, false);
    if (*p->at != '=')
        fail(p, "'=' is missing");
    if (p->error)
        return;
    p->at++;
    skip(p, false);
    parse_value(p, &s->value, 0);
    skip(p, false);
    if (*p->at != ';' && *p->at != '\n' && p->at != p->end)
        fail(p, "the end of the line is missing");
}

struct document *document_new(void)
{
    struct document *d = calloc(1, sizeof(*d));

    if (d)
        d->last = &d->first;
    return d;
}

static void free_values(struct value *v)
{
    while (v) {
        struct value *next = v->next;

        free_values(v->first);
        free(v);
        v = next;
    }
}

void document_free(struct document *d)
{
    while (d && d->first) {
        struct setting *s = d->first;

        d->first = s->next;
        free_values(s->value.first);
        free(s);
    }
    while (d && d->copies) {
        struct copy *c = d->copies;

        d->copies = c->next;
        free(c);
    }
    free(d);
}

int document_add(struct document *d, const char *file, unsigned int line, const char *text,
                 size_t len, document_report *report, void *arg)
{
    struct parser p = { d, file, 1, line, NULL, NULL, NULL, report, arg, 0 };
    struct copy *copy;

    if (len > DOCUMENT_BYTES) {
        report(arg, file, line, "the file is too large");
        return -EINVAL;
    }
    copy = malloc(sizeof(*copy) + 2 * len + 2);
    if (copy == NULL)
        return -ENOMEM;
    copy->next = d->copies;
    d->copies = copy;
    memcpy(copy->text, text, len);
    copy->text[len] = '\0';
    p.at = copy->text;
    p.end = copy->text + len;
    p.token = copy->text + len + 1;
    while (p.error == 0) {
        skip(&p, true);
        if (*p.at == ';')
            p.at++;
        else if (is_letter(*p.at))
            parse_setting(&p);
        else if (p.at == p.end)
            break;
        else
            fail(&p, "a key is missing");
    }
    return p.error;
}

const struct setting *document_settings(const struct document *d) { return d->first; }
