/*
 * platform/fake.h: platform.h in memory, for unit tests on the host, and how a test steers it.
 *
 * Time stands still as long as any thread (the test's own, and those of plat_thread_start()) has
 * something to do. When all wait, it is at once the time for which the first of them waits. If none
 * waits for a time, nothing can ever happen: plat_loop_run() fails (EDEADLK); where there is no loop,
 * the program aborts.
 */
#pragma once
#include <platform.h>

/** Who runs while plat_yield() lets others run; NULL: nobody. */
void fake_yields_to(void (*fn)(void));

/** Time passes: timers that are due by then fire when a loop runs. */
void fake_advance(uint64_t ns);

/**
 * As if the program was killed and started again: files and regions stay, the latter closed; the console
 * is new. Its streams and loops must be closed and freed by the test.
 */
void fake_restart(void);

/** All is as at the very start: no files, no regions, time 0, no failure to come. */
void fake_reset(void);

/** The n-th from now on of the calls that may lack memory or room lacks it: ENOMEM. 0: none does. */
void fake_fail_at(unsigned int n);

/** Whether it has. */
bool fake_failed(void);

/** The terminal's end of plat_console(): what is written to it is typed. NULL: ENOMEM. */
struct plat_stream *fake_terminal(void);

/** The last line of the log, "" if there was none; and how many there were. */
const char *fake_log_last(void);
unsigned int fake_log_lines(void);
