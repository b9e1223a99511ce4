/*
 * xl's commands: their names, options and help, and how a command line is taken apart. What a command does
 * is not known here: who makes a program keeps a function for each enum command_id.
 */
#pragma once
#include <stdbool.h>

#include "text.h"

/** In the order in which `xl help` lists them. */
enum command_id {
    COMMAND_CREATE,
    COMMAND_CONFIG_UPDATE,
    COMMAND_LIST,
    COMMAND_DESTROY,
    COMMAND_SHUTDOWN,
    COMMAND_REBOOT,
    COMMAND_PAUSE,
    COMMAND_UNPAUSE,
    COMMAND_CONSOLE,
    COMMAND_SAVE,
    COMMAND_RESTORE,
    COMMAND_DUMP_CORE,
    COMMAND_MEM_MAX,
    COMMAND_MEM_SET,
    COMMAND_VCPU_LIST,
    COMMAND_VCPU_PIN,
    COMMAND_VCPU_SET,
    COMMAND_INFO,
    COMMAND_SCHED_CREDIT2,
    COMMAND_DOMID,
    COMMAND_DOMNAME,
    COMMAND_RENAME,
    COMMAND_TRIGGER,
    COMMAND_SYSRQ,
    COMMAND_DEBUG_KEYS,
    COMMAND_DMESG,
    COMMAND_TOP,
    COMMAND_CHANNEL_LIST,
    COMMAND_UPTIME,
    COMMAND_NETWORK_ATTACH,
    COMMAND_NETWORK_LIST,
    COMMAND_NETWORK_DETACH,
    COMMAND_BLOCK_ATTACH,
    COMMAND_BLOCK_LIST,
    COMMAND_BLOCK_DETACH,
    COMMAND_WHY,
    COMMAND_SHELLS,
    NR_COMMANDS,
};

/** The exit codes of xl. */
/* The last is create's, of a file that is not there and of a domain that cannot be. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_CREATED = 3 };

enum { OPTIONS = 8, ARGUMENTS = 64, UNLIMITED = ARGUMENTS };

struct option_spec {
    char letter;       /* 0: it has only a name */
    const char *name;  /* NULL: only a letter */
    const char *value; /* what its value is called; NULL: it has none */
    const char *help;
};

struct command {
    const char *name;
    const char *usage; /* of its arguments */
    const char *help;  /* a line */
    unsigned int min_args, max_args;
    bool changes; /* something: it has the global option -f */
    bool can_dry; /* the global option -N */
    struct option_spec option[OPTIONS];
};

extern const struct command commands[NR_COMMANDS];

/** A command line. Its texts are those of argv. */
struct options {
    enum command_id id;
    bool verbose, dry, force,
        timestamps; /* the global options -v -N -f -T (-t is taken and has no effect) */
    const char
        *value[OPTIONS]; /* of each option of the command: "" if it has none; NULL: not given */
    unsigned int nr_args;
    const char *args[ARGUMENTS];
};

/**
 * The command of that name, or the only one whose name begins so. NR_COMMANDS: there is none, or there are
 * several.
 */
enum command_id command_find(const char *name);

/**
 * Take apart what stands behind the program's name: global options, the command, and in any order its
 * options and arguments. "help" is answered here.
 * @out @err  what is to be shown; added to
 * Returns -1: *o is a command to be executed; else what xl exits with: help was asked for, or something
 * is wrong.
 */
int options_parse(struct options *o, int argc, char *const argv[], struct text *out,
                  struct text *err);

/** The value of an option by its letter ("f") or name ("defconfig"); "" if it has none, NULL: it was not given. */
const char *option_value(const struct options *o, const char *name);

/** Usage, text and options of a command, as `xl help NAME` shows it. */
void print_help(struct text *t, enum command_id id);

/**
 * A size as mem-set and mem-max take it: a number, and b, k, m, g or t; without a unit it is MiB.
 * (xl 4.17's manual says KiB, its help and what it does MiB.)
 * Returns 0; -EINVAL: it is none, or 2^63 bytes or more.
 */
int parse_size(const char *text, unsigned long long *kib);

/**
 * Split a line typed at a prompt into words, in place: spaces between them; '...' keeps all but ', "..." and
 * what is outside take \ before a character; # before a word begins a comment.
 * Returns how many; -EINVAL: a quote is not closed; -E2BIG: more than max.
 */
int words_split(char *line, char *words[], int max);
