/* Domains that the hypervisor started at boot get what their rings wait for: nodes of the store, and the store. */
#include <stdio.h>

#include "commands.h"

static void report(void *arg, bool ok, const char *line)
{
    (void)arg;
    printf("%s%s\n", ok ? "" : "adopt: ", line);
}

static int run_adopt(struct prompt *p, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return guest_adopt(&p->xl.tools, report, NULL) ? 1 : 0;
}

const struct prompt_command adopt_commands[] = {
    { "adopt", "", "let domains started at boot have the store and a console", run_adopt },
    { 0 },
};
