/* The hostile backend of a console beside the first, by <xen/io/console.h>: see back.h. When it is honest all comes back. */
#include <string.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/io/console.h>

#include "back.h"

enum {
    OUT_BYTES = sizeof(((struct xencons_interface *)NULL)->out),
    IN_BYTES = sizeof(((struct xencons_interface *)NULL)->in),
};

static const char *const nodes[] = { "protocol", "connection", "name", NULL };

static volatile struct xencons_interface *ring; /* NULL: not mapped */

static void offer(struct enemy *e)
{
    enemy_put(e, "protocol", "vt100");
    ring = NULL;
}

static bool connect_it(struct enemy *e)
{
    uint8_t *page = back_map_node(e, "ring-ref");

    if (page == NULL)
        return false;
    ring = (volatile struct xencons_interface *)page;
    return back_bind_node(e, "port");
}

/* Byte by byte, as far as there is room. */
static unsigned int serve(struct enemy *e)
{
    unsigned int n = 0;

    if (ring == NULL)
        return 0;
    while (n < OUT_BYTES && ring->out_cons != ring->out_prod &&
           ring->in_prod - ring->in_cons < IN_BYTES) {
        ring->in[ring->in_prod % IN_BYTES] = ring->out[ring->out_cons % OUT_BYTES];
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        ring->in_prod++;
        ring->out_cons++;
        n++;
    }
    if (n)
        enemy_notify(e);
    return n;
}

/* It types faster than anybody can read. */
static void flood(struct enemy *e)
{
    for (uint64_t n = enemy_random(e, 100000); n; n--) {
        ring->in[n % IN_BYTES] = (char)n;
        ring->in_prod = ring->in_cons + IN_BYTES;
        if (n % 256 == 0)
            enemy_notify(e);
    }
}

static void act(struct enemy *e)
{
    if (ring == NULL)
        return;
    switch (enemy_random(e, 12)) {
    case 0: enemy_bad_index(e, &ring->in_prod, ring->in_cons, IN_BYTES); break;
    case 1: enemy_bad_index(e, &ring->out_cons, ring->out_prod, OUT_BYTES); break;
    case 2: ring->in_cons = (uint32_t)enemy_edge(e, 32); break;
    case 3: ring->out_prod = (uint32_t)enemy_edge(e, 32); break;
    case 4: enemy_scribble(e, (volatile uint8_t *)ring); break;
    case 5:
    case 6: flood(e); break;
    default:
        serve(e);
        if (enemy_once_in(e, 2))
            usleep((unsigned int)enemy_random(e, 20000));
    }
    enemy_notify(e);
}

const struct back_class back_console = { .type = "console",
                                         .offer = offer,
                                         .nodes = nodes,
                                         .connect = connect_it,
                                         .act = act,
                                         .serve = serve };
