/* Private to save.c: a domain suspends itself, and goes on. */
#pragma once
#include <stdbool.h>

#include "toolstack.h"

/**
 * Have it suspend itself, in two minutes at most, and then hold it by a pause. What was asked of it and not heard is
 * taken back; if it suspends although it has failed here, it is made to go on.
 * @was_running  receives whether it was running until then
 * errno: as of guest_save()
 */
int suspend_domain(struct toolstack *t, domid_t id, bool *was_running);

/** It is still suspended, and not about to end. errno: ESRCH. */
int suspend_check(struct toolstack *t, domid_t id);

/** After a failure, whose errno and error stay: it is released, and goes on if it was running. */
void suspend_undo(struct toolstack *t, domid_t id, bool was_running);

/** All has been done with it. */
int suspend_end(struct toolstack *t, domid_t id, enum guest_then then);
