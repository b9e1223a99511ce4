/*
 * xenstore_loop.h: a connection to the store in the event loop of platform.h, in place of xs_fileno(),
 * which says ENOTSUP in our library; with Debian's it is platform/xenstore.c.
 */
#pragma once
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xenstore.h>

/*
 * What our library promises when the store dies and comes back: the connection is made anew, by whoever asks or
 * waits, or by the loop. All watches are registered again, and each fires once, as a new one does; events in
 * between may be missing. A request that was not answered is sent again: it may have been done twice, and if
 * another client has changed the same in between, the second time counts. A transaction that was open goes on
 * for nothing: reading in it tells how things are, all else succeeds, and committing it fails with EAGAIN, as if
 * another client had been faster. If it was being committed that is so, too, but it may have been done: what
 * repeats it finds what it has written. A store that is not back after five seconds, or that is and says nothing,
 * or refuses a watch that it had (it is full, say), is an error of all requests and waits that began before; the next
 * one tries again. If it has refused some, the others fire more often.
 */

/**
 * Have fn(arg) called by the loop as long as there are events of watches: it takes one or more of them by
 * xs_check_watch(). Also when there is no store any more: that says another errno than EAGAIN then, until the next
 * request. (With Debian's library nobody says that; the next request fails.) From now on the connection is used
 * by the thread of the loop alone.
 * @fn  NULL: not any longer, before the loop is freed and before xs_close()
 * Returns 0; -1: EBUSY the connection is watched already, ENOMEM. The thread of the loop.
 */
int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg);

/**
 * xs_watch() of "@introduceDomain" or "@releaseDomain", whose events say of which domain they are, where store and library can:
 * their path is "@releaseDomain/5" then. The first one does not, and those of Debian's library never do: with "@releaseDomain"
 * it may be any domain.
 */
bool xenstore_watch_domains(struct xs_handle *h, const char *path, const char *token);

/** The domain that an event's path of such a watch is about; 0: it does not say. */
static inline unsigned int xenstore_event_domain(const char *path)
{
    const char *id = path[0] == '@' ? strchr(path, '/') : NULL;

    return id ? (unsigned int)strtoul(id + 1, NULL, 10) : 0;
}
