/* rt/files.h: what newlib's files are on the runtime: all of them in memory, the initial ramdisk's and what was written. */
#pragma once

/**
 * A list of them: lines of a size in bytes, a blank and a path from the root, those that are open and removed not among
 * them. To be freed; NULL: ENOMEM.
 */
char *files_list(void);
