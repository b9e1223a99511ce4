#include "sched/policy.h"

#include "lib/bug.h"

#define V_PER_NS 1024u
#define RUN_MAX_NS (1ULL << 50) /* one charge: keeps the product with V_PER_NS in 64 bits */

static struct entity *entity_of(struct pq_node *n)
{
    return n ? container_of(n, struct entity, node) : NULL;
}

void policy_init(struct sched_queue *q) { *q = (struct sched_queue){ .curr = NULL }; }

void policy_entity_init(struct entity *e, uint32_t weight)
{
    *e = (struct entity){ .state = ENTITY_OUT, .weight = weight };
}

static bool competes(const struct entity *e)
{
    return e->state == ENTITY_LATER || e->state == ENTITY_READY || e->state == ENTITY_RUNNING;
}

/* Move base to V (rounded down), so that sum stays small. */
static uint64_t virtual_time(struct sched_queue *q)
{
    int64_t w = (int64_t)q->weights, step;

    if (w == 0)
        return q->base;
    step = q->sum / w - (q->sum % w < 0);
    q->base += (uint64_t)step;
    q->sum -= step * w;
    return q->base;
}

static bool eligible(const struct sched_queue *q, uint64_t v)
{
    return (int64_t)(v - q->base) * (__int128)q->weights <= q->sum;
}

static uint64_t request_ns(const struct sched_queue *q, const struct entity *e)
{
    uint64_t ns = POLICY_ROUND_NS * e->weight / MAX(q->weights, 1u);
    uint64_t least = q->nr <= 4 ? POLICY_MIN_NS : POLICY_MIN_MANY_NS;

    return MIN(MAX(ns, least), POLICY_SLICE_NS);
}

static uint64_t ns_to_v(const struct entity *e, uint64_t ns) { return ns * V_PER_NS / e->weight + 1; }

static void set_v(struct sched_queue *q, struct entity *e, uint64_t v)
{
    q->sum += (int64_t)(v - e->v) * (int64_t)e->weight;
    e->v = v;
}

/* ---- caps ---- */

static int64_t cap_quota_ns(const struct entity *e) { return POLICY_CAP_PERIOD_NS / 100 * e->cap; }

static void cap_refill(struct entity *e, uint64_t now)
{
    int64_t quota = cap_quota_ns(e);
    uint64_t periods;

    if (e->cap == 0 || now < e->period_end_ns)
        return;
    periods = (now - e->period_end_ns) / POLICY_CAP_PERIOD_NS + 1;
    e->period_end_ns += periods * POLICY_CAP_PERIOD_NS;
    e->budget_ns += (int64_t)MIN(periods, 1ULL << 20) * quota;
    e->budget_ns = MIN(e->budget_ns, quota + quota / 2);
}

static bool cap_used_up(const struct entity *e) { return e->cap != 0 && e->budget_ns <= 0; }

/* ---- joining and leaving the competition ---- */

static void dequeue(struct sched_queue *q, struct entity *e)
{
    if (e->state == ENTITY_READY)
        pq_remove(&q->ready, &e->node);
    else if (e->state == ENTITY_LATER)
        pq_remove(&q->later, &e->node);
    else if (e->state == ENTITY_PARKED)
        pq_remove(&q->parked, &e->node);
    else if (e->state == ENTITY_RUNNING)
        q->curr = NULL;
    e->state = ENTITY_OUT;
}

static void enqueue(struct sched_queue *q, struct entity *e, bool is_eligible)
{
    e->state = is_eligible ? ENTITY_READY : ENTITY_LATER;
    if (is_eligible)
        pq_insert(&q->ready, &e->node, e->deadline);
    else
        pq_insert(&q->later, &e->node, e->v);
}

static void leave(struct sched_queue *q, struct entity *e, uint64_t now)
{
    uint64_t most = ns_to_v(e, request_ns(q, e)), v = virtual_time(q);

    q->sum -= (int64_t)(e->v - v) * (int64_t)e->weight;
    q->weights -= e->weight;
    q->nr--;
    if (q->weights == 0) {
        q->base = e->v;
        q->sum = 0;
    }
    v = virtual_time(q); /* of those who stay */
    e->lag = key_before(e->v, v) ? MIN(v - e->v, most) : 0;
    e->left_ns = now;
}

static void join(struct sched_queue *q, struct entity *e, uint64_t now, uint64_t longest_ns)
{
    uint64_t v = virtual_time(q), least = v - e->lag;

    if (key_before(e->v, least) || now - e->left_ns > POLICY_FORGIVE_NS)
        e->v = least;
    if (q->weights == 0)
        q->base = e->v;
    q->sum += (int64_t)(e->v - q->base) * (int64_t)e->weight;
    q->weights += e->weight;
    q->nr++;
    e->deadline = e->v + ns_to_v(e, MIN(request_ns(q, e), longest_ns));
    enqueue(q, e, eligible(q, e->v));
}

static void park(struct sched_queue *q, struct entity *e)
{
    int64_t quota = cap_quota_ns(e);

    /* after a long overrun the next period will not do: whole periods until the budget is positive */
    e->state = ENTITY_PARKED;
    pq_insert(&q->parked, &e->node,
              e->period_end_ns + (uint64_t)(-e->budget_ns / quota) * POLICY_CAP_PERIOD_NS);
}

void policy_account(struct sched_queue *q, uint64_t now)
{
    struct entity *e = q->curr;
    uint64_t ran, scaled;

    if (e == NULL || (int64_t)(now - q->accounted_ns) <= 0)
        return;
    ran = MIN(now - q->accounted_ns, RUN_MAX_NS);
    q->accounted_ns = now;
    scaled = ran * V_PER_NS + e->rem;
    e->rem = scaled % e->weight;
    set_v(q, e, e->v + scaled / e->weight);
    if (e->cap != 0) {
        e->budget_ns -= (int64_t)ran;
        cap_refill(e, now);
    }
}

bool policy_wake(struct sched_queue *q, struct entity *e, uint64_t now)
{
    struct entity *curr = q->curr;

    ASSERT(e->state == ENTITY_OUT);
    policy_account(q, now);
    cap_refill(e, now);
    if (cap_used_up(e)) {
        park(q, e);
        return true; /* so that the CPU has a timer for it */
    }
    join(q, e, now, POLICY_WAKE_NS);
    /* q->nr is 2: the running one has run without a timer until now */
    return curr == NULL || q->nr == 2 ||
           (e->state == ENTITY_READY && key_before(e->deadline, curr->deadline));
}

void policy_sleep(struct sched_queue *q, struct entity *e, uint64_t now)
{
    bool was_in = competes(e);

    policy_account(q, now);
    dequeue(q, e);
    if (was_in)
        leave(q, e, now);
}

void policy_yield(struct sched_queue *q, uint64_t now)
{
    struct entity *e = q->curr;
    uint64_t v;

    if (e == NULL)
        return;
    policy_account(q, now);
    v = virtual_time(q);
    if (key_before(e->v, v))
        set_v(q, e, v);
    e->deadline = e->v; /* this request is over */
    e->yields = true;
}

/* The running entity goes back among the others, or out of the competition. */
static void put_back(struct sched_queue *q, struct entity *e, uint64_t now)
{
    bool done = !key_before(e->v, e->deadline);

    q->curr = NULL;
    if (cap_used_up(e)) {
        leave(q, e, now);
        park(q, e);
        return;
    }
    if (done)
        e->deadline = e->v + ns_to_v(e, request_ns(q, e));
    enqueue(q, e, !done || eligible(q, e->v)); /* a request that has begun stays eligible */
}

static struct entity *first(const struct sched_queue *q)
{
    return entity_of(q->ready.min ? q->ready.min : q->later.min);
}

/* The best but passed_over, which is taken only if it is alone. */
static struct entity *take_next(struct sched_queue *q, struct entity *passed_over)
{
    struct entity *e;

    while ((e = entity_of(q->later.min)) && eligible(q, e->v)) {
        dequeue(q, e);
        enqueue(q, e, true);
    }
    e = first(q);
    if (e == NULL)
        return NULL;
    dequeue(q, e);
    if (e == passed_over && first(q)) {
        e = first(q);
        dequeue(q, e);
        enqueue(q, passed_over, eligible(q, passed_over->v));
    }
    return e;
}

/* When to choose again although nobody wakes, sleeps or yields. */
static uint64_t next_choice(const struct sched_queue *q, const struct entity *e, uint64_t now)
{
    uint64_t run = UINT64_MAX, at;

    if (e != NULL && q->nr > 1)
        run = MAX((e->deadline - e->v) * e->weight / V_PER_NS + 1, POLICY_RATELIMIT_NS);
    if (e != NULL && e->cap != 0)
        run = MIN(run, (uint64_t)MAX(e->budget_ns, 0) + 1);
    at = run == UINT64_MAX ? 0 : now + run;
    if (q->parked.min && (at == 0 || q->parked.min->key < at))
        at = q->parked.min->key;
    return at;
}

struct entity *policy_pick(struct sched_queue *q, uint64_t now, uint64_t *again_ns)
{
    struct entity *prev = q->curr, *e;
    bool yields = prev && prev->yields;

    policy_account(q, now);
    virtual_time(q);
    while ((e = entity_of(q->parked.min)) && q->parked.min->key <= now) {
        dequeue(q, e);
        cap_refill(e, now);
        join(q, e, now, POLICY_SLICE_NS);
    }
    if (prev && q->nr > 1 && !yields && !cap_used_up(prev) &&
        now - q->picked_ns < POLICY_RATELIMIT_NS) {
        *again_ns = q->picked_ns + POLICY_RATELIMIT_NS;
        return prev;
    }
    if (prev) {
        prev->yields = false;
        put_back(q, prev, now);
    }
    e = take_next(q, yields ? prev : NULL);
    if (e) {
        e->state = ENTITY_RUNNING;
        if (e != prev)
            q->picked_ns = now;
    }
    q->curr = e;
    q->accounted_ns = now;
    *again_ns = next_choice(q, e, now);
    return e;
}

void policy_set(struct sched_queue *q, struct entity *e, uint32_t weight, uint32_t cap, uint64_t now)
{
    bool was_running = e->state == ENTITY_RUNNING, was_out = e->state == ENTITY_OUT;
    uint64_t v;

    policy_sleep(q, e, now);
    v = virtual_time(q);
    if (key_before(v, e->v)) /* the same time ahead or behind, in the new unit */
        e->v = v + MIN(e->v - v, 1ULL << 46) * e->weight / weight;
    e->lag = e->lag * e->weight / weight;
    e->weight = weight;
    e->rem = 0;
    if (e->cap != cap) {
        e->cap = cap;
        e->budget_ns = cap_quota_ns(e);
        e->period_end_ns = now + POLICY_CAP_PERIOD_NS;
    }
    if (was_out)
        return;
    join(q, e, now, POLICY_SLICE_NS);
    if (was_running) { /* until the pick that follows */
        dequeue(q, e);
        e->state = ENTITY_RUNNING;
        q->curr = e;
        q->accounted_ns = now;
    }
}

void policy_move(struct sched_queue *from, struct sched_queue *to, struct entity *e)
{
    ASSERT(e->state == ENTITY_OUT);
    e->v += virtual_time(to) - virtual_time(from);
}
