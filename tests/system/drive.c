/*
 * Feed a script to the shell of a machine in QEMU: wait for the prompt before each line, echo what
 * the machine says, and at the input's end switch it off.
 *   usage: drive [-t SECONDS] [-l LOG] -- QEMU-ARGUMENTS...  <SCRIPT
 * Exit status: QEMU's; 1 if the machine was reset or the hypervisor stopped; 124 when time ran out.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A Linux of ours has a shell, the embedded control domain its prompt, a Debian guest a login and root's shell. */
static const char READY[] = "XL-SHELL-READY|control domain, ready at";
static const char *const PROMPTS[] = { "/ # ", "\n> ", "control> ", " login: ", ":~# " };
static const char STOPPED[] = "^\\(XEN\\) (Panic|.*\\*\\*\\* FATAL)";

enum { EXIT_TIMEOUT = 124 };

/* A command that runs on without a prompt may be one that reads its input: after so long it gets
 * the next line. One that does not read leaves the line to the shell. */
static const double QUIET_S = 10;

struct script {
    char *data;
    size_t len, size;
    bool ended;
};

static void script_read(struct script *s)
{
    ssize_t n;

    if (s->size - s->len < 4096) {
        s->size += 65536;
        s->data = realloc(s->data, s->size);
        if (s->data == NULL)
            abort();
    }
    n = read(STDIN_FILENO, s->data + s->len, s->size - s->len);
    if (n > 0)
        s->len += (size_t)n;
    else if (n == 0 || errno != EINTR)
        s->ended = true;
}

/* The length of the first line with its newline, 0 while there is none. */
static size_t script_line(struct script *s)
{
    char *newline = s->len > 0 ? memchr(s->data, '\n', s->len) : NULL;

    if (newline != NULL)
        return (size_t)(newline - s->data) + 1;
    if (s->ended && s->len > 0 && s->len < s->size) {
        s->data[s->len++] = '\n'; /* a last line without a newline counts, too */
        return s->len;
    }
    return 0;
}

static bool at_prompt(const struct machine *m)
{
    size_t len;
    const char *output = machine_output(m, &len);

    for (size_t i = 0; i < sizeof(PROMPTS) / sizeof(PROMPTS[0]); i++) {
        size_t n = strlen(PROMPTS[i]);

        if (len >= n && memcmp(output + len - n, PROMPTS[i], n) == 0)
            return true;
    }
    return false;
}

/*
 * Wait until the shell asks for a line; the script is read meanwhile. False: no use going on.
 * @or_quiet  or until nothing was said for long
 */
static bool wait_for_prompt(struct machine *m, struct script *s, bool or_quiet, double deadline)
{
    double quiet_since = machine_seconds(m);
    size_t seen, len;

    machine_output(m, &seen);
    while (machine_end_reason(m) == MACHINE_RUNNING && !machine_failed(m)) {
        double now = machine_seconds(m);

        if (at_prompt(m) && (script_line(s) > 0 || s->ended))
            return true;
        if (now > deadline)
            return false;
        if (machine_poll(m, 0.5, s->ended ? -1 : STDIN_FILENO))
            script_read(s);
        machine_output(m, &len);
        if (len != seen)
            quiet_since = machine_seconds(m);
        seen = len;
        if ((or_quiet || script_line(s) > 0) && machine_seconds(m) - quiet_since > QUIET_S)
            return true;
    }
    return false;
}

/* The shell may be a guest's, in whose place is the control domain's prompt when it has ended: that is switched off, too. */
static void switch_off(struct machine *m, struct script *s, double deadline)
{
    static const char poweroff[] = "poweroff -f\n"; /* -f is the shell's */

    do {
        if (!machine_send_paced(m, poweroff, sizeof(poweroff) - 1))
            return;
    } while (wait_for_prompt(m, s, true, deadline));
}

static void feed(struct machine *m, struct script *s, double deadline)
{
    if (!machine_expect(m, READY, deadline))
        return;
    while (wait_for_prompt(m, s, false, deadline)) {
        size_t len = script_line(s);

        if (len == 0) {
            switch_off(m, s, deadline);
            return;
        }
        if (!machine_send_paced(m, s->data, len))
            return;
        s->len -= len;
        memmove(s->data, s->data + len, s->len);
    }
}

static int result(struct machine *m, const struct script *s, double limit)
{
    fprintf(stderr, "\n");
    if (machine_failed(m)) {
        fprintf(stderr, "run: %s\n", machine_error(m));
        return EXIT_FAILURE;
    }
    switch (machine_end_reason(m)) {
    case MACHINE_RUNNING:
        fprintf(stderr, "run: the machine still ran after %.0f s: killed\n", limit);
        return EXIT_TIMEOUT;
    case MACHINE_RESET: fprintf(stderr, "run: the machine was reset\n"); return EXIT_FAILURE;
    case MACHINE_POWERED_OFF:
    case MACHINE_QUIT:
        if (s->len > 0)
            fprintf(stderr, "run: the machine ended before its input did\n");
        break;
    }
    return machine_exit_status(m);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || value <= 0) {
        fprintf(stderr, "drive: not a time in seconds: %s\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char *argv[])
{
    struct machine_config config = { .name = "run", .echo = stdout, .forbidden = STOPPED };
    struct script script = { 0 };
    struct machine *m;
    double limit = 600;
    int option, status;

    while ((option = getopt(argc, argv, "t:l:")) != -1) {
        switch (option) {
        case 't': limit = number(optarg); break;
        case 'l': config.log_path = optarg; break;
        default:
            fprintf(stderr, "usage: drive [-t SECONDS] [-l LOG] -- QEMU-ARGUMENTS...\n");
            return 2;
        }
    }
    config.argv = (const char *const *)argv + optind;
    m = machine_start(&config);
    if (m == NULL)
        return EXIT_FAILURE;
    feed(m, &script, limit);
    while (machine_end_reason(m) == MACHINE_RUNNING && !machine_failed(m) &&
           machine_seconds(m) < limit)
        machine_poll(m, 0.5, -1);
    if (machine_end_reason(m) != MACHINE_RUNNING) /* it closed its streams: let it exit */
        machine_expect_end(m, machine_end_reason(m), 10);
    status = result(m, &script, limit);
    machine_destroy(m);
    free(script.data);
    return status;
}
