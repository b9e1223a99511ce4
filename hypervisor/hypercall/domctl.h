/*
 * HYPERVISOR_domctl: what the toolstack does with domains. domctl.c has the table and what concerns a
 * domain as a whole, domctl_vcpu.c the vCPUs' state, cpu_policy.c CPUID, domctl_memory.c the frames.
 *
 * Each sub-operation is a function domctl_NAME(d, op), with a row in domctl.c's table:
 *   d   the domain that op->domain names, with a reference, over which the caller has the row's right;
 *       NULL if the row is flagged NO_TARGET; not the caller's own (-EINVAL) if NOT_SELF or STOPPED.
 *       Those of VCPU_OP rows are given its vCPU instead that the structure names: -ESRCH. STOPPED: d
 *       is paused meanwhile, and all of the vCPU's state in memory
 *   op  a private copy of the guest's structure: the only one to be looked at. What is changed in it
 *       goes back to the guest if the row is flagged OUT (after 0) or OUT_ALWAYS (after any result,
 *       -ERESTART too: so a preempted one keeps its progress there). The structure was writable when
 *       it began; if it then is not, the answer is -EFAULT though all has been done.
 * It returns 0 or an error; -ERESTART: the guest executes it again, with what is in its structure then.
 *
 * One domctl at a time is carried out in the whole machine: they need no locks against each other, and
 * may use domain_pause(). Other hypercalls, and d's own vCPUs, go on meanwhile. No lock is held, so
 * guest memory may be copied.
 */
#pragma once
#include "hypercall/hypercall.h"

#include <xen/domctl.h>
#include <xen/sysctl.h>

typedef long domctl_fn(struct domain *d, struct xen_domctl *op);
typedef long domctl_vcpu_fn(struct vcpu *v, struct xen_domctl *op);

/* ---- domctl_memory.c ---- */
domctl_fn domctl_getpageframeinfo3, domctl_shadow_op;

/* ---- domctl_vcpu.c ---- */
domctl_vcpu_fn domctl_setvcpucontext, domctl_getvcpucontext, domctl_getvcpuinfo;
domctl_vcpu_fn domctl_set_ext_vcpucontext, domctl_get_ext_vcpucontext;
domctl_vcpu_fn domctl_setvcpuextstate, domctl_getvcpuextstate;
domctl_vcpu_fn domctl_set_vcpu_msrs, domctl_get_vcpu_msrs;
domctl_fn domctl_settscinfo, domctl_gettscinfo;
/** Has a vCPU of d, which is paused, ever run? */
bool domain_has_run(struct domain *d);

/* ---- cpu_policy.c; what the sysctls change goes back to the guest always ---- */
domctl_fn domctl_set_cpu_policy, domctl_get_cpu_policy;
long sysctl_get_cpu_policy(struct xen_sysctl *op);
long sysctl_get_cpu_featureset(struct xen_sysctl *op);
/** The words of a featureset, of a policy or of the machine itself (NULL). */
#define NR_FEATURE_WORDS 19u
void cpu_featureset(const struct cpu_policy *p, uint32_t words[NR_FEATURE_WORDS]);

/* ---- domctl.c ---- */

/** What XEN_DOMCTL_getdomaininfo and XEN_SYSCTL_getdomaininfolist tell of d; all of *info is set. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

/** To the guest's bitmap of CPUs or nodes; -EINVAL: too long, -EFAULT. What is beyond our bits is cleared. */
long bitmap_out(const struct xenctl_bitmap *map, uint64_t bits);
