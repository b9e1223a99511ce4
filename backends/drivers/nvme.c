/* The controller of NVMe disks: its registers, its admin queue, its life and death. See nvme.h. */
#include "drivers/nvme.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme_internal.h"

/* Registers. */
enum { CAP = 0, CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000 };
enum { CC_ENABLE = 1, CC_SHUTDOWN = 1 << 14, CC_ENTRIES = 6 << 16 | 4 << 20 };
enum { CSTS_READY = 1, CSTS_FATAL = 2, CSTS_SHUTDOWN = 3 << 2, CSTS_SHUT_DOWN = 2 << 2 };
#define CAP_ENTRIES(cap) ((unsigned int)((cap)&0xffff) + 1)
#define CAP_LIMIT_MS(cap) ((uint32_t)((cap) >> 24 & 0xff) * 500)
#define CAP_STRIDE(cap) (4u << ((cap) >> 32 & 0xf))
#define CAP_NVM(cap) ((cap) >> 37 & 1)
#define CAP_PAGE_MIN(cap) ((cap) >> 48 & 0xf) /* 0: 4096 bytes */

enum {
    ADMIN_CREATE_SQ = 1,
    ADMIN_CREATE_CQ = 5,
    ADMIN_IDENTIFY = 6,
    ADMIN_SET_FEATURES = 9,
    FEATURE_QUEUES = 7
};
enum { QUEUE_CONTIGUOUS = 1, QUEUE_MESSAGES = 2 };

/* Of Identify Controller. */
enum { ID_MDTS = 77, ID_ONCS = 520, ID_VWC = 525, ONCS_DATASET = 1 << 2, VWC_PRESENT = 1 };

enum { PAGE = 4096, ADMIN_LIMIT_MS = 10000, SHUTDOWN_LIMIT_MS = 5000 };

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- registers ---- */

static uint32_t in(const struct nvme *n, uint64_t reg) { return pci_in32(&n->registers, reg); }
static void out(const struct nvme *n, uint64_t reg, uint32_t value)
{
    pci_out32(&n->registers, reg, value);
}

static void out64(const struct nvme *n, uint64_t reg, uint64_t value)
{
    out(n, reg, (uint32_t)value);
    out(n, reg + 4, (uint32_t)(value >> 32));
}

/* Until these bits of the status are so. EIO: it takes too long, or the controller has failed. */
static int await_status(const struct nvme *n, uint32_t mask, uint32_t wanted, uint32_t limit_ms)
{
    for (uint32_t ms = 0;; ms++) {
        uint32_t status = in(n, CSTS);

        if (status == ~0u || (wanted && (status & CSTS_FATAL)))
            return failed(EIO);
        if ((status & mask) == wanted)
            return 0;
        if (ms >= limit_ms)
            return failed(EIO);
        pci_sleep_us(1000);
    }
}

static int disable(const struct nvme *n)
{
    out(n, CC, 0);
    return await_status(n, CSTS_READY, 0, n->limit_ms);
}

static int enable(struct nvme *n)
{
    nvme_queue_reset(&n->admin);
    out(n, AQA, (n->admin.size - 1) << 16 | (n->admin.size - 1));
    out64(n, ASQ, pci_dma_address((void *)n->admin.submission));
    out64(n, ACQ, pci_dma_address((void *)n->admin.completion));
    pci_master(n->pci, true);
    out(n, CC, CC_ENABLE | CC_ENTRIES);
    return await_status(n, CSTS_READY, CSTS_READY, n->limit_ms);
}

/* ---- admin commands: one at a time, waited for ---- */

static int admin(struct nvme *n, const struct nvme_command *c, uint32_t *result)
{
    uint16_t status = 0;
    bool done = false;

    if (nvme_queue_next(&n->admin) < 0)
        return failed(EIO);
    nvme_queue_add(&n->admin, c, n);
    nvme_queue_kick(&n->admin);
    for (uint32_t us = 0, step = 20; !done && us < ADMIN_LIMIT_MS * 1000; us += step) {
        done = nvme_queue_take(&n->admin, &status, result) != NULL;
        if (!done)
            pci_sleep_us(step);
    }
    if (!done)
        return failed(EIO);
    nvme_queue_taken(&n->admin);
    return status == 0 ? 0 : failed(EIO);
}

int nvme_identify(struct nvme *n, uint32_t what, uint32_t nsid)
{
    struct nvme_command c = {
        .opcode = ADMIN_IDENTIFY, .nsid = nsid, .prp1 = pci_dma_address(n->page), .dw10 = what
    };
    uint32_t unused;

    return admin(n, &c, &unused);
}

static int identify_controller(struct nvme *n)
{
    uint16_t commands;

    if (nvme_identify(n, NVME_IDENTIFY_CONTROLLER, 0))
        return -1;
    memcpy(&commands, n->page + ID_ONCS, sizeof(commands));
    n->has_discard = commands & ONCS_DATASET;
    n->has_cache = n->page[ID_VWC] & VWC_PRESENT;
    n->max_bytes =
        n->page[ID_MDTS] && n->page[ID_MDTS] < 20 ? (uint64_t)PAGE << n->page[ID_MDTS] : 0;
    return 0;
}

/* How many I/O queues it lets us have, of those that we want. */
static int ask_for_queues(struct nvme *n)
{
    struct nvme_command c = { .opcode = ADMIN_SET_FEATURES, .dw10 = FEATURE_QUEUES };
    uint32_t result, nr;

    c.dw11 = (n->nr_io - 1) << 16 | (n->nr_io - 1);
    if (admin(n, &c, &result))
        return -1;
    nr = (result & 0xffff) < result >> 16 ? (result & 0xffff) + 1 : (result >> 16) + 1;
    if (nr < n->nr_io)
        n->nr_io = nr;
    return 0;
}

/* Pair nr, whose number there is one more: 0 is the admin's. */
static int create_queue(struct nvme *n, unsigned int nr)
{
    struct nvme_queue *q = &n->io[nr].queue;
    uint32_t id = nr + 1, message = pci_nr_messages(n->pci) > 1 ? nr + 1 : 0, unused;
    struct nvme_command c = { .opcode = ADMIN_CREATE_CQ,
                              .prp1 = pci_dma_address((void *)q->completion),
                              .dw10 = (q->size - 1) << 16 | id,
                              .dw11 = message << 16 | QUEUE_MESSAGES | QUEUE_CONTIGUOUS };

    nvme_queue_reset(q);
    if (admin(n, &c, &unused))
        return -1;
    c.opcode = ADMIN_CREATE_SQ;
    c.prp1 = pci_dma_address((void *)q->submission);
    c.dw11 = id << 16 | QUEUE_CONTIGUOUS;
    return admin(n, &c, &unused);
}

/* ---- begin, and begin again ---- */

static int begin(struct nvme *n)
{
    if (disable(n) || enable(n) || identify_controller(n) || ask_for_queues(n))
        return -1;
    for (unsigned int i = 0; i < n->nr_io; i++)
        if (create_queue(n, i))
            return -1;
    return 0;
}

static void for_disks(struct nvme *n, void (*fn)(struct disk_queue *q))
{
    for (unsigned int i = 0; i < n->nr_disks; i++)
        if (n->disks[i])
            fn(&n->disks[i]->requests);
}

static void lost(struct disk_queue *q)
{
    disk_queue_hold(q, true);
    disk_queue_lost(q, EIO);
}

static void go_on(struct disk_queue *q) { disk_queue_hold(q, false); }

/* Whatever it says about being disabled: it has no way to memory from then on. */
static int stop(struct nvme *n)
{
    int rc;

    pci_master(n->pci, false); /* first: see release() of xen-like/kernel/pci.c */
    rc = disable(n);
    for_disks(n, lost);
    return rc;
}

static void die(struct nvme *n, const char *why)
{
    plat_log(PLAT_ERROR, "nvme: %s: its disks are dead", why);
    n->dead = true;
    stop(n);
    for_disks(n, disk_queue_die);
}

static void start_again(struct nvme *n, const char *why)
{
    unsigned int nr_io = n->nr_io;

    if (!disk_reset_again(&n->resets)) {
        die(n, "it was reset again and again");
        return;
    }
    plat_log(PLAT_ERROR, "nvme: %s: the controller is reset", why);
    if (stop(n) || begin(n) || n->nr_io != nr_io)
        die(n, "the controller does not come back");
    else
        for_disks(n, go_on);
}

/* ---- what happens ---- */

/* There is room again, which they share: each time another one is the first, as one may have enough to fill all of it. */
static void disks_go_on(struct nvme *n)
{
    n->first_disk++;
    for (unsigned int i = 0; i < n->nr_disks; i++) {
        struct nvme_disk *nd = n->disks[(n->first_disk + i) % n->nr_disks];

        if (nd)
            disk_queue_go_on(&nd->requests);
    }
}

static void on_io(void *arg)
{
    struct nvme_io *io = arg;
    struct nvme *n = io->n;

    if (n->dead)
        return;
    if (nvme_disk_completions(&io->queue, NVME_QUEUE_SIZE))
        plat_wake(&io->wake);
    disks_go_on(n);
    if (io->queue.broken)
        die(n, "the controller breaks the rules");
}

/* Whether one is overdue; whether there are any. */
static bool look(const struct nvme *n, bool *any)
{
    bool overdue = false;

    for (unsigned int i = 0; i < n->nr_disks; i++)
        if (n->disks[i])
            overdue |= disk_queue_overdue(&n->disks[i]->requests, any);
    return overdue;
}

static void on_timer(void *arg)
{
    struct nvme *n = arg;
    bool any = false;

    if (n->dead)
        return;
    if (look(n, &any))
        start_again(n, "a command is overdue");
    else if (in(n, CSTS) & CSTS_FATAL) /* all ones, too: it was pulled */
        start_again(n, "it has failed");
    else if (any)
        nvme_watch(n);
}

void nvme_watch(struct nvme *n)
{
    if (n->timer.loop == NULL)
        plat_timer_set(n->loop, &n->timer, plat_now() + DISK_WATCH_S * DISK_NS_PER_S);
}

/* ---- life ---- */

static int doorbells(struct nvme *n, struct nvme_queue *q, unsigned int id)
{
    q->stride = n->stride;
    return pci_map(n->pci, 0, DOORBELLS + (uint64_t)id * 2 * n->stride, 2 * n->stride,
                   &q->doorbells);
}

static int open_registers(struct nvme *n)
{
    if (pci_map(n->pci, 0, 0, DOORBELLS, &n->registers))
        return -1;
    pci_stop_by(n->pci, &n->registers, CC, 4, 0);
    n->cap = in(n, CAP) | (uint64_t)in(n, CAP + 4) << 32;
    n->limit_ms = CAP_LIMIT_MS(n->cap) + 500;
    n->stride = CAP_STRIDE(n->cap);
    if (!CAP_NVM(n->cap) || CAP_PAGE_MIN(n->cap) || pci_nr_messages(n->pci) == 0)
        return failed(ENOTSUP);
    return doorbells(n, &n->admin, 0);
}

/* As many as there are messages for; one of the first is the admin queue's, if there are several. */
static int open_queues(struct nvme *n)
{
    unsigned int messages = pci_nr_messages(n->pci), size = CAP_ENTRIES(n->cap);

    if (size > NVME_QUEUE_SIZE)
        size = NVME_QUEUE_SIZE;
    n->page = pci_dma_alloc(n->pci, 1);
    if (size < 2 || n->page == NULL || nvme_queue_init(&n->admin, n->pci, size))
        return -1;
    n->nr_io = messages > NVME_MAX_QUEUES ? NVME_MAX_QUEUES : messages > 1 ? messages - 1 : 1;
    for (unsigned int i = 0; i < n->nr_io; i++)
        if (doorbells(n, &n->io[i].queue, i + 1) ||
            nvme_queue_init(&n->io[i].queue, n->pci, size) ||
            pci_bind(n->pci, messages > 1 ? i + 1 : 0, &n->io[i].wake))
            return -1;
    return begin(n);
}

static int open_disks(struct nvme *n)
{
    uint32_t ids[NVME_MAX_NAMESPACES];

    if (nvme_identify(n, NVME_IDENTIFY_ACTIVE, 0))
        return -1;
    memcpy(ids, n->page, sizeof(ids)); /* in order, zeroes behind */
    for (unsigned int i = 0; i < NVME_MAX_NAMESPACES && ids[i]; i++) {
        struct nvme_disk *nd;

        if (nvme_identify(n, NVME_IDENTIFY_NAMESPACE, ids[i]))
            return -1;
        nd = nvme_disk_new(n, ids[i]);
        if (nd)
            n->disks[n->nr_disks++] = nd;
        else
            plat_log(PLAT_WARNING, "nvme: namespace %u cannot be used: %s", ids[i],
                     strerror(errno));
    }
    return 0;
}

static void close_controller(struct nvme *n)
{
    if (n->registers.bytes && !n->dead && (in(n, CSTS) & CSTS_READY)) {
        out(n, CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
        await_status(n, CSTS_SHUTDOWN, CSTS_SHUT_DOWN, SHUTDOWN_LIMIT_MS);
    }
    plat_timer_cancel(&n->timer);
    pci_close(n->pci);
    for (unsigned int i = 0; i < NVME_MAX_QUEUES; i++)
        plat_wake_remove(&n->io[i].wake);
    free(n);
}

void nvme_put(struct nvme *n)
{
    if (--n->nr_open == 0)
        close_controller(n);
}

static struct nvme *nvme_new(struct plat_loop *l, struct pci_device *pci)
{
    struct nvme *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return NULL;
    n->pci = pci;
    n->loop = l;
    n->timer.fn = on_timer;
    n->timer.arg = n;
    for (unsigned int i = 0; i < NVME_MAX_QUEUES; i++) {
        n->io[i].n = n;
        n->io[i].wake = (struct plat_wake){ .fn = on_io, .arg = &n->io[i] };
        plat_wake_add(l, &n->io[i].wake);
    }
    return n;
}

/* All that was made, at once; the controller goes with the last, or at once if there are none. */
static void close_all(struct nvme *n)
{
    n->nr_open = 1 + n->nr_disks;
    for (unsigned int i = 0; i < n->nr_disks; i++)
        n->disks[i]->requests.disk.ops->close(&n->disks[i]->requests.disk);
    nvme_put(n);
}

int nvme_open(struct plat_loop *l, uint16_t bdf, const char *name,
              void (*found)(void *arg, const char *name, struct disk *d), void *arg)
{
    struct pci_device *pci = pci_open(bdf);
    struct nvme *n = pci ? nvme_new(l, pci) : NULL;
    int error, nr;
    char disk[32];

    if (pci == NULL)
        return -1;
    if (n == NULL) {
        pci_close(pci);
        return failed(ENOMEM);
    }
    if (open_registers(n) || open_queues(n) || open_disks(n)) {
        error = errno;
        close_all(n);
        return failed(error);
    }
    n->nr_open = n->nr_disks;
    nr = (int)n->nr_disks;
    if (nr == 0)
        close_all(n);
    for (int i = 0; i < nr; i++) { /* whoever gets the last one may close it */
        snprintf(disk, sizeof(disk), "%sn%u", name, n->disks[i]->nsid);
        found(arg, disk, &n->disks[i]->requests.disk);
    }
    return nr;
}
