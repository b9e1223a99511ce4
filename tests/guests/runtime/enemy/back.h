/* What the hostile backends have in common; each is a class of devices. */
#pragma once
#include "enemy.h"

/* What it takes part in. */
struct back_class {
    const char *type;
    /** The nodes by which a frontend knows what it is served, right ones; */
    void (*offer)(struct enemy *e);
    /** and their names, to be spoilt; the last one is NULL. */
    const char *const *nodes;
    /** The rings and ports of the other end, by its nodes. False: they are not to be had. */
    bool (*connect)(struct enemy *e);
    /** Something that an honest backend would not do, or some of what it would. */
    void (*act)(struct enemy *e);
    /** What is asked is answered as it should be. Returns how much that was. */
    unsigned int (*serve)(struct enemy *e);
};
extern const struct back_class back_block, back_network, back_console;

/** Map a page of the other end, until it is released; NULL: it is not granted to us. */
uint8_t *back_map(struct enemy *e, grant_ref_t ref);
/** The page that this node of the other end has a reference to; NULL. */
uint8_t *back_map_node(struct enemy *e, const char *node);
/** Bind the port whose number this node of the other end has. False: it is not to be had. */
bool back_bind_node(struct enemy *e, const char *node);
/** Some of our bytes into a page of theirs, or back. False: it is not granted for that, or is no piece of a page. */
bool back_write(struct enemy *e, grant_ref_t ref, uint16_t offset, const void *bytes, uint16_t len);
bool back_read(struct enemy *e, grant_ref_t ref, uint16_t offset, void *bytes, uint16_t len);
/** A page of theirs that we have mapped, of whatever connection it was; NULL: there is none. */
uint8_t *back_any_page(struct enemy *e);
