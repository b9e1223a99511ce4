/*
 * One attendant at a time, and whoever else comes knows whether that one serves. By two locks on bytes of a file, which belong
 * to the process (and those it forks) and go with it, however it ends: nothing stale stays in the file.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/**
 * Become the one, or wait until the one that there is serves, or is none any more.
 * @path         made if there is none; it stays
 * @patience_ns  so long it may take it to begin, or to end
 * Returns a descriptor to be kept open; -1: another one serves; -2: errno, ETIMEDOUT another one neither serves
 * nor ends.
 */
int attend_lock(const char *path, uint64_t patience_ns);

/** Who has got that serves from now on, or not any more. By any thread. 0; -1: errno. */
int attend_serves(int fd, bool serves);
