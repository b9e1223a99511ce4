/* link_tap.h: a switch's uplink on Linux: a TAP interface in one of Linux's bridges. */
#pragma once
#include "link.h"

struct plat_loop;

/**
 * An interface xl-BRIDGE is made (of a long name only the beginning) and put into that bridge; it is gone when the program ends.
 * NULL: errno as Linux says it (ENODEV: there is no such bridge, EBUSY: somebody else has the interface), or ENOMEM.
 */
struct link *link_tap(struct plat_loop *l, const char *bridge);

/**
 * A link through a descriptor that gives and takes a frame with each read() and write(). It is the link's, also if that fails.
 * NULL: ENOMEM, EBUSY it is watched already.
 */
struct link *link_of_fd(struct plat_loop *l, int fd);
