/* backends/drivers: virtio-net on a card that is honest, and on one that is not. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "drivers/virtio_net.h"
#include "fake_virtio.h"
#include "net_load.h"

enum { IN, OUT, HEADER = 12, MAX_SEEN = 1024 };
enum {
    CSUM = 0,
    GUEST_CSUM = 1,
    MTU = 3,
    MAC = 5,
    GUEST_TSO4 = 7,
    HOST_TSO4 = 11,
    HOST_TSO6 = 12,
    MRG = 15,
    STATUS = 16
};

static struct fake_virtio v;
static struct plat_loop *loop;
static struct link *l;

static long nr_ours; /* frames that a test has when it closes the link */

/* What was received: copies of its beginning. */
static struct frame seen[MAX_SEEN];
static uint32_t sums[MAX_SEEN];
static unsigned int nr_seen, nr_batches;
static struct frame *kept; /* the switch keeps every third one for a while */

static uint32_t sum_of(const uint8_t *data, uint32_t bytes)
{
    uint32_t sum = bytes;

    for (uint32_t i = 0; i < bytes; i++)
        sum = sum * 31 + data[i];
    return sum;
}

static void received(void *arg, struct frame *f)
{
    (void)arg;
    sums[nr_seen] = sum_of(f->data, f->bytes);
    seen[nr_seen++] = *f;
    if (nr_seen % 3 == 0) {
        if (kept)
            frame_put(kept);
        kept = frame_get(f);
    }
}

static void received_all(void *arg)
{
    (void)arg;
    nr_batches++;
}

/* ---- the card ---- */

static void card_new(uint64_t features)
{
    static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };

    fake_virtio_init(&v, 1, 2, 64);
    v.features |= features | 1UL << MAC | 1UL << STATUS;
    memcpy(v.config, mac, 6);
    v.config[6] = 1;
    nr_seen = nr_batches = 0;
}

static void open_link(uint64_t features)
{
    card_new(features);
    loop = plat_loop_new();
    l = virtio_net_open(loop, v.pci.bdf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    l->received = received;
    l->received_all = received_all;
}

static void close_link(void)
{
    l->ops->close(l);
    if (kept)
        frame_put(kept);
    kept = NULL;
    CU_ASSERT_EQUAL(net_nr_frames, nr_ours);
    CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
    CU_ASSERT_EQUAL(v.status, 0);
    plat_loop_free(loop);
}

static void settle(void)
{
    while (plat_loop_run(loop) == 0)
        ;
}

#define ALL                                                                                      \
    (1UL << CSUM | 1UL << GUEST_CSUM | 1UL << GUEST_TSO4 | 1UL << HOST_TSO4 | 1UL << HOST_TSO6 | \
     1UL << MRG)

struct header {
    uint8_t flags, gso_type;
    uint16_t header_bytes, gso_bytes, csum_start, csum_offset, nr_buffers;
};

/* A frame that comes in, over as many buffers as it wants, or says. Returns the sum that it is to have. */
static uint32_t come_in(struct header h, uint32_t bytes)
{
    static uint8_t all[HEADER + 70000];
    uint32_t left = HEADER + bytes, nr = (left + 4095) / 4096;
    struct fake_chain c;

    if (h.nr_buffers == 0)
        h.nr_buffers = (uint16_t)nr;
    memcpy(all, &h, HEADER);
    for (uint32_t i = 0; i < bytes; i++)
        all[HEADER + i] = net_byte(i);
    for (uint32_t at = 0; at < HEADER + bytes; at += 4096) {
        uint32_t n = left < 4096 ? left : 4096;

        CU_ASSERT_FATAL(fake_virtio_pop(&v, IN, &c) && c.nr == 1 && c.nr_out == 0 &&
                        c.parts[0].bytes == 4096);
        memcpy(c.parts[0].data, all + at, n);
        fake_virtio_push(&v, IN, c.id, n);
        left -= n;
    }
    return sum_of(all + HEADER, bytes);
}

static void one_in(struct header h, uint32_t bytes, unsigned int expected)
{
    uint32_t sum = come_in(h, bytes);

    nr_seen = 0;
    settle();
    CU_ASSERT_EQUAL(nr_seen, expected);
    if (nr_seen)
        CU_ASSERT(seen[0].bytes == bytes && sums[0] == sum);
}

/* ---- in ---- */

static void test_frames_come_in(void)
{
    open_link(ALL);
    CU_ASSERT(l->up && l->mtu == 1500 && l->mac[0] == 2 && l->mac[5] == 5);
    for (uint32_t bytes = 14; bytes < 3000; bytes += 11)
        one_in((struct header){ 0 }, bytes, 1);
    CU_ASSERT(nr_batches >= 270);
    close_link();
}

static void test_large_frames_come_in(void)
{
    open_link(ALL);
    for (uint32_t bytes = 4080; bytes <= 4100; bytes++)
        one_in((struct header){ 0 }, bytes, 1);
    one_in((struct header){ .flags = 1,
                            .gso_type = 1,
                            .gso_bytes = 1448,
                            .csum_start = 34,
                            .csum_offset = 16 },
           65000, 1);
    CU_ASSERT(seen[0].csum == FRAME_CSUM_PARTIAL && seen[0].gso == FRAME_GSO_TCP4 &&
              seen[0].gso_bytes == 1448);
    one_in((struct header){ 0 }, FRAME_MAX, 1);
    close_link();
}

static void test_what_is_said_of_frames(void)
{
    open_link(ALL);
    one_in((struct header){ .flags = 2 }, 60, 1);
    CU_ASSERT_EQUAL(seen[0].csum, FRAME_CSUM_GOOD);
    one_in((struct header){ 0 }, 60, 1);
    CU_ASSERT_EQUAL(seen[0].csum, FRAME_CSUM_NONE);
    one_in((struct header){ .flags = 1, .csum_start = 34, .csum_offset = 24 }, 60,
           1); /* the last two bytes */
    CU_ASSERT(seen[0].csum == FRAME_CSUM_PARTIAL && seen[0].csum_start == 34 &&
              seen[0].csum_offset == 24);
    close_link();
}

static void test_frames_that_are_dropped(void)
{
    open_link(ALL);
    one_in((struct header){ .flags = 1, .csum_start = 34, .csum_offset = 25 }, 60, 0);
    one_in((struct header){ .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff }, 60, 0);
    one_in((struct header){ .gso_type = 1, .gso_bytes = 1448 }, 60, 0); /* without a checksum */
    one_in((struct header){ .flags = 1, .gso_type = 1, .csum_start = 34 }, 60, 0); /* of no size */
    one_in((struct header){ .flags = 1, .gso_type = 4, .gso_bytes = 9 }, 60,
           0); /* TSO6 was not agreed */
    one_in((struct header){ .flags = 1, .gso_type = 3, .gso_bytes = 9 }, 60, 0);
    one_in((struct header){ 0 }, 13, 0);
    one_in((struct header){ 0 }, FRAME_MAX + 1, 0);
    one_in((struct header){ 0 }, 60, 1); /* and all is well */
    close_link();
}

/* Fewer, or more buffers than the header says; none of that is seen, and what follows is whole. */
static void test_numbers_of_buffers(void)
{
    struct fake_chain c;

    open_link(ALL);
    one_in((struct header){ .nr_buffers = 30 }, 60, 0); /* 29 more are awaited, and dropped */
    for (unsigned int i = 0; i < 29; i++)
        one_in((struct header){ .nr_buffers = 1 }, 60, 0);
    one_in((struct header){ .nr_buffers = 1 }, 60, 1);
    fake_virtio_pop(&v, IN, &c);
    memset(c.parts[0].data, 0, HEADER); /* zero of them */
    fake_virtio_push(&v, IN, c.id, 60);
    fake_virtio_pop(&v, IN, &c); /* no header */
    fake_virtio_push(&v, IN, c.id, HEADER - 1);
    fake_virtio_pop(&v, IN, &c); /* nothing at all */
    fake_virtio_push(&v, IN, c.id, 0);
    one_in((struct header){ 0 }, 100, 1);
    close_link();
}

static void test_no_memory_for_frames(void)
{
    open_link(ALL);
    net_no_frames = true;
    one_in((struct header){ 0 }, 9000, 0);
    net_no_frames = false;
    one_in((struct header){ 0 }, 9000, 1);
    close_link();
}

static void test_without_mergeable_buffers(void)
{
    open_link(ALL & ~(1UL << MRG));
    CU_ASSERT_EQUAL(v.driver_features & 1UL << GUEST_TSO4, 0);
    one_in((struct header){ .nr_buffers = 7 }, 1500, 1); /* the field means nothing */
    close_link();
}

/* ---- out ---- */

static bool go_out(struct frame *f, struct header *h)
{
    struct fake_chain c;
    uint32_t at = 0;

    l->ops->send(l, f);
    l->ops->flush(l);
    if (!fake_virtio_pop(&v, OUT, &c))
        return false;
    CU_ASSERT_FATAL(c.nr == c.nr_out && c.parts[0].bytes == HEADER);
    memcpy(h, c.parts[0].data, HEADER);
    for (unsigned int i = 1; i < c.nr; at += c.parts[i++].bytes)
        CU_ASSERT_EQUAL(memcmp(c.parts[i].data, f->data + at, c.parts[i].bytes), 0);
    CU_ASSERT_EQUAL(at, f->bytes);
    fake_virtio_push(&v, OUT, c.id, 0);
    settle();
    return true;
}

static void test_frames_go_out(void)
{
    static const uint32_t sizes[] = { 14, 60, 1514, 4096, 5000, 20000, FRAME_MAX };
    struct header h;

    open_link(ALL);
    for (unsigned int i = 0; i < 7; i++) {
        struct frame *f = net_frame(sizes[i]);

        CU_ASSERT(go_out(f, &h));
        CU_ASSERT_EQUAL(f->refs, 1);
        CU_ASSERT(h.flags == 0 && h.gso_type == 0);
        frame_put(f);
    }
    close_link();
}

static void test_offloads_go_out(void)
{
    struct frame *f;
    struct header h;

    open_link(ALL);
    f = net_frame(30000);
    CU_ASSERT(l->csum4 && l->csum6 && l->tso4 && l->tso6);
    f->csum = FRAME_CSUM_PARTIAL;
    f->csum_start = 34;
    f->csum_offset = 16;
    CU_ASSERT(go_out(f, &h));
    CU_ASSERT(h.flags == 1 && h.gso_type == 0 && h.csum_start == 34 && h.csum_offset == 16);
    f->gso = FRAME_GSO_TCP6;
    f->gso_bytes = 1400;
    f->data[34 + 12] = 8 << 4;
    CU_ASSERT(go_out(f, &h));
    CU_ASSERT(h.flags == 1 && h.gso_type == 4 && h.gso_bytes == 1400 && h.header_bytes == 34 + 32);
    frame_put(f);
    close_link();
    open_link(1UL << HOST_TSO4 | 1UL << MRG); /* which makes no sense without checksums */
    CU_ASSERT(!l->csum4 && !l->tso4 && !l->tso6);
    close_link();
}

/* The card takes its time: what there is no room for is dropped, and its references are given back. */
static void test_a_full_queue(void)
{
    struct frame *f = net_frame(3000);
    struct fake_chain c;
    unsigned int nr = 0;

    open_link(ALL);
    for (unsigned int i = 0; i < 100; i++)
        l->ops->send(l, f);
    l->ops->flush(l);
    CU_ASSERT(f->refs > 10 && f->refs < 40);
    while (fake_virtio_pop(&v, OUT, &c)) {
        fake_virtio_push(&v, OUT, c.id, 0);
        nr++;
    }
    CU_ASSERT_EQUAL(nr, f->refs - 1);
    settle();
    CU_ASSERT_EQUAL(f->refs, 1);
    l->ops->send(l, f);
    CU_ASSERT_EQUAL(f->refs, 2);
    nr_ours = 1;
    close_link(); /* with one in it */
    nr_ours = 0;
    CU_ASSERT_EQUAL(f->refs, 1);
    frame_put(f);
    CU_ASSERT_EQUAL(net_nr_frames, 0);
}

/* ---- the rest ---- */

static void test_the_state_of_the_line(void)
{
    open_link(1UL << MTU);
    v.config[6] = 0;
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT(!l->up);
    v.config[6] = 1;
    fake_virtio_changed(&v);
    settle();
    CU_ASSERT(l->up);
    CU_ASSERT_EQUAL(l->mtu, 1500); /* the card says 0 */
    close_link();
}

static void test_a_lie_ends_it(void)
{
    for (unsigned int lie = 0; lie < 3; lie++) {
        struct frame *f = net_frame(100);

        open_link(ALL);
        switch (lie) {
        case 0: fake_virtio_push(&v, IN, 64, 0); break;
        case 1: fake_virtio_run_ahead(&v, IN, 65); break;
        case 2: fake_virtio_push(&v, IN, 0, 4097); break;
        }
        settle();
        CU_ASSERT(!l->up && v.status == 0 && !v.pci.master);
        l->ops->send(l, f); /* dropped */
        l->ops->flush(l);
        CU_ASSERT_EQUAL(f->refs, 1);
        fake_virtio_changed(&v);
        settle();
        CU_ASSERT(!l->up);
        frame_put(f);
        close_link();
    }
}

static void refused(int error)
{
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_PTR_NULL(virtio_net_open(loop, v.pci.bdf));
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
    plat_loop_free(loop);
}

static void test_cards_that_are_not_taken(void)
{
    card_new(0);
    v.features &= ~(1UL << MAC);
    refused(EIO);
    card_new(0);
    v.pci.nr_messages = 2;
    refused(ENOTSUP);
    card_new(0);
    v.nr_queues = 1;
    refused(ENOTSUP);
    card_new(0);
    v.queues[OUT].size = 8;
    refused(EIO);
}

static void test_a_lack_of_memory(void)
{
    unsigned int n = 0;
    bool failed = true;

    while (failed) {
        card_new(ALL);
        loop = plat_loop_new();
        fake_pci_fail_at(++n);
        l = virtio_net_open(loop, v.pci.bdf);
        failed = fake_pci_fail_at(0);
        CU_ASSERT_EQUAL(l == NULL, failed);
        if (l)
            l->ops->close(l);
        CU_ASSERT_EQUAL(v.pci.nr_closed, v.pci.nr_opened);
        plat_loop_free(loop);
    }
    CU_ASSERT(n > 70);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "frames come in", test_frames_come_in },
        { "large frames come in", test_large_frames_come_in },
        { "what is said of frames", test_what_is_said_of_frames },
        { "frames that are dropped", test_frames_that_are_dropped },
        { "numbers of buffers", test_numbers_of_buffers },
        { "no memory for frames", test_no_memory_for_frames },
        { "without mergeable buffers", test_without_mergeable_buffers },
        { "frames go out", test_frames_go_out },
        { "offloads go out", test_offloads_go_out },
        { "a full queue", test_a_full_queue },
        { "the state of the line", test_the_state_of_the_line },
        { "a lie ends it", test_a_lie_ends_it },
        { "cards that are not taken", test_cards_that_are_not_taken },
        { "a lack of memory", test_a_lack_of_memory },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "virtio-net", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
