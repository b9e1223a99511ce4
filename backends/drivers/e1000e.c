#include "drivers/e1000e.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <rt/pci.h>

#include "drivers/net_frames.h"

/* Registers (82574 datasheet, 10.2). */
enum {
    CTRL = 0x0000,
    STATUS = 0x0008,
    CTRL_EXT = 0x0018,
    ICR = 0x00c0,
    IMS = 0x00d0,
    IMC = 0x00d8,
    EIAC = 0x00dc,
    IVAR = 0x00e4,
    RCTL = 0x0100,
    TCTL = 0x0400,
    TIPG = 0x0410,
    RX = 0x2800, /* of the queues: the same registers behind */
    TX = 0x3800,
    RXCSUM = 0x5000,
    MTA = 0x5200,
    RAL = 0x5400,
    RAH = 0x5404,
    REGISTERS = 0x6000,
};
enum { RING_LOW = 0, RING_HIGH = 4, RING_BYTES = 8, RING_HEAD = 0x10, RING_TAIL = 0x18 };

enum { CTRL_FULL_DUPLEX = 1, CTRL_LINK = 1 << 6, CTRL_RESET = 1 << 26, STATUS_UP = 2 };
enum {
    RCTL_ENABLE = 2,
    RCTL_ALL_UNICAST = 8,
    RCTL_ALL_MULTICAST = 16,
    RCTL_BROADCAST = 1 << 15,
    RCTL_STRIP = 1 << 26
};
enum {
    TCTL_ENABLE = 2,
    TCTL_PAD = 8,
    TCTL_COLLISIONS = 0xf << 4 | 0x3f << 12,
    TIPG_DEFAULT = 8 | 8 << 10 | 6 << 20
};
enum { RXCSUM_IP = 1 << 8, RXCSUM_TCP = 1 << 9, MTA_WORDS = 128 };
#define RAH_VALID (1u << 31)

/* Causes of interrupts, and which message each is: received, sent, other. */
enum { CAUSE_LINK = 1 << 2, CAUSE_RX = 1 << 20, CAUSE_TX = 1 << 22, CAUSE_OTHER = 1 << 24 };
enum { MESSAGE_RX, MESSAGE_TX, MESSAGE_OTHER, NR_MESSAGES, IVAR_VALID = 8 };
#define IVAR_TX_ALWAYS (1u << 31)

/* Descriptors: an address, and two words. */
struct descriptor {
    uint64_t address;
    uint32_t low, high;
};
enum { NR = 256 }; /* a page of them */
enum {
    RX_DONE = 1,
    RX_WHOLE = 2,
    RX_NO_CSUM = 4,
    RX_TCP_LOOKED = 0x20,
    RX_ERROR = 0x97,
    RX_CSUM_ERROR = 0x60
};
enum {
    TX_LAST = 1,
    TX_CRC = 2,
    TX_REPORT = 8,
    TX_EXTENDED = 0x20,
    TX_COMMAND = 24,
    TX_DATA = 1 << 20
};
enum { TX_DONE = 1, TX_CSUM = 2 << 8, TX_IS_TCP = 1, TCP_CSUM = 16 };

enum { BUFFER = 2048, BUFFERS_OF_PAGE = NET_PAGE / BUFFER, FRAME_LIMIT = 1518, CSUM_LIMIT = 255 };
enum { RESET_TRIES = 100, RESET_US = 1000 };

struct e1000e {
    struct link link; /* the first member */
    struct pci_device *pci;
    struct pci_window registers;
    struct plat_loop *loop;
    struct plat_wake wakes[NR_MESSAGES];
    volatile struct descriptor *rx, *tx;
    uint8_t *buffers[NR / BUFFERS_OF_PAGE];
    unsigned int rx_next; /* the next that comes */
    unsigned int tx_next,
        tx_done; /* free-running: the next that goes, the first that is not known to be gone */
    struct frame *frames[NR]; /* by the last descriptor of each */
    unsigned int last[NR];    /* by the first: which that is */
    struct frame *spare;
    bool kick;
};

static uint32_t in(const struct e1000e *e, uint64_t reg) { return pci_in32(&e->registers, reg); }
static void out(const struct e1000e *e, uint64_t reg, uint32_t value)
{
    pci_out32(&e->registers, reg, value);
}

/* ---- out ---- */

/* Frames whose last descriptor the card has reported. */
static void reclaim(struct e1000e *e)
{
    while (e->tx_done != e->tx_next) {
        unsigned int last = e->last[e->tx_done % NR];

        if (!(__atomic_load_n(&e->tx[last % NR].high, __ATOMIC_ACQUIRE) & TX_DONE))
            return;
        frame_put(e->frames[last % NR]);
        e->frames[last % NR] = NULL;
        e->tx_done = last + 1;
    }
}

static void describe(struct e1000e *e, uint64_t address, uint32_t low, uint32_t high)
{
    volatile struct descriptor *d = &e->tx[e->tx_next++ % NR];

    d->address = address;
    d->low = low;
    d->high = high;
}

/* From there to the end, at that place; nothing of the address. */
static void describe_csum(struct e1000e *e, const struct frame *f)
{
    uint64_t start = f->csum_start, at = start + f->csum_offset;
    uint32_t command = TX_EXTENDED | (f->csum_offset == TCP_CSUM ? TX_IS_TCP : 0u);

    describe(e, (start | at << 8) << 32, command << TX_COMMAND, 0);
}

static void send(struct link *l, struct frame *f)
{
    struct e1000e *e = (struct e1000e *)l;
    struct piece pieces[NET_PIECES_MAX];
    bool csum = f->csum == FRAME_CSUM_PARTIAL;
    unsigned int first = e->tx_next, nr;

    if (f->bytes < FRAME_MIN || f->bytes > FRAME_LIMIT || f->gso != FRAME_GSO_NONE ||
        (csum && f->csum_start + f->csum_offset > CSUM_LIMIT))
        return;
    nr = net_cut(f, pieces);
    reclaim(e);
    if (e->tx_next - e->tx_done + nr + csum >= NR)
        return;
    if (csum)
        describe_csum(e, f);
    for (unsigned int i = 0; i < nr; i++) {
        uint32_t command = TX_EXTENDED | TX_CRC | (i + 1 == nr ? TX_LAST | TX_REPORT : 0u);

        describe(e, pci_dma_address(pieces[i].data),
                 command << TX_COMMAND | TX_DATA | pieces[i].bytes, csum ? TX_CSUM : 0);
    }
    e->last[first % NR] = e->tx_next - 1;
    e->frames[(e->tx_next - 1) % NR] = frame_get(f);
    e->kick = true;
}

static void flush(struct link *l)
{
    struct e1000e *e = (struct e1000e *)l;

    if (e->kick)
        out(e, TX + RING_TAIL, e->tx_next % NR);
    e->kick = false;
}

/* The card masks a message when it sends it. */
static void on_sent(void *arg)
{
    struct e1000e *e = arg;

    out(e, IMS, CAUSE_TX);
    reclaim(e);
}

/* ---- in ---- */

static uint8_t *buffer_of(const struct e1000e *e, unsigned int i)
{
    return e->buffers[i / BUFFERS_OF_PAGE] + i % BUFFERS_OF_PAGE * BUFFER;
}

static void give(struct e1000e *e, unsigned int i)
{
    volatile struct descriptor *d = &e->rx[i];

    d->address = pci_dma_address(buffer_of(e, i));
    d->low = 0;
    d->high = 0;
}

/* @bytes @what  the card's words, of which nothing is believed but what fits */
static void receive(struct e1000e *e, unsigned int i, uint32_t bytes, uint32_t what)
{
    uint8_t status = (uint8_t)what, errors = (uint8_t)(what >> 8);
    struct frame *f;

    if (!(status & RX_WHOLE) || (errors & RX_ERROR) || bytes < FRAME_MIN || bytes > BUFFER ||
        e->link.received == NULL)
        return;
    f = net_frame_get(&e->spare, BUFFER);
    if (f == NULL)
        return;
    memcpy(f->data, buffer_of(e, i), bytes);
    f->bytes = bytes;
    f->gso = FRAME_GSO_NONE;
    f->csum = (status & RX_TCP_LOOKED) && !(status & RX_NO_CSUM) && !(errors & RX_CSUM_ERROR)
                  ? FRAME_CSUM_GOOD
                  : FRAME_CSUM_NONE;
    e->link.received(e->link.arg, f);
    net_frame_put(&e->spare, f);
}

/* No more at a time than the ring has: others of the loop have their turn. */
static void on_received(void *arg)
{
    struct e1000e *e = arg;
    unsigned int n = 0;

    out(e, IMS, CAUSE_RX);
    for (; n < NR; n++) {
        unsigned int i = e->rx_next;
        uint32_t what = __atomic_load_n(&e->rx[i].high, __ATOMIC_ACQUIRE);

        if (!(what & RX_DONE))
            break;
        receive(e, i, e->rx[i].low & 0xffff, what);
        give(e, i);
        e->rx_next = (i + 1) % NR;
    }
    if (n == 0)
        return;
    out(e, RX + RING_TAIL, (e->rx_next + NR - 1) % NR);
    if (e->link.received_all)
        e->link.received_all(e->link.arg);
    if (n == NR)
        plat_wake(&e->wakes[MESSAGE_RX]);
}

static void on_other(void *arg)
{
    struct e1000e *e = arg;

    out(e, ICR, CAUSE_OTHER | CAUSE_LINK);
    out(e, IMS, CAUSE_OTHER | CAUSE_LINK);
    e->link.up = in(e, STATUS) & STATUS_UP;
}

/* ---- life ---- */

/* QEMU's reset is none, so all is stopped by itself, too. */
static void quiet(struct e1000e *e)
{
    out(e, IMC, ~0u);
    out(e, RCTL, 0);
    out(e, TCTL, 0);
}

static int reset(struct e1000e *e)
{
    quiet(e);
    out(e, CTRL, in(e, CTRL) | CTRL_RESET);
    for (unsigned int i = 0; i < RESET_TRIES; i++) {
        pci_sleep_us(RESET_US);
        if (!(in(e, CTRL) & CTRL_RESET)) {
            out(e, IMC, ~0u);
            return 0;
        }
    }
    errno = EIO;
    return -1;
}

/* The card has it from its own memory. */
static int read_mac(struct e1000e *e)
{
    uint32_t low = in(e, RAL), high = in(e, RAH);

    if (!(high & RAH_VALID) || (low & 1) || (low == 0 && (high & 0xffff) == 0)) {
        errno = EIO;
        return -1;
    }
    for (unsigned int i = 0; i < 6; i++)
        e->link.mac[i] = (uint8_t)((i < 4 ? low : high) >> 8 * (i % 4));
    return 0;
}

static int make_rings(struct e1000e *e)
{
    e->rx = pci_dma_alloc(e->pci, 1);
    e->tx = pci_dma_alloc(e->pci, 1);
    if (e->rx == NULL || e->tx == NULL)
        return -1;
    for (unsigned int i = 0; i < NR / BUFFERS_OF_PAGE; i++)
        if ((e->buffers[i] = pci_dma_alloc(e->pci, 1)) == NULL)
            return -1;
    for (unsigned int i = 0; i < NR; i++)
        give(e, i);
    return 0;
}

static void set_ring(struct e1000e *e, uint64_t regs, volatile struct descriptor *ring)
{
    uint64_t address = pci_dma_address((void *)ring);

    out(e, regs + RING_LOW, (uint32_t)address);
    out(e, regs + RING_HIGH, (uint32_t)(address >> 32));
    out(e, regs + RING_BYTES, NR * sizeof(*ring));
    out(e, regs + RING_HEAD, 0);
    out(e, regs + RING_TAIL, 0);
}

/* All frames are for us: the switch decides. */
static void begin(struct e1000e *e)
{
    for (unsigned int i = 0; i < MTA_WORDS; i++)
        out(e, MTA + 4 * i, 0);
    out(e, CTRL, in(e, CTRL) | CTRL_LINK | CTRL_FULL_DUPLEX);
    set_ring(e, RX, e->rx);
    set_ring(e, TX, e->tx);
    pci_master(e->pci, true);
    out(e, IVAR,
        (MESSAGE_RX | IVAR_VALID) | (MESSAGE_TX | IVAR_VALID) << 8 |
            (MESSAGE_OTHER | IVAR_VALID) << 16 | IVAR_TX_ALWAYS);
    out(e, EIAC, CAUSE_RX | CAUSE_TX);
    out(e, RXCSUM, RXCSUM_IP | RXCSUM_TCP);
    out(e, TIPG, TIPG_DEFAULT);
    out(e, TCTL, TCTL_ENABLE | TCTL_PAD | TCTL_COLLISIONS);
    out(e, RCTL, RCTL_ENABLE | RCTL_ALL_UNICAST | RCTL_ALL_MULTICAST | RCTL_BROADCAST | RCTL_STRIP);
    out(e, RX + RING_TAIL, NR - 1);
    out(e, IMS, CAUSE_RX | CAUSE_TX | CAUSE_OTHER | CAUSE_LINK);
    e->link.up = in(e, STATUS) & STATUS_UP;
}

static int open_card(struct e1000e *e)
{
    if (pci_map(e->pci, 0, 0, REGISTERS, &e->registers))
        return -1;
    pci_stop_by(e->pci, &e->registers, CTRL, 4, CTRL_RESET);
    if (!pci_has_msix(e->pci) || pci_nr_messages(e->pci) < NR_MESSAGES) {
        errno = ENOTSUP;
        return -1;
    }
    if (reset(e) || read_mac(e) || make_rings(e))
        return -1;
    for (unsigned int i = 0; i < NR_MESSAGES; i++)
        if (pci_bind(e->pci, i, &e->wakes[i]))
            return -1;
    return 0;
}

static void close_card(struct link *l)
{
    struct e1000e *e = (struct e1000e *)l;

    if (e->registers.bytes)
        quiet(e);
    pci_close(e->pci);
    for (unsigned int i = 0; i < NR_MESSAGES; i++)
        plat_wake_remove(&e->wakes[i]);
    for (unsigned int i = 0; i < NR; i++)
        if (e->frames[i])
            frame_put(e->frames[i]);
    if (e->spare)
        frame_put(e->spare);
    free(e);
}

static const struct link_ops ops = { send, flush, close_card };

bool e1000e_is(const struct pci_function *f)
{
    return f->vendor == 0x8086 && (f->device == 0x10d3 || f->device == 0x10f6);
}

struct link *e1000e_open(struct plat_loop *l, uint16_t bdf)
{
    static void (*const handlers[NR_MESSAGES])(void *arg) = { on_received, on_sent, on_other };
    struct pci_device *pci = pci_open(bdf);
    struct e1000e *e = pci ? calloc(1, sizeof(*e)) : NULL;
    int error;

    if (e == NULL) {
        if (pci)
            pci_close(pci);
        return NULL;
    }
    e->pci = pci;
    e->loop = l;
    e->link.ops = &ops;
    e->link.csum4 = e->link.csum6 = true;
    e->link.mtu = 1500;
    for (unsigned int i = 0; i < NR_MESSAGES; i++) {
        e->wakes[i] = (struct plat_wake){ .fn = handlers[i], .arg = e };
        plat_wake_add(l, &e->wakes[i]);
    }
    if (open_card(e) == 0) {
        begin(e);
        return &e->link;
    }
    error = errno;
    close_card(&e->link);
    errno = error;
    return NULL;
}
