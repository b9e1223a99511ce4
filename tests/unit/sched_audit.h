/* What must hold in a run queue at any time; shared by the scheduler's tests. */
#pragma once
#include "lib/types.h"
#include "sched/policy.h"

/* NULL, or the sentence that is violated. */
static inline const char *policy_audit(const struct sched_queue *q)
{
    uint64_t weights = 0;
    int64_t sum = 0;
    uint32_t nr = 0, nr_running = 0;

    for (const struct entity *e = q->all; e != NULL; e = e->next) {
        if (e->state == ENTITY_OUT)
            return "who is out is not in the queue";
        if (e == q->curr && e->state != ENTITY_READY)
            return "the running entity competes";
        if (e->yields && e != q->curr)
            return "only the running entity is to be passed over";
        if (e->state == ENTITY_PARKED)
            continue;
        nr_running += e == q->curr;
        weights += e->weight;
        sum += (int64_t)(e->v - q->base) * (int64_t)e->weight;
        nr++;
    }
    if (nr_running != (q->curr != NULL))
        return "the running entity is in the queue";
    if (nr != q->nr || weights != q->weights || sum != q->sum)
        return "count, weights and sum are those of all that compete";
    if (sum > 1LL << 62 || sum < -(1LL << 62))
        return "sum stays far from overflow";
    return NULL;
}
