/*
 * rings.h: the rings of domains as a transport of the store, by the hypervisor's interface libraries: whose
 * page is mapped, whose port bound, and what the hypervisor says of domains. One for each program.
 */
#pragma once
#include <platform.h>

#include "store.h"

/**
 * Before store_open(), with hooks that call these.
 * @own   domain 0's own ring, which its kernel has made; NULL: it has none
 * @port  its kernel's port for it
 * Returns 0 or -errno: what is missing is in the log.
 */
int rings_open(struct plat_loop *loop, struct xenstore_domain_interface *own, evtchn_port_t port);

/**
 * The rings of domain 0 and of whom the store knows as introduced are served from now on.
 * Returns 0, -ENOMEM.
 */
int rings_begin(struct store *s);

/* The store's hooks. */
int rings_introduce(domid_t domain, uint64_t gfn, evtchn_port_t port);
void rings_release(domid_t domain);
void rings_output(domid_t domain);
