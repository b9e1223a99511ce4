/* Calibration and RTC against a machine made of counters that advance with each look at them. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fake.h"
#include "lib/cmdline.h"
#include "x86/acpi.h"
#include "x86/lapic.h"
#include "x86/time.h"

struct acpi_info acpi_info;

static uint64_t ps; /* the machine's real time, in picoseconds */
static uint64_t tsc_khz, lapic_khz, cpuid_khz;
static bool pit_dead, pm_dead, hpet_dead, jumpy;
static uint32_t hpet_regs[256], lapic_start;
static uint64_t lapic_ps, pit_ps;
static uint8_t cmos[128], cmos_index, pit_half;
static uint16_t pit_latch;
static unsigned int nr_looks;

static void look(uint64_t cost_ns)
{
    ps += cost_ns * 1000 + nr_looks++ % 7 * 300;
    if (jumpy && nr_looks == 3000) /* an SMI in the first half */
        ps += 3000000000ULL;
    hpet_regs[0xf0 / 4] =
        hpet_dead ? 5 : (uint32_t)(ps / 10000 + 0xfffff000u); /* wraps on the way */
}

uint64_t arch_tsc(void)
{
    look(5);
    return 77777 +
           (uint64_t)((unsigned __int128)(jumpy && nr_looks > 3000 ? ps - 3000000000ULL : ps) *
                      tsc_khz / 1000000000);
}
void lapic_timer_arm(uint32_t ticks)
{
    lapic_start = ticks;
    lapic_ps = ps;
}
uint32_t lapic_timer_remaining(void)
{
    look(5);
    return lapic_start - (uint32_t)((unsigned __int128)(ps - lapic_ps) * lapic_khz / 1000000000);
}
volatile void *arch_map_mmio(uint64_t maddr, size_t bytes)
{
    (void)maddr;
    (void)bytes;
    return hpet_regs;
}
void arch_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)sub;
    memset(r, 0, 16);
    if (leaf == 0)
        r[0] = 0x16;
    if (leaf == 0x15 && cpuid_khz) {
        r[0] = 2;
        r[1] = (uint32_t)(cpuid_khz * 2 / 24000);
        r[2] = 24000000;
    }
}

uint32_t arch_port_in(uint16_t port, unsigned int bytes)
{
    look(700);
    if (port == 0x608 && bytes == 4)
        return pm_dead ? 0xffffffff
                       : (uint32_t)((unsigned __int128)ps * 3579545 / 1000000000000ULL + 0xfff800) &
                             0xffffff;
    if (port == 0x42)
        return pit_dead ? 0xff : pit_latch >> (pit_half++ & 1) * 8 & 0xff;
    if (port == 0x71)
        return cmos_index == 10 ? (nr_looks % 900 < 100 ? 0xa6 : 0x26) : cmos[cmos_index];
    return 0xff;
}
void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value)
{
    (void)bytes;
    look(700);
    if (port == 0x43 && value == 0x80) {
        pit_latch =
            (uint16_t)(0xffff - (unsigned __int128)(ps - pit_ps) * 1193182 / 1000000000000ULL);
        pit_half = 0;
    } else if (port == 0x42) {
        pit_ps = ps;
    } else if (port == 0x70) {
        cmos_index = value & 0x7f;
    }
}

static void machine(void)
{
    fake_reset(1);
    memset(&acpi_info, 0, sizeof(acpi_info));
    ps = 123456789;
    tsc_khz = 2893201;
    lapic_khz = 999987;
    cpuid_khz = 0;
    pit_dead = pm_dead = hpet_dead = jumpy = false;
    nr_looks = 0;
    hpet_regs[1] = 10000000; /* 100 MHz */
    hpet_regs[4] = 0;
    acpi_info.hpet_maddr = 0xfed00000;
    acpi_info.pm_timer_port = 0x608;
}

static bool near(uint64_t a, uint64_t b, double ppm)
{
    double x = (double)a / b - 1;
    return x < ppm / 1e6 && x > -ppm / 1e6;
}

static void expect(const char *by, unsigned int prefer)
{
    struct clock_rates r;
    uint64_t begin = ps;

    CU_ASSERT_EQUAL_FATAL(calibrate(&r, prefer), true);
    CU_ASSERT_STRING_EQUAL(r.by, by);
    if (!near(r.tsc_khz, tsc_khz, 150) || !near(r.lapic_khz, lapic_khz, 150))
        fprintf(stderr, "%s: %llu %llu\n", by, (unsigned long long)r.tsc_khz,
                (unsigned long long)r.lapic_khz);
    CU_ASSERT(near(r.tsc_khz, tsc_khz, 150));
    CU_ASSERT(near(r.lapic_khz, lapic_khz, 150));
    CU_ASSERT(ps - begin < 50000000000ULL); /* 50 ms */
    CU_ASSERT(r.waited_ticks >= tsc_khz * 11 && r.waited_ticks < tsc_khz * 50);
}

static void test_the_first_that_is_there_is_used(void)
{
    machine();
    expect("HPET", CLOCKSOURCE_AUTO);
    CU_ASSERT_EQUAL(hpet_regs[4] & 1, 1);
    machine();
    acpi_info.hpet_maddr = 0;
    expect("ACPI PM timer", CLOCKSOURCE_AUTO);
    machine();
    acpi_info.hpet_maddr = acpi_info.pm_timer_port = 0;
    expect("PIT", CLOCKSOURCE_AUTO);
    machine();
    acpi_info.hpet_maddr = acpi_info.pm_timer_port = 0;
    pit_dead = true;
    cpuid_khz = tsc_khz = 2904000;
    expect("CPUID", CLOCKSOURCE_AUTO);
}

static void test_the_option_comes_first(void)
{
    machine();
    expect("PIT", CLOCKSOURCE_PIT);
    machine();
    expect("ACPI PM timer", CLOCKSOURCE_ACPI);
    machine();
    pit_dead = true;
    expect("HPET", CLOCKSOURCE_PIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "no use of the PIT"));
}

static void test_one_that_stands_still_does_not_hang(void)
{
    machine();
    hpet_dead = true;
    expect("ACPI PM timer", CLOCKSOURCE_AUTO);
    machine();
    hpet_dead = pm_dead = true;
    expect("PIT", CLOCKSOURCE_AUTO);
}

static void test_none_at_all_is_said(void)
{
    struct clock_rates r;

    machine();
    hpet_dead = pm_dead = pit_dead = true;
    CU_ASSERT_EQUAL(calibrate(&r, CLOCKSOURCE_AUTO), false);
    machine(); /* or an APIC timer that does not count */
    lapic_khz = 0;
    CU_ASSERT_EQUAL(calibrate(&r, CLOCKSOURCE_AUTO), false);
}

static void test_a_disturbed_measurement_is_not_believed(void)
{
    machine();
    jumpy = true;
    expect("ACPI PM timer", CLOCKSOURCE_AUTO);
}

static void test_scales_are_accurate_and_rounded_down(void)
{
    static const uint64_t khz[] = { 100000,  499999,  999999,  1000000, 1000001,
                                    1999999, 2000000, 2893201, 5000000, 20000000 };

    for (unsigned int i = 0; i < ARRAY_SIZE(khz); i++) {
        struct tsc_scale s = { .base = 1000 };
        uint64_t day = khz[i] * 1000 * 86400, ns;

        tsc_scale_init(&s, khz[i]);
        CU_ASSERT(s.mul >= 1u << 31);
        ns = tsc_scale_ns(&s, 1000 + day);
        CU_ASSERT(ns <= SECONDS(86400) && SECONDS(86400) - ns < MICROSECS(50)); /* 0.5 ppb */
    }
}

static void set_rtc(unsigned int sec, unsigned int min, unsigned int hour, unsigned int day,
                    unsigned int mon, unsigned int year, uint8_t b)
{
    cmos[0] = sec;
    cmos[2] = min;
    cmos[4] = hour;
    cmos[7] = day;
    cmos[8] = mon;
    cmos[9] = year;
    cmos[11] = b;
}

static void test_the_rtc_in_its_formats(void)
{
    machine();
    set_rtc(0x59, 0x34, 0x23, 0x29, 0x02, 0x24, 2); /* BCD, leap day */
    CU_ASSERT_EQUAL(rtc_read(), 1709249699);
    set_rtc(59, 34, 23, 29, 2, 24, 6); /* binary */
    CU_ASSERT_EQUAL(rtc_read(), 1709249699);
    set_rtc(1, 0, 0, 1, 1, 70, 6);
    CU_ASSERT_EQUAL(rtc_read(), 1);
    set_rtc(59, 34, 11, 29, 2, 24, 4); /* 12 hours: not known */
    CU_ASSERT_EQUAL(rtc_read(), 0);
    memset(cmos, 0xff, sizeof(cmos)); /* no RTC there */
    CU_ASSERT_EQUAL(rtc_read(), 0);
    for (unsigned int i = 0; i < 6; i++) { /* one field after the other is too much */
        static const uint8_t index[] = { 0, 2, 4, 7, 8, 9 }, most[] = { 59, 59, 23, 31, 12, 99 };

        set_rtc(59, 59, 23, 31, 12, 69, 6);
        CU_ASSERT_EQUAL(rtc_read(), 3155759999);
        cmos[index[i]] = most[i] + 1;
        CU_ASSERT_EQUAL(rtc_read(), 0);
    }
    for (unsigned int i = 0; i < 36525;
         i += 61) { /* every day's arithmetic against the C library */
        time_t t = (time_t)i * 86400 + i;
        struct tm tm;

        gmtime_r(&t, &tm);
        set_rtc(tm.tm_sec, tm.tm_min, tm.tm_hour, tm.tm_mday, tm.tm_mon + 1, tm.tm_year % 100, 6);
        CU_ASSERT_EQUAL_FATAL(rtc_read(), (uint64_t)t);
    }
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("calibrate", NULL, NULL);
    CU_ADD_TEST(s, test_the_first_that_is_there_is_used);
    CU_ADD_TEST(s, test_the_option_comes_first);
    CU_ADD_TEST(s, test_one_that_stands_still_does_not_hang);
    CU_ADD_TEST(s, test_none_at_all_is_said);
    CU_ADD_TEST(s, test_a_disturbed_measurement_is_not_believed);
    CU_ADD_TEST(s, test_scales_are_accurate_and_rounded_down);
    CU_ADD_TEST(s, test_the_rtc_in_its_formats);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
