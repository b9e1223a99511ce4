/*
 * What the toolstack works on, in memory: a hypervisor with domains, its interface libraries, and a store. It is
 * as strict as the real ones where that matters: frames are owned, a table is nowhere mapped writable, a
 * domain that is destroyed must not be mapped.
 */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/domctl.h>

enum {
    NR_FRAMES = 16384,
    NR_DOMAINS = 400,
    FIRST_MFN = 0x1000,
    MAX_NODES = 500,
    NODE_VALUE = 4096
};

struct machine_domain {
    bool there, pinned, has_context, introduced;
    bool suspends;        /* itself, when the store asks it to */
    uint64_t suspends_ns; /* not before then, although it has taken what it was asked; 0: at once */
    bool removes; /* takes that by removing the node, instead; it does not suspend at once */
    uint32_t nr_vcpus, max_vcpus, nr_ports, pauses;
    uint32_t weight, cap, nr_hard, nr_soft;
    uint64_t nr_pages, max_pages, map_bytes;
    uint64_t shared_info_mfn, grants_mfn, hypercall_mfn, root_mfn;
    domid_t port_of[8];
    unsigned int flags; /* XEN_DOMINF_* besides paused */
    uint64_t cpu_time;
    xen_domain_handle_t handle;
    const char *boot_name, *boot_rings; /* in hypfs; NULL: not started at boot */
    struct vcpu_guest_context context;  /* of its first vCPU, as what follows */
    struct xen_domctl_ext_vcpucontext extended;
    struct xen_domctl_tsc_info tsc;
    uint64_t tsc_aux;
    uint8_t xsave[600];
    unsigned int
        types_left; /* so often it is said what its pages are, then they have gone; 0: always */
    unsigned int nr_resumed; /* how often the store was told so */
};
extern struct machine_domain machine[NR_DOMAINS];

struct machine_node {
    char path[96], value[NODE_VALUE];
    unsigned int owner;
    unsigned int reader; /* a domain that may read it, or ~0u */
};

/** All as at the start: domain 0, no nodes. */
void machine_reset(void);

/** The memory of a frame. */
void *machine_frame(uint64_t mfn);
/** Its owner's number, 0: nobody's; and the pfn it was made known by. */
domid_t machine_owner(uint64_t mfn);
uint64_t machine_pfn(uint64_t mfn);
/** How many frames are free, and how many mappings, buffers and transactions there are. */
uint64_t machine_free(void);
unsigned int machine_held(void);

/** The n-th call of any library from now on fails with machine_error; 0: none. Returns whether the last one did. */
bool machine_fail_at(unsigned int n);
extern int machine_error; /* EIO, if nobody says else */

/** The n-th call from now on ends who makes it, as if it were killed: it is left by longjmp(*to, 1). 0: none. */
void machine_die_at(unsigned int n, jmp_buf *to);

/** How many calls there have been since machine_fail_at(). */
unsigned int machine_calls(void);

/** All calls of the store fail. */
extern bool machine_store_gone;

/** NULL: there is no such node. */
const struct machine_node *machine_node(const char *path);
unsigned int machine_nr_nodes(void);
/**
 * The backends of devices in domain 0 do what they are to do by now: one that is to begin waits for its frontend, one
 * that is to close has closed.
 * @fn  does it instead for each that is in state '1' or '5'; NULL
 */
void machine_backends(void (*fn)(const char *home, char state));
/** @n  below that */
const struct machine_node *machine_node_at(unsigned int n);
/** Called before each transaction begins: what others do until then; NULL */
extern void (*machine_at_transaction)(void);
/** So many more transactions are in vain. */
extern unsigned int machine_conflicts;
