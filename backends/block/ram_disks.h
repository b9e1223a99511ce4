/* ram_disks.h: RAM disks by the words of a command line: "ram0=64M", units as in dom0_mem=; /dev/ram0 is the disk. */
#pragma once
#include <stdbool.h>

struct disks;

/** Whether a word is about a RAM disk. */
bool ram_disks_word(const char *word);

/**
 * Add it; what it held when the program ended is still there.
 * Returns 0, or EINVAL bad number or size, EEXIST, ENOMEM, and as disk_ram_open(): the log says why.
 */
int ram_disks_add(struct disks *all, const char *word);
