/* xenstore_loop.h on Linux, with Debian's libxenstore. */
#include "../lib/xenstore_loop.h"

#include "posix.h"

int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg)
{
    return posix_watch_handle(l, h, fn ? xs_fileno(h) : -1, fn, arg);
}

/* It cannot ask for more. */
bool xenstore_watch_domains(struct xs_handle *h, const char *path, const char *token)
{
    return xs_watch(h, path, token);
}
