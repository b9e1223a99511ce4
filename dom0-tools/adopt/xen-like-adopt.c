/*
 * xen-like-adopt: makes domains that the hypervisor started at boot known to Debian's toolstack, store and
 * console daemon.
 *
 * Exit status: 0 all of them are known now, 1 something failed (it is said on stderr).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xenstore.h>

#include "../lib/toolstack.h"

static void report(void *arg, bool ok, const char *line)
{
    (void)arg;
    if (ok)
        printf("%s\n", line);
    else
        fprintf(stderr, "xen-like-adopt: %s\n", line);
}

int main(int argc, char **argv)
{
    struct xs_handle *store;
    struct toolstack t;
    int rc;

    if (argc > 1) {
        fprintf(stderr, "usage: %s\n", argv[0]);
        return 2;
    }
    store = xs_open(0);
    if (store == NULL) {
        fprintf(stderr, "xen-like-adopt: the store is not to be had: %s\n", strerror(errno));
        return 1;
    }
    if (toolstack_open(&t, store, 0)) {
        report(NULL, false, t.error);
        return 1;
    }
    rc = guest_adopt(&t, report, NULL);
    toolstack_close(&t);
    xs_close(store);
    return rc ? 1 : 0;
}
