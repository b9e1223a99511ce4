/*
 * netfront.h: the network interface of a guest on our runtime, by <xen/io/netif.h>. The backend is an enemy: what it
 * says is copied once and checked; what it cannot have meant ends the connection.
 *
 * One queue, a page for each frame, so none is longer than 4096 bytes; checksums are the guest's own work. All of it
 * belongs to the thread of one loop, whose xs_open() leads to the store (store_ring.h).
 */
#pragma once
#include <platform.h>

enum { NETFRONT_FRAME = 4096 };

struct netfront;

struct netfront_user {
    /** It is there, with that address, and frames can be sent: once for each connection. */
    void (*ready)(void *arg, const uint8_t mac[6]);
    /** A frame has come in: a copy, which may be changed, and is gone afterwards. It may send. */
    void (*received)(void *arg, uint8_t *frame, uint32_t bytes);
    void *arg;
};

/** Serve the first interface of this guest. @user is kept. NULL: the log says why not. */
struct netfront *netfront_start(struct plat_loop *loop, const struct netfront_user *user);

/** It ends without a word to the backend. */
void netfront_stop(struct netfront *n);

/**
 * Send a copy of a frame.
 * @bytes  14..NETFRONT_FRAME
 * 0; -1: EAGAIN there is no room, or no connection; EINVAL.
 */
int netfront_send(struct netfront *n, const void *frame, uint32_t bytes);
