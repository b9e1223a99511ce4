/* A stream, and packets, from one guest to the other by sockets of the Internet's protocols. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../plugin/mark.h"
#include "split.h"

enum {
    PACKETS_PORT = 7000,
    STREAM_PORT = 7001,
    NR_PACKETS = 16384,
    IN_FLIGHT = 64, /* packets at most, so that no queue on the way is full */
    ACK_EACH = 32,  /* packets */
    IP_UDP_BYTES = 28,
    SOCKET_BYTES = 4 * MIB,
    CHUNK = 64 << 10,
    STREAM_MIB = 64,
    LOST_SECONDS = 5,
};

static struct sockaddr_in address(in_addr_t ip, uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = ip };
}

static int packets_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = SOCKET_BYTES;
    struct timeval lost = { .tv_sec = LOST_SECONDS };

    must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0 &&
             setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &lost, sizeof(lost)) == 0,
         "a socket for packets");
    return fd;
}

/* The number of each is its first bytes; the other end says how many it has, and a packet that is lost is an error. */
static void send_packets(int fd, size_t bytes, uint32_t packets)
{
    static uint8_t packet[1500];
    uint32_t sent = 0, there = 0;

    while (there < packets) {
        if (sent < packets && sent - there < IN_FLIGHT) {
            memcpy(packet, &sent, sizeof(sent));
            must(send(fd, packet, bytes - IP_UDP_BYTES, 0) == (ssize_t)(bytes - IP_UDP_BYTES),
                 "send");
            sent++;
        } else {
            must(recv(fd, &there, sizeof(there), 0) == sizeof(there) && there <= sent,
                 "packets are lost");
        }
    }
}

static void serve_packet(int fd)
{
    static uint8_t packet[1500];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof(from);
    static uint32_t there;
    uint32_t number;

    if (recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_bytes) < 0)
        return; /* nobody sends now */
    memcpy(&number, packet, sizeof(number));
    if (number == 0)
        there = 0;
    must(number == there, "a packet is missing");
    if (++there % ACK_EACH == 0)
        sendto(fd, &there, sizeof(there), 0, (struct sockaddr *)&from, from_bytes);
}

static void stream_send(in_addr_t ip, unsigned int mib)
{
    static uint8_t data[CHUNK];
    struct sockaddr_in to = address(ip, STREAM_PORT);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char end;

    must(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    for (unsigned int i = 0; i < mib * (MIB / CHUNK); i++)
        for (size_t at = 0; at < CHUNK;) {
            ssize_t n = write(fd, data + at, CHUNK - at);

            must(n > 0, "write to the stream");
            at += (size_t)n;
        }
    must(shutdown(fd, SHUT_WR) == 0 && read(fd, &end, 1) == 1, "the end of the stream");
    close(fd);
}

static void stream_serve(int listener)
{
    static uint8_t data[CHUNK];
    int fd = accept(listener, NULL, NULL);

    must(fd >= 0, "accept");
    while (read(fd, data, sizeof(data)) > 0)
        ;
    must(write(fd, "", 1) == 1, "the end of the stream");
    close(fd);
}

int send_all(const char *ip_text)
{
    static const struct {
        const char *name;
        size_t bytes;
    } rows[] = { { "UDP, 64 bytes", 64 }, { "UDP, 1,500 bytes", 1500 } };
    in_addr_t ip = inet_addr(ip_text);
    struct sockaddr_in to = address(ip, PACKETS_PORT);
    int fd = packets_socket();

    stream_send(ip, STREAM_MIB / WARM_UP);
    begin("TCP", STREAM_MIB, "MiB");
    stream_send(ip, STREAM_MIB);
    mark_window(0);
    must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        send_packets(fd, rows[i].bytes, NR_PACKETS / WARM_UP);
        begin(rows[i].name, NR_PACKETS, "packet");
        send_packets(fd, rows[i].bytes, NR_PACKETS);
        mark_window(0);
    }
    return 0;
}

_Noreturn void serve(void)
{
    struct sockaddr_in packets = address(INADDR_ANY, PACKETS_PORT);
    struct sockaddr_in stream = address(INADDR_ANY, STREAM_PORT);
    int fd = packets_socket(), listener = socket(AF_INET, SOCK_STREAM, 0);
    pid_t pid;

    must(listener >= 0 && bind(fd, (struct sockaddr *)&packets, sizeof(packets)) == 0 &&
             bind(listener, (struct sockaddr *)&stream, sizeof(stream)) == 0 &&
             listen(listener, 4) == 0,
         "bind");
    pid = fork();
    must(pid >= 0, "fork");
    while (pid)
        serve_packet(fd);
    for (;;)
        stream_serve(listener);
}
