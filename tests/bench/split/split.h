/* What the workloads of `make bench-split` share (work.c). */
#pragma once
#include <stdbool.h>

enum { MIB = 1 << 20, WARM_UP = 8 };

/** Or the end: what failed is on the console. */
void must(bool good, const char *what);

/** A window of tests/bench/plugin begins, which has that many units. It ends by mark_window(0). */
void begin(const char *name, unsigned int units, const char *unit);

int block_all(const char *path);   /* block.c */
int send_all(const char *address); /* sockets.c */
_Noreturn void serve(void);
int packets_all(const char *from, const char *to); /* packets.c */
