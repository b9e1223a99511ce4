/*
 * What CPUID tells a 64-bit PV guest: the hardware's answer, masked to what a guest in ring 3 can
 * use and what we switch with the vCPU. Source of the list: the features that
 * <xen/arch-x86/cpufeatureset.h> marks for all guests, less those that need an MSR of ours
 * (speculation controls) or that we cannot offer.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "memory/frame.h"

#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/cpuid.h>

#define B(name) (1u << (XEN_X86_FEATURE_##name % 32))
#define EACH_SUBLEAF 0, ~0u
#define PASS(leaf) \
    leaf, EACH_SUBLEAF, 0, { ~0u, ~0u, ~0u, ~0u }

/*
 * The bits of EAX, EBX, ECX, EDX of leaves and subleaves first..last that pass if all of xcr0 is
 * there; of several rows for a leaf, what one of them lets pass. What is not here is zero. By leaf.
 */
enum { EAX, EBX, ECX, EDX };
/* clang-format off */
static const struct leaf_policy {
    uint32_t leaf, first, last, xcr0, mask[4];
} leaves[] = {
    { PASS(0) },
    { 1, EACH_SUBLEAF, 0, { ~0u, 0xffff, /* one CPU per package: no HTT */
        B(SSE3) | B(PCLMULQDQ) | B(SSSE3) | B(CX16) | B(SSE4_1) | B(SSE4_2) | B(MOVBE) | B(POPCNT) |
        B(AESNI) | B(RDRAND),
        B(FPU) | B(DE) | B(TSC) | B(MSR) | B(PAE) | B(MCE) | B(CX8) | B(APIC) | B(SEP) | B(MCA) |
        B(CMOV) | B(PAT) | B(CLFLUSH) | B(ACPI) | B(MMX) | B(FXSR) | B(SSE) | B(SSE2) | B(SS) } },
    { 1, EACH_SUBLEAF, 1, { [ECX] = B(XSAVE) } },
    { 1, EACH_SUBLEAF, 4, { [ECX] = B(FMA) | B(AVX) | B(F16C) } },
    { PASS(2) },
    { 4, EACH_SUBLEAF, 0, { 0x3fff, ~0u, ~0u, ~0u } }, /* caches are shared by nobody */
    { 7, 0, 0, 0, { ~0u,
        B(FSGSBASE) | B(BMI1) | B(FDP_EXCP_ONLY) | B(BMI2) | B(ERMS) | B(NO_FPU_SEL) | B(RDSEED) |
        B(ADX) | B(CLFLUSHOPT) | B(CLWB) | B(SHA),
        B(PREFETCHWT1) | B(GFNI) | B(RDPID) | B(CLDEMOTE) | B(MOVDIRI) | B(MOVDIR64B),
        B(FSRM) | B(MD_CLEAR) | B(SERIALIZE) | B(ARCH_CAPS) } },
    { 7, 0, 0, 4, { [EBX] = B(AVX2), [ECX] = B(VAES) | B(VPCLMULQDQ) } },
    { 7, 0, 0, 0xe0, { 0,
        B(AVX512F) | B(AVX512DQ) | B(AVX512_IFMA) | B(AVX512PF) | B(AVX512ER) | B(AVX512CD) |
        B(AVX512BW) | B(AVX512VL),
        B(AVX512_VBMI) | B(AVX512_VBMI2) | B(AVX512_VNNI) | B(AVX512_BITALG) | B(AVX512_VPOPCNTDQ),
        B(AVX512_4VNNIW) | B(AVX512_4FMAPS) | B(AVX512_VP2INTERSECT) } },
    { 7, 1, 1, 0, { [EAX] = B(FZRM) | B(FSRS) | B(FSRCS) } },
    { 7, 1, 1, 4, { [EAX] = B(AVX_VNNI) } },
    { 7, 1, 1, 0xe0, { [EAX] = B(AVX512_BF16) } },
    { 7, 2, 2, 0, { [EDX] = B(MCDT_NO) } },
    { 0xd, 0, 0, 1, { [EBX] = ~0u } }, /* sizes for the XCR0 that is loaded: the vCPU's */
    { 0xd, 1, 1, 1, { B(XSAVEOPT) | B(XSAVEC) | B(XGETBV1), ~0u, 0, 0 } },
    { 0xd, 2, 62, 1, { ~0u, ~0u, 2, 0 } },
    { PASS(0x80000000) },
    { 0x80000001, EACH_SUBLEAF, 0, { ~0u, ~0u,
        B(LAHF_LM) | B(ABM) | B(SSE4A) | B(MISALIGNSSE) | B(3DNOWPREFETCH) | B(TBM),
        B(SYSCALL) | B(NX) | B(MMXEXT) | B(FFXSR) | B(RDTSCP) | B(LM) | B(3DNOWEXT) | B(3DNOW) } },
    { 0x80000001, EACH_SUBLEAF, 4, { [ECX] = B(XOP) | B(FMA4) } },
    { PASS(0x80000002) }, { PASS(0x80000003) }, { PASS(0x80000004) }, /* the name */
    { PASS(0x80000005) }, { PASS(0x80000006) },                       /* caches and TLBs */
    { 0x80000007, EACH_SUBLEAF, 0, { [EDX] = B(ITSC) } },
    { 0x80000008, EACH_SUBLEAF, 0,
        { 0xffff, B(CLZERO) | B(RSTR_FP_ERR_PTRS) | B(SSB_NO) | B(BTC_NO), 0, 0 } },
    { PASS(0x8000001a) },
    { 0x80000021, EACH_SUBLEAF, 0, {
        B(LFENCE_DISPATCH) | B(VERW_CLEAR) | B(NSCB) | B(SRSO_NO), 0,
        B(TSA_SQ_NO) | B(TSA_L1_NO), 0 } },
};
/* clang-format on */

uint32_t cpu_vendor;

/* The basic leaves 0..max, and those from 0x80000000 on; constant after boot. */
static struct leaf_set {
    uint32_t max, leaf[0x22][4];
} leaf_sets[2];
#define WITH_SUBLEAVES (1u << 4 | 1u << 7 | 1u << 0xd) /* these are not in there */

/* The same for all vCPUs. */
static void hardware_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t hw[4];

    memset(out, 0, sizeof(hw));
    arch_cpuid(leaf, subleaf, hw);
    for (const struct leaf_policy *l = leaves; l < leaves + ARRAY_SIZE(leaves); l++) {
        if (l->leaf != leaf || subleaf < l->first || subleaf > l->last ||
            (arch_xcr0_mask & l->xcr0) != l->xcr0)
            continue;
        for (unsigned int r = 0; r < 4; r++)
            out[r] |= hw[r] & l->mask[r];
    }
    switch (leaf) {
    case 0: out[EAX] = leaf_sets[0].max; break;
    case 1: out[ECX] |= B(HYPERVISOR); break;
    case 7: out[EAX] = subleaf ? out[EAX] : MIN(out[EAX], 2u); break;
    case 0xd:
        if (subleaf == 0 && arch_xcr0_mask) {
            arch_cpuid(0xd, fls64(arch_xcr0_mask) - 1, hw); /* the state with the highest offset */
            out[EAX] = (uint32_t)arch_xcr0_mask;
            out[ECX] = arch_xcr0_mask > 3 ? hw[EBX] + hw[EAX] : 576;
        } else if (subleaf > 1 && !(arch_xcr0_mask >> MIN(subleaf, 63u) & 1)) {
            memset(out, 0, sizeof(hw));
        }
        break;
    case 0x80000000: out[EAX] = leaf + leaf_sets[1].max; break;
    case 0x80000001:
        if (cpu_vendor == VENDOR_AMD) /* there it repeats leaf 1 */
            out[EDX] |= leaf_sets[0].leaf[1][EDX] & 0x0183f3ff;
        break;
    case 0x80000008: /* linear addresses: four levels, whatever the CPU could do */
        out[EAX] = (out[EAX] & 0xff) | MIN(out[EAX] >> 8, 48u) << 8;
        break;
    }
}

void cpuid_policy_init(void)
{
    uint32_t r[4], given;

    arch_cpuid(0, 0, r);
    leaf_sets[0].max = MIN(r[EAX], 0xdu);
    cpu_vendor = r[EBX] == 0x756e6547                           ? VENDOR_INTEL /* "Genu" */
                 : r[EBX] == 0x68747541 || r[EBX] == 0x6f677948 ? VENDOR_AMD   /* "Auth", "Hygo" */
                                                                : VENDOR_OTHER;
    arch_cpuid(0x80000000, 0, r); /* with long mode there is at least leaf 8 */
    given = MIN(r[EAX] - 0x80000000, cpu_vendor == VENDOR_AMD ? 0x21u : 8u);
    memset(leaf_sets[1].leaf, 0, sizeof(leaf_sets[1].leaf));
    leaf_sets[1].max = cpu_vendor == VENDOR_AMD && arch_null_clears_base ? 0x21 : given;
    for (uint32_t set = 0; set < 2; set++)
        for (uint32_t n = 0; n <= (set ? given : leaf_sets[0].max); n++)
            hardware_cpuid(set << 31 | n, 0, leaf_sets[set].leaf[n]);
    /* a kernel that is not told clears GS by two hypercalls at each context switch */
    if (leaf_sets[1].max == 0x21 && arch_null_clears_base)
        leaf_sets[1].leaf[0x21][EAX] |= B(NSCB);
}

/* The hypervisor's own leaves: signature, version, hypercall page and its MSR, time, address width. */
static void leaf_xen(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct domain *d = v->domain;
    uint32_t khz = (uint32_t)arch_tsc_khz(), r[4];

    guest_cpuid(v, 0x80000001, 0, r);
    const uint32_t answers[6][4] = {
        { XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES), XEN_CPUID_SIGNATURE_EBX,
          XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX },
        { 4u << 16 | 17 },
        { 1, 0x40000000, XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD },
        { d->vtsc | arch_tsc_reliable << 1 | (r[EDX] & B(RDTSCP) ? 4u : 0), d->tsc_mode, khz },
        [5] = { 0, fls64(max_mfn - 1) + PAGE_SHIFT },
    };
    if (leaf < 3 || (leaf < ARRAY_SIZE(answers) && subleaf == 0))
        memcpy(out, answers[array_index_nospec(leaf, ARRAY_SIZE(answers))], sizeof(answers[0]));
    if (leaf == 3 && subleaf == 2)
        out[EAX] = khz;
}

void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct leaf_set *a = &leaf_sets[leaf >> 31];
    uint32_t n = leaf & 0x7fffffff;

    if (unlikely(n > a->max)) {
        memset(out, 0, 4 * sizeof(out[0]));
        if (leaf - XEN_CPUID_FIRST_LEAF < 0x100)
            leaf_xen(v, leaf - XEN_CPUID_FIRST_LEAF, subleaf, out);
        return;
    }
    if (leaf < 32 && (WITH_SUBLEAVES >> leaf & 1))
        hardware_cpuid(leaf, subleaf, out);
    else
        memcpy(out, a->leaf[array_index_nospec(n, ARRAY_SIZE(a->leaf))], sizeof(a->leaf[0]));
    switch (leaf) {
    case 1:
        out[EBX] |= v->vcpu_id << 25; /* APIC id: even */
        out[ECX] |= v->arch.cr4 & CR4_OSXSAVE ? B(OSXSAVE) : 0;
        break;
    case 0x80000007: out[EDX] &= v->domain->vtsc ? ~B(ITSC) : ~0u; break;
    }
}
