/*
 * The scheduling policy: on a CPU, earliest eligible virtual deadline first; among CPUs, idle ones
 * take over who waits and busy ones take turns. Pure logic: no lock, no clock, no CPU; sched.c calls
 * it under the run queue's lock, tests/unit/test_sched_sim.c plays it in a simulation.
 *
 * One CPU. A choice looks at each vCPU that wants this CPU, everything else is O(1) but for
 * policy_sleep(): how many there are is the control domain's doing, no guest's.
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
 *
 * Several CPUs. Each has a queue and each entity is on one. While it waits it may change: at once to
 * a CPU that idles, else by turns. Of the CPUs that it may run on it prefers some; the others it only
 * keeps from idling. It takes along by how much it is ahead or behind (policy_move()).
 * No fixed distribution of three over two CPUs is fair, hence turns. A CPU adds up by how much v grows
 * faster on the lightest CPU that some of its own prefer, while somebody waits here: time / their
 * weights - time / ours. When a mean one has lost 20 ms by that, the one that moved longest ago goes
 * there; rather one that does not make them heavier than we were. Then it is their turn to lose. Each
 * distribution lasts the longer the fairer it is and all come up in turn: shares are right to some
 * percent over seconds. No more than those 20 ms is remembered: nothing has to be compared, nor ever
 * forgiven, between CPUs that pins or weights made run apart for hours.
 */
#pragma once
#include "lib/types.h"

#define POLICY_SLICE_NS MILLISECS(5)    /* the longest request */
#define POLICY_ROUND_NS MILLISECS(10)   /* what requests and caps are a share of */
#define POLICY_TURN_NS MILLISECS(20)    /* lost by being on a CPU until it hands one over */
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
    bool loaded;          /* its registers are on its CPU: it may not move; set by a pick */
    _Atomic uint64_t cpus, preferred; /* masks: where it may run; of these, where rather */
    uint64_t moved_ns;                /* when it came to this queue from another */
};

struct sched_queue {
    struct entity *all;
    struct entity *curr; /* who runs; NULL: nobody (idle) */
    uint64_t base;       /* V = base + sum / weights */
    int64_t sum;         /* of weight * (v - base) over all that compete */
    uint64_t weights;
    uint32_t nr;           /* how many compete, the running one included */
    uint64_t accounted_ns; /* curr is charged up to here */
    uint64_t contended_ns; /* so long curr ran while others waited, since policy_turn() */
    int64_t lost_v;        /* by so much more did v grow on the lightest CPU meanwhile */
    uint64_t nr_came;      /* from other queues, ever */
} __attribute__((aligned(64)));

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
void policy_move(struct sched_queue *from, struct sched_queue *to, struct entity *e,
                 uint64_t now_ns);

/* ---- several CPUs: queues is the array of all, masks have a bit per CPU ---- */

/** e of q might run elsewhere at once. */
static inline bool policy_waits(const struct sched_queue *q, const struct entity *e)
{
    return e->state == ENTITY_READY && e != q->curr && !e->loaded;
}
/** Where e of CPU home should be: it wants to run and does not, or may no longer be there. No lock. */
uint32_t policy_place(const struct sched_queue *queues, const struct entity *e, uint32_t home,
                      uint64_t online, uint64_t idle);
/**
 * Who of CPU from should go to CPU to, which idles; else one that prefers that CPU, and it may be the
 * one that runs. NULL: nobody. Both queues are locked.
 */
struct entity *policy_take(const struct sched_queue *queues, uint32_t from, uint32_t to,
                           bool idles);
/** When contended_ns is a round: is it CPU cpu's turn to hand one over, to CPU *to? Its queue is locked. */
bool policy_turn(struct sched_queue *queues, uint32_t cpu, uint64_t online, uint32_t *to);
