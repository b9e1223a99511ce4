/*
 * xenstore.h and xenstore_loop.h in memory, with watches, for tests of what lives by them, on platform.h's home in
 * memory (platform_fake.c). Several handles see the same nodes. Permissions and conflicts of transactions are not here.
 */
#pragma once
#include <platform.h>
#include <stdbool.h>

/** No nodes, no failures; whose relative paths begin at /local/domain/@home/. */
void store_reset(unsigned int home);

/** As another client would: absolute paths. Watches fire. */
void store_set(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void store_remove(const char *path);
/** What is there; NULL: no such node. */
const char *store_get(const char *path);
unsigned int store_nr_nodes(void);
unsigned int store_nr_watches(void);
/** Events that clients have not taken. */
unsigned int store_nr_events(void);

/** The n-th request from now on fails with EIO; 0: none. Whether it has. */
void store_fail_at(unsigned int n);
bool store_failed(void);

/** All requests fail, and waiting clients are told; until it is there again. */
void store_set_gone(bool gone);

/** Every request that has not failed so far calls it before it is answered: somebody is faster. */
extern void (*store_hook)(void);

/** Run the loop until nothing is left to be done. */
void run_loop(struct plat_loop *l);
