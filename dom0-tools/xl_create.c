/* xl create, config-update. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json.h"
#include "xl.h"

#define POLL_NS 100000000u
#define RETRY_NS 5000000000u /* of what could not be started again */

struct arguments {
    const char *file;
    char *overrides[ARGUMENTS];
    unsigned int nr_overrides;
};

/* The configuration file, and key=value: in any order, from the first of these arguments on. */
static int sort_arguments(struct xl *x, const struct options *o, unsigned int first,
                          struct arguments *a)
{
    a->file = option_value(o, "f");
    for (unsigned int i = first; i < o->nr_args; i++) {
        if (strchr(o->args[i], '='))
            a->overrides[a->nr_overrides++] = (char *)(uintptr_t)o->args[i];
        else if (a->file == NULL)
            a->file = o->args[i];
        else
            return xl_fail(x, "xl: two configuration files: %s, %s", a->file, o->args[i]);
    }
    return EXIT_OK;
}

void xl_report(void *arg, enum plat_level level, const char *file, unsigned int line,
               const char *text)
{
    struct xl *x = arg;

    if (line)
        text_printf(&x->err, "%s:%u: ", file, line);
    else
        text_printf(&x->err, "%s: ", file);
    text_printf(&x->err, "%s%s\n", level == PLAT_ERROR ? "" : "warning: ", text);
}

static int read_config(struct xl *x, const struct arguments *a, bool quiet, struct domain_config *c)
{
    struct config_source source = { .served = CONFIG_SERVE_DISK | CONFIG_SERVE_VIF,
                                    .report = xl_report,
                                    .arg = x,
                                    .file = a->file,
                                    .overrides = a->overrides,
                                    .nr_overrides = a->nr_overrides };
    char *text = plat_file_read(a->file, &source.len_bytes);
    int rc;

    if (text == NULL)
        return xl_fail(x, "Failed to read config file: %s: %s", a->file, strerror(errno)),
               EXIT_NOT_CREATED;
    if (!quiet)
        text_printf(&x->err, "Parsing config from %s\n", a->file);
    source.text = text;
    rc = config_parse(c, &source);
    free(text);
    if (rc)
        return xl_fail(x, "Failed to parse config: %s",
                       rc == -ENOMEM ? "no memory" : "Invalid argument");
    return EXIT_OK;
}

static int make_absolute(struct xl *x, char path[CONFIG_PATH])
{
    char folder[CONFIG_PATH];
    size_t len, nr = strlen(path);

    if (path[0] == '\0' || path[0] == '/' || x->home == NULL || x->home->folder == NULL)
        return EXIT_OK;
    if (x->home->folder(folder, sizeof(folder)))
        return xl_fail(x, "xl: %s: in which folder: %s", path, strerror(errno));
    len = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    if (len + 1 + nr >= CONFIG_PATH)
        return xl_fail(x, "xl: %s/%s: too long a path", folder, path);
    memmove(path + len + 1, path, nr + 1);
    memcpy(path, folder, len);
    path[len] = '/';
    return EXIT_OK;
}

/* Before a configuration is kept: whoever starts the domain again is in another folder. EXIT_OK or EXIT_FAILED. */
static int find_files(struct xl *x, struct domain_config *c)
{
    int rc = make_absolute(x, c->kernel);

    return rc ? rc : make_absolute(x, c->ramdisk);
}

int xl_read_config(struct xl *x, const char *file, struct domain_config *c)
{
    struct arguments a = { .file = file };

    if (read_config(x, &a, false, c))
        return EXIT_FAILED; /* 3 is create's alone */
    return find_files(x, c);
}

void xl_heed_interrupts(const struct xl *x, bool on)
{
    if (x->home && x->home->heed_interrupts)
        x->home->heed_interrupts(on);
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
        s->rc = (xl_fail(s->x, "xl: %s", s->x->tools.error), EXIT_NOT_CREATED);
    s->waits = false;
}

/* A domain without its console is a domain all the same: as xl has it, that is no failure. */
static int start(struct xl *x, const struct options *o, domid_t id)
{
    struct start s = { .x = x, .id = id, .waits = option_value(o, "p") == NULL };
    char who[8];

    snprintf(who, sizeof(who), "%u", id);
    if (option_value(o, "c") && xl_attach(x, who, 0, run, &s) != EXIT_OK)
        xl_fail(x, "xl: domain %u has been created, but its console is not to be had", id);
    run(&s);
    return s.rc;
}

static void wait_for(uint64_t ns)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };

    plat_lock(&lock);
    plat_cond_wait(&never, &lock, plat_now() + ns);
    plat_unlock(&lock);
}

static bool is_gone(struct xl *x, domid_t id)
{
    guest_info_t info;

    if (guest_info(&x->tools, id, &info))
        return errno == ESRCH;
    return info.flags & XEN_DOMINF_dying;
}

/* In the foreground: to its end, and that of those which begin in its place. */
static int follow(struct xl *x, domid_t id)
{
    domid_t next = id;
    int rc;

    do {
        id = next;
        rc = guest_attend_one(&x->tools, id, &next);
        if (rc == 0) {
            if (is_gone(x, id))
                break;
            wait_for(POLL_NS);
        } else if (rc < 0 && errno != ESRCH && errno != ENOENT) { /* it may be there, and ours */
            wait_for(RETRY_NS);
            rc = 0;
        }
        while (rc > 0 && x->tools.restarts) {
            wait_for(RETRY_NS);
            guest_attend_again(&x->tools, id, &next);
        }
    } while (rc == 0 || (rc > 0 && next));
    return EXIT_OK;
}

/* -e: nobody attends to it. -F: this xl does, as long as it is not ended. Else the attendant of all. */
int xl_start(struct xl *x, const struct options *o,
             int (*make)(struct toolstack *t, void *arg, domid_t *id), void *arg)
{
    bool foreground = option_value(o, "F") != NULL;
    domid_t id;
    int rc = EXIT_OK;

    if (foreground && (x->home == NULL || x->home->want_attendant == NULL))
        return xl_fail(x, "xl: -F is not served here");
    x->tools.unattended = foreground || option_value(o, "e");
    if (!x->tools.unattended && x->home && x->home->want_attendant)
        rc = x->home->want_attendant(x);
    xl_heed_interrupts(x, true);
    if (rc == EXIT_OK && make(&x->tools, arg, &id))
        rc = (xl_fail(x, "xl: %s", x->tools.error), EXIT_NOT_CREATED);
    xl_heed_interrupts(x, false);
    if (rc == EXIT_OK)
        rc = start(x, o, id);
    if (rc == EXIT_OK && foreground)
        rc = follow(x, id);
    x->tools.unattended = false;
    return rc;
}

static int make(struct toolstack *t, void *arg, domid_t *id) { return guest_create(t, arg, id); }

int xl_create(struct xl *x, const struct options *o)
{
    struct arguments a = { .nr_overrides = 0 };
    struct domain_config *c;
    int rc = sort_arguments(x, o, 0, &a);

    if (rc)
        return rc;
    if (a.file == NULL)
        return xl_fail(x, "xl: no configuration file");
    c = malloc(sizeof(*c));
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = read_config(x, &a, option_value(o, "q") != NULL, c);
    if (rc == EXIT_OK && (o->dry || option_value(o, "n"))) {
        struct json j = { .out = &x->out };

        config_json(&j, NULL, c);
    } else if (rc == EXIT_OK) {
        rc = find_files(x, c);
        rc = rc ? rc : xl_start(x, o, make, c);
    }
    free(c);
    return rc;
}

/* ---- config-update ---- */

static int update(struct xl *x, const struct options *o, domid_t id, struct domain_config *c)
{
    struct json j = { .out = &x->out };

    if (o->dry) {
        config_json(&j, NULL, c);
        return EXIT_OK;
    }
    if (find_files(x, c))
        return EXIT_FAILED;
    text_printf(&x->err, "setting dom%u configuration\n", id);
    if (guest_set_config(&x->tools, id, c) == 0)
        return EXIT_OK;
    xl_fail(x, "xl: %s", x->tools.error);
    return xl_fail(x, "failed to update configuration");
}

int xl_config_update(struct xl *x, const struct options *o)
{
    struct arguments a = { .nr_overrides = 0 };
    struct domain_config *c;
    domid_t id;
    int rc = sort_arguments(x, o, 1, &a);

    if (rc || !xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (a.file == NULL)
        return xl_fail(x, "Config file not specified");
    c = malloc(sizeof(*c));
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = read_config(x, &a, true, c) ? EXIT_FAILED : update(x, o, id, c); /* 3 is create's alone */
    free(c);
    return rc;
}
