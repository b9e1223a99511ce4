/* The I/O APICs and, to silence them, the legacy PICs. Callers serialize (irq/). */
#pragma once
#include "lib/types.h"

#define NR_GSIS_MAX 1024u

/**
 * Find the I/O APICs of acpi_info and mask all inputs. Returns 1 + the last GSI; 0: none.
 */
uint32_t ioapic_init(void);
/** True if an input of this number exists. */
bool ioapic_has(uint32_t gsi);
/** Trigger and polarity of gsi as bus and firmware have it. */
void ioapic_gsi_defaults(uint32_t gsi, bool *level, bool *active_low);
/** The GSI that ISA interrupt irq (0..15) arrives at. */
uint32_t ioapic_isa_gsi(uint32_t irq);

#define IOAPIC_NMI (4u << 8) /* in place of a vector */
/** What gsi, which exists, raises, when, and at which CPU. */
void ioapic_set(uint32_t gsi, unsigned int vector, bool level, bool active_low, bool masked,
                uint32_t apic_id);

/** Register reg of the I/O APIC at maddr; false: there is none. */
bool ioapic_read_reg(uint64_t maddr, uint32_t reg, uint32_t *value);

/** Mask and remap the legacy PICs; before the local APIC stops listening to them. */
void pic_silence(void);
