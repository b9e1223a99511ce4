/* See rt/verdict.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rt/kernel.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include "../kernel/internal.h"

static struct mutex lock; /* guards both */
static unsigned int nr_failed;
static char first_failed[160];

bool verdict_check(bool ok, int line, const char *fmt, ...)
{
    char buf[sizeof(first_failed)];
    va_list args;

    if (ok)
        return true;
    va_start(args, fmt);
    vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);
    runtime_lock(&lock);
    if (nr_failed++ == 0)
        memcpy(first_failed, buf, sizeof(buf));
    if (nr_failed <= 20)
        printf("line %d: %s\n", line, buf);
    runtime_unlock(&lock);
    return false;
}

long answer(const char *what, long got)
{
    printf("ANSWER %s %ld\n", what, got);
    return got;
}

int verdict_checks(const char *name)
{
    if (nr_failed)
        verdict_now(name, "FAILURE", "%u checks, first: %s", nr_failed, first_failed);
    printf("VERDICT %s SUCCESS\n", name);
    return 0;
}

void verdict_now(const char *name, const char *what, const char *fmt, ...)
{
    va_list args;

    printf("VERDICT %s %s ", name, what);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    domain_shutdown(SHUTDOWN_poweroff);
}
