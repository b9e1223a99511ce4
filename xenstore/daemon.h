/* daemon.h: the store as a daemon, in a loop of its own or of others. One for each program. */
#pragma once
#include <platform.h>

#include "store.h"

struct stored_options {
    const char *socket;                /* where clients of domain 0 connect */
    const char *const *domain_sockets; /* DOMID:PATH, up to NULL: where others do; or NULL */
    const char *region;                /* plat_region_open()'s, and its length */
    size_t size_bytes;
    bool rings; /* this is domain 0 of a hypervisor */
    struct xenstore_domain_interface
        *own;               /* the ring that domain 0's kernel has made; NULL: none */
    evtchn_port_t own_port; /* its kernel's port for it */
};

/** Serve from now on, by the loop. Returns 0; -1: it is in the log why not. */
int stored_start(struct plat_loop *l, const struct stored_options *o);
