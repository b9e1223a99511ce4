/* What the debug keys show of event channels, and the self-check of their tables. */
#include "event/internal.h"

/* True if what a port points at points back. */
static bool port_ok(const struct domain *d, evtchn_port_t port)
{
    const struct evtchn *chn = evtchn_find(d, port), *other;

    if (chn->state == ECS_FREE)
        return chn->remote == NULL;
    if (chn->vcpu >= d->max_vcpus || (chn->remote != NULL) != (chn->state == ECS_INTERDOMAIN))
        return false;
    if (chn->state == ECS_VIRQ)
        return d->vcpu[virq_is_global(chn->num) ? 0 : chn->vcpu]->virq_port[chn->num] == port;
    other = chn->remote ? evtchn_find(chn->remote, chn->num) : NULL;
    return other == NULL || (other->remote == d && other->num == port);
}

/* Are all ports either in use or among the closed ones? */
static bool numbers_ok(const struct domain *d)
{
    const struct evtchn_domain *ed = d->evtchn;
    evtchn_port_t port = ed->closed_first, n = 1 + ed->nr_used, last = 0;

    for (; port && n < ed->fresh && evtchn_find(d, port)->state == ECS_FREE; n++) {
        last = port;
        port = evtchn_find(d, port)->num;
    }
    return port == 0 && n == ed->fresh && (last == 0 || last == ed->closed_last) &&
           ed->fresh <= ed->nr_ports;
}

/* Print all ports in use, or else only those that are wrong; how many are. */
static unsigned int evtchn_walk(bool all)
{
    static const char *const names[] = { "free", "unbound", "interdomain", "pirq", "virq", "ipi" };
    unsigned int bad = 0;
    const struct vcpu *v;

    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        unsigned int lines = 0; /* not so many that a domain could have it take long */
        unsigned long flags = spin_lock_irqsave(&d->event_lock);

        for_each_vcpu (d, v)
            for (uint32_t virq = 0; virq < NR_VIRQS; virq++) {
                const struct evtchn *chn = evtchn_find(d, v->virq_port[virq]);

                bad += v->virq_port[virq] && (chn->num != virq || chn->state != ECS_VIRQ);
            }
        bad += !all && !numbers_ok(d);
        bad += d->evtchn->fifo ? !fifo_ok(d) : d->nr_event_frames != 0;
        spin_unlock_irqrestore(&d->event_lock, flags);
        for (evtchn_port_t port = 1; port < READ_ONCE(d->evtchn->fresh); port++) {
            const struct evtchn *chn = evtchn_find(d, port);
            bool ok;

            flags = spin_lock_irqsave(&d->event_lock);
            ok = port_ok(d, port);
            bad += !ok;
            if (!ok || (all && chn->state != ECS_FREE && lines++ < 256))
                print(LOG_INFO, "d%u port %u: %s%s vcpu %u d%u %u%s%s\n", d->domain_id, port,
                      ok ? "" : "WRONG ", names[chn->state], chn->vcpu,
                      chn->remote                 ? chn->remote->domain_id
                      : chn->state == ECS_UNBOUND ? chn->num
                                                  : d->domain_id,
                      chn->state == ECS_UNBOUND ? 0 : chn->num,
                      port_test(d, port, EVTCHN_FIFO_PENDING) ? " pending" : "",
                      port_test(d, port, EVTCHN_FIFO_MASKED) ? " masked" : "");
            spin_unlock_irqrestore(&d->event_lock, flags);
        }
    }
    spin_unlock(&domain_list_lock);
    return bad;
}

void evtchn_print(void) { evtchn_walk(true); }
unsigned int evtchn_audit(void) { return evtchn_walk(false); }

uint32_t evtchn_nr_ports(const struct domain *d) { return READ_ONCE(d->evtchn->nr_used); }
