/* See lapic.h; Intel SDM volume 3, chapter 11. */
#include "x86/lapic.h"

#include "x86/arch.h"
#include "x86/cpu.h"
#include "x86/vectors.h"

enum { REG_ID = 0x020, REG_VERSION = 0x030, REG_TPR = 0x080, REG_SPIV = 0x0f0, REG_ISR = 0x100 };
enum { REG_ICR = 0x300, REG_ICR_HIGH = 0x310 };
enum { REG_LVT_TIMER = 0x320, REG_LVT_LINT1 = 0x360 };
enum { REG_TIMER_INITIAL = 0x380, REG_TIMER_CURRENT = 0x390, REG_TIMER_DIVIDE = 0x3e0 };

enum { MSR_APIC_BASE = 0x1b, APIC_BASE_X2APIC = 1 << 10, APIC_BASE_ENABLED = 1 << 11 };
enum { SPIV_ENABLE = 1 << 8, LVT_MASKED = 1 << 16, DELIVER_NMI = 4 << 8, DIVIDE_BY_1 = 0xb };
#define ICR_BUSY (1u << 12)

volatile uint32_t *lapic_regs;

static uint32_t lapic_read(unsigned int reg) { return lapic_regs[reg / 4]; }
static void lapic_write(unsigned int reg, uint32_t value) { lapic_regs[reg / 4] = value; }

void lapic_init(void)
{
    /* timer, LINT0, LINT1, error, performance, thermal, CMCI: a CPU has the first so many */
    static const uint16_t lvts[] = { 0x320, 0x350, 0x360, 0x370, 0x340, 0x330, 0x2f0 };
    uint64_t base = rdmsr(MSR_APIC_BASE);

    if (base & APIC_BASE_X2APIC)
        panic("The firmware left the local APIC in x2APIC mode, which is not supported");
    wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLED);
    if (lapic_regs == NULL) /* the first device to be mapped: there is room */
        lapic_regs = arch_map_mmio(base & PTE_ADDR_MASK, PAGE_SIZE);
    lapic_write(REG_SPIV, SPIV_ENABLE | VECTOR_SPURIOUS);
    lapic_write(REG_TPR, 0);
    for (uint32_t i = 0; i < ARRAY_SIZE(lvts) && i <= (lapic_read(REG_VERSION) >> 16 & 0xff); i++)
        lapic_write(lvts[i], LVT_MASKED | VECTOR_SPURIOUS);
    for (unsigned int vector = 32; vector < 256; vector++) /* left in service by the firmware */
        if (lapic_in_service(vector))
            lapic_eoi();
    lapic_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(REG_TIMER_INITIAL, 0);
    lapic_write(REG_LVT_TIMER, VECTOR_LAPIC_TIMER); /* one-shot */
    lapic_write(REG_LVT_LINT1, DELIVER_NMI);
}

uint32_t lapic_id(void) { return lapic_read(REG_ID) >> 24; }

void lapic_send(uint32_t apic_id, uint32_t what)
{
    unsigned long flags = arch_irq_save();
    uint32_t high = lapic_read(REG_ICR_HIGH);

    this_pcpu()->nr_ipis++;
    lapic_write(REG_ICR_HIGH, apic_id << 24);
    lapic_write(REG_ICR, what);
    while (lapic_read(REG_ICR) & ICR_BUSY)
        cpu_relax();
    lapic_write(REG_ICR_HIGH,
                high); /* we may be an NMI that came between somebody's first two writes */
    arch_irq_restore(flags);
}

bool lapic_in_service(unsigned int vector)
{
    return lapic_read(REG_ISR + vector / 32 * 0x10) >> (vector % 32) & 1;
}

void lapic_timer_arm(uint32_t ticks) { lapic_write(REG_TIMER_INITIAL, ticks); }
uint32_t lapic_timer_remaining(void) { return lapic_read(REG_TIMER_CURRENT); }
