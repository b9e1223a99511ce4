/*
 * evtchn_loop.h: event channels in the event loop of platform.h. On Linux (platform/evtchn.c) a handle of
 * xenevtchn.h has a descriptor for that; on the runtime there are none, and xenevtchn_fd() says ENOTSUP.
 */
#pragma once
#include <platform.h>
#include <xenevtchn.h>

/**
 * Have fn(arg) called by the loop as long as ports of the handle are pending, as if its descriptor were
 * watched for reading: it takes one or more of them by xenevtchn_pending(). From the first call on that
 * function does not wait any more, but fails with EAGAIN.
 * @fn  NULL: not any longer, before the loop is freed and before xenevtchn_close()
 * Returns 0; -1: EBUSY the handle is watched already, ENOMEM. The thread of the loop.
 */
int evtchn_watch(struct plat_loop *l, xenevtchn_handle *xce, void (*fn)(void *arg), void *arg);
