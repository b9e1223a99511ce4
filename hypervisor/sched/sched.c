#include "sched/sched.h"

#include "sched/time.h"
#include "x86/arch.h"

struct sched_pcpu {
    struct spinlock lock; /* L_SCHED: of the queue with the same index */
    struct timer again;   /* raises SOFTIRQ_SCHEDULE */
};

static struct sched_pcpu pcpus[NR_CPUS];
static struct sched_queue queues[NR_CPUS];
static _Atomic uint64_t idle_cpus; /* where nobody competes; a bit changes under the queue's lock */
static bool several;               /* CPUs: if not, no other one is looked for */

static void raise_schedule(void *data) { softirq_raise(SOFTIRQ_SCHEDULE); }

void sched_init_cpu(uint32_t cpu)
{
    pcpus[cpu] = (struct sched_pcpu){ SPINLOCK_INIT(L_SCHED), .again.fn = raise_schedule };
    queues[cpu] = (struct sched_queue){ .curr = NULL };
    atomic_fetch_or(&idle_cpus, 1ULL << cpu);
    several = cpu != 0;
    softirq_register(SOFTIRQ_SCHEDULE, schedule);
}

static struct vcpu *vcpu_of(struct entity *e) { return container_of(e, struct vcpu, entity); }

static bool may_be_on(const struct vcpu *v, uint32_t cpu)
{
    return atomic_load(&v->entity.cpus) >> cpu & 1;
}

/* The CPU where v should be, or home, where it is. */
static uint32_t target(const struct vcpu *v, uint32_t home)
{
    if (!several || (atomic_load(&v->pause_flags) && may_be_on(v, home)))
        return home;
    return policy_place(queues, &v->entity, home, arch_cpus_online(), atomic_load(&idle_cpus));
}

/*
 * Lock the queue that v is on and, if to is not NULL, that of the CPU where v should be. Returns the
 * first one's CPU. Interrupts are off. Whoever changes v's CPUs from now on places v after us; whoever
 * did it before may have found v unable to move.
 */
static uint32_t lock_queue(const struct vcpu *v, uint32_t *to)
{
    for (;;) {
        uint32_t home = atomic_load(&v->processor), other = to ? target(v, home) : home;

        spin_lock_pair(&pcpus[home].lock, &pcpus[other].lock);
        if (home == atomic_load(&v->processor) && (to == NULL || may_be_on(v, other))) {
            if (to)
                *to = other;
            return home;
        }
        spin_unlock_pair(&pcpus[home].lock, &pcpus[other].lock);
    }
}

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
    unsigned long flags = arch_irq_save();
    uint32_t cpu = lock_queue(v, NULL);

    *out = v->runstate;
    spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
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

/*
 * CPU cpu's queue, which is locked, changed: say whether it idles, and ask CPUs that do to take over
 * who waits here. A CPU says that it idles before it looks around (schedule()), we let somebody wait
 * before we look who idles: so one of the two sees the other.
 */
static void tell_locked(uint32_t cpu)
{
    uint64_t idle = atomic_load(&idle_cpus), takers;
    struct sched_queue *q = &queues[cpu];

    if (!several)
        return;
    if ((q->nr == 0) != (idle >> cpu & 1))
        atomic_fetch_xor(&idle_cpus, 1ULL << cpu);
    if (q->nr < 2)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    idle = atomic_load(&idle_cpus) & arch_cpus_online();
    for (struct entity *e = q->all; e != NULL && idle; e = e->next) {
        takers = policy_waits(q, e) ? idle & e->cpus : 0;
        if (takers)
            softirq_raise_on(ffs64(takers) - 1, SOFTIRQ_SCHEDULE);
        idle &= ~(takers & -takers);
    }
}

/* v's pause_flags or its CPU, whose queue is locked, changed: let it compete, or stop it. */
static void update_locked(uint32_t cpu, struct vcpu *v)
{
    bool may_run = atomic_load(&v->pause_flags) == 0, choose = !may_run || !may_be_on(v, cpu);
    struct entity *e = &v->entity;
    struct sched_queue *q = &queues[cpu];
    uint64_t now = arch_time_ns();

    if (e != q->curr) {
        runstate_set_locked(v, runstate_not_running(v), now);
        choose = may_run && e->state == ENTITY_OUT && policy_wake(q, e, now);
        if (!may_run)
            policy_sleep(q, e, now);
        tell_locked(cpu);
    }
    if (choose)
        softirq_raise_on(cpu, SOFTIRQ_SCHEDULE);
}

/* Of those who still wait where it was, another one may need the CPU that was asked for it. */
static void move_locked(struct vcpu *v, uint32_t from, uint32_t to)
{
    uint64_t now = arch_time_ns();

    policy_sleep(&queues[from], &v->entity, now);
    policy_move(&queues[from], &queues[to], &v->entity, now);
    atomic_store(&v->processor, to);
    update_locked(to, v);
    tell_locked(from);
}

/*
 * v's pause_flags or affinity changed, or it has_stopped, its registers saved: put it on the CPU where
 * it should be. While its registers are on a CPU it stays there, that CPU calls again; then, as soon
 * as it is unlocked it may run elsewhere, or be freed.
 */
static void place(struct vcpu *v, bool has_stopped)
{
    struct entity *e = &v->entity;
    unsigned long flags = arch_irq_save();
    uint32_t to, from = lock_queue(v, &to);

    if (has_stopped) {
        e->loaded = false;
        atomic_store(&v->running, false);
    }
    if (from != to && !e->loaded)
        move_locked(v, from, to);
    else if (has_stopped)
        tell_locked(from);
    else
        update_locked(from, v);
    spin_unlock_pair(&pcpus[from].lock, &pcpus[to].lock);
    arch_irq_restore(flags);
}

void vcpu_pause_set(struct vcpu *v, uint32_t mask)
{
    atomic_fetch_or(&v->pause_flags, mask);
    place(v, false);
}

void vcpu_pause_clear(struct vcpu *v, uint32_t mask)
{
    if (atomic_load(&v->pause_flags) & mask) {
        atomic_fetch_and(&v->pause_flags, ~mask);
        place(v, false);
    }
}

void vcpu_pause_sync(struct vcpu *v, uint32_t flags)
{
    vcpu_pause_set(v, flags);
    BUG_ON(v == current);
    ASSERT(arch_irq_enabled());
    while (atomic_load(&v->running)) {
        cpus_park_point(); /* its CPU may be waiting for this one to stand still */
        cpu_relax();
    }
}

/* Pairs with vcpu_block(): the event's bit is set before the flag is read here, with a full barrier. */
void vcpu_unblock(struct vcpu *v) { vcpu_pause_clear(v, VPF_BLOCKED | VPF_POLL); }

void vcpu_block(void)
{
    struct vcpu *v = current;

    atomic_fetch_or(&v->pause_flags, VPF_BLOCKED);
    /* From here on vcpu_unblock() sees the flag; an event from before is seen here. */
    if ((READ_ONCE(v->info->evtchn_upcall_pending) && !READ_ONCE(v->info->evtchn_upcall_mask)) ||
        vcpu_has_nmi(v))
        vcpu_unblock(v);
    else
        softirq_raise(SOFTIRQ_SCHEDULE);
}

void vcpu_yield(void)
{
    WRITE_ONCE(current->entity.yields, true);
    softirq_raise(SOFTIRQ_SCHEDULE);
}

void sched_set_params(struct vcpu *v, uint16_t weight, uint32_t cap)
{
    unsigned long flags = arch_irq_save();
    uint32_t cpu = lock_queue(v, NULL);

    policy_set(&queues[cpu], &v->entity, weight, cap < SCHED_CAP_MAX ? cap : 0, arch_time_ns());
    softirq_raise_on(cpu, SOFTIRQ_SCHEDULE);
    spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
}

int sched_set_affinity(struct vcpu *v, uint64_t cpus, uint64_t preferred)
{
    if ((cpus & arch_cpus_online()) == 0)
        return -EINVAL;
    preferred &= cpus;
    atomic_store(&v->entity.preferred, preferred & arch_cpus_online() ? preferred : cpus);
    atomic_store(&v->entity.cpus, cpus);
    place(v, false);
    return 0;
}

void sched_vcpu_init(struct vcpu *v)
{
    v->runstate.state = v->is_idle ? RUNSTATE_running : RUNSTATE_offline; /* padding stays zero */
    v->runstate.state_entry_time = arch_time_ns();
    v->entity =
        (struct entity){ .weight = SCHED_WEIGHT_DEFAULT, .cpus = ~0ULL, .preferred = ~0ULL };
}

void sched_vcpu_destroy(struct vcpu *v)
{
    unsigned long flags = arch_irq_save();
    uint32_t cpu = lock_queue(v, NULL); /* so that the CPU it was on has left place() */

    BUG_ON(atomic_load(&v->running) || v->entity.state != ENTITY_OUT);
    spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
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

/* Choose who runs on this CPU, and switch to it. */
static void switch_to_next(uint32_t cpu)
{
    struct sched_queue *q = &queues[cpu];
    unsigned long flags = spin_lock_irqsave(&pcpus[cpu].lock);
    struct vcpu *prev = current, *next = this_pcpu()->idle;
    uint64_t now = arch_time_ns(), again_ns;
    struct entity *e = q->curr;

    if (e && (atomic_load(&prev->pause_flags) || !may_be_on(prev, cpu)))
        policy_sleep(q, e, now);
    e = policy_pick(q, now, &again_ns);
    if (e)
        next = vcpu_of(e);
    timer_set(&pcpus[cpu].again, again_ns);
    tell_locked(cpu);
    if (next == prev) {
        spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
        return;
    }
    runstate_set_locked(prev, runstate_not_running(prev), now);
    runstate_set_locked(next, RUNSTATE_running, now);
    atomic_store(&next->running, true);
    spin_unlock(&pcpus[cpu].lock);
    /* Siblings read in prev's area whether it was preempted; blocked, the area stays as it is. */
    if (prev->runstate.state == RUNSTATE_runnable)
        areas_update(prev);
    arch_context_switch(prev, next);
    if (!prev->is_idle)
        place(prev, true);
    areas_update(next);
    arch_irq_restore(flags);
}

/* One that waits on CPU from goes to CPU to, which idles or takes its turn; if there still is one. */
static void hand_over(uint32_t from, uint32_t to, bool idles)
{
    unsigned long flags = arch_irq_save();
    struct entity *e;

    spin_lock_pair(&pcpus[from].lock, &pcpus[to].lock);
    e = policy_take(queues, from, to, idles);
    if (e && policy_waits(&queues[from], e))
        move_locked(vcpu_of(e), from, to);
    spin_unlock_pair(&pcpus[from].lock, &pcpus[to].lock);
    arch_irq_restore(flags);
}

void schedule(void)
{
    uint32_t cpu = this_pcpu()->id, to;
    unsigned long flags;
    bool turn;

    switch_to_next(cpu);
    if (!several)
        return;
    /* Does it idle? What it takes over raises SOFTIRQ_SCHEDULE again, to be switched to. */
    for (uint64_t m = arch_cpus_online(); m && (atomic_load(&idle_cpus) >> cpu & 1); m &= m - 1)
        if (READ_ONCE(queues[ffs64(m) - 1].nr) > 1)
            hand_over(ffs64(m) - 1, cpu, true);
    if (READ_ONCE(queues[cpu].contended_ns) < POLICY_ROUND_NS)
        return;
    flags = spin_lock_irqsave(&pcpus[cpu].lock);
    turn = policy_turn(queues, cpu, arch_cpus_online(), &to);
    spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
    if (turn)
        hand_over(cpu, to, false);
}

void sched_print(void)
{
    for (uint64_t m = arch_cpus_online(); m; m &= m - 1) {
        uint32_t cpu = ffs64(m) - 1;
        unsigned long flags = spin_lock_irqsave(&pcpus[cpu].lock);
        struct sched_queue q = queues[cpu];
        struct vcpu *v = q.curr ? vcpu_of(q.curr) : arch_pcpu(cpu)->idle;
        uint32_t domain = v->domain->domain_id, vcpu = v->vcpu_id;

        spin_unlock_irqrestore(&pcpus[cpu].lock, flags);
        print(LOG_INFO, "CPU %u: d%uv%u, %u compete with weights of %lu, %lu came from others, %s",
              cpu, domain, vcpu, q.nr, q.weights, q.nr_came,
              pcpus[cpu].again.expires_ns ? "next choice timed" : "no timer");
    }
}
