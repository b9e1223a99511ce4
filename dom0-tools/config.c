/* See config.h: what the keys mean. Each is a line of the table, in the order in which they are looked at. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"

struct key {
    const char *name;
    void (*take)(struct job *j, const struct key *k, const struct value *v);
    size_t offset;     /* of its member */
    uint64_t min, max; /* of a number; max is the room of a text */
};

static const char *const actions[CONFIG_NR_ACTIONS] = { "destroy",          "restart",
                                                        "rename-restart",   "preserve",
                                                        "coredump-destroy", "coredump-restart" };

const char *config_action_name(enum config_action action) { return actions[action]; }

static const char *const tsc_modes[CONFIG_NR_TSC] = { "default", "always_emulate", "native" };

const char *config_tsc_name(enum config_tsc mode) { return tsc_modes[mode]; }

int name_index(const char *const *names, unsigned int nr, const char *name)
{
    for (unsigned int i = 0; i < nr; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

void complain(struct job *j, enum plat_level level, unsigned int line, const char *value,
              const char *what)
{
    char text[256], shown[80];

    printable(shown, sizeof(shown), value ? value : "", value ? strlen(value) : 0);
    if (value)
        snprintf(text, sizeof(text), "%s: '%s' %s", j->key, shown, what);
    else
        snprintf(text, sizeof(text), "%s: %s", j->key, what);
    j->errors += level == PLAT_ERROR;
    j->source->report(j->source->arg, level, j->file, line, text);
}

static void wrong(struct job *j, const struct value *v, const char *what)
{
    complain(j, PLAT_ERROR, v->line, v->text, what);
}

/* ---- values ---- */

static bool is_text(struct job *j, const struct value *v)
{
    if (v->text == NULL)
        wrong(j, v, "a list is no value of this key");
    return v->text != NULL;
}

bool take_text(struct job *j, const struct value *v, char *to, size_t size)
{
    if (!is_text(j, v))
        return false;
    for (const char *c = v->text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            wrong(j, v, "has a control character");
            return false;
        }
    }
    if (strlen(v->text) >= size) {
        wrong(j, v, "is too long");
        return false;
    }
    memcpy(to, v->text, strlen(v->text) + 1);
    return true;
}

bool config_parse_number(const char *text, uint64_t max, uint64_t *value)
{
    char *end;

    if (*text < '0' || *text > '9') /* no sign, no space */
        return false;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return *end == '\0' && errno == 0 && *value <= max;
}

static bool take_uint64(struct job *j, const struct key *k, const struct value *v, uint64_t *value)
{
    char what[80];

    if (!is_text(j, v))
        return false;
    if (config_parse_number(v->text, UINT64_MAX, value) && *value >= k->min && *value <= k->max)
        return true;
    snprintf(what, sizeof(what), "is no number from %llu to %llu", (unsigned long long)k->min,
             (unsigned long long)k->max);
    wrong(j, v, what);
    return false;
}

static void *member(const struct job *j, const struct key *k) { return (char *)j->c + k->offset; }

static void take_string(struct job *j, const struct key *k, const struct value *v)
{
    take_text(j, v, member(j, k), k->max);
}

static void take_uint(struct job *j, const struct key *k, const struct value *v)
{
    uint64_t value;

    if (take_uint64(j, k, v, &value))
        *(unsigned int *)member(j, k) = (unsigned int)value;
}

static void take_mib(struct job *j, const struct key *k, const struct value *v)
{
    uint64_t value;

    if (take_uint64(j, k, v, &value))
        *(uint64_t *)member(j, k) = value << 10;
}

static void take_action(struct job *j, const struct key *k, const struct value *v)
{
    int action;

    if (!is_text(j, v))
        return;
    action = name_index(actions, CONFIG_NR_ACTIONS, v->text);
    if (action >= 0)
        *(enum config_action *)member(j, k) = (enum config_action)action;
    else if (strcmp(v->text, "soft-reset") == 0)
        wrong(j, v, "is not for PV domains");
    else
        wrong(j, v,
              "is none of destroy, restart, rename-restart, preserve, coredump-destroy, "
              "coredump-restart");
}

static void take_tsc(struct job *j, const struct key *k, const struct value *v)
{
    int mode;

    if (!is_text(j, v))
        return;
    mode = name_index(tsc_modes, CONFIG_NR_TSC, v->text);
    if (mode >= 0)
        *(enum config_tsc *)member(j, k) = (enum config_tsc)mode;
    else
        wrong(j, v, "is none of default, always_emulate, native");
}

static void take_name(struct job *j, const struct key *k, const struct value *v)
{
    (void)k;
    if (!take_text(j, v, j->c->name, sizeof(j->c->name)))
        return;
    if (j->c->name[0] == '\0')
        wrong(j, v, "is empty");
    else if (strchr(j->c->name, '/'))
        wrong(j, v, "has a '/'");
}

static void take_type(struct job *j, const struct key *k, const struct value *v)
{
    (void)k;
    if (!is_text(j, v) || strcmp(v->text, "pv") == 0 || strcmp(v->text, "generic") == 0)
        return;
    if (strcmp(v->text, "hvm") == 0 || strcmp(v->text, "pvh") == 0)
        wrong(j, v, "is not served: only PV domains run here");
    else
        wrong(j, v, "is no type of a domain");
}

static void take_uuid(struct job *j, const struct key *k, const struct value *v)
{
    (void)k;
    if (!is_text(j, v))
        return;
    j->c->has_uuid = config_parse_uuid(j->c->uuid, v->text) == 0;
    if (!j->c->has_uuid)
        wrong(j, v, "is no UUID");
}

/* What cannot be served may be said not to be wanted. */
static void refuse(struct job *j, const struct key *k, const struct value *v)
{
    (void)k;
    if (v->text ? v->text[0] && strcmp(v->text, "0") != 0 : v->first != NULL)
        wrong(j, v, "this key is not served yet");
}

static void take_devices(struct job *j, const struct key *k, const struct value *v)
{
    if (v->text) {
        wrong(j, v, "is no list");
        return;
    }
    if (v->first && !(j->source->served & k->min))
        wrong(j, v, "devices of this kind are not served yet");
    if (k->min == CONFIG_SERVE_DISK)
        take_disks(j, v);
    else
        take_vifs(j, v);
}

static void take_channel_list(struct job *j, const struct key *k, const struct value *v)
{
    (void)k;
    if (v->text)
        wrong(j, v, "is no list");
    else
        take_channels(j, v);
}

/* ---- the command line of the kernel ---- */

/* What is reported next is about this setting. False: there is none. */
static bool begin(struct job *j, const struct setting *s)
{
    if (s == NULL)
        return false;
    j->key = s->key;
    j->file = s->file;
    return true;
}

/* cmdline= is all of it; else "root=ROOT EXTRA". */
static void take_cmdline(struct job *j, const struct setting *cmdline, const struct setting *root,
                         const struct setting *extra)
{
    char first[CONFIG_CMDLINE] = "", second[CONFIG_CMDLINE] = "";
    const struct setting *last = extra ? extra : root;
    int len;

    if (begin(j, cmdline)) {
        take_text(j, &cmdline->value, j->c->cmdline, sizeof(j->c->cmdline));
        if (root || extra)
            complain(j, PLAT_WARNING, cmdline->line, NULL,
                     "root= and extra= are ignored beside it");
        return;
    }
    if (begin(j, root))
        take_text(j, &root->value, first, sizeof(first));
    if (begin(j, extra))
        take_text(j, &extra->value, second, sizeof(second));
    len = snprintf(j->c->cmdline, sizeof(j->c->cmdline), "%s%s%s%s", root ? "root=" : "", first,
                   root && extra ? " " : "", second);
    if (len >= (int)sizeof(j->c->cmdline))
        complain(j, PLAT_ERROR, last->line, NULL, "the kernel's command line is too long");
}

/* ---- CPUs ---- */

static void take_affinity(struct job *j, const struct setting *s, struct config_affinity *a)
{
    const struct value *v;

    if (!begin(j, s))
        return;
    v = s->value.text ? &s->value : s->value.first;
    for (; v && a->nr_vcpus < j->c->max_vcpus; v = s->value.text ? v : v->next) {
        if (!is_text(j, v))
            return;
        if (config_parse_cpus(&a->vcpu[a->nr_vcpus], v->text, j->source->host) ||
            strcmp(v->text, "none") == 0) {
            wrong(j, v, "is no list of CPUs, or has none that exists");
            return;
        }
        a->nr_vcpus++;
    }
    if (v && !s->value.text)
        complain(j, PLAT_WARNING, v->line, NULL, "there are more CPU lists than vCPUs");
}

/* ---- all keys ---- */

#define AT(member) offsetof(struct domain_config, member)
#define TEXT(member) AT(member), 0, sizeof(((struct domain_config *)0)->member)
#define MIB_MAX (16u << 20) /* 16 TiB */

enum { CMDLINE, ROOT, EXTRA, CPUS, CPUS_SOFT, NR_LATER }; /* the first of the table */

static const struct key keys[] = {
    /* These are looked at last, together. */
    [CMDLINE] = { "cmdline", NULL, 0, 0, 0 },
    [ROOT] = { "root", NULL, 0, 0, 0 },
    [EXTRA] = { "extra", NULL, 0, 0, 0 },
    [CPUS] = { "cpus", NULL, 0, 0, 0 },
    [CPUS_SOFT] = { "cpus_soft", NULL, 0, 0, 0 },
    { "name", take_name, 0, 0, 0 },
    { "type", take_type, 0, 0, 0 },
    { "builder", take_type, 0, 0, 0 }, /* its old name */
    { "uuid", take_uuid, 0, 0, 0 },
    { "kernel", take_string, TEXT(kernel) },
    { "ramdisk", take_string, TEXT(ramdisk) },
    { "memory", take_mib, AT(memory_kib), 1, MIB_MAX },
    { "maxmem", take_mib, AT(max_memory_kib), 1, MIB_MAX },
    { "vcpus", take_uint, AT(nr_vcpus), 1, CONFIG_VCPUS },
    { "maxvcpus", take_uint, AT(max_vcpus), 1, CONFIG_VCPUS },
    { "cpu_weight", take_uint, AT(weight), 1, 65535 },
    { "cap", take_uint, AT(cap_percent), 0, 65535 },
    { "pool", take_string, TEXT(pool) },
    { "tsc_mode", take_tsc, AT(tsc_mode), 0, 0 },
    { "on_poweroff", take_action, AT(on_poweroff), 0, 0 },
    { "on_reboot", take_action, AT(on_reboot), 0, 0 },
    { "on_crash", take_action, AT(on_crash), 0, 0 },
    { "on_watchdog", take_action, AT(on_watchdog), 0, 0 },
    { "disk", take_devices, 0, CONFIG_SERVE_DISK, 0 },
    { "vif", take_devices, 0, CONFIG_SERVE_VIF, 0 },
    { "channel", take_channel_list, 0, 0, 0 },
    { "bootloader", refuse, 0, 0, 0 },
    { "vfb", refuse, 0, 0, 0 },
    { "pci", refuse, 0, 0, 0 },
    { "driver_domain", refuse, 0, 0, 0 },
};
enum { NR_KEYS = sizeof(keys) / sizeof(keys[0]) };

/* Whether one character more, less, another one, or two exchanged make the one of the other. */
static bool is_like(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return strcmp(a + !!*a, b + !!*b) == 0 || strcmp(a + !!*a, b) == 0 ||
           strcmp(a, b + !!*b) == 0 ||
           (*a && *b && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0);
}

static void unknown_key(struct job *j, const struct setting *s)
{
    char what[80] = "unknown key, ignored", name[40];

    for (unsigned int i = 0; i < NR_KEYS; i++) {
        if (is_like(s->key, keys[i].name))
            snprintf(what, sizeof(what), "unknown key, ignored; is %s meant?", keys[i].name);
    }
    printable(name, sizeof(name), s->key, strlen(s->key));
    j->key = name;
    j->file = s->file;
    complain(j, PLAT_WARNING, s->line, NULL, what);
}

/* Of each key the last setting. */
static void sort_settings(struct job *j, const struct setting *s, const struct setting *of[NR_KEYS])
{
    for (; s; s = s->next) {
        unsigned int i = 0;

        while (i < NR_KEYS && strcmp(keys[i].name, s->key) != 0)
            i++;
        if (i < NR_KEYS)
            of[i] = s;
        else
            unknown_key(j, s);
    }
}

/* What was left out, and what contradicts itself. */
static void complete(struct job *j)
{
    struct domain_config *c = j->c;

    j->file = j->source->file;
    if (c->max_vcpus == 0)
        c->max_vcpus = c->nr_vcpus;
    if (c->max_memory_kib == 0)
        c->max_memory_kib = c->memory_kib;
    j->key = "maxvcpus";
    if (c->max_vcpus < c->nr_vcpus)
        complain(j, PLAT_ERROR, 0, NULL, "is less than vcpus");
    j->key = "maxmem";
    if (c->max_memory_kib < c->memory_kib)
        complain(j, PLAT_ERROR, 0, NULL, "is less than memory");
}

static void must_have(struct job *j, const char *key, const char *text)
{
    j->key = key;
    j->file = j->source->file;
    if (*text == '\0' && j->errors == 0)
        complain(j, PLAT_ERROR, 0, NULL, "is missing");
}

static void take_all(struct job *j, const struct setting *first)
{
    const struct setting *of[NR_KEYS] = { NULL };
    struct domain_config *c = j->c;

    sort_settings(j, first, of);
    for (unsigned int i = NR_LATER; i < NR_KEYS; i++) {
        if (begin(j, of[i]))
            keys[i].take(j, &keys[i], &of[i]->value);
    }
    complete(j);
    take_cmdline(j, of[CMDLINE], of[ROOT], of[EXTRA]);
    take_affinity(j, of[CPUS], &c->cpus);
    take_affinity(j, of[CPUS_SOFT], &c->cpus_soft);
    must_have(j, "name", c->name);
    must_have(j, "kernel", c->kernel);
}

static void report_error(void *arg, const char *file, unsigned int line, const char *text)
{
    const struct config_source *source = arg;

    source->report(source->arg, PLAT_ERROR, file, line, text);
}

int config_parse(struct domain_config *c, const struct config_source *source)
{
    struct document *d = document_new();
    struct job j = { .c = c, .source = source };
    int rc = d ? 0 : -ENOMEM;

    memset(c, 0, sizeof(*c));
    c->memory_kib = 32 << 10; /* as libxl has it */
    c->nr_vcpus = 1;
    c->on_reboot = CONFIG_RESTART;
    if (rc == 0)
        rc = document_add(d, source->file, 0, source->text, source->len_bytes, report_error,
                          (void *)(uintptr_t)source);
    for (unsigned int i = 0; i < source->nr_overrides && rc == 0; i++)
        rc = document_add(d, "command line", i + 1, source->overrides[i],
                          strlen(source->overrides[i]), report_error, (void *)(uintptr_t)source);
    if (rc == 0) {
        take_all(&j, document_settings(d));
        rc = j.errors ? -EINVAL : 0;
    }
    document_free(d);
    return rc;
}
