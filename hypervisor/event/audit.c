/* What the debug keys show of event channels, and the self-check of their tables. */
#include "event/internal.h"

#include "irq/irq.h"
#include "lib/print.h"

static const char *const state_names[] = {
    [ECS_FREE] = "free", [ECS_RESERVED] = "reserved", [ECS_UNBOUND] = "unbound",
    [ECS_INTERDOMAIN] = "interdomain", [ECS_PIRQ] = "pirq", [ECS_VIRQ] = "virq", [ECS_IPI] = "ipi",
};

static void port_print(struct domain *d, evtchn_port_t port)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    struct evtchn chn = *evtchn_find(d, port);
    domid_t remote = chn.state == ECS_INTERDOMAIN ? chn.remote->domain_id : chn.remote_domid;

    spin_unlock_irqrestore(&d->event_lock, flags);
    if (chn.state != ECS_FREE)
        print(LOG_INFO, "  %4u [%u/%u] vcpu %u %s d%u %u\n", port,
              shared_test(d->shared_info->evtchn_pending, port),
              shared_test(d->shared_info->evtchn_mask, port), chn.vcpu, state_names[chn.state],
              remote, chn.num);
}

void evtchn_print(void)
{
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        print(LOG_INFO, "d%u: port [pending/masked] vcpu type domain number\n", d->domain_id);
        for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++)
            if (evtchn_find(d, port))
                port_print(d, port);
    }
    spin_unlock(&domain_list_lock);
}

/* True if what a port in use points at points back. */
static bool port_ok(const struct domain *d, evtchn_port_t port, const struct evtchn *chn)
{
    const struct evtchn *other;

    if (chn->vcpu >= d->max_vcpus || (chn->remote != NULL) != (chn->state == ECS_INTERDOMAIN))
        return false;
    switch (chn->state) {
    case ECS_INTERDOMAIN:
        other = evtchn_find(chn->remote, chn->num);
        return other && other->state == ECS_INTERDOMAIN && other->remote == d && other->num == port;
    case ECS_VIRQ:
        return d->vcpu[virq_is_global(chn->num) ? 0 : chn->vcpu]->virq_port[chn->num] == port;
    case ECS_PIRQ:
        return d->evtchn->pirq_port[chn->num] == port;
    default:
        return true;
    }
}

/* True if port, where this VIRQ or pirq is noted to go, is none or one of its kind. */
static bool pointer_ok(const struct domain *d, evtchn_port_t port, enum evtchn_state state,
                       uint32_t num)
{
    const struct evtchn *chn = port ? evtchn_find(d, port) : NULL;

    return port == 0 ||
           (chn && chn->num == num && (chn->state == ECS_RESERVED || chn->state == state));
}

static unsigned int domain_audit(const struct domain *d)
{
    const struct evtchn_domain *e = d->evtchn;
    unsigned int bad = 0, nr_reserved = 0;
    const struct vcpu *v;

    for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++) {
        const struct evtchn *chn = evtchn_find(d, port);
        bool is_free = chn == NULL || chn->state == ECS_FREE;

        nr_reserved += chn && chn->state == ECS_RESERVED;
        if (is_free == (e->free[port / 64] >> (port % 64) & 1) && (is_free || port_ok(d, port, chn)))
            continue;
        print(LOG_ERR, "audit: d%u port %u is wrong\n", d->domain_id, port);
        bad++;
    }
    for (unsigned int w = 0; w < ARRAY_SIZE(e->free); w++)
        bad += (e->free_words >> w & 1) != (e->free[w] != 0);
    for_each_vcpu(d, v)
        for (uint32_t i = 0; i < NR_VIRQS; i++)
            bad += !pointer_ok(d, v->virq_port[i], ECS_VIRQ, i);
    for (uint32_t i = 0; e->pirq_port && i < NR_PIRQS; i++)
        bad += !pointer_ok(d, e->pirq_port[i], ECS_PIRQ, i);
    bad += nr_reserved != e->nr_reserved;
    if (bad)
        print(LOG_ERR, "audit: d%u: %u faults in its event channels\n", d->domain_id, bad);
    return bad;
}

unsigned int evtchn_audit(void)
{
    unsigned int bad = 0;

    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        unsigned long flags = spin_lock_irqsave(&d->event_lock);

        bad += domain_audit(d);
        spin_unlock_irqrestore(&d->event_lock, flags);
    }
    spin_unlock(&domain_list_lock);
    return bad;
}
