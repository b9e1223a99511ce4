/* xl create. */
#include <stdlib.h>
#include <string.h>

#include <errno.h>

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

static int read_source(struct xl *x, struct config_source *source, bool quiet,
                       struct domain_config *c)
{
    char *text = plat_file_read(source->file, &source->len_bytes);
    int rc;

    if (text == NULL)
        return xl_fail(x, "Failed to read config file: %s: %s", source->file, strerror(errno));
    if (!quiet)
        text_printf(&x->out, "Parsing config from %s\n", source->file);
    source->text = text;
    rc = config_parse(c, source);
    free(text);
    if (rc)
        return xl_fail(x, "Failed to parse config: %s",
                       rc == -ENOMEM ? "no memory" : "Invalid argument");
    return EXIT_OK;
}

int xl_read_config(struct xl *x, const char *file, struct domain_config *c)
{
    struct config_source source = { .file = file, .report = report, .arg = x };

    return read_source(x, &source, false, c);
}

static int read_config(struct xl *x, const struct options *o, struct domain_config *c)
{
    struct arguments a = { .nr_overrides = 0 };
    struct config_source source = { .report = report, .arg = x };
    int rc = sort_arguments(x, o, &a);

    if (rc)
        return rc;
    source.file = a.file;
    source.overrides = a.overrides;
    source.nr_overrides = a.nr_overrides;
    return read_source(x, &source, option_value(o, "q") != NULL, c);
}

int xl_create(struct xl *x, const struct options *o)
{
    static const char *const not_served[] = { "c", "F" };
    struct domain_config *c;
    domid_t id;
    int rc;

    for (size_t i = 0; i < sizeof(not_served) / sizeof(not_served[0]); i++)
        if (option_value(o, not_served[i]))
            return xl_fail(x, "xl: create: -%s is not served yet", not_served[i]);
    c = malloc(sizeof(*c));
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = read_config(x, o, c);
    if (rc == EXIT_OK && (o->dry || option_value(o, "n"))) {
        struct json j = { .out = &x->out };

        json_long(&j, 0, c);
    } else if (rc == EXIT_OK) {
        if (guest_create(&x->tools, c, &id))
            rc = xl_fail(x, "xl: %s", x->tools.error);
        else if (option_value(o, "p") == NULL && guest_unpause(&x->tools, id))
            rc = xl_fail(x, "xl: %s", x->tools.error);
    }
    free(c);
    return rc;
}
