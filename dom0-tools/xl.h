/*
 * xl: its commands, executed. The same for a program on Linux and for the prompt of the embedded control domain:
 * nothing is printed here, and nothing waits for a terminal.
 */
#pragma once
#include <stdbool.h>

#include "config.h"
#include "lib/toolstack.h"
#include "options.h"
#include "text.h"

struct xl {
    struct toolstack tools; /* of toolstack_open() */
    struct text out, err;   /* what commands have said; the caller shows it, and empties them */
};

/**
 * Execute one command.
 * @argv  words behind "xl": global options, the command, its options and arguments
 * Returns xl's exit code, EXIT_*. A command that is not served says so.
 */
int xl_run(struct xl *x, int argc, char *const argv[]);

/* ---- for the commands' own files ---- */

typedef int xl_command_fn(struct xl *x, const struct options *o);
xl_command_fn xl_create, xl_save, xl_restore, xl_dump_core, xl_list, xl_vcpu_list, xl_vcpu_pin,
    xl_vcpu_set, xl_credit2, xl_uptime;

/** Says that on err; EXIT_FAILED. */
int xl_fail(struct xl *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The domain of that name or number. Else false, and err says that there is none. */
bool xl_domain_of(struct xl *x, const char *name, domid_t *id);

/** A configuration file, of which is said what is wrong with it. EXIT_OK; else an exit code. */
int xl_read_config(struct xl *x, const char *file, struct domain_config *c);
