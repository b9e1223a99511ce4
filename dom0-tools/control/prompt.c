/* The prompt: a line is one of our commands, or one of xl's, with or without "xl" before it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../complete.h"
#include "../edit.h"
#include "commands.h"
#include "power.h"

enum { WORDS = 64 };

/* ---- commands ---- */

static const struct prompt_command *const command_tables[];

static int run_help(struct prompt *p, int argc, char **argv)
{
    char xl_help[] = "help", *xl_argv[] = { xl_help, NULL };

    (void)argc;
    (void)argv;
    for (const struct prompt_command *const *t = command_tables; *t; t++)
        for (const struct prompt_command *c = *t; c->name; c++) {
            int n = printf("%s %s", c->name, c->arguments);

            printf("%*s %s\n", n < 30 ? 30 - n : 0, "", c->what);
        }
    printf("and xl's, with or without xl before them:\n");
    return run_xl(p, 1, xl_argv);
}

static int run_poweroff(struct prompt *p, int argc, char **argv)
{
    const char *what;

    (void)p;
    (void)argc;
    (void)argv;
    machine_off(&what);
    printf("poweroff: %s: %s\n", what, strerror(errno));
    return 1;
}

static int run_xl_word(struct prompt *p, int argc, char **argv)
{
    return run_xl(p, argc - 1, argv + 1);
}

static const struct prompt_command own_commands[] = {
    { "xl", "COMMAND ...", "a command of xl", run_xl_word },
    { "help", "", "show this", run_help },
    { "poweroff", "", "switch the machine off", run_poweroff },
    { 0 },
};

static const struct prompt_command *const command_tables[] = {
    store_commands, file_commands, adopt_commands, service_commands, own_commands,
    extra_commands, NULL
};

int prompt_run(struct prompt *p, int argc, char **argv)
{
    enum command_id id = command_find(argv[0]);

    for (const struct prompt_command *const *t = command_tables; *t; t++)
        for (const struct prompt_command *c = *t; c->name; c++)
            if (strcmp(c->name, argv[0]) == 0)
                return c->run(p, argc, argv);
    if (id != NR_COMMANDS && strcmp(commands[id].name, argv[0]) == 0) /* whole: no accidents */
        return run_xl(p, argc, argv);
    printf("%s: there is no such command; help shows those there are\n", argv[0]);
    return 127;
}

static int run_line(struct prompt *p, char *line)
{
    char *words[WORDS];
    int n = words_split(line, words, WORDS - 1);

    if (n < 0) {
        printf("%s\n", n == -EINVAL ? "a quotation mark is not closed" : "too many words");
        return 2;
    }
    words[n] = NULL;
    return n ? prompt_run(p, n, words) : 0;
}

void prompt_run_file(struct prompt *p, const char *path)
{
    char *text = plat_file_read(path, NULL), *next = text;

    if (text == NULL && errno != ENOENT)
        printf("%s: %s\n", path, strerror(errno));
    for (unsigned int number = 1; next; number++) {
        char *line = next, *end = strchr(line, '\n');
        int rc;

        next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        rc = run_line(p, line);
        if (rc)
            printf("%s:%u: failed (%d)\n", path, number, rc);
    }
    free(text);
}

/* ---- the terminal ---- */

struct input {
    struct prompt *prompt;
    char *line; /* NULL: the input has ended */
};

static void on_line(void *arg, char *line)
{
    struct input *in = arg;

    in->line = line;
    plat_loop_stop(in->prompt->loop);
}

static void add_candidate(void *arg, const char *word) { edit_candidate(arg, word); }

static void on_complete(void *arg, struct edit *e, const char *before, const char *word)
{
    struct input *in = arg;

    if (before[strspn(before, " ")] == '\0')
        for (const struct prompt_command *const *t = command_tables; *t; t++)
            for (const struct prompt_command *c = *t; c->name; c++)
                if (c->run != run_xl_word && c->run != run_help) /* complete_xl() has these */
                    edit_candidate(e, c->name);
    complete_xl(before, word, add_domain_names, in->prompt, add_candidate, e);
}

bool prompt_serve(struct prompt *p)
{
    struct input in = { .prompt = p };
    struct edit_user user = { .arg = &in, .line = on_line, .complete = on_complete };
    struct edit *e = edit_new(p->loop, p->terminal, true, &user);

    if (e == NULL)
        return false;
    for (;;) {
        int rc;

        fflush(stdout);
        edit_start(e, "control> ");
        if (plat_loop_run(p->loop) || in.line == NULL)
            break;
        rc = run_line(p, in.line);
        if (rc)
            printf("(%d)\n", rc);
    }
    edit_free(e);
    return true;
}
