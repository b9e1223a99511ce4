/*
 * The four answers to the unexpected: -errno (bad guest input), domain_crash() (guest beyond
 * repair), BUG_ON (our invariant is broken; kept in release), ASSERT (cheap self-check, debug only).
 */
#pragma once
#include "lib/types.h"

/** Stop the machine with the message, registers and a symbolized backtrace on the console. */
noreturn void panic(const char *fmt, ...) printf_like(1, 2);
noreturn void bug_at(const char *file, int line, const char *what);

#define BUG() bug_at(__FILE__, __LINE__, "reached")
#define BUG_ON(cond)                           \
    do {                                       \
        if (unlikely(cond))                    \
            bug_at(__FILE__, __LINE__, #cond); \
    } while (0)

#ifdef NDEBUG
#define ASSERT(cond) ((void)sizeof(!!(cond)))
#else
#define ASSERT(cond) BUG_ON(!(cond))
#endif
