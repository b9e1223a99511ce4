/* What the files of the runtime want of one another. Kernels do not include this. */
#pragma once
#include <reent.h>
#include <stdint.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/group.h>
#include <rt/lock.h>
#include <rt/thread.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* entry.S */
extern char trap_stubs[], event_stub[], failsafe_stub[], syscall_stub[], boot_stack[];
extern char image_start[], text_end[], image_end[]; /* xen-like.lds */
enum { BOOT_STACK_BYTES = 4 * 4096, TRAP_STUB_BYTES = 32, ENTRY_EVENT = 256 };
void start_secondary(void);
void thread_switch(void **save, void *load);
void thread_first(void);

/* start.c */
void kernel_start(struct start_info *si);
void kernel_start_secondary(struct cpu *c);

/* cpu.c */
void cpu_init(struct cpu *c, unsigned int id);
void cpu_events_init(struct cpu *c);

/* trap.c */
void traps_init(void);
void trap_table_fill(struct trap_info *table); /* 32 entries */
void kernel_entry(struct cpu_user_regs *regs); /* entry.S */
void backtrace(uint64_t rip, uint64_t rbp);    /* rip 0: none */

/* symbols.c: writes "name+0xoffset", or nothing */
void symbol_name(uint64_t address, char *buf, size_t size);

/* memory.c */
void memory_init(void);
extern uint64_t kernel_root_mfn;
void *
maps_reserve(size_t nr); /* addresses at MAP_BASE for nr pages, tables there; or NULL, errno */
void maps_release(void *va, size_t nr); /* nothing is mapped there, and no TLB thinks so */

/* console.c */
void console_init(void);
void console_write(const char *buf, size_t len); /* any context; may drop, see there */
/* Bytes, as they were typed; 0: there are none (only if not wait); Xen's -errno. A thread. */
long console_read(char *buf, size_t len, bool wait);
/* fn(arg) is called, as an event handler, whenever there may be something to read. A thread. */
void console_input_hook(void (*fn)(void *arg), void *arg);

/* event.c */
void events_init(void);
void event_upcall(void);

/* clock.c */
void clock_cpu_init(struct cpu *c);     /* on that vCPU's behalf, before it runs */
void timer_sync(const struct timer *t); /* its callback, if it runs, has ended */

/* thread.c */
enum thread_state { THREAD_RUNNING, THREAD_READY, THREAD_WAITING, THREAD_DEAD };

struct thread {
    struct thread *next; /* in the run queue or a wait queue */
    void *sp;            /* while it does not run */
    enum thread_state state;
    struct waitq *waits_in; /* THREAD_WAITING in a queue */
    uint64_t deadline_ns;   /* of its wait */
    bool timed_out;
    struct timer timer;
    struct waitq joiner;
    struct trap_try *trying; /* the innermost trap_try(); trap.c */
    struct group *group;     /* NULL: the kernel's */
    struct thread *sibling;  /* of the group's threads */
    unsigned int inside;     /* depth of sections: it is not to be killed now */
    void (*fn)(void *arg);
    void *arg;
    char *stack;
    char name[16];
    struct _reent reent;
};

void threads_cpu_init(struct cpu *c);
void thread_begin(void); /* entry.S */
void cpu_idle(void) __attribute__((noreturn));
/* thread_create() in a group */
struct thread *thread_create_in(struct group *g, const char *name, void (*fn)(void *arg),
                                void *arg);
void threads_kill(struct group *g); /* of which none begins any more */
void threads_wait_ended(struct group *g);
void threads_free(struct group *g); /* they have ended */
void thread_end_if_killed(void);    /* here, where nothing is left to be done */

/* heap.c: the heap of a group */
enum { HEAP_CLASSES = 7 };
struct heap {
    struct mutex lock;
    struct heap_run *runs;                 /* all its pages */
    struct heap_block *free[HEAP_CLASSES]; /* blocks of 32, 64... bytes */
    size_t nr_pages;
};
void heap_release(struct heap *h);

/* group.c */
struct group {
    struct thread *threads; /* guarded by the scheduler's lock, as the next four */
    unsigned int nr_alive;  /* of these */
    bool killed;
    struct waitq ended;                /* who waits for the last to end */
    struct mutex lock;                 /* guards what it owns */
    struct owned *owned, *owned_first; /* the latter before the former */
    struct heap heap;
};

bool group_in_own_code(void); /* the caller may be killed here */

/* A lock of the runtime: whoever holds it is in a section. */
static inline void runtime_lock(struct mutex *m)
{
    runtime_enter();
    mutex_lock(m);
}
static inline void runtime_unlock(struct mutex *m)
{
    mutex_unlock(m);
    runtime_leave();
}

/* libc/files.c */
void files_init(void);
/* The bytes of a file that lies in an archive, where they stay as they are; NULL: it does not. */
const char *files_archived(const char *path, size_t *len);
int file_reserve(int fd, size_t bytes); /* it will have so many bytes; 0 or -1 with errno */
int file_replace(const char *path, const void *data, size_t len); /* at once; 0 or -1 with errno */
