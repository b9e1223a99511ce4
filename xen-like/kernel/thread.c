/*
 * Threads. One run queue for all vCPUs, one lock for it, for the state of all threads and for all
 * that they wait in; kept simple, as a control domain has a few dozen threads.
 *
 * The lock is held across a switch: the thread that leaves took it, the one that comes releases it.
 * So nobody takes up a thread whose registers are not stored yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include "internal.h"

static struct spinlock sched_lock;
static struct waitq run_queue;
static struct thread boot_thread;

/* ---- queues; sched_lock is held ---- */

static void queue_add(struct waitq *q, struct thread *t)
{
    t->next = NULL;
    if (q->last)
        q->last->next = t;
    else
        q->first = t;
    q->last = t;
}

static struct thread *queue_take(struct waitq *q)
{
    struct thread *t = q->first;

    if (t) {
        q->first = t->next;
        if (q->first == NULL)
            q->last = NULL;
    }
    return t;
}

static void queue_remove(struct waitq *q, struct thread *t)
{
    struct thread *before = NULL;

    for (struct thread *i = q->first; i != t; i = i->next)
        before = i;
    if (before)
        before->next = t->next;
    else
        q->first = t->next;
    if (q->last == t)
        q->last = before;
}

/* ---- switching; sched_lock is held ---- */

static void reschedule(void)
{
    struct cpu *c = this_cpu();
    struct thread *before = c->current, *next = queue_take(&run_queue);

    if (next == NULL)
        next = before->state == THREAD_RUNNING ? before : c->idle;
    c->is_idle = next == c->idle;
    if (next == before)
        return;
    next->state = THREAD_RUNNING;
    c->current = next;
    thread_switch(&before->sp, next->sp);
}

/* t can go on: on this vCPU if it has nothing to do, or on another one that has not. */
static void make_ready(struct thread *t)
{
    t->state = THREAD_READY;
    t->waits_in = NULL;
    queue_add(&run_queue, t);
    if (this_cpu()->is_idle) {
        this_cpu()->is_idle = false; /* it takes this one after the handler, and no second one */
        return;
    }
    for (unsigned int i = 0; i < MAX_CPUS; i++)
        if (cpus[i].is_idle) {
            cpus[i].is_idle = false; /* once is enough */
            event_send(cpus[i].ipi_port);
            return;
        }
}

static struct thread *queue_wake(struct waitq *q)
{
    struct thread *t = queue_take(q);

    if (t)
        make_ready(t);
    return t;
}

static void check_may_wait(void)
{
    if (this_cpu()->in_handler)
        panic("an event handler waits");
    if (this_cpu()->current == this_cpu()->idle)
        panic("what is not a thread waits");
}

/* ---- ends; sched_lock is held ---- */

static void mark_dead(struct thread *t)
{
    struct group *g = t->group;

    t->state = THREAD_DEAD;
    while (queue_wake(&t->joiner))
        ;
    if (g && --g->nr_alive == 0)
        while (queue_wake(&g->ended))
            ;
}

static void end_here(void)
{
    mark_dead(this_cpu()->current);
    reschedule();
    panic("a thread that has ended runs");
}

static bool is_to_end(const struct thread *t)
{
    return t->group && t->group->killed && t->inside == 0;
}

/* ---- waiting; sched_lock is held ---- */

/* Returns false if the deadline came first. */
static bool wait_in(struct waitq *q, uint64_t deadline_ns)
{
    struct thread *t = this_cpu()->current;

    if (is_to_end(t)) /* nobody would look for it in there */
        end_here();
    t->state = THREAD_WAITING;
    t->timed_out = false;
    t->deadline_ns = deadline_ns;
    t->waits_in = q;
    if (q)
        queue_add(q, t);
    if (deadline_ns != NO_DEADLINE)
        timer_set(&t->timer, deadline_ns);
    reschedule();
    if (deadline_ns != NO_DEADLINE)
        timer_cancel(&t->timer);
    return !t->timed_out;
}

/* A timer of a wait that is over may still come: then t runs, or waits for a later deadline. */
static void on_deadline(void *arg)
{
    struct thread *t = arg;
    bool were_off = spin_lock(&sched_lock);

    if (t->state == THREAD_WAITING && t->deadline_ns <= clock_now()) {
        if (t->waits_in)
            queue_remove(t->waits_in, t);
        t->timed_out = true;
        make_ready(t);
    }
    spin_unlock(&sched_lock, were_off);
}

/* ---- the life of a thread ---- */

static void name_set(struct thread *t, const char *name)
{
    strncpy(t->name, name, sizeof(t->name) - 1);
    _REENT_INIT_PTR(&t->reent);
    timer_init(&t->timer, on_deadline, t);
}

/* What a vCPU begins with becomes its idle thread. */
void threads_cpu_init(struct cpu *c)
{
    struct thread *t = c->id == 0 ? &boot_thread : calloc(1, sizeof(*t));

    if (t) {
        name_set(t, "idle");
        t->state = THREAD_RUNNING;
    }
    c->idle = c->current = t;
}

/*
 * SCHEDOP_block turns events on and waits for one, in one step: what came in after the run queue
 * was seen to be empty is not slept through.
 */
void cpu_idle(void)
{
    for (;;) {
        spin_lock(&sched_lock);
        reschedule();
        spin_unlock(&sched_lock, true);
        hc(sched_op, SCHEDOP_block, 0);
    }
}

static void thread_end(void)
{
    spin_lock(&sched_lock);
    end_here();
}

void thread_begin(void)
{
    struct thread *t = this_cpu()->current;

    spin_unlock(&sched_lock, false);
    t->fn(t->arg);
    thread_end();
}

/* What thread_switch() takes from a stack: see there. */
static void *first_frame(char *top)
{
    uint64_t *sp = (uint64_t *)top;

    *--sp = 0;
    *--sp = 0; /* so that rsp is a multiple of 16 where thread_first calls */
    *--sp = (uint64_t)thread_first;
    for (unsigned int i = 0; i < 6; i++) /* rbp rbx r12..r15 */
        *--sp = 0;
    *--sp = 0x037fUL << 32 | 0x1f80; /* x87 control word, MXCSR: their defaults */
    return sp;
}

/* A group that has been killed meanwhile gets one that never runs. */
static void thread_add(struct thread *t, struct group *g)
{
    bool were_off = spin_lock(&sched_lock);

    t->group = g;
    t->state = THREAD_DEAD;
    if (g) {
        t->sibling = g->threads;
        g->threads = t;
    }
    if (g == NULL || !g->killed) {
        if (g)
            g->nr_alive++;
        make_ready(t);
    }
    spin_unlock(&sched_lock, were_off);
}

static void thread_leave_group(struct thread *t)
{
    bool were_off = spin_lock(&sched_lock);
    struct thread **at = t->group ? &t->group->threads : NULL;

    while (at && *at != t)
        at = &(*at)->sibling;
    if (at)
        *at = t->sibling;
    spin_unlock(&sched_lock, were_off);
}

struct thread *thread_create_in(struct group *g, const char *name, void (*fn)(void *arg), void *arg)
{
    RUNTIME_SECTION;
    struct thread *t = calloc(1, sizeof(*t));
    char *stack = page_alloc(THREAD_STACK_BYTES / PAGE_BYTES + 1);

    if (t == NULL || stack == NULL || page_protect(stack, 0)) {
        if (stack)
            page_free(stack, THREAD_STACK_BYTES / PAGE_BYTES + 1);
        free(t);
        errno = ENOMEM;
        return NULL;
    }
    name_set(t, name);
    t->fn = fn;
    t->arg = arg;
    t->stack = stack;
    t->sp = first_frame(stack + PAGE_BYTES + THREAD_STACK_BYTES);
    thread_add(t, g);
    return t;
}

struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg)
{
    return thread_create_in(this_cpu()->current->group, name, fn, arg);
}

/*
 * It has ended. @newlib: also free what newlib keeps for it. Not of those that end with their group: one that was killed within newlib,
 * or has failed, may have left that in any state (in two lists at once, say), and all of it is in the group's heap.
 */
static void thread_free(struct thread *t, bool newlib)
{
    RUNTIME_SECTION;

    thread_leave_group(t);
    timer_cancel(&t->timer);
    timer_sync(&t->timer);
    if (page_unprotect(t->stack))
        panic("the page below a stack is lost");
    page_free(t->stack, THREAD_STACK_BYTES / PAGE_BYTES + 1);
    if (newlib)
        _reclaim_reent(&t->reent);
    free(t);
}

void thread_join(struct thread *t)
{
    bool were_off;

    check_may_wait();
    were_off = spin_lock(&sched_lock);
    while (t->state != THREAD_DEAD)
        wait_in(&t->joiner, NO_DEADLINE);
    spin_unlock(&sched_lock, were_off);
    thread_free(t, true);
}

struct thread *thread_self(void) { return this_cpu()->current; }

const char *thread_name(const struct thread *t) { return t->name; }

void thread_yield(void)
{
    bool were_off = spin_lock(&sched_lock);
    struct thread *t = this_cpu()->current;

    if (is_to_end(t))
        end_here();
    if (t != this_cpu()->idle && run_queue.first) {
        t->state = THREAD_READY;
        queue_add(&run_queue, t);
        reschedule();
    }
    spin_unlock(&sched_lock, were_off);
}

void thread_sleep_until(uint64_t deadline_ns)
{
    bool were_off;

    if (this_cpu()->current == this_cpu()->idle) {
        while (clock_now() < deadline_ns)
            cpu_relax();
        return;
    }
    check_may_wait();
    were_off = spin_lock(&sched_lock);
    wait_in(NULL, deadline_ns);
    spin_unlock(&sched_lock, were_off);
}

/* ---- groups ---- */

/* One that does not run is at a place where it waits, or yields. One that runs looks itself, after an event. */
static void kill_one(struct thread *t)
{
    if (t->state == THREAD_RUNNING) {
        for (unsigned int i = 0; i < MAX_CPUS; i++)
            if (cpus[i].current == t && &cpus[i] != this_cpu())
                event_send(cpus[i].ipi_port);
    } else if (t->state != THREAD_DEAD && t->inside == 0) {
        if (t->state == THREAD_READY)
            queue_remove(&run_queue, t);
        else if (t->waits_in)
            queue_remove(t->waits_in, t);
        mark_dead(t);
    }
}

void threads_kill(struct group *g)
{
    bool were_off = spin_lock(&sched_lock);

    g->killed = true;
    for (struct thread *t = g->threads; t; t = t->sibling)
        kill_one(t);
    spin_unlock(&sched_lock, were_off);
}

void threads_wait_ended(struct group *g)
{
    bool were_off;

    check_may_wait();
    were_off = spin_lock(&sched_lock);
    while (g->nr_alive)
        wait_in(&g->ended, NO_DEADLINE);
    spin_unlock(&sched_lock, were_off);
}

void threads_free(struct group *g)
{
    while (g->threads)
        thread_free(g->threads, false);
}

void thread_end_if_killed(void)
{
    struct cpu *c = this_cpu();

    if (c->in_handler == 0 && is_to_end(c->current))
        thread_end();
}

/* ---- mutexes: given from owner to owner in the order of asking ---- */

bool mutex_try_lock(struct mutex *m)
{
    bool were_off = spin_lock(&sched_lock);
    struct thread *t = this_cpu()->current;
    bool got = m->owner == NULL || m->owner == t;

    if (got) {
        m->owner = t;
        m->depth++;
    }
    spin_unlock(&sched_lock, were_off);
    return got;
}

void mutex_lock(struct mutex *m)
{
    struct thread *t = this_cpu()->current;
    bool were_off;

    if (this_cpu()->in_handler)
        panic("an event handler takes a mutex");
    while (t == this_cpu()->idle) { /* a function of cpu_run() */
        if (mutex_try_lock(m))
            return;
        cpu_relax();
    }
    were_off = spin_lock(&sched_lock);
    if (m->owner == NULL || m->owner == t) {
        m->owner = t;
        m->depth++;
    } else {
        wait_in(&m->waiters, NO_DEADLINE);
    }
    spin_unlock(&sched_lock, were_off);
}

static void mutex_release(struct mutex *m)
{
    if (m->owner != this_cpu()->current)
        panic("a mutex is released by who does not have it");
    if (--m->depth)
        return;
    m->owner = queue_wake(&m->waiters);
    m->depth = m->owner != NULL;
}

void mutex_unlock(struct mutex *m)
{
    bool were_off = spin_lock(&sched_lock);

    mutex_release(m);
    spin_unlock(&sched_lock, were_off);
}

/* ---- condition variables and semaphores ---- */

bool cond_wait(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
    bool were_off, signalled;

    check_may_wait();
    were_off = spin_lock(&sched_lock);
    if (m->depth != 1)
        panic("cond_wait() with a mutex that is held %u times", m->depth);
    mutex_release(m);
    signalled = wait_in(&c->waiters, deadline_ns);
    spin_unlock(&sched_lock, were_off);
    mutex_lock(m);
    return signalled;
}

void cond_signal(struct cond *c)
{
    bool were_off = spin_lock(&sched_lock);

    queue_wake(&c->waiters);
    spin_unlock(&sched_lock, were_off);
}

void cond_broadcast(struct cond *c)
{
    bool were_off = spin_lock(&sched_lock);

    while (queue_wake(&c->waiters))
        ;
    spin_unlock(&sched_lock, were_off);
}

void semaphore_up(struct semaphore *s)
{
    bool were_off = spin_lock(&sched_lock);

    if (queue_wake(&s->waiters) == NULL)
        s->count++;
    spin_unlock(&sched_lock, were_off);
}

bool semaphore_down(struct semaphore *s, uint64_t deadline_ns)
{
    bool were_off, got = true;

    check_may_wait();
    were_off = spin_lock(&sched_lock);
    if (s->count)
        s->count--;
    else
        got = wait_in(&s->waiters, deadline_ns);
    spin_unlock(&sched_lock, were_off);
    return got;
}
