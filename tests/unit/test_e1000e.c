/* backends/drivers: e1000e on a card in memory, and what comes from one that lies. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "drivers/e1000e.h"
#include "fake_pci.h"
#include "net_load.h"

enum {
    NR = 256,
    RX = 0x2800,
    TX = 0x3800,
    CTRL = 0,
    STATUS = 8,
    IMS = 0xd0,
    RCTL = 0x100,
    TCTL = 0x400,
    RAL = 0x5400
};
enum { DONE = 1, WHOLE = 2, LOOKED = 0x20 };

struct descriptor {
    uint64_t address;
    uint32_t low, high;
};

static struct card {
    struct fake_pci pci; /* the first member */
    uint32_t regs[0x6000 / 4];
    unsigned int rx, tx; /* the next descriptor of each */
    bool never_resets;
} c;
static struct plat_loop *loop;
static struct link *l;

static uint32_t *reg(uint64_t offset) { return &c.regs[offset / 4]; }

static uint32_t read_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                              unsigned int bytes)
{
    (void)p;
    if (bar != 0 || bytes != 4)
        abort();
    return *reg(offset);
}

static void write_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                           unsigned int bytes, uint32_t value)
{
    (void)p;
    if (bar != 0 || bytes != 4)
        abort();
    *reg(offset) = offset == CTRL && !c.never_resets ? value & ~(1u << 26) : value;
}

static void card_new(void)
{
    memset(&c, 0, sizeof(c));
    c.pci = (struct fake_pci){ .bdf = 0x28,
                               .nr_messages = 5,
                               .has_msix = true,
                               .read = read_register,
                               .write = write_register };
    c.pci.bar_bytes[0] = 0x20000;
    *reg(STATUS) = 2;
    *reg(RAL) = 0x44332202;
    *reg(RAL + 4) = 1u << 31 | 0x6655;
    fake_pci_insert(&c.pci);
}

static struct descriptor *ring(unsigned int regs)
{
    struct descriptor *d =
        fake_pci_memory(&c.pci, *reg(regs) | (uint64_t)*reg(regs + 4) << 32, 4096);

    CU_ASSERT_FATAL(d != NULL && *reg(regs + 8) == 4096);
    return d;
}

static struct frame seen;
static unsigned int nr_seen, nr_batches;
static bool seen_right;

static void received(void *arg, struct frame *f)
{
    (void)arg;
    seen = *f;
    nr_seen++;
    seen_right = true;
    for (uint32_t i = 0; i < f->bytes; i++)
        seen_right &= f->data[i] == net_byte(i);
}

static void received_all(void *arg)
{
    (void)arg;
    nr_batches++;
}

static void settle(void)
{
    while (plat_loop_run(loop) == 0)
        ;
}

static void open_link(void)
{
    card_new();
    loop = plat_loop_new();
    l = e1000e_open(loop, c.pci.bdf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    l->received = received;
    l->received_all = received_all;
    nr_seen = nr_batches = 0;
}

static void close_link(void)
{
    l->ops->close(l);
    CU_ASSERT_EQUAL(*reg(RCTL), 0);
    CU_ASSERT_EQUAL(*reg(TCTL), 0);
    CU_ASSERT_EQUAL(c.pci.nr_closed, c.pci.nr_opened);
    plat_loop_free(loop);
}

/* ---- in ---- */

/* The card has none left when it has come to the tail. */
static bool come_in(uint32_t bytes, uint32_t said, uint32_t status)
{
    struct descriptor *d = &ring(RX)[c.rx];
    uint8_t *to;

    if (c.rx == *reg(RX + 0x18))
        return false;
    to = fake_pci_memory(&c.pci, d->address, 2048);
    CU_ASSERT_FATAL(to != NULL && d->high == 0);
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = net_byte(i);
    d->low = said;
    d->high = status;
    c.rx = (c.rx + 1) % NR;
    return true;
}

static void one_in(uint32_t bytes, uint32_t said, uint32_t status, unsigned int expected)
{
    CU_ASSERT(come_in(bytes, said, status));
    nr_seen = 0;
    fake_pci_message(&c.pci, 0);
    settle();
    CU_ASSERT_EQUAL(nr_seen, expected);
    if (expected)
        CU_ASSERT(seen.bytes == said && seen_right);
    CU_ASSERT(*reg(IMS) & 1u << 20); /* the card has masked it */
}

static void test_frames_come_in(void)
{
    open_link();
    CU_ASSERT(l->up && l->csum4 && !l->tso4 && l->mac[0] == 2 && l->mac[5] == 0x66);
    for (uint32_t bytes = 14; bytes <= 1518; bytes++)
        one_in(bytes, bytes, DONE | WHOLE, 1);
    close_link();
    CU_ASSERT_EQUAL(net_nr_frames, 0);
}

static void test_the_whole_ring_at_once(void)
{
    unsigned int nr = 0;

    open_link();
    for (unsigned int round = 0; round < 5; round++) {
        while (come_in(100, 100, DONE | WHOLE))
            nr++;
        fake_pci_message(&c.pci, 0);
        settle();
        CU_ASSERT_EQUAL(nr_seen, nr);
    }
    CU_ASSERT_EQUAL(nr, 5 * (NR - 1));
    CU_ASSERT_EQUAL(nr_batches, 5);
    close_link();
}

static void test_checksums_that_were_looked_at(void)
{
    open_link();
    one_in(100, 100, DONE | WHOLE | LOOKED, 1);
    CU_ASSERT_EQUAL(seen.csum, FRAME_CSUM_GOOD);
    one_in(100, 100, DONE | WHOLE | LOOKED | 4, 1); /* to be ignored */
    CU_ASSERT_EQUAL(seen.csum, FRAME_CSUM_NONE);
    one_in(100, 100, DONE | WHOLE | LOOKED | 0x20 << 8,
           1); /* wrong: whoever receives it looks himself */
    CU_ASSERT_EQUAL(seen.csum, FRAME_CSUM_NONE);
    one_in(100, 100, DONE | WHOLE, 1);
    CU_ASSERT_EQUAL(seen.csum, FRAME_CSUM_NONE);
    close_link();
}

static void test_frames_that_are_dropped(void)
{
    open_link();
    one_in(100, 100, DONE, 0);                  /* a part */
    one_in(100, 100, DONE | WHOLE | 1 << 8, 0); /* the check sequence */
    one_in(100, 100, DONE | WHOLE | 0x80 << 8, 0);
    one_in(100, 13, DONE | WHOLE, 0);
    one_in(100, 0, DONE | WHOLE, 0);
    one_in(100, 2049, DONE | WHOLE, 0); /* more than there was room for */
    one_in(100, 0xffff, DONE | WHOLE, 0);
    net_no_frames = true;
    one_in(100, 100, DONE | WHOLE, 0);
    net_no_frames = false;
    one_in(100, 100, DONE | WHOLE, 1);
    close_link();
}

/* ---- out ---- */

/* What the card has been told of since. Returns how many descriptors; those that want it are reported. */
static unsigned int go_out(struct descriptor *all, bool report)
{
    unsigned int nr = 0;

    for (; c.tx != *reg(TX + 0x18); c.tx = (c.tx + 1) % NR) {
        struct descriptor *d = &ring(TX)[c.tx];

        all[nr++] = *d;
        if (report && (d->low >> 24 & 8))
            d->high |= DONE;
    }
    if (report) {
        fake_pci_message(&c.pci, 1);
        settle();
    }
    return nr;
}

static void test_frames_go_out(void)
{
    struct descriptor all[NR];

    open_link();
    for (uint32_t bytes = 14; bytes <= 1518; bytes += 8) {
        struct frame *f = net_frame(bytes);
        unsigned int nr;
        uint32_t at = 0;

        l->ops->send(l, f);
        CU_ASSERT_EQUAL(f->refs, 2);
        l->ops->flush(l);
        nr = go_out(all, true);
        CU_ASSERT(nr == 1 || nr == 2);
        for (unsigned int i = 0; i < nr; i++) {
            uint32_t n = all[i].low & 0xfffff;

            CU_ASSERT_EQUAL(all[i].low >> 20 & 0xf, 1);
            CU_ASSERT_EQUAL(all[i].low >> 24, i + 1 == nr ? 0x2b : 0x22);
            CU_ASSERT_EQUAL(memcmp(fake_pci_memory(&c.pci, all[i].address, n), f->data + at, n), 0);
            at += n;
        }
        CU_ASSERT_EQUAL(at, bytes);
        CU_ASSERT_EQUAL(f->refs, 1);
        frame_put(f);
    }
    close_link();
}

static void test_a_checksum_goes_out(void)
{
    struct frame *f = net_frame(500);
    struct descriptor all[NR];
    unsigned int nr;

    open_link();
    f->csum = FRAME_CSUM_PARTIAL;
    f->csum_start = 34;
    f->csum_offset = 16;
    l->ops->send(l, f);
    l->ops->flush(l);
    nr = go_out(all, true);
    CU_ASSERT_EQUAL(all[0].address, (34UL | 50UL << 8) << 32);
    CU_ASSERT_EQUAL(all[0].low, 0x21u << 24);
    for (unsigned int i = 1; i < nr; i++)
        CU_ASSERT_EQUAL(all[i].high, 2 << 8);
    f->csum_start = 250; /* the card has eight bits for it */
    l->ops->send(l, f);
    CU_ASSERT_EQUAL(f->refs, 1);
    f->csum_start = 34;
    f->gso = FRAME_GSO_TCP4;
    l->ops->send(l, f);
    CU_ASSERT_EQUAL(f->refs, 1);
    frame_put(f);
    close_link();
}

static void test_a_full_ring(void)
{
    struct frame *f = net_frame(1000);
    struct descriptor all[NR];

    open_link();
    for (unsigned int round = 0; round < 3; round++) {
        for (unsigned int i = 0; i < 400; i++)
            l->ops->send(l, f);
        l->ops->flush(l);
        CU_ASSERT(f->refs > 100 && f->refs <= NR);
        CU_ASSERT(go_out(all, true) < NR);
        CU_ASSERT_EQUAL(f->refs, 1);
    }
    l->ops->send(l, f);
    l->ops->flush(l);
    go_out(all, false);
    CU_ASSERT_EQUAL(f->refs, 2);
    close_link(); /* with one in it */
    CU_ASSERT_EQUAL(f->refs, 1);
    frame_put(f);
    CU_ASSERT_EQUAL(net_nr_frames, 0);
}

/* ---- the rest ---- */

static void test_the_state_of_the_line(void)
{
    open_link();
    *reg(STATUS) = 0;
    fake_pci_message(&c.pci, 2);
    settle();
    CU_ASSERT(!l->up);
    *reg(STATUS) = 2;
    fake_pci_message(&c.pci, 2);
    settle();
    CU_ASSERT(l->up);
    close_link();
}

static void refused(int error)
{
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_PTR_NULL(e1000e_open(loop, c.pci.bdf));
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_EQUAL(c.pci.nr_closed, c.pci.nr_opened);
    plat_loop_free(loop);
}

static void test_cards_that_are_not_taken(void)
{
    card_new();
    c.never_resets = true;
    refused(EIO);
    card_new();
    *reg(RAL + 4) = 0; /* no address */
    refused(EIO);
    card_new();
    *reg(RAL) |= 1; /* one of many */
    refused(EIO);
    card_new();
    c.pci.has_msix = false;
    refused(ENOTSUP);
    card_new();
    c.pci.nr_messages = 2;
    refused(ENOTSUP);
}

static void test_a_lack_of_memory(void)
{
    unsigned int n = 0;
    bool failed = true;

    while (failed) {
        card_new();
        loop = plat_loop_new();
        fake_pci_fail_at(++n);
        l = e1000e_open(loop, c.pci.bdf);
        failed = fake_pci_fail_at(0);
        CU_ASSERT_EQUAL(l == NULL, failed);
        if (l)
            l->ops->close(l);
        CU_ASSERT_EQUAL(c.pci.nr_closed, c.pci.nr_opened);
        plat_loop_free(loop);
    }
    CU_ASSERT(n > 130);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "frames come in", test_frames_come_in },
        { "the whole ring at once", test_the_whole_ring_at_once },
        { "checksums that were looked at", test_checksums_that_were_looked_at },
        { "frames that are dropped", test_frames_that_are_dropped },
        { "frames go out", test_frames_go_out },
        { "a checksum goes out", test_a_checksum_goes_out },
        { "a full ring", test_a_full_ring },
        { "the state of the line", test_the_state_of_the_line },
        { "cards that are not taken", test_cards_that_are_not_taken },
        { "a lack of memory", test_a_lack_of_memory },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "e1000e", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
