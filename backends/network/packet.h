/*
 * packet.h: what the headers of a frame say. Whoever sent it may be an enemy: whatever is cut off, too long or
 * contradicts itself is not there. All offsets are bytes from the frame's first.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    ETH_ADDRESS = 6,
    ETH_HEADER = 14,
    ETH_TYPE_MIN = 0x600, /* below that it is a length */
    ETH_IP4 = 0x0800,
    ETH_ARP = 0x0806,
    ETH_VLAN = 0x8100,
    ETH_QINQ = 0x88a8,
    ETH_IP6 = 0x86dd,
    IP_TCP = 6,
    IP_UDP = 17,
    IP_ICMP6 = 58,
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
};

struct packet {
    uint16_t type;    /* of what is behind Ethernet's header and up to two VLAN tags */
    uint32_t l3;      /* where that begins; 0: the frame ends before it */
    uint8_t version;  /* 4 or 6: IP, whose header is whole and right; else 0 */
    uint8_t protocol; /* what IP carries, as far as its extension headers could be read */
    bool fragment;    /* it is a part of a packet: the first one if l4 is not 0 */
    bool later;       /* of IPv6, one behind the first: what its headers carry is not in it */
    bool routed;      /* IPv6 names another last destination than its header */
    uint32_t l4;      /* where that begins; 0: it cannot be seen */
    uint32_t end;     /* where IP's packet ends by its own length: what is behind is padding */
    uint32_t
        payload; /* of TCP and UDP, not fragments, whose header is whole: where its data begins; else 0 */
};

/** @data  a frame of @bytes, which is copied nowhere: nobody changes it meanwhile */
void packet_parse(struct packet *p, const uint8_t *data, uint32_t bytes);

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}
