/*
 * Domains that are to begin in the place of those that have ended, as the store keeps them: /xen-like/restarts/UUID, from
 * before the old one is destroyed until the new one runs. So whoever attends next knows of them.
 * 0, or -1 with errno and t's error.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>

struct domain_config;
struct toolstack;

struct restart {
    uint64_t configured_kib; /* as guest_replace() has it */
    domid_t old; /* of its UUID, whose nodes may still be there; DOMID_INVALID: there was none */
    unsigned int nr_short_lives, nr_tries;
    bool foreground; /* an `xl create -F` does it: others do, when that has not tried for long */
    uint64_t tried;  /* when, in seconds since 1970 */
};

/** Keep it, in place of what there is of c's UUID. errno: E2BIG c is too long; ENOMEM; the store's. */
int restarts_put(struct toolstack *t, const struct domain_config *c, const struct restart *r);

/** What is kept, with its UUID in c. errno: ENOENT there is none of that UUID; EINVAL it was not understood, and is removed; the store's. */
int restarts_get(struct toolstack *t, const char *uuid, struct domain_config *c, struct restart *r);

/** It is not to begin any more. False: the store fails; what is not there is no error. */
bool restarts_forget(struct toolstack *t, const uint8_t uuid[16]);

/** Forget what is kept of that UUID, as another one of it is being made. Returns it, to be freed; NULL: there was none. */
char *restarts_take(struct toolstack *t, const uint8_t uuid[16]);

/** That could not be made: what restarts_take() returned is to begin again. */
void restarts_give_back(struct toolstack *t, const uint8_t uuid[16], const char *kept);

/**
 * The UUIDs, as text, to be freed as one.
 * NULL: errno ENOENT there are none; the store's.
 */
char **restarts_list(struct toolstack *t, unsigned int *nr);
