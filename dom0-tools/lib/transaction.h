/* A transaction of the store that is repeated while others change what it reads. */
#pragma once
#include <xenstore.h>

struct toolstack;

enum {
    TRANSACTION_TRIES = 1000,
    TRANSACTION_NOTHING = -1 /* of fn: there is nothing to be written */
};

/**
 * All that fn writes, or nothing; again, if somebody else has changed what was read, TRANSACTION_TRIES times in all, as
 * a guest may write what is read for ever.
 * @fn  may be called again. Returns 0: that is to be written; TRANSACTION_NOTHING; else an errno, and nothing is.
 * Returns 0; TRANSACTION_NOTHING; an errno, without t's error: EAGAIN there were too many tries, which is logged.
 */
int transaction_run(struct toolstack *t, int (*fn)(xs_transaction_t tx, void *arg), void *arg);
