/*
 * EVTCHNOP_*: ports and their bindings. internal.h has the states and the locking.
 *
 * All sub-ops go the same way, see event_op(): copy in, find and check the domain that is named,
 * op_*(), copy out with no lock held. A sub-op that gives out a port only reserves it, already
 * filled in, in op_*(); request_finish() commits it after the copy-out, or undoes everything.
 */
#include "event/internal.h"

#include "irq/irq.h"
#include "lib/errno.h"
#include "memory/heap.h"

_Static_assert(sizeof(struct evtchn_alloc_unbound) == 8, "ABI: alloc_unbound");
_Static_assert(sizeof(struct evtchn_bind_interdomain) == 12, "ABI: bind_interdomain");
_Static_assert(sizeof(struct evtchn_bind_virq) == 12, "ABI: bind_virq");
_Static_assert(sizeof(struct evtchn_bind_pirq) == 12, "ABI: bind_pirq");
_Static_assert(sizeof(struct evtchn_status) == 24, "ABI: status");
_Static_assert(EVTCHN_2L_NR_CHANNELS == NR_EVTCHN_MAX, "ABI: two-level ports");

#define CLOSE_BATCH 16u

/* One sub-op on its way. */
struct request {
    struct domain *caller;
    struct domain *d;          /* the domain that the structure names; else the caller */
    struct domain *owner;      /* of the port that was reserved, or NULL */
    struct domain *grow;       /* whose ports need another page, see reserve_locked() */
    evtchn_port_t port;
    enum evtchn_state state;   /* what commit makes of it */
    union {
        domid_t dom;           /* first in all structures that name a domain */
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_pirq bind_pirq;
        struct evtchn_bind_ipi bind_ipi;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_status status;
        evtchn_port_t port;    /* send, close, unmask */
    } u;
};

/* ---- port numbers ---- */

/* Add page n of d's ports. Allocating may wait for other CPUs, so it happens with no lock held. */
static int ports_grow(struct domain *d, uint32_t n)
{
    struct evtchn *page = alloc_page();
    unsigned long flags;

    if (page == NULL)
        return -ENOMEM;
    flags = spin_lock_irqsave(&d->event_lock);
    if (d->evtchn->page[n] == NULL) {
        __atomic_store_n(&d->evtchn->page[n], page, __ATOMIC_RELEASE);
        page = NULL;
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    free_page(page); /* another CPU was faster */
    return 0;
}

/*
 * Take d's lowest free port for r; what it will be notes num, and notifies vcpu. -EAGAIN, nothing
 * changed: the page of port r->port of r->grow is to be added first.
 */
static int reserve_locked(struct request *r, struct domain *d, enum evtchn_state state,
                          uint32_t num, uint32_t vcpu)
{
    struct evtchn_domain *e = d->evtchn;
    unsigned int w = e->free_words ? ffs64(e->free_words) - 1 : 0;
    evtchn_port_t port = w * 64 + ffs64(e->free[w]) - 1; /* huge if there is none */

    ASSERT(spin_is_held(&d->event_lock));
    if (d->is_dying)
        return -EINVAL;
    if (port > e->max_port)
        return -ENOSPC;
    r->port = port;
    if (e->page[port / EVTCHNS_PER_PAGE] == NULL) {
        r->grow = d;
        return -EAGAIN;
    }
    *evtchn_find(d, port) =
        (struct evtchn){ .state = ECS_RESERVED, .num = num, .vcpu = (uint8_t)vcpu };
    e->nr_reserved++;
    e->free[w] &= e->free[w] - 1;
    if (e->free[w] == 0)
        e->free_words &= ~(1ULL << w);
    r->owner = d;
    r->state = state;
    return 0;
}

static struct vcpu *domain_vcpu(const struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpu[array_index_nospec(id, MAX_VCPUS)] : NULL;
}

/* A port in this state goes: loosen what it was bound to, and give back the number. */
static void port_free_locked(struct domain *d, evtchn_port_t port, enum evtchn_state state)
{
    struct evtchn *chn = evtchn_find(d, port), *other;

    if (state == ECS_VIRQ) {
        d->vcpu[virq_is_global(chn->num) ? 0 : chn->vcpu]->virq_port[chn->num] = 0;
    } else if (state == ECS_PIRQ) {
        pirq_unbind_locked(d, chn->num); /* no interrupt of it is being delivered any more */
        d->evtchn->pirq_port[chn->num] = 0;
    } else if (state == ECS_INTERDOMAIN) { /* rule 15: what is pending at the other end stays */
        other = evtchn_find(chn->remote, chn->num);
        ASSERT(other->state == ECS_INTERDOMAIN && other->remote == d);
        other->state = ECS_UNBOUND;
        other->remote_domid = d->domain_id;
        other->remote = NULL;
        other->num = 0;
    }
    *chn = (struct evtchn){ .state = ECS_FREE };
    shared_test_and_clear(d->shared_info->evtchn_pending, port); /* not for the next user */
    d->evtchn->free[port / 64] |= 1ULL << (port % 64);
    d->evtchn->free_words |= 1ULL << (port / 64);
}

/* ---- closing ---- */

/* Lock d and, when chn is connected to another domain, that one as well: returned referenced. */
static struct domain *lock_with_peer(struct domain *d, const struct evtchn *chn,
                                     unsigned long *flags)
{
    for (;;) {
        struct domain *peer;

        *flags = spin_lock_irqsave(&d->event_lock);
        if (chn->state != ECS_INTERDOMAIN || chn->remote == d)
            return NULL;
        peer = chn->remote; /* lives as long as a port of its is connected */
        domain_get(peer);
        spin_unlock(&d->event_lock);
        spin_lock_pair(&d->event_lock, &peer->event_lock);
        if (chn->state == ECS_INTERDOMAIN && chn->remote == peer)
            return peer;
        spin_unlock_pair(&d->event_lock, &peer->event_lock);
        arch_irq_restore(*flags);
        domain_put(peer);
    }
}

static int port_close(struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = evtchn_find(d, port);
    struct domain *peer;
    unsigned long flags;
    bool in_use;

    if (chn == NULL)
        return -EINVAL;
    peer = lock_with_peer(d, chn, &flags);
    in_use = chn->state != ECS_FREE && chn->state != ECS_RESERVED;
    if (in_use)
        port_free_locked(d, port, chn->state);
    spin_unlock_pair(&d->event_lock, peer ? &peer->event_lock : &d->event_lock);
    arch_irq_restore(flags);
    if (peer)
        domain_put(peer);
    return in_use ? 0 : -EINVAL;
}

/* Close all ports that are in use. 0, or -ERESTART when it is time to let others run. */
static int close_all(struct domain *d)
{
    unsigned int nr_closed = 0;

    for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++)
        if (port_close(d, port) == 0 && ++nr_closed % CLOSE_BATCH == 0 && hypercall_preempt_check())
            return -ERESTART;
    return 0;
}

/* ---- lifecycle ---- */

int evtchn_domain_create(struct domain *d)
{
    struct evtchn_domain *e = xmalloc(sizeof(*e));

    if (e == NULL)
        return -ENOMEM;
    memset(e->free, 0xff, sizeof(e->free));
    e->free[0] &= ~1ULL;
    e->free_words = ~0ULL;
    e->max_port = NR_EVTCHN_MAX - 1;
    d->evtchn = e; /* if the rest fails, the caller destroys what there is */
    e->page[0] = alloc_page();
    if (d->is_hwdom)
        e->pirq_port = xmalloc(NR_PIRQS * sizeof(*e->pirq_port));
    if (e->page[0] == NULL || (d->is_hwdom && e->pirq_port == NULL))
        return -ENOMEM;
    e->page[0][0].state = ECS_RESERVED; /* port 0, for ever */
    return 0;
}

void evtchn_set_max_port(struct domain *d, uint32_t max_port)
{
    WRITE_ONCE(d->evtchn->max_port, MIN(max_port, NR_EVTCHN_MAX - 1u));
}

int evtchn_domain_relinquish(struct domain *d)
{
    int rc = close_all(d);

    ASSERT(d->is_dying); /* so that nothing new is reserved */
    if (rc == 0 && READ_ONCE(d->evtchn->nr_reserved))
        rc = -ERESTART; /* another CPU's hypercall is about to commit or undo */
    return rc;
}

void evtchn_domain_destroy(struct domain *d)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(d->evtchn->page); i++)
        free_page(d->evtchn->page[i]);
    xfree(d->evtchn->pirq_port);
    xfree(d->evtchn);
    d->evtchn = NULL;
}

/* ---- creating ports; all: -ENOSPC no free port, -ENOMEM, -EINVAL the owner is dying ---- */

/**
 * EVTCHNOP_alloc_unbound: create a port in dom (IN) that remote_dom (IN) may later bind to.
 * Differs: Xen keeps the port when the copy-out faults, we release it.
 */
static long op_alloc_unbound(struct request *r)
{
    domid_t remote = r->u.alloc_unbound.remote_dom;
    long rc = reserve_locked(r, r->d, ECS_UNBOUND, 0, 0);

    if (rc == 0)
        evtchn_find(r->d, r->port)->remote_domid =
            remote == DOMID_SELF ? r->caller->domain_id : remote;
    return rc;
}

static struct evtchn *find_unbound(const struct request *r)
{
    struct evtchn *chn = evtchn_find(r->d, r->u.bind_interdomain.remote_port);

    return chn && chn->state == ECS_UNBOUND && chn->remote_domid == r->caller->domain_id ? chn
                                                                                         : NULL;
}

/**
 * EVTCHNOP_bind_interdomain: connect a new port (local_port OUT) to the unbound remote_port (IN) of
 * remote_dom (IN, DOMID_SELF for loopback). -EINVAL: that is not unbound, or not for the caller
 * (local_port is written all the same if that came about at the last moment).
 */
static long op_bind_interdomain(struct request *r)
{
    unsigned long flags = arch_irq_save();
    long rc = -EINVAL;

    spin_lock_pair(&r->caller->event_lock, &r->d->event_lock);
    if (find_unbound(r))
        rc = reserve_locked(r, r->caller, ECS_INTERDOMAIN, 0, 0);
    spin_unlock_pair(&r->caller->event_lock, &r->d->event_lock);
    arch_irq_restore(flags);
    return rc;
}

static long connect_locked(const struct request *r)
{
    struct evtchn *lchn = evtchn_find(r->caller, r->port), *rchn = find_unbound(r);

    if (rchn == NULL)
        return -EINVAL;
    lchn->num = r->u.bind_interdomain.remote_port;
    lchn->remote = r->d;
    rchn->state = ECS_INTERDOMAIN;
    rchn->num = r->port;
    rchn->remote = r->caller;
    /* The other side may have sent before there was somebody to hear it. */
    port_set_pending(r->caller, r->port, r->caller->vcpu[lchn->vcpu]);
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
    evtchn_port_t *slot;
    struct vcpu *v;
    long rc;

    if (op->virq >= NR_VIRQS || (virq_is_global(op->virq) && op->vcpu != 0))
        return -EINVAL;
    v = domain_vcpu(r->d, op->vcpu);
    if (v == NULL)
        return -ENOENT;
    slot = &v->virq_port[array_index_nospec(op->virq, NR_VIRQS)];
    rc = *slot ? -EEXIST : reserve_locked(r, r->d, ECS_VIRQ, op->virq, op->vcpu);
    if (rc == 0)
        *slot = r->port; /* from here on events are kept as pending */
    return rc;
}

/**
 * EVTCHNOP_bind_pirq: a new port for pirq (IN), which PHYSDEVOP_map_pirq gave. -EINVAL not mapped;
 * -EPERM not the hardware domain; -EEXIST; -EBUSY somebody else has the interrupt.
 */
static long op_bind_pirq(struct request *r)
{
    uint32_t pirq = (uint32_t)array_index_nospec(r->u.bind_pirq.pirq, NR_PIRQS);
    uint16_t *pirq_port = r->d->evtchn->pirq_port;
    long rc;

    if (r->u.bind_pirq.pirq >= NR_PIRQS)
        return -EINVAL;
    if (pirq_port == NULL)
        return -EPERM;
    rc = pirq_port[pirq] ? -EEXIST : reserve_locked(r, r->d, ECS_PIRQ, pirq, 0);
    if (rc)
        return rc;
    WRITE_ONCE(pirq_port[pirq], (uint16_t)r->port); /* interrupts may arrive from here on */
    return pirq_bind_locked(r->d, pirq, r->u.bind_pirq.flags & BIND_PIRQ__WILL_SHARE);
}

/** EVTCHNOP_bind_ipi: a new port that notifies vcpu (IN). -ENOENT no such vCPU. */
static long op_bind_ipi(struct request *r)
{
    if (domain_vcpu(r->d, r->u.bind_ipi.vcpu) == NULL)
        return -ENOENT;
    return reserve_locked(r, r->d, ECS_IPI, 0, r->u.bind_ipi.vcpu);
}

/* Commit the port that r has reserved (the copy-out succeeded: rc is 0), or undo. */
static long request_finish(struct request *r, long rc)
{
    struct domain *d = r->owner, *rd = r->state == ECS_INTERDOMAIN ? r->d : d;
    unsigned long flags = arch_irq_save();

    spin_lock_pair(&d->event_lock, &rd->event_lock);
    if (rc == 0 && r->state == ECS_INTERDOMAIN)
        rc = connect_locked(r);
    if (rc == 0)
        evtchn_find(d, r->port)->state = (uint8_t)r->state;
    else
        port_free_locked(d, r->port, r->state == ECS_INTERDOMAIN ? ECS_RESERVED : r->state);
    d->evtchn->nr_reserved--;
    spin_unlock_pair(&d->event_lock, &rd->event_lock);
    arch_irq_restore(flags);
    return rc;
}

/* ---- using ports; all: -EINVAL no such port ---- */

/** EVTCHNOP_close. */
static long op_close(struct request *r) { return port_close(r->d, r->u.port); }

/** EVTCHNOP_send: 0 also when nobody is bound at the other end. -EINVAL: not such a port. */
static long port_send(struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = evtchn_find(d, port);
    unsigned long flags;
    long rc = 0;

    if (chn == NULL)
        return -EINVAL;
    flags = spin_lock_irqsave(&d->event_lock);
    if (chn->state == ECS_INTERDOMAIN) {
        struct domain *rd = chn->remote;
        uint8_t id = READ_ONCE(evtchn_find(rd, chn->num)->vcpu); /* may be moved, as ever */

        port_set_pending(rd, chn->num, rd->vcpu[id]);
    } else if (chn->state == ECS_IPI) {
        port_set_pending(d, port, d->vcpu[chn->vcpu]);
    } else if (chn->state != ECS_UNBOUND) {
        rc = -EINVAL;
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}

/** EVTCHNOP_status of a port of dom (IN). -EINVAL: a number so high that it was never given out. */
static long op_status(struct request *r)
{
    static const uint8_t stat[] = {
        [ECS_FREE] = EVTCHNSTAT_closed, [ECS_RESERVED] = EVTCHNSTAT_closed,
        [ECS_UNBOUND] = EVTCHNSTAT_unbound, [ECS_INTERDOMAIN] = EVTCHNSTAT_interdomain,
        [ECS_PIRQ] = EVTCHNSTAT_pirq, [ECS_VIRQ] = EVTCHNSTAT_virq, [ECS_IPI] = EVTCHNSTAT_ipi,
    };
    struct evtchn_status *op = &r->u.status;
    struct evtchn *chn = evtchn_find(r->d, op->port);

    if (chn == NULL)
        return -EINVAL;
    op->status = stat[chn->state];
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
    if (chn == NULL ||
        (chn->state != ECS_UNBOUND && chn->state != ECS_INTERDOMAIN && chn->state != ECS_PIRQ &&
         !(chn->state == ECS_VIRQ && virq_is_global(chn->num))))
        return -EINVAL;
    WRITE_ONCE(chn->vcpu, (uint8_t)r->u.bind_vcpu.vcpu);
    return 0;
}

/** EVTCHNOP_unmask: clear the mask and deliver what is pending. */
static long op_unmask(struct request *r)
{
    struct evtchn *chn = evtchn_find(r->d, r->u.port);

    if (chn == NULL)
        return -EINVAL;
    if (chn->state != ECS_FREE && chn->state != ECS_RESERVED)
        port_unmask(r->d, r->u.port, r->d->vcpu[chn->vcpu]);
    return 0;
}

/** EVTCHNOP_reset: close all ports of dom (IN): the caller, or paused, else -EINVAL. Preemptible. */
static long op_reset(struct request *r)
{
    if (r->d != r->caller && READ_ONCE(r->d->pause_count) == 0)
        return -EINVAL;
    return close_all(r->d);
}

/* ---- dispatch ---- */

#define OP_NAMES_DOM 1 /* the structure begins with a domain id: -ESRCH */
#define OP_ACTS_FOR 2  /* and the caller must be allowed to act for that domain: -EPERM */
#define OP_OUT 4       /* the structure is copied back */
#define OP_LOCKED 8    /* op_*() runs with that domain's event_lock held */

#define OP(name, flags, port_at)                                                                   \
    [EVTCHNOP_##name] = { op_##name, sizeof(struct evtchn_##name), flags, port_at }

/* The FIFO operations are not here: a guest that is told -ENOSYS stays with the two-level ABI. */
static const struct evtchn_op_entry {
    long (*fn)(struct request *r);
    uint8_t size, flags, port_at; /* where the number of a new port goes */
} ops[] = {
    OP(alloc_unbound, OP_NAMES_DOM | OP_ACTS_FOR | OP_OUT | OP_LOCKED,
       offsetof(struct evtchn_alloc_unbound, port)),
    OP(bind_interdomain, OP_NAMES_DOM | OP_OUT, offsetof(struct evtchn_bind_interdomain, local_port)),
    OP(bind_virq, OP_OUT | OP_LOCKED, offsetof(struct evtchn_bind_virq, port)),
    OP(bind_pirq, OP_OUT | OP_LOCKED, offsetof(struct evtchn_bind_pirq, port)),
    OP(bind_ipi, OP_OUT | OP_LOCKED, offsetof(struct evtchn_bind_ipi, port)),
    OP(bind_vcpu, OP_LOCKED, 0),
    OP(close, 0, 0),
    OP(status, OP_NAMES_DOM | OP_ACTS_FOR | OP_OUT | OP_LOCKED, 0),
    OP(unmask, OP_LOCKED, 0),
    OP(reset, OP_NAMES_DOM | OP_ACTS_FOR, 0),
};

static long event_op_call(const struct evtchn_op_entry *e, struct request *r)
{
    unsigned long flags;
    long rc;

    if ((e->flags & OP_ACTS_FOR) && r->d != r->caller && !r->caller->is_privileged)
        return -EPERM;
    if (!(e->flags & OP_LOCKED))
        return e->fn(r);
    flags = spin_lock_irqsave(&r->d->event_lock);
    rc = e->fn(r);
    spin_unlock_irqrestore(&r->d->event_lock, flags);
    return rc;
}

static long event_op(const struct evtchn_op_entry *e, struct request *r, guest_va_t arg)
{
    long rc;

    if (copy_from_guest(&r->u, arg, e->size))
        return -EFAULT;
    r->d = e->flags & OP_NAMES_DOM ? domain_get_by_id(r->caller, r->u.dom) : r->caller;
    if (r->d == NULL)
        return -ESRCH;
    while ((rc = event_op_call(e, r)) == -EAGAIN) {
        rc = ports_grow(r->grow, r->port / EVTCHNS_PER_PAGE);
        if (rc)
            break;
    }
    if (rc == 0 && e->port_at)
        memcpy((char *)&r->u + e->port_at, &r->port, sizeof(r->port));
    if (rc == 0 && (e->flags & OP_OUT) && copy_to_guest(arg, &r->u, e->size))
        rc = -EFAULT;
    if (r->owner)
        rc = request_finish(r, rc);
    if (e->flags & OP_NAMES_DOM)
        domain_put(r->d);
    return rc;
}

long hc_event_channel_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const uint64_t again[] = { cmd, arg };
    struct request r;
    uint32_t op = (uint32_t)cmd;
    evtchn_port_t port;
    long rc;

    if (op == EVTCHNOP_send)
        return copy_from_guest(&port, _gva(arg), sizeof(port)) ? -EFAULT
                                                               : port_send(current->domain, port);
    if (op >= ARRAY_SIZE(ops) || ops[op = (uint32_t)array_index_nospec(op, ARRAY_SIZE(ops))].fn == NULL)
        return -ENOSYS;
    r.caller = current->domain;
    r.owner = NULL;
    rc = event_op(&ops[op], &r, _gva(arg));
    return rc == -ERESTART ? hypercall_continue(__HYPERVISOR_event_channel_op, 2, again) : rc;
}

long hc_event_channel_op_compat(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    uint32_t cmd;

    if (copy_from_guest(&cmd, _gva(arg + offsetof(struct evtchn_op, cmd)), sizeof(cmd)))
        return -EFAULT;
    if (cmd > EVTCHNOP_unmask)
        return -ENOSYS;
    return hc_event_channel_op(cmd, arg + offsetof(struct evtchn_op, u), 0, 0, 0);
}
