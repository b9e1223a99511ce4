/* See ioapic.h; Intel 82093AA. */
#include "x86/ioapic.h"

#include "x86/acpi.h"
#include "x86/arch.h"
#include "x86/vectors.h"

enum { REG_VERSION = 1, REG_RTE = 0x10 };
enum { RTE_ACTIVE_LOW = 1 << 13, RTE_LEVEL = 1 << 15, RTE_MASKED = 1 << 16 };
/* MPS INTI flags; "conforms to the bus" is 0, for an override edge and high as ISA's are */
enum { INTI_LOW = 3, INTI_LEVEL = 0xc };

struct ioapic {
    volatile uint32_t *regs;
    uint64_t maddr;
    uint32_t gsi_base, nr_pins;
};

static struct ioapic ioapics[ACPI_MAX_IOAPICS];
static unsigned int nr_ioapics;

/* The window shows register reg from now on. */
static volatile uint32_t *ioapic_reg(const struct ioapic *io, uint32_t reg)
{
    io->regs[0] = reg;
    return &io->regs[4];
}

static const struct ioapic *ioapic_of(uint32_t gsi)
{
    for (const struct ioapic *io = ioapics; io < ioapics + nr_ioapics; io++)
        if (gsi >= io->gsi_base && gsi - io->gsi_base < io->nr_pins)
            return io;
    return NULL;
}

bool ioapic_has(uint32_t gsi) { return ioapic_of(gsi) != NULL; }

void pic_silence(void)
{
    /* port, value: initialisation words 1..4, then the mask */
    static const uint8_t steps[][2] = {
        { 0x20, 0x11 },           { 0x21, VECTOR_PIC }, { 0x21, 4 }, { 0x21, 1 },    { 0xa0, 0x11 },
        { 0xa1, VECTOR_PIC + 8 }, { 0xa1, 2 },          { 0xa1, 1 }, { 0x21, 0xff }, { 0xa1, 0xff }
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++)
        arch_port_out(steps[i][0], 1, steps[i][1]);
}

uint32_t ioapic_init(void)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < acpi_info.nr_ioapics; i++) {
        const struct acpi_ioapic *a = &acpi_info.ioapics[i];
        struct ioapic io = { arch_map_mmio(a->maddr, 0x20), a->maddr, a->gsi_base, 0 };
        uint32_t version = io.regs ? *ioapic_reg(&io, REG_VERSION) : ~0u;

        io.nr_pins = (version >> 16 & 0xff) + 1;
        if (version == ~0u || (uint64_t)io.gsi_base + io.nr_pins > NR_GSIS_MAX) {
            print(LOG_WARN, "I/O APIC at 0x%lx: not usable\n", a->maddr);
            continue;
        }
        for (uint32_t reg = REG_RTE; reg < REG_RTE + 2 * io.nr_pins; reg += 2)
            *ioapic_reg(&io, reg) = RTE_MASKED;
        end = MAX(end, io.gsi_base + io.nr_pins);
        ioapics[nr_ioapics++] = io;
    }
    print(LOG_INFO, "I/O APICs: %u, GSIs below %u\n", nr_ioapics, end);
    return end;
}

void ioapic_gsi_defaults(uint32_t gsi, bool *level, bool *active_low)
{
    *level = *active_low = gsi >= 16; /* PCI; ISA is edge, active high */
    for (uint32_t irq = 0; irq < ARRAY_SIZE(acpi_info.isa_irqs); irq++) {
        const struct acpi_isa_irq *o = &acpi_info.isa_irqs[irq];

        if (o->is_overridden && o->gsi == gsi) {
            *level = (o->flags & INTI_LEVEL) == INTI_LEVEL;
            *active_low = (o->flags & INTI_LOW) == INTI_LOW;
        }
    }
}

uint32_t ioapic_isa_gsi(uint32_t irq)
{
    return acpi_info.isa_irqs[irq].is_overridden ? acpi_info.isa_irqs[irq].gsi : irq;
}

void ioapic_set(uint32_t gsi, unsigned int vector, bool level, bool active_low, bool masked,
                uint32_t apic_id)
{
    const struct ioapic *io = ioapic_of(gsi);
    uint32_t reg = REG_RTE + 2 * (gsi - io->gsi_base);

    *ioapic_reg(io, reg + 1) = apic_id << 24;
    *ioapic_reg(io, reg) =
        vector | level * RTE_LEVEL | active_low * RTE_ACTIVE_LOW | masked * RTE_MASKED;
}

bool ioapic_read_reg(uint64_t maddr, uint32_t reg, uint32_t *value)
{
    for (const struct ioapic *io = ioapics; io < ioapics + nr_ioapics; io++)
        if (io->maddr == maddr && reg < REG_RTE + 2 * io->nr_pins) {
            *value = *ioapic_reg(io, reg);
            return true;
        }
    return false;
}
