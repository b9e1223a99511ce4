/*
 * CPU policies in and out, as leaves of CPUID and MSRs. What may be in them is emulate/policy.c's. A
 * domain's own is made when it is first set, and anew when it is set again.
 */
#include "hypercall/domctl.h"

#include <xen/arch-x86/cpufeatureset.h>

#include "domain/domain.h"
#include "emulate/emulate.h"
#include "memory/heap.h"

#define MAX_LEAVES \
    128u /* that a caller may give; what tools make of a policy of theirs is not more */
#define NR_POLICY_MSRS 2u
#define ARCH_CAPS_BIT (1u << XEN_X86_FEATURE_ARCH_CAPS % 32)

/* The MSRs of a policy, or of the machine (NULL). */
static void policy_msrs(const struct cpu_policy *p, xen_msr_entry_t msrs[NR_POLICY_MSRS])
{
    struct policy_row feat;

    msrs[0] = (xen_msr_entry_t){ .idx = MSR_PLATFORM_INFO }; /* no CPUID faulting */
    msrs[1] = (xen_msr_entry_t){ .idx = MSR_ARCH_CAPS, .val = p ? p->arch_caps : 0 };
    if (p == NULL && cpu_policy_row(NULL, 7, &feat) && (feat.reg[3] & ARCH_CAPS_BIT) &&
        arch_rdmsr_safe(MSR_ARCH_CAPS, &msrs[1].val))
        msrs[1].val = 0;
}

/* No room asked for: how much there may be. 0, -ENOBUFS, -EFAULT. */
static long leaves_out(const struct cpu_policy *p, guest_va_t to, uint32_t *nr)
{
    struct policy_row row;
    uint32_t n = 0;

    if (gva_x(to) == 0) {
        *nr = MAX_LEAVES;
        return 0;
    }
    for (unsigned int i = 0; i < NR_POLICY_ROWS; i++) {
        if (!cpu_policy_row(p, i, &row))
            continue;
        if (n == *nr)
            return -ENOBUFS;
        if (copy_to_guest(gva_index(to, n++, sizeof(row)), &row, sizeof(row)))
            return -EFAULT;
    }
    *nr = n;
    return 0;
}

static long msrs_out(const struct cpu_policy *p, guest_va_t to, uint32_t *nr)
{
    xen_msr_entry_t msrs[NR_POLICY_MSRS];

    if (gva_x(to) && *nr < NR_POLICY_MSRS)
        return -ENOBUFS;
    *nr = NR_POLICY_MSRS;
    policy_msrs(p, msrs);
    return gva_x(to) ? copy_to_guest(to, msrs, sizeof(msrs)) : 0;
}

/* ---- domctl ---- */

/** get_cpu_policy: leaves, then MSRs; each without a buffer: how many at most. -ENOBUFS, -EFAULT. */
long domctl_get_cpu_policy(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *c = &op->u.cpu_policy;
    const struct cpu_policy *p = cpu_policy_of(d);

    return leaves_out(p, GVA_OF(c->leaves), &c->nr_leaves)
               ?: msrs_out(p, GVA_OF(c->msrs), &c->nr_msrs);
}

/* -ERANGE: no policy has such a leaf. */
static long leaf_in(struct cpu_policy *p, const struct policy_row *in)
{
    for (unsigned int i = 0; i < NR_POLICY_ROWS; i++)
        if (p->row[i].leaf == in->leaf && p->row[i].subleaf == in->subleaf) {
            p->row[i] = *in;
            return 0;
        }
    return -ERANGE;
}

static long msr_in(struct cpu_policy *p, const xen_msr_entry_t *in)
{
    if (in->flags || (in->idx == MSR_PLATFORM_INFO && in->val))
        return -EINVAL;
    if (in->idx == MSR_ARCH_CAPS)
        p->arch_caps = in->val;
    return in->idx == MSR_PLATFORM_INFO || in->idx == MSR_ARCH_CAPS ? 0 : -ERANGE;
}

static long policy_in(struct cpu_policy *p, struct xen_domctl_cpu_policy *c)
{
    struct policy_row row;
    xen_msr_entry_t msr;
    unsigned int bad;
    long rc = 0;

    for (uint32_t i = 0; i < c->nr_leaves; i++) {
        if (copy_from_guest(&row, gva_index(GVA_OF(c->leaves), i, sizeof(row)), sizeof(row)))
            return -EFAULT;
        rc = leaf_in(p, &row);
        if (rc) {
            c->err_leaf = row.leaf;
            c->err_subleaf = row.subleaf;
            return rc;
        }
    }
    for (uint32_t i = 0; i < c->nr_msrs; i++) {
        if (copy_from_guest(&msr, gva_index(GVA_OF(c->msrs), i, sizeof(msr)), sizeof(msr)))
            return -EFAULT;
        rc = msr_in(p, &msr);
        if (rc) {
            c->err_msr = msr.idx;
            return rc;
        }
    }
    rc = cpu_policy_check(p, &bad);
    if (rc && bad == NR_POLICY_ROWS) {
        c->err_msr = MSR_ARCH_CAPS;
    } else if (rc) {
        c->err_leaf = p->row[bad].leaf;
        c->err_subleaf = p->row[bad].subleaf;
    }
    return rc;
}

/**
 * set_cpu_policy: replace these leaves and MSRs of d's policy.
 *   err_leaf, err_subleaf, err_msr  OUT  what is wrong with it; else ~0
 * -EINVAL the caller's own domain, or more than we offer; -ERANGE no such leaf or MSR; -E2BIG; -EFAULT;
 *   -ENOMEM; -EEXIST d has run. Nothing is changed then.
 */
long domctl_set_cpu_policy(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *c = &op->u.cpu_policy;
    struct cpu_policy *p, *old = NULL;
    long rc;

    c->err_leaf = c->err_subleaf = c->err_msr = ~0u;
    if (d == current->domain)
        return -EINVAL;
    if (c->nr_leaves > MAX_LEAVES || c->nr_msrs > NR_POLICY_MSRS)
        return -E2BIG;
    p = xmalloc(sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    *p = *cpu_policy_of(d);
    rc = policy_in(p, c);
    domain_pause(d);
    if (rc == 0 && domain_has_run(d))
        rc = -EEXIST;
    if (rc == 0) {
        old = d->cpu_policy;
        d->cpu_policy = p;
    }
    domain_unpause(d);
    xfree(rc ? p : old);
    return rc;
}

/* ---- sysctl ---- */

/* By XEN_SYSCTL_cpu_policy_* or _cpu_featureset_*. 0, -EINVAL, -EOPNOTSUPP. */
static long policy_by_index(uint32_t index, const struct cpu_policy **p)
{
    *p = index <= XEN_SYSCTL_cpu_policy_host ? NULL : cpu_policy_of(NULL);
    if (index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    return index == XEN_SYSCTL_cpu_policy_hvm_max || index == XEN_SYSCTL_cpu_policy_hvm_default
               ? -EOPNOTSUPP
               : 0;
}
_Static_assert((int)XEN_SYSCTL_cpu_policy_host == XEN_SYSCTL_cpu_featureset_host &&
                   XEN_SYSCTL_cpu_policy_hvm_max == XEN_SYSCTL_cpu_featureset_hvm &&
                   XEN_SYSCTL_cpu_policy_hvm_default == XEN_SYSCTL_cpu_featureset_hvm_max,
               "ABI: policies and featuresets, HVM's at the same places");

/** XEN_SYSCTL_get_cpu_policy: -EINVAL index; -EOPNOTSUPP HVM's; -ENOBUFS; -EFAULT. */
long sysctl_get_cpu_policy(struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *c = &op->u.cpu_policy;
    const struct cpu_policy *p;

    return (c->_rsvd ? -EINVAL : policy_by_index(c->index, &p))
               ?: leaves_out(p, GVA_OF(c->leaves), &c->nr_leaves)
               ?: msrs_out(p, GVA_OF(c->msrs), &c->nr_msrs);
}

void cpu_featureset(const struct cpu_policy *p, uint32_t words[NR_FEATURE_WORDS])
{
    static const struct {
        uint32_t leaf, subleaf, reg;
    } w[NR_FEATURE_WORDS] = {
        { 1, ~0u, 3 },
        { 1, ~0u, 2 },
        { 0x80000001, ~0u, 3 },
        { 0x80000001, ~0u, 2 },
        { 0xd, 1, 0 },
        { 7, 0, 1 },
        { 7, 0, 2 },
        { 0x80000007, ~0u, 3 },
        { 0x80000008, ~0u, 1 },
        { 7, 0, 3 },
        { 7, 1, 0 },
        { 0x80000021, ~0u, 0 },
        { 7, 1, 1 },
        { 7, 2, 3 },
        { 7, 1, 2 },
        { 7, 1, 3 },
        { ~0u, 0, 0 },
        { ~0u, 0, 0 },
        { 0x80000021, ~0u, 2 }, /* ~0: ARCH_CAPABILITIES */
    };
    xen_msr_entry_t msrs[NR_POLICY_MSRS];
    struct policy_row row;

    memset(words, 0, NR_FEATURE_WORDS * sizeof(*words));
    for (unsigned int i = 0; i < NR_POLICY_ROWS; i++)
        for (unsigned int n = 0; cpu_policy_row(p, i, &row) && n < NR_FEATURE_WORDS; n++)
            if (row.leaf == w[n].leaf && row.subleaf == w[n].subleaf)
                words[n] = row.reg[w[n].reg];
    policy_msrs(p, msrs);
    words[16] = (uint32_t)msrs[1].val;
    words[17] = (uint32_t)(msrs[1].val >> 32);
}

/**
 * XEN_SYSCTL_get_cpu_featureset: as many words as there is room for; without a buffer, how many there are.
 * -ENOBUFS not all of them; -EINVAL index; -EOPNOTSUPP HVM's; -EFAULT.
 */
long sysctl_get_cpu_featureset(struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    uint32_t words[NR_FEATURE_WORDS], nr = MIN(f->nr_features, NR_FEATURE_WORDS);
    const struct cpu_policy *p;
    long rc;

    if (GVA_OF(f->features).v == 0) {
        f->nr_features = NR_FEATURE_WORDS;
        return 0;
    }
    rc = policy_by_index(f->index, &p);
    if (rc)
        return rc;
    cpu_featureset(p, words);
    f->nr_features = nr;
    if (copy_to_guest(GVA_OF(f->features), words, nr * sizeof(*words)))
        return -EFAULT;
    return nr < NR_FEATURE_WORDS ? -ENOBUFS : 0;
}
