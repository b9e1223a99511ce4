/* See json.h. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes the UTF-8 character there has; 0: it is none (or too long, a surrogate, too large). */
static unsigned int utf8_len(const unsigned char *s)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned int len = s[0] < 0x80   ? 1
                       : s[0] < 0xc2 ? 0
                       : s[0] < 0xe0 ? 2
                       : s[0] < 0xf0 ? 3
                       : s[0] < 0xf5 ? 4
                                     : 0;
    uint32_t c = s[0] & (0xffu >> (len + 1));

    if (len <= 1)
        return len;
    for (unsigned int i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[len] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff ? 0 : len;
}

static void put_string(struct text *out, const char *string)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    const unsigned char *s = (const unsigned char *)string;

    text_puts(out, "\"");
    while (*s) {
        unsigned int len = utf8_len(s);
        const char *letter = NULL;

        for (const char *l = letters; *l && letter == NULL; l += 2)
            letter = *l == (char)*s ? l + 1 : NULL;
        if (letter)
            text_printf(out, "\\%c", *letter);
        else if (len == 0)
            text_puts(out, "\\ufffd");
        else if (*s < 0x20 || *s == 0x7f)
            text_printf(out, "\\u%04x", *s);
        else
            text_put(out, (const char *)s, len);
        s += len ? len : 1;
    }
    text_puts(out, "\"");
}

static void new_line(struct json *j) { text_printf(j->out, "\n%*s", 4 * (int)j->depth, ""); }

static void begin(struct json *j, const char *key)
{
    if (j->depth) {
        bool *has_members = &j->has_members[j->depth - 1];

        if (*has_members)
            text_puts(j->out, ",");
        *has_members = true;
        new_line(j);
    }
    if (key) {
        put_string(j->out, key);
        text_puts(j->out, ": ");
    }
}

static void open_level(struct json *j, const char *key, char open, char close)
{
    if (j->depth == JSON_DEPTH)
        abort();
    begin(j, key);
    text_put(j->out, &open, 1);
    j->close[j->depth] = close;
    j->has_members[j->depth++] = false;
}

void json_object(struct json *j, const char *key) { open_level(j, key, '{', '}'); }

void json_array(struct json *j, const char *key) { open_level(j, key, '[', ']'); }

void json_end(struct json *j)
{
    if (j->depth == 0)
        abort();
    j->depth--;
    if (j->has_members[j->depth])
        new_line(j);
    text_put(j->out, &j->close[j->depth], 1);
    if (j->depth == 0)
        text_puts(j->out, "\n");
}

void json_string(struct json *j, const char *key, const char *value)
{
    begin(j, key);
    put_string(j->out, value);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
    begin(j, key);
    text_printf(j->out, "%" PRIu64, value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    begin(j, key);
    text_printf(j->out, "%" PRId64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    text_puts(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
    begin(j, key);
    text_puts(j->out, "null");
}

void json_decimal(struct json *j, const char *key, uint64_t thousandths)
{
    begin(j, key);
    text_printf(j->out, "%" PRIu64 ".%03u", thousandths / 1000, (unsigned int)(thousandths % 1000));
}
