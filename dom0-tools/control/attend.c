/* Guests that have ended are destroyed, started again or kept, as their configurations say. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore_loop.h>

#include "commands.h"

static struct attendant {
    struct plat_loop *loop;
    struct xs_handle *xs; /* the toolstack's is another: a watched one is not for requests */
    struct toolstack tools;
} attendant;

/* Any number of events is one look at all domains. */
static void on_release(void *arg)
{
    struct attendant *a = arg;
    bool seen = false;
    char **event;

    while ((event = xs_check_watch(a->xs)) != NULL) {
        seen = true;
        free(event);
    }
    if (errno != EAGAIN) {
        plat_log(PLAT_ERROR, "attend: the store: %s", strerror(errno));
        plat_loop_stop(a->loop); /* and begin anew */
        return;
    }
    if (seen && guest_attend(&a->tools) < 0)
        plat_log(PLAT_ERROR, "attend: %s", a->tools.error);
}

/* What it opens is its group's, and goes back when that ends. */
bool attend_start(struct plat_loop *loop)
{
    struct attendant *a = &attendant;
    struct xs_handle *requests = xs_open(0);

    *a = (struct attendant){ .loop = loop };
    a->xs = xs_open(0);
    if (a->xs == NULL || requests == NULL) {
        plat_log(PLAT_ERROR, "attend: the store: %s", strerror(errno));
        return false;
    }
    if (toolstack_open(&a->tools, requests, 0)) {
        plat_log(PLAT_ERROR, "attend: %s", a->tools.error);
        return false;
    }
    if (!xs_watch(a->xs, "@releaseDomain", "") || xenstore_watch(loop, a->xs, on_release, a)) {
        plat_log(PLAT_ERROR, "attend: no watch: %s", strerror(errno));
        return false;
    }
    return true;
}
