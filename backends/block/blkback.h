/*
 * blkback.h: the block backend. Disks of this domain for other domains, by <xen/io/blkif.h>.
 *
 * A device's folder backend/vbd/DOMAIN/DEVICE says which disk it is, as libxl writes it: params (a name of disks.h; in
 * the class qdisk "aio:" and the name), mode ("r", else it is written to). If params is a label or a UUID, the name that
 * does not change is written beside it (disk-name): the next life of the backend goes on with that disk, whatever the
 * guest has named it since. If there is a script (libxl's, which also finds the device of a file), the guest is
 * connected when that has said in hotplug-status that it is done; params is opened all the same. What is wrong is told
 * in hotplug-error. Whoever writes "?" to its node statistics finds there soon how much was done: "reads=N
 * read-sectors=N writes=N written-sectors=N flushes=N discards=N refused=N failed=N running=N".
 */
#pragma once
#include <platform.h>

struct blkback;
struct disks;

/**
 * Serve all devices of a class from now on. NULL: the log says why not.
 * @type  the class: "vbd"; "qdisk", of backendtype=qdisk, is the one that is never a driver's of Linux
 */
struct blkback *blkback_start(struct plat_loop *l, struct disks *disks, const char *type);

/** As if it were killed: guests wait for the next one. No disk has a request that it does not end at once. */
void blkback_stop(struct blkback *b);
