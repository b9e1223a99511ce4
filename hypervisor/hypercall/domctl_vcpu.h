/*
 * Domctl's and sysctl's functions for the state of vCPUs (domctl_vcpu.c) and CPU policies
 * (cpu_policy.c). What they change in their structure goes back to the guest: of get_vcpu_msrs,
 * set_vcpu_msrs, set_cpu_policy and of both sysctls always; of the other get functions after 0.
 */
#pragma once
#include "hypercall/domctl.h"

#include <xen/sysctl.h>

domctl_vcpu_fn domctl_setvcpucontext, domctl_getvcpucontext, domctl_getvcpuinfo;
domctl_vcpu_fn domctl_set_ext_vcpucontext, domctl_get_ext_vcpucontext;
domctl_vcpu_fn domctl_setvcpuextstate, domctl_getvcpuextstate;
domctl_vcpu_fn domctl_set_vcpu_msrs, domctl_get_vcpu_msrs;
domctl_fn domctl_settscinfo, domctl_gettscinfo;
domctl_fn domctl_set_cpu_policy, domctl_get_cpu_policy;

long sysctl_get_cpu_policy(struct xen_sysctl *op);
long sysctl_get_cpu_featureset(struct xen_sysctl *op);

/** The words of a featureset, of a policy or of the machine itself (NULL). */
#define NR_FEATURE_WORDS 19u
void cpu_featureset(const struct cpu_policy *p, uint32_t words[NR_FEATURE_WORDS]);

/** Has a vCPU of d, which is paused, ever run? */
bool domain_has_run(struct domain *d);
