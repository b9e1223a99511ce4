/* What the hostile frontends have in common; each is a class of devices. */
#pragma once
#include "enemy.h"

/* What it takes part in; its pages stay the same, and are granted anew for each connection. */
struct enemy_class {
    const char *type;
    enum xenbus_state ready; /* that a frontend has when its rings are made */
    /** Fresh rings, and the nodes that tell of them: right ones. */
    void (*offer)(struct enemy *e);
    /** Names of nodes whose values offer() has chosen, to be spoilt; the last one is NULL. */
    const char *const *nodes;
    /** Something that an honest frontend would not do. */
    void (*act)(struct enemy *e);
    /** Once, connected as an honest one: whether all is served. */
    bool (*honest)(struct enemy *e);
};
extern const struct enemy_class enemy_block, enemy_network, enemy_console;

/* ---- grants of a connection ---- */

/** A page of our own, the n-th; the same each time. */
uint8_t *front_page(unsigned int n);

/** Grant it for this connection. @to  e->other, or who has no business with it */
grant_ref_t front_grant(struct enemy *e, domid_t to, unsigned int page, bool read_only);

/** A reference that is good, or is not: read-only, another domain's, taken back, never given, of the ring itself. */
grant_ref_t front_any_ref(struct enemy *e);

/** Take one of the grants of this connection away, or turn it to something else, though it is in use. */
void front_revoke(struct enemy *e);

/** Make a port for the other end. Ports of earlier connections are closed. */
unsigned int front_port(struct enemy *e);
