/* See cmdline.h: a table of options; each parser changes nothing unless all is well. */
#include "lib/cmdline.h"

#include "lib/lib.h"

#define MAX_DOM0_VCPUS 64

/* A decimal number; *s moves behind it. Saturates. */
static uint64_t parse_number(const char **s)
{
    uint64_t n = 0;

    for (; **s >= '0' && **s <= '9'; ++*s)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, **s - '0', &n))
            n = UINT64_MAX;
    return n;
}

bool cmdline_sizes(const char *s, uint64_t sizes[2])
{
    /* three spellings of each unit, which is 1,024 of the one before; none at all is k */
    static const char units[] = "b|B|b|k|K||m|M|m|g|G|g|t|T|t";
    uint64_t bytes[2] = { sizes[0], sizes[1] };

    while (s) {
        bool is_max = strncmp(s, "max:", 4) == 0;
        uint64_t n;
        int unit;

        s += is_max ? 4 : 0;
        n = parse_number(&s);
        unit = xl_next_word(units, &s, ',');
        if (n == 0 || unit < 0 || n > UINT64_MAX >> unit / 3 * 10)
            return false;
        bytes[is_max] = n << unit / 3 * 10;
    }
    memcpy(sizes, bytes, sizeof(bytes));
    return true;
}

static bool parse_dom0_mem(const char *s) { return cmdline_sizes(s, options.dom0_mem_bytes); }

/* spec-ctrl=no, or a list of: rsb, bhb-entry, verw or no- and one of them */
static bool parse_spec_ctrl(const char *s)
{
    uint32_t on = options.spec_on, off = options.spec_off;
    const char *no = s;

    if (xl_next_word("no", &no, ',') == 0 && no == NULL) {
        options.spec_off = SPEC_ALL;
        options.spec_on = options.xpti = 0;
        return true;
    }
    while (s) {
        bool is_no = strncmp(s, "no-", 3) == 0;
        int i;

        s += is_no ? 3 : 0;
        i = xl_next_word("rsb|bhb-entry|verw", &s, ',');
        if (i < 0)
            return false;
        on = (on & ~(1u << i)) | (is_no ? 0 : 1u << i);
        off = (off & ~(1u << i)) | (is_no ? 1u << i : 0);
    }
    options.spec_on = on;
    options.spec_off = off;
    return true;
}

const char cmdline_bools[] = "no|yes|off|on|false|true|disable|enable|0|1";
static const char levels[] = "none|error|warning|info|debug|all";

static const struct option known[] = {
    { "com1", &options.com1_baud, "|,8n1", .min = 50, .max = 115200 },
    { "console", &options.console_com1, "vga|com1|none", .mask = 1, .separator = ',' },
    { "sync_console", &options.sync_console, cmdline_bools, .mask = 1 },
    { "loglvl", &options.loglvl, levels, .mask = 7 },
    { "guest_loglvl", &options.guest_loglvl, levels, .mask = 7 },
    { "noreboot", &options.noreboot, cmdline_bools, .mask = 1 },
    { "dom0_mem", .parse = parse_dom0_mem },
    { "dom0_max_vcpus", &options.dom0_max_vcpus, "", .min = 1, .max = MAX_DOM0_VCPUS },
    { "clocksource", &options.clocksource, "auto|hpet|acpi|pit", .mask = 3 }, /* as the enum */
    { "smep", &options.smep, cmdline_bools, .mask = 1 },
    { "smap", &options.smap, cmdline_bools, .mask = 1 },
    { "watchdog", &options.watchdog, cmdline_bools, .mask = 1 },
    { "xpti", &options.xpti, cmdline_bools, .mask = 1 },
    { "spec-ctrl", .parse = parse_spec_ctrl },
};

static bool take_value(const struct option *o, const char *value)
{
    uint64_t n = o->max ? parse_number(&value) : 0;

    if (o->parse)
        return o->parse(value);
    if (n < o->min || n > o->max)
        return false;
    while (value) {
        int i = xl_next_word(o->words, &value, o->separator);

        if (i < 0)
            return false;
        n |= (uint32_t)i & o->mask;
    }
    *o->target = (uint32_t)n;
    return true;
}

enum option_result option_take(const struct option *table, size_t n, const char *word)
{
    const char *value = word;

    for (const struct option *o = table; o < table + n; o++, value = word)
        if (xl_next_word(o->name, &value, '=') == 0) {
            value = value ? value : o->words == cmdline_bools ? "yes" : "";
            return take_value(o, value) ? OPTION_TAKEN : OPTION_BAD_VALUE;
        }
    return OPTION_UNKNOWN;
}

bool cmdline_next(const char **line, char word[CMDLINE_WORD_BYTES])
{
    size_t len = 0;

    while (**line == ' ' || **line == '\t')
        ++*line;
    while ((*line)[len] && (*line)[len] != ' ' && (*line)[len] != '\t')
        len++;
    xl_strlcpy(word, *line, MIN(len + 1, CMDLINE_WORD_BYTES));
    *line += len;
    return len > 0;
}

void cmdline_parse(const char *line)
{
    char word[CMDLINE_WORD_BYTES];

    while (cmdline_next(&line, word)) {
        const char *name = word;
        enum option_result r;

        if (word[0] == '/') /* a boot loader may put the image's path first */
            continue;
        r = option_take(known, ARRAY_SIZE(known), word);
        if (r == OPTION_BAD_VALUE)
            print(LOG_WARN, "Command line: bad value in \"%s\" ignored", word);
        /* in silence: what Debian's GRUB script adds, and the screen, which is domain 0's */
        if (r == OPTION_UNKNOWN && xl_next_word("placeholder|no-real-mode|edd|vga", &name, '=') < 0)
            print(LOG_WARN, "Command line: unknown option %s ignored", word);
    }
}
