/* A disk that the enemy serves: all that is asked of it ends, once, and nothing is written where it must not be. */
#include <errno.h>
#include <string.h>

#include <rt/verdict.h>

#include "victim.h"

enum { JOBS = 40, GUARD = 64, GUARDED = 0x5a, SECTOR = 512 };

static struct blkfront_disk *disk;
static struct job {
    struct blkfront_request request;
    uint8_t data[BLKFRONT_MAX_BYTES], guard[GUARD];
    bool runs;
} jobs[JOBS];
static unsigned int nr_running, nr_right, next;

static unsigned int any(unsigned int below)
{
    next = next * 1103515245u + 12345;
    return (next >> 16) % below;
}

/* As far as it was asked for: what lies behind it is as it was. */
static void look_at(const struct job *j, int error)
{
    uint64_t bytes =
        j->request.op == BLKFRONT_READ && error == 0 ? j->request.nr_sectors * SECTOR : 0;
    bool right = bytes > 0;

    for (uint64_t i = 0; i < bytes; i++)
        right = right && j->data[i] == (uint8_t)((j->request.sector + i / SECTOR) * 7 + 1);
    nr_right += right;
    if (j->request.op != BLKFRONT_READ)
        return;
    for (uint64_t i = bytes; i < sizeof(j->data) + GUARD; i++)
        if (((const uint8_t *)j->data)[i] != GUARDED)
            verdict_failure("byte %lu of a request of %lu is written", (unsigned long)i,
                            (unsigned long)bytes);
}

static void on_done(struct blkfront_request *r, int error)
{
    struct job *j = (struct job *)r;

    if (!j->runs)
        verdict_failure("a request has ended twice");
    j->runs = false;
    nr_running--;
    look_at(j, error);
}

static void use(void)
{
    for (struct job *j = jobs; j < jobs + JOBS && disk; j++) {
        uint64_t nr = 1 + any(BLKFRONT_MAX_BYTES / SECTOR), unit = disk->sector_bytes / SECTOR;
        unsigned int kind = any(10);

        if (j->runs)
            continue;
        j->request = (struct blkfront_request){ .op = kind < 6   ? BLKFRONT_READ
                                                      : kind < 8 ? BLKFRONT_WRITE
                                                      : kind < 9 ? BLKFRONT_FLUSH
                                                                 : BLKFRONT_DISCARD,
                                                .sector = any(1900) / unit * unit,
                                                .nr_sectors = (nr + unit - 1) / unit * unit,
                                                .data = j->data,
                                                .done = on_done };
        memset(j->data, GUARDED, sizeof(j->data) + GUARD);
        j->runs = true;
        nr_running++;
        blkfront_submit(disk, &j->request);
    }
}

void victim_block_ready(struct blkfront_disk *d) { disk = d; }

void victim_block_gone(void)
{
    if (disk == NULL)
        verdict_failure("a disk has gone twice");
    disk = NULL;
}

static bool is_idle(void) { return nr_running == 0 && disk == NULL; }
static unsigned int nr_good(void) { return nr_right; }

const struct victim_class victim_block = {
    .type = "vbd", .device = 51728, .use = use, .is_idle = is_idle, .nr_good = nr_good
};
