/* linux.h: what the daemon does for itself only where it is a Linux process. */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/io/xs_wire.h>

/**
 * The ring that this kernel has made for a store beside it.
 * @port  receives the kernel's port for it
 * Returns NULL with errno; ENOENT: this is not domain 0 (or xenfs is not mounted).
 */
struct xenstore_domain_interface *linux_own_ring(evtchn_port_t *port);
