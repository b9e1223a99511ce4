/* What the toolstack is shown of a domain. */
#include "hypercall/domctl.h"

#include "sched/sched.h"
#include "x86/arch.h"

/* A domain is running if one of its vCPUs is, and blocked if none of those that are up could. */
static void vcpus_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    uint32_t state = XEN_DOMINF_blocked;
    struct vcpu_runstate_info r;
    struct vcpu *v;

    for_each_vcpu (d, v) {
        uint32_t flags = atomic_load(&v->pause_flags);

        vcpu_runstate_get(v, &r);
        info->cpu_time += r.time[RUNSTATE_running];
        info->max_vcpu_id = v->vcpu_id;
        if (flags & VPF_DOWN)
            continue;
        info->nr_online_vcpus++;
        if (!(flags & VPF_BLOCKED))
            state &= ~XEN_DOMINF_blocked;
        if (r.state == RUNSTATE_running)
            state |= XEN_DOMINF_running;
    }
    info->flags |= info->nr_online_vcpus ? state : 0;
}

void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    uint32_t code = atomic_load(&d->shutdown_code);

    *info = (struct xen_domctl_getdomaininfo){
        .domain = d->domain_id,
        .tot_pages = READ_ONCE(d->nr_pages),
        .max_pages = READ_ONCE(d->max_pages),
        .shared_info_frame = mfn_x(d->shared_info_mfn),
        .max_vcpu_id = XEN_INVALID_MAX_VCPU_ID,
        .gpaddr_bits = (uint8_t)arch_paddr_bits,
    };
    memcpy(info->handle, d->handle, sizeof(info->handle));
    if (READ_ONCE(d->is_dying))
        info->flags |= XEN_DOMINF_dying;
    if (code != SHUTDOWN_NONE)
        info->flags |= XEN_DOMINF_shutdown | (code & XEN_DOMINF_shutdownmask)
                                                 << XEN_DOMINF_shutdownshift;
    if (READ_ONCE(d->pause_count))
        info->flags |= XEN_DOMINF_paused;
    vcpus_info(d, info);
}
