/*
 * A PV domain built from outside: created, given memory, filled with its kernel and what the ABI wants beside
 * it, ready to be unpaused. The store is not told anything here.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

struct image;
struct shell;
struct toolstack;

struct build_plan {
    const struct image *image;
    const void *ramdisk; /* NULL: none */
    size_t ramdisk_bytes;
    const char *cmdline; /* cut at the end of start_info's room */
    uint64_t nr_pages;   /* at the start */
    uint64_t max_pages;  /* not below: it may grow so far */
    uint32_t nr_vcpus;   /* all it can have */
    uint32_t ssidref;    /* its roles; 0: a guest */
    uint8_t uuid[16];
    const struct shell *shell; /* that it is built in; NULL: none. One that was taken: shell.h */
};

struct built {
    domid_t id;
    uint32_t store_port, console_port; /* its ports, unbound, for the toolstack's domain */
    xen_pfn_t store_mfn, console_mfn;  /* its rings, which are also granted: GNTTAB_RESERVED_* */
};

/** The domain is paused once. On failure nothing of it is left but a shell that was given. errno: EINVAL it does not fit; ENOMEM; ... */
int build_domain(struct toolstack *t, const struct build_plan *plan, struct built *out);

/**
 * The beginning of a domain (shell.h): one with memory, vCPUs and ports by the plan, without a kernel. Its frames are listed in its
 * own last pages, as whoever goes on with it may be another program. On failure there is none.
 * @shell  receives all but its UUID
 */
int build_shell(struct toolstack *t, const struct build_plan *plan, struct shell *shell);

/** The frames of a shell, whose list is cleared. @p2m  receives as many as it has pages */
int build_shell_frames(struct toolstack *t, const struct shell *shell, uint64_t *p2m);

/**
 * Whether it fits, into its memory and into the machine: what build_domain() looks at before it does anything.
 * @more_pages  that will be free beside those that are
 */
int build_check(struct toolstack *t, const struct build_plan *plan, uint64_t more_pages);

/* ---- its steps that others share; 0, or -1 with errno and t's error ---- */

/**
 * Shells are for when there is enough memory: where that many pages are not free they are given up.
 * @more_pages  as of build_check()
 * @nr_free     receives how many are free then, with them
 */
int build_make_room(struct toolstack *t, uint64_t nr_pages, uint64_t more_pages, uint64_t *nr_free);

/** A domain with what the plan says of its size and vCPUs, without memory. On failure there is none. */
int build_empty(struct toolstack *t, const struct build_plan *plan, domid_t *id);

/** No upcalls before its kernel wants them. */
int build_mask_upcalls(struct toolstack *t, domid_t id, uint64_t shared_info_mfn);

/** Its ports. */
int build_ports(struct toolstack *t, struct built *built);

/** The daemons of this domain map a domain's rings by grants of its, GNTTAB_RESERVED_*: these, in place of what is there. */
int build_grant_rings(struct toolstack *t, domid_t id, xen_pfn_t store_mfn, xen_pfn_t console_mfn);
