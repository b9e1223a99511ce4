/*
 * A hostile backend: a guest that serves a device of another guest (rt_victim) as it should not, by rings, grants and
 * the store. The frontend may refuse it or leave it; what it may not do is to end, or not to let go of its device when
 * the backend has.
 *
 * Kernel command line: enemy=vbd|vif|console, seed=N (printed; else by the clock), rounds=N connections. The first
 * connection and the last one are honest. Its device is the first that the toolstack gives it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/event.h>
#include <rt/grant.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include "enemy/back.h"
#include "store_ring.h"

enum { MAPS = 600, ACTS = 20, WAIT_MS = 60000, LOOK_US = 10000, SERVED = 40, TRIES = 48 };
#define IN(state) (1u << XenbusState##state)
#define READY (IN(Initialised) | IN(Connected))
#define LEFT (IN(Closing) | IN(Closed))

static const struct back_class *const classes[] = { &back_block, &back_network, &back_console };
static const struct back_class *class;
static struct enemy enemy;
static struct map {
    uint8_t *va;
    grant_handle_t handle;
} maps[MAPS];
static unsigned int nr_maps, nr_foreign;
static unsigned int nr_refused, nr_connected, nr_thrown_out, nr_kept;
static uint8_t *bounce;

/* ---- their pages ---- */

uint8_t *back_map(struct enemy *e, grant_ref_t ref)
{
    struct map m;

    if (nr_maps == MAPS)
        return NULL;
    m.va = grants_map(e->other, &ref, 1, false, &m.handle);
    if (m.va)
        maps[nr_maps++] = m;
    return m.va;
}

uint8_t *back_map_node(struct enemy *e, const char *node)
{
    long ref = enemy_get(e, node);

    return ref >= 0 ? back_map(e, (grant_ref_t)ref) : NULL;
}

bool back_bind_node(struct enemy *e, const char *node)
{
    long theirs = enemy_get(e, node);
    int port = theirs < 0
                   ? -1
                   : event_bind_interdomain(e->other, (unsigned int)theirs, enemy_on_event, NULL);

    if (port >= 0)
        enemy_add_port(port);
    return port >= 0;
}

bool back_write(struct enemy *e, grant_ref_t ref, uint16_t offset, const void *bytes, uint16_t len)
{
    memcpy(bounce, bytes, len);
    return grant_copy_to(e->other, ref, offset, virt_to_mfn(bounce), 0, len) == 0;
}

bool back_read(struct enemy *e, grant_ref_t ref, uint16_t offset, void *bytes, uint16_t len)
{
    if (grant_copy_from(e->other, ref, offset, virt_to_mfn(bounce), 0, len))
        return false;
    memcpy(bytes, bounce, len);
    return true;
}

uint8_t *back_any_page(struct enemy *e)
{
    return nr_maps ? maps[enemy_random(e, nr_maps)].va : NULL;
}

static void release(void)
{
    while (nr_maps) {
        nr_maps--;
        CHECK_EQ(grants_unmap(maps[nr_maps].va, &maps[nr_maps].handle, 1), 0);
    }
}

/* References that nobody has told us of: some are of pages that are granted to us, others are not. */
static void guess(struct enemy *e)
{
    for (unsigned int i = 0; i < TRIES; i++)
        nr_foreign +=
            back_map(e, (grant_ref_t)(enemy_once_in(e, 8) ? enemy_edge(e, 32)
                                                          : enemy_random(e, 1200))) == NULL;
}

/* ---- a connection ---- */

static void act(struct enemy *e)
{
    uint8_t *page;

    switch (enemy_random(e, 24)) {
    case 0: enemy_put(e, "state", "%u", (unsigned int)enemy_random(e, 10)); break;
    case 1: enemy_put_junk(e, "state"); break;
    case 2: enemy_remove(e, "state"); break;
    case 3: enemy_spoil(e, class->nodes); break;
    case 4: enemy_storm(e); break;
    case 5: guess(e); break;
    case 6: enemy_close_ports(); break;
    case 7: usleep((unsigned int)enemy_random(e, 20000)); break;
    case 8:
        page = back_any_page(e);
        if (page)
            enemy_scribble(e, page);
        break;
    case 9: /* it says once more that it is there */
        enemy_put(e, "state", "%d", XenbusStateConnected);
        break;
    default: class->act(e);
    }
}

/* Until the frontend is before its beginning, as we are. */
static void begin(struct enemy *e)
{
    enemy_put(e, "state", "%d", XenbusStateInitialising);
    if (enemy_wait(e, IN(Initialising), WAIT_MS) < 0)
        enemy_stop(e, "it does not begin anew");
    class->offer(e);
}

static void leave(struct enemy *e)
{
    if (e->honest)
        release();
    enemy_leave(e, XenbusStateInitWait, WAIT_MS);
    if (nr_maps > MAPS / 2 || enemy_once_in(e, 6))
        release();
    else
        nr_kept += nr_maps;
}

static void round_of(struct enemy *e)
{
    int state;

    begin(e);
    if (enemy_once_in(e, 2))
        enemy_spoil(e, class->nodes);
    enemy_put(e, "state", "%d", XenbusStateInitWait);
    if (enemy_once_in(e, 4)) /* it is not waited for */
        for (uint64_t n = enemy_random(e, ACTS); n; n--)
            act(e);
    state = enemy_wait(e, READY | LEFT, 1000);
    if (state > 0 && READY & 1u << state && !enemy_once_in(e, 8))
        class->connect(e);
    enemy_put(e, "state", "%d", XenbusStateConnected);
    state = enemy_wait(e, IN(Connected) | LEFT, 500);
    nr_refused += state != XenbusStateConnected;
    nr_connected += state == XenbusStateConnected;
    for (uint64_t n = enemy_random(e, ACTS); n; n--)
        act(e);
    if (state == XenbusStateConnected)
        nr_thrown_out += enemy_wait(e, LEFT, 30) > 0;
    leave(e);
}

static void honestly(struct enemy *e)
{
    unsigned int served = 0;
    uint64_t end;

    e->honest = true;
    begin(e);
    release();
    enemy_put(e, "state", "%d", XenbusStateInitWait);
    if (enemy_wait(e, READY, WAIT_MS) < 0 || !class->connect(e))
        enemy_stop(e, "it does not connect");
    enemy_put(e, "state", "%d", XenbusStateConnected);
    end = clock_now() + WAIT_MS * NS_PER_MS;
    while (served < SERVED) {
        if (clock_now() > end)
            enemy_stop(e, "it asks for nothing");
        served += class->serve(e);
        usleep(LOOK_US / 10);
    }
    leave(e);
    e->honest = false;
}

/* ---- the kernel ---- */

static void find_class(const char *type)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strcmp(classes[i]->type, type) == 0)
            class = classes[i];
    if (class == NULL)
        verdict_error("enemy=%s: no such class", type);
}

/* Go down to what the toolstack has made there, or will. */
static void enter(struct enemy *e)
{
    size_t end = strlen(e->ours);
    unsigned int nr = 0;
    char **names;

    while ((names = xs_directory(e->xs, XBT_NULL, e->ours, &nr)) == NULL || nr == 0) {
        free(names);
        usleep(LOOK_US);
    }
    snprintf(e->ours + end, sizeof(e->ours) - end, "/%s", names[0]);
    free(names);
}

int main(int argc, char **argv)
{
    struct enemy_arguments a = { .rounds = 50 };
    struct enemy *e = &enemy;

    enemy_arguments(e, argc, argv, &a);
    find_class(a.type);
    bounce = page_alloc(1);
    e->xs = store_ring_start() == 0 ? xs_open(0) : NULL;
    if (e->xs == NULL || bounce == NULL)
        verdict_error("no store: %s", strerror(errno));
    snprintf(e->ours, sizeof(e->ours), "backend/%s", class->type);
    enter(e);
    enter(e);
    while (!enemy_is_there(e, "state")) /* what is written last */
        usleep(LOOK_US);
    enemy_find_other(e, "frontend", "frontend-id");
    honestly(e);
    for (e->round = 1; e->round <= a.rounds; e->round++)
        round_of(e);
    honestly(e);
    enemy_put(e, "done", "1");
    printf("connected %u times, refused %u, thrown out %u, %u pages kept, %u not granted\n",
           nr_connected, nr_refused, nr_thrown_out, nr_kept, nr_foreign);
    CHECK(nr_connected && nr_refused && nr_thrown_out && nr_kept && nr_foreign);
    return verdict();
}
