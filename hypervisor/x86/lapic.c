/* See lapic.h; Intel SDM volume 3, chapter 11. */
#include "x86/lapic.h"

#include "lib/bug.h"
#include "x86/arch.h"
#include "x86/vectors.h"

enum {
    REG_ID = 0x020, REG_VERSION = 0x030, REG_TPR = 0x080, REG_SPIV = 0x0f0, REG_ISR = 0x100,
    REG_ESR = 0x280, REG_LVT_CMCI = 0x2f0, REG_ICR_LOW = 0x300, REG_ICR_HIGH = 0x310,
    REG_LVT_TIMER = 0x320, REG_LVT_THERMAL = 0x330, REG_LVT_PERF = 0x340, REG_LVT_LINT0 = 0x350,
    REG_LVT_LINT1 = 0x360, REG_LVT_ERROR = 0x370, REG_TIMER_INITIAL = 0x380,
    REG_TIMER_CURRENT = 0x390, REG_TIMER_DIVIDE = 0x3e0,
};

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ENABLED (1ULL << 11)
#define APIC_BASE_X2APIC (1ULL << 10)

#define SPIV_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define DELIVER_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define DIVIDE_BY_1 0xb
#define LVT_MAX(version) ((version) >> 16 & 0xff)

volatile uint32_t *lapic_regs;

static uint32_t lapic_read(unsigned int reg) { return lapic_regs[reg / 4]; }
static void lapic_write(unsigned int reg, uint32_t value) { lapic_regs[reg / 4] = value; }

static void lapic_find(bool boot_cpu)
{
    uint64_t base;

    if (arch_rdmsr_safe(MSR_APIC_BASE, &base))
        panic("This CPU has no local APIC");
    if (base & APIC_BASE_X2APIC)
        panic("The firmware left the local APIC in x2APIC mode, which is not supported");
    if (!(base & APIC_BASE_ENABLED) && arch_wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_ENABLED))
        panic("The local APIC cannot be enabled");
    if (boot_cpu)
        lapic_regs = arch_map_mmio(base & PTE_ADDR_MASK, PAGE_SIZE);
    if (lapic_regs == NULL)
        panic("The local APIC at %#llx cannot be mapped", (unsigned long long)base);
}

static void lapic_mask_local(void)
{
    uint32_t lvt_max = LVT_MAX(lapic_read(REG_VERSION));

    lapic_write(REG_LVT_TIMER, LVT_MASKED | VECTOR_LAPIC_TIMER);
    lapic_write(REG_LVT_LINT0, LVT_MASKED);
    lapic_write(REG_LVT_LINT1, LVT_MASKED);
    if (lvt_max >= 3)
        lapic_write(REG_LVT_ERROR, LVT_MASKED | VECTOR_SPURIOUS);
    if (lvt_max >= 4)
        lapic_write(REG_LVT_PERF, LVT_MASKED);
    if (lvt_max >= 5)
        lapic_write(REG_LVT_THERMAL, LVT_MASKED);
    if (lvt_max >= 6)
        lapic_write(REG_LVT_CMCI, LVT_MASKED);
}

void lapic_init(bool boot_cpu)
{
    lapic_find(boot_cpu);
    lapic_write(REG_SPIV, SPIV_ENABLE | VECTOR_SPURIOUS);
    lapic_write(REG_TPR, 0);
    lapic_mask_local();
    for (unsigned int vector = 32; vector < 256; vector++) /* left in service by the firmware */
        if (lapic_in_service(vector))
            lapic_eoi();
    lapic_write(REG_ESR, 0);
    lapic_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(REG_TIMER_INITIAL, 0);
    lapic_write(REG_LVT_TIMER, VECTOR_LAPIC_TIMER); /* one-shot */
    if (boot_cpu)
        lapic_write(REG_LVT_LINT1, DELIVER_NMI);
}

uint32_t lapic_id(void) { return lapic_read(REG_ID) >> 24; }

bool lapic_in_service(unsigned int vector)
{
    return lapic_read(REG_ISR + vector / 32 * 0x10) >> (vector % 32) & 1;
}

void lapic_timer_arm(uint32_t ticks) { lapic_write(REG_TIMER_INITIAL, ticks); }
uint32_t lapic_timer_remaining(void) { return lapic_read(REG_TIMER_CURRENT); }

/* Both halves of the command register belong together: no interrupt may send one in between. */
static void lapic_command(uint32_t apic_id, uint32_t command)
{
    unsigned long flags = arch_irq_save();

    while (lapic_read(REG_ICR_LOW) & ICR_PENDING)
        cpu_relax();
    lapic_write(REG_ICR_HIGH, apic_id << 24);
    lapic_write(REG_ICR_LOW, command);
    arch_irq_restore(flags);
}

void lapic_send_ipi(uint32_t apic_id, unsigned int vector) { lapic_command(apic_id, ICR_ASSERT | vector); }
void lapic_send_init(uint32_t apic_id) { lapic_command(apic_id, ICR_ASSERT | ICR_INIT); }
void lapic_send_startup(uint32_t apic_id, unsigned int page)
{
    lapic_command(apic_id, ICR_ASSERT | ICR_STARTUP | (page & 0xff));
}
