/*
 * What UEFI firmware left behind: only to be told to the initial domain. Boot services are over, and
 * runtime services are never called.
 */
#pragma once
#include "x86/acpi.h"

struct efi_info {
    bool is_efi;
    uint32_t revision, runtime_revision;
    uint64_t config_tables; /* machine address of nr_config_tables EFI_CONFIGURATION_TABLEs */
    uint32_t nr_config_tables;
};

/** Read the system table at maddr (0: there is none); a malformed one is named and left out. */
void efi_read(struct efi_info *info, uint64_t maddr, acpi_map_fn *map);

/** What was found at boot (machine.c). */
extern struct efi_info efi_info;
