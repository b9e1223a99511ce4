/* What we need of the ACPI tables; domain 0 interprets the rest. */
#pragma once
#include "lib/pcpu.h"

#define ACPI_MAX_IOAPICS 16u

struct acpi_info {
    struct acpi_cpu {
        uint32_t apic_id, acpi_id;
    } cpus[NR_CPUS]; /* MADT: enabled ones, in the table's order */
    uint32_t nr_cpus;
    struct acpi_ioapic {
        uint64_t maddr;
        uint32_t gsi_base;
    } ioapics[ACPI_MAX_IOAPICS];
    uint32_t nr_ioapics;
    struct acpi_isa_irq { /* MADT overrides; flags: MPS INTI */
        bool is_overridden;
        uint16_t flags;
        uint32_t gsi;
    } isa_irqs[16];

    uint16_t pm_timer_port, pm1a_cnt_port, pm1b_cnt_port; /* FADT; 0: none */
    uint16_t reset_port;                                  /* FADT; 0: none, or no port */
    uint8_t reset_value;

    uint64_t hpet_maddr; /* 0: none */
};

/** Show len bytes of memory at maddr for as long as tables are parsed; NULL: cannot be. */
typedef const void *acpi_map_fn(uint64_t maddr, size_t len);

/**
 * Parse the tables from the boot loader's copy of the RSDP (rsdp_bytes 0: it has none).
 * Panics if one that we need is corrupt.
 */
void acpi_parse(struct acpi_info *info, const uint8_t *rsdp, uint32_t rsdp_bytes, acpi_map_fn *map);

/** What was found at boot (machine.c). */
extern struct acpi_info acpi_info;
