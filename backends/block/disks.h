/*
 * disks.h: the disks of this domain by their names, as a guest's configuration has them: /dev/vda and what a driver
 * adds, their partitions, and, on Linux, files. A disk can have several users, each with its own view of it.
 */
#pragma once
#include <platform.h>

#include "disk.h"

enum { DISK_NAME = 256 }; /* with the zero */

struct disks;

/** NULL: no memory. */
struct disks *disks_new(struct plat_loop *l);

/** Nobody has a view any more, and no partitions are being read: all disks are closed. */
void disks_free(struct disks *all);

/**
 * Here is a disk; from now on it is the registry's, which uses its changed and arg.
 * @name  as users will say it: "/dev/vda"; its partitions are /dev/vda1 or, behind a digit, /dev/nvme0n1p1
 * Returns 0, or EEXIST, ENAMETOOLONG, ENOMEM: it is still the caller's.
 */
int disks_add(struct disks *all, const char *name, struct disk *d);

/**
 * Say how what has no name in the registry can be opened (Linux: disk_file_open()). NULL: not at all.
 * @open  returns it, or NULL with errno; ENOENT there is none
 */
void disks_set_open(struct disks *all,
                    struct disk *(*open)(struct plat_loop *l, const char *name, bool read_only));

/**
 * A view of a disk, or of one of its partitions (by number, or as /dev/disk/by-partlabel/LABEL or by-partuuid/UUID),
 * for one user, to be closed by its ops when no request is left. Who writes has these sectors alone.
 * Returns NULL: ENOENT there is none, EROFS it cannot be written, EBUSY somebody has some of these sectors, EAGAIN
 * partitions are being read: try again soon, EMLINK several have that name, ENOMEM.
 */
struct disk *disks_open(struct disks *all, const char *name, bool read_only);

/** The n-th name, from 0, and its disk. NULL: there are not as many. */
const char *disks_nth(const struct disks *all, unsigned int n, const struct disk **d);
