/*
 * consfront.h: consoles beside the first, which another domain serves by <xen/io/console.h>, for guests on our runtime:
 * each carries bytes both ways. (The first is printf's.)
 *
 * The backend is distrusted: it sees one page, made for that alone, whose indices are checked, and each byte of which is
 * read once. All of it belongs to the thread of one loop.
 */
#pragma once
#include <platform.h>

struct consfront_channel {
    uint32_t number; /* 1 and so on: in the order of channel= in xl.cfg */
    char name[64];   /* by which programs know what it is for; "": the toolstack says none */
};

struct consfront;

/** What a user is told. */
struct consfront_user {
    /** Both ends are there: it can be used from now on. */
    void (*ready)(void *arg, struct consfront_channel *c);
    /**
     * There may be bytes, or room, that there were not before. Who reads until nothing is there has the loop for as
     * long as the other end writes without a pause: it may take some, and the rest by a timer.
     */
    void (*changed)(void *arg, struct consfront_channel *c);
    /** It cannot be used any more, unless it is ready() again. */
    void (*gone)(void *arg, struct consfront_channel *c);
    void *arg;
};

/** All that this domain has, now and later. The user is kept. NULL: errno. */
struct consfront *consfront_start(struct plat_loop *l, const struct consfront_user *user);

/** They are left; the other ends see nothing of it. gone() is called of those that were ready. */
void consfront_stop(struct consfront *all);

/**
 * As plat_read(), plat_write(), of a channel that is ready: what is there, or as much as there is room for, at least 1
 * byte of @len. -1: EAGAIN nothing now: changed() says when; EPIPE it is not ready, or the other end has broken the rules.
 */
ssize_t consfront_read(struct consfront_channel *c, void *buf, size_t len);
ssize_t consfront_write(struct consfront_channel *c, const void *buf, size_t len);
