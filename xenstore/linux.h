/* linux.h: what the daemon does for itself only where it is a Linux process. */
#pragma once
#include <stdbool.h>
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

/**
 * Go on in the background, before anything is opened; who has started the program waits meanwhile. Returns
 * false, with errno, if that is not possible.
 */
bool linux_background(void);

/**
 * It serves now, in the background if linux_background() was called: write that process's id into a file,
 * and let who waits go on. 0 or -1 with errno.
 */
int linux_ready(const char *pid_file);
