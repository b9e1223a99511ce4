/* Private to platform/: what loop.c, the same in all homes, wants of them, and they of it. */
#pragma once
#include <platform.h>

/* The first member of each home's own. */
struct plat_stream {
    struct plat_stream *next; /* of those that the loop watches */
    struct plat_loop *loop;   /* NULL: not watched */
    unsigned int events;      /* wanted */
    unsigned int ready;       /* found by home_wait(), and not yet told */
    void (*fn)(void *arg, unsigned int ready);
    void *arg;
};

struct plat_loop {
    struct plat_stream *streams, *next_stream;
    struct plat_timer *timers; /* the earliest first */
    struct plat_timer *due;    /* taken from there, to be called now */
    struct plat_wake *wakes, *next_wake;
    unsigned int stop;
    void *home; /* the home's */
};

/* Zeroed, for free(); or NULL with errno. */
void *home_alloc(size_t bytes);

/* A line of the log. */
void home_log(enum plat_level level, const char *line);

/* Whether a region may have that name. */
bool region_name_ok(const char *name);

/* 0 or -1 with errno. */
int home_loop_init(struct plat_loop *l);
void home_loop_exit(struct plat_loop *l);

/*
 * Wait until the deadline, a stream that is ready, or home_notify(); then set ready of all the
 * streams. Deadline 0: do not wait. Returns 0 or -1 with errno.
 */
int home_wait(struct plat_loop *l, uint64_t deadline_ns);

/* End home_wait() in whatever thread, now or when it is called next. Any thread (runtime: any context). */
void home_notify(struct plat_loop *l);

/* l, or NULL, watches the stream from now on. */
void home_watched(struct plat_stream *s, struct plat_loop *l);
