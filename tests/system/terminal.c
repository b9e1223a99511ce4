/*
 * A program on a terminal, as a user sits before it.
 *   usage: terminal SECONDS LOG COMMAND ARGUMENT... -- STEP...
 * STEP  "?REGEX" until what came since the step before has that; else text that is typed
 * Exit status: the program's; 1 if a step was not met, said with what came last.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pty.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char came[1 << 20]; /* since the step before; what is too much is forgotten */
static size_t nr_came;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* false: the end */
static bool hear(int terminal, FILE *log)
{
    struct pollfd p = { .fd = terminal, .events = POLLIN };
    ssize_t n;

    if (poll(&p, 1, 100) <= 0)
        return true;
    if (nr_came > sizeof(came) / 2)
        nr_came = 0;
    n = read(terminal, came + nr_came, sizeof(came) - 1 - nr_came);
    if (n <= 0)
        return false;
    fwrite(came + nr_came, 1, (size_t)n, log);
    fflush(log);
    nr_came += (size_t)n;
    came[nr_came] = '\0';
    return true;
}

static bool wait_for(int terminal, FILE *log, const char *what, double until)
{
    bool there = false, met;
    regex_t regex;

    if (regcomp(&regex, what, REG_EXTENDED | REG_NEWLINE | REG_NOSUB))
        return false;
    do
        met = regexec(&regex, came, 0, NULL, 0) == 0;
    while (!met && now() < until && (there = hear(terminal, log)));
    regfree(&regex);
    if (met)
        nr_came = 0;
    else
        fprintf(stderr, "terminal: %s before '%s' came; last came:\n%s\n",
                there ? "the time was over" : "it ended", what,
                nr_came > 1000 ? came + nr_came - 1000 : came);
    came[nr_came] = '\0';
    return met;
}

int main(int argc, char **argv)
{
    int terminal, status, steps = 3;
    double until;
    FILE *log;
    pid_t pid;

    while (steps < argc && strcmp(argv[steps], "--") != 0)
        steps++;
    if (steps == argc || steps == 3)
        return fprintf(stderr, "usage: terminal SECONDS LOG COMMAND ARGUMENT... -- STEP...\n"), 2;
    until = now() + strtod(argv[1], NULL);
    argv[steps] = NULL;
    log = fopen(argv[2], "w");
    pid = log ? forkpty(&terminal, NULL, NULL, NULL) : -1;
    if (pid < 0)
        return perror("terminal"), 2;
    if (pid == 0) {
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    for (int i = steps + 1; i < argc; i++)
        if (argv[i][0] != '?' ? write(terminal, argv[i], strlen(argv[i])) < 0
                              : !wait_for(terminal, log, argv[i] + 1, until)) {
            kill(pid, SIGKILL);
            return 1;
        }
    while (hear(terminal, log) && now() < until)
        ;
    if (now() >= until)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
