/*
 * What CPUID tells a 64-bit PV guest: the hardware's answer, feature words masked to what a guest
 * in ring 3 can use and what we switch with the vCPU. Source of the list: the features that
 * <xen/arch-x86/cpufeatureset.h> marks for all guests, less those that need an MSR of ours
 * (speculation controls) or that we cannot offer.
 */
#include "emulate/policy.h"

#include "emulate/emulate.h"
#include "memory/frame.h"

#include <xen/arch-x86/cpuid.h>

#define F(name) XEN_X86_FEATURE_##name

/* What guests may see if all of xcr0 is there. The rest of a list is 0: FPU, which they may. */
/* clang-format off */
static const struct {
    uint64_t xcr0;
    uint16_t features[128];
} allowed[] = {
    { 0, { F(FPU), F(DE), F(TSC), F(MSR), F(PAE), F(MCE), F(CX8), F(APIC), F(SEP), F(MCA), F(CMOV),
        F(PAT), F(CLFLUSH), F(ACPI), F(MMX), F(FXSR), F(SSE), F(SSE2), F(SS), F(SSE3), F(PCLMULQDQ),
        F(SSSE3), F(CX16), F(SSE4_1), F(SSE4_2), F(MOVBE), F(POPCNT), F(AESNI), F(RDRAND),
        F(SYSCALL), F(NX), F(MMXEXT), F(FFXSR), F(RDTSCP), F(LM), F(3DNOWEXT), F(3DNOW), F(LAHF_LM),
        F(ABM), F(SSE4A), F(MISALIGNSSE), F(3DNOWPREFETCH), F(TBM), F(FSGSBASE), F(BMI1), F(BMI2),
        F(FDP_EXCP_ONLY), F(ERMS), F(NO_FPU_SEL), F(RDSEED), F(ADX), F(CLFLUSHOPT), F(CLWB), F(SHA),
        F(PREFETCHWT1), F(GFNI), F(RDPID), F(CLDEMOTE), F(MOVDIRI), F(MOVDIR64B), F(ITSC),
        F(CLZERO), F(RSTR_FP_ERR_PTRS), F(SSB_NO), F(BTC_NO), F(FSRM), F(MD_CLEAR), F(SERIALIZE),
        F(ARCH_CAPS), F(FZRM), F(FSRS), F(FSRCS), F(LFENCE_DISPATCH), F(VERW_CLEAR), F(NSCB),
        F(SRSO_NO), F(MCDT_NO), F(RDCL_NO), F(RSBA), F(INTEL_SSB_NO), F(MDS_NO), F(TAA_NO),
        F(IF_PSCHANGE_MC_NO), F(SBDR_SSDP_NO), F(FBSDP_NO), F(PSDP_NO), F(FB_CLEAR), F(RRSBA),
        F(BHI_NO), F(PBRSB_NO), F(GDS_NO), F(RFDS_NO), F(RFDS_CLEAR), F(ITS_NO), F(TSA_SQ_NO),
        F(TSA_L1_NO) } },
    { 1, { F(XSAVE), F(XSAVEOPT), F(XSAVEC), F(XGETBV1) } },
    { 4, { F(AVX), F(FMA), F(F16C), F(AVX2), F(XOP), F(FMA4), F(VAES), F(VPCLMULQDQ),
        F(AVX_VNNI) } },
    { 0xe0, { F(AVX512F), F(AVX512DQ), F(AVX512_IFMA), F(AVX512PF), F(AVX512ER), F(AVX512CD),
        F(AVX512BW), F(AVX512VL), F(AVX512_VBMI), F(AVX512_VBMI2), F(AVX512_VNNI),
        F(AVX512_BITALG), F(AVX512_VPOPCNTDQ), F(AVX512_4VNNIW), F(AVX512_4FMAPS),
        F(AVX512_VP2INTERSECT), F(AVX512_BF16) } },
};

/*
 * The leaves that are the hardware's: of each register either a mask of the bits that pass, or the
 * number of the feature word that it is. Leaves and registers not here are zero.
 */
enum { EAX, EBX, ECX, EDX };
struct leaf_policy {
    uint32_t leaf, subleaf;
    struct { uint32_t mask; int8_t word; } reg[4];
};
#define K(mask) { (mask), -1 }
#define W(word) { 0, (word) }
#define ANY_SUBLEAF ~0u
#define PASS(leaf) { (leaf), ANY_SUBLEAF, { K(~0u), K(~0u), K(~0u), K(~0u) } }
static const struct leaf_policy leaves[] = {
    PASS(0),
    { 1, ANY_SUBLEAF, { K(~0u), K(0xffff), W(1), W(0) } }, /* one CPU per package: no HTT */
    PASS(2),
    { 4, ANY_SUBLEAF, { K(0x3fff), K(~0u), K(~0u), K(~0u) } }, /* caches are shared by nobody */
    { 7, 0, { K(~0u), W(5), W(6), W(9) } },
    { 7, 1, { W(10), W(12), W(14), W(15) } },
    { 7, 2, { K(0), K(0), K(0), W(13) } },
    { 0xd, 1, { W(4), K(~0u), K(0), K(0) } },
    { 0xd, ANY_SUBLEAF, { K(~0u), K(~0u), K(2), K(0) } }, /* see leaf_xstate() */
    PASS(0x80000000),
    { 0x80000001, ANY_SUBLEAF, { K(~0u), K(~0u), W(3), W(2) } },
    PASS(0x80000002), PASS(0x80000003), PASS(0x80000004), /* the name */
    PASS(0x80000005), PASS(0x80000006),                   /* caches and TLBs */
    { 0x80000007, ANY_SUBLEAF, { K(0), K(0), K(0), W(7) } },
    { 0x80000008, ANY_SUBLEAF, { K(0xffff), W(8), K(0), K(0) } },
    PASS(0x8000001a),
    { 0x80000021, ANY_SUBLEAF, { W(11), K(0), W(18), K(0) } },
};
/* clang-format on */

enum cpu_vendor cpu_vendor;
uint32_t cpuid_policy[19];
static uint32_t max_basic, max_extended;

static void find_limits(void)
{
    uint32_t r[4];

    arch_cpuid(0, 0, r);
    max_basic = MIN(r[EAX], 0xdu);
    cpu_vendor = r[EBX] == 0x756e6547                           ? VENDOR_INTEL /* "Genu" */
                 : r[EBX] == 0x68747541 || r[EBX] == 0x6f677948 ? VENDOR_AMD   /* "Auth", "Hygo" */
                                                                : VENDOR_OTHER;
    arch_cpuid(0x80000000, 0, r);
    max_extended = MIN(r[EAX], cpu_vendor == VENDOR_AMD ? 0x80000021 : 0x80000008);
}

static bool leaf_exists(uint32_t leaf) { return leaf <= (leaf >> 31 ? max_extended : max_basic); }

/* Mask the words of one leaf to what the hardware has. */
static void mask_words(const struct leaf_policy *l)
{
    uint32_t subleaf = l->subleaf == ANY_SUBLEAF ? 0 : l->subleaf, hw[4];

    arch_cpuid(l->leaf, 0, hw);
    if (!leaf_exists(l->leaf) || (l->leaf == 7 && subleaf > hw[EAX]))
        memset(hw, 0, sizeof(hw));
    else if (subleaf)
        arch_cpuid(l->leaf, subleaf, hw);
    for (unsigned int r = 0; r < 4; r++)
        if (l->reg[r].word >= 0)
            cpuid_policy[l->reg[r].word] &= hw[r];
}

void cpuid_policy_init(void)
{
    uint64_t caps = 0;

    find_limits();
    memset(cpuid_policy, 0, sizeof(cpuid_policy));
    for (unsigned int i = 0; i < ARRAY_SIZE(allowed); i++)
        for (unsigned int k = 0; k < ARRAY_SIZE(allowed[i].features); k++)
            if ((arch_xcr0_mask & allowed[i].xcr0) == allowed[i].xcr0)
                cpuid_policy[allowed[i].features[k] / 32] |= 1u << (allowed[i].features[k] % 32);
    for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++)
        mask_words(&leaves[i]);
    cpuid_policy[F(HYPERVISOR) / 32] |= 1u << (F(HYPERVISOR) % 32);
    if (!cpuid_policy_has(F(ARCH_CAPS)) || arch_rdmsr_safe(0x10a, &caps))
        caps = 0;
    cpuid_policy[16] &= (uint32_t)caps;
    cpuid_policy[17] &= (uint32_t)(caps >> 32);
}

/* The sizes in EBX are for the XCR0 that is loaded, the vCPU's: the hardware's answer is right. */
static void leaf_xstate(uint32_t subleaf, uint32_t out[4])
{
    uint32_t last[4];

    if (subleaf == 0 && arch_xcr0_mask) {
        arch_cpuid(0xd, fls64(arch_xcr0_mask) - 1, last); /* the feature with the highest offset */
        out[EAX] = (uint32_t)arch_xcr0_mask;
        out[ECX] = arch_xcr0_mask > 3 ? last[EBX] + last[EAX] : 576;
    } else if (subleaf != 1 && (subleaf > 62 || !(arch_xcr0_mask >> subleaf & 1))) {
        memset(out, 0, 4 * sizeof(out[0]));
    }
}

static void set_leaf(uint32_t out[4], uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    out[EAX] = eax;
    out[EBX] = ebx;
    out[ECX] = ecx;
    out[EDX] = edx;
}

/* The hypervisor's own leaves: signature, version, hypercall page, time, address width. */
static void leaf_xen(const struct domain *d, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t khz = (uint32_t)arch_tsc_khz();

    if (leaf == 0)
        set_leaf(out, XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES), XEN_CPUID_SIGNATURE_EBX,
                 XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX);
    else if (leaf == 1)
        set_leaf(out, 4u << 16 | 17, 0, 0, 0);
    else if (leaf == 2) /* one page, and the MSR that asks for it */
        set_leaf(out, 1, 0x40000000, XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0);
    else if (leaf == 3 && subleaf == 0)
        set_leaf(out,
                 (d->vtsc ? 1 : 0) | (arch_tsc_reliable ? 2 : 0) |
                     (cpuid_policy_has(F(RDTSCP)) ? 4 : 0),
                 d->tsc_mode, khz, 0);
    else if (leaf == 3 && subleaf == 2)
        set_leaf(out, khz, 0, 0, 0);
    else if (leaf == 5 && subleaf == 0)
        set_leaf(out, 0, fls64(max_mfn - 1) + PAGE_SHIFT, 0, 0);
}

static void leaf_hardware(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
        const struct leaf_policy *l = &leaves[i];

        if (l->leaf != leaf || (l->subleaf != subleaf && l->subleaf != ANY_SUBLEAF))
            continue;
        arch_cpuid(leaf, subleaf, out);
        for (unsigned int r = 0; r < 4; r++)
            out[r] = l->reg[r].word >= 0 ? cpuid_policy[l->reg[r].word] : out[r] & l->reg[r].mask;
        return;
    }
}

void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf - XEN_CPUID_FIRST_LEAF < 0x100) {
        leaf_xen(v->domain, leaf - XEN_CPUID_FIRST_LEAF, subleaf, out);
        return;
    }
    if (!leaf_exists(leaf))
        return;
    leaf_hardware(leaf, subleaf, out);
    switch (leaf) {
    case 0: out[EAX] = max_basic; break;
    case 1:
        out[EBX] |= v->vcpu_id << 25; /* APIC id: even */
        out[ECX] |= v->arch.cr4 & CR4_OSXSAVE ? 1u << (F(OSXSAVE) % 32) : 0;
        break;
    case 7:
        if (subleaf == 0)
            out[EAX] = MIN(out[EAX], 2u);
        break;
    case 0xd: leaf_xstate(subleaf, out); break;
    case 0x80000000: out[EAX] = max_extended; break;
    case 0x80000001:
        if (cpu_vendor == VENDOR_AMD)
            out[EDX] |= cpuid_policy[0] & 0x0183f3ff; /* there it repeats leaf 1 */
        break;
    case 0x80000007:
        if (v->domain->vtsc)
            out[EDX] &= ~(1u << (F(ITSC) % 32));
        break;
    }
}
