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
#include <xen/memory.h>
#include <xen/sysctl.h>
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

/** What vCPU @vcpu begins with. */
int hyp_set_context(struct hyp *h, domid_t id, uint32_t vcpu, const struct vcpu_guest_context *c);

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

/** The frame becomes, for good, the root of page tables: it and all below is checked now. */
int hyp_pin_root(struct hyp *h, domid_t id, xen_pfn_t mfn);

/* ---- others ---- */

/** A port of the domain which @remote may bind. Returns it, above 0; -1. */
int hyp_alloc_port(struct hyp *h, domid_t id, domid_t remote);

/**
 * A text of the hypervisor's file system (hypfs), cut at the end of text.
 * ENOENT: there is no such file; ENOSYS: Xen was built without; EFBIG: above 4 KiB; EINVAL: it is no text.
 */
int hyp_read_file(struct hyp *h, const char *path, char *text, size_t size);

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
