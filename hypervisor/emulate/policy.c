/*
 * What CPUID tells a 64-bit PV guest: the hardware's answer, masked to what a guest in ring 3 can
 * use and what we switch with the vCPU. Source of the list: the features that
 * <xen/arch-x86/cpufeatureset.h> marks for all guests, less those that need an MSR of ours
 * (speculation controls) or that we cannot offer. A toolstack may take away from that, for a domain.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "memory/frame.h"

#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/cpuid.h>

#define B(name) (1u << (XEN_X86_FEATURE_##name % 32))
#define EACH_SUBLEAF 0, ~0u
#define PASS(leaf) \
    leaf, EACH_SUBLEAF, 0, 0xf, { ~0u, ~0u, ~0u, ~0u }

/*
 * The bits of EAX, EBX, ECX, EDX of leaves and subleaves first..last that pass if all of xcr0 is
 * there; of several rows for a leaf, what one of them lets pass. What is not here is zero. By leaf.
 * Registers in numbers (bit 0: EAX) describe, and a toolstack may give others; the rest are features,
 * of which none may be added.
 */
enum { EAX, EBX, ECX, EDX };
/* clang-format off */
static const struct leaf_policy {
    uint32_t leaf, first, last, xcr0, numbers, mask[4];
} leaves[] = {
    { PASS(0) },
    { 1, EACH_SUBLEAF, 0, 3, { ~0u, 0xffff, /* one CPU per package: no HTT */
        B(SSE3) | B(PCLMULQDQ) | B(SSSE3) | B(CX16) | B(SSE4_1) | B(SSE4_2) | B(MOVBE) | B(POPCNT) |
        B(AESNI) | B(RDRAND),
        B(FPU) | B(DE) | B(TSC) | B(MSR) | B(PAE) | B(MCE) | B(CX8) | B(APIC) | B(SEP) | B(MCA) |
        B(CMOV) | B(PAT) | B(CLFLUSH) | B(ACPI) | B(MMX) | B(FXSR) | B(SSE) | B(SSE2) | B(SS) } },
    { 1, EACH_SUBLEAF, 1, 0, { [ECX] = B(XSAVE) } },
    { 1, EACH_SUBLEAF, 4, 0, { [ECX] = B(FMA) | B(AVX) | B(F16C) } },
    { PASS(2) },
    { 4, EACH_SUBLEAF, 0, 0xf, { 0x3fff, ~0u, ~0u, ~0u } }, /* shared by nobody */
    { 7, 0, 0, 0, 1, { ~0u,
        B(FSGSBASE) | B(BMI1) | B(FDP_EXCP_ONLY) | B(BMI2) | B(ERMS) | B(NO_FPU_SEL) | B(RDSEED) |
        B(ADX) | B(CLFLUSHOPT) | B(CLWB) | B(SHA),
        B(PREFETCHWT1) | B(GFNI) | B(RDPID) | B(CLDEMOTE) | B(MOVDIRI) | B(MOVDIR64B),
        B(FSRM) | B(MD_CLEAR) | B(SERIALIZE) | B(ARCH_CAPS) } },
    { 7, 0, 0, 4, 0, { [EBX] = B(AVX2), [ECX] = B(VAES) | B(VPCLMULQDQ) } },
    { 7, 0, 0, 0xe0, 0, { 0,
        B(AVX512F) | B(AVX512DQ) | B(AVX512_IFMA) | B(AVX512PF) | B(AVX512ER) | B(AVX512CD) |
        B(AVX512BW) | B(AVX512VL),
        B(AVX512_VBMI) | B(AVX512_VBMI2) | B(AVX512_VNNI) | B(AVX512_BITALG) | B(AVX512_VPOPCNTDQ),
        B(AVX512_4VNNIW) | B(AVX512_4FMAPS) | B(AVX512_VP2INTERSECT) } },
    { 7, 1, 1, 0, 0, { [EAX] = B(FZRM) | B(FSRS) | B(FSRCS) } },
    { 7, 1, 1, 4, 0, { [EAX] = B(AVX_VNNI) } },
    { 7, 1, 1, 0xe0, 0, { [EAX] = B(AVX512_BF16) } },
    { 7, 2, 2, 0, 0, { [EDX] = B(MCDT_NO) } },
    { 0xd, 0, 0, 1, 7, { ~0u } }, /* EBX: by XCR0, the vCPU's */
    { 0xd, 1, 1, 1, 2, { B(XSAVEOPT) | B(XSAVEC) | B(XGETBV1) } },
    { 0xd, 2, 62, 1, 0xf, { ~0u, ~0u, 2, 0 } },
    { PASS(0x80000000) },
    { 0x80000001, EACH_SUBLEAF, 0, 3, { ~0u, ~0u,
        B(LAHF_LM) | B(ABM) | B(SSE4A) | B(MISALIGNSSE) | B(3DNOWPREFETCH) | B(TBM),
        B(SYSCALL) | B(NX) | B(MMXEXT) | B(FFXSR) | B(RDTSCP) | B(LM) | B(3DNOWEXT) | B(3DNOW) } },
    { 0x80000001, EACH_SUBLEAF, 4, 0, { [ECX] = B(XOP) | B(FMA4) } },
    { PASS(0x80000002) }, { PASS(0x80000003) }, { PASS(0x80000004) }, /* the name */
    { PASS(0x80000005) }, { PASS(0x80000006) },                       /* caches and TLBs */
    { 0x80000007, EACH_SUBLEAF, 0, 0, { [EDX] = B(ITSC) } },
    { 0x80000008, EACH_SUBLEAF, 0, 1,
        { 0xffff, B(CLZERO) | B(RSTR_FP_ERR_PTRS) | B(SSB_NO) | B(BTC_NO), 0, 0 } },
    { XEN_CPUID_FIRST_LEAF, EACH_SUBLEAF, 0, 1, { 0xff } }, /* how many of ours, 0: all */
    { PASS(0x8000001a) },
    { 0x80000021, EACH_SUBLEAF, 0, 0, {
        B(LFENCE_DISPATCH) | B(VERW_CLEAR) | B(NSCB) | B(SRSO_NO), 0,
        B(TSA_SQ_NO) | B(TSA_L1_NO), 0 } },
};
/* clang-format on */

#define CAP(name) (1ULL << (XEN_X86_FEATURE_##name - 16 * 32))
#define NOT_SAFE (CAP(RSBA) | CAP(RRSBA)) /* of some CPU that the domain may come to */

/* ARCH_CAPABILITIES: flaws that are not there. */
static const uint64_t arch_caps_mask =
    CAP(RDCL_NO) | NOT_SAFE | CAP(INTEL_SSB_NO) | CAP(MDS_NO) | CAP(IF_PSCHANGE_MC_NO) |
    CAP(TAA_NO) | CAP(SBDR_SSDP_NO) | CAP(FBSDP_NO) | CAP(PSDP_NO) | CAP(FB_CLEAR) | CAP(BHI_NO) |
    CAP(PBRSB_NO) | CAP(GDS_NO) | CAP(RFDS_NO) | CAP(RFDS_CLEAR) | CAP(ITS_NO);

uint32_t cpu_vendor;

static struct cpu_policy offered; /* constant after boot */

/* ---- rows ---- */

enum { NR_CACHE = 6, NR_FEAT = 3, NR_XSTATE = 8, NR_EXTD = 0x22 };
/* Leaf n < ROW_CACHE is row n, then the subleaves but 0 of 4, 7 and 0xd. */
enum { ROW_CACHE = 0xe, ROW_FEAT = ROW_CACHE + NR_CACHE - 1, ROW_XSTATE = ROW_FEAT + NR_FEAT - 1 };
enum { ROW_EXTD = ROW_XSTATE + NR_XSTATE - 1, ROW_XEN = ROW_EXTD + NR_EXTD };
_Static_assert(ROW_XEN + 2 == NR_POLICY_ROWS, "rows of a policy");
#define WITH_SUBLEAVES (1u << 4 | 1u << 7 | 1u << 0xb | 1u << 0xd)

/* NR_POLICY_ROWS: it has none. */
static inline unsigned int row_of(uint32_t leaf, uint32_t subleaf)
{
    uint32_t n = leaf & 0x7fffffff;

    if (leaf >> 31)
        return n < NR_EXTD ? ROW_EXTD + n : NR_POLICY_ROWS;
    if (n >= ROW_CACHE)
        return NR_POLICY_ROWS;
    if (likely(!(WITH_SUBLEAVES >> n & 1)) || subleaf == 0)
        return n;
    if (n == 4 && subleaf < NR_CACHE)
        return ROW_CACHE - 1 + subleaf;
    if (n == 7 && subleaf < NR_FEAT)
        return ROW_FEAT - 1 + subleaf;
    return n == 0xd && subleaf < NR_XSTATE ? ROW_XSTATE - 1 + subleaf : NR_POLICY_ROWS;
}

static struct policy_row row_describe(unsigned int i)
{
    if (i < ROW_CACHE)
        return (struct policy_row){ i, WITH_SUBLEAVES >> i & 1 ? 0 : XEN_CPUID_NO_SUBLEAF, { 0 } };
    if (i < ROW_FEAT)
        return (struct policy_row){ 4, i - ROW_CACHE + 1, { 0 } };
    if (i < ROW_XSTATE)
        return (struct policy_row){ 7, i - ROW_FEAT + 1, { 0 } };
    if (i < ROW_EXTD)
        return (struct policy_row){ 0xd, i - ROW_XSTATE + 1, { 0 } };
    if (i < ROW_XEN)
        return (struct policy_row){ 0x80000000 + i - ROW_EXTD, XEN_CPUID_NO_SUBLEAF, { 0 } };
    return (struct policy_row){ XEN_CPUID_FIRST_LEAF + (i - ROW_XEN) * 0x100,
                                XEN_CPUID_NO_SUBLEAF,
                                { 0 } };
}

bool cpu_policy_row(const struct cpu_policy *p, unsigned int i, struct policy_row *out)
{
    uint32_t top[4];

    *out = p ? p->row[i] : row_describe(i);
    if (i >= ROW_XEN)
        return p != NULL;
    if (p)
        return out->leaf <= p->row[out->leaf >> 31 ? ROW_EXTD : 0].reg[EAX] &&
               (out->leaf != 7 || out->subleaf <= p->row[7].reg[EAX]);
    arch_cpuid(out->leaf & 0x80000000, 0, top);
    if (out->leaf > top[EAX])
        return false;
    arch_cpuid(7, 0, top);
    if (out->leaf == 7 && out->subleaf > top[EAX])
        return false;
    arch_cpuid(out->leaf, out->subleaf == XEN_CPUID_NO_SUBLEAF ? 0 : out->subleaf, out->reg);
    return true;
}

/* What passes with xcr0. Returns which registers are numbers. */
static uint32_t row_masks(const struct policy_row *row, uint64_t xcr0, uint32_t mask[4])
{
    uint32_t numbers = 0;

    memset(mask, 0, 4 * sizeof(*mask));
    for (const struct leaf_policy *l = leaves; l < leaves + ARRAY_SIZE(leaves); l++) {
        if (l->leaf != row->leaf || row->subleaf < l->first || row->subleaf > l->last)
            continue;
        numbers |= l->numbers;
        for (unsigned int r = 0; r < 4 && (xcr0 & l->xcr0) == l->xcr0; r++)
            mask[r] |= l->mask[r];
    }
    return numbers;
}

/* ---- policies ---- */

static bool xcr0_ok(uint64_t x, uint64_t all)
{
    return (x & 1) && !(x & ~all) && (x & 6) != 4 &&         /* AVX without SSE */
           (!(x & 0xe0) || ((x & 0xe0) == 0xe0 && (x & 4))); /* AVX-512: all three, and AVX */
}

uint32_t xstate_bytes(uint64_t xcr0)
{
    const uint32_t *last = offered.row[ROW_XSTATE - 2 + MAX(fls64(xcr0), 3u)].reg;

    return xcr0 > 3 ? last[EAX] + last[EBX] : 576;
}

/* What follows from the rest. */
static void policy_complete(struct cpu_policy *p)
{
    struct policy_row *row = p->row, unused;
    uint32_t x = row[1].reg[ECX] & B(XSAVE) ? row[0xd].reg[EAX] : 0;

    row[1].reg[ECX] |= B(HYPERVISOR);
    row[0xd] = (struct policy_row){ 0xd, 0, { x, 0, x ? xstate_bytes(x) : 0, 0 } };
    row[ROW_XSTATE].reg[EAX] &= x ? ~0u : 0;
    row[ROW_XSTATE].reg[EBX] = 0;
    for (unsigned int n = 2; n < NR_XSTATE; n++) {
        row[ROW_XSTATE - 1 + n] = offered.row[ROW_XSTATE - 1 + n];
        if (!(x >> n & 1))
            memset(row[ROW_XSTATE - 1 + n].reg, 0, sizeof(row->reg));
    }
    if (cpu_vendor == VENDOR_AMD) /* there it repeats leaf 1 */
        row[ROW_EXTD + 1].reg[EDX] =
            (row[ROW_EXTD + 1].reg[EDX] & ~0x0183f3ffu) | (row[1].reg[EDX] & 0x0183f3ff);
    for (unsigned int i = 0; i < NR_POLICY_ROWS; i++)
        if (!cpu_policy_row(p, i, &unused))
            memset(row[i].reg, 0, sizeof(row[i].reg));
}

void cpuid_policy_init(void)
{
    struct policy_row *row = offered.row, *extd = row + ROW_EXTD;
    uint32_t r[4], mask[4];

    arch_cpuid(0, 0, r);
    cpu_vendor = r[EBX] == 0x756e6547                           ? VENDOR_INTEL /* "Genu" */
                 : r[EBX] == 0x68747541 || r[EBX] == 0x6f677948 ? VENDOR_AMD   /* "Auth", "Hygo" */
                                                                : VENDOR_OTHER;
    for (unsigned int i = 0; i < NR_POLICY_ROWS; i++) {
        if (!cpu_policy_row(NULL, i, &row[i]))
            continue;
        (void)row_masks(&row[i], arch_xcr0_mask, mask);
        for (unsigned int n = 0; n < 4; n++)
            row[i].reg[n] &= mask[n];
    }
    row[0].reg[EAX] = MIN(row[0].reg[EAX], 0xdu);
    row[7].reg[EAX] = MIN(row[7].reg[EAX], NR_FEAT - 1u);
    row[0xd].reg[EAX] &= (uint32_t)arch_xcr0_mask;
    /* linear addresses: four levels, whatever the CPU could do */
    extd[8].reg[EAX] = (extd[8].reg[EAX] & 0xff) | MIN(extd[8].reg[EAX] >> 8, 48u) << 8;
    extd[0].reg[EAX] = MIN(extd[0].reg[EAX], cpu_vendor == VENDOR_AMD ? 0x80000021 : 0x80000008);
    /* a kernel that is not told clears GS by two hypercalls at each context switch */
    if (cpu_vendor == VENDOR_AMD && arch_null_clears_base) {
        extd[0].reg[EAX] = 0x80000021;
        extd[0x21].reg[EAX] |= B(NSCB);
    }
    offered.arch_caps = 0;
    if ((row[7].reg[EDX] & B(ARCH_CAPS)) && arch_rdmsr_safe(MSR_ARCH_CAPS, &offered.arch_caps) == 0)
        offered.arch_caps &= arch_caps_mask;
    policy_complete(&offered);
}

const struct cpu_policy *cpu_policy_of(const struct domain *d)
{
    return d && d->cpu_policy ? d->cpu_policy : &offered;
}

/* Set in a policy by toolstacks that look at the machine; ours to say, and we say no. */
static uint32_t not_theirs(uint32_t leaf, unsigned int reg)
{
    if (leaf == 1)
        return reg == ECX ? B(OSXSAVE) : reg == EDX ? B(HTT) : 0;
    if (leaf == 7)
        return reg == EBX ? B(HLE) | B(RTM) : 0;
    return leaf == 0x80000001 && reg == ECX ? B(CMP_LEGACY) : 0;
}

/* A row that the toolstack gave: false, if it claims what is not there; else cleared of what is not its. */
static bool row_ok(struct policy_row *row, const struct policy_row *max, uint64_t xcr0)
{
    uint32_t mask[4], *reg = row->reg, numbers = row_masks(row, xcr0, mask);
    bool ext = row->leaf == 0x80000000;

    for (unsigned int r = 0; r < 4; r++) {
        if (!(numbers >> r & 1) && (reg[r] & ~max->reg[r] & ~not_theirs(row->leaf, r)))
            return false;
        reg[r] &= numbers >> r & 1 ? mask[r] : max->reg[r] & mask[r];
    }
    if (row->leaf == 0 || ext || (row->leaf == 7 && row->subleaf == 0)) /* the highest leaf */
        if (reg[EAX] > max->reg[EAX] || (ext && reg[EAX] < row->leaf))
            return false;
    if ((row->leaf == 0 || ext) &&
        memcmp(&reg[EBX], &max->reg[EBX], 12) != 0) /* another vendor's MSRs */
        return false;
    return row->leaf != 0x80000008 ||
           ((reg[EAX] & 0xff) <= (max->reg[EAX] & 0xff) && reg[EAX] >> 8 <= max->reg[EAX] >> 8);
}

int cpu_policy_check(struct cpu_policy *p, unsigned int *bad_row)
{
    uint64_t x = p->row[1].reg[ECX] & B(XSAVE) ? p->row[0xd].reg[EAX] : 0;

    *bad_row = 0xd;
    if (x && !xcr0_ok(x, arch_xcr0_mask))
        return -EINVAL;
    for (*bad_row = 0; *bad_row < NR_POLICY_ROWS; (*bad_row)++)
        if (!row_ok(&p->row[*bad_row], &offered.row[*bad_row], x))
            return -EINVAL;
    if (p->arch_caps & ~offered.arch_caps & ~(p->row[7].reg[EDX] & B(ARCH_CAPS) ? NOT_SAFE : 0))
        return -EINVAL;
    policy_complete(p);
    return 0;
}

/* ---- what follows from a domain's policy ---- */

bool guest_xcr0_ok(const struct domain *d, uint64_t x)
{
    return xcr0_ok(x, cpu_policy_of(d)->row[0xd].reg[EAX]);
}

uint64_t guest_cr4_bits(const struct domain *d)
{
    const struct policy_row *row = cpu_policy_of(d)->row;

    return CR4_TSD | CR4_DE | (row[1].reg[ECX] & B(XSAVE) ? CR4_OSXSAVE : 0) |
           (row[7].reg[EBX] & B(FSGSBASE) ? CR4_FSGSBASE : 0);
}

int guest_arch_caps(const struct domain *d, uint64_t *value)
{
    const struct cpu_policy *p = cpu_policy_of(d);

    *value = p->arch_caps;
    return p->row[7].reg[EDX] & B(ARCH_CAPS) ? 0 : -EPERM;
}

/* The hypervisor's own leaves: signature, version, hypercall page and its MSR, time, address width. */
static noinline void leaf_xen(const struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                              uint32_t out[4])
{
    const struct domain *d = v->domain;
    const struct policy_row *row = cpu_policy_of(d)->row;
    uint32_t khz = (uint32_t)arch_tsc_khz(), limit = row[ROW_XEN].reg[EAX];
    uint32_t rdtscp = row[ROW_EXTD + 1].reg[EDX] & B(RDTSCP) ? 4 : 0;

    limit = limit && limit < XEN_CPUID_MAX_NUM_LEAVES ? MAX(limit, 2u) : XEN_CPUID_MAX_NUM_LEAVES;
    const uint32_t answers[6][4] = {
        { XEN_CPUID_LEAF(limit), XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX,
          XEN_CPUID_SIGNATURE_EDX },
        { 4u << 16 | 17 },
        { 1, 0x40000000, XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD },
        { d->vtsc | arch_tsc_reliable << 1 | rdtscp, d->tsc_mode,
          d->vtsc && d->tsc_khz ? d->tsc_khz : khz, d->tsc_incarnation },
        [5] = { 0, fls64(max_mfn - 1) + PAGE_SHIFT },
    };
    if (leaf <= limit && (leaf < 3 || subleaf == 0))
        memcpy(out, answers[array_index_nospec(leaf, ARRAY_SIZE(answers))], sizeof(answers[0]));
    if (leaf == 3 && subleaf == 2 && limit >= 3)
        out[EAX] = khz;
}

void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_policy *p = v->domain->cpu_policy ?: &offered;
    unsigned int i = row_of(leaf, subleaf);
    uint32_t hw[4];

    if (unlikely(i == NR_POLICY_ROWS)) {
        memset(out, 0, 4 * sizeof(out[0]));
        if (leaf - XEN_CPUID_FIRST_LEAF < 0x100)
            leaf_xen(v, leaf - XEN_CPUID_FIRST_LEAF, subleaf, out);
        return;
    }
    memcpy(out, p->row[array_index_nospec(i, NR_POLICY_ROWS)].reg, sizeof(hw));
    switch (leaf) {
    case 1:
        out[EBX] |= v->vcpu_id << 25; /* APIC id: even */
        out[ECX] |= v->arch.cr4 & CR4_OSXSAVE ? B(OSXSAVE) : 0;
        break;
    case 0xd: /* sizes for the XCR0 that is loaded: the vCPU's */
        if (subleaf < 2 && p->row[0xd].reg[EAX]) {
            arch_cpuid(leaf, subleaf, hw);
            out[EBX] = hw[EBX];
        }
        break;
    case 0x80000007: out[EDX] &= v->domain->vtsc ? ~B(ITSC) : ~0u; break;
    }
}
