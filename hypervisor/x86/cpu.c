/* One CPU: features, control registers and MSRs, descriptor tables in its entry area. */
#include "x86/arch.h"
#include "x86/cpu.h"

#define PAT_OF_THE_ABI 0x050100070406ULL
#define SFMASK_BITS 0x77700ULL /* what ring 0 must not inherit: TF IF DF IOPL NT RF VM AC */

struct cpu_features cpu_features;
bool arch_smap;
bool arch_l1tf_affected, arch_null_clears_base;
unsigned int arch_paddr_bits = 36;

enum { EBX = 1, ECX, EDX };

/* False also where the CPU has no such leaf. */
static bool cpuid_bit(uint32_t leaf, unsigned int reg, unsigned int bit)
{
    uint32_t r[4];

    arch_cpuid(leaf & 0x80000000, 0, r);
    if (r[0] < leaf)
        return false;
    arch_cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

/* What IA32_ARCH_CAPABILITIES of an Intel CPU says that it has not, by bit. */
enum { RDCL_NO = 1 << 0, MDS_NO = 1 << 5, RRSBA = 1 << 19 };
static uint64_t arch_capabilities(void)
{
    uint64_t caps;

    return cpuid_bit(7, EDX, 29) && arch_rdmsr_safe(0x10a, &caps) == 0 ? caps : 0;
}
static bool is_intel(void)
{
    uint32_t r[4];

    arch_cpuid(0, 0, r);
    return r[EBX] == 0x756e6547; /* "Genu" */
}

/*
 * What entries and exits have to do (README, "CPU flaws"). Without SMEP a guest can plant returns to code
 * of its own; where returns are predicted like branches (RRSBA) their history counts, too.
 */
static uint32_t guards_needed(bool smep)
{
    uint64_t caps = arch_capabilities();
    uint32_t spec = 0;
    bool root = is_intel() && !(caps & RDCL_NO);

    if (!smep || (caps & RRSBA))
        spec |= SPEC_RSB;
    if (caps & RRSBA)
        spec |= SPEC_BHB;
    if (is_intel() && !(caps & MDS_NO))
        spec |= SPEC_VERW;
    spec = (spec & ~options.spec_off) | options.spec_on;
    root = options.xpti == XPTI_AUTO ? root : options.xpti;
    return spec | (root ? GUARD_ROOT : 0);
}

/* Tried, as not all of those say so (NSCB). FS is not used by us. */
static bool null_clears_base(void)
{
    uint64_t base;

    wrmsr(MSR_FS_BASE, 1);
    __asm__ volatile("mov %0, %%fs" ::"r"(0));
    base = rdmsr(MSR_FS_BASE);
    wrmsr(MSR_FS_BASE, 0);
    return base == 0;
}

void cpu_detect(void)
{
    struct cpu_features *f = &cpu_features;
    uint32_t r[4];

    if (!cpuid_bit(1, EDX, 9))
        panic("CPU without a local APIC (CPUID 1 EDX bit 9 is 0)");
    f->xsave = cpuid_bit(1, ECX, 26);
    f->fsgsbase = cpuid_bit(7, EBX, 0);
    f->smep = cpuid_bit(7, EBX, 7) && options.smep;
    arch_smap = cpuid_bit(7, EBX, 20) && options.smap;
    f->page1gb = cpuid_bit(0x80000001, EDX, 26);
    f->rdtscp = cpuid_bit(0x80000001, EDX, 27);
    arch_cpuid(0x80000000, 0, r);
    if (r[0] >= 0x80000008) {
        arch_cpuid(0x80000008, 0, r);
        arch_paddr_bits = MIN(r[0] & 0xff, 52u);
    }
    arch_l1tf_affected = is_intel() && !(arch_capabilities() & RDCL_NO);
    f->guards = guards_needed(f->smep);
    arch_null_clears_base = null_clears_base();
    f->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE | (f->smep ? CR4_SMEP : 0) |
             (f->guards & GUARD_ROOT ? 0 : CR4_PGE) | /* global entries would stay */
             (arch_smap ? CR4_SMAP : 0) | (cpuid_bit(7, ECX, 2) ? CR4_UMIP : 0) |
             (f->xsave ? CR4_OSXSAVE : 0);
}

void cpu_setup_msrs(void)
{
    write_cr(0, 0x80050033);
    write_cr(4, cpu_features.cr4);
    wrmsr(MSR_PAT, PAT_OF_THE_ABI);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 0x901);
    /* SYSRET adds 16 (64-bit) and 8 (stack) to the upper selector */
    wrmsr(MSR_STAR, (uint64_t)GUEST_CS32 << 48 | (uint64_t)HV_CS << 32);
    wrmsr(MSR_LSTAR, ENTRY_POINT(entry_syscall));
    wrmsr(MSR_CSTAR, ENTRY_POINT(entry_syscall32));
    wrmsr(MSR_SFMASK, SFMASK_BITS);
    for (uint64_t i = 0; cpuid_bit(1, EDX, 14) && i < (rdmsr(MSR_MCG_CAP) & 0xff); i++)
        wrmsr(MSR_MC_STATUS(i) - 1, ~0ULL); /* report all that the bank can */
    if (cpuid_bit(1, EDX, 11)) {
        wrmsr(MSR_SYSENTER_CS, HV_CS);
        wrmsr(MSR_SYSENTER_EIP, ENTRY_POINT(entry_sysenter));
        wrmsr(MSR_SYSENTER_ESP, (uint64_t)(uintptr_t)&cpu_entry(this_pcpu()->id)->small[0].entry);
    }
}

/* ---- descriptor tables ---- */

/* One IDT for all CPUs, in the slot of the entry code; boot.c maps its page. */
static void idt_init(void)
{
    static const uint8_t ist[] = { [1] = IST_DB, [2] = IST_NMI, [8] = IST_DF, [18] = IST_MC };
    uint64_t *idt = (uint64_t *)IDT_VIRT, target = ENTRY_POINT(entry_stubs), dpl;

    for (unsigned int n = 0; n < 256; n++) {
        dpl = n == 3 || n == 4 || n == 0x80 ? 3 : 0;
        idt[2 * n] = (target & 0xffff) | (uint64_t)HV_CS << 16 |
                     (uint64_t)(n < sizeof(ist) ? ist[n] : IST_NONE) << 32 |
                     (0x8e | dpl << 5) << 40 | (target >> 16 & 0xffff) << 48;
        idt[2 * n + 1] = target >> 32;
        target += ENTRY_STUB_BYTES;
    }
}

static uint64_t *gdt_entry(uint32_t cpu, uint32_t selector)
{
    return (uint64_t *)(CPU_AREA(cpu) + CPU_AREA_PAGE_GDT * PAGE_SIZE) + selector / 8;
}

static void system_descriptor(uint64_t *e, unsigned int type, uint64_t base, uint32_t limit)
{
    e[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)(0x80 | type) << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
    e[1] = base >> 32;
}

void cpu_load_ldt(unsigned int nr_ents)
{
    uint32_t id = this_pcpu()->id;

    if (nr_ents)
        system_descriptor(gdt_entry(id, LDT_SELECTOR), 2,
                          CPU_AREA(id) + CPU_AREA_PAGE_LDT * PAGE_SIZE, nr_ents * 8 - 1);
    __asm__ volatile("lldt %w0" ::"r"(nr_ents ? LDT_SELECTOR : 0));
}

void cpu_setup_descriptors(uint32_t id, uint64_t stack_end)
{
    struct cpu_entry *e = cpu_entry(id);
    bool small = guard_root(); /* guests do not see our stacks */
    uint64_t *gdt = gdt_entry(id, HV_CS);
    struct table_register gdtr = { (FIRST_RESERVED_GDT_PAGE + 1) * PAGE_SIZE - 1,
                                   CPU_AREA(id) + CPU_AREA_PAGE_GDT * PAGE_SIZE };
    struct table_register idtr = { PAGE_SIZE - 1, IDT_VIRT };

    _Static_assert(sizeof(struct cpu_user_regs) == 200, "the frame's place on the stack");
    e->pcpu = &pcpus[id];
    e->stack_top = STACK_TOP(stack_end);
    e->regs = (struct cpu_user_regs *)STACK_FRAME(e->stack_top);
    e->small_rip = (uint64_t)(uintptr_t)&e->small[0].words[9];
    e->guards = cpu_features.guards;
    e->verw = HV_DS;
    e->tss.rsp[0] =
        (uint64_t)(uintptr_t)(small ? (void *)&e->small[0].entry : (void *)&e->regs->es);
    e->tss.iomap_base = sizeof(struct tss); /* no port without a trap */
    for (unsigned int n = 1; n <= NR_IST; n++) {
        struct small_stack *s = &e->small[n];

        s->stack = IST_STACK_END(id, n) - 16;
        *(struct cpu_entry **)s->stack = s->entry = e;
        e->tss.ist[n - 1] = small ? (uint64_t)(uintptr_t)&s->entry : s->stack;
    }
    gdt[0] = 0x00af9b000000ffff; /* e008: hypervisor's code */
    gdt[1] = 0x00cf93000000ffff; /* e010: hypervisor's data */
    gdt[3] = 0x00cffb000000ffff; /* e023: ring 3, 32-bit code */
    gdt[4] = 0x00cff3000000ffff; /* e02b: ring 3, data */
    gdt[5] = 0x00affb000000ffff; /* e033: ring 3, 64-bit code */
    system_descriptor(gdt_entry(id, TSS_SELECTOR), 9, (uint64_t)(uintptr_t)&e->tss,
                      sizeof(struct tss) - 1);
    __asm__ volatile("lgdt %0" ::"m"(gdtr));
    __asm__ volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::"i"(HV_CS)
                     : "rax", "memory");
    __asm__ volatile("mov %0, %%ss" ::"r"(HV_DS));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" ::"r"(0));
    wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)e);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    __asm__ volatile("ltr %w0" ::"r"(TSS_SELECTOR));
    cpu_load_ldt(0);
    if (id == 0)
        idt_init();
    __asm__ volatile("lidt %0" ::"m"(idtr));
}
