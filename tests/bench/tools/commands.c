/*
 * Commands of the embedded control domain for tests: lines many times, a line counted by tests/bench/plugin, and
 * what the machine has.
 */
#define __XEN_TOOLS__ 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../dom0-tools/control/commands.h"
#include "../../../dom0-tools/lib/hyp.h"
#include "../plugin/mark.h"
#include "left.h"

enum { WORDS = 16, WORD = 64, SETTLED_US = 20000 };

/* Its words with the number in place of each %. */
static int run_numbered(struct prompt *p, unsigned int number, int argc, char **argv)
{
    static char text[WORDS][WORD];
    char *words[WORDS + 1];

    for (int i = 0; i < argc; i++) {
        char *percent = strchr(argv[i], '%');

        if (percent)
            snprintf(text[i], WORD, "%.*s%u%s", (int)(percent - argv[i]), argv[i], number,
                     percent + 1);
        else
            snprintf(text[i], WORD, "%s", argv[i]);
        words[i] = text[i];
    }
    words[argc] = NULL;
    return prompt_run(p, argc, words);
}

/* The lines between words ";", each with that number. */
static int run_lines(struct prompt *p, unsigned int number, int argc, char **argv)
{
    int rc = 0;

    for (int first = 0, end; first < argc && rc == 0; first = end + 1) {
        for (end = first; end < argc && strcmp(argv[end], ";") != 0; end++)
            ;
        rc = end - first > WORDS ? 2 : run_numbered(p, number, end - first, argv + first);
    }
    return rc;
}

static int run_repeat(struct prompt *p, int argc, char **argv)
{
    unsigned int last;

    if (argc < 4)
        return 2;
    last = (unsigned int)strtoul(argv[2], NULL, 10);
    for (unsigned int n = (unsigned int)strtoul(argv[1], NULL, 10); n <= last; n++) {
        int rc = run_lines(p, n, argc - 3, argv + 3);

        if (rc) {
            printf("repeat: failed at %u\n", n);
            return rc;
        }
    }
    printf("repeated\n");
    return 0;
}

/*
 * With what others do in so many milliseconds then: a guest that it starts may end it before. The window's number is
 * the next one (mark.h).
 */
static int run_window(struct prompt *p, int argc, char **argv)
{
    static unsigned int number;
    int rc;

    if (argc < 4)
        return 2;
    printf("WORKLOAD\t%u\t%s\n", ++number, argv[1]);
    fflush(stdout);
    usleep(SETTLED_US);
    mark_window(MARK_NEXT);
    rc = prompt_run(p, argc - 3, argv + 3);
    fflush(stdout);
    usleep(1000 * (useconds_t)strtoul(argv[2], NULL, 10));
    mark_window(0);
    return rc;
}

static int run_figures(struct prompt *p, int argc, char **argv)
{
    struct xen_sysctl_physinfo machine;
    guest_info_t *infos;
    size_t nr;

    (void)argc;
    (void)argv;
    usleep(5 * SETTLED_US); /* the daemons let go of what has ended */
    if (hyp_machine(p->xl.tools.hyp, &machine) || guest_list(&p->xl.tools, &infos, &nr))
        return 1;
    free(infos);
    printf("FIGURES %llu free frames, %zu domains\n",
           (unsigned long long)(machine.free_pages + machine.scrub_pages), nr);
    return 0;
}

const struct prompt_command extra_commands[] = {
    { "repeat", "FROM TO LINE [; LINE]", "lines, with each number in place of %", run_repeat },
    { "window", "NAME MS LINE", "a line and so many ms more, counted", run_window },
    { "figures", "", "free frames and domains", run_figures },
    { "left", "[begin|ports]", "whether there is what there was at the begin", run_left },
    { "await", "PATH VALUE", "wait for the store", run_await },
    { 0 },
};
