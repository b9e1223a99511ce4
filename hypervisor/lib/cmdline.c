/* See cmdline.h: one table of options; each parser changes nothing unless all is well. */
#include "lib/cmdline.h"

#include "lib/lib.h"
#include "lib/print.h"

#define MAX_DOM0_VCPUS 64
#define OPTION_MAX 128 /* bytes of one word, with its NUL */

struct options options = {
    .com = { { .data_bits = 8, .stop_bits = 1, .parity = 'n', .io_base = 0x3f8, .irq = 4 },
             { .data_bits = 8, .stop_bits = 1, .parity = 'n', .io_base = 0x2f8, .irq = 3 } },
    .console_com = 0,
    .loglvl = LOG_INFO + 1,
    .guest_loglvl = LOG_WARN + 1,
    .conswitch = 'a',
    .smep = true,
    .smap = true,
    .xpti = -1,
};

struct option {
    const char *name;
    bool (*parse)(const struct option *o, const char *value);
    void *target;
};

static bool parse_bool(const struct option *o, const char *value)
{
    int i = xl_word_index("no|off|false|disable|0|yes|on|true|enable|1", value, strlen(value));

    if (i >= 0)
        *(bool *)o->target = i >= 5; /* also for an int8_t with three states */
    return i >= 0;
}

static bool parse_vcpus(const struct option *o, const char *value)
{
    const char *end;
    uint64_t n = xl_strtoull(value, &end);

    if (*end || n < 1 || n > MAX_DOM0_VCPUS)
        return false;
    *(uint32_t *)o->target = (uint32_t)n;
    return true;
}

static bool parse_clocksource(const struct option *o, const char *value)
{
    int i = xl_word_index("auto|hpet|acpi|pit", value, strlen(value));

    if (i >= 0)
        *(uint8_t *)o->target = (uint8_t)i; /* in the order of enum clocksource */
    return i >= 0;
}

/* Index in words of the list's first element; *s moves to the next element or to NULL. */
static int next_word(const char *words, const char **s, char separator)
{
    const char *end = strchr(*s, separator);
    int i = xl_word_index(words, *s, end ? (size_t)(end - *s) : strlen(*s));

    *s = end ? end + 1 : NULL;
    return i;
}

/*
 * level[/level]: the first are always shown, those up to the second subject to a rate limit. Our
 * rate limit depends on who causes a message, not on its level, so the higher one counts.
 */
static bool parse_loglvl(const struct option *o, const char *value)
{
    uint32_t highest = 0;

    while (value) {
        int i = next_word("none|error|warning|info|debug|all", &value, '/');

        if (i < 0)
            return false;
        highest = MAX(highest, MIN((uint32_t)i, LOG_DEBUG + 1u));
    }
    *(uint32_t *)o->target = highest;
    return true;
}

bool parse_size_bytes(const char *s, const char **end, uint64_t *bytes)
{
    static const char units[] = "bkmgt"; /* each 1,024 of the one before */
    uint64_t n = xl_strtoull(s, end);
    const char *unit = **end ? strchr(units, **end | 0x20) : NULL;
    unsigned int shift = unit ? 10 * (unsigned int)(unit - units) : 10;

    if (*end == s)
        return false;
    *end += unit != NULL;
    *bytes = n << shift;
    return *bytes >> shift == n;
}

/* dom0_mem=SIZE,min:SIZE,max:SIZE; any of them, each may be negative */
static bool parse_dom0_mem(const struct option *o, const char *value)
{
    struct mem_size_option m[3] = { options.dom0_mem, options.dom0_mem_min, options.dom0_mem_max };

    for (const char *s = value; s;) {
        int i = strncmp(s, "min:", 4) == 0 ? 1 : strncmp(s, "max:", 4) == 0 ? 2 : 0;

        s += i ? 4 : 0;
        m[i].given = true;
        m[i].negative = *s == '-';
        if (!parse_size_bytes(s + m[i].negative, &s, &m[i].bytes) || (*s && *s != ','))
            return false;
        s = *s ? s + 1 : NULL;
    }
    options.dom0_mem = m[0];
    options.dom0_mem_min = m[1];
    options.dom0_mem_max = m[2];
    return true;
}

static bool parse_framing(struct uart_option *u, const char *s)
{
    if (s[0] < '5' || s[0] > '8' || !s[1] || !strchr("noems", s[1]) || (s[2] != '1' && s[2] != '2'))
        return false;
    u->data_bits = (uint8_t)(s[0] - '0');
    u->parity = s[1];
    u->stop_bits = (uint8_t)(s[2] - '0');
    return true;
}

/* ,NUMBER at *s if there is one; leaves *s behind it */
static bool next_number(const char **s, uint64_t max, uint64_t *n)
{
    const char *begin = *s + 1;

    if (**s != ',')
        return true;
    *n = xl_strtoull(begin, s);
    return *s != begin && *n <= max;
}

static bool parse_com(const struct option *o, const char *s)
{
    struct uart_option u = *(struct uart_option *)o->target;
    uint64_t baud = 0, io_base = u.io_base, irq = u.irq;

    if (strncmp(s, "auto", 4) == 0) {
        s += 4;
    } else {
        baud = xl_strtoull(s, &s);
        if (baud < 50 || baud > 115200)
            return false;
    }
    if (*s == ',') {
        if (!parse_framing(&u, s + 1))
            return false;
        s += 4;
    }
    if (!next_number(&s, 0xfff8, &io_base) || !next_number(&s, 15, &irq) || *s || io_base < 0x100)
        return false;
    u.given = true;
    u.baud = (uint32_t)baud;
    u.io_base = (uint16_t)io_base;
    u.irq = (uint8_t)irq;
    *(struct uart_option *)o->target = u;
    return true;
}

/* A list; the first serial port in it is ours. VGA text output belongs to domain 0. */
static bool parse_console(const struct option *o, const char *value)
{
    int com = -1;

    while (value) {
        int i = next_word("com1|com2|vga|none", &value, ',');

        if (i < 0)
            return false;
        com = i < 2 && com < 0 ? i : com;
    }
    *(int8_t *)o->target = (int8_t)com;
    return true;
}

static bool parse_conswitch(const struct option *o, const char *value)
{
    char c = value[0] | 0x20;

    if (c < 'a' || c > 'z' || (value[1] && strcmp(value + 1, "x") != 0))
        return false;
    options.conswitch = c;
    options.conswitch_stays = value[1] == 'x';
    return true;
}

static bool accept_silently(const struct option *o, const char *value) { return true; }

static bool accept_vga(const struct option *o, const char *value)
{
    print(LOG_INFO, "Command line: vga=%s has no effect: the screen is domain 0's", value);
    return true;
}

static const struct option table[] = {
    { "com1", parse_com, &options.com[0] },
    { "com2", parse_com, &options.com[1] },
    { "console", parse_console, &options.console_com },
    { "sync_console", parse_bool, &options.sync_console },
    { "conswitch", .parse = parse_conswitch },
    { "loglvl", parse_loglvl, &options.loglvl },
    { "guest_loglvl", parse_loglvl, &options.guest_loglvl },
    { "noreboot", parse_bool, &options.noreboot },
    { "dom0_mem", .parse = parse_dom0_mem },
    { "dom0_max_vcpus", parse_vcpus, &options.dom0_max_vcpus },
    { "clocksource", parse_clocksource, &options.clocksource },
    { "smep", parse_bool, &options.smep },
    { "smap", parse_bool, &options.smap },
    { "xpti", parse_bool, &options.xpti },
    { "watchdog", parse_bool, &options.watchdog },
    { "vga", .parse = accept_vga },
    { "placeholder", .parse = accept_silently },
    { "no-real-mode", .parse = accept_silently },
    { "edd", .parse = accept_silently },
};

static const struct option *find_option(const char *name)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void parse_word(char *word)
{
    char *equals = strchr(word, '=');
    const char *value = equals ? equals + 1 : "";
    const struct option *o;

    if (equals)
        *equals = '\0';
    o = find_option(word);
    if (o && !equals && o->parse == parse_bool)
        value = "1";
    if (o == NULL && !equals && strncmp(word, "no-", 3) == 0) {
        o = find_option(word + 3);
        o = o && o->parse == parse_bool ? o : NULL;
        value = "0";
    }
    if (o == NULL)
        print(LOG_WARN, "Command line: unknown option %s%s%s ignored", word, equals ? "=" : "",
              equals ? value : "");
    else if (!o->parse(o, value))
        print(LOG_WARN, "Command line: %s: bad value \"%s\" ignored", word, value);
}

void cmdline_parse(const char *line)
{
    while (*line) {
        char word[OPTION_MAX];
        size_t len = 0;

        while (line[len] && line[len] != ' ' && line[len] != '\t')
            len++;
        xl_strlcpy(word, line, MIN(len + 1, sizeof(word)));
        if (len >= sizeof(word))
            print(LOG_WARN, "Command line: %s... is longer than %u bytes, ignored", word,
                  OPTION_MAX - 1);
        else if (len && word[0] != '/') /* a boot loader may put the image's path first */
            parse_word(word);
        line += len + (line[len] != '\0');
    }
}
