/* What creation and restoration of a domain share (guest.c). 0, or -1 with errno and t's error. */
#pragma once
#include <stdint.h>

#include <xen/xen.h>

#include "toolstack.h"

struct build_plan;
struct built;
struct domain_config;

/** Before anything large is done: nothing that is asked for is not served, name and UUID are free. */
int guest_check(struct toolstack *t, const struct domain_config *c);

/** What the domain is built by, but for kernel and ramdisk. It refers to c. */
void guest_plan(const struct domain_config *c, struct build_plan *plan);

/** As guest_list(), and shells. */
int guest_list_all(struct toolstack *t, guest_info_t **infos, size_t *nr);

/** The configuration as the store keeps it, to be freed. NULL: it cannot be kept, or could not once
 * it has a UUID, shares and a long name: errno E2BIG, ENOMEM and t's error. */
char *guest_config_text(struct toolstack *t, const struct domain_config *c);

/** The name that the domain has by now, into c. */
void guest_name_now(struct toolstack *t, domid_t id, struct domain_config *c);

/** Read it back. */
int guest_parse_config(struct toolstack *t, const char *text, struct domain_config *c);

/** Built, it gets its shares, its nodes in the store, and its devices. On failure it is destroyed, unless it was a shell. */
int guest_register(struct toolstack *t, const struct domain_config *c,
                   const struct build_plan *plan, const struct built *built);
