/* ACPI specification 6.4, chapter 5. Tables come from firmware: they may be malformed. */
#include "x86/acpi.h"

#include "lib/lib.h"
#include "lib/print.h"

#define TABLE_MAX_BYTES MIB(4)
#define MAX_TABLES 256u

/* Offsets of the fields that we read; specification section 5.2. */
enum { RSDP_REVISION = 15, RSDP_RSDT = 16, RSDP_XSDT = 24, RSDP_V1_BYTES = 20, RSDP_BYTES = 36 };
enum { TABLE_LENGTH = 4, TABLE_BYTES = 36 };
enum { MADT_LAPIC = 36, MADT_ENTRIES = 44 };
enum { FADT_DSDT = 40, FADT_SCI = 46, FADT_PM1A_CNT = 64, FADT_PM1B_CNT = 68, FADT_PM_TIMER = 76,
       FADT_CENTURY = 108, FADT_FLAGS = 112, FADT_RESET = 116, FADT_RESET_VALUE = 128,
       FADT_X_DSDT = 140, FADT_X_PM1A_CNT = 172, FADT_X_PM1B_CNT = 184, FADT_X_PM_TIMER = 208 };
enum { HPET_ADDRESS = 40, HPET_BYTES = 56 };
enum { GAS_SPACE = 0, GAS_ADDRESS = 4 };
#define FADT_TIMER_32BIT (1u << 8)
#define FADT_RESET_SUPPORTED (1u << 10)

static acpi_map_fn *map_memory;

static uint8_t byte_sum(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t sum = 0;

    while (len--)
        sum = (uint8_t)(sum + *b++);
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

static uint32_t length_of(const uint8_t *t) { return (uint32_t)field(t, 8, TABLE_LENGTH, 4); }
static uint64_t table_field(const uint8_t *t, size_t at, size_t bytes)
{
    return field(t, length_of(t), at, bytes);
}

/* The whole table at maddr, or NULL after a warning. */
static const uint8_t *map_table(uint64_t maddr, const char *signature, size_t min_bytes)
{
    const uint8_t *t = maddr ? map_memory(maddr, TABLE_BYTES) : NULL;
    uint32_t len = t ? length_of(t) : 0;

    if (t == NULL) {
        print(LOG_WARN, "ACPI: %s: at 0x%lx, which is not memory", signature, maddr);
    } else if (memcmp(t, signature, 4) != 0) {
        print(LOG_WARN, "ACPI: %s: at 0x%lx there is %.4s instead", signature, maddr,
              (const char *)t);
    } else if (len < min_bytes || len > TABLE_MAX_BYTES || (t = map_memory(maddr, len)) == NULL) {
        print(LOG_WARN, "ACPI: %s: length %u at 0x%lx is wrong", signature, len, maddr);
    } else if (byte_sum(t, len)) {
        print(LOG_WARN, "ACPI: %s: checksum is off by 0x%x", signature, byte_sum(t, len));
    } else {
        return t;
    }
    return NULL;
}

/* ---- MADT ---- */

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t acpi_id, uint32_t flags)
{
    if (!(flags & 1)) /* not enabled: an empty socket */
        return;
    if (info->nr_cpus == NR_CPUS || apic_id >= 255)
        info->nr_cpus_left_out++;
    else
        info->cpus[info->nr_cpus++] = (struct acpi_cpu){ apic_id, acpi_id };
}

/* e has at least as many bytes as its type needs. False: no room for it, or a bad number. */
static bool madt_entry(struct acpi_info *info, const uint8_t *e, size_t len)
{
    switch (e[0]) {
    case 0: /* local APIC */
        add_cpu(info, e[3], e[2], (uint32_t)field(e, len, 4, 4));
        break;
    case 1: /* I/O APIC */
        if (info->nr_ioapics == ACPI_MAX_IOAPICS)
            return false;
        info->ioapics[info->nr_ioapics++] =
            (struct acpi_ioapic){ field(e, len, 4, 4), (uint32_t)field(e, len, 8, 4), e[2] };
        break;
    case 2: /* an ISA interrupt with another GSI or polarity */
        if (info->nr_overrides == ACPI_MAX_OVERRIDES || e[3] > 15)
            return false;
        info->overrides[info->nr_overrides++] =
            (struct acpi_override){ (uint32_t)field(e, len, 4, 4), (uint16_t)field(e, len, 8, 2),
                                    e[3] };
        break;
    case 5: /* where the local APICs are, 64 bits */
        info->lapic_maddr = field(e, len, 4, 8);
        break;
    case 9: /* local x2APIC */
        add_cpu(info, (uint32_t)field(e, len, 4, 4), (uint32_t)field(e, len, 12, 4),
                (uint32_t)field(e, len, 8, 4));
        break;
    }
    return true;
}

static void parse_madt(struct acpi_info *info, const uint8_t *t)
{
    static const uint8_t min_bytes[] = { 8, 12, 10, 2, 2, 12, 2, 2, 2, 16 }; /* by type */
    const uint8_t *e = t + MADT_ENTRIES, *end = t + length_of(t);

    info->has_madt = true;
    info->lapic_maddr = table_field(t, MADT_LAPIC, 4);
    for (; end - e >= 2; e += e[1]) {
        if (e[1] < (e[0] < sizeof(min_bytes) ? min_bytes[e[0]] : 2) || e[1] > end - e) {
            print(LOG_WARN, "ACPI: APIC: entry of type %u has length %u, the rest is ignored", e[0],
                  e[1]);
            return;
        }
        if (!madt_entry(info, e, e[1]))
            print(LOG_WARN, "ACPI: APIC: entry of type %u, number %u, is out of range, ignored",
                  e[0], e[0] == 1 ? e[2] : e[3]);
    }
}

/* ---- FADT and what it leads to ---- */

/* One small integer constant of AML at *p; false: something else. */
static bool aml_byte(const uint8_t **p, const uint8_t *end, uint8_t *value)
{
    if (end - *p < 3)
        return false; /* a package is never the last thing in a DSDT: no constant is cut off */
    switch (*(*p)++) {
    case 0x00: *value = 0; return true;
    case 0x01: *value = 1; return true;
    case 0x0a: *value = *(*p)++; return true;
    case 0x0b: *value = **p; *p += 2; return true;
    default: return false;
    }
}

/* Name (_S5, Package () { a, b, ... }) at p, which is behind the name */
static bool parse_s5(struct acpi_info *info, const uint8_t *p, const uint8_t *end)
{
    uint8_t a, b;

    if (end - p < 8 || *p++ != 0x12)
        return false;
    p += 1 + (*p >> 6); /* the package's length: 1 to 4 bytes */
    if (*p++ < 2)       /* elements */
        return false;
    if (!aml_byte(&p, end, &a) || !aml_byte(&p, end, &b) || a > 7 || b > 7)
        return false;
    info->s5_typ_a = a;
    info->s5_typ_b = b;
    return true;
}

static void find_s5(struct acpi_info *info)
{
    const uint8_t *t = map_table(info->dsdt_maddr, "DSDT", TABLE_BYTES), *end;

    if (t == NULL)
        return;
    end = t + length_of(t);
    for (const uint8_t *p = t + TABLE_BYTES; end - p >= 12 && !info->has_s5; p++)
        if (memcmp(p, "_S5_", 4) == 0 && (p[-1] == 0x08 || (p[-1] == '\\' && p[-2] == 0x08)))
            info->has_s5 = parse_s5(info, p + 4, end);
    if (!info->has_s5)
        print(LOG_WARN, "ACPI: DSDT: no usable \\_S5 package: power off will not work");
}

/* The port of a register: the extended address if there is one in I/O space, else the old one. */
static uint16_t register_port(const uint8_t *t, size_t old, size_t extended)
{
    uint64_t port = table_field(t, extended + GAS_ADDRESS, 8);

    if (port == 0 || table_field(t, extended + GAS_SPACE, 1) != 1)
        port = table_field(t, old, 4);
    return port <= 0xffff ? (uint16_t)port : 0;
}

static void parse_fadt(struct acpi_info *info, const uint8_t *t)
{
    uint64_t flags = table_field(t, FADT_FLAGS, 4);

    info->has_fadt = true;
    info->sci_irq = (uint16_t)table_field(t, FADT_SCI, 2);
    info->century = (uint8_t)table_field(t, FADT_CENTURY, 1);
    info->pm1a_cnt_port = register_port(t, FADT_PM1A_CNT, FADT_X_PM1A_CNT);
    info->pm1b_cnt_port = register_port(t, FADT_PM1B_CNT, FADT_X_PM1B_CNT);
    info->pm_timer_port = register_port(t, FADT_PM_TIMER, FADT_X_PM_TIMER);
    info->pm_timer_32bit = flags & FADT_TIMER_32BIT;
    info->reset_space = (uint8_t)table_field(t, FADT_RESET + GAS_SPACE, 1);
    info->reset_address = table_field(t, FADT_RESET + GAS_ADDRESS, 8);
    info->reset_value = (uint8_t)table_field(t, FADT_RESET_VALUE, 1);
    info->has_reset =
        (flags & FADT_RESET_SUPPORTED) && info->reset_address && info->reset_space <= 2;
    info->dsdt_maddr = table_field(t, FADT_X_DSDT, 8);
    if (info->dsdt_maddr == 0)
        info->dsdt_maddr = table_field(t, FADT_DSDT, 4);
    find_s5(info);
}

/* ---- the root ---- */

static void parse_hpet(struct acpi_info *info, const uint8_t *t)
{
    if (t[HPET_ADDRESS + GAS_SPACE] == 0)
        info->hpet_maddr = table_field(t, HPET_ADDRESS + GAS_ADDRESS, 8);
    else
        print(LOG_WARN, "ACPI: HPET: in address space %u, not in memory",
              t[HPET_ADDRESS + GAS_SPACE]);
}

static void parse_table(struct acpi_info *info, uint64_t maddr)
{
    static const struct {
        const char *signature;
        size_t min_bytes;
        void (*parse)(struct acpi_info *info, const uint8_t *t);
    } known[] = {
        { "APIC", MADT_ENTRIES, parse_madt },
        { "FACP", FADT_RESET, parse_fadt },
        { "HPET", HPET_BYTES, parse_hpet },
    };
    const uint8_t *header = maddr ? map_memory(maddr, TABLE_BYTES) : NULL;

    if (header == NULL)
        print(LOG_WARN, "ACPI: %s: names a table at 0x%lx, which is not memory",
              info->root_is_xsdt ? "XSDT" : "RSDT", maddr);
    for (unsigned int i = 0; header && i < ARRAY_SIZE(known); i++)
        if (memcmp(header, known[i].signature, 4) == 0) {
            const uint8_t *t = map_table(maddr, known[i].signature, known[i].min_bytes);

            if (t)
                known[i].parse(info, t);
        }
}

static bool parse_root(struct acpi_info *info, const char *signature, uint64_t maddr,
                       size_t entry_bytes)
{
    const uint8_t *t = map_table(maddr, signature, TABLE_BYTES);
    uint32_t nr = t ? MIN((length_of(t) - TABLE_BYTES) / (uint32_t)entry_bytes, MAX_TABLES) : 0;

    info->root_maddr = maddr;
    info->root_is_xsdt = entry_bytes == 8;
    for (uint32_t i = 0; i < nr; i++)
        parse_table(info, table_field(t, TABLE_BYTES + i * entry_bytes, entry_bytes));
    return t != NULL;
}

static bool rsdp_valid(const uint8_t *r)
{
    return memcmp(r, "RSD PTR ", 8) == 0 && byte_sum(r, RSDP_V1_BYTES) == 0;
}

static uint64_t rsdp_search(uint64_t from, uint64_t bytes)
{
    for (uint64_t at = from; at < from + bytes; at += 16) {
        const uint8_t *r = map_memory(at, RSDP_V1_BYTES);

        if (r && rsdp_valid(r))
            return at;
    }
    return 0;
}

/* The BIOS puts it into the first KiB of the EBDA or below 1 MiB. */
static uint64_t rsdp_find(void)
{
    const uint16_t *segment = map_memory(0x40e, sizeof(*segment));
    uint64_t ebda = segment ? (uint64_t)*segment << 4 : 0, at = 0;

    if (ebda >= 0x400)
        at = rsdp_search(ebda, 1024);
    return at ? at : rsdp_search(0xe0000, 0x20000);
}

bool acpi_parse(struct acpi_info *info, const uint8_t *rsdp, uint32_t rsdp_bytes, acpi_map_fn *map)
{
    memset(info, 0, sizeof(*info));
    map_memory = map;
    if (rsdp_bytes == 0) {
        info->rsdp_maddr = rsdp_find();
        rsdp = info->rsdp_maddr ? map(info->rsdp_maddr, rsdp_bytes = RSDP_BYTES) : NULL;
        if (rsdp == NULL && info->rsdp_maddr) /* the old kind at the very end */
            rsdp = map(info->rsdp_maddr, rsdp_bytes = RSDP_V1_BYTES);
    }
    if (rsdp == NULL || rsdp_bytes < RSDP_V1_BYTES || !rsdp_valid(rsdp)) {
        print(LOG_WARN, "ACPI: RSDP: %s", rsdp ? "signature or checksum is wrong" : "not found");
        return false;
    }
    if (rsdp_bytes >= RSDP_BYTES && rsdp[RSDP_REVISION] >= 2 && byte_sum(rsdp, RSDP_BYTES) == 0 &&
        parse_root(info, "XSDT", field(rsdp, rsdp_bytes, RSDP_XSDT, 8), 8))
        return true;
    return parse_root(info, "RSDT", field(rsdp, rsdp_bytes, RSDP_RSDT, 4), 4);
}
