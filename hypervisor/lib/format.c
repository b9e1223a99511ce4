/* Formatted output and numbers from text. */
#include "lib/lib.h"

#include "lib/symbols.h"

size_t xl_strlcpy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src), n = MIN(len, size - 1);

    memcpy(dst, src, n);
    dst[n] = '\0';
    return len;
}

struct output { char *buf; size_t size, len; };

struct spec {
    int width, precision; /* precision -1: none given */
    bool left, zero;
};

static void put(struct output *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void put_repeated(struct output *o, char c, int count)
{
    while (count-- > 0)
        put(o, c);
}

static void put_text(struct output *o, const struct spec *s, const char *text, size_t len)
{
    int pad = s->width - (int)len;

    if (!s->left)
        put_repeated(o, ' ', pad);
    for (size_t i = 0; i < len; i++)
        put(o, text[i]);
    if (s->left)
        put_repeated(o, ' ', pad);
}

static void put_number(struct output *o, const struct spec *s, uint64_t value, bool negative,
                       char conversion)
{
    const char *digits = conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned int base = conversion == 'u' ? 10 : 16;
    char text[24];
    int n = 0, zeros, pad;

    for (; value; value /= base)
        text[n++] = digits[value % base];
    zeros = (s->precision < 0 ? 1 : s->precision) - n;
    if (s->zero && !s->left && s->precision < 0)
        zeros = MAX(zeros, s->width - n - negative);
    pad = s->width - n - negative - MAX(zeros, 0);
    if (!s->left)
        put_repeated(o, ' ', pad);
    if (negative)
        put(o, '-');
    put_repeated(o, '0', zeros);
    while (n > 0)
        put(o, text[--n]);
    if (s->left)
        put_repeated(o, ' ', pad);
}

static void put_symbol(struct output *o, const struct spec *s, uint64_t addr)
{
    uint64_t offset;
    const char *name = symbol_lookup(addr, &offset);
    char text[96];

    if (name)
        xl_snprintf(text, sizeof(text), "%s+0x%lx", name, offset);
    else
        xl_snprintf(text, sizeof(text), "%016lx", addr);
    put_text(o, s, text, strlen(text));
}

/* Sizes as powers: -2 hh, -1 h, 0 int, 1 l, 2 ll; z is l. */
static const char *parse_size(const char *f, int *size)
{
    for (*size = 0; *f == 'h' || *f == 'l' || *f == 'z'; f++)
        *size += *f == 'h' ? -1 : 1;
    return f;
}

static uint64_t narrow(uint64_t value, int size, bool is_signed)
{
    switch (size) {
    case 1: case 2: return value;
    case 0: return is_signed ? (uint64_t)(int)value : (unsigned int)value;
    case -1: return is_signed ? (uint64_t)(short)value : (unsigned short)value;
    default: return is_signed ? (uint64_t)(signed char)value : (unsigned char)value;
    }
}

static const char *parse_count(const char *f, int *count, va_list *ap)
{
    if (*f == '*') {
        *count = va_arg(*ap, int);
        return f + 1;
    }
    for (*count = 0; *f >= '0' && *f <= '9'; f++)
        *count = MIN(*count * 10 + (*f - '0'), 4096);
    return f;
}

static const char *parse_spec(const char *f, struct spec *s, va_list *ap)
{
    *s = (struct spec){ .precision = -1 };
    for (; *f == '-' || *f == '0'; f++)
        *(*f == '-' ? &s->left : &s->zero) = true;
    f = parse_count(f, &s->width, ap);
    if (s->width < 0) {
        s->left = true;
        s->width = s->width < -4096 ? 4096 : -s->width;
    }
    if (*f == '.')
        f = parse_count(f + 1, &s->precision, ap);
    return f;
}

/* One conversion, f after its '%'; returns what follows it. */
static const char *convert(struct output *o, const char *f, va_list *ap)
{
    struct spec s;
    uint64_t value;
    const char *text;
    char c;
    int size;

    f = parse_size(parse_spec(f, &s, ap), &size);
    switch (*f) {
    case 'd': case 'i':
        value = narrow(size > 0 ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned int), size, true);
        put_number(o, &s, (int64_t)value < 0 ? -value : value, (int64_t)value < 0, 'u');
        break;
    case 'u': case 'x': case 'X':
        value = narrow(size > 0 ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned int), size, false);
        put_number(o, &s, value, false, *f);
        break;
    case 'c':
        c = (char)va_arg(*ap, int);
        put_text(o, &s, &c, 1);
        break;
    case 's':
        text = va_arg(*ap, const char *);
        if (text == NULL)
            text = "(null)";
        put_text(o, &s, text, strnlen(text, s.precision < 0 ? INT32_MAX : (size_t)s.precision));
        break;
    case 'p':
        value = (uint64_t)(uintptr_t)va_arg(*ap, void *);
        if (f[1] == 'S') {
            put_symbol(o, &s, value);
            return f + 2;
        }
        s.precision = 16;
        put_number(o, &s, value, false, 'x');
        break;
    case '\0':
        return f;
    default:
        put(o, *f);
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
    if (size)
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

static int digit(char c, unsigned int base)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint64_t xl_strtoull(const char *s, const char **end)
{
    unsigned int base = 10;
    uint64_t value = 0, next;

    if (s[0] == '0' && (s[1] | 0x20) == 'x' && digit(s[2], 16) >= 0) {
        base = 16;
        s += 2;
    }
    for (int d; (d = digit(*s, base)) >= 0; s++) {
        bool over = __builtin_mul_overflow(value, base, &next) ||
                    __builtin_add_overflow(next, (uint64_t)d, &next);

        value = over ? UINT64_MAX : next;
    }
    *end = s;
    return value;
}

int xl_word_index(const char *words, const char *s, size_t len)
{
    for (int i = 0; *words; i++) {
        const char *bar = strchr(words, '|');
        size_t n = bar ? (size_t)(bar - words) : strlen(words);

        if (n == len && strncmp(words, s, n) == 0)
            return i;
        words += n + (bar != NULL);
    }
    return -1;
}
