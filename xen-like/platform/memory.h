/* Private to platform/: streams in memory (memory.c), and what they want of the home they are in. */
#pragma once
#include "loop.h"

struct end;

/* What kind of stream it is. All are called with the lock of memory.c held. */
struct end_ops {
    unsigned int (*ready)(struct end *e);
    ssize_t (*read)(struct end *e, void *buf, size_t len);        /* NULL: EAGAIN for ever */
    ssize_t (*write)(struct end *e, const void *buf, size_t len); /* NULL: the same */
    void (*close)(struct end *e);                                 /* and free */
    void (*watched)(struct end *e, struct plat_loop *l);          /* NULL: nothing to do */
};

struct end {
    struct plat_stream stream; /* the first member */
    const struct end_ops *ops;
    struct plat_loop *notify; /* the loop that watches it */
    void *owner[4];           /* the home's: whose it is */
};

/*
 * What a home with thread groups wants to know: the calling thread is among the structures of all groups, and is
 * not to be killed; an end is its group's, and end_abandon() is to be called when that is no more; is nobody's.
 */
void home_enter(void);
void home_leave(void);
void home_own(struct end *e);
void home_disown(struct end *e);
void end_abandon(struct end *e); /* closed and freed; its loop is no more */

/* One who waits. up() is for any context. */
struct home_sem;
struct home_sem *home_sem_new(void); /* or NULL with errno */
void home_sem_free(struct home_sem *s);
void home_sem_up(struct home_sem *s);

/* 1: taken; 0: the deadline came first; -1 with errno: neither can ever be. */
int home_sem_down(struct home_sem *s, uint64_t deadline_ns);
