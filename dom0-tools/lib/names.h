/*
 * Domains by their names. What the store says of a domain itself, /local/domain/ID/name, is the truth; beside it
 * /xen-like/names/NAME = ID says where to look first, for domains of this toolstack. Others that rename a domain do
 * not know of that: it is never believed without a look at the domain.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xenstore.h>

struct toolstack;

/**
 * The domain of that name.
 * @all  look at all domains if the index does not help: the more there are, the longer it takes
 * 0; -1: ESRCH there is none; else the store's errno.
 */
int names_find(struct toolstack *t, xs_transaction_t tx, const char *name, bool all, domid_t *id);

/** It has this name now. Permissions are the directory's: nobody's but this domain's. False: errno. */
bool names_put(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t id);

/** It has it no longer. If the name is another one's by now that stays so. False: errno. */
bool names_forget(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t id);
