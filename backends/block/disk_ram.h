/* disk_ram.h: a disk that is memory, which outlives the program (a region of platform.h), not the machine. */
#pragma once
#include "disk.h"

/**
 * @name   of its region
 * @bytes  a multiple of 4096, not 0
 * @fresh  receives whether it is new, and all zero; may be NULL
 * Returns it, to be closed by its ops; NULL: errno of plat_region_open(), EINVAL.
 */
struct disk *disk_ram_open(const char *name, uint64_t bytes, bool *fresh);
