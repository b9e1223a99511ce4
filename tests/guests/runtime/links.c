/*
 * The machine's network cards, by their drivers. As many as the last word of the command line says are to be found.
 * The first is in QEMU's user network, where 10.0.2.2 answers ARP and echo requests. If there are three, the second and the third are
 * connected to each other, and what one sends is what the other receives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <rt/clock.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/verdict.h>

#include "drivers/drivers.h"
#include "network/link.h"

enum {
    MAX_LINKS = 4,
    LIMIT_S = 60,
    NR_PINGS = 200,
    NR_STREAM = 3000,
    AT_ONCE = 40,
    HEADER = 14,
    MAX_FRAME = 1514
};
static const uint8_t our_ip[4] = { 10, 0, 2, 15 }, gateway_ip[4] = { 10, 0, 2, 2 };

static struct {
    char name[16];
    struct link *link;
} links[MAX_LINKS];
static unsigned int nr_links;
static struct plat_loop *loop;
static const char *doing = "opening";

/* ---- frames: counted, and at any place in a page ---- */

static long nr_frames;

struct frame *frame_alloc(uint32_t bytes)
{
    static unsigned int n;
    struct frame *f = malloc(sizeof(*f) + bytes + 64);

    if (f == NULL)
        return NULL;
    *f = (struct frame){ .refs = 1, .room = bytes, .data = (uint8_t *)(f + 1) + 2 * (n++ % 32) };
    nr_frames++;
    return f;
}

void frame_put(struct frame *f)
{
    if (--f->refs)
        return;
    nr_frames--;
    free(f);
}

static void on_found(void *arg, const char *name, struct link *l)
{
    (void)arg;
    printf("%s: %02x:%02x:%02x:%02x:%02x:%02x, %s, mtu %u%s%s\n", name, l->mac[0], l->mac[1],
           l->mac[2], l->mac[3], l->mac[4], l->mac[5], l->up ? "up" : "down", l->mtu,
           l->csum4 ? " csum" : "", l->tso4 ? " tso" : "");
    snprintf(links[nr_links].name, sizeof(links[0].name), "%s", name);
    links[nr_links++].link = l;
}

static void on_limit(void *arg)
{
    (void)arg;
    verdict_failure("not done in time: %s", doing);
}

/* ---- ARP and echo ---- */

static uint8_t gateway_mac[6];
static unsigned int nr_sent, nr_answers, nr_wrong;

static uint16_t sum16(const uint8_t *data, uint32_t bytes)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < bytes; i += 2)
        sum += (uint32_t)data[i] << 8 | (i + 1 < bytes ? data[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static struct frame *ethernet(const struct link *l, const uint8_t *to, uint16_t type)
{
    struct frame *f = frame_alloc(MAX_FRAME);

    CHECK(f != NULL);
    memset(f->data, 0, MAX_FRAME);
    memcpy(f->data, to, 6);
    memcpy(f->data + 6, l->mac, 6);
    put16(f->data + 12, type);
    return f;
}

static void transmit(struct link *l, struct frame *f, uint32_t bytes)
{
    f->bytes = bytes;
    l->ops->send(l, f);
    frame_put(f);
}

static void ask_arp(struct link *l)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 },
                         head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };
    struct frame *f = ethernet(l, all, 0x0806);

    memcpy(f->data + HEADER, head, 8);
    memcpy(f->data + HEADER + 8, l->mac, 6);
    memcpy(f->data + HEADER + 14, our_ip, 4);
    memcpy(f->data + HEADER + 24, gateway_ip, 4);
    transmit(l, f, 60);
    l->ops->flush(l);
}

static void ping(struct link *l)
{
    struct frame *f = ethernet(l, gateway_mac, 0x0800);
    uint8_t *ip = f->data + HEADER, *icmp = ip + 20;
    uint32_t bytes = 8 + nr_sent * 7 % 1400;

    ip[0] = 0x45;
    put16(ip + 2, (uint16_t)(20 + bytes));
    ip[8] = 64;
    ip[9] = 1;
    memcpy(ip + 12, our_ip, 4);
    memcpy(ip + 16, gateway_ip, 4);
    put16(ip + 10, sum16(ip, 20));
    icmp[0] = 8;
    put16(icmp + 6, (uint16_t)nr_sent);
    for (uint32_t i = 8; i < bytes; i++)
        icmp[i] = (uint8_t)(i * 3 + nr_sent);
    put16(icmp + 2, sum16(icmp, bytes));
    nr_sent++;
    transmit(l, f, HEADER + 20 + bytes);
}

static void pings(struct link *l)
{
    for (unsigned int i = 0; i < AT_ONCE && nr_sent < NR_PINGS; i++)
        ping(l);
    l->ops->flush(l);
}

static void on_answer(void *arg, struct frame *f)
{
    struct link *l = arg;
    const uint8_t *ip = f->data + HEADER, *icmp = ip + 20;
    uint32_t nr, bytes;

    if (f->bytes >= 42 && f->data[12] == 8 && f->data[13] == 6 && f->data[21] == 2) {
        memcpy(gateway_mac, f->data + 22, 6);
        if (nr_sent == 0)
            pings(l);
        return;
    }
    if (f->bytes < 42 || f->data[12] != 8 || f->data[13] != 0 || ip[9] != 1 || icmp[0] != 0)
        return;
    bytes = ((uint32_t)ip[2] << 8 | ip[3]) - 20;
    nr = (uint32_t)icmp[6] << 8 | icmp[7];
    nr_wrong += bytes + HEADER + 20 > f->bytes || bytes != 8 + nr * 7 % 1400 ||
                sum16(icmp, bytes) != 0 ||
                icmp[bytes - 1] != (bytes > 8 ? (uint8_t)((bytes - 1) * 3 + nr) : icmp[7]);
    if (++nr_answers == NR_PINGS)
        plat_loop_stop(loop);
    else if (nr_answers == nr_sent)
        pings(l);
}

static void test_answers(struct link *l)
{
    doing = "ARP and echo";
    l->received = on_answer;
    l->arg = l;
    ask_arp(l);
    CHECK_EQ(plat_loop_run(loop), 0);
    CHECK_EQ(nr_wrong, 0);
    printf("%u echo answers\n", nr_answers);
    l->received = NULL;
}

/* ---- a checksum that is the card's to make ---- */

static bool csum_right, csum_seen;

/* Of UDP over IPv4: what the sender has put there is the sum of the addresses, protocol and length. */
static uint16_t pseudo_sum(const uint8_t *ip, uint32_t bytes)
{
    uint8_t pseudo[12] = { 0 };

    memcpy(pseudo, ip + 12, 8);
    pseudo[9] = ip[9];
    put16(pseudo + 10, (uint16_t)bytes);
    return (uint16_t)~sum16(pseudo, sizeof(pseudo));
}

static void on_csum(void *arg, struct frame *f)
{
    const uint8_t *ip = f->data + HEADER, *udp = ip + 20;
    uint32_t bytes = (uint32_t)udp[4] << 8 | udp[5], sum;

    (void)arg;
    if (f->bytes < HEADER + 28 + 2 || HEADER + 20 + bytes > f->bytes || ip[9] != 17)
        return;
    sum = (uint32_t)(uint16_t)~sum16(udp, bytes) + pseudo_sum(ip, bytes);
    csum_seen = true;
    csum_right = f->csum == FRAME_CSUM_PARTIAL /* it goes on as it came: virtio does so */
                 || ((sum & 0xffff) + (sum >> 16)) == 0xffff;
    plat_loop_stop(loop);
}

static void test_csum(struct link *from, struct link *to)
{
    struct frame *f = ethernet(from, to->mac, 0x0800);
    uint8_t *ip = f->data + HEADER, *udp = ip + 20;
    const uint32_t bytes = 8 + 601;

    doing = "a checksum";
    if (!from->csum4) {
        frame_put(f);
        printf("no checksums\n");
        return;
    }
    ip[0] = 0x45;
    put16(ip + 2, (uint16_t)(20 + bytes));
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, our_ip, 4);
    memcpy(ip + 16, gateway_ip, 4);
    put16(ip + 10, sum16(ip, 20));
    put16(udp, 7);
    put16(udp + 2, 9);
    put16(udp + 4, (uint16_t)bytes);
    put16(udp + 6, pseudo_sum(ip, bytes));
    for (uint32_t i = 8; i < bytes; i++)
        udp[i] = (uint8_t)(i * 5);
    f->csum = FRAME_CSUM_PARTIAL;
    f->csum_start = HEADER + 20;
    f->csum_offset = 6;
    to->received = on_csum;
    transmit(from, f, HEADER + 20 + bytes);
    from->ops->flush(from);
    CHECK_EQ(plat_loop_run(loop), 0);
    CHECK(csum_seen && csum_right);
    to->received = NULL;
    printf("checksum made\n");
}

/* ---- from one card to another ---- */

static struct {
    struct link *from, *to;
    unsigned int nr_sent, nr_received, nr_wrong, nr_batches;
} stream;

static uint32_t stream_bytes(uint32_t nr) { return 60 + nr * 37 % (MAX_FRAME - 60 + 1); }

static void stream_on(void)
{
    for (unsigned int i = 0; i < AT_ONCE && stream.nr_sent < NR_STREAM; i++) {
        struct frame *f = ethernet(stream.from, stream.to->mac, 0x88b5);
        uint32_t nr = stream.nr_sent++;

        put16(f->data + HEADER, nr);
        for (uint32_t at = HEADER + 2; at < stream_bytes(nr); at++)
            f->data[at] = (uint8_t)(at * 7 + nr);
        transmit(stream.from, f, stream_bytes(nr));
    }
    stream.from->ops->flush(stream.from);
}

static void on_stream(void *arg, struct frame *f)
{
    uint32_t nr = stream.nr_received++;
    bool ok = f->bytes == stream_bytes(nr) && f->data[14] == (uint8_t)(nr >> 8) &&
              f->data[15] == (uint8_t)nr;

    (void)arg;
    for (uint32_t at = HEADER + 2; ok && at < f->bytes; at++)
        ok = f->data[at] == (uint8_t)(at * 7 + nr);
    stream.nr_wrong += !ok;
}

static void on_stream_all(void *arg)
{
    (void)arg;
    stream.nr_batches++;
    if (stream.nr_received == NR_STREAM)
        plat_loop_stop(loop);
    else if (stream.nr_received == stream.nr_sent)
        stream_on();
}

static void test_stream(struct link *from, struct link *to)
{
    uint64_t before = plat_now();

    doing = "a stream between two cards";
    memset(&stream, 0, sizeof(stream));
    stream.from = from;
    stream.to = to;
    to->received = on_stream;
    to->received_all = on_stream_all;
    stream_on();
    CHECK_EQ(plat_loop_run(loop), 0);
    CHECK_EQ(stream.nr_wrong, 0);
    to->received = NULL;
    to->received_all = NULL;
    printf("%u frames in %u batches, %lu ms\n", stream.nr_received, stream.nr_batches,
           (unsigned long)((plat_now() - before) / NS_PER_MS));
}

/* ---- death ---- */

static void sends_for_ever(void *arg)
{
    nr_links = 0;
    loop = plat_loop_new();
    drivers_links(loop, on_found, NULL);
    semaphore_up(arg);
    while (nr_links >= 3) {
        test_stream(links[1].link, links[2].link);
        test_stream(links[2].link, links[1].link);
    }
}

/* Killed with frames on their way, at some moment. Then the cards can be had again, and no page is lost. */
static void killed(void)
{
    size_t free_pages = 0;

    for (unsigned int i = 0; i < 4; i++) {
        struct semaphore busy = { 0 };
        struct plat_group *g = plat_group_start("links", sends_for_ever, &busy);

        CHECK(g != NULL);
        semaphore_down(&busy, NO_DEADLINE);
        thread_sleep_until(clock_now() + (10 + i * 23) * NS_PER_MS);
        plat_group_kill(g);
        plat_group_wait(g);
        plat_group_free(g);
        if (i == 1)
            free_pages = page_nr_free();
    }
    CHECK_EQ(page_nr_free(), free_pages);
    nr_links = 0;
    nr_frames = 0; /* they were the groups' */
}

int main(int argc, char **argv)
{
    struct plat_timer limit = { .fn = on_limit };

    killed();

    loop = plat_loop_new();
    plat_timer_set(loop, &limit, plat_now() + LIMIT_S * NS_PER_S);
    drivers_links(loop, on_found, NULL);
    CHECK_EQ(nr_links, strtol(argv[argc - 1], NULL, 10));
    if (nr_links)
        test_answers(links[0].link);
    if (nr_links >= 3) {
        test_stream(links[1].link, links[2].link);
        test_stream(links[2].link, links[1].link);
        test_csum(links[1].link, links[2].link);
    }
    plat_timer_cancel(&limit);
    for (unsigned int i = 0; i < nr_links; i++)
        links[i].link->ops->close(links[i].link);
    plat_loop_free(loop);
    CHECK_EQ(nr_frames, 0);
    return verdict();
}
