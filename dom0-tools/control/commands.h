/* commands.h: what can be typed at the control domain's prompt, beside xl's commands. */
#pragma once
#include <platform.h>
#include <xenstore.h>

#include "../xl.h"

/** What a command may use beside platform.h. */
struct prompt {
    struct plat_loop *loop;       /* which does not run while a command does */
    struct plat_stream *terminal; /* not watched */
    struct xs_handle *xs;
    struct xl xl; /* its texts are empty between commands */
};

/** A table of these ends with one without a name. */
struct prompt_command {
    const char *name;
    const char *arguments; /* for help: what is behind the name */
    const char *what;      /* for help: in a few words */
    /* argv[0] is the name, argv[argc] NULL; each word may be changed. Returns an exit status, 0 for success. */
    int (*run)(struct prompt *p, int argc, char **argv);
};

extern const struct prompt_command store_commands[];   /* store_commands.c */
extern const struct prompt_command file_commands[];    /* file_commands.c */
extern const struct prompt_command adopt_commands[];   /* adopt.c */
extern const struct prompt_command service_commands[]; /* service.c */
extern const struct prompt_command extra_commands[];   /* extra.c; tests have others */

/* ---- prompt.c ---- */

/** Execute one line that is split into words. Returns an exit status. */
int prompt_run(struct prompt *p, int argc, char **argv);

/** Read lines and execute them until there are no more. False: no memory. */
bool prompt_serve(struct prompt *p);

/** Execute the lines of a file as if they were typed. If there is no such file, there is nothing to be done. */
void prompt_run_file(struct prompt *p, const char *path);

/* ---- xl_command.c ---- */

/** One command of xl, and what it says. @argv  what stands behind "xl". Returns xl's exit code. */
int run_xl(struct prompt *p, int argc, char **argv);

/** Call add(arg, name) for each domain. @prompt  a struct prompt */
void add_domain_names(void *prompt, void (*add)(void *arg, const char *word), void *arg);
