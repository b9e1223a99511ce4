/* See cmdline.h: one table of options; each parser changes nothing unless all is well. */
#include "lib/cmdline.h"

#include "lib/lib.h"

#define MAX_DOM0_VCPUS 64
#define WORD_MAX 1024 /* the boot loader's whole line is not longer */
#define LCR_8N1 3

struct options options = {
    .com = { { .io_base = 0x3f8, .irq = 4, .lcr = LCR_8N1 },
             { .io_base = 0x2f8, .irq = 3, .lcr = LCR_8N1 } },
    .loglvl = LOG_INFO + 1,
    .guest_loglvl = LOG_WARN + 1,
    .smep = true,
    .smap = true,
};

static bool parse_bool(void *target, const char *value)
{
    int i = xl_next_word("no|off|false|disable|0|yes|on|true|enable|1", &value, '\0');

    if (i >= 0)
        *(bool *)target = i >= 5;
    return i >= 0;
}

/* A decimal number; *end is the first character not used. Saturates. */
static uint64_t parse_number(const char *s, const char **end)
{
    uint64_t n = 0;

    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n))
            n = UINT64_MAX;
    *end = s;
    return n;
}

static bool parse_vcpus(void *target, const char *value)
{
    const char *end;
    uint64_t n = parse_number(value, &end);

    if (*end || n < 1 || n > MAX_DOM0_VCPUS)
        return false;
    options.dom0_max_vcpus = (uint32_t)n;
    return true;
}

static bool parse_clocksource(void *target, const char *value)
{
    int i = xl_next_word("auto|hpet|acpi|pit", &value, '\0');

    if (i >= 0)
        options.clocksource = (uint8_t)i; /* in the order of enum clocksource */
    return i >= 0;
}

/*
 * level[/level]: the first are always shown, those up to the second subject to a rate limit. Our
 * rate limit depends on who causes a message, not on its level, so the higher one counts.
 */
static bool parse_loglvl(void *target, const char *value)
{
    uint32_t highest = 0;

    while (value) {
        int i = xl_next_word("none|error|warning|info|debug|all", &value, '/');

        if (i < 0)
            return false;
        highest = MAX(highest, MIN((uint32_t)i, LOG_DEBUG + 1u));
    }
    *(uint32_t *)target = highest;
    return true;
}

static bool parse_size_bytes(const char *s, const char **end, uint64_t *bytes)
{
    static const char units[] = "bkmgt"; /* each 1,024 of the one before; none is k */
    uint64_t n = parse_number(s, end);
    const char *unit = **end ? strchr(units, **end | 0x20) : NULL;
    unsigned int shift = unit ? 10 * (unsigned int)(unit - units) : 10;

    if (*end == s)
        return false;
    *end += unit != NULL;
    *bytes = n << shift;
    return *bytes >> shift == n;
}

/* dom0_mem=SIZE,min:SIZE,max:SIZE; any of them, each may be negative */
static bool parse_dom0_mem(void *target, const char *s)
{
    struct mem_size_option m[3] = { options.dom0_mem, options.dom0_mem_min, options.dom0_mem_max };

    while (s) {
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

/* BAUD or auto, and then perhaps data bits, parity and stop bits: 115200,8n1 */
static bool parse_com(void *target, const char *s)
{
    static const char parities[] = "nonenmns"; /* first place: bits 5..3 of the LCR */
    uint64_t baud = 0;
    uint8_t lcr = LCR_8N1;
    struct uart_option *u = target;

    if (strncmp(s, "auto", 4) == 0)
        s += 4;
    else if ((baud = parse_number(s, &s)) < 50 || baud > 115200)
        return false;
    if (*s) {
        const char *parity = s[0] && s[1] && s[2] ? strchr(parities, s[2]) : NULL;

        if (s[0] != ',' || s[1] < '5' || s[1] > '8' || !parity || (s[3] != '1' && s[3] != '2') ||
            s[4])
            return false;
        lcr = (uint8_t)((s[1] - '5') | (s[3] - '1') << 2 | (parity - parities) << 3);
    }
    u->given = true;
    u->baud = (uint32_t)baud;
    u->lcr = lcr;
    return true;
}

/* A list; the first serial port in it is ours. VGA text output belongs to domain 0. */
static bool parse_console(void *target, const char *value)
{
    int com = -1;

    while (value) {
        int i = xl_next_word("com1|com2|vga|none", &value, ',');

        if (i < 0)
            return false;
        com = i < 2 && com < 0 ? i : com;
    }
    options.console_com = (int8_t)com;
    return true;
}

/* What Debian's GRUB script adds, and the screen, which is domain 0's. */
static bool accept_silently(void *target, const char *value) { return true; }

static const struct option {
    const char *name;
    bool (*parse)(void *target, const char *value);
    void *target;
} table[] = {
    { "com1", parse_com, &options.com[0] },
    { "com2", parse_com, &options.com[1] },
    { "console", parse_console, NULL },
    { "sync_console", parse_bool, &options.sync_console },
    { "loglvl", parse_loglvl, &options.loglvl },
    { "guest_loglvl", parse_loglvl, &options.guest_loglvl },
    { "noreboot", parse_bool, &options.noreboot },
    { "dom0_mem", parse_dom0_mem, NULL },
    { "dom0_max_vcpus", parse_vcpus, NULL },
    { "clocksource", parse_clocksource, NULL },
    { "smep", parse_bool, &options.smep },
    { "smap", parse_bool, &options.smap },
    { "vga", accept_silently, NULL },
    { "placeholder", accept_silently, NULL },
    { "no-real-mode", accept_silently, NULL },
    { "edd", accept_silently, NULL },
};

static const struct option *find_option(const char *name, size_t len)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(table); i++)
        if (strncmp(table[i].name, name, len) == 0 && table[i].name[len] == '\0')
            return &table[i];
    return NULL;
}

static void parse_word(const char *word)
{
    const char *equals = strchr(word, '='), *value = equals ? equals + 1 : "";
    const struct option *o = find_option(word, equals ? (size_t)(equals - word) : strlen(word));

    if (o && !equals && o->parse == parse_bool)
        value = "1";
    if (o == NULL && !equals && strncmp(word, "no-", 3) == 0) {
        o = find_option(word + 3, strlen(word + 3));
        o = o && o->parse == parse_bool ? o : NULL;
        value = "0";
    }
    if (o == NULL)
        print(LOG_WARN, "Command line: unknown option %s ignored", word);
    else if (!o->parse(o->target, value))
        print(LOG_WARN, "Command line: %s: bad value \"%s\" ignored", o->name, value);
}

void cmdline_parse(const char *line)
{
    while (*line) {
        char word[WORD_MAX];
        size_t len = 0;

        while (line[len] && line[len] != ' ' && line[len] != '\t')
            len++;
        xl_strlcpy(word, line, MIN(len + 1, sizeof(word)));
        if (len && word[0] != '/') /* a boot loader may put the image's path first */
            parse_word(word);
        line += len + (line[len] != '\0');
    }
}
