/*
 * xl: its commands, executed. The same for a program on Linux and for the prompt of the embedded control domain:
 * nothing is printed here, and of a terminal only struct xl_home knows.
 */
#pragma once
#include <stdbool.h>

#include "config.h"
#include "lib/toolstack.h"
#include "options.h"
#include "text.h"

struct xl;
struct xl_domain; /* print.h */
struct xl_info;

/** What commands want of the place where they run. A function that is NULL is not to be had there. */
struct xl_home {
    /** Show what has been said so far, and empty out and err. */
    void (*show)(struct xl *x);

    /**
     * Let the user be at a domain's console until he leaves, or the domain does. What has been said is shown before.
     * @who       the domain's name or number
     * @number    of its console: 0 is the first
     * @attached  called with @arg once nothing that the domain says can be missed any more; NULL: nobody wants to know
     * Returns EXIT_OK; else there is no such console: the user, or err, knows why.
     */
    int (*console)(struct xl *x, const char *who, unsigned int number, void (*attached)(void *arg),
                   void *arg);

    /**
     * Wait, so that what was shown can be looked at.
     * @keys  the user may end it with q, or Ctrl-C; else nothing is read of what is typed
     * Returns false: he has had enough.
     */
    bool (*wait)(struct xl *x, unsigned int seconds, bool keys);

    /** Say host, release, version and machine of the control domain's kernel, and its PCI devices: they stay there. */
    void (*kernel)(struct xl_info *info);

    /**
     * Say in which folder relative paths begin, as an absolute path. -1: errno, ERANGE it is too long. NULL: there is no
     * such thing, and paths are taken as they are.
     */
    int (*folder)(char *path, size_t size);

    /**
     * Have somebody attend to guests that end; before one is created. Returns EXIT_OK, or an exit code, and err says
     * why. NULL: somebody always does, and no command waits for as long as a guest runs.
     */
    int (*want_attendant)(struct xl *x);

    /** From now on, or not any more, is the end that the user wants (Ctrl-C) for the toolstack's interrupted to say. */
    void (*heed_interrupts)(bool on);
};

struct xl {
    struct toolstack tools;     /* of toolstack_open() */
    const struct xl_home *home; /* NULL: has nothing */
    void *place;                /* home's */
    struct text out, err;       /* what commands have said; the caller shows it, and empties them */
};

/**
 * Execute one command.
 * @argv  words behind "xl": global options, the command, its options and arguments
 * Returns xl's exit code, EXIT_*. A command that is not served says so.
 */
int xl_run(struct xl *x, int argc, char *const argv[]);

/* ---- for the commands' own files ---- */

typedef int xl_command_fn(struct xl *x, const struct options *o);
xl_command_fn xl_console, xl_create, xl_save, xl_restore, xl_dump_core, xl_list, xl_vcpu_list,
    xl_vcpu_pin, xl_vcpu_set, xl_credit2, xl_uptime, xl_info, xl_why, xl_config_update, xl_top,
    xl_shells, xl_block_attach, xl_block_detach, xl_block_list, xl_network_attach,
    xl_network_detach, xl_network_list, xl_channel_list;

/** Says that on err; EXIT_FAILED. */
int xl_fail(struct xl *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The user may end what takes long, and then nothing half-done stays; as xl_home's heed_interrupts, if there is that. */
void xl_heed_interrupts(const struct xl *x, bool on);

/** At its console, as xl_home's console. Where there is no terminal err says so. */
int xl_attach(struct xl *x, const char *who, unsigned int number, void (*attached)(void *arg),
              void *arg);

/** What is known of a domain. @name  receives a text that d refers to, to be freed */
void xl_describe(struct xl *x, const guest_info_t *info, struct xl_domain *d, char **name);

/** The domain of that name or number. Else false, and err says that there is none. */
bool xl_domain_of(struct xl *x, const char *name, domid_t *id);

/** What is wrong with a configuration, on err: of struct config_source. @arg  the struct xl */
void xl_report(void *arg, enum plat_level level, const char *file, unsigned int line,
               const char *text);

/** A configuration file, of which is said what is wrong with it; its files get absolute paths. EXIT_OK; else an exit code. */
int xl_read_config(struct xl *x, const char *file, struct domain_config *c);

/**
 * A domain is made, and begins as the options of create and restore say: -p, -c, -e, -F.
 * @make  makes it; else -1 and the toolstack's error
 * Returns EXIT_OK, of -F when it has ended; else an exit code, and err says why.
 */
int xl_start(struct xl *x, const struct options *o,
             int (*make)(struct toolstack *t, void *arg, domid_t *id), void *arg);
