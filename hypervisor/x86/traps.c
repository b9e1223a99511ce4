/*
 * Exceptions and interrupts: from a guest they are emulated, handled or bounced; from ring 0 they
 * are a fix-up (an access that may fault) or our own bug, which stops the machine.
 */
#include "x86/arch.h"
#include "x86/cpu.h"
#include "x86/lapic.h"
#include "x86/upcalls.h"
#include "x86/vectors.h"

enum { X_DB = 1, X_NMI = 2, X_UD = 6, X_NM = 7, X_DF = 8, X_GP = 13, X_PF = 14, X_MC = 18 };

#define DR6_DEFAULT 0xffff0ff0ULL

/* See EX_TABLE(). */
extern const struct fixup {
    uint64_t from, to;
} ex_table_start[], ex_table_end[];

static void interrupt(unsigned int vector)
{
    struct pcpu *c = this_pcpu();
    uint32_t held = c->locks_held; /* what the interrupted code holds is never taken here */

    c->nr_irqs++;
    c->locks_held = 0;
    if (vector == VECTOR_LAPIC_TIMER) {
        lapic_eoi();
        softirq_raise(SOFTIRQ_TIMER);
    } else if (vector == VECTOR_IPI_KICK) {
        lapic_eoi(); /* for softirqs being here is the point: the exit path looks at them */
        smp_serve();
    } else if (vector != VECTOR_SPURIOUS) {
        irq_interrupt(vector);
    }
    c->locks_held = held;
}

/* v finds *what at its next exit; no lock is taken, as any may be held below. */
static void tell(struct vcpu *v, _Atomic bool *what)
{
    atomic_store(what, true);
    arch_cpu_kick(atomic_load(&v->processor));
}

/* The last machine check: kept, as the CPU may be inside print() when one comes. */
static struct {
    unsigned int bank;
    uint64_t status, address;
} last_mce;

void mce_print(void)
{
    print(LOG_ERR, "Machine check: bank %u, status %lx, address %lx\n", last_mce.bank,
          last_mce.status, last_mce.address);
}

/*
 * Note what the banks hold and clear them. If the CPU can go on (RIPV) the hardware domain is told,
 * as by an NMI; if not, nobody knows what is broken and the machine stops.
 */
static void machine_check(void)
{
    uint64_t cap = rdmsr(MSR_MCG_CAP), mcg = rdmsr(MSR_MCG_STATUS), status;

    for (unsigned int i = 0; i < (cap & 0xff); i++) {
        status = rdmsr(MSR_MC_STATUS(i));
        if (!(status >> 63))
            continue;
        last_mce.bank = i;
        last_mce.status = status;
        last_mce.address = status >> 58 & 1 ? rdmsr(MSR_MC_STATUS(i) + 1) : 0;
        wrmsr(MSR_MC_STATUS(i), 0);
    }
    if (!(mcg & 1) || hardware_domain == NULL || hardware_domain->vcpu[0] == NULL)
        panic("machine check that cannot be survived: MCG_STATUS %lx, bank %u, status %lx", mcg,
              last_mce.bank, last_mce.status);
    wrmsr(MSR_MCG_STATUS, 0);
    tell(hardware_domain->vcpu[0], &hardware_domain->vcpu[0]->mce_pending);
}

/* Debug registers belong to the guest; DR6's news goes into its copy. */
static void guest_debug(struct vcpu *v)
{
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(dr6) : "r"(DR6_DEFAULT));
    v->arch.dr[6] |= dr6 & ~DR6_DEFAULT;
    arch_inject_exception(v, X_DB, 0);
}

/* A selector of an LDT page that we could not map: to the guest its own address faulted. */
static uint64_t ldt_fault(const struct vcpu *v, uint64_t cr2)
{
    uint64_t offset = cr2 - (CPU_AREA(this_pcpu()->id) + CPU_AREA_PAGE_LDT * PAGE_SIZE);

    return offset < NR_LDT_FRAMES * PAGE_SIZE ? v->arch.ldt_base + offset : cr2;
}

static noreturn void fatal_trap(const struct cpu_user_regs *regs, const char *what)
{
    uint64_t cr2 = read_cr(2);

    panic_begin();
    print(LOG_ERR, "Panic: fatal trap %u in the hypervisor (%s), error code %x, cr2 %lx\n",
          regs->entry_vector, what, regs->error_code, cr2);
    arch_print_regs(regs);
    arch_backtrace(regs);
    reboot_or_halt();
}

/*
 * A hardware NMI: to be stopped, the watchdog's, or nobody knows whose; then the hardware domain gets
 * to see it, as on Xen.
 */
static void hardware_nmi(const struct cpu_user_regs *regs)
{
    bool is_stuck = false;

    smp_nmi();
    if (watchdog_nmi(&is_stuck)) {
        if (is_stuck)
            fatal_trap(regs, "the watchdog found this CPU stuck");
    } else if (hardware_domain && hardware_domain->vcpu[0]) {
        tell(hardware_domain->vcpu[0], &hardware_domain->vcpu[0]->nmi_pending);
    }
}

void trap_from_guest(struct cpu_user_regs *regs)
{
    struct vcpu *v = current;
    unsigned int vector = regs->entry_vector;
    uint64_t cr2;

    smap_close(); /* AC was the guest's */
    if (vector == VECTOR_GUEST_INT80) {
        arch_inject_soft_interrupt(v, vector);
        return;
    }
    if (vector >= 32) {
        interrupt(vector);
        return;
    }
    this_pcpu()->nr_exceptions++;
    switch (vector) {
    case X_PF:
        cr2 = ldt_fault(v, read_cr(2));
        arch_irq_enable();
        if (!guest_page_fault(v, regs, cr2))
            arch_inject_page_fault(v, cr2, regs->error_code);
        return;
    case X_GP:
    case X_UD:
        arch_irq_enable();
        if (!(vector == X_GP ? guest_general_protection(v, regs) : guest_invalid_opcode(v, regs)))
            arch_inject_exception(v, vector, regs->error_code);
        return;
    case X_NM: /* only a TS that the guest asked for is ever set; the ABI clears it on delivery */
        v->arch.cr0 &= ~CR0_TS;
        arch_vcpu_crs_changed(v);
        arch_inject_exception(v, X_NM, 0);
        return;
    case X_DB: guest_debug(v); return;
    case X_NMI:
        hardware_nmi(regs);
        return; /* others stay blocked until an IRETQ, to v or another */
    case X_MC: machine_check(); return;
    case X_DF: fatal_trap(regs, "double fault");
    default: arch_inject_exception(v, vector, regs->error_code); return;
    }
}

void trap_from_hv(struct cpu_user_regs *regs)
{
    smap_close(); /* a copy may be at work below */
    if (regs->entry_vector >= 32) {
        interrupt(regs->entry_vector);
        return;
    }
    this_pcpu()->nr_exceptions++;
    if (guard_root() && regs->entry_vector == X_PF && view_fault(current, read_cr(2)))
        return;
    for (const struct fixup *f = ex_table_start; f != ex_table_end; f++)
        if (f->from == regs->rip) {
            regs->rip = f->to;
            return;
        }
    fatal_trap(regs, "no fix-up");
}

/*
 * NMI, #MC, #DB while ring 0 ran. A #DB is a guest's doing (a breakpoint on data that a copy
 * touched, MOV SS before SYSCALL, TF before SYSENTER) and is dropped: TF is cleared, nothing else.
 */
void trap_ist_from_hv(struct cpu_user_regs *regs)
{
    smap_close();
    switch (regs->entry_vector) {
    case X_DB:
        regs->rflags &= ~RFLAGS_TF;
        __asm__ volatile("mov %0, %%dr6" ::"r"(DR6_DEFAULT));
        return;
    case X_NMI: hardware_nmi(regs); return;
    case X_DF: fatal_trap(regs, "double fault");
    default: machine_check();
    }
}
