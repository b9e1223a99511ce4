#include "sched/time.h"

#include "memory/frame.h"
#include "memory/guest_copy.h"
#include "sched/sched.h"

#define NS_PER_S SECONDS(1)
#define TSC_KHZ_MIN 100000u /* a guest's TSC, slower than of any CPU with long mode */

/* ---- the wall clock ---- */

/* Leaf; also serializes writers of wc_version. */
static struct spinlock wallclock_lock = SPINLOCK_INIT(L_TIMER);
/* What was set, of system time 0: seconds after the RTC's and, which that has not, nanoseconds. */
static uint64_t wallclock_s;
static uint32_t wallclock_ns;

void domain_wallclock_update(struct domain *d)
{
    unsigned long flags = spin_lock_irqsave(&wallclock_lock);
    uint64_t secs = arch_boot_wallclock_s() + wallclock_s + (uint64_t)d->time_offset_s;
    shared_info_t *s = d->shared_info;
    uint32_t version = READ_ONCE(s->wc_version) | 1; /* odd: being written */

    WRITE_ONCE(s->wc_version, version);
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(s->wc_sec, (uint32_t)secs);
    WRITE_ONCE(s->wc_sec_hi, (uint32_t)(secs >> 32));
    WRITE_ONCE(s->wc_nsec, wallclock_ns);
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(s->wc_version, version + 1);
    page_mark_dirty(d, d->shared_info_mfn);
    spin_unlock_irqrestore(&wallclock_lock, flags);
}

void wallclock_set(uint64_t secs, uint32_t nsecs, uint64_t system_time_ns)
{
    uint64_t ns = nsecs + NS_PER_S - system_time_ns % NS_PER_S;
    unsigned long flags = spin_lock_irqsave(&wallclock_lock);

    wallclock_s = secs + ns / NS_PER_S - 1 - system_time_ns / NS_PER_S - arch_boot_wallclock_s();
    wallclock_ns = (uint32_t)(ns % NS_PER_S);
    spin_unlock_irqrestore(&wallclock_lock, flags);
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d != NULL; d = d->next)
        if (d->shared_info)
            domain_wallclock_update(d);
    spin_unlock(&domain_list_lock);
}

/* ---- system time ---- */

int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info)
{
    uint32_t khz = info->gtsc_khz ?: (uint32_t)arch_tsc_khz();
    bool native = arch_tsc_reliable && khz == (uint32_t)arch_tsc_khz();
    struct tsc_scale scale;

    if (info->tsc_mode > TSC_MODE_NATIVE || khz < TSC_KHZ_MIN)
        return -EINVAL;
    tsc_scale_init(&scale, khz);
    d->tsc_mode = info->tsc_mode;
    d->tsc_khz = khz;
    d->tsc_mul = scale.mul;
    d->tsc_shift = scale.shift;
    d->tsc_start_ns = arch_time_ns() - info->elapsed_nsec;
    d->tsc_incarnation = info->incarnation;
    /* the hardware domain brings the machine up and calibrates; as Xen has it */
    d->vtsc = !d->is_hwdom && (info->tsc_mode == TSC_MODE_ALWAYS_EMULATE ||
                               (info->tsc_mode == TSC_MODE_DEFAULT && !native));
    return 0;
}

void domain_get_tsc(const struct domain *d, struct xen_domctl_tsc_info *info)
{
    *info =
        (struct xen_domctl_tsc_info){ .tsc_mode = d->tsc_mode, .incarnation = d->tsc_incarnation };
    if (d->tsc_mode == TSC_MODE_NATIVE)
        return;
    info->gtsc_khz = d->vtsc && d->tsc_khz ? d->tsc_khz : (uint32_t)arch_tsc_khz();
    info->elapsed_nsec =
        d->vtsc ? arch_time_ns() - d->tsc_start_ns : muldiv64(arch_tsc(), 1000000, arch_tsc_khz());
}

/* Any number of ns and any frequency: at worst the result has wrapped. */
static uint64_t ns_to_guest_tsc(const struct domain *d, uint64_t ns)
{
    uint64_t khz = d->tsc_khz ?: arch_tsc_khz();

    ns -= d->tsc_start_ns;
    return ns / 1000000 * khz + ns % 1000000 * khz / 1000000;
}

uint64_t guest_tsc(const struct vcpu *v)
{
    return v->domain->vtsc ? ns_to_guest_tsc(v->domain, arch_time_ns()) : arch_tsc();
}

void guest_area_write(guest_va_t area, const void *from, size_t len, size_t mark, uint64_t done)
{
    guest_va_t word = _gva(gva_x(area) + mark);

    if (gva_x(area) == 0 || copy_to_guest(word, (const char *)from + mark, sizeof(done)))
        return;
    atomic_thread_fence(memory_order_release);
    if (copy_to_guest(area, from, len))
        return;
    atomic_thread_fence(memory_order_release);
    (void)copy_to_guest(word, &done, sizeof(done));
}

void vcpu_time_update(struct vcpu *v)
{
    struct vcpu_time_info *to = &v->info->time, t = {
        .version = READ_ONCE(to->version) | 1, /* odd: being written */
        .tsc_timestamp = arch_tsc_scale.base,
        .tsc_to_system_mul = arch_tsc_scale.mul,
        .tsc_shift = arch_tsc_scale.shift,
        .flags = arch_tsc_reliable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0,
    };

    if (v->domain->vtsc) {
        t.system_time = arch_time_ns();
        t.tsc_timestamp = ns_to_guest_tsc(v->domain, t.system_time);
        t.tsc_to_system_mul = v->domain->tsc_mul ?: t.tsc_to_system_mul;
        t.tsc_shift = v->domain->tsc_mul ? v->domain->tsc_shift : t.tsc_shift;
        t.flags = 0;
    }
    WRITE_ONCE(to->version, t.version);
    atomic_thread_fence(memory_order_release);
    *to = t;
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(to->version, t.version + 1);
    page_mark_dirty(v->domain,
                    mfn_x(v->info_mfn) == ~0ULL ? v->domain->shared_info_mfn : v->info_mfn);

    if (v == current) /* else it is written at the next switch to v */
        guest_area_write(v->time_area, &t, sizeof(t), 0, t.version + 1); /* pad0, after it, is 0 */
}

/* ---- timers of vCPUs ---- */

static void (*send_virq)(struct vcpu *v, uint32_t virq);

void time_register_virq(void (*send)(struct vcpu *v, uint32_t virq)) { send_virq = send; }

static void timer_event(void *v) { send_virq(v, VIRQ_TIMER); }

static void poll_event(void *data)
{
    struct vcpu *v = data;

    if (atomic_load(&v->pause_flags) & VPF_POLL)
        vcpu_unblock(v);
}

void vcpu_timers_init(struct vcpu *v)
{
    v->virq_timer = (struct timer){ .fn = timer_event, .data = v };
    v->poll_timer = (struct timer){ .fn = poll_event, .data = v };
}

void vcpu_timers_kill(struct vcpu *v)
{
    timer_kill(&v->virq_timer);
    timer_kill(&v->poll_timer);
}

void vcpu_set_timer(struct vcpu *v, uint64_t at_ns) { timer_set(&v->virq_timer, at_ns); }
void vcpu_set_poll_timer(struct vcpu *v, uint64_t at_ns) { timer_set(&v->poll_timer, at_ns); }
