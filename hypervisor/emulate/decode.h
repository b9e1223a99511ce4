/*
 * Private to emulate/: the decoder for the x86-64 instructions that we emulate, and the guest's
 * registers and memory as an instruction names them.
 */
#pragma once
#include "memory/objects.h"
#include "x86/pte.h"

#define INSN_BYTES_MAX 15
#define INSN_BUFFER 32 /* the decoder may look at what follows, but never uses it */

#define OP(b) (b)            /* one-byte opcode */
#define OP_0F(b) (0x100 | (b))

enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };

#define RFLAGS_CF (1u << 0)
#define RFLAGS_PF (1u << 2)
#define RFLAGS_AF (1u << 4)
#define RFLAGS_ZF (1u << 6)
#define RFLAGS_SF (1u << 7)
#define RFLAGS_TF (1u << 8)
#define RFLAGS_DF (1u << 10)
#define RFLAGS_OF (1u << 11)
#define RFLAGS_RF (1u << 16)
#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define DR6_SINGLE_STEP (1u << 14)
#define VECTOR_DB 1
#define VECTOR_GP 13

/* page-fault error code */
#define PFEC_PRESENT 1u
#define PFEC_WRITE 2u
#define PFEC_USER 4u
#define PFEC_FETCH 16u

enum insn_segment { SEG_FLAT, SEG_FS, SEG_GS };

struct insn {
    uint16_t op;             /* OP() or OP_0F() */
    uint8_t len;             /* all of it, 1..15 */
    uint8_t bytes;           /* operand size: 1, 2, 4, 8 */
    uint8_t rex, modrm;
    uint8_t reg, rm;         /* ModRM fields with their REX bits */
    uint8_t segment;         /* enum insn_segment: override */
    bool lock, rep, addr32;
    bool blind;              /* a plain store: what was there does not matter */
    bool mem;                /* ModRM or moffs names memory, at ea */
    int64_t imm;             /* sign-extended */
    uint64_t ea;             /* without the segment's base */
};

/**
 * Decode one instruction at regs->rip from its first nr bytes (at most 15; what follows them in
 * the buffer is initialised, no more). 0; -EINVAL not one that we emulate, or malformed; -EFAULT it
 * goes on beyond nr bytes.
 */
int insn_decode(struct insn *i, const uint8_t bytes[INSN_BUFFER], unsigned int nr,
                const struct cpu_user_regs *regs);

/**
 * Fetch the instruction at regs->rip once, and decode it. 0; -EINVAL as above, or not 64-bit code;
 * -EFAULT its bytes are not all there, and the guest already has the page fault for it.
 */
int insn_fetch(struct vcpu *v, const struct cpu_user_regs *regs, struct insn *i);

/** The decoder knows 64-bit code only: look cs up as the CPU did. */
bool code_is_64bit(const struct vcpu *v, uint16_t cs);

/** The instruction is done: go behind it, and single-step if the guest wants that. */
void insn_retire(struct vcpu *v, struct cpu_user_regs *regs, unsigned int len);

/** The address that i's memory operand at offset ea has with its segment. */
uint64_t insn_linear(struct vcpu *v, const struct insn *i, uint64_t ea);

/* General register n: the whole, and as an operand of i's size (old AH..BH forms included). */
uint64_t *reg_whole(struct cpu_user_regs *regs, unsigned int n);
uint64_t reg_read(const struct cpu_user_regs *regs, const struct insn *i, unsigned int n);
void reg_write(struct cpu_user_regs *regs, const struct insn *i, unsigned int n, uint64_t value);

static inline uint64_t size_mask(unsigned int bytes) { return ~0ULL >> (64 - 8 * bytes); }

/** [va, va + len) is canonical and none of it the hypervisor's. */
static inline bool guest_range_ok(uint64_t va, uint64_t len)
{
    return va < 0x0000800000000000ULL ? len <= 0x0000800000000000ULL - va
                                      : va >= HV_VIRT_END && len - 1 <= ~va;
}
