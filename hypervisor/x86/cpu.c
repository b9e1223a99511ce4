/* One CPU: features, control registers and MSRs, descriptor tables in its entry area. */
#include "lib/cmdline.h"
#include "x86/arch.h"
#include "x86/cpu.h"

#define PAT_OF_THE_ABI 0x050100070406ULL
#define SFMASK_BITS 0x47f700ULL /* all that ring 0 must not inherit: IF TF DF IOPL NT RF AC OF.. */

struct cpu_features cpu_features;
bool arch_l1tf_affected;
unsigned int arch_paddr_bits = 36;

/* Intel family 6 without RDCL_NO keeps L1 lines reachable through non-present entries. */
static bool l1tf_affected(void)
{
    uint32_t r[4];
    uint64_t caps;

    arch_cpuid(0, 0, r);
    if (r[1] != 0x756e6547) /* "Genu" */
        return false;
    arch_cpuid(7, 0, r);
    if ((r[3] >> 29 & 1) && arch_rdmsr_safe(0x10a, &caps) == 0 && (caps & 1))
        return false;
    return true;
}

void cpu_detect(void)
{
    struct cpu_features *f = &cpu_features;
    uint32_t r[4], max_leaf;

    arch_cpuid(0, 0, r);
    max_leaf = r[0];
    arch_cpuid(1, 0, r);
    if (!(r[3] >> 9 & 1))
        panic("CPU without a local APIC (CPUID 1 EDX is %x)", r[3]);
    if (!(r[3] >> 24 & 1) || !(r[3] >> 16 & 1))
        panic("CPU without FXSAVE or PAT (CPUID 1 EDX is %x)", r[3]);
    f->pge = r[3] >> 13 & 1;
    f->xsave = r[2] >> 26 & 1;
    if (max_leaf >= 7) {
        arch_cpuid(7, 0, r);
        f->fsgsbase = r[1] & 1;
        f->smep = (r[1] >> 7 & 1) && options.smep;
        f->smap = (r[1] >> 20 & 1) && options.smap;
        f->umip = r[2] >> 2 & 1;
    }
    arch_cpuid(0x80000001, 0, r);
    f->page1gb = r[3] >> 26 & 1;
    f->rdtscp = r[3] >> 27 & 1;
    arch_cpuid(0x80000000, 0, r);
    if (r[0] >= 0x80000008) {
        arch_cpuid(0x80000008, 0, r);
        arch_paddr_bits = MIN(r[0] & 0xff, 52u);
    }
    arch_l1tf_affected = l1tf_affected();
    f->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE | (f->pge ? CR4_PGE : 0) |
             (f->smep ? CR4_SMEP : 0) | (f->smap ? CR4_SMAP : 0) | (f->umip ? CR4_UMIP : 0) |
             (f->xsave ? CR4_OSXSAVE : 0);
}

void wrmsr_tsc_aux(uint64_t v)
{
    if (cpu_features.rdtscp)
        wrmsr(MSR_TSC_AUX, v);
}

void cpu_setup_msrs(void)
{
    uint32_t r[4];

    write_cr0(0x80050033);
    write_cr4(cpu_features.cr4);
    wrmsr(MSR_PAT, PAT_OF_THE_ABI);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 0x901);
    /* SYSRET adds 16 (64-bit) and 8 (stack) to the upper selector */
    wrmsr(MSR_STAR, (uint64_t)GUEST_CS32 << 48 | (uint64_t)HV_CS << 32);
    wrmsr(MSR_LSTAR, entry_points.syscall);
    wrmsr(MSR_CSTAR, entry_points.syscall32);
    wrmsr(MSR_SFMASK, SFMASK_BITS);
    arch_cpuid(1, 0, r);
    for (uint64_t i = 0; (r[3] >> 14 & 1) && i < (rdmsr(MSR_MCG_CAP) & 0xff); i++)
        wrmsr(MSR_MC_STATUS(i) - 1, ~0ULL); /* report all that the bank can */
    if (r[3] >> 11 & 1) {
        wrmsr(MSR_SYSENTER_CS, HV_CS);
        wrmsr(MSR_SYSENTER_EIP, entry_points.sysenter);
        wrmsr(MSR_SYSENTER_ESP, CPU_AREA(this_pcpu()->id) + (CPU_AREA_PAGE_STACK + 1) * PAGE_SIZE);
    }
}

/* ---- descriptor tables ---- */

struct idt_gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "hardware");

/* One for all CPUs, in the slot of the entry code; boot.c maps its page. */
#define idt ((struct idt_gate *)IDT_VIRT)

static void gate_set(unsigned int n, uint64_t target, enum ist ist, unsigned int dpl)
{
    idt[n] = (struct idt_gate){
        .offset_low = (uint16_t)target,
        .selector = HV_CS,
        .ist = (uint8_t)ist,
        .type = (uint8_t)(0x8e | dpl << 5),
        .offset_mid = (uint16_t)(target >> 16),
        .offset_high = (uint32_t)(target >> 32),
    };
}

static void idt_init(void)
{
    for (unsigned int n = 0; n < 32; n++)
        gate_set(n, exception_stubs[n], IST_NONE, n == 3 || n == 4 ? 3 : 0);
    for (unsigned int n = 32; n < 256; n++)
        gate_set(n, entry_points.irq_stubs + (n - 32) * IRQ_STUB_BYTES, IST_NONE,
                 n == 0x80 ? 3 : 0);
    idt[1].ist = IST_DB;
    idt[2].ist = IST_NMI;
    idt[8].ist = IST_DF;
    idt[18].ist = IST_MC;
}

static void system_descriptor(uint64_t *e, unsigned int type, uint64_t base, uint32_t limit)
{
    e[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)(0x80 | type) << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
    e[1] = base >> 32;
}

/* Page 14 of CPU id's GDT. */
static uint64_t *gdt_page(uint32_t id)
{
    return (uint64_t *)(CPU_AREA(id) + (CPU_AREA_PAGE_GDT + FIRST_RESERVED_GDT_PAGE) * PAGE_SIZE);
}

void cpu_load_ldt(uint64_t va, unsigned int nr_ents)
{
    uint64_t *gdt = gdt_page(this_pcpu()->id);

    if (nr_ents == 0) {
        __asm__ volatile("lldt %w0" ::"r"(0));
        return;
    }
    system_descriptor(&gdt[(LDT_SELECTOR & 0xfff) / 8], 2, va, nr_ents * 8 - 1);
    __asm__ volatile("lldt %w0" ::"r"(LDT_SELECTOR));
}

void cpu_setup_descriptors(uint32_t id, struct pcpu *pcpu, uint64_t stack_top)
{
    struct cpu_entry *e = (struct cpu_entry *)(CPU_AREA(id) + CPU_AREA_PAGE_ENTRY * PAGE_SIZE);
    uint64_t *gdt = gdt_page(id);
    uint64_t entry_top = CPU_AREA(id) + (CPU_AREA_PAGE_STACK + 1) * PAGE_SIZE;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table;

    _Static_assert(sizeof(struct cpu_user_regs) == 200, "the frame's place in the entry stack");
    e->pcpu = pcpu;
    e->regs = (struct cpu_user_regs *)(entry_top - 216); /* so that the CPU's part is aligned */
    e->stack_top = stack_top;
    e->tss.rsp[0] = (uint64_t)(uintptr_t)&e->regs->es;
    e->tss.iomap_base = sizeof(struct tss); /* no port without a trap */
    for (unsigned int n = 1; n <= NR_IST; n++) {
        e->tss.ist[n - 1] = IST_TOP(CPU_AREA(id), n);
        *(uint64_t *)IST_TOP(CPU_AREA(id), n) = (uint64_t)(uintptr_t)e;
    }
    gdt[1] = 0x00af9b000000ffff; /* e008: hypervisor's code */
    gdt[2] = 0x00cf93000000ffff; /* e010: hypervisor's data */
    gdt[4] = 0x00cffb000000ffff; /* e023: ring 3, 32-bit code */
    gdt[5] = 0x00cff3000000ffff; /* e02b: ring 3, data */
    gdt[6] = 0x00affb000000ffff; /* e033: ring 3, 64-bit code */
    system_descriptor(&gdt[(TSS_SELECTOR & 0xfff) / 8], 9, (uint64_t)(uintptr_t)&e->tss,
                      sizeof(struct tss) - 1);
    table.limit = (FIRST_RESERVED_GDT_PAGE + 1) * PAGE_SIZE - 1;
    table.base = CPU_AREA(id) + CPU_AREA_PAGE_GDT * PAGE_SIZE;
    __asm__ volatile("lgdt %0" ::"m"(table));
    __asm__ volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::"i"(HV_CS)
                     : "rax", "memory");
    __asm__ volatile("mov %0, %%ss" ::"r"(HV_DS));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" ::"r"(0));
    wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)e);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    __asm__ volatile("ltr %w0" ::"r"(TSS_SELECTOR));
    __asm__ volatile("lldt %w0" ::"r"(0));
    if (id == 0)
        idt_init();
    table.limit = 256 * sizeof(struct idt_gate) - 1;
    table.base = IDT_VIRT;
    __asm__ volatile("lidt %0" ::"m"(table));
}
