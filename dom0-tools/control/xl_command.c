/* xl's commands at the prompt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../consoled/consoled.h"
#include "commands.h"

static void show(struct text *t)
{
    if (t->len_bytes)
        fwrite(t->bytes, 1, t->len_bytes, stdout);
    text_free(t);
}

/* Also of a domain that is dead, as long as the console daemon knows it: its word counts. */
static int attach(struct prompt *p, const struct options *o)
{
    const char *type = option_value(o, "t"), *number = option_value(o, "n");

    if ((type && strcmp(type, "pv") != 0) || (number && strcmp(number, "0") != 0))
        return xl_fail(&p->xl, "xl: console: there is only pv's, of number 0");
    fflush(stdout);
    return console_attach(p->loop, p->terminal, CONSOLED_SOCKET, o->args[0]) ? EXIT_FAILED
                                                                             : EXIT_OK;
}

int run_xl(struct prompt *p, int argc, char **argv)
{
    struct text out = { 0 }, err = { 0 };
    struct options o;
    int rc = options_parse(&o, argc, argv, &out, &err);

    text_free(&out); /* if it matters xl_run() says it again */
    text_free(&err);
    if (rc < 0 && o.id == COMMAND_CONSOLE)
        rc = attach(p, &o);
    else
        rc = xl_run(&p->xl, argc, argv);
    show(&p->xl.out);
    show(&p->xl.err);
    return rc;
}

void add_domain_names(void *prompt, void (*add)(void *arg, const char *word), void *arg)
{
    struct prompt *p = prompt;
    guest_info_t *infos;
    size_t nr;

    if (guest_list(&p->xl.tools, &infos, &nr))
        return;
    for (size_t i = 0; i < nr; i++) {
        char *name = guest_name(&p->xl.tools, infos[i].domain);

        if (name)
            add(arg, name);
        free(name);
    }
    free(infos);
}
