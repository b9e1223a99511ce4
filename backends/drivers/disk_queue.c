#include "drivers/disk_queue.h"

#include <errno.h>
#include <stdlib.h>

#include <platform.h>

/* A request of which at least a part has begun. */
struct disk_job {
    struct disk_job *next; /* of those that are free */
    struct disk_request *request;
    unsigned int nr_begun; /* commands that are not done */
    bool cut;              /* nothing is left to begin with */
    bool lost;             /* a command of it was, and it may begin again */
    int error;             /* the first */
};

/* ---- cutting ---- */

static uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Whether a piece may be behind another one, where only the first and the last may be less than their page. */
static bool joins(const struct piece *before, const uint8_t *data)
{
    return ((uintptr_t)before->data + before->bytes) % DISK_PAGE == 0 &&
           (uintptr_t)data % DISK_PAGE == 0;
}

/* A command is whole sectors of the disk. */
static unsigned int trim(struct piece *pieces, unsigned int nr, uint32_t excess)
{
    while (excess && nr) {
        uint32_t n = min(excess, pieces[nr - 1].bytes);

        pieces[nr - 1].bytes -= n;
        excess -= n;
        nr -= pieces[nr - 1].bytes == 0;
    }
    return nr;
}

/* The next pieces of a READ or WRITE, as many as go into one command. */
static unsigned int cut(const struct disk_queue *q, struct piece *pieces, uint32_t *bytes)
{
    const struct disk_request *r = q->first;
    const struct disk_limits *l = &q->limits;
    unsigned int nr = 0, segment = q->segment;
    uint32_t offset = q->offset, total = 0;

    while (nr < l->pieces && total < l->bytes && segment < r->nr_segments) {
        const struct disk_segment *s = &r->segments[segment];
        uint8_t *data = (uint8_t *)s->data + offset;
        uint32_t n =
            min(min(s->bytes - offset, DISK_PAGE - (uint32_t)((uintptr_t)data % DISK_PAGE)),
                min(l->piece_bytes, l->bytes - total));

        if (l->pages && nr && !joins(&pieces[nr - 1], data))
            break;
        pieces[nr++] = (struct piece){ data, n };
        total += n;
        offset += n;
        if (offset == s->bytes) {
            segment++;
            offset = 0;
        }
    }
    *bytes = total - total % q->disk.sector_bytes;
    return trim(pieces, nr, total % q->disk.sector_bytes);
}

static void move_on(struct disk_queue *q, uint64_t bytes)
{
    const struct disk_request *r = q->first;

    q->sector += bytes / DISK_SECTOR;
    while (bytes) {
        uint64_t left = r->segments[q->segment].bytes - q->offset;

        if (bytes < left) {
            q->offset += (uint32_t)bytes;
            return;
        }
        bytes -= left;
        q->segment++;
        q->offset = 0;
    }
}

/* ---- commands ---- */

/* Begin with the next part of the first request. False: there is no room. */
static bool begin_one(struct disk_queue *q)
{
    const struct disk_request *r = q->first;
    struct piece pieces[DISK_PIECES_MAX];
    struct disk_command *c = q->free;
    unsigned int nr = 0;
    uint32_t bytes = 0;

    if (c == NULL)
        return false;
    c->op = r->op;
    c->sector = q->sector;
    c->deadline_ns = plat_now() + DISK_TIMEOUT_S * DISK_NS_PER_S;
    if (r->op == DISK_READ || r->op == DISK_WRITE) {
        nr = cut(q, pieces, &bytes);
        c->nr_sectors = bytes / DISK_SECTOR;
    } else if (r->op == DISK_DISCARD) {
        uint64_t left = r->sector + r->nr_sectors - q->sector;

        c->nr_sectors =
            left < q->limits.discard_sectors ? (uint32_t)left : q->limits.discard_sectors;
    }
    if (!q->hw->start(q, c, pieces, nr))
        return false;
    q->free = c->next;
    c->job = q->head;
    c->job->nr_begun++;
    if (bytes)
        move_on(q, bytes);
    else
        q->sector += c->nr_sectors;
    return true;
}

/* Nothing of the first request is left. */
static bool is_cut(const struct disk_queue *q)
{
    const struct disk_request *r = q->first;

    switch (r->op) {
    case DISK_DISCARD: return q->sector == r->sector + r->nr_sectors;
    case DISK_FLUSH: return q->head->nr_begun != 0;
    default: return q->segment == r->nr_segments;
    }
}

static void head_open(struct disk_queue *q)
{
    struct disk_job *j = q->free_jobs; /* one for each command, and one more */

    q->free_jobs = j->next;
    *j = (struct disk_job){ .request = q->first };
    q->head = j;
    q->segment = 0;
    q->offset = 0;
    q->sector = q->first->sector;
}

static void wait_last(struct disk_queue *q, struct disk_request *r)
{
    r->next = NULL;
    if (q->first)
        q->last->next = r;
    else
        q->first = r;
    q->last = r;
}

static void job_end(struct disk_queue *q, struct disk_job *j)
{
    struct disk_request *r = j->request;
    int error = j->error;
    bool again = j->lost && error == 0;

    if (j->nr_begun || !j->cut)
        return;
    j->next = q->free_jobs;
    q->free_jobs = j;
    if (again) {
        r->again = true;
        wait_last(q, r);
    } else {
        r->done(r, error);
    }
}

/* The first request waits no more; perhaps all of it is done already, as it has failed. */
static void head_close(struct disk_queue *q)
{
    struct disk_job *j = q->head;

    q->first = q->first->next;
    q->head = NULL;
    j->cut = true;
    job_end(q, j);
}

/* Who is told that a request is done may submit the next one, in the middle of this. */
void disk_queue_go_on(struct disk_queue *q)
{
    bool any = false;

    while (q->first && !q->held && !q->dead) {
        if (q->head == NULL)
            head_open(q);
        if (q->head->error == 0) {
            if (!begin_one(q))
                break;
            any = true;
        }
        if (q->head->error || is_cut(q))
            head_close(q);
    }
    if (any)
        q->hw->kick(q);
}

void disk_queue_submit(struct disk *d, struct disk_request *r)
{
    struct disk_queue *q = (struct disk_queue *)d;

    if (q->dead) {
        r->done(r, EIO);
        return;
    }
    r->again = false;
    wait_last(q, r);
    if (q->first == r)
        disk_queue_go_on(q);
}

void disk_queue_done(struct disk_queue *q, struct disk_command *c, int error)
{
    struct disk_job *j = c->job;

    c->job = NULL;
    c->next = q->free;
    q->free = c;
    if (j->error == 0)
        j->error = error;
    j->nr_begun--;
    job_end(q, j);
}

/* ---- when all goes wrong ---- */

/*
 * A DISCARD may be what the device is too slow for, and so may what is lost for the second time: they would have it
 * reset again.
 */
static bool may_begin_again(const struct disk_request *r)
{
    return r->op != DISK_DISCARD && !r->again;
}

void disk_queue_lost(struct disk_queue *q, int error)
{
    bool held = q->held;

    q->held = true; /* what is submitted meanwhile waits: it is not among those that are lost */
    if (q->head && q->head->nr_begun)
        head_close(q); /* the rest of it is lost as well: it begins anew as a whole, or fails */
    for (unsigned int i = 0; i < q->nr_commands; i++) {
        struct disk_job *j = q->commands[i].job;

        if (j == NULL)
            continue;
        j->lost = may_begin_again(j->request);
        disk_queue_done(q, &q->commands[i], j->lost ? 0 : error);
    }
    q->held = held;
}

bool disk_queue_overdue(const struct disk_queue *q, bool *any)
{
    uint64_t now = plat_now();
    bool overdue = false;

    for (unsigned int i = 0; i < q->nr_commands; i++)
        if (q->commands[i].job) {
            *any = true;
            overdue |= q->commands[i].deadline_ns <= now;
        }
    return overdue;
}

bool disk_reset_again(struct disk_resets *r)
{
    uint64_t now = plat_now();

    if (now - r->last_ns > DISK_RESETS_S * DISK_NS_PER_S)
        r->nr = 0;
    r->last_ns = now;
    return r->nr++ < DISK_RESETS_MAX;
}

void disk_queue_hold(struct disk_queue *q, bool held)
{
    q->held = held;
    if (!held)
        disk_queue_go_on(q);
}

void disk_queue_die(struct disk_queue *q)
{
    disk_queue_lost(q, EIO); /* what would begin again waits, for the same end */
    q->dead = true;
    while (q->first) {
        if (q->head == NULL)
            head_open(q);
        if (q->head->error == 0)
            q->head->error = EIO;
        head_close(q);
    }
}

/* ---- life ---- */

/* Of what begins anywhere in a page, two pieces of it have a sector; smaller pieces, more. */
static bool makes_progress(const struct disk_queue *q)
{
    const struct disk_limits *l = &q->limits;
    uint32_t sector = q->disk.sector_bytes;

    return l->pieces && l->pieces <= DISK_PIECES_MAX && l->piece_bytes &&
           l->piece_bytes <= DISK_PAGE && l->piece_bytes % DISK_SECTOR == 0 &&
           (sector == 512 || sector == 4096) && l->bytes && l->bytes % sector == 0 &&
           (sector == DISK_SECTOR ||
            l->pieces > sector / l->piece_bytes + (sector % l->piece_bytes != 0)) &&
           (!q->disk.discard ||
            (l->discard_sectors && l->discard_sectors % (sector / DISK_SECTOR) == 0));
}

int disk_queue_init(struct disk_queue *q, unsigned int nr_commands)
{
    if (!makes_progress(q) || nr_commands == 0) {
        errno = EINVAL;
        return -1;
    }
    q->commands = calloc(nr_commands, sizeof(*q->commands));
    q->jobs = calloc(nr_commands + 1, sizeof(*q->jobs));
    if (q->commands == NULL || q->jobs == NULL) {
        disk_queue_exit(q);
        return -1;
    }
    q->nr_commands = nr_commands;
    for (unsigned int i = 0; i < nr_commands; i++)
        q->commands[i] = (struct disk_command){
            .owner = q, .nr = i, .next = i + 1 < nr_commands ? &q->commands[i + 1] : NULL
        };
    for (unsigned int i = 0; i < nr_commands; i++)
        q->jobs[i].next = &q->jobs[i + 1];
    q->free = q->commands;
    q->free_jobs = q->jobs;
    return 0;
}

void disk_queue_exit(struct disk_queue *q)
{
    free(q->commands);
    free(q->jobs);
    q->commands = NULL;
    q->jobs = NULL;
}
