/* What the two files of shells share. 0, or -1 with errno and t's error, unless they say otherwise. */
#pragma once
#include "shell.h"

struct shells {
    unsigned int nr;
    struct shell shell[SHELLS_MAX];
};

int shells_read(struct toolstack *t, struct shells *all);

/** Have fn change them, in a transaction. It may be called again. Returns 1: it did; 0: it said false, and nothing is; -1. */
int shells_change(struct toolstack *t, bool (*fn)(struct shells *all, void *arg), void *arg);

/** That one is in the list no longer. Returns 1; 0: it was not; -1. */
int shells_forget(struct toolstack *t, domid_t id);

/** The handle of its domain. */
void shell_handle(const struct shell *s, xen_domain_handle_t handle);

/** Its domain is there. @fresh  and as it was made: it never ran, and has what it had */
bool shell_is_there(struct toolstack *t, const struct shell *s, bool fresh);
