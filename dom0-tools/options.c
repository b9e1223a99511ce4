/* See options.h. */
#include "options.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The line that is being taken apart. */
struct line {
    struct options *o;
    int nr, at;
    char *const *argv;
    struct text *err;
};

static const struct command *command_of(const struct options *o) { return &commands[o->id]; }

static bool is_option(const struct option_spec *s) { return s->letter || s->name; }

enum command_id command_find(const char *name)
{
    unsigned int nr = 0, found = NR_COMMANDS;

    for (unsigned int i = 0; i < NR_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return (enum command_id)i;
        if (strncmp(commands[i].name, name, strlen(name)) == 0) {
            found = i;
            nr++;
        }
    }
    return nr == 1 ? (enum command_id)found : NR_COMMANDS;
}

const char *option_value(const struct options *o, const char *name)
{
    const struct option_spec *s = command_of(o)->option;

    for (unsigned int i = 0; i < OPTIONS && is_option(&s[i]); i++) {
        if ((name[1] == '\0' && s[i].letter == name[0]) ||
            (s[i].name && strcmp(s[i].name, name) == 0))
            return o->value[i];
    }
    abort(); /* our own mistake */
}

/* ---- help ---- */

static void put_option(struct text *t, const struct option_spec *s)
{
    size_t start = t->len_bytes;

    if (s->letter)
        text_printf(t, "-%c", s->letter);
    if (s->letter && s->value && !s->name)
        text_printf(t, " %s", s->value);
    if (s->name)
        text_printf(t, s->value ? "%s--%s=%s" : "%s--%s", s->letter ? ", " : "", s->name, s->value);
    text_printf(t, "%*s%s\n", start + 24 > t->len_bytes ? (int)(start + 24 - t->len_bytes) : 1, "",
                s->help);
}

void print_help(struct text *t, enum command_id id)
{
    const struct command *c = &commands[id];

    text_printf(t, "Usage: xl [-vtT%s%s] %s %s\n\n%s.\n\n", c->changes ? "f" : "",
                c->can_dry ? "N" : "", c->name, c->usage, c->help);
    if (is_option(&c->option[0]))
        text_puts(t, "Options:\n\n");
    for (unsigned int i = 0; i < OPTIONS && is_option(&c->option[i]); i++)
        put_option(t, &c->option[i]);
}

/* Completion of shells skips four lines, and takes the first word of those that begin with a space. */
static void print_commands(struct text *t)
{
    text_puts(t, "Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n");
    for (unsigned int i = 0; i < NR_COMMANDS; i++)
        text_printf(t, " %-19s %s\n", commands[i].name, commands[i].help);
}

static int help(int argc, char *const argv[], struct text *out)
{
    enum command_id id;

    if (argc == 0 || strcmp(argv[0], "--long") == 0) {
        print_commands(out);
        return EXIT_OK;
    }
    id = command_find(argv[0]);
    if (id == NR_COMMANDS)
        text_printf(out, "command \"%s\" not implemented\n", argv[0]);
    else
        print_help(out, id);
    return EXIT_OK; /* as xl's */
}

/* ---- options ---- */

/* The option's value: what is left of this argument, or the next one. */
static int take_value(struct line *l, unsigned int option, const char *rest)
{
    const struct option_spec *s = &command_of(l->o)->option[option];

    if (s->value == NULL) {
        l->o->value[option] = "";
    } else if (rest) {
        l->o->value[option] = rest;
    } else if (l->at < l->nr) {
        l->o->value[option] = l->argv[l->at++];
    } else if (s->name) {
        text_printf(l->err, "option `--%s' needs a value.\n", s->name);
        return EXIT_USAGE;
    } else {
        text_printf(l->err, "option `%c' needs a value.\n", s->letter);
        return EXIT_USAGE;
    }
    return -1;
}

static int take_letters(struct line *l, const char *letters)
{
    const struct option_spec *s = command_of(l->o)->option;
    int rc = -1;

    for (; *letters && rc < 0; letters++) {
        unsigned int i = 0;

        while (i < OPTIONS && is_option(&s[i]) && s[i].letter != *letters)
            i++;
        if (*letters == 'h') {
            return EXIT_OK;
        } else if (i == OPTIONS || !is_option(&s[i])) {
            text_printf(l->err, "option `%c' not supported.\n", *letters);
            return EXIT_USAGE;
        } else if (s[i].value) {
            return take_value(l, i, letters[1] ? letters + 1 : NULL);
        }
        rc = take_value(l, i, NULL);
    }
    return rc;
}

/* A name may be cut as long as it is clear. */
static int take_name(struct line *l, const char *name)
{
    const struct option_spec *s = command_of(l->o)->option;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    unsigned int found = OPTIONS, nr = 0;

    if (strcmp(name, "help") == 0)
        return EXIT_OK;
    for (unsigned int i = 0; i < OPTIONS && is_option(&s[i]); i++) {
        if (s[i].name && strncmp(s[i].name, name, len) == 0) {
            nr = s[i].name[len] ? nr + 1 : 1;
            found = i;
            if (s[i].name[len] == '\0')
                break;
        }
    }
    if (len == 0 || nr != 1 || (value && s[found].value == NULL)) {
        text_printf(l->err, "option `--%s' not supported.\n", name);
        return EXIT_USAGE;
    }
    return take_value(l, found, value);
}

static int take_args(struct line *l)
{
    struct options *o = l->o;
    bool options = true;
    int rc = -1;

    while (l->at < l->nr && rc < 0) {
        const char *arg = l->argv[l->at++];

        if (options && strcmp(arg, "--") == 0)
            options = false;
        else if (options && arg[0] == '-' && arg[1] == '-')
            rc = take_name(l, arg + 2);
        else if (options && arg[0] == '-' && arg[1])
            rc = take_letters(l, arg + 1);
        else if (o->nr_args < ARGUMENTS)
            o->args[o->nr_args++] = arg;
        else
            rc = EXIT_FAILED;
    }
    return rc;
}

static int take_command(struct line *l, struct text *out)
{
    const struct command *c;
    struct options *o = l->o;
    int rc;

    o->id = command_find(l->argv[l->at++]);
    if (o->id == NR_COMMANDS) {
        text_puts(l->err, "command not implemented\n");
        return EXIT_FAILED;
    }
    c = command_of(o);
    if (o->dry && !c->can_dry) {
        text_puts(l->err, "command does not implement -N (dryrun) option\n");
        return EXIT_FAILED;
    }
    rc = take_args(l);
    if (rc < 0 && o->nr_args < c->min_args) {
        text_printf(l->err, "'xl %s' requires at least %u argument%s.\n\n", c->name, c->min_args,
                    c->min_args > 1 ? "s" : "");
        rc = EXIT_USAGE;
        print_help(l->err, o->id);
    } else if (rc == EXIT_FAILED || (rc < 0 && o->nr_args > c->max_args)) {
        rc = EXIT_FAILED;
        print_help(l->err, o->id);
    } else if (rc == EXIT_OK) {
        print_help(out, o->id);
    }
    return rc;
}

/* False: there is no such option. */
static bool take_global(struct options *o, const char *letters)
{
    for (; *letters; letters++) {
        switch (*letters) {
        case 'v': o->verbose = true; break;
        case 'N': o->dry = true; break;
        case 'f': o->force = true; break;
        case 'T': o->timestamps = true; break;
        case 't': break;
        default: return false;
        }
    }
    return true;
}

int options_parse(struct options *o, int argc, char *const argv[], struct text *out,
                  struct text *err)
{
    struct line l = { .o = o, .nr = argc, .argv = argv, .err = err };

    memset(o, 0, sizeof(*o));
    for (; l.at < argc && argv[l.at][0] == '-'; l.at++) {
        if (argv[l.at][1] == '\0' || !take_global(o, argv[l.at] + 1)) {
            text_puts(err, "unknown global option\n");
            return EXIT_FAILED;
        }
    }
    if (l.at == argc) {
        print_commands(out);
        return EXIT_FAILED;
    }
    if (strcmp(argv[l.at], "help") == 0)
        return help(argc - l.at - 1, argv + l.at + 1, out);
    return take_command(&l, out);
}

/* ---- values ---- */

int parse_size(const char *text, unsigned long long *kib)
{
    static const char units[] = "kmgt";
    unsigned long long number = 0;
    const char *at = text, *unit;
    unsigned int shift;

    for (; *at >= '0' && *at <= '9' && number < (1ull << 53); at++)
        number = number * 10 + (unsigned long long)(*at - '0');
    if (at == text || (*at && at[1]) || number >= 1ull << 53)
        return -EINVAL;
    if ((*at | 0x20) == 'b') {
        *kib = number >> 10;
        return 0;
    }
    unit = strchr(units, *at ? *at | 0x20 : 'm');
    if (unit == NULL)
        return -EINVAL;
    shift = 10 * (unsigned int)(unit - units);
    if (number >> (53 - shift))
        return -EINVAL;
    *kib = number << shift;
    return 0;
}

/* The word at *from goes to to, which is not behind it. Returns where it ends there, NULL: a quote is open. */
static char *split_one(char **from, char *to)
{
    char *at = *from, quote = 0;

    for (; *at && (quote || (*at != ' ' && *at != '\t')); at++) {
        if (quote == *at && quote)
            quote = 0;
        else if (!quote && (*at == '\'' || *at == '"'))
            quote = *at;
        else if (*at == '\\' && quote != '\'' && at[1])
            *to++ = *++at;
        else
            *to++ = *at;
    }
    *from = at;
    return quote ? NULL : to;
}

int words_split(char *line, char *words[], int max)
{
    char *to = line;
    int nr = 0;

    for (;;) {
        line += strspn(line, " \t");
        if (*line == '\0' || *line == '#')
            return nr;
        if (nr == max)
            return -E2BIG;
        words[nr++] = to;
        to = split_one(&line, to);
        if (to == NULL)
            return -EINVAL;
        if (*line)
            line++; /* before the zero is put there */
        *to++ = '\0';
    }
}
