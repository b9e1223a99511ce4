/*
 * Grant tables, version 1: a domain lets others map frames of its own, or copy from and to them. The
 * granter's half is in table.c, the mapper's in map.c, GNTTABOP_copy in copy.c; internal.h has the
 * model. A grant is used by the domain that its entry names, whatever the policy on domains says.
 */
#pragma once
#include "memory/guest_copy.h"

/** Limits that d->max_grant_frames and d->max_maptrack_frames may have; and Xen's for domain 0. */
#define GRANT_FRAMES_MAX 512u     /* of 512 references each */
#define MAPTRACK_FRAMES_MAX 8192u /* of 256 mappings each */
#define GRANT_FRAMES_DEFAULT 64u
#define MAPTRACK_FRAMES_DEFAULT 1024u

/**
 * d's grant table, of one frame, and its limits; below 0: the default. 0; -EINVAL beyond the above, or no
 * frame at all; -ENOMEM (destroy it then, too).
 */
int grant_domain_create(struct domain *d, int32_t grant_frames, int32_t maptrack_frames);
/**
 * d is dying and its page tables are gone: let go of all that it has mapped. Preemptible, -ERESTART to
 * call again. What others have mapped of d's stays until they let go, and d itself with it.
 */
int grant_domain_relinquish(struct domain *d);
/** Is any of d's grants mapped? Then d must not be freed, also when it is dead. */
bool grant_is_mapped(const struct domain *d);
/** With the last reference on d. A frame of the table that somebody still maps is freed with that. */
void grant_domain_destroy(struct domain *d);

/**
 * The machine frames [first, first + nr) of d's table, which grows as needed, to the guest's list at
 * `to`. 0 or: -EINVAL more than the limit allows, or d is dying; -ENOMEM; -EFAULT; -ERESTART to call
 * again (it has grown a bit).
 */
int grant_list_frames(struct domain *d, uint32_t first, uint32_t nr, guest_va_t to);

/** Do counts and mappings hold together? Prints what does not; how many. All CPUs parked. */
unsigned int grant_audit(void);
void grant_print(struct domain *d); /* debug key; L_DOMLIST */
