/* The hostile frontend of a console beside the first (channel= in xl.cfg), by <xen/io/console.h>: see front.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/io/console.h>

#include "front.h"

enum { PAGE, OUT_BYTES = sizeof(((struct xencons_interface *)NULL)->out), WAITS = 2000 };

static const char *const nodes[] = { "ring-ref",   "port",       "protocol",
                                     "feature-sg", "request-rx", NULL };

static volatile struct xencons_interface *ring(void)
{
    return (volatile struct xencons_interface *)front_page(PAGE);
}

static void offer(struct enemy *e)
{
    memset(front_page(PAGE), 0, ENEMY_PAGE);
    enemy_put(e, "ring-ref", "%u",
              front_grant(e, e->honest || !enemy_once_in(e, 24) ? e->other : e->other + 100u, PAGE,
                          !e->honest && enemy_once_in(e, 24)));
    enemy_put(e, "port", "%u", front_port(e));
}

/* As much as there is room for. */
static uint32_t say(const char *text, uint32_t bytes)
{
    uint32_t prod = ring()->out_prod, room = OUT_BYTES - (prod - ring()->out_cons);

    bytes = bytes < room ? bytes : room;
    for (uint32_t i = 0; i < bytes && bytes <= OUT_BYTES; i++)
        ring()->out[prod++ % OUT_BYTES] = text[i];
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ring()->out_prod = prod;
    return bytes;
}

/* More than anybody reads, without a pause: with what a terminal acts on, and the prompt's own keys. */
static void flood(struct enemy *e)
{
    char text[OUT_BYTES];

    for (unsigned int i = 0; i < OUT_BYTES; i++)
        text[i] = (char)enemy_random(e, 256);
    for (uint64_t n = enemy_random(e, 2000); n; n--) {
        say(text, OUT_BYTES);
        enemy_notify(e);
    }
}

static void act(struct enemy *e)
{
    volatile struct xencons_interface *r = ring();

    switch (enemy_random(e, 10)) {
    case 0: enemy_bad_index(e, &r->out_prod, r->out_cons, OUT_BYTES); break;
    case 1: r->out_prod += (uint32_t)enemy_random(e, OUT_BYTES + 2); break;
    case 2: enemy_bad_index(e, &r->in_cons, r->in_prod, sizeof(r->in)); break;
    case 3: r->in_prod = (uint32_t)enemy_edge(e, 32); break;
    case 4: r->out_cons = (uint32_t)enemy_edge(e, 32); break;
    case 5: enemy_scribble(e, front_page(PAGE)); break;
    case 6: usleep((unsigned int)enemy_random(e, 20000)); break;
    default: flood(e);
    }
    enemy_notify(e);
}

/* Twice as much as the ring has room for is heard. */
static bool honest(struct enemy *e)
{
    static const char text[] = "all is well\r\n";
    uint32_t said = 0, at = 0;

    for (unsigned int i = 0; i < WAITS && said < 2 * OUT_BYTES; i++) {
        uint32_t n = say(text + at, (uint32_t)sizeof(text) - 1 - at);

        said += n;
        at = (at + n) % ((uint32_t)sizeof(text) - 1);
        enemy_notify(e);
        if (n == 0)
            usleep(5000);
    }
    return said >= 2 * OUT_BYTES;
}

const struct enemy_class enemy_console = { .type = "console",
                                           .ready = XenbusStateInitialised,
                                           .offer = offer,
                                           .nodes = nodes,
                                           .act = act,
                                           .honest = honest };
