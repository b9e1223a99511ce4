/*
 * Page faults that are not the guest's: its kernel writes to a page table, which only we may do, or
 * its tables have long permitted what a stale TLB entry forbade. The instruction is decoded from a
 * private copy, goes to the address at which the CPU faulted, and whatever it stores there goes
 * through paging's checks: a guest that changes instruction, tables or registers meanwhile gains
 * nothing that it could not do by hypercall.
 */
#include "emulate/decode.h"
#include "paging/paging.h"
#include "x86/upcalls.h"

/* What an instruction does to its operand; nothing is done before the store succeeded. */
struct outcome {
    uint64_t value; /* to store */
    uint64_t rflags;
    uint8_t reg; /* gets what was there; NO_REG: none does */
};
#define NO_REG 0xff

/*
 * Walk the current vCPU v's present root to va: the last entry reached, and what all of them grant,
 * PTE_P, PTE_RW, PTE_US and, where PTE_NX would be, execution. A snapshot, no reference.
 */
static uint64_t guest_walk(const struct vcpu *v, uint64_t va, pte_t *e)
{
    uint64_t rights = ~0ULL;

    *e = arch_vcpu_root(v);
    spin_lock(&v->domain->mmu_lock); /* what hangs on a root is valid */
#pragma GCC unroll 4
    for (unsigned int level = 4; level > 0; level--) {
        *e = READ_ONCE(((pte_t *)mfn_to_virt(_mfn(pte_mfn(*e))))[pt_index(va, level)]);
        rights &= *e ^ PTE_NX;
        if (!(rights & PTE_P))
            break;
    }
    spin_unlock(&v->domain->mmu_lock);
    return rights;
}

static uint64_t flags_of_result(uint64_t rflags, uint64_t r, unsigned int bytes)
{
    return (rflags & ~(uint64_t)RFLAGS_ARITH) | (r ? 0 : RFLAGS_ZF) |
           (r >> (8 * bytes - 1) ? RFLAGS_SF : 0) | (__builtin_parity(r & 0xff) ? 0 : RFLAGS_PF);
}

/* A failed comparison stores what was there, as the CPU does: so it is confirmed, too. */
static void cmpxchg(struct outcome *o, uint64_t rax, uint64_t old, uint64_t new, unsigned int bytes)
{
    uint64_t r = (rax - old) & size_mask(bytes), overflow = (rax ^ old) & (rax ^ r);

    o->rflags = flags_of_result(o->rflags, r, bytes) | (rax < old ? RFLAGS_CF : 0) |
                (overflow >> (8 * bytes - 1) ? RFLAGS_OF : 0) | ((rax ^ old ^ r) & RFLAGS_AF);
    o->value = r ? old : new;
    o->reg = r ? GPR_RAX : NO_REG;
}

/* What i makes of old. False: not an instruction that stores, or not one we know. */
static bool execute(struct outcome *o, const struct insn *i, struct cpu_user_regs *regs,
                    uint64_t old)
{
    uint64_t mask = size_mask(i->bytes), bit;
    uint64_t src = (i->has_imm ? (uint64_t)i->imm : *reg_whole(regs, i->reg)) & mask;
    unsigned int how = (i->has_imm ? i->modrm : i->op) >> 3 & 7; /* both number them alike */

    *o = (struct outcome){ .value = src, .rflags = regs->rflags, .reg = NO_REG };
    switch (i->kind) {
    case INSN_MOV: return !i->has_imm || how == 0;
    case INSN_XCHG: o->reg = i->reg; return true;
    case INSN_LOGIC: /* 1 OR, 4 AND, 6 XOR */
        o->value = how == 1 ? old | src : how == 4 ? old & src : old ^ src;
        o->rflags = flags_of_result(o->rflags, o->value, i->bytes);
        return how == 1 || how == 4 || how == 6;
    case INSN_BIT: /* 5 BTS, 6 BTR, 7 BTC */
        bit = 1ULL << (src & (8u * i->bytes - 1));
        o->value = how == 5 ? old | bit : how == 6 ? old & ~bit : old ^ bit;
        o->rflags = (o->rflags & ~(uint64_t)RFLAGS_CF) | (old & bit ? RFLAGS_CF : 0);
        return how > 4;
    case INSN_CMPXCHG: cmpxchg(o, regs->rax & mask, old, src, i->bytes); return true;
    default: return false;
    }
}

/* MOV and XCHG of a whole entry and a register, as kernels do nearly always; results as below. */
static inline int write_whole(struct vcpu *v, uint64_t *reg, const struct page_info *pg, pte_t *p,
                              bool exchange)
{
    pte_t old = READ_ONCE(*p), expect = old;
    int rc = paging_emulated_write(v, pg, p, *reg, exchange ? &expect : NULL);

    if (exchange && rc == 0)
        *reg = old;
    return rc;
}

/* Any but those: 0, 1 the entry changed meanwhile, or an error. */
static noinline int write_part(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2,
                               const struct page_info *pg, pte_t *p, const struct insn *i)
{
    unsigned int shift = (cr2 & 7) * 8;
    uint64_t mask = size_mask(i->bytes) << shift, old = READ_ONCE(*p), expect = old;
    struct outcome o;
    int rc;

    if (!i->mem || (cr2 & (i->bytes - 1u)) || !execute(&o, i, regs, (old & mask) >> shift))
        return -EINVAL;
    /* for a plain store of a whole entry it does not matter what was there */
    rc = paging_emulated_write(v, pg, p, (old & ~mask) | (o.value << shift & mask),
                               i->kind == INSN_MOV && i->bytes == 8 ? NULL : &expect);
    if (rc)
        return rc;
    regs->rflags = o.rflags;
    if (o.reg != NO_REG)
        reg_write(regs, o.reg, i->bytes, (old & mask) >> shift);
    return 0;
}

/*
 * The guest's kernel wrote to frame m, pg, an L1 table that cr2 maps. We hold no reference: paging
 * checks the frame under its lock. A value read before is used if it is confirmed then; else the
 * guest executes the instruction again.
 */
static bool emulate_write(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2, mfn_t m,
                          const struct page_info *pg)
{
    pte_t *p = (pte_t *)((char *)mfn_to_virt(m) + (cr2 & ~PAGE_MASK & ~7ULL));
    struct insn i;
    int rc = insn_fetch(v, regs, &i);

    if (unlikely(rc))
        return rc == -EFAULT; /* the guest has a page fault for its code instead */
    if (likely(i.bytes == 8 && i.mem && !i.has_imm && !(cr2 & 7)) &&
        (i.kind == INSN_XCHG || i.kind == INSN_MOV))
        rc = write_whole(v, reg_whole(regs, i.reg), pg, p, i.kind == INSN_XCHG);
    else
        rc = write_part(v, regs, cr2, pg, p, &i);
    if (unlikely(rc))
        return rc == 1 || rc == -ERESTART || rc == -EAGAIN;
    insn_retire(v, regs, i.len);
    return true;
}

/* To registers of a device that the domain may only read: as on Xen that is no fault. */
static bool discard_write(struct vcpu *v, struct cpu_user_regs *regs)
{
    struct insn i;
    int rc = insn_fetch(v, regs, &i);

    if (rc == 0 && i.mem && i.kind == INSN_MOV)
        insn_retire(v, regs, i.len);
    return rc == -EFAULT || (rc == 0 && i.mem && i.kind == INSN_MOV);
}

static noinline bool present_fault(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2)
{
    uint32_t ec = regs->error_code;
    const struct page_info *pg;
    uint64_t rights, needs, m;
    pte_t l1e;

    rights = guest_walk(v, cr2, &l1e);
    needs = PTE_P | PTE_US | (ec & PFEC_WRITE ? PTE_RW : 0) | (ec & PFEC_FETCH ? PTE_NX : 0);
    if ((rights & needs) == needs) {
        arch_flush_tlb_page_local(cr2); /* spurious */
        return true;
    }
    if (!(rights & PTE_P) || !(ec & PFEC_WRITE) || (l1e & PTE_RW) || !v->arch.kernel_mode)
        return false;
    m = pte_mfn(l1e);
    pg = mfn_to_page_checked(_mfn(m));
    if (pg == NULL || !is_table_of(pg, v->domain, PGT_L1)) /* a cheap look */
        return ranges_have(&v->domain->iomem_ro, m) && discard_write(v, regs);
    if (likely(emulate_write(v, regs, cr2, _mfn(m), pg)))
        return true;
    gprint(LOG_DEBUG, "d%uv%u: write to a page table at %lx refused, rip %lx\n",
           v->domain->domain_id, v->vcpu_id, cr2, regs->rip);
    return false;
}

/* Most faults are on what is not present, of which nothing is cached: they are the guest's own. */
bool guest_page_fault(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2)
{
    /* further bits: features that guests do not have */
    return (regs->error_code & ~(PFEC_WRITE | PFEC_FETCH)) == (PFEC_PRESENT | PFEC_USER) &&
           guest_va_ok(cr2) && present_fault(v, regs, cr2);
}
