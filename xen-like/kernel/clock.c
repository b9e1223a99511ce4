/* System time from the vCPU's time information, wall-clock time, one-shot timers. */
#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>

#include <xen/vcpu.h>

#include "internal.h"

/* Guards the lists of timers of all vCPUs. Taken below the scheduler's lock, never above it. */
static struct spinlock timer_lock;

static uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

#define compiler_barrier() __asm__ volatile("" ::: "memory")

/*
 * version is odd while the hypervisor writes. It writes on the CPU that this vCPU runs on, so the
 * order of the loads is all that is wanted. Should we be moved to another CPU in between, the
 * version has changed as well.
 */
uint64_t clock_now(void)
{
    const volatile struct vcpu_time_info *t = &this_cpu()->vcpu_info->time;
    uint32_t version;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        compiler_barrier();
        delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
        ns = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        compiler_barrier();
    } while ((version & 1) || version != t->version);
    return ns;
}

/* The hypervisor tells what the wall clock said when system time was 0. */
uint64_t clock_wall(void)
{
    const volatile struct shared_info *s = shared_info;
    uint32_t version;
    uint64_t start;

    do {
        version = s->wc_version;
        compiler_barrier();
        start = ((uint64_t)s->wc_sec_hi << 32 | s->wc_sec) * NS_PER_S + s->wc_nsec;
        compiler_barrier();
    } while ((version & 1) || version != s->wc_version);
    return start + clock_now();
}

/* A vCPU has one singleshot timer and sets its own only: by the hypercall that has nothing to read from memory. */
static void arm(const struct cpu *c)
{
    if (c->timers)
        hc(set_timer_op, c->timers->deadline_ns > 0 ? c->timers->deadline_ns : 1); /* 0 stops it */
}

static void unlink_timer(struct timer *t)
{
    for (struct timer **p = &t->cpu->timers; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    t->cpu = NULL;
}

static void on_timer(unsigned int port, void *arg)
{
    struct cpu *c = arg;
    bool were_off = spin_lock(&timer_lock);
    struct timer *t;

    (void)port;
    while ((t = c->timers) != NULL && t->deadline_ns <= clock_now()) {
        unlink_timer(t);
        c->timer_running = t;
        spin_unlock(&timer_lock, were_off);
        t->fn(t->arg);
        were_off = spin_lock(&timer_lock);
        c->timer_running = NULL;
    }
    arm(c);
    spin_unlock(&timer_lock, were_off);
}

void clock_cpu_init(struct cpu *c)
{
    hc(vcpu_op, VCPUOP_stop_periodic_timer, c->id, 0);
    if (event_bind_virq(VIRQ_TIMER, c->id, on_timer, c) < 0)
        panic("no timer for vCPU %u", c->id);
}

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg)
{
    *t = (struct timer){ .fn = fn, .arg = arg };
}

void timer_set(struct timer *t, uint64_t deadline_ns)
{
    bool were_off = spin_lock(&timer_lock);
    struct cpu *c = this_cpu();
    struct timer **p = &c->timers;

    if (t->cpu)
        unlink_timer(t);
    while (*p && (*p)->deadline_ns <= deadline_ns)
        p = &(*p)->next;
    t->deadline_ns = deadline_ns;
    t->cpu = c;
    t->next = *p;
    *p = t;
    if (c->timers == t)
        arm(c);
    spin_unlock(&timer_lock, were_off);
}

bool timer_cancel(struct timer *t)
{
    bool were_off = spin_lock(&timer_lock);
    bool was_set = t->cpu != NULL;

    if (was_set)
        unlink_timer(t);
    spin_unlock(&timer_lock, were_off);
    return was_set;
}

void timer_sync(const struct timer *t)
{
    for (unsigned int i = 0; i < MAX_CPUS; i++)
        while (__atomic_load_n(&cpus[i].timer_running, __ATOMIC_SEQ_CST) == t)
            cpu_relax();
}
