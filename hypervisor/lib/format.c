/* Formatted output and numbers from text. */
#include "lib/lib.h"

struct output {
    char *at, *last; /* where the NUL goes if all before it is full */
};

static void put(struct output *o, char c)
{
    if (o->at < o->last)
        *o->at++ = c;
}

static void put_text(struct output *o, const char *text)
{
    for (; *text; text++)
        put(o, *text);
}

#define WIDTH_MAX 31u

static void put_number(struct output *o, uint64_t value, unsigned int base, unsigned int width,
                       char pad)
{
    char text[WIDTH_MAX]; /* last character first */
    unsigned int n = 0;

    do
        text[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n < width)
        text[n++] = pad;
    while (n)
        put(o, text[--n]);
}

static void put_symbol(struct output *o, uint64_t addr)
{
    uint64_t offset = addr;
    const char *name = symbol_lookup(addr, &offset);

    put_text(o, name ? name : "");
    put_text(o, name ? "+0x" : "0x");
    put_number(o, offset, 16, 0, '0');
}

void xl_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct output o = { buf, buf + size - 1 };

    for (; *fmt; fmt++) {
        unsigned int width = 0;
        bool wide = false;
        int64_t value;
        char pad;

        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        pad = *++fmt == '0' ? '0' : ' ';
        for (; *fmt >= '0' && *fmt <= '9'; fmt++)
            width = MIN(width * 10 + (unsigned int)(*fmt - '0'), WIDTH_MAX);
        for (; *fmt == 'l' || *fmt == 'z'; fmt++)
            wide = true;
        switch (*fmt) {
        case 'd':
            value = wide ? va_arg(ap, int64_t) : va_arg(ap, int);
            if (value < 0)
                put(&o, '-');
            put_number(&o, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, 0, pad);
            break;
        case 'u':
        case 'x':
            put_number(&o, wide ? va_arg(ap, uint64_t) : va_arg(ap, unsigned int),
                       *fmt == 'u' ? 10 : 16, width, pad);
            break;
        case 'c': put(&o, (char)va_arg(ap, int)); break;
        case 's': put_text(&o, va_arg(ap, const char *)); break;
        case 'p': /* %pS */
            put_symbol(&o, (uint64_t)(uintptr_t)va_arg(ap, void *));
            fmt++;
            break;
        default: put(&o, *fmt); /* %%; others, and none, the compiler refuses */
        }
    }
    *o.at = '\0';
}

void xl_snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    xl_vsnprintf(buf, size, fmt, ap);
    va_end(ap);
}

int xl_next_word(const char *words, const char **s, char separator)
{
    const char *word = *s;
    size_t len = 0, n;

    while (word[len] && word[len] != separator)
        len++;
    *s = word[len] ? word + len + 1 : NULL;
    for (int i = 0;; i++, words += n + 1) {
        for (n = 0; words[n] && words[n] != '|';)
            n++;
        if (n == len && strncmp(words, word, len) == 0)
            return i;
        if (words[n] == '\0')
            return -1;
    }
}
