/*
 * newlib's locks (stdio, malloc, the environment...) are mutexes of the runtime; errno is a thread's. What they
 * guard is all groups': who holds one is in a section.
 */
#include <stdlib.h>
#include <sys/lock.h>

#include <rt/kernel.h>
#include <rt/thread.h>

#include "../kernel/internal.h"

struct __lock {
    struct mutex mutex;
};

/* The names that newlib refers to. All of these may be taken again by their owner. */
struct __lock __lock___sinit_recursive_mutex, __lock___sfp_recursive_mutex,
    __lock___atexit_recursive_mutex, __lock___at_quick_exit_mutex, __lock___malloc_recursive_mutex,
    __lock___env_recursive_mutex, __lock___tz_mutex, __lock___dd_hash_mutex,
    __lock___arc4random_mutex;

void __retarget_lock_init_recursive(_LOCK_T *lock)
{
    RUNTIME_SECTION;

    *lock = calloc(1, sizeof(**lock));
    if (*lock == NULL)
        panic("no memory for a lock of the C library");
}

void __retarget_lock_close_recursive(_LOCK_T lock) { free(lock); }

void __retarget_lock_acquire_recursive(_LOCK_T lock) { runtime_lock(&lock->mutex); }

int __retarget_lock_try_acquire_recursive(_LOCK_T lock)
{
    runtime_enter();
    if (mutex_try_lock(&lock->mutex))
        return 0;
    runtime_leave();
    return -1;
}

void __retarget_lock_release_recursive(_LOCK_T lock) { runtime_unlock(&lock->mutex); }

void __retarget_lock_init(_LOCK_T *lock) { __retarget_lock_init_recursive(lock); }

void __retarget_lock_close(_LOCK_T lock) { __retarget_lock_close_recursive(lock); }

void __retarget_lock_acquire(_LOCK_T lock) { runtime_lock(&lock->mutex); }

int __retarget_lock_try_acquire(_LOCK_T lock)
{
    return __retarget_lock_try_acquire_recursive(lock);
}

void __retarget_lock_release(_LOCK_T lock) { runtime_unlock(&lock->mutex); }

struct _reent *__getreent(void) { return &this_cpu()->current->reent; }
