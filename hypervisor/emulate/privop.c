/*
 * Privileged instructions of PV guests, which run in ring 3: #GP and #UD end here. The guest's
 * kernel believes that it may; its user mode may only what its virtual IOPL, its bitmap of ports,
 * TSD and the forced emulation of CPUID allow. What is not done here goes to the guest as the
 * exception it was.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "irq/irq.h"
#include "paging/paging.h"
#include "sched/time.h"
#include "x86/upcalls.h"

enum { PORT_PIT_CHANNEL2 = 0x42, PORT_PCI = 0xcf8 }; /* configuration has 8 */

/* PG AM WP NE ET MP PE: what every guest sees, beside TS. RW_LOW: of the four fields of two bits. */
enum { CR0_GUEST = 0x80050033 };
enum { DR7_GD = 1 << 13, DR7_RW_LOW = 0x11110000 };

/* ---- ports ---- */

static bool ioport_permitted(const struct domain *d, uint16_t port, unsigned int bytes)
{
    for (unsigned int p = port; p < port + bytes; p++)
        if (!ranges_have(&d->ioports, p))
            return false;
    return true;
}

/* The guest kernel's own bitmap (PHYSDEVOP_set_iobitmap), in its address space. */
static bool iobitmap_permits(struct vcpu *v, uint16_t port, unsigned int bytes)
{
    bool kernel = v->arch.kernel_mode, failed;
    uint16_t map = 0;

    if (port + bytes > v->iobitmap_ports)
        return false;
    arch_vcpu_enter_space(v, true);
    failed =
        copy_from_guest(&map, gva_index(v->iobitmap, port / 8, 1), port % 8 + bytes > 8 ? 2 : 1);
    arch_vcpu_enter_space(v, kernel);
    return !failed && !(map >> (port % 8) & ((1u << bytes) - 1));
}

/* A PV kernel runs in "ring 1" unless it asked for the architectural view; user mode in ring 3. */
static bool iopl_ok(const struct vcpu *v)
{
    bool ring0 = v->domain->vm_assist >> VMASST_TYPE_architectural_iopl & 1;

    return v->arch.iopl >= (!v->arch.kernel_mode ? 3 : ring0 ? 0 : 1);
}

static hot_inline bool port_usable(struct vcpu *v, uint16_t port, unsigned int bytes)
{
    return iopl_ok(v) || iobitmap_permits(v, port, bytes);
}

/* A guest without the port finds no device there: value stays. */
static hot_inline void port_access(struct vcpu *v, uint16_t port, unsigned int bytes, bool write,
                                   uint32_t *value)
{
    if (((port & ~7u) == PORT_PCI && pci_conf_port(v->domain, port, bytes, write, value)) ||
        !ioport_permitted(v->domain, port, bytes))
        return;
    if (write)
        arch_port_out(port, bytes, *value);
    else
        *value = arch_port_in(port, bytes);
}

/* No device: all ones; but a PIT that stands still, which Linux notices after three reads rather
 * than after 100,000. */
static int port_io(struct vcpu *v, struct cpu_user_regs *regs, const struct insn *i)
{
    unsigned int bytes = MIN(i->bytes, 4u);
    uint16_t port = i->op & 8 ? (uint16_t)regs->rdx : (uint8_t)i->imm;
    bool write = i->op & 2;
    uint32_t value = write ? (uint32_t)regs->rax : port == PORT_PIT_CHANNEL2 ? 0 : ~0u;

    if (!port_usable(v, port, bytes))
        return -EPERM;
    port_access(v, port, bytes, write, &value);
    if (!write)
        reg_write(regs, GPR_RAX, bytes, value);
    return 0;
}

/* The first byte of an element that is not there, as far as reading tells. */
static int string_fault(struct vcpu *v, uint64_t va, unsigned int bytes, bool write)
{
    uint8_t first;

    if (copy_from_guest(&first, _gva(va), 1) == 0 && ((va + bytes - 1) ^ va) & PAGE_MASK)
        va = (va + bytes - 1) & PAGE_MASK;
    arch_inject_page_fault(v, va, PFEC_USER | (write ? PFEC_WRITE : 0));
    return -EAGAIN;
}

/*
 * INS and OUTS, of a repeated one an element at a time: the guest comes back for the next. What a
 * port gave is lost when the memory for it is not there, on Xen, too.
 */
static noinline int port_string(struct vcpu *v, struct cpu_user_regs *regs, const struct insn *i)
{
    unsigned int bytes = MIN(i->bytes, 4u);
    uint16_t port = (uint16_t)regs->rdx;
    bool out = i->op & 2;
    uint64_t *index = out ? &regs->rsi : &regs->rdi, va = *index;
    uint32_t value = out ? 0 : ~0u;

    if (i->rep && regs->rcx == 0)
        return 0;
    if (!port_usable(v, port, bytes) || !guest_va_ok(va) || !guest_va_ok(va + bytes - 1))
        return -EPERM;
    if (out && copy_from_guest(&value, _gva(va), bytes))
        return string_fault(v, va, bytes, false);
    port_access(v, port, bytes, out, &value);
    if (!out && copy_to_guest(_gva(va), &value, bytes))
        return string_fault(v, va, bytes, true);
    *index = regs->rflags & RFLAGS_DF ? va - bytes : va + bytes;
    if (!i->rep || --regs->rcx == 0)
        return 0;
    insn_retire(v, regs, 0); /* a single-stepping guest sees each element */
    return -EAGAIN;
}

/* ---- control and debug registers ---- */

static int read_cr(const struct vcpu *v, unsigned int n, uint64_t *value)
{
    switch (n) {
    case 0: *value = (v->arch.cr0 & CR0_TS) | CR0_GUEST; return 0;
    case 2: *value = v->arch.cr2; return 0;
    case 3: *value = v->arch.cr3_kernel; return 0;
    case 4: *value = v->arch.cr4; return 0;
    default: return -EPERM;
    }
}

static int write_cr(struct vcpu *v, unsigned int n, uint64_t value)
{
    uint64_t own = guest_cr4_bits(v->domain);

    switch (n) {
    case 0:
        if ((value | CR0_TS) != (CR0_GUEST | CR0_TS))
            return -EPERM;
        v->arch.cr0 = value;
        break;
    case 2: v->arch.cr2 = v->info->arch.cr2 = value; return 0;
    case 3:
        if (value & ~PTE_ADDR_MASK)
            return -EPERM;
        return vcpu_set_root(v, gfn_to_mfn(v->domain, _gfn(value >> PAGE_SHIFT)), false);
    case 4: /* bits that are not the guest's are ignored */
        v->arch.cr4 = (v->arch.cr4 & ~own) | (value & own);
        break;
    default: return -EPERM;
    }
    arch_vcpu_crs_changed(v);
    return 0;
}

int guest_debugreg(unsigned int n, uint64_t *p)
{
    uint64_t value = *p;

    if (n >> 1 == 2 || n > 7 || (n >= 6 && value >> 32)) /* there is no 4 and 5 */
        return -EINVAL;
    if (n < 4 && !guest_va_ok(value)) /* on our own data it would be a covert channel */
        return -EPERM;
    if (n == 6)
        value = (value & 0xffffefff) | 0xffff0ff0;
    if (n == 7) {
        value = (value & 0xffff27ff) | 0x400;
        /* GD traps our own accesses to these registers, I/O (R/W is 2) our own IN and OUT */
        if ((value & DR7_GD) || (value >> 1 & ~value & DR7_RW_LOW))
            return -EPERM;
    }
    *p = value;
    return 0;
}

int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value)
{
    int rc = guest_debugreg(n, &value);

    if (rc)
        return rc;
    v->arch.dr[n] = value;
    arch_vcpu_debugregs_changed(v);
    return 0;
}

static int debugreg(struct vcpu *v, const struct insn *i, uint64_t *r)
{
    bool alias = i->reg >> 1 == 2 && !(v->arch.cr4 & CR4_DE);
    unsigned int n = i->reg + (alias ? 2 : 0);

    if (i->op == OP_0F(0x23))
        return guest_set_debugreg(v, n, *r);
    if (n > 7 || n >> 1 == 2)
        return -EPERM;
    *r = v->arch.dr[n];
    return 0;
}

static int xsetbv(struct vcpu *v, uint32_t index, uint64_t x)
{
    if (!(v->arch.cr4 & CR4_OSXSAVE)) { /* the CPU's has it, so it raised #GP */
        arch_inject_exception(v, VECTOR_UD, 0);
        return -EAGAIN;
    }
    if (index != 0 || !guest_xcr0_ok(v->domain, x))
        return -EPERM;
    arch_vcpu_set_xcr0(v, x);
    return 0;
}

/* ---- dispatch ---- */

/* 0: go behind the instruction; -ERESTART, -EAGAIN: execute it again; else: it is refused. */
static int privileged(struct vcpu *v, struct cpu_user_regs *regs, const struct insn *i)
{
    uint64_t *r = reg_whole(regs, i->rm), edx_eax = regs->rdx << 32 | (uint32_t)regs->rax;
    bool tsc = i->op == OP_0F(0x31) || (i->op == OP_0F(0x01) && i->modrm == 0xf9);

    /* MOV CR and DR would ignore that ModRM names memory, and be shorter */
    if (i->mem || !(v->arch.kernel_mode || i->op < OP_0F(0) || (tsc && !(v->arch.cr4 & CR4_TSD))))
        return -EPERM;
    switch (i->op) {
    case 0x6c ... 0x6f: return port_string(v, regs, i);
    case 0xe4 ... 0xef: return port_io(v, regs, i);
    case 0xfa ... 0xfb:
        return iopl_ok(v) ? 0 : -EPERM; /* events are masked in vcpu_info; this does nothing */
    case OP_0F(0x01):
        if (!tsc)
            return i->modrm == 0xd1 ? xsetbv(v, (uint32_t)regs->rcx, edx_eax) : -EPERM;
        regs->rcx = (uint32_t)v->arch.tsc_aux;
        break;
    case OP_0F(0x06): return write_cr(v, 0, v->arch.cr0 & ~(uint64_t)CR0_TS);
    case OP_0F(0x08)... OP_0F(0x09):
        if (may_map_uncached(v->domain)) /* others: all is write-back */
            arch_cache_writeback(1ULL << this_pcpu()->id);
        return 0;
    case OP_0F(0x20): return read_cr(v, i->reg, r);
    case OP_0F(0x22): return write_cr(v, i->reg, *r);
    case OP_0F(0x21):
    case OP_0F(0x23): return debugreg(v, i, r);
    case OP_0F(0x30): return guest_wrmsr(v, (uint32_t)regs->rcx, edx_eax);
    case OP_0F(0x31): break;
    case OP_0F(0x32): /* <xen/arch-x86/xen.h>: a kernel that handles no #GP yet reads zero */
        if (guest_rdmsr(v, (uint32_t)regs->rcx, &edx_eax) && v->arch.traps[VECTOR_GP].address)
            return -EPERM;
        break;
    default: return -EPERM;
    }
    if (tsc)
        edx_eax = guest_tsc(v);
    regs->rax = (uint32_t)edx_eax;
    regs->rdx = edx_eax >> 32;
    return 0;
}

/*
 * `int n`, for which the machine's IDT has no gate of ring 3. The error code names n, but not on
 * every machine in the same way, so the instruction does. CD is the same in 32-bit code.
 */
static bool soft_interrupt(struct vcpu *v, struct cpu_user_regs *regs)
{
    const struct guest_trap *t;
    uint8_t insn[2];

    if (copy_from_guest(insn, _gva(regs->rip), sizeof(insn)) || insn[0] != 0xcd)
        return false;
    t = &v->arch.traps[insn[1]];
    if (t->address == 0 || (t->flags & 3) < (v->arch.kernel_mode ? 1 : 3)) {
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
        return rc == -EFAULT; /* a page fault instead */
    rc = privileged(v, regs, &i);
    if (rc == 0)
        insn_retire(v, regs, i.len);
    return rc == 0 || rc == -ERESTART || rc == -EAGAIN;
}

/*
 * Forced emulation: ud2a; .ascii "xen"; cpuid. Also for user mode, and the same in 32-bit code. Its 7
 * bytes are two words that overlap.
 */
bool guest_invalid_opcode(struct vcpu *v, struct cpu_user_regs *regs)
{
    uint32_t first, last, r[4];
    guest_va_t rip = _gva(regs->rip);

    if (copy_from_guest(&first, rip, 4) || first != 0x65780b0f || /* 0f 0b "xe" */
        copy_from_guest(&last, gva_index(rip, 3, 1), 4) || last != 0xa20f6e65 /* "en" 0f a2 */)
        return false;
    guest_cpuid(v, (uint32_t)regs->rax, (uint32_t)regs->rcx, r);
    regs->rax = r[0];
    regs->rbx = r[1];
    regs->rcx = r[2];
    regs->rdx = r[3];
    insn_retire(v, regs, 7);
    return true;
}
