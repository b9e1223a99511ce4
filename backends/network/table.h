/* table.h: behind which port a MAC address was seen last. It has a bound, and so has each port's part of it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "packet.h"

enum { TABLE_ENTRIES = 4096, TABLE_BUCKETS = 1024, TABLE_OF_PORT = 512 };
#define TABLE_AGE_NS 300000000000u /* not seen for so long: forgotten */

struct switch_port;

struct table_entry {
    struct table_entry *next;
    struct switch_port *port;
    uint64_t seen_ns;
    uint8_t mac[ETH_ADDRESS];
    bool fixed; /* the port's own, which lies in it: not forgotten, and nobody else's */
};

struct table {
    struct table_entry *buckets[TABLE_BUCKETS], *free;
    struct table_entry entries[TABLE_ENTRIES];
    uint64_t seed, swept_ns;
};

/** @seed  something that others do not know */
void table_init(struct table *t, uint64_t seed);

/** NULL: nobody knows. */
struct table_entry *table_find(struct table *t, const uint8_t *mac);

/** One that lies in its port. False: the address is another port's for good. What was learned of it is forgotten. */
bool table_add_fixed(struct table *t, struct table_entry *e);

/** All that is the port's. */
void table_forget(struct table *t, const struct switch_port *p);

/** Those that were not seen for too long are forgotten. Called as often as anybody likes; what table_find() has said is no more. */
void table_sweep(struct table *t, uint64_t now_ns);

/**
 * A frame from that address has come in there. Where there is no room it is not learned.
 * @e  what table_find() says of it now
 */
void table_learn(struct table *t, struct table_entry *e, const uint8_t *mac, struct switch_port *p,
                 uint64_t now_ns);
