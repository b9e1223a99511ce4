/* What we need of the ACPI tables; domain 0 interprets the rest. */
#pragma once
#include "lib/pcpu.h"
#include "lib/types.h"

#define ACPI_MAX_IOAPICS 16u
#define ACPI_MAX_OVERRIDES 24u

struct acpi_ioapic { uint64_t maddr; uint32_t gsi_base; uint8_t id; };
struct acpi_override { uint32_t gsi; uint16_t flags; uint8_t irq; }; /* flags: MPS INTI */
struct acpi_cpu { uint32_t apic_id, acpi_id; };

struct acpi_info {
    bool has_madt, has_fadt, has_s5, has_reset;
    uint64_t rsdp_maddr;             /* 0 when only the boot loader's copy is known */
    uint64_t root_maddr;             /* XSDT or RSDT */
    bool root_is_xsdt;

    uint64_t lapic_maddr;            /* MADT */
    struct acpi_cpu cpus[NR_CPUS];   /* enabled ones, in the table's order */
    uint32_t nr_cpus;
    uint32_t nr_cpus_left_out;       /* more than NR_CPUS, or APIC ids above 254 */
    struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
    uint32_t nr_ioapics;
    struct acpi_override overrides[ACPI_MAX_OVERRIDES];
    uint32_t nr_overrides;

    uint64_t dsdt_maddr;             /* FADT */
    uint16_t sci_irq;
    uint16_t pm_timer_port, pm1a_cnt_port, pm1b_cnt_port; /* 0: none */
    bool pm_timer_32bit;
    uint8_t century;                 /* CMOS index, 0: none */
    uint8_t reset_space, reset_value; /* space 0 memory, 1 I/O port, 2 PCI configuration of bus 0 */
    uint64_t reset_address;
    uint8_t s5_typ_a, s5_typ_b;      /* SLP_TYP for soft off */

    uint64_t hpet_maddr;             /* 0: none */
};

/** Show len bytes of memory at maddr for as long as tables are parsed; NULL: cannot be. */
typedef const void *acpi_map_fn(uint64_t maddr, size_t len);

/**
 * Find and parse the tables: from the boot loader's copy of the RSDP if rsdp_bytes is not 0, else
 * by searching the BIOS areas. A table that is corrupt is named in one warning and left out.
 * Returns false if there is no usable root table; else see has_*.
 */
bool acpi_parse(struct acpi_info *info, const uint8_t *rsdp, uint32_t rsdp_bytes, acpi_map_fn *map);

/** What was found at boot (machine.c). */
extern struct acpi_info acpi_info;
