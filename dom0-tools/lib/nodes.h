/*
 * What the store says of a domain: the nodes of xenstore-paths(7) that Debian's xl, xenconsoled and kernels look
 * for, and who may read and write them.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>

struct toolstack;

struct nodes {
    domid_t id;
    const char *name;
    uint8_t uuid[16];
    unsigned int nr_vcpus, max_vcpus; /* online, in all */
    uint64_t memory_kib, max_memory_kib;
    uint32_t store_port, console_port;
    xen_pfn_t store_mfn, console_mfn;
    const char *config; /* what it is restarted with; NODES_CONFIG_MAX bytes at most; NULL: none */
    bool unattended;    /* nodes_leave() at once */
    unsigned int nr_short_lives; /* those of the domains whose place it takes, in a row */
    const uint8_t *prepared;     /* the UUID that nodes_prepare() knew; NULL: it was not called */
};

enum { NODES_CONFIG_MAX = 3900 }; /* with its path one message of the store */

/**
 * Write them all, in one transaction, then introduce the domain to the store. On failure there are none, but those that
 * were prepared.
 * errno: EEXIST another domain has its name; else the store's.
 */
int nodes_create(struct toolstack *t, const struct nodes *n);

/**
 * Write what is known of a domain before it has a name, a kernel and a configuration, and all its nr_vcpus are online: for
 * nodes_create() to complete. Until then it is called xen-like-shell-ID, in case that somebody lists it, and the store does not
 * know its ring. On failure there are none.
 */
int nodes_prepare(struct toolstack *t, const struct nodes *n);

/** Remove all nodes of a domain that does not run, those of its devices, too, and let the store forget it. What is not there is no error. */
int nodes_remove(struct toolstack *t, domid_t id);

/** A node below the domain's directory, as text to be freed; NULL: errno. Of a guest's own: it may be anything. */
char *nodes_read(struct toolstack *t, domid_t id, const char *leaf);

/** errno: ENOENT there is no such node, and none is made. */
int nodes_write(struct toolstack *t, domid_t id, const char *leaf, const char *value);

/**
 * A node below control/ that the domain owns, and may have removed: then it is made anew, the domain's as before.
 * errno: ENOENT there is no such domain, or none that a toolstack has made.
 */
int nodes_ask(struct toolstack *t, domid_t id, const char *leaf, const char *value);

/** Take a guest_request() back. errno: EALREADY it does not stand there any more: the domain has taken it. */
int nodes_unrequest(struct toolstack *t, domid_t id, const char *what);

/** As guest_rename(). */
int nodes_rename(struct toolstack *t, domid_t id, const char *name);

/** The domain of that name. ESRCH: there is none. */
int nodes_find(struct toolstack *t, const char *name, domid_t *id);

/** That configuration, to be freed; NULL: ENOENT it was not created by us. */
char *nodes_config(struct toolstack *t, domid_t id);

/** Another one in its place, of NODES_CONFIG_MAX bytes at most. ENOENT as nodes_config(). */
int nodes_set_config(struct toolstack *t, domid_t id, const char *config);

/** The same by the toolstack itself, which does not count as done. */
int nodes_keep_config(struct toolstack *t, domid_t id, const char *config);

/** Whether that was done. */
bool nodes_config_updated(struct toolstack *t, domid_t id);

/** From now on nobody attends to the domain when it ends. */
int nodes_leave(struct toolstack *t, domid_t id);

/** That, and it has another name, which is no other's: both or none. */
int nodes_set_aside(struct toolstack *t, domid_t id, const char *name);

/** Its nr_short_lives. */
unsigned int nodes_short_lives(struct toolstack *t, domid_t id);

/** Whether somebody does: 1, 0; -1. */
int nodes_attended(struct toolstack *t, domid_t id);

/** When the domain of that UUID was created, in seconds since 1970; 0: nobody has said so. */
uint64_t nodes_start_time(struct toolstack *t, const uint8_t uuid[16]);
