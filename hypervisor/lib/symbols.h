/* Names of code addresses, for backtraces. */
#pragma once
#include "lib/types.h"

/**
 * The function that addr lies in and the offset from its start; NULL: none known. Slow (it decodes
 * the table from its start), touches constant data only: callable from a panic.
 */
const char *symbol_lookup(uint64_t addr, uint64_t *offset);
