/* What a vCPU holds: its roots, GDT and LDT. And the walk through its tables; and a domain's end. */
#include "paging/internal.h"

#define DESCS_PER_FRAME 512u
#define LDT_MAX_ENTRIES 8192u

static mfn_t root_mfn(uint64_t maddr) { return _mfn(maddr >> PAGE_SHIFT); }

static void root_put_locked(struct vcpu *v, uint64_t *root)
{
    uint64_t old = *root;

    *root = 0;
    if (old)
        table_put(v->domain, mfn_to_page(root_mfn(old)));
}

static int set_root_locked(struct vcpu *v, mfn_t m, uint64_t *root)
{
    struct domain *d = v->domain;
    uint64_t old = *root;
    int rc;

    if (old == 0 || mfn_x(m) != mfn_x(root_mfn(old))) {
        rc = mfn_x(m) ? table_get(d, m, PGT_L4) : 0;
        if (rc)
            return rc;
        *root = mfn_x(m) << PAGE_SHIFT;
    } else {
        old = 0;
    }
    if (root == &v->arch.cr3_kernel || !v->arch.kernel_mode) /* else no CPU has it loaded now */
        arch_vcpu_roots_changed(v); /* leaves the old one before that may become something else */
    if (old)
        table_put(d, mfn_to_page(root_mfn(old)));
    return 0;
}

int vcpu_set_root(struct vcpu *v, mfn_t m, bool user)
{
    struct domain *d = v->domain;
    int rc = 0;

    if (mfn_x(m) == 0 && !user)
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    if (unlikely(d->dead_tables))
        rc = tables_drain_locked(d);
    if (rc == 0)
        rc = set_root_locked(v, m, user ? &v->arch.cr3_user : &v->arch.cr3_kernel);
    spin_unlock(&d->mmu_lock);
    return rc;
}

/* ---- descriptor tables ---- */

static void put_frames(struct domain *d, const mfn_t *frames, unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        if (mfn_x(frames[i]) != mfn_x(INVALID_MFN))
            page_put_type(d, frames[i]);
}

/* Only the vCPU itself changes these, or whoever made sure that it does not run. */
static void gdt_replace(struct vcpu *v, const mfn_t *frames, unsigned int nr_ents)
{
    struct arch_vcpu *a = &v->arch;
    unsigned int nr_old = DIV_ROUND_UP(a->nr_gdt_ents, DESCS_PER_FRAME);
    mfn_t old[ARRAY_SIZE(a->gdt_frames)];

    memcpy(old, a->gdt_frames, sizeof(old));
    for (unsigned int i = 0; i < ARRAY_SIZE(old); i++)
        a->gdt_frames[i] = i < DIV_ROUND_UP(nr_ents, DESCS_PER_FRAME) ? frames[i] : INVALID_MFN;
    a->nr_gdt_ents = nr_ents;
    arch_vcpu_gdt_changed(v);
    put_frames(v->domain, old, nr_old);
}

int vcpu_set_gdt(struct vcpu *v, const uint64_t *frames, unsigned int nr_ents)
{
    struct domain *d = v->domain;
    mfn_t list[ARRAY_SIZE(v->arch.gdt_frames)];
    unsigned int i, n = DIV_ROUND_UP(nr_ents, DESCS_PER_FRAME);
    int rc;

    if (nr_ents > MAX_GDT_ENTRIES)
        return -EINVAL;
    for (i = 0; i < n; i++) {
        list[i] = gfn_to_mfn(d, _gfn(frames[i]));
        rc = page_get_type(d, list[i], PGT_DESC);
        if (rc) {
            put_frames(d, list, i);
            return rc;
        }
    }
    gdt_replace(v, list, nr_ents);
    return 0;
}

void vcpu_drop_gdt(struct vcpu *v) { gdt_replace(v, NULL, 0); }

static void ldt_replace(struct vcpu *v, const mfn_t *frames, uint64_t va, unsigned int nr_ents)
{
    struct arch_vcpu *a = &v->arch;
    unsigned int nr_old = DIV_ROUND_UP(a->nr_ldt_ents, DESCS_PER_FRAME);
    mfn_t old[NR_LDT_FRAMES];

    memcpy(old, a->ldt_frames, sizeof(old));
    for (unsigned int i = 0; i < NR_LDT_FRAMES; i++)
        a->ldt_frames[i] = i < DIV_ROUND_UP(nr_ents, DESCS_PER_FRAME) ? frames[i] : INVALID_MFN;
    a->ldt_base = va;
    a->nr_ldt_ents = nr_ents;
    arch_vcpu_ldt_changed(v);
    put_frames(v->domain, old, nr_old);
}

/*
 * Xen looks at an LDT page when it is first used; we do so now. A page that is not there, or that
 * cannot hold descriptors, is no error either way: the guest's use of it faults.
 */
int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int nr_ents)
{
    struct domain *d = v->domain;
    mfn_t list[NR_LDT_FRAMES];
    int rc = 0;

    if (nr_ents > LDT_MAX_ENTRIES ||
        (nr_ents && ((va & ~PAGE_MASK) || !va_is_canonical(va) || va_is_hv(va))))
        return -EINVAL;
    for (unsigned int i = 0; i < DIV_ROUND_UP(nr_ents, DESCS_PER_FRAME); i++) {
        pte_t *p;

        list[i] = INVALID_MFN;
        spin_lock(&d->mmu_lock);
        rc = tables_drain_locked(d);
        p = walk_l1(v->arch.cr3_kernel, va + i * PAGE_SIZE);
        if (rc == 0 && p && (*p & PTE_P))
            rc = table_get(d, _mfn(pte_mfn(*p)), PGT_DESC);
        if (rc == 0 && p && (*p & PTE_P))
            list[i] = _mfn(pte_mfn(*p));
        spin_unlock(&d->mmu_lock);
        if (rc == -ERESTART) {
            put_frames(d, list, i);
            return rc;
        }
    }
    ldt_replace(v, list, nr_ents ? va : 0, nr_ents);
    return 0;
}

void vcpu_drop_ldt(struct vcpu *v) { ldt_replace(v, NULL, 0, 0); }

int desc_update(struct domain *d, uint64_t maddr, uint64_t desc)
{
    mfn_t m = gfn_to_mfn(d, _gfn(maddr >> PAGE_SHIFT));
    struct page_info *pg = mfn_to_page(m);
    int rc = 0;

    if (maddr % sizeof(desc) || !desc_fix(&desc) || !page_get_inline(m, d->domain_id))
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    if (!IS_VALID_AS(atomic_load(&pg->type_info), PGT_DESC)) {
        if (!type_get_writable(d, pg))
            rc = table_abandon(d, pg) == -ERESTART ? -ERESTART : -EINVAL;
        else
            type_put_writable(pg);
    }
    if (rc == 0) /* a table it cannot become while we hold the lock */
        WRITE_ONCE(*(uint64_t *)maddr_to_virt(maddr), desc);
    spin_unlock(&d->mmu_lock);
    if (rc == 0)
        page_mark_dirty(d, m);
    page_put_inline(pg);
    return rc;
}

/* ---- page faults ---- */

int paging_emulated_write(struct vcpu *v, mfn_t l1_mfn, unsigned int offset, pte_t old, pte_t new,
                          bool cmpxchg, pte_t *seen)
{
    struct domain *d = v->domain;
    int rc = -EINVAL;

    if (offset >= PAGE_SIZE || offset % sizeof(pte_t) || !page_get_inline(l1_mfn, d->domain_id))
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    if (unlikely(d->dead_tables) && tables_drain_locked(d))
        rc = -ERESTART;
    else if (IS_VALID_AS(atomic_load(&mfn_to_page(l1_mfn)->type_info), PGT_L1))
        rc = l1_update(d, d, (pte_t *)((char *)mfn_to_virt(l1_mfn) + offset), new,
                       cmpxchg ? PTE_CMPXCHG : PTE_SET, &old);
    else
        rc = -EAGAIN; /* no table any more */
    spin_unlock(&d->mmu_lock);
    if (rc == 1)
        *seen = old;
    page_put_inline(mfn_to_page(l1_mfn));
    return rc;
}

/* ---- the end of a domain ---- */

static void vcpu_drop_roots(struct vcpu *v)
{
    spin_lock(&v->domain->mmu_lock);
    root_put_locked(v, &v->arch.cr3_user);
    root_put_locked(v, &v->arch.cr3_kernel);
    spin_unlock(&v->domain->mmu_lock);
}

/* Unpin m, or give up what was half validated, if it is d's. */
static void relinquish_frame(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x = atomic_load(&pg->type_info);

    if (!(x & (PGT_PINNED | PGT_PARTIAL)) || !page_get_inline(m, d->domain_id))
        return;
    x = atomic_load(&pg->type_info); /* it is d's from here on, so mmu_lock keeps it */
    if (x & PGT_PARTIAL)
        table_abandon(d, pg);
    if (x & PGT_PINNED) {
        atomic_fetch_and(&pg->type_info, ~PGT_PINNED);
        table_put(d, pg);
    }
    page_put_inline(pg);
}

int paging_relinquish(struct domain *d)
{
    struct vcpu *v;
    int rc;

    for_each_vcpu (d, v) {
        vcpu_drop_gdt(v);
        vcpu_drop_ldt(v);
        vcpu_drop_roots(v);
    }
    spin_lock(&d->mmu_lock);
    rc = tables_drain_locked(d);
    while (rc == 0 && d->relinquish_mfn < max_mfn) {
        mfn_t m = _mfn(d->relinquish_mfn++);

        if (mfn_valid(m))
            relinquish_frame(d, m);
        rc = tables_drain_locked(d);
        if (rc == 0 && mfn_x(m) % 1024 == 0 && hypercall_preempt_check())
            rc = -ERESTART;
    }
    spin_unlock(&d->mmu_lock);
    return rc;
}
