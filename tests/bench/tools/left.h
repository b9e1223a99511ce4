/* left.h: commands for tests, whose table is in commands.c. */
#pragma once
#include "../../../dom0-tools/control/commands.h"

/**
 * left begin: remember what there is of frames, domains, ports, grants and nodes. left: fails unless it is, or in a minute is,
 * the same. left ports: of the ports alone, which a guest's driver closes when its device has ended.
 */
int run_left(struct prompt *p, int argc, char **argv);

/** await PATH VALUE: until the store's node has that value; fails after a minute. */
int run_await(struct prompt *p, int argc, char **argv);
