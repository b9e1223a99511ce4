/*
 * Packets that two guests forward to each other: each is sent once, goes over the network as often as its time to live
 * lets it, by the route of either guest to the other, and of its end the sender is told (ICMP). Of the guests' kernels
 * only the driver and the routing are in it, of their programs nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../plugin/mark.h"
#include "split.h"

enum {
    IN_FLIGHT = 64, /* so that no queue on the way is full */
    HOPS = 255,     /* odd: the last is to the other guest */
    PROTOCOL = 253, /* of experiments: nobody looks into it */
    PACKET_BYTES = 1500,
    LOST_SECONDS = 20,
};

/* @to  no address of either: each has a route there by the other one */
static void transmit(int fd, in_addr_t from, in_addr_t to, size_t bytes, uint16_t number)
{
    static union {
        struct iphdr header;
        uint8_t bytes[PACKET_BYTES];
    } packet;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = to };

    packet.header = (struct iphdr){ .version = 4,
                                    .ihl = sizeof(packet.header) / 4,
                                    .id = htons((uint16_t)(number + 1)),
                                    .frag_off = htons(IP_DF),
                                    .ttl = HOPS,
                                    .protocol = PROTOCOL,
                                    .tot_len = htons((uint16_t)bytes),
                                    .saddr = from,
                                    .daddr = to };
    must(sendto(fd, &packet, bytes, 0, (struct sockaddr *)&address, sizeof(address)) ==
             (ssize_t)bytes,
         "send");
}

/* The other guest had one of ours that may not go on. */
static void wait_for_end(int icmp)
{
    struct {
        struct iphdr outer;
        struct icmphdr message;
        struct iphdr ours;
    } end;

    do
        must(recv(icmp, &end, sizeof(end), 0) >= (ssize_t)sizeof(end), "packets are lost");
    while (end.message.type != ICMP_TIME_EXCEEDED || end.ours.protocol != PROTOCOL);
}

static void round_of(int fd, int icmp, in_addr_t from, in_addr_t to, size_t bytes)
{
    for (uint16_t i = 0; i < IN_FLIGHT; i++)
        transmit(fd, from, to, bytes, i);
    for (unsigned int i = 0; i < IN_FLIGHT; i++)
        wait_for_end(icmp);
}

int packets_all(const char *from, const char *to)
{
    static const struct {
        const char *name;
        size_t bytes;
    } rows[] = { { "packets of 64 bytes", 64 }, { "packets of 1,500 bytes", 1500 } };
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct timeval lost = { .tv_sec = LOST_SECONDS };
    int bytes = MIB; /* a page is counted for each that comes */

    must(fd >= 0 && icmp >= 0 &&
             setsockopt(icmp, SOL_SOCKET, SO_RCVTIMEO, &lost, sizeof(lost)) == 0 &&
             setsockopt(icmp, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0,
         "a socket");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        round_of(fd, icmp, inet_addr(from), inet_addr(to), rows[i].bytes);
        begin(rows[i].name, IN_FLIGHT * HOPS, "packet");
        round_of(fd, icmp, inet_addr(from), inet_addr(to), rows[i].bytes);
        mark_window(0);
    }
    return 0;
}
