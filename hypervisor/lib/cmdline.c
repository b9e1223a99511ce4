/* See cmdline.h: one table of options; each parser changes nothing unless all is well. */
#include "lib/cmdline.h"

#include "lib/lib.h"

#define MAX_DOM0_VCPUS 64
#define WORD_MAX 1024 /* the boot loader's whole line is not longer */

struct options options = {
    .console_com1 = true,
    .loglvl = LOG_INFO + 1,
    .guest_loglvl = LOG_WARN + 1,
    .smep = true,
    .smap = true,
};

/* A decimal number; *s moves behind it. Saturates. */
static uint64_t parse_number(const char **s)
{
    uint64_t n = 0;

    for (; **s >= '0' && **s <= '9'; ++*s)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, **s - '0', &n))
            n = UINT64_MAX;
    return n;
}

static bool parse_vcpus(const char *value)
{
    uint64_t n = parse_number(&value);

    if (*value || n < 1 || n > MAX_DOM0_VCPUS)
        return false;
    options.dom0_max_vcpus = (uint32_t)n;
    return true;
}

/* dom0_mem=SIZE,max:SIZE; either or both */
static bool parse_dom0_mem(const char *s)
{
    static const char units[] = "bkmgt"; /* each 1,024 of the one before; none is k */
    uint64_t bytes[2] = { options.dom0_mem_bytes, options.dom0_mem_max_bytes };

    while (s) {
        bool is_max = strncmp(s, "max:", 4) == 0;
        const char *end = is_max ? s + 4 : s;
        uint64_t n = parse_number(&end);
        const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
        unsigned int shift = unit ? 10 * (unsigned int)(unit - units) : 10;

        s = unit ? end + 1 : end;
        bytes[is_max] = n << shift;
        if (n == 0 || bytes[is_max] >> shift != n || (*s && *s != ','))
            return false;
        s = *s ? s + 1 : NULL;
    }
    options.dom0_mem_bytes = bytes[0];
    options.dom0_mem_max_bytes = bytes[1];
    return true;
}

static bool parse_com1(const char *value)
{
    uint64_t baud = parse_number(&value);

    if (baud < 50 || baud > 115200 || (*value && strncmp(value, ",8n1", 5) != 0))
        return false;
    options.com1_baud = (uint32_t)baud;
    return true;
}

/* VGA text output belongs to domain 0. */
static bool parse_console(const char *value)
{
    bool com1 = false;

    while (value) {
        int i = xl_next_word("com1|vga|none", &value, ',');

        if (i < 0)
            return false;
        com1 |= i == 0;
    }
    options.console_com1 = com1;
    return true;
}

static const char bools[] = "no|yes|off|on|false|true|disable|enable|0|1";
static const char levels[] = "none|error|warning|info|debug|all";

/* What Debian's GRUB script adds, and the screen, which is domain 0's. */
static const char accepted_silently[] = "placeholder|no-real-mode|edd|vga";

/* Without a parser: target gets the value's place in words. */
static const struct option {
    const char *name;
    bool (*parse)(const char *value);
    uint8_t *target;
    const char *words;
} table[] = {
    { "com1", parse_com1, NULL, NULL },
    { "console", parse_console, NULL, NULL },
    { "sync_console", NULL, &options.sync_console, bools },
    { "loglvl", NULL, &options.loglvl, levels },
    { "guest_loglvl", NULL, &options.guest_loglvl, levels },
    { "noreboot", NULL, &options.noreboot, bools },
    { "dom0_mem", parse_dom0_mem, NULL, NULL },
    { "dom0_max_vcpus", parse_vcpus, NULL, NULL },
    { "clocksource", NULL, &options.clocksource, "auto|hpet|acpi|pit" }, /* as the enum */
    { "smep", NULL, &options.smep, bools },
    { "smap", NULL, &options.smap, bools },
};

static bool take_value(const struct option *o, const char *value)
{
    int i;

    if (o->parse)
        return o->parse(value);
    i = xl_next_word(o->words, &value, '\0');
    if (i >= 0)
        *o->target = (uint8_t)(o->words == bools ? i & 1 : i);
    return i >= 0;
}

static void parse_word(const char *word)
{
    const char *equals = strchr(word, '='), *name = word;
    size_t len = equals ? (size_t)(equals - word) : strlen(word);

    for (const struct option *o = table; o < table + ARRAY_SIZE(table); o++)
        if (strncmp(o->name, word, len) == 0 && o->name[len] == '\0') {
            const char *value = equals ? equals + 1 : o->words == bools ? "yes" : "";

            if (!take_value(o, value))
                print(LOG_WARN, "Command line: %s: bad value \"%s\" ignored", o->name, value);
            return;
        }
    if (xl_next_word(accepted_silently, &name, '=') < 0)
        print(LOG_WARN, "Command line: unknown option %s ignored", word);
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
