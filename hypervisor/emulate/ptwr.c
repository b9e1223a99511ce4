/*
 * Page faults that are not the guest's: its kernel writes to a page table, which only we may do, or
 * its tables have long permitted what a stale TLB entry forbade. The instruction is decoded from a
 * private copy and whatever it stores goes through paging's checks, so a guest that changes
 * instruction, tables or registers meanwhile gains nothing that it could not do by hypercall.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "paging/paging.h"
#include "x86/upcalls.h"

#define CMPXCHG_TRIES 8u   /* then the guest executes the instruction again */
#define STOS_BATCH 64u

/* as opcodes and ModRM number them; 2, 3 (with carry) and 7 (compare) are not emulated */
enum alu { ALU_ADD, ALU_OR, ALU_AND = 4, ALU_SUB, ALU_XOR };

/* What an instruction does to its operand; nothing is done before the store succeeded. */
struct outcome {
    uint64_t value;      /* to store */
    uint64_t rflags;
    uint64_t result;     /* for register reg */
    uint8_t reg;         /* NO_REG: none */
};
#define NO_REG 0xff

struct guest_walk {
    pte_t l1e;
    uint64_t all, any;   /* the AND and the OR of the entries of all levels */
};

/*
 * One level down: the entry for va in the table that e points to. Another vCPU may free tables
 * under us, though not the root, so what is read may be anything: each step is checked.
 */
static inline bool walk_level(pte_t *e, uint64_t va, unsigned int level, struct guest_walk *w)
{
    mfn_t m = _mfn(pte_mfn(*e));

    if (level != 4 && !mfn_valid(m))
        return false;
    *e = READ_ONCE(((pte_t *)mfn_to_virt(m))[pt_index(va, level)]);
    w->all &= *e;
    w->any |= *e;
    return (*e & PTE_P) && (level == 1 || !(*e & PTE_PS));
}

/* Walk the current vCPU v's present root to va; false: not mapped. A snapshot, no reference. */
static bool guest_walk(const struct vcpu *v, uint64_t va, struct guest_walk *w)
{
    *w = (struct guest_walk){ .l1e = arch_vcpu_root(v), .all = ~0ULL };
    return walk_level(&w->l1e, va, 4, w) && walk_level(&w->l1e, va, 3, w) &&
           walk_level(&w->l1e, va, 2, w) && walk_level(&w->l1e, va, 1, w);
}

static uint64_t alu(enum alu op, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *rflags)
{
    uint64_t mask = size_mask(bytes), sign = (mask >> 1) + 1, r, overflow = 0, adjust = 0;
    bool cf = false;

    switch (op) {
    case ALU_ADD:
        r = (a + b) & mask;
        cf = r < a;
        overflow = (a ^ r) & (b ^ r) & sign;
        adjust = a ^ b ^ r;
        break;
    case ALU_SUB:
        r = (a - b) & mask;
        cf = a < b;
        overflow = (a ^ b) & (a ^ r) & sign;
        adjust = a ^ b ^ r;
        break;
    case ALU_OR: r = a | b; break;
    case ALU_AND: r = a & b; break;
    default: r = a ^ b; break;
    }
    *rflags = (*rflags & ~(uint64_t)RFLAGS_ARITH) | (cf ? RFLAGS_CF : 0) |
              (overflow ? RFLAGS_OF : 0) | (adjust & RFLAGS_AF) | (r ? 0 : RFLAGS_ZF) |
              (r & sign ? RFLAGS_SF : 0) | (__builtin_parity(r & 0xff) ? 0 : RFLAGS_PF);
    return r;
}

/* BTS, BTR, BTC: how = 1, 2, 3 as in the opcodes; only CF is affected. */
static void bit_op(struct outcome *o, unsigned int how, uint64_t old, uint64_t bit)
{
    o->value = how == 1 ? old | bit : how == 2 ? old & ~bit : old ^ bit;
    o->rflags = (o->rflags & ~(uint64_t)RFLAGS_CF) | (old & bit ? RFLAGS_CF : 0);
}

static bool group3_4_5(struct outcome *o, const struct insn *i, uint64_t old)
{
    unsigned int which = (i->modrm >> 3 & 7) | (i->op & 8); /* F6 F7: 0..7, FE FF: 8..15 */
    uint64_t cf = o->rflags & RFLAGS_CF;

    switch (which) {
    case 2: /* NOT */
        o->value = ~old & size_mask(i->bytes);
        return true;
    case 3: /* NEG */
        o->value = alu(ALU_SUB, 0, old, i->bytes, &o->rflags);
        return true;
    case 8: case 9: /* INC, DEC leave CF alone */
        o->value = alu(which == 8 ? ALU_ADD : ALU_SUB, old, 1, i->bytes, &o->rflags);
        o->rflags = (o->rflags & ~(uint64_t)RFLAGS_CF) | cf;
        return true;
    default:
        return false;
    }
}

/* A failed comparison stores what was there, as the CPU does: so it is confirmed, too. */
static void cmpxchg(struct outcome *o, const struct cpu_user_regs *regs, const struct insn *i,
                    uint64_t old)
{
    struct insn as_rax = { .bytes = i->bytes };
    uint64_t rax = reg_read(regs, &as_rax, GPR_RAX);

    alu(ALU_SUB, rax, old, i->bytes, &o->rflags);
    o->value = rax == old ? reg_read(regs, i, i->reg) : old;
    if (rax != old) {
        o->reg = GPR_RAX;
        o->result = old;
    }
}

/* What i makes of old. False: not an instruction that stores, or not one we know. */
static bool execute(struct outcome *o, const struct insn *i, const struct cpu_user_regs *regs,
                    uint64_t old)
{
    unsigned int bits = 8u * i->bytes, sub = i->modrm >> 3 & 7;
    uint64_t imm = (uint64_t)i->imm & size_mask(i->bytes);

    *o = (struct outcome){ .rflags = regs->rflags, .reg = NO_REG };
    switch (i->op) {
    case OP(0x88): case OP(0x89): case OP_0F(0xc3):
        o->value = reg_read(regs, i, i->reg);
        return i->op != OP_0F(0xc3) || i->bytes >= 4;
    case OP(0xa2): case OP(0xa3): case OP(0xaa): case OP(0xab):
        o->value = regs->rax & size_mask(i->bytes);
        return true;
    case OP(0xc6): case OP(0xc7):
        o->value = imm;
        return sub == 0;
    case OP(0x86): case OP(0x87):
        o->value = reg_read(regs, i, i->reg);
        o->reg = i->reg;
        o->result = old;
        return true;
    case OP_0F(0xb0): case OP_0F(0xb1):
        cmpxchg(o, regs, i, old);
        return true;
    case OP_0F(0xab): case OP_0F(0xb3): case OP_0F(0xbb):
        bit_op(o, i->op >> 3 & 3, old, 1ULL << (reg_read(regs, i, i->reg) & (bits - 1)));
        return true;
    case OP_0F(0xba):
        bit_op(o, sub & 3, old, 1ULL << (imm & (bits - 1)));
        return sub > 4;
    case OP(0xf6): case OP(0xf7): case OP(0xfe): case OP(0xff):
        return group3_4_5(o, i, old);
    case OP(0x80): case OP(0x81): case OP(0x83):
        o->value = alu(sub, old, imm, i->bytes, &o->rflags);
        return sub < 2 || (sub > 3 && sub < 7);
    default:
        if (i->op > 0x31)
            return false;
        o->value = alu(i->op >> 3 & 7, old, reg_read(regs, i, i->reg), i->bytes, &o->rflags);
        return true;
    }
}

/* The address i stores to; a bit number in a register reaches beyond the operand named. */
static uint64_t store_address(struct vcpu *v, struct insn *i, const struct cpu_user_regs *regs)
{
    uint64_t ea = i->ea;

    if (i->op == OP(0xaa) || i->op == OP(0xab)) {
        ea = regs->rdi;
        i->segment = SEG_FLAT; /* always ES */
    } else if (i->op == OP_0F(0xab) || i->op == OP_0F(0xb3) || i->op == OP_0F(0xbb)) {
        unsigned int unused = 64 - 8u * i->bytes;
        int64_t bit = (int64_t)(reg_read(regs, i, i->reg) << unused) >> unused;

        ea += (uint64_t)((bit >> (i->bytes == 8 ? 6 : i->bytes == 4 ? 5 : 4)) * i->bytes);
    }
    if (i->addr32)
        ea &= 0xffffffff;
    return insn_linear(v, i, ea);
}

/*
 * Apply i to its operand in table, at offset. 0 done, 1 try again, -EINVAL. We hold no reference:
 * paging checks the frame under its lock, and a value read before is used if it is confirmed then.
 */
static int store(struct vcpu *v, const struct insn *i, const struct cpu_user_regs *regs,
                 mfn_t table, unsigned int offset, struct outcome *o)
{
    unsigned int shift = (offset & 7) * 8, entry = offset & ~7u;
    uint64_t mask = size_mask(i->bytes) << shift;
    pte_t old = READ_ONCE(((pte_t *)mfn_to_virt(table))[entry / 8]), new, seen = old;
    bool cmpxchg = !i->blind || i->bytes != 8;
    int rc;

    for (unsigned int n = 0; n < CMPXCHG_TRIES; n++) {
        if (!execute(o, i, regs, (old & mask) >> shift))
            return -EINVAL;
        new = (old & ~mask) | (o->value << shift & mask);
        rc = paging_emulated_write(v, table, entry, old, new, cmpxchg, &seen);
        if (rc <= 0)
            return rc == -ERESTART || rc == -EAGAIN ? 1 : rc;
        old = seen;
    }
    return 1;
}

/* STOS, with REP as far as it stays in the page and in a batch. 0 done, 1 more to do, -EINVAL. */
static int store_string(struct vcpu *v, const struct insn *i, struct cpu_user_regs *regs,
                        mfn_t table, unsigned int offset)
{
    uint64_t mask = i->addr32 ? 0xffffffff : ~0ULL, left = i->rep ? regs->rcx & mask : 1;
    int64_t step = regs->rflags & RFLAGS_DF ? -(int64_t)i->bytes : i->bytes;
    struct outcome o;
    int rc = 0;

    for (unsigned int n = 0; left && n < STOS_BATCH && offset < PAGE_SIZE; n++) {
        rc = store(v, i, regs, table, offset, &o);
        if (rc)
            return n ? 1 : rc; /* a refusal shows when it is the first one */
        offset += (unsigned int)step;
        regs->rdi = (regs->rdi + (uint64_t)step) & mask;
        left--;
        if (i->rep)
            regs->rcx = left;
    }
    return left != 0;
}

static void commit(struct cpu_user_regs *regs, const struct insn *i, const struct outcome *o)
{
    regs->rflags = o->rflags;
    if (o->reg != NO_REG)
        reg_write(regs, i, o->reg, o->result);
}

/*
 * What nearly all such writes are: MOV or XCHG of a 64-bit register and memory at base register
 * plus displacement. Half the time of the general way, which is gone on false.
 */
static bool emulate_mov_xchg(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2, mfn_t table)
{
    unsigned int mod, len, entry = cr2 & ~PAGE_MASK & ~7ULL;
    uint64_t rip = regs->rip, *reg;
    int32_t disp = 0;
    pte_t old, seen;
    uint8_t b[8];

    if ((rip & ~PAGE_MASK) > PAGE_SIZE - sizeof(b) || !guest_range_ok(rip, sizeof(b)) ||
        !code_is_64bit(v, regs->cs) || copy_from_guest(b, _gva(rip), sizeof(b)))
        return false;
    mod = b[2] >> 6;
    if ((b[0] & 0xf8) != 0x48 || (b[1] != 0x89 && b[1] != 0x87) || mod == 3 ||
        (b[2] & 7) == GPR_RSP || (mod == 0 && (b[2] & 7) == GPR_RBP))
        return false;
    if (mod == 1)
        disp = (int8_t)b[3];
    else if (mod == 2)
        memcpy(&disp, b + 3, sizeof(disp));
    len = mod == 0 ? 3 : mod == 1 ? 4 : 7;
    if (cr2 % 8 || *reg_whole(regs, (b[2] & 7) | (b[0] & 1) << 3) + (uint64_t)(int64_t)disp != cr2)
        return false;
    reg = reg_whole(regs, (b[2] >> 3 & 7) | (b[0] & 4) << 1);
    old = READ_ONCE(((pte_t *)mfn_to_virt(table))[entry / 8]);
    if (paging_emulated_write(v, table, entry, old, *reg, b[1] == 0x87, &seen))
        return false;
    if (b[1] == 0x87)
        *reg = old;
    insn_retire(v, regs, len);
    return true;
}

/* The guest's kernel wrote to table, an L1 that cr2 maps. */
static bool emulate_write(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2, mfn_t table)
{
    struct outcome o;
    struct insn i;
    uint64_t va;
    int rc = insn_fetch(v, regs, &i);

    if (rc)
        return rc == -EFAULT; /* the guest has a page fault for its code instead */
    va = store_address(v, &i, regs);
    if (((va ^ cr2) & PAGE_MASK) || (va & (i.bytes - 1)))
        return false;
    if (i.op == OP(0xaa) || i.op == OP(0xab)) {
        rc = store_string(v, &i, regs, table, va & ~PAGE_MASK);
    } else if (!i.mem) {
        return false;
    } else {
        rc = store(v, &i, regs, table, va & ~PAGE_MASK, &o);
        if (rc == 0)
            commit(regs, &i, &o);
    }
    if (rc == 0)
        insn_retire(v, regs, i.len);
    return rc >= 0;
}

bool guest_page_fault(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2)
{
    uint32_t ec = regs->error_code;
    struct guest_walk w;
    uint64_t type;
    mfn_t m;
    bool done;

    /* nothing is cached of what is not present; further bits: features that guests do not have */
    if ((ec & ~(PFEC_WRITE | PFEC_USER | PFEC_FETCH)) != PFEC_PRESENT || !guest_range_ok(cr2, 1) ||
        !guest_walk(v, cr2, &w))
        return false;
    if ((w.all & PTE_US) && !((ec & PFEC_WRITE) && !(w.all & PTE_RW)) &&
        !((ec & PFEC_FETCH) && (w.any & PTE_NX))) {
        arch_flush_tlb_page_local(cr2); /* spurious */
        return true;
    }
    m = _mfn(pte_mfn(w.l1e));
    if (!(ec & PFEC_WRITE) || !v->arch.kernel_mode || (w.l1e & PTE_RW) || !mfn_valid(m))
        return false;
    /* a cheap look; paging_emulated_write() checks this and the owner under its lock */
    type = atomic_load_explicit(&mfn_to_page(m)->type_info, memory_order_relaxed);
    if (PGT_TYPE(type) != PGT_L1 || !(type & PGT_VALID))
        return false;
    done = emulate_mov_xchg(v, regs, cr2, m) || emulate_write(v, regs, cr2, m);
    if (!done)
        gprint(LOG_DEBUG, "d%uv%u: write to a page table at %lx refused, rip %lx\n",
               v->domain->domain_id, v->vcpu_id, cr2, regs->rip);
    return done;
}
