/* The log, and what else is the same in all homes. */
#include "loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum plat_level limit = PLAT_INFO;

void plat_log_limit(enum plat_level level) { limit = level; }

void plat_log(enum plat_level level, const char *fmt, ...)
{
    int saved = errno;
    char line[300];
    va_list args;

    if (level > limit)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    home_log(level, line);
    errno = saved;
}

bool region_name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return n >= 1 && n <= 31 && name[n] == '\0';
}
