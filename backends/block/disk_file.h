/* disk_file.h: on Linux, a disk that is a file or a block device. */
#pragma once
#include "disk.h"

struct plat_loop;

/**
 * A thread of its own does what it is asked, one after the other; done() is called by the loop.
 * @name  a path that begins with '/'
 * Returns it, to be closed by its ops; NULL: errno of open(2), EINVAL it is neither file nor device, or its size is no
 * multiple of its sectors, ENOMEM.
 */
struct disk *disk_file_open(struct plat_loop *l, const char *name, bool read_only);
