/*
 * rt/group.h: threads that can be killed together, at any instruction, with all that they have.
 *
 * A group is a program in the kernel: its code is platform.h's, Xen's interface libraries' and the C
 * library's user. It has a heap of its own, which malloc() uses in its threads; the threads that they
 * start are of the group, too. What the runtime has given it, each with its owner (struct owned), goes
 * back when the group ends: streams and listeners, regions, handles of xenevtchn and xengnttab with what
 * they hold, foreign mappings, PCI devices (these first), threads, at last the heap. What it takes by rt/...h directly, by
 * open() or fopen(), does not. Its static variables stay as they are: it has none, or sets them when it starts.
 *
 * A kill comes at whatever instruction of the group's own code a thread is, or in its wait. What must not
 * stop in the middle are the runtime's own structures: who changes these is in a RUNTIME_SECTION, or holds
 * a lock of the C library, and ends when it leaves the last of them. Nothing waits in there but for
 * locks that are held by who is in one, too.
 * (Who reads standard input waits there as well, so a group does not.)
 * A mutex that others use with the group may be held by a thread that is no more: there must be none.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct group;

/**
 * Start fn(arg) as the first thread of a new group.
 * @name  of it and its first thread; up to 15 characters
 * Returns it, for group_wait() and group_free(); NULL: errno is ENOMEM, or EPERM: the caller is of a group itself.
 */
struct group *group_start(const char *name, void (*fn)(void *arg), void *arg);

/**
 * End all its threads: those that wait or run elsewhere at once or very soon, the calling one, if it is of
 * the group, before this returns. Event handlers and threads, all vCPUs. It may have
 * ended already.
 */
void group_kill(struct group *g);

/** Wait until all its threads have ended. Threads of no group. */
void group_wait(struct group *g);

/** Give back all that it has, and the group itself, which has ended. A thread of no group. */
void group_free(struct group *g);

/** The bytes of pages that its heap has now. */
size_t group_heap_bytes(const struct group *g);

/**
 * The calling thread cannot go on. If it is of a group and in its own code, that is killed and this does
 * not return; else it does.
 */
void group_fail(void);

/* ---- for the runtime and its libraries ---- */

/** A thread in a section does not end, and malloc() uses the runtime's heap. Nests. Threads. */
void runtime_enter(void);
void runtime_leave(void);

static inline void runtime_section_end(const char *unused)
{
    (void)unused;
    runtime_leave();
}

/** From here to the end of the block. Nothing may stand before it that wants to be undone. */
#define RUNTIME_SECTION                                                            \
    __attribute__((cleanup(runtime_section_end), unused)) const char in_section_ = \
        (runtime_enter(), 0)

/** The head of what a group has of the runtime; all zero: nobody's. */
struct owned {
    struct owned *next, **at; /* of the group's list */
    struct group *group;      /* NULL: the kernel's, for ever */
    void (*release)(struct owned *o);
};

/**
 * It is the calling thread's group's from now on. In a section.
 * @release  called when the group has ended, without o being anybody's; o is freed there
 */
void owned_add(struct owned *o, void (*release)(struct owned *o));

/** The same for what uses others of these: a device, which reads and writes memory. It is released before them. */
void owned_add_first(struct owned *o, void (*release)(struct owned *o));

/** It is nobody's: before it is freed, in the same section. */
void owned_remove(struct owned *o);
