/* See transaction.h. */
#include "transaction.h"

#include <errno.h>

#include <platform.h>

#include "toolstack.h"

/* EAGAIN: once more. */
static int run_once(struct toolstack *t, int (*fn)(xs_transaction_t tx, void *arg), void *arg)
{
    xs_transaction_t tx = xs_transaction_start(t->store);
    int rc;

    if (tx == XBT_NULL)
        return errno == EAGAIN || errno == 0 ? EIO : errno;
    rc = fn(tx, arg);
    if (xs_transaction_end(t->store, tx, rc != 0) || rc > 0)
        return rc == EAGAIN ? EIO : rc;
    return errno ? errno : EIO;
}

int transaction_run(struct toolstack *t, int (*fn)(xs_transaction_t tx, void *arg), void *arg)
{
    for (unsigned int i = 0; i < TRANSACTION_TRIES; i++) {
        int rc = run_once(t, fn, arg);

        if (rc != EAGAIN)
            return rc;
    }
    plat_log(PLAT_WARNING, "the store: what a transaction reads was changed %d times meanwhile",
             TRANSACTION_TRIES);
    return EAGAIN;
}
