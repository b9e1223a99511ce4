#include "packet.h"

enum { TAGS_MAX = 2, EXTENSIONS_MAX = 8 };
enum { IP6_HOP = 0, IP6_ROUTING = 43, IP6_FRAGMENT = 44, IP6_AUTH = 51, IP6_DEST = 60 };

/* Ethernet's header and VLAN tags. */
static void parse_ethernet(struct packet *p, const uint8_t *data, uint32_t bytes)
{
    uint32_t at = 12;

    if (bytes < ETH_HEADER)
        return;
    p->type = get16(data + at);
    for (int i = 0; i < TAGS_MAX && (p->type == ETH_VLAN || p->type == ETH_QINQ); i++) {
        at += 4;
        if (bytes < at + 2)
            return;
        p->type = get16(data + at);
    }
    p->l3 = at + 2;
}

static void parse_ip4(struct packet *p, const uint8_t *data, uint32_t bytes)
{
    const uint8_t *ip = data + p->l3;
    uint32_t left = bytes - p->l3, header, total;
    uint16_t part;

    if (left < IP4_HEADER || ip[0] >> 4 != 4)
        return;
    header = (ip[0] & 15u) * 4;
    total = get16(ip + 2);
    if (header < IP4_HEADER || total < header || total > left)
        return;
    p->version = 4;
    p->protocol = ip[9];
    p->end = p->l3 + total;
    part = get16(ip + 6) & 0x3fff; /* more to come, and where it belongs */
    p->fragment = part != 0;
    if ((part & 0x1fff) == 0 && header < total)
        p->l4 = p->l3 + header;
}

/* Its length; 0: there are no more extension headers. It is at least 8 bytes long. */
static uint32_t extension_bytes(uint8_t kind, const uint8_t *at)
{
    switch (kind) {
    case IP6_HOP:
    case IP6_ROUTING:
    case IP6_DEST: return (at[1] + 1u) * 8;
    case IP6_AUTH: return (at[1] + 2u) * 4;
    case IP6_FRAGMENT: return 8;
    default: return 0;
    }
}

static bool is_extension(uint8_t kind)
{
    static const uint8_t any[8] = { 0 };

    return extension_bytes(kind, any) != 0;
}

/* False: what follows cannot be seen. */
static bool take_extension(struct packet *p, const uint8_t *at)
{
    if (p->protocol == IP6_ROUTING && at[3] != 0)
        p->routed = true;
    if (p->protocol == IP6_FRAGMENT) {
        uint16_t part = get16(at + 2);

        p->later =
            !p->fragment && (part & 0xfff8) != 0; /* of a fragment's fragment nothing is known */
        p->fragment = p->fragment || (part & 0xfff9) != 0;
        p->protocol = at[0];
        return (part & 0xfff8) == 0;
    }
    p->protocol = at[0];
    return true;
}

static void parse_extensions(struct packet *p, const uint8_t *data)
{
    uint32_t at = p->l3 + IP6_HEADER;

    for (int i = 0; is_extension(p->protocol); i++) {
        uint32_t length;

        if (i == EXTENSIONS_MAX || p->end - at < 8)
            return;
        length = extension_bytes(p->protocol, data + at);
        if (length > p->end - at || !take_extension(p, data + at))
            return;
        at += length;
    }
    if (at < p->end)
        p->l4 = at;
}

static void parse_ip6(struct packet *p, const uint8_t *data, uint32_t bytes)
{
    const uint8_t *ip = data + p->l3;
    uint32_t left = bytes - p->l3;

    if (left < IP6_HEADER || ip[0] >> 4 != 6 || get16(ip + 4) > left - IP6_HEADER)
        return;
    p->version = 6;
    p->protocol = ip[6];
    p->end = p->l3 + IP6_HEADER + get16(ip + 4);
    parse_extensions(p, data);
}

static void parse_payload(struct packet *p, const uint8_t *data)
{
    uint32_t left = p->end - p->l4;

    if (p->protocol == IP_TCP && left >= TCP_HEADER) {
        uint32_t header = (data[p->l4 + 12] >> 4) * 4u;

        if (header >= TCP_HEADER && header <= left)
            p->payload = p->l4 + header;
    } else if (p->protocol == IP_UDP && left >= UDP_HEADER && get16(data + p->l4 + 4) == left) {
        p->payload = p->l4 + UDP_HEADER;
    }
}

void packet_parse(struct packet *p, const uint8_t *data, uint32_t bytes)
{
    *p = (struct packet){ 0 };
    parse_ethernet(p, data, bytes);
    if (p->l3 && p->type == ETH_IP4)
        parse_ip4(p, data, bytes);
    else if (p->l3 && p->type == ETH_IP6)
        parse_ip6(p, data, bytes);
    if (p->l4 && !p->fragment)
        parse_payload(p, data);
}
