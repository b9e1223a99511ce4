/* Channels of this guest, by our frontend: on each it greets, then repeats every line in capitals, until one is "end". */
#include <consfront.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/verdict.h>

#include "store_ring.h"

enum { WAIT_S = 200 };

static struct plat_loop *loop;
static unsigned int nr_ready;

/* All of it, or the test has failed: a line and its answer have room in any case. */
static void say(struct consfront_channel *c, const char *text, size_t len)
{
    if (consfront_write(c, text, len) != (ssize_t)len)
        verdict_failure("channel %u takes no %zu bytes: %s", c->number, len, strerror(errno));
}

static void ready(void *arg, struct consfront_channel *c)
{
    char text[100];
    int len = snprintf(text, sizeof(text), "channel %u is %s\n", c->number, c->name);

    (void)arg;
    nr_ready++;
    say(c, text, (size_t)len);
}

static void changed(void *arg, struct consfront_channel *c)
{
    static char line[200];
    static size_t len;
    char byte;

    (void)arg;
    while (consfront_read(c, &byte, 1) == 1) {
        if (byte == '\n' && len == 3 && memcmp(line, "END", 3) == 0)
            plat_loop_stop(loop);
        if (len < sizeof(line))
            line[len++] = (char)toupper((unsigned char)byte);
        if (byte == '\n') {
            say(c, line, len);
            len = 0;
        }
    }
}

static void gone(void *arg, struct consfront_channel *c)
{
    (void)arg;
    printf("channel %u is gone\n", c->number);
}

static void too_late(void *arg)
{
    (void)arg;
    verdict_failure("%u channels were ready, and nobody ends it", nr_ready);
}

int main(void)
{
    static const struct consfront_user user = { .ready = ready, .changed = changed, .gone = gone };
    struct plat_timer timer = { .fn = too_late };

    if (store_ring_start())
        verdict_skip("no store: %s", strerror(errno));
    loop = plat_loop_new();
    if (loop == NULL || consfront_start(loop, &user) == NULL)
        verdict_error("it does not start: %s", strerror(errno));
    plat_timer_set(loop, &timer, plat_now() + WAIT_S * 1000000000ull);
    plat_loop_run(loop);
    return verdict();
}
