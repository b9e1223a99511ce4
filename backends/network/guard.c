#include "guard.h"

#include <string.h>

enum { IP4_BYTES = 4, IP6_BYTES = 16 };
enum {
    ROUTER_SOLICITATION = 133,
    ROUTER_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    NEIGHBOUR_ADVERTISEMENT,
    REDIRECT
};

/* ---- addresses as text ---- */

/* Up to so many digits of that base. Returns how many there were. */
static unsigned int take_number(const char *text, unsigned int base, unsigned int most,
                                unsigned int *value)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    unsigned int n = 0;

    for (*value = 0; n < most && text[n]; n++) {
        const char *at = strchr(digits, text[n]);

        if (at == NULL || (at - digits) % 16 >= base)
            break;
        *value = *value * base + (unsigned int)((at - digits) % 16);
    }
    return n;
}

/* Returns what is behind it; NULL: it is none. */
static const char *take_ip4(const char *text, uint8_t address[IP4_BYTES])
{
    for (int i = 0; i < IP4_BYTES; i++) {
        unsigned int value, n;

        if (i && *text++ != '.')
            return NULL;
        n = take_number(text, 10, 3, &value);
        if (n == 0 || value > 255)
            return NULL;
        address[i] = (uint8_t)value;
        text += n;
    }
    return text;
}

static bool ends(char c) { return c == '\0' || c == '/' || c == ' ' || c == ','; }

/* Groups of four digits, of which "::" leaves some out; the last two may be IPv4's. */
static const char *take_ip6(const char *text, uint8_t address[IP6_BYTES])
{
    int at = 0, gap = -1;

    memset(address, 0, IP6_BYTES);
    if (text[0] == ':' && text[1] != ':')
        return NULL;
    while (!ends(*text)) {
        unsigned int value, n;

        if (text[0] == ':' && text[1] == ':') {
            if (gap >= 0)
                return NULL;
            gap = at;
            text += 2;
            continue;
        }
        if (at && gap != at && *text++ != ':')
            return NULL;
        n = take_number(text, 16, 4, &value);
        if (n == 0 || at > IP6_BYTES - 2)
            return NULL;
        if (text[n] == '.') {
            text = at <= IP6_BYTES - IP4_BYTES ? take_ip4(text, address + at) : NULL;
            at += IP4_BYTES;
            if (text == NULL || !ends(*text))
                return NULL;
            break;
        }
        put16(address + at, (uint16_t)value);
        at += 2;
        text += n;
    }
    if (gap < 0)
        return at == IP6_BYTES ? text : NULL;
    if (at == IP6_BYTES)
        return NULL;
    memmove(address + IP6_BYTES - (at - gap), address + gap, (size_t)(at - gap));
    memset(address + gap, 0, (size_t)(IP6_BYTES - at));
    return text;
}

static const char *take_range(const char *text, struct ip_range *r)
{
    const char *end = take_ip4(text, r->address);
    unsigned int most = 32, bits, n;

    r->version = 4;
    if (end == NULL || !ends(*end)) {
        end = take_ip6(text, r->address);
        r->version = 6;
        most = 128;
    }
    if (end == NULL)
        return NULL;
    r->bits = (uint8_t)most;
    if (*end != '/')
        return end;
    n = take_number(++end, 10, 3, &bits);
    if (n == 0 || bits > most)
        return NULL;
    r->bits = (uint8_t)bits;
    return end + n;
}

bool guard_parse(struct guard *g, const char *text)
{
    struct guard new = *g;

    new.nr_ranges = 0;
    for (;;) {
        text += strspn(text, " ,");
        if (*text == '\0')
            break;
        if (new.nr_ranges == GUARD_RANGES)
            return false;
        text = take_range(text, &new.ranges[new.nr_ranges++]);
        if (text == NULL || !(*text == '\0' || *text == ' ' || *text == ','))
            return false;
    }
    *g = new;
    return true;
}

/* ---- whose addresses ---- */

static bool begins_alike(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
    unsigned int whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool in_ranges(const struct guard *g, unsigned int version, const uint8_t *address)
{
    for (unsigned int i = 0; i < g->nr_ranges; i++)
        if (g->ranges[i].version == version &&
            begins_alike(g->ranges[i].address, address, g->ranges[i].bits))
            return true;
    return false;
}

static bool has_version(const struct guard *g, unsigned int version)
{
    for (unsigned int i = 0; i < g->nr_ranges; i++)
        if (g->ranges[i].version == version)
            return true;
    return false;
}

/* fe80:: and the address that its MAC gives; who has any of IPv6 has this one, too. */
static bool is_link_local(const struct guard *g, const uint8_t *address)
{
    const uint8_t own[IP6_BYTES] = {
        0xfe,           0x80,      0,         0,    0,    0,         0,         0,
        g->mac[0] ^ 2u, g->mac[1], g->mac[2], 0xff, 0xfe, g->mac[3], g->mac[4], g->mac[5]
    };

    return g->mac_set && has_version(g, 6) && memcmp(own, address, IP6_BYTES) == 0;
}

static bool is_zero(const uint8_t *address, unsigned int bytes)
{
    while (bytes && *address == 0) {
        address++;
        bytes--;
    }
    return bytes == 0;
}

static bool is_own_ip6(const struct guard *g, const uint8_t *address)
{
    return g->nr_ranges == 0 || in_ranges(g, 6, address) || is_link_local(g, address);
}

static bool is_own_mac(const struct guard *g, const uint8_t *mac)
{
    return !g->mac_set || memcmp(mac, g->mac, ETH_ADDRESS) == 0;
}

/* ---- what it tells ---- */

static bool arp_passes(const struct guard *g, const uint8_t *data, const struct packet *p,
                       uint32_t bytes)
{
    static const uint8_t ethernet_ip4[] = { 0, 1, 8, 0, ETH_ADDRESS, IP4_BYTES };
    const uint8_t *arp = data + p->l3;

    if (bytes - p->l3 < 28 || memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
        return false;
    return is_own_mac(g, arp + 8) &&
           (g->nr_ranges == 0 || is_zero(arp + 14, IP4_BYTES) || in_ranges(g, 4, arp + 14));
}

/* Who has no address yet asks for one by DHCP. */
static bool is_dhcp(const uint8_t *data, const struct packet *p)
{
    return p->payload && p->protocol == IP_UDP && get16(data + p->l4) == 68 &&
           get16(data + p->l4 + 2) == 67;
}

/* What clients of DHCP listen to, from whatever port: only a server, which gives others addresses, sends there. */
static bool is_dhcp_answer(const uint8_t *data, const struct packet *p)
{
    return p->protocol == IP_UDP && p->l4 && p->end - p->l4 >= 4 &&
           get16(data + p->l4 + 2) == (p->version == 4 ? 68 : 546);
}

static bool ip4_passes(const struct guard *g, const uint8_t *data, const struct packet *p)
{
    const uint8_t *source = data + p->l3 + 12;

    return g->nr_ranges == 0 || in_ranges(g, 4, source) ||
           (is_zero(source, IP4_BYTES) && is_dhcp(data, p));
}

/* Neighbour discovery's options: the addresses of links in them. */
static bool options_pass(const struct guard *g, const uint8_t *at, const uint8_t *end)
{
    while (at != end) {
        uint32_t length;

        if (end - at < 8)
            return false;
        length = at[1] * 8u;
        if (length == 0 || length > (uint32_t)(end - at))
            return false;
        if ((at[0] == 1 || at[0] == 2) && !is_own_mac(g, at + 2))
            return false;
        at += length;
    }
    return true;
}

static bool discovery_passes(const struct guard *g, const uint8_t *data, const struct packet *p)
{
    const uint8_t *icmp = data + p->l4, *end = data + p->end;
    static const uint8_t headers[] = { 8, 16, 24, 24, 40 };
    uint8_t kind = icmp[0];

    if (kind < ROUTER_SOLICITATION || kind > REDIRECT)
        return true;
    if (p->fragment || (uint32_t)(end - icmp) < headers[kind - ROUTER_SOLICITATION])
        return false;
    if (kind == ROUTER_ADVERTISEMENT || kind == REDIRECT)
        return g->nr_ranges == 0; /* a router has others' addresses */
    if (kind == NEIGHBOUR_ADVERTISEMENT && !is_own_ip6(g, icmp + 8))
        return false;
    return options_pass(g, icmp + headers[kind - ROUTER_SOLICITATION], end);
}

static bool ip6_passes(const struct guard *g, const uint8_t *data, const struct packet *p)
{
    const uint8_t *source = data + p->l3 + 8;
    bool none = is_zero(source, IP6_BYTES);

    if (p->l4 == 0 && !p->later && p->protocol != 59)
        return false; /* its headers hide what it carries; 59 says that it is nothing */
    if (p->fragment && p->l4 == 0 && (p->protocol == 0 || p->protocol == 43 || p->protocol == 60))
        return false; /* so do these: they are to be in the first fragment (RFC 7112) */
    if (!is_own_ip6(g, source) && !(none && p->protocol == IP_ICMP6 && has_version(g, 6)))
        return false;
    return p->protocol != IP_ICMP6 || p->l4 == 0 || discovery_passes(g, data, p);
}

bool guard_passes(const struct guard *g, const uint8_t *data, uint32_t bytes,
                  const struct packet *p)
{
    if (!g->mac_set && g->nr_ranges == 0)
        return true;
    if (!is_own_mac(g, data + ETH_ADDRESS) || p->l3 == 0)
        return false;
    if (g->nr_ranges && (p->l3 != ETH_HEADER || is_dhcp_answer(data, p)))
        return false;
    if (p->type == ETH_ARP)
        return arp_passes(g, data, p, bytes);
    if (p->type == ETH_IP4)
        return p->version == 4 && ip4_passes(g, data, p);
    if (p->type == ETH_IP6)
        return p->version == 6 && ip6_passes(g, data, p);
    return g->nr_ranges == 0;
}
