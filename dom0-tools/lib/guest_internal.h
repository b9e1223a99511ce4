/* What creation and restoration of a domain share (guest.c). 0, or -1 with errno and t's error. */
#pragma once

struct build_plan;
struct built;
struct domain_config;
struct toolstack;

/** Before anything large is done: nothing that is asked for is not served, name and UUID are free. */
int guest_check(struct toolstack *t, const struct domain_config *c);

/** What the domain is built by, but for kernel and ramdisk. It refers to c. */
void guest_plan(const struct domain_config *c, struct build_plan *plan);

/** The configuration as the store keeps it, to be freed. NULL: it cannot be kept: errno E2BIG, ENOMEM and t's error. */
char *guest_config_text(struct toolstack *t, const struct domain_config *c);

/** What guest_attend() wanted to try again is not tried any more. */
void guest_forget_restarts(struct toolstack *t);

/** Built, it gets its shares, its nodes in the store, and its devices. On failure it is destroyed. */
int guest_register(struct toolstack *t, const struct domain_config *c,
                   const struct build_plan *plan, const struct built *built);
