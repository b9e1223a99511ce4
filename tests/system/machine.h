#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A machine in QEMU, driven over its serial port and watched over QMP.
 *
 * What the serial port says is kept whole in memory and written to a log, each line stamped with
 * the seconds since the start. Expectations are met in order: each one looks only at what came
 * after the previous one's match.
 */
struct machine;

struct machine_config {
    const char *name;        /* for messages and the log */
    const char *log_path;    /* NULL: no log */
    FILE *echo;              /* what comes from the serial port goes here, too; NULL: nowhere */
    const char *const *argv; /* QEMU's arguments without the serial port and QMP, NULL-ended */
    const char *forbidden;   /* extended regex: a line that fails every expectation; or NULL */
    size_t output_max_bytes; /* serial output kept at most; 0: no limit */
};

enum machine_end {
    MACHINE_RUNNING,
    MACHINE_POWERED_OFF, /* the guest switched it off */
    MACHINE_RESET,       /* the guest reset it (QEMU runs with -no-reboot) */
    MACHINE_QUIT,        /* QEMU ended for another reason */
};

/* Start QEMU ($QEMU, default qemu-system-x86_64). NULL: it could not be started, said on stderr. */
struct machine *machine_start(const struct machine_config *config);

/* Kill QEMU if it still runs, close the log, free everything. */
void machine_destroy(struct machine *m);

/* All of these return false when they fail and leave one line in machine_error(). */
bool machine_expect(struct machine *m, const char *regex, double timeout_s);
bool machine_send(struct machine *m, const char *text, size_t len_bytes);
bool machine_send_paced(struct machine *m, const char *text, size_t len_bytes);
bool machine_qmp(struct machine *m, const char *command);

/* The registers of all CPUs into the log. */
void machine_note_registers(struct machine *m);
bool machine_expect_end(struct machine *m, enum machine_end end, double timeout_s);
bool machine_expect_alive(struct machine *m, double duration_s);

/* For who builds on this: note the error, return false; put a text into the log. */
bool machine_fail(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
void machine_note(struct machine *m, const char *what, const char *text);

const char *machine_error(const struct machine *m);
double machine_seconds(const struct machine *m); /* since the start */
enum machine_end machine_end_reason(const struct machine *m);
int machine_exit_status(const struct machine *m); /* as a shell would show it */
bool machine_failed(const struct machine *m);     /* a forbidden line was seen */

/* Everything the serial port said so far, NUL-ended, without NUL, carriage returns
 * and terminal escape sequences. */
const char *machine_output(const struct machine *m, size_t *len_bytes);

/* What the last expectation that was met has matched, in that text. */
const char *machine_matched(const struct machine *m, size_t *len_bytes);

/* Serve the machine once, waiting at most wait_s and also watching extra_fd (or -1) for input.
 * Returns true when extra_fd has something to read. */
bool machine_poll(struct machine *m, double wait_s, int extra_fd);
