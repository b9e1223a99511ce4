/* Frames that tests make: Ethernet, IP and TCP or UDP, with right lengths and sums. */
#pragma once
#include <string.h>

#include "../../backends/network/link.h"
#include "../../backends/network/offload.h"
#include "../../backends/network/packet.h"

struct made {
    struct frame *f;
    uint32_t l3, l4, payload;
};

/** @tag  a VLAN's number behind Ethernet's header; 0: none */
static inline struct made make_ethernet(const uint8_t *to, const uint8_t *from, uint16_t type,
                                        uint16_t tag, uint32_t room)
{
    struct made m = { .f = frame_alloc(room), .l3 = ETH_HEADER };

    memset(m.f->data, 0, room);
    memcpy(m.f->data, to, ETH_ADDRESS);
    memcpy(m.f->data + ETH_ADDRESS, from, ETH_ADDRESS);
    if (tag) {
        put16(m.f->data + 12, ETH_VLAN);
        put16(m.f->data + 14, tag);
        m.l3 += 4;
    }
    put16(m.f->data + m.l3 - 2, type);
    m.f->bytes = m.l3;
    return m;
}

/** @options  bytes of them in IPv4's header, a multiple of 4; @data  bytes behind TCP's or UDP's header */
static inline struct made make_ip4(const uint8_t *to, const uint8_t *from, uint8_t protocol,
                                   uint32_t options, uint32_t data, uint16_t tag)
{
    uint32_t header = protocol == IP_TCP ? TCP_HEADER : protocol == IP_UDP ? UDP_HEADER : 0;
    struct made m = make_ethernet(to, from, ETH_IP4, tag, 18 + 20 + options + header + data);
    uint8_t *ip = m.f->data + m.l3;

    m.l4 = m.l3 + 20 + options;
    m.payload = m.l4 + header;
    m.f->bytes = m.payload + data;
    ip[0] = (uint8_t)(0x45 + options / 4);
    memset(ip + 20, 1, options);
    put16(ip + 2, (uint16_t)(m.f->bytes - m.l3));
    put16(ip + 4, 0xfffe);
    ip[8] = 64;
    ip[9] = protocol;
    put32(ip + 12, 0x0a000000u + from[5]);
    put32(ip + 16, 0x0a000000u + to[5]);
    put16(ip + 10, csum_end(csum_add(0, ip, 20 + options)));
    if (protocol == IP_TCP)
        m.f->data[m.l4 + 12] = 5 << 4;
    if (protocol == IP_UDP)
        put16(m.f->data + m.l4 + 4, (uint16_t)(header + data));
    for (uint32_t i = 0; i < data; i++)
        m.f->data[m.payload + i] = (uint8_t)(i * 7 + i / 251);
    return m;
}

/** @extension  bytes of a header of destination options, a multiple of 8; 0: none */
static inline struct made make_ip6(const uint8_t *to, const uint8_t *from, uint8_t protocol,
                                   uint32_t extension, uint32_t data)
{
    uint32_t header = protocol == IP_TCP ? TCP_HEADER : protocol == IP_UDP ? UDP_HEADER : 0;
    struct made m = make_ethernet(to, from, ETH_IP6, 0, 14 + 40 + extension + header + data);
    uint8_t *ip = m.f->data + m.l3;

    m.l4 = m.l3 + 40 + extension;
    m.payload = m.l4 + header;
    m.f->bytes = m.payload + data;
    ip[0] = 0x60;
    put16(ip + 4, (uint16_t)(extension + header + data));
    ip[6] = extension ? 60 : protocol;
    ip[7] = 64;
    if (extension) {
        ip[40] = protocol;
        ip[41] = (uint8_t)(extension / 8 - 1);
    }
    ip[8] = ip[24] = 0xfd;
    ip[23] = from[5];
    ip[39] = to[5];
    if (protocol == IP_TCP)
        m.f->data[m.l4 + 12] = 5 << 4;
    if (protocol == IP_UDP)
        put16(m.f->data + m.l4 + 4, (uint16_t)(header + data));
    for (uint32_t i = 0; i < data; i++)
        m.f->data[m.payload + i] = (uint8_t)(i * 7 + i / 251);
    return m;
}
