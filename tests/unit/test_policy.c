/* What guests see of CPUID and MSRs, on machines made up for the test. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "emulate/emulate.h"
#include "emulate/decode.h"
#include "fake.h"
#include "lib/errno.h"
#include "paging/paging.h"
#include "sched/time.h"

#include <xen/arch-x86/cpufeatureset.h>

enum { EAX, EBX, ECX, EDX };
enum machine { EVERYTHING_INTEL, EVERYTHING_AMD, OLD_AMD } machine;

static struct domain *d;
static struct vcpu *v;
static unsigned int bases_saved, bases_set;
static uint64_t hw_msr, hw_written;
static uint32_t max_leaf_asked;

/* All features there are; XSAVE areas of 64 bytes each from 576 on. */
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    bool amd = machine != EVERYTHING_INTEL;

    max_leaf_asked = MAX(max_leaf_asked, leaf);
    for (unsigned int i = 0; i < 4; i++)
        out[i] = ~0u;
    if (leaf == 0 || leaf == 0x80000000) {
        out[EAX] = leaf + (machine == OLD_AMD ? 5 : 0x40);
        memcpy(&out[EBX], amd ? "Auth" : "Genu", 4);
        memcpy(&out[EDX], amd ? "enti" : "ineI", 4);
        memcpy(&out[ECX], amd ? "cAMD" : "ntel", 4);
    } else if (leaf == 7 && subleaf == 0) {
        out[EAX] = 5;
    } else if (leaf == 0xd && subleaf == 0) { /* sizes by XCR0, the current vCPU's */
        out[EBX] = v->arch.xcr0 > 3 ? 576 + 64 * (fls64(v->arch.xcr0) - 2) : 576;
        out[ECX] = 4096;
    } else if (leaf == 0xd && subleaf == 1) {
        out[EBX] = 576 + 64 * (uint32_t)__builtin_popcountll(v->arch.xcr0 >> 2);
    } else if (leaf == 0xd) {
        out[EAX] = 64;
        out[EBX] = 576 + 64 * (subleaf - 2);
        out[ECX] = 3;
    } else if (machine == OLD_AMD && leaf == 1) {
        out[EDX] = 0x078bfbff;
        out[ECX] = 1;
    }
}
int arch_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    *value = msr == 0xc0000103 ? hw_written : hw_msr; /* TSC_AUX is what was written */
    return 0;
}
void arch_set_tsc_aux(uint64_t value) { hw_written = value; }
void arch_vcpu_save_bases(struct vcpu *x)
{
    (void)x;
    bases_saved++;
}
void arch_vcpu_set_base(struct vcpu *x, uint64_t *base, uint64_t value)
{
    (void)x;
    *base = value;
    bases_set++;
}
uint64_t guest_tsc(const struct vcpu *x) { return x->domain->vtsc ? 0x77 : fake_now_ns; }
bool page_get_writable(struct domain *x, mfn_t m)
{
    (void)x;
    return mfn_x(m) == 5;
}
void page_put_writable(mfn_t m) { (void)m; }

static void boot(enum machine m, uint64_t xcr0_mask)
{
    fake_reset(1);
    fake_ram_create(16);
    if (d)
        fake_domain_free(d);
    d = fake_domain(1, 4);
    v = d->vcpu[0];
    fake_current(v);
    machine = m;
    arch_xcr0_mask = xcr0_mask;
    hw_msr = ~0ULL;
    bases_saved = bases_set = 0;
    v->arch.xcr0 = 1;
    cpuid_policy_init();
}

static uint32_t leaf(uint32_t l, uint32_t sub, unsigned int reg)
{
    uint32_t out[4];

    guest_cpuid(v, l, sub, out);
    return out[reg];
}

static bool shown(unsigned int feature)
{
    static const struct {
        uint32_t leaf, sub, reg;
    } w[] = {
        { 1, 0, EDX },          { 1, 0, ECX }, { 0x80000001, 0, EDX }, { 0x80000001, 0, ECX },
        { 0xd, 1, EAX },        { 7, 0, EBX }, { 7, 0, ECX },          { 0x80000007, 0, EDX },
        { 0x80000008, 0, EBX }, { 7, 0, EDX }, { 7, 1, EAX },          { 0x80000021, 0, EAX },
        { 7, 1, EBX },          { 7, 2, EDX },
    };
    return leaf(w[feature / 32].leaf, w[feature / 32].sub, w[feature / 32].reg) >> (feature % 32) &
           1;
}
#define SHOWN(f) shown(XEN_X86_FEATURE_##f)

static void test_features_a_pv_guest_must_not_see(void)
{
    static const uint16_t hidden[] = {
#define F(n) XEN_X86_FEATURE_##n
        F(VME),     F(PSE),        F(MTRR),      F(PGE),     F(PSE36),        F(DS),
        F(HTT),     F(TM1),        F(DTES64),    F(MONITOR), F(VMX),          F(SMX),
        F(EIST),    F(PDCM),       F(PCID),      F(X2APIC),  F(TSC_DEADLINE), F(OSXSAVE),
        F(PAGE1GB), F(CMP_LEGACY), F(SVM),       F(IBS),     F(SKINIT),       F(TOPOEXT),
        F(DBEXT),   F(MONITORX),   F(OSVW),      F(XSAVES),  F(TSC_ADJUST),   F(SGX),
        F(SMEP),    F(INVPCID),    F(MPX),       F(SMAP),    F(PROC_TRACE),   F(RTM),
        F(HLE),     F(UMIP),       F(PKU),       F(OSPKE),   F(CET_SS),       F(CET_IBT),
        F(ENQCMD),  F(HW_PSTATE),  F(IBPB),      F(IBRS),    F(IBRSB),        F(STIBP),
        F(SSBD),    F(L1D_FLUSH),  F(CORE_CAPS), F(HYBRID),  F(AUTO_IBRS),    F(INTEL_PSFD),
    };

    for (enum machine m = EVERYTHING_INTEL; m <= EVERYTHING_AMD; m++) {
        boot(m, 0xe7);
        for (unsigned int i = 0; i < ARRAY_SIZE(hidden); i++)
            CU_ASSERT_FALSE(shown(hidden[i]));
    }
}

static void test_features_a_pv_guest_needs(void)
{
    for (enum machine m = EVERYTHING_INTEL; m <= OLD_AMD; m++) {
        boot(m, m == OLD_AMD ? 0 : 0xe7);
        CU_ASSERT_TRUE(SHOWN(FPU) && SHOWN(TSC) && SHOWN(MSR) && SHOWN(PAE) && SHOWN(CX8) &&
                       SHOWN(APIC) && SHOWN(CMOV) && SHOWN(PAT) && SHOWN(FXSR) && SHOWN(SSE2));
        CU_ASSERT_TRUE(SHOWN(SYSCALL) && SHOWN(NX) && SHOWN(LM) && SHOWN(LAHF_LM));
        CU_ASSERT_TRUE(SHOWN(HYPERVISOR));
        CU_ASSERT_EQUAL(SHOWN(XSAVE), m != OLD_AMD);
    }
}

static void test_xsave_state_follows_what_we_switch(void)
{
    boot(EVERYTHING_INTEL, 0);
    CU_ASSERT_FALSE(SHOWN(XSAVE) || SHOWN(AVX) || SHOWN(AVX2) || SHOWN(AVX512F) || SHOWN(FMA) ||
                    SHOWN(XSAVEOPT) || SHOWN(VAES) || SHOWN(AVX512_BF16));
    CU_ASSERT_EQUAL(leaf(0xd, 0, EAX), 0);
    boot(EVERYTHING_INTEL, 7);
    CU_ASSERT_TRUE(SHOWN(XSAVE) && SHOWN(AVX) && SHOWN(AVX2) && SHOWN(XSAVEC));
    CU_ASSERT_FALSE(SHOWN(AVX512F) || SHOWN(AVX512_VBMI));
    CU_ASSERT_EQUAL(leaf(0xd, 0, EAX), 7);
    CU_ASSERT_EQUAL(leaf(0xd, 0, EBX), 576);
    CU_ASSERT_EQUAL(leaf(0xd, 0, ECX), 640);
    v->arch.xcr0 = 7;
    CU_ASSERT_EQUAL(leaf(0xd, 0, EBX), 640);
    CU_ASSERT_EQUAL(leaf(0xd, 1, EBX), 640);
    CU_ASSERT_EQUAL(leaf(0xd, 1, EAX), 7); /* no XSAVES */
    CU_ASSERT_EQUAL(leaf(0xd, 1, ECX), 0);
    CU_ASSERT_EQUAL(leaf(0xd, 2, EAX), 64);
    CU_ASSERT_EQUAL(leaf(0xd, 2, ECX), 2);
    for (uint32_t i = 3; i < 70; i++)
        CU_ASSERT_EQUAL(leaf(0xd, i, EAX) | leaf(0xd, i, EBX), 0);
    CU_ASSERT_EQUAL(leaf(0xd, ~0u, EAX), 0);
    boot(EVERYTHING_INTEL, 0xe7);
    CU_ASSERT_TRUE(SHOWN(AVX512F));
    CU_ASSERT_EQUAL(leaf(0xd, 0, ECX), 576 + 6 * 64);
    v->arch.xcr0 = 0xe7;
    CU_ASSERT_EQUAL(leaf(0xd, 1, EBX), 576 + 4 * 64); /* compacted: no holes */
}

static void test_osxsave_and_apic_id_are_the_vcpus(void)
{
    boot(EVERYTHING_INTEL, 7);
    CU_ASSERT_FALSE(SHOWN(OSXSAVE));
    v->arch.cr4 |= CR4_OSXSAVE;
    CU_ASSERT_TRUE(SHOWN(OSXSAVE));
    CU_ASSERT_EQUAL(leaf(1, 0, EBX) >> 24, 0);
    v = d->vcpu[3];
    CU_ASSERT_EQUAL(leaf(1, 0, EBX) >> 24, 6);
    CU_ASSERT_EQUAL(leaf(1, 0, EBX) >> 16 & 0xff, 0);
}

static void test_leaves_without_an_answer_are_zero(void)
{
    static const uint32_t zero[] = { 3,          5,          6,          8,          9,
                                     0xa,        0xb,        0xc,        0xe,        0xf,
                                     0x10,       0x12,       0x14,       0x15,       0x16,
                                     0x19,       0x1d,       0x1f,       0x24,       0x7fffffff,
                                     0x40000100, 0x4000ff00, 0x40000004, 0x40000006, 0x400000ff,
                                     0x80000009, 0x8000000a, 0x8000001b, 0x8000001d, 0x8000001e,
                                     0x8000001f, 0x80000022, 0x80860000, 0xc0000000, 0xffffffff };

    for (enum machine m = EVERYTHING_INTEL; m <= OLD_AMD; m++) {
        boot(m, 0xe7);
        for (unsigned int i = 0; i < ARRAY_SIZE(zero); i++)
            for (unsigned int r = 0; r < 4; r++)
                CU_ASSERT_EQUAL(leaf(zero[i], 0, r), 0);
        CU_ASSERT_EQUAL(leaf(7, 3, EAX) | leaf(7, 77, EBX), 0);
    }
    boot(OLD_AMD, 0);
    max_leaf_asked = 0;
    CU_ASSERT_EQUAL(leaf(7, 0, EBX), 0);
    CU_ASSERT_EQUAL(leaf(0x80000008, 0, EAX), 0);
    CU_ASSERT_EQUAL(max_leaf_asked, 0); /* what does not exist is not asked of the CPU */
}

static void test_limits(void)
{
    boot(EVERYTHING_INTEL, 7);
    CU_ASSERT_EQUAL(leaf(0, 0, EAX), 0xd);
    CU_ASSERT_EQUAL(leaf(0x80000000, 0, EAX), 0x80000008);
    CU_ASSERT_EQUAL(leaf(7, 0, EAX), 2);
    CU_ASSERT_EQUAL(leaf(4, 0, EAX) >> 14, 0); /* nobody shares */
    CU_ASSERT_EQUAL(leaf(0x80000008, 0, ECX), 0);
    CU_ASSERT_EQUAL(leaf(0x80000008, 0, EAX), 48 << 8 | 255); /* not 57 */
    boot(EVERYTHING_AMD, 7);
    CU_ASSERT_EQUAL(leaf(0x80000000, 0, EAX), 0x80000021);
    CU_ASSERT_TRUE(leaf(0x80000001, 0, EDX) & 1); /* AMD repeats the FPU bit there */
    boot(OLD_AMD, 0);
    CU_ASSERT_EQUAL(leaf(0, 0, EAX), 5);
    CU_ASSERT_EQUAL(leaf(0x80000000, 0, EAX), 0x80000005);
}

static void test_amds_that_clear_bases_say_so(void)
{
    arch_null_clears_base = true;
    boot(OLD_AMD, 0);
    CU_ASSERT_EQUAL(leaf(0x80000000, 0, EAX), 0x80000021);
    CU_ASSERT_EQUAL(leaf(0x80000021, 0, EAX), 1 << 6);
    for (uint32_t l = 0x80000006; l < 0x80000021; l++) /* which the CPU does not have */
        for (unsigned int reg = EAX; reg <= EDX; reg++)
            CU_ASSERT_EQUAL(leaf(l, 0, reg), 0);
    boot(EVERYTHING_INTEL, 0);
    CU_ASSERT_EQUAL(leaf(0x80000000, 0, EAX), 0x80000008);
    arch_null_clears_base = false;
}

static void test_xen_leaves(void)
{
    boot(EVERYTHING_AMD, 7);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EAX), 0x40000005);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EBX), 0x566e6558);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, ECX), 0x65584d4d);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EDX), 0x4d4d566e);
    CU_ASSERT_EQUAL(leaf(0x40000001, 0, EAX), 0x00040011);
    CU_ASSERT_EQUAL(leaf(0x40000002, 0, EBX), 0x40000000);
    CU_ASSERT_EQUAL(leaf(0x40000003, 0, EAX) & 1, 0);
    CU_ASSERT_EQUAL(leaf(0x40000003, 0, ECX), 1000000);
    CU_ASSERT_EQUAL(leaf(0x40000005, 0, EBX), 4 + 12);
    CU_ASSERT_TRUE(SHOWN(ITSC));
    d->vtsc = true;
    CU_ASSERT_EQUAL(leaf(0x40000003, 0, EAX) & 1, 1);
    CU_ASSERT_FALSE(SHOWN(ITSC));
}

static int rd(uint32_t msr, uint64_t *value) { return guest_rdmsr(v, msr, value); }

static void test_msrs_by_vendor(void)
{
    uint64_t x;

    boot(EVERYTHING_INTEL, 7);
    CU_ASSERT_EQUAL(rd(0x3a, &x), 0);
    CU_ASSERT_EQUAL(x, 1);
    CU_ASSERT_EQUAL(rd(0x1a0, &x), 0);
    CU_ASSERT_EQUAL(x, ~0x40080ULL);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x1a0, x), 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x1a0, x & ~1ULL), -EPERM);
    CU_ASSERT_EQUAL(rd(0x10a, &x), 0);
    CU_ASSERT_EQUAL(x & 0x82, 0); /* no enhanced IBRS, no TSX control: their MSRs are not there */
    CU_ASSERT_EQUAL(x & 0x29, 0x21); /* RDCL_NO and MDS_NO, but not SKIP_L1DFL */
    CU_ASSERT_EQUAL(x >> 62, 1);
    CU_ASSERT_EQUAL(rd(0xc0010015, &x), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x8b, 0), 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x140, 0), 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x140, 1), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x277, 0x050100070406ULL), 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x277, 0x0007040600070406ULL), -EPERM);
    boot(EVERYTHING_AMD, 7);
    CU_ASSERT_EQUAL(rd(0x3a, &x), -EPERM);
    CU_ASSERT_EQUAL(rd(0xc0011029, &x), 0);
    CU_ASSERT_EQUAL(x, 2);
    CU_ASSERT_EQUAL(rd(0xc0010010, &x), -EPERM);
    d->is_hwdom = true;
    CU_ASSERT_EQUAL(rd(0xc0010010, &x), 0);
    CU_ASSERT_EQUAL(rd(0xc001001a, &x), 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0010010, x), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0010007, 3), 0);
    CU_ASSERT_EQUAL(rd(0xc0010007, &x), 0);
    CU_ASSERT_EQUAL(x, 0);
}

static void test_unknown_msrs_do_not_exist(void)
{
    static const uint32_t known[] = { 0x10,  0x1b,  0x3a,  0x8b,  0xce, 0x10a,
                                      0x140, 0x179, 0x17a, 0x1a0, 0x277 };
    unsigned int n = 0;
    uint64_t x;

    boot(EVERYTHING_INTEL, 7);
    d->is_hwdom = true;
    for (uint32_t m = 0; m < 0x2000; m++) {
        bool is_known = m >= 0x400 && m < 0x480;

        for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
            is_known |= m == known[i];
        n += is_known;
        CU_ASSERT_EQUAL(rd(m, &x), is_known ? 0 : -EPERM);
        if (!is_known)
            CU_ASSERT_EQUAL(guest_wrmsr(v, m, 0), -EPERM);
    }
    CU_ASSERT_EQUAL(n, ARRAY_SIZE(known) + 0x80);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x10, 0), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x1b, 0xfee00900), -EPERM);
    for (uint32_t m = 0xc0000081; m < 0xc0000100; m++)
        CU_ASSERT_EQUAL(rd(m, &x), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000080, 0xd01), 0); /* it changes nothing */
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000080, 0xd00), -EPERM);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000080, 0xd01 | 1 << 12), -EPERM);
    CU_ASSERT_EQUAL(rd(0xc0000080, &x), 0);
    CU_ASSERT_EQUAL(x, 0xd01);
}

static void test_segment_bases(void)
{
    uint64_t x;

    boot(EVERYTHING_INTEL, 7);
    v->arch.fs_base = 1;
    v->arch.gs_base_kernel = 2;
    v->arch.gs_base_user = 3;
    CU_ASSERT_TRUE(rd(0xc0000100, &x) == 0 && x == 1);
    CU_ASSERT_TRUE(rd(0xc0000101, &x) == 0 && x == 2);
    CU_ASSERT_TRUE(rd(0xc0000102, &x) == 0 && x == 3);
    CU_ASSERT_EQUAL(bases_saved, 3);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000101, 0xffff888000000000ULL), 0);
    CU_ASSERT_EQUAL(v->arch.gs_base_kernel, 0xffff888000000000ULL);
    CU_ASSERT_EQUAL(bases_set, 1);
    CU_ASSERT_TRUE(v->arch.fs_base == 1 && v->arch.gs_base_user == 3);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000100, 1ULL << 47), -EPERM);
    CU_ASSERT_EQUAL(v->arch.fs_base, 1);
}

static void test_tsc_aux_and_apic_base(void)
{
    uint64_t x;

    boot(EVERYTHING_INTEL, 7);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000103, 0x1005), 0);
    CU_ASSERT_EQUAL(hw_written, 0x1005);
    CU_ASSERT_TRUE(rd(0xc0000103, &x) == 0 && x == 0x1005);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0xc0000103, 1ULL << 32), -EPERM);
    CU_ASSERT_TRUE(rd(0x1b, &x) == 0 && x == 0xfee00900);
    CU_ASSERT_EQUAL(guest_rdmsr(d->vcpu[1], 0x1b, &x), 0);
    CU_ASSERT_EQUAL(x, 0xfee00800);
    fake_now_ns = 0x55;
    CU_ASSERT_TRUE(rd(0x10, &x) == 0 && x == 0x55);
    d->vtsc = true;
    CU_ASSERT_TRUE(rd(0x10, &x) == 0 && x == 0x77);
}

static void test_hypercall_page(void)
{
    static const uint8_t slot1[] = { 0x51, 0x41, 0x53, 0xb8, 1,    0,    0,   0,
                                     0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc };
    static const uint8_t slot23[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc };
    uint8_t *page;

    boot(EVERYTHING_INTEL, 7);
    page = mfn_to_virt(_mfn(5));
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x40000000, 0x5001), -EPERM); /* a second page */
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x40000000, 0x6000), -EPERM); /* not writable for the guest */
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x40000000, ~0xfffULL), -EPERM);
    CU_ASSERT_EQUAL(page[0], 0);
    CU_ASSERT_EQUAL(guest_wrmsr(v, 0x40000000, 0x5000), 0);
    CU_ASSERT_EQUAL(memcmp(page + 32, slot1, sizeof(slot1)), 0);
    CU_ASSERT_EQUAL(memcmp(page + 23 * 32, slot23, sizeof(slot23)), 0);
    CU_ASSERT_EQUAL(page[127 * 32 + 4], 127);
}

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("policy", NULL, NULL);
    CU_ADD_TEST(s, test_features_a_pv_guest_must_not_see);
    CU_ADD_TEST(s, test_features_a_pv_guest_needs);
    CU_ADD_TEST(s, test_xsave_state_follows_what_we_switch);
    CU_ADD_TEST(s, test_osxsave_and_apic_id_are_the_vcpus);
    CU_ADD_TEST(s, test_leaves_without_an_answer_are_zero);
    CU_ADD_TEST(s, test_limits);
    CU_ADD_TEST(s, test_amds_that_clear_bases_say_so);
    CU_ADD_TEST(s, test_xen_leaves);
    CU_ADD_TEST(s, test_msrs_by_vendor);
    CU_ADD_TEST(s, test_unknown_msrs_do_not_exist);
    CU_ADD_TEST(s, test_segment_bases);
    CU_ADD_TEST(s, test_tsc_aux_and_apic_base);
    CU_ADD_TEST(s, test_hypercall_page);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    fake_domain_free(d);
    fake_ram_create(1);
    return CU_get_number_of_failures() != 0;
}
