#include "sched/sched.h"

#include "memory/guest_copy.h"
#include "memory/heap.h"
#include "sched/policy.h"
#include "sched/time.h"
#include "sched/timer.h"

struct sched_vcpu {
    struct entity entity;
    struct vcpu *vcpu;
    _Atomic uint64_t affinity; /* CPUs it may run on */
};

struct sched_pcpu {
    struct spinlock lock; /* L_SCHED */
    struct sched_queue queue;
    struct timer again; /* raises SOFTIRQ_SCHEDULE */
};

static struct sched_pcpu queues[NR_CPUS];

static void raise_schedule(void *data) { softirq_raise(SOFTIRQ_SCHEDULE); }

void sched_init_cpu(uint32_t cpu)
{
    queues[cpu] = (struct sched_pcpu){ SPINLOCK_INIT(L_SCHED), .again.fn = raise_schedule };
    softirq_register(SOFTIRQ_SCHEDULE, schedule);
}

static struct sched_pcpu *queue_of(const struct vcpu *v)
{
    return &queues[atomic_load(&v->processor)];
}

/* The queue v is on, locked, interrupts off. */
static struct sched_pcpu *lock_queue(const struct vcpu *v, unsigned long *flags)
{
    for (;;) {
        struct sched_pcpu *q = queue_of(v);

        *flags = spin_lock_irqsave(&q->lock);
        if (q == queue_of(v))
            return q;
        spin_unlock_irqrestore(&q->lock, *flags);
    }
}

static uint32_t cpu_of(const struct sched_pcpu *q) { return (uint32_t)(q - queues); }

/* ---- runstates ---- */

static void runstate_set_locked(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;

    now = MAX(now, r->state_entry_time);
    r->time[r->state] += now - r->state_entry_time;
    r->state_entry_time = now;
    r->state = state;
}

static int runstate_not_running(const struct vcpu *v)
{
    uint32_t flags = atomic_load(&v->pause_flags);

    if (flags == 0)
        return RUNSTATE_runnable;
    return flags & VPF_BLOCKED ? RUNSTATE_blocked : RUNSTATE_offline;
}

static void runstate_read(struct vcpu *v, struct vcpu_runstate_info *out)
{
    unsigned long flags;
    struct sched_pcpu *q = lock_queue(v, &flags);

    *out = v->runstate;
    spin_unlock_irqrestore(&q->lock, flags);
}

void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    runstate_read(v, out);
    out->time[out->state] += MAX(arch_time_ns(), out->state_entry_time) - out->state_entry_time;
}

/* With the guest's consent the top bit of state_entry_time says that we are writing. */
void vcpu_runstate_update_area(struct vcpu *v)
{
    struct vcpu_runstate_info r;
    uint64_t entered;

    if (gva_x(v->runstate_area) == 0)
        return;
    runstate_read(v, &r);
    entered = r.state_entry_time;
    if (v->domain->vm_assist >> VMASST_TYPE_runstate_update_flag & 1)
        r.state_entry_time |= XEN_RUNSTATE_UPDATE;
    guest_area_write(v->runstate_area, &r, sizeof(r), offsetof(typeof(r), state_entry_time),
                     entered);
}

/* ---- stop and go ---- */

/* v's pause_flags or its queue changed: let it compete, or stop it. */
static void update_locked(struct sched_pcpu *q, struct vcpu *v)
{
    bool may_run = atomic_load(&v->pause_flags) == 0, choose = !may_run;
    struct entity *e = &v->sched->entity;
    uint64_t now = arch_time_ns();

    if (e != q->queue.curr) {
        runstate_set_locked(v, runstate_not_running(v), now);
        choose = may_run && e->state == ENTITY_OUT && policy_wake(&q->queue, e, now);
        if (!may_run)
            policy_sleep(&q->queue, e, now);
    }
    if (choose)
        softirq_raise_on(cpu_of(q), SOFTIRQ_SCHEDULE);
}

static void flags_change(struct vcpu *v, uint32_t set, uint32_t clear)
{
    unsigned long flags;
    struct sched_pcpu *q = lock_queue(v, &flags);

    atomic_fetch_or(&v->pause_flags, set);
    atomic_fetch_and(&v->pause_flags, ~clear);
    update_locked(q, v);
    spin_unlock_irqrestore(&q->lock, flags);
}

void vcpu_pause_set(struct vcpu *v, uint32_t mask) { flags_change(v, mask, 0); }

void vcpu_pause_clear(struct vcpu *v, uint32_t mask)
{
    if (atomic_load(&v->pause_flags) & mask)
        flags_change(v, 0, mask);
}

void vcpu_pause_sync(struct vcpu *v, uint32_t flags)
{
    vcpu_pause_set(v, flags);
    BUG_ON(v == current);
    ASSERT(arch_irq_enabled());
    while (atomic_load(&v->running))
        cpu_relax();
}

/* Pairs with vcpu_block(): the event's bit is set before the flag is read here, with a full barrier. */
void vcpu_unblock(struct vcpu *v) { vcpu_pause_clear(v, VPF_BLOCKED | VPF_POLL); }

void vcpu_block(void)
{
    struct vcpu *v = current;

    atomic_fetch_or(&v->pause_flags, VPF_BLOCKED);
    /* From here on vcpu_unblock() sees the flag; an event from before is seen here. */
    if (READ_ONCE(v->info->evtchn_upcall_pending) && !READ_ONCE(v->info->evtchn_upcall_mask))
        vcpu_unblock(v);
    else
        softirq_raise(SOFTIRQ_SCHEDULE);
}

void vcpu_yield(void)
{
    WRITE_ONCE(current->sched->entity.yields, true);
    softirq_raise(SOFTIRQ_SCHEDULE);
}

int sched_set_params(struct vcpu *v, uint32_t weight, uint32_t cap)
{
    unsigned long flags;
    struct sched_pcpu *q;

    if (weight == 0 || weight > SCHED_WEIGHT_MAX)
        return -EINVAL;
    q = lock_queue(v, &flags);
    policy_set(&q->queue, &v->sched->entity, weight, cap < SCHED_CAP_MAX ? cap : 0, arch_time_ns());
    softirq_raise_on(cpu_of(q), SOFTIRQ_SCHEDULE);
    spin_unlock_irqrestore(&q->lock, flags);
    return 0;
}

/* ---- placement ---- */

static bool may_be_on(const struct vcpu *v, const struct sched_pcpu *q)
{
    return atomic_load(&v->sched->affinity) >> cpu_of(q) & 1;
}

/* Of the online CPUs that v may run on, the one where least competes. */
static struct sched_pcpu *best_queue(const struct vcpu *v)
{
    struct sched_pcpu *best = NULL;

    for (uint64_t m = atomic_load(&v->sched->affinity) & arch_cpus_online(); m; m &= m - 1) {
        struct sched_pcpu *q = &queues[ffs64(m) - 1];

        if (best == NULL || READ_ONCE(q->queue.weights) < READ_ONCE(best->queue.weights))
            best = q;
    }
    return best;
}

/*
 * If v is on the queue of a CPU that it may not run on: move it, or make it stop if it runs, which
 * calls again. has_stopped: its registers are saved; as soon as it is unlocked it may run elsewhere,
 * or be freed.
 */
static void place(struct vcpu *v, bool has_stopped)
{
    unsigned long flags = arch_irq_save();
    struct sched_pcpu *from, *to;

    for (;;) {
        from = queue_of(v);
        to = may_be_on(v, from) ? from : best_queue(v);
        spin_lock_pair(&from->lock, &to->lock);
        if (from == queue_of(v) && may_be_on(v, to))
            break;
        spin_unlock_pair(&from->lock, &to->lock);
    }
    if (has_stopped)
        atomic_store(&v->running, false);
    if (from != to && atomic_load(&v->running)) {
        softirq_raise_on(cpu_of(from), SOFTIRQ_SCHEDULE);
    } else if (from != to) {
        policy_sleep(&from->queue, &v->sched->entity, arch_time_ns());
        policy_move(&from->queue, &to->queue, &v->sched->entity);
        atomic_store(&v->processor, cpu_of(to));
        update_locked(to, v);
    }
    spin_unlock_pair(&from->lock, &to->lock);
    arch_irq_restore(flags);
}

int sched_set_affinity(struct vcpu *v, uint64_t cpus)
{
    if ((cpus & arch_cpus_online()) == 0)
        return -EINVAL;
    atomic_store(&v->sched->affinity, cpus);
    place(v, false);
    return 0;
}

int sched_vcpu_create(struct vcpu *v)
{
    struct sched_vcpu *s = xmalloc(sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    *s = (struct sched_vcpu){ { .weight = SCHED_WEIGHT_DEFAULT }, .vcpu = v, .affinity = ~0ULL };
    v->sched = s;
    v->runstate.state = v->is_idle ? RUNSTATE_running : RUNSTATE_offline; /* padding stays zero */
    v->runstate.state_entry_time = arch_time_ns();
    if (v->is_idle)
        return 0;
    atomic_store(&v->processor, cpu_of(best_queue(v)));
    return 0;
}

void sched_vcpu_destroy(struct vcpu *v)
{
    unsigned long flags;
    struct sched_pcpu *q;

    if (v->sched == NULL)
        return;
    q = lock_queue(v, &flags); /* so that the CPU it was on has left place() */
    BUG_ON(atomic_load(&v->running) || v->sched->entity.state != ENTITY_OUT);
    spin_unlock_irqrestore(&q->lock, flags);
    xfree(v->sched);
}

/* ---- switching ---- */

/* The areas are addresses of the kernel's, whatever v was doing. */
static void areas_update(struct vcpu *v)
{
    bool kernel = v->arch.kernel_mode;

    if (v->is_idle)
        return;
    arch_vcpu_enter_space(v, true);
    vcpu_runstate_update_area(v);
    vcpu_time_update(v);
    arch_vcpu_enter_space(v, kernel);
}

void schedule(void)
{
    struct sched_pcpu *q = &queues[this_pcpu()->id];
    unsigned long flags = spin_lock_irqsave(&q->lock);
    struct vcpu *prev = current, *next = this_pcpu()->idle;
    struct entity *e = &prev->sched->entity;
    uint64_t now = arch_time_ns(), again_ns;

    if (e == q->queue.curr && (atomic_load(&prev->pause_flags) || !may_be_on(prev, q)))
        policy_sleep(&q->queue, e, now);
    e = policy_pick(&q->queue, now, &again_ns);
    if (e)
        next = container_of(e, struct sched_vcpu, entity)->vcpu;
    timer_set(&q->again, again_ns);
    if (next == prev) {
        spin_unlock_irqrestore(&q->lock, flags);
        return;
    }
    runstate_set_locked(prev, runstate_not_running(prev), now);
    runstate_set_locked(next, RUNSTATE_running, now);
    atomic_store(&next->running, true);
    spin_unlock(&q->lock);
    /* Siblings read in prev's area whether it was preempted; blocked, the area stays as it is. */
    if (prev->runstate.state == RUNSTATE_runnable)
        areas_update(prev);
    arch_context_switch(prev, next);
    place(prev, true);
    areas_update(next);
    arch_irq_restore(flags);
}

void sched_print(void)
{
    for (uint64_t m = arch_cpus_online(); m; m &= m - 1) {
        struct sched_pcpu *q = &queues[ffs64(m) - 1];

        print(LOG_INFO, "CPU %u: %u compete with weights of %lu, next choice %s", cpu_of(q),
              q->queue.nr, q->queue.weights, q->again.expires_ns ? "timed" : "when one wakes");
    }
}
