/*
 * guard.h: whether a frame is one that who is at a port may send: by MAC address and, where they are set, IP
 * addresses; in Ethernet's and IP's headers, and in what ARP and IPv6's neighbour discovery tell others. Who has IP
 * addresses set gives others none: it is no router of IPv6 and no server of DHCP. Nor has it frames with VLAN tags:
 * its addresses are those of one network, the one without a tag, and the switch does not keep VLANs apart.
 */
#pragma once
#include "packet.h"

enum { GUARD_RANGES = 16 };

/** Addresses that begin alike. */
struct ip_range {
    uint8_t version, bits; /* 4: bits 0..32 of the first four bytes; 6: 0..128 */
    uint8_t address[16];
};

struct guard {
    bool mac_set;
    uint8_t mac[ETH_ADDRESS];
    unsigned int
        nr_ranges; /* 0: any IP address. Else what is no IP or ARP, or has a tag, is refused as well */
    struct ip_range ranges[GUARD_RANGES];
};

/**
 * The addresses of vif's ip=: IPv4 or IPv6, each perhaps with /BITS, with spaces or commas between them.
 * False: it is nothing like that, or more than GUARD_RANGES; g is unchanged.
 */
bool guard_parse(struct guard *g, const char *text);

/** @p  of that frame of @bytes, FRAME_MIN at least */
bool guard_passes(const struct guard *g, const uint8_t *data, uint32_t bytes,
                  const struct packet *p);
