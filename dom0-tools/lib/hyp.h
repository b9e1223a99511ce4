/*
 * The hypercalls of the toolstack, one function each. 0, or -1 with errno as the hypervisor says it, unless it
 * says otherwise. They go through one buffer which the hypervisor can reach: one thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xenforeignmemory.h>

enum { HYP_PAGE = 4096 };

struct hyp;

/** NULL: errno says why: EACCES or ENOENT not a control domain, ENOMEM. */
struct hyp *hyp_open(void);
void hyp_close(struct hyp *h);

/** For mapping other domains' frames. */
xenforeignmemory_handle *hyp_memory(struct hyp *h);

/* ---- domains ---- */

/**
 * A new domain, paused, without vCPUs or memory.
 * @id  receives its number
 * ENOMEM also: there are no numbers left.
 */
int hyp_create(struct hyp *h, const struct xen_domctl_createdomain *config, domid_t *id);

/** Take all it has, until nothing is left but what others hold. */
int hyp_destroy(struct hyp *h, domid_t id);

int hyp_pause(struct hyp *h, domid_t id);
int hyp_unpause(struct hyp *h, domid_t id);

/** All @nr vCPUs, as many as it was created for. */
int hyp_max_vcpus(struct hyp *h, domid_t id, uint32_t nr);

/** It may have that much memory. */
int hyp_max_memory(struct hyp *h, domid_t id, uint64_t kib);

/** Its UUID, as it is in its xen_domain_handle_t. */
int hyp_set_uuid(struct hyp *h, domid_t id, const uint8_t uuid[16]);

/** ESRCH: there is no domain of exactly this number. */
int hyp_info(struct hyp *h, domid_t id, xen_domctl_getdomaininfo_t *info);

/** Up to @max of the domains from number @first on. Returns how many, 0: there are none; -1. */
int hyp_list(struct hyp *h, domid_t first, xen_domctl_getdomaininfo_t *infos, uint32_t max);

/** The frame becomes a hypercall page. */
int hyp_hypercall_page(struct hyp *h, domid_t id, xen_pfn_t mfn);

/** Weight (0: as it is) and cap (in percent of a CPU, 0: none) of the scheduler credit2. */
int hyp_set_shares(struct hyp *h, domid_t id, uint16_t weight, uint16_t cap);

/** Where @vcpu may run (hard), or runs best (soft). @cpus  256 bits */
int hyp_set_affinity(struct hyp *h, domid_t id, uint32_t vcpu, bool hard, const uint64_t cpus[4]);

/** What the scheduler has of those; as hyp_set_shares(). */
int hyp_get_shares(struct hyp *h, domid_t id, uint16_t *weight, uint16_t *cap);

/** State of one vCPU. ESRCH: no such vCPU. @hard @soft  receive its affinities, 256 bits each */
int hyp_vcpu(struct hyp *h, domid_t id, uint32_t vcpu, struct xen_domctl_getvcpuinfo *info,
             uint64_t hard[4], uint64_t soft[4]);

/** XEN_DOMCTL_SENDTRIGGER_* */
int hyp_trigger(struct hyp *h, domid_t id, uint32_t vcpu, uint32_t trigger);

/* ---- memory ---- */

/**
 * Frames for the pfns [first, first + nr).
 * @mfns  receives their numbers
 * Returns how many there are: fewer than nr, when memory or what the domain may have ends; they are the
 * domain's all the same.
 */
uint64_t hyp_populate(struct hyp *h, domid_t id, uint64_t first, uint64_t nr, uint64_t *mfns);

/** All memory it is told of: one piece of RAM from 0 on. */
int hyp_set_memory_map(struct hyp *h, domid_t id, uint64_t bytes);

/** The frame becomes, for good, a page table of level 1..4 (4: a root): it and all below is checked now. */
int hyp_pin(struct hyp *h, domid_t id, unsigned int level, xen_pfn_t mfn);

/** @mfns  up to 1024; each becomes XEN_DOMCTL_PFINFO_*: XTAB, it is no frame of the domain's */
int hyp_page_types(struct hyp *h, domid_t id, xen_pfn_t *mfns, size_t nr);

/* ---- the state of a domain that does not run, as it is saved (hyp_state.c) ---- */

/** Let a domain that has suspended itself go on. */
int hyp_resume(struct hyp *h, domid_t id);

/** What a vCPU has, each in the form that the hypervisor gives it. */
enum hyp_state {
    HYP_BASIC,      /* struct vcpu_guest_context */
    HYP_EXTENDED,   /* struct xen_domctl_ext_vcpucontext; its member vcpu is set here */
    HYP_XSAVE,      /* the FPU's beyond that, if the CPU has more */
    HYP_MSR_VALUES, /* struct xen_domctl_vcpu_msr, those that are not as at the start */
};
enum { HYP_STATE_MAX = 16384, HYP_LEAVES = 256, HYP_MSRS = 64 };

/**
 * @len  of buf, HYP_STATE_MAX at most; receives how much there is, which may be 0
 * ENOBUFS: buf is too small.
 */
int hyp_get_state(struct hyp *h, domid_t id, uint32_t vcpu, enum hyp_state what, void *buf,
                  size_t *len);

/** EINVAL also: that has no such length. HYP_BASIC is first. */
int hyp_set_state(struct hyp *h, domid_t id, uint32_t vcpu, enum hyp_state what, const void *buf,
                  size_t len);

int hyp_get_tsc(struct hyp *h, domid_t id, struct xen_domctl_tsc_info *tsc);
int hyp_set_tsc(struct hyp *h, domid_t id, const struct xen_domctl_tsc_info *tsc);

/** What CPUID and MSRs are to the domain. */
struct hyp_policy {
    uint32_t nr_leaves, nr_msrs;
    xen_cpuid_leaf_t leaves[HYP_LEAVES];
    xen_msr_entry_t msrs[HYP_MSRS];
};
int hyp_get_policy(struct hyp *h, domid_t id, struct hyp_policy *p);

/** @leaf  receives, when that is EINVAL or ERANGE, the leaf of CPUID that is refused, or ~0 */
int hyp_set_policy(struct hyp *h, domid_t id, const struct hyp_policy *p, uint32_t *leaf);

/* ---- others ---- */

/** A port of the domain which @remote may bind. Returns it, above 0; -1. */
int hyp_alloc_port(struct hyp *h, domid_t id, domid_t remote);

/** What a port of the domain is. EINVAL: there are none of such a number. */
int hyp_port(struct hyp *h, domid_t id, uint32_t port, struct evtchn_status *status);

/** How many frames the domain's grant table has and may have, and its version. */
int hyp_grants(struct hyp *h, domid_t id, uint32_t *nr_frames, uint32_t *max_frames,
               uint32_t *version);

/**
 * A value of the hypervisor's file system, which `xenhypfs` shows; numbers as decimal digits.
 * @text  receives it, cut at size
 * ENOENT no such entry, EISDIR a directory, ENOSYS Xen was built without, EFBIG 4 KiB or more, EINVAL it is packed.
 */
int hyp_hypfs(struct hyp *h, const char *path, char *text, size_t size);

/** Debug keys, as if typed at the hypervisor's console. */
int hyp_debug_keys(struct hyp *h, const char *keys);

/**
 * The hypervisor's messages, from number *@index on, which moves behind them.
 * @len  of buf, 16 KiB at most are filled
 * Returns how many bytes, 0: there are no more; -1.
 */
int hyp_messages(struct hyp *h, char *buf, size_t len, uint32_t *index, bool clear);

/** CPUs, memory, nodes of the machine. */
int hyp_machine(struct hyp *h, struct xen_sysctl_physinfo *info);

enum { HYP_NODES = 64, HYP_CPUS = 256 };

/** Core, socket and node of each CPU, XEN_INVALID_CORE_ID where there is none. Returns how many, HYP_CPUS at most; -1. */
int hyp_topology(struct hyp *h, xen_sysctl_cputopo_t cpus[HYP_CPUS]);

/** Memory of each node, and distances: of i from k is that at [i * the returned number + k]. As hyp_topology(). */
int hyp_nodes(struct hyp *h, xen_sysctl_meminfo_t nodes[HYP_NODES],
              uint32_t distances[HYP_NODES * HYP_NODES]);

enum { HYP_PCI = 256 };

/** The node of each of these PCI devices, HYP_PCI at most; XEN_INVALID_NODE_ID or _DEV: that is not known. */
int hyp_pci_nodes(struct hyp *h, const struct physdev_pci_device *devices, uint32_t *nodes,
                  uint32_t nr);

/** Its scheduler: XEN_SCHEDULER_*. */
int hyp_scheduler(struct hyp *h, uint32_t *id);

/** What the hypervisor says of itself. */
struct hyp_version {
    unsigned int major, minor, page_bytes;
    uint64_t virt_start;
    xen_extraversion_t extra;
    xen_capabilities_info_t capabilities;
    xen_changeset_info_t changeset;
    xen_commandline_t command_line;
    xen_compile_info_t compile;
    char build_id[129]; /* hexadecimal digits; "": it has none */
};
int hyp_version(struct hyp *h, struct hyp_version *v);
