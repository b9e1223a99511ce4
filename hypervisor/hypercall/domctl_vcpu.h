/*
 * Domctl's and sysctl's functions for the state of vCPUs (domctl_vcpu.c) and CPU policies
 * (cpu_policy.c). What they change in their structure goes back to the guest: of get_vcpu_msrs,
 * set_vcpu_msrs, set_cpu_policy and of both sysctls always; of the other get functions after 0.
 */
#pragma once
#include "hypercall/domctl.h"

#include <xen/sysctl.h>

long domctl_setvcpucontext(struct domain *d, struct xen_domctl *op);
long domctl_getvcpucontext(struct domain *d, struct xen_domctl *op);
long domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op);
long domctl_set_ext_vcpucontext(struct domain *d, struct xen_domctl *op);
long domctl_get_ext_vcpucontext(struct domain *d, struct xen_domctl *op);
long domctl_setvcpuextstate(struct domain *d, struct xen_domctl *op);
long domctl_getvcpuextstate(struct domain *d, struct xen_domctl *op);
long domctl_set_vcpu_msrs(struct domain *d, struct xen_domctl *op);
long domctl_get_vcpu_msrs(struct domain *d, struct xen_domctl *op);
long domctl_settscinfo(struct domain *d, struct xen_domctl *op);
long domctl_gettscinfo(struct domain *d, struct xen_domctl *op);
long domctl_set_cpu_policy(struct domain *d, struct xen_domctl *op);
long domctl_get_cpu_policy(struct domain *d, struct xen_domctl *op);

long sysctl_get_cpu_policy(struct xen_sysctl *op);
long sysctl_get_cpu_featureset(struct xen_sysctl *op);

/** The words of a featureset, of a policy or of the machine itself (NULL). */
#define NR_FEATURE_WORDS 19u
void cpu_featureset(const struct cpu_policy *p, uint32_t words[NR_FEATURE_WORDS]);

/** Has a vCPU of d, which is paused, ever run? */
bool domain_has_run(struct domain *d);
