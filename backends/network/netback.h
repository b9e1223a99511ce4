/*
 * netback.h: the network interfaces of guests, by <xen/io/netif.h>: each is a port of a virtual switch, one for each
 * name of a bridge. Nodes of backend/vif/DOMAIN/NUMBER (libxl's, and two of ours):
 *
 *   mac       aa:bb:cc:dd:ee:ff: its only address, as the guard has it
 *   ip        addresses that it may use, with spaces or commas, perhaps /BITS (guard.h); then it is no router of IPv6
 *             and no DHCP server for others, and has no VLANs: frames with tags are refused
 *   rate      BYTES,MICROSECONDS: so much per interval from the guest
 *   bridge    which switch; xenbr0 if nothing is said
 *   vifname   for the log; vifDOMAIN.NUMBER if nothing is said
 *   isolated  1: it reaches the uplink only, and others that are not isolated
 *   capture   a file's path: what goes through it is written there as long as the node is (switch.h)
 *
 * mac, ip and bridge are read once; rate, isolated and capture whenever they change.
 */
#pragma once
#include <platform.h>

struct link;
struct netback;

struct netback_options {
    unsigned int queues; /* of each interface at most; 1..8 */
};

/** Serve all interfaces there are and come. NULL: the log says why not. */
struct netback *netback_start(struct plat_loop *loop, const struct netback_options *o);

/** As if it were killed: frontends are told nothing. */
void netback_stop(struct netback *n);

/**
 * Frames of a switch go out, and others come in there.
 * @bridge  its name
 * @l       stays its owner's until netback_stop()
 * 0; -1: EBUSY it has one, or as switch_add()
 */
int netback_uplink(struct netback *n, const char *bridge, struct link *l);
