/* sched_op and vcpu_op: what a guest does with its vCPUs as a whole. */
#include "hypercall/hypercall.h"

#include <xen/sched.h>

#include "domain/domain.h"
#include "event/evtchn.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"

/**
 * HYPERVISOR_sched_op.
 * Returns 0 (watchdog: also a number); -EFAULT; what evtchn_poll() and domain_watchdog() say; -ENOSYS for
 *   remote_shutdown (libxl's of HVM guests), shutdown_code, pin_override and unknown commands.
 */
long hc_sched_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct sched_shutdown op;
    struct sched_watchdog dog;

    switch (cmd) {
    case SCHEDOP_yield: vcpu_yield(); return 0;
    case SCHEDOP_block:
        WRITE_ONCE(current->info->evtchn_upcall_mask, 0);
        vcpu_block();
        return 0;
    case SCHEDOP_shutdown:
        if (copy_from_guest(&op, _gva(arg), sizeof(op)))
            return -EFAULT;
        domain_shutdown(current->domain, (uint8_t)op.reason);
        return 0;
    case SCHEDOP_poll: return evtchn_poll(_gva(arg));
    case SCHEDOP_watchdog:
        return copy_from_guest(&dog, _gva(arg), sizeof(dog))
                   ?: domain_watchdog(current->domain, dog.id, dog.timeout);
    default: return -ENOSYS;
    }
}

/* ---- vcpu_op ---- */

static long op_up(struct vcpu *v)
{
    bool ok;

    spin_lock(&v->domain->lock);
    ok = v->is_initialised;
    if (ok)
        vcpu_pause_clear(v, VPF_DOWN);
    spin_unlock(&v->domain->lock);
    return ok ? 0 : -EINVAL;
}

/* The last one to go down takes the domain with it: nobody is left to bring any up. */
static long op_down(struct vcpu *v)
{
    struct domain *d = v->domain;
    struct vcpu *other;
    bool last = true;

    spin_lock(&d->lock);
    for_each_vcpu (d, other)
        last &= other == v || (atomic_load(&other->pause_flags) & VPF_DOWN);
    if (!last)
        vcpu_pause_set(v, VPF_DOWN);
    spin_unlock(&d->lock);
    if (last)
        domain_shutdown(d, SHUTDOWN_poweroff);
    return 0;
}

static long op_get_runstate(struct vcpu *v, guest_va_t arg)
{
    struct vcpu_runstate_info info = { 0 }; /* padding too */

    vcpu_runstate_get(v, &info);
    return copy_to_guest(arg, &info, sizeof(info));
}

/* The area is tried first, so that a bad address is refused and not found out at each switch. */
static long op_register_area(struct vcpu *v, bool is_time, guest_va_t arg)
{
    struct vcpu_time_info t = v->info->time;
    uint64_t area;

    if (copy_from_guest(&area, arg, sizeof(area)))
        return -EFAULT;
    if (area &&
        (is_time ? copy_to_guest(_gva(area), &t, sizeof(t)) : op_get_runstate(v, _gva(area))))
        return -EFAULT;
    *(is_time ? &v->time_area : &v->runstate_area) = _gva(area);
    if (v == current)
        (is_time ? vcpu_time_update : vcpu_runstate_update_area)(v);
    return 0;
}

/* The singleshot timer; it is set by its vCPU only. */
static long op_singleshot(struct vcpu *v, bool set, guest_va_t arg)
{
    struct vcpu_set_singleshot_timer op = { 0 };

    if (v != current)
        return -EINVAL;
    if (set && copy_from_guest(&op, arg, sizeof(op)))
        return -EFAULT;
    if ((op.flags & VCPU_SSHOTTMR_future) && op.timeout_abs_ns <= arch_time_ns())
        return -ETIME;
    vcpu_set_timer(v, set ? MAX(op.timeout_abs_ns, 1u) : 0); /* even time 0 is only late */
    return 0;
}

static long op_register_info(struct vcpu *v, guest_va_t arg)
{
    struct vcpu_register_vcpu_info op;
    mfn_t m;
    long rc;

    if (copy_from_guest(&op, arg, sizeof(op)))
        return -EFAULT;
    m = gfn_to_mfn(v->domain, _gfn(op.mfn));
    if (!page_get_writable(v->domain, m))
        return -EINVAL;
    spin_lock(&v->domain->lock); /* a vCPU that is down stays so */
    rc = vcpu_info_register(v, m, op.offset);
    spin_unlock(&v->domain->lock);
    if (rc)
        page_put_writable(m);
    return rc;
}

long vcpu_send_nmi(struct vcpu *v)
{
    atomic_store(&v->nmi_pending, true);
    vcpu_unblock(v);
    if (atomic_load(&v->running))
        arch_cpu_kick(atomic_load(&v->processor));
    return 0;
}

/**
 * HYPERVISOR_vcpu_op on a vCPU of the caller's domain.
 * Returns 0 (is_up: 0 or 1); -ENOENT no such vCPU; -EFAULT; -EINVAL not initialised, another vCPU's
 *   singleshot timer, a vcpu_info that cannot be there, get_physid (vCPUs are not pinned); -EEXIST
 *   initialise twice; -EPERM its debug registers; -ENOMEM; -ETIME a singleshot in the past; -ENOSYS.
 *   initialise is preemptible.
 * There is no periodic timer (no client of the census sets one): set_periodic_timer is -ENOSYS, and
 *   stop_periodic_timer, which Linux calls, has nothing to do.
 */
long hc_vcpu_op(uint64_t cmd, uint64_t id, uint64_t arg, uint64_t a4, uint64_t a5)
{
    struct vcpu *v = domain_vcpu(current->domain, id);

    if (v == NULL)
        return -ENOENT;
    switch (cmd) {
    case VCPUOP_initialise: return vcpu_context_set(v, _gva(arg), true);
    case VCPUOP_up: return op_up(v);
    case VCPUOP_down: return op_down(v);
    case VCPUOP_is_up: return !(atomic_load(&v->pause_flags) & VPF_DOWN);
    case VCPUOP_get_runstate_info: return op_get_runstate(v, _gva(arg));
    case VCPUOP_register_runstate_memory_area: return op_register_area(v, false, _gva(arg));
    case VCPUOP_register_vcpu_time_memory_area: return op_register_area(v, true, _gva(arg));
    case VCPUOP_stop_periodic_timer: return 0;
    case VCPUOP_set_singleshot_timer: return op_singleshot(v, true, _gva(arg));
    case VCPUOP_stop_singleshot_timer: return op_singleshot(v, false, _gva(arg));
    case VCPUOP_register_vcpu_info: return op_register_info(v, _gva(arg));
    case VCPUOP_send_nmi: return vcpu_send_nmi(v);
    case VCPUOP_get_physid: return -EINVAL;
    default: return -ENOSYS;
    }
}
