/*
 * The four answers to the unexpected: -errno (bad guest input), domain_crash() (guest beyond
 * repair), BUG_ON (our invariant is broken; kept in release), ASSERT (cheap self-check, debug only).
 */
#pragma once
#include "lib/types.h"

/** Stop the machine: with one line that says why, for what we were given at boot; */
noreturn void panic(const char *fmt, ...) printf_like(1, 2);
/** ... with a symbolized backtrace as well, for our own mistakes. */
noreturn void bug_at(const char *file, int line, const char *what);

/**
 * What both begin with, for a trap that shows more: from here on this CPU alone runs, without
 * interrupts, and whatever it holds, all it prints is seen. Does not return the fourth time.
 */
void panic_begin(void);

/** Let the console be read for five seconds and reboot; with noreboot= stop for ever. */
noreturn void reboot_or_halt(void);

#define BUG_ON(cond)                           \
    do {                                       \
        if (unlikely(cond))                    \
            bug_at(__FILE__, __LINE__, #cond); \
    } while (0)

#ifdef NDEBUG
#define IS_DEBUG_BUILD 0
#define ASSERT(cond) ((void)sizeof(!!(cond)))
#else
#define IS_DEBUG_BUILD 1
#define ASSERT(cond) BUG_ON(!(cond))
#endif
