/* Private to emulate/: what of the machine a guest may see. */
#pragma once
#include "memory/objects.h"

#include <xen/arch-x86/cpufeatureset.h>

enum { CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_FSGSBASE = 1 << 16, CR4_OSXSAVE = 1 << 18 };

enum cpu_vendor { VENDOR_OTHER, VENDOR_INTEL, VENDOR_AMD };

/** The machine's; AMD includes Hygon. */
extern enum cpu_vendor cpu_vendor;
/** What the machine has and guests may see, in words as cpufeatureset.h numbers them. */
extern uint32_t cpuid_policy[19];

/** The feature (XEN_X86_FEATURE_*) is in the policy. */
static inline bool cpuid_policy_has(unsigned int feature)
{
    return cpuid_policy[feature / 32] >> (feature % 32) & 1;
}
