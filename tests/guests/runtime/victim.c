/*
 * A guest of whose devices one is served by an enemy (rt_enemy_back), and its first disk by an honest backend. That
 * disk is written and read without a pause. The enemy's device is begun anew each time it has ended, until the enemy
 * has done; then nothing may be missing: as many grants, ports and pages as when it had ended for the first time.
 *
 * Kernel command line: enemy=vbd|vif|console.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/grant.h>
#include <rt/verdict.h>
#include <xen/io/xenbus.h>

#include "counters.h"
#include "enemy/enemy.h"
#include "enemy/victim.h"
#include "store_ring.h"

enum { HONEST = 51712, JOBS = 8, SECTORS = 32, BYTES = SECTORS * 512, LOOK_MS = 10 };
enum { STILL_LOOKS = 6000, RESERVED = 8, ENTRIES = 4096 / sizeof(struct grant_entry_v1) };

static const struct victim_class *const classes[] = { &victim_block, &victim_network,
                                                      &victim_console };
static const struct victim_class *class;
static struct plat_loop *loop;
static struct plat_timer timer;
static struct enemy device; /* its folders in the store */

/* ---- the honest disk ---- */

static struct blkfront_disk *disk;
static struct job {
    struct blkfront_request request;
    uint8_t data[BYTES];
    unsigned int seed;
} jobs[JOBS];
static unsigned int nr_verified;

static uint8_t byte_at(const struct job *j, unsigned int i)
{
    return (uint8_t)(i * 3 + i / 512 + j->seed);
}

static void write_anew(struct job *j)
{
    unsigned int regions = (unsigned int)(disk->nr_sectors / SECTORS / JOBS);

    j->seed += 5;
    j->request.op = BLKFRONT_WRITE;
    j->request.sector = ((uint64_t)(j - jobs) * regions + j->seed % regions) * SECTORS;
    for (unsigned int i = 0; i < BYTES; i++)
        j->data[i] = byte_at(j, i);
    blkfront_submit(disk, &j->request);
}

/* What was written is read again. */
static void on_done(struct blkfront_request *r, int error)
{
    struct job *j = (struct job *)r;

    if (error)
        verdict_failure("the honest disk: %s", strerror(error));
    if (r->op == BLKFRONT_WRITE) {
        memset(j->data, 0, BYTES);
        r->op = BLKFRONT_READ;
        blkfront_submit(disk, r);
        return;
    }
    for (unsigned int i = 0; i < BYTES; i++)
        if (j->data[i] != byte_at(j, i))
            verdict_failure("sector %lu is not as it was written", (unsigned long)r->sector);
    nr_verified++;
    write_anew(j);
}

static void ready(void *arg, struct blkfront_disk *d)
{
    (void)arg;
    if (d->id != HONEST) {
        victim_block_ready(d);
        return;
    }
    if (disk)
        return; /* its backend says once more that it is there */
    disk = d;
    for (struct job *j = jobs; j < jobs + JOBS; j++) {
        j->request =
            (struct blkfront_request){ .nr_sectors = SECTORS, .data = j->data, .done = on_done };
        write_anew(j);
    }
}

static void gone(void *arg, struct blkfront_disk *d)
{
    (void)arg;
    if (d->id == HONEST)
        verdict_failure("the honest disk is gone");
    victim_block_gone();
}

/* ---- the enemy's device ---- */

static unsigned int nr_begun;

static unsigned int nr_grants(void)
{
    uint32_t frames = 0, max;
    unsigned int n = 0;

    CHECK_EQ(grant_table_size(&frames, &max), 0);
    for (grant_ref_t ref = RESERVED; ref < frames * ENTRIES; ref++)
        n += enemy_entry(ref)->flags != 0;
    return n;
}

/* Once more it is asked for, as the toolstack would, who has it made. */
static void begin_anew(unsigned int *grants, struct counters *before)
{
    static unsigned int verified;

    if (nr_verified == verified && verified)
        return; /* the other disk has its turn, too */
    verified = nr_verified;
    if (*grants == 0) {
        *grants = nr_grants();
        *before = count();
        printf("%u grants, %u ports, %zu pages\n", *grants, before->ports, before->pages);
    }
    nr_begun++;
    enemy_put(&device, "state", "%d", XenbusStateInitialising);
}

static void finish(unsigned int grants, const struct counters *before)
{
    struct counters now = count();

    CHECK_EQ(nr_grants(), grants);
    CHECK_EQ(now.ports, before->ports);
    CHECK_EQ(now.pages, before->pages);
    CHECK(class->nr_good() > 0);
    printf("%u times begun anew, %u times verified, %u answers were good\n", nr_begun, nr_verified,
           class->nr_good());
    plat_loop_stop(loop);
}

static long our_state(void)
{
    char path[128], *text;
    long state;

    snprintf(path, sizeof(path), "%s/state", device.ours);
    text = xs_read(device.xs, XBT_NULL, path, NULL);
    state = text ? atol(text) : -1;
    free(text);
    return state;
}

/* An honest disk that stands still is not served as before. And an enemy that does nothing has ended. */
static void watch(void)
{
    static unsigned int verified, begun, disk_looks, enemy_looks;

    disk_looks = verified == nr_verified ? disk_looks + 1 : 0;
    verified = nr_verified;
    if (disk_looks > STILL_LOOKS)
        verdict_failure("the honest disk stands still");
    enemy_looks = begun == nr_begun ? enemy_looks + 1 : 0;
    begun = nr_begun;
    if (enemy_looks > STILL_LOOKS)
        verdict_error("nothing comes from the enemy");
}

static void look(void *arg)
{
    static unsigned int grants;
    static struct counters before;

    (void)arg;
    watch();
    class->use();
    if (our_state() == XenbusStateClosed && disk) {
        if (!class->is_idle())
            verdict_failure("the device has ended, and something of it goes on");
        if (enemy_get(&device, "done") == 1) {
            finish(grants, &before);
            return;
        }
        if (enemy_get(&device, "state") == XenbusStateInitialising)
            begin_anew(&grants, &before);
    }
    plat_timer_set(loop, &timer, plat_now() + LOOK_MS * 1000000ull);
}

/* ---- the kernel ---- */

int main(int argc, char **argv)
{
    static const struct blkfront_user user = { .ready = ready, .gone = gone };
    struct enemy_arguments a = { .rounds = 0 };

    enemy_arguments(&device, argc, argv, &a);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strcmp(classes[i]->type, a.type) == 0)
            class = classes[i];
    if (class == NULL)
        verdict_error("enemy=%s: no such class", a.type);
    loop = plat_loop_new();
    device.xs = loop && store_ring_start() == 0 ? xs_open(0) : NULL;
    if (device.xs == NULL || blkfront_start(loop, &user) == NULL ||
        (class->start && !class->start(loop)))
        verdict_error("it does not start: %s", strerror(errno));
    snprintf(device.ours, sizeof(device.ours), "device/%s/%u", class->type, class->device);
    enemy_find_other(&device, "backend", "backend-id");
    timer.fn = look;
    look(NULL);
    plat_loop_run(loop);
    return verdict();
}
