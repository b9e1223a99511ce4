/*
 * Who attends to guests that have ended: they are destroyed, started again or kept, as their configurations say
 * (guest_attend() of the toolstack). One for all of a control domain: a thread of the embedded one, the process
 * xen-like-attend on Linux.
 */
#pragma once
#include <stdbool.h>

#include <platform.h>

/**
 * Attend to them by this loop, as long as it runs: first to those that have ended before. If the store goes away
 * it is looked for each second. False: the log says why not.
 * @sole  as in struct toolstack
 */
bool attend_start(struct plat_loop *loop, bool sole);
