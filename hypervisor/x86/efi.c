/* UEFI specification 2.10, section 4.3. The tables come from firmware: they may be malformed. */
#include "x86/efi.h"

#include "lib/lib.h"

struct system_table {
    struct table_header {
        uint64_t signature;
        uint32_t revision, bytes, crc, reserved;
    } __attribute__((packed)) header;
    uint64_t vendor;
    uint32_t vendor_revision, padding;
    uint64_t consoles[6], runtime, boot;
    uint64_t nr_config_tables, config_tables;
} __attribute__((packed));                           /* nothing says that firmware aligns it */
#define SYSTEM_TABLE_SIGNATURE 0x5453595320494249ULL /* "IBI SYST" */
#define MAX_CONFIG_TABLES 256u

void efi_read(struct efi_info *info, uint64_t maddr, acpi_map_fn *map)
{
    const struct system_table *t = maddr ? map(maddr, sizeof(*t)) : NULL;
    const struct table_header *runtime;

    if (maddr == 0)
        return;
    if (t == NULL || t->header.signature != SYSTEM_TABLE_SIGNATURE ||
        t->nr_config_tables > MAX_CONFIG_TABLES) {
        print(LOG_WARN, "UEFI: no system table at 0x%lx: the initial domain is told of none",
              maddr);
        return;
    }
    info->is_efi = true;
    info->revision = t->header.revision;
    info->config_tables = t->config_tables;
    info->nr_config_tables = (uint32_t)t->nr_config_tables;
    runtime = map(t->runtime, sizeof(*runtime));
    info->runtime_revision = runtime ? runtime->revision : 0;
}
