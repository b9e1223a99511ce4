/*
 * x86/acpi.c: the input is one byte of flags, the boot loader's copy of the RSDP, and memory from
 * BASE on, in which the tables lie. Checksums can be made right, which mutations seldom do.
 */
#include "fuzz.h"

#include "x86/acpi.h"

#define BASE 0xe0000u
#define RSDP_BYTES 36u
#define TABLE_BYTES 36u
enum { F_OLD_RSDP = 1, F_NO_RSDP = 2, F_FIX_RSDP = 4, F_FIX_TABLES = 8 };

static struct acpi_info info;
static uint8_t flags, rsdp[RSDP_BYTES];
static uint32_t rsdp_bytes;

static void fix_sum(uint8_t *p, size_t len, size_t at)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    p[at] = (uint8_t)(p[at] - sum);
}

static const void *map(uint64_t maddr, size_t len)
{
    uint8_t *p = fuzz_map(maddr, len);

    if (p && (flags & F_FIX_TABLES) && len >= TABLE_BYTES)
        fix_sum(p, len, 9);
    return p;
}

static void parse(void) { acpi_parse(&info, rsdp, rsdp_bytes, map); }

static void check(void)
{
    BUG_ON(info.nr_cpus > NR_CPUS || info.nr_ioapics > ACPI_MAX_IOAPICS);
    for (unsigned int i = 0; i < info.nr_cpus; i++)
        BUG_ON(info.cpus[i].apic_id >= 255 || info.cpus[i].acpi_id > 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + RSDP_BYTES)
        return 0;
    flags = data[0];
    memcpy(rsdp, data + 1, RSDP_BYTES);
    if (flags & F_FIX_RSDP) {
        memcpy(rsdp, "RSD PTR ", 8);
        fix_sum(rsdp, 20, 8);
        fix_sum(rsdp, RSDP_BYTES, 32);
    }
    rsdp_bytes = flags & F_NO_RSDP ? flags >> 4 : flags & F_OLD_RSDP ? 20 : RSDP_BYTES;
    fuzz_memory(BASE, data + 1 + RSDP_BYTES, size - 1 - RSDP_BYTES);
    if (fuzz_accepted(parse))
        check();
    fuzz_unmap_all();
    return 0;
}
