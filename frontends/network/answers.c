/*
 * A small kernel that answers ARP, neighbour solicitations and ping, at the address of its command line (ip=10.0.2.30)
 * and the link-local one of IPv6 that its MAC address gives.
 */
#include <stdio.h>
#include <string.h>

#include "netfront.h"
#include "store_ring.h"

enum { MAC = 6, ETH = 14, IP4 = 20, IP6 = 40, ARP_BYTES = 28 };

static struct netfront *front;
static uint8_t mac[MAC], ip4[4], ip6[16];

/* ---- what all have ---- */

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t add(uint32_t sum, const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Back to who has sent it. */
static void reply(uint8_t *frame, uint32_t bytes)
{
    memcpy(frame, frame + MAC, MAC);
    memcpy(frame + MAC, mac, MAC);
    netfront_send(front, frame, bytes);
}

static void swap(uint8_t *source, const uint8_t *own, uint32_t bytes)
{
    memcpy(source + bytes, source, bytes);
    memcpy(source, own, bytes);
}

/* ---- IPv4 ---- */

static void on_arp(uint8_t *frame, uint32_t bytes)
{
    static const uint8_t request[] = { 0, 1, 8, 0, MAC, 4, 0, 1 };
    uint8_t *arp = frame + ETH;

    if (bytes < ETH + ARP_BYTES || memcmp(arp, request, sizeof(request)) != 0 ||
        memcmp(arp + 24, ip4, 4) != 0)
        return;
    arp[7] = 2;
    memcpy(arp + 18, arp + 8, MAC + 4);
    memcpy(arp + 8, mac, MAC);
    memcpy(arp + 14, ip4, 4);
    reply(frame, ETH + ARP_BYTES);
}

static void on_ip4(uint8_t *frame, uint32_t bytes)
{
    uint8_t *ip = frame + ETH, *icmp = ip + IP4;
    uint32_t total = bytes < ETH + IP4 + 8 ? 0 : get16(ip + 2);

    if (total < IP4 + 8 || total > bytes - ETH || ip[0] != 0x45 || ip[9] != 1 ||
        (get16(ip + 6) & 0x3fff) || memcmp(ip + 16, ip4, 4) != 0 || icmp[0] != 8 ||
        folded(add(0, icmp, total - IP4)) != 0)
        return;
    icmp[0] = 0;
    put16(icmp + 2, 0);
    put16(icmp + 2, folded(add(0, icmp, total - IP4)));
    swap(ip + 12, ip4, 4);
    reply(frame, ETH + total);
}

/* ---- IPv6 ---- */

static void put_icmp6(uint8_t *ip, uint32_t bytes)
{
    uint8_t *icmp = ip + IP6;

    put16(icmp + 2, 0);
    put16(icmp + 2, folded(add(add(58 + bytes, ip + 8, 32), icmp, bytes)));
}

/* "Who has that address?" With the answer's option the message is as long as the question's with one. */
static void on_solicitation(uint8_t *frame, uint32_t bytes)
{
    uint8_t *ip = frame + ETH, *icmp = ip + IP6;

    if (bytes < 32 || memcmp(icmp + 8, ip6, 16) != 0)
        return;
    swap(ip + 8, ip6, 16);
    icmp[0] = 136;
    memset(icmp + 4, 0, 4);
    icmp[4] = 0x60; /* asked for, and it counts */
    icmp[24] = 2;
    icmp[25] = 1;
    memcpy(icmp + 26, mac, MAC);
    put16(ip + 4, 32);
    put_icmp6(ip, 32);
    reply(frame, ETH + IP6 + 32);
}

static void on_ip6(uint8_t *frame, uint32_t bytes)
{
    uint8_t *ip = frame + ETH, *icmp = ip + IP6;
    uint32_t n = bytes < ETH + IP6 + 8 ? 0 : get16(ip + 4);

    if (n < 8 || n > bytes - ETH - IP6 || ip[0] >> 4 != 6 || ip[6] != 58 ||
        folded(add(add(58 + n, ip + 8, 32), icmp, n)) != 0)
        return;
    if (icmp[0] == 135) {
        on_solicitation(frame, n);
    } else if (icmp[0] == 128 && memcmp(ip + 24, ip6, 16) == 0) {
        swap(ip + 8, ip6, 16);
        icmp[0] = 129;
        put_icmp6(ip, n);
        reply(frame, ETH + IP6 + n);
    }
}

/* ---- the kernel ---- */

static void received(void *arg, uint8_t *frame, uint32_t bytes)
{
    (void)arg;
    switch (get16(frame + 12)) {
    case 0x0806: on_arp(frame, bytes); break;
    case 0x0800: on_ip4(frame, bytes); break;
    case 0x86dd: on_ip6(frame, bytes); break;
    }
}

static void ready(void *arg, const uint8_t own[MAC])
{
    const uint8_t link_local[16] = {
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, own[0] ^ 2, own[1], own[2], 0xff, 0xfe, own[3], own[4], own[5]
    };

    (void)arg;
    memcpy(mac, own, MAC);
    memcpy(ip6, link_local, sizeof(ip6));
    printf("answers: %u.%u.%u.%u is ready\n", ip4[0], ip4[1], ip4[2], ip4[3]);
}

int main(int argc, char **argv)
{
    static const struct netfront_user user = { .ready = ready, .received = received };
    struct plat_loop *loop = plat_loop_new();
    unsigned int a[4] = { 0 };

    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "ip=%u.%u.%u.%u", &a[0], &a[1], &a[2], &a[3]) == 4)
            for (int j = 0; j < 4; j++)
                ip4[j] = (uint8_t)a[j];
    if (loop && store_ring_start() == 0)
        front = netfront_start(loop, &user);
    return front && plat_loop_run(loop) == 0 ? 0 : 1;
}
