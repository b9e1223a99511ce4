/* One CPU: features, control registers and MSRs, descriptor tables in its entry area. */
#include "lib/cmdline.h"
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

/* Intel family 6 without RDCL_NO keeps L1 lines reachable through non-present entries. */
static bool l1tf_affected(void)
{
    uint64_t caps;
    uint32_t r[4];

    arch_cpuid(0, 0, r);
    return r[EBX] == 0x756e6547 /* "Genu" */ &&
           !(cpuid_bit(7, EDX, 29) && arch_rdmsr_safe(0x10a, &caps) == 0 && (caps & 1));
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
    arch_l1tf_affected = l1tf_affected();
    arch_null_clears_base = null_clears_base();
    f->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE | CR4_PGE | (f->smep ? CR4_SMEP : 0) |
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
    wrmsr(MSR_LSTAR, ENTRY_ADDRESS(entry_syscall));
    wrmsr(MSR_CSTAR, ENTRY_ADDRESS(entry_syscall32));
    wrmsr(MSR_SFMASK, SFMASK_BITS);
    for (uint64_t i = 0; cpuid_bit(1, EDX, 14) && i < (rdmsr(MSR_MCG_CAP) & 0xff); i++)
        wrmsr(MSR_MC_STATUS(i) - 1, ~0ULL); /* report all that the bank can */
    if (cpuid_bit(1, EDX, 11)) {
        wrmsr(MSR_SYSENTER_CS, HV_CS);
        wrmsr(MSR_SYSENTER_EIP, ENTRY_ADDRESS(entry_sysenter));
        wrmsr(MSR_SYSENTER_ESP, CPU_AREA(this_pcpu()->id) + (CPU_AREA_PAGE_STACK + 1) * PAGE_SIZE);
    }
}

/* ---- descriptor tables ---- */

/* One IDT for all CPUs, in the slot of the entry code; boot.c maps its page. */
static void idt_init(void)
{
    static const uint8_t ist[] = { [1] = IST_DB, [2] = IST_NMI, [8] = IST_DF, [18] = IST_MC };
    uint64_t *idt = (uint64_t *)IDT_VIRT, target = ENTRY_ADDRESS(entry_stubs), dpl;

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

void cpu_setup_descriptors(uint32_t id, uint64_t stack_top)
{
    struct cpu_entry *e = (struct cpu_entry *)(CPU_AREA(id) + CPU_AREA_PAGE_ENTRY * PAGE_SIZE);
    uint64_t *gdt = gdt_entry(id, HV_CS), stack = CPU_AREA(id) + CPU_AREA_PAGE_STACK * PAGE_SIZE;
    struct table_register gdtr = { (FIRST_RESERVED_GDT_PAGE + 1) * PAGE_SIZE - 1,
                                   CPU_AREA(id) + CPU_AREA_PAGE_GDT * PAGE_SIZE };
    struct table_register idtr = { PAGE_SIZE - 1, IDT_VIRT };

    _Static_assert(sizeof(struct cpu_user_regs) == 200, "the frame's place in the entry stack");
    e->pcpu = &pcpus[id];
    e->regs = (struct cpu_user_regs *)(stack + PAGE_SIZE - 216); /* aligns the CPU's part */
    e->stack_top = stack_top;
    e->tss.rsp[0] = (uint64_t)(uintptr_t)&e->regs->es;
    e->tss.iomap_base = sizeof(struct tss); /* no port without a trap */
    for (unsigned int n = 1; n <= NR_IST; n++) {
        e->tss.ist[n - 1] = IST_TOP(CPU_AREA(id), n);
        *(uint64_t *)IST_TOP(CPU_AREA(id), n) = (uint64_t)(uintptr_t)e;
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
