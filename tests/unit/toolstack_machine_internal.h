/* What the parts of the machine of toolstack_machine.h know of each other. */
#pragma once
#include "toolstack_machine.h"

/** Each call of an interface library asks this first: whether it is to fail, with EIO. Or it is the last: machine_die_at(). */
bool machine_call_fails(void);

/** The store as at first; and as it is when who works on it has died. */
void machine_store_reset(void);
void machine_store_die(void);
bool machine_in_transaction(void);
