/* xl create. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json.h"
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
        return xl_fail(x, "Failed to read config file: %s: %s", a.file, strerror(errno)),
               EXIT_NOT_CREATED;
    if (option_value(o, "q") == NULL)
        text_printf(&x->err, "Parsing config from %s\n", a.file);
    source.text = text;
    rc = config_parse(c, &source);
    free(text);
    if (rc)
        return xl_fail(x, "Failed to parse config: %s",
                       rc == -ENOMEM ? "no memory" : "Invalid argument");
    return EXIT_OK;
}

/* In the foreground: to its end, and that of those which begin in its place. */
static int follow(struct xl *x, domid_t id)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };
    domid_t next = id;
    int rc;

    plat_lock(&lock);
    do {
        id = next;
        rc = guest_attend_one(&x->tools, id, &next);
        if (rc == 0) {
            guest_info_t info;

            if (guest_info(&x->tools, id, &info) || info.flags & XEN_DOMINF_dying)
                break;
            plat_cond_wait(&never, &lock, plat_now() + 100000000u);
        }
    } while (rc == 0 || (rc > 0 && next));
    plat_unlock(&lock);
    return EXIT_OK;
}

/* -e: nobody attends to it. -F: this xl does, as long as it is not ended. Else the attendant of all. */
static int create_and_start(struct xl *x, const struct options *o, const struct domain_config *c)
{
    bool foreground = option_value(o, "F") != NULL;
    domid_t id;
    int rc = EXIT_OK;

    x->tools.unattended = foreground || option_value(o, "e");
    if (!x->tools.unattended && x->want_attendant)
        rc = x->want_attendant(x);
    if (rc == EXIT_OK && (guest_create(&x->tools, c, &id) ||
                          (option_value(o, "p") == NULL && guest_unpause(&x->tools, id))))
        rc = (xl_fail(x, "xl: %s", x->tools.error), EXIT_NOT_CREATED);
    if (rc == EXIT_OK && foreground)
        rc = follow(x, id);
    x->tools.unattended = false;
    return rc;
}

int xl_create(struct xl *x, const struct options *o)
{
    struct domain_config *c;
    int rc;

    if (option_value(o, "c") || (option_value(o, "F") && x->want_attendant == NULL))
        return xl_fail(x, "xl: create: -%s is not served yet", option_value(o, "c") ? "c" : "F");
    c = malloc(sizeof(*c));
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = read_config(x, o, c);
    if (rc == EXIT_OK && (o->dry || option_value(o, "n"))) {
        struct json j = { .out = &x->out };

        config_json(&j, NULL, c);
    } else if (rc == EXIT_OK) {
        rc = create_and_start(x, o, c);
    }
    free(c);
    return rc;
}
