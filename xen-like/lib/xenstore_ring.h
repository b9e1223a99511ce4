/*
 * xenstore_ring.h: a guest's way to the store, the ring of start_info, for xs_open() in its kernel.
 */
#pragma once
#include <stdbool.h>

/**
 * From now on xs_open() leads to the store that serves this domain's ring. One handle at a time: its bytes go through
 * as they are. A thread of its own carries them.
 * Returns false: there is no ring (the initial domain has none), or no memory; the log says which.
 */
bool xenstore_ring_start(void);
