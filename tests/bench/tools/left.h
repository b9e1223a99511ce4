/* left.h: commands for tests, whose table is in commands.c. */
#pragma once
#include "../../../dom0-tools/control/commands.h"

/** left WORD: remember what there is of frames, domains, ports, grants, nodes. left: fails unless it is, or soon is, the same. */
int run_left(struct prompt *p, int argc, char **argv);

/** await PATH VALUE: until the store's node has that value; fails after a minute. */
int run_await(struct prompt *p, int argc, char **argv);
