/* Private to emulate/: what of the machine a guest may see. */
#pragma once
#include "memory/objects.h"

#include <xen/arch-x86/cpufeatureset.h>

#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)

enum cpu_vendor { VENDOR_OTHER, VENDOR_INTEL, VENDOR_AMD };

/** The machine's; AMD includes Hygon. */
extern enum cpu_vendor cpu_vendor;
/** True if the machine has the feature (XEN_X86_FEATURE_*) and guests may see it. */
bool cpuid_policy_has(unsigned int feature);
/** One word of the policy, as cpufeatureset.h numbers them. */
uint32_t cpuid_policy_word(unsigned int word);
