/*
 * The scheduling policy of one CPU: earliest eligible virtual deadline first. Pure logic: no lock,
 * no clock, no CPU; sched.c calls it under the run queue's lock, tests/unit/test_sched_sim.c plays
 * it in a simulation.
 *
 * Each competitor has a virtual time v that advances by its CPU time / weight. The queue's virtual
 * time V is the mean of all v, weighted by weight: a competitor with v < V has had less than its
 * share, one with v > V more. It asks for the CPU in requests of r ns; a request may start when
 * v <= V (eligible) and should be done by v + r / weight (its deadline); the eligible request with
 * the earliest deadline runs. So nobody is ever ahead or behind by more than about one request, and
 * how often somebody sleeps, wakes or yields changes when it runs but not how much:
 *   - who sleeps while ahead (v > V) waits after waking until V has come up to v;
 *   - who sleeps while behind keeps at most one request of that, however long it sleeps;
 *   - who wakes makes one short request first (WAKE_NS), hence an early deadline;
 *   - who yields gives up what it is behind and is passed over once.
 * A request is 10 ms in proportion to the share, within [MIN, SLICE]: errors stay proportional too.
 *
 * Caps: a budget per period of 10 ms, with at most half a budget saved; who has used it up leaves
 * the competition until the next period.
 */
#pragma once
#include "sched/pq.h"

#define POLICY_SLICE_NS MILLISECS(5)     /* the longest request */
#define POLICY_ROUND_NS MILLISECS(10)    /* what requests are a share of */
#define POLICY_MIN_NS MICROSECS(500)     /* the shortest with up to 4 competitors, */
#define POLICY_MIN_MANY_NS MILLISECS(1)  /* and with more */
#define POLICY_WAKE_NS MICROSECS(250)    /* the first request after waking */
#define POLICY_RATELIMIT_NS MICROSECS(100) /* who was just picked runs that long */
#define POLICY_CAP_PERIOD_NS MILLISECS(10)
#define POLICY_FORGIVE_NS SECONDS(1000)  /* V may wrap in longer sleeps */

enum entity_state {
    ENTITY_OUT,                /* sleeps */
    ENTITY_LATER,              /* competes, not yet eligible: in later, by v */
    ENTITY_READY,              /* competes: in ready, by deadline */
    ENTITY_RUNNING,            /* competes: is q->curr */
    ENTITY_PARKED,             /* wants to run but has used up its cap: in parked, by period_end */
};

struct entity {
    struct pq_node node;
    enum entity_state state;
    uint32_t weight;
    uint32_t cap;              /* percent of a CPU, 0: none */
    uint64_t v, deadline;      /* in ns * 1024 / weight */
    uint64_t rem;              /* of that division */
    uint64_t lag;              /* when OUT or PARKED: how far behind it was, in the same unit */
    uint64_t left_ns;          /* since when */
    bool yields;               /* RUNNING: pass over at the next pick */
    int64_t budget_ns;         /* cap: left in this period; negative after an overrun */
    uint64_t period_end_ns;
};

struct sched_queue {
    struct pq later, ready, parked;
    struct entity *curr;       /* who runs; NULL: nobody (idle) */
    uint64_t base;             /* V = base + sum / weights */
    int64_t sum;               /* of weight * (v - base) over all that compete */
    uint64_t weights;
    uint32_t nr;               /* how many compete, the running one included */
    uint64_t accounted_ns;     /* curr is charged up to here */
    uint64_t picked_ns;        /* curr runs since */
};

void policy_init(struct sched_queue *q);
void policy_entity_init(struct entity *e, uint32_t weight);
/** Charge the running entity up to now. Each of the following does it first. */
void policy_account(struct sched_queue *q, uint64_t now_ns);
/** e, OUT, wants to run. True if the CPU should pick again now. */
bool policy_wake(struct sched_queue *q, struct entity *e, uint64_t now_ns);
/** e does not want to run any more; any state. If it was running, the CPU must pick now. */
void policy_sleep(struct sched_queue *q, struct entity *e, uint64_t now_ns);
/** The running entity lets others go first; pick afterwards. */
void policy_yield(struct sched_queue *q, uint64_t now_ns);
/** Choose who runs from now on (NULL: idle) and when to choose again at the latest (0: never). */
struct entity *policy_pick(struct sched_queue *q, uint64_t now_ns, uint64_t *again_ns);
/** Change weight and cap of e, any state; pick afterwards if it does not sleep. */
void policy_set(struct sched_queue *q, struct entity *e, uint32_t weight, uint32_t cap,
                uint64_t now_ns);
/** e, OUT, leaves one queue for another and keeps what it is ahead or behind. */
void policy_move(struct sched_queue *from, struct sched_queue *to, struct entity *e);
