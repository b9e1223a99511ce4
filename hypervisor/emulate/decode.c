/*
 * The decoder. It reads a private copy of the instruction, so what is decoded is what is emulated,
 * whatever other vCPUs write meanwhile; an instruction that is not in the tables is refused and the
 * guest gets the exception that the hardware raised.
 */
#include "emulate/decode.h"

#include "lib/errno.h"
#include "lib/lib.h"
#include "memory/frame.h"
#include "memory/guest_copy.h"

/* What follows an opcode */
#define F_KNOWN 0x01
#define F_MODRM 0x02
#define F_IMM8 0x04
#define F_IMMZ 0x08  /* 2 or 4 bytes */
#define F_MOFFS 0x10 /* an address in place of ModRM */
#define F_BYTE 0x20  /* 8-bit operand */
#define F_LOCK 0x40  /* may have LOCK with a memory operand */
#define F_STORE 0x80 /* stores whatever was there */

#define RM (F_KNOWN | F_MODRM)
#define ALU(b) [b] = RM | F_LOCK | F_BYTE, [(b) + 1] = RM | F_LOCK

static const uint8_t one_byte[256] = {
    ALU(0x00), ALU(0x08), ALU(0x20), ALU(0x28), ALU(0x30),
    [0x6c] = F_KNOWN | F_BYTE, [0x6d] = F_KNOWN, [0x6e] = F_KNOWN | F_BYTE, [0x6f] = F_KNOWN,
    [0x80] = RM | F_LOCK | F_IMM8 | F_BYTE, [0x81] = RM | F_LOCK | F_IMMZ,
    [0x83] = RM | F_LOCK | F_IMM8,
    ALU(0x86),
    [0x88] = RM | F_STORE | F_BYTE, [0x89] = RM | F_STORE,
    [0xa2] = F_KNOWN | F_STORE | F_MOFFS | F_BYTE, [0xa3] = F_KNOWN | F_STORE | F_MOFFS,
    [0xaa] = F_KNOWN | F_STORE | F_BYTE, [0xab] = F_KNOWN | F_STORE,
    [0xc6] = RM | F_STORE | F_IMM8 | F_BYTE, [0xc7] = RM | F_STORE | F_IMMZ,
    [0xe4] = F_KNOWN | F_IMM8 | F_BYTE, [0xe5] = F_KNOWN | F_IMM8,
    [0xe6] = F_KNOWN | F_IMM8 | F_BYTE, [0xe7] = F_KNOWN | F_IMM8,
    [0xec] = F_KNOWN | F_BYTE, [0xed] = F_KNOWN, [0xee] = F_KNOWN | F_BYTE, [0xef] = F_KNOWN,
    [0xfa] = F_KNOWN, [0xfb] = F_KNOWN,
    ALU(0xf6), /* only NOT and NEG: TEST's immediate is not decoded */
    ALU(0xfe),
};

static const uint8_t two_byte[256] = {
    [0x01] = RM, [0x06] = F_KNOWN, [0x08] = F_KNOWN, [0x09] = F_KNOWN,
    [0x20] = RM, [0x21] = RM, [0x22] = RM, [0x23] = RM,
    [0x30] = F_KNOWN, [0x31] = F_KNOWN, [0x32] = F_KNOWN,
    [0xa2] = F_KNOWN,
    [0xab] = RM | F_LOCK, [0xb3] = RM | F_LOCK, [0xbb] = RM | F_LOCK, /* BTS BTR BTC */
    [0xba] = RM | F_LOCK | F_IMM8,
    ALU(0xb0), /* CMPXCHG */
    [0xc3] = RM | F_STORE, /* MOVNTI */
};

/* n bytes (1, 2, 4, 8), sign-extended */
static int64_t number_at(const uint8_t *p, unsigned int n)
{
    unsigned int unused = 64 - 8 * n;
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return (int64_t)(x << unused) >> unused;
}

/* The prefixes and the opcode; returns the opcode's flags, 0 if it is unknown. */
static unsigned int decode_opcode(struct insn *i, const uint8_t **p, bool *opsize16)
{
    for (const uint8_t *end = *p + INSN_BYTES_MAX; *p < end;) {
        uint8_t b = *(*p)++;

        if ((b & 0xf0) == 0x40) {
            i->rex = b;
            b = *(*p)++; /* counts only right before the opcode */
        }
        switch (b) {
        case 0x66: *opsize16 = true; break;
        case 0x67: i->addr32 = true; break;
        case 0xf0: i->lock = true; break;
        case 0xf2: case 0xf3: i->rep = true; break;
        case 0x64: i->segment = SEG_FS; break;
        case 0x65: i->segment = SEG_GS; break;
        case 0x26: case 0x2e: case 0x36: case 0x3e: break; /* no meaning in 64-bit code */
        case 0x0f:
            b = *(*p)++;
            i->op = OP_0F(b);
            return two_byte[b];
        default:
            i->op = OP(b);
            return one_byte[b];
        }
        i->rex = 0;
    }
    return 0;
}

/* ModRM, SIB and displacement. True: ea still lacks the address of the next instruction. */
static bool decode_modrm(struct insn *i, const uint8_t **p, const struct cpu_user_regs *regs)
{
    struct cpu_user_regs *r = (struct cpu_user_regs *)(uintptr_t)regs; /* only read */
    unsigned int mod, base, index;
    bool rip_relative = false;
    uint8_t sib;

    i->modrm = *(*p)++;
    mod = i->modrm >> 6;
    i->reg = (i->modrm >> 3 & 7) | (i->rex & 4) << 1;
    i->rm = (i->modrm & 7) | (i->rex & 1) << 3;
    i->mem = mod != 3;
    if (!i->mem)
        return false;
    base = i->rm;
    if ((i->modrm & 7) == 4) {
        sib = *(*p)++;
        base = (sib & 7) | (i->rex & 1) << 3;
        index = (sib >> 3 & 7) | (i->rex & 2) << 2;
        if (index != GPR_RSP)
            i->ea = *reg_whole(r, index) << (sib >> 6);
    }
    if (mod != 0 || (base & 7) != GPR_RBP) {
        i->ea += *reg_whole(r, base);
    } else { /* no base but a 32-bit displacement */
        mod = 2;
        rip_relative = (i->modrm & 7) != 4;
    }
    if (mod != 0) {
        i->ea += (uint64_t)number_at(*p, mod == 1 ? 1 : 4);
        *p += mod == 1 ? 1 : 4;
    }
    return rip_relative;
}

int insn_decode(struct insn *i, const uint8_t bytes[INSN_BUFFER], unsigned int nr,
                const struct cpu_user_regs *regs)
{
    const uint8_t *p = bytes;
    bool opsize16 = false, rip_relative;
    unsigned int flags, n;

    *i = (struct insn){ 0 };
    flags = decode_opcode(i, &p, &opsize16);
    i->bytes = flags & F_BYTE ? 1 : i->rex & 8 ? 8 : opsize16 ? 2 : 4;
    i->blind = flags & F_STORE;
    rip_relative = (flags & F_MODRM) && decode_modrm(i, &p, regs);
    if (flags & F_MOFFS) {
        n = i->addr32 ? 4 : 8;
        i->ea = (uint64_t)number_at(p, n);
        i->mem = true;
        p += n;
    }
    if (flags & (F_IMM8 | F_IMMZ)) {
        n = flags & F_IMM8 ? 1 : i->bytes == 2 ? 2 : 4;
        i->imm = number_at(p, n);
        p += n;
    }
    i->len = (uint8_t)(p - bytes);
    if (i->len > nr && nr < INSN_BYTES_MAX)
        return -EFAULT; /* of what was decoded, some was not there */
    if (i->len > nr || flags == 0 || (i->lock && !((flags & F_LOCK) && i->mem)))
        return -EINVAL;
    if (rip_relative)
        i->ea += regs->rip + i->len;
    if (i->addr32)
        i->ea &= 0xffffffff;
    return 0;
}

bool code_is_64bit(const struct vcpu *v, uint16_t cs)
{
    unsigned int n = cs >> 3;
    bool ldt = cs & 4;
    mfn_t m;

    if ((cs | 3) == FLAT_RING3_CS64)
        return true;
    if (n >= (ldt ? v->arch.nr_ldt_ents : v->arch.nr_gdt_ents))
        return false;
    m = ldt ? v->arch.ldt_frames[n / 512 % ARRAY_SIZE(v->arch.ldt_frames)]
            : v->arch.gdt_frames[n / 512 % ARRAY_SIZE(v->arch.gdt_frames)];
    return mfn_valid(m) && (READ_ONCE(((uint64_t *)mfn_to_virt(m))[n % 512]) >> 53 & 1);
}

int insn_fetch(struct vcpu *v, const struct cpu_user_regs *regs, struct insn *i)
{
    uint64_t rip = regs->rip;
    unsigned int in_page = PAGE_SIZE - (rip & ~PAGE_MASK), nr = MIN(in_page, INSN_BYTES_MAX), rest;
    uint8_t buf[INSN_BUFFER] = { 0 };
    int rc;

    if (!guest_range_ok(rip, nr) || !code_is_64bit(v, regs->cs))
        return -EINVAL;
    nr -= (unsigned int)MIN(arch_copy_from_guest(buf, rip, nr), nr);
    rc = insn_decode(i, buf, nr, regs);
    if (rc != -EFAULT)
        return rc;
    rest = nr == in_page ? INSN_BYTES_MAX - nr : 0; /* the other page */
    if (!guest_range_ok(rip + nr, rest + 1))
        return -EINVAL;
    if (rest) {
        nr += rest - (unsigned int)MIN(arch_copy_from_guest(buf + nr, rip + nr, rest), rest);
        rc = insn_decode(i, buf, nr, regs);
        if (rc != -EFAULT)
            return rc;
    }
    arch_inject_page_fault(v, rip + nr, PFEC_USER | PFEC_FETCH);
    return -EFAULT;
}

void insn_retire(struct vcpu *v, struct cpu_user_regs *regs, unsigned int len)
{
    regs->rip += len;
    regs->rflags &= ~(uint64_t)RFLAGS_RF;
    if (unlikely(regs->rflags & RFLAGS_TF)) {
        v->arch.dr[6] |= DR6_SINGLE_STEP;
        arch_inject_exception(v, VECTOR_DB, 0);
    }
}

uint64_t insn_linear(struct vcpu *v, const struct insn *i, uint64_t ea)
{
    if (i->segment == SEG_FLAT)
        return ea;
    arch_vcpu_save_bases(v);
    if (i->segment == SEG_FS)
        return ea + v->arch.fs_base;
    return ea + (v->arch.kernel_mode ? v->arch.gs_base_kernel : v->arch.gs_base_user);
}

uint64_t *reg_whole(struct cpu_user_regs *regs, unsigned int n)
{
#define REG(r) offsetof(struct cpu_user_regs, r)
    static const uint8_t offset[16] = { REG(rax), REG(rcx), REG(rdx), REG(rbx), REG(rsp), REG(rbp),
                                        REG(rsi), REG(rdi), REG(r8),  REG(r9),  REG(r10), REG(r11),
                                        REG(r12), REG(r13), REG(r14), REG(r15) };
    return (uint64_t *)((char *)regs + offset[n & 15]);
}

static bool is_high_byte(const struct insn *i, unsigned int n)
{
    return i->bytes == 1 && !i->rex && n >= 4; /* AH CH DH BH */
}

uint64_t reg_read(const struct cpu_user_regs *regs, const struct insn *i, unsigned int n)
{
    struct cpu_user_regs *r = (struct cpu_user_regs *)(uintptr_t)regs; /* only read */

    if (is_high_byte(i, n))
        return *reg_whole(r, n - 4) >> 8 & 0xff;
    return *reg_whole(r, n) & size_mask(i->bytes);
}

void reg_write(struct cpu_user_regs *regs, const struct insn *i, unsigned int n, uint64_t value)
{
    unsigned int shift = is_high_byte(i, n) ? 8 : 0;
    uint64_t *r = reg_whole(regs, shift ? n - 4 : n);
    uint64_t mask = (i->bytes == 4 ? ~0ULL : size_mask(i->bytes)) << shift;

    /* a 32-bit result clears the upper half */
    *r = (*r & ~mask) | ((value & size_mask(i->bytes)) << shift);
}
