/*
 * rt/verdict.h: for kernels that are tests. They check, and main() ends with "return verdict();".
 * The console then has the line that the runner of tests/guests waits for:
 * VERDICT name SUCCESS, or SKIP, ERROR, FAILURE with a reason. A crash is a failure.
 */
#pragma once
#include <stdbool.h>

/** One check, for the macros: if not ok, say so and remember. Returns ok. */
bool verdict_check(bool ok, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** Say SUCCESS or FAILURE by the checks so far. @name  the kernel's. Returns main()'s status: 0. */
int verdict_checks(const char *name);

/** Say it at once, and power off. @what  SKIP, ERROR or FAILURE. Any thread. */
void verdict_now(const char *name, const char *what, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/**
 * What the hypervisor answered, in a line that is compared with other hypervisors' answers.
 * @what  words joined by dots or dashes, unique in the kernel and the same in each run; so is
 * @got   (errnos and vectors, not addresses)
 * Returns got.
 */
long answer(const char *what, long got);

/* KERNEL_NAME is the Makefile's. */
#define verdict() verdict_checks(KERNEL_NAME)
#define verdict_skip(...) verdict_now(KERNEL_NAME, "SKIP", __VA_ARGS__)
#define verdict_error(...) verdict_now(KERNEL_NAME, "ERROR", __VA_ARGS__)
#define verdict_failure(...) verdict_now(KERNEL_NAME, "FAILURE", __VA_ARGS__)

/** The condition is to be true. */
#define CHECK(cond) verdict_check(cond, __LINE__, "%s", #cond)

/** Two integers are to be the same. */
#define CHECK_EQ(got, want)                                                                      \
    ({                                                                                           \
        long got_ = (long)(got), want_ = (long)(want);                                           \
        verdict_check(got_ == want_, __LINE__, "%s is %ld (0x%lx), not %ld (0x%lx)", #got, got_, \
                      (unsigned long)got_, want_, (unsigned long)want_);                         \
    })
