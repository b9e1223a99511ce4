/*
 * EVTCHNOP_*: ports and their bindings. internal.h has the states and the locking.
 *
 * All sub-ops but the short send and unmask go the same way, see evtchn_general_op(): copy in, find and
 * check the domain that is named, op_*(), copy out with no lock held. One that gives out a port runs
 * twice: first all is checked and a number chosen, which is copied out while nothing has changed yet;
 * then all is checked again and done. So nothing is ever to be undone, and no port is seen half bound.
 */
#include "event/internal.h"

#include "irq/irq.h"
#include "memory/heap.h"

/* ---- port numbers, all with the event_lock ---- */

struct evtchn no_ports[PORTS_PER_BUCKET];

/* Whoever delivers to the other end of a link holds one of the two locks that are held here. */
static void port_become(struct evtchn *chn, enum evtchn_state state, uint32_t num,
                        struct domain *remote)
{
    chn->state = (uint8_t)state;
    chn->num = num;
    chn->remote = remote;
}

static void closed_append(struct domain *d, evtchn_port_t port)
{
    struct evtchn_domain *ed = d->evtchn;

    evtchn_find(d, port)->num = 0;
    if (ed->closed_first)
        evtchn_find(d, ed->closed_last)->num = port;
    else
        ed->closed_first = port;
    ed->closed_last = port;
}

static evtchn_port_t closed_pop(struct domain *d)
{
    evtchn_port_t port = d->evtchn->closed_first;

    d->evtchn->closed_first = evtchn_find(d, port)->num;
    return port;
}

/*
 * What d's next port will be: the one closed longest ago, or else one that was never used; 0 if there
 * is none. While it is in a queue of the guest's (FIFO) its number cannot be another port's: whoever
 * takes it off is the vCPU that it was bound to.
 */
static evtchn_port_t port_choose(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;

    for (unsigned int tries = 0; ed->closed_first && tries < 8; tries++) {
        if (ed->fifo == NULL || !fifo_test(d, ed->closed_first, EVTCHN_FIFO_LINKED))
            return ed->closed_first;
        closed_append(d, closed_pop(d));
    }
    return ed->fresh < port_limit(d) ? ed->fresh : 0;
}

/*
 * 0: the port chosen before is now as given. 1: one is chosen for r, nothing has changed, the caller
 * returns that. -EINVAL: d is dying; -ENOSPC.
 */
static long port_take_locked(struct request *r, struct domain *d, struct evtchn as)
{
    struct evtchn_domain *ed = d->evtchn;
    bool fresh = r->port == ed->fresh && r->port < ed->nr_ports;

    ASSERT(spin_is_held(&d->event_lock));
    if (d->is_dying)
        return -EINVAL;
    if (r->port && (fresh || r->port == ed->closed_first)) {
        struct evtchn *chn = evtchn_find(d, r->port);

        if (fresh)
            ed->fresh++;
        else
            closed_pop(d);
        ed->nr_used++;
        port_reset(d, r->port);
        chn->vcpu = as.vcpu;
        port_become(chn, as.state, as.num, as.remote);
        return 0;
    }
    r->owner = d;
    r->port = port_choose(d);
    return r->port ? 1 : -ENOSPC;
}

static void port_free(struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = evtchn_find(d, port);

    chn->vcpu = 0;
    port_become(chn, ECS_FREE, 0, NULL);
    port_reset(d, port); /* not for the next user */
    closed_append(d, port);
    d->evtchn->nr_used--;
}

/* Without a lock: storage for d's port, which is the next that has none. 0 or -ENOMEM. */
static int ports_grow(struct domain *d, evtchn_port_t port)
{
    struct evtchn_domain *ed = d->evtchn;
    struct evtchn *b;
    unsigned long flags;

    if (port < READ_ONCE(ed->nr_ports))
        return 0;
    b = xmalloc_pages(BUCKET_BYTES);
    if (b == NULL)
        return -ENOMEM;
    flags = spin_lock_irqsave(&d->event_lock);
    if (port >= ed->nr_ports) {
        __atomic_store_n(&ed->bucket[ed->nr_ports / PORTS_PER_BUCKET], b, __ATOMIC_RELEASE);
        ed->nr_ports += PORTS_PER_BUCKET;
        b = NULL;
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    xfree_pages(b, BUCKET_BYTES);
    return 0;
}

/* fn(r) with the event_locks of the caller and of r->d as it is now: fn may change that. */
static long run_locked(long (*fn)(struct request *r), struct request *r)
{
    struct spinlock *a = &r->caller->event_lock, *b = &r->d->event_lock;
    unsigned long flags = arch_irq_save();
    long rc;

    spin_lock_pair(a, b);
    rc = fn(r);
    spin_unlock_pair(a, b);
    arch_irq_restore(flags);
    return rc;
}

/* ---- closing ---- */

/*
 * The caller's port goes: loosen what it was bound to, and give back the number. 1: not yet, at its
 * other end is another domain, which is r->d now, with a reference.
 */
static long close_locked(struct request *r)
{
    struct domain *d = r->caller;
    struct evtchn *chn = evtchn_find(d, r->u.port), *other;

    if (chn->remote && chn->remote != r->d) {
        r->d = chn->remote; /* it lives as long as a port of its is connected */
        domain_get(r->d);
        return 1;
    }
    if (chn->state == ECS_FREE)
        return -EINVAL;
    if (chn->state == ECS_VIRQ) {
        d->vcpu[virq_is_global(chn->num) ? 0 : chn->vcpu]->virq_port[chn->num] = 0;
    } else if (chn->state == ECS_PIRQ) {
        pirq_unbind_locked(d, chn->num, r->u.port); /* no interrupt is being delivered any more */
    } else if (chn->remote) { /* is r->d; rule 15: what is pending at the other end stays */
        other = evtchn_find(chn->remote, chn->num);
        ASSERT(other->state == ECS_INTERDOMAIN && other->remote == d);
        port_become(other, ECS_UNBOUND, d->domain_id, NULL);
    }
    port_free(d, r->u.port);
    return 0;
}

/* EVTCHNOP_close: 0 or -EINVAL: not in use. Locks the domain at the other end as well. */
static long port_close(struct domain *d, evtchn_port_t port)
{
    struct request r = { .caller = d, .d = d, .u.port = port };
    struct domain *peer;
    long rc;

    domain_get(d);
    do {
        peer = r.d;
        rc = run_locked(close_locked, &r);
        domain_put(peer);
    } while (rc > 0);
    return rc;
}

/* No port is in use: begin again as a new domain, with two-level ABI. False: one is. */
static bool start_over(struct domain *d)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    struct evtchn_domain *ed = d->evtchn;
    bool unused = ed->nr_used == 0;
    struct fifo *f = NULL;

    if (unused) {
        f = fifo_detach(d);
        ed->fresh = 1;
        ed->closed_first = 0;
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    fifo_free(d, f);
    return unused;
}

/* Several CPUs may do so at once (reset), and others open ports meanwhile: it only takes longer. */
int evtchn_domain_relinquish(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;

    for (unsigned int n = 1; READ_ONCE(ed->nr_used) || !start_over(d); n++) {
        evtchn_port_t port = READ_ONCE(ed->cursor);

        WRITE_ONCE(ed->cursor, port + 1 < READ_ONCE(ed->fresh) ? port + 1 : 1);
        port_close(d, port);
        if (n % 16 == 0 && hypercall_preempt_check())
            return -ERESTART;
    }
    return 0;
}

/* ---- lifecycle ---- */

int evtchn_domain_create(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn = xmalloc(sizeof(*ed));

    if (ed == NULL)
        return -ENOMEM;
    ed->fifo_lock = SPINLOCK_INIT(L_FIFO);
    ed->fresh = ed->cursor = 1;
    for (unsigned int i = 0; i < NR_BUCKETS; i++)
        ed->bucket[i] = no_ports;
    return ports_grow(d, 0);
}

void evtchn_domain_destroy(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;

    for (uint32_t i = 0; ed && i < ed->nr_ports / PORTS_PER_BUCKET; i++)
        xfree_pages(ed->bucket[i], BUCKET_BYTES);
    xfree(ed);
}

/*
 * ---- creating ports ----
 *
 * All: what port_take_locked() says, and -ENOMEM. When a last-moment change made by another vCPU is
 * the reason for an error, the number was written all the same.
 */

/**
 * EVTCHNOP_alloc_unbound: create a port in dom (IN) that remote_dom (IN) may later bind to.
 * Differs: Xen keeps the port when the copy-out faults, we never create it.
 */
static long op_alloc_unbound(struct request *r)
{
    domid_t remote = r->u.alloc_unbound.remote_dom, self = r->caller->domain_id;

    remote = remote == DOMID_SELF ? self : remote;
    return port_take_locked(r, r->d, (struct evtchn){ .state = ECS_UNBOUND, .num = remote });
}

long evtchn_alloc_unbound(struct domain *d, domid_t remote)
{
    struct request r = { .caller = d, .d = d, .u.alloc_unbound.remote_dom = remote };
    long rc = run_locked(op_alloc_unbound, &r);

    while (rc > 0)
        rc = ports_grow(d, r.port) ?: run_locked(op_alloc_unbound, &r);
    return rc ?: r.port;
}

/**
 * EVTCHNOP_bind_interdomain: connect a new port (local_port OUT) to the unbound remote_port (IN) of
 * remote_dom (IN, DOMID_SELF for loopback). -EINVAL: that is not unbound, or not for the caller.
 */
static long op_bind_interdomain(struct request *r)
{
    evtchn_port_t rport = r->u.bind_interdomain.remote_port;
    struct evtchn *rchn = evtchn_find(r->d, rport);
    long rc;

    if (rchn->state != ECS_UNBOUND || rchn->num != r->caller->domain_id)
        return -EINVAL;
    rc = port_take_locked(r, r->caller,
                          (struct evtchn){ ECS_INTERDOMAIN, .num = rport, .remote = r->d });
    if (rc)
        return rc;
    port_become(rchn, ECS_INTERDOMAIN, r->port, r->caller);
    /* The other side may have sent before there was somebody to hear it. */
    evtchn_set_pending(r->caller, r->port);
    return 0;
}

/**
 * EVTCHNOP_bind_virq: a new port for virq (IN) of vcpu (IN, 0 for a global one). -EINVAL; -ENOENT no
 * such vCPU; -EEXIST bound already. As in Xen 4.17 any domain may bind the global VIRQs meant for
 * the control domain; they are raised for the control domain only.
 */
static long op_bind_virq(struct request *r)
{
    const struct evtchn_bind_virq *op = &r->u.bind_virq;
    struct vcpu *v = domain_vcpu(r->d, op->vcpu);
    evtchn_port_t *slot;
    long rc;

    if (op->virq >= NR_VIRQS || (virq_is_global(op->virq) && op->vcpu != 0))
        return -EINVAL;
    if (v == NULL)
        return -ENOENT;
    slot = &v->virq_port[array_index_nospec(op->virq, NR_VIRQS)];
    if (*slot)
        return -EEXIST;
    rc = port_take_locked(r, r->d, (struct evtchn){ ECS_VIRQ, (uint8_t)op->vcpu, .num = op->virq });
    if (rc == 0)
        *slot = r->port; /* from here on events are kept as pending */
    return rc;
}

/**
 * EVTCHNOP_bind_pirq: a new port for pirq (IN), which PHYSDEVOP_map_pirq gave. -EPERM not the
 * hardware domain; else also what pirq_bind_locked() says.
 */
static long op_bind_pirq(struct request *r)
{
    uint32_t pirq = r->u.bind_pirq.pirq;
    long rc;

    if (!r->d->is_hwdom)
        return -EPERM;
    rc = pirq_bind_locked(r->d, pirq, 0) /* only asks */
             ?: port_take_locked(r, r->d, (struct evtchn){ .state = ECS_PIRQ, .num = pirq });
    if (rc)
        return rc;
    rc = pirq_bind_locked(r->d, pirq, r->port);
    if (rc) /* it was unmapped meanwhile, which our lock does not keep off */
        port_free(r->d, r->port);
    return rc;
}

/** EVTCHNOP_bind_ipi: a new port that notifies vcpu (IN). -ENOENT no such vCPU. */
static long op_bind_ipi(struct request *r)
{
    uint32_t vcpu = r->u.bind_ipi.vcpu;

    if (domain_vcpu(r->d, vcpu) == NULL)
        return -ENOENT;
    return port_take_locked(r, r->d, (struct evtchn){ .state = ECS_IPI, .vcpu = (uint8_t)vcpu });
}

/* ---- using ports; all: -EINVAL no such port ---- */

static long op_close(struct request *r) { return port_close(r->d, r->u.port); }

/** EVTCHNOP_status of a port of dom (IN). -EINVAL: no such port. */
static long op_status(struct request *r)
{
    struct evtchn_status *op = &r->u.status;
    struct evtchn *chn = evtchn_find(r->d, op->port);

    if (op->port >= port_limit(r->d))
        return -EINVAL;
    op->status = chn->state;
    op->vcpu = chn->vcpu;
    if (chn->state == ECS_UNBOUND) {
        op->u.unbound.dom = (domid_t)chn->num;
    } else if (chn->state == ECS_INTERDOMAIN) {
        op->u.interdomain.dom = chn->remote->domain_id;
        op->u.interdomain.port = chn->num;
    } else if (chn->state == ECS_PIRQ || chn->state == ECS_VIRQ) {
        op->u.virq = chn->num; /* the same place */
    }
    return 0;
}

/**
 * EVTCHNOP_bind_vcpu: notify vcpu (IN) from now on. -ENOENT no such vCPU; -EINVAL also for what is
 * bound to its vCPU for good, IPIs and per-vCPU VIRQs.
 */
static long op_bind_vcpu(struct request *r)
{
    struct evtchn *chn = evtchn_find(r->d, r->u.bind_vcpu.port);

    if (domain_vcpu(r->d, r->u.bind_vcpu.vcpu) == NULL)
        return -ENOENT;
    if (chn->state == ECS_FREE || chn->state == ECS_IPI ||
        (chn->state == ECS_VIRQ && !virq_is_global(chn->num)))
        return -EINVAL;
    WRITE_ONCE(chn->vcpu, (uint8_t)r->u.bind_vcpu.vcpu);
    if (chn->state == ECS_PIRQ)
        pirq_move_locked(r->d, chn->num, r->u.bind_vcpu.port,
                         atomic_load(&r->d->vcpu[chn->vcpu]->processor));
    return 0;
}

/**
 * EVTCHNOP_reset: close all ports of dom (IN), which has the two-level ABI then: the caller, or
 * paused, else -EINVAL. Preemptible.
 */
static long op_reset(struct request *r)
{
    if (r->d != r->caller && READ_ONCE(r->d->pause_count) == 0)
        return -EINVAL;
    return evtchn_domain_relinquish(r->d);
}

/* ---- dispatch ---- */

/*
 * NAMES_DOM: the structure begins with a domain id, else -ESRCH; ACTS_FOR: and the caller must be
 * allowed to act for that domain, else -EPERM. OUT: the structure is copied back in the end.
 * op_*() runs with the event_locks of caller and that domain held, if not UNLOCKED.
 */
enum { OP_NAMES_DOM = 1, OP_ACTS_FOR = 2, OP_OUT = 4, OP_UNLOCKED = 8 };

#define OP(name, flags) [EVTCHNOP_##name] = { op_##name, sizeof(struct evtchn_##name), flags }

static const struct evtchn_op_entry {
    long (*fn)(struct request *r);
    uint8_t size, flags;
} ops[] = {
    OP(alloc_unbound, OP_NAMES_DOM | OP_ACTS_FOR),
    OP(bind_interdomain, OP_NAMES_DOM),
    OP(bind_virq, 0),
    OP(bind_pirq, 0),
    OP(bind_ipi, 0),
    OP(bind_vcpu, 0),
    OP(close, OP_UNLOCKED),
    OP(status, OP_NAMES_DOM | OP_ACTS_FOR | OP_OUT),
    OP(reset, OP_NAMES_DOM | OP_ACTS_FOR | OP_UNLOCKED),
    OP(init_control, OP_UNLOCKED), /* these are fifo.c's */
    OP(expand_array, OP_UNLOCKED),
    OP(set_priority, 0),
};

long evtchn_general_op(uint32_t cmd, uint64_t arg)
{
    const struct evtchn_op_entry *e = &ops[array_index_nospec(cmd, ARRAY_SIZE(ops))];
    struct request r = { .caller = current->domain, .arg = _gva(arg) };
    long rc;

    if (cmd >= ARRAY_SIZE(ops) || e->fn == NULL)
        return -ENOSYS;
    if (copy_from_guest(&r.u, _gva(arg), e->size))
        return -EFAULT;
    r.d = e->flags & OP_NAMES_DOM ? domain_get_by_id(r.caller, r.u.dom) : r.caller;
    if (r.d == NULL)
        return -ESRCH;
    rc = e->flags & OP_ACTS_FOR ? policy_check(r.caller, r.d, RIGHT_EVENTS) : 0;
    rc = rc ?: e->flags & OP_UNLOCKED ? e->fn(&r) : run_locked(e->fn, &r);
    for (unsigned int n = 0; rc > 0; n++) { /* more than once if other CPUs are faster */
        /* the port is the last field of all structures that have it */
        memcpy((char *)&r.u + e->size - sizeof(r.port), &r.port, sizeof(r.port));
        rc = n && hypercall_preempt_check() ? -ERESTART : ports_grow(r.owner, r.port);
        rc = rc ?: copy_to_guest(_gva(arg), &r.u, e->size);
        rc = rc ?: run_locked(e->fn, &r);
    }
    if (rc == 0 && (e->flags & OP_OUT))
        rc = copy_to_guest(_gva(arg), &r.u, e->size);
    if (e->flags & OP_NAMES_DOM)
        domain_put(r.d);
    return rc; /* also -ERESTART: the same again */
}
