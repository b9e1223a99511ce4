/*
 * mmu_update, mmuext_op and update_va_mapping. Requests are copied in batches, with no lock held,
 * and then done one by one under the domain's mmu_lock; each is done wholly or not at all.
 */
#include "hypercall/hypercall.h" /* the handlers' prototypes */
#include "paging/internal.h"

#define BATCH_BYTES 256u
#define LIST_PREEMPTED (1u << 31) /* in a count that we made: this is a continuation */

/*
 * As many of nr requests about d's tables and owner's frames as time allows; *i counts those done. 0 or
 * an error. What operations leave over is drained before each request.
 */
typedef int batch_fn(struct domain *d, struct domain *owner, const void *req, uint32_t nr,
                     uint32_t *i);

/*
 * Requests of `size` bytes, a multiple of 8, from a list in guest memory. The count may carry
 * LIST_PREEMPTED from ourselves: then *done_out holds what was done before. It is the guest's own
 * affair: it only adds up.
 */
static hot_inline long list_do(struct domain *d, struct domain *owner, uint64_t list,
                               uint64_t count, uint64_t done_out, uint64_t foreign, uint32_t size,
                               batch_fn *fn)
{
    uint32_t nr = (uint32_t)count & ~LIST_PREEMPTED, i = 0, done = 0;
    uint64_t req[BATCH_BYTES / sizeof(uint64_t)];
    long rc = 0, left;

    if (unlikely(count & LIST_PREEMPTED) && done_out)
        rc = copy_from_guest(&done, _gva(done_out), sizeof(done));
    if (unlikely(rc))
        return rc;
    if (likely(nr > 0)) {
        do {
            uint32_t n = MIN(nr - i, BATCH_BYTES / size);

            rc = copy_words_from_guest(req, gva_index(_gva(list), i, size), n * (size / 8));
            if (unlikely(rc) && n > 1) { /* those before the page that cannot be read are done */
                n = 1;
                rc = copy_words_from_guest(req, gva_index(_gva(list), i, size), size / 8);
            }
            if (likely(rc == 0))
                rc = fn(d, owner, req, n, &i);
            if (unlikely(rc) || likely(i == nr))
                break;
            rc = hypercall_preempt_check() ? -ERESTART : 0;
        } while (rc == 0);
    }
    left = tables_drain(d); /* of what failed, too */
    rc = rc ?: left;
    if (done_out) {
        done += i;
        (void)copy_to_guest(_gva(done_out), &done, sizeof(done)); /* too late to fail */
    }
    if (likely(rc != -ERESTART))
        return rc;
    return hypercall_continue(4,
                              (const uint64_t[]){ list + (uint64_t)i * size,
                                                  (nr - i) | LIST_PREEMPTED, done_out, foreign });
}

/* With FOREIGNDOM: of mmuext_op whose tables, of mmu_update whose frames and, in the upper half, tables. */
static noinline long list_do_foreign(bool is_update, uint64_t list, uint64_t count,
                                     uint64_t done_out, uint64_t foreign, uint32_t size,
                                     batch_fn *fn)
{
    uint32_t pt_dom = is_update ? (uint32_t)foreign >> 16 : 0;
    struct domain *caller = current->domain, *d = caller, *owner;
    long rc = foreign_get((domid_t)foreign, &owner);

    if (rc)
        return rc;
    if (!is_update)
        d = owner;
    else if (pt_dom && pt_dom - 1 != caller->domain_id)
        rc = pt_dom - 1 > DOMID_SELF ? -ESRCH : foreign_get((domid_t)(pt_dom - 1), &d);
    if (rc == 0) {
        /* who owns no tables; or one domain's frame would become a part of another one's space */
        if (!foreign_is_real(d) || (d != caller && d != owner))
            rc = -EPERM;
        else
            rc = list_do(d, owner, list, count, done_out, foreign, size, fn);
        if (is_update)
            foreign_put(d);
    }
    foreign_put(owner);
    return rc;
}
_Static_assert(DOMID_SELF == DOMID_FIRST_RESERVED, "ABI: beyond are no domains");

/* ---- mmu_update ---- */

int plain_write(struct domain *d, struct page_info *pg, uint64_t *p, uint64_t val)
{
    if (!type_get_writable(d, pg))
        return table_abandon(d, pg) == -ERESTART ? -ERESTART : -EINVAL;
    WRITE_ONCE(*p, val); /* NOLINT(clang-analyzer-core.NullDereference): the direct map */
    page_mark_dirty(d, page_to_mfn(pg));
    type_put_writable(pg);
    return 0;
}

/* All but an entry p of d's own L1 table that names its own frame: as mmu_update_one(). */
static noinline int mmu_update_other(struct domain *d, struct domain *owner, struct page_info *pg,
                                     pte_t *p, unsigned int cmd, uint64_t val)
{
    bool of_owner = cmd == MMU_MACHPHYS_UPDATE && foreign_is_real(owner);
    int rc = 0;

    if (!page_get_owned(pg, (of_owner ? owner : d)->page_key))
        return -EINVAL;
    if (cmd > MMU_PT_UPDATE_NO_TRANSLATE) {
        rc = -ENOSYS;
    } else if (cmd == MMU_MACHPHYS_UPDATE) {
        m2p_set(page_to_mfn(pg), val);
    } else {
        uint64_t x = atomic_load(&pg->type_info);

        if (!(x & PGT_VALID) || PGT_TYPE(x) > PGT_L4)
            rc = plain_write(d, pg, p, val);
        else if (PGT_TYPE(x) == PGT_L1)
            rc = foreign_pte(owner, &val)
                     ?: l1_update(d, owner, owner_key(d, owner), p, val,
                                  cmd == MMU_PT_UPDATE_PRESERVE_AD ? PTE_KEEP_AD : PTE_SET, NULL);
        else if (owner == d)
            rc = upper_update(d, pg, p, val, cmd == MMU_PT_UPDATE_PRESERVE_AD);
        else
            rc = -EINVAL;
    }
    page_put(pg);
    return rc;
}

/* Lists go through a table entry by entry: where that of the last request is. No reference. */
struct target {
    uint64_t mfn;
    struct page_info *pg;
    char *va;
};

/* 0 or 1 done, 1 if it took long; else an error, and nothing changed. d->mmu_lock is held. */
static hot_inline int mmu_update_one(struct domain *d, struct domain *owner, uint64_t key,
                                     struct target *t, uint64_t ptr, uint64_t val, bool foreign)
{
    mfn_t m = gfn_to_mfn(d, _gfn(ptr >> PAGE_SHIFT));
    pte_t *p;

    if (unlikely(t->mfn != mfn_x(m))) {
        struct page_info *pg = mfn_to_page_checked(m);

        if (unlikely(pg == NULL))
            return -EINVAL;
        *t = (struct target){ mfn_x(m), pg, mfn_to_virt(page_to_mfn(pg)) };
    }
    p = (pte_t *)(t->va + (ptr & ~PAGE_MASK & ~7ULL));
    if (foreign ||
        unlikely((ptr & (7 & ~MMU_PT_UPDATE_PRESERVE_AD)) || !is_table_of(t->pg, d, PGT_L1)))
        return mmu_update_other(d, owner, t->pg, p, ptr & 7, val);
    return ptr & MMU_PT_UPDATE_PRESERVE_AD ? l1_update(d, d, key, p, val, PTE_KEEP_AD, NULL)
                                           : l1_update(d, d, key, p, val, PTE_SET, NULL);
}
_Static_assert(MMU_NORMAL_PT_UPDATE == 0 && MMU_PT_UPDATE_PRESERVE_AD == 2, "ABI: mmu_update.ptr");

static hot_inline int update_batch(struct domain *d, struct domain *owner, const void *reqs,
                                   uint32_t nr, uint32_t *i, bool foreign)
{
    const struct mmu_update *req = reqs, *end = req + nr;
    const uint64_t key = d->page_key;
    struct target t = { ~0ULL, NULL, NULL };
    int rc = 0;

    spin_lock(&d->mmu_lock);
    for (; rc == 0 && req < end; req++) {
        rc = foreign && READ_ONCE(d->is_dying) ? -EINVAL : tables_drain_locked(d);
        if (likely(rc == 0))
            /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): copied in by inline assembly */
            rc = mmu_update_one(d, owner, key, &t, req->ptr, req->val, foreign);
        if (unlikely(rc < 0))
            break;
        if (unlikely(rc))
            rc = hypercall_preempt_check() ? -ERESTART : 0;
    }
    *i += (uint32_t)(req - (const struct mmu_update *)reqs);
    spin_unlock(&d->mmu_lock);
    return rc;
}

static hot_inline int update_batch_own(struct domain *d, struct domain *owner, const void *reqs,
                                       uint32_t nr, uint32_t *i)
{
    return update_batch(d, d, reqs, nr, i, false);
}
static int update_batch_foreign(struct domain *d, struct domain *owner, const void *reqs,
                                uint32_t nr, uint32_t *i)
{
    return update_batch(d, owner, reqs, nr, i, true);
}

/**
 * HYPERVISOR_mmu_update: checked writes to page tables (and plain ones to other own frames), and M2P.
 * @reqs      guest address of struct mmu_update[]; ptr is a machine address, its bits 1:0 MMU_*
 * @count     how many; LIST_PREEMPTED in a continuation
 * @done_out  guest address where the number of requests done goes, or 0
 * @foreign   [15:0] whose frames L1 entries may name, or whose M2P entry is set: DOMID_SELF, DOMID_IO,
 *            DOMID_XEN (see foreign_pte()), another domain; [31:16] whose tables these are, plus 1: 0,
 *            the caller itself, or the domain whose frames they name
 * Returns 0 or for the first request that was not done: -EFAULT the list is unreadable; -ENOSYS
 *   unknown command; -EINVAL bad address, entry or type of frame, or the tables' domain is dying;
 *   -EBUSY an L1 entry names a frame that is not the owner's or may not be written; -EPERM MMIO that
 *   is not permitted, or no right to the foreign domain; -ESRCH no such domain.
 * Takes the mmu_lock of the tables' domain. Preemptible.
 */
long hc_mmu_update(uint64_t reqs, uint64_t count, uint64_t done_out, uint64_t foreign, uint64_t a5)
{
    struct domain *d = current->domain;

    if (unlikely((uint32_t)foreign != DOMID_SELF))
        return list_do_foreign(true, reqs, count, done_out, foreign, sizeof(struct mmu_update),
                               update_batch_foreign);
    return list_do(d, d, reqs, count, done_out, foreign, sizeof(struct mmu_update),
                   update_batch_own);
}

/* ---- update_va_mapping ---- */

/* In flags, in place of the address of a bitmap of vCPUs that is copied already. */
#define UVMF_COPIED (~UVMF_FLUSHTYPE_MASK)

/* vcpus: the guest's bitmap, if flags have one. Always 0, for the tail call. */
static noinline int va_flush(struct domain *d, uint64_t va, uint64_t flags, uint64_t vcpus)
{
    uint64_t where = flags & ~UVMF_FLUSHTYPE_MASK, cpus = where == UVMF_ALL ? ~0ULL : 0;
    bool page = (flags & UVMF_FLUSHTYPE_MASK) == UVMF_INVLPG;
    struct vcpu *v;

    if (where == UVMF_LOCAL) {
        if (page)
            arch_flush_tlb_page_local(va);
        else
            arch_flush_tlb_local();
        return 0;
    }
    if (where != UVMF_ALL)
        for_each_vcpu (d, v)
            if (vcpus >> v->vcpu_id & 1)
                cpus |= 1ULL << READ_ONCE(v->arch.last_cpu); /* nowhere else is its TLB used */
    cpus &= atomic_load(&d->dirty_cpus); /* a CPU that others have now is not disturbed */
    if (page)
        arch_flush_tlb_page_mask(cpus, va);
    else
        arch_flush_tlb_mask(cpus);
    return 0;
}

static hot_inline long va_update(struct domain *d, struct domain *owner, uint64_t va, pte_t new,
                                 uint64_t flags)
{
    uint64_t where = flags & ~UVMF_FLUSHTYPE_MASK, vcpus = 0;
    pte_t *p;
    long rc;

    if (unlikely(where > UVMF_ALL) &&
        copy_from_guest(&vcpus, _gva(where), DIV_ROUND_UP(d->max_vcpus, 8)))
        return -EFAULT;
    spin_lock(&d->mmu_lock);
    rc = tables_drain_locked(d);
    p = walk_l1(current->arch.cr3_kernel, va);
    if (unlikely(owner != d) && rc == 0)
        rc = foreign_pte(owner, &new);
    if (likely(rc == 0))
        rc = likely(p != NULL) ? l1_update(d, owner, owner_key(d, owner), p, new, PTE_SET, NULL)
                               : -EINVAL;
    spin_unlock(&d->mmu_lock);
    if (rc == 0 && (flags & UVMF_FLUSHTYPE_MASK) != UVMF_NONE)
        return va_flush(d, va, flags, vcpus);
    return rc; /* -ERESTART: again with the same arguments */
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
    return va_update(current->domain, current->domain, va, pte, flags);
}

/** The same with the frame of another domain: see foreign_get(). */
long hc_update_va_mapping_otherdomain(uint64_t va, uint64_t pte, uint64_t flags, uint64_t domid,
                                      uint64_t a5)
{
    struct domain *owner;
    long rc = foreign_get((domid_t)domid, &owner);

    if (rc)
        return rc;
    rc = va_update(current->domain, owner, va, pte, flags);
    foreign_put(owner);
    return rc;
}

/* ---- mmuext_op ---- */

int paging_pin(struct domain *d, mfn_t m, enum page_type type)
{
    struct page_info *pg = mfn_to_page(m);
    uint64_t x;
    int rc;

    spin_lock(&d->mmu_lock);
    rc = READ_ONCE(d->is_dying) ? -EINVAL : table_get(d, m, type);
    if (likely(rc == 0)) {
        x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);
        if (x & PGT_PINNED) {
            table_put(d, pg);
            rc = -EINVAL;
        } else
            atomic_store_explicit(&pg->type_info, x | PGT_PINNED, memory_order_relaxed);
    }
    spin_unlock(&d->mmu_lock);
    return rc;
}

int paging_unpin(struct domain *d, mfn_t m)
{
    struct page_info *pg = mfn_to_page_checked(m);
    uint64_t x;
    bool pinned;

    if (pg == NULL)
        return -EINVAL;
    spin_lock(&d->mmu_lock);
    x = atomic_load_explicit(&pg->type_info, memory_order_relaxed);
    pinned = (x & PGT_PINNED) && is_type_of_table(x, d, PGT_TYPE(x));
    if (likely(pinned)) {
        atomic_store_explicit(&pg->type_info, x & ~PGT_PINNED, memory_order_relaxed);
        table_put(d, pg);
    } else if (page_get(m, d)) {
        (void)table_abandon(d, pg);
        page_put(pg);
    }
    spin_unlock(&d->mmu_lock);
    return pinned ? 0 : -EINVAL;
}

/* CLEAR_PAGE, or COPY_PAGE from src. */
static int op_fill_page(struct domain *d, mfn_t m, const mfn_t *src)
{
    int rc = -EINVAL;

    if (src && !page_get(*src, d))
        return rc;
    if (page_get_writable(d, m)) {
        if (src)
            memcpy(mfn_to_virt(m), mfn_to_virt(*src), PAGE_SIZE);
        else
            memset(mfn_to_virt(m), 0, PAGE_SIZE);
        page_mark_dirty(d, m);
        page_put_writable(m);
        rc = 0;
    }
    if (src)
        page_put(mfn_to_page(*src));
    return rc;
}

/* Addresses that are not the guest's cannot be in its TLB entries (and would fault INVPCID, XSA-279). */
static int op_flush(struct domain *d, const struct mmuext_op *op, uint64_t flags)
{
    uint64_t va = op->arg1.linear_addr, vcpus = 0;

    if (flags >= UVMF_COPIED &&
        copy_from_guest(&vcpus, GVA_OF(op->arg2.vcpumask), DIV_ROUND_UP(d->max_vcpus, 8)))
        return -EINVAL;
    if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_TLB_FLUSH || guest_va_ok(va))
        va_flush(d, va, flags, vcpus);
    return 0;
}

static hot_inline int mmuext_one(struct domain *d, const struct mmuext_op *op)
{
    struct vcpu *v = current;
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): copied from the guest */
    mfn_t m = gfn_to_mfn(d, _gfn(op->arg1.mfn)), src = gfn_to_mfn(d, _gfn(op->arg2.src_mfn));

    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE ... MMUEXT_PIN_L4_TABLE:
        return paging_pin(d, m, PGT_L1 + (op->cmd - MMUEXT_PIN_L1_TABLE));
    case MMUEXT_UNPIN_TABLE: return paging_unpin(d, m);
    case MMUEXT_NEW_BASEPTR: return vcpu_set_root(v, m, false);
    case MMUEXT_NEW_USER_BASEPTR: return vcpu_set_root(v, m, true);
    case MMUEXT_TLB_FLUSH_LOCAL: return op_flush(d, op, UVMF_TLB_FLUSH | UVMF_LOCAL);
    case MMUEXT_INVLPG_LOCAL: return op_flush(d, op, UVMF_INVLPG | UVMF_LOCAL);
    case MMUEXT_TLB_FLUSH_MULTI: return op_flush(d, op, UVMF_TLB_FLUSH | UVMF_COPIED);
    case MMUEXT_INVLPG_MULTI: return op_flush(d, op, UVMF_INVLPG | UVMF_COPIED);
    case MMUEXT_TLB_FLUSH_ALL: return op_flush(d, op, UVMF_TLB_FLUSH | UVMF_ALL);
    case MMUEXT_INVLPG_ALL: return op_flush(d, op, UVMF_INVLPG | UVMF_ALL);
    case MMUEXT_FLUSH_CACHE:
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        if (!may_map_uncached(d))
            return -EACCES;
        arch_cache_writeback(op->cmd == MMUEXT_FLUSH_CACHE ? 1ULL << this_pcpu()->id
                                                           : arch_cpus_online());
        return 0;
    case MMUEXT_SET_LDT: return vcpu_set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
    case MMUEXT_CLEAR_PAGE: return op_fill_page(d, m, NULL);
    case MMUEXT_COPY_PAGE: return op_fill_page(d, m, &src);
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER: return -EOPNOTSUPP;
    default: return -ENOSYS;
    }
}

/* About another domain's tables: what is about a vCPU's own state is not permitted. */
static int mmuext_permitted(unsigned int cmd)
{
    switch (cmd) {
    case MMUEXT_PIN_L1_TABLE ... MMUEXT_UNPIN_TABLE:
    case MMUEXT_CLEAR_PAGE ... MMUEXT_COPY_PAGE:
    case MMUEXT_MARK_SUPER ... MMUEXT_UNMARK_SUPER: return 0;
    default: return cmd > MMUEXT_UNMARK_SUPER ? -ENOSYS : -EPERM;
    }
}

static hot_inline int mmuext_batch(struct domain *d, struct domain *owner, const void *ops,
                                   uint32_t nr, uint32_t *i)
{
    const struct mmuext_op *op = ops;
    int rc = 0;

    for (uint32_t k = 0; k < nr && rc == 0; k++) {
        if (k && hypercall_preempt_check())
            return -ERESTART;
        rc = tables_drain(d);
        if (unlikely(d != current->domain))
            /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): copied from the guest */
            rc = rc ?: mmuext_permitted(op[k].cmd);
        if (likely(rc == 0))
            rc = mmuext_one(d, &op[k]);
        *i += rc == 0;
    }
    return rc;
}

/**
 * HYPERVISOR_mmuext_op: pins, roots, flushes and the like.
 * @ops       guest address of struct mmuext_op[]
 * @count, @done_out  as mmu_update
 * @foreign   DOMID_SELF, or a domain: whose frames to pin, unpin, clear, copy. All else -EPERM then
 * Returns 0 or for the first operation that was not done: -EFAULT the list is unreadable; -EINVAL a
 *   bad frame, contents, bitmap or LDT, a frame that is pinned already or is not, or the domain is dying; -EACCES no devices,
 *   so no business with caches; -EOPNOTSUPP superpages; -ENOSYS unknown; -EPERM, -ESRCH as mmu_update.
 * Takes d->mmu_lock. Preemptible.
 */
long hc_mmuext_op(uint64_t ops, uint64_t count, uint64_t done_out, uint64_t foreign, uint64_t a5)
{
    struct domain *d = current->domain;

    if (unlikely((domid_t)foreign != DOMID_SELF))
        return list_do_foreign(false, ops, count, done_out, foreign, sizeof(struct mmuext_op),
                               mmuext_batch);
    return list_do(d, d, ops, count, done_out, foreign, sizeof(struct mmuext_op), mmuext_batch);
}
