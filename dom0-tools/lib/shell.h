/*
 * Shells: domains made beforehand, so that a domain is created fast. A shell has its memory, which the hypervisor has cleared, its
 * vCPUs, ports and most of its nodes in the store, and never ran: it is paused, and no vCPU of it has registers. guest_create()
 * takes one of the memory and vCPUs that it wants, if there is one, and does the rest: kernel, name, UUID.
 *
 * How many there are to be is in the store, and so is which there are, each with what is known of it: whoever takes one
 * takes it from there, in a transaction. Besides a shell is known by its handle (its UUID for the hypervisor), so that
 * one of which the store says nothing, as who made it was killed, is found. No shell is in guest_list().
 *
 * Who attends to guests makes them (shells_tend()), and nobody else. Functions return 0, or -1 with errno and t's error,
 * unless they say otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/domctl.h>

struct build_plan;
struct toolstack;

/* Of as many a node has room; of so much memory one page lists the pages that list it (build.h). */
enum { SHELLS_MAX = 32, SHELL_MAX_KIB = 1 << 20 };

struct shell {
    domid_t id;
    uint8_t uuid[16]; /* of the domain that it becomes, whose nodes there are; not its handle */
    uint64_t nr_pages;
    unsigned int nr_vcpus;
    unsigned int store_port, console_port;
    xen_pfn_t list_mfn; /* where its frames are listed: build.h */
};

/** How many of what kind there are to be. */
struct shells_wish {
    unsigned int nr; /* 0: none */
    uint64_t memory_kib;
    unsigned int nr_vcpus;
};

#define SHELL_MARK "xl-shell"
enum { SHELL_MARK_BYTES = sizeof(SHELL_MARK) - 1 };

/** Whether a domain with that handle is a shell. */
static inline bool shell_is(const xen_domain_handle_t handle)
{
    return memcmp(handle, SHELL_MARK, SHELL_MARK_BYTES) == 0;
}

/* ---- for who wants them ---- */

#define SHELLS_WANTED "/xen-like/shells/wanted"

/** From now on there are to be these. EINVAL: too many, or too large; ENOTSUP: no store. */
int shells_want(struct toolstack *t, const struct shells_wish *wish);

/**
 * Whether there is memory for one more of them: 1; 0; -1. None is made where less than a sixteenth of the machine's would
 * be free then.
 * @nr_free  receives how many pages are free
 */
int shells_room(struct toolstack *t, const struct shells_wish *wish, uint64_t *nr_free);

/** What was wanted last; without a store, or a wish, none. */
int shells_wanted(struct toolstack *t, struct shells_wish *wish);

/** Those that can be taken now. Returns how many; -1. */
int shells_ready(struct toolstack *t, struct shell shells[SHELLS_MAX]);

/* ---- for who creates a domain ---- */

/**
 * Take one that fits, and give it its UUID: the plan's, if has_uuid, else its own, which becomes the plan's. It is the
 * caller's alone then.
 * Returns false: there is none, or none can be had; the domain is to be built without.
 */
bool shell_take(struct toolstack *t, struct build_plan *plan, bool has_uuid, struct shell *shell);

/** One that was taken, and is not needed: its domain and its nodes go. errno and t's error stay. */
void shell_drop(struct toolstack *t, const struct shell *shell);

/** Memory is wanted more urgently. Returns how many pages are free by that. */
uint64_t shells_give_up(struct toolstack *t, uint64_t nr_pages);

/* ---- for who makes them ---- */

enum { SHELL_STRAYS = 64 };

/** What who makes them remembers; all zero at first, and `fast` when the wish has changed. */
struct shells_tender {
    bool fast; /* they are to be made at once */
    bool
        looked; /* for those that somebody left who was killed; again as long as there are some, and when one was taken */
    bool idle;  /* there is no wish, and nothing was left: nothing to be done until there is one */
    unsigned int nr_last;   /* how many there were */
    unsigned int nr_strays; /* shells that the store does not know, and since when */
    struct {
        domid_t id;
        uint64_t since_ns;
    } stray[SHELL_STRAYS];
};

/**
 * Make one shell that is missing, or end those that are too many, or of another kind, or not in the store. The latter
 * only if they were not there SHELL_STRAY_NS ago either: one may just be taken. Unless that is to be fast, none is made
 * as long as there are fewer than at the last call: somebody creates domains. Nor is one where shells_room() says 0.
 * Returns 1: to be called again at once; 0: not before some seconds, unless the wish changes; -1.
 */
int shells_tend(struct toolstack *t, struct shells_tender *s);
#define SHELL_STRAY_NS 10000000000u
