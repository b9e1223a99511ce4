/* Handles of Debian's libraries in a loop: each has a descriptor. */
#include <errno.h>
#include <stdlib.h>

#include "posix.h"

static struct plat_mutex lock; /* guards the list: several threads have loops */
static struct watched {
    struct watched *next;
    const void *handle;
    struct plat_stream *stream;
    void (*fn)(void *arg);
    void *arg;
} * all;

static void on_readable(void *arg, unsigned int ready)
{
    const struct watched *w = arg;

    (void)ready;
    w->fn(w->arg);
}

static struct watched **find(const void *handle)
{
    struct watched **at = &all;

    while (*at && (*at)->handle != handle)
        at = &(*at)->next;
    return at;
}

static void unwatch(const void *handle)
{
    struct watched **at, *w;

    plat_lock(&lock);
    at = find(handle);
    w = *at;
    if (w)
        *at = w->next;
    plat_unlock(&lock);
    if (w)
        plat_close(w->stream);
    free(w);
}

/* False: it is there already. */
static bool add(struct watched *w)
{
    bool is_new;

    plat_lock(&lock);
    is_new = *find(w->handle) == NULL;
    if (is_new) {
        w->next = all;
        all = w;
    }
    plat_unlock(&lock);
    return is_new;
}

int posix_watch_handle(struct plat_loop *l, const void *handle, int fd, void (*fn)(void *arg),
                       void *arg)
{
    struct watched *w;

    if (fn == NULL) {
        unwatch(handle);
        return 0;
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL || (w->stream = plat_of_fd(fd)) == NULL) {
        free(w);
        return -1;
    }
    w->handle = handle;
    w->fn = fn;
    w->arg = arg;
    if (!add(w)) {
        plat_close(w->stream);
        free(w);
        errno = EBUSY;
        return -1;
    }
    plat_watch(l, w->stream, PLAT_READABLE, on_readable, w);
    return 0;
}
