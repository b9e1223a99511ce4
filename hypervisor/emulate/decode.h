/*
 * Private to emulate/: the decoder for the x86-64 instructions that we emulate, and the guest's
 * registers as an instruction names them.
 */
#pragma once
#include "memory/objects.h"

#define INSN_BYTES_MAX 15
#define INSN_BUFFER 32 /* the decoder may look at what follows, but never uses it */

#define OP_0F(b) (0x100 | (b)) /* opcodes behind 0f; those of one byte are themselves */

enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };

enum { RFLAGS_CF = 1, RFLAGS_PF = 1 << 2, RFLAGS_AF = 1 << 4, RFLAGS_ZF = 1 << 6 };
enum { RFLAGS_SF = 1 << 7, RFLAGS_DF = 1 << 10, RFLAGS_OF = 1 << 11 };
enum { RFLAGS_RF = 1 << 16 };
#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

enum { VENDOR_INTEL = 1, VENDOR_AMD = 2, VENDOR_OTHER = 4, VENDOR_ANY = 7 };
/** The machine's, once cpuid_policy_init() ran; AMD includes Hygon. */
extern uint32_t cpu_vendor;

#define DR6_SINGLE_STEP (1u << 14)
enum { VECTOR_DB = 1, VECTOR_UD = 6, VECTOR_GP = 13 };

/* page-fault error code */
enum { PFEC_PRESENT = 1, PFEC_WRITE = 2, PFEC_USER = 4, PFEC_FETCH = 16 };

/* What writes to page tables is emulated by kind, all others by opcode. */
enum insn_kind { INSN_OTHER, INSN_MOV, INSN_XCHG, INSN_LOGIC, INSN_BIT, INSN_CMPXCHG };

struct insn {
    uint16_t op;   /* one byte, or OP_0F() */
    uint8_t len;   /* all of it, 1..15 */
    uint8_t bytes; /* operand size: 1, 2, 4, 8 */
    uint8_t kind;  /* enum insn_kind */
    uint8_t modrm;
    uint8_t reg, rm; /* ModRM fields with their REX bits */
    bool mem;        /* ModRM names memory; where, the CPU has told us */
    bool has_imm;
    bool rep;    /* F2 or F3; it means something to string instructions only */
    int32_t imm; /* sign-extended */
};

/**
 * Decode one instruction from its first nr bytes (at most 15; what follows them in the buffer is
 * initialised, no more). 0; -EINVAL not one that we emulate, or malformed; -EFAULT it goes on
 * beyond nr bytes.
 */
int insn_decode(struct insn *i, const uint8_t bytes[INSN_BUFFER], unsigned int nr);

/**
 * Fetch the instruction at regs->rip once, and decode it. 0; -EINVAL as above, or not 64-bit code;
 * -EFAULT its bytes are not all there, and the guest already has the page fault for it.
 */
int insn_fetch(struct vcpu *v, const struct cpu_user_regs *regs, struct insn *i);

/** The instruction is done: go behind it, and single-step if the guest wants that. */
void single_step(struct vcpu *v);
static inline void insn_retire(struct vcpu *v, struct cpu_user_regs *regs, unsigned int len)
{
    regs->rip += len;
    regs->rflags &= ~(uint64_t)RFLAGS_RF;
    if (unlikely(regs->rflags & RFLAGS_TF))
        single_step(v);
}

/** General register n. */
uint64_t *reg_whole(struct cpu_user_regs *regs, unsigned int n);
/** Write the operand of 1 to 8 bytes that is register n; one of 4 clears the upper half. */
void reg_write(struct cpu_user_regs *regs, unsigned int n, unsigned int bytes, uint64_t value);

static inline uint64_t size_mask(unsigned int bytes) { return ~0ULL >> (64 - 8 * bytes); }
