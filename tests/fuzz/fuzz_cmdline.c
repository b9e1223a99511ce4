/* lib/cmdline.c: the input is the line. */
#include "fuzz.h"

#include "lib/cmdline.h"

#define LINE_MAX 1023u /* the boot loader's information has no longer ones */

static bool same(const struct options *a, const struct options *b)
{
    return memcmp(a, b, sizeof(*a)) == 0; /* there is no padding, or it is copied with the rest */
}

static void check_ranges(void)
{
    BUG_ON(options.com1_baud && (options.com1_baud < 50 || options.com1_baud > 115200));
    BUG_ON(options.dom0_max_vcpus > 64 || options.clocksource > CLOCKSOURCE_PIT);
    BUG_ON(options.loglvl > LOG_DEBUG + 2 || options.guest_loglvl > LOG_DEBUG + 2);
    BUG_ON((options.console_com1 | options.noreboot | options.sync_console | options.smep |
            options.smap | options.watchdog) > 1);
}

/* One word has a message or an effect, or is what the options are anyway; never the first two. */
static void parse_word(const char *word)
{
    struct options before = options;

    fake_printed[0] = '\0';
    cmdline_parse(word);
    BUG_ON(fake_printed[0] && !same(&before, &options));
    check_ranges();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options defaults, result;
    static bool have_defaults;
    size_t len = strnlen((const char *)data, MIN(size, LINE_MAX));
    char *line = malloc(len + 1), *rest = line;

    if (!have_defaults)
        defaults = options;
    have_defaults = true;
    memcpy(line, data, len);
    line[len] = '\0';
    options = defaults;
    cmdline_parse(line);
    result = options;
    options = defaults; /* and now word by word */
    for (char *word; (word = strsep(&rest, " \t")) != NULL;)
        parse_word(word);
    BUG_ON(!same(&result, &options));
    free(line);
    return 0;
}
