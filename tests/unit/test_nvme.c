/* backends/drivers: NVMe on a controller that is honest, and on one that is not. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "disk_load.h"
#include "drivers/nvme.h"
#include "fake_pci.h"

enum { NR_SECTORS = 20000, MAX_QUEUES = 6, HELD_MAX = 512, MDTS = 4, MAX_BYTES = 4096 << MDTS };

struct sqe {
    uint8_t opcode, flags;
    uint16_t id;
    uint32_t nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t dw[6]; /* 10 to 15 */
};

struct cqe {
    uint32_t result, reserved;
    uint16_t head, queue, id, status;
};

/* ---- the controller ---- */

static struct controller {
    struct fake_pci pci; /* the first member */
    uint64_t cap, asq, acq;
    uint32_t cc, csts, aqa;
    struct {
        uint64_t sq, cq;
        unsigned int sq_size, cq_size, tail, head, done, taken, message;
        uint16_t phase;
    } q[MAX_QUEUES];
    unsigned int nr_enabled, nr_granted; /* queues it lets the driver have */
    bool never_ready, fails_admin, stays_down, other_id;
    uint32_t namespaces[3];
    uint8_t lbads, metadata;
} c;

static struct held {
    struct sqe e;
    unsigned int queue;
} held[HELD_MAX];
static unsigned int nr_held, most_held, nr_flushes, nr_discarded;
static uint16_t next_status;
static uint8_t *model;

static void *memory(uint64_t address, uint32_t bytes)
{
    void *p = fake_pci_memory(&c.pci, address, bytes);

    if (p == NULL)
        abort(); /* over a page's edge, or not for the device at all */
    return p;
}

static void post(unsigned int qid, uint16_t id, uint16_t status, uint32_t result)
{
    struct cqe *e = (struct cqe *)memory(c.q[qid].cq, 16 * c.q[qid].cq_size) + c.q[qid].done;

    CU_ASSERT_FATAL((c.q[qid].done + 1) % c.q[qid].cq_size !=
                    c.q[qid].taken); /* it would be full */
    *e = (struct cqe){ .result = result,
                       .queue = (uint16_t)qid,
                       .id = id,
                       .status = (uint16_t)(status << 1 | c.q[qid].phase) };
    c.q[qid].done = (c.q[qid].done + 1) % c.q[qid].cq_size;
    c.q[qid].phase ^= c.q[qid].done == 0;
    fake_pci_message(&c.pci, c.q[qid].message);
}

static void identify(const struct sqe *e)
{
    uint8_t *page = memory(e->prp1, 4096);
    uint64_t nr = NR_SECTORS * 512UL >> c.lbads;

    memset(page, 0, 4096);
    if (e->dw[0] == 1) {
        page[77] = MDTS;
        page[520] = 4;
        page[525] = 1;
    } else if (e->dw[0] == 2) {
        memcpy(page, c.namespaces, sizeof(c.namespaces));
    } else {
        memcpy(page, &nr, 8);
        page[26] = 1; /* the second format */
        page[132] = c.metadata;
        page[134] = c.lbads;
    }
}

static void create(const struct sqe *e)
{
    unsigned int qid = e->dw[0] & 0xffff, size = (e->dw[0] >> 16) + 1;

    CU_ASSERT_FATAL(qid >= 1 && qid <= c.nr_granted && (e->dw[1] & 1) && e->prp1 % 4096 == 0);
    if (e->opcode == 5) {
        c.q[qid].cq = e->prp1;
        c.q[qid].cq_size = size;
        c.q[qid].phase = 1;
        c.q[qid].message = e->dw[1] >> 16;
        CU_ASSERT(e->dw[1] & 2);
    } else {
        c.q[qid].sq = e->prp1;
        c.q[qid].sq_size = size;
        CU_ASSERT_EQUAL(e->dw[1] >> 16, qid);
    }
}

static void do_admin(const struct sqe *e)
{
    uint32_t result = 0;

    switch (e->opcode) {
    case 1:
    case 5: create(e); break;
    case 6: identify(e); break;
    case 9: result = (c.nr_granted - 1) << 16 | (c.nr_granted - 1); break;
    default: CU_FAIL("no such admin command");
    }
    post(0, c.other_id ? 77 : e->id, c.fails_admin ? 6 : 0, result);
}

/* The doorbell of a queue. */
static void fetch(unsigned int qid, uint32_t tail)
{
    CU_ASSERT_FATAL(tail < c.q[qid].sq_size);
    while (c.pci.master && c.q[qid].head != tail) {
        struct sqe e = ((struct sqe *)memory(c.q[qid].sq, 64 * c.q[qid].sq_size))[c.q[qid].head];

        c.q[qid].head = (c.q[qid].head + 1) % c.q[qid].sq_size;
        if (qid == 0)
            do_admin(&e);
        else
            held[nr_held++] = (struct held){ e, qid };
    }
    most_held = nr_held > most_held ? nr_held : most_held;
}

static void set_cc(uint32_t value)
{
    if ((value & 1) && !(c.cc & 1)) {
        memset(c.q, 0, sizeof(c.q));
        c.q[0].sq = c.asq;
        c.q[0].cq = c.acq;
        c.q[0].sq_size = (c.aqa & 0xfff) + 1;
        c.q[0].cq_size = (c.aqa >> 16) + 1;
        c.q[0].phase = 1;
        c.nr_enabled++;
        c.csts = c.never_ready || (c.stays_down && c.nr_enabled > 1) ? 0 : 1;
    }
    if (!(value & 1)) {
        c.csts = 0;
        nr_held = 0;
    }
    if (value >> 14 & 3)
        c.csts |= 2 << 2;
    c.cc = value;
}

static uint32_t read_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                              unsigned int bytes)
{
    (void)p;
    if (bar != 0 || bytes != 4)
        abort();
    switch (offset) {
    case 0: return (uint32_t)c.cap;
    case 4: return (uint32_t)(c.cap >> 32);
    case 0x14: return c.cc;
    case 0x1c: return c.csts;
    default: abort();
    }
}

static void write_register(struct fake_pci *p, unsigned int bar, uint64_t offset,
                           unsigned int bytes, uint32_t value)
{
    unsigned int qid = (unsigned int)(offset - 0x1000) / 16;

    (void)p;
    if (bar != 0 || bytes != 4)
        abort();
    switch (offset) {
    case 0x14: set_cc(value); return;
    case 0x24: c.aqa = value; return;
    case 0x28 ... 0x2c: memcpy((uint8_t *)&c.asq + offset - 0x28, &value, 4); return;
    case 0x30 ... 0x34: memcpy((uint8_t *)&c.acq + offset - 0x30, &value, 4); return;
    }
    CU_ASSERT_FATAL(offset >= 0x1000 && qid < MAX_QUEUES);
    if (offset / 8 % 2 == 0)
        fetch(qid, value);
    else
        c.q[qid].taken = value;
}

static void controller_new(void)
{
    /* 64 entries and up; 2 seconds; a stride of 8 bytes; NVM commands */
    c = (struct controller){ .cap = 1023 | 4UL << 24 | 1UL << 32 | 1UL << 37,
                             .nr_granted = 5,
                             .lbads = 9,
                             .namespaces = { 1, 7 } };
    c.pci = (struct fake_pci){ .bdf = 0x20,
                               .nr_messages = 8,
                               .has_msix = true,
                               .read = read_register,
                               .write = write_register };
    c.pci.bar_bytes[0] = 0x2000;
    nr_held = most_held = nr_flushes = nr_discarded = next_status = 0;
    fake_pci_insert(&c.pci);
}

/* ---- what it does with commands ---- */

static void transfer(const struct sqe *e, uint64_t offset, uint32_t bytes)
{
    uint32_t at = 0, n = 4096 - (uint32_t)(e->prp1 % 4096);
    bool list = bytes > n + 4096;
    const uint64_t *prps = list ? memory(e->prp2, (bytes - n + 4095) / 4096 * 8) : &e->prp2;

    CU_ASSERT_FATAL(bytes <= MAX_BYTES && offset + bytes <= NR_SECTORS * 512UL);
    for (unsigned int i = 0; at < bytes; i++, at += n) {
        uint64_t prp = i == 0 ? e->prp1 : prps[i - 1];

        CU_ASSERT_FATAL(i == 0 || prp % 4096 == 0);
        n = 4096 - (uint32_t)(prp % 4096);
        n = n < bytes - at ? n : bytes - at;
        if (e->opcode == 2)
            memcpy(memory(prp, n), model + offset + at, n);
        else
            memcpy(model + offset + at, memory(prp, n), n);
    }
}

static uint16_t serve(const struct sqe *e)
{
    uint64_t block = e->dw[0] | (uint64_t)e->dw[1] << 32;
    uint32_t range[4];
    uint16_t status = next_status;

    next_status = 0;
    if (status)
        return status;
    CU_ASSERT(e->nsid == 1 || e->nsid == 7);
    switch (e->opcode) {
    case 0: nr_flushes++; break;
    case 1:
    case 2: transfer(e, block << c.lbads, ((e->dw[2] & 0xffff) + 1) << c.lbads); break;
    case 9:
        CU_ASSERT(e->dw[0] == 0 && e->dw[1] == 4);
        memcpy(range, memory(e->prp1, sizeof(range)), sizeof(range));
        nr_discarded += range[1] << c.lbads >> 9;
        break;
    default: CU_FAIL("no such command");
    }
    return 0;
}

/* ---- each test has a controller with two disks, of which it uses one ---- */

static struct plat_loop *loop;
static struct load load;
static struct disk *disks[4];
static char names[4][32];
static int nr_disks;

static void on_found(void *arg, const char *name, struct disk *d)
{
    (void)arg;
    strcpy(names[nr_disks], name);
    disks[nr_disks++] = d;
}

static void stop_loop(void *arg) { plat_loop_stop(arg); }

/* What is to be done now, and in that time. */
static void settle_for(uint64_t ns)
{
    struct plat_timer t = { .fn = stop_loop, .arg = loop };

    plat_timer_set(loop, &t, plat_now() + ns);
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
}

static void settle(void) { settle_for(1); }

static void serve_one(unsigned int i)
{
    struct held h = held[i];

    held[i] = held[--nr_held];
    post(h.queue, h.e.id, serve(&h.e), 0);
}

static void serve_all(void)
{
    while (nr_held) {
        for (unsigned int n = nr_held / 2 + 1; n; n--)
            serve_one((unsigned int)rand() % nr_held);
        settle();
    }
}

static void open_disks(void)
{
    nr_disks = 0;
    loop = plat_loop_new();
    CU_ASSERT_EQUAL_FATAL(nvme_open(loop, c.pci.bdf, "nvme3", on_found, NULL), 2);
    CU_ASSERT_EQUAL_FATAL(nr_disks, 2);
    model = malloc(NR_SECTORS * DISK_SECTOR);
    for (uint32_t i = 0; i < NR_SECTORS * DISK_SECTOR; i++)
        model[i] = (uint8_t)rand();
    load_init(&load, disks[1], model);
}

static void close_disks(void)
{
    disks[0]->ops->close(disks[0]);
    CU_ASSERT_EQUAL(c.pci.nr_closed, 0);
    disks[1]->ops->close(disks[1]);
    CU_ASSERT_EQUAL(c.pci.nr_closed, 1);
    CU_ASSERT_EQUAL(c.cc, 0);
    load_exit(&load);
    plat_loop_free(loop);
    free(model);
}

static void all_well(unsigned int nr)
{
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_done, nr);
    CU_ASSERT_EQUAL(load.nr_errors, 0);
    CU_ASSERT_EQUAL(load.nr_wrong, 0);
}

static void mixed(unsigned int nr)
{
    unsigned int begun = 0;

    load.read_back = true;
    while (begun < nr) {
        while (load_begin(&load, rand() % 2 ? DISK_READ : DISK_WRITE))
            begun++;
        for (unsigned int n = 1 + (unsigned int)rand() % 20; n && nr_held; n--)
            serve_one((unsigned int)rand() % nr_held);
        settle();
    }
    serve_all();
    all_well(begun);
}

static void test_requests_of_all_shapes(void)
{
    controller_new();
    open_disks();
    CU_ASSERT_STRING_EQUAL(names[0], "nvme3n1");
    CU_ASSERT_STRING_EQUAL(names[1], "nvme3n7");
    CU_ASSERT_EQUAL(disks[1]->nr_sectors, NR_SECTORS);
    mixed(1200);
    CU_ASSERT(most_held > 30);
    close_disks();
}

static void test_blocks_of_4096_bytes(void)
{
    controller_new();
    c.lbads = 12;
    open_disks();
    CU_ASSERT_EQUAL(disks[1]->sector_bytes, 4096);
    mixed(400);
    close_disks();
}

static void test_one_queue_with_one_message_and_two_entries(void)
{
    controller_new();
    c.pci.nr_messages = 1;
    c.pci.has_msix = false;
    c.cap = (c.cap & ~0xffffUL) | 1;
    open_disks();
    mixed(200);
    CU_ASSERT_EQUAL(most_held, 1);
    close_disks();
}

static void test_what_is_written_is_read(void)
{
    controller_new();
    open_disks();
    for (unsigned int i = 0; i < 40; i++)
        load_begin_at(&load, DISK_WRITE, i * 400, 400);
    serve_all();
    all_well(40);
    for (unsigned int i = 0; i < 40; i++) /* the slot's memory still has it */
        CU_ASSERT_EQUAL(memcmp(load.slots[i].data,
                               model + load.slots[i].request.sector * DISK_SECTOR,
                               400 * DISK_SECTOR),
                        0);
    close_disks();
}

static void test_flush_and_discard(void)
{
    controller_new();
    c.lbads = 12;
    open_disks();
    CU_ASSERT(disks[1]->flush && disks[1]->discard);
    load_begin_at(&load, DISK_FLUSH, 0, 0);
    load_begin_at(&load, DISK_DISCARD, 16, 4800);
    serve_all();
    all_well(2);
    CU_ASSERT_EQUAL(nr_flushes, 1);
    CU_ASSERT_EQUAL(nr_discarded, 4800);
    close_disks();
}

static void test_errors_are_told(void)
{
    controller_new();
    open_disks();
    load_begin_at(&load, DISK_READ, 0, 8);
    next_status = 0x281; /* media: unrecovered read error */
    serve_all();
    CU_ASSERT_EQUAL(load.last_error, EIO);
    load_begin_at(&load, DISK_DISCARD, 0, 8);
    next_status = 0x4001; /* do not retry; invalid opcode */
    serve_all();
    CU_ASSERT_EQUAL(load.last_error, EOPNOTSUPP);
    load_begin_at(&load, DISK_READ, 0, 400); /* of its parts one fails */
    next_status = 0x80;
    serve_all();
    CU_ASSERT_EQUAL(load.nr_errors, 3);
    CU_ASSERT_EQUAL(load.nr_done, 3);
    close_disks();
}

/* ---- one disk has more to do than the controller has room for ---- */

enum { NR_GREEDY = 300 };
static struct disk_request greedy[NR_GREEDY];
static bool is_greedy;

static void again(struct disk_request *r, int error)
{
    CU_ASSERT_EQUAL(error, 0);
    if (is_greedy)
        disks[0]->ops->submit(disks[0], r);
}

static void test_a_disk_does_not_starve_another(void)
{
    static _Alignas(4096) uint8_t data[DISK_SECTOR];
    static const struct disk_segment segment = { data, sizeof(data) };

    controller_new();
    open_disks();
    is_greedy = true;
    for (unsigned int i = 0; i < NR_GREEDY; i++) {
        greedy[i] = (struct disk_request){
            .op = DISK_READ, .segments = &segment, .nr_segments = 1, .done = again
        };
        disks[0]->ops->submit(disks[0], &greedy[i]);
    }
    CU_ASSERT(nr_held < NR_GREEDY);
    load_begin_at(&load, DISK_READ, 0, 8);
    for (unsigned int i = 0; i < 4 * NR_GREEDY; i++) {
        serve_one((unsigned int)rand() % nr_held);
        settle();
    }
    all_well(1);
    is_greedy = false;
    serve_all();
    close_disks();
}

/* ---- what goes wrong ---- */

#define S 1000000000UL

static void test_overdue_commands_reset_the_controller(void)
{
    controller_new();
    open_disks();
    while (load_begin_at(&load, DISK_READ, 0, 400)) /* more than it takes at once */
        ;
    CU_ASSERT_EQUAL(c.nr_enabled, 1);
    settle_for(29 * S);
    CU_ASSERT_EQUAL(load.nr_busy, LOAD_SLOTS);
    settle_for(7 * S);
    CU_ASSERT_EQUAL(c.nr_enabled, 2);
    CU_ASSERT_EQUAL(load.nr_busy, LOAD_SLOTS); /* it has begun again with them */
    load.read_back = true;
    serve_all();
    all_well(LOAD_SLOTS);
    while (load_begin_at(&load, DISK_READ, 0, 400)) /* once: then those fail that it had twice */
        ;
    settle_for(72 * S);
    CU_ASSERT_EQUAL(c.nr_enabled, 4);
    CU_ASSERT(load.nr_errors > 0 && load.nr_errors == load.nr_done - LOAD_SLOTS);
    CU_ASSERT_EQUAL(load.last_error, EIO);
    CU_ASSERT(load_begin_at(&load, DISK_READ, 0, 8)); /* it goes on */
    load.nr_errors = 0;
    serve_all();
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_errors, 0);
    close_disks();
}

static unsigned int nr_discard_errors;

static void on_discarded(struct disk_request *r, int error) { nr_discard_errors += error == EIO; }

/* A DISCARD of one disk takes too long: the other one's users see nothing of that. */
static void test_a_discard_of_the_other_disk_is_overdue(void)
{
    struct disk_request discard = { .op = DISK_DISCARD, .nr_sectors = 8, .done = on_discarded };
    unsigned int nr;

    controller_new();
    open_disks();
    nr_discard_errors = 0;
    disks[0]->ops->submit(disks[0], &discard); /* held[0], which nobody serves */
    load_begin_at(&load, DISK_FLUSH, 0, 0);
    for (nr = 1; load_begin_at(&load, nr % 2 ? DISK_WRITE : DISK_READ, nr * 400, 400); nr++)
        ;
    for (unsigned int i = 0; i < 100; i++) { /* some are done, some in part */
        unsigned int j = 1 + (unsigned int)rand() % (nr_held - 1);

        if (held[j].e.opcode == 0) /* the FLUSH */
            continue;
        serve_one(j);
        settle();
    }
    CU_ASSERT(load.nr_busy > 0);
    settle_for(36 * S);
    CU_ASSERT_EQUAL(c.nr_enabled, 2);
    CU_ASSERT_EQUAL(nr_discard_errors, 1);
    serve_all();
    all_well(nr);
    CU_ASSERT_EQUAL(nr_discard_errors, 1);
    CU_ASSERT_EQUAL(nr_flushes, 1);
    for (unsigned int i = 1; i < nr; i++)
        CU_ASSERT_EQUAL(memcmp(load.slots[i].data, model + i * 400 * DISK_SECTOR,
                               400 * DISK_SECTOR),
                        0);
    close_disks();
}

static void all_dead(void)
{
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    CU_ASSERT_EQUAL(load.nr_errors, load.nr_done);
    CU_ASSERT_EQUAL(load.last_error, EIO);
    CU_ASSERT(!c.pci.master);
    CU_ASSERT_EQUAL(c.cc, 0);
    load_begin_at(&load, DISK_WRITE, 0, 8);
    CU_ASSERT_EQUAL(load.nr_busy, 0);
    close_disks();
}

/* It comes back each time, and never does anything. */
static void test_a_controller_that_is_overdue_again_and_again(void)
{
    controller_new();
    open_disks();
    for (unsigned int i = 1; i <= 5; i++) {
        load_begin_at(&load, DISK_DISCARD, 0, 8); /* which does not begin again */
        settle_for(36 * S);
        CU_ASSERT_EQUAL(load.nr_errors, i);
        CU_ASSERT_EQUAL(c.nr_enabled, 1 + i);
    }
    while (load_begin_at(&load, DISK_READ, 0, 400)) /* those that wait as well */
        ;
    settle_for(36 * S);
    CU_ASSERT_EQUAL(c.nr_enabled, 6);
    all_dead();
}

static void test_a_controller_that_is_seldom_overdue(void)
{
    controller_new();
    open_disks();
    for (unsigned int i = 1; i <= 8; i++) {
        load_begin_at(&load, DISK_DISCARD, 0, 8);
        settle_for(700 * S);
        CU_ASSERT_EQUAL(c.nr_enabled, 1 + i);
    }
    load.nr_errors = 0;
    load_begin_at(&load, DISK_READ, 0, 8);
    serve_all();
    CU_ASSERT_EQUAL(load.nr_errors, 0);
    close_disks();
}

static void test_a_controller_that_does_not_come_back(void)
{
    controller_new();
    c.stays_down = true;
    open_disks();
    while (load_begin_at(&load, DISK_READ, 0, 400))
        ;
    settle_for(40 * S);
    all_dead();
}

static void test_a_controller_that_fails_by_itself(void)
{
    controller_new();
    c.stays_down = true;
    open_disks();
    load_begin_at(&load, DISK_READ, 0, 8);
    c.csts |= 2;
    settle_for(6 * S);
    all_dead();
}

static void test_a_lie_ends_it(void)
{
    for (unsigned int lie = 0; lie < 3; lie++) {
        controller_new();
        open_disks();
        for (unsigned int i = 0; i < 6; i++)
            load_begin_at(&load, DISK_READ, i * 9, 9);
        switch (lie) {
        case 0: post(1, 64, 0, 0); break; /* no such number */
        case 1: post(1, 0xffff, 0, 0); break;
        case 2: post(1, 62, 0, 0); break; /* it is free */
        }
        settle();
        CU_ASSERT_EQUAL(load.nr_errors, 6);
        all_dead();
    }
}

static void test_a_command_is_done_twice(void)
{
    controller_new();
    open_disks();
    for (unsigned int i = 0; i < 6; i++)
        load_begin_at(&load, DISK_READ, i * 9, 9);
    post(held[0].queue, held[0].e.id, serve(&held[0].e), 0);
    post(held[0].queue, held[0].e.id, 0, 0);
    settle();
    CU_ASSERT_EQUAL(load.nr_done, 6);
    CU_ASSERT_EQUAL(load.nr_errors, 5);
    load.nr_errors++;
    all_dead();
}

/* ---- controllers that are not taken ---- */

static void refused(int rc, int error)
{
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_EQUAL(nvme_open(loop, c.pci.bdf, "nvme0", on_found, NULL), rc);
    if (rc < 0)
        CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_EQUAL(c.pci.nr_closed, c.pci.nr_opened);
    plat_loop_free(loop);
}

#define REFUSED(rc, error, ...) \
    do {                        \
        controller_new();       \
        __VA_ARGS__;            \
        refused(rc, error);     \
    } while (0)

static void test_controllers_that_are_not_taken(void)
{
    nr_disks = 0;
    REFUSED(-1, EIO, c.never_ready = true);
    REFUSED(-1, EIO, c.fails_admin = true);
    REFUSED(-1, EIO, c.other_id = true);
    REFUSED(-1, ENOTSUP, c.cap |= 1UL << 48);    /* its pages are larger */
    REFUSED(-1, ENOTSUP, c.cap &= ~(1UL << 37)); /* other commands */
    REFUSED(-1, ENOTSUP, c.pci.nr_messages = 0);
    REFUSED(-1, EINVAL, c.pci.bar_bytes[0] = 0x1000);
    REFUSED(-1, ENOTSUP, c.pci.bar_bytes[0] = 0);
    REFUSED(0, 0, c.lbads = 14);
    REFUSED(0, 0, c.metadata = 8);
    REFUSED(0, 0, memset(c.namespaces, 0, sizeof(c.namespaces)));
    CU_ASSERT_EQUAL(nr_disks, 0);
}

static void test_a_lack_of_memory(void)
{
    unsigned int n = 0;
    bool failed = true;

    while (failed) {
        int rc;

        controller_new();
        nr_disks = 0;
        loop = plat_loop_new();
        fake_pci_fail_at(++n);
        rc = nvme_open(loop, c.pci.bdf, "nvme0", on_found, NULL);
        failed = fake_pci_fail_at(0);
        CU_ASSERT_EQUAL(rc, failed ? -1 : 2);
        CU_ASSERT_EQUAL(nr_disks, failed ? 0 : 2);
        for (int i = 0; i < nr_disks; i++)
            disks[i]->ops->close(disks[i]);
        CU_ASSERT_EQUAL(c.pci.nr_closed, c.pci.nr_opened);
        plat_loop_free(loop);
    }
    CU_ASSERT(n > 15);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "requests of all shapes", test_requests_of_all_shapes },
        { "blocks of 4096 bytes", test_blocks_of_4096_bytes },
        { "one message, two entries", test_one_queue_with_one_message_and_two_entries },
        { "what is written is read", test_what_is_written_is_read },
        { "flush and discard", test_flush_and_discard },
        { "errors are told", test_errors_are_told },
        { "a disk does not starve another", test_a_disk_does_not_starve_another },
        { "overdue commands reset the controller", test_overdue_commands_reset_the_controller },
        { "a discard of the other disk", test_a_discard_of_the_other_disk_is_overdue },
        { "overdue again and again", test_a_controller_that_is_overdue_again_and_again },
        { "seldom overdue", test_a_controller_that_is_seldom_overdue },
        { "a controller that does not come back", test_a_controller_that_does_not_come_back },
        { "a controller that fails by itself", test_a_controller_that_fails_by_itself },
        { "a lie ends it", test_a_lie_ends_it },
        { "a command is done twice", test_a_command_is_done_twice },
        { "controllers that are not taken", test_controllers_that_are_not_taken },
        { "a lack of memory", test_a_lack_of_memory },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "nvme", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
