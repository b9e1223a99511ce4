/* See complete.h. */
#include "complete.h"

#include <stdio.h>
#include <string.h>

#include "options.h"

/* The word at *text, which then is behind it. Returns its length, 0: there is none. */
static size_t next_word(const char **text, char *word, size_t size)
{
    size_t len;

    *text += strspn(*text, " \t");
    len = strcspn(*text, " \t");
    snprintf(word, size, "%.*s", (int)len, *text);
    *text += len;
    return len;
}

static void add_commands(complete_add *add, void *arg)
{
    for (unsigned int i = 0; i < NR_COMMANDS; i++)
        add(arg, commands[i].name);
    add(arg, "help");
}

static void add_options(const struct command *c, complete_add *add, void *arg)
{
    char name[32];

    for (unsigned int i = 0; i < OPTIONS && (c->option[i].letter || c->option[i].name); i++) {
        if (c->option[i].name == NULL)
            continue;
        snprintf(name, sizeof(name), "--%s", c->option[i].name);
        add(arg, name);
    }
    add(arg, "--help");
}

void complete_xl(const char *before, const char *word,
                 void (*domains)(void *domains_arg, complete_add *add, void *arg),
                 void *domains_arg, complete_add *add, void *arg)
{
    char first[32];
    enum command_id id;

    if (next_word(&before, first, sizeof(first)) == 0)
        add(arg, "xl");
    else if (strcmp(first, "xl") == 0)
        next_word(&before, first, sizeof(first));
    id = first[0] ? command_find(first) : NR_COMMANDS;
    if (first[0] == '\0' || strcmp(first, "help") == 0)
        add_commands(add, arg);
    else if (id == NR_COMMANDS)
        return;
    else if (word[0] == '-')
        add_options(&commands[id], add, arg);
    else if (strstr(commands[id].usage, "Domain"))
        domains(domains_arg, add, arg);
}
