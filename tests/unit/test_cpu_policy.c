/*
 * CPU policies, by hand and by Debian's libxenguest: its hypercalls end in our functions, on machines
 * made up for the test.
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

#include <xen/arch-x86/cpufeatureset.h>
#include <xencall.h>
#include <xenctrl.h>
#include <xenguest.h>

#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "hypercall/domctl.h"
#include "lib/errno.h"
#include "sched/sched.h"

enum { EAX, EBX, ECX, EDX };
static enum machine { INTEL, AMD, OLD_AMD, THIS_ONE, NR_MACHINES } machine;

static struct domain *dom0, *d;
static struct vcpu *v;

/* All features there are; XSAVE areas of 64 bytes each from 576 on. */
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    if (machine == THIS_ONE) {
        __asm__ volatile("cpuid"
                         : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                         : "a"(leaf), "c"(subleaf));
        return;
    }
    memset(out, 0xff, 4 * sizeof(*out));
    if (leaf == 0 || leaf == 0x80000000) {
        out[EAX] = leaf + (machine == OLD_AMD ? 5 : 0x40);
        memcpy(&out[EBX], machine == INTEL ? "Genu" : "Auth", 4);
        memcpy(&out[EDX], machine == INTEL ? "ineI" : "enti", 4);
        memcpy(&out[ECX], machine == INTEL ? "ntel" : "cAMD", 4);
    } else if (leaf == 4) {
        out[EAX] = subleaf < 3 ? ~0u : 0;
    } else if (leaf == 7 && subleaf == 0) {
        out[EAX] = 5;
    } else if (leaf == 0xd && subleaf > 1) {
        out[EAX] = 64;
        out[EBX] = 576 + 64 * (subleaf - 2);
    }
}
int arch_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    CU_ASSERT_EQUAL(msr, MSR_ARCH_CAPS);
    *value = machine == THIS_ONE ? 0 : ~0ULL;
    return 0;
}
size_t arch_copy_from_guest(void *dst, uint64_t va, size_t len)
{
    if (va < 4096)
        return len;
    memcpy(dst, (void *)(uintptr_t)va, len);
    return 0;
}
size_t arch_copy_to_guest(uint64_t va, const void *src, size_t len)
{
    if (va < 4096)
        return len;
    memcpy((void *)(uintptr_t)va, src, len);
    return 0;
}
bool domain_has_run(struct domain *x) { return x->vcpu[0]->runstate.time[RUNSTATE_running] != 0; }

/* ---- the library's way to us ---- */

static unsigned int nr_set;
static struct xen_domctl_cpu_policy last_set;

static long do_domctl(struct xen_domctl *op)
{
    long rc;

    if (op->domain != d->domain_id)
        return -ESRCH;
    switch (op->cmd) {
    case XEN_DOMCTL_getdomaininfo:
        memset(&op->u.getdomaininfo, 0, sizeof(op->u.getdomaininfo));
        op->u.getdomaininfo.domain = op->domain;
        return 0;
    case XEN_DOMCTL_get_cpu_policy: return domctl_get_cpu_policy(d, op);
    case XEN_DOMCTL_set_cpu_policy:
        nr_set++;
        rc = domctl_set_cpu_policy(d, op);
        last_set = op->u.cpu_policy;
        return rc;
    default: return -ENOSYS;
    }
}
static long do_sysctl(struct xen_sysctl *op)
{
    switch (op->cmd) {
    case XEN_SYSCTL_get_cpu_policy: return sysctl_get_cpu_policy(op);
    case XEN_SYSCTL_get_cpu_featureset: return sysctl_get_cpu_featureset(op);
    default: return -ENOSYS;
    }
}
int xencall1(xencall_handle *h, unsigned int op, uint64_t arg)
{
    long rc = op == __HYPERVISOR_domctl   ? do_domctl((void *)(uintptr_t)arg)
              : op == __HYPERVISOR_sysctl ? do_sysctl((void *)(uintptr_t)arg)
                                          : -ENOSYS;

    if (rc >= 0)
        return (int)rc;
    errno = (int)-rc;
    return -1;
}
void *xencall_alloc_buffer(xencall_handle *h, size_t size) { return calloc(1, size); }
void xencall_free_buffer(xencall_handle *h, void *p) { free(p); }
void *xencall_alloc_buffer_pages(xencall_handle *h, size_t n) { return calloc(n, 4096); }
void xencall_free_buffer_pages(xencall_handle *h, void *p, size_t n) { free(p); }

/* ---- fixture ---- */

static xc_interface *xch;

static void boot(enum machine m)
{
    fake_reset(1);
    fake_ram_create(16);
    machine = m;
    arch_xcr0_mask = m == OLD_AMD ? 0 : 7;
    cpuid_policy_init();
    dom0 = fake_domain(0, 1);
    d = fake_domain(1, 1);
    v = d->vcpu[0];
    fake_current(dom0->vcpu[0]);
    nr_set = 0;
}
static void halt(void)
{
    CU_ASSERT_EQUAL(d->pause_count, 0);
    free(d->cpu_policy);
    fake_domain_free(d);
    fake_domain_free(dom0);
}

static uint32_t leaf(uint32_t l, uint32_t sub, unsigned int reg)
{
    uint32_t out[4];

    guest_cpuid(v, l, sub, out);
    return out[reg];
}
#define HAS(l, sub, reg, feature) (leaf(l, sub, reg) >> (XEN_X86_FEATURE_##feature % 32) & 1)

static xen_cpuid_leaf_t leaves[128];
static xen_msr_entry_t msrs[4];
static struct xen_domctl op;
static struct xen_domctl_cpu_policy *const cp = &op.u.cpu_policy;

static struct xen_domctl *policy_op(uint32_t nr_leaves, uint32_t nr_msrs)
{
    memset(&op, 0, sizeof(op));
    cp->nr_leaves = nr_leaves;
    cp->nr_msrs = nr_msrs;
    set_xen_guest_handle_raw(cp->leaves, leaves);
    set_xen_guest_handle_raw(cp->msrs, msrs);
    return &op;
}
static long set_leaf(uint32_t l, uint32_t sub, uint32_t a, uint32_t b, uint32_t c, uint32_t dx)
{
    leaves[0] = (xen_cpuid_leaf_t){ l, sub, a, b, c, dx };
    return domctl_set_cpu_policy(d, policy_op(1, 0));
}
#define SET(l, sub, ...) set_leaf(l, sub, __VA_ARGS__)
#define NO XEN_CPUID_NO_SUBLEAF

static xen_cpuid_leaf_t *find(uint32_t l, uint32_t sub)
{
    for (uint32_t i = 0; i < cp->nr_leaves; i++)
        if (leaves[i].leaf == l && leaves[i].subleaf == sub)
            return &leaves[i];
    return NULL;
}

/* ---- by hand ---- */

static void test_a_policy_comes_back_and_can_be_set(void)
{
    for (enum machine m = 0; m < NR_MACHINES; m++) {
        uint32_t before[0x22];

        boot(m);
        for (uint32_t i = 0; i < 0x22; i++)
            before[i] = leaf((i & 1) << 31 | i / 2, 0, ECX);
        CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(128, 4)), 0);
        CU_ASSERT_TRUE(cp->nr_leaves >= 12 && cp->nr_leaves <= 64 && cp->nr_msrs == 2);
        CU_ASSERT_PTR_NOT_NULL(find(1, NO));
        CU_ASSERT_PTR_NULL(find(1, 0));
        CU_ASSERT_EQUAL(find(7, 0) != NULL, m != OLD_AMD && leaf(0, 0, EAX) >= 7);
        CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(cp->nr_leaves, cp->nr_msrs)), 0);
        CU_ASSERT_PTR_NOT_NULL(d->cpu_policy);
        CU_ASSERT_EQUAL(memcmp(d->cpu_policy, cpu_policy_of(NULL), sizeof(struct cpu_policy)), 0);
        for (uint32_t i = 0; i < 0x22; i++)
            CU_ASSERT_EQUAL(before[i], leaf((i & 1) << 31 | i / 2, 0, ECX));
        halt();
    }
}

static void test_sizes_and_buffers(void)
{
    uint32_t all;

    boot(INTEL);
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(128, 2)), 0);
    all = cp->nr_leaves;
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(all, 2)), 0);
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(all - 1, 2)), -ENOBUFS);
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(all, 1)), -ENOBUFS);
    policy_op(0, 0);
    set_xen_guest_handle_raw(cp->leaves, NULL);
    set_xen_guest_handle_raw(cp->msrs, NULL);
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, &op), 0);
    CU_ASSERT_TRUE(cp->nr_leaves >= all && cp->nr_msrs == 2);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(129, 0)), -E2BIG);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 3)), -E2BIG);
    policy_op(1, 0);
    set_xen_guest_handle_raw(cp->leaves, (void *)8);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, &op), -EFAULT);
    policy_op(0, 1);
    set_xen_guest_handle_raw(cp->msrs, (void *)8);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, &op), -EFAULT);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(dom0, policy_op(0, 0)), -EINVAL);
    fake_fail_alloc(1);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 0)), -ENOMEM);
    CU_ASSERT_PTR_NULL(d->cpu_policy);
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 0)), 0);
    v->runstate.time[RUNSTATE_running] = 1;
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 0)), -EEXIST);
    halt();
}

static void test_no_feature_is_added(void)
{
    unsigned int refused = 0;

    for (enum machine m = 0; m < NR_MACHINES; m++) {
        boot(m);
        for (unsigned int i = 0; i < NR_POLICY_ROWS; i++)
            for (unsigned int bit = 0; bit < 128; bit++) {
                const struct policy_row *row = &cpu_policy_of(NULL)->row[i];
                uint32_t r[4], now[4];
                long rc;

                memcpy(r, row->reg, sizeof(r));
                r[bit / 32] |= 1u << bit % 32;
                rc = SET(row->leaf, row->subleaf, r[0], r[1], r[2], r[3]);
                CU_ASSERT_TRUE(rc == 0 || rc == -EINVAL);
                if (rc) {
                    refused++;
                    CU_ASSERT_EQUAL(cp->err_leaf, row->leaf);
                    CU_ASSERT_EQUAL(cp->err_subleaf, row->subleaf);
                    CU_ASSERT_EQUAL(cp->err_msr, ~0u);
                    continue;
                }
                /* numbers, or bits that are ours: no feature word may have it */
                if (row->leaf == 1 || row->leaf == 7 || row->leaf == 0x80000007 ||
                    row->leaf == 0x80000008) {
                    memcpy(now, cpu_policy_of(d)->row[i].reg, sizeof(now));
                    CU_ASSERT_EQUAL(now[2] & ~row->reg[2], 0);
                    CU_ASSERT_EQUAL(now[3] & ~row->reg[3], 0);
                }
            }
        halt();
    }
    CU_ASSERT_TRUE(refused > 4000);
}

static void test_what_tools_take_from_the_machine_is_dropped(void)
{
    const struct policy_row *row = cpu_policy_of(NULL)->row;

    boot(INTEL);
    CU_ASSERT_EQUAL(SET(1, NO, row[1].reg[0], row[1].reg[1], row[1].reg[2] | 1u << 27,
                        row[1].reg[3] | 1u << 28),
                    0);
    CU_ASSERT_FALSE(HAS(1, 0, EDX, HTT) || HAS(1, 0, ECX, OSXSAVE));
    CU_ASSERT_EQUAL(SET(7, 0, 2, row[7].reg[1] | 1u << 4 | 1u << 11, row[7].reg[2], row[7].reg[3]),
                    0);
    CU_ASSERT_FALSE(HAS(7, 0, EBX, RTM) || HAS(7, 0, EBX, HLE));
    CU_ASSERT_TRUE(HAS(7, 0, EBX, BMI2));
    halt();
}

static void test_features_are_taken_away(void)
{
    const struct policy_row *row = cpu_policy_of(NULL)->row;
    uint64_t x;

    boot(INTEL);
    CU_ASSERT_TRUE(HAS(1, 0, ECX, AVX) && HAS(7, 0, EBX, AVX2) && HAS(1, 0, ECX, SSE4_2));
    CU_ASSERT_TRUE(guest_xcr0_ok(d, 7) && (guest_cr4_bits(d) & CR4_OSXSAVE));
    /* no AVX state: AVX, AVX2 and its space go with it */
    CU_ASSERT_EQUAL(SET(0xd, 0, 3, 99, 99, 0), 0);
    CU_ASSERT_FALSE(HAS(1, 0, ECX, AVX) || HAS(7, 0, EBX, AVX2));
    CU_ASSERT_TRUE(HAS(1, 0, ECX, SSE4_2) && HAS(1, 0, ECX, XSAVE));
    CU_ASSERT_EQUAL(leaf(0xd, 0, EAX), 3);
    CU_ASSERT_EQUAL(leaf(0xd, 0, ECX), 576);
    CU_ASSERT_EQUAL(leaf(0xd, 2, EAX), 0);
    CU_ASSERT_TRUE(guest_xcr0_ok(d, 3) && !guest_xcr0_ok(d, 7));
    /* no XSAVE */
    CU_ASSERT_EQUAL(SET(1, NO, row[1].reg[0], 0, row[1].reg[2] & ~(1u << 26 | 1u << 20),
                        row[1].reg[3] & ~1u << 2),
                    0);
    CU_ASSERT_FALSE(HAS(1, 0, ECX, XSAVE) || HAS(1, 0, ECX, SSE4_2) || HAS(0xd, 1, EAX, XSAVEC));
    CU_ASSERT_TRUE(HAS(1, 0, ECX, HYPERVISOR));
    CU_ASSERT_EQUAL(leaf(0xd, 0, EAX) | leaf(0xd, 0, EBX) | leaf(0xd, 0, ECX), 0);
    CU_ASSERT_FALSE(guest_xcr0_ok(d, 1) || (guest_cr4_bits(d) & CR4_OSXSAVE));
    /* leaves beyond a lower limit */
    CU_ASSERT_EQUAL(SET(0, NO, 5, row[0].reg[1], row[0].reg[2], row[0].reg[3]), 0);
    CU_ASSERT_EQUAL(leaf(0, 0, EAX), 5);
    CU_ASSERT_EQUAL(leaf(7, 0, EBX) | leaf(7, 0, EDX), 0);
    CU_ASSERT_EQUAL(guest_arch_caps(d, &x), -EPERM);
    CU_ASSERT_FALSE(guest_cr4_bits(d) & CR4_FSGSBASE);
    halt();
}

static void test_limits_and_vendor(void)
{
    const struct policy_row *row = cpu_policy_of(NULL)->row;

    boot(INTEL);
    CU_ASSERT_EQUAL(SET(0, NO, 0xe, row[0].reg[1], row[0].reg[2], row[0].reg[3]), -EINVAL);
    CU_ASSERT_EQUAL(SET(0, NO, 0xd, 0x68747541, row[0].reg[2], row[0].reg[3]), -EINVAL);
    CU_ASSERT_EQUAL(SET(7, 0, 3, 0, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(cp->err_leaf, 7);
    CU_ASSERT_EQUAL(SET(0x80000000, NO, 0x80000009, 0x756e6547, 0x6c65746e, 0x49656e69), -EINVAL);
    CU_ASSERT_EQUAL(SET(0x80000000, NO, 8, 0x756e6547, 0x6c65746e, 0x49656e69), -EINVAL);
    CU_ASSERT_EQUAL(SET(0x80000008, NO, 57 << 8 | 46, 0, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(SET(0x80000008, NO, 48 << 8 | 39, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(leaf(0x80000008, 0, EAX), 48 << 8 | 39);
    CU_ASSERT_EQUAL(SET(0xd, 0, 5, 0, 0, 0), -EINVAL);    /* AVX without SSE */
    CU_ASSERT_EQUAL(SET(0xd, 0, 2, 0, 0, 0), -EINVAL);    /* without x87 */
    CU_ASSERT_EQUAL(SET(0xd, 0, 0xe7, 0, 0, 0), -EINVAL); /* not switched here */
    CU_ASSERT_EQUAL(SET(0xd, 0, 7, 0, 0, 1), -EINVAL);
    CU_ASSERT_EQUAL(SET(1, 0, 0, 0, 0, 0), -ERANGE); /* it has no subleaves */
    CU_ASSERT_EQUAL(SET(7, 3, 0, 0, 0, 0), -ERANGE);
    CU_ASSERT_TRUE(cp->err_leaf == 7 && cp->err_subleaf == 3);
    CU_ASSERT_EQUAL(SET(0xe, NO, 0, 0, 0, 0), -ERANGE);
    CU_ASSERT_EQUAL(SET(0xffffffff, 0xffffffff, 0, 0, 0, 0), -ERANGE);
    CU_ASSERT_EQUAL(SET(0x40000001, NO, 0, 0, 0, 0), -ERANGE);
    halt();
}

static void test_msr_policy(void)
{
    uint64_t caps, x;

    boot(INTEL);
    CU_ASSERT_EQUAL(guest_arch_caps(d, &caps), 0);
    CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(128, 2)), 0);
    CU_ASSERT_TRUE(msrs[1].idx == MSR_ARCH_CAPS && msrs[1].val == caps);
    msrs[0] = (xen_msr_entry_t){ MSR_ARCH_CAPS, 0, 1 };
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 1)), 0);
    CU_ASSERT_TRUE(guest_arch_caps(d, &x) == 0 && x == 1);
    msrs[0].val = 2; /* enhanced IBRS: its MSR is not there */
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 1)), -EINVAL);
    CU_ASSERT_TRUE(cp->err_msr == MSR_ARCH_CAPS && cp->err_leaf == ~0u);
    msrs[0] = (xen_msr_entry_t){ MSR_PLATFORM_INFO, 0, 1u << 31 };
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 1)), -EINVAL);
    CU_ASSERT_EQUAL(cp->err_msr, MSR_PLATFORM_INFO);
    msrs[0] = (xen_msr_entry_t){ MSR_PLATFORM_INFO, 1, 0 };
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 1)), -EINVAL);
    msrs[0] = (xen_msr_entry_t){ 0x48, 0, 0 };
    CU_ASSERT_EQUAL(domctl_set_cpu_policy(d, policy_op(0, 1)), -ERANGE);
    CU_ASSERT_EQUAL(cp->err_msr, 0x48);
    CU_ASSERT_TRUE(guest_arch_caps(d, &x) == 0 && x == 1);
    halt();
}

static void test_hypervisor_leaves_are_limited(void)
{
    boot(AMD);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EAX), 0x40000005);
    CU_ASSERT_EQUAL(SET(0x40000000, NO, 2, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EAX), 0x40000002);
    CU_ASSERT_EQUAL(leaf(0x40000003, 0, ECX) | leaf(0x40000003, 2, EAX), 0);
    CU_ASSERT_EQUAL(leaf(0x40000002, 0, EAX), 1);
    CU_ASSERT_EQUAL(SET(0x40000000, NO, 1, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EAX), 0x40000002);
    CU_ASSERT_EQUAL(SET(0x40000000, NO, 255, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(leaf(0x40000000, 0, EAX), 0x40000005);
    CU_ASSERT_EQUAL(SET(0x40000100, NO, 1, 0, 0, 0), -EINVAL); /* no second set */
    halt();
}

static void test_random_policies_never_add(void)
{
    srandom(1);
    for (enum machine m = 0; m < NR_MACHINES; m++) {
        unsigned int accepted = 0;

        boot(m);
        for (unsigned int n = 0; n < 20000; n++) {
            uint32_t fs[NR_FEATURE_WORDS], max[NR_FEATURE_WORDS];

            CU_ASSERT_EQUAL(domctl_get_cpu_policy(d, policy_op(128, 2)), 0);
            for (unsigned int k = random() % 4; k < 4; k++) {
                xen_cpuid_leaf_t *l = &leaves[random() % cp->nr_leaves];
                uint32_t *r[] = { &l->a, &l->b, &l->c, &l->d };

                *r[random() % 4] ^= 1u << random() % 32;
            }
            if (domctl_set_cpu_policy(d, &op))
                continue;
            accepted++;
            cpu_featureset(cpu_policy_of(d), fs);
            cpu_featureset(cpu_policy_of(NULL), max);
            for (unsigned int w = 0; w < NR_FEATURE_WORDS; w++)
                CU_ASSERT_EQUAL(fs[w] & ~max[w], 0);
            CU_ASSERT_TRUE(leaf(0, 0, EAX) <= 0xd);
            CU_ASSERT_EQUAL(leaf(0xd, 0, EAX) & ~arch_xcr0_mask, 0);
        }
        CU_ASSERT_TRUE(accepted > 100);
        halt();
    }
}

/* ---- by libxenguest ---- */

static void test_the_library_makes_a_policy(void)
{
    for (enum machine m = 0; m < NR_MACHINES; m++)
        for (unsigned int itsc = 0; itsc < 2; itsc++) {
            boot(m);
            CU_ASSERT_EQUAL(xc_cpuid_apply_policy(xch, 1, false, NULL, 0, true, itsc, false, NULL,
                                                  NULL),
                            0);
            CU_ASSERT_EQUAL(nr_set, 1);
            CU_ASSERT_PTR_NOT_NULL_FATAL(d->cpu_policy);
            CU_ASSERT_TRUE(last_set.err_leaf == ~0u && last_set.err_msr == ~0u);
            for (unsigned int i = 0; i < NR_POLICY_ROWS; i++) {
                struct policy_row want = cpu_policy_of(NULL)->row[i];

                if (want.leaf == 0x80000007 && !itsc)
                    want.reg[EDX] &= ~(1u << XEN_X86_FEATURE_ITSC % 32);
                CU_ASSERT_EQUAL(memcmp(&want, &d->cpu_policy->row[i], sizeof(want)), 0);
            }
            CU_ASSERT_EQUAL(d->cpu_policy->arch_caps, cpu_policy_of(NULL)->arch_caps);
            halt();
        }
}

/* cpuid= and, of Xen before 4.14, a stream without policy */
static void test_the_library_changes_a_policy(void)
{
    struct xc_xend_cpuid x[] = {
        { .leaf = 1, .subleaf = NO, .policy = { NULL, NULL, "xxx0xxxxxxxxxxxxxxxxxxxxxxxxxxxx" } },
        { .leaf = NO, .subleaf = NO },
    };

    boot(INTEL);
    CU_ASSERT_TRUE(HAS(1, 0, ECX, AVX));
    CU_ASSERT_EQUAL(xc_cpuid_apply_policy(xch, 1, false, NULL, 0, true, false, false, x, NULL), 0);
    CU_ASSERT_FALSE(HAS(1, 0, ECX, AVX));
    x[0].policy[2] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxx1xxx"; /* MONITOR: not for PV */
    CU_ASSERT_NOT_EQUAL(xc_cpuid_apply_policy(xch, 1, false, NULL, 0, true, false, false, x, NULL),
                        0);
    CU_ASSERT_EQUAL(last_set.err_leaf, 1);
    CU_ASSERT_EQUAL(xc_cpuid_apply_policy(xch, 1, true, NULL, 0, true, false, false, NULL, NULL),
                    0);
    CU_ASSERT_FALSE(HAS(7, 0, EBX, RTM));
    halt();
}

/* xl save writes these records, xl restore sets them: as read, and in the library's own order. */
static void test_the_library_saves_and_restores(void)
{
    static xen_cpuid_leaf_t saved[256];
    static xen_msr_entry_t saved_msrs[16];
    uint32_t nr = 0, nr_msrs = 0, err_leaf, err_sub, err_msr;
    xc_cpu_policy_t *p = xc_cpu_policy_init(), *host = xc_cpu_policy_init();

    for (enum machine m = 0; m < NR_MACHINES; m++) {
        boot(m);
        CU_ASSERT_EQUAL(xc_cpu_policy_get_size(xch, &nr, &nr_msrs), 0);
        CU_ASSERT_TRUE_FATAL(nr <= 256 && nr_msrs <= 16);
        CU_ASSERT_EQUAL(xc_cpuid_apply_policy(xch, 1, false, NULL, 0, true, false, false, NULL,
                                              NULL),
                        0);
        CU_ASSERT_EQUAL(xc_cpu_policy_get_domain(xch, 1, p), 0);
        CU_ASSERT_EQUAL(xc_cpu_policy_serialise(xch, p, saved, &nr, saved_msrs, &nr_msrs), 0);
        halt();
        boot(m);
        CU_ASSERT_EQUAL(xc_set_domain_cpu_policy(xch, 1, nr, saved, nr_msrs, saved_msrs, &err_leaf,
                                                 &err_sub, &err_msr),
                        0);
        CU_ASSERT_FALSE(HAS(0x80000007, 0, EDX, ITSC));
        CU_ASSERT_EQUAL(xc_cpu_policy_set_domain(xch, 1, p), 0);
        CU_ASSERT_EQUAL(xc_cpu_policy_get_system(xch, XEN_SYSCTL_cpu_policy_host, host), 0);
        CU_ASSERT_TRUE(xc_cpu_policy_is_compatible(xch, host, p));
        CU_ASSERT_EQUAL(xc_cpu_policy_get_system(xch, XEN_SYSCTL_cpu_policy_pv_max, host), 0);
        CU_ASSERT_TRUE(xc_cpu_policy_is_compatible(xch, host, p));
        CU_ASSERT_NOT_EQUAL(xc_cpu_policy_get_system(xch, XEN_SYSCTL_cpu_policy_hvm_max, host), 0);
        CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
        halt();
    }
    xc_cpu_policy_destroy(p);
    xc_cpu_policy_destroy(host);
}

static void test_featuresets(void)
{
    uint32_t fs[NR_FEATURE_WORDS + 2], nr = ARRAY_SIZE(fs);
    struct xen_sysctl s = { .u.cpu_featureset.index = 6 };

    boot(INTEL);
    CU_ASSERT_EQUAL(xc_get_cpu_featureset(xch, XEN_SYSCTL_cpu_featureset_pv, &nr, fs), 0);
    CU_ASSERT_EQUAL(nr, NR_FEATURE_WORDS);
    CU_ASSERT_TRUE(nr <= xc_get_cpu_featureset_size());
    CU_ASSERT_EQUAL(fs[0], leaf(1, 0, EDX));
    CU_ASSERT_EQUAL(fs[9], leaf(7, 0, EDX));
    CU_ASSERT_EQUAL((uint64_t)fs[17] << 32 | fs[16], cpu_policy_of(NULL)->arch_caps);
    nr = ARRAY_SIZE(fs);
    CU_ASSERT_EQUAL(xc_get_cpu_featureset(xch, XEN_SYSCTL_cpu_featureset_host, &nr, fs), 0);
    CU_ASSERT_TRUE(fs[0] >> 28 & 1); /* HTT, which is the machine's */
    nr = 3;
    CU_ASSERT_NOT_EQUAL(xc_get_cpu_featureset(xch, XEN_SYSCTL_cpu_featureset_raw, &nr, fs), 0);
    CU_ASSERT_EQUAL(errno, ENOBUFS);
    nr = ARRAY_SIZE(fs);
    CU_ASSERT_NOT_EQUAL(xc_get_cpu_featureset(xch, XEN_SYSCTL_cpu_featureset_hvm, &nr, fs), 0);
    CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
    set_xen_guest_handle_raw(s.u.cpu_featureset.features, fs);
    CU_ASSERT_EQUAL(sysctl_get_cpu_featureset(&s), -EINVAL);
    memset(&s, 0, sizeof(s));
    CU_ASSERT_EQUAL(sysctl_get_cpu_featureset(&s), 0);
    CU_ASSERT_EQUAL(s.u.cpu_featureset.nr_features, NR_FEATURE_WORDS);
    s.u.cpu_policy.index = 6;
    CU_ASSERT_EQUAL(sysctl_get_cpu_policy(&s), -EINVAL);
    memset(&s, 0, sizeof(s));
    s.u.cpu_policy._rsvd = 1;
    CU_ASSERT_EQUAL(sysctl_get_cpu_policy(&s), -EINVAL);
    halt();
}

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    xch = xc_interface_open(NULL, NULL, XC_OPENFLAG_DUMMY);
    if (xch == NULL)
        return 1;
    s = CU_add_suite("cpu_policy", NULL, NULL);
    CU_ADD_TEST(s, test_a_policy_comes_back_and_can_be_set);
    CU_ADD_TEST(s, test_sizes_and_buffers);
    CU_ADD_TEST(s, test_no_feature_is_added);
    CU_ADD_TEST(s, test_what_tools_take_from_the_machine_is_dropped);
    CU_ADD_TEST(s, test_features_are_taken_away);
    CU_ADD_TEST(s, test_limits_and_vendor);
    CU_ADD_TEST(s, test_msr_policy);
    CU_ADD_TEST(s, test_hypervisor_leaves_are_limited);
    CU_ADD_TEST(s, test_random_policies_never_add);
    CU_ADD_TEST(s, test_the_library_makes_a_policy);
    CU_ADD_TEST(s, test_the_library_changes_a_policy);
    CU_ADD_TEST(s, test_the_library_saves_and_restores);
    CU_ADD_TEST(s, test_featuresets);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    xc_interface_close(xch);
    fake_ram_create(1);
    return CU_get_number_of_failures() != 0;
}
