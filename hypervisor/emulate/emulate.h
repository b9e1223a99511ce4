/*
 * Decoding and emulation of the privileged instructions that PV kernels execute in ring 3, and of
 * writes to page tables. The entry points are in x86/upcalls.h; here is what others need of it.
 */
#pragma once
#include "memory/objects.h"

/* ---- CPU policies: what a domain sees of CPUID and of the MSRs that belong to it ---- */

/** A leaf and its answer, laid out as xen_cpuid_leaf_t; reg: eax ebx ecx edx. */
struct policy_row {
    uint32_t leaf, subleaf, reg[4]; /* subleaf XEN_CPUID_NO_SUBLEAF: for all */
};
_Static_assert(sizeof(struct policy_row) == sizeof(xen_cpuid_leaf_t) &&
                   offsetof(struct policy_row, reg) == offsetof(xen_cpuid_leaf_t, a),
               "ABI: xen_cpuid_leaf");
#define NR_POLICY_ROWS 64u
struct cpu_policy {
    struct policy_row row[NR_POLICY_ROWS]; /* each leaf at the same place in all policies */
    uint64_t arch_caps;                    /* MSR ARCH_CAPABILITIES */
};
enum { MSR_PLATFORM_INFO = 0xce, MSR_ARCH_CAPS = 0x10a };

/** At boot: derive from the hardware what we offer. */
void cpuid_policy_init(void);
/** d's policy, never NULL; of no domain: all that we offer, which is the default, too. */
const struct cpu_policy *cpu_policy_of(const struct domain *d);
/** Row i of a policy, or of the machine itself (NULL). False: it is beyond the highest leaf; all zero. */
bool cpu_policy_row(const struct cpu_policy *p, unsigned int i, struct policy_row *out);
/**
 * Is this policy, made from another one by a toolstack, one that we can serve? 0: it is now sanitised.
 * -EINVAL: it claims what we do not offer, in *bad_row; NR_POLICY_ROWS: in arch_caps.
 */
int cpu_policy_check(struct cpu_policy *p, unsigned int *bad_row);
/** Bytes of an XSAVE area in standard form with these features (of arch_xcr0_mask). */
uint32_t xstate_bytes(uint64_t xcr0);
/** May a vCPU of d have this XCR0? */
bool guest_xcr0_ok(const struct domain *d, uint64_t x);
/** The bits of CR4 that are d's kernel's to set. */
uint64_t guest_cr4_bits(const struct domain *d);
/** d's ARCH_CAPABILITIES: 0, or -EPERM: it has no such MSR. */
int guest_arch_caps(const struct domain *d, uint64_t *value);

/** What the current vCPU v sees of a CPUID leaf (policy, not hardware): eax ebx ecx edx. */
void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/** 0, or -EPERM: the guest gets #GP. */
int guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
int guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/** What DRn becomes, sanitised: 0; -EPERM not for guests; -EINVAL no such register. */
int guest_debugreg(unsigned int n, uint64_t *value);
/** The same, and set it in v, the current vCPU. */
int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value);
/** Write the stubs of all hypercalls, 32 bytes each, into a frame; */
void hypercall_page_fill(void *page);
/** ... into d's frame g: 0; -EINVAL: it is a table or not d's. */
int hypercall_page_put(struct domain *d, gfn_t g);
