/* Formatted output and numbers from text. */
#include "lib/lib.h"

size_t xl_strlcpy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src), n = MIN(len, size - 1);

    memcpy(dst, src, n);
    dst[n] = '\0';
    return len;
}

struct output {
    char *buf;
    size_t size, len;
};

static void put(struct output *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
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

/* One conversion, f after its '%'; returns what follows it. */
static const char *convert(struct output *o, const char *f, va_list *ap)
{
    char pad = *f == '0' ? '0' : ' ';
    unsigned int width = 0;
    bool wide = false;
    int64_t value;

    for (; *f >= '0' && *f <= '9'; f++)
        width = MIN(width * 10 + (unsigned int)(*f - '0'), WIDTH_MAX);
    for (; *f == 'l' || *f == 'z'; f++)
        wide = true;
    switch (*f) {
    case 'd':
        value = wide ? va_arg(*ap, int64_t) : va_arg(*ap, int);
        if (value < 0)
            put(o, '-');
        put_number(o, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, 0, pad);
        break;
    case 'u':
    case 'x':
        put_number(o, wide ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned int), *f == 'u' ? 10 : 16,
                   width, pad);
        break;
    case 'c': put(o, (char)va_arg(*ap, int)); break;
    case 's': put_text(o, va_arg(*ap, const char *)); break;
    case 'p': put_symbol(o, (uint64_t)(uintptr_t)va_arg(*ap, void *)); return f + 2; /* %pS */
    case '\0': return f;
    default: put(o, *f);
    }
    return f + 1;
}

int xl_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct output o = { buf, size, 0 };
    va_list ap;

    va_copy(ap, args);
    while (*fmt) {
        if (*fmt == '%')
            fmt = convert(&o, fmt + 1, &ap);
        else
            put(&o, *fmt++);
    }
    va_end(ap);
    buf[MIN(o.len, size - 1)] = '\0';
    return (int)o.len;
}

int xl_snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = xl_vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return len;
}

int xl_next_word(const char *words, const char **s, char separator)
{
    const char *word = *s, *end = strchr(word, separator);
    size_t len = end ? (size_t)(end - word) : strlen(word);

    *s = end && separator ? end + 1 : NULL;
    for (int i = 0; words; i++) {
        const char *bar = strchr(words, '|');

        if ((bar ? (size_t)(bar - words) : strlen(words)) == len && strncmp(words, word, len) == 0)
            return i;
        words = bar ? bar + 1 : NULL;
    }
    return -1;
}
