#include "offload.h"

#include <string.h>

#include "packet.h"

/* ---- sums ---- */

uint64_t csum_add(uint64_t sum, const uint8_t *data, uint32_t bytes)
{
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint64_t word;

        memcpy(&word, data, 8); /* in the machine's order: turned at the end */
        sum += word;
        sum += sum < word;
    }
    if (bytes) {
        uint64_t word = 0;

        memcpy(&word, data, bytes);
        sum += word;
        sum += sum < word;
    }
    return sum;
}

uint16_t csum_end(uint64_t sum)
{
    uint32_t half = (uint32_t)(sum >> 32);
    uint64_t all = (sum & UINT32_MAX) + half;

    while (all >> 16)
        all = (all & 0xffff) + (all >> 16);
    return (uint16_t)~__builtin_bswap16((uint16_t)all);
}

/* Of the addresses, the protocol and the length of what IP carries. */
static uint64_t pseudo_sum(const uint8_t *data, const struct packet *p)
{
    const uint8_t *ip = data + p->l3;
    uint8_t rest[8] = { 0 };

    put32(rest, p->end - p->l4);
    rest[7] = p->protocol;
    return p->version == 4 ? csum_add(csum_add(0, rest, 8), ip + 12, 8)
                           : csum_add(csum_add(0, rest, 8), ip + 8, 32);
}

static uint16_t csum_place(uint8_t protocol)
{
    switch (protocol) {
    case IP_TCP: return 16;
    case IP_UDP: return 6;
    case IP_ICMP6: return 2;
    default: return 0;
    }
}

bool csum_right(const struct frame *f)
{
    struct packet p;
    uint64_t sum;

    packet_parse(&p, f->data, f->bytes);
    if (p.version == 4 && csum_end(csum_add(0, f->data + p.l3, (f->data[p.l3] & 15u) * 4)) != 0)
        return false;
    if (p.l4 == 0 || p.fragment || csum_place(p.protocol) == 0)
        return false;
    sum = csum_add(pseudo_sum(f->data, &p), f->data + p.l4, p.end - p.l4);
    return csum_end(sum) == 0;
}

/* ---- what is asked for ---- */

/* Whether TCP or UDP's sum could be put there. */
static bool has_csum(const struct packet *p) { return p->payload && !p->routed; }

static bool gso_possible(const struct packet *p, enum frame_gso gso, uint16_t gso_bytes)
{
    /* Headers are in each segment: they are no more than its data, else a frame becomes many times its size. */
    return p->protocol == IP_TCP && gso_bytes >= GSO_BYTES_MIN && gso_bytes >= p->payload &&
           p->version == (gso == FRAME_GSO_TCP4 ? 4 : 6);
}

bool offload_ask(struct frame *f, enum frame_gso gso, uint16_t gso_bytes)
{
    const struct packet *p = &f->packet;
    uint8_t *place;

    packet_parse(&f->packet, f->data, f->bytes);
    if (!has_csum(p) || (gso != FRAME_GSO_NONE && !gso_possible(p, gso, gso_bytes)))
        return false;
    f->parsed = true;
    f->bytes = p->end;
    f->csum = FRAME_CSUM_PARTIAL;
    f->csum_start = (uint16_t)p->l4;
    f->csum_offset = csum_place(p->protocol);
    place = f->data + p->l4 + f->csum_offset;
    put16(place, (uint16_t)~csum_end(pseudo_sum(f->data, p)));
    if (gso != FRAME_GSO_NONE && p->end - p->payload <= gso_bytes)
        gso = FRAME_GSO_NONE; /* it is one already */
    f->gso = gso;
    f->gso_bytes = gso == FRAME_GSO_NONE ? 0 : gso_bytes;
    return true;
}

bool offload_valid(const struct frame *f)
{
    if (f->bytes < FRAME_MIN || f->bytes > f->room)
        return false;
    if (f->csum != FRAME_CSUM_PARTIAL)
        return f->gso == FRAME_GSO_NONE;
    return f->csum_start >= FRAME_MIN && f->csum_start <= f->bytes - 2 &&
           f->csum_offset <= f->bytes - 2 - f->csum_start &&
           (f->gso == FRAME_GSO_NONE || f->gso_bytes >= GSO_BYTES_MIN);
}

/* ---- done here ---- */

static bool is_ip6(const struct frame *f)
{
    struct packet own;

    return frame_packet(f, &own)->version == 6;
}

bool offload_fits(const struct link *l, const struct frame *f)
{
    if (f->gso != FRAME_GSO_NONE)
        return f->gso == FRAME_GSO_TCP4 ? l->tso4 && l->csum4 : l->tso6 && l->csum6;
    if (f->csum != FRAME_CSUM_PARTIAL || (l->csum4 && l->csum6))
        return true;
    return (l->csum4 || l->csum6) && (is_ip6(f) ? l->csum6 : l->csum4);
}

static void complete(struct frame *f)
{
    uint8_t *place = f->data + f->csum_start + f->csum_offset;
    uint16_t sum = csum_end(csum_add(0, f->data + f->csum_start, f->bytes - f->csum_start));

    /* For UDP zero means that there is none; for all others both are the same number. */
    put16(place, sum ? sum : 0xffff);
    f->csum = FRAME_CSUM_GOOD;
}

static struct frame *copy(const struct frame *f)
{
    struct frame *c = frame_alloc(f->bytes);

    if (c == NULL)
        return NULL;
    memcpy(c->data, f->data, f->bytes);
    c->bytes = f->bytes;
    c->csum = f->csum;
    c->csum_start = f->csum_start;
    c->csum_offset = f->csum_offset;
    return c;
}

/* The headers of one segment: its data begins so many bytes after the first one's. */
static void segment_headers(struct frame *s, const struct packet *p, uint32_t done, uint32_t number,
                            bool last)
{
    enum { FIN = 1, PSH = 8, CWR = 0x80 };
    uint8_t *ip = s->data + p->l3, *tcp = s->data + p->l4;

    if (p->version == 4) {
        uint32_t header = (ip[0] & 15u) * 4;

        put16(ip + 2, (uint16_t)(s->bytes - p->l3));
        put16(ip + 4, (uint16_t)(get16(ip + 4) + number));
        put16(ip + 10, 0);
        put16(ip + 10, csum_end(csum_add(0, ip, header)));
    } else {
        put16(ip + 4, (uint16_t)(s->bytes - p->l3 - IP6_HEADER));
    }
    put32(tcp + 4, get32(tcp + 4) + done);
    if (!last)
        tcp[13] &= (uint8_t) ~(FIN | PSH);
    if (number)
        tcp[13] &= (uint8_t)~CWR;
}

static struct frame *segment(const struct frame *f, const struct packet *p, uint32_t done,
                             uint32_t number)
{
    uint32_t left = p->end - p->payload - done, n = left < f->gso_bytes ? left : f->gso_bytes;
    struct frame *s = frame_alloc(p->payload + n);

    if (s == NULL)
        return NULL;
    memcpy(s->data, f->data, p->payload);
    memcpy(s->data + p->payload, f->data + p->payload + done, n);
    s->bytes = p->payload + n;
    segment_headers(s, p, done, number, n == left);
    if (offload_ask(s, FRAME_GSO_NONE, 0))
        return s;
    frame_put(s);
    return NULL;
}

static bool cut(const struct link *l, const struct frame *f,
                void (*emit)(void *arg, struct frame *f), void *arg)
{
    struct packet own;
    const struct packet *p = frame_packet(f, &own);
    uint32_t number = 0;

    if (!has_csum(p) || !gso_possible(p, f->gso, f->gso_bytes))
        return false;
    for (uint32_t done = 0; done < p->end - p->payload; done += f->gso_bytes) {
        struct frame *s = segment(f, p, done, number++);

        if (s == NULL)
            return false;
        if (!offload_fits(l, s))
            complete(s);
        emit(arg, s);
        frame_put(s);
    }
    return true;
}

bool offload_do(const struct link *l, struct frame *f, void (*emit)(void *arg, struct frame *f),
                void *arg)
{
    struct frame *c = f;

    if (offload_fits(l, f)) {
        emit(arg, f);
        return true;
    }
    if (f->gso != FRAME_GSO_NONE)
        return cut(l, f, emit, arg);
    if (f->refs > 1 && (c = copy(f)) == NULL)
        return false;
    complete(c);
    emit(arg, c);
    if (c != f)
        frame_put(c);
    return true;
}
