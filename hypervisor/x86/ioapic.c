/* See ioapic.h; Intel 82093AA. */
#include "x86/ioapic.h"

#include "lib/print.h"
#include "x86/acpi.h"
#include "x86/arch.h"
#include "x86/vectors.h"

enum { REG_ID = 0, REG_VERSION = 1, REG_RTE = 0x10 };

#define RTE_LEVEL (1u << 15)
#define RTE_ACTIVE_LOW (1u << 13)
#define RTE_MASKED (1u << 16)
#define RTE_DELIVERY(low) ((low) >> 8 & 7)
#define DELIVERY_SMI 2u

/* MPS INTI flags */
#define INTI_POLARITY(flags) ((flags) & 3u)
#define INTI_TRIGGER(flags) ((flags) >> 2 & 3u)
#define INTI_HIGH 1u
#define INTI_LOW 3u
#define INTI_EDGE 1u
#define INTI_LEVEL 3u

struct ioapic {
    volatile uint32_t *regs;
    uint64_t maddr;
    uint32_t gsi_base, nr_pins;
};

static struct ioapic ioapics[ACPI_MAX_IOAPICS];
static unsigned int nr_ioapics;
static uint32_t rte_low[NR_GSIS_MAX]; /* as last written: saves a slow read on each mask */

static uint32_t ioapic_read(const struct ioapic *io, uint32_t reg)
{
    io->regs[0] = reg;
    return io->regs[4];
}

static void ioapic_write(const struct ioapic *io, uint32_t reg, uint32_t value)
{
    io->regs[0] = reg;
    io->regs[4] = value;
}

static const struct ioapic *ioapic_of(uint32_t gsi)
{
    for (unsigned int i = 0; i < nr_ioapics; i++)
        if (gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].nr_pins)
            return &ioapics[i];
    return NULL;
}

bool ioapic_has(uint32_t gsi) { return ioapic_of(gsi) != NULL; }

void pic_silence(void)
{
    static const struct { uint8_t port, value; } steps[] = {
        { 0x21, 0xff }, { 0xa1, 0xff },
        { 0x20, 0x11 }, { 0x21, VECTOR_PIC }, { 0x21, 4 }, { 0x21, 1 },
        { 0xa0, 0x11 }, { 0xa1, VECTOR_PIC + 8 }, { 0xa1, 2 }, { 0xa1, 1 },
        { 0x21, 0xff }, { 0xa1, 0xff },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++)
        arch_port_out(steps[i].port, 1, steps[i].value);
}

/* Firmware's system management interrupts stay as they are. */
static void ioapic_mask_all(const struct ioapic *io)
{
    for (uint32_t pin = 0; pin < io->nr_pins; pin++) {
        uint32_t low = ioapic_read(io, REG_RTE + 2 * pin);

        if (RTE_DELIVERY(low) != DELIVERY_SMI || (low & RTE_MASKED))
            ioapic_write(io, REG_RTE + 2 * pin, low = RTE_MASKED);
        rte_low[io->gsi_base + pin] = low;
    }
}

static bool ioapic_add(const struct acpi_ioapic *a)
{
    struct ioapic *io = &ioapics[nr_ioapics];
    uint32_t version;

    io->regs = arch_map_mmio(a->maddr, 0x20);
    io->maddr = a->maddr;
    io->gsi_base = a->gsi_base;
    if (io->regs == NULL)
        return false;
    version = ioapic_read(io, REG_VERSION);
    io->nr_pins = (version >> 16 & 0xff) + 1;
    if (version == ~0u || io->gsi_base >= NR_GSIS_MAX || io->nr_pins > NR_GSIS_MAX - io->gsi_base)
        return false;
    nr_ioapics++;
    ioapic_mask_all(io);
    return true;
}

uint32_t ioapic_init(void)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < acpi_info.nr_ioapics && i < ACPI_MAX_IOAPICS; i++) {
        const struct acpi_ioapic *a = &acpi_info.ioapics[i];

        if (!ioapic_add(a)) {
            print(LOG_WARN, "I/O APIC at %#llx: not usable\n", (unsigned long long)a->maddr);
            continue;
        }
        end = MAX(end, ioapics[nr_ioapics - 1].gsi_base + ioapics[nr_ioapics - 1].nr_pins);
    }
    print(LOG_INFO, "I/O APICs: %u, GSIs below %u\n", nr_ioapics, end);
    return end;
}

void ioapic_gsi_defaults(uint32_t gsi, bool *level, bool *active_low)
{
    *level = *active_low = gsi >= 16; /* PCI; ISA is edge, active high */
    for (uint32_t i = 0; i < acpi_info.nr_overrides; i++) {
        const struct acpi_override *o = &acpi_info.overrides[i];

        if (o->gsi == gsi) { /* "conforms to the bus": ISA's */
            *level = INTI_TRIGGER(o->flags) == INTI_LEVEL;
            *active_low = INTI_POLARITY(o->flags) == INTI_LOW;
        }
    }
}

uint32_t ioapic_isa_gsi(uint32_t irq)
{
    for (uint32_t i = 0; i < acpi_info.nr_overrides; i++)
        if (acpi_info.overrides[i].irq == irq)
            return acpi_info.overrides[i].gsi;
    return irq;
}

void ioapic_route(uint32_t gsi, unsigned int vector, uint32_t apic_id, bool level, bool active_low)
{
    const struct ioapic *io = ioapic_of(gsi);
    uint32_t reg = REG_RTE + 2 * (gsi - io->gsi_base);

    rte_low[gsi] = RTE_MASKED | (level ? RTE_LEVEL : 0) | (active_low ? RTE_ACTIVE_LOW : 0) | vector;
    ioapic_write(io, reg, RTE_MASKED);
    ioapic_write(io, reg + 1, apic_id << 24);
    ioapic_write(io, reg, rte_low[gsi]);
}

void ioapic_set_mask(uint32_t gsi, bool masked)
{
    const struct ioapic *io = ioapic_of(gsi);

    rte_low[gsi] = masked ? rte_low[gsi] | RTE_MASKED : rte_low[gsi] & ~RTE_MASKED;
    ioapic_write(io, REG_RTE + 2 * (gsi - io->gsi_base), rte_low[gsi]);
}

bool ioapic_read_reg(uint64_t maddr, uint32_t reg, uint32_t *value)
{
    for (unsigned int i = 0; i < nr_ioapics; i++)
        if (ioapics[i].maddr == maddr && reg < REG_RTE + 2 * ioapics[i].nr_pins) {
            *value = ioapic_read(&ioapics[i], reg);
            return true;
        }
    return false;
}
