/* An interface that the enemy serves: frames come as they can be, and those that were sent as they were. */
#include <netfront.h>
#include <string.h>

#include <rt/verdict.h>

#include "victim.h"

enum { AT_ONCE = 4, HEAD = 16, MOST = 1514 };

static const uint8_t head[HEAD] = { 0,    0x16, 0x3e, 0,    0,    0x66, 0,   0x16,
                                    0x3e, 0,    0,    0x67, 0x88, 0xb5, 'V', 'I' };
static struct netfront *front;
static bool there;
static unsigned int nr_right, nr_sent;

static void ready(void *arg, const uint8_t mac[6])
{
    (void)arg;
    (void)mac;
    there = true;
}

/* All of it is ours to read. */
static void received(void *arg, uint8_t *frame, uint32_t bytes)
{
    bool right = bytes > HEAD && memcmp(frame, head, HEAD) == 0;

    (void)arg;
    if (bytes < 14 || bytes > NETFRONT_FRAME)
        verdict_failure("a frame of %u bytes", bytes);
    for (uint32_t i = HEAD + 1; i < bytes; i++)
        right = right && frame[i] == (uint8_t)(frame[HEAD] + i);
    nr_right += right;
}

static void use(void)
{
    uint8_t frame[MOST];

    for (unsigned int n = 0; there && n < AT_ONCE; n++) {
        uint32_t bytes = 60 + ++nr_sent * 37 % (MOST - 60);

        memcpy(frame, head, HEAD);
        frame[HEAD] = (uint8_t)nr_sent;
        for (uint32_t i = HEAD + 1; i < bytes; i++)
            frame[i] = (uint8_t)(nr_sent + i);
        netfront_send(front, frame, bytes); /* there may be no room, or no interface now */
    }
}

static bool start(struct plat_loop *loop)
{
    static const struct netfront_user user = { .ready = ready, .received = received };

    front = netfront_start(loop, &user);
    return front != NULL;
}

static bool is_idle(void) { return netfront_send(front, head, HEAD) != 0; }
static unsigned int nr_good(void) { return nr_right; }

const struct victim_class victim_network = {
    .type = "vif", .start = start, .use = use, .is_idle = is_idle, .nr_good = nr_good
};
