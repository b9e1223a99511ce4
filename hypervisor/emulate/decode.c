/*
 * The decoder. It reads a private copy of the instruction, so what is decoded is what is emulated,
 * whatever other vCPUs write meanwhile; an instruction that is not in the table is refused and the
 * guest gets the exception that the hardware raised. Addresses are not computed: of an instruction
 * that faulted on memory the CPU tells the address, the others use none.
 */
#include "emulate/decode.h"

#include "memory/frame.h"
#include "memory/guest_copy.h"

/* What a byte is, and what follows it. F_LOCK: the prefix, or an opcode that may have it. */
enum { F_PREFIX = 1, F_REX = 2, F_SIZE16 = 4, F_LOCK = 8 };
enum { F_KNOWN = 16, F_BYTE = 32, F_IMM8 = 64, F_IMMZ = 128, F_MODRM = 256 };
/* F_ADDRESS: prefixes that move what a string instruction, F_STRING, reads or writes. */
enum { F_REP = 512, F_ADDRESS = 1024, F_STRING = 2048 };
#define RM (F_KNOWN | F_MODRM)
#define KIND(kind) ((kind) << 12)
#define MOV (RM | KIND(INSN_MOV))
#define LOGIC (RM | F_LOCK | KIND(INSN_LOGIC))
#define BIT (RM | F_LOCK | KIND(INSN_BIT))

/* clang-format off */
static const uint16_t opcodes[512] = {
    [0x26] = F_PREFIX, [0x2e] = F_PREFIX, [0x36] = F_PREFIX, [0x3e] = F_PREFIX,
    [0x40 ... 0x4f] = F_PREFIX | F_REX, [0x64 ... 0x65] = F_PREFIX | F_ADDRESS,
    [0x66] = F_PREFIX | F_SIZE16, [0x67] = F_PREFIX | F_ADDRESS,
    [0xf0] = F_PREFIX | F_LOCK, [0xf2 ... 0xf3] = F_PREFIX | F_REP,
    /* OR AND XOR, XCHG, MOV; of 8 bits only with an immediate, so there is no AH to BH */
    [0x09] = LOGIC, [0x21] = LOGIC, [0x31] = LOGIC,
    [0x80] = LOGIC | F_IMM8 | F_BYTE, [0x81] = LOGIC | F_IMMZ, [0x83] = LOGIC | F_IMM8,
    [0x87] = RM | F_LOCK | KIND(INSN_XCHG),
    [0x89] = MOV, [0xc6] = MOV | F_IMM8 | F_BYTE, [0xc7] = MOV | F_IMMZ,
    /* BTS BTR BTC, CMPXCHG */
    [OP_0F(0xab)] = BIT, [OP_0F(0xb3)] = BIT, [OP_0F(0xbb)] = BIT, [OP_0F(0xba)] = BIT | F_IMM8,
    [OP_0F(0xb1)] = RM | F_LOCK | KIND(INSN_CMPXCHG),
    /* INS, OUTS; IN, OUT, CLI, STI */
    [0x6c] = F_KNOWN | F_STRING | F_BYTE, [0x6d] = F_KNOWN | F_STRING,
    [0x6e] = F_KNOWN | F_STRING | F_BYTE, [0x6f] = F_KNOWN | F_STRING,
    [0xe4] = F_KNOWN | F_IMM8 | F_BYTE, [0xe5] = F_KNOWN | F_IMM8,
    [0xe6] = F_KNOWN | F_IMM8 | F_BYTE, [0xe7] = F_KNOWN | F_IMM8,
    [0xec] = F_KNOWN | F_BYTE, [0xed] = F_KNOWN, [0xee] = F_KNOWN | F_BYTE, [0xef] = F_KNOWN,
    [0xfa ... 0xfb] = F_KNOWN,
    /* RDTSCP and XSETBV; CLTS, INVD WBINVD; MOV CR DR; WRMSR RDTSC RDMSR */
    [OP_0F(0x01)] = RM, [OP_0F(0x06)] = F_KNOWN, [OP_0F(0x08) ... OP_0F(0x09)] = F_KNOWN,
    [OP_0F(0x20) ... OP_0F(0x23)] = RM, [OP_0F(0x30) ... OP_0F(0x32)] = F_KNOWN,
};
/* clang-format on */

/* The bytes of a memory operand behind its ModRM: SIB and displacement. */
static unsigned int operand_bytes(uint8_t modrm, uint8_t sib)
{
    unsigned int mod = modrm >> 6, base = modrm & 7, n = 0;

    if (base == GPR_RSP) {
        n = 1;
        base = sib & 7;
    }
    return mod == 1 ? n + 1 : mod == 2 || base == GPR_RBP ? n + 4 : n;
}

int insn_decode(struct insn *i, const uint8_t bytes[INSN_BUFFER], unsigned int nr)
{
    const uint8_t *p = bytes;
    unsigned int flags, n, prefixes = 0;
    uint32_t imm;
    uint8_t rex = 0;

    while (((flags = opcodes[*p]) & F_PREFIX) && p < bytes + INSN_BYTES_MAX) {
        prefixes |= flags;
        rex = flags & F_REX ? *p : 0; /* it counts only right before the opcode */
        p++;
    }
    *i = (struct insn){ .op = *p++ };
    if (i->op == 0x0f) {
        i->op = OP_0F(*p++);
        flags = opcodes[i->op];
    }
    i->kind = (uint8_t)(flags >> 12);
    i->rep = prefixes & F_REP;
    i->bytes = flags & F_BYTE ? 1 : rex & 8 ? 8 : prefixes & F_SIZE16 ? 2 : 4;
    if (flags & F_MODRM) {
        i->modrm = *p++;
        i->reg = (i->modrm >> 3 & 7) | (rex & 4) << 1;
        i->rm = (i->modrm & 7) | (rex & 1) << 3;
        i->mem = i->modrm < 0xc0;
        p += i->mem ? operand_bytes(i->modrm, *p) : 0;
    }
    if (flags & (F_IMM8 | F_IMMZ)) {
        i->has_imm = true;
        memcpy(&imm, p, sizeof(imm));
        n = flags & F_IMM8 ? 1 : i->bytes == 2 ? 2 : 4;
        i->imm = (int32_t)(imm << (32 - 8 * n)) >> (32 - 8 * n);
        p += n;
    }
    i->len = (uint8_t)(p - bytes);
    if (i->len > nr && nr < INSN_BYTES_MAX)
        return -EFAULT; /* of what was decoded, some was not there */
    if (i->len > INSN_BYTES_MAX || !(flags & F_KNOWN) || (prefixes & ~flags & F_LOCK))
        return -EINVAL;
    if ((flags & F_STRING) && (prefixes & F_ADDRESS)) /* no kernel uses them there */
        return -EINVAL;
    return (prefixes & F_LOCK) && !i->mem ? -EINVAL : 0;
}

/* The decoder knows 64-bit code only: look cs up as the CPU did. */
static noinline bool code_is_64bit(const struct vcpu *v, uint16_t cs)
{
    const mfn_t *frames = cs & 4 ? v->arch.ldt_frames : v->arch.gdt_frames;
    unsigned int nr = cs & 4 ? v->arch.nr_ldt_ents : v->arch.nr_gdt_ents, n = cs >> 3;
    mfn_t m = frames[array_index_nospec(n, nr) / 512];

    return n < nr && mfn_valid(m) && (READ_ONCE(((uint64_t *)mfn_to_virt(m))[n % 512]) >> 53 & 1);
}

/* What each CPU decoded last, and of which bytes: kernels write page tables in loops. */
static struct recent {
    uint64_t bytes[2];
    struct insn insn;
} recent[NR_CPUS];

static noinline int fetch_and_decode(struct vcpu *v, uint64_t rip, struct insn *i)
{
    unsigned int nr = 0, want = MIN(PAGE_SIZE - (rip & ~PAGE_MASK), sizeof(recent->bytes));
    uint64_t buf[INSN_BUFFER / 8] = { 0 };
    uint8_t *p = (uint8_t *)buf;
    int rc;

    for (; copy_from_guest(p + nr, _gva(rip + nr), want - nr) == 0; want = INSN_BYTES_MAX) {
        nr = want;
        rc = insn_decode(i, p, nr);
        if (rc == 0 && nr == sizeof(recent->bytes))
            recent[this_pcpu()->id] = (struct recent){ { buf[0], buf[1] }, *i };
        if (rc != -EFAULT)
            return rc;
    } /* and now the other page */
    if (!guest_va_ok(rip + nr))
        return -EINVAL;
    arch_inject_page_fault(v, rip + nr, PFEC_USER | PFEC_FETCH);
    return -EFAULT;
}

int insn_fetch(struct vcpu *v, const struct cpu_user_regs *regs, struct insn *i)
{
    const struct recent *r = &recent[this_pcpu()->id];
    uint64_t bytes[2];

    if (unlikely((regs->cs | 3) != FLAT_RING3_CS64) && !code_is_64bit(v, regs->cs))
        return -EINVAL;
    /* a copy of its own: what is not the one before is fetched anew, and only that is used */
    if (likely((regs->rip & ~PAGE_MASK) <= PAGE_SIZE - sizeof(bytes)) && r->insn.len &&
        copy_from_guest(bytes, _gva(regs->rip), sizeof(bytes)) == 0 && bytes[0] == r->bytes[0] &&
        bytes[1] == r->bytes[1]) {
        *i = r->insn;
        return 0;
    }
    return fetch_and_decode(v, regs->rip, i);
}

void single_step(struct vcpu *v)
{
    v->arch.dr[6] |= DR6_SINGLE_STEP;
    arch_inject_exception(v, VECTOR_DB, 0);
}

uint64_t *reg_whole(struct cpu_user_regs *regs, unsigned int n)
{
#define REG(r) offsetof(struct cpu_user_regs, r)
    static const uint8_t offset[16] = { REG(rax), REG(rcx), REG(rdx), REG(rbx), REG(rsp), REG(rbp),
                                        REG(rsi), REG(rdi), REG(r8),  REG(r9),  REG(r10), REG(r11),
                                        REG(r12), REG(r13), REG(r14), REG(r15) };
    return (uint64_t *)((char *)regs + offset[n & 15]);
}

void reg_write(struct cpu_user_regs *regs, unsigned int n, unsigned int bytes, uint64_t value)
{
    uint64_t *r = reg_whole(regs, n), mask = size_mask(bytes);

    *r = (bytes == 4 ? 0 : *r & ~mask) | (value & mask);
}
