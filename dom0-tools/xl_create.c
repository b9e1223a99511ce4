/* xl create. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json.h"
#include "print.h"
#include "xl.h"

struct arguments {
    const char *file;
    char *overrides[ARGUMENTS];
    unsigned int nr_overrides;
};

/* The configuration file, and key=value: in any order. */
static int sort_arguments(struct xl *x, const struct options *o, struct arguments *a)
{
    a->file = option_value(o, "f");
    for (unsigned int i = 0; i < o->nr_args; i++) {
        if (strchr(o->args[i], '='))
            a->overrides[a->nr_overrides++] = (char *)(uintptr_t)o->args[i];
        else if (a->file == NULL)
            a->file = o->args[i];
        else
            return xl_fail(x, "xl: two configuration files: %s, %s", a->file, o->args[i]);
    }
    return a->file ? EXIT_OK : xl_fail(x, "xl: no configuration file");
}

static void report(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    struct xl *x = arg;

    if (line)
        text_printf(&x->err, "%s:%u: ", file, line);
    else
        text_printf(&x->err, "%s: ", file);
    text_printf(&x->err, "%s%s\n", level == PLAT_ERROR ? "" : "warning: ", text);
}

static int read_config(struct xl *x, const struct options *o, struct domain_config *c)
{
    struct arguments a = { .nr_overrides = 0 };
    struct config_source source = { .report = report, .arg = x };
    char *text;
    int rc = sort_arguments(x, o, &a);

    if (rc)
        return rc;
    source.file = a.file;
    source.overrides = a.overrides;
    source.nr_overrides = a.nr_overrides;
    text = plat_file_read(a.file, &source.len_bytes);
    if (text == NULL)
        return xl_fail(x, "Failed to read config file: %s: %s", a.file, strerror(errno));
    if (option_value(o, "q") == NULL)
        text_printf(&x->out, "Parsing config from %s\n", a.file);
    source.text = text;
    rc = config_parse(c, &source);
    free(text);
    if (rc)
        return xl_fail(x, "Failed to parse config: %s",
                       rc == -ENOMEM ? "no memory" : "Invalid argument");
    return EXIT_OK;
}

/* ---- what is made begins to run, with the user at its console or not ---- */

struct start {
    struct xl *x;
    domid_t id;
    bool waits; /* to be unpaused */
    int rc;
};

static void run(void *arg)
{
    struct start *s = arg;

    if (s->waits && guest_unpause(&s->x->tools, s->id))
        s->rc = xl_fail(s->x, "xl: %s", s->x->tools.error);
    s->waits = false;
}

/* A domain without its console is a domain all the same: as xl has it, that is no failure. */
static int start(struct xl *x, const struct options *o, domid_t id)
{
    struct start s = { .x = x, .id = id, .waits = option_value(o, "p") == NULL };
    char who[8];

    snprintf(who, sizeof(who), "%u", id);
    if (option_value(o, "c") && xl_attach(x, who, run, &s) != EXIT_OK)
        xl_fail(x, "xl: domain %u has been created, but its console is not to be had", id);
    run(&s);
    return s.rc;
}

int xl_create(struct xl *x, const struct options *o)
{
    struct domain_config *c;
    domid_t id;
    int rc;

    if (option_value(o, "F"))
        return xl_fail(x, "xl: create: -F is not served yet");
    c = malloc(sizeof(*c));
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = read_config(x, o, c);
    if (rc == EXIT_OK && (o->dry || option_value(o, "n"))) {
        struct json j = { .out = &x->out };

        json_long(&j, -1, c);
    } else if (rc == EXIT_OK) {
        rc = guest_create(&x->tools, c, &id) ? xl_fail(x, "xl: %s", x->tools.error)
                                             : start(x, o, id);
    }
    free(c);
    return rc;
}
