/*
 * The invariants of types.c, recomputed from nothing but the contents of tables and what domains and
 * vCPUs say that they hold. For the debug key and the tests; nobody else changes anything meanwhile.
 */
#include "lib/print.h"
#include "memory/heap.h"
#include "paging/internal.h"

struct expected {
    uint32_t refs, types;
};

static struct expected *want; /* by frame; of one audit at a time */
static unsigned int nr_bad;

static void complain(const char *what, uint64_t mfn)
{
    if (nr_bad++ < 20)
        print(LOG_ERR, "paging audit: %s: frame %llx count_info %016llx type_info %016llx", what,
              (unsigned long long)mfn, (unsigned long long)frame_table[mfn].count_info,
              (unsigned long long)frame_table[mfn].type_info);
}

static void expect(mfn_t m, enum page_type type)
{
    if (!mfn_valid(m)) {
        nr_bad++;
        print(LOG_ERR, "paging audit: reference to %llx, which is no RAM",
              (unsigned long long)mfn_x(m));
        return;
    }
    want[mfn_x(m)].refs++;
    if (type == PGT_NONE)
        return;
    want[mfn_x(m)].types++;
    if (!IS_VALID_AS(mfn_to_page(m)->type_info, type))
        complain("used as another type than it is", mfn_x(m));
}

static void audit_entry(enum page_type type, unsigned int i, pte_t e, uint64_t mfn)
{
    if (!(e & PTE_P) || (type == PGT_L4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT))
        return;
    if (!(e & PTE_US) || (e & (type == PGT_L1 ? L1E_BAD | PTE_G : UPPER_BAD)))
        complain("bad entry in this table", mfn);
    if (type != PGT_L1)
        expect(_mfn(pte_mfn(e)), type - 1);
    else if (mfn_valid(_mfn(pte_mfn(e))))
        expect(_mfn(pte_mfn(e)), e & PTE_RW ? PGT_WRITABLE : PGT_NONE);
}

static void audit_table(uint64_t mfn, uint64_t x)
{
    enum page_type type = PGT_TYPE(x);
    unsigned int n = x & PGT_VALID ? PTES_PER_TABLE : PGT_DONE(x);
    pte_t *t = mfn_to_virt(_mfn(mfn));

    if (x & (PGT_PARTIAL | PGT_DEAD))
        want[mfn].refs++;
    if (type == PGT_DESC)
        for (unsigned int i = 0; (x & PGT_VALID) && i < PTES_PER_TABLE; i++) {
            uint64_t desc = t[i];

            if (!desc_fix(&desc) || desc != t[i])
                complain("bad descriptor in this table", mfn);
        }
    else
        for (unsigned int i = 0; i < n; i++)
            audit_entry(type, i, t[i], mfn);
}

static void audit_vcpu(const struct vcpu *v)
{
    const struct arch_vcpu *a = &v->arch;

    if (a->cr3_kernel)
        expect(_mfn(a->cr3_kernel >> PAGE_SHIFT), PGT_L4);
    if (a->cr3_user)
        expect(_mfn(a->cr3_user >> PAGE_SHIFT), PGT_L4);
    for (unsigned int i = 0; i < DIV_ROUND_UP(a->nr_gdt_ents, 512u); i++)
        expect(a->gdt_frames[i], PGT_DESC);
    for (unsigned int i = 0; i < DIV_ROUND_UP(a->nr_ldt_ents, 512u); i++)
        if (mfn_x(a->ldt_frames[i]) != mfn_x(INVALID_MFN))
            expect(a->ldt_frames[i], PGT_DESC);
    if (mfn_x(v->info_mfn) != mfn_x(INVALID_MFN))
        expect(v->info_mfn, PGT_WRITABLE);
}

static void audit_expectations(uint64_t mfn)
{
    uint64_t c = frame_table[mfn].count_info, x = frame_table[mfn].type_info;

    if (c & PGC_HV) { /* its own references are not known here */
        if (PGC_COUNT(c) < want[mfn].refs || (PGC_OWNER(c) == DOMID_INVALID && want[mfn].refs))
            complain("references on a frame of the hypervisor's", mfn);
        if ((x & PGT_IN_USE) && PGT_TYPE(x) != PGT_WRITABLE)
            complain("a frame of the hypervisor's is a table", mfn);
    } else if (PGC_COUNT(c) != want[mfn].refs + !!(c & PGC_ALLOCATED)) {
        complain("references do not add up", mfn);
    }
    if ((x & PGT_VALID ? PGT_COUNT(x) : 0) != want[mfn].types)
        complain("type references do not add up", mfn);
    if ((x & PGT_BUSY) || ((x & PGT_VALID) && !PGT_COUNT(x)))
        complain("in a state that does not last", mfn);
}

unsigned int paging_audit(void)
{
    size_t bytes = max_mfn * sizeof(*want);
    struct vcpu *v;

    want = xmalloc_pages(bytes);
    nr_bad = 0;
    if (want == NULL) {
        print(LOG_ERR, "paging audit: no memory");
        return 0;
    }
    for (uint64_t m = 1; m < max_mfn; m++) {
        uint64_t x;

        if (!mfn_valid(_mfn(m)) || !PGC_COUNT(frame_table[m].count_info))
            continue;
        x = frame_table[m].type_info;
        if ((x & (PGT_VALID | PGT_PARTIAL | PGT_DEAD)) && PGT_TYPE(x) <= PGT_DESC)
            audit_table(m, x);
        if (x & PGT_PINNED)
            expect(_mfn(m), PGT_TYPE(x));
    }
    for (struct domain *d = domain_list; d; d = d->next) /* all stand still: no lock */
        for_each_vcpu (d, v)
            audit_vcpu(v);
    for (uint64_t m = 1; m < max_mfn; m++)
        if (mfn_valid(_mfn(m)))
            audit_expectations(m);
    xfree_pages(want, bytes);
    return nr_bad;
}
