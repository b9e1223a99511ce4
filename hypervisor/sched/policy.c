#include "sched/policy.h"

#include "lib/bug.h"
#include "lib/pcpu.h"

#define V_SHIFT 20 /* one unit of v is less than a nanosecond even at the highest weight */
#define RUN_MAX_NS (1ULL << 40) /* one charge: keeps it in 62 bits */

/* V, rounded down; base is moved to it, so that sum stays small. */
static uint64_t virtual_time(struct sched_queue *q)
{
    int64_t w = (int64_t)MAX(q->weights, 1u), step = q->sum / w - (q->sum % w < 0);

    q->base += (uint64_t)step;
    q->sum -= step * w;
    return q->base;
}

static bool key_before(uint64_t a, uint64_t b) { return (int64_t)(a - b) < 0; }

static bool eligible(const struct sched_queue *q, const struct entity *e)
{
    return (int64_t)(e->v - q->base) * (__int128)q->weights <= q->sum;
}

static uint64_t ns_to_v(const struct entity *e, uint64_t ns) { return (ns << V_SHIFT) / e->weight; }

/* How long e's requests are, in its virtual time. */
static uint64_t request_v(const struct sched_queue *q, const struct entity *e)
{
    uint64_t ns = POLICY_ROUND_NS * e->weight / q->weights;

    return ns_to_v(e, MIN(MAX(ns, POLICY_MIN_NS), POLICY_SLICE_NS));
}

static void advance(struct sched_queue *q, struct entity *e, uint64_t by_v)
{
    e->v += by_v;
    q->sum += (int64_t)by_v * (int64_t)e->weight;
}

/* ---- caps ---- */

static int64_t cap_full_ns(const struct entity *e) { return POLICY_ROUND_NS / 100 * e->cap; }

static void cap_refill(struct entity *e, uint64_t now)
{
    uint64_t passed = MIN(now - e->refilled_ns, RUN_MAX_NS);

    e->budget_ns = MIN(e->budget_ns + (int64_t)(passed * e->cap / 100), cap_full_ns(e));
    e->refilled_ns = now;
}

static bool cap_used_up(const struct entity *e) { return e->cap != 0 && e->budget_ns <= 0; }

/* ---- joining and leaving the competition ---- */

static void leave(struct sched_queue *q, struct entity *e, uint64_t now)
{
    q->sum -= (int64_t)(e->v - q->base) * (int64_t)e->weight;
    q->weights -= e->weight;
    q->nr--;
    e->left_ns = now;
    e->yields = false;
}

static void join(struct sched_queue *q, struct entity *e, uint64_t now, uint64_t longest_ns)
{
    uint64_t least = virtual_time(q), request;

    q->weights += e->weight;
    q->nr++;
    request = request_v(q, e);
    least -= request;
    if (key_before(e->v, least) || now - e->left_ns > POLICY_FORGIVE_NS)
        e->v = least;
    q->sum += (int64_t)(e->v - q->base) * (int64_t)e->weight;
    e->deadline = e->v + MIN(request, ns_to_v(e, longest_ns));
}

void policy_account(struct sched_queue *q, uint64_t now)
{
    struct entity *e = q->curr;
    uint64_t ran = now - q->accounted_ns;

    if (e == NULL || (int64_t)ran <= 0)
        return;
    q->accounted_ns = now;
    ran = MIN(ran, RUN_MAX_NS);
    advance(q, e, ns_to_v(e, ran));
    virtual_time(q);
    if (q->nr > 1)
        q->contended_ns += ran;
    e->budget_ns -= (int64_t)ran;
    cap_refill(e, now);
}

bool policy_wake(struct sched_queue *q, struct entity *e, uint64_t now)
{
    struct entity *curr = q->curr;

    ASSERT(e->state == ENTITY_OUT);
    policy_account(q, now);
    cap_refill(e, now);
    e->next = q->all;
    q->all = e;
    if (cap_used_up(e)) {
        e->state = ENTITY_PARKED;
        return true; /* so that the CPU has a timer for it */
    }
    e->state = ENTITY_READY;
    join(q, e, now, POLICY_WAKE_NS);
    /* q->nr is 2: the running one has run without a timer until now */
    return curr == NULL || q->nr == 2 ||
           (eligible(q, e) && key_before(e->deadline, curr->deadline));
}

void policy_sleep(struct sched_queue *q, struct entity *e, uint64_t now)
{
    struct entity **link = &q->all;

    policy_account(q, now);
    if (e->state == ENTITY_OUT)
        return;
    if (e->state == ENTITY_READY)
        leave(q, e, now);
    if (e == q->curr)
        q->curr = NULL;
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    e->state = ENTITY_OUT;
}

/* Should a run rather than b? Somebody is eligible unless all but one that yields are not. */
static bool better(const struct sched_queue *q, const struct entity *a, const struct entity *b)
{
    bool a_may = eligible(q, a), b_may = eligible(q, b);

    if (a->yields != b->yields)
        return b->yields;
    if (a_may != b_may)
        return a_may;
    return a_may ? key_before(a->deadline, b->deadline) : key_before(a->v, b->v);
}

struct entity *policy_pick(struct sched_queue *q, uint64_t now, uint64_t *again_ns)
{
    struct entity *prev = q->curr, *best = NULL;
    uint64_t wait = UINT64_MAX;

    policy_account(q, now);
    if (prev && prev->yields) { /* gives up what it is behind; this request is over */
        if (key_before(prev->v, virtual_time(q)))
            advance(q, prev, q->base - prev->v);
        prev->deadline = prev->v;
    }
    if (prev && cap_used_up(prev)) {
        leave(q, prev, now);
        prev->state = ENTITY_PARKED;
    } else if (prev && !key_before(prev->v, prev->deadline)) {
        prev->deadline = prev->v + request_v(q, prev);
    }
    for (struct entity *e = q->all; e != NULL; e = e->next) {
        if (e->state == ENTITY_PARKED) {
            cap_refill(e, now);
            if (e->budget_ns < cap_full_ns(e)) {
                wait = MIN(wait, (uint64_t)(cap_full_ns(e) - e->budget_ns) * 100 / e->cap + 1);
                continue;
            }
            e->state = ENTITY_READY;
            join(q, e, now, POLICY_SLICE_NS);
        }
        if (best == NULL || better(q, e, best))
            best = e;
    }
    if (prev)
        prev->yields = false;
    if (best) {
        best->loaded = true;
        if (q->nr > 1)
            wait = MIN(wait, MAX(((best->deadline - best->v) * best->weight >> V_SHIFT) + 1,
                                 POLICY_LEAST_NS));
        if (best->cap)
            wait = MIN(wait, (uint64_t)best->budget_ns * 100 / (100 - best->cap) + 1);
    }
    q->curr = best;
    q->accounted_ns = now;
    *again_ns = wait == UINT64_MAX ? 0 : now + wait;
    return best;
}

void policy_set(struct sched_queue *q, struct entity *e, uint32_t weight, uint32_t cap,
                uint64_t now)
{
    uint64_t v;

    policy_account(q, now);
    if (e->state == ENTITY_READY)
        leave(q, e, now);
    v = virtual_time(q);
    if (key_before(v, e->v)) /* the same time ahead, in the new unit */
        e->v = v + MIN(e->v - v, 1ULL << 46) * e->weight / weight;
    e->weight = weight;
    if (e->cap != cap) {
        e->cap = cap;
        e->budget_ns = cap_full_ns(e);
        e->refilled_ns = now;
    }
    if (e->state == ENTITY_READY)
        join(q, e, now, POLICY_SLICE_NS);
}

void policy_move(struct sched_queue *from, struct sched_queue *to, struct entity *e, uint64_t now)
{
    ASSERT(e->state == ENTITY_OUT);
    e->v += virtual_time(to) - virtual_time(from);
    e->moved_ns = now;
    to->nr_came++;
}

/* ---- several CPUs ---- */

/* Of cpus, not empty, the one with the least weights; of equals the next after home, in a circle. */
static uint32_t lightest(const struct sched_queue *queues, uint64_t cpus, uint32_t home)
{
    uint32_t best = home;

    for (uint32_t i = 1; i < NR_CPUS; i++) {
        uint32_t cpu = (home + i) % NR_CPUS;

        if ((cpus >> cpu & 1) &&
            (best == home || READ_ONCE(queues[cpu].weights) < READ_ONCE(queues[best].weights)))
            best = cpu;
    }
    return best;
}

uint32_t policy_place(const struct sched_queue *queues, const struct entity *e, uint32_t home,
                      uint64_t online, uint64_t idle)
{
    uint64_t may = e->cpus & online, rather = e->preferred & may;
    uint64_t best = rather & idle ?: may & idle ?: rather ?: may;

    return best >> home & 1 ? home : lightest(queues, best, home);
}

struct entity *policy_take(const struct sched_queue *queues, uint32_t from, uint32_t to, bool idles)
{
    const struct sched_queue *q = &queues[from];
    uint64_t least = UINT64_MAX, key;
    struct entity *best = NULL;

    for (struct entity *e = q->all; e != NULL; e = e->next) {
        bool rather = e->preferred >> to & 1, heavy = queues[to].weights + e->weight > q->weights;

        key = (uint64_t)!rather << 63 | (uint64_t)heavy << 62 | e->moved_ns;
        if (e->state == ENTITY_READY && (e->cpus >> to & 1) &&
            (idles ? policy_waits(q, e) : rather) && key < least) {
            least = key;
            best = e;
        }
    }
    return best;
}

bool policy_turn(struct sched_queue *queues, uint32_t cpu, uint64_t online, uint32_t *to)
{
    struct sched_queue *q = &queues[cpu];
    uint64_t waited_v = q->contended_ns << V_SHIFT, reach = 0, there, mean = 1;

    for (struct entity *e = q->all; e != NULL; e = e->next)
        reach |= e->state == ENTITY_READY ? e->preferred : 0;
    reach &= online & ~(1ULL << cpu);
    if (reach) {
        *to = lightest(queues, reach, cpu);
        if (policy_take(queues, cpu, *to, false) == q->curr)
            return false; /* the next choice is another one */
        there = MAX(READ_ONCE(queues[*to].weights), 1u);
        mean = (q->weights + there) / (q->nr + READ_ONCE(queues[*to].nr)) + 1;
        q->lost_v += (int64_t)(waited_v / there) - (int64_t)(waited_v / q->weights);
        q->lost_v = MAX(q->lost_v, 0);
    }
    q->contended_ns = 0;
    if (reach == 0 || q->lost_v < (int64_t)((POLICY_TURN_NS << V_SHIFT) / mean))
        return false;
    q->lost_v = 0;
    return true;
}
