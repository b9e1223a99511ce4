/* What must hold in a run queue at any time; shared by the scheduler's tests. */
#pragma once
#include "lib/types.h"
#include "sched/policy.h"

struct tally { uint64_t weights; int64_t sum; uint32_t nr; const char *wrong; };

static uint32_t audit_tree(const struct sched_queue *q, const struct pq_node *n,
                           enum entity_state state, struct tally *t)
{
    const struct entity *e = (const struct entity *)((const char *)n - offsetof(struct entity, node));
    uint32_t left, right;

    if (n == NULL)
        return 0;
    if (e->state != state)
        t->wrong = "an entity's state names the queue it is in";
    if ((n->left && (n->left->up != n || key_before(n->left->key, n->key))) ||
        (n->right && (n->right->up != n || key_before(n->right->key, n->key))))
        t->wrong = "no child comes before its parent";
    t->weights += e->weight;
    t->sum += (int64_t)(e->v - q->base) * (int64_t)e->weight;
    t->nr++;
    left = audit_tree(q, n->left, state, t);
    right = audit_tree(q, n->right, state, t);
    if (left < right || n->rank != right + 1)
        t->wrong = "the tree leans left and ranks are right";
    return n->rank;
}

/* NULL, or the sentence that is violated. */
static inline const char *policy_audit(const struct sched_queue *q)
{
    struct tally t = { .wrong = NULL }, parked = t;

    audit_tree(q, q->ready.min, ENTITY_READY, &t);
    audit_tree(q, q->later.min, ENTITY_LATER, &t);
    audit_tree(q, q->parked.min, ENTITY_PARKED, &parked);
    if (q->curr) {
        t.nr++;
        t.weights += q->curr->weight;
        t.sum += (int64_t)(q->curr->v - q->base) * (int64_t)q->curr->weight;
        if (q->curr->state != ENTITY_RUNNING)
            t.wrong = "the running entity's state says so";
    }
    if (t.nr != q->nr || t.weights != q->weights || t.sum != q->sum)
        t.wrong = "count, weights and sum are those of all that compete";
    if (q->nr && (q->sum > 1LL << 62 || q->sum < -(1LL << 62)))
        t.wrong = "sum stays far from overflow";
    return t.wrong ? t.wrong : parked.wrong;
}
