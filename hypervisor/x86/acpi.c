/* ACPI specification 6.4, chapter 5. Tables come from firmware: they may be malformed. */
#include "x86/acpi.h"

#include "lib/lib.h"

#define TABLE_MAX_BYTES MIB(4)
#define MAX_TABLES 256u

/* Offsets of the fields that we read; specification section 5.2. */
enum { RSDP_REVISION = 15, RSDP_RSDT = 16, RSDP_XSDT = 24, RSDP_V1_BYTES = 20, RSDP_BYTES = 36 };
enum { TABLE_LENGTH = 4, TABLE_BYTES = 36, MADT_ENTRIES = 44, HPET_ADDRESS = 40, HPET_BYTES = 56 };
enum { FADT_PM1A_CNT = 64, FADT_PM1B_CNT = 68, FADT_PM_TIMER = 76 };
enum { FADT_FLAGS = 112, FADT_RESET = 116, FADT_RESET_VALUE = 128 };
enum { FADT_X_PM1A_CNT = 172, FADT_X_PM1B_CNT = 184, FADT_X_PM_TIMER = 208 };
enum { GAS_SPACE = 0, GAS_ADDRESS = 4, GAS_MEMORY = 0, GAS_IO = 1 };
#define FADT_RESET_SUPPORTED (1u << 10)

static acpi_map_fn *map_memory;

static uint8_t byte_sum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum = (uint8_t)(sum + *p++);
    return sum;
}

/* A number of up to 8 bytes at an offset; 0 where the structure ends before it, as old ones do. */
static uint64_t field(const uint8_t *base, size_t limit, size_t at, size_t bytes)
{
    uint64_t value = 0;

    if (at + bytes <= limit)
        memcpy(&value, base + at, bytes);
    return value;
}

static bool has_cpu(const struct acpi_info *info, uint32_t apic_id)
{
    for (uint32_t i = 0; i < info->nr_cpus; i++)
        if (info->cpus[i].apic_id == apic_id)
            return true;
    return false;
}

/* What we have no room for, and what is there twice, is left out. */
static void parse_madt(struct acpi_info *info, const uint8_t *t, uint32_t len)
{
    static const uint8_t min_bytes[] = { 8, 12, 10 }; /* by type */
    const uint8_t *e = t + MADT_ENTRIES, *end = t + len;

    for (; end - e >= 2; e += e[1]) {
        size_t left = (size_t)(end - e);
        uint32_t at4 = (uint32_t)field(e, left, 4, 4), at8 = (uint32_t)field(e, left, 8, 4);

        if (e[1] < (e[0] < sizeof(min_bytes) ? min_bytes[e[0]] : 2) || e[1] > left)
            panic("ACPI: APIC: entry of type %u has length %u", e[0], e[1]);
        switch (e[0]) {
        case 0: /* local APIC */
            if ((at4 & 1) && e[3] != 255 &&
                info->nr_cpus < NR_CPUS && /* enabled: no empty socket */
                !has_cpu(info, e[3]))
                info->cpus[info->nr_cpus++] = (struct acpi_cpu){ e[3], e[2] };
            break;
        case 1: /* I/O APIC */
            if (info->nr_ioapics < ACPI_MAX_IOAPICS)
                info->ioapics[info->nr_ioapics++] = (struct acpi_ioapic){ at4, at8 };
            break;
        case 2: /* an ISA interrupt with another GSI or polarity */
            if (e[3] < ARRAY_SIZE(info->isa_irqs))
                info->isa_irqs[e[3]] =
                    (struct acpi_isa_irq){ true, (uint16_t)field(e, e[1], 8, 2), at4 };
        }
    }
}

/* ---- FADT and HPET ---- */

/* The port of a register: the extended address if there is one in I/O space, else the old one. */
static uint16_t register_port(const uint8_t *t, uint32_t len, size_t old, size_t extended)
{
    uint64_t port = field(t, len, extended + GAS_ADDRESS, 8);

    if (port == 0 || field(t, len, extended + GAS_SPACE, 1) != GAS_IO)
        port = field(t, len, old, 4);
    return port <= 0xffff ? (uint16_t)port : 0;
}

static void parse_fadt(struct acpi_info *info, const uint8_t *t, uint32_t len)
{
    info->pm1a_cnt_port = register_port(t, len, FADT_PM1A_CNT, FADT_X_PM1A_CNT);
    info->pm1b_cnt_port = register_port(t, len, FADT_PM1B_CNT, FADT_X_PM1B_CNT);
    info->pm_timer_port = register_port(t, len, FADT_PM_TIMER, FADT_X_PM_TIMER);
    if (field(t, len, FADT_FLAGS, 4) & FADT_RESET_SUPPORTED)
        info->reset_port = register_port(t, len, len, FADT_RESET); /* it has no old address */
    info->reset_value = (uint8_t)field(t, len, FADT_RESET_VALUE, 1);
}

static void parse_hpet(struct acpi_info *info, const uint8_t *t, uint32_t len)
{
    if (t[HPET_ADDRESS + GAS_SPACE] == GAS_MEMORY)
        info->hpet_maddr = field(t, len, HPET_ADDRESS + GAS_ADDRESS, 8);
}

/* ---- any table ---- */

/* A root and all that it names, or one of those. False: not one that we know. */
static bool parse_table(struct acpi_info *info, uint64_t maddr, bool root)
{
    static const struct {
        const char *signature;
        size_t min_bytes;
        void (*parse)(struct acpi_info *info, const uint8_t *t, uint32_t len); /* NULL: a root */
    } known[] = {
        { "XSDT", TABLE_BYTES, NULL },        { "RSDT", TABLE_BYTES, NULL },
        { "APIC", MADT_ENTRIES, parse_madt }, { "FACP", FADT_RESET, parse_fadt },
        { "HPET", HPET_BYTES, parse_hpet },
    };
    const uint8_t *t = maddr ? map_memory(maddr, TABLE_BYTES) : NULL;
    unsigned int i = 0;
    uint32_t len, entry_bytes;

    if (t == NULL) {
        print(LOG_WARN, "ACPI: names a table at 0x%lx, which is not memory", maddr);
        return false;
    }
    while (i < ARRAY_SIZE(known) && memcmp(t, known[i].signature, 4) != 0)
        i++;
    if (i == ARRAY_SIZE(known) || (known[i].parse == NULL) != root)
        return false;
    len = (uint32_t)field(t, TABLE_BYTES, TABLE_LENGTH, 4);
    if (len < known[i].min_bytes || len > TABLE_MAX_BYTES || (t = map_memory(maddr, len)) == NULL)
        panic("ACPI: %s: length %u at 0x%lx is wrong", known[i].signature, len, maddr);
    if (byte_sum(t, len))
        panic("ACPI: %s: checksum is off by 0x%x", known[i].signature, byte_sum(t, len));
    if (!root)
        known[i].parse(info, t, len);
    entry_bytes = t[0] == 'X' ? 8 : 4;
    for (uint32_t n = 0; root && n < MIN((len - TABLE_BYTES) / entry_bytes, MAX_TABLES); n++)
        parse_table(info, field(t, len, TABLE_BYTES + n * entry_bytes, entry_bytes), false);
    return true;
}

void acpi_parse(struct acpi_info *info, const uint8_t *rsdp, uint32_t rsdp_bytes, acpi_map_fn *map)
{
    memset(info, 0, sizeof(*info));
    map_memory = map;
    if (rsdp_bytes && (rsdp_bytes < RSDP_V1_BYTES || memcmp(rsdp, "RSD PTR ", 8) != 0 ||
                       byte_sum(rsdp, RSDP_V1_BYTES) != 0))
        panic("ACPI: RSDP: signature or checksum is wrong");
    if (!(rsdp_bytes >= RSDP_BYTES && rsdp[RSDP_REVISION] >= 2 && byte_sum(rsdp, RSDP_BYTES) == 0 &&
          parse_table(info, field(rsdp, rsdp_bytes, RSDP_XSDT, 8), true)) &&
        !parse_table(info, field(rsdp, rsdp_bytes, RSDP_RSDT, 4), true))
        print(LOG_WARN, "ACPI: no usable tables");
}
