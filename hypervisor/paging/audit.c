/*
 * The invariants of types.c, recomputed from nothing but the contents of tables and what domains and
 * vCPUs say that they hold. For the debug key and the tests; nobody else changes anything meanwhile.
 */
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
        frame_complain(what, _mfn(mfn));
}

/* A reference that the contents of frame `from`, or a vCPU (0), explain. */
static void expect(mfn_t m, enum page_type type, uint64_t from)
{
    if (!mfn_valid(m)) {
        complain("names what is no RAM", from);
        return;
    }
    want[mfn_x(m)].refs++;
    want[mfn_x(m)].types += type != PGT_NONE;
    if (type != PGT_NONE && !IS_VALID_AS(mfn_to_page(m)->type_info, type))
        complain("used as another type than it is", mfn_x(m));
}

static void audit_entry(enum page_type type, unsigned int i, pte_t e, uint64_t mfn)
{
    if (!(e & PTE_P) || is_hv_slot(type, i))
        return;
    if (!(e & PTE_US) || (e & (type == PGT_L1 ? L1E_BAD | PTE_G : UPPER_BAD)))
        complain("bad entry in this table", mfn);
    if (type != PGT_L1)
        expect(_mfn(pte_mfn(e)), type - 1, mfn);
    else if (mfn_valid(_mfn(pte_mfn(e))))
        expect(_mfn(pte_mfn(e)), e & PTE_RW ? PGT_WRITABLE : PGT_NONE, mfn);
}

static void audit_frame(uint64_t mfn, uint64_t x)
{
    enum page_type type = PGT_TYPE(x);
    unsigned int n = x & PGT_VALID ? PTES_PER_TABLE : PGT_DONE(x);
    const pte_t *t = mfn_to_virt(_mfn(mfn));

    if (x & PGT_PINNED)
        expect(_mfn(mfn), type, mfn);
    if (!(x & (PGT_VALID | PGT_PARTIAL | PGT_DEAD)) || type == PGT_WRITABLE)
        return;
    want[mfn].refs += !(x & PGT_VALID);
    for (unsigned int i = 0; i < n; i++) {
        uint64_t desc = t[i];

        if (type != PGT_DESC)
            audit_entry(type, i, t[i], mfn);
        else if (!desc_fix(&desc) || desc != t[i])
            complain("bad descriptor in this table", mfn);
    }
}

static void audit_list(const mfn_t *m, unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        if (mfn_x(m[i]) != mfn_x(INVALID_MFN))
            expect(m[i], PGT_DESC, 0);
}

static void audit_vcpu(const struct vcpu *v)
{
    const struct arch_vcpu *a = &v->arch;

    if (a->cr3_kernel)
        expect(_mfn(a->cr3_kernel >> PAGE_SHIFT), PGT_L4, 0);
    if (a->cr3_user)
        expect(_mfn(a->cr3_user >> PAGE_SHIFT), PGT_L4, 0);
    audit_list(a->gdt_frames, DIV_ROUND_UP(a->nr_gdt_ents, 512u));
    audit_list(a->ldt_frames, DIV_ROUND_UP(a->nr_ldt_ents, 512u));
    if (mfn_x(v->info_mfn) != mfn_x(INVALID_MFN))
        expect(v->info_mfn, PGT_WRITABLE, 0);
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
    struct vcpu *v;

    nr_bad = 0;
    want = xmalloc_pages(max_mfn * sizeof(*want));
    if (want == NULL)
        return 1;
    for (uint64_t m = 1; m < max_mfn; m++)
        if (mfn_valid(_mfn(m)) && PGC_COUNT(frame_table[m].count_info))
            audit_frame(m, frame_table[m].type_info);
    for (struct domain *d = domain_list; d; d = d->next) /* all stand still: no lock */
        for_each_vcpu (d, v)
            audit_vcpu(v);
    for (uint64_t m = 1; m < max_mfn; m++)
        if (mfn_valid(_mfn(m)))
            audit_expectations(m);
    xfree_pages(want, max_mfn * sizeof(*want));
    return nr_bad;
}
