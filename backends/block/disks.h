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
 * A view of a disk, or of one of its partitions (by number, or as /dev/disk/by-partlabel/LABEL or by-partuuid/UUID; both
 * by the file system's names, /dev/disk/by-label/ and by-uuid/), for one user, to be closed by its ops when no request
 * is left. Who writes has these sectors alone.
 * Names of a file system are those that it had before any user of this registry could write there: what a guest calls
 * it afterwards is not what the machine's configuration means. Nor are any names in a partition table, or of file
 * systems in partitions, once all of the disk was given to somebody to write.
 * Returns NULL: ENOENT there is none, EROFS it cannot be written, EBUSY somebody has some of these sectors, EAGAIN
 * partitions are being read: try again soon, EMLINK several have that name, ENOMEM.
 */
struct disk *disks_open(struct disks *all, const char *name, bool read_only);

/** Of a view: the name by which that disk or partition is always found, /dev/vda3, whatever is written there; "": that is too long. */
void disks_name(const struct disk *view, char name[DISK_NAME]);

/** The n-th name, from 0, and its disk. NULL: there are not as many. */
const char *disks_nth(const struct disks *all, unsigned int n, const struct disk **d);
