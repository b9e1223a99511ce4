/* commands.h: what can be typed at the control domain's prompt. */
#pragma once
#include <platform.h>
#include <xenstore.h>

/** What a command may use beside platform.h. */
struct prompt {
    struct plat_loop *loop;       /* which does not run while a command does */
    struct plat_stream *terminal; /* not watched */
    struct xs_handle *xs;
};

/** A table of these ends with one without a name. */
struct command {
    const char *name;
    const char *arguments; /* for help: what is behind the name */
    const char *what;      /* for help: in a few words */
    /* argv[0] is the name, argv[argc] NULL; each word may be changed. Returns an exit status, 0 for success. */
    int (*run)(struct prompt *p, int argc, char **argv);
};

/** The tables that the prompt knows, up to NULL. */
extern const struct command *const command_tables[];

extern const struct command store_commands[]; /* store_commands.c */
extern const struct command adopt_commands[]; /* adopt.c */
