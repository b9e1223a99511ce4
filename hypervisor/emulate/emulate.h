/*
 * Decoding and emulation of the privileged instructions that PV kernels execute in ring 3, and of
 * writes to page tables. The entry points are in x86/upcalls.h; here is what others need of it.
 */
#pragma once
#include "memory/objects.h"

/** What the current vCPU v sees of a CPUID leaf (policy, not hardware): eax ebx ecx edx. */
void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/** At boot: derive the policy from the hardware. */
void cpuid_policy_init(void);
/** 0, or -EPERM: the guest gets #GP. */
int guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
int guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/** Set DRn of v, sanitised: 0; -EPERM not for guests; -EINVAL no such register. */
int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value);
/** Write the stubs of all hypercalls, 32 bytes each, into a frame. */
void hypercall_page_fill(void *page);
