#include "sched/pq.h"

static uint32_t rank_of(const struct pq_node *n) { return n ? n->rank : 0; }

/* Restore "left is at least as deep as right" and the ranks from n upwards, as far as they change. */
static void fix_upwards(struct pq_node *n, bool all_the_way)
{
    for (; n != NULL; n = n->up) {
        uint32_t old = n->rank;

        if (rank_of(n->left) < rank_of(n->right)) {
            struct pq_node *left = n->left;

            n->left = n->right;
            n->right = left;
        }
        n->rank = rank_of(n->right) + 1;
        if (n->rank == old && !all_the_way)
            return;
    }
}

/* Two trees into one; only the right spines are walked, which have at most log2(n + 1) nodes. */
static struct pq_node *merge(struct pq_node *a, struct pq_node *b)
{
    struct pq_node *root = NULL, **link = &root, *up = NULL;

    while (a != NULL && b != NULL) {
        if (key_before(b->key, a->key)) {
            struct pq_node *less = b;

            b = a;
            a = less;
        }
        *link = a;
        a->up = up;
        up = a;
        link = &a->right;
        a = a->right;
    }
    *link = a ? a : b;
    if (*link)
        (*link)->up = up;
    fix_upwards(up, true);
    return root;
}

void pq_insert(struct pq *q, struct pq_node *n, uint64_t key)
{
    *n = (struct pq_node){ .key = key, .rank = 1 };
    q->min = merge(q->min, n);
}

void pq_remove(struct pq *q, struct pq_node *n)
{
    struct pq_node *up = n->up, *rest = merge(n->left, n->right);

    if (rest)
        rest->up = up;
    if (up == NULL)
        q->min = rest;
    else if (up->left == n)
        up->left = rest;
    else
        up->right = rest;
    fix_upwards(up, false);
    n->rank = 0;
}
