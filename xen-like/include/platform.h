/*
 * platform.h: all that a program of the control domain (store, toolstack, daemons, backends) wants
 * of the system it runs on, beside the C library and the hypervisor's interface libraries.
 *
 * It has three homes, and the program is the same source in each: our own runtime
 * (platform/rt.c), Linux (platform/posix.c), and a host unit test, in which files, streams and time
 * exist in memory only (platform/fake.c; a test steers it by platform/fake.h).
 *
 * A function that can fail returns NULL or -1 and sets errno. What a home cannot do is ENOTSUP.
 * Times are nanoseconds. Except where it says "any thread", what belongs to a loop (its streams that
 * are watched, timers, wakes) is used by the thread that runs the loop, and by its callbacks.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

/* ---- clock, log. Any thread. ---- */

#define PLAT_NEVER UINT64_MAX

uint64_t plat_now(void);  /* since some moment in the past; never goes back */
uint64_t plat_wall(void); /* since 1970-01-01 00:00 UTC */

/**
 * Let others have this CPU for now, other domains, too; nothing is waited for. Who serves requests does so before he
 * looks for them: by then there are more, and all are served in one go.
 */
void plat_yield(void);

enum plat_level { PLAT_ERROR, PLAT_WARNING, PLAT_INFO, PLAT_DEBUG };

/**
 * A line for whoever runs the machine: the console, or standard error.
 * @fmt  as printf's, without a newline; cut at 300 bytes. errno is kept.
 */
void plat_log(enum plat_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Lines of a higher level than that are not shown. PLAT_INFO at the start. */
void plat_log_limit(enum plat_level level);

/* ---- threads. Any thread. ---- */

struct plat_thread;

/**
 * Run fn(arg) beside the caller. Its stack has 32 KiB at least.
 * @name  for diagnosis; up to 15 characters
 * Returns it, to be joined; NULL: ENOMEM, EAGAIN.
 */
struct plat_thread *plat_thread_start(const char *name, void (*fn)(void *arg), void *arg);

/** Wait until its function has returned, and free it. */
void plat_thread_join(struct plat_thread *t);

/* ---- groups of threads: programs in one image. On Linux they are processes: not here, ENOTSUP. ---- */

struct plat_group;

/**
 * Run fn(arg) as the first thread of a group that can be killed at any instruction, and started anew as another
 * one. It has a heap of its own; the threads that it starts are in it, too. When it ends, what it has opened
 * of this header and of Xen's interface libraries is closed as if by itself, and all its memory is free. What
 * is not given back: mutexes and loops of others that it has locked or added to, static variables, the console.
 * Returns it, for plat_group_free(); NULL: ENOMEM, EPERM the caller is in a group, ENOTSUP.
 */
struct plat_group *plat_group_start(const char *name, void (*fn)(void *arg), void *arg);

/** End its threads, wherever they are. It may have ended already. Any thread; the runtime: any context. */
void plat_group_kill(struct plat_group *g);

/** Wait until all its threads have ended. Threads of no group. */
void plat_group_wait(struct plat_group *g);

/** It has ended: give back all that it has, and itself. A thread of no group. */
void plat_group_free(struct plat_group *g);

/** Initially all zero: free. Its owner must not take it again. */
struct plat_mutex {
    uint64_t opaque[8];
};
void plat_lock(struct plat_mutex *m);
void plat_unlock(struct plat_mutex *m);

/** Initially all zero. */
struct plat_cond {
    uint64_t opaque[8];
};

/**
 * Release the mutex and wait, without a gap, until signalled; then take it again. It may return
 * without reason: check the condition in a loop around it.
 * Returns false if the deadline (by plat_now(), or PLAT_NEVER) came first.
 */
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns);
void plat_cond_signal(struct plat_cond *c);    /* wake one, if one waits */
void plat_cond_broadcast(struct plat_cond *c); /* wake all */

/* ---- the event loop: one thread's waiting for many things ---- */

struct plat_loop;

/** NULL: ENOMEM, EMFILE. */
struct plat_loop *plat_loop_new(void);

/** Nothing is watched, set or waited for any more in it, and nobody runs it. */
void plat_loop_free(struct plat_loop *l);

/**
 * Call callbacks, one at a time, until plat_loop_stop() was called (even before).
 * Returns 0; -1: errno says why waiting is impossible (the fake: EDEADLK, nothing can ever happen).
 */
int plat_loop_run(struct plat_loop *l);

/** Any thread. */
void plat_loop_stop(struct plat_loop *l);

/** The owner keeps it as long as it is set. Initially all zero, but for fn and arg. */
struct plat_timer {
    void (*fn)(void *arg);
    void *arg;
    struct plat_timer *next;
    struct plat_loop *loop; /* NULL: not set */
    uint64_t deadline_ns;
};

/** Call its fn once, at that time (by plat_now()) or soon after; if it is set already, instead. */
void plat_timer_set(struct plat_loop *l, struct plat_timer *t, uint64_t deadline_ns);

/** Returns whether it was set. Its fn is not called any more. */
bool plat_timer_cancel(struct plat_timer *t);

/** How others wake the loop. The owner keeps it until plat_wake_remove(). */
struct plat_wake {
    void (*fn)(void *arg);
    void *arg;
    struct plat_wake *next;
    struct plat_loop *loop;
    unsigned int pending;
};

/** @w  with fn and arg, else zero */
void plat_wake_add(struct plat_loop *l, struct plat_wake *w);

/** Nobody calls plat_wake() any more. */
void plat_wake_remove(struct plat_wake *w);

/**
 * Let the loop call w's fn, once for any number of these before it does. Any thread; on the runtime
 * also a handler of an event channel.
 */
void plat_wake(struct plat_wake *w);

/* ---- byte streams ---- */

struct plat_stream;

enum {
    PLAT_READABLE = 1, /* a read gives bytes or the end, plat_accept() a stream */
    PLAT_WRITABLE = 2, /* a write takes bytes, or fails with EPIPE */
};

/**
 * Read what is there. Never waits.
 * Returns the number of bytes, 1..@len; 0: the other end is closed, there is no more; -1: EAGAIN there
 * is nothing yet, ECONNRESET, EIO. @len is 1 at least.
 */
ssize_t plat_read(struct plat_stream *s, void *buf, size_t len);

/** Write as much as there is room for. Returns it, 1..@len; -1: EAGAIN no room, EPIPE, EIO. */
ssize_t plat_write(struct plat_stream *s, const void *buf, size_t len);

/** Not watched any more, closed, freed. The other end reads what was written, then the end. */
void plat_close(struct plat_stream *s);

/**
 * Have fn(arg, ready) called as long as one of these is so; @ready are those that are. s, the
 * watching and all else of the loop may be changed or closed in it. It may come once too often: a
 * read or write then says EAGAIN.
 * @events  PLAT_READABLE, PLAT_WRITABLE, both; 0: not any longer
 * A stream is watched by one loop.
 */
void plat_watch(struct plat_loop *l, struct plat_stream *s, unsigned int events,
                void (*fn)(void *arg, unsigned int ready), void *arg);

/** Two ends, each of which reads what is written to the other. 0; -1: ENOMEM, EMFILE. */
int plat_pair(struct plat_stream *ends[2]);

/**
 * The terminal or the script that the program is used from: standard input and output, or the
 * console of the domain, without echo. One, once, and only one reader. NULL: ENOMEM, EBUSY.
 */
struct plat_stream *plat_console(void);

/**
 * Whether the user of plat_console() wants what runs now to end: Ctrl-C has been typed, which, with all before it, is
 * not read any more. Where a terminal makes a signal of it (Linux): never. Asked by who reads the console.
 */
bool plat_console_interrupted(void);

/**
 * A place where others of this system connect: a Unix socket on Linux, of which only the same user (and
 * root) may make use, else a name in memory.
 * @path  a path of up to 100 bytes
 * Returns a stream that is readable when plat_accept() gives one; to be closed. NULL: EADDRINUSE
 * somebody listens there, ENAMETOOLONG, ENOENT no such folder, EACCES, ENOMEM, EMFILE.
 */
struct plat_stream *plat_listen(const char *path);

/** The next that has connected. NULL: EAGAIN there is none, ENOMEM, EMFILE. */
struct plat_stream *plat_accept(struct plat_stream *listener);

/** NULL: ENOENT or ECONNREFUSED nobody listens there, EAGAIN too many wait, ENAMETOOLONG, ENOMEM, EMFILE. */
struct plat_stream *plat_connect(const char *path);

/* ---- files. Any thread. ---- */

/**
 * A whole file.
 * @len  receives its length in bytes; may be NULL
 * Returns it, with a zero byte behind, to be freed; NULL: ENOENT, ENOMEM, EACCES, EISDIR, EINVAL a
 * device or pipe, EIO.
 */
char *plat_file_read(const char *path, size_t *len);

/** A whole file that is only looked at. */
struct plat_view {
    const void *bytes;
    size_t len;
    void *copy; /* NULL: they are the file's own */
};

/**
 * The same without a copy, where a file lies in memory and never changes there: those of the runtime's archives.
 * (Who writes to such a file writes to a copy.)
 * Returns 0, then end it; -1 as plat_file_read().
 */
int plat_file_view(const char *path, struct plat_view *v);
static inline void plat_file_view_end(struct plat_view *v)
{
    free(v->copy);
    *v = (struct plat_view){ .copy = NULL };
}

/**
 * Make a file that holds exactly that. Whoever reads it, even after a crash in the middle, finds what it
 * held before or all of this. On the runtime files are in memory: there is no crash to outlive.
 * Returns 0; -1: ENOSPC, ENOENT no such folder, EACCES, ENOMEM, EIO: it holds what it held.
 */
int plat_file_write(const char *path, const void *data, size_t len);

/** Add to the end of a file, which is made if there is none. Not atomic. Returns as plat_file_write(). */
int plat_file_append(const char *path, const void *data, size_t len);

/** 0; -1: ENOENT, EACCES. */
int plat_file_remove(const char *path);

/**
 * Give a file another name of the same folder, at once, in place of what has it. After a crash it may have
 * either. 0; -1: ENOENT, EACCES, ENOSPC, ENOMEM, EIO: nothing has changed.
 */
int plat_file_rename(const char *path, const char *to);

/** @len  receives its length in bytes. 0; -1: ENOENT, EACCES, EISDIR, EINVAL a device or pipe. */
int plat_file_size(const char *path, size_t *len);

/* ---- files too large to be in memory at once: from the start to the end. One thread at a time for each. ---- */

struct plat_file;

/** Read a file. NULL: as plat_file_read(). */
struct plat_file *plat_file_open(const char *path);

/**
 * Make a file, which on Linux its owner alone may read. Until plat_file_commit() nobody finds it, and what has its
 * name stays.
 * @expected  it will have about so many bytes, for which room is kept where that can be; 0: nobody knows
 * NULL: as plat_file_write().
 */
struct plat_file *plat_file_create(const char *path, uint64_t expected);

/** The next bytes. Returns how many: fewer than @len only at the end; -1: EIO. */
ssize_t plat_file_get(struct plat_file *f, void *buf, size_t len);

/** Add to what is made. 0; -1: ENOSPC, EIO: it can only be closed. */
int plat_file_put(struct plat_file *f, const void *data, size_t len);

/** It is made, at once, as with plat_file_write(). f is closed also when it is not. 0; -1: as plat_file_write(). */
int plat_file_commit(struct plat_file *f);

/** One that was made is not. NULL: nothing is done. errno is kept. */
void plat_file_close(struct plat_file *f);

/* ---- a persistent region: memory that outlives the program, not the machine ---- */

/**
 * The region of that name; the same bytes as when the program ended, however it ended. Its address may be
 * another one each time, so it holds offsets, no pointers. What was written is there in the order in
 * which it was written.
 * @name   letters, digits, '-' and '_', up to 31
 * @len    bytes, 1 or more; rounded up to whole pages
 * @fresh  receives whether it is new, and then all zero; may be NULL
 * Returns its address, a multiple of 4096; NULL: EINVAL bad name, or it exists with another length, EBUSY it is
 * open, ENOMEM, ENOSPC, EACCES, ENOENT (Linux: no folder; see posix.c). Any thread.
 */
void *plat_region_open(const char *name, size_t len, bool *fresh);

/** It stays, and may be opened again. @region @len  of plat_region_open() */
void plat_region_close(void *region, size_t len);

/** It shall be no more. 0; -1: ENOENT, EBUSY it is open here, EACCES. */
int plat_region_remove(const char *name);
