/*
 * A guest with our network frontend that sends pings, one after the other, to one that answers (answers.c), and looks
 * at what comes back: the same bytes, or nothing, which a network may do, but not often.
 * Kernel command line: ip=A.B.C.D its own address, to=A.B.C.D of the one with the MAC address 00:16:3e:00:00:30,
 * seconds=N.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rt/verdict.h>

#include "netfront.h"
#include "store_ring.h"

enum { MAC = 6, ETH = 14, IP4 = 20, ICMP = 8, DATA = 1000, BYTES = ETH + IP4 + ICMP + DATA };
enum { WAIT_MS = 200, START_S = 60, LOST_ONE_IN = 20 };

static struct plat_loop *loop;
static struct netfront *front;
static uint8_t ip[4], to[4], mac[MAC];
static unsigned int seconds = 5, sent, back, wrong;
static uint64_t end_ns;
static struct plat_timer timer;

static uint8_t byte_of(unsigned int n, unsigned int i)
{
    return (uint8_t)(n * 31 + i * 7 + i / 256);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put_sum(uint8_t *at, const uint8_t *data, unsigned int bytes)
{
    uint32_t sum = 0;

    put16(at, 0);
    for (unsigned int i = 0; i < bytes; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(at, ~sum);
}

static void send_next(void)
{
    static const uint8_t theirs[MAC] = { 0, 0x16, 0x3e, 0, 0, 0x30 };
    uint8_t f[BYTES] = { 0 }, *p = f + ETH, *icmp = p + IP4;

    memcpy(f, theirs, MAC);
    memcpy(f + MAC, mac, MAC);
    put16(f + 12, 0x0800);
    p[0] = 0x45;
    put16(p + 2, BYTES - ETH);
    p[8] = 64;
    p[9] = 1;
    memcpy(p + 12, ip, 4);
    memcpy(p + 16, to, 4);
    put_sum(p + 10, p, IP4);
    icmp[0] = 8;
    put16(icmp + 6, ++sent);
    for (unsigned int i = 0; i < DATA; i++)
        icmp[ICMP + i] = byte_of(sent, i);
    put_sum(icmp + 2, icmp, ICMP + DATA);
    netfront_send(front, f, BYTES);
    plat_timer_set(loop, &timer, plat_now() + WAIT_MS * 1000000ull);
}

static void go_on(void *arg)
{
    (void)arg;
    if (sent == 0)
        verdict_failure("there is no interface");
    if (plat_now() < end_ns)
        send_next();
    else
        plat_loop_stop(loop);
}

static void received(void *arg, uint8_t *f, uint32_t bytes)
{
    const uint8_t *p = f + ETH, *icmp = p + IP4;

    if (bytes != BYTES || f[12] != 8 || f[13] != 0 || p[9] != 1 || icmp[0] != 0 ||
        memcmp(p + 12, to, 4) != 0 || ((uint32_t)icmp[6] << 8 | icmp[7]) != (sent & 0xffff))
        return;
    back++;
    for (unsigned int i = 0; i < DATA; i++)
        wrong += icmp[ICMP + i] != byte_of(sent, i);
    go_on(arg);
}

static void ready(void *arg, const uint8_t own[MAC])
{
    (void)arg;
    memcpy(mac, own, MAC);
    end_ns = plat_now() + seconds * 1000000000ull;
    send_next();
}

static void read_address(const char *text, const char *format, uint8_t address[4])
{
    unsigned int a[4];

    if (sscanf(text, format, &a[0], &a[1], &a[2], &a[3]) == 4)
        for (int i = 0; i < 4; i++)
            address[i] = (uint8_t)a[i];
}

int main(int argc, char **argv)
{
    static const struct netfront_user user = { .ready = ready, .received = received };

    for (int i = 0; i < argc; i++) {
        read_address(argv[i], "ip=%u.%u.%u.%u", ip);
        read_address(argv[i], "to=%u.%u.%u.%u", to);
        sscanf(argv[i], "seconds=%u", &seconds);
    }
    loop = plat_loop_new();
    if (loop && store_ring_start() == 0)
        front = netfront_start(loop, &user);
    if (front == NULL)
        verdict_error("it does not start: %s", strerror(errno));
    timer.fn = go_on;
    plat_timer_set(loop, &timer, plat_now() + START_S * 1000000000ull);
    plat_loop_run(loop);
    printf("%u pings, %u came back, %u bytes wrong\n", sent, back, wrong);
    CHECK_EQ(wrong, 0);
    CHECK(back && sent - back <= 2 + sent / LOST_ONE_IN);
    return verdict();
}
