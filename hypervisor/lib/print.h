/* Messages for people: to the log ring and the console. */
#pragma once
#include "lib/types.h"

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_GUEST = 4 };

/**
 * Print one message at the given level; "(XEN) " is put before each line. Whether it reaches the
 * console is loglvl='s matter. Takes L_CONSOLE; callable anywhere but under L_CONSOLE.
 */
void print(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/**
 * The same for what a guest can cause: filtered by guest_loglvl= and rate limited (suppressed
 * messages are counted and reported).
 */
#define gprint(level, ...) print((level) | LOG_GUEST, __VA_ARGS__)
