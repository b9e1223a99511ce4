/* What every home of platform.h does the same: one test for all three. */
#pragma once

/**
 * Check everything. @folder  where files and sockets may be made
 * Returns how many checks failed; each is printed.
 */
unsigned int conformance(const char *folder);

/** One check: prints and counts what is not so. Returns ok. Any thread. */
int expect(int ok, const char *what, int line);
#define EXPECT(cond) expect(!!(cond), #cond, __LINE__)

extern unsigned int nr_unexpected;
