/*
 * backends/network: the input is frames, each with who sends it and what he asks for. Whatever comes out of the switch is
 * possible, and is nothing that its receiver cannot do; what one port may not send nobody gets from it.
 */
#include "fuzz.h"

#include <platform.h>

#include "../../backends/network/capture.h"
#include "../../backends/network/offload.h"
#include "../../backends/network/switch.h"

enum { PORTS = 4 };

static uint64_t now;
uint64_t plat_now(void) { return now += 1000000; }
uint64_t plat_wall(void) { return 1; }
void plat_log(enum plat_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}
/* There is none. */
struct capture *capture_start(const char *path)
{
    (void)path;
    return NULL;
}
bool capture_frame(struct capture *c, const struct frame *f) { return c && f; }
int capture_end(struct capture *c) { return c ? 0 : -1; }

struct end {
    struct link link; /* the first member */
    struct switch_port *port;
    uint8_t mac[ETH_ADDRESS];
};
static struct end ends[PORTS];
static struct end *sender;
static bool asked; /* by its headers: then they are right */

/* As the RFCs have it, by the headers of that frame. */
static uint64_t pseudo(const struct frame *f, const struct packet *p)
{
    uint8_t rest[8] = { 0 };

    put32(rest, p->end - p->l4);
    rest[7] = p->protocol;
    return csum_add(csum_add(0, rest, 8), f->data + p->l3 + (p->version == 4 ? 12 : 8),
                    p->version == 4 ? 8 : 32);
}

static void check_sent(struct link *l, struct frame *f)
{
    struct packet p;

    BUG_ON((struct end *)l == sender || !offload_valid(f) || !offload_fits(l, f));
    packet_parse(&p, f->data, f->bytes);
    BUG_ON((f->gso != FRAME_GSO_NONE && p.payload ? p.payload + f->gso_bytes : f->bytes) >
           l->mtu + 22u);
    BUG_ON(p.l3 > f->bytes || p.end > f->bytes || (p.l4 && p.l4 >= p.end) || p.payload > p.end);
    if (sender != &ends[0])
        BUG_ON(memcmp(f->data + ETH_ADDRESS, sender->mac, ETH_ADDRESS) != 0);
    if (sender == &ends[2]) /* who has IP addresses */
        BUG_ON(p.l3 != ETH_HEADER || (p.l4 && p.protocol == IP_UDP && p.end - p.l4 >= 4 &&
                                      get16(f->data + p.l4 + 2) == (p.version == 4 ? 68 : 546)));
    if (asked && f->csum == FRAME_CSUM_GOOD)
        BUG_ON(csum_end(csum_add(pseudo(f, &p), f->data + p.l4, p.end - p.l4)) != 0);
}
static void ignore(struct link *l) { (void)l; }
static const struct link_ops ops = { .send = check_sent, .flush = ignore, .close = ignore };

static struct vswitch *make_switch(void)
{
    struct vswitch *s = switch_new();

    for (unsigned int i = 0; i < PORTS; i++) {
        struct switch_options o = { .isolated = i == 3, .name = "port" };

        ends[i].link = (struct link){ .ops = &ops,
                                      .mtu = 1500,
                                      .up = true,
                                      .csum4 = i & 1,
                                      .csum6 = i & 1,
                                      .tso4 = i & 1,
                                      .tso6 = i == 1 };
        memcpy(ends[i].mac, (uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)i }, ETH_ADDRESS);
        if (i) {
            o.guard.mac_set = true;
            memcpy(o.guard.mac, ends[i].mac, ETH_ADDRESS);
        }
        if (i == 2)
            BUG_ON(!guard_parse(&o.guard, "10.0.0.2 fd00::2/64"));
        ends[i].port = switch_add(s, &ends[i].link, &o);
        BUG_ON(ends[i].port == NULL);
    }
    return s;
}

static void send_one(struct fuzz_input *in)
{
    unsigned int head = (unsigned int)fuzz_take(in, 1), from = head % PORTS,
                 asks = head / PORTS % 8;
    uint32_t bytes = (uint32_t)fuzz_take(in, 2) % 4096;
    struct frame *f;
    bool ok = true;

    bytes = bytes < in->left ? bytes : (uint32_t)in->left;
    if (bytes < FRAME_MIN)
        return;
    f = frame_alloc(bytes);
    memcpy(f->data, in->at, bytes);
    f->bytes = bytes;
    in->at += bytes;
    in->left -= bytes;
    if (head & 0x80) /* so that more than its address is tried */
        memcpy(f->data + ETH_ADDRESS, ends[from].mac, ETH_ADDRESS);
    if (asks >= 1 && asks <= 3)
        ok = offload_ask(f, (enum frame_gso)(asks - 1), (uint16_t)(48 + head * 8));
    if (asks == 4 && from == 0) { /* what a card says */
        f->csum = FRAME_CSUM_PARTIAL;
        f->csum_start = get16(f->data);
        f->csum_offset = f->data[2];
        f->gso = f->data[3] % 3;
        f->gso_bytes = get16(f->data + 4);
    }
    sender = &ends[from];
    asked = asks >= 1 && asks <= 3;
    if (ok)
        sender->link.received(sender->link.arg, f);
    BUG_ON(f->refs != 1);
    frame_put(f);
    sender->link.received_all(sender->link.arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    struct vswitch *s = make_switch();

    while (in.left)
        send_one(&in);
    for (unsigned int i = 0; i < PORTS; i++)
        switch_remove(ends[i].port);
    switch_free(s);
    return 0;
}
