/* Console, verdict and the few functions of a C library that the compiler wants. */
#include "guest.h"

static char failed[200];
static unsigned int nr_failed;

void *memset(void *p, int c, size_t n)
{
    void *start = p;

    __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
    return start;
}

void *memcpy(void *d, const void *s, size_t n)
{
    void *to = d;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(s), "+c"(n) : : "memory");
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    for (const uint8_t *x = a, *y = b; n--; x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return *a - *b;
}

static size_t put_number(char *out, uint64_t v, unsigned int base, bool negative)
{
    char tmp[24];
    size_t n = 0, len;

    do {
        tmp[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (negative)
        tmp[n++] = '-';
    len = n;
    while (n)
        *out++ = tmp[--n];
    return len;
}

static size_t format(char *buf, size_t size, const char *fmt, va_list args)
{
    size_t n = 0;

    for (; *fmt && n + 24 < size; fmt++) {
        bool wide = false;
        uint64_t v;

        if (*fmt != '%') {
            buf[n++] = *fmt;
            continue;
        }
        while (*++fmt == 'l')
            wide = true;
        if (*fmt == 's') {
            for (const char *s = va_arg(args, const char *); *s && n + 24 < size; s++)
                buf[n++] = *s;
            continue;
        }
        if (*fmt == '%') {
            buf[n++] = '%';
            continue;
        }
        v = wide || *fmt == 'p' ? va_arg(args, uint64_t)
            : *fmt == 'd'       ? (uint64_t)(int64_t)va_arg(args, int)
                                : va_arg(args, unsigned int);
        if (*fmt == 'c')
            buf[n++] = (char)v;
        else if (*fmt == 'd')
            n += put_number(buf + n, (int64_t)v < 0 ? -v : v, 10, (int64_t)v < 0);
        else
            n += put_number(buf + n, v, *fmt == 'u' ? 10 : 16, false);
    }
    buf[n] = 0;
    return n;
}

void console_write(const char *s, size_t len_bytes)
{
    hc(console_io, CONSOLEIO_write, len_bytes, s);
}

int print(const char *fmt, ...)
{
    char buf[400];
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = format(buf, sizeof(buf), fmt, args);
    va_end(args);
    console_write(buf, n);
    return (int)n;
}

void check_failed(int line, const char *fmt, ...)
{
    char buf[200];
    va_list args;

    va_start(args, fmt);
    format(buf, sizeof(buf), fmt, args);
    va_end(args);
    if (nr_failed++ == 0)
        memcpy(failed, buf, sizeof(failed));
    if (nr_failed <= 20)
        print("%s.c:%d: %s\n", guest_name, line, buf);
}

static void power_off(void)
{
    struct sched_shutdown s = { .reason = SHUTDOWN_poweroff };

    hc(sched_op, SCHEDOP_shutdown, &s);
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

void verdict(const char *what, const char *fmt, ...)
{
    static bool said;
    char buf[200];
    va_list args;

    va_start(args, fmt);
    format(buf, sizeof(buf), fmt, args);
    va_end(args);
    if (!said) {
        said = true;
        print("VERDICT %s %s%s%s\n", guest_name, what, buf[0] ? " " : "", buf);
    }
    power_off();
    for (;;)
        cpu_relax();
}

void expect_crash(void) { print("EXPECT %s CRASH\n", guest_name); }

bool on_xen(void)
{
    xen_extraversion_t extra = { 0 };

    hc(xen_version, XENVER_extraversion, extra);
    for (unsigned int i = 0; i + 8 <= sizeof(extra); i++)
        if (memcmp(extra + i, "xen-like", 8) == 0)
            return false;
    return true;
}

/* start.c's last step. */
void report_checks(void);
void report_checks(void)
{
    witness_check();
    if (nr_failed)
        verdict("FAILURE", "%u checks, first: %s", nr_failed, failed);
    verdict("SUCCESS", "%s", "");
}
