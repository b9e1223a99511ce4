/*
 * EVTCHNOP_*: ports and their bindings. internal.h has the states and the locking.
 *
 * All sub-ops but the short send and unmask go the same way, see general_op(): copy in, find and
 * check the domain that is named, op_*(), copy out with no lock held. One that gives out a port runs
 * twice: first all is checked and a number chosen, which is copied out while nothing has changed yet;
 * then all is checked again and done. So nothing is ever to be undone, and no port is seen half bound.
 */
#include "event/internal.h"

#include "irq/irq.h"
#include "memory/heap.h"

/* One sub-op on its way. */
struct request {
    struct domain *caller;
    struct domain *d;   /* the domain that the structure names; else the caller */
    evtchn_port_t port; /* the new one, as chosen; or 0 */
    union {
        domid_t dom; /* first in all structures that name a domain */
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_pirq bind_pirq;
        struct evtchn_bind_ipi bind_ipi;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_status status;
        evtchn_port_t port; /* close */
    } u;
};

/* ---- port numbers ---- */

/*
 * 0: the port chosen before is now as given. 1: d's lowest free port is chosen for r, nothing has
 * changed, the caller returns that. -EINVAL: d is dying; -ENOSPC.
 */
static long port_take_locked(struct request *r, struct domain *d, struct evtchn as)
{
    struct evtchn *chn = evtchn_find(d, r->port);

    ASSERT(spin_is_held(&d->event_lock));
    if (d->is_dying)
        return -EINVAL;
    if (r->port && chn->state == ECS_FREE) {
        *chn = as;
        return 0;
    }
    for (r->port = 1; r->port < NR_EVTCHN_MAX; r->port++)
        if (evtchn_find(d, r->port)->state == ECS_FREE)
            return 1;
    return -ENOSPC;
}

static struct vcpu *domain_vcpu(const struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpu[array_index_nospec(id, MAX_VCPUS)] : NULL;
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
        *other = (struct evtchn){ ECS_UNBOUND, other->vcpu, d->domain_id, 0, NULL };
    }
    *chn = (struct evtchn){ .state = ECS_FREE };
    shared_test_and_clear(d->shared_info->evtchn_pending, r->u.port); /* not for the next user */
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

int evtchn_domain_relinquish(struct domain *d)
{
    for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++)
        if (port_close(d, port) == 0 && hypercall_preempt_check())
            return -ERESTART;
    return 0;
}

/* ---- lifecycle ---- */

int evtchn_domain_create(struct domain *d)
{
    d->evtchn = xmalloc_pages(sizeof(*d->evtchn));
    return d->evtchn ? 0 : -ENOMEM;
}

void evtchn_domain_destroy(struct domain *d) { xfree_pages(d->evtchn, sizeof(*d->evtchn)); }

/*
 * ---- creating ports ----
 *
 * All: what port_take_locked() says. When a last-moment change made by another vCPU is the reason
 * for an error, the number was written all the same.
 */

/**
 * EVTCHNOP_alloc_unbound: create a port in dom (IN) that remote_dom (IN) may later bind to.
 * Differs: Xen keeps the port when the copy-out faults, we never create it.
 */
static long op_alloc_unbound(struct request *r)
{
    domid_t remote = r->u.alloc_unbound.remote_dom, self = r->caller->domain_id;

    remote = remote == DOMID_SELF ? self : remote;
    return port_take_locked(r, r->d, (struct evtchn){ ECS_UNBOUND, 0, remote, 0, NULL });
}

long evtchn_alloc_unbound(struct domain *d, domid_t remote)
{
    struct request r = { .caller = d, .d = d, .u.alloc_unbound.remote_dom = remote };
    long rc;

    do
        rc = run_locked(op_alloc_unbound, &r);
    while (rc > 0);
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

    if (rchn->state != ECS_UNBOUND || rchn->remote_domid != r->caller->domain_id)
        return -EINVAL;
    rc = port_take_locked(r, r->caller, (struct evtchn){ ECS_INTERDOMAIN, 0, 0, rport, r->d });
    if (rc)
        return rc;
    *rchn = (struct evtchn){ ECS_INTERDOMAIN, rchn->vcpu, 0, r->port, r->caller };
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
    rc = port_take_locked(r, r->d,
                          (struct evtchn){ ECS_VIRQ, (uint8_t)op->vcpu, 0, op->virq, NULL });
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
        *evtchn_find(r->d, r->port) = (struct evtchn){ .state = ECS_FREE };
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

    if (op->port >= NR_EVTCHN_MAX)
        return -EINVAL;
    op->status = chn->state;
    op->vcpu = chn->vcpu;
    if (chn->state == ECS_UNBOUND) {
        op->u.unbound.dom = chn->remote_domid;
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

/** EVTCHNOP_reset: close all ports of dom (IN): the caller, or paused, else -EINVAL. Preemptible. */
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

/* The FIFO operations are not here: a guest that is told -ENOSYS stays with the two-level ABI. */
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
};

static noinline long general_op(uint32_t cmd, uint64_t arg)
{
    const struct evtchn_op_entry *e = &ops[array_index_nospec(cmd, ARRAY_SIZE(ops))];
    struct request r = { .caller = current->domain };
    long rc;

    if (cmd >= ARRAY_SIZE(ops) || e->fn == NULL)
        return -ENOSYS;
    if (copy_from_guest(&r.u, _gva(arg), e->size))
        return -EFAULT;
    r.d = e->flags & OP_NAMES_DOM ? domain_get_by_id(r.caller, r.u.dom) : r.caller;
    if (r.d == NULL)
        return -ESRCH;
    if ((e->flags & OP_ACTS_FOR) && r.d != r.caller && !r.caller->is_privileged)
        rc = -EPERM;
    else
        rc = e->flags & OP_UNLOCKED ? e->fn(&r) : run_locked(e->fn, &r);
    for (unsigned int n = 0; rc > 0; n++) { /* more than once if other CPUs are faster */
        /* the port is the last field of all structures that have it */
        memcpy((char *)&r.u + e->size - sizeof(r.port), &r.port, sizeof(r.port));
        rc = n && hypercall_preempt_check() ? -ERESTART : copy_to_guest(_gva(arg), &r.u, e->size);
        rc = rc ?: run_locked(e->fn, &r);
    }
    if (rc == 0 && (e->flags & OP_OUT))
        rc = copy_to_guest(_gva(arg), &r.u, e->size);
    if (e->flags & OP_NAMES_DOM)
        domain_put(r.d);
    return rc; /* also -ERESTART: the same again */
}

/* send and unmask, the frequent ones: a port of the caller's, with its event_lock. */
static hot_inline long port_op(long (*fn_locked)(struct domain *d, evtchn_port_t port),
                               uint64_t arg)
{
    struct domain *d = current->domain;
    evtchn_port_t port;
    long rc;

    if (copy_from_guest(&port, _gva(arg), sizeof(port)))
        return -EFAULT;
    arch_irq_disable();
    spin_lock(&d->event_lock);
    rc = fn_locked(d, port);
    spin_unlock(&d->event_lock);
    arch_irq_enable();
    return rc;
}

long hc_event_channel_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    switch ((uint32_t)cmd) {
    case EVTCHNOP_send: return port_op(port_send_locked, arg);
    case EVTCHNOP_unmask: return port_op(port_unmask_locked, arg);
    default: return general_op((uint32_t)cmd, arg);
    }
}
