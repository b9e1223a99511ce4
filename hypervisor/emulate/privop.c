/*
 * Privileged instructions of PV guests, which run in ring 3: #GP and #UD end here. The guest's
 * kernel believes that it may; its user mode may only what its virtual IOPL, TSD and the forced
 * emulation of CPUID allow. What is not done here goes to the guest as the exception it was.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "emulate/policy.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "memory/frame.h"
#include "paging/paging.h"
#include "sched/time.h"
#include "x86/upcalls.h"

#define STRING_IO_BATCH 256u
#define PORT_PIT_CHANNEL2 0x42

#define CR0_TS (1u << 3)
#define CR0_GUEST 0x80050033u /* PG AM WP NE ET MP PE: what every guest sees, beside TS */

enum verdict {
    REFUSE,  /* the guest gets the exception */
    DONE,    /* go behind the instruction */
    AGAIN,   /* the guest executes it again, or has another exception already */
};

/* ---- ports ---- */

bool ioport_permitted(const struct domain *d, uint16_t port, unsigned int bytes)
{
    if (d->io_bitmap == NULL || bytes > (unsigned int)NR_IOPORTS - port)
        return false;
    for (unsigned int p = port; p < port + bytes; p++)
        if (d->io_bitmap[p / 8] >> (p % 8) & 1)
            return false;
    return true;
}

/* A guest without the port finds no device: all ones; but a PIT that stands still, which Linux
 * notices after three reads rather than after 100,000. */
static uint32_t port_read(struct domain *d, uint16_t port, unsigned int bytes)
{
    uint32_t value = port == PORT_PIT_CHANNEL2 ? 0 : ~0u;

    if (port >= 0xcf8 && port <= 0xcff && pci_conf_port(d, port, bytes, false, &value))
        return value;
    return ioport_permitted(d, port, bytes) ? arch_port_in(port, bytes) : value;
}

static void port_write(struct domain *d, uint16_t port, unsigned int bytes, uint32_t value)
{
    if (port >= 0xcf8 && port <= 0xcff && pci_conf_port(d, port, bytes, true, &value))
        return;
    if (ioport_permitted(d, port, bytes))
        arch_port_out(port, bytes, value);
}

/* A PV kernel runs in "ring 1" unless it asked for the architectural view; user mode in ring 3. */
static bool iopl_ok(const struct vcpu *v)
{
    unsigned int cpl = 3;

    if (v->arch.kernel_mode)
        cpl = v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1 ? 0 : 1;
    return v->arch.iopl >= cpl;
}

/* INS and OUTS; with REP a batch at a time, the registers show how far it is. */
static enum verdict string_io(struct vcpu *v, struct cpu_user_regs *regs, struct insn *i)
{
    bool in = (i->op & ~1) == OP(0x6c);
    uint64_t mask = i->addr32 ? 0xffffffff : ~0ULL, left = i->rep ? regs->rcx & mask : 1;
    uint64_t *index = in ? &regs->rdi : &regs->rsi;
    int64_t step = regs->rflags & RFLAGS_DF ? -(int64_t)i->bytes : i->bytes;

    if (in)
        i->segment = SEG_FLAT; /* always ES */
    for (unsigned int n = 0; left; n++) {
        uint64_t va = insn_linear(v, i, *index & mask);
        uint32_t value = 0;

        if (n == STRING_IO_BATCH)
            return AGAIN;
        if (!guest_range_ok(va, i->bytes))
            return REFUSE;
        if (in)
            value = port_read(v->domain, (uint16_t)regs->rdx, i->bytes);
        if (in ? copy_to_guest(_gva(va), &value, i->bytes)
               : copy_from_guest(&value, _gva(va), i->bytes)) {
            arch_inject_page_fault(v, va, PFEC_USER | (in ? PFEC_WRITE : 0));
            return AGAIN;
        }
        if (!in)
            port_write(v->domain, (uint16_t)regs->rdx, i->bytes, value);
        *index = (*index + (uint64_t)step) & mask;
        left--;
        if (i->rep)
            regs->rcx = left;
    }
    return DONE;
}

static enum verdict port_io(struct vcpu *v, struct cpu_user_regs *regs, struct insn *i)
{
    uint16_t port = i->op & 8 ? (uint16_t)regs->rdx : (uint8_t)i->imm;

    if (i->bytes == 8)
        i->bytes = 4;
    if (!iopl_ok(v))
        return REFUSE;
    if (i->op <= OP(0x6f))
        return string_io(v, regs, i);
    if (i->op & 2)
        port_write(v->domain, port, i->bytes, (uint32_t)regs->rax);
    else
        reg_write(regs, &(struct insn){ .bytes = i->bytes }, GPR_RAX,
                  port_read(v->domain, port, i->bytes));
    return DONE;
}

/* ---- control and debug registers ---- */

static enum verdict read_cr(struct vcpu *v, unsigned int n, uint64_t *value)
{
    switch (n) {
    case 0: *value = (v->arch.cr0 & CR0_TS) | CR0_GUEST; return DONE;
    case 2: *value = v->arch.cr2; return DONE;
    case 3: *value = v->arch.cr3_kernel; return DONE;
    case 4: *value = v->arch.cr4; return DONE;
    default: return REFUSE;
    }
}

static enum verdict write_cr(struct vcpu *v, unsigned int n, uint64_t value)
{
    uint64_t own;
    int rc;

    switch (n) {
    case 0:
        if ((value | CR0_TS) != (CR0_GUEST | CR0_TS))
            return REFUSE;
        v->arch.cr0 = value;
        arch_vcpu_crs_changed(v);
        return DONE;
    case 2:
        v->arch.cr2 = value;
        v->info->arch.cr2 = value;
        return DONE;
    case 3:
        if (value & ~PTE_ADDR_MASK)
            return REFUSE;
        rc = vcpu_set_root(v, gfn_to_mfn(v->domain, _gfn(value >> PAGE_SHIFT)), false);
        return rc == 0 ? DONE : rc == -ERESTART || rc == -EAGAIN ? AGAIN : REFUSE;
    case 4: /* bits that are not the guest's are ignored */
        own = CR4_TSD | CR4_DE | (cpuid_policy_has(XEN_X86_FEATURE_FSGSBASE) ? CR4_FSGSBASE : 0) |
              (cpuid_policy_has(XEN_X86_FEATURE_XSAVE) ? CR4_OSXSAVE : 0);
        v->arch.cr4 = (v->arch.cr4 & ~own) | (value & own);
        arch_vcpu_crs_changed(v);
        return DONE;
    default:
        return REFUSE;
    }
}

int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value)
{
    if (n >= 4 && value >> 32)
        return -EINVAL;
    if (n < 4) {
        if (!guest_range_ok(value, 1)) /* a breakpoint on our own data would be a covert channel */
            return -EPERM;
    } else if (n == 6) {
        value = (value & 0xffffefff) | 0xffff0ff0;
    } else if (n == 7) {
        value = (value & 0xffff27ff) | 0x400;
        if (value & 0x2000) /* GD: traps the hypervisor's own accesses */
            return -EPERM;
        for (unsigned int i = 0; i < 4; i++)
            if ((value >> (16 + 4 * i) & 3) == 2) /* I/O: our own IN and OUT would hit */
                return -EPERM;
    } else {
        return -EINVAL;
    }
    v->arch.dr[n] = value;
    arch_vcpu_debugregs_changed(v);
    return 0;
}

static enum verdict debugreg(struct vcpu *v, const struct insn *i, uint64_t *r)
{
    unsigned int n = i->reg;

    if ((n == 4 || n == 5) && !(v->arch.cr4 & CR4_DE))
        n += 2;
    if (n > 7 || n == 4 || n == 5)
        return REFUSE;
    if (i->op == OP_0F(0x21)) {
        *r = v->arch.dr[n];
        return DONE;
    }
    return guest_set_debugreg(v, n, *r) ? REFUSE : DONE;
}

static int guest_xsetbv(struct vcpu *v, uint32_t index, uint64_t x)
{
    if (index != 0 || !(v->arch.cr4 & CR4_OSXSAVE) || !(x & 1) || (x & ~arch_xcr0_mask) ||
        (x & 6) == 4 ||                                       /* AVX without SSE */
        ((x & 0xe0) && ((x & 0xe0) != 0xe0 || !(x & 4))))     /* AVX-512: all three, and AVX */
        return -EPERM;
    arch_vcpu_set_xcr0(v, x);
    return 0;
}

/* ---- the rest ---- */

static uint64_t edx_eax(const struct cpu_user_regs *regs)
{
    return regs->rdx << 32 | (uint32_t)regs->rax;
}

static void set_edx_eax(struct cpu_user_regs *regs, uint64_t value)
{
    regs->rax = (uint32_t)value;
    regs->rdx = value >> 32;
}

static enum verdict rdtsc(struct vcpu *v, struct cpu_user_regs *regs, bool aux)
{
    if (!v->arch.kernel_mode && (v->arch.cr4 & CR4_TSD))
        return REFUSE;
    set_edx_eax(regs, v->domain->vtsc ? guest_tsc(v) : arch_tsc());
    if (aux)
        regs->rcx = (uint32_t)v->arch.tsc_aux;
    return DONE;
}

static enum verdict rdmsr(struct vcpu *v, struct cpu_user_regs *regs)
{
    uint64_t value = 0;

    /* <xen/arch-x86/xen.h>: a kernel that has no handler for #GP yet reads zero */
    if (guest_rdmsr(v, (uint32_t)regs->rcx, &value) && v->arch.traps[VECTOR_GP].address)
        return REFUSE;
    set_edx_eax(regs, value);
    return DONE;
}

static void cpuid(const struct vcpu *v, struct cpu_user_regs *regs)
{
    uint32_t r[4];

    guest_cpuid(v, (uint32_t)regs->rax, (uint32_t)regs->rcx, r);
    regs->rax = r[0];
    regs->rbx = r[1];
    regs->rcx = r[2];
    regs->rdx = r[3];
}

/* What only the guest's kernel may execute. */
static enum verdict kernel_insn(struct vcpu *v, struct cpu_user_regs *regs, const struct insn *i)
{
    uint64_t *r = reg_whole(regs, i->rm);

    if (i->mem) /* MOV CR and DR would ignore that, and be shorter than decoded */
        return REFUSE;
    switch (i->op) {
    case OP_0F(0x01):
        if (i->modrm != 0xd1)
            return REFUSE;
        return guest_xsetbv(v, (uint32_t)regs->rcx, edx_eax(regs)) ? REFUSE : DONE;
    case OP_0F(0x06):
        v->arch.cr0 &= ~(uint64_t)CR0_TS;
        arch_vcpu_crs_changed(v);
        return DONE;
    case OP_0F(0x08): case OP_0F(0x09):
        if (v->domain->is_hwdom || v->domain->nr_iomem) /* others: all is write-back */
            arch_cache_writeback_all();
        return DONE;
    case OP_0F(0x20): return read_cr(v, i->reg, r);
    case OP_0F(0x22): return write_cr(v, i->reg, *r);
    case OP_0F(0x21): case OP_0F(0x23): return debugreg(v, i, r);
    case OP_0F(0x30):
        return guest_wrmsr(v, (uint32_t)regs->rcx, edx_eax(regs)) ? REFUSE : DONE;
    case OP_0F(0x32): return rdmsr(v, regs);
    default: return REFUSE;
    }
}

static enum verdict privileged(struct vcpu *v, struct cpu_user_regs *regs, struct insn *i)
{
    switch (i->op) {
    case OP(0x6c) ... OP(0x6f):
    case OP(0xe4) ... OP(0xe7):
    case OP(0xec) ... OP(0xef):
        return port_io(v, regs, i);
    case OP(0xfa): case OP(0xfb):
        return iopl_ok(v) ? DONE : REFUSE; /* events are masked in vcpu_info; this does nothing */
    case OP_0F(0xa2):
        cpuid(v, regs);
        return DONE;
    case OP_0F(0x31):
        return rdtsc(v, regs, false);
    default:
        if (i->op == OP_0F(0x01) && i->modrm == 0xf9)
            return rdtsc(v, regs, true);
        return v->arch.kernel_mode ? kernel_insn(v, regs, i) : REFUSE;
    }
}

/*
 * `int n`, for which the machine's IDT has no gate of ring 3. The error code names n, but not on
 * every machine in the same way, so the instruction does. CD is the same in 32-bit code.
 */
static bool soft_interrupt(struct vcpu *v, struct cpu_user_regs *regs)
{
    const struct guest_trap *t;
    uint8_t insn[2];
    unsigned int dpl;

    if (!guest_range_ok(regs->rip, sizeof(insn)) ||
        copy_from_guest(insn, _gva(regs->rip), sizeof(insn)) || insn[0] != 0xcd)
        return false;
    t = &v->arch.traps[insn[1]];
    dpl = t->flags & 3;
    if (t->address == 0 || dpl < (v->arch.kernel_mode ? 1 : 3)) {
        regs->error_code = insn[1] * 8u + 2;
        return false;
    }
    regs->rip += sizeof(insn);
    arch_inject_soft_interrupt(v, insn[1]);
    return true;
}

bool guest_general_protection(struct vcpu *v, struct cpu_user_regs *regs)
{
    struct insn i;
    int rc;

    if ((regs->error_code & 7) == 2) /* IDT, not EXT: a denied `int n` */
        return soft_interrupt(v, regs);
    if (regs->error_code)
        return false;
    rc = insn_fetch(v, regs, &i);
    if (rc)
        return rc == -EFAULT;
    switch (privileged(v, regs, &i)) {
    case DONE:
        insn_retire(v, regs, i.len);
        return true;
    case AGAIN:
        return true;
    default:
        return false;
    }
}

/* Forced emulation: ud2a; .ascii "xen"; cpuid. Also for user mode, and the same in 32-bit code. */
bool guest_invalid_opcode(struct vcpu *v, struct cpu_user_regs *regs)
{
    static const uint8_t forced_cpuid[] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };
    uint8_t insn[sizeof(forced_cpuid)];

    if (!guest_range_ok(regs->rip, sizeof(insn)) ||
        copy_from_guest(insn, _gva(regs->rip), sizeof(insn)) ||
        memcmp(insn, forced_cpuid, sizeof(insn)) != 0)
        return false;
    cpuid(v, regs);
    insn_retire(v, regs, sizeof(insn));
    return true;
}
