#include "sched/time.h"

#include "lib/errno.h"
#include "lib/lib.h"
#include "memory/frame.h"
#include "memory/guest_copy.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "sched/timer.h"

#define PERIOD_MIN_NS MILLISECS(1)
#define PERIOD_MAX_NS (1ULL << 62)
#define NS_PER_S 1000000000u

struct vcpu_timers {
    struct timer singleshot, periodic, poll;
    _Atomic uint64_t period_ns; /* 0: the periodic timer is off */
};

/* ---- the wall clock ---- */

/* Leaf; also serializes writers of wc_version. The values are of system time 0. */
static struct spinlock wallclock_lock = SPINLOCK_INIT(L_TIMER);
static bool wallclock_is_set; /* else it is the RTC's */
static uint64_t wallclock_s;
static uint32_t wallclock_ns;

static void wallclock_get_locked(uint64_t *secs, uint32_t *nsecs)
{
    *secs = wallclock_is_set ? wallclock_s : arch_boot_wallclock_s();
    *nsecs = wallclock_is_set ? wallclock_ns : 0;
}

void domain_wallclock_update(struct domain *d)
{
    unsigned long flags = spin_lock_irqsave(&wallclock_lock);
    shared_info_t *s = d->shared_info;
    uint64_t secs;
    uint32_t nsecs, version;

    wallclock_get_locked(&secs, &nsecs);
    secs += (uint64_t)d->time_offset_s;
    version = READ_ONCE(s->wc_version) | 1; /* odd: being written */
    WRITE_ONCE(s->wc_version, version);
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(s->wc_sec, (uint32_t)secs);
    WRITE_ONCE(s->wc_sec_hi, (uint32_t)(secs >> 32));
    WRITE_ONCE(s->wc_nsec, nsecs);
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(s->wc_version, version + 1);
    page_mark_dirty(d, d->shared_info_mfn);
    spin_unlock_irqrestore(&wallclock_lock, flags);
}

void wallclock_set(uint64_t secs, uint32_t nsecs, uint64_t system_time_ns)
{
    uint64_t ns = nsecs + (uint64_t)NS_PER_S - system_time_ns % NS_PER_S;
    unsigned long flags;

    secs += ns / NS_PER_S - 1 - system_time_ns / NS_PER_S;
    flags = spin_lock_irqsave(&wallclock_lock);
    wallclock_s = secs;
    wallclock_ns = (uint32_t)(ns % NS_PER_S);
    wallclock_is_set = true;
    spin_unlock_irqrestore(&wallclock_lock, flags);
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d != NULL; d = d->next)
        if (d->shared_info)
            domain_wallclock_update(d);
    spin_unlock(&domain_list_lock);
}

/* ---- system time ---- */

int domain_set_tsc_mode(struct domain *d, uint32_t mode)
{
    if (mode > TSC_MODE_NATIVE)
        return -EINVAL;
    d->tsc_mode = mode;
    if (d->is_hwdom) /* it brings the machine up and calibrates; as Xen has it */
        d->vtsc = false;
    else
        d->vtsc = mode == TSC_MODE_ALWAYS_EMULATE || (mode == TSC_MODE_DEFAULT && !arch_tsc_reliable);
    return 0;
}

static uint64_t ns_to_guest_tsc(uint64_t ns) { return muldiv64(ns, arch_tsc_khz(), 1000000); }

uint64_t guest_tsc(const struct vcpu *v)
{
    return v->domain->vtsc ? ns_to_guest_tsc(arch_time_ns()) : arch_tsc();
}

static void time_info_fill(const struct vcpu *v, struct vcpu_time_info *t)
{
    const struct tsc_scale *scale = &arch_tsc_scale;
    uint64_t now;

    *t = (struct vcpu_time_info){ .tsc_to_system_mul = scale->mul, .tsc_shift = scale->shift };
    if (v->domain->vtsc) {
        now = arch_time_ns();
        t->tsc_timestamp = ns_to_guest_tsc(now);
        t->system_time = now;
    } else {
        t->tsc_timestamp = scale->base;
        t->flags = arch_tsc_reliable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0;
    }
}

void vcpu_time_update(struct vcpu *v)
{
    volatile struct vcpu_time_info *to = &v->info->time;
    guest_va_t area = v->time_area;
    struct vcpu_time_info t;

    time_info_fill(v, &t);
    t.version = to->version | 1; /* odd: being written */
    to->version = t.version;
    atomic_thread_fence(memory_order_release);
    to->tsc_timestamp = t.tsc_timestamp;
    to->system_time = t.system_time;
    to->tsc_to_system_mul = t.tsc_to_system_mul;
    to->tsc_shift = t.tsc_shift;
    to->flags = t.flags;
    atomic_thread_fence(memory_order_release);
    to->version = t.version + 1;
    page_mark_dirty(v->domain, mfn_x(v->info_mfn) == ~0ULL ? v->domain->shared_info_mfn : v->info_mfn);

    if (gva_x(area) == 0 || v != current) /* else it is written at the next switch to v */
        return;
    if (copy_to_guest(area, &t.version, sizeof(t.version)) || copy_to_guest(area, &t, sizeof(t)))
        return;
    atomic_thread_fence(memory_order_release);
    t.version++;
    (void)copy_to_guest(area, &t.version, sizeof(t.version));
}

void vcpu_time_switched_in(struct vcpu *v)
{
    const volatile struct vcpu_time_info *t = &v->info->time;

    /* Without vtsc nothing ever changes, but the guest (or who restored it) may have overwritten it. */
    if (v->domain->vtsc || t->tsc_to_system_mul != arch_tsc_scale.mul ||
        t->tsc_timestamp != arch_tsc_scale.base)
        vcpu_time_update(v);
}

/* ---- timers of vCPUs ---- */

static void (*send_virq)(struct vcpu *v, uint32_t virq);

void time_register_virq(void (*send)(struct vcpu *v, uint32_t virq)) { send_virq = send; }

static void timer_event(void *data)
{
    if (send_virq)
        send_virq(data, VIRQ_TIMER);
}

static void periodic_event(void *data)
{
    struct vcpu *v = data;
    struct vcpu_timers *t = v->timers;
    uint64_t period = atomic_load(&t->period_ns), now = arch_time_ns(), due = t->periodic.node.key;

    timer_event(v);
    if (period == 0)
        return;
    due += period; /* in step with the first, whatever was missed */
    if (due <= now)
        due += (now - due) / period * period + period;
    timer_set_on(&t->periodic, atomic_load(&v->processor), due);
    if (atomic_load(&t->period_ns) == 0) /* stopped meanwhile */
        timer_stop(&t->periodic);
}

static void poll_event(void *data)
{
    struct vcpu *v = data;

    if (atomic_load(&v->pause_flags) & VPF_POLL)
        vcpu_unblock(v);
}

int vcpu_timers_create(struct vcpu *v)
{
    struct vcpu_timers *t = xmalloc(sizeof(*t));
    uint32_t cpu = atomic_load(&v->processor);

    if (t == NULL)
        return -ENOMEM;
    timer_init(&t->singleshot, timer_event, v, cpu);
    timer_init(&t->periodic, periodic_event, v, cpu);
    timer_init(&t->poll, poll_event, v, cpu);
    v->timers = t;
    if (v->info)
        vcpu_time_update(v);
    return 0;
}

void vcpu_timers_destroy(struct vcpu *v)
{
    if (v->timers == NULL)
        return;
    timer_kill(&v->timers->singleshot);
    timer_kill(&v->timers->periodic);
    timer_kill(&v->timers->poll);
    xfree(v->timers);
    v->timers = NULL;
}

int vcpu_set_singleshot(struct vcpu *v, uint64_t timeout_abs_ns, uint32_t flags)
{
    if ((flags & VCPU_SSHOTTMR_future) && timeout_abs_ns <= arch_time_ns())
        return -ETIME;
    timer_set_on(&v->timers->singleshot, atomic_load(&v->processor), timeout_abs_ns);
    return 0;
}

void vcpu_stop_singleshot(struct vcpu *v) { timer_stop(&v->timers->singleshot); }

int vcpu_set_periodic(struct vcpu *v, uint64_t period_ns)
{
    if (period_ns < PERIOD_MIN_NS || period_ns > PERIOD_MAX_NS)
        return -EINVAL;
    atomic_store(&v->timers->period_ns, period_ns);
    timer_set_on(&v->timers->periodic, atomic_load(&v->processor), arch_time_ns() + period_ns);
    return 0;
}

void vcpu_stop_periodic(struct vcpu *v)
{
    atomic_store(&v->timers->period_ns, 0);
    timer_stop(&v->timers->periodic);
}

void vcpu_set_timer(struct vcpu *v, uint64_t timeout_abs_ns)
{
    if (timeout_abs_ns == 0)
        vcpu_stop_singleshot(v);
    else
        vcpu_set_singleshot(v, timeout_abs_ns, 0);
}

void vcpu_set_poll_timer(struct vcpu *v, uint64_t timeout_abs_ns)
{
    timer_set_on(&v->timers->poll, atomic_load(&v->processor), timeout_abs_ns);
}

void vcpu_stop_poll_timer(struct vcpu *v) { timer_stop(&v->timers->poll); }
