/*
 * store_ring.h: the store for the programs of a domain that does not run it itself: a kernel on our runtime that is a
 * guest. They use <xenstore.h> as anywhere; a thread carries what they say over the domain's one ring, which the
 * toolstack has made (start_info), and gives each the answers and events that are its own.
 */
#pragma once

/**
 * Listen at xs_daemon_socket() from now on. Once, before anybody uses xs_open().
 * Not here: who closes its connection while a transaction of it is open leaves that open in the store.
 * Returns 0; -1: errno, ENODEV this domain has no ring (it is the initial domain), EADDRINUSE, ENOMEM.
 */
int store_ring_start(void);
