/* platform/posix.h: what platform.h on Linux has beside it, for the interface libraries there. */
#pragma once
#include <platform.h>

/**
 * A descriptor as a stream. It is made non-blocking; plat_close() leaves it open. NULL: ENOMEM.
 */
struct plat_stream *plat_of_fd(int fd);

/**
 * What evtchn_watch() and xenstore_watch() are on Linux: have fn(arg) called as long as a handle's descriptor is
 * readable; fn NULL: not any longer. 0; -1: EBUSY it is watched already, ENOMEM.
 */
int posix_watch_handle(struct plat_loop *l, const void *handle, int fd, void (*fn)(void *arg),
                       void *arg);
