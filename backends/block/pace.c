#include "pace.h"

void pace_found(struct pace *p, unsigned int nr, uint64_t now)
{
    p->took = now - p->found;
    p->found = now;
    if (p->pause) {
        p->pause--;
        return;
    }
    if (nr != p->nr) {
        p->nr = nr;
        p->times = 0;
    }
    if (++p->times == 4 * PACE_PAUSE)
        p->next_pause = 0; /* it has been right for long */
}

unsigned int pace_wants(const struct pace *p) { return p->times >= PACE_STEADY ? p->nr : 1; }

uint64_t pace_until(const struct pace *p)
{
    uint64_t wait = 2 * p->took;

    if (wait < PACE_WAIT_MIN_NS)
        wait = PACE_WAIT_MIN_NS;
    return p->found + (wait < PACE_WAIT_MAX_NS ? wait : PACE_WAIT_MAX_NS);
}

void pace_late(struct pace *p)
{
    p->times = 0;
    p->pause = p->next_pause ? p->next_pause : PACE_PAUSE;
    p->next_pause = 2 * p->pause < PACE_PAUSE_MAX ? 2 * p->pause : PACE_PAUSE_MAX;
}
