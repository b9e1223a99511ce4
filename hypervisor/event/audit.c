/* What the debug keys show of event channels, and the self-check of their tables. */
#include "event/internal.h"


void evtchn_print(void)
{
    static const char *const names[] = { "free", "unbound", "interdomain", "pirq", "virq", "ipi" };

    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        print(LOG_INFO, "d%u: port [pending/masked] vcpu type domain number\n", d->domain_id);
        for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++) {
            unsigned long flags = spin_lock_irqsave(&d->event_lock);
            const struct evtchn *chn = evtchn_find(d, port);

            if (chn && chn->state != ECS_FREE)
                print(LOG_INFO, "  %4u [%u/%u] vcpu %u %s d%u %u\n", port,
                      shared_test(d->shared_info->evtchn_pending, port),
                      shared_test(d->shared_info->evtchn_mask, port), chn->vcpu, names[chn->state],
                      chn->remote ? chn->remote->domain_id : chn->remote_domid, chn->num);
            spin_unlock_irqrestore(&d->event_lock, flags);
        }
    }
    spin_unlock(&domain_list_lock);
}

/* True if what a port points at points back. */
static bool port_ok(const struct domain *d, evtchn_port_t port)
{
    const struct evtchn *chn = evtchn_find(d, port), *other;

    if (chn == NULL || chn->state == ECS_FREE)
        return port >= d->evtchn->first_free;
    if (chn->vcpu >= d->max_vcpus || (chn->remote != NULL) != (chn->state == ECS_INTERDOMAIN))
        return false;
    if (chn->state == ECS_VIRQ)
        return d->vcpu[virq_is_global(chn->num) ? 0 : chn->vcpu]->virq_port[chn->num] == port;
    other = chn->remote ? evtchn_find(chn->remote, chn->num) : NULL;
    return chn->remote == NULL || (other && other->remote == d && other->num == port);
}

/* True if the port where this VIRQ of v goes is none or one of its kind. */
static bool virq_ok(const struct vcpu *v, uint32_t virq)
{
    const struct evtchn *chn = evtchn_find(v->domain, v->virq_port[virq]);

    return v->virq_port[virq] == 0 || (chn && chn->num == virq && chn->state == ECS_VIRQ);
}

unsigned int evtchn_audit(void)
{
    unsigned int bad = 0;

    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        unsigned long flags = spin_lock_irqsave(&d->event_lock);
        unsigned int bad_before = bad;
        const struct vcpu *v;

        for (evtchn_port_t port = 1; port < NR_EVTCHN_MAX; port++)
            bad += !port_ok(d, port);
        for_each_vcpu (d, v)
            for (uint32_t virq = 0; virq < NR_VIRQS; virq++)
                bad += !virq_ok(v, virq);
        spin_unlock_irqrestore(&d->event_lock, flags);
        if (bad != bad_before)
            print(LOG_ERR, "audit: d%u has wrong event channels\n", d->domain_id);
    }
    spin_unlock(&domain_list_lock);
    return bad;
}
