/*
 * What guests do for `make bench-split`, on both sides. Each row is a window of tests/bench/plugin, numbered in the
 * order of begin() as the console tells: "WORKLOAD number name units unit".
 *
 *   split block DEVICE     reads and writes of a disk, by the kernel's asynchronous I/O without its page cache
 *   split send ADDRESS     packets to, and a stream to, who does
 *   split serve            for ever
 *
 * Before a window the same is done for an eighth of its units, so that what is done once is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../plugin/mark.h"

enum { SETTLED_US = 20000, MIB = 1 << 20, WARM_UP = 8 };

static void must(bool good, const char *what)
{
    if (good)
        return;
    printf("WORKLOAD-FAILURE %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- a disk ---- */

enum { MAX_DEPTH = 64 };

struct block_row {
    const char *name, *unit;
    bool write, random;
    unsigned int units, depth;
    uint32_t bytes; /* of one request, which is a unit */
};

static const struct block_row block_rows[] = {
    { "random read, 4 KiB", "request", false, true, 8192, 32, 4096 },
    { "random write, 4 KiB", "request", true, true, 8192, 32, 4096 },
    { "random read, 4 KiB, one at a time", "request", false, true, 2048, 1, 4096 },
    { "random write, 4 KiB, one at a time", "request", true, true, 2048, 1, 4096 },
    { "sequential read", "MiB", false, false, 128, 4, MIB },
    { "sequential write", "MiB", true, false, 128, 4, MIB },
};

struct disk {
    int fd;
    uint64_t bytes;
    aio_context_t context;
    uint8_t *data; /* MAX_DEPTH MiB at most: of request n at n * its bytes */
};

static uint64_t random_next(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/* With the number of the place in the first bytes of each sector written, so that what is read can be looked at. */
static void request_fill(struct iocb *cb, const struct disk *d, const struct block_row *row,
                         unsigned int slot, uint64_t number)
{
    uint64_t places = d->bytes / row->bytes;
    uint64_t place = row->random ? random_next() % places : number % places;
    uint8_t *data = d->data + (size_t)slot * row->bytes;

    if (row->write)
        for (uint32_t at = 0; at < row->bytes; at += 4096) {
            uint64_t page = (place * row->bytes + at) / 4096;

            memcpy(data + at, &page, sizeof(page));
        }
    *cb = (struct iocb){ .aio_data = slot,
                         .aio_lio_opcode = row->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                         .aio_fildes = (uint32_t)d->fd,
                         .aio_buf = (uintptr_t)data,
                         .aio_nbytes = row->bytes,
                         .aio_offset = (int64_t)(place * row->bytes) };
}

static void request_check(const struct iocb *cb, const struct block_row *row,
                          const struct io_event *e)
{
    must(e->res == (int64_t)row->bytes, "a request is not done");
    for (uint32_t at = 0; !row->write && at < row->bytes; at += 4096) {
        uint64_t page;

        memcpy(&page, (const uint8_t *)(uintptr_t)cb->aio_buf + at, sizeof(page));
        must(page == ((uint64_t)cb->aio_offset + at) / 4096, "something else was read");
    }
}

static void block_run(const struct disk *d, const struct block_row *row, unsigned int units)
{
    static struct iocb cbs[MAX_DEPTH];
    struct iocb *begin[MAX_DEPTH];
    struct io_event events[MAX_DEPTH];
    unsigned int begun = 0, done = 0, nr = 0;

    for (; nr < row->depth && begun < units; nr++) {
        request_fill(&cbs[nr], d, row, nr, begun++);
        begin[nr] = &cbs[nr];
    }
    while (done < units) {
        long got;

        must(nr == 0 || syscall(SYS_io_submit, d->context, (long)nr, begin) == (long)nr,
             "io_submit");
        got = syscall(SYS_io_getevents, d->context, 1L, (long)MAX_DEPTH, events, NULL);
        must(got > 0, "io_getevents");
        nr = 0;
        for (long i = 0; i < got; i++, done++) {
            unsigned int slot = (unsigned int)events[i].data;

            request_check(&cbs[slot], row, &events[i]);
            if (begun == units)
                continue;
            request_fill(&cbs[slot], d, row, slot, begun++);
            begin[nr++] = &cbs[slot];
        }
    }
}

static void begin(const char *name, unsigned int units, const char *unit)
{
    static unsigned int number;
    const char *first = getenv("FIRST_WINDOW"); /* of this process, 1 otherwise */

    if (number == 0 && first)
        number = (unsigned int)strtoul(first, NULL, 10) - 1;
    printf("WORKLOAD\t%u\t%s\t%u\t%s\n", ++number, name, units, unit);
    usleep(SETTLED_US); /* the console */
    mark_window(MARK_NEXT);
}

static int block_all(const char *path)
{
    const struct block_row all = { .write = true, .depth = 4, .bytes = MIB };
    struct disk d = { .fd = open(path, O_RDWR | O_DIRECT) };

    must(d.fd >= 0 && ioctl(d.fd, BLKGETSIZE64, &d.bytes) == 0 && d.bytes >= 16 * MIB, path);
    must(posix_memalign((void **)&d.data, MIB, 8 * MIB) == 0, "memory");
    memset(d.data, 0x5a, 8 * MIB);
    must(syscall(SYS_io_setup, MAX_DEPTH, &d.context) == 0, "io_setup");
    block_run(&d, &all,
              (unsigned int)(d.bytes / MIB)); /* a RAM disk of Linux has no memory before */
    for (size_t i = 0; i < sizeof(block_rows) / sizeof(block_rows[0]); i++) {
        const struct block_row *row = &block_rows[i];

        block_run(&d, row, row->units / WARM_UP);
        begin(row->name, row->units, row->unit);
        block_run(&d, row, row->units);
        mark_window(0);
    }
    return 0;
}

/* ---- packets and a stream ---- */

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
static void packets_send(int fd, size_t bytes, uint32_t packets)
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

static void packets_serve(int fd)
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

static int send_all(const char *ip_text)
{
    static const struct {
        const char *name;
        size_t bytes;
    } rows[] = { { "UDP, 64 bytes", 64 }, { "UDP, 1,500 bytes", 1500 } };
    in_addr_t ip = inet_addr(ip_text);
    struct sockaddr_in to = address(ip, PACKETS_PORT);
    int fd = packets_socket();

    must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        packets_send(fd, rows[i].bytes, NR_PACKETS / WARM_UP);
        begin(rows[i].name, NR_PACKETS, "packet");
        packets_send(fd, rows[i].bytes, NR_PACKETS);
        mark_window(0);
    }
    stream_send(ip, STREAM_MIB / WARM_UP);
    begin("TCP", STREAM_MIB, "MiB");
    stream_send(ip, STREAM_MIB);
    mark_window(0);
    return 0;
}

static _Noreturn void serve(void)
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
        packets_serve(fd);
    for (;;)
        stream_serve(listener);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "block") == 0)
        return block_all(argv[2]);
    if (argc == 3 && strcmp(argv[1], "send") == 0)
        return send_all(argv[2]);
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        serve();
    fprintf(stderr, "usage: split block DEVICE | send ADDRESS | serve\n");
    return 2;
}
