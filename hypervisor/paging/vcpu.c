/* What a vCPU holds: its roots, GDT and LDT. And the walk through its tables; and a domain's end. */
#include "memory/heap.h"
#include "paging/internal.h"

#define DESCS_PER_FRAME 512u
#define LDT_MAX_ENTRIES 8192u

/* m 0: no root. */
static int set_root(struct vcpu *v, mfn_t m, uint64_t *root)
{
    struct domain *d = v->domain;
    uint64_t old;
    int rc;

    spin_lock(&d->mmu_lock);
    rc = mfn_x(m) ? tables_drain_locked(d) : 0; /* letting go never fails */
    if (rc == 0 && mfn_x(m))
        rc = READ_ONCE(d->is_dying) ? -EINVAL : table_get(d, m, PGT_L4);
    if (rc == 0) {
        old = *root;
        *root = mfn_x(m) << PAGE_SHIFT;
        /* else no CPU has it loaded now; leaves the old one before that may become something else */
        if (root == &v->arch.cr3_kernel || !v->arch.kernel_mode)
            arch_vcpu_roots_changed(v);
        if (old)
            table_put(d, mfn_to_page(_mfn(old >> PAGE_SHIFT)));
    }
    spin_unlock(&d->mmu_lock);
    return rc;
}

int vcpu_set_root(struct vcpu *v, mfn_t m, bool user)
{
    if (mfn_x(m) == 0 && !user)
        return -EINVAL;
    return set_root(v, m, user ? &v->arch.cr3_user : &v->arch.cr3_kernel);
}

void vcpu_drop_roots(struct vcpu *v)
{
    (void)set_root(v, _mfn(0), &v->arch.cr3_user);
    (void)set_root(v, _mfn(0), &v->arch.cr3_kernel);
}

/* ---- descriptor tables ---- */

static mfn_t mapped_frame(const struct vcpu *v, uint64_t va)
{
    const pte_t *p = walk_l1(v->arch.cr3_kernel, va);

    return p && (*p & PTE_P) ? _mfn(pte_mfn(*p)) : INVALID_MFN;
}

/*
 * Replace v's LDT by what is mapped at va, or its GDT by gfns. Only the vCPU itself does so,
 * or whoever made sure that it does not run. Xen looks at an LDT page when it is first used; we do so
 * now. A page that is not there, or that cannot hold descriptors, is no error either way: the guest's
 * use of it faults.
 */
static int desc_frames_set(struct vcpu *v, bool ldt, const uint64_t *gfns, uint64_t va, uint32_t nr)
{
    uint32_t nr_frames = ldt ? ARRAY_SIZE(v->arch.ldt_frames) : ARRAY_SIZE(v->arch.gdt_frames);
    mfn_t *frames = ldt ? v->arch.ldt_frames : v->arch.gdt_frames;
    mfn_t new[NR_LDT_FRAMES], old[NR_LDT_FRAMES], *drop = new;
    struct domain *d = v->domain;
    int rc = 0;

    memset(new, 0xff, sizeof(new)); /* INVALID_MFN */
    spin_lock(&d->mmu_lock);
    if (nr) /* letting go never fails */
        rc = READ_ONCE(d->is_dying) ? -EINVAL : tables_drain_locked(d);
    for (uint32_t i = 0; rc == 0 && i * DESCS_PER_FRAME < nr; i++) {
        mfn_t m = ldt ? mapped_frame(v, va + i * PAGE_SIZE) : gfn_to_mfn(d, _gfn(gfns[i]));

        rc = table_get(d, m, PGT_DESC);
        if (rc == 0)
            new[i] = m;
        else if (ldt && rc != -ERESTART)
            rc = tables_drain_locked(d); /* else it is still dead when the next page is the same */
    }
    if (rc == 0) {
        memcpy(old, frames, nr_frames * sizeof(*old));
        memcpy(frames, new, nr_frames * sizeof(*new));
        drop = old;
        *(ldt ? &v->arch.nr_ldt_ents : &v->arch.nr_gdt_ents) = nr;
        v->arch.ldt_base = ldt ? va : v->arch.ldt_base;
        (ldt ? arch_vcpu_ldt_changed : arch_vcpu_gdt_changed)(v);
    }
    for (uint32_t i = 0; i < nr_frames; i++)
        if (mfn_x(drop[i]) != mfn_x(INVALID_MFN))
            table_put(d, mfn_to_page(drop[i]));
    (void)tables_drain_locked(d);
    spin_unlock(&d->mmu_lock);
    return rc;
}

int vcpu_set_gdt(struct vcpu *v, const uint64_t *frames, unsigned int nr_ents)
{
    return nr_ents > MAX_GDT_ENTRIES ? -EINVAL : desc_frames_set(v, false, frames, 0, nr_ents);
}

int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int nr_ents)
{
    if (nr_ents > LDT_MAX_ENTRIES || (nr_ents && ((va & ~PAGE_MASK) || !guest_va_ok(va))))
        return -EINVAL;
    return desc_frames_set(v, true, NULL, va, nr_ents);
}

int desc_update(struct domain *d, uint64_t maddr, uint64_t desc)
{
    mfn_t m = gfn_to_mfn(d, _gfn(maddr >> PAGE_SHIFT));
    uint64_t *p = maddr_to_virt(maddr);
    struct page_info *pg = mfn_to_page(m);
    int rc;

    if (maddr % sizeof(desc) || !desc_fix(&desc) || !page_get(m, d))
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    rc = tables_drain_locked(d);
    if (rc == 0 && !IS_VALID_AS(atomic_load(&pg->type_info), PGT_DESC)) {
        rc = plain_write(d, pg, p, desc);
    } else if (rc == 0) {
        WRITE_ONCE(*p, desc);
        page_mark_dirty(d, m);
    }
    spin_unlock(&d->mmu_lock);
    page_put(pg);
    return rc;
}

/* ---- page faults ---- */

int paging_emulated_write(struct vcpu *v, const struct page_info *pg, pte_t *p, pte_t new,
                          pte_t *expect)
{
    struct domain *d = v->domain;
    uint64_t key = d->page_key;
    int rc = -EAGAIN; /* if it is no table of the domain's any more */

    spin_lock(&d->mmu_lock);
    if (unlikely(tables_drain_locked(d)))
        rc = -ERESTART;
    else if (likely(is_table_of(pg, d, PGT_L1)))
        rc = expect ? l1_update(d, d, key, p, new, PTE_CMPXCHG, expect)
                    : l1_update(d, d, key, p, new, PTE_SET, NULL);
    spin_unlock(&d->mmu_lock);
    return rc;
}

/* ---- the end of a domain ---- */

int paging_relinquish(struct domain *d)
{
    unsigned int n = 0;
    struct vcpu *v;
    int rc;
    mfn_t m;

    /* who found it alive is done with its tables; nobody begins any more */
    spin_lock(&d->mmu_lock);
    spin_unlock(&d->mmu_lock);
    for_each_vcpu (d, v) {
        vcpu_drop_gdt(v);
        (void)vcpu_set_ldt(v, 0, 0);
        vcpu_drop_roots(v);
    }
    while ((rc = tables_drain(d)) == 0 && mfn_x(m = domain_walk_pages(d)) != mfn_x(INVALID_MFN)) {
        if (atomic_load(&mfn_to_page(m)->type_info) & (PGT_PINNED | PGT_PARTIAL))
            (void)paging_unpin(d, m);
        if (++n % 64 == 0 && hypercall_preempt_check())
            return -ERESTART;
    }
    return rc;
}
