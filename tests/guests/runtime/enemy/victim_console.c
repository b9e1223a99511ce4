/* A console that the enemy serves: what is written comes back, if it is honest, and nothing else has to. */
#include <consfront.h>
#include <string.h>

#include <rt/verdict.h>

#include "victim.h"

enum { BYTES = 100, AT_ONCE = 20000 };

static struct consfront_channel *channel;
static uint8_t next_out, next_in;
static unsigned int nr_right;

static void ready(void *arg, struct consfront_channel *c)
{
    (void)arg;
    channel = c;
    next_out = next_in = 0;
}

/* Who reads until nothing is there may read for ever. */
static void changed(void *arg, struct consfront_channel *c)
{
    uint8_t bytes[BYTES];
    ssize_t n;

    (void)arg;
    for (unsigned int all = 0; all < AT_ONCE && (n = consfront_read(c, bytes, BYTES)) > 0;
         all += (unsigned int)n) {
        if (n > BYTES)
            verdict_failure("%ld bytes are read where there is room for %d", (long)n, BYTES);
        for (ssize_t i = 0; i < n; i++)
            nr_right += bytes[i] == next_in++;
    }
}

static void gone(void *arg, struct consfront_channel *c)
{
    (void)arg;
    if (channel != c)
        verdict_failure("a channel has gone twice");
    channel = NULL;
}

static void use(void)
{
    uint8_t bytes[BYTES];
    ssize_t n;

    if (channel == NULL)
        return;
    for (unsigned int i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(next_out + i);
    n = consfront_write(channel, bytes, BYTES);
    if (n > BYTES)
        verdict_failure("%ld of %d bytes are written", (long)n, BYTES);
    if (n > 0)
        next_out = (uint8_t)(next_out + n);
    changed(NULL, channel);
}

static bool start(struct plat_loop *loop)
{
    static const struct consfront_user user = { .ready = ready, .changed = changed, .gone = gone };

    return consfront_start(loop, &user) != NULL;
}

static bool is_idle(void) { return channel == NULL; }
static unsigned int nr_good(void) { return nr_right; }

const struct victim_class victim_console = { .type = "console",
                                             .device = 1,
                                             .start = start,
                                             .use = use,
                                             .is_idle = is_idle,
                                             .nr_good = nr_good };
