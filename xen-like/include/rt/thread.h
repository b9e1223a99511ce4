/*
 * rt/thread.h: threads, and what they wait for.
 *
 * A thread keeps its vCPU until it waits, yields or ends; on several vCPUs several threads run at
 * the same time (cpus_start()), so what they share needs a mutex. Waiting is for threads, never for
 * event handlers; waking is for both. Everything here is safe on several vCPUs. Each thread has its
 * own errno and other state of the C library. Deadlines are by clock_now(), in nanoseconds;
 * NO_DEADLINE waits for ever.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define NO_DEADLINE UINT64_MAX
enum { THREAD_STACK_BYTES = 32768 };

struct thread;

/**
 * Start fn(arg) as a thread with a stack of THREAD_STACK_BYTES above a page that is not mapped.
 * @name  for crash dumps, up to 15 characters
 * Returns it, or NULL with errno ENOMEM. It ends when fn returns, and must be joined.
 */
struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg);

/** Wait until it has ended, and free it. One thread does that, once. */
void thread_join(struct thread *t);

/** The calling thread; its name. */
struct thread *thread_self(void);
const char *thread_name(const struct thread *t);

/** Let others run first. */
void thread_yield(void);

/** Do nothing until then. */
void thread_sleep_until(uint64_t deadline_ns);

/** A queue of waiting threads; what all of the below is made of. Initially all zero. */
struct waitq {
    struct thread *first, *last;
};

/** A lock that its owner may take again, as often as it releases it. Initially all zero: free. */
struct mutex {
    struct thread *owner;
    unsigned int depth;
    struct waitq waiters;
};

void mutex_lock(struct mutex *m);
bool mutex_try_lock(struct mutex *m); /* false: another thread has it */
void mutex_unlock(struct mutex *m);   /* by its owner */

/** A condition variable. Initially all zero. */
struct cond {
    struct waitq waiters;
};

/**
 * Release the mutex (held once) and wait, without a gap, until signalled; then take it again.
 * Check the condition in a loop around it. Returns false if the deadline came first.
 */
bool cond_wait(struct cond *c, struct mutex *m, uint64_t deadline_ns);
void cond_signal(struct cond *c);    /* wake one, if one waits */
void cond_broadcast(struct cond *c); /* wake all */

/** A counter: how an event handler hands work to a thread. Initially all zero. */
struct semaphore {
    unsigned int count;
    struct waitq waiters;
};

/** Add one, or wake one that waits. Also in event handlers. */
void semaphore_up(struct semaphore *s);

/** Wait until there is one, and take it. Returns false if the deadline came first. */
bool semaphore_down(struct semaphore *s, uint64_t deadline_ns);
