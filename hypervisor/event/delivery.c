/*
 * Delivery of events, and the sub-ops that are frequent: send and unmask. Two-level ABI: a pending
 * bit in shared_info, then, unless it is masked, the word's bit in the vCPU's selector, then the
 * vCPU's upcall flag. All three lie in memory that the guest writes as well: nothing read there is
 * trusted beyond "notify or not". fifo.c is in place of the first two where the guest chose it.
 */
#include "event/internal.h"

#include "memory/frame.h"
#include "sched/sched.h"
#include "sched/time.h"

#include <xen/sched.h>

#define POLL_PORTS_MAX 128u

/* ---- marking ---- */

/* v has events now: it runs, and looks at them soon. */
static noinline void vcpu_wake(struct vcpu *v)
{
    if (v != current && atomic_load(&v->running))
        arch_cpu_kick(atomic_load(&v->processor));
    vcpu_unblock(v); /* the current one too: it may be on its way out */
}

static inline void mark_events_pending(struct vcpu *v)
{
    vcpu_info_t *info = READ_ONCE(v->info);

    /* Whoever set the flag before has woken the vCPU; it cannot block while the flag is set. */
    if (!__atomic_exchange_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
        vcpu_wake(v);
}

void vcpu_mark_events_pending(struct vcpu *v) { mark_events_pending(v); }

/*
 * A bit without VPF_POLL is left from a poll that something else ended; only the vCPU itself may drop
 * it, as it may be about to poll again.
 */
void wake_pollers(struct domain *d, evtchn_port_t port)
{
    uint64_t mask = atomic_load(&d->evtchn->pollers);

    for (; mask; mask &= mask - 1) {
        unsigned int id = ffs64(mask) - 1;
        struct vcpu *v = d->vcpu[id];
        evtchn_port_t waits_for = READ_ONCE(v->poll_port);

        if (!(atomic_load(&v->pause_flags) & VPF_POLL) || (waits_for && waits_for != port))
            continue;
        atomic_fetch_and(&d->evtchn->pollers, ~(1ULL << id));
        vcpu_unblock(v);
    }
}

/*
 * The port is pending: tell whom it notifies, if it is not masked. That may be changed at any time,
 * and need not exist yet. v->info is read after the pending bit was set, see vcpu_info_register().
 */
static inline void port_notify(struct domain *d, uint64_t port, const struct evtchn *chn)
{
    struct vcpu *v = d->vcpu[READ_ONCE(chn->vcpu)];

    if (v == NULL || shared_test(d->shared_info->evtchn_mask, port))
        return;
    page_mark_dirty(d, v->info_mfn);
    if (!shared_test_and_set(&READ_ONCE(v->info)->evtchn_pending_sel, port / 64))
        mark_events_pending(v);
}

static noinline void notify_polled(struct domain *d, uint64_t port, const struct evtchn *chn)
{
    wake_pollers(d, (evtchn_port_t)port);
    port_notify(d, port, chn);
}

/* chn: the port's. */
static hot_inline void set_pending(struct domain *d, uint64_t port, const struct evtchn *chn)
{
    struct evtchn_domain *ed = d->evtchn;

    if (READ_ONCE(ed->fifo)) {
        fifo_set_pending(d, (evtchn_port_t)port);
        return;
    }
    page_mark_dirty(d, d->shared_info_mfn);
    if (shared_test_and_set(d->shared_info->evtchn_pending, port))
        return;
    if (unlikely(atomic_load(&ed->pollers)))
        notify_polled(d, port, chn);
    else
        port_notify(d, port, chn);
}

void evtchn_set_pending(struct domain *d, evtchn_port_t port)
{
    set_pending(d, port, evtchn_find(d, port));
}

bool port_test(const struct domain *d, evtchn_port_t port, unsigned int bit)
{
    const shared_info_t *si = d->shared_info;

    if (d->evtchn->fifo)
        return fifo_test(d, port, bit);
    return shared_test(bit == EVTCHN_FIFO_PENDING ? si->evtchn_pending : si->evtchn_mask,
                       array_index_nospec(port, EVTCHN_2L_NR_CHANNELS));
}

void port_reset(struct domain *d, evtchn_port_t port)
{
    if (d->evtchn->fifo == NULL)
        shared_test_and_clear(d->shared_info->evtchn_pending, port);
    fifo_port_reset(d, port);
}

/* ---- send and unmask ---- */

/*
 * Both with the event_lock of the caller's domain d, whatever the number.
 * send: an event to the other end; 0 also when nobody is bound there. -EINVAL: not such a port.
 * unmask: clear the mask and deliver what is pending. -EINVAL: out of range.
 */
static hot_inline long send_locked(struct domain *d, uint64_t port)
{
    const struct evtchn *chn;

    port = array_index_nospec(port, EVTCHN_FIFO_NR_CHANNELS); /* 0, FREE, if there is none such */
    chn = evtchn_at(d, port);
    if (chn->state == ECS_INTERDOMAIN) {
        d = chn->remote;
        port = chn->num;
        chn = evtchn_at(d, port);
    } else if (chn->state != ECS_IPI) {
        return chn->state == ECS_UNBOUND ? 0 : -EINVAL;
    }
    set_pending(d, port, chn);
    return 0;
}

static hot_inline long unmask_locked(struct domain *d, uint64_t port)
{
    if (d->evtchn->fifo)
        return fifo_unmask(d, (evtchn_port_t)port);
    if (port >= EVTCHN_2L_NR_CHANNELS)
        return -EINVAL;
    port = array_index_nospec(port, EVTCHN_2L_NR_CHANNELS);
    page_mark_dirty(d, d->shared_info_mfn);
    if (shared_test_and_clear(d->shared_info->evtchn_mask, port) &&
        shared_test(d->shared_info->evtchn_pending, port))
        port_notify(d, port, evtchn_at(d, port));
    return 0;
}

/* fn with the event_lock. */
static hot_inline long port_op(long (*fn)(struct domain *d, uint64_t port), uint64_t arg)
{
    struct domain *d = current->domain;
    evtchn_port_t port; /* all that both have */
    long rc;

    if (copy_from_guest(&port, _gva(arg), sizeof(port)))
        return -EFAULT;
    arch_irq_disable();
    spin_lock(&d->event_lock);
    rc = fn(d, port);
    spin_unlock(&d->event_lock);
    arch_irq_enable();
    return rc;
}

long hc_event_channel_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    switch ((uint32_t)cmd) {
    case EVTCHNOP_send: return port_op(send_locked, arg);
    case EVTCHNOP_unmask: return port_op(unmask_locked, arg);
    default: return evtchn_general_op((uint32_t)cmd, arg);
    }
}

bool vcpu_has_events(const struct vcpu *v)
{
    const vcpu_info_t *info = READ_ONCE(v->info);

    return READ_ONCE(info->evtchn_upcall_pending) && !READ_ONCE(info->evtchn_upcall_mask);
}

/* ---- sources ---- */

void virq_send_vcpu(struct vcpu *v, uint32_t virq)
{
    unsigned long flags = spin_lock_irqsave(&v->domain->event_lock);

    ASSERT(virq < NR_VIRQS);
    if (v->virq_port[virq])
        evtchn_set_pending(v->domain, v->virq_port[virq]);
    spin_unlock_irqrestore(&v->domain->event_lock, flags);
}

void virq_send_global(struct domain *d, uint32_t virq)
{
    if (d && d->vcpu[0])
        virq_send_vcpu(d->vcpu[0], virq); /* where it is bound, whomever it notifies */
}

/* ---- SCHEDOP_poll ---- */

/**
 * SCHEDOP_poll: sleep until one of the ports is pending (masked or not), any event is to be
 * delivered, or the timeout (absolute system time, 0: none) has passed.
 * @arg  struct sched_poll: ports (array), nr_ports at most 128, timeout
 * Returns 0 at once or when the vCPU runs again; -EFAULT; -EINVAL (too many, or no such port).
 */
long evtchn_poll(guest_va_t arg)
{
    evtchn_port_t ports[POLL_PORTS_MAX];
    struct vcpu *v = current;
    uint64_t me = 1ULL << v->vcpu_id;
    struct sched_poll poll;
    unsigned long flags;
    bool ready;

    if (copy_from_guest(&poll, arg, sizeof(poll)))
        return -EFAULT;
    if (poll.nr_ports > POLL_PORTS_MAX)
        return -EINVAL;
    if (copy_from_guest(ports, GVA_OF(poll.ports), poll.nr_ports * sizeof(*ports)))
        return -EFAULT;
    for (unsigned int i = 0; i < poll.nr_ports; i++)
        if (ports[i] >= port_limit(v->domain))
            return -EINVAL;
    WRITE_ONCE(v->poll_port, poll.nr_ports == 1 ? ports[0] : 0);
    atomic_fetch_or(&v->pause_flags, VPF_BLOCKED | VPF_POLL);
    atomic_fetch_or(&v->domain->evtchn->pollers, me);
    /* From here on senders see us; an event from before is seen here, as in vcpu_block(). */
    ready = vcpu_has_events(v) || vcpu_has_nmi(v);
    flags = spin_lock_irqsave(&v->domain->event_lock);
    for (unsigned int i = 0; i < poll.nr_ports; i++)
        ready |= port_test(v->domain, ports[i], EVTCHN_FIFO_PENDING);
    spin_unlock_irqrestore(&v->domain->event_lock, flags);
    vcpu_set_poll_timer(v, ready ? 0 : poll.timeout);
    if (ready) {
        atomic_fetch_and(&v->domain->evtchn->pollers, ~me);
        vcpu_unblock(v);
    } else {
        softirq_raise(SOFTIRQ_SCHEDULE);
    }
    return 0;
}

/* ---- where vcpu_info lives ---- */

int vcpu_info_register(struct vcpu *v, mfn_t mfn, uint32_t offset)
{
    vcpu_info_t *to = (vcpu_info_t *)((char *)mfn_to_virt(mfn) + offset);
    vcpu_info_t copy = *v->info; /* in two steps: the guest may name a place that overlaps */

    if (offset > PAGE_SIZE - sizeof(vcpu_info_t) || offset % sizeof(uint64_t) ||
        (v != current && !(atomic_load(&v->pause_flags) & VPF_DOWN)) ||
        mfn_x(v->info_mfn) != mfn_x(INVALID_MFN))
        return -EINVAL;
    *to = copy;
    v->info_mfn = mfn;
    __atomic_store_n(&v->info, to, __ATOMIC_SEQ_CST);
    /*
     * A sender that still marked the old place had set its port's pending bit before it read
     * v->info: with every word selected now, the guest looks at all of them.
     */
    __atomic_store_n(&to->evtchn_pending_sel, ~0UL, __ATOMIC_SEQ_CST);
    WRITE_ONCE(to->evtchn_upcall_pending, 0);
    vcpu_mark_events_pending(v);
    page_mark_dirty(v->domain, mfn);
    return 0;
}

mfn_t vcpu_info_release(struct vcpu *v)
{
    static vcpu_info_t nowhere; /* written by whoever still has an event for a dead vCPU */
    unsigned long flags = spin_lock_irqsave(&v->domain->event_lock);
    mfn_t mfn = v->info_mfn;

    v->info_mfn = INVALID_MFN;
    __atomic_store_n(&v->info, &nowhere, __ATOMIC_SEQ_CST);
    spin_unlock_irqrestore(&v->domain->event_lock, flags);
    return mfn;
}
