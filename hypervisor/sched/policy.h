/*
 * The scheduling policy of one CPU: earliest eligible virtual deadline first. Pure logic: no lock,
 * no clock, no CPU; sched.c calls it under the run queue's lock, tests/unit/test_sched_sim.c plays
 * it in a simulation. A choice looks at each vCPU that wants this CPU, everything else is O(1) but
 * for policy_sleep(): how many there are is the control domain's doing, no guest's.
 *
 * Each competitor has a virtual time v that advances by its CPU time / weight. The queue's virtual
 * time V is the mean of all v, weighted by weight: a competitor with v < V has had less than its
 * share, one with v > V more. It asks for the CPU in requests of r ns; a request may start when
 * v <= V (eligible) and should be done by v + r / weight (its deadline); the eligible request with
 * the earliest deadline runs. So nobody is ever ahead or behind by more than about one request, and
 * how often somebody sleeps, wakes or yields changes when it runs but not how much:
 *   - who sleeps while ahead (v > V) waits after waking until V has come up to v;
 *   - of what it did not ask for while it slept nobody gets back more than one request;
 *   - who wakes makes one short request first (WAKE_NS), hence an early deadline;
 *   - who yields gives up what it is behind and is passed over once.
 * A request is 10 ms in proportion to the share, within [MIN, SLICE]: errors stay proportional too.
 *
 * Caps: a budget that refills at the capped rate up to what 10 ms bring; who has used it up leaves
 * the competition until it is full.
 */
#pragma once
#include "lib/types.h"

#define POLICY_SLICE_NS MILLISECS(5)    /* the longest request */
#define POLICY_ROUND_NS MILLISECS(10)   /* what requests are a share of, and caps */
#define POLICY_MIN_NS MILLISECS(1)      /* the shortest */
#define POLICY_WAKE_NS MICROSECS(250)   /* the first request after waking */
#define POLICY_LEAST_NS MICROSECS(100)  /* until the next choice, if nobody wakes */
#define POLICY_FORGIVE_NS SECONDS(1000) /* V may wrap in longer sleeps */

enum entity_state {
    ENTITY_OUT,    /* sleeps: not in the queue; the others are */
    ENTITY_READY,  /* competes; q->curr, who runs, is one of them */
    ENTITY_PARKED, /* wants to run but has used up its cap */
};

struct entity {
    struct entity *next;
    enum entity_state state;
    uint32_t weight;
    uint32_t cap;         /* percent of a CPU, below 100; 0: none */
    uint64_t v, deadline; /* in ns << V_SHIFT / weight */
    uint64_t left_ns;     /* ENTITY_OUT: since when */
    bool yields;          /* curr only, set from outside: lets others go first at the next pick */
    int64_t budget_ns;    /* cap: may run that long; negative after an overrun */
    uint64_t refilled_ns; /* when that was true */
};

struct sched_queue {
    struct entity *all;
    struct entity *curr; /* who runs; NULL: nobody (idle) */
    uint64_t base;       /* V = base + sum / weights */
    int64_t sum;         /* of weight * (v - base) over all that compete */
    uint64_t weights;
    uint32_t nr;           /* how many compete, the running one included */
    uint64_t accounted_ns; /* curr is charged up to here */
};

/** Charge the running entity up to now. Each of the following does it first. */
void policy_account(struct sched_queue *q, uint64_t now_ns);
/** e, OUT, wants to run. True if the CPU should pick again now. */
bool policy_wake(struct sched_queue *q, struct entity *e, uint64_t now_ns);
/** e does not want to run any more; any state. If it was running, the CPU must pick now. */
void policy_sleep(struct sched_queue *q, struct entity *e, uint64_t now_ns);
/** Choose who runs from now on (NULL: idle) and when to choose again at the latest (0: never). */
struct entity *policy_pick(struct sched_queue *q, uint64_t now_ns, uint64_t *again_ns);
/** Change weight and cap of e, any state; pick afterwards if it does not sleep. */
void policy_set(struct sched_queue *q, struct entity *e, uint32_t weight, uint32_t cap,
                uint64_t now_ns);
/** e, OUT, leaves one queue for another and keeps what it is ahead or behind. */
void policy_move(struct sched_queue *from, struct sched_queue *to, struct entity *e);
