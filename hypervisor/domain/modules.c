/* See modules.h. A module's text is parsed into `parsed`, which becomes a domain if all is well. */
#include "domain/modules.h"

#include "lib/cmdline.h"
#include "memory/heap.h"

static struct boot_domain *domains, parsed;
static unsigned int nr_domains;

static struct boot_domain *find(const char *name)
{
    for (struct boot_domain *d = domains; d < domains + nr_domains; d++)
        if (strncmp(d->name, name, sizeof(d->name)) == 0)
            return d;
    return NULL;
}

/* ---- words ---- */

static bool parse_name(const char *s)
{
    size_t len = strlen(s);

    for (const char *p = s; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            *p != '-' && *p != '_' && *p != '.' && *p != '+')
            return false;
    if (len == 0 || len >= sizeof(parsed.name) || parsed.name[0])
        return false;
    xl_strlcpy(parsed.name, s, sizeof(parsed.name));
    return true;
}

static bool parse_memory(const char *s) { return cmdline_sizes(s, parsed.mem_bytes); }

static bool parse_role(const char *s)
{
    static const uint8_t roles[] = { 0, ROLE_CONTROL, ROLE_HARDWARE, ROLE_HARDWARE, ROLE_STORE };
    int i = xl_next_word("guest|control|hardware|driver|store", &s, '\0');

    if (i >= 0)
        parsed.roles = roles[i];
    return i >= 0;
}

static const struct option domain_words[] = {
    { "domain", .parse = parse_name },
    { "memory", .parse = parse_memory },
    { "vcpus", &parsed.nr_vcpus, "", .min = 1, .max = MAX_VCPUS },
    { "role", .parse = parse_role },
    { "console", &parsed.console, cmdline_bools, .mask = 1 },
}, ramdisk_words[] = { { "ramdisk-of", .parse = parse_name } };

/* ---- modules ---- */

static bool refuse(unsigned int module, const char *what, const char *word)
{
    print(LOG_ERR, "module %u: %s \"%s\": not used", module, what, word);
    return false;
}

/* The next of the words before --, behind which is the kernel's command line. */
static bool next_word(const char **text, char word[CMDLINE_WORD_BYTES])
{
    return cmdline_next(text, word) && strncmp(word, "--", CMDLINE_WORD_BYTES) != 0;
}

/* Whose is it? -1: domain 0's, 0: a domain's kernel, 1: its ramdisk. */
static int kind_of(const char *text)
{
    char word[CMDLINE_WORD_BYTES];
    int kind = -1;

    while (kind < 0 && next_word(&text, word)) {
        const char *name = word;

        kind = xl_next_word("domain|ramdisk-of", &name, '=');
        kind = name ? kind : -1; /* else a kernel's */
    }
    return kind;
}

/* All words into parsed. */
static bool parse_words(unsigned int module, const struct option *words, size_t n)
{
    const char *text = boot_info.modules[module].cmdline;
    char word[CMDLINE_WORD_BYTES];

    parsed = (struct boot_domain){ .nr_vcpus = 1 };
    while (next_word(&text, word)) {
        enum option_result r = option_take(words, n, word);

        if (r != OPTION_TAKEN && strncmp(word, "placeholder", sizeof(word)) != 0) /* GRUB's */
            return refuse(module, r == OPTION_UNKNOWN ? "unknown word" : "bad value in", word);
    }
    while (*text == ' ' || *text == '\t')
        text++;
    parsed.cmdline = text;
    return true;
}

static bool take_domain(unsigned int module)
{
    if (!parse_words(module, domain_words, ARRAY_SIZE(domain_words)))
        return false;
    if (find(parsed.name))
        return refuse(module, "there is already a domain", parsed.name);
    if (parsed.mem_bytes[0] == 0)
        return refuse(module, "no memory= for domain", parsed.name);
    parsed.kernel = &boot_info.modules[module];
    domains[nr_domains++] = parsed;
    return true;
}

static bool take_ramdisk(unsigned int module)
{
    struct boot_domain *d;

    if (!parse_words(module, ramdisk_words, ARRAY_SIZE(ramdisk_words)))
        return false;
    d = find(parsed.name);
    if (d == NULL || d->ramdisk)
        return refuse(module, d ? "a second ramdisk of" : "no domain", parsed.name);
    d->ramdisk = &boot_info.modules[module];
    return true;
}

static bool take_dom0(unsigned int module)
{
    struct boot_domain *d = &domains[0];
    const struct boot_module *m = &boot_info.modules[module];

    if (d->kernel && d->ramdisk)
        return refuse(module,
                      "domain 0 has a kernel and a ramdisk, and this is neither domain= nor",
                      "ramdisk-of=");
    if (d->kernel) {
        d->ramdisk = m;
    } else {
        d->kernel = m;
        d->cmdline = m->cmdline;
    }
    return true;
}

void module_free(const struct boot_module *m) { heap_free_range(m->start, m->end); }

unsigned int modules_parse(struct boot_domain list[BOOT_MAX_MODULES + 1])
{
    static bool (*const take[])(unsigned int module) = { take_dom0, take_domain, take_ramdisk };

    domains = list;
    list[0] =
        (struct boot_domain){ .name = "Domain-0",
                              .roles = ROLES_ALL,
                              .mem_bytes = { options.dom0_mem_bytes[0], options.dom0_mem_bytes[1] },
                              .nr_vcpus = options.dom0_max_vcpus };
    nr_domains = 1;
    for (int kind = -1; kind <= 1; kind++) /* a ramdisk may come before its kernel */
        for (unsigned int i = 0; i < boot_info.nr_modules; i++)
            if (kind_of(boot_info.modules[i].cmdline) == kind && !take[kind + 1](i))
                module_free(&boot_info.modules[i]);
    return nr_domains;
}
