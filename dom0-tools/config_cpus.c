/* Lists of CPUs: "0-3,^1", "all,^node:1". See config.h. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "config_internal.h"

static unsigned int nr_cpus_of(const struct config_host *host)
{
    return host ? host->nr_cpus : CONFIG_CPUS;
}

static bool has(const struct config_cpus *cpus, unsigned int cpu)
{
    return cpus->word[cpu / 64] >> (cpu % 64) & 1;
}

static void set(struct config_cpus *cpus, unsigned int cpu, bool value)
{
    uint64_t bit = (uint64_t)1 << (cpu % 64);

    if (value)
        cpus->word[cpu / 64] |= bit;
    else
        cpus->word[cpu / 64] &= ~bit;
}

static const char *skip_prefix(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* Decimal digits up to 65535, and what stands behind; NULL: there are none. */
static const char *take_digits(const char *text, unsigned int *value)
{
    const char *at = text;

    for (*value = 0; *at >= '0' && *at <= '9' && *value <= 65535; at++)
        *value = *value * 10 + (unsigned int)(*at - '0');
    return at == text || *value > 65535 ? NULL : at;
}

/* One element: [^](all | [node:|nodes:]N[-N]). It acts on what those before it gave. */
static bool take_element(struct config_cpus *cpus, const char *text, const struct config_host *host)
{
    bool without = *text == '^', nodes = false;
    const char *at = text + without, *behind;
    unsigned int from = 0, to = 65535;

    if ((behind = skip_prefix(at, "nodes:")) || (behind = skip_prefix(at, "node:"))) {
        nodes = true;
        at = behind;
    }
    if (strcmp(at, "all") != 0) {
        at = take_digits(at, &from);
        to = from;
        if (at && *at == '-')
            at = take_digits(at + 1, &to);
        if (at == NULL || *at || to < from)
            return false;
    } else if (without) {
        return false;
    }
    for (unsigned int cpu = 0; cpu < nr_cpus_of(host); cpu++) {
        unsigned int number = !nodes ? cpu : host ? host->node[cpu] : 0;

        if (number >= from && number <= to)
            set(cpus, cpu, !without);
    }
    return true;
}

int config_parse_cpus(struct config_cpus *cpus, const char *text, const struct config_host *host)
{
    static const struct config_cpus none;
    char element[32];

    *cpus = none;
    if (strcmp(text, "none") == 0)
        return 0;
    for (bool more = true; more;) {
        size_t len;

        text += strspn(text, " \t");
        len = strcspn(text, ",");
        more = text[len] == ',';
        if (len >= sizeof(element))
            return -EINVAL;
        memcpy(element, text, len);
        while (len && (element[len - 1] == ' ' || element[len - 1] == '\t'))
            len--;
        element[len] = '\0';
        text += strcspn(text, ",") + more;
        if (!take_element(cpus, element, host))
            return -EINVAL;
    }
    return memcmp(cpus, &none, sizeof(none)) == 0 ? -EINVAL : 0;
}

void config_print_cpus(const struct config_cpus *cpus, unsigned int nr_cpus, char *buf, size_t size)
{
    struct text t = { .bytes = buf, .size = size, .fixed = true };
    unsigned int nr = 0;

    for (unsigned int cpu = 0; cpu < CONFIG_CPUS; cpu++)
        nr += has(cpus, cpu) && cpu < nr_cpus;
    if (nr == nr_cpus) {
        text_puts(&t, "all");
        return;
    }
    for (unsigned int from = 0, to; from < CONFIG_CPUS; from = to + 1) {
        to = from;
        if (!has(cpus, from))
            continue;
        while (to + 1 < CONFIG_CPUS && has(cpus, to + 1))
            to++;
        text_printf(&t, t.len_bytes ? ",%u" : "%u", from);
        if (to > from)
            text_printf(&t, "-%u", to);
    }
    if (t.len_bytes == 0)
        text_puts(&t, "none");
}
