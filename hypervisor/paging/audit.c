/*
 * The invariants of types.c, recomputed from nothing but the contents of tables and what domains and
 * vCPUs say that they hold. For the debug key and the tests; nobody else changes anything meanwhile.
 */
#include "memory/heap.h"
#include "paging/internal.h"

struct expected {
    uint32_t refs, types;
};

static struct expected *want, *reserved; /* by frame; of one audit at a time */
static unsigned int nr_bad;
void (*paging_audit_others)(paging_held_fn *fn);

static void complain_if(bool bad, const char *what, uint64_t mfn)
{
    if (bad && nr_bad++ < 20)
        frame_complain(what, _mfn(mfn));
}

/* A reference that the contents of frame `from`, or a vCPU (0), explain. */
static void expect(mfn_t m, enum page_type type, uint64_t from)
{
    complain_if(!mfn_valid(m), "names what is no RAM", from);
    if (!mfn_valid(m))
        return;
    want[mfn_x(m)].refs += !(type >= PGT_L1 && type <= PGT_DESC); /* tables hold themselves */
    want[mfn_x(m)].types += type != PGT_NONE;
    complain_if(type != PGT_NONE && !IS_VALID_AS(mfn_to_page(m)->type_info, type),
                "used as another type than it is", mfn_x(m));
}

static void audit_entry(enum page_type type, unsigned int i, pte_t e, uint64_t mfn)
{
    if (!(e & PTE_P) || is_hv_slot(type, i))
        return;
    complain_if(!(e & PTE_US) || (e & (type == PGT_L1 ? L1E_BAD | PTE_G : UPPER_BAD)),
                "bad entry in this table", mfn);
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
    if (!(x & (PGT_VALID | PGT_PARTIAL | PGT_DEAD)) || type == PGT_WRITABLE || x == TYPE_READ_ONLY)
        return;
    want[mfn].refs++;
    complain_if((x & PGT_VALID) && (x & ~PGT_PINNED) - PGT_COUNT(x) !=
                                       TABLE_OF(PGC_OWNER(frame_table[mfn].count_info), type),
                "not the table of the frame's owner", mfn);
    for (unsigned int i = 0; i < n; i++) {
        uint64_t desc = t[i];

        if (type != PGT_DESC)
            audit_entry(type, i, t[i], mfn);
        else
            complain_if(!desc_fix(&desc) || desc != t[i], "bad descriptor in this table", mfn);
    }
}

/* What a vCPU holds, if anything. */
static void expect_held(mfn_t m, enum page_type type)
{
    if (mfn_x(m) != 0 && mfn_x(m) != mfn_x(INVALID_MFN))
        expect(m, type, 0);
}

static void audit_vcpu(const struct vcpu *v)
{
    const struct arch_vcpu *a = &v->arch;

    expect_held(_mfn(a->cr3_kernel >> PAGE_SHIFT), PGT_L4);
    expect_held(_mfn(a->cr3_user >> PAGE_SHIFT), PGT_L4);
    for (unsigned int i = 0; i < ARRAY_SIZE(a->gdt_frames); i++)
        expect_held(a->gdt_frames[i], PGT_DESC);
    for (unsigned int i = 0; i < ARRAY_SIZE(a->ldt_frames); i++)
        expect_held(a->ldt_frames[i], PGT_DESC);
    expect_held(v->info_mfn, PGT_WRITABLE);
}

static void audit_expectations(uint64_t mfn)
{
    uint64_t c = frame_table[mfn].count_info, x = frame_table[mfn].type_info;

    if (c & PGC_HV) { /* its own references are not known here */
        /* what was shared with a domain that is gone, others may still map */
        complain_if(PGC_COUNT(c) < want[mfn].refs ||
                        (PGC_OWNER(c) == DOMID_INVALID && want[mfn].refs &&
                         PGC_COUNT(c) != want[mfn].refs),
                    "references on a frame of the hypervisor's", mfn);
        complain_if((x & PGT_IN_USE) && PGT_TYPE(x) != PGT_WRITABLE && x != TYPE_READ_ONLY,
                    "a frame of the hypervisor's is a table", mfn);
    } else {
        complain_if(PGC_COUNT(c) != want[mfn].refs + !!(c & PGC_ALLOCATED),
                    "references do not add up", mfn);
    }
    complain_if((x & PGT_VALID ? PGT_COUNT(x) : 0) != want[mfn].types + (x == TYPE_READ_ONLY),
                "type references do not add up", mfn);
    complain_if((x & PGT_BUSY) || ((x & PGT_VALID) && !PGT_COUNT(x)),
                "in a state that does not last", mfn);
}

void paging_audit_reserve(void) { reserved = xmalloc_pages(max_mfn * sizeof(*want)); }

unsigned int paging_audit(void)
{
    struct vcpu *v;

    nr_bad = 0;
    want = reserved ? memset(reserved, 0, max_mfn * sizeof(*want))
                    : xmalloc_pages(max_mfn * sizeof(*want));
    if (want == NULL) {
        print(LOG_ERR, "paging audit: no memory for it");
        return 1;
    }
    for (uint64_t m = 1; m < max_mfn; m++)
        if (mfn_valid(_mfn(m)) && PGC_COUNT(frame_table[m].count_info))
            audit_frame(m, frame_table[m].type_info);
    for (struct domain *d = domain_list; d; d = d->next) { /* all stand still: no lock */
        for_each_vcpu (d, v)
            audit_vcpu(v);
        for (uint32_t i = 0; i < d->nr_event_frames; i++)
            expect(d->event_frames[i], PGT_WRITABLE, 0);
    }
    if (paging_audit_others)
        paging_audit_others(expect);
    for (uint64_t m = 1; m < max_mfn; m++)
        if (mfn_valid(_mfn(m)))
            audit_expectations(m);
    if (want != reserved)
        xfree_pages(want, max_mfn * sizeof(*want));
    return nr_bad;
}
