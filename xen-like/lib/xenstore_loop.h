/*
 * xenstore_loop.h: a connection to the store in the event loop of platform.h, in place of xs_fileno(),
 * which says ENOTSUP in our library; with Debian's it is platform/xenstore.c.
 */
#pragma once
#include <platform.h>
#include <xenstore.h>

/**
 * Have fn(arg) called by the loop as long as there are events of watches: it takes one or more of them by
 * xs_check_watch(). Also when the connection is lost: that says another errno than EAGAIN then. (With
 * Debian's library nobody says that; the next request fails.) From now on the connection is used by the
 * thread of the loop alone.
 * @fn  NULL: not any longer, before the loop is freed and before xs_close()
 * Returns 0; -1: EBUSY the connection is watched already, ENOMEM. The thread of the loop.
 */
int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg);
