/* x86/acpi.c on tables like QEMU's and on corrupt ones. Every mapping is exact, for ASan. */
#include <CUnit/Basic.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "x86/acpi.h"

#define AREA 0x20000u /* the BIOS area: machine addresses 0xe0000..0xfffff */
#define AREA_AT 0xe0000u

static uint8_t area[AREA];
static struct acpi_info info;
static uint8_t rsdp[36];
static void *maps[16384];
static unsigned int nr_maps;

static const void *map(uint64_t maddr, size_t len)
{
    uint8_t *p;

    if (nr_maps == ARRAY_SIZE(maps))
        return NULL;
    p = malloc(len);
    if (maddr >= AREA_AT && maddr < AREA_AT + AREA && len <= AREA_AT + AREA - maddr)
        memcpy(p, area + (maddr - AREA_AT), len);
    else {
        free(p);
        return NULL;
    }
    return maps[nr_maps++] = p;
}

static jmp_buf refused;
noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(fake_printed, sizeof(fake_printed), fmt, ap);
    va_end(ap);
    longjmp(refused, 1);
}

/* False: it panicked, and fake_printed is the reason. */
static bool parse(const uint8_t *r, uint32_t bytes)
{
    volatile bool ok = false;

    nr_maps = 0;
    fake_printed[0] = 0;
    if (setjmp(refused) == 0) {
        acpi_parse(&info, r, bytes, map);
        ok = true;
    }
    while (nr_maps)
        free(maps[--nr_maps]);
    return ok;
}

static void put(uint32_t at, uint64_t v, unsigned int bytes) { memcpy(area + at, &v, bytes); }
static void fix_sum(uint8_t *p, size_t len, size_t at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    p[at] = (uint8_t)-sum;
}
static void table(uint32_t at, const char *sig, uint32_t len)
{
    memcpy(area + at, sig, 4);
    put(at + 4, len, 4);
    fix_sum(area + at, len, 9);
}

#define XSDT 0x100u
#define MADT 0x200u
#define FADT 0x400u
#define HPET 0x600u
#define DSDT 0x800u
#define RSDT 0x700u

static void usual(void)
{
    static const uint8_t madt[] = {
        0,    8,  0,    0, 1, 0, 0,    0,    0,   8, 1, 2,
        0,    0,  0,    0,                                 /* CPU 0 enabled, CPU 1 not */
        1,    12, 7,    0, 0, 0, 0xc0, 0xfe, 0,   0, 0, 0, /* I/O APIC 7 */
        2,    10, 0,    0, 2, 0, 0,    0,    0xd, 0,       /* IRQ 0 is GSI 2 */
        0,    8,  5,    9, 1, 0, 0,    0,                  /* CPU 5 is APIC 9 */
        0x7f, 8,  1,    2, 3, 4, 5,    6,                  /* from the future */
        4,    6,  0xff, 0, 0, 1,
    };

    memset(area, 0, sizeof(area));
    put(XSDT + 36, AREA_AT + MADT, 8);
    put(XSDT + 44, AREA_AT + FADT, 8);
    put(XSDT + 52, AREA_AT + HPET, 8);
    put(XSDT + 60, AREA_AT + DSDT, 8); /* a table that we do not know */
    table(XSDT, "XSDT", 68);
    put(RSDT + 36, AREA_AT + MADT, 4);
    table(RSDT, "RSDT", 40);
    put(MADT + 36, 0xfee00000, 4);
    memcpy(area + MADT + 44, madt, sizeof(madt));
    table(MADT, "APIC", 44 + sizeof(madt));
    put(FADT + 40, AREA_AT + DSDT, 4);
    put(FADT + 46, 9, 2);
    put(FADT + 64, 0x604, 4);
    put(FADT + 76, 0x608, 4);
    put(FADT + 91, 4, 1);
    put(FADT + 108, 0x32, 1);
    put(FADT + 112, 1 << 10 | 1 << 8, 4);
    put(FADT + 116, 1, 1);
    put(FADT + 120, 0xcf9, 8);
    put(FADT + 128, 0xf, 1);
    table(FADT, "FACP", 244);
    put(HPET + 44, 0xfed00000, 8);
    table(HPET, "HPET", 56);
    table(DSDT, "DSDT", 36 + 100);
    memset(rsdp, 0, sizeof(rsdp));
    memcpy(rsdp, "RSD PTR ", 8);
    rsdp[15] = 2;
    memcpy(rsdp + 16, &(uint32_t){ AREA_AT + RSDT }, 4);
    memcpy(rsdp + 20, &(uint32_t){ 36 }, 4);
    memcpy(rsdp + 24, &(uint64_t){ AREA_AT + XSDT }, 8);
    fix_sum(rsdp, 20, 8);
    fix_sum(rsdp, 36, 32);
}

static void test_a_usual_machine(void)
{
    usual();
    CU_ASSERT_TRUE_FATAL(parse(rsdp, 36));
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
    CU_ASSERT_EQUAL(info.nr_cpus, 2);
    CU_ASSERT_EQUAL(info.cpus[1].apic_id, 9);
    CU_ASSERT_EQUAL(info.cpus[1].acpi_id, 5);
    CU_ASSERT_EQUAL(info.nr_ioapics, 1);
    CU_ASSERT_EQUAL(info.ioapics[0].maddr, 0xfec00000);
    CU_ASSERT_TRUE(info.isa_irqs[0].is_overridden && !info.isa_irqs[1].is_overridden);
    CU_ASSERT_EQUAL(info.isa_irqs[0].gsi, 2);
    CU_ASSERT_EQUAL(info.pm1a_cnt_port, 0x604);
    CU_ASSERT_EQUAL(info.pm_timer_port, 0x608);
    CU_ASSERT_EQUAL(info.isa_irqs[0].flags, 0xd);
    CU_ASSERT_EQUAL(info.reset_port, 0xcf9);
    CU_ASSERT_EQUAL(info.reset_value, 0xf);
    CU_ASSERT_EQUAL(info.hpet_maddr, 0xfed00000);
}

static void test_version_1_and_fallback_to_the_rsdt(void)
{
    usual(); /* only the XSDT names an FADT */
    CU_ASSERT_TRUE(parse(rsdp, 20));
    CU_ASSERT_TRUE(info.nr_cpus == 2 && info.pm_timer_port == 0);
    area[XSDT + 20]++;
    CU_ASSERT_FALSE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "ACPI: XSDT: checksum is off by 0x1"));
    rsdp[33]++; /* extended checksum */
    CU_ASSERT_TRUE(parse(rsdp, 36));
    CU_ASSERT_TRUE(info.nr_cpus == 2 && info.pm_timer_port == 0);
    memcpy(rsdp + 16, &(uint32_t){ AREA_AT + MADT }, 4); /* a table, but no root */
    fix_sum(rsdp, 20, 8);
    CU_ASSERT_TRUE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "ACPI: no usable tables"));
    CU_ASSERT_EQUAL(info.nr_cpus, 0);
    rsdp[8]++;
    CU_ASSERT_FALSE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "RSDP: signature or checksum"));
    CU_ASSERT_TRUE(parse(rsdp, 0)); /* none at all */
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "ACPI: no usable tables"));
}

static void test_corrupt_tables_are_named_and_end_the_boot(void)
{
    static const struct {
        uint32_t at, value, bytes; /* 0 bytes: spoil the sum */
        const char *why;
    } bad[] = {
        { MADT + 30, 0, 0, "ACPI: APIC: checksum is off by 0x1" },
        { HPET + 30, 0, 0, "ACPI: HPET: checksum is off by 0x1" },
        { FADT + 30, 0, 0, "ACPI: FACP: checksum is off by 0x1" },
        { MADT + 4, 43, 4, "ACPI: APIC: length 43 at" },
        { FADT + 4, UINT32_MAX, 4, "ACPI: FACP: length 4294967295 at" },
        { HPET + 4, AREA, 4, "ACPI: HPET: length 131072 at" },
        { XSDT + 4, 35, 4, "ACPI: XSDT: length 35 at" },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        usual();
        if (bad[i].bytes)
            put(bad[i].at, bad[i].value, bad[i].bytes);
        else
            area[bad[i].at]++;
        CU_ASSERT_FALSE(parse(rsdp, 36));
        CU_ASSERT_EQUAL(strncmp(fake_printed, bad[i].why, strlen(bad[i].why)), 0);
    }
    usual();
    put(XSDT + 36, 0x12345000, 8);
    put(XSDT + 44, 0, 8);
    fix_sum(area + XSDT, 68, 9);
    CU_ASSERT_TRUE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed,
                                  "names a table at 0x12345000, which is not memory"));
    CU_ASSERT_TRUE(info.nr_cpus == 0 && !info.pm_timer_port && info.hpet_maddr);
    usual();
    put(XSDT + 52, AREA_AT + XSDT, 8); /* a root that names a root: not followed */
    fix_sum(area + XSDT, 68, 9);
    CU_ASSERT_TRUE(parse(rsdp, 36));
    CU_ASSERT_TRUE(info.nr_cpus == 2 && info.nr_ioapics == 1);
}

static void test_madt_entries_are_bounded(void)
{
    usual();
    put(MADT + 45, 0, 1); /* an entry of no length: must not loop */
    table(MADT, "APIC", 44 + 30);
    CU_ASSERT_FALSE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "APIC: entry of type 0 has length 0"));
    usual();
    for (unsigned int i = 0; i < 100; i++) {
        put(MADT + 44 + 8 * i, 0x0800, 2);
        area[MADT + 44 + 8 * i] = 0;
        area[MADT + 45 + 8 * i] = 8;
        area[MADT + 47 + 8 * i] = (uint8_t)i;
        put(MADT + 48 + 8 * i, 1, 4);
    }
    put(MADT + 45 + 8 * 99, 9, 1);                          /* one byte more than there is */
    memcpy(rsdp + 24, &(uint64_t){ AREA_AT + 0x10000 }, 8); /* the MADT grew over the others */
    fix_sum(rsdp, 36, 32);
    put(0x10000 + 36, AREA_AT + MADT, 8);
    table(0x10000, "XSDT", 44);
    table(MADT, "APIC", 44 + 800);
    CU_ASSERT_FALSE(parse(rsdp, 36));
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "APIC: entry of type 0 has length 9"));
    CU_ASSERT_EQUAL(info.nr_cpus, NR_CPUS); /* more are left out */
}

static void test_mutations_never_reach_outside(void)
{
    static uint8_t good[0xa00];

    usual();
    memcpy(good, area, sizeof(good));
    for (unsigned int n = 0; n < 20000; n++) {
        static const uint32_t at[] = { XSDT, MADT, FADT, HPET, DSDT };
        static const char *const sig[] = { "XSDT", "APIC", "FACP", "HPET", "DSDT" };
        unsigned int t = (unsigned int)rand() % 5;
        uint32_t len;

        memcpy(area, good, sizeof(good));
        for (int i = rand() % 4; i >= 0; i--)
            area[at[t] + 36 + (unsigned int)rand() % 100] = (uint8_t)(rand() % 3 ? rand() : 0);
        memcpy(&len, area + at[t] + 4, 4);
        if (rand() % 2)
            len = 36 + (uint32_t)rand() % 256;
        table(at[t], sig[t], len); /* with a right checksum */
        parse(rsdp, 36);
        CU_ASSERT_TRUE(info.nr_cpus <= NR_CPUS && info.nr_ioapics <= ACPI_MAX_IOAPICS);
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("acpi", NULL, NULL);
    fake_reset(1);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_usual_machine);
    T(test_version_1_and_fallback_to_the_rsdt);
    T(test_corrupt_tables_are_named_and_end_the_boot);
    T(test_madt_entries_are_bounded);
    T(test_mutations_never_reach_outside);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
