/* evtchn_loop.h on Linux, with Debian's libxenevtchn. */
#include "../lib/evtchn_loop.h"

#include "posix.h"

int evtchn_watch(struct plat_loop *l, xenevtchn_handle *xce, void (*fn)(void *arg), void *arg)
{
    return posix_watch_handle(l, xce, fn ? xenevtchn_fd(xce) : -1, fn, arg);
}
