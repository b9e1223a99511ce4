#include "sched/sched.h"

#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "memory/guest_copy.h"
#include "memory/heap.h"
#include "sched/policy.h"
#include "sched/time.h"
#include "sched/timer.h"

struct sched_vcpu {
    struct entity entity;
    struct vcpu *vcpu;
    uint64_t hard, soft;
    _Atomic bool moves;        /* is to be placed again as soon as it does not run */
    _Atomic bool leaving;      /* schedule() on its CPU is not yet done with it */
};

struct sched_pcpu {
    struct spinlock lock;      /* L_SCHED */
    struct sched_queue queue;
    struct timer again;        /* raises SOFTIRQ_SCHEDULE */
    _Atomic uint32_t nr_vcpus; /* that live here, in whatever state */
};

static struct sched_pcpu queues[NR_CPUS];

static void raise_schedule(void *data)
{
    (void)data;
    softirq_raise(SOFTIRQ_SCHEDULE);
}

void sched_init_cpu(uint32_t cpu)
{
    struct sched_pcpu *q = &queues[cpu];

    spin_lock_init(&q->lock, L_SCHED);
    policy_init(&q->queue);
    timer_init(&q->again, raise_schedule, NULL, cpu);
    atomic_store(&q->nr_vcpus, 0);
    arch_pcpu(cpu)->sched = q;
    softirq_register(SOFTIRQ_SCHEDULE, schedule);
}

/* The queue v is on, locked, interrupts off. */
static struct sched_pcpu *lock_queue(const struct vcpu *v, unsigned long *flags)
{
    for (;;) {
        uint32_t cpu = atomic_load(&v->processor);

        *flags = spin_lock_irqsave(&queues[cpu].lock);
        if (cpu == atomic_load(&v->processor))
            return &queues[cpu];
        spin_unlock_irqrestore(&queues[cpu].lock, *flags);
    }
}

static void unlock_queue(struct sched_pcpu *q, unsigned long flags)
{
    spin_unlock_irqrestore(&q->lock, flags);
}

static uint32_t cpu_of(const struct sched_pcpu *q) { return (uint32_t)(q - queues); }
static struct vcpu *idle_of(const struct sched_pcpu *q) { return arch_pcpu(cpu_of(q))->idle; }
static struct vcpu *vcpu_of(struct entity *e) { return container_of(e, struct sched_vcpu, entity)->vcpu; }

/* ---- runstates ---- */

static void runstate_set_locked(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;

    if (now > r->state_entry_time)
        r->time[r->state] += now - r->state_entry_time;
    r->state_entry_time = MAX(now, r->state_entry_time);
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
    unlock_queue(q, flags);
}

void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    uint64_t now;

    runstate_read(v, out);
    now = arch_time_ns();
    if (now > out->state_entry_time)
        out->time[out->state] += now - out->state_entry_time;
}

/*
 * The guest may read while we write, on another CPU: with its consent, the top bit of
 * state_entry_time says so meanwhile.
 */
void vcpu_runstate_update_area(struct vcpu *v)
{
    guest_va_t area = v->runstate_area;
    guest_va_t entry = _gva(gva_x(area) + offsetof(struct vcpu_runstate_info, state_entry_time));
    bool marks = v->domain->vm_assist >> VMASST_TYPE_runstate_update_flag & 1;
    struct vcpu_runstate_info r;
    uint64_t entered;

    if (gva_x(area) == 0)
        return;
    runstate_read(v, &r);
    entered = r.state_entry_time;
    if (marks) {
        r.state_entry_time |= XEN_RUNSTATE_UPDATE;
        if (copy_to_guest(entry, &r.state_entry_time, sizeof(r.state_entry_time)))
            return;
        atomic_thread_fence(memory_order_release);
    }
    if (copy_to_guest(area, &r, sizeof(r)) || !marks)
        return;
    atomic_thread_fence(memory_order_release);
    (void)copy_to_guest(entry, &entered, sizeof(entered)); /* a fault here is the guest's own doing */
}

/* ---- placement ---- */

static uint32_t place(const struct sched_vcpu *s)
{
    uint64_t online = arch_cpus_online(), mask = s->hard & s->soft & online;
    uint32_t best = 0, fewest = UINT32_MAX;

    if (mask == 0)
        mask = s->hard & online;
    for (; mask; mask &= mask - 1) {
        uint32_t cpu = ffs64(mask) - 1, nr = atomic_load(&queues[cpu].nr_vcpus);

        if (nr < fewest) {
            fewest = nr;
            best = cpu;
        }
    }
    return best;
}

static void entity_wake_locked(struct sched_pcpu *q, struct entity *e, uint64_t now)
{
    if (policy_wake(&q->queue, e, now))
        softirq_raise_on(cpu_of(q), SOFTIRQ_SCHEDULE);
}

static void move_locked(struct vcpu *v, struct sched_pcpu *from, struct sched_pcpu *to)
{
    struct sched_vcpu *s = v->sched;
    uint64_t now = arch_time_ns();

    atomic_store(&s->moves, false);
    if (s->entity.state != ENTITY_OUT)
        policy_sleep(&from->queue, &s->entity, now);
    policy_move(&from->queue, &to->queue, &s->entity);
    atomic_fetch_sub(&from->nr_vcpus, 1);
    atomic_fetch_add(&to->nr_vcpus, 1);
    atomic_store(&v->processor, cpu_of(to));
    if (atomic_load(&v->pause_flags) == 0)
        entity_wake_locked(to, &s->entity, now);
}

/* If v->sched->moves: put v on the queue where it belongs now, unless it runs: schedule() calls again. */
static void move_if_stopped(struct vcpu *v)
{
    struct sched_vcpu *s = v->sched;
    unsigned long flags = arch_irq_save();

    while (atomic_load(&s->moves) && !atomic_load(&v->running)) {
        struct sched_pcpu *from = &queues[atomic_load(&v->processor)], *to = &queues[place(s)];

        spin_lock_pair(&from->lock, &to->lock);
        if (atomic_load(&v->processor) == cpu_of(from) && (s->hard >> cpu_of(to) & 1) &&
            atomic_load(&s->moves) && !atomic_load(&v->running))
            move_locked(v, from, to);
        spin_unlock_pair(&from->lock, &to->lock);
    }
    arch_irq_restore(flags);
}

int sched_set_affinity(struct vcpu *v, uint64_t hard, uint64_t soft)
{
    uint64_t online = arch_cpus_online(), prefer = hard & soft & online;
    struct sched_vcpu *s = v->sched;
    struct sched_pcpu *q;
    unsigned long flags;
    bool stays;

    if ((hard & online) == 0)
        return -EINVAL;
    q = lock_queue(v, &flags);
    s->hard = hard;
    s->soft = soft;
    stays = (prefer ? prefer : hard) >> cpu_of(q) & 1;
    atomic_store(&s->moves, !stays);
    unlock_queue(q, flags);
    if (stays)
        return 0;
    move_if_stopped(v);
    if (atomic_load(&s->moves)) /* it runs: make it stop for a moment */
        softirq_raise_on(atomic_load(&v->processor), SOFTIRQ_SCHEDULE);
    return 0;
}

int sched_vcpu_create(struct vcpu *v)
{
    struct sched_vcpu *s = xmalloc(sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    policy_entity_init(&s->entity, SCHED_WEIGHT_DEFAULT);
    s->vcpu = v;
    s->hard = s->soft = ~0ULL;
    v->sched = s;
    v->runstate.state = v->is_idle ? RUNSTATE_running : RUNSTATE_offline; /* padding stays zero */
    v->runstate.state_entry_time = arch_time_ns();
    if (v->is_idle)
        return 0;
    atomic_fetch_or(&v->pause_flags, VPF_DOWN);
    atomic_store(&v->processor, place(s));
    atomic_fetch_add(&queues[atomic_load(&v->processor)].nr_vcpus, 1);
    return 0;
}

void sched_vcpu_destroy(struct vcpu *v)
{
    if (v->sched == NULL)
        return;
    BUG_ON(atomic_load(&v->running) || v->sched->entity.state != ENTITY_OUT);
    while (atomic_load(&v->sched->leaving))
        cpu_relax();
    if (!v->is_idle)
        atomic_fetch_sub(&queues[atomic_load(&v->processor)].nr_vcpus, 1);
    xfree(v->sched);
    v->sched = NULL;
}

/* ---- stop and go ---- */

void vcpu_pause_set(struct vcpu *v, uint32_t mask)
{
    unsigned long flags;
    struct sched_pcpu *q = lock_queue(v, &flags);
    struct entity *e = &v->sched->entity;
    uint64_t now;

    atomic_fetch_or(&v->pause_flags, mask);
    if (e->state == ENTITY_RUNNING) {
        softirq_raise_on(cpu_of(q), SOFTIRQ_SCHEDULE);
    } else {
        now = arch_time_ns();
        if (e->state != ENTITY_OUT)
            policy_sleep(&q->queue, e, now);
        runstate_set_locked(v, runstate_not_running(v), now);
    }
    unlock_queue(q, flags);
}

void vcpu_pause_clear(struct vcpu *v, uint32_t mask)
{
    unsigned long flags;
    struct sched_pcpu *q;
    struct entity *e;
    uint64_t now;

    if (!(atomic_load(&v->pause_flags) & mask))
        return;
    q = lock_queue(v, &flags);
    e = &v->sched->entity;
    atomic_fetch_and(&v->pause_flags, ~mask);
    if (e->state == ENTITY_OUT) { /* else it has not even stopped */
        now = arch_time_ns();
        runstate_set_locked(v, runstate_not_running(v), now);
        if (atomic_load(&v->pause_flags) == 0)
            entity_wake_locked(q, e, now);
    }
    unlock_queue(q, flags);
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
    unsigned long flags;
    struct sched_pcpu *q = lock_queue(current, &flags);

    policy_yield(&q->queue, arch_time_ns());
    unlock_queue(q, flags);
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
    unlock_queue(q, flags);
    return 0;
}

void sched_get(struct vcpu *v, struct sched_params *p)
{
    unsigned long flags;
    struct sched_pcpu *q = lock_queue(v, &flags);
    struct sched_vcpu *s = v->sched;

    *p = (struct sched_params){ s->entity.weight, s->entity.cap, s->hard, s->soft };
    unlock_queue(q, flags);
}

/* ---- switching ---- */

static struct vcpu *pick_locked(struct sched_pcpu *q, struct vcpu *prev, uint64_t now)
{
    struct entity *e = &prev->sched->entity;
    uint64_t again_ns;

    if (e->state == ENTITY_RUNNING && /* never for an idle vCPU */
        (atomic_load(&prev->pause_flags) != 0 || atomic_load(&prev->sched->moves)))
        policy_sleep(&q->queue, e, now);
    e = policy_pick(&q->queue, now, &again_ns);
    if (again_ns != 0)
        timer_set(&q->again, again_ns);
    else if (timer_armed(&q->again))
        timer_stop(&q->again);
    return e ? vcpu_of(e) : idle_of(q);
}

/* prev's registers are saved: it may move and run elsewhere; when leaving is cleared, be freed. */
static void switched(struct vcpu *prev, struct vcpu *next)
{
    struct sched_vcpu *s = prev->sched;

    atomic_store(&prev->running, false);
    move_if_stopped(prev);
    atomic_store_explicit(&s->leaving, false, memory_order_release);
    if (!next->is_idle) {
        vcpu_runstate_update_area(next);
        vcpu_time_switched_in(next);
    }
}

void schedule(void)
{
    struct sched_pcpu *q = this_pcpu()->sched;
    struct vcpu *prev = current, *next;
    unsigned long flags = spin_lock_irqsave(&q->lock);
    uint64_t now = arch_time_ns();
    int state;

    next = pick_locked(q, prev, now);
    if (next == prev) {
        unlock_queue(q, flags);
        return;
    }
    state = prev->is_idle ? RUNSTATE_runnable : runstate_not_running(prev);
    runstate_set_locked(prev, state, now);
    runstate_set_locked(next, RUNSTATE_running, now);
    atomic_store(&next->running, true);
    atomic_store_explicit(&prev->sched->leaving, true, memory_order_relaxed);
    spin_unlock(&q->lock);
    /* Siblings read in prev's area whether it was preempted; blocked, the area stays as it is. */
    if (state == RUNSTATE_runnable && !prev->is_idle)
        vcpu_runstate_update_area(prev);
    arch_context_switch(prev, next);
    switched(prev, next);
    arch_irq_restore(flags);
}

void sched_print(void)
{
    for (uint64_t m = arch_cpus_online(); m; m &= m - 1) {
        struct sched_pcpu *q = &queues[ffs64(m) - 1];
        unsigned long flags = spin_lock_irqsave(&q->lock);
        struct sched_queue copy = q->queue;
        struct vcpu *v = copy.curr ? vcpu_of(copy.curr) : idle_of(q);
        domid_t domain_id = v->domain->domain_id;
        uint32_t vcpu_id = v->vcpu_id;

        unlock_queue(q, flags);
        print(LOG_INFO, "CPU %u: %u vCPUs, %u runnable, weights %lu, d%uv%u runs, next choice %s",
              cpu_of(q), atomic_load(&q->nr_vcpus), copy.nr, copy.weights, domain_id, vcpu_id,
              timer_armed(&q->again) ? "timed" : "when one wakes");
    }
}
