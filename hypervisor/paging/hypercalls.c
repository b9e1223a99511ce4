/*
 * mmu_update, mmuext_op and update_va_mapping. Requests are copied in batches, with no lock held,
 * and then done one by one under the domain's mmu_lock; each is done wholly or not at all.
 */
#include "paging/internal.h"

#define BATCH 16u
#define LIST_PREEMPTED (1u << 31) /* in a count that we made: this is a continuation */

_Static_assert(sizeof(struct mmu_update) == 16, "ABI: mmu_update");
_Static_assert(sizeof(struct mmuext_op) == 24, "ABI: mmuext_op");

/* "Owner" of what a request names with DOMID_IO: no frame has it, so only MMIO can be mapped. */
static struct domain io_owner = { .domain_id = DOMID_IO };

/*
 * Whose frames a request may name. The place for policy: mapping the frames of other domains
 * (toolstack, DOMID_XEN) comes with the hypercalls that build domains.
 */
static int frame_owner(struct domain *d, domid_t id, struct domain **owner)
{
    if (id == DOMID_SELF) {
        *owner = d;
        return 0;
    }
    if (id == DOMID_IO) {
        *owner = &io_owner;
        return d->is_hwdom || d->nr_iomem ? 0 : -EPERM;
    }
    return id == DOMID_XEN ? -EPERM : -ESRCH;
}

/* Finish what earlier operations of d left over. */
static int drain(struct domain *d)
{
    int rc;

    if (likely(!READ_ONCE(d->dead_tables)))
        return 0;
    spin_lock(&d->mmu_lock);
    rc = tables_drain_locked(d);
    spin_unlock(&d->mmu_lock);
    return rc;
}

/*
 * The count of a list may carry LIST_PREEMPTED from ourselves: then *done_out holds what was
 * done before. Both helpers treat done_out as the guest's own affair: it only adds up.
 */
static int list_begin(uint64_t count, uint64_t done_out, uint32_t *done)
{
    *done = 0;
    if ((count & LIST_PREEMPTED) && done_out)
        return copy_from_guest(done, _gva(done_out), sizeof(*done));
    return 0;
}

static long list_end(unsigned int nr, const uint64_t *args, uint32_t done, long rc)
{
    if (args[2])
        (void)copy_to_guest(_gva(args[2]), &done, sizeof(done)); /* too late to fail */
    return rc == -ERESTART ? hypercall_continue(nr, 4, args) : rc;
}

/* ---- mmu_update ---- */

/* To a frame that is no table: an ordinary write, on the guest's behalf. d->mmu_lock is held. */
static int plain_write(struct domain *d, struct page_info *pg, pte_t *p, pte_t val)
{
    if (!type_get_writable(d, pg))
        return table_abandon(d, pg) == -ERESTART ? -ERESTART : -EINVAL;
    WRITE_ONCE(*p, val);
    page_mark_dirty(d, page_to_mfn(pg));
    type_put_writable(pg);
    return 0;
}

/* An entry above L1 changed: a CPU that runs on a copy of an L4 has to see that. */
static int upper_write(struct domain *d, struct page_info *pg, pte_t *p, pte_t val, bool keep_ad)
{
    enum page_type type = PGT_TYPE(atomic_load(&pg->type_info));
    int rc = upper_update(d, p, type, (unsigned int)(((uintptr_t)p & ~PAGE_MASK) / sizeof(*p)), val,
                          keep_ad);
    uint64_t maddr = mfn_x(page_to_mfn(pg)) << PAGE_SHIFT;

    if (rc)
        return rc;
    if (type == PGT_L4 && (maddr == current->arch.cr3_kernel || maddr == current->arch.cr3_user))
        arch_vcpu_roots_changed(current);
    return 1;
}

/* Lists go through a table entry by entry: the reference on the last request's frame is kept. */
struct target {
    struct page_info *pg;
    uint64_t mfn;
    char *va;
};

static bool target_set(struct target *t, struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page_checked(m);

    if (pg == NULL || !page_get_owned(pg, page_key(d->domain_id)))
        return false;
    if (t->pg)
        page_put_inline(t->pg);
    *t = (struct target){ pg, mfn_x(m), mfn_to_virt(_mfn(array_index_nospec(mfn_x(m), max_mfn))) };
    return true;
}

/* 0 or 1 done, 1 if it took long; else an error, and nothing changed. d->mmu_lock is held. */
static hot_inline int mmu_update_one(struct domain *d, struct domain *owner, struct target *t,
                                     uint64_t ptr, uint64_t val)
{
    unsigned int cmd = ptr & 7;
    mfn_t m = gfn_to_mfn(d, _gfn(ptr >> PAGE_SHIFT));
    uint64_t x;
    pte_t *p;

    if (unlikely(t->mfn != mfn_x(m)) && !target_set(t, d, m))
        return -EINVAL;
    p = (pte_t *)(t->va + (ptr & ~PAGE_MASK & ~7ULL));
    x = atomic_load_explicit(&t->pg->type_info, memory_order_relaxed);
    if (likely(IS_VALID_AS(x, PGT_L1) && cmd != MMU_MACHPHYS_UPDATE &&
               cmd <= MMU_PT_UPDATE_NO_TRANSLATE))
        return cmd == MMU_PT_UPDATE_PRESERVE_AD ? l1_update(d, owner, p, val, PTE_KEEP_AD, NULL)
                                                : l1_update(d, owner, p, val, PTE_SET, NULL);
    if (cmd == MMU_MACHPHYS_UPDATE) {
        m2p_set(m, val);
        return 0;
    }
    if (cmd > MMU_PT_UPDATE_NO_TRANSLATE)
        return -ENOSYS;
    if ((x & PGT_VALID) && PGT_TYPE(x) <= PGT_L4)
        return owner == d ? upper_write(d, t->pg, p, val, cmd == MMU_PT_UPDATE_PRESERVE_AD)
                          : -EINVAL;
    return plain_write(d, t->pg, p, val);
}

/* As many of the copied requests as time allows; *i counts those done. */
static int mmu_update_batch(struct domain *d, struct domain *owner, const struct mmu_update *req,
                            uint32_t nr, uint32_t *i)
{
    struct target t = { NULL, ~0ULL, NULL };
    uint32_t k;
    int rc = 0;

    spin_lock(&d->mmu_lock);
    for (k = 0; k < nr && rc == 0; k++) {
        rc = mmu_update_one(d, owner, &t, req[k].ptr, req[k].val);
        if (unlikely(rc < 0))
            break;
        if (unlikely(d->dead_tables))
            rc = tables_drain_locked(d);
        else if (unlikely(rc))
            rc = hypercall_preempt_check() ? -ERESTART : 0;
    }
    *i += k;
    if (rc < 0 && rc != -ERESTART)
        (void)tables_drain_locked(d);
    spin_unlock(&d->mmu_lock);
    if (t.pg)
        page_put_inline(t.pg);
    return rc;
}

/**
 * HYPERVISOR_mmu_update: checked writes to page tables (and plain ones to other own frames), and M2P.
 * @reqs      guest address of struct mmu_update[]; ptr is a machine address, its bits 1:0 MMU_*
 * @count     how many; LIST_PREEMPTED in a continuation
 * @done_out  guest address where the number of requests done goes, or 0
 * @foreign   [15:0] whose frames entries may name: DOMID_SELF, DOMID_IO; [31:16] whose tables these
 *            are, plus 1: 0, or the caller itself
 * Returns 0 or for the first request that was not done: -EFAULT the list is unreadable; -EINVAL bad
 *   command, address, entry or type of frame; -EBUSY an L1 entry names a frame that is not the
 *   owner's or may not be written; -EPERM MMIO that is not permitted, or no right to the foreign
 *   domain; -ESRCH no such domain.
 * Takes d->mmu_lock. Preemptible.
 */
long hc_mmu_update(uint64_t reqs, uint64_t count, uint64_t done_out, uint64_t foreign, uint64_t a5)
{
    uint32_t nr = (uint32_t)count & ~LIST_PREEMPTED, i = 0, done, pt_dom = (uint32_t)foreign >> 16;
    struct domain *d = current->domain, *owner;
    struct mmu_update req[BATCH];
    long rc = list_begin(count, done_out, &done);

    if (rc == 0 && pt_dom && pt_dom - 1 != d->domain_id && pt_dom - 1 != DOMID_SELF)
        rc = -ESRCH;
    if (rc == 0)
        rc = frame_owner(d, (domid_t)foreign, &owner);
    if (rc)
        return rc;
    rc = drain(d);
    while (rc == 0 && i < nr) {
        uint32_t n = MIN(nr - i, BATCH);

        if (unlikely(copy_from_guest(req, gva_index(_gva(reqs), i, sizeof(*req)),
                                     n * sizeof(*req)))) {
            rc = -EFAULT;
            break;
        }
        rc = mmu_update_batch(d, owner, req, n, &i);
        if (rc == 0 && i < nr && hypercall_preempt_check())
            rc = -ERESTART;
    }
    const uint64_t again[] = { reqs + i * sizeof(*req), (nr - i) | LIST_PREEMPTED, done_out,
                               foreign };
    return list_end(__HYPERVISOR_mmu_update, again, done + i, rc);
}

/* ---- update_va_mapping ---- */

/* The CPUs of the vCPUs in the guest's bitmap, of one bit for each of its vCPUs. */
static int vcpumask_copy(struct domain *d, uint64_t bitmap, uint64_t *cpus)
{
    uint64_t vcpus = 0;
    struct vcpu *v;

    if (copy_from_guest(&vcpus, _gva(bitmap), DIV_ROUND_UP(d->max_vcpus, 8)))
        return -EFAULT;
    *cpus = 0;
    for_each_vcpu (d, v)
        if (vcpus >> v->vcpu_id & 1)
            *cpus |= 1ULL << atomic_load(&v->processor);
    *cpus &= atomic_load(&d->dirty_cpus);
    return 0;
}

static void flush_va(uint64_t va, uint64_t flags, uint64_t cpus)
{
    bool local = (flags & ~UVMF_FLUSHTYPE_MASK) == UVMF_LOCAL;

    switch (flags & UVMF_FLUSHTYPE_MASK) {
    case UVMF_TLB_FLUSH: local ? arch_flush_tlb_local() : arch_flush_tlb_mask(cpus); break;
    case UVMF_INVLPG:
        local ? arch_flush_tlb_page_local(va) : arch_flush_tlb_page_mask(cpus, va);
        break;
    }
}

/* Always 0, for the tail call. */
static noinline int va_flush(struct domain *d, uint64_t va, uint64_t flags, uint64_t cpus)
{
    flush_va(va, flags,
             (flags & ~UVMF_FLUSHTYPE_MASK) == UVMF_ALL ? atomic_load(&d->dirty_cpus) : cpus);
    return 0;
}

static hot_inline long va_update(struct domain *d, struct domain *owner, uint64_t va, pte_t new,
                                 uint64_t flags)
{
    uint64_t cpus = 0;
    pte_t *p;
    int rc = 0;

    if (unlikely((flags & ~UVMF_FLUSHTYPE_MASK) > UVMF_ALL) &&
        vcpumask_copy(d, flags & ~UVMF_FLUSHTYPE_MASK, &cpus))
        return -EFAULT;
    spin_lock(&d->mmu_lock);
    if (unlikely(d->dead_tables))
        rc = tables_drain_locked(d);
    p = walk_l1(current->arch.cr3_kernel, va);
    if (likely(rc == 0))
        rc = likely(p != NULL) ? l1_update(d, owner, p, new, PTE_SET, NULL) : -EINVAL;
    spin_unlock(&d->mmu_lock);
    if (rc == 0 && (flags & UVMF_FLUSHTYPE_MASK))
        return va_flush(d, va, flags, cpus);
    return rc;
}

static noinline long va_update_again(uint64_t va, pte_t pte, uint64_t flags)
{
    const uint64_t args[] = { va, pte, flags };

    return hypercall_continue(__HYPERVISOR_update_va_mapping, 3, args);
}

/**
 * HYPERVISOR_update_va_mapping: replace the L1 entry that maps va for the calling kernel.
 * @pte    the new entry
 * @flags  UVMF_*: what to flush, where
 * Returns 0 or: -EINVAL va is not the guest's, has no L1 table, or the entry is bad; -EBUSY, -EPERM
 *   as mmu_update; -EFAULT the bitmap of vCPUs is unreadable. Nothing changed then, and nothing was
 *   flushed. Takes d->mmu_lock. Preemptible (only when earlier operations left work over).
 */
long hc_update_va_mapping(uint64_t va, uint64_t pte, uint64_t flags, uint64_t a4, uint64_t a5)
{
    long rc = va_update(current->domain, current->domain, va, pte, flags);

    return unlikely(rc == -ERESTART) ? va_update_again(va, pte, flags) : rc;
}

/** The same with the frame of another domain: see frame_owner(). */
long hc_update_va_mapping_otherdomain(uint64_t va, uint64_t pte, uint64_t flags, uint64_t domid,
                                      uint64_t a5)
{
    const uint64_t args[] = { va, pte, flags, domid };
    struct domain *d = current->domain, *owner;
    long rc = frame_owner(d, (domid_t)domid, &owner);

    if (rc == 0)
        rc = va_update(d, owner, va, pte, flags);
    return rc == -ERESTART ? hypercall_continue(__HYPERVISOR_update_va_mapping_otherdomain, 4, args)
                           : rc;
}

/* ---- mmuext_op ---- */

int paging_pin(struct domain *d, mfn_t m, enum page_type type)
{
    struct page_info *pg = mfn_to_page(m);
    int rc;

    spin_lock(&d->mmu_lock);
    rc = table_get(d, m, type);
    if (rc == 0 && (atomic_load(&pg->type_info) & PGT_PINNED)) {
        table_put(d, pg);
        rc = -EINVAL;
    } else if (rc == 0) {
        atomic_fetch_or(&pg->type_info, PGT_PINNED);
    }
    spin_unlock(&d->mmu_lock);
    return rc;
}

static int op_unpin(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page(m);
    int rc = -EINVAL;

    if (!page_get_inline(m, d->domain_id))
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    if (atomic_load(&pg->type_info) & PGT_PINNED) {
        atomic_fetch_and(&pg->type_info, ~PGT_PINNED);
        table_put(d, pg);
        rc = 0;
    }
    spin_unlock(&d->mmu_lock);
    page_put_inline(pg);
    return rc;
}

static int op_clear_page(struct domain *d, mfn_t m)
{
    if (!page_get_writable(d, m))
        return -EINVAL;
    arch_clear_page(mfn_to_virt(m));
    page_mark_dirty(d, m);
    page_put_writable(m);
    return 0;
}

static int op_copy_page(struct domain *d, mfn_t m, mfn_t src)
{
    int rc = -EINVAL;

    if (!page_get_inline(src, d->domain_id))
        return -EINVAL;
    if (page_get_writable(d, m)) {
        arch_copy_page(mfn_to_virt(m), mfn_to_virt(src));
        page_mark_dirty(d, m);
        page_put_writable(m);
        rc = 0;
    }
    page_put_inline(mfn_to_page(src));
    return rc;
}

/* Addresses that are not the guest's cannot be in its TLB entries (and would fault INVPCID, XSA-279). */
static int op_flush(struct domain *d, const struct mmuext_op *op)
{
    uint64_t va = op->arg1.linear_addr, cpus = atomic_load(&d->dirty_cpus);
    bool is_page = op->cmd == MMUEXT_INVLPG_LOCAL || op->cmd == MMUEXT_INVLPG_MULTI ||
                   op->cmd == MMUEXT_INVLPG_ALL;
    bool local = op->cmd == MMUEXT_INVLPG_LOCAL || op->cmd == MMUEXT_TLB_FLUSH_LOCAL;

    if ((op->cmd == MMUEXT_INVLPG_MULTI || op->cmd == MMUEXT_TLB_FLUSH_MULTI) &&
        vcpumask_copy(d, (uint64_t)(uintptr_t)op->arg2.vcpumask.p, &cpus))
        return -EINVAL;
    if (is_page && (!va_is_canonical(va) || va_is_hv(va)))
        return 0;
    flush_va(va, (is_page ? UVMF_INVLPG : UVMF_TLB_FLUSH) | (local ? UVMF_LOCAL : UVMF_ALL), cpus);
    return 0;
}

static int mmuext_one(struct vcpu *v, const struct mmuext_op *op)
{
    struct domain *d = v->domain;
    mfn_t m = gfn_to_mfn(d, _gfn(op->arg1.mfn));

    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE: return paging_pin(d, m, PGT_L1);
    case MMUEXT_PIN_L2_TABLE: return paging_pin(d, m, PGT_L2);
    case MMUEXT_PIN_L3_TABLE: return paging_pin(d, m, PGT_L3);
    case MMUEXT_PIN_L4_TABLE: return paging_pin(d, m, PGT_L4);
    case MMUEXT_UNPIN_TABLE: return op_unpin(d, m);
    case MMUEXT_NEW_BASEPTR: return vcpu_set_root(v, m, false);
    case MMUEXT_NEW_USER_BASEPTR: return vcpu_set_root(v, m, true);
    case MMUEXT_TLB_FLUSH_LOCAL:
    case MMUEXT_INVLPG_LOCAL:
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI:
    case MMUEXT_TLB_FLUSH_ALL:
    case MMUEXT_INVLPG_ALL: return op_flush(d, op);
    case MMUEXT_FLUSH_CACHE:
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        if (!may_map_uncached(d))
            return -EACCES;
        arch_cache_writeback_all();
        return 0;
    case MMUEXT_SET_LDT: return vcpu_set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
    case MMUEXT_CLEAR_PAGE: return op_clear_page(d, m);
    case MMUEXT_COPY_PAGE: return op_copy_page(d, m, gfn_to_mfn(d, _gfn(op->arg2.src_mfn)));
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER: return -EOPNOTSUPP;
    default: return -ENOSYS;
    }
}

static int mmuext_batch(struct vcpu *v, const struct mmuext_op *op, uint32_t nr, uint32_t *i)
{
    int rc = 0;

    for (uint32_t k = 0; k < nr && rc == 0; k++) {
        if (k && hypercall_preempt_check())
            return -ERESTART;
        rc = mmuext_one(v, &op[k]);
        if (rc == 0)
            ++*i;
        if (rc != -ERESTART) {
            int left = drain(v->domain);

            rc = rc ?: left;
        }
    }
    return rc;
}

/**
 * HYPERVISOR_mmuext_op: pins, roots, flushes and the like.
 * @ops       guest address of struct mmuext_op[]
 * @count, @done_out  as mmu_update
 * @foreign   DOMID_SELF
 * Returns 0 or for the first operation that was not done: -EFAULT the list is unreadable; -EINVAL a
 *   bad frame, contents, bitmap or LDT, a frame that is pinned already or is not; -EACCES no devices,
 *   so no business with caches; -EOPNOTSUPP superpages; -ENOSYS unknown; -EPERM, -ESRCH as mmu_update.
 * Takes d->mmu_lock. Preemptible.
 */
long hc_mmuext_op(uint64_t ops, uint64_t count, uint64_t done_out, uint64_t foreign, uint64_t a5)
{
    uint32_t nr = (uint32_t)count & ~LIST_PREEMPTED, i = 0, done;
    struct vcpu *v = current;
    struct domain *owner;
    struct mmuext_op op[BATCH / 2];
    long rc = list_begin(count, done_out, &done);

    if (rc == 0)
        rc = frame_owner(v->domain, (domid_t)foreign, &owner);
    if (rc == 0 && owner != v->domain)
        rc = -EPERM;
    if (rc)
        return rc;
    rc = drain(v->domain);
    while (rc == 0 && i < nr) {
        uint32_t n = MIN(nr - i, ARRAY_SIZE(op));

        if (copy_from_guest(op, gva_index(_gva(ops), i, sizeof(*op)), n * sizeof(*op))) {
            rc = -EFAULT;
            break;
        }
        rc = mmuext_batch(v, op, n, &i);
        if (rc == 0 && i < nr && hypercall_preempt_check())
            rc = -ERESTART;
    }
    const uint64_t again[] = { ops + i * sizeof(*op), (nr - i) | LIST_PREEMPTED, done_out,
                               foreign };
    return list_end(__HYPERVISOR_mmuext_op, again, done + i, rc);
}
